/* The Winograd family's filter gradient (cl/conv2d_winograd.cl). */
#include "ops/conv2d_winograd.h"

#include "base/size.h"

#include <math.h>

enum {
    GROUPS = 64,              /* wanted: one for each of 64 compute units */
    SPLIT_TILES = 192,        /* of a partial sum at least, so that adding it up costs little */
    CHUNK_TILES = 24,         /* part of the result */
    PART_CHANNELS = 64,       /* input channels of a group, at most */
    GROUP_FLOATS = 288 << 10, /* of its scratch memory and partial sums: an L2 cache */
};

/* The largest divisor of `count` that is at most `most`. */
static int64_t divisor_up_to(int64_t count, int64_t most) {
    for (int64_t d = oce_min_int64(count, most); d > 1; d--)
        if (count % d == 0)
            return d;
    return 1;
}

/* How many partial sums: a power of two, and a function of the shape alone, so that every device
 * adds in the same order. */
static int64_t split_count(const oce_winograd_pass *w) {
    const int64_t groups =
        oce_ceil_div(w->channels, PART_CHANNELS) * oce_ceil_div(w->filters, PART_CHANNELS);
    int64_t splits = 1;
    while (2 * splits * groups <= GROUPS && 2 * splits * SPLIT_TILES <= w->tiles)
        splits *= 2;
    return splits;
}

static int64_t positions_taken(const oce_winograd_state *s) {
    return 2 * s->row_pairs * s->w.alpha;
}

/* Groups that share the rows of positions. */
static int64_t row_parts(const oce_winograd_state *s) {
    return s->w.alpha / 2 / s->row_pairs;
}

static int64_t group_count(const oce_winograd_state *s) {
    return s->blocks.parts[0].blocks * s->parts * row_parts(s) * s->splits;
}

static int64_t group_floats(const oce_winograd_state *s) {
    return oce_winograd_scratch(s, CHUNK_TILES) +
           positions_taken(s) * (s->w.channels / s->parts) * oce_winograd_block_width(s);
}

/* How often the loops of a group go round. */
static int64_t rounds_of(const oce_winograd_state *s) {
    const int64_t tiles = oce_ceil_div(s->w.tiles, s->splits), channels = s->w.channels / s->parts;
    return oce_winograd_transform_rounds(s, tiles, channels + oce_winograd_block_width(s)) +
           oce_ceil_div(tiles, CHUNK_TILES) *
               oce_winograd_product_rounds(s, positions_taken(s), channels, CHUNK_TILES);
}

/*
 * How long a group takes for a tile, in cycles of a core that does two multiply-adds on vectors in
 * each, fitted to what the steps of the kernel took on Ice Lake. A transform takes so much for a
 * position and a vector of channels, about a third of it, for reading the tile, whatever rows of
 * positions are taken. A product is half a cycle a vector, and its partial sum, which is read and
 * written once in CHUNK_TILES, as much again if the cache does not hold it.
 */
static double tile_time(const oce_winograd_state *s) {
    const double transform = 8.5, reading = 0.35, product = 0.5, near_sum = 0.13, far_sum = 0.5;
    const double positions = (double)(s->w.alpha * s->w.alpha), share = 1.0 / (double)row_parts(s);
    const int64_t part_channels = s->w.channels / s->parts;
    const double channels = (double)part_channels;
    const double vectors = s->blocks.parts[0].vectors;
    const double both = channels / s->blocks.vector + vectors;
    const double sum = group_floats(s) <= GROUP_FLOATS ? near_sum : far_sum;
    return positions * (transform * both * (reading + (1 - reading) * share) +
                        (product + sum) * channels * vectors * share);
}

/*
 * The parts of the channels and of the rows of positions with which the units are done soonest: a
 * part of the channels transforms dY again, one of the rows reads X and dY again. Neither changes a
 * bit of the result. Loops that the driver would end come last, the shortest of them first.
 */
static void divide(const oce_limits *limits, oce_winograd_state *s) {
    const int64_t vectors = s->w.channels / s->blocks.vector, pairs = s->w.alpha / 2;
    oce_winograd_state best = *s;
    double least = INFINITY;
    for (int64_t most = PART_CHANNELS / s->blocks.vector; most > 0; most /= 2)
        for (s->row_pairs = pairs; s->row_pairs > 0;
             s->row_pairs = s->row_pairs > 1 ? divisor_up_to(pairs, s->row_pairs - 1) : 0) {
            s->parts = vectors / divisor_up_to(vectors, most);
            const double turns = (double)oce_ceil_div(group_count(s), limits->compute_units);
            const double time = rounds_of(s) > s->blocks.loop_rounds ? 1e15 * (double)rounds_of(s)
                                                                     : turns * tile_time(s);
            if (time < least) {
                least = time;
                best = *s;
            }
        }
    *s = best;
    s->groups = group_count(s);
}

oce_status oce_winograd_plan_grad(oce_device *device, oce_winograd_state *state) {
    const oce_limits *limits = oce_device_limits(device);
    const int64_t local = oce_winograd_local_floats(limits);
    state->blocks = oce_conv2d_blocks_of(device, state->w.filters);
    state->splits = split_count(&state->w);
    state->chunk = CHUNK_TILES;
    divide(limits, state);
    if (oce_winograd_scratch(state, CHUNK_TILES) <= local)
        state->local_floats = local;
    oce_defines defines = oce_winograd_defines(state);
    if (row_parts(state) > 1)
        oce_define(&defines, "ROW_PAIRS", state->row_pairs);
    return oce_winograd_get_kernels(device, &defines, "winograd_filter_sum winograd_filter_grad",
                                    "winograd_filter_grad", &state->sum, state);
}

oce_status oce_winograd_run_grad(const oce_winograd_state *state, const oce_conv2d_operands *o,
                                 const oce_arg *partials, const oce_arg *scratch) {
    const oce_winograd_pass *w = &state->w;
    const int64_t part_channels = w->channels / state->parts;
    const int64_t blocks = state->blocks.parts[0].blocks;
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            *partials,
                            *scratch,
                            oce_arg_long(oce_winograd_scratch(state, state->chunk)),
                            oce_arg_int(w->input[0]),
                            oce_arg_int(w->input[1]),
                            oce_arg_int(w->before[0]),
                            oce_arg_int(w->before[1]),
                            oce_arg_int(part_channels),
                            oce_arg_int(w->output[0]),
                            oce_arg_int(w->output[1]),
                            oce_arg_int(w->grid[0]),
                            oce_arg_int(w->grid[1]),
                            oce_arg_long(w->tiles),
                            oce_arg_int(state->chunk)};
    OCE_TRY(oce_launch(state->blocks.parts[0].kernel,
                       oce_range_groups(blocks, state->parts * row_parts(state), state->splits),
                       args, OCE_COUNT(args)));
    const oce_arg sum_args[] = {*partials,
                                oce_arg_tensor(o->filter),
                                oce_arg_int(part_channels),
                                oce_arg_int(state->parts),
                                oce_arg_int(w->filters),
                                oce_arg_int(state->splits)};
    return oce_launch(state->sum, oce_range_groups(w->channels, blocks, 1), sum_args,
                      OCE_COUNT(sum_args));
}
