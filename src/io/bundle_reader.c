#include "base/crc32c.h"
#include "base/size.h"
#include "base/status.h"
#include "io/bundle.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 18 }; /* read and checked at a time: fits the second-level cache */

oce_status oce_bundle_reader_open(const char *prefix, oce_bundle_reader **reader) {
    *reader = NULL;
    oce_bytes path = {0}, index = {0};
    oce_bytes_printf(&path, "%s.index", prefix);
    oce_status status = oce_bytes_check(&path, prefix);
    if (status == OCE_OK)
        status = oce_file_read(oce_bytes_string(&path), OCE_BUNDLE_INDEX_LIMIT, &index);
    if (status == OCE_OK)
        status = oce_bundle_reader_parse(prefix, index.data, index.size, reader);
    oce_bytes_finish(&path);
    oce_bytes_finish(&index);
    return status;
}

void oce_bundle_reader_close(oce_bundle_reader *reader) {
    if (!reader)
        return;
    oce_file_close(&reader->data);
    oce_arena_finish(&reader->arena);
    free(reader->records);
    free(reader->index_path);
    free(reader->prefix);
    free(reader);
}

size_t oce_bundle_reader_count(const oce_bundle_reader *reader) {
    return reader->count - reader->slice_count;
}

const oce_bundle_entry *oce_bundle_reader_entry(const oce_bundle_reader *reader, size_t index) {
    return index < oce_bundle_reader_count(reader)
               ? &reader->records[reader->slice_count + index].entry
               : NULL;
}

