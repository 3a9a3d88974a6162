/*
 * Winograd convolution for CPUs (winograd.cl.h has the formulas). The time goes into the products of
 * matrices, one for each of the ALPHA^2 positions.
 *
 * A work-item is a group of its own. It takes a chunk of tiles through all steps, so that what is
 * between them (its scratch memory) stays in the cache. Tiles count through all images; those that
 * hang over an image's edge read zeros and store what is inside. Tensors are [image, row, column,
 * channel] with strides in elements: _image, _down and _right. Channel counts are multiples of VW.
 */
#pragma OPENCL FP_CONTRACT OFF /* the same bits however many rows of positions a group takes */

#include "winograd.cl.h"

/* Tiles beside each other whose inputs are transformed together, at most, and columns of these:
 * what B^T makes of a column serves both tiles that it belongs to. */
#define RUN_TILES 2
#define RUN_COLUMNS (RUN_TILES * TILE + WINDOW - 1)

/* Floats of a run's inputs that the first cache keeps until they are used, while others go through
 * it. Of more they are in each other's way there, above all where rows are a power of two apart. */
#define NEAR_FLOATS 3072

/* sums[m] += a[m * a_row + t * a_step] * b[t * b_step ...] for each t below count, with an `extra`
 * statement each; moves the pointers a and b, of any address space. */
#define MULTIPLY(sums, a, a_row, a_step, b, b_step, count, extra)                                  \
    for (int t_ = 0; t_ < (count); t_++) {                                                         \
        floatv shared[TILE_VECTORS];                                                               \
        UNROLL for (int v = 0; v < TILE_VECTORS; v++) shared[v] = vloadv(v, b);                    \
        UNROLL for (int m = 0; m < TILE_ROWS; m++) {                                               \
            const floatv factor = (floatv)((a)[m * (a_row)]);                                      \
            UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] =                             \
                FMA(factor, shared[v], sums[m][v]);                                                \
        }                                                                                          \
        extra;                                                                                     \
        a += (a_step);                                                                             \
        b += (b_step);                                                                             \
    }

/* Where a tile is: its image, and its row and column of tiles. */
typedef struct place {
    long image;
    int row, column;
} place;

static inline place place_of(const long tile, const int tile_rows, const int tile_columns) {
    const place at = {tile / tile_columns / tile_rows, (int)(tile / tile_columns % tile_rows),
                      (int)(tile % tile_columns)};
    return at;
}

/* How far ahead the first pixel of tile `next` is of that of tile `at`. */
static inline long distance(const place at, const place next, const long image, const long down,
                            const long right) {
    return (next.image - at.image) * image + (long)(next.row - at.row) * TILE * down +
           (long)(next.column - at.column) * TILE * right;
}

/*
 * The rows taken of B^T X B of VW channels of a run of tiles beside each other, whose first input
 * is (row, column) of an image; what lies outside the image is 0. Position p of tile t goes to
 * out[t * out_tile + p * out_position]. Asks for the inputs that are `ahead` of these, the first
 * `known` columns excepted.
 */
static inline void load_inputs(__global const float *image, const long down, const long right,
                               const int rows, const int columns, const int row, const int column,
                               const int run, const int first_pair, const long ahead,
                               const int known, const bool is_near, SCRATCH float *out,
                               const int out_tile, const int out_position) {
    floatv partway[ROWS_TAKEN * RUN_COLUMNS]; /* B^T X */
    for (int j = 0; j < run * TILE + WINDOW - 1; j++) {
        floatv x[ALPHA];
        const bool inside = column + j >= 0 && column + j < columns;
        __global const float *from = image + row * down + (column + j) * right;
        UNROLL for (int i = 0; i < ALPHA; i++) x[i] =
            inside && row + i >= 0 && row + i < rows ? vloadv(0, from + i * down) : (floatv)(0);
        if (j >= known && is_near)
            ASK_FOR_COLUMN(PREFETCH, from + ahead, down, ALPHA);
        else if (j >= known)
            ASK_FOR_COLUMN(PREFETCH_TO_L2, from + ahead, down, ALPHA);
        transform_input_rows(x, first_pair, partway + j, RUN_COLUMNS);
    }
    for (int t = 0; t < run; t++, out += out_tile)
        for (int i = 0; i < ROWS_TAKEN; i++) {
            floatv transformed[ALPHA];
            transform_input(partway + i * RUN_COLUMNS + t * TILE, transformed);
            UNROLL for (int j = 0; j < ALPHA; j++)
                KEEP(transformed[j], out + (i * ALPHA + j) * out_position);
        }
}

