/* The Winograd family on GPUs: transforms through memory, and a product of matrices for every
 * position in tiles (cl/conv2d_winograd_gpu.cl, cl/gemm_tiled.cl). */
#include "ops/conv2d_internal.h"

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"
#include "ops/tile_product.h"
#include "ops/winograd_pass.h"

#include <stdio.h>
#include <stdlib.h>

static const char file[] = "conv2d_winograd_gpu.cl";

enum { UNITS = 8 /* of a group, as the kernels have it */, LARGEST_ALPHA = 8 };

typedef struct winograd_state {
    oce_winograd_pass w;
    oce_device *device;
    oce_tile_product product;
} winograd_state;

/* Where a run's parts of the workspace start, in floats. */
typedef struct winograd_space {
    oce_conv2d_space space;
    size_t inputs;   /* V */
    size_t others;   /* U, or A dY A^T */
    size_t products; /* M, or dU */
    size_t partials; /* of the products */
} winograd_space;

/* ---- Planning ------------------------------------------------------------------------------ */

static oce_tile_product product_of(oce_device *device, const winograd_state *state) {
    const bool is_filter = state->w.pass == OCE_PASS_FILTER_GRAD;
    return (oce_tile_product){
        .device = device,
        .m = is_filter ? state->w.channels : state->w.tiles,
        .n = state->w.filters,
        .k = is_filter ? state->w.tiles : state->w.channels,
        .batch = state->w.alpha * state->w.alpha,
        .transpose_a = is_filter,
    };
}

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    const size_t exchange = LARGEST_ALPHA * LARGEST_ALPHA * UNITS * 4 * sizeof(float);
    if (!oce_tile_serves(limits, reason, reason_bytes))
        return false;
    if (!oce_winograd_window(&shape->window, reason, reason_bytes))
        return false;
    if (shape->channels % 4 != 0 || shape->filters % 4 != 0) {
        snprintf(reason, reason_bytes, "%lld channels and %lld filters are not both multiples of 4",
                 (long long)shape->channels, (long long)shape->filters);
        return false;
    }
    if (limits->local_bytes < exchange) {
        snprintf(reason, reason_bytes, "%zu bytes of local memory, %zu are needed",
                 limits->local_bytes, exchange);
        return false;
    }
    winograd_state state = {0};
    state.w = oce_winograd_pass_of(shape, pass);
    const double wider =
        (double)(shape->channels > shape->filters ? shape->channels : shape->filters);
    if ((double)state.w.tiles * wider > INT32_MAX) {
        snprintf(reason, reason_bytes, "%lld tiles of %.0f channels are 2^31 or more",
                 (long long)state.w.tiles, wider);
        return false;
    }
    const oce_tile_product p = product_of(NULL, &state);
    return oce_tile_product_serves(p.m, p.n, p.k, p.transpose_a, false, limits, reason,
                                   reason_bytes);
}

/*
 * Where AUTO takes it, by arithmetic, for no property of a device tells its bandwidth. Times are in
 * flops. A plain sum takes its own, 2 * pixels * R^2 * C * K. Winograd takes those of its products,
 * 2 * tiles * ALPHA^2 * C * K, the smaller extent filled up to whole tiles; BALANCE for each byte
 * that one of its kernels writes and the next reads, 8 * ALPHA^2 * (tiles * (C + K) + C * K) and
 * those of partial sums; and `launches`.
 *
 * BALANCE: by their data sheets GPUs without a large cache do 10 to 45 flops in the time of a byte
 * (A100 12, RX 5700 XT 22, RTX 2080 Ti 22, Iris Xe 28, RTX 3080 39, RTX 3070 45), and those with
 * one, where many of these bytes stay, up to 82 (RTX 4090). Of that portable kernels reach some 60
 * % of the flops and 80 % of the bandwidth: 62. So the worst of them should not lose, and one that
 * does 30 takes 0.6 of the time or less. What is left are many channels: 256 -> 256 of 3 x 3, 128
 * -> 128 of 5 x 5, with some hundred tiles or more. What a GPU gains below that, `ocelli tune`
 * finds.
 */
