/* The operations of `ocelli op`: shapes checked, device memory made, one call of the library. */
#include "cli/op.h"

#include "cli/options.h"

#include <ocelli/elementwise.h>
#include <ocelli/softmax.h>

#include <stdio.h>
#include <string.h>

/* Ends the calling function with the library's message if the call fails. */
#define OP_TRY(call)                                                                               \
    do {                                                                                           \
        if ((call) != OCE_OK)                                                                      \
            return cli_failure();                                                                  \
    } while (0)

/* Ends it with what a check or another step returns, unless that is success. */
#define OP_CHECK(call)                                                                             \
    do {                                                                                           \
        const int op_code_ = (call);                                                               \
        if (op_code_ != CLI_SUCCESS)                                                               \
            return op_code_;                                                                       \
    } while (0)

/* ---- Checks -------------------------------------------------------------------------------- */

static const char *shape_of(const op_operand *operand, char text[96]) {
    return oce_shape_text(operand->rank, operand->shape, text, 96);
}

static int need_rank(const op_run *run, int input, const char *name, int rank,
                     const char *meaning) {
    char shape[96];
    if (run->inputs[input].rank == rank)
        return CLI_SUCCESS;
    return cli_error("%s (%s) must be %s, but has the shape %s", name, run->inputs[input].path,
                     meaning, shape_of(&run->inputs[input], shape));
}

static int need_same_shape(const op_run *run, const char *first, const char *second) {
    const op_operand *a = &run->inputs[0], *b = &run->inputs[1];
    char one[96], other[96];
    if (a->rank == b->rank &&
        (a->rank == 0 || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0))
        return CLI_SUCCESS;
    return cli_error("%s has the shape %s, %s the shape %s: they must be equal", first,
                     shape_of(a, one), second, shape_of(b, other));
}

/* A bias as third input is a vector with an element for each of `count` columns of the result. */
static int check_bias(const op_run *run, int64_t count) {
    const op_operand *bias = &run->inputs[2];
    char shape[96];
    if (run->input_count < 3 || (bias->rank == 1 && bias->shape[0] == count))
        return CLI_SUCCESS;
    return cli_error("bias (%s) must be [%lld], but has the shape %s", bias->path, (long long)count,
                     shape_of(bias, shape));
}

/* --window may be given beside a filter, if it says the same. */
static int check_window(const op_run *run, const op_operand *filter) {
    const int64_t *size = run->settings->window.size, *f = filter->shape;
    if (size[0] == 0 || (size[0] == f[0] && size[1] == f[1]))
        return CLI_SUCCESS;
    return cli_error("--window is %lldx%lld, but the filter (%s) is %lldx%lld", (long long)size[0],
                     (long long)size[1], filter->path, (long long)f[0], (long long)f[1]);
}

/* The size of an input of which only the gradient of the output is there: without --input-size, of
 * the output. */
static void find_input_size(const op_run *run, const op_operand *dy, int64_t size[2]) {
    const op_settings *s = run->settings;
    size[0] = s->input_size[0] > 0 ? s->input_size[0] : dy->shape[1];
    size[1] = s->input_size[0] > 0 ? s->input_size[1] : dy->shape[2];
}

/* ---- Convolution --------------------------------------------------------------------------- */

/* Plans one pass and makes its workspace. */
static int plan_conv(op_run *run, oce_conv2d_desc *desc, oce_pass pass) {
    desc->family = run->settings->conv;
    desc->gemm_family = run->settings->gemm;
    desc->no_winograd = run->settings->no_winograd;
    OP_TRY(oce_conv2d_plan_create(run->device, desc, pass, &run->conv));
    snprintf(run->family, sizeof run->family, "%s",
             oce_conv2d_family_name(oce_conv2d_plan_family(run->conv, pass)));
    OP_TRY(oce_buffer_create(run->device, oce_conv2d_plan_workspace(run->conv, NULL),
                             &run->workspace));
    return CLI_SUCCESS;
}

