/*
 * The core of the GPU families: C[M,N] = the sum over k of A[m,k] * B[k,n], a tile of TILE_M x
 * TILE_N a work-group, ITEM_M x ITEM_N of it an item. gemm_tiled.cl and the conv2d_implicit_gemm
 * files include it and differ in where A comes from and where C goes.
 *
 * Group: GROUP_X items along n (dimension 0, contiguous in memory), GROUP_Y along m. In each step
 * of TILE_K a group brings TILE_K x (TILE_M + TILE_N) floats into local memory, 16 bytes a load, and
 * every item multiplies: 2 barriers a step, none inside a condition. Traffic of a tile and step:
 * 4 * TILE_K * (TILE_M + TILE_N) bytes of global memory for 2 * TILE_K * TILE_M * TILE_N flops, so
 * TILE_M * TILE_N / (2 * (TILE_M + TILE_N)) flops a byte: 16 for 64 x 64, 32 for 128 x 128. Of local
 * memory an item reads ITEM_M + ITEM_N floats for ITEM_M * ITEM_N multiply-adds: 8 x 4 makes 1.33
 * flops a byte, 8 x 8 makes 2, and lanes that read the same address are served at once.
 *
 * An item's rows are 4 at 4 * y and, if ITEM_M is 8, 4 more half a tile below; the same for columns:
 * so neighbouring lanes read neighbouring 16 bytes, without bank conflicts. Rows of A in local
 * memory are padded by 4 floats (and so are those of B, if it is transposed on the way): 2-way
 * conflicts for the transposed stores instead of 4-way, and reads stay aligned.
 *
 * The sum of an element runs over k in order in one item, whatever the tile: all configurations give
 * the same bits. Only the bounds of a split (begin, end) change them.
 */

#ifndef TILE_M
#define TILE_M 64 /* rows of C a group */
#endif
#ifndef TILE_N
#define TILE_N 64 /* columns */
#endif
#ifndef TILE_K
#define TILE_K 16 /* steps of the sum between barriers: a multiple of 4; 4 if TILE_LOCAL is 0 */
#endif
#ifndef ITEM_M
#define ITEM_M 8 /* rows of an item: 4 or 8 */
#endif
#ifndef ITEM_N
#define ITEM_N 4 /* columns of an item: 4 or 8 */
#endif
#ifndef TILE_LOCAL
#define TILE_LOCAL 1 /* 0: operands go from the caches straight into registers */
#endif
#ifndef TILE_STAGED
#define TILE_STAGED 1 /* 1: the next step's loads are in flight while this one multiplies */
#endif
#ifndef TILE_UNROLL
#define TILE_UNROLL 4 /* steps of the inner loop, which is not unrolled further; divides TILE_K */
#endif
#ifndef TILE_FIXED_GROUP
#define TILE_FIXED_GROUP 1 /* 1: tell the compiler the group's size */
#endif

/* Whether 4 consecutive floats of A in memory lie along m (1) or along k (0); B: along n or k. */
#ifndef A_ALONG_M
#define A_ALONG_M 0
#endif
#ifndef B_ALONG_N
#define B_ALONG_N 1
#endif
/* The host's promise that the extent along which they lie is a multiple of 4, and that each 4 start
 * at a multiple of 16 bytes: one load each. C: the same for its rows and the bias. */
#ifndef A_VECTOR
#define A_VECTOR 0
#endif
#ifndef B_VECTOR
#define B_VECTOR 0
#endif
#ifndef C_VECTOR
#define C_VECTOR 0
#endif

/* Steps of the inner loop's body. Rows of A that each have their own address take the registers of
 * half of them. */
#define STEPS_AT_ONCE (A_ALONG_M && !A_VECTOR && TILE_UNROLL > 1 ? TILE_UNROLL / 2 : TILE_UNROLL)

#define GROUP_X (TILE_N / ITEM_N)
#define GROUP_Y (TILE_M / ITEM_M)
#define GROUP (GROUP_X * GROUP_Y)

#if TILE_FIXED_GROUP
#define TILE_KERNEL __kernel __attribute__((reqd_work_group_size(GROUP_X, GROUP_Y, 1)))
#else
#define TILE_KERNEL __kernel
#endif

/* Floats of 4 that an item loads a step: its slots. */
#if TILE_LOCAL
#define A_SLOTS ((TILE_M * TILE_K / 4 + GROUP - 1) / GROUP)
#define B_SLOTS ((TILE_N * TILE_K / 4 + GROUP - 1) / GROUP)
#else
#define A_SLOTS ITEM_M
#define B_SLOTS ITEM_N
#endif

