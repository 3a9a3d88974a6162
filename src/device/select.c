/* Which device a selector means. */
#include "device/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DRIVER_HINT                                                                                \
    "install a driver (Debian's and Ubuntu's names: pocl-opencl-icd for CPUs, mesa-opencl-icd or " \
    "rocm-opencl-icd for AMD, intel-opencl-icd for Intel, nvidia-opencl-icd for NVIDIA GPUs), or " \
    "see whether the libraries that /etc/OpenCL/vendors/*.icd name can be loaded"

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

/* Why the chosen device came before the others that fit its entry. */
static const char *reason_of(const oce_device_list *list, const entry_match *match,
                             const oce_device_info *chosen) {
    static const char *const reasons[][2] = {
        {"a discrete GPU", "the fastest discrete GPU by units x clock x vector width"},
        {"an integrated GPU; no discrete GPU is usable",
         "the fastest integrated GPU by units x clock x vector width; no discrete GPU is usable"},
        {"a CPU; no GPU is usable",
         "the fastest CPU by units x clock x vector width; no GPU is usable"},
        {"an accelerator; no GPU or CPU is usable",
         "the fastest accelerator by units x clock x vector width; no GPU or CPU is usable"},
        {"the only device that is usable", "the fastest by units x clock x vector width"}};
    int rivals = 0;
    for (int i = 0; i < list->device_count; i++) {
        const oce_device_info *info = &list->devices[i].info;
        if (info != chosen && info->problem == NULL && fits(match, info) &&
            class_rank(info) == class_rank(chosen))
            rivals++;
    }
    if (!match->is_class)
        return match->platform >= 0 ? "the device with these indices"
                                    : "the only usable device with this name";
    if (!match->any_type && chosen->type != OCE_DEVICE_GPU)
        return rivals > 0 ? "the fastest of this type by units x clock x vector width"
                          : "the only usable device of this type";
    return reasons[class_rank(chosen)][rivals > 0];
}

/* Finds what one entry of the list means; *index stays -1 if it fits nothing usable. */
static oce_status select_entry(const oce_device_list *list, const char *entry, int *index,
                               const char **reason) {
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
    if (*index >= 0)
        *reason = reason_of(list, &match, &list->devices[*index].info);
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

enum { ENTRY_BYTES = 256 };

/* Takes the next entry off *rest, without the blanks around it; *rest is NULL after the last. */
static oce_status next_entry(const char *selector, const char **rest, char entry[ENTRY_BYTES]) {
    const size_t length = strcspn(*rest, ",");
    const char *start = *rest + strspn(*rest, " ");
    const char *end = *rest + length;
    while (end > start && end[-1] == ' ')
        end--;
    OCE_REQUIRE(start < end, OCE_ERROR_INVALID_ARGUMENT,
                "device selector \"%s\" has an empty entry", selector);
    OCE_REQUIRE(end - start < ENTRY_BYTES, OCE_ERROR_INVALID_ARGUMENT,
                "device selector: an entry of %d characters is too long (at most %d)",
                (int)(end - start), ENTRY_BYTES - 1);
    snprintf(entry, ENTRY_BYTES, "%.*s", (int)(end - start), start);
    *rest = (*rest)[length] == ',' ? *rest + length + 1 : NULL;
    return OCE_OK;
}

oce_status oce_device_list_select(const oce_device_list *list, const char *selector, int *index,
                                  const char **reason) {
    char entry[ENTRY_BYTES];
    const char *why = NULL;
    selector = default_selector(selector);
    *index = -1;
    for (const char *rest = selector; rest != NULL;) /* wrong even where it would not be reached */
        OCE_TRY(next_entry(selector, &rest, entry));
    for (const char *rest = selector; rest != NULL && *index < 0;) {
        int found = -1;
        OCE_TRY(next_entry(selector, &rest, entry));
        OCE_TRY(select_entry(list, entry, &found, &why));
        *index = found;
    }
    if (*index < 0)
        return no_device(list, selector);
    if (reason != NULL)
        *reason = why;
    return OCE_OK;
}
