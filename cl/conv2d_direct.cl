/*
 * Direct convolution for CPUs: each work-item is a group of its own and keeps a tile of
 * TILE_ROWS x TILE_VECTORS vectors of sums in registers. All three passes are one product of
 * matrices that are never formed,
 *
 *   forward          Y[pixel][k]     = sum over (tap, c) of X[pixel moved by tap][c] * F[tap, c][k]
 *   input gradient   the same on dY, with the taps reversed and the channels exchanged
 *   filter gradient  dF[tap, c][k]   = sum over pixels of X[pixel moved by tap][c] * dY[pixel][k]
 *
 * in which a step of the sum multiplies one number for each row of the tile (loaded and broadcast)
 * by TILE_VECTORS vectors that all rows share. The address of X is a part that depends on the row
 * plus one that depends on the step, so any stride, dilation and channel count goes through the
 * same loop. Along one row of a window without dilation the taps' channels lie side by side in X
 * and are one run of steps.
 *
 * Tensors are [image, row, column, channel] with strides in elements: _image, _down and _right.
 * Only the tile is compiled in; layers of any shape share a program for each tile.
 */

/* Rows of the tile. */
#ifndef TILE_ROWS
#define TILE_ROWS 4
#endif

/* Vectors of a row: TILE_ROWS * TILE_VECTORS sums, TILE_VECTORS shared vectors and one broadcast
 * must fit the registers. */
#ifndef TILE_VECTORS
#define TILE_VECTORS 2
#endif

#define TILE_WIDTH (TILE_VECTORS * VW)

/* sums[m] += a[at[m] + t * a_step] * b[t * b_step ...] for each t below count. */
static inline void multiply(floatv sums[TILE_ROWS][TILE_VECTORS],
                            __global const float *a, const long at[TILE_ROWS],
                            const long a_step, __global const float *b, const long b_step,
                            const int count) {
    for (int t = 0; t < count; t++) {
        floatv shared[TILE_VECTORS];
        UNROLL for (int v = 0; v < TILE_VECTORS; v++) shared[v] = vloadv(v, b);
        UNROLL for (int m = 0; m < TILE_ROWS; m++) {
            const floatv factor = (floatv)(a[at[m]]);
            UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] =
                FMA(factor, shared[v], sums[m][v]);
        }
        a += a_step;
        b += b_step;
    }
}

/* Lanes of vector v of a tile whose last vector has last_lanes. */
#define LANES(v) ((v) == TILE_VECTORS - 1 ? last_lanes : VW)

/* Taps begin to end - 1 along one axis. */
typedef struct taps {
    int begin, end;
} taps;

/* Those of `size` taps, tap_step apart, that are in 0..extent-1 for some output pixel of which the
 * first's window starts at `low`, and the last's at `high`. */
static inline taps taps_inside(const int low, const int high, const int tap_step, const int extent,
                               const int size) {
    const int before = high < 0 ? (tap_step - 1 - high) / tap_step : 0;
    const int count = low < extent ? (extent - 1 - low) / tap_step + 1 : 0;
    const taps inside = {before, min(count, size)};
    return inside;
}

/* A convolution of stride 1 or more over x, which has the border of zeros that windows reach. */
typedef struct product {
    __global const float *x; /* where the first window starts */
    long x_image, x_down, x_right; /* how far the window moves from one output pixel to the next */
    long x_tap_down, x_tap;        /* from one tap to the next */
    __global const float *panel;   /* of the filter: rows filter_row apart */
    int filter_row;
    __global const float *bias; /* NULL: none */
    __global float *y;
    long y_image, y_down, y_right;
    int output_rows, output_columns;
    int window_rows, window_columns, channels; /* a tap has `channels` contiguous numbers */
    int side_by_side;                          /* the taps of a row lie side by side */
    int pass_rows, last_lanes, relu, clips;
    /* Of windows in the image of `rows` x `columns`: the first starts at (top, left). */
    int rows, top, step_down, tap_down_rows;
    int columns, left, step_right, tap_columns;
} product;

/*
 * y = act(sum + bias) for a block of TILE_WIDTH output channels and pixels first to last - 1 of
 * those of all images.
 *
 * The filter's rows follow in the order of the taps. Window rows are taken pass_rows at a time, so
 * that their part of the filter stays in the cache while it meets all pixels; the sums wait in y in
 * between.
 *
 * If `clips`, taps that are outside the image for all pixels of a tile are left out: the window
 * starts at row top + i * step_down of `rows` for output row i, its taps are tap_down_rows apart,
 * and the same for columns. What is left out would be products with zeros.
 */
