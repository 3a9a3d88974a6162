/* Bytes to floats on the device, with and without augmentation. */
#include "base/random.h"
#include "device/internal.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/halo.h"

#include <ocelli/elementwise.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static const compare_limit exactly = {0, 0, 0};

static uint8_t *random_bytes(size_t count) {
    uint8_t *bytes = calloc(count + 1, 1);
    cr_assert_not_null(bytes);
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)oce_random_below(&random, 256);
    return bytes;
}

/* Images [n,h,w,c] from byte `first` of a buffer on; free() the result. */
static float *converted(oce_device *device, const int64_t dim[4], const uint8_t *bytes,
                        size_t first, float scale, const oce_augment *augment,
                        const oce_halo *halo) {
    const size_t count = test_product(dim[0], dim[1], dim[2], dim[3]);
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, first + count, &buffer));
    TEST_OK(oce_buffer_write(buffer, first, bytes, count));
    oce_tensor y = test_tensor(device, dim[0], dim[1], dim[2], dim[3], halo, NULL);
    float *garbage = test_random(count, 9);
    TEST_OK(oce_tensor_write(&y, garbage)); /* what is not written must show */
    TEST_OK(oce_convert_bytes(device, buffer, first, scale, augment, &y));
    float *values = test_download(&y);
    test_expect_clear_halo(&y, "images");
    free(garbage);
    oce_tensor_release(&y);
    oce_buffer_destroy(buffer);
    return values;
}

