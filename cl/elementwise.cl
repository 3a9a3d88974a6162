/*
 * Elementwise operations on lines of contiguous elements (src/ops/lines.h): item (i, r, n) handles
 * CHUNK elements of row r of image n; what is left at the line's end goes one by one. All are bound
 * by memory: on a GPU neighbouring items take neighbouring 16-byte vectors.
 */

/* Elements of an item: several thousand on a CPU, VEC on a GPU. */
#ifndef CHUNK
#define CHUNK VEC
#endif
/* 1: the host's promise that VEC bytes lie at a multiple of VEC in convert_bytes. */
#ifndef BYTES_ALIGNED
#define BYTES_ALIGNED 0
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

/* Reads 4 bytes and writes 4 for an operation: 0.125 flop/byte. */
KERNEL void relu(LINES(x), LINES_OUT(y), const ulong length) {
    __global const float *x = LINE(x);
    __global float *y = LINE(y);
    ITEM_PART(length);
    VECTORS {
        const vecf v = LOADV(x + i);
        STOREV(RELU(vecf, v), y + i);
    }
    REST {
        y[i] = RELU(float, x[i]);
    }
}

/* g where the ReLU's output y is positive, else 0 */
#define RELU_GRAD(type, g, y) select((type)(0), g, y > (type)(0))

/* Reads 8 bytes and writes 4 for an operation: 0.083 flop/byte. */
KERNEL void relu_grad(LINES(dy), LINES(y), LINES_OUT(dx), const ulong length) {
    __global const float *dy = LINE(dy), *y = LINE(y);
    __global float *dx = LINE(dx);
    ITEM_PART(length);
    VECTORS {
        const vecf g = LOADV(dy + i), v = LOADV(y + i);
        STOREV(RELU_GRAD(vecf, g, v), dx + i);
    }
    REST {
        dx[i] = RELU_GRAD(float, dy[i], y[i]);
    }
}

/* Reads 8 bytes and writes 4 for an addition: 0.083 flop/byte. */
KERNEL void add(LINES(x), LINES_OUT(y), const ulong length) {
    __global const float *x = LINE(x);
    __global float *y = LINE(y);
    ITEM_PART(length);
    VECTORS {
        STOREV(LOADV(y + i) + LOADV(x + i), y + i);
    }
    REST {
        y[i] += x[i];
    }
}

/* Writes 4 bytes an element, no operation. */
KERNEL void fill(LINES_OUT(y), const ulong length, const float value) {
    __global float *y = LINE(y);
    ITEM_PART(length);
    VECTORS {
        STOREV((vecf)(value), y + i);
    }
    REST {
        y[i] = value;
    }
}

/* 1 for each number whose exponent bits are all ones; without comparisons, as the results of true
 * ones differ between vectors and scalars. */
#define IS_NONFINITE(bits) ((((bits)&0x7F800000u) + 0x00800000u) >> 31)

/* Adds up the numbers that are not finite. Integer sums do not depend on their order, so the atomic
 * is deterministic. Reads 4 bytes an element; only what is found is written. */
KERNEL void count_nonfinite(LINES(x), const ulong length, __global uint *counts, const ulong slot) {
    __global const float *x = LINE(x);
    ITEM_PART(length);
    uint count = 0, lanes[VW];
    uintv found = (uintv)(0); /* VEC is VW here */
    VECTORS {
        found += IS_NONFINITE(as_uintv(LOADV(x + i)));
    }
    REST {
        count += IS_NONFINITE(as_uint(x[i]));
    }
    vstorev(found, 0, lanes);
    UNROLL
    for (int l = 0; l < VW; l++)
        count += lanes[l];
    if (count > 0)
        atomic_add(counts + slot, count);
}

#if BYTES_ALIGNED
#define LOAD_BYTES(p) convert_intv(*(__global const ucharv *)(p))
#else
#define LOAD_BYTES(p) LOADB(p)
#endif

/* y = bytes * scale; the bytes are dense. Reads 1 byte and writes 4 for a multiplication: 0.2
 * flop/byte. */
KERNEL void convert_bytes(__global const uchar *bytes_base, const ulong bytes_at, LINES_OUT(y),
                          const ulong length, const float scale) {
    __global const uchar *bytes =
        AT(bytes) + (get_global_id(2) * get_global_size(1) + get_global_id(1)) * length;
    __global float *y = LINE(y);
    ITEM_PART(length);
    VECTORS {
        STOREV(convert_vecf(LOAD_BYTES(bytes + i)) * scale, y + i);
    }
    REST {
        y[i] = (float)bytes[i] * scale;
    }
}
