/* The Winograd family's forward pass with a max pool in the same launch (cl/conv2d_winograd.cl). */
#include "ops/conv2d_winograd.h"

#include "base/size.h"

#include <math.h>

enum {
    POOLED_FLOATS = 240 << 10, /* of a group's scratch memory, at most: nearly an L2 cache */
    STREAM_TILES = 4,          /* reading the filter takes as long as computing so many tiles */
    MOST_IMAGES = 64,          /* of a group */
    LEAST_GROUPS = 8,          /* that share a buffer as scratch memory */
};

/* Of how many images, at most, are the tiles of a chunk and what it completes, if a group's first
 * chunk begins with an image. */
static int64_t images_of_chunk(int64_t chunk, int64_t image_tiles) {
    int64_t most = 0, start = 0;
    do {
        most = oce_max_int64(most, (start + chunk - 1) / image_tiles + 1);
        start = (start + chunk) % image_tiles;
    } while (start != 0);
    return most;
}

/* How long `tiles` tiles of all output channels take a group, in tiles. */
static int64_t run_time(const oce_winograd_state *state, int64_t tiles) {
    const int64_t rows = state->blocks.parts[0].rows;
    const int64_t whole = tiles / state->chunk, rest = tiles % state->chunk;
    return whole * (state->chunk + STREAM_TILES) +
           (rest > 0 ? oce_ceil_div(rest, rows) * rows + STREAM_TILES : 0);
}

/* The chunk, and the images of a group, with which the units are done soonest, and how long they
 * take, in tiles; *shared: how long if they shared images. INFINITY if nothing fits. */
static double set_run(oce_winograd_state *state, int64_t batch, int units, double *shared) {
    oce_winograd_state s = *state;
    const int64_t rows = s.blocks.parts[0].rows, image_tiles = s.w.grid[0] * s.w.grid[1];
    double least = *shared = INFINITY;
    for (s.chunk = rows; s.chunk < s.w.tiles + rows; s.chunk += rows) {
        s.kept = images_of_chunk(s.chunk, image_tiles);
        if (oce_winograd_scratch(&s, s.chunk) > POOLED_FLOATS)
            break;
        const int64_t chunks = oce_ceil_div(s.w.tiles, s.chunk);
        *shared = fmin(*shared, (double)(oce_ceil_div(chunks, units) * run_time(&s, s.chunk)));
        for (s.run = 1; s.run <= oce_min_int64(batch, MOST_IMAGES); s.run++) {
            s.groups = oce_ceil_div(batch, s.run);
            const int64_t rounds = oce_ceil_div(s.groups * s.output_parts, units);
            const double time =
                (double)(rounds * run_time(&s, s.run * image_tiles)) * oce_winograd_part_share(&s);
            if (time >= least)
                continue;
            least = time;
            *state = s;
        }
    }
    return least;
}

/* Whether the driver may break off the loops of a group. */
static bool is_too_long(const oce_winograd_state *s, const oce_window_geometry *pool,
                        int64_t batch) {
    const oce_conv2d_part *part = &s->blocks.parts[0];
    const int64_t runs = oce_ceil_div(oce_ceil_div(batch, s->run), s->groups);
    const int64_t tiles = s->run * s->w.grid[0] * s->w.grid[1], alpha = s->w.alpha;
    const int64_t vectors = s->w.filters / s->output_parts / s->blocks.vector;
    const int64_t inputs = tiles * s->w.channels / s->blocks.vector * 2 * alpha;
    const int64_t products = part->blocks / s->output_parts * alpha * alpha *
                             (tiles / part->rows + oce_ceil_div(tiles, s->chunk)) *
                             (s->w.channels + 24);
    const int64_t outputs = tiles * vectors * (alpha + s->w.tile);
    const int64_t pooled =
        s->run * pool->output[0] * pool->output[1] * vectors * (pool->size[0] * pool->size[1] + 1);
    return runs * (inputs + products + outputs + pooled) > s->blocks.loop_rounds;
}

