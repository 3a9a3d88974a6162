/* Products with a B that is prepared once: the same bits as without, in every shape and width. */
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/internal.h"
#include "ops/gemm_internal.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/* ---- Values -------------------------------------------------------------------------------- */

/* A product of the panel family with and without a prepared B. */
static void expect_same_bits(oce_device *device, oce_gemm_desc desc, bool has_bias,
                             const gemm_placing *placing, uint64_t seed) {
    const gemm_data data = gemm_random(&desc, has_bias, seed);
    desc.family = OCE_GEMM_PANEL;
    float *plain = gemm_run(device, &desc, &data, placing);
    desc.keeps_b = true;
    float *prepared = gemm_run(device, &desc, &data, placing);
    cr_expect(memcmp(plain, prepared, (size_t)(desc.m * desc.n) * sizeof *plain) == 0,
              "m %lld n %lld k %lld%s%s%s%s", (long long)desc.m, (long long)desc.n,
              (long long)desc.k, desc.transpose_a ? " a^T" : "", desc.transpose_b ? " b^T" : "",
              has_bias ? " bias" : "", desc.activation == OCE_ACTIVATION_RELU ? " relu" : "");
    free(plain);
    free(prepared);
    gemm_free_data(&data);
}

/* B as it is and transposed; A, bias and ReLU with and without in turns. Each combination is a
 * build. */
static void expect_same_bits_of_shape(oce_device *device, int64_t m, int64_t n, int64_t k,
                                      uint64_t seed) {
    for (unsigned form = 0; form < 2; form++) {
        const unsigned finish = (form + (unsigned)seed) % 4;
        const oce_gemm_desc desc = {
            .m = m,
            .n = n,
            .k = k,
            .transpose_a = seed % 3 == 1,
            .transpose_b = form == 1,
            .activation = finish & 1 ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
        };
        const gemm_placing placing = {(seed / 2) % 2 == 1, (int64_t)(seed % 7)};
        expect_same_bits(device, desc, finish & 2, &placing, seed + form);
    }
}

static void sweep_width(int width) {
    oce_device *device = gemm_open_cpu(width, OCE_GEMM_PANEL);
    gemm_sweep(device, test_is_small() ? 3 : 15, test_is_small() ? 20 : 70, 1000,
               expect_same_bits_of_shape);
    gemm_sweep(device, test_is_small() ? 1 : 4, test_is_small() ? 40 : 300, 2000,
               expect_same_bits_of_shape);
    oce_device_close(device);
}

Test(gemm_prepared, odd_shapes) {
    sweep_width(0);
}

Test(gemm_prepared, odd_shapes_in_vectors_of_8) {
    sweep_width(8);
}

Test(gemm_prepared, odd_shapes_in_vectors_of_4) {
    sweep_width(4);
}

/* Many short K blocks. */
Test(gemm_prepared, little_local_memory) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    device->limits.local_bytes = 12000;
    gemm_sweep(device, test_is_small() ? 2 : 6, test_is_small() ? 40 : 150, 3000,
               expect_same_bits_of_shape);
    oce_device_close(device);
}

Test(gemm_prepared, splits_of_k) {
    static const int64_t shapes[][3] = {{5, 7, 13001}, {33, 70, 5001}, {6, 130, 9000}};
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (int i = 0; i < (test_is_small() ? 1 : OCE_COUNT(shapes)); i++)
        expect_same_bits_of_shape(device, shapes[i][0], shapes[i][1], shapes[i][2], (uint64_t)i);
    oce_device_close(device);
}

/* The layers of the two networks. */
Test(gemm_prepared, layers_of_the_networks) {
    static const int64_t shapes[][3] = {
        {250, 1024, 3136}, {50, 1024, 3136}, {50, 10, 1024}, {128, 384, 8192}, {7, 192, 384}};
    if (test_is_small())
        cr_skip_test("too large for a simulator");
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (int i = 0; i < OCE_COUNT(shapes); i++) {
        const oce_gemm_desc desc = {.m = shapes[i][0], .n = shapes[i][1], .k = shapes[i][2]};
        expect_same_bits(device, desc, true, NULL, (uint64_t)i);
    }
    oce_device_close(device);
}