/* A^T M of VW channels of a tile, whose position p is at in[p * in_position]. */
static inline void half_of_outputs(SCRATCH const float *in, const int in_position,
                                   floatv partway[TILE * ALPHA]) {
    for (int j = 0; j < ALPHA; j++) {
        floatv x[ALPHA], transformed[TILE];
        UNROLL for (int i = 0; i < ALPHA; i++) x[i] =
            vloadv(0, in + (i * ALPHA + j) * in_position);
        interpolate(x, TILE, transformed);
        UNROLL for (int i = 0; i < TILE; i++) partway[i * ALPHA + j] = transformed[i];
    }
}

/* act(A^T M A + bias) of VW channels of a tile, stored or streamed to (row, column) on of an image
 * as far as it is inside. If stored, asks for what is `ahead` of it. */
static inline void store_outputs(SCRATCH const float *in, const int in_position, const floatv bias,
                                 const int relu, const bool streams, __global float *image,
                                 const long down, const long right, const int rows,
                                 const int columns, const int row, const int column,
                                 const long ahead) {
    floatv partway[TILE * ALPHA];
    half_of_outputs(in, in_position, partway);
    for (int i = 0; i < TILE && row + i < rows; i++) {
        floatv y[TILE];
        interpolate(partway + i * ALPHA, TILE, y);
        __global float *to = image + (row + i) * down + column * right;
        if (!streams)
            ASK_FOR_COLUMN(PREFETCH_TO_WRITE, to + ahead, right, TILE);
        UNROLL for (int j = 0; j < TILE; j++) {
            const floatv sum = y[j] + bias;
            const floatv value = relu ? select(sum, (floatv)(0), sum <= 0) : sum;
            if (column + j < columns && streams)
                STREAM(value, to + j * right);
            else if (column + j < columns)
                STORE(value, to + j * right);
        }
    }
}

/*
 * The transformed filter G F G^T: out[block][position][input channel][TILE_WIDTH]. Tap t of input
 * channel c and of a block of output channels is at
 * filter[t * tap_step + c * channel_step + block * block_step]. Items (input channel, block).
 */
KERNEL void winograd_filter(IN(filter), const long tap_step, const long channel_step,
                            const long block_step, OUT(transformed), const int channels) {
    const int c = get_global_id(0), block = get_global_id(1);
    __global const float *from = AT(filter) + c * channel_step + block * block_step;
    __global float *to =
        AT(transformed) + ((long)block * POSITIONS * channels + c) * TILE_WIDTH;
    for (int v = 0; v < TILE_VECTORS; v++) {
        floatv partway[ALPHA * WINDOW]; /* G F */
        for (int s = 0; s < WINDOW; s++) {
            floatv f[WINDOW], column[ALPHA];
            UNROLL for (int r = 0; r < WINDOW; r++) f[r] =
                vloadv(v, from + (r * WINDOW + s) * tap_step);
            evaluate(f, WINDOW, column);
            UNROLL for (int i = 0; i < ALPHA; i++) partway[i * WINDOW + s] = column[i];
        }
        for (int i = 0; i < ALPHA; i++) {
            floatv row[ALPHA];
            evaluate(partway + i * WINDOW, WINDOW, row);
            UNROLL for (int j = 0; j < ALPHA; j++)
                STORE(row[j] * (scale(i) * scale(j)),
                      to + (long)(i * ALPHA + j) * channels * TILE_WIDTH + v * VW);
        }
    }
}

