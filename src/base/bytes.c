#include "base/bytes.h"

#include "base/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void oce_bytes_finish(oce_bytes *bytes) {
    free(bytes->data);
    *bytes = (oce_bytes){0};
}

unsigned char *oce_bytes_grow(oce_bytes *bytes, size_t size) {
    size_t needed; /* with the NUL beyond the end */
    if (bytes->failed || !oce_size_add(bytes->size, size, &needed) ||
        !oce_size_add(needed, 1, &needed)) {
        bytes->failed = true;
        return NULL;
    }
    if (needed > bytes->capacity) {
        const size_t doubled = bytes->capacity > SIZE_MAX / 2 ? SIZE_MAX : bytes->capacity * 2;
        const size_t capacity = needed > doubled ? needed : doubled;
        unsigned char *data = realloc(bytes->data, capacity);
        if (!data) {
            bytes->failed = true;
            return NULL;
        }
        bytes->data = data;
        bytes->capacity = capacity;
    }
    unsigned char *room = bytes->data + bytes->size;
    bytes->size += size;
    bytes->data[bytes->size] = 0;
    return room;
}

void oce_bytes_append(oce_bytes *bytes, const void *data, size_t size) {
    unsigned char *room = oce_bytes_grow(bytes, size);
    if (room && size > 0)
        memcpy(room, data, size);
}

void oce_bytes_text(oce_bytes *bytes, const char *text) {
    oce_bytes_append(bytes, text, strlen(text));
}

void oce_bytes_printf(oce_bytes *bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    unsigned char *room = length < 0 ? NULL : oce_bytes_grow(bytes, (size_t)length);
    if (!room) {
        bytes->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf((char *)room, (size_t)length + 1, format, args);
    va_end(args);
}

static void append_little_endian(oce_bytes *bytes, uint64_t value, size_t size) {
    unsigned char *room = oce_bytes_grow(bytes, size);
    for (size_t i = 0; room && i < size; i++)
        room[i] = (unsigned char)(value >> (8 * i));
}

void oce_bytes_u8(oce_bytes *bytes, unsigned value) {
    append_little_endian(bytes, value, 1);
}

void oce_bytes_u16(oce_bytes *bytes, unsigned value) {
    append_little_endian(bytes, value, 2);
}

void oce_bytes_u32(oce_bytes *bytes, uint32_t value) {
    append_little_endian(bytes, value, 4);
}

void oce_bytes_u64(oce_bytes *bytes, uint64_t value) {
    append_little_endian(bytes, value, 8);
}

void oce_bytes_varint(oce_bytes *bytes, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        oce_bytes_u8(bytes, (unsigned)(value & 0x7F) | 0x80U);
    oce_bytes_u8(bytes, (unsigned)value);
}

oce_status oce_bytes_check(const oce_bytes *bytes, const char *what) {
    OCE_REQUIRE(!bytes->failed, OCE_ERROR_HOST_MEMORY, "%s: no memory beyond %zu bytes", what,
                bytes->size);
    return OCE_OK;
}

const char *oce_bytes_string(const oce_bytes *bytes) {
    return bytes->data ? (const char *)bytes->data : "";
}

bool oce_view_take(oce_view *view, size_t size, const unsigned char **data) {
    if (size > view->size)
        return false;
    *data = view->data;
    view->size -= size;
    if (size > 0) /* an empty view may have no address to add to */
        view->data += size;
    return true;
}

static bool take_little_endian(oce_view *view, size_t size, uint64_t *value) {
    const unsigned char *data;
    if (!oce_view_take(view, size, &data))
        return false;
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)data[i] << (8 * i);
    return true;
}

bool oce_view_u16(oce_view *view, unsigned *value) {
    uint64_t wide;
    if (!take_little_endian(view, 2, &wide))
        return false;
    *value = (unsigned)wide;
    return true;
}

bool oce_view_u32(oce_view *view, uint32_t *value) {
    uint64_t wide;
    if (!take_little_endian(view, 4, &wide))
        return false;
    *value = (uint32_t)wide;
    return true;
}

bool oce_view_u64(oce_view *view, uint64_t *value) {
    return take_little_endian(view, 8, value);
}

bool oce_view_varint(oce_view *view, uint64_t *value) {
    uint64_t result = 0;
    for (size_t i = 0; i < view->size && i < 10; i++) {
        const unsigned char byte = view->data[i];
        if (i == 9 && byte > 1)
            return false;
        result |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            view->data += i + 1;
            view->size -= i + 1;
            *value = result;
            return true;
        }
    }
    return false;
}
