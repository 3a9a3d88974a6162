/* Temporary folders and small files for tests. Failures end the test. */
#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

#include <stddef.h>

/* A new folder under $TMPDIR or /tmp; give it to folder_remove(). */
char *folder_create(void);
/* Removes the folder with everything in it and frees its name. */
void folder_remove(char *folder);

/* "folder/name" in one of a few static buffers, good for the next dozen calls. */
const char *folder_path(const char *folder, const char *name);
void folder_write(const char *folder, const char *name, const void *data, size_t size);
void folder_write_text(const char *folder, const char *name, const char *text);
/* The whole file, NUL-terminated, to be freed; size may be NULL. */
char *folder_read(const char *folder, const char *name, size_t *size);
/* How many files and folders lie in it. */
size_t folder_count(const char *folder);

#endif
