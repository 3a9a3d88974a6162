/* The products of both networks' dense layers, each pass in each family. */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <stdio.h>
#include <string.h>

static const double bound = 2e-5;

/* The three passes of a dense layer as products. */
typedef enum pass { FORWARD, INPUT_GRAD, WEIGHT_GRAD, PASSES } pass;

static const char *const operations[PASSES] = {"dense", "dense input gradient",
                                               "dense weight gradient"};

static oce_gemm_desc describe(const oce_check_layer *l, pass which) {
    const int64_t in = l->input[0] * l->input[1] * l->input[2], out = l->output[2];
    if (which == FORWARD)
        return (oce_gemm_desc){
            .m = l->batch, .n = out, .k = in, .activation = l->layer->activation};
    if (which == INPUT_GRAD)
        return (oce_gemm_desc){.m = l->batch, .n = in, .k = out, .transpose_b = true};
    return (oce_gemm_desc){.m = in, .n = out, .k = l->batch, .transpose_a = true};
}

typedef struct product {
    oce_gemm_desc desc;
    float *a, *b, *bias, *expected; /* bias: forward pass, else NULL */
} product;

static oce_status draw(oce_check *check, const oce_gemm_desc *desc, bool has_bias, product *p) {
    const size_t m = (size_t)desc->m, n = (size_t)desc->n, k = (size_t)desc->k;
    void *expected = NULL;
    *p = (product){.desc = *desc};
    OCE_TRY(oce_check_floats(check, m * k, -1, 1, &p->a));
    OCE_TRY(oce_check_floats(check, k * n, -0.1F, 0.1F, &p->b));
    if (has_bias)
        OCE_TRY(oce_check_floats(check, n, -0.1F, 0.1F, &p->bias));
    OCE_TRY(oce_check_block(check, m * n * sizeof(float), &expected));
    p->expected = expected;
    return oce_ref_gemm(desc, p->a, p->b, p->bias, p->expected);
}

static oce_status run(oce_check *check, const product *p, oce_gemm_plan *plan, oce_tensor *c) {
    const oce_gemm_desc *d = &p->desc;
    const int64_t a_dim[4] = {d->transpose_a ? d->k : d->m, 1, 1, d->transpose_a ? d->m : d->k};
    const int64_t b_dim[4] = {d->transpose_b ? d->n : d->k, 1, 1, d->transpose_b ? d->k : d->n};
    const int64_t bias_dim[4] = {1, 1, 1, d->n}, c_dim[4] = {d->m, 1, 1, d->n};
    oce_tensor a, b, bias;
    const size_t prepared_bytes = oce_gemm_plan_prepared_bytes(plan);
    oce_buffer *workspace = NULL, *prepared = NULL;
    OCE_TRY(oce_check_tensor(check, a_dim, p->a, &a));
    OCE_TRY(oce_check_tensor(check, b_dim, p->b, &b));
    if (p->bias != NULL)
        OCE_TRY(oce_check_tensor(check, bias_dim, p->bias, &bias));
    OCE_TRY(oce_check_tensor(check, c_dim, NULL, c));
    OCE_TRY(oce_check_buffer(check, oce_gemm_plan_workspace(plan), NULL, &workspace));
    if (prepared_bytes > 0)
        OCE_TRY(oce_check_buffer(check, prepared_bytes, NULL, &prepared));
    OCE_TRY(oce_gemm_prepare(plan, &b, prepared));
    return oce_gemm_run_prepared(plan, &a, &b, prepared, p->bias != NULL ? &bias : NULL, c,
                                 workspace);
}

static void check_family(oce_check *check, const product *p, oce_check_subject *subject,
                         oce_gemm_family family, bool keeps_b) {
    oce_check_start(check);
    oce_gemm_desc desc = p->desc;
    desc.family = family;
    desc.keeps_b = keeps_b;
    oce_gemm_plan *plan = NULL;
    oce_tensor c = {0};
    oce_status status = oce_gemm_plan_create(check->device, &desc, &plan);
    if (status == OCE_OK)
        status = run(check, p, plan, &c);
    if (status == OCE_OK && family == OCE_GEMM_AUTO)
        snprintf(subject->family, sizeof subject->family, "auto: %s%s",
                 oce_gemm_family_name(oce_gemm_plan_family(plan)),
                 oce_gemm_plan_prepared_bytes(plan) > 0 ? ", prepared" : "");
    oce_check_tensor_is(check, subject, status, &c, p->expected);
    oce_gemm_plan_destroy(plan);
    oce_check_end_device(check);
}

static oce_status check_pass(oce_check *check, const oce_check_layer *l, pass which) {
    const oce_gemm_desc desc = describe(l, which);
    oce_check_subject subject = {.operation = operations[which], .bound = bound};
    snprintf(subject.shape, sizeof subject.shape, "%lldx%lld by %lldx%lld", (long long)desc.m,
             (long long)desc.k, (long long)desc.k, (long long)desc.n);
    product p = {.expected = NULL};
    const int families = check->options->quick ? 1 : OCE_GEMM_FAMILIES;
    for (int family = OCE_GEMM_AUTO; family < families; family++) {
        snprintf(subject.family, sizeof subject.family, "%s",
                 oce_gemm_family_name((oce_gemm_family)family));
        if (!oce_check_wanted(check, &subject))
            continue;
        if (p.expected == NULL)
            OCE_TRY(draw(check, &desc, which == FORWARD, &p));
        check_family(check, &p, &subject, (oce_gemm_family)family, false);
    }
    /* As inference multiplies by its weights. */
    snprintf(subject.family, sizeof subject.family, "%s", oce_gemm_family_name(OCE_GEMM_AUTO));
    if (which != FORWARD || !oce_check_wanted(check, &subject))
        return OCE_OK;
    if (p.expected == NULL)
        OCE_TRY(draw(check, &desc, true, &p));
    check_family(check, &p, &subject, OCE_GEMM_AUTO, true);
    return OCE_OK;
}

oce_status oce_selftest_products(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    for (int i = 0; i < count; i++)
        for (int which = 0; layers[i].layer->kind == OCE_LAYER_DENSE && which < PASSES; which++) {
            const oce_status status = check_pass(check, &layers[i], (pass)which);
            oce_check_end(check);
            OCE_TRY(status);
        }
    return OCE_OK;
}
