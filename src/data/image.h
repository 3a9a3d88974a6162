/* The parts of reading and converting pictures. */
#ifndef OCE_DATA_IMAGE_H
#define OCE_DATA_IMAGE_H

#include <ocelli/image.h>

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a picture in memory is decoded from, and how large it may be. */
typedef struct oce_image_source {
    const char *name; /* for messages */
    const uint8_t *data;
    size_t size;
    int64_t max_pixels; /* at most OCE_IMAGE_MAX_PIXELS */
} oce_image_source;

/* Decodes a file of any format. *image is to be finished after success only. */
oce_status oce_image_decode(const oce_image_source *source, oce_image *image);

/* One format each. */
bool oce_image_is_pnm(const oce_image_source *source);
oce_status oce_image_decode_pnm(const oce_image_source *source, oce_image *image);
bool oce_image_is_png(const oce_image_source *source);
/* Whether the file is whole and the checksums of the chunks that make the picture are right. */
oce_status oce_image_check_png(const oce_image_source *source);
bool oce_image_is_jpeg(const oce_image_source *source);
/* Whether it goes to its end marker, with Huffman tables that fit and not too many scans. */
oce_status oce_image_check_jpeg(const oce_image_source *source);
/* PNG, JPEG, BMP; the first two after their checks. */
oce_status oce_image_decode_stb(const oce_image_source *source, oce_image *image);

/* OCE_ERROR_FORMAT or OCE_ERROR_OVERFLOW unless the extents are allowed. */
oce_status oce_image_check_extents(const oce_image_source *source, int64_t height, int64_t width);

/* Pixels without alpha. */
typedef struct oce_plane {
    int64_t height, width, channels; /* channels: 1 or 3 */
    const uint8_t *pixels;           /* [height, width, channels] */
} oce_plane;

/* A part of a plane, in pixels; its edges may lie inside pixels. */
typedef struct oce_image_part {
    double top, left, height, width;
} oce_image_part;

/* Scales a part of `plane` to pixels [height, width, plane->channels], in 0..255: down by averaging
 * areas, up by linear interpolation; each axis on its own. OCE_ERROR_HOST_MEMORY. */
oce_status oce_image_resample(const oce_plane *plane, const oce_image_part *part, int64_t height,
                              int64_t width, float *pixels);

/* A digit as the input [height, width]: see OCE_IMAGE_DIGIT. `grey` has one channel. */
oce_status oce_image_fit_digit(const oce_plane *grey, int64_t height, int64_t width,
                               uint8_t *pixels);

/* value in 0..255 to the nearest byte */
static inline uint8_t oce_pixel_byte(float value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5F);
}

#endif
