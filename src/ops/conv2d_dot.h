/*
 * The direct family with few output channels: steps of the sum in the lanes of a vector, see
 * cl/conv2d_dot.cl.
 */
#ifndef OCE_OPS_CONV2D_DOT_H
#define OCE_OPS_CONV2D_DOT_H

#include "ops/conv2d_tiles.h"

typedef struct oce_conv2d_dot {
    int vector, outputs, pixels; /* floats, output channels, pixels of a tile */
    int64_t loop_rounds;         /* see oce_limits */
    oce_kernel *pack, *product;
} oce_conv2d_dot;

/* Where a filter has its numbers, in elements: the first, and how far it is to the next row and
 * column of the window, channel of the sum and output channel. */
typedef struct oce_conv2d_dot_filter {
    const oce_tensor *filter;
    int64_t first, row, column, channel, output;
} oce_conv2d_dot_filter;

/* Whether the forward pass, or the input gradient, is faster so than with output channels in the
 * lanes. The gradient's stride must have one phase. */
bool oce_conv2d_dot_suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass);

oce_status oce_conv2d_dot_get(oce_device *device, int64_t outputs, oce_conv2d_dot *dot);

/* The filter's extents for oce_size_product(): floats of its panels. */
enum { OCE_CONV2D_DOT_EXTENTS = 4 };
void oce_conv2d_dot_extents(const oce_conv2d_dot *dot, const oce_conv2d_shape *shape,
                            int64_t channels, int64_t extents[OCE_CONV2D_DOT_EXTENTS]);

/* Packs the filter, to element `at` of `workspace`, and computes the product. */
oce_status oce_conv2d_dot_run(const oce_conv2d_dot *dot, const oce_conv2d_product *product,
                              const oce_conv2d_dot_filter *filter, oce_buffer *workspace,
                              size_t at);

#endif