static double winograd_flops(const oce_winograd_pass *w, double floats) {
    enum { BALANCE = 64, WHOLE = 64 };
    const double launches = 3e8; /* three of 10 us more, in which 10 TFLOPS do this */
    const bool is_filter = w->pass == OCE_PASS_FILTER_GRAD;
    const int64_t rows = is_filter ? w->channels : w->tiles;
    const int64_t steps = is_filter ? w->tiles : w->channels;
    const double products = 2 * (double)(w->alpha * w->alpha) * (double)steps *
                            (double)(oce_ceil_div(rows, WHOLE) * WHOLE) *
                            (double)(oce_ceil_div(w->filters, WHOLE) * WHOLE);
    return products + BALANCE * 2 * sizeof(float) * floats + launches;
}

/* The filter gradient sums over tiles: its error was measured as 1e-5 for 512 of a partial sum (5 x
 * 5), 2.3e-5 for 2048, and 5.5e-6 for 6272 (3 x 3). */
static bool is_exact(const oce_winograd_pass *w, const oce_window_geometry *g, int64_t splits) {
    enum { MOST_TILES_3 = 16384, MOST_TILES_5 = 512 };
    if (w->pass != OCE_PASS_FILTER_GRAD)
        return w->channels <= oce_winograd_most_channels(g);
    return w->tiles / splits <= (g->size[0] == 3 ? MOST_TILES_3 : MOST_TILES_5);
}

static bool suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass) {
    enum { PART_OF_MEMORY = 8 }; /* that the workspace may take */
    char reason[160];
    if (!serves(shape, limits, pass, reason, sizeof reason) || !limits->local_is_real)
        return false;
    const winograd_state state = {.w = oce_winograd_pass_of(shape, pass)};
    const oce_winograd_pass *w = &state.w;
    const oce_tile_product p = product_of(NULL, &state);
    const int64_t splits = oce_tile_splits(p.m, p.n, p.k, p.batch);
    /* inputs and outputs of the products, and one operand or result that no tile has a part in */
    const double floats =
        (double)(w->alpha * w->alpha) * ((double)w->tiles * (double)(w->channels + w->filters) +
                                         (double)w->channels * (double)w->filters) +
        (splits > 1 ? (double)splits * (double)p.batch * (double)p.m * (double)p.n : 0);
    const double plain = 2 * (double)(shape->y_dim[0] * shape->y_dim[1] * shape->y_dim[2]) *
                         (double)(shape->window.size[0] * shape->window.size[1]) *
                         (double)shape->channels * (double)shape->filters;
    return sizeof(float) * floats <= (double)limits->global_bytes / PART_OF_MEMORY &&
           winograd_flops(w, floats) <= plain && is_exact(w, &shape->window, splits);
}

/* ---- Workspace ----------------------------------------------------------------------------- */

static size_t take_product(oce_conv2d_space *space, int64_t positions, int64_t rows,
                           int64_t columns) {
    const int64_t extents[] = {positions, rows, columns};
    return oce_conv2d_take_product(space, extents, OCE_COUNT(extents));
}

static winograd_space place(const winograd_state *state) {
    const int64_t positions = state->w.alpha * state->w.alpha;
    const bool is_filter = state->w.pass == OCE_PASS_FILTER_GRAD;
    winograd_space at = {{0, false}, 0, 0, 0, 0};
    if (state->w.channels == 0 || state->w.filters == 0)
        return at;
    at.inputs = take_product(&at.space, positions, state->w.tiles, state->w.channels);
    at.others = take_product(&at.space, positions, is_filter ? state->w.tiles : state->w.channels,
                             state->w.filters);
    at.products = take_product(&at.space, positions, is_filter ? state->w.channels : state->w.tiles,
                               state->w.filters);
    at.partials = oce_conv2d_take(&at.space, oce_tile_product_partials(&state->product));
    return at;
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)shape, (void)x_in_place;
    const winograd_space at = place(opaque);
    return oce_conv2d_space_bytes(&at.space, bytes);
}

/* ---- Kernels ------------------------------------------------------------------------------- */

