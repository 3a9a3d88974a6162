/*
 * C = act(op(A) op(B) + bias) on CPUs: register tiles on packed panels.
 *
 * A work-group is one work-item and computes a block of C over one of several ranges ("splits") of
 * K. It walks its range in K blocks of at most GEMM_KC. For each it takes panel by panel of op(B),
 * GEMM_KC x NR, into local memory and runs down the rows of the block with register tiles of
 * GEMM_MR x NR: one number of A, broadcast, times GEMM_NV vectors of the panel.
 *
 *                NR columns
 *               +-----------+
 *       GEMM_KC |   panel   | of op(B)
 *     +-----+   +-----------+
 *     |  A  |   | tile of C | GEMM_MR rows
 *     +-----+   +-----------+
 *
 * A prepared B (cl/gemm_prepared.cl), or one that is stored so, is such panels already: the tiles
 * read them where they lie.
 *
 * With one split the last K block adds bias and ReLU. With more, each split writes its partial sums
 * to the workspace, and gemm_reduce adds them in the order of the splits.
 *
 * Loads may run past a row or a matrix by less than NR floats; what they read there is not stored.
 */

#include "transpose.cl.h"

/* Rows of a register tile, and vectors of one of its rows. GEMM_MR * GEMM_NV sums, GEMM_NV vectors
 * of B and one broadcast of A should fit the registers. */
#ifndef GEMM_MR
#define GEMM_MR 4
#endif
#ifndef GEMM_NV
#define GEMM_NV 2
#endif

/* Largest K block, a multiple of 16: a panel should fit the first-level cache. */
#ifndef GEMM_KC
#define GEMM_KC 128
#endif

/* 1: A is stored [K,M]. The columns of a block are first copied to local memory, because steps of K
 * that lie a large power of two apart evict each other from the caches. 0: [M,K], read in place; M
 * is at least GEMM_MR. */
#ifndef GEMM_TRANSPOSE_A
#define GEMM_TRANSPOSE_A 0
#endif

/* Most rows of a block if A is transposed, a multiple of 16. */
#ifndef GEMM_MC
#define GEMM_MC 64
#endif

/* 1: B is stored [N,K], panels are transposed. 0: [K,N], the first row of tiles copies the panel
 * while it multiplies. */
#ifndef GEMM_TRANSPOSE_B
#define GEMM_TRANSPOSE_B 0
#endif

/* 1: op(B) is prepared, or stored as it would be: panel by panel [N / NR, K, NR]; GEMM_TRANSPOSE_B
 * does not matter. */
#ifndef GEMM_PREPARED
#define GEMM_PREPARED 0
#endif

/* With GEMM_TRANSPOSE_B, not 0: B is stored in panels of so many steps of K, a multiple of VW:
 * [K / GEMM_B_PANEL, N, GEMM_B_PANEL]. */
#ifndef GEMM_B_PANEL
#define GEMM_B_PANEL 0
#endif

/* 1: C is stored in panels of NR columns, [N / NR, M, NR], and partial sums are. */
#ifndef GEMM_C_PANELS
#define GEMM_C_PANELS 0
#endif

/* Columns of a tile and a panel. */
#define NR (GEMM_NV * VW)

/* Where the tiles find the panel (a prepared one may begin at any float), and whether its first row
 * of tiles copies it there. */
#if GEMM_PREPARED
typedef __global const floatv_of_floats *panel_vectors;
#define PACKS 0
#else
typedef __local const floatv *panel_vectors;
#define PACKS !GEMM_TRANSPOSE_B
#endif

/* Where the tiles find op(A), and its distance between steps of K. The copy's is an odd number of
 * cache lines, so that the steps spread over all cache sets. */
#if GEMM_TRANSPOSE_A
#define A_SPACE __local
#define A_STEP ((GEMM_MC / 16 | 1) * 16)
#else
#define A_SPACE __global
#define A_STEP 1
#endif

/* ---- Epilogue ------------------------------------------------------------------------------ */

/* What happens to the sums of a tile before they are stored. */
typedef struct epilogue {
    int accumulate;             /* add what C holds: the sum over earlier K blocks */
    __global const float *bias; /* add it; at the tile's first column; NULL: none */
    int relu;
} epilogue;

/* ---- Where B and C are --------------------------------------------------------------------- */

