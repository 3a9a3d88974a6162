/* Tensors: views, halos, copies between host and device. */
#include "device/device.h"
#include "support/compare.h"
#include "support/device.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static oce_device *device;

static void open_device(void) {
    device = test_open_device();
}

static void close_device(void) {
    oce_device_close(device);
}

TestSuite(tensor, .init = open_device, .fini = close_device);

static const compare_limit exact = {0};
static const int64_t dim[4] = {2, 3, 2, 2};
static const oce_halo halo = {1, 2, 3, 1};

static void expect_error(oce_status status, oce_status expected, const char *text) {
    cr_expect(status == expected, "%s", oce_status_text(status));
    cr_expect(strstr(oce_last_error(), text) != NULL, "%s", oce_last_error());
}

/* Everything in a buffer of `count` floats. */
static float *everything(const oce_buffer *buffer, size_t count) {
    float *data = test_zeros(count);
    cr_assert(oce_buffer_bytes(buffer) == count * sizeof(float));
    TEST_OK(oce_buffer_read(buffer, 0, data, count * sizeof(float)));
    return data;
}

Test(tensor, count_with_and_without_halo) {
    size_t elements = 0;
    TEST_OK(oce_tensor_elements(dim, NULL, &elements));
    cr_expect(elements == 2 * 3 * 2 * 2);
    TEST_OK(oce_tensor_elements(dim, &halo, &elements));
    cr_expect(elements == 2 * (3 + 3) * (2 + 4) * 2);
}

Test(tensor, new_one_is_zero_everywhere) {
    oce_tensor tensor;
    TEST_OK(oce_tensor_create(device, dim, &halo, &tensor));
    float *all = everything(tensor.buffer, 144), *zeros = test_zeros(144);
    expect_floats(all, zeros, 144, NULL, exact, "new tensor");
    cr_expect(oce_tensor_count(&tensor) == 24);
    free(all);
    free(zeros);
    oce_tensor_release(&tensor);
    cr_expect(tensor.buffer == NULL);
    oce_tensor_release(&tensor);
}

Test(tensor, round_trip_without_halo) {
    float *data = test_random(24, 1);
    oce_tensor tensor = test_tensor(device, 2, 3, 2, 2, NULL, data);
    float *back = test_download(&tensor);
    expect_floats(back, data, 24, dim, exact, "dense");
    free(back);
    free(data);
    oce_tensor_release(&tensor);
}

Test(tensor, round_trip_with_halo_leaves_the_border_alone) {
    float *data = test_random(24, 2), *marks = test_random(144, 3), *expected = test_zeros(144);
    oce_tensor tensor = test_tensor(device, 2, 3, 2, 2, &halo, NULL);
    TEST_OK(oce_buffer_write(tensor.buffer, 0, marks, 144 * sizeof(float)));
    TEST_OK(oce_tensor_write(&tensor, data));
    float *back = test_download(&tensor), *all = everything(tensor.buffer, 144);
    expect_floats(back, data, 24, dim, exact, "interior");
    memcpy(expected, marks, 144 * sizeof(float));
    for (size_t n = 0; n < 2; n++)
        for (size_t h = 0; h < 3; h++)
            for (size_t w = 0; w < 2; w++)
                for (size_t c = 0; c < 2; c++)
                    expected[((n * 6 + h + 1) * 6 + w + 3) * 2 + c] =
                        data[((n * 3 + h) * 2 + w) * 2 + c];
    expect_floats(all, expected, 144, NULL, exact, "interior and border");
    free(data);
    free(marks);
    free(expected);
    free(back);
    free(all);
    oce_tensor_release(&tensor);
}

Test(tensor, view_has_offset_strides_and_halo) {
    oce_buffer *buffer = NULL;
    oce_tensor tensor;
    TEST_OK(oce_buffer_create(device, 200 * sizeof(float), &buffer));
    TEST_OK(oce_tensor_view(buffer, 56, dim, &halo, &tensor)); /* 56 + 144 = 200: just fits */
    cr_expect(tensor.buffer == buffer);
    cr_expect(tensor.offset == 56 + 1 * 12 + 3 * 2);
    cr_expect(tensor.stride[0] == 72 && tensor.stride[1] == 12);
    cr_expect(tensor.stride[2] == 2 && tensor.stride[3] == 1);
    cr_expect_arr_eq(tensor.dim, dim, sizeof dim);
    cr_expect(tensor.halo.top == 1 && tensor.halo.right == 1);
    cr_expect(!oce_tensor_is_dense(&tensor));
    expect_error(oce_tensor_view(buffer, 57, dim, &halo, &tensor), OCE_ERROR_SHAPE,
                 "[2, 3, 2, 2] at element 57");
    expect_error(oce_tensor_view(buffer, SIZE_MAX, dim, NULL, &tensor), OCE_ERROR_SHAPE,
                 "800 bytes");
    expect_error(oce_tensor_view(buffer, SIZE_MAX / 4, dim, NULL, &tensor), OCE_ERROR_SHAPE,
                 "800 bytes");
    oce_buffer_destroy(buffer);
}

Test(tensor, two_views_of_one_buffer) {
    oce_buffer *buffer = NULL;
    oce_tensor first, second;
    const int64_t vector[4] = {1, 1, 1, 3};
    const float ones[] = {1, 1, 1}, twos[] = {2, 2, 2}, both[] = {1, 1, 1, 2, 2, 2};
    TEST_OK(oce_buffer_create(device, 6 * sizeof(float), &buffer));
    TEST_OK(oce_tensor_view(buffer, 0, vector, NULL, &first));
    TEST_OK(oce_tensor_view(buffer, 3, vector, NULL, &second));
    TEST_OK(oce_tensor_write(&second, twos));
    TEST_OK(oce_tensor_write(&first, ones));
    float *all = everything(buffer, 6);
    expect_floats(all, both, 6, NULL, exact, "two views");
    free(all);
    oce_buffer_destroy(buffer);
}

