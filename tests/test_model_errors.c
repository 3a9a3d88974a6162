/* Models: what is refused, and with which words. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "support/device.h"
#include "support/tiny_network.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void expect_refused(oce_device *device, const oce_network *network,
                           const oce_model_options *options, oce_status status, const char *words) {
    oce_model *model = NULL;
    const oce_status got = oce_model_create(device, network, options, &model);
    cr_expect_eq(got, status, "%s: got %s", words, oce_status_text(got));
    cr_expect(got == OCE_OK || strstr(oce_last_error(), words) != NULL, "\"%s\" lacks \"%s\"",
              oce_last_error(), words);
    cr_expect(model == NULL);
    oce_model_destroy(model);
}

Test(model_errors, options) {
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(0, 1);
    expect_refused(device, tiny_network(), &options, OCE_ERROR_INVALID_ARGUMENT, "batch 0");
    options = tiny_options(10, 3);
    expect_refused(device, tiny_network(), &options, OCE_ERROR_INVALID_ARGUMENT,
                   "3 micro-batches do not divide a batch of 10");
    options = tiny_options(4, 1);
    options.keep_prob = 1.5F;
    expect_refused(device, tiny_network(), &options, OCE_ERROR_INVALID_ARGUMENT, "keep_prob 1.5");
    options = tiny_options(4, 1);
    options.conv2d_family = OCE_CONV2D_WINOGRAD;
    options.no_winograd = true;
    expect_refused(device, tiny_network(), &options, OCE_ERROR_INVALID_ARGUMENT,
                   "conv2d_family winograd and no_winograd exclude each other");
    oce_device_close(device);
}

Test(model_errors, networks) {
    oce_device *device = test_open_device();
    const oce_model_options options = tiny_options(4, 1);
    oce_layer layers[] = {
        {.name = "conv",
         .kind = OCE_LAYER_CONV2D,
         .units = 3,
         .window = {.size = {3, 3}, .padding = OCE_PADDING_VALID}},
        {.name = "logits", .kind = OCE_LAYER_DENSE, .units = 4},
    };
    oce_network network = {
        .name = "odd", .height = 6, .width = 6, .channels = 1, .layers = layers, .layer_count = 2};
    expect_refused(device, &(oce_network){.name = "none", .height = 1, .width = 1, .channels = 1},
                   &options, OCE_ERROR_INVALID_ARGUMENT, "\"none\" has no layers");
    network.layer_count = 1;
    expect_refused(device, &network, &options, OCE_ERROR_INVALID_ARGUMENT, "must be dense");
    network.layer_count = 2;
    network.height = 1; /* 1 - 3 + 1 is negative */
    expect_refused(device, &network, &options, OCE_ERROR_SHAPE, "layer \"conv\"");
    network.height = 2; /* gives no rows */
    expect_refused(device, &network, &options, OCE_ERROR_SHAPE, "its output is empty");
    network.height = 6;
    layers[0].name = "logits";
    expect_refused(device, &network, &options, OCE_ERROR_INVALID_ARGUMENT, "both called");
    layers[0].name = "conv";
    layers[0].units = 0;
    expect_refused(device, &network, &options, OCE_ERROR_INVALID_ARGUMENT, "layer \"conv\"");
    layers[0].units = INT64_MAX / 2;
    expect_refused(device, &network, &options, OCE_ERROR_OVERFLOW, "layer \"conv\"");
    layers[0] = (oce_layer){.name = "drop", .kind = OCE_LAYER_DROPOUT, .keep_prob = 0};
    expect_refused(device, &network, &options, OCE_ERROR_INVALID_ARGUMENT, "keep_prob 0");
    layers[0] = (oce_layer){
        .name = "pool", .kind = OCE_LAYER_MAX_POOL, .units = 3, .window = {.size = {2, 2}}};
    expect_refused(device, &network, &options, OCE_ERROR_INVALID_ARGUMENT, "no units");
    oce_device_close(device);
}