/* Floats from a step's row in local memory to the next. */
#define A_ROW (TILE_M + 4)
#define B_ROW (TILE_N + (B_ALONG_N ? 0 : 4))

/* Where the 4 floats of slot `slot` start in the tile of an operand: at step slot_k(), row (column)
 * slot_at(). `tile` is TILE_M or TILE_N, `share` ITEM_M or ITEM_N, `along` A_ALONG_M or B_ALONG_N,
 * `item` the item's number in its group, `own` its y (x). */
static inline int slot_k(const int along, const int tile, const int share, const int item,
                         const int own, const int slot) {
#if TILE_LOCAL
    const int number = item + slot * GROUP;
    return along ? number / (tile / 4) : number % (TILE_K / 4) * 4;
#else
    return along ? slot / (share / 4) : 0;
#endif
}

static inline int slot_at(const int along, const int tile, const int share, const int item,
                          const int own, const int slot) {
#if TILE_LOCAL
    const int number = item + slot * GROUP;
    return along ? number % (tile / 4) * 4 : number / (TILE_K / 4);
#else
    return along ? own * 4 + slot % (share / 4) * (tile / 2)
                 : own * 4 + slot % 4 + slot / 4 * (tile / 2);
#endif
}

#define A_SLOT_K(slot) slot_k(A_ALONG_M, TILE_M, ITEM_M, item, y, slot)
#define A_SLOT_AT(slot) slot_at(A_ALONG_M, TILE_M, ITEM_M, item, y, slot)
#define B_SLOT_K(slot) slot_k(B_ALONG_N, TILE_N, ITEM_N, item, x, slot)
#define B_SLOT_AT(slot) slot_at(B_ALONG_N, TILE_N, ITEM_N, item, x, slot)

#define LOAD4(p) (*(__global const float4 *)(p))

static inline float lane(const float4 v, const int i) {
    return i == 0 ? v.s0 : i == 1 ? v.s1 : i == 2 ? v.s2 : v.s3;
}

/* ---- Dense operands ------------------------------------------------------------------------ */

/* from[index]. `from` is the same for all items, the index below 2^30: GPUs add such an offset,
 * in bytes and without a sign, on the way to memory. */
static inline __global const float *element(__global const float *from, const int index) {
    return (__global const float *)((__global const char *)from + (uint)index * 4u);
}

/*
 * Loads a slot of a dense matrix. `from` is the first element of the tile's step; `at` and `k` the
 * slot's row (along: column) and step in the tile; `extent` the rows (columns) and `left` the steps
 * from there to the matrix's end, `pitch` the elements between rows in memory, up to 2^23.
 *
 * Rows beyond the matrix repeat its last one: they are never stored. Steps beyond the end read
 * `from` instead and are zeroed when the loads have come back, by mask_slot(); loads of one float
 * along k, which would need 4 addresses for that, leave them out.
 */
static inline float4 load_slot(const int along, const int vector, __global const float *from,
                               const int at, const int k, const int extent, const int left,
                               const int pitch) {
    if (along) {
        const int row = k < left ? k * pitch : 0;
        if (vector)
            return LOAD4(element(from, row + min(at, extent - 4)));
        return (float4)(*element(from, row + min(at, extent - 1)),
                        *element(from, row + min(at + 1, extent - 1)),
                        *element(from, row + min(at + 2, extent - 1)),
                        *element(from, row + min(at + 3, extent - 1)));
    }
    const int row = min(at, extent - 1) * pitch;
    if (vector)
        return LOAD4(element(from, k < left ? row + k : 0));
    __global const float *of = element(from, row + k);
    if (left >= TILE_K) /* the same for all items: one address a slot, nothing to test */
        return (float4)(of[0], of[1], of[2], of[3]);
    float4 v = (float4)(0);
    if (k < left)
        v.s0 = of[0];
    if (k + 1 < left)
        v.s1 = of[1];
    if (k + 2 < left)
        v.s2 = of[2];
    if (k + 3 < left)
        v.s3 = of[3];
    return v;
}

/* A slot without its steps beyond the end; scalar loads along k have left them out. */
static inline float4 mask_slot(const int along, const int vector, const float4 v, const int k,
                               const int left) {
    return (!along && !vector) || k < left ? v : (float4)(0);
}

/* ---- Gathered operands --------------------------------------------------------------------- */

