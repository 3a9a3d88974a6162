/* Softmax, cross entropy and predictions on the device. */
#include "base/random.h"
#include "device/internal.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/vectors.h"
#include "support/xent.h"

#include <ocelli/softmax.h>

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* exp and log are within 3 units of the last place, the differences of logits exact to one. */
static const compare_limit close = {.absolute = 1e-6, .relative = 2e-6};

/* Rows and classes for every vector width, rows around the 256 partial sums, and more logits than
 * one launch takes. */
static const int64_t shapes[][2] = {{50, 10}, {1, 1},   {3, 2},   {257, 3},   {7, 16},
                                    {5, 100}, {2, 129}, {600, 4}, {20, 1000}, {0, 10}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static oce_tensor matrix_of(oce_device *device, int64_t rows, int64_t columns, const float *data) {
    return test_tensor(device, rows, 1, 1, columns, NULL, data);
}

static float *logits_of(size_t count, float scale, uint64_t seed) {
    float *z = test_random(count, seed);
    for (size_t i = 0; i < count; i++)
        z[i] *= scale;
    return z;
}

/* A tensor's values, which is then released; free() them. */
static float *take(oce_tensor *tensor) {
    float *values = test_download(tensor);
    oce_tensor_release(tensor);
    return values;
}

static void expect_taken(oce_tensor *tensor, const float *expected, compare_limit limit,
                         const char *name) {
    const size_t count = oce_tensor_count(tensor);
    float *got = test_download(tensor);
    expect_floats(got, expected, count, tensor->dim, limit, "%s", name);
    free(got);
    oce_tensor_release(tensor);
}

/* --- Test vectors --- */

static void check_xent_vector(oce_device *device, const xent_vector *v) {
    oce_tensor z = matrix_of(device, v->rows, v->classes, v->logits.values);
    oce_tensor labels = matrix_of(device, v->rows, v->classes, v->labels.values);
    oce_tensor losses = matrix_of(device, 1, v->rows, NULL);
    oce_tensor dz = matrix_of(device, v->rows, v->classes, NULL);
    TEST_OK(oce_softmax_xent(device, &z, &labels, 1, &losses, &dz));
    if (v->losses.values)
        expect_taken(&losses, v->losses.values, vector_limit(v->tolerance), v->name);
    else
        oce_tensor_release(&losses);
    expect_taken(&dz, v->dlogits.values, vector_limit(v->tolerance), v->name);
    oce_tensor_release(&labels);
    oce_tensor_release(&z);
}

Test(softmax, xent_gives_tensorflows_numbers) {
    oce_device *device = test_open_device();
    vector_file *file = vectors_open("tf_softmax_xent.json");
    cr_expect_eq(vectors_count(file), 4);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const xent_vector v = vectors_xent(file, i);
        check_xent_vector(device, &v);
    }
    vectors_close(file);
    oce_device_close(device);
}

/* -log p of class c is the loss of a row that is labelled c. */
static void check_log_softmax(oce_device *device, const activation_vector *v) {
    const size_t count = v->x.count, rows = (size_t)v->rows, classes = (size_t)v->columns;
    float *one_hot = test_floats(count), *logs = test_floats(count);
    oce_tensor z = matrix_of(device, v->rows, v->columns, v->x.values);
    for (size_t c = 0; c < classes; c++) {
        for (size_t i = 0; i < count; i++)
            one_hot[i] = i % classes == c;
        oce_tensor labels = matrix_of(device, v->rows, v->columns, one_hot);
        oce_tensor losses = matrix_of(device, 1, v->rows, NULL);
        TEST_OK(oce_softmax_xent(device, &z, &labels, 1, &losses, NULL));
        float *values = take(&losses);
        for (size_t r = 0; r < rows; r++)
            logs[r * classes + c] = -values[r];
        free(values);
        oce_tensor_release(&labels);
    }
    expect_floats(logs, v->expected_log.values, count, NULL, vector_limit(v->tolerance), "%s",
                  v->name);
    oce_tensor_release(&z);
    free(logs);
    free(one_hot);
}

