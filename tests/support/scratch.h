/* Folders and files for tests, and bytes in the encodings of the vectors. Everything here fails the
 * running Criterion test where it cannot do what it is for. */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

enum { SCRATCH_PATH_BYTES = 4096 };

/* A new empty folder in $TMPDIR or /tmp; freed by scratch_remove(). */
char *scratch_create(void);
/* Removes a folder with everything in it. */
void scratch_remove(char *folder);
/* "folder/name"; one of twelve strings that are used in turn. */
const char *scratch_path(const char *folder, const char *name);
/* Writes a file into a folder; reads one, as file_load(). */
void scratch_write(const char *folder, const char *name, const void *data, size_t size);
void scratch_write_text(const char *folder, const char *name, const char *text);
void *scratch_read(const char *folder, const char *name, size_t *size);
/* Names in a folder, those that contain `part` only (NULL: all). */
size_t scratch_count(const char *folder, const char *part);

/* The file's bytes, followed by a NUL; the caller frees them. size may be NULL. */
void *file_load(const char *path, size_t *size);
void file_store(const char *path, const void *data, size_t size);
bool file_is_there(const char *path);

/* The caller frees the result. */
void *decode_hex(const char *text, size_t *size);
void *decode_base64(const char *text, size_t *size);

/* SHA-256 as 64 hexadecimal digits. */
void sha256_text(const void *data, size_t size, char text[65]);

#endif
