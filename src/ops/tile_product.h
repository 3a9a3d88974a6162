/*
 * Matrix products in tiles (cl/gemm_tiled.cl), one or a batch of equal ones, with the partial sums
 * and their addition: what the tiled GEMM and the Winograd family on GPUs share.
 */
#ifndef OCE_OPS_TILE_PRODUCT_H
#define OCE_OPS_TILE_PRODUCT_H

#include "ops/tile_config.h"

/* C[m,n] = op(A) op(B), `batch` times: A [m,k] or [k,m], B [k,n] or [n,k]. */
typedef struct oce_tile_product {
    oce_device *device;
    int64_t m, n, k, batch;
    bool transpose_a, transpose_b;
    char asked;                        /* oce_tile_shape.asked */
    int64_t splits, part;              /* of k; steps of a split, a multiple of 16 */
    bool vector_a, vector_b, vector_c; /* rows are a multiple of 4 floats: whole vectors */
    oce_tile tile;
    oce_kernel *aligned; /* for operands that start at multiples of 4 floats */
} oce_tile_product;

/* Whether the kernels can count the product's elements; if not, `reason` says why. */
bool oce_tile_product_serves(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
                             const oce_limits *limits, char *reason, size_t reason_bytes);

/* Builds the kernels. The first members, up to `asked`, are the caller's; served. */
oce_status oce_tile_product_prepare(oce_tile_product *product);

/* Floats of the partial sums; 0 if there is one split; SIZE_MAX if they cannot be counted. */
size_t oce_tile_product_partials(const oce_tile_product *product);

/* A dense operand: matrices one behind the other from element `offset` on. */
typedef struct oce_tile_operand {
    const oce_buffer *buffer;
    uint64_t offset;
} oce_tile_operand;

typedef struct oce_tile_operands {
    oce_tile_operand a, b, c;
    oce_tile_operand bias; /* [n]; buffer NULL: none. Only if batch is 1 */
    oce_tile_operand
        partials; /* at a multiple of 4 floats; read only if there are several splits */
    bool relu;
} oce_tile_operands;

oce_status oce_tile_product_run(const oce_tile_product *product, const oce_tile_operands *operands);

/* out = act(bias + the sum of splits * count partial sums), rows of n elements. */
oce_status oce_tile_sum(oce_device *device, oce_tile_operand partials, oce_tile_operand bias,
                        oce_tile_operand out, int64_t count, int64_t n, int64_t splits, bool relu);
/* Builds its kernel. */
oce_status oce_tile_sum_prepare(oce_device *device, int64_t n);

#endif
