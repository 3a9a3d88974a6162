/* The filter with its channels exchanged, for the input gradient: a read and a write of the filter,
 * no arithmetic: as fast as memory. */

/*
 * out[(t,u,k)][c] = filter[r][s][c][k], r = row_first + t * row_step, s = column_first + u *
 * column_step: `taps` taps, tap_columns of them in a row. Items: taps * filters * channels, and
 * more; consecutive ones write consecutive floats.
 */
KERNEL void filter_transpose(IN(filter), OUT(out), const int window_columns, const int channels,
                             const int filters, const int row_first, const int row_step,
                             const int column_first, const int column_step, const int tap_columns,
                             const int taps) {
    const long item = get_global_id(0);
    if (item >= (long)taps * filters * channels)
        return;
    const int c = (int)(item % channels), row = (int)(item / channels);
    const int k = row % filters, tap = row / filters;
    const int r = row_first + tap / tap_columns * row_step;
    const int s = column_first + tap % tap_columns * column_step;
    AT(out)[item] = AT(filter)[((r * window_columns + s) * channels + c) * filters + k];
}
