/*
 * The end of a classifier for a few images on a CPU: the last dense layer, and softmax or cross
 * entropy of its logits, in one launch (cl/head.cl). It also adds up the partial sums of the dense
 * layer before it, where that left some (oce_gemm_run_parts): three launches less in the time that
 * one image takes.
 */
#ifndef OCE_OPS_HEAD_H
#define OCE_OPS_HEAD_H

#include <ocelli/activation.h>
#include <ocelli/tensor.h>

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct oce_head {
    oce_device *device;
    /* The layer's input, [images,inputs]: act(sum of `splits` parts + parts_bias). The parts lie
     * part_size floats apart, from float `first` of the buffer on. */
    const oce_buffer *parts;
    size_t first, part_size;
    int splits;
    const oce_tensor *parts_bias; /* [inputs]; NULL: none */
    oce_activation activation;
    const oce_tensor *weights; /* [inputs,classes] */
    const oce_tensor *bias;    /* [classes] */
    const oce_tensor *logits;  /* [images,classes]; written */
} oce_head;

/* Whether the launch is worth it: the device is a CPU, and the work is so little that one item does
 * it in a few microseconds. A function of the shape, apart from the vectors' width. */
bool oce_head_serves(const oce_device *device, int64_t images, int64_t inputs, int64_t classes,
                     int splits);

/* logits = softmax of each row. Errors: OCE_ERROR_SHAPE, OCE_ERROR_INVALID_ARGUMENT (a tensor or
 * buffer is missing or too small), OCE_ERROR_UNSUPPORTED (oce_head_serves() says no),
 * OCE_ERROR_BUILD, OCE_ERROR_OPENCL. */
oce_status oce_head_softmax(const oce_head *head);

/* As oce_softmax_xent_classes() without a gradient; what logits holds then is the logits. Errors:
 * those of oce_head_softmax(). */
oce_status oce_head_xent_classes(const oce_head *head, const oce_buffer *labels,
                                 size_t labels_first, oce_buffer *sums, size_t slot,
                                 oce_buffer *predictions);

#endif
