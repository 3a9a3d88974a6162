#include "support/picture.h"

#include <criterion/criterion.h>

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

void picture_write(const char *path, picture_format format, int height, int width, int channels,
                   const uint8_t *pixels) {
    enum { QUALITY = 95 };
    int done = 0;
    switch (format) {
    case PICTURE_PNG:
        done = stbi_write_png(path, width, height, channels, pixels, 0);
        break;
    case PICTURE_JPEG:
        done = stbi_write_jpg(path, width, height, channels, pixels, QUALITY);
        break;
    case PICTURE_BMP:
        done = stbi_write_bmp(path, width, height, channels, pixels);
        break;
    }
    cr_assert(done, "cannot write %s", path);
}
