/*
 * The transforms of Winograd convolution: windows of r x r, stride 1. Tiles of TILE x TILE outputs
 * are computed from ALPHA x ALPHA inputs, ALPHA = TILE + r - 1, with ALPHA^2 multiplications for
 * each pair of channels where the direct sum takes TILE^2 r^2:
 *
 *   forward          Y tile = A^T [(G F G^T) . (B^T X B)] A          . is element by element
 *   filter gradient  dF     = G^T [sum over tiles of (B^T X B) . (A dY A^T)] G
 *
 * Element by element over all tiles and channels is a product of matrices for each of the ALPHA^2
 * positions. The transforms are evaluations of polynomials at the points 0, p and -p for PAIRS
 * values of p, and infinity, in this order; a polynomial's even and odd half serve p and -p
 * together.
 */

/* Inputs of a tile along an axis: 4, 6 or 8. */
#ifndef ALPHA
#define ALPHA 6
#endif

/* Outputs of a tile along an axis. */
#ifndef TILE
#define TILE 4
#endif

#define WINDOW (ALPHA - TILE + 1)
#define POSITIONS (ALPHA * ALPHA)
#define PAIRS ((ALPHA - 2) / 2)

/* On CPUs: floats of local memory that a group takes for its scratch memory; 0: it has a part of a buffer.
 * Local memory of a CPU's thread is the same for all its groups, and so stays in its cache. */
#ifndef SCRATCH_FLOATS
#define SCRATCH_FLOATS 0
#endif
#if SCRATCH_FLOATS
#define SCRATCH __local
#define TAKE_SCRATCH(name, group)                                                                  \
    __local float scratch_memory[SCRATCH_FLOATS] __attribute__((aligned(64)));                     \
    __local float *name = scratch_memory
#else
#define SCRATCH __global
#define TAKE_SCRATCH(name, group) __global float *name = AT(scratch) + (group) * scratch_group
#endif
#define KEEP(value, pointer) (*(SCRATCH floatv_of_floats *)(pointer) = (value))

/*
 * Stores that pass by the caches, of whole lines: no line is read first, and what is in the cache
 * stays there. For results so large that nothing would find them there. Pointers are multiples of a
 * vector's size; STREAMED() comes after the last.
 */
#if CAN_PREFETCH && VW == 16
#define CAN_STREAM 1
#define STREAM(value, pointer) __builtin_nontemporal_store(value, (__global floatv *)(pointer))
#define STREAMED() __sync_synchronize()
#else
#define CAN_STREAM 0
#define STREAM(value, pointer) STORE(value, pointer)
#define STREAMED() (void)0
#endif

/*
 * The points p, chosen for small rounding errors. With y = x^2: ALL is the product of all (y - p^2)
 * and OTHERS that of all but one's own, lowest power first, without the leading 1; SCALE is 1 /
 * (the derivative of x * ALL) at 0 and at each p.
 */
#if ALPHA == 4
#define POINTS {1.0f}
#define ALL {-1.0f}
#define OTHERS {{0.0f}}
#define SCALE {-1.0f, 1 / 2.0f}
#elif ALPHA == 6
#define POINTS {0.625f, 1.5f}
#define ALL {0.87890625f, -2.640625f}
#define OTHERS {{-2.25f}, {-0.390625f}}
#define SCALE {1 / 0.87890625f, -1 / 1.45263671875f, 1 / 8.3671875f}
#else
#define POINTS {1.0f, 2.0f, 0.5f}
#define ALL {-1.0f, 5.25f, -5.25f}
#define OTHERS {{1.0f, -4.25f}, {0.25f, -1.25f}, {4.0f, -5.0f}}
#define SCALE {-1.0f, -1 / 4.5f, 1 / 90.0f, 1 / 1.40625f}
#endif

/* Rows 0 and ALPHA - 1 of B^T x: those of the points 0 and infinity. */
static inline void transform_input_ends(const floatv x[ALPHA], floatv *zero, floatv *infinity) {
    const float all[] = ALL;
    floatv first = x[ALPHA - 2], last = x[ALPHA - 1];
    UNROLL for (int i = 0; i < PAIRS; i++) {
        first = FMA((floatv)(all[i]), x[2 * i], first);
        last = FMA((floatv)(all[i]), x[2 * i + 1], last);
    }
    *zero = first;
    *infinity = last;
}

