#include "ops/conv2d_filter_tiles.h"

#include "base/size.h"
#include "base/status.h"

enum {
    GROUPS = 256,         /* wanted: a few for each of 64 compute units */
    GROUPS_A_UNIT = 8,    /* that are enough for a device of few units to stay balanced */
    SUM_FLOATS = 1 << 14, /* of an item, about */
    SPLIT_PIXELS = 1024,  /* of a partial sum at least, so that adding it up costs little */
    GROUP_TILES = 8,      /* at most: enough that loading a block of dY pays */
    BLOCK_PIXELS = 96     /* of dY, kept in the first cache */
};

/* ---- Few filters --------------------------------------------------------------------------- */

/* Runs of X's floats, each `width` side by side, that meet the filters: without dilation the rows
 * of a window, else its single taps. */
typedef struct run_set {
    int64_t count, columns, width; /* columns: in a row of the window */
} run_set;

static run_set runs_of(const oce_conv2d_shape *shape) {
    const int64_t *f = shape->f_dim;
    if (f[1] == 1 || shape->window.dilation[1] == 1)
        return (run_set){f[0], 1, f[1] * f[2]};
    return (run_set){f[0] * f[1], f[1], f[2]};
}

/* Whether vectors of X are the sooner done, by a margin for what the model does not know; the
 * result must be turned, which costs half a cycle an element. Measured (Ice Lake, 16 x 32 x 32 x
 * 64, 3 x 3): 7 times as fast for 2 filters, 1.8 for 16, 1.1 for 40. */
static bool has_few_filters(const oce_conv2d_shape *shape, const oce_limits *limits) {
    const int64_t *f = shape->f_dim, *y = shape->y_dim;
    const run_set few = runs_of(shape);
    const int64_t positions = f[0] * f[1] * f[2];
    const double pixels = (double)(y[0] * y[1] * y[2]), margin = 1.05;
    const double of_x =
        pixels * (double)(few.count * oce_conv2d_step_cost(limits, f[3], few.width)) +
        (double)positions * (double)f[3];
    return of_x * margin < pixels * (double)oce_conv2d_step_cost(limits, positions, f[3]);
}

bool oce_conv2d_filter_sides(const oce_conv2d_shape *shape, const oce_limits *limits, int64_t *rows,
                             int64_t *channels) {
    const int64_t *f = shape->f_dim;
    const bool is_few = has_few_filters(shape, limits);
    *rows = is_few ? shape->filters : f[0] * f[1] * f[2];
    *channels = is_few ? runs_of(shape).width : shape->filters;
    return is_few;
}

/* ---- Division ------------------------------------------------------------------------------ */

/* dY's pixels are taken in blocks of so many: whole rows, or parts of one. */
typedef struct pixel_block {
    int64_t rows, columns, pieces; /* pieces: of a row */
} pixel_block;

static pixel_block block_of(const oce_conv2d_shape *shape) {
    const int64_t columns = shape->y_dim[2], pieces = oce_ceil_div(columns, BLOCK_PIXELS);
    return (pixel_block){oce_max_int64(BLOCK_PIXELS / columns, 1), oce_ceil_div(columns, pieces),
                         pieces};
}

/* How many partial sums, of a driver whose loops may be long. */
static int64_t usual_splits(const oce_conv2d_shape *shape) {
    const int64_t *f = shape->f_dim, *y = shape->y_dim;
    const int64_t groups = oce_ceil_div(f[3], 64) * oce_ceil_div(f[0] * f[1] * f[2], 48);
    const int64_t rows = y[0] * y[1], worthwhile = rows * y[2] / SPLIT_PIXELS;
    const int64_t splits = oce_min_int64(oce_ceil_div(GROUPS, oce_max_int64(groups, 1)),
                                         oce_min_int64(worthwhile, rows));
    return oce_max_int64(splits, 1);
}

/* Rounds of loops, at most, of a tile that meets the pixels of a split. */
static int64_t rounds_of(const oce_conv2d_shape *shape, int64_t splits) {
    const int64_t rows = oce_ceil_div(shape->y_dim[0] * shape->y_dim[1], splits);
    const pixel_block block = block_of(shape);
    const int64_t blocks = oce_ceil_div(rows, block.rows) * block.pieces;
    return oce_max_int64(rows * shape->y_dim[2] * 5 / 4 + blocks * OCE_CONV2D_TILE_ROUNDS, 1);
}

/* Tiles of a group, at most, before the driver ends its loops. */
static int64_t most_tiles(const oce_conv2d_shape *shape, const oce_conv2d_filter_tiles *t) {
    return t->tiles.loop_rounds / rounds_of(shape, t->splits);
}

