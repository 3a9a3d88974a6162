/*
 * Sequential reading of a data file, gzipped or not (told by its first two bytes, not by its name).
 * Offsets in messages count bytes of the contents, that is, after decompression.
 */
#ifndef OCE_DATA_READER_H
#define OCE_DATA_READER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct oce_reader oce_reader;

/* Opens a regular file. OCE_ERROR_NOT_FOUND if there is none of that name, OCE_ERROR_IO, ... */
oce_status oce_reader_open(const char *path, oce_reader **reader);
void oce_reader_close(oce_reader *reader);

const char *oce_reader_path(const oce_reader *reader);
/* " of the decompressed contents" for a gzipped file, else "": goes behind an offset. */
const char *oce_reader_unit(const oce_reader *reader);
/* Bytes of contents delivered so far. */
uint64_t oce_reader_offset(const oce_reader *reader);
/* The most bytes of contents that the file can hold; exact for a plain file. */
uint64_t oce_reader_capacity(const oce_reader *reader);

/* Reads up to `size` bytes; *got is less than `size` only at the end of the contents. */
oce_status oce_reader_read(oce_reader *reader, void *data, size_t size, size_t *got);
/* Reads exactly `size` bytes of `what`, or fails with both numbers. */
oce_status oce_reader_exactly(oce_reader *reader, void *data, size_t size, const char *what);
/* Fails unless the contents end here. */
oce_status oce_reader_at_end(oce_reader *reader);

/*
 * Opens the first of DIRECTORY/FOLDER/NAME and DIRECTORY/FOLDER/NAME.gz that exists, for each of
 * `folders` ("" is the directory itself). OCE_ERROR_NOT_FOUND lists what was looked for and how to
 * get `set` ("mnist", "cifar10").
 */
oce_status oce_reader_find(const char *directory, const char *const *folders, int folder_count,
                           const char *name, const char *set, oce_reader **reader);

#endif
