/* The tuning table: what plans take from it, its files, and how candidates are tried. */
#define _POSIX_C_SOURCE 200809L

#include "support/conv2d.h"
#include "support/device.h"
#include "support/gemm.h"
#include "support/scratch.h"

#include "device/internal.h"
#include "ops/conv2d_pool.h"
#include "ops/gemm_internal.h"

#include <criterion/criterion.h>
#include <ocelli/tune.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

/* Each test has a folder, whose tuning.json is the user's file. */
static void setup(void) {
    folder = scratch_create();
    setenv("OCELLI_TUNING", scratch_path(folder, "tuning.json"), 1);
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(tune, .init = setup, .fini = teardown);

static const oce_gemm_desc product = {.m = 30, .n = 40, .k = 50};
static const char product_shape[] = "m=30 n=40 k=50 ta=0 tb=0";
static const oce_tune_options briefly = {.seconds = 0.001};

static oce_gemm_plan *plan_gemm(oce_device *device, const oce_gemm_desc *desc) {
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, desc, &plan));
    return plan;
}

static oce_gemm_family family_of(oce_device *device) {
    oce_gemm_plan *plan = plan_gemm(device, &product);
    const oce_gemm_family family = oce_gemm_plan_family(plan);
    oce_gemm_plan_destroy(plan);
    return family;
}

/* Writes the user's file with one entry for the product; driver NULL: the device's own. */
static void write_entry(oce_device *device, const char *driver, const char *family,
                        const char *configuration) {
    const oce_device_info *info = oce_device_get_info(device);
    char kernels[32] = "gpu", text[2048];
    if (device->limits.is_cpu)
        snprintf(kernels, sizeof kernels, "cpu %d", device->limits.vector_width);
    snprintf(text, sizeof text,
             "{\"format\": \"ocelli tuning 1\", \"devices\": [\n"
             "{\"platform\": \"%s\", \"device\": \"%s\", \"driver\": \"%s\", \"kernels\": \"%s\",\n"
             " \"entries\": [{\"operation\": \"gemm\", \"shape\": \"%s\", \"family\": \"%s\", "
             "\"configuration\": \"%s\"}]}]}\n",
             info->platform_name, info->name, driver != NULL ? driver : info->driver_version,
             kernels, product_shape, family, configuration);
    scratch_write_text(folder, "tuning.json", text);
}

/* Closes a device and opens it again, with an unread table. */
static oce_device *reopen(oce_device *device) {
    oce_device_close(device);
    return test_open_device();
}

Test(tune, plans_obey_the_table) {
    oce_device *device = test_open_device();
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE);
    write_entry(device, NULL, "naive", "");
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE, "the table was read before");
    device = reopen(device);
    cr_expect_eq(family_of(device), OCE_GEMM_NAIVE);
    const oce_gemm_desc other = {.m = 30, .n = 41, .k = 50};
    oce_gemm_plan *plan = plan_gemm(device, &other);
    cr_expect_neq(oce_gemm_plan_family(plan), OCE_GEMM_NAIVE, "it has another shape");
    oce_gemm_plan_destroy(plan);
    oce_gemm_desc prepared = product;
    prepared.keeps_b = true;
    plan = plan_gemm(device, &prepared);
    cr_expect_neq(oce_gemm_plan_family(plan), OCE_GEMM_NAIVE, "with a prepared B, others may win");
    oce_gemm_plan_destroy(plan);
    setenv("OCELLI_TUNING", "off", 1);
    device = reopen(device);
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE, "tuning is off");
    oce_device_close(device);
}

Test(tune, forced_families_go_before) {
    oce_device *device = test_open_device();
    oce_gemm_desc forced = product;
    forced.family = device->limits.is_cpu ? OCE_GEMM_PANEL : OCE_GEMM_TILED;
    TEST_OK(oce_tuning_set(device, "gemm", product_shape, "naive", "", 1));
    cr_expect_eq(family_of(device), OCE_GEMM_NAIVE);
    oce_gemm_plan *plan = plan_gemm(device, &forced);
    cr_expect_eq(oce_gemm_plan_family(plan), forced.family);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}

