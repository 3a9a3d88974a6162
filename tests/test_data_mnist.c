/* src/data/mnist.c, and src/data/reader.c under it: IDX files, good and bad. */
#include <criterion/criterion.h>

#include <ocelli/data.h>

#include "support/files.h"
#include "support/scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { PIXELS = 28 * 28, SMALL = 5, IMAGES_BYTES = 16 + SMALL * PIXELS, LABELS_BYTES = 8 + SMALL };

static const char *const images_name = "t10k-images-idx3-ubyte";
static const char *const labels_name = "t10k-labels-idx1-ubyte";

static void put_word(uint8_t *at, uint32_t word) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> (24 - 8 * i));
}

static uint8_t pixel(size_t index) {
    return (uint8_t)(index * 31 + index / PIXELS);
}

/* IDX images of `count` examples; free() it. */
static uint8_t *make_images(uint32_t count, size_t *bytes) {
    *bytes = 16 + (size_t)count * PIXELS;
    uint8_t *file = malloc(*bytes);
    cr_assert_not_null(file);
    put_word(file, 2051);
    put_word(file + 4, count);
    put_word(file + 8, 28);
    put_word(file + 12, 28);
    for (size_t i = 0; i < (size_t)count * PIXELS; i++)
        file[16 + i] = pixel(i);
    return file;
}

static uint8_t *make_labels(uint32_t count, size_t *bytes) {
    *bytes = 8 + count;
    uint8_t *file = malloc(*bytes);
    cr_assert_not_null(file);
    put_word(file, 2049);
    put_word(file + 4, count);
    for (uint32_t i = 0; i < count; i++)
        file[8 + i] = (uint8_t)(i % 10);
    return file;
}

/* The small test files as bytes, for a test to damage, and what it wrote of them. */
static uint8_t images[IMAGES_BYTES + 8], labels[LABELS_BYTES + 8];

static void begin(void) {
    size_t bytes;
    test_files_begin();
    uint8_t *made = make_images(SMALL, &bytes);
    memcpy(images, made, bytes);
    free(made);
    made = make_labels(SMALL, &bytes);
    memcpy(labels, made, bytes);
    free(made);
    test_write_file(images_name, images, IMAGES_BYTES);
    test_write_file(labels_name, labels, LABELS_BYTES);
}

static oce_status open_test(oce_dataset **dataset) {
    return oce_dataset_open_mnist(test_path("."), OCE_SPLIT_TEST, dataset);
}

static void expect_small(const char *directory) {
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_open_mnist(test_path(directory), OCE_SPLIT_TEST, &dataset), OCE_OK,
                 "%s", oce_last_error());
    cr_assert_eq(oce_dataset_count(dataset), SMALL);
    cr_assert_eq(oce_dataset_height(dataset), 28);
    cr_assert_eq(oce_dataset_width(dataset), 28);
    cr_assert_eq(oce_dataset_channels(dataset), 1);
    cr_assert_eq(oce_dataset_classes(dataset), 10);
    cr_assert_str_eq(oce_dataset_class_name(dataset, 9), "9");
    cr_assert_not(oce_dataset_is_synthetic(dataset));
    for (size_t i = 0; i < SMALL * PIXELS; i++)
        cr_assert_eq(oce_dataset_images(dataset)[i], pixel(i));
    for (int i = 0; i < SMALL; i++)
        cr_assert_eq(oce_dataset_labels(dataset)[i], i);
    cr_assert(strstr(oce_dataset_description(dataset), "MNIST test: 5 images 28x28x1 from /"));
    oce_dataset_destroy(dataset);
}

