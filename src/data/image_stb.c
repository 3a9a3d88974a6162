/* PNG, JPEG and BMP through stb_image, the only place that includes it. */
#include "data/image.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The most that stb needs at once: an inflated PNG of 16-bit R G B alpha. */
#define LARGEST_ALLOCATION ((size_t)8 * OCE_IMAGE_MAX_PIXELS + ((size_t)1 << 26))

/* A damaged file must neither ask for more nor show what the memory held before. */
static void *allocate(size_t bytes) {
    return bytes <= LARGEST_ALLOCATION ? calloc(1, bytes) : NULL;
}

static void *reallocate(void *block, size_t bytes) {
    return bytes <= LARGEST_ALLOCATION ? realloc(block, bytes) : NULL;
}

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" /* told at the end of the file */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS OCE_IMAGE_MAX_EXTENT
#define STBI_MALLOC allocate
#define STBI_REALLOC reallocate
#define STBI_FREE free
#ifndef STBI_ASSERT
#define STBI_ASSERT(condition) ((void)(condition))
#endif
#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* The file as stb reads it. stb takes what is behind its end for zeros, so an end that is read past
 * is the only sign of a truncated JPEG or BMP. */
typedef struct stream {
    const oce_image_source *source;
    size_t at;
    bool is_past_end;
} stream;

static int read_stream(void *user, char *data, int size) {
    stream *from = user;
    const size_t left = from->source->size - from->at;
    const size_t got = (size_t)size < left ? (size_t)size : left;
    memcpy(data, from->source->data + from->at, got);
    from->at += got;
    if (got == 0 && size > 0)
        from->is_past_end = true;
    return (int)got;
}

static void skip_stream(void *user, int count) {
    stream *from = user;
    const size_t left = from->source->size - from->at;
    if (count > 0)
        from->at += (size_t)count < left ? (size_t)count : left;
}

static int is_at_end(void *user) {
    const stream *from = user;
    return from->at == from->source->size;
}

static const stbi_io_callbacks callbacks = {read_stream, skip_stream, is_at_end};

static oce_status fail_stb(const oce_image_source *source, const stream *from) {
    const char *reason = stbi_failure_reason();
    if (from->is_past_end)
        return oce_fail(OCE_ERROR_FORMAT, "%s: the picture is truncated: it ends at byte %zu",
                        source->name, source->size);
    if (reason != NULL && strcmp(reason, "outofmem") == 0)
        return oce_fail(OCE_ERROR_HOST_MEMORY, "%s: no memory for the picture", source->name);
    return oce_fail(OCE_ERROR_FORMAT, "%s: the picture is damaged or of an unknown variety: %s",
                    source->name, reason != NULL ? reason : "no reason known");
}

oce_status oce_image_decode_stb(const oce_image_source *source, oce_image *image) {
    stream from = {.source = source};
    int width = 0, height = 0, channels = 0;
    if (!stbi_info_from_callbacks(&callbacks, &from, &width, &height, &channels))
        return fail_stb(source, &from);
    const int64_t rows = height < 0 ? -(int64_t)height : height; /* a BMP from the top down */
    OCE_TRY(oce_image_check_extents(source, rows, width));
    from = (stream){.source = source};
    uint8_t *pixels = stbi_load_from_callbacks(&callbacks, &from, &width, &height, &channels, 0);
    if (pixels == NULL || from.is_past_end) {
        const oce_status status = fail_stb(source, &from);
        free(pixels);
        return status;
    }
    *image = (oce_image){height, width, channels, pixels};
    return OCE_OK;
}
