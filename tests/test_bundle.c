#include <ocelli/checkpoint.h>

#include "io/bundle.h"
#include "io/bundle_writer.h"
#include "support/array_files.h"
#include "support/checkpoint.h"
#include "support/fault.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;
static const char *prefix;

static void setup(void) {
    static char text[600];
    folder = scratch_create();
    snprintf(text, sizeof text, "%s/model-3", folder);
    prefix = text;
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(bundle, .init = setup, .fini = teardown);

static void write_bundle(const array_set *set) {
    oce_bundle_writer *writer;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (size_t i = 0; i < set->count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &set->arrays[i]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
}

static oce_bundle_reader *open_bundle(void) {
    oce_bundle_reader *reader;
    cr_assert_eq(oce_bundle_reader_open(prefix, &reader), OCE_OK, "%s", oce_last_error());
    return reader;
}

/* ---- Writing ---- */

Test(bundle, reads_what_was_written) {
    array_set set = small_arrays(1);
    write_bundle(&set);
    cr_expect_eq(scratch_count(folder, NULL), 2);
    cr_expect(bundle_equals(prefix, &set));
    oce_bundle_reader *reader = open_bundle();
    cr_expect_eq(oce_bundle_reader_count(reader), 3);
    cr_expect_str_eq(oce_bundle_reader_entry(reader, 0)->name, "bias");
    cr_expect_str_eq(oce_bundle_reader_entry(reader, 1)->name, "power");
    cr_expect_str_eq(oce_bundle_reader_entry(reader, 2)->name, "weights");
    cr_expect_null(oce_bundle_reader_entry(reader, 3));
    cr_expect_eq(oce_bundle_reader_entry(reader, 1)->offset, 16, "data in the order of the names");
    cr_expect_null(oce_bundle_reader_find(reader, "weight"));
    cr_expect_null(oce_bundle_reader_find(reader, ""));
    oce_bundle_reader_close(reader);
    oce_bundle_reader_close(NULL);
    array_set_free(&set);
}

Test(bundle, an_empty_bundle_and_an_empty_tensor) {
    array_set set = {NULL, 0};
    write_bundle(&set);
    cr_expect(bundle_equals(prefix, &set));
    oce_bundle_writer *writer;
    const oce_array empty = {"empty", OCE_DTYPE_FLOAT32, 2, (const int64_t[]){0, 1LL << 40}, NULL};
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_assert_eq(oce_bundle_writer_add(writer, &empty), OCE_OK, "%s", oce_last_error());
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK);
    oce_bundle_writer_destroy(writer);
    oce_bundle_reader *reader = open_bundle();
    cr_expect_eq(oce_bundle_reader_entry(reader, 0)->bytes, 0);
    cr_expect_eq(oce_bundle_reader_read(reader, "empty", 2, empty.shape, NULL), OCE_OK);
    oce_bundle_reader_close(reader);
}

Test(bundle, an_unfinished_writer_leaves_nothing) {
    array_set set = small_arrays(1);
    oce_bundle_writer *writer;
    uint32_t crc;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[0]), OCE_OK);
    oce_bundle_writer_destroy(writer);
    cr_expect_eq(scratch_count(folder, NULL), 0);
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[0]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_prepare(writer, &crc), OCE_OK);
    cr_expect_eq(scratch_count(folder, NULL), 2, "both temporary");
    oce_bundle_writer_destroy(writer);
    cr_expect_eq(scratch_count(folder, NULL), 0);
    oce_bundle_writer_destroy(NULL);
    array_set_free(&set);
}

static void expect_refused(const oce_array *array, oce_status status, const char *message) {
    oce_bundle_writer *writer;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_expect_eq(oce_bundle_writer_add(writer, array), status);
    expect_last_error(message);
    oce_bundle_writer_destroy(writer);
}