/* Opening fails with `status`, and the message has all of the parts. */
static void expect_failure(oce_status status, const char *const *parts, int count) {
    oce_dataset *dataset = (oce_dataset *)images;
    cr_assert_eq(open_test(&dataset), status, "%s", oce_last_error());
    cr_assert_null(dataset);
    for (int i = 0; i < count; i++)
        cr_assert(strstr(oce_last_error(), parts[i]), "no '%s' in: %s", parts[i], oce_last_error());
}
#define EXPECT_FAILURE(status, ...)                                                                \
    expect_failure(status, (const char *const[]){__VA_ARGS__},                                     \
                   (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

TestSuite(mnist, .init = begin, .fini = test_files_end);

/* --- Good files ---------------------------------------------------------------------------- */

Test(mnist, opens_plain_files) {
    expect_small(".");
}

Test(mnist, opens_gzipped_files) {
    remove(test_path(images_name));
    remove(test_path(labels_name));
    test_write_gzip("t10k-images-idx3-ubyte.gz", images, IMAGES_BYTES);
    test_write_gzip("t10k-labels-idx1-ubyte.gz", labels, LABELS_BYTES);
    expect_small(".");
}

Test(mnist, opens_a_gzip_file_without_gz_in_its_name) {
    test_write_gzip(images_name, images, IMAGES_BYTES);
    expect_small(".");
}

Test(mnist, opens_a_gzip_file_of_two_members) {
    remove(test_path(images_name));
    test_write_gzip("a", images, 1000);
    test_write_gzip("b", images + 1000, IMAGES_BYTES - 1000);
    size_t a_bytes, b_bytes;
    uint8_t *a = test_read_file("a", &a_bytes), *b = test_read_file("b", &b_bytes);
    a = realloc(a, a_bytes + b_bytes);
    cr_assert_not_null(a);
    memcpy(a + a_bytes, b, b_bytes);
    test_write_file("t10k-images-idx3-ubyte.gz", a, a_bytes + b_bytes);
    free(a);
    free(b);
    expect_small(".");
}

Test(mnist, looks_into_the_folder_mnist) {
    test_make_folder("data/mnist");
    test_write_file("data/mnist/t10k-images-idx3-ubyte", images, IMAGES_BYTES);
    test_write_file("data/mnist/t10k-labels-idx1-ubyte", labels, LABELS_BYTES);
    expect_small("data");
}

/* The first 5,000 training examples are the validation split, the rest the training split. */
Test(mnist, cuts_the_training_files) {
    size_t bytes;
    uint8_t *file = make_images(5003, &bytes);
    test_write_file("train-images-idx3-ubyte", file, bytes);
    free(file);
    file = make_labels(5003, &bytes);
    test_write_file("train-labels-idx1-ubyte", file, bytes);
    free(file);
    oce_dataset *train, *validation;
    cr_assert_eq(oce_dataset_open_mnist(test_path("."), OCE_SPLIT_TRAIN, &train), OCE_OK);
    cr_assert_eq(oce_dataset_open_mnist(test_path("."), OCE_SPLIT_VALIDATION, &validation), OCE_OK);
    cr_assert_eq(oce_dataset_count(train), 3);
    cr_assert_eq(oce_dataset_count(validation), 5000);
    for (size_t i = 0; i < PIXELS; i++) {
        cr_assert_eq(oce_dataset_images(validation)[i], pixel(i));
        cr_assert_eq(oce_dataset_images(train)[i], pixel((size_t)5000 * PIXELS + i));
    }
    cr_assert_eq(oce_dataset_labels(train)[2], 5002 % 10);
    cr_assert(strstr(oce_dataset_description(train), "MNIST training: 3 images"));
    cr_assert(strstr(oce_dataset_description(validation), "MNIST validation: 5000 images"));
    oce_dataset_destroy(train);
    oce_dataset_destroy(validation);
}

/* --- Missing and unreadable ---------------------------------------------------------------- */

Test(mnist, reports_a_missing_file) {
    remove(test_path(labels_name));
    EXPECT_FAILURE(OCE_ERROR_NOT_FOUND, "t10k-labels-idx1-ubyte", ".gz", test_path("."), "/mnist",
                   "tools/fetch-data mnist");
}

Test(mnist, reports_a_missing_directory) {
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_open_mnist(test_path("none"), OCE_SPLIT_TRAIN, &dataset),
                 OCE_ERROR_NOT_FOUND);
    cr_assert(strstr(oce_last_error(), "train-images-idx3-ubyte"));
    cr_assert(strstr(oce_last_error(), test_path("none")));
}

Test(mnist, reports_a_folder_in_place_of_a_file) {
    remove(test_path(images_name));
    test_make_folder(images_name);
    EXPECT_FAILURE(OCE_ERROR_IO, images_name, "not a regular file");
}

Test(mnist, reports_a_pipe_in_place_of_a_file) {
    remove(test_path(images_name));
    char command[SCRATCH_PATH_BYTES + 16];
    snprintf(command, sizeof command, "mkfifo '%s'", test_path(images_name));
    cr_assert_eq(system(command), 0);
    EXPECT_FAILURE(OCE_ERROR_IO, images_name, "not a regular file");
}

Test(mnist, refuses_bad_arguments) {
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_open_mnist(NULL, OCE_SPLIT_TEST, &dataset),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_dataset_open_mnist(".", (oce_split)7, &dataset), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_dataset_open_mnist(".", OCE_SPLIT_TEST, NULL), OCE_ERROR_INVALID_ARGUMENT);
}

Test(mnist, refuses_a_path_that_is_too_long) {
    char path[5000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_open_mnist(path, OCE_SPLIT_TEST, &dataset),
                 OCE_ERROR_INVALID_ARGUMENT);
}

/* --- Wrong contents ------------------------------------------------------------------------ */

