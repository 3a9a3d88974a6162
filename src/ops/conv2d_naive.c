/* The naive family: one output element an item. */
#include "ops/conv2d_internal.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct naive_state {
    oce_pass pass;
    oce_kernel *kernel, *sum;
    int64_t splits; /* of the filter gradient */
} naive_state;

/* Enough partial sums that the filter gradient has this many items, if there are enough rows. */
static const int64_t wanted_items = INT64_C(1) << 15;

static size_t filter_count(const oce_conv2d_shape *shape) {
    const int64_t *f = shape->f_dim;
    return (size_t)(f[0] * f[1] * f[2] * f[3]);
}

/* Rounds of an item's loops, of the filter gradient for a row of dY, else all; those in which a
 * loop finds its end count. */
static double rounds_of(const oce_conv2d_shape *shape, oce_pass pass) {
    const oce_window_geometry *g = &shape->window;
    const int64_t depth = pass == OCE_PASS_FORWARD ? shape->channels : shape->filters;
    return pass == OCE_PASS_FILTER_GRAD
               ? (double)g->output[1] + 2
               : (double)g->size[0] * (2 + (double)g->size[1] * (2 + (double)depth));
}

static bool serves(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes) {
    const double rounds = rounds_of(shape, pass);
    if (limits->loop_rounds == INT64_MAX || rounds <= (double)limits->loop_rounds)
        return true;
    snprintf(reason, reason_bytes,
             "a sum takes %.0f rounds of a loop, and the driver may break loops off after %lld",
             rounds, (long long)limits->loop_rounds);
    return false;
}

static int64_t split_count(const oce_conv2d_shape *shape, const oce_limits *limits) {
    const int64_t rows = shape->batch * shape->window.output[0];
    const int64_t count = (int64_t)filter_count(shape);
    int64_t splits = count > 0 ? wanted_items / count : 1;
    if (limits->loop_rounds < INT64_MAX) { /* each as short as the driver needs */
        const int64_t most = limits->loop_rounds / (shape->window.output[1] + 2);
        splits = oce_max_int64(splits, oce_ceil_div(rows, oce_max_int64(most, 1)));
    }
    if (splits > rows)
        splits = rows;
    return splits > 1 ? splits : 1;
}

static oce_status prepare(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **result) {
    const char *name = pass == OCE_PASS_FORWARD      ? "naive_forward"
                       : pass == OCE_PASS_INPUT_GRAD ? "naive_input_grad"
                                                     : "naive_filter_grad";
    naive_state *state = calloc(1, sizeof *state);
    OCE_REQUIRE(state != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    *result = state;
    state->pass = pass;
    state->splits = split_count(shape, oce_device_limits(device));
    OCE_TRY(oce_kernel_get(device, "conv2d_naive.cl", "naive_sum", NULL, &state->sum));
    return oce_kernel_get(device, "conv2d_naive.cl", name, NULL, &state->kernel);
}

static oce_status workspace_bytes(const oce_conv2d_shape *shape, const void *opaque,
                                  bool x_in_place, size_t *bytes) {
    (void)x_in_place;
    const naive_state *state = opaque;
    oce_conv2d_space space = {0, false};
    if (state->pass == OCE_PASS_FILTER_GRAD) /* both below 2^31 */
        oce_conv2d_take(&space, (size_t)state->splits * filter_count(shape));
    return oce_conv2d_space_bytes(&space, bytes);
}

#define WINDOW(g)                                                                                  \
    oce_arg_int((g)->size[0]), oce_arg_int((g)->size[1]), oce_arg_int((g)->stride[0]),             \
        oce_arg_int((g)->stride[1]), oce_arg_int((g)->dilation[0]), oce_arg_int((g)->dilation[1]), \
        oce_arg_int((g)->before[0]), oce_arg_int((g)->before[1])

/* Items along dimension 0 in groups that the launch path chooses. */
static oce_range items(int64_t a, int64_t b, int64_t c) {
    return (oce_range){{(size_t)a, (size_t)b, (size_t)c}, {0, 1, 1}};
}

static oce_status run_forward(const oce_conv2d_shape *shape, const naive_state *state,
                              const oce_conv2d_operands *o) {
    const oce_window_geometry *g = &shape->window;
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            oce_arg_tensor(o->filter),
                            oce_arg_tensor(o->bias),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            WINDOW(g),
                            oce_arg_int(g->input[0]),
                            oce_arg_int(g->input[1]),
                            oce_arg_int(shape->channels),
                            oce_arg_int(g->output[1]),
                            oce_arg_int(shape->filters),
                            oce_arg_int(shape->activation == OCE_ACTIVATION_RELU)};
    return oce_launch(state->kernel,
                      items(g->output[1] * shape->filters, g->output[0], shape->batch), args,
                      OCE_COUNT(args));
}

static oce_status run_input_grad(const oce_conv2d_shape *shape, const naive_state *state,
                                 const oce_conv2d_operands *o) {
    const oce_window_geometry *g = &shape->window;
    const oce_arg args[] = {
        oce_arg_tensor(o->y),      OCE_STRIDE_ARGS(o->y),        oce_arg_tensor(o->filter),
        oce_arg_tensor(o->x),      OCE_STRIDE_ARGS(o->x),        WINDOW(g),
        oce_arg_int(g->input[1]),  oce_arg_int(shape->channels), oce_arg_int(g->output[0]),
        oce_arg_int(g->output[1]), oce_arg_int(shape->filters)};
    return oce_launch(state->kernel,
                      items(g->input[1] * shape->channels, g->input[0], shape->batch), args,
                      OCE_COUNT(args));
}

static oce_status run_filter_grad(const oce_conv2d_shape *shape, const naive_state *state,
                                  const oce_conv2d_operands *o, oce_buffer *workspace) {
    const oce_window_geometry *g = &shape->window;
    const int64_t count = (int64_t)filter_count(shape);
    const oce_arg args[] = {oce_arg_tensor(o->x),
                            OCE_STRIDE_ARGS(o->x),
                            oce_arg_tensor(o->y),
                            OCE_STRIDE_ARGS(o->y),
                            oce_arg_part(workspace, 0),
                            WINDOW(g),
                            oce_arg_int(g->input[0]),
                            oce_arg_int(g->input[1]),
                            oce_arg_int(shape->channels),
                            oce_arg_int(g->output[0]),
                            oce_arg_int(g->output[1]),
                            oce_arg_int(shape->filters),
                            oce_arg_long(shape->batch * g->output[0]),
                            oce_arg_int(state->splits)};
    OCE_TRY(oce_launch(state->kernel, items(count, state->splits, 1), args, OCE_COUNT(args)));
    const oce_arg sum_args[] = {oce_arg_part(workspace, 0), oce_arg_tensor(o->filter),
                                oce_arg_int(count), oce_arg_int(state->splits)};
    return oce_launch(state->sum, oce_range_items(count), sum_args, OCE_COUNT(sum_args));
}

static oce_status run(const oce_conv2d_shape *shape, const void *opaque,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const naive_state *state = opaque;
    if (state->pass == OCE_PASS_FORWARD)
        return run_forward(shape, state, operands);
    if (state->pass == OCE_PASS_INPUT_GRAD)
        return run_input_grad(shape, state, operands);
    return run_filter_grad(shape, state, operands, workspace);
}

const oce_conv2d_method oce_conv2d_naive = {
    .family = OCE_CONV2D_NAIVE,
    .serves = serves,
    .prepare = prepare,
    .workspace = workspace_bytes,
    .run = run,
};
