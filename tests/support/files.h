/* A folder of temporary files that a test has from its start to its end (see scratch.h). Failures
 * end the test. */
#ifndef TESTS_SUPPORT_FILES_H
#define TESTS_SUPPORT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes the test's folder, below $TMPDIR or /tmp. */
void test_files_begin(void);
/* Removes the folder with all that is in it. */
void test_files_end(void);

/* The path of `name` in the test's folder; valid for the next eleven calls. */
const char *test_path(const char *name);
/* Makes a folder (and those above it) in the test's folder. */
void test_make_folder(const char *name);
bool test_exists(const char *name);

/* Writes a file into the test's folder, as it is or as a gzip stream. */
void test_write_file(const char *name, const void *data, size_t bytes);
void test_write_gzip(const char *name, const void *data, size_t bytes);
/* Reads a file of the test's folder, with a zero byte behind it; free() it. bytes may be NULL. */
uint8_t *test_read_file(const char *name, size_t *bytes);

#endif
