/* src/data/image*.c: reading pictures, whole and damaged. */
#include "support/picture.h"
#include "support/scratch.h"

#include "data/image.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static void setup(void) {
    folder = scratch_create();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(image, .init = setup, .fini = teardown);

static uint8_t pixel(int i) {
    return (uint8_t)(i * 37 + i / 11);
}

/* [height, width, channels] of numbers that differ; free() them. */
static uint8_t *some_pixels(int height, int width, int channels) {
    const int count = height * width * channels;
    uint8_t *pixels = malloc((size_t)count);
    cr_assert(pixels != NULL);
    for (int i = 0; i < count; i++)
        pixels[i] = pixel(i);
    return pixels;
}

static void expect_image(const char *path, int height, int width, int channels,
                         const uint8_t *pixels, int tolerance) {
    oce_image image;
    cr_assert_eq(oce_image_read(path, &image), OCE_OK, "%s", oce_last_error());
    cr_assert(image.height == height && image.width == width && image.channels == channels,
              "%s: %lldx%lldx%lld", path, (long long)image.height, (long long)image.width,
              (long long)image.channels);
    for (int i = 0; i < height * width * channels; i++)
        cr_assert(abs(image.pixels[i] - pixels[i]) <= tolerance, "%s: sample %d is %d, not %d",
                  path, i, image.pixels[i], pixels[i]);
    oce_image_finish(&image);
    cr_expect(image.pixels == NULL);
}

static void expect_error(const char *path, oce_status status, const char *text) {
    oce_image image = {.height = 7};
    cr_expect_eq(oce_image_read(path, &image), status, "%s: %s", path, oce_last_error());
    cr_expect(strstr(oce_last_error(), path) != NULL, "no file in: %s", oce_last_error());
    cr_expect(strstr(oce_last_error(), text) != NULL, "no \"%s\" in: %s", text, oce_last_error());
    cr_expect(image.pixels == NULL && image.height == 0, "nothing is left");
}

static const char *store_text(const char *name, const char *text, size_t size) {
    const char *path = scratch_path(folder, name);
    file_store(path, text, size);
    return path;
}

#define PNM(text) store_text("a.pnm", text, sizeof(text) - 1)

Test(image, png_of_every_number_of_channels) {
    for (int channels = 1; channels <= 4; channels++) {
        uint8_t *pixels = some_pixels(5, 7, channels);
        const char *path = scratch_path(folder, "a.png");
        picture_write(path, PICTURE_PNG, 5, 7, channels, pixels);
        expect_image(path, 5, 7, channels, pixels, 0);
        free(pixels);
    }
}

Test(image, bmp_and_jpeg) {
    uint8_t *pixels = some_pixels(3, 5, 3);
    const char *path = scratch_path(folder, "a.bmp");
    picture_write(path, PICTURE_BMP, 3, 5, 3, pixels);
    expect_image(path, 3, 5, 3, pixels, 0);
    free(pixels);
    uint8_t smooth[16 * 24 * 3];
    for (int i = 0; i < 16 * 24 * 3; i++)
        smooth[i] = (uint8_t)(40 + 5 * (i / 3 % 24) + 3 * (i / 72));
    path = scratch_path(folder, "a.jpg");
    picture_write(path, PICTURE_JPEG, 16, 24, 3, smooth);
    expect_image(path, 16, 24, 3, smooth, 6);
}

/* A BMP whose rows go from the top down has a negative height. */
Test(image, bmp_from_the_top_down) {
    uint8_t *pixels = some_pixels(3, 4, 3);
    const char *path = scratch_path(folder, "a.bmp");
    picture_write(path, PICTURE_BMP, 3, 4, 3, pixels);
    size_t size = 0;
    uint8_t *file = file_load(path, &size), turned[3 * 12];
    file[22] = 0xFD;
    file[23] = file[24] = file[25] = 0xFF;
    file_store(path, file, size);
    for (int row = 0; row < 3; row++)
        memcpy(turned + 12 * row, pixels + 12 * (2 - row), 12);
    expect_image(path, 3, 4, 3, turned, 0);
    free(file);
    free(pixels);
}