Test(softmax, gives_tensorflows_numbers) {
    oce_device *device = test_open_device();
    vector_file *file = vectors_open("tf_softmax_relu_bias.json");
    int checked = 0;
    for (size_t i = 0; i < vectors_count(file); i++) {
        const activation_vector v = vectors_activation(file, i);
        if (v.op != VECTOR_SOFTMAX)
            continue;
        oce_tensor z = matrix_of(device, v.rows, v.columns, v.x.values);
        TEST_OK(oce_softmax(device, &z, &z));
        if (v.expected.values)
            expect_taken(&z, v.expected.values, vector_limit(v.tolerance), v.name);
        else
            oce_tensor_release(&z);
        check_log_softmax(device, &v);
        checked++;
    }
    cr_expect(checked > 0);
    vectors_close(file);
    oce_device_close(device);
}

/* --- Against the reference --- */

static void check_softmax(oce_device *device) {
    for (int i = 0; i < SHAPES; i++) {
        const int64_t rows = shapes[i][0], classes = shapes[i][1];
        const size_t count = (size_t)(rows * classes);
        float *z = logits_of(count, 8, 1), *expected = test_floats(count);
        oce_ref_softmax(rows, classes, z, expected);
        oce_tensor a = matrix_of(device, rows, classes, z);
        oce_tensor b = matrix_of(device, rows, classes, NULL);
        TEST_OK(oce_softmax(device, &a, &b));
        expect_taken(&b, expected, close, "probabilities");
        TEST_OK(oce_softmax(device, &a, &a));
        expect_taken(&a, expected, close, "in place");
        free(expected);
        free(z);
    }
}

Test(softmax, agrees_with_the_reference) {
    oce_device *device = test_open_device();
    check_softmax(device);
    oce_device_close(device);
}

static void check_xent(oce_device *device) {
    for (int i = 0; i < SHAPES; i++) {
        const int64_t rows = shapes[i][0], classes = shapes[i][1];
        const size_t count = (size_t)(rows * classes);
        float *z = logits_of(count, 5, 2), *labels = test_random(count, 3);
        float *losses = test_floats((size_t)rows), *dz = test_floats(count);
        oce_ref_softmax_xent(rows, classes, z, labels, 0.25F, losses, dz);
        oce_tensor a = matrix_of(device, rows, classes, z);
        oce_tensor y = matrix_of(device, rows, classes, labels);
        oce_tensor loss = matrix_of(device, 1, rows, NULL);
        oce_tensor d = matrix_of(device, rows, classes, NULL);
        TEST_OK(oce_softmax_xent(device, &a, &y, 0.25F, &loss, &d));
        const compare_limit sum = {.absolute = 1e-5, .of_largest = 2e-6};
        expect_taken(&loss, losses, sum, "losses");
        expect_taken(&d, dz, close, "gradient");
        oce_tensor_release(&y);
        oce_tensor_release(&a);
        free(dz);
        free(losses);
        free(labels);
        free(z);
    }
}

Test(softmax, xent_agrees_with_the_reference) {
    oce_device *device = test_open_device();
    check_xent(device);
    oce_device_close(device);
}

static uint8_t *random_labels(size_t rows, int64_t classes, uint64_t seed) {
    uint8_t *labels = calloc(rows + 1, 1);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 1);
    for (size_t i = 0; i < rows; i++)
        labels[i] = (uint8_t)oce_random_below(&random, classes < 256 ? (uint32_t)classes : 256);
    return labels;
}

static void check_xent_classes(oce_device *device) {
    for (int i = 0; i < SHAPES; i++)
        for (int in_place = 0; in_place < 2; in_place++) {
            const int64_t rows = shapes[i][0], classes = shapes[i][1];
            float *z = logits_of((size_t)(rows * classes), 6, 4);
            uint8_t *labels = random_labels((size_t)rows, classes, 5);
            xent_run run = {.rows = rows,
                            .classes = classes,
                            .z = z,
                            .labels = labels,
                            .upstream = 1.0F / 50.0F};
            xent_check(device, &run, in_place != 0);
            free(labels);
            free(z);
        }
}

