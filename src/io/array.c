#include "io/array.h"

#include "base/path.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 65536 };

bool oce_is_little_endian(void) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

oce_status oce_require_little_endian(const char *path) {
    OCE_REQUIRE(oce_is_little_endian(), OCE_ERROR_UNSUPPORTED,
                "%s: files are little-endian and this machine is not", path);
    return OCE_OK;
}

oce_status oce_array_list_create(oce_array_list **list) {
    *list = calloc(1, sizeof **list);
    OCE_REQUIRE(*list, OCE_ERROR_HOST_MEMORY, "no memory for a list of arrays");
    return OCE_OK;
}

void oce_array_list_destroy(oce_array_list *list) {
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++) {
        free((void *)list->items[i].name);
        free((void *)list->items[i].shape);
        free((void *)list->items[i].data);
    }
    free(list->items);
    free(list);
}

size_t oce_array_list_count(const oce_array_list *list) {
    return list->count;
}

const oce_array *oce_array_list_items(const oce_array_list *list) {
    return list->items;
}

const oce_array *oce_array_list_find(const oce_array_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

static oce_status make_room(oce_array_list *list, const char *path) {
    if (list->count < list->capacity)
        return OCE_OK;
    const size_t capacity = list->capacity * 2 + 8;
    oce_array *items = realloc(list->items, capacity * sizeof *items);
    OCE_REQUIRE(items, OCE_ERROR_HOST_MEMORY, "%s: no memory for %zu arrays", path, capacity);
    list->items = items;
    list->capacity = capacity;
    return OCE_OK;
}

oce_status oce_array_list_add(oce_array_list *list, const char *path, const char *name,
                              size_t name_length, oce_dtype dtype, int rank, const int64_t *shape,
                              void **data) {
    OCE_REQUIRE(name_length > 0 && name_length <= MAX_NAME && !memchr(name, 0, name_length),
                OCE_ERROR_FORMAT, "%s: array %zu: a name of %zu bytes, or with a NUL", path,
                list->count, name_length);
    OCE_TRY(make_room(list, path));
    size_t bytes;
    const oce_array wanted = {"", dtype, rank, shape, NULL};
    const oce_status status = oce_array_bytes(&wanted, &bytes);
    if (status != OCE_OK)
        return oce_fail_prefix(status, "%s: '%.*s'", path, (int)name_length, name);
    char *own_name = malloc(name_length + 1);
    int64_t *own_shape = malloc(((size_t)rank + 1) * sizeof *own_shape);
    void *own_data = malloc(bytes + 1); /* never asks for 0 bytes */
    if (!own_name || !own_shape || !own_data) {
        free(own_name);
        free(own_shape);
        free(own_data);
        return oce_fail(OCE_ERROR_HOST_MEMORY, "%s: no memory for %zu bytes of '%.*s'", path, bytes,
                        (int)name_length, name);
    }
    memcpy(own_name, name, name_length);
    own_name[name_length] = 0;
    if (rank > 0)
        memcpy(own_shape, shape, (size_t)rank * sizeof *own_shape);
    list->items[list->count++] = (oce_array){own_name, dtype, rank, own_shape, own_data};
    *data = own_data;
    return OCE_OK;
}

oce_status oce_array_format_of(const char *path, oce_array_format *format) {
    static const struct {
        const char *ending;
        oce_array_format format;
    } formats[] = {
        {".safetensors", OCE_ARRAY_SAFETENSORS}, {".npz", OCE_ARRAY_NPZ}, {".npy", OCE_ARRAY_NPY}};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const size_t ending = strlen(formats[i].ending);
        if (length > ending && strcmp(path + length - ending, formats[i].ending) == 0) {
            *format = formats[i].format;
            return OCE_OK;
        }
    }
    return oce_fail(OCE_ERROR_INVALID_ARGUMENT,
                    "%s: the name must end in .safetensors, .npz or .npy", path);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const oce_array *)a)->name, ((const oce_array *)b)->name);
}