Test(bundle, bad_tensors_are_refused) {
    const float one = 1;
    const int64_t shape[] = {1LL << 40, 1LL << 40}, negative[] = {-1};
    expect_refused(&(oce_array){"", OCE_DTYPE_FLOAT32, 0, NULL, &one}, OCE_ERROR_INVALID_ARGUMENT,
                   "no name");
    expect_refused(&(oce_array){"a", OCE_DTYPE_FLOAT32, 0, NULL, NULL}, OCE_ERROR_INVALID_ARGUMENT,
                   "'a' has no data");
    expect_refused(&(oce_array){"a", OCE_DTYPE_STRING, 0, NULL, &one}, OCE_ERROR_INVALID_ARGUMENT,
                   "string");
    expect_refused(&(oce_array){"a", OCE_DTYPE_FLOAT32, 1, negative, &one},
                   OCE_ERROR_INVALID_ARGUMENT, "extent 0 is -1");
    expect_refused(&(oce_array){"a", OCE_DTYPE_FLOAT32, 255, shape, &one},
                   OCE_ERROR_INVALID_ARGUMENT, "rank 255");
    expect_refused(&(oce_array){"a", OCE_DTYPE_FLOAT32, 2, shape, &one}, OCE_ERROR_OVERFLOW, "'a'");
}

Test(bundle, a_name_twice_or_a_second_finish_is_refused) {
    array_set set = small_arrays(1);
    oce_bundle_writer *writer;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[0]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[1]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[0]), OCE_OK);
    cr_expect_eq(oce_bundle_writer_finish(writer), OCE_ERROR_INVALID_ARGUMENT);
    expect_last_error("'weights' was added twice");
    oce_bundle_writer_destroy(writer);
    cr_expect_eq(scratch_count(folder, NULL), 0);
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK);
    cr_expect_eq(oce_bundle_writer_finish(writer), OCE_ERROR_INVALID_ARGUMENT);
    oce_bundle_writer_destroy(writer);
    array_set_free(&set);
}

Test(bundle, no_folder_or_no_name) {
    oce_bundle_writer *writer;
    cr_expect_eq(oce_bundle_writer_create("a/b/", &writer), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_bundle_writer_create(scratch_path(folder, "none/m"), &writer), OCE_OK);
    cr_expect_eq(oce_bundle_writer_finish(writer), OCE_ERROR_NOT_FOUND);
    expect_last_error("none/m.data-00000-of-00001: cannot create: No such file or directory");
    oce_bundle_writer_destroy(writer);
}

static void remove_bundle(void) {
    remove(scratch_path(folder, "model-3.index"));
    remove(scratch_path(folder, "model-3.data-00000-of-00001"));
}

/* Writes `set` while operation `at` fails; *operations is how many were begun. */
static oce_status write_with_fault(const array_set *set, fault_mode mode, long at,
                                   long *operations) {
    oce_bundle_writer *writer;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (size_t i = 0; i < set->count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &set->arrays[i]), OCE_OK);
    fault_arm(mode, at, folder);
    const oce_status status = oce_bundle_writer_finish(writer);
    oce_bundle_writer_destroy(writer);
    *operations = fault_disarm();
    return status;
}

/* Any operation may fail, over an old bundle or none: then that is what is there, or else, if all
 * but the last steps were done, the new one. */
static void fail_everywhere(bool over_old, fault_mode mode) {
    array_set old = small_arrays(1), new = small_arrays(2);
    long operations, begun;
    int failures = 0;
    if (over_old)
        write_bundle(&old);
    cr_assert_eq(write_with_fault(&new, FAULT_NONE, 0, &operations), OCE_OK);
    for (long at = 1; at <= operations; at++) {
        remove_bundle();
        if (over_old)
            write_bundle(&old);
        const oce_status status = write_with_fault(&new, mode, at, &begun);
        if (status != OCE_OK) {
            failures++;
            expect_last_error(mode == FAULT_FULL ? "No space left" : "Input/output error");
        }
        const bool is_old = over_old && bundle_equals(prefix, &old);
        const bool is_new = bundle_equals(prefix, &new);
        if (status == OCE_OK)
            cr_expect(is_new, "operation %ld", at);
        else
            cr_expect(is_new || (over_old ? is_old : scratch_count(folder, NULL) == 0),
                      "operation %ld", at);
        if (status != OCE_OK)
            cr_expect_eq(scratch_count(folder, OCE_TEMPORARY_SUFFIX), 0, "operation %ld", at);
        remove(scratch_path(folder, "model-3.data-00000-of-00001.old" OCE_TEMPORARY_SUFFIX));
    }
    cr_expect_geq(failures, 8);
    array_set_free(&old);
    array_set_free(&new);
}

