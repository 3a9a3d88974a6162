#define _GNU_SOURCE
#include "base/file.h"

#include "base/path.h"
#include "support/fault.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;

static void setup(void) {
    folder = scratch_create();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(file, .init = setup, .fini = teardown);

static void expect_contents(const char *path, const char *text) {
    size_t size;
    char *data = file_load(path, &size);
    cr_expect_eq(size, strlen(text), "%s has %zu bytes", path, size);
    cr_expect_str_eq(data, text);
    free(data);
}

Test(file, read_gives_all_bytes_and_a_nul) {
    const char *path = scratch_path(folder, "a");
    oce_bytes bytes;
    file_store(path, "one\0two", 7);
    cr_assert_eq(oce_file_read(path, 7, &bytes), OCE_OK);
    cr_expect_eq(bytes.size, 7);
    cr_expect_arr_eq(bytes.data, "one\0two", 8);
    oce_bytes_finish(&bytes);
}

Test(file, read_of_an_empty_file) {
    oce_bytes bytes;
    file_store(scratch_path(folder, "empty"), "", 0);
    cr_assert_eq(oce_file_read(scratch_path(folder, "empty"), 0, &bytes), OCE_OK);
    cr_expect_eq(bytes.size, 0);
    cr_expect_str_eq(oce_bytes_string(&bytes), "");
    oce_bytes_finish(&bytes);
}

Test(file, read_stops_at_the_limit) {
    const char *path = scratch_path(folder, "a");
    oce_bytes bytes;
    file_store(path, "12345678", 8);
    cr_expect_eq(oce_file_read(path, 7, &bytes), OCE_ERROR_OVERFLOW);
    cr_expect(strstr(oce_last_error(), path) && strstr(oce_last_error(), "8 bytes"), "%s",
              oce_last_error());
    cr_expect_null(bytes.data);
}

Test(file, read_follows_a_file_whose_size_is_not_told) {
    if (!file_is_there("/proc/self/status"))
        cr_skip_test("no /proc here");
    oce_bytes bytes;
    cr_assert_eq(oce_file_read("/proc/self/status", 1 << 20, &bytes), OCE_OK);
    cr_expect_gt(bytes.size, 10);
    oce_bytes_finish(&bytes);
    cr_expect_eq(oce_file_read("/proc/self/status", 10, &bytes), OCE_ERROR_OVERFLOW);
}

Test(file, missing_file_and_folder_are_told_apart) {
    oce_bytes bytes;
    const char *path = scratch_path(folder, "none");
    cr_expect_eq(oce_file_read(path, 10, &bytes), OCE_ERROR_NOT_FOUND);
    cr_expect(strstr(oce_last_error(), path) && strstr(oce_last_error(), "No such file"), "%s",
              oce_last_error());
    cr_expect_eq(oce_file_read(folder, 10, &bytes), OCE_ERROR_IO);
    cr_expect(strstr(oce_last_error(), "directory"), "%s", oce_last_error());
}

Test(file, read_at_needs_all_its_bytes) {
    const char *path = scratch_path(folder, "a");
    char got[8];
    oce_file file;
    file_store(path, "0123456789", 10);
    cr_assert_eq(oce_file_open(path, &file), OCE_OK);
    cr_expect_eq(file.size, 10);
    cr_expect_eq(oce_file_read_at(&file, 2, got, 8), OCE_OK);
    cr_expect_arr_eq(got, "23456789", 8);
    cr_expect_eq(oce_file_read_at(&file, 3, got, 8), OCE_ERROR_FORMAT);
    cr_expect(strstr(oce_last_error(), "ends at byte 10"), "%s", oce_last_error());
    cr_expect_eq(oce_file_read_at(&file, UINT64_MAX - 2, got, 8), OCE_ERROR_FORMAT);
    oce_file_close(&file);
    oce_file_close(&file);
}

Test(file, write_replaces_and_leaves_nothing_else) {
    const char *path = scratch_path(folder, "a");
    file_store(path, "old", 3);
    cr_assert_eq(oce_file_write(path, "new text", 8), OCE_OK);
    expect_contents(path, "new text");
    cr_expect_eq(scratch_count(folder, NULL), 1);
}

Test(file, a_writer_given_up_leaves_nothing) {
    const char *path = scratch_path(folder, "a");
    oce_writer *writer;
    file_store(path, "old", 3);
    cr_assert_eq(oce_writer_create(path, &writer), OCE_OK);
    cr_assert_eq(oce_writer_append(writer, "new", 3), OCE_OK);
    cr_expect_eq(scratch_count(folder, OCE_TEMPORARY_SUFFIX), 1);
    cr_assert_eq(oce_writer_sync(writer), OCE_OK);
    oce_writer_destroy(writer);
    expect_contents(path, "old");
    cr_expect_eq(scratch_count(folder, NULL), 1);
    oce_writer_destroy(NULL);
}

Test(file, two_writers_of_one_file_do_not_meet) {
    const char *path = scratch_path(folder, "a");
    oce_writer *first, *second;
    cr_assert_eq(oce_writer_create(path, &first), OCE_OK);
    cr_assert_eq(oce_writer_create(path, &second), OCE_OK);
    cr_assert_eq(oce_writer_append(first, "first", 5), OCE_OK);
    cr_assert_eq(oce_writer_append(second, "second", 6), OCE_OK);
    cr_assert_eq(oce_writer_sync(first), OCE_OK);
    cr_assert_eq(oce_writer_sync(second), OCE_OK);
    cr_assert_eq(oce_writer_publish(second), OCE_OK);
    expect_contents(path, "second");
    cr_assert_eq(oce_writer_publish(first), OCE_OK);
    expect_contents(path, "first");
    oce_writer_destroy(first);
    oce_writer_destroy(second);
}

Test(file, writer_takes_pieces_of_any_size) {
    const char *path = scratch_path(folder, "a");
    enum { TOTAL = 300000 };
    unsigned char *data = malloc(TOTAL), *got;
    oce_writer *writer;
    size_t size;
    for (size_t i = 0; i < TOTAL; i++)
        data[i] = (unsigned char)(i * 31 >> 3);
    cr_assert_eq(oce_writer_create(path, &writer), OCE_OK);
    size_t done = 0;
    for (size_t piece = 0; done < TOTAL; piece = piece * 2 + 1) {
        const size_t n = piece < TOTAL - done ? piece : TOTAL - done;
        cr_assert_eq(oce_writer_append(writer, data + done, n), OCE_OK);
        done += n;
    }
    cr_assert_eq(oce_writer_sync(writer), OCE_OK);
    cr_assert_eq(oce_writer_publish(writer), OCE_OK);
    oce_writer_destroy(writer);
    got = file_load(path, &size);
    cr_assert_eq(size, TOTAL);
    cr_expect_arr_eq(got, data, TOTAL);
    free(got);
    free(data);
}

Test(file, what_is_no_regular_file_is_not_replaced) {
    oce_writer *writer;
    cr_expect_eq(oce_writer_create("/dev/null", &writer), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_null(writer);
    cr_expect_eq(oce_writer_create(folder, &writer), OCE_ERROR_INVALID_ARGUMENT);
}

Test(file, no_folder_to_write_to) {
    cr_expect_eq(oce_file_write(scratch_path(folder, "none/a"), "x", 1), OCE_ERROR_NOT_FOUND);
    file_store(scratch_path(folder, "file"), "", 0);
    cr_expect_eq(oce_file_write(scratch_path(folder, "file/a"), "x", 1), OCE_ERROR_IO);
    cr_expect(strstr(oce_last_error(), "file/a: cannot create: Not a directory"), "%s",
              oce_last_error());
}

/* The system's own limit, not a simulated fault. */
Test(file, a_write_beyond_the_size_limit_leaves_the_old_file) {
    const char *path = scratch_path(folder, "a");
    file_store(path, "old", 3);
    char *data = calloc(1, 200000);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &limit);
    const oce_status status = oce_file_write(path, data, 200000);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_expect_eq(status, OCE_ERROR_IO);
    cr_expect(strstr(oce_last_error(), path) && strstr(oce_last_error(), "cannot write"), "%s",
              oce_last_error());
    expect_contents(path, "old");
    cr_expect_eq(scratch_count(folder, NULL), 1);
    free(data);
}

Test(file, every_operation_may_fail) {
    const char *path = scratch_path(folder, "a");
    file_store(path, "old", 3);
    fault_arm(FAULT_NONE, 0, folder);
    cr_assert_eq(oce_file_write(path, "old", 3), OCE_OK);
    const long operations = fault_disarm();
    cr_assert_eq(operations, 5, "create, write, fsync, rename, fsync: %ld", operations);
    for (int mode = FAULT_FAIL; mode <= FAULT_FULL; mode++)
        for (long at = 1; at <= operations; at++) {
            file_store(path, "old", 3);
            fault_arm((fault_mode)mode, at, folder);
            const oce_status status = oce_file_write(path, "new text", 8);
            fault_disarm();
            const bool replaced = at == operations; /* only the folder's fsync was to come */
            if (mode == FAULT_FULL && at == 4) /* rename needs no room, the fsync behind does */
                expect_contents(path, "new text");
            else
                expect_contents(path, replaced ? "new text" : "old");
            cr_expect_eq(status, OCE_ERROR_IO, "operation %ld", at);
            cr_expect(strstr(oce_last_error(),
                             mode == FAULT_FULL ? "No space left" : "Input/output error"),
                      "%s", oce_last_error());
            cr_expect_eq(scratch_count(folder, NULL), 1, "operation %ld", at);
        }
}

Test(file, a_kill_leaves_the_old_or_the_new_file) {
    const char *path = scratch_path(folder, "a");
    for (long at = 1; at <= 6; at++) {
        file_store(path, "old", 3);
        const pid_t child = fork();
        if (child == 0) {
            fault_arm(FAULT_KILL, at, folder);
            _exit(oce_file_write(path, "new text", 8) == OCE_OK ? 0 : 1);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_expect(at == 6 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                          : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        expect_contents(path, at < 5 ? "old" : "new text");
    }
}

Test(file, remove_link_and_rename) {
    const char *a = scratch_path(folder, "a"), *b = scratch_path(folder, "b");
    file_store(a, "x", 1);
    file_store(b, "longer", 6);
    cr_expect_eq(oce_file_link(a, b), OCE_OK);
    expect_contents(b, "x");
    cr_expect_eq(oce_file_remove(a), OCE_OK);
    cr_expect_eq(oce_file_remove(a), OCE_OK, "a file that is not there");
    expect_contents(b, "x");
    cr_expect_eq(oce_file_rename(b, a), OCE_OK);
    expect_contents(a, "x");
    cr_expect_eq(oce_file_rename(b, a), OCE_ERROR_NOT_FOUND);
    cr_expect_eq(oce_file_link(b, a), OCE_ERROR_NOT_FOUND);
    cr_expect_eq(oce_file_remove(folder), OCE_ERROR_IO, "a folder");
}

Test(file, folder_is_created_once_and_one_level) {
    const char *path = scratch_path(folder, "new");
    fault_arm(FAULT_NONE, 0, folder);
    cr_expect_eq(oce_folder_create(path), OCE_OK);
    cr_expect_eq(fault_disarm(), 2, "mkdir, and fsync of the folder it is in");
    cr_expect_eq(oce_folder_create(path), OCE_OK);
    cr_expect_eq(oce_folder_create(""), OCE_OK);
    cr_expect_eq(oce_folder_create(scratch_path(folder, "x/y")), OCE_ERROR_NOT_FOUND);
    file_store(scratch_path(folder, "file"), "", 0);
    cr_expect_eq(oce_folder_create(scratch_path(folder, "file")), OCE_ERROR_IO);
    cr_expect_eq(oce_folder_sync(scratch_path(folder, "none")), OCE_ERROR_NOT_FOUND);
}

static oce_status remove_visited(void *user, const char *name) {
    ++*(int *)user;
    return oce_file_remove(scratch_path(folder, name));
}

static oce_status stop(void *user, const char *name) {
    (void)name;
    ++*(int *)user;
    return OCE_ERROR_INTERRUPTED;
}

Test(file, visit_sees_each_name_and_stops_at_a_failure) {
    for (char name[] = "a"; name[0] <= 'e'; name[0]++)
        file_store(scratch_path(folder, name), "", 0);
    int visits = 0;
    cr_expect_eq(oce_folder_visit(folder, stop, &visits), OCE_ERROR_INTERRUPTED);
    cr_expect_eq(visits, 1);
    visits = 0;
    cr_expect_eq(oce_folder_visit(folder, remove_visited, &visits), OCE_OK);
    cr_expect_eq(visits, 5);
    cr_expect_eq(scratch_count(folder, NULL), 0);
    cr_expect_eq(oce_folder_visit(scratch_path(folder, "none"), stop, &visits),
                 OCE_ERROR_NOT_FOUND);
}

/* ---- Locks ---- */

Test(file, a_lock_has_one_holder_and_names_it) {
    const char *path = scratch_path(folder, "lock");
    oce_lock *lock, *other;
    cr_assert_eq(oce_lock_acquire(path, &lock), OCE_OK);
    cr_expect_eq(oce_lock_acquire(path, &other), OCE_ERROR_BUSY);
    cr_expect_null(other);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    cr_expect(strstr(oce_last_error(), pid), "%s", oce_last_error());
    oce_lock_release(lock);
    cr_expect_eq(scratch_count(folder, NULL), 0, "the lock file goes with the lock");
    cr_assert_eq(oce_lock_acquire(path, &lock), OCE_OK);
    oce_lock_release(lock);
    oce_lock_release(NULL);
}

Test(file, a_lock_ends_with_its_process) {
    const char *path = scratch_path(folder, "lock");
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        oce_lock *lock;
        const char good = oce_lock_acquire(path, &lock) == OCE_OK;
        if (write(ready[1], &good, 1) == 1)
            pause();
        _exit(1);
    }
    char good = 0;
    cr_assert(read(ready[0], &good, 1) == 1 && good);
    oce_lock *lock;
    cr_expect_eq(oce_lock_acquire(path, &lock), OCE_ERROR_BUSY);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    cr_expect(strstr(oce_last_error(), pid), "%s", oce_last_error());
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_expect(file_is_there(path));
    cr_assert_eq(oce_lock_acquire(path, &lock), OCE_OK, "%s", oce_last_error());
    oce_lock_release(lock);
    close(ready[0]);
    close(ready[1]);
}

/* Stands before the C library's: removes a file, once, between its being opened and locked, as a
 * holder does that lets go of it at that moment. */
static const char *vanishing;

int flock(int descriptor, int operation);
int flock(int descriptor, int operation) {
    int (*next)(int, int);
    void *address = dlsym(RTLD_NEXT, "flock");
    memcpy(&next, &address, sizeof next);
    if (vanishing)
        unlink(vanishing);
    vanishing = NULL;
    return next(descriptor, operation);
}

Test(file, a_lock_is_on_the_file_of_its_name) {
    const char *path = scratch_path(folder, "lock");
    oce_lock *lock, *other;
    vanishing = path;
    cr_assert_eq(oce_lock_acquire(path, &lock), OCE_OK);
    cr_expect(file_is_there(path));
    cr_expect_eq(oce_lock_acquire(path, &other), OCE_ERROR_BUSY);
    oce_lock_release(lock);
}

Test(file, a_lock_in_no_folder) {
    oce_lock *lock;
    cr_expect_eq(oce_lock_acquire(scratch_path(folder, "none/lock"), &lock), OCE_ERROR_NOT_FOUND);
}

/* ---- Paths; the expected texts are Python's ---- */

static void expect_text(oce_status status, char *got, const char *expected) {
    cr_expect_eq(status, OCE_OK);
    cr_expect_str_eq(got, expected);
    free(got);
}

Test(path, folder_and_base) {
    static const char *const cases[][3] = {
        {"model", "", "model"}, {"a/b", "a", "b"},  {"a/b/", "a/b", ""},
        {"/a", "/", "a"},       {"a//b", "a", "b"}, {"//a", "/", "a"},
        {"", "", ""},           {"./m", ".", "m"},  {"/x/y/model-1", "/x/y", "model-1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = NULL;
        const oce_status status = oce_path_folder(cases[i][0], &got);
        expect_text(status, got, cases[i][1]);
        cr_expect_str_eq(oce_path_base(cases[i][0]), cases[i][2]);
    }
}

Test(path, join) {
    static const char *const cases[][3] = {{"D", "./m", "D/./m"},
                                           {"D/", "m", "D/m"},
                                           {"", "m", "m"},
                                           {"D", "/abs", "/abs"},
                                           {"/", "m", "/m"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = NULL;
        const oce_status status = oce_path_join(cases[i][0], cases[i][1], &got);
        expect_text(status, got, cases[i][2]);
    }
}

Test(path, relative) {
    static const char *const cases[][3] = {{"train/model-2", "train", "model-2"},
                                           {"./train/model", "train", "model"},
                                           {"model", "", "model"},
                                           {"a/b/c", "a/x", "../b/c"},
                                           {"a", "a", "."},
                                           {"ab/c", "a", "../ab/c"},
                                           {"a//b/../c", "./a/", "c"},
                                           {"/", "/", "."},
                                           {"/a/b", "/", "a/b"},
                                           {"/", "/a/b", "../.."},
                                           {"a", "a/b", ".."},
                                           {"../x/y", "../x", "y"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = NULL;
        const oce_status status = oce_path_relative(cases[i][0], cases[i][1], &got);
        expect_text(status, got, cases[i][2]);
    }
}

Test(path, absolute) {
    char *got = NULL;
    oce_status status = oce_path_absolute("/a/./b//c/../d/", &got);
    expect_text(status, got, "/a/b/d");
    status = oce_path_absolute("/..", &got);
    expect_text(status, got, "/");
    char current[1024], expected[1040];
    cr_assert(getcwd(current, sizeof current));
    snprintf(expected, sizeof expected, "%s/x", current);
    status = oce_path_absolute("x", &got);
    expect_text(status, got, expected);
}
