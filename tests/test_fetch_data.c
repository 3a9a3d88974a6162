/* tools/fetch-data, against a web server on this machine (tests/support/file_server.py). */
#define _XOPEN_SOURCE 700

#include <criterion/criterion.h>

#include "support/files.h"
#include "support/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 300000, OK = 0, USAGE = 2, NO_NETWORK = 3, BAD_SUM = 4, NO_SPACE = 5 };

static const char *const names[] = {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                                    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};

static pid_t server;
static int server_input, port;
static char search_path[SCRATCH_PATH_BYTES + 8]; /* "PATH=...", or nothing */

static int shell(const char *command) {
    const int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The server ends when its standard input does: with this process at the latest. */
static void start_server(void) {
    int input[2], output[2];
    cr_assert(pipe(input) == 0 && pipe(output) == 0);
    fcntl(input[1], F_SETFD, FD_CLOEXEC); /* no other child may hold it open */
    fcntl(output[0], F_SETFD, FD_CLOEXEC);
    server = fork();
    if (server == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        execlp("python3", "python3", "tests/support/file_server.py", test_path("served"),
               test_path("log"), (char *)NULL);
        _exit(127);
    }
    close(input[0]);
    close(output[1]);
    server_input = input[1];
    FILE *said = fdopen(output[0], "r");
    const int found = fscanf(said, "%d", &port);
    fclose(said);
    cr_assert_eq(found, 1, "the server does not start");
}

static void stop_server(void) {
    if (server <= 0)
        return;
    close(server_input);
    waitpid(server, NULL, 0);
    server = 0;
}

/* Four files that stand for MNIST, and their checksums. */
static void make_files(void) {
    static uint8_t data[FILE_BYTES];
    for (size_t k = 0; k < 4; k++) {
        char name[64];
        for (size_t i = 0; i < FILE_BYTES; i++)
            data[i] = (uint8_t)(i * 31 + i / 256 * 7 + k);
        snprintf(name, sizeof name, "served/%s", names[k]);
        test_write_file(name, data, FILE_BYTES);
    }
    char command[2 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command, "cd '%s' && sha256sum * >../sums", test_path("served"));
    cr_assert_eq(shell(command), 0);
}

static void begin(void) {
    if (shell("command -v python3 >/dev/null 2>&1") != 0)
        cr_skip_test("needs python3 for a web server");
    test_files_begin();
    test_make_folder("served");
    test_write_file("log", "", 0);
    make_files();
    search_path[0] = '\0';
    start_server();
}

static void end(void) {
    stop_server();
    test_files_end();
}

/* Runs fetch-data against the server's `behaviour`; out and err go into files. */
static int fetch(const char *behaviour, const char *set, const char *directory) {
    char command[8 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command,
             "%s OCELLI_MIRROR=http://127.0.0.1:%d/%s OCELLI_MIRROR_SUMS='%s' no_proxy='*' "
             "tools/fetch-data %s '%s' >'%s' 2>'%s'",
             search_path, port, behaviour, test_path("sums"), set, test_path(directory),
             test_path("out"), test_path("err"));
    return shell(command);
}

static void expect_text(const char *file, const char *part) {
    char *text = (char *)test_read_file(file, NULL);
    cr_assert(strstr(text, part), "no '%s' in %s: %s", part, file, text);
    free(text);
}

/* One line on stderr that has `part`. */
static void expect_error(const char *part) {
    char *text = (char *)test_read_file("err", NULL);
    const char *newline = strchr(text, '\n');
    cr_assert(newline && newline[1] == '\0', "not one line: %s", text);
    free(text);
    expect_text("err", part);
}

static void expect_served_files(const char *directory) {
    for (size_t k = 0; k < 4; k++) {
        char command[4 * SCRATCH_PATH_BYTES];
        snprintf(command, sizeof command, "cmp -s '%s/%s' '%s/mnist/%s'", test_path("served"),
                 names[k], test_path(directory), names[k]);
        cr_assert_eq(shell(command), 0, "%s differs", names[k]);
    }
    char command[2 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command, "[ $(ls -A '%s/mnist' | wc -l) = 4 ]", test_path(directory));
    cr_assert_eq(shell(command), 0, "something else is left behind");
}

static int requests(void) {
    char *log = (char *)test_read_file("log", NULL);
    int lines = 0;
    for (const char *at = log; (at = strchr(at, '\n')); at++)
        lines++;
    free(log);
    return lines;
}

/* The first `bytes` bytes of training images, the rest of `total` being wrong, as a .part file. */
static void leave_part(const char *directory, size_t bytes, size_t total) {
    char name[256];
    snprintf(name, sizeof name, "%s/mnist", directory);
    test_make_folder(name);
    snprintf(name, sizeof name, "served/%s", names[0]);
    uint8_t *data = test_read_file(name, NULL);
    uint8_t *part = calloc(total + 1, 1);
    memcpy(part, data, bytes);
    snprintf(name, sizeof name, "%s/mnist/%s.part", directory, names[0]);
    test_write_file(name, part, total);
    free(part);
    free(data);
}

/* From now on only `tool` can download: a PATH of links to what the script needs. */
static void only_downloader(const char *tool) {
    char command[4 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command,
             "command -v %s >/dev/null || exit 1; mkdir '%s' && for t in %s sh awk cut wc tr cat "
             "mkdir rmdir mv rm sleep gzip tar sha256sum; do ln -s \"$(command -v $t)\" '%s'/$t; "
             "done",
             tool, test_path("bin"), tool, test_path("bin"));
    if (shell(command) != 0)
        cr_skip_test("needs %s", tool);
    snprintf(search_path, sizeof search_path, "PATH='%s'", test_path("bin"));
}

TestSuite(fetch_data, .init = begin, .fini = end);

Test(fetch_data, gets_files_and_keeps_them) {
    cr_assert_eq(fetch("good", "mnist", "new/data"), OK);
    expect_served_files("new/data");
    expect_text("out", "SHA-256 is right");
    cr_assert_eq(requests(), 4);
    cr_assert_eq(fetch("good", "mnist", "new/data"), OK);
    expect_text("out", "already there");
    cr_assert_eq(requests(), 4, "it asked again for what was there");
}

Test(fetch_data, works_with_wget) {
    only_downloader("wget");
    leave_part("data", 1000, 1000);
    cr_assert_eq(fetch("good", "mnist", "data"), OK);
    expect_served_files("data");
    expect_text("log", "bytes=1000-");
}

Test(fetch_data, resumes_a_partial_download) {
    leave_part("data", 123456, 123456);
    cr_assert_eq(fetch("good", "mnist", "data"), OK);
    expect_served_files("data");
    expect_text("log", "GET /good/train-images-idx3-ubyte.gz bytes=123456-");
}

Test(fetch_data, uses_a_complete_part_without_asking) {
    leave_part("data", FILE_BYTES, FILE_BYTES);
    cr_assert_eq(fetch("good", "mnist", "data"), OK);
    expect_served_files("data");
    cr_assert_eq(requests(), 3);
}

Test(fetch_data, goes_on_after_lost_connections) {
    cr_assert_eq(fetch("drop", "mnist", "data"), OK);
    expect_served_files("data");
}

Test(fetch_data, starts_anew_after_a_wrong_part) {
    leave_part("data", 100, 5000); /* continuing it gives a wrong file */
    cr_assert_eq(fetch("good", "mnist", "data"), OK);
    expect_served_files("data");
}

Test(fetch_data, starts_anew_after_a_part_that_is_too_long) {
    leave_part("data", 100, FILE_BYTES + 5000);
    cr_assert_eq(fetch("good", "mnist", "data"), OK);
    expect_served_files("data");
}

Test(fetch_data, starts_anew_where_the_server_cannot_resume) {
    leave_part("data", 5000, 5000);
    cr_assert_eq(fetch("plain", "mnist", "data"), OK);
    expect_served_files("data");
}

Test(fetch_data, replaces_a_damaged_file) {
    test_make_folder("data/mnist");
    test_write_file("data/mnist/train-images-idx3-ubyte.gz", "damaged", 7);
    cr_assert_eq(fetch("good", "mnist", "data"), OK);
    expect_served_files("data");
}

Test(fetch_data, refuses_a_wrong_checksum) {
    test_write_file("served/train-images-idx3-ubyte.gz", "something else", 14);
    cr_assert_eq(fetch("good", "mnist", "data"), BAD_SUM);
    expect_error("wrong SHA-256");
    cr_assert_not(test_exists("data"), "something is left behind");
}

Test(fetch_data, reports_a_missing_file) {
    cr_assert_eq(fetch("nothing", "mnist", "data"), NO_NETWORK);
    expect_error("HTTP status 404");
    cr_assert_not(test_exists("data"), "something is left behind");
}

static void expect_quick_failure(const char *behaviour) {
    const time_t start = time(NULL);
    cr_assert_eq(fetch(behaviour, "mnist", "data"), NO_NETWORK);
    cr_assert_leq(time(NULL) - start, 12);
    expect_error("cannot get train-images-idx3-ubyte.gz");
    cr_assert_not(test_exists("data"), "something is left behind");
}

Test(fetch_data, gives_up_on_a_silent_server) {
    expect_quick_failure("silent");
}

Test(fetch_data, gives_up_on_a_silent_server_with_wget) {
    only_downloader("wget");
    expect_quick_failure("silent");
}

Test(fetch_data, gives_up_without_a_server) {
    stop_server();
    expect_quick_failure("good");
}

Test(fetch_data, reports_a_folder_it_cannot_make) {
    test_write_file("file", "", 0);
    cr_assert_eq(fetch("good", "mnist", "file/data"), NO_SPACE);
    expect_error("cannot create or write");
}

Test(fetch_data, reports_wrong_usage) {
    cr_assert_eq(fetch("good", "imagenet", "data"), USAGE);
    expect_error("unknown data set 'imagenet'");
    cr_assert_eq(fetch("good", "", "data"), USAGE);
    expect_error("usage");
}

/* An archive of six batch files; `bytes` of zeros each. */
static void make_archive(long bytes) {
    char command[4 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command,
             "cd '%s' && mkdir cifar-10-batches-bin && cd cifar-10-batches-bin && "
             "for f in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch;"
             "do head -c %ld /dev/zero >$f.bin; done && echo airplane >batches.meta.txt && cd .. &&"
             "tar -cf - cifar-10-batches-bin | gzip -1 >served/cifar-10-binary.tar.gz && "
             "cd served && sha256sum * >../sums",
             test_path(""), bytes);
    cr_assert_eq(shell(command), 0);
}

Test(fetch_data, unpacks_the_archive) {
    make_archive(30730000);
    cr_assert_eq(fetch("good", "cifar10", "data"), OK);
    cr_assert(test_exists("data/cifar-10-batches-bin/data_batch_5.bin"));
    cr_assert(test_exists("data/cifar-10-batches-bin/test_batch.bin"));
    cr_assert(test_exists("data/cifar-10-batches-bin/batches.meta.txt"));
    char command[2 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command, "[ \"$(ls -A '%s')\" = cifar-10-batches-bin ]",
             test_path("data"));
    cr_assert_eq(shell(command), 0, "something else is left behind");
    cr_assert_eq(requests(), 1);
    cr_assert_eq(fetch("good", "cifar10", "data"), OK);
    expect_text("out", "already there");
    cr_assert_eq(requests(), 1);
}

Test(fetch_data, completes_an_incomplete_folder) {
    make_archive(30730000);
    test_make_folder("data/cifar-10-batches-bin");
    test_write_file("data/cifar-10-batches-bin/data_batch_2.bin", "short", 5);
    cr_assert_eq(fetch("good", "cifar10", "data"), OK);
    size_t bytes;
    free(test_read_file("data/cifar-10-batches-bin/data_batch_2.bin", &bytes));
    cr_assert_eq(bytes, 30730000);
}

Test(fetch_data, refuses_an_archive_of_other_files) {
    make_archive(1000);
    cr_assert_eq(fetch("good", "cifar10", "data"), NO_SPACE);
    expect_error("cannot unpack");
    cr_assert_not(test_exists("data/cifar-10-batches-bin"));
    cr_assert_not(test_exists("data/.cifar-10-batches-bin.unpacking"));
}

/* The built-in checksums are those of the real files. */
Test(fetch_data, knows_the_real_files) {
    const char *data = getenv("OCELLI_DATA");
    char command[4 * SCRATCH_PATH_BYTES];
    snprintf(command, sizeof command, "cp '%s'/mnist/*.gz '%s'/ 2>/dev/null", data ? data : "",
             test_path("served"));
    if (!data || shell(command) != 0)
        cr_skip_test("no MNIST files: set OCELLI_DATA");
    snprintf(command, sizeof command,
             "OCELLI_MIRROR=http://127.0.0.1:%d/good no_proxy='*' tools/fetch-data mnist '%s' "
             ">/dev/null",
             port, test_path("data"));
    cr_assert_eq(shell(command), OK);
    expect_served_files("data");
}
