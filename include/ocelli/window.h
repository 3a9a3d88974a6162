/**
 * The geometry of sliding windows, shared by convolution and pooling: TensorFlow's rules.
 *
 * Per spatial axis, for an input of n, a window of k, a stride of s and a dilation of d, the window
 * spans e = (k-1)*d + 1 inputs and the output has
 *
 *   SAME      o = ceil(n / s); padding t = max(0, (o-1)*s + e - n), floor(t/2) before, the rest
 * after VALID     o = (n - e + s) / s, rounded towards zero; no padding EXPLICIT  o = (n + before +
 * after - e + s) / s, rounded towards zero
 *
 * Source: tensorflow/core/framework/kernel_shape_util.cc.
 */
#ifndef OCELLI_WINDOW_H
#define OCELLI_WINDOW_H

#include <ocelli/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oce_padding {
    OCE_PADDING_SAME = 0,
    OCE_PADDING_VALID = 1,
    OCE_PADDING_EXPLICIT = 2
} oce_padding;

/** A window over H and W; arrays are {rows, columns}. A stride or dilation of 0 means 1. */
typedef struct oce_window {
    int64_t size[2];     /**< window height and width, at least 1 */
    int64_t stride[2];   /**< 0 (means 1) or more */
    int64_t dilation[2]; /**< 0 (means 1) or more; must be 1 for pooling */
    oce_padding padding;
    int64_t before[2]; /**< EXPLICIT only: padding {top, left}, at least 0 */
    int64_t after[2];  /**< EXPLICIT only: padding {bottom, right}, at least 0 */
} oce_window;

/** A window resolved for one input size: no defaults left. Arrays are {rows, columns}. */
typedef struct oce_window_geometry {
    int64_t input[2];
    int64_t output[2]; /**< 0 is legal: an empty output */
    int64_t size[2];
    int64_t stride[2];
    int64_t dilation[2];
    int64_t before[2]; /**< padding {top, left} */
    int64_t after[2];  /**< padding {bottom, right} */
} oce_window_geometry;

/**
 * Resolves `window` over an input of height x width.
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT (window < 1, stride or dilation < 0, negative explicit padding
 * or input size, unknown padding), OCE_ERROR_SHAPE (negative output size), OCE_ERROR_OVERFLOW.
 */
OCE_API oce_status oce_window_resolve(const oce_window *window, int64_t height, int64_t width,
                                      oce_window_geometry *geometry);

#ifdef __cplusplus
}
#endif

#endif
