/* Models: planning, initial values, gradients, evaluation, repeats, micro-batches. */
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/tiny_network.h"
#include "support/variables.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VARIABLES = 16 };

static void train(oce_model *model, int steps) {
    const int64_t batch = oce_model_get_options(model)->batch;
    for (int s = 0; s < steps; s++) {
        uint8_t *images = tiny_images(batch, 100 + (uint64_t)s);
        uint8_t *labels = tiny_labels(batch, 100 + (uint64_t)s);
        TEST_OK(oce_model_train_step(model, images, labels, 0.05F));
        free(images);
        free(labels);
    }
}

static double loss_of(oce_model *model, const uint8_t *images, const uint8_t *labels,
                      int64_t count) {
    oce_metrics metrics;
    TEST_OK(oce_model_evaluate(model, images, labels, count, &metrics, NULL));
    return metrics.loss;
}

Test(model, plans_the_networks_of_the_tutorial) {
    static const struct {
        const char *name;
        int64_t batch, parameters;
        double forward, training; /* MFLOP an image, pipelines.md */
    } expected[] = {{"mnist", 50, 3274634, 27.8, 82.0}, {"cifar10", 128, 3626314, 115.7, 337.4}};
    oce_device *device = test_open_device();
    for (int i = 0; i < 2; i++) {
        oce_model_options options = tiny_options(test_is_small() ? 2 : expected[i].batch, 1);
        oce_model *model = NULL;
        TEST_OK(oce_model_create(device, oce_network_find(expected[i].name), &options, &model));
        int64_t parameters = 0;
        double forward = 0, training = 0;
        size_t bytes = 0;
        for (int l = 0; l < oce_model_layer_count(model); l++) {
            oce_layer_info info;
            oce_model_layer(model, l, &info);
            parameters += info.parameters;
            forward += info.forward_flops;
            training += info.training_flops;
        }
        for (int b = 0; b < oce_model_buffer_count(model); b++) {
            oce_buffer_info info;
            oce_model_buffer(model, b, &info);
            cr_expect(info.name[0] != '\0');
            bytes += info.bytes;
        }
        cr_expect_eq(parameters, expected[i].parameters);
        cr_expect_float_eq(forward * 1e-6, expected[i].forward, 0.05);
        cr_expect_float_eq(training * 1e-6, expected[i].training, 0.05);
        cr_expect_eq(bytes, oce_model_bytes(model));
        oce_model_destroy(model);
    }
    oce_device_close(device);
}

Test(model, starts_with_truncated_normals_and_constant_biases) {
    oce_device *device = test_open_device();
    const oce_model_options options = tiny_options(2, 1);
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    TEST_OK(oce_model_allocate(model));
    for (int v = 0; v < oce_model_variable_count(model); v++) {
        oce_variable variable;
        oce_model_variable(model, v, &variable);
        float *values = variable_values(model, v, OCE_VARIABLE_VALUE);
        double squares = 0;
        for (int64_t i = 0; i < variable.count; i++) {
            squares += (double)values[i] * (double)values[i];
            cr_assert(variable.is_bias ? values[i] == 0.1F : fabsf(values[i]) < 0.1F);
        }
        const double deviation = sqrt(squares / (double)variable.count);
        if (!variable.is_bias) /* four standard errors */
            cr_expect_float_eq(deviation, 0.0439813, 0.0439813 * 4 / sqrt((double)variable.count));
        free(values);
    }
    oce_model_destroy(model);
    oce_device_close(device);
}

