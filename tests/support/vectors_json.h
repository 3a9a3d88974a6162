/* What the readers of the single operations' vectors are made of; not for tests. */
#ifndef TESTS_SUPPORT_VECTORS_JSON_H
#define TESTS_SUPPORT_VECTORS_JSON_H

#include "vectors.h"

#include <jansson.h>

struct vector_file {
    const char *name;
    json_t *root;
    void **blocks; /* what vectors point to */
    size_t block_count;
};

/* Memory that lives until vectors_close(); zero bytes are legal. */
void *vectors_allocate(vector_file *file, size_t count, size_t size);

/* Vector `index`, and its name as "file #index upstream's name". */
const json_t *vectors_at(const vector_file *file, size_t index);
const char *vectors_label(vector_file *file, size_t index, const json_t *vector);

bool vectors_has(const json_t *object, const char *key);

/* Required members; the test fails without them. */
const char *vectors_text(const json_t *object, const char *key);
double vectors_number(const json_t *object, const char *key);
void vectors_ints(const json_t *object, const char *key, size_t count, int64_t *values);

/* A (possibly nested) list of numbers, "NaN" allowed; no values if the key is absent. */
vector_array vectors_optional(vector_file *file, const json_t *object, const char *key);
vector_array vectors_required(vector_file *file, const json_t *object, const char *key);

/* Fails unless `array` has no values or `count` of them. */
void vectors_check_count(const char *name, const char *what, vector_array array, size_t count);

/* Elements of an array of four extents. */
size_t vectors_elements(const int64_t shape[4]);
/* The fill of the convolution files, 1, 2, 3, ..., and that of the pooling files. */
vector_array vectors_fill_counting(vector_file *file, const int64_t shape[4]);
vector_array vectors_fill_pool(vector_file *file, const int64_t shape[4], bool negated);

/* Strides, dilations (if present) and padding; the window's size is the caller's. */
void vectors_window(const json_t *vector, oce_window *window);

#endif
