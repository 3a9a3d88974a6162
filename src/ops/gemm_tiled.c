/* The tiled family: tiles in local memory or registers, for GPUs (cl/gemm_tiled.cl), and one
 * element a group where tiles would be mostly empty (cl/gemm_dot.cl). */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "base/status.h"
#include "device/tuning.h"

enum { LANES = 64 /* of gemm_dot */, FEW_COLUMNS = 16, FEW_ELEMENTS = 1 << 16, LONG_SUM = 64 };

static bool serves(const oce_gemm_desc *d, const oce_limits *limits, char *reason,
                   size_t reason_bytes) {
    return oce_tile_product_serves(d->m, d->n, d->k, d->transpose_a, d->transpose_b, limits, reason,
                                   reason_bytes);
}

static bool suits_dot(const oce_gemm_desc *d, const oce_limits *limits, char asked) {
    return d->n <= FEW_COLUMNS && d->m <= FEW_ELEMENTS / d->n && d->k >= LONG_SUM &&
           d->k <= FEW_ELEMENTS && limits->max_work_group >= LANES &&
           limits->max_items[0] >= LANES && limits->local_bytes >= LANES * sizeof(float) &&
           limits->tile == '\0' && asked == '\0';
}

static oce_status prepare(oce_gemm_plan *plan) {
    const oce_gemm_desc *d = &plan->desc;
    const char asked = oce_tuning_letter(plan->configuration, "tile");
    if (suits_dot(d, oce_device_limits(plan->device), asked)) {
        OCE_TRY(oce_kernel_get(plan->device, "gemm_dot.cl", "gemm_dot", NULL, &plan->dot));
        if (oce_kernel_max_group(plan->dot) >= LANES)
            return OCE_OK;
        plan->dot = NULL;
    }
    plan->tiles = (oce_tile_product){
        .device = plan->device,
        .m = d->m,
        .n = d->n,
        .k = d->k,
        .batch = 1,
        .transpose_a = d->transpose_a,
        .transpose_b = d->transpose_b,
        .asked = asked,
    };
    OCE_TRY(oce_tile_product_prepare(&plan->tiles));
    OCE_REQUIRE(
        oce_size_mul(oce_tile_product_partials(&plan->tiles), sizeof(float), &plan->workspace),
        OCE_ERROR_OVERFLOW, "gemm: %lld partial sums of %lld x %lld are too large",
        (long long)plan->tiles.splits, (long long)d->m, (long long)d->n);
    return OCE_OK;
}

static oce_status run_dot(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const oce_arg args[] = {
        oce_arg_tensor(o->a),
        oce_arg_tensor(o->b),
        oce_arg_tensor(o->bias),
        oce_arg_tensor(o->c),
        oce_arg_int(d->n),
        oce_arg_int(d->k),
        oce_arg_long(d->transpose_a ? 1 : d->k),
        oce_arg_long(d->transpose_a ? d->m : 1),
        oce_arg_long(d->transpose_b ? 1 : d->n),
        oce_arg_long(d->transpose_b ? d->k : 1),
        oce_arg_int(d->activation == OCE_ACTIVATION_RELU),
    };
    const oce_range range = {{(size_t)d->n * LANES, (size_t)d->m, 1}, {LANES, 1, 1}};
    return oce_launch(plan->dot, range, args, OCE_COUNT(args));
}

static oce_tile_operand operand(const oce_tensor *tensor) {
    return tensor != NULL ? (oce_tile_operand){tensor->buffer, tensor->offset}
                          : (oce_tile_operand){NULL, 0};
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    if (plan->dot != NULL)
        return run_dot(plan, o);
    const oce_tile_operands operands = {
        .a = operand(o->a),
        .b = operand(o->b),
        .c = operand(o->c),
        .bias = operand(o->bias),
        .partials = {o->workspace, 0},
        .relu = plan->desc.activation == OCE_ACTIVATION_RELU,
    };
    return oce_tile_product_run(&plan->tiles, &operands);
}

const oce_gemm_method oce_gemm_tiled = {OCE_GEMM_TILED, serves, prepare, run, NULL};