/* The forward pass of the tiny network by src/ref; probabilities [count, TINY_CLASSES]. */
static float *reference_probabilities(oce_model *model, const uint8_t *images, int64_t count) {
    const oce_network *network = tiny_network();
    float *x = test_zeros((size_t)count * TINY_IMAGE);
    for (size_t i = 0; i < (size_t)count * TINY_IMAGE; i++)
        x[i] = (float)images[i] * oce_model_get_options(model)->input_scale;
    int64_t h = TINY_HEIGHT, w = TINY_WIDTH, c = TINY_CHANNELS;
    int variable = 0;
    for (int l = 0; l < network->layer_count; l++) {
        const oce_layer *layer = &network->layers[l];
        oce_layer_info info;
        oce_model_layer(model, l, &info);
        float *y = test_zeros((size_t)(count * info.output[0] * info.output[1] * info.output[2]));
        float *weights = NULL, *bias = NULL;
        if (info.parameters > 0) {
            weights = variable_values(model, variable++, OCE_VARIABLE_VALUE);
            bias = variable_values(model, variable++, OCE_VARIABLE_VALUE);
        }
        if (layer->kind == OCE_LAYER_CONV2D) {
            const oce_conv2d_desc desc = {.batch = count,
                                          .height = h,
                                          .width = w,
                                          .channels = c,
                                          .filters = layer->units,
                                          .window = layer->window,
                                          .activation = layer->activation};
            TEST_OK(oce_ref_conv2d_forward(&desc, x, weights, bias, y));
        } else if (layer->kind == OCE_LAYER_DENSE) {
            const oce_gemm_desc desc = {
                .m = count, .n = layer->units, .k = h * w * c, .activation = layer->activation};
            oce_ref_gemm(&desc, x, weights, bias, y);
        } else if (layer->kind == OCE_LAYER_DROPOUT) {
            memcpy(y, x, (size_t)(count * h * w * c) * sizeof *y);
        } else {
            const oce_pool_desc desc = {
                .kind = layer->kind == OCE_LAYER_MAX_POOL ? OCE_POOL_MAX : OCE_POOL_AVERAGE,
                .batch = count,
                .height = h,
                .width = w,
                .channels = c,
                .window = layer->window};
            TEST_OK(oce_ref_pool_forward(&desc, x, y, NULL));
        }
        free(weights);
        free(bias);
        free(x);
        x = y;
        h = info.output[0];
        w = info.output[1];
        c = info.output[2];
    }
    float *probabilities = test_zeros((size_t)count * TINY_CLASSES);
    oce_ref_softmax(count, TINY_CLASSES, x, probabilities);
    free(x);
    return probabilities;
}

Test(model, forward_pass_is_that_of_the_reference_operations) {
    enum { COUNT = 11 }; /* two full batches and a part of one */
    oce_device *device = test_open_device();
    const oce_model_options options = tiny_options(4, 1);
    oce_model *model = tiny_model(device, &options);
    uint8_t *images = tiny_images(COUNT, 3), *labels = tiny_labels(COUNT, 3);
    float *expected = reference_probabilities(model, images, COUNT);
    float *got = test_zeros(COUNT * TINY_CLASSES);
    uint8_t predictions[COUNT];
    oce_metrics metrics;
    TEST_OK(oce_model_predict(model, images, COUNT, got));
    expect_floats(got, expected, COUNT * TINY_CLASSES, NULL, (compare_limit){.absolute = 1e-5},
                  "probabilities");
    TEST_OK(oce_model_evaluate(model, images, labels, COUNT, &metrics, predictions));
    double loss = 0;
    int correct = 0;
    for (int i = 0; i < COUNT; i++) {
        int best = 0;
        for (int c = 1; c < TINY_CLASSES; c++)
            if (expected[i * TINY_CLASSES + c] > expected[i * TINY_CLASSES + best])
                best = c;
        loss -= log((double)expected[i * TINY_CLASSES + labels[i]]) / COUNT;
        correct += best == labels[i];
        cr_expect_eq(predictions[i], best);
    }
    cr_expect_eq(metrics.images, COUNT);
    cr_expect_float_eq(metrics.loss, loss, 1e-5);
    cr_expect_float_eq(metrics.accuracy, (double)correct / COUNT, 1e-12);
    free(images);
    free(labels);
    free(expected);
    free(got);
    oce_model_destroy(model);
    oce_device_close(device);
}

/* Moves each of the `count` variables by `scale` times `direction`. */
static void move(oce_model *model, int count, float *const *start, float *const *direction,
                 float scale) {
    for (int v = 0; v < count; v++) {
        oce_variable variable;
        oce_model_variable(model, v, &variable);
        float *moved = test_zeros((size_t)variable.count);
        for (int64_t i = 0; i < variable.count; i++)
            moved[i] = start[v][i] + scale * direction[v][i];
        TEST_OK(oce_model_set(model, v, OCE_VARIABLE_VALUE, moved, variable.count));
        free(moved);
    }
}

