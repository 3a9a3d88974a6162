/* The panel family of the matrix product: every tail, every vector width, splits of K, and how a
 * product is divided. */
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/internal.h"
#include "ops/gemm_internal.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_shape(oce_device *device, int64_t m, int64_t n, int64_t k, uint64_t seed) {
    gemm_check_shape(device, OCE_GEMM_PANEL, m, n, k, seed);
}

static void sweep_width(int width) {
    oce_device *device = gemm_open_cpu(width, OCE_GEMM_PANEL);
    gemm_sweep(device, test_is_small() ? 3 : 30, test_is_small() ? 20 : 70, 1000, check_shape);
    gemm_sweep(device, test_is_small() ? 1 : 5, test_is_small() ? 40 : 300, 2000, check_shape);
    oce_device_close(device);
}

Test(gemm_panel, odd_shapes) {
    sweep_width(0);
}

Test(gemm_panel, odd_shapes_in_vectors_of_8) {
    sweep_width(8);
}

Test(gemm_panel, odd_shapes_in_vectors_of_4) {
    sweep_width(4);
}

/* Every tail of a row of tiles and of a panel. */
Test(gemm_panel, every_number_of_rows_and_columns) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    const int64_t step = test_is_small() ? 13 : 1;
    for (int64_t i = 1; i <= 70; i += step) {
        const oce_gemm_desc rows = {.m = i, .n = 17, .k = 5, .family = OCE_GEMM_PANEL};
        const oce_gemm_desc columns = {.m = 12, .n = i, .k = 18, .family = OCE_GEMM_PANEL};
        gemm_check(device, &rows, true, NULL, (uint64_t)i);
        gemm_check(device, &columns, false, &(gemm_placing){true, 70}, (uint64_t)i);
    }
    oce_device_close(device);
}

/* Many short K blocks, and strips of few rows. */
Test(gemm_panel, little_local_memory) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    device->limits.local_bytes = 12000;
    gemm_sweep(device, test_is_small() ? 2 : 6, test_is_small() ? 40 : 150, 3000, check_shape);
    oce_device_close(device);
}

/* A long sum and a small result: K is split, and gemm_reduce ends the product. */
Test(gemm_panel, splits_of_k) {
    static const int64_t shapes[][3] = {
        {2, 3, 13001}, {5, 7, 40000}, {33, 70, 5001}, {1, 130, 9000}, {64, 20, 4113}};
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (int i = 0; i < (test_is_small() ? 1 : OCE_COUNT(shapes)); i++) {
        const oce_gemm_desc desc = {.m = shapes[i][0], .n = shapes[i][1], .k = shapes[i][2]};
        oce_gemm_plan *plan = NULL;
        TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
        cr_expect_gt(oce_gemm_plan_workspace(plan), 0);
        oce_gemm_plan_destroy(plan);
        gemm_check_shape(device, OCE_GEMM_PANEL, desc.m, desc.n, desc.k, (uint64_t)i);
    }
    oce_device_close(device);
}

Test(gemm_panel, small_workspace_is_refused) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    const oce_gemm_desc desc = {.m = 2, .n = 3, .k = 200000, .family = OCE_GEMM_PANEL};
    oce_tensor a = test_tensor(device, 2, 1, 1, 200000, NULL, NULL);
    oce_tensor b = test_tensor(device, 200000, 1, 1, 3, NULL, NULL);
    oce_tensor c = test_tensor(device, 2, 1, 1, 3, NULL, NULL);
    oce_gemm_plan *plan = NULL;
    oce_buffer *small = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    TEST_OK(oce_buffer_create(device, oce_gemm_plan_workspace(plan) - 4, &small));
    cr_expect_eq(oce_gemm_run(plan, &a, &b, NULL, &c, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_gemm_run(plan, &a, &b, NULL, &c, small), OCE_ERROR_INVALID_ARGUMENT);
    oce_buffer_destroy(small);
    oce_gemm_plan_destroy(plan);
    oce_tensor_release(&a);
    oce_tensor_release(&b);
    oce_tensor_release(&c);
    oce_device_close(device);
}

