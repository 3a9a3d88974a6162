#include "support/tiny_network.h"

#include "base/random.h"

#include <criterion/criterion.h>
#include <stdlib.h>

const oce_network *tiny_network(void) {
    static const oce_layer layers[] = {
        {.name = "dilated",
         .kind = OCE_LAYER_CONV2D,
         .units = 6,
         .window = {.size = {3, 3}, .dilation = {2, 2}, .padding = OCE_PADDING_VALID},
         .activation = OCE_ACTIVATION_RELU,
         .weight_stddev = 0.3F,
         .bias_start = 0.1F},
        {.name = "max",
         .kind = OCE_LAYER_MAX_POOL,
         .window = {.size = {3, 3}, .stride = {2, 2}, .padding = OCE_PADDING_SAME}},
        {.name = "strided",
         .kind = OCE_LAYER_CONV2D,
         .units = 9,
         .window = {.size = {3, 3}, .stride = {2, 2}, .padding = OCE_PADDING_SAME},
         .weight_stddev = 0.2F},
        {.name = "average",
         .kind = OCE_LAYER_AVERAGE_POOL,
         .window = {.size = {2, 2}, .padding = OCE_PADDING_VALID}},
        {.name = "hidden",
         .kind = OCE_LAYER_DENSE,
         .units = 7,
         .activation = OCE_ACTIVATION_RELU,
         .weight_stddev = 0.4F,
         .bias_start = 0.2F},
        {.name = "dropout", .kind = OCE_LAYER_DROPOUT, .keep_prob = 0.7F},
        {.name = "logits", .kind = OCE_LAYER_DENSE, .units = TINY_CLASSES, .weight_stddev = 0.4F},
    };
    static const oce_network network = {.name = "tiny",
                                        .height = TINY_HEIGHT,
                                        .width = TINY_WIDTH,
                                        .channels = TINY_CHANNELS,
                                        .layers = layers,
                                        .layer_count = sizeof layers / sizeof layers[0]};
    return &network;
}

oce_model_options tiny_options(int64_t batch, int64_t micro_batches) {
    return (oce_model_options){.batch = batch,
                               .micro_batches = micro_batches,
                               .training = true,
                               .optimizer = oce_optimizer_defaults(OCE_OPTIMIZER_MOMENTUM, 0.05F),
                               .input_scale = 1.0F / 255.0F,
                               .seed = 11};
}

oce_model *tiny_model(oce_device *device, const oce_model_options *options) {
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, tiny_network(), options, &model));
    TEST_OK(oce_model_allocate(model));
    return model;
}

static uint8_t *random_bytes(size_t count, uint32_t bound, uint64_t seed) {
    uint8_t *bytes = malloc(count + 1);
    cr_assert(bytes != NULL);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, bound);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)oce_random_below(&random, bound);
    return bytes;
}

uint8_t *tiny_images(int64_t count, uint64_t seed) {
    return random_bytes((size_t)count * TINY_IMAGE, 256, seed);
}

uint8_t *tiny_labels(int64_t count, uint64_t seed) {
    return random_bytes((size_t)count, TINY_CLASSES, seed);
}