/* Tiles of a group, at least: those of one run's filters, or one. */
static int64_t least_tiles(const oce_conv2d_filter_tiles *t, const oce_conv2d_part *part,
                           int64_t filters) {
    return t->is_few ? oce_ceil_div(filters, part->rows) : 1;
}

/* More splits, until the loops end before the driver ends them. */
static oce_status shorten_loops(const oce_conv2d_shape *shape, oce_conv2d_filter_tiles *t) {
    const int64_t rows = shape->y_dim[0] * shape->y_dim[1];
    int64_t tiles = 1;
    for (int i = 0; i < t->tiles.count; i++)
        tiles = oce_max_int64(tiles, least_tiles(t, &t->tiles.parts[i], shape->filters));
    while (most_tiles(shape, t) < tiles && t->splits < rows)
        t->splits = oce_min_int64(t->splits * 2, rows);
    OCE_REQUIRE(most_tiles(shape, t) >= tiles, OCE_ERROR_UNSUPPORTED,
                "conv2d: direct would take %lld rounds of loops for the filter gradient's %lld "
                "output columns; the driver ends them after %lld",
                (long long)(tiles * rounds_of(shape, t->splits)), (long long)shape->y_dim[2],
                (long long)t->tiles.loop_rounds);
    return OCE_OK;
}

