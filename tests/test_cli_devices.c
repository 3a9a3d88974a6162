/* ocelli devices, with whole, broken and no drivers. */
#include "support/command.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The environment without a choice of device, with the drivers of `folder` (NULL: the system's). */
static const char *const *drivers(const char *folder, const char *selector) {
    static char vendors[1024], device[256];
    static const char *environment[4];
    int count = 0;
    snprintf(device, sizeof device, "OCELLI_DEVICE=%s", selector != NULL ? selector : "");
    environment[count++] = device;
    if (folder != NULL) {
        snprintf(vendors, sizeof vendors, "OCL_ICD_VENDORS=%s/", folder);
        environment[count++] = vendors;
        environment[count++] = "OCL_ICD_FILENAMES";
    }
    environment[count] = NULL;
    return environment;
}

static json_t *parse(const command_result *result) {
    json_error_t error;
    json_t *root = json_loads(result->out, JSON_REJECT_DUPLICATES, &error);
    cr_assert(root != NULL, "line %d: %s\n%s", error.line, error.text, result->out);
    return root;
}

static const char *string_at(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(value != NULL, "there is no \"%s\"", key);
    return json_is_string(value) ? json_string_value(value) : NULL;
}

/* Ends the test, as skipped, where no device is usable. */
static void need_device(void) {
    command_result result = command_ocelli(drivers(NULL, NULL), "devices");
    const int is_usable = result.code == 0;
    command_free(&result);
    if (!is_usable)
        cr_skip_test("no OpenCL device is usable here");
}

Test(cli_devices, table_and_choice) {
    need_device();
    command_result result = command_ocelli(drivers(NULL, NULL), "devices");
    cr_expect_str_eq(result.err, "");
    static const char *const titles[] = {"P ",
                                         "platform",
                                         "vendor",
                                         "version",
                                         "devices",
                                         "selector",
                                         "type",
                                         "name",
                                         "driver",
                                         "units",
                                         "largest allocation",
                                         "local memory",
                                         "kind",
                                         "memory",
                                         "* \"auto\" picks "};
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        cr_expect(strstr(result.out, titles[i]) != NULL, "%s is not in\n%s", titles[i], result.out);
    cr_expect(strstr(result.out, "\n*  ") != NULL, "the chosen device is not marked:\n%s",
              result.out);
    command_free(&result);
}

Test(cli_devices, json_has_stable_keys) {
    need_device();
    command_result result = command_ocelli(drivers(NULL, NULL), "devices", "--json");
    json_t *root = parse(&result), *device = NULL, *platform = NULL;
    size_t i = 0;
    cr_expect(result.code == 0);
    json_array_foreach(json_object_get(root, "platforms"), i, platform) {
        cr_expect(json_integer_value(json_object_get(platform, "index")) == (json_int_t)i);
        cr_expect(string_at(platform, "name") != NULL && string_at(platform, "vendor") != NULL);
        cr_expect(string_at(platform, "version") != NULL);
        cr_expect((json_integer_value(json_object_get(platform, "devices")) == 0) ==
                  (string_at(platform, "problem") != NULL));
    }
    static const char *const texts[] = {"selector",       "type",          "name",
                                        "vendor",         "platform_name", "platform_vendor",
                                        "driver_version", "device_version"};
    static const char *const numbers[] = {
        "platform",           "index",        "compute_units",      "clock_mhz",
        "vector_width",       "memory_bytes", "largest_allocation", "local_memory_bytes",
        "max_work_group_size"};
    json_t *devices = json_object_get(root, "devices");
    cr_assert(json_array_size(devices) > 0);
    json_array_foreach(devices, i, device) {
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++)
            cr_expect(string_at(device, texts[j]) != NULL, "%s", texts[j]);
        for (size_t j = 0; j < sizeof numbers / sizeof numbers[0]; j++)
            cr_expect(json_is_integer(json_object_get(device, numbers[j])), "%s", numbers[j]);
        cr_expect(json_is_boolean(json_object_get(device, "local_memory_is_real")));
        cr_expect(json_is_boolean(json_object_get(device, "unified_memory")));
        cr_expect(json_is_boolean(json_object_get(device, "has_images")));
        const json_t *items = json_object_get(device, "max_work_items");
        cr_expect(json_array_size(items) == 3 && json_integer_value(json_array_get(items, 0)) >= 1);
        cr_expect(json_object_get(device, "extensions") != NULL);
        cr_expect(json_object_get(device, "problem") != NULL);
    }
    json_t *selection = json_object_get(root, "selection");
    cr_expect_str_eq(string_at(selection, "selector"), "auto");
    cr_expect(string_at(selection, "device") != NULL && string_at(selection, "reason") != NULL);
    cr_expect(string_at(selection, "problem") == NULL);
    json_decref(root);
    command_free(&result);
}

/* The selector of the first usable device. */
static void first_selector(char selector[32]) {
    command_result result = command_ocelli(drivers(NULL, NULL), "devices", "--json");
    json_t *root = parse(&result), *device = NULL;
    size_t i = 0;
    selector[0] = '\0';
    json_array_foreach(json_object_get(root, "devices"), i,
                       device) if (selector[0] == '\0' && string_at(device, "problem") == NULL)
        snprintf(selector, 32, "%s", string_at(device, "selector"));
    json_decref(root);
    command_free(&result);
}

