/*
 * Max and average pooling and their gradients. Window and stride are constants, so that the loops
 * over a window in the image's interior unroll; extents and strides are arguments. On a CPU an item
 * takes a row, or item_pixels of it (outputs forward, inputs backward), on a GPU one vector of
 * channels of a pixel. All are bound by memory.
 */

/* Window height and width, strides of rows and columns. */
#ifndef KH
#define KH 2
#endif
#ifndef KW
#define KW 2
#endif
#ifndef SH
#define SH 2
#endif
#ifndef SW
#define SW 2
#endif

/* Defined only where a driver breaks long loops off: the channels of a CPU's item, a multiple of VEC;
 * a row's parts are as many times more. */
#ifdef ITEM_CHANNELS
#define CHANNEL_PARTS ((channels + ITEM_CHANNELS - 1) / ITEM_CHANNELS)
#define FIRST_CHANNEL ((int)get_global_id(0) % CHANNEL_PARTS * ITEM_CHANNELS)
#define END_CHANNEL min(FIRST_CHANNEL + ITEM_CHANNELS, channels)
#define PIXEL_PART ((int)get_global_id(0) / CHANNEL_PARTS)
#else
#define FIRST_CHANNEL 0
#define END_CHANNEL channels
#define PIXEL_PART ((int)get_global_id(0))
#endif

/* A tensor argument with the elements between its images, rows and pixels. */
#define IMAGES(name)                                                                               \
    IN(name), const long name##_image, const int name##_row, const int name##_pixel
#define IMAGES_OUT(name)                                                                           \
    OUT(name), const long name##_image, const int name##_row, const int name##_pixel
/* The first element of the item's image. */
#define IMAGE(name) (AT(name) + (long)get_global_id(2) * name##_image)

/* The extents, the same in every kernel. */
#define EXTENTS                                                                                    \
    const int height, const int width, const int channels, const int out_height,                  \
        const int out_width, const int top, const int left, const int item_pixels

/* The item's part of a row of `pixels` pixels: EACH_COLUMN { EACH_VECTOR { column, c } }. On a GPU
 * neighbouring items have neighbouring channels, then neighbouring pixels: memory is read and written
 * in whole lines. */
#if OCE_CPU
#define ITEM_PART(pixels)                                                                          \
    int column = PIXEL_PART * item_pixels;                                                         \
    const int column_end = min(column + item_pixels, pixels)
#define EACH_COLUMN for (; column < column_end; column++)
#define EACH_VECTOR for (int c = FIRST_CHANNEL; c < END_CHANNEL; c += VEC)
#else
#define ITEM_PART(pixels)                                                                          \
    const uint vectors = (uint)channels / VEC;                                                     \
    const int column = (int)((uint)get_global_id(0) / vectors), column_end = pixels;               \
    const int c = (int)((uint)get_global_id(0) % vectors) * VEC
#define EACH_COLUMN if (column < column_end)
#define EACH_VECTOR
#endif
#define ITEM_ROW ((int)get_global_id(1))

/* VEC winners, a byte each. VEC divides the channels, so they lie at a multiple of their size. */
#if VEC == 1
#define LOAD_WINNERS(p) ((int)*(p))
#define STORE_WINNERS(v, p) (*(p) = (uchar)(v))
#else
#define bytes_vec OCE_JOIN(uchar, VEC)
#define LOAD_WINNERS(p) OCE_JOIN(convert_int, VEC)(*(__global const bytes_vec *)(p))
#define STORE_WINNERS(v, p) (*(__global bytes_vec *)(p) = OCE_JOIN(convert_uchar, VEC)(v))
#endif

/* ---- Forward --------------------------------------------------------------------------------- */

/* The rows r0..r1-1 and columns s0..s1-1 of a window that are in the image. */
typedef struct part {
    int r0, r1, s0, s1;
} part;

part part_of(const int i, const int j, const int height, const int width, const int top,
             const int left) {
    part p;
    p.r0 = max(0, top - i * SH);
    p.r1 = min(KH, height + top - i * SH);
    p.s0 = max(0, left - j * SW);
    p.s1 = min(KW, width + left - j * SW);
    return p;
}

int is_whole(const part p) {
    return p.r0 == 0 && p.r1 == KH && p.s0 == 0 && p.s1 == KW;
}

