/* A pass of a convolution as both Winograd families see it. */
#ifndef OCE_OPS_WINOGRAD_PASS_H
#define OCE_OPS_WINOGRAD_PASS_H

#include "ops/conv2d_internal.h"

/* The input gradient is a forward pass from dY to dX. */
typedef struct oce_winograd_pass {
    oce_pass pass;
    int64_t alpha, tile;         /* inputs and outputs of a tile along an axis */
    int64_t channels, filters;   /* from, to */
    int64_t input[2], output[2]; /* rows and columns */
    int64_t before[2];           /* padding; may be negative */
    int64_t grid[2], tiles;      /* tiles of an image, of all images */
} oce_winograd_pass;

/* Tiles of 4 x 4 outputs, or of 2 x 2 where that takes fewer multiplications. */
oce_winograd_pass oce_winograd_pass_of(const oce_conv2d_shape *shape, oce_pass pass);

/* Whether there are tiles of the outputs that the tuning table asks for: 4, or 2 if has_small; if
 * not, `reason` says so. */
bool oce_winograd_outputs(const oce_conv2d_shape *shape, bool has_small, char *reason,
                          size_t reason_bytes);

/* Whether the window is 3 x 3 or 5 x 5, of stride and dilation 1; if not, `reason` says why. */
bool oce_winograd_window(const oce_window_geometry *g, char *reason, size_t reason_bytes);

/* Input channels that a pass may sum over, so that its error stays below 2e-5 of the largest value:
 * it was measured as 1.2e-5 for up to 512 (5 x 5) and 8e-6 for 4096 (3 x 3). */
int64_t oce_winograd_most_channels(const oce_window_geometry *g);

/* Floats of local memory that a group may take: `wanted`, or what leaves room in less. The same for
 * all plans of a device, as it is compiled in. */
int64_t oce_winograd_local(const oce_limits *limits, int64_t wanted);

#endif
