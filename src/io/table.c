#include "io/table.h"

#include "base/crc32c.h"

#include <snappy-c.h>

#include <string.h>

typedef struct handle {
    uint64_t offset, size;
} handle;

typedef struct table {
    const char *path;
    const unsigned char *data;
    size_t size;       /* without the footer */
    oce_bytes scratch; /* a decompressed block */
    oce_bytes key;     /* of the last entry of the data blocks */
    oce_bytes index_key;
    oce_table_visitor visitor;
    void *user;
} table;

static oce_status bad(const table *t, size_t at, const char *what) {
    return oce_fail(OCE_ERROR_FORMAT, "%s: byte %zu: %s", t->path, at, what);
}

static oce_status take_handle(const table *t, oce_view *view, const char *what, handle *h) {
    OCE_REQUIRE(oce_view_varint(view, &h->offset) && oce_view_varint(view, &h->size),
                OCE_ERROR_FORMAT, "%s: the %s's handle is cut short", t->path, what);
    OCE_REQUIRE(t->size >= OCE_TABLE_TRAILER_BYTES &&
                    h->size <= t->size - OCE_TABLE_TRAILER_BYTES &&
                    h->offset <= t->size - OCE_TABLE_TRAILER_BYTES - h->size,
                OCE_ERROR_FORMAT,
                "%s: the %s is said to be %llu bytes from byte %llu on, beyond the %zu bytes of "
                "blocks",
                t->path, what, (unsigned long long)h->size, (unsigned long long)h->offset, t->size);
    return OCE_OK;
}

static oce_status decompress(table *t, const handle *h, oce_view *contents) {
    const char *compressed = (const char *)t->data + h->offset;
    const size_t size = (size_t)h->size, at = (size_t)h->offset;
    size_t length;
    if (snappy_uncompressed_length(compressed, size, &length) != SNAPPY_OK)
        return bad(t, at, "not a Snappy block");
    /* Three bytes make at most 64, so a longer block is a lie that need not be allocated. */
    OCE_REQUIRE(length / 22 <= size, OCE_ERROR_FORMAT,
                "%s: byte %zu: a Snappy block of %zu bytes claims to hold %zu", t->path, at, size,
                length);
    t->scratch.size = 0;
    unsigned char *room = oce_bytes_grow(&t->scratch, length);
    OCE_TRY(oce_bytes_check(&t->scratch, t->path));
    if (snappy_uncompress(compressed, size, (char *)room, &length) != SNAPPY_OK)
        return bad(t, at, "a malformed Snappy block");
    *contents = (oce_view){room, length};
    return OCE_OK;
}

/* The contents of a block; those of a compressed one are valid until the next call. */
static oce_status open_block(table *t, const handle *h, const char *what, oce_view *contents) {
    const size_t at = (size_t)h->offset, size = (size_t)h->size;
    oce_view trailer = {t->data + at + size + 1, OCE_TABLE_TRAILER_BYTES - 1};
    uint32_t stored = 0;
    oce_view_u32(&trailer, &stored);
    const uint32_t found = oce_crc32c_mask(oce_crc32c(t->data + at, size + 1));
    OCE_REQUIRE(stored == found, OCE_ERROR_CHECKSUM,
                "%s: byte %zu: %s: the checksum is 0x%08x and should be 0x%08x", t->path, at, what,
                found, stored);
    const unsigned char type = t->data[at + size];
    if (type == 1)
        return decompress(t, h, contents);
    OCE_REQUIRE(type == 0, OCE_ERROR_UNSUPPORTED,
                "%s: byte %zu: %s: unknown compression %d (0 none and 1 Snappy are known)", t->path,
                at, what, type);
    *contents = (oce_view){t->data + at, size};
    return OCE_OK;
}

/* Cuts the restarts off the block's end. */
static oce_status take_restarts(const table *t, size_t at, oce_view *block) {
    uint32_t restarts = 0;
    if (block->size < sizeof(uint32_t))
        return bad(t, at, "a block too short for its number of restarts");
    oce_view last = {block->data + block->size - sizeof(uint32_t), sizeof(uint32_t)};
    oce_view_u32(&last, &restarts);
    block->size -= sizeof(uint32_t);
    if (restarts == 0 || restarts > block->size / sizeof(uint32_t))
        return bad(t, at, "a block's number of restarts does not fit");
    block->size -= (size_t)restarts * sizeof(uint32_t);
    oce_view offsets = {block->data + block->size, (size_t)restarts * sizeof(uint32_t)};
    for (uint32_t i = 0, offset = 0; i < restarts && oce_view_u32(&offsets, &offset); i++)
        if (i == 0 ? offset != 0 : offset >= block->size)
            return bad(t, at, "a block's restart lies outside its entries");
    return OCE_OK;
}

