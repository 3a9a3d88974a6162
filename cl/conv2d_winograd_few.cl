/*
 * Winograd convolution for CPUs with few input channels (winograd.cl.h has the formulas): the
 * forward pass and the filter gradient of a network's first layers. With few terms to a product
 * moving the products through memory would cost more than computing them, so in the forward pass
 * they stay in registers: a column of positions is summed over the channels and transformed back at
 * once.
 *
 * A work-item is a group of its own. It takes parts, rectangles of tiles of an image, one after
 * another, through three steps:
 *
 *   planes   the part's inputs, [channel][row % TILE][column % TILE][row / TILE][column / TILE]:
 *            the inputs at one place of neighbouring tiles are neighbours
 *   inputs   B^T X B of VW tiles at a time, a vector across tiles: [position][VW tiles], positions
 *            in the order of the filter below
 *   outputs  of all output channels, a vector of them at a time, for each of the VW tiles
 *
 * Tensors are [image, row, column, channel] with strides in elements: _image, _down and _right.
 */

#include "winograd.cl.h"

/* Tiles that share the loads of the filter: ALPHA sums each, next to one vector of the filter, must
 * fit the registers. */
#ifndef TILES
#define TILES 2
#endif

/* Tiles that go through the columns of positions together: a column of the inputs and of the filter
 * then stays in the first cache until all of them have read it. A multiple of TILES. */
#ifndef RUN
#define RUN 8
#endif

/* Columns and rows of tiles that the last tile of a part reaches into. */
#define BEYOND ((ALPHA - 1) / TILE)

/*
 * The planes of a part whose first input is (row, column) of an image, and which has `part_rows`
 * rows of tiles. A row of a plane has `pitch` elements, a plane `plane`. What lies outside the image
 * is 0.
 */
static inline void load_planes(__global const float *image, const long down, const long right,
                               const int rows, const int columns, const int row, const int column,
                               const int channels, const int part_rows, const int pitch,
                               const int plane, SCRATCH float *planes) {
    /* Elements begin to end - 1 of a plane's row are inside the image in all TILE planes */
    const int begin = column < 0 ? min((TILE - 1 - column) / TILE, pitch) : 0;
    const int end = max(columns - column >= 0 ? min((columns - column) / TILE, pitch) : 0, begin);
    for (int i = 0; i < part_rows * TILE + WINDOW - 1; i++) {
        const bool inside = row + i >= 0 && row + i < rows;
        for (int c = 0; c < channels; c++) {
            SCRATCH float *to = planes + (c * TILE + i % TILE) * TILE * plane + i / TILE * pitch;
            __global const float *from = image + (row + i) * down + column * right + c;
            for (int t = 0; t < pitch; t++) {
                if (inside && t >= begin && t < end) {
                    UNROLL for (int j = 0; j < TILE; j++) to[j * plane + t] =
                        from[(t * TILE + j) * right];
                } else {
                    for (int j = 0; j < TILE; j++) {
                        const int at = column + t * TILE + j;
                        to[j * plane + t] =
                            inside && at >= 0 && at < columns ? from[(t * TILE + j) * right] : 0;
                    }
                }
            }
        }
    }
}

/* B^T X B of the VW tiles from element `first` of the planes of a channel on; position p of the
 * filter's order goes to out[p * VW], out_column being from column to column of positions. */
static inline void load_inputs(SCRATCH const float *planes, const int plane, const int pitch,
                               const int first, SCRATCH float *out, const int out_column) {
    floatv partway[POSITIONS]; /* X B */
    for (int i = 0; i < ALPHA; i++) {
        SCRATCH const float *from = planes + i % TILE * TILE * plane + i / TILE * pitch + first;
        floatv x[ALPHA];
        UNROLL for (int j = 0; j < ALPHA; j++) x[j] =
            vloadv(0, from + j % TILE * plane + j / TILE);
        transform_input(x, partway + i * ALPHA);
    }
    for (int j = 0; j < ALPHA; j++) {
        floatv x[ALPHA], transformed[ALPHA];
        UNROLL for (int i = 0; i < ALPHA; i++) x[i] = partway[i * ALPHA + j];
        transform_input(x, transformed);
        UNROLL for (int i = 0; i < ALPHA; i++)
            KEEP(transformed[i], out + j * out_column + i * VW);
    }
}