/* Floats from the start of B to step at_k of the panel whose first column is `column`. */
static long place_in_b(int column, int at_k, int n, int k) {
#if GEMM_PREPARED
    return (long)column * k + (long)at_k * NR;
#elif GEMM_TRANSPOSE_B && GEMM_B_PANEL
    return ((long)(at_k / GEMM_B_PANEL) * n + column) * GEMM_B_PANEL + at_k % GEMM_B_PANEL;
#elif GEMM_TRANSPOSE_B
    return (long)column * k + at_k;
#else
    return (long)at_k * n + column;
#endif
}

/* Floats between rows of C, in a panel or the whole. */
#define C_ROW(n) (GEMM_C_PANELS ? NR : (n))

/* Floats from the start of C to a place in it. */
static long place_in_c(int row, int column, int m, int n) {
#if GEMM_C_PANELS
    return ((long)(column / NR) * m + row) * NR + column % NR;
#else
    return (long)row * n + column;
#endif
}

/* ---- Fetching ahead ------------------------------------------------------------------------- */

/* Steps of K between turns of asking, a cache line of A; and the least lines of op(B) to ask for in
 * one: not so many that the caches cannot follow, as the next panel takes as long to come as some
 * rows of tiles. */
#define FETCH_STEPS 16
#define LEAST_PACE 4

/* What comes next: the part of op(B) that the next panel holds; and of A the rows of the next tile,
 * or the next K block's strip. Those are not in the caches when a K block begins, and each row is
 * too short for the hardware to see where the next one is. */
typedef struct next_parts {
    __global const float *b, *a;
    long b_row, a_row; /* floats between rows of B, or its panels, and of A */
    /* Of the strip: lines of a row, and of all; the next to ask for, and how many in a turn. */
    int strip_width, strip_lines, strip_line, strip_pace;
} next_parts;

/* Asks for a line of the panel, 0 <= line < depth * NR / 16. */
static void fetch_line(const next_parts *next, int line) {
#if GEMM_PREPARED
    PREFETCH(next->b + line * 16);
#elif GEMM_TRANSPOSE_B && GEMM_B_PANEL
    const int lines = (NR * GEMM_B_PANEL + 15) / 16;
    PREFETCH(next->b + line / lines * next->b_row + line % lines * 16);
#elif GEMM_TRANSPOSE_B
    PREFETCH(next->b + line % NR * next->b_row + line / NR * 16);
#else
    PREFETCH(next->b + line / (NR / 16) * next->b_row + line % (NR / 16) * 16);
#endif
}

#if GEMM_TRANSPOSE_A
/* The next strip: `columns` columns of `depth` rows of A from a on, to be asked for in so many
 * turns. */
static void set_strip(next_parts *next, __global const float *a, int columns, int depth,
                      int turns) {
    next->a = a;
    next->strip_width = (columns + 15) / 16;
    next->strip_lines = depth * next->strip_width;
    next->strip_pace = next->strip_lines / turns + 1;
}
#endif

/* Asks for the lines at step k of the tile's rows of A, or for some of the strip. */
static void fetch_a(next_parts *next, int k) {
#if CAN_PREFETCH && GEMM_TRANSPOSE_A
    const int end = min(next->strip_line + next->strip_pace, next->strip_lines);
    for (; next->strip_line < end; next->strip_line++)
        PREFETCH(next->a + next->strip_line / next->strip_width * next->a_row +
                 next->strip_line % next->strip_width * 16);
#elif CAN_PREFETCH
    UNROLL for (int i = 0; i < GEMM_MR; i++)
        PREFETCH(next->a + i * next->a_row + k);
#endif
}

/* ---- Register tiles ------------------------------------------------------------------------ */

/* The sums of a tile. */
typedef floatv tile[GEMM_MR][GEMM_NV];

static void clear(tile sum) {
    UNROLL for (int i = 0; i < GEMM_MR; i++)
        UNROLL for (int j = 0; j < GEMM_NV; j++)
            sum[i][j] = (floatv)(0.0f);
}

/* One step of K: a column of op(A), whose rows are a_row apart, times a row of op(B). */
static void multiply(tile sum, A_SPACE const float *a, long a_row, const floatv *b) {
    UNROLL for (int i = 0; i < GEMM_MR; i++) {
        const floatv factor = (floatv)(a[i * a_row]);
        UNROLL for (int j = 0; j < GEMM_NV; j++)
            sum[i][j] = FMA(factor, b[j], sum[i][j]);
    }
}

