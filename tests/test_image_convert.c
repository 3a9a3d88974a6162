/* src/data/image_convert.c, image_resample.c, image_digit.c: pictures as a network's input. */
#include "support/picture.h"
#include "support/scratch.h"

#include <ocelli/data.h>
#include <ocelli/image.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, FIELD = SIDE * SIDE };

static void convert(const oce_image *image, oce_image_fit fit, int64_t height, int64_t width,
                    int64_t channels, uint8_t *pixels) {
    cr_assert_eq(oce_image_convert(image, fit, height, width, channels, pixels), OCE_OK, "%s",
                 oce_last_error());
}

static void expect_pixels(const uint8_t *pixels, const int *expected, int count) {
    for (int i = 0; i < count; i++)
        cr_expect(pixels[i] == expected[i], "pixel %d is %d, not %d", i, pixels[i], expected[i]);
}

/* ---- Channels, and cropping --------------------------------------------------------------------
 */

Test(image_convert, grey_colour_and_alpha) {
    uint8_t out[6];
    uint8_t rgb[] = {255, 0, 0, 10, 100, 200};
    convert(&(oce_image){1, 2, 3, rgb}, OCE_IMAGE_CROP, 1, 2, 1, out);
    expect_pixels(out, (int[]){76, 84}, 2); /* 0.299 R + 0.587 G + 0.114 B */
    uint8_t grey[] = {7, 250};
    convert(&(oce_image){1, 2, 1, grey}, OCE_IMAGE_CROP, 1, 2, 3, out);
    expect_pixels(out, (int[]){7, 7, 7, 250, 250, 250}, 6);
    uint8_t grey_alpha[] = {0, 255, 0, 51};
    convert(&(oce_image){1, 2, 2, grey_alpha}, OCE_IMAGE_CROP, 1, 2, 1, out);
    expect_pixels(out, (int[]){0, 204}, 2); /* over white */
    uint8_t rgb_alpha[] = {10, 20, 30, 0, 10, 20, 30, 255};
    convert(&(oce_image){1, 2, 4, rgb_alpha}, OCE_IMAGE_CROP, 1, 2, 3, out);
    expect_pixels(out, (int[]){255, 255, 255, 10, 20, 30}, 6);
}

Test(image_convert, the_same_size_stays_as_it_is) {
    uint8_t pixels[32 * 32 * 3], out[32 * 32 * 3];
    for (int i = 0; i < 32 * 32 * 3; i++)
        pixels[i] = (uint8_t)(i * 7 + i / 13);
    convert(&(oce_image){32, 32, 3, pixels}, OCE_IMAGE_CROP, 32, 32, 3, out);
    cr_expect(memcmp(out, pixels, sizeof out) == 0);
}

Test(image_convert, down_by_averaging_areas) {
    uint8_t out[4];
    uint8_t quads[] = {0, 100, 10, 10, 100, 0, 10, 10, 4, 8, 255, 255, 12, 16, 255, 255};
    convert(&(oce_image){4, 4, 1, quads}, OCE_IMAGE_CROP, 2, 2, 1, out);
    expect_pixels(out, (int[]){50, 10, 10, 255}, 4);
    uint8_t thirds[] = {0, 90, 240, 0, 90, 240, 0, 90, 240}; /* a pixel and a half each */
    convert(&(oce_image){3, 3, 1, thirds}, OCE_IMAGE_CROP, 2, 2, 1, out);
    expect_pixels(out, (int[]){30, 190, 30, 190}, 4);
}

Test(image_convert, up_by_linear_interpolation) {
    uint8_t out[16];
    uint8_t two[] = {0, 200, 0, 200};
    convert(&(oce_image){2, 2, 1, two}, OCE_IMAGE_CROP, 4, 4, 1, out);
    expect_pixels(out, (int[]){0, 50, 150, 200, 0, 50, 150, 200}, 8);
    uint8_t one = 77;
    convert(&(oce_image){1, 1, 1, &one}, OCE_IMAGE_CROP, 4, 4, 1, out);
    for (int i = 0; i < 16; i++)
        cr_expect_eq(out[i], 77);
}

