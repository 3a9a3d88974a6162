/* Running the device's convolution on host arrays, and what src/ref makes of the same arrays. */
#ifndef TESTS_SUPPORT_CONV2D_H
#define TESTS_SUPPORT_CONV2D_H

#include <ocelli/conv2d.h>
#include <ocelli/device.h>

#include <stdbool.h>
#include <stdint.h>

/* Dense arrays. A pass reads those that its formula names; bias may be NULL. */
typedef struct conv2d_data {
    const float *x, *filter, *bias, *dy;
} conv2d_data;

/* Where the tensors lie. */
typedef struct conv2d_placing {
    oce_halo x_halo, y_halo; /* of X or dX, of Y or dY */
    int64_t before;          /* elements before each tensor in its buffer */
} conv2d_placing;

/* n x h x w x c to k filters of r x s, padding same, ReLU. */
oce_conv2d_desc conv2d_same(oce_conv2d_family family, int64_t n, int64_t h, int64_t w, int64_t c,
                            int64_t k, int64_t r, int64_t s);

/* What a plan of one pass, as oce_conv2d_plan_create() makes it, computes with. */
oce_conv2d_family conv2d_family(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass);

/* oce_conv2d_plan_create(), but under a simulator im2col's products are naive: building CLBlast's
 * kernels would take minutes. */
oce_status conv2d_plan(oce_device *device, const oce_conv2d_desc *desc, unsigned passes,
                       oce_conv2d_plan **plan);

/* Whether the family can serve such a device, as its limits are, a 3x3 window at least. */
bool conv2d_serves(oce_device *device, oce_conv2d_family family);

/* The result of a pass on `device`: Y, dX or dF, dense; free() it. Buffers start full of NaN, so
 * that what is not written, or was read and should not count, shows; fails the test if elements
 * that are not part of the result were written. placing NULL: no halos, no elements before. */
float *conv2d_run(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                  const conv2d_data *data, const conv2d_placing *placing);
/* The same by src/ref. */
float *conv2d_expected(const oce_conv2d_desc *desc, oce_pass pass, const conv2d_data *data);

/* The extents of a pass's result: X's, F's or Y's. */
void conv2d_result_shape(const oce_conv2d_desc *desc, oce_pass pass, int64_t shape[4]);

/* Random arrays for a description; bias included. Free them with conv2d_free_data(). */
conv2d_data conv2d_random(const oce_conv2d_desc *desc, uint64_t seed);
void conv2d_free_data(const conv2d_data *data);

/* Runs a pass on random arrays (bias NULL if 4 divides the seed) and compares with src/ref: off by
 * at most `of_largest` of the largest value. */
void conv2d_check(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                  const conv2d_placing *placing, uint64_t seed, double of_largest);

/* "naive forward n2 h9 w7 c3 k5 window 3x3 stride 1x1 dilation 1x1 padding same"; valid until the
 * next call. */
const char *conv2d_describe(const oce_conv2d_desc *desc, oce_pass pass);

/* Checks `count` random descriptions, each with a random pass and placing: odd sizes, many channel
 * counts, windows to 7 x 7, strides and dilations to 3, every padding, with and without bias and
 * ReLU. What the family does not serve is left out; returns how many were checked. */
int conv2d_sweep(oce_device *device, oce_conv2d_family family, int count, uint64_t seed,
                 double of_largest);

/* Every test vector of the repository that `family` serves. */
void conv2d_check_vectors(oce_device *device, oce_conv2d_family family);

#endif