/* sum += op(A) * panel over `depth` steps of K. */
static void multiply_panel(tile sum, A_SPACE const float *a, long a_row,
                           panel_vectors panel, int depth) {
    for (int k = 0; k < depth; k++) {
        floatv row[GEMM_NV];
        UNROLL for (int j = 0; j < GEMM_NV; j++)
            row[j] = panel[k * GEMM_NV + j];
        multiply(sum, a + (long)k * A_STEP, a_row, row);
    }
}

/* The same; before every FETCH_STEPS steps asks for what comes next of A and for `pace` lines of
 * the next panel, from `line` on. */
static void multiply_panel_fetching(tile sum, A_SPACE const float *a, long a_row,
                                    panel_vectors panel, int depth, next_parts *next, int line,
                                    int pace) {
    for (int k = 0; k < depth; k += FETCH_STEPS) {
        fetch_a(next, k);
        for (int i = 0; i < pace; i++)
            fetch_line(next, line++);
        multiply_panel(sum, a + (long)k * A_STEP, a_row, panel + k * GEMM_NV,
                       min(FETCH_STEPS, depth - k));
    }
}

/* Stores a whole tile. The conditions stand outside of the unrolled loops: compilers take long to
 * move them there. */
static void store_tile(tile sum, __global float *c, long c_row, const epilogue *end) {
    if (end->accumulate)
        UNROLL for (int i = 0; i < GEMM_MR; i++)
            UNROLL for (int j = 0; j < GEMM_NV; j++)
                sum[i][j] += vloadv(j, c + i * c_row);
    if (end->bias != 0)
        UNROLL for (int i = 0; i < GEMM_MR; i++)
            UNROLL for (int j = 0; j < GEMM_NV; j++)
                sum[i][j] += vloadv(j, end->bias);
    if (end->relu) /* NaN stays NaN, -0 becomes 0 */
        UNROLL for (int i = 0; i < GEMM_MR; i++)
            UNROLL for (int j = 0; j < GEMM_NV; j++)
                sum[i][j] = sum[i][j] <= (floatv)(0.0f) ? (floatv)(0.0f) : sum[i][j];
    UNROLL for (int i = 0; i < GEMM_MR; i++)
        UNROLL for (int j = 0; j < GEMM_NV; j++)
            STORE(sum[i][j], c + i * c_row + j * VW);
}

/* Stores rows first <= i < last and columns j < columns of a tile; does not touch the others. */
static void store_part(tile sum, __global float *c, long c_row, int first, int last, int columns,
                       const epilogue *end) {
    floatv vectors[GEMM_MR][GEMM_NV];
    UNROLL for (int i = 0; i < GEMM_MR; i++)
        UNROLL for (int j = 0; j < GEMM_NV; j++)
            vectors[i][j] = sum[i][j];
    for (int i = first; i < last; i++) {
        const float *values = (const float *)vectors[i];
        __global float *to = c + i * c_row;
        int j = 0;
        for (; j + VW <= columns; j += VW) {
            floatv value = vloadv(0, values + j);
            if (end->accumulate)
                value += vloadv(0, to + j);
            if (end->bias != 0)
                value += vloadv(0, end->bias + j);
            if (end->relu)
                value = value <= (floatv)(0.0f) ? (floatv)(0.0f) : value;
            STORE(value, to + j);
        }
        for (; j < columns; j++) {
            float value = values[j];
            if (end->accumulate)
                value += to[j];
            if (end->bias != 0)
                value += end->bias[j];
            to[j] = end->relu && value <= 0.0f ? 0.0f : value;
        }
    }
}

/* ---- Packing ------------------------------------------------------------------------------- */

#if GEMM_TRANSPOSE_A
/* Copies `columns` columns, rounded up to vectors, of `depth` rows of A, m apart. */
static void copy_strip(__global const float *a, long m, __local floatv *strip, int columns,
                       int depth) {
    for (int k = 0; k < depth; k++)
        for (int i = 0; i * VW < columns; i++)
            strip[k * (A_STEP / VW) + i] = vloadv(i, a + k * m);
}
#endif

