/*
 * C = act(op(A) op(B) + bias) on CPUs where memory sets the pace: a result of one or a few rows or
 * columns. Nothing is packed; the large matrix is read once, in the order of memory.
 *
 * The kernels know results of few rows; with few columns the host turns the product over, C^T =
 * op(B)^T op(A)^T. A below is the small matrix, B the large one.
 *
 * gemm_thin_dot: rows of A times rows of B, both with K along the row. A tile of THIN_ROWS x
 * THIN_COLUMNS sums runs down K in vectors, whose lanes are added at the end.
 *
 * gemm_thin_scale: at most THIN_ROWS rows, B stored [K,N]. The rows of B are scaled and added up,
 * THIN_DEPTH at a time, in a stretch of C that stays in the first-level cache. Where many products
 * with one B are to come, the rows that only zeros scale are not read: ReLU leaves many.
 *
 * A group is one work-item and takes a block of C over one of several ranges ("splits") of K. With
 * more than one split it writes its partial sums to the workspace, and gemm_thin_reduce adds them
 * in the order of the splits.
 *
 * Loads may run past a row or a matrix by less than a vector; what they read there is not used.
 */

/* Rows of A in a tile. */
#ifndef THIN_ROWS
#define THIN_ROWS 1
#endif

/* gemm_thin_dot: rows of B in a tile, and vectors along K that a round takes of each row, with sums
 * of their own: 8 sums hide the latency of the multipliers. */
#ifndef THIN_COLUMNS
#define THIN_COLUMNS 8
#endif
#ifndef THIN_VECTORS
#define THIN_VECTORS 1
#endif

/* gemm_thin_scale: rows of B in a round, and floats of C's row that a group has at most. */
#ifndef THIN_DEPTH
#define THIN_DEPTH 8
#endif
#ifndef THIN_STRETCH
#define THIN_STRETCH 2048
#endif

/* Vectors of a row that are asked for ahead. */
#define THIN_START 4

/* Above 0: gemm_thin_scale leaves out the rows of B that only zeros of A scale, and looks through so
 * many steps of K for the others before it adds them up. Those products are zeros, which change no
 * sum, unless the row has an infinity or a NaN: gemm_thin_nonfinite finds such rows. */
#ifndef THIN_LIST
#define THIN_LIST 0
#endif

/* A vector in memory at any float, whole: vload16() of several rows is taken to pieces of two and four
 * floats by LLVM. */
typedef floatv floatv_anywhere __attribute__((aligned(4)));
#define LOAD(p) (*(__global const floatv_anywhere *)(p))

/* What happens to a sum before it is stored; `bias` is its element, NULL: none. NaN stays NaN. */
static float finish(float sum, __global const float *bias, int relu) {
    if (bias != 0)
        sum += *bias;
    return relu && sum <= 0.0f ? 0.0f : sum;
}

/* The sum of the lanes, halves first. */
static float add_lanes(floatv v) {
#if VW == 16
    const float8 eight = v.lo + v.hi;
    const float4 four = eight.lo + eight.hi;
#elif VW == 8
    const float4 four = v.lo + v.hi;
#else
    const float4 four = v;
#endif
    const float2 two = four.lo + four.hi;
    return two.lo + two.hi;
}

/* The first `count` floats from `at` on, zeros behind: what lies there may be NaN. */
static floatv first_lanes(__global const float *at, int count) {
#if VW == 16
    const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif VW == 8
    const int8 lane = (int8)(0, 1, 2, 3, 4, 5, 6, 7);
#else
    const int4 lane = (int4)(0, 1, 2, 3);
#endif
    return select((floatv)(0.0f), vloadv(0, at), lane < (intv)(count));
}

/*
 * a: [m,k]. b: [n,k]. bias: element i * bias_row + j * bias_column belongs to C[i,j]; read if
 * has_bias. c: [m,n], its elements c_row and c_column apart; `size` of them, of partial sums
 * [splits,size] if there is more than one split. Groups: column blocks of block_columns (a multiple
 * of THIN_COLUMNS), splits.
 */
