/* The configurations that the tuning table may ask of a convolution's families on CPUs. */
#define _POSIX_C_SOURCE 200809L

#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"
#include "support/scratch.h"

#include "device/internal.h"
#include "ops/conv2d_internal.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

/* Each test has a table of its own. */
static void setup(void) {
    folder = scratch_create();
    setenv("OCELLI_TUNING", scratch_path(folder, "tuning.json"), 1);
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(conv2d_tuned, .init = setup, .fini = teardown);

static const oce_conv2d_desc some = {.batch = 2,
                                     .height = 9,
                                     .width = 7,
                                     .channels = 48,
                                     .filters = 64,
                                     .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
                                     .activation = OCE_ACTIVATION_RELU};

static oce_device *open_cpu(void) {
    oce_device *device = test_open_device();
    if (device->limits.is_cpu)
        return device;
    oce_device_close(device);
    cr_skip_test("the device is not a CPU");
}

static void ask(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                oce_conv2d_family family, const char *configuration) {
    oce_conv2d_shape shape;
    char text[OCE_CONV2D_TEXT];
    TEST_OK(oce_conv2d_resolve(desc, pass, &shape));
    oce_conv2d_shape_text(&shape, pass, text);
    TEST_OK(oce_tuning_set(device, oce_conv2d_operation(pass), text, oce_conv2d_family_name(family),
                           configuration, 1));
}

/* Whether a kernel that was launched since the profile was started was built with both. */
static bool ran(oce_device *device, const char *one, const char *other) {
    const oce_profile_entry *entries = NULL;
    int count = 0;
    bool found = false;
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    for (int i = 0; i < count; i++)
        found = found ||
                (strstr(entries[i].build, one) != NULL && strstr(entries[i].build, other) != NULL);
    return found;
}

static float *run_asked(oce_device *device, oce_pass pass, const conv2d_data *data,
                        oce_conv2d_family family, const char *configuration) {
    ask(device, &some, pass, family, configuration);
    TEST_OK(oce_device_profile_stop(device));
    TEST_OK(oce_device_profile_start(device));
    return conv2d_run(device, &some, pass, data, NULL);
}

static int configurations(oce_device *device, oce_pass pass, oce_conv2d_family family,
                          char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION]) {
    oce_conv2d_shape shape;
    TEST_OK(oce_conv2d_resolve(&some, pass, &shape));
    return oce_conv2d_configurations(device, &shape, pass, family, list);
}

static size_t result_count(oce_pass pass) {
    int64_t dim[4];
    conv2d_result_shape(&some, pass, dim);
    return (size_t)(dim[0] * dim[1] * dim[2] * dim[3]);
}