Test(mnist, reports_a_wrong_magic_number) {
    put_word(images, 2049);
    test_write_file(images_name, images, IMAGES_BYTES);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "magic number 2049 at byte 0", "expected 2051");
    put_word(images, 2051);
    test_write_file(images_name, images, IMAGES_BYTES);
    put_word(labels, 2051);
    test_write_file(labels_name, labels, LABELS_BYTES);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, labels_name, "magic number 2051 at byte 0", "expected 2049");
}

Test(mnist, reports_counts_that_differ) {
    put_word(labels + 4, SMALL - 1);
    test_write_file(labels_name, labels, LABELS_BYTES - 1);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, labels_name, "count 4 at byte 4", "expected 5", images_name);
}

Test(mnist, reports_a_count_of_zero) {
    put_word(images + 4, 0);
    test_write_file(images_name, images, 16);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "count 0 at byte 4");
}

Test(mnist, reports_wrong_image_sizes) {
    put_word(images + 12, 29);
    test_write_file(images_name, images, IMAGES_BYTES);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "28x29 at byte 8", "expected 28x28");
    put_word(images + 12, 28);
    put_word(images + 8, 0x80000000U);
    test_write_file(images_name, images, IMAGES_BYTES);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "2147483648x28");
}

/* A header that claims more than the file holds fails before anything is allocated. */
Test(mnist, refuses_a_huge_count) {
    static const uint32_t counts[] = {SMALL + 1, 60000, 0x7FFFFFFF, 0x80000000U, 0xFFFFFFFFU};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char found[32];
        snprintf(found, sizeof found, "count %u", counts[i]);
        put_word(images + 4, counts[i]);
        test_write_file(images_name, images, IMAGES_BYTES);
        EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, found);
    }
    put_word(images + 4, 0x7FFFFFFF);
    remove(test_path(images_name));
    test_write_gzip("t10k-images-idx3-ubyte.gz", images, IMAGES_BYTES);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "count 2147483647", "can hold no more than");
}

Test(mnist, reports_a_label_out_of_range) {
    labels[8 + 3] = 10;
    test_write_file(labels_name, labels, LABELS_BYTES);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, labels_name, "label 10 at byte 11", "expected 0 to 9");
}

Test(mnist, reports_truncation_wherever_it_is) {
    static const size_t lengths[] = {0, 1, 3, 4, 15, 16, 17, 16 + PIXELS, IMAGES_BYTES - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        test_write_file(images_name, images, lengths[i]);
        EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "truncated");
    }
    test_write_file(images_name, images, 10);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, "ends at byte 10", "expected 16 bytes of header from byte 0",
                   "found 10");
    test_write_file(images_name, images, IMAGES_BYTES);
    test_write_file(labels_name, labels, 7);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, labels_name, "truncated");
    test_write_file(labels_name, labels, LABELS_BYTES - 1);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, labels_name, "truncated", "count 5 at byte 4 needs 13 bytes",
                   "no more than 12");
}

Test(mnist, reports_bytes_after_the_end) {
    test_write_file(images_name, images, IMAGES_BYTES + 1);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, images_name, "too long", "expected to end at byte 3936");
    test_write_file(images_name, images, IMAGES_BYTES);
    test_write_file(labels_name, labels, LABELS_BYTES + 8);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, labels_name, "too long", "expected to end at byte 13");
}

Test(mnist, refuses_too_few_training_examples) {
    test_write_file("train-images-idx3-ubyte", images, IMAGES_BYTES);
    test_write_file("train-labels-idx1-ubyte", labels, LABELS_BYTES);
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_open_mnist(test_path("."), OCE_SPLIT_TRAIN, &dataset),
                 OCE_ERROR_FORMAT);
    cr_assert(strstr(oce_last_error(), "5 examples: expected more than the 5000"));
}

/* --- Damaged compression ------------------------------------------------------------------- */

/* Makes the images a gzip file and returns its bytes, for the test to damage; free() it. */
static uint8_t *compress_images(size_t *bytes) {
    remove(test_path(images_name));
    test_write_gzip("t10k-images-idx3-ubyte.gz", images, IMAGES_BYTES);
    return test_read_file("t10k-images-idx3-ubyte.gz", bytes);
}

Test(mnist, reports_a_bad_crc) {
    size_t bytes;
    uint8_t *file = compress_images(&bytes);
    file[bytes - 8] ^= 1; /* the trailer: CRC-32, then the length */
    test_write_file("t10k-images-idx3-ubyte.gz", file, bytes);
    free(file);
    EXPECT_FAILURE(OCE_ERROR_CHECKSUM, "t10k-images-idx3-ubyte.gz", "CRC-32");
}

