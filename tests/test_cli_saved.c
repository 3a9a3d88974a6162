/* ocelli inspect, export and import: checkpoints, whole and damaged. None needs a device. */
#include "support/checkpoint.h"
#include "support/command.h"
#include "support/scratch.h"

#include <ocelli/checkpoint.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
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

TestSuite(cli_saved, .init = setup, .fini = teardown);

static const char data_ending[] = ".data-00000-of-00001";

/* "<folder>/<name><ending>" */
static const char *file_of(const char *name, const char *ending) {
    char both[256];
    snprintf(both, sizeof both, "%s%s", name, ending);
    return scratch_path(folder, both);
}

static void write_bundle(const char *name, const oce_array *arrays, size_t count) {
    oce_bundle_writer *writer = NULL;
    cr_assert_eq(oce_bundle_writer_create(scratch_path(folder, name), &writer), OCE_OK);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &arrays[i]), OCE_OK, "%s", oce_last_error());
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
}

/* Tensors of several types: a matrix, a scalar, integers, one with a NaN, an empty one. */
static void write_sample(const char *name) {
    static const float weights[] = {1, -2, 3, -4, 5, 0.5F}, rate = 0.25F;
    const float odd[] = {NAN, INFINITY, 2, 4};
    static const int64_t steps[] = {-7, INT64_C(1) << 40};
    static const uint16_t halves[] = {0x3C00, 0xC000, 0x0001, 0x7C00}; /* 1, -2, 2^-24, infinite */
    static const int64_t matrix[] = {2, 3}, four[] = {4}, two[] = {2}, none[] = {0, 3};
    const oce_array arrays[] = {{"layer/weights", OCE_DTYPE_FLOAT32, 2, matrix, weights},
                                {"rate", OCE_DTYPE_FLOAT32, 0, NULL, &rate},
                                {"odd", OCE_DTYPE_FLOAT32, 1, four, odd},
                                {"steps", OCE_DTYPE_INT64, 1, two, steps},
                                {"halves", OCE_DTYPE_FLOAT16, 1, four, halves},
                                {"none", OCE_DTYPE_FLOAT32, 2, none, NULL}};
    write_bundle(name, arrays, sizeof arrays / sizeof arrays[0]);
}

static json_t *parse(const command_result *result) {
    json_error_t error;
    json_t *root = json_loads(result->out, JSON_REJECT_DUPLICATES, &error);
    cr_assert(root != NULL, "line %d: %s\n%s", error.line, error.text, result->out);
    return root;
}

static const json_t *tensor_in(const json_t *root, const char *name) {
    const json_t *list = json_object_get(root, "tensors"), *each = NULL;
    size_t i = 0;
    json_array_foreach(list, i, each) {
        if (strcmp(json_string_value(json_object_get(each, "name")), name) == 0)
            return each;
    }
    cr_assert_fail("no tensor %s", name);
    return NULL;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_number(value), "no number \"%s\"", key);
    return json_number_value(value);
}

static void expect_same_file(const char *a, const char *b) {
    size_t sizes[2] = {0, 0};
    char *first = file_load(a, &sizes[0]), *second = file_load(b, &sizes[1]);
    cr_expect(sizes[0] == sizes[1] && memcmp(first, second, sizes[0]) == 0, "%s is not %s", a, b);
    free(first);
    free(second);
}

static void damage(const char *path, long offset) {
    size_t size = 0;
    char *data = file_load(path, &size);
    data[offset >= 0 ? (size_t)offset : size / 2] ^= 1;
    file_store(path, data, size);
    free(data);
}

#define RUN(...) command_ocelli(NULL, __VA_ARGS__)

#define EXPECT_FAILURE(code, text, ...)                                                            \
    do {                                                                                           \
        command_result failed_ = RUN(__VA_ARGS__);                                                 \
        expect_failure(&failed_, code, text);                                                      \
        command_free(&failed_);                                                                    \
    } while (0)

/* ---- inspect -----------------------------------------------------------------------------------
 */

