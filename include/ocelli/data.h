/**
 * Data sets and batches, in host memory.
 *
 *     oce_dataset *train;
 *     oce_dataset_open_mnist("data", OCE_SPLIT_TRAIN, &train);
 *     oce_batches *batches;
 *     oce_batches_create(oce_dataset_count(train), 50, OCE_SHUFFLE_EPOCH, seed, &batches);
 *     int32_t indices[50];
 *     oce_batches_next(batches, indices);
 *
 * A data set is `count` images, uint8 [count, height, width, channels] (NHWC, row-major, 0..255
 * as stored, unscaled), and `count` labels, uint8 class numbers 0..classes-1. It never changes
 * after it was made, so threads may read it at the same time.
 */
#ifndef OCELLI_DATA_H
#define OCELLI_DATA_H

#include <ocelli/status.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Labelled images in host memory, immutable. Opaque. */
typedef struct oce_dataset oce_dataset;

/** Which part of a data set. */
typedef enum oce_split { OCE_SPLIT_TRAIN, OCE_SPLIT_VALIDATION, OCE_SPLIT_TEST } oce_split;

/* ---- Opening a data set -------------------------------------------------------------------- */

/**
 * Opens MNIST: 28x28x1, ten classes "0".."9".
 *
 * `directory` holds, itself or in its folder `mnist`, the publisher's IDX files
 * `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, gzipped (`.gz`) or not; only the two that the
 * split needs are read. As in TensorFlow's read_data_sets(), OCE_SPLIT_VALIDATION is the first
 * 5,000 examples of the training files, OCE_SPLIT_TRAIN the rest (5000..59999) in file order,
 * OCE_SPLIT_TEST all of t10k (10,000). Files of other lengths are accepted, as long as the training
 * files have more than 5,000 examples.
 *
 * Errors, each naming the file, the offset, and what was found and expected:
 * OCE_ERROR_NOT_FOUND (a file is missing; lists where it was looked for), OCE_ERROR_IO,
 * OCE_ERROR_FORMAT (wrong magic, size, count, label, a truncated file, bytes after the end, a
 * damaged gzip stream), OCE_ERROR_CHECKSUM (gzip's CRC-32 does not fit), OCE_ERROR_HOST_MEMORY,
 * OCE_ERROR_INVALID_ARGUMENT. `*dataset` is NULL then.
 */
OCE_API oce_status oce_dataset_open_mnist(const char *directory, oce_split split,
                                          oce_dataset **dataset);

/**
 * Opens CIFAR-10: 32x32x3, channels R G B, ten classes "airplane".."truck".
 *
 * `directory` holds, itself or in `cifar-10-batches-bin`, `cifar10` or
 * `cifar10/cifar-10-batches-bin`, the files of the publisher's binary version: `data_batch_1.bin`
 * to `data_batch_5.bin` (OCE_SPLIT_TRAIN: 50,000 examples in file order) and `test_batch.bin`
 * (OCE_SPLIT_TEST: 10,000), each of exactly 10,000 records and gzipped (`.bin.gz`) or not. CIFAR-10
 * has no validation split of its own: cut one off the training split with oce_dataset_slice().
 *
 * Errors: as oce_dataset_open_mnist(); OCE_SPLIT_VALIDATION is OCE_ERROR_INVALID_ARGUMENT.
 */
OCE_API oce_status oce_dataset_open_cifar10(const char *directory, oce_split split,
                                            oce_dataset **dataset);

/**
 * Opens one file of CIFAR-10 records, gzipped or not, of any number of records from 1 on. A record
 * is one label byte and 3,072 bytes of pixels: the R, G and B planes, each 32x32 row-major.
 *
 * Errors: as oce_dataset_open_mnist().
 */
OCE_API oce_status oce_dataset_open_cifar10_file(const char *path, oce_dataset **dataset);

/**
 * Draws a synthetic set, for use where there is no data.
 *
 * `name` "mnist": handwritten-looking digits, 28x28x1, classes "0".."9", full size
 * 55,000 / 5,000 / 10,000 (train / validation / test). `name` "cifar10": coloured shapes and
 * textures, 32x32x3, ten classes with names of their own ("disc", "ring", ...), full size
 * 50,000 / 10,000 (train / test; no validation split, as with CIFAR-10).
 *
 * Example i is a function of (name, seed, split, i) alone, whatever `count` is, and has the same
 * bits on every machine with IEEE single precision.
 *
 * @param count how many of the split's examples, 1..1,000,000; 0: the full size
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT (unknown name, split or count), OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_dataset_synthetic(const char *name, oce_split split, uint64_t seed,
                                         int64_t count, oce_dataset **dataset);

/**
 * Makes a data set from the caller's arrays, which are copied.
 *
 * @param images      uint8 [count, height, width, channels], row-major
 * @param labels      uint8 [count], each below `classes`
 * @param count       1..2^31-1
 * @param height      >= 1, as `width` and `channels`
 * @param classes     1..256
 * @param class_names `classes` strings, copied; NULL: the class numbers
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT (a NULL array or an extent out of range; a label out of range,
 * with its index), OCE_ERROR_OVERFLOW, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_dataset_create(const uint8_t *images, const uint8_t *labels, int64_t count,
                                      int64_t height, int64_t width, int64_t channels,
                                      int64_t classes, const char *const *class_names,
                                      oce_dataset **dataset);

/**
 * Makes a data set of the `count` (>= 1) examples of `source` from example `first` on, for instance
 * to hold out the end of a training set. Shares the pixels; the two may be destroyed in any order.
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT (the range is empty or does not lie inside `source`),
 * OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_dataset_slice(const oce_dataset *source, int64_t first, int64_t count,
                                     oce_dataset **dataset);

/** Frees a data set; NULL is allowed. */
OCE_API void oce_dataset_destroy(oce_dataset *dataset);

