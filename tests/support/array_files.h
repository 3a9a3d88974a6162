/* Files of arrays, whose format is that of their name's end. */
#ifndef TESTS_SUPPORT_ARRAY_FILES_H
#define TESTS_SUPPORT_ARRAY_FILES_H

#include <ocelli/array.h>

/* Both must succeed. */
void arrays_store(const char *path, const oce_array *arrays, size_t count);
oce_array_list *arrays_load(const char *path);
/* The status of reading; expects a list if it is good, and none else. */
oce_status arrays_try_to_load(const char *path);

/* Expects the same name, element type, shape and bytes. */
void expect_same_array(const oce_array *got, const oce_array *expected);
/* Expects `part` in the last error's text. */
void expect_last_error(const char *part);

#endif
