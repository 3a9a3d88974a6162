#define _DEFAULT_SOURCE
#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct oce_lock {
    int descriptor;
    char *path;
};

/* "process 123", as far as the holder has written it. */
static oce_status fail_busy(const char *path, int descriptor) {
    char text[32] = "";
    const ssize_t got = pread(descriptor, text, sizeof text - 1, 0);
    const long pid = got > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        return oce_fail(OCE_ERROR_BUSY, "%s: in use by process %ld", path, pid);
    return oce_fail(OCE_ERROR_BUSY, "%s: in use by another process", path);
}

/* The holder removes the file before it lets go of it, so the file that was locked may no longer be
 * the one of this name. */
static bool is_current(const char *path, int descriptor) {
    struct stat held, named;
    return fstat(descriptor, &held) == 0 && stat(path, &named) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static oce_status try_lock(const char *path, int *descriptor, bool *locked) {
    *locked = false;
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*descriptor < 0)
        return oce_fail_errno(path, "open the lock file", errno);
    if (flock(*descriptor, LOCK_EX | LOCK_NB) == 0) {
        *locked = is_current(path, *descriptor);
        return OCE_OK;
    }
    return errno == EWOULDBLOCK ? fail_busy(path, *descriptor)
                                : oce_fail_errno(path, "lock", errno);
}

/* Only for the message of those who come later, so a failure (a full disk) does no harm. */
static void write_pid(int descriptor) {
    char text[32];
    const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, text, (size_t)length, 0) != length)
        return;
}

oce_status oce_lock_acquire(const char *path, oce_lock **lock) {
    *lock = NULL;
    oce_lock *created = malloc(sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "%s: no memory for a lock", path);
    created->descriptor = -1;
    oce_status status = oce_text_copy(path, &created->path);
    bool locked = false;
    for (int attempt = 0; status == OCE_OK && !locked && attempt < 100; attempt++) {
        if (created->descriptor >= 0)
            close(created->descriptor);
        status = try_lock(path, &created->descriptor, &locked);
    }
    if (status == OCE_OK && !locked)
        status = oce_fail(OCE_ERROR_BUSY, "%s: changes hands too fast", path);
    if (status != OCE_OK) {
        if (created->descriptor >= 0)
            close(created->descriptor);
        free(created->path);
        free(created);
        return status;
    }
    write_pid(created->descriptor);
    *lock = created;
    return OCE_OK;
}

oce_status oce_lock_wait(const char *path, double seconds, oce_lock **lock) {
    const struct timespec pause = {.tv_nsec = 5000000};
    const double end = oce_clock_seconds() + seconds;
    oce_status status = oce_lock_acquire(path, lock);
    while (status == OCE_ERROR_BUSY && oce_clock_seconds() < end) {
        nanosleep(&pause, NULL);
        status = oce_lock_acquire(path, lock);
    }
    return status;
}

void oce_lock_release(oce_lock *lock) {
    if (!lock)
        return;
    unlink(lock->path);
    close(lock->descriptor);
    free(lock->path);
    free(lock);
}
