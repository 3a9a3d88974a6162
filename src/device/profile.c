/* Time per kernel and label, from OpenCL's profiling events. */
#include "device/internal.h"

#include <stdlib.h>
#include <string.h>

void oce_device_label(oce_device *device, const char *label, double flops) {
    oce_profile *profile = &device->profile;
    profile->label = label;
    if (!profile->is_on || flops <= 0)
        return;
    const int index = oce_profile_entry_index(profile, "", "");
    if (index >= 0)
        profile->entries[index].flops += flops;
}

int oce_profile_entry_index(oce_profile *profile, const char *kernel, const char *build) {
    for (int i = 0; i < profile->entry_count; i++)
        if (strcmp(profile->entries[i].label, profile->label) == 0 &&
            strcmp(profile->entries[i].kernel, kernel) == 0 &&
            strcmp(profile->entries[i].build, build) == 0)
            return i;
    oce_profile_entry *entries =
        realloc(profile->entries, ((size_t)profile->entry_count + 1) * sizeof *profile->entries);
    if (entries == NULL)
        return -1;
    profile->entries = entries;
    entries[profile->entry_count] =
        (oce_profile_entry){.label = profile->label, .kernel = kernel, .build = build};
    return profile->entry_count++;
}

static oce_status read_pending(oce_device *device) {
    oce_profile *profile = &device->profile;
    const oce_status status = profile->pending_count > 0 ? oce_device_finish(device) : OCE_OK;
    for (int i = 0; i < profile->pending_count; i++) {
        const oce_profile_event *pending = &profile->pending[i];
        cl_ulong start = 0, end = 0;
        cl_int code = clGetEventProfilingInfo(pending->event, CL_PROFILING_COMMAND_START,
                                              sizeof start, &start, NULL);
        if (code == CL_SUCCESS)
            code = clGetEventProfilingInfo(pending->event, CL_PROFILING_COMMAND_END, sizeof end,
                                           &end, NULL);
        clReleaseEvent(pending->event);
        oce_profile_entry *entry = &profile->entries[pending->entry];
        if (code == CL_SUCCESS && end >= start)
            entry->seconds += 1e-9 * (double)(end - start);
        entry->launches++;
    }
    profile->pending_count = 0; /* also after a failure: more events are to come */
    return status;
}

oce_status oce_profile_add(oce_device *device, cl_event event, int entry) {
    oce_profile *profile = &device->profile;
    if (entry < 0) {
        clReleaseEvent(event);
        return oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for the profile");
    }
    profile->pending[profile->pending_count++] = (oce_profile_event){event, entry};
    return profile->pending_count == OCE_PROFILE_PENDING ? read_pending(device) : OCE_OK;
}

oce_status oce_device_profile_read(oce_device *device, const oce_profile_entry **entries,
                                   int *count) {
    OCE_TRY(read_pending(device));
    *entries = device->profile.entries;
    *count = device->profile.entry_count;
    return OCE_OK;
}

void oce_profile_release(oce_profile *profile) {
    for (int i = 0; i < profile->pending_count; i++)
        clReleaseEvent(profile->pending[i].event);
    free(profile->entries);
    profile->entries = NULL;
    profile->entry_count = profile->pending_count = 0;
}
