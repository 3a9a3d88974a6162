/* The reference operations against numbers that others made: TensorFlow and its relatives. */
#include "base/size.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/vectors.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An uninitialised result array: what is not written must not pass by being 0. */
static float *result_array(size_t count) {
    float *values = malloc((count + 1) * sizeof *values);
    cr_assert(values, "out of memory");
    memset(values, 0x7E, (count + 1) * sizeof *values);
    return values;
}

static float *copy_of(vector_array array) {
    float *values = result_array(array.count);
    memcpy(values, array.values, array.count * sizeof *values);
    return values;
}

static void check_geometry(const char *name, const oce_window *window, const int64_t x[2],
                           const int64_t y_shape[4]) {
    oce_window_geometry geometry;
    cr_assert_eq(oce_window_resolve(window, x[0], x[1], &geometry), OCE_OK, "%s: %s", name,
                 oce_last_error());
    cr_expect(geometry.output[0] == y_shape[1] && geometry.output[1] == y_shape[2],
              "%s: output %lld x %lld, expected %lld x %lld", name, (long long)geometry.output[0],
              (long long)geometry.output[1], (long long)y_shape[1], (long long)y_shape[2]);
}

static void check_conv2d(const conv2d_vector *v) {
    const oce_conv2d_desc *d = &v->desc;
    const int64_t x_shape[4] = {d->batch, d->height, d->width, d->channels};
    const int64_t f_shape[4] = {d->window.size[0], d->window.size[1], d->channels, d->filters};
    check_geometry(v->name, &d->window, &x_shape[1], v->y_shape);
    const vector_array expected = v->y.values ? v->y : v->dx.values ? v->dx : v->dfilter;
    const int64_t *shape = v->y.values ? v->y_shape : v->dx.values ? x_shape : f_shape;
    float *got = result_array(expected.count);
    oce_status status;
    if (v->y.values)
        status = oce_ref_conv2d_forward(d, v->x.values, v->filter.values, v->bias.values, got);
    else if (v->dx.values)
        status = oce_ref_conv2d_input_grad(d, v->dy.values, v->filter.values, got);
    else
        status = oce_ref_conv2d_filter_grad(d, v->x.values, v->dy.values, got);
    cr_assert_eq(status, OCE_OK, "%s: %s", v->name, oce_last_error());
    expect_floats(got, expected.values, expected.count, shape, vector_limit(v->tolerance), "%s",
                  v->name);
    free(got);
}

static void check_conv2d_file(const char *name, size_t count) {
    vector_file *file = vectors_open(name);
    cr_expect_eq(vectors_count(file), count, "%s: %zu vectors, expected %zu", name,
                 vectors_count(file), count);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const conv2d_vector v = vectors_conv2d(file, i);
        check_conv2d(&v);
    }
    vectors_close(file);
}

Test(ref_vectors, conv2d_forward) {
    check_conv2d_file("tf_conv2d_forward.json", 19);
}

Test(ref_vectors, conv2d_input_grad) {
    check_conv2d_file("tf_conv2d_backprop_input.json", 23);
}

Test(ref_vectors, conv2d_filter_grad) {
    check_conv2d_file("tf_conv2d_backprop_filter.json", 25);
}

Test(ref_vectors, conv2d_bias_relu) {
    check_conv2d_file("tflite_conv2d_bias_relu.json", 12);
}

/* The element of X, over the batch, that each winner of the window stands for. */
static void check_winners(const pool_vector *v, const uint8_t *winners) {
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&v->desc.window, v->desc.height, v->desc.width, &g), OCE_OK);
    const int64_t *y = v->y_shape;
    int64_t at = 0;
    for (int64_t n = 0; n < y[0]; n++)
        for (int64_t i = 0; i < y[1]; i++)
            for (int64_t j = 0; j < y[2]; j++)
                for (int64_t c = 0; c < y[3]; c++, at++) {
                    const int64_t h = i * g.stride[0] - g.before[0] + winners[at] / g.size[1];
                    const int64_t w = j * g.stride[1] - g.before[1] + winners[at] % g.size[1];
                    const int64_t element =
                        ((n * v->desc.height + h) * v->desc.width + w) * v->desc.channels + c;
                    cr_expect_eq(element, v->argmax[at], "%s: output %lld: won by %lld, not %lld",
                                 v->name, (long long)at, (long long)element,
                                 (long long)v->argmax[at]);
                }
}