#if GEMM_TRANSPOSE_B && !GEMM_PREPARED
/* panel[i][j] = b[column + j][at_k + i] for j < NR and i < depth, rounded up to vectors. Rows of b
 * behind its last repeat that. Along K first: fewer rows, that is pages, are read at a time. */
static void transpose_panel(__global const float *b, int column, int at_k, int n, int k,
                            __local floatv *panel, int depth) {
    for (int j = 0; j < NR; j += VW)
        for (int i = 0; i < depth; i += VW) {
            floatv rows[VW];
            UNROLL for (int l = 0; l < VW; l++)
                rows[l] = vloadv(0, b + place_in_b(min(column + j + l, n - 1), at_k + i, n, k));
            transpose_square(rows);
            UNROLL for (int l = 0; l < VW; l++)
                panel[(i + l) * GEMM_NV + j / VW] = rows[l];
        }
}
#elif PACKS
/* multiply_panel() straight from B, whose rows are b_row apart; fills the panel on the way, which
 * hides the wait for memory behind the arithmetic. */
static void multiply_packing(tile sum, A_SPACE const float *a, long a_row, __global const float *b,
                             long b_row, __local floatv *panel, int depth) {
    for (int k = 0; k < depth; k++) {
        floatv row[GEMM_NV];
        UNROLL for (int j = 0; j < GEMM_NV; j++) {
            row[j] = vloadv(j, b + k * b_row);
            panel[k * GEMM_NV + j] = row[j];
        }
        multiply(sum, a + (long)k * A_STEP, a_row, row);
    }
}
#endif

/* ---- Kernels ------------------------------------------------------------------------------- */

/*
 * a: A [m,k], or [k,m]. b: B [k,n], [n,k], or in panels. bias: [n], read if has_bias. c: C, [m,n]
 * or in panels; with more than one split as many partial sums. Groups: column blocks of
 * block_columns (a multiple of NR), row blocks of block_rows (a multiple of GEMM_MR), splits.
 */
