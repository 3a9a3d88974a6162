/* The implicit_gemm family of the convolution: every tile, every kind of tap, partial sums. */
#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"

#include "device/internal.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static oce_device *device;

/* Opens the device as a GPU. */
static void open_device(void) {
    device = test_open_device();
    device->limits.is_cpu = false;
    device->limits.vector_width = 4;
    if (device->limits.max_items[0] < 16 || device->limits.max_items[1] < 16 ||
        device->limits.max_work_group < 256 || device->limits.local_bytes < 16384) {
        oce_device_close(device);
        device = NULL;
        cr_skip_test("the device has too small groups");
    }
}

static void close_device(void) {
    oce_device_close(device);
}

TestSuite(conv2d_implicit_gemm, .init = open_device, .fini = close_device);

static oce_conv2d_desc describe(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k,
                                int64_t window) {
    return conv2d_same(OCE_CONV2D_IMPLICIT_GEMM, n, h, w, c, k, window, window);
}

static void check_passes(const oce_conv2d_desc *desc, const conv2d_placing *placing,
                         uint64_t seed) {
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        conv2d_check(device, desc, (oce_pass)pass, placing, seed, 1e-5);
}

Test(conv2d_implicit_gemm, agrees_with_every_test_vector) {
    conv2d_check_vectors(device, OCE_CONV2D_IMPLICIT_GEMM);
}

Test(conv2d_implicit_gemm, agrees_with_the_reference_over_a_sweep_of_shapes) {
    const int count = test_is_small() ? 12 : 100;
    cr_expect_eq(conv2d_sweep(device, OCE_CONV2D_IMPLICIT_GEMM, count, 1, 1e-5), count);
}

/* Whole vectors of channels, and channels that are none, on either side; with halos. */
Test(conv2d_implicit_gemm, every_tile_computes_every_pass) {
    const conv2d_placing with_halos = {.x_halo = {1, 2, 3, 1}, .y_halo = {2, 1, 1, 2}, .before = 4};
    const oce_conv2d_desc descs[] = {describe(2, 9, 11, 20, 36, 3), describe(3, 7, 6, 3, 68, 5),
                                     describe(1, 12, 5, 1, 5, 5), describe(2, 5, 6, 8, 3, 1)};
    for (const char *tile = "AaBCDEeFGH"; *tile != '\0'; tile++) {
        device->limits.tile = *tile;
        if (test_is_small()) {
            const oce_conv2d_desc vector = describe(1, 5, 4, 4, 8, 3);
            const oce_conv2d_desc scalar = describe(1, 4, 5, 3, 5, 3);
            check_passes(&vector, NULL, 1);
            check_passes(&scalar, NULL, 2);
            continue;
        }
        for (int i = 0; i < (*tile == 'A' || *tile == 'G' ? OCE_COUNT(descs) : 2); i++)
            check_passes(&descs[i], i == 0 ? &with_halos : NULL, (uint64_t)i);
    }
}

/* Tiles of the depth of a step that holds several taps, parts of one, or parts of two. */
Test(conv2d_implicit_gemm, steps_hold_any_number_of_taps) {
    static const int64_t channels[] = {1, 2, 4, 5, 8, 12, 16, 20, 33, 64};
    for (int i = 0; i < (test_is_small() ? 4 : OCE_COUNT(channels)); i++) {
        oce_conv2d_desc d = describe(1, 4, 5, channels[i], 4, 3);
        d.window.size[1] = i % 2 == 0 ? 3 : 2;
        device->limits.tile = i % 2 == 0 ? 'A' : 'G';
        check_passes(&d, NULL, (uint64_t)i);
    }
}

/* Classes of pixels that no tap reaches, that all do, and that some do. */
Test(conv2d_implicit_gemm, strides_and_dilations) {
    for (int64_t stride = 1; stride <= (test_is_small() ? 2 : 4); stride++)
        for (int64_t dilation = 1; dilation <= (test_is_small() ? 2 : 3); dilation++) {
            oce_conv2d_desc d = describe(2, 9, 8, 4, 8, 3);
            d.window.stride[0] = stride;
            d.window.stride[1] = (stride + dilation) % 3 + 1;
            d.window.dilation[0] = dilation;
            d.window.dilation[1] = stride % 2 + 1;
            if (dilation == 2) {
                d.window.size[0] = 1; /* with a stride above 1, some rows reach no output */
                d.window.padding = OCE_PADDING_VALID;
            }
            check_passes(&d, NULL, (uint64_t)(stride * 4 + dilation));
        }
}

