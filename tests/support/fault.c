#define _GNU_SOURCE
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    bool armed, skips_fsync;
    fault_mode mode;
    long at, count;
    char under[PATH_MAX];
} fault;

void fault_arm(fault_mode mode, long at, const char *under) {
    fault.armed = false;
    fault.mode = mode;
    fault.at = at;
    fault.count = 0;
    snprintf(fault.under, sizeof fault.under, "%s", under);
    fault.armed = true;
}

long fault_disarm(void) {
    fault.armed = false;
    return fault.count;
}

void fault_skip_fsync(void) {
    fault.skips_fsync = true;
}

__attribute__((constructor)) static void arm_from_environment(void) {
    static const char *const names[] = {"none", "fail", "full", "kill"};
    const char *text = getenv("OCELLI_FILE_FAULT"), *under = getenv("OCELLI_FILE_FAULT_UNDER");
    const char *colon = text ? strchr(text, ':') : NULL;
    if (!under)
        return;
    fault_mode mode = FAULT_NONE;
    for (int i = 0; colon && i < 4; i++)
        if (strncmp(text, names[i], (size_t)(colon - text)) == 0)
            mode = (fault_mode)i;
    fault_arm(mode, colon ? strtol(colon + 1, NULL, 10) : 0, under);
}

__attribute__((destructor)) static void report_count(void) {
    const char *path = getenv("OCELLI_FILE_FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", fault.count);
        fclose(file);
    }
}

static bool is_under(const char *path) {
    char absolute[2 * PATH_MAX];
    if (*path != '/') {
        if (!getcwd(absolute, PATH_MAX))
            return false;
        const size_t length = strlen(absolute);
        snprintf(absolute + length, sizeof absolute - length, "/%s", path);
        path = absolute;
    }
    const size_t length = strlen(fault.under);
    return strncmp(path, fault.under, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* What is to become of an operation. */
typedef enum verdict { GO, DENY, DIE } verdict;

static verdict judge(const char *path, bool needs_room) {
    if (!fault.armed || !is_under(path))
        return GO;
    fault.count++;
    if (fault.mode == FAULT_KILL && fault.count == fault.at)
        return DIE;
    if (fault.mode == FAULT_FAIL && fault.count == fault.at) {
        errno = EIO;
        return DENY;
    }
    if (fault.mode == FAULT_FULL && fault.count >= fault.at && needs_room) {
        errno = ENOSPC;
        return DENY;
    }
    return GO;
}

static verdict judge_descriptor(int descriptor, bool needs_room) {
    char link_name[64], path[PATH_MAX];
    if (!fault.armed)
        return GO;
    snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link_name, path, sizeof path - 1);
    if (length < 0)
        return GO;
    path[length] = 0;
    return judge(path, needs_room);
}

static int end(verdict v) {
    if (v == DIE)
        kill(getpid(), SIGKILL);
    return -1;
}

/* The C library's own function, as a pointer of the right type. */
#define NEXT(name, pointer)                                                                        \
    do {                                                                                           \
        void *address = dlsym(RTLD_NEXT, #name);                                                   \
        memcpy(&(pointer), &address, sizeof address);                                              \
    } while (0)

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int open(const char *path, int flags, ...) {
    static int (*next)(const char *, int, ...);
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
        const verdict v = judge(path, true);
        if (v != GO)
            return end(v);
    }
    if (!next)
        NEXT(open, next);
    return next(path, flags, mode);
}

EXPORTED ssize_t write(int descriptor, const void *data, size_t size) {
    static ssize_t (*next)(int, const void *, size_t);
    if (!next)
        NEXT(write, next);
    const verdict v = judge_descriptor(descriptor, true);
    if (v == GO)
        return next(descriptor, data, size);
    const int error = errno; /* what comes before the fault is half written */
    if (v == DIE || (fault.mode == FAULT_FULL && fault.count == fault.at && size > 1)) {
        const ssize_t written = next(descriptor, data, size / 2);
        if (v != DIE)
            return written;
    }
    errno = error;
    return end(v);
}

EXPORTED ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next)
        NEXT(pwrite, next);
    const verdict v = judge_descriptor(descriptor, true);
    return v == GO ? next(descriptor, data, size, offset) : end(v);
}

EXPORTED int ftruncate(int descriptor, off_t size) {
    static int (*next)(int, off_t);
    if (!next)
        NEXT(ftruncate, next);
    const verdict v = judge_descriptor(descriptor, false);
    return v == GO ? next(descriptor, size) : end(v);
}

EXPORTED int fsync(int descriptor) {
    static int (*next)(int);
    if (!next)
        NEXT(fsync, next);
    const verdict v = judge_descriptor(descriptor, true);
    if (v != GO)
        return end(v);
    return fault.skips_fsync ? 0 : next(descriptor);
}

EXPORTED int rename(const char *from, const char *to) {
    static int (*next)(const char *, const char *);
    if (!next)
        NEXT(rename, next);
    const verdict v = judge(to, false);
    return v == GO ? next(from, to) : end(v);
}

EXPORTED int link(const char *from, const char *to) {
    static int (*next)(const char *, const char *);
    if (!next)
        NEXT(link, next);
    const verdict v = judge(to, true);
    return v == GO ? next(from, to) : end(v);
}

EXPORTED int unlink(const char *path) {
    static int (*next)(const char *);
    if (!next)
        NEXT(unlink, next);
    const verdict v = judge(path, false);
    return v == GO ? next(path) : end(v);
}

EXPORTED int mkdir(const char *path, mode_t mode) {
    static int (*next)(const char *, mode_t);
    if (!next)
        NEXT(mkdir, next);
    const verdict v = judge(path, true);
    return v == GO ? next(path, mode) : end(v);
}