/* Unrolls the loops over a whole window, unless it is large. */
#if KH * KW <= 25
#define UNROLL_WINDOW UNROLL
#else
#define UNROLL_WINDOW
#endif

/* PoCL calls a function of this size, and passes the vectors through memory. */
#define ALWAYS_INLINE __attribute__((always_inline))

typedef struct maximum {
    vecf value;
    veci position;
} maximum;

ALWAYS_INLINE maximum take_larger(maximum m, __global const float *x, const int position) {
    const vecf candidate = LOADV(x);
    const veci wins = m.value < candidate; /* false for equals and for NaN: the earlier one stays */
    m.value = select(m.value, candidate, wins);
    m.position = select(m.position, (veci)(position), wins);
    return m;
}

/* The maximum of a whole window, whose element (0,0) is at x. */
ALWAYS_INLINE maximum max_of_window(__global const float *x, const int x_row, const int x_pixel) {
    maximum m;
    m.value = LOADV(x);
    m.position = (veci)(0);
    UNROLL_WINDOW
    for (int r = 0; r < KH; r++)
        UNROLL_WINDOW
        for (int s = 0; s < KW; s++)
            if (r + s > 0)
                m = take_larger(m, x + r * x_row + s * x_pixel, r * KW + s);
    return m;
}

/* The maximum of the part of the window that is in the image. */
ALWAYS_INLINE maximum max_of_part(__global const float *x, const int x_row, const int x_pixel,
                                  const part p) {
    maximum m;
    m.value = LOADV(x + p.r0 * x_row + p.s0 * x_pixel);
    m.position = (veci)(p.r0 * KW + p.s0);
    for (int r = p.r0; r < p.r1; r++)
        for (int s = p.s0; s < p.s1; s++)
            m = take_larger(m, x + r * x_row + s * x_pixel, r * KW + s);
    return m;
}

/* winners: a byte an output, dense; may be absent. An output costs 4 * SH * SW bytes of input (once
 * from memory; overlapping windows come from the cache), 5 bytes of output and KH * KW - 1
 * comparisons: 0.14 flop/byte for 2x2 windows, 0.38 for 3x3 with stride 2. */
KERNEL void max_pool(IMAGES(x), IMAGES_OUT(y), OUT_BYTES(winners), EXTENTS) {
    const int i = ITEM_ROW;
    __global uchar *winners = winners_base != 0 ? AT(winners) : 0;
    __global const float *x = IMAGE(x) + (i * SH - top) * x_row;
    __global float *y = IMAGE(y) + i * y_row;
    const ulong row = (get_global_id(2) * out_height + i) * out_width;
    ITEM_PART(out_width);
    EACH_COLUMN {
        const part p = part_of(i, column, height, width, top, left);
        const int whole = is_whole(p);
        __global const float *window = x + (column * SW - left) * x_pixel;
        EACH_VECTOR {
            maximum m;
            if (whole)
                m = max_of_window(window + c, x_row, x_pixel);
            else
                m = max_of_part(window + c, x_row, x_pixel, p);
            STOREV(m.value, y + column * y_pixel + c);
            if (winners != 0)
                STORE_WINNERS(m.position, winners + (row + column) * channels + c);
        }
    }
}

/* As max_pool, without winners. */
KERNEL void average_pool(IMAGES(x), IMAGES_OUT(y), EXTENTS) {
    const int i = ITEM_ROW;
    __global const float *x = IMAGE(x) + (i * SH - top) * x_row;
    __global float *y = IMAGE(y) + i * y_row;
    ITEM_PART(out_width);
    EACH_COLUMN {
        const part p = part_of(i, column, height, width, top, left);
        const float count = (float)((p.r1 - p.r0) * (p.s1 - p.s0));
        __global const float *window = x + (column * SW - left) * x_pixel;
        EACH_VECTOR {
            vecf sum = (vecf)(0);
            for (int r = p.r0; r < p.r1; r++) {
                int s = p.s0;
#ifdef ITEM_CHANNELS /* fewer rounds, in the same order */
                for (; s + 8 <= p.s1; s += 8)
                    UNROLL for (int k = 0; k < 8; k++) sum +=
                        LOADV(window + r * x_row + (s + k) * x_pixel + c);
#endif
                for (; s < p.s1; s++)
                    sum += LOADV(window + r * x_row + s * x_pixel + c);
            }
            STOREV(sum / count, y + column * y_pixel + c);
        }
    }
}

