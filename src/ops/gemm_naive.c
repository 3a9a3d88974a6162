/* The naive family: one output an item. */
#include "ops/gemm_internal.h"

static bool serves(const oce_gemm_desc *desc, const oce_limits *limits, char *reason,
                   size_t reason_bytes) {
    (void)desc;
    (void)limits;
    (void)reason;
    (void)reason_bytes;
    return true;
}

static oce_status prepare(oce_gemm_plan *plan) {
    return oce_kernel_get(plan->device, "gemm_naive.cl", "gemm_naive", NULL, &plan->product);
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const oce_arg args[] = {
        oce_arg_tensor(o->a),
        oce_arg_tensor(o->b),
        oce_arg_tensor(o->bias),
        oce_arg_tensor(o->c),
        oce_arg_long(d->m),
        oce_arg_long(d->n),
        oce_arg_long(d->k),
        oce_arg_long(d->transpose_a ? 1 : d->k),
        oce_arg_long(d->transpose_a ? d->m : 1),
        oce_arg_long(d->transpose_b ? 1 : d->n),
        oce_arg_long(d->transpose_b ? d->k : 1),
        oce_arg_int(o->bias != NULL),
        oce_arg_int(d->activation == OCE_ACTIVATION_RELU),
    };
    return oce_launch(plan->product, oce_range_items(d->m * d->n), args, OCE_COUNT(args));
}

const oce_gemm_method oce_gemm_naive = {OCE_GEMM_NAIVE, serves, prepare, run};
