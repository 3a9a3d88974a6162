/* Inside of the bundle reader; tensorflow/core/util/tensor_bundle/tensor_bundle.cc. */
#ifndef OCE_IO_BUNDLE_H
#define OCE_IO_BUNDLE_H

#include <ocelli/checkpoint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/file.h"

/* The part of a partitioned variable that has its own record. */
typedef struct oce_bundle_slice {
    const int64_t *start, *length; /* `rank` each */
    size_t record;                 /* index of the record that says where the bytes are */
} oce_bundle_slice;

typedef struct oce_bundle_record {
    oce_bundle_entry entry; /* name: the key; that of a slice starts with a NUL */
    size_t key_size;
    oce_bundle_slice *slices; /* entry.slices of them */
} oce_bundle_record;

struct oce_bundle_reader {
    char *prefix;
    char *index_path;
    int shards; /* 0 until the header is read */
    oce_bundle_record *records;
    size_t count, capacity;
    size_t slice_count; /* records of slices, which come first */
    oce_arena arena;    /* keys, shapes, slices */
    size_t budget;      /* bytes that may still be allocated for the records */
    oce_file data;      /* the data file in use */
    int data_shard;     /* its number */
};

/* The largest .index that is read; real ones have some hundred kilobytes at most. */
#define OCE_BUNDLE_INDEX_LIMIT ((size_t)16 << 20)

/* As oce_bundle_reader_open() with the contents of the .index file given. */
oce_status oce_bundle_reader_parse(const char *prefix, const void *index, size_t size,
                                   oce_bundle_reader **reader);

/* Arena memory within the budget, which follows from the file's size, so that a small hostile file
 * cannot ask for much; NULL if it is used up or memory is. */
void *oce_bundle_take(oce_bundle_reader *reader, size_t size);
/* The record with that key, or NULL. */
const oce_bundle_record *oce_bundle_find_key(const oce_bundle_reader *reader, const void *key,
                                             size_t size);

/* Finds the records of all slices and checks that they tile their tensors. */
oce_status oce_bundle_resolve_slices(oce_bundle_reader *reader);
/* Reads the bytes of a partitioned variable. */
oce_status oce_bundle_read_slices(oce_bundle_reader *reader, const oce_bundle_record *record,
                                  unsigned char *data);
/* Opens the data file that has the bytes of a record without slices, and checks that it is long
 * enough; to be called before memory for the bytes is allocated. */
oce_status oce_bundle_open_data(oce_bundle_reader *reader, const oce_bundle_record *record);
/* Reads the bytes that a record without slices stands for, and checks their checksum. */
oce_status oce_bundle_read_record(oce_bundle_reader *reader, const oce_bundle_record *record,
                                  unsigned char *data);

/* The checksum of a string tensor's bytes as TensorFlow defines it: over each length as a
 * little-endian number, the lengths' stored checksum, and the characters. False if the bytes are
 * not those of `elements` strings. */
bool oce_bundle_strings_crc32c(const unsigned char *data, size_t size, size_t elements,
                               uint32_t *crc);

#endif
