/* The Winograd family's filter gradient for few input channels (cl/conv2d_winograd_few.cl). */
#include "ops/conv2d_tiles.h"
#include "ops/winograd_pass.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TILE = 4, /* outputs of a tile along an axis */
    MOST_CHANNELS = 32,
    LEAST_TILES = 256,        /* to be worth transforming the sums back */
    PART_COLUMNS = 16,        /* of tiles of a part, at most */
    PART_TILES = 64,          /* about so many */
    GROUPS = 64,              /* wanted: one for each of 64 compute units */
    SPLIT_TILES = 192,        /* of a partial sum at least, so that adding it up costs little */
    LOCAL_FLOATS = 160 << 10, /* of a group's scratch memory in local memory, at most */
    GAP = 16                  /* floats between positions in scratch memory, as the kernel has it */
};

typedef struct few_grad_state {
    oce_winograd_pass w;
    oce_conv2d_tiles blocks; /* one part: blocks of output channels of equal width */
    int64_t part[2];         /* tiles of a part of an image */
    int64_t parts, splits;   /* of all images; partial sums, which share them */
    int64_t local_floats;    /* of a group's scratch memory; 0: each has a part of a buffer */
    oce_kernel *sum;
} few_grad_state;

/* Where a run's parts of the workspace start, in floats. */
typedef struct few_grad_space {
    oce_conv2d_space space;
    size_t partials, scratch;
} few_grad_space;

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    if (!oce_winograd_window(&shape->window, reason, reason_bytes) ||
        !oce_winograd_outputs(shape, false, reason, reason_bytes))
        return false;
    if (pass != OCE_PASS_FILTER_GRAD)
        snprintf(reason, reason_bytes, "it is no filter gradient");
    else if (shape->channels > MOST_CHANNELS)
        snprintf(reason, reason_bytes, "%lld channels are more than %d", (long long)shape->channels,
                 MOST_CHANNELS);
    else if (shape->filters % limits->vector_width != 0)
        snprintf(reason, reason_bytes, "%lld filters are no multiple of %d, the device's vector",
                 (long long)shape->filters, limits->vector_width);
    else
        return true;
    return false;
}

/*
 * Where it takes less time than plain sums, as measured: those take a multiply-add for each output,
 * tap and channel; a tile takes about as long as seven of them for each position, and two for each
 * position and channel. Short loops: see conv2d_winograd.c. The error is that of more channels.
 */
static bool suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass) {
    const int64_t *f = shape->f_dim, *y = shape->y_dim, alpha = f[0] + TILE - 1;
    const int64_t image_tiles = oce_ceil_div(y[1], TILE) * oce_ceil_div(y[2], TILE);
    const bool is_cheaper =
        image_tiles * alpha * alpha * (2 * f[2] + 7) < y[1] * y[2] * f[0] * f[1] * f[2];
    const int64_t least_vectors = f[0] == 3 ? 2 : 1; /* plain sums of 3 x 3 are fast with one */
    return limits->loop_rounds == INT64_MAX && pass == OCE_PASS_FILTER_GRAD && is_cheaper &&
           f[3] >= least_vectors * limits->vector_width && y[0] * image_tiles >= LEAST_TILES;
}

/* ---- Planning ------------------------------------------------------------------------------ */

static int64_t block_width(const few_grad_state *s) {
    return s->blocks.parts[0].vectors * s->blocks.vector;
}

/* Floats of scratch memory of a group, as the kernel has it. */
static int64_t scratch_floats(const few_grad_state *s) {
    const int64_t positions = s->w.alpha * s->w.alpha, vector = s->blocks.vector;
    const int64_t beyond = (s->w.alpha - 1) / TILE;
    const int64_t plane = (s->part[0] + beyond) * (s->part[1] + beyond) + vector;
    const int64_t outputs = positions * (vector * block_width(s) + GAP);
    return (int64_t)oce_size_round_up(
        (size_t)(s->w.channels * (positions * vector + TILE * TILE * plane) + outputs), GAP);
}

/* How often the loops of a group go round: planes, their transforms, those of dY, and products. */
static int64_t rounds_of(const few_grad_state *s) {
    const int64_t tiles = s->part[0] * (s->part[1] + 1), positions = s->w.alpha * s->w.alpha;
    const int64_t planes = (s->part[0] + 1) * TILE * (s->part[1] + 2) * (s->w.channels + 1);
    const int64_t turns = oce_ceil_div(tiles, s->blocks.vector);
    const int64_t products = positions * s->w.channels * (s->blocks.vector + 4);
    const int64_t part = planes + turns * (s->w.channels * 2 * s->w.alpha + products) +
                         tiles * s->blocks.parts[0].vectors * (TILE + s->w.alpha);
    return oce_ceil_div(s->parts, s->splits) * part;
}

/* Parts and partial sums, a power of two, are a function of the shape and the blocks alone, so that
 * however many units there are they add in the same order. */
