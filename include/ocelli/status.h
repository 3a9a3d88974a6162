/**
 * Status codes and error messages.
 *
 * Every call that can fail returns an `oce_status`: OCE_OK (0), or a negative code, one per kind of
 * cause. The call also leaves one line of text, which names the object and the numbers, for
 * `oce_last_error()`. The library never prints, exits or aborts.
 */
#ifndef OCELLI_STATUS_H
#define OCELLI_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OCE_API __attribute__((visibility("default")))
#else
#define OCE_API
#endif

/** All status codes: OCE_STATUSES(X) expands X(name, value, text) for each. */
#define OCE_STATUSES(X)                                                                            \
    X(OCE_OK, 0, "success")                                                                        \
    X(OCE_ERROR_INVALID_ARGUMENT, -1, "invalid argument")                                          \
    X(OCE_ERROR_SHAPE, -2, "shapes do not fit each other")                                         \
    X(OCE_ERROR_OVERFLOW, -3, "size too large to be represented")                                  \
    X(OCE_ERROR_HOST_MEMORY, -4, "out of host memory")                                             \
    X(OCE_ERROR_DEVICE_MEMORY, -5, "does not fit the device's memory")                             \
    X(OCE_ERROR_NO_PLATFORM, -6, "no OpenCL platform")                                             \
    X(OCE_ERROR_NO_DEVICE, -7, "no device fits the selector")                                      \
    X(OCE_ERROR_AMBIGUOUS_DEVICE, -8, "the selector fits several devices")                         \
    X(OCE_ERROR_BUILD, -9, "a kernel program did not build")                                       \
    X(OCE_ERROR_OPENCL, -10, "an OpenCL call failed")                                              \
    X(OCE_ERROR_UNSUPPORTED, -11, "not supported here")                                            \
    X(OCE_ERROR_IO, -12, "reading or writing failed")                                              \
    X(OCE_ERROR_NOT_FOUND, -13, "not found")                                                       \
    X(OCE_ERROR_FORMAT, -14, "malformed data")                                                     \
    X(OCE_ERROR_CHECKSUM, -15, "checksum mismatch")                                                \
    X(OCE_ERROR_DIVERGED, -16, "a value is not finite")                                            \
    X(OCE_ERROR_INTERRUPTED, -17, "interrupted")                                                   \
    X(OCE_ERROR_BUSY, -18, "in use by another process")

/** Result of a call: OCE_OK or one of the OCE_ERROR_ codes. */
typedef enum oce_status {
#define OCE_STATUS_ENUM(name, value, text) name = (value),
    OCE_STATUSES(OCE_STATUS_ENUM)
#undef OCE_STATUS_ENUM
} oce_status;

/** A short English description of a code, e.g. "invalid argument"; never NULL. */
OCE_API const char *oce_status_text(oce_status status);

/**
 * The message of the last failed call on this thread: one line without a newline; "" if none failed
 * yet. Valid until the next failing call on the same thread.
 */
OCE_API const char *oce_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