/* The fuzzer's seeds: each a byte for the fuzzer, then a picture of some variety. */
Test(image, varieties) {
    static const struct {
        const char *name;
        int height, width, channels;
        uint8_t last[4]; /* pixel */
    } seeds[] = {
        {"bmp_1", 2, 9, 3, {255, 255, 255}},
        {"bmp_16", 2, 2, 3, {0, 255, 0}},
        {"bmp_565", 1, 2, 3, {0, 255, 0}},
        {"bmp_8", 2, 3, 3, {10, 9, 8}},
        {"bmp_down", 2, 1, 4, {7, 6, 5, 128}},
        {"jpeg_progressive1", 16, 16, 1, {128}},
        {"jpeg_progressive3", 16, 16, 3, {128, 128, 128}},
        {"png16", 3, 4, 3, {122, 76, 160}},
        {"png_adam7", 9, 9, 1, {1}},
        {"png_bits", 3, 9, 1, {0}},
        {"png_key", 2, 2, 4, {9, 12, 15, 255}},
        {"png_palette", 4, 8, 4, {9, 10, 11, 255}},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        size_t size = 0;
        uint8_t *seed =
            file_load(scratch_path("tests/fuzz/seeds/fuzz_image", seeds[i].name), &size);
        const oce_image_source source = {seeds[i].name, seed + 1, size - 1, OCE_IMAGE_MAX_PIXELS};
        oce_image image;
        cr_assert_eq(oce_image_decode(&source, &image), OCE_OK, "%s", oce_last_error());
        cr_expect(image.height == seeds[i].height && image.width == seeds[i].width &&
                      image.channels == seeds[i].channels,
                  "%s", seeds[i].name);
        const uint8_t *last = image.pixels + (image.height * image.width - 1) * image.channels;
        cr_expect(memcmp(last, seeds[i].last, (size_t)image.channels) == 0, "%s", seeds[i].name);
        oce_image_finish(&image);
        free(seed);
    }
}

Test(image, pnm_of_every_kind) {
    static const uint8_t bits[] = {255, 0, 255, 0, 255, 0}, greys[] = {0, 102, 255},
                         colours[] = {0, 51, 102, 153, 204, 255};
    expect_image(PNM("P1\n# a comment\n3 2\n010\n1 0 1\n"), 2, 3, 1, bits, 0);
    expect_image(PNM("P4 3 2\n\x5F\xBF"), 2, 3, 1, bits, 0);
    expect_image(PNM("P2 3 1 # wide\n5\n0 2 5"), 1, 3, 1, greys, 0);
    expect_image(PNM("P5\n3 1\n5\n\0\2\5"), 1, 3, 1, greys, 0);
    expect_image(PNM("P3 1 2 5 0 1 2\n3 4 5\n"), 2, 1, 3, colours, 0);
    expect_image(PNM("P6 1 2 5\n\0\1\2\3\4\5"), 2, 1, 3, colours, 0);
    expect_image(PNM("P5 3 1 65535\n\0\0\x66\x66\xFF\xFF"), 1, 3, 1, greys, 0);
    static const uint8_t nearest[] = {109, 146};
    expect_image(PNM("P2 2 1 7 3 4"), 1, 2, 1, nearest, 0);
    expect_image(PNM("P5 3 1 1000\n\0\0\x01\x90\x03\xE8"), 1, 3, 1, greys, 0);
}

Test(image, pnm_errors) {
    const oce_status format = OCE_ERROR_FORMAT;
    expect_error(PNM("P5"), format, "truncated: it ends at byte 2");
    expect_error(PNM("P5 3 1 255\n\1\2"), format, "truncated");
    expect_error(PNM("P2 3 1 255\n1 2"), format, "truncated");
    expect_error(PNM("P1 3 1 0 1"), format, "truncated");
    expect_error(PNM("P4 9 1\n\1"), format, "truncated");
    expect_error(PNM("P2 2 1 9 1 10"), format,
                 "sample 10 near byte 13 is over the largest value 9");
    expect_error(PNM("P2 2 1 9 1 x"), format, "sample at byte");
    expect_error(PNM("P1 2 1 1 2"), format, "neither 0 nor 1");
    expect_error(PNM("P2 -2 1 9 1 1"), format, "width at byte");
    expect_error(PNM("P2 0 1 9 1 1"), format, "0 x 1 pixels");
    expect_error(PNM("P2 1 1 0 0"), format, "largest value is 0");
    expect_error(PNM("P2 1 1 65536 0"), format, "largest value is 65536");
    expect_error(PNM("P5 1234567 1 255\n"), format, "up to 6 digits");
    expect_error(PNM("P7\nWIDTH 1\n"), format, "no PNG, JPEG, BMP or PNM");
}

Test(image, what_is_no_picture) {
    expect_error(scratch_path(folder, "none.png"), OCE_ERROR_NOT_FOUND, "cannot open");
    expect_error(folder, OCE_ERROR_IO, "directory");
    expect_error(store_text("empty", "", 0), OCE_ERROR_FORMAT, "is empty");
    expect_error(store_text("a.png", "hello, world", 12), OCE_ERROR_FORMAT, "is no PNG, JPEG, BMP");
    expect_error(store_text("a.gif", "GIF89a\1\0\1\0", 10), OCE_ERROR_FORMAT, "is no PNG");
    expect_error(store_text("b", "B", 1), OCE_ERROR_FORMAT, "is no PNG");
    expect_error(store_text("a.jpg", "\xFF\xD8\xFF\xFE\0\4zz\xFF\xD9", 10), OCE_ERROR_FORMAT, "");
}

