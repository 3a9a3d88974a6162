#define _POSIX_C_SOURCE 200809L /* setenv */

/* The direct family of the convolution: its tiles, tails, blocks, phases and partial sums. */
#include "ops/conv2d_tiles.h"
#include "support/conv2d.h"
#include "support/device.h"

#include <criterion/criterion.h>

#include <stdlib.h>

Test(conv2d_direct, agrees_with_every_test_vector) {
    oce_device *device = test_open_device();
    conv2d_check_vectors(device, OCE_CONV2D_DIRECT);
    oce_device_close(device);
}

static void sweep(const char *vector_width, uint64_t seed, int count) {
    if (vector_width != NULL)
        setenv("OCELLI_VECTOR_WIDTH", vector_width, 1);
    oce_device *device = test_open_device();
    const int all = test_is_small() ? 12 : count;
    cr_expect_eq(conv2d_sweep(device, OCE_CONV2D_DIRECT, all, seed, 1e-5), all);
    oce_device_close(device);
}

Test(conv2d_direct, agrees_with_the_reference_over_a_sweep_of_shapes) {
    sweep(NULL, 2, 200);
}

Test(conv2d_direct, agrees_with_the_reference_in_vectors_of_8) {
    sweep("8", 3, 100);
}

Test(conv2d_direct, agrees_with_the_reference_in_vectors_of_4) {
    sweep("4", 4, 100);
}

/* Every pass of a description. */
static void check_passes(const oce_conv2d_desc *desc, uint64_t seed) {
    oce_device *device = test_open_device();
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        conv2d_check(device, desc, (oce_pass)pass, NULL, seed, 1e-5);
    oce_device_close(device);
}

static oce_conv2d_desc describe(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k, int64_t r,
                                int64_t s) {
    return conv2d_same(OCE_CONV2D_DIRECT, n, h, w, c, k, r, s);
}

/* The sums of a tile wait in Y while the rows of the window pass through the cache; channels that
 * are no multiple of a vector are loaded one by one then. */
Test(conv2d_direct, takes_large_windows_in_several_passes) {
    const oce_conv2d_desc desc =
        test_is_small() ? describe(1, 2, 2, 40, 20, 9, 9) : describe(1, 4, 5, 130, 70, 7, 7);
    check_passes(&desc, 1);
}

/* More than 1,024 pixels: the filter is packed; more than 2,048: the filter gradient is split; rows
 * of more than 96 pixels: blocks of dY are a part of a row. */
Test(conv2d_direct, splits_many_pixels) {
    const oce_conv2d_desc wide =
        test_is_small() ? describe(1, 3, 101, 2, 3, 1, 2) : describe(2, 9, 250, 3, 19, 3, 3);
    const oce_conv2d_desc square =
        test_is_small() ? describe(3, 4, 4, 2, 3, 3, 3) : describe(7, 23, 21, 5, 33, 3, 5);
    check_passes(&wide, 2);
    check_passes(&square, 3);
}

/* One pixel an image: a tile's rows come from different images. */
Test(conv2d_direct, serves_images_of_one_pixel) {
    const oce_conv2d_desc desc = describe(13, 1, 1, 19, 21, 1, 1);
    check_passes(&desc, 4);
    const oce_conv2d_desc padded = describe(13, 1, 1, 3, 5, 3, 3);
    check_passes(&padded, 5);
}

/* Windows larger than the images: taps that are outside for a whole tile are left out, whichever
 * rows and images the tile's pixels are in. */
Test(conv2d_direct, leaves_out_taps_outside_the_image) {
    for (int64_t size = 1; size <= (test_is_small() ? 2 : 7); size++) {
        oce_conv2d_desc desc = describe(3, size, 8 - size, 5, 17, 5, 7);
        check_passes(&desc, 8);
        desc.window.dilation[0] = 2;
        desc.window.dilation[1] = size % 3 + 1;
        desc.window.stride[0] = size % 2 + 1;
        check_passes(&desc, 9);
        desc.window.padding = OCE_PADDING_EXPLICIT; /* whole windows outside the image */
        desc.window.before[0] = desc.window.after[1] = 13;
        desc.window.before[1] = desc.window.after[0] = size;
        check_passes(&desc, 10);
    }
}

