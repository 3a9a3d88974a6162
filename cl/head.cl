/*
 * The end of a classifier for a few images on a CPU, in one launch (src/ops/head.h): the last dense
 * layer, and softmax or cross entropy of its logits. What the layer reads may be the partial sums
 * of the product before it, which are added up here. Each launch less is a few microseconds less of
 * the time that an answer takes.
 */
#include "softmax_row.cl.h"

/* Vectors that hold a row of logits. */
#ifndef CLASS_VECTORS
#define CLASS_VECTORS 1
#endif

/* Sums that take turns, so that none waits for itself; divides VW. */
#define CHAINS 4

typedef floatv floatv_anywhere __attribute__((aligned(4)));
#define LOAD(p) (*(__global const floatv_anywhere *)(p))

/* parts: [splits] times part_size floats, of each a row [inputs] for each image; x = act(their sum
 * + parts_bias), where parts_bias (NULL: none) has [inputs]. weights: [inputs,classes], bias:
 * [classes]. logits: [images,classes]. */
#define LAYER                                                                                      \
    IN(parts), const ulong part_size, const uint splits, IN(parts_bias), const int relu,           \
        IN(weights), IN(bias), INOUT(logits), const uint inputs, const uint classes
#define LAYER_ARGS(row)                                                                            \
    AT(parts) + (row)*inputs, part_size, splits,                                                   \
        AT(parts_bias), relu, AT(weights), AT(bias), AT(logits) + (row)*classes, inputs, classes

/* A vector of x. What it holds beyond the row's end is not a part of x. */
static floatv input_of(__global const float *parts, const ulong part_size, const uint splits,
                       __global const float *parts_bias, const int relu) {
    floatv x = LOAD(parts);
    for (uint split = 1; split < splits; split++)
        x += LOAD(parts + split * part_size);
    if (parts_bias != 0)
        x += LOAD(parts_bias);
    return relu ? select(x, (floatv)(0.0f), x <= (floatv)(0.0f)) : x; /* NaN stays NaN */
}

/* z = x weights + bias. Rows of weights may end within a vector; the lanes behind are not used. */
static void dense_row(__global const float *parts, const ulong part_size, const uint splits,
                      __global const float *parts_bias, const int relu,
                      __global const float *weights, __global const float *bias,
                      __global float *z, const uint inputs, const uint classes) {
    floatv sum[CHAINS][CLASS_VECTORS];
    UNROLL for (uint i = 0; i < CHAINS; i++)
        UNROLL for (uint v = 0; v < CLASS_VECTORS; v++)
            sum[i][v] = (floatv)(0.0f);
    for (uint k = 0; k < inputs; k += VW) {
        float x[VW];
        vstorev(input_of(parts + k, part_size, splits, parts_bias != 0 ? parts_bias + k : 0, relu),
                0, x);
        __global const float *rows = weights + (ulong)k * classes;
        if (k + VW <= inputs) {
            UNROLL for (uint i = 0; i < VW; i++)
                UNROLL for (uint v = 0; v < CLASS_VECTORS; v++)
                    sum[i % CHAINS][v] =
                        FMA((floatv)(x[i]), LOAD(rows + i * classes + v * VW), sum[i % CHAINS][v]);
        } else {
            for (uint i = 0; k + i < inputs; i++)
                UNROLL for (uint v = 0; v < CLASS_VECTORS; v++)
                    sum[0][v] = FMA((floatv)(x[i]), LOAD(rows + i * classes + v * VW), sum[0][v]);
        }
    }
    UNROLL for (uint v = 0; v < CLASS_VECTORS; v++)
        store_lanes((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]) + LOAD(bias + v * VW),
                    z + v * VW, (int)classes - (int)(v * VW));
}

/* logits: the probabilities of image get_global_id(0). */
KERNEL void head_softmax(LAYER) {
    const ulong row = get_global_id(0);
    dense_row(LAYER_ARGS(row));
    softmax_row(AT(logits) + row * classes, AT(logits) + row * classes, classes);
}

/* The images' sums, and their classes if predictions is given: softmax_xent_classes without the
 * gradient. One item. */
KERNEL void head_xent_classes(LAYER, IN_BYTES(labels), __global xent_sums *sums, const ulong slot,
                              __global int *predictions, const uint images) {
    float loss = 0;
    int correct = 0;
    for (ulong row = 0; row < images; row++) {
        __global const float *z = AT(logits) + row * classes;
        const uint label = AT(labels)[row];
        dense_row(LAYER_ARGS(row));
        const int prediction = largest_class(z, classes);
        loss += class_row(z, 0, classes, label, 0);
        correct += prediction == (int)label;
        if (predictions != 0)
            predictions[row] = prediction;
    }
    sums[slot].loss = loss;
    sums[slot].correct = correct;
}
