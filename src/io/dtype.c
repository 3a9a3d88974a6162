#include <ocelli/array.h>

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>

static const struct {
    oce_dtype dtype;
    size_t bytes;
    const char *name;
} dtypes[] = {
#define DTYPE_ROW(name, number, text, bytes) {OCE_DTYPE_##name, bytes, text},
    OCE_DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *oce_dtype_name(oce_dtype dtype) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return "unknown";
}

size_t oce_dtype_bytes(oce_dtype dtype) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].bytes;
    return 0;
}

oce_status oce_array_bytes(const oce_array *array, size_t *bytes) {
    const char *name = array->name ? array->name : "(no name)";
    const size_t element = oce_dtype_bytes(array->dtype);
    OCE_REQUIRE(element > 0, OCE_ERROR_INVALID_ARGUMENT,
                "array '%s': elements of type %s (%d) have no fixed size", name,
                oce_dtype_name(array->dtype), (int)array->dtype);
    OCE_REQUIRE(array->rank >= 0 && array->rank <= OCE_ARRAY_MAX_RANK, OCE_ERROR_INVALID_ARGUMENT,
                "array '%s': rank %d is not in 0..%d", name, array->rank, OCE_ARRAY_MAX_RANK);
    for (int i = 0; i < array->rank; i++)
        OCE_REQUIRE(array->shape[i] >= 0, OCE_ERROR_INVALID_ARGUMENT,
                    "array '%s': extent %d is %lld", name, i, (long long)array->shape[i]);
    size_t elements;
    OCE_REQUIRE(oce_size_product(array->shape, array->rank, &elements) &&
                    oce_size_mul(elements, element, bytes) && *bytes <= SIZE_MAX / 2,
                OCE_ERROR_OVERFLOW, "array '%s': more bytes than a machine can hold", name);
    return OCE_OK;
}

const char *oce_shape_text(int rank, const int64_t *shape, char *text, size_t capacity) {
    size_t used = 0;
    for (int i = 0; i < rank && used < capacity; i++) {
        const int n = snprintf(text + used, capacity - used, "%s%lld", i == 0 ? "[" : ", ",
                               (long long)shape[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < capacity)
        snprintf(text + used, capacity - used, rank > 0 ? "]" : "[]");
    return text;
}
