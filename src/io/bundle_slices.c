/*
 * Partitioned variables: the tensor's own entry lists its slices, and each slice has an entry of
 * its own whose key is made of the tensor's name and the slice's intervals by the order-preserving
 * encoding of tensorflow/core/lib/strings/ordered_code.cc.
 */
#include "base/size.h"
#include "base/status.h"
#include "io/bundle.h"

#include <stdlib.h>
#include <string.h>

/* A length byte, then as many bytes, high byte first. */
static void append_unsigned(oce_bytes *key, uint64_t value) {
    unsigned length = 0;
    while (length < 8 && value >> (8 * length) != 0)
        length++;
    oce_bytes_u8(key, length);
    while (length-- > 0)
        oce_bytes_u8(key, (unsigned)(value >> (8 * length)) & 0xFF);
}

/* NUL becomes 00 FF and FF becomes FF 00; 00 01 ends the string. */
static void append_string(oce_bytes *key, const char *text) {
    for (; *text; text++) {
        oce_bytes_u8(key, (unsigned char)*text);
        if ((unsigned char)*text == 0xFF)
            oce_bytes_u8(key, 0);
    }
    oce_bytes_u8(key, 0);
    oce_bytes_u8(key, 1);
}

/* n bytes hold 7n - 1 bits and the sign; n - 1 high bits of ones, after the sign, say how many
 * there are (all flipped for a negative number). */
static void append_signed(oce_bytes *key, int64_t value) {
    const uint64_t magnitude = value < 0 ? ~(uint64_t)value : (uint64_t)value;
    unsigned bits = 0;
    while (bits < 63 && magnitude >> bits != 0)
        bits++;
    const unsigned length = bits / 7 + 1;
    const unsigned sign = value < 0 ? 0xFF : 0;
    unsigned char bytes[10] = {(unsigned char)sign, (unsigned char)sign};
    for (int i = 0; i < 8; i++)
        bytes[2 + i] = (unsigned char)((uint64_t)value >> (8 * (7 - i)));
    unsigned char *first = bytes + 10 - length;
    for (unsigned bit = 0; bit < length; bit++) /* the top `length` bits, from the first byte on */
        first[bit / 8] ^= (unsigned char)(0x80U >> (bit % 8));
    oce_bytes_append(key, first, length);
}

static void slice_key(oce_bytes *key, const oce_bundle_entry *entry,
                      const oce_bundle_slice *slice) {
    key->size = 0;
    append_unsigned(key, 0);
    append_string(key, entry->name);
    append_unsigned(key, (uint64_t)entry->rank);
    for (int i = 0; i < entry->rank; i++) {
        append_signed(key, slice->start[i]);
        append_signed(key, slice->length[i]);
    }
}

/* Replaces "the whole axis" by numbers and checks that the slice lies in the tensor and its record
 * has its shape. */
static oce_status check_slice(const oce_bundle_reader *reader, const oce_bundle_entry *entry,
                              oce_bundle_slice *slice, int64_t *length) {
    const oce_bundle_record *part = &reader->records[slice->record];
    bool fits = part->entry.dtype == entry->dtype && part->entry.rank == entry->rank &&
                part->entry.slices == 0;
    for (int i = 0; fits && i < entry->rank; i++) {
        if (length[i] == -1)
            length[i] = entry->shape[i];
        fits = slice->start[i] >= 0 && length[i] >= 0 && length[i] <= entry->shape[i] &&
               slice->start[i] <= entry->shape[i] - length[i] && part->entry.shape[i] == length[i];
    }
    OCE_REQUIRE(fits, OCE_ERROR_FORMAT, "%s: a slice of tensor '%s' does not fit it",
                reader->index_path, entry->name);
    return OCE_OK;
}

static bool overlap(const oce_bundle_slice *a, const oce_bundle_slice *b, int rank) {
    for (int i = 0; i < rank; i++)
        if (a->start[i] >= b->start[i] + b->length[i] || b->start[i] >= a->start[i] + a->length[i])
            return false;
    return true;
}

