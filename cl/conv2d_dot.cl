/*
 * Direct convolution with few output channels, for CPUs. conv2d_direct.cl has output channels in
 * the lanes of a vector, most of which would be empty; here the lanes are steps of the sum,
 *
 *   Y[pixel][k] = sum over lanes of (sum over vectors of X[pixel moved by tap][c] * F[k][tap][c])
 *
 * and a tile of DOT_PIXELS x DOT_OUTPUTS sums is in registers. A vector of X meets DOT_OUTPUTS of
 * the filter. Numbers of X that lie side by side are a run: the taps of a window's row without
 * dilation, else one tap's channels. What is left of a run's last vector counts as 0, in X too,
 * since it may hold anything.
 */

/* Output channels. */
#ifndef DOT_OUTPUTS
#define DOT_OUTPUTS 3
#endif

/* Pixels of a tile. */
#ifndef DOT_PIXELS
#define DOT_PIXELS 5
#endif

#define DOT_SUMS (DOT_PIXELS * DOT_OUTPUTS)
/* Vectors that hold a number for each sum. */
#define DOT_VECTORS ((DOT_SUMS + VW - 1) / VW)

/* Two vectors, lane by lane, of their low and of their high halves; and the lanes' numbers. PoCL's
 * shuffle2() was faster here than the same in swizzles, as transpose.cl.h has it. */
#if VW == 16
#define LOW (uint16)(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH (uint16)(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define NUMBERS (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#elif VW == 8
#define LOW (uint8)(0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH (uint8)(4, 12, 5, 13, 6, 14, 7, 15)
#define NUMBERS (int8)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LOW (uint4)(0, 4, 1, 5)
#define HIGH (uint4)(2, 6, 3, 7)
#define NUMBERS (int4)(0, 1, 2, 3)
#endif

/* The sum of the lanes of rows[i] in lane i: half of the rows are added to the other half, lanes
 * taking turns, until one is left. */
static inline floatv add_lanes(floatv rows[VW]) {
    UNROLL for (int kept = VW / 2; kept > 0; kept /= 2)
        UNROLL for (int i = 0; i < kept; i++) rows[i] = shuffle2(rows[i], rows[i + kept], LOW) +
                                                        shuffle2(rows[i], rows[i + kept], HIGH);
    return rows[0];
}

/*
 * panels[r][run][step][k][lane] = F: the number of output k that meets number step * VW + lane of
 * the run, 0 behind its end. A run has `run` numbers, of taps of `channels`. F's element for window
 * row r, column s, channel c of the sum and output k is at filter_first + r * filter_row + s *
 * filter_column + c * filter_channel + k * filter_output. An item makes a step.
 */
KERNEL void conv2d_dot_pack(IN(filter), const long filter_first, const long filter_row,
                            const long filter_column, const long filter_channel,
                            const long filter_output, OUT(panels), const int window_rows,
                            const int runs, const int run, const int channels) {
    const int steps = (run + VW - 1) / VW, item = get_global_id(0);
    const int step = item % steps, first = item / steps % runs, r = item / steps / runs;
    if (r >= window_rows)
        return;
    __global float *to = AT(panels) + (long)item * DOT_OUTPUTS * VW;
    for (int lane = 0; lane < VW; lane++) {
        const int number = step * VW + lane;
        const long from = filter_first + r * filter_row +
                          (first + number / channels) * filter_column +
                          number % channels * filter_channel;
        for (int k = 0; k < DOT_OUTPUTS; k++)
            to[k * VW + lane] = number < run ? AT(filter)[from + k * filter_output] : 0;
    }
}

/* sums[m][k] += lanes of x[at[m]] * panel for a run of x. */
static inline void multiply_run(floatv sums[DOT_PIXELS][DOT_OUTPUTS], __global const float *x,
                                const long at[DOT_PIXELS], __global const float *panel,
                                const int run) {
    for (int t = 0; t < run; t += VW) {
        floatv shared[DOT_OUTPUTS];
        UNROLL for (int k = 0; k < DOT_OUTPUTS; k++) shared[k] = vloadv(k, panel);
        if (t + VW <= run) {
            UNROLL for (int m = 0; m < DOT_PIXELS; m++) {
                const floatv value = vloadv(0, x + at[m] + t);
                UNROLL for (int k = 0; k < DOT_OUTPUTS; k++) sums[m][k] =
                    FMA(value, shared[k], sums[m][k]);
            }
        } else {
            const intv inside = NUMBERS < (intv)(run - t);
            UNROLL for (int m = 0; m < DOT_PIXELS; m++) {
                const floatv value = select((floatv)(0), vloadv(0, x + at[m] + t), inside);
                UNROLL for (int k = 0; k < DOT_OUTPUTS; k++) sums[m][k] =
                    FMA(value, shared[k], sums[m][k]);
            }
        }
        panel += DOT_OUTPUTS * VW;
    }
}

