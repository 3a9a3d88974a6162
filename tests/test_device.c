/* Opening real devices, with whole and broken drivers. */
#define _POSIX_C_SOURCE 200809L
#include "device/internal.h"
#include "support/device.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(device, open_and_close) {
    oce_device *device = test_open_device();
    const oce_device_info *info = oce_device_get_info(device);
    const oce_limits *limits = oce_device_limits(device);
    cr_expect(info->problem == NULL);
    cr_expect(info->name[0] != '\0' && info->platform_name[0] != '\0');
    cr_expect(limits->is_cpu == (info->type == OCE_DEVICE_CPU));
    cr_expect(limits->vector_width == 4 || limits->vector_width == 8 || limits->vector_width == 16);
    cr_expect(limits->compute_units >= 1 && limits->max_work_group >= 1);
    cr_expect(limits->max_items[0] >= 1 && limits->max_items[2] >= 1);
    cr_expect(limits->max_allocation > 0 && limits->max_allocation <= limits->global_bytes);
    TEST_OK(oce_device_finish(device));
    oce_device_close(device);
    oce_device_close(NULL);
}

Test(device, every_usable_device_opens_by_its_selector) {
    oce_device_list *list = NULL;
    TEST_OK(oce_device_list_create(&list));
    for (int i = 0; i < oce_device_list_count(list); i++) {
        const oce_device_info *info = oce_device_list_get(list, i);
        oce_device *device = NULL;
        if (info->problem != NULL)
            continue;
        TEST_OK(oce_device_open(info->selector, &device));
        cr_expect_str_eq(oce_device_get_info(device)->name, info->name);
        cr_expect_str_eq(oce_device_get_info(device)->selector, info->selector);
        oce_device_close(device);
    }
    oce_device_list_destroy(list);
}

Test(device, failed_open_gives_null_and_a_message) {
    oce_device *device = (oce_device *)8;
    cr_expect(oce_device_open("no such device", &device) == OCE_ERROR_NO_DEVICE);
    cr_expect(device == NULL);
    cr_expect(strstr(oce_last_error(), "\"no such device\"") != NULL, "%s", oce_last_error());
    cr_expect(oce_device_open(",", &device) == OCE_ERROR_INVALID_ARGUMENT && device == NULL);
}

Test(device, selector_comes_from_the_environment) {
    oce_device *device = NULL;
    setenv("OCELLI_DEVICE", "no such device", 1);
    cr_expect(oce_device_open(NULL, &device) == OCE_ERROR_NO_DEVICE);
    TEST_OK(oce_device_open("auto", &device));
    oce_device_close(device);
}

Test(device, vector_width_can_be_lowered_not_raised) {
    oce_device *device = test_open_device();
    const int width = oce_device_limits(device)->vector_width;
    oce_device_close(device);
    const struct {
        const char *text;
        int width;
    } cases[] = {{"4", 4}, {"8", width > 8 ? 8 : width}, {"16", width}, {"", width}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv("OCELLI_VECTOR_WIDTH", cases[i].text, 1);
        device = test_open_device();
        cr_expect(oce_device_limits(device)->vector_width == cases[i].width, "\"%s\": %d",
                  cases[i].text, oce_device_limits(device)->vector_width);
        oce_device_close(device);
    }
    setenv("OCELLI_CAP", "vector=4", 1);
    setenv("OCELLI_VECTOR_WIDTH", "16", 1);
    device = test_open_device();
    cr_expect_eq(oce_device_limits(device)->vector_width, 4);
    oce_device_close(device);
}

/* ---- Drivers: the loader reads OCL_ICD_VENDORS at the first call in a process, so each test makes
 * its folder before it. Loaders differ in whether they ask for a slash at the end. */

static void use_drivers(const char *folder) {
    setenv("OCL_ICD_VENDORS", scratch_path(folder, ""), 1);
    unsetenv("OCL_ICD_FILENAMES");
    unsetenv("OCELLI_DEVICE");
}

