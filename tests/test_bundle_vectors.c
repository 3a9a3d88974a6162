/* Bundles that TensorFlow wrote: every one is read, and written again byte for byte. */
#include <ocelli/checkpoint.h>

#include "base/crc32c.h"
#include "io/bundle_writer.h"
#include "support/checkpoint.h"
#include "support/scratch.h"
#include "support/vectors_json.h"

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

TestSuite(bundle_vectors, .init = setup, .fini = teardown);

static int take_shape(const json_t *list, int64_t *shape) {
    size_t i;
    json_t *extent;
    json_array_foreach(list, i, extent) shape[i] = json_integer_value(extent);
    return (int)json_array_size(list);
}

static oce_bundle_reader *open_bundle(const char *prefix) {
    oce_bundle_reader *reader;
    cr_assert_eq(oce_bundle_reader_open(prefix, &reader), OCE_OK, "%s", oce_last_error());
    return reader;
}

static void expect_values(oce_bundle_reader *reader, const char *name, int rank,
                          const int64_t *shape, const json_t *expected) {
    const size_t count = json_array_size(expected);
    float *values = malloc((count + 1) * sizeof *values);
    cr_assert(values);
    cr_assert_eq(oce_bundle_reader_read(reader, name, rank, shape, values), OCE_OK, "%s",
                 oce_last_error());
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(values[i], (float)json_number_value(json_array_get(expected, i)), "%s[%zu]",
                     name, i);
    free(values);
}

static void expect_checksum_holds(oce_bundle_reader *reader, size_t index) {
    const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, index);
    void *data = malloc((size_t)entry->bytes + 1);
    cr_assert(data);
    cr_expect_eq(oce_bundle_reader_read_bytes(reader, index, data, (size_t)entry->bytes), OCE_OK,
                 "%s", oce_last_error());
    free(data);
}

/* Writes what the reader has under another prefix and expects the same two files. */
static void expect_rewritten(oce_bundle_reader *reader, const char *prefix, const void *index,
                             size_t index_size, const void *data, size_t data_size) {
    oce_bundle_writer *writer;
    const size_t count = oce_bundle_reader_count(reader);
    void **contents = calloc(count + 1, sizeof *contents);
    cr_assert(contents);
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (size_t i = count; i-- > 0;) { /* backwards: the writer sorts */
        const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, i);
        contents[i] = malloc((size_t)entry->bytes + 1);
        cr_assert(contents[i]);
        cr_assert_eq(oce_bundle_reader_read_bytes(reader, i, contents[i], (size_t)entry->bytes),
                     OCE_OK);
        const oce_array array = {entry->name, entry->dtype, entry->rank, entry->shape, contents[i]};
        cr_assert_eq(oce_bundle_writer_add(writer, &array), OCE_OK, "%s", oce_last_error());
    }
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
    char path[1100];
    size_t size;
    snprintf(path, sizeof path, "%s.index", prefix);
    void *got = file_load(path, &size);
    cr_expect_eq(size, index_size);
    cr_expect(size == index_size && memcmp(got, index, size) == 0, "%s differs", path);
    free(got);
    snprintf(path, sizeof path, "%s.data-00000-of-00001", prefix);
    got = file_load(path, &size);
    cr_expect(size == data_size && memcmp(got, data, size) == 0, "%s differs", path);
    free(got);
    for (size_t i = 0; i < count; i++)
        free(contents[i]);
    free(contents);
}

static void expect_entry(oce_bundle_reader *reader, size_t i, const json_t *expected) {
    const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, i);
    int64_t shape[8];
    cr_assert(entry);
    cr_expect_str_eq(entry->name, vectors_text(expected, "key"));
    cr_expect_eq((double)entry->dtype, vectors_number(expected, "dtype"));
    cr_expect_eq((double)entry->offset, vectors_number(expected, "offset"));
    cr_expect_eq((double)entry->bytes, vectors_number(expected, "size"));
    cr_expect_eq(oce_crc32c_mask(entry->crc32c),
                 strtoul(vectors_text(expected, "crc32c_masked"), NULL, 16));
    const int rank = take_shape(json_object_get(expected, "shape"), shape);
    cr_expect_eq(entry->rank, rank);
    cr_expect_arr_eq(entry->shape, shape, (size_t)rank * sizeof *shape);
    const json_t *values = json_object_get(expected, "values");
    if (json_is_array(values))
        expect_values(reader, entry->name, rank, shape, values);
    expect_checksum_holds(reader, i);
}