Test(cli_saved, inspect_shows_tensors_and_statistics) {
    write_sample("m");
    command_result r = RUN("inspect", scratch_path(folder, "m"));
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_str_eq(r.err, "");
    static const char *const parts[] = {"layer/weights  float32  [2, 3]",
                                        "-4",
                                        "0.583333",
                                        "steps          int64",
                                        "1.09951e+12",
                                        "no sidecar",
                                        "m: 6 tensors, 68 B; every checksum is right"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_expect(strstr(r.out, parts[i]) != NULL, "\"%s\" is not in\n%s", parts[i], r.out);
    command_free(&r);
}

Test(cli_saved, inspect_json) {
    write_sample("m");
    command_result r = RUN("inspect", scratch_path(folder, "m"), "--json");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = parse(&r);
    cr_expect_eq(json_array_size(json_object_get(root, "tensors")), 6);
    cr_expect(json_is_null(json_object_get(root, "sidecar")));
    const json_t *weights = tensor_in(root, "layer/weights");
    cr_expect_str_eq(json_string_value(json_object_get(weights, "dtype")), "float32");
    cr_expect_eq(json_integer_value(json_array_get(json_object_get(weights, "shape"), 1)), 3);
    cr_expect(number(weights, "min") == -4 && number(weights, "max") == 5);
    cr_expect_float_eq(number(weights, "mean"), 3.5 / 6, 1e-8);
    cr_expect_float_eq(number(weights, "std"), sqrt(55.25 / 6 - 3.5 * 3.5 / 36), 1e-7);
    cr_expect(json_is_true(json_object_get(weights, "checksum_ok")));
    const json_t *odd = tensor_in(root, "odd"), *none = tensor_in(root, "none");
    cr_expect(number(odd, "non_finite") == 2 && number(odd, "mean") == 3 &&
              number(odd, "std") == 1);
    cr_expect(number(none, "non_finite") == 0 && json_is_null(json_object_get(none, "min")));
    const json_t *halves = tensor_in(root, "halves");
    cr_expect(number(halves, "min") == -2 && number(halves, "max") == 1 &&
              number(halves, "non_finite") == 1);
    cr_expect(number(tensor_in(root, "steps"), "min") == -7);
    json_decref(root);
    command_free(&r);
}

Test(cli_saved, inspect_takes_a_folder_or_an_index_file) {
    oce_saver *saver = NULL;
    const oce_saver_options defaults = oce_saver_defaults();
    array_set set = small_arrays(3);
    cr_assert_eq(oce_saver_create(&defaults, &saver), OCE_OK);
    for (int64_t step = 1; step <= 2; step++)
        cr_assert_eq(
            oce_saver_save(saver, scratch_path(folder, "model"), step, set.arrays, set.count, NULL),
            OCE_OK);
    oce_saver_destroy(saver);
    array_set_free(&set);
    const char *paths[] = {folder, scratch_path(folder, "model-2.index"),
                           scratch_path(folder, "model-2")};
    for (int i = 0; i < 3; i++) {
        command_result r = RUN("inspect", paths[i]);
        cr_expect(r.code == 0 && strstr(r.out, "model-2: 3 tensors") != NULL, "%s%s", r.out, r.err);
        command_free(&r);
    }
}

Test(cli_saved, inspect_shows_the_sidecar) {
    oce_sidecar *sidecar = NULL;
    write_sample("m");
    cr_assert_eq(oce_sidecar_create(&sidecar), OCE_OK);
    cr_assert_eq(oce_sidecar_set(sidecar, "step", "12"), OCE_OK);
    cr_assert_eq(oce_sidecar_write(sidecar, scratch_path(folder, "m")), OCE_OK);
    oce_sidecar_destroy(sidecar);
    command_result r = RUN("inspect", scratch_path(folder, "m"), "--json");
    json_t *root = parse(&r);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(root, "sidecar"), "step")),
                     "12");
    json_decref(root);
    command_free(&r);
    damage(scratch_path(folder, "m.ocelli"), -1);
    r = RUN("inspect", scratch_path(folder, "m"));
    cr_expect(r.code == 0 && strstr(r.err, "warning: ") != NULL &&
                  strstr(r.out, "no sidecar") != NULL,
              "%s%s", r.out, r.err);
    command_free(&r);
}

/* One damaged tensor does not hide the others. */
Test(cli_saved, inspect_finds_damage) {
    write_sample("m");
    damage(file_of("m", data_ending), 8 + 4); /* halves, then layer/weights */
    command_result r = RUN("inspect", scratch_path(folder, "m"));
    cr_expect_eq(r.code, 1);
    cr_expect(strstr(r.err, "tensor 'layer/weights', 24 bytes from byte 8 on: the checksum") !=
                  NULL,
              "%s", r.err);
    cr_expect(strstr(r.out, "FAILED") != NULL &&
                  strstr(r.out, "6 tensors, 68 B; 1 damaged") != NULL,
              "%s", r.out);
    command_free(&r);
    r = RUN("inspect", scratch_path(folder, "m"), "--json");
    json_t *root = parse(&r);
    cr_expect(r.code == 1 &&
              json_is_false(json_object_get(tensor_in(root, "layer/weights"), "checksum_ok")));
    cr_expect(json_is_string(json_object_get(tensor_in(root, "layer/weights"), "error")));
    cr_expect(json_is_true(json_object_get(tensor_in(root, "steps"), "checksum_ok")));
    json_decref(root);
    command_free(&r);
}

