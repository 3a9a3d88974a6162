/* ocelli eval and predict, on models that were trained for a step or never. */
#include "support/checkpoint.h"
#include "support/command.h"
#include "support/picture.h"
#include "support/scratch.h"

#include "base/random.h"

#include <ocelli/checkpoint.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD = 1 + 3072, RECORDS = 24, DIGITS = 12, DIGIT_BYTES = 28 * 28 };

static char *folder;

static void setup(void) {
    folder = scratch_create();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(cli_predict, .init = setup, .fini = teardown);

#define RUN(...) command_ocelli(NULL, __VA_ARGS__)

#define EXPECT_FAILURE(code, text, ...)                                                            \
    do {                                                                                           \
        command_result failed_ = RUN(__VA_ARGS__);                                                 \
        expect_failure(&failed_, code, text);                                                      \
        command_free(&failed_);                                                                    \
    } while (0)

/* A file of CIFAR-10 records with random pixels. */
static void write_records(const char *path) {
    static unsigned char data[RECORDS * RECORD];
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)oce_random_below(&random, i % RECORD == 0 ? 10 : 256);
    file_store(path, data, sizeof data);
}

/* MNIST's test files with a few squares for digits. */
static void write_digits(void) {
    unsigned char images[16 + DIGITS * DIGIT_BYTES] = {0, 0, 8, 3,  0, 0, 0, DIGITS,
                                                       0, 0, 0, 28, 0, 0, 0, 28};
    unsigned char labels[8 + DIGITS] = {0, 0, 8, 1, 0, 0, 0, DIGITS};
    for (int n = 0; n < DIGITS; n++) {
        labels[8 + n] = (unsigned char)(n % 10);
        for (int y = 8; y < 20; y++)
            memset(images + 16 + n * DIGIT_BYTES + y * 28 + 4 + n, 255, 8);
    }
    file_store(scratch_path(folder, "t10k-images-idx3-ubyte"), images, sizeof images);
    file_store(scratch_path(folder, "t10k-labels-idx1-ubyte"), labels, sizeof labels);
}

/* The untrained network of the golden files as checkpoint `name`; no sidecar is there. */
static void write_start(const char *name, bool cifar10) {
    oce_bundle_writer *writer = NULL;
    array_set start = golden_start(cifar10);
    cr_assert_eq(oce_bundle_writer_create(scratch_path(folder, name), &writer), OCE_OK);
    for (size_t i = 0; i < start.count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &start.arrays[i]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
    array_set_free(&start);
}

static json_t *parse(const command_result *result) {
    json_error_t error;
    json_t *root = json_loads(result->out, JSON_REJECT_DUPLICATES, &error);
    cr_assert(root != NULL, "line %d: %s\n%s%s", error.line, error.text, result->out, result->err);
    return root;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_number(value), "no number \"%s\"", key);
    return json_number_value(value);
}

/* The line of `text` that starts with `start`, up to its end. */
static void find_line(const char *text, const char *start, char line[256]) {
    const char *found = strstr(text, start);
    cr_assert(found != NULL, "no \"%s\" in %s", start, text);
    snprintf(line, 256, "%.*s", (int)strcspn(found, "\n"), found);
}

/* ---- eval --------------------------------------------------------------------------------------
 */