static void divide(int64_t images, few_grad_state *s) {
    const int64_t blocks = s->blocks.parts[0].blocks;
    s->part[1] = oce_min_int64(s->w.grid[1], PART_COLUMNS);
    s->part[0] = oce_min_int64(s->w.grid[0], oce_ceil_div(PART_TILES, s->part[1]));
    s->parts =
        images * oce_ceil_div(s->w.grid[0], s->part[0]) * oce_ceil_div(s->w.grid[1], s->part[1]);
    s->splits = 1;
    while (2 * s->splits * blocks <= GROUPS && 2 * s->splits * SPLIT_TILES <= s->w.tiles &&
           2 * s->splits <= s->parts)
        s->splits *= 2;
}

static oce_status get_kernels(oce_device *device, few_grad_state *s) {
    oce_conv2d_part *part = &s->blocks.parts[0];
    /* Register tiles of equal height for all channels */
    const int64_t turns = oce_ceil_div(s->w.channels, part->rows);
    part->rows = (int)oce_ceil_div(s->w.channels, turns);
    oce_defines defines = {0};
    oce_define(&defines, "ALPHA", s->w.alpha);
    oce_define(&defines, "TILE", TILE);
    oce_defines sum = defines;
    oce_define(&sum, "TILE_VECTORS", part->vectors);
    OCE_TRY(oce_kernel_get(device, "conv2d_winograd.cl", "winograd_filter_sum", &sum, &s->sum));
    if (s->local_floats > 0)
        oce_define(&defines, "SCRATCH_FLOATS", s->local_floats);
    return oce_conv2d_blocks_get(device, "conv2d_winograd_few.cl", "winograd_few_filter_grad",
                                 &defines, &s->blocks);
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    few_grad_state *s = calloc(1, sizeof *s);
    OCE_REQUIRE(s != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = s;
    oce_conv2d_shape with_tiles = *shape;
    with_tiles.asked.outputs = TILE;
    s->w = oce_winograd_pass_of(&with_tiles, pass);
    if (s->w.filters == 0 || s->w.tiles == 0)
        return OCE_OK; /* dF is empty, or cleared, without a run */
    s->blocks = oce_conv2d_blocks_of(device, s->w.filters);
    divide(shape->batch, s);
    OCE_REQUIRE(rounds_of(s) <= s->blocks.loop_rounds, OCE_ERROR_UNSUPPORTED,
                "conv2d: winograd cannot compute the filter gradient: its sums of %lld tiles take "
                "%lld rounds of loops, and the driver may break loops off after %lld",
                (long long)oce_ceil_div(s->w.tiles, s->splits), (long long)rounds_of(s),
                (long long)s->blocks.loop_rounds);
    const int64_t local = oce_winograd_local(oce_device_limits(device), LOCAL_FLOATS);
    if (scratch_floats(s) <= local)
        s->local_floats = local;
    return get_kernels(device, s);
}

/* ---- Workspace and running ----------------------------------------------------------------- */

static few_grad_space place(const few_grad_state *s) {
    few_grad_space at = {{0, false}, 0, 0};
    const int64_t partials[] = {s->splits, s->w.alpha, s->w.alpha, s->w.channels, s->w.filters};
    at.partials = oce_conv2d_take_product(&at.space, partials, 5);
    if (s->local_floats == 0) {
        const int64_t scratch[] = {s->splits, s->blocks.parts[0].blocks, scratch_floats(s)};
        at.scratch = oce_conv2d_take_product(&at.space, scratch, 3);
    }
    return at;
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)shape, (void)x_in_place;
    const few_grad_space at = place(opaque);
    return oce_conv2d_space_bytes(&at.space, bytes);
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *o, oce_buffer *workspace) {
    (void)shape;
    const few_grad_state *s = opaque;
    const oce_winograd_pass *w = &s->w;
    const int64_t blocks = s->blocks.parts[0].blocks;
    const few_grad_space at = place(s);
    const oce_arg partials = oce_arg_part(workspace, at.partials);
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            partials,
                            s->local_floats > 0 ? oce_arg_tensor(NULL)
                                                : oce_arg_part(workspace, at.scratch),
                            oce_arg_long(scratch_floats(s)),
                            oce_arg_int(w->input[0]),
                            oce_arg_int(w->input[1]),
                            oce_arg_int(w->before[0]),
                            oce_arg_int(w->before[1]),
                            oce_arg_int(w->channels),
                            oce_arg_int(w->output[0]),
                            oce_arg_int(w->output[1]),
                            oce_arg_int(w->grid[0]),
                            oce_arg_int(w->grid[1]),
                            oce_arg_int(s->part[0]),
                            oce_arg_int(s->part[1]),
                            oce_arg_int(oce_ceil_div(w->grid[0], s->part[0])),
                            oce_arg_int(oce_ceil_div(w->grid[1], s->part[1])),
                            oce_arg_long(s->parts)};
    OCE_TRY(oce_launch(s->blocks.parts[0].kernel, oce_range_groups(blocks, s->splits, 1), args,
                       OCE_COUNT(args)));
    const oce_arg sum_args[] = {partials,       oce_arg_tensor(o->filter), oce_arg_int(w->channels),
                                oce_arg_int(1), oce_arg_int(w->filters),   oce_arg_int(s->splits)};
    return oce_launch(s->sum, oce_range_groups(w->channels, blocks, 1), sum_args,
                      OCE_COUNT(sum_args));
}

const oce_conv2d_method oce_conv2d_winograd_few_grad = {
    .family = OCE_CONV2D_WINOGRAD,
    .serves = serves,
    .suits = suits,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
};