Test(cli_saved, inspect_of_what_is_no_checkpoint) {
    EXPECT_FAILURE(1, "none.index: cannot open: No such file", "inspect",
                   scratch_path(folder, "none"));
    EXPECT_FAILURE(1, folder, "inspect", folder);
    EXPECT_FAILURE(2, "missing argument: PREFIX|DIR", "inspect");
    file_store(scratch_path(folder, "text.index"), "no table at all", 15);
    EXPECT_FAILURE(1, "text.index", "inspect", scratch_path(folder, "text"));
    write_sample("m");
    size_t size = 0;
    char *data = file_load(file_of("m", data_ending), &size);
    file_store(file_of("m", data_ending), data, 20);
    free(data);
    command_result r = RUN("inspect", scratch_path(folder, "m"));
    cr_expect(r.code == 1 && strstr(r.err, "has 20 bytes, but tensor 'layer/weights'") != NULL,
              "%s", r.err);
    command_free(&r);
    remove(file_of("m", data_ending));
    r = RUN("inspect", scratch_path(folder, "m"));
    cr_expect(r.code == 1 && strstr(r.err, "cannot open") != NULL, "%s", r.err);
    command_free(&r);
}

Test(cli_saved, inspect_of_names_that_are_no_text) {
    static const float one = 1;
    const oce_array arrays[] = {{"a\xFF\n\x1B[2Jz", OCE_DTYPE_FLOAT32, 0, NULL, &one}};
    write_bundle("m", arrays, 1);
    command_result r = RUN("inspect", scratch_path(folder, "m"));
    cr_expect(r.code == 0 && strstr(r.out, "a???[2Jz") != NULL, "%s", r.out);
    command_free(&r);
    r = RUN("inspect", scratch_path(folder, "m"), "--json");
    json_t *root = parse(&r);
    cr_expect(tensor_in(root, "a???[2Jz") != NULL);
    json_decref(root);
    command_free(&r);
}

Test(cli_saved, dump_writes_an_npy_file) {
    write_sample("m");
    const char *out = scratch_path(folder, "w.npy");
    command_result r =
        RUN("inspect", scratch_path(folder, "m"), "--dump", "layer/weights", "--out", out);
    cr_expect(r.code == 0 && strstr(r.out, "w.npy: layer/weights, float32 [2, 3]") != NULL, "%s%s",
              r.out, r.err);
    command_free(&r);
    oce_array_list *list = NULL;
    cr_assert_eq(oce_arrays_read(out, OCE_ARRAY_NPY, &list), OCE_OK, "%s", oce_last_error());
    const oce_array *array = oce_array_list_items(list);
    cr_expect(array->rank == 2 && array->shape[0] == 2 && ((const float *)array->data)[3] == -4);
    oce_array_list_destroy(list);
}

Test(cli_saved, dump_errors) {
    write_sample("m");
    const char *prefix = scratch_path(folder, "m");
    const char *out = scratch_path(folder, "w.npy");
    EXPECT_FAILURE(1, "no tensor \"layer/weight\" among its 6; did you mean \"layer/weights\"?",
                   "inspect", prefix, "--dump", "layer/weight", "--out", out);
    EXPECT_FAILURE(1, "no tensor \"something else\" among its 6", "inspect", prefix, "--dump",
                   "something else", "--out", out);
    EXPECT_FAILURE(2, "--out needs --dump", "inspect", prefix, "--out", out);
    EXPECT_FAILURE(2, "exclude each other", "inspect", prefix, "--dump", "rate", "--json");
    EXPECT_FAILURE(1, "none/w.npy", "inspect", prefix, "--dump", "rate", "--out",
                   scratch_path(folder, "none/w.npy"));
    damage(file_of("m", data_ending), 8 + 4);
    EXPECT_FAILURE(1, "checksum", "inspect", prefix, "--dump", "layer/weights", "--out", out);
    cr_expect(!file_is_there(out), "nothing is half-written");
}

/* ---- export and import -------------------------------------------------------------------------
 */

