/* The end of a classifier in one launch, against src/ref; every vector width. */
#include "base/random.h"
#include "device/internal.h"
#include "nn/model.h"
#include "ops/gemm_internal.h"
#include "ops/head.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gemm.h"

#include <ocelli/softmax.h>
#include <ocelli/train.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const compare_limit near = {.absolute = 1e-5, .relative = 1e-5};

typedef struct shape {
    int64_t images, inputs, classes;
    int splits;
    bool has_bias, relu; /* of the parts */
} shape;

static const shape shapes[] = {
    {1, 1, 1, 1, false, false},    {1, 3, 2, 1, false, false}, {1, 64, 10, 3, true, true},
    {2, 33, 16, 2, true, false},   {3, 40, 7, 1, true, true},  {4, 100, 10, 5, false, true},
    {1, 1024, 10, 16, true, true}, {1, 17, 64, 4, true, true}, {2, 31, 23, 2, true, true},
};

/* A head on arrays: what the parts hold beyond their ends, and the logits at first, is NaN. */
typedef struct case_arrays {
    oce_head head;
    oce_tensor weights, bias, parts_bias, logits;
    float *expected; /* logits by src/ref */
} case_arrays;

enum { FIRST = 5, GAP = 3 }; /* floats before the parts, and between them */

static float *parts_of(const shape *s, const float *parts_bias, float *x) {
    const size_t part = (size_t)(s->images * s->inputs), pitch = part + GAP;
    const size_t count = FIRST + pitch * (size_t)s->splits;
    float *parts = malloc(count * sizeof *parts);
    float *values = test_random(part * (size_t)s->splits, 3);
    for (size_t i = 0; i < count; i++)
        parts[i] = NAN;
    for (size_t i = 0; i < part; i++) {
        float sum = 0;
        for (size_t p = 0; p < (size_t)s->splits; p++) {
            parts[FIRST + p * pitch + i] = values[p * part + i];
            sum += values[p * part + i];
        }
        if (s->has_bias)
            sum += parts_bias[i % (size_t)s->inputs];
        x[i] = s->relu && sum <= 0 ? 0 : sum;
    }
    free(values);
    return parts;
}

static void set_up(oce_device *device, const shape *s, case_arrays *c) {
    const size_t part = (size_t)(s->images * s->inputs);
    float *parts_bias = test_random((size_t)s->inputs, 4), *x = test_zeros(part);
    float *parts = parts_of(s, parts_bias, x);
    const size_t bytes = (FIRST + (part + GAP) * (size_t)s->splits) * sizeof(float);
    const gemm_data data = {.a = x,
                            .b = test_random((size_t)(s->inputs * s->classes), 1),
                            .bias = test_random((size_t)s->classes, 2)};
    const oce_gemm_desc desc = {.m = s->images, .n = s->classes, .k = s->inputs};
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, bytes, &buffer));
    TEST_OK(oce_buffer_write(buffer, 0, parts, bytes));
    c->expected = gemm_expected(&desc, &data);
    c->weights = test_tensor(device, s->inputs, 1, 1, s->classes, NULL, data.b);
    c->bias = test_tensor(device, 1, 1, 1, s->classes, NULL, data.bias);
    c->parts_bias = test_tensor(device, 1, 1, 1, s->inputs, NULL, parts_bias);
    c->logits = test_tensor(device, s->images, 1, 1, s->classes, NULL, NULL);
    c->head = (oce_head){.device = device,
                         .parts = buffer,
                         .first = FIRST,
                         .part_size = part + GAP,
                         .splits = s->splits,
                         .parts_bias = s->has_bias ? &c->parts_bias : NULL,
                         .activation = s->relu ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
                         .weights = &c->weights,
                         .bias = &c->bias,
                         .logits = &c->logits};
    free(parts_bias);
    free(parts);
    gemm_free_data(&data);
}

static void tear_down(case_arrays *c) {
    oce_buffer *parts = (oce_buffer *)c->head.parts;
    oce_buffer_destroy(parts);
    oce_tensor_release(&c->weights);
    oce_tensor_release(&c->bias);
    oce_tensor_release(&c->parts_bias);
    oce_tensor_release(&c->logits);
    free(c->expected);
}

