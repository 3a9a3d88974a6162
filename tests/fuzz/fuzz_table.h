/* Tables for fuzzing: one data block of given bytes, and everything around it right. */
#ifndef TESTS_FUZZ_FUZZ_TABLE_H
#define TESTS_FUZZ_FUZZ_TABLE_H

#include "base/crc32c.h"
#include "io/table.h"

/* `type`: 0 stored, 1 Snappy. */
static inline oce_bytes fuzz_table(const unsigned char *block, size_t size, unsigned type) {
    static const unsigned char metaindex[] = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 0xf2, 0xa1, 0xb0};
    oce_bytes file = {0};
    oce_bytes_append(&file, block, size);
    oce_bytes_u8(&file, type);
    oce_bytes_u32(&file, oce_crc32c_mask(oce_crc32c(file.data, file.size)));
    const size_t meta = file.size;
    oce_bytes_append(&file, metaindex, sizeof metaindex);
    const size_t index = file.size;
    oce_bytes handle = {0};
    oce_bytes_varint(&handle, 0);
    oce_bytes_varint(&handle, size);
    oce_bytes_varint(&file, 0);
    oce_bytes_varint(&file, 2);
    oce_bytes_varint(&file, handle.size);
    oce_bytes_append(&file, "\xff\xff", 2); /* not below any key in use */
    oce_bytes_append(&file, handle.data, handle.size);
    oce_bytes_u32(&file, 0);
    oce_bytes_u32(&file, 1);
    const size_t index_size = file.size - index;
    oce_bytes_u8(&file, 0);
    oce_bytes_u32(&file, oce_crc32c_mask(oce_crc32c(file.data + index, file.size - index)));
    const size_t footer = file.size;
    oce_bytes_varint(&file, meta);
    oce_bytes_varint(&file, sizeof metaindex - OCE_TABLE_TRAILER_BYTES);
    oce_bytes_varint(&file, index);
    oce_bytes_varint(&file, index_size);
    while (file.size < footer + 40)
        oce_bytes_u8(&file, 0);
    oce_bytes_u64(&file, OCE_TABLE_MAGIC);
    oce_bytes_finish(&handle);
    return file;
}

#endif