Test(cli_saved, a_round_trip_gives_the_same_bytes) {
    static const char *const files[] = {"m.npz", "m.safetensors"};
    write_sample("m");
    for (int i = 0; i < 2; i++) {
        const char *file = scratch_path(folder, files[i]), *back = scratch_path(folder, "back");
        command_result r = RUN("export", scratch_path(folder, "m"), "--to", file);
        cr_assert_eq(r.code, 0, "%s", r.err);
        cr_expect(strstr(r.out, ": 6 tensors") != NULL, "%s", r.out);
        command_free(&r);
        r = RUN("import", file, "--to", back);
        cr_assert_eq(r.code, 0, "%s", r.err);
        cr_expect(strstr(r.out, "back: 6 tensors") != NULL, "%s", r.out);
        command_free(&r);
        expect_same_file(file_of("m", ".index"), file_of("back", ".index"));
        expect_same_file(file_of("m", data_ending), file_of("back", data_ending));
    }
    cr_expect_eq(scratch_count(folder, NULL), 6, "no other files");
}

/* Strings, which TensorFlow 2 keeps its object graph in, have no place in a file of arrays. */
Test(cli_saved, strings_are_left_out) {
    json_t *root = json_load_file("tests/vectors/tf_bundle_files.json", 0, NULL), *each = NULL;
    const json_t *vector = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(root, "vectors"), i, each) {
        if (strstr(json_string_value(json_object_get(each, "name")), "tf2") != NULL)
            vector = each;
    }
    cr_assert(vector != NULL);
    static const char *const keys[] = {"index_hex", "data_hex"};
    const char *endings[] = {".index", data_ending};
    for (i = 0; i < 2; i++) {
        size_t size = 0;
        void *data = decode_hex(json_string_value(json_object_get(vector, keys[i])), &size);
        file_store(file_of("m", endings[i]), data, size);
        free(data);
    }
    command_result r = RUN("inspect", scratch_path(folder, "m"));
    cr_expect(r.code == 0 && strstr(r.out, "every checksum is right") != NULL, "%s%s", r.out,
              r.err);
    command_free(&r);
    r = RUN("export", scratch_path(folder, "m"), "--to", scratch_path(folder, "m.npz"));
    cr_expect(r.code == 0 && strstr(r.err, "left out: _CHECKPOINTABLE_OBJECT_GRAPH") != NULL, "%s",
              r.err);
    command_free(&r);
    EXPECT_FAILURE(1, "string", "inspect", scratch_path(folder, "m"), "--dump",
                   "_CHECKPOINTABLE_OBJECT_GRAPH", "--out", scratch_path(folder, "s.npy"));
    json_decref(root);
}

/* The untrained network of the golden files, with its slots: TensorFlow's own bytes. */
Test(cli_saved, a_round_trip_of_the_whole_network) {
    array_set start = golden_start(false);
    write_bundle("m", start.arrays, start.count);
    array_set_free(&start);
    command_result r = RUN("export", scratch_path(folder, "m.index"), "--quiet", "--to",
                           scratch_path(folder, "m.npz"));
    cr_assert(r.code == 0 && r.out_size == 0 && r.err_size == 0, "%s%s", r.out, r.err);
    command_free(&r);
    r = RUN("import", scratch_path(folder, "m.npz"), "--quiet", "--to",
            scratch_path(folder, "back"));
    cr_assert(r.code == 0 && r.out_size == 0 && r.err_size == 0, "%s%s", r.out, r.err);
    command_free(&r);
    expect_same_file(file_of("m", ".index"), file_of("back", ".index"));
    expect_same_file(file_of("m", data_ending), file_of("back", data_ending));
}

/* The first python3 in PATH need not be the one that distributions give NumPy to. */
static const char *need_numpy(void) {
    static const char *const commands[] = {"python3", "/usr/bin/python3"};
    for (int i = 0; i < 2; i++) {
        command_result r =
            command_run((const char *const[]){commands[i], "-c", "import numpy", NULL}, NULL, NULL);
        const int code = r.code;
        command_free(&r);
        if (code == 0)
            return commands[i];
    }
    cr_skip_test("no python3 with numpy");
    return NULL;
}

