/*
 * The filter gradient as a matrix product, for GPUs. C[M,N]: M the taps and input channels, N the
 * output channels; K the output's pixels. Both operands lie in memory as they are multiplied, rows
 * of channels for each pixel: A is X, moved by the row's tap, B is dY, so both are loaded and stored
 * 16 bytes at a time and without bank conflicts (tile.cl.h has intensity and traffic). A group sums
 * an equal share of the pixels into partial sums; tile_sum.cl adds those in order.
 */
#include "tile.cl.h"

/* A_ALONG_M and B_ALONG_N are 1. A_VECTOR: 4 divides the channels and X's strides. */
#if A_VECTOR
#define TAPS 1 /* of 4 rows of the result: 4 channels of one tap */
#else
#define TAPS 4 /* each row has its own */
#endif

/* Slots differ in their pixel; without local memory also in their rows or columns. */
#define A_QUADS (TILE_LOCAL ? 1 : ITEM_M / 4)
#define B_QUADS (TILE_LOCAL ? 1 : ITEM_N / 4)
#define A_PIXELS (A_SLOTS / A_QUADS)
#define B_PIXELS (B_SLOTS / B_QUADS)
/* 1: the columns of B's slots are all the same, and one load each. */
#define B_ONE_PLACE (B_QUADS == 1 && B_VECTOR)

/* A pixel of dY on the way through the images: its row and column, and its place in a tensor. */
typedef struct walk {
    int row, column;
    long at;
} walk;

/* The pixels: rows and columns of an image, and the elements from each to the next in the tensor. */
typedef struct walk_grid {
    int rows, columns;
    long image, row, column;
} walk_grid;

static inline walk walk_from(const int pixel, const walk_grid grid) {
    const int line = pixel / grid.columns;
    walk w;
    w.row = line % grid.rows;
    w.column = pixel % grid.columns;
    w.at = line / grid.rows * grid.image + w.row * grid.row + w.column * grid.column;
    return w;
}

/* Moves by images, rows and columns that are fewer than the grid's; `distance`: their elements. */
static inline walk walk_on(walk w, const walk_grid grid, const int rows, const int columns,
                           const long distance) {
    w.column += columns;
    const int carry = w.column >= grid.columns;
    w.column -= carry ? grid.columns : 0;
    w.row += rows + carry;
    const int carry_image = w.row >= grid.rows;
    w.row -= carry_image ? grid.rows : 0;
    w.at += distance + (carry ? grid.row - grid.columns * grid.column : 0) +
            (carry_image ? grid.image - grid.rows * grid.row : 0);
    return w;
}

/*
 * out[split][(t,u,c)][f] = the sum over the split's pixels (image,i,j) of
 * in[image][i * stride_down - top + t * tap_down][j * stride_right - left + u * tap_right][c] *
 * dy[image][i][j][f], the input being 0 outside of its rows x columns. m rows (t,u,c), n output
 * channels f; k pixels, `part` of them a split, the last what is left. a_*, b_*: the TILE_K / A_PIXELS
 * (B_PIXELS) pixels from a slot's to the next slot's as images, rows and columns of dY. Groups
 * (columns of tiles, rows of tiles, splits).
 */
