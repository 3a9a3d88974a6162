/* Element-wise operations and sums over rows, at the sizes that training uses. */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <math.h>
#include <stdio.h>

static const double sum_bound = 2e-5, normal_bound = 1e-5;

typedef struct operands {
    int64_t dim[4];
    size_t count;
    float *a, *b, *expected;
    oce_tensor ta, tb, out; /* out is filled with NaN */
} operands;

static void describe(oce_check_subject *subject, const int64_t dim[4]) {
    snprintf(subject->shape, sizeof subject->shape, "%lldx%lldx%lldx%lld", (long long)dim[0],
             (long long)dim[1], (long long)dim[2], (long long)dim[3]);
}

static oce_status draw(oce_check *check, const int64_t dim[4], operands *o) {
    *o = (operands){.dim = {dim[0], dim[1], dim[2], dim[3]},
                    .count = (size_t)(dim[0] * dim[1] * dim[2] * dim[3])};
    void *expected = NULL;
    OCE_TRY(oce_check_floats(check, o->count, -1, 1, &o->a));
    OCE_TRY(oce_check_floats(check, o->count, -1, 1, &o->b));
    OCE_TRY(oce_check_block(check, o->count * sizeof(float), &expected));
    o->expected = expected;
    return OCE_OK;
}

static oce_status upload(oce_check *check, operands *o) {
    OCE_TRY(oce_check_tensor(check, o->dim, o->a, &o->ta));
    OCE_TRY(oce_check_tensor(check, o->dim, o->b, &o->tb));
    return oce_check_tensor(check, o->dim, NULL, &o->out);
}

/* Operations of one or two arrays and one result. */
typedef enum element { RELU, RELU_GRAD, ADD, FILL, DROPOUT, NORMAL, ELEMENTS } element;

static const struct {
    const char *operation;
    double bound;
} elements[ELEMENTS] = {
    [RELU] = {"relu", 0}, [RELU_GRAD] = {"relu gradient", 0}, [ADD] = {"add", 0},
    [FILL] = {"fill", 0}, [DROPOUT] = {"dropout", 0},         [NORMAL] = {"truncated normal", 0},
};

static const oce_dropout mask = {.keep_prob = 0.8F, .seed = 7, .step = 3, .layer = 5, .first = 64};
static const float filling = 0.1F, stddev = 0.05F;

static oce_status element_reference(element which, operands *o) {
    switch (which) {
    case RELU:
        oce_ref_relu(o->count, o->a, o->expected);
        break;
    case RELU_GRAD:
        oce_ref_relu_grad(o->count, o->a, o->b, o->expected);
        break;
    case ADD:
        for (size_t i = 0; i < o->count; i++)
            o->expected[i] = o->a[i] + o->b[i];
        break;
    case FILL:
        for (size_t i = 0; i < o->count; i++)
            o->expected[i] = filling;
        break;
    case DROPOUT:
        return oce_ref_dropout(&mask, o->count, o->a, o->expected);
    case NORMAL:
        oce_ref_truncated_normal(1, 2, stddev, o->count, o->expected);
        break;
    case ELEMENTS:
        break;
    }
    return OCE_OK;
}

static oce_status run_element(oce_check *check, element which, operands *o) {
    oce_device *device = check->device;
    switch (which) {
    case RELU:
        return oce_relu_forward(device, &o->ta, &o->out);
    case RELU_GRAD:
        return oce_relu_grad(device, &o->ta, &o->tb, &o->out);
    case ADD:
        o->out = o->tb;
        return oce_add(device, &o->ta, &o->tb);
    case FILL:
        return oce_fill(device, &o->out, filling);
    case DROPOUT:
        return oce_dropout_apply(device, &mask, &o->ta, &o->out);
    case NORMAL:
        return oce_truncated_normal(device, 1, 2, stddev, &o->out);
    case ELEMENTS:
        break;
    }
    return OCE_OK;
}

static oce_status check_element(oce_check *check, element which, const int64_t dim[4]) {
    oce_check_subject subject = {.operation = elements[which].operation,
                                 .bound = which == NORMAL ? normal_bound : elements[which].bound};
    describe(&subject, dim);
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    operands o;
    OCE_TRY(draw(check, dim, &o));
    OCE_TRY(element_reference(which, &o));
    oce_check_start(check);
    oce_status status = upload(check, &o);
    if (status == OCE_OK)
        status = run_element(check, which, &o);
    oce_check_tensor_is(check, &subject, status, &o.out, o.expected);
    return OCE_OK;
}