Test(cli_devices, selector_from_option_and_environment) {
    char selector[32], picks[96];
    need_device();
    first_selector(selector);
    snprintf(picks, sizeof picks, "\n* \"%s\" picks %s: the device with these indices\n", selector,
             selector);
    command_result by_option =
        command_ocelli(drivers(NULL, "nonsense"), "devices", "--device", selector);
    command_result by_environment = command_ocelli(drivers(NULL, selector), "devices");
    cr_expect(by_option.code == 0 && strstr(by_option.out, picks) != NULL, "%s", by_option.out);
    cr_expect(by_environment.code == 0 && strstr(by_environment.out, picks) != NULL, "%s",
              by_environment.out);
    command_free(&by_option);
    command_free(&by_environment);
}

Test(cli_devices, selector_that_fits_nothing_lists_all_and_fails) {
    need_device();
    command_result result =
        command_ocelli(drivers(NULL, NULL), "devices", "--device", "no such device");
    cr_expect(result.code == 1);
    cr_expect(strstr(result.out, "selector") != NULL, "%s", result.out);
    cr_expect(strstr(result.err, "ocelli: device \"no such device\" fits no usable device") ==
                  result.err,
              "%s", result.err);
    command_free(&result);
    result = command_ocelli(drivers(NULL, ","), "devices", "--json");
    json_t *root = parse(&result);
    cr_expect(result.code == 1);
    cr_expect(string_at(json_object_get(root, "selection"), "device") == NULL);
    cr_expect(strstr(string_at(json_object_get(root, "selection"), "problem"), "empty entry") !=
              NULL);
    json_decref(root);
    command_free(&result);
}

Test(cli_devices, verbose_says_more) {
    need_device();
    command_result result = command_ocelli(drivers(NULL, NULL), "devices", "--verbose");
    cr_expect(result.code == 0);
    static const char *const texts[] = {
        "\n  vendor ",          "\n  clock ",   "\n  native vector ",      "\n  largest group ",
        "\n  platform vendor ", "\n  kernels ", "\n  fused multiply-add ", "\n  images "};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect(strstr(result.out, texts[i]) != NULL, "%s is not in\n%s", texts[i], result.out);
    command_free(&result);
}

Test(cli_devices, verbose_says_which_kernels_run) {
    need_device();
    static const char *const gpu[] = {"OCELLI_DEVICE_CLASS=gpu", NULL};
    static const char *const narrow[] = {"OCELLI_DEVICE_CLASS=cpu", "OCELLI_VECTOR_WIDTH=4", NULL};
    command_result result = command_ocelli(gpu, "devices", "--verbose");
    cr_expect(strstr(result.out, "for GPUs\n") != NULL, "%s", result.out);
    command_free(&result);
    result = command_ocelli(narrow, "devices", "--verbose");
    cr_expect(strstr(result.out, "for CPUs, vectors of 4 floats in ") != NULL, "%s", result.out);
    command_free(&result);
}

Test(cli_devices, no_driver_at_all) {
    char *folder = scratch_create();
    command_result text = command_ocelli(drivers(folder, NULL), "devices");
    if (text.code == 0) {
        command_free(&text);
        scratch_remove(folder);
        cr_skip_test("this OpenCL library does not read OCL_ICD_VENDORS");
    }
    expect_failure(&text, 1, "no OpenCL platform found");
    expect_failure(&text, 1, "pocl-opencl-icd");
    command_result json = command_ocelli(drivers(folder, NULL), "devices", "--json");
    json_t *root = parse(&json);
    cr_expect(json.code == 1);
    cr_expect(json_array_size(json_object_get(root, "platforms")) == 0);
    cr_expect(json_array_size(json_object_get(root, "devices")) == 0);
    cr_expect(strstr(string_at(json_object_get(root, "selection"), "problem"), "pocl-opencl-icd") !=
              NULL);
    json_decref(root);
    command_free(&json);
    command_free(&text);
    scratch_remove(folder);
}

Test(cli_devices, broken_drivers_do_no_harm) {
    char *folder = scratch_create();
    scratch_write_text(folder, "missing.icd", "/nowhere/libmissing.so\n");
    scratch_write_text(folder, "no-driver.icd", "libm.so.6\n");
    scratch_write_text(folder, "empty.icd", "");
    command_result alone = command_ocelli(drivers(folder, NULL), "devices");
    cr_expect(alone.code == 0 || alone.code == 1, "exit code %d", alone.code);
    scratch_write_text(folder, "pocl.icd", "libpocl.so.2\n");
    command_result beside = command_ocelli(drivers(folder, NULL), "devices");
    cr_expect(beside.code == 0 || beside.code == 1, "exit code %d", beside.code);
    const int has_pocl = strstr(beside.out, "pocl") != NULL;
    if (has_pocl) {
        cr_expect(beside.code == 0, "%s", beside.err);
        cr_expect(strstr(beside.out, "* \"auto\" picks 0:0: ") != NULL, "%s", beside.out);
    }
    command_free(&alone);
    command_free(&beside);
    scratch_remove(folder);
    if (!has_pocl)
        cr_skip_test("PoCL is not installed as libpocl.so.2");
}
