/**
 * Operations on each element, and sums over rows: ReLU and its gradient, bias gradient, dropout,
 * image conversion, truncated normal. Tensors here are dense (no halo) unless it says otherwise.
 *
 * Each needs a plan-like set of kernels for the device, which the device keeps once built.
 */
#ifndef OCELLI_ELEMENTWISE_H
#define OCELLI_ELEMENTWISE_H

#include <ocelli/tensor.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** y = max(x, 0), NaN stays NaN. y may be x. Errors: OCE_ERROR_SHAPE, OCE_ERROR_OPENCL. */
OCE_API oce_status oce_relu_forward(oce_device *device, const oce_tensor *x, const oce_tensor *y);

/** dx = dy where y > 0, else 0; y is the output of the ReLU, dx may be dy; y may have a halo. */
OCE_API oce_status oce_relu_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *y,
                                 const oce_tensor *dx);

/** Bytes of workspace for oce_bias_grad over `rows` rows of `columns`. */
OCE_API size_t oce_bias_grad_workspace(int64_t rows, int64_t columns);
/** db[k] = sum of dy[..., k] over all rows; the number of partial sums depends on the shape only.
 * dy: [N,H,W,K] or [N,1,1,K]; db: [K]. No rows give zeros. */
OCE_API oce_status oce_bias_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *db,
                                 oce_buffer *workspace);

/**
 * Dropout: y[i] = x[i] / keep_prob where element i is kept, else 0; i counts from the tensor's
 * first element plus `first`. Element i is kept if u_i < keep_prob with u_i = (word >> 8) * 2^-24
 * of Philox4x32-10(counter {i / 4, step, layer, dropout stream}, key seed), word i % 4. The
 * gradient is the same call on dy: the mask is a function of its arguments and never stored.
 * keep_prob in (0, 1]; 1 copies. y may be x. Errors: OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_SHAPE.
 */
typedef struct oce_dropout {
    float keep_prob;
    uint64_t seed;
    uint32_t step;
    uint32_t layer;
    uint64_t first;
} oce_dropout;
OCE_API oce_status oce_dropout_apply(oce_device *device, const oce_dropout *dropout,
                                     const oce_tensor *x, const oce_tensor *y);

/**
 * y[i] = (float)bytes[first + i] * scale: images of the data set to the network's input.
 * y: [N,H,W,C], any halo; bytes: N*H*W*C of them from byte `first` on, NHWC.
 */
OCE_API oce_status oce_convert_bytes(oce_device *device, const oce_buffer *bytes, size_t first,
                                     float scale, const oce_tensor *y);

/**
 * Fills a tensor with normals of mean 0 cut to |z| < 2 (redrawn, not clipped), times stddev:
 * TensorFlow's truncated_normal. Element i is a function of (seed, layer, i) alone: Philox4x32-10
 * with counter {i, attempt, layer, weights stream}.
 */
OCE_API oce_status oce_truncated_normal(oce_device *device, uint64_t seed, uint32_t layer,
                                        float stddev, const oce_tensor *y);

/** Sets every element of a dense tensor to `value`. */
OCE_API oce_status oce_fill(oce_device *device, const oce_tensor *y, float value);

#ifdef __cplusplus
}
#endif

#endif
