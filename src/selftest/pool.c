/* The pools of both networks and their gradients, maxima as there and averages too. */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <stdio.h>

static const double average_bound = 1e-6;

typedef struct pooling {
    oce_pool_desc desc;
    int64_t x_dim[4], y_dim[4];
    float *x, *dy, *relu;      /* inputs; relu: what masks the gradient, of either sign */
    float *y, *dx, *masked_dx; /* expected; masked_dx: of maxima */
} pooling;

static oce_status draw(oce_check *check, const oce_check_layer *l, oce_pool_kind kind, pooling *p) {
    *p = (pooling){.desc = {.kind = kind,
                            .batch = l->batch,
                            .height = l->input[0],
                            .width = l->input[1],
                            .channels = l->input[2],
                            .window = l->layer->window},
                   .x_dim = {l->batch, l->input[0], l->input[1], l->input[2]},
                   .y_dim = {l->batch, l->output[0], l->output[1], l->output[2]}};
    const size_t x_count = (size_t)(l->batch * l->input[0] * l->input[1] * l->input[2]);
    const size_t y_count = (size_t)(l->batch * l->output[0] * l->output[1] * l->output[2]);
    void *y = NULL, *dx = NULL, *masked = NULL;
    OCE_TRY(oce_check_floats(check, x_count, -1, 1, &p->x));
    OCE_TRY(oce_check_floats(check, y_count, -1, 1, &p->dy));
    OCE_TRY(oce_check_floats(check, y_count, -1, 1, &p->relu));
    OCE_TRY(oce_check_block(check, y_count * sizeof(float), &y));
    OCE_TRY(oce_check_block(check, x_count * sizeof(float), &dx));
    p->y = y;
    p->dx = dx;
    OCE_TRY(oce_ref_pool_forward(&p->desc, p->x, p->y, NULL));
    OCE_TRY(oce_ref_pool_grad(&p->desc, p->x, p->dy, p->dx));
    if (kind != OCE_POOL_MAX)
        return OCE_OK;
    OCE_TRY(oce_check_block(check, y_count * sizeof(float), &masked));
    OCE_TRY(oce_check_block(check, x_count * sizeof(float), &dx));
    p->masked_dx = dx;
    oce_ref_relu_grad(y_count, p->dy, p->relu, masked);
    return oce_ref_pool_grad(&p->desc, p->x, masked, p->masked_dx);
}

/* Both passes; the gradient needs the forward pass's winners. Of maxima also the gradient that a
 * ReLU below masks. */
static oce_status run(oce_check *check, const pooling *p, oce_pool_plan *plan, oce_tensor *y,
                      oce_tensor *dx, oce_tensor *masked_dx) {
    oce_tensor x, dy, relu;
    oce_buffer *winners = NULL;
    OCE_TRY(oce_check_tensor(check, p->x_dim, p->x, &x));
    OCE_TRY(oce_check_tensor(check, p->y_dim, p->dy, &dy));
    OCE_TRY(oce_check_tensor(check, p->y_dim, NULL, y));
    OCE_TRY(oce_check_tensor(check, p->x_dim, NULL, dx));
    if (p->desc.kind == OCE_POOL_MAX)
        OCE_TRY(oce_check_buffer(check, oce_pool_plan_winner_bytes(plan), NULL, &winners));
    OCE_TRY(oce_pool_forward(plan, &x, y, winners));
    OCE_TRY(oce_pool_grad(plan, &dy, winners, NULL, dx));
    if (p->desc.kind != OCE_POOL_MAX)
        return OCE_OK;
    OCE_TRY(oce_check_tensor(check, p->y_dim, p->relu, &relu));
    OCE_TRY(oce_check_tensor(check, p->x_dim, NULL, masked_dx));
    return oce_pool_grad(plan, &dy, winners, &relu, masked_dx);
}

static oce_status check_pool(oce_check *check, const oce_check_layer *l, oce_pool_kind kind) {
    static const char *const names[] = {"max pool", "average pool"};
    static const char *const gradient_names[] = {"max pool gradient", "average pool gradient"};
    oce_check_subject forward = {.operation = names[kind],
                                 .bound = kind == OCE_POOL_MAX ? 0 : average_bound};
    snprintf(forward.shape, sizeof forward.shape, "%lldx%lldx%lldx%lld, %lldx%lld, stride %lld",
             (long long)l->batch, (long long)l->input[0], (long long)l->input[1],
             (long long)l->input[2], (long long)l->layer->window.size[0],
             (long long)l->layer->window.size[1], (long long)l->layer->window.stride[0]);
    oce_check_subject gradient = forward;
    gradient.operation = gradient_names[kind];
    gradient.bound = average_bound; /* sums of gradients */
    oce_check_subject masked = gradient;
    masked.operation = "max pool and relu gradient";
    const bool is_max = kind == OCE_POOL_MAX;
    if (!oce_check_wanted(check, &forward) && !oce_check_wanted(check, &gradient) &&
        !(is_max && oce_check_wanted(check, &masked)))
        return OCE_OK;
    pooling p;
    OCE_TRY(draw(check, l, kind, &p));
    oce_check_start(check);
    oce_pool_plan *plan = NULL;
    oce_tensor y = {0}, dx = {0}, masked_dx = {0}; /* with a status that is no success, unread */
    oce_status status = oce_pool_plan_create(check->device, &p.desc, &plan);
    if (status == OCE_OK)
        status = run(check, &p, plan, &y, &dx, &masked_dx);
    oce_check_tensor_is(check, &forward, status, &y, p.y);
    oce_check_tensor_is(check, &gradient, status, &dx, p.dx);
    if (is_max)
        oce_check_tensor_is(check, &masked, status, &masked_dx, p.masked_dx);
    oce_pool_plan_destroy(plan);
    return OCE_OK;
}

oce_status oce_selftest_pools(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    for (int i = 0; i < count; i++)
        for (int kind = OCE_POOL_MAX;
             layers[i].layer->kind == OCE_LAYER_MAX_POOL && kind <= OCE_POOL_AVERAGE; kind++) {
            const oce_status status = check_pool(check, &layers[i], (oce_pool_kind)kind);
            oce_check_end(check);
            OCE_TRY(status);
        }
    return OCE_OK;
}
