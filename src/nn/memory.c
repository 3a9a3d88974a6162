#include "nn/memory.h"

#include "base/size.h"
#include "base/status.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>

oce_status oce_memory_add(oce_memory *memory, const char *prefix, const char *what, size_t bytes,
                          int *index) {
    size_t total = 0;
    OCE_REQUIRE(oce_size_add(memory->total, bytes, &total), OCE_ERROR_OVERFLOW,
                "%s %s of %zu bytes: the sum of all buffers cannot be represented", prefix, what,
                bytes);
    oce_memory_slot *slots =
        realloc(memory->slots, ((size_t)memory->count + 1) * sizeof *memory->slots);
    OCE_REQUIRE(slots != NULL, OCE_ERROR_HOST_MEMORY, "no memory for the memory plan");
    memory->slots = slots;
    memory->total = total;
    oce_memory_slot *slot = &slots[memory->count];
    *slot = (oce_memory_slot){.bytes = bytes};
    snprintf(slot->name, sizeof slot->name, "%s%s%s", prefix, prefix[0] != '\0' ? " " : "", what);
    *index = memory->count++;
    return OCE_OK;
}

oce_status oce_memory_grow(oce_memory *memory, int index, size_t bytes) {
    oce_memory_slot *slot = &memory->slots[index];
    size_t total = 0;
    if (bytes <= slot->bytes)
        return OCE_OK;
    OCE_REQUIRE(oce_size_add(memory->total - slot->bytes, bytes, &total), OCE_ERROR_OVERFLOW,
                "%s of %zu bytes: the sum of all buffers cannot be represented", slot->name, bytes);
    slot->bytes = bytes;
    memory->total = total;
    return OCE_OK;
}

oce_status oce_memory_check(const oce_memory *memory, oce_device *device) {
    const oce_limits *limits = oce_device_limits(device);
    const char *name = oce_device_get_info(device)->name;
    for (int i = 0; i < memory->count; i++) {
        const oce_memory_slot *slot = &memory->slots[i];
        OCE_REQUIRE(slot->bytes <= limits->max_allocation &&
                        limits->max_allocation - slot->bytes >= OCE_BUFFER_SLACK,
                    OCE_ERROR_DEVICE_MEMORY,
                    "buffer \"%s\" needs %zu bytes, the largest allocation of \"%s\" is %zu",
                    slot->name, slot->bytes, name, limits->max_allocation);
    }
    const oce_memory_slot *largest = memory->slots;
    for (int i = 1; i < memory->count; i++)
        if (memory->slots[i].bytes > largest->bytes)
            largest = &memory->slots[i];
    OCE_REQUIRE(memory->count == 0 || memory->total <= limits->global_bytes,
                OCE_ERROR_DEVICE_MEMORY,
                "%d buffers need %zu bytes (the largest, \"%s\", %zu), \"%s\" has %llu",
                memory->count, memory->total, largest->name, largest->bytes, name,
                (unsigned long long)limits->global_bytes);
    return OCE_OK;
}

static void free_buffers(oce_memory *memory) {
    for (int i = 0; i < memory->count; i++) {
        oce_buffer_destroy(memory->slots[i].buffer);
        memory->slots[i].buffer = NULL;
    }
}

oce_status oce_memory_allocate(oce_memory *memory, oce_device *device) {
    oce_status status = oce_memory_check(memory, device);
    for (int i = 0; i < memory->count && status == OCE_OK; i++) {
        oce_memory_slot *slot = &memory->slots[i];
        status = oce_buffer_create(device, slot->bytes, &slot->buffer);
        if (status == OCE_OK)
            status = oce_buffer_clear(slot->buffer, 0, slot->bytes);
        if (status != OCE_OK)
            oce_fail_prefix(status, "buffer \"%s\"", slot->name);
    }
    if (status != OCE_OK)
        free_buffers(memory);
    return status;
}

oce_buffer *oce_memory_buffer(const oce_memory *memory, int index) {
    return index >= 0 && index < memory->count ? memory->slots[index].buffer : NULL;
}

void oce_memory_release(oce_memory *memory) {
    free_buffers(memory);
    free(memory->slots);
    *memory = (oce_memory){0};
}
