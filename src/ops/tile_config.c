/* Tiles of the GPU families: a table, a rule, and stepping down where a device cannot follow. */
#include "ops/tile_config.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

/*
 * Registers of an item, about: item_rows * item_columns sums, item_rows + item_columns operands,
 * depth * (rows + columns) / group staged floats and 20 for addresses. 32 sums (A, D, G) is what
 * tuned kernels of every maker's GPUs have first or near first; 64 need a GPU with many registers
 * and many groups, 16 serve small ones. A depth of 16 reads 64 bytes of a row at a time, one cache
 * line of most GPUs; the tiles with 64 sums have 8, or their staged loads would not fit.
 */
static const oce_tile table[] = {
    /* name, rows, columns, depth, item, unroll, local, staged */
    {'A', 64, 64, 16, 8, 4, 4, true, true},  /* 128 items: the usual one */
    {'B', 128, 64, 8, 8, 8, 1, true, true},  /* 128 items: much of a tile of A's columns */
    {'C', 128, 128, 8, 8, 8, 2, true, true}, /* 256 items: large products */
    {'D', 128, 32, 16, 8, 4, 2, true, true}, /* 128 items: narrow ones */
    {'E', 32, 32, 16, 4, 4, 8, true, true},  /* 64 items: few groups, small devices */
    {'F', 64, 64, 8, 8, 8, 2, true, false},  /* 64 items with many registers */
    {'G', 64, 64, 4, 8, 4, 4, false, false}, /* 128 items, no local memory */
    {'H', 32, 32, 4, 4, 4, 4, false, false}, /* 64 items, no local memory */
};

const oce_tile *oce_tile_table(int *count) {
    *count = OCE_COUNT(table);
    return table;
}

static const oce_tile *tile_named(char name) {
    for (int i = 0; i < OCE_COUNT(table); i++)
        if (table[i].name == name)
            return &table[i];
    return NULL;
}

int oce_tile_group(const oce_tile *tile) {
    return tile->rows / tile->item_rows * (tile->columns / tile->item_columns);
}

size_t oce_tile_local_bytes(const oce_tile *tile) {
    if (!tile->is_local)
        return 0;
    return (size_t)(tile->depth * (tile->rows + 4 + tile->columns + 4)) * sizeof(float);
}

void oce_tile_define(oce_defines *defines, const oce_tile *tile) {
    oce_define(defines, "TILE_M", tile->rows);
    oce_define(defines, "TILE_N", tile->columns);
    oce_define(defines, "TILE_K", tile->depth);
    oce_define(defines, "ITEM_M", tile->item_rows);
    oce_define(defines, "ITEM_N", tile->item_columns);
    oce_define(defines, "TILE_LOCAL", tile->is_local);
    oce_define(defines, "TILE_STAGED", tile->is_staged);
    oce_define(defines, "TILE_UNROLL", tile->unroll);
}

/* ---- The rule ------------------------------------------------------------------------------ */

enum { SMALL_LOCAL = 32 << 10 /* bytes: a device with less is no large GPU */, WIDE = 32 };

/*
 * The tiles to try, the largest first, by class of device. `multiple` is of a kernel with as many
 * values in registers as a tile: where 32 or more lanes still run together, registers are many.
 *
 * - Large GPUs have memory of their own, fast local memory and many registers: they take large
 *   tiles, staged: the loads of a step are hidden behind the products of the one before.
 * - Other GPUs, with many registers (integrated, mobile) or with few.
 * - Where local memory is plain memory, or none, operands come from the caches.
 *
 * F is for tuning only.
 */
static const char *class_of(const oce_limits *limits, size_t multiple, bool *is_staged) {
    *is_staged = !limits->unified_memory && limits->local_bytes >= SMALL_LOCAL &&
                 limits->local_is_real && limits->max_work_group >= 256 && multiple >= WIDE;
    if (!limits->local_is_real || limits->local_bytes == 0)
        return "GH";
    return *is_staged ? "CBADE" : multiple >= WIDE ? "ADE" : "AE";
}

/* Whether a group fits the device. Halves the depth until two groups fit a unit's local memory, so
 * that one multiplies while the other loads. */
static bool fit(const oce_limits *limits, oce_tile *tile) {
    const size_t group = (size_t)oce_tile_group(tile);
    const size_t across = (size_t)(tile->columns / tile->item_columns);
    if (group > limits->max_work_group || across > limits->max_items[0] ||
        group / across > limits->max_items[1])
        return false;
    while (tile->is_local && tile->depth > 8 &&
           2 * oce_tile_local_bytes(tile) > limits->local_bytes) {
        tile->depth /= 2;
    }
    return oce_tile_local_bytes(tile) <= limits->local_bytes;
}

static int64_t group_count(const oce_tile *tile, const oce_tile_shape *shape) {
    return oce_ceil_div(shape->rows, tile->rows) * oce_ceil_div(shape->columns, tile->columns) *
           shape->parts;
}

/* At most a quarter of the products are of rows and columns that are not there, and there are
 * groups for two rounds on every unit. What drivers call a unit differs widely, hence the bounds.
 */
static bool suits(const oce_tile *tile, const oce_limits *limits, const oce_tile_shape *shape) {
    const double padded = (double)(oce_ceil_div(shape->rows, tile->rows) * tile->rows) *
                          (double)(oce_ceil_div(shape->columns, tile->columns) * tile->columns);
    int64_t wanted = 2 * (int64_t)limits->compute_units;
    wanted = wanted < 64 ? 64 : wanted > 256 ? 256 : wanted;
    return (double)shape->rows * (double)shape->columns >= 0.75 * padded &&
           group_count(tile, shape) >= wanted;
}

