/* A dense layer as products, and products of matrices that are stored in panels, in every shape and
 * width; which panels a layer gets. */
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/internal.h"
#include "ops/gemm_internal.h"

#include <ocelli/dense.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/* ---- Values -------------------------------------------------------------------------------- */

/* Products of panels, `panels` of them: of B, of C, of both, and of a transposed B. m: rows of A;
 * other: the third extent. */
static void check_panels(oce_device *device, int64_t panels, int64_t m, int64_t other,
                         uint64_t seed) {
    const int vector = device->limits.vector_width;
    const int64_t width = (int64_t)(seed % 3 == 0 ? 4 : seed % 3) * vector;
    const int64_t columns = panels * width;
    const unsigned finish = (unsigned)seed % 4;
    const oce_gemm_desc descs[] = {
        {.m = m, .n = columns, .k = other, .b_panel = width},
        {.m = m, .n = columns, .k = other, .transpose_a = true, .c_panel = width},
        {.m = m, .n = columns, .k = other, .b_panel = width, .c_panel = width},
        {.m = m, .n = other, .k = columns, .transpose_b = true, .b_panel = width},
        {.m = m, .n = other, .k = columns, .transpose_b = true, .b_panel = vector},
    };
    for (int i = 0; i < OCE_COUNT(descs); i++) {
        oce_gemm_desc d = descs[i];
        const gemm_placing placing = {(seed / 2 + (uint64_t)i) % 2 == 1, (int64_t)(seed % 7)};
        d.activation = finish & 1 ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE;
        d.family = OCE_GEMM_PANEL;
        d.keeps_b = finish == 3; /* there is nothing left to prepare */
        if (oce_gemm_has_tile(&d, &device->limits))
            gemm_check(device, &d, finish & 2, &placing, seed + (uint64_t)i);
    }
}

static void sweep_width(int width) {
    oce_device *device = gemm_open_cpu(width, OCE_GEMM_PANEL);
    const int64_t limit = test_is_small() ? 20 : 150;
    oce_random random;
    oce_random_init(&random, 1000 + (uint64_t)width, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < (test_is_small() ? 3 : 15); i++)
        check_panels(device, test_between(&random, 1, test_is_small() ? 2 : 7),
                     test_between(&random, 1, limit), test_between(&random, 1, limit), (uint64_t)i);
    oce_device_close(device);
}

Test(dense, odd_shapes) {
    sweep_width(0);
}

Test(dense, odd_shapes_in_vectors_of_8) {
    sweep_width(8);
}

Test(dense, odd_shapes_in_vectors_of_4) {
    sweep_width(4);
}

/* K blocks that begin within a panel of a transposed B. */
Test(dense, little_local_memory) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    device->limits.local_bytes = 12000;
    for (uint64_t seed = 0; seed < (test_is_small() ? 2 : 6); seed++)
        check_panels(device, 2 + (int64_t)seed, 21, 37, seed);
    oce_device_close(device);
}

/* Partial sums lie as C does, and gemm_reduce adds them. */
Test(dense, splits_of_k) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    const int64_t width = (int64_t)4 * device->limits.vector_width;
    for (unsigned form = 0; form < (test_is_small() ? 1 : 4); form++) {
        const oce_gemm_desc desc = {.m = 33,
                                    .n = 2 * width,
                                    .k = test_is_small() ? 3000 : 13001,
                                    .transpose_a = form & 1,
                                    .activation = OCE_ACTIVATION_RELU,
                                    .family = OCE_GEMM_PANEL,
                                    .b_panel = form & 2 ? 0 : width,
                                    .c_panel = width};
        oce_gemm_plan *plan = NULL;
        TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
        cr_expect_gt(oce_gemm_plan_workspace(plan), 0);
        oce_gemm_plan_destroy(plan);
        gemm_check(device, &desc, true, NULL, form);
    }
    oce_device_close(device);
}

