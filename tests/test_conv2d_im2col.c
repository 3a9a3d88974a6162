/* The im2col family of the convolution: slabs, bands of rows, windows that need no copy. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"
#include "support/gemm.h"

#include "device/device.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static oce_conv2d_desc describe(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k,
                                int64_t window) {
    return conv2d_same(OCE_CONV2D_IM2COL, n, h, w, c, k, window, window);
}

static void check_passes(oce_device *device, const oce_conv2d_desc *desc,
                         const conv2d_placing *placing, uint64_t seed) {
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        conv2d_check(device, desc, (oce_pass)pass, placing, seed, 1e-5);
}

Test(conv2d_im2col, agrees_with_every_test_vector) {
    oce_device *device = test_open_device();
    conv2d_check_vectors(device, OCE_CONV2D_IM2COL);
    oce_device_close(device);
}

Test(conv2d_im2col, agrees_with_the_reference_over_a_sweep_of_shapes) {
    oce_device *device = test_open_device();
    const int count = test_is_small() ? 12 : 100;
    cr_expect_eq(conv2d_sweep(device, OCE_CONV2D_IM2COL, count, 3, 1e-5), count);
    oce_device_close(device);
}

/* Halos and gaps make copies of what is otherwise its own matrix. */
Test(conv2d_im2col, needs_no_columns_for_a_window_of_one_pixel) {
    const conv2d_placing with_halos = {.x_halo = {1, 2, 3, 1}, .y_halo = {2, 1, 1, 2}, .before = 4};
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = describe(3, 5, 4, 8, 12, 1);
    check_passes(device, &desc, NULL, 1);
    check_passes(device, &desc, &with_halos, 2);
    desc.window.stride[1] = 2; /* not its own matrix */
    check_passes(device, &desc, NULL, 3);
    desc = describe(3, 5, 4, 8, 12, 1);
    desc.window.padding = OCE_PADDING_EXPLICIT;
    desc.window.before[0] = desc.window.after[0] = 1;
    check_passes(device, &desc, NULL, 4);
    oce_device_close(device);
}

/* AUTO on CPUs: gradients of windows of one pixel are products; the filter gradient of many pixels
 * and many channels is not, nor a tensor larger than a slab. */
Test(conv2d_im2col, serves_gradients_of_single_pixels_on_cpus) {
    const struct {
        int64_t n, c, k, window;
        oce_pass pass;
        bool is_product;
    } cases[] = {{3, 20, 33, 1, OCE_PASS_INPUT_GRAD, true},
                 {3, 20, 33, 1, OCE_PASS_FILTER_GRAD, true},
                 {3, 20, 33, 1, OCE_PASS_FORWARD, false},
                 {3, 20, 33, 3, OCE_PASS_INPUT_GRAD, false},
                 {9, 20, 33, 1, OCE_PASS_FILTER_GRAD, false},
                 {9, 20, 4, 1, OCE_PASS_FILTER_GRAD, true},
                 {9, 3, 33, 1, OCE_PASS_FILTER_GRAD, true},
                 {10000, 20, 33, 1, OCE_PASS_INPUT_GRAD, false}};
    oce_device *device = test_open_device();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        oce_conv2d_desc desc = describe(cases[i].n, 5, 4, cases[i].c, cases[i].k, cases[i].window);
        desc.family = OCE_CONV2D_AUTO;
        oce_conv2d_plan *plan = NULL;
        TEST_OK(conv2d_plan(device, &desc, cases[i].pass, &plan));
        const bool is_product = oce_conv2d_plan_family(plan, cases[i].pass) == OCE_CONV2D_IM2COL;
        if (oce_device_limits(device)->is_cpu)
            cr_expect_eq(is_product, cases[i].is_product, "case %zu", i);
        oce_conv2d_plan_destroy(plan);
        if (cases[i].n < 10)
            conv2d_check(device, &desc, cases[i].pass, NULL, i, 1e-5);
    }
    oce_conv2d_desc empty = describe(3, 5, 4, 0, 0, 1);
    empty.family = OCE_CONV2D_AUTO;
    conv2d_check(device, &empty, OCE_PASS_FILTER_GRAD, NULL, 9, 1e-5);
    oce_device_close(device);
}

/* AUTO on CPUs: large filters for few pixels, where Winograd does not serve. */
Test(conv2d_im2col, serves_large_filters_for_few_pixels_on_cpus) {
    const struct {
        int64_t n, h, w, c, k, window, dilation;
        bool is_product, is_product_back, is_product_filter;
    } cases[] = {{1, 7, 9, 190, 310, 3, 2, true, true, true},
                 {4, 11, 8, 190, 310, 3, 2, true, true, false},
                 {1, 7, 9, 190, 310, 3, 7, false, false, false},  /* most taps outside */
                 {4, 11, 9, 190, 310, 3, 2, false, false, false}, /* more pixels */
                 {1, 7, 9, 190, 300, 3, 2, false, false, false}}; /* a smaller filter */
    oce_device *device = test_open_device();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        oce_conv2d_desc desc =
            describe(cases[i].n, cases[i].h, cases[i].w, cases[i].c, cases[i].k, cases[i].window);
        desc.family = OCE_CONV2D_AUTO;
        desc.window.dilation[0] = desc.window.dilation[1] = cases[i].dilation;
        const bool expected[] = {cases[i].is_product, cases[i].is_product_back,
                                 cases[i].is_product_filter};
        for (int p = 0; p < 3; p++) {
            const oce_pass pass = (oce_pass)(OCE_PASS_FORWARD << p);
            oce_conv2d_plan *plan = NULL;
            TEST_OK(conv2d_plan(device, &desc, pass, &plan));
            if (oce_device_limits(device)->is_cpu)
                cr_expect_eq(oce_conv2d_plan_family(plan, pass) == OCE_CONV2D_IM2COL, expected[p],
                             "case %zu, pass %d", i, p);
            oce_conv2d_plan_destroy(plan);
            if (i == 0 && !test_is_small())
                conv2d_check(device, &desc, pass, NULL, i, 1e-5);
        }
    }
    oce_device_close(device);
}

