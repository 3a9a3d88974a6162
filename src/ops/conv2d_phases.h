/*
 * The input gradient of the direct family. For a stride of s the input positions h with the same
 * (h + padding) mod s are reached by the same taps, and over those positions and taps the gradient
 * is a convolution of stride 1 over dY: a phase. All phases are one launch.
 */
#ifndef OCE_OPS_CONV2D_PHASES_H
#define OCE_OPS_CONV2D_PHASES_H

#include "ops/conv2d_dot.h"

/* Window taps this far apart along an axis share a phase. */
int64_t oce_conv2d_tap_step(const oce_window_geometry *g, int axis);

/* How many phases have taps, along an axis. */
int64_t oce_conv2d_phase_count(const oce_window_geometry *g, int axis);

/* The kernel of the products: direct_forward if there is one phase. */
const char *oce_conv2d_phases_kernel(const oce_window_geometry *g);

/* Rows and columns outside dY that the phases read. */
oce_halo oce_conv2d_gradient_reach(const oce_window_geometry *g);

/* What is brought into order before the products. */
typedef struct oce_conv2d_gradient {
    const oce_conv2d_tiles *tiles; /* or, with few input channels: */
    const oce_conv2d_dot *dot;     /* NULL: not */
    const oce_window_geometry *window;
    const oce_tensor *dy, *filter, *dx;
    oce_buffer *workspace;
    size_t panels, image;  /* elements of the workspace: filter, and copy of dY */
    const oce_halo *reach; /* of the copy; NULL: dY is read in place */
} oce_conv2d_gradient;

/* dX. The filter goes into panels of window taps * filters * tiles->padded floats, or of
 * oce_conv2d_dot_extents(). */
oce_status oce_conv2d_gradient_run(const oce_conv2d_layout *layout,
                                   const oce_conv2d_gradient *gradient);

#endif