static int compare_keys(const unsigned char *a, size_t a_size, const unsigned char *b,
                        size_t b_size) {
    const size_t common = a_size < b_size ? a_size : b_size;
    const int order = common > 0 ? memcmp(a, b, common) : 0;
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* Takes an entry off the front of a block. `key` holds the key before it and then its own; keys
 * must increase from one block to the next too, but only share what is in their own block. */
static oce_status take_entry(const table *t, size_t at, oce_view *block, bool first_of_block,
                             bool first_of_table, oce_bytes *key, oce_view *value) {
    uint64_t shared, unshared, value_size;
    const unsigned char *tail;
    if (!oce_view_varint(block, &shared) || !oce_view_varint(block, &unshared) ||
        !oce_view_varint(block, &value_size))
        return bad(t, at, "an entry of the block is cut short");
    if (shared > (first_of_block ? 0 : key->size))
        return bad(t, at, "an entry shares more of the key before it than there is");
    if (unshared > block->size || value_size > block->size - unshared)
        return bad(t, at, "an entry reaches beyond its block");
    if (shared + unshared > OCE_TABLE_MAX_KEY)
        return bad(t, at, "a key is longer than 65536 bytes");
    oce_view_take(block, (size_t)unshared, &tail);
    value->size = (size_t)value_size;
    oce_view_take(block, value->size, &value->data);
    const size_t rest = key->size - (size_t)shared;
    if (!first_of_table &&
        compare_keys(tail, (size_t)unshared, rest > 0 ? key->data + shared : tail, rest) <= 0)
        return bad(t, at, "the keys are not in order");
    key->size = (size_t)shared;
    oce_bytes_append(key, tail, (size_t)unshared);
    return oce_bytes_check(key, t->path);
}

static oce_status read_data_block(table *t, const handle *h, bool first_block) {
    oce_view block, value;
    const size_t at = (size_t)h->offset;
    OCE_TRY(open_block(t, h, "data block", &block));
    OCE_TRY(take_restarts(t, at, &block));
    for (bool first = true; block.size > 0; first = false) {
        OCE_TRY(take_entry(t, at, &block, first, first && first_block, &t->key, &value));
        OCE_TRY(t->visitor(t->user, (oce_view){t->key.data, t->key.size}, value));
    }
    return OCE_OK;
}

/* Reads the data blocks in the order of the index block. */
static oce_status read_blocks(table *t, const handle *index) {
    oce_view block, value, contents = {NULL, 0};
    const size_t at = (size_t)index->offset;
    oce_bytes copy = {0}; /* data blocks may need the memory of a compressed index block */
    oce_status status = open_block(t, index, "index block", &contents);
    oce_bytes_append(&copy, contents.data, contents.size);
    if (status == OCE_OK)
        status = oce_bytes_check(&copy, t->path);
    block = (oce_view){copy.data, copy.size};
    if (status == OCE_OK)
        status = take_restarts(t, at, &block);
    for (bool first = true; status == OCE_OK && block.size > 0; first = false) {
        handle h = {0, 0};
        status = take_entry(t, at, &block, first, first, &t->index_key, &value);
        if (status == OCE_OK)
            status = take_handle(t, &value, "data block", &h);
        if (status == OCE_OK)
            status = read_data_block(t, &h, first);
        if (status == OCE_OK &&
            compare_keys(t->key.data, t->key.size, t->index_key.data, t->index_key.size) > 0)
            status = bad(t, at, "a data block has keys beyond its index entry");
    }
    oce_bytes_finish(&copy);
    return status;
}

static oce_status read_footer(table *t, const unsigned char *footer, handle *meta, handle *index) {
    oce_view magic = {footer + OCE_TABLE_FOOTER_BYTES - sizeof(uint64_t), sizeof(uint64_t)};
    oce_view handles = {footer, OCE_TABLE_FOOTER_BYTES - sizeof(uint64_t)};
    uint64_t number = 0;
    oce_view_u64(&magic, &number);
    OCE_REQUIRE(number == OCE_TABLE_MAGIC, OCE_ERROR_FORMAT,
                "%s: not a checkpoint index, or cut short: its last 8 bytes are %016llx and not "
                "%016llx",
                t->path, (unsigned long long)number, (unsigned long long)OCE_TABLE_MAGIC);
    OCE_TRY(take_handle(t, &handles, "metaindex block", meta));
    return take_handle(t, &handles, "index block", index);
}

oce_status oce_table_read(const char *path, const void *data, size_t size,
                          oce_table_visitor visitor, void *user) {
    OCE_REQUIRE(size >= OCE_TABLE_FOOTER_BYTES, OCE_ERROR_FORMAT,
                "%s: %zu bytes are too few for a checkpoint index (at least %d)", path, size,
                OCE_TABLE_FOOTER_BYTES);
    table t = {.path = path,
               .data = data,
               .size = size - OCE_TABLE_FOOTER_BYTES,
               .visitor = visitor,
               .user = user};
    handle meta = {0, 0}, index = {0, 0};
    oce_view contents;
    oce_status status = read_footer(&t, t.data + t.size, &meta, &index);
    if (status == OCE_OK) /* nothing in it is used, but a damaged file should be known as such */
        status = open_block(&t, &meta, "metaindex block", &contents);
    if (status == OCE_OK)
        status = read_blocks(&t, &index);
    oce_bytes_finish(&t.scratch);
    oce_bytes_finish(&t.key);
    oce_bytes_finish(&t.index_key);
    return status;
}