KERNEL void gemm_thin_dot(IN(a), IN(b), IN(bias), OUT(c), const int m, const int n, const int k,
                          const long c_row, const long c_column, const long size,
                          const int block_columns, const int bias_row, const int bias_column,
                          const int has_bias, const int relu) {
    const int split = get_global_id(1), splits = get_global_size(1);
    const int column_begin = get_global_id(0) * block_columns;
    const int column_end = min(column_begin + block_columns, n);
    /* This split's range of K, in steps of 64. */
    const long steps = ((long)k + 63) / 64;
    const int k_begin = (int)(steps * split / splits * 64);
    const int k_end = (int)min(steps * (split + 1) / splits * 64, (long)k);
    const int ends = splits == 1;
    for (int column = column_begin; column < column_end; column += THIN_COLUMNS)
        for (int row = 0; row < m; row += THIN_ROWS) {
            /* Rows beyond the edge repeat the last one. */
            __global const float *left[THIN_ROWS], *right[THIN_COLUMNS];
            UNROLL for (int i = 0; i < THIN_ROWS; i++)
                left[i] = AT(a) + (long)min(row + i, m - 1) * k;
            UNROLL for (int j = 0; j < THIN_COLUMNS; j++)
                right[j] = AT(b) + (long)min(column + j, n - 1) * k;
            floatv sum[THIN_VECTORS][THIN_ROWS][THIN_COLUMNS];
            UNROLL for (int v = 0; v < THIN_VECTORS; v++)
                UNROLL for (int i = 0; i < THIN_ROWS; i++)
                    UNROLL for (int j = 0; j < THIN_COLUMNS; j++)
                        sum[v][i][j] = (floatv)(0.0f);
            int at = k_begin;
            for (; at + THIN_VECTORS * VW <= k_end; at += THIN_VECTORS * VW)
                UNROLL for (int v = 0; v < THIN_VECTORS; v++) {
                    floatv of_a[THIN_ROWS];
                    UNROLL for (int i = 0; i < THIN_ROWS; i++)
                        of_a[i] = LOAD(left[i] + at + v * VW);
                    UNROLL for (int j = 0; j < THIN_COLUMNS; j++) {
                        const floatv of_b = LOAD(right[j] + at + v * VW);
                        UNROLL for (int i = 0; i < THIN_ROWS; i++)
                            sum[v][i][j] = FMA(of_a[i], of_b, sum[v][i][j]);
                    }
                }
            for (; at < k_end; at += VW) {
                floatv of_a[THIN_ROWS];
                UNROLL for (int i = 0; i < THIN_ROWS; i++)
                    of_a[i] = first_lanes(left[i] + at, k_end - at);
                UNROLL for (int j = 0; j < THIN_COLUMNS; j++) {
                    const floatv of_b = first_lanes(right[j] + at, k_end - at);
                    UNROLL for (int i = 0; i < THIN_ROWS; i++)
                        sum[0][i][j] = FMA(of_a[i], of_b, sum[0][i][j]);
                }
            }
            UNROLL for (int i = 0; i < THIN_ROWS; i++)
                UNROLL for (int j = 0; j < THIN_COLUMNS; j++)
                    if (row + i < m && column + j < column_end) {
                        floatv all = sum[0][i][j];
                        UNROLL for (int v = 1; v < THIN_VECTORS; v++)
                            all += sum[v][i][j];
                        AT(c)[split * size + (row + i) * c_row + (column + j) * c_column] =
                            finish(add_lanes(all),
                                   has_bias && ends
                                       ? AT(bias) + (row + i) * bias_row + (column + j) * bias_column
                                       : 0,
                                   relu && ends);
                    }
        }
}

/* A of gemm_thin_scale: element [i,k] lies at a + i * row + k * step, 0 <= i < rows. */
typedef struct few_rows {
    __global const float *a;
    long row, step;
    int rows;
} few_rows;

/* A[i,k]; rows beyond the edge repeat the last one. */
static float factor_at(const few_rows *few, int i, int k) {
    return few->a[min(i, few->rows - 1) * few->row + k * few->step];
}

/* Asks for the first vectors of the rows of B of the steps `next`. What follows in a row the processor
 * fetches ahead by itself; asking for it would drive the rows of now from the cache, where rows that are
 * multiples of 4 KiB apart share few places. */
