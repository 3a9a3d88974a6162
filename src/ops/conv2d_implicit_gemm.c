/* The implicit_gemm family: matrix products in tiles whose left operand is gathered from the
 * images, for GPUs (cl/conv2d_implicit_gemm.cl, cl/conv2d_implicit_gemm_filter.cl). */
#include "ops/conv2d_internal.h"

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"
#include "ops/tile_product.h"

#include <stdio.h>
#include <stdlib.h>

static const char gather_file[] = "conv2d_implicit_gemm.cl";
static const char filter_file[] = "conv2d_implicit_gemm_filter.cl";

/* Pixels are ints with room for a tile more; element() of cl/tile.cl.h counts 30 bits. */
enum { MOST_PIXELS = 1 << 30, MOST_CHANNELS = 1 << 23, MOST_ELEMENTS = 1 << 30, TILE_ROWS = 128 };

typedef struct implicit_state {
    oce_pass pass;
    oce_device *device;
    oce_tile tile;
    oce_kernel *product;   /* for tensors whose rows of channels start at multiples of 4 floats */
    oce_kernel *transpose; /* input gradient */
    bool vector_a, vector_b, vector_c; /* rows are a multiple of 4 floats */
    int64_t splits, part;              /* filter gradient: of the pixels */
} implicit_state;

/* ---- Which taps reach a class of pixels ---------------------------------------------------- */

/* Along one axis, the pixels of X that are `residue` modulo the stride, and the taps that reach
 * them: `taps` from `first` on, `step` apart. Tap t of pixel v * stride + residue is at dY's place
 * v + origin + t * move. */
typedef struct tap_class {
    int64_t pixels;
    int64_t first, step, taps;
    int64_t origin, move;
} tap_class;

static tap_class class_of(const oce_window_geometry *g, int axis, int64_t residue) {
    const int64_t stride = g->stride[axis], dilation = g->dilation[axis];
    tap_class c = {
        .pixels = residue < g->input[axis] ? (g->input[axis] - residue + stride - 1) / stride : 0};
    int64_t last = -1;
    for (int64_t tap = 0; tap < g->size[axis]; tap++) {
        if ((residue + g->before[axis] - tap * dilation) % stride != 0)
            continue;
        if (c.taps == 0)
            c.first = tap;
        else if (c.taps == 1)
            c.step = tap - last;
        last = tap;
        c.taps++;
    }
    c.origin = (residue + g->before[axis] - c.first * dilation) / stride;
    c.move = -(c.step * dilation / stride);
    return c;
}

/* ---- Planning ------------------------------------------------------------------------------ */

/* The images that the pixels of a tile lie in, at most, if an image has `pixels` of them. */
static int64_t images_of_tile(int64_t pixels) {
    return pixels > 0 ? TILE_ROWS / pixels + 2 : 1;
}

/* Whether the gather stays within what element() counts, with room for halos. */
static bool is_countable(const oce_conv2d_shape *shape, oce_pass pass) {
    const oce_window_geometry *g = &shape->window;
    const bool is_back = pass == OCE_PASS_INPUT_GRAD;
    const int64_t *in = is_back ? shape->y_dim : shape->x_dim;
    const int64_t rows = is_back ? g->input[0] / g->stride[0] : g->output[0];
    const int64_t columns = is_back ? g->input[1] / g->stride[1] : g->output[1];
    const double image = (double)in[1] * (double)in[2] * (double)in[3];
    return (double)images_of_tile(rows > 0 && columns > 0 ? rows * columns : 1) * image <=
           MOST_ELEMENTS / 2.0;
}

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    const double images = (double)shape->batch;
    const double x_pixels = images * (double)shape->x_dim[1] * (double)shape->x_dim[2];
    const double y_pixels = images * (double)shape->y_dim[1] * (double)shape->y_dim[2];
    if (!oce_tile_serves(limits, reason, reason_bytes))
        return false;
    if (x_pixels > MOST_PIXELS || y_pixels > MOST_PIXELS)
        snprintf(reason, reason_bytes, "more than %d pixels", MOST_PIXELS);
    else if (shape->channels > MOST_CHANNELS || shape->filters > MOST_CHANNELS)
        snprintf(reason, reason_bytes, "more than %d channels", MOST_CHANNELS);
    else if (!is_countable(shape, pass))
        snprintf(reason, reason_bytes, "images of too many elements");
    else
        return true;
    return false;
}

