#include "base/crc32c.h"

#include "support/scratch.h"
#include "support/vectors_json.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/* Bit by bit, from the polynomial alone. */
static uint32_t slow_crc32c(uint32_t crc, const unsigned char *data, size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
    }
    return ~crc;
}

static void fill(unsigned char *data, size_t size) {
    uint32_t state = 12345;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525U + 1013904223U;
        data[i] = (unsigned char)(state >> 24);
    }
}

Test(crc32c, vectors) {
    vector_file *file = vectors_open("crc32c.json");
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i);
        size_t size;
        unsigned char *data = decode_hex(vectors_text(vector, "bytes_hex"), &size);
        const uint32_t crc = (uint32_t)strtoul(vectors_text(vector, "crc32c"), NULL, 16);
        const uint32_t masked = (uint32_t)strtoul(vectors_text(vector, "masked"), NULL, 16);
        cr_expect_eq(oce_crc32c(data, size), crc, "%s", vectors_text(vector, "name"));
        cr_expect_eq(oce_crc32c_extend_portable(0, data, size), crc);
        cr_expect_eq(oce_crc32c_mask(crc), masked);
        cr_expect_eq(oce_crc32c_unmask(masked), crc);
        free(data);
    }
    vectors_close(file);
}

Test(crc32c, four_zero_bytes_masked) {
    cr_expect_eq(oce_crc32c_mask(oce_crc32c("\0\0\0", 4)), 0x3a117ba6U);
}

Test(crc32c, extends_piece_by_piece) {
    const uint32_t hello = oce_crc32c("hello ", 6);
    cr_expect_eq(oce_crc32c_extend(hello, "world", 5), oce_crc32c("hello world", 11));
    cr_expect_eq(oce_crc32c_extend(hello, NULL, 0), hello);
    cr_expect_eq(oce_crc32c(NULL, 0), 0);
}

Test(crc32c, every_length_and_alignment_by_both_ways) {
    unsigned char data[128];
    fill(data, sizeof data);
    for (size_t start = 0; start < 16; start++)
        for (size_t size = 0; start + size <= sizeof data; size++) {
            const uint32_t expected = slow_crc32c(7, data + start, size);
            cr_assert_eq(oce_crc32c_extend(7, data + start, size), expected, "%zu+%zu", start,
                         size);
            cr_assert_eq(oce_crc32c_extend_portable(7, data + start, size), expected);
        }
}

Test(crc32c, mask_is_reversible) {
    for (uint32_t i = 0; i < 1000; i++) {
        const uint32_t crc = i * 2654435761U;
        cr_assert_eq(oce_crc32c_unmask(oce_crc32c_mask(crc)), crc);
        cr_assert_neq(oce_crc32c_mask(crc), crc);
    }
}
