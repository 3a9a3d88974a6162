/*
 * safetensors: 8 bytes of header length (little-endian), a JSON header {"name": {"dtype": "F32",
 * "shape": [...], "data_offsets": [begin, end]}, ...}, then the data, which the tensors cover
 * without gap or overlap; offsets count from the header's end.
 */
#include "base/status.h"
#include "io/array.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

#define METADATA "__metadata__"

enum { HEADER_LIMIT = 1 << 24, ALIGNMENT = 8 };

static const struct {
    const char *name;
    oce_dtype dtype;
} types[] = {{"F32", OCE_DTYPE_FLOAT32},   {"F64", OCE_DTYPE_FLOAT64}, {"F16", OCE_DTYPE_FLOAT16},
             {"BF16", OCE_DTYPE_BFLOAT16}, {"I8", OCE_DTYPE_INT8},     {"I16", OCE_DTYPE_INT16},
             {"I32", OCE_DTYPE_INT32},     {"I64", OCE_DTYPE_INT64},   {"U8", OCE_DTYPE_UINT8},
             {"U16", OCE_DTYPE_UINT16},    {"U32", OCE_DTYPE_UINT32},  {"U64", OCE_DTYPE_UINT64},
             {"BOOL", OCE_DTYPE_BOOL}};
enum { TYPES = sizeof types / sizeof *types };

/* ---- Writing ---- */

static oce_status describe(const char *path, const oce_array *array, size_t bytes, uint64_t offset,
                           json_t *header) {
    const char *type = NULL;
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].dtype == array->dtype)
            type = types[i].name;
    OCE_REQUIRE(type, OCE_ERROR_UNSUPPORTED, "%s: safetensors has no type for the %s of '%s'", path,
                oce_dtype_name(array->dtype), array->name);
    OCE_REQUIRE(strcmp(array->name, METADATA) != 0, OCE_ERROR_UNSUPPORTED,
                "%s: safetensors has its own use for the name " METADATA, path);
    json_t *shape = json_array();
    for (int i = 0; shape && i < array->rank; i++)
        if (json_array_append_new(shape, json_integer(array->shape[i])) != 0) {
            json_decref(shape);
            shape = NULL;
        }
    json_t *value = json_pack("{s:s, s:o, s:[I, I]}", "dtype", type, "shape", shape, "data_offsets",
                              (json_int_t)offset, (json_int_t)offset + (json_int_t)bytes);
    OCE_REQUIRE(json_object_set_new(header, array->name, value) == 0, OCE_ERROR_UNSUPPORTED,
                "%s: '%s' cannot be written: its name is not UTF-8, or memory is short", path,
                array->name);
    return OCE_OK;
}

static int append_json(const char *text, size_t size, void *user) {
    oce_bytes_append(user, text, size);
    return 0;
}

static oce_status compose_header(const char *path, const oce_array *arrays, size_t count,
                                 json_t *header, oce_bytes *bytes) {
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size;
        OCE_TRY(oce_array_bytes(&arrays[i], &size));
        OCE_TRY(describe(path, &arrays[i], size, offset, header));
        offset += size;
    }
    oce_bytes_u64(bytes, 0); /* the length, set below */
    json_dump_callback(header, append_json, bytes, JSON_COMPACT);
    while (!bytes->failed && bytes->size % ALIGNMENT != 0)
        oce_bytes_u8(bytes, ' ');
    OCE_TRY(oce_bytes_check(bytes, path));
    for (size_t i = 0; i < 8; i++)
        bytes->data[i] = (unsigned char)((uint64_t)(bytes->size - 8) >> (8 * i));
    return OCE_OK;
}

oce_status oce_safetensors_write(oce_writer *writer, const char *path, const oce_array *arrays,
                                 size_t count) {
    oce_bytes bytes = {0};
    json_t *header = json_object();
    OCE_REQUIRE(header, OCE_ERROR_HOST_MEMORY, "%s: no memory for its header", path);
    oce_status status = compose_header(path, arrays, count, header, &bytes);
    json_decref(header);
    if (status == OCE_OK)
        status = oce_writer_append(writer, bytes.data, bytes.size);
    for (size_t i = 0; i < count && status == OCE_OK; i++) {
        size_t size;
        status = oce_array_bytes(&arrays[i], &size);
        if (status == OCE_OK)
            status = oce_writer_append(writer, arrays[i].data, size);
    }
    oce_bytes_finish(&bytes);
    return status;
}

/* ---- Reading ---- */

/* What the header says of a tensor. */
typedef struct tensor {
    const char *name; /* belongs to the JSON */
    oce_dtype dtype;
    int rank;
    json_t *shape;
    uint64_t begin, end;
} tensor;

static oce_status take_type(const char *path, const char *name, const char *type,
                            oce_dtype *dtype) {
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, type) == 0) {
            *dtype = types[i].dtype;
            return OCE_OK;
        }
    return oce_fail(OCE_ERROR_UNSUPPORTED, "%s: tensor '%s' has elements of type %s", path, name,
                    type);
}

static oce_status take_tensor(const char *path, const char *name, json_t *value, tensor *t) {
    const char *type = json_string_value(json_object_get(value, "dtype"));
    json_t *shape = json_object_get(value, "shape");
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    OCE_REQUIRE(type && json_is_array(shape) && json_array_size(offsets) == 2 &&
                    json_is_integer(begin) && json_is_integer(end) &&
                    json_integer_value(begin) >= 0 &&
                    json_integer_value(end) >= json_integer_value(begin),
                OCE_ERROR_FORMAT, "%s: malformed description of tensor '%s'", path, name);
    OCE_REQUIRE(json_array_size(shape) <= OCE_ARRAY_MAX_RANK, OCE_ERROR_FORMAT,
                "%s: tensor '%s' has %zu extents", path, name, json_array_size(shape));
    *t = (tensor){.name = name,
                  .rank = (int)json_array_size(shape),
                  .shape = shape,
                  .begin = (uint64_t)json_integer_value(begin),
                  .end = (uint64_t)json_integer_value(end)};
    return take_type(path, name, type, &t->dtype);
}