Test(tensor, empty_ones_are_legal) {
    const int64_t shapes[][4] = {{0, 3, 2, 2}, {2, 0, 2, 2}, {2, 3, 0, 2}, {2, 3, 2, 0}};
    for (size_t i = 0; i < 4; i++) {
        oce_tensor tensor;
        float nothing = 7;
        TEST_OK(oce_tensor_create(device, shapes[i], &halo, &tensor));
        cr_expect(oce_tensor_count(&tensor) == 0);
        cr_expect(oce_tensor_is_dense(&tensor));
        TEST_OK(oce_tensor_write(&tensor, &nothing));
        TEST_OK(oce_tensor_read(&tensor, &nothing));
        cr_expect(nothing == 7);
        oce_tensor_release(&tensor);
    }
}

Test(tensor, impossible_extents_are_errors) {
    size_t elements = 0;
    oce_tensor tensor;
    const int64_t huge = INT64_MAX, big = INT64_C(1) << 31;
    const int64_t too_large[][4] = {{huge, huge, huge, huge}, {1, huge, 1, 1},  {1, 1, huge, 1},
                                    {1, 1, 1, huge},          {2, big, big, 1}, {big, 1, 1, big},
                                    {0, big, big, 2},         {0, 1, huge, 1},  {huge, 0, 1, 4}};
    for (size_t i = 0; i < sizeof too_large / sizeof too_large[0]; i++) {
        expect_error(oce_tensor_elements(too_large[i], &halo, &elements), OCE_ERROR_OVERFLOW,
                     "too large");
        expect_error(oce_tensor_create(device, too_large[i], NULL, &tensor), OCE_ERROR_OVERFLOW,
                     "too large");
        cr_expect(tensor.buffer == NULL);
    }
    for (int i = 0; i < 4; i++) {
        int64_t negative[4] = {1, 1, 1, 1};
        negative[i] = -1;
        expect_error(oce_tensor_elements(negative, NULL, &elements), OCE_ERROR_INVALID_ARGUMENT,
                     "negative");
    }
    const oce_halo wrong[] = {{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, -1, 0}, {0, 0, 0, -1}};
    for (int i = 0; i < 4; i++)
        expect_error(oce_tensor_elements(dim, &wrong[i], &elements), OCE_ERROR_INVALID_ARGUMENT,
                     "halo");
    const oce_halo wide = {huge, huge, 0, 0};
    expect_error(oce_tensor_elements(dim, &wide, &elements), OCE_ERROR_OVERFLOW, "too large");
}

Test(tensor, larger_than_the_device_is_an_error) {
    oce_tensor tensor;
    const int64_t large[4] = {1, 1 << 20, 1 << 20, 4};
    expect_error(oce_tensor_create(device, large, NULL, &tensor), OCE_ERROR_DEVICE_MEMORY,
                 "17592186044"); /* 2^44 bytes and the slack */
    cr_expect(tensor.buffer == NULL);
}

Test(tensor, dense_whatever_the_stride_of_extents_of_one) {
    oce_tensor tensor = test_tensor(device, 1, 1, 1, 4, NULL, NULL);
    tensor.stride[0] = tensor.stride[1] = tensor.stride[2] = 99;
    cr_expect(oce_tensor_is_dense(&tensor));
    tensor.dim[1] = 2;
    cr_expect(!oce_tensor_is_dense(&tensor));
    oce_tensor_release(&tensor);
    const oce_halo rows = {1, 1, 0, 0};
    tensor = test_tensor(device, 1, 2, 3, 4, &rows, NULL);
    cr_expect(oce_tensor_is_dense(&tensor), "one image between rows of zeros is contiguous");
    oce_tensor_release(&tensor);
}

Test(tensor, expectations_name_the_tensor) {
    const int64_t other[4] = {2, 3, 2, 3};
    oce_tensor none = {0};
    oce_tensor plain = test_tensor(device, 2, 3, 2, 2, NULL, NULL);
    oce_tensor bordered = test_tensor(device, 2, 3, 2, 2, &halo, NULL);
    TEST_OK(oce_tensor_expect(&plain, "x", dim));
    TEST_OK(oce_tensor_expect(&bordered, "x", dim));
    TEST_OK(oce_tensor_expect_dense(&plain, "x", 24));
    expect_error(oce_tensor_expect(&plain, "filter", other), OCE_ERROR_SHAPE,
                 "filter: the shape is [2, 3, 2, 2], expected [2, 3, 2, 3]");
    expect_error(oce_tensor_expect(NULL, "x", dim), OCE_ERROR_INVALID_ARGUMENT, "x: no tensor");
    expect_error(oce_tensor_expect(&none, "x", dim), OCE_ERROR_INVALID_ARGUMENT, "x: no tensor");
    expect_error(oce_tensor_expect_dense(NULL, "x", 0), OCE_ERROR_INVALID_ARGUMENT, "no tensor");
    expect_error(oce_tensor_expect_dense(&plain, "x", 25), OCE_ERROR_SHAPE, "expected 25");
    expect_error(oce_tensor_expect_dense(&bordered, "x", 24), OCE_ERROR_SHAPE, "not dense");
    plain.stride[3] = 2;
    expect_error(oce_tensor_expect(&plain, "x", dim), OCE_ERROR_SHAPE, "contiguous");
    oce_tensor_release(&plain);
    oce_tensor_release(&bordered);
}
