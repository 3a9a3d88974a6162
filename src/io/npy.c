/* NumPy's .npy format, versions 1 to 3: numpy/lib/format.py. */
#include "base/path.h"
#include "base/size.h"
#include "base/status.h"
#include "io/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 8, MAX_HEADER = 65536, ALIGNMENT = 64 };
static const char magic[] = "\x93NUMPY";

/* NumPy's codes of element types, without the byte order. */
static const struct {
    const char *code;
    oce_dtype dtype;
} codes[] = {{"f4", OCE_DTYPE_FLOAT32},   {"f8", OCE_DTYPE_FLOAT64},    {"f2", OCE_DTYPE_FLOAT16},
             {"i1", OCE_DTYPE_INT8},      {"i2", OCE_DTYPE_INT16},      {"i4", OCE_DTYPE_INT32},
             {"i8", OCE_DTYPE_INT64},     {"u1", OCE_DTYPE_UINT8},      {"u2", OCE_DTYPE_UINT16},
             {"u4", OCE_DTYPE_UINT32},    {"u8", OCE_DTYPE_UINT64},     {"b1", OCE_DTYPE_BOOL},
             {"c8", OCE_DTYPE_COMPLEX64}, {"c16", OCE_DTYPE_COMPLEX128}};
enum { CODES = sizeof codes / sizeof *codes };

oce_status oce_npy_header(const char *path, const oce_array *array, oce_bytes *header) {
    const char *code = NULL;
    for (size_t i = 0; i < CODES; i++)
        if (codes[i].dtype == array->dtype)
            code = codes[i].code;
    OCE_REQUIRE(code, OCE_ERROR_UNSUPPORTED, "%s: NumPy has no type for the %s of '%s'", path,
                oce_dtype_name(array->dtype), array->name);
    oce_bytes_append(header, magic, sizeof magic - 1);
    oce_bytes_u16(header, 1); /* version 1.0 */
    oce_bytes_u16(header, 0); /* the length, set below */
    oce_bytes_printf(header, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                     oce_dtype_bytes(array->dtype) > 1 ? '<' : '|', code);
    for (int i = 0; i < array->rank; i++)
        oce_bytes_printf(header, "%s%lld", i > 0 ? ", " : "", (long long)array->shape[i]);
    oce_bytes_text(header, array->rank == 1 ? ",), }" : "), }");
    while (!header->failed && (header->size + 1) % ALIGNMENT != 0)
        oce_bytes_u8(header, ' ');
    oce_bytes_u8(header, '\n');
    OCE_TRY(oce_bytes_check(header, path));
    const size_t length = header->size - MAGIC_BYTES - 2;
    header->data[MAGIC_BYTES] = (unsigned char)(length & 0xFF);
    header->data[MAGIC_BYTES + 1] = (unsigned char)(length >> 8);
    return OCE_OK;
}

oce_status oce_npy_write(oce_writer *writer, const char *path, const oce_array *array) {
    oce_bytes header = {0};
    size_t bytes;
    oce_status status = oce_npy_header(path, array, &header);
    if (status == OCE_OK)
        status = oce_writer_append(writer, header.data, header.size);
    if (status == OCE_OK)
        status = oce_array_bytes(array, &bytes);
    if (status == OCE_OK)
        status = oce_writer_append(writer, array->data, bytes);
    oce_bytes_finish(&header);
    return status;
}

/* What a header says. */
typedef struct description {
    oce_dtype dtype;
    bool column_major;
    int rank;
    int64_t shape[OCE_ARRAY_MAX_RANK];
} description;

static const char *skip_blanks(const char *text) {
    while (*text == ' ' || *text == '\t' || *text == '\n')
        text++;
    return text;
}

/* Moves behind `word` if it comes next. */
static bool take(const char **text, const char *word) {
    const char *at = skip_blanks(*text);
    const size_t length = strlen(word);
    if (strncmp(at, word, length) != 0)
        return false;
    *text = at + length;
    return true;
}

/* A string in either kind of quotes. */
static bool take_string(const char **text, char *string, size_t capacity) {
    const char *at = skip_blanks(*text);
    const char quote = *at;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(at + 1, quote);
    if (!end || (size_t)(end - at - 1) >= capacity)
        return false;
    memcpy(string, at + 1, (size_t)(end - at - 1));
    string[end - at - 1] = 0;
    *text = end + 1;
    return true;
}