Test(model_errors, use) {
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(4, 1);
    oce_model *model = NULL;
    uint8_t *images = tiny_images(4, 1), *labels = tiny_labels(4, 1);
    float value = 0;
    TEST_OK(oce_model_create(device, tiny_network(), &options, &model));
    cr_expect_eq(oce_model_train_step(model, images, labels, 0.1F), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "not allocated") != NULL, "%s", oce_last_error());
    TEST_OK(oce_model_allocate(model));
    cr_expect_eq(oce_model_allocate(model), OCE_ERROR_INVALID_ARGUMENT);
    labels[2] = TINY_CLASSES;
    cr_expect_eq(oce_model_train_step(model, images, labels, 0.1F), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "label 5 of image 2") != NULL, "%s", oce_last_error());
    cr_expect_eq(oce_model_get(model, 0, OCE_VARIABLE_VALUE, &value, 1), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_model_get(model, 99, OCE_VARIABLE_VALUE, &value, 1),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_model_get(model, 0, OCE_VARIABLE_SLOT_1, &value, 1),
                 OCE_ERROR_INVALID_ARGUMENT, "momentum has one slot");
    oce_model_destroy(model);
    options.training = false;
    TEST_OK(oce_model_create(device, tiny_network(), &options, &model));
    TEST_OK(oce_model_allocate(model));
    labels[2] = 0;
    cr_expect_eq(oce_model_train_step(model, images, labels, 0.1F), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "forward passes only") != NULL, "%s", oce_last_error());
    free(images);
    free(labels);
    oce_model_destroy(model);
    oce_device_close(device);
}

/* A family that was asked for and that serves no layer at all is told, with the reason. */
Test(model_errors, says_that_a_family_serves_nothing) {
    oce_device *device = test_open_device();
    oce_model *model = NULL;
    oce_model_options options = tiny_options(2, 1);
    options.conv2d_family = OCE_CONV2D_NAIVE;
    options.gemm_family = OCE_GEMM_NAIVE;
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    oce_model_destroy(model);
    cr_expect_null(oce_device_take_notice(device));
    const bool is_cpu = oce_device_get_info(device)->cpu_kernels;
    options.conv2d_family = is_cpu ? OCE_CONV2D_IMPLICIT_GEMM : OCE_CONV2D_NAIVE;
    options.gemm_family = is_cpu ? OCE_GEMM_TILED : OCE_GEMM_PANEL;
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    oce_model_destroy(model);
    const char *notice = oce_device_take_notice(device);
    if (is_cpu) {
        cr_assert_not_null(notice);
        cr_expect_not_null(strstr(notice, "implicit_gemm computes none of its convolutions"), "%s",
                           notice);
        cr_expect_not_null(strstr(notice, "conv2d: implicit_gemm cannot"), "%s", notice);
        notice = oce_device_take_notice(device);
    }
    cr_assert_not_null(notice);
    cr_expect_not_null(strstr(notice, "computes none of its matrix products"), "%s", notice);
    cr_expect_null(oce_device_take_notice(device));
    oce_device_close(device);
}

/* A batch beyond the device's memory is split until it fits, and refused with numbers else. */
Test(model_errors, memory) {
    setenv("OCELLI_CAP", "allocation=4G", 1); /* some batch of these has a larger buffer */
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(1 << 18, 1);
    oce_model *model = NULL;
    int64_t parts = 0;
    if (test_is_small())
        cr_skip_test("too large for a simulator");
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    cr_expect_eq(oce_model_check_memory(model), OCE_ERROR_DEVICE_MEMORY);
    cr_expect(strstr(oce_last_error(), "buffer \"") != NULL, "%s", oce_last_error());
    cr_expect_eq(oce_model_allocate(model), OCE_ERROR_DEVICE_MEMORY);
    cr_expect(strstr(oce_last_error(), "micro-batches") != NULL, "%s", oce_last_error());
    oce_model_destroy(model);
    TEST_OK(oce_model_fit(device, oce_network_mnist(), &options, &parts));
    cr_expect_gt(parts, 1);
    options.micro_batches = parts;
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    TEST_OK(oce_model_check_memory(model));
    oce_model_destroy(model);
    options.micro_batches = parts / 2;
    TEST_OK(oce_model_create(device, oce_network_mnist(), &options, &model));
    cr_expect_eq(oce_model_check_memory(model), OCE_ERROR_DEVICE_MEMORY);
    oce_model_destroy(model);
    oce_device_close(device);
}
