/**
 * A dense layer, y = act(x w + b), as three matrix products: shapes, and how its weights are
 * stored.
 *
 * x is [batch, inputs], w [inputs, units], b [units], y [batch, units]. The products read and write
 * w in tiles, down some of its columns, whose rows lie far apart in memory. Weights that live on
 * the device for many steps may lie in panels of so many columns instead (oce_gemm_desc), one after
 * the other; their gradient too, so that an optimizer sees two arrays in the same order.
 */
#ifndef OCELLI_DENSE_H
#define OCELLI_DENSE_H

#include <ocelli/conv2d.h>
#include <ocelli/device.h>
#include <ocelli/gemm.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct oce_dense_desc {
    int64_t batch, inputs, units;
    oce_activation activation; /**< of the forward pass */
    oce_gemm_family family;
    int64_t panel; /**< columns of the panels that w and its gradient are stored in; 0: rows */
} oce_dense_desc;

/** The `panel` with which the layer, whose own is not looked at, trains fastest on the device, by
 * rule; 0: in rows, as w must be stored for families other than OCE_GEMM_PANEL. */
OCE_API int64_t oce_dense_panel(oce_device *device, const oce_dense_desc *desc);

/** The product of a pass: y = act(x w + b), dx = dy w^T, dw = x^T dy. */
OCE_API oce_gemm_desc oce_dense_product(const oce_dense_desc *desc, oce_pass pass);

#ifdef __cplusplus
}
#endif

#endif
