/* The matrix product, by every family, against src/ref. */
#include "support/compare.h"
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/device.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The families that the device has, panel only on CPUs, tiled only on GPUs; returns how many. */
static int families_of(oce_device *device, oce_gemm_family families[OCE_GEMM_FAMILIES]) {
    const oce_gemm_family own = oce_device_limits(device)->is_cpu ? OCE_GEMM_PANEL : OCE_GEMM_TILED;
    int count = 0;
    families[count++] = OCE_GEMM_NAIVE;
    if (gemm_serves(device, own))
        families[count++] = own;
    /* a simulator takes minutes to build CLBlast's kernels */
    if (!test_is_small() && gemm_serves(device, OCE_GEMM_CLBLAST))
        families[count++] = OCE_GEMM_CLBLAST;
    return count;
}

/* ---- Values -------------------------------------------------------------------------------- */

Test(gemm, families_compute_every_transpose) {
    static const int64_t shapes[][3] = {{1, 1, 1},   {3, 5, 7},    {8, 16, 16},  {17, 10, 33},
                                        {6, 64, 16}, {13, 65, 31}, {50, 10, 64}, {2, 129, 40}};
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    const int count = families_of(device, families);
    for (int f = 0; f < count; f++)
        for (int i = 0; i < OCE_COUNT(shapes); i++)
            gemm_check_shape(device, families[f], shapes[i][0], shapes[i][1], shapes[i][2],
                             (uint64_t)i);
    oce_device_close(device);
}

Test(gemm, bias_and_relu_in_every_combination) {
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    const int count = families_of(device, families);
    for (int f = 0; f < count; f++)
        for (int finish = 0; finish < 4; finish++) {
            const oce_gemm_desc desc = {
                .m = 9,
                .n = 21,
                .k = 12,
                .activation = finish & 1 ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
                .family = families[f],
            };
            gemm_check(device, &desc, finish & 2, NULL, 50);
        }
    oce_device_close(device);
}

/* With and without offsets, in one block and in buffers that end with the tensor. */
Test(gemm, tensors_may_lie_anywhere) {
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    const int count = families_of(device, families);
    for (int f = 0; f < count; f++)
        for (int64_t before = 0; before < 70; before += 23)
            for (int block = 0; block < 2; block++) {
                const oce_gemm_desc desc = {.m = 7, .n = 18, .k = 20, .family = families[f]};
                const gemm_placing placing = {block, before};
                gemm_check(device, &desc, true, &placing, 60);
            }
    oce_device_close(device);
}

/* A sum so long that it is taken in parts. */
Test(gemm, long_sums) {
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    const int count = families_of(device, families);
    for (int f = 0; f < (test_is_small() ? 1 : count); f++) {
        const oce_gemm_desc desc = {.m = 2,
                                    .n = 3,
                                    .k = test_is_small() ? 33001 : 70001,
                                    .activation = OCE_ACTIVATION_RELU,
                                    .family = families[f]};
        gemm_check(device, &desc, true, NULL, 65);
    }
    oce_device_close(device);
}

/* NaN stays NaN, and -0 becomes 0, so that 1 / y is never -inf. */
Test(gemm, relu_keeps_nan) {
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    int count = families_of(device, families);
    if (gemm_serves(device, OCE_GEMM_THIN))
        families[count++] = OCE_GEMM_THIN;
    const float a[] = {1}, b[] = {NAN, -1, 2, -0.0F};
    for (int f = 0; f < count; f++) {
        const oce_gemm_desc desc = {
            .m = 1, .n = 4, .k = 1, .activation = OCE_ACTIVATION_RELU, .family = families[f]};
        float *c = gemm_run(device, &desc, &(gemm_data){a, b, NULL}, NULL);
        cr_expect(isnan(c[0]));
        cr_expect_eq(c[1], 0);
        cr_expect_eq(c[2], 2);
        cr_expect(c[3] == 0 && !signbit(c[3]));
        free(c);
    }
    oce_device_close(device);
}

/* CLBlast's batched routine, which computes parts of a long sum, must not be told of offsets. */
Test(gemm, clblast_sums_parts_of_operands_at_offsets) {
    oce_device *device = test_open_device();
    if (test_is_small() || !gemm_serves(device, OCE_GEMM_CLBLAST))
        cr_skip_test("CLBlast does not serve this device, or a simulator takes minutes over it");
    if (oce_device_limits(device)->max_allocation < 19 << 20)
        cr_skip_test("the largest allocation has no room for a matrix of 19 MB");
    for (unsigned form = 0; form < 4; form++) {
        const oce_gemm_desc desc = {.m = 576,
                                    .n = 128,
                                    .k = 8192,
                                    .transpose_a = form & 1,
                                    .transpose_b = form & 2,
                                    .family = OCE_GEMM_CLBLAST};
        gemm_check(device, &desc, false, &(gemm_placing){false, 64}, form);
    }
    oce_device_close(device);
}

Test(gemm, empty_sum_is_activated_bias) {
    oce_device *device = test_open_device();
    const oce_gemm_family families[] = {OCE_GEMM_NAIVE, OCE_GEMM_CLBLAST,
                                        oce_device_limits(device)->is_cpu ? OCE_GEMM_PANEL
                                                                          : OCE_GEMM_TILED};
    const int count = OCE_COUNT(families);
    for (int f = 0; f < count; f++)
        for (unsigned form = 0; form < 16 && gemm_serves(device, families[f]); form++) {
            const oce_gemm_desc desc = {
                .m = 11,
                .n = 19,
                .k = 0,
                .transpose_a = form & 1,
                .transpose_b = form & 2,
                .activation = form & 4 ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
                .family = families[f],
            };
            gemm_check(device, &desc, form & 8, &(gemm_placing){true, 5}, form);
        }
    oce_device_close(device);
}

