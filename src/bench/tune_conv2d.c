/* Tuning of one pass of a convolution. */
#include "bench/tune.h"

#include "device/device.h"
#include "device/tuning.h"
#include "nn/strips.h"
#include "ops/conv2d_internal.h"
#include "ops/conv2d_pool.h"
#include "ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static oce_status create(const oce_tune_operation *op, oce_bench **bench) {
    return oce_bench_conv2d(op->device, op->desc, op->pass, bench);
}

static oce_status plan_forced(const oce_tune_operation *op, const char *family) {
    oce_conv2d_desc desc = *(const oce_conv2d_desc *)op->desc;
    oce_conv2d_plan *plan = NULL;
    for (int i = 0; i < OCE_CONV2D_FAMILIES; i++)
        if (strcmp(family, oce_conv2d_family_name((oce_conv2d_family)i)) == 0)
            desc.family = (oce_conv2d_family)i;
    const oce_status status = oce_conv2d_plan_create(op->device, &desc, op->pass, &plan);
    oce_conv2d_plan_destroy(plan);
    return status;
}

/* The inputs, dense, and which part of the result is computed again. */
typedef struct part {
    const oce_conv2d_shape *shape;
    int64_t count;        /* images, or filters of the filter gradient */
    float *input[3];      /* of the bench */
    float *some;          /* of input[0] (images) or input[1] (filters' dY): what the part needs */
    oce_conv2d_desc desc; /* of the part */
} part;

static int64_t product(const int64_t dim[4], int first) {
    int64_t all = 1;
    for (int i = first; i < 4; i++)
        all *= dim[i];
    return all;
}

/* Whole images of Y or dX. */
static oce_status fill_images(part *p, oce_pass pass, oce_tune_sample *sample) {
    const oce_conv2d_shape *s = p->shape;
    const bool is_forward = pass == OCE_PASS_FORWARD;
    const int64_t in = product(is_forward ? s->x_dim : s->y_dim, 1);
    const int64_t out = product(is_forward ? s->y_dim : s->x_dim, 1);
    OCE_TRY(oce_tune_sample_create((size_t)(p->count * out), sample));
    OCE_TRY(oce_tune_allocate((size_t)(p->count * in), &p->some));
    for (int64_t i = 0; i < p->count; i++) {
        const int64_t image = oce_tune_spread(i, p->count, s->batch);
        memcpy(p->some + i * in, p->input[0] + image * in, (size_t)in * sizeof(float));
        for (int64_t j = 0; j < out; j++)
            sample->at[i * out + j] = (size_t)(image * out + j);
    }
    p->desc.batch = p->count;
    if (is_forward)
        return oce_ref_conv2d_forward(&p->desc, p->some, p->input[1], p->input[2],
                                      sample->expected);
    return oce_ref_conv2d_input_grad(&p->desc, p->some, p->input[1], sample->expected);
}

/* Whole filters of dF, from their channels of dY. */
static oce_status fill_filters(part *p, oce_tune_sample *sample) {
    const oce_conv2d_shape *s = p->shape;
    const int64_t pixels = s->y_dim[0] * s->y_dim[1] * s->y_dim[2];
    const int64_t weights = s->f_dim[0] * s->f_dim[1] * s->f_dim[2], all = s->filters;
    OCE_TRY(oce_tune_sample_create((size_t)(p->count * weights), sample));
    OCE_TRY(oce_tune_allocate((size_t)(p->count * pixels), &p->some));
    for (int64_t i = 0; i < p->count; i++) {
        const int64_t filter = oce_tune_spread(i, p->count, all);
        for (int64_t j = 0; j < pixels; j++)
            p->some[j * p->count + i] = p->input[1][j * all + filter];
        for (int64_t j = 0; j < weights; j++)
            sample->at[j * p->count + i] = (size_t)(j * all + filter);
    }
    p->desc.filters = p->count;
    return oce_ref_conv2d_filter_grad(&p->desc, p->input[0], p->some, sample->expected);
}

static oce_status reference(const oce_tune_operation *op, const oce_bench *bench,
                            oce_tune_sample *sample) {
    const oce_conv2d_desc *desc = op->desc;
    const bool is_filter = op->pass == OCE_PASS_FILTER_GRAD;
    oce_conv2d_shape shape;
    OCE_TRY(oce_conv2d_resolve(desc, op->pass, &shape));
    const int64_t extent = is_filter ? shape.filters : shape.batch;
    const double work = bench->info.flops / 2 / (double)extent;
    part p = {.shape = &shape, .count = oce_tune_parts(extent, work), .desc = *desc};
    oce_status status = OCE_OK;
    for (int i = 0; i < OCE_BENCH_INPUTS && status == OCE_OK; i++)
        if (bench->inputs[i] != NULL)
            status = oce_tune_download(bench->inputs[i], &p.input[i]);
    if (status == OCE_OK)
        status = is_filter ? fill_filters(&p, sample) : fill_images(&p, op->pass, sample);
    for (int i = 0; i < OCE_BENCH_INPUTS; i++)
        free(p.input[i]);
    free(p.some);
    return status;
}

