/* Bundles whose index has a good checksum, and records that are made by hand. */
#include "io/bundle.h"
#include "io/bundle.pb-c.h"
#include "io/bundle_writer.h"
#include "support/array_files.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "model-3"; /* for messages: no file is opened */

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
        expect_last_error(message);                                                                \
    } while (0)

Test(bundle_records, bad_records_are_refused) {
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
    expect_last_error("empty table");
    oce_table_builder_finish(&table);
    oce_table_builder_init(&table);
    oce_table_builder_add(&table, "t", 1, "", 0);
    cr_assert_eq(oce_table_builder_complete(&table), OCE_OK);
    cr_expect_eq(oce_bundle_reader_parse(prefix, table.file.data, table.file.size, &reader),
                 OCE_ERROR_FORMAT);
    expect_last_error("not the header");
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

Test(bundle_records, slices_must_cover_their_tensor_once) {
    cr_expect_eq(parse_slices(2, 2, true), OCE_OK, "%s", oce_last_error());
    cr_expect_eq(parse_slices(1, 2, true), OCE_ERROR_FORMAT);
    expect_last_error("do not cover it once");
    cr_expect_eq(parse_slices(2, 1, true), OCE_ERROR_FORMAT);
    expect_last_error("do not cover it once");
    cr_expect_eq(parse_slices(3, 2, true), OCE_ERROR_FORMAT);
    expect_last_error("does not fit");
    cr_expect_eq(parse_slices(2, 2, false), OCE_ERROR_FORMAT);
    expect_last_error("its slice 1 has no entry");
}

/* A few bytes must not make the reader ask for many: keys that share all but one byte. */
Test(bundle_records, memory_is_bounded_by_the_files_size) {
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
    expect_last_error("than a file of its size may ask for");
    oce_table_builder_finish(&table);
    free(key);
}