/* Rows 2k + 1 and 2k + 2 of B^T x: those of p and -p, the points of pair k. */
static inline void transform_input_pair(const floatv x[ALPHA], const int k, floatv *plus,
                                        floatv *minus) {
    const float point[] = POINTS, others[PAIRS][PAIRS > 1 ? PAIRS - 1 : 1] = OTHERS;
    floatv even = x[ALPHA - 2], odd = x[ALPHA - 3];
    UNROLL for (int i = 0; i < PAIRS - 1; i++) {
        even = FMA((floatv)(others[k][i]), x[2 * i + 2], even);
        odd = FMA((floatv)(others[k][i]), x[2 * i + 1], odd);
    }
    *plus = FMA((floatv)(point[k]), odd, even);
    *minus = FMA((floatv)(-point[k]), odd, even);
}

/* out = B^T x. */
static inline void transform_input(const floatv x[ALPHA], floatv out[ALPHA]) {
    transform_input_ends(x, out, out + ALPHA - 1);
    UNROLL for (int k = 0; k < PAIRS; k++)
        transform_input_pair(x, k, out + 2 * k + 1, out + 2 * k + 2);
}

/* Loops have constant bounds and n an own test: some compilers unroll before they know n. */

/* The polynomial with the n coefficients x, lowest first, at p and -p, the points of pair k. */
static inline void evaluate_pair(const floatv *x, const int n, const int k, floatv *plus,
                                 floatv *minus) {
    const float point[] = POINTS;
    floatv even = x[0], odd = (floatv)(point[k]) * x[1];
    float power = point[k];
    UNROLL for (int i = 2; i < ALPHA; i++) {
        power *= point[k];
        if (i < n && i % 2 == 0)
            even = FMA((floatv)(power), x[i], even);
        if (i < n && i % 2 == 1)
            odd = FMA((floatv)(power), x[i], odd);
    }
    *plus = even + odd;
    *minus = even - odd;
}

/* The same at all points: A x if n is TILE, and G x without its scale if n is WINDOW. */
static inline void evaluate(const floatv *x, const int n, floatv out[ALPHA]) {
    out[0] = x[0];
    out[ALPHA - 1] = x[n - 1];
    UNROLL for (int k = 0; k < PAIRS; k++)
        evaluate_pair(x, n, k, out + 2 * k + 1, out + 2 * k + 2);
}

/* Where all positions are too many for a group: the pairs of their rows that it takes, which divide
 * ALPHA / 2. Pair 0 are the rows of 0 and infinity, the others those of p and -p, which have most of
 * their arithmetic in common. */
#ifndef ROW_PAIRS
#define ROW_PAIRS (ALPHA / 2)
#endif

/* Rows of a group, and groups that share the rows. */
#define ROWS_TAKEN (2 * ROW_PAIRS)
#define ROW_PARTS (ALPHA / 2 / ROW_PAIRS)

/* Which of all rows is row i of a group whose first pair is first_pair. */
static inline int row_taken(const int first_pair, const int i) {
    const int pair = first_pair + i / 2;
    if (ROW_PARTS == 1)
        return i;
    if (pair > 0)
        return 2 * pair - 1 + i % 2;
    return i % 2 == 0 ? 0 : ALPHA - 1;
}

/* Those rows of B^T x, to_step apart. */
static inline void transform_input_rows(const floatv x[ALPHA], const int first_pair, floatv *to,
                                        const int to_step) {
#if ROW_PARTS == 1
    floatv transformed[ALPHA];
    transform_input(x, transformed);
    UNROLL for (int i = 0; i < ALPHA; i++) to[i * to_step] = transformed[i];
#else
    for (int pair = first_pair; pair < first_pair + ROW_PAIRS; pair++, to += 2 * to_step)
        if (pair == 0)
            transform_input_ends(x, to, to + to_step);
        else
            transform_input_pair(x, pair - 1, to, to + to_step);
#endif
}

