/* Pooling and its gradient, to be measured. */
#include "bench/bench.h"

typedef struct pool_bench {
    oce_bench bench;
    bool is_grad;
    oce_pool_plan *plan;
    oce_tensor x, y;
    oce_buffer *winners;
} pool_bench;

static oce_status run(oce_bench *bench) {
    pool_bench *p = (pool_bench *)bench;
    return p->is_grad ? oce_pool_grad(p->plan, &p->y, p->winners, NULL, &p->x)
                      : oce_pool_forward(p->plan, &p->x, &p->y, p->winners);
}

static void destroy(oce_bench *bench) {
    pool_bench *p = (pool_bench *)bench;
    oce_pool_plan_destroy(p->plan);
    oce_tensor_release(&p->x);
    oce_tensor_release(&p->y);
    oce_buffer_destroy(p->winners);
}

static oce_status create(pool_bench *p, const oce_pool_desc *desc, oce_pass pass) {
    OCE_REQUIRE(pass == OCE_PASS_FORWARD || pass == OCE_PASS_INPUT_GRAD, OCE_ERROR_INVALID_ARGUMENT,
                "pass %d is not one pass of a pooling", (int)pass);
    OCE_TRY(oce_pool_plan_create(p->bench.device, desc, &p->plan));
    const oce_window_geometry *geometry = oce_pool_plan_geometry(p->plan);
    const int64_t x[4] = {desc->batch, desc->height, desc->width, desc->channels};
    const int64_t y[4] = {desc->batch, geometry->output[0], geometry->output[1], desc->channels};
    OCE_REQUIRE(
        desc->batch > 0 && desc->height > 0 && desc->width > 0 && desc->channels > 0 &&
            geometry->output[0] > 0 && geometry->output[1] > 0,
        OCE_ERROR_INVALID_ARGUMENT,
        "measuring pool: the pooling is empty: %lld x %lld x %lld x %lld, windows of %lld x "
        "%lld: the output is %lld x %lld x %lld x %lld",
        (long long)desc->batch, (long long)desc->height, (long long)desc->width,
        (long long)desc->channels, (long long)desc->window.size[0], (long long)desc->window.size[1],
        (long long)desc->batch, (long long)geometry->output[0], (long long)geometry->output[1],
        (long long)desc->channels);
    const size_t winner_bytes = oce_pool_plan_winner_bytes(p->plan);
    OCE_TRY(oce_bench_tensor(&p->bench, x, NULL, 1, &p->x));
    OCE_TRY(oce_bench_tensor(&p->bench, y, NULL, 2, &p->y));
    OCE_TRY(oce_bench_buffer(&p->bench, winner_bytes, &p->winners));
    p->bench.info.bytes =
        sizeof(float) * ((double)oce_tensor_count(&p->x) + (double)oce_tensor_count(&p->y)) +
        (double)winner_bytes;
    /* the gradient needs winners */
    return p->is_grad ? oce_pool_forward(p->plan, &p->x, &p->y, p->winners) : OCE_OK;
}

oce_status oce_bench_pool(oce_device *device, const oce_pool_desc *desc, oce_pass pass,
                          oce_bench **bench) {
    void *record = NULL;
    *bench = NULL;
    OCE_TRY(oce_bench_allocate(device, sizeof(pool_bench), &record));
    pool_bench *p = record;
    p->bench.run = run;
    p->bench.destroy = destroy;
    p->is_grad = pass == OCE_PASS_INPUT_GRAD;
    return oce_bench_start(&p->bench, create(p, desc, pass), bench);
}
