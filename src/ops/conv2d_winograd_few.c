/* The Winograd family for few input channels: forward passes of 3x3 and 5x5 windows of stride 1
 * (cl/conv2d_winograd_few.cl). */
#include "ops/conv2d_internal.h"
#include "ops/winograd_pass.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TILE = 4, /* outputs of a tile along an axis */
    MOST_CHANNELS = 32,
    /* Multiplications of a pair of channels by the plain sums, at least, to be worth it */
    LEAST_OF_IMAGE = 1250,
    LEAST_OF_BATCH = 4000,
    MOST_SCRATCH = 64 << 10,         /* floats of a group, at most */
    MOST_POOLED_SCRATCH = 144 << 10, /* the same with a pool: what leaves room in an L2 cache */
    MOST_ROWS = 32,                  /* of tiles of a part */
    MOST_COLUMNS = 64,
    MOST_BAND = 64,    /* rows of a pool's outputs of a part */
    MOST_VECTORS = 16, /* of output channels of a part */
    LEAST_GROUPS = 8   /* that share a buffer as scratch memory */
};

static const char file[] = "conv2d_winograd_few.cl";

typedef struct few_state {
    int64_t alpha, channels, filters, vector;
    int64_t loop_rounds;   /* see oce_limits */
    int64_t grid[2];       /* tiles of an image */
    int64_t part[2];       /* tiles of a part of an image */
    int64_t parts, groups; /* of all images; that share them */
    /* Pooled: rows of the pool's output of a part, and parts of those of an image; the same of the
     * vectors of output channels */
    int64_t band, bands, vectors, blocks;
    int64_t window_positions;
    int64_t local_floats; /* of scratch memory; 0: each group has a part of a buffer */
    oce_kernel *forward, *filter;
} few_state;

/* Where a run's parts of the workspace start, in floats. */
typedef struct few_space {
    oce_conv2d_space space;
    size_t filter, scratch;
} few_space;

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    (void)limits;
    if (!oce_winograd_window(&shape->window, reason, reason_bytes) ||
        !oce_winograd_outputs(shape, false, reason, reason_bytes))
        return false;
    if (pass != OCE_PASS_FORWARD)
        snprintf(reason, reason_bytes, "it is no forward pass");
    else if (shape->channels > MOST_CHANNELS)
        snprintf(reason, reason_bytes, "%lld channels are more than %d", (long long)shape->channels,
                 MOST_CHANNELS);
    else
        return true;
    return false;
}

/* Where it takes less time than plain sums: images with tiles for a large part of a vector, and
 * with work to hide the launch that transforms the filter. Short loops: see conv2d_winograd.c.
 * The error is below that of more channels. */
static bool suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass) {
    const int64_t *f = shape->f_dim, *y = shape->y_dim;
    const int64_t image = f[0] * f[1] * y[1] * y[2]; /* multiplications of a pair of channels */
    return limits->loop_rounds == INT64_MAX && pass == OCE_PASS_FORWARD &&
           image >= LEAST_OF_IMAGE &&
           (shape->keeps_filter || image >= oce_ceil_div(LEAST_OF_BATCH, oce_max_int64(y[0], 1)));
}

/* ---- Planning ------------------------------------------------------------------------------ */

/* Floats of scratch memory for parts of `part` tiles, as the kernel has it; with a pool, of
 * state->vectors vectors of output channels. */
static int64_t scratch_floats(const few_state *state, const int64_t part[2]) {
    const int64_t beyond = (state->alpha - 1) / TILE;
    const int64_t plane = (part[0] + beyond) * (part[1] + beyond) + state->vector;
    const int64_t inputs = state->alpha * state->alpha * state->vector;
    const int64_t between = part[0] * part[1] * TILE * TILE * state->vectors * state->vector;
    return (int64_t)oce_size_round_up(
        (size_t)(state->channels * (inputs + TILE * TILE * plane) + between), 16);
}

/* Vectors of output channels of a part. */
static int64_t part_vectors(const few_state *state) {
    return state->vectors > 0 ? state->vectors : oce_ceil_div(state->filters, state->vector);
}

/* About how long a part takes, in vector operations. */
static int64_t part_time(const few_state *state, const int64_t part[2]) {
    const int64_t beyond = (state->alpha - 1) / TILE, a = state->alpha;
    const int64_t planes = (part[0] + beyond) * (part[1] + beyond) * TILE * TILE * state->channels;
    const int64_t vectors = oce_ceil_div(part[0] * (part[1] + beyond), state->vector);
    const int64_t inputs = vectors * state->channels * 8 * a * a;
    const int64_t outputs = part[0] * part[1] * part_vectors(state) * a * a * (state->channels + 3);
    return 1000 + planes + inputs + outputs;
}

