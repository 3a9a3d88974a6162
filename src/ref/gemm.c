#include "ref/ref.h"

#include "base/panel.h"
#include "base/status.h"

oce_status oce_ref_gemm(const oce_gemm_desc *desc, const float *a, const float *b,
                        const float *bias, float *c) {
    OCE_REQUIRE(desc->m >= 0 && desc->n >= 0 && desc->k >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "gemm: m %lld, n %lld or k %lld is negative", (long long)desc->m,
                (long long)desc->n, (long long)desc->k);
    OCE_REQUIRE(desc->activation == OCE_ACTIVATION_NONE || desc->activation == OCE_ACTIVATION_RELU,
                OCE_ERROR_INVALID_ARGUMENT, "gemm: unknown activation %d", (int)desc->activation);
    const size_t m = (size_t)desc->m, n = (size_t)desc->n, k = (size_t)desc->k;
    const size_t b_panel = (size_t)desc->b_panel, c_panel = (size_t)desc->c_panel;
    for (size_t row = 0; row < m; row++)
        for (size_t column = 0; column < n; column++) {
            double sum = bias ? (double)bias[column] : 0.0;
            for (size_t i = 0; i < k; i++) {
                const float left = a[desc->transpose_a ? i * m + row : row * k + i];
                const float right =
                    b[desc->transpose_b ? oce_panel_place(column, i, n, k, b_panel)
                                        : oce_panel_place(i, column, k, n, b_panel)];
                sum += (double)left * (double)right;
            }
            float *out = &c[oce_panel_place(row, column, m, n, c_panel)];
            *out = (float)sum;
            if (desc->activation == OCE_ACTIVATION_RELU)
                oce_ref_relu(1, out, out);
        }
    return OCE_OK;
}
