/*
 * Convolution, one output element an item: for any shape and device, and the yardstick of the
 * faster families. Consecutive items are consecutive channels, so that a GPU's accesses to the
 * output, and to the filter or dY, coalesce. Nothing is compiled in: one program serves all shapes.
 *
 * Tensors are [image, row, column, channel]; _image, _row and _column are strides in elements.
 * The window is {rows, columns, stride down, stride right, dilation down, dilation right}, with
 * `top` and `left` of padding. Positions outside the image are tested for, never read.
 */

#define TENSOR(name) const long name##_image, const long name##_row, const long name##_column
#define WINDOW                                                                                     \
    const int window_rows, const int window_columns, const int stride_down,                        \
        const int stride_right, const int dilation_down, const int dilation_right, const int top,  \
        const int left

/* y[n,i,j,k]: items (j * filters + k, i, n). */
KERNEL void naive_forward(IN(x), TENSOR(x), IN(filter), IN(bias), OUT(y), TENSOR(y), WINDOW,
                          const int rows, const int columns, const int channels,
                          const int output_columns, const int filters, const int relu) {
    const int item = get_global_id(0), i = get_global_id(1), n = get_global_id(2);
    const int j = item / filters, k = item % filters;
    if (j >= output_columns)
        return;
    float sum = 0;
    for (int r = 0; r < window_rows; r++) {
        const int h = i * stride_down - top + r * dilation_down;
        if (h < 0 || h >= rows)
            continue;
        for (int s = 0; s < window_columns; s++) {
            const int w = j * stride_right - left + s * dilation_right;
            if (w < 0 || w >= columns)
                continue;
            __global const float *xp = AT(x) + n * x_image + h * x_row + w * x_column;
            __global const float *fp = AT(filter) + (r * window_columns + s) * channels * filters;
            for (int c = 0; c < channels; c++)
                sum = FMA(xp[c], fp[c * filters + k], sum);
        }
    }
    if (bias_base)
        sum += AT(bias)[k];
    if (relu && sum <= 0)
        sum = 0;
    AT(y)[n * y_image + i * y_row + j * y_column + k] = sum;
}

/* dx[n,h,w,c]: items (w * channels + c, h, n). Output row i reads input row h with window row r
 * where i * stride = h + top - r * dilation. */
KERNEL void naive_input_grad(IN(dy), TENSOR(dy), IN(filter), OUT(dx), TENSOR(dx), WINDOW,
                             const int columns, const int channels, const int output_rows,
                             const int output_columns, const int filters) {
    const int item = get_global_id(0), h = get_global_id(1), n = get_global_id(2);
    const int w = item / channels, c = item % channels;
    if (w >= columns)
        return;
    float sum = 0;
    for (int r = 0; r < window_rows; r++) {
        const int down = h + top - r * dilation_down, i = down / stride_down;
        if (down < 0 || i * stride_down != down || i >= output_rows)
            continue;
        for (int s = 0; s < window_columns; s++) {
            const int right = w + left - s * dilation_right, j = right / stride_right;
            if (right < 0 || j * stride_right != right || j >= output_columns)
                continue;
            __global const float *dyp = AT(dy) + n * dy_image + i * dy_row + j * dy_column;
            __global const float *fp =
                AT(filter) + ((r * window_columns + s) * channels + c) * filters;
            for (int k = 0; k < filters; k++)
                sum = FMA(dyp[k], fp[k], sum);
        }
    }
    AT(dx)[n * dx_image + h * dx_row + w * dx_column + c] = sum;
}

/* partials[split][element of F]: items (element, split). A split has an equal share of the
 * batch * output_rows rows of dY; each row is summed on its own, which keeps the rounding small. */
KERNEL void naive_filter_grad(IN(x), TENSOR(x), IN(dy), TENSOR(dy), OUT(partials), WINDOW,
                              const int rows, const int columns, const int channels,
                              const int output_rows, const int output_columns, const int filters,
                              const long dy_rows, const int splits) {
    const int element = get_global_id(0), split = get_global_id(1);
    const int count = window_rows * window_columns * channels * filters;
    if (element >= count)
        return;
    const int k = element % filters, c = element / filters % channels;
    const int tap = element / filters / channels;
    const int r = tap / window_columns, s = tap % window_columns;
    const long last = dy_rows * (split + 1) / splits;
    float sum = 0;
    for (long row = dy_rows * split / splits; row < last; row++) {
        const long n = row / output_rows;
        const int i = row % output_rows;
        const int h = i * stride_down - top + r * dilation_down;
        if (h < 0 || h >= rows)
            continue;
        __global const float *xp = AT(x) + n * x_image + h * x_row + c;
        __global const float *dyp = AT(dy) + n * dy_image + i * dy_row + k;
        float row_sum = 0;
        for (int j = 0; j < output_columns; j++) {
            const int w = j * stride_right - left + s * dilation_right;
            if (w >= 0 && w < columns)
                row_sum = FMA(xp[w * x_column], dyp[j * dy_column], row_sum);
        }
        sum += row_sum;
    }
    AT(partials)[(long)split * count + element] = sum;
}

/* out[i] = the sum of partials[split][i] over the splits, in order. */
KERNEL void naive_sum(IN(partials), OUT(out), const int count, const int splits) {
    const int i = get_global_id(0);
    if (i >= count)
        return;
    float sum = 0;
    for (int split = 0; split < splits; split++)
        sum += AT(partials)[(long)split * count + i];
    AT(out)[i] = sum;
}
