/* src/data/cifar10.c: files of CIFAR-10 records, good and bad. */
#include <criterion/criterion.h>

#include <ocelli/data.h>

#include "support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLANE = 1024, RECORD = 3073, BATCH = 10000, SMALL = 4 };

/* Byte `i` of the pixels of record `record`, in the file's order (planes). */
static uint8_t stored(size_t record, size_t i) {
    return (uint8_t)(record * 7 + i * 5 + i / PLANE);
}

/* `count` records whose labels count up from `first`; free() it. */
static uint8_t *make_records(size_t count, size_t first) {
    uint8_t *records = malloc(count * RECORD + 1);
    cr_assert_not_null(records);
    for (size_t r = 0; r < count; r++) {
        records[r * RECORD] = (uint8_t)((first + r) % 10);
        for (size_t i = 0; i < 3 * PLANE; i++)
            records[r * RECORD + 1 + i] = stored(first + r, i);
    }
    return records;
}

static void expect_example(const oce_dataset *dataset, size_t index, size_t record) {
    cr_assert_eq(oce_dataset_labels(dataset)[index], record % 10);
    const uint8_t *pixels = oce_dataset_images(dataset) + index * 3 * PLANE;
    for (size_t i = 0; i < PLANE; i++)
        for (size_t c = 0; c < 3; c++)
            cr_assert_eq(pixels[3 * i + c], stored(record, c * PLANE + i));
}

static uint8_t *small; /* SMALL records, for a test to damage */

static void begin(void) {
    test_files_begin();
    small = make_records(SMALL, 0);
}

static void end(void) {
    free(small);
    test_files_end();
}

TestSuite(cifar10, .init = begin, .fini = end);

/* The file "records" fails with `status`, and the message has all of the parts. */
static void expect_failure(oce_status status, const char *const *parts, int count) {
    oce_dataset *dataset = (oce_dataset *)small;
    cr_assert_eq(oce_dataset_open_cifar10_file(test_path("records"), &dataset), status, "%s",
                 oce_last_error());
    cr_assert_null(dataset);
    for (int i = 0; i < count; i++)
        cr_assert(strstr(oce_last_error(), parts[i]), "no '%s' in: %s", parts[i], oce_last_error());
}
#define EXPECT_FAILURE(status, ...)                                                                \
    expect_failure(status, (const char *const[]){__VA_ARGS__},                                     \
                   (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

/* --- One file ------------------------------------------------------------------------------ */

static oce_dataset *open_records(void) {
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_open_cifar10_file(test_path("records"), &dataset), OCE_OK, "%s",
                 oce_last_error());
    return dataset;
}

Test(cifar10, opens_one_file) {
    test_write_file("records", small, SMALL * RECORD);
    oce_dataset *dataset = open_records();
    cr_assert_eq(oce_dataset_count(dataset), SMALL);
    cr_assert_eq(oce_dataset_height(dataset), 32);
    cr_assert_eq(oce_dataset_width(dataset), 32);
    cr_assert_eq(oce_dataset_channels(dataset), 3);
    cr_assert_eq(oce_dataset_classes(dataset), 10);
    cr_assert_str_eq(oce_dataset_class_name(dataset, 0), "airplane");
    cr_assert_str_eq(oce_dataset_class_name(dataset, 9), "truck");
    cr_assert_not(oce_dataset_is_synthetic(dataset));
    cr_assert(strstr(oce_dataset_description(dataset), "CIFAR-10 records: 4 images 32x32x3 from"));
    for (size_t i = 0; i < SMALL; i++)
        expect_example(dataset, i, i);
    oce_dataset_destroy(dataset);
}

Test(cifar10, opens_one_record) {
    test_write_file("records", small, RECORD);
    oce_dataset *dataset = open_records();
    cr_assert_eq(oce_dataset_count(dataset), 1);
    oce_dataset_destroy(dataset);
}

/* More records than the reader allocates for at first. */
Test(cifar10, opens_many_records) {
    uint8_t *records = make_records(2500, 0);
    for (int gzipped = 0; gzipped < 2; gzipped++) {
        if (gzipped)
            test_write_gzip("records", records, (size_t)2500 * RECORD);
        else
            test_write_file("records", records, (size_t)2500 * RECORD);
        oce_dataset *dataset = open_records();
        cr_assert_eq(oce_dataset_count(dataset), 2500);
        expect_example(dataset, 0, 0);
        expect_example(dataset, 1024, 1024);
        expect_example(dataset, 2499, 2499);
        oce_dataset_destroy(dataset);
    }
    free(records);
}

Test(cifar10, reports_a_missing_file) {
    EXPECT_FAILURE(OCE_ERROR_NOT_FOUND, test_path("records"), "No such file");
}

Test(cifar10, reports_an_empty_file) {
    test_write_file("records", "", 0);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, test_path("records"), "empty", "3073");
    test_write_gzip("records", "", 0);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, test_path("records"), "empty", "3073");
}

