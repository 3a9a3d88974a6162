#define _XOPEN_SOURCE 700

#include "support/files.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static char *folder;

void test_files_begin(void) {
    folder = scratch_create();
    atexit(test_files_end); /* Criterion does not call .fini for a test that skips */
}

void test_files_end(void) {
    if (folder != NULL)
        scratch_remove(folder);
    folder = NULL;
}

const char *test_path(const char *name) {
    return scratch_path(folder, name);
}

void test_make_folder(const char *name) {
    char path[SCRATCH_PATH_BYTES];
    snprintf(path, sizeof path, "%s/", test_path(name));
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        cr_assert(mkdir(path, 0777) == 0 || errno == EEXIST, "cannot make %s", path);
        *slash = '/';
    }
}

bool test_exists(const char *name) {
    return file_is_there(test_path(name));
}

void test_write_file(const char *name, const void *data, size_t bytes) {
    scratch_write(folder, name, data, bytes);
}

void test_write_gzip(const char *name, const void *data, size_t bytes) {
    gzFile file = gzopen(test_path(name), "wb6");
    cr_assert_not_null(file, "cannot write %s", name);
    cr_assert_eq(gzwrite(file, data, (unsigned)bytes), (int)bytes);
    cr_assert_eq(gzclose(file), Z_OK);
}

uint8_t *test_read_file(const char *name, size_t *bytes) {
    return scratch_read(folder, name, bytes);
}
