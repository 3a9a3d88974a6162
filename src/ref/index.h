/* Where an element of a dense four-dimensional array lies. */
#ifndef OCE_REF_INDEX_H
#define OCE_REF_INDEX_H

#include <stddef.h>
#include <stdint.h>

/* The position of element [a,b,c,d] of a row-major array of extents `dim`. */
static inline size_t oce_ref_at(const int64_t dim[4], int64_t a, int64_t b, int64_t c, int64_t d) {
    return (size_t)(((a * dim[1] + b) * dim[2] + c) * dim[3] + d);
}

#endif