static int compare_places(const void *a, const void *b) {
    const tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end != y->end ? (x->end < y->end ? -1 : 1) : strcmp(x->name, y->name);
}

/* The tensors of the header in the order of their data, which they must cover exactly. */
static oce_status take_tensors(const char *path, json_t *header, uint64_t data_bytes,
                               tensor *tensors, size_t *count) {
    const char *name;
    json_t *value;
    *count = 0;
    json_object_foreach(header, name, value) if (strcmp(name, METADATA) != 0)
        OCE_TRY(take_tensor(path, name, value, &tensors[(*count)++]));
    qsort(tensors, *count, sizeof *tensors, compare_places);
    uint64_t covered = 0;
    for (size_t i = 0; i < *count; i++) {
        OCE_REQUIRE(tensors[i].begin == covered, OCE_ERROR_FORMAT,
                    "%s: tensor '%s' starts at byte %llu of the data, not at %llu", path,
                    tensors[i].name, (unsigned long long)tensors[i].begin,
                    (unsigned long long)covered);
        covered = tensors[i].end;
    }
    OCE_REQUIRE(covered == data_bytes, OCE_ERROR_FORMAT,
                "%s: has %llu bytes of data, its tensors %llu", path,
                (unsigned long long)data_bytes, (unsigned long long)covered);
    return OCE_OK;
}

static oce_status read_tensor(const char *path, const oce_file *file, uint64_t data_offset,
                              const tensor *t, oce_array_list *list) {
    int64_t shape[OCE_ARRAY_MAX_RANK];
    for (int i = 0; i < t->rank; i++) {
        const json_t *extent = json_array_get(t->shape, (size_t)i);
        OCE_REQUIRE(json_is_integer(extent) && json_integer_value(extent) >= 0, OCE_ERROR_FORMAT,
                    "%s: tensor '%s': extent %d is not a size", path, t->name, i);
        shape[i] = json_integer_value(extent);
    }
    const oce_array array = {t->name, t->dtype, t->rank, shape, NULL};
    size_t bytes;
    void *data;
    char text[128];
    OCE_REQUIRE(oce_array_bytes(&array, &bytes) == OCE_OK && bytes == t->end - t->begin,
                OCE_ERROR_FORMAT, "%s: tensor '%s', %s %s, is said to have %llu bytes", path,
                t->name, oce_dtype_name(t->dtype),
                oce_shape_text(t->rank, shape, text, sizeof text),
                (unsigned long long)(t->end - t->begin));
    OCE_TRY(
        oce_array_list_add(list, path, t->name, strlen(t->name), t->dtype, t->rank, shape, &data));
    return oce_file_read_at(file, data_offset + t->begin, data, bytes);
}

static oce_status read_tensors(const char *path, const oce_file *file, uint64_t data_offset,
                               json_t *header, oce_array_list *list) {
    size_t count = json_object_size(header);
    tensor *tensors = malloc((count + 1) * sizeof *tensors);
    OCE_REQUIRE(tensors, OCE_ERROR_HOST_MEMORY, "%s: no memory for %zu tensors", path, count);
    oce_status status = take_tensors(path, header, file->size - data_offset, tensors, &count);
    for (size_t i = 0; i < count && status == OCE_OK; i++)
        status = read_tensor(path, file, data_offset, &tensors[i], list);
    free(tensors);
    return status;
}

static oce_status read_header(const char *path, const oce_file *file, json_t **header,
                              uint64_t *data_offset) {
    unsigned char start[8];
    OCE_TRY(oce_file_read_at(file, 0, start, sizeof start));
    oce_view view = {start, sizeof start};
    uint64_t length = 0;
    oce_view_u64(&view, &length);
    OCE_REQUIRE(length <= file->size - sizeof start && length <= HEADER_LIMIT, OCE_ERROR_FORMAT,
                "%s: not a safetensors file: a header of %llu bytes in a file of %llu", path,
                (unsigned long long)length, (unsigned long long)file->size);
    char *text = malloc((size_t)length + 1);
    OCE_REQUIRE(text, OCE_ERROR_HOST_MEMORY, "%s: no memory for a header of %llu bytes", path,
                (unsigned long long)length);
    oce_status status = oce_file_read_at(file, sizeof start, text, (size_t)length);
    if (status == OCE_OK) {
        json_error_t error;
        *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
        if (!*header)
            status = oce_fail(OCE_ERROR_FORMAT, "%s: header: %s", path, error.text);
    }
    free(text);
    *data_offset = sizeof start + length;
    return status;
}

oce_status oce_safetensors_read(const char *path, oce_array_list *list) {
    oce_file file;
    json_t *header = NULL;
    uint64_t data_offset;
    OCE_TRY(oce_file_open(path, &file));
    oce_status status = read_header(path, &file, &header, &data_offset);
    if (status == OCE_OK && !json_is_object(header))
        status = oce_fail(OCE_ERROR_FORMAT, "%s: the header is not a JSON object", path);
    if (status == OCE_OK)
        status = read_tensors(path, &file, data_offset, header, list);
    json_decref(header);
    oce_file_close(&file);
    return status;
}
