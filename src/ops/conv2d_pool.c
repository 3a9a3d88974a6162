/* A convolution that pools its output. */
#include "ops/conv2d_pool.h"

#include "base/status.h"
#include "ops/conv2d_internal.h"
#include "ops/pool_images.h"

oce_status oce_conv2d_plan_create_pooled(oce_device *device, const oce_conv2d_desc *desc,
                                         const oce_window *window, oce_conv2d_plan **result) {
    *result = NULL;
    oce_conv2d_shape shape;
    OCE_TRY(oce_conv2d_resolve(desc, OCE_PASS_FORWARD, &shape));
    const oce_pool_desc pool = {.kind = OCE_POOL_MAX,
                                .batch = desc->batch,
                                .height = shape.y_dim[1],
                                .width = shape.y_dim[2],
                                .channels = desc->filters,
                                .window = *window};
    shape.is_pooled = oce_pool_resolve(&pool, &shape.pool) == OCE_OK && shape.pool.output[0] > 0 &&
                      shape.pool.output[1] > 0;
    if (!shape.is_pooled)
        return OCE_OK;
    OCE_TRY(oce_conv2d_plan_resolved(device, desc, &shape, OCE_PASS_FORWARD, result));
    if (oce_conv2d_plan_family(*result, OCE_PASS_FORWARD) != OCE_CONV2D_AUTO)
        return OCE_OK;
    oce_conv2d_plan_destroy(*result);
    *result = NULL;
    return OCE_OK;
}

oce_status oce_conv2d_forward_pooled(oce_conv2d_plan *plan, const oce_tensor *x,
                                     const oce_tensor *filter, const oce_buffer *prepared,
                                     const oce_tensor *bias, const oce_tensor *y,
                                     oce_buffer *winners, oce_buffer *workspace) {
    const oce_conv2d_operands operands = {x, filter, bias, y, prepared, winners};
    if (winners != NULL)
        OCE_TRY(oce_buffer_expect(winners, "max pool: winners", oce_tensor_count(y)));
    return oce_conv2d_forward_operands(plan, &operands, workspace);
}