Test(cifar10, reports_a_length_that_is_no_multiple) {
    static const size_t lengths[] = {1, RECORD - 1, RECORD + 1, SMALL * RECORD - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char at[64];
        snprintf(at, sizeof at, "ends at byte %zu", lengths[i]);
        test_write_file("records", small, lengths[i]);
        EXPECT_FAILURE(OCE_ERROR_FORMAT, test_path("records"), at, "a multiple of 3073");
        test_write_gzip("records", small, lengths[i]);
        EXPECT_FAILURE(OCE_ERROR_FORMAT, test_path("records"), at, "decompressed");
    }
}

Test(cifar10, reports_a_label_out_of_range) {
    small[2 * RECORD] = 10;
    test_write_file("records", small, SMALL * RECORD);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, test_path("records"), "label 10 at byte 6146", "record 2",
                   "expected 0 to 9");
}

Test(cifar10, reports_a_bad_crc) {
    size_t bytes;
    test_write_gzip("records", small, SMALL * RECORD);
    uint8_t *file = test_read_file("records", &bytes);
    file[bytes - 7] ^= 0x80;
    test_write_file("records", file, bytes);
    EXPECT_FAILURE(OCE_ERROR_CHECKSUM, test_path("records"), "CRC-32");
    test_write_file("records", file, bytes - 8);
    EXPECT_FAILURE(OCE_ERROR_FORMAT, test_path("records"), "truncated");
    free(file);
}

/* --- The directory ------------------------------------------------------------------------- */

static void write_batch(const char *folder, const char *name, size_t first, bool gzipped) {
    char path[256];
    uint8_t *records = make_records(BATCH, first);
    test_make_folder(folder);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (gzipped)
        test_write_gzip(path, records, (size_t)BATCH * RECORD);
    else
        test_write_file(path, records, (size_t)BATCH * RECORD);
    free(records);
}

static void write_training(const char *folder) {
    for (size_t k = 0; k < 5; k++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%zu.bin", k + 1);
        write_batch(folder, name, k * 11, false);
    }
}

static oce_status open_folder(const char *folder, oce_split split, oce_dataset **dataset) {
    return oce_dataset_open_cifar10(test_path(folder), split, dataset);
}

Test(cifar10, opens_the_training_files_in_order) {
    write_training("data/cifar-10-batches-bin");
    oce_dataset *dataset;
    cr_assert_eq(open_folder("data", OCE_SPLIT_TRAIN, &dataset), OCE_OK, "%s", oce_last_error());
    cr_assert_eq(oce_dataset_count(dataset), 5 * BATCH);
    for (size_t k = 0; k < 5; k++) {
        expect_example(dataset, k * BATCH, k * 11);
        expect_example(dataset, k * BATCH + BATCH - 1, k * 11 + BATCH - 1);
    }
    cr_assert(strstr(oce_dataset_description(dataset), "CIFAR-10 training: 50000 images"));
    oce_dataset_destroy(dataset);
}

Test(cifar10, opens_the_test_file_wherever_it_may_be) {
    static const char *const folders[] = {"a", "b/cifar-10-batches-bin", "c/cifar10",
                                          "d/cifar10/cifar-10-batches-bin"};
    for (size_t k = 0; k < 4; k++) {
        const char name[] = {folders[k][0], '\0'};
        write_batch(folders[k], k == 1 ? "test_batch.bin.gz" : "test_batch.bin", k, k == 1);
        oce_dataset *dataset;
        cr_assert_eq(open_folder(name, OCE_SPLIT_TEST, &dataset), OCE_OK, "%s", oce_last_error());
        cr_assert_eq(oce_dataset_count(dataset), BATCH);
        expect_example(dataset, 17, 17 + k);
        cr_assert(strstr(oce_dataset_description(dataset), "CIFAR-10 test: 10000 images"));
        oce_dataset_destroy(dataset);
    }
}