/* eval restores what train saved, with the scale that it was trained with. */
Test(cli_predict, eval_says_what_train_said) {
    char trained[256], evaluated[256];
    const char *records = scratch_path(folder, "records.bin"), *model = scratch_path(folder, "run");
    write_records(records);
    command_result r = RUN("train", "cifar10", "--batch", "4", "--steps", "1", "--input-scale",
                           "0.02", "--learning-rate", "1e-4", "--train-file", records,
                           "--test-file", records, "--save-final", "--model-dir", model);
    cr_assert_eq(r.code, 0, "%s", r.err);
    find_line(r.out, "test accuracy ", trained);
    command_free(&r);
    r = RUN("eval", "cifar10", "--model-dir", model, "--test-file", records);
    cr_assert_eq(r.code, 0, "%s", r.err);
    find_line(r.out, "test accuracy ", evaluated);
    cr_expect_str_eq(evaluated, trained);
    cr_expect(strstr(r.out, "true class  airplane") != NULL &&
                  strstr(r.out, "class       images  predicted  correct  precision  recall") !=
                      NULL,
              "%s", r.out);
    cr_expect(strstr(r.err, "restored ") != NULL && strstr(r.err, "run/model-1") != NULL);
    command_free(&r);
    r = RUN("eval", "cifar10", "--model-dir", model, "--test-file", records, "--quiet",
            "--checkpoint", "model-0", "--batch", "7");
    cr_expect(r.code == 0 && r.err_size == 0 && strncmp(r.out, "test accuracy ", 14) == 0, "%s%s",
              r.out, r.err);
    cr_expect(strstr(r.out, trained) == NULL, "another checkpoint");
    command_free(&r);
    EXPECT_FAILURE(1, "model-1: the checkpoint is of network \"cifar10\", not \"mnist\"", "predict",
                   "mnist", "--model-dir", model, "x.png");
}

Test(cli_predict, eval_json) {
    write_digits();
    write_start("model", false);
    command_result r = RUN("eval", "mnist", "--checkpoint", scratch_path(folder, "model"), "--data",
                           folder, "--json");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_str_eq(r.err, "");
    json_t *root = parse(&r);
    const json_t *confusion = json_object_get(root, "confusion");
    const json_t *classes = json_object_get(root, "classes");
    cr_expect_str_eq(json_string_value(json_object_get(root, "network")), "mnist");
    cr_expect(json_is_false(json_object_get(root, "synthetic")));
    cr_expect_eq(number(root, "images"), DIGITS);
    cr_assert(json_array_size(confusion) == 10 && json_array_size(classes) == 10);
    json_int_t sum = 0, correct = 0, predicted[10] = {0};
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 10; j++) {
            const json_int_t images =
                json_integer_value(json_array_get(json_array_get(confusion, i), j));
            sum += images;
            predicted[j] += images;
            correct += i == j ? images : 0;
        }
    cr_expect_eq(sum, DIGITS);
    cr_expect_float_eq(number(root, "accuracy"), (double)correct / DIGITS, 1e-8);
    cr_expect(number(root, "loss") > 0);
    for (size_t i = 0; i < 10; i++) {
        const json_t *class = json_array_get(classes, i);
        const json_int_t hits = json_integer_value(json_array_get(json_array_get(confusion, i), i));
        cr_expect_eq(number(class, "images"), i < 2 ? 2 : 1);
        cr_expect_eq(number(class, "predicted"), (double)predicted[i]);
        cr_expect_float_eq(number(class, "recall"), (double)hits / (i < 2 ? 2 : 1), 1e-8);
        if (predicted[i] > 0)
            cr_expect_float_eq(number(class, "precision"), (double)hits / (double)predicted[i],
                               1e-8);
        else
            cr_expect(json_is_null(json_object_get(class, "precision")));
    }
    json_decref(root);
    command_free(&r);
}

Test(cli_predict, eval_of_a_model_that_diverged) {
    write_digits();
    array_set start = golden_start(false);
    oce_bundle_writer *writer = NULL;
    cr_assert_eq(oce_bundle_writer_create(scratch_path(folder, "model"), &writer), OCE_OK);
    for (size_t i = 0; i < start.count; i++) {
        if (strcmp(start.arrays[i].name, "Variable_7") == 0)
            *(float *)start.arrays[i].data = NAN;
        cr_assert_eq(oce_bundle_writer_add(writer, &start.arrays[i]), OCE_OK);
    }
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
    array_set_free(&start);
    command_result r = RUN("eval", "mnist", "--checkpoint", scratch_path(folder, "model"), "--data",
                           folder, "--json");
    json_t *root = parse(&r);
    cr_expect(json_is_null(json_object_get(root, "loss")));
    json_decref(root);
    command_free(&r);
}

