#include "io/bundle_writer.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/path.h"
#include "base/status.h"
#include "io/array.h"
#include "io/bundle.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum {
    PRODUCER_VERSION = 1,
    PIECE_BYTES = 1 << 18 /* checked and written at a time: fits the second-level cache */
};

typedef struct tensor {
    oce_bundle_entry entry; /* name and shape are copies */
    const unsigned char *data;
} tensor;

struct oce_bundle_writer {
    char *prefix, *folder, *data_path, *index_path;
    tensor *tensors;
    size_t count, capacity;
    oce_writer *data, *index; /* while their files are temporary */
    bool prepared;
};

static oce_status set_paths(oce_bundle_writer *writer, const char *prefix) {
    OCE_TRY(oce_text_copy(prefix, &writer->prefix));
    OCE_TRY(oce_path_folder(prefix, &writer->folder));
    OCE_TRY(oce_text_format(&writer->data_path, "%s.data-00000-of-00001", prefix));
    return oce_text_format(&writer->index_path, "%s.index", prefix);
}

oce_status oce_bundle_writer_create(const char *prefix, oce_bundle_writer **writer) {
    *writer = NULL;
    OCE_TRY(oce_require_little_endian(prefix));
    OCE_REQUIRE(*oce_path_base(prefix), OCE_ERROR_INVALID_ARGUMENT,
                "'%s' names no checkpoint: it ends in a folder", prefix);
    oce_bundle_writer *created = calloc(1, sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "%s: no memory to write it", prefix);
    const oce_status status = set_paths(created, prefix);
    if (status == OCE_OK)
        *writer = created;
    else
        oce_bundle_writer_destroy(created);
    return status;
}

void oce_bundle_writer_destroy(oce_bundle_writer *writer) {
    if (!writer)
        return;
    oce_writer_destroy(writer->data);
    oce_writer_destroy(writer->index);
    for (size_t i = 0; i < writer->count; i++) {
        free((void *)writer->tensors[i].entry.name);
        free((void *)writer->tensors[i].entry.shape);
    }
    free(writer->tensors);
    free(writer->prefix);
    free(writer->folder);
    free(writer->data_path);
    free(writer->index_path);
    free(writer);
}

static oce_status make_room(oce_bundle_writer *writer) {
    if (writer->count < writer->capacity)
        return OCE_OK;
    const size_t capacity = writer->capacity * 2 + 32;
    tensor *tensors = realloc(writer->tensors, capacity * sizeof *tensors);
    OCE_REQUIRE(tensors, OCE_ERROR_HOST_MEMORY, "%s: no memory for %zu tensors", writer->prefix,
                capacity);
    writer->tensors = tensors;
    writer->capacity = capacity;
    return OCE_OK;
}

oce_status oce_bundle_writer_add(oce_bundle_writer *writer, const oce_array *array) {
    size_t bytes;
    OCE_REQUIRE(array->name && *array->name && strlen(array->name) <= OCE_TABLE_MAX_KEY,
                OCE_ERROR_INVALID_ARGUMENT, "%s: tensor %zu has no name, or one of over %d bytes",
                writer->prefix, writer->count, OCE_TABLE_MAX_KEY);
    OCE_TRY(oce_array_bytes(array, &bytes));
    OCE_REQUIRE(array->data || bytes == 0, OCE_ERROR_INVALID_ARGUMENT,
                "%s: tensor '%s' has no data", writer->prefix, array->name);
    OCE_TRY(make_room(writer));
    const size_t extents = (size_t)array->rank * sizeof *array->shape;
    char *name = NULL;
    int64_t *shape = malloc(extents + 1);
    OCE_REQUIRE(shape, OCE_ERROR_HOST_MEMORY, "%s: no memory for tensor '%s'", writer->prefix,
                array->name);
    const oce_status status = oce_text_copy(array->name, &name);
    if (status != OCE_OK) {
        free(shape);
        return status;
    }
    if (extents > 0)
        memcpy(shape, array->shape, extents);
    writer->tensors[writer->count++] = (tensor){.entry = {.name = name,
                                                          .dtype = array->dtype,
                                                          .rank = array->rank,
                                                          .shape = shape,
                                                          .bytes = bytes},
                                                .data = array->data};
    return OCE_OK;
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp(((const tensor *)a)->entry.name, ((const tensor *)b)->entry.name);
}

static oce_status sort_tensors(oce_bundle_writer *writer) {
    if (writer->count > 0)
        qsort(writer->tensors, writer->count, sizeof *writer->tensors, compare_tensors);
    for (size_t i = 1; i < writer->count; i++)
        OCE_REQUIRE(compare_tensors(&writer->tensors[i - 1], &writer->tensors[i]) != 0,
                    OCE_ERROR_INVALID_ARGUMENT, "%s: tensor '%s' was added twice", writer->prefix,
                    writer->tensors[i].entry.name);
    return OCE_OK;
}

static oce_status write_tensor(oce_writer *data, tensor *t) {
    const size_t bytes = (size_t)t->entry.bytes;
    t->entry.crc32c = 0;
    for (size_t done = 0; done < bytes; done += PIECE_BYTES) {
        const size_t left = bytes - done, size = left < PIECE_BYTES ? left : PIECE_BYTES;
        t->entry.crc32c = oce_crc32c_extend(t->entry.crc32c, t->data + done, size);
        OCE_TRY(oce_writer_append(data, t->data + done, size));
    }
    return OCE_OK;
}

