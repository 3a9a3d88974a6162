/*
 * CIFAR-10's binary version: records of one label byte and the planes R, G, B of a 32x32 image,
 * each row-major. Stored here as NHWC.
 */
#include "data/dataset.h"
#include "data/reader.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    PLANE = OCE_CIFAR_SIZE * OCE_CIFAR_SIZE,
    CHANNELS = 3,
    RECORD_BYTES = 1 + CHANNELS * PLANE,
    BATCH_RECORDS = 10000, /* in each of the publisher's files */
    TRAIN_FILES = 5,
    FIRST_CAPACITY = 1024 /* records allocated for a file of unknown length */
};

static const char *const folders[] = {"", "cifar-10-batches-bin", "cifar10",
                                      "cifar10/cifar-10-batches-bin"};

const char *const oce_cifar10_names[OCE_CIFAR_CLASSES] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

static const oce_example_shape shape = {OCE_CIFAR_SIZE, OCE_CIFAR_SIZE, CHANNELS, OCE_CIFAR_CLASSES,
                                        oce_cifar10_names};

/* Checks a record and stores it as example `index`. */
static oce_status store(const oce_reader *reader, const uint8_t *record, oce_dataset *dataset,
                        int64_t index) {
    const uint64_t begin = oce_reader_offset(reader) - RECORD_BYTES;
    OCE_REQUIRE(record[0] < OCE_CIFAR_CLASSES, OCE_ERROR_FORMAT,
                "%s: label %d at byte %" PRIu64 "%s (record %" PRIu64 "), expected 0 to 9",
                oce_reader_path(reader), record[0], begin, oce_reader_unit(reader),
                begin / RECORD_BYTES);
    *oce_dataset_label(dataset, index) = record[0];
    uint8_t *pixels = oce_dataset_pixels(dataset, index);
    for (int channel = 0; channel < CHANNELS; channel++)
        for (int i = 0; i < PLANE; i++)
            pixels[i * CHANNELS + channel] = record[1 + channel * PLANE + i];
    return OCE_OK;
}

static oce_status read_batch_file(oce_reader *reader, oce_dataset *dataset, int64_t first) {
    const uint64_t needed = (uint64_t)BATCH_RECORDS * RECORD_BYTES;
    OCE_REQUIRE(oce_reader_capacity(reader) >= needed, OCE_ERROR_FORMAT,
                "%s: truncated: expected 10000 records, %" PRIu64
                " bytes, but the file can hold no more than %" PRIu64,
                oce_reader_path(reader), needed, oce_reader_capacity(reader));
    OCE_TRY(oce_dataset_resize(dataset, first + BATCH_RECORDS));
    uint8_t record[RECORD_BYTES];
    for (int64_t i = 0; i < BATCH_RECORDS; i++) {
        OCE_TRY(oce_reader_exactly(reader, record, sizeof record, "record"));
        OCE_TRY(store(reader, record, dataset, first + i));
    }
    return oce_reader_at_end(reader);
}

/* Reads `files` batch files one after the other into the set, which starts with one example. */
static oce_status read_directory(const char *directory, bool test, oce_dataset *dataset) {
    for (int file = 0; file < (test ? 1 : TRAIN_FILES); file++) {
        char name[32] = "test_batch.bin";
        if (!test)
            snprintf(name, sizeof name, "data_batch_%d.bin", file + 1);
        oce_reader *reader;
        OCE_TRY(oce_reader_find(directory, folders, 4, name, "cifar10", &reader));
        const oce_status status = read_batch_file(reader, dataset, (int64_t)file * BATCH_RECORDS);
        oce_reader_close(reader);
        OCE_TRY(status);
    }
    return oce_dataset_describe(dataset, "CIFAR-10 %s: %" PRId64 " images 32x32x3 from %s",
                                test ? "test" : "training", oce_dataset_count(dataset), directory);
}