/* ---- What is in it -------------------------------------------------------------------------- */

OCE_API int64_t oce_dataset_count(const oce_dataset *dataset);    /**< examples, 1..2^31-1 */
OCE_API int64_t oce_dataset_height(const oce_dataset *dataset);   /**< rows of an image */
OCE_API int64_t oce_dataset_width(const oce_dataset *dataset);    /**< columns of an image */
OCE_API int64_t oce_dataset_channels(const oce_dataset *dataset); /**< 1: grey, 3: R G B */
OCE_API int64_t oce_dataset_classes(const oce_dataset *dataset);  /**< 1..256 */
/** The name of class `index`; NULL if there is no such class. Lives as long as the data set. */
OCE_API const char *oce_dataset_class_name(const oce_dataset *dataset, int64_t index);
/** The name of a class of "mnist" ("0".."9") or "cifar10" ("airplane".."truck"); NULL for another
 * set or class. */
OCE_API const char *oce_class_name(const char *set, int64_t index);
/** uint8 [count, height, width, channels], row-major. Lives as long as the data set. */
OCE_API const uint8_t *oce_dataset_images(const oce_dataset *dataset);
/** uint8 [count], each below oce_dataset_classes(). Lives as long as the data set. */
OCE_API const uint8_t *oce_dataset_labels(const oce_dataset *dataset);
/** One line: what it is and where it is from; says so plainly if it is synthetic. */
OCE_API const char *oce_dataset_description(const oce_dataset *dataset);
/** Whether oce_dataset_synthetic() drew it (also true for a slice of such a set). */
OCE_API bool oce_dataset_is_synthetic(const oce_dataset *dataset);

/* ---- Batches -------------------------------------------------------------------------------- */

/** In which order examples come. Every batch has exactly `batch` of them. */
typedef enum oce_shuffle {
    /**
     * TensorFlow's next_batch(): all examples once in a random order, then again in a new one. A
     * batch that reaches past the end takes the rest and then the first of the new order, so it can
     * hold the same example twice. The order of an epoch is a function of (seed, epoch) alone.
     */
    OCE_SHUFFLE_EPOCH,
    /**
     * Each batch drawn afresh from all examples, without replacement inside the batch and
     * independent of the others; a function of (seed, number of the batch) alone.
     */
    OCE_SHUFFLE_DRAW,
    /** File order: element i of batch t is example (t * batch + i) mod examples. */
    OCE_SHUFFLE_NONE
} oce_shuffle;

/** An endless sequence of batches of example indices. Opaque; for one thread at a time. */
typedef struct oce_batches oce_batches;

/**
 * Starts a sequence of batches.
 *
 * @param examples size of the data set, 1..2^31-1
 * @param batch    indices per batch, >= 1; at most `examples`, except with OCE_SHUFFLE_NONE
 * @param seed     same seed, same sequence; not used by OCE_SHUFFLE_NONE
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_batches_create(int64_t examples, int64_t batch, oce_shuffle shuffle,
                                      uint64_t seed, oce_batches **batches);

/**
 * Takes the next batch: writes `batch` indices, each 0..examples-1.
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_OVERFLOW (after 2^63 examples).
 */
OCE_API oce_status oce_batches_next(oce_batches *batches, int32_t *indices);

/**
 * Goes to where the sequence stands after `call` batches, backwards or forwards: resuming a run
 * continues with exactly the batches of an uninterrupted one. Takes no more time than one epoch's
 * shuffle, however large `call` is.
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_OVERFLOW (past 2^63 examples).
 */
OCE_API oce_status oce_batches_seek(oce_batches *batches, uint64_t call);

/** The number of batches taken so far, or set by oce_batches_seek(). */
OCE_API uint64_t oce_batches_taken(const oce_batches *batches);

/** Frees the sequence; NULL is allowed. */
OCE_API void oce_batches_destroy(oce_batches *batches);

#ifdef __cplusplus
}
#endif

#endif