static const int64_t shapes[][4] = {{3, 28, 28, 1}, {2, 9, 7, 3}, {1, 1, 1, 1},
                                    {2, 1, 13, 2},  {0, 4, 4, 3}, {5, 16, 16, 4}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

Test(convert, agrees_with_the_reference_exactly) {
    const oce_halo halo = {2, 1, 3, 2};
    oce_device *device = test_open_device();
    for (int i = 0; i < SHAPES; i++) {
        const int64_t *dim = shapes[i];
        const size_t count = test_product(dim[0], dim[1], dim[2], dim[3]);
        uint8_t *bytes = random_bytes(count);
        float *expected = test_floats(count);
        for (size_t first = 0; first < 4; first++) {
            const float scale = first % 2 == 0 ? 1.0F / 255.0F : 1.0F;
            oce_ref_convert_bytes(count, bytes, scale, expected);
            float *y = converted(device, dim, bytes, first, scale, NULL, first < 2 ? &halo : NULL);
            expect_floats(y, expected, count, dim, exactly, "images from byte %zu", first);
            free(y);
        }
        free(expected);
        free(bytes);
    }
    oce_device_close(device);
}

Test(convert, a_white_pixel_is_one) {
    const int64_t dim[4] = {1, 16, 16, 1};
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    oce_device *device = test_open_device();
    float *y = converted(device, dim, bytes, 0, 1.0F / 255.0F, NULL, NULL);
    cr_expect_eq(y[255], 1.0F);
    for (int i = 0; i < 256; i++) /* a multiplication by the reciprocal, not a division */
        cr_expect_eq(y[i], (float)i * (1.0F / 255.0F), "byte %d", i);
    free(y);
    oce_device_close(device);
}

static void check_augmentation(oce_device *device) {
    const oce_halo halo = {2, 1, 3, 2};
    static const oce_augment settings[] = {
        {.seed = 7, .step = 3, .max_shift = 4, .flip = true},
        {.seed = UINT64_C(1) << 40, .step = 9, .max_shift = 1, .first_image = 77},
        {.seed = 8, .step = 1, .max_shift = 0, .flip = true},
        {.seed = 8, .step = 1, .max_shift = 32767, .flip = true}};
    for (int i = 0; i < SHAPES; i++)
        for (int k = 0; k < 4; k++) {
            const int64_t *dim = shapes[i];
            const size_t count = test_product(dim[0], dim[1], dim[2], dim[3]);
            uint8_t *bytes = random_bytes(count);
            float *expected = test_floats(count);
            cr_assert_eq(
                oce_ref_convert_augmented(&settings[k], dim, bytes, 1.0F / 255.0F, expected),
                OCE_OK);
            float *y = converted(device, dim, bytes, (size_t)k, 1.0F / 255.0F, &settings[k],
                                 k % 2 == 0 ? &halo : NULL);
            expect_floats(y, expected, count, dim, exactly, "shape %d, setting %d", i, k);
            free(y);
            free(expected);
            free(bytes);
        }
}

Test(convert, augmentation_agrees_with_the_reference_exactly) {
    oce_device *device = test_open_device();
    check_augmentation(device);
    oce_device_close(device);
}

/* Where the driver may break long loops off, an item takes fewer pixels. */
Test(convert, augmentation_takes_as_few_pixels_as_the_driver_needs) {
    oce_device *device = test_open_device();
    device->limits.loop_rounds = 20;
    check_augmentation(device);
    device->limits.loop_rounds = 4;
    if (device->limits.is_cpu) {
        const oce_augment settings = {.seed = 7};
        oce_buffer *bytes = NULL;
        oce_tensor y = test_tensor(device, 1, 1, 1, 3, NULL, NULL);
        TEST_OK(oce_buffer_create(device, 3, &bytes));
        cr_expect_eq(oce_convert_bytes(device, bytes, 0, 1, &settings, &y), OCE_ERROR_UNSUPPORTED);
        cr_expect_not_null(strstr(oce_last_error(), "3 channels"), "%s", oce_last_error());
        oce_buffer_destroy(bytes);
        oce_tensor_release(&y);
    }
    oce_device_close(device);
}

/* An image whose pixel (h, w) is h * 16 + w + 1 shows how it was moved: every shift and both
 * mirrorings occur, with about equal frequency. */
Test(convert, augmentation_takes_every_shift_and_both_directions) {
    enum { IMAGES = 2000, SIDE = 11, MOST = 2, SHIFTS = 2 * MOST + 1, CENTRE = 5 };
    const int64_t dim[4] = {IMAGES, SIDE, SIDE, 1};
    uint8_t *bytes = calloc(IMAGES * SIDE * SIDE, 1);
    cr_assert_not_null(bytes);
    for (int i = 0; i < IMAGES * SIDE * SIDE; i++)
        bytes[i] = (uint8_t)(i / SIDE % SIDE * 16 + i % SIDE + 1);
    float *y = test_floats(IMAGES * SIDE * SIDE);
    const oce_augment augment = {.seed = 3, .step = 2, .max_shift = MOST, .flip = true};
    cr_assert_eq(oce_ref_convert_augmented(&augment, dim, bytes, 1, y), OCE_OK);
    int counts[2][SHIFTS][SHIFTS] = {{{0}}};
    for (int n = 0; n < IMAGES; n++) {
        const float *centre = y + (n * SIDE + CENTRE) * SIDE + CENTRE;
        const int value = (int)centre[0] - 1, from_h = value / 16, from_w = value % 16;
        const int mirrored = centre[1] < centre[0];
        const int down = CENTRE - from_h, right = mirrored ? from_w - CENTRE : CENTRE - from_w;
        cr_assert(abs(down) <= MOST && abs(right) <= MOST, "image %d moved %d, %d", n, down, right);
        counts[mirrored][down + MOST][right + MOST]++;
    }
    for (int i = 0; i < 2 * SHIFTS * SHIFTS; i++) { /* 40 expected, deviation 6.3 */
        const int count = counts[i / SHIFTS / SHIFTS][i / SHIFTS % SHIFTS][i % SHIFTS];
        cr_expect(count > 12 && count < 75, "motion %d: %d images", i, count);
    }
    free(y);
    free(bytes);
}

Test(convert, parts_of_a_batch_are_augmented_like_the_whole) {
    const int64_t whole_dim[4] = {6, 8, 8, 3}, part_dim[4] = {2, 8, 8, 3};
    const size_t part = 2 * 8 * 8 * 3;
    oce_augment augment = {.seed = 4, .step = 5, .max_shift = 4, .flip = true};
    oce_device *device = test_open_device();
    uint8_t *bytes = random_bytes(3 * part);
    float *whole = converted(device, whole_dim, bytes, 0, 1, &augment, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        augment.first_image = 2 * i;
        float *y = converted(device, part_dim, bytes + i * part, 0, 1, &augment, NULL);
        expect_floats(y, whole + i * part, part, part_dim, exactly, "part %u", i);
        free(y);
    }
    free(whole);
    free(bytes);
    oce_device_close(device);
}

Test(convert, refuses_what_does_not_fit) {
    oce_device *device = test_open_device();
    oce_tensor y = test_tensor(device, 1, 4, 4, 1, NULL, NULL);
    oce_buffer *bytes = NULL;
    TEST_OK(oce_buffer_create(device, 16, &bytes));
    oce_augment augment = {.max_shift = -1};
    cr_expect_eq(oce_convert_bytes(device, bytes, 1, 1, NULL, &y), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_convert_bytes(device, bytes, SIZE_MAX, 1, NULL, &y), OCE_ERROR_OVERFLOW);
    cr_expect_eq(oce_convert_bytes(device, NULL, 0, 1, NULL, &y), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_convert_bytes(device, bytes, 0, 1, NULL, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_convert_bytes(device, bytes, 0, 1, &augment, &y), OCE_ERROR_INVALID_ARGUMENT);
    augment.max_shift = 32768;
    cr_expect_eq(oce_convert_bytes(device, bytes, 0, 1, &augment, &y), OCE_ERROR_INVALID_ARGUMENT);
    oce_buffer_destroy(bytes);
    oce_tensor_release(&y);
    oce_device_close(device);
}
