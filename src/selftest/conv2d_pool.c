/* Convolutions of both networks that give what the max pool above makes of their output. */
#include "selftest/check.h"

#include "base/status.h"
#include "ops/conv2d_pool.h"
#include "ref/ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double bound = 2e-5;

static const char *const operations[] = {"conv2d and max pool", "winners of conv2d and max pool"};

typedef struct pooled {
    oce_conv2d_desc desc;
    const oce_window *window; /* of the pool */
    oce_window_geometry pool;
    int64_t x_dim[4], f_dim[4], y_dim[4]; /* y: of the pool */
    float *x, *filter, *bias;
    float *sums, *y; /* the convolution's output, which the device never writes; expected */
} pooled;

static size_t product(const int64_t dim[4]) {
    return (size_t)(dim[0] * dim[1] * dim[2] * dim[3]);
}

static oce_status draw(oce_check *check, const oce_check_layer *l, int64_t batch, pooled *p) {
    *p = (pooled){
        .desc = oce_check_conv_desc(l, batch),
        .window = l->pool,
        .x_dim = {batch, l->input[0], l->input[1], l->input[2]},
        .f_dim = {l->layer->window.size[0], l->layer->window.size[1], l->input[2], l->output[2]},
    };
    const oce_pool_desc pool = {.kind = OCE_POOL_MAX,
                                .batch = batch,
                                .height = l->output[0],
                                .width = l->output[1],
                                .channels = l->output[2],
                                .window = *l->pool};
    const int64_t sums_dim[4] = {batch, l->output[0], l->output[1], l->output[2]};
    void *sums = NULL, *y = NULL;
    OCE_TRY(oce_window_resolve(l->pool, l->output[0], l->output[1], &p->pool));
    const int64_t y_dim[4] = {batch, p->pool.output[0], p->pool.output[1], l->output[2]};
    for (int i = 0; i < 4; i++)
        p->y_dim[i] = y_dim[i];
    OCE_TRY(oce_check_floats(check, product(p->x_dim), 0, 1, &p->x));
    OCE_TRY(oce_check_floats(check, product(p->f_dim), -0.1F, 0.1F, &p->filter));
    OCE_TRY(oce_check_floats(check, (size_t)l->output[2], -0.1F, 0.1F, &p->bias));
    OCE_TRY(oce_check_block(check, product(sums_dim) * sizeof(float), &sums));
    OCE_TRY(oce_check_block(check, product(y_dim) * sizeof(float), &y));
    p->sums = sums;
    p->y = y;
    OCE_TRY(oce_ref_conv2d_forward(&p->desc, p->x, p->filter, p->bias, p->sums));
    return oce_ref_pool_forward(&pool, p->sums, p->y, NULL);
}

/* The convolution's outputs that the winners name, which must be the maxima: where two are nearly
 * equal, rounding may prefer the other. NaN for a winner outside. */
static void values_of(const pooled *p, const uint8_t *winners, float *values) {
    const oce_window_geometry *g = &p->pool;
    const int64_t *y = p->y_dim;
    for (int64_t i = 0; i < (int64_t)product(y); i++) {
        const int64_t c = i % y[3], pixel = i / y[3], w = pixel % y[2], line = pixel / y[2],
                      h = line % y[1], n = line / y[1];
        const int64_t row = h * g->stride[0] - g->before[0] + winners[i] / g->size[1],
                      column = w * g->stride[1] - g->before[1] + winners[i] % g->size[1];
        const bool is_inside = winners[i] < g->size[0] * g->size[1] && row >= 0 &&
                               row < g->input[0] && column >= 0 && column < g->input[1];
        values[i] =
            is_inside ? p->sums[((n * g->input[0] + row) * g->input[1] + column) * y[3] + c] : NAN;
    }
}

/* With a prepared filter as in an answer, or, with winners, as in a training step. */
static oce_status run(oce_check *check, const pooled *p, oce_conv2d_plan *plan, bool answers,
                      oce_tensor *y, oce_buffer **winners) {
    const int64_t bias_dim[4] = {1, 1, 1, p->desc.filters};
    oce_tensor x, filter, bias;
    oce_buffer *workspace = NULL, *prepared = NULL;
    const size_t prepared_bytes = answers ? oce_conv2d_plan_prepared_bytes(plan) : 0;
    OCE_TRY(oce_check_tensor(check, p->x_dim, p->x, &x));
    OCE_TRY(oce_check_tensor(check, p->f_dim, p->filter, &filter));
    OCE_TRY(oce_check_tensor(check, bias_dim, p->bias, &bias));
    OCE_TRY(oce_check_tensor(check, p->y_dim, NULL, y));
    OCE_TRY(oce_check_buffer(check, oce_conv2d_plan_workspace(plan, NULL), NULL, &workspace));
    if (!answers)
        OCE_TRY(oce_check_buffer(check, product(p->y_dim), NULL, winners));
    if (prepared_bytes > 0) {
        OCE_TRY(oce_check_buffer(check, prepared_bytes, NULL, &prepared));
        OCE_TRY(oce_conv2d_prepare(plan, &filter, prepared));
    }
    return oce_conv2d_forward_pooled(plan, &x, &filter, prepared, &bias, y, *winners, workspace);
}