Test(image_convert, the_centre_is_cropped) {
    uint8_t wide[2 * 6], tall[6 * 2], out[4];
    for (int i = 0; i < 12; i++) {
        wide[i] = (uint8_t)(i % 6 * 10);
        tall[i] = (uint8_t)(i / 2 * 10);
    }
    convert(&(oce_image){2, 6, 1, wide}, OCE_IMAGE_CROP, 2, 2, 1, out);
    expect_pixels(out, (int[]){20, 30, 20, 30}, 4);
    convert(&(oce_image){6, 2, 1, tall}, OCE_IMAGE_CROP, 2, 2, 1, out);
    expect_pixels(out, (int[]){20, 20, 30, 30}, 4);
}

/* Of a line only a pixel or less is the centre square. */
Test(image_convert, very_wide_and_very_tall) {
    enum { LONG = 60000 };
    uint8_t *line = malloc(LONG), out[32 * 32 * 3];
    cr_assert(line != NULL);
    for (int i = 0; i < LONG; i++)
        line[i] = i < LONG / 2 - 1 || i > LONG / 2 ? 0 : 90;
    convert(&(oce_image){1, LONG, 1, line}, OCE_IMAGE_CROP, 32, 32, 3, out);
    for (int i = 0; i < 32 * 32 * 3; i++)
        cr_assert_eq(out[i], 90, "%d", i);
    convert(&(oce_image){LONG, 1, 1, line}, OCE_IMAGE_CROP, 32, 32, 3, out);
    for (int i = 0; i < 32 * 32 * 3; i++)
        cr_assert_eq(out[i], 90, "%d", i);
    free(line);
}

Test(image_convert, wrong_arguments) {
    uint8_t pixels[16] = {0}, out[16];
    const oce_image good = {2, 2, 4, pixels};
    const oce_image bad[] = {
        {2, 2, 5, pixels}, {0, 2, 1, pixels},       {2, -1, 1, pixels},           {2, 2, 0, pixels},
        {2, 2, 1, NULL},   {1 << 16, 1, 1, pixels}, {1 << 15, 1 << 15, 1, pixels}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const oce_status status = oce_image_convert(&bad[i], OCE_IMAGE_CROP, 2, 2, 1, out);
        cr_expect_eq(status, OCE_ERROR_INVALID_ARGUMENT, "%zu", i);
    }
    static const int64_t inputs[][3] = {{0, 2, 1}, {2, 5000, 1}, {2, 2, 2}, {2, 2, 4}};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        const oce_status status =
            oce_image_convert(&good, OCE_IMAGE_CROP, inputs[i][0], inputs[i][1], inputs[i][2], out);
        cr_expect_eq(status, OCE_ERROR_INVALID_ARGUMENT, "%zu", i);
    }
}

/* ---- Digits ------------------------------------------------------------------------------------
 */

/* A light shape like a 7 in a picture of 100 x 80, 40 high and 24 wide. */
static void draw_seven(uint8_t *pixels) {
    memset(pixels, 0, 100 * 80);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 24; x++)
            if (y < 6 || (x > 17 - y / 3 && x < 24 - y / 3))
                pixels[(30 + y) * 80 + 9 + x] = 255;
}

static void invert(uint8_t *pixels, size_t count) {
    for (size_t i = 0; i < count; i++)
        pixels[i] = (uint8_t)(255 - pixels[i]);
}

typedef struct shape {
    int top, bottom, left, right; /* of the pixels over 20 */
    double down, across;          /* centre of mass, in pixels */
} shape;

