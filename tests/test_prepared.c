/* Filters and dense weights that are prepared once for many forward passes. */
#include "support/compare.h"
#include "support/device.h"

#include <ocelli/conv2d.h>
#include <ocelli/model.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 2, FILTERS = 64, SIDE = 14, CLASSES = 10, MNIST_IMAGE = 28 * 28 };

static void expect_same_bits(oce_device *device, oce_conv2d_family family, int64_t channels,
                             int64_t window) {
    const oce_conv2d_desc desc = {.batch = IMAGES,
                                  .height = SIDE,
                                  .width = SIDE,
                                  .channels = channels,
                                  .filters = FILTERS,
                                  .window = {.size = {window, window}, .padding = OCE_PADDING_SAME},
                                  .activation = OCE_ACTIVATION_RELU,
                                  .family = family,
                                  .keeps_filter = true};
    const size_t weights = (size_t)(window * window * channels) * FILTERS;
    const size_t outputs = (size_t)IMAGES * SIDE * SIDE * FILTERS;
    oce_conv2d_plan *plan = NULL;
    const oce_status status = oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan);
    if (status == OCE_ERROR_UNSUPPORTED)
        return;
    TEST_OK(status);
    float *data = test_random((size_t)(IMAGES * SIDE * SIDE * channels), 1);
    float *filter_data = test_random(weights, 2), *bias_data = test_random(FILTERS, 3);
    oce_tensor x = test_tensor(device, IMAGES, SIDE, SIDE, channels, NULL, data);
    oce_tensor filter = test_tensor(device, window, window, channels, FILTERS, NULL, filter_data);
    oce_tensor bias = test_tensor(device, 1, 1, 1, FILTERS, NULL, bias_data);
    oce_tensor plain = test_tensor(device, IMAGES, SIDE, SIDE, FILTERS, NULL, NULL);
    oce_tensor kept = test_tensor(device, IMAGES, SIDE, SIDE, FILTERS, NULL, NULL);
    oce_buffer *workspace = NULL, *prepared = NULL;
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_workspace(plan, NULL), &workspace));
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_prepared_bytes(plan), &prepared));
    TEST_OK(oce_conv2d_forward(plan, &x, &filter, &bias, &plain, workspace));
    TEST_OK(oce_conv2d_prepare(plan, &filter, prepared));
    for (int run = 0; run < 2; run++)
        TEST_OK(oce_conv2d_forward_prepared(plan, &x, &filter, prepared, &bias, &kept, workspace));
    float *expected = test_download(&plain), *got = test_download(&kept);
    expect_floats(got, expected, outputs, NULL, (compare_limit){0},
                  "family %s, %d channels, window %d", oce_conv2d_family_name(family),
                  (int)channels, (int)window);
    if (oce_conv2d_plan_prepared_bytes(plan) > 0) {
        cr_expect_eq(oce_conv2d_prepare(plan, &filter, NULL), OCE_ERROR_INVALID_ARGUMENT);
        cr_expect_eq(oce_conv2d_forward_prepared(plan, &x, &filter, NULL, &bias, &kept, workspace),
                     OCE_ERROR_INVALID_ARGUMENT);
    }
    free(data);
    free(filter_data);
    free(bias_data);
    free(expected);
    free(got);
    oce_buffer_destroy(workspace);
    oce_buffer_destroy(prepared);
    oce_tensor_release(&x);
    oce_tensor_release(&filter);
    oce_tensor_release(&bias);
    oce_tensor_release(&plain);
    oce_tensor_release(&kept);
    oce_conv2d_plan_destroy(plan);
}

Test(prepared, filters_give_the_same_bits) {
    oce_device *device = test_open_device();
    for (int family = 0; family < OCE_CONV2D_FAMILIES; family++)
        for (int64_t window = 3; window <= 5; window += 2) {
            expect_same_bits(device, (oce_conv2d_family)family, 32, window);
            expect_same_bits(device, (oce_conv2d_family)family, 3, window);
        }
    oce_device_close(device);
}

static oce_model *forward_model(oce_device *device, uint64_t seed) {
    const oce_model_options options = {.batch = IMAGES, .input_scale = 1.0F / 255.0F, .seed = seed};
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    TEST_OK(oce_model_allocate(model));
    return model;
}

/* Gives `to` the variables of `from`. */
static void copy_variables(oce_model *from, oce_model *to) {
    for (int v = 0; v < oce_model_variable_count(from); v++) {
        oce_variable variable;
        oce_model_variable(from, v, &variable);
        float *values = test_zeros((size_t)variable.count);
        TEST_OK(oce_model_get(from, v, OCE_VARIABLE_VALUE, values, variable.count));
        TEST_OK(oce_model_set(to, v, OCE_VARIABLE_VALUE, values, variable.count));
        free(values);
    }
}