/* A tile of a part: its lane in the vectors across tiles, and where its outputs are in an image. */
typedef struct tile {
    long at;        /* elements to its first output */
    int rows, columns; /* of outputs inside the image, up to TILE */
    int lane;
} tile;

/* Asks for the outputs of a tile, to write them: another core had them last, or none. They are far
 * apart, and the stores would wait longer than a tile takes to compute. */
static inline void fetch(__global const float *to, const long down, const long right,
                         const tile *at) {
#if CAN_PREFETCH
    to += at->at;
    UNROLL for (int i = 0; i < TILE; i++)
        UNROLL for (int j = 0; j < TILE; j++) PREFETCH_TO_WRITE(
            to + min(i, at->rows - 1) * down + min(j, at->columns - 1) * right);
#endif
}

/* max(A^T M A + bias, least) from A^T M. */
static inline void store_tile(const floatv partway[TILE * ALPHA], const floatv bias,
                              const floatv least, const int lanes, __global float *to,
                              const long down, const long right, const tile *at) {
    to += at->at;
    const bool is_whole = lanes == VW && at->rows == TILE && at->columns == TILE;
    for (int i = 0; i < at->rows; i++, to += down) {
        floatv y[TILE];
        interpolate(partway + i * ALPHA, TILE, y);
        UNROLL for (int j = 0; j < TILE; j++) {
            y[j] += bias;
            y[j] = y[j] < least ? least : y[j]; /* not max(): it may lose a NaN */
        }
        if (is_whole)
            UNROLL for (int j = 0; j < TILE; j++) STORE(y[j], to + j * right);
        else
            UNROLL for (int j = 0; j < TILE; j++) if (j < at->columns)
                store_lanes(y[j], to + j * right, lanes);
    }
}

/* Column j of A^T M of TILES tiles, for a vector of output channels, from column j of their inputs
 * and of the filter. */
static inline void multiply(SCRATCH const float *const first[TILES], __global const float *filter,
                            const int column_at, const int channels,
                            floatv (*partway)[TILE * ALPHA], const int j) {
    floatv sums[TILES][ALPHA];
    SCRATCH const float *in[TILES];
    filter += column_at;
    UNROLL for (int n = 0; n < TILES; n++) in[n] = first[n] + column_at;
    UNROLL for (int i = 0; i < ALPHA; i++) {
        const floatv shared = vloadv(i, filter);
        UNROLL for (int n = 0; n < TILES; n++) sums[n][i] = (floatv)(in[n][i * VW]) * shared;
    }
    for (int c = 1; c < channels; c++) {
        filter += ALPHA * VW;
        UNROLL for (int n = 0; n < TILES; n++) in[n] += ALPHA * VW;
        UNROLL for (int i = 0; i < ALPHA; i++) {
            const floatv shared = vloadv(i, filter);
            UNROLL for (int n = 0; n < TILES; n++) sums[n][i] =
                FMA((floatv)(in[n][i * VW]), shared, sums[n][i]);
        }
    }
    UNROLL for (int n = 0; n < TILES; n++) {
        floatv column[TILE];
        interpolate(sums[n], TILE, column);
        UNROLL for (int i = 0; i < TILE; i++) partway[n][i * ALPHA + j] = column[i];
    }
}

/* A^T M of `run` tiles for a vector of output channels; surplus ones repeat the last. */
static inline void multiply_run(SCRATCH const float *const in[RUN], __global const float *filter,
                                const int column_step, const int channels, const int run,
                                floatv (*partway)[TILE * ALPHA]) {
    for (int j = 0; j < ALPHA; j++)
        for (int t = 0; t < run; t += TILES)
            multiply(in + t, filter, j * column_step, channels, partway + t, j);
}