static bool take_extent(const char **text, int64_t *extent) {
    const char *at = skip_blanks(*text);
    *extent = 0;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (*extent > (INT64_MAX - 9) / 10)
            return false;
        *extent = *extent * 10 + (*at - '0');
    }
    *text = at + (*at == 'L'); /* Python 2 wrote 5L */
    return true;
}

static bool take_shape(const char **text, description *d) {
    if (!take(text, "("))
        return false;
    for (d->rank = 0; !take(text, ")");) {
        if (d->rank == OCE_ARRAY_MAX_RANK || !take_extent(text, &d->shape[d->rank++]))
            return false;
        if (!take(text, ",")) /* after the last extent it may be missing */
            return take(text, ")");
    }
    return true;
}

static oce_status take_type(const char *path, const char *code, oce_dtype *dtype) {
    OCE_REQUIRE(*code != '>', OCE_ERROR_UNSUPPORTED,
                "%s: big-endian elements ('%s') are not supported, little-endian ones ('<%s') are",
                path, code, code + 1);
    const bool ordered = *code == '<' || *code == '|' || *code == '=';
    for (size_t i = 0; i < CODES; i++)
        if (ordered && strcmp(code + 1, codes[i].code) == 0) {
            *dtype = codes[i].dtype;
            return OCE_OK;
        }
    return oce_fail(OCE_ERROR_UNSUPPORTED,
                    "%s: elements of NumPy's type '%s' are not supported; floats, integers, "
                    "booleans and complex numbers are",
                    path, code);
}

/* The header is the text of a Python dictionary with three keys. */
static oce_status parse_header(const char *path, const char *text, description *d) {
    bool has_type = false, has_order = false, has_shape = false, good = take(&text, "{");
    char key[16], code[16];
    while (good && !take(&text, "}")) {
        good = take_string(&text, key, sizeof key) && take(&text, ":");
        if (good && strcmp(key, "descr") == 0) {
            OCE_REQUIRE(*skip_blanks(text) != '[', OCE_ERROR_UNSUPPORTED,
                        "%s: elements that are records are not supported, numbers are", path);
            has_type = good = take_string(&text, code, sizeof code);
            if (good)
                OCE_TRY(take_type(path, code, &d->dtype));
        } else if (good && strcmp(key, "fortran_order") == 0) {
            d->column_major = take(&text, "True");
            has_order = good = d->column_major || take(&text, "False");
        } else if (good && strcmp(key, "shape") == 0) {
            has_shape = good = take_shape(&text, d);
        } else {
            good = false;
        }
        if (good && !take(&text, ",")) {
            good = take(&text, "}");
            break;
        }
    }
    OCE_REQUIRE(good && has_type && has_order && has_shape, OCE_ERROR_FORMAT,
                "%s: a malformed .npy header", path);
    return OCE_OK;
}

/* Reads magic, version, length and header; *used counts their bytes. */
static oce_status read_header(const char *path, uint64_t size, oce_npy_source source, void *user,
                              description *d, uint64_t *used) {
    unsigned char start[MAGIC_BYTES + 4];
    OCE_REQUIRE(size >= MAGIC_BYTES + 2, OCE_ERROR_FORMAT, "%s: not an .npy file, or cut short",
                path);
    OCE_TRY(source(user, start, MAGIC_BYTES + 2));
    OCE_REQUIRE(memcmp(start, magic, sizeof magic - 1) == 0, OCE_ERROR_FORMAT,
                "%s: not an .npy file: it does not start with NumPy's magic", path);
    const int version = start[6];
    OCE_REQUIRE(version >= 1 && version <= 3, OCE_ERROR_UNSUPPORTED,
                "%s: .npy version %d is not supported, 1 to 3 are", path, version);
    size_t length = (size_t)start[8] | (size_t)start[9] << 8;
    *used = MAGIC_BYTES + 2;
    if (version > 1) {
        OCE_REQUIRE(size >= *used + 2, OCE_ERROR_FORMAT, "%s: cut short in its header", path);
        OCE_TRY(source(user, start, 2));
        length |= (size_t)start[0] << 16 | (size_t)start[1] << 24;
        *used += 2;
    }
    OCE_REQUIRE(length <= size - *used, OCE_ERROR_FORMAT,
                "%s: a header of %zu bytes, of which only %llu are there", path, length,
                (unsigned long long)(size - *used));
    OCE_REQUIRE(length <= MAX_HEADER, OCE_ERROR_FORMAT,
                "%s: a header of %zu bytes, more than the %d that one may have", path, length,
                (int)MAX_HEADER);
    char *text = malloc(length + 1);
    OCE_REQUIRE(text, OCE_ERROR_HOST_MEMORY, "%s: no memory for its header", path);
    oce_status status = source(user, text, length);
    text[length] = 0;
    if (status == OCE_OK)
        status = parse_header(path, text, d);
    *used += length;
    free(text);
    return status;
}

