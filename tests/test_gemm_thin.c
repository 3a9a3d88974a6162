/* The thin family of the matrix product: one row, one column, few of them; every vector width. */
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/internal.h"
#include "ops/gemm_internal.h"

#include <criterion/criterion.h>

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
