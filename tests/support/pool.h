/* Running the device's pooling on host arrays. */
#ifndef TESTS_SUPPORT_POOL_H
#define TESTS_SUPPORT_POOL_H

#include <ocelli/device.h>
#include <ocelli/pool.h>

#include <stddef.h>
#include <stdint.h>

/* A description, planned, with its tensors. */
typedef struct pool_run {
    oce_device *device;
    oce_pool_desc desc;
    oce_pool_plan *plan;
    oce_buffer *winners; /* NULL for the average */
    oce_tensor x, y, dy, dx;
    int64_t x_shape[4], y_shape[4];
    size_t inputs, outputs;
} pool_run;

/* halo: of all tensors; NULL: none. */
pool_run pool_run_open(oce_device *device, const oce_pool_desc *desc, const oce_halo *halo);
void pool_run_close(pool_run *r);

/* y = pool(x) on the device; free() it. */
float *pool_run_forward(const pool_run *r, const float *x);

/* dx of the last forward pass; free() it. relu_output: as oce_pool_grad. */
float *pool_run_grad(const pool_run *r, const float *dy, const oce_tensor *relu_output);

#endif
