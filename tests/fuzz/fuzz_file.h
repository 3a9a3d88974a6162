/* A file or folder for a fuzzer to work with, removed at exit. */
#ifndef TESTS_FUZZ_FUZZ_FILE_H
#define TESTS_FUZZ_FUZZ_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* "FOLDER/ocelli-fuzz-PROCESS", in $TMPDIR, or in memory where there is such a place. */
static inline const char *fuzz_name(void) {
    static char name[512];
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(name, sizeof name, "%s/ocelli-fuzz-%ld", folder, (long)getpid());
    return name;
}

static inline void fuzz_store(const char *path, const unsigned char *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
}

#endif
