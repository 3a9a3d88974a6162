/* Device memory with sizes that are checked against overflow and the device's limits. */
#include "device/internal.h"

#include "base/pages.h"
#include "base/size.h"

#include <stdlib.h>

/* What tests ask for: a device whose memory is used up (caps.h), or that fails once (fault.h). */
static cl_int test_failure(oce_device *device, size_t bytes) {
    const bool is_full = device->list->caps.memory != UINT64_MAX &&
                         bytes > device->limits.global_bytes - device->allocated;
    device->allocations++;
    return is_full || device->allocations == device->fault.allocation
               ? CL_MEM_OBJECT_ALLOCATION_FAILURE
               : CL_SUCCESS;
}

/* Fills a new buffer, its slack too: with NaN for tests; with zeros in a rehearsal, where kernels
 * run before those that write what they read. */
static cl_int fill_new(const oce_buffer *buffer, size_t bytes) {
    const cl_uint pattern = buffer->device->rehearsal.holds_launches ? 0 : 0x7FC0DEAD;
    return clEnqueueFillBuffer(buffer->device->queue, buffer->memory, &pattern, sizeof pattern, 0,
                               bytes - bytes % sizeof pattern, 0, NULL, NULL);
}

/* Asks for large pages where the driver maps a buffer to where it is, as drivers of CPUs do:
 * weights are read from end to end at the pace of memory, and looking up pages of 4 KB takes a part
 * of that time, the more in a virtual machine. */
enum { LARGE_BUFFER = 4 << 20 };

static void use_large_pages(const oce_buffer *buffer, size_t bytes) {
    const oce_device *device = buffer->device;
    if (bytes < LARGE_BUFFER || device->entry->info.type != OCE_DEVICE_CPU)
        return;
    cl_int code = CL_SUCCESS;
    void *start =
        clEnqueueMapBuffer(device->queue, buffer->memory, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION,
                           0, bytes, 0, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return;
    oce_ask_for_large_pages(start, bytes);
    (void)clEnqueueUnmapMemObject(device->queue, buffer->memory, start, 0, NULL, NULL);
}

static oce_status create(oce_device *device, size_t bytes, bool is_counted, oce_buffer **result) {
    *result = NULL;
    const oce_limits *limits = &device->limits;
    size_t padded = 0;
    OCE_REQUIRE(oce_size_add(bytes, OCE_BUFFER_SLACK, &padded), OCE_ERROR_OVERFLOW,
                "a buffer of %zu bytes cannot be represented", bytes);
    OCE_REQUIRE(padded <= limits->max_allocation, OCE_ERROR_DEVICE_MEMORY,
                "a buffer of %zu bytes is larger than the largest allocation of \"%s\", %zu bytes",
                padded, device->entry->info.name, limits->max_allocation);
    oce_buffer *buffer = calloc(1, sizeof *buffer);
    OCE_REQUIRE(buffer != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a buffer");
    cl_int code = is_counted ? test_failure(device, padded) : CL_SUCCESS;
    buffer->device = device;
    buffer->bytes = bytes;
    if (code == CL_SUCCESS)
        buffer->memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, padded, NULL, &code);
    if (code == CL_SUCCESS)
        use_large_pages(buffer, padded);
    if (code == CL_SUCCESS && (device->fault.poison || device->rehearsal.holds_launches))
        code = fill_new(buffer, padded);
    if (code != CL_SUCCESS) {
        if (buffer->memory != NULL)
            clReleaseMemObject(buffer->memory);
        free(buffer);
        return oce_opencl_fail(code, "allocating a buffer of %zu bytes on \"%s\" (%llu bytes)",
                               padded, device->entry->info.name,
                               (unsigned long long)limits->global_bytes);
    }
    device->allocated += padded;
    *result = buffer;
    return OCE_OK;
}

oce_status oce_buffer_create(oce_device *device, size_t bytes, oce_buffer **result) {
    return create(device, bytes, true, result);
}

oce_status oce_buffer_create_small(oce_device *device, size_t bytes, oce_buffer **result) {
    return create(device, bytes, false, result);
}

void oce_buffer_destroy(oce_buffer *buffer) {
    if (buffer == NULL)
        return;
    clReleaseMemObject(buffer->memory);
    buffer->device->allocated -= buffer->bytes + OCE_BUFFER_SLACK;
    free(buffer);
}

size_t oce_buffer_bytes(const oce_buffer *buffer) {
    return buffer->bytes;
}

oce_device *oce_buffer_device(const oce_buffer *buffer) {
    return buffer->device;
}

static oce_status check_range(const oce_buffer *buffer, const char *what, size_t offset,
                              size_t bytes) {
    OCE_REQUIRE(offset <= buffer->bytes && bytes <= buffer->bytes - offset, OCE_ERROR_SHAPE,
                "%s %zu bytes at offset %zu: the buffer has %zu", what, bytes, offset,
                buffer->bytes);
    return OCE_OK;
}

oce_status oce_buffer_expect(const oce_buffer *buffer, const char *name, size_t bytes) {
    OCE_REQUIRE(bytes == 0 || buffer != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "%s: %zu bytes are needed, none were given", name, bytes);
    OCE_REQUIRE(bytes == 0 || buffer->bytes >= bytes, OCE_ERROR_INVALID_ARGUMENT,
                "%s: %zu bytes are needed, the buffer has %zu", name, bytes, buffer->bytes);
    return OCE_OK;
}

oce_status oce_buffer_clear(oce_buffer *buffer, size_t offset, size_t bytes) {
    OCE_TRY(check_range(buffer, "clearing", offset, bytes));
    if (bytes == 0)
        return OCE_OK;
    const cl_uchar zero = 0;
    const cl_int code = clEnqueueFillBuffer(buffer->device->queue, buffer->memory, &zero,
                                            sizeof zero, offset, bytes, 0, NULL, NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "clearing %zu bytes on \"%s\"", bytes,
                               buffer->device->entry->info.name);
    return OCE_OK;
}

static oce_status enqueue_write(oce_buffer *buffer, size_t offset, const void *data, size_t bytes,
                                cl_bool wait, cl_event *event) {
    OCE_TRY(check_range(buffer, "writing", offset, bytes));
    if (bytes == 0)
        return OCE_OK;
    const cl_int code = clEnqueueWriteBuffer(buffer->device->queue, buffer->memory, wait, offset,
                                             bytes, data, 0, NULL, event);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "writing %zu bytes to \"%s\"", bytes,
                               buffer->device->entry->info.name);
    return OCE_OK;
}

