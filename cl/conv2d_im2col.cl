/*
 * Convolution as a matrix product: the copies before and after it. The matrix of columns has a row
 * for each pixel of Y, in the order of memory, and in it the window's input, (r, s, c):
 *
 *   columns[p][(r * S + s) * C + c] = x[n, i*sh - top + r*dh, j*sw - left + s*dw, c], 0 outside
 *
 * Copying only: nothing to compute, so the traffic decides. On GPUs an item moves VEC floats, and
 * neighbouring items neighbouring ones, so that stores are whole lines and loads are as long as the
 * channels; on CPUs it moves a chunk of pixels.
 *
 * VEC divides the channels. Tensors have three strides in elements; the matrix is dense.
 */

#define TENSOR(name) const long name##_image, const long name##_row, const long name##_column
#define WINDOW                                                                                     \
    const int window_rows, const int window_columns, const int stride_down,                        \
        const int stride_right, const int dilation_down, const int dilation_right, const int top,  \
        const int left

/* columns[p] for the pixels first + p, p < count. With a window of one pixel, stride 1 and no
 * padding it makes a dense copy of a tensor's pixels. Items: CPU (chunks of pixels, taps); GPU
 * (vectors of the matrix). */
KERNEL void im2col_gather(IN(x), TENSOR(x), OUT(columns), WINDOW, const int rows,
                          const int row_pixels, const int channels, const int output_rows,
                          const int output_columns, const long first, const int count,
                          const int chunk) {
    const int taps = window_rows * window_columns, pieces = channels / VEC;
#if OCE_CPU
    const int tap = get_global_id(1), begin = get_global_id(0) * chunk;
    const int end = min(begin + chunk, count);
#else
    const int item = get_global_id(0), begin = item / pieces / taps;
    const int tap = item / pieces % taps, end = min(begin + 1, count);
#endif
    const int down = tap / window_columns * dilation_down - top;
    const int right = tap % window_columns * dilation_right - left;
    for (int p = begin; p < end; p++) {
        const long image_row = (first + p) / output_columns, n = image_row / output_rows;
        const int h = (int)(image_row % output_rows) * stride_down + down;
        const int w = (int)((first + p) % output_columns) * stride_right + right;
        const int inside = h >= 0 && h < rows && w >= 0 && w < row_pixels;
        __global const float *from = AT(x) + n * x_image + h * x_row + w * x_column;
        __global float *to = AT(columns) + ((long)p * taps + tap) * channels;
#if OCE_CPU
        for (int v = 0; v < pieces; v++)
#else
        const int v = item % pieces;
#endif
            STOREV(inside ? LOADV(from + v * VEC) : (vecf)(0), to + v * VEC);
    }
}

/*
 * dx[n,h,w,c] = the sum, tap after tap, of the columns' elements that were taken from there: the
 * gradient of im2col_gather as a gather, so that each element is written once. The matrix has the
 * output rows first_output_row ... + some_rows - 1 of each image from `dx` on; they are all that
 * reach the rows first_row ... of dx that are computed. Items: (vectors of `chunk` pixels of a
 * row, rows, images).
 */
KERNEL void im2col_fold(IN(columns), OUT(dx), TENSOR(dx), WINDOW, const int row_pixels,
                        const int channels, const int output_columns, const int first_row,
                        const int first_output_row, const int some_rows, const int chunk) {
    const int taps = window_rows * window_columns, pieces = channels / VEC;
    const int v = get_global_id(0) % pieces, begin = get_global_id(0) / pieces * chunk;
    const int end = min(begin + chunk, row_pixels);
    const int h = first_row + get_global_id(1), n = get_global_id(2);
    __global const float *from = AT(columns) + v * VEC;
    __global float *to = AT(dx) + n * dx_image + h * dx_row + v * VEC;
    for (int w = begin; w < end; w++) {
        vecf sum = 0;
        for (int r = 0; r < window_rows; r++) {
            const int down = h + top - r * dilation_down, i = down / stride_down;
            const int row = i - first_output_row;
            if (down < 0 || i * stride_down != down || row < 0 || row >= some_rows)
                continue;
            for (int s = 0; s < window_columns; s++) {
                const int right = w + left - s * dilation_right, j = right / stride_right;
                if (right < 0 || j * stride_right != right || j >= output_columns)
                    continue;
                const long p = ((long)n * some_rows + row) * output_columns + j;
                sum += LOADV(from + (p * taps + r * window_columns + s) * channels);
            }
        }
        STOREV(sum, to + w * dx_column);
    }
}

/* The pixels first + p, p < count, of y from the rows of a dense matrix. Items: CPU (chunks of
 * pixels); GPU (vectors of the matrix). */
KERNEL void im2col_spread(IN(matrix), OUT(y), TENSOR(y), const int output_rows,
                          const int output_columns, const int filters, const long first,
                          const int count, const int chunk) {
    const int pieces = filters / VEC;
#if OCE_CPU
    const int begin = get_global_id(0) * chunk, end = min(begin + chunk, count);
#else
    const int item = get_global_id(0), begin = item / pieces, end = min(begin + 1, count);
#endif
    for (int p = begin; p < end; p++) {
        const long image_row = (first + p) / output_columns;
        __global float *to = AT(y) + image_row / output_rows * y_image +
                             image_row % output_rows * y_row +
                             (first + p) % output_columns * y_column;
        __global const float *from = AT(matrix) + (long)p * filters;
#if OCE_CPU
        for (int v = 0; v < pieces; v++)
#else
        const int v = item % pieces;
#endif
            STOREV(LOADV(from + v * VEC), to + v * VEC);
    }
}

/* sum[i] += part[i], i < count. Items: chunks of elements. */
KERNEL void im2col_add(IN(part), INOUT(sum), const int count, const int chunk) {
    const int begin = get_global_id(0) * chunk, end = min(begin + chunk, count);
    for (int i = begin; i < end; i++)
        AT(sum)[i] += AT(part)[i];
}
