/*
 * A convolution whose forward pass gives what a max pool makes of Y, which is never written: of
 * families that keep enough of Y in a cache at a time. Bit for bit what oce_conv2d_forward() and
 * oce_pool_forward() give.
 */
#ifndef OCE_OPS_CONV2D_POOL_H
#define OCE_OPS_CONV2D_POOL_H

#include <ocelli/conv2d.h>
#include <ocelli/pool.h>

/* Plans a forward pass and the max pool of its Y, by `window`. *plan is NULL if the family that
 * computes the forward pass cannot pool, or not these windows; or if they are none of a max pool,
 * of which oce_pool_plan_create() says why. Such a plan runs by oce_conv2d_forward_pooled() only.
 * Errors: as oce_conv2d_plan_create. */
oce_status oce_conv2d_plan_create_pooled(oce_device *device, const oce_conv2d_desc *desc,
                                         const oce_window *window, oce_conv2d_plan **plan);

/* y = max pool(act(conv(x, filter) + bias)); prepared: NULL, or made of the filter; y and winners:
 * as oce_pool_forward; the others, and errors, as oce_conv2d_forward. */
oce_status oce_conv2d_forward_pooled(oce_conv2d_plan *plan, const oce_tensor *x,
                                     const oce_tensor *filter, const oce_buffer *prepared,
                                     const oce_tensor *bias, const oce_tensor *y,
                                     oce_buffer *winners, oce_buffer *workspace);

#endif