static shape shape_of(const uint8_t *pixels) {
    shape s = {SIDE, -1, SIDE, -1, 0, 0};
    double mass = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const int value = pixels[y * SIDE + x];
            mass += value;
            s.down += (double)value * y;
            s.across += (double)value * x;
            if (value <= 20)
                continue;
            s.top = y < s.top ? y : s.top;
            s.bottom = y;
            s.left = x < s.left ? x : s.left;
            s.right = x > s.right ? x : s.right;
        }
    s.down /= mass;
    s.across /= mass;
    return s;
}

static void expect_normal(const uint8_t *pixels) {
    const shape s = shape_of(pixels);
    const int height = s.bottom - s.top + 1, width = s.right - s.left + 1;
    cr_expect_eq(height > width ? height : width, 20, "%d x %d", width, height);
    cr_expect(fabs(s.down - 14) <= 0.51 && fabs(s.across - 14) <= 0.51, "centre of mass %g, %g",
              s.across, s.down);
    cr_expect_eq(pixels[0], 0);
}

/* A square of 40 pixels becomes one of 20, its centre of mass (9.5, 9.5) moved to (14, 14). */
Test(image_digit, scaled_into_the_box_and_centred_by_mass) {
    uint8_t pixels[100 * 80], out[FIELD];
    memset(pixels, 255, sizeof pixels);
    for (int y = 20; y < 60; y++)
        memset(pixels + y * 80 + 3, 0, 40);
    convert(&(oce_image){100, 80, 1, pixels}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
    for (int i = 0; i < FIELD; i++) {
        const int y = i / SIDE, x = i % SIDE;
        const int expected = y >= 5 && y < 25 && x >= 5 && x < 25 ? 255 : 0;
        cr_assert_eq(out[i], expected, "row %d, column %d: %d", y, x, out[i]);
    }
}

Test(image_digit, dark_on_light_and_light_on_dark_are_the_same) {
    uint8_t pixels[100 * 80], dark[FIELD], light[FIELD], faint[FIELD];
    draw_seven(pixels);
    const oce_image image = {100, 80, 1, pixels};
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, light);
    invert(pixels, sizeof pixels);
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, dark);
    cr_expect(memcmp(dark, light, FIELD) == 0);
    expect_normal(dark);
    const shape s = shape_of(dark);
    cr_expect(s.right - s.left + 1 == 12, "the aspect is kept: %d wide", s.right - s.left + 1);
    for (size_t i = 0; i < sizeof pixels; i++) /* dark grey on light grey */
        pixels[i] = pixels[i] == 0 ? 110 : 180;
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, faint);
    cr_expect(memcmp(faint, light, FIELD) == 0);
}

/* Light from one corner, and noise: a small digit on paper, photographed. */
Test(image_digit, paper_is_no_ink) {
    enum { HEIGHT = 200, WIDTH = 240 };
    static uint8_t seven[100 * 80], pixels[HEIGHT * WIDTH];
    uint8_t clean[FIELD], photographed[FIELD];
    draw_seven(seven);
    convert(&(oce_image){100, 80, 1, seven}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, clean);
    unsigned noise = 1;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            noise = noise * 1103515245U + 12345U;
            const bool is_ink =
                y >= 70 && y < 170 && x >= 100 && x < 180 && seven[(y - 70) * 80 + x - 100] > 0;
            const double light = 120 + 65.0 * x / WIDTH + 50.0 * y / HEIGHT;
            pixels[y * WIDTH + x] = (uint8_t)(light * (is_ink ? 0.3 : 1) + (noise >> 16) % 9 - 4);
        }
    convert(&(oce_image){HEIGHT, WIDTH, 1, pixels}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, photographed);
    expect_normal(photographed);
    double difference = 0;
    int haze = 0;
    for (int i = 0; i < FIELD; i++) {
        difference += abs(clean[i] - photographed[i]);
        haze += clean[i] == 0 && photographed[i] > 0;
    }
    cr_expect(difference / FIELD < 4, "%g a pixel", difference / FIELD);
    cr_expect(haze < 20, "%d pixels of paper are not black", haze);
}

