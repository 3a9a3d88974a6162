/* Dropout and truncated normal on the device: exactly against src/ref, and as distributions. */
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"

#include <ocelli/elementwise.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const compare_limit exactly = {0, 0, 0};
static const compare_limit division = {.relative = 4e-7}; /* OpenCL's own, 2.5 units */
static const uint64_t seed = UINT64_C(0xFEDCBA9876543210);

static oce_tensor vector_of(oce_device *device, size_t count, const float *data) {
    return test_tensor(device, 1, 1, 1, (int64_t)count, NULL, data);
}

static float *ones(size_t count) {
    float *values = test_floats(count);
    for (size_t i = 0; i < count; i++)
        values[i] = 1;
    return values;
}

/* What dropout makes of x; free() it. */
static float *dropped(oce_device *device, const oce_dropout *dropout, size_t count,
                      const float *x) {
    oce_tensor tensor = vector_of(device, count, x), y = vector_of(device, count, NULL);
    TEST_OK(oce_dropout_apply(device, dropout, &tensor, &y));
    float *result = test_download(&y);
    TEST_OK(oce_dropout_apply(device, dropout, &tensor, &tensor));
    float *in_place = test_download(&tensor);
    expect_bytes(in_place, result, count * sizeof *result, "in place");
    free(in_place);
    oce_tensor_release(&y);
    oce_tensor_release(&tensor);
    return result;
}

/* --- Dropout --- */

Test(random, dropout_agrees_with_the_reference) {
    static const size_t counts[] = {0, 1, 2, 5, 63, 64, 4095, 4096, 4099, 9001};
    static const uint64_t firsts[] = {0, 1, 2, 3, 4, 7, (UINT64_C(1) << 34) - 6};
    static const float keeps[] = {0.8F, 0.5F, 0.1F, 0.999F};
    oce_device *device = test_open_device();
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (size_t k = 0; k < sizeof firsts / sizeof firsts[0]; k++) {
            const oce_dropout dropout = {.keep_prob = keeps[(i + k) % 4],
                                         .seed = seed,
                                         .step = 100 + (uint32_t)i,
                                         .layer = (uint32_t)k,
                                         .first = firsts[k]};
            float *x = test_random(counts[i], 1), *expected = test_floats(counts[i]);
            cr_assert_eq(oce_ref_dropout(&dropout, counts[i], x, expected), OCE_OK);
            float *y = dropped(device, &dropout, counts[i], x);
            expect_floats(y, expected, counts[i], NULL, division, "count %zu, first %llu",
                          counts[i], (unsigned long long)firsts[k]);
            for (size_t e = 0; e < counts[i]; e++) /* the masks agree exactly */
                cr_assert_eq(y[e] == 0, expected[e] == 0, "element %zu", e);
            free(y);
            free(expected);
            free(x);
        }
    oce_device_close(device);
}

Test(random, dropout_keeps_its_share_and_scales_it) {
    const size_t count = test_is_small() ? 20000 : 1000000;
    oce_device *device = test_open_device();
    float *x = ones(count);
    for (int i = 1; i < 10; i += 2) {
        const float keep = (float)i / 10.0F;
        const oce_dropout dropout = {.keep_prob = keep, .seed = 5, .step = 3, .layer = 1};
        float *y = dropped(device, &dropout, count, x);
        size_t kept = 0;
        for (size_t e = 0; e < count; e++)
            if (y[e] != 0) {
                kept++;
                cr_assert(fabsf(y[e] * keep - 1) < 1e-6F, "element %zu: %g", e, (double)y[e]);
            }
        const double share = (double)kept / (double)count, p = (double)keep;
        const double deviation = sqrt(p * (1 - p) / (double)count);
        cr_expect(fabs(share - p) < 4 * deviation, "kept %g of keep_prob %g", share, p);
        free(y);
    }
    free(x);
    oce_device_close(device);
}

Test(random, dropout_has_one_mask_forward_and_backward) {
    const size_t count = 5003;
    const oce_dropout dropout = {.keep_prob = 0.8F, .seed = 6, .step = 4, .layer = 2};
    oce_device *device = test_open_device();
    float *x = test_random(count, 2), *dy = test_random(count, 3);
    float *y = dropped(device, &dropout, count, x), *dx = dropped(device, &dropout, count, dy);
    float *again = dropped(device, &dropout, count, x);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(y[i] != 0, dx[i] != 0, "element %zu", i);
    expect_bytes(again, y, count * sizeof *y, "the same call twice");
    free(again);
    free(dx);
    free(y);
    free(dy);
    free(x);
    oce_device_close(device);
}

Test(random, dropout_masks_differ_by_seed_step_and_layer) {
    const size_t count = 4096;
    const oce_dropout base = {.keep_prob = 0.5F, .seed = 1, .step = 1, .layer = 1};
    oce_dropout others[4] = {base, base, base, base};
    others[0].seed++;
    others[1].seed += UINT64_C(1) << 32;
    others[2].step++;
    others[3].layer++;
    oce_device *device = test_open_device();
    float *x = ones(count), *y = dropped(device, &base, count, x);
    for (int i = 0; i < 4; i++) {
        float *other = dropped(device, &others[i], count, x);
        size_t equal = 0;
        for (size_t e = 0; e < count; e++)
            equal += y[e] == other[e];
        cr_expect(equal > count * 4 / 10 && equal < count * 6 / 10, "%d: %zu equal", i, equal);
        free(other);
    }
    free(y);
    free(x);
    oce_device_close(device);
}