oce_status oce_buffer_write(oce_buffer *buffer, size_t offset, const void *data, size_t bytes) {
    return enqueue_write(buffer, offset, data, bytes, CL_TRUE, NULL);
}

oce_status oce_buffer_write_later(oce_buffer *buffer, size_t offset, const void *data,
                                  size_t bytes) {
    return enqueue_write(buffer, offset, data, bytes, CL_FALSE, NULL);
}

oce_status oce_buffer_write_marked(oce_buffer *buffer, size_t offset, const void *data,
                                   size_t bytes, oce_mark *mark) {
    cl_event event = NULL;
    oce_mark_clear(mark);
    OCE_TRY(enqueue_write(buffer, offset, data, bytes, CL_FALSE, &event));
    mark->event = event;
    return OCE_OK;
}

oce_status oce_buffer_map_later(oce_buffer *buffer, void **host, oce_mark *mark) {
    cl_event event = NULL;
    cl_int code = CL_SUCCESS;
    oce_mark_clear(mark);
    *host = clEnqueueMapBuffer(buffer->device->queue, buffer->memory, CL_FALSE,
                               CL_MAP_WRITE_INVALIDATE_REGION, 0, buffer->bytes, 0, NULL, &event,
                               &code);
    if (code != CL_SUCCESS) {
        *host = NULL;
        return oce_opencl_fail(code, "mapping %zu bytes of \"%s\"", buffer->bytes,
                               buffer->device->entry->info.name);
    }
    mark->event = event;
    return OCE_OK;
}

oce_status oce_buffer_unmap(oce_buffer *buffer, void *host) {
    const cl_int code =
        clEnqueueUnmapMemObject(buffer->device->queue, buffer->memory, host, 0, NULL, NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "unmapping %zu bytes of \"%s\"", buffer->bytes,
                               buffer->device->entry->info.name);
    return OCE_OK;
}

static oce_status enqueue_read(const oce_buffer *buffer, size_t offset, void *data, size_t bytes,
                               cl_bool wait) {
    OCE_TRY(check_range(buffer, "reading", offset, bytes));
    if (bytes == 0)
        return OCE_OK;
    const cl_int code = clEnqueueReadBuffer(buffer->device->queue, buffer->memory, wait, offset,
                                            bytes, data, 0, NULL, NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "reading %zu bytes from \"%s\"", bytes,
                               buffer->device->entry->info.name);
    return OCE_OK;
}

oce_status oce_buffer_read(const oce_buffer *buffer, size_t offset, void *data, size_t bytes) {
    return enqueue_read(buffer, offset, data, bytes, CL_TRUE);
}

oce_status oce_buffer_read_later(const oce_buffer *buffer, size_t offset, void *data,
                                 size_t bytes) {
    return enqueue_read(buffer, offset, data, bytes, CL_FALSE);
}

oce_status oce_buffer_copy(const oce_buffer *source, size_t source_offset, oce_buffer *target,
                           size_t target_offset, size_t bytes) {
    OCE_TRY(check_range(source, "copying from", source_offset, bytes));
    OCE_TRY(check_range(target, "copying to", target_offset, bytes));
    OCE_REQUIRE(source->device == target->device, OCE_ERROR_INVALID_ARGUMENT,
                "copying %zu bytes between two devices, \"%s\" and \"%s\"", bytes,
                source->device->entry->info.name, target->device->entry->info.name);
    if (bytes == 0)
        return OCE_OK;
    const cl_int code = clEnqueueCopyBuffer(source->device->queue, source->memory, target->memory,
                                            source_offset, target_offset, bytes, 0, NULL, NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "copying %zu bytes on \"%s\"", bytes,
                               source->device->entry->info.name);
    return OCE_OK;
}
