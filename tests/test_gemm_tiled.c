/* The tiled family of the matrix product: every tile, every tail, splits of K, alignments. */
#include "support/compare.h"
#include "support/device.h"
#include "support/gemm.h"

#include "device/internal.h"
#include "ops/gemm_internal.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/* Tiles as OCELLI_TILE names them: lower case, not staged. */
static const char tiles[] = "AaBbCcDdEeFGH";

/* Opens the device as a GPU; skips if it has no groups for the smallest tile. */
static oce_device *open_gpu(void) {
    oce_device *device = test_open_device();
    device->limits.is_cpu = false;
    device->limits.vector_width = 4;
    if (device->limits.max_items[0] < 16 || device->limits.max_items[1] < 16 ||
        device->limits.max_work_group < 256 || device->limits.local_bytes < 16384) {
        oce_device_close(device);
        cr_skip_test("the device has too small groups");
    }
    return device;
}

static void check_shapes(oce_device *device, const int64_t (*shapes)[3], int count) {
    for (int i = 0; i < count; i++)
        gemm_check_shape(device, OCE_GEMM_TILED, shapes[i][0], shapes[i][1], shapes[i][2],
                         (uint64_t)i + 4);
}

Test(gemm_tiled, every_tile_computes_odd_shapes) {
    static const int64_t shapes[][3] = {{1, 1, 3}, {17, 65, 127}, {127, 68, 5}, {128, 132, 36}};
    static const int64_t small[][3] = {{1, 1, 1}, {5, 17, 3}, {36, 68, 20}};
    oce_device *device = open_gpu();
    for (const char *tile = tiles; *tile != '\0'; tile++) {
        device->limits.tile = *tile;
        if (test_is_small())
            check_shapes(device, small, OCE_COUNT(small));
        else
            check_shapes(device, shapes, OCE_COUNT(shapes));
    }
    oce_device_close(device);
}

/* Half the depth, as for devices with little local memory. */
Test(gemm_tiled, tiles_of_half_the_depth) {
    static const int64_t shapes[][3] = {{65, 33, 29}, {9, 130, 16}};
    oce_device *device = open_gpu();
    device->limits.local_bytes = 8192;
    for (const char *tile = "ADE"; *tile != '\0'; tile++) {
        device->limits.tile = *tile;
        check_shapes(device, shapes, test_is_small() ? 1 : 2);
    }
    oce_device_close(device);
}

static oce_gemm_desc long_sum(int64_t m, int64_t n, int64_t k) {
    return (oce_gemm_desc){
        .m = m, .n = n, .k = k, .activation = OCE_ACTIVATION_RELU, .family = OCE_GEMM_TILED};
}

/* Sums over K run in the same order in all tiles: tiles may depend on the device, bits may not. */
Test(gemm_tiled, all_tiles_give_the_same_bits) {
    oce_device *device = open_gpu();
    if (!device->limits.has_fast_fma) {
        oce_device_close(device);
        cr_skip_test("the compiler may round mad() in each tile as it likes");
    }
    const oce_gemm_desc desc = test_is_small() ? long_sum(33, 20, 530) : long_sum(70, 52, 2003);
    const gemm_data data = gemm_random(&desc, true, 7);
    float *first = NULL;
    for (const char *tile = tiles; *tile != '\0'; tile++) {
        device->limits.tile = *tile;
        float *c = gemm_run(device, &desc, &data, NULL);
        if (first == NULL) {
            first = c;
            continue;
        }
        expect_bytes(c, first, (size_t)(desc.m * desc.n) * sizeof *c, "tile %c", *tile);
        free(c);
    }
    free(first);
    gemm_free_data(&data);
    oce_device_close(device);
}

Test(gemm_tiled, sums_in_parts_and_by_dot_products) {
    oce_device *device = open_gpu();
    const oce_gemm_desc descs[] = {long_sum(30, 36, 1030), long_sum(3, 33, 2048),
                                   long_sum(7, 10, 300), long_sum(2, 16, 64)};
    for (int i = 0; i < OCE_COUNT(descs); i++)
        for (unsigned form = 0; form < 4; form++) {
            oce_gemm_desc desc = descs[i];
            desc.transpose_a = form & 1;
            desc.transpose_b = form & 2;
            gemm_check(device, &desc, i % 2 == 0, &(gemm_placing){true, (int64_t)form}, form + 1);
        }
    oce_device_close(device);
}

Test(gemm_tiled, splits_depend_on_the_shape_only) {
    cr_expect_eq(oce_tile_splits(128, 384, 8192, 1), 32); /* a dense layer's forward pass */
    cr_expect_eq(oce_tile_splits(50, 1024, 3136, 1), 8);
    cr_expect_eq(oce_tile_splits(8192, 384, 128, 1), 1);
    cr_expect_eq(oce_tile_splits(1, 1, 255, 1), 1);
    cr_expect_eq(oce_tile_splits(1, 1, 1 << 28, 1), 2048); /* loops of at most 2^17 steps */
    cr_expect_eq(oce_tile_splits(512, 128, 512, 36), 1);
}

Test(gemm_tiled, partial_sums_are_the_workspace) {
    oce_device *device = open_gpu();
    const oce_gemm_desc split = long_sum(50, 1024, 3136), whole = long_sum(64, 64, 64);
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &split, &plan));
    cr_expect_eq(oce_gemm_plan_workspace(plan), 8 * 50 * 1024 * sizeof(float));
    oce_gemm_plan_destroy(plan);
    TEST_OK(oce_gemm_plan_create(device, &whole, &plan));
    cr_expect_eq(oce_gemm_plan_workspace(plan), 0);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}

Test(gemm_tiled, says_what_it_does_not_serve) {
    oce_device *device = open_gpu();
    oce_gemm_desc desc = long_sum(4, (1 << 23) + 4, 2);
    oce_gemm_plan *plan = NULL;
    cr_expect_eq(oce_gemm_plan_create(device, &desc, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "rows of more than 8388608") != NULL, "%s",
              oce_last_error());
    desc.family = OCE_GEMM_OWN;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_expect_eq(oce_gemm_plan_family(plan), OCE_GEMM_NAIVE);
    oce_gemm_plan_destroy(plan);
    desc = long_sum(4, 4, 4);
    device->limits.max_work_group = 32;
    cr_expect_eq(oce_gemm_plan_create(device, &desc, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "no tile fits groups of 32") != NULL, "%s",
              oce_last_error());
    device->limits.is_cpu = true;
    cr_expect_eq(oce_gemm_plan_create(device, &desc, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "the device is a CPU") != NULL, "%s", oce_last_error());
    oce_device_close(device);
}

/* ---- AUTO ---------------------------------------------------------------------------------- */

Test(gemm_tiled, is_what_gpus_use_but_for_large_products) {
    oce_device *device = open_gpu();
    oce_gemm_desc desc = {.m = 128, .n = 384, .k = 100};
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_expect_eq(oce_gemm_plan_family(plan), OCE_GEMM_TILED);
    oce_gemm_plan_destroy(plan);
    desc = (oce_gemm_desc){.m = 2048, .n = 2048, .k = 2048};
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_expect_eq(oce_gemm_plan_family(plan), OCE_GEMM_CLBLAST);
    oce_gemm_plan_destroy(plan);
    desc.family = OCE_GEMM_OWN;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_expect_eq(oce_gemm_plan_family(plan), OCE_GEMM_TILED);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
}