static oce_status get_kernel(const winograd_state *state, const char *name, bool is_aligned,
                             oce_kernel **kernel) {
    oce_defines defines = {0};
    oce_define(&defines, "ALPHA", state->w.alpha);
    oce_define(&defines, "TILE", state->w.tile);
    oce_define(&defines, "FILTER_BACK", state->w.pass == OCE_PASS_INPUT_GRAD);
    oce_define(&defines, "OCE_ALIGNED", is_aligned);
    return oce_kernel_get(state->device, file, name, &defines, kernel);
}

/* The kernels of the pass; the products' are in state->product. */
static oce_status check_kernels(const winograd_state *state) {
    static const char *const forward[] = {"winograd_filter", "winograd_input", "winograd_output"};
    static const char *const filter[] = {"winograd_input", "winograd_output_grad",
                                         "winograd_filter_grad"};
    for (int i = 0; i < 3; i++) {
        oce_kernel *kernel = NULL;
        const char *name = state->w.pass == OCE_PASS_FILTER_GRAD ? filter[i] : forward[i];
        OCE_TRY(get_kernel(state, name, true, &kernel));
        OCE_REQUIRE(oce_kernel_max_group(kernel) >= (size_t)(UNITS * state->w.alpha),
                    OCE_ERROR_UNSUPPORTED,
                    "kernel %s: groups of %lld items, the device allows %zu of this kernel", name,
                    (long long)(UNITS * state->w.alpha), oce_kernel_max_group(kernel));
    }
    return OCE_OK;
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    const oce_limits *limits = oce_device_limits(device);
    winograd_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    state->w = oce_winograd_pass_of(shape, pass);
    state->device = device;
    state->product.splits = 1;
    if (state->w.channels == 0 || state->w.filters == 0)
        return OCE_OK; /* dF is empty */
    OCE_TRY(check_kernels(state));
    state->product = product_of(device, state);
    state->product.asked = shape->asked.tile;
    OCE_TRY(oce_tile_product_prepare(&state->product));
    size_t bytes = 0;
    OCE_TRY(workspace_bytes(shape, state, true, &bytes));
    OCE_REQUIRE(bytes <= limits->max_allocation, OCE_ERROR_UNSUPPORTED,
                "conv2d: winograd needs a workspace of %zu bytes, the largest buffer of the device "
                "has %zu",
                bytes, limits->max_allocation);
    return OCE_OK;
}

/* Launches over units of 4 channels. */
static oce_status launch(const winograd_state *state, const char *name, bool is_aligned,
                         int64_t units, const oce_arg *args, int count) {
    oce_kernel *kernel = NULL;
    OCE_TRY(get_kernel(state, name, is_aligned, &kernel));
    const size_t alpha = (size_t)state->w.alpha;
    const oce_range range = {{oce_size_round_up((size_t)units, UNITS), alpha, 1},
                             {UNITS, alpha, 1}};
    return oce_launch(kernel, range, args, count);
}

/* ---- Running ------------------------------------------------------------------------------- */

static oce_status transform_input(const winograd_state *state, const oce_tensor *x,
                                  oce_buffer *workspace, const winograd_space *at) {
    const int64_t units = state->w.tiles * state->w.channels / 4;
    const oce_arg args[] = {oce_arg_tensor(x),
                            OCE_STRIDE_ARGS(x),
                            oce_arg_part(workspace, at->inputs),
                            oce_arg_long(state->w.tiles * state->w.channels),
                            oce_arg_int(state->w.input[0]),
                            oce_arg_int(state->w.input[1]),
                            oce_arg_int(state->w.before[0]),
                            oce_arg_int(state->w.before[1]),
                            oce_arg_int(state->w.channels),
                            oce_arg_int(state->w.grid[0]),
                            oce_arg_int(state->w.grid[1]),
                            oce_arg_int(units)};
    return launch(state, "winograd_input", oce_tensor_is_aligned(x), units, args, OCE_COUNT(args));
}

static oce_status multiply(const winograd_state *state, oce_buffer *workspace,
                           const winograd_space *at) {
    const oce_tile_operands operands = {.a = {workspace, at->inputs},
                                        .b = {workspace, at->others},
                                        .c = {workspace, at->products},
                                        .partials = {workspace, at->partials}};
    return oce_tile_product_run(&state->product, &operands);
}

