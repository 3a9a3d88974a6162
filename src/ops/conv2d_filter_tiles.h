/* The direct family's filter gradient: which side of the product the vectors are of, how many
 * partial sums, and the launches of cl/conv2d_direct.cl's direct_filter_grad and
 * direct_filter_grad_few. */
#ifndef OCE_OPS_CONV2D_FILTER_TILES_H
#define OCE_OPS_CONV2D_FILTER_TILES_H

#include "ops/conv2d_tiles.h"

typedef struct oce_conv2d_filter_tiles {
    oce_conv2d_tiles tiles;
    bool is_few;    /* the filters are the rows of tiles, the vectors are of X */
    int64_t rows;   /* of partial sums: positions of the window, or taps * filters */
    int64_t splits; /* partial sums: a function of the shape, and of loops that the driver ends */
    int units;
} oce_conv2d_filter_tiles;

/* Rows and channels of the product, in the way in which it is computed; returns is_few. */
bool oce_conv2d_filter_sides(const oce_conv2d_shape *shape, const oce_limits *limits, int64_t *rows,
                             int64_t *channels);

/* Builds the kernels; OCE_ERROR_UNSUPPORTED if the driver ends their loops too soon. */
oce_status oce_conv2d_filter_tiles_get(oce_device *device, const oce_conv2d_shape *shape,
                                       oce_conv2d_filter_tiles *tiles);

/* What a group of a part computes: tiles of positions, or pairs of a block and a run of X, each
 * with the tiles of all filters. */
int64_t oce_conv2d_filter_group(const oce_conv2d_shape *shape, const oce_conv2d_filter_tiles *tiles,
                                const oce_conv2d_part *part);

/* The tensors, and where the partial sums are, splits * rows * tiles.padded floats: from element
 * partials_offset of `partials` on. x starts where the first window does. */
typedef struct oce_conv2d_filter_product {
    oce_conv2d_view x, dy;
    int64_t tap_down, tap; /* elements of x between the window's rows and taps */
    oce_buffer *partials;
    int64_t partials_offset;
    const oce_tensor *dfilter;
} oce_conv2d_filter_product;

oce_status oce_conv2d_filter_product_run(const oce_conv2d_layout *layout,
                                         const oce_conv2d_shape *shape,
                                         const oce_conv2d_filter_tiles *tiles,
                                         const oce_conv2d_filter_product *product);

#endif