/* How often the loops of a part go round. */
static int64_t rounds_of(const few_state *state, const int64_t part[2]) {
    const int64_t planes = (part[0] + 1) * (part[1] + 1) * TILE * (state->channels + 1);
    const int64_t inputs = part[0] * (part[1] + 1) * state->channels * state->alpha / 2;
    const int64_t outputs =
        part[0] * part[1] * part_vectors(state) * (state->alpha * (state->channels + 1) + TILE + 4);
    /* At most a window for each pixel, and a round for each of its positions */
    const int64_t pooled =
        part[0] * part[1] * TILE * TILE * state->vectors * state->window_positions;
    return planes + inputs + outputs + pooled;
}

/* Whether the driver may break its loops off. */
static bool is_too_long(const few_state *state, const int64_t part[2]) {
    return rounds_of(state, part) > state->loop_rounds;
}

/* How many groups share scratch memory for `state->parts` parts. */
static int64_t group_count(const oce_limits *limits, const few_state *state) {
    const int64_t most_parts = state->loop_rounds / rounds_of(state, state->part);
    const int64_t least = oce_max_int64(oce_max_int64(limits->compute_units, LEAST_GROUPS),
                                        oce_ceil_div(state->parts, oce_max_int64(most_parts, 1)));
    return state->local_floats > 0 ? state->parts : oce_min_int64(state->parts, least);
}

/* The parts of an image with which the units are done soonest. */
static void set_parts(const oce_limits *limits, int64_t images, few_state *state) {
    const int64_t floats = state->local_floats > 0 ? state->local_floats : MOST_SCRATCH;
    const int64_t most[2] = {oce_min_int64(state->grid[0], MOST_ROWS),
                             oce_min_int64(state->grid[1], MOST_COLUMNS)};
    int64_t least = INT64_MAX;
    for (int64_t part[2] = {1, 1}; part[0] <= most[0]; part[0]++)
        for (part[1] = 1; part[1] <= most[1]; part[1]++) {
            const int64_t parts = images * oce_ceil_div(state->grid[0], part[0]) *
                                  oce_ceil_div(state->grid[1], part[1]);
            const int64_t time =
                oce_ceil_div(parts, limits->compute_units) * part_time(state, part);
            const bool fits = scratch_floats(state, part) <= floats && !is_too_long(state, part);
            if (part[0] * part[1] > 1 && (!fits || time > least))
                continue;
            least = time;
            state->part[0] = part[0];
            state->part[1] = part[1];
            state->parts = parts;
        }
    state->groups = group_count(limits, state);
}

/* The most rows of tiles that bands of `band` rows of the pool's outputs take. */
static int64_t band_tiles(const oce_window_geometry *pool, int64_t band) {
    int64_t most = 0;
    for (int64_t first = 0; first < pool->output[0]; first += band) {
        const int64_t end = oce_min_int64(first + band, pool->output[0]);
        const int64_t from = oce_max_int64(first * pool->stride[0] - pool->before[0], 0);
        const int64_t to = oce_min_int64(
            (end - 1) * pool->stride[0] - pool->before[0] + pool->size[0], pool->input[0]);
        most = oce_max_int64(most, oce_ceil_div(to, TILE) - from / TILE);
    }
    return most;
}

/* The bands and blocks with which the units are done soonest; false: not even the smallest fit. */
static bool set_bands(const oce_limits *limits, const oce_conv2d_shape *shape, few_state *state) {
    const oce_window_geometry *pool = &shape->pool;
    const int64_t vectors = oce_ceil_div(state->filters, state->vector);
    int64_t least = INT64_MAX;
    few_state best = *state, s = *state;
    for (s.band = 1; s.band <= oce_min_int64(pool->output[0], MOST_BAND); s.band++) {
        s.part[0] = band_tiles(pool, s.band);
        s.part[1] = s.grid[1];
        s.bands = oce_ceil_div(pool->output[0], s.band);
        for (s.vectors = 1; s.vectors <= oce_min_int64(vectors, MOST_VECTORS); s.vectors++) {
            if (scratch_floats(&s, s.part) > MOST_POOLED_SCRATCH || is_too_long(&s, s.part))
                break;
            s.blocks = oce_ceil_div(vectors, s.vectors);
            s.parts = shape->batch * s.bands * s.blocks;
            const int64_t time =
                oce_ceil_div(s.parts, limits->compute_units) * part_time(&s, s.part);
            if (time > least)
                continue;
            least = time;
            best = s;
        }
    }
    *state = best;
    state->groups = group_count(limits, state);
    return least < INT64_MAX;
}