static void check_pool(const pool_vector *v) {
    const int64_t x_shape[4] = {v->desc.batch, v->desc.height, v->desc.width, v->desc.channels};
    check_geometry(v->name, &v->desc.window, &x_shape[1], v->y_shape);
    size_t outputs = 0;
    cr_assert(oce_size_product(v->y_shape, 4, &outputs));
    float *y = result_array(outputs), *dx = result_array(v->x.count);
    uint8_t *winners = v->argmax ? malloc(outputs + 1) : NULL;
    cr_assert(winners || !v->argmax, "out of memory");
    cr_assert_eq(oce_ref_pool_forward(&v->desc, v->x.values, y, winners), OCE_OK, "%s: %s", v->name,
                 oce_last_error());
    if (v->y.values)
        expect_floats(y, v->y.values, outputs, v->y_shape, vector_limit(v->tolerance), "%s",
                      v->name);
    if (v->argmax)
        check_winners(v, winners);
    if (v->dx.values) {
        cr_assert_eq(oce_ref_pool_grad(&v->desc, v->x.values, v->dy.values, dx), OCE_OK, "%s: %s",
                     v->name, oce_last_error());
        expect_floats(dx, v->dx.values, v->dx.count, x_shape, vector_limit(v->tolerance),
                      "%s, gradient", v->name);
    }
    free(winners);
    free(dx);
    free(y);
}

static void check_pool_file(const char *name, size_t count) {
    vector_file *file = vectors_open(name);
    cr_expect_eq(vectors_count(file), count, "%s: %zu vectors, expected %zu", name,
                 vectors_count(file), count);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const pool_vector v = vectors_pool(file, i);
        check_pool(&v);
    }
    vectors_close(file);
}

Test(ref_vectors, pool_forward) {
    check_pool_file("tf_pool_forward.json", 32);
}

Test(ref_vectors, max_pool_grad) {
    check_pool_file("tf_max_pool_grad.json", 10);
}

Test(ref_vectors, average_pool_grad) {
    check_pool_file("tfjs_avg_pool_and_grad.json", 6);
}

static void check_xent(const xent_vector *v) {
    const size_t rows = (size_t)v->rows;
    const int64_t shape[4] = {v->rows, 1, 1, v->classes};
    float *losses = result_array(rows), *dlogits = result_array(v->logits.count);
    oce_ref_softmax_xent(v->rows, v->classes, v->logits.values, v->labels.values, 1.0F, losses,
                         dlogits);
    expect_floats(dlogits, v->dlogits.values, v->dlogits.count, shape, vector_limit(v->tolerance),
                  "%s, gradient", v->name);
    if (v->losses.values)
        expect_floats(losses, v->losses.values, rows, NULL, vector_limit(v->tolerance),
                      "%s, losses", v->name);
    if (v->literal_dlogits.values)
        expect_floats(dlogits, v->literal_dlogits.values, v->dlogits.count, shape,
                      vector_limit(v->literal_tolerance), "%s, literal gradient", v->name);
    if (v->literal_losses.values)
        expect_floats(losses, v->literal_losses.values, rows, NULL,
                      vector_limit(v->literal_tolerance), "%s, literal losses", v->name);
    free(dlogits);
    free(losses);
}

Test(ref_vectors, softmax_xent) {
    vector_file *file = vectors_open("tf_softmax_xent.json");
    cr_expect_eq(vectors_count(file), 4);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const xent_vector v = vectors_xent(file, i);
        check_xent(&v);
    }
    vectors_close(file);
}

