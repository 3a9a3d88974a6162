/*
 * Lists every OpenCL platform and device, and says which one a selector means.
 *
 *   devices [DEVICE_SELECTOR]
 *
 * Test run: devices auto
 */
#include <ocelli/ocelli.h>

#include <stdio.h>

static void print_platform(const oce_device_list *list, int platform) {
    const oce_platform_info *info = oce_device_list_platform(list, platform);
    printf("platform %d: %s, %s\n", platform, info->name, info->version);
    if (info->problem != NULL)
        printf("    %s\n", info->problem);
    for (int i = 0; i < oce_device_list_count(list); i++) {
        const oce_device_info *device = oce_device_list_get(list, i);
        if (device->platform != platform)
            continue;
        printf("    %s %s, %s, driver %s\n", device->selector, oce_device_type_name(device->type),
               device->name, device->driver_version);
        printf("        %u units, %.1f GB of memory, buffers up to %.1f GB\n",
               device->compute_units, 1e-9 * (double)device->memory_bytes,
               1e-9 * (double)device->largest_allocation);
        printf("        %.0f KB of %s local memory a group\n",
               1e-3 * (double)device->local_memory_bytes,
               device->local_memory_is_real ? "dedicated" : "emulated");
        if (device->problem != NULL)
            printf("        cannot be used: %s\n", device->problem);
    }
}

int main(int argc, char **argv) {
    const char *selector = argc > 1 ? argv[1] : NULL; /* NULL: $OCELLI_DEVICE, or auto */
    oce_device_list *list = NULL;
    if (oce_device_list_create(&list) != OCE_OK) {
        fprintf(stderr, "devices: %s\n", oce_last_error());
        return 1;
    }
    for (int i = 0; i < oce_device_list_platforms(list); i++)
        print_platform(list, i);

    int index = -1;
    const char *reason = NULL;
    const oce_status status = oce_device_list_select(list, selector, &index, &reason);
    if (status == OCE_OK)
        printf("chosen: %s, %s\n", oce_device_list_get(list, index)->selector, reason);
    else
        fprintf(stderr, "devices: %s\n", oce_last_error());
    oce_device_list_destroy(list);
    return status == OCE_OK ? 0 : 1;
}