static few_state state_of(const oce_conv2d_shape *shape, const oce_limits *limits) {
    few_state state = {.alpha = shape->window.size[0] + TILE - 1,
                       .channels = shape->channels,
                       .filters = shape->filters,
                       .vector = limits->vector_width,
                       .loop_rounds = limits->loop_rounds,
                       .window_positions = shape->pool.size[0] * shape->pool.size[1]};
    for (int axis = 0; axis < 2; axis++)
        state.grid[axis] = oce_ceil_div(shape->window.output[axis], TILE);
    return state;
}

/* Where its scratch memory is, as for set_parts(), and bands and blocks that fit it. */
static bool plan_pooled(const oce_conv2d_shape *shape, const oce_limits *limits, few_state *state) {
    *state = state_of(shape, limits);
    if (oce_winograd_local(limits, MOST_POOLED_SCRATCH) == MOST_POOLED_SCRATCH)
        state->local_floats = MOST_POOLED_SCRATCH;
    return set_bands(limits, shape, state);
}

static bool pools(oce_device *device, const oce_conv2d_shape *shape) {
    few_state state;
    return plan_pooled(shape, oce_device_limits(device), &state);
}

static oce_status get_kernels(oce_device *device, const oce_conv2d_shape *shape, few_state *state) {
    const oce_window_geometry *pool = &shape->pool;
    oce_defines defines = {0};
    oce_define(&defines, "ALPHA", state->alpha);
    oce_define(&defines, "TILES", oce_device_limits(device)->vector_registers >= 32 ? 2 : 1);
    if (state->local_floats > 0)
        oce_define(&defines, "SCRATCH_FLOATS", state->local_floats);
    if (!shape->is_pooled) {
        OCE_TRY(oce_kernel_get(device, file, "winograd_few_filter winograd_few_forward", &defines,
                               &state->filter));
        return oce_kernel_get(device, file, "winograd_few_forward", &defines, &state->forward);
    }
    oce_define(&defines, "POOL_KH", pool->size[0]);
    oce_define(&defines, "POOL_KW", pool->size[1]);
    oce_define(&defines, "POOL_SH", pool->stride[0]);
    oce_define(&defines, "POOL_SW", pool->stride[1]);
    oce_define(&defines, "POOL_TOP", pool->before[0]);
    oce_define(&defines, "POOL_LEFT", pool->before[1]);
    OCE_TRY(oce_kernel_get(device, file, "winograd_few_filter winograd_few_pool", &defines,
                           &state->filter));
    return oce_kernel_get(device, file, "winograd_few_pool", &defines, &state->forward);
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    (void)pass;
    few_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    const oce_limits *limits = oce_device_limits(device);
    if (shape->is_pooled) {
        (void)plan_pooled(shape, limits, state); /* pools() has said that it can */
        return get_kernels(device, shape, state);
    }
    *state = state_of(shape, limits);
    const int64_t one[2] = {1, 1}, local = oce_winograd_local(limits, MOST_SCRATCH);
    if (scratch_floats(state, one) <= local)
        state->local_floats = local;
    set_parts(limits, shape->batch, state);
    return get_kernels(device, shape, state);
}

/* ---- Workspace ----------------------------------------------------------------------------- */

static size_t take_filter(oce_conv2d_space *space, const few_state *state) {
    const int64_t extents[] = {state->alpha, state->alpha, state->channels,
                               oce_ceil_div(state->filters, state->vector), state->vector};
    return oce_conv2d_take_product(space, extents, OCE_COUNT(extents));
}

static few_space place(const few_state *state) {
    few_space at = {{0, false}, 0, 0};
    at.filter = take_filter(&at.space, state);
    if (state->local_floats == 0)
        at.scratch = oce_conv2d_take(&at.space,
                                     (size_t)(state->groups * scratch_floats(state, state->part)));
    return at;
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)shape, (void)x_in_place;
    const few_space at = place(opaque);
    return oce_conv2d_space_bytes(&at.space, bytes);
}

