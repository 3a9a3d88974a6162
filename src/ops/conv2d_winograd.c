/* The Winograd family: 3x3 and 5x5 windows of stride 1 (cl/conv2d_winograd.cl). Its pooled forward
 * pass and its filter gradient have files of their own. */
#include "ops/conv2d_winograd.h"

#include "base/size.h"
#include "base/status.h"
#include "ops/register_tile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GAP = 16, /* floats between positions in scratch memory, as the kernels have it */
    SCRATCH_FLOATS = 208 << 10, /* of a group, at most: a large part of an L2 cache */
    LOCAL_TILES = 12, /* that local memory must have room for: fewer read the filter too often */
    /* Where the transformed filter is too large to stay in any cache, or the channels are too many,
     * it is better to read it seldom: */
    LARGE_SCRATCH = 1 << 20,      /* floats of a group, at most */
    LARGE_FILTER = 16 << 18,      /* floats */
    STREAM_TILES = 4,             /* reading it takes as long as computing so many tiles ... */
    LARGE_STREAM_TILES = 48,      /* ... or from memory so many */
    LEAST_TILES = 16,             /* to be worth the transforms of the filter, and one more ... */
    FLOATS_OF_A_TILE = 256 << 10, /* ... for so much of it */
    LEAST_CHANNELS = 8, /* in and out, with 3 x 3 windows: products to pay for transforms */
    LEAST_PREPARED = 2, /* tiles' worth of outputs, to be worth reading a transformed filter, which
                           is larger, and one more ... */
    FLOATS_PREPARED = 512 << 10, /* ... for so much of it */
    STREAM_FLOATS = 1 << 20,     /* of Y, for each unit: more than caches keep until it is read */
};

/* Where a run's parts of the workspace start, in floats. */
typedef struct winograd_space {
    oce_conv2d_space space;
    size_t panels; /* input gradient: the filter, rearranged */
    size_t filter; /* transformed; or the filter gradient's partial sums */
    size_t scratch;
} winograd_space;

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    const int vector = limits->vector_width;
    const int64_t alpha = shape->window.size[0] + 3;
    const int64_t depth = pass == OCE_PASS_FORWARD      ? shape->channels
                          : pass == OCE_PASS_INPUT_GRAD ? shape->filters
                                                        : 0; /* a chunk, of few tiles */
    if (!oce_winograd_window(&shape->window, reason, reason_bytes) ||
        !oce_winograd_outputs(shape, true, reason, reason_bytes))
        return false;
    const int64_t rounds = depth * alpha * alpha;
    if (rounds > limits->loop_rounds)
        snprintf(reason, reason_bytes,
                 "the sums of %lld channels take %lld rounds of a loop, and the driver may break "
                 "loops off after %lld",
                 (long long)depth, (long long)rounds, (long long)limits->loop_rounds);
    else if (shape->channels % vector != 0 || shape->filters % vector != 0)
        snprintf(reason, reason_bytes,
                 "%lld channels and %lld filters are not both multiples of %d, the device's vector",
                 (long long)shape->channels, (long long)shape->filters, vector);
    else
        return true;
    return false;
}

/*
 * Where the transforms pay, and where the error stays below 2e-5 of the largest value: it grows
 * with the number of terms of a sum, which are the input channels of the pass. The filter gradient
 * adds in chunks of tiles; its error stays below 1e-5 for any number of them. Where the driver
 * breaks loops off, those that it allows are too short to pay.
 */
static bool suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass) {
    const bool is_narrow = oce_min_int64(shape->channels, shape->filters) < LEAST_CHANNELS;
    if (limits->loop_rounds < INT64_MAX || (is_narrow && shape->window.size[0] == 3))
        return false;
    const bool is_prepared = shape->keeps_filter && pass == OCE_PASS_FORWARD;
    const bool is_back = pass == OCE_PASS_INPUT_GRAD;
    const int64_t most = oce_winograd_most_channels(&shape->window);
    const int64_t *to = is_back ? shape->x_dim : shape->y_dim;
    const int64_t tiles = shape->batch * oce_ceil_div(to[1], 4) * oce_ceil_div(to[2], 4);
    const int64_t alpha = shape->window.size[0] + 3;
    const int64_t floats = alpha * alpha * shape->channels * shape->filters;
    if (is_prepared ? shape->batch * to[1] * to[2] / 16 < LEAST_PREPARED + floats / FLOATS_PREPARED
                    : tiles < LEAST_TILES + floats / FLOATS_OF_A_TILE)
        return false;
    return pass == OCE_PASS_FILTER_GRAD || (is_back ? shape->filters : shape->channels) <= most;
}

