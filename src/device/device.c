/* Opening and closing a device. */
#include "device/internal.h"

#include <stdlib.h>
#include <string.h>

/* OCELLI_TILE=A to H is for tests: the one tile of the GPU families to be used, in lower case
 * without staging. */
static oce_status read_tile(char *tile) {
    const char *forced = getenv("OCELLI_TILE");
    *tile = forced != NULL ? forced[0] : '\0';
    OCE_REQUIRE(*tile == '\0' || (strchr("ABCDEFGHabcdefgh", *tile) != NULL && forced[1] == '\0'),
                OCE_ERROR_INVALID_ARGUMENT, "OCELLI_TILE is \"%s\", not a letter from A to H",
                forced);
    return OCE_OK;
}

static oce_limits query_limits(const oce_device_entry *entry) {
    const oce_device_info *info = &entry->info;
    oce_limits limits = {
        .is_cpu = info->cpu_kernels,
        .vector_width = (int)info->kernel_vector_width,
        .vector_registers = (int)info->vector_registers,
        .compute_units = info->compute_units > 0 ? (int)info->compute_units : 1,
        .max_work_group = info->max_work_group_size > 0 ? (size_t)info->max_work_group_size : 1,
        .local_bytes = (size_t)info->local_memory_bytes,
        .local_is_real = info->local_memory_is_real,
        .max_allocation = (size_t)info->largest_allocation,
        .global_bytes = info->memory_bytes,
        .has_fast_fma = info->has_fast_fma,
        .unified_memory = info->unified_memory,
    };
    for (int i = 0; i < 3; i++)
        limits.max_items[i] = info->max_work_items[i] > 0 ? (size_t)info->max_work_items[i] : 1;
    return limits;
}

static oce_status create_queue(oce_device *device, cl_command_queue_properties properties) {
    cl_int code = CL_SUCCESS;
    device->queue = clCreateCommandQueue(device->context, device->entry->id, properties, &code);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "creating a command queue on \"%s\"",
                               device->entry->info.name);
    return OCE_OK;
}

static oce_status open_entry(oce_device *device) {
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)device->entry->platform, 0};
    cl_int code = CL_SUCCESS;
    device->context = clCreateContext(properties, 1, &device->entry->id, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "creating a context on \"%s\"", device->entry->info.name);
    device->limits = query_limits(device->entry);
    OCE_TRY(read_tile(&device->limits.tile));
    OCE_TRY(create_queue(device, 0));
    oce_device_probe_loops(device);
    return OCE_OK;
}

oce_status oce_device_open(const char *selector, oce_device **result) {
    *result = NULL;
    oce_device *device = calloc(1, sizeof *device);
    OCE_REQUIRE(device != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a device");
    device->profile.label = "";
    int index = -1;
    oce_status status = oce_fault_parse(getenv("OCELLI_FAULT"), &device->fault);
    if (status == OCE_OK)
        status = oce_fault_check(&device->fault);
    if (status == OCE_OK)
        status = oce_device_list_create(&device->list);
    if (status == OCE_OK)
        status = oce_device_list_select(device->list, selector, &index, NULL);
    if (status == OCE_OK) {
        device->entry = &device->list->devices[index];
        status = open_entry(device);
    }
    if (status != OCE_OK) {
        oce_device_close(device);
        return status;
    }
    *result = device;
    return OCE_OK;
}

/* The marker is for Mesa 22.3, whose clFinish() does not wait for what was flushed before. */
static cl_int finish_queue(cl_command_queue queue) {
    const cl_int code = clEnqueueMarkerWithWaitList(queue, 0, NULL, NULL);
    return code == CL_SUCCESS ? clFinish(queue) : code;
}

void oce_device_close(oce_device *device) {
    if (device == NULL)
        return;
    if (device->queue != NULL)
        finish_queue(device->queue);
    oce_profile_release(&device->profile);
    oce_rehearsal_release(&device->rehearsal);
    oce_kernels_release(device);
    oce_notices_release(device);
    oce_tuning_release(&device->tuning);
    if (device->queue != NULL)
        clReleaseCommandQueue(device->queue);
    if (device->context != NULL)
        clReleaseContext(device->context);
    oce_device_list_destroy(device->list);
    free(device);
}

const oce_device_info *oce_device_get_info(const oce_device *device) {
    return &device->entry->info;
}

int64_t oce_device_loop_rounds(const oce_device *device) {
    return device->limits.loop_rounds;
}

const char *oce_device_platform_version(const oce_device *device) {
    return device->list->platforms[device->entry->info.platform].version;
}

const oce_limits *oce_device_limits(const oce_device *device) {
    return &device->limits;
}

oce_status oce_device_finish(oce_device *device) {
    const cl_int code = finish_queue(device->queue);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "waiting for \"%s\"", device->entry->info.name);
    return OCE_OK;
}

oce_status oce_device_flush(oce_device *device) {
    const cl_int code = clFlush(device->queue);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "flushing the queue of \"%s\"", device->entry->info.name);
    return OCE_OK;
}

/* Replaces the queue, once it is empty, by one that records events or one that does not. */
static oce_status switch_profile(oce_device *device, bool is_on) {
    if (device->profile.is_on == is_on)
        return OCE_OK;
    OCE_TRY(oce_device_finish(device));
    cl_command_queue old = device->queue;
    oce_status status = create_queue(device, is_on ? CL_QUEUE_PROFILING_ENABLE : 0);
    if (status != OCE_OK) {
        device->queue = old;
        return status;
    }
    clReleaseCommandQueue(old);
    device->profile.is_on = is_on;
    return OCE_OK;
}

oce_status oce_device_profile_start(oce_device *device) {
    return switch_profile(device, true);
}

oce_status oce_device_profile_stop(oce_device *device) {
    OCE_TRY(switch_profile(device, false));
    oce_profile_release(&device->profile);
    return OCE_OK;
}
