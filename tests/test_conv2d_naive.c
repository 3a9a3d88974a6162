/* The naive family of the convolution. */
#include "support/conv2d.h"
#include "support/device.h"

#include <criterion/criterion.h>

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