const oce_bundle_record *oce_bundle_find_key(const oce_bundle_reader *reader, const void *key,
                                             size_t size) {
    size_t low = 0, high = reader->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const oce_bundle_record *record = &reader->records[middle];
        const size_t common = size < record->key_size ? size : record->key_size;
        int order = memcmp(key, record->entry.name, common);
        if (order == 0)
            order = (size > record->key_size) - (size < record->key_size);
        if (order == 0)
            return record;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const oce_bundle_entry *oce_bundle_reader_find(const oce_bundle_reader *reader, const char *name) {
    const oce_bundle_record *record = oce_bundle_find_key(reader, name, strlen(name));
    return record ? &record->entry : NULL;
}

static bool is_like(const oce_bundle_entry *entry, oce_dtype dtype, int rank,
                    const int64_t *shape) {
    if (entry->dtype != dtype || entry->rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (entry->shape[i] != shape[i])
            return false;
    return true;
}

/* Appends up to a handful of tensors: those like the one that is missing, or else the first. */
static void list_tensors(const oce_bundle_reader *reader, bool only_like, oce_dtype dtype, int rank,
                         const int64_t *shape, oce_bytes *text) {
    enum { MOST = 6 };
    int listed = 0;
    for (size_t i = 0; i < oce_bundle_reader_count(reader); i++) {
        const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, i);
        char extents[128];
        if (only_like && !is_like(entry, dtype, rank, shape))
            continue;
        if (listed == MOST) {
            oce_bytes_text(text, ", ...");
            return;
        }
        oce_bytes_printf(text, "%s'%s'", listed > 0 ? ", " : "", entry->name);
        if (!only_like)
            oce_bytes_printf(text, " %s %s", oce_dtype_name(entry->dtype),
                             oce_shape_text(entry->rank, entry->shape, extents, sizeof extents));
        listed++;
    }
}

static oce_status fail_missing(const oce_bundle_reader *reader, const char *name, oce_dtype dtype,
                               int rank, const int64_t *shape) {
    oce_bytes like = {0}, first = {0};
    char extents[128];
    oce_shape_text(rank, shape, extents, sizeof extents);
    list_tensors(reader, true, dtype, rank, shape, &like);
    list_tensors(reader, false, dtype, rank, shape, &first);
    const char *type = oce_dtype_name(dtype);
    const size_t count = oce_bundle_reader_count(reader);
    if (like.size > 0)
        oce_fail(OCE_ERROR_NOT_FOUND,
                 "%s: no tensor '%s' (%s %s) among its %zu; of this type and shape it has %s",
                 reader->prefix, name, type, extents, count, oce_bytes_string(&like));
    else
        oce_fail(OCE_ERROR_NOT_FOUND,
                 "%s: no tensor '%s' (%s %s) among its %zu, and none of this type and shape; it "
                 "has %s",
                 reader->prefix, name, type, extents, count, oce_bytes_string(&first));
    oce_bytes_finish(&like);
    oce_bytes_finish(&first);
    return OCE_ERROR_NOT_FOUND;
}

oce_status oce_bundle_reader_require(const oce_bundle_reader *reader, const char *name,
                                     oce_dtype dtype, int rank, const int64_t *shape) {
    const oce_bundle_entry *entry = oce_bundle_reader_find(reader, name);
    if (!entry)
        return fail_missing(reader, name, dtype, rank, shape);
    char has[128], needs[128];
    OCE_REQUIRE(is_like(entry, dtype, rank, shape), OCE_ERROR_SHAPE,
                "%s: tensor '%s' is %s %s where %s %s is needed", reader->prefix, name,
                oce_dtype_name(entry->dtype),
                oce_shape_text(entry->rank, entry->shape, has, sizeof has), oce_dtype_name(dtype),
                oce_shape_text(rank, shape, needs, sizeof needs));
    return OCE_OK;
}

oce_status oce_bundle_open_data(oce_bundle_reader *reader, const oce_bundle_record *record) {
    const oce_bundle_entry *entry = &record->entry;
    if (reader->data.descriptor < 0 || reader->data_shard != entry->shard) {
        oce_file_close(&reader->data);
        oce_bytes path = {0};
        oce_bytes_printf(&path, "%s.data-%05d-of-%05d", reader->prefix, entry->shard,
                         reader->shards);
        oce_status status = oce_bytes_check(&path, reader->prefix);
        if (status == OCE_OK)
            status = oce_file_open(oce_bytes_string(&path), &reader->data);
        oce_bytes_finish(&path);
        OCE_TRY(status);
        reader->data_shard = entry->shard;
    }
    OCE_REQUIRE(entry->offset <= reader->data.size &&
                    entry->bytes <= reader->data.size - entry->offset,
                OCE_ERROR_FORMAT,
                "%s: has %llu bytes, but tensor '%s' is said to be %llu bytes from byte %llu on",
                reader->data.path, (unsigned long long)reader->data.size, entry->name,
                (unsigned long long)entry->bytes, (unsigned long long)entry->offset);
    return OCE_OK;
}

/* Strings have a checksum of their own kind. */
static oce_status checksum_strings(const oce_bundle_reader *reader, const oce_bundle_entry *entry,
                                   const unsigned char *data, uint32_t *crc) {
    size_t elements;
    OCE_REQUIRE(oce_size_product(entry->shape, entry->rank, &elements) &&
                    oce_bundle_strings_crc32c(data, (size_t)entry->bytes, elements, crc),
                OCE_ERROR_FORMAT, "%s: tensor '%s': malformed strings", reader->data.path,
                entry->name);
    return OCE_OK;
}

oce_status oce_bundle_read_record(oce_bundle_reader *reader, const oce_bundle_record *record,
                                  unsigned char *data) {
    const oce_bundle_entry *entry = &record->entry;
    OCE_TRY(oce_bundle_open_data(reader, record));
    uint32_t crc = 0;
    for (uint64_t done = 0; done < entry->bytes; done += PIECE_BYTES) {
        const uint64_t left = entry->bytes - done;
        const size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        OCE_TRY(oce_file_read_at(&reader->data, entry->offset + done, data + done, size));
        crc = oce_crc32c_extend(crc, data + done, size);
    }
    if (entry->dtype == OCE_DTYPE_STRING)
        OCE_TRY(checksum_strings(reader, entry, data, &crc));
    OCE_REQUIRE(crc == entry->crc32c, OCE_ERROR_CHECKSUM,
                "%s: tensor '%s', %llu bytes from byte %llu on: the checksum is 0x%08x and should "
                "be 0x%08x",
                reader->data.path, entry->name, (unsigned long long)entry->bytes,
                (unsigned long long)entry->offset, crc, entry->crc32c);
    return OCE_OK;
}

static oce_status read_tensor(oce_bundle_reader *reader, const oce_bundle_record *record,
                              void *data) {
    return record->entry.slices > 0 ? oce_bundle_read_slices(reader, record, data)
                                    : oce_bundle_read_record(reader, record, data);
}

oce_status oce_bundle_reader_read(oce_bundle_reader *reader, const char *name, int rank,
                                  const int64_t *shape, float *data) {
    OCE_TRY(oce_bundle_reader_require(reader, name, OCE_DTYPE_FLOAT32, rank, shape));
    return read_tensor(reader, oce_bundle_find_key(reader, name, strlen(name)), data);
}

oce_status oce_bundle_reader_read_bytes(oce_bundle_reader *reader, size_t index, void *data,
                                        size_t capacity) {
    const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, index);
    OCE_REQUIRE(entry, OCE_ERROR_INVALID_ARGUMENT, "%s: there is no tensor %zu of %zu",
                reader->prefix, index, oce_bundle_reader_count(reader));
    OCE_REQUIRE(entry->bytes <= capacity, OCE_ERROR_INVALID_ARGUMENT,
                "%s: tensor '%s' has %llu bytes, room is for %zu", reader->prefix, entry->name,
                (unsigned long long)entry->bytes, capacity);
    OCE_REQUIRE(entry->dtype != OCE_DTYPE_RESOURCE && entry->dtype != OCE_DTYPE_VARIANT,
                OCE_ERROR_UNSUPPORTED, "%s: tensor '%s' is of type %s, whose checksum has no rule",
                reader->prefix, entry->name, oce_dtype_name(entry->dtype));
    return read_tensor(reader, &reader->records[reader->slice_count + index], data);
}
