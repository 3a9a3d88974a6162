#include "device/caps.h"

#include "base/status.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef enum cap_kind { COUNT, BYTES, SWITCH } cap_kind;

static const struct cap {
    const char *name;
    cap_kind kind;
    size_t offset;
} all_caps[] = {
    {"work-group", COUNT, offsetof(oce_caps, work_group)},
    {"local", BYTES, offsetof(oce_caps, local)},
    {"allocation", BYTES, offsetof(oce_caps, allocation)},
    {"memory", BYTES, offsetof(oce_caps, memory)},
    {"vector", COUNT, offsetof(oce_caps, vector)},
    {"units", COUNT, offsetof(oce_caps, units)},
    {"loops", COUNT, offsetof(oce_caps, loops)},
    {"fma", SWITCH, offsetof(oce_caps, fma)},
    {"images", SWITCH, offsetof(oce_caps, images)},
    {"extensions", SWITCH, offsetof(oce_caps, extensions)},
};
enum { CAP_COUNT = sizeof all_caps / sizeof all_caps[0] };

/* The number that `text` begins with, times the K, M or G that may follow; false if there is none,
 * or anything behind it before the end of the entry. */
static bool read_number(const char *text, size_t length, bool in_bytes, uint64_t *value) {
    char *end = NULL;
    if (length == 0 || !isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    int shift = 0;
    if (in_bytes && end < text + length) {
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
        end += shift > 0;
    }
    if (errno != 0 || end != text + length || number > UINT64_MAX >> shift)
        return false;
    *value = (uint64_t)number << shift;
    return true;
}

static bool is_none(const char *text, size_t length) {
    return (length == 2 && strncmp(text, "no", 2) == 0) ||
           (length == 4 && strncmp(text, "none", 4) == 0);
}

static bool read_value(cap_kind kind, const char *text, size_t length, uint64_t *value) {
    const bool none = is_none(text, length);
    if (none)
        *value = 0;
    if (kind == SWITCH)
        return none;
    if (kind == BYTES)
        return none || read_number(text, length, true, value);
    return read_number(text, length, false, value) && *value > 0;
}

static oce_status parse_entry(const char *entry, size_t length, oce_caps *caps) {
    static const char *const forms[] = {
        [COUNT] = "a number above 0", [BYTES] = "bytes such as 16K, or none", [SWITCH] = "\"no\""};
    const char *equals = memchr(entry, '=', length);
    const size_t name = equals != NULL ? (size_t)(equals - entry) : length;
    for (int i = 0; i < CAP_COUNT; i++) {
        const struct cap *cap = &all_caps[i];
        if (strlen(cap->name) != name || strncmp(cap->name, entry, name) != 0)
            continue;
        uint64_t *value = (uint64_t *)((char *)caps + cap->offset);
        OCE_REQUIRE(equals != NULL && read_value(cap->kind, equals + 1, length - name - 1, value),
                    OCE_ERROR_INVALID_ARGUMENT, "OCELLI_CAP: \"%.*s\": %s takes %s", (int)length,
                    entry, cap->name, forms[cap->kind]);
        return OCE_OK;
    }
    return oce_fail(OCE_ERROR_INVALID_ARGUMENT,
                    "OCELLI_CAP: \"%.*s\" is none of work-group, local, allocation, memory, "
                    "vector, units, loops, fma, images, extensions",
                    (int)length, entry);
}

oce_status oce_caps_parse(const char *text, oce_caps *caps) {
    *caps = (oce_caps){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                       UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    while (text != NULL && text[0] != '\0') {
        const size_t length = strcspn(text, ",");
        OCE_TRY(parse_entry(text, length, caps));
        text += length;
        text += text[0] == ',';
    }
    return OCE_OK;
}

static uint64_t lower(uint64_t value, uint64_t cap) {
    return value < cap ? value : cap;
}

void oce_caps_apply(const oce_caps *caps, oce_device_info *info) {
    info->max_work_group_size = lower(info->max_work_group_size, caps->work_group);
    for (int i = 0; i < 3; i++)
        info->max_work_items[i] = lower(info->max_work_items[i], caps->work_group);
    info->local_memory_bytes = lower(info->local_memory_bytes, caps->local);
    info->memory_bytes = lower(info->memory_bytes, caps->memory);
    info->largest_allocation =
        lower(lower(info->largest_allocation, caps->allocation), caps->memory);
    info->vector_width = (unsigned)lower(info->vector_width, caps->vector);
    info->compute_units = (unsigned)lower(info->compute_units, caps->units);
    info->has_fast_fma = info->has_fast_fma && caps->fma > 0;
    info->has_images = info->has_images && caps->images > 0;
    if (caps->extensions == 0)
        info->extensions = "";
}
