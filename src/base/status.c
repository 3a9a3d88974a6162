#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048 };

static _Thread_local char message[MESSAGE_BYTES];

const char *oce_status_text(oce_status status) {
    switch (status) {
#define STATUS_CASE(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        OCE_STATUSES(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}

const char *oce_last_error(void) {
    return message;
}

/* A message is one line, whatever a driver or a file name put into it. */
static void flatten(char *text) {
    for (; *text; text++)
        if (*text == '\n' || *text == '\r' || *text == '\t')
            *text = ' ';
}

void oce_message(const char *format, ...) {
    char text[MESSAGE_BYTES]; /* the arguments may point into `message` */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    flatten(text);
    memcpy(message, text, sizeof message);
}

void oce_message_prefix(const char *format, ...) {
    char prefix[256];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    oce_message("%s: %s", prefix, message);
}

oce_status oce_fail_suffix(oce_status status, const char *format, ...) {
    char suffix[256];
    va_list args;
    va_start(args, format);
    vsnprintf(suffix, sizeof suffix, format, args);
    va_end(args);
    return oce_fail(status, "%s; %s", message, suffix);
}