Test(softmax, xent_with_classes_agrees_with_the_reference) {
    oce_device *device = test_open_device();
    check_xent_classes(device);
    oce_device_close(device);
}

Test(softmax, xent_of_an_evaluation_batch) {
    const int64_t rows = test_is_small() ? 300 : 10000;
    oce_device *device = test_open_device();
    float *z = logits_of((size_t)rows * 10, 3, 6);
    uint8_t *labels = random_labels((size_t)rows, 10, 7);
    xent_run run = {.rows = rows, .classes = 10, .z = z, .labels = labels, .upstream = 1};
    xent_check(device, &run, false);
    /* Only the sums are wanted. */
    oce_tensor tensor = matrix_of(device, rows, 10, z);
    oce_buffer *buffer = NULL, *sums = NULL, *workspace = NULL;
    oce_xent_sums got;
    const size_t workspace_bytes = oce_softmax_xent_workspace(rows, 10);
    TEST_OK(oce_buffer_create(device, (size_t)rows, &buffer));
    TEST_OK(oce_buffer_write(buffer, 0, labels, (size_t)rows));
    TEST_OK(oce_buffer_create(device, sizeof got, &sums));
    TEST_OK(oce_buffer_create(device, workspace_bytes, &workspace));
    for (int repeat = 0; repeat < 3; repeat++) {
        TEST_OK(oce_softmax_xent_classes(device, &tensor, buffer, 0, 1, sums, 0, NULL, NULL,
                                         workspace));
        TEST_OK(oce_buffer_read(sums, 0, &got, sizeof got));
        expect_bytes(&got, &run.sums, sizeof got, "sums");
    }
    oce_buffer_destroy(workspace);
    oce_buffer_destroy(sums);
    oce_buffer_destroy(buffer);
    oce_tensor_release(&tensor);
    free(labels);
    free(z);
    oce_device_close(device);
}

/* CIFAR-10's first loss is about 101: a probability that underflows must not cost the loss. */
Test(softmax, losses_beyond_the_range_of_probabilities_stay_exact) {
    const float z[4] = {-150.0F, 0.0F, 1.0F, 300.5F};
    const uint8_t label = 0;
    oce_device *device = test_open_device();
    xent_run run = {.rows = 1, .classes = 4, .z = z, .labels = &label, .upstream = 1};
    xent_check(device, &run, false);
    cr_expect_float_eq((double)run.sums.loss, 450.5, 1e-3);
    oce_device_close(device);
}

Test(softmax, a_diverged_row_makes_the_loss_nonfinite) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    oce_device *device = test_open_device();
    for (int kind = 0; kind < 3; kind++)
        for (int64_t at = 0; at < 70; at += 23) { /* of 7 rows of 10, not only the label's */
            float *z = logits_of(70, 1, 8);
            const uint8_t labels[7] = {0, 3, 6, 9, 2, 5, 8};
            z[at] = bad[kind];
            if (kind == 2)
                z[at / 10 * 10 + labels[at / 10]] = -INFINITY;
            xent_run run = {.rows = 7, .classes = 10, .z = z, .labels = labels, .upstream = 1};
            xent_run_on(device, &run, false);
            cr_expect(!isfinite(run.sums.loss), "%g at %lld: loss %g", (double)bad[kind],
                      (long long)at, (double)run.sums.loss);
            free(run.predictions);
            free(run.dz);
            free(z);
        }
    oce_device_close(device);
}

Test(softmax, a_label_out_of_range_makes_the_loss_nan) {
    float *z = logits_of(30, 1, 9);
    const uint8_t labels[3] = {1, 10, 255};
    oce_device *device = test_open_device();
    xent_run run = {.rows = 3, .classes = 10, .z = z, .labels = labels, .upstream = 1};
    xent_check(device, &run, false);
    cr_expect(isnan(run.sums.loss));
    xent_check(device, &run, true);
    free(z);
    oce_device_close(device);
}

