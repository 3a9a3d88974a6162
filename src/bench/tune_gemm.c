/* Tuning of a matrix product. */
#include "bench/tune.h"

#include "base/panel.h"
#include "device/device.h"
#include "ops/gemm_internal.h"
#include "ref/ref.h"

#include <stdlib.h>
#include <string.h>

static oce_status create(const oce_tune_operation *op, oce_bench **bench) {
    return oce_bench_gemm(op->device, op->desc, bench);
}

static oce_status plan_forced(const oce_tune_operation *op, const char *family) {
    oce_gemm_desc desc = *(const oce_gemm_desc *)op->desc;
    oce_gemm_plan *plan = NULL;
    for (int i = 0; i < OCE_GEMM_FAMILIES; i++)
        if (strcmp(family, oce_gemm_family_name((oce_gemm_family)i)) == 0)
            desc.family = (oce_gemm_family)i;
    const oce_status status = oce_gemm_plan_create(op->device, &desc, &plan);
    oce_gemm_plan_destroy(plan);
    return status;
}

/* Some rows of C, from the same rows of op(A). */
static oce_status fill(const oce_gemm_desc *d, const float *a, const float *b, int64_t rows,
                       float *some, oce_tune_sample *sample) {
    for (int64_t i = 0; i < rows; i++) {
        const int64_t row = oce_tune_spread(i, rows, d->m);
        for (int64_t k = 0; k < d->k; k++)
            some[i * d->k + k] = d->transpose_a ? a[k * d->m + row] : a[row * d->k + k];
        for (int64_t j = 0; j < d->n; j++)
            sample->at[i * d->n + j] = oce_panel_place((size_t)row, (size_t)j, (size_t)d->m,
                                                       (size_t)d->n, (size_t)d->c_panel);
    }
    oce_gemm_desc part = *d;
    part.m = rows;
    part.transpose_a = false;
    part.c_panel = 0;
    return oce_ref_gemm(&part, some, b, NULL, sample->expected);
}

static oce_status reference(const oce_tune_operation *op, const oce_bench *bench,
                            oce_tune_sample *sample) {
    const oce_gemm_desc *d = op->desc;
    const int64_t rows = oce_tune_parts(d->m, (double)d->n * (double)d->k);
    float *a = NULL, *b = NULL, *some = NULL;
    oce_status status = oce_tune_sample_create((size_t)(rows * d->n), sample);
    if (status == OCE_OK)
        status = oce_tune_download(bench->inputs[0], &a);
    if (status == OCE_OK)
        status = oce_tune_download(bench->inputs[1], &b);
    if (status == OCE_OK)
        status = oce_tune_allocate((size_t)(rows * d->k), &some);
    if (status == OCE_OK)
        status = fill(d, a, b, rows, some, sample);
    free(a);
    free(b);
    free(some);
    return status;
}

/* The families that may be worth a try on the device. CLBlast's kernels for CPUs are not. */
static void add_candidates(oce_tune_operation *op, const oce_gemm_desc *d) {
    const oce_limits *limits = oce_device_limits(op->device);
    const double few = 1 << 18; /* multiply-adds that one output an item may do */
    if ((double)d->m * (double)d->n * (double)d->k <= few)
        oce_tune_add(op, "naive", "");
    if (!limits->is_cpu) {
        oce_tune_add(op, "clblast", "");
        oce_tune_add(op, "tiled", "");
        oce_tune_add_tiles(op, "tiled");
        return;
    }
    char list[OCE_GEMM_CONFIGURATIONS][OCE_GEMM_TEXT];
    const int count = oce_gemm_configurations(d, limits, list);
    oce_tune_add(op, "thin", "");
    oce_tune_add(op, "panel", "");
    for (int i = 0; i < count; i++)
        oce_tune_add(op, "panel", list[i]);
}

oce_status oce_tune_gemm(oce_device *device, const oce_gemm_desc *desc,
                         const oce_tune_options *options, oce_tune_result *result) {
    *result = (oce_tune_result){0};
    OCE_REQUIRE(desc->family == OCE_GEMM_AUTO, OCE_ERROR_INVALID_ARGUMENT,
                "tuning gemm: the family is %s, not auto", oce_gemm_family_name(desc->family));
    OCE_REQUIRE(desc->m > 0 && desc->n > 0 && desc->k > 0, OCE_ERROR_INVALID_ARGUMENT,
                "tuning gemm: %lld x %lld x %lld is empty", (long long)desc->m, (long long)desc->n,
                (long long)desc->k);
    oce_tune_operation *op = calloc(1, sizeof *op);
    OCE_REQUIRE(op != NULL, OCE_ERROR_HOST_MEMORY, "no memory for tuning");
    op->device = device;
    op->name = "gemm";
    op->desc = desc;
    op->create = create;
    op->plan_forced = plan_forced;
    op->reference = reference;
    oce_gemm_shape_text(desc, op->shape);
    add_candidates(op, desc);
    const oce_status status = oce_tune_run(op, options, result);
    free(op);
    return status;
}
