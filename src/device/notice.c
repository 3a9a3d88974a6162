/* What a device has to say that is no failure: each thing once. */
#include "device/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void oce_device_notice(oce_device *device, const char *key, const char *format, ...) {
    oce_notice **end = &device->notices;
    for (; *end != NULL; end = &(*end)->next)
        if (strcmp((*end)->key, key) == 0)
            return;
    oce_notice *notice = calloc(1, sizeof *notice);
    if (notice == NULL)
        return; /* a notice is not worth a failure */
    snprintf(notice->key, sizeof notice->key, "%s", key);
    va_list args;
    va_start(args, format);
    vsnprintf(notice->text, sizeof notice->text, format, args);
    va_end(args);
    *end = notice;
}

const char *oce_device_take_notice(oce_device *device) {
    for (oce_notice *notice = device->notices; notice != NULL; notice = notice->next)
        if (!notice->is_taken) {
            notice->is_taken = true;
            return notice->text;
        }
    return NULL;
}

void oce_notices_release(oce_device *device) {
    while (device->notices != NULL) {
        oce_notice *next = device->notices->next;
        free(device->notices);
        device->notices = next;
    }
}