/* The description of a convolution of x-like extents with a filter. */
static oce_conv2d_desc describe_conv(const op_run *run, const int64_t x[4], const int64_t f[4]) {
    oce_conv2d_desc desc = {.batch = x[0],
                            .height = x[1],
                            .width = x[2],
                            .channels = x[3],
                            .filters = f[3],
                            .window = run->settings->window};
    desc.window.size[0] = f[0];
    desc.window.size[1] = f[1];
    return desc;
}

static int conv2d(op_run *run) {
    OP_CHECK(need_rank(run, 0, "x", 4, "[N,H,W,C]"));
    OP_CHECK(need_rank(run, 1, "filter", 4, "[R,S,C,K]"));
    const int64_t *x = run->inputs[0].shape, *f = run->inputs[1].shape;
    if (f[2] != x[3])
        return cli_error("x has %lld channels, the filter is for %lld", (long long)x[3],
                         (long long)f[2]);
    OP_CHECK(check_window(run, &run->inputs[1]));
    OP_CHECK(check_bias(run, f[3]));
    oce_conv2d_desc desc = describe_conv(run, x, f);
    desc.activation = run->settings->relu ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE;
    OP_CHECK(plan_conv(run, &desc, OCE_PASS_FORWARD));
    const oce_window_geometry *g = oce_conv2d_plan_geometry(run->conv);
    const int64_t shape[4] = {x[0], g->output[0], g->output[1], f[3]};
    OP_TRY(op_make_output(run, 4, shape));
    OP_TRY(oce_conv2d_forward(run->conv, &run->inputs[0].tensor, &run->inputs[1].tensor,
                              run->input_count == 3 ? &run->inputs[2].tensor : NULL,
                              &run->output.tensor, run->workspace));
    return CLI_SUCCESS;
}

static int conv2d_input_grad(op_run *run) {
    OP_CHECK(need_rank(run, 0, "dy", 4, "[N,OH,OW,K]"));
    OP_CHECK(need_rank(run, 1, "filter", 4, "[R,S,C,K]"));
    const int64_t *dy = run->inputs[0].shape, *f = run->inputs[1].shape;
    int64_t size[2];
    OP_CHECK(check_window(run, &run->inputs[1]));
    find_input_size(run, &run->inputs[0], size);
    const int64_t shape[4] = {dy[0], size[0], size[1], f[2]};
    oce_conv2d_desc desc = describe_conv(run, shape, f);
    OP_CHECK(plan_conv(run, &desc, OCE_PASS_INPUT_GRAD));
    OP_TRY(op_make_output(run, 4, shape));
    OP_TRY(oce_conv2d_input_grad(run->conv, &run->inputs[0].tensor, &run->inputs[1].tensor,
                                 &run->output.tensor, run->workspace));
    return CLI_SUCCESS;
}

static int conv2d_filter_grad(op_run *run) {
    OP_CHECK(need_rank(run, 0, "x", 4, "[N,H,W,C]"));
    OP_CHECK(need_rank(run, 1, "dy", 4, "[N,OH,OW,K]"));
    const int64_t *x = run->inputs[0].shape, *dy = run->inputs[1].shape;
    const int64_t *size = run->settings->window.size;
    const int64_t shape[4] = {size[0], size[1], x[3], dy[3]};
    oce_conv2d_desc desc = describe_conv(run, x, shape);
    OP_CHECK(plan_conv(run, &desc, OCE_PASS_FILTER_GRAD));
    OP_TRY(op_make_output(run, 4, shape));
    OP_TRY(oce_conv2d_filter_grad(run->conv, &run->inputs[0].tensor, &run->inputs[1].tensor,
                                  &run->output.tensor, run->workspace));
    return CLI_SUCCESS;
}

/* ---- Pooling ------------------------------------------------------------------------------- */

static int plan_pool(op_run *run, oce_pool_kind kind, const int64_t x[4]) {
    const oce_pool_desc desc = {.kind = kind,
                                .batch = x[0],
                                .height = x[1],
                                .width = x[2],
                                .channels = x[3],
                                .window = run->settings->window};
    OP_TRY(oce_pool_plan_create(run->device, &desc, &run->pool));
    return CLI_SUCCESS;
}

