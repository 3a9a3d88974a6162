/* The matrix B of many products, brought into the panels of the panel family once. */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "base/status.h"

/* Columns of a tile and a panel. */
static int64_t panel_columns(const oce_gemm_plan *plan) {
    return (int64_t)plan->blocks.tile_vectors * oce_device_limits(plan->device)->vector_width;
}

oce_status oce_gemm_plan_prepared(oce_gemm_plan *plan) {
    const oce_gemm_desc *d = &plan->desc;
    const int64_t columns = panel_columns(plan);
    const int64_t extents[] = {oce_ceil_div(d->n, columns), columns, d->k, (int64_t)sizeof(float)};
    oce_defines defines = {0};
    OCE_REQUIRE(oce_size_product(extents, 4, &plan->prepared), OCE_ERROR_OVERFLOW,
                "gemm: B of %lld x %lld, prepared, is too large", (long long)d->k, (long long)d->n);
    oce_define(&defines, "GEMM_TRANSPOSE_B", d->transpose_b);
    return oce_kernel_get(plan->device, "gemm_prepared.cl", "gemm_prepare", &defines, &plan->pack);
}

oce_status oce_gemm_prepare_panels(const oce_gemm_plan *plan, const oce_tensor *b,
                                   oce_buffer *prepared) {
    enum { STRETCH = 256 }; /* steps of K: enough work for a group */
    const oce_gemm_desc *d = &plan->desc;
    const int64_t columns = panel_columns(plan);
    const oce_arg args[] = {
        oce_arg_tensor(b), oce_arg_part(prepared, 0), oce_arg_int(d->n),
        oce_arg_int(d->k), oce_arg_int(columns),      oce_arg_int(STRETCH),
    };
    const oce_range range =
        oce_range_groups(oce_ceil_div(d->n, columns), oce_ceil_div(d->k, STRETCH), 1);
    return oce_launch(plan->pack, range, args, OCE_COUNT(args));
}