/* The three of a dense layer. */
Test(dense, every_pass) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    const int64_t width = (int64_t)4 * device->limits.vector_width;
    const oce_dense_desc dense = {.batch = 9,
                                  .inputs = 41,
                                  .units = 2 * width,
                                  .activation = OCE_ACTIVATION_RELU,
                                  .family = OCE_GEMM_PANEL,
                                  .panel = width};
    static const oce_pass passes[] = {OCE_PASS_FORWARD, OCE_PASS_INPUT_GRAD, OCE_PASS_FILTER_GRAD};
    for (int i = 0; i < OCE_COUNT(passes); i++) {
        const oce_gemm_desc desc = oce_dense_product(&dense, passes[i]);
        gemm_check(device, &desc, passes[i] == OCE_PASS_FORWARD, NULL, (uint64_t)i);
    }
    oce_device_close(device);
}

/* What the others are compared with, src/ref. [2,6] in panels of 3: 0 1 2, 6 7 8, then 3 4 5, 9
 * 10 11. */
Test(dense, panels_lie_one_after_the_other) {
    static const float values[12] = {0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11},
                       identity[4] = {1, 0, 0, 1};
    const oce_gemm_desc of_b = {.m = 2, .n = 6, .k = 2, .b_panel = 3};
    const oce_gemm_desc of_c = {.m = 2, .n = 6, .k = 2, .b_panel = 3, .c_panel = 3};
    const oce_gemm_desc transposed = {.m = 2, .n = 2, .k = 6, .transpose_b = true, .b_panel = 3};
    static const float ones[12] = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1};
    float *c = gemm_expected(&of_b, &(gemm_data){identity, values, NULL});
    for (int i = 0; i < 12; i++)
        cr_expect_eq(c[i], (float)i);
    free(c);
    c = gemm_expected(&of_c, &(gemm_data){identity, values, NULL});
    cr_expect(memcmp(c, values, sizeof values) == 0);
    free(c);
    c = gemm_expected(&transposed, &(gemm_data){ones, values, NULL});
    cr_expect(c[0] == 15 && c[1] == 51 && c[2] == 5 && c[3] == 11, "%g %g %g %g", (double)c[0],
              (double)c[1], (double)c[2], (double)c[3]);
    free(c);
}

Test(dense, layers_of_the_networks) {
    static const int64_t shapes[][3] = {{50, 3136, 1024}, {128, 8192, 384}};
    static const oce_pass passes[] = {OCE_PASS_FORWARD, OCE_PASS_INPUT_GRAD, OCE_PASS_FILTER_GRAD};
    if (test_is_small())
        cr_skip_test("too large for a simulator");
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (int i = 0; i < OCE_COUNT(shapes) * 3; i++) {
        oce_dense_desc dense = {
            .batch = shapes[i / 3][0], .inputs = shapes[i / 3][1], .units = shapes[i / 3][2]};
        dense.panel = oce_dense_panel(device, &dense);
        cr_expect_gt(dense.panel, 0);
        const oce_gemm_desc desc = oce_dense_product(&dense, passes[i % 3]);
        gemm_check(device, &desc, false, NULL, (uint64_t)i);
    }
    oce_device_close(device);
}

/* ---- Which panels -------------------------------------------------------------------------- */

static int64_t best_panel(int64_t m, int64_t n, int64_t k, int width, int registers,
                          oce_gemm_family family) {
    const oce_limits limits = {.is_cpu = true,
                               .vector_width = width,
                               .vector_registers = registers,
                               .compute_units = 4,
                               .local_bytes = 1 << 20,
                               .loop_rounds = INT64_MAX};
    const oce_gemm_desc desc = {.m = m, .n = n, .k = k, .family = family};
    return oce_gemm_best_panel(&desc, &limits);
}