static int pool(op_run *run, oce_pool_kind kind) {
    OP_CHECK(need_rank(run, 0, "x", 4, "[N,H,W,C]"));
    const int64_t *x = run->inputs[0].shape;
    OP_CHECK(plan_pool(run, kind, x));
    const oce_window_geometry *g = oce_pool_plan_geometry(run->pool);
    const int64_t shape[4] = {x[0], g->output[0], g->output[1], x[3]};
    OP_TRY(op_make_output(run, 4, shape));
    OP_TRY(oce_pool_forward(run->pool, &run->inputs[0].tensor, &run->output.tensor, NULL));
    return CLI_SUCCESS;
}

static int max_pool(op_run *run) {
    return pool(run, OCE_POOL_MAX);
}

static int avg_pool(op_run *run) {
    return pool(run, OCE_POOL_AVERAGE);
}

/* The winners come from a forward pass over x, whose own output is given back at once. */
static int find_winners(op_run *run) {
    const oce_window_geometry *g = oce_pool_plan_geometry(run->pool);
    const int64_t *x = run->inputs[0].shape;
    const int64_t shape[4] = {x[0], g->output[0], g->output[1], x[3]};
    oce_tensor y;
    OP_TRY(oce_buffer_create(run->device, oce_pool_plan_winner_bytes(run->pool), &run->winners));
    OP_TRY(oce_tensor_create(run->device, shape, NULL, &y));
    const oce_status status = oce_pool_forward(run->pool, &run->inputs[0].tensor, &y, run->winners);
    oce_tensor_release(&y);
    return status == OCE_OK ? CLI_SUCCESS : cli_failure();
}

static int max_pool_grad(op_run *run) {
    OP_CHECK(need_rank(run, 0, "x", 4, "[N,H,W,C]"));
    OP_CHECK(need_rank(run, 1, "dy", 4, "[N,OH,OW,C]"));
    OP_CHECK(plan_pool(run, OCE_POOL_MAX, run->inputs[0].shape));
    OP_CHECK(find_winners(run));
    OP_TRY(op_make_output(run, 4, run->inputs[0].shape));
    OP_TRY(
        oce_pool_grad(run->pool, &run->inputs[1].tensor, run->winners, NULL, &run->output.tensor));
    return CLI_SUCCESS;
}

static int avg_pool_grad(op_run *run) {
    OP_CHECK(need_rank(run, 0, "dy", 4, "[N,OH,OW,C]"));
    const int64_t *dy = run->inputs[0].shape;
    int64_t size[2];
    find_input_size(run, &run->inputs[0], size);
    const int64_t shape[4] = {dy[0], size[0], size[1], dy[3]};
    OP_CHECK(plan_pool(run, OCE_POOL_AVERAGE, shape));
    OP_TRY(op_make_output(run, 4, shape));
    OP_TRY(oce_pool_grad(run->pool, &run->inputs[0].tensor, NULL, NULL, &run->output.tensor));
    return CLI_SUCCESS;
}

/* ---- Products, rows ------------------------------------------------------------------------ */