/*
 * The transformed filter G F G^T: out[vector of output channels][column of positions][input
 * channel][row of positions][VW]; the last vector is filled up with zeros. The filter is
 * [tap][input channel][output channel]. Items (input channel, vector).
 */
KERNEL void winograd_few_filter(IN(filter), OUT(transformed), const int channels,
                                const int filters) {
    const int c = get_global_id(0), vector = get_global_id(1);
    const int lanes = min(filters - vector * VW, VW);
    __global const float *from = AT(filter) + c * filters + vector * VW;
    __global float *to =
        AT(transformed) + ((long)vector * ALPHA * channels + c) * ALPHA * VW;
    floatv partway[WINDOW * ALPHA]; /* F G^T */
    for (int r = 0; r < WINDOW; r++) {
        floatv f[WINDOW];
        UNROLL for (int s = 0; s < WINDOW; s++) f[s] =
            load_lanes(from + (r * WINDOW + s) * channels * filters, lanes);
        evaluate(f, WINDOW, partway + r * ALPHA);
    }
    for (int j = 0; j < ALPHA; j++) {
        floatv f[WINDOW], column[ALPHA];
        UNROLL for (int r = 0; r < WINDOW; r++) f[r] = partway[r * ALPHA + j];
        evaluate(f, WINDOW, column);
        UNROLL for (int i = 0; i < ALPHA; i++)
            STORE(column[i] * (scale(i) * scale(j)), to + (j * channels * ALPHA + i) * VW);
    }
}

/*
 * y = act(conv(x, filter) + bias); parts of part_rows x part_columns tiles, of which an image has
 * part_grid_rows x part_grid_columns. scratch: planes and inputs of each group, scratch_group
 * floats.
 */
KERNEL void winograd_few_forward(IN(x), const long x_image, const long x_down, const long x_right,
                                 IN(filter), IN(bias), OUT(y), const long y_image,
                                 const long y_down, const long y_right, INOUT(scratch),
                                 const long scratch_group, const int rows, const int columns,
                                 const int top, const int left, const int channels,
                                 const int filters, const int output_rows,
                                 const int output_columns, const int tile_rows,
                                 const int tile_columns, const int part_rows,
                                 const int part_columns, const int part_grid_rows,
                                 const int part_grid_columns, const long parts, const int relu) {
    const floatv least = (floatv)(relu ? 0 : -INFINITY);
    TAKE_SCRATCH(inputs, get_group_id(0));
    SCRATCH float *planes = inputs + POSITIONS * channels * VW;
    const int column_step = channels * ALPHA * VW; /* between columns of positions */
    const int pitch = part_columns + BEYOND;
    const int plane = (part_rows + BEYOND) * pitch + VW;
    for (long part = get_group_id(0); part < parts; part += get_num_groups(0)) {
        const int first_column = (int)(part % part_grid_columns) * part_columns;
        const int first_row = (int)(part / part_grid_columns % part_grid_rows) * part_rows;
        const long image = part / part_grid_columns / part_grid_rows;
        const int tall = min(part_rows, tile_rows - first_row);
        const int wide = min(part_columns, tile_columns - first_column);
        load_planes(AT(x) + image * x_image, x_down, x_right, rows, columns,
                    first_row * TILE - top, first_column * TILE - left, channels, tall, pitch,
                    plane, planes);
        for (int first = 0; first < tall * pitch; first += VW) {
            int count = 0;
            tile tiles[VW];
            for (int t = 0; t < VW && first + t < tall * pitch; t++) {
                const int row = (first_row + (first + t) / pitch) * TILE;
                const int column = (first_column + (first + t) % pitch) * TILE;
                if ((first + t) % pitch >= wide)
                    continue;
                const tile here = {row * y_down + column * y_right,
                                   min(output_rows - row, TILE),
                                   min(output_columns - column, TILE), t};
                tiles[count++] = here;
            }
            if (count == 0)
                continue;
            for (int c = 0; c < channels; c++)
                load_inputs(planes + c * TILE * TILE * plane, plane, pitch, first,
                            inputs + c * ALPHA * VW, column_step);
            for (int begin = 0; begin < count; begin += RUN)
                for (int k = 0; k < filters; k += VW) {
                    const int lanes = min(filters - k, VW), run = min(count - begin, RUN);
                    __global const float *f = AT(filter) + (long)k * POSITIONS * channels;
                    const floatv bias_k =
                        bias_base ? load_lanes(AT(bias) + k, lanes) : (floatv)(0);
                    __global float *to = AT(y) + image * y_image + k;
                    for (int t = 0; t < run; t++)
                        fetch(to, y_down, y_right, tiles + begin + t);
                    floatv partway[RUN][TILE * ALPHA]; /* A^T M */
                    SCRATCH const float *in[RUN];
                    for (int t = 0; t < RUN; t++)
                        in[t] = inputs + tiles[min(begin + t, count - 1)].lane;
                    multiply_run(in, f, column_step, channels, run, partway);
                    for (int t = 0; t < run; t++)
                        store_tile(partway[t], bias_k, least, lanes, to, y_down, y_right,
                                   tiles + begin + t);
                }
        }
    }
}