/* A family by its rule, and its configurations. */
static void add_family(oce_tune_operation *op, const oce_conv2d_shape *shape,
                       oce_conv2d_family family) {
    char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION];
    const int count = oce_conv2d_configurations(op->device, shape, op->pass, family, list);
    oce_tune_add(op, oce_conv2d_family_name(family), "");
    for (int i = 0; i < count; i++)
        oce_tune_add(op, oce_conv2d_family_name(family), list[i]);
}

static void add_candidates(oce_tune_operation *op, const oce_conv2d_desc *desc,
                           const oce_conv2d_shape *shape, double work) {
    const double few = 1 << 20; /* multiply-adds that one output an item may do */
    if (work <= few)
        oce_tune_add(op, "naive", "");
    oce_tune_add(op, "im2col", "");
    if (!desc->no_winograd)
        add_family(op, shape, OCE_CONV2D_WINOGRAD);
    if (oce_device_limits(op->device)->is_cpu) {
        add_family(op, shape, OCE_CONV2D_DIRECT);
        return;
    }
    oce_tune_add(op, "implicit_gemm", "");
    oce_tune_add_tiles(op, "implicit_gemm");
}

oce_status oce_tune_conv2d(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                           const oce_tune_options *options, oce_tune_result *result) {
    oce_conv2d_shape shape;
    *result = (oce_tune_result){0};
    OCE_REQUIRE(desc->family == OCE_CONV2D_AUTO, OCE_ERROR_INVALID_ARGUMENT,
                "tuning conv2d: the family is %s, not auto", oce_conv2d_family_name(desc->family));
    OCE_REQUIRE(pass == OCE_PASS_FORWARD || pass == OCE_PASS_INPUT_GRAD ||
                    pass == OCE_PASS_FILTER_GRAD,
                OCE_ERROR_INVALID_ARGUMENT, "tuning conv2d: %d is not one pass", (int)pass);
    OCE_TRY(oce_conv2d_resolve(desc, pass, &shape));
    const double work = (double)product(shape.y_dim, 0) * (double)product(shape.f_dim, 0) /
                        (double)(shape.filters > 0 ? shape.filters : 1);
    OCE_REQUIRE(work > 0 && product(shape.x_dim, 0) > 0, OCE_ERROR_INVALID_ARGUMENT,
                "tuning conv2d: the convolution is empty: %lld x %lld x %lld x %lld, windows of "
                "%lld x %lld: the output is %lld x %lld x %lld x %lld",
                (long long)shape.x_dim[0], (long long)shape.x_dim[1], (long long)shape.x_dim[2],
                (long long)shape.x_dim[3], (long long)shape.f_dim[0], (long long)shape.f_dim[1],
                (long long)shape.y_dim[0], (long long)shape.y_dim[1], (long long)shape.y_dim[2],
                (long long)shape.y_dim[3]);
    oce_tune_operation *op = calloc(1, sizeof *op);
    OCE_REQUIRE(op != NULL, OCE_ERROR_HOST_MEMORY, "no memory for tuning");
    op->device = device;
    op->name = oce_conv2d_operation(pass);
    op->desc = desc;
    op->pass = pass;
    op->create = create;
    op->plan_forced = plan_forced;
    op->reference = reference;
    oce_conv2d_shape_text(&shape, pass, op->shape);
    add_candidates(op, desc, &shape, work);
    const oce_status status = oce_tune_run(op, options, result);
    result->images = desc->batch;
    free(op);
    return status;
}

/* Whether the rule computes the forward pass together with the pool; *family. */
static bool is_pooled(oce_device *device, const oce_conv2d_desc *desc,
                      const oce_conv2d_shape *shape, const oce_window *window,
                      const char **family) {
    char text[OCE_CONV2D_TEXT];
    oce_conv2d_plan *plan = NULL;
    oce_conv2d_shape_text(shape, OCE_PASS_FORWARD, text);
    oce_tuning_try(device, oce_conv2d_operation(OCE_PASS_FORWARD), text, NULL);
    const oce_status status = oce_conv2d_plan_create_pooled(device, desc, window, &plan);
    oce_tuning_end_trial(device);
    if (status != OCE_OK || plan == NULL)
        return false; /* a network then plans the two apart */
    *family = oce_conv2d_family_name(oce_conv2d_plan_family(plan, OCE_PASS_FORWARD));
    oce_conv2d_plan_destroy(plan);
    return true;
}

oce_status oce_tune_conv2d_pooled(oce_device *device, const oce_conv2d_desc *desc,
                                  const oce_window *window, oce_pass pass,
                                  const oce_tune_options *options, oce_tune_result *result) {
    oce_conv2d_desc planned = *desc;
    oce_conv2d_shape shape;
    const char *family = "";
    *result = (oce_tune_result){0};
    OCE_TRY(oce_conv2d_resolve(desc, pass, &shape));
    if (pass == OCE_PASS_FORWARD && is_pooled(device, desc, &shape, window, &family)) {
        result->is_pooled = true;
        result->images = desc->batch;
        snprintf(result->rule, sizeof result->rule, "%s", family);
        return OCE_OK;
    }
    const int64_t strip = oce_strip_of_batch(device, desc->batch, shape.y_dim + 1);
    if (strip > 0)
        planned.batch = strip;
    return oce_tune_conv2d(device, &planned, pass, options, result);
}