static int gemm(op_run *run) {
    const op_settings *s = run->settings;
    OP_CHECK(need_rank(run, 0, "a", 2, s->transpose_a ? "[K,M]" : "[M,K]"));
    OP_CHECK(need_rank(run, 1, "b", 2, s->transpose_b ? "[N,K]" : "[K,N]"));
    const int64_t *a = run->inputs[0].shape, *b = run->inputs[1].shape;
    const oce_gemm_desc desc = {
        .m = a[s->transpose_a ? 1 : 0],
        .k = a[s->transpose_a ? 0 : 1],
        .n = b[s->transpose_b ? 0 : 1],
        .transpose_a = s->transpose_a,
        .transpose_b = s->transpose_b,
        .activation = s->relu ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
        .family = s->gemm,
    };
    if (b[s->transpose_b ? 1 : 0] != desc.k)
        return cli_error("a has %lld columns (after its transposition), b %lld rows",
                         (long long)desc.k, (long long)b[s->transpose_b ? 1 : 0]);
    OP_CHECK(check_bias(run, desc.n));
    const int64_t shape[2] = {desc.m, desc.n};
    OP_TRY(oce_gemm_plan_create(run->device, &desc, &run->gemm));
    snprintf(run->family, sizeof run->family, "%s",
             oce_gemm_family_name(oce_gemm_plan_family(run->gemm)));
    OP_TRY(op_make_output(run, 2, shape));
    OP_TRY(oce_buffer_create(run->device, oce_gemm_plan_workspace(run->gemm), &run->workspace));
    OP_TRY(oce_gemm_run(run->gemm, &run->inputs[0].tensor, &run->inputs[1].tensor,
                        run->input_count == 3 ? &run->inputs[2].tensor : NULL, &run->output.tensor,
                        run->workspace));
    return CLI_SUCCESS;
}

static int softmax(op_run *run) {
    OP_CHECK(need_rank(run, 0, "logits", 2, "[rows,classes]"));
    OP_TRY(op_make_output(run, 2, run->inputs[0].shape));
    OP_TRY(oce_softmax(run->device, &run->inputs[0].tensor, &run->output.tensor));
    return CLI_SUCCESS;
}

/* Losses and gradient of one call; which of them is the output is the operation's name. */
static int cross_entropy(op_run *run, bool wants_gradient) {
    OP_CHECK(need_rank(run, 0, "logits", 2, "[rows,classes]"));
    OP_CHECK(need_same_shape(run, "logits", "labels"));
    const int64_t *shape = run->inputs[0].shape;
    const int64_t losses_dim[4] = {1, 1, 1, shape[0]};
    oce_tensor losses = {0};
    OP_TRY(op_make_output(run, wants_gradient ? 2 : 1, shape));
    if (wants_gradient)
        OP_TRY(oce_tensor_create(run->device, losses_dim, NULL, &losses));
    const oce_status status =
        oce_softmax_xent(run->device, &run->inputs[0].tensor, &run->inputs[1].tensor, 1,
                         wants_gradient ? &losses : &run->output.tensor,
                         wants_gradient ? &run->output.tensor : NULL);
    oce_tensor_release(&losses);
    return status == OCE_OK ? CLI_SUCCESS : cli_failure();
}

static int softmax_xent(op_run *run) {
    return cross_entropy(run, false);
}

static int softmax_xent_grad(op_run *run) {
    return cross_entropy(run, true);
}

static int bias_grad(op_run *run) {
    const op_operand *dy = &run->inputs[0];
    if (dy->rank < 1)
        return cli_error("dy is a scalar: it needs at least one extent");
    const int64_t columns = dy->shape[dy->rank - 1];
    int64_t rows = 1;
    for (int i = 0; i + 1 < dy->rank; i++)
        rows *= dy->shape[i];
    OP_TRY(op_make_output(run, 1, &columns));
    OP_TRY(oce_buffer_create(run->device, oce_bias_grad_workspace(rows, columns), &run->workspace));
    OP_TRY(oce_bias_grad(run->device, &dy->tensor, &run->output.tensor, run->workspace));
    return CLI_SUCCESS;
}

/* ---- Elements ------------------------------------------------------------------------------ */

static int make_output_like_first(op_run *run) {
    OP_TRY(op_make_output(run, run->inputs[0].rank, run->inputs[0].shape));
    return CLI_SUCCESS;
}

static int relu(op_run *run) {
    OP_CHECK(make_output_like_first(run));
    OP_TRY(oce_relu_forward(run->device, &run->inputs[0].tensor, &run->output.tensor));
    return CLI_SUCCESS;
}

