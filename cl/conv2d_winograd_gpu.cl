/*
 * Winograd convolution for GPUs, not fused: transforms here, the products of all positions by
 * gemm_tiled.cl. Memory holds V = B^T X B as [position][tile][channel], U = G F G^T as
 * [position][input channel][output channel] and the products as [position][tile][output channel]; so
 * a layer's traffic is 4 * tiles * POSITIONS * (channels + filters) bytes written and read, for
 * 2 * tiles * POSITIONS * channels * filters flops.
 *
 * A transform's group is UNITS x ALPHA items. A unit is 4 channels of a tile; units count through
 * tiles, channels fastest, so neighbours along dimension 0 load and store neighbouring 16 bytes. The
 * ALPHA items of a unit transform one column each, hand the results over in local memory, and then
 * one row each: 4 * ALPHA floats of registers. Every kernel reads its input once (those of
 * overlapping tiles from the caches) and writes its output once, some 4 flops a byte: as fast as
 * memory. Tensors are [image, row, column, channel] with strides in elements; tiles that hang over
 * an image's edge read zeros and store what is inside.
 */
#include "winograd.cl.h"

#define UNITS 8
#define GROUP_KERNEL __kernel __attribute__((reqd_work_group_size(UNITS, ALPHA, 1)))

/* 1: the filter of the input gradient, taps reversed and channels exchanged. */
#ifndef FILTER_BACK
#define FILTER_BACK 0
#endif

#if OCE_ALIGNED
#define LOAD4(p) (*(__global const float4 *)(p))
#define STORE4(v, p) (*(__global float4 *)(p) = (v))
#else
#define LOAD4(p) vload4(0, p)
#define STORE4(v, p) vstore4(v, 0, p)
#endif
/* Workspace starts at multiples of 16 bytes, and so do its rows. */
#define LOAD_OWN(p) (*(__global const float4 *)(p))
#define STORE_OWN(v, p) (*(__global float4 *)(p) = (v))

#define TENSOR(name) const long name##_image, const long name##_down, const long name##_right

/* Local memory of a unit at [u]: `rows` x `columns` vectors. */
#define EXCHANGE(rows, columns) __local float4 exchange[(rows) * (columns)][UNITS]

/* Where a unit is. Units beyond the last do its work again and store nothing. */
typedef struct place {
    int tile, channel;      /* the tile's number in all images, the first channel */
    int image, row, column; /* the tile's first row and column of outputs */
} place;

static inline place place_of(const int unit, const int channels, const int tile_rows,
                             const int tile_columns) {
    place p;
    p.tile = unit / (channels / 4);
    p.channel = unit % (channels / 4) * 4;
    p.column = p.tile % tile_columns * TILE;
    p.row = p.tile / tile_columns % tile_rows * TILE;
    p.image = p.tile / tile_columns / tile_rows;
    return p;
}

/* V of X: groups of (UNITS, ALPHA) over tiles * channels / 4 units. X has rows x columns, and a tile
 * starts top rows above and left columns before its outputs. position: elements of a position. */
GROUP_KERNEL void winograd_input(IN(x), TENSOR(x), OUT(v), const long position, const int rows,
                                 const int columns, const int top, const int left,
                                 const int channels, const int tile_rows, const int tile_columns,
                                 const int units) {
    EXCHANGE(ALPHA, ALPHA);
    const int u = get_local_id(0), lane = get_local_id(1), unit = get_global_id(0);
    const place p = place_of(min(unit, units - 1), channels, tile_rows, tile_columns);
    const int column = p.column - left + lane, row = p.row - top;
    __global const float *image = AT(x) + (p.image * x_image + p.channel);
    float4 in[ALPHA], out[ALPHA];
    UNROLL for (int i = 0; i < ALPHA; i++) {
        const bool inside = (uint)(row + i) < (uint)rows && (uint)column < (uint)columns;
        in[i] = inside ? LOAD4(image + ((row + i) * x_down + column * x_right)) : (float4)(0);
    }
    transform_input(in, out);
    UNROLL for (int i = 0; i < ALPHA; i++) exchange[i * ALPHA + lane][u] = out[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int j = 0; j < ALPHA; j++) in[j] = exchange[lane * ALPHA + j][u];
    transform_input(in, out);
    if (unit < units)
        UNROLL for (int j = 0; j < ALPHA; j++)
            STORE_OWN(out[j], AT(v) + ((lane * ALPHA + j) * position + unit * 4L));
}

/* A dY A^T, laid out as V, for the filter gradient. dY has rows x columns. */
GROUP_KERNEL void winograd_output_grad(IN(dy), TENSOR(dy), OUT(w), const long position,
                                       const int rows, const int columns, const int channels,
                                       const int tile_rows, const int tile_columns,
                                       const int units) {
    EXCHANGE(ALPHA, TILE);
    const int u = get_local_id(0), lane = get_local_id(1), unit = get_global_id(0);
    const place p = place_of(min(unit, units - 1), channels, tile_rows, tile_columns);
    const int column = p.column + lane;
    __global const float *image = AT(dy) + (p.image * dy_image + p.channel);
    float4 in[TILE], out[ALPHA];
    UNROLL for (int i = 0; i < TILE; i++) {
        const bool inside = lane < TILE && p.row + i < rows && column < columns;
        in[i] = inside ? LOAD4(image + ((p.row + i) * dy_down + column * dy_right)) : (float4)(0);
    }
    evaluate(in, TILE, out);
    if (lane < TILE)
        UNROLL for (int i = 0; i < ALPHA; i++) exchange[i * TILE + lane][u] = out[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int j = 0; j < TILE; j++) in[j] = exchange[lane * TILE + j][u];
    evaluate(in, TILE, out);
    if (unit < units)
        UNROLL for (int j = 0; j < ALPHA; j++)
            STORE_OWN(out[j], AT(w) + ((lane * ALPHA + j) * position + unit * 4L));
}

