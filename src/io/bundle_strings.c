#include "base/crc32c.h"
#include "io/bundle.h"

static uint32_t extend_length(uint32_t crc, uint64_t length) {
    const size_t size = length > UINT32_MAX ? 8 : 4;
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
    return oce_crc32c_extend(crc, bytes, size);
}

bool oce_bundle_strings_crc32c(const unsigned char *data, size_t size, size_t elements,
                               uint32_t *crc) {
    oce_view view = {data, size};
    uint64_t total = 0, length;
    *crc = 0;
    for (size_t i = 0; i < elements; i++) {
        if (!oce_view_varint(&view, &length) || length > size)
            return false;
        total += length;
        *crc = extend_length(*crc, length);
    }
    const unsigned char *stored;
    const uint32_t lengths = *crc;
    uint32_t expected;
    oce_view number = view;
    if (!oce_view_u32(&number, &expected) || expected != oce_crc32c_mask(lengths) ||
        !oce_view_take(&view, sizeof expected, &stored) || view.size != total)
        return false;
    *crc = oce_crc32c_extend(*crc, stored, sizeof expected + view.size);
    return true;
}
