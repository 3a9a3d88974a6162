/* The panel family: register tiles on packed panels, for CPUs. */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>

/* The kernels count rows, columns and steps in ints, with room for a block more, and gemm_reduce
 * goes round a loop for each split. */
static const int64_t largest_extent = INT64_C(1) << 28;

static bool serves(const oce_gemm_desc *desc, const oce_limits *limits, char *reason,
                   size_t reason_bytes) {
    oce_gemm_blocks blocks;
    if (!limits->is_cpu) {
        snprintf(reason, reason_bytes, "the device is not a CPU");
        return false;
    }
    if (desc->m > largest_extent || desc->n > largest_extent || desc->k > largest_extent) {
        snprintf(reason, reason_bytes, "extents above %lld", (long long)largest_extent);
        return false;
    }
    if (oce_gemm_has_panels(desc) && !oce_gemm_has_tile(desc, limits)) {
        snprintf(reason, reason_bytes,
                 "panels of B of %lld columns, of C of %lld, do not suit its tiles",
                 (long long)desc->b_panel, (long long)desc->c_panel);
        return false;
    }
    if (!oce_gemm_choose_blocks(desc, limits, &blocks)) {
        snprintf(reason, reason_bytes, "%zu bytes of local memory are too little",
                 limits->local_bytes);
        return false;
    }
    return true;
}

/* Bytes of the partial sums [splits, m, n]. */
static oce_status partial_bytes(const oce_gemm_plan *plan, size_t *bytes) {
    const oce_gemm_desc *d = &plan->desc;
    const int64_t extents[] = {plan->blocks.splits, d->m, d->n, (int64_t)sizeof(float)};
    *bytes = 0;
    if (plan->blocks.splits == 1)
        return OCE_OK;
    OCE_REQUIRE(oce_size_product(extents, 4, bytes), OCE_ERROR_OVERFLOW,
                "gemm: %d partial sums of %lld x %lld are too large", plan->blocks.splits,
                (long long)d->m, (long long)d->n);
    return OCE_OK;
}

static oce_status prepare(oce_gemm_plan *plan) {
    static const char file[] = "gemm_panel.cl";
    const oce_gemm_desc *d = &plan->desc;
    const oce_limits *limits = oce_device_limits(plan->device);
    oce_gemm_blocks *blocks = &plan->blocks;
    OCE_REQUIRE(oce_gemm_configure_blocks(d, limits, plan->configuration, blocks),
                OCE_ERROR_UNSUPPORTED, "gemm: %zu bytes of local memory are too little%s%s",
                limits->local_bytes,
                plan->configuration[0] != '\0' ? ", or there is no configuration " : "",
                plan->configuration);
    OCE_TRY(partial_bytes(plan, &plan->workspace));
    oce_defines defines = {0};
    oce_define(&defines, "GEMM_MR", blocks->tile_rows);
    oce_define(&defines, "GEMM_NV", blocks->tile_vectors);
    oce_define(&defines, "GEMM_KC", blocks->k_block);
    oce_define(&defines, "GEMM_TRANSPOSE_A", d->transpose_a);
    if (d->transpose_a)
        oce_define(&defines, "GEMM_MC", blocks->strip_rows);
    const bool is_prepared = d->keeps_b && d->b_panel == 0;
    if (is_prepared)
        OCE_TRY(oce_gemm_plan_prepared(plan));
    if (is_prepared || (d->b_panel > 0 && !d->transpose_b))
        oce_define(&defines, "GEMM_PREPARED", 1);
    else
        oce_define(&defines, "GEMM_TRANSPOSE_B", d->transpose_b);
    if (d->b_panel > 0 && d->transpose_b)
        oce_define(&defines, "GEMM_B_PANEL", d->b_panel);
    if (d->c_panel > 0)
        oce_define(&defines, "GEMM_C_PANELS", 1);
    const bool is_split = blocks->splits > 1;
    OCE_TRY(oce_kernel_get(plan->device, file, is_split ? "gemm_panel gemm_reduce" : "gemm_panel",
                           &defines, &plan->product));
    if (is_split)
        return oce_kernel_get(plan->device, file, "gemm_reduce", &defines, &plan->finish);
    return OCE_OK;
}

/* Sums the splits. A group takes some rows of up to `columns` columns: enough groups for many
 * units, enough work for each, and loops that every driver lets end. */
static oce_status reduce(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const int width = oce_device_limits(plan->device)->vector_width, splits = plan->blocks.splits;
    const int64_t row_vectors = oce_ceil_div(d->n, width), longest = 16384 / (splits + 2);
    int64_t vectors = d->m * row_vectors / 64;
    vectors = vectors > 64 ? vectors : 64;
    vectors = vectors < longest ? vectors : longest;
    vectors = vectors > 1 ? vectors : 1;
    const int64_t columns = (vectors < row_vectors ? vectors : row_vectors) * width;
    const int64_t rows = vectors > row_vectors ? vectors / row_vectors : 1;
    const oce_arg args[] = {
        oce_arg_part(o->workspace, 0),
        oce_arg_tensor(o->bias),
        oce_arg_tensor(o->c),
        oce_arg_int(d->m),
        oce_arg_int(d->n),
        oce_arg_int(splits),
        oce_arg_int(rows),
        oce_arg_int(columns),
        oce_arg_int(o->bias != NULL),
        oce_arg_int(d->activation == OCE_ACTIVATION_RELU),
    };
    return oce_launch(plan->finish,
                      oce_range_groups(oce_ceil_div(d->n, columns), oce_ceil_div(d->m, rows), 1),
                      args, OCE_COUNT(args));
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const oce_gemm_blocks *blocks = &plan->blocks;
    const bool is_split = blocks->splits > 1;
    const oce_arg args[] = {
        oce_arg_tensor(o->a),
        plan->prepared > 0 ? oce_arg_part(o->prepared, 0) : oce_arg_tensor(o->b),
        oce_arg_tensor(o->bias),
        is_split ? oce_arg_part(o->workspace, 0) : oce_arg_tensor(o->c),
        oce_arg_int(d->m),
        oce_arg_int(d->n),
        oce_arg_int(d->k),
        oce_arg_int(blocks->rows),
        oce_arg_int(blocks->columns),
        oce_arg_int(o->bias != NULL),
        oce_arg_int(d->activation == OCE_ACTIVATION_RELU),
    };
    const oce_range range = oce_range_groups(oce_ceil_div(d->n, blocks->columns),
                                             oce_ceil_div(d->m, blocks->rows), blocks->splits);
    OCE_TRY(oce_launch(plan->product, range, args, OCE_COUNT(args)));
    return is_split ? reduce(plan, o) : OCE_OK;
}

const oce_gemm_method oce_gemm_panel = {OCE_GEMM_PANEL, serves, prepare, run,
                                        oce_gemm_prepare_panels};
