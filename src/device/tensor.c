/* Tensors: views of float32 numbers, with an optional border of zeros. */
#include "device/device.h"

#include "base/size.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static const oce_halo no_halo = {0, 0, 0, 0};

#define DIM_FORMAT "[%lld, %lld, %lld, %lld]"
#define DIM_ARGS(d) (long long)(d)[0], (long long)(d)[1], (long long)(d)[2], (long long)(d)[3]

oce_status oce_tensor_elements(const int64_t dim[4], const oce_halo *halo, size_t *elements) {
    if (halo == NULL)
        halo = &no_halo;
    OCE_REQUIRE(dim[0] >= 0 && dim[1] >= 0 && dim[2] >= 0 && dim[3] >= 0,
                OCE_ERROR_INVALID_ARGUMENT, "tensor extents " DIM_FORMAT ": one is negative",
                DIM_ARGS(dim));
    OCE_REQUIRE(halo->top >= 0 && halo->bottom >= 0 && halo->left >= 0 && halo->right >= 0,
                OCE_ERROR_INVALID_ARGUMENT, "halo %lld, %lld, %lld, %lld: one side is negative",
                (long long)halo->top, (long long)halo->bottom, (long long)halo->left,
                (long long)halo->right);
    const int64_t limit = INT64_C(1) << 40;
    bool fits = halo->top < limit && halo->bottom < limit && halo->left < limit &&
                halo->right < limit && dim[1] < limit && dim[2] < limit;
    size_t count = 0;
    if (fits) {
        const int64_t padded[4] = {dim[0], dim[1] + halo->top + halo->bottom,
                                   dim[2] + halo->left + halo->right, dim[3]};
        size_t bytes = 0;
        int64_t full[4]; /* strides must fit even where an extent of 0 makes the tensor empty */
        for (int i = 0; i < 4; i++)
            full[i] = padded[i] > 0 ? padded[i] : 1;
        fits = oce_size_product(full, 4, &count) && oce_size_mul(count, sizeof(float), &bytes) &&
               bytes <= (size_t)INT64_MAX && oce_size_product(padded, 4, &count);
    }
    OCE_REQUIRE(fits, OCE_ERROR_OVERFLOW, "a tensor of " DIM_FORMAT " is too large", DIM_ARGS(dim));
    *elements = count;
    return OCE_OK;
}

oce_status oce_tensor_view(oce_buffer *buffer, size_t offset, const int64_t dim[4],
                           const oce_halo *halo, oce_tensor *tensor) {
    if (halo == NULL)
        halo = &no_halo;
    size_t elements = 0, end = 0, bytes = 0;
    OCE_TRY(oce_tensor_elements(dim, halo, &elements));
    OCE_REQUIRE(oce_size_add(offset, elements, &end) && oce_size_mul(end, sizeof(float), &bytes) &&
                    bytes <= oce_buffer_bytes(buffer),
                OCE_ERROR_SHAPE,
                "a tensor of " DIM_FORMAT " at element %zu does not fit into a buffer of %zu bytes",
                DIM_ARGS(dim), offset, oce_buffer_bytes(buffer));
    const int64_t row = (dim[2] + halo->left + halo->right) * dim[3];
    *tensor = (oce_tensor){
        .buffer = buffer,
        .offset = offset + (size_t)(halo->top * row + halo->left * dim[3]),
        .dim = {dim[0], dim[1], dim[2], dim[3]},
        .stride = {(dim[1] + halo->top + halo->bottom) * row, row, dim[3], 1},
        .halo = *halo,
    };
    return OCE_OK;
}

oce_status oce_tensor_create(oce_device *device, const int64_t dim[4], const oce_halo *halo,
                             oce_tensor *tensor) {
    *tensor = (oce_tensor){0};
    size_t elements = 0;
    OCE_TRY(oce_tensor_elements(dim, halo, &elements));
    oce_buffer *buffer = NULL;
    OCE_TRY(oce_buffer_create(device, elements * sizeof(float), &buffer));
    oce_status status = oce_buffer_clear(buffer, 0, elements * sizeof(float));
    if (status == OCE_OK)
        status = oce_tensor_view(buffer, 0, dim, halo, tensor);
    if (status != OCE_OK)
        oce_buffer_destroy(buffer);
    return status;
}

void oce_tensor_release(oce_tensor *tensor) {
    oce_buffer_destroy(tensor->buffer);
    *tensor = (oce_tensor){0};
}

size_t oce_tensor_count(const oce_tensor *tensor) {
    return (size_t)tensor->dim[0] * (size_t)tensor->dim[1] * (size_t)tensor->dim[2] *
           (size_t)tensor->dim[3];
}

bool oce_tensor_is_dense(const oce_tensor *tensor) {
    const int64_t *d = tensor->dim, *s = tensor->stride;
    if (oce_tensor_count(tensor) == 0)
        return true;
    return s[3] == 1 && (d[2] == 1 || s[2] == d[3]) && (d[1] == 1 || s[1] == d[2] * d[3]) &&
           (d[0] == 1 || s[0] == d[1] * d[2] * d[3]);
}