Test(image, sizes_are_bounded) {
    expect_error(PNM("P5 65536 1 255\n"), OCE_ERROR_OVERFLOW, "65536 x 1 pixels");
    expect_error(PNM("P5 8193 8192 255\n"), OCE_ERROR_OVERFLOW, "it may have 67108864");
    uint8_t *pixels = some_pixels(2, 2, 3);
    const char *path = scratch_path(folder, "a.bmp");
    picture_write(path, PICTURE_BMP, 2, 2, 3, pixels);
    size_t size = 0;
    uint8_t *file = file_load(path, &size);
    file[18] = file[22] = 0xFF; /* 16,383 rows and columns */
    file[19] = file[23] = 0x3F;
    file_store(path, file, size);
    expect_error(path, OCE_ERROR_OVERFLOW, "16383 x 16383 pixels");
    file[25] = 0x80; /* the least number of rows there is */
    file[22] = file[23] = file[24] = 0;
    file_store(path, file, size);
    expect_error(path, OCE_ERROR_OVERFLOW, "2147483648 pixels");
    free(file);
    free(pixels);
}

/* Each scan takes time for the whole picture, and a scan of nothing is a few bytes long. */
Test(image, jpeg_of_many_scans) {
    enum { SCANS = 300 };
    static const char scan[] = {'\xFF', '\xDA', 0, 2};
    char file[2 + 4 * SCANS] = "\xFF\xD8";
    for (int i = 0; i < SCANS; i++)
        memcpy(file + 2 + 4 * i, scan, sizeof scan);
    expect_error(store_text("a.jpg", file, sizeof file), OCE_ERROR_UNSUPPORTED, "over 200 scans");
}

/* stb_image itself would write such a table beyond the place for it. */
Test(image, jpeg_with_a_huffman_table_of_too_many_codes) {
    enum { CODES = 16 * 250, HEAD = 2 + 4 + 17 };
    char file[HEAD + CODES + 2] = "\xFF\xD8\xFF\xC4\x0F\xB3";
    memset(file + 7, 250, 16);
    file[HEAD + CODES] = '\xFF';
    file[HEAD + CODES + 1] = '\xD9';
    expect_error(store_text("a.jpg", file, sizeof file), OCE_ERROR_FORMAT,
                 "Huffman table near byte 4 has 4000 codes");
}

/* Whatever the file is cut to, the picture does not load. */
Test(image, truncation_at_every_byte) {
    static const picture_format formats[] = {PICTURE_PNG, PICTURE_JPEG, PICTURE_BMP};
    uint8_t *pixels = some_pixels(6, 6, 3);
    for (int f = 0; f < 3; f++) {
        const char *path = scratch_path(folder, "a");
        picture_write(path, formats[f], 6, 6, 3, pixels);
        size_t size = 0;
        uint8_t *file = file_load(path, &size);
        /* a BMP's rows are filled up to four bytes, the last one too, which nobody needs */
        const size_t needed = formats[f] == PICTURE_BMP ? size - 2 : size;
        for (size_t cut = 0; cut < needed; cut++) {
            /* a copy of its own, so that a sanitizer sees reading beyond */
            uint8_t *copy = malloc(cut + 1);
            cr_assert(copy != NULL);
            uint8_t *exact = realloc(copy, cut > 0 ? cut : 1);
            cr_assert(exact != NULL);
            memcpy(exact, file, cut);
            const oce_image_source source = {"cut", exact, cut, OCE_IMAGE_MAX_PIXELS};
            oce_image image;
            cr_expect_eq(oce_image_decode(&source, &image), OCE_ERROR_FORMAT,
                         "format %d, %zu of %zu", f, cut, size);
            free(exact);
        }
        free(file);
    }
    free(pixels);
}

/* Every bit of a PNG counts: stb_image itself would load many of these as another picture. */
Test(image, flipped_bits_of_a_png_never_load) {
    uint8_t *pixels = some_pixels(4, 4, 3);
    const char *path = scratch_path(folder, "a.png");
    picture_write(path, PICTURE_PNG, 4, 4, 3, pixels);
    size_t size = 0;
    uint8_t *file = file_load(path, &size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        oce_image image;
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const oce_image_source source = {"flipped", file, size, OCE_IMAGE_MAX_PIXELS};
        cr_expect_neq(oce_image_decode(&source, &image), OCE_OK, "bit %zu", bit);
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(file);
    free(pixels);
}

/* Nor do those of a JPEG or BMP crash; what loads has the promised number of pixels. */
Test(image, flipped_bits_never_crash) {
    static const picture_format formats[] = {PICTURE_JPEG, PICTURE_BMP};
    uint8_t *pixels = some_pixels(8, 8, 3);
    for (int f = 0; f < 2; f++) {
        const char *path = scratch_path(folder, "a");
        picture_write(path, formats[f], 8, 8, 3, pixels);
        size_t size = 0;
        uint8_t *file = file_load(path, &size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            oce_image image;
            unsigned sum = 0;
            file[bit / 8] ^= (uint8_t)(1 << bit % 8);
            const oce_image_source source = {"flipped", file, size, 4096};
            if (oce_image_decode(&source, &image) == OCE_OK) {
                for (int64_t i = 0; i < image.height * image.width * image.channels; i++)
                    sum += image.pixels[i];
                cr_expect(sum <= 255U * 4096 * 4 && image.height * image.width <= 4096);
                oce_image_finish(&image);
            }
            file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(file);
    }
    free(pixels);
}