Test(cli_predict, eval_errors) {
    const char *prefix = scratch_path(folder, "model"), *none = scratch_path(folder, "none");
    EXPECT_FAILURE(2, "--model-dir or --checkpoint must be given", "eval", "mnist");
    EXPECT_FAILURE(2, "is none of mnist, cifar10", "eval", "imagenet", "--model-dir", folder);
    EXPECT_FAILURE(2, "--test-file is for cifar10 only", "eval", "mnist", "--model-dir", folder,
                   "--test-file", "x");
    EXPECT_FAILURE(1, folder, "eval", "mnist", "--model-dir", folder);
    write_digits();
    EXPECT_FAILURE(1, "none.index: cannot open", "eval", "mnist", "--quiet", "--checkpoint", none,
                   "--data", folder);
    write_start("model", true);
    EXPECT_FAILURE(1, "model: tensor 'Variable' is float32 [5, 5, 3, 64] where float32 [5, 5, 1",
                   "eval", "mnist", "--quiet", "--checkpoint", prefix, "--data", folder);
    EXPECT_FAILURE(1, "t10k-images", "eval", "mnist", "--quiet", "--checkpoint", prefix, "--data",
                   none);
    size_t size = 0;
    const char *path = scratch_path(folder, "model.data-00000-of-00001");
    char *data = file_load(path, &size);
    file_store(path, data, size - 1000000);
    free(data);
    write_records(scratch_path(folder, "records.bin"));
    EXPECT_FAILURE(1, "model.data-00000-of-00001: has ", "eval", "cifar10", "--quiet",
                   "--checkpoint", prefix, "--test-file", scratch_path(folder, "records.bin"));
}

/* ---- predict -----------------------------------------------------------------------------------
 */

/* A dark square on light, as large as its number says; or a picture of one colour. */
static const char *write_picture(const char *name, picture_format format, int side) {
    static uint8_t pixels[60 * 80 * 3];
    const char *path = scratch_path(folder, name);
    memset(pixels, 255, sizeof pixels);
    for (int y = 0; y < side; y++)
        memset(pixels + ((10 + y) * 80 + 20) * 3, 0, (size_t)side * 3);
    picture_write(path, format, 60, 80, 3, pixels);
    return path;
}

static const json_t *top_of(const json_t *root, size_t image) {
    const json_t *images = json_object_get(root, "images");
    return json_object_get(json_array_get(images, image), "top");
}

/* The best three, largest first, as JSON and as text. */
Test(cli_predict, three_classes_of_each_picture) {
    write_start("model", false);
    const char *prefix = scratch_path(folder, "model");
    const char *first = write_picture("a.png", PICTURE_PNG, 20);
    const char *second = write_picture("b.bmp", PICTURE_BMP, 40);
    command_result r = RUN("predict", "mnist", "--checkpoint", prefix, first, second, "--json");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_str_eq(r.err, "");
    json_t *root = parse(&r);
    command_free(&r);
    for (size_t image = 0; image < 2; image++) {
        const json_t *top = top_of(root, image);
        cr_assert_eq(json_array_size(top), 3);
        double last = 1;
        for (size_t rank = 0; rank < 3; rank++) {
            const json_t *each = json_array_get(top, rank);
            char name[32];
            snprintf(name, sizeof name, "%d", (int)number(each, "class"));
            cr_expect_str_eq(json_string_value(json_object_get(each, "name")), name);
            cr_expect(number(each, "probability") <= last && number(each, "probability") >= 0);
            last = number(each, "probability");
        }
    }
    /* the squares differ in their size only, which the conversion takes away */
    cr_expect(json_equal(top_of(root, 0), top_of(root, 1)));
    char expected[256];
    const json_t *best = json_array_get(top_of(root, 0), 0);
    snprintf(expected, sizeof expected, "a.png: %s %.2f %%, ",
             json_string_value(json_object_get(best, "name")), 100 * number(best, "probability"));
    json_decref(root);
    r = RUN("predict", "mnist", "--checkpoint", prefix, first);
    cr_expect(r.code == 0 && strstr(r.out, expected) != NULL, "%s is not %s", r.out, expected);
    command_free(&r);
}