Test(cli_saved, numpy_reads_what_is_exported) {
    static const char script[] =
        "import sys, numpy as n\n"
        "a = n.load(sys.argv[1])\n"
        "assert sorted(a.files) == ['halves', 'layer/weights', 'none', 'odd', 'rate', 'steps']\n"
        "assert (a['layer/weights'] == n.array([[1, -2, 3], [-4, 5, .5]], 'f4')).all()\n"
        "assert a['rate'].shape == () and a['rate'] == .25 and a['rate'].dtype == n.float32\n"
        "assert a['steps'].tolist() == [-7, 2**40] and a['none'].shape == (0, 3)\n"
        "assert a['halves'].tolist() == [1, -2, 2.0**-24, float('inf')]\n"
        "b = n.load(sys.argv[2])\n"
        "assert (b == a['layer/weights']).all() and b.dtype == n.float32\n"
        "n.savez_compressed(sys.argv[3], **{k: a[k] for k in reversed(a.files)})\n";
    const char *python = need_numpy();
    write_sample("m");
    const char *prefix = scratch_path(folder, "m"), *npz = scratch_path(folder, "m.npz");
    const char *npy = scratch_path(folder, "w.npy"), *own = scratch_path(folder, "numpy.npz");
    command_result r = RUN("export", prefix, "--to", npz);
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    r = RUN("inspect", prefix, "--dump", "layer/weights", "--out", npy);
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    r = command_run((const char *const[]){python, "-c", script, npz, npy, own, NULL}, NULL, NULL);
    cr_expect_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    r = RUN("import", own, "--to", scratch_path(folder, "back"));
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    expect_same_file(file_of("m", ".index"), file_of("back", ".index"));
    expect_same_file(file_of("m", data_ending), file_of("back", data_ending));
}

Test(cli_saved, export_errors) {
    write_sample("m");
    const char *prefix = scratch_path(folder, "m"), *out = scratch_path(folder, "m.npz");
    EXPECT_FAILURE(2, "--to FILE is missing", "export", prefix);
    EXPECT_FAILURE(2, ".safetensors", "export", prefix, "--to", scratch_path(folder, "m.txt"));
    EXPECT_FAILURE(2, "inspect --dump", "export", prefix, "--to", scratch_path(folder, "m.npy"));
    EXPECT_FAILURE(1, "cannot open", "export", scratch_path(folder, "none"), "--to", out);
    EXPECT_FAILURE(1, "none/m.npz", "export", prefix, "--to", scratch_path(folder, "none/m.npz"));
    file_store(out, "before", 6);
    damage(file_of("m", data_ending), -1);
    EXPECT_FAILURE(1, "checksum", "export", prefix, "--to", out);
    char *kept = file_load(out, NULL);
    cr_expect_str_eq(kept, "before", "the file is replaced as a whole or not at all");
    free(kept);
}

Test(cli_saved, import_errors) {
    write_sample("m");
    const char *npz = scratch_path(folder, "m.npz"), *back = scratch_path(folder, "back");
    command_result r = RUN("export", scratch_path(folder, "m"), "--to", npz);
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    EXPECT_FAILURE(2, "--to PREFIX is missing", "import", npz);
    EXPECT_FAILURE(2, ".safetensors", "import", scratch_path(folder, "m.index"), "--to", back);
    EXPECT_FAILURE(1, "none.npz", "import", scratch_path(folder, "none.npz"), "--to", back);
    EXPECT_FAILURE(1, "none/back", "import", npz, "--to", scratch_path(folder, "none/back"));
    size_t size = 0;
    char *data = file_load(npz, &size);
    file_store(npz, data, size / 2);
    EXPECT_FAILURE(1, "m.npz", "import", npz, "--to", back);
    data[size / 4] ^= 1;
    file_store(npz, data, size);
    EXPECT_FAILURE(1, "m.npz", "import", npz, "--to", back);
    free(data);
    cr_expect_eq(scratch_count(folder, "back"), 0, "nothing is half-written");
}

/* Another checkpoint's sidecar must not stay beside the new one. */
Test(cli_saved, import_over_a_checkpoint_with_a_sidecar) {
    oce_sidecar *sidecar = NULL;
    static const float two = 2;
    const oce_array other = {"other", OCE_DTYPE_FLOAT32, 0, NULL, &two};
    write_sample("m");
    const char *npz = scratch_path(folder, "m.npz"), *old = scratch_path(folder, "old");
    command_result r = RUN("export", scratch_path(folder, "m"), "--to", npz);
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    write_bundle("old", &other, 1);
    cr_assert_eq(oce_sidecar_create(&sidecar), OCE_OK);
    cr_assert_eq(oce_sidecar_write(sidecar, old), OCE_OK);
    oce_sidecar_destroy(sidecar);
    r = RUN("import", npz, "--to", old);
    cr_expect(r.code == 0 && strstr(r.err, "removed ") != NULL, "%s", r.err);
    command_free(&r);
    cr_expect(!file_is_there(scratch_path(folder, "old.ocelli")));
    expect_same_file(file_of("m", ".index"), file_of("old", ".index"));
}
