/* Bias gradient on the device, alone and with the ReLU's. */
#include "device/internal.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/halo.h"

#include <ocelli/elementwise.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const compare_limit exactly = {0, 0, 0};
static const compare_limit sums = {.of_largest = 3e-6};
static const oce_halo some_halo = {2, 1, 0, 3};

/* A call's tensors; y and dx may have halos. */
typedef struct bias_run {
    oce_device *device;
    int64_t shape[4];
    size_t count;
    oce_tensor dy, y, dx, db;
    oce_buffer *workspace;
    float *host_dy, *host_y;
} bias_run;

static bias_run run_open(oce_device *device, const int64_t shape[4], unsigned halos) {
    bias_run r = {.device = device, .shape = {shape[0], shape[1], shape[2], shape[3]}};
    r.count = test_product(shape[0], shape[1], shape[2], shape[3]);
    r.host_dy = test_random(r.count, 1);
    r.host_y = test_random(r.count, 2);
    const int64_t n = shape[0], h = shape[1], w = shape[2], k = shape[3];
    r.dy = test_tensor(device, n, h, w, k, halos & 1 ? &some_halo : NULL, r.host_dy);
    r.y = test_tensor(device, n, h, w, k, halos & 2 ? &some_halo : NULL, r.host_y);
    r.dx = test_tensor(device, n, h, w, k, halos & 4 ? &some_halo : NULL, NULL);
    r.db = test_tensor(device, 1, 1, 1, k, NULL, NULL);
    const size_t bytes = oce_bias_grad_workspace(n * h * w, k);
    if (bytes > 0)
        TEST_OK(oce_buffer_create(device, bytes, &r.workspace));
    return r;
}

static void run_close(bias_run *r) {
    free(r->host_y);
    free(r->host_dy);
    oce_buffer_destroy(r->workspace);
    oce_tensor_release(&r->db);
    oce_tensor_release(&r->dx);
    oce_tensor_release(&r->y);
    oce_tensor_release(&r->dy);
}

/* Compares db with the column sums of `dx`. */
static void expect_sums(const bias_run *r, const float *dx, const char *name) {
    const int64_t columns = r->shape[3];
    const int64_t rows = r->shape[0] * r->shape[1] * r->shape[2];
    float *expected = test_floats((size_t)columns), *got = test_download(&r->db);
    oce_ref_bias_grad(rows, columns, dx, expected);
    expect_floats(got, expected, (size_t)columns, NULL, sums, "%s: %lld rows of %lld", name,
                  (long long)rows, (long long)columns);
    free(got);
    free(expected);
}

static void expect_dx(const bias_run *r, const oce_tensor *tensor, const float *expected) {
    float *got = test_download(tensor);
    expect_floats(got, expected, r->count, r->shape, exactly, "dx");
    test_expect_clear_halo(tensor, "dx");
    free(got);
}

static void check_shape(oce_device *device, const int64_t shape[4], unsigned halos) {
    bias_run r = run_open(device, shape, halos);
    float *masked = test_floats(r.count);
    oce_ref_relu_grad(r.count, r.host_dy, r.host_y, masked);

    TEST_OK(oce_bias_grad(device, &r.dy, &r.db, r.workspace));
    expect_sums(&r, r.host_dy, "bias gradient");

    TEST_OK(oce_relu_bias_grad(device, &r.dy, &r.y, &r.dx, &r.db, r.workspace));
    expect_sums(&r, masked, "with ReLU");
    expect_dx(&r, &r.dx, masked);

    TEST_OK(oce_relu_bias_grad(device, &r.dy, &r.y, NULL, &r.db, r.workspace));
    expect_sums(&r, masked, "with ReLU, without dx");
    expect_dx(&r, &r.dy, r.host_dy);

    TEST_OK(oce_relu_bias_grad(device, &r.dy, NULL, &r.dx, &r.db, r.workspace));
    expect_sums(&r, r.host_dy, "a copy");
    expect_dx(&r, &r.dx, r.host_dy);

    TEST_OK(oce_relu_bias_grad(device, &r.dy, NULL, &r.dy, &r.db, r.workspace));
    expect_sums(&r, r.host_dy, "a copy to itself");

    TEST_OK(oce_relu_bias_grad(device, &r.dy, &r.y, &r.dy, &r.db, r.workspace));
    expect_sums(&r, masked, "with ReLU, in place");
    expect_dx(&r, &r.dy, masked);
    free(masked);
    run_close(&r);
}

