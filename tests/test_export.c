#include <ocelli/array.h>

#include "io/array.h"
#include "support/checkpoint.h"
#include "support/fault.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <zlib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static void setup(void) {
    folder = scratch_create();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(export, .init = setup, .fini = teardown);

static const char *const files[] = {"a.safetensors", "a.npz", "a.npy"};

static void expect_message(const char *part) {
    cr_expect(strstr(oce_last_error(), part), "'%s' in: %s", part, oce_last_error());
}

static void write_file(const char *path, const oce_array *arrays, size_t count) {
    oce_array_format format;
    cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
    cr_assert_eq(oce_arrays_write(path, format, arrays, count), OCE_OK, "%s", oce_last_error());
}

static oce_array_list *read_file(const char *path) {
    oce_array_format format;
    oce_array_list *list;
    cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
    cr_assert_eq(oce_arrays_read(path, format, &list), OCE_OK, "%s", oce_last_error());
    return list;
}

static oce_status try_to_read(const char *path) {
    oce_array_format format;
    oce_array_list *list = NULL;
    cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
    const oce_status status = oce_arrays_read(path, format, &list);
    cr_expect_eq(list != NULL, status == OCE_OK);
    oce_array_list_destroy(list);
    return status;
}

static void expect_array(const oce_array *got, const oce_array *expected) {
    size_t bytes;
    cr_assert(got, "no '%s'", expected->name);
    cr_assert_eq(oce_array_bytes(expected, &bytes), OCE_OK);
    cr_expect_str_eq(got->name, expected->name);
    cr_expect_eq(got->dtype, expected->dtype);
    cr_assert_eq(got->rank, expected->rank);
    if (got->rank > 0)
        cr_expect_arr_eq(got->shape, expected->shape, (size_t)got->rank * sizeof *got->shape);
    cr_expect(bytes == 0 || memcmp(got->data, expected->data, bytes) == 0, "'%s'", got->name);
}

/* Arrays of several ranks and element types, one of them large, one empty. */
static array_set sample(void) {
    array_set set = small_arrays(4);
    static const int64_t doubles[] = {2}, none[] = {0, 3}, large[] = {300, 70},
                         four[] = {1, 2, 1, 2};
    static const double values[] = {0.1, -2};
    static const int64_t integers[] = {-1, 1LL << 40, 3, 4};
    static float numbers[300 * 70];
    for (int i = 0; i < 300 * 70; i++)
        numbers[i] = (float)i / 7;
    array_set_add(&set, "large/weights", 2, large, numbers);
    array_set_add(&set, "empty", 2, none, numbers);
    array_set_add(&set, "x", 1, doubles, numbers); /* its name, shape and data are replaced */
    oce_array *last = &set.arrays[set.count - 1];
    free((void *)last->data);
    void *copy = malloc(sizeof values);
    cr_assert(copy);
    last->data = memcpy(copy, values, sizeof values);
    last->dtype = OCE_DTYPE_FLOAT64;
    array_set_add(&set, "\xc3\xad", 4, four, numbers);
    last = &set.arrays[set.count - 1];
    free((void *)last->data);
    copy = malloc(sizeof integers);
    cr_assert(copy);
    last->data = memcpy(copy, integers, sizeof integers);
    last->dtype = OCE_DTYPE_INT64;
    return set;
}

/* ---- Round trips ---- */

Test(export, arrays_come_back_from_each_format) {
    array_set set = sample();
    for (int i = 0; i < 2; i++) {
        const char *path = scratch_path(folder, files[i]);
        write_file(path, set.arrays, set.count);
        oce_array_list *list = read_file(path);
        cr_expect_eq(oce_array_list_count(list), set.count);
        for (size_t j = 0; j < set.count; j++)
            expect_array(oce_array_list_find(list, set.arrays[j].name), &set.arrays[j]);
        cr_expect_null(oce_array_list_find(list, "none"));
        oce_array_list_destroy(list);
    }
    for (size_t j = 0; j < set.count; j++) {
        const char *path = scratch_path(folder, files[2]);
        oce_array array = set.arrays[j];
        write_file(path, &array, 1);
        oce_array_list *list = read_file(path);
        cr_expect_eq(oce_array_list_count(list), 1);
        array.name = "a"; /* the file's */
        expect_array(oce_array_list_items(list), &array);
        oce_array_list_destroy(list);
    }
    cr_expect_eq(scratch_count(folder, NULL), 3);
    array_set_free(&set);
    oce_array_list_destroy(NULL);
}