/* What is fastest with a filter that changes is not what is with one that was prepared. */
Test(conv2d_tuned, a_prepared_filter_has_entries_of_its_own) {
    oce_device *device = test_open_device();
    oce_conv2d_desc kept = some;
    kept.keeps_filter = true;
    const oce_conv2d_family rule = conv2d_family(device, &kept, OCE_PASS_FORWARD);
    cr_expect_neq(rule, OCE_CONV2D_NAIVE);
    ask(device, &some, OCE_PASS_FORWARD, OCE_CONV2D_NAIVE, "");
    cr_expect_eq(conv2d_family(device, &some, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    cr_expect_eq(conv2d_family(device, &kept, OCE_PASS_FORWARD), rule);
    ask(device, &kept, OCE_PASS_FORWARD, OCE_CONV2D_IM2COL, "");
    cr_expect_eq(conv2d_family(device, &some, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    cr_expect_eq(conv2d_family(device, &kept, OCE_PASS_FORWARD), OCE_CONV2D_IM2COL);
    /* Gradients do not use what was prepared. */
    ask(device, &some, OCE_PASS_INPUT_GRAD, OCE_CONV2D_NAIVE, "");
    cr_expect_eq(conv2d_family(device, &kept, OCE_PASS_INPUT_GRAD), OCE_CONV2D_NAIVE);
    oce_device_close(device);
}

/* A tile decides how the work is cut, not in which order an element is summed. */
Test(conv2d_tuned, tiles_of_the_direct_family_give_the_same_bits) {
    oce_device *device = open_cpu();
    const conv2d_data data = conv2d_random(&some, 5);
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
        char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION];
        const int count = configurations(device, (oce_pass)pass, OCE_CONV2D_DIRECT, list);
        float *usual = run_asked(device, (oce_pass)pass, &data, OCE_CONV2D_DIRECT, "");
        cr_expect_geq(count, 2, "pass %u has %d", pass, count);
        for (int i = 0; i < count; i++) {
            char rows[32], vectors[32];
            snprintf(rows, sizeof rows, "TILE_ROWS=%ld ", oce_tuning_value(list[i], "rows", 0));
            snprintf(vectors, sizeof vectors, "TILE_VECTORS=%ld",
                     oce_tuning_value(list[i], "vectors", 0));
            cr_expect_not(ran(device, rows, vectors), "%s is the rule's", list[i]);
            float *result = run_asked(device, (oce_pass)pass, &data, OCE_CONV2D_DIRECT, list[i]);
            cr_expect(ran(device, rows, vectors), "pass %u did not run %s", pass, list[i]);
            cr_expect_arr_eq(result, usual, result_count((oce_pass)pass) * sizeof(float),
                             "pass %u, %s", pass, list[i]);
            free(result);
            free(run_asked(device, (oce_pass)pass, &data, OCE_CONV2D_DIRECT, ""));
        }
        free(usual);
    }
    conv2d_free_data(&data);
    oce_device_close(device);
}

Test(conv2d_tuned, winograd_with_the_other_tile) {
    oce_device *device = open_cpu();
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
        char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION];
        const int count = configurations(device, (oce_pass)pass, OCE_CONV2D_WINOGRAD, list);
        if (!conv2d_serves(device, OCE_CONV2D_WINOGRAD) || some.channels % 16 != 0)
            continue;
        cr_assert_eq(count, 1);
        const long outputs = oce_tuning_value(list[0], "outputs", 0);
        char tile[32];
        snprintf(tile, sizeof tile, "TILE=%ld", outputs);
        ask(device, &some, (oce_pass)pass, OCE_CONV2D_WINOGRAD, list[0]);
        TEST_OK(oce_device_profile_start(device));
        conv2d_check(device, &some, (oce_pass)pass, NULL, 7, 2e-5);
        cr_expect(ran(device, tile, "ALPHA"), "pass %u did not run %s", pass, list[0]);
        TEST_OK(oce_device_profile_stop(device));
    }
    oce_device_close(device);
}

/* What no rule would say is passed over: a hand-made table, or one of another version. */
Test(conv2d_tuned, configurations_that_cannot_be_are_passed_over) {
    static const struct {
        oce_conv2d_family family;
        const char *configuration;
    } cases[] = {
        {OCE_CONV2D_DIRECT, "rows=1000 vectors=4"},  {OCE_CONV2D_DIRECT, "rows=4"},
        {OCE_CONV2D_DIRECT, "rows=4 vectors=-1"},    {OCE_CONV2D_DIRECT, "vectors=5 rows=2"},
        {OCE_CONV2D_DIRECT, "rows=-3 vectors=2"},    {OCE_CONV2D_WINOGRAD, "outputs=3"},
        {OCE_CONV2D_WINOGRAD, "outputs=99999999999"}};
    oce_device *device = open_cpu();
    oce_conv2d_plan *plan = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        oce_conv2d_desc desc = some;
        if (cases[i].family == OCE_CONV2D_DIRECT)
            desc.window.size[0] = desc.window.size[1] = 1; /* whose gradient is a product by rule */
        else
            desc.height = desc.width = 3; /* too few tiles for Winograd, by rule */
        ask(device, &desc, OCE_PASS_INPUT_GRAD, cases[i].family, cases[i].configuration);
        TEST_OK(conv2d_plan(device, &desc, OCE_PASS_INPUT_GRAD, &plan));
        cr_expect_neq(oce_conv2d_plan_family(plan, OCE_PASS_INPUT_GRAD), cases[i].family, "%s",
                      cases[i].configuration);
        oce_conv2d_plan_destroy(plan);
        conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, i, 1e-5);
    }
    oce_device_close(device);
}
