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

/* Makes the formatted text (oce_message), or "text: " and the message before (oce_message_prefix),
 * the thread's message. */
void oce_message(const char *format, ...) OCE_PRINTF(1, 2);
void oce_message_prefix(const char *format, ...) OCE_PRINTF(1, 2);

static inline oce_status oce_status_of(oce_status status) {
    return status;
}

/* oce_fail(status, format, ...) records the formatted message for oce_last_error() and gives
 * `status`. It is a macro so that a compiler sees which code comes out, and so that a caller
 * that goes on only after OCE_OK reads nothing that the failed call left unset. */
#define oce_fail(status, ...) oce_status_of((oce_message(__VA_ARGS__), (status)))

/* The same, with the formatted text and ": " before the message of the failure at hand. */
#define oce_fail_prefix(status, ...) oce_status_of((oce_message_prefix(__VA_ARGS__), (status)))

/* Puts "; suffix" behind the current message and returns `status`, which must be a failure. */
oce_status oce_fail_suffix(oce_status status, const char *format, ...) OCE_PRINTF(2, 3);

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
