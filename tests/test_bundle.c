#include <ocelli/checkpoint.h>

#include "base/crc32c.h"
#include "io/bundle.h"
#include "io/bundle.pb-c.h"
#include "io/bundle_writer.h"
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

static void expect_message(const char *part) {
    cr_expect(strstr(oce_last_error(), part), "'%s' in: %s", part, oce_last_error());
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
    expect_message(message);
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
    expect_message("'weights' was added twice");
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
    expect_message("none/m.data-00000-of-00001: cannot create: No such file or directory");
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
            expect_message(mode == FAULT_FULL ? "No space left" : "Input/output error");
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
    expect_message("no tensor 'Variable_1' (float32 [4]) among its 3; of this type and shape it "
                   "has 'bias'");
    cr_expect_eq(oce_bundle_reader_read(reader, "Variable_1", 1, nine, values),
                 OCE_ERROR_NOT_FOUND);
    expect_message("it has 'bias' float32 [4], 'power' float32 [], 'weights' float32 [2, 3]");
    cr_expect_eq(oce_bundle_reader_read(reader, "bias", 1, nine, values), OCE_ERROR_SHAPE);
    expect_message("tensor 'bias' is float32 [4] where float32 [9] is needed");
    cr_expect_eq(oce_bundle_reader_read(reader, "bias", 0, NULL, values), OCE_ERROR_SHAPE);
    expect_message("where float32 [] is needed");
    cr_expect_eq(oce_bundle_reader_require(reader, "bias", OCE_DTYPE_INT32, 1, four),
                 OCE_ERROR_SHAPE);
    expect_message("where int32 [4] is needed");
    cr_expect_eq(oce_bundle_reader_require(reader, "bias", OCE_DTYPE_FLOAT32, 1, four), OCE_OK);
    cr_expect_eq(oce_bundle_reader_read_bytes(reader, 3, values, 64), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_bundle_reader_read_bytes(reader, 2, values, 23), OCE_ERROR_INVALID_ARGUMENT);
    expect_message("'weights' has 24 bytes, room is for 23");
    oce_bundle_reader_close(reader);
    array_set_free(&set);
}

