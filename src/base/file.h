/*
 * Files: reading with limits, and writing so that a file is there whole or not at all, whatever
 * fails or is killed in between. This is the only place that opens, writes, syncs, renames or
 * removes files; every failure is an OCE_ERROR_IO (or OCE_ERROR_NOT_FOUND where nothing is there to
 * open) whose message has the path and the system's reason.
 */
#ifndef OCE_BASE_FILE_H
#define OCE_BASE_FILE_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What temporary files end in; a process that was killed leaves some behind. */
#define OCE_TEMPORARY_SUFFIX ".ocelli-tmp"

/* A failure to `verb` ("read", "write", ...) `path`, with the system's text for `error`. */
oce_status oce_fail_errno(const char *path, const char *verb, int error);

/* Reads a whole file into `bytes` (overwritten; the caller finishes it). OCE_ERROR_OVERFLOW if it
 * has more than `limit` bytes. */
oce_status oce_file_read(const char *path, size_t limit, oce_bytes *bytes);

/* A file opened for reading at any place. */
typedef struct oce_file {
    int descriptor; /* -1: not open */
    uint64_t size;  /* when it was opened */
    char *path;
} oce_file;

#define OCE_FILE_CLOSED ((oce_file){.descriptor = -1})

oce_status oce_file_open(const char *path, oce_file *file);
void oce_file_close(oce_file *file);
/* Reads exactly `size` bytes; OCE_ERROR_FORMAT if the file ends before. */
oce_status oce_file_read_at(const oce_file *file, uint64_t offset, void *data, size_t size);

/*
 * A file being written under a temporary name in the folder it is for. The steps are separate so
 * that several files can all be complete on the disk before the first of them takes its name:
 *
 *   oce_writer_create, oce_writer_append ..., oce_writer_sync, oce_writer_publish,
 *   oce_folder_sync, oce_writer_destroy
 */
typedef struct oce_writer oce_writer;

/* OCE_ERROR_INVALID_ARGUMENT if `path` is there and not a regular file. */
oce_status oce_writer_create(const char *path, oce_writer **writer);
oce_status oce_writer_append(oce_writer *writer, const void *data, size_t size);
/* Brings all bytes to the disk and closes the temporary file. */
oce_status oce_writer_sync(oce_writer *writer);
/* Gives the file its name, replacing what had it. */
oce_status oce_writer_publish(oce_writer *writer);
/* Removes the temporary file unless it was published; NULL is allowed. Keeps the error message. */
void oce_writer_destroy(oce_writer *writer);

/* All of that for one file. */
oce_status oce_file_write(const char *path, const void *data, size_t size);

/* Removes a file; one that is not there is no error. */
oce_status oce_file_remove(const char *path);
/* The same if it can be done, and without a message: for ways out of a failure. */
void oce_file_discard(const char *path);
oce_status oce_file_rename(const char *from, const char *to);
/* A second name for the file (a copy where the file system has no hard links), replacing `to`. */
oce_status oce_file_link(const char *from, const char *to);
bool oce_file_exists(const char *path);
/* Modification time in seconds since 1970. */
oce_status oce_file_time(const char *path, double *seconds);

/* Creates one folder; one that is there is no error. */
oce_status oce_folder_create(const char *path);
/* Makes names given and taken in a folder durable. */
oce_status oce_folder_sync(const char *path);
/* Calls visit(user, name) for each name in a folder, "." and ".." excepted, in any order; stops at
 * the first failure and returns it. The names may be removed during the visit. */
oce_status oce_folder_visit(const char *path, oce_status (*visit)(void *user, const char *name),
                            void *user);

/* A lock on a file that one process at a time can hold; the system takes it back when the holder
 * ends, however it ends. */
typedef struct oce_lock oce_lock;

/* Creates the file if needed. OCE_ERROR_BUSY, naming the holder's process id, if it is held. */
oce_status oce_lock_acquire(const char *path, oce_lock **lock);
/* The same, but waits up to `seconds` for others to let go of it. */
oce_status oce_lock_wait(const char *path, double seconds, oce_lock **lock);
/* Removes the file and releases the lock; NULL is allowed. */
void oce_lock_release(oce_lock *lock);

#endif
