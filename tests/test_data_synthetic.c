/* src/data/synthetic*.c: the drawn sets. */
#include <criterion/criterion.h>

#include <ocelli/data.h>

#include "data/synthetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char *const names[] = {"mnist", "cifar10"};

static oce_dataset *draw(const char *name, oce_split split, uint64_t seed, int64_t count) {
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_synthetic(name, split, seed, count, &dataset), OCE_OK, "%s",
                 oce_last_error());
    return dataset;
}

static size_t image_bytes(const oce_dataset *dataset) {
    return (size_t)(oce_dataset_height(dataset) * oce_dataset_width(dataset) *
                    oce_dataset_channels(dataset));
}

/* CRC-32 of pixels and labels. */
static unsigned long checksum(const oce_dataset *dataset) {
    const size_t count = (size_t)oce_dataset_count(dataset);
    const unsigned long crc =
        crc32(0, oce_dataset_images(dataset), (uInt)(count * image_bytes(dataset)));
    return crc32(crc, oce_dataset_labels(dataset), (uInt)count);
}

static void expect_checksum(const char *name, oce_split split, uint64_t seed,
                            unsigned long expected) {
    oce_dataset *dataset = draw(name, split, seed, 500);
    cr_assert_eq(checksum(dataset), expected, "%s, split %d: checksum 0x%08lx", name, (int)split,
                 checksum(dataset));
    oce_dataset_destroy(dataset);
}

/* The same bits on every machine and with every compiler. A change of the drawing changes these,
 * and results obtained with the old set can no longer be repeated. */
Test(synthetic, has_the_same_bits_everywhere) {
    expect_checksum("mnist", OCE_SPLIT_TRAIN, 1, 0xE9671366);
    expect_checksum("mnist", OCE_SPLIT_VALIDATION, 1, 0xE96C4687);
    expect_checksum("mnist", OCE_SPLIT_TEST, (uint64_t)1 << 40, 0x2C2FA651);
    expect_checksum("cifar10", OCE_SPLIT_TRAIN, 1, 0x8C11A9EA);
    expect_checksum("cifar10", OCE_SPLIT_TEST, (uint64_t)1 << 40, 0x52BCC6EB);
}

Test(synthetic, an_example_depends_on_seed_split_and_index_alone) {
    for (int k = 0; k < 2; k++) {
        oce_dataset *few = draw(names[k], OCE_SPLIT_TRAIN, 3, 20);
        oce_dataset *many = draw(names[k], OCE_SPLIT_TRAIN, 3, 50);
        oce_dataset *other_seed = draw(names[k], OCE_SPLIT_TRAIN, 4, 20);
        oce_dataset *other_split = draw(names[k], OCE_SPLIT_TEST, 3, 20);
        const size_t bytes = image_bytes(few) * 20;
        cr_assert_eq(memcmp(oce_dataset_images(few), oce_dataset_images(many), bytes), 0);
        cr_assert_eq(memcmp(oce_dataset_labels(few), oce_dataset_labels(many), 20), 0);
        cr_assert_neq(memcmp(oce_dataset_images(few), oce_dataset_images(other_seed), bytes), 0);
        cr_assert_neq(memcmp(oce_dataset_labels(few), oce_dataset_labels(other_seed), 20), 0);
        cr_assert_neq(memcmp(oce_dataset_images(few), oce_dataset_images(other_split), bytes), 0);
        cr_assert_neq(memcmp(oce_dataset_labels(few), oce_dataset_labels(other_split), 20), 0);
        oce_dataset_destroy(few);
        oce_dataset_destroy(many);
        oce_dataset_destroy(other_seed);
        oce_dataset_destroy(other_split);
    }
}

static void expect_shape(const char *name, int64_t size, int64_t channels, const char *first,
                         const char *last) {
    oce_dataset *dataset = draw(name, OCE_SPLIT_TRAIN, 1, 3);
    cr_assert_eq(oce_dataset_count(dataset), 3);
    cr_assert_eq(oce_dataset_height(dataset), size);
    cr_assert_eq(oce_dataset_width(dataset), size);
    cr_assert_eq(oce_dataset_channels(dataset), channels);
    cr_assert_eq(oce_dataset_classes(dataset), 10);
    cr_assert_str_eq(oce_dataset_class_name(dataset, 0), first);
    cr_assert_str_eq(oce_dataset_class_name(dataset, 9), last);
    cr_assert(oce_dataset_is_synthetic(dataset));
    oce_dataset *slice;
    cr_assert_eq(oce_dataset_slice(dataset, 1, 1, &slice), OCE_OK);
    cr_assert(oce_dataset_is_synthetic(slice));
    oce_dataset_destroy(slice);
    oce_dataset_destroy(dataset);
}