Test(tune, what_is_for_others_is_ignored) {
    oce_device *device = test_open_device();
    write_entry(device, "another version", "naive", "");
    device = reopen(device);
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE);
    write_entry(device, NULL, "of a later version", "");
    device = reopen(device);
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE);
    cr_expect_null(oce_device_take_notice(device));
    oce_device_close(device);
}

/* Register tile and K block come from the entry; the number of sums never does. */
Test(tune, configurations_of_the_panel_family) {
    oce_device *device = test_open_device();
    if (!device->limits.is_cpu) {
        oce_device_close(device);
        cr_skip_test("the device is not a CPU");
    }
    const oce_gemm_desc desc = {.m = 30, .n = 40, .k = 5000};
    oce_gemm_plan *usual = plan_gemm(device, &desc);
    char list[OCE_GEMM_CONFIGURATIONS][OCE_GEMM_TEXT], shape[OCE_GEMM_TEXT];
    const int count = oce_gemm_configurations(&desc, &device->limits, list);
    oce_gemm_shape_text(&desc, shape);
    cr_assert_gt(count, 2);
    for (int i = 0; i < count; i++) {
        TEST_OK(oce_tuning_set(device, "gemm", shape, "panel", list[i], 1));
        oce_gemm_plan *plan = plan_gemm(device, &desc);
        const oce_gemm_blocks *b = &plan->blocks;
        cr_expect_eq(b->tile_rows, oce_tuning_value(list[i], "rows", 0));
        cr_expect_eq(b->tile_vectors, oce_tuning_value(list[i], "vectors", 0));
        cr_expect_eq(b->k_block, oce_tuning_value(list[i], "k_block", 0));
        cr_expect(b->tile_rows != usual->blocks.tile_rows ||
                      b->tile_vectors != usual->blocks.tile_vectors ||
                      b->k_block != usual->blocks.k_block,
                  "%s is the rule's own", list[i]);
        cr_expect_eq(b->splits, usual->blocks.splits);
        oce_gemm_plan_destroy(plan);
        gemm_check(device, &desc, true, NULL, (uint64_t)i);
    }
    TEST_OK(oce_tuning_set(device, "gemm", shape, "panel", "rows=7 vectors=9 k_block=5", 1));
    oce_gemm_plan *plan = plan_gemm(device, &desc);
    cr_expect_eq(plan->blocks.tile_rows, usual->blocks.tile_rows, "that is no configuration");
    oce_gemm_plan_destroy(plan);
    oce_gemm_plan_destroy(usual);
    oce_device_close(device);
}

/* The tile of an entry is used, unless OCELLI_TILE asks for another. */
Test(tune, tiles_of_the_gpu_families) {
    oce_device *device = test_open_device();
    const oce_gemm_desc desc = {.m = 300, .n = 200, .k = 64};
    char shape[OCE_GEMM_TEXT];
    if (device->limits.is_cpu) {
        oce_device_close(device);
        cr_skip_test("the device is a CPU");
    }
    oce_gemm_shape_text(&desc, shape);
    for (int tile = 'A'; tile <= 'D'; tile++) {
        const char configuration[] = {'t', 'i', 'l', 'e', '=', (char)tile, '\0'};
        TEST_OK(oce_tuning_set(device, "gemm", shape, "tiled", configuration, 1));
        for (int forced = 0; forced < 2; forced++) {
            device->limits.tile = forced ? 'C' : '\0';
            oce_gemm_plan *plan = plan_gemm(device, &desc);
            cr_expect_eq(plan->tiles.tile.name, forced ? 'C' : tile);
            oce_gemm_plan_destroy(plan);
        }
    }
    oce_device_close(device);
}

