#include <ocelli/array.h>

#include "base/file.h"
#include "support/array_files.h"
#include "support/checkpoint.h"
#include "support/fault.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

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
        arrays_store(path, set.arrays, set.count);
        oce_array_list *list = arrays_load(path);
        cr_expect_eq(oce_array_list_count(list), set.count);
        for (size_t j = 0; j < set.count; j++)
            expect_same_array(oce_array_list_find(list, set.arrays[j].name), &set.arrays[j]);
        cr_expect_null(oce_array_list_find(list, "none"));
        oce_array_list_destroy(list);
    }
    for (size_t j = 0; j < set.count; j++) {
        const char *path = scratch_path(folder, files[2]);
        oce_array array = set.arrays[j];
        arrays_store(path, &array, 1);
        oce_array_list *list = arrays_load(path);
        cr_expect_eq(oce_array_list_count(list), 1);
        array.name = "a"; /* the file's */
        expect_same_array(oce_array_list_items(list), &array);
        oce_array_list_destroy(list);
    }
    cr_expect_eq(scratch_count(folder, NULL), 3);
    array_set_free(&set);
    oce_array_list_destroy(NULL);
}

Test(export, no_arrays_at_all) {
    for (int i = 0; i < 2; i++) {
        const char *path = scratch_path(folder, files[i]);
        arrays_store(path, NULL, 0);
        oce_array_list *list = arrays_load(path);
        cr_expect_eq(oce_array_list_count(list), 0);
        oce_array_list_destroy(list);
    }
}

Test(export, the_order_of_the_arrays_does_not_matter) {
    array_set set = sample();
    for (int i = 0; i < 2; i++) {
        size_t size, other_size;
        arrays_store(scratch_path(folder, files[i]), set.arrays, set.count);
        void *one = file_load(scratch_path(folder, files[i]), &size);
        for (size_t j = 0; j < set.count / 2; j++) {
            const oce_array swapped = set.arrays[j];
            set.arrays[j] = set.arrays[set.count - 1 - j];
            set.arrays[set.count - 1 - j] = swapped;
        }
        arrays_store(scratch_path(folder, files[i]), set.arrays, set.count);
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
    arrays_store(scratch_path(folder, "a.safetensors"), arrays, 2);
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
    arrays_store(scratch_path(folder, "a.npy"), &array, 1);
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
    expect_last_error("a.onnx: the name must end in .safetensors, .npz or .npy");
    cr_expect_eq(oce_array_format_of(".npz", &format), OCE_ERROR_INVALID_ARGUMENT);
}

/* ---- What cannot be written ---- */

static void expect_refused(oce_array_format format, const oce_array *arrays, size_t count,
                           oce_status status, const char *message) {
    cr_expect_eq(oce_arrays_write(scratch_path(folder, "out"), format, arrays, count), status);
    expect_last_error(message);
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
            arrays_store(path, old.arrays, old.count);
            fault_arm(FAULT_FULL, at, folder);
            const oce_status status = oce_arrays_write(path, format, new.arrays, new.count);
            fault_disarm();
            cr_expect_eq(status, OCE_ERROR_IO);
            expect_last_error("No space left");
            cr_expect_eq(scratch_count(folder, OCE_TEMPORARY_SUFFIX), 0);
            oce_array_list *list = arrays_load(path);
            expect_same_array(oce_array_list_find(list, "bias"),
                              at < 4 ? &old.arrays[1] : &new.arrays[1]);
            oce_array_list_destroy(list);
        }
    }
    array_set_free(&old);
    array_set_free(&new);
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
    arrays_store(scratch_path(folder, "a.npz"), set.arrays, set.count);
    arrays_store(scratch_path(folder, "a.npy"), &set.arrays[0], 1);
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
    oce_array_list *list = arrays_load(scratch_path(folder, "p.npz"));
    const oce_array *t = oce_array_list_find(list, "t");
    cr_assert(t && t->rank == 2 && t->shape[0] == 3);
    static const float turned[] = {0, 3, 1, 4, 2, 5};
    cr_expect_arr_eq(t->data, turned, sizeof turned);
    cr_expect_eq(*(const double *)oce_array_list_find(list, "b")->data, 0.5);
    oce_array_list_destroy(list);
    list = arrays_load(scratch_path(folder, "c.npz"));
    cr_expect_eq(oce_array_list_find(list, "zeros")->shape[0], 100000);
    cr_expect_eq(((const float *)oce_array_list_find(list, "a")->data)[5], 5);
    oce_array_list_destroy(list);
    list = arrays_load(scratch_path(folder, "t.npy"));
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
