#include "cli/statistics.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* IEEE 754 half precision. */
static double half_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const double fraction = (bits & 1023) / 1024.0;
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return fraction == 0 ? sign * (double)INFINITY : (double)NAN;
    return exponent == 0 ? sign * ldexp(fraction, -14) : sign * ldexp(1 + fraction, exponent - 15);
}

/* The upper half of a float. */
static double bfloat_value(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

#define LOAD(ctype, convert)                                                                       \
    {                                                                                              \
        ctype value;                                                                               \
        memcpy(&value, (const char *)data + index * sizeof value, sizeof value);                   \
        return convert(value);                                                                     \
    }

double cli_element(oce_dtype dtype, const void *data, size_t index) {
    switch (dtype) {
    case OCE_DTYPE_FLOAT32:
        LOAD(float, (double))
    case OCE_DTYPE_FLOAT64:
        LOAD(double, (double))
    case OCE_DTYPE_FLOAT16:
        LOAD(uint16_t, half_value)
    case OCE_DTYPE_BFLOAT16:
        LOAD(uint16_t, bfloat_value)
    case OCE_DTYPE_INT8:
    case OCE_DTYPE_QINT8:
        LOAD(int8_t, (double))
    case OCE_DTYPE_INT16:
    case OCE_DTYPE_QINT16:
        LOAD(int16_t, (double))
    case OCE_DTYPE_INT32:
    case OCE_DTYPE_QINT32:
        LOAD(int32_t, (double))
    case OCE_DTYPE_INT64:
        LOAD(int64_t, (double))
    case OCE_DTYPE_UINT8:
    case OCE_DTYPE_QUINT8:
    case OCE_DTYPE_BOOL:
        LOAD(uint8_t, (double))
    case OCE_DTYPE_UINT16:
    case OCE_DTYPE_QUINT16:
        LOAD(uint16_t, (double))
    case OCE_DTYPE_UINT32:
        LOAD(uint32_t, (double))
    case OCE_DTYPE_UINT64:
        LOAD(uint64_t, (double))
    case OCE_DTYPE_STRING:
    case OCE_DTYPE_COMPLEX64:
    case OCE_DTYPE_COMPLEX128:
    case OCE_DTYPE_RESOURCE:
    case OCE_DTYPE_VARIANT:
        break;
    }
    return NAN;
}

bool cli_is_real(oce_dtype dtype) {
    return oce_dtype_bytes(dtype) > 0 && dtype != OCE_DTYPE_COMPLEX64 &&
           dtype != OCE_DTYPE_COMPLEX128;
}

cli_statistics cli_statistics_of(oce_dtype dtype, const void *data, size_t count) {
    if (!cli_is_real(dtype))
        return (cli_statistics){0};
    cli_statistics s = {true, count, 0, INFINITY, -INFINITY, 0, 0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        const double value = cli_element(dtype, data, i);
        if (!isfinite(value)) {
            s.non_finite++;
            continue;
        }
        s.min = fmin(s.min, value);
        s.max = fmax(s.max, value);
        sum += value;
    }
    const double finite = (double)(count - s.non_finite);
    if (finite == 0) {
        s.min = s.max = s.mean = s.std = NAN;
        return s;
    }
    s.mean = sum / finite;
    for (size_t i = 0; i < count; i++) {
        const double away = cli_element(dtype, data, i) - s.mean;
        if (isfinite(away))
            squares += away * away;
    }
    s.std = sqrt(squares / finite);
    return s;
}