/* A copy of `arrays` in the order of their names, no name twice there. */
static oce_status sort_by_name(const oce_array *arrays, size_t count, oce_array **sorted) {
    *sorted = malloc((count + 1) * sizeof **sorted);
    OCE_REQUIRE(*sorted, OCE_ERROR_HOST_MEMORY, "no memory for %zu arrays", count);
    if (count > 0)
        memcpy(*sorted, arrays, count * sizeof **sorted);
    qsort(*sorted, count, sizeof **sorted, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp((*sorted)[i - 1].name, (*sorted)[i].name) == 0) {
            oce_fail(OCE_ERROR_INVALID_ARGUMENT, "two arrays have the name '%s'",
                     (*sorted)[i].name);
            free(*sorted);
            *sorted = NULL;
            return OCE_ERROR_INVALID_ARGUMENT;
        }
    return OCE_OK;
}

static oce_status check_arrays(const oce_array *arrays, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        OCE_REQUIRE(arrays[i].name && *arrays[i].name, OCE_ERROR_INVALID_ARGUMENT,
                    "array %zu has no name", i);
        OCE_TRY(oce_array_bytes(&arrays[i], &bytes));
        OCE_REQUIRE(arrays[i].data || bytes == 0, OCE_ERROR_INVALID_ARGUMENT,
                    "array '%s' has no data", arrays[i].name);
    }
    return OCE_OK;
}

static oce_status write_format(oce_writer *writer, const char *path, oce_array_format format,
                               const oce_array *arrays, size_t count) {
    switch (format) {
    case OCE_ARRAY_SAFETENSORS:
        return oce_safetensors_write(writer, path, arrays, count);
    case OCE_ARRAY_NPZ:
        return oce_npz_write(writer, path, arrays, count);
    case OCE_ARRAY_NPY:
        OCE_REQUIRE(count == 1, OCE_ERROR_INVALID_ARGUMENT,
                    "%s: an .npy file holds one array, not %zu", path, count);
        return oce_npy_write(writer, path, arrays);
    }
    return oce_fail(OCE_ERROR_INVALID_ARGUMENT, "%s: unknown format %d", path, (int)format);
}

oce_status oce_arrays_write(const char *path, oce_array_format format, const oce_array *arrays,
                            size_t count) {
    OCE_TRY(oce_require_little_endian(path));
    OCE_TRY(check_arrays(arrays, count));
    oce_array *sorted;
    OCE_TRY(sort_by_name(arrays, count, &sorted));
    oce_writer *writer = NULL;
    char *folder = NULL;
    oce_status status = oce_path_folder(path, &folder);
    if (status == OCE_OK)
        status = oce_writer_create(path, &writer);
    if (status == OCE_OK)
        status = write_format(writer, path, format, sorted, count);
    if (status == OCE_OK)
        status = oce_writer_sync(writer);
    if (status == OCE_OK)
        status = oce_writer_publish(writer);
    if (status == OCE_OK)
        status = oce_folder_sync(folder);
    oce_writer_destroy(writer);
    free(folder);
    free(sorted);
    return status;
}

static oce_status read_format(const char *path, oce_array_format format, oce_array_list *list) {
    switch (format) {
    case OCE_ARRAY_SAFETENSORS:
        return oce_safetensors_read(path, list);
    case OCE_ARRAY_NPZ:
        return oce_npz_read(path, list);
    case OCE_ARRAY_NPY:
        return oce_npy_read(path, list);
    }
    return oce_fail(OCE_ERROR_INVALID_ARGUMENT, "%s: unknown format %d", path, (int)format);
}

oce_status oce_arrays_read(const char *path, oce_array_format format, oce_array_list **list) {
    *list = NULL;
    OCE_TRY(oce_require_little_endian(path));
    oce_array_list *created;
    OCE_TRY(oce_array_list_create(&created));
    oce_status status = read_format(path, format, created);
    oce_array *sorted = NULL;
    if (status == OCE_OK) {
        status = sort_by_name(created->items, created->count, &sorted);
        if (status == OCE_ERROR_INVALID_ARGUMENT)
            status = oce_fail_prefix(OCE_ERROR_FORMAT, "%s", path);
        free(sorted);
    }
    if (status == OCE_OK)
        *list = created;
    else
        oce_array_list_destroy(created);
    return status;
}
