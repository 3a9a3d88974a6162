/* The tiles of the GPU families: the table, the rule that picks one, and stepping down. */
#include "ops/tile_config.h"

#include <criterion/criterion.h>

#include <string.h>

/* Devices of every class, by the properties that decide. */
static const oce_limits large = {.compute_units = 60,
                                 .max_work_group = 1024,
                                 .max_items = {1024, 1024, 64},
                                 .local_bytes = 48 << 10,
                                 .local_is_real = true};
static const oce_limits integrated = {.compute_units = 96,
                                      .max_work_group = 512,
                                      .max_items = {512, 512, 512},
                                      .local_bytes = 64 << 10,
                                      .local_is_real = true,
                                      .unified_memory = true};
static const oce_limits emulated = {.compute_units = 12,
                                    .max_work_group = 384,
                                    .max_items = {384, 384, 384},
                                    .local_bytes = 32 << 10,
                                    .unified_memory = true};
static const oce_limits tiny = {.compute_units = 4,
                                .max_work_group = 64,
                                .max_items = {64, 64, 64},
                                .local_bytes = 16 << 10,
                                .local_is_real = true};

/* The names of the list for a product. */
static const char *choice(const oce_limits *limits, size_t multiple, int64_t rows, int64_t columns,
                          int64_t parts) {
    static char names[OCE_TILES + 1];
    const oce_tile_shape shape = {rows, columns, parts, '\0'};
    oce_tile list[OCE_TILES];
    const int count = oce_tile_choose(limits, multiple, &shape, list);
    for (int i = 0; i < count; i++)
        names[i] = list[i].name;
    names[count] = '\0';
    return names;
}

Test(tile_config, tiles_are_what_the_kernels_can_compute) {
    int count = 0;
    const oce_tile *table = oce_tile_table(&count);
    cr_assert_leq(count, OCE_TILES);
    for (int i = 0; i < count; i++) {
        const oce_tile *t = &table[i];
        const int group = oce_tile_group(t);
        cr_expect((t->item_rows == 4 || t->item_rows == 8) && t->rows % t->item_rows == 0);
        cr_expect((t->item_columns == 4 || t->item_columns == 8) &&
                  t->columns % t->item_columns == 0);
        cr_expect(t->depth % t->unroll == 0 && (t->is_local || t->depth == 4));
        /* a work-item's slots have one column of the tile, and whole rows of its depth */
        cr_expect(group % (t->rows / 4) == 0 && group % (t->columns / 4) == 0 &&
                  group % (t->depth / 4) == 0);
        cr_expect(group == 64 || group == 128 || group == 256);
        cr_expect_eq(t->name, 'A' + i);
        cr_expect(2 * oce_tile_local_bytes(t) <= 32 << 10, "%c", t->name);
    }
}

Test(tile_config, large_gpus_take_the_largest_tile_that_fills_them) {
    cr_expect_str_eq(choice(&large, 32, 4096, 4096, 1), "CBADE");
    cr_expect_str_eq(choice(&large, 32, 32768, 64, 1), "BADE"); /* half of C would be empty */
    cr_expect_str_eq(choice(&large, 32, 1600, 64, 16), "BADE");
    cr_expect_str_eq(choice(&large, 32, 512, 512, 2), "ADE"); /* 32 groups of C, 64 of B */
    cr_expect_str_eq(choice(&large, 32, 32768, 32, 1), "DE");
    cr_expect_str_eq(choice(&large, 32, 128, 128, 1), "E"); /* none fills it */
    cr_expect_str_eq(choice(&large, 32, 4096, 10, 1), "E"); /* mostly empty in all */
}

Test(tile_config, other_gpus_stay_below_64_sums_an_item) {
    cr_expect_str_eq(choice(&large, 16, 4096, 4096, 1), "AE");
    cr_expect_str_eq(choice(&integrated, 16, 4096, 4096, 1), "AE");
    cr_expect_str_eq(choice(&integrated, 16, 32768, 32, 1), "E"); /* half of A would be empty */
    cr_expect_str_eq(choice(&integrated, 32, 4096, 4096, 1), "ADE");
    cr_expect_str_eq(choice(&integrated, 32, 32768, 32, 1), "DE");
    cr_expect_str_eq(choice(&emulated, 16, 4096, 4096, 1), "GH");
    cr_expect_str_eq(choice(&emulated, 16, 100, 64, 1), "H");
    cr_expect_str_eq(choice(&tiny, 8, 4096, 4096, 1), "E");
}

Test(tile_config, stages_loads_on_large_gpus_only) {
    const oce_tile_shape shape = {32768, 64, 1, '\0'};
    oce_tile list[OCE_TILES];
    oce_tile_choose(&large, 32, &shape, list);
    cr_expect(list[0].is_staged);
    oce_tile_choose(&integrated, 32, &shape, list);
    cr_expect(list[0].name == 'A' && !list[0].is_staged);
}

Test(tile_config, leaves_local_memory_for_a_second_group) {
    oce_limits limits = integrated;
    const oce_tile_shape shape = {32768, 64, 1, '\0'};
    oce_tile list[OCE_TILES];
    limits.local_bytes = 16 << 10;
    oce_tile_choose(&limits, 32, &shape, list);
    cr_expect(list[0].name == 'A' && list[0].depth == 8);
    limits.local_bytes = 4 << 10; /* too little for A and D */
    cr_expect_str_eq(choice(&limits, 32, 32768, 64, 1), "E");
    limits.local_bytes = 1 << 10;
    cr_expect_str_eq(choice(&limits, 32, 32768, 64, 1), "");
    limits.local_bytes = 0;
    cr_expect_str_eq(choice(&limits, 32, 32768, 64, 1), "GH");
    limits.max_work_group = 32;
    cr_expect_str_eq(choice(&limits, 32, 32768, 64, 1), "");
    limits = integrated;
    limits.max_items[1] = 1; /* one-dimensional groups */
    cr_expect_str_eq(choice(&limits, 32, 32768, 64, 1), "");
}

Test(tile_config, can_be_forced) {
    oce_limits limits = integrated;
    const oce_tile_shape shape = {8, 8, 1, '\0'};
    oce_tile list[OCE_TILES];
    limits.tile = 'C';
    cr_expect(oce_tile_choose(&limits, 1, &shape, list) == 1 && list[0].name == 'C' &&
              list[0].is_staged);
    limits.tile = 'a';
    cr_expect(oce_tile_choose(&limits, 1, &shape, list) == 1 && list[0].name == 'A' &&
              !list[0].is_staged);
    limits.tile = 'x';
    cr_expect_eq(oce_tile_choose(&limits, 1, &shape, list), 0);
}

Test(tile_config, reports_defines_and_ranges) {
    int count = 0;
    const oce_tile *a = oce_tile_table(&count);
    oce_defines defines = {0};
    oce_tile_define(&defines, a);
    cr_expect_str_eq(defines.text, " -DTILE_M=64 -DTILE_N=64 -DTILE_K=16 -DITEM_M=8 -DITEM_N=4"
                                   " -DTILE_LOCAL=1 -DTILE_STAGED=1 -DTILE_UNROLL=4");
    const oce_tile_shape shape = {65, 64, 3, '\0'};
    const oce_range range = oce_tile_range(a, &shape);
    cr_expect(range.local[0] == 16 && range.local[1] == 8 && range.local[2] == 1);
    cr_expect(range.global[0] == 16 && range.global[1] == 16 && range.global[2] == 3);
}
