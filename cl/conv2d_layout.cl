/*
 * Copies into the layouts that the convolution kernels read: images with a border of zeros, and
 * filters in panels. And the sum of their partial sums.
 *
 * A panel holds the filter for one block of output channels: a row of TILE floats for every tap and
 * input channel, in the order in which the kernels use them, padded with zeros to whole vectors. So
 * a panel is read front to back, and its vectors are aligned.
 */

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

/* target = source with top, left and more zeros around each image, dense. An item makes
 * rows_per_item of the count = images * target_rows rows. */
KERNEL void conv2d_pad(IN(source), const long source_image, const long source_row,
                       const long source_column, OUT(target), const int rows, const int columns,
                       const int channels, const int top, const int left, const int target_rows,
                       const int target_columns, const long count, const int rows_per_item) {
    const long first = get_global_id(0) * (long)rows_per_item;
    const long last = min(first + rows_per_item, count);
    for (long row = first; row < last; row++) {
        __global float *to = AT(target) + row * target_columns * channels;
        const int h = (int)(row % target_rows) - top;
        if (h < 0 || h >= rows) {
            clear_floats(to, target_columns * channels);
            continue;
        }
        __global const float *from =
            AT(source) + row / target_rows * source_image + h * source_row;
        clear_floats(to, left * channels);
        to += left * channels;
        if (source_column == channels)
            copy_floats(from, to, columns * channels);
        else
            for (int w = 0; w < columns; w++)
                copy_floats(from + w * source_column, to + w * channels, channels);
        clear_floats(to + columns * channels, (target_columns - left - columns) * channels);
    }
}

/* Sets the elements of a tensor to zero: an item one row of an image. */
KERNEL void conv2d_clear(OUT(target), const long target_image, const long target_row,
                         const long target_column, const int rows, const int columns,
                         const int channels, const long count) {
    const long row = get_global_id(0);
    if (row >= count)
        return;
    __global float *to = AT(target) + row / rows * target_image + row % rows * target_row;
    if (target_column == channels)
        clear_floats(to, columns * channels);
    else
        for (int w = 0; w < columns; w++)
            clear_floats(to + w * target_column, channels);
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

/*
 * Panels of the filter of the input gradient: taps in reverse order, input and output channels
 * exchanged. Of the taps (r, s) only r = row_first, row_first + row_step, ... (row_count of them)
 * take part, and the same for columns: those of one phase of a strided convolution. Row
 * (t * column_count + u) * filters + k of panel b is filter[r][s][b * width ...][k] for the t-th
 * row from the end and the u-th column from the end. Of the filter's `channels` input channels the
 * panels have the first `count`. Items (tap and VW values of k, panel).
 */
KERNEL void conv2d_pack_transposed(IN(filter), OUT(panels), const int window_columns,
                                   const int channels, const int filters, const int row_first,
                                   const int row_step, const int row_count, const int column_first,
                                   const int column_step, const int column_count, const int count,
                                   const int vectors) {
    const int pieces = (filters + VW - 1) / VW, item = get_global_id(0);
    const int tap = item / pieces, k = item % pieces * VW, width = vectors * VW;
    if (tap >= row_count * column_count)
        return;
    const int r = row_first + (row_count - 1 - tap / column_count) * row_step;
    const int s = column_first + (column_count - 1 - tap % column_count) * column_step;
    const long panel_rows = (long)row_count * column_count * filters;
    const int c = get_global_id(1) * width, some = min(VW, filters - k);
    __global const float *from =
        AT(filter) + ((long)(r * window_columns + s) * channels + c) * filters + k;
    __global float *to =
        AT(panels) + get_global_id(1) * panel_rows * width + ((long)tap * filters + k) * width;
    for (int v = 0; v < vectors; v++) {
        float block[VW * VW]; /* [input channel][output channel] */
        for (int i = 0; i < VW; i++)
            vstorev(c + v * VW + i < count ? load_lanes(from + (long)(v * VW + i) * filters, some)
                                           : (floatv)(0),
                    i, block);
        for (int q = 0; q < some; q++) {
            float column[VW];
            UNROLL for (int i = 0; i < VW; i++) column[i] = block[i * VW + q];
            STORE(vloadv(0, column), to + (long)q * width + v * VW);
        }
    }
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
