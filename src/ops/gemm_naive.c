/* The naive family: one output an item. */
#include "ops/gemm_internal.h"

#include "base/status.h"

static oce_status prepare(oce_gemm_plan *plan) {
    return oce_kernel_get(plan->device, "gemm_naive.cl", "gemm_naive", NULL, &plan->product);
}

/* Steps of K in one launch: bounds the rounding error of a sum, and llvmpipe ends an item's loops,
 * without a word, after 65535 rounds. */
static const int64_t longest_sum = 32768;

static oce_status run_part(const oce_gemm_plan *plan, const oce_gemm_operands *o, int64_t begin,
                           int64_t end) {
    const oce_gemm_desc *d = &plan->desc;
    const bool is_last = end == d->k;
    const oce_arg args[] = {
        oce_arg_tensor(o->a),
        oce_arg_tensor(o->b),
        oce_arg_tensor(o->bias),
        oce_arg_tensor(o->c),
        oce_arg_long(d->m),
        oce_arg_long(d->n),
        oce_arg_long(begin),
        oce_arg_long(end),
        oce_arg_long(d->transpose_a ? 1 : d->k),
        oce_arg_long(d->transpose_a ? d->m : 1),
        oce_arg_long(d->transpose_b ? 1 : d->n),
        oce_arg_long(d->transpose_b ? d->k : 1),
        oce_arg_int(is_last && o->bias != NULL),
        oce_arg_int(is_last && d->activation == OCE_ACTIVATION_RELU),
    };
    return oce_launch(plan->product, oce_range_items(d->m * d->n), args, OCE_COUNT(args));
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const int64_t k = plan->desc.k;
    int64_t begin = 0;
    do {
        const int64_t end = k - begin > longest_sum ? begin + longest_sum : k;
        OCE_TRY(run_part(plan, o, begin, end));
        begin = end;
    } while (begin < k);
    return OCE_OK;
}

const oce_gemm_method oce_gemm_naive = {OCE_GEMM_NAIVE, NULL, prepare, run, NULL};