/* The products of a chunk's `count` tiles with a block of the filter. */
static inline void multiply_block(SCRATCH const float *in, const int in_position,
                                  __global const float *panel, const int channels, const int count,
                                  SCRATCH float *product, const int product_position) {
    for (int p = 0; p < POSITIONS; p++) {
        for (int t = 0; t < count; t += TILE_ROWS) { /* surplus rows are never stored */
            floatv sums[TILE_ROWS][TILE_VECTORS];
            UNROLL for (int m = 0; m < TILE_ROWS; m++)
                UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] = (floatv)(0);
            SCRATCH const float *a = in + p * in_position + t * channels;
            __global const float *b = panel + (long)p * channels * TILE_WIDTH;
            /* Of the next position's filter, each tile asks for a column of vectors. */
            const int ahead = channels * TILE_WIDTH + min(t / TILE_ROWS, TILE_VECTORS - 1) * VW;
            MULTIPLY(sums, a, channels, 1, b, TILE_WIDTH, channels, ASK_FOR(b + ahead));
            SCRATCH float *to = product + p * product_position + t * TILE_WIDTH;
            UNROLL for (int m = 0; m < TILE_ROWS; m++)
                UNROLL for (int v = 0; v < TILE_VECTORS; v++)
                    KEEP(sums[m][v], to + m * TILE_WIDTH + v * VW);
        }
    }
}

/* load_inputs() of the `count` tiles from tile `first` on, to [position][tile][channel]. */
static inline void load_chunk(__global const float *x, const long x_image, const long x_down,
                              const long x_right, const int rows, const int columns, const int top,
                              const int left, const int channels, const int tile_rows,
                              const int tile_columns, const long tiles, const long first,
                              const int count, const int first_pair, SCRATCH float *in,
                              const int in_position) {
    const bool is_near = ALPHA * RUN_COLUMNS * channels <= NEAR_FLOATS;
    int run;
    for (int t = 0; t < count; t += run) {
        const place at = place_of(first + t, tile_rows, tile_columns);
        run = min(min(RUN_TILES, count - t), tile_columns - at.column);
        const place next = place_of(min(first + t + run, tiles - 1), tile_rows, tile_columns);
        for (int c = 0; c < channels; c += VW)
            load_inputs(x + at.image * x_image + c, x_down, x_right, rows, columns,
                        at.row * TILE - top, at.column * TILE - left, run, first_pair,
                        distance(at, next, x_image, x_down, x_right),
                        next.column > 0 ? WINDOW - 1 : 0, is_near, in + t * channels + c, channels,
                        in_position);
    }
}

/*
 * y = act(conv(x) + bias). A group takes chunks of chunk_tiles tiles (a multiple of TILE_ROWS) of
 * the `tiles` tiles of all images, get_num_groups(0) apart, through part_blocks blocks of output
 * channels (dimension 1: parts of so many). Its scratch memory, scratch_group floats, holds the
 * transformed inputs [position][tile][channel] and the products of one block [position][tile][TILE_WIDTH], with gaps
 * between positions so that they do not all fall on the same sets of the cache. is_large: y may be
 * streamed, which its alignment must allow too.
 */