/* Along the gradient of one variable, and along a random direction in it, the loss changes as the
 * gradient says. */
static void expect_slopes(const oce_network *network) {
    enum { BATCH = 8 };
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(BATCH, 1);
    options.keep_prob = 1;
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, network, &options, &model));
    TEST_OK(oce_model_allocate(model));
    uint8_t *images = tiny_images(BATCH, 5), *labels = tiny_labels(BATCH, 5);
    const int count = oce_model_variable_count(model);
    float *start[MAX_VARIABLES], *gradient[MAX_VARIABLES], *direction[MAX_VARIABLES];
    cr_assert_leq(count, MAX_VARIABLES);
    for (int v = 0; v < count; v++)
        start[v] = variable_values(model, v, OCE_VARIABLE_VALUE);
    TEST_OK(oce_model_train_step(model, images, labels, 0));
    for (int v = 0; v < count; v++) {
        oce_variable variable;
        oce_model_variable(model, v, &variable);
        gradient[v] = variable_values(model, v, OCE_VARIABLE_GRADIENT);
        direction[v] = test_zeros((size_t)variable.count);
    }
    for (int v = 0; v < count; v++) {
        oce_variable variable;
        oce_model_variable(model, v, &variable);
        float *random = test_random((size_t)variable.count, 77);
        for (int kind = 0; kind < 2; kind++) {
            double slope = 0, length = 0;
            for (int64_t i = 0; i < variable.count; i++) {
                const float d = kind == 0 ? gradient[v][i] : random[i];
                length += (double)d * (double)d;
                direction[v][i] = d;
            }
            length = sqrt(length);
            cr_assert(length > 0);
            for (int64_t i = 0; i < variable.count; i++) {
                direction[v][i] = (float)((double)direction[v][i] / length);
                slope += (double)gradient[v][i] * (double)direction[v][i];
            }
            const float h = 5e-4F;
            move(model, count, start, direction, h);
            const double above = loss_of(model, images, labels, BATCH);
            move(model, count, start, direction, -h);
            const double below = loss_of(model, images, labels, BATCH);
            const double numerical = (above - below) / (2 * (double)h);
            cr_expect_float_eq(slope, numerical, 2e-3 + 0.01 * fabs(slope),
                               "variable %d (%s), direction %d: slope %.6f, numerically %.6f", v,
                               variable.layer, kind, slope, numerical);
            memset(direction[v], 0, (size_t)variable.count * sizeof **direction);
        }
        free(random);
    }
    for (int v = 0; v < count; v++) {
        free(start[v]);
        free(gradient[v]);
        free(direction[v]);
    }
    free(images);
    free(labels);
    oce_model_destroy(model);
    oce_device_close(device);
}

Test(model, gradients_are_the_slope_of_the_loss) {
    expect_slopes(tiny_network());
}

/* Layers on images of one size, for those of the tiny network: gradients overwrite outputs. */
static const oce_network *even_network(void) {
    static const oce_window window = {.size = {3, 3}, .padding = OCE_PADDING_SAME};
    static oce_layer layers[] = {
        {.name = "one", .kind = OCE_LAYER_CONV2D, .units = 7, .activation = OCE_ACTIVATION_RELU},
        {.name = "two", .kind = OCE_LAYER_CONV2D, .units = 7, .activation = OCE_ACTIVATION_RELU},
        {.name = "kept", .kind = OCE_LAYER_DROPOUT, .keep_prob = 0.7F},
        {.name = "max", .kind = OCE_LAYER_MAX_POOL},
        {.name = "three", .kind = OCE_LAYER_CONV2D, .units = 7, .activation = OCE_ACTIVATION_RELU},
        {.name = "max too", .kind = OCE_LAYER_MAX_POOL},
        {.name = "max again", .kind = OCE_LAYER_MAX_POOL},
        {.name = "four", .kind = OCE_LAYER_CONV2D, .units = 7},
        {.name = "logits", .kind = OCE_LAYER_DENSE, .units = TINY_CLASSES},
    };
    static const oce_network network = {.name = "even",
                                        .height = TINY_HEIGHT,
                                        .width = TINY_WIDTH,
                                        .channels = TINY_CHANNELS,
                                        .layers = layers,
                                        .layer_count = sizeof layers / sizeof layers[0]};
    for (int l = 0; l < network.layer_count; l++) {
        layers[l].weight_stddev = 0.12F;
        layers[l].bias_start = 0.1F;
        if (layers[l].kind != OCE_LAYER_DENSE && layers[l].kind != OCE_LAYER_DROPOUT)
            layers[l].window = window;
    }
    return &network;
}