static inline void convolve(const product p, const long first, const long last) {
    const int first_j = (int)(first % p.output_columns);
    const int first_i = (int)(first / p.output_columns % p.output_rows);
    const long image = first / p.output_columns / p.output_rows;
    /* From the last pixel of a row to the first of the next, from the last row to the next image */
    const long x_next_row = p.x_down - p.x_right * p.output_columns;
    const long y_next_row = p.y_down - p.y_right * p.output_columns;
    const long x_next_image = p.x_image - p.x_down * p.output_rows;
    const long y_next_image = p.y_image - p.y_down * p.output_rows;
    const int last_lanes = p.last_lanes;
    for (int row = 0; row < p.window_rows; row += p.pass_rows) {
        const int end = min(row + p.pass_rows, p.window_rows);
        int i = first_i, j = first_j;
        long x_pixel = image * p.x_image + i * p.x_down + j * p.x_right;
        long y_pixel = image * p.y_image + i * p.y_down + j * p.y_right;
        for (long pixel = first; pixel < last; pixel += TILE_ROWS) {
            long from[TILE_ROWS], to[TILE_ROWS];
            const int start_i = i, start_j = j;
            UNROLL for (int m = 0; m < TILE_ROWS; m++) {
                from[m] = x_pixel;
                to[m] = y_pixel;
                if (pixel + m + 1 >= last)
                    continue; /* surplus rows of the last tile repeat its last pixel */
                x_pixel += p.x_right;
                y_pixel += p.y_right;
                if (++j == p.output_columns) {
                    j = 0;
                    x_pixel += x_next_row;
                    y_pixel += y_next_row;
                    if (++i == p.output_rows) {
                        i = 0;
                        x_pixel += x_next_image;
                        y_pixel += y_next_image;
                    }
                }
            }
            floatv sums[TILE_ROWS][TILE_VECTORS];
            if (row > 0) {
                UNROLL for (int m = 0; m < TILE_ROWS; m++)
                    UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] =
                        load_lanes(p.y + to[m] + v * VW, LANES(v));
            } else {
                UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
                    const floatv start = p.bias ? vloadv(v, p.bias) : (floatv)(0);
                    UNROLL for (int m = 0; m < TILE_ROWS; m++) sums[m][v] = start;
                }
            }
            taps down = {0, p.window_rows}, right = {0, p.window_columns};
            if (p.clips) {
                const long last_pixel = min(pixel + TILE_ROWS, last) - 1 - pixel + start_j;
                const bool is_row = last_pixel < p.output_columns;
                const int rows_on = is_row ? 0 : (int)(last_pixel / p.output_columns);
                const bool is_image = start_i + rows_on < p.output_rows;
                const int low_i = is_image ? start_i : 0;
                const int high_i = is_image ? start_i + rows_on : p.output_rows - 1;
                const int low_j = is_row ? start_j : 0;
                const int high_j = is_row ? (int)last_pixel : p.output_columns - 1;
                down = taps_inside(p.top + low_i * p.step_down, p.top + high_i * p.step_down,
                                   p.tap_down_rows, p.rows, p.window_rows);
                right = taps_inside(p.left + low_j * p.step_right, p.left + high_j * p.step_right,
                                    p.tap_columns, p.columns, p.window_columns);
            }
            const int run = p.side_by_side ? right.end - right.begin : 1; /* taps */
            for (int r = max(row, down.begin); r < min(end, down.end); r++)
                for (int s = right.begin; s < right.end; s += run)
                    multiply(sums, p.x + r * p.x_tap_down + s * p.x_tap, from, 1,
                             p.panel + (long)(r * p.window_columns + s) * p.channels * p.filter_row,
                             p.filter_row, run * p.channels);
            UNROLL for (int m = 0; m < TILE_ROWS; m++)
                UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
                const floatv sum = sums[m][v];
                const bool is_relu = p.relu && end == p.window_rows;
                store_lanes(is_relu ? select(sum, (floatv)(0), sum <= 0) : sum,
                            p.y + to[m] + v * VW, LANES(v));
            }
        }
    }
}

