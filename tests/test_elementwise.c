/* Elementwise operations on the device: ReLU, sum, fill, search for non-finite numbers. */
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/halo.h"
#include "support/vectors.h"

#include <ocelli/elementwise.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>

static const compare_limit exactly = {0, 0, 0};
static const oce_halo some_halo = {1, 2, 3, 0};

/* Shapes around the sizes that a work-item takes, odd ones, and empty ones. */
static const int64_t shapes[][4] = {{1, 1, 1, 1},     {1, 1, 1, 3},  {1, 1, 1, 4099}, {3, 5, 7, 11},
                                    {2, 4, 4, 16},    {1, 1, 1, 17}, {0, 3, 3, 2},    {2, 0, 3, 2},
                                    {1, 1, 1, 12289}, {4, 1, 1, 10}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static size_t count_of(const int64_t *shape) {
    return test_product(shape[0], shape[1], shape[2], shape[3]);
}

static oce_tensor tensor_of(oce_device *device, const int64_t *s, const oce_halo *halo,
                            const float *data) {
    return test_tensor(device, s[0], s[1], s[2], s[3], halo, data);
}

/* Compares a tensor with `expected` and its halo with zeros, then releases it. */
static void expect_tensor(oce_tensor *tensor, const float *expected, const char *name) {
    float *got = test_download(tensor);
    expect_floats(got, expected, oce_tensor_count(tensor), tensor->dim, exactly, "%s", name);
    test_expect_clear_halo(tensor, name);
    free(got);
    oce_tensor_release(tensor);
}

/* Random values with the special ones in front. */
static float *special_values(size_t count, uint64_t seed) {
    static const float specials[] = {NAN, INFINITY, -INFINITY, 0.0F, -0.0F, 1e30F, -1e30F};
    float *values = test_random(count, seed);
    for (size_t i = 0; i < sizeof specials / sizeof specials[0] && i < count; i++)
        values[i] = specials[i];
    return values;
}

Test(elementwise, relu_agrees_with_the_reference) {
    oce_device *device = test_open_device();
    for (int i = 0; i < SHAPES; i++) {
        const size_t count = count_of(shapes[i]);
        float *x = special_values(count, 1), *expected = test_floats(count);
        oce_ref_relu(count, x, expected);
        /* Every mix of halos: dense, one, both; then in place. */
        for (int mix = 0; mix < 4; mix++) {
            oce_tensor a = tensor_of(device, shapes[i], mix & 1 ? &some_halo : NULL, x);
            oce_tensor b = tensor_of(device, shapes[i], mix & 2 ? &some_halo : NULL, NULL);
            TEST_OK(oce_relu_forward(device, &a, &b));
            expect_tensor(&b, expected, "relu");
            TEST_OK(oce_relu_forward(device, &a, &a));
            expect_tensor(&a, expected, "relu in place");
        }
        free(expected);
        free(x);
    }
    oce_device_close(device);
}

Test(elementwise, relu_of_minus_zero_is_zero) {
    oce_device *device = test_open_device();
    const float x[5] = {-0.0F, -0.0F, -0.0F, -0.0F, -0.0F};
    oce_tensor tensor = test_tensor(device, 1, 1, 1, 5, NULL, x);
    TEST_OK(oce_relu_forward(device, &tensor, &tensor));
    float *y = test_download(&tensor);
    for (int i = 0; i < 5; i++)
        cr_expect(y[i] == 0.0F && !signbit(y[i]), "element %d", i);
    free(y);
    oce_tensor_release(&tensor);
    oce_device_close(device);
}

Test(elementwise, relu_gradient_agrees_with_the_reference) {
    oce_device *device = test_open_device();
    for (int i = 0; i < SHAPES; i++) {
        const size_t count = count_of(shapes[i]);
        float *dy = test_random(count, 2), *y = special_values(count, 3);
        float *expected = test_floats(count);
        oce_ref_relu_grad(count, dy, y, expected);
        for (int mix = 0; mix < 8; mix++) {
            oce_tensor a = tensor_of(device, shapes[i], mix & 1 ? &some_halo : NULL, dy);
            oce_tensor b = tensor_of(device, shapes[i], mix & 2 ? &some_halo : NULL, y);
            oce_tensor c = tensor_of(device, shapes[i], mix & 4 ? &some_halo : NULL, NULL);
            TEST_OK(oce_relu_grad(device, &a, &b, &c));
            expect_tensor(&c, expected, "relu gradient");
            TEST_OK(oce_relu_grad(device, &a, &b, &a));
            expect_tensor(&a, expected, "relu gradient in place");
            oce_tensor_release(&b);
        }
        free(expected);
        free(y);
        free(dy);
    }
    oce_device_close(device);
}

/* One step of gradient descent on relu(x)^2, as TensorFlow's test has it. */
static float descent(oce_device *device, const activation_vector *v) {
    oce_tensor x = test_tensor(device, 1, 1, 1, 1, NULL, v->x.values);
    oce_tensor y = test_tensor(device, 1, 1, 1, 1, NULL, NULL);
    TEST_OK(oce_relu_forward(device, &x, &y));
    float *value = test_download(&y);
    value[0] *= 2;
    oce_tensor gradient = test_tensor(device, 1, 1, 1, 1, NULL, value);
    TEST_OK(oce_relu_grad(device, &gradient, &y, &gradient));
    TEST_OK(oce_tensor_read(&gradient, value));
    const float moved = v->x.values[0] - (float)v->learning_rate * value[0];
    free(value);
    oce_tensor_release(&gradient);
    oce_tensor_release(&y);
    oce_tensor_release(&x);
    return moved;
}

Test(elementwise, relu_gives_tensorflows_numbers) {
    oce_device *device = test_open_device();
    vector_file *file = vectors_open("tf_softmax_relu_bias.json");
    int checked = 0;
    for (size_t i = 0; i < vectors_count(file); i++) {
        const activation_vector v = vectors_activation(file, i);
        if (v.op == VECTOR_RELU) {
            oce_tensor x = test_tensor(device, 1, 1, 1, (int64_t)v.x.count, NULL, v.x.values);
            TEST_OK(oce_relu_forward(device, &x, &x));
            float *y = test_download(&x);
            expect_floats(y, v.expected.values, v.expected.count, NULL, vector_limit(v.tolerance),
                          "%s", v.name);
            free(y);
            oce_tensor_release(&x);
            checked++;
        } else if (v.op == VECTOR_RELU_DESCENT) {
            const float moved = descent(device, &v);
            expect_floats(&moved, v.expected.values, 1, NULL, vector_limit(v.tolerance), "%s",
                          v.name);
            checked++;
        }
    }
    cr_expect(checked >= 2, "only %d vectors", checked);
    vectors_close(file);
    oce_device_close(device);
}

Test(elementwise, add_and_fill) {
    oce_device *device = test_open_device();
    for (int i = 0; i < SHAPES; i++) {
        const size_t count = count_of(shapes[i]);
        float *x = test_random(count, 4), *y = test_random(count, 5), *sum = test_floats(count);
        for (size_t k = 0; k < count; k++)
            sum[k] = y[k] + x[k];
        oce_tensor a = tensor_of(device, shapes[i], NULL, x);
        oce_tensor b = tensor_of(device, shapes[i], NULL, y);
        TEST_OK(oce_add(device, &a, &b));
        expect_tensor(&b, sum, "sum");
        for (size_t k = 0; k < count; k++)
            sum[k] = 0.1F;
        TEST_OK(oce_fill(device, &a, 0.1F));
        expect_tensor(&a, sum, "fill");
        free(sum);
        free(y);
        free(x);
    }
    oce_device_close(device);
}

/* A view that starts at an odd element, in the middle of a buffer whose other elements stay. */
Test(elementwise, views_inside_a_buffer) {
    const int64_t dim[4] = {1, 1, 1, 37};
    const size_t count = 37;
    oce_device *device = test_open_device();
    oce_tensor whole = test_tensor(device, 1, 1, 1, 101, NULL, NULL);
    float *x = test_random(count, 6), *expected = test_floats(101);
    for (size_t start = 1; start < 8; start++) {
        oce_tensor view;
        TEST_OK(oce_fill(device, &whole, 7));
        TEST_OK(oce_tensor_view(whole.buffer, start, dim, NULL, &view));
        TEST_OK(oce_tensor_write(&view, x));
        TEST_OK(oce_relu_forward(device, &view, &view));
        for (size_t i = 0; i < 101; i++)
            expected[i] = 7;
        oce_ref_relu(count, x, expected + start);
        float *got = test_download(&whole);
        expect_floats(got, expected, 101, NULL, exactly, "view at element %zu", start);
        free(got);
    }
    free(expected);
    free(x);
    oce_tensor_release(&whole);
    oce_device_close(device);
}

Test(elementwise, counts_nonfinite_numbers) {
    const uint32_t start[3] = {77, 77, 77};
    uint32_t counts[3];
    oce_device *device = test_open_device();
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, sizeof counts, &buffer));
    for (int i = 0; i < SHAPES; i++) {
        const size_t count = count_of(shapes[i]);
        float *x = test_random(count, 7);
        uint32_t expected = 0;
        for (size_t k = 0; k < count; k += 5, expected++)
            x[k] = k % 3 == 0 ? NAN : k % 2 == 0 ? INFINITY : -INFINITY;
        if (count > 1)
            x[1] = 3.4028234e38F; /* the largest float is finite */
        oce_tensor tensor = tensor_of(device, shapes[i], i % 2 == 0 ? &some_halo : NULL, x);
        TEST_OK(oce_buffer_write(buffer, 0, start, sizeof start));
        TEST_OK(oce_count_nonfinite(device, &tensor, buffer, 1));
        TEST_OK(oce_buffer_read(buffer, 0, counts, sizeof counts));
        cr_expect_eq(counts[1], expected, "shape %d: %u, expected %u", i, counts[1], expected);
        cr_expect(counts[0] == 77 && counts[2] == 77, "other slots were written");
        oce_tensor_release(&tensor);
        free(x);
    }
    oce_buffer_destroy(buffer);
    oce_device_close(device);
}

