/* Convolution and max pool computed together, strip by strip of a batch's images. */
#ifndef OCE_NN_STRIPS_H
#define OCE_NN_STRIPS_H

#include "nn/graph.h"

/* How many images a strip of layer `index` has, whose output is height x width x channels; 0: the
 * layer is computed for the whole batch at once. */
int64_t oce_strip_images(const oce_graph *graph, int index, const int64_t output[3]);

/* The same of any convolution with a max pool above it, of `batch` images. */
int64_t oce_strip_of_batch(const oce_device *device, int64_t batch, const int64_t output[3]);

/* Runs convolution `index` and the max pool above it. */
oce_status oce_strips_forward(oce_graph *graph, int index, const oce_memory *memory,
                              const oce_tensor *x, const oce_tensor *weights,
                              const oce_tensor *bias);

/* What a backward pass through the two needs, all of the whole batch. */
typedef struct oce_strips_grad {
    const oce_memory *memory;
    const oce_tensor *x, *weights; /* of the convolution */
    const oce_tensor *dy;          /* gradient of the pool's output */
    const oce_tensor *dx;          /* gradient of x; written if the node needs it */
    oce_buffer *gradients;
} oce_strips_grad;

oce_status oce_strips_backward(oce_graph *graph, int index, const oce_strips_grad *g);

#endif