static void check_argmax_of_equals(oce_device *device) {
    static const float z[8][3] = {
        {1, 2, 2},     {3, 3, 3},          {NAN, NAN, NAN},     {-INFINITY, -INFINITY, -INFINITY},
        {NAN, -5, -4}, {0, INFINITY, NAN}, {-INFINITY, -1, -2}, {-INFINITY, -FLT_MAX, -INFINITY}};
    const int32_t expected[8] = {1, 0, 0, 0, 2, 1, 1, 0};
    int32_t got[8];
    oce_tensor tensor = matrix_of(device, 8, 3, &z[0][0]);
    oce_buffer *predictions = NULL;
    TEST_OK(oce_buffer_create(device, sizeof got, &predictions));
    TEST_OK(oce_argmax(device, &tensor, predictions));
    TEST_OK(oce_buffer_read(predictions, 0, got, sizeof got));
    expect_ints(got, expected, 8, "predictions");
    oce_buffer_destroy(predictions);
    oce_tensor_release(&tensor);
}

Test(softmax, argmax_takes_the_first_of_equals_and_never_nan) {
    oce_device *device = test_open_device();
    check_argmax_of_equals(device);
    oce_device_close(device);
}

static void check_argmax(oce_device *device) {
    for (int i = 0; i < SHAPES; i++) {
        const int64_t rows = shapes[i][0], classes = shapes[i][1];
        const size_t bytes = (size_t)rows * sizeof(int32_t);
        float *z = logits_of((size_t)(rows * classes), 1, 10);
        for (int64_t k = 0; k < rows * classes; k++)
            z[k] = rintf(z[k] * 4); /* with equals */
        int32_t *got = calloc(bytes + 4, 1), *expected = calloc(bytes + 4, 1);
        oce_tensor tensor = matrix_of(device, rows, classes, z);
        oce_buffer *predictions = NULL;
        TEST_OK(oce_buffer_create(device, bytes, &predictions));
        TEST_OK(oce_argmax(device, &tensor, predictions));
        TEST_OK(oce_buffer_read(predictions, 0, got, bytes));
        oce_ref_argmax(rows, classes, z, expected);
        expect_ints(got, expected, (size_t)rows, "predictions");
        oce_buffer_destroy(predictions);
        oce_tensor_release(&tensor);
        free(expected);
        free(got);
        free(z);
    }
}

Test(softmax, argmax_agrees_with_the_reference) {
    oce_device *device = test_open_device();
    check_argmax(device);
    oce_device_close(device);
}

/* --- Rows longer than loops may be --- */

/* Vectors of 16, and what is left of a row, where the driver may break long loops off. */
Test(softmax, agrees_where_loops_must_be_short) {
    oce_device *device = test_open_device();
    device->limits.loop_rounds = 300;
    check_softmax(device);
    check_xent(device);
    check_xent_classes(device);
    check_argmax(device);
    device->limits.loop_rounds = 8;
    check_argmax_of_equals(device);
    oce_device_close(device);
}

/* As many classes as words of a language model, an odd number: llvmpipe ends the loops of an item
 * after 65535 rounds. */
Test(softmax, of_many_classes) {
    enum { ROWS = 2, CLASSES = 50257 };
    if (test_is_small())
        cr_skip_test("takes long");
    oce_device *device = test_open_device();
    float *z = logits_of(ROWS * CLASSES, 8, 9), *expected = test_floats(ROWS * CLASSES);
    oce_ref_softmax(ROWS, CLASSES, z, expected);
    oce_tensor a = matrix_of(device, ROWS, CLASSES, z);
    TEST_OK(oce_softmax(device, &a, &a));
    expect_taken(&a, expected, close, "probabilities");
    free(expected);
    free(z);
    if (device->limits.is_cpu) {
        device->limits.loop_rounds = 12000;
        oce_tensor b = matrix_of(device, ROWS, CLASSES, NULL);
        cr_expect_eq(oce_softmax(device, &b, &b), OCE_ERROR_UNSUPPORTED);
        cr_expect_not_null(strstr(oce_last_error(), "50257 classes take 12568 rounds"), "%s",
                           oce_last_error());
        oce_tensor_release(&b);
    }
    oce_device_close(device);
}

