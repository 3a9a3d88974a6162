/* Tuning that ships with the library: here by a table of built-in files that takes the place of the
 * library's, so that kernels are read from cl/. */
#define _POSIX_C_SOURCE 200809L

#include "support/device.h"
#include "support/scratch.h"

#include "device/embedded.h"
#include "device/internal.h"

#include <criterion/criterion.h>
#include <ocelli/gemm.h>
#include <ocelli/tune.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char shipped[2048];
const oce_embedded_file oce_embedded_files[] = {{"test.json", shipped}, {NULL, NULL}};

static char *folder;
static const oce_gemm_desc product = {.m = 100, .n = 10, .k = 20, .transpose_a = true};
static const char product_shape[] = "m=100 n=10 k=20 ta=1 tb=0";

/* Ships an entry of the product for the device that is there. */
static void setup(void) {
    folder = scratch_create();
    setenv("OCELLI_TUNING", scratch_path(folder, "tuning.json"), 1);
    setenv("OCELLI_KERNELS", "cl", 1);
    oce_device *device = test_open_device();
    const oce_device_info *info = oce_device_get_info(device);
    char kernels[32] = "gpu";
    if (device->limits.is_cpu)
        snprintf(kernels, sizeof kernels, "cpu %d", device->limits.vector_width);
    snprintf(shipped, sizeof shipped,
             "{\"format\": \"ocelli tuning 1\", \"devices\": [{\"platform\": \"%s\", "
             "\"device\": \"%s\", \"driver\": \"%s\", \"kernels\": \"%s\", \"entries\": "
             "[{\"operation\": \"gemm\", \"shape\": \"%s\", \"family\": \"naive\"}]}]}",
             info->platform_name, info->name, info->driver_version, kernels, product_shape);
    oce_device_close(device);
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(tune_shipped, .init = setup, .fini = teardown);

static const char *own_family(const oce_device *device) {
    return device->limits.is_cpu ? "panel" : "tiled";
}

static const char *family_of(oce_device *device) {
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &product, &plan));
    const char *family = oce_gemm_family_name(oce_gemm_plan_family(plan));
    oce_gemm_plan_destroy(plan);
    return family;
}

Test(tune_shipped, plans_follow_it) {
    oce_device *device = test_open_device();
    cr_expect_str_eq(family_of(device), "naive");
    cr_expect_eq(oce_tune_export(device, scratch_path(folder, "shared.json"), NULL),
                 OCE_ERROR_NOT_FOUND, "it is not the user's to share");
    oce_device_close(device);
}

Test(tune_shipped, the_users_own_goes_before) {
    oce_device *device = test_open_device();
    TEST_OK(oce_tuning_set(device, "gemm", product_shape, own_family(device), "", 1.5));
    TEST_OK(oce_tune_save(device));
    oce_device_close(device);
    device = test_open_device();
    cr_expect_str_eq(family_of(device), own_family(device));
    oce_device_close(device);
}

Test(tune_shipped, off_ignores_it) {
    setenv("OCELLI_TUNING", "off", 1);
    oce_device *device = test_open_device();
    cr_expect_str_neq(family_of(device), "naive");
    oce_device_close(device);
}

/* Where the rule is the best its family is remembered, or the shipped entry would come back: also
 * when an entry of the user's stood before that. */
Test(tune_shipped, the_rule_can_take_its_place) {
    setenv("OCELLI_FAULT", "result=gemm_naive", 1);
    const oce_tune_options briefly = {.seconds = 0.001};
    for (int has_own = 0; has_own < 2; has_own++) {
        oce_device *device = test_open_device();
        oce_tune_result result;
        if (has_own)
            TEST_OK(oce_tuning_set(device, "gemm", product_shape, "naive", "", 1.5));
        TEST_OK(oce_tune_gemm(device, &product, &briefly, &result));
        TEST_OK(oce_tune_save(device));
        oce_device_close(device);
        device = test_open_device();
        cr_expect_str_neq(family_of(device), "naive", "%d: %s", has_own, result.rule);
        oce_device_close(device);
        remove(scratch_path(folder, "tuning.json"));
    }
}

Test(tune_shipped, a_damaged_one_is_told) {
    strcpy(shipped, "{");
    oce_device *device = test_open_device();
    cr_expect_str_neq(family_of(device), "naive");
    const char *notice = oce_device_take_notice(device);
    cr_assert_not_null(notice);
    cr_expect_not_null(strstr(notice, "test.json"), "%s", notice);
    oce_device_close(device);
}
