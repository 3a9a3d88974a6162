/**
 * Two-dimensional convolution (cross-correlation, as every deep-learning library means it), with
 * bias and ReLU fused, and its gradients.
 *
 *   Y[n,i,j,k]  = act(b[k] + sum over r,s,c of X[n,h,w,c] * F[r,s,c,k])
 *   dX[n,h,w,c] = sum over the i,j,r,s,k that reach (h,w) of dY[n,i,j,k] * F[r,s,c,k]
 *   dF[r,s,c,k] = sum over n,i,j of dY[n,i,j,k] * X[n,h,w,c]
 *
 * with h = i*sh - top + r*dh and w = j*sw - left + s*dw.
 *
 * X [N,H,W,C], F [R,S,C,K] (HWIO), b [K], Y [N,OH,OW,K]; X outside the image counts as 0. Source of
 * the formulas: tf.nn.conv2d.
 */
#ifndef OCELLI_CONV2D_H
#define OCELLI_CONV2D_H

#include <ocelli/activation.h>
#include <ocelli/gemm.h> /* oce_gemm_family */
#include <ocelli/tensor.h>
#include <ocelli/window.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a convolution is computed. */
typedef enum oce_conv2d_family {
    OCE_CONV2D_AUTO = 0, /**< the library's rule for shape and device */
    OCE_CONV2D_NAIVE,    /**< one output an item: any shape, any device */
    OCE_CONV2D_DIRECT,   /**< register tiles with explicit vectors, for CPUs: any shape */
    OCE_CONV2D_WINOGRAD, /**< Winograd: 3x3 and 5x5 windows of stride and dilation 1, channels and
                              filters multiples of the device's vector (4, 8 or 16 floats; GPUs: 4).
                              On CPUs also any number of channels up to 32: forward passes to any
                              number of filters, filter gradients of such multiples. Fused on CPUs;
                            on GPUs the transforms pass through the workspace. Faster, but rounds
                            worse; AUTO chooses it where its errors stay below 2e-5 of the largest
                            value (those of the others are below 1e-5), on GPUs only for many
                            channels (from about 128 for 5x5 windows and 256 for 3x3), unless
                            no_winograd is set. An infinity or NaN in X or dY makes NaNs of all
                            outputs of the tiles that read it, up to 3 rows and columns beyond those
                            whose windows hold it */
    OCE_CONV2D_IM2COL,   /**< the windows' input copied into a matrix, in slabs of 32 MB, and matrix
                              products of them, by CLBlast on GPUs: any shape of which a slab fits
                              into the device's largest allocation. On CPUs AUTO chooses it for
                              large filters with few pixels, and for gradients of windows of one
                              pixel, which need no such copy */
    OCE_CONV2D_IMPLICIT_GEMM, /**< tiles of a matrix product gathered from the images, for GPUs: up
                                   to 2^30 pixels and 2^23 channels */
    OCE_CONV2D_FAMILIES       /**< how many there are */
} oce_conv2d_family;

/** "auto", "naive", "direct", "winograd", "im2col", "implicit_gemm". */
OCE_API const char *oce_conv2d_family_name(oce_conv2d_family family);

/** What to compute. The padding of `window` follows TensorFlow's rules (ocelli/window.h). */
typedef struct oce_conv2d_desc {
    int64_t batch, height, width, channels; /**< X is [batch, height, width, channels] */
    int64_t filters;                        /**< output channels K */
    oce_window window;                      /**< R x S, stride, dilation, padding */
    oce_activation activation;              /**< applied to Y by the forward pass */
    oce_conv2d_family family;               /**< AUTO, or one that must be used */
    oce_gemm_family gemm_family; /**< im2col: of its products; AUTO: CLBlast on GPUs, else
                                      what oce_gemm_plan_create picks */
    bool no_winograd;            /**< AUTO computes the plain sums; excludes the family WINOGRAD */
    bool keeps_filter;           /**< many forward passes with one filter are to come: families may
                                      prepare it (oce_conv2d_prepare) */
    bool keeps_halo;             /**< X always has the halo of oce_conv2d_plan_halo(), and pixels
                                      side by side; what would copy it is not built, and a run
                                      with another X is OCE_ERROR_INVALID_ARGUMENT */
} oce_conv2d_desc;

/** Which pass of a convolution; a bit mask of them says what a plan must be able to do. */
typedef enum oce_pass {
    OCE_PASS_FORWARD = 1,
    OCE_PASS_INPUT_GRAD = 2,
    OCE_PASS_FILTER_GRAD = 4,
    OCE_PASS_ALL = 7
} oce_pass;

typedef struct oce_conv2d_plan oce_conv2d_plan;

