/*
 * Convolution as a matrix product whose left operand is never stored, for GPUs: forward pass and
 * input gradient. C[M,N]: M the output's pixels, N its channels; K the taps and input channels.
 * A[m,k] is gathered from the input while a tile is loaded (tile.cl.h has the tile's intensity and
 * traffic); B is the filter as it lies in memory, [tap][input channel][output channel].
 *
 * The gather: 4 items read 64 consecutive bytes of one pixel's channels, their neighbours the same
 * of the next pixels. The input is read once a tile and tap, mostly from the caches, since taps
 * overlap. Divisions are made before the loop only; in it taps move on by additions with carry.
 */
#include "tile.cl.h"

/* A_ALONG_M is 0 and B_ALONG_N 1. A_VECTOR: 4 divides the channels and the input's strides. */
#if A_VECTOR
#define TAPS 1 /* of a slot: 4 channels of one */
#else
#define TAPS 4 /* each float has its own */
#endif

/* A step of the sum: a tap and one of its channels. */
typedef struct tap {
    int row, column, channel;
} tap;

/* Moves by columns and channels, fewer than the window has, and by any number of rows. */
static inline tap tap_on(tap t, const int rows, const int columns, const int steps,
                         const int window_columns, const int channels) {
    t.channel += steps;
    const int carry = t.channel >= channels;
    t.channel -= carry ? channels : 0;
    t.column += columns + carry;
    const int carry_row = t.column >= window_columns;
    t.column -= carry_row ? window_columns : 0;
    t.row += rows + carry_row;
    return t;
}

/*
 * out[pixel (image,i,j)][f] = act(bias[f] + the sum over taps (t,u) and channels c of
 * in[image][i * stride_down - top + t * tap_down][j * stride_right - left + u * tap_right][c] *
 * filter[(t * window_columns + u) * channels + c][f]), the input being 0 outside of its rows x
 * columns. m pixels, n output channels.
 *
 * The forward pass has its own strides and padding, and tap_* the dilation. The input gradient is
 * that of dY for one class of pixels of X modulo the stride: stride 1, tap_* negative, the filter
 * transposed.
 *
 * next_*: TILE_K as rows, columns and channels of taps. Groups (columns of tiles, rows of tiles).
 */
TILE_KERNEL void implicit_gemm(IN(in), const long in_image, const int in_down, const int in_right,
                               const int rows, const int columns, const int channels, IN(filter),
                               IN(bias), OUT(out), const long out_image, const long out_down,
                               const long out_right, const int out_rows, const int out_columns,
                               const int m, const int n, const int window_rows,
                               const int window_columns, const int stride_down,
                               const int stride_right, const int top, const int left,
                               const int tap_down, const int tap_right, const int next_row,
                               const int next_column, const int next_channel, const int relu) {
    const int x = get_local_id(0), y = get_local_id(1), item = y * GROUP_X + x;
    const int first_row = get_group_id(1) * TILE_M, first_column = get_group_id(0) * TILE_N;
    const int k = window_rows * window_columns * channels;

    /* The slots' pixels: the row and column of tap (0, 0), and the place of its channel 0 from the
     * tile's first image on. */
    const int first_image = first_row / out_columns / out_rows;
    __global const float *images = AT(in) + first_image * in_image;
    int from[A_SLOTS], row[A_SLOTS], column[A_SLOTS];
    UNROLL for (int s = 0; s < A_SLOTS; s++) {
        const int pixel = min(first_row + A_SLOT_AT(s), m - 1), line = pixel / out_columns;
        row[s] = line % out_rows * stride_down - top;
        column[s] = pixel % out_columns * stride_right - left;
        from[s] = (line / out_rows - first_image) * (int)in_image + row[s] * in_down +
                  column[s] * in_right;
    }
    /* The item's tap, which is that of all its slots; their other floats' taps follow from it. */
    const int step = A_SLOT_K(0);
    tap first = {step / channels / window_columns, step / channels % window_columns,
                 step % channels};
    __global const float *b_from = AT(filter) + first_column;
    float4 sums[ITEM_M][ITEM_N / 4], a_slots[A_SLOTS], b_slots[B_SLOTS];
    uint valid = 0; /* a bit for each slot and tap: inside the image and the window */
    UNROLL for (int i = 0; i < ITEM_M; i++)
        UNROLL for (int j = 0; j < ITEM_N / 4; j++) sums[i][j] = (float4)(0);

/* Loads a step; what is not valid reads the first element of the tile's images instead. */
#define LOAD_SLOTS(left_steps)                                                                     \
    valid = 0;                                                                                     \
    __global const float *place[A_SLOTS][TAPS];                                                    \
    tap of = first;                                                                                \
    UNROLL for (int e = 0; e < TAPS; e++) {                                                        \
        const int down = of.row * tap_down, right = of.column * tap_right;                         \
        const int from_pixel = down * in_down + right * in_right + of.channel;                     \
        UNROLL for (int s = 0; s < A_SLOTS; s++) {                                                 \
            const bool inside = of.row < window_rows && (uint)(row[s] + down) < (uint)rows &&      \
                                (uint)(column[s] + right) < (uint)columns;                         \
            place[s][e] = element(images, inside ? from[s] + from_pixel : 0);                      \
            valid |= inside ? 1u << (s * TAPS + e) : 0u;                                           \
        }                                                                                          \
        of = tap_on(of, 0, 0, 1, window_columns, channels);                                        \
    }                                                                                              \
    UNROLL for (int s = 0; s < A_SLOTS; s++) a_slots[s] = A_GATHERED(place[s]);                    \
    first = tap_on(first, next_row, next_column, next_channel, window_columns, channels);          \
    UNROLL for (int s = 0; s < B_SLOTS; s++) b_slots[s] =                                          \
        load_slot(1, B_VECTOR, b_from, B_SLOT_AT(s), B_SLOT_K(s), n - first_column, left_steps, n); \
    b_from += (long)TILE_K * n;

#define A_IS_GATHERED 1
#define STEPS_ARE_QUADS A_VECTOR
#define A_SLOT(s, left) A_MASKED(s)
#define B_SLOT(s, left) mask_slot(1, B_VECTOR, b_slots[s], B_SLOT_K(s), left)

    SUM_PRODUCTS(0, k)

    __global const float *bias_row = bias_base ? AT(bias) : 0;
    UNROLL for (int quad = 0; quad < ITEM_M / 4; quad++) { /* of consecutive pixels */
        int pixel = first_row + ITEM_ROW(4 * quad);
        int j = pixel % out_columns, i = pixel / out_columns % out_rows;
        int image = pixel / out_columns / out_rows;
        UNROLL for (int r = 0; r < 4; r++) {
            if (pixel + r < m) {
                __global float *to = AT(out) + (image * out_image + i * out_down + j * out_right);
                UNROLL for (int q = 0; q < ITEM_N / 4; q++)
                    store_sums(sums[4 * quad + r][q], to, first_column + ITEM_COLUMN(q), n,
                               bias_row, relu);
            }
            const int carry = ++j == out_columns, carry_image = carry && i + 1 == out_rows;
            j = carry ? 0 : j;
            i = carry_image ? 0 : i + carry;
            image += carry_image;
        }
    }
}
