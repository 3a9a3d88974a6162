#include "io/table.h"

#include "base/crc32c.h"

#include <string.h>

static void block_init(oce_block *block, int interval) {
    *block = (oce_block){.interval = interval, .since_restart = interval};
}

static void block_finish(oce_block *block) {
    oce_bytes_finish(&block->entries);
    oce_bytes_finish(&block->restarts);
    oce_bytes_finish(&block->last_key);
}

static void block_clear(oce_block *block) {
    block->entries.size = 0;
    block->restarts.size = 0;
    block->last_key.size = 0;
    block->since_restart = block->interval;
}

static void block_add(oce_block *block, const unsigned char *key, size_t key_size,
                      const void *value, size_t value_size) {
    size_t shared = 0;
    if (block->since_restart == block->interval) {
        oce_bytes_u32(&block->restarts, (uint32_t)block->entries.size);
        block->since_restart = 0;
    } else {
        while (shared < key_size && shared < block->last_key.size &&
               key[shared] == block->last_key.data[shared])
            shared++;
    }
    block->since_restart++;
    oce_bytes_varint(&block->entries, shared);
    oce_bytes_varint(&block->entries, key_size - shared);
    oce_bytes_varint(&block->entries, value_size);
    oce_bytes_append(&block->entries, key + shared, key_size - shared);
    oce_bytes_append(&block->entries, value, value_size);
    block->last_key.size = 0;
    oce_bytes_append(&block->last_key, key, key_size);
}

static size_t block_bytes(const oce_block *block) {
    return block->entries.size + block->restarts.size + sizeof(uint32_t);
}

static bool block_failed(const oce_block *block) {
    return block->entries.failed || block->restarts.failed || block->last_key.failed;
}

/* Appends the block with its trailer to the file. */
static void write_block(oce_table_builder *builder, oce_block *block, uint64_t *offset,
                        uint64_t *size) {
    if (block->restarts.size == 0) /* an empty block has a restart too */
        oce_bytes_u32(&block->restarts, 0);
    oce_bytes *file = &builder->file;
    const size_t start = file->size;
    oce_bytes_append(file, block->entries.data, block->entries.size);
    oce_bytes_append(file, block->restarts.data, block->restarts.size);
    oce_bytes_u32(file, (uint32_t)(block->restarts.size / sizeof(uint32_t)));
    *offset = start;
    *size = file->size - start;
    oce_bytes_u8(file, 0);
    if (block_failed(block))
        file->failed = true;
    if (!file->failed)
        oce_bytes_u32(file, oce_crc32c_mask(oce_crc32c(file->data + start, file->size - start)));
    block_clear(block);
}

void oce_table_builder_init(oce_table_builder *builder) {
    *builder = (oce_table_builder){.file = {0}};
    block_init(&builder->block, OCE_TABLE_RESTART_INTERVAL);
    block_init(&builder->index, 1);
}

void oce_table_builder_finish(oce_table_builder *builder) {
    block_finish(&builder->block);
    block_finish(&builder->index);
    oce_bytes_finish(&builder->file);
}

/* Shortens `start` to the shortest key that is not below it and below `limit`. */
static void shortest_separator(oce_bytes *start, const unsigned char *limit, size_t limit_size) {
    size_t same = 0;
    while (same < start->size && same < limit_size && start->data[same] == limit[same])
        same++;
    if (same < start->size && same < limit_size && start->data[same] < 0xFF &&
        start->data[same] + 1 < limit[same]) {
        start->data[same]++;
        start->size = same + 1;
    }
}

/* Shortens `key` to the shortest key that is not below it. */
static void shortest_successor(oce_bytes *key) {
    for (size_t i = 0; i < key->size; i++)
        if (key->data[i] != 0xFF) {
            key->data[i]++;
            key->size = i + 1;
            return;
        }
}

/* Ends the data block and adds its index entry, whose key is not below the block's last key and
 * below the next one; the block is the last if `next` is NULL. */
static void end_block(oce_table_builder *builder, const void *next, size_t next_size) {
    oce_bytes key = {0}, handle = {0};
    uint64_t offset, size;
    oce_bytes_append(&key, builder->block.last_key.data, builder->block.last_key.size);
    write_block(builder, &builder->block, &offset, &size);
    oce_bytes_varint(&handle, offset);
    oce_bytes_varint(&handle, size);
    if (next)
        shortest_separator(&key, next, next_size);
    else
        shortest_successor(&key);
    if (key.failed || handle.failed)
        builder->file.failed = true;
    else
        block_add(&builder->index, key.data, key.size, handle.data, handle.size);
    oce_bytes_finish(&key);
    oce_bytes_finish(&handle);
}

void oce_table_builder_add(oce_table_builder *builder, const void *key, size_t key_size,
                           const void *value, size_t value_size) {
    const bool huge = key_size + value_size >= (size_t)2 * OCE_TABLE_BLOCK_BYTES;
    if (builder->block.entries.size > 0 &&
        (huge || block_bytes(&builder->block) >= OCE_TABLE_BLOCK_BYTES))
        end_block(builder, key, key_size);
    block_add(&builder->block, key, key_size, value, value_size);
}

oce_status oce_table_builder_complete(oce_table_builder *builder) {
    if (builder->block.entries.size > 0)
        end_block(builder, NULL, 0);
    uint64_t meta_offset, meta_size, index_offset, index_size;
    write_block(builder, &builder->block, &meta_offset, &meta_size);
    write_block(builder, &builder->index, &index_offset, &index_size);
    oce_bytes *file = &builder->file;
    const size_t footer = file->size;
    oce_bytes_varint(file, meta_offset);
    oce_bytes_varint(file, meta_size);
    oce_bytes_varint(file, index_offset);
    oce_bytes_varint(file, index_size);
    while (!file->failed && file->size < footer + OCE_TABLE_FOOTER_BYTES - sizeof(uint64_t))
        oce_bytes_u8(file, 0);
    oce_bytes_u64(file, OCE_TABLE_MAGIC);
    return oce_bytes_check(file, "table");
}