static void check_winners(oce_check *check, const pooled *p, oce_check_subject subject,
                          const oce_buffer *winners) {
    const size_t count = product(p->y_dim);
    uint8_t *got = malloc(count);
    float *values = malloc(count * sizeof *values);
    oce_status status = got != NULL && values != NULL
                            ? oce_buffer_read(winners, 0, got, count)
                            : oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for %zu winners", count);
    subject.operation = operations[1];
    if (status == OCE_OK) {
        values_of(p, got, values);
        oce_check_compare(check, &subject, values, p->y, p->y_dim);
    } else {
        oce_check_status(check, &subject, status);
    }
    free(got);
    free(values);
}

static void check_family(oce_check *check, const pooled *p, oce_check_subject *subject,
                         oce_conv2d_family family, bool answers) {
    oce_check_start(check);
    oce_conv2d_desc desc = p->desc;
    desc.family = family;
    desc.keeps_filter = answers;
    oce_conv2d_plan *plan = NULL;
    oce_tensor y = {0};
    oce_buffer *winners = NULL;
    oce_status status = oce_conv2d_plan_create_pooled(check->device, &desc, p->window, &plan);
    if (status == OCE_OK && plan == NULL)
        status = oce_fail(OCE_ERROR_UNSUPPORTED, "the pool has a launch of its own");
    if (status == OCE_OK)
        status = run(check, p, plan, answers, &y, &winners);
    if (status == OCE_OK && family == OCE_CONV2D_AUTO)
        snprintf(subject->family, sizeof subject->family, "auto: %s%s",
                 oce_conv2d_family_name(oce_conv2d_plan_family(plan, OCE_PASS_FORWARD)),
                 answers && oce_conv2d_plan_prepared_bytes(plan) > 0 ? ", prepared" : "");
    oce_check_tensor_is(check, subject, status, &y, p->y);
    if (status == OCE_OK && winners != NULL)
        check_winners(check, p, *subject, winners);
    oce_conv2d_plan_destroy(plan);
    oce_check_end_device(check);
}

/* Whether a network would let the convolution pool. A failure is the check's to report. */
static bool is_chosen(const oce_check *check, const oce_check_layer *l, int64_t batch) {
    const oce_conv2d_desc desc = oce_check_conv_desc(l, batch);
    oce_conv2d_plan *plan = NULL;
    const oce_status status = oce_conv2d_plan_create_pooled(check->device, &desc, l->pool, &plan);
    oce_conv2d_plan_destroy(plan);
    return status != OCE_OK || plan != NULL;
}

static oce_status check_layer(oce_check *check, const oce_check_layer *l, bool answers) {
    const int64_t batch = answers ? 1 : l->batch;
    const bool only_chosen = answers || check->options->quick;
    oce_check_subject subject = {.operation = operations[0], .bound = bound};
    snprintf(subject.shape, sizeof subject.shape,
             "%lldx%lldx%lldx%lld, %lldx%lld, %lld filters, %lldx%lld, stride %lld",
             (long long)batch, (long long)l->input[0], (long long)l->input[1],
             (long long)l->input[2], (long long)l->layer->window.size[0],
             (long long)l->layer->window.size[1], (long long)l->output[2],
             (long long)l->pool->size[0], (long long)l->pool->size[1],
             (long long)l->pool->stride[0]);
    pooled p = {.y = NULL};
    for (int family = OCE_CONV2D_AUTO; family < (only_chosen ? 1 : OCE_CONV2D_FAMILIES); family++) {
        snprintf(subject.family, sizeof subject.family, "%s",
                 oce_conv2d_family_name((oce_conv2d_family)family));
        if (!oce_check_any_wanted(check, &subject, operations, answers ? 1 : 2))
            continue;
        if (family == OCE_CONV2D_AUTO && !is_chosen(check, l, batch))
            continue;
        if (p.y == NULL)
            OCE_TRY(draw(check, l, batch, &p));
        check_family(check, &p, &subject, (oce_conv2d_family)family, answers);
    }
    return OCE_OK;
}

oce_status oce_selftest_pooled_convolutions(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    for (int i = 0; i < count; i++)
        for (int answers = 0; layers[i].pool != NULL && answers <= 1; answers++) {
            const oce_status status = check_layer(check, &layers[i], answers == 1);
            oce_check_end(check);
            OCE_TRY(status);
        }
    return OCE_OK;
}
