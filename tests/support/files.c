#define _XOPEN_SOURCE 700

#include "support/files.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { PATHS = 8 };

static char folder[256];

void test_files_begin(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ocelli-test-XXXXXX", base && base[0] ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder), "cannot make %s: %s", folder, strerror(errno));
    atexit(test_files_end); /* Criterion does not call .fini for a test that skips */
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *where) {
    (void)facts;
    (void)type;
    (void)where;
    return remove(path);
}

void test_files_end(void) {
    if (folder[0])
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    folder[0] = '\0';
}

const char *test_path(const char *name) {
    static char paths[PATHS][TEST_PATH_BYTES];
    static int next;
    char *path = paths[next++ % PATHS];
    const int length = snprintf(path, TEST_PATH_BYTES, "%s/%s", folder, name);
    cr_assert(length > 0 && length < TEST_PATH_BYTES);
    return path;
}

void test_make_folder(const char *name) {
    char path[TEST_PATH_BYTES];
    snprintf(path, sizeof path, "%s/", test_path(name));
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        cr_assert(mkdir(path, 0777) == 0 || errno == EEXIST, "cannot make %s", path);
        *slash = '/';
    }
}

bool test_exists(const char *name) {
    struct stat facts;
    return stat(test_path(name), &facts) == 0;
}

void test_write_file(const char *name, const void *data, size_t bytes) {
    FILE *file = fopen(test_path(name), "wb");
    cr_assert_not_null(file, "cannot write %s: %s", name, strerror(errno));
    cr_assert_eq(fwrite(data, 1, bytes, file), bytes);
    cr_assert_eq(fclose(file), 0);
}

void test_write_gzip(const char *name, const void *data, size_t bytes) {
    gzFile file = gzopen(test_path(name), "wb6");
    cr_assert_not_null(file, "cannot write %s", name);
    cr_assert_eq(gzwrite(file, data, (unsigned)bytes), (int)bytes);
    cr_assert_eq(gzclose(file), Z_OK);
}

uint8_t *test_read_file(const char *name, size_t *bytes) {
    FILE *file = fopen(test_path(name), "rb");
    cr_assert_not_null(file, "cannot read %s: %s", name, strerror(errno));
    size_t used = 0, capacity = 4096;
    uint8_t *data = malloc(capacity + 1);
    for (size_t got = 1; got > 0; used += got) {
        if (used == capacity) {
            capacity *= 2;
            data = realloc(data, capacity + 1);
        }
        cr_assert_not_null(data);
        got = fread(data + used, 1, capacity - used, file);
    }
    fclose(file);
    data[used] = 0;
    if (bytes)
        *bytes = used;
    return data;
}
