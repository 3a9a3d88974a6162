/* The naive family of the convolution. */
#include "support/conv2d.h"
#include "support/device.h"

#include "device/internal.h"

#include <criterion/criterion.h>

#include <string.h>

Test(conv2d_naive, agrees_with_every_test_vector) {
    oce_device *device = test_open_device();
    conv2d_check_vectors(device, OCE_CONV2D_NAIVE);
    oce_device_close(device);
}

Test(conv2d_naive, agrees_with_the_reference_over_a_sweep_of_shapes) {
    oce_device *device = test_open_device();
    const int count = test_is_small() ? 12 : 100;
    cr_expect_eq(conv2d_sweep(device, OCE_CONV2D_NAIVE, count, 1, 1e-5), count);
    oce_device_close(device);
}

Test(conv2d_naive, adds_partial_sums_of_the_filter_gradient) {
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = {.batch = 3,
                            .height = test_is_small() ? 5 : 19,
                            .width = test_is_small() ? 4 : 33,
                            .channels = 1,
                            .filters = 5,
                            .window = {.size = {3, 2}, .padding = OCE_PADDING_SAME},
                            .family = OCE_CONV2D_NAIVE};
    conv2d_check(device, &desc, OCE_PASS_FILTER_GRAD, NULL, 1, 1e-5);
    oce_device_close(device);
}

/* Where the driver may break long loops off: more partial sums, and no sums that it would end. */
Test(conv2d_naive, loops_are_as_short_as_the_driver_needs) {
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = {.batch = 2,
                            .height = 9,
                            .width = 8,
                            .channels = 120,
                            .filters = 140,
                            .window = {.size = {1, 1}},
                            .family = OCE_CONV2D_NAIVE};
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        oce_conv2d_plan *plan = NULL;
        device->limits.loop_rounds = i == 0 ? INT64_MAX : 50;
        TEST_OK(oce_conv2d_plan_create(device, &desc, OCE_PASS_FILTER_GRAD, &plan));
        bytes[i] = oce_conv2d_plan_workspace(plan, NULL);
        oce_conv2d_plan_destroy(plan);
        conv2d_check(device, &desc, OCE_PASS_FILTER_GRAD, NULL, 2, 1e-5);
    }
    cr_expect_eq(bytes[0], 120 * 140 * sizeof(float));
    cr_expect_eq(bytes[1], 4 * bytes[0], "18 rows of 8 pixels, 5 of them a split");
    oce_conv2d_plan *plan = NULL;
    cr_expect_eq(oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect_not_null(strstr(oce_last_error(), "a sum takes 124 rounds"), "%s", oce_last_error());
    device->limits.loop_rounds = 124;
    conv2d_check(device, &desc, OCE_PASS_FORWARD, NULL, 3, 1e-5);
    oce_device_close(device);
}
