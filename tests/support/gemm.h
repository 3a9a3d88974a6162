/* Running the device's matrix product on host arrays, and what src/ref makes of the same arrays. */
#ifndef TESTS_SUPPORT_GEMM_H
#define TESTS_SUPPORT_GEMM_H

#include <ocelli/device.h>
#include <ocelli/gemm.h>

#include <stdint.h>

/* Dense arrays as the description has them; bias may be NULL. */
typedef struct gemm_data {
    const float *a, *b, *bias;
} gemm_data;

/* Where the tensors lie. */
typedef struct gemm_placing {
    bool is_block;  /* all in one buffer, as in a parameter block; else each ends its own */
    int64_t before; /* elements before each tensor, full of NaN */
} gemm_placing;

/* Opens the device with vectors of at most `width` floats (0: its own) for a family of CPUs; skips
 * the test on other devices, and where nothing fits the family. A simulator, which is no particular
 * device, is taken for a CPU. */
oce_device *gemm_open_cpu(int width, oce_gemm_family family);

/* Whether the family can serve on such a device, as its limits are, at all. */
bool gemm_serves(oce_device *device, oce_gemm_family family);

/* act(op(A) op(B) + bias) on `device`, dense; free() it. C and what lies around the tensors start
 * as NaN, so that it shows if something was not written, or read and used; fails the test if
 * anything but C was written. B is prepared if the plan of the description wants that. placing
 * NULL: own buffers, nothing before. */
float *gemm_run(oce_device *device, const oce_gemm_desc *desc, const gemm_data *data,
                const gemm_placing *placing);
/* The same by src/ref. */
float *gemm_expected(const oce_gemm_desc *desc, const gemm_data *data);

/* Random arrays for a description, with a bias if `has_bias`. Free them with gemm_free_data(). */
gemm_data gemm_random(const oce_gemm_desc *desc, bool has_bias, uint64_t seed);
void gemm_free_data(const gemm_data *data);

/* Runs a product of random arrays and compares with src/ref: off by at most 1e-5 of the largest
 * value. */
void gemm_check(oce_device *device, const oce_gemm_desc *desc, bool has_bias,
                const gemm_placing *placing, uint64_t seed);

/* All four transpose combinations of a shape, with and without bias and ReLU in turns. */
void gemm_check_shape(oce_device *device, oce_gemm_family family, int64_t m, int64_t n, int64_t k,
                      uint64_t seed);

typedef void gemm_shape_check(oce_device *device, int64_t m, int64_t n, int64_t k, uint64_t seed);

/* Checks random shapes with extents up to `limit`, and around the multiples of tiles and vectors.
 */
void gemm_sweep(oce_device *device, int shapes, int64_t limit, uint64_t seed,
                gemm_shape_check *check);

#endif