/* The gradient of y = relu(x + b): masked, and summed over the rows. */
static oce_status check_bias_grad(oce_check *check, const int64_t dim[4]) {
    oce_check_subject masked = {.operation = "relu and bias gradient", .bound = 0};
    oce_check_subject sums = {.operation = "bias gradient", .bound = sum_bound};
    describe(&masked, dim);
    describe(&sums, dim);
    if (!oce_check_wanted(check, &masked) && !oce_check_wanted(check, &sums))
        return OCE_OK;
    operands o;
    void *expected_sums = NULL;
    const int64_t rows = dim[0] * dim[1] * dim[2], sums_dim[4] = {1, 1, 1, dim[3]};
    OCE_TRY(draw(check, dim, &o));
    OCE_TRY(oce_check_block(check, (size_t)dim[3] * sizeof(float), &expected_sums));
    oce_ref_relu_grad(o.count, o.a, o.b, o.expected);
    oce_ref_bias_grad(rows, dim[3], o.expected, expected_sums);
    oce_check_start(check);
    oce_tensor db;
    oce_buffer *workspace = NULL;
    oce_status status = upload(check, &o);
    if (status == OCE_OK)
        status = oce_check_tensor(check, sums_dim, NULL, &db);
    if (status == OCE_OK)
        status = oce_check_buffer(check, oce_bias_grad_workspace(rows, dim[3]), NULL, &workspace);
    if (status == OCE_OK)
        status = oce_relu_bias_grad(check->device, &o.ta, &o.tb, &o.out, &db, workspace);
    oce_check_tensor_is(check, &masked, status, &o.out, o.expected);
    oce_check_tensor_is(check, &sums, status, &db, expected_sums);
    return OCE_OK;
}

/* Bytes of images to floats, as they are and at random flips and shifts. */
static oce_status check_images(oce_check *check, const int64_t dim[4], const oce_augment *augment) {
    oce_check_subject subject = {.operation = augment != NULL ? "augmented images" : "images"};
    describe(&subject, dim);
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    const float scale = 1.0F / 255.0F;
    const size_t count = (size_t)(dim[0] * dim[1] * dim[2] * dim[3]);
    uint8_t *bytes = NULL;
    void *expected = NULL;
    OCE_TRY(oce_check_bytes(check, count, 256, &bytes));
    OCE_TRY(oce_check_block(check, count * sizeof(float), &expected));
    if (augment != NULL)
        OCE_TRY(oce_ref_convert_augmented(augment, dim, bytes, scale, expected));
    else
        oce_ref_convert_bytes(count, bytes, scale, expected);
    oce_check_start(check);
    oce_buffer *buffer = NULL;
    oce_tensor y = {0};
    oce_status status = oce_check_buffer(check, count, bytes, &buffer);
    if (status == OCE_OK)
        status = oce_check_tensor(check, dim, NULL, &y);
    if (status == OCE_OK)
        status = oce_convert_bytes(check->device, buffer, 0, scale, augment, &y);
    oce_check_tensor_is(check, &subject, status, &y, expected);
    return OCE_OK;
}

static oce_status check_nonfinite(oce_check *check) {
    oce_check_subject subject = {.operation = "count of non-finite numbers"};
    const int64_t dim[4] = {1, 1, 1, 100003};
    describe(&subject, dim);
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    float *values = NULL;
    OCE_TRY(oce_check_floats(check, (size_t)dim[3], -1, 1, &values));
    int32_t expected = 0, got = -1;
    for (int64_t i = 17; i < dim[3]; i += 4001, expected++)
        values[i] = expected % 2 ? NAN : -INFINITY;
    oce_check_start(check);
    oce_tensor x;
    oce_buffer *counts = NULL;
    oce_status status = oce_check_tensor(check, dim, values, &x);
    if (status == OCE_OK)
        status = oce_check_buffer(check, sizeof got, NULL, &counts);
    if (status == OCE_OK)
        status = oce_count_nonfinite(check->device, &x, counts, 0);
    if (status == OCE_OK)
        status = oce_buffer_read(counts, 0, &got, sizeof got);
    if (status == OCE_OK)
        oce_check_compare_ints(check, &subject, &got, &expected, 1);
    else
        oce_check_status(check, &subject, status);
    return OCE_OK;
}

static oce_status check_layer(oce_check *check, const oce_check_layer *l) {
    const int64_t in[4] = {l->batch, l->input[0], l->input[1], l->input[2]};
    const int64_t out[4] = {l->batch, l->output[0], l->output[1], l->output[2]};
    if (l->layer->kind == OCE_LAYER_DROPOUT)
        return check_element(check, DROPOUT, out);
    if (l->layer->kind == OCE_LAYER_CONV2D || l->layer->kind == OCE_LAYER_DENSE)
        OCE_TRY(check_bias_grad(check, out));
    if (l->layer->kind != OCE_LAYER_CONV2D || in[3] > 3)
        return OCE_OK; /* the rest is of networks' inputs */
    const oce_augment augment = {
        .seed = 3, .step = 2, .first_image = 1, .max_shift = 4, .flip = true};
    OCE_TRY(check_images(check, in, NULL));
    return check_images(check, in, &augment);
}

oce_status oce_selftest_elements(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    for (int i = 0; i < count; i++) {
        const oce_status status = check_layer(check, &layers[i]);
        oce_check_end(check);
        OCE_TRY(status);
    }
    const int64_t block[4] = {1, 1, 1, 100003}; /* an odd number: the last vector is not full */
    for (int which = 0; which < ELEMENTS; which++) {
        const oce_status status = check_element(check, (element)which, block);
        oce_check_end(check);
        OCE_TRY(status);
    }
    const oce_status status = check_nonfinite(check);
    oce_check_end(check);
    return status;
}
