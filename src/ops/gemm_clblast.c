/* The CLBlast family: the library's product, then bias and ReLU where they are asked for. */
#include "ops/gemm_internal.h"

static oce_status prepare(oce_gemm_plan *plan) {
    return oce_kernel_get(plan->device, "gemm_epilogue.cl", "gemm_epilogue", NULL, &plan->finish);
}

/* C = op(A) op(B). CLBlast refuses an empty sum. */
static oce_status multiply(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    if (d->k == 0)
        return oce_buffer_clear(o->c->buffer, o->c->offset * sizeof(float),
                                oce_tensor_count(o->c) * sizeof(float));
    return oce_clblast_gemm(plan->device, d->m, d->n, d->k, d->transpose_a, d->transpose_b, o->a,
                            o->b, o->c);
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const bool relu = d->activation == OCE_ACTIVATION_RELU;
    const oce_status status = multiply(plan, o);
    if (status != OCE_OK || (o->bias == NULL && !relu))
        return status;
    const oce_arg args[] = {
        oce_arg_tensor(o->c), oce_arg_tensor(o->bias),      oce_arg_long(d->m),
        oce_arg_long(d->n),   oce_arg_int(o->bias != NULL), oce_arg_int(relu),
    };
    return oce_launch(plan->finish, oce_range_items(d->m * d->n), args, OCE_COUNT(args));
}

const oce_gemm_method oce_gemm_clblast = {OCE_GEMM_CLBLAST, NULL, prepare, run};