Test(model, gradients_where_outputs_were_are_the_slope_of_the_loss) {
    expect_slopes(even_network());
}

/* Of all the gradients of CIFAR-10's activations only the largest needs memory of its own. */
Test(model, gradients_take_the_memory_of_outputs) {
    enum { BATCH = 128 };
    oce_device *device = test_open_device();
    const oce_model_options options = tiny_options(BATCH, 1);
    oce_model *model = NULL;
    TEST_OK(oce_model_create(device, oce_network_cifar10(), &options, &model));
    size_t gradients = 0;
    bool has_halo = false;
    for (int b = 0; b < oce_model_buffer_count(model); b++) {
        oce_buffer_info info;
        oce_model_buffer(model, b, &info);
        if (strstr(info.name, "activation gradients") != NULL)
            gradients += info.bytes;
        if (strcmp(info.name, "conv4 output") == 0)
            has_halo = info.bytes > sizeof(float) * BATCH * 8 * 8 * 128;
    }
    const size_t largest = sizeof(float) * BATCH * 16 * 16 * 64;
    cr_expect(has_halo || gradients < largest + largest / 8, "%zu bytes, the largest has %zu",
              gradients, largest);
    oce_model_destroy(model);
    oce_device_close(device);
}

Test(model, same_seed_gives_the_same_bits) {
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(6, 2);
    options.augment = true;
    oce_model *a = tiny_model(device, &options), *b = tiny_model(device, &options);
    train(a, 50);
    train(b, 50);
    expect_same_variables(a, b, OCE_VARIABLE_VALUE, (compare_limit){0});
    expect_same_variables(a, b, OCE_VARIABLE_SLOT_0, (compare_limit){0});
    oce_model_destroy(b);
    options.seed++;
    b = tiny_model(device, &options);
    float *left = variable_values(a, 0, OCE_VARIABLE_VALUE),
          *right = variable_values(b, 0, OCE_VARIABLE_VALUE);
    cr_expect(memcmp(left, right, 8 * sizeof *left) != 0, "another seed, the same weights");
    free(left);
    free(right);
    oce_model_destroy(a);
    oce_model_destroy(b);
    oce_device_close(device);
}

/* Dropout and augmentation depend on an image's place in the whole batch. */
Test(model, micro_batches_add_up_to_the_whole_batch) {
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(12, 1);
    options.augment = true;
    oce_model *whole = tiny_model(device, &options);
    train(whole, 1);
    for (int64_t parts = 2; parts <= 12; parts *= 2 + (parts > 2)) {
        options.micro_batches = parts;
        oce_model *split = tiny_model(device, &options);
        train(split, 1);
        expect_same_variables(split, whole, OCE_VARIABLE_GRADIENT,
                              (compare_limit){.of_largest = 1e-5});
        expect_same_variables(split, whole, OCE_VARIABLE_VALUE,
                              (compare_limit){.of_largest = 1e-5});
        oce_metrics a, b;
        TEST_OK(oce_model_step_metrics(whole, 0, &a));
        TEST_OK(oce_model_step_metrics(split, 0, &b));
        cr_expect_float_eq(a.loss, b.loss, 1e-5);
        cr_expect_float_eq(a.accuracy, b.accuracy, 1e-12);
        oce_model_destroy(split);
    }
    oce_model_destroy(whole);
    oce_device_close(device);
}