/* The forward pass, or an input gradient of stride 1: a block of channels (dimension 0), blocks of
 * the filter being filter_block apart, and group_pixels of the `pixels` (dimension 1). */
KERNEL void direct_forward(IN(x), const long x_image, const long x_down, const long x_right,
                           const long x_tap_down, const long x_tap, IN(filter),
                           const long filter_block, const int filter_row, IN(bias), OUT(y),
                           const long y_image, const long y_down, const long y_right,
                           const int output_rows, const int output_columns, const long pixels,
                           const int group_pixels, const int window_rows,
                           const int window_columns, const int channels, const int side_by_side,
                           const int pass_rows, const int last_lanes, const int relu,
                           const int clips, const int rows, const int top, const int step_down,
                           const int tap_down_rows, const int columns, const int left,
                           const int step_right, const int tap_columns) {
    const int block = get_global_id(0) * TILE_WIDTH;
    const long first = get_global_id(1) * (long)group_pixels;
    const product p = {AT(x),
                       x_image, x_down, x_right, x_tap_down, x_tap,
                       AT(filter) + get_global_id(0) * filter_block, filter_row,
                       bias_base ? AT(bias) + block : 0,
                       AT(y) + block,
                       y_image, y_down, y_right, output_rows, output_columns,
                       window_rows, window_columns, channels, side_by_side,
                       pass_rows, last_lanes, relu, clips,
                       rows, top, step_down, tap_down_rows,
                       columns, left, step_right, tap_columns};
    convolve(p, first, min(first + group_pixels, pixels));
}

/* ---- Strided input gradients ---------------------------------------------------------------- */

/* For a stride of s the input positions h with the same (h + padding) mod s are reached by the same
 * taps, and over those positions and taps the gradient is a convolution of stride 1 over dY: a
 * phase. This is one along one axis; see also src/ops/conv2d_phases.c. */
typedef struct phase {
    int first, count; /* input positions first, first + stride, ... */
    int taps, before; /* its taps, and those of the phases before it */
    int start;        /* in dY, of the window of the first position; may be outside */
} phase;

static inline phase get_phase(const int index, const int stride, const int padding, const int size,
                              const int tap_step, const int dilation, const int input) {
    const int moved = index * (dilation * (stride / tap_step)) - padding;
    const int rest = moved % stride, first = rest < 0 ? rest + stride : rest;
    const int taps = (size - 1 - index) / tap_step + 1;
    const phase p = {first, first < input ? (input - 1 - first) / stride + 1 : 0, taps,
                     index * (size / tap_step) + min(index, size % tap_step),
                     (first - moved) / stride - (taps - 1) * dilation};
    return p;
}

/*
 * dX of all phases: a block of channels (dimension 0), a run of group_pixels of the phase's pixels
 * of all images (dimension 1), a phase (dimension 2; phase_columns of them in a row).
 *
 * dy is at the first pixel of an image of dy_rows x dy_columns, with the border of zeros that the
 * windows reach. Along each axis the window has `window` taps, those of a phase tap_step apart,
 * which is `dilation` in dY. Panels are those of conv2d_prepare_grad; this kernel's first block
 * begins at input channel first_channel.
 */
KERNEL void direct_input_grad(
    IN(dy), const long dy_image, const long dy_down, const long dy_right, IN(panels),
    const int padded, const int first_channel, OUT(dx), const long dx_image, const long dx_down,
    const long dx_right, const int images, const int group_pixels, const int phase_columns,
    const int channels, const int pass_rows, const int last_lanes, const int clips,
    const int dx_rows, const int dy_rows, const int stride_down, const int top,
    const int window_rows, const int tap_step_down, const int dilation_down, const int dx_columns,
    const int dy_columns, const int stride_right, const int left, const int window_columns,
    const int tap_step_right, const int dilation_right) {
    const int index = get_global_id(2);
    const phase down = get_phase(index / phase_columns, stride_down, top, window_rows,
                                 tap_step_down, dilation_down, dx_rows);
    const phase right = get_phase(index % phase_columns, stride_right, left, window_columns,
                                  tap_step_right, dilation_right, dx_columns);
    const long pixels = (long)images * down.count * right.count;
    const long first = get_global_id(1) * (long)group_pixels;
    if (first >= pixels)
        return;
    const int block = get_global_id(0) * TILE_WIDTH, taps = down.taps * right.taps;
    const int before = down.before * window_columns + down.taps * right.before;
    const product p = {
        AT(dy) + down.start * dy_down + right.start * dy_right,
        dy_image, dy_down, dy_right, dilation_down * dy_down, dilation_right * dy_right,
        AT(panels) + (long)before * channels * padded +
            (long)taps * channels * (first_channel + block),
        TILE_WIDTH,
        0,
        AT(dx) + first_channel + block + down.first * dx_down + right.first * dx_right,
        dx_image, dx_down * stride_down, dx_right * stride_right, down.count, right.count,
        down.taps, right.taps, channels, dilation_right == 1 || right.taps == 1,
        pass_rows, last_lanes, 0, clips,
        dy_rows, down.start, 1, dilation_down,
        dy_columns, right.start, 1, dilation_right};
    convolve(p, first, min(first + group_pixels, pixels));
}