oce_status oce_conv2d_filter_tiles_get(oce_device *device, const oce_conv2d_shape *shape,
                                       oce_conv2d_filter_tiles *t) {
    const oce_limits *limits = oce_device_limits(device);
    int64_t rows = 0, channels = 0;
    *t = (oce_conv2d_filter_tiles){.splits = usual_splits(shape), .units = limits->compute_units};
    t->is_few = oce_conv2d_filter_sides(shape, limits, &rows, &channels);
    t->rows = t->is_few ? runs_of(shape).count * rows : rows;
    OCE_TRY(oce_conv2d_tiles_get(device, &shape->asked,
                                 t->is_few ? "direct_filter_grad_few" : "direct_filter_grad", rows,
                                 channels, &t->tiles));
    const int64_t *y = shape->y_dim;
    return y[0] * y[1] * y[2] > 0 ? shorten_loops(shape, t) : OCE_OK;
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Of tiles of positions, as many that loading dY's block pays. Of runs and blocks: all runs of some
 * blocks, which find X in the caches, unless there are too few groups then. */
int64_t oce_conv2d_filter_group(const oce_conv2d_shape *shape, const oce_conv2d_filter_tiles *t,
                                const oce_conv2d_part *part) {
    int64_t group = 0;
    if (t->is_few)
        group =
            runs_of(shape).count * part->blocks * t->splits / ((int64_t)t->units * GROUPS_A_UNIT);
    else
        group = oce_ceil_div(
            oce_max_int64(t->rows * part->blocks * t->splits / GROUPS, 2 * part->rows), part->rows);
    const int64_t most = most_tiles(shape, t) / least_tiles(t, part, shape->filters);
    return oce_max_int64(oce_min_int64(group, t->is_few ? most : oce_min_int64(most, GROUP_TILES)),
                         1);
}

static oce_status run_many(const oce_conv2d_shape *shape, const oce_conv2d_filter_tiles *t,
                           const oce_conv2d_part *part, const oce_conv2d_filter_product *p) {
    const int64_t group = oce_conv2d_filter_group(shape, t, part) * part->rows;
    const pixel_block block = block_of(shape);
    const oce_arg args[] = {oce_arg_part(p->x.buffer, (uint64_t)p->x.offset),
                            oce_arg_long(p->x.image),
                            oce_arg_long(p->x.down),
                            oce_arg_long(p->x.right),
                            oce_arg_long(p->tap_down),
                            oce_arg_long(p->tap),
                            oce_arg_int(shape->f_dim[1]),
                            oce_arg_int(shape->channels),
                            oce_arg_part(p->dy.buffer, (uint64_t)(p->dy.offset + part->first)),
                            oce_arg_long(p->dy.image),
                            oce_arg_long(p->dy.down),
                            oce_arg_long(p->dy.right),
                            oce_arg_part(p->partials, (uint64_t)(p->partials_offset + part->first)),
                            oce_arg_int(t->tiles.padded),
                            oce_arg_int(shape->y_dim[1]),
                            oce_arg_int(shape->y_dim[2]),
                            oce_arg_long(shape->batch * shape->y_dim[1]),
                            oce_arg_int(t->rows),
                            oce_arg_int(group),
                            oce_arg_int(t->splits),
                            oce_arg_int(block.rows),
                            oce_arg_int(block.columns)};
    return oce_launch(part->kernel,
                      oce_range_groups(part->blocks, oce_ceil_div(t->rows, group), t->splits), args,
                      OCE_COUNT(args));
}

static oce_status run_few(const oce_conv2d_shape *shape, const oce_conv2d_filter_tiles *t,
                          const oce_conv2d_part *part, const oce_conv2d_filter_product *p) {
    const run_set runs = runs_of(shape);
    const pixel_block block = block_of(shape);
    const int64_t some = oce_conv2d_filter_group(shape, t, part);
    const int64_t group_runs = oce_min_int64(some, runs.count);
    const int64_t group_blocks = oce_min_int64(some / group_runs, part->blocks);
    const oce_arg args[] = {oce_arg_part(p->x.buffer, (uint64_t)(p->x.offset + part->first)),
                            oce_arg_long(p->x.image),
                            oce_arg_long(p->x.down),
                            oce_arg_long(p->x.right),
                            oce_arg_long(p->tap_down),
                            oce_arg_long(p->tap),
                            oce_arg_int(runs.columns),
                            oce_arg_part(p->dy.buffer, (uint64_t)p->dy.offset),
                            oce_arg_long(p->dy.image),
                            oce_arg_long(p->dy.down),
                            oce_arg_long(p->dy.right),
                            oce_arg_part(p->partials, (uint64_t)(p->partials_offset + part->first)),
                            oce_arg_int(t->tiles.padded),
                            oce_arg_int(shape->y_dim[1]),
                            oce_arg_int(shape->y_dim[2]),
                            oce_arg_long(shape->batch * shape->y_dim[1]),
                            oce_arg_int(shape->filters),
                            oce_arg_int(part->blocks),
                            oce_arg_int(group_blocks),
                            oce_arg_int(runs.count),
                            oce_arg_int(group_runs),
                            oce_arg_int(t->splits),
                            oce_arg_int(block.rows),
                            oce_arg_int(block.columns)};
    return oce_launch(part->kernel,
                      oce_range_groups(oce_ceil_div(part->blocks, group_blocks),
                                       oce_ceil_div(runs.count, group_runs), t->splits),
                      args, OCE_COUNT(args));
}

static oce_status sum_many(const oce_conv2d_layout *layout, const oce_conv2d_shape *shape,
                           const oce_conv2d_filter_tiles *t, const oce_conv2d_filter_product *p) {
    const int64_t rows_per_item = oce_max_int64(SUM_FLOATS / (t->tiles.padded * t->splits), 1);
    const oce_arg args[] = {oce_arg_part(p->partials, (uint64_t)p->partials_offset),
                            oce_arg_long(t->rows * t->tiles.padded),
                            oce_arg_int(t->tiles.padded),
                            oce_arg_tensor(p->dfilter),
                            oce_arg_int(t->rows),
                            oce_arg_int(shape->f_dim[1]),
                            oce_arg_int(shape->channels),
                            oce_arg_int(shape->filters),
                            oce_arg_int(t->splits),
                            oce_arg_int(rows_per_item)};
    return oce_launch(layout->sum, oce_range_groups(oce_ceil_div(t->rows, rows_per_item), 1, 1),
                      args, OCE_COUNT(args));
}

static oce_status sum_few(const oce_conv2d_layout *layout, const oce_conv2d_shape *shape,
                          const oce_conv2d_filter_tiles *t, const oce_conv2d_filter_product *p) {
    const run_set runs = runs_of(shape);
    const int64_t vectors =
        oce_max_int64(SUM_FLOATS / (shape->filters * t->splits * t->tiles.vector), 1);
    const int64_t columns = vectors * t->tiles.vector;
    const oce_arg args[] = {oce_arg_part(p->partials, (uint64_t)p->partials_offset),
                            oce_arg_long(t->rows * t->tiles.padded),
                            oce_arg_int(t->tiles.padded),
                            oce_arg_tensor(p->dfilter),
                            oce_arg_int(runs.width),
                            oce_arg_int(shape->filters),
                            oce_arg_int(t->splits),
                            oce_arg_int(columns)};
    return oce_launch(layout->sum,
                      oce_range_groups(oce_ceil_div(runs.width, columns), runs.count, 1), args,
                      OCE_COUNT(args));
}

oce_status oce_conv2d_filter_product_run(const oce_conv2d_layout *layout,
                                         const oce_conv2d_shape *shape,
                                         const oce_conv2d_filter_tiles *t,
                                         const oce_conv2d_filter_product *p) {
    for (int i = 0; i < t->tiles.count; i++) {
        const oce_conv2d_part *part = &t->tiles.parts[i];
        OCE_TRY(t->is_few ? run_few(shape, t, part, p) : run_many(shape, t, part, p));
    }
    return t->is_few ? sum_few(layout, shape, t, p) : sum_many(layout, shape, t, p);
}