KERNEL void winograd_forward(IN(x), const long x_image, const long x_down, const long x_right,
                             IN(filter), IN(bias), OUT(y), const long y_image, const long y_down,
                             const long y_right, INOUT(scratch), const long scratch_group,
                             const int rows, const int columns, const int top, const int left,
                             const int channels, const int output_rows, const int output_columns,
                             const int tile_rows, const int tile_columns, const long tiles,
                             const int chunk_tiles, const int part_blocks, const int relu,
                             const int is_large) {
    const bool streams =
        CAN_STREAM && is_large &&
        ((size_t)AT(y) / sizeof(float) | y_image | y_down | y_right) % VW == 0;
    const int in_position = chunk_tiles * channels + 16;
    const int product_position = chunk_tiles * TILE_WIDTH + 16;
    const int first_block = get_group_id(1) * part_blocks;
    TAKE_SCRATCH(in, get_group_id(1) * get_num_groups(0) + get_group_id(0));
    SCRATCH float *product = in + POSITIONS * in_position;
    const long step = get_num_groups(0) * (long)chunk_tiles;
    for (long first = get_group_id(0) * (long)chunk_tiles; first < tiles; first += step) {
        const int count = (int)min((long)chunk_tiles, tiles - first);
        load_chunk(AT(x), x_image, x_down, x_right, rows, columns, top, left, channels, tile_rows,
                   tile_columns, tiles, first, count, 0, in, in_position);
        for (int block = first_block; block < first_block + part_blocks; block++) {
            __global const float *panel =
                AT(filter) + (long)block * POSITIONS * channels * TILE_WIDTH;
            multiply_block(in, in_position, panel, channels, count, product, product_position);
            place at = place_of(first, tile_rows, tile_columns);
            for (int t = 0; t < count; t++) {
                const place next =
                    place_of(first + min(t + 1, count - 1), tile_rows, tile_columns);
                for (int v = 0; v < TILE_VECTORS; v++) {
                    const int k = block * TILE_WIDTH + v * VW;
                    store_outputs(product + t * TILE_WIDTH + v * VW, product_position,
                                  bias_base ? vloadv(0, AT(bias) + k) : (floatv)(0), relu,
                                  streams, AT(y) + at.image * y_image + k, y_down, y_right,
                                  output_rows, output_columns, at.row * TILE, at.column * TILE,
                                  distance(at, next, y_image, y_down, y_right));
                }
                at = next;
            }
        }
    }
    if (streams)
        STREAMED();
}

#if POOL_KH

/* act(A^T M A + bias) of VW channels of a tile, kept for the pool. */
static inline void keep_outputs(SCRATCH const float *in, const int in_position, const floatv bias,
                                const int relu, SCRATCH float *to, const int down,
                                const int right) {
    floatv partway[TILE * ALPHA];
    half_of_outputs(in, in_position, partway);
    for (int i = 0; i < TILE; i++, to += down) {
        floatv y[TILE];
        interpolate(partway + i * ALPHA, TILE, y);
        UNROLL for (int j = 0; j < TILE; j++) {
            const floatv sum = y[j] + bias;
            KEEP(relu ? select(sum, (floatv)(0), sum <= 0) : sum, to + j * right);
        }
    }
}

/*
 * y = max pool(act(conv(x) + bias)). A group takes run_images images, get_num_groups(0) runs apart,
 * in chunks of tiles as winograd_forward does, and of the output channels a part of part_blocks
 * blocks (dimension 1). Scratch memory also holds the part's channels of `kept` images' outputs,
 * [image % kept][row][column][channel], whole tiles: of as many images as a chunk and what it
 * completes may be of. They are pooled as soon as enough of them is there. winners: as max_pool in
 * pool.cl writes them; may be absent.
 */
