/* The readers of each operation's vectors. */
#include "vectors_json.h"

#include <criterion/criterion.h>

#include <string.h>

conv2d_vector vectors_conv2d(vector_file *file, size_t index) {
    const json_t *vector = vectors_at(file, index);
    conv2d_vector v = {.name = vectors_label(file, index, vector),
                       .tolerance = vectors_number(vector, "tolerance")};
    int64_t x[4], f[4];
    vectors_ints(vector, "input_shape", 4, x);
    vectors_ints(vector, "filter_shape_hwio", 4, f);
    const bool backward = vectors_has(vector, "out_backprop_shape");
    vectors_ints(vector, backward ? "out_backprop_shape" : "output_shape", 4, v.y_shape);
    cr_assert(x[3] == f[2] && f[3] == v.y_shape[3] && x[0] == v.y_shape[0],
              "%s: the shapes do not fit each other", v.name);
    v.desc = (oce_conv2d_desc){.batch = x[0],
                               .height = x[1],
                               .width = x[2],
                               .channels = x[3],
                               .filters = f[3],
                               .window = {.size = {f[0], f[1]}}};
    vectors_window(vector, &v.desc.window);
    if (vectors_has(vector, "relu_after_bias") &&
        json_is_true(json_object_get(vector, "relu_after_bias")))
        v.desc.activation = OCE_ACTIVATION_RELU;
    v.x = vectors_has(vector, "input") ? vectors_optional(file, vector, "input")
                                       : vectors_fill_counting(file, x);
    v.filter = vectors_has(vector, "filter_hwio") ? vectors_optional(file, vector, "filter_hwio")
                                                  : vectors_fill_counting(file, f);
    v.bias = vectors_optional(file, vector, "bias");
    if (backward)
        v.dy = vectors_fill_counting(file, v.y_shape);
    v.y = vectors_optional(file, vector, "expected");
    v.dx = vectors_optional(file, vector, "expected_input_grad");
    v.dfilter = vectors_optional(file, vector, "expected_filter_grad");
    cr_assert((v.y.values != NULL) + (v.dx.values != NULL) + (v.dfilter.values != NULL) == 1,
              "%s: not one expected array", v.name);
    vectors_check_count(v.name, "input", v.x, vectors_elements(x));
    vectors_check_count(v.name, "filter", v.filter, vectors_elements(f));
    vectors_check_count(v.name, "bias", v.bias, (size_t)f[3]);
    vectors_check_count(v.name, "the output", v.y, vectors_elements(v.y_shape));
    vectors_check_count(v.name, "the input gradient", v.dx, vectors_elements(x));
    vectors_check_count(v.name, "the filter gradient", v.dfilter, vectors_elements(f));
    return v;
}

/* The kind stands in the vector, or once for the whole file. */
static oce_pool_kind pool_kind(const vector_file *file, const json_t *vector) {
    const char *op = vectors_text(vectors_has(vector, "op") ? vector : file->root, "op");
    const bool max = strstr(op, "max_pool") != NULL;
    cr_assert(max || strstr(op, "avg_pool"), "unknown operation %s", op);
    return max ? OCE_POOL_MAX : OCE_POOL_AVERAGE;
}

static vector_array pool_input(vector_file *file, const json_t *vector, const int64_t x[4]) {
    if (vectors_has(vector, "input"))
        return vectors_optional(file, vector, "input");
    const char *fill = vectors_text(vector, "input_fill");
    const bool negated = strcmp(fill, "negated default fill") == 0;
    cr_assert(negated || strcmp(fill, "default fill") == 0, "unknown fill: %s", fill);
    return vectors_fill_pool(file, x, negated);
}

pool_vector vectors_pool(vector_file *file, size_t index) {
    const json_t *vector = vectors_at(file, index);
    pool_vector v = {.name = vectors_label(file, index, vector),
                     .tolerance = vectors_number(vector, "tolerance")};
    int64_t x[4];
    vectors_ints(vector, "input_shape", 4, x);
    vectors_ints(vector,
                 vectors_has(vector, "output_shape") ? "output_shape" : "out_backprop_shape", 4,
                 v.y_shape);
    v.desc = (oce_pool_desc){.kind = pool_kind(file, vector),
                             .batch = x[0],
                             .height = x[1],
                             .width = x[2],
                             .channels = x[3]};
    vectors_ints(vector, "ksize_hw", 2, v.desc.window.size);
    vectors_window(vector, &v.desc.window);
    const size_t outputs = vectors_elements(v.y_shape);
    v.x = pool_input(file, vector, x);
    v.dy = vectors_optional(file, vector, "out_backprop");
    v.y = vectors_optional(file, vector,
                           vectors_has(vector, "expected_output") ? "expected_output" : "expected");
    v.dx = vectors_optional(file, vector, "expected_input_grad");
    if (vectors_has(vector, "expected_argmax_over_batch")) {
        int64_t *argmax = vectors_allocate(file, outputs, sizeof *argmax);
        vectors_ints(vector, "expected_argmax_over_batch", outputs, argmax);
        v.argmax = argmax;
    }
    cr_assert(v.y.values || v.dx.values, "%s: nothing is expected", v.name);
    vectors_check_count(v.name, "input", v.x, vectors_elements(x));
    vectors_check_count(v.name, "out_backprop", v.dy, outputs);
    vectors_check_count(v.name, "the output", v.y, outputs);
    vectors_check_count(v.name, "the input gradient", v.dx, vectors_elements(x));
    return v;
}

