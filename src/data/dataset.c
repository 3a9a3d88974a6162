#include "data/dataset.h"

#include "base/size.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 256 };

/* What a data set and its slices share. */
typedef struct storage {
    atomic_size_t references;
    int64_t height, width, channels;
    int64_t classes;
    char *class_names[MOST_CLASSES]; /* [classes] */
    bool synthetic;
    size_t image_bytes; /* height * width * channels */
    uint8_t *images;
    uint8_t *labels;
} storage;

struct oce_dataset {
    storage *storage;
    int64_t first; /* where in the storage this set begins */
    int64_t count;
    char *description;
};

static void release(storage *shared) {
    if (!shared || atomic_fetch_sub(&shared->references, 1) > 1)
        return;
    for (int64_t i = 0; i < shared->classes; i++)
        free(shared->class_names[i]);
    free(shared->images);
    free(shared->labels);
    free(shared);
}

void oce_dataset_destroy(oce_dataset *dataset) {
    if (!dataset)
        return;
    release(dataset->storage);
    free(dataset->description);
    free(dataset);
}

static char *copy_text(const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

static oce_status name_classes(storage *shared, const char *const *names) {
    for (int64_t i = 0; i < shared->classes; i++) {
        char number[24];
        snprintf(number, sizeof number, "%" PRId64, i);
        OCE_REQUIRE(!names || names[i], OCE_ERROR_INVALID_ARGUMENT,
                    "data set: the name of class %" PRId64 " is NULL", i);
        shared->class_names[i] = copy_text(names ? names[i] : number);
        OCE_REQUIRE(shared->class_names[i], OCE_ERROR_HOST_MEMORY,
                    "data set: no memory for class names");
    }
    return OCE_OK;
}

static oce_status check_shape(const oce_example_shape *shape, int64_t count) {
    OCE_REQUIRE(count >= 1 && count <= INT32_MAX, OCE_ERROR_INVALID_ARGUMENT,
                "data set: %" PRId64 " examples, expected 1 to %d", count, INT32_MAX);
    OCE_REQUIRE(shape->height >= 1 && shape->width >= 1 && shape->channels >= 1,
                OCE_ERROR_INVALID_ARGUMENT,
                "data set: images of %" PRId64 "x%" PRId64 "x%" PRId64 ", every extent must be "
                "at least 1",
                shape->height, shape->width, shape->channels);
    OCE_REQUIRE(shape->classes >= 1 && shape->classes <= MOST_CLASSES, OCE_ERROR_INVALID_ARGUMENT,
                "data set: %" PRId64 " classes, expected 1 to %d", shape->classes, MOST_CLASSES);
    return OCE_OK;
}

oce_status oce_dataset_resize(oce_dataset *dataset, int64_t count) {
    storage *shared = dataset->storage;
    const int64_t extents[] = {count, shared->height, shared->width, shared->channels};
    size_t bytes;
    OCE_REQUIRE(oce_size_product(extents, 4, &bytes), OCE_ERROR_OVERFLOW,
                "data set: %" PRId64 " images of %" PRId64 "x%" PRId64 "x%" PRId64
                " are more bytes than can be counted",
                count, shared->height, shared->width, shared->channels);
    uint8_t *images = realloc(shared->images, bytes);
    if (images)
        shared->images = images;
    uint8_t *labels = realloc(shared->labels, (size_t)count);
    if (labels)
        shared->labels = labels;
    OCE_REQUIRE(images && labels, OCE_ERROR_HOST_MEMORY,
                "data set: no memory for %" PRId64 " images of %zu bytes", count,
                shared->image_bytes);
    dataset->count = count;
    return OCE_OK;
}

static oce_status initialise(oce_dataset *dataset, const oce_example_shape *shape, int64_t count) {
    storage *shared = dataset->storage;
    const int64_t extents[] = {shape->height, shape->width, shape->channels};
    OCE_REQUIRE(oce_size_product(extents, 3, &shared->image_bytes), OCE_ERROR_OVERFLOW,
                "data set: an image of %" PRId64 "x%" PRId64 "x%" PRId64
                " has more bytes than can be counted",
                shape->height, shape->width, shape->channels);
    shared->height = shape->height;
    shared->width = shape->width;
    shared->channels = shape->channels;
    shared->classes = shape->classes;
    OCE_TRY(name_classes(shared, shape->class_names));
    return oce_dataset_resize(dataset, count);
}

static oce_dataset *new_dataset(storage *shared) {
    oce_dataset *dataset = calloc(1, sizeof *dataset);
    if (dataset)
        dataset->storage = shared;
    return dataset;
}

oce_status oce_dataset_allocate(const oce_example_shape *shape, int64_t count,
                                oce_dataset **dataset) {
    *dataset = NULL;
    OCE_TRY(check_shape(shape, count));
    storage *shared = calloc(1, sizeof *shared);
    oce_dataset *made = shared ? new_dataset(shared) : NULL;
    if (!made) {
        free(shared);
        return oce_fail(OCE_ERROR_HOST_MEMORY, "data set: no memory");
    }
    atomic_init(&shared->references, 1);
    const oce_status status = initialise(made, shape, count);
    if (status != OCE_OK) {
        oce_dataset_destroy(made);
        return status;
    }
    *dataset = made;
    return OCE_OK;
}

uint8_t *oce_dataset_pixels(oce_dataset *dataset, int64_t example) {
    return dataset->storage->images + (size_t)example * dataset->storage->image_bytes;
}

uint8_t *oce_dataset_label(oce_dataset *dataset, int64_t example) {
    return dataset->storage->labels + example;
}

void oce_dataset_mark_synthetic(oce_dataset *dataset) {
    dataset->storage->synthetic = true;
}

oce_status oce_dataset_describe(oce_dataset *dataset, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    OCE_REQUIRE(text, OCE_ERROR_HOST_MEMORY, "data set: no memory for its description");
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    free(dataset->description);
    dataset->description = text;
    return OCE_OK;
}

static oce_status check_labels(const uint8_t *labels, int64_t count, int64_t classes) {
    for (int64_t i = 0; i < count; i++)
        OCE_REQUIRE(labels[i] < classes, OCE_ERROR_INVALID_ARGUMENT,
                    "data set: label %d of example %" PRId64 ", expected 0 to %" PRId64, labels[i],
                    i, classes - 1);
    return OCE_OK;
}

oce_status oce_dataset_create(const uint8_t *images, const uint8_t *labels, int64_t count,
                              int64_t height, int64_t width, int64_t channels, int64_t classes,
                              const char *const *class_names, oce_dataset **dataset) {
    OCE_REQUIRE(dataset, OCE_ERROR_INVALID_ARGUMENT, "data set: no place for the result");
    *dataset = NULL;
    OCE_REQUIRE(images && labels, OCE_ERROR_INVALID_ARGUMENT, "data set: %s are NULL",
                images ? "labels" : "images");
    const oce_example_shape shape = {height, width, channels, classes, class_names};
    oce_dataset *made;
    OCE_TRY(oce_dataset_allocate(&shape, count, &made));
    oce_status status = check_labels(labels, count, classes);
    if (status == OCE_OK)
        status = oce_dataset_describe(
            made, "%" PRId64 " images %" PRId64 "x%" PRId64 "x%" PRId64 " from memory", count,
            height, width, channels);
    if (status != OCE_OK) {
        oce_dataset_destroy(made);
        return status;
    }
    memcpy(made->storage->images, images, (size_t)count * made->storage->image_bytes);
    memcpy(made->storage->labels, labels, (size_t)count);
    *dataset = made;
    return OCE_OK;
}

oce_status oce_dataset_slice(const oce_dataset *source, int64_t first, int64_t count,
                             oce_dataset **dataset) {
    OCE_REQUIRE(source && dataset, OCE_ERROR_INVALID_ARGUMENT, "data set slice: %s",
                source ? "no place for the result" : "the source is NULL");
    *dataset = NULL;
    OCE_REQUIRE(first >= 0 && count >= 1 && first < source->count && count <= source->count - first,
                OCE_ERROR_INVALID_ARGUMENT,
                "data set slice: %" PRId64 " examples from %" PRId64
                " on do not lie inside the %" PRId64 " there are",
                count, first, source->count);
    oce_dataset *made = new_dataset(source->storage);
    OCE_REQUIRE(made, OCE_ERROR_HOST_MEMORY, "data set slice: no memory");
    atomic_fetch_add(&source->storage->references, 1);
    made->first = source->first + first;
    made->count = count;
    const oce_status status = oce_dataset_describe(made, "%s, examples %" PRId64 " to %" PRId64,
                                                   source->description, first, first + count - 1);
    if (status != OCE_OK) {
        oce_dataset_destroy(made);
        return status;
    }
    *dataset = made;
    return OCE_OK;
}

int64_t oce_dataset_count(const oce_dataset *dataset) {
    return dataset->count;
}

int64_t oce_dataset_height(const oce_dataset *dataset) {
    return dataset->storage->height;
}

int64_t oce_dataset_width(const oce_dataset *dataset) {
    return dataset->storage->width;
}

int64_t oce_dataset_channels(const oce_dataset *dataset) {
    return dataset->storage->channels;
}

int64_t oce_dataset_classes(const oce_dataset *dataset) {
    return dataset->storage->classes;
}

const char *oce_dataset_class_name(const oce_dataset *dataset, int64_t index) {
    if (index < 0 || index >= dataset->storage->classes)
        return NULL;
    return dataset->storage->class_names[index];
}

const char *oce_class_name(const char *set, int64_t index) {
    static const char *const digits[OCE_DIGIT_CLASSES] = {"0", "1", "2", "3", "4",
                                                          "5", "6", "7", "8", "9"};
    if (strcmp(set, "mnist") == 0 && index >= 0 && index < OCE_DIGIT_CLASSES)
        return digits[index];
    if (strcmp(set, "cifar10") == 0 && index >= 0 && index < OCE_CIFAR_CLASSES)
        return oce_cifar10_names[index];
    return NULL;
}

const uint8_t *oce_dataset_images(const oce_dataset *dataset) {
    return dataset->storage->images + (size_t)dataset->first * dataset->storage->image_bytes;
}

const uint8_t *oce_dataset_labels(const oce_dataset *dataset) {
    return dataset->storage->labels + dataset->first;
}

const char *oce_dataset_description(const oce_dataset *dataset) {
    return dataset->description;
}

bool oce_dataset_is_synthetic(const oce_dataset *dataset) {
    return dataset->storage->synthetic;
}