static oce_status run_forward(const oce_conv2d_shape *shape, const winograd_state *state,
                              const oce_conv2d_operands *o, oce_buffer *workspace) {
    const winograd_space at = place(state);
    const bool is_forward = state->w.pass == OCE_PASS_FORWARD;
    const oce_tensor *from = is_forward ? o->x : o->y, *to = is_forward ? o->y : o->x;
    const int64_t filter_units = state->w.channels * state->w.filters / 4;
    const int64_t units = state->w.tiles * state->w.filters / 4;
    const bool bias_aligned = o->bias == NULL || o->bias->offset % 4 == 0;
    const oce_arg filter_args[] = {oce_arg_tensor(o->filter),
                                   oce_arg_part(workspace, at.others),
                                   oce_arg_long(state->w.channels * state->w.filters),
                                   oce_arg_int(shape->channels),
                                   oce_arg_int(shape->filters),
                                   oce_arg_int(filter_units)};
    const oce_arg args[] = {oce_arg_part(workspace, at.products),
                            oce_arg_long(state->w.tiles * state->w.filters),
                            oce_arg_tensor(o->bias),
                            oce_arg_tensor(to),
                            OCE_STRIDE_ARGS(to),
                            oce_arg_int(state->w.output[0]),
                            oce_arg_int(state->w.output[1]),
                            oce_arg_int(state->w.filters),
                            oce_arg_int(state->w.grid[0]),
                            oce_arg_int(state->w.grid[1]),
                            oce_arg_int(units),
                            oce_arg_int(is_forward && shape->activation == OCE_ACTIVATION_RELU)};
    OCE_TRY(launch(state, "winograd_filter", o->filter->offset % 4 == 0, filter_units, filter_args,
                   OCE_COUNT(filter_args)));
    OCE_TRY(transform_input(state, from, workspace, &at));
    OCE_TRY(multiply(state, workspace, &at));
    return launch(state, "winograd_output", oce_tensor_is_aligned(to) && bias_aligned, units, args,
                  OCE_COUNT(args));
}

static oce_status run_filter_grad(const winograd_state *state, const oce_conv2d_operands *o,
                                  oce_buffer *workspace) {
    const winograd_space at = place(state);
    const oce_tensor *dy = o->y, *df = o->filter;
    const int64_t units = state->w.tiles * state->w.filters / 4;
    const int64_t filter_units = state->w.channels * state->w.filters / 4;
    const oce_arg dy_args[] = {oce_arg_tensor(dy),
                               OCE_STRIDE_ARGS(dy),
                               oce_arg_part(workspace, at.others),
                               oce_arg_long(state->w.tiles * state->w.filters),
                               oce_arg_int(state->w.output[0]),
                               oce_arg_int(state->w.output[1]),
                               oce_arg_int(state->w.filters),
                               oce_arg_int(state->w.grid[0]),
                               oce_arg_int(state->w.grid[1]),
                               oce_arg_int(units)};
    const oce_arg df_args[] = {oce_arg_part(workspace, at.products),
                               oce_arg_long(state->w.channels * state->w.filters),
                               oce_arg_tensor(df),
                               oce_arg_int(state->w.channels),
                               oce_arg_int(state->w.filters),
                               oce_arg_int(filter_units)};
    OCE_TRY(transform_input(state, o->x, workspace, &at));
    OCE_TRY(launch(state, "winograd_output_grad", oce_tensor_is_aligned(dy), units, dy_args,
                   OCE_COUNT(dy_args)));
    OCE_TRY(multiply(state, workspace, &at));
    return launch(state, "winograd_filter_grad", df->offset % 4 == 0, filter_units, df_args,
                  OCE_COUNT(df_args));
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const winograd_state *state = opaque;
    if (state->w.pass == OCE_PASS_FILTER_GRAD)
        return run_filter_grad(state, operands, workspace);
    return run_forward(shape, state, operands, workspace);
}

const oce_conv2d_method oce_conv2d_winograd_gpu = {
    .family = OCE_CONV2D_WINOGRAD,
    .serves = serves,
    .suits = suits,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
};