/* Extents of a list of rows. */
static void matrix_shape(const json_t *list, int64_t *rows, int64_t *columns) {
    *rows = (int64_t)json_array_size(list);
    *columns = (int64_t)json_array_size(json_array_get(list, 0));
    cr_assert(*rows > 0 && *columns > 0, "not a list of rows");
}

xent_vector vectors_xent(vector_file *file, size_t index) {
    const json_t *vector = vectors_at(file, index);
    xent_vector v = {.name = vectors_label(file, index, vector)};
    matrix_shape(json_object_get(vector, "logits"), &v.rows, &v.classes);
    v.logits = vectors_required(file, vector, "logits");
    v.labels = vectors_required(file, vector, "labels");
    const bool literal = vectors_has(vector, "expected_grad");
    v.losses = vectors_optional(file, vector, literal ? "expected_loss" : "loss_by_test_formula");
    v.dlogits = vectors_required(file, vector, literal ? "expected_grad" : "grad_by_test_formula");
    /* One vector states no tolerance for its formula; it is the others'. */
    v.tolerance = literal ? vectors_number(vector, "tolerance")
                  : vectors_has(vector, "formula_tolerance")
                      ? vectors_number(vector, "formula_tolerance")
                      : 1e-6;
    v.literal_losses = vectors_optional(file, vector, "literal_loss_in_source");
    v.literal_dlogits = vectors_optional(file, vector, "literal_grad_in_source");
    if (v.literal_dlogits.values)
        v.literal_tolerance = vectors_number(vector, "literal_tolerance");
    const size_t count = (size_t)(v.rows * v.classes);
    vectors_check_count(v.name, "logits", v.logits, count);
    vectors_check_count(v.name, "labels", v.labels, count);
    vectors_check_count(v.name, "the gradient", v.dlogits, count);
    vectors_check_count(v.name, "the literal gradient", v.literal_dlogits, count);
    vectors_check_count(v.name, "the losses", v.losses, (size_t)v.rows);
    vectors_check_count(v.name, "the literal losses", v.literal_losses, (size_t)v.rows);
    return v;
}

static vector_array single(vector_file *file, const json_t *vector, const char *key) {
    float *value = vectors_allocate(file, 1, sizeof *value);
    *value = (float)vectors_number(vector, key);
    return (vector_array){value, 1};
}

activation_vector vectors_activation(vector_file *file, size_t index) {
    const json_t *vector = vectors_at(file, index);
    const char *op = vectors_text(vector, "op");
    activation_vector v = {.name = vectors_label(file, index, vector),
                           .rows = 1,
                           .tolerance = vectors_number(vector, "tolerance")};
    if (strstr(op, "softmax")) {
        v.op = VECTOR_SOFTMAX;
        matrix_shape(json_object_get(vector, "logits"), &v.rows, &v.columns);
        v.x = vectors_required(file, vector, "logits");
        v.expected = vectors_optional(file, vector, "expected");
        v.expected_log = vectors_required(file, vector, "expected_log_softmax");
    } else if (strcmp(op, "tf.nn.relu") == 0) {
        v.op = VECTOR_RELU;
        v.x = vectors_required(file, vector, "input");
        v.columns = (int64_t)v.x.count;
        v.expected = vectors_required(file, vector, "expected");
    } else if (strcmp(op, "relu + gradient descent") == 0) {
        v.op = VECTOR_RELU_DESCENT;
        cr_assert(strcmp(vectors_text(vector, "loss"), "relu(x)^2") == 0, "%s: other loss", v.name);
        v.x = single(file, vector, "x");
        v.columns = 1;
        v.learning_rate = vectors_number(vector, "learning_rate");
        v.expected = single(file, vector, "expected_x_after_one_step");
    } else {
        cr_assert(strcmp(op, "bias add") == 0, "%s: unknown operation %s", v.name, op);
        v.op = VECTOR_BIAS;
        int64_t shape[2];
        vectors_ints(vector, "input_shape", 2, shape);
        v.rows = shape[0];
        v.columns = shape[1];
        v.x = vectors_required(file, vector, "input");
        v.bias = vectors_required(file, vector, "bias");
        v.expected = vectors_required(file, vector, "expected");
    }
    const size_t count = (size_t)(v.rows * v.columns);
    vectors_check_count(v.name, "the input", v.x, count);
    vectors_check_count(v.name, "the bias", v.bias, (size_t)v.columns);
    vectors_check_count(v.name, "the output", v.expected, count);
    vectors_check_count(v.name, "the logarithms", v.expected_log, count);
    return v;
}