static int64_t filter_rows(const oce_conv2d_shape *shape) {
    return shape->f_dim[0] * shape->f_dim[1] * shape->channels;
}

static int64_t y_pixels(const oce_conv2d_shape *shape) {
    return shape->batch * shape->y_dim[1] * shape->y_dim[2];
}

/* The product as the rule for tiles sees it. */
static oce_tile_shape product_shape(const oce_conv2d_shape *shape, const implicit_state *state) {
    const oce_window_geometry *g = &shape->window;
    if (state->pass == OCE_PASS_FORWARD)
        return (oce_tile_shape){y_pixels(shape), shape->filters, 1, shape->asked.tile};
    if (state->pass == OCE_PASS_FILTER_GRAD)
        return (oce_tile_shape){filter_rows(shape), shape->filters, state->splits,
                                shape->asked.tile};
    const int64_t rows = oce_ceil_div(g->input[0], g->stride[0]);
    const int64_t columns = oce_ceil_div(g->input[1], g->stride[1]);
    return (oce_tile_shape){shape->batch * rows * columns, shape->channels, 1, shape->asked.tile};
}

static oce_defines define(const implicit_state *state, bool a, bool b, bool c) {
    oce_defines defines = {0};
    oce_define(&defines, "A_ALONG_M", state->pass == OCE_PASS_FILTER_GRAD);
    oce_define(&defines, "B_ALONG_N", 1);
    oce_define(&defines, "A_VECTOR", a);
    oce_define(&defines, "B_VECTOR", b);
    oce_define(&defines, "C_VECTOR", c);
    return defines;
}

static const char *product_file(const implicit_state *state) {
    return state->pass == OCE_PASS_FILTER_GRAD ? filter_file : gather_file;
}

static const char *product_kernel(const implicit_state *state) {
    return state->pass == OCE_PASS_FILTER_GRAD ? "implicit_gemm_filter" : "implicit_gemm";
}

static void set_splits(const oce_conv2d_shape *shape, implicit_state *state) {
    enum { PART_PIXELS = 16 };
    const int64_t pixels = y_pixels(shape);
    state->splits = oce_tile_splits(filter_rows(shape), shape->filters, pixels, 1);
    state->part = oce_ceil_div(oce_ceil_div(pixels, state->splits), PART_PIXELS) * PART_PIXELS;
    state->splits = pixels > 0 ? oce_ceil_div(pixels, state->part) : 1;
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    implicit_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    state->pass = pass;
    state->device = device;
    if (shape->channels == 0 || shape->filters == 0)
        return OCE_OK; /* dF is empty */
    const bool channels = shape->channels % 4 == 0, filters = shape->filters % 4 == 0;
    state->vector_a = pass == OCE_PASS_INPUT_GRAD ? filters : channels;
    state->vector_b = state->vector_c = pass == OCE_PASS_INPUT_GRAD ? channels : filters;
    if (pass == OCE_PASS_INPUT_GRAD)
        OCE_TRY(oce_kernel_get(device, "conv2d_transpose.cl", "filter_transpose", NULL,
                               &state->transpose));
    if (pass == OCE_PASS_FILTER_GRAD) {
        set_splits(shape, state);
        if (state->splits > 1)
            OCE_TRY(oce_tile_sum_prepare(device, shape->filters));
    }
    const oce_tile_shape product = product_shape(shape, state);
    const oce_defines defines = define(state, state->vector_a, state->vector_b, state->vector_c);
    return oce_tile_kernel_get(device, product_file(state), product_kernel(state), &defines,
                               &product, &state->tile, &state->product);
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)x_in_place;
    const implicit_state *state = opaque;
    const int64_t *f = shape->f_dim;
    const int64_t copies = state->pass == OCE_PASS_INPUT_GRAD ? 1
                           : state->pass == OCE_PASS_FILTER_GRAD && state->splits > 1
                               ? state->splits
                               : 0;
    const int64_t extents[] = {copies, f[0], f[1], f[2], f[3]};
    oce_conv2d_space space = {0, false};
    (void)oce_conv2d_take_product(&space, extents, OCE_COUNT(extents));
    return oce_conv2d_space_bytes(&space, bytes);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* The kernels count the elements between two of an image, or of a tile's images, in ints. */
