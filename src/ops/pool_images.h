/* Pooling of some of a batch's images, for a model that computes a layer in strips of images. */
#ifndef OCE_OPS_POOL_IMAGES_H
#define OCE_OPS_POOL_IMAGES_H

#include <ocelli/pool.h>

/* Checks a description as oce_pool_plan_create() does, and resolves its window. */
oce_status oce_pool_resolve(const oce_pool_desc *desc, oce_window_geometry *geometry);

/* As oce_pool_forward(), but only for the images first..first+count-1 of the plan's batch: x has
 * those alone, y and the winners are of the whole batch. */
oce_status oce_pool_forward_images(oce_pool_plan *plan, int64_t first, int64_t count,
                                   const oce_tensor *x, const oce_tensor *y, oce_buffer *winners);

/* As oce_pool_grad(): dx has those images alone; dy, winners and relu_output are of the whole
 * batch. */
oce_status oce_pool_grad_images(oce_pool_plan *plan, int64_t first, int64_t count,
                                const oce_tensor *dy, const oce_buffer *winners,
                                const oce_tensor *relu_output, const oce_tensor *dx);

/* As oce_pool_plan_create(), where a convolution computes the forward pass: its kernel is not
 * built. */
oce_status oce_pool_plan_create_gradient(oce_device *device, const oce_pool_desc *desc,
                                         oce_pool_plan **plan);

#endif