/* -log of the probability of class c is the loss of a row labelled c. */
static void check_log_softmax(const activation_vector *v) {
    const size_t rows = (size_t)v->rows, columns = (size_t)v->columns;
    float *labels = result_array(rows * columns), *losses = result_array(rows);
    float *logs = result_array(rows * columns);
    for (size_t c = 0; c < columns; c++) {
        for (size_t i = 0; i < rows * columns; i++)
            labels[i] = i % columns == c ? 1.0F : 0.0F;
        oce_ref_softmax_xent(v->rows, v->columns, v->x.values, labels, 1.0F, losses, NULL);
        for (size_t r = 0; r < rows; r++)
            logs[r * columns + c] = -losses[r];
    }
    expect_floats(logs, v->expected_log.values, rows * columns, NULL, vector_limit(v->tolerance),
                  "%s, logarithms", v->name);
    free(logs);
    free(losses);
    free(labels);
}

static void relu_descent(const activation_vector *v, float *x) {
    const oce_optimizer_desc sgd = {.kind = OCE_OPTIMIZER_SGD};
    oce_optimizer_state state = {0, 0};
    float y, gradient;
    *x = v->x.values[0];
    oce_ref_relu(1, x, &y);
    gradient = 2.0F * y;
    oce_ref_relu_grad(1, &gradient, &y, &gradient);
    cr_assert_eq(
        oce_ref_optimizer_step(&sgd, (float)v->learning_rate, &state, &gradient, x, NULL, 1),
        OCE_OK);
}

/* x + bias as a product with the identity matrix. */
static void add_bias(const activation_vector *v, float *y) {
    const size_t n = (size_t)v->columns;
    float *identity = calloc(n * n, sizeof *identity);
    cr_assert(identity, "out of memory");
    for (size_t i = 0; i < n; i++)
        identity[i * n + i] = 1.0F;
    const oce_gemm_desc desc = {.m = v->rows, .n = v->columns, .k = v->columns};
    cr_assert_eq(oce_ref_gemm(&desc, v->x.values, identity, v->bias.values, y), OCE_OK);
    free(identity);
}

static void check_activation(const activation_vector *v) {
    float *y = result_array(v->x.count);
    switch (v->op) {
    case VECTOR_SOFTMAX:
        oce_ref_softmax(v->rows, v->columns, v->x.values, y);
        check_log_softmax(v);
        break;
    case VECTOR_RELU:
        oce_ref_relu(v->x.count, v->x.values, y);
        break;
    case VECTOR_RELU_DESCENT:
        relu_descent(v, y);
        break;
    case VECTOR_BIAS:
        add_bias(v, y);
        break;
    }
    if (v->expected.values)
        expect_floats(y, v->expected.values, v->expected.count, NULL, vector_limit(v->tolerance),
                      "%s", v->name);
    free(y);
}

Test(ref_vectors, softmax_relu_bias) {
    vector_file *file = vectors_open("tf_softmax_relu_bias.json");
    cr_expect_eq(vectors_count(file), 7);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const activation_vector v = vectors_activation(file, i);
        check_activation(&v);
    }
    vectors_close(file);
}

static void check_optimizer(const optimizer_vector *v) {
    const compare_limit limit = vector_limit(v->tolerance);
    oce_optimizer_state state = v->start;
    float *parameters = copy_of(v->parameters);
    float *slots[2] = {copy_of(v->slots[0]), copy_of(v->slots[1])};
    for (size_t i = 0; i < v->step_count; i++) {
        const optimizer_vector_step *expected = &v->steps[i];
        cr_assert_eq(oce_ref_optimizer_step(&v->desc, v->desc.learning_rate, &state,
                                            v->gradients.values, parameters, slots, v->count),
                     OCE_OK);
        expect_floats(parameters, expected->parameters.values, v->count, NULL, limit,
                      "%s, parameters after step %zu", v->name, i + 1);
        for (int s = 0; s < 2; s++)
            expect_floats(slots[s], expected->slots[s].values, v->count, NULL, limit,
                          "%s, slot %d after step %zu", v->name, s, i + 1);
        const float powers[2] = {(float)expected->beta1_power, (float)expected->beta2_power};
        const float got[2] = {state.beta1_power, state.beta2_power};
        expect_floats(got, powers, 2, NULL, limit, "%s, powers after step %zu", v->name, i + 1);
    }
    free(slots[1]);
    free(slots[0]);
    free(parameters);
}

static void check_optimizer_file(const char *name, size_t count) {
    vector_file *file = vectors_open(name);
    cr_expect_eq(vectors_count(file), count, "%s: %zu vectors, expected %zu", name,
                 vectors_count(file), count);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const optimizer_vector v = vectors_optimizer(file, i);
        check_optimizer(&v);
    }
    vectors_close(file);
}

