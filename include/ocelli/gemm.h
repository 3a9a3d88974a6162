/**
 * Matrix product C = act(op(A) op(B) + bias), row-major, for dense layers and for your own use.
 *
 * op(A) is [M,K]: A [M,K], or its transpose if A is stored [K,M]. op(B) is [K,N]: B [K,N], or its
 * transpose if B is stored [N,K]. A dense layer's passes are Y = X W + b, dX = dY W^T, dW = X^T dY
 * (oce_dense_product).
 *
 * A matrix may be stored in panels of P columns, which divide its columns: [rows, columns] as
 * [columns / P, rows, P]. A tensor that holds it has the shape of the matrix all the same.
 */
#ifndef OCELLI_GEMM_H
#define OCELLI_GEMM_H

#include <ocelli/activation.h>
#include <ocelli/tensor.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a product is computed. */
typedef enum oce_gemm_family {
    OCE_GEMM_AUTO = 0, /**< the library's rule for shape and device */
    OCE_GEMM_NAIVE,    /**< one output an item: any shape, any device */
    OCE_GEMM_PANEL,    /**< register tiles on packed panels, for CPUs */
    OCE_GEMM_CLBLAST,  /**< the CLBlast library */
    OCE_GEMM_THIN,     /**< results of one row or column, or few of them, for CPUs */
    OCE_GEMM_TILED,    /**< tiles in local memory or registers, for GPUs: rows of up to 2^23
                            elements, M, N, K up to 2^30 */
    OCE_GEMM_OWN,      /**< as AUTO, but not CLBlast */
    OCE_GEMM_FAMILIES
} oce_gemm_family;

/** "auto", "naive", "panel", "clblast", "thin", "tiled", "own". */
OCE_API const char *oce_gemm_family_name(oce_gemm_family family);

typedef struct oce_gemm_desc {
    int64_t m, n, k;
    bool transpose_a; /**< A is stored [K,M] */
    bool transpose_b; /**< B is stored [N,K] */
    oce_activation activation;
    oce_gemm_family family; /**< AUTO, OWN, or one that must be used */
    bool keeps_b;           /**< many products with one B are to come: families may want it
                                 prepared (oce_gemm_prepare) */
    int64_t b_panel; /**< B, as it is stored, lies in panels of so many columns; 0: in rows */
    int64_t c_panel; /**< so does C. Only OCE_GEMM_PANEL computes with panels. Those of C, and of a
                          B that is not transposed, must be as wide as one of its tiles; those of a
                          transposed B whole vectors. A B in panels is never prepared. See
                          oce_dense_panel() */
} oce_gemm_desc;

typedef struct oce_gemm_plan oce_gemm_plan;

/** Checks the description, picks a family and builds its kernels; allocates no device memory.
 * m, n or k may be 0: C is then empty, or act(bias) everywhere.
 * Errors: OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_OVERFLOW, OCE_ERROR_UNSUPPORTED, OCE_ERROR_BUILD.
 */
OCE_API oce_status oce_gemm_plan_create(oce_device *device, const oce_gemm_desc *desc,
                                        oce_gemm_plan **plan);
OCE_API void oce_gemm_plan_destroy(oce_gemm_plan *plan);
OCE_API oce_gemm_family oce_gemm_plan_family(const oce_gemm_plan *plan);
/** Bytes of workspace that oce_gemm_run needs. */
OCE_API size_t oce_gemm_plan_workspace(const oce_gemm_plan *plan);

/**
 * C = act(op(A) op(B) + bias). a, b, c: matrices {rows, 1, 1, columns} or any tensor whose elements
 * are dense and as many (an activation [N,H,W,C] without halo serves as [N, H*W*C]); bias: [N] or
 * NULL. c must not overlap a or b. workspace: NULL if oce_gemm_plan_workspace() is 0.
 * Errors: OCE_ERROR_SHAPE, OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_OPENCL.
 */
OCE_API oce_status oce_gemm_run(oce_gemm_plan *plan, const oce_tensor *a, const oce_tensor *b,
                                const oce_tensor *bias, const oce_tensor *c, oce_buffer *workspace);

/** Bytes of a prepared B; 0: the family takes B as it is, as each does without `keeps_b`. */
OCE_API size_t oce_gemm_plan_prepared_bytes(const oce_gemm_plan *plan);
/**
 * Brings B into the form that the plan computes with, or finds out about B what spares a plan work:
 * with few rows, those that zeros of A scale need not be read. Such a plan wants that in each run:
 * oce_gemm_run() fails with OCE_ERROR_INVALID_ARGUMENT. b: as oce_gemm_run; prepared: at least
 * oce_gemm_plan_prepared_bytes(); may be NULL if that is 0, and nothing is done.
 * Errors: as oce_gemm_run.
 */
OCE_API oce_status oce_gemm_prepare(oce_gemm_plan *plan, const oce_tensor *b, oce_buffer *prepared);
/** As oce_gemm_run, with the same bits as a plan without `keeps_b`; `prepared` was made of `b` as
 * it is. c must not lie in it. */
OCE_API oce_status oce_gemm_run_prepared(oce_gemm_plan *plan, const oce_tensor *a,
                                         const oce_tensor *b, const oce_buffer *prepared,
                                         const oce_tensor *bias, const oce_tensor *c,
                                         oce_buffer *workspace);

#ifdef __cplusplus
}
#endif

#endif
