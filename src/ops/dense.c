/* A dense layer as matrix products. */
#include <ocelli/dense.h>

#include "device/device.h"
#include "ops/gemm_internal.h"

/* Weights that the caches hold gain nothing by panels. */
enum { LEAST_FLOATS = 1 << 18 };

int64_t oce_dense_panel(oce_device *device, const oce_dense_desc *desc) {
    oce_dense_desc in_rows = *desc;
    in_rows.panel = 0;
    const oce_gemm_desc forward = oce_dense_product(&in_rows, OCE_PASS_FORWARD);
    if ((double)desc->inputs * (double)desc->units < LEAST_FLOATS)
        return 0;
    return oce_gemm_best_panel(&forward, oce_device_limits(device));
}

oce_gemm_desc oce_dense_product(const oce_dense_desc *d, oce_pass pass) {
    if (pass == OCE_PASS_INPUT_GRAD)
        return (oce_gemm_desc){.m = d->batch,
                               .n = d->inputs,
                               .k = d->units,
                               .transpose_b = true,
                               .family = d->family,
                               .b_panel = d->panel};
    if (pass == OCE_PASS_FILTER_GRAD)
        return (oce_gemm_desc){.m = d->inputs,
                               .n = d->units,
                               .k = d->batch,
                               .transpose_a = true,
                               .family = d->family,
                               .c_panel = d->panel};
    return (oce_gemm_desc){.m = d->batch,
                           .n = d->units,
                           .k = d->inputs,
                           .activation = d->activation,
                           .family = d->family,
                           .b_panel = d->panel};
}