int oce_tile_choose(const oce_limits *limits, size_t multiple, const oce_tile_shape *shape,
                    oce_tile list[OCE_TILES]) {
    const char letter = limits->tile != '\0' ? limits->tile : shape->asked;
    const bool is_lower = letter >= 'a' && letter <= 'h';
    const char forced[] = {is_lower ? (char)(letter - 'a' + 'A') : letter, '\0'};
    bool is_staged = !is_lower;
    const char *names = forced[0] != '\0' ? forced : class_of(limits, multiple, &is_staged);
    int count = 0, first = -1;
    for (const char *name = names; *name != '\0'; name++) {
        const oce_tile *known = tile_named(*name);
        if (known == NULL)
            continue;
        oce_tile tile = *known;
        tile.is_staged = tile.is_staged && is_staged;
        if (!fit(limits, &tile))
            continue;
        list[count] = tile;
        if (first < 0 && suits(&tile, limits, shape))
            first = count;
        count++;
    }
    if (count > 0 && first < 0)
        first = count - 1; /* the smallest makes the most groups */
    if (first > 0) {
        count -= first;
        memmove(list, list + first, (size_t)count * sizeof *list);
    }
    return count;
}

bool oce_tile_serves(const oce_limits *limits, char *reason, size_t reason_bytes) {
    const oce_tile_shape any = {1, 1, 1, '\0'};
    oce_tile list[OCE_TILES];
    if (limits->is_cpu)
        snprintf(reason, reason_bytes, "the device is a CPU");
    else if (oce_tile_choose(limits, 1, &any, list) == 0)
        snprintf(reason, reason_bytes,
                 "no tile fits groups of %zu work-items (%zu x %zu) and %zu bytes of local memory",
                 limits->max_work_group, limits->max_items[0], limits->max_items[1],
                 limits->local_bytes);
    else
        return true;
    return false;
}

/* ---- Kernels ------------------------------------------------------------------------------- */

oce_status oce_tile_kernel_build(oce_device *device, const char *file, const char *name,
                                 const oce_defines *defines, const oce_tile *tile,
                                 oce_kernel **kernel) {
    oce_defines all = *defines;
    oce_tile_define(&all, tile);
    OCE_TRY(oce_kernel_get(device, file, name, &all, kernel));
    OCE_REQUIRE((size_t)oce_tile_group(tile) <= oce_kernel_max_group(*kernel),
                OCE_ERROR_UNSUPPORTED,
                "kernel %s: tile %c has groups of %d items, the device allows "
                "%zu of this kernel",
                name, tile->name, oce_tile_group(tile), oce_kernel_max_group(*kernel));
    return OCE_OK;
}

static int sums_of(const oce_tile *tile) {
    return tile->item_rows * tile->item_columns;
}

oce_status oce_tile_kernel_get(oce_device *device, const char *file, const char *name,
                               const oce_defines *defines, const oce_tile_shape *shape,
                               oce_tile *tile, oce_kernel **kernel) {
    const oce_limits *limits = oce_device_limits(device);
    size_t multiple = 1;
    OCE_TRY(oce_device_group_multiple(device, &multiple));
    oce_tile list[OCE_TILES];
    const int count = oce_tile_choose(limits, multiple, shape, list);
    char reason[160] = "";
    OCE_REQUIRE(count > 0 || oce_tile_serves(limits, reason, sizeof reason), OCE_ERROR_UNSUPPORTED,
                "kernel %s: %s", name, reason);
    oce_kernel *first = NULL, *next = NULL;
    oce_status status = OCE_ERROR_UNSUPPORTED;
    for (int i = 0; i < count; i++) {
        /* After a spill only a tile with fewer sums is worth a build. */
        if (first != NULL && sums_of(&list[i]) >= sums_of(tile))
            continue;
        status = oce_tile_kernel_build(device, file, name, defines, &list[i], &next);
        if (status != OCE_OK && !oce_status_spares_others(status))
            return status;
        const bool is_clean = status == OCE_OK && oce_kernel_private_bytes(next) == 0;
        if (is_clean || (status == OCE_OK && first == NULL)) {
            first = next;
            *tile = list[i];
        }
        if (is_clean)
            break;
    }
    *kernel = first;
    return first != NULL ? OCE_OK : status;
}

oce_range oce_tile_range(const oce_tile *tile, const oce_tile_shape *shape) {
    const size_t across = (size_t)(tile->columns / tile->item_columns);
    const size_t down = (size_t)(tile->rows / tile->item_rows);
    return (oce_range){{(size_t)oce_ceil_div(shape->columns, tile->columns) * across,
                        (size_t)oce_ceil_div(shape->rows, tile->rows) * down, (size_t)shape->parts},
                       {across, down, 1}};
}

int64_t oce_tile_splits(int64_t rows, int64_t columns, int64_t steps, int64_t batch) {
    enum { GROUPS = 512, STEPS = 256, FLOATS = 2 << 20, LONGEST = 1 << 17 };
    const int64_t groups = oce_ceil_div(rows, 64) * oce_ceil_div(columns, 64) * batch;
    const double floats = (double)rows * (double)columns * (double)batch;
    int64_t splits = 1;
    while ((2 * splits * groups <= GROUPS && steps / (2 * splits) >= STEPS &&
            2 * (double)splits * floats <= FLOATS) ||
           steps / splits > LONGEST) /* llvmpipe ends loops after 65535 rounds */
        splits *= 2;
    return splits;
}
