/* The direct family: register tiles with explicit vectors (cl/conv2d_direct.cl). */
#include "ops/conv2d_filter_tiles.h"
#include "ops/conv2d_phases.h"

#include "base/size.h"
#include "base/status.h"

#include <stdlib.h>

typedef struct direct_state {
    oce_pass pass;
    oce_conv2d_layout layout;
    oce_conv2d_tiles tiles;
    bool is_dot; /* forward, input gradient: `dot` has the kernels, not `tiles` */
    oce_conv2d_dot dot;
    bool packs;                     /* forward, input gradient: the filter is copied into panels */
    oce_halo reach;                 /* input gradient: rows and columns outside dY that are read */
    oce_conv2d_filter_tiles filter; /* filter gradient, instead of `tiles` */
} direct_state;

/* Where a run's parts of the workspace start, in floats. */
typedef struct direct_space {
    oce_conv2d_space space;
    size_t filter, image;
} direct_space;

/* ---- Preparing ----------------------------------------------------------------------------- */

/* In place the filter's vectors may not be aligned, and the rows of many channels lie far apart,
 * all on the same few sets of the cache; but a copy pays only if it is read often enough. */
static bool packing_pays(const oce_conv2d_shape *shape) {
    const int64_t pixels = shape->y_dim[0] * shape->y_dim[1] * shape->y_dim[2];
    return pixels >= (shape->filters >= 256 ? 128 : 1024);
}

/* An item copies rows with their border whole, or clears them, a vector a round. */
static oce_status check_rows(const oce_limits *limits, const oce_conv2d_shape *shape,
                             oce_pass pass) {
    const oce_halo reach =
        pass == OCE_PASS_INPUT_GRAD ? oce_conv2d_gradient_reach(&shape->window) : shape->reach;
    const int64_t *copied = pass == OCE_PASS_INPUT_GRAD ? shape->y_dim : shape->x_dim;
    const int64_t floats =
        oce_max_int64((copied[2] + reach.left + reach.right) * copied[3],
                      pass == OCE_PASS_INPUT_GRAD ? shape->x_dim[2] * shape->channels : 0);
    const int64_t ends = 3 * (limits->vector_width + 2); /* of loops, and what is no whole vector */
    OCE_REQUIRE(floats / limits->vector_width + ends <= limits->loop_rounds, OCE_ERROR_UNSUPPORTED,
                "conv2d: direct copies rows of %lld floats, %d a round of a loop; the driver ends "
                "loops after %lld",
                (long long)floats, limits->vector_width, (long long)limits->loop_rounds);
    return OCE_OK;
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    OCE_TRY(check_rows(oce_device_limits(device), shape, pass));
    direct_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    state->pass = pass;
    const bool is_forward = pass == OCE_PASS_FORWARD, is_filter = pass == OCE_PASS_FILTER_GRAD;
    state->is_dot = oce_conv2d_dot_suits(shape, oce_device_limits(device), pass);
    state->packs = state->is_dot || (is_forward ? packing_pays(shape) : !is_filter);
    if (!is_forward && !is_filter)
        state->reach = oce_conv2d_gradient_reach(&shape->window);
    const unsigned pad = shape->keeps_halo ? 0 : OCE_LAYOUT_PAD;
    if (state->is_dot) {
        OCE_TRY(oce_conv2d_layout_get(device, is_forward ? pad : OCE_LAYOUT_PAD, &state->layout));
        return oce_conv2d_dot_get(device, is_forward ? shape->filters : shape->channels,
                                  &state->dot);
    }
    unsigned layout = OCE_LAYOUT_PREPARE_GRAD;
    if (is_forward)
        layout = pad | (state->packs ? OCE_LAYOUT_PACK : 0);
    if (is_filter) {
        OCE_TRY(oce_conv2d_filter_tiles_get(device, shape, &state->filter));
        layout = pad | (state->filter.is_few ? OCE_LAYOUT_SUM_FEW : OCE_LAYOUT_SUM);
    }
    OCE_TRY(oce_conv2d_layout_get(device, layout, &state->layout));
    if (is_filter)
        return OCE_OK;
    const int64_t pixels = shape->y_dim[0] * shape->y_dim[1] * shape->y_dim[2];
    if (is_forward)
        return oce_conv2d_tiles_get(device, &shape->asked, "direct_forward", pixels, shape->filters,
                                    &state->tiles);
    return oce_conv2d_tiles_get(device, &shape->asked, oce_conv2d_phases_kernel(&shape->window),
                                pixels, shape->channels, &state->tiles);
}