Test(gemm, empty_result_writes_nothing) {
    oce_device *device = test_open_device();
    for (int family = OCE_GEMM_AUTO; family < OCE_GEMM_FAMILIES; family++) {
        if (!gemm_serves(device, (oce_gemm_family)family))
            continue;
        static const int64_t shapes[][3] = {{0, 5, 7}, {5, 0, 7}, {0, 0, 0}, {0, 3, 0}};
        for (int i = 0; i < OCE_COUNT(shapes); i++) {
            const oce_gemm_desc desc = {.m = shapes[i][0],
                                        .n = shapes[i][1],
                                        .k = shapes[i][2],
                                        .family = (oce_gemm_family)family};
            gemm_check(device, &desc, true, NULL, 70);
        }
    }
    oce_device_close(device);
}

Test(gemm, activation_serves_as_matrix) {
    oce_device *device = test_open_device();
    const oce_gemm_desc desc = {.m = 2, .n = 3, .k = 24};
    const gemm_data data = gemm_random(&desc, false, 80);
    oce_tensor x = test_tensor(device, 2, 2, 3, 4, NULL, data.a);
    oce_tensor w = test_tensor(device, 24, 1, 1, 3, NULL, data.b);
    oce_tensor y = test_tensor(device, 2, 1, 1, 3, NULL, NULL);
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_assert_eq(oce_gemm_plan_workspace(plan), 0);
    TEST_OK(oce_gemm_run(plan, &x, &w, NULL, &y, NULL));
    float *got = test_download(&y), *expected = gemm_expected(&desc, &data);
    expect_floats(got, expected, 6, NULL, (compare_limit){.of_largest = 1e-5}, "x [2,2,3,4]");
    free(got);
    free(expected);
    gemm_free_data(&data);
    oce_gemm_plan_destroy(plan);
    oce_tensor_release(&x);
    oce_tensor_release(&w);
    oce_tensor_release(&y);
    oce_device_close(device);
}

Test(gemm, repeats_are_bit_identical) {
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    const int count = families_of(device, families);
    for (int f = 0; f < count; f++) {
        const oce_gemm_desc desc = {.m = test_is_small() ? 5 : 50,
                                    .n = 70,
                                    .k = test_is_small() ? 200 : 3000,
                                    .activation = OCE_ACTIVATION_RELU,
                                    .family = families[f]};
        const gemm_data data = gemm_random(&desc, true, 90);
        float *first = gemm_run(device, &desc, &data, NULL);
        for (int repeat = 0; repeat < 3; repeat++) {
            float *again = gemm_run(device, &desc, &data, NULL);
            cr_expect(memcmp(first, again, (size_t)(desc.m * desc.n) * sizeof *first) == 0, "%s",
                      oce_gemm_family_name(desc.family));
            free(again);
        }
        free(first);
        gemm_free_data(&data);
    }
    oce_device_close(device);
}

/* ---- Gradients of a dense layer ------------------------------------------------------------ */

/* Y = X W + b, on the device. */
typedef struct dense {
    oce_device *device;
    oce_gemm_desc desc; /* of the forward product */
    float *x, *w, *b;
} dense;

static void dense_forward(const void *op, float *y) {
    const dense *d = op;
    float *c = gemm_run(d->device, &d->desc, &(gemm_data){d->x, d->w, d->b}, NULL);
    memcpy(y, c, (size_t)(d->desc.m * d->desc.n) * sizeof *y);
    free(c);
}

/* The inputs are multiples of 1/8 and the step is 1/2, so all sums are exact: ask for equality. */
static void check_dense(oce_device *device, oce_gemm_family family) {
    const int64_t rows = 3, inputs = test_is_small() ? 5 : 18, outputs = 7;
    const size_t m = (size_t)rows, k = (size_t)inputs, n = (size_t)outputs;
    oce_random random;
    oce_random_init(&random, 100, OCE_RANDOM_TEST, 0);
    const dense d = {device,
                     {.m = rows, .n = outputs, .k = inputs, .family = family},
                     test_eighths(&random, m * k),
                     test_eighths(&random, k * n),
                     test_eighths(&random, n)};
    float *dy = test_eighths(&random, m * n);
    const oce_gemm_desc to_x = {
        .m = rows, .n = inputs, .k = outputs, .transpose_b = true, .family = family};
    const oce_gemm_desc to_w = {
        .m = inputs, .n = outputs, .k = rows, .transpose_a = true, .family = family};
    float *dx = gemm_run(device, &to_x, &(gemm_data){dy, d.w, NULL}, NULL);
    float *dw = gemm_run(device, &to_w, &(gemm_data){d.x, dy, NULL}, NULL);
    const gradient_loss loss = {dense_forward, &d, dy, m * n};
    const compare_limit exactly = {0, 0, 0};
    const char *name = oce_gemm_family_name(family);
    check_gradient(&loss, d.x, m * k, 0.5F, dx, exactly, name, "dX = dY W^T");
    check_gradient(&loss, d.w, k * n, 0.5F, dw, exactly, name, "dW = X^T dY");
    free(d.x);
    free(d.w);
    free(d.b);
    free(dy);
    free(dx);
    free(dw);
}

Test(gemm, dense_gradients_are_derivatives) {
    oce_device *device = test_open_device();
    oce_gemm_family families[OCE_GEMM_FAMILIES];
    const int count = families_of(device, families);
    for (int f = 0; f < count; f++)
        check_dense(device, families[f]);
    oce_device_close(device);
}
