/*
 * A network of your own: a table of layers, here with average pooling, VALID padding, stride 2 and
 * dilation, trained on the built-in synthetic digits.
 *
 *   custom_model [STEPS]
 *
 * Test run: custom_model 60
 */
#include <ocelli/ocelli.h>

#include <stdio.h>
#include <stdlib.h>

static const oce_layer layers[] = {
    {.name = "wide",
     .kind = OCE_LAYER_CONV2D,
     .units = 24,
     .window = {.size = {3, 3}, .dilation = {2, 2}, .padding = OCE_PADDING_VALID},
     .activation = OCE_ACTIVATION_RELU,
     .weight_stddev = 0.2F},
    {.name = "average",
     .kind = OCE_LAYER_AVERAGE_POOL,
     .window = {.size = {2, 2}, .stride = {2, 2}, .padding = OCE_PADDING_VALID}},
    {.name = "strided",
     .kind = OCE_LAYER_CONV2D,
     .units = 48,
     .window = {.size = {3, 3}, .stride = {2, 2}, .padding = OCE_PADDING_SAME},
     .activation = OCE_ACTIVATION_RELU},
    {.name = "dropout", .kind = OCE_LAYER_DROPOUT, .keep_prob = 0.9F},
    {.name = "logits", .kind = OCE_LAYER_DENSE, .units = 10},
};

static const oce_network network = {.name = "custom",
                                    .height = 28,
                                    .width = 28,
                                    .channels = 1,
                                    .layers = layers,
                                    .layer_count = sizeof layers / sizeof layers[0]};

static void check(oce_status status) {
    if (status != OCE_OK) {
        fprintf(stderr, "custom_model: %s\n", oce_last_error());
        exit(1);
    }
}

static bool on_event(void *context, const oce_train_event *event) {
    (void)context;
    if (event->kind == OCE_TRAIN_LOG)
        printf("step %d, accuracy %.3f, loss %.4f\n", (int)event->step, event->accuracy,
               event->loss);
    return true;
}

int main(int argc, char **argv) {
    const uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 600;
    oce_dataset *train = NULL, *test = NULL;
    check(oce_dataset_synthetic("mnist", OCE_SPLIT_TRAIN, 1, 20000, &train));
    check(oce_dataset_synthetic("mnist", OCE_SPLIT_TEST, 1, 2000, &test));

    oce_device *device = NULL;
    oce_model *model = NULL;
    const oce_model_options options = {.batch = 64,
                                       .training = true,
                                       .optimizer =
                                           oce_optimizer_defaults(OCE_OPTIMIZER_MOMENTUM, 0.02F),
                                       .input_scale = 1.0F / 255.0F,
                                       .seed = 7};
    check(oce_device_open(NULL, &device));
    check(oce_model_create(device, &network, &options, &model));
    for (int i = 0; i < oce_model_layer_count(model); i++) {
        oce_layer_info info;
        oce_model_layer(model, i, &info);
        printf("%-8s %2dx%2dx%-4d %6d parameters\n", info.layer->name, (int)info.output[0],
               (int)info.output[1], (int)info.output[2], (int)info.parameters);
    }
    check(oce_model_allocate(model));
    const oce_train_options run = {
        .steps = steps,
        .shuffle = OCE_SHUFFLE_EPOCH,
        .seed = 7,
        .learning_rate = {.kind = OCE_SCHEDULE_COSINE, .base = 0.02F, .period = (int64_t)steps},
        .log_every = 100,
        .callback = on_event};
    check(oce_train(model, train, &run));
    oce_metrics metrics;
    check(oce_model_evaluate(model, oce_dataset_images(test), oce_dataset_labels(test),
                             oce_dataset_count(test), &metrics, NULL));
    printf("test accuracy %.4f\n", metrics.accuracy);
    oce_model_destroy(model);
    oce_device_close(device);
    oce_dataset_destroy(train);
    oce_dataset_destroy(test);
    return 0;
}
