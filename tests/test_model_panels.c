/* Dense layers whose weights, gradient and slots lie in panels on the device: callers see rows. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "support/device.h"
#include "support/gemm.h"
#include "support/gradient.h"
#include "support/tiny_network.h"
#include "support/variables.h"

#include "device/device.h"
#include "nn/model.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Layer 1, "wide", has as many weights as panels take; its variables are 2 and 3. */
enum {
    SIDE = 6,
    IMAGE = SIDE * SIDE,
    INPUTS = 300, /* more rows than are turned into panels at a time */
    UNITS = 1024,
    WIDE = 2,
    CLASSES = 5
};

/* More rows than the family for few takes; a simulator takes long over many. */
static int64_t batch(void) {
    return test_is_small() ? 5 : 24;
}

static const oce_network *wide_network(void) {
    static const oce_layer layers[] = {
        {.name = "below",
         .kind = OCE_LAYER_DENSE,
         .units = INPUTS,
         .activation = OCE_ACTIVATION_RELU},
        {.name = "wide",
         .kind = OCE_LAYER_DENSE,
         .units = UNITS,
         .activation = OCE_ACTIVATION_RELU,
         .bias_start = 0.1F},
        {.name = "dropout", .kind = OCE_LAYER_DROPOUT, .keep_prob = 0.5F},
        {.name = "logits", .kind = OCE_LAYER_DENSE, .units = CLASSES},
    };
    static const oce_network network = {.name = "wide",
                                        .height = SIDE,
                                        .width = SIDE,
                                        .channels = 1,
                                        .layers = layers,
                                        .layer_count = sizeof layers / sizeof layers[0]};
    return &network;
}

static oce_model *wide_model(oce_device *device, oce_gemm_family family, int64_t micro_batches) {
    oce_model_options options = tiny_options(batch(), micro_batches);
    oce_model *model = NULL;
    options.gemm_family = family;
    options.optimizer = oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 1e-3F);
    TEST_OK(oce_model_create(device, wide_network(), &options, &model));
    TEST_OK(oce_model_allocate(model));
    return model;
}

static uint8_t *wide_images(uint64_t seed) {
    return tiny_images((batch() * IMAGE + TINY_IMAGE - 1) / TINY_IMAGE, seed);
}

static void train(oce_model *model, int steps) {
    for (int s = 0; s < steps; s++) {
        uint8_t *images = wide_images((uint64_t)s);
        uint8_t *labels = tiny_labels(batch(), (uint64_t)s);
        TEST_OK(oce_model_train_step(model, images, labels, 1e-3F));
        free(images);
        free(labels);
    }
}

/* Opens the device; skips the test where no layer gets panels. */
static oce_device *open_for_panels(void) {
    oce_device *device = test_open_device();
    if (!gemm_serves(device, OCE_GEMM_PANEL)) {
        oce_device_close(device);
        cr_skip_test("%s", oce_last_error());
    }
    return device;
}

Test(model_panels, the_layout_is_the_devices_own_affair) {
    oce_device *device = open_for_panels();
    oce_model *model = wide_model(device, OCE_GEMM_AUTO, 1);
    const oce_graph *graph = &model->graph;
    for (int v = 0; v < graph->slot_count; v++)
        cr_expect_eq(graph->slots[v].panel > 0, v == WIDE, "variable %d", v);
    oce_variable variable;
    oce_model_variable(model, WIDE, &variable);
    const size_t count = (size_t)variable.count;
    float *values = test_random(count, 5), *raw = test_zeros(count);
    for (int part = OCE_VARIABLE_VALUE; part <= OCE_VARIABLE_SLOT_1; part++) {
        TEST_OK(oce_model_set(model, WIDE, (oce_variable_part)part, values, variable.count));
        float *got = variable_values(model, WIDE, (oce_variable_part)part);
        cr_expect(memcmp(got, values, count * sizeof *got) == 0, "part %d", part);
        free(got);
    }
    /* On the device the second row follows the first one's panel. */
    oce_tensor tensor;
    TEST_OK(oce_graph_variable(graph, WIDE, oce_model_memory(model, model->parameters_buffer),
                               &tensor));
    TEST_OK(oce_tensor_read(&tensor, raw));
    const size_t panel = (size_t)graph->slots[WIDE].panel;
    cr_expect_eq(raw[panel - 1], values[panel - 1]);
    cr_expect_eq(raw[panel], values[variable.shape[1]]);
    cr_expect_eq(raw[(size_t)variable.shape[0] * panel], values[panel]);
    cr_expect_eq(oce_model_get(model, WIDE, OCE_VARIABLE_VALUE, raw, variable.count - 1),
                 OCE_ERROR_SHAPE);
    free(raw);
    free(values);
    oce_model_destroy(model);
    oce_device_close(device);
}

