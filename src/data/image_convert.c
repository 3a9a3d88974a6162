/* Pictures as a network's input: alpha, colours, and the centre cropped. */
#include "data/image.h"

#include <stdlib.h>
#include <string.h>

/* A sample over white: c * a + 255 * (1 - a), rounded. */
static int over_white(int sample, int alpha) {
    return 255 - ((255 - sample) * alpha + 127) / 255;
}

static uint8_t grey_of(int red, int green, int blue) {
    return (uint8_t)((299 * red + 587 * green + 114 * blue + 500) / 1000);
}

/* One pixel of image->channels samples as `channels` (1 or 3). */
static void flatten_pixel(const uint8_t *from, int64_t from_channels, int64_t channels,
                          uint8_t *to) {
    const bool is_colour = from_channels >= 3;
    const int alpha = from_channels % 2 == 0 ? from[from_channels - 1] : 255;
    int rgb[3];
    for (int c = 0; c < 3; c++)
        rgb[c] = over_white(from[is_colour ? c : 0], alpha);
    if (channels == 1)
        to[0] = is_colour ? grey_of(rgb[0], rgb[1], rgb[2]) : (uint8_t)rgb[0];
    else
        for (int c = 0; c < 3; c++)
            to[c] = (uint8_t)rgb[c];
}

/* The picture without alpha and with `channels` channels; free() it. NULL: no memory. */
static uint8_t *flatten(const oce_image *image, int64_t channels) {
    const int64_t count = image->height * image->width;
    uint8_t *pixels = malloc((size_t)(count * channels));
    if (pixels != NULL)
        for (int64_t i = 0; i < count; i++)
            flatten_pixel(image->pixels + i * image->channels, image->channels, channels,
                          pixels + i * channels);
    return pixels;
}

static oce_status fit_crop(const oce_plane *plane, int64_t height, int64_t width, uint8_t *pixels) {
    const double rows = (double)plane->height / (double)height;
    const double columns = (double)plane->width / (double)width;
    const double scale = rows < columns ? rows : columns;
    oce_image_part part = {.height = scale * (double)height, .width = scale * (double)width};
    part.top = ((double)plane->height - part.height) / 2;
    part.left = ((double)plane->width - part.width) / 2;
    const int64_t count = height * width * plane->channels;
    float *scaled = malloc((size_t)count * sizeof *scaled);
    OCE_REQUIRE(scaled != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %lld pixels",
                (long long)count);
    const oce_status status = oce_image_resample(plane, &part, height, width, scaled);
    for (int64_t i = 0; i < count && status == OCE_OK; i++)
        pixels[i] = oce_pixel_byte(scaled[i]);
    free(scaled);
    return status;
}

/* A digit is grey; its ink takes the place of each channel. */
static oce_status fit_digit(const oce_plane *grey, int64_t height, int64_t width, int64_t channels,
                            uint8_t *pixels) {
    OCE_TRY(oce_image_fit_digit(grey, height, width, pixels));
    for (int64_t i = height * width - 1; i >= 0 && channels > 1; i--)
        memset(pixels + i * channels, pixels[i], (size_t)channels);
    return OCE_OK;
}

static oce_status check(const oce_image *image, int64_t height, int64_t width, int64_t channels) {
    OCE_REQUIRE(image->pixels != NULL && image->channels >= 1 && image->channels <= 4 &&
                    image->height >= 1 && image->height <= OCE_IMAGE_MAX_EXTENT &&
                    image->width >= 1 && image->width <= OCE_IMAGE_MAX_EXTENT &&
                    image->height * image->width <= OCE_IMAGE_MAX_PIXELS,
                OCE_ERROR_INVALID_ARGUMENT,
                "a picture of %lld x %lld pixels and %lld channels cannot be converted",
                (long long)image->width, (long long)image->height, (long long)image->channels);
    OCE_REQUIRE(height >= 1 && height <= 4096 && width >= 1 && width <= 4096,
                OCE_ERROR_INVALID_ARGUMENT, "an input of %lld x %lld pixels, not 1 to 4096 a side",
                (long long)width, (long long)height);
    OCE_REQUIRE(channels == 1 || channels == 3, OCE_ERROR_INVALID_ARGUMENT,
                "an input of %lld channels, not 1 or 3", (long long)channels);
    return OCE_OK;
}

oce_status oce_image_convert(const oce_image *image, oce_image_fit fit, int64_t height,
                             int64_t width, int64_t channels, uint8_t *pixels) {
    OCE_TRY(check(image, height, width, channels));
    const int64_t kept = fit == OCE_IMAGE_DIGIT ? 1 : channels;
    uint8_t *flat = flatten(image, kept);
    OCE_REQUIRE(flat != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %lld x %lld pixels",
                (long long)image->width, (long long)image->height);
    const oce_plane plane = {image->height, image->width, kept, flat};
    const oce_status status = fit == OCE_IMAGE_DIGIT
                                  ? fit_digit(&plane, height, width, channels, pixels)
                                  : fit_crop(&plane, height, width, pixels);
    free(flat);
    return status;
}
