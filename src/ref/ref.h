/*
 * The reference operations: naive loops in plain C that accumulate in double and round once, at the
 * end. They are the oracle of the tests and of the self test, so they follow the formulas of the
 * public headers (named at each group) word by word and never try to be fast.
 *
 * Arrays are dense, row-major, without halo, on the host: activations NHWC, filters HWIO, matrices
 * [rows, columns]. The caller allocates every output; outputs are overwritten and, where it does
 * not say otherwise, must not overlap inputs. Extents of 0 are legal: sums over nothing are 0, and
 * arrays without elements are never touched.
 *
 * Functions that return a status check extents and geometry before they touch an array.
 */
#ifndef OCE_REF_REF_H
#define OCE_REF_REF_H

#include <ocelli/conv2d.h>
#include <ocelli/elementwise.h>
#include <ocelli/gemm.h>
#include <ocelli/optimizer.h>
#include <ocelli/pool.h>
#include <ocelli/softmax.h>
#include <ocelli/status.h>

#include <stddef.h>
#include <stdint.h>

/*
 * Convolution (ocelli/conv2d.h). x, dx [N,H,W,C]; filter, dfilter [R,S,C,K]; bias [K];
 * y, dy [N,OH,OW,K], with OH x OW by oce_window_resolve(&desc->window, H, W). desc->family plays no
 * part. Errors: those of oce_window_resolve; OCE_ERROR_INVALID_ARGUMENT for a negative batch,
 * channels or filters, or an unknown activation.
 */

/* y = act(conv(x, filter) + bias); bias NULL: none. */
oce_status oce_ref_conv2d_forward(const oce_conv2d_desc *desc, const float *x, const float *filter,
                                  const float *bias, float *y);
/* dx from dy, the gradient before the activation (see oce_ref_relu_grad). */
oce_status oce_ref_conv2d_input_grad(const oce_conv2d_desc *desc, const float *dy,
                                     const float *filter, float *dx);
/* dfilter from x and dy, the gradient before the activation. */
oce_status oce_ref_conv2d_filter_grad(const oce_conv2d_desc *desc, const float *x, const float *dy,
                                      float *dfilter);

/*
 * Pooling (ocelli/pool.h). x, dx [N,H,W,C]; y, dy [N,OH,OW,C]. Errors: those of oce_window_resolve;
 * OCE_ERROR_INVALID_ARGUMENT (negative batch or channels, dilation other than 1, unknown kind, a
 * window of more than 255 positions for OCE_POOL_MAX); OCE_ERROR_SHAPE (a window that lies wholly
 * in the padding).
 */

/* winners [N,OH,OW,C]: each window's winner as its row-major position r * S + s in the window,
 * padding included in the count. NULL: not wanted; must be NULL for OCE_POOL_AVERAGE. */
oce_status oce_ref_pool_forward(const oce_pool_desc *desc, const float *x, float *y,
                                uint8_t *winners);
/* dx from dy; the maximum finds its winners in x again, the average does not read x (may be NULL).
 * The fused ReLU of oce_pool_grad is oce_ref_relu_grad(dy, y) before this call. */
oce_status oce_ref_pool_grad(const oce_pool_desc *desc, const float *x, const float *dy, float *dx);

/*
 * Matrix product (ocelli/gemm.h): c [M,N] = act(op(a) op(b) + bias); a [M,K], or [K,M] if
 * desc->transpose_a; b [K,N], or [N,K] if desc->transpose_b; bias [N] or NULL. desc->family plays
 * no part. Errors: OCE_ERROR_INVALID_ARGUMENT (negative extents, unknown activation).
 */
oce_status oce_ref_gemm(const oce_gemm_desc *desc, const float *a, const float *b,
                        const float *bias, float *c);

/* Elementwise operations (ocelli/elementwise.h); arrays of `count` elements. */