/* A slot of A that was gathered: TAPS places, each with a bit in `valid` that says whether it counts.
 * TAPS is 1 (the 4 floats lie side by side) or 4, and the slot's number `s`. */
#define A_GATHERED(place)                                                                          \
    (A_VECTOR ? LOAD4(place[0])                                                                    \
              : (float4)(*place[0], *place[1 % TAPS], *place[2 % TAPS], *place[3 % TAPS]))
#define A_INSIDE(s, e) (valid >> ((s)*TAPS + (e) % TAPS) & 1u)
#define A_MASKED(s)                                                                                \
    (A_VECTOR ? (A_INSIDE(s, 0) ? a_slots[s] : (float4)(0))                                        \
              : (float4)(A_INSIDE(s, 0) ? a_slots[s].s0 : 0.0f,                                    \
                         A_INSIDE(s, 1) ? a_slots[s].s1 : 0.0f,                                    \
                         A_INSIDE(s, 2) ? a_slots[s].s2 : 0.0f,                                    \
                         A_INSIDE(s, 3) ? a_slots[s].s3 : 0.0f))

/* ---- Into local memory, and the products --------------------------------------------------- */

#if TILE_LOCAL

#define TILE_MEMORY                                                                                \
    __local float a_tile[TILE_K * A_ROW] __attribute__((aligned(16)));                             \
    __local float b_tile[TILE_K * B_ROW] __attribute__((aligned(16)));

/* Stores a slot: tile[k][at...], or tile[k...][at] if its floats are consecutive steps. */
static inline void store_slot(const int along, __local float *tile, const int row, const int at,
                              const int k, const float4 v) {
    __local float *to = tile + k * row + at;
    if (along) {
        *(__local float4 *)to = v;
    } else {
        to[0] = v.s0;
        to[row] = v.s1;
        to[2 * row] = v.s2;
        to[3 * row] = v.s3;
    }
}

/* False for the last slot of items that have one less than the others. */
#define A_SLOT_EXISTS(slot)                                                                        \
    (TILE_M * TILE_K / 4 % GROUP == 0 || item + (slot) * GROUP < TILE_M * TILE_K / 4)
#define B_SLOT_EXISTS(slot)                                                                        \
    (TILE_N * TILE_K / 4 % GROUP == 0 || item + (slot) * GROUP < TILE_N * TILE_K / 4)

/* sums += A B of a step. a: the item's first row in a_tile, b: its first column in b_tile. */
static inline void multiply_tile(float4 sums[ITEM_M][ITEM_N / 4], __local const float *a,
                                 __local const float *b) {
    _Pragma("nounroll") for (int step = 0; step < TILE_K; step += STEPS_AT_ONCE) {
        UNROLL for (int k = 0; k < STEPS_AT_ONCE; k++) {
            float4 left[ITEM_M / 4], right[ITEM_N / 4];
            UNROLL for (int i = 0; i < ITEM_M / 4; i++) left[i] =
                *(__local const float4 *)(a + k * A_ROW + i * (TILE_M / 2));
            UNROLL for (int j = 0; j < ITEM_N / 4; j++) right[j] =
                *(__local const float4 *)(b + k * B_ROW + j * (TILE_N / 2));
            UNROLL for (int i = 0; i < ITEM_M; i++)
                UNROLL for (int j = 0; j < ITEM_N / 4; j++) sums[i][j] =
                    FMA((float4)(lane(left[i / 4], i % 4)), right[j], sums[i][j]);
        }
        a += STEPS_AT_ONCE * A_ROW;
        b += STEPS_AT_ONCE * B_ROW;
    }
}

#else

/* sums += A B of 4 steps, from an item's own slots. */
static inline void multiply_slots(float4 sums[ITEM_M][ITEM_N / 4], const float4 a[A_SLOTS],
                                  const float4 b[B_SLOTS]) {
    UNROLL for (int k = 0; k < 4; k++) {
        float4 right[ITEM_N / 4];
        UNROLL for (int j = 0; j < ITEM_N / 4; j++) right[j] =
            B_ALONG_N ? b[B_ALONG_N ? k * (ITEM_N / 4) + j : 0]
                      : (float4)(lane(b[4 * j], k), lane(b[4 * j + 1], k), lane(b[4 * j + 2], k),
                                 lane(b[4 * j + 3], k));
        UNROLL for (int i = 0; i < ITEM_M; i++) {
            const float left =
                A_ALONG_M ? lane(a[A_ALONG_M ? k * (ITEM_M / 4) + i / 4 : 0], i % 4)
                          : lane(a[i], k);
            UNROLL for (int j = 0; j < ITEM_N / 4; j++) sums[i][j] =
                FMA((float4)(left), right[j], sums[i][j]);
        }
    }
}

