#define _DEFAULT_SOURCE
#include "base/file.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* strerror_r comes in two kinds that differ in what they return. */
static const char *error_text_posix(int result, const char *text) {
    return result == 0 ? text : "unknown error";
}
static const char *error_text_gnu(const char *result, const char *text) {
    (void)text;
    return result;
}
#define ERROR_TEXT(error, text)                                                                    \
    _Generic(strerror_r((error), (text), sizeof(text)), int                                        \
             : error_text_posix, char *                                                            \
             : error_text_gnu)(strerror_r((error), (text), sizeof(text)), (text))

oce_status oce_fail_errno(const char *path, const char *verb, int error) {
    char text[256] = "";
    return oce_fail(error == ENOENT ? OCE_ERROR_NOT_FOUND : OCE_ERROR_IO, "%s: cannot %s: %s", path,
                    verb, ERROR_TEXT(error, text));
}

oce_status oce_file_open(const char *path, oce_file *file) {
    *file = OCE_FILE_CLOSED;
    OCE_TRY(oce_text_copy(path, &file->path));
    struct stat info;
    oce_status status = OCE_OK;
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (file->descriptor < 0 || fstat(file->descriptor, &info) != 0)
        status = oce_fail_errno(path, "open", errno);
    else if (S_ISDIR(info.st_mode))
        status = oce_fail_errno(path, "read", EISDIR);
    else
        file->size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
    if (status != OCE_OK)
        oce_file_close(file);
    return status;
}

void oce_file_close(oce_file *file) {
    if (file->descriptor >= 0)
        close(file->descriptor);
    free(file->path);
    *file = OCE_FILE_CLOSED;
}

/* Reads until `size` bytes are there or the file ends. */
static oce_status read_some(const oce_file *file, uint64_t offset, unsigned char *data, size_t size,
                            size_t *got) {
    *got = 0;
    while (*got < size) {
        const size_t most = (size_t)1 << 30; /* Linux and macOS read at most about 2 GiB a call */
        const size_t left = size - *got;
        const ssize_t n =
            pread(file->descriptor, data + *got, left < most ? left : most, (off_t)(offset + *got));
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return oce_fail_errno(file->path, "read", errno);
        if (n > 0)
            *got += (size_t)n;
    }
    return OCE_OK;
}

oce_status oce_file_read_at(const oce_file *file, uint64_t offset, void *data, size_t size) {
    OCE_REQUIRE(offset <= INT64_MAX && size <= (uint64_t)INT64_MAX - offset, OCE_ERROR_FORMAT,
                "%s: no file has a byte %llu", file->path, (unsigned long long)offset);
    size_t got;
    OCE_TRY(read_some(file, offset, data, size, &got));
    OCE_REQUIRE(got == size, OCE_ERROR_FORMAT,
                "%s: ends at byte %llu where %zu bytes from byte %llu on are needed", file->path,
                (unsigned long long)(offset + got), size, (unsigned long long)offset);
    return OCE_OK;
}

/* Reads to the end, which may be elsewhere than the size promised (a file that grows, /proc). */
static oce_status read_to_end(const oce_file *file, size_t limit, oce_bytes *bytes) {
    size_t ask = (size_t)file->size + 1; /* one more, to see the end in the first round */
    for (;;) {
        const size_t before = bytes->size;
        unsigned char *room = oce_bytes_grow(bytes, ask);
        OCE_TRY(oce_bytes_check(bytes, file->path));
        size_t got;
        OCE_TRY(read_some(file, before, room, ask, &got));
        bytes->size = before + got;
        bytes->data[bytes->size] = 0;
        OCE_REQUIRE(bytes->size <= limit, OCE_ERROR_OVERFLOW,
                    "%s: more than the limit of %zu bytes", file->path, limit);
        if (got < ask)
            return OCE_OK;
        ask = 65536;
    }
}

oce_status oce_file_read(const char *path, size_t limit, oce_bytes *bytes) {
    *bytes = (oce_bytes){0};
    oce_file file;
    OCE_TRY(oce_file_open(path, &file));
    oce_status status = OCE_OK;
    if (file.size > limit)
        status = oce_fail(OCE_ERROR_OVERFLOW, "%s: %llu bytes are more than the limit of %zu", path,
                          (unsigned long long)file.size, limit);
    if (status == OCE_OK)
        status = read_to_end(&file, limit, bytes);
    if (status != OCE_OK)
        oce_bytes_finish(bytes);
    oce_file_close(&file);
    return status;
}

oce_status oce_file_remove(const char *path) {
    if (unlink(path) != 0 && errno != ENOENT)
        return oce_fail_errno(path, "remove", errno);
    return OCE_OK;
}

void oce_file_discard(const char *path) {
    unlink(path);
}

oce_status oce_file_rename(const char *from, const char *to) {
    if (rename(from, to) != 0) {
        const int error = errno;
        oce_fail_errno(from, "rename", error);
        return oce_fail_prefix(error == ENOENT ? OCE_ERROR_NOT_FOUND : OCE_ERROR_IO, "%s", to);
    }
    return OCE_OK;
}

static oce_status copy(const char *from, const char *to) {
    enum { PIECE = 1 << 18 };
    oce_file file;
    oce_writer *writer = NULL;
    unsigned char *piece = malloc(PIECE);
    OCE_REQUIRE(piece, OCE_ERROR_HOST_MEMORY, "%s: no memory to copy it", from);
    oce_status status = oce_file_open(from, &file);
    if (status == OCE_OK)
        status = oce_writer_create(to, &writer);
    for (uint64_t offset = 0; status == OCE_OK && offset < file.size; offset += PIECE) {
        const uint64_t left = file.size - offset;
        const size_t size = left < PIECE ? (size_t)left : PIECE;
        status = oce_file_read_at(&file, offset, piece, size);
        if (status == OCE_OK)
            status = oce_writer_append(writer, piece, size);
    }
    if (status == OCE_OK)
        status = oce_writer_sync(writer);
    if (status == OCE_OK)
        status = oce_writer_publish(writer);
    oce_writer_destroy(writer);
    oce_file_close(&file);
    free(piece);
    return status;
}

oce_status oce_file_link(const char *from, const char *to) {
    OCE_TRY(oce_file_remove(to));
    if (link(from, to) == 0)
        return OCE_OK;
    if (errno == EPERM || errno == ENOTSUP || errno == ENOSYS || errno == EMLINK)
        return copy(from, to);
    return oce_fail_errno(from, "link", errno);
}

bool oce_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

oce_status oce_file_time(const char *path, double *seconds) {
    struct stat info;
    if (stat(path, &info) != 0)
        return oce_fail_errno(path, "examine", errno);
    *seconds = (double)info.st_mtime;
    return OCE_OK;
}
