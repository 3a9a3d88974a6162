/* What every piece of work to measure has. */
#ifndef OCE_BENCH_BENCH_H
#define OCE_BENCH_BENCH_H

#include <ocelli/bench.h>

#include "base/status.h"

enum { OCE_BENCH_INPUTS = 3 };

/* The head of each kind's own record. */
struct oce_bench {
    oce_device *device;
    oce_status (*run)(oce_bench *bench);
    void (*destroy)(oce_bench *bench); /* releases what the kind holds, not the record */
    oce_bench_info info;
    /* Of an operation, for who checks its results. */
    const oce_tensor *inputs[OCE_BENCH_INPUTS], *output;
};

/* Allocates a kind's zeroed record, which starts with an oce_bench. */
oce_status oce_bench_allocate(oce_device *device, size_t bytes, void **bench);

/* Ends the creation of *bench that `status` tells of: runs it once, or destroys it (and makes
 * *bench NULL) after a failure. */
oce_status oce_bench_start(oce_bench *created, oce_status status, oce_bench **bench);

/* A tensor of pseudo-random numbers in [-1, 1), the same for the same `seed`; its bytes are added
 * to the info. */
oce_status oce_bench_tensor(oce_bench *bench, const int64_t dim[4], const oce_halo *halo,
                            uint32_t seed, oce_tensor *tensor);

/* A buffer of `bytes` bytes; none (NULL) for 0. */
oce_status oce_bench_buffer(oce_bench *bench, size_t bytes, oce_buffer **buffer);

#endif
