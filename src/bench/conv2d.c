/* One pass of a convolution, to be measured. */
#include "bench/bench.h"

typedef struct conv2d_bench {
    oce_bench bench;
    oce_pass pass;
    oce_conv2d_plan *plan;
    oce_tensor x, filter, bias, y;
    oce_buffer *workspace, *prepared;
} conv2d_bench;

static oce_status run(oce_bench *bench) {
    conv2d_bench *b = (conv2d_bench *)bench;
    switch (b->pass) {
    case OCE_PASS_FORWARD:
        if (b->prepared == NULL)
            return oce_conv2d_forward(b->plan, &b->x, &b->filter, &b->bias, &b->y, b->workspace);
        return oce_conv2d_forward_prepared(b->plan, &b->x, &b->filter, b->prepared, &b->bias, &b->y,
                                           b->workspace);
    case OCE_PASS_INPUT_GRAD:
        return oce_conv2d_input_grad(b->plan, &b->y, &b->filter, &b->x, b->workspace);
    case OCE_PASS_FILTER_GRAD:
    default:
        return oce_conv2d_filter_grad(b->plan, &b->x, &b->y, &b->filter, b->workspace);
    }
}

static void destroy(oce_bench *bench) {
    conv2d_bench *b = (conv2d_bench *)bench;
    oce_conv2d_plan_destroy(b->plan);
    oce_tensor_release(&b->x);
    oce_tensor_release(&b->filter);
    oce_tensor_release(&b->bias);
    oce_tensor_release(&b->y);
    oce_buffer_destroy(b->workspace);
    oce_buffer_destroy(b->prepared);
}

static oce_status create(conv2d_bench *b, const oce_conv2d_desc *desc) {
    OCE_REQUIRE(b->pass == OCE_PASS_FORWARD || b->pass == OCE_PASS_INPUT_GRAD ||
                    b->pass == OCE_PASS_FILTER_GRAD,
                OCE_ERROR_INVALID_ARGUMENT, "pass %d is not one pass of a convolution",
                (int)b->pass);
    OCE_TRY(oce_conv2d_plan_create(b->bench.device, desc, b->pass, &b->plan));
    const oce_window_geometry *geometry = oce_conv2d_plan_geometry(b->plan);
    const int64_t x[4] = {desc->batch, desc->height, desc->width, desc->channels};
    const int64_t filter[4] = {desc->window.size[0], desc->window.size[1], desc->channels,
                               desc->filters};
    OCE_REQUIRE(desc->batch > 0 && desc->height > 0 && desc->width > 0 && desc->channels > 0 &&
                    desc->filters > 0 && geometry->output[0] > 0 && geometry->output[1] > 0,
                OCE_ERROR_INVALID_ARGUMENT,
                "measuring conv2d: the convolution is empty: %lld x %lld x %lld x %lld, windows of "
                "%lld x %lld: the output is %lld x %lld x %lld x %lld",
                (long long)desc->batch, (long long)desc->height, (long long)desc->width,
                (long long)desc->channels, (long long)desc->window.size[0],
                (long long)desc->window.size[1], (long long)desc->batch,
                (long long)geometry->output[0], (long long)geometry->output[1],
                (long long)desc->filters);
    const int64_t bias[4] = {1, 1, 1, desc->filters};
    const int64_t y[4] = {desc->batch, geometry->output[0], geometry->output[1], desc->filters};
    const oce_halo none = {0}, wanted = oce_conv2d_plan_halo(b->plan);
    const oce_halo *halo = b->pass == OCE_PASS_INPUT_GRAD ? &none : &wanted;
    OCE_TRY(oce_bench_tensor(&b->bench, x, halo, 1, &b->x));
    OCE_TRY(oce_bench_tensor(&b->bench, filter, NULL, 2, &b->filter));
    OCE_TRY(oce_bench_tensor(&b->bench, bias, NULL, 3, &b->bias));
    OCE_TRY(oce_bench_tensor(&b->bench, y, NULL, 4, &b->y));
    oce_bench_info *info = &b->bench.info;
    info->flops = oce_conv2d_plan_flops(b->plan, b->pass);
    info->family = oce_conv2d_family_name(oce_conv2d_plan_family(b->plan, b->pass));
    info->bytes =
        sizeof(float) * ((double)oce_tensor_count(&b->x) + (double)oce_tensor_count(&b->filter) +
                         (double)oce_tensor_count(&b->y));
    OCE_TRY(oce_bench_buffer(&b->bench, oce_conv2d_plan_workspace(b->plan, halo), &b->workspace));
    const size_t prepared = desc->keeps_filter ? oce_conv2d_plan_prepared_bytes(b->plan) : 0;
    OCE_TRY(oce_bench_buffer(&b->bench, prepared, &b->prepared));
    return prepared > 0 ? oce_conv2d_prepare(b->plan, &b->filter, b->prepared) : OCE_OK;
}

oce_status oce_bench_conv2d(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                            oce_bench **bench) {
    void *record = NULL;
    *bench = NULL;
    OCE_TRY(oce_bench_allocate(device, sizeof(conv2d_bench), &record));
    conv2d_bench *b = record;
    b->bench.run = run;
    b->bench.destroy = destroy;
    b->pass = pass;
    b->bench.inputs[0] = pass == OCE_PASS_INPUT_GRAD ? &b->y : &b->x;
    b->bench.inputs[1] = pass == OCE_PASS_FILTER_GRAD ? &b->y : &b->filter;
    b->bench.inputs[2] = pass == OCE_PASS_FORWARD ? &b->bias : NULL;
    b->bench.output = pass == OCE_PASS_FORWARD      ? &b->y
                      : pass == OCE_PASS_INPUT_GRAD ? &b->x
                                                    : &b->filter;
    return oce_bench_start(&b->bench, create(b, desc), bench);
}
