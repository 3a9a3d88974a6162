/* A device, tensors and random numbers for tests. Failures end the test. */
#ifndef TESTS_SUPPORT_DEVICE_H
#define TESTS_SUPPORT_DEVICE_H

#include <ocelli/device.h>
#include <ocelli/tensor.h>

#include <stdbool.h>
#include <stdint.h>

/* Opens the device that OCELLI_DEVICE names (auto without). */
oce_device *test_open_device(void);

/* True if sizes must be small, because a simulator runs the kernels (OCELLI_TEST_SMALL). */
bool test_is_small(void);

/* A tensor with `data` (dense; NULL: zeros) in its interior. halo NULL: none. */
oce_tensor test_tensor(oce_device *device, int64_t n, int64_t h, int64_t w, int64_t c,
                       const oce_halo *halo, const float *data);
/* The interior, dense; free() it. */
float *test_download(const oce_tensor *tensor);

/* `count` floats (and never NULL, also for 0): uniform in [-1, 1), a function of the seed. */
float *test_random(size_t count, uint64_t seed);
float *test_zeros(size_t count);

/* Ends the test with oce_last_error() unless `status` is OCE_OK. */
#define TEST_OK(call) test_require_ok((call), #call, __FILE__, __LINE__)
void test_require_ok(oce_status status, const char *call, const char *file, int line);

#endif
