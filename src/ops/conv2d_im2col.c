/*
 * The im2col family: the windows' input is copied into the rows of a matrix, and a matrix product
 * does the rest.
 *
 *   Y = columns F;  dX = fold(dY F^T);  dF = columns^T dY
 *
 * with columns [pixels of Y, R*S*C], F [R*S*C, K], Y [pixels, K]. The matrix has R*S times the
 * elements of X, so a slab of its rows is made at a time, in the workspace. A window of one pixel
 * with stride 1 and no padding needs no copy: X is its own matrix.
 *
 * Cost: the matrix is written once and read once, 2 * R*S*C floats for 2 * R*S*C*K flops a pixel.
 */
#include "ops/conv2d_columns.h"
#include "ops/conv2d_tiles.h"

#include "base/size.h"
#include "base/status.h"

#include <ocelli/gemm.h>

#include <stdio.h>
#include <stdlib.h>

/* Floats of a slab: enough rows for a product to be worth a launch. Every OpenCL device allows
 * buffers of 128 MB (or a quarter of its memory), so it is the same on all, and with it the order
 * of the filter gradient's sum; only where test caps leave less is it less. */
static const int64_t slab_floats = INT64_C(8) << 20;

enum { FEW_PIXELS = 128, FEW_CHANNELS = 4, FEWEST_PIXELS = 64 /* see suits_cpu() */ };

/* Floats of a filter that no cache near a core holds. */
static const int64_t large_filter = 1 << 19;
static const double least_inside = 0.25;

/* How a pass is divided into slabs. */
typedef struct division {
    int64_t pixels; /* of Y in a slab, all but the last */
    int64_t images; /* input gradient: whole images in a slab; 0: a part of one */
    int64_t rows;   /* input gradient: rows of dX in such a part; */
    int64_t y_rows; /* and the rows of Y that reach them */
} division;

typedef struct im2col_state {
    oce_pass pass;
    bool is_pointwise; /* X, if dense, is the matrix of columns */
    division slabs;
    oce_columns_kernels copies;
    oce_gemm_plan *product, *last; /* of a slab, and of a shorter last one (NULL: there is none) */
    size_t columns_at, dense_at, part_at, floats; /* of the workspace */
} im2col_state;

/* ---- Slabs --------------------------------------------------------------------------------- */

static int64_t pixel_count(const oce_conv2d_shape *shape) {
    return shape->batch * shape->window.output[0] * shape->window.output[1];
}

static int64_t column_length(const oce_conv2d_shape *shape) {
    return shape->window.size[0] * shape->window.size[1] * shape->channels;
}

/* Rows of X between the first and the last tap of a window. */
static int64_t window_reach(const oce_window_geometry *g) {
    return (g->size[0] - 1) * g->dilation[0];
}

/* Slabs of whole images if one fits, else of some rows of dX: those that `most` rows of Y reach. */
static bool divide_input_grad(const oce_conv2d_shape *shape, int64_t most, division *slabs) {
    const oce_window_geometry *g = &shape->window;
    const int64_t image = g->output[0] * g->output[1];
    slabs->images = oce_min_int64(most / oce_max_int64(image, 1), shape->batch);
    slabs->pixels = slabs->images * image;
    if (slabs->images > 0 || pixel_count(shape) == 0)
        return true;
    slabs->y_rows = most / g->output[1];
    slabs->rows = oce_min_int64(slabs->y_rows * g->stride[0] - window_reach(g), g->input[0]);
    slabs->pixels = slabs->y_rows * g->output[1];
    return slabs->rows >= 1;
}

