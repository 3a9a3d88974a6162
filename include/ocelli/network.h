/**
 * Networks as data: a table of layers, from the input on. The last layer's outputs are the logits.
 */
#ifndef OCELLI_NETWORK_H
#define OCELLI_NETWORK_H

#include <ocelli/conv2d.h>
#include <ocelli/window.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oce_layer_kind {
    OCE_LAYER_CONV2D = 1,   /**< window, units (filters), activation; bias included */
    OCE_LAYER_MAX_POOL,     /**< window */
    OCE_LAYER_AVERAGE_POOL, /**< window */
    OCE_LAYER_DENSE,  /**< units, activation; flattens its input in NHWC order; bias included */
    OCE_LAYER_DROPOUT /**< keep_prob */
} oce_layer_kind;

/** "conv2d", "max_pool", "average_pool", "dense", "dropout". */
OCE_API const char *oce_layer_kind_name(oce_layer_kind kind);

/** One layer. What a kind does not use must be 0. */
typedef struct oce_layer {
    const char *name; /**< e.g. "conv1"; must be unique in the network */
    oce_layer_kind kind;
    int64_t units;
    oce_window window;
    oce_activation activation;
    float keep_prob;     /**< dropout: in (0, 1] */
    float weight_stddev; /**< truncated normal; 0 means 0.05 */
    float bias_start;
} oce_layer;

/** A network. The tables must stay as long as models of it are used. */
typedef struct oce_network {
    const char *name;
    int64_t height, width, channels; /**< of the input images, NHWC */
    const oce_layer *layers;
    int layer_count;
} oce_network;

/** The tutorial's MNIST classifier: 28x28x1, two 5x5 convolutions, two dense layers, 3,274,634
 * parameters. */
OCE_API const oce_network *oce_network_mnist(void);

/** The tutorial's CIFAR-10 classifier: 32x32x3, five convolutions, two dense layers, 3,626,314
 * parameters. */
OCE_API const oce_network *oce_network_cifar10(void);

/** "mnist" or "cifar10"; NULL for another name. */
OCE_API const oce_network *oce_network_find(const char *name);

#ifdef __cplusplus
}
#endif

#endif
