/* The direct family: register tiles with explicit vectors (cl/conv2d_direct.cl). */
#include "ops/conv2d_tiles.h"

#include "base/size.h"
#include "base/status.h"

#include <stdlib.h>

/* The phases of the input gradient along one axis. For a stride of s the input positions p with the
 * same (p + padding) mod s are reached by the same taps, and over those positions and taps the
 * gradient is a convolution of stride 1 over dY. */
typedef struct phase {
    int64_t first, count;        /* input positions first, first + stride, ... */
    int64_t tap, tap_step, taps; /* window positions tap, tap + tap_step, ...; those that read
                                    only outside dY are left out */
    int64_t start;               /* position in dY that the last tap reads for the first
                                    input position; may be outside dY */
    int64_t dilation;            /* of the taps in dY */
} phase;

typedef struct direct_state {
    oce_pass pass;
    oce_conv2d_layout layout;
    oce_conv2d_tiles tiles;
    bool packs;     /* forward, input gradient: the filter is copied into panels */
    oce_halo reach; /* input gradient: rows and columns outside dY that are read */
    int64_t splits; /* filter gradient: partial sums */
} direct_state;

/* Where a run's parts of the workspace start, in floats. */
typedef struct direct_space {
    oce_conv2d_space space;
    size_t filter, image;
} direct_space;

/* ---- Phases -------------------------------------------------------------------------------- */

static int64_t greatest_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* How many phases have taps: window positions that are a multiple of this apart share a phase. */
static int64_t phase_count(const oce_window_geometry *g, int axis) {
    const int64_t step = g->stride[axis] / greatest_divisor(g->stride[axis], g->dilation[axis]);
    return oce_min_int64(g->size[axis], step);
}

/* The phase that window position `tap`, below phase_count(), belongs to. */
static phase get_phase(const oce_window_geometry *g, int axis, int64_t tap) {
    const int64_t stride = g->stride[axis], before = g->before[axis];
    const int64_t divisor = greatest_divisor(stride, g->dilation[axis]);
    const int64_t moved = tap * g->dilation[axis] - before;
    phase p = {.tap = tap, .tap_step = stride / divisor, .dilation = g->dilation[axis] / divisor};
    p.first = (moved % stride + stride) % stride;
    p.count = p.first < g->input[axis] ? oce_ceil_div(g->input[axis] - p.first, stride) : 0;
    p.taps = (g->size[axis] - 1 - tap) / p.tap_step + 1;
    p.start = (p.first - moved) / stride - (p.taps - 1) * p.dilation;
    /* The last tap, which reads furthest in front, may read only in front of dY, ... */
    while (p.taps > 0 && p.start + p.count - 1 < 0) {
        p.start += p.dilation;
        p.taps--;
    }
    /* ... and the first only behind it. */
    while (p.taps > 0 && p.start + (p.taps - 1) * p.dilation >= g->output[axis]) {
        p.tap += p.tap_step;
        p.taps--;
    }
    return p;
}

/* Whether some inputs reach no output through any tap: their gradient is 0. */
static bool misses_inputs(const oce_window_geometry *g, int axis) {
    bool misses = phase_count(g, axis) < g->stride[axis];
    for (int64_t tap = 0; tap < phase_count(g, axis) && !misses; tap++) {
        const phase p = get_phase(g, axis, tap);
        misses = p.count > 0 && p.taps == 0;
    }
    return misses;
}

/* Rows or columns before (side 0) or after (side 1) dY that the phases read. */
static int64_t gradient_reach(const oce_window_geometry *g, int axis, int side) {
    int64_t reach = 0;
    for (int64_t tap = 0; tap < phase_count(g, axis); tap++) {
        const phase p = get_phase(g, axis, tap);
        const int64_t last = p.start + p.count - 1 + (p.taps - 1) * p.dilation;
        if (p.count > 0 && p.taps > 0)
            reach = oce_max_int64(reach, side == 0 ? -p.start : last - (g->output[axis] - 1));
    }
    return reach;
}

/* ---- Preparing ----------------------------------------------------------------------------- */

/* In place the filter's vectors may not be aligned, and the rows of many channels lie far apart,
 * all on the same few sets of the cache; but a copy pays only if it is read often enough. */