KERNEL void winograd_pool(IN(x), const long x_image, const long x_down, const long x_right,
                          IN(filter), IN(bias), OUT(y), const long y_image, const long y_down,
                          const long y_right, OUT_BYTES(winners), INOUT(scratch),
                          const long scratch_group, const int rows, const int columns,
                          const int top, const int left, const int channels,
                          const int between_rows, const int between_columns, const int output_rows,
                          const int output_columns, const int tile_rows, const int tile_columns,
                          const long tiles, const int chunk_tiles, const int part_blocks,
                          const int run_images, const int kept, const int relu) {
    const int in_position = chunk_tiles * channels + 16;
    const int product_position = chunk_tiles * TILE_WIDTH + 16;
    const int part = get_group_id(1);
    TAKE_SCRATCH(in, part * get_num_groups(0) + get_group_id(0));
    SCRATCH float *product = in + POSITIONS * in_position;
    SCRATCH float *between = product + POSITIONS * product_position;
    const int image_tiles = tile_rows * tile_columns;
    /* Output channels, those of the part, and the first of them */
    const int part_filters = part_blocks * TILE_WIDTH, filters = part_filters * get_num_groups(1);
    const int first_k = part * part_filters, down = tile_columns * TILE * part_filters;
    const long run_tiles = (long)run_images * image_tiles;
    for (long run = get_group_id(0) * run_tiles; run < tiles;
         run += get_num_groups(0) * run_tiles) {
        const long end = min(run + run_tiles, tiles);
        long image = run / image_tiles; /* those before are pooled, and of it, so many rows */
        int pooled = 0;
        for (long first = run; first < end; first += chunk_tiles) {
            const int count = (int)min((long)chunk_tiles, end - first);
            load_chunk(AT(x), x_image, x_down, x_right, rows, columns, top, left, channels,
                       tile_rows, tile_columns, tiles, first, count, 0, in, in_position);
            for (int k = 0; k < part_filters; k += TILE_WIDTH) {
                multiply_block(in, in_position,
                               AT(filter) + (long)(first_k + k) * POSITIONS * channels, channels,
                               count, product, product_position);
                for (int t = 0; t < count; t++) {
                    const place at = place_of(first + t, tile_rows, tile_columns);
                    SCRATCH float *to = between +
                                        ((int)(at.image % kept) * tile_rows + at.row) * TILE * down +
                                        at.column * TILE * part_filters + k;
                    for (int v = 0; v < TILE_WIDTH; v += VW)
                        keep_outputs(product + t * TILE_WIDTH + v, product_position,
                                     bias_base ? vloadv(0, AT(bias) + first_k + k + v)
                                               : (floatv)(0),
                                     relu, to + v, down, part_filters);
                }
            }
            const place last = place_of(first + count, tile_rows, tile_columns); /* behind it */
            for (; image <= last.image && image * image_tiles < end; image++) {
                const int ready = image < last.image
                                      ? output_rows
                                      : min(pooled_of(last.row * TILE), output_rows);
                pool_rows(between + (int)(image % kept) * tile_rows * TILE * down, down,
                          part_filters, between_rows, between_columns, pooled, ready,
                          output_columns, part_filters, AT(y) + image * y_image + first_k, y_down,
                          y_right,
                          winners_base ? AT(winners) + first_k +
                                             image * output_rows * output_columns * filters
                                       : 0,
                          filters);
                pooled = max(pooled, ready);
                if (image == last.image)
                    break;
                pooled = 0;
            }
        }
    }
}

#endif

/*
 * Partial sums of the filter gradient, transformed:
 * partials[split][block][part][position][channel of the part][TILE_WIDTH]. A group computes them
 * for a block of output channels (dimension 0); a part of part_channels input channels, a multiple
 * of VW, and ROW_PAIRS pairs of rows of positions (dimension 1: ROW_PARTS groups a part); and an
 * equal share of the tiles (dimension 2: splits), in chunks of chunk_tiles. scratch: of each group
 * scratch_group floats.
 */
