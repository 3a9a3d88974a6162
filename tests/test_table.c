#include "io/table.h"

#include "base/crc32c.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <snappy-c.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that a reader visits, as "key=value;". */
typedef struct visits {
    oce_bytes text;
    size_t count;
} visits;

static oce_status collect(void *user, oce_view key, oce_view value) {
    visits *v = user;
    oce_bytes_append(&v->text, key.data, key.size);
    oce_bytes_u8(&v->text, '=');
    oce_bytes_append(&v->text, value.data, value.size);
    oce_bytes_u8(&v->text, ';');
    v->count++;
    return OCE_OK;
}

static void add(oce_table_builder *builder, const char *key, const char *value) {
    oce_table_builder_add(builder, key, strlen(key), value, strlen(value));
}

static oce_status read_all(const oce_bytes *file, visits *v) {
    *v = (visits){.count = 0};
    return oce_table_read("t", file->data, file->size, collect, v);
}

static void expect_status(const oce_bytes *file, oce_status status, const char *message) {
    visits v;
    cr_expect_eq(read_all(file, &v), status, "%s", oce_last_error());
    cr_expect(strstr(oce_last_error(), message), "'%s' in: %s", message, oce_last_error());
    oce_bytes_finish(&v.text);
}

/* The handle of the index block, from the footer. */
static void index_handle(const oce_bytes *file, uint64_t *offset, uint64_t *size) {
    oce_view footer = {file->data + file->size - OCE_TABLE_FOOTER_BYTES, 40};
    cr_assert(oce_view_varint(&footer, offset) && oce_view_varint(&footer, size) &&
              oce_view_varint(&footer, offset) && oce_view_varint(&footer, size));
}

/* A table of one data block with these bytes, of this type, and its checksum right. */
static oce_bytes wrap(const void *block, size_t size, unsigned type, const char *index_key) {
    oce_table_builder builder;
    oce_bytes file = {0};
    oce_bytes_append(&file, block, size);
    oce_bytes_u8(&file, type);
    oce_bytes_u32(&file, oce_crc32c_mask(oce_crc32c(file.data, file.size)));
    oce_table_builder_init(&builder);
    oce_bytes_append(&builder.file, file.data, file.size);
    /* The builder believes that the block before was its own. */
    oce_bytes handle = {0};
    oce_bytes_varint(&handle, 0);
    oce_bytes_varint(&handle, size);
    oce_bytes_u32(&builder.index.restarts, 0);
    oce_bytes_varint(&builder.index.entries, 0);
    oce_bytes_varint(&builder.index.entries, strlen(index_key));
    oce_bytes_varint(&builder.index.entries, handle.size);
    oce_bytes_text(&builder.index.entries, index_key);
    oce_bytes_append(&builder.index.entries, handle.data, handle.size);
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    file.size = 0;
    oce_bytes_append(&file, builder.file.data, builder.file.size);
    oce_bytes_finish(&handle);
    oce_table_builder_finish(&builder);
    return file;
}

static void expect_block(const char *hex, oce_status status, const char *message) {
    size_t size;
    void *block = decode_hex(hex, &size);
    oce_bytes file = wrap(block, size, 0, "z");
    expect_status(&file, status, message);
    oce_bytes_finish(&file);
    free(block);
}

Test(table, one_entry_as_in_tensorflows_own_file) {
    /* tensorflow/serving's saved_model_counter: one scalar float `counter` of 0. */
    static const char expected[] =
        "00000608011a02080100070b636f756e74657208011200280435a67b113a0000000001000000005fa01073"
        "000000000100000000c0f2a1b000010264002600000000010000000022b161032b08380e"
        "000000000000000000000000000000000000000000000000000000000000000000000000"
        "57fb808b247547db";
    size_t size;
    unsigned char *bytes = decode_hex(expected, &size);
    cr_assert_eq(size, 123);
    oce_table_builder builder;
    oce_table_builder_init(&builder);
    oce_table_builder_add(&builder, "", 0, "\x08\x01\x1a\x02\x08\x01", 6);
    oce_table_builder_add(&builder, "counter", 7, "\x08\x01\x12\x00\x28\x04\x35\xa6\x7b\x11\x3a",
                          11);
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    cr_assert_eq(builder.file.size, size);
    cr_expect_arr_eq(builder.file.data, bytes, size);
    oce_table_builder_finish(&builder);
    free(bytes);
}

