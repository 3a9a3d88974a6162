/*
 * Comparing arrays of numbers, with a message that says where and how far they differ.
 */
#ifndef TESTS_SUPPORT_COMPARE_H
#define TESTS_SUPPORT_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How far a number may be off:
 *   absolute + relative * |expected| + of_largest * (largest finite |expected| of the array).
 * of_largest suits sums whose terms cancel: convolutions, matrix products, their gradients.
 * All 0 asks for equal numbers (0 equals -0).
 */
typedef struct compare_limit {
    double absolute, relative, of_largest;
} compare_limit;

typedef struct compare_report {
    bool equal;          /* no element is wrong */
    size_t wrong, first; /* how many are wrong; the first of them */
    double max_absolute; /* largest |got - expected| over pairs of finite numbers */
    double max_relative; /* largest |got - expected| / |expected|, where expected is not 0 */
    double largest;      /* largest finite |expected| */
    char message[320];   /* one line: first wrong element, its values, the errors; "" if equal */
} compare_report;

/* Compares `count` floats. NaN fits NaN only, an infinity fits itself only. shape: four extents, to
 * print the first wrong element's index as [n,h,w,c]; NULL prints its flat index alone. */
compare_report compare_floats(const float *got, const float *expected, size_t count,
                              const int64_t *shape, compare_limit limit);

/* Fails the running Criterion test (which goes on) if the arrays differ; the message starts with
 * `what`, printf style. */
void expect_floats(const float *got, const float *expected, size_t count, const int64_t *shape,
                   compare_limit limit, const char *what, ...)
    __attribute__((format(printf, 6, 7)));

/* The same for whole numbers, which must be equal. */
void expect_ints(const int32_t *got, const int32_t *expected, size_t count, const char *what, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for bytes. */
void expect_bytes(const void *got, const void *expected, size_t count, const char *what, ...)
    __attribute__((format(printf, 4, 5)));

#endif
