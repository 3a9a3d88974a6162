/* ocelli bench conv, gemm, pool: one operation at the networks' shapes, or at a user's own. */
#include "cli/bench.h"

#include <inttypes.h>

typedef struct named_pass {
    int choice;
    oce_pass pass;
    const char *name;
} named_pass;

static const named_pass passes[] = {{PASS_FORWARD, OCE_PASS_FORWARD, "fwd"},
                                    {PASS_INPUT_GRAD, OCE_PASS_INPUT_GRAD, "dgrad"},
                                    {PASS_FILTER_GRAD, OCE_PASS_FILTER_GRAD, "wgrad"}};
enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

/* Whether a pass is to be measured; `unwanted` is left out unless it was asked for. */
static bool is_wanted(const bench_session *s, const named_pass *pass, oce_pass unwanted) {
    return s->given->pass == PASS_ALL ? pass->pass != unwanted : s->given->pass == pass->choice;
}

static oce_status add_conv(bench_session *s, const char *name, const oce_conv2d_desc *desc,
                           bool is_first) {
    char shape[BENCH_CONV_TEXT], what[BENCH_CONV_TEXT + 64];
    bench_conv_text(desc, desc->batch, shape, sizeof shape);
    snprintf(what, sizeof what, "%.63s%s", name, shape);
    for (int i = 0; i < PASS_COUNT; i++) {
        oce_bench *bench = NULL;
        if (!is_wanted(s, &passes[i], is_first ? OCE_PASS_INPUT_GRAD : (oce_pass)0) ||
            (desc->keeps_filter && passes[i].pass != OCE_PASS_FORWARD))
            continue;
        oce_status status = oce_bench_conv2d(s->device, desc, passes[i].pass, &bench);
        if (status == OCE_OK)
            status = bench_add(s, what, passes[i].name, bench);
        if (status != OCE_OK)
            return status;
    }
    return OCE_OK;
}

static oce_status add_gemm(bench_session *s, const char *name, const char *pass,
                           const oce_gemm_desc *desc) {
    char shape[BENCH_GEMM_TEXT], what[BENCH_GEMM_TEXT + 64];
    oce_bench *bench = NULL;
    bench_gemm_text(desc, shape, sizeof shape);
    snprintf(what, sizeof what, "%.63s%s", name, shape);
    const oce_status status = oce_bench_gemm(s->device, desc, &bench);
    return status == OCE_OK ? bench_add(s, what, pass, bench) : status;
}

static oce_status add_pool(bench_session *s, const char *name, const oce_pool_desc *desc) {
    char window[96], what[192];
    bench_window_text(&desc->window, window, sizeof window);
    snprintf(what, sizeof what, "%s%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 ", %s %s", name,
             desc->batch, desc->height, desc->width, desc->channels,
             desc->kind == OCE_POOL_MAX ? "max" : "average", window);
    for (int i = 0; i < PASS_COUNT; i++) {
        oce_bench *bench = NULL;
        if (!is_wanted(s, &passes[i], OCE_PASS_FILTER_GRAD))
            continue;
        oce_status status = oce_bench_pool(s->device, desc, passes[i].pass, &bench);
        if (status == OCE_OK)
            status = bench_add(s, what, passes[i].name, bench);
        if (status != OCE_OK)
            return status;
    }
    return OCE_OK;
}

/* A layer's name in front of its shape. */
static const char *prefix(const bench_layer *at, char *text, size_t bytes) {
    snprintf(text, bytes, "%s ", at->layer->name);
    return text;
}

static oce_status visit_conv(void *context, const bench_layer *at) {
    bench_session *s = context;
    char name[64];
    if (at->layer->kind != OCE_LAYER_CONV2D)
        return OCE_OK;
    const oce_conv2d_desc desc = bench_conv(at, s->given);
    return add_conv(s, prefix(at, name, sizeof name), &desc, at->is_first);
}

/* The three products of a dense layer. */
static oce_status visit_dense(void *context, const bench_layer *at) {
    bench_session *s = context;
    char name[64];
    if (at->layer->kind != OCE_LAYER_DENSE)
        return OCE_OK;
    const oce_dense_desc dense = bench_dense(s->device, at, (oce_gemm_family)s->given->model.gemm);
    oce_status status = OCE_OK;
    for (int i = 0; i < PASS_COUNT && status == OCE_OK; i++) {
        const oce_gemm_desc desc = oce_dense_product(&dense, passes[i].pass);
        if (is_wanted(s, &passes[i], (oce_pass)0))
            status = add_gemm(s, prefix(at, name, sizeof name), passes[i].name, &desc);
    }
    return status;
}

static oce_status visit_pool(void *context, const bench_layer *at) {
    bench_session *s = context;
    char name[64];
    if (at->layer->kind != OCE_LAYER_MAX_POOL && at->layer->kind != OCE_LAYER_AVERAGE_POOL)
        return OCE_OK;
    const oce_pool_desc desc = {.kind = at->layer->kind == OCE_LAYER_MAX_POOL ? OCE_POOL_MAX
                                                                              : OCE_POOL_AVERAGE,
                                .batch = at->batch,
                                .height = at->height,
                                .width = at->width,
                                .channels = at->channels,
                                .window = at->layer->window};
    return add_pool(s, prefix(at, name, sizeof name), &desc);
}

static oce_status visit_networks(bench_session *s,
                                 oce_status (*visit)(void *context, const bench_layer *layer)) {
    const oce_status status = bench_visit_layers("mnist", s->given->model.batch, visit, s);
    return status == OCE_OK ? bench_visit_layers("cifar10", s->given->model.batch, visit, s)
                            : status;
}

static int print(const bench_session *s, oce_status status) {
    if (status != OCE_OK)
        return cli_failure();
    if (s->table != NULL)
        bench_print_rows(s);
    return CLI_SUCCESS;
}

int bench_run_conv(bench_session *s) {
    oce_conv2d_desc desc;
    const bool is_own = s->given->shape != NULL;
    if (is_own && !bench_conv_shape(s->call, &desc))
        return CLI_USAGE;
    oce_status status = bench_open(s);
    if (status == OCE_OK)
        status = bench_measure_peak(s);
    if (status == OCE_OK)
        status = is_own ? add_conv(s, "", &desc, false) : visit_networks(s, visit_conv);
    return print(s, status);
}

int bench_run_gemm(bench_session *s) {
    oce_gemm_desc desc;
    const bool is_own = s->given->shape != NULL;
    if (is_own && !bench_gemm_shape(s->call, &desc))
        return CLI_USAGE;
    if (is_own && s->given->pass != PASS_ALL)
        return cli_usage_error(s->call->verb, "a product has no --pass; ta=1 and tb=1 transpose");
    oce_status status = bench_open(s);
    if (status == OCE_OK)
        status = bench_measure_peak(s);
    if (status == OCE_OK)
        status = is_own ? add_gemm(s, "", "", &desc) : visit_networks(s, visit_dense);
    return print(s, status);
}

int bench_run_pool(bench_session *s) {
    oce_pool_desc desc;
    const bool is_own = s->given->shape != NULL;
    if (is_own && !bench_pool_shape(s->call, &desc))
        return CLI_USAGE;
    if (s->given->pass == PASS_FILTER_GRAD)
        return cli_usage_error(s->call->verb, "pooling has no filter: --pass is fwd or dgrad");
    oce_status status = bench_open(s);
    if (status == OCE_OK)
        status = bench_measure_peak(s);
    if (status == OCE_OK)
        status = is_own ? add_pool(s, "", &desc) : visit_networks(s, visit_pool);
    return print(s, status);
}
