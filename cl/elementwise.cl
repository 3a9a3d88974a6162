/*
 * Elementwise operations on lines of contiguous elements (src/ops/lines.h): item (i, r, n) handles
 * CHUNK elements of row r of image n; what is left at the line's end goes one by one.
 */

/* Elements of an item: several thousand on a CPU, VEC on a GPU. */
#ifndef CHUNK
#define CHUNK VEC
#endif

/* The first element of the item's line */
#define LINE(name)                                                                                 \
    (AT(name) + (long)get_global_id(2) * name##_outer + (long)get_global_id(1) * name##_inner)
/* Declares i and end, the item's part of its line. */
#define ITEM_PART(length)                                                                          \
    ulong i = get_global_id(0) * CHUNK;                                                            \
    const ulong end = min(i + CHUNK, (ulong)(length))

/* max(x, 0), but NaN stays NaN */
#define RELU(type, x) select(x, (type)(0), x <= (type)(0))

KERNEL void relu(LINES(x), LINES_OUT(y), const ulong length) {
    __global const float *x = LINE(x);
    __global float *y = LINE(y);
    ITEM_PART(length);
    for (; i + VEC <= end; i += VEC) {
        const vecf v = LOADV(x + i);
        STOREV(RELU(vecf, v), y + i);
    }
    for (; i < end; i++)
        y[i] = RELU(float, x[i]);
}

/* g where the ReLU's output y is positive, else 0 */
#define RELU_GRAD(type, g, y) select((type)(0), g, y > (type)(0))

KERNEL void relu_grad(LINES(dy), LINES(y), LINES_OUT(dx), const ulong length) {
    __global const float *dy = LINE(dy), *y = LINE(y);
    __global float *dx = LINE(dx);
    ITEM_PART(length);
    for (; i + VEC <= end; i += VEC) {
        const vecf g = LOADV(dy + i), v = LOADV(y + i);
        STOREV(RELU_GRAD(vecf, g, v), dx + i);
    }
    for (; i < end; i++)
        dx[i] = RELU_GRAD(float, dy[i], y[i]);
}

KERNEL void add(LINES(x), LINES_OUT(y), const ulong length) {
    __global const float *x = LINE(x);
    __global float *y = LINE(y);
    ITEM_PART(length);
    for (; i + VEC <= end; i += VEC)
        STOREV(LOADV(y + i) + LOADV(x + i), y + i);
    for (; i < end; i++)
        y[i] += x[i];
}

KERNEL void fill(LINES_OUT(y), const ulong length, const float value) {
    __global float *y = LINE(y);
    ITEM_PART(length);
    for (; i + VEC <= end; i += VEC)
        STOREV((vecf)(value), y + i);
    for (; i < end; i++)
        y[i] = value;
}

/* Adds up 1 for each number whose exponent bits are all ones. Integer sums do not depend on their
 * order, so the atomic is deterministic. */
KERNEL void count_nonfinite(LINES(x), const ulong length, __global uint *counts, const ulong slot) {
    __global const float *x = LINE(x);
    ITEM_PART(length);
    uint count = 0;
    for (; i < end; i++)
        count += (as_uint(x[i]) & 0x7F800000u) == 0x7F800000u;
    if (count > 0)
        atomic_add(counts + slot, count);
}

/* y = bytes * scale; the bytes are dense. */
KERNEL void convert_bytes(__global const uchar *bytes_base, const ulong bytes_at, LINES_OUT(y),
                          const ulong length, const float scale) {
    __global const uchar *bytes =
        AT(bytes) + (get_global_id(2) * get_global_size(1) + get_global_id(1)) * length;
    __global float *y = LINE(y);
    ITEM_PART(length);
    for (; i + VEC <= end; i += VEC)
        STOREV(convert_vecf(LOADB(bytes + i)) * scale, y + i);
    for (; i < end; i++)
        y[i] = (float)bytes[i] * scale;
}
