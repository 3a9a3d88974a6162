/**
 * Max and average pooling and their gradients, as tf.nn.max_pool and tf.nn.avg_pool.
 *
 * X [N,H,W,C] to Y [N,OH,OW,C]. Padding takes no part: the maximum is over the in-range positions
 * of a window, the average divides by their number.
 *
 * The gradient of a maximum goes whole to the window's winner: the first in-range position in
 * row-major order, replaced by every later one that is strictly greater. A NaN that comes first
 * stays the winner, one that comes later never wins. A position that wins in several windows gets
 * the sum.
 */
#ifndef OCELLI_POOL_H
#define OCELLI_POOL_H

#include <ocelli/tensor.h>
#include <ocelli/window.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oce_pool_kind { OCE_POOL_MAX = 0, OCE_POOL_AVERAGE = 1 } oce_pool_kind;

/** What to compute; the window's dilation must be 1 and, for OCE_POOL_MAX, its size at most 255. */
typedef struct oce_pool_desc {
    oce_pool_kind kind;
    int64_t batch, height, width, channels; /**< X is [batch, height, width, channels] */
    oce_window window;
} oce_pool_desc;

typedef struct oce_pool_plan oce_pool_plan;

/** Checks the description and builds the kernels; allocates no device memory. The device must
 * outlive the plan. Errors: those of oce_window_resolve; OCE_ERROR_INVALID_ARGUMENT,
 * OCE_ERROR_SHAPE (a window that lies wholly in the padding), OCE_ERROR_OVERFLOW (also an image of
 * more than 2^29 elements, halo included), OCE_ERROR_BUILD. */
OCE_API oce_status oce_pool_plan_create(oce_device *device, const oce_pool_desc *desc,
                                        oce_pool_plan **plan);
OCE_API void oce_pool_plan_destroy(oce_pool_plan *plan);
OCE_API const oce_window_geometry *oce_pool_plan_geometry(const oce_pool_plan *plan);
/** Bytes of the winner buffer of max pooling: one byte an output element; 0 for average pooling. */
OCE_API size_t oce_pool_plan_winner_bytes(const oce_pool_plan *plan);

/**
 * y = pool(x). winners: at least oce_pool_plan_winner_bytes(), receives each window's winner (its
 * row-major position in the window) for the gradient; NULL if no gradient is wanted or the kind is
 * average. x and y may have halos. Errors: OCE_ERROR_SHAPE, OCE_ERROR_OVERFLOW,
 * OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_OPENCL; nothing is enqueued if a check fails.
 */
OCE_API oce_status oce_pool_forward(oce_pool_plan *plan, const oce_tensor *x, const oce_tensor *y,
                                    oce_buffer *winners);

/**
 * dx from dy: every input gathers from the windows that hold it, in row-major order of the windows.
 * dy, dx and relu_output may have halos; inputs that no window holds get 0.
 *
 * Max: `winners` as the forward pass wrote them. If `relu_output` is given it is the forward pass's
 * y, and x was the output of a ReLU: the gradient then passes only where y > 0, which is the ReLU's
 * own gradient (the winner's activation is y). Average: winners and relu_output must be NULL.
 * Errors: as oce_pool_forward.
 */
OCE_API oce_status oce_pool_grad(oce_pool_plan *plan, const oce_tensor *dy,
                                 const oce_buffer *winners, const oce_tensor *relu_output,
                                 const oce_tensor *dx);

#ifdef __cplusplus
}
#endif

#endif
