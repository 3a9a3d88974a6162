/* The thin family of the matrix product: one row, one column, few of them; every vector width. */
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/internal.h"
#include "ops/gemm_internal.h"

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether the family serves a product; if so, every form of it is checked. Returns how many. */
static int check_forms(oce_device *device, int64_t m, int64_t n, int64_t k, uint64_t seed) {
    int served = 0;
    for (unsigned form = 0; form < 4; form++) {
        const unsigned finish = (form + (unsigned)seed) % 4;
        const oce_gemm_desc desc = {
            .m = m,
            .n = n,
            .k = k,
            .transpose_a = form & 1,
            .transpose_b = form & 2,
            .activation = finish & 1 ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
            .family = OCE_GEMM_THIN,
        };
        oce_gemm_plan *plan = NULL;
        const oce_status status = oce_gemm_plan_create(device, &desc, &plan);
        oce_gemm_plan_destroy(plan);
        if (status == OCE_ERROR_UNSUPPORTED)
            continue;
        const gemm_placing placing = {seed / 2 % 2 == 1, (int64_t)(seed % 7)};
        gemm_check(device, &desc, finish & 2, &placing, seed + form);
        served++;
    }
    return served;
}

static void sweep_width(int width) {
    static const int64_t few[] = {1, 2, 3, 4}, depths[] = {0, 1, 7, 8, 16, 33, 64, 127, 200};
    oce_device *device = gemm_open_cpu(width, OCE_GEMM_THIN);
    uint64_t seed = 0;
    for (int i = 0; i < OCE_COUNT(few); i++)
        for (int k = 0; k < OCE_COUNT(depths); k += test_is_small() ? 4 : 1) {
            const int64_t many = 1 + (int64_t)(seed * 29 % (test_is_small() ? 30 : 150));
            cr_expect_geq(check_forms(device, few[i], many, depths[k], seed++), 2);
            cr_expect_geq(check_forms(device, many, few[i], depths[k], seed++), 2);
        }
    /* Long sums of a few results, and more than a stretch of columns. */
    for (int i = 0; i < OCE_COUNT(few) && !test_is_small(); i++) {
        check_forms(device, few[i], 5, 20001, seed++);
        check_forms(device, few[i], 4101, 67, seed++);
        check_forms(device, 4101, few[i], 67, seed++);
    }
    /* Dot products serve any number of rows. */
    cr_expect_eq(check_forms(device, 7, 9, 130, seed++), 1);
    cr_expect_eq(check_forms(device, 13, 6, 70, seed++), 1);
    oce_device_close(device);
}

Test(gemm_thin, odd_shapes) {
    sweep_width(0);
}

Test(gemm_thin, odd_shapes_in_vectors_of_8) {
    sweep_width(8);
}

Test(gemm_thin, odd_shapes_in_vectors_of_4) {
    sweep_width(4);
}

/* The long side sets the pace: AUTO takes the family for all forms that it is made for. */
Test(gemm_thin, is_chosen_by_rule) {
    static const oce_gemm_desc descs[] = {
        {.m = 1, .n = 384, .k = 8192},
        {.m = 1, .n = 384, .k = 8192, .transpose_b = true},
        {.m = 1000, .n = 1, .k = 1000},
        {.m = 1000, .n = 1, .k = 1000, .transpose_a = true},
        {.m = 3, .n = 70, .k = 100},
        {.m = 70, .n = 4, .k = 100, .transpose_a = true},
        {.m = 20, .n = 500, .k = 300, .transpose_b = true},
    };
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    for (int i = 0; i < OCE_COUNT(descs); i++) {
        oce_gemm_plan *plan = NULL;
        TEST_OK(oce_gemm_plan_create(device, &descs[i], &plan));
        cr_expect_eq(oce_gemm_plan_family(plan), OCE_GEMM_THIN, "product %d", i);
        oce_gemm_plan_destroy(plan);
    }
    const oce_gemm_desc square = {.m = 64, .n = 64, .k = 64};
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &square, &plan));
    cr_expect_neq(oce_gemm_plan_family(plan), OCE_GEMM_THIN);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}