Test(image_digit, light_on_dark_of_the_right_size_stays_as_it_is) {
    uint8_t pixels[FIELD], out[FIELD], fitted[FIELD];
    for (int i = 0; i < FIELD; i++) /* not centred, and the background not quite black */
        pixels[i] =
            (uint8_t)(i / SIDE > 1 && i / SIDE < 9 && i % SIDE > 1 && i % SIDE < 5 ? 100 + i % 50
                                                                                   : i % 3);
    const oce_image image = {SIDE, SIDE, 1, pixels};
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
    cr_expect(memcmp(out, pixels, FIELD) == 0);
    invert(pixels, FIELD); /* dark on light is a picture like others */
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, fitted);
    expect_normal(fitted);
}

Test(image_digit, ink_on_a_transparent_page) {
    uint8_t seven[100 * 80], pixels[100 * 80 * 4] = {0}, out[FIELD], expected[FIELD];
    draw_seven(seven);
    for (int i = 0; i < 100 * 80; i++)
        pixels[4 * i + 3] = seven[i]; /* black, where it is opaque */
    convert(&(oce_image){100, 80, 1, seven}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, expected);
    convert(&(oce_image){100, 80, 4, pixels}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
    cr_expect(memcmp(out, expected, FIELD) == 0);
}

Test(image_digit, the_ink_is_in_every_channel) {
    uint8_t seven[100 * 80], grey[FIELD], colour[3 * FIELD];
    draw_seven(seven);
    const oce_image image = {100, 80, 1, seven};
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, grey);
    convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 3, colour);
    for (int i = 0; i < 3 * FIELD; i++)
        cr_assert_eq(colour[i], grey[i / 3]);
}

