/* An operation to be tuned: its name in the table, how to measure it, what to try, and what its
 * result should be. */
#ifndef OCE_BENCH_TUNE_H
#define OCE_BENCH_TUNE_H

#include <ocelli/tune.h>

#include "bench/bench.h"

enum { OCE_TUNE_CANDIDATES = 64, OCE_TUNE_SHAPE = 256 };

/* Work of the reference, in multiply-adds: about a second. */
#define OCE_TUNE_REFERENCE_WORK 1e8

/* What to try: a family and, "" for its own rule, a configuration. */
typedef struct oce_tune_candidate {
    char family[32], configuration[OCE_TUNE_TEXT];
} oce_tune_candidate;

/* Elements of the result, by place in its dense order, and what loops in double make of them. */
typedef struct oce_tune_sample {
    size_t count;
    size_t *at;
    float *expected;
} oce_tune_sample;

typedef struct oce_tune_operation oce_tune_operation;
struct oce_tune_operation {
    oce_device *device;
    const char *name;
    char shape[OCE_TUNE_SHAPE];
    int candidate_count;
    oce_tune_candidate candidates[OCE_TUNE_CANDIDATES];
    const void *desc;
    oce_pass pass; /* of a convolution */
    oce_status (*create)(const oce_tune_operation *op, oce_bench **bench);
    /* Plans with that family, for the message of the failure. */
    oce_status (*plan_forced)(const oce_tune_operation *op, const char *family);
    /* Fills a zeroed sample from the inputs of `bench`; the caller frees it, also after a failure.
     */
    oce_status (*reference)(const oce_tune_operation *op, const oce_bench *bench,
                            oce_tune_sample *sample);
};

void oce_tune_add(oce_tune_operation *op, const char *family, const char *configuration);
/* The same with each tile of the GPU families as configuration. */
void oce_tune_add_tiles(oce_tune_operation *op, const char *family);

/* Downloads a tensor, dense; free() it. */
oce_status oce_tune_download(const oce_tensor *tensor, float **values);
oce_status oce_tune_allocate(size_t count, float **values);
oce_status oce_tune_sample_create(size_t count, oce_tune_sample *sample);
/* The i-th of `count` places spread over 0 to `extent` - 1, the first and the last among them. */
int64_t oce_tune_spread(int64_t i, int64_t count, int64_t extent);
/* How many of `extent` parts, of `work` multiply-adds each, the reference has time for. */
int64_t oce_tune_parts(int64_t extent, double work);

/* Tries all candidates and keeps the best. */
oce_status oce_tune_run(const oce_tune_operation *op, const oce_tune_options *options,
                        oce_tune_result *result);

#endif