static void expect_folder_failure(oce_status status, oce_split split, const char *first,
                                  const char *second) {
    oce_dataset *dataset = (oce_dataset *)small;
    cr_assert_eq(open_folder("data", split, &dataset), status, "%s", oce_last_error());
    cr_assert_null(dataset);
    cr_assert(strstr(oce_last_error(), first), "%s", oce_last_error());
    cr_assert(strstr(oce_last_error(), second), "%s", oce_last_error());
}

Test(cifar10, reports_a_missing_batch_file) {
    expect_folder_failure(OCE_ERROR_NOT_FOUND, OCE_SPLIT_TEST, "no test_batch.bin",
                          "'tools/fetch-data cifar10 DIR'");
    write_training("data");
    remove(test_path("data/data_batch_4.bin"));
    expect_folder_failure(OCE_ERROR_NOT_FOUND, OCE_SPLIT_TRAIN, "no data_batch_4.bin",
                          "data/cifar10/cifar-10-batches-bin");
}

Test(cifar10, reports_batch_files_of_a_wrong_length) {
    uint8_t *records = make_records(BATCH + 1, 0);
    const size_t full = (size_t)BATCH * RECORD;
    test_make_folder("data");
    test_write_file("data/test_batch.bin", records, full - RECORD);
    expect_folder_failure(OCE_ERROR_FORMAT, OCE_SPLIT_TEST, "data/test_batch.bin: truncated",
                          "expected 10000 records, 30730000 bytes");
    test_write_file("data/test_batch.bin", records, full + RECORD);
    expect_folder_failure(OCE_ERROR_FORMAT, OCE_SPLIT_TEST, "data/test_batch.bin: too long",
                          "expected to end at byte 30730000");
    remove(test_path("data/test_batch.bin"));
    test_write_gzip("data/test_batch.bin.gz", records, full - 100);
    expect_folder_failure(OCE_ERROR_FORMAT, OCE_SPLIT_TEST, "data/test_batch.bin.gz: truncated",
                          "found 2973");
    free(records);
}

Test(cifar10, has_no_validation_split) {
    expect_folder_failure(OCE_ERROR_INVALID_ARGUMENT, OCE_SPLIT_VALIDATION, "no validation split",
                          "hold out");
}

Test(cifar10, refuses_bad_arguments) {
    oce_dataset *dataset;
    const oce_status invalid = OCE_ERROR_INVALID_ARGUMENT;
    cr_assert_eq(oce_dataset_open_cifar10(NULL, OCE_SPLIT_TEST, &dataset), invalid);
    cr_assert_eq(oce_dataset_open_cifar10(".", (oce_split)-1, &dataset), invalid);
    cr_assert_eq(oce_dataset_open_cifar10(".", OCE_SPLIT_TEST, NULL), invalid);
    cr_assert_eq(oce_dataset_open_cifar10_file(NULL, &dataset), invalid);
    cr_assert_eq(oce_dataset_open_cifar10_file(".", NULL), invalid);
}

/* --- Real data ----------------------------------------------------------------------------- */

static oce_dataset *open_real(oce_split split) {
    const char *data = getenv("OCELLI_DATA");
    oce_dataset *dataset = NULL;
    if (data) {
        const oce_status status = oce_dataset_open_cifar10(data, split, &dataset);
        cr_assert(status == OCE_OK || status == OCE_ERROR_NOT_FOUND, "%s", oce_last_error());
    }
    if (!dataset)
        cr_skip_test("no CIFAR-10 files: set OCELLI_DATA");
    return dataset;
}

static void count_classes(const oce_dataset *dataset, int64_t examples, int counts[10]) {
    memset(counts, 0, 10 * sizeof *counts);
    for (int64_t i = 0; i < examples; i++)
        counts[oce_dataset_labels(dataset)[i]]++;
}

Test(cifar10, reads_the_real_training_set) {
    static const int first_batch[10] = {1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981};
    oce_dataset *dataset = open_real(OCE_SPLIT_TRAIN);
    int counts[10];
    cr_assert_eq(oce_dataset_count(dataset), 50000);
    count_classes(dataset, BATCH, counts);
    cr_assert_eq(memcmp(counts, first_batch, sizeof counts), 0);
    count_classes(dataset, 50000, counts);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(counts[c], 5000);
    oce_dataset_destroy(dataset);
}

Test(cifar10, reads_the_real_test_set) {
    oce_dataset *dataset = open_real(OCE_SPLIT_TEST);
    int counts[10];
    count_classes(dataset, oce_dataset_count(dataset), counts);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(counts[c], 1000);
    oce_dataset_destroy(dataset);
}
