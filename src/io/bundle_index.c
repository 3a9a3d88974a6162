/* The records of an .index table, checked. */
#include "io/bundle.h"

#include "base/crc32c.h"
#include "base/path.h"
#include "base/size.h"
#include "base/status.h"
#include "io/array.h"
#include "io/bundle.pb-c.h"
#include "io/table.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONSUMER_VERSION = 1,
    MAX_SHARDS = 99999,
    MAX_SLICES = 1024,
    /* Bytes of memory for each byte of the file: a real entry takes some 150 bytes for 30. */
    BUDGET_FACTOR = 64,
    BUDGET_BASE = 1 << 16
};

void *oce_bundle_take(oce_bundle_reader *reader, size_t size) {
    const size_t cost = size + sizeof(max_align_t);
    if (cost < size || cost > reader->budget)
        return NULL;
    reader->budget -= cost;
    return oce_arena_take(&reader->arena, size);
}

static oce_status no_memory(const oce_bundle_reader *reader) {
    return oce_fail(OCE_ERROR_HOST_MEMORY,
                    "%s: its entries need more memory than there is, or than a file of its size "
                    "may ask for",
                    reader->index_path);
}

static oce_status check_header(oce_bundle_reader *reader, const Oce__Bundle__Header *header) {
    const char *path = reader->index_path;
    OCE_REQUIRE(header->shards >= 1 && header->shards <= MAX_SHARDS, OCE_ERROR_FORMAT,
                "%s: the header says %d data files", path, header->shards);
    OCE_REQUIRE(header->endianness == 0, OCE_ERROR_UNSUPPORTED,
                "%s: written by a big-endian machine", path);
    const Oce__Bundle__Version *version = header->version;
    if (version) {
        OCE_REQUIRE(version->min_consumer <= CONSUMER_VERSION, OCE_ERROR_UNSUPPORTED,
                    "%s: needs a reader of version %d, this is one of version %d", path,
                    version->min_consumer, CONSUMER_VERSION);
        for (size_t i = 0; i < version->n_bad_consumers; i++)
            OCE_REQUIRE(version->bad_consumers[i] != CONSUMER_VERSION, OCE_ERROR_UNSUPPORTED,
                        "%s: excludes readers of version %d", path, CONSUMER_VERSION);
    }
    reader->shards = header->shards;
    return OCE_OK;
}

static oce_status read_header(oce_bundle_reader *reader, oce_view key, oce_view value) {
    OCE_REQUIRE(key.size == 0, OCE_ERROR_FORMAT, "%s: the first entry is not the header",
                reader->index_path);
    Oce__Bundle__Header *header = oce__bundle__header__unpack(NULL, value.size, value.data);
    OCE_REQUIRE(header, OCE_ERROR_FORMAT, "%s: a malformed header", reader->index_path);
    const oce_status status = check_header(reader, header);
    oce__bundle__header__free_unpacked(header, NULL);
    return status;
}

static oce_status make_room(oce_bundle_reader *reader) {
    if (reader->count < reader->capacity)
        return OCE_OK;
    const size_t capacity = reader->capacity * 2 + 32;
    const size_t more = (capacity - reader->capacity) * sizeof *reader->records;
    oce_bundle_record *records =
        more <= reader->budget ? realloc(reader->records, capacity * sizeof *records) : NULL;
    if (!records)
        return no_memory(reader);
    reader->budget -= more;
    reader->records = records;
    reader->capacity = capacity;
    return OCE_OK;
}

static oce_status take_shape(oce_bundle_reader *reader, const Oce__Bundle__Shape *shape,
                             oce_bundle_entry *entry) {
    const size_t rank = shape ? shape->n_extents : 0;
    OCE_REQUIRE(!shape || !shape->unknown_rank, OCE_ERROR_FORMAT,
                "%s: tensor '%s' has a shape of unknown rank", reader->index_path, entry->name);
    OCE_REQUIRE(rank <= OCE_ARRAY_MAX_RANK, OCE_ERROR_FORMAT, "%s: tensor '%s' has %zu extents",
                reader->index_path, entry->name, rank);
    int64_t *extents = oce_bundle_take(reader, rank * sizeof *extents);
    if (!extents)
        return no_memory(reader);
    for (size_t i = 0; i < rank; i++) {
        extents[i] = shape->extents[i]->size;
        OCE_REQUIRE(extents[i] >= 0, OCE_ERROR_FORMAT, "%s: tensor '%s': extent %zu is %lld",
                    reader->index_path, entry->name, i, (long long)extents[i]);
    }
    entry->rank = (int)rank;
    entry->shape = extents;
    return OCE_OK;
}

static oce_status take_slice(oce_bundle_reader *reader, const Oce__Bundle__Slice *slice,
                             const oce_bundle_entry *entry, oce_bundle_slice *taken) {
    const size_t rank = (size_t)entry->rank;
    OCE_REQUIRE(slice->n_intervals == rank, OCE_ERROR_FORMAT,
                "%s: tensor '%s': a slice has %zu axes, the tensor %zu", reader->index_path,
                entry->name, slice->n_intervals, rank);
    int64_t *start = oce_bundle_take(reader, rank * sizeof *start);
    int64_t *length = oce_bundle_take(reader, rank * sizeof *length);
    if (!start || !length)
        return no_memory(reader);
    for (size_t i = 0; i < rank; i++) {
        const Oce__Bundle__Interval *interval = slice->intervals[i];
        start[i] = interval->start;
        length[i] = interval->has_length_case == OCE__BUNDLE__INTERVAL__HAS_LENGTH_LENGTH
                        ? interval->length
                        : -1; /* the whole axis */
    }
    *taken = (oce_bundle_slice){start, length, 0};
    return OCE_OK;
}