/* How far it is in an array from one image, row and column to the next. */
typedef struct steps {
    long image, down, right;
} steps;

/*
 * sums = the sum over a block of pixels, rows x columns of them from row i of an image on, of
 * a[at[m]] * b[...]; a and b are at the first pixel. Images have output_rows rows of pixels.
 */
static inline void multiply_pixels(floatv sums[TILE_ROWS][TILE_VECTORS], __global const float *a,
                                   const long at[TILE_ROWS], const steps a_step,
                                   __global const float *b, const steps b_step, int i,
                                   const int rows, const int columns, const int output_rows) {
    UNROLL for (int m = 0; m < TILE_ROWS; m++)
        UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] = (floatv)(0);
    for (int r = 0; r < rows; r++) {
        multiply(sums, a, at, a_step.right, b, b_step.right, columns);
        a += a_step.down;
        b += b_step.down;
        if (++i == output_rows) {
            i = 0;
            a += a_step.image - a_step.down * output_rows;
            b += b_step.image - b_step.down * output_rows;
        }
    }
}

/* Stores the first `rows` rows of a tile, to_row apart, or adds them to what is there. */
static inline void add_tile(floatv sums[TILE_ROWS][TILE_VECTORS], __global float *to,
                            const int to_row, const int rows, const bool is_first) {
    UNROLL for (int m = 0; m < TILE_ROWS; m++) {
        if (m >= rows)
            continue;
        __global float *row = to + (long)m * to_row;
        UNROLL for (int v = 0; v < TILE_VECTORS; v++)
            STORE(is_first ? sums[m][v] : sums[m][v] + vloadv(v, row), row + v * VW);
    }
}

/*
 * Partial sums of the filter gradient: partials[split][position][channel], a row having
 * partial_row floats. Positions are in the order (tap row, input channel, tap column): neighbouring
 * columns read nearly the same numbers of x, which then come from the first cache. A group computes
 * a block of TILE_WIDTH channels (dimension 0), group_positions of the `positions` positions
 * (dimension 1), over an equal share of the `dy_rows` rows of dY of all images (dimension 2:
 * splits).
 *
 * dY is taken in blocks of block_rows x block_columns pixels, which stay in the first cache while
 * all positions meet them. Each block is summed on its own and then added, which keeps the rounding
 * small; the blocks are part of the result, so they depend on the shape only.
 */
