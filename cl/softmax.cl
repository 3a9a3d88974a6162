/*
 * Softmax and cross entropy on CPUs, and where there is no local memory for softmax_group.cl. A
 * work-item takes whole rows of `classes` logits.
 */
#include "softmax_row.cl.h"

/* Partial sums of a launch's losses: its row r adds to sum r % PARTS. A power of two. */
#define PARTS 256

/* Declares row and end: the item's part of the rows. */
#define ITEM_ROWS(rows, item_rows)                                                                 \
    ulong row = get_global_id(0) * item_rows;                                                      \
    const ulong end = min(row + item_rows, rows)

KERNEL void softmax(SAME_IN(logits), INOUT(probabilities), const ulong rows, const uint classes,
                    const ulong item_rows) {
    ITEM_ROWS(rows, item_rows);
    for (; row < end; row++) {
        __global const float *z = AT(logits) + row * classes;
        __global float *p = AT(probabilities) + row * classes;
        const row_sums sums = sum_row(z, classes);
        const float scale = 1.0f / sums.sum;
        for (uint c = 0; c < classes; c += VEC)
            STORE_AT(exp(LOAD_AT(z, c, 0.0f) - sums.largest) * scale, p, c);
    }
}

/* labels: distributions; dlogits may be absent. */
KERNEL void softmax_xent(SAME_IN(logits), SAME_IN(labels), OUT(losses), INOUT(dlogits),
                         const ulong rows, const uint classes, const float upstream,
                         const ulong item_rows) {
    ITEM_ROWS(rows, item_rows);
    for (; row < end; row++) {
        __global const float *z = AT(logits) + row * classes;
        __global const float *y = AT(labels) + row * classes;
        const row_sums sums = sum_row(z, classes);
        const float log_sum = log(sums.sum);
        vecf loss = (vecf)(0);
        for (uint c = 0; c < classes; c += VEC) {
            const vecf shifted = LOAD_AT(z, c, sums.largest) - sums.largest;
            const vecf label = LOAD_AT(y, c, 0.0f);
            loss += label * (log_sum - shifted);
            if (dlogits_base != 0)
                STORE_AT((exp(shifted) / sums.sum - label) * upstream,
                         AT(dlogits) + row * classes, c);
        }
        float lanes[VEC];
        STORE_LANES(loss, lanes);
        for (uint i = 1; i < VEC; i++)
            lanes[0] += lanes[i];
        AT(losses)[row] = lanes[0];
    }
}

/* Rows first..end-1; with first > 0 what the rows before gave is already in the slot. One item does
 * it all, so that the sums need neither a second launch nor a workspace. */
KERNEL void softmax_xent_classes(SAME_IN(logits), IN_BYTES(labels), __global xent_sums *all_sums,
                                 const ulong slot, INOUT(dlogits), __global int *predictions,
                                 const ulong first, const ulong end, const uint classes,
                                 const float upstream) {
    float losses[PARTS];
    int correct = 0;
    for (uint part = 0; part < PARTS; part++)
        losses[part] = 0;
    for (ulong row = first; row < end; row++) {
        __global const float *z = AT(logits) + row * classes;
        const uint label = AT(labels)[row];
        const int prediction = largest_class(z, classes); /* before z may be overwritten */
        losses[(row - first) % PARTS] += class_row(
            z, dlogits_base != 0 ? AT(dlogits) + row * classes : 0, classes, label, upstream);
        correct += prediction == (int)label;
        if (predictions != 0)
            predictions[row] = prediction;
    }
    for (uint half_parts = PARTS / 2; half_parts > 0; half_parts /= 2)
        for (uint part = 0; part < half_parts; part++)
            losses[part] += losses[part + half_parts];
    __global xent_sums *sums = all_sums + slot;
    sums->loss = first > 0 ? sums->loss + losses[0] : losses[0];
    sums->correct = first > 0 ? sums->correct + correct : correct;
}

KERNEL void argmax(SAME_IN(logits), __global int *predictions, const ulong rows,
                   const uint classes, const ulong item_rows) {
    ITEM_ROWS(rows, item_rows);
    for (; row < end; row++)
        predictions[row] = largest_class(AT(logits) + row * classes, classes);
}