Test(export, no_arrays_at_all) {
    for (int i = 0; i < 2; i++) {
        const char *path = scratch_path(folder, files[i]);
        write_file(path, NULL, 0);
        oce_array_list *list = read_file(path);
        cr_expect_eq(oce_array_list_count(list), 0);
        oce_array_list_destroy(list);
    }
}

Test(export, the_order_of_the_arrays_does_not_matter) {
    array_set set = sample();
    for (int i = 0; i < 2; i++) {
        size_t size, other_size;
        write_file(scratch_path(folder, files[i]), set.arrays, set.count);
        void *one = file_load(scratch_path(folder, files[i]), &size);
        for (size_t j = 0; j < set.count / 2; j++) {
            const oce_array swapped = set.arrays[j];
            set.arrays[j] = set.arrays[set.count - 1 - j];
            set.arrays[set.count - 1 - j] = swapped;
        }
        write_file(scratch_path(folder, files[i]), set.arrays, set.count);
        void *other = file_load(scratch_path(folder, files[i]), &other_size);
        cr_expect(size == other_size && memcmp(one, other, size) == 0, "%s", files[i]);
        free(one);
        free(other);
    }
    array_set_free(&set);
}

Test(export, bytes_of_a_small_safetensors_file) {
    const float values[] = {1, 2};
    const oce_array arrays[] = {{"b", OCE_DTYPE_FLOAT32, 1, (const int64_t[]){1}, values + 1},
                                {"a", OCE_DTYPE_FLOAT32, 0, NULL, values}};
    static const char expected[] =
        "\x70\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}      \0\0\x80?\0\0\0@";
    size_t size;
    write_file(scratch_path(folder, "a.safetensors"), arrays, 2);
    char *got = file_load(scratch_path(folder, "a.safetensors"), &size);
    cr_assert_eq(size, sizeof expected - 1, "%zu", size);
    cr_expect_arr_eq(got, expected, size);
    free(got);
}

Test(export, header_of_an_npy_file) {
    const float values[6] = {0};
    static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    char expected[129];
    snprintf(expected, sizeof expected, "%-117s\n", text); /* behind magic, version and length */
    const oce_array array = {"x", OCE_DTYPE_FLOAT32, 2, (const int64_t[]){2, 3}, values};
    size_t size;
    write_file(scratch_path(folder, "a.npy"), &array, 1);
    char *got = file_load(scratch_path(folder, "a.npy"), &size);
    cr_assert_eq(size, 128 + 24, "%zu", size);
    cr_expect_arr_eq(got, "\x93NUMPY\1\0\x76\0", 10);
    cr_expect_arr_eq(got + 10, expected, 118);
    free(got);
}

Test(export, format_of_a_name) {
    oce_array_format format;
    cr_expect_eq(oce_array_format_of("x/a.b.npz", &format), OCE_OK);
    cr_expect_eq(format, OCE_ARRAY_NPZ);
    cr_expect_eq(oce_array_format_of("a.onnx", &format), OCE_ERROR_INVALID_ARGUMENT);
    expect_message("a.onnx: the name must end in .safetensors, .npz or .npy");
    cr_expect_eq(oce_array_format_of(".npz", &format), OCE_ERROR_INVALID_ARGUMENT);
}

/* ---- What cannot be written ---- */

static void expect_refused(oce_array_format format, const oce_array *arrays, size_t count,
                           oce_status status, const char *message) {
    cr_expect_eq(oce_arrays_write(scratch_path(folder, "out"), format, arrays, count), status);
    expect_message(message);
    cr_expect_eq(scratch_count(folder, NULL), 0);
}

