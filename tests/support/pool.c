#include "support/pool.h"

#include "support/device.h"
#include "support/gradient.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

pool_run pool_run_open(oce_device *device, const oce_pool_desc *desc, const oce_halo *halo) {
    pool_run r = {.device = device, .desc = *desc};
    TEST_OK(oce_pool_plan_create(device, desc, &r.plan));
    const oce_window_geometry *g = oce_pool_plan_geometry(r.plan);
    const int64_t x[4] = {desc->batch, desc->height, desc->width, desc->channels};
    const int64_t y[4] = {desc->batch, g->output[0], g->output[1], desc->channels};
    memcpy(r.x_shape, x, sizeof x);
    memcpy(r.y_shape, y, sizeof y);
    r.inputs = test_product(x[0], x[1], x[2], x[3]);
    r.outputs = test_product(y[0], y[1], y[2], y[3]);
    r.x = test_tensor(device, x[0], x[1], x[2], x[3], halo, NULL);
    r.y = test_tensor(device, y[0], y[1], y[2], y[3], halo, NULL);
    r.dy = test_tensor(device, y[0], y[1], y[2], y[3], halo, NULL);
    r.dx = test_tensor(device, x[0], x[1], x[2], x[3], halo, NULL);
    if (desc->kind == OCE_POOL_MAX) {
        cr_assert_eq(oce_pool_plan_winner_bytes(r.plan), r.outputs);
        TEST_OK(oce_buffer_create(device, r.outputs, &r.winners));
    } else {
        cr_assert_eq(oce_pool_plan_winner_bytes(r.plan), 0);
    }
    return r;
}

void pool_run_close(pool_run *r) {
    oce_tensor_release(&r->dx);
    oce_tensor_release(&r->dy);
    oce_tensor_release(&r->y);
    oce_tensor_release(&r->x);
    oce_buffer_destroy(r->winners);
    oce_pool_plan_destroy(r->plan);
}

float *pool_run_forward(const pool_run *r, const float *x) {
    TEST_OK(oce_tensor_write(&r->x, x));
    TEST_OK(oce_pool_forward(r->plan, &r->x, &r->y, r->winners));
    return test_download(&r->y);
}

float *pool_run_grad(const pool_run *r, const float *dy, const oce_tensor *relu_output) {
    float *garbage = test_random(r->inputs, 99);
    TEST_OK(oce_tensor_write(&r->dx, garbage)); /* what is not written must show */
    TEST_OK(oce_tensor_write(&r->dy, dy));
    TEST_OK(oce_pool_grad(r->plan, &r->dy, r->winners, relu_output, &r->dx));
    free(garbage);
    return test_download(&r->dx);
}