static oce_status check_images(const char *name, const oce_tensor *t, int64_t images) {
    OCE_REQUIRE(t->stride[0] <= MOST_ELEMENTS / images, OCE_ERROR_OVERFLOW,
                "conv2d: %s: images that are %lld elements apart are too large", name,
                (long long)t->stride[0]);
    return OCE_OK;
}

/* The product's kernel for operands that are aligned so: the plan's, or one that does not ask of
 * them what they do not keep. */
static oce_status kernel_for(const implicit_state *state, bool a, bool b, bool c,
                             oce_kernel **kernel) {
    *kernel = state->product;
    if ((a || !state->vector_a) && (b || !state->vector_b) && (c || !state->vector_c))
        return OCE_OK;
    const oce_defines defines =
        define(state, a && state->vector_a, b && state->vector_b, c && state->vector_c);
    return oce_tile_kernel_build(state->device, product_file(state), product_kernel(state),
                                 &defines, &state->tile, kernel);
}

/* What a launch of implicit_gemm computes; see there. */
typedef struct gather {
    const oce_tensor *in, *bias;
    oce_arg filter, out;
    int64_t out_image, out_down, out_right;
    int64_t images, rows, columns, filters; /* of the output */
    int64_t window[2], stride[2], origin[2], move[2];
    bool filter_aligned, out_aligned, relu;
} gather;

static oce_status run_gather(const implicit_state *state, const gather *p) {
    const oce_tensor *in = p->in;
    const int64_t channels = in->dim[3], m = p->images * p->rows * p->columns;
    const int64_t window_columns = p->window[1] > 0 ? p->window[1] : 1;
    const int64_t depth = state->tile.depth, next_tap = depth / channels;
    oce_kernel *kernel = NULL;
    OCE_TRY(
        kernel_for(state, oce_tensor_is_aligned(in), p->filter_aligned, p->out_aligned, &kernel));
    const oce_arg args[] = {
        oce_arg_tensor(in),
        oce_arg_long(in->stride[0]),
        oce_arg_int(in->stride[1]),
        oce_arg_int(in->stride[2]),
        oce_arg_int(in->dim[1]),
        oce_arg_int(in->dim[2]),
        oce_arg_int(channels),
        p->filter,
        oce_arg_tensor(p->bias),
        p->out,
        oce_arg_long(p->out_image),
        oce_arg_long(p->out_down),
        oce_arg_long(p->out_right),
        oce_arg_int(p->rows),
        oce_arg_int(p->columns),
        oce_arg_int(m),
        oce_arg_int(p->filters),
        oce_arg_int(p->window[0]),
        oce_arg_int(window_columns),
        oce_arg_int(p->stride[0]),
        oce_arg_int(p->stride[1]),
        oce_arg_int(-p->origin[0]),
        oce_arg_int(-p->origin[1]),
        oce_arg_int(p->move[0]),
        oce_arg_int(p->move[1]),
        oce_arg_int(next_tap / window_columns),
        oce_arg_int(next_tap % window_columns),
        oce_arg_int(depth % channels),
        oce_arg_int(p->relu),
    };
    const oce_tile_shape shape = {m, p->filters, 1, '\0'};
    return oce_launch(kernel, oce_tile_range(&state->tile, &shape), args, OCE_COUNT(args));
}

