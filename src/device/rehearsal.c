/* Launches that are kept to be made later, last first: see oce_device_rehearse(). */
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
    device->rehearsal.is_on = true;
    return OCE_OK;
}

oce_status oce_device_end_rehearsal(oce_device *device, int part, int parts) {
    OCE_REQUIRE(parts >= 1 && part >= 0 && part < parts, OCE_ERROR_INVALID_ARGUMENT,
                "part %d of %d of a rehearsal", part, parts);
    oce_rehearsal rehearsal = device->rehearsal;
    oce_status status = OCE_OK;
    device->rehearsal = (oce_rehearsal){0};
    for (int i = rehearsal.count - 1 - part; i >= 0 && status == OCE_OK; i -= parts) {
        const oce_held_launch *held = &rehearsal.launches[i];
        status = oce_launch(held->kernel, held->range, held->args, held->count);
    }
    const oce_status finished = oce_device_finish(device); /* also after a failure */
    oce_rehearsal_release(&rehearsal);
    return status != OCE_OK ? status : finished;
}