Test(elementwise, refuses_what_does_not_fit) {
    oce_device *device = test_open_device();
    oce_tensor a = test_tensor(device, 2, 3, 4, 5, NULL, NULL);
    oce_tensor other = test_tensor(device, 2, 3, 5, 4, NULL, NULL);
    oce_tensor halo = test_tensor(device, 2, 3, 4, 5, &some_halo, NULL);
    oce_buffer *small = NULL;
    TEST_OK(oce_buffer_create(device, 4, &small));
    cr_expect_eq(oce_relu_forward(device, &a, &other), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_relu_forward(device, &a, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_relu_forward(device, NULL, &a), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_relu_grad(device, &a, &a, &other), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_relu_grad(device, &a, NULL, &a), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_add(device, &a, &halo), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_add(device, &a, &other), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_fill(device, &halo, 1), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_count_nonfinite(device, &a, small, 1), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_count_nonfinite(device, &a, small, SIZE_MAX), OCE_ERROR_OVERFLOW);
    cr_expect_eq(oce_count_nonfinite(device, &a, NULL, 0), OCE_ERROR_INVALID_ARGUMENT);
    oce_buffer_destroy(small);
    oce_tensor_release(&halo);
    oce_tensor_release(&other);
    oce_tensor_release(&a);
    oce_device_close(device);
}
