/* Layers that a model computes in strips of images give what they give for the whole batch. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "support/compare.h"
#include "support/device.h"
#include "support/tiny_network.h"
#include "support/variables.h"

#include "device/device.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The largest batch makes both convolutions' outputs exceed a strip. */
enum { SIDE = 48, CHANNELS = 3, IMAGE = SIDE * SIDE * CHANNELS, MOST = 40, CLASSES = 4 };

static const oce_network *large_network(void) {
    static const oce_layer layers[] = {
        {.name = "first",
         .kind = OCE_LAYER_CONV2D,
         .units = 32,
         .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
         .activation = OCE_ACTIVATION_RELU,
         .bias_start = 0.1F},
        {.name = "overlapping",
         .kind = OCE_LAYER_MAX_POOL,
         .window = {.size = {2, 2}, .padding = OCE_PADDING_SAME}},
        {.name = "second",
         .kind = OCE_LAYER_CONV2D,
         .units = 32,
         .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
         .bias_start = 0.1F},
        {.name = "apart",
         .kind = OCE_LAYER_MAX_POOL,
         .window = {.size = {3, 3}, .stride = {4, 4}, .padding = OCE_PADDING_SAME}},
        {.name = "logits", .kind = OCE_LAYER_DENSE, .units = CLASSES},
    };
    static const oce_network network = {.name = "large",
                                        .height = SIDE,
                                        .width = SIDE,
                                        .channels = CHANNELS,
                                        .layers = layers,
                                        .layer_count = sizeof layers / sizeof layers[0]};
    return &network;
}

typedef struct inputs {
    uint8_t images[MOST * IMAGE], labels[MOST];
} inputs;

static inputs *random_inputs(void) {
    inputs *made = malloc(sizeof *made);
    cr_assert_not_null(made);
    float *random = test_random(MOST * IMAGE, 9);
    for (size_t i = 0; i < MOST * IMAGE; i++)
        made->images[i] = (uint8_t)(random[i] * 127 + 128);
    for (int i = 0; i < MOST; i++)
        made->labels[i] = (uint8_t)(i * 7 % CLASSES);
    free(random);
    return made;
}

static oce_model *large_model(oce_device *device, int64_t batch, int64_t micro_batches) {
    const oce_model_options options = tiny_options(batch, micro_batches);
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, large_network(), &options, &model));
    TEST_OK(oce_model_allocate(model));
    return model;
}

static size_t bytes_of(const oce_model *model, const char *name) {
    for (int i = 0; i < oce_model_buffer_count(model); i++) {
        oce_buffer_info info;
        oce_model_buffer(model, i, &info);
        if (strcmp(info.name, name) == 0)
            return info.bytes;
    }
    return 0;
}

/* One image at a time has no strips. */
Test(strips, add_up_to_the_gradients_of_single_images) {
    oce_device *device = test_open_device();
    inputs *in = random_inputs();
    oce_model *strips = large_model(device, MOST, 1), *single = large_model(device, MOST, MOST);
    TEST_OK(oce_model_train_step(strips, in->images, in->labels, 0.05F));
    TEST_OK(oce_model_train_step(single, in->images, in->labels, 0.05F));
    const compare_limit limit = {.of_largest = 2e-5};
    expect_same_variables(strips, single, OCE_VARIABLE_GRADIENT, limit);
    expect_same_variables(strips, single, OCE_VARIABLE_VALUE, limit);
    oce_metrics a, b;
    TEST_OK(oce_model_step_metrics(strips, 0, &a));
    TEST_OK(oce_model_step_metrics(single, 0, &b));
    cr_expect_float_eq(a.loss, b.loss, 1e-5 * b.loss);
    cr_expect_float_eq(a.accuracy, b.accuracy, 1e-12);
    float *many = test_zeros(MOST * CLASSES), *few = test_zeros(MOST * CLASSES);
    TEST_OK(oce_model_predict(strips, in->images, MOST - 3, many));
    TEST_OK(oce_model_predict(single, in->images, MOST - 3, few));
    expect_floats(many, few, (MOST - 3) * CLASSES, NULL, (compare_limit){.absolute = 2e-5},
                  "probabilities");
    free(many);
    free(few);
    oce_model_destroy(strips);
    oce_model_destroy(single);
    free(in);
    oce_device_close(device);
}

Test(strips, repeat_bit_for_bit) {
    oce_device *device = test_open_device();
    inputs *in = random_inputs();
    oce_model *models[2];
    for (int i = 0; i < 2; i++) {
        models[i] = large_model(device, MOST, 1);
        for (int step = 0; step < 3; step++)
            TEST_OK(oce_model_train_step(models[i], in->images, in->labels, 0.05F));
    }
    expect_same_variables(models[0], models[1], OCE_VARIABLE_VALUE, (compare_limit){0});
    oce_model_destroy(models[0]);
    oce_model_destroy(models[1]);
    free(in);
    oce_device_close(device);
}

/* On a CPU, nothing keeps the output of a layer that is computed in strips. Elsewhere that is where
 * its gradient goes. */
Test(strips, save_the_memory_of_the_largest_outputs) {
    setenv("OCELLI_CAP", "units=2", 1); /* more would rather share an image */
    oce_device *device = test_open_device();
    const char *forced = getenv("OCELLI_DEVICE_CLASS");
    const bool is_cpu = forced != NULL ? strcmp(forced, "cpu") == 0
                                       : oce_device_get_info(device)->type == OCE_DEVICE_CPU;
    oce_model *few = large_model(device, 12, 1), *many = large_model(device, 40, 1);
    const size_t image = (size_t)SIDE * SIDE * 32 * sizeof(float);
    const size_t pooled = (size_t)(SIDE / 4) * (SIDE / 4) * 32 * sizeof(float);
    /* Nor is there one of a layer that pools its output as it computes it. */
    const bool is_pooled = is_cpu && oce_device_limits(device)->loop_rounds == INT64_MAX;
    cr_expect_eq(bytes_of(few, "first output"), is_pooled ? 0 : 12 * image);
    cr_expect_eq(bytes_of(few, "second output"), is_pooled ? 0 : 12 * image);
    cr_expect_eq(bytes_of(many, "first output"), is_cpu ? 0 : 40 * image);
    cr_expect_eq(bytes_of(many, "second output"), is_cpu ? 0 : 40 * image);
    /* of the logits or the second's input, of the last layer's or both, of a strip of the second's
     * output */
    cr_expect_eq(bytes_of(many, "activation gradients A"),
                 is_cpu ? 40 * image : 40 * CLASSES * sizeof(float));
    cr_expect_eq(bytes_of(many, "activation gradients B"), 40 * (is_cpu ? pooled : image));
    cr_expect_eq(bytes_of(many, "activation gradients C"), is_cpu ? 10 * image : 0);
    oce_model_destroy(few);
    oce_model_destroy(many);
    oce_device_close(device);
}