/*
 * y = act(sum + bias) for group_pixels of the `pixels` output pixels of all images.
 *
 * Tensors are [image, row, column, channel] with strides in elements. x_down and x_right: how far
 * the window moves in x from one output pixel to the next; x_tap_down and x_run: from one of its
 * window_rows rows, and of the `runs` runs of a row, to the next.
 */
KERNEL void conv2d_dot(IN(x), const long x_image, const long x_down, const long x_right,
                       const long x_tap_down, const long x_run, IN(panels), IN(bias), OUT(y),
                       const long y_image, const long y_down, const long y_right,
                       const int output_rows, const int output_columns, const long pixels,
                       const int group_pixels, const int window_rows, const int runs,
                       const int run, const int relu) {
    const long first = get_global_id(0) * (long)group_pixels;
    const long last = min(first + group_pixels, pixels);
    const int panel_run = (run + VW - 1) / VW * DOT_OUTPUTS * VW;
    int j = (int)(first % output_columns), i = (int)(first / output_columns % output_rows);
    const long image = first / output_columns / output_rows;
    long x_pixel = image * x_image + i * x_down + j * x_right;
    long y_pixel = image * y_image + i * y_down + j * y_right;
    floatv start[DOT_VECTORS];
    float spread[DOT_VECTORS * VW];
    for (int n = 0; n < DOT_VECTORS * VW; n++)
        spread[n] = bias_base ? AT(bias)[n % DOT_OUTPUTS] : 0;
    UNROLL for (int n = 0; n < DOT_VECTORS; n++) start[n] = vloadv(n, spread);
    for (long pixel = first; pixel < last; pixel += DOT_PIXELS) {
        long from[DOT_PIXELS], to[DOT_PIXELS];
        UNROLL for (int m = 0; m < DOT_PIXELS; m++) {
            from[m] = x_pixel;
            to[m] = y_pixel;
            if (pixel + m + 1 >= last)
                continue; /* surplus pixels of the last tile repeat its last one */
            x_pixel += x_right;
            y_pixel += y_right;
            if (++j == output_columns) {
                j = 0;
                x_pixel += x_down - x_right * output_columns;
                y_pixel += y_down - y_right * output_columns;
                if (++i == output_rows) {
                    i = 0;
                    x_pixel += x_image - x_down * output_rows;
                    y_pixel += y_image - y_down * output_rows;
                }
            }
        }
        floatv sums[DOT_PIXELS][DOT_OUTPUTS];
        UNROLL for (int m = 0; m < DOT_PIXELS; m++)
            UNROLL for (int k = 0; k < DOT_OUTPUTS; k++) sums[m][k] = (floatv)(0);
        for (int r = 0; r < window_rows; r++)
            for (int s = 0; s < runs; s++)
                multiply_run(sums, AT(x) + r * x_tap_down + s * x_run, from,
                             AT(panels) + (long)(r * runs + s) * panel_run, run);
        float results[DOT_VECTORS * VW];
        UNROLL for (int n = 0; n < DOT_VECTORS; n++) {
            floatv some[VW];
            UNROLL for (int lane = 0; lane < VW; lane++) some[lane] =
                n * VW + lane < DOT_SUMS
                    ? sums[(n * VW + lane) / DOT_OUTPUTS][(n * VW + lane) % DOT_OUTPUTS]
                    : (floatv)(0);
            const floatv sum = add_lanes(some) + start[n];
            vstorev(relu ? select(sum, (floatv)(0), sum <= 0) : sum, n, results);
        }
        UNROLL for (int m = 0; m < DOT_PIXELS; m++)
            UNROLL for (int k = 0; k < DOT_OUTPUTS; k++) AT(y)[to[m] + k] =
                results[m * DOT_OUTPUTS + k];
    }
}