/* False, with the reason, if a slab of the smallest size is too large. */
static bool divide(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   division *slabs, char *reason, size_t reason_bytes) {
    /* A slab needs at most half of the workspace: the product may need some too. */
    const int64_t room = (int64_t)(limits->max_allocation / sizeof(float) / 2);
    const int64_t floats = oce_min_int64(slab_floats, room);
    const int64_t a_pixel = column_length(shape) + shape->filters;
    const int64_t most = floats / oce_max_int64(a_pixel, 1);
    *slabs = (division){.pixels = oce_min_int64(most, pixel_count(shape))};
    bool fits = most >= 1;
    if (fits && pass == OCE_PASS_INPUT_GRAD)
        fits = divide_input_grad(shape, most, slabs);
    if (!fits)
        snprintf(reason, reason_bytes,
                 "a pixel takes %lld floats of workspace, and %s of them do not fit into the %lld "
                 "there are for it",
                 (long long)a_pixel,
                 pass == OCE_PASS_INPUT_GRAD ? "the rows of Y that one row of X reaches" : "one",
                 (long long)floats);
    return fits;
}

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    division slabs;
    return divide(shape, limits, pass, &slabs, reason, reason_bytes);
}

static bool is_pointwise(const oce_window_geometry *g) {
    bool one = true;
    for (int axis = 0; axis < 2; axis++)
        one = one && g->size[axis] == 1 && g->stride[axis] == 1 && g->before[axis] == 0 &&
              g->input[axis] == g->output[axis];
    return one;
}

/* The share of all windows' taps that are inside the image: others need not be computed. */
static double share_inside(const oce_window_geometry *g) {
    double share = 1;
    for (int i = 0; i < 2; i++) {
        const oce_conv2d_axis axis = {g->size[i],    g->output[i], g->input[i],
                                      -g->before[i], g->stride[i], g->dilation[i]};
        bool is_idle = false;
        share *= (double)oce_conv2d_inside(&axis, &is_idle) / (double)(g->size[i] * g->output[i]);
    }
    return share;
}

/* A filter so large, for so few pixels, that copying it into panels takes longer than copying the
 * windows' input into columns: the product reads it where it is, once. The filter gradient needs no
 * panels, only partial sums as large as a filter. Not where most taps are outside: a column has a
 * place for all of them, which the direct family leaves out. */
static bool has_large_filter(const oce_conv2d_shape *shape, oce_pass pass) {
    const int64_t few = pass == OCE_PASS_FILTER_GRAD
                            ? FEWEST_PIXELS
                            : 2 * oce_min_int64(shape->channels, shape->filters);
    const int64_t pixels = pixel_count(shape);
    return pixels > 0 && pixels <= few && column_length(shape) >= large_filter / shape->filters &&
           share_inside(&shape->window) >= least_inside;
}

/* On CPUs: large filters; and gradients of windows of one pixel, which are products of the tensors
 * as they are. The input gradient then needs no transposed copy of the filter; and the filter
 * gradient no partial sums, which is faster for few pixels, or for few channels on one side. Larger
 * tensors than a slab the direct family takes faster through memory. */
static bool suits_cpu(const oce_conv2d_shape *shape, oce_pass pass) {
    const int64_t pixels = pixel_count(shape);
    const int64_t fewest = oce_min_int64(shape->channels, shape->filters);
    if (fewest > 0 && has_large_filter(shape, pass))
        return true;
    return pass != OCE_PASS_FORWARD && is_pointwise(&shape->window) &&
           pixels <= slab_floats / oce_max_int64(shape->channels + shape->filters, 1) &&
           (pass == OCE_PASS_INPUT_GRAD || pixels <= FEW_PIXELS || fewest <= FEW_CHANNELS);
}

/* On GPUs: where fast products can be had; with naive ones the naive family needs no workspace. */
static bool suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass) {
    return limits->is_cpu ? suits_cpu(shape, pass) : limits->max_work_group >= 64;
}

/* ---- Planning ------------------------------------------------------------------------------ */

/* The product of a slab of `pixels`: by the family asked for; else CLBlast on GPUs, as own kernels
 * need no matrix of columns there, or what there is. */