/* Stored and Snappy-compressed tables, a string tensor. */
Test(bundle_vectors, files) {
    vector_file *file = vectors_open("tf_bundle_files.json");
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i);
        size_t index_size, data_size;
        void *index = decode_hex(vectors_text(vector, "index_hex"), &index_size);
        void *data = decode_hex(vectors_text(vector, "data_hex"), &data_size);
        file_store(scratch_path(folder, "v.index"), index, index_size);
        file_store(scratch_path(folder, "v.data-00000-of-00001"), data, data_size);
        oce_bundle_reader *reader = open_bundle(scratch_path(folder, "v"));
        const json_t *entries = json_object_get(vector, "entries");
        cr_assert_eq(oce_bundle_reader_count(reader), json_array_size(entries));
        for (size_t j = 0; j < json_array_size(entries); j++)
            expect_entry(reader, j, json_array_get(entries, j));
        const json_t *types = json_object_get(vector, "block_types");
        if (json_integer_value(json_object_get(types, "data")) == 0)
            expect_rewritten(reader, scratch_path(folder, "again"), index, index_size, data,
                             data_size);
        oce_bundle_reader_close(reader);
        free(index);
        free(data);
    }
    vectors_close(file);
}

/* Tables of files that are not at hand: their entries and checksum are. */
Test(bundle_vectors, index_facts) {
    vector_file *file = vectors_open("tf_saver_index_facts.json");
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i), *value;
        size_t j;
        oce_table_builder table;
        oce_table_builder_init(&table);
        oce_bundle_add_header(&table);
        json_array_foreach(json_object_get(vector, "entries"), j, value) {
            int64_t shape[8];
            oce_bundle_entry entry = {.name = vectors_text(value, "key")};
            entry.dtype = (oce_dtype)vectors_number(value, "dtype");
            entry.rank = take_shape(json_object_get(value, "shape"), shape);
            entry.shape = shape;
            entry.offset = (uint64_t)vectors_number(value, "offset");
            entry.bytes = (uint64_t)vectors_number(value, "size");
            entry.crc32c = oce_crc32c_unmask(
                (uint32_t)strtoul(vectors_text(value, "crc32c_masked"), NULL, 16));
            oce_bundle_add_entry(&table, &entry);
        }
        cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
        char sum[65];
        sha256_text(table.file.data, table.file.size, sum);
        cr_expect_eq((double)table.file.size, vectors_number(vector, "index_bytes"));
        cr_expect_str_eq(sum, vectors_text(vector, "index_sha256"), "%s",
                         vectors_text(vector, "repository"));
        oce_table_builder_finish(&table);
    }
    vectors_close(file);
}

Test(bundle_vectors, small_checkpoints) {
    vector_file *file = vectors_open("tf221_small_checkpoints.json");
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i);
        size_t index_size, data_size;
        void *index = decode_base64(vectors_text(vector, "index_base64"), &index_size);
        void *data = decode_base64(vectors_text(vector, "data_base64"), &data_size);
        file_store(scratch_path(folder, "v.index"), index, index_size);
        file_store(scratch_path(folder, "v.data-00000-of-00001"), data, data_size);
        oce_bundle_reader *reader = open_bundle(scratch_path(folder, "v"));
        const char *name;
        json_t *values, *all = json_object_get(vector, "values");
        cr_expect_eq(oce_bundle_reader_count(reader), json_object_size(all));
        json_object_foreach(all, name, values) {
            const oce_bundle_entry *entry = oce_bundle_reader_find(reader, name);
            cr_assert(entry, "%s", name);
            expect_values(reader, name, entry->rank, entry->shape, values);
        }
        expect_rewritten(reader, scratch_path(folder, "again"), index, index_size, data, data_size);
        oce_bundle_reader_close(reader);
        free(index);
        free(data);
    }
    vectors_close(file);
}

