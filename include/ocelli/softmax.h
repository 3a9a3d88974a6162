/**
 * Softmax, softmax cross entropy with its gradient, class predictions.
 *
 * Per row z of the logits, with m = max z, e_c = exp(z_c - m), E = sum e_c:
 *   softmax   p_c = e_c * (1/E)
 *   loss      sum over c of y_c * (log E - (z_c - m))
 *   gradient  (e_c / E - y_c) * upstream
 * Source: tensorflow/core/kernels/xent_op.h. All tensors are dense; logits are [rows, classes] with
 * at least one class (no rows are legal). A NaN or +inf among a row's logits makes its loss NaN.
 *
 * Errors of every call: OCE_ERROR_SHAPE, OCE_ERROR_INVALID_ARGUMENT (no classes, a tensor or buffer
 * that is missing or too small), OCE_ERROR_BUILD, OCE_ERROR_OPENCL; nothing is enqueued if a check
 * fails.
 */
#ifndef OCELLI_SOFTMAX_H
#define OCELLI_SOFTMAX_H

#include <ocelli/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** probabilities = softmax of each row; both [rows, classes]; may be the same tensor. */
OCE_API oce_status oce_softmax(oce_device *device, const oce_tensor *logits,
                               const oce_tensor *probabilities);

/**
 * Cross entropy against distributions: labels [rows, classes] (need not sum to 1), losses [rows],
 * dlogits [rows, classes] (NULL: not wanted) times `upstream`.
 */
OCE_API oce_status oce_softmax_xent(oce_device *device, const oce_tensor *logits,
                                    const oce_tensor *labels, float upstream,
                                    const oce_tensor *losses, const oce_tensor *dlogits);

/** Sums over a batch that the classifier's step and evaluation need; read back with one call. */
typedef struct oce_xent_sums {
    float loss;      /**< sum over rows of the cross entropy */
    int32_t correct; /**< rows whose largest logit (the first of equals) is the label's */
} oce_xent_sums;

/** Bytes of workspace for oce_softmax_xent_classes: partial sums of the loss, 0 for few rows (up to
 * 256 of at most 32 classes). */
OCE_API size_t oce_softmax_xent_workspace(int64_t rows, int64_t classes);

/**
 * Cross entropy against class numbers, in one launch for batches of usual size. labels: one byte a
 * row (its class number) from byte `first` on. Writes (does not add to) element `slot` of `sums`,
 * an array of oce_xent_sums in device memory, so that the sums of many steps can be read back at
 * once. dlogits (NULL: not wanted) = (softmax - one_hot) * upstream; may be logits. predictions
 * (NULL: not wanted): one int32 a row. workspace: oce_softmax_xent_workspace(rows, classes) bytes,
 * NULL if that is 0.
 *
 * A label that is not below `classes` makes the loss NaN, its row counts as wrong and has no class
 * to subtract from. The loss is summed in an order that depends on the shape only. No rows
 * give a loss of 0.
 */
OCE_API oce_status oce_softmax_xent_classes(oce_device *device, const oce_tensor *logits,
                                            const oce_buffer *labels, size_t first, float upstream,
                                            oce_buffer *sums, size_t slot,
                                            const oce_tensor *dlogits, oce_buffer *predictions,
                                            oce_buffer *workspace);

/** predictions[i] = the class of row i's largest logit, the first of equals; int32. NaN is never
 * the largest, and a row of nothing but NaN or -inf gives 0. */
OCE_API oce_status oce_argmax(oce_device *device, const oce_tensor *logits,
                              oce_buffer *predictions);

#ifdef __cplusplus
}
#endif

#endif