static oce_status plan_product(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                               int64_t pixels, oce_gemm_plan **plan) {
    const int64_t length = column_length(shape), filters = shape->filters;
    oce_gemm_desc desc = {.m = pixels, .n = filters, .k = length};
    if (pass == OCE_PASS_FORWARD)
        desc.activation = shape->activation;
    else if (pass == OCE_PASS_INPUT_GRAD)
        desc = (oce_gemm_desc){.m = pixels, .n = length, .k = filters, .transpose_b = true};
    else
        desc = (oce_gemm_desc){.m = length, .n = filters, .k = pixels, .transpose_a = true};
    desc.family = shape->gemm_family;
    if (shape->gemm_family == OCE_GEMM_AUTO && !oce_device_limits(device)->is_cpu) {
        desc.family = OCE_GEMM_CLBLAST;
        const oce_status status = oce_gemm_plan_create(device, &desc, plan);
        if (!oce_status_spares_others(status))
            return status;
        desc.family = OCE_GEMM_AUTO;
    }
    return oce_gemm_plan_create(device, &desc, plan);
}

static oce_status plan_products(oce_device *device, const oce_conv2d_shape *shape,
                                im2col_state *state) {
    const division *slabs = &state->slabs;
    const int64_t rest =
        slabs->pixels > 0 && slabs->y_rows == 0 ? pixel_count(shape) % slabs->pixels : 0;
    OCE_TRY(plan_product(device, shape, state->pass, slabs->pixels, &state->product));
    if (rest == 0)
        return OCE_OK;
    return plan_product(device, shape, state->pass, rest, &state->last);
}

/* The products' own workspace begins where theirs must: at the front. */
static oce_status plan_workspace(oce_device *device, const oce_conv2d_shape *shape,
                                 im2col_state *state) {
    const size_t pixels = (size_t)state->slabs.pixels, filters = (size_t)shape->filters;
    const size_t length = (size_t)column_length(shape);
    const size_t first = oce_gemm_plan_workspace(state->product);
    const size_t second = state->last != NULL ? oce_gemm_plan_workspace(state->last) : 0;
    const bool has_parts =
        state->pass == OCE_PASS_FILTER_GRAD && state->slabs.pixels < pixel_count(shape);
    oce_conv2d_space space = {0, false};
    oce_conv2d_take(&space, ((first > second ? first : second) + 3) / sizeof(float));
    state->columns_at = oce_conv2d_take(&space, pixels * length);
    state->dense_at = oce_conv2d_take(&space, pixels * filters);
    state->part_at = oce_conv2d_take(&space, has_parts ? length * filters : 0);
    state->floats = space.used;
    size_t bytes = 0;
    OCE_TRY(oce_conv2d_space_bytes(&space, &bytes));
    const size_t most = oce_device_limits(device)->max_allocation;
    OCE_REQUIRE(bytes + OCE_BUFFER_SLACK <= most, OCE_ERROR_UNSUPPORTED,
                "conv2d: im2col needs %zu bytes of workspace, the largest allocation is %zu", bytes,
                most);
    return OCE_OK;
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    im2col_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    char reason[160] = "";
    const oce_limits *limits = oce_device_limits(device);
    state->pass = pass;
    state->is_pointwise = is_pointwise(&shape->window);
    OCE_REQUIRE(divide(shape, limits, pass, &state->slabs, reason, sizeof reason),
                OCE_ERROR_UNSUPPORTED, "conv2d: im2col: %s", reason);
    OCE_TRY(plan_products(device, shape, state));
    OCE_TRY(plan_workspace(device, shape, state));
    return oce_columns_kernels_get(device, shape, pass, &state->copies);
}

static void release(void *opaque) {
    im2col_state *state = opaque;
    oce_gemm_plan_destroy(state->product);
    oce_gemm_plan_destroy(state->last);
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)shape;
    (void)x_in_place;
    const im2col_state *state = opaque;
    *bytes = state->floats * sizeof(float);
    return OCE_OK;
}