/* Compares some elements, for products that would take src/ref long. */
static void check_sampled(oce_device *device, const oce_gemm_desc *d, uint64_t seed) {
    const gemm_data data = gemm_random(d, true, seed);
    float *c = gemm_run(device, d, &data, NULL);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < 500; i++) {
        /* The last row and column, where the tails are, more often than others. */
        const int64_t row = i % 4 == 1 ? d->m - 1 : test_between(&random, 0, d->m - 1);
        const int64_t column = i % 4 == 2 ? d->n - 1 : test_between(&random, 0, d->n - 1);
        double sum = (double)data.bias[column];
        for (int64_t k = 0; k < d->k; k++)
            sum += (double)data.a[d->transpose_a ? k * d->m + row : row * d->k + k] *
                   (double)data.b[d->transpose_b ? column * d->k + k : k * d->n + column];
        /* The numbers are uniform in [-1, 1): sums are of the order of sqrt(k) / 3. */
        cr_expect_float_eq((double)c[row * d->n + column], sum, 1e-5 * sqrt((double)d->k),
                           "%lld x %lld x %lld at [%lld,%lld]", (long long)d->m, (long long)d->n,
                           (long long)d->k, (long long)row, (long long)column);
    }
    free(c);
    gemm_free_data(&data);
}

/* The layers of the two networks, and a square. */
Test(gemm_panel, layers_of_the_networks) {
    static const int64_t shapes[][3] = {
        {128, 384, 8192}, {128, 8192, 384}, {8192, 384, 128}, {50, 1024, 3136}, {50, 3136, 1024},
        {3136, 1024, 50}, {50, 10, 1024},   {50, 1024, 10},   {1024, 10, 50},   {128, 192, 384},
        {128, 384, 192},  {384, 192, 128},  {1, 1024, 3136},  {256, 256, 256},  {520, 520, 520}};
    static const bool transposed[3][2] = {{false, false}, {false, true}, {true, false}};
    if (test_is_small())
        cr_skip_test("too large for a simulator");
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (int i = 0; i < OCE_COUNT(shapes); i++) {
        const oce_gemm_desc desc = {.m = shapes[i][0],
                                    .n = shapes[i][1],
                                    .k = shapes[i][2],
                                    .transpose_a = transposed[i % 3][0],
                                    .transpose_b = transposed[i % 3][1],
                                    .family = OCE_GEMM_PANEL};
        check_sampled(device, &desc, (uint64_t)i);
    }
    oce_device_close(device);
}

/* Few steps of K and a C that is larger than the caches: groups that write along its rows. */
Test(gemm_panel, few_steps_of_k) {
    static const int64_t shapes[][3] = {{2100, 1031, 1}, {1001, 2117, 31}, {67, 40001, 3}};
    if (test_is_small())
        cr_skip_test("too large for a simulator");
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    for (int i = 0; i < OCE_COUNT(shapes) * 4; i++) {
        const oce_gemm_desc desc = {.m = shapes[i / 4][0],
                                    .n = shapes[i / 4][1],
                                    .k = shapes[i / 4][2],
                                    .transpose_a = i & 1,
                                    .transpose_b = i & 2,
                                    .family = OCE_GEMM_PANEL};
        check_sampled(device, &desc, (uint64_t)i);
    }
    oce_device_close(device);
}

/* ---- Division ------------------------------------------------------------------------------ */

enum { LOCAL = 1 << 20, UNITS = 64 };

static oce_gemm_blocks blocks_for(const oce_gemm_desc *desc, int width, int units, size_t local,
                                  int64_t loop_rounds) {
    const oce_limits limits = {.is_cpu = true,
                               .vector_width = width,
                               .vector_registers = width == 16 ? 32 : 16,
                               .compute_units = units,
                               .local_bytes = local,
                               .loop_rounds = loop_rounds};
    oce_gemm_blocks blocks;
    cr_assert(oce_gemm_choose_blocks(desc, &limits, &blocks));
    return blocks;
}

static oce_gemm_blocks blocks_of(const oce_gemm_desc *desc, int width, size_t local) {
    return blocks_for(desc, width, UNITS, local, INT64_MAX);
}

static int64_t groups_of(const oce_gemm_desc *d, const oce_gemm_blocks *b) {
    return (d->m + b->rows - 1) / b->rows * ((d->n + b->columns - 1) / b->columns) * b->splits;
}

