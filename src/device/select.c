/* Which device a selector means. */
#include "device/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DRIVER_HINT                                                                                \
    "install a driver: pocl-opencl-icd for CPUs, mesa-opencl-icd or rocm-opencl-icd for AMD, "     \
    "intel-opencl-icd for Intel, nvidia-opencl-icd for NVIDIA GPUs (names of Debian and Ubuntu)"

/* 0 is the most preferred. */
static int class_rank(const oce_device_info *info) {
    switch (info->type) {
    case OCE_DEVICE_GPU:
        return info->unified_memory ? 1 : 0;
    case OCE_DEVICE_CPU:
        return 2;
    case OCE_DEVICE_ACCELERATOR:
        return 3;
    case OCE_DEVICE_OTHER:
        break;
    }
    return 4;
}

static const char *class_reason(const oce_device_info *info) {
    static const char *const reasons[] = {"discrete GPU", "integrated GPU", "CPU", "accelerator",
                                          "the only kind there is"};
    return reasons[class_rank(info)];
}

static double speed(const oce_device_info *info) {
    return (double)info->compute_units * (info->clock_mhz > 0 ? info->clock_mhz : 1) *
           (info->vector_width > 0 ? info->vector_width : 1);
}

static bool is_better(const oce_device_info *a, const oce_device_info *b) {
    if (class_rank(a) != class_rank(b))
        return class_rank(a) < class_rank(b);
    return speed(a) > speed(b);
}

static bool contains(const char *text, const char *part) {
    const size_t length = strlen(part);
    for (; *text != '\0'; text++)
        if (strncasecmp(text, part, length) == 0)
            return true;
    return false;
}

typedef struct entry_match {
    bool is_class;         /* auto, cpu, gpu, accelerator: the best of many is meant */
    bool any_type;         /* auto */
    oce_device_type type;  /* cpu, gpu, accelerator */
    int platform, device;  /* P:D, or -1 */
    const char *substring; /* else */
} entry_match;

static entry_match parse_entry(const char *entry) {
    entry_match match = {.platform = -1, .device = -1, .substring = entry};
    int used = 0;
    if (strcasecmp(entry, "auto") == 0) {
        match.is_class = match.any_type = true;
    } else if (strcasecmp(entry, "cpu") == 0 || strcasecmp(entry, "gpu") == 0 ||
               strcasecmp(entry, "accelerator") == 0) {
        match.is_class = true;
        match.type = tolower((unsigned char)entry[0]) == 'c'   ? OCE_DEVICE_CPU
                     : tolower((unsigned char)entry[0]) == 'g' ? OCE_DEVICE_GPU
                                                               : OCE_DEVICE_ACCELERATOR;
    } else if (sscanf(entry, "%4d:%4d%n", &match.platform, &match.device, &used) != 2 ||
               entry[used] != '\0') {
        match.platform = match.device = -1;
    }
    return match;
}

static bool fits(const entry_match *match, const oce_device_info *info) {
    if (match->is_class)
        return match->any_type || info->type == match->type;
    if (match->platform >= 0)
        return info->platform == match->platform && info->index == match->device;
    return contains(info->name, match->substring) || contains(info->vendor, match->substring) ||
           contains(info->platform_name, match->substring) ||
           contains(info->platform_vendor, match->substring);
}

/* Appends "; candidates: 0:0 CPU name (platform), ..." for the devices that fit (NULL: all). */
static void list_candidates(const oce_device_list *list, const entry_match *match, char *text,
                            size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < list->device_count && used < bytes; i++) {
        const oce_device_info *info = &list->devices[i].info;
        if (match != NULL && !fits(match, info))
            continue;
        int written = snprintf(text + used, bytes - used, "%s%s %s \"%s\" of \"%s\"%s%s",
                               used > 0 ? ", " : "", info->selector,
                               oce_device_type_name(info->type), info->name, info->platform_name,
                               info->problem != NULL ? " which cannot be used: " : "",
                               info->problem != NULL ? info->problem : "");
        used += written > 0 ? (size_t)written : 0;
    }
}

/* Finds what one entry of the list means; *index stays -1 if it fits nothing usable. */
static oce_status select_entry(const oce_device_list *list, const char *entry, int *index) {
    const entry_match match = parse_entry(entry);
    int fitting = 0;
    for (int i = 0; i < list->device_count; i++) {
        const oce_device_info *info = &list->devices[i].info;
        if (info->problem != NULL || !fits(&match, info))
            continue;
        fitting++;
        if (*index < 0 || is_better(info, &list->devices[*index].info))
            *index = i;
    }
    if (fitting > 1 && !match.is_class) {
        char candidates[1024];
        list_candidates(list, &match, candidates, sizeof candidates);
        return oce_fail(OCE_ERROR_AMBIGUOUS_DEVICE, "device \"%s\" fits %d devices: %s", entry,
                        fitting, candidates);
    }
    return OCE_OK;
}

static oce_status no_device(const oce_device_list *list, const char *selector) {
    char candidates[1024];
    list_candidates(list, NULL, candidates, sizeof candidates);
    if (list->platform_count == 0)
        return oce_fail(OCE_ERROR_NO_PLATFORM, "no OpenCL platform found; " DRIVER_HINT);
    if (list->device_count == 0)
        return oce_fail(OCE_ERROR_NO_DEVICE,
                        "%d OpenCL platform(s), but no device (first: \"%s\": %s); " DRIVER_HINT,
                        list->platform_count, list->platforms[0].name,
                        list->platforms[0].problem != NULL ? list->platforms[0].problem : "?");
    return oce_fail(OCE_ERROR_NO_DEVICE, "device \"%s\" fits no usable device; there are: %s",
                    selector, candidates);
}

static const char *default_selector(const char *selector) {
    if (selector == NULL)
        selector = getenv("OCELLI_DEVICE");
    return selector != NULL && selector[0] != '\0' ? selector : "auto";
}

oce_status oce_device_list_select(const oce_device_list *list, const char *selector, int *index,
                                  const char **reason) {
    selector = default_selector(selector);
    *index = -1;
    for (const char *start = selector; *index < 0;) {
        char entry[256];
        const size_t length = strcspn(start, ",");
        OCE_REQUIRE(length < sizeof entry, OCE_ERROR_INVALID_ARGUMENT,
                    "device selector: an entry of %zu characters is too long (at most %zu)", length,
                    sizeof entry - 1);
        snprintf(entry, sizeof entry, "%.*s", (int)length, start);
        const char *trimmed = entry + strspn(entry, " ");
        for (size_t end = strlen(entry); end > 0 && entry[end - 1] == ' '; end--)
            entry[end - 1] = '\0';
        OCE_REQUIRE(trimmed[0] != '\0', OCE_ERROR_INVALID_ARGUMENT,
                    "device selector \"%s\" has an empty entry", selector);
        OCE_TRY(select_entry(list, trimmed, index));
        if (start[length] == '\0')
            break;
        start += length + 1;
    }
    if (*index < 0)
        return no_device(list, selector);
    if (reason != NULL)
        *reason = class_reason(&list->devices[*index].info);
    return OCE_OK;
}
