/*
 * C = act(op(A) op(B) + bias) in tiles, for GPUs: the loads of tile.cl.h for dense matrices.
 * Intensity and traffic of a tile are there. A work-group reads TILE_M rows of op(A) and TILE_N
 * columns of op(B) once, and writes its part of C once: per tile 4 * K * (TILE_M + TILE_N) + 4 *
 * TILE_M * TILE_N bytes.
 */
#include "tile.cl.h"

/*
 * Groups (columns of tiles, rows of tiles, batch * splits). A batch is a number of products whose
 * matrices are a_batch, b_batch and c_batch elements apart. op(A) is [m,k]: A [m,k], or [k,m] if
 * A_ALONG_M; op(B) is [k,n]: B [k,n] if B_ALONG_N, else [n,k]. A split sums `part` steps (a
 * multiple of 4), the last what is left, into c + split * c_split; with several, bias is NULL and
 * relu 0.
 */
TILE_KERNEL void gemm_tiled(IN(a), IN(b), IN(bias), OUT(c), const int m, const int n, const int k,
                            const int part, const int splits, const long a_batch,
                            const long b_batch, const long c_batch, const long c_split,
                            const int relu) {
    const int x = get_local_id(0), y = get_local_id(1), item = y * GROUP_X + x;
    const int first_row = get_group_id(1) * TILE_M, first_column = get_group_id(0) * TILE_N;
    const int split = (int)get_group_id(2) % splits, batch = (int)get_group_id(2) / splits;
    const int begin = split * part, end = min(k, begin + part);
    const int a_pitch = A_ALONG_M ? m : k, b_pitch = B_ALONG_N ? n : k;
    const long a_step = A_ALONG_M ? m : 1, b_step = B_ALONG_N ? n : 1;
    __global const float *a_from =
        AT(a) + (batch * a_batch + begin * a_step + (A_ALONG_M ? first_row : (long)first_row * k));
    __global const float *b_from = AT(b) + (batch * b_batch + begin * b_step +
                                            (B_ALONG_N ? first_column : (long)first_column * k));
    float4 sums[ITEM_M][ITEM_N / 4], a_slots[A_SLOTS], b_slots[B_SLOTS];
    UNROLL for (int i = 0; i < ITEM_M; i++)
        UNROLL for (int j = 0; j < ITEM_N / 4; j++) sums[i][j] = (float4)(0);

#define LOAD_SLOTS(left)                                                                           \
    UNROLL for (int s = 0; s < A_SLOTS; s++) a_slots[s] =                                          \
        load_slot(A_ALONG_M, A_VECTOR, a_from, A_SLOT_AT(s), A_SLOT_K(s), m - first_row, left,     \
                  a_pitch);                                                                        \
    UNROLL for (int s = 0; s < B_SLOTS; s++) b_slots[s] =                                          \
        load_slot(B_ALONG_N, B_VECTOR, b_from, B_SLOT_AT(s), B_SLOT_K(s), n - first_column, left,  \
                  b_pitch);                                                                        \
    a_from += TILE_K * a_step;                                                                     \
    b_from += TILE_K * b_step;

#define A_IS_GATHERED 0
#define STEPS_ARE_QUADS 0
#define A_SLOT(s, left) mask_slot(A_ALONG_M, A_VECTOR, a_slots[s], A_SLOT_K(s), left)
#define B_SLOT(s, left) mask_slot(B_ALONG_N, B_VECTOR, b_slots[s], B_SLOT_K(s), left)

    SUM_PRODUCTS(begin, end)

    __global float *c_tile = AT(c) + split * c_split + batch * c_batch + (long)first_row * n;
    __global const float *bias_row = bias_base ? AT(bias) : 0;
    UNROLL for (int i = 0; i < ITEM_M; i++)
        if (first_row + ITEM_ROW(i) < m)
            UNROLL for (int j = 0; j < ITEM_N / 4; j++)
                store_sums(sums[i][j], c_tile + (long)ITEM_ROW(i) * n, first_column + ITEM_COLUMN(j),
                           n, bias_row, relu);
}
