#include "support/device.h"

#include "base/random.h"

#include <criterion/criterion.h>
#include <stdlib.h>

void test_require_ok(oce_status status, const char *call, const char *file, int line) {
    cr_assert(status == OCE_OK, "%s:%d: %s: %s: %s", file, line, call, oce_status_text(status),
              oce_last_error());
}

oce_device *test_open_device(void) {
    oce_device *device = NULL;
    TEST_OK(oce_device_open(NULL, &device));
    return device;
}

bool test_is_small(void) {
    const char *value = getenv("OCELLI_TEST_SMALL");
    return value != NULL && value[0] != '\0' && value[0] != '0';
}

oce_tensor test_tensor(oce_device *device, int64_t n, int64_t h, int64_t w, int64_t c,
                       const oce_halo *halo, const float *data) {
    const int64_t dim[4] = {n, h, w, c};
    oce_tensor tensor;
    TEST_OK(oce_tensor_create(device, dim, halo, &tensor));
    if (data != NULL)
        TEST_OK(oce_tensor_write(&tensor, data));
    return tensor;
}

float *test_download(const oce_tensor *tensor) {
    float *data = test_zeros(oce_tensor_count(tensor));
    TEST_OK(oce_tensor_read(tensor, data));
    return data;
}

float *test_zeros(size_t count) {
    float *data = calloc(count + 1, sizeof *data);
    cr_assert(data != NULL);
    return data;
}

float *test_random(size_t count, uint64_t seed) {
    float *data = test_zeros(count);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 0);
    for (size_t i = 0; i < count; i++)
        data[i] = oce_random_uniform(&random) * 2 - 1;
    return data;
}
