/* Where a data file may lie below the directory that the user names. */
#include "data/reader.h"

#include <stdio.h>

enum { PATH_BYTES = 4096, LIST_BYTES = 1024 };

static const char *const suffixes[] = {"", ".gz"};

static oce_status try_open(const char *directory, const char *folder, const char *name,
                           const char *suffix, oce_reader **reader) {
    char path[PATH_BYTES];
    const int length = snprintf(path, sizeof path, "%s/%s%s%s%s", directory, folder,
                                folder[0] ? "/" : "", name, suffix);
    OCE_REQUIRE(length >= 0 && length < PATH_BYTES, OCE_ERROR_INVALID_ARGUMENT,
                "the file name for %s is too long: %d bytes", name, length);
    return oce_reader_open(path, reader);
}

oce_status oce_reader_find(const char *directory, const char *const *folders, int folder_count,
                           const char *name, const char *set, oce_reader **reader) {
    char looked[LIST_BYTES] = "";
    int used = 0;
    *reader = NULL;
    for (int f = 0; f < folder_count; f++) {
        for (int s = 0; s < 2; s++) {
            const oce_status status = try_open(directory, folders[f], name, suffixes[s], reader);
            if (status != OCE_ERROR_NOT_FOUND)
                return status;
        }
        if (used >= 0 && used < LIST_BYTES)
            used += snprintf(looked + used, (size_t)(LIST_BYTES - used), "%s%s%s%s", f ? ", " : "",
                             directory, folders[f][0] ? "/" : "", folders[f]);
    }
    return oce_fail(OCE_ERROR_NOT_FOUND,
                    "no %s (or %s.gz) in %s; 'tools/fetch-data %s DIR' gets the data", name, name,
                    looked, set);
}