Test(bias_grad, agrees_with_the_reference) {
    /* Channels for every vector width, rows around the limits of one part and of 512 parts. */
    static const int64_t shapes[][4] = {{50, 1, 1, 10}, {1, 1, 1, 1},   {129, 1, 1, 24},
                                        {3, 7, 13, 3},  {2, 9, 31, 64}, {128, 1, 1, 32},
                                        {2, 5, 6, 48},  {0, 4, 4, 5}};
    oce_device *device = test_open_device();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (unsigned halos = 0; halos < 8; halos += test_is_small() ? 3 : 1)
            check_shape(device, shapes[i], halos);
    oce_device_close(device);
}

Test(bias_grad, of_many_rows) {
    if (test_is_small())
        cr_skip_test("a simulator takes too long over 70,000 rows");
    static const int64_t shapes[][4] = {{70001, 1, 1, 4}, {10, 81, 83, 16}};
    oce_device *device = test_open_device();
    for (size_t i = 0; i < 2; i++)
        check_shape(device, shapes[i], 0);
    oce_device_close(device);
}

Test(bias_grad, fused_has_the_bits_of_the_single_operations) {
    static const int64_t shape[4] = {3, 11, 17, 20};
    oce_device *device = test_open_device();
    bias_run r = run_open(device, shape, 2);
    TEST_OK(oce_relu_bias_grad(device, &r.dy, &r.y, &r.dx, &r.db, r.workspace));
    float *dx = test_download(&r.dx), *db = test_download(&r.db);
    TEST_OK(oce_relu_grad(device, &r.dy, &r.y, &r.dx));
    TEST_OK(oce_bias_grad(device, &r.dx, &r.db, r.workspace));
    for (int repeat = 0; repeat < 3; repeat++) {
        float *dx2 = test_download(&r.dx), *db2 = test_download(&r.db);
        expect_bytes(dx2, dx, r.count * sizeof *dx, "dx");
        expect_bytes(db2, db, 20 * sizeof *db, "db");
        free(db2);
        free(dx2);
        TEST_OK(oce_bias_grad(device, &r.dx, &r.db, r.workspace));
    }
    free(db);
    free(dx);
    run_close(&r);
    oce_device_close(device);
}

Test(bias_grad, workspace_depends_on_the_shape) {
    cr_expect_eq(oce_bias_grad_workspace(0, 64), 0);
    cr_expect_eq(oce_bias_grad_workspace(128, 64), 0);
    cr_expect_eq(oce_bias_grad_workspace(129, 64), 2 * 64 * sizeof(float));
    cr_expect_eq(oce_bias_grad_workspace(131072, 64), 512 * 64 * sizeof(float));
    cr_expect_eq(oce_bias_grad_workspace(INT64_C(1) << 40, 64), 512 * 64 * sizeof(float));
}

/* The driver may break long loops off: 300 rows are three parts of 128. */
Test(bias_grad, refuses_rows_that_loops_are_too_short_for) {
    static const int64_t shape[4] = {3, 10, 10, 8};
    oce_device *device = test_open_device();
    if (device->limits.is_cpu) {
        bias_run r = run_open(device, shape, 0);
        device->limits.loop_rounds = 132;
        TEST_OK(oce_bias_grad(device, &r.dy, &r.db, r.workspace));
        device->limits.loop_rounds = 131;
        cr_expect_eq(oce_bias_grad(device, &r.dy, &r.db, r.workspace), OCE_ERROR_UNSUPPORTED);
        cr_expect_not_null(strstr(oce_last_error(), "300 rows an item takes 128"), "%s",
                           oce_last_error());
        run_close(&r);
    }
    oce_device_close(device);
}

Test(bias_grad, refuses_what_does_not_fit) {
    static const int64_t shape[4] = {2, 10, 10, 8};
    oce_device *device = test_open_device();
    bias_run r = run_open(device, shape, 0);
    oce_tensor wrong = test_tensor(device, 1, 1, 1, 7, NULL, NULL);
    oce_buffer *small = NULL;
    TEST_OK(oce_buffer_create(device, oce_bias_grad_workspace(200, 8) - 1, &small));
    cr_expect_eq(oce_bias_grad(device, &r.dy, &wrong, r.workspace), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_bias_grad(device, &r.dy, &r.db, small), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_bias_grad(device, &r.dy, &r.db, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_bias_grad(device, NULL, &r.db, r.workspace), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_bias_grad(device, &r.dy, NULL, r.workspace), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_relu_bias_grad(device, &r.dy, &wrong, &r.dx, &r.db, r.workspace),
                 OCE_ERROR_SHAPE);
    cr_expect_eq(oce_relu_bias_grad(device, &r.dy, &r.y, &wrong, &r.db, r.workspace),
                 OCE_ERROR_SHAPE);
    oce_buffer_destroy(small);
    oce_tensor_release(&wrong);
    run_close(&r);
    oce_device_close(device);
}
