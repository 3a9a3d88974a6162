/* Lists of arrays that own their memory, and the readers and writers of each file format. */
#ifndef OCE_IO_ARRAY_H
#define OCE_IO_ARRAY_H

#include <ocelli/array.h>

#include "base/bytes.h"
#include "base/file.h"

#include <stdbool.h>

/* Whether the machine stores the low byte first, as the files do. */
bool oce_is_little_endian(void);
/* OCE_ERROR_UNSUPPORTED, naming `path`, if it does not. */
oce_status oce_require_little_endian(const char *path);

struct oce_array_list {
    oce_array *items;
    size_t count, capacity;
};

oce_status oce_array_list_create(oce_array_list **list);
/* Appends an array with room for its data, which the caller fills through *data. OCE_ERROR_FORMAT
 * if the name is empty, holds a NUL or is longer than 64 KiB. `path` is for messages. */
oce_status oce_array_list_add(oce_array_list *list, const char *path, const char *name,
                              size_t name_length, oce_dtype dtype, int rank, const int64_t *shape,
                              void **data);

/* Arrays to be written, sorted by name. */
oce_status oce_safetensors_write(oce_writer *writer, const char *path, const oce_array *arrays,
                                 size_t count);
oce_status oce_npz_write(oce_writer *writer, const char *path, const oce_array *arrays,
                         size_t count);
oce_status oce_npy_write(oce_writer *writer, const char *path, const oce_array *array);

oce_status oce_safetensors_read(const char *path, oce_array_list *list);
oce_status oce_npz_read(const char *path, oce_array_list *list);
oce_status oce_npy_read(const char *path, oce_array_list *list);

/* The header of an .npy file, magic to newline; its length is a multiple of 64. */
oce_status oce_npy_header(const char *path, const oce_array *array, oce_bytes *header);
/* Where the bytes of an .npy file come from, in order. */
typedef oce_status (*oce_npy_source)(void *user, void *data, size_t size);
/* Reads an .npy file of `size` bytes from `source` and appends its array to `list`. */
oce_status oce_npy_parse(const char *path, const char *name, size_t name_length, uint64_t size,
                         oce_npy_source source, void *user, oce_array_list *list);

#endif