/* ---- Passes -------------------------------------------------------------------------------- */

/* `rows` rows of `columns` elements of a buffer, as a matrix. */
static oce_status matrix(oce_buffer *buffer, size_t at, int64_t rows, int64_t columns,
                         oce_tensor *view) {
    const int64_t dim[4] = {rows, 1, 1, columns};
    return oce_tensor_view(buffer, at, dim, NULL, view);
}

/* The rows of a dense tensor's pixels first ... first + count - 1. */
static oce_status pixels_of(const oce_tensor *tensor, int64_t first, int64_t count,
                            oce_tensor *view) {
    return matrix(tensor->buffer, tensor->offset + (size_t)(first * tensor->dim[3]), count,
                  tensor->dim[3], view);
}

static oce_gemm_plan *product_of(const im2col_state *state, int64_t count) {
    return count == state->slabs.pixels ? state->product : state->last;
}

/* The matrix of columns: X itself, or a copy. */
static oce_status get_columns(const oce_conv2d_shape *shape, const im2col_state *state,
                              const oce_tensor *x, oce_buffer *workspace, int64_t first,
                              int64_t count, oce_tensor *columns) {
    if (state->is_pointwise && oce_tensor_is_dense(x))
        return pixels_of(x, first, count, columns);
    OCE_TRY(oce_columns_gather(&state->copies, &state->copies.columns, x, &shape->window, workspace,
                               state->columns_at, first, count));
    return matrix(workspace, state->columns_at, count, column_length(shape), columns);
}

/* dY's pixels as a matrix: in place, or a copy. */
static oce_status get_dy(const oce_conv2d_shape *shape, const im2col_state *state,
                         const oce_tensor *dy, oce_buffer *workspace, int64_t first, int64_t count,
                         oce_tensor *rows) {
    const int64_t *output = shape->window.output;
    if (oce_tensor_is_dense(dy))
        return pixels_of(dy, first, count, rows);
    const oce_window_geometry one = {.size = {1, 1},
                                     .stride = {1, 1},
                                     .dilation = {1, 1},
                                     .input = {output[0], output[1]},
                                     .output = {output[0], output[1]}};
    OCE_TRY(oce_columns_gather(&state->copies, &state->copies.dense, dy, &one, workspace,
                               state->dense_at, first, count));
    return matrix(workspace, state->dense_at, count, shape->filters, rows);
}

static oce_status filter_matrix(const oce_conv2d_shape *shape, const oce_tensor *filter,
                                oce_tensor *view) {
    return matrix(filter->buffer, filter->offset, column_length(shape), shape->filters, view);
}

static oce_status run_forward(const oce_conv2d_shape *shape, const im2col_state *state,
                              const oce_conv2d_operands *o, oce_buffer *workspace) {
    const bool in_place = oce_tensor_is_dense(o->y);
    const int64_t pixels = pixel_count(shape);
    oce_tensor filter, columns, y;
    OCE_TRY(filter_matrix(shape, o->filter, &filter));
    for (int64_t first = 0; first < pixels; first += state->slabs.pixels) {
        const int64_t count = oce_min_int64(state->slabs.pixels, pixels - first);
        OCE_TRY(get_columns(shape, state, o->x, workspace, first, count, &columns));
        OCE_TRY(in_place ? pixels_of(o->y, first, count, &y)
                         : matrix(workspace, state->dense_at, count, shape->filters, &y));
        OCE_TRY(oce_gemm_run(product_of(state, count), &columns, &filter, o->bias, &y, workspace));
        if (!in_place)
            OCE_TRY(
                oce_columns_spread(&state->copies, workspace, state->dense_at, o->y, first, count));
    }
    return OCE_OK;
}