static bool packing_pays(const oce_conv2d_shape *shape) {
    const int64_t pixels = shape->y_dim[0] * shape->y_dim[1] * shape->y_dim[2];
    return pixels >= (shape->filters >= 256 ? 128 : 1024);
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    direct_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    state->pass = pass;
    const bool is_forward = pass == OCE_PASS_FORWARD, is_filter = pass == OCE_PASS_FILTER_GRAD;
    state->packs = is_forward ? packing_pays(shape) : !is_filter;
    unsigned layout = OCE_LAYOUT_PAD;
    if (is_forward && state->packs)
        layout |= OCE_LAYOUT_PACK;
    if (is_filter)
        layout |= OCE_LAYOUT_SUM;
    if (!is_forward && !is_filter)
        layout |= OCE_LAYOUT_PACK_TRANSPOSED | OCE_LAYOUT_CLEAR;
    OCE_TRY(oce_conv2d_layout_get(device, layout, &state->layout));
    if (pass == OCE_PASS_FILTER_GRAD) {
        state->splits = oce_conv2d_splits(shape);
        const int64_t positions = shape->f_dim[0] * shape->f_dim[1] * shape->channels;
        return oce_conv2d_tiles_get(device, "direct_filter_grad", positions, shape->filters,
                                    &state->tiles);
    }
    const int64_t pixels = shape->y_dim[0] * shape->y_dim[1] * shape->y_dim[2];
    OCE_TRY(oce_conv2d_tiles_get(device, "direct_forward", pixels,
                                 is_forward ? shape->filters : shape->channels, &state->tiles));
    if (!is_forward) {
        const oce_window_geometry *g = &shape->window;
        state->reach = (oce_halo){gradient_reach(g, 0, 0), gradient_reach(g, 0, 1),
                                  gradient_reach(g, 1, 0), gradient_reach(g, 1, 1)};
    }
    return OCE_OK;
}

/* ---- Workspace ----------------------------------------------------------------------------- */

/* Places a run's parts in the workspace: panels or partial sums, and a copy of X or dY. */
static direct_space place(const oce_conv2d_shape *shape, const direct_state *state,
                          bool image_in_place) {
    const int64_t *f = shape->f_dim;
    direct_space at = {{0, false}, 0, 0};
    size_t count = 0;
    if (state->pass == OCE_PASS_FILTER_GRAD) {
        const int64_t partials[] = {state->splits, f[0], f[1], f[2], state->tiles.padded};
        if (!oce_size_product(partials, 5, &count))
            at.space.overflow = true;
    } else if (state->packs) {
        const int64_t rows[] = {f[0], f[1], state->pass == OCE_PASS_FORWARD ? f[2] : f[3],
                                state->tiles.padded};
        if (!oce_size_product(rows, 4, &count))
            at.space.overflow = true;
    }
    at.filter = oce_conv2d_take(&at.space, count);
    const bool is_x = state->pass != OCE_PASS_INPUT_GRAD;
    if (!image_in_place)
        at.image = oce_conv2d_take(&at.space,
                                   oce_conv2d_padded_count(is_x ? shape->x_dim : shape->y_dim,
                                                           is_x ? &shape->reach : &state->reach));
    return at;
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    const direct_state *state = opaque;
    const direct_space at =
        place(shape, state, state->pass != OCE_PASS_INPUT_GRAD ? x_in_place : false);
    return oce_conv2d_space_bytes(&at.space, bytes);
}

/* ---- Running ------------------------------------------------------------------------------- */

static oce_status run_forward(const oce_conv2d_shape *shape, const direct_state *state,
                              const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    const bool in_place = oce_conv2d_in_place(o->x, &shape->reach);
    const direct_space at = place(shape, state, in_place);
    oce_tensor x = *o->x;
    if (!in_place)
        OCE_TRY(oce_conv2d_pad(&state->layout, o->x, &shape->reach, workspace, at.image, &x));
    if (state->packs)
        OCE_TRY(oce_conv2d_pack(&state->layout, &state->tiles, o->filter, workspace, at.filter));
    const oce_conv2d_product product = {
        .x = oce_conv2d_view_of(&x, -g->before[0], -g->before[1], g->stride[0], g->stride[1]),
        .y = oce_conv2d_view_of(o->y, 0, 0, 1, 1),
        .tap_down = x.stride[1] * g->dilation[0],
        .tap = x.stride[2] * g->dilation[1],
        .size = {g->size[0], g->size[1]},
        .channels = shape->channels,
        .dilation_right = g->dilation[1],
        .images = shape->batch,
        .output = {g->output[0], g->output[1]},
        .input = {g->input[0], g->input[1]},
        .start = {-g->before[0], -g->before[1]},
        .step = {g->stride[0], g->stride[1]},
        .dilation = {g->dilation[0], g->dilation[1]},
        .filter = state->packs ? workspace : o->filter->buffer,
        .filter_offset = (int64_t)(state->packs ? at.filter : o->filter->offset),
        .is_packed = state->packs,
        .bias = o->bias,
        .relu = shape->activation == OCE_ACTIVATION_RELU,
    };
    return oce_conv2d_product_run(&state->tiles, &product);
}

