#define _POSIX_C_SOURCE 200809L /* setenv */

/* The direct family's filter gradient: vectors of dY or of X, partial sums, and loops that end. */
#include "device/internal.h"
#include "ops/conv2d_filter_tiles.h"
#include "support/conv2d.h"
#include "support/device.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static oce_conv2d_desc describe(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k, int64_t r,
                                int64_t s) {
    return conv2d_same(OCE_CONV2D_DIRECT, n, h, w, c, k, r, s);
}

static oce_limits limits_of(int vector_width) {
    return (oce_limits){.is_cpu = true,
                        .vector_width = vector_width,
                        .vector_registers = vector_width == 16 ? 32 : 16,
                        .compute_units = 2,
                        .loop_rounds = INT64_MAX};
}

/* Whether the vectors are of X: the rows are the filters then. */
static bool has_vectors_of_x(const oce_conv2d_desc *desc, int vector_width) {
    const oce_limits limits = limits_of(vector_width);
    int64_t rows = 0, channels = 0;
    oce_conv2d_shape shape;
    TEST_OK(oce_conv2d_resolve(desc, OCE_PASS_FILTER_GRAD, &shape));
    const bool is_few = oce_conv2d_filter_sides(&shape, &limits, &rows, &channels);
    const int64_t all = rows * channels;
    const bool is_dilated = desc->window.dilation[1] > 1;
    const int64_t runs = desc->window.size[0] * (is_dilated ? desc->window.size[1] : 1);
    cr_expect_eq(all * (is_few ? runs : 1),
                 desc->window.size[0] * desc->window.size[1] * desc->channels * desc->filters);
    return is_few;
}

/* Few filters would leave most of a vector empty; a window's row of few floats would too. */
Test(conv2d_filter_tiles, vectors_are_of_what_fills_them) {
    for (int width = 4; width <= 16; width *= 2) {
        oce_conv2d_desc desc = describe(8, 32, 32, 64, 1, 3, 3);
        cr_expect(has_vectors_of_x(&desc, width), "1 filter, vectors of %d", width);
        desc.filters = width + 1;
        cr_expect(has_vectors_of_x(&desc, width), "%d filters", width + 1);
        desc.batch = desc.height = desc.width = 1; /* it is writing dF that takes the time */
        cr_expect_not(has_vectors_of_x(&desc, width), "one pixel, vectors of %d", width);
        desc = describe(8, 32, 32, 64, 64, 3, 3);
        cr_expect_not(has_vectors_of_x(&desc, width), "64 filters, vectors of %d", width);
        desc = describe(8, 32, 32, 3, 64, 5, 5);
        cr_expect_not(has_vectors_of_x(&desc, width), "3 channels, vectors of %d", width);
        desc.filters = 2;
        cr_expect(has_vectors_of_x(&desc, width), "3 channels and 2 filters, vectors of %d", width);
        desc.window.dilation[0] = desc.window.dilation[1] = 2; /* 3 floats side by side, not 15 */
        cr_expect_not(has_vectors_of_x(&desc, width), "dilated, vectors of %d", width);
    }
}

static void check(oce_device *device, const oce_conv2d_desc *desc, uint64_t seed) {
    const conv2d_placing placing = {{5, 4, 3, 6}, {0, 2, 1, 0}, 3};
    conv2d_check(device, desc, OCE_PASS_FILTER_GRAD, NULL, seed, 1e-5);
    conv2d_check(device, desc, OCE_PASS_FILTER_GRAD, &placing, seed, 1e-5);
}

/* Rows of tiles and of filters, channels that end within a vector, blocks of one and two widths,
 * rows of more than 96 pixels, several splits, strides; runs of a row and single taps. */
static void check_few(const char *vector_width) {
    static const int64_t shapes[][7] = {
        {2, 7, 9, 5, 1, 3, 3},   {1, 5, 6, 70, 2, 5, 3},   {3, 4, 4, 19, 3, 1, 1},
        {2, 9, 250, 7, 4, 3, 3}, {1, 60, 61, 33, 5, 2, 4}, {2, 6, 5, 130, 7, 7, 7},
        {9, 21, 20, 9, 9, 3, 5}, {13, 1, 1, 41, 6, 3, 3},  {4, 8, 8, 48, 17, 5, 5}};
    if (vector_width != NULL)
        setenv("OCELLI_VECTOR_WIDTH", vector_width, 1);
    oce_device *device = test_open_device();
    int few = 0;
    for (int i = 0; i < OCE_COUNT(shapes); i += test_is_small() ? 3 : 1) {
        const int64_t *s = shapes[i];
        oce_conv2d_desc desc = describe(s[0], s[1], s[2], s[3], s[4], s[5], s[6]);
        few += has_vectors_of_x(&desc, oce_device_limits(device)->vector_width);
        check(device, &desc, (uint64_t)i);
        desc.window.stride[0] = 2;
        desc.window.stride[1] = 3;
        check(device, &desc, (uint64_t)i + 100);
        desc.window.dilation[0] = 3;
        desc.window.dilation[1] = 2;
        check(device, &desc, (uint64_t)i + 200);
    }
    cr_expect_gt(few, test_is_small() ? 0 : 2);
    oce_device_close(device);
}