Test(synthetic, sets_have_the_shapes_of_the_real_ones) {
    expect_shape("mnist", 28, 1, "0", "9");
    expect_shape("cifar10", 32, 3, "disc", "dots");
}

Test(synthetic, says_plainly_what_it_is) {
    oce_dataset *digits = draw("mnist", OCE_SPLIT_VALIDATION, 12, 7);
    cr_assert_str_eq(oce_dataset_description(digits),
                     "synthetic digits (drawn by the library, not MNIST) validation: 7 images "
                     "28x28x1, seed 12");
    oce_dataset *shapes = draw("cifar10", OCE_SPLIT_TEST, 0, 1);
    cr_assert_str_eq(oce_dataset_description(shapes),
                     "synthetic shapes (drawn by the library, not CIFAR-10) test: 1 images "
                     "32x32x3, seed 0");
    oce_dataset_destroy(digits);
    oce_dataset_destroy(shapes);
}

Test(synthetic, zero_means_the_full_size) {
    oce_dataset *dataset = draw("mnist", OCE_SPLIT_VALIDATION, 1, 0);
    cr_assert_eq(oce_dataset_count(dataset), 5000);
    oce_dataset_destroy(dataset);
    dataset = draw("mnist", OCE_SPLIT_TEST, 1, 0);
    cr_assert_eq(oce_dataset_count(dataset), 10000);
    oce_dataset_destroy(dataset);
    dataset = draw("cifar10", OCE_SPLIT_TEST, 1, 0);
    cr_assert_eq(oce_dataset_count(dataset), 10000);
    oce_dataset_destroy(dataset);
}

Test(synthetic, refuses_bad_arguments) {
    const oce_status invalid = OCE_ERROR_INVALID_ARGUMENT;
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_synthetic("imagenet", OCE_SPLIT_TRAIN, 1, 1, &dataset), invalid);
    cr_assert_null(dataset);
    cr_assert_str_eq(oce_last_error(),
                     "no synthetic set 'imagenet': there are 'mnist' and 'cifar10'");
    cr_assert_eq(oce_dataset_synthetic(NULL, OCE_SPLIT_TRAIN, 1, 1, &dataset), invalid);
    cr_assert_eq(oce_dataset_synthetic("mnist", OCE_SPLIT_TRAIN, 1, 1, NULL), invalid);
    cr_assert_eq(oce_dataset_synthetic("mnist", (oce_split)3, 1, 1, &dataset), invalid);
    cr_assert_eq(oce_dataset_synthetic("mnist", OCE_SPLIT_TRAIN, 1, -1, &dataset), invalid);
    cr_assert_eq(oce_dataset_synthetic("mnist", OCE_SPLIT_TRAIN, 1, 1000001, &dataset), invalid);
    cr_assert_eq(oce_dataset_synthetic("cifar10", OCE_SPLIT_VALIDATION, 1, 1, &dataset), invalid);
}

Test(synthetic, classes_are_equally_likely) {
    for (int k = 0; k < 2; k++) {
        oce_dataset *dataset = draw(names[k], OCE_SPLIT_TRAIN, 1, 4000);
        int counts[10] = {0};
        for (int i = 0; i < 4000; i++)
            counts[oce_dataset_labels(dataset)[i]]++;
        for (int c = 0; c < 10; c++) /* 400, standard deviation 19 */
            cr_assert(counts[c] > 305 && counts[c] < 495, "class %d: %d of 4000", c, counts[c]);
        oce_dataset_destroy(dataset);
    }
}

/* Ink in the middle, none at the rim, and not the same for each. */
Test(synthetic, digits_stand_in_the_middle) {
    oce_dataset *dataset = draw("mnist", OCE_SPLIT_TRAIN, 1, 500);
    double middle = 0.0, rim = 0.0;
    for (int i = 0; i < 500; i++) {
        const uint8_t *pixels = oce_dataset_images(dataset) + i * 784;
        double ink = 0.0;
        for (int y = 0; y < 28; y++)
            for (int x = 0; x < 28; x++) {
                const double value = pixels[y * 28 + x] / 255.0;
                ink += value;
                if (y < 2 || y >= 26 || x < 2 || x >= 26)
                    rim += value / (208.0 * 500);
                else if (y >= 8 && y < 20 && x >= 8 && x < 20)
                    middle += value / (144.0 * 500);
            }
        cr_assert(ink > 10 && ink < 350, "example %d has ink %g", i, ink);
    }
    cr_assert_gt(middle, 0.2);
    cr_assert_lt(rim, 0.06);
    oce_dataset_destroy(dataset);
}