/* Against the reference, should both be wrong in the same way. */
Test(gemm_prepared, sums_are_right) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (unsigned form = 0; form < 4; form++) {
        const oce_gemm_desc desc = {.m = 13,
                                    .n = test_is_small() ? 70 : 137,
                                    .k = 41,
                                    .transpose_a = form & 1,
                                    .transpose_b = form & 2,
                                    .family = OCE_GEMM_PANEL,
                                    .keeps_b = true};
        gemm_check(device, &desc, true, NULL, form);
    }
    oce_device_close(device);
}

/* C = act(bias), and nothing to prepare. */
Test(gemm_prepared, empty_sums) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    expect_same_bits_of_shape(device, 11, 19, 0, 1);
    oce_device_close(device);
}

/* Blocks of C depend on the units, sums do not. */
Test(gemm_prepared, units_do_not_change_bits) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    const oce_gemm_desc desc = {.m = test_is_small() ? 9 : 150,
                                .n = test_is_small() ? 70 : 300,
                                .k = test_is_small() ? 100 : 2000,
                                .family = OCE_GEMM_PANEL,
                                .keeps_b = true};
    const gemm_data data = gemm_random(&desc, true, 5);
    device->limits.compute_units = 1;
    float *one = gemm_run(device, &desc, &data, NULL);
    device->limits.compute_units = 64;
    float *many = gemm_run(device, &desc, &data, NULL);
    cr_expect(memcmp(one, many, (size_t)(desc.m * desc.n) * sizeof *one) == 0);
    free(one);
    free(many);
    gemm_free_data(&data);
    oce_device_close(device);
}

/* ---- The prepared matrix ------------------------------------------------------------------- */

/* A plan, and operands that fit it. */
typedef struct product {
    oce_gemm_desc desc;
    oce_gemm_plan *plan;
    oce_tensor a, b, c;
    float *b_data;
} product;

static product plan_product(oce_device *device, oce_gemm_desc desc) {
    product p = {.desc = desc, .b_data = test_random((size_t)(desc.k * desc.n), 1)};
    const bool tb = desc.transpose_b;
    p.a = test_tensor(device, desc.m, 1, 1, desc.k, NULL, NULL);
    p.b = test_tensor(device, tb ? desc.n : desc.k, 1, 1, tb ? desc.k : desc.n, NULL, p.b_data);
    p.c = test_tensor(device, desc.m, 1, 1, desc.n, NULL, NULL);
    TEST_OK(oce_gemm_plan_create(device, &desc, &p.plan));
    return p;
}

static void release_product(product *p) {
    oce_gemm_plan_destroy(p->plan);
    oce_tensor_release(&p->a);
    oce_tensor_release(&p->b);
    oce_tensor_release(&p->c);
    free(p->b_data);
}

/* Panels of the tile's columns, K-major, with zeros behind the last; all of it is written. */
static void expect_panels(oce_device *device, int64_t n, int64_t k, bool transpose_b) {
    product p = plan_product(device, (oce_gemm_desc){.m = 7,
                                                     .n = n,
                                                     .k = k,
                                                     .transpose_b = transpose_b,
                                                     .family = OCE_GEMM_PANEL,
                                                     .keeps_b = true});
    const int64_t width = p.plan->blocks.tile_vectors * device->limits.vector_width;
    const int64_t panels = (n + width - 1) / width;
    const size_t count = (size_t)(panels * k * width), bytes = count * sizeof(float);
    cr_assert_eq(oce_gemm_plan_prepared_bytes(p.plan), bytes);
    float *got = test_zeros(count);
    memset(got, 0xff, bytes); /* NaN */
    oce_buffer *prepared = NULL;
    TEST_OK(oce_buffer_create(device, bytes, &prepared));
    TEST_OK(oce_buffer_write(prepared, 0, got, bytes));
    TEST_OK(oce_gemm_prepare(p.plan, &p.b, prepared));
    TEST_OK(oce_buffer_read(prepared, 0, got, bytes));
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const int64_t panel = (int64_t)i / (k * width), step = (int64_t)i / width % k;
        const int64_t column = panel * width + (int64_t)i % width;
        const int64_t place = transpose_b ? column * k + step : step * n + column;
        const float expected = column < n ? p.b_data[place] : 0;
        wrong += memcmp(&got[i], &expected, sizeof expected) != 0;
    }
    cr_expect_eq(wrong, 0, "n %lld k %lld transposed %d: %zu of %zu are wrong", (long long)n,
                 (long long)k, transpose_b, wrong, count);
    free(got);
    oce_buffer_destroy(prepared);
    release_product(&p);
}

