/* Sizes that may overflow: every product and sum of user-given sizes goes through here. */
#ifndef OCE_BASE_SIZE_H
#define OCE_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stores a*b (a+b) in *result and returns true, or returns false if it does not fit. */
static inline bool oce_size_mul(size_t a, size_t b, size_t *result) {
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *result = a * b;
    return true;
}

static inline bool oce_size_add(size_t a, size_t b, size_t *result) {
    if (a > SIZE_MAX - b)
        return false;
    *result = a + b;
    return true;
}

/* The product of `count` extents, none negative; false if one is negative or it does not fit. */
static inline bool oce_size_product(const int64_t *extents, int count, size_t *result) {
    size_t product = 1;
    bool empty = false;
    for (int i = 0; i < count; i++) {
        if (extents[i] < 0)
            return false;
        if (extents[i] == 0)
            empty = true; /* an empty tensor is empty, however large its other extents */
        else if ((uint64_t)extents[i] > SIZE_MAX ||
                 !oce_size_mul(product, (size_t)extents[i], &product))
            return false;
    }
    *result = empty ? 0 : product;
    return true;
}

static inline size_t oce_size_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

static inline int64_t oce_min_int64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t oce_max_int64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t oce_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
