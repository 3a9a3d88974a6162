/*
 * Brings the matrix B of a product into the panels of cl/gemm_panel.cl, for many products with it.
 *
 * A panel has NR columns of op(B) and all steps of K: [N / NR, K, NR]. The tiles read it from front
 * to back; behind column N there are zeros.
 */

#include "transpose.cl.h"

/* 1: B is stored [N,K]. 0: [K,N]. */
#ifndef GEMM_TRANSPOSE_B
#define GEMM_TRANSPOSE_B 0
#endif

/* b: B [k,n], or [n,k]. prepared: [panels, k, nr]; nr is a multiple of VW. Groups: panels, and
 * stretches of `stretch` steps of K (a multiple of 16). */
KERNEL void gemm_prepare(IN(b), OUT(prepared), const int n, const int k, const int nr,
                         const int stretch) {
    const int column = get_global_id(0) * nr, begin = get_global_id(1) * stretch;
    const int end = min(begin + stretch, k);
    __global float *to = AT(prepared) + (long)column * k;
#if GEMM_TRANSPOSE_B
    for (int j = 0; j < nr; j += VW)
        for (int at_k = begin; at_k < end; at_k += VW) {
            floatv square[VW];
            for (int i = 0; i < VW; i++) {
                const int lanes = column + j + i < n ? k - at_k : 0;
                square[i] = load_lanes(AT(b) + (long)(column + j + i) * k + at_k, lanes);
            }
            transpose_square(square);
            UNROLL for (int i = 0; i < VW; i++)
                if (at_k + i < end)
                    STORE(square[i], to + (long)(at_k + i) * nr + j);
        }
#else
    for (int at_k = begin; at_k < end; at_k++)
        for (int j = 0; j < nr; j += VW)
            STORE(load_lanes(AT(b) + (long)at_k * n + column + j, n - column - j),
                  to + (long)at_k * nr + j);
#endif
}