/* Y = act(A^T M A + bias) from the products M: the same groups over tiles * filters / 4 units. */
GROUP_KERNEL void winograd_output(IN(m), const long position, IN(bias), OUT(y), TENSOR(y),
                                  const int rows, const int columns, const int filters,
                                  const int tile_rows, const int tile_columns, const int units,
                                  const int relu) {
    EXCHANGE(TILE, ALPHA);
    const int u = get_local_id(0), lane = get_local_id(1), unit = get_global_id(0);
    const int source = min(unit, units - 1);
    const place p = place_of(source, filters, tile_rows, tile_columns);
    float4 in[ALPHA], out[TILE];
    UNROLL for (int i = 0; i < ALPHA; i++) in[i] =
        LOAD_OWN(AT(m) + ((i * ALPHA + lane) * position + source * 4L));
    interpolate(in, TILE, out);
    UNROLL for (int i = 0; i < TILE; i++) exchange[i * ALPHA + lane][u] = out[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    const int line = min(lane, TILE - 1);
    UNROLL for (int j = 0; j < ALPHA; j++) in[j] = exchange[line * ALPHA + j][u];
    interpolate(in, TILE, out);
    const float4 add = bias_base ? LOAD4(AT(bias) + p.channel) : (float4)(0);
    __global float *to =
        AT(y) + (p.image * y_image + (p.row + line) * y_down + p.column * y_right + p.channel);
    UNROLL for (int j = 0; j < TILE; j++) {
        const float4 sum = out[j] + add;
        if (unit < units && lane < TILE && p.row + line < rows && p.column + j < columns)
            STORE4(relu ? select(sum, (float4)(0), sum <= 0) : sum, to + j * y_right);
    }
}

/* U of the filter [WINDOW][WINDOW][channels][filters]: units are (input channel, 4 output channels)
 * of the product, so channels * filters / 4 in all; FILTER_BACK: of the input gradient, from filters
 * to channels. */
GROUP_KERNEL void winograd_filter(IN(filter), OUT(transformed), const long position,
                                  const int channels, const int filters, const int units) {
    EXCHANGE(ALPHA, WINDOW);
    const int u = get_local_id(0), lane = get_local_id(1), unit = get_global_id(0);
    const int quads = (FILTER_BACK ? channels : filters) / 4, source = min(unit, units - 1);
    const int from = source / quads, to = source % quads * 4;
    const int column = min(lane, WINDOW - 1);
    float4 in[WINDOW], out[ALPHA];
    UNROLL for (int r = 0; r < WINDOW; r++) {
#if FILTER_BACK
        const int tap = (WINDOW - 1 - r) * WINDOW + WINDOW - 1 - column;
        __global const float *f = AT(filter) + ((long)tap * channels + to) * filters + from;
        in[r] = (float4)(f[0], f[filters], f[2 * filters], f[3 * filters]);
#else
        const int tap = r * WINDOW + column;
        in[r] = LOAD4(AT(filter) + (((long)tap * channels + from) * filters + to));
#endif
    }
    evaluate(in, WINDOW, out);
    if (lane < WINDOW)
        UNROLL for (int i = 0; i < ALPHA; i++) exchange[i * WINDOW + lane][u] = out[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int s = 0; s < WINDOW; s++) in[s] = exchange[lane * WINDOW + s][u];
    evaluate(in, WINDOW, out);
    if (unit < units)
        UNROLL for (int j = 0; j < ALPHA; j++)
            STORE_OWN(out[j] * (scale(lane) * scale(j)),
                      AT(transformed) + ((lane * ALPHA + j) * position + unit * 4L));
}

/* dF = G^T dU G: units (input channel, 4 output channels). */
GROUP_KERNEL void winograd_filter_grad(IN(products), const long position, OUT(dfilter),
                                       const int channels, const int filters, const int units) {
    EXCHANGE(WINDOW, ALPHA);
    const int u = get_local_id(0), lane = get_local_id(1), unit = get_global_id(0);
    const int source = min(unit, units - 1);
    const int c = source / (filters / 4), k = source % (filters / 4) * 4;
    float4 in[ALPHA], out[WINDOW];
    UNROLL for (int i = 0; i < ALPHA; i++) in[i] =
        LOAD_OWN(AT(products) + ((i * ALPHA + lane) * position + source * 4L)) *
        (scale(i) * scale(lane));
    interpolate(in, WINDOW, out);
    UNROLL for (int r = 0; r < WINDOW; r++) exchange[r * ALPHA + lane][u] = out[r];
    barrier(CLK_LOCAL_MEM_FENCE);
    const int line = min(lane, WINDOW - 1);
    UNROLL for (int j = 0; j < ALPHA; j++) in[j] = exchange[line * ALPHA + j][u];
    interpolate(in, WINDOW, out);
    if (unit < units && lane < WINDOW)
        UNROLL for (int s = 0; s < WINDOW; s++)
            STORE4(out[s], AT(dfilter) +
                               (((long)(line * WINDOW + s) * channels + c) * filters + k));
}