/* ---- Planning ------------------------------------------------------------------------------ */

int64_t oce_winograd_block_width(const oce_winograd_state *state) {
    return state->blocks.parts[0].vectors * state->blocks.vector;
}

bool oce_winograd_has_large_filter(const oce_winograd_state *state) {
    return state->w.alpha * state->w.alpha * state->w.channels * state->w.filters > LARGE_FILTER;
}

int64_t oce_winograd_scratch(const oce_winograd_state *state, int64_t chunk) {
    const bool is_grad = state->w.pass == OCE_PASS_FILTER_GRAD;
    const int64_t channels = is_grad ? state->w.channels / state->parts : state->w.channels;
    const int64_t rows = is_grad ? 2 * state->row_pairs : state->w.alpha;
    const int64_t position = chunk * (channels + oce_winograd_block_width(state)) + 2 * GAP;
    const int64_t kept = state->kept * state->w.grid[0] * state->w.grid[1] * state->w.tile *
                         state->w.tile * (state->w.filters / state->output_parts);
    return (int64_t)oce_size_round_up((size_t)(rows * state->w.alpha * position + kept), GAP);
}

oce_conv2d_tiles oce_winograd_blocks_in_parts(oce_device *device, int64_t filters, int64_t parts) {
    oce_conv2d_tiles tiles = oce_conv2d_blocks_of(device, filters / parts);
    tiles.channels = tiles.padded = filters;
    tiles.parts[0].blocks *= parts;
    return tiles;
}

/* Operations on vectors for a position and VW tiles, counted in the kernel: of an input channel, of
 * an output channel, and of a pair of them. */
double oce_winograd_part_share(const oce_winograd_state *state) {
    const double of_input = 6, of_output = 5, of_pair = 0.5;
    const double inputs = of_input * (double)state->w.channels;
    const double outputs =
        (of_output + of_pair * (double)state->w.channels) * (double)state->w.filters;
    return (inputs + outputs / (double)state->output_parts) / (inputs + outputs);
}

/* The chunk, whole register tiles that fit `floats` of scratch memory, with which the units are
 * done soonest, and how long they take, in tiles of all output channels. */
static double set_chunk(oce_winograd_state *state, int64_t floats, int units) {
    const int64_t rows = state->blocks.parts[0].rows;
    const int64_t stream = oce_winograd_has_large_filter(state) ? LARGE_STREAM_TILES : STREAM_TILES;
    int64_t least = INT64_MAX;
    for (int64_t chunk = rows; chunk == rows || oce_winograd_scratch(state, chunk) <= floats;
         chunk += rows) {
        const int64_t groups = oce_ceil_div(state->w.tiles, chunk) * state->output_parts;
        const int64_t time = oce_ceil_div(groups, units) * (chunk + stream);
        if (time <= least) {
            least = time;
            state->chunk = chunk;
        }
        if (chunk >= state->w.tiles)
            break;
    }
    return (double)least * oce_winograd_part_share(state);
}

int64_t oce_winograd_local_floats(const oce_limits *limits) {
    return oce_winograd_local(limits, SCRATCH_FLOATS);
}

int64_t oce_winograd_transform_rounds(const oce_winograd_state *s, int64_t tiles,
                                      int64_t channels) {
    return tiles * channels / s->blocks.vector * 2 * s->w.alpha;
}

int64_t oce_winograd_product_rounds(const oce_winograd_state *s, int64_t positions, int64_t rows,
                                    int64_t depth) {
    return positions * oce_ceil_div(rows, s->blocks.parts[0].rows) * (depth + 24);
}

static int64_t chunk_rounds(const oce_winograd_state *s) {
    const int64_t positions = s->w.alpha * s->w.alpha;
    return oce_winograd_transform_rounds(s, s->chunk, s->w.channels) +
           s->blocks.parts[0].blocks / s->output_parts *
               (oce_winograd_product_rounds(s, positions, s->chunk, s->w.channels) +
                oce_winograd_transform_rounds(s, s->chunk, oce_winograd_block_width(s)));
}

