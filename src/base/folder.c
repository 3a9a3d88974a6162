#define _DEFAULT_SOURCE
#include "base/file.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

oce_status oce_folder_create(const char *path) {
    struct stat info;
    if (*path == 0)
        return OCE_OK; /* the current folder */
    if (mkdir(path, 0777) == 0) {
        char *parent;
        OCE_TRY(oce_path_folder(path, &parent));
        const oce_status status = oce_folder_sync(parent);
        free(parent);
        return status;
    }
    const int error = errno;
    if (stat(path, &info) != 0)
        return oce_fail_errno(path, "create the folder", error);
    OCE_REQUIRE(S_ISDIR(info.st_mode), OCE_ERROR_IO, "%s: exists and is not a folder", path);
    return OCE_OK;
}

/* All names, each with its NUL. */
static oce_status collect(const char *path, oce_bytes *names) {
    DIR *stream = opendir(path);
    if (!stream)
        return oce_fail_errno(path, "read the folder", errno);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            oce_bytes_append(names, entry->d_name, strlen(entry->d_name) + 1);
    }
    const int error = errno;
    closedir(stream);
    return error == 0 ? oce_bytes_check(names, path)
                      : oce_fail_errno(path, "read the folder", error);
}

oce_status oce_folder_visit(const char *path, oce_status (*visit)(void *user, const char *name),
                            void *user) {
    oce_bytes names = {0};
    oce_status status = collect(*path ? path : ".", &names);
    for (size_t at = 0; status == OCE_OK && at < names.size;) {
        const char *name = (const char *)names.data + at;
        at += strlen(name) + 1;
        status = visit(user, name);
    }
    oce_bytes_finish(&names);
    return status;
}
