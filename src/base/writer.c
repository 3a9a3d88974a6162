#define _DEFAULT_SOURCE
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16 };

struct oce_writer {
    char *path;
    char *temporary; /* NULL: there is no temporary file (any more) */
    int descriptor;  /* -1: closed */
    size_t used;     /* bytes of buffer not yet written */
    unsigned char buffer[BUFFER_BYTES];
};

/* Opens a temporary file that did not exist before. The process id keeps two processes apart, the
 * number two threads and what a killed process of the same id left. */
static oce_status open_temporary(oce_writer *writer) {
    for (int number = 0; number < 1000; number++) {
        OCE_TRY(oce_text_format(&writer->temporary, "%s.%ld-%d" OCE_TEMPORARY_SUFFIX, writer->path,
                                (long)getpid(), number));
        writer->descriptor = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->descriptor >= 0)
            return OCE_OK;
        const int error = errno;
        free(writer->temporary);
        writer->temporary = NULL;
        if (error != EEXIST)
            return oce_fail_errno(writer->path, "create", error);
    }
    return oce_fail_errno(writer->path, "create", EEXIST);
}

oce_status oce_writer_create(const char *path, oce_writer **writer) {
    struct stat info;
    *writer = NULL;
    OCE_REQUIRE(stat(path, &info) != 0 || S_ISREG(info.st_mode), OCE_ERROR_INVALID_ARGUMENT,
                "%s: exists and is not a regular file", path);
    oce_writer *created = malloc(sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "%s: no memory to write it", path);
    created->path = NULL;
    created->temporary = NULL;
    created->descriptor = -1;
    created->used = 0;
    oce_status status = oce_text_copy(path, &created->path);
    if (status == OCE_OK)
        status = open_temporary(created);
    if (status != OCE_OK) {
        oce_writer_destroy(created);
        created = NULL;
    }
    *writer = created;
    return status;
}

static oce_status write_out(oce_writer *writer, const unsigned char *data, size_t size) {
    while (size > 0) {
        const size_t most = (size_t)1 << 30;
        const ssize_t n = write(writer->descriptor, data, size < most ? size : most);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return oce_fail_errno(writer->path, "write", n < 0 ? errno : ENOSPC);
        data += n;
        size -= (size_t)n;
    }
    return OCE_OK;
}

static oce_status flush(oce_writer *writer) {
    const size_t size = writer->used;
    writer->used = 0;
    return write_out(writer, writer->buffer, size);
}

oce_status oce_writer_append(oce_writer *writer, const void *data, size_t size) {
    if (size > BUFFER_BYTES - writer->used)
        OCE_TRY(flush(writer));
    if (size >= BUFFER_BYTES)
        return write_out(writer, data, size);
    if (size > 0)
        memcpy(writer->buffer + writer->used, data, size);
    writer->used += size;
    return OCE_OK;
}

static int sync_descriptor(int descriptor) {
    int result;
#ifdef F_FULLFSYNC /* macOS: fsync() alone leaves the bytes in the drive's cache */
    if (fcntl(descriptor, F_FULLFSYNC) == 0)
        return 0;
#endif
    do
        result = fsync(descriptor);
    while (result != 0 && errno == EINTR);
    return result;
}

oce_status oce_writer_sync(oce_writer *writer) {
    OCE_TRY(flush(writer));
    if (sync_descriptor(writer->descriptor) != 0)
        return oce_fail_errno(writer->path, "bring to the disk", errno);
    const int descriptor = writer->descriptor;
    writer->descriptor = -1;
    if (close(descriptor) != 0)
        return oce_fail_errno(writer->path, "close", errno);
    return OCE_OK;
}

oce_status oce_writer_publish(oce_writer *writer) {
    OCE_TRY(oce_file_rename(writer->temporary, writer->path));
    free(writer->temporary);
    writer->temporary = NULL;
    return OCE_OK;
}

void oce_writer_destroy(oce_writer *writer) {
    if (!writer)
        return;
    if (writer->descriptor >= 0)
        close(writer->descriptor);
    if (writer->temporary)
        unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    free(writer);
}

oce_status oce_file_write(const char *path, const void *data, size_t size) {
    oce_writer *writer;
    char *folder = NULL;
    OCE_TRY(oce_writer_create(path, &writer));
    oce_status status = oce_writer_append(writer, data, size);
    if (status == OCE_OK)
        status = oce_writer_sync(writer);
    if (status == OCE_OK)
        status = oce_path_folder(path, &folder);
    if (status == OCE_OK)
        status = oce_writer_publish(writer);
    if (status == OCE_OK)
        status = oce_folder_sync(folder);
    free(folder);
    oce_writer_destroy(writer);
    return status;
}

oce_status oce_folder_sync(const char *path) {
    const char *folder = *path ? path : ".";
    const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return oce_fail_errno(folder, "open", errno);
    const int result = sync_descriptor(descriptor);
    const int error = errno;
    close(descriptor);
    /* Some file systems cannot sync a folder, and then need none. */
    if (result != 0 && error != EINVAL && error != ENOTSUP && error != EBADF)
        return oce_fail_errno(folder, "bring to the disk", error);
    return OCE_OK;
}