/* Two shards, partitioned variables, other element types. */
Test(bundle_vectors, other_forms) {
    vector_file *file = vectors_open("tf221_bundle_forms.json");
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i);
        const char *name;
        json_t *text;
        json_object_foreach(json_object_get(vector, "files_base64"), name, text) {
            size_t size;
            void *data = decode_base64(json_string_value(text), &size);
            file_store(scratch_path(folder, name), data, size);
            free(data);
        }
        oce_bundle_reader *reader =
            open_bundle(scratch_path(folder, vectors_text(vector, "prefix")));
        const json_t *tensors = json_object_get(vector, "tensors"), *tensor;
        size_t j;
        cr_assert_eq(oce_bundle_reader_count(reader), json_array_size(tensors));
        json_array_foreach(tensors, j, tensor) {
            const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, j);
            int64_t shape[8];
            const int rank = take_shape(json_object_get(tensor, "shape"), shape);
            cr_expect_str_eq(entry->name, vectors_text(tensor, "key"));
            cr_expect_eq((double)entry->dtype, vectors_number(tensor, "dtype"));
            cr_expect_eq(entry->rank, rank);
            cr_expect_arr_eq(entry->shape, shape, (size_t)rank * sizeof *shape);
            if (vectors_has(tensor, "values"))
                expect_values(reader, entry->name, rank, shape, json_object_get(tensor, "values"));
            expect_checksum_holds(reader, j);
            if (vectors_has(tensor, "bytes_hex")) {
                unsigned char got[64];
                size_t size;
                void *bytes = decode_hex(vectors_text(tensor, "bytes_hex"), &size);
                cr_expect_eq(entry->bytes, size);
                cr_expect_eq(oce_bundle_reader_read_bytes(reader, j, got, sizeof got), OCE_OK);
                cr_expect_arr_eq(got, bytes, size, "%s", entry->name);
                free(bytes);
            }
        }
        oce_bundle_reader_close(reader);
    }
    vectors_close(file);
}

/* A number of tensors that needs two data blocks; names and values as the vectors' note says. */
Test(bundle_vectors, many_tensors) {
    vector_file *file = vectors_open("tf221_bundle_forms.json");
    const json_t *facts = json_object_get(file->root, "many_tensors");
    const int count = (int)vectors_number(facts, "count");
    const char *prefix = scratch_path(folder, "many");
    oce_bundle_writer *writer;
    float(*values)[6] = malloc((size_t)count * sizeof *values);
    cr_assert(values);
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (int i = 0; i < count; i++) {
        static const char letters[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        char name[80];
        const int64_t shape[] = {1 + i % 3, 1 + i % 2};
        if (i % 2 == 1)
            snprintf(name, sizeof name, "layer_%05d/kernel", i);
        else
            snprintf(name, sizeof name, "layer_%05d/bias%.*s", i, i % 37, letters);
        for (int j = 0; j < 6; j++)
            values[i][j] = (float)i;
        const oce_array array = {name, OCE_DTYPE_FLOAT32, 2, shape, values[i]};
        cr_assert_eq(oce_bundle_writer_add(writer, &array), OCE_OK);
    }
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
    free(values);
    char sum[65];
    size_t size;
    void *data = file_load(scratch_path(folder, "many.index"), &size);
    sha256_text(data, size, sum);
    cr_expect_str_eq(sum, vectors_text(facts, "index_sha256"));
    free(data);
    data = file_load(scratch_path(folder, "many.data-00000-of-00001"), &size);
    sha256_text(data, size, sum);
    cr_expect_str_eq(sum, vectors_text(facts, "data_sha256"));
    free(data);
    oce_bundle_reader *reader = open_bundle(prefix);
    cr_expect_eq(oce_bundle_reader_count(reader), (size_t)count);
    float last[6];
    cr_expect_eq(oce_bundle_reader_read(reader, "layer_08999/kernel", 2, (int64_t[]){3, 2}, last),
                 OCE_OK, "%s", oce_last_error());
    cr_expect_eq(last[5], 8999.0F);
    oce_bundle_reader_close(reader);
    vectors_close(file);
}

static void expect_golden(const char *vectors, bool cifar10) {
    json_error_t error;
    char path[128], sum[65];
    snprintf(path, sizeof path, "tests/vectors/%s", vectors);
    json_t *root = json_load_file(path, 0, &error);
    cr_assert(root, "%s: %s", path, error.text);
    array_set set = golden_start(cifar10);
    const char *prefix = scratch_path(folder, "model-0");
    oce_bundle_writer *writer;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (size_t i = 0; i < set.count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[i]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);

    size_t size, expected_size;
    void *data = file_load(scratch_path(folder, "model-0.index"), &size);
    void *expected = decode_base64(vectors_text(root, "model0_index_base64"), &expected_size);
    cr_expect(size == expected_size && memcmp(data, expected, size) == 0, "the index differs");
    sha256_text(data, size, sum);
    cr_expect_str_eq(sum, vectors_text(root, "model0_index_sha256"));
    free(data);
    free(expected);
    data = file_load(scratch_path(folder, "model-0.data-00000-of-00001"), &size);
    sha256_text(data, size, sum);
    cr_expect_str_eq(sum, vectors_text(root, "model0_data_sha256"));
    free(data);
    cr_expect(bundle_equals(prefix, &set));
    array_set_free(&set);
    json_decref(root);
}

Test(bundle_vectors, golden_mnist_start) {
    expect_golden("golden_mnist.json", false);
}

Test(bundle_vectors, golden_cifar10_start) {
    expect_golden("golden_cifar10.json", true);
}
