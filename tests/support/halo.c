#include "support/halo.h"

#include "support/device.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

void test_expect_clear_halo(const oce_tensor *tensor, const char *name) {
    const size_t bytes = oce_buffer_bytes(tensor->buffer);
    float *all = test_zeros(bytes / sizeof(float));
    TEST_OK(oce_buffer_read(tensor->buffer, 0, all, bytes));
    const int64_t *dim = tensor->dim, *stride = tensor->stride;
    for (int64_t n = 0; n < dim[0]; n++)
        for (int64_t h = 0; h < dim[1]; h++)
            for (int64_t w = 0; w < dim[2]; w++)
                memset(all + tensor->offset + n * stride[0] + h * stride[1] + w * stride[2], 0,
                       (size_t)dim[3] * sizeof(float));
    size_t written = 0;
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        written += all[i] != 0.0F;
    cr_expect_eq(written, 0, "%s: %zu elements outside the interior were written", name, written);
    free(all);
}
