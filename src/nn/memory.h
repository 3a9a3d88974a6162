/* The memory plan of a model: named buffers, known in full before the first is allocated. */
#ifndef OCE_NN_MEMORY_H
#define OCE_NN_MEMORY_H

#include <ocelli/tensor.h>

#include <stddef.h>

enum { OCE_MEMORY_NAME = 64 };

typedef struct oce_memory_slot {
    char name[OCE_MEMORY_NAME];
    size_t bytes;
    oce_buffer *buffer; /* NULL until allocated */
} oce_memory_slot;

typedef struct oce_memory {
    oce_memory_slot *slots;
    int count;
    size_t total; /* bytes of all slots */
} oce_memory;

/* Plans a buffer called "<prefix> <what>" (prefix may be ""); *index is its place. */
oce_status oce_memory_add(oce_memory *memory, const char *prefix, const char *what, size_t bytes,
                          int *index);

/* Makes the buffer at `index`, not allocated yet, at least so large. */
oce_status oce_memory_grow(oce_memory *memory, int index, size_t bytes);

/* Fails with OCE_ERROR_DEVICE_MEMORY, naming the buffer and the numbers, if the plan cannot fit the
 * device: a buffer is larger than the largest allocation, or all are together larger than its
 * memory. */
oce_status oce_memory_check(const oce_memory *memory, oce_device *device);

/* Allocates and clears every buffer; on failure all are freed again. */
oce_status oce_memory_allocate(oce_memory *memory, oce_device *device);

/* The buffer at `index`; NULL before the allocation or for index -1. */
oce_buffer *oce_memory_buffer(const oce_memory *memory, int index);

void oce_memory_release(oce_memory *memory);

#endif
