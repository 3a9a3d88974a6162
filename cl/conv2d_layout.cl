/*
 * Copies into the layouts that the convolution kernels read: images with a border of zeros, and
 * filters in panels. And the sum of their partial sums.
 *
 * A panel holds the filter for one block of output channels: a row of TILE floats for every tap and
 * input channel, in the order in which the kernels use them, padded to whole vectors. So
 * a panel is read front to back, and its vectors are aligned.
 */

#include "transpose.cl.h"

static inline void copy_floats(__global const float *from, __global float *to,
                               const int count) {
    int i = 0;
    for (; i + VW <= count; i += VW)
        STORE(vloadv(0, from + i), to + i);
    for (; i < count; i++)
        to[i] = from[i];
}

static inline void clear_floats(__global float *to, const int count) {
    int i = 0;
    for (; i + VW <= count; i += VW)
        STORE((floatv)(0), to + i);
    for (; i < count; i++)
        to[i] = 0;
}

/* An image row of a copy with a border of zeros. */
typedef struct padding {
    long source_image, source_row, source_column; /* elements */
    int rows, columns, channels;                  /* of the source */
    int top, left, target_rows, target_columns;
} padding;

/* target = source with top, left and more zeros around each image, dense: rows first to last - 1. */
static inline void pad_rows(__global const float *source, __global float *target, const padding p,
                            const long first, const long last) {
    for (long row = first; row < last; row++) {
        __global float *to = target + row * p.target_columns * p.channels;
        const int h = (int)(row % p.target_rows) - p.top;
        if (h < 0 || h >= p.rows) {
            clear_floats(to, p.target_columns * p.channels);
            continue;
        }
        __global const float *from =
            source + row / p.target_rows * p.source_image + h * p.source_row;
        clear_floats(to, p.left * p.channels);
        to += p.left * p.channels;
        if (p.source_column == p.channels)
            copy_floats(from, to, p.columns * p.channels);
        else
            for (int w = 0; w < p.columns; w++)
                copy_floats(from + w * p.source_column, to + w * p.channels, p.channels);
        clear_floats(to + p.columns * p.channels,
                     (p.target_columns - p.left - p.columns) * p.channels);
    }
}

/* An item makes rows_per_item of the count = images * target_rows rows. */
KERNEL void conv2d_pad(IN(source), const long source_image, const long source_row,
                       const long source_column, OUT(target), const int rows, const int columns,
                       const int channels, const int top, const int left, const int target_rows,
                       const int target_columns, const long count, const int rows_per_item) {
    const long first = get_global_id(0) * (long)rows_per_item;
    const padding p = {source_image, source_row, source_column, rows, columns, channels,
                       top, left, target_rows, target_columns};
    pad_rows(AT(source), AT(target), p, first, min(first + rows_per_item, count));
}

/* Sets a row of an image to zero, whose pixels are target_column apart. */
static inline void clear_row(__global float *to, const long target_column, const int columns,
                             const int channels) {
    if (target_column == channels)
        clear_floats(to, columns * channels);
    else
        for (int w = 0; w < columns; w++)
            clear_floats(to + w * target_column, channels);
}

/* Sets the elements of a tensor to zero: an item one row of an image. */
KERNEL void conv2d_clear(OUT(target), const long target_image, const long target_row,
                         const long target_column, const int rows, const int columns,
                         const int channels, const long count) {
    const long row = get_global_id(0);
    if (row < count)
        clear_row(AT(target) + row / rows * target_image + row % rows * target_row, target_column,
                  columns, channels);
}

/*
 * Panels of the filter as it is: row q (tap and input channel) of panel b is
 * filter[q][b * width ...], width = vectors * VW. Of the filter's `filters` columns the panels have
 * the first `count`. Items (chunk of rows_per_item rows, panel).
 */