#endif

/* ---- The sum ------------------------------------------------------------------------------- */

/*
 * SUM_PRODUCTS(begin, end): sums += A B over the steps from begin to end, of which a kernel says:
 *
 * LOAD_SLOTS(left)    loads the slots of TILE_K steps, of which `left` are left, and moves on
 * A_SLOT(s, left)     slot s of the last loaded step as it counts: what is not there is 0
 * B_SLOT(s, left)
 * A_IS_GATHERED       1: A_SLOT() has something to say of every step, not only of the last
 * STEPS_ARE_QUADS     1: 4 divides their number
 *
 * The kernel has item, x, y, sums, a_slots and b_slots.
 */
#if TILE_LOCAL

#define SUM_PRODUCTS(begin, end)                                                                   \
    TILE_MEMORY                                                                                    \
    if (TILE_STAGED && (begin) < (end)) {                                                          \
        LOAD_SLOTS((end) - (begin))                                                                \
    }                                                                                              \
    for (int at = (begin); at < (end); at += TILE_K) {                                             \
        const int steps = (end)-at;                                                                \
        if (!TILE_STAGED) {                                                                        \
            LOAD_SLOTS(steps)                                                                      \
        }                                                                                          \
        UNROLL for (int s = 0; s < A_SLOTS; s++) if (A_SLOT_EXISTS(s))                             \
            store_slot(A_ALONG_M, a_tile, A_ROW, A_SLOT_AT(s), A_SLOT_K(s), A_SLOT(s, steps));     \
        UNROLL for (int s = 0; s < B_SLOTS; s++) if (B_SLOT_EXISTS(s))                             \
            store_slot(B_ALONG_N, b_tile, B_ROW, B_SLOT_AT(s), B_SLOT_K(s), B_SLOT(s, steps));     \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        if (TILE_STAGED && steps > TILE_K) {                                                       \
            LOAD_SLOTS(steps - TILE_K)                                                             \
        }                                                                                          \
        multiply_tile(sums, a_tile + 4 * y, b_tile + 4 * x);                                       \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
    }

#else

#define SUM_PRODUCTS(begin, end)                                                                   \
    int at = (begin);                                                                              \
    for (; at + TILE_K <= (end); at += TILE_K) { /* all of B is there */                           \
        LOAD_SLOTS(TILE_K)                                                                         \
        if (A_IS_GATHERED) {                                                                       \
            UNROLL for (int s = 0; s < A_SLOTS; s++) a_slots[s] = A_SLOT(s, TILE_K);               \
        }                                                                                          \
        multiply_slots(sums, a_slots, b_slots);                                                    \
    }                                                                                              \
    if (!STEPS_ARE_QUADS && at < (end)) {                                                          \
        const int steps = (end)-at;                                                                \
        LOAD_SLOTS(steps)                                                                          \
        UNROLL for (int s = 0; s < A_SLOTS; s++) a_slots[s] = A_SLOT(s, steps);                    \
        UNROLL for (int s = 0; s < B_SLOTS; s++) b_slots[s] = B_SLOT(s, steps);                    \
        multiply_slots(sums, a_slots, b_slots);                                                    \
    }

#endif

/* ---- Results ------------------------------------------------------------------------------- */

/* Row i, and first column of the j-th 4, of the item in its tile. */
#define ITEM_ROW(i) (4 * y + (i) % 4 + (i) / 4 * (TILE_M / 2))
#define ITEM_COLUMN(j) (4 * x + (j) * (TILE_N / 2))

/* act(sum + bias) of 4 columns from `column` on of the n columns of a row: a store of 16 bytes, or
 * what there is of it. bias: NULL, or that of column 0. NaN stays NaN. */
static inline void store_sums(const float4 sum, __global float *row, const int column, const int n,
                              __global const float *bias, const int relu) {
#if C_VECTOR
    if (column >= n)
        return;
    const float4 value = bias ? sum + LOAD4(bias + column) : sum;
    *(__global float4 *)(row + column) = relu ? select(value, (float4)(0), value <= 0) : value;
#else
    UNROLL for (int e = 0; e < 4; e++) {
        if (column + e < n) {
            const float value = lane(sum, e) + (bias ? bias[column + e] : 0.0f);
            row[column + e] = relu && value <= 0 ? 0.0f : value;
        }
    }
#endif
}