static void ask_for_starts(__global const float *b, long n, int vectors,
                           const int next[THIN_DEPTH]) {
#if CAN_PREFETCH
    UNROLL for (int d = 0; d < THIN_DEPTH; d++)
        for (int j = 0; j < min(vectors, THIN_START); j++)
            PREFETCH(b + next[d] * n + j * VW);
#endif
}

/* Adds A[i,k] times row k of B, whose rows are n apart, to row i of the stretch, for the THIN_DEPTH
 * steps k of `now`; those of `next` are to follow. */
static void add_rows(__local floatv stretch[THIN_ROWS][THIN_STRETCH / VW], const few_rows *few,
                     __global const float *b, long n, int vectors, const int now[THIN_DEPTH],
                     const int next[THIN_DEPTH]) {
    floatv factor[THIN_ROWS][THIN_DEPTH];
    UNROLL for (int i = 0; i < THIN_ROWS; i++)
        UNROLL for (int d = 0; d < THIN_DEPTH; d++)
            factor[i][d] = (floatv)(factor_at(few, i, now[d]));
    for (int j = 0; j < vectors; j++) {
        if (j == max(vectors - THIN_START, 0))
            ask_for_starts(b, n, vectors, next);
        floatv sum[THIN_ROWS];
        UNROLL for (int i = 0; i < THIN_ROWS; i++)
            sum[i] = stretch[i][j];
        UNROLL for (int d = 0; d < THIN_DEPTH; d++) {
            const floatv of_b = LOAD(b + now[d] * n + j * VW);
            UNROLL for (int i = 0; i < THIN_ROWS; i++)
                sum[i] = FMA(factor[i][d], of_b, sum[i]);
        }
        UNROLL for (int i = 0; i < THIN_ROWS; i++)
            stretch[i][j] = sum[i];
    }
}

/* The same for one step. */
static void add_row(__local floatv stretch[THIN_ROWS][THIN_STRETCH / VW], const few_rows *few,
                    __global const float *b, long n, int vectors, int k) {
    UNROLL for (int i = 0; i < THIN_ROWS; i++) {
        const floatv factor = (floatv)(factor_at(few, i, k));
        for (int j = 0; j < vectors; j++)
            stretch[i][j] = FMA(factor, LOAD(b + k * n + j * VW), stretch[i][j]);
    }
}

#if THIN_LIST
/* Appends to a list of `count` steps those of begin <= k < end whose row of B is needed; returns
 * how many there are then. */
static int list_steps(__local int *list, int count, const few_rows *few,
                      __global const float *nonfinite, int begin, int end) {
    for (int k = begin; k < end; k++) {
        int is_needed = nonfinite[k] != 0;
        UNROLL for (int i = 0; i < THIN_ROWS; i++)
            is_needed |= factor_at(few, i, k) != 0;
        list[count] = k;
        count += is_needed;
    }
    return count;
}
#endif

/* As gemm_thin_dot, but b: [k,n], and A's element [i,k] lies at i * a_row + k * a_step; m is at most
 * THIN_ROWS, block_columns a multiple of VW and at most THIN_STRETCH. nonfinite: [k], not 0 where
 * that row of B must be read; read if THIN_LIST. */