Test(bundle, missing_files_are_named) {
    array_set set = small_arrays(1);
    oce_bundle_reader *reader;
    float values[6];
    cr_expect_eq(oce_bundle_reader_open(prefix, &reader), OCE_ERROR_NOT_FOUND);
    cr_expect_null(reader);
    expect_message("model-3.index: cannot open: No such file");
    write_bundle(&set);
    remove(scratch_path(folder, "model-3.data-00000-of-00001"));
    reader = open_bundle(); /* the index alone will do for the names */
    cr_expect_eq(oce_bundle_reader_read(reader, "bias", 1, (int64_t[]){4}, values),
                 OCE_ERROR_NOT_FOUND);
    expect_message("model-3.data-00000-of-00001: cannot open");
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

/* ---- Indexes with good checksums and bad records ---- */

static void add_packed(oce_table_builder *table, const char *key, size_t key_size,
                       const ProtobufCMessage *message) {
    unsigned char value[512];
    const size_t size = protobuf_c_message_get_packed_size(message);
    cr_assert_leq(size, sizeof value);
    protobuf_c_message_pack(message, value);
    oce_table_builder_add(table, key, key_size, value, size);
}

typedef struct parts {
    Oce__Bundle__Version version;
    Oce__Bundle__Header header;
    Oce__Bundle__Extent extent;
    Oce__Bundle__Extent *extents[2];
    Oce__Bundle__Shape shape;
    Oce__Bundle__Entry entry;
    const char *key;
    size_t key_size;
} parts;

/* A good index of one tensor "t", float32 [2]. */
static void good_parts(parts *p) {
    p->version = (Oce__Bundle__Version)OCE__BUNDLE__VERSION__INIT;
    p->version.producer = 1;
    p->header = (Oce__Bundle__Header)OCE__BUNDLE__HEADER__INIT;
    p->header.shards = 1;
    p->header.version = &p->version;
    p->extent = (Oce__Bundle__Extent)OCE__BUNDLE__EXTENT__INIT;
    p->extent.size = 2;
    p->extents[0] = p->extents[1] = &p->extent;
    p->shape = (Oce__Bundle__Shape)OCE__BUNDLE__SHAPE__INIT;
    p->shape.n_extents = 1;
    p->shape.extents = p->extents;
    p->entry = (Oce__Bundle__Entry)OCE__BUNDLE__ENTRY__INIT;
    p->entry.dtype = 1;
    p->entry.shape = &p->shape;
    p->entry.size = 8;
    p->key = "t";
    p->key_size = 1;
}

static oce_status parse(const parts *p) {
    oce_table_builder table;
    oce_bundle_reader *reader;
    oce_table_builder_init(&table);
    add_packed(&table, "", 0, &p->header.base);
    add_packed(&table, p->key, p->key_size, &p->entry.base);
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    const oce_status status =
        oce_bundle_reader_parse(prefix, table.file.data, table.file.size, &reader);
    oce_table_builder_finish(&table);
    oce_bundle_reader_close(reader);
    return status;
}

#define EXPECT_PARSE(change, status, message)                                                      \
    do {                                                                                           \
        parts p;                                                                                   \
        good_parts(&p);                                                                            \
        change;                                                                                    \
        cr_expect_eq(parse(&p), status, "%s: %s", #change, oce_last_error());                      \
        expect_message(message);                                                                   \
    } while (0)

Test(bundle, bad_records_are_refused) {
    oce_bundle_reader *reader;
    EXPECT_PARSE((void)0, OCE_OK, "");
    EXPECT_PARSE(p.header.version = NULL, OCE_OK, "");
    EXPECT_PARSE(p.header.shards = 0, OCE_ERROR_FORMAT, "0 data files");
    EXPECT_PARSE(p.header.shards = -1, OCE_ERROR_FORMAT, "-1 data files");
    EXPECT_PARSE(p.header.endianness = 1, OCE_ERROR_UNSUPPORTED, "big-endian");
    EXPECT_PARSE(p.version.min_consumer = 1, OCE_OK, "");
    EXPECT_PARSE(p.version.min_consumer = 2, OCE_ERROR_UNSUPPORTED, "version 2");
    int32_t bad[] = {3, 1};
    EXPECT_PARSE((p.version.n_bad_consumers = 1, p.version.bad_consumers = bad), OCE_OK, "");
    EXPECT_PARSE((p.version.n_bad_consumers = 2, p.version.bad_consumers = bad),
                 OCE_ERROR_UNSUPPORTED, "excludes readers");
    EXPECT_PARSE(p.entry.dtype = 0, OCE_ERROR_FORMAT, "element type 0");
    EXPECT_PARSE(p.entry.dtype = 99, OCE_OK, "");
    EXPECT_PARSE(p.entry.size = 7, OCE_ERROR_FORMAT,
                 "'t', float32 [2], is said to have 7 bytes instead of 8");
    EXPECT_PARSE(p.entry.size = -1, OCE_ERROR_FORMAT, "-1 bytes");
    EXPECT_PARSE(p.entry.offset = -1, OCE_ERROR_FORMAT, "from byte -1");
    EXPECT_PARSE(p.entry.offset = INT64_MAX, OCE_ERROR_FORMAT, "from byte");
    EXPECT_PARSE(p.entry.shard = 1, OCE_ERROR_FORMAT, "data file 1 of 1");
    EXPECT_PARSE(p.entry.shard = -1, OCE_ERROR_FORMAT, "data file -1");
    EXPECT_PARSE(p.extent.size = -2, OCE_ERROR_FORMAT, "extent 0 is -2");
    EXPECT_PARSE((p.shape.n_extents = 2, p.extent.size = 1LL << 40), OCE_ERROR_FORMAT,
                 "more elements than a machine can hold");
    EXPECT_PARSE(p.shape.unknown_rank = 1, OCE_ERROR_FORMAT, "unknown rank");
    EXPECT_PARSE(p.entry.shape = NULL, OCE_ERROR_FORMAT, "float32 []");
    EXPECT_PARSE((p.key = "a\0b", p.key_size = 3), OCE_ERROR_FORMAT, "holds a NUL");
    /* no table at all, and a table without a header */
    cr_expect_eq(oce_bundle_reader_parse(prefix, "", 0, &reader), OCE_ERROR_FORMAT);
    oce_table_builder table;
    oce_table_builder_init(&table);
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    cr_expect_eq(oce_bundle_reader_parse(prefix, table.file.data, table.file.size, &reader),
                 OCE_ERROR_FORMAT);
    expect_message("empty table");
    oce_table_builder_finish(&table);
    oce_table_builder_init(&table);
    oce_table_builder_add(&table, "t", 1, "", 0);
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    cr_expect_eq(oce_bundle_reader_parse(prefix, table.file.data, table.file.size, &reader),
                 OCE_ERROR_FORMAT);
    expect_message("not the header");
    oce_table_builder_finish(&table);
}

/* Slices that overlap, leave a hole or have no entry must not give a tensor with stale numbers. */
static oce_status parse_slices(int64_t second_start, int64_t second_length, bool with_second) {
    parts p;
    good_parts(&p);
    p.extent.size = 4;
    p.entry.size = 0;
    Oce__Bundle__Interval intervals[2] = {OCE__BUNDLE__INTERVAL__INIT, OCE__BUNDLE__INTERVAL__INIT};
    Oce__Bundle__Interval *pointers[2] = {&intervals[0], &intervals[1]};
    Oce__Bundle__Slice slices[2] = {OCE__BUNDLE__SLICE__INIT, OCE__BUNDLE__SLICE__INIT};
    Oce__Bundle__Slice *slice_pointers[2] = {&slices[0], &slices[1]};
    for (int i = 0; i < 2; i++) {
        intervals[i].has_length_case = OCE__BUNDLE__INTERVAL__HAS_LENGTH_LENGTH;
        slices[i].n_intervals = 1;
        slices[i].intervals = &pointers[i];
    }
    intervals[0].length = 2;
    intervals[1].start = second_start;
    intervals[1].length = second_length;
    p.entry.n_slices = 2;
    p.entry.slices = slice_pointers;
    /* key: 00 "t" 00 01 01 01, then start and length as one byte each, sign bit flipped */
    char keys[2][8] = {{0, 't', 0, 1, 1, 1, (char)0x80, (char)0x82}, {0, 't', 0, 1, 1, 1, 0, 0}};
    keys[1][6] = (char)(0x80 ^ (unsigned char)second_start);
    keys[1][7] = (char)(0x80 ^ (unsigned char)second_length);
    Oce__Bundle__Extent extent = OCE__BUNDLE__EXTENT__INIT;
    Oce__Bundle__Extent *extents[1] = {&extent};
    Oce__Bundle__Shape shape = OCE__BUNDLE__SHAPE__INIT;
    shape.n_extents = 1;
    shape.extents = extents;
    Oce__Bundle__Entry part = OCE__BUNDLE__ENTRY__INIT;
    part.dtype = 1;
    part.shape = &shape;
    oce_table_builder table;
    oce_bundle_reader *reader;
    oce_table_builder_init(&table);
    add_packed(&table, "", 0, &p.header.base);
    extent.size = 2;
    part.size = 8;
    const bool first_is_lower = memcmp(keys[0], keys[1], 8) < 0;
    if (first_is_lower)
        add_packed(&table, keys[0], 8, &part.base);
    if (with_second) {
        extent.size = second_length;
        part.size = 4 * second_length;
        add_packed(&table, keys[1], 8, &part.base);
    }
    add_packed(&table, "t", 1, &p.entry.base);
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    const oce_status status =
        oce_bundle_reader_parse(prefix, table.file.data, table.file.size, &reader);
    if (status == OCE_OK) {
        cr_expect_eq(oce_bundle_reader_count(reader), 1);
        cr_expect_eq(oce_bundle_reader_entry(reader, 0)->slices, 2);
        cr_expect_eq(oce_bundle_reader_entry(reader, 0)->bytes, 16);
    }
    oce_table_builder_finish(&table);
    oce_bundle_reader_close(reader);
    return status;
}

Test(bundle, slices_must_cover_their_tensor_once) {
    cr_expect_eq(parse_slices(2, 2, true), OCE_OK, "%s", oce_last_error());
    cr_expect_eq(parse_slices(1, 2, true), OCE_ERROR_FORMAT);
    expect_message("do not cover it once");
    cr_expect_eq(parse_slices(2, 1, true), OCE_ERROR_FORMAT);
    expect_message("do not cover it once");
    cr_expect_eq(parse_slices(3, 2, true), OCE_ERROR_FORMAT);
    expect_message("does not fit");
    cr_expect_eq(parse_slices(2, 2, false), OCE_ERROR_FORMAT);
    expect_message("its slice 1 has no entry");
}

/* A few bytes must not make the reader ask for many: keys that share all but one byte. */
Test(bundle, memory_is_bounded_by_the_files_size) {
    oce_table_builder table;
    oce_bundle_reader *reader;
    enum { KEY = 60000, COUNT = 4000 };
    unsigned char *key = malloc(KEY + 2);
    cr_assert(key);
    memset(key, 'k', KEY);
    oce_table_builder_init(&table);
    oce_bundle_add_header(&table);
    for (int i = 0; i < COUNT; i++) {
        key[KEY] = (unsigned char)('0' + i / 100);
        key[KEY + 1] = (unsigned char)('0' + i % 100);
        oce_table_builder_add(&table, key, KEY + 2, "\x08\x63", 2); /* an unknown type */
    }
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    /* one restart in 16 has the whole key: the file has 15 MB for 240 MB of keys */
    const size_t size = table.file.size;
    cr_expect_eq(oce_bundle_reader_parse(prefix, table.file.data, size, &reader), OCE_OK);
    oce_bundle_reader_close(reader);
    oce_table_builder_finish(&table);

    oce_table_builder_init(&table);
    table.block.interval = table.block.since_restart = COUNT + 2; /* no restart but the first */
    oce_bundle_add_header(&table);
    for (int i = 0; i < COUNT; i++) {
        key[KEY] = (unsigned char)('0' + i / 100);
        key[KEY + 1] = (unsigned char)('0' + i % 100);
        oce_table_builder_add(&table, key, KEY + 2, "\x08\x63", 2);
    }
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    cr_assert_lt(table.file.size, 200000);
    cr_expect_eq(oce_bundle_reader_parse(prefix, table.file.data, table.file.size, &reader),
                 OCE_ERROR_HOST_MEMORY);
    expect_message("than a file of its size may ask for");
    oce_table_builder_finish(&table);
    free(key);
}