/* ---- Backward -------------------------------------------------------------------------------- */

/* The first and the last window along an axis that hold the input at place `at`, padding counted. */
#define FIRST_WINDOW(at, size, stride) (max(at - size + stride, 0) / stride)
#define LAST_WINDOW(at, stride, count) min(at / stride, count - 1)

/* Windows of so many columns, at most, keep a sum for each in registers. */
#define MOST_COLUMNS 8

#if OCE_CPU && KW <= MOST_COLUMNS

/* Channel vectors whose sums are kept side by side, at most. */
#if VEC == 16 && KW <= 4
#define SIDE 4
#else
#define SIDE 1
#endif

/* Loops with literal ends: with others, PoCL keeps the sums that they index in memory. */
#define EACH_SIDE UNROLL for (int v = 0; v < SIDE; v++) if (v < side)
#define EACH_SUM UNROLL for (int s = 0; s < KW; s++) UNROLL for (int v = 0; v < SIDE; v++)

/* What a part of a row of inputs gets, and its window rows. */
typedef struct row_part {
    __global const float *dy;
    __global const uchar *winners;
    __global const float *y;
    __global float *dx;
    int dy_row, dy_pixel, y_row, y_pixel, dx_pixel, channels, out_width;
    int left, from_top, i0, i1, j0, j1, column, column_end;
} row_part;

/* Stores the first `count` of the sums of columns at, at+1 ... as far as they belong to the part,
 * and moves the others to their place. */
#define STORE_SUMS(count)                                                                          \
    do {                                                                                           \
        UNROLL                                                                                     \
        for (int s = 0; s < (count); s++)                                                          \
            if (at + s >= p.column && at + s < p.column_end)                                       \
                EACH_SIDE STOREV(s < KW ? sums[s % KW][v] : (vecf)(0),                             \
                                 p.dx + (at + s) * p.dx_pixel + c + v * VEC);                      \
        EACH_SUM sums[s][v] = s + (count) < KW ? sums[(s + (count)) % KW][v] : (vecf)(0);          \
    } while (0)

/* The channels from c on, `side` vectors. */
ALWAYS_INLINE void sum_columns(const row_part p, const int c, const int side, const int relu) {
    vecf sums[KW][SIDE];
    EACH_SUM sums[s][v] = (vecf)(0);
    int at = p.j0 * SW - p.left; /* the column of sums[0] */
    for (int i = p.column; i < min(p.column_end, at); i++)
        EACH_SIDE STOREV((vecf)(0), p.dx + i * p.dx_pixel + c + v * VEC);
    for (int j = p.j0; j <= p.j1; j++, at += SW) {
        for (int i = p.i0; i <= p.i1; i++)
            EACH_SIDE {
                const int k = c + v * VEC;
                /* 0..KW-1 where it lies in this row */
                const veci place =
                    LOAD_WINNERS(p.winners + (i * p.out_width + j) * p.channels + k) -
                    (veci)((p.from_top - i * SH) * KW);
                vecf g = LOADV(p.dy + i * p.dy_row + j * p.dy_pixel + k);
                if (relu)
                    g = select((vecf)(0), g,
                               LOADV(p.y + i * p.y_row + j * p.y_pixel + k) > (vecf)(0));
                UNROLL
                for (int s = 0; s < KW; s++)
                    sums[s][v] += select((vecf)(0), g, place == (veci)(s));
            }
        STORE_SUMS(SW);
    }
    for (; at < p.column_end; at += KW)
        STORE_SUMS(KW);
}

/* Each input adds up, window after window from left to right, the gradient of those that it won;
 * with `relu`, of those whose output is also positive. A window and what it won is read once for
 * each input row; the columns that later windows reach too stay in registers. */
void gather_max(__global const float *dy, const int dy_row, const int dy_pixel,
                __global const uchar *winners, __global const float *y, const int y_row,
                const int y_pixel, __global float *dx, const int dx_pixel, const int channels,
                const int out_height, const int out_width, const int width, const int top,
                const int left, const int item_pixels, const int relu) {
    const int from_top = ITEM_ROW + top;
    ITEM_PART(width);
    const row_part p = {dy, winners, y, dx, dy_row, dy_pixel, y_row, y_pixel, dx_pixel, channels,
                        out_width, left, from_top, FIRST_WINDOW(from_top, KH, SH),
                        LAST_WINDOW(from_top, SH, out_height),
                        min(FIRST_WINDOW(column + left, KW, SW), out_width),
                        LAST_WINDOW(column_end - 1 + left, SW, out_width), column, column_end};
    for (int c = FIRST_CHANNEL; c < END_CHANNEL; c += SIDE * VEC)
        sum_columns(p, c, min(SIDE, (END_CHANNEL - c) / VEC), relu);
}