/* If the driver may break off the loops of a group: the smallest chunks, parts of the output
 * channels, and groups for so many chunks as end in time. */
static void shorten_loops(oce_winograd_state *state) {
    const int64_t blocks = state->blocks.parts[0].blocks, most = state->blocks.loop_rounds;
    const int64_t turns =
        oce_ceil_div(state->w.tiles, state->chunk * oce_max_int64(state->groups, 1));
    if (turns * chunk_rounds(state) <= most)
        return;
    state->chunk = state->blocks.parts[0].rows;
    for (int64_t parts = 1; parts <= blocks && chunk_rounds(state) > most; parts++)
        if (blocks % parts == 0)
            state->output_parts = parts;
    const int64_t chunks = oce_ceil_div(state->w.tiles, state->chunk);
    const int64_t least = oce_ceil_div(chunks, oce_max_int64(most / chunk_rounds(state), 1));
    state->groups = oce_min_int64(oce_max_int64(state->groups, least), chunks);
}

/* Of few tiles each unit that shares them gets one chunk: lower register tiles, of at least half
 * the rows, where that chunk becomes a fifth smaller or more. */
static void set_rows(const oce_limits *limits, oce_winograd_state *state) {
    oce_conv2d_part *part = &state->blocks.parts[0];
    const int64_t units = oce_max_int64(limits->compute_units / state->output_parts, 1);
    const int most = part->rows;
    if (state->w.tiles > 2 * most * units)
        return;
    int64_t least = oce_ceil_div(oce_ceil_div(state->w.tiles, most), units) * most * 4 / 5 + 1;
    for (int rows = most - 1; 2 * rows >= most; rows--) {
        const int64_t chunk = oce_ceil_div(oce_ceil_div(state->w.tiles, rows), units) * rows;
        if (chunk < least) {
            least = chunk;
            part->rows = rows;
        }
    }
}

/* Plans with the state's parts of the output channels; how long it takes, in steps of the sums. */
static double plan_parts(oce_device *device, oce_winograd_state *state) {
    const oce_limits *limits = oce_device_limits(device);
    const int64_t local = oce_winograd_local_floats(limits);
    state->blocks = oce_winograd_blocks_in_parts(device, state->w.filters, state->output_parts);
    set_rows(limits, state);
    const oce_conv2d_part *part = &state->blocks.parts[0];
    const bool is_large = oce_winograd_has_large_filter(state);
    const int64_t least = oce_winograd_scratch(state, LOCAL_TILES);
    state->local_floats = least <= local && !is_large ? local : 0;
    const int64_t floats = state->local_floats > 0              ? local
                           : is_large || least > SCRATCH_FLOATS ? LARGE_SCRATCH
                                                                : SCRATCH_FLOATS;
    const double cost = oce_register_tile_cost(part->rows, part->vectors);
    return set_chunk(state, floats, limits->compute_units) * cost / (part->rows * part->vectors);
}

/* Chunks of tiles for the units; of few tiles, also parts of the output channels, so that each unit
 * reads its own part of the filter, which takes longer then than transforming the inputs. */
static void plan(oce_device *device, oce_winograd_state *state) {
    const oce_limits *limits = oce_device_limits(device);
    const int units = limits->compute_units;
    const int64_t vectors = state->w.filters / limits->vector_width;
    oce_winograd_state s = *state;
    double wanted = INFINITY;
    for (s.output_parts = 1; s.output_parts <= oce_min_int64(vectors, OCE_WINOGRAD_MOST_PARTS);
         s.output_parts++) {
        if (vectors % s.output_parts != 0 || s.output_parts > units)
            continue;
        const double time = plan_parts(device, &s);
        if (time >= wanted)
            continue;
        wanted = time * 3 / 4; /* what more parts must save: they look better than they are */
        *state = s;
    }
    const int64_t outputs = state->w.tiles * state->w.tile * state->w.tile * state->w.filters;
    state->streams = outputs >= (int64_t)units * STREAM_FLOATS;
    state->groups = oce_ceil_div(state->w.tiles, state->chunk);
    if (state->local_floats == 0)
        state->groups = oce_min_int64(state->groups, oce_max_int64(units, 8));
    shorten_loops(state);
}