Test(ref_vectors, adam) {
    check_optimizer_file("tf_adam.json", 2);
}

Test(ref_vectors, rmsprop) {
    check_optimizer_file("tf_rmsprop.json", 8);
}

/*
 * Forward and backward pass of the small model, with the roundings of TensorFlow's own float32
 * kernels (products fused in the sum over two terms, the mean's gradient as y/6 + y/6), so that
 * the optimizer gets the very gradients that TensorFlow's got. Returns the loss.
 */
static float small_model(const float w[6], const float b[3], float dw[6], float db[3]) {
    static const float x[2][2] = {{1, 2}, {3, 4}};
    double sum = 0;
    for (int j = 0; j < 3; j++) {
        float dy[2];
        for (int i = 0; i < 2; i++) {
            const float first = x[i][0] * w[j];
            const float y = fmaf(x[i][1], w[3 + j], first) + b[j];
            const float part = y * (1.0F / 6.0F);
            dy[i] = part + part;
            sum += (double)y * (double)y;
        }
        for (int i = 0; i < 2; i++) {
            const float first = x[0][i] * dy[0];
            dw[i * 3 + j] = fmaf(x[1][i], dy[1], first);
        }
        db[j] = dy[0] + dy[1];
    }
    return (float)(sum / 6.0);
}

/* A variable of the small model under training. */
typedef struct variable {
    float *values, *slots[2];
} variable;

static variable variable_start(vector_array values, const vector_array slots[2]) {
    variable v = {copy_of(values), {NULL, NULL}};
    for (int s = 0; s < 2; s++)
        v.slots[s] = slots[s].values ? copy_of(slots[s]) : NULL;
    return v;
}

/* Compares bit by bit, then frees. */
static void variable_end(variable *v, vector_array values, const vector_array slots[2],
                         const char *name) {
    expect_bytes(v->values, values.values, values.count * sizeof(float), "%s", name);
    for (int s = 0; s < 2; s++) {
        if (slots[s].values)
            expect_bytes(v->slots[s], slots[s].values, slots[s].count * sizeof(float),
                         "%s, slot %d", name, s);
        free(v->slots[s]);
    }
    free(v->values);
}

static void check_training(const training_vector *start, const training_vector *end) {
    const compare_limit loss_limit = {.relative = 3e-7};
    const oce_optimizer_desc *desc = &end->desc;
    const float rate = desc->learning_rate;
    variable w = variable_start(start->w, start->w_slots);
    variable b = variable_start(start->b, start->b_slots);
    oce_optimizer_state state = start->state;
    for (int64_t step = 0; step < end->steps; step++) {
        float dw[6], db[3];
        oce_optimizer_state same = state; /* the powers advance once for all variables */
        const float loss = small_model(w.values, b.values, dw, db);
        expect_floats(&loss, &end->losses.values[step], 1, NULL, loss_limit, "%s, loss %lld",
                      end->name, (long long)step);
        cr_assert_eq(oce_ref_optimizer_step(desc, rate, &same, dw, w.values, w.slots, 6), OCE_OK);
        cr_assert_eq(oce_ref_optimizer_step(desc, rate, &state, db, b.values, b.slots, 3), OCE_OK);
    }
    variable_end(&w, end->w, end->w_slots, end->name);
    variable_end(&b, end->b, end->b_slots, end->name);
    expect_bytes(&state, &end->state, sizeof state, "%s, powers", end->name);
}

/* Vectors come in pairs: the start, then the same model after three updates. Every bit counts. */
Test(ref_vectors, training_with_each_optimizer) {
    vector_file *file = vectors_open("tf221_small_checkpoints.json");
    cr_expect_eq(vectors_count(file), 8);
    for (size_t i = 0; i + 1 < vectors_count(file); i += 2) {
        const training_vector start = vectors_training(file, i);
        const training_vector end = vectors_training(file, i + 1);
        cr_assert(start.steps == 0 && end.steps == 3 && start.desc.kind == end.desc.kind);
        check_training(&start, &end);
    }
    vectors_close(file);
}