/* Adds to the transformed sums of a block, [position][channel][TILE_WIDTH], or makes of them, the
 * products of `count` tiles: B^T X B at `inputs`, of each tile in its lane, times A dY A^T at `out`,
 * [position][tile][TILE_WIDTH]. */
static inline void add_products(SCRATCH const float *inputs, const int *lanes, const int count,
                                SCRATCH const float *out, const int out_position,
                                const int channels, const bool adds, __global float *to) {
    for (int p = 0; p < POSITIONS; p++, out += out_position)
        for (int c = 0; c < channels; c += TILE_ROWS) {
            SCRATCH const float *a =
                inputs + ((p % ALPHA * channels + c) * ALPHA + p / ALPHA) * VW;
            floatv sums[TILE_ROWS][TILE_VECTORS];
            UNROLL for (int m = 0; m < TILE_ROWS; m++)
                UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] = (floatv)(0);
            for (int t = 0; t < count; t++) {
                floatv shared[TILE_VECTORS];
                UNROLL for (int v = 0; v < TILE_VECTORS; v++) shared[v] =
                    vloadv(v, out + t * TILE_WIDTH);
                UNROLL for (int m = 0; m < TILE_ROWS; m++) {
                    const floatv factor = (floatv)(a[m * ALPHA * VW + lanes[t]]);
                    UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] =
                        FMA(factor, shared[v], sums[m][v]);
                }
            }
            store_sums(sums, min(channels - c, TILE_ROWS), adds, to);
            to += min(channels - c, TILE_ROWS) * TILE_WIDTH;
        }
}

/*
 * Partial sums of the filter gradient, transformed, as winograd_filter_sum of conv2d_winograd.cl
 * takes them: partials[split][block][position][channel][TILE_WIDTH]. A group computes them for a
 * block of output channels (dimension 0) and an equal share of the parts (dimension 1: splits), VW
 * tiles at a time. scratch: planes, inputs and A dY A^T of each group, scratch_group floats.
 */