oce_defines oce_winograd_defines(const oce_winograd_state *state) {
    oce_defines defines = {0};
    oce_define(&defines, "ALPHA", state->w.alpha);
    oce_define(&defines, "TILE", state->w.tile);
    if (state->local_floats > 0)
        oce_define(&defines, "SCRATCH_FLOATS", state->local_floats);
    return defines;
}

oce_status oce_winograd_get_kernels(oce_device *device, oce_defines *defines, const char *names,
                                    const char *tiled, oce_kernel **first,
                                    oce_winograd_state *state) {
    static const char file[] = "conv2d_winograd.cl";
    oce_defines all = *defines; /* with those of oce_conv2d_blocks_get() */
    oce_define(&all, "TILE_ROWS", state->blocks.parts[0].rows);
    oce_define(&all, "TILE_VECTORS", state->blocks.parts[0].vectors);
    OCE_TRY(oce_kernel_get(device, file, names, &all, first));
    return oce_conv2d_blocks_get(device, file, tiled, defines, &state->blocks);
}

static bool pools(oce_device *device, const oce_conv2d_shape *shape) {
    oce_winograd_state state;
    return oce_winograd_plan_pooled(device, shape, &state);
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    oce_winograd_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    state->output_parts = 1;
    if (pass == OCE_PASS_INPUT_GRAD)
        OCE_TRY(oce_conv2d_layout_get(device, OCE_LAYOUT_PACK_GRAD, &state->layout));
    if (shape->channels == 0 || shape->filters == 0)
        return OCE_OK; /* dF is empty */
    if (shape->is_pooled) {
        (void)oce_winograd_plan_pooled(device, shape, state); /* pools() has said that it can */
        return oce_winograd_get_pooled(device, shape, state);
    }
    state->w = oce_winograd_pass_of(shape, pass);
    if (pass == OCE_PASS_FILTER_GRAD)
        return oce_winograd_plan_grad(device, state);
    plan(device, state);
    oce_defines defines = oce_winograd_defines(state);
    return oce_winograd_get_kernels(device, &defines, "winograd_filter winograd_forward",
                                    "winograd_forward", &state->filter, state);
}

/* ---- Workspace ----------------------------------------------------------------------------- */

static winograd_space place(const oce_winograd_state *state) {
    const int64_t window = state->w.alpha - state->w.tile + 1;
    winograd_space at = {{0, false}, 0, 0, 0};
    if (state->w.channels == 0 || state->w.filters == 0)
        return at;
    if (state->w.pass == OCE_PASS_INPUT_GRAD) {
        const int64_t panels[] = {window, window, state->w.channels, state->w.filters};
        at.panels = oce_conv2d_take_product(&at.space, panels, 4);
    }
    const int64_t transformed[] = {state->w.pass == OCE_PASS_FILTER_GRAD ? state->splits : 1,
                                   state->w.alpha, state->w.alpha, state->w.channels,
                                   state->w.filters};
    at.filter = oce_conv2d_take_product(&at.space, transformed, 5);
    if (state->local_floats == 0) {
        const int64_t scratch[] = {state->groups, state->output_parts,
                                   oce_winograd_scratch(state, state->chunk)};
        at.scratch = oce_conv2d_take_product(&at.space, scratch, 3);
    }
    return at;
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)shape, (void)x_in_place;
    const winograd_space at = place(opaque);
    return oce_conv2d_space_bytes(&at.space, bytes);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* Transforms the filter, or, for the input gradient, the filter with its taps reversed and its
 * channels exchanged. */
static oce_status transform_filter(const oce_winograd_state *state, const oce_tensor *filter,
                                   oce_buffer *workspace, const winograd_space *at,
                                   const oce_arg *target) {
    const int64_t window = state->w.alpha - state->w.tile + 1;
    const int64_t width = oce_winograd_block_width(state);
    int64_t tap = state->w.channels * state->w.filters, channel = state->w.filters, block = width;
    oce_arg source = oce_arg_tensor(filter);
    if (state->w.pass == OCE_PASS_INPUT_GRAD) {
        const oce_conv2d_grad_pack pack = {.filter = filter,
                                           .step = {1, 1},
                                           .count = {window, window},
                                           .workspace = workspace,
                                           .at = at->panels};
        OCE_TRY(oce_conv2d_prepare_grad(&state->layout, &state->blocks, &pack, NULL, NULL));
        source = oce_arg_part(workspace, at->panels);
        tap = state->w.channels * width;
        channel = width;
        block = window * window * tap;
    }
    const oce_arg args[] = {source,
                            oce_arg_long(tap),
                            oce_arg_long(channel),
                            oce_arg_long(block),
                            *target,
                            oce_arg_int(state->w.channels)};
    return oce_launch(state->filter,
                      oce_range_groups(state->w.channels, state->blocks.parts[0].blocks, 1), args,
                      OCE_COUNT(args));
}

