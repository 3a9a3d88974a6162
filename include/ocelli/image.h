/**
 * Pictures from files, and as the input of a network.
 *
 *     uint8_t input[28 * 28];
 *     oce_image_load("seven.jpg", OCE_IMAGE_DIGIT, 28, 28, 1, input);
 *
 * PNG, JPEG, BMP and PNM (P1 to P6), of up to OCE_IMAGE_MAX_PIXELS pixels and 512 MiB. Samples of
 * 16 bits are cut to 8. Colour profiles and Exif orientation are not applied.
 */
#ifndef OCELLI_IMAGE_H
#define OCELLI_IMAGE_H

#include <ocelli/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** 8,192 x 8,192. */
#define OCE_IMAGE_MAX_PIXELS INT64_C(67108864)
/** The most rows or columns. */
#define OCE_IMAGE_MAX_EXTENT INT64_C(65535)

/** A picture in host memory. */
typedef struct oce_image {
    int64_t height, width; /**< each at least 1 */
    int64_t channels;      /**< 1: grey; 2: grey, alpha; 3: R G B; 4: R G B, alpha (not
                                premultiplied) */
    uint8_t *pixels;       /**< [height, width, channels], row-major */
} oce_image;

/** How a picture becomes a network's input. */
typedef enum oce_image_fit {
    /**
     * The centre of the picture, as large a part as has the input's aspect, scaled to the input's
     * size: down by averaging areas, up by interpolating linearly.
     */
    OCE_IMAGE_CROP,
    /**
     * One handwritten digit, as MNIST's were made (yann.lecun.com/exdb/mnist): light ink on black,
     * scaled with its aspect kept so that its longer side is 20/28 of the input's, its centre of
     * mass in the input's centre. Light from one side is evened out. The brightness that most of
     * the picture's edge has is the background, which becomes 0; the ink becomes 255. A picture of
     * the input's size whose ink is lighter than the background is taken as it is.
     */
    OCE_IMAGE_DIGIT
} oce_image_fit;

/**
 * Reads a picture into *image, which the caller gives to oce_image_finish().
 *
 * Errors, each naming the file: OCE_ERROR_NOT_FOUND, OCE_ERROR_IO, OCE_ERROR_FORMAT (no picture of
 * a known format, truncated or damaged), OCE_ERROR_UNSUPPORTED (a variety of the format),
 * OCE_ERROR_OVERFLOW (too many pixels or bytes), OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_image_read(const char *path, oce_image *image);
/** Frees the pixels of a picture that oce_image_read() made, and clears it. NULL is allowed. */
OCE_API void oce_image_finish(oce_image *image);

/**
 * Makes a network's input of a picture: pixels [height, width, channels] bytes, row-major.
 * Transparent parts show white behind them; grey is 0.299 R + 0.587 G + 0.114 B.
 *
 * @param channels 1: grey, or 3: R G B
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT (extents or channels of the picture or the input),
 * OCE_ERROR_FORMAT (DIGIT: nothing stands out from the background), OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_image_convert(const oce_image *image, oce_image_fit fit, int64_t height,
                                     int64_t width, int64_t channels, uint8_t *pixels);

/** Both: reads a picture and makes a network's input of it. Errors: those of both, each naming the
 * file. */
OCE_API oce_status oce_image_load(const char *path, oce_image_fit fit, int64_t height,
                                  int64_t width, int64_t channels, uint8_t *pixels);

#ifdef __cplusplus
}
#endif

#endif