static oce_status run_forward(const oce_conv2d_shape *shape, const implicit_state *state,
                              const oce_conv2d_operands *o) {
    const oce_window_geometry *g = &shape->window;
    OCE_TRY(check_images("x", o->x, images_of_tile(g->output[0] * g->output[1])));
    const gather product = {
        .in = o->x,
        .bias = o->bias,
        .filter = oce_arg_tensor(o->filter),
        .out = oce_arg_tensor(o->y),
        .out_image = o->y->stride[0],
        .out_down = o->y->stride[1],
        .out_right = o->y->stride[2],
        .images = shape->batch,
        .rows = g->output[0],
        .columns = g->output[1],
        .filters = shape->filters,
        .window = {g->size[0], g->size[1]},
        .stride = {g->stride[0], g->stride[1]},
        .origin = {-g->before[0], -g->before[1]},
        .move = {g->dilation[0], g->dilation[1]},
        .filter_aligned = o->filter->offset % 4 == 0,
        .out_aligned = oce_tensor_is_aligned(o->y) && (o->bias == NULL || o->bias->offset % 4 == 0),
        .relu = shape->activation == OCE_ACTIVATION_RELU,
    };
    return run_gather(state, &product);
}

/* The filter of the taps that reach a class of pixels, [tap][output channel][input channel], to
 * element `at` of the workspace. */
static oce_status transpose(const oce_conv2d_shape *shape, const implicit_state *state,
                            const oce_tensor *filter, const tap_class classes[2],
                            oce_buffer *workspace, int64_t at) {
    const int64_t taps = classes[0].taps * classes[1].taps;
    const oce_arg args[] = {oce_arg_tensor(filter),
                            oce_arg_part(workspace, (uint64_t)at),
                            oce_arg_int(shape->window.size[1]),
                            oce_arg_int(shape->channels),
                            oce_arg_int(shape->filters),
                            oce_arg_int(classes[0].first),
                            oce_arg_int(classes[0].step),
                            oce_arg_int(classes[1].first),
                            oce_arg_int(classes[1].step),
                            oce_arg_int(classes[1].taps),
                            oce_arg_int(taps)};
    return oce_launch(state->transpose, oce_range_items(taps * shape->filters * shape->channels),
                      args, OCE_COUNT(args));
}

/* One class of pixels of dX: the taps that reach them, its filter at element *at of the workspace.
 */
static oce_status run_class(const oce_conv2d_shape *shape, const implicit_state *state,
                            const oce_conv2d_operands *o, oce_buffer *workspace,
                            const int64_t residue[2], int64_t *at) {
    const oce_window_geometry *g = &shape->window;
    const tap_class classes[2] = {class_of(g, 0, residue[0]), class_of(g, 1, residue[1])};
    const oce_tensor *x = o->x;
    const int64_t taps = classes[0].taps * classes[1].taps;
    const gather product = {
        .in = o->y,
        .filter = oce_arg_part(workspace, (uint64_t)*at),
        .out = oce_arg_tensor_at(x, residue[0] * x->stride[1] + residue[1] * x->stride[2]),
        .out_image = x->stride[0],
        .out_down = x->stride[1] * g->stride[0],
        .out_right = x->stride[2] * g->stride[1],
        .images = shape->batch,
        .rows = classes[0].pixels,
        .columns = classes[1].pixels,
        .filters = shape->channels,
        .window = {taps > 0 ? classes[0].taps : 0, classes[1].taps},
        .stride = {1, 1},
        .origin = {classes[0].origin, classes[1].origin},
        .move = {classes[0].move, classes[1].move},
        .filter_aligned = *at % 4 == 0,
        .out_aligned = oce_tensor_is_aligned(x),
    };
    if (classes[0].pixels == 0 || classes[1].pixels == 0)
        return OCE_OK;
    OCE_TRY(check_images("dy", o->y, images_of_tile(classes[0].pixels * classes[1].pixels)));
    OCE_TRY(transpose(shape, state, o->filter, classes, workspace, *at));
    *at += taps * shape->filters * shape->channels;
    return run_gather(state, &product);
}