Test(mnist, reports_a_bad_gzip_length) {
    size_t bytes;
    uint8_t *file = compress_images(&bytes);
    file[bytes - 4] ^= 1;
    test_write_file("t10k-images-idx3-ubyte.gz", file, bytes);
    free(file);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, "t10k-images-idx3-ubyte.gz", "damaged gzip stream near byte");
}

Test(mnist, reports_a_truncated_gzip_file_wherever_it_ends) {
    size_t bytes;
    uint8_t *file = compress_images(&bytes);
    const size_t lengths[] = {2, 5, 10, bytes / 2, bytes - 9, bytes - 8, bytes - 4, bytes - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        test_write_file("t10k-images-idx3-ubyte.gz", file, lengths[i]);
        EXPECT_FAILURE(OCE_ERROR_FORMAT, "t10k-images-idx3-ubyte.gz", "truncated");
    }
    free(file);
}

Test(mnist, reports_bytes_after_a_gzip_stream) {
    size_t bytes;
    uint8_t *file = compress_images(&bytes);
    file = realloc(file, bytes + 3);
    cr_assert_not_null(file);
    memset(file + bytes, 'x', 3);
    test_write_file("t10k-images-idx3-ubyte.gz", file, bytes + 3);
    free(file);
    char from[64];
    snprintf(from, sizeof from, "from byte %zu of %zu on", bytes, bytes + 3);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, "t10k-images-idx3-ubyte.gz", "trailing bytes", from);
}

Test(mnist, reports_contents_after_the_end_of_a_gzip_file) {
    remove(test_path(images_name));
    test_write_gzip("t10k-images-idx3-ubyte.gz", images, IMAGES_BYTES + 1);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, "too long", "byte 3936 of the decompressed contents");
}

Test(mnist, reports_missing_contents_of_a_gzip_file) {
    remove(test_path(images_name));
    test_write_gzip("t10k-images-idx3-ubyte.gz", images, IMAGES_BYTES - 1);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, "truncated", "byte 3935 of the decompressed contents");
}

/* Any damaged byte is an error or (in the header's unused fields) harmless, and never a crash. */
Test(mnist, survives_every_damaged_byte) {
    size_t bytes;
    uint8_t *file = compress_images(&bytes);
    int harmless = 0;
    for (size_t i = 0; i < bytes; i++) {
        oce_dataset *dataset;
        file[i] ^= 0x55;
        test_write_file("t10k-images-idx3-ubyte.gz", file, bytes);
        file[i] ^= 0x55;
        harmless += open_test(&dataset) == OCE_OK;
        oce_dataset_destroy(dataset);
    }
    free(file);
    cr_assert_leq(harmless, 10, "%d damaged files were accepted", harmless);
}

/* --- Real data ----------------------------------------------------------------------------- */

static oce_dataset *open_real(oce_split split) {
    const char *data = getenv("OCELLI_DATA");
    oce_dataset *dataset = NULL;
    if (data) {
        const oce_status status = oce_dataset_open_mnist(data, split, &dataset);
        cr_assert(status == OCE_OK || status == OCE_ERROR_NOT_FOUND, "%s", oce_last_error());
    }
    if (!dataset)
        cr_skip_test("no MNIST files: set OCELLI_DATA");
    return dataset;
}

Test(mnist, reads_the_real_training_set) {
    oce_dataset *train = open_real(OCE_SPLIT_TRAIN), *validation = open_real(OCE_SPLIT_VALIDATION);
    cr_assert_eq(oce_dataset_count(train), 55000);
    cr_assert_eq(oce_dataset_count(validation), 5000);
    static const uint8_t first[] = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4};
    cr_assert_eq(memcmp(oce_dataset_labels(validation), first, sizeof first), 0);
    double sum = 0.0, squares = 0.0;
    for (int part = 0; part < 2; part++) {
        const uint8_t *pixels = oce_dataset_images(part ? train : validation);
        for (size_t i = 0; i < (part ? 55000U : 5000U) * (size_t)PIXELS; i++) {
            sum += pixels[i] / 255.0;
            squares += pixels[i] / 255.0 * (pixels[i] / 255.0);
        }
    }
    const double mean = sum / (60000.0 * PIXELS);
    cr_assert_float_eq(mean, 0.13066, 5e-6);
    cr_assert_float_eq(sqrt(squares / (60000.0 * PIXELS) - mean * mean), 0.30811, 5e-6);
    oce_dataset_destroy(train);
    oce_dataset_destroy(validation);
}

Test(mnist, reads_the_real_test_set) {
    oce_dataset *test = open_real(OCE_SPLIT_TEST);
    cr_assert_eq(oce_dataset_count(test), 10000);
    static const uint8_t first[] = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9};
    cr_assert_eq(memcmp(oce_dataset_labels(test), first, sizeof first), 0);
    oce_dataset_destroy(test);
}
