/* Sums in work-groups, the GPU forms of softmax and bias gradient: whatever the device, so that
 * every test run has them, and with the same bits for every size of the group. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "base/random.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/xent.h"

#include <ocelli/elementwise.h>

#include <criterion/criterion.h>

#include <stdlib.h>

/* The default device with kernels for GPUs, limited as OCELLI_CAP says. */
static oce_device *open_as_gpu(const char *cap) {
    setenv("OCELLI_DEVICE_CLASS", "gpu", 1);
    setenv("OCELLI_CAP", cap, 1);
    return test_open_device();
}

/* One group, several with a last one that is not full, 16 and 64 items a row. */
static const int64_t shapes[][2] = {{50, 10}, {600, 10}, {300, 32}, {33, 33}, {20, 1000}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static xent_run run_of(int64_t rows, int64_t classes) {
    float *z = test_random((size_t)(rows * classes), 1);
    uint8_t *labels = calloc((size_t)rows, 1);
    for (int64_t i = 0; i < rows; i++)
        labels[i] = (uint8_t)(i * 7 % (classes < 256 ? classes : 256));
    return (xent_run){
        .rows = rows, .classes = classes, .z = z, .labels = labels, .upstream = 0.125F};
}

static void free_run(xent_run *run) {
    free((void *)run->z);
    free((void *)run->labels);
}

Test(group_reductions, cross_entropy_agrees_with_the_reference) {
    oce_device *device = open_as_gpu("");
    for (int i = 0; i < SHAPES; i++)
        for (int in_place = 0; in_place < 2; in_place++) {
            xent_run run = run_of(shapes[i][0], shapes[i][1]);
            xent_check(device, &run, in_place != 0);
            free_run(&run);
        }
    oce_device_close(device);
}

static const char *const caps[] = {"work-group=64", "work-group=8", "work-group=1"};

Test(group_reductions, cross_entropy_has_the_same_bits_for_every_group) {
    for (int i = 0; i < SHAPES; i++) {
        xent_run expected = run_of(shapes[i][0], shapes[i][1]), run = expected;
        const size_t count = (size_t)(expected.rows * expected.classes);
        oce_device *device = open_as_gpu("");
        xent_run_on(device, &expected, false);
        oce_device_close(device);
        for (size_t c = 0; c < sizeof caps / sizeof caps[0]; c++) {
            device = open_as_gpu(caps[c]);
            xent_run_on(device, &run, false);
            expect_bytes(&run.sums, &expected.sums, sizeof run.sums, "sums, %s", caps[c]);
            expect_bytes(run.dz, expected.dz, count * sizeof(float), "gradient, %s", caps[c]);
            free(run.predictions);
            free(run.dz);
            oce_device_close(device);
        }
        free(expected.predictions);
        free(expected.dz);
        free_run(&expected);
    }
}

/* Column sums of ReLU gradients. Takes all of `host`; free() the result. */
static float *bias_grad_on(const char *cap, const int64_t dim[4], const oce_halo *halo,
                           const float *host_dy, const float *host_y) {
    oce_device *device = open_as_gpu(cap);
    oce_tensor dy = test_tensor(device, dim[0], dim[1], dim[2], dim[3], halo, host_dy);
    oce_tensor y = test_tensor(device, dim[0], dim[1], dim[2], dim[3], NULL, host_y);
    oce_tensor db = test_tensor(device, 1, 1, 1, dim[3], NULL, NULL);
    oce_buffer *workspace = NULL;
    const size_t bytes = oce_bias_grad_workspace(dim[0] * dim[1] * dim[2], dim[3]);
    if (bytes > 0)
        TEST_OK(oce_buffer_create(device, bytes, &workspace));
    TEST_OK(oce_relu_bias_grad(device, &dy, &y, &dy, &db, workspace));
    float *sums = test_download(&db);
    oce_buffer_destroy(workspace);
    oce_tensor_release(&db);
    oce_tensor_release(&y);
    oce_tensor_release(&dy);
    oce_device_close(device);
    return sums;
}

Test(group_reductions, column_sums_agree_and_have_the_same_bits_for_every_group) {
    static const int64_t dims[][4] = {{2, 9, 31, 64}, {3, 7, 13, 3}, {50, 1, 1, 130}};
    static const oce_halo halo = {1, 2, 0, 3};
    for (int i = 0; i < 3; i++) {
        const int64_t *dim = dims[i], rows = dim[0] * dim[1] * dim[2];
        const size_t count = (size_t)(rows * dim[3]), columns = (size_t)dim[3];
        float *dy = test_random(count, 2), *y = test_random(count, 3), *masked = test_floats(count);
        float *expected = test_floats(columns);
        oce_ref_relu_grad(count, dy, y, masked);
        oce_ref_bias_grad(rows, dim[3], masked, expected);
        float *sums = bias_grad_on("", dim, i == 1 ? &halo : NULL, dy, y);
        expect_floats(sums, expected, columns, NULL, (compare_limit){.of_largest = 3e-6}, "sums");
        for (size_t c = 0; c < sizeof caps / sizeof caps[0]; c++) {
            float *again = bias_grad_on(caps[c], dim, i == 1 ? &halo : NULL, dy, y);
            expect_bytes(again, sums, columns * sizeof *sums, "sums, %s", caps[c]);
            free(again);
        }
        free(sums);
        free(expected);
        free(masked);
        free(y);
        free(dy);
    }
}