/* RMSProp without momentum needs no memory for gradients, and gives the same bits. */
Test(model, gradients_take_the_memory_of_unread_moments) {
    oce_device *device = test_open_device();
    for (int64_t parts = 1; parts <= 2; parts++) {
        oce_model_options options = tiny_options(4, parts);
        options.optimizer = oce_optimizer_defaults(OCE_OPTIMIZER_RMSPROP, 1e-3F);
        oce_model *lean = tiny_model(device, &options);
        options.keep_gradients = true;
        oce_model *kept = tiny_model(device, &options);
        train(lean, 3);
        train(kept, 3);
        for (int part = OCE_VARIABLE_VALUE; part <= OCE_VARIABLE_SLOT_1; part++)
            if (part != OCE_VARIABLE_GRADIENT)
                expect_same_variables(lean, kept, (oce_variable_part)part, (compare_limit){0});
        free(variable_values(kept, 0, OCE_VARIABLE_GRADIENT));
        oce_variable variable;
        oce_model_variable(lean, 0, &variable);
        float *values = test_zeros((size_t)variable.count);
        cr_expect_eq(oce_model_get(lean, 0, OCE_VARIABLE_GRADIENT, values, variable.count),
                     OCE_ERROR_INVALID_ARGUMENT);
        cr_expect(strstr(oce_last_error(), "keep_gradients") != NULL, "%s", oce_last_error());
        free(values);
        cr_expect_eq(oce_model_buffer_count(lean), oce_model_buffer_count(kept) - 1);
        cr_expect_lt(oce_model_bytes(lean), oce_model_bytes(kept));
        oce_model_destroy(kept);
        oce_model_destroy(lean);
    }
    oce_device_close(device);
}

Test(model, continues_from_its_state) {
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(4, 1);
    options.optimizer = oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 0.01F);
    oce_model *a = tiny_model(device, &options), *b = tiny_model(device, &options);
    train(a, 3);
    for (int v = 0; v < oce_model_variable_count(a); v++)
        for (int part = OCE_VARIABLE_VALUE; part <= OCE_VARIABLE_SLOT_1; part++) {
            if (part == OCE_VARIABLE_GRADIENT)
                continue;
            oce_variable variable;
            oce_model_variable(a, v, &variable);
            float *values = variable_values(a, v, (oce_variable_part)part);
            TEST_OK(oce_model_set(b, v, (oce_variable_part)part, values, variable.count));
            free(values);
        }
    const oce_model_state state = oce_model_get_state(a);
    cr_expect_eq(state.step, 3);
    oce_model_set_state(b, &state);
    train(a, 4);
    train(b, 4);
    expect_same_variables(a, b, OCE_VARIABLE_VALUE, (compare_limit){0});
    oce_metrics metrics;
    cr_expect_eq(oce_model_step_metrics(b, 2, &metrics), OCE_ERROR_NOT_FOUND);
    cr_expect_eq(oce_model_step_metrics(b, 7, &metrics), OCE_ERROR_NOT_FOUND);
    TEST_OK(oce_model_step_metrics(b, 6, &metrics));
    oce_model_destroy(a);
    oce_model_destroy(b);
    oce_device_close(device);
}

Test(model, names_the_layer_that_is_not_finite) {
    oce_device *device = test_open_device();
    const oce_model_options options = tiny_options(4, 1);
    oce_model *model = tiny_model(device, &options);
    bool found = true;
    uint64_t step = 0;
    train(model, 2);
    TEST_OK(oce_model_check_finite(model));
    TEST_OK(oce_model_find_nonfinite(model, 0, 2, &found, &step));
    cr_expect_not(found);
    float *weights = variable_values(model, 2, OCE_VARIABLE_VALUE);
    oce_variable variable;
    oce_model_variable(model, 2, &variable);
    weights[5] = NAN;
    weights[7] = INFINITY;
    TEST_OK(oce_model_set(model, 2, OCE_VARIABLE_VALUE, weights, variable.count));
    cr_expect_eq(oce_model_check_finite(model), OCE_ERROR_DIVERGED);
    cr_expect(strstr(oce_last_error(), "\"strided\": 2 of 486 weights") != NULL, "%s",
              oce_last_error());
    train(model, 1);
    TEST_OK(oce_model_find_nonfinite(model, 0, 3, &found, &step));
    cr_expect(found);
    cr_expect_eq(step, 2);
    free(weights);
    oce_model_destroy(model);
    oce_device_close(device);
}
