/* AUTO's rule for Winograd on GPUs: from the shape and what is queried, by the arithmetic of
 * src/ops/conv2d_winograd_gpu.c. */
#include "support/conv2d.h"
#include "support/device.h"

#include "device/device.h"
#include "ops/conv2d_internal.h"

#include <criterion/criterion.h>

static const oce_limits large = {.vector_width = 4,
                                 .compute_units = 60,
                                 .max_work_group = 1024,
                                 .max_items = {1024, 1024, 64},
                                 .local_bytes = 48 << 10,
                                 .local_is_real = true,
                                 .max_allocation = 2ULL << 30,
                                 .global_bytes = 8ULL << 30};

static oce_conv2d_desc describe(int64_t n, int64_t hw, int64_t c, int64_t k, int64_t window) {
    return conv2d_same(OCE_CONV2D_AUTO, n, hw, hw, c, k, window, window);
}

static bool suits(const oce_limits *limits, const oce_conv2d_desc *d, oce_pass pass) {
    oce_conv2d_shape shape;
    TEST_OK(oce_conv2d_resolve(d, pass, &shape));
    return oce_conv2d_winograd_gpu.suits(&shape, limits, pass);
}

static void expect(const oce_limits *limits, oce_conv2d_desc d, bool forward, bool input_grad,
                   bool filter_grad) {
    cr_expect_eq(suits(limits, &d, OCE_PASS_FORWARD), forward, "%s",
                 conv2d_describe(&d, OCE_PASS_FORWARD));
    cr_expect_eq(suits(limits, &d, OCE_PASS_INPUT_GRAD), input_grad, "%s",
                 conv2d_describe(&d, OCE_PASS_INPUT_GRAD));
    cr_expect_eq(suits(limits, &d, OCE_PASS_FILTER_GRAD), filter_grad, "%s",
                 conv2d_describe(&d, OCE_PASS_FILTER_GRAD));
}

/* n images of 56 x 56, C -> K of 3 x 3: for each tile 288 C K flops of a plain sum against 72 C K
 * and 64 * 288 (C + K). With C = K they are equal at 171; with 128 -> 512 at 175 -> 700. */
Test(conv2d_winograd_gpu, takes_many_channels) {
    expect(&large, describe(8, 56, 64, 64, 3), false, false, false);
    expect(&large, describe(8, 56, 160, 160, 3), false, false, false);
    expect(&large, describe(8, 56, 192, 192, 3), true, true, true);
    expect(&large, describe(8, 56, 256, 256, 3), true, true, true);
    expect(&large, describe(8, 56, 128, 512, 3), true, true, true);
    expect(&large, describe(8, 56, 64, 1024, 3), false, false, false);
    /* 800 C K against 128 C K and 64 * 512 (C + K): equal at 98 */
    expect(&large, describe(8, 32, 64, 64, 5), false, false, false);
    expect(&large, describe(8, 32, 128, 128, 5), true, true, false); /* partial sums */
    expect(&large, describe(8, 32, 192, 192, 5), true, true, true);
}

/* The layers of both networks are plain sums on the most one-sided GPUs' account. */
Test(conv2d_winograd_gpu, leaves_the_networks_to_the_tuner) {
    expect(&large, describe(50, 14, 32, 64, 5), false, false, false);
    expect(&large, describe(128, 16, 64, 64, 5), false, false, false);
    expect(&large, describe(128, 8, 128, 128, 3), false, false, false);
}

/* Few tiles fill no tile of the products, do not pay for the filter's transform or for the
 * launches; 14 x 14 outputs make 16 x 16 of tiles. */
Test(conv2d_winograd_gpu, wants_work) {
    expect(&large, describe(1, 56, 256, 256, 3), false, false, false);
    expect(&large, describe(32, 14, 256, 256, 3), false, false, false);
    expect(&large, describe(1, 7, 512, 512, 3), false, false, false);
    expect(&large, describe(1, 40, 512, 512, 3), false, false, false);
    expect(&large, describe(2, 40, 512, 512, 3), true, true, true);
    expect(&large, describe(1, 16, 128, 128, 5), false, false, false);
}

/* Sums that would lose more than 2e-5 of the largest value. */
Test(conv2d_winograd_gpu, keeps_errors_small) {
    expect(&large, describe(8, 16, 512, 512, 5), true, true, true);
    expect(&large, describe(8, 16, 516, 512, 5), false, true, true);
    expect(&large, describe(8, 16, 512, 516, 5), true, false, true);
    /* one sum of 512 tiles, and of 1024 */
    expect(&large, describe(32, 16, 256, 256, 5), true, true, true);
    expect(&large, describe(64, 16, 256, 256, 5), true, true, false);
}

Test(conv2d_winograd_gpu, asks_the_device) {
    const oce_conv2d_desc d = describe(8, 56, 256, 256, 3);
    oce_limits limits = large;
    limits.is_cpu = true;
    expect(&limits, d, false, false, false);
    limits = large;
    limits.local_is_real = false; /* local memory is plain memory: the exchange costs traffic */
    expect(&limits, d, false, false, false);
    limits = large;
    limits.local_bytes = 4 << 10;
    expect(&limits, d, false, false, false);
    limits = large;
    limits.global_bytes = 512ULL << 20; /* the workspace would take more than an eighth */
    expect(&limits, d, false, false, false);
    limits.global_bytes = 1ULL << 30;
    expect(&limits, d, true, true, true);
}

Test(conv2d_winograd_gpu, serves_stride_1_only) {
    oce_conv2d_desc d = describe(8, 56, 256, 256, 3);
    d.window.stride[0] = d.window.stride[1] = 2;
    expect(&large, d, false, false, false);
    expect(&large, describe(8, 56, 256, 256, 7), false, false, false);
    expect(&large, describe(8, 56, 258, 256, 3), false, false, false);
}

/* The rule is what AUTO goes by, and --winograd off overrules it. */
Test(conv2d_winograd_gpu, is_what_auto_goes_by) {
    oce_device *device = test_open_device();
    const oce_limits *limits = oce_device_limits(device);
    oce_conv2d_desc d = describe(8, 32, 128, 128, 5);
    for (int off = 0; off <= 1 && !limits->is_cpu; off++) {
        d.no_winograd = off;
        const bool expected = !off && suits(limits, &d, OCE_PASS_FORWARD);
        oce_conv2d_plan *plan = NULL;
        TEST_OK(oce_conv2d_plan_create(device, &d, OCE_PASS_FORWARD, &plan));
        cr_expect_eq(oce_conv2d_plan_family(plan, OCE_PASS_FORWARD) == OCE_CONV2D_WINOGRAD,
                     expected);
        oce_conv2d_plan_destroy(plan);
    }
    oce_device_close(device);
}