Test(export, what_cannot_be_written_leaves_no_file) {
    const float one = 1;
    const oce_array good = {"a", OCE_DTYPE_FLOAT32, 0, NULL, &one}, twice[] = {good, good};
    oce_array bad = good;
    for (int format = 0; format < 3; format++) {
        bad = good;
        bad.name = "";
        expect_refused((oce_array_format)format, &bad, 1, OCE_ERROR_INVALID_ARGUMENT, "no name");
        bad = good;
        bad.data = NULL;
        expect_refused((oce_array_format)format, &bad, 1, OCE_ERROR_INVALID_ARGUMENT, "no data");
        bad = good;
        bad.dtype = OCE_DTYPE_STRING;
        expect_refused((oce_array_format)format, &bad, 1, OCE_ERROR_INVALID_ARGUMENT, "string");
        expect_refused((oce_array_format)format, twice, 2, OCE_ERROR_INVALID_ARGUMENT,
                       "two arrays have the name 'a'");
        bad.dtype = OCE_DTYPE_QINT8;
        expect_refused((oce_array_format)format, &bad, 1, OCE_ERROR_UNSUPPORTED, "qint8");
    }
    bad.dtype = OCE_DTYPE_BFLOAT16;
    expect_refused(OCE_ARRAY_NPZ, &bad, 1, OCE_ERROR_UNSUPPORTED, "bfloat16");
    expect_refused(OCE_ARRAY_NPY, NULL, 0, OCE_ERROR_INVALID_ARGUMENT, "one array, not 0");
    bad = good;
    bad.name = "\xff\xfe";
    expect_refused(OCE_ARRAY_SAFETENSORS, &bad, 1, OCE_ERROR_UNSUPPORTED, "not UTF-8");
    bad.name = "__metadata__";
    expect_refused(OCE_ARRAY_SAFETENSORS, &bad, 1, OCE_ERROR_UNSUPPORTED, "__metadata__");
}

Test(export, every_operation_may_fail) {
    array_set old = small_arrays(1), new = small_arrays(2);
    for (int i = 0; i < 2; i++) {
        const char *path = scratch_path(folder, files[i]);
        oce_array_format format;
        cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
        for (long at = 1; at <= 5; at++) {
            write_file(path, old.arrays, old.count);
            fault_arm(FAULT_FULL, at, folder);
            const oce_status status = oce_arrays_write(path, format, new.arrays, new.count);
            fault_disarm();
            cr_expect_eq(status, OCE_ERROR_IO);
            expect_message("No space left");
            cr_expect_eq(scratch_count(folder, OCE_TEMPORARY_SUFFIX), 0);
            oce_array_list *list = read_file(path);
            expect_array(oce_array_list_find(list, "bias"),
                         at < 4 ? &old.arrays[1] : &new.arrays[1]);
            oce_array_list_destroy(list);
        }
    }
    array_set_free(&old);
    array_set_free(&new);
}

/* ---- Damaged and hostile files ---- */

/* Every cut and every flipped bit: no crash, and no other numbers where the format has checksums.
 */
