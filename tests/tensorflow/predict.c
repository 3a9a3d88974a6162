/*
 * Writes what a checkpoint says about images, as all digits of float32:
 *
 *   predict mnist|cifar10 PREFIX IMAGES.npy PROBABILITIES.npy
 *
 * IMAGES is uint8 [n, H, W, C]; PROBABILITIES becomes float32 [n, classes].
 */
#include <ocelli/ocelli.h>

#include <stdio.h>
#include <stdlib.h>

static void check(oce_status status) {
    if (status != OCE_OK) {
        fprintf(stderr, "predict: %s\n", oce_last_error());
        exit(EXIT_FAILURE);
    }
}

static oce_model *restore(oce_device *device, const char *network, const char *prefix) {
    oce_recipe recipe;
    check(oce_recipe_get(network, &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.training = false;
    oce_model *model = NULL;
    check(oce_model_create(device, recipe.network, &options, &model));
    check(oce_model_allocate(model));
    check(oce_model_load(model, prefix, OCE_LOAD_VARIABLES, NULL));
    return model;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: predict mnist|cifar10 PREFIX IMAGES.npy PROBABILITIES.npy\n");
        return 2;
    }
    oce_device *device = NULL;
    check(oce_device_open(NULL, &device));
    oce_model *model = restore(device, argv[1], argv[2]);

    oce_array_list *list = NULL;
    check(oce_arrays_read(argv[3], OCE_ARRAY_NPY, &list));
    const oce_array *images = oce_array_list_items(list);
    const oce_network *network = oce_model_network(model);
    if (images->dtype != OCE_DTYPE_UINT8 || images->rank != 4 ||
        images->shape[1] != network->height || images->shape[2] != network->width ||
        images->shape[3] != network->channels) {
        fprintf(stderr, "predict: %s does not hold images of the network's size\n", argv[3]);
        return EXIT_FAILURE;
    }
    const int64_t shape[] = {images->shape[0], oce_model_classes(model)};
    float *probabilities = calloc((size_t)(shape[0] * shape[1]), sizeof(float));
    if (probabilities == NULL) {
        fprintf(stderr, "predict: out of memory\n");
        return EXIT_FAILURE;
    }
    check(oce_model_predict(model, images->data, shape[0], probabilities));
    const oce_array result = {"probabilities", OCE_DTYPE_FLOAT32, 2, shape, probabilities};
    check(oce_arrays_write(argv[4], OCE_ARRAY_NPY, &result, 1));

    free(probabilities);
    oce_array_list_destroy(list);
    oce_model_destroy(model);
    oce_device_close(device);
    return 0;
}
