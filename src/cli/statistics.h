/* What the numbers of an array are like. */
#ifndef CLI_STATISTICS_H
#define CLI_STATISTICS_H

#include <ocelli/array.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_statistics {
    bool is_known;     /* false: the elements are no real numbers; all else is then 0 */
    size_t count;      /* elements */
    size_t non_finite; /* NaN and infinite ones; the rest is of the finite ones, NaN without any */
    double min, max, mean;
    double std; /* of the population: divided by the number of elements */
} cli_statistics;

/* Whether elements of the type are real numbers. */
bool cli_is_real(oce_dtype dtype);
/* An element of a dense array as the nearest double; NaN if it is no real number. */
double cli_element(oce_dtype dtype, const void *data, size_t index);

/* Of `count` elements of a dense array. */
cli_statistics cli_statistics_of(oce_dtype dtype, const void *data, size_t count);

#endif