Test(random, dropout_that_keeps_all_copies_every_bit) {
    const uint32_t bits[] = {0x00000001U, 0x807FFFFFU, 0x80000000U, 0x7FC12345U, 0xFF800000U};
    const size_t count = sizeof bits / sizeof bits[0];
    const oce_dropout dropout = {.keep_prob = 1, .seed = 1};
    float x[sizeof bits / sizeof bits[0]];
    memcpy(x, bits, sizeof bits);
    oce_device *device = test_open_device();
    float *y = dropped(device, &dropout, count, x);
    expect_bytes(y, bits, sizeof bits, "y");
    free(y);
    oce_device_close(device);
}

Test(random, dropout_refuses_what_cannot_be) {
    static const float bad[] = {0, -0.1F, 1.0001F, NAN, INFINITY};
    oce_device *device = test_open_device();
    oce_tensor x = vector_of(device, 8, NULL), y = vector_of(device, 9, NULL);
    const oce_halo halo = {1, 1, 1, 1};
    oce_tensor haloed = test_tensor(device, 1, 2, 2, 2, &halo, NULL);
    oce_dropout dropout = {.keep_prob = 0.5F};
    cr_expect_eq(oce_dropout_apply(device, &dropout, &x, &y), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_dropout_apply(device, &dropout, &haloed, &haloed), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_dropout_apply(device, &dropout, &x, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_dropout_apply(device, &dropout, NULL, &y), OCE_ERROR_INVALID_ARGUMENT);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dropout.keep_prob = bad[i];
        cr_expect_eq(oce_dropout_apply(device, &dropout, &x, &x), OCE_ERROR_INVALID_ARGUMENT,
                     "keep_prob %g", (double)bad[i]);
    }
    oce_tensor_release(&haloed);
    oce_tensor_release(&y);
    oce_tensor_release(&x);
    oce_device_close(device);
}

/* --- Truncated normal --- */

static float *drawn(oce_device *device, uint64_t from, uint32_t layer, float stddev, size_t count) {
    oce_tensor y = vector_of(device, count, NULL);
    TEST_OK(oce_truncated_normal(device, from, layer, stddev, &y));
    float *values = test_download(&y);
    oce_tensor_release(&y);
    return values;
}

Test(random, truncated_normal_agrees_with_the_reference) {
    static const size_t counts[] = {0, 1, 3, 1023, 1025, 30000};
    oce_device *device = test_open_device();
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const size_t count = counts[i];
        float *expected = test_floats(count);
        oce_ref_truncated_normal(seed + i, (uint32_t)i, 0.1F, count, expected);
        float *y = drawn(device, seed + i, (uint32_t)i, 0.1F, count);
        const compare_limit limit = {.absolute = 1e-7, .relative = 3e-6};
        expect_floats(y, expected, count, NULL, limit, "count %zu", count);
        free(y);
        free(expected);
    }
    oce_device_close(device);
}

/* Section 8 of TensorFlow's rules: what is left of a normal cut at two deviations has deviation
 * 0.8796256610 and kurtosis 2.3655. The limits are about five deviations of the estimates. */
Test(random, truncated_normal_has_its_moments) {
    const size_t count = test_is_small() ? 20000 : 1000000;
    const double n = (double)count;
    oce_device *device = test_open_device();
    float *y = drawn(device, 1, 0, 0.05F, count);
    double sum = 0, sum2 = 0, sum4 = 0;
    for (size_t i = 0; i < count; i++) {
        const double v = (double)y[i];
        cr_assert(fabs(v) < 0.1, "element %zu: %g", i, v);
        sum += v;
        sum2 += v * v;
        sum4 += v * v * v * v;
    }
    const double deviation = sqrt(sum2 / n), kurtosis = sum4 / n / (sum2 / n * (sum2 / n));
    cr_expect(fabs(sum / n) < 5 * 0.044 / sqrt(n), "mean %g", sum / n);
    cr_expect(fabs(deviation - 0.0439813) < 5 * 0.0439813 * 0.59 / sqrt(n), "deviation %g",
              deviation);
    cr_expect(fabs(kurtosis - 2.3655) < 5 * 2.2 / sqrt(n), "kurtosis %g", kurtosis);
    free(y);
    oce_device_close(device);
}

Test(random, truncated_normal_is_a_function_of_seed_layer_and_element) {
    oce_device *device = test_open_device();
    float *y = drawn(device, 3, 7, 1, 3000), *more = drawn(device, 3, 7, 1, 5000);
    float *other_seed = drawn(device, 4, 7, 1, 3000), *other_layer = drawn(device, 3, 8, 1, 3000);
    expect_floats(more, y, 3000, NULL, exactly, "the start of a longer tensor");
    size_t equal = 0;
    for (size_t i = 0; i < 3000; i++)
        equal += y[i] == other_seed[i] || y[i] == other_layer[i];
    cr_expect(equal < 5, "%zu elements equal another seed's or layer's", equal);
    free(other_layer);
    free(other_seed);
    free(more);
    free(y);
    oce_device_close(device);
}

Test(random, truncated_normal_refuses_what_does_not_fit) {
    oce_device *device = test_open_device();
    const oce_halo halo = {1, 1, 1, 1};
    oce_tensor haloed = test_tensor(device, 1, 2, 2, 2, &halo, NULL);
    cr_expect_eq(oce_truncated_normal(device, 1, 0, 0.1F, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_truncated_normal(device, 1, 0, 0.1F, &haloed), OCE_ERROR_SHAPE);
    oce_tensor_release(&haloed);
    oce_device_close(device);
}