static oce_status run_filter_grad(const oce_conv2d_shape *shape, const im2col_state *state,
                                  const oce_conv2d_operands *o, oce_buffer *workspace) {
    const int64_t pixels = pixel_count(shape), elements = column_length(shape) * shape->filters;
    oce_tensor sum, part, columns, dy;
    OCE_TRY(filter_matrix(shape, o->filter, &sum));
    for (int64_t first = 0; first < pixels; first += state->slabs.pixels) {
        const int64_t count = oce_min_int64(state->slabs.pixels, pixels - first);
        OCE_TRY(get_columns(shape, state, o->x, workspace, first, count, &columns));
        OCE_TRY(get_dy(shape, state, o->y, workspace, first, count, &dy));
        if (first == 0)
            part = sum;
        else
            OCE_TRY(matrix(workspace, state->part_at, column_length(shape), shape->filters, &part));
        OCE_TRY(oce_gemm_run(product_of(state, count), &columns, &dy, NULL, &part, workspace));
        if (first == 0)
            continue;
        OCE_TRY(oce_columns_add(&state->copies, workspace, state->part_at, &sum, elements));
    }
    return OCE_OK;
}

/* One slab of the input gradient: the product, straight into dX where dX is its own matrix. */
static oce_status run_band(const oce_conv2d_shape *shape, const im2col_state *state,
                           const oce_conv2d_operands *o, oce_buffer *workspace,
                           const oce_columns_band *b) {
    const oce_window_geometry *g = &shape->window;
    const bool in_place = state->is_pointwise && oce_tensor_is_dense(o->x);
    const int64_t first = (b->image * g->output[0] + b->y_row) * g->output[1];
    const int64_t count = b->images * b->y_rows * g->output[1];
    oce_tensor filter, dy, columns;
    OCE_TRY(filter_matrix(shape, o->filter, &filter));
    OCE_TRY(get_dy(shape, state, o->y, workspace, first, count, &dy));
    OCE_TRY(in_place ? pixels_of(o->x, first, count, &columns)
                     : matrix(workspace, state->columns_at, count, column_length(shape), &columns));
    OCE_TRY(oce_gemm_run(product_of(state, count), &dy, &filter, NULL, &columns, workspace));
    return in_place ? OCE_OK
                    : oce_columns_fold(&state->copies, workspace, state->columns_at, g, o->x, b);
}

static oce_status run_input_grad(const oce_conv2d_shape *shape, const im2col_state *state,
                                 const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    const division *slabs = &state->slabs;
    for (int64_t n = 0; slabs->images > 0 && n < shape->batch; n += slabs->images) {
        const oce_columns_band whole = {
            n, oce_min_int64(slabs->images, shape->batch - n), 0, g->input[0], 0, g->output[0]};
        OCE_TRY(run_band(shape, state, o, workspace, &whole));
    }
    for (int64_t n = 0; slabs->images == 0 && n < shape->batch; n++)
        for (int64_t h = 0; h < g->input[0]; h += slabs->rows) {
            const int64_t lowest =
                oce_ceil_div(oce_max_int64(h + g->before[0] - window_reach(g), 0), g->stride[0]);
            const oce_columns_band part = {n,
                                           1,
                                           h,
                                           oce_min_int64(slabs->rows, g->input[0] - h),
                                           oce_min_int64(lowest, g->output[0] - slabs->y_rows),
                                           slabs->y_rows};
            OCE_TRY(run_band(shape, state, o, workspace, &part));
        }
    return OCE_OK;
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const im2col_state *state = opaque;
    if (state->pass == OCE_PASS_FORWARD)
        return run_forward(shape, state, operands, workspace);
    if (state->pass == OCE_PASS_INPUT_GRAD)
        return run_input_grad(shape, state, operands, workspace);
    return run_filter_grad(shape, state, operands, workspace);
}

const oce_conv2d_method oce_conv2d_im2col = {
    .family = OCE_CONV2D_IM2COL,
    .serves = serves,
    .suits = suits,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
    .release = release,
};