/* Tensors that start anywhere: no whole vectors then. */
Test(conv2d_implicit_gemm, tensors_may_start_anywhere) {
    for (int64_t before = 1; before < 4; before++) {
        const oce_conv2d_desc d = describe(1, 6, 5, 8, 12, 3);
        const conv2d_placing placing = {.before = before};
        check_passes(&d, &placing, (uint64_t)before);
    }
}

/* The order of a sum is the shape's: tiles may depend on the device, bits may not. */
Test(conv2d_implicit_gemm, all_tiles_give_the_same_bits) {
    if (!device->limits.has_fast_fma)
        cr_skip_test("the compiler may round mad() in each tile as it likes");
    const oce_conv2d_desc d =
        test_is_small() ? describe(1, 5, 6, 4, 4, 3) : describe(9, 19, 17, 12, 20, 3);
    const conv2d_data data = conv2d_random(&d, 5);
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
        int64_t s[4];
        float *first = NULL;
        conv2d_result_shape(&d, (oce_pass)pass, s);
        for (const char *tile = "ABDEG"; *tile != '\0'; tile++) {
            device->limits.tile = *tile;
            float *got = conv2d_run(device, &d, (oce_pass)pass, &data, NULL);
            if (first == NULL) {
                first = got;
                continue;
            }
            expect_bytes(got, first, (size_t)(s[0] * s[1] * s[2] * s[3]) * sizeof *got,
                         "tile %c, %s", *tile, conv2d_describe(&d, (oce_pass)pass));
            free(got);
        }
        free(first);
    }
    conv2d_free_data(&data);
}

/* Many pixels and a small filter: partial sums. The copy of a transposed filter for each class. */
Test(conv2d_implicit_gemm, workspace_is_what_the_shape_asks_for) {
    oce_conv2d_desc d = describe(128, 32, 32, 3, 64, 5);
    oce_conv2d_plan *plan = NULL;
    TEST_OK(oce_conv2d_plan_create(device, &d, OCE_PASS_FORWARD, &plan));
    cr_expect_eq(oce_conv2d_plan_workspace(plan, NULL), 0);
    oce_conv2d_plan_destroy(plan);
    TEST_OK(oce_conv2d_plan_create(device, &d, OCE_PASS_INPUT_GRAD, &plan));
    cr_expect_eq(oce_conv2d_plan_workspace(plan, NULL), 75 * 64 * sizeof(float));
    oce_conv2d_plan_destroy(plan);
    TEST_OK(oce_conv2d_plan_create(device, &d, OCE_PASS_FILTER_GRAD, &plan));
    cr_expect_eq(oce_conv2d_plan_workspace(plan, NULL), 256 * 75 * 64 * sizeof(float));
    oce_conv2d_plan_destroy(plan);
}

Test(conv2d_implicit_gemm, says_what_it_does_not_serve) {
    oce_conv2d_desc d = describe(1 << 20, 64, 64, 1, 1, 3);
    oce_conv2d_plan *plan = NULL;
    cr_expect_eq(oce_conv2d_plan_create(device, &d, OCE_PASS_FORWARD, &plan),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "more than 1073741824 pixels") != NULL, "%s",
              oce_last_error());
    d = describe(1, 2, 2, (1 << 23) + 1, 1, 1);
    cr_expect_eq(oce_conv2d_plan_create(device, &d, OCE_PASS_FORWARD, &plan),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "more than 8388608 channels") != NULL, "%s",
              oce_last_error());
    device->limits.is_cpu = true;
    d = describe(1, 2, 2, 1, 1, 1);
    cr_expect_eq(oce_conv2d_plan_create(device, &d, OCE_PASS_FORWARD, &plan),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "the device is a CPU") != NULL, "%s", oce_last_error());
}