Test(synthetic, every_glyph_lies_in_its_box) {
    for (int digit = 0; digit < 10; digit++) {
        int variants;
        const oce_glyph *glyphs = oce_glyphs(digit, &variants);
        cr_assert_geq(variants, 3, "digit %d", digit);
        for (int v = 0; v < variants; v++) {
            cr_assert(glyphs[v].count >= 1 && glyphs[v].count <= 3);
            for (int s = 0; s < glyphs[v].count; s++) {
                const oce_stroke *stroke = &glyphs[v].stroke[s];
                cr_assert(stroke->count >= 2 && stroke->count <= 14);
                for (int i = 0; i < stroke->count; i++)
                    cr_assert(stroke->point[i][0] <= 100 && stroke->point[i][1] <= 100 &&
                                  stroke->point[i][0] + stroke->point[i][1] > 0,
                              "digit %d, variant %d, stroke %d, point %d", digit, v, s, i);
            }
        }
    }
}

Test(synthetic, directions_are_cosine_and_sine) {
    for (int i = -1000; i <= 1000; i++) {
        const float turns = (float)i / 1000.0F;
        const double angle = 2.0 * 3.14159265358979323846 * (double)turns;
        const oce_point direction = oce_draw_direction(turns);
        cr_assert_float_eq((double)direction.x, cos(angle), 5e-6, "%g turns", (double)turns);
        cr_assert_float_eq((double)direction.y, sin(angle), 5e-6, "%g turns", (double)turns);
    }
}

/* --- How hard the digits are ----------------------------------------------------------------- */

enum { INPUTS = 784, CLASSES = 10 };

static void logits(float weights[INPUTS + 1][CLASSES], const uint8_t *pixels, float *z) {
    memcpy(z, weights[INPUTS], CLASSES * sizeof *z);
    for (int i = 0; i < INPUTS; i++)
        for (int c = 0; pixels[i] && c < CLASSES; c++)
            z[c] += (float)pixels[i] / 255.0F * weights[i][c];
}

/* One step of stochastic gradient descent on the softmax cross entropy of one example. */
static void learn(float weights[INPUTS + 1][CLASSES], const uint8_t *pixels, int label,
                  float rate) {
    float z[CLASSES], sum = 0.0F;
    logits(weights, pixels, z);
    float largest = z[0];
    for (int c = 1; c < CLASSES; c++)
        largest = fmaxf(largest, z[c]);
    for (int c = 0; c < CLASSES; c++)
        sum += z[c] = expf(z[c] - largest);
    for (int c = 0; c < CLASSES; c++) {
        const float step = rate * (z[c] / sum - (c == label ? 1.0F : 0.0F));
        weights[INPUTS][c] -= step;
        for (int i = 0; i < INPUTS; i++)
            weights[i][c] -= step * (float)pixels[i] / 255.0F;
    }
}

/* A linear model must stay below 95 %, and above what would not be digits. (With all 55,000
 * examples and to convergence it reaches 0.87; the tutorial's network 0.994.) */
Test(synthetic, digits_are_too_hard_for_a_linear_model) {
    enum { TRAIN = 10000, TEST = 1000, EPOCHS = 4 };
    static float weights[INPUTS + 1][CLASSES];
    oce_dataset *train = draw("mnist", OCE_SPLIT_TRAIN, 1, TRAIN);
    oce_dataset *test = draw("mnist", OCE_SPLIT_TEST, 1, TEST);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int i = 0; i < TRAIN; i++)
            learn(weights, oce_dataset_images(train) + (ptrdiff_t)i * INPUTS,
                  oce_dataset_labels(train)[i], 0.01F / (float)(epoch + 1));
    int correct = 0;
    for (int i = 0; i < TEST; i++) {
        float z[CLASSES];
        int best = 0;
        logits(weights, oce_dataset_images(test) + (ptrdiff_t)i * INPUTS, z);
        for (int c = 1; c < CLASSES; c++)
            if (z[c] > z[best])
                best = c;
        correct += best == oce_dataset_labels(test)[i];
    }
    cr_assert(correct > 0.75 * TEST && correct < 0.95 * TEST, "accuracy %g",
              (double)correct / TEST);
    oce_dataset_destroy(train);
    oce_dataset_destroy(test);
}