/* Strides beyond the window leave inputs that no output reads: their gradient is 0. */
Test(conv2d_direct, clears_the_gradient_of_inputs_that_are_never_read) {
    oce_conv2d_desc desc = describe(2, 11, 13, 6, 9, 2, 1);
    desc.window.stride[0] = 4;
    desc.window.stride[1] = 5;
    check_passes(&desc, 6);
    desc.window.dilation[0] = 2; /* shares a divisor with the stride: half of the phases */
    desc.window.size[0] = 3;
    check_passes(&desc, 7);
}

/* Every stride with every dilation: phases with more and fewer taps, with and without inputs, that
 * share a divisor or not; odd sizes, so that phases differ in size too; padding on both sides. */
Test(conv2d_direct, computes_all_phases_of_a_strided_input_gradient) {
    oce_device *device = test_open_device();
    const int most = test_is_small() ? 2 : 4;
    for (int stride = 1; stride <= most; stride++)
        for (int dilation = 1; dilation <= most; dilation++) {
            oce_conv2d_desc desc = describe(2, 11, 9, stride % 2 ? 19 : 70, 6, 3, 5);
            desc.window.stride[0] = stride;
            desc.window.stride[1] = most + 1 - stride;
            desc.window.dilation[0] = dilation;
            desc.window.dilation[1] = most + 1 - dilation;
            conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, 11, 1e-5);
            desc.window.padding = OCE_PADDING_EXPLICIT;
            desc.window.before[0] = 4;
            desc.window.after[0] = 14;
            desc.window.before[1] = desc.window.after[1] = 7;
            const conv2d_placing placing = {{1, 0, 2, 1}, {0, 3, 1, 0}, 5};
            conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, &placing, 12, 1e-5);
        }
    oce_device_close(device);
}

/* The filter's taps that read only outside dY are not even packed: windows that reach far over
 * images of a pixel or two, and strides beyond images and windows. */
Test(conv2d_direct, leaves_out_taps_of_the_input_gradient) {
    oce_device *device = test_open_device();
    for (int stride = 1; stride <= 5; stride += 2) {
        oce_conv2d_desc desc = describe(3, 1, 2, 17, 5, 9, 7);
        desc.window.stride[0] = desc.window.stride[1] = stride;
        conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, 13, 1e-5);
        desc.window.dilation[0] = 3;
        conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, 14, 1e-5);
        desc.window.size[0] = desc.window.size[1] = 1;
        desc.height = 4;
        desc.window.padding = OCE_PADDING_EXPLICIT; /* some windows read no input at all */
        desc.window.before[0] = desc.window.after[1] = 6;
        conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, NULL, 15, 1e-5);
    }
    oce_device_close(device);
}

/* A tap that is outside dY for all positions is neither read nor packed, though nearly all of the
 * others are inside for all of them. */
Test(conv2d_direct, leaves_out_one_tap_of_many) {
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = describe(2, 1, 3, 17, 5, 40, 1);
    desc.window.padding = OCE_PADDING_EXPLICIT;
    desc.window.before[0] = 38;
    desc.window.after[0] = 39;
    const conv2d_placing placing = {{0, 0, 0, 0}, {0, 0, 0, 0}, 50};
    conv2d_check(device, &desc, OCE_PASS_INPUT_GRAD, &placing, 16, 1e-5);
    oce_device_close(device);
}

/* For drivers that break loops off, so many rounds at most; a tile's at least. */
Test(conv2d_direct, loops_are_as_short_as_the_driver_needs) {
    oce_conv2d_tiles tiles = {.vector = 8, .loop_rounds = INT64_MAX};
    const oce_conv2d_part part = {.blocks = 2, .vectors = 4, .rows = 6};
    for (int64_t steps = 1; steps < 100000; steps = steps * 3 + 1) {
        const oce_conv2d_work work = {
            .pixels = 1000000, .products = 1, .steps = steps, .most_steps = steps};
        const int64_t all = oce_conv2d_group_pixels(&work, &tiles, &part);
        tiles.loop_rounds = 20000;
        const int64_t few = oce_conv2d_group_pixels(&work, &tiles, &part);
        tiles.loop_rounds = INT64_MAX;
        cr_expect(few % 6 == 0 && few <= all, "%lld of %lld", (long long)few, (long long)all);
        cr_expect(few == 6 || few / 6 * steps < 20000, "%lld pixels", (long long)few);
        cr_expect(few == all || few == 6 || few / 6 * (steps * 2 + 100) > 20000, "%lld pixels",
                  (long long)few);
    }
}
