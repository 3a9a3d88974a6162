/*
 * The sorted table of keys and values that an .index file is: LevelDB's format as TensorFlow writes
 * it (tensorflow/core/lib/io/table_builder.cc, block_builder.cc, format.cc).
 *
 *   data blocks, an empty metaindex block, an index block; each followed by its type (0 stored,
 *   1 Snappy) and the masked CRC-32C of contents and type
 *   footer: handles of metaindex and index, zeros to 40 bytes, magic
 *
 *   block: entries {varint shared, varint unshared, varint value bytes, rest of key, value},
 *          fixed32 offsets of the entries with shared = 0, fixed32 their number
 */
#ifndef OCE_IO_TABLE_H
#define OCE_IO_TABLE_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OCE_TABLE_FOOTER_BYTES = 48,
    OCE_TABLE_TRAILER_BYTES = 5,
    OCE_TABLE_RESTART_INTERVAL = 16,
    OCE_TABLE_BLOCK_BYTES = 262144,
    OCE_TABLE_MAX_KEY = 65536 /* names of variables are far shorter */
};
#define OCE_TABLE_MAGIC UINT64_C(0xdb4775248b80fb57)

/* Called for each entry, in order; a failure ends the reading. */
typedef oce_status (*oce_table_visitor)(void *user, oce_view key, oce_view value);

/* Checks the whole table and visits its entries. `path` is for messages. OCE_ERROR_FORMAT,
 * OCE_ERROR_CHECKSUM, OCE_ERROR_HOST_MEMORY. */
oce_status oce_table_read(const char *path, const void *data, size_t size,
                          oce_table_visitor visitor, void *user);

/* A block being made. */
typedef struct oce_block {
    oce_bytes entries, restarts, last_key;
    int interval; /* a restart every so many entries */
    int since_restart;
} oce_block;

/* A table being made. */
typedef struct oce_table_builder {
    oce_bytes file; /* the finished blocks */
    oce_block block, index;
} oce_table_builder;

/* Failed allocations show in oce_table_builder_complete(). */
void oce_table_builder_init(oce_table_builder *builder);
void oce_table_builder_finish(oce_table_builder *builder);
/* Keys must come in strictly increasing bytewise order. */
void oce_table_builder_add(oce_table_builder *builder, const void *key, size_t key_size,
                           const void *value, size_t value_size);
/* Completes the table, which is then builder->file. */
oce_status oce_table_builder_complete(oce_table_builder *builder);

#endif