Test(gemm_thin, refuses_what_it_cannot_do) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    const oce_gemm_desc across = {.m = 3,
                                  .n = 90,
                                  .k = 100,
                                  .transpose_a = true,
                                  .transpose_b = true,
                                  .family = OCE_GEMM_THIN};
    const oce_gemm_desc square = {.m = 64, .n = 64, .k = 64, .family = OCE_GEMM_THIN};
    const oce_gemm_desc row = {.m = 1, .n = 90, .k = 10, .family = OCE_GEMM_THIN};
    oce_gemm_plan *plan = NULL;
    cr_expect_eq(oce_gemm_plan_create(device, &across, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect_not_null(strstr(oce_last_error(), "thin cannot compute 3 x 90 x 100"), "%s",
                       oce_last_error());
    cr_expect_eq(oce_gemm_plan_create(device, &square, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect_not_null(strstr(oce_last_error(), "more than 4 rows"), "%s", oce_last_error());
    device->limits.local_bytes = 1000;
    cr_expect_eq(oce_gemm_plan_create(device, &row, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect_not_null(strstr(oce_last_error(), "1000 bytes of local memory"), "%s",
                       oce_last_error());
    oce_device_close(device);
}

/* The order of a sum may depend on the shape, never on the device; a large product feeds 64 units,
 * and the loops of a group are as short as the driver needs. */
Test(gemm_thin, division) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    if (test_is_small())
        cr_skip_test("takes no device");
    enum { ROUNDS = 65535 / 5 * 3 };
    oce_random random;
    oce_random_init(&random, 8, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < 300; i++) {
        const int64_t few = test_between(&random, 1, 4), many = test_between(&random, 1, 9000);
        const oce_gemm_desc desc = {.m = i & 1 ? few : many,
                                    .n = i & 1 ? many : few,
                                    .k = test_between(&random, 64, i & 8 ? 300000 : 9000),
                                    .transpose_a = !(i & 1) && i & 2,
                                    .transpose_b = !(i & 1) || i & 2};
        int splits[3];
        for (int w = 0; w < 3; w++) {
            const int width = 16 >> w, units = w == 1 ? 2 : 64;
            oce_gemm_plan plan = {.device = device, .desc = desc, .method = &oce_gemm_thin};
            device->limits.vector_width = width;
            device->limits.compute_units = units;
            device->limits.loop_rounds = width == 4 ? ROUNDS : INT64_MAX;
            TEST_OK(oce_gemm_thin.prepare(&plan));
            const oce_gemm_blocks *b = &plan.blocks;
            splits[w] = b->splits;
            const int64_t depth = desc.k / b->splits;
            const int64_t groups = (many + b->columns - 1) / b->columns * b->splits;
            if (width == 4)
                cr_expect_lt(b->columns / 8 * (depth / 8), ROUNDS);
            if (units == 64 && many * desc.k > 48 << 17)
                cr_expect_geq(groups, 40, "%lld x %lld x %lld: %lld groups", (long long)desc.m,
                              (long long)desc.n, (long long)desc.k, (long long)groups);
        }
        cr_expect_eq(splits[0], splits[1]);
        cr_expect_eq(splits[0], splits[2]);
    }
    oce_device_close(device);
}

/* Many rows times a long sum take a launch for some rows each where the loops of a group would be
 * too long, and give the same bits. */
Test(gemm_thin, rows_of_several_launches) {
    oce_device *device = gemm_open_cpu(4, OCE_GEMM_THIN);
    const int64_t longest[] = {INT64_MAX, 65535 / 5 * 3};
    float *results[2];
    for (int turned = 0; turned < 2; turned++) {
        const oce_gemm_desc desc = {.m = turned ? 31 : 22,
                                    .n = turned ? 22 : 31,
                                    .k = 24000,
                                    .transpose_b = true,
                                    .activation = OCE_ACTIVATION_RELU,
                                    .family = OCE_GEMM_THIN};
        const oce_gemm_desc large = {.m = 24, .n = 400, .k = 100000, .transpose_b = true};
        gemm_data data = gemm_random(&desc, true, 41);
        for (int i = 0; i < 2; i++) {
            device->limits.loop_rounds = longest[i] / (i == 1 ? 8 : 1);
            results[i] = gemm_run(device, &desc, &data, NULL);
            device->limits.loop_rounds = longest[i];
            oce_gemm_plan plan = {.device = device, .desc = large, .method = &oce_gemm_thin};
            TEST_OK(oce_gemm_thin.prepare(&plan));
            const oce_gemm_blocks *b = &plan.blocks;
            const int64_t tiles = b->columns / b->tile_vectors * ((b->rows + 3) / 4);
            cr_expect_leq(tiles * (large.k / b->splits / 4), longest[i]);
            cr_expect(i == 1 || b->rows == large.m);
        }
        cr_expect_arr_eq(results[0], results[1], 22 * 31 * sizeof(float));
        free(results[0]);
        free(results[1]);
        gemm_free_data(&data);
    }
    oce_device_close(device);
}

/* ---- Rows of a kept B that only zeros scale ---------------------------------------------------
 */

/* Zeros in A, of either sign: `whole` of 8 steps of K, and half of the other elements. */
static void put_zeros(const oce_gemm_desc *d, float *a, int whole, oce_random *random) {
    for (int64_t k = 0; k < d->k; k++) {
        const bool is_whole = test_between(random, 0, 7) < whole;
        for (int64_t i = 0; i < d->m; i++)
            if (is_whole || test_between(random, 0, 1) == 0)
                a[d->transpose_a ? k * d->m + i : i * d->k + k] = k % 2 == 0 ? 0.0F : -0.0F;
    }
}

/* A NaN or an infinity in a few rows of B, most of which zeros scale: 0 * NaN is NaN. */
static void put_nonfinite(const oce_gemm_desc *d, float *b, oce_random *random) {
    const float values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        b[test_between(random, 0, d->k - 1) * d->n + test_between(random, 0, d->n - 1)] = values[i];
}

static bool leaves_rows_out(oce_device *device, const oce_gemm_desc *desc) {
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, desc, &plan));
    const size_t bytes = oce_gemm_plan_prepared_bytes(plan);
    oce_gemm_plan_destroy(plan);
    cr_expect(bytes == 0 || bytes == (size_t)desc->k * sizeof(float));
    return bytes > 0;
}

static void expect_same_bits(oce_device *device, oce_gemm_desc desc, int whole, bool is_finite,
                             uint64_t seed) {
    const gemm_data data = gemm_random(&desc, seed % 2 == 0, seed);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 1);
    put_zeros(&desc, (float *)data.a, whole, &random);
    if (!is_finite)
        put_nonfinite(&desc, (float *)data.b, &random);
    const gemm_placing placing = {seed / 2 % 2 == 1, (int64_t)(seed % 5)};
    desc.family = OCE_GEMM_THIN;
    float *plain = gemm_run(device, &desc, &data, &placing);
    desc.keeps_b = true;
    float *kept = gemm_run(device, &desc, &data, &placing);
    cr_expect(leaves_rows_out(device, &desc), "m %lld n %lld k %lld", (long long)desc.m,
              (long long)desc.n, (long long)desc.k);
    cr_expect(memcmp(plain, kept, (size_t)(desc.m * desc.n) * sizeof *plain) == 0,
              "m %lld n %lld k %lld%s, %d of 8 rows are zero%s", (long long)desc.m,
              (long long)desc.n, (long long)desc.k, desc.transpose_a ? " a^T" : "", whole,
              is_finite ? "" : ", not finite");
    free(plain);
    free(kept);
    gemm_free_data(&data);
}

/* Lists that are full, empty, shorter than a round; several of them in a split. */
static void compare_with_plain(int width) {
    static const int64_t shapes[][2] = {
        {32, 2050}, {1024, 3136}, {13, 40001}, {4101, 67}, {384, 8192}};
    oce_device *device = gemm_open_cpu(width, OCE_GEMM_THIN);
    const oce_gemm_desc first = {.m = 1, .n = 32, .k = 2050, .keeps_b = true};
    if (!leaves_rows_out(device, &first)) {
        oce_device_close(device);
        cr_skip_test("too little local memory, or loops too short");
    }
    uint64_t seed = 0;
    for (int i = 0; i < (test_is_small() ? 1 : OCE_COUNT(shapes)); i++)
        for (int64_t m = 1; m <= 4; m += test_is_small() || i > 0 ? 2 : 1)
            for (int whole = 0; whole <= 8; whole += 4, seed++) {
                const oce_gemm_desc desc = {.m = m,
                                            .n = shapes[i][0],
                                            .k = shapes[i][1],
                                            .transpose_a = seed % 3 == 1,
                                            .activation = seed % 4 < 2 ? OCE_ACTIVATION_RELU
                                                                       : OCE_ACTIVATION_NONE};
                expect_same_bits(device, desc, whole, seed % 5 != 0, seed);
            }
    oce_device_close(device);
}

Test(gemm_thin, rows_left_out_change_no_bit) {
    compare_with_plain(0);
}

Test(gemm_thin, rows_left_out_change_no_bit_in_vectors_of_8) {
    compare_with_plain(8);
}

Test(gemm_thin, rows_left_out_change_no_bit_in_vectors_of_4) {
    compare_with_plain(4);
}

/* Any row that is not finite is found, wherever its infinity or NaN is; the largest float is none.
 */
Test(gemm_thin, finds_rows_that_are_not_finite) {
    enum { ROWS = 1100, COLUMNS = 61 };
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    const oce_gemm_desc desc = {.m = 1, .n = COLUMNS, .k = ROWS, .keeps_b = true};
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    const size_t bytes = oce_gemm_plan_prepared_bytes(plan);
    if (bytes == 0) {
        oce_gemm_plan_destroy(plan);
        oce_device_close(device);
        cr_skip_test("too little local memory, or loops too short");
    }
    float *values = test_zeros((size_t)ROWS * COLUMNS), found[ROWS];
    const float special[] = {NAN, INFINITY, -INFINITY, -NAN, FLT_MAX, -FLT_MAX, FLT_MIN, -0.0F};
    for (int row = 0; row < ROWS; row++)
        if (row % 3 == 0)
            values[row * COLUMNS + row % COLUMNS] = special[row / 3 % 8];
    oce_tensor b = test_tensor(device, ROWS, 1, 1, COLUMNS, NULL, values);
    oce_buffer *prepared = NULL;
    TEST_OK(oce_buffer_create(device, bytes, &prepared));
    TEST_OK(oce_gemm_prepare(plan, &b, prepared));
    TEST_OK(oce_buffer_read(prepared, 0, found, sizeof found));
    for (int row = 0; row < ROWS; row++)
        cr_expect_eq(found[row], row % 3 == 0 && row / 3 % 8 < 4 ? 1.0F : 0.0F, "row %d", row);
    free(values);
    oce_buffer_destroy(prepared);
    oce_tensor_release(&b);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}
