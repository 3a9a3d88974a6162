/*
 * A growing byte buffer. A failed allocation is remembered and makes the later appends do nothing,
 * so a caller appends freely and asks once, with oce_bytes_check().
 */
#ifndef OCE_BASE_BYTES_H
#define OCE_BASE_BYTES_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct oce_bytes {
    unsigned char *data; /* NULL while empty; otherwise data[size] is a NUL beyond the contents */
    size_t size, capacity;
    bool failed;
} oce_bytes;

void oce_bytes_finish(oce_bytes *bytes);
/* Room for `size` more bytes, uninitialised and already counted; NULL if there is no memory. */
unsigned char *oce_bytes_grow(oce_bytes *bytes, size_t size);
void oce_bytes_append(oce_bytes *bytes, const void *data, size_t size);
void oce_bytes_text(oce_bytes *bytes, const char *text);
void oce_bytes_printf(oce_bytes *bytes, const char *format, ...) OCE_PRINTF(2, 3);
void oce_bytes_u8(oce_bytes *bytes, unsigned value);
/* Little-endian. */
void oce_bytes_u16(oce_bytes *bytes, unsigned value);
void oce_bytes_u32(oce_bytes *bytes, uint32_t value);
void oce_bytes_u64(oce_bytes *bytes, uint64_t value);
/* Seven bits a byte, low group first, high bit set on all but the last byte. */
void oce_bytes_varint(oce_bytes *bytes, uint64_t value);
/* OCE_ERROR_HOST_MEMORY, naming `what`, if an append failed. */
oce_status oce_bytes_check(const oce_bytes *bytes, const char *what);
/* The contents as a NUL-terminated string ("" if empty). */
const char *oce_bytes_string(const oce_bytes *bytes);

/* A bounded view that is read from the front. Reads past the end return false and take nothing. */
typedef struct oce_view {
    const unsigned char *data;
    size_t size;
} oce_view;

bool oce_view_take(oce_view *view, size_t size, const unsigned char **data);
bool oce_view_u16(oce_view *view, unsigned *value);
bool oce_view_u32(oce_view *view, uint32_t *value);
bool oce_view_u64(oce_view *view, uint64_t *value);
/* False also if the varint is longer than 64 bits. */
bool oce_view_varint(oce_view *view, uint64_t *value);

#endif
