/* A matrix product, to be measured. */
#include "bench/bench.h"

typedef struct gemm_bench {
    oce_bench bench;
    oce_gemm_plan *plan;
    oce_tensor a, b, c;
    oce_buffer *workspace, *prepared;
} gemm_bench;

static oce_status run(oce_bench *bench) {
    gemm_bench *g = (gemm_bench *)bench;
    return oce_gemm_run_prepared(g->plan, &g->a, &g->b, g->prepared, NULL, &g->c, g->workspace);
}

static void destroy(oce_bench *bench) {
    gemm_bench *g = (gemm_bench *)bench;
    oce_gemm_plan_destroy(g->plan);
    oce_tensor_release(&g->a);
    oce_tensor_release(&g->b);
    oce_tensor_release(&g->c);
    oce_buffer_destroy(g->workspace);
    oce_buffer_destroy(g->prepared);
}

static oce_status create(gemm_bench *g, const oce_gemm_desc *desc) {
    OCE_TRY(oce_gemm_plan_create(g->bench.device, desc, &g->plan));
    OCE_REQUIRE(desc->m > 0 && desc->n > 0 && desc->k > 0, OCE_ERROR_INVALID_ARGUMENT,
                "measuring gemm: the product of m %lld, n %lld, k %lld is empty",
                (long long)desc->m, (long long)desc->n, (long long)desc->k);
    const int64_t a[2] = {desc->m, desc->k}, b[2] = {desc->k, desc->n};
    const int64_t a_dim[4] = {a[desc->transpose_a], 1, 1, a[!desc->transpose_a]};
    const int64_t b_dim[4] = {b[desc->transpose_b], 1, 1, b[!desc->transpose_b]};
    const int64_t c_dim[4] = {desc->m, 1, 1, desc->n};
    OCE_TRY(oce_bench_tensor(&g->bench, a_dim, NULL, 1, &g->a));
    OCE_TRY(oce_bench_tensor(&g->bench, b_dim, NULL, 2, &g->b));
    OCE_TRY(oce_bench_tensor(&g->bench, c_dim, NULL, 3, &g->c));
    const double m = (double)desc->m, n = (double)desc->n, k = (double)desc->k;
    oce_bench_info *info = &g->bench.info;
    info->flops = 2 * m * n * k;
    info->bytes = sizeof(float) * (m * k + k * n + m * n);
    info->family = oce_gemm_family_name(oce_gemm_plan_family(g->plan));
    OCE_TRY(oce_bench_buffer(&g->bench, oce_gemm_plan_workspace(g->plan), &g->workspace));
    OCE_TRY(oce_bench_buffer(&g->bench, oce_gemm_plan_prepared_bytes(g->plan), &g->prepared));
    return oce_gemm_prepare(g->plan, &g->b, g->prepared);
}

oce_status oce_bench_gemm(oce_device *device, const oce_gemm_desc *desc, oce_bench **bench) {
    void *record = NULL;
    *bench = NULL;
    OCE_TRY(oce_bench_allocate(device, sizeof(gemm_bench), &record));
    gemm_bench *g = record;
    g->bench.run = run;
    g->bench.destroy = destroy;
    g->bench.inputs[0] = &g->a;
    g->bench.inputs[1] = &g->b;
    g->bench.output = &g->c;
    return oce_bench_start(&g->bench, create(g, desc), bench);
}