Test(device, no_driver_at_all) {
    char *folder = scratch_create();
    oce_device_list *list = NULL;
    oce_device *device = NULL;
    use_drivers(folder);
    TEST_OK(oce_device_list_create(&list));
    if (oce_device_list_platforms(list) > 0) {
        oce_device_list_destroy(list);
        scratch_remove(folder);
        cr_skip_test("this OpenCL library does not read OCL_ICD_VENDORS");
    }
    cr_expect(oce_device_list_count(list) == 0);
    oce_device_list_destroy(list);
    cr_expect(oce_device_open(NULL, &device) == OCE_ERROR_NO_PLATFORM && device == NULL);
    cr_expect(strstr(oce_last_error(), "pocl-opencl-icd") != NULL, "%s", oce_last_error());
    scratch_remove(folder);
}

Test(device, broken_drivers_alone) {
    char *folder = scratch_create();
    oce_device_list *list = NULL;
    scratch_write_text(folder, "missing.icd", "/nowhere/libmissing.so\n");
    scratch_write_text(folder, "no-driver.icd", "libm.so.6\n");
    scratch_write_text(folder, "empty.icd", "");
    scratch_write_text(folder, "binary.icd", "\001\002\377\376");
    use_drivers(folder);
    TEST_OK(oce_device_list_create(&list));
    for (int i = 0; i < oce_device_list_count(list); i++)
        cr_expect(oce_device_list_get(list, i)->name != NULL);
    oce_device_list_destroy(list);
    scratch_remove(folder);
}

Test(device, broken_drivers_beside_a_good_one) {
    char *folder = scratch_create();
    oce_device *device = NULL;
    scratch_write_text(folder, "0-missing.icd", "/nowhere/libmissing.so\n");
    scratch_write_text(folder, "1-no-driver.icd", "libm.so.6\n");
    scratch_write_text(folder, "2-pocl.icd", "libpocl.so.2\n");
    use_drivers(folder);
    const oce_status status = oce_device_open("pocl", &device);
    scratch_remove(folder);
    if (status == OCE_ERROR_NO_PLATFORM || status == OCE_ERROR_NO_DEVICE)
        cr_skip_test("PoCL is not installed as libpocl.so.2");
    TEST_OK(status);
    cr_expect(strstr(oce_device_get_info(device)->platform_vendor, "pocl") != NULL);
    oce_device_close(device);
}

Test(device, class_can_be_forced) {
    oce_device *device = NULL;
    setenv("OCELLI_DEVICE_CLASS", "gpu", 1);
    TEST_OK(oce_device_open(NULL, &device));
    cr_expect_not(oce_device_limits(device)->is_cpu);
    cr_expect_eq(oce_device_limits(device)->vector_width, 4);
    oce_device_close(device);
    setenv("OCELLI_DEVICE_CLASS", "cpu", 1);
    TEST_OK(oce_device_open(NULL, &device));
    cr_expect(oce_device_limits(device)->is_cpu);
    oce_device_close(device);
}

Test(device, names_a_class_or_a_width_that_is_none) {
    static const struct {
        const char *variable, *value, *message;
    } cases[] = {
        {"OCELLI_DEVICE_CLASS", "foo", "OCELLI_DEVICE_CLASS is \"foo\", not cpu or gpu"},
        {"OCELLI_DEVICE_CLASS", "CPU", "OCELLI_DEVICE_CLASS is \"CPU\""},
        {"OCELLI_VECTOR_WIDTH", "3", "OCELLI_VECTOR_WIDTH is \"3\", not 4, 8 or 16"},
        {"OCELLI_VECTOR_WIDTH", "abc", "OCELLI_VECTOR_WIDTH is \"abc\""},
        {"OCELLI_VECTOR_WIDTH", "4x", "OCELLI_VECTOR_WIDTH is \"4x\""},
        {"OCELLI_VECTOR_WIDTH", "32", "OCELLI_VECTOR_WIDTH is \"32\""},
    };
    oce_device *device = NULL;
    oce_device_list *list = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv(cases[i].variable, cases[i].value, 1);
        cr_expect_eq(oce_device_open(NULL, &device), OCE_ERROR_INVALID_ARGUMENT);
        cr_expect(strstr(oce_last_error(), cases[i].message) != NULL, "%s", oce_last_error());
        cr_expect_eq(oce_device_list_create(&list), OCE_ERROR_INVALID_ARGUMENT);
        cr_expect(device == NULL && list == NULL);
        setenv(cases[i].variable, "", 1);
        TEST_OK(oce_device_open(NULL, &device));
        oce_device_close(device);
        device = NULL;
        unsetenv(cases[i].variable);
    }
}

