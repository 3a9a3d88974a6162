/* Builds and launches that are kept to be made later, last first: see oce_device_rehearse(). */
#include "device/cache.h"
#include "device/internal.h"

#include <stdlib.h>
#include <string.h>

/* The group is compared as it was asked for: the launch path fits it to the kernel later. */
static bool is_same(const oce_held_launch *held, const oce_kernel *kernel, const oce_range *range) {
    return held->kernel == kernel && memcmp(&held->range, range, sizeof *range) == 0;
}

oce_status oce_rehearsal_hold(oce_rehearsal *rehearsal, oce_kernel *kernel, const oce_range *range,
                              const oce_arg *args, int count) {
    for (int i = 0; i < rehearsal->count; i++)
        if (is_same(&rehearsal->launches[i], kernel, range))
            return OCE_OK;
    const size_t bytes = (size_t)count * sizeof *args;
    oce_held_launch *launches =
        realloc(rehearsal->launches, ((size_t)rehearsal->count + 1) * sizeof *launches);
    oce_arg *copy = malloc(bytes + 1);
    if (launches != NULL)
        rehearsal->launches = launches;
    if (launches == NULL || copy == NULL) {
        free(copy);
        return oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for launch %d of a rehearsal",
                        rehearsal->count);
    }
    if (count > 0)
        memcpy(copy, args, bytes);
    launches[rehearsal->count++] =
        (oce_held_launch){.kernel = kernel, .range = *range, .args = copy, .count = count};
    return OCE_OK;
}

void oce_rehearsal_release(oce_rehearsal *rehearsal) {
    for (int i = 0; i < rehearsal->count; i++)
        free(rehearsal->launches[i].args);
    free(rehearsal->launches);
    *rehearsal = (oce_rehearsal){0};
}

oce_status oce_device_rehearse(oce_device *device) {
    OCE_TRY(oce_device_finish(device));
    device->rehearsal.holds_builds = device->rehearsal.holds_launches = true;
    return OCE_OK;
}

static oce_status check_part(int part, int parts) {
    OCE_REQUIRE(parts >= 1 && part >= 0 && part < parts, OCE_ERROR_INVALID_ARGUMENT,
                "part %d of %d of a rehearsal", part, parts);
    return OCE_OK;
}

/* Builds the kernels that are not built; with shared programs, or with programs of their own: of
 * those, counted from 0 on, only each `parts`-th from `part` on. What the driver refuses is left to
 * the process that needs it. */
static void build_kernels(oce_device *device, bool shares, int part, int parts) {
    int index = 0;
    for (oce_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next) {
        if (kernel->program != NULL || shares != (kernel->first != NULL))
            continue;
        const bool can_build = !shares || kernel->first->program != NULL;
        if (can_build && (shares || index % parts == part))
            (void)oce_kernel_build(kernel);
        index++;
    }
}

oce_status oce_device_rehearse_builds(oce_device *device, int part, int parts, bool *is_done) {
    OCE_TRY(check_part(part, parts));
    device->rehearsal.holds_builds = device->rehearsal.holds_launches = false;
    build_kernels(device, false, part, parts); /* the last kernel comes first in the list */
    *is_done = oce_cache_use_of(&device->entry->info, oce_device_platform_version(device)) !=
               OCE_CACHE_ON_DEMAND;
    if (*is_done)
        return OCE_OK;
    build_kernels(device, false, 0, 1);
    build_kernels(device, true, 0, 1);
    device->rehearsal.holds_launches = true;
    return OCE_OK;
}

oce_status oce_device_rehearse_launches(oce_device *device, int part, int parts) {
    OCE_TRY(check_part(part, parts));
    oce_rehearsal rehearsal = device->rehearsal;
    oce_status status = OCE_OK;
    device->rehearsal = (oce_rehearsal){0};
    for (int i = rehearsal.count - 1 - part; i >= 0 && status == OCE_OK; i -= parts) {
        const oce_held_launch *held = &rehearsal.launches[i];
        if (held->kernel->program != NULL)
            status = oce_launch(held->kernel, held->range, held->args, held->count);
    }
    const oce_status finished = oce_device_finish(device); /* also after a failure */
    oce_rehearsal_release(&rehearsal);
    return status != OCE_OK ? status : finished;
}

void oce_device_end_rehearsal(oce_device *device) {
    oce_rehearsal_release(&device->rehearsal);
    oce_kernels_release_unbuilt(device);
}