/* The same start to the bit, and the same training as far as sums in another order go. */
Test(model_panels, train_as_rows_do) {
    oce_device *device = open_for_panels();
    const int steps = test_is_small() ? 1 : 3;
    for (int64_t parts = 1; parts <= (test_is_small() ? 1 : 2); parts++) {
        oce_model *panels = wide_model(device, OCE_GEMM_AUTO, parts);
        oce_model *rows = wide_model(device, OCE_GEMM_NAIVE, parts);
        cr_expect_eq(rows->graph.slots[WIDE].panel, 0);
        float *left = variable_values(panels, WIDE, OCE_VARIABLE_VALUE);
        float *right = variable_values(rows, WIDE, OCE_VARIABLE_VALUE);
        cr_expect(memcmp(left, right, (size_t)INPUTS * UNITS * sizeof *left) == 0);
        free(left);
        free(right);
        left = variable_values(panels, WIDE, OCE_VARIABLE_GRADIENT);
        right = test_zeros((size_t)INPUTS * UNITS);
        cr_expect(memcmp(left, right, (size_t)INPUTS * UNITS * sizeof *left) == 0);
        free(left);
        free(right);
        train(panels, steps);
        train(rows, steps);
        /* Adam's steps are nearly as large for gradients that are nearly 0. */
        for (int part = OCE_VARIABLE_VALUE; part <= OCE_VARIABLE_SLOT_1; part++)
            expect_same_variables(panels, rows, (oce_variable_part)part,
                                  (compare_limit){.absolute = 1e-5, .of_largest = 1e-4});
        oce_model_destroy(panels);
        oce_model_destroy(rows);
    }
    oce_device_close(device);
}

/* From a training model to one for answers, which prepares its weights itself. */
Test(model_panels, answers_are_those_of_the_trained_weights) {
    oce_device *device = open_for_panels();
    oce_model *trained = wide_model(device, OCE_GEMM_AUTO, 1), *answering = NULL;
    oce_model_options options = *oce_model_get_options(trained);
    options.training = false;
    TEST_OK(oce_model_create(device, wide_network(), &options, &answering));
    TEST_OK(oce_model_allocate(answering));
    train(trained, 1);
    for (int v = 0; v < oce_model_variable_count(trained); v++) {
        oce_variable variable;
        oce_model_variable(trained, v, &variable);
        float *values = variable_values(trained, v, OCE_VARIABLE_VALUE);
        TEST_OK(oce_model_set(answering, v, OCE_VARIABLE_VALUE, values, variable.count));
        free(values);
    }
    uint8_t *images = wide_images(9);
    const size_t count = (size_t)batch() * CLASSES;
    float *expected = test_zeros(count), *got = test_zeros(count);
    TEST_OK(oce_model_predict(trained, images, batch(), expected));
    TEST_OK(oce_model_predict(answering, images, batch(), got));
    expect_floats(got, expected, count, (int64_t[]){1, 1, batch(), CLASSES},
                  (compare_limit){.absolute = 1e-6}, "probabilities");
    free(expected);
    free(got);
    free(images);
    oce_model_destroy(answering);
    oce_model_destroy(trained);
    oce_device_close(device);
}

/* A driver that cannot build the kernels for panels gets rows. */
Test(model_panels, rows_where_their_kernels_cannot_be_built) {
    setenv("OCELLI_FAULT", "build=gemm_panel.cl", 1);
    oce_device *device = open_for_panels();
    oce_model *model = wide_model(device, OCE_GEMM_AUTO, 1);
    cr_expect_eq(model->graph.slots[WIDE].panel, 0);
    train(model, 1);
    TEST_OK(oce_model_check_finite(model));
    oce_model_destroy(model);
    oce_device_close(device);
}