Test(gemm_panel, large_products_feed_many_units) {
    static const oce_gemm_desc descs[] = {{.m = 128, .n = 384, .k = 8192},
                                          {.m = 128, .n = 8192, .k = 384, .transpose_b = true},
                                          {.m = 8192, .n = 384, .k = 128, .transpose_a = true},
                                          {.m = 50, .n = 1024, .k = 3136},
                                          {.m = 50, .n = 3136, .k = 1024, .transpose_b = true},
                                          {.m = 3136, .n = 1024, .k = 50, .transpose_a = true},
                                          {.m = 512, .n = 512, .k = 512},
                                          {.m = 10, .n = 10, .k = 1000000}};
    for (int i = 0; i < OCE_COUNT(descs); i++)
        for (int width = 4; width <= 16; width *= 2) {
            const oce_gemm_blocks b = blocks_of(&descs[i], width, LOCAL);
            cr_expect_geq(groups_of(&descs[i], &b), 46, "%lld x %lld x %lld: %lld groups",
                          (long long)descs[i].m, (long long)descs[i].n, (long long)descs[i].k,
                          (long long)groups_of(&descs[i], &b));
        }
}

/* A device of few units gets fewer and larger blocks, but some for each. */
Test(gemm_panel, few_units_get_large_blocks) {
    const oce_gemm_desc desc = {.m = 250, .n = 1024, .k = 3136};
    const oce_gemm_blocks two = blocks_for(&desc, 16, 2, LOCAL, INT64_MAX);
    const oce_gemm_blocks many = blocks_of(&desc, 16, LOCAL);
    cr_expect_geq(groups_of(&desc, &two), 16);
    cr_expect_lt(groups_of(&desc, &two), groups_of(&desc, &many));
    cr_expect_geq(two.rows, desc.m, "%lld rows", (long long)two.rows);
}

/* Nothing has fetched a group's first panel: units that are few get several in a row, each as many;
 * of a small B, which the caches hold, single ones. */
Test(gemm_panel, few_units_get_several_panels_of_a_large_b) {
    const oce_gemm_desc large = {.m = 50, .n = 3136, .k = 1024, .transpose_b = true};
    const oce_gemm_desc small = {.m = 256, .n = 256, .k = 256};
    const oce_gemm_blocks two = blocks_for(&large, 16, 2, LOCAL, INT64_MAX);
    cr_expect_geq(two.columns, 128, "%lld columns", (long long)two.columns);
    cr_expect_eq(groups_of(&large, &two) % 2, 0);
    cr_expect_eq(blocks_of(&large, 16, LOCAL).columns, 64);
    cr_expect_eq(blocks_for(&small, 16, 2, LOCAL, INT64_MAX).columns, 64);
}

/* As long as it is writing C that takes the time: not of a C that the caches hold, whose rows are
 * short or lie in panels, or with more steps. */
Test(gemm_panel, few_steps_of_k_are_written_along_rows) {
    static const oce_gemm_desc along[] = {{.m = 4096, .n = 4096, .k = 1},
                                          {.m = 4096, .n = 4096, .k = 32, .transpose_a = true},
                                          {.m = 2048, .n = 1024, .k = 16, .transpose_b = true}};
    static const oce_gemm_desc down[] = {{.m = 4096, .n = 4096, .k = 33},
                                         {.m = 1024, .n = 1024, .k = 1},
                                         {.m = 4096, .n = 4096, .k = 1, .c_panel = 64},
                                         {.m = 9000, .n = 600, .k = 1}};
    for (int i = 0; i < OCE_COUNT(along); i++)
        for (int units = 2; units <= 64; units *= 32) {
            const oce_gemm_blocks b = blocks_for(&along[i], 16, units, LOCAL, INT64_MAX);
            cr_expect_leq(b.rows, 30, "%lld rows", (long long)b.rows);
            cr_expect_geq(b.columns, 128, "%lld columns", (long long)b.columns);
            cr_expect_geq(groups_of(&along[i], &b), 8 * units);
        }
    for (int i = 0; i < OCE_COUNT(down); i++) {
        const oce_gemm_blocks b = blocks_for(&down[i], 16, 2, LOCAL, INT64_MAX);
        cr_expect_geq(b.rows, 128, "%d: %lld rows", i, (long long)b.rows);
    }
}

/* NEON's vectors are as narrow as SSE's, but twice as many. */
Test(gemm_panel, tiles_fill_the_registers_there_are) {
    const oce_gemm_desc desc = {.m = 600, .n = 640, .k = 500};
    oce_limits limits = {.is_cpu = true,
                         .vector_width = 4,
                         .vector_registers = 16,
                         .compute_units = 4,
                         .local_bytes = LOCAL,
                         .loop_rounds = INT64_MAX};
    oce_gemm_blocks few, many;
    cr_assert(oce_gemm_choose_blocks(&desc, &limits, &few));
    limits.vector_registers = 32;
    cr_assert(oce_gemm_choose_blocks(&desc, &limits, &many));
    cr_expect(few.tile_rows == 6 && few.tile_vectors == 2, "%d x %d", few.tile_rows,
              few.tile_vectors);
    cr_expect(many.tile_rows == 6 && many.tile_vectors == 4, "%d x %d", many.tile_rows,
              many.tile_vectors);
}