KERNEL void conv2d_pack(IN(filter), OUT(panels), const int rows, const int filters,
                        const int count, const int vectors, const int rows_per_item) {
    const int width = vectors * VW, first = get_global_id(0) * rows_per_item;
    const int last = min(first + rows_per_item, rows), k = get_global_id(1) * width;
    __global const float *from = AT(filter) + k;
    __global float *to = AT(panels) + (long)get_global_id(1) * rows * width;
    for (int q = first; q < last; q++)
        for (int v = 0; v < vectors; v++)
            STORE(load_lanes(from + (long)q * filters + v * VW, count - k - v * VW),
                  to + (long)q * width + v * VW);
}

/* ---- Input gradient ------------------------------------------------------------------------ */

/* to[q][i] = from[i][q] for q < columns, rows from_row and to_row apart; rows behind `last` repeat
 * it. */
static inline void copy_transposed(__global const float *from, const long from_row,
                                   const int last, __global float *to, const int to_row,
                                   const int columns) {
    floatv rows[VW];
    ROLLED for (int i = 0; i < VW; i++) rows[i] = vloadv(0, from + min(i, last) * from_row);
    transpose_square(rows);
    if (columns >= VW) {
        UNROLL for (int i = 0; i < VW; i++) STORE(rows[i], to + i * to_row);
        return;
    }
    floatv some[VW]; /* in memory: conditions on registers take compilers long */
    UNROLL for (int i = 0; i < VW; i++) some[i] = rows[i];
    for (int i = 0; i < columns; i++) STORE(some[i], to + i * to_row);
}

/* The rows, or columns, of a window of `size` whose taps belong to the phases before `phase`: phase
 * p has p, p + step, ... */
static inline int taps_before(const int phase, const int size, const int step) {
    return phase * (size / step) + min(phase, size % step);
}

/* 1: conv2d_prepare_grad only packs; pad_items and clear_items are 0. That is compiled sooner. */
#ifndef PACKS_ONLY
#define PACKS_ONLY 0
#endif

/*
 * All that the input gradient needs before its products, in one launch of
 * pad_items + clear_items + pack_items items.
 *
 * The first make target, a copy of dY with a border of zeros, as conv2d_pad does. The next clear a
 * row each of dX: inputs that no output reads have a gradient of 0.
 *
 * The others pack the filter into panels: taps in reverse order, input and output channels
 * exchanged. Taps (r, s) with the same (r mod step_down, s mod step_right) are a phase of the
 * strided convolution and have panels of their own, phase after phase. The first wide_blocks panels
 * are block_vectors wide, others last_vectors, all together `padded` floats. Row
 * (t * phase columns + u) * filters + k of the panel from input channel c on is
 * filter[r][s][c ...][k] for the phase's t-th row from the end and u-th column from the end. Of the
 * window some_rows x some_columns taps from (first_row, first_column) on are packed. An item packs
 * `chunk` values of k, a multiple of VW, for one tap and panel; there are `chunks`.
 */