static int relu_grad(op_run *run) {
    OP_CHECK(need_same_shape(run, "dy", "y"));
    OP_CHECK(make_output_like_first(run));
    OP_TRY(oce_relu_grad(run->device, &run->inputs[0].tensor, &run->inputs[1].tensor,
                         &run->output.tensor));
    return CLI_SUCCESS;
}

static int dropout(op_run *run) {
    const op_settings *s = run->settings;
    const oce_dropout mask = {.keep_prob = (float)s->keep_prob,
                              .seed = s->seed,
                              .step = (uint32_t)s->step,
                              .layer = (uint32_t)s->layer};
    OP_CHECK(make_output_like_first(run));
    OP_TRY(oce_dropout_apply(run->device, &mask, &run->inputs[0].tensor, &run->output.tensor));
    return CLI_SUCCESS;
}

/* y += x works in place: the sum is in the second input, which becomes the output. */
static int add(op_run *run) {
    OP_CHECK(need_same_shape(run, "x", "y"));
    OP_TRY(oce_add(run->device, &run->inputs[0].tensor, &run->inputs[1].tensor));
    run->output = run->inputs[1];
    run->inputs[1] = (op_operand){0};
    return CLI_SUCCESS;
}

const char *const op_names[OP_KINDS + 1] = {
    [OP_CONV2D] = "conv2d",
    [OP_CONV2D_INPUT_GRAD] = "conv2d_input_grad",
    [OP_CONV2D_FILTER_GRAD] = "conv2d_filter_grad",
    [OP_MAX_POOL] = "max_pool",
    [OP_MAX_POOL_GRAD] = "max_pool_grad",
    [OP_AVG_POOL] = "avg_pool",
    [OP_AVG_POOL_GRAD] = "avg_pool_grad",
    [OP_GEMM] = "gemm",
    [OP_SOFTMAX] = "softmax",
    [OP_SOFTMAX_XENT] = "softmax_xent",
    [OP_SOFTMAX_XENT_GRAD] = "softmax_xent_grad",
    [OP_BIAS_GRAD] = "bias_grad",
    [OP_RELU] = "relu",
    [OP_RELU_GRAD] = "relu_grad",
    [OP_DROPOUT] = "dropout",
    [OP_ADD] = "add",
};

const op_kind op_kinds[OP_KINDS] = {
    [OP_CONV2D] = {2, 3, "x [N,H,W,C], filter [R,S,C,K] and, if wanted, bias [K]", conv2d},
    [OP_CONV2D_INPUT_GRAD] = {2, 2, "dy [N,OH,OW,K], filter [R,S,C,K]", conv2d_input_grad},
    [OP_CONV2D_FILTER_GRAD] = {2, 2, "x [N,H,W,C], dy [N,OH,OW,K]", conv2d_filter_grad},
    [OP_MAX_POOL] = {1, 1, "x [N,H,W,C]", max_pool},
    [OP_MAX_POOL_GRAD] = {2, 2, "x [N,H,W,C], dy [N,OH,OW,C]", max_pool_grad},
    [OP_AVG_POOL] = {1, 1, "x [N,H,W,C]", avg_pool},
    [OP_AVG_POOL_GRAD] = {1, 1, "dy [N,OH,OW,C]", avg_pool_grad},
    [OP_GEMM] = {2, 3, "a [M,K], b [K,N] and, if wanted, bias [N]", gemm},
    [OP_SOFTMAX] = {1, 1, "logits [rows,classes]", softmax},
    [OP_SOFTMAX_XENT] = {2, 2, "logits and labels, both [rows,classes]", softmax_xent},
    [OP_SOFTMAX_XENT_GRAD] = {2, 2, "logits and labels, both [rows,classes]", softmax_xent_grad},
    [OP_BIAS_GRAD] = {1, 1, "dy [...,K]", bias_grad},
    [OP_RELU] = {1, 1, "x", relu},
    [OP_RELU_GRAD] = {2, 2, "dy and the ReLU's output y", relu_grad},
    [OP_DROPOUT] = {1, 1, "x", dropout},
    [OP_ADD] = {2, 2, "x, y", add},
};