Test(gemm_prepared, panels_lie_one_after_the_other) {
    static const int64_t shapes[][2] = {{1, 1}, {64, 16}, {65, 17}, {70, 300}, {130, 31}, {3, 513}};
    for (int width = 0; width <= 8; width += 4) {
        oce_device *device = gemm_open_cpu(width, OCE_GEMM_PANEL);
        for (int i = 0; i < (test_is_small() ? 3 : OCE_COUNT(shapes)); i++) {
            expect_panels(device, shapes[i][0], shapes[i][1], false);
            expect_panels(device, shapes[i][0], shapes[i][1], true);
        }
        oce_device_close(device);
    }
}

/* ---- Errors -------------------------------------------------------------------------------- */

Test(gemm_prepared, plans_take_the_form_that_they_were_made_for) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    product p = plan_product(
        device,
        (oce_gemm_desc){.m = 7, .n = 20, .k = 30, .family = OCE_GEMM_PANEL, .keeps_b = true});
    const size_t bytes = oce_gemm_plan_prepared_bytes(p.plan);
    oce_buffer *small = NULL, *prepared = NULL;
    oce_tensor inside;
    cr_assert_gt(bytes, 0);
    TEST_OK(oce_buffer_create(device, bytes - 4, &small));
    TEST_OK(oce_buffer_create(device, bytes, &prepared));
    cr_expect_eq(oce_gemm_run(p.plan, &p.a, &p.b, NULL, &p.c, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(oce_last_error(), "prepared"), "%s", oce_last_error());
    oce_buffer *const bad[] = {NULL, small};
    for (int i = 0; i < OCE_COUNT(bad); i++) {
        cr_expect_eq(oce_gemm_prepare(p.plan, &p.b, bad[i]), OCE_ERROR_INVALID_ARGUMENT);
        cr_expect_eq(oce_gemm_run_prepared(p.plan, &p.a, &p.b, bad[i], NULL, &p.c, NULL),
                     OCE_ERROR_INVALID_ARGUMENT);
    }
    cr_expect_eq(oce_gemm_prepare(p.plan, &p.c, prepared), OCE_ERROR_SHAPE);
    TEST_OK(oce_tensor_view(prepared, 0, (int64_t[]){7, 1, 1, 20}, NULL, &inside));
    cr_expect_eq(oce_gemm_run_prepared(p.plan, &p.a, &p.b, prepared, NULL, &inside, NULL),
                 OCE_ERROR_INVALID_ARGUMENT);
    TEST_OK(oce_gemm_prepare(p.plan, &p.b, prepared));
    TEST_OK(oce_gemm_run_prepared(p.plan, &p.a, &p.b, prepared, NULL, &p.c, NULL));
    oce_buffer_destroy(small);
    oce_buffer_destroy(prepared);
    release_product(&p);
    oce_device_close(device);
}

/* Families without such a form, plans that were not asked for it, and empty products. */
Test(gemm_prepared, nothing_is_prepared_without_need) {
    static const oce_gemm_desc descs[] = {
        {.m = 7, .n = 20, .k = 30, .family = OCE_GEMM_NAIVE, .keeps_b = true},
        {.m = 2, .n = 20, .k = 30, .family = OCE_GEMM_AUTO, .keeps_b = true}, /* thin on CPUs */
        {.m = 7, .n = 20, .k = 30, .family = OCE_GEMM_AUTO},
    };
    oce_device *device = test_open_device();
    for (int i = 0; i < OCE_COUNT(descs); i++) {
        product p = plan_product(device, descs[i]);
        oce_buffer *workspace = NULL;
        TEST_OK(oce_buffer_create(device, oce_gemm_plan_workspace(p.plan), &workspace));
        cr_expect_eq(oce_gemm_plan_prepared_bytes(p.plan), 0, "description %d", i);
        TEST_OK(oce_gemm_prepare(p.plan, &p.b, NULL));
        TEST_OK(oce_gemm_run_prepared(p.plan, &p.a, &p.b, NULL, NULL, &p.c, workspace));
        TEST_OK(oce_gemm_run(p.plan, &p.a, &p.b, NULL, &p.c, workspace));
        oce_buffer_destroy(workspace);
        release_product(&p);
    }
    const oce_gemm_desc empty = {.m = 0, .n = 20, .k = 30, .keeps_b = true};
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &empty, &plan));
    cr_expect_eq(oce_gemm_plan_prepared_bytes(plan), 0);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}