/* The scratch memory of all groups. */
static oce_arg scratch_of(const oce_winograd_state *state, const oce_buffer *workspace,
                          const winograd_space *at) {
    return state->local_floats > 0 ? oce_arg_tensor(NULL) : oce_arg_part(workspace, at->scratch);
}

static oce_status run_forward(const oce_conv2d_shape *shape, const oce_winograd_state *state,
                              const oce_conv2d_operands *o, oce_buffer *workspace) {
    const winograd_space at = place(state);
    const bool is_forward = state->w.pass == OCE_PASS_FORWARD;
    const oce_tensor *from = is_forward ? o->x : o->y, *to = is_forward ? o->y : o->x;
    const oce_arg filter =
        o->prepared != NULL ? oce_arg_part(o->prepared, 0) : oce_arg_part(workspace, at.filter);
    if (o->prepared == NULL)
        OCE_TRY(transform_filter(state, o->filter, workspace, &at, &filter));
    const oce_arg scratch = scratch_of(state, workspace, &at);
    if (shape->is_pooled)
        return oce_winograd_run_pooled(shape, state, o, &filter, &scratch);
    const oce_arg args[] = {oce_arg_tensor(from),
                            OCE_STRIDE_ARGS(from),
                            filter,
                            oce_arg_tensor(o->bias),
                            oce_arg_tensor(to),
                            OCE_STRIDE_ARGS(to),
                            scratch,
                            oce_arg_long(oce_winograd_scratch(state, state->chunk)),
                            oce_arg_int(state->w.input[0]),
                            oce_arg_int(state->w.input[1]),
                            oce_arg_int(state->w.before[0]),
                            oce_arg_int(state->w.before[1]),
                            oce_arg_int(state->w.channels),
                            oce_arg_int(state->w.output[0]),
                            oce_arg_int(state->w.output[1]),
                            oce_arg_int(state->w.grid[0]),
                            oce_arg_int(state->w.grid[1]),
                            oce_arg_long(state->w.tiles),
                            oce_arg_int(state->chunk),
                            oce_arg_int(state->blocks.parts[0].blocks / state->output_parts),
                            oce_arg_int(is_forward && shape->activation == OCE_ACTIVATION_RELU),
                            oce_arg_int(state->streams)};
    return oce_launch(state->blocks.parts[0].kernel,
                      oce_range_groups(state->groups, state->output_parts, 1), args,
                      OCE_COUNT(args));
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const oce_winograd_state *state = opaque;
    if (state->w.pass == OCE_PASS_FILTER_GRAD) {
        const winograd_space at = place(state);
        const oce_arg partials = oce_arg_part(workspace, at.filter);
        const oce_arg scratch = scratch_of(state, workspace, &at);
        return oce_winograd_run_grad(state, operands, &partials, &scratch);
    }
    return run_forward(shape, state, operands, workspace);
}

static oce_status prepared_bytes(const oce_conv2d_shape *shape, const void *opaque, size_t *bytes) {
    const oce_winograd_state *state = opaque;
    const int64_t extents[] = {state->w.alpha, state->w.alpha, shape->channels, shape->filters};
    oce_conv2d_space space = {0, false};
    (void)oce_conv2d_take_product(&space, extents, 4);
    return oce_conv2d_space_bytes(&space, bytes);
}

static oce_status prepare_filter(const void *opaque, const oce_tensor *filter,
                                 oce_buffer *prepared) {
    const oce_arg target = oce_arg_part(prepared, 0);
    const winograd_space no_panels = {.panels = 0}; /* a forward pass has none */
    return transform_filter(opaque, filter, NULL, &no_panels, &target);
}

const oce_conv2d_method oce_conv2d_winograd = {
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
