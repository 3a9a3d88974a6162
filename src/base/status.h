/* Setting the thread's error message, and the macros that keep error paths to a line. */
#ifndef OCE_BASE_STATUS_H
#define OCE_BASE_STATUS_H

#include <ocelli/status.h>

#if defined(__GNUC__)
#define OCE_PRINTF(format_index, first_argument)                                                   \
    __attribute__((format(printf, format_index, first_argument)))
#else
#define OCE_PRINTF(format_index, first_argument)
#endif

/* Records the formatted message for oce_last_error() and returns `status`. */
oce_status oce_fail(oce_status status, const char *format, ...) OCE_PRINTF(2, 3);

/* Puts "prefix: " before the current message and returns `status`, which must be a failure. */
oce_status oce_fail_prefix(oce_status status, const char *format, ...) OCE_PRINTF(2, 3);

/* Returns from the calling function if `call` failed. */
#define OCE_TRY(call)                                                                              \
    do {                                                                                           \
        oce_status oce_try_status_ = (call);                                                       \
        if (oce_try_status_ != OCE_OK)                                                             \
            return oce_try_status_;                                                                \
    } while (0)

/* Returns a failure with a message if `condition` does not hold. */
#define OCE_REQUIRE(condition, status, ...)                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return oce_fail(status, __VA_ARGS__);                                                  \
    } while (0)

#endif