/* Turns column-major data into row-major ones. */
static oce_status transpose(const char *path, const description *d, size_t bytes,
                            unsigned char *data) {
    const size_t element = oce_dtype_bytes(d->dtype);
    unsigned char *copy = malloc(bytes + 1);
    OCE_REQUIRE(copy, OCE_ERROR_HOST_MEMORY, "%s: no memory to transpose %zu bytes", path, bytes);
    memcpy(copy, data, bytes);
    int64_t at[OCE_ARRAY_MAX_RANK] = {0};
    for (size_t done = 0; done < bytes; done += element) {
        size_t source = 0;
        for (int i = d->rank - 1; i >= 0; i--)
            source = source * (size_t)d->shape[i] + (size_t)at[i];
        memcpy(data + done, copy + source * element, element);
        for (int i = d->rank - 1; i >= 0 && ++at[i] == d->shape[i]; i--)
            at[i] = 0;
    }
    free(copy);
    return OCE_OK;
}

/* Whether as many bytes follow the header as the shape takes, which are *bytes. */
static oce_status check_size(const char *path, const description *d, uint64_t there,
                             size_t *bytes) {
    char shape[96];
    const oce_array array = {"", d->dtype, d->rank, d->shape, NULL};
    oce_shape_text(d->rank, d->shape, shape, sizeof shape);
    OCE_REQUIRE(oce_array_bytes(&array, bytes) == OCE_OK, OCE_ERROR_FORMAT,
                "%s: its shape %s of %s takes more bytes than can be counted", path, shape,
                oce_dtype_name(d->dtype));
    OCE_REQUIRE(*bytes == there, OCE_ERROR_FORMAT,
                "%s: has %llu bytes of elements, but its shape %s of %s takes %zu", path,
                (unsigned long long)there, shape, oce_dtype_name(d->dtype), *bytes);
    return OCE_OK;
}

oce_status oce_npy_parse(const char *path, const char *name, size_t name_length, uint64_t size,
                         oce_npy_source source, void *user, oce_array_list *list) {
    description d = {.rank = 0};
    uint64_t used;
    size_t bytes;
    void *data;
    OCE_TRY(read_header(path, size, source, user, &d, &used));
    OCE_TRY(check_size(path, &d, size - used, &bytes));
    OCE_TRY(oce_array_list_add(list, path, name, name_length, d.dtype, d.rank, d.shape, &data));
    OCE_TRY(source(user, data, bytes));
    return d.column_major && d.rank > 1 ? transpose(path, &d, bytes, data) : OCE_OK;
}

/* ---- A file with one array ---- */

typedef struct position {
    const oce_file *file;
    uint64_t offset;
} position;

static oce_status read_next(void *user, void *data, size_t size) {
    position *at = user;
    OCE_TRY(oce_file_read_at(at->file, at->offset, data, size));
    at->offset += size;
    return OCE_OK;
}

oce_status oce_npy_read(const char *path, oce_array_list *list) {
    oce_file file;
    OCE_TRY(oce_file_open(path, &file));
    position at = {&file, 0};
    const char *base = oce_path_base(path), *dot = strrchr(base, '.');
    const size_t length = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    const oce_status status = oce_npy_parse(path, base, length, file.size, read_next, &at, list);
    oce_file_close(&file);
    return status;
}
