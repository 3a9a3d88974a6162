/* The one launch path. */
#include "device/internal.h"

#include "base/size.h"

#include <stdint.h>

/* Items of a group where the caller leaves it open: enough to fill a unit, never more than 256,
 * which every GPU driver allows. */
enum { USUAL_GROUP = 256 };

static oce_status set_arg(const oce_kernel *kernel, cl_uint index, size_t bytes,
                          const void *value) {
    const cl_int code = clSetKernelArg(kernel->kernel, index, bytes, value);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "argument %u of kernel %s on \"%s\"", index, kernel->name,
                               kernel->device->entry->info.name);
    return OCE_OK;
}

static oce_status set_args(const oce_kernel *kernel, const oce_arg *args, int count) {
    cl_uint index = 0;
    for (int i = 0; i < count; i++)
        index += args[i].kind == OCE_ARG_TENSOR ? 2 : 1;
    OCE_REQUIRE(index == kernel->arg_count, OCE_ERROR_INVALID_ARGUMENT,
                "kernel %s takes %u arguments, %u were given", kernel->name, kernel->arg_count,
                index);
    index = 0;
    for (int i = 0; i < count; i++) {
        const oce_arg *arg = &args[i];
        const bool has_memory = arg->kind == OCE_ARG_TENSOR || arg->kind == OCE_ARG_BUFFER;
        if (has_memory) {
            const oce_buffer *buffer = arg->value.tensor.buffer;
            OCE_REQUIRE(buffer == NULL || buffer->device == kernel->device,
                        OCE_ERROR_INVALID_ARGUMENT,
                        "kernel %s: argument %d is a buffer of another device", kernel->name, i);
            const cl_mem memory = buffer != NULL ? buffer->memory : NULL;
            OCE_TRY(set_arg(kernel, index++, sizeof memory, memory != NULL ? &memory : NULL));
        }
        switch (arg->kind) {
        case OCE_ARG_TENSOR:
            OCE_TRY(set_arg(kernel, index++, sizeof(cl_ulong), &arg->value.tensor.offset));
            break;
        case OCE_ARG_INT: {
            OCE_REQUIRE(arg->value.l >= INT32_MIN && arg->value.l <= UINT32_MAX, OCE_ERROR_OVERFLOW,
                        "kernel %s: argument %d, %lld, does not fit 32 bits", kernel->name, i,
                        (long long)arg->value.l);
            const cl_uint bits = (cl_uint)arg->value.l;
            OCE_TRY(set_arg(kernel, index++, sizeof bits, &bits));
            break;
        }
        case OCE_ARG_LONG:
            OCE_TRY(set_arg(kernel, index++, sizeof(cl_long), &arg->value.l));
            break;
        case OCE_ARG_FLOAT:
            OCE_TRY(set_arg(kernel, index++, sizeof(cl_float), &arg->value.f));
            break;
        case OCE_ARG_BUFFER:
            break;
        }
    }
    return OCE_OK;
}

/* Chooses the group where it is open, and makes sure that the device can run it. */
static oce_status fit_group(const oce_kernel *kernel, oce_range *range) {
    const oce_limits *limits = &kernel->device->limits;
    if (range->local[0] == 0) {
        size_t group = USUAL_GROUP;
        if (limits->is_cpu)
            group = 1;
        while (group > 1 && (group > kernel->max_work_group || group > limits->max_items[0] ||
                             group / 2 >= range->global[0]))
            group /= 2;
        range->local[0] = group;
        range->global[0] = oce_size_round_up(range->global[0], group);
    }
    size_t items = 1;
    for (int i = 0; i < 3; i++) {
        const size_t local = range->local[i];
        OCE_REQUIRE(local >= 1 && range->global[i] % local == 0, OCE_ERROR_INVALID_ARGUMENT,
                    "kernel %s: %zu items along dimension %d are not a multiple of the group's %zu",
                    kernel->name, range->global[i], i, local);
        OCE_REQUIRE(local <= limits->max_items[i], OCE_ERROR_UNSUPPORTED,
                    "kernel %s: a group of %zu items along dimension %d, \"%s\" allows %zu",
                    kernel->name, local, i, kernel->device->entry->info.name, limits->max_items[i]);
        items *= local;
    }
    OCE_REQUIRE(items <= kernel->max_work_group, OCE_ERROR_UNSUPPORTED,
                "kernel %s: a group of %zu items, \"%s\" allows %zu", kernel->name, items,
                kernel->device->entry->info.name, kernel->max_work_group);
    return OCE_OK;
}

oce_status oce_launch(oce_kernel *kernel, oce_range range, const oce_arg *args, int count) {
    oce_device *device = kernel->device;
    if (range.global[0] == 0 || range.global[1] == 0 || range.global[2] == 0)
        return OCE_OK;
    if (device->rehearsal.holds_launches)
        return oce_rehearsal_hold(&device->rehearsal, kernel, &range, args, count);
    OCE_TRY(set_args(kernel, args, count));
    OCE_TRY(fit_group(kernel, &range));
    cl_event event = NULL;
    const bool profile = device->profile.is_on;
    const cl_int code = clEnqueueNDRangeKernel(device->queue, kernel->kernel, 3, NULL, range.global,
                                               range.local, 0, NULL, profile ? &event : NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(
            code,
            "launching kernel %s with %zu x %zu x %zu items in groups of %zu x %zu x %zu on \"%s\"",
            kernel->name, range.global[0], range.global[1], range.global[2], range.local[0],
            range.local[1], range.local[2], device->entry->info.name);
    if (profile)
        OCE_TRY(oce_profile_add(
            device, event, oce_profile_entry_index(&device->profile, kernel->name, kernel->build)));
    return oce_fault_names_have(&device->fault.result, kernel->name)
               ? oce_fault_spoil_launch(kernel, args, count)
               : OCE_OK;
}
