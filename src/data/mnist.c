/*
 * MNIST's IDX files: big-endian 32-bit words, then bytes.
 *   images: 2051, count, rows, columns, then count * rows * columns pixels
 *   labels: 2049, count, then count class numbers
 */
#include "data/dataset.h"
#include "data/reader.h"

#include <inttypes.h>

enum {
    IMAGES_MAGIC = 2051,
    LABELS_MAGIC = 2049,
    IMAGES_HEADER = 16,
    LABELS_HEADER = 8,
    VALIDATION_COUNT = 5000 /* as in TensorFlow's read_data_sets() */
};

static const char *const folders[] = {"", "mnist"};

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Reads magic and count, and checks that the file can hold `count` items after its header. */
static oce_status read_header(oce_reader *reader, uint32_t magic, uint8_t *header,
                              size_t header_bytes, uint64_t item_bytes, uint32_t *count) {
    const char *path = oce_reader_path(reader);
    OCE_TRY(oce_reader_exactly(reader, header, header_bytes, "header"));
    OCE_REQUIRE(big_endian(header) == magic, OCE_ERROR_FORMAT,
                "%s: magic number %" PRIu32 " at byte 0, expected %" PRIu32 " (IDX %s)", path,
                big_endian(header), magic, magic == IMAGES_MAGIC ? "images" : "labels");
    *count = big_endian(header + 4);
    OCE_REQUIRE(*count >= 1 && *count <= INT32_MAX, OCE_ERROR_FORMAT,
                "%s: count %" PRIu32 " at byte 4, expected 1 to %d", path, *count, INT32_MAX);
    const uint64_t needed = header_bytes + *count * item_bytes;
    OCE_REQUIRE(needed <= oce_reader_capacity(reader), OCE_ERROR_FORMAT,
                "%s: truncated: count %" PRIu32 " at byte 4 needs %" PRIu64
                " bytes, but the file can hold no more than %" PRIu64,
                path, *count, needed, oce_reader_capacity(reader));
    return OCE_OK;
}

static oce_status read_images(oce_reader *reader, oce_dataset **dataset) {
    uint8_t header[IMAGES_HEADER];
    uint32_t count;
    OCE_TRY(read_header(reader, IMAGES_MAGIC, header, sizeof header,
                        OCE_DIGIT_SIZE * OCE_DIGIT_SIZE, &count));
    const uint32_t rows = big_endian(header + 8);
    const uint32_t columns = big_endian(header + 12);
    OCE_REQUIRE(rows == OCE_DIGIT_SIZE && columns == OCE_DIGIT_SIZE, OCE_ERROR_FORMAT,
                "%s: images of %" PRIu32 "x%" PRIu32 " at byte 8, expected 28x28",
                oce_reader_path(reader), rows, columns);
    const oce_example_shape shape = {OCE_DIGIT_SIZE, OCE_DIGIT_SIZE, 1, OCE_DIGIT_CLASSES, NULL};
    OCE_TRY(oce_dataset_allocate(&shape, count, dataset));
    OCE_TRY(oce_reader_exactly(reader, oce_dataset_pixels(*dataset, 0),
                               (size_t)count * OCE_DIGIT_SIZE * OCE_DIGIT_SIZE, "pixels"));
    return oce_reader_at_end(reader);
}

static oce_status read_labels(oce_reader *reader, const char *images_path, oce_dataset *dataset) {
    uint8_t header[LABELS_HEADER];
    uint32_t count;
    OCE_TRY(read_header(reader, LABELS_MAGIC, header, sizeof header, 1, &count));
    OCE_REQUIRE(count == oce_dataset_count(dataset), OCE_ERROR_FORMAT,
                "%s: count %" PRIu32 " at byte 4, expected %" PRId64 ", the count of %s",
                oce_reader_path(reader), count, oce_dataset_count(dataset), images_path);
    uint8_t *labels = oce_dataset_label(dataset, 0);
    OCE_TRY(oce_reader_exactly(reader, labels, count, "labels"));
    for (uint32_t i = 0; i < count; i++)
        OCE_REQUIRE(labels[i] < OCE_DIGIT_CLASSES, OCE_ERROR_FORMAT,
                    "%s: label %d at byte %" PRIu32 "%s, expected 0 to 9", oce_reader_path(reader),
                    labels[i], LABELS_HEADER + i, oce_reader_unit(reader));
    return oce_reader_at_end(reader);
}

/* Reads a pair of files whole; `*dataset` may be set although it fails. */
static oce_status read_pair(const char *directory, bool test, oce_dataset **dataset) {
    oce_reader *images = NULL, *labels = NULL;
    oce_status status = oce_reader_find(directory, folders, 2,
                                        test ? "t10k-images-idx3-ubyte" : "train-images-idx3-ubyte",
                                        "mnist", &images);
    if (status == OCE_OK)
        status = oce_reader_find(directory, folders, 2,
                                 test ? "t10k-labels-idx1-ubyte" : "train-labels-idx1-ubyte",
                                 "mnist", &labels);
    if (status == OCE_OK)
        status = read_images(images, dataset);
    if (status == OCE_OK)
        status = read_labels(labels, oce_reader_path(images), *dataset);
    oce_reader_close(images);
    oce_reader_close(labels);
    return status;
}

static oce_status describe(oce_dataset *dataset, const char *directory, const char *part) {
    return oce_dataset_describe(dataset, "MNIST %s: %" PRId64 " images 28x28x1 from %s", part,
                                oce_dataset_count(dataset), directory);
}

/* Cuts the split out of the training files' examples. */
static oce_status cut(const oce_dataset *all, const char *directory, oce_split split,
                      oce_dataset **dataset) {
    const int64_t count = oce_dataset_count(all);
    OCE_REQUIRE(count > VALIDATION_COUNT, OCE_ERROR_FORMAT,
                "%s: MNIST training files of %" PRId64
                " examples: expected more than the %d that are the validation split",
                directory, count, VALIDATION_COUNT);
    if (split == OCE_SPLIT_VALIDATION)
        OCE_TRY(oce_dataset_slice(all, 0, VALIDATION_COUNT, dataset));
    else
        OCE_TRY(oce_dataset_slice(all, VALIDATION_COUNT, count - VALIDATION_COUNT, dataset));
    return describe(*dataset, directory, split == OCE_SPLIT_VALIDATION ? "validation" : "training");
}

oce_status oce_dataset_open_mnist(const char *directory, oce_split split, oce_dataset **dataset) {
    OCE_REQUIRE(dataset, OCE_ERROR_INVALID_ARGUMENT, "MNIST: no place for the result");
    *dataset = NULL;
    OCE_REQUIRE(directory, OCE_ERROR_INVALID_ARGUMENT, "MNIST: the directory is NULL");
    OCE_REQUIRE(split == OCE_SPLIT_TRAIN || split == OCE_SPLIT_VALIDATION ||
                    split == OCE_SPLIT_TEST,
                OCE_ERROR_INVALID_ARGUMENT, "MNIST: no split %d", (int)split);
    oce_dataset *all = NULL, *part = NULL;
    oce_status status = read_pair(directory, split == OCE_SPLIT_TEST, &all);
    if (status == OCE_OK && split == OCE_SPLIT_TEST) {
        part = all;
        all = NULL;
        status = describe(part, directory, "test");
    } else if (status == OCE_OK) {
        status = cut(all, directory, split, &part);
    }
    oce_dataset_destroy(all);
    if (status != OCE_OK) {
        oce_dataset_destroy(part);
        return status;
    }
    *dataset = part;
    return OCE_OK;
}