oce_status oce_tensor_expect(const oce_tensor *tensor, const char *name, const int64_t dim[4]) {
    OCE_REQUIRE(tensor != NULL && tensor->buffer != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "%s: no tensor was given", name);
    OCE_REQUIRE(memcmp(tensor->dim, dim, sizeof tensor->dim) == 0, OCE_ERROR_SHAPE,
                "%s: the shape is " DIM_FORMAT ", expected " DIM_FORMAT, name,
                DIM_ARGS(tensor->dim), DIM_ARGS(dim));
    OCE_REQUIRE(tensor->stride[3] == 1, OCE_ERROR_SHAPE,
                "%s: the last extent must be contiguous, its stride is %lld", name,
                (long long)tensor->stride[3]);
    return OCE_OK;
}

oce_status oce_tensor_expect_dense(const oce_tensor *tensor, const char *name, size_t count) {
    OCE_REQUIRE(tensor != NULL && tensor->buffer != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "%s: no tensor was given", name);
    OCE_REQUIRE(oce_tensor_count(tensor) == count, OCE_ERROR_SHAPE,
                "%s: the shape " DIM_FORMAT " has %zu elements, expected %zu", name,
                DIM_ARGS(tensor->dim), oce_tensor_count(tensor), count);
    OCE_REQUIRE(oce_tensor_is_dense(tensor), OCE_ERROR_SHAPE,
                "%s: shape " DIM_FORMAT " with strides " DIM_FORMAT " is not dense", name,
                DIM_ARGS(tensor->dim), DIM_ARGS(tensor->stride));
    return OCE_OK;
}

/* Bytes from the first to behind the last element, gaps and halo between them included. */
static size_t span_bytes(const oce_tensor *tensor) {
    int64_t last = 0;
    for (int i = 0; i < 4; i++)
        last += (tensor->dim[i] - 1) * tensor->stride[i];
    return (size_t)(last + 1) * sizeof(float);
}

/* Where the channels of pixel `index`, counted row by row through all images, begin in `span`,
 * which is laid out like the tensor. */
static float *pixel_of(const oce_tensor *tensor, float *span, int64_t index) {
    const int64_t w = index % tensor->dim[2], row = index / tensor->dim[2];
    const int64_t h = row % tensor->dim[1], n = row / tensor->dim[1];
    return span + n * tensor->stride[0] + h * tensor->stride[1] + w * tensor->stride[2];
}

oce_status oce_tensor_read(const oce_tensor *tensor, float *data) {
    const size_t count = oce_tensor_count(tensor);
    const size_t start = tensor->offset * sizeof(float);
    if (count == 0)
        return OCE_OK; /* with a halo, the offset may lie behind the empty buffer */
    if (oce_tensor_is_dense(tensor))
        return oce_buffer_read(tensor->buffer, start, data, count * sizeof(float));
    const int64_t pixels = tensor->dim[0] * tensor->dim[1] * tensor->dim[2];
    const size_t pixel_bytes = (size_t)tensor->dim[3] * sizeof(float);
    const size_t bytes = span_bytes(tensor);
    float *span = malloc(bytes);
    OCE_REQUIRE(span != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a copy of %zu bytes", bytes);
    oce_status status = oce_buffer_read(tensor->buffer, start, span, bytes);
    if (status == OCE_OK)
        for (int64_t i = 0; i < pixels; i++)
            memcpy(data + i * tensor->dim[3], pixel_of(tensor, span, i), pixel_bytes);
    free(span);
    return status;
}

oce_status oce_tensor_write(const oce_tensor *tensor, const float *data) {
    const size_t count = oce_tensor_count(tensor);
    const size_t start = tensor->offset * sizeof(float);
    if (count == 0)
        return OCE_OK; /* with a halo, the offset may lie behind the empty buffer */
    if (oce_tensor_is_dense(tensor))
        return oce_buffer_write(tensor->buffer, start, data, count * sizeof(float));
    const int64_t pixels = tensor->dim[0] * tensor->dim[1] * tensor->dim[2];
    const size_t pixel_bytes = (size_t)tensor->dim[3] * sizeof(float);
    const size_t bytes = span_bytes(tensor);
    float *span = malloc(bytes);
    OCE_REQUIRE(span != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a copy of %zu bytes", bytes);
    oce_status status = oce_buffer_read(tensor->buffer, start, span, bytes);
    if (status == OCE_OK) {
        for (int64_t i = 0; i < pixels; i++)
            memcpy(pixel_of(tensor, span, i), data + i * tensor->dim[3], pixel_bytes);
        status = oce_buffer_write(tensor->buffer, start, span, bytes);
    }
    free(span);
    return status;
}