/* Names from standard input, more than fit one batch, give what one after the other gives. */
Test(cli_predict, names_from_standard_input_in_batches) {
    write_start("model", true);
    char input[4096] = "\n", lines[5][256];
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.jpg", i);
        const char *path = write_picture(name, PICTURE_JPEG, 8 * i + 8);
        snprintf(input + strlen(input), sizeof input - strlen(input), "%s%s", path,
                 i < 4 ? "\n" : "");
        snprintf(lines[i], sizeof lines[i], "%s: ", path);
    }
    command_result r = command_run(
        (const char *const[]){command_ocelli_path(), "predict", "cifar10", "--checkpoint",
                              scratch_path(folder, "model"), "--batch", "2", "--quiet", "-", NULL},
        NULL, input);
    cr_expect(r.code == 0 && r.err_size == 0, "%s", r.err);
    const char *at = r.out;
    for (int i = 0; i < 5; i++) {
        cr_expect(strncmp(at, lines[i], strlen(lines[i])) == 0, "line %d: %s", i, at);
        cr_expect(strstr(at, " %, ") != NULL);
        at += strcspn(at, "\n") + 1;
    }
    cr_expect(at == r.out + r.out_size);
    find_line(r.out, lines[4], lines[0]);
    command_free(&r);
    r = RUN("predict", "cifar10", "--checkpoint", scratch_path(folder, "model"), "--quiet",
            scratch_path(folder, "4.jpg"));
    cr_expect(strncmp(r.out, lines[0], strlen(lines[0])) == 0, "%s alone: %s", lines[0], r.out);
    command_free(&r);
}

/* One picture that cannot be read does not stop the others. */
Test(cli_predict, a_bad_picture_among_good_ones) {
    write_start("model", false);
    const char *prefix = scratch_path(folder, "model");
    const char *good = write_picture("good.png", PICTURE_PNG, 12);
    const char *blank = write_picture("blank.png", PICTURE_PNG, 0);
    const char *text = scratch_path(folder, "text.png"), *cut = scratch_path(folder, "cut.png");
    const char *none = scratch_path(folder, "none.png");
    file_store(text, "hello", 5);
    size_t size = 0;
    char *data = file_load(good, &size);
    file_store(cut, data, size - 20);
    free(data);
    command_result r =
        RUN("predict", "mnist", "--checkpoint", prefix, text, none, good, cut, blank, good);
    cr_expect_eq(r.code, 1);
    static const char *const reasons[] = {"text.png: is no PNG, JPEG, BMP or PNM",
                                          "none.png: cannot open", "cut.png: the picture is trunc",
                                          "blank.png: there is no digit"};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        cr_expect(strstr(r.err, reasons[i]) != NULL, "%s: %s", reasons[i], r.err);
    const char *line = strstr(r.out, "good.png: ");
    cr_expect(line != NULL && strstr(line + 1, "good.png: ") != NULL, "%s", r.out);
    cr_expect(strstr(r.out, "blank.png") == NULL, "%s", r.out);
    command_free(&r);
    r = RUN("predict", "mnist", "--checkpoint", prefix, text, good, "--json");
    cr_expect_eq(r.code, 1);
    json_t *root = parse(&r);
    const json_t *images = json_object_get(root, "images");
    cr_expect(json_array_size(images) == 2 &&
              json_is_string(json_object_get(json_array_get(images, 0), "error")));
    cr_expect_eq(json_array_size(top_of(root, 1)), 3);
    json_decref(root);
    command_free(&r);
}

Test(cli_predict, predict_errors) {
    EXPECT_FAILURE(2, "missing argument: mnist|cifar10 IMAGE...", "predict", "mnist");
    EXPECT_FAILURE(2, "is none of mnist, cifar10", "predict", "x.png", "mnist");
    EXPECT_FAILURE(2, "--model-dir or --checkpoint", "predict", "mnist", "x.png");
    EXPECT_FAILURE(1, folder, "predict", "mnist", "x.png", "--model-dir", folder);
    EXPECT_FAILURE(1, "none.index: cannot open", "predict", "mnist", "x.png", "--quiet",
                   "--checkpoint", scratch_path(folder, "none"));
}