static void expect_tensor(const oce_tensor *tensor, const float *expected, const char *what) {
    float *got = test_download(tensor);
    expect_floats(got, expected, oce_tensor_count(tensor), tensor->dim, near, "%s of %d inputs",
                  what, (int)tensor->dim[3]);
    free(got);
}

static void check_softmax(oce_device *device, const shape *s) {
    case_arrays c;
    set_up(device, s, &c);
    oce_ref_softmax(s->images, s->classes, c.expected, c.expected);
    TEST_OK(oce_head_softmax(&c.head));
    expect_tensor(&c.logits, c.expected, "probabilities");
    tear_down(&c);
}

static void check_classes(oce_device *device, const shape *s) {
    enum { SLOT = 2, LABELS_FIRST = 7, MOST = 4 };
    case_arrays c;
    uint8_t labels[LABELS_FIRST + MOST] = {0};
    oce_xent_sums expected, sums[SLOT + 1];
    int32_t wanted[MOST], classes[MOST];
    oce_buffer *on_device[3];
    const size_t bytes[3] = {sizeof labels, sizeof sums, sizeof classes};
    set_up(device, s, &c);
    for (int i = 0; i < 3; i++)
        TEST_OK(oce_buffer_create(device, bytes[i], &on_device[i]));
    for (int64_t i = 0; i < s->images; i++)
        labels[LABELS_FIRST + i] = (uint8_t)(i * 5 % s->classes);
    TEST_OK(oce_buffer_write(on_device[0], 0, labels, sizeof labels));
    oce_ref_softmax_xent_classes(s->images, s->classes, c.expected, labels + LABELS_FIRST, 1,
                                 &expected, NULL, wanted);
    TEST_OK(oce_head_xent_classes(&c.head, on_device[0], LABELS_FIRST, on_device[1], SLOT,
                                  on_device[2]));
    TEST_OK(oce_buffer_read(on_device[1], 0, sums, sizeof sums));
    TEST_OK(oce_buffer_read(on_device[2], 0, classes, sizeof classes));
    cr_expect_float_eq(sums[SLOT].loss, expected.loss, 1e-4 + 1e-5 * fabs((double)expected.loss));
    cr_expect_eq(sums[SLOT].correct, expected.correct);
    cr_expect_arr_eq(classes, wanted, (size_t)s->images * sizeof *classes);
    expect_tensor(&c.logits, c.expected, "logits");
    sums[SLOT].loss = -1;
    TEST_OK(oce_head_xent_classes(&c.head, on_device[0], LABELS_FIRST, on_device[1], 0, NULL));
    TEST_OK(oce_buffer_read(on_device[1], 0, sums, sizeof sums));
    cr_expect_eq(sums[0].loss, sums[SLOT].loss, "without predictions it is the same");
    for (int i = 0; i < 3; i++)
        oce_buffer_destroy(on_device[i]);
    tear_down(&c);
}

static void sweep(int width) {
    oce_device *device = gemm_open_cpu(width, OCE_GEMM_THIN);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const shape *s = &shapes[i];
        if (!oce_head_serves(device, s->images, s->inputs, s->classes, s->splits)) {
            cr_expect(s->classes > 4 * device->limits.vector_width ||
                      device->limits.loop_rounds < INT64_MAX);
            continue;
        }
        check_softmax(device, s);
        check_classes(device, s);
    }
    oce_device_close(device);
}

Test(head, agrees_with_the_reference) {
    sweep(0);
}

Test(head, agrees_in_vectors_of_8) {
    sweep(8);
}

Test(head, agrees_in_vectors_of_4) {
    sweep(4);
}

/* A NaN may not become 0 in the activation. */
Test(head, nan_of_an_input_reaches_the_loss) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    const shape s = {1, 20, 10, 2, true, true};
    const float nan_value = NAN;
    case_arrays c;
    set_up(device, &s, &c);
    TEST_OK(oce_buffer_write((oce_buffer *)c.head.parts, (FIRST + 4) * sizeof(float), &nan_value,
                             sizeof nan_value));
    TEST_OK(oce_head_softmax(&c.head));
    float *p = test_download(&c.logits);
    cr_expect(isnan(p[0]));
    free(p);
    tear_down(&c);
    oce_device_close(device);
}