KERNEL void winograd_filter_grad(IN(x), const long x_image, const long x_down, const long x_right,
                                 IN(dy), const long dy_image, const long dy_down,
                                 const long dy_right, OUT(partials), INOUT(scratch),
                                 const long scratch_group, const int rows, const int columns,
                                 const int top, const int left, const int part_channels,
                                 const int output_rows, const int output_columns,
                                 const int tile_rows, const int tile_columns, const long tiles,
                                 const int chunk_tiles) {
    const int block = get_group_id(0), split = get_group_id(2);
    const int part = get_group_id(1) / ROW_PARTS, parts = get_num_groups(1) / ROW_PARTS;
    const int first_pair = get_group_id(1) % ROW_PARTS * ROW_PAIRS;
    const int splits = get_num_groups(2);
    const long sums_at = ((long)split * get_num_groups(0) + block) * parts + part;
    const int in_position = chunk_tiles * part_channels + 16;
    const int out_position = chunk_tiles * TILE_WIDTH + 16;
    TAKE_SCRATCH(in, sums_at * ROW_PARTS + get_group_id(1) % ROW_PARTS);
    SCRATCH float *out = in + ROWS_TAKEN * ALPHA * in_position;
    __global const float *x_part = AT(x) + part * part_channels;
    __global const float *dy_block = AT(dy) + block * TILE_WIDTH;
    __global float *sums_of_part = AT(partials) + sums_at * POSITIONS * part_channels * TILE_WIDTH;
    const long end = tiles * (split + 1) / splits;
    bool is_first = true;
    for (long first = tiles * split / splits; first < end; first += chunk_tiles) {
        const int count = (int)min((long)chunk_tiles, end - first);
        load_chunk(x_part, x_image, x_down, x_right, rows, columns, top, left, part_channels,
                   tile_rows, tile_columns, tiles, first, count, first_pair, in, in_position);
        place at = place_of(first, tile_rows, tile_columns);
        for (int t = 0; t < count; t++) {
            const place next = place_of(min(first + t + 1, tiles - 1), tile_rows, tile_columns);
            for (int v = 0; v < TILE_WIDTH; v += VW) {
                load_outputs(dy_block + at.image * dy_image + v, dy_down, dy_right, output_rows,
                             output_columns, at.row * TILE, at.column * TILE, first_pair,
                             distance(at, next, dy_image, dy_down, dy_right),
                             out + t * TILE_WIDTH + v, out_position);
            }
            at = next;
        }
        for (int p = 0; p < ROWS_TAKEN * ALPHA; p++) {
            const int position = row_taken(first_pair, p / ALPHA) * ALPHA + p % ALPHA;
            __global float *sums_of_position =
                sums_of_part + (long)position * part_channels * TILE_WIDTH;
            for (int c = 0; c < part_channels; c += TILE_ROWS) {
                floatv sums[TILE_ROWS][TILE_VECTORS];
                UNROLL for (int m = 0; m < TILE_ROWS; m++)
                    UNROLL for (int v = 0; v < TILE_VECTORS; v++) sums[m][v] = (floatv)(0);
                SCRATCH const float *a = in + p * in_position + c, *b = out + p * out_position;
                MULTIPLY(sums, a, 1, part_channels, b, TILE_WIDTH, count, (void)0);
                store_sums(sums, min(part_channels - c, TILE_ROWS), !is_first,
                           sums_of_position + c * TILE_WIDTH);
            }
        }
        is_first = false;
    }
}

/* dF = G^T (sum over splits of the partial sums) G: items (input channel, block of output
 * channels). `parts` parts of part_channels input channels; `filters` output channels. */
KERNEL void winograd_filter_sum(IN(partials), OUT(dfilter), const int part_channels,
                                const int parts, const int filters, const int splits) {
    const int c = get_global_id(0), block = get_global_id(1);
    const int part = c / part_channels, blocks = filters / TILE_WIDTH;
    const long position_step = (long)part_channels * TILE_WIDTH;
    const long split_step = position_step * POSITIONS * blocks * parts;
    __global const float *from = AT(partials) +
                                 ((long)block * parts + part) * POSITIONS * position_step +
                                 (long)(c % part_channels) * TILE_WIDTH;
    __global float *to = AT(dfilter) + (long)c * filters + block * TILE_WIDTH;
    const long tap_step = (long)part_channels * parts * filters;
    for (int v = 0; v < TILE_VECTORS; v++) {
        floatv partway[WINDOW * ALPHA]; /* G^T of the sum */
        for (int j = 0; j < ALPHA; j++) {
            floatv x[ALPHA], column[WINDOW];
            UNROLL for (int i = 0; i < ALPHA; i++) {
                __global const float *position = from + (i * ALPHA + j) * position_step;
                floatv sum = vloadv(v, position);
                for (int split = 1; split < splits; split++)
                    sum += vloadv(v, position + split * split_step);
                x[i] = sum * (scale(i) * scale(j));
            }
            interpolate(x, WINDOW, column);
            UNROLL for (int r = 0; r < WINDOW; r++) partway[r * ALPHA + j] = column[r];
        }
        for (int r = 0; r < WINDOW; r++) {
            floatv row[WINDOW];
            interpolate(partway + r * ALPHA, WINDOW, row);
            UNROLL for (int s = 0; s < WINDOW; s++)
                STORE(row[s], to + (r * WINDOW + s) * tap_step + v * VW);
        }
    }
}