/* The same of A y. */
static inline void evaluate_rows(const floatv y[TILE], const int first_pair, floatv *to,
                                 const int to_step) {
#if ROW_PARTS == 1
    floatv transformed[ALPHA];
    evaluate(y, TILE, transformed);
    UNROLL for (int i = 0; i < ALPHA; i++) to[i * to_step] = transformed[i];
#else
    for (int pair = first_pair; pair < first_pair + ROW_PAIRS; pair++, to += 2 * to_step)
        if (pair == 0) {
            to[0] = y[0];
            to[to_step] = y[TILE - 1];
        } else {
            evaluate_pair(y, TILE, pair - 1, to, to + to_step);
        }
#endif
}

/* Element i, a literal, of what interpolate() computes. No loop over i: Intel's compiler for CPUs
 * unrolls none with conditions in it, and the constants would be computed at run time. */
#define ELEMENT(i)                                                                                 \
    {                                                                                              \
        floatv value = i == 0 ? x[0] : i == n - 1 ? x[ALPHA - 1] : (floatv)(0);                    \
        UNROLL for (int k = 0; k < PAIRS; k++) {                                                   \
            value = FMA((floatv)(power[k]), i % 2 == 0 ? sum[k] : difference[k], value);           \
            power[k] *= point[k];                                                                  \
        }                                                                                          \
        if (i < n)                                                                                 \
            out[i] = value;                                                                        \
    }

/* The transpose of evaluate(): n values from ALPHA. A^T x if n is TILE. */
static inline void interpolate(const floatv x[ALPHA], const int n, floatv *out) {
    const float point[] = POINTS;
    floatv sum[PAIRS], difference[PAIRS];
    float power[PAIRS];
    UNROLL for (int k = 0; k < PAIRS; k++) {
        sum[k] = x[2 * k + 1] + x[2 * k + 2];
        difference[k] = x[2 * k + 1] - x[2 * k + 2];
        power[k] = 1;
    }
    ELEMENT(0)
    ELEMENT(1)
    ELEMENT(2)
    ELEMENT(3)
#if ALPHA > 4
    ELEMENT(4)
    ELEMENT(5)
#endif
#if ALPHA > 6
    ELEMENT(6)
    ELEMENT(7)
#endif
}

/* The scale of G for element i of ALPHA; chosen from constants, since i may differ between items. */
static inline float scale(const int i) {
    const float scales[] = SCALE;
    float chosen = 1; /* of infinity, the last */
    UNROLL for (int k = 0; k <= PAIRS; k++) chosen = (i + 1) / 2 == k ? scales[k] : chosen;
    return chosen;
}

/* On CPUs: the register tile, see conv2d_direct.cl. */
#ifndef TILE_ROWS
#define TILE_ROWS 4
#endif
#ifndef TILE_VECTORS
#define TILE_VECTORS 2
#endif

#define TILE_WIDTH (TILE_VECTORS * VW)

/* Stores the first `rows` rows of a register tile one behind the other, or adds them to what is
 * there. Surplus rows, made of what lies behind, go where the first row follows them: conditions
 * within the unrolled loops would take compilers long. */
static inline void store_sums(floatv sums[TILE_ROWS][TILE_VECTORS], const int rows,
                              const bool adds, __global float *to) {
    if (adds)
        UNROLL for (int m = 0; m < TILE_ROWS; m++)
            UNROLL for (int v = 0; v < TILE_VECTORS; v++)
                sums[m][v] += vloadv(v, to + (m < rows ? m : 0) * TILE_WIDTH);
    UNROLL for (int m = TILE_ROWS - 1; m >= 0; m--)
        UNROLL for (int v = 0; v < TILE_VECTORS; v++)
            STORE(sums[m][v], to + (m < rows ? m : 0) * TILE_WIDTH + v * VW);
}

/*
 * On CPUs, hints within loops that have other things to do: for a line, and for n pixels of a
 * column, `down` apart, of a tile whose turn comes later. Tiles lie far apart in memory, row by row;
 * without hints their transforms wait longer than they compute, also those of outputs, as a store
 * brings a line into the cache before it changes it. Hints may point outside an image and its
 * buffer, where they do nothing: that costs less than to find out.
 */
