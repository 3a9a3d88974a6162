/* A batch's way to the input of the network: bytes become floats, on the host or on the device. */
#include "nn/model.h"
#include "ref/ref.h"
#include "support/device.h"

#include <ocelli/train.h>

#include <criterion/criterion.h>
#include <stdlib.h>

enum { MOST = 6, ROUNDS = 2 * OCE_STAGES };

/* The input buffer, whole, against the images that were fed last, and zeros around them. */
static void expect_input(oce_model *model, const float *expected, int64_t rows) {
    const oce_tensor *input = &model->graph.input;
    const size_t bytes = oce_buffer_bytes(input->buffer);
    const int64_t line = input->dim[2] * input->dim[3];
    float *values = malloc(bytes);
    double sum = 0, wanted = 0;
    TEST_OK(oce_buffer_read(input->buffer, 0, values, bytes));
    for (int64_t n = 0; n < rows; n++)
        for (int64_t h = 0; h < input->dim[1]; h++)
            for (int64_t i = 0; i < line; i++) {
                const float pixel = expected[(n * input->dim[1] + h) * line + i];
                wanted += (double)pixel;
                cr_assert_eq(
                    values[input->offset + (size_t)(n * input->stride[0] + h * input->stride[1]) +
                           (size_t)i],
                    pixel, "image %d, row %d, element %d", (int)n, (int)h, (int)i);
            }
    for (size_t i = 0; rows == model->graph.batch && i < bytes / sizeof *values; i++)
        sum += (double)values[i];
    if (rows == model->graph.batch)
        cr_expect_float_eq(sum, wanted, 1e-6, "the halo is not zero");
    free(values);
}

static void feed(const char *network, int64_t batch, bool on_host) {
    oce_device *device = test_open_device();
    oce_recipe recipe;
    oce_model *model = NULL;
    size_t first = 0;
    TEST_OK(oce_recipe_get(network, &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.training = false;
    options.batch = batch;
    TEST_OK(oce_model_create(device, recipe.network, &options, &model));
    TEST_OK(oce_model_allocate(model));
    if (oce_device_limits(device)->is_cpu)
        cr_expect_eq(model->stage_inputs != NULL, on_host);
    const size_t image = oce_tensor_count(&model->graph.input) / (size_t)batch;
    uint8_t *images = malloc(MOST * image);
    float *expected = malloc(MOST * image * sizeof *expected);
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = round % 2 == 0 ? batch : (batch + 1) / 2;
        for (size_t i = 0; i < (size_t)rows * image; i++)
            images[i] = (uint8_t)((i * 7 + (size_t)round * 31) % 256);
        oce_ref_convert_bytes((size_t)rows * image, images, options.input_scale, expected);
        TEST_OK(oce_model_feed(model, images, NULL, rows, false, 0, &first));
        for (size_t i = 0; i < (size_t)rows * image; i++)
            images[i] = 0; /* a copy was taken */
        expect_input(model, expected, rows);
    }
    /* CPUs: the bytes go to mapped memory, each stage's to its own. */
    const bool is_mapped = oce_device_limits(device)->is_cpu && !on_host;
    cr_expect(is_mapped ? model->stage_images == NULL : model->stages[0].mapped == NULL);
    for (int i = 1; i < OCE_STAGES && is_mapped; i++) {
        cr_expect_not_null(model->stages[i].mapped, "stage %d", i);
        cr_expect_neq(model->stages[i].mapped, model->stages[0].mapped, "stage %d", i);
    }
    free(images);
    free(expected);
    oce_model_destroy(model);
    oce_device_close(device);
}

Test(feed, the_host_converts_few_images) {
    feed("mnist", 1, true);
    feed("mnist", 5, true);
    feed("cifar10", 1, true);
}

Test(feed, the_device_converts_more) {
    feed("mnist", 6, false);
    feed("cifar10", 2, false);
}