Test(tune, convolutions_obey_the_table) {
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = {.batch = 2,
                            .height = 8,
                            .width = 8,
                            .channels = 16,
                            .filters = 16,
                            .window = {.size = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}}};
    const char *shape = "n=2 h=8 w=8 c=16 k=16 window=3x3 stride=1x1 dilation=1x1 before=1x1 "
                        "after=1x1";
    cr_expect_neq(conv2d_family(device, &desc, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    TEST_OK(oce_tuning_set(device, "conv2d forward", shape, "naive", "", 1));
    cr_expect_eq(conv2d_family(device, &desc, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    TEST_OK(oce_tuning_set(device, "conv2d forward", shape, "winograd", "", 1));
    desc.no_winograd = true;
    cr_expect_neq(conv2d_family(device, &desc, OCE_PASS_FORWARD), OCE_CONV2D_WINOGRAD);
    oce_device_close(device);
}

/* ---- Trying candidates ---------------------------------------------------------------------- */

/* Plans without Winograd have entries of their own, which the others do not see. */
Test(tune, convolutions_without_winograd_are_apart) {
    oce_device *device = test_open_device();
    oce_conv2d_desc plain = {.batch = 2,
                             .height = 8,
                             .width = 8,
                             .channels = 16,
                             .filters = 16,
                             .window = {.size = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}}};
    oce_conv2d_desc off = plain;
    off.no_winograd = true;
    const oce_conv2d_family usual = conv2d_family(device, &plain, OCE_PASS_FORWARD);
    const char *shape = "n=2 h=8 w=8 c=16 k=16 window=3x3 stride=1x1 dilation=1x1 before=1x1 "
                        "after=1x1 winograd=off";
    TEST_OK(oce_tuning_set(device, "conv2d forward", shape, "naive", "", 1));
    cr_expect_eq(conv2d_family(device, &off, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    cr_expect_eq(conv2d_family(device, &plain, OCE_PASS_FORWARD), usual);
    /* Tuning the one leaves the other's entry alone. */
    oce_tune_result result;
    TEST_OK(oce_tune_conv2d(device, &plain, OCE_PASS_FORWARD, &briefly, &result));
    cr_expect_eq(conv2d_family(device, &off, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    oce_device_close(device);
}

static bool can_pool(oce_device *device, const oce_conv2d_desc *desc, const oce_window *pool) {
    oce_conv2d_plan *plan = NULL;
    TEST_OK(oce_conv2d_plan_create_pooled(device, desc, pool, &plan));
    oce_conv2d_plan_destroy(plan);
    return plan != NULL;
}

/* A pass that the rule computes with its max pool is not given up for an entry whose family cannot,
 * nor tuned; the same pass alone obeys. */
Test(tune, a_pass_with_its_pool_is_left_alone) {
    oce_device *device = test_open_device();
    const oce_conv2d_desc desc = {.batch = 8,
                                  .height = 16,
                                  .width = 16,
                                  .channels = 3,
                                  .filters = 16,
                                  .window = {.size = {5, 5}, .padding = OCE_PADDING_SAME}};
    const oce_window pool = {.size = {2, 2}, .stride = {2, 2}};
    const char *shape = "n=8 h=16 w=16 c=3 k=16 window=5x5 stride=1x1 dilation=1x1 before=2x2 "
                        "after=2x2";
    oce_tune_result result;
    const bool is_pooled = can_pool(device, &desc, &pool);
    TEST_OK(oce_tuning_set(device, "conv2d forward", shape, "naive", "", 1.5));
    cr_expect_eq(conv2d_family(device, &desc, OCE_PASS_FORWARD), OCE_CONV2D_NAIVE);
    cr_expect_eq(can_pool(device, &desc, &pool), is_pooled);
    TEST_OK(oce_tune_conv2d_pooled(device, &desc, &pool, OCE_PASS_FORWARD, &briefly, &result));
    cr_expect_eq(result.is_pooled, is_pooled, "%s", result.rule);
    cr_expect_eq(result.candidates > 0, !is_pooled);
    cr_expect(!is_pooled || oce_tuning_find(device, "conv2d forward", shape) != NULL);
    oce_device_close(device);
}

/* A network on a CPU computes such a convolution in strips of images: those are what counts. */
Test(tune, strips_below_a_pool) {
    oce_device *device = test_open_device();
    const bool is_cpu = device->limits.is_cpu;
    const oce_conv2d_desc desc = {.batch = 50,
                                  .height = 28,
                                  .width = 28,
                                  .channels = 1,
                                  .filters = 32,
                                  .window = {.size = {5, 5}, .padding = OCE_PADDING_SAME}};
    const oce_window pool = {.size = {2, 2}, .stride = {2, 2}};
    oce_tune_result result;
    TEST_OK(oce_tune_conv2d_pooled(device, &desc, &pool, OCE_PASS_FILTER_GRAD, &briefly, &result));
    cr_expect_eq(result.images, is_cpu ? 25 : 50);
    cr_expect_gt(result.candidates, 0);
    oce_device_close(device);
}

/* What was in the table before stays there when the device fails. */
Test(tune, a_failure_leaves_the_table) {
    setenv("OCELLI_FAULT", "allocation=1", 1);
    oce_device *device = test_open_device();
    oce_tune_result result;
    TEST_OK(oce_tuning_set(device, "gemm", product_shape, "naive", "", 1.5));
    cr_expect_eq(oce_tune_gemm(device, &product, &briefly, &result), OCE_ERROR_DEVICE_MEMORY);
    const oce_tuning_entry *entry = oce_tuning_find(device, "gemm", product_shape);
    cr_assert_not_null(entry);
    cr_expect_str_eq(entry->family, "naive");
    cr_expect_float_eq(entry->speed_up, 1.5, 1e-9);
    oce_device_close(device);
}

Test(tune, keeps_what_is_in_the_table) {
    oce_device *device = test_open_device();
    oce_tune_result result;
    TEST_OK(oce_tune_gemm(device, &product, &briefly, &result));
    cr_expect_gt(result.candidates, 1);
    cr_expect_eq(result.dropped, 0, "%s", result.fault);
    cr_expect_str_neq(result.best, "");
    cr_expect_not(result.rule_is_wrong);
    cr_expect(!device->limits.is_cpu ||
                  strncmp(result.passed_over, "thin: more than", strlen("thin: more than")) == 0,
              "%s", result.passed_over);
    cr_expect_gt(result.rule_seconds, 0);
    cr_expect_gt(result.best_seconds, 0);
    cr_expect_eq(oce_tuning_find(device, "gemm", product_shape) != NULL, result.is_kept);
    cr_expect(!result.is_kept || result.best_seconds < result.rule_seconds);
    oce_device_close(device);
}

/* Kernels that compute something wrong are dropped, even if they are the rule's choice. */
Test(tune, wrong_candidates_are_dropped) {
    setenv("OCELLI_FAULT", "result=gemm_panel,result=gemm_tiled", 1);
    oce_device *device = test_open_device();
    oce_tune_result result;
    TEST_OK(oce_tune_gemm(device, &product, &briefly, &result));
    cr_expect_gt(result.dropped, 0);
    cr_expect(strcmp(result.best, "naive") == 0 || strcmp(result.best, "clblast") == 0, "%s",
              result.best);
    cr_expect(result.is_kept);
    cr_expect(result.rule_is_wrong);
    cr_expect_not_null(strstr(result.fault, "of the largest value"), "%s", result.fault);
    cr_expect_str_eq(oce_gemm_family_name(family_of(device)), result.best);
    oce_device_close(device);
}

/* The sample of the result is looked for where panels have it; the entry is theirs alone. */
Test(tune, products_of_panels) {
    oce_device *device = test_open_device();
    if (!device->limits.is_cpu)
        cr_skip_test("the device is not a CPU");
    const int64_t panel = (int64_t)4 * device->limits.vector_width;
    const oce_gemm_desc descs[] = {
        {.m = 30, .n = 2 * panel, .k = 50, .b_panel = panel},
        {.m = 30, .n = 50, .k = 2 * panel, .transpose_b = true, .b_panel = panel},
        {.m = 30, .n = 2 * panel, .k = 50, .transpose_a = true, .c_panel = panel}};
    for (int i = 0; i < OCE_COUNT(descs); i++) {
        char list[OCE_GEMM_CONFIGURATIONS][OCE_GEMM_TEXT];
        oce_tune_result result;
        TEST_OK(oce_tune_gemm(device, &descs[i], &briefly, &result));
        cr_expect_eq(result.dropped, 0, "%d: %s", i, result.fault);
        cr_expect_gt(result.candidates, oce_gemm_configurations(&descs[i], &device->limits, list));
        cr_expect_eq(strncmp(result.rule, "panel", 5), 0, "%s", result.rule);
        cr_expect_not_null(strstr(result.passed_over, "naive: "), "%s", result.passed_over);
    }
    char text[OCE_GEMM_TEXT];
    oce_gemm_desc both = descs[0];
    both.c_panel = 16;
    oce_gemm_shape_text(&both, text);
    cr_expect_not_null(strstr(text, " c_panel=16"), "%s", text);
    cr_expect_not_null(strstr(text, " b_panel="), "%s", text);
    oce_device_close(device);
}

Test(tune, every_pass_of_a_convolution) {
    oce_device *device = test_open_device();
    const oce_conv2d_desc desc = {.batch = 3,
                                  .height = 7,
                                  .width = 6,
                                  .channels = 16,
                                  .filters = 16,
                                  .window = {.size = {3, 3}, .stride = {1, 1}, .dilation = {1, 1}},
                                  .activation = OCE_ACTIVATION_RELU};
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
        oce_tune_result result;
        TEST_OK(oce_tune_conv2d(device, &desc, (oce_pass)pass, &briefly, &result));
        cr_expect_gt(result.candidates, 1, "pass %u", pass);
        cr_expect_eq(result.dropped, 0, "pass %u: %s", pass, result.fault);
    }
    oce_device_close(device);
}

Test(tune, wrong_convolutions_are_dropped) {
    setenv("OCELLI_FAULT", "result=naive_forward", 1);
    oce_device *device = test_open_device();
    const oce_conv2d_desc desc = {.batch = 2,
                                  .height = 5,
                                  .width = 6,
                                  .channels = 3,
                                  .filters = 4,
                                  .window = {.size = {3, 3}, .stride = {2, 2}, .dilation = {1, 1}}};
    oce_tune_result result;
    TEST_OK(oce_tune_conv2d(device, &desc, OCE_PASS_FORWARD, &briefly, &result));
    cr_expect_eq(result.dropped, 1);
    cr_expect_not_null(strstr(result.fault, "naive is off"), "%s", result.fault);
    oce_device_close(device);
}

Test(tune, bad_calls) {
    oce_device *device = test_open_device();
    oce_tune_result result;
    oce_gemm_desc desc = product;
    desc.family = OCE_GEMM_NAIVE;
    cr_expect_eq(oce_tune_gemm(device, &desc, NULL, &result), OCE_ERROR_INVALID_ARGUMENT);
    const oce_gemm_desc empty = {.m = 0, .n = 5, .k = 5};
    cr_expect_eq(oce_tune_gemm(device, &empty, NULL, &result), OCE_ERROR_INVALID_ARGUMENT);
    const oce_conv2d_desc none = {.batch = 2,
                                  .height = 5,
                                  .width = 6,
                                  .channels = 3,
                                  .filters = 4,
                                  .window = {.size = {3, 7}, .padding = OCE_PADDING_VALID}};
    cr_expect_eq(oce_tune_conv2d(device, &none, OCE_PASS_FORWARD, NULL, &result),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(oce_last_error(), "2 x 5 x 6 x 3, windows of 3 x 7"), "%s",
                       oce_last_error());
    setenv("OCELLI_TUNING", "off", 1);
    cr_expect_eq(oce_tune_gemm(device, &product, NULL, &result), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(oce_last_error(), "OCELLI_TUNING is off"), "%s", oce_last_error());
    oce_device_close(device);
}