/* --- Derivative --- */

typedef struct loss_run {
    oce_device *device;
    const float *z;
    oce_tensor tensor, labels, losses;
} loss_run;

static void losses_of(const void *op, float *y) {
    const loss_run *run = op;
    TEST_OK(oce_tensor_write(&run->tensor, run->z));
    TEST_OK(oce_softmax_xent(run->device, &run->tensor, &run->labels, 1, &run->losses, NULL));
    TEST_OK(oce_tensor_read(&run->losses, y));
}

Test(softmax, xent_gradient_is_the_derivative) {
    enum { ROWS = 3, CLASSES = 5, COUNT = ROWS * CLASSES };
    const float dy[ROWS] = {1, 1, 1};
    oce_device *device = test_open_device();
    float *z = logits_of(COUNT, 2, 11), *labels = test_floats(COUNT);
    for (int r = 0; r < ROWS; r++) { /* distributions: only then is it the loss's derivative */
        labels[r * CLASSES + r] = 0.75F;
        labels[r * CLASSES + r + 2] = 0.25F;
    }
    loss_run run = {device, z, matrix_of(device, ROWS, CLASSES, z),
                    matrix_of(device, ROWS, CLASSES, labels), matrix_of(device, 1, ROWS, NULL)};
    oce_tensor dz = matrix_of(device, ROWS, CLASSES, NULL);
    TEST_OK(oce_softmax_xent(device, &run.tensor, &run.labels, 1, &run.losses, &dz));
    float *gradient = take(&dz);
    const gradient_loss loss = {losses_of, &run, dy, ROWS};
    check_gradient(&loss, z, COUNT, 0.015625F, gradient, (compare_limit){.absolute = 1e-4}, "xent",
                   "dlogits");
    free(gradient);
    oce_tensor_release(&run.losses);
    oce_tensor_release(&run.labels);
    oce_tensor_release(&run.tensor);
    free(labels);
    free(z);
    oce_device_close(device);
}

/* --- Refused --- */

Test(softmax, refuses_what_does_not_fit) {
    oce_device *device = test_open_device();
    oce_tensor z = matrix_of(device, 4, 5, NULL), other = matrix_of(device, 5, 4, NULL);
    oce_tensor image = test_tensor(device, 4, 2, 2, 5, NULL, NULL);
    oce_tensor losses = matrix_of(device, 1, 4, NULL), none = matrix_of(device, 4, 0, NULL);
    oce_buffer *labels = NULL, *sums = NULL;
    TEST_OK(oce_buffer_create(device, 4, &labels));
    TEST_OK(oce_buffer_create(device, sizeof(oce_xent_sums), &sums));
    cr_expect_eq(oce_softmax(device, &z, &other), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_softmax(device, &image, &image), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_softmax(device, &none, &none), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_softmax(device, &z, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_softmax(device, NULL, &z), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_softmax_xent(device, &z, &other, 1, &losses, NULL), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_softmax_xent(device, &z, &z, 1, &z, NULL), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_softmax_xent(device, &z, &z, 1, &losses, &other), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_softmax_xent(device, &z, &z, 1, NULL, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_softmax_xent_classes(device, &z, labels, 1, 1, sums, 0, NULL, NULL, NULL),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_softmax_xent_classes(device, &z, labels, 0, 1, sums, 1, NULL, NULL, NULL),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_softmax_xent_classes(device, &z, labels, 0, 1, sums, 0, &other, NULL, NULL),
                 OCE_ERROR_SHAPE);
    cr_expect_eq(oce_softmax_xent_classes(device, &z, labels, 0, 1, sums, 0, NULL, labels, NULL),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_argmax(device, &z, labels), OCE_ERROR_INVALID_ARGUMENT);
    oce_buffer_destroy(sums);
    oce_buffer_destroy(labels);
    oce_tensor_release(&none);
    oce_tensor_release(&losses);
    oce_tensor_release(&image);
    oce_tensor_release(&other);
    oce_tensor_release(&z);
    oce_device_close(device);
}