KERNEL void gemm_thin_scale(IN(a), IN(b), IN(bias), OUT(c), const int m, const int n, const int k,
                            const long c_row, const long c_column, const long size,
                            const int block_columns, const int bias_row, const int bias_column,
                            const int has_bias, const int relu, const long a_row,
                            const long a_step, IN(nonfinite)) {
    __local floatv stretch[THIN_ROWS][THIN_STRETCH / VW];
    const int split = get_global_id(1), splits = get_global_size(1);
    const int column_begin = get_global_id(0) * block_columns;
    const int columns = min(column_begin + block_columns, n) - column_begin;
    const int vectors = (columns + VW - 1) / VW;
    const int k_begin = (int)((long)k * split / splits);
    const int k_end = (int)((long)k * (split + 1) / splits);
    const int ends = splits == 1;
    const few_rows few = {AT(a), a_row, a_step, m};
    __global const float *from = AT(b) + column_begin;
    int now[THIN_DEPTH], next[THIN_DEPTH];
    for (int i = 0; i < THIN_ROWS; i++)
        for (int j = 0; j < vectors; j++)
            stretch[i][j] = (floatv)(0.0f);
#if THIN_LIST
    __local int list[THIN_LIST + THIN_DEPTH];
    int left = 0; /* over from the list before: fewer than THIN_DEPTH */
    for (int begin = k_begin; begin < k_end; begin += THIN_LIST) {
        const int count = list_steps(list, left, &few, AT(nonfinite), begin,
                                     min(begin + THIN_LIST, k_end));
        int at = 0;
        for (; at + THIN_DEPTH <= count; at += THIN_DEPTH) {
            UNROLL for (int d = 0; d < THIN_DEPTH; d++) {
                now[d] = list[at + d];
                next[d] = list[min(at + THIN_DEPTH + d, count - 1)];
            }
            add_rows(stretch, &few, from, n, vectors, now, next);
        }
        left = count - at;
        for (int i = 0; i < left; i++)
            list[i] = list[at + i];
    }
    for (int i = 0; i < left; i++)
        add_row(stretch, &few, from, n, vectors, list[i]);
#else
    int at = k_begin;
    for (; at + THIN_DEPTH <= k_end; at += THIN_DEPTH) {
        UNROLL for (int d = 0; d < THIN_DEPTH; d++) {
            now[d] = at + d;
            next[d] = at + THIN_DEPTH + d;
        }
        add_rows(stretch, &few, from, n, vectors, now, next);
    }
    for (; at < k_end; at++)
        add_row(stretch, &few, from, n, vectors, at);
#endif
    for (int i = 0; i < m; i++) {
        __local const float *values = (__local const float *)stretch[i];
        __global float *to = AT(c) + split * size + i * c_row + column_begin * c_column;
        __global const float *own = AT(bias) + i * bias_row + column_begin * bias_column;
        for (int j = 0; j < columns; j++)
            to[j * c_column] =
                finish(values[j], has_bias && ends ? own + j * bias_column : 0, relu && ends);
    }
}

/* nonfinite[i] = 1 if row i of b [k,n] has an infinity or a NaN, else 0. Groups: blocks of `rows`
 * rows. */
KERNEL void gemm_thin_nonfinite(IN(b), OUT(nonfinite), const int n, const int k, const int rows) {
    const int begin = get_global_id(0) * rows, end = min(begin + rows, k);
    for (int row = begin; row < end; row++) {
        uintv largest = (uintv)(0); /* without its sign, a float's bits grow with it */
        for (int j = 0; j < n; j += VW)
            largest = max(largest, as_uintv(load_lanes(AT(b) + (long)row * n + j, n - j)) &
                                       (uintv)(0x7fffffff));
        uint lanes[VW], all = 0;
        vstorev(largest, 0, lanes);
        for (int i = 0; i < VW; i++)
            all = max(all, lanes[i]);
        AT(nonfinite)[row] = all >= 0x7f800000 ? 1.0f : 0.0f;
    }
}

/* c = act(sum over splits of partial + bias). partial: [splits,m,n], added in the order of the
 * splits; bias: element j * bias_step belongs to column j, read if has_bias; c: [m,n]. Groups:
 * blocks of `columns` columns (a multiple of VW), rows. */
KERNEL void gemm_thin_reduce(IN(partial), IN(bias), OUT(c), const int m, const int n,
                             const int splits, const int columns, const int bias_step,
                             const int has_bias, const int relu) {
    const int row = get_global_id(1), column_begin = get_global_id(0) * columns;
    const int column_end = min(column_begin + columns, n);
    for (int column = column_begin; column < column_end; column += VW) {
        const long place = (long)row * n + column;
        floatv sum = LOAD(AT(partial) + place);
        for (int split = 1; split < splits; split++)
            sum += LOAD(AT(partial) + split * ((long)m * n) + place);
        const float *values = (const float *)&sum;
        for (int j = 0; j < VW && column + j < column_end; j++)
            AT(c)[place + j] =
                finish(values[j], has_bias ? AT(bias) + (column + j) * bias_step : 0, relu);
    }
}