KERNEL void winograd_few_filter_grad(IN(x), const long x_image, const long x_down,
                                     const long x_right, IN(dy), const long dy_image,
                                     const long dy_down, const long dy_right, OUT(partials),
                                     INOUT(scratch), const long scratch_group, const int rows,
                                     const int columns, const int top, const int left,
                                     const int channels, const int output_rows,
                                     const int output_columns, const int tile_rows,
                                     const int tile_columns, const int part_rows,
                                     const int part_columns, const int part_grid_rows,
                                     const int part_grid_columns, const long parts) {
    const int block = get_group_id(0), split = get_group_id(1), splits = get_num_groups(1);
    const long sums_at = (long)split * get_num_groups(0) + block;
    TAKE_SCRATCH(inputs, sums_at);
    const int pitch = part_columns + BEYOND, plane = (part_rows + BEYOND) * pitch + VW;
    const int out_position = VW * TILE_WIDTH + 16; /* not all on the same sets of the cache */
    SCRATCH float *planes = inputs + POSITIONS * channels * VW;
    SCRATCH float *out = planes + TILE * TILE * channels * plane;
    __global float *sums = AT(partials) + sums_at * POSITIONS * channels * TILE_WIDTH;
    bool adds = false;
    for (long part = parts * split / splits; part < parts * (split + 1) / splits; part++) {
        const int first_column = (int)(part % part_grid_columns) * part_columns;
        const int first_row = (int)(part / part_grid_columns % part_grid_rows) * part_rows;
        const long image = part / part_grid_columns / part_grid_rows;
        const int tall = min(part_rows, tile_rows - first_row);
        const int wide = min(part_columns, tile_columns - first_column);
        __global const float *from = AT(dy) + image * dy_image + block * TILE_WIDTH;
        load_planes(AT(x) + image * x_image, x_down, x_right, rows, columns,
                    first_row * TILE - top, first_column * TILE - left, channels, tall, pitch,
                    plane, planes);
        for (int first = 0; first < tall * pitch; first += VW) {
            int count = 0, lanes[VW];
            for (int t = 0; t < VW && first + t < tall * pitch; t++)
                if ((first + t) % pitch < wide)
                    lanes[count++] = t;
            if (count == 0)
                continue;
            for (int c = 0; c < channels; c++)
                load_inputs(planes + c * TILE * TILE * plane, plane, pitch, first,
                            inputs + c * ALPHA * VW, channels * ALPHA * VW);
            int row = (first_row + (first + lanes[0]) / pitch) * TILE;
            int column = (first_column + (first + lanes[0]) % pitch) * TILE;
            for (int t = 0; t < count; t++) {
                const int next = first + lanes[min(t + 1, count - 1)];
                const int next_row = (first_row + next / pitch) * TILE;
                const int next_column = (first_column + next % pitch) * TILE;
                for (int v = 0; v < TILE_WIDTH; v += VW)
                    load_outputs(from + v, dy_down, dy_right, output_rows, output_columns, row,
                                 column, 0,
                                 (next_row - row) * dy_down + (next_column - column) * dy_right,
                                 out + t * TILE_WIDTH + v, out_position);
                row = next_row;
                column = next_column;
            }
            add_products(inputs, lanes, count, out, out_position, channels, adds, sums);
            adds = true;
        }
    }
}

#if POOL_KH

/* max(A^T M A + bias, least) from A^T M, kept for the pool. */
static inline void keep_tile(const floatv partway[TILE * ALPHA], const floatv bias,
                             const floatv least, SCRATCH float *to, const int down,
                             const int right) {
    for (int i = 0; i < TILE; i++, to += down) {
        floatv y[TILE];
        interpolate(partway + i * ALPHA, TILE, y);
        UNROLL for (int j = 0; j < TILE; j++) {
            y[j] += bias;
            KEEP(y[j] < least ? least : y[j], to + j * right);
        }
    }
}

/*
 * y = max pool(act(conv(x, filter) + bias)). A part is band_rows rows of an image's outputs, of
 * which it has `bands` bands, and `vectors` vectors of the output channels, of which there are
 * `blocks` blocks. What the windows of a band hold is computed in whole tiles, at most part_rows
 * rows of them, and stays in scratch memory, [row][column][channel of the block]; it is pooled as
 * soon as enough of it is there. winners: as max_pool in pool.cl writes them; may be absent.
 */
