/* Reading pictures: which format it is, and how large it may be. */
#include "data/image.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static const size_t most_bytes = (size_t)1 << 29;

oce_status oce_image_check_extents(const oce_image_source *source, int64_t height, int64_t width) {
    OCE_REQUIRE(height >= 1 && width >= 1, OCE_ERROR_FORMAT,
                "%s: the picture has %lld x %lld pixels", source->name, (long long)width,
                (long long)height);
    OCE_REQUIRE(height <= OCE_IMAGE_MAX_EXTENT && width <= OCE_IMAGE_MAX_EXTENT &&
                    height * width <= source->max_pixels,
                OCE_ERROR_OVERFLOW,
                "%s: the picture has %lld x %lld pixels; it may have %lld, and %lld a side",
                source->name, (long long)width, (long long)height, (long long)source->max_pixels,
                (long long)OCE_IMAGE_MAX_EXTENT);
    return OCE_OK;
}

oce_status oce_image_decode(const oce_image_source *source, oce_image *image) {
    OCE_REQUIRE(source->size > 0, OCE_ERROR_FORMAT, "%s: is empty", source->name);
    if (oce_image_is_pnm(source))
        return oce_image_decode_pnm(source, image);
    const bool is_bmp = source->size >= 2 && memcmp(source->data, "BM", 2) == 0;
    if (oce_image_is_png(source))
        OCE_TRY(oce_image_check_png(source));
    else if (oce_image_is_jpeg(source))
        OCE_TRY(oce_image_check_jpeg(source));
    else if (!is_bmp)
        return oce_fail(OCE_ERROR_FORMAT, "%s: is no PNG, JPEG, BMP or PNM picture", source->name);
    return oce_image_decode_stb(source, image);
}

oce_status oce_image_read(const char *path, oce_image *image) {
    oce_bytes bytes;
    *image = (oce_image){0};
    oce_status status = oce_file_read(path, most_bytes, &bytes);
    if (status == OCE_OK) {
        const oce_image_source source = {path, bytes.data, bytes.size, OCE_IMAGE_MAX_PIXELS};
        status = oce_image_decode(&source, image);
    }
    oce_bytes_finish(&bytes);
    return status;
}

void oce_image_finish(oce_image *image) {
    if (image == NULL)
        return;
    free(image->pixels);
    *image = (oce_image){0};
}

oce_status oce_image_load(const char *path, oce_image_fit fit, int64_t height, int64_t width,
                          int64_t channels, uint8_t *pixels) {
    oce_image image;
    OCE_TRY(oce_image_read(path, &image));
    oce_status status = oce_image_convert(&image, fit, height, width, channels, pixels);
    if (status != OCE_OK)
        status = oce_fail_prefix(status, "%s", path);
    oce_image_finish(&image);
    return status;
}