Test(table, keys_share_prefixes_and_restart_after_sixteen) {
    oce_table_builder builder;
    visits v;
    oce_table_builder_init(&builder);
    char key[16], expected[1024] = "";
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "key%02d", i);
        add(&builder, key, "v");
        snprintf(expected + strlen(expected), 32, "%s=v;", key);
    }
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    cr_assert_eq(read_all(&builder.file, &v), OCE_OK, "%s", oce_last_error());
    cr_expect_str_eq(oce_bytes_string(&v.text), expected);
    /* entry 0 in full: 3 + 5 + 1 bytes; entry 1 shares "key0": 3 + 1 + 1 */
    cr_expect_arr_eq(builder.file.data,
                     "\0\5\1key00v\4\1\1"
                     "1v",
                     14);
    uint64_t offset, size;
    index_handle(&builder.file, &offset, &size);
    oce_view restarts = {builder.file.data + offset - 13 - 5 - 4, 4}; /* of the data block */
    uint32_t count;
    cr_assert(oce_view_u32(&restarts, &count));
    cr_expect_eq(count, 3);
    oce_bytes_finish(&v.text);
    oce_table_builder_finish(&builder);
}

static void expect_index_key(const char *last, const char *expected) {
    oce_table_builder builder;
    oce_table_builder_init(&builder);
    add(&builder, last, "v");
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    uint64_t offset, size;
    index_handle(&builder.file, &offset, &size);
    oce_view index = {builder.file.data + offset, (size_t)size};
    uint64_t shared, unshared, value;
    const unsigned char *key;
    cr_assert(oce_view_varint(&index, &shared) && oce_view_varint(&index, &unshared) &&
              oce_view_varint(&index, &value) && oce_view_take(&index, (size_t)unshared, &key));
    cr_expect_eq(unshared, strlen(expected), "'%s' gave %u bytes", last, (unsigned)unshared);
    cr_expect_arr_eq(key, expected, strlen(expected));
    oce_table_builder_finish(&builder);
}

Test(table, index_key_is_the_shortest_successor) {
    expect_index_key("beta2_power", "c");
    expect_index_key("counter", "d");
    expect_index_key("Variable_9/RMSProp_1", "W");
    expect_index_key("\xff\xff"
                     "ab",
                     "\xff\xff"
                     "b");
    expect_index_key("\xff\xff", "\xff\xff");
}

Test(table, a_long_table_has_several_blocks) {
    oce_table_builder builder;
    visits v;
    char key[32], value[1000];
    memset(value, 'v', sizeof value);
    oce_table_builder_init(&builder);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "a/key%05d", i);
        oce_table_builder_add(&builder, key, strlen(key), value, sizeof value);
    }
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    cr_assert_eq(read_all(&builder.file, &v), OCE_OK, "%s", oce_last_error());
    cr_expect_eq(v.count, 1000);
    uint64_t offset, size;
    index_handle(&builder.file, &offset, &size);
    oce_view end = {builder.file.data + offset + size - 4, 4};
    uint32_t blocks;
    cr_assert(oce_view_u32(&end, &blocks));
    cr_expect_eq(blocks, 4, "%u blocks", (unsigned)blocks);
    oce_bytes_finish(&v.text);
    oce_table_builder_finish(&builder);
}

Test(table, snappy_blocks_are_read) {
    oce_table_builder builder;
    visits v;
    oce_table_builder_init(&builder);
    add(&builder, "alpha", "a value that repeats a value that repeats a value that repeats");
    add(&builder, "beta", "a value that repeats a value that repeats a value that repeats");
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    cr_assert_eq(read_all(&builder.file, &v), OCE_OK);
    uint64_t offset, size;
    index_handle(&builder.file, &offset, &size);
    const size_t plain = (size_t)offset - 13 - 5; /* less the metaindex block and the trailer */
    char compressed[512];
    size_t length = sizeof compressed;
    cr_assert_eq(snappy_compress((char *)builder.file.data, plain, compressed, &length), SNAPPY_OK);
    cr_assert_lt(length, plain);
    oce_bytes file = wrap(compressed, length, 1, "z");
    visits again;
    cr_assert_eq(read_all(&file, &again), OCE_OK, "%s", oce_last_error());
    cr_expect_str_eq(oce_bytes_string(&again.text), oce_bytes_string(&v.text));
    oce_bytes_finish(&file);
    oce_bytes_finish(&v.text);
    oce_bytes_finish(&again.text);
    oce_table_builder_finish(&builder);
}