/* One phase of dX from dY; its panels start at element `panels` of the workspace. */
static oce_status run_phase(const oce_conv2d_shape *shape, const direct_state *state,
                            const oce_tensor *dy, const oce_tensor *filter, const oce_tensor *dx,
                            const phase p[2], oce_buffer *workspace, size_t panels) {
    const oce_window_geometry *g = &shape->window;
    const oce_conv2d_taps taps = {
        {p[0].tap, p[1].tap}, {p[0].tap_step, p[1].tap_step}, {p[0].taps, p[1].taps}};
    OCE_TRY(oce_conv2d_pack_transposed(&state->layout, &state->tiles, filter, &taps, workspace,
                                       panels));
    const oce_conv2d_product product = {
        .x = oce_conv2d_view_of(dy, p[0].start, p[1].start, 1, 1),
        .y = oce_conv2d_view_of(dx, p[0].first, p[1].first, g->stride[0], g->stride[1]),
        .tap_down = dy->stride[1] * p[0].dilation,
        .tap = dy->stride[2] * p[1].dilation,
        .size = {p[0].taps, p[1].taps},
        .channels = shape->filters,
        .dilation_right = p[1].dilation,
        .images = shape->batch,
        .output = {p[0].count, p[1].count},
        .input = {g->output[0], g->output[1]},
        .start = {p[0].start, p[1].start},
        .step = {1, 1},
        .dilation = {p[0].dilation, p[1].dilation},
        .filter = workspace,
        .filter_offset = (int64_t)panels,
        .is_packed = true,
    };
    return oce_conv2d_product_run(&state->tiles, &product);
}

static oce_status run_input_grad(const oce_conv2d_shape *shape, const direct_state *state,
                                 const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    const bool in_place = oce_conv2d_in_place(o->y, &state->reach);
    const direct_space at = place(shape, state, in_place);
    oce_tensor dy = *o->y;
    if (!in_place)
        OCE_TRY(oce_conv2d_pad(&state->layout, o->y, &state->reach, workspace, at.image, &dy));
    const int64_t count[2] = {phase_count(g, 0), phase_count(g, 1)};
    if (misses_inputs(g, 0) || misses_inputs(g, 1))
        OCE_TRY(oce_conv2d_clear(&state->layout, o->x));
    size_t panels = at.filter;
    for (int64_t tap = 0; tap < count[0] * count[1]; tap++) {
        const phase p[2] = {get_phase(g, 0, tap / count[1]), get_phase(g, 1, tap % count[1])};
        if (p[0].count == 0 || p[1].count == 0 || p[0].taps == 0 || p[1].taps == 0)
            continue;
        OCE_TRY(run_phase(shape, state, &dy, o->filter, o->x, p, workspace, panels));
        panels += (size_t)(p[0].taps * p[1].taps * shape->filters * state->tiles.padded);
    }
    return OCE_OK;
}

static oce_status run_filter_grad(const oce_conv2d_shape *shape, const direct_state *state,
                                  const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    const bool in_place = oce_conv2d_in_place(o->x, &shape->reach);
    const direct_space at = place(shape, state, in_place);
    oce_tensor x = *o->x;
    if (!in_place)
        OCE_TRY(oce_conv2d_pad(&state->layout, o->x, &shape->reach, workspace, at.image, &x));
    const oce_conv2d_filter_product product = {
        .x = oce_conv2d_view_of(&x, -g->before[0], -g->before[1], g->stride[0], g->stride[1]),
        .dy = oce_conv2d_view_of(o->y, 0, 0, 1, 1),
        .tap_down = x.stride[1] * g->dilation[0],
        .tap = x.stride[2] * g->dilation[1],
        .size = {g->size[0], g->size[1]},
        .channels = shape->channels,
        .images = shape->batch,
        .output = {g->output[0], g->output[1]},
        .splits = state->splits,
        .partials = workspace,
        .partials_offset = (int64_t)at.filter,
        .dfilter = o->filter,
    };
    return oce_conv2d_filter_product_run(&state->layout, &state->tiles, &product);
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const direct_state *state = opaque;
    if (state->pass == OCE_PASS_FORWARD)
        return run_forward(shape, state, operands, workspace);
    if (state->pass == OCE_PASS_INPUT_GRAD)
        return run_input_grad(shape, state, operands, workspace);
    return run_filter_grad(shape, state, operands, workspace);
}

const oce_conv2d_method oce_conv2d_direct = {
    .family = OCE_CONV2D_DIRECT,
    .wants_halo = true,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
};