/* No element is in two slices, and there are as many as the tensor has: so all are in one. */
static oce_status check_tiling(const oce_bundle_reader *reader, const oce_bundle_record *record) {
    const oce_bundle_entry *entry = &record->entry;
    uint64_t bytes = 0;
    bool tiles = true;
    for (int i = 0; i < entry->slices; i++) {
        bytes += reader->records[record->slices[i].record].entry.bytes;
        for (int j = 0; j < i; j++)
            tiles = tiles && !overlap(&record->slices[i], &record->slices[j], entry->rank);
    }
    OCE_REQUIRE(tiles && bytes == entry->bytes, OCE_ERROR_FORMAT,
                "%s: the slices of tensor '%s' do not cover it once", reader->index_path,
                entry->name);
    return OCE_OK;
}

static oce_status resolve(oce_bundle_reader *reader, oce_bundle_record *record, oce_bytes *key) {
    const oce_bundle_entry *entry = &record->entry;
    OCE_REQUIRE(oce_dtype_bytes(entry->dtype) > 0, OCE_ERROR_UNSUPPORTED,
                "%s: tensor '%s' is partitioned, and of type %s", reader->index_path, entry->name,
                oce_dtype_name(entry->dtype));
    for (int i = 0; i < entry->slices; i++) {
        oce_bundle_slice *slice = &record->slices[i];
        slice_key(key, entry, slice);
        OCE_TRY(oce_bytes_check(key, reader->index_path));
        const oce_bundle_record *part = oce_bundle_find_key(reader, key->data, key->size);
        OCE_REQUIRE(part, OCE_ERROR_FORMAT, "%s: tensor '%s': its slice %d has no entry",
                    reader->index_path, entry->name, i);
        slice->record = (size_t)(part - reader->records);
        const size_t bytes = (size_t)entry->rank * sizeof *slice->length;
        int64_t *length = oce_bundle_take(reader, bytes);
        OCE_REQUIRE(length, OCE_ERROR_HOST_MEMORY, "%s: no memory for the slices of '%s'",
                    reader->index_path, entry->name);
        if (bytes > 0)
            memcpy(length, slice->length, bytes);
        OCE_TRY(check_slice(reader, entry, slice, length));
        slice->length = length;
    }
    return check_tiling(reader, record);
}

oce_status oce_bundle_resolve_slices(oce_bundle_reader *reader) {
    oce_bytes key = {0};
    oce_status status = OCE_OK;
    for (size_t i = 0; i < reader->count && status == OCE_OK; i++)
        if (reader->records[i].entry.slices > 0)
            status = resolve(reader, &reader->records[i], &key);
    oce_bytes_finish(&key);
    return status;
}

/* Copies a dense slice to its place in the dense tensor, a row of the last axis at a time. */
static void place(const oce_bundle_entry *entry, const oce_bundle_slice *slice,
                  const unsigned char *part, size_t part_bytes, unsigned char *data) {
    const int rank = entry->rank;
    const size_t element = oce_dtype_bytes(entry->dtype);
    const size_t row = (rank > 0 ? (size_t)slice->length[rank - 1] : 1) * element;
    int64_t at[OCE_ARRAY_MAX_RANK] = {0};
    for (size_t done = 0; row > 0 && done < part_bytes; done += row) {
        size_t offset = 0;
        for (int i = 0; i < rank; i++)
            offset = offset * (size_t)entry->shape[i] + (size_t)(slice->start[i] + at[i]);
        memcpy(data + offset * element, part + done, row);
        for (int i = rank - 2; i >= 0 && ++at[i] == slice->length[i]; i--)
            at[i] = 0;
    }
}

oce_status oce_bundle_read_slices(oce_bundle_reader *reader, const oce_bundle_record *record,
                                  unsigned char *data) {
    for (int i = 0; i < record->entry.slices; i++) {
        const oce_bundle_slice *slice = &record->slices[i];
        const oce_bundle_record *part = &reader->records[slice->record];
        const size_t bytes = (size_t)part->entry.bytes;
        OCE_TRY(oce_bundle_open_data(reader, part));
        unsigned char *buffer = malloc(bytes + 1);
        OCE_REQUIRE(buffer, OCE_ERROR_HOST_MEMORY, "%s: no memory for a slice of %zu bytes of '%s'",
                    reader->index_path, bytes, record->entry.name);
        const oce_status status = oce_bundle_read_record(reader, part, buffer);
        if (status == OCE_OK)
            place(&record->entry, slice, buffer, bytes, data);
        free(buffer);
        if (status != OCE_OK)
            return oce_fail_prefix(status, "slice %d of tensor '%s'", i, record->entry.name);
    }
    return OCE_OK;
}
