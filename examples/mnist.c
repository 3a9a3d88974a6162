/*
 * Trains the MNIST classifier, step by step, on the public API.
 *
 *   mnist DATA_FOLDER|synthetic [STEPS]
 * Test run: mnist synthetic 20
 */
#include <ocelli/ocelli.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { BATCH = 50, PIXELS = 28 * 28 };

static void check(oce_status status) {
    if (status != OCE_OK) {
        fprintf(stderr, "mnist: %s\n", oce_last_error());
        exit(1);
    }
}

static oce_dataset *open_split(const char *data, oce_split split) {
    oce_dataset *set = NULL;
    if (strcmp(data, "synthetic") == 0)
        check(oce_dataset_synthetic("mnist", split, 1, 0, &set));
    else
        check(oce_dataset_open_mnist(data, split, &set));
    return set;
}

int main(int argc, char **argv) {
    const char *data = argc > 1 ? argv[1] : "synthetic";
    const int steps = argc > 2 ? atoi(argv[2]) : 3000;
    oce_dataset *train = open_split(data, OCE_SPLIT_TRAIN);
    oce_dataset *test = open_split(data, OCE_SPLIT_TEST);

    oce_device *device = NULL;
    check(oce_device_open(NULL, &device));
    printf("%s on %s\n", oce_dataset_description(train), oce_device_get_info(device)->name);

    const oce_model_options options = {.batch = BATCH,
                                       .training = true,
                                       .optimizer =
                                           oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 1e-4F),
                                       .input_scale = 1.0F / 255.0F,
                                       .seed = 1};
    oce_model *model = NULL;
    check(oce_model_create(device, oce_network_mnist(), &options, &model));
    check(oce_model_allocate(model));

    oce_batches *batches = NULL;
    static uint8_t images[BATCH * PIXELS], labels[BATCH];
    check(oce_batches_create(oce_dataset_count(train), BATCH, OCE_SHUFFLE_EPOCH, 1, &batches));
    for (int step = 0; step < steps; step++) {
        int32_t indices[BATCH];
        check(oce_batches_next(batches, indices));
        for (int i = 0; i < BATCH; i++) {
            memcpy(images + i * PIXELS, oce_dataset_images(train) + (size_t)indices[i] * PIXELS,
                   PIXELS);
            labels[i] = oce_dataset_labels(train)[indices[i]];
        }
        check(oce_model_train_step(model, images, labels, 1e-4F));
        if (step % 100 == 0) {
            oce_metrics metrics;
            check(oce_model_step_metrics(model, (uint64_t)step, &metrics));
            printf("step %d, accuracy %.4f, loss %.6g\n", step, metrics.accuracy, metrics.loss);
        }
    }
    oce_metrics metrics;
    check(oce_model_evaluate(model, oce_dataset_images(test), oce_dataset_labels(test),
                             oce_dataset_count(test), &metrics, NULL));
    printf("test accuracy %.4f\n", metrics.accuracy);

    oce_batches_destroy(batches);
    oce_model_destroy(model);
    oce_device_close(device);
    oce_dataset_destroy(train);
    oce_dataset_destroy(test);
    return 0;
}