/* ---- Workspace ----------------------------------------------------------------------------- */

/* Places a run's parts in the workspace: panels or partial sums, and a copy of X or dY. */
static direct_space place(const oce_conv2d_shape *shape, const direct_state *state,
                          bool image_in_place) {
    const int64_t *f = shape->f_dim;
    direct_space at = {{0, false}, 0, 0};
    size_t count = 0;
    if (state->pass == OCE_PASS_FILTER_GRAD) {
        const oce_conv2d_filter_tiles *t = &state->filter;
        const int64_t partials[] = {t->splits, t->rows, t->tiles.padded};
        if (!oce_size_product(partials, 3, &count))
            at.space.overflow = true;
    } else if (state->is_dot) {
        int64_t extents[OCE_CONV2D_DOT_EXTENTS];
        oce_conv2d_dot_extents(&state->dot, shape, state->pass == OCE_PASS_FORWARD ? f[2] : f[3],
                               extents);
        if (!oce_size_product(extents, OCE_CONV2D_DOT_EXTENTS, &count))
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

/* X, or a copy of it with the border that the windows reach; and where the run's parts are. */
static oce_status bring_x(const oce_conv2d_shape *shape, const direct_state *state,
                          const oce_conv2d_operands *o, oce_buffer *workspace, direct_space *at,
                          oce_tensor *x) {
    const oce_halo *reach = &shape->reach;
    const bool in_place = oce_conv2d_in_place(o->x, reach);
    *at = place(shape, state, in_place);
    *x = *o->x;
    if (in_place)
        return OCE_OK;
    OCE_REQUIRE(!shape->keeps_halo, OCE_ERROR_INVALID_ARGUMENT,
                "x has not the halo that the plan was promised: %lld rows above, %lld below, %lld "
                "columns to the left, %lld to the right, and pixels side by side",
                (long long)reach->top, (long long)reach->bottom, (long long)reach->left,
                (long long)reach->right);
    return oce_conv2d_pad(&state->layout, o->x, reach, workspace, at->image, x);
}

static oce_status run_forward(const oce_conv2d_shape *shape, const direct_state *state,
                              const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    direct_space at;
    oce_tensor x;
    OCE_TRY(bring_x(shape, state, o, workspace, &at, &x));
    if (state->packs && !state->is_dot)
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
    const int64_t *f = shape->f_dim;
    const oce_conv2d_dot_filter filter = {o->filter, 0, f[1] * f[2] * f[3], f[2] * f[3], f[3], 1};
    return state->is_dot ? oce_conv2d_dot_run(&state->dot, &product, &filter, workspace, at.filter)
                         : oce_conv2d_product_run(&state->tiles, &product);
}

static oce_status run_input_grad(const oce_conv2d_shape *shape, const direct_state *state,
                                 const oce_conv2d_operands *o, oce_buffer *workspace) {
    const bool in_place = oce_conv2d_in_place(o->y, &state->reach);
    const direct_space at = place(shape, state, in_place);
    const oce_conv2d_gradient gradient = {.tiles = &state->tiles,
                                          .dot = state->is_dot ? &state->dot : NULL,
                                          .window = &shape->window,
                                          .dy = o->y,
                                          .filter = o->filter,
                                          .dx = o->x,
                                          .workspace = workspace,
                                          .panels = at.filter,
                                          .image = at.image,
                                          .reach = in_place ? NULL : &state->reach};
    return oce_conv2d_gradient_run(&state->layout, &gradient);
}

static oce_status run_filter_grad(const oce_conv2d_shape *shape, const direct_state *state,
                                  const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    direct_space at;
    oce_tensor x;
    OCE_TRY(bring_x(shape, state, o, workspace, &at, &x));
    const oce_conv2d_filter_product product = {
        .x = oce_conv2d_view_of(&x, -g->before[0], -g->before[1], g->stride[0], g->stride[1]),
        .dy = oce_conv2d_view_of(o->y, 0, 0, 1, 1),
        .tap_down = x.stride[1] * g->dilation[0],
        .tap = x.stride[2] * g->dilation[1],
        .partials = workspace,
        .partials_offset = (int64_t)at.filter,
        .dfilter = o->filter,
    };
    return oce_conv2d_filter_product_run(&state->layout, shape, &state->filter, &product);
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