/* A cap of 64 KB leaves 8,192 floats for a slab: several slabs and a shorter last one; of the input
 * gradient whole images, or rows of one. */
Test(conv2d_im2col, divides_what_does_not_fit_into_slabs) {
    const conv2d_placing with_halos = {.x_halo = {1, 1, 2, 1}, .y_halo = {1, 0, 2, 1}, .before = 1};
    setenv("OCELLI_CAP", "allocation=64K", 1);
    oce_device *device = test_open_device();
    oce_conv2d_desc desc = describe(5, 6, 7, 3, 4, 3); /* 31 floats a pixel, 6 images a slab */
    check_passes(device, &desc, NULL, 1);
    desc = describe(7, 9, 11, 4, 4, 3); /* 40 a pixel: 2 images */
    check_passes(device, &desc, &with_halos, 2);
    desc = describe(2, 14, 13, 8, 5, 3); /* 77 a pixel: rows of an image */
    check_passes(device, &desc, NULL, 3);
    desc.window.stride[0] = 2;
    desc.window.stride[1] = 3;
    desc.window.dilation[0] = 2;
    check_passes(device, &desc, NULL, 4);
    desc.window = (oce_window){.size = {1, 2}, .stride = {3, 1}, .padding = OCE_PADDING_VALID};
    desc.batch = 1, desc.height = 5, desc.width = 44;
    desc.channels = 60; /* some rows of X reach no row of Y */
    check_passes(device, &desc, NULL, 5);
    oce_device_close(device);
}

Test(conv2d_im2col, says_what_does_not_fit) {
    setenv("OCELLI_CAP", "allocation=64K", 1);
    oce_device *device = test_open_device();
    oce_conv2d_plan *plan = NULL;
    oce_conv2d_desc desc = describe(1, 8, 8, 200, 8, 7); /* 9,808 floats a pixel */
    cr_expect_eq(conv2d_plan(device, &desc, OCE_PASS_FORWARD, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "a pixel takes 9808 floats of workspace") != NULL, "%s",
              oce_last_error());
    desc = describe(1, 90, 90, 10, 6, 3); /* 96 floats a pixel: a row, not three */
    cr_expect_eq(conv2d_plan(device, &desc, OCE_PASS_INPUT_GRAD, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "the rows of Y that one row of X reaches") != NULL, "%s",
              oce_last_error());
    TEST_OK(conv2d_plan(device, &desc, OCE_PASS_FORWARD, &plan));
    cr_expect(oce_conv2d_plan_workspace(plan, NULL) <= 65536);
    oce_conv2d_plan_destroy(plan);
    oce_device_close(device);
}

/* The sum's parts depend on the shape only, up to the smallest allocation that OpenCL allows. */
Test(conv2d_im2col, adds_in_the_same_order_whatever_the_device_allows) {
    if (test_is_small())
        return;
    oce_conv2d_desc desc = describe(40, 60, 60, 4, 8, 5); /* 108 floats a pixel: 2 slabs */
    conv2d_data data = conv2d_random(&desc, 1);
    float *results[2];
    static const char *const caps[] = {"", "allocation=128M"};
    for (int i = 0; i < 2; i++) {
        setenv("OCELLI_CAP", caps[i], 1);
        oce_device *device = test_open_device();
        results[i] = conv2d_run(device, &desc, OCE_PASS_FILTER_GRAD, &data, NULL);
        oce_device_close(device);
    }
    expect_bytes(results[1], results[0], 5 * 5 * 4 * 8 * sizeof(float), "filter gradient");
    free(results[0]);
    free(results[1]);
    conv2d_free_data(&data);
}

/* The products' family can be forced, and then nothing else will do. */
Test(conv2d_im2col, takes_the_family_of_products_that_is_asked_for) {
    static const oce_gemm_family families[] = {OCE_GEMM_NAIVE, OCE_GEMM_CLBLAST};
    oce_device *device = test_open_device();
    for (int i = 0; i < (test_is_small() ? 1 : 2) && gemm_serves(device, families[i]); i++) {
        oce_conv2d_desc desc = describe(2, 6, 7, 3, 5, 3);
        desc.gemm_family = families[i];
        check_passes(device, &desc, NULL, 1);
    }
    oce_device_close(device);
    setenv("OCELLI_CAP", "work-group=16", 1);
    device = test_open_device();
    oce_conv2d_plan *plan = NULL;
    oce_conv2d_desc desc = describe(2, 6, 7, 3, 5, 3);
    desc.gemm_family = OCE_GEMM_CLBLAST;
    cr_expect_eq(oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "CLBlast needs groups of 64 items") != NULL, "%s",
              oce_last_error());
    desc.gemm_family = OCE_GEMM_AUTO;
    check_passes(device, &desc, NULL, 2);
    oce_device_close(device);
}
