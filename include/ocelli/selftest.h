/**
 * Self test: does a device compute what it should? Every operation of both networks at its real
 * shape, and whole training steps, evaluations and answers, are compared with plain C loops that
 * accumulate in double; memory, transfers, events and kernel builds are checked as well. It finds
 * drivers and kernels that give wrong numbers.
 */
#ifndef OCELLI_SELFTEST_H
#define OCELLI_SELFTEST_H

#include <ocelli/device.h>
#include <ocelli/status.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oce_selftest_outcome {
    OCE_SELFTEST_PASSED = 0,
    OCE_SELFTEST_FAILED,
    OCE_SELFTEST_SKIPPED /**< a family that does not serve the shape or the device */
} oce_selftest_outcome;

/** "passed", "failed", "skipped". */
OCE_API const char *oce_selftest_outcome_name(oce_selftest_outcome outcome);

/** Why a check failed. */
typedef enum oce_selftest_cause {
    OCE_SELFTEST_NO_FAILURE = 0,
    OCE_SELFTEST_WRONG, /**< a result is not what it should be */
    OCE_SELFTEST_BUILD, /**< a program did not build */
    OCE_SELFTEST_CALL   /**< another call failed, for want of memory, say */
} oce_selftest_cause;

/** "", "wrong result", "build", "call". */
OCE_API const char *oce_selftest_cause_name(oce_selftest_cause cause);

/** What came of one check. Strings live during the call that reports it. */
typedef struct oce_selftest_result {
    const char *operation; /**< e.g. "conv2d filter gradient" */
    const char *shape;     /**< e.g. "50x14x14x32, 5x5, 64 filters"; "" if it has none */
    const char *family;    /**< e.g. "winograd"; "auto: direct" where the library chose; or "" */
    oce_selftest_outcome outcome;
    oce_selftest_cause cause; /**< FAILED: why; else NO_FAILURE */
    const char *message;      /**< FAILED: one line that says how; SKIPPED: why; PASSED: "" */
    double error;             /**< largest |got - expected| over the largest |expected| */
    double bound;             /**< what the error may be; 0: the numbers must be equal */
    int64_t count;            /**< numbers compared; 0 if none were */
    int64_t wrong;            /**< how many of them are out of bounds */
    double seconds;           /**< of the operation on the device, transfers included */
} oce_selftest_result;

typedef struct oce_selftest_options {
    bool quick;       /**< batches of at most 4 images, and only the families that the library would
                           choose; else the networks' own batches and every family */
    const char *only; /**< checks whose "operation, shape, family" holds this text; NULL: all */
    /** Called with each result as it comes; NULL: not wanted. */
    void (*report)(const oce_selftest_result *result, void *user);
    void *user;
} oce_selftest_options;

typedef struct oce_selftest_summary {
    int64_t passed, failed, skipped;
    int64_t wrong_results, build_failures, call_failures; /**< of those that failed, by cause */
    double seconds;
} oce_selftest_summary;

/**
 * Runs all checks. What goes wrong on the device is a FAILED result, not an error of this call, and
 * the checks after it still run. Errors: OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_selftest(oce_device *device, const oce_selftest_options *options,
                                oce_selftest_summary *summary);

#ifdef __cplusplus
}
#endif

#endif