KERNEL void conv2d_prepare_grad(
    IN(dy), const long dy_image, const long dy_row, const long dy_column, OUT(target),
    const int rows, const int columns, const int filters, const int top, const int left,
    const int target_rows, const int target_columns, const long target_count,
    const int rows_per_item, const int pad_items, OUT(dx), const long dx_image, const long dx_row,
    const long dx_column, const int dx_rows, const int dx_columns, const int channels,
    const int clear_items, IN(filter), OUT(panels), const int window_rows,
    const int window_columns, const int first_row, const int some_rows, const int first_column,
    const int some_columns, const int step_down, const int step_right, const int wide_blocks,
    const int block_vectors, const int last_vectors, const int padded, const int chunk,
    const int chunks, const int pack_items) {
    int item = get_global_id(0);
#if !PACKS_ONLY
    if (item < pad_items) {
        const long first = item * (long)rows_per_item;
        const padding p = {dy_image, dy_row, dy_column, rows, columns, filters,
                           top, left, target_rows, target_columns};
        pad_rows(AT(dy), AT(target), p, first, min(first + rows_per_item, target_count));
        return;
    }
    item -= pad_items;
    if (item < clear_items) {
        clear_row(AT(dx) + item / dx_rows * dx_image + item % dx_rows * dx_row, dx_column,
                  dx_columns, channels);
        return;
    }
    item -= clear_items;
#endif
    if (item >= pack_items)
        return;
    const int first_k = item % chunks * chunk, last_k = min(first_k + chunk, filters);
    item /= chunks;
    const int s = first_column + item % some_columns, r = first_row + item / some_columns % some_rows;
    const int block = item / some_columns / some_rows, c = block * block_vectors * VW;
    const int vectors = block < wide_blocks ? block_vectors : last_vectors;
    const int down = r % step_down, right = s % step_right; /* the phase */
    const int phase_rows = (window_rows - 1 - down) / step_down + 1;
    const int phase_columns = (window_columns - 1 - right) / step_right + 1;
    const int before = taps_before(down, window_rows, step_down) * window_columns +
                       phase_rows * taps_before(right, window_columns, step_right);
    const int tap = (phase_rows - 1 - r / step_down) * phase_columns + phase_columns - 1 -
                    s / step_right;
    const int width = vectors * VW;
    __global const float *from =
        AT(filter) + ((long)(r * window_columns + s) * channels + c) * filters;
    __global float *to = AT(panels) + (long)before * filters * padded +
                         (long)phase_rows * phase_columns * filters * c +
                         (long)tap * filters * width;
    for (int v = 0; v < vectors; v++)
        for (int k = first_k; k < last_k; k += VW)
            copy_transposed(from + (long)v * VW * filters + k, filters, channels - c - v * VW - 1,
                            to + (long)k * width + v * VW, width, last_k - k);
}

/*
 * out[r][s][c][k] = the sum of partials[split][r][c][s][k] over the splits, in order; r, s and c
 * are rows and columns of the window and input channels. `rows` counts all (r, c, s); an item makes
 * rows_per_item of them.
 */
KERNEL void conv2d_sum(IN(partials), const long partial_split, const int partial_row, OUT(out),
                       const int rows, const int window_columns, const int channels,
                       const int filters, const int splits, const int rows_per_item) {
    const int first = get_global_id(0) * rows_per_item, last = min(first + rows_per_item, rows);
    for (int row = first; row < last; row++) {
        const int s = row % window_columns, c = row / window_columns % channels;
        const int r = row / window_columns / channels;
        __global float *to = AT(out) + (long)((r * window_columns + s) * channels + c) * filters;
        for (int k = 0; k < filters; k += VW) {
            __global const float *from = AT(partials) + (long)row * partial_row + k;
            floatv sum = vloadv(0, from);
            for (int split = 1; split < splits; split++)
                sum += vloadv(0, from + split * partial_split);
            store_lanes(sum, to + k, filters - k);
        }
    }
}

/*
 * out[run][j][k] = the sum of partials[split][run][k][j] over the splits, in order: those of
 * direct_filter_grad_few. j is one of a run's `width` floats; out has `filters` filters k. An item
 * makes `columns` floats j (a multiple of VW; dimension 0) of a run (dimension 1).
 */
KERNEL void conv2d_sum_few(IN(partials), const long partial_split, const int partial_row, OUT(out),
                           const int width, const int filters, const int splits,
                           const int columns) {
    const int first = get_global_id(0) * columns, last = min(first + columns, width);
    const int run = get_global_id(1);
    for (int k = 0; k < filters; k++)
        for (int j = first; j < last; j += VW) {
            __global const float *from =
                AT(partials) + ((long)run * filters + k) * partial_row + j;
            __global float *to = AT(out) + ((long)run * width + j) * filters + k;
            floatv sum = vloadv(0, from);
            for (int split = 1; split < splits; split++)
                sum += vloadv(0, from + split * partial_split);
            const float *values = (const float *)&sum;
            for (int lane = 0; lane < min(VW, last - j); lane++)
                to[(long)lane * filters] = values[lane];
        }
}
