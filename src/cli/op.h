/* One operation on arrays from files: what `ocelli op` offers. */
#ifndef CLI_OP_H
#define CLI_OP_H

#include <ocelli/array.h>
#include <ocelli/conv2d.h>
#include <ocelli/device.h>
#include <ocelli/gemm.h>
#include <ocelli/pool.h>
#include <ocelli/tensor.h>

#include <stdbool.h>
#include <stdint.h>

enum { OP_MAX_INPUTS = 3, OP_MAX_RANK = 4 };

/* The operations: places in op_kinds and op_names. */
enum op_number {
    OP_CONV2D,
    OP_CONV2D_INPUT_GRAD,
    OP_CONV2D_FILTER_GRAD,
    OP_MAX_POOL,
    OP_MAX_POOL_GRAD,
    OP_AVG_POOL,
    OP_AVG_POOL_GRAD,
    OP_GEMM,
    OP_SOFTMAX,
    OP_SOFTMAX_XENT,
    OP_SOFTMAX_XENT_GRAD,
    OP_BIAS_GRAD,
    OP_RELU,
    OP_RELU_GRAD,
    OP_DROPOUT,
    OP_ADD,
    OP_KINDS
};

/* An array on the device. */
typedef struct op_operand {
    const char *path; /* of an input's file */
    int rank;
    int64_t shape[OP_MAX_RANK]; /* rank extents */
    oce_tensor tensor;          /* of up to four extents: the last ones */
} op_operand;

/* What the options say. */
typedef struct op_settings {
    oce_window window;     /* size 0: not given */
    int64_t input_size[2]; /* height and width of an input gradient; 0: not given */
    bool relu, transpose_a, transpose_b;
    oce_conv2d_family conv;
    bool no_winograd;
    oce_gemm_family gemm; /* of products, im2col's too */
    double keep_prob;
    uint64_t seed, step, layer;
} op_settings;

/* One run. */
typedef struct op_run {
    oce_device *device;
    const op_settings *settings;
    op_operand inputs[OP_MAX_INPUTS];
    int input_count;
    op_operand output;
    /* Given back by op_release(). */
    oce_buffer *workspace, *winners;
    oce_conv2d_plan *conv;
    oce_gemm_plan *gemm;
    oce_pool_plan *pool;
    char family[32]; /* the algorithm that was used; "" if there is one only */
} op_run;

typedef struct op_kind {
    int min_inputs, max_inputs;
    const char
        *inputs; /* for messages, e.g. "x [N,H,W,C], filter [R,S,C,K] and perhaps bias [K]" */
    /* Checks the inputs, makes the output and runs; returns the exit code, after a message. */
    int (*run)(op_run *run);
} op_kind;

extern const op_kind op_kinds[OP_KINDS];
extern const char *const op_names[OP_KINDS + 1]; /* ended by NULL */

/* Uploads an array of real numbers of at most OP_MAX_RANK extents from the file `path`, rounded to
 * the nearest float32; returns the exit code. */
int op_upload(oce_device *device, const char *path, const oce_array *array, op_operand *operand);

/* Makes the output, of `rank` extents. */
oce_status op_make_output(op_run *run, int rank, const int64_t *shape);

/* Gives back what a run holds. */
void op_release(op_run *run);

#endif