static oce_status take_slices(oce_bundle_reader *reader, const Oce__Bundle__Entry *found,
                              oce_bundle_record *record) {
    OCE_REQUIRE(found->n_slices <= MAX_SLICES, OCE_ERROR_UNSUPPORTED,
                "%s: tensor '%s' has %zu slices, more than %d", reader->index_path,
                record->entry.name, found->n_slices, MAX_SLICES);
    record->slices = oce_bundle_take(reader, found->n_slices * sizeof *record->slices);
    if (!record->slices)
        return no_memory(reader);
    for (size_t i = 0; i < found->n_slices; i++)
        OCE_TRY(take_slice(reader, found->slices[i], &record->entry, &record->slices[i]));
    record->entry.slices = (int)found->n_slices;
    return OCE_OK;
}

/* Where the bytes are, and how many, against what the shape says. */
static oce_status take_place(oce_bundle_reader *reader, const Oce__Bundle__Entry *found,
                             oce_bundle_entry *entry) {
    const char *path = reader->index_path;
    OCE_REQUIRE(found->dtype > 0, OCE_ERROR_FORMAT, "%s: tensor '%s' has element type %d", path,
                entry->name, found->dtype);
    OCE_REQUIRE(found->shard >= 0 && found->shard < reader->shards, OCE_ERROR_FORMAT,
                "%s: tensor '%s' is in data file %d of %d", path, entry->name, found->shard,
                reader->shards);
    OCE_REQUIRE(found->offset >= 0 && found->size >= 0 && found->offset <= INT64_MAX - found->size,
                OCE_ERROR_FORMAT, "%s: tensor '%s': %lld bytes from byte %lld on", path,
                entry->name, (long long)found->size, (long long)found->offset);
    entry->dtype = (oce_dtype)found->dtype;
    entry->shard = found->shard;
    entry->offset = (uint64_t)found->offset;
    entry->bytes = (uint64_t)found->size;
    entry->crc32c = oce_crc32c_unmask(found->masked_crc32c);
    size_t bytes;
    OCE_REQUIRE(oce_size_product(entry->shape, entry->rank, &bytes) &&
                    oce_size_mul(bytes, oce_dtype_bytes(entry->dtype), &bytes),
                OCE_ERROR_FORMAT, "%s: tensor '%s' has more elements than a machine can hold", path,
                entry->name);
    if (found->n_slices > 0)
        entry->bytes = bytes;
    char shape[128];
    OCE_REQUIRE(oce_dtype_bytes(entry->dtype) == 0 || entry->bytes == bytes, OCE_ERROR_FORMAT,
                "%s: tensor '%s', %s %s, is said to have %llu bytes instead of %zu", path,
                entry->name, oce_dtype_name(entry->dtype),
                oce_shape_text(entry->rank, entry->shape, shape, sizeof shape),
                (unsigned long long)entry->bytes, bytes);
    return OCE_OK;
}

static oce_status take_record(oce_bundle_reader *reader, oce_view key,
                              const Oce__Bundle__Entry *found) {
    OCE_TRY(make_room(reader));
    char *name = oce_bundle_take(reader, key.size + 1);
    if (!name)
        return no_memory(reader);
    memcpy(name, key.data, key.size);
    name[key.size] = 0;
    oce_bundle_record record = {.entry = {.name = name}, .key_size = key.size};
    OCE_TRY(take_shape(reader, found->shape, &record.entry));
    OCE_TRY(take_place(reader, found, &record.entry));
    if (found->n_slices > 0)
        OCE_TRY(take_slices(reader, found, &record));
    reader->records[reader->count++] = record;
    return OCE_OK;
}

static oce_status read_entry(void *user, oce_view key, oce_view value) {
    oce_bundle_reader *reader = user;
    if (reader->shards == 0)
        return read_header(reader, key, value);
    if (key.data[0] == 0)
        reader->slice_count++;
    else
        OCE_REQUIRE(!memchr(key.data, 0, key.size), OCE_ERROR_FORMAT,
                    "%s: the name of tensor %zu holds a NUL", reader->index_path, reader->count);
    Oce__Bundle__Entry *found = oce__bundle__entry__unpack(NULL, value.size, value.data);
    OCE_REQUIRE(found, OCE_ERROR_FORMAT, "%s: tensor '%.*s': a malformed entry", reader->index_path,
                (int)key.size, (const char *)key.data);
    const oce_status status = take_record(reader, key, found);
    oce__bundle__entry__free_unpacked(found, NULL);
    return status;
}

static oce_status read_index(oce_bundle_reader *reader, const void *index, size_t size) {
    OCE_TRY(oce_table_read(reader->index_path, index, size, read_entry, reader));
    OCE_REQUIRE(reader->shards > 0, OCE_ERROR_FORMAT, "%s: an empty table", reader->index_path);
    return oce_bundle_resolve_slices(reader);
}

oce_status oce_bundle_reader_parse(const char *prefix, const void *index, size_t size,
                                   oce_bundle_reader **reader) {
    *reader = NULL;
    OCE_TRY(oce_require_little_endian(prefix));
    oce_bundle_reader *created = calloc(1, sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "%s: no memory to read it", prefix);
    created->data = OCE_FILE_CLOSED;
    created->budget = size * BUDGET_FACTOR + BUDGET_BASE;
    oce_status status = oce_text_copy(prefix, &created->prefix);
    if (status == OCE_OK)
        status = oce_text_format(&created->index_path, "%s.index", prefix);
    if (status == OCE_OK)
        status = read_index(created, index, size);
    if (status == OCE_OK)
        *reader = created;
    else
        oce_bundle_reader_close(created);
    return status;
}
