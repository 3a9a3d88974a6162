/* A small network with every kind of layer, and images for it. */
#ifndef TESTS_SUPPORT_TINY_NETWORK_H
#define TESTS_SUPPORT_TINY_NETWORK_H

#include "support/device.h"

#include <ocelli/model.h>

enum { TINY_HEIGHT = 13, TINY_WIDTH = 11, TINY_CHANNELS = 2, TINY_CLASSES = 5 };
enum { TINY_IMAGE = TINY_HEIGHT * TINY_WIDTH * TINY_CHANNELS };

/* conv 3x3 dilated 2, VALID, ReLU, 2->6 -> max pool 3x3 /2 SAME -> conv 3x3 /2 SAME, 6->9, no
 * activation -> average pool 2x2 /1 VALID -> dense 7, ReLU -> dropout 0.7 -> dense 5. */
const oce_network *tiny_network(void);

/* Options for training it with momentum. */
oce_model_options tiny_options(int64_t batch, int64_t micro_batches);

/* A planned and allocated model. */
oce_model *tiny_model(oce_device *device, const oce_model_options *options);

/* `count` random images, and labels of TINY_CLASSES classes; free() both. */
uint8_t *tiny_images(int64_t count, uint64_t seed);
uint8_t *tiny_labels(int64_t count, uint64_t seed);

#endif