/* Those of the tile that serves rows, or one that costs no more and divides the columns. */
Test(dense, panels_are_a_tile_wide) {
    cr_expect_eq(best_panel(50, 1024, 3136, 16, 32, OCE_GEMM_AUTO), 64);
    cr_expect_eq(best_panel(50, 1024, 3136, 8, 16, OCE_GEMM_AUTO), 16);
    cr_expect_eq(best_panel(50, 1024, 3136, 4, 32, OCE_GEMM_OWN), 16);
    cr_expect_eq(best_panel(50, 96, 3136, 16, 32, OCE_GEMM_PANEL), 32);
    cr_expect_eq(best_panel(50, 1000, 3136, 16, 32, OCE_GEMM_AUTO), 0, "nothing divides it");
    cr_expect_eq(best_panel(1, 1024, 3136, 16, 32, OCE_GEMM_AUTO), 0, "thin takes rows");
    cr_expect_eq(best_panel(50, 1024, 3136, 16, 32, OCE_GEMM_NAIVE), 0);
    cr_expect_eq(best_panel(50, 1024, 3136, 16, 32, OCE_GEMM_CLBLAST), 0);
}

Test(dense, layers_get_panels_where_they_pay) {
    oce_device *device = test_open_device();
    const bool serves = gemm_serves(device, OCE_GEMM_PANEL);
    const oce_dense_desc large = {.batch = 50, .inputs = 3136, .units = 1024};
    const oce_dense_desc small = {.batch = 50, .inputs = 128, .units = 1024};
    cr_expect_eq(oce_dense_panel(device, &large) > 0, serves);
    cr_expect_eq(oce_dense_panel(device, &small), 0, "caches hold it");
    device->limits.local_bytes = 16;
    cr_expect_eq(oce_dense_panel(device, &large), 0, "no room for a block");
    device->limits.is_cpu = false;
    cr_expect_eq(oce_dense_panel(device, &large), 0);
    oce_device_close(device);
}

/* ---- What is refused ----------------------------------------------------------------------- */

static void expect_refused(oce_device *device, oce_gemm_desc desc, oce_status expected,
                           const char *text) {
    oce_gemm_plan *plan = NULL;
    cr_expect_eq(oce_gemm_plan_create(device, &desc, &plan), expected, "%s", text);
    cr_expect_not_null(strstr(oce_last_error(), text), "\"%s\" lacks \"%s\"", oce_last_error(),
                       text);
}

Test(dense, other_families_and_panels_are_refused) {
    oce_device *device = test_open_device();
    expect_refused(device, (oce_gemm_desc){.m = 5, .n = 64, .k = 7, .b_panel = 48},
                   OCE_ERROR_INVALID_ARGUMENT,
                   "panels of 48 columns do not divide B of 64 columns");
    expect_refused(device,
                   (oce_gemm_desc){.m = 5, .n = 64, .k = 7, .transpose_b = true, .b_panel = 64},
                   OCE_ERROR_INVALID_ARGUMENT, "panels of 64 columns do not divide B of 7 columns");
    expect_refused(device, (oce_gemm_desc){.m = 5, .n = 64, .k = 7, .c_panel = -64},
                   OCE_ERROR_INVALID_ARGUMENT, "panels of -64 columns do not divide C");
    expect_refused(
        device, (oce_gemm_desc){.m = 5, .n = 64, .k = 7, .c_panel = 64, .family = OCE_GEMM_NAIVE},
        OCE_ERROR_UNSUPPORTED, "C is stored in panels");
    if (device->limits.is_cpu) {
        expect_refused(device, (oce_gemm_desc){.m = 50, .n = 210, .k = 7, .b_panel = 70},
                       OCE_ERROR_UNSUPPORTED, "panels of B of 70 columns");
        expect_refused(
            device, (oce_gemm_desc){.m = 50, .n = 9, .k = 210, .transpose_b = true, .b_panel = 70},
            OCE_ERROR_UNSUPPORTED, "panels of B of 70 columns");
    } else {
        expect_refused(device, (oce_gemm_desc){.m = 5, .n = 64, .k = 7, .b_panel = 64},
                       OCE_ERROR_UNSUPPORTED, "the device is not a CPU");
    }
    oce_device_close(device);
}