/* Whole images for each unit; of fewer images than that, parts of the output channels. Not if the
 * units are done much sooner when they share images, and another launch pools. */
bool oce_winograd_plan_pooled(oce_device *device, const oce_conv2d_shape *shape,
                              oce_winograd_state *state) {
    const oce_limits *limits = oce_device_limits(device);
    const int64_t vectors = shape->filters / limits->vector_width;
    oce_winograd_state s = {.w = oce_winograd_pass_of(shape, OCE_PASS_FORWARD),
                            .output_parts = 1,
                            .blocks = oce_conv2d_blocks_of(device, shape->filters),
                            .local_floats = limits->local_bytes >= POOLED_FLOATS * sizeof(float)
                                                ? (int64_t)POOLED_FLOATS
                                                : 0};
    if (oce_winograd_has_large_filter(&s))
        return false;
    double least = INFINITY, most = 0;
    for (int64_t parts = 1;
         least > most && parts <= oce_min_int64(vectors, OCE_WINOGRAD_MOST_PARTS); parts++) {
        if (vectors % parts != 0)
            continue;
        double shared = INFINITY;
        s.output_parts = parts;
        s.blocks = oce_winograd_blocks_in_parts(device, shape->filters, parts);
        *state = s;
        least = set_run(state, shape->batch, limits->compute_units, &shared);
        if (parts == 1)
            most = shared * 9 / 8;
    }
    if (least > most || isinf(least))
        return false;
    if (state->local_floats == 0)
        state->groups =
            oce_min_int64(state->groups, oce_max_int64(limits->compute_units, LEAST_GROUPS));
    return !is_too_long(state, &shape->pool, shape->batch);
}

oce_status oce_winograd_get_pooled(oce_device *device, const oce_conv2d_shape *shape,
                                   oce_winograd_state *state) {
    const oce_window_geometry *pool = &shape->pool;
    oce_defines defines = oce_winograd_defines(state);
    oce_define(&defines, "POOL_KH", pool->size[0]);
    oce_define(&defines, "POOL_KW", pool->size[1]);
    oce_define(&defines, "POOL_SH", pool->stride[0]);
    oce_define(&defines, "POOL_SW", pool->stride[1]);
    oce_define(&defines, "POOL_TOP", pool->before[0]);
    oce_define(&defines, "POOL_LEFT", pool->before[1]);
    return oce_winograd_get_kernels(device, &defines, "winograd_filter winograd_pool",
                                    "winograd_pool", &state->filter, state);
}

oce_status oce_winograd_run_pooled(const oce_conv2d_shape *shape, const oce_winograd_state *state,
                                   const oce_conv2d_operands *o, const oce_arg *filter,
                                   const oce_arg *scratch) {
    const oce_winograd_pass *w = &state->w;
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            *filter,
                            oce_arg_tensor(o->bias),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            oce_arg_part(o->winners, 0),
                            *scratch,
                            oce_arg_long(oce_winograd_scratch(state, state->chunk)),
                            oce_arg_int(w->input[0]),
                            oce_arg_int(w->input[1]),
                            oce_arg_int(w->before[0]),
                            oce_arg_int(w->before[1]),
                            oce_arg_int(w->channels),
                            oce_arg_int(w->output[0]),
                            oce_arg_int(w->output[1]),
                            oce_arg_int(shape->pool.output[0]),
                            oce_arg_int(shape->pool.output[1]),
                            oce_arg_int(w->grid[0]),
                            oce_arg_int(w->grid[1]),
                            oce_arg_long(w->tiles),
                            oce_arg_int(state->chunk),
                            oce_arg_int(state->blocks.parts[0].blocks / state->output_parts),
                            oce_arg_int(state->run),
                            oce_arg_int(state->kept),
                            oce_arg_int(shape->activation == OCE_ACTIVATION_RELU)};
    return oce_launch(state->blocks.parts[0].kernel,
                      oce_range_groups(state->groups, state->output_parts, 1), args,
                      OCE_COUNT(args));
}