Test(head, refuses_what_does_not_fit) {
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    const shape s = {2, 20, 10, 2, true, true};
    case_arrays c;
    set_up(device, &s, &c);
    oce_head wrong = c.head;
    wrong.logits = NULL;
    cr_expect_eq(oce_head_softmax(&wrong), OCE_ERROR_INVALID_ARGUMENT);
    wrong = c.head;
    wrong.splits = 3; /* the buffer has two parts */
    cr_expect_eq(oce_head_softmax(&wrong), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "parts") != NULL, "%s", oce_last_error());
    wrong = c.head;
    wrong.bias = &c.parts_bias;
    cr_expect_eq(oce_head_softmax(&wrong), OCE_ERROR_SHAPE);
    wrong = c.head;
    wrong.splits = 1 << 20;
    cr_expect_eq(oce_head_softmax(&wrong), OCE_ERROR_UNSUPPORTED);
    cr_expect_not(oce_head_serves(device, 1, 1 << 20, 10, 1));
    cr_expect_not(oce_head_serves(device, 1, 16, 1000, 1));
    device->limits.loop_rounds = INT64_MAX;
    cr_expect(oce_head_serves(device, 8000, 4, 2, 1));
    device->limits.loop_rounds = 65535 / 5 * 3; /* one item adds up the losses */
    cr_expect_not(oce_head_serves(device, 8000, 4, 2, 1));
    cr_expect(oce_head_serves(device, 50, 200, 10, 1));
    tear_down(&c);
    oce_device_close(device);
}

/* ---- In a model ------------------------------------------------------------------------------ */

enum { IMAGES = 6 };

/* Answers of a network with batches of `batch` images; *has_head says how they were computed. */
static void answer(oce_device *device, const oce_recipe *recipe, int64_t batch,
                   float *probabilities, oce_metrics *metrics, bool *has_head, int *head_parts) {
    oce_model *model = NULL;
    oce_model_options options = oce_recipe_model_options(recipe, 1);
    const oce_network *n = recipe->network;
    const size_t pixels = (size_t)(n->height * n->width * n->channels) * IMAGES;
    uint8_t *images = malloc(pixels);
    static const uint8_t labels[IMAGES] = {3, 1, 4, 1, 5, 9};
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    for (size_t i = 0; i < pixels; i++)
        images[i] = (uint8_t)oce_random_below(&random, 256);
    options.training = false;
    options.batch = batch;
    TEST_OK(oce_model_create(device, n, &options, &model));
    TEST_OK(oce_model_allocate(model));
    *has_head = model->graph.has_head;
    *head_parts = model->graph.head_parts;
    TEST_OK(oce_model_predict(model, images, IMAGES, probabilities));
    TEST_OK(oce_model_evaluate(model, images, labels, IMAGES, metrics, NULL));
    oce_model_destroy(model);
    free(images);
}

static void check_network(const char *name) {
    enum { CLASSES = 10 };
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    oce_device *device = gemm_open_cpu(0, OCE_GEMM_THIN);
    oce_recipe recipe;
    float whole[IMAGES * CLASSES], single[IMAGES * CLASSES];
    oce_metrics expected, metrics;
    bool has_head = false;
    int head_parts = -1;
    TEST_OK(oce_recipe_get(name, &recipe));
    answer(device, &recipe, IMAGES, whole, &expected, &has_head, &head_parts);
    cr_expect_not(has_head);
    for (int64_t batch = 1; batch <= 4; batch += 3) { /* 6 is no multiple of 4 */
        answer(device, &recipe, batch, single, &metrics, &has_head, &head_parts);
        cr_expect(has_head);
        cr_expect_geq(head_parts, 0);
        expect_floats(single, whole, IMAGES * CLASSES, NULL, near, "%s in batches of %d", name,
                      (int)batch);
        cr_expect_float_eq(metrics.loss, expected.loss, 1e-5 * expected.loss);
        cr_expect_float_eq(metrics.accuracy, expected.accuracy, 1e-9);
    }
    oce_device_close(device);
}

Test(head, ends_mnist_for_few_images) {
    check_network("mnist");
}

Test(head, ends_cifar10_for_few_images) {
    check_network("cifar10");
}