#else

/* Each input adds up, window after window, the gradient of those that it won; with `relu`, of those
 * whose output is also positive. For an input, 5 / (SH * SW) bytes of gradients and winners (9 with
 * `relu`) come from memory once and 4 go there, for an addition or two: 0.3 flop/byte. */
void gather_max(__global const float *dy, const int dy_row, const int dy_pixel,
                __global const uchar *winners, __global const float *y, const int y_row,
                const int y_pixel, __global float *dx, const int dx_pixel, const int channels,
                const int out_height, const int out_width, const int width, const int top,
                const int left, const int item_pixels, const int relu) {
    const int from_top = ITEM_ROW + top;
    const int i0 = FIRST_WINDOW(from_top, KH, SH), i1 = LAST_WINDOW(from_top, SH, out_height);
    ITEM_PART(width);
    EACH_COLUMN {
        const int from_left = column + left;
        const int j0 = FIRST_WINDOW(from_left, KW, SW), j1 = LAST_WINDOW(from_left, SW, out_width);
        EACH_VECTOR {
            vecf sum = (vecf)(0);
            for (int i = i0; i <= i1; i++)
                for (int j = j0; j <= j1; j++) {
                    const int own = (from_top - i * SH) * KW + from_left - j * SW;
                    const veci winner = LOAD_WINNERS(winners + (i * out_width + j) * channels + c);
                    veci passes = winner == (veci)(own);
                    if (relu)
                        passes &= LOADV(y + i * y_row + j * y_pixel + c) > (vecf)(0);
                    sum += select((vecf)(0), LOADV(dy + i * dy_row + j * dy_pixel + c), passes);
                }
            STOREV(sum, dx + column * dx_pixel + c);
        }
    }
}

#endif

KERNEL void max_pool_grad(IMAGES(dy), IN_BYTES(winners), IMAGES_OUT(dx), EXTENTS) {
    gather_max(IMAGE(dy), dy_row, dy_pixel,
               AT(winners) + get_global_id(2) * ((ulong)out_height * out_width * channels), 0, 0, 0,
               IMAGE(dx) + ITEM_ROW * dx_row, dx_pixel, channels, out_height, out_width, width, top,
               left, item_pixels, 0);
}

KERNEL void max_pool_relu_grad(IMAGES(dy), IN_BYTES(winners), IMAGES(y), IMAGES_OUT(dx),
                               EXTENTS) {
    gather_max(IMAGE(dy), dy_row, dy_pixel,
               AT(winners) + get_global_id(2) * ((ulong)out_height * out_width * channels), IMAGE(y),
               y_row, y_pixel, IMAGE(dx) + ITEM_ROW * dx_row, dx_pixel, channels, out_height,
               out_width, width, top, left, item_pixels, 1);
}

/* An input costs 4 / (SH * SW) bytes of gradients and 4 of its own, for an addition a window. */
KERNEL void average_pool_grad(IMAGES(dy), IMAGES_OUT(dx), EXTENTS) {
    __global const float *dy = IMAGE(dy);
    __global float *dx = IMAGE(dx) + ITEM_ROW * dx_row;
    const int from_top = ITEM_ROW + top;
    const int i0 = FIRST_WINDOW(from_top, KH, SH), i1 = LAST_WINDOW(from_top, SH, out_height);
    ITEM_PART(width);
    EACH_COLUMN {
        const int from_left = column + left;
        const int j0 = FIRST_WINDOW(from_left, KW, SW), j1 = LAST_WINDOW(from_left, SW, out_width);
        EACH_VECTOR {
            vecf sum = (vecf)(0);
            for (int i = i0; i <= i1; i++)
                for (int j = j0; j <= j1; j++) {
                    const part p = part_of(i, j, height, width, top, left);
                    const float count = (float)((p.r1 - p.r0) * (p.s1 - p.s0));
                    sum += LOADV(dy + i * dy_row + j * dy_pixel + c) / count;
                }
            STOREV(sum, dx + column * dx_pixel + c);
        }
    }
}