#if CAN_PREFETCH
#define ASK_FOR(pointer) PREFETCH(pointer)
#define ASK_FOR_COLUMN(hint, pixel, down, n)                                                       \
    UNROLL for (int i_ = 0; i_ < (n); i_++) hint((pixel) + i_ * (down))
#else
#define ASK_FOR(pointer) (void)0
#define ASK_FOR_COLUMN(hint, pixel, down, n) (void)0
#endif

/* The rows taken of A dY A^T of VW channels of a tile of TILE x TILE outputs, whose first is (row,
 * column) of an image; what lies outside is 0. Position p of them goes to out[p * out_position].
 * Asks for the outputs that are `ahead` of these. */
static inline void load_outputs(__global const float *image, const long down, const long right,
                                const int rows, const int columns, const int row, const int column,
                                const int first_pair, const long ahead, SCRATCH float *out,
                                const int out_position) {
    floatv partway[ROWS_TAKEN * TILE]; /* A dY */
    for (int j = 0; j < TILE; j++) {
        floatv y[TILE];
        const bool inside = column + j < columns;
        __global const float *from = image + row * down + (column + j) * right;
        UNROLL for (int i = 0; i < TILE; i++) y[i] =
            inside && row + i < rows ? vloadv(0, from + i * down) : (floatv)(0);
        ASK_FOR_COLUMN(PREFETCH_TO_L2, from + ahead, down, TILE);
        evaluate_rows(y, first_pair, partway + j, TILE);
    }
    for (int i = 0; i < ROWS_TAKEN; i++) {
        floatv transformed[ALPHA];
        evaluate(partway + i * TILE, TILE, transformed);
        UNROLL for (int j = 0; j < ALPHA; j++)
            KEEP(transformed[j], out + (i * ALPHA + j) * out_position);
    }
}

/*
 * Max pooling of what a group has in its scratch memory: windows of POOL_KH x POOL_KW, POOL_SH and
 * POOL_SW apart, POOL_TOP rows and POOL_LEFT columns of padding. POOL_KH 0: no kernel pools.
 */
#ifndef POOL_KH
#define POOL_KH 0
#endif
#ifndef POOL_KW
#define POOL_KW 2
#endif
#ifndef POOL_SH
#define POOL_SH 2
#endif
#ifndef POOL_SW
#define POOL_SW 2
#endif
#ifndef POOL_TOP
#define POOL_TOP 0
#endif
#ifndef POOL_LEFT
#define POOL_LEFT 0
#endif

#if POOL_KH

/* Unrolls the loops over a whole window, unless it is large. */
#if POOL_KH * POOL_KW <= 25
#define UNROLL_WINDOW UNROLL
#else
#define UNROLL_WINDOW
#endif

/* PoCL calls a function of this size, and passes the vectors through memory. */
#define ALWAYS_INLINE __attribute__((always_inline))

typedef ucharv ucharv_of_bytes __attribute__((aligned(1)));

/* The first `lanes` lanes of winners, a byte each. */
static inline void store_winners(const intv winners, __global uchar *to, const int lanes) {
    if (lanes >= VW) {
        *(__global ucharv_of_bytes *)to = convert_ucharv(winners);
        return;
    }
    int some[VW];
    vstorev(winners, 0, some);
    for (int i = 0; i < lanes; i++)
        to[i] = (uchar)some[i];
}

typedef struct maximum {
    floatv value;
    intv position;
} maximum;

/* As in pool.cl: a NaN or an equal that comes later does not win. */
#define TAKE_LARGER(m, from, at)                                                                   \
    do {                                                                                           \
        const floatv candidate = vloadv(0, from);                                                  \
        const intv wins = (m).value < candidate;                                                   \
        (m).value = select((m).value, candidate, wins);                                            \
        (m).position = select((m).position, (intv)(at), wins);                                     \
    } while (0)

