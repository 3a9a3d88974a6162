/*
 * Pictures, read and converted: the input's first byte says what the rest is.
 *   'p'  a PNG whose checksums are made right first, so that what is behind them is reached
 *   else any file
 */
#include "data/image.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAGIC_BYTES = 8, CHUNK_BYTES = 12, MOST_PIXELS = 1 << 15 };

static uint32_t load_word(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void repair_png(unsigned char *data, size_t size) {
    for (size_t at = MAGIC_BYTES; at < size && size - at >= CHUNK_BYTES;) {
        const size_t length = load_word(data + at);
        if (length > size - at - CHUNK_BYTES)
            return;
        const uint32_t crc = (uint32_t)crc32(0, data + at + 4, (uInt)(length + 4));
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
        at += CHUNK_BYTES + length;
    }
}

/* Whatever comes out, all of it is there to be read. */
static void use(const uint8_t *pixels, size_t size) {
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += pixels[i];
    if (sum > 255 * size)
        abort();
}

static void convert(const oce_image *image) {
    uint8_t digit[28 * 28], colour[32 * 32 * 3];
    if (oce_image_convert(image, OCE_IMAGE_DIGIT, 28, 28, 1, digit) == OCE_OK)
        use(digit, sizeof digit);
    if (oce_image_convert(image, OCE_IMAGE_CROP, 32, 32, 3, colour) != OCE_OK)
        abort();
    use(colour, sizeof colour);
}

int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *input, size_t size) {
    if (size < 2)
        return 0;
    unsigned char *data = malloc(size - 1);
    if (data == NULL)
        return 0;
    memcpy(data, input + 1, size - 1);
    if (input[0] == 'p')
        repair_png(data, size - 1);
    const oce_image_source source = {"input", data, size - 1, MOST_PIXELS};
    oce_image image;
    if (oce_image_decode(&source, &image) == OCE_OK) {
        use(image.pixels, (size_t)(image.height * image.width * image.channels));
        convert(&image);
        oce_image_finish(&image);
    }
    free(data);
    return 0;
}