Test(table, bad_snappy_blocks_are_refused) {
    oce_bytes file = wrap("\xff\xff\xff\xff\x0f", 5, 1, "z"); /* says 4 GiB */
    expect_status(&file, OCE_ERROR_FORMAT, "claims to hold 4294967295");
    oce_bytes_finish(&file);
    file = wrap("\xff\xff\xff\xff\xff\xff", 6, 1, "z");
    expect_status(&file, OCE_ERROR_FORMAT, "not a Snappy block");
    oce_bytes_finish(&file);
    file = wrap("\x08\x01\xff\xff", 4, 1, "z"); /* copies from before its start */
    expect_status(&file, OCE_ERROR_FORMAT, "malformed Snappy block");
    oce_bytes_finish(&file);
    file = wrap("", 0, 2, "z");
    expect_status(&file, OCE_ERROR_UNSUPPORTED, "unknown compression 2");
    oce_bytes_finish(&file);
}

Test(table, bad_blocks_are_refused) {
    expect_block("0001017861"
                 "0000000001000000",
                 OCE_OK, "");
    expect_block("010000", OCE_ERROR_FORMAT, "too short");
    expect_block("0001017861"
                 "00000000",
                 OCE_ERROR_FORMAT, "number of restarts");
    expect_block("0001017861"
                 "00000000ffffffff",
                 OCE_ERROR_FORMAT, "number of restarts");
    expect_block("0001017861"
                 "0100000001000000",
                 OCE_ERROR_FORMAT, "restart lies outside");
    expect_block("0001017861"
                 "000000000900000002000000",
                 OCE_ERROR_FORMAT, "restart lies outside");
    expect_block("0101017861"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "shares more");
    expect_block("0001027861"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "beyond its block");
    expect_block("00ffffffffffffffffff0101"
                 "7861"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "beyond its block");
    expect_block("0001"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "cut short");
    expect_block("00010078"
                 "00010078"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "not in order");
    expect_block("00010079"
                 "00010078"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "not in order");
    expect_block("00010078"
                 "010000"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "not in order");
    /* a key beyond that of the index entry, "z" */
    expect_block("0001007b"
                 "0000000001000000",
                 OCE_ERROR_FORMAT, "beyond its index entry");
}

Test(table, bad_footers_are_refused) {
    oce_table_builder builder;
    oce_table_builder_init(&builder);
    add(&builder, "k", "v");
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    oce_bytes file = builder.file;
    unsigned char *footer = file.data + file.size - OCE_TABLE_FOOTER_BYTES;
    footer[47] ^= 1;
    expect_status(&file, OCE_ERROR_FORMAT, "not a checkpoint index");
    footer[47] ^= 1;
    const unsigned char byte = footer[2];
    footer[2] = 127; /* the index block's offset */
    expect_status(&file, OCE_ERROR_FORMAT, "index block is said to be");
    footer[2] = byte;
    file.data[0] ^= 1;
    expect_status(&file, OCE_ERROR_CHECKSUM, "data block: the checksum");
    file.data[0] ^= 1;
    file.size = 47;
    expect_status(&file, OCE_ERROR_FORMAT, "too few");
    file.size = 0;
    expect_status(&file, OCE_ERROR_FORMAT, "too few");
    oce_table_builder_finish(&builder);
}

static oce_status refuse(void *user, oce_view key, oce_view value) {
    (void)key;
    (void)value;
    ++*(int *)user;
    return OCE_ERROR_INTERRUPTED;
}

Test(table, a_visitors_failure_ends_the_reading) {
    oce_table_builder builder;
    int visits_seen = 0;
    oce_table_builder_init(&builder);
    add(&builder, "a", "v");
    add(&builder, "b", "v");
    cr_assert_eq(oce_table_builder_complete(&builder), OCE_OK);
    cr_expect_eq(oce_table_read("t", builder.file.data, builder.file.size, refuse, &visits_seen),
                 OCE_ERROR_INTERRUPTED);
    cr_expect_eq(visits_seen, 1);
    oce_table_builder_finish(&builder);
}

Test(table, varints) {
    oce_bytes bytes = {0};
    const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < 7; i++)
        oce_bytes_varint(&bytes, values[i]);
    oce_view view = {bytes.data, bytes.size};
    uint64_t value;
    for (size_t i = 0; i < 7; i++) {
        cr_assert(oce_view_varint(&view, &value));
        cr_expect_eq(value, values[i]);
    }
    cr_expect_not(oce_view_varint(&view, &value), "nothing left");
    oce_view cut = {(const unsigned char *)"\x80\x80", 2};
    cr_expect_not(oce_view_varint(&cut, &value));
    oce_view wide = {(const unsigned char *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10};
    cr_expect_not(oce_view_varint(&wide, &value), "more than 64 bits");
    oce_bytes_finish(&bytes);
}