/* The maximum of rows r0..r1-1 and columns s0..s1-1 of a window whose element (0,0) is at x. */
ALWAYS_INLINE maximum max_of_part(SCRATCH const float *x, const int down, const int right,
                                  const int r0, const int r1, const int s0, const int s1) {
    maximum m;
    m.value = vloadv(0, x + r0 * down + s0 * right);
    m.position = (intv)(r0 * POOL_KW + s0);
    for (int r = r0; r < r1; r++)
        for (int s = s0; s < s1; s++)
            TAKE_LARGER(m, x + r * down + s * right, r * POOL_KW + s);
    return m;
}

ALWAYS_INLINE maximum max_of_window(SCRATCH const float *x, const int down, const int right) {
    maximum m;
    m.value = vloadv(0, x);
    m.position = (intv)(0);
    UNROLL_WINDOW
    for (int r = 0; r < POOL_KH; r++)
        UNROLL_WINDOW
        for (int s = 0; s < POOL_KW; s++)
            if (r + s > 0)
                TAKE_LARGER(m, x + r * down + s * right, r * POOL_KW + s);
    return m;
}

/*
 * Row i of what the pool makes of some channels of the image of rows x columns whose pixel (0,0)
 * lies, or would lie, at x, pixels `right` floats apart: the first `lanes` of them to `to` and,
 * unless that is absent, the winners to `winners`, `channels` bytes a pixel.
 */
ALWAYS_INLINE void pool_row(SCRATCH const float *x, const int down, const int right, const int rows,
                            const int columns, const int i, const int pool_columns, const int lanes,
                            __global float *to, const long to_right, __global uchar *winners,
                            const int channels) {
    const int r0 = max(0, POOL_TOP - i * POOL_SH);
    const int r1 = min(POOL_KH, rows + POOL_TOP - i * POOL_SH);
    x += (i * POOL_SH - POOL_TOP) * down - POOL_LEFT * right;
    for (int j = 0; j < pool_columns; j++) {
        const int s0 = max(0, POOL_LEFT - j * POOL_SW);
        const int s1 = min(POOL_KW, columns + POOL_LEFT - j * POOL_SW);
        const bool is_whole = r1 - r0 == POOL_KH && s1 - s0 == POOL_KW;
        for (int c = 0; c < lanes; c += VW) {
            SCRATCH const float *window = x + j * POOL_SW * right + c;
            maximum m;
            if (is_whole)
                m = max_of_window(window, down, right);
            else
                m = max_of_part(window, down, right, r0, r1, s0, s1);
            store_lanes(m.value, to + j * to_right + c, lanes - c);
            if (winners)
                store_winners(m.position, winners + j * channels + c, lanes - c);
        }
    }
}

/* The same for rows begin..end-1; to and winners are those of row 0. */
static inline void pool_rows(SCRATCH const float *x, const int down, const int right,
                             const int rows, const int columns, const int begin, const int end,
                             const int pool_columns, const int lanes, __global float *to,
                             const long to_down, const long to_right, __global uchar *winners,
                             const int channels) {
    if (winners)
        for (int i = begin; i < end; i++)
            pool_row(x, down, right, rows, columns, i, pool_columns, lanes, to + i * to_down,
                     to_right, winners + (long)i * pool_columns * channels, channels);
    else
        for (int i = begin; i < end; i++)
            pool_row(x, down, right, rows, columns, i, pool_columns, lanes, to + i * to_down,
                     to_right, 0, channels);
}

/* Asks for a vector of each pixel of the rows begin..end-1 of the pool's outputs, to write it. */
static inline void fetch_pooled(__global const float *to, const long to_down, const long to_right,
                                const int begin, const int end, const int pool_columns) {
#if CAN_PREFETCH
    for (int i = begin; i < end; i++)
        for (int j = 0; j < pool_columns; j++)
            PREFETCH_TO_WRITE(to + i * to_down + j * to_right);
#endif
}

/* How many rows of the pool's outputs hold nothing beyond the first `rows` rows of its input. */
static inline int pooled_of(const int rows) {
    return max(rows + POOL_TOP - POOL_KH + POOL_SH, 0) / POOL_SH;
}

#endif