Test(device, names_a_tile_that_is_none) {
    oce_device *device = NULL;
    setenv("OCELLI_TILE", "K", 1);
    cr_expect_eq(oce_device_open(getenv("OCELLI_DEVICE"), &device), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "OCELLI_TILE is \"K\"") != NULL, "%s", oce_last_error());
    cr_expect(device == NULL);
    unsetenv("OCELLI_TILE");
}

/* Those of AVX-512 are there for narrower vectors too; a device that has none has 16 on x86. */
Test(device, tells_how_many_vector_registers_there_are) {
    setenv("OCELLI_DEVICE_CLASS", "cpu", 1);
    for (int is_capped = 0; is_capped < 2; is_capped++) {
        setenv(is_capped ? "OCELLI_CAP" : "OCELLI_VECTOR_WIDTH", is_capped ? "vector=4" : "4", 1);
        oce_device *device = test_open_device();
        const int registers = oce_device_limits(device)->vector_registers;
#if defined __x86_64__
        const bool is_wide = oce_device_get_info(device)->vector_width >= 16;
        cr_expect_eq(registers, is_wide ? 32 : 16);
        cr_expect(!is_capped || !is_wide);
#else
        cr_expect(registers == 16 || registers == 32);
#endif
        oce_device_close(device);
    }
}

/* ---- Loops --------------------------------------------------------------------------------- */

/* How long loops may be planned for on a device with narrow vectors whose loop_probe is `kernel`.
 */
static int64_t loop_rounds_with(const char *kernel) {
    char *folder = scratch_create();
    scratch_write_text(folder, "common.cl.h", "");
    scratch_write_text(folder, "loop_probe.cl", kernel);
    setenv("OCELLI_KERNELS", folder, 1);
    oce_device *device = test_open_device();
    const int64_t rounds = oce_device_limits(device)->loop_rounds;
    oce_device_close(device);
    scratch_remove(folder);
    return rounds;
}

#define PROBE(end)                                                                                 \
    "__kernel void loop_probe(int n, __global float *y_base, ulong y_at) {\n"                      \
    "    uint state = 1;\n"                                                                        \
    "    for (int i = 0; i < n && i < " end "; i++)\n"                                             \
    "        state = (state * 1664525u + 1013904223u) & 0xFFFFFFu;\n"                              \
    "    y_base[y_at] = (float)state;\n"                                                           \
    "}\n"

/* Plans get three fifths of what the driver was seen to let end, or what llvmpipe does if nothing
 * is known; devices with wider vectors are not asked. */
Test(device, measures_how_long_loops_may_be) {
    setenv("OCELLI_CACHE", "off", 1);
    setenv("OCELLI_DEVICE_CLASS", "cpu", 1);
    setenv("OCELLI_VECTOR_WIDTH", "4", 1);
    cr_expect_eq(loop_rounds_with(PROBE("1000")), 600);
    cr_expect_eq(loop_rounds_with("__kernel void loop_probe(int n, __global float *y, ulong at) {\n"
                                  "    y[at] = 0.5f;\n"
                                  "}\n"),
                 65535 / 5 * 3);
    cr_expect_eq(loop_rounds_with("no kernel"), 65535 / 5 * 3);
    const int64_t whole = loop_rounds_with(PROBE("n"));
    cr_expect(whole == INT64_MAX || whole == 65535 / 5 * 3, "%lld", (long long)whole);
    setenv("OCELLI_DEVICE_CLASS", "gpu", 1);
    cr_expect_eq(loop_rounds_with("no kernel"), INT64_MAX);
    unsetenv("OCELLI_KERNELS");
    setenv("OCELLI_DEVICE_CLASS", "cpu", 1);
    oce_device *device = test_open_device();
    cr_expect_eq(oce_device_limits(device)->loop_rounds, whole, "the kernel that ships");
    oce_device_close(device);
}