static oce_status run_input_grad(const oce_conv2d_shape *shape, const implicit_state *state,
                                 const oce_conv2d_operands *o, oce_buffer *workspace) {
    int64_t at = 0, residue[2];
    for (residue[0] = 0; residue[0] < shape->window.stride[0]; residue[0]++)
        for (residue[1] = 0; residue[1] < shape->window.stride[1]; residue[1]++)
            OCE_TRY(run_class(shape, state, o, workspace, residue, &at));
    return OCE_OK;
}

/* Pixels from a slot of cl/tile.cl.h to the next: a pixel has `extent` floats in the tile. */
static int64_t pixels_apart(const oce_tile *tile, int64_t extent) {
    const int64_t pixels = tile->is_local ? 4 * oce_tile_group(tile) / extent : 1;
    return pixels < tile->depth ? pixels : tile->depth;
}

static oce_status run_filter_grad(const oce_conv2d_shape *shape, const implicit_state *state,
                                  const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    const oce_tensor *x = o->x, *dy = o->y, *df = o->filter;
    const int64_t rows = filter_rows(shape);
    const int64_t a_next = pixels_apart(&state->tile, state->tile.rows);
    const int64_t b_next = pixels_apart(&state->tile, state->tile.columns);
    const int64_t a_lines = a_next / g->output[1], b_lines = b_next / g->output[1];
    const bool is_split = state->splits > 1;
    const oce_tile_operand none = {NULL, 0}, partials = {workspace, 0};
    oce_kernel *kernel = NULL;
    OCE_TRY(check_images("x", x, 1));
    OCE_TRY(kernel_for(state, oce_tensor_is_aligned(x), oce_tensor_is_aligned(dy),
                       is_split || df->offset % 4 == 0, &kernel));
    const oce_arg args[] = {
        oce_arg_tensor(x),
        oce_arg_long(x->stride[0]),
        oce_arg_int(x->stride[1]),
        oce_arg_int(x->stride[2]),
        oce_arg_int(g->input[0]),
        oce_arg_int(g->input[1]),
        oce_arg_int(shape->channels),
        oce_arg_tensor(dy),
        oce_arg_long(dy->stride[0]),
        oce_arg_long(dy->stride[1]),
        oce_arg_long(dy->stride[2]),
        oce_arg_int(g->output[0]),
        oce_arg_int(g->output[1]),
        is_split ? oce_arg_part(workspace, 0) : oce_arg_tensor(df),
        oce_arg_int(rows),
        oce_arg_int(shape->filters),
        oce_arg_int(y_pixels(shape)),
        oce_arg_int(state->part),
        oce_arg_int(g->size[1]),
        oce_arg_int(g->stride[0]),
        oce_arg_int(g->stride[1]),
        oce_arg_int(g->before[0]),
        oce_arg_int(g->before[1]),
        oce_arg_int(g->dilation[0]),
        oce_arg_int(g->dilation[1]),
        oce_arg_int(a_lines / g->output[0]),
        oce_arg_int(a_lines % g->output[0]),
        oce_arg_int(a_next % g->output[1]),
        oce_arg_int(b_lines / g->output[0]),
        oce_arg_int(b_lines % g->output[0]),
        oce_arg_int(b_next % g->output[1]),
    };
    const oce_tile_shape product = {rows, shape->filters, state->splits, '\0'};
    OCE_TRY(oce_launch(kernel, oce_tile_range(&state->tile, &product), args, OCE_COUNT(args)));
    if (!is_split)
        return OCE_OK;
    return oce_tile_sum(state->device, partials, none, (oce_tile_operand){df->buffer, df->offset},
                        rows * shape->filters, shape->filters, state->splits, false);
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const implicit_state *state = opaque;
    if (state->pass == OCE_PASS_FORWARD)
        return run_forward(shape, state, operands);
    if (state->pass == OCE_PASS_INPUT_GRAD)
        return run_input_grad(shape, state, operands, workspace);
    return run_filter_grad(shape, state, operands, workspace);
}

const oce_conv2d_method oce_conv2d_implicit_gemm = {
    .family = OCE_CONV2D_IMPLICIT_GEMM,
    .serves = serves,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
};