Test(conv2d_filter_tiles, few_filters) {
    check_few(NULL);
}

Test(conv2d_filter_tiles, few_filters_in_vectors_of_8) {
    check_few("8");
}

Test(conv2d_filter_tiles, few_filters_in_vectors_of_4) {
    check_few("4");
}

/* For drivers that end loops after so many rounds: more partial sums, and fewer tiles a group. */
Test(conv2d_filter_tiles, loops_are_as_short_as_the_driver_needs) {
    oce_device *device = test_open_device();
    const int64_t before = device->limits.loop_rounds, rounds = test_is_small() ? 300 : 700;
    for (int few = 0; few <= 1; few++) {
        const oce_conv2d_desc desc = test_is_small() ? describe(2, 12, 13, 8, few ? 2 : 16, 3, 3)
                                                     : describe(8, 32, 32, 50, few ? 5 : 64, 3, 3);
        device->limits.loop_rounds = before;
        conv2d_check(device, &desc, OCE_PASS_FILTER_GRAD, NULL, 1, 1e-5);
        device->limits.loop_rounds = INT64_MAX;
        oce_conv2d_shape shape;
        oce_conv2d_filter_tiles usual, many;
        TEST_OK(oce_conv2d_resolve(&desc, OCE_PASS_FILTER_GRAD, &shape));
        TEST_OK(oce_conv2d_filter_tiles_get(device, &shape, &usual));
        device->limits.loop_rounds = rounds;
        TEST_OK(oce_conv2d_filter_tiles_get(device, &shape, &many));
        cr_expect_gt(many.splits, usual.splits);
        const oce_conv2d_part *part = &many.tiles.parts[0];
        const int64_t tiles = few ? (desc.filters + part->rows - 1) / part->rows : 1;
        const int64_t group = oce_conv2d_filter_group(&shape, &many, part);
        const int64_t pixels = desc.batch * desc.height / many.splits * desc.width;
        cr_expect_leq(pixels * tiles * group, rounds, "%lld pixels, %lld tiles, %lld a group",
                      (long long)pixels, (long long)tiles, (long long)group);
        cr_expect(few || oce_conv2d_filter_group(&shape, &usual, &usual.tiles.parts[0]) > group);
        conv2d_check(device, &desc, OCE_PASS_FILTER_GRAD, NULL, 2, 1e-5);
    }
    oce_device_close(device);
}

/* A row of pixels is not divided: where that would be needed, direct says so, and another family
 * computes the gradient. */
Test(conv2d_filter_tiles, loops_that_would_be_ended_are_refused) {
    oce_device *device = test_open_device();
    if (!oce_device_limits(device)->is_cpu)
        cr_skip_test("the kernels for CPUs");
    device->limits.loop_rounds = 500;
    oce_conv2d_desc desc = describe(1, 1, 300, 2, 3, 1, 3);
    oce_conv2d_plan *plan = NULL;
    cr_expect_eq(oce_conv2d_plan_create(device, &desc, OCE_PASS_FILTER_GRAD, &plan),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect_not_null(strstr(oce_last_error(), "300 output columns"), "%s", oce_last_error());
    cr_expect_not_null(strstr(oce_last_error(), "after 500"), "%s", oce_last_error());
    desc.family = OCE_CONV2D_AUTO;
    TEST_OK(oce_conv2d_plan_create(device, &desc, OCE_PASS_FILTER_GRAD, &plan));
    cr_expect_neq(oce_conv2d_plan_family(plan, OCE_PASS_FILTER_GRAD), OCE_CONV2D_DIRECT);
    oce_conv2d_plan_destroy(plan);
    oce_device_close(device);
}

/* The same of copies with a border, of every pass. */
Test(conv2d_filter_tiles, rows_too_long_to_copy_are_refused) {
    oce_device *device = test_open_device();
    if (!oce_device_limits(device)->is_cpu)
        cr_skip_test("the kernels for CPUs");
    const int64_t floats = 500 * oce_device_limits(device)->vector_width;
    device->limits.loop_rounds = 500;
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
        oce_conv2d_desc desc = describe(2, 1, floats / 40, 41, 41, 1, 1);
        oce_conv2d_plan *plan = NULL;
        cr_expect_eq(oce_conv2d_plan_create(device, &desc, pass, &plan), OCE_ERROR_UNSUPPORTED);
        cr_expect_not_null(strstr(oce_last_error(), "copies rows of"), "%s", oce_last_error());
        desc.width = floats / 90;
        TEST_OK(oce_conv2d_plan_create(device, &desc, pass, &plan));
        oce_conv2d_plan_destroy(plan);
    }
    oce_device_close(device);
}
