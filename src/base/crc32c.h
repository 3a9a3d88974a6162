/*
 * CRC-32C (Castagnoli; reflected polynomial 0x82F63B78, initial value and final xor 0xFFFFFFFF), by
 * the processor's instruction where there is one (SSE4.2, ARMv8 CRC), else by tables.
 */
#ifndef OCE_BASE_CRC32C_H
#define OCE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of the bytes whose checksum is `crc` followed by data[0..size); start with 0. */
uint32_t oce_crc32c_extend(uint32_t crc, const void *data, size_t size);
/* The same by tables alone, whatever the processor offers. */
uint32_t oce_crc32c_extend_portable(uint32_t crc, const void *data, size_t size);

static inline uint32_t oce_crc32c(const void *data, size_t size) {
    return oce_crc32c_extend(0, data, size);
}

/* LevelDB's and TensorFlow's masking, so that a checksum of bytes that hold checksums stays good.
 */
static inline uint32_t oce_crc32c_mask(uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

static inline uint32_t oce_crc32c_unmask(uint32_t masked) {
    const uint32_t rotated = masked - 0xa282ead8U;
    return (rotated >> 17) | (rotated << 15);
}

#endif
