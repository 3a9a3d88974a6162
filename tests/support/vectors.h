/*
 * The test vectors of tests/vectors, read into the descriptions and arrays that the operations
 * take. The same loop serves the reference and the OpenCL operations:
 *
 *   vector_file *file = vectors_open("tf_conv2d_forward.json");
 *   for (size_t i = 0; i < vectors_count(file); i++) {
 *       const conv2d_vector v = vectors_conv2d(file, i);
 *       ... run v.desc on v.x and v.filter, compare with v.y ...
 *   }
 *   vectors_close(file);
 *
 * Everything a vector points to lives until vectors_close(). What the files leave to a "fill"
 * convention is filled in here. A file or vector that cannot be read fails the running Criterion
 * test at once, so that nothing here returns an error.
 */
#ifndef TESTS_SUPPORT_VECTORS_H
#define TESTS_SUPPORT_VECTORS_H

#include "compare.h"

#include <ocelli/conv2d.h>
#include <ocelli/optimizer.h>
#include <ocelli/pool.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vector_file vector_file;

/* Opens tests/vectors/<name>, relative to the repository root. */
vector_file *vectors_open(const char *name);
void vectors_close(vector_file *file);
size_t vectors_count(const vector_file *file);

/* Dense, row-major numbers. values is NULL if the vector has no such array, and never NULL for an
 * array of no elements. */
typedef struct vector_array {
    const float *values;
    size_t count;
} vector_array;

/* The limit a vector's tolerance means: that much absolute plus that much relative. */
compare_limit vector_limit(double tolerance);

/* Files tf_conv2d_forward (19 vectors), tf_conv2d_backprop_input (23), tf_conv2d_backprop_filter
 * (25), tflite_conv2d_bias_relu (12). */
typedef struct conv2d_vector {
    const char *name; /* file, number and upstream's name */
    oce_conv2d_desc desc;
    int64_t y_shape[4];          /* as the file has it; the geometry must resolve to it */
    vector_array x, filter;      /* [N,H,W,C], [R,S,C,K] */
    vector_array bias;           /* [K], tflite only */
    vector_array dy;             /* [N,OH,OW,K], both gradients' files */
    vector_array y, dx, dfilter; /* expected: exactly one of them has values */
    double tolerance;
} conv2d_vector;
conv2d_vector vectors_conv2d(vector_file *file, size_t index);

/* Files tf_pool_forward (32), tf_max_pool_grad (10), tfjs_avg_pool_and_grad (6). */
typedef struct pool_vector {
    const char *name;
    oce_pool_desc desc;
    int64_t y_shape[4];
    vector_array x;        /* [N,H,W,C] */
    vector_array dy;       /* [N,OH,OW,C]; no values: forward only */
    vector_array y, dx;    /* expected; no values: not given */
    const int64_t *argmax; /* expected, one per output: (n*H*W + h*W + w)*C + c; NULL: not given */
    double tolerance;
} pool_vector;
pool_vector vectors_pool(vector_file *file, size_t index);

/* File tf_softmax_xent (4): losses and gradients for an upstream gradient of 1. */
typedef struct xent_vector {
    const char *name;
    int64_t rows, classes;
    vector_array logits, labels; /* [rows, classes] */
    vector_array losses;         /* expected [rows]; no values: not given */
    vector_array dlogits;        /* expected [rows, classes] */
    double tolerance;
    vector_array literal_losses, literal_dlogits; /* upstream's rounded literals; may be absent */
    double literal_tolerance;
} xent_vector;
xent_vector vectors_xent(vector_file *file, size_t index);

/* File tf_softmax_relu_bias (7). */
typedef enum activation_op {
    VECTOR_SOFTMAX,      /* expected (may be absent), expected_log: log of the probabilities */
    VECTOR_RELU,         /* expected */
    VECTOR_RELU_DESCENT, /* one gradient descent step on relu(x)^2: learning_rate, expected x */
    VECTOR_BIAS          /* bias, expected: x + bias over the last axis */
} activation_op;
typedef struct activation_vector {
    const char *name;
    activation_op op;
    int64_t rows, columns; /* x is [rows, columns]; rows is 1 for ReLU */
    vector_array x, bias, expected, expected_log;
    double learning_rate;
    double tolerance;
} activation_vector;
activation_vector vectors_activation(vector_file *file, size_t index);

/* Files tf_adam (2), tf_rmsprop (8): some steps from a start, with the same gradients each. */
typedef struct optimizer_vector_step { /* expected after the step */
    vector_array parameters, slots[2];
    double beta1_power, beta2_power; /* Adam */
} optimizer_vector_step;
typedef struct optimizer_vector {
    const char *name;
    oce_optimizer_desc desc;
    oce_optimizer_state start;
    size_t count; /* elements of each array */
    vector_array parameters, slots[2], gradients;
    const optimizer_vector_step *steps;
    size_t step_count;
    double tolerance;
} optimizer_vector;
optimizer_vector vectors_optimizer(vector_file *file, size_t index);

/*
 * File tf221_small_checkpoints (8): the variables of a linear model y = x w + b on
 * x = [[1,2],[3,4]] after 0 or 3 updates for the loss mean(y * y). w is [2,3], b [3]. A slot or
 * power that the optimizer does not have has no values, or is 0.
 */
typedef struct training_vector {
    const char *name;
    oce_optimizer_desc desc;
    int64_t steps;
    vector_array losses; /* before each update */
    vector_array w, b, w_slots[2], b_slots[2];
    oce_optimizer_state state; /* Adam */
} training_vector;
training_vector vectors_training(vector_file *file, size_t index);

#endif