/**
 * Checks the description, picks an algorithm for each pass in `passes` and builds its kernels.
 * Allocates no device memory.
 *
 * Batch, height or width may be 0. Channels or filters may be 0 only for a plan of the filter
 * gradient alone, as TensorFlow has it.
 *
 * Errors: those of oce_window_resolve; OCE_ERROR_INVALID_ARGUMENT (an empty filter, a negative
 * extent, an unknown activation, family or pass, the family WINOGRAD with no_winograd),
 * OCE_ERROR_OVERFLOW (an image with its padding, or the filter, of 2^31 elements or more, or sizes
 * that cannot be represented), OCE_ERROR_UNSUPPORTED (a forced family cannot serve the shape: the
 * message says why), OCE_ERROR_BUILD.
 */
OCE_API oce_status oce_conv2d_plan_create(oce_device *device, const oce_conv2d_desc *desc,
                                          unsigned passes, oce_conv2d_plan **plan);
OCE_API void oce_conv2d_plan_destroy(oce_conv2d_plan *plan);

/** The resolved geometry, e.g. the output size. */
OCE_API const oce_window_geometry *oce_conv2d_plan_geometry(const oce_conv2d_plan *plan);
/** The family that serves `pass`; OCE_CONV2D_AUTO if it was not planned. */
OCE_API oce_conv2d_family oce_conv2d_plan_family(const oce_conv2d_plan *plan, oce_pass pass);
/** The halo that X should have for the fastest forward pass and filter gradient. Tensors with a
 * smaller halo, none, or gaps between their pixels work too: they are copied into the workspace
 * first. */
OCE_API oce_halo oce_conv2d_plan_halo(const oce_conv2d_plan *plan);
/** Bytes of workspace for the passes planned, if X has the halo `x_halo` (NULL: none, or X has gaps
 * between its pixels). */
OCE_API size_t oce_conv2d_plan_workspace(const oce_conv2d_plan *plan, const oce_halo *x_halo);
/** Multiply-adds times 2 of one pass, as the direct sum counts them. */
OCE_API double oce_conv2d_plan_flops(const oce_conv2d_plan *plan, oce_pass pass);

/**
 * Y = act(conv(X, F) + b).
 *
 * x: [N,H,W,C]; filter: [R,S,C,K], dense; bias: [K] or NULL for none; y: [N,OH,OW,K], any halo (its
 * border is left alone). workspace: at least oce_conv2d_plan_workspace() bytes; NULL if that is 0.
 * Errors: OCE_ERROR_SHAPE (a tensor does not fit the plan), OCE_ERROR_INVALID_ARGUMENT (pass not
 * planned, workspace too small), OCE_ERROR_OPENCL. Nothing is enqueued if a check fails.
 */
OCE_API oce_status oce_conv2d_forward(oce_conv2d_plan *plan, const oce_tensor *x,
                                      const oce_tensor *filter, const oce_tensor *bias,
                                      const oce_tensor *y, oce_buffer *workspace);

/** Bytes of a prepared filter; 0: the family takes filters as they are. */
OCE_API size_t oce_conv2d_plan_prepared_bytes(const oce_conv2d_plan *plan);
/**
 * Brings a filter into the form that the plan's forward pass computes with, which it does otherwise
 * in each run. prepared: at least oce_conv2d_plan_prepared_bytes().
 * Errors: as oce_conv2d_forward.
 */
OCE_API oce_status oce_conv2d_prepare(oce_conv2d_plan *plan, const oce_tensor *filter,
                                      oce_buffer *prepared);
/** As oce_conv2d_forward, with the same bits; `prepared` was made of `filter` as it is. */
OCE_API oce_status oce_conv2d_forward_prepared(oce_conv2d_plan *plan, const oce_tensor *x,
                                               const oce_tensor *filter, const oce_buffer *prepared,
                                               const oce_tensor *bias, const oce_tensor *y,
                                               oce_buffer *workspace);

/** dX from dY (the gradient with respect to the sum, that is after the activation's own gradient)
 * and F. dy: [N,OH,OW,K]; dx: [N,H,W,C], overwritten. Otherwise as oce_conv2d_forward. */
OCE_API oce_status oce_conv2d_input_grad(oce_conv2d_plan *plan, const oce_tensor *dy,
                                         const oce_tensor *filter, const oce_tensor *dx,
                                         oce_buffer *workspace);

/** dF from X and dY; an empty batch gives zeros. dfilter: [R,S,C,K], dense, overwritten. Otherwise
 * as oce_conv2d_forward. */
OCE_API oce_status oce_conv2d_filter_grad(oce_conv2d_plan *plan, const oce_tensor *x,
                                          const oce_tensor *dy, const oce_tensor *dfilter,
                                          oce_buffer *workspace);

#ifdef __cplusplus
}
#endif

#endif
