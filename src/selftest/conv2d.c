/* Convolutions of both networks, each pass in each family, and as an answer to one image runs them.
 */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <stdio.h>

/* Float32 sums of up to 131,072 products, and Winograd's transforms, against sums in double. */
static const double plain_bound = 2e-5, gradient_bound = 1e-4;

typedef struct passes {
    oce_conv2d_desc desc;
    int64_t x_dim[4], f_dim[4], y_dim[4];
    float *x, *filter, *bias, *dy; /* inputs */
    float *expected;               /* of the pass at hand */
} passes;

static const struct {
    oce_pass pass;
    const char *operation;
    double bound;
} kinds[] = {{OCE_PASS_FORWARD, "conv2d", plain_bound},
             {OCE_PASS_INPUT_GRAD, "conv2d input gradient", gradient_bound},
             {OCE_PASS_FILTER_GRAD, "conv2d filter gradient", gradient_bound}};

static int64_t product(const int64_t dim[4]) {
    return dim[0] * dim[1] * dim[2] * dim[3];
}

/* Activations as a ReLU leaves them, weights and gradients of either sign. */
static oce_status draw(oce_check *check, const oce_check_layer *l, int64_t batch, passes *p) {
    *p = (passes){
        .desc = oce_check_conv_desc(l, batch),
        .x_dim = {batch, l->input[0], l->input[1], l->input[2]},
        .f_dim = {l->layer->window.size[0], l->layer->window.size[1], l->input[2], l->output[2]},
        .y_dim = {batch, l->output[0], l->output[1], l->output[2]},
    };
    const size_t y_count = (size_t)product(p->y_dim), x_count = (size_t)product(p->x_dim);
    void *expected = NULL;
    OCE_TRY(oce_check_floats(check, x_count, 0, 1, &p->x));
    OCE_TRY(oce_check_floats(check, (size_t)product(p->f_dim), -0.1F, 0.1F, &p->filter));
    OCE_TRY(oce_check_floats(check, (size_t)l->output[2], -0.1F, 0.1F, &p->bias));
    OCE_TRY(oce_check_floats(check, y_count, -1, 1, &p->dy));
    OCE_TRY(oce_check_block(check,
                            (x_count > y_count ? x_count : y_count) * sizeof(float) +
                                (size_t)product(p->f_dim) * sizeof(float),
                            &expected));
    p->expected = expected;
    return OCE_OK;
}

static oce_status reference(const passes *p, oce_pass pass) {
    if (pass == OCE_PASS_FORWARD)
        return oce_ref_conv2d_forward(&p->desc, p->x, p->filter, p->bias, p->expected);
    if (pass == OCE_PASS_INPUT_GRAD)
        return oce_ref_conv2d_input_grad(&p->desc, p->dy, p->filter, p->expected);
    return oce_ref_conv2d_filter_grad(&p->desc, p->x, p->dy, p->expected);
}

/* Runs one pass on the device; *result is its output. */
static oce_status run(oce_check *check, const passes *p, oce_pass pass, oce_conv2d_plan *plan,
                      oce_tensor *result) {
    const int64_t bias_dim[4] = {1, 1, 1, p->desc.filters};
    oce_tensor x, filter, bias, y;
    oce_buffer *workspace = NULL, *prepared = NULL;
    const size_t prepared_bytes = p->desc.keeps_filter ? oce_conv2d_plan_prepared_bytes(plan) : 0;
    const bool writes_x = pass == OCE_PASS_INPUT_GRAD, writes_y = pass == OCE_PASS_FORWARD,
               writes_filter = pass == OCE_PASS_FILTER_GRAD;
    OCE_TRY(oce_check_tensor(check, p->x_dim, writes_x ? NULL : p->x, &x));
    OCE_TRY(oce_check_tensor(check, p->f_dim, writes_filter ? NULL : p->filter, &filter));
    OCE_TRY(oce_check_tensor(check, bias_dim, p->bias, &bias));
    OCE_TRY(oce_check_tensor(check, p->y_dim, writes_y ? NULL : p->dy, &y));
    OCE_TRY(oce_check_buffer(check, oce_conv2d_plan_workspace(plan, NULL), NULL, &workspace));
    *result = writes_x ? x : writes_y ? y : filter;
    if (prepared_bytes > 0) {
        OCE_TRY(oce_check_buffer(check, prepared_bytes, NULL, &prepared));
        OCE_TRY(oce_conv2d_prepare(plan, &filter, prepared));
        return oce_conv2d_forward_prepared(plan, &x, &filter, prepared, &bias, &y, workspace);
    }
    if (pass == OCE_PASS_FORWARD)
        return oce_conv2d_forward(plan, &x, &filter, &bias, &y, workspace);
    if (pass == OCE_PASS_INPUT_GRAD)
        return oce_conv2d_input_grad(plan, &y, &filter, &x, workspace);
    return oce_conv2d_filter_grad(plan, &x, &y, &filter, workspace);
}