Test(image_digit, very_wide_very_tall_and_very_small) {
    enum { LONG = 3000 };
    uint8_t *line = malloc(LONG * 3), out[FIELD];
    cr_assert(line != NULL);
    memset(line, 0, LONG * 3);
    memset(line + LONG + 500, 255, LONG - 1000); /* a line of one pixel's height */
    convert(&(oce_image){3, LONG, 1, line}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
    const shape s = shape_of(out);
    cr_expect(s.right - s.left + 1 == 20 && s.top == s.bottom);
    uint8_t dot[9] = {255, 255, 255, 255, 0, 255, 255, 255, 255};
    convert(&(oce_image){3, 3, 1, dot}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
    expect_normal(out);
    free(line);
}

/* Ink all along an edge is no light. */
Test(image_digit, a_digit_that_fills_its_picture) {
    uint8_t corners[2][40 * 24], whole[100 * 80], out[FIELD], expected[FIELD];
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 24; x++) {
            corners[0][y * 24 + x] = y < 6 || x < 6 ? 255 : 0;
            corners[1][y * 24 + x] = y >= 34 || x >= 18 ? 255 : 0;
        }
    for (int i = 0; i < 2; i++) {
        memset(whole, 0, sizeof whole);
        for (int y = 0; y < 40; y++)
            memcpy(whole + (30 + y) * 80 + 9, corners[i] + y * 24, 24);
        convert(&(oce_image){100, 80, 1, whole}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, expected);
        convert(&(oce_image){40, 24, 1, corners[i]}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
        cr_expect(memcmp(out, expected, FIELD) == 0, "%d", i);
    }
}

/* What would reach beyond the input stays inside, even if the mass then lies off the centre. */
Test(image_digit, a_heavy_corner) {
    uint8_t pixels[80 * 80], out[FIELD];
    for (int corner = 0; corner < 2; corner++) {
        memset(pixels, 0, sizeof pixels);
        for (int y = 0; y < 40; y++)
            for (int x = 0; x < 40; x++)
                if ((y < 14 && x < 14) || y < 2 || x < 2)
                    pixels[corner == 0 ? (20 + y) * 80 + 20 + x : (59 - y) * 80 + 59 - x] = 255;
        convert(&(oce_image){80, 80, 1, pixels}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
        const shape s = shape_of(out);
        cr_expect(s.right - s.left + 1 == 20 && s.bottom - s.top + 1 == 20, "%d to %d, %d to %d",
                  s.left, s.right, s.top, s.bottom);
    }
}

Test(image_digit, nothing_stands_out) {
    uint8_t pixels[FIELD], out[FIELD];
    memset(pixels, 200, sizeof pixels);
    static const int64_t sizes[][2] = {{1, 1}, {SIDE, SIDE}, {1, FIELD}, {3, 7}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const oce_image image = {sizes[i][0], sizes[i][1], 1, pixels};
        cr_expect_eq(oce_image_convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out),
                     OCE_ERROR_FORMAT);
        cr_expect(strstr(oce_last_error(), "no digit: all pixels have a brightness of 200") != NULL,
                  "%s", oce_last_error());
    }
}

/* A slope from one edge to the other is light, whatever is left of it. */
Test(image_digit, slopes_alone_never_crash) {
    uint8_t pixels[40 * 40], out[FIELD];
    for (int down = -6; down <= 6; down++)
        for (int right = -6; right <= 6; right++) {
            for (int i = 0; i < 40 * 40; i++)
                pixels[i] = (uint8_t)(128 + (down * (i / 40 - 20) + right * (i % 40 - 20)) / 2);
            const oce_image image = {40, 40, 1, pixels};
            const oce_status status =
                oce_image_convert(&image, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
            cr_expect(status == OCE_OK || status == OCE_ERROR_FORMAT);
        }
}

Test(image_digit, load_names_the_file) {
    char *folder = scratch_create();
    const char *path = scratch_path(folder, "blank.png");
    uint8_t pixels[12] = {0}, out[FIELD];
    picture_write(path, PICTURE_PNG, 2, 2, 3, pixels);
    cr_expect_eq(oce_image_load(path, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out), OCE_ERROR_FORMAT);
    cr_expect(strstr(oce_last_error(), "blank.png: there is no digit") != NULL, "%s",
              oce_last_error());
    cr_expect_eq(oce_image_load(path, OCE_IMAGE_CROP, 4, 4, 3, out), OCE_OK);
    scratch_remove(folder);
}

/* MNIST's own digits, enlarged, dark on light and off the centre, come back. */
Test(image_digit, real_digits_come_back) {
    enum { SCALE = 10, HEIGHT = 33 * SCALE, WIDTH = 40 * SCALE, COUNT = 200 };
    const char *data = getenv("OCELLI_DATA");
    oce_dataset *test = NULL;
    if (data == NULL || oce_dataset_open_mnist(data, OCE_SPLIT_TEST, &test) != OCE_OK)
        cr_skip_test("no MNIST in OCELLI_DATA");
    uint8_t *picture = malloc((size_t)HEIGHT * WIDTH), out[FIELD];
    cr_assert(picture != NULL);
    double difference = 0;
    for (int n = 0; n < COUNT; n++) {
        const uint8_t *digit = oce_dataset_images(test) + (size_t)n * FIELD;
        memset(picture, 255, (size_t)HEIGHT * WIDTH);
        for (int y = 0; y < SIDE * SCALE; y++)
            for (int x = 0; x < SIDE * SCALE; x++)
                picture[(y + 3 * SCALE) * WIDTH + x + 9 * SCALE] =
                    (uint8_t)(255 - digit[y / SCALE * SIDE + x / SCALE]);
        convert(&(oce_image){HEIGHT, WIDTH, 1, picture}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
        for (int i = 0; i < FIELD; i++)
            difference += abs(out[i] - digit[i]);
        convert(&(oce_image){SIDE, SIDE, 1, (uint8_t *)digit}, OCE_IMAGE_DIGIT, SIDE, SIDE, 1, out);
        cr_expect(memcmp(out, digit, FIELD) == 0, "digit %d is to stay as it is", n);
    }
    difference /= (double)COUNT * FIELD;
    cr_expect(difference < 3, "%g a pixel", difference);
    free(picture);
    oce_dataset_destroy(test);
}