TILE_KERNEL void implicit_gemm_filter(IN(in), const long in_image, const int in_down,
                                      const int in_right, const int rows, const int columns,
                                      const int channels, IN(dy), const long dy_image,
                                      const long dy_down, const long dy_right, const int dy_rows,
                                      const int dy_columns, OUT(out), const int m, const int n,
                                      const int k, const int part, const int window_columns,
                                      const int stride_down, const int stride_right, const int top,
                                      const int left, const int tap_down, const int tap_right,
                                      const int a_image, const int a_row, const int a_column,
                                      const int b_image, const int b_row, const int b_column) {
    const int x = get_local_id(0), y = get_local_id(1), item = y * GROUP_X + x;
    const int first_row = get_group_id(1) * TILE_M, first_column = get_group_id(0) * TILE_N;
    const int split = get_group_id(2), begin = split * part, end = min(k, begin + part);
    const walk_grid in_grid = {dy_rows, dy_columns, in_image, (long)stride_down * in_down,
                               (long)stride_right * in_right};
    const walk_grid dy_grid = {dy_rows, dy_columns, dy_image, dy_down, dy_right};
    const long in_next =
        a_image * in_grid.image + a_row * in_grid.row + a_column * in_grid.column;
    const long dy_next = b_image * dy_image + b_row * dy_down + b_column * dy_right;

    /* The item's rows: how far their tap is from a pixel, and the element's place from it. Rows
     * beyond m repeat the last ones; they are never stored. */
    int tap_row[A_QUADS * TAPS], tap_column[A_QUADS * TAPS], tap_at[A_QUADS * TAPS];
    UNROLL for (int e = 0; e < A_QUADS * TAPS; e++) {
        const int of =
            min(first_row + A_SLOT_AT(e / TAPS) + e % TAPS, m - (A_VECTOR ? 4 : 1));
        const int tap = of / channels;
        tap_row[e] = tap / window_columns * tap_down - top;
        tap_column[e] = tap % window_columns * tap_right - left;
        tap_at[e] = tap_row[e] * in_down + tap_column[e] * in_right + of % channels;
    }
    /* One walk visits the pixels of all slots: from the last it goes on to the next step's first. */
    walk a_walk = walk_from(begin + A_SLOT_K(0), in_grid);
    walk b_walk = walk_from(begin + B_SLOT_K(0), dy_grid);
    b_walk.at += B_ONE_PLACE ? min(first_column + B_SLOT_AT(0), n - 4) : first_column;
    float4 sums[ITEM_M][ITEM_N / 4], a_slots[A_SLOTS], b_slots[B_SLOTS];
    uint valid = 0; /* a bit for each slot and tap: inside the image and the split */
    UNROLL for (int i = 0; i < ITEM_M; i++)
        UNROLL for (int j = 0; j < ITEM_N / 4; j++) sums[i][j] = (float4)(0);

/* first[at] if `inside`, else the first element; which way takes fewer registers differs. */
#if TILE_LOCAL
#define FROM_OR_FIRST(inside, first, at) ((inside) ? (first) + (at) : (first))
#else
#define FROM_OR_FIRST(inside, first, at) ((first) + ((inside) ? (at) : 0))
#endif

/* Loads a step; what is not valid reads the tensor's first element instead. */
#define LOAD_SLOTS(steps_left)                                                                     \
    valid = 0;                                                                                     \
    UNROLL for (int s = 0; s < A_SLOTS; s++) {                                                     \
        __global const float *place[TAPS];                                                         \
        UNROLL for (int e = 0; e < TAPS; e++) {                                                    \
            const int tap = s % A_QUADS * TAPS + e;                                                \
            const bool inside =                                                                    \
                A_SLOT_K(s) < steps_left &&                                                        \
                (uint)(a_walk.row * stride_down + tap_row[tap]) < (uint)rows &&                    \
                (uint)(a_walk.column * stride_right + tap_column[tap]) < (uint)columns;            \
            place[e] = FROM_OR_FIRST(inside, AT(in), a_walk.at + tap_at[tap]);                     \
            valid |= inside ? 1u << (s * TAPS + e) : 0u;                                           \
        }                                                                                          \
        a_slots[s] = A_GATHERED(place);                                                            \
        if (s % A_QUADS == A_QUADS - 1)                                                            \
            a_walk = walk_on(a_walk, in_grid, a_row, a_column, in_next);                           \
    }                                                                                              \
    UNROLL for (int s = 0; s < B_SLOTS; s++) {                                                     \
        __global const float *from = AT(dy) + (B_SLOT_K(s) < steps_left ? b_walk.at : 0);          \
        b_slots[s] = B_ONE_PLACE ? LOAD4(from)                                                     \
                                 : load_slot(1, B_VECTOR, from, B_SLOT_AT(s), 0,                   \
                                             n - first_column, 1, 0);                              \
        if (s % B_QUADS == B_QUADS - 1)                                                            \
            b_walk = walk_on(b_walk, dy_grid, b_row, b_column, dy_next);                           \
    }

#define A_IS_GATHERED 1
#define STEPS_ARE_QUADS 0
#define A_SLOT(s, left) A_MASKED(s)
#define B_SLOT(s, left) mask_slot(1, B_VECTOR, b_slots[s], B_SLOT_K(s), left)

    SUM_PRODUCTS(begin, end)

    __global float *out_tile = AT(out) + ((long)split * m + first_row) * n;
    UNROLL for (int i = 0; i < ITEM_M; i++)
        if (first_row + ITEM_ROW(i) < m)
            UNROLL for (int j = 0; j < ITEM_N / 4; j++)
                store_sums(sums[i][j], out_tile + (long)ITEM_ROW(i) * n,
                           first_column + ITEM_COLUMN(j), n, 0, 0);
}
