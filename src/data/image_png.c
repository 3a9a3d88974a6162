/* Whether a PNG is whole: stb_image does not look at its checksums. W3C, Portable Network Graphics
 * (PNG) Specification, 5: a chunk is length, type, data, and a CRC-32 of type and data. */
#include "data/image.h"

#include <string.h>
#include <zlib.h>

enum { CHUNK_BYTES = 12, CHUNK_HEAD = 8 }; /* of a chunk without data */

static const uint8_t magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

bool oce_image_is_png(const oce_image_source *source) {
    return source->size >= sizeof magic && memcmp(source->data, magic, sizeof magic) == 0;
}

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

oce_status oce_image_check_png(const oce_image_source *source) {
    size_t at = sizeof magic;
    for (;;) {
        const size_t left = source->size - at;
        const uint8_t *chunk = source->data + at;
        const size_t length = left >= CHUNK_BYTES ? big_endian(chunk) : 0;
        OCE_REQUIRE(left >= CHUNK_BYTES && length <= left - CHUNK_BYTES, OCE_ERROR_FORMAT,
                    "%s: the picture is truncated: the PNG's chunk at byte %zu ends behind the "
                    "file's %zu bytes",
                    source->name, at, source->size);
        const uint8_t *type = chunk + 4;
        const bool is_needed = type[0] >= 'A' && type[0] <= 'Z';
        const uint32_t has = (uint32_t)crc32(0, type, (uInt)(length + 4));
        const uint32_t needs = big_endian(chunk + CHUNK_HEAD + length);
        OCE_REQUIRE(!is_needed || has == needs, OCE_ERROR_FORMAT,
                    "%s: the picture is damaged: the PNG's chunk at byte %zu has checksum 0x%08x "
                    "where it says 0x%08x",
                    source->name, at, has, needs);
        if (memcmp(type, "IEND", 4) == 0)
            return OCE_OK;
        at += CHUNK_BYTES + length;
    }
}
