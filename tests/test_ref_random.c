/* Dropout and truncated normal of the reference. The listed numbers were computed apart from this
 * code, from the formulas in src/ref/ref.h and ocelli/elementwise.h. */
#include "ref/ref.h"
#include "support/compare.h"
#include "support/gradient.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t seed = UINT64_C(0x0123456789ABCDEF);

static float *ones(size_t count) {
    float *values = test_floats(count);
    for (size_t i = 0; i < count; i++)
        values[i] = 1.0F;
    return values;
}

/* Writes '1' for a kept element and '0' for a dropped one. */
static void mask(const oce_dropout *dropout, size_t count, char *text) {
    float *x = ones(count);
    cr_assert_eq(oce_ref_dropout(dropout, count, x, x), OCE_OK);
    for (size_t i = 0; i < count; i++)
        text[i] = x[i] == 0.0F ? '0' : '1';
    text[count] = '\0';
    free(x);
}

Test(ref_random, dropout_keeps_the_known_elements) {
    char text[49];
    oce_dropout dropout = {.keep_prob = 0.8F, .seed = seed, .step = 9, .layer = 2};
    mask(&dropout, 48, text);
    cr_expect_str_eq(text, "111101111111100010111111011101110011011101101111");
    dropout.first = (UINT64_C(1) << 33) + 3;
    mask(&dropout, 16, text);
    cr_expect_str_eq(text, "1111101011111111");
}

Test(ref_random, dropout_of_a_slice_continues_the_whole) {
    char whole[41], slice[31];
    oce_dropout dropout = {.keep_prob = 0.5F, .seed = seed, .step = 1, .layer = 1};
    mask(&dropout, 40, whole);
    dropout.first = 10;
    mask(&dropout, 30, slice);
    cr_expect_str_eq(slice, whole + 10);
}

Test(ref_random, dropout_masks_differ_by_seed_step_and_layer) {
    const oce_dropout base = {.keep_prob = 0.5F, .seed = seed, .step = 1, .layer = 1};
    oce_dropout others[4] = {base, base, base, base};
    others[0].seed++;
    others[1].seed += UINT64_C(1) << 32;
    others[2].step++;
    others[3].layer++;
    char text[65], other[65];
    mask(&base, 64, text);
    for (int i = 0; i < 4; i++) {
        mask(&others[i], 64, other);
        cr_expect_str_neq(text, other, "change %d", i);
    }
}

Test(ref_random, dropout_scales_and_keeps_the_mean) {
    enum { COUNT = 100000 };
    float *x = ones(COUNT), *y = test_floats(COUNT);
    const oce_dropout dropout = {.keep_prob = 0.8F, .seed = seed, .step = 4, .layer = 2};
    cr_assert_eq(oce_ref_dropout(&dropout, COUNT, x, y), OCE_OK);
    int kept = 0;
    for (int i = 0; i < COUNT; i++) {
        cr_assert(y[i] == 0.0F || y[i] == 1.25F, "element %d is %g", i, (double)y[i]);
        kept += y[i] != 0.0F;
    }
    /* Five standard deviations of the binomial are 632. */
    cr_expect(abs(kept - 80000) < 632, "%d of 100000 kept", kept);
    free(y);
    free(x);
}

Test(ref_random, dropout_with_keep_prob_one_copies) {
    const float x[6] = {-0.0F, 1e-40F, INFINITY, -3.5F, NAN, 0.1F};
    float y[6];
    const oce_dropout dropout = {.keep_prob = 1.0F, .seed = seed};
    cr_assert_eq(oce_ref_dropout(&dropout, 6, x, y), OCE_OK);
    expect_bytes(y, x, sizeof y, "copy");
}

Test(ref_random, dropout_refuses_other_probabilities) {
    const float wrong[] = {0.0F, -0.5F, 1.5F, NAN};
    float x = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const oce_dropout dropout = {.keep_prob = wrong[i]};
        cr_expect_eq(oce_ref_dropout(&dropout, 1, &x, &x), OCE_ERROR_INVALID_ARGUMENT);
    }
}

Test(ref_random, truncated_normal_gives_the_known_numbers) {
    enum { COUNT = 306097 };
    static const struct {
        size_t element;
        float value;
    } known[] = {
        {0, -0.0176978074F},      {1, 0.00632769661F},
        {2, -0.0162725337F},      {15, 0.050550092F}, /* from the second pair of words */
        {190131, -0.022598248F},                      /* from the second attempt */
        {306096, -0.0316247679F},                     /* from the second attempt */
    };
    float *y = test_floats(COUNT);
    oce_ref_truncated_normal(seed, 3, 0.05F, COUNT, y);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        expect_floats(&y[known[i].element], &known[i].value, 1, NULL,
                      (compare_limit){.relative = 1e-7}, "element %zu", known[i].element);
    free(y);
}

/* A normal cut to |z| < 2 has variance 0.7737413035 and fourth moment 1.4161891. */
Test(ref_random, truncated_normal_has_the_cut_distribution) {
    enum { COUNT = 200000 };
    float *z = test_floats(COUNT);
    oce_ref_truncated_normal(seed, 1, 1.0F, COUNT, z);
    double moments[5] = {0};
    int inside = 0; /* |z| < 1: 0.6826894921 / 0.9544997361 of them */
    for (int i = 0; i < COUNT; i++) {
        cr_assert(fabs((double)z[i]) <= 2.0, "element %d is %g", i, (double)z[i]);
        double power = 1;
        for (int m = 1; m <= 4; m++)
            moments[m] += (power *= (double)z[i]) / COUNT;
        inside += fabs((double)z[i]) < 1.0;
    }
    /* Five standard errors each. */
    cr_expect_float_eq(moments[1], 0.0, 0.0099, "mean %g", moments[1]);
    cr_expect_float_eq(moments[2], 0.7737413, 0.0101, "variance %g", moments[2]);
    cr_expect_float_eq(moments[3], 0.0, 0.022, "third moment %g", moments[3]);
    cr_expect_float_eq(moments[4], 1.4161891, 0.029, "fourth moment %g", moments[4]);
    cr_expect_float_eq((double)inside / COUNT, 0.7152327, 0.0051, "%d inside 1", inside);
    free(z);
}

Test(ref_random, truncated_normal_depends_on_seed_layer_and_element_only) {
    float base[32], again[16], other[32];
    oce_ref_truncated_normal(seed, 1, 0.05F, 32, base);
    oce_ref_truncated_normal(seed, 1, 0.05F, 16, again);
    expect_bytes(again, base, sizeof again, "a shorter tensor of the same seed and layer");
    oce_ref_truncated_normal(seed, 2, 0.05F, 32, other);
    cr_expect(memcmp(base, other, sizeof base) != 0, "layers 1 and 2 agree");
    oce_ref_truncated_normal(seed + (UINT64_C(1) << 32), 1, 0.05F, 32, other);
    cr_expect(memcmp(base, other, sizeof base) != 0, "the seed's upper half does not count");
}
