/**
 * Operations on each element, and sums over rows: ReLU and its gradient, bias gradient, dropout,
 * image conversion and augmentation, truncated normal, sum, fill, search for non-finite numbers.
 *
 * Tensors here are dense (no halo) unless it says otherwise; tensors of one call have equal
 * extents. A tensor with a halo keeps its halo: only the interior is read and written. The device
 * keeps the kernels once they are built, so that only the first call is slow.
 *
 * Errors of every call: OCE_ERROR_SHAPE (extents that differ, a halo where none is allowed),
 * OCE_ERROR_INVALID_ARGUMENT (a tensor or buffer that is missing or too small), OCE_ERROR_BUILD,
 * OCE_ERROR_OPENCL; nothing is enqueued if a check fails. Further ones are named below.
 */
#ifndef OCELLI_ELEMENTWISE_H
#define OCELLI_ELEMENTWISE_H

#include <ocelli/tensor.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** y = max(x, 0), NaN stays NaN, -0 becomes 0. y may be x. Both may have a halo. */
OCE_API oce_status oce_relu_forward(oce_device *device, const oce_tensor *x, const oce_tensor *y);

/** dx = dy where y > 0, else 0 (also where y is NaN); y is the output of the ReLU. dx may be dy or
 * y. All may have a halo. */
OCE_API oce_status oce_relu_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *y,
                                 const oce_tensor *dx);

/** Bytes of workspace for oce_bias_grad and oce_relu_bias_grad over `rows` rows of `columns`: at
 * most 512 partial sums a column, none (0 bytes) for few rows. */
OCE_API size_t oce_bias_grad_workspace(int64_t rows, int64_t columns);
/**
 * db[k] = sum of dy[..., k] over all N*H*W rows. dy: [N,H,W,K] or [N,1,1,K], may have a halo; db:
 * K elements. The order of the sum, and so the result's bits, depends on the shape only. No rows
 * give zeros. workspace: oce_bias_grad_workspace(N*H*W, K) bytes, NULL if that is 0.
 */
OCE_API oce_status oce_bias_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *db,
                                 oce_buffer *workspace);
/**
 * Both in one pass: dx = dy where y > 0, else 0, and db[k] = sum of dx[..., k]: the gradient of
 * y = relu(x + b) with respect to x and b. The result has the bits of oce_relu_grad followed by
 * oce_bias_grad.
 *
 * y NULL: no ReLU. dx NULL: not wanted; dx may be dy. All but db may have a halo. workspace as for
 * oce_bias_grad.
 */
OCE_API oce_status oce_relu_bias_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *y,
                                      const oce_tensor *dx, const oce_tensor *db,
                                      oce_buffer *workspace);

/** y += x: adds up the gradients of micro-batches. */
OCE_API oce_status oce_add(oce_device *device, const oce_tensor *x, const oce_tensor *y);

/**
 * Dropout: y[i] = x[i] / keep_prob where element i is kept, else 0; i counts from the tensor's
 * first element plus `first`. Element i is kept if u_i < keep_prob with u_i = (word >> 8) * 2^-24
 * of Philox4x32-10(counter {i / 4, step, layer, dropout stream}, key seed), word i % 4. The
 * gradient is the same call on dy: the mask is a function of its arguments and never stored.
 * keep_prob in (0, 1], else OCE_ERROR_INVALID_ARGUMENT; 1 copies bit for bit. y may be x.
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
 * Random flip and shift of images, different in every step. Image n of a call is number
 * m = first_image + n of its batch; words w0..w3 = Philox4x32-10(counter {m, step, 0, augment
 * stream}, key seed) decide: with `flip` the image is mirrored left to right if w0 is odd; then it
 * moves down by s(w1) and right by s(w2) pixels, s(w) = (w * (2 * max_shift + 1) >> 32) -
 * max_shift, and what comes in at the border is 0.
 */
typedef struct oce_augment {
    uint64_t seed;
    uint32_t step;
    uint32_t first_image; /**< lets the parts of a split batch draw what the whole batch draws */
    int32_t max_shift;    /**< pixels, 0 (no shift) to 32767 */
    bool flip;
} oce_augment;

/**
 * y[i] = (float)bytes[first + i] * scale, one float32 multiplication: images of the data set to the
 * network's input. y: [N,H,W,C], any halo; bytes: N*H*W*C of them from byte `first` on, NHWC.
 * augment NULL: images as they are.
 */
OCE_API oce_status oce_convert_bytes(oce_device *device, const oce_buffer *bytes, size_t first,
                                     float scale, const oce_augment *augment, const oce_tensor *y);

/**
 * Fills a tensor with normals of mean 0 cut to |z| < 2 (redrawn, not clipped), times stddev:
 * TensorFlow's truncated_normal. Element i is a function of (seed, layer, i) alone: Philox4x32-10
 * with counter {i, attempt, layer, weights stream}.
 */
OCE_API oce_status oce_truncated_normal(oce_device *device, uint64_t seed, uint32_t layer,
                                        float stddev, const oce_tensor *y);

/** Sets every element of a dense tensor to `value`. */
OCE_API oce_status oce_fill(oce_device *device, const oce_tensor *y, float value);

/** Writes the number of NaNs and infinities in x (any halo) to element `slot` of `counts`, an array
 * of uint32: names the first layer in which a diverging run went wrong. */
OCE_API oce_status oce_count_nonfinite(oce_device *device, const oce_tensor *x, oce_buffer *counts,
                                       size_t slot);

#ifdef __cplusplus
}
#endif

#endif
