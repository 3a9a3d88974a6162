/*
 * The copies of the im2col family: a matrix of columns from the images, images from it, and dense
 * pixels from and to tensors with halos or gaps. See cl/conv2d_im2col.cl.
 */
#ifndef OCE_OPS_CONV2D_COLUMNS_H
#define OCE_OPS_CONV2D_COLUMNS_H

#include "ops/conv2d_internal.h"

/* A kernel for tensors whose rows of channels are aligned, and for others. */
typedef struct oce_columns_pair {
    oce_kernel *aligned, *plain;
    int aligned_vector, plain_vector; /* floats */
} oce_columns_pair;

typedef struct oce_columns_kernels {
    bool is_cpu;
    oce_columns_pair columns; /* the matrix from X, or dX from the matrix */
    oce_columns_pair dense;   /* dense pixels from dY, or Y from them */
    oce_kernel *add;          /* filter gradient only */
} oce_columns_kernels;

/* Builds those that a pass needs. */
oce_status oce_columns_kernels_get(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   oce_columns_kernels *kernels);

/* The matrix, from element `at` of `target` on, of `count` pixels of the output from `first` on. */
oce_status oce_columns_gather(const oce_columns_kernels *kernels, const oce_columns_pair *pair,
                              const oce_tensor *x, const oce_window_geometry *g, oce_buffer *target,
                              size_t at, int64_t first, int64_t count);

/* `count` pixels of y, from `first` on, from dense rows at element `at` of `source`. */
oce_status oce_columns_spread(const oce_columns_kernels *kernels, const oce_buffer *source,
                              size_t at, const oce_tensor *y, int64_t first, int64_t count);

/* Images and rows of dX that come from one matrix, and the rows of Y in it. */
typedef struct oce_columns_band {
    int64_t image, images, row, rows, y_row, y_rows;
} oce_columns_band;

/* The band's part of dX from the matrix at element `at` of `source`. */
oce_status oce_columns_fold(const oce_columns_kernels *kernels, const oce_buffer *source, size_t at,
                            const oce_window_geometry *g, const oce_tensor *dx,
                            const oce_columns_band *band);

/* sum[i] += part[i] for `count` elements; part begins at element `at` of `source`. */
oce_status oce_columns_add(const oce_columns_kernels *kernels, const oce_buffer *source, size_t at,
                           const oce_tensor *sum, int64_t count);

#endif
