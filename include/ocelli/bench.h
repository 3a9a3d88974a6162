/**
 * Measuring: one piece of work, prepared with its inputs, to be run and timed again and again.
 *
 * An oce_bench holds all that its work needs: plan, tensors with pseudo-random contents, workspace,
 * or a whole model. It is planned, allocated and run once when it is created, so that what is timed
 * later builds and allocates nothing.
 *
 * A time is the wall clock from the first enqueue until the device has finished, divided by the
 * number of runs in between. Several short runs are enqueued before one wait, as a training step
 * does with its operations.
 */
#ifndef OCELLI_BENCH_H
#define OCELLI_BENCH_H

#include <ocelli/conv2d.h>
#include <ocelli/device.h>
#include <ocelli/gemm.h>
#include <ocelli/model.h>
#include <ocelli/pool.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Timing -------------------------------------------------------------------------------- */

/** How long to measure. */
typedef struct oce_bench_options {
    int samples;    /**< how many to take; 0: as many as `seconds` asks for, at least 5 */
    double seconds; /**< if `samples` is 0: measure for at least this long; 0 means 0.5 */
} oce_bench_options;

/** Seconds of one run, over all samples. */
typedef struct oce_timing {
    double median, minimum, maximum;
    double quartile[2]; /**< the first and the third */
    int samples;        /**< each the mean of `runs` runs */
    int64_t runs;
} oce_timing;

/** Enqueues the work once; called with the context given beside it. */
typedef oce_status (*oce_bench_work)(void *context);

/** Times `runs` (at least 1) runs of `work` on `device`: *seconds of all of them, until the device
 * has finished. Errors: those of `work`, OCE_ERROR_OPENCL. */
OCE_API oce_status oce_bench_seconds(oce_device *device, oce_bench_work work, void *context,
                                     int64_t runs, double *seconds);

/** Runs `work` once to warm up, then times it. options NULL: the defaults.
 * Errors: those of `work`, OCE_ERROR_OPENCL, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_bench_time(oce_device *device, oce_bench_work work, void *context,
                                  const oce_bench_options *options, oce_timing *timing);

/* ---- The device's limits ------------------------------------------------------------------- */

/** What the device can do at most, measured by kernels that do nothing else. */
typedef struct oce_peak {
    double flops;       /**< a second, of multiply-adds (2 each) on registers, all compute units */
    double copy;        /**< bytes a second, read and written, of y = x */
    double triad;       /**< bytes a second, read and written, of y = x + a z */
    size_t array_bytes; /**< of each array of copy and triad: beyond most caches */
    oce_timing fma_timing, copy_timing, triad_timing;
} oce_peak;

/** Measures the limits; each is the work divided by the least time. Errors: OCE_ERROR_BUILD,
 * OCE_ERROR_DEVICE_MEMORY, OCE_ERROR_OPENCL. */
OCE_API oce_status oce_bench_peak(oce_device *device, const oce_bench_options *options,
                                  oce_peak *peak);

/* ---- Work ---------------------------------------------------------------------------------- */

typedef struct oce_bench oce_bench;

/** One pass of a convolution, with x in the halo that its plan asks for; with `keeps_filter` its
 * filter is prepared before. Errors: those of oce_conv2d_plan_create, oce_conv2d_prepare,
 * OCE_ERROR_INVALID_ARGUMENT (an input, filter or output without elements: there is nothing to
 * measure), OCE_ERROR_DEVICE_MEMORY, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_bench_conv2d(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                                    oce_bench **bench);

/** A matrix product, without bias. Errors: those of oce_gemm_plan_create, and as above. */
OCE_API oce_status oce_bench_gemm(oce_device *device, const oce_gemm_desc *desc, oce_bench **bench);

/** A pooling (OCE_PASS_FORWARD, with the winners that training keeps) or its gradient
 * (OCE_PASS_INPUT_GRAD). Errors: OCE_ERROR_INVALID_ARGUMENT (another pass), those of
 * oce_pool_plan_create, and as above. */
OCE_API oce_status oce_bench_pool(oce_device *device, const oce_pool_desc *desc, oce_pass pass,
                                  oce_bench **bench);

/**
 * A training step of `network` if options->training, else the probabilities of `images` images, in
 * batches of options->batch. The images are bytes in host memory; feeding them is part of the work,
 * and, for probabilities, so is reading the result.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (fewer than 1 image), those of oce_model_create and
 * oce_model_allocate, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_bench_model(oce_device *device, const oce_network *network,
                                   const oce_model_options *options, int64_t images,
                                   oce_bench **bench);

/** NULL is allowed. */
OCE_API void oce_bench_destroy(oce_bench *bench);

/** Enqueues the work once. Errors: OCE_ERROR_OPENCL. */
OCE_API oce_status oce_bench_run(oce_bench *bench);

/** oce_bench_time() of oce_bench_run(). */
OCE_API oce_status oce_bench_measure(oce_bench *bench, const oce_bench_options *options,
                                     oce_timing *timing);

/** What one run of the work is. */
typedef struct oce_bench_info {
    const char *family; /**< algorithm, e.g. "direct"; "" for a model */
    double flops;       /**< multiply-adds x 2, as the direct sum counts them; 0: not stated */
    double bytes;       /**< that must be moved at least: inputs read and outputs written once */
    int64_t images;     /**< a model's, in one run; 0 for operations */
    size_t memory;      /**< bytes of device memory, workspace included */
    oce_model *model;   /**< a model's own; NULL for operations */
} oce_bench_info;

OCE_API oce_bench_info oce_bench_get_info(const oce_bench *bench);

#ifdef __cplusplus
}
#endif

#endif