static oce_status write_data(oce_bundle_writer *writer) {
    OCE_TRY(oce_writer_create(writer->data_path, &writer->data));
    uint64_t offset = 0;
    for (size_t i = 0; i < writer->count; i++) {
        tensor *t = &writer->tensors[i];
        t->entry.offset = offset;
        offset += t->entry.bytes;
        OCE_TRY(write_tensor(writer->data, t));
    }
    return oce_writer_sync(writer->data);
}

/* Adds a packed record to the table. */
static void add_record(oce_table_builder *table, const char *key, const ProtobufCMessage *message) {
    oce_bytes value = {0};
    unsigned char *room = oce_bytes_grow(&value, protobuf_c_message_get_packed_size(message));
    if (room) {
        protobuf_c_message_pack(message, room);
        oce_table_builder_add(table, key, strlen(key), value.data, value.size);
    } else {
        table->file.failed = true;
    }
    oce_bytes_finish(&value);
}

void oce_bundle_add_header(oce_table_builder *table) {
    Oce__Bundle__Version version = OCE__BUNDLE__VERSION__INIT;
    version.producer = PRODUCER_VERSION;
    Oce__Bundle__Header header = OCE__BUNDLE__HEADER__INIT;
    header.shards = 1;
    header.version = &version;
    add_record(table, "", &header.base);
}

void oce_bundle_add_entry(oce_table_builder *table, const oce_bundle_entry *entry) {
    Oce__Bundle__Extent extents[OCE_ARRAY_MAX_RANK];
    Oce__Bundle__Extent *pointers[OCE_ARRAY_MAX_RANK];
    for (int i = 0; i < entry->rank; i++) {
        extents[i] = (Oce__Bundle__Extent)OCE__BUNDLE__EXTENT__INIT;
        extents[i].size = entry->shape[i];
        pointers[i] = &extents[i];
    }
    Oce__Bundle__Shape shape = OCE__BUNDLE__SHAPE__INIT; /* written for scalars too, empty */
    shape.n_extents = (size_t)entry->rank;
    shape.extents = pointers;
    Oce__Bundle__Entry record = OCE__BUNDLE__ENTRY__INIT;
    record.dtype = (int32_t)entry->dtype;
    record.shape = &shape;
    record.shard = entry->shard;
    record.offset = (int64_t)entry->offset;
    record.size = (int64_t)entry->bytes;
    record.masked_crc32c = oce_crc32c_mask(entry->crc32c);
    add_record(table, entry->name, &record.base);
}

static oce_status write_index(oce_bundle_writer *writer, uint32_t *crc32c) {
    OCE_TRY(oce_writer_create(writer->index_path, &writer->index));
    oce_table_builder table;
    oce_table_builder_init(&table);
    oce_bundle_add_header(&table);
    for (size_t i = 0; i < writer->count; i++)
        oce_bundle_add_entry(&table, &writer->tensors[i].entry);
    oce_status status = oce_table_builder_complete(&table);
    if (status == OCE_OK)
        status = oce_writer_append(writer->index, table.file.data, table.file.size);
    if (status == OCE_OK)
        *crc32c = oce_crc32c(table.file.data, table.file.size);
    oce_table_builder_finish(&table);
    OCE_TRY(status);
    return oce_writer_sync(writer->index);
}

oce_status oce_bundle_writer_prepare(oce_bundle_writer *writer, uint32_t *index_crc32c) {
    OCE_REQUIRE(!writer->prepared, OCE_ERROR_INVALID_ARGUMENT, "%s: was written before",
                writer->prefix);
    OCE_TRY(sort_tensors(writer));
    writer->prepared = true;
    OCE_TRY(write_data(writer));
    return write_index(writer, index_crc32c);
}

/* Undoes the renaming of the data file after that of the index failed. `old_data`: a second name of
 * the data file that was there, or NULL. Returns `why` and keeps its message. */
static oce_status roll_back(const oce_bundle_writer *writer, const char *old_data, oce_status why) {
    char message[1024];
    strncpy(message, oce_last_error(), sizeof message - 1);
    message[sizeof message - 1] = 0;
    const oce_status status = old_data ? oce_file_rename(old_data, writer->data_path)
                                       : oce_file_remove(writer->data_path);
    if (status == OCE_OK)
        return oce_fail(why, "%s", message);
    return oce_fail_prefix(why, "%s; and to restore the data file", message);
}

static oce_status publish(oce_bundle_writer *writer, const char *old_data) {
    oce_status status = oce_writer_publish(writer->data);
    if (status != OCE_OK && old_data)
        oce_file_discard(old_data);
    OCE_TRY(status);
    status = oce_writer_publish(writer->index);
    if (status != OCE_OK)
        return roll_back(writer, old_data, status);
    if (old_data) /* if it cannot be removed, it is cleaned up as what a killed process leaves is */
        oce_file_discard(old_data);
    return oce_folder_sync(writer->folder);
}

oce_status oce_bundle_writer_publish(oce_bundle_writer *writer) {
    if (!oce_file_exists(writer->index_path) || !oce_file_exists(writer->data_path))
        return publish(writer, NULL);
    char *old_data;
    OCE_TRY(oce_text_format(&old_data, "%s.old" OCE_TEMPORARY_SUFFIX, writer->data_path));
    oce_status status = oce_file_link(writer->data_path, old_data);
    if (status == OCE_OK)
        status = publish(writer, old_data);
    free(old_data);
    return status;
}

oce_status oce_bundle_writer_finish(oce_bundle_writer *writer) {
    uint32_t index_crc32c;
    OCE_TRY(oce_bundle_writer_prepare(writer, &index_crc32c));
    return oce_bundle_writer_publish(writer);
}
