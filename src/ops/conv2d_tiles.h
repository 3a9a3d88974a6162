/*
 * Register tiles: how the direct family cuts output channels into blocks, and the launches of
 * cl/conv2d_direct.cl's kernels over them.
 */
#ifndef OCE_OPS_CONV2D_TILES_H
#define OCE_OPS_CONV2D_TILES_H

#include "ops/conv2d_internal.h"

/* Blocks of channels of one width: the kernel was built for tiles of rows x vectors. */
typedef struct oce_conv2d_part {
    int64_t first;  /* first channel */
    int64_t blocks; /* of `vectors` vectors each */
    int vectors, rows;
    int lanes; /* used lanes of a block's last vector */
    oce_kernel *kernel;
} oce_conv2d_part;

typedef struct oce_conv2d_tiles {
    int vector;          /* floats */
    int64_t loop_rounds; /* see oce_limits */
    int64_t channels;    /* output channels of the product */
    int64_t padded;      /* rounded up to whole vectors */
    int count;           /* of parts: blocks of full width, and a narrower last one */
    oce_conv2d_part parts[2];
} oce_conv2d_tiles;

/* Cuts a product of rows x channels into blocks for the device and builds `kernel` for them. asked:
 * the tile; OCE_ERROR_UNSUPPORTED if there is none such. */
oce_status oce_conv2d_tiles_get(oce_device *device, const oce_conv2d_choice *asked,
                                const char *kernel, int64_t rows, int64_t channels,
                                oce_conv2d_tiles *tiles);

/* What a step of the sums of all such tiles costs: see register_tile.h. */
int64_t oce_conv2d_step_cost(const oce_limits *limits, int64_t rows, int64_t channels);

/* Of the direct family: as oce_conv2d_configurations(). */
int oce_conv2d_tile_configurations(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION]);

/* The same in blocks of one width, for `channels` that are a multiple of the vector width. */
oce_conv2d_tiles oce_conv2d_blocks_of(oce_device *device, int64_t channels);

/* Builds `kernel` of `file` for such blocks, with `defines` and the tile, which is added to them.
 */
oce_status oce_conv2d_blocks_get(oce_device *device, const char *file, const char *kernel,
                                 oce_defines *defines, oce_conv2d_tiles *tiles);

/* Copies the filter into panels at element `at` of `workspace`, tap_rows * tiles->padded floats. */
oce_status oce_conv2d_pack(const oce_conv2d_layout *layout, const oce_conv2d_tiles *tiles,
                           const oce_tensor *filter, oce_buffer *workspace, size_t at);

/* The filter's panels for the input gradient: those of every phase, whose taps are `step` apart.
 * `count` taps from `first` on are packed: the others are never read. */
typedef struct oce_conv2d_grad_pack {
    const oce_tensor *filter;
    int64_t step[2], first[2], count[2];
    oce_buffer *workspace;
    size_t at; /* element of the workspace: taps * filters * tiles->padded floats */
} oce_conv2d_grad_pack;

/* One launch that packs the filter, copies dY (NULL: not) and clears dX (NULL: not). */
oce_status oce_conv2d_prepare_grad(const oce_conv2d_layout *layout, const oce_conv2d_tiles *tiles,
                                   const oce_conv2d_grad_pack *pack, const oce_conv2d_copy *copy,
                                   const oce_tensor *cleared);

/* Rounds of loops in a tile, besides those over the steps: what is said to be unrolled counts too.
 */
enum { OCE_CONV2D_TILE_ROUNDS = 64 };

/* How many pixels a group of direct_forward takes, a multiple of the tile's rows. */
typedef struct oce_conv2d_work {
    int64_t pixels, products; /* of each of so many products of one launch */
    int64_t steps;            /* window taps * channels: of the mean product, */
    int64_t most_steps;       /* and of the longest */
} oce_conv2d_work;

int64_t oce_conv2d_group_pixels(const oce_conv2d_work *work, const oce_conv2d_tiles *tiles,
                                const oce_conv2d_part *part);
/* Window rows, of so many steps each, whose filter stays in the cache. */
int64_t oce_conv2d_pass_rows(int64_t steps, const oce_conv2d_part *part, int vector);

/* Windows along an axis: the first starts at `start` of the `input` positions, the next `step`
 * further, and taps are `dilation` apart. */
typedef struct oce_conv2d_axis {
    int64_t size, output, input, start, step, dilation;
} oce_conv2d_axis;

/* How many of all windows' taps are inside, along the axis; *is_idle: there is a tap that is not,
 * of any window. */
int64_t oce_conv2d_inside(const oce_conv2d_axis *axis, bool *is_idle);

/* Whether taps outside the image must be left out, since they are outside for all windows, or it
 * pays, as windows hang over the edge so much. */
bool oce_conv2d_clips(const oce_conv2d_axis *axis);

/* Images as direct_forward sees them: how far it is from one position to the next, in elements. */
typedef struct oce_conv2d_view {
    const oce_buffer *buffer;
    int64_t offset; /* to the first position */
    int64_t image, down, right;
} oce_conv2d_view;

/* A view of every stride_h-th row and stride_w-th column from (row, column) on. */
oce_conv2d_view oce_conv2d_view_of(const oce_tensor *tensor, int64_t row, int64_t column,
                                   int64_t stride_h, int64_t stride_w);

/* A convolution without padding: what direct_forward computes. */
typedef struct oce_conv2d_product {
    oce_conv2d_view x, y;
    int64_t tap_down, tap;  /* elements of x between the window's rows and taps */
    int64_t size[2];        /* of the window */
    int64_t channels;       /* of x */
    int64_t dilation_right; /* 1: the taps of a row lie side by side */
    int64_t images, output[2];
    /* Where windows are in x's images of `input` rows and columns: the first starts at `start`, the
     * next `step` further, and taps are `dilation` apart. */
    int64_t input[2], start[2], step[2], dilation[2];
    const oce_buffer *filter;
    int64_t filter_offset;
    bool is_packed; /* the filter is in panels, else [row][channel] */
    const oce_tensor *bias;
    bool relu;
} oce_conv2d_product;

oce_status oce_conv2d_product_run(const oce_conv2d_tiles *tiles, const oce_conv2d_product *product);

#endif