Test(bundle, every_operation_may_fail) {
    fail_everywhere(false, FAULT_FAIL);
}

Test(bundle, every_operation_may_fail_over_an_old_bundle) {
    fail_everywhere(true, FAULT_FAIL);
}

Test(bundle, the_disk_may_be_full) {
    fail_everywhere(false, FAULT_FULL);
}

Test(bundle, the_disk_may_be_full_over_an_old_bundle) {
    fail_everywhere(true, FAULT_FULL);
}

/* ---- Reading ---- */

Test(bundle, a_missing_tensor_is_named_with_what_there_is) {
    array_set set = small_arrays(1);
    write_bundle(&set);
    oce_bundle_reader *reader = open_bundle();
    const int64_t four[] = {4}, nine[] = {9};
    float values[16];
    cr_expect_eq(oce_bundle_reader_read(reader, "Variable_1", 1, four, values),
                 OCE_ERROR_NOT_FOUND);
    expect_last_error("no tensor 'Variable_1' (float32 [4]) among its 3; of this type and shape it "
                      "has 'bias'");
    cr_expect_eq(oce_bundle_reader_read(reader, "Variable_1", 1, nine, values),
                 OCE_ERROR_NOT_FOUND);
    expect_last_error("it has 'bias' float32 [4], 'power' float32 [], 'weights' float32 [2, 3]");
    cr_expect_eq(oce_bundle_reader_read(reader, "bias", 1, nine, values), OCE_ERROR_SHAPE);
    expect_last_error("tensor 'bias' is float32 [4] where float32 [9] is needed");
    cr_expect_eq(oce_bundle_reader_read(reader, "bias", 0, NULL, values), OCE_ERROR_SHAPE);
    expect_last_error("where float32 [] is needed");
    cr_expect_eq(oce_bundle_reader_require(reader, "bias", OCE_DTYPE_INT32, 1, four),
                 OCE_ERROR_SHAPE);
    expect_last_error("where int32 [4] is needed");
    cr_expect_eq(oce_bundle_reader_require(reader, "bias", OCE_DTYPE_FLOAT32, 1, four), OCE_OK);
    cr_expect_eq(oce_bundle_reader_read_bytes(reader, 3, values, 64), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_bundle_reader_read_bytes(reader, 2, values, 23), OCE_ERROR_INVALID_ARGUMENT);
    expect_last_error("'weights' has 24 bytes, room is for 23");
    oce_bundle_reader_close(reader);
    array_set_free(&set);
}

Test(bundle, missing_files_are_named) {
    array_set set = small_arrays(1);
    oce_bundle_reader *reader;
    float values[6];
    cr_expect_eq(oce_bundle_reader_open(prefix, &reader), OCE_ERROR_NOT_FOUND);
    cr_expect_null(reader);
    expect_last_error("model-3.index: cannot open: No such file");
    write_bundle(&set);
    remove(scratch_path(folder, "model-3.data-00000-of-00001"));
    reader = open_bundle(); /* the index alone will do for the names */
    cr_expect_eq(oce_bundle_reader_read(reader, "bias", 1, (int64_t[]){4}, values),
                 OCE_ERROR_NOT_FOUND);
    expect_last_error("model-3.data-00000-of-00001: cannot open");
    oce_bundle_reader_close(reader);
    array_set_free(&set);
}

Test(bundle, a_huge_index_is_not_loaded) {
    const char *path = scratch_path(folder, "model-3.index");
    oce_bundle_reader *reader;
    FILE *file = fopen(path, "wb"); /* mostly a hole */
    cr_assert(file && fseek(file, (long)OCE_BUNDLE_INDEX_LIMIT, SEEK_SET) == 0);
    cr_assert(fputc(0, file) == 0 && fclose(file) == 0);
    cr_expect_eq(oce_bundle_reader_open(prefix, &reader), OCE_ERROR_OVERFLOW);
}
