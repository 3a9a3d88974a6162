/* Picture files for tests. Failures end the test. */
#ifndef TESTS_SUPPORT_PICTURE_H
#define TESTS_SUPPORT_PICTURE_H

#include <stdint.h>

typedef enum picture_format { PICTURE_PNG, PICTURE_JPEG, PICTURE_BMP } picture_format;

/* Writes pixels [height, width, channels] (1 to 4 channels; a JPEG has no alpha). */
void picture_write(const char *path, picture_format format, int height, int width, int channels,
                   const uint8_t *pixels);

#endif