KERNEL void direct_filter_grad(IN(x), const long x_image, const long x_down, const long x_right,
                               const long x_tap_down, const long x_tap, const int window_columns,
                               const int channels, IN(dy), const long dy_image, const long dy_down,
                               const long dy_right, OUT(partials), const int partial_row,
                               const int output_rows, const int output_columns,
                               const long dy_rows, const int positions, const int group_positions,
                               const int splits, const int block_rows, const int block_columns) {
    const int block = get_global_id(0) * TILE_WIDTH;
    const int first = get_global_id(1) * group_positions;
    const int last = min(first + group_positions, positions), split = get_global_id(2);
    const long end_row = dy_rows * (split + 1) / splits;
    const int first_s = first % window_columns, first_c = first / window_columns % channels;
    const long first_at =
        first / window_columns / channels * x_tap_down + first_s * x_tap + first_c;
    const steps x_step = {x_image, x_down, x_right}, dy_step = {dy_image, dy_down, dy_right};
    __global float *out = AT(partials) + ((long)split * positions) * partial_row + block;
    bool is_first = true;
    for (long row = dy_rows * split / splits; row < end_row; row += block_rows)
        for (int column = 0; column < output_columns; column += block_columns) {
            const int row_count = (int)min((long)block_rows, end_row - row);
            const int column_count = min(block_columns, output_columns - column);
            const int i = (int)(row % output_rows);
            __global const float *x_block =
                AT(x) + row / output_rows * x_image + i * x_down + column * x_right;
            __global const float *dy_block =
                AT(dy) + row / output_rows * dy_image + i * dy_down + column * dy_right + block;
            int c = first_c, s = first_s;
            long position_at = first_at;
            for (int position = first; position < last; position += TILE_ROWS) {
                long at[TILE_ROWS];
                UNROLL for (int m = 0; m < TILE_ROWS; m++) {
                    at[m] = position_at;
                    if (position + m + 1 >= last)
                        continue; /* surplus rows are not stored */
                    position_at += x_tap;
                    if (++s == window_columns) {
                        s = 0;
                        position_at += 1 - x_tap * window_columns;
                        if (++c == channels) {
                            c = 0;
                            position_at += x_tap_down - channels;
                        }
                    }
                }
                floatv sums[TILE_ROWS][TILE_VECTORS];
                multiply_pixels(sums, x_block, at, x_step, dy_block, dy_step, i, row_count,
                                column_count, output_rows);
                add_tile(sums, out + (long)position * partial_row, partial_row, last - position,
                         is_first);
            }
            is_first = false;
        }
}

/*
 * The same for few filters, which would fill a small part of the vectors: the vectors are of X, the
 * rows of a tile are filters. A run is what lies side by side in X: without dilation all that a
 * window's row sees, taps and channels, else one tap's channels; a row of the window has run_columns
 * runs. partials[split][run][filter][float of the run]. A group computes group_blocks blocks of
 * TILE_WIDTH floats (dimension 0) of group_runs of the `runs` runs (dimension 1), over the same
 * share of dY (dimension 2), in the same blocks of pixels.
 */
KERNEL void direct_filter_grad_few(IN(x), const long x_image, const long x_down,
                                   const long x_right, const long x_tap_down, const long x_tap,
                                   const int run_columns, IN(dy), const long dy_image,
                                   const long dy_down, const long dy_right, OUT(partials),
                                   const int partial_row, const int output_rows,
                                   const int output_columns, const long dy_rows, const int filters,
                                   const int blocks, const int group_blocks, const int runs,
                                   const int group_runs, const int splits, const int block_rows,
                                   const int block_columns) {
    const int first_block = get_global_id(0) * group_blocks;
    const int last_block = min(first_block + group_blocks, blocks);
    const int first_run = get_global_id(1) * group_runs;
    const int last_run = min(first_run + group_runs, runs), split = get_global_id(2);
    const long end_row = dy_rows * (split + 1) / splits;
    const steps x_step = {x_image, x_down, x_right}, dy_step = {dy_image, dy_down, dy_right};
    __global float *out = AT(partials) + (long)split * runs * filters * partial_row;
    bool is_first = true;
    for (long row = dy_rows * split / splits; row < end_row; row += block_rows)
        for (int column = 0; column < output_columns; column += block_columns) {
            const int row_count = (int)min((long)block_rows, end_row - row);
            const int column_count = min(block_columns, output_columns - column);
            const int i = (int)(row % output_rows);
            __global const float *x_block =
                AT(x) + row / output_rows * x_image + i * x_down + column * x_right;
            __global const float *dy_block =
                AT(dy) + row / output_rows * dy_image + i * dy_down + column * dy_right;
            for (int block = first_block; block < last_block; block++)
                for (int run = first_run; run < last_run; run++)
                    for (int k = 0; k < filters; k += TILE_ROWS) {
                        long at[TILE_ROWS];
                        UNROLL for (int m = 0; m < TILE_ROWS; m++)
                            at[m] = min(k + m, filters - 1); /* surplus rows are not stored */
                        floatv sums[TILE_ROWS][TILE_VECTORS];
                        multiply_pixels(sums, dy_block, at, dy_step,
                                        x_block + run / run_columns * x_tap_down +
                                            run % run_columns * x_tap + block * TILE_WIDTH,
                                        x_step, i, row_count, column_count, output_rows);
                        add_tile(sums,
                                 out + ((long)run * filters + k) * partial_row +
                                     block * TILE_WIDTH,
                                 partial_row, filters - k, is_first);
                    }
            is_first = false;
        }
}
