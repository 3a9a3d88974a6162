/* The products of both networks' dense layers, each pass in each family. */
#include "selftest/check.h"

#include "base/status.h"
#include "device/device.h"
#include "ref/ref.h"

#include <ocelli/dense.h>

#include <stdio.h>
#include <string.h>

static const double bound = 2e-5;

/* Different rows of A in the quick form, for the reference's time; no tile's height. */
enum { QUICK_ROWS = 5 };

static const char *operation_name(oce_pass pass) {
    return pass == OCE_PASS_FORWARD      ? "dense"
           : pass == OCE_PASS_INPUT_GRAD ? "dense input gradient"
                                         : "dense weight gradient";
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
    if (has_bias) /* so large that few errors hide below a ReLU's zero */
        OCE_TRY(oce_check_floats(check, n, 2, 4, &p->bias));
    OCE_TRY(oce_check_block(check, m * n * sizeof(float), &expected));
    p->expected = expected;
    oce_gemm_desc rows = *desc;
    if (check->options->quick && !desc->transpose_a && desc->m > QUICK_ROWS)
        rows.m = QUICK_ROWS;
    OCE_TRY(oce_ref_gemm(&rows, p->a, p->b, p->bias, p->expected));
    for (size_t i = (size_t)rows.m; i < m; i++) {
        memcpy(p->a + i * k, p->a + (i - (size_t)rows.m) * k, k * sizeof(float));
        memcpy(p->expected + i * n, p->expected + (i - (size_t)rows.m) * n, n * sizeof(float));
    }
    return OCE_OK;
}

static oce_status run(oce_check *check, const product *p, oce_gemm_plan *plan, oce_tensor *c) {
    const oce_gemm_desc *d = &p->desc;
    const int64_t a_dim[4] = {d->transpose_a ? d->k : d->m, 1, 1, d->transpose_a ? d->m : d->k};
    const int64_t b_dim[4] = {d->transpose_b ? d->n : d->k, 1, 1, d->transpose_b ? d->k : d->n};
    const int64_t bias_dim[4] = {1, 1, 1, d->n};
    const int64_t c_dim[4] = {d->c_panel > 0 ? d->n / d->c_panel : 1, d->m, 1,
                              d->c_panel > 0 ? d->c_panel : d->n};
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
                 oce_gemm_plan_prepared_bytes(plan) > 0 ? ", prepared"
                 : desc.b_panel > 0 || desc.c_panel > 0 ? ", weights in panels"
                                                        : "");
    oce_check_tensor_is(check, subject, status, &c, p->expected);
    oce_gemm_plan_destroy(plan);
    oce_check_end_device(check);
}

/* A pass with weights stored in panels, where the library trains with such by batches of the
 * network's own size. */
static oce_status check_panels(oce_check *check, oce_dense_desc dense, int64_t own_batch,
                               oce_pass pass, oce_check_subject *subject) {
    product p = {.expected = NULL};
    oce_dense_desc trained = dense;
    trained.batch = own_batch;
    dense.panel = oce_dense_panel(check->device, &trained);
    const oce_gemm_desc desc = oce_dense_product(&dense, pass);
    snprintf(subject->family, sizeof subject->family, "%s, weights in panels",
             oce_gemm_family_name(OCE_GEMM_AUTO));
    if ((desc.b_panel == 0 && desc.c_panel == 0) || !oce_check_wanted(check, subject))
        return OCE_OK;
    OCE_TRY(draw(check, &desc, pass == OCE_PASS_FORWARD, &p));
    check_family(check, &p, subject, OCE_GEMM_AUTO, false);
    return OCE_OK;
}

/* A pass as training runs it, in each family, unless `only_answers`; the forward pass also as
 * inference runs it, which may multiply by prepared weights. */
static oce_status check_pass(oce_check *check, const oce_check_layer *l, oce_pass pass,
                             int64_t batch, bool only_answers) {
    const oce_dense_desc dense = {.batch = batch,
                                  .inputs = l->input[0] * l->input[1] * l->input[2],
                                  .units = l->output[2],
                                  .activation = l->layer->activation};
    const oce_gemm_desc desc = oce_dense_product(&dense, pass);
    oce_check_subject subject = {.operation = operation_name(pass), .bound = bound};
    snprintf(subject.shape, sizeof subject.shape, "%lldx%lld by %lldx%lld", (long long)desc.m,
             (long long)desc.k, (long long)desc.k, (long long)desc.n);
    product p = {.expected = NULL};
    const int families = only_answers ? 0 : check->options->quick ? 1 : OCE_GEMM_FAMILIES;
    for (int family = OCE_GEMM_AUTO; family < families; family++) {
        snprintf(subject.family, sizeof subject.family, "%s",
                 oce_gemm_family_name((oce_gemm_family)family));
        if (!oce_check_wanted(check, &subject))
            continue;
        if (p.expected == NULL)
            OCE_TRY(draw(check, &desc, pass == OCE_PASS_FORWARD, &p));
        check_family(check, &p, &subject, (oce_gemm_family)family, false);
    }
    if (!only_answers)
        OCE_TRY(check_panels(check, dense, l->own_batch, pass, &subject));
    snprintf(subject.family, sizeof subject.family, "%s", oce_gemm_family_name(OCE_GEMM_AUTO));
    if (pass != OCE_PASS_FORWARD || !oce_check_wanted(check, &subject))
        return OCE_OK;
    if (p.expected == NULL)
        OCE_TRY(draw(check, &desc, true, &p));
    check_family(check, &p, &subject, OCE_GEMM_AUTO, true);
    return OCE_OK;
}

/* Forward passes of whole batches also in the quick form: few rows would have other kernels. */
static oce_status check_layer(oce_check *check, const oce_check_layer *l) {
    const struct {
        oce_pass pass;
        int64_t batch;
        bool only_answers;
    } runs[] = {{OCE_PASS_FORWARD, l->own_batch, false},
                {OCE_PASS_FORWARD, 1, true},
                {OCE_PASS_INPUT_GRAD, l->batch, false},
                {OCE_PASS_FILTER_GRAD, l->batch, false}};
    for (int i = 0; i < OCE_COUNT(runs); i++) {
        const oce_status status =
            check_pass(check, l, runs[i].pass, runs[i].batch, runs[i].only_answers);
        oce_check_end(check);
        OCE_TRY(status);
    }
    return OCE_OK;
}

oce_status oce_selftest_products(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    for (int i = 0; i < count; i++)
        if (layers[i].layer->kind == OCE_LAYER_DENSE)
            OCE_TRY(check_layer(check, &layers[i]));
    return OCE_OK;
}
