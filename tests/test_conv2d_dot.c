#define _POSIX_C_SOURCE 200809L /* setenv */

/* The direct family with few output channels: steps of the sum in the lanes. */
#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"

#include "device/device.h"
#include "ops/conv2d_dot.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>

static oce_conv2d_desc describe(int64_t c, int64_t k, int64_t r, int64_t s) {
    return conv2d_same(OCE_CONV2D_AUTO, 3, 13, 11, c, k, r, s);
}

static bool suits(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass) {
    oce_conv2d_shape shape;
    TEST_OK(oce_conv2d_resolve(desc, pass, &shape));
    return oce_conv2d_dot_suits(&shape, oce_device_limits(device), pass);
}

/* The same on smaller images under a simulator. */
static oce_conv2d_desc describe_small(int64_t c, int64_t k, int64_t r, int64_t s) {
    oce_conv2d_desc desc = describe(c, k, r, s);
    if (test_is_small()) {
        desc.batch = 1;
        desc.height = 6;
        desc.width = 5;
    }
    return desc;
}

/* Checks a pass; returns whether it was computed so. */
static int check(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                 const conv2d_placing *placing, uint64_t seed) {
    conv2d_check(device, desc, pass, placing, seed, 1e-5);
    return suits(device, desc, pass);
}

/* Every number of outputs with runs shorter and longer than vectors, with strides, dilation and
 * padding, tensors with and without halos. */
static void sweep(const char *vector_width, int least) {
    const conv2d_placing halos = {{3, 2, 2, 3}, {1, 3, 2, 0}, 5};
    if (vector_width != NULL)
        setenv("OCELLI_VECTOR_WIDTH", vector_width, 1);
    oce_device *device = test_open_device();
    int served = 0;
    for (int outputs = 1; outputs <= 9; outputs += test_is_small() ? 8 : 1)
        for (int form = 0; form < (test_is_small() ? 2 : 4); form++) {
            const int64_t channels = form % 2 ? 32 + outputs : 70;
            oce_conv2d_desc desc = describe_small(channels, outputs, 3, form < 2 ? 3 : 1);
            desc.window.dilation[1] = form == 1 ? 2 : 1;
            desc.window.dilation[0] = form == 3 ? 2 : 1;
            const conv2d_placing *placing = form % 2 ? &halos : NULL;
            const uint64_t seed = 4 * (uint64_t)outputs + (uint64_t)form;
            served += check(device, &desc, OCE_PASS_FORWARD, placing, seed);
            desc.window.stride[0] = 2;
            desc.window.stride[1] = 3;
            served += check(device, &desc, OCE_PASS_FORWARD, placing, seed + 1);
            desc = describe_small(outputs, channels, 3, form < 2 ? 3 : 1);
            desc.window.dilation[form % 2] = 2;
            desc.window.padding = form == 2 ? OCE_PADDING_VALID : OCE_PADDING_SAME;
            served += check(device, &desc, OCE_PASS_INPUT_GRAD, placing, seed + 2);
            desc.window.padding = OCE_PADDING_EXPLICIT;
            desc.window.before[0] = desc.window.after[1] = 1;
            desc.window.before[1] = 2;
            served += check(device, &desc, OCE_PASS_INPUT_GRAD, placing, seed + 3);
        }
    const oce_limits *limits = oce_device_limits(device);
    const bool is_asked =
        vector_width == NULL || limits->vector_width == atoi(vector_width); /* else a cap is on */
    if (limits->is_cpu && !test_is_small() && is_asked)
        cr_expect_geq(served, least);
    oce_device_close(device);
}

Test(conv2d_dot, agrees_with_the_reference) {
    sweep(NULL, 32);
}

Test(conv2d_dot, agrees_with_the_reference_in_vectors_of_16) {
    sweep("16", 100);
}

Test(conv2d_dot, agrees_with_the_reference_in_vectors_of_8) {
    sweep("8", 50);
}

Test(conv2d_dot, agrees_with_the_reference_in_vectors_of_4) {
    sweep("4", 32);
}

/* What lies behind a run counts as 0, whatever it is: a NaN only reaches the pixels whose windows
 * hold it. */
Test(conv2d_dot, takes_no_numbers_behind_a_run) {
    oce_device *device = test_open_device();
    const oce_conv2d_desc desc = describe(37, 2, 3, 3);
    conv2d_data data = conv2d_random(&desc, 5);
    float *x = (float *)data.x;
    for (int c = 0; c < 37; c++)
        x[(size_t)(6 * 11 + 5) * 37 + (size_t)c] = NAN;
    float *y = conv2d_run(device, &desc, OCE_PASS_FORWARD, &data, NULL);
    float *expected = conv2d_expected(&desc, OCE_PASS_FORWARD, &data);
    int nans = 0;
    for (size_t i = 0; i < (size_t)(3 * 13 * 11 * 2); i++) {
        cr_expect_eq(isnan(y[i]) != 0, isnan(expected[i]) != 0, "element %zu", i);
        nans += isnan(y[i]) != 0;
    }
    cr_expect_eq(nans, 9 * 2);
    free(y);
    free(expected);
    conv2d_free_data(&data);
    oce_device_close(device);
}

/* Windows that hang far over the edges, more outputs, short sums and strided gradients are for
 * tiles with the outputs in the lanes. */
Test(conv2d_dot, leaves_the_rest_to_tiles) {
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = describe(70, 3, 3, 3);
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    if (oce_device_limits(device)->vector_width == 16 || !is_cpu)
        cr_expect_eq(suits(device, &desc, OCE_PASS_FORWARD), is_cpu);
    cr_expect_not(suits(device, &desc, OCE_PASS_INPUT_GRAD));
    cr_expect_not(suits(device, &desc, OCE_PASS_FILTER_GRAD));
    desc.window.dilation[0] = 9;
    check(device, &desc, OCE_PASS_FORWARD, NULL, 1);
    cr_expect_not(suits(device, &desc, OCE_PASS_FORWARD));
    desc = describe(3, 70, 3, 3);
    desc.window.stride[1] = 2;
    cr_expect_not(suits(device, &desc, OCE_PASS_INPUT_GRAD));
    desc = describe(3, 70, 3, 1);
    desc.window.padding = OCE_PADDING_EXPLICIT;
    desc.window.before[0] = 20; /* the first tap is outside dY for every input */
    check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, 2);
    desc.window.before[0] = 0;
    desc.window.after[0] = 20;
    check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, 3);
    desc = describe(1, 3, 3, 3);
    cr_expect_not(suits(device, &desc, OCE_PASS_FORWARD));
    oce_device_close(device);
}