/* y = max(x, 0), NaN stays NaN, -0 becomes 0. y may be x. */
void oce_ref_relu(size_t count, const float *x, float *y);
/* dx = dy where y > 0, else 0 (also for NaN in y); y is the ReLU's output. dx may be dy. */
void oce_ref_relu_grad(size_t count, const float *dy, const float *y, float *dx);
/* db[k] = sum over rows of dy[row,k]; dy [rows, columns], db [columns]. */
void oce_ref_bias_grad(int64_t rows, int64_t columns, const float *dy, float *db);
/* y[i] = x[i] / keep_prob if element dropout->first + i is kept, else 0. Exact: the kernel must
 * give the same floats. y may be x. Errors: OCE_ERROR_INVALID_ARGUMENT (keep_prob not in (0, 1]).
 */
oce_status oce_ref_dropout(const oce_dropout *dropout, size_t count, const float *x, float *y);
/* y[i] = (float)bytes[i] * scale, one float32 multiplication. */
void oce_ref_convert_bytes(size_t count, const uint8_t *bytes, float scale, float *y);
/* The same for images [N,H,W,C], flipped and shifted as oce_augment says; dim: {N, H, W, C}.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (max_shift not in 0..32767). */
oce_status oce_ref_convert_augmented(const oce_augment *augment, const int64_t dim[4],
                                     const uint8_t *bytes, float scale, float *y);
/*
 * y[i] = z_i * stddev, a truncated normal; count is at most 2^32. z_i is the first z with |z| < 2
 * in this order: for attempt = 0, 1, 2, ... words w0..w3 = Philox4x32-10(counter {i, attempt,
 * layer, OCE_RANDOM_WEIGHTS}, key {seed mod 2^32, seed / 2^32}) for each pair (w0, w1), then (w2,
 * w3), called (a, b): u = max((a >> 8) * 2^-24, 1e-7f);  v = 2 * pi * ((b >> 8) * 2^-24);  r =
 * sqrt(-2 * ln u) z = r * sin v, then z = r * cos v Evaluated in double and rounded once. A float32
 * kernel agrees to its own rounding, save for the rare z so near 2 that only rounding decides
 * whether it is redrawn.
 */
void oce_ref_truncated_normal(uint64_t seed, uint32_t layer, float stddev, size_t count, float *y);

/* Softmax family (ocelli/softmax.h). logits, labels, probabilities, dlogits [rows, classes]. */

/* probabilities may be logits. */
void oce_ref_softmax(int64_t rows, int64_t classes, const float *logits, float *probabilities);
/* Labels are distributions (need not sum to 1); losses [rows]; dlogits = (softmax - labels) *
 * upstream, NULL: not wanted. */
void oce_ref_softmax_xent(int64_t rows, int64_t classes, const float *logits, const float *labels,
                          float upstream, float *losses, float *dlogits);
/* Labels are class numbers, [rows]. dlogits and predictions [rows] may be NULL. A label that is not
 * below `classes` makes sums->loss NaN; its row counts as wrong, and its row of dlogits is
 * softmax * upstream, as no class is labelled. */
void oce_ref_softmax_xent_classes(int64_t rows, int64_t classes, const float *logits,
                                  const uint8_t *labels, float upstream, oce_xent_sums *sums,
                                  float *dlogits, int32_t *predictions);
/* predictions[row] = the first of the largest logits. As TensorFlow (Eigen) has it, the search
 * starts at class 0 with the lowest float and moves on a strictly greater logit only: NaN never
 * wins, and a row of NaN, or of -inf, gives 0. */
void oce_ref_argmax(int64_t rows, int64_t classes, const float *logits, int32_t *predictions);

/*
 * One optimizer step (ocelli/optimizer.h) on `count` parameters, then advances *state (a power that
 * leaves the normal float range becomes 0). slots: oce_optimizer_slots() arrays (none: NULL), in
 * the order m, v (Adam), ms, momentum (RMSProp), accumulator (momentum).
 *
 * The exception from double: each operation is rounded to float32 in TensorFlow's order, because
 * the rounding is part of what is compared. Checkpoints hold slots and powers bit by bit (the
 * powers are long float32 products), and where Adam divides noise by noise a rounding difference
 * does not stay small. Errors: OCE_ERROR_INVALID_ARGUMENT (unknown kind).
 */
oce_status oce_ref_optimizer_step(const oce_optimizer_desc *desc, float learning_rate,
                                  oce_optimizer_state *state, const float *gradients,
                                  float *parameters, float *const *slots, size_t count);

#endif