static void damage(const char *name, bool has_checksums) {
    array_set set = small_arrays(1);
    const char *path = scratch_path(folder, name);
    size_t size;
    write_file(path, set.arrays, strstr(name, ".npy") ? 1 : set.count);
    unsigned char *bytes = file_load(path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        file_store(path, bytes, cut);
        cr_expect_neq(try_to_read(path), OCE_OK, "%s cut to %zu of %zu", name, cut, size);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        file_store(path, bytes, size);
        oce_array_format format;
        oce_array_list *list = NULL;
        cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
        if (oce_arrays_read(path, format, &list) == OCE_OK && has_checksums)
            for (size_t j = 0; j < set.count; j++) {
                const oce_array *got = oce_array_list_find(list, set.arrays[j].name);
                if (got) /* the directory's names have no checksum */
                    expect_array(got, &set.arrays[j]);
            }
        oce_array_list_destroy(list);
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    free(bytes);
    array_set_free(&set);
}

Test(export, damaged_safetensors) {
    damage(files[0], false);
}

Test(export, damaged_npz) {
    damage(files[1], true);
}

Test(export, damaged_npy) {
    damage(files[2], false);
}

static void expect_safetensors(const char *header, size_t data, oce_status status,
                               const char *message) {
    oce_bytes bytes = {0};
    const char *path = scratch_path(folder, "x.safetensors");
    oce_bytes_u64(&bytes, strlen(header));
    oce_bytes_text(&bytes, header);
    while (data-- > 0)
        oce_bytes_u8(&bytes, 0);
    file_store(path, bytes.data, bytes.size);
    cr_expect_eq(try_to_read(path), status, "%s: %s", header, oce_last_error());
    if (status != OCE_OK)
        expect_message(message);
    oce_bytes_finish(&bytes);
}

#define A(dtype, shape, offsets)                                                                   \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

Test(export, hostile_safetensors) {
    expect_safetensors(A("F32", "[1]", "[0,4]"), 4, OCE_OK, "");
    expect_safetensors("{\"__metadata__\":{\"format\":\"pt\"}}", 0, OCE_OK, "");
    expect_safetensors(A("F32", "[1]", "[0,4]"), 5, OCE_ERROR_FORMAT, "5 bytes of data");
    expect_safetensors(A("F32", "[1]", "[1,5]"), 5, OCE_ERROR_FORMAT, "starts at byte 1");
    expect_safetensors(A("F32", "[2]", "[0,4]"), 4, OCE_ERROR_FORMAT, "said to have 4 bytes");
    expect_safetensors(A("F32", "[-1]", "[0,4]"), 4, OCE_ERROR_FORMAT, "not a size");
    expect_safetensors(A("F32", "[1.0]", "[0,4]"), 4, OCE_ERROR_FORMAT, "not a size");
    expect_safetensors(A("F32", "[4294967296,4294967296]", "[0,4]"), 4, OCE_ERROR_FORMAT,
                       "said to have");
    expect_safetensors(A("F32", "[1]", "[4,0]"), 4, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors(A("F32", "[1]", "[0,4,8]"), 4, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors(A("F32", "1", "[0,4]"), 4, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors(A("F8_E4M3", "[4]", "[0,4]"), 4, OCE_ERROR_UNSUPPORTED, "F8_E4M3");
    expect_safetensors("{\"a\":1}", 0, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors("{\"a\":{},\"a\":{}}", 0, OCE_ERROR_FORMAT, "header: duplicate");
    expect_safetensors("[]", 0, OCE_ERROR_FORMAT, "not a JSON object");
    expect_safetensors("{", 0, OCE_ERROR_FORMAT, "header:");
    expect_safetensors("", 0, OCE_ERROR_FORMAT, "header:");
    const char *path = scratch_path(folder, "x.safetensors");
    file_store(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    cr_expect_eq(try_to_read(path), OCE_ERROR_FORMAT);
    expect_message("a header of 18446744073709551615 bytes in a file of 10");
    cr_expect_eq(try_to_read(scratch_path(folder, "none.npz")), OCE_ERROR_NOT_FOUND);
}

static void expect_npy(const char *header, int version, size_t data, oce_status status,
                       const char *message) {
    oce_bytes bytes = {0};
    const char *path = scratch_path(folder, "x.npy");
    oce_bytes_append(&bytes, "\x93NUMPY", 6);
    oce_bytes_u8(&bytes, (unsigned)version);
    oce_bytes_u8(&bytes, 0);
    oce_bytes_u16(&bytes, (unsigned)strlen(header));
    if (version > 1)
        oce_bytes_u16(&bytes, 0);
    oce_bytes_text(&bytes, header);
    for (size_t i = 0; i < data; i++)
        oce_bytes_u8(&bytes, (unsigned)i);
    file_store(path, bytes.data, bytes.size);
    cr_expect_eq(try_to_read(path), status, "%s: %s", header, oce_last_error());
    if (status != OCE_OK)
        expect_message(message);
    oce_bytes_finish(&bytes);
}

#define H(descr, order, shape)                                                                     \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

Test(export, hostile_npy) {
    expect_npy(H("'<f4'", "False", "(2,)"), 1, 8, OCE_OK, "");
    expect_npy(H("'<f4'", "False", "(2,)"), 2, 8, OCE_OK, "");
    expect_npy(H("\"|u1\"", "False", "(2L, 3L)"), 3, 6, OCE_OK, "");
    expect_npy("{\"shape\":(),\"fortran_order\":False,\"descr\":\"=i2\"}", 1, 2, OCE_OK, "");
    expect_npy(H("'<f4'", "False", "(2,)"), 4, 8, OCE_ERROR_UNSUPPORTED, "version 4");
    expect_npy(H("'<f4'", "False", "(2,)"), 1, 7, OCE_ERROR_FORMAT, "7 bytes of elements");
    expect_npy(H("'<f4'", "False", "(2,)"), 1, 9, OCE_ERROR_FORMAT, "9 bytes of elements");
    expect_npy(H("'>f4'", "False", "(2,)"), 1, 8, OCE_ERROR_UNSUPPORTED, "big-endian");
    expect_npy(H("'|O'", "False", "(1,)"), 1, 8, OCE_ERROR_UNSUPPORTED, "'|O'");
    expect_npy(H("[('a', '<f4')]", "False", "(1,)"), 1, 4, OCE_ERROR_UNSUPPORTED, "records");
    expect_npy(H("'<f4'", "Maybe", "(2,)"), 1, 8, OCE_ERROR_FORMAT, "malformed .npy header");
    expect_npy(H("'<f4'", "False", "(-2,)"), 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy(H("'<f4'", "False", "(99999999999999999999,)"), 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy(H("'<f4'", "False", "(2 3)"), 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy(H("'<f4'", "False", "(4294967296,4294967296)"), 1, 8, OCE_ERROR_FORMAT, "its shape");
    expect_npy("{'descr': '<f4', 'fortran_order': False}", 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy("{'descr': '<f4', 'other': False}", 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy("{'descr", 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy("", 1, 8, OCE_ERROR_FORMAT, "malformed");
}

Test(export, column_major_arrays_are_turned) {
    expect_npy(H("'|u1'", "True", "(2, 3)"), 1, 6, OCE_OK, "");
    oce_array_list *list = read_file(scratch_path(folder, "x.npy"));
    static const unsigned char rows[] = {0, 2, 4, 1, 3, 5};
    cr_expect_arr_eq(oce_array_list_items(list)->data, rows, 6);
    oce_array_list_destroy(list);
}

/* A deflated member, whose size may be a lie. */
static void store_deflated(const char *path, size_t claimed, bool right_crc) {
    unsigned char packed[512];
    char npy[128 + 400] = "\x93NUMPY\1\0\x76\0{'descr': '|u1', 'fortran_order': False, "
                          "'shape': (400,), }";
    const size_t header = 10 + strlen(npy + 10);
    memset(npy + header, ' ', 127 - header);
    npy[127] = '\n';
    z_stream stream = {.next_in = (unsigned char *)npy,
                       .avail_in = sizeof npy,
                       .next_out = packed,
                       .avail_out = sizeof packed};
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    const unsigned size = (unsigned)stream.total_out;
    deflateEnd(&stream);
    const uint32_t crc = (uint32_t)crc32(0, (unsigned char *)npy, sizeof npy) + !right_crc;
    oce_bytes zip = {0};
    for (int central = 0; central < 2; central++) {
        const size_t directory = zip.size;
        oce_bytes_u32(&zip, central ? 0x02014b50 : 0x04034b50);
        if (central)
            oce_bytes_u16(&zip, 20);
        oce_bytes_u16(&zip, 20);
        oce_bytes_u16(&zip, 0);
        oce_bytes_u16(&zip, 8);
        oce_bytes_u32(&zip, 0);
        oce_bytes_u32(&zip, crc);
        oce_bytes_u32(&zip, size);
        oce_bytes_u32(&zip, (uint32_t)claimed);
        oce_bytes_u16(&zip, 5);
        oce_bytes_u16(&zip, central ? 0 : 3); /* extra bytes in the local header only */
        for (int i = 0; i < (central ? 14 : 0); i++)
            oce_bytes_u8(&zip, 0);
        oce_bytes_text(&zip, central ? "q.npy" : "q.npyxxx");
        if (!central) {
            oce_bytes_append(&zip, packed, size);
            continue;
        }
        const size_t end = zip.size;
        oce_bytes_u32(&zip, 0x06054b50);
        oce_bytes_u64(&zip, 0);
        oce_bytes_u32(&zip, (uint32_t)(end - directory));
        oce_bytes_u32(&zip, (uint32_t)directory);
        oce_bytes_u16(&zip, 7);
        oce_bytes_text(&zip, "comment");
    }
    file_store(path, zip.data, zip.size);
    oce_bytes_finish(&zip);
}

Test(export, deflated_npz) {
    const char *path = scratch_path(folder, "x.npz");
    store_deflated(path, 528, true);
    oce_array_list *list = read_file(path);
    cr_expect_str_eq(oce_array_list_items(list)->name, "q");
    cr_expect_eq(oce_array_list_items(list)->shape[0], 400);
    oce_array_list_destroy(list);
    store_deflated(path, 528, false);
    cr_expect_eq(try_to_read(path), OCE_ERROR_CHECKSUM);
    store_deflated(path, 527, true);
    cr_expect_eq(try_to_read(path), OCE_ERROR_FORMAT);
    store_deflated(path, 4000000000U, true);
    cr_expect_eq(try_to_read(path), OCE_ERROR_FORMAT);
    expect_message("cannot hold 4000000000");
    file_store(path, "PK\5\6", 4);
    cr_expect_eq(try_to_read(path), OCE_ERROR_FORMAT);
    expect_message("not a zip archive");
}

/* ---- NumPy itself ---- */

/* A command that runs Python with NumPy, or NULL. */
static const char *find_python(void) {
    static const char *const commands[] = {"python3", "/usr/bin/python3"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char command[128];
        snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null", commands[i]);
        if (system(command) == 0)
            return commands[i];
    }
    return NULL;
}

static void run_python(const char *python, const char *program) {
    char command[700];
    file_store(scratch_path(folder, "program.py"), program, strlen(program));
    snprintf(command, sizeof command, "cd '%s' && %s program.py", folder, python);
    cr_expect_eq(system(command), 0, "%s", program);
}

Test(export, numpy_reads_what_is_written) {
    const char *python = find_python();
    if (!python)
        cr_skip_test("needs Python with NumPy");
    array_set set = sample();
    write_file(scratch_path(folder, "a.npz"), set.arrays, set.count);
    write_file(scratch_path(folder, "a.npy"), &set.arrays[0], 1);
    run_python(python,
               "import numpy as np\n"
               "z = np.load('a.npz')\n"
               "assert sorted(z.files) == ['bias', 'empty', 'large/weights', 'power', 'weights', "
               "'x', '\\u00ed'], z.files\n"
               "assert z['weights'].dtype == np.float32 and z['weights'].shape == (2, 3)\n"
               "assert z['weights'][1, 2] == 45.25 and z['power'].shape == ()\n"
               "assert z['x'].tolist() == [0.1, -2] and z['empty'].shape == (0, 3)\n"
               "assert z['\\u00ed'].ravel().tolist() == [-1, 1 << 40, 3, 4]\n"
               "large = np.arange(21000, dtype=np.float32) / np.float32(7)\n"
               "assert (z['large/weights'].ravel() == large).all()\n"
               "assert (np.load('a.npy') == z['weights']).all()\n");
    array_set_free(&set);
}

Test(export, what_numpy_writes_is_read) {
    const char *python = find_python();
    if (!python)
        cr_skip_test("needs Python with NumPy");
    run_python(python, "import numpy as np\n"
                       "a = np.arange(6, dtype=np.float32).reshape(2, 3)\n"
                       "np.savez('p.npz', a=a, b=np.float64(0.5), t=a.T)\n"
                       "np.savez_compressed('c.npz', a=a, zeros=np.zeros(100000, np.int16))\n"
                       "np.save('t.npy', np.asfortranarray(np.arange(24).reshape(2, 3, 4)))\n");
    oce_array_list *list = read_file(scratch_path(folder, "p.npz"));
    const oce_array *t = oce_array_list_find(list, "t");
    cr_assert(t && t->rank == 2 && t->shape[0] == 3);
    static const float turned[] = {0, 3, 1, 4, 2, 5};
    cr_expect_arr_eq(t->data, turned, sizeof turned);
    cr_expect_eq(*(const double *)oce_array_list_find(list, "b")->data, 0.5);
    oce_array_list_destroy(list);
    list = read_file(scratch_path(folder, "c.npz"));
    cr_expect_eq(oce_array_list_find(list, "zeros")->shape[0], 100000);
    cr_expect_eq(((const float *)oce_array_list_find(list, "a")->data)[5], 5);
    oce_array_list_destroy(list);
    list = read_file(scratch_path(folder, "t.npy"));
    t = oce_array_list_items(list);
    cr_expect_eq(t->rank, 3);
    for (int i = 0; i < 24; i++)
        cr_expect_eq(((const int64_t *)t->data)[i], i);
    oce_array_list_destroy(list);
}

/* ---- Element types and shapes ---- */

Test(export, element_types) {
    cr_expect_str_eq(oce_dtype_name(OCE_DTYPE_FLOAT32), "float32");
    cr_expect_str_eq(oce_dtype_name((oce_dtype)99), "unknown");
    cr_expect_eq(oce_dtype_bytes(OCE_DTYPE_COMPLEX128), 16);
    cr_expect_eq(oce_dtype_bytes(OCE_DTYPE_STRING), 0);
    cr_expect_eq(oce_dtype_bytes((oce_dtype)99), 0);
}

Test(export, shapes_as_text) {
    char text[16];
    const int64_t shape[] = {5, 5, 1, 32};
    cr_expect_str_eq(oce_shape_text(0, NULL, text, sizeof text), "[]");
    cr_expect_str_eq(oce_shape_text(1, shape, text, sizeof text), "[5]");
    cr_expect_str_eq(oce_shape_text(4, shape, text, sizeof text), "[5, 5, 1, 32]");
    cr_expect_str_eq(oce_shape_text(4, shape, text, 8), "[5, 5, ");
}