static void check_family(oce_check *check, const passes *p, oce_pass pass,
                         oce_check_subject *subject, oce_conv2d_family family) {
    oce_check_start(check);
    oce_conv2d_desc desc = p->desc;
    desc.family = family;
    oce_conv2d_plan *plan = NULL;
    oce_tensor result = {0};
    oce_status status = oce_conv2d_plan_create(check->device, &desc, pass, &plan);
    if (status == OCE_OK)
        status = run(check, p, pass, plan, &result);
    if (status == OCE_OK && family == OCE_CONV2D_AUTO)
        snprintf(subject->family, sizeof subject->family, "auto: %s%s",
                 oce_conv2d_family_name(oce_conv2d_plan_family(plan, pass)),
                 desc.keeps_filter && oce_conv2d_plan_prepared_bytes(plan) > 0 ? ", prepared" : "");
    oce_check_tensor_is(check, subject, status, &result, p->expected);
    oce_conv2d_plan_destroy(plan);
    oce_check_end_device(check);
}

static void describe(const oce_check_layer *l, int64_t batch, oce_check_subject *subject) {
    snprintf(subject->shape, sizeof subject->shape, "%lldx%lldx%lldx%lld, %lldx%lld, %lld filters",
             (long long)batch, (long long)l->input[0], (long long)l->input[1],
             (long long)l->input[2], (long long)l->layer->window.size[0],
             (long long)l->layer->window.size[1], (long long)l->output[2]);
}

static oce_status check_answer(oce_check *check, const oce_check_layer *l) {
    oce_check_subject subject = {.operation = kinds[0].operation, .bound = kinds[0].bound};
    describe(l, 1, &subject);
    snprintf(subject.family, sizeof subject.family, "%s", oce_conv2d_family_name(OCE_CONV2D_AUTO));
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    passes p;
    OCE_TRY(draw(check, l, 1, &p));
    p.desc.keeps_filter = true;
    OCE_TRY(reference(&p, OCE_PASS_FORWARD));
    check_family(check, &p, OCE_PASS_FORWARD, &subject, OCE_CONV2D_AUTO);
    return OCE_OK;
}

static oce_status check_layer(oce_check *check, const oce_check_layer *l) {
    passes p = {.expected = NULL};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        oce_check_subject subject = {.operation = kinds[k].operation, .bound = kinds[k].bound};
        describe(l, l->batch, &subject);
        bool is_computed = false;
        const int families = check->options->quick ? 1 : OCE_CONV2D_FAMILIES;
        for (int family = OCE_CONV2D_AUTO; family < families; family++) {
            snprintf(subject.family, sizeof subject.family, "%s",
                     oce_conv2d_family_name((oce_conv2d_family)family));
            if (!oce_check_wanted(check, &subject))
                continue;
            if (p.expected == NULL)
                OCE_TRY(draw(check, l, l->batch, &p));
            if (!is_computed)
                OCE_TRY(reference(&p, kinds[k].pass));
            is_computed = true;
            check_family(check, &p, kinds[k].pass, &subject, (oce_conv2d_family)family);
        }
    }
    return OCE_OK;
}

oce_status oce_selftest_convolutions(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    for (int i = 0; i < count; i++) {
        if (layers[i].layer->kind != OCE_LAYER_CONV2D)
            continue;
        oce_status status = check_layer(check, &layers[i]);
        oce_check_end(check);
        if (status == OCE_OK)
            status = check_answer(check, &layers[i]);
        oce_check_end(check);
        OCE_TRY(status);
    }
    return OCE_OK;
}