oce_status oce_dataset_open_cifar10(const char *directory, oce_split split, oce_dataset **dataset) {
    OCE_REQUIRE(dataset, OCE_ERROR_INVALID_ARGUMENT, "CIFAR-10: no place for the result");
    *dataset = NULL;
    OCE_REQUIRE(directory, OCE_ERROR_INVALID_ARGUMENT, "CIFAR-10: the directory is NULL");
    OCE_REQUIRE(split != OCE_SPLIT_VALIDATION, OCE_ERROR_INVALID_ARGUMENT,
                "CIFAR-10 has no validation split: hold out a part of the training split");
    OCE_REQUIRE(split == OCE_SPLIT_TRAIN || split == OCE_SPLIT_TEST, OCE_ERROR_INVALID_ARGUMENT,
                "CIFAR-10: no split %d", (int)split);
    oce_dataset *made;
    OCE_TRY(oce_dataset_allocate(&shape, 1, &made));
    const oce_status status = read_directory(directory, split == OCE_SPLIT_TEST, made);
    if (status != OCE_OK) {
        oce_dataset_destroy(made);
        return status;
    }
    *dataset = made;
    return OCE_OK;
}

/* Records to allocate for before any was read: no more than the file can hold. */
static int64_t first_capacity(const oce_reader *reader) {
    const uint64_t most = oce_reader_capacity(reader) / RECORD_BYTES;
    return most < 1 ? 1 : most < FIRST_CAPACITY ? (int64_t)most : FIRST_CAPACITY;
}

static oce_status read_all(oce_reader *reader, oce_dataset *dataset, int64_t capacity) {
    uint8_t record[RECORD_BYTES];
    int64_t count = 0;
    for (;; count++) {
        size_t got;
        OCE_TRY(oce_reader_read(reader, record, sizeof record, &got));
        if (got == 0)
            break;
        OCE_REQUIRE(got == RECORD_BYTES, OCE_ERROR_FORMAT,
                    "%s: ends at byte %" PRIu64 "%s, %zu bytes into record %" PRId64
                    "; expected a multiple of %d bytes",
                    oce_reader_path(reader), oce_reader_offset(reader), oce_reader_unit(reader),
                    got, count, RECORD_BYTES);
        if (count == capacity) {
            OCE_REQUIRE(capacity <= INT32_MAX / 2, OCE_ERROR_OVERFLOW,
                        "%s: more than %" PRId64 " records", oce_reader_path(reader), capacity);
            capacity *= 2;
            OCE_TRY(oce_dataset_resize(dataset, capacity));
        }
        OCE_TRY(store(reader, record, dataset, count));
    }
    OCE_REQUIRE(count >= 1, OCE_ERROR_FORMAT, "%s: empty: expected records of %d bytes",
                oce_reader_path(reader), RECORD_BYTES);
    OCE_TRY(oce_dataset_resize(dataset, count));
    return oce_dataset_describe(dataset, "CIFAR-10 records: %" PRId64 " images 32x32x3 from %s",
                                count, oce_reader_path(reader));
}

oce_status oce_dataset_open_cifar10_file(const char *path, oce_dataset **dataset) {
    OCE_REQUIRE(dataset, OCE_ERROR_INVALID_ARGUMENT, "CIFAR-10: no place for the result");
    *dataset = NULL;
    OCE_REQUIRE(path, OCE_ERROR_INVALID_ARGUMENT, "CIFAR-10: the file name is NULL");
    oce_reader *reader;
    OCE_TRY(oce_reader_open(path, &reader));
    oce_dataset *made = NULL;
    const int64_t capacity = first_capacity(reader);
    oce_status status = oce_dataset_allocate(&shape, capacity, &made);
    if (status == OCE_OK)
        status = read_all(reader, made, capacity);
    oce_reader_close(reader);
    if (status != OCE_OK) {
        oce_dataset_destroy(made);
        return status;
    }
    *dataset = made;
    return OCE_OK;
}