KERNEL void gemm_panel(IN(a), IN(b), IN(bias), OUT(c), const int m, const int n, const int k,
                       const int block_rows, const int block_columns, const int has_bias,
                       const int relu) {
#if !GEMM_PREPARED
    __local floatv panel[GEMM_KC * GEMM_NV];
#endif
#if GEMM_TRANSPOSE_A
    __local floatv strip[GEMM_KC * (A_STEP / VW)];
#endif
    const int split = get_global_id(2), splits = get_global_size(2);
    const int column_begin = get_global_id(0) * block_columns;
    const int column_end = min(column_begin + block_columns, n);
    const int row_begin = get_global_id(1) * block_rows;
    const int row_end = min(row_begin + block_rows, m);

    /* This split's range of K, in steps of 16, and its even division into K blocks. */
    const long steps = ((long)k + 15) / 16;
    const int k_begin = (int)(steps * split / splits * 16);
    const int k_end = (int)min(steps * (split + 1) / splits * 16, (long)k);
    const int k_blocks = max((k_end - k_begin + GEMM_KC - 1) / GEMM_KC, 1);
    const int k_block = ((k_end - k_begin + k_blocks - 1) / k_blocks + 15) / 16 * 16;

    /* Turns of asking while a panel is multiplied, and while a strip is. */
    const int rows_of_tiles = (row_end - row_begin - 1) / GEMM_MR + !PACKS;
    const int turns = max(rows_of_tiles * (k_block / FETCH_STEPS), 1);
    const int strip_turns = turns * ((column_end - column_begin + NR - 1) / NR);

    for (int block = 0; block < k_blocks; block++) {
        const int at_k = k_begin + block * k_block, depth = max(min(k_block, k_end - at_k), 0);
        const int is_last = splits == 1 && block == k_blocks - 1;
        next_parts next = {.a_row = GEMM_TRANSPOSE_A ? m : k,
                           .b_row = GEMM_B_PANEL ? (long)n * GEMM_B_PANEL
                                                 : (GEMM_TRANSPOSE_B ? k : n)};
#if GEMM_TRANSPOSE_A
        __global const float *corner = AT(a) + (long)at_k * m + row_begin;
        copy_strip(corner, m, strip, row_end - row_begin, depth);
        set_strip(&next, corner + (long)k_block * m, row_end - row_begin,
                  clamp(k_end - at_k - k_block, 0, k_block), strip_turns);
#endif
        for (int column = column_begin; column < column_end; column += NR) {
            const epilogue end = {block > 0, is_last && has_bias ? AT(bias) + column : 0,
                                  is_last && relu};
#if GEMM_PREPARED
            const panel_vectors panel = (panel_vectors)(AT(b) + place_in_b(column, at_k, n, k));
#elif GEMM_TRANSPOSE_B
            transpose_panel(AT(b), column, at_k, n, k, panel, depth);
#endif
            /* The rows of tiles, those that pack aside, ask for the next panel: of the next
             * columns, or of the first in the next K block. */
            const int is_last_column = column + NR >= column_end;
            const int next_column = is_last_column ? column_begin : column + NR;
            const int next_k = is_last_column ? at_k + k_block : at_k;
            const int next_depth = CAN_PREFETCH ? clamp(k_end - next_k, 0, k_block) : 0;
            const int lines = next_depth * (NR / 16);
            const int pace = max((lines - 1) / turns + 1, LEAST_PACE);
            int line = 0;
            next.b = AT(b) + place_in_b(next_column, next_k, n, k);
            for (int row = row_begin; row < row_end; row += GEMM_MR) {
#if GEMM_TRANSPOSE_A
                const int top = row;
                const long a_row = 1;
                __local const float *left = (__local const float *)strip + (row - row_begin);
#else
                const int top = min(row, m - GEMM_MR); /* the last tile reads rows that exist */
                const long a_row = k;
                __global const float *left = AT(a) + (long)top * k + at_k;
#endif
                tile sum;
                clear(sum);
#if PACKS
                if (row == row_begin)
                    multiply_packing(sum, left, a_row, AT(b) + place_in_b(column, at_k, n, k), n,
                                     panel, depth);
                else
#endif
                if (CAN_PREFETCH) {
#if !GEMM_TRANSPOSE_A
                    const int is_last_row = row + GEMM_MR >= row_end;
                    const int next_top = is_last_row ? row_begin : min(row + GEMM_MR, m - GEMM_MR);
                    next.a = AT(a) + (long)next_top * k + (is_last_row ? next_k : at_k);
#endif
                    multiply_panel_fetching(sum, left, a_row, panel, depth, &next, line,
                                            line < lines ? pace : 0);
                    line += pace * (k_block / FETCH_STEPS);
                } else {
                    multiply_panel(sum, left, a_row, panel, depth);
                }
                __global float *to =
                    AT(c) + (long)split * ((long)m * n) + place_in_c(top, column, m, n);
                const int first = row - top, last = min(row_end - top, GEMM_MR);
                if (column + NR <= n && last - first == GEMM_MR)
                    store_tile(sum, to, C_ROW(n), &end);
                else
                    store_part(sum, to, C_ROW(n), first, last, min(n - column, NR), &end);
            }
        }
    }
}

/* c = act(sum over splits of partial + bias). partial: [splits,m,n], each as C is stored, added in
 * the order of the splits; bias: [n], read if has_bias; c: [m,n]. Groups: blocks of `columns`
 * columns (a multiple of VW), blocks of `rows` rows. */
KERNEL void gemm_reduce(IN(partial), IN(bias), OUT(c), const int m, const int n, const int splits,
                        const int rows, const int columns, const int has_bias, const int relu) {
    const int column_begin = get_global_id(0) * columns;
    const int column_end = min(column_begin + columns, n);
    const int row_begin = get_global_id(1) * rows, row_end = min(row_begin + rows, m);
    for (int row = row_begin; row < row_end; row++)
        for (int column = column_begin; column < column_end; column += VW) {
            const long place = place_in_c(row, column, m, n);
            floatv sum = vloadv(0, AT(partial) + place);
            for (int split = 1; split < splits; split++)
                sum += vloadv(0, AT(partial) + split * ((long)m * n) + place);
            if (has_bias)
                sum += vloadv(0, AT(bias) + column);
            if (relu)
                sum = sum <= (floatv)(0.0f) ? (floatv)(0.0f) : sum;
            if (column + VW <= column_end) {
                STORE(sum, AT(c) + place);
            } else {
                const float *values = (const float *)&sum;
                for (int j = 0; column + j < column_end; j++)
                    AT(c)[place + j] = values[j];
            }
        }
}