Test(prepared, filters_follow_the_parameters) {
    oce_device *device = test_open_device();
    oce_model *model = forward_model(device, 1), *other = forward_model(device, 2);
    uint8_t images[IMAGES * MNIST_IMAGE];
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 37 % 251);
    float before[IMAGES * CLASSES], after[IMAGES * CLASSES], expected[IMAGES * CLASSES];
    TEST_OK(oce_model_predict(model, images, IMAGES, before));
    TEST_OK(oce_model_predict(other, images, IMAGES, expected));
    cr_assert(memcmp(before, expected, sizeof before) != 0, "two seeds, the same answers");
    copy_variables(other, model);
    TEST_OK(oce_model_predict(model, images, IMAGES, after));
    expect_floats(after, expected, IMAGES * CLASSES, NULL, (compare_limit){0}, "probabilities");
    oce_model_destroy(model);
    oce_model_destroy(other);
    oce_device_close(device);
}

/* ---- Dense layers -------------------------------------------------------------------------- */

enum { DENSE_SIDE = 9, DENSE_UNITS = 137, DENSE_CLASSES = 11, DENSE_IMAGES = 13 };

/* More images than the thin family takes. */
static oce_model *dense_model(oce_device *device, uint64_t seed, bool training) {
    static const oce_layer layers[] = {
        {.name = "hidden",
         .kind = OCE_LAYER_DENSE,
         .units = DENSE_UNITS,
         .activation = OCE_ACTIVATION_RELU,
         .weight_stddev = 0.3F,
         .bias_start = 0.1F},
        {.name = "logits", .kind = OCE_LAYER_DENSE, .units = DENSE_CLASSES, .weight_stddev = 0.3F},
    };
    static const oce_network network = {.name = "dense",
                                        .height = DENSE_SIDE,
                                        .width = DENSE_SIDE,
                                        .channels = 1,
                                        .layers = layers,
                                        .layer_count = 2};
    const oce_model_options options = {
        .batch = DENSE_IMAGES, .training = training, .input_scale = 1.0F / 255.0F, .seed = seed};
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, &network, &options, &model));
    TEST_OK(oce_model_allocate(model));
    return model;
}

static void predict_dense(oce_model *model, float *probabilities) {
    uint8_t images[DENSE_IMAGES * DENSE_SIDE * DENSE_SIDE];
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 37 % 251);
    TEST_OK(oce_model_predict(model, images, DENSE_IMAGES, probabilities));
}

/* Bytes of the buffer of that name; 0: there is none. */
static size_t buffer_bytes(const oce_model *model, const char *name) {
    for (int i = 0; i < oce_model_buffer_count(model); i++) {
        oce_buffer_info info;
        oce_model_buffer(model, i, &info);
        if (strcmp(info.name, name) == 0)
            return info.bytes;
    }
    return 0;
}

/* A model that may be trained reads the weights as they are. */
Test(prepared, dense_weights_give_the_same_bits) {
    enum { VALUES = DENSE_IMAGES * DENSE_CLASSES };
    oce_device *device = test_open_device();
    oce_model *trained = dense_model(device, 5, true), *fixed = dense_model(device, 5, false);
    float expected[VALUES], got[VALUES];
    predict_dense(trained, expected);
    for (int run = 0; run < 2; run++) {
        predict_dense(fixed, got);
        expect_floats(got, expected, VALUES, NULL, (compare_limit){0}, "run %d", run);
    }
    oce_model_destroy(trained);
    oce_model_destroy(fixed);
    oce_device_close(device);
}

Test(prepared, dense_weights_follow_the_parameters) {
    enum { VALUES = DENSE_IMAGES * DENSE_CLASSES };
    oce_device *device = test_open_device();
    oce_model *model = dense_model(device, 1, false), *other = dense_model(device, 2, false);
    float before[VALUES], after[VALUES], expected[VALUES];
    predict_dense(model, before);
    predict_dense(other, expected);
    cr_assert(memcmp(before, expected, sizeof before) != 0, "two seeds, the same answers");
    copy_variables(other, model);
    predict_dense(model, after);
    expect_floats(after, expected, VALUES, NULL, (compare_limit){0}, "probabilities");
    oce_model_destroy(model);
    oce_model_destroy(other);
    oce_device_close(device);
}

/* Where the panel family computes them, and only for inference. */
Test(prepared, dense_weights_are_in_the_memory_plan) {
    oce_device *device = test_open_device();
    oce_model *trained = dense_model(device, 1, true), *fixed = dense_model(device, 1, false);
    oce_layer_info layer;
    oce_model_layer(fixed, 0, &layer);
    const size_t bytes = buffer_bytes(fixed, "hidden prepared weights");
    if (strcmp(layer.forward, "panel") == 0)
        cr_expect_geq(bytes, DENSE_SIDE * DENSE_SIDE * DENSE_UNITS * sizeof(float));
    else
        cr_expect_eq(bytes, 0, "family %s", layer.forward);
    cr_expect_eq(buffer_bytes(trained, "hidden prepared weights"), 0);
    oce_model_destroy(trained);
    oce_model_destroy(fixed);
    oce_device_close(device);
}