/* The order of a sum may depend on the shape, never on the device. */
Test(gemm_panel, splits_depend_on_the_shape_only) {
    oce_random random;
    oce_random_init(&random, 5, OCE_RANDOM_TEST, 0);
    int split = 0;
    for (int i = 0; i < 500; i++) {
        const oce_gemm_desc desc = {.m = test_between(&random, 1, 200),
                                    .n = test_between(&random, 1, 500),
                                    .k = test_between(&random, 1, 10000),
                                    .transpose_a = i & 1,
                                    .transpose_b = i & 2};
        const int splits = blocks_of(&desc, 16, LOCAL).splits;
        cr_expect_eq(splits, blocks_of(&desc, 8, LOCAL).splits);
        cr_expect_eq(splits, blocks_of(&desc, 4, 32768).splits);
        cr_expect_eq(splits, blocks_for(&desc, 16, 1 + i % 9, LOCAL, INT64_MAX).splits);
        split += splits > 1;
    }
    cr_expect_gt(split, 50, "only %d of 500 products are split", split);
}

/* For drivers that break them off: llvmpipe lets us plan for so many rounds. */
Test(gemm_panel, loops_are_as_short_as_the_driver_needs) {
    enum { ROUNDS = 65535 / 5 * 3 };
    oce_random random;
    oce_random_init(&random, 7, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < 1000; i++) {
        const oce_gemm_desc desc = {.m = test_between(&random, 1, 9000),
                                    .n = test_between(&random, 1, 9000),
                                    .k = test_between(&random, 1, 90000),
                                    .transpose_a = i & 1,
                                    .transpose_b = i & 2};
        const oce_gemm_blocks b = blocks_for(&desc, 4, UNITS, i & 4 ? LOCAL : 32768, ROUNDS);
        const int64_t width = b.tile_vectors * 4, panels = b.columns / width;
        const int64_t depth = desc.k / b.splits + 32;
        int64_t rounds = panels * b.rows / b.tile_rows * depth;
        if (desc.transpose_a)
            rounds += depth * b.rows / 4;
        if (desc.transpose_b)
            rounds += panels * width / 4 * depth / 4;
        cr_expect_lt(rounds, ROUNDS, "%lld x %lld x %lld: %lld rounds", (long long)desc.m,
                     (long long)desc.n, (long long)desc.k, (long long)rounds);
    }
}

Test(gemm_panel, blocks_fit_local_memory) {
    oce_random random;
    oce_random_init(&random, 6, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < 500; i++) {
        const oce_gemm_desc desc = {.m = test_between(&random, 1, 3000),
                                    .n = test_between(&random, 1, 3000),
                                    .k = test_between(&random, 1, 3000),
                                    .transpose_a = i & 1};
        const int width = 4 << i % 3;
        const size_t local = (size_t)test_between(&random, 16384, 200000);
        const oce_gemm_blocks b = blocks_of(&desc, width, local);
        const int strip_stride = b.strip_rows > 0 ? (b.strip_rows / 16 | 1) * 16 : 0;
        const int floats = b.k_block * (b.tile_vectors * width + strip_stride);
        cr_expect_leq((size_t)floats * sizeof(float), local);
        cr_expect_eq(b.k_block % 16, 0);
        cr_expect_eq(b.rows % b.tile_rows, 0);
        cr_expect_eq(b.columns % (b.tile_vectors * width), 0);
        cr_expect(b.strip_rows == 0 || b.rows <= b.strip_rows);
        cr_expect(desc.transpose_a || b.tile_rows <= desc.m);
    }
}

Test(gemm_panel, too_little_local_memory_is_told) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_PANEL);
    device->limits.local_bytes = 256;
    oce_gemm_desc desc = {.m = 100, .n = 100, .k = 100, .family = OCE_GEMM_PANEL};
    oce_gemm_plan *plan = NULL;
    cr_expect_eq(oce_gemm_plan_create(device, &desc, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect_not_null(strstr(oce_last_error(), "256 bytes of local memory"), "%s",
                       oce_last_error());
    desc.family = OCE_GEMM_AUTO;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_expect_eq(oce_gemm_plan_family(plan), OCE_GEMM_NAIVE);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}
