/*
 * Tiles of the GPU families (cl/tile.cl.h): the configurations there are, which one suits a product
 * on a device, and building a kernel for it.
 */
#ifndef OCE_OPS_TILE_CONFIG_H
#define OCE_OPS_TILE_CONFIG_H

#include "device/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The macros of cl/tile.cl.h. `rows` x `columns` of the result a work-group, item_rows x
 * item_columns an item. */
typedef struct oce_tile {
    char name;                /* 'A' to 'H' */
    int rows, columns, depth; /* TILE_M, TILE_N, TILE_K */
    int item_rows, item_columns;
    int unroll;
    bool is_local; /* operands pass through local memory */
    bool is_staged;
} oce_tile;

/* All configurations, `*count` of them. is_staged is what each is by itself; oce_tile_choose()
 * turns it off for devices that hide latency otherwise. */
const oce_tile *oce_tile_table(int *count);

int oce_tile_group(const oce_tile *tile);          /* work-items */
size_t oce_tile_local_bytes(const oce_tile *tile); /* of a group, with all padding */

/* Adds the tile's macros. */
void oce_tile_define(oce_defines *defines, const oce_tile *tile);

/* A product as the rule sees it: rows x columns, `parts` times (batch, splits of the sum). */
typedef struct oce_tile_shape {
    int64_t rows, columns, parts;
    char asked; /* the only tile to be used, as the tuning table says; '\0': the rule's */
} oce_tile_shape;

/* The tiles that the device can run, the one that the rule prefers first, then those to step down
 * to; returns how many. `multiple`: of oce_device_group_multiple(). limits->tile, for tests,
 * or else shape->asked leaves only the tile of that name, in lower case not staged. */
enum { OCE_TILES = 8 };
int oce_tile_choose(const oce_limits *limits, size_t multiple, const oce_tile_shape *shape,
                    oce_tile list[OCE_TILES]);

/* Builds kernel `name` of `file` with `defines` and the macros of the first tile of the rule's list
 * that builds, fits the device and does not spill registers; *tile says which. If all spill, the
 * first.
 * Errors: OCE_ERROR_UNSUPPORTED (no tile fits the device), or of the last build. */
oce_status oce_tile_kernel_get(oce_device *device, const char *file, const char *name,
                               const oce_defines *defines, const oce_tile_shape *shape,
                               oce_tile *tile, oce_kernel **kernel);

/* The same for a tile that is chosen already. */
oce_status oce_tile_kernel_build(oce_device *device, const char *file, const char *name,
                                 const oce_defines *defines, const oce_tile *tile,
                                 oce_kernel **kernel);

/* The range of a kernel that computes `shape` with `tile`. */
oce_range oce_tile_range(const oce_tile *tile, const oce_tile_shape *shape);

/* Parts of a sum of `steps` steps, a function of the shape alone: enough that a large GPU has
 * something to do, as long as a part is worth its partial result. `rows` x `columns` results,
 * `batch` products. A power of two, 1 for most shapes. */
int64_t oce_tile_splits(int64_t rows, int64_t columns, int64_t steps, int64_t batch);

/* Whether some tile can run on the device; if not, `reason` says why. */
bool oce_tile_serves(const oce_limits *limits, char *reason, size_t reason_bytes);

#endif
