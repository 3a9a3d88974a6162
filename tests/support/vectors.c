#include "vectors_json.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vector_file *vectors_open(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/vectors/%s", name);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    cr_assert(root, "%s, line %d: %s (tests run in the repository root)", path, error.line,
              error.text);
    vector_file *file = calloc(1, sizeof *file);
    cr_assert(file, "out of memory");
    file->name = name;
    file->root = root;
    cr_assert(vectors_count(file) > 0, "%s: no vectors", path);
    return file;
}

void vectors_close(vector_file *file) {
    for (size_t i = 0; i < file->block_count; i++)
        free(file->blocks[i]);
    free(file->blocks);
    json_decref(file->root);
    free(file);
}

static const json_t *list_of(const vector_file *file) {
    const json_t *list = json_object_get(file->root, "vectors");
    return list ? list : json_object_get(file->root, "checkpoints");
}

size_t vectors_count(const vector_file *file) {
    return json_array_size(list_of(file));
}

compare_limit vector_limit(double tolerance) {
    return (compare_limit){.absolute = tolerance, .relative = tolerance};
}

void *vectors_allocate(vector_file *file, size_t count, size_t size) {
    void **blocks = realloc(file->blocks, (file->block_count + 1) * sizeof *blocks);
    cr_assert(blocks, "out of memory");
    file->blocks = blocks;
    void *block = calloc(count > 0 ? count : 1, size);
    cr_assert(block, "out of memory");
    file->blocks[file->block_count++] = block;
    return block;
}

const json_t *vectors_at(const vector_file *file, size_t index) {
    const json_t *vector = json_array_get(list_of(file), index);
    cr_assert(json_is_object(vector), "%s has no vector %zu", file->name, index);
    return vector;
}

const char *vectors_label(vector_file *file, size_t index, const json_t *vector) {
    enum { LABEL_BYTES = 160 };
    char *label = vectors_allocate(file, LABEL_BYTES, 1);
    const char *key = vectors_has(vector, "test") ? "test" : "optimizer";
    snprintf(label, LABEL_BYTES, "%s #%zu %s", file->name, index, vectors_text(vector, key));
    return label;
}

bool vectors_has(const json_t *object, const char *key) {
    return json_object_get(object, key) != NULL;
}

const char *vectors_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    cr_assert(text, "vector without the text \"%s\"", key);
    return text;
}

double vectors_number(const json_t *object, const char *key) {
    const json_t *number = json_object_get(object, key);
    cr_assert(json_is_number(number), "vector without the number \"%s\"", key);
    return json_number_value(number);
}

void vectors_ints(const json_t *object, const char *key, size_t count, int64_t *values) {
    const json_t *list = json_object_get(object, key);
    cr_assert(json_array_size(list) == count, "vector without %zu numbers \"%s\"", count, key);
    for (size_t i = 0; i < count; i++) {
        cr_assert(json_is_integer(json_array_get(list, i)), "\"%s\"[%zu] is no integer", key, i);
        values[i] = json_integer_value(json_array_get(list, i));
    }
}

static size_t leaves(const json_t *list) {
    if (!json_is_array(list))
        return 1;
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        count += leaves(json_array_get(list, i));
    return count;
}

/* Writes the numbers of `list` in order; returns where the next one goes. */
static float *flatten(const json_t *list, float *out) {
    if (json_is_array(list)) {
        for (size_t i = 0; i < json_array_size(list); i++)
            out = flatten(json_array_get(list, i), out);
        return out;
    }
    const char *text = json_string_value(list);
    cr_assert(json_is_number(list) || (text && strcmp(text, "NaN") == 0), "not a number: %s",
              text ? text : "?");
    *out = text ? NAN : (float)json_number_value(list);
    return out + 1;
}

vector_array vectors_optional(vector_file *file, const json_t *object, const char *key) {
    const json_t *list = json_object_get(object, key);
    if (!list)
        return (vector_array){NULL, 0};
    cr_assert(json_is_array(list), "\"%s\" is no list", key);
    const size_t count = leaves(list);
    float *values = vectors_allocate(file, count, sizeof *values);
    flatten(list, values);
    return (vector_array){values, count};
}

vector_array vectors_required(vector_file *file, const json_t *object, const char *key) {
    cr_assert(vectors_has(object, key), "vector without the list \"%s\"", key);
    return vectors_optional(file, object, key);
}

void vectors_check_count(const char *name, const char *what, vector_array array, size_t count) {
    cr_assert(!array.values || array.count == count, "%s: %zu numbers in %s where %zu fit", name,
              array.count, what, count);
}

size_t vectors_elements(const int64_t shape[4]) {
    return (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
}

/* The file must state the convention that is about to be used. */
static float *start_fill(vector_file *file, const int64_t shape[4], const char *rule) {
    cr_assert(strstr(vectors_text(file->root, "fill"), rule), "%s: the fill is not %s", file->name,
              rule);
    return vectors_allocate(file, vectors_elements(shape), sizeof(float));
}

vector_array vectors_fill_counting(vector_file *file, const int64_t shape[4]) {
    float *values = start_fill(file, shape, "filled 1.0, 2.0, 3.0, ... in row-major order");
    const size_t count = vectors_elements(shape);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(i + 1);
    return (vector_array){values, count};
}

vector_array vectors_fill_pool(vector_file *file, const int64_t shape[4], bool negated) {
    float *values = start_fill(file, shape, "((f+128) mod 255) - 127");
    const size_t count = vectors_elements(shape);
    for (size_t i = 0; i < count; i++) {
        const float value = (float)((i + 128) % 255) - 127.0F;
        values[i] = negated ? -value : value;
    }
    return (vector_array){values, count};
}

void vectors_window(const json_t *vector, oce_window *window) {
    vectors_ints(vector, "strides_hw", 2, window->stride);
    if (vectors_has(vector, "dilations_hw"))
        vectors_ints(vector, "dilations_hw", 2, window->dilation);
    const json_t *padding = json_object_get(vector, "padding");
    if (json_is_array(padding)) {
        window->padding = OCE_PADDING_EXPLICIT;
        for (size_t axis = 0; axis < 2; axis++) {
            const json_t *pair = json_array_get(padding, axis);
            cr_assert(json_array_size(pair) == 2, "explicit padding is not [[,], [,]]");
            window->before[axis] = json_integer_value(json_array_get(pair, 0));
            window->after[axis] = json_integer_value(json_array_get(pair, 1));
        }
        return;
    }
    const bool same = strcmp(vectors_text(vector, "padding"), "SAME") == 0;
    cr_assert(same || strcmp(vectors_text(vector, "padding"), "VALID") == 0, "unknown padding");
    window->padding = same ? OCE_PADDING_SAME : OCE_PADDING_VALID;
}