KERNEL void winograd_few_pool(IN(x), const long x_image, const long x_down, const long x_right,
                              IN(filter), IN(bias), OUT(y), const long y_image, const long y_down,
                              const long y_right, OUT_BYTES(winners), INOUT(scratch),
                              const long scratch_group, const int rows, const int columns,
                              const int top, const int left, const int channels,
                              const int filters, const int between_rows,
                              const int between_columns, const int tile_columns,
                              const int output_rows, const int output_columns,
                              const int part_rows, const int band_rows, const int bands,
                              const int vectors, const int blocks, const long parts,
                              const int relu) {
    const floatv least = (floatv)(relu ? 0 : -INFINITY);
    TAKE_SCRATCH(inputs, get_group_id(0));
    SCRATCH float *planes = inputs + POSITIONS * channels * VW;
    const int column_step = channels * ALPHA * VW; /* between columns of positions */
    const int pitch = tile_columns + BEYOND;
    const int plane = (part_rows + BEYOND) * pitch + VW;
    SCRATCH float *between = planes + TILE * TILE * channels * plane;
    const int right = vectors * VW, down = tile_columns * TILE * right; /* of `between` */
    const int output_image = output_rows * output_columns * filters;
    for (long part = get_group_id(0); part < parts; part += get_num_groups(0)) {
        const int first_k = (int)(part % blocks) * vectors * VW;
        const int first_output = (int)(part / blocks % bands) * band_rows;
        const long image = part / blocks / bands;
        const int end_k = min(first_k + vectors * VW, filters);
        const int end_output = min(first_output + band_rows, output_rows);
        const int first_row = max(first_output * POOL_SH - POOL_TOP, 0) / TILE;
        const int end_row = min((end_output - 1) * POOL_SH - POOL_TOP + POOL_KH, between_rows);
        const int tall = (end_row + TILE - 1) / TILE - first_row;
        __global float *to = AT(y) + image * y_image + first_k;
        __global uchar *winners_to =
            winners_base ? AT(winners) + image * output_image + first_k : 0;
        int pooled = first_output; /* the rows before are there */
        load_planes(AT(x) + image * x_image, x_down, x_right, rows, columns,
                    first_row * TILE - top, -left, channels, tall, pitch, plane, planes);
        for (int first = 0; first < tall * pitch; first += VW) {
            /* Of each tile its lane, its place, and the rows of tiles that it completes */
            int count = 0, lanes[VW], at[VW], whole[VW];
            for (int t = 0; t < VW && first + t < tall * pitch; t++) {
                const int row = (first + t) / pitch, column = (first + t) % pitch;
                if (column >= tile_columns)
                    continue;
                lanes[count] = t;
                whole[count] = row + (column == tile_columns - 1);
                at[count++] = row * TILE * down + column * TILE * right;
            }
            if (count == 0)
                continue;
            for (int c = 0; c < channels; c++)
                load_inputs(planes + c * TILE * TILE * plane, plane, pitch, first,
                            inputs + c * ALPHA * VW, column_step);
            for (int begin = 0; begin < count; begin += RUN) {
                const int run = min(count - begin, RUN), there = whole[begin + run - 1];
                const int ready = there == tall
                                      ? end_output
                                      : min(pooled_of((first_row + there) * TILE), end_output);
                SCRATCH const float *in[RUN];
                for (int t = 0; t < RUN; t++)
                    in[t] = inputs + lanes[min(begin + t, count - 1)];
                for (int k = first_k; k < end_k; k += VW) {
                    const floatv bias_k =
                        bias_base ? load_lanes(AT(bias) + k, filters - k) : (floatv)(0);
                    floatv partway[RUN][TILE * ALPHA]; /* A^T M */
                    fetch_pooled(to + k - first_k, y_down, y_right, pooled, ready, output_columns);
                    multiply_run(in, AT(filter) + (long)k * POSITIONS * channels, column_step,
                                 channels, run, partway);
                    for (int t = 0; t < run; t++)
                        keep_tile(partway[t], bias_k, least, between + at[begin + t] + k - first_k,
                                  down, right);
                }
                pool_rows(between - first_row * TILE * down, down, right, between_rows,
                          between_columns, pooled, ready, output_columns, end_k - first_k, to,
                          y_down, y_right, winners_to, filters);
                pooled = max(pooled, ready);
            }
        }
    }
}

#endif