static oce_status prepared_bytes(const oce_conv2d_shape *shape, const void *opaque, size_t *bytes) {
    (void)shape;
    oce_conv2d_space space = {0, false};
    (void)take_filter(&space, opaque);
    return oce_conv2d_space_bytes(&space, bytes);
}

/* ---- Running ------------------------------------------------------------------------------- */

static oce_status transform_filter(const few_state *state, const oce_tensor *filter,
                                   const oce_arg *target) {
    const oce_arg args[] = {oce_arg_tensor(filter), *target, oce_arg_int(state->channels),
                            oce_arg_int(state->filters)};
    const int64_t vectors = oce_ceil_div(state->filters, state->vector);
    return oce_launch(state->filter, oce_range_groups(state->channels, vectors, 1), args,
                      OCE_COUNT(args));
}

static oce_status prepare_filter(const void *opaque, const oce_tensor *filter,
                                 oce_buffer *prepared) {
    const oce_arg target = oce_arg_part(prepared, 0);
    return transform_filter(opaque, filter, &target);
}

static oce_status run_pooled(const oce_conv2d_shape *shape, const few_state *state,
                             const oce_conv2d_operands *o, const oce_arg *filter,
                             const oce_arg *scratch) {
    const oce_window_geometry *g = &shape->window;
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            *filter,
                            oce_arg_tensor(o->bias),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            oce_arg_part(o->winners, 0),
                            *scratch,
                            oce_arg_long(scratch_floats(state, state->part)),
                            oce_arg_int(g->input[0]),
                            oce_arg_int(g->input[1]),
                            oce_arg_int(g->before[0]),
                            oce_arg_int(g->before[1]),
                            oce_arg_int(state->channels),
                            oce_arg_int(state->filters),
                            oce_arg_int(g->output[0]),
                            oce_arg_int(g->output[1]),
                            oce_arg_int(state->grid[1]),
                            oce_arg_int(shape->pool.output[0]),
                            oce_arg_int(shape->pool.output[1]),
                            oce_arg_int(state->part[0]),
                            oce_arg_int(state->band),
                            oce_arg_int(state->bands),
                            oce_arg_int(state->vectors),
                            oce_arg_int(state->blocks),
                            oce_arg_long(state->parts),
                            oce_arg_int(shape->activation == OCE_ACTIVATION_RELU)};
    return oce_launch(state->forward, oce_range_groups(state->groups, 1, 1), args, OCE_COUNT(args));
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *o, oce_buffer *workspace) {
    const few_state *state = opaque;
    const oce_window_geometry *g = &shape->window;
    const few_space at = place(state);
    const oce_arg filter =
        o->prepared != NULL ? oce_arg_part(o->prepared, 0) : oce_arg_part(workspace, at.filter);
    const oce_arg scratch =
        state->local_floats > 0 ? oce_arg_tensor(NULL) : oce_arg_part(workspace, at.scratch);
    if (o->prepared == NULL)
        OCE_TRY(transform_filter(state, o->filter, &filter));
    if (shape->is_pooled)
        return run_pooled(shape, state, o, &filter, &scratch);
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            filter,
                            oce_arg_tensor(o->bias),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            scratch,
                            oce_arg_long(scratch_floats(state, state->part)),
                            oce_arg_int(g->input[0]),
                            oce_arg_int(g->input[1]),
                            oce_arg_int(g->before[0]),
                            oce_arg_int(g->before[1]),
                            oce_arg_int(state->channels),
                            oce_arg_int(state->filters),
                            oce_arg_int(g->output[0]),
                            oce_arg_int(g->output[1]),
                            oce_arg_int(state->grid[0]),
                            oce_arg_int(state->grid[1]),
                            oce_arg_int(state->part[0]),
                            oce_arg_int(state->part[1]),
                            oce_arg_int(oce_ceil_div(state->grid[0], state->part[0])),
                            oce_arg_int(oce_ceil_div(state->grid[1], state->part[1])),
                            oce_arg_long(state->parts),
                            oce_arg_int(shape->activation == OCE_ACTIVATION_RELU)};
    return oce_launch(state->forward, oce_range_groups(state->groups, 1, 1), args, OCE_COUNT(args));
}

const oce_conv2d_method oce_conv2d_winograd_few = {
    .family = OCE_CONV2D_WINOGRAD,
    .serves = serves,
    .suits = suits,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
    .pools = pools,
    .prepared = prepared_bytes,
    .prepare_filter = prepare_filter,
};
