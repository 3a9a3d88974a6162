#define _DEFAULT_SOURCE
#include "support/command.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *command_ocelli_path(void) {
    static char path[1024];
    const char *build = getenv("OCELLI_BUILD");
    snprintf(path, sizeof path, "%s/ocelli", build != NULL && build[0] != '\0' ? build : "build");
    return path;
}

/* True if `entry` ("NAME=value") is of the variable that `change` ("NAME" or "NAME=value") names.
 */
static int is_same_name(const char *entry, const char *change) {
    const size_t length = strcspn(change, "=");
    return strncmp(entry, change, length) == 0 && entry[length] == '=';
}

/* A new array; the strings belong to the process and the caller. */
static char **changed_environment(const char *const *changes) {
    size_t have = 0, want = 0, used = 0;
    while (environ[have] != NULL)
        have++;
    while (changes != NULL && changes[want] != NULL)
        want++;
    char **result = calloc(have + want + 1, sizeof *result);
    cr_assert(result != NULL);
    for (size_t i = 0; i < have; i++) {
        int is_changed = 0;
        for (size_t j = 0; j < want; j++)
            is_changed = is_changed || is_same_name(environ[i], changes[j]);
        if (!is_changed)
            result[used++] = environ[i];
    }
    for (size_t j = 0; j < want; j++)
        if (strchr(changes[j], '=') != NULL)
            result[used++] = (char *)changes[j]; /* posix_spawn takes char * by history */
    return result;
}

typedef struct stream {
    int descriptor; /* -1: at its end */
    char *data;
    size_t size;
} stream;

static void read_more(stream *from) {
    char part[65536];
    const ssize_t got = read(from->descriptor, part, sizeof part);
    if (got < 0 && errno == EINTR)
        return;
    if (got <= 0) {
        close(from->descriptor);
        from->descriptor = -1;
        return;
    }
    char *bigger = realloc(from->data, from->size + (size_t)got + 1);
    cr_assert(bigger != NULL);
    memcpy(bigger + from->size, part, (size_t)got);
    from->data = bigger;
    from->size += (size_t)got;
    from->data[from->size] = '\0';
}

/* Reads both streams to their ends at once, so that neither blocks the command. */
static void drain(stream streams[2]) {
    while (streams[0].descriptor >= 0 || streams[1].descriptor >= 0) {
        struct pollfd waits[2] = {{streams[0].descriptor, POLLIN, 0},
                                  {streams[1].descriptor, POLLIN, 0}};
        if (poll(waits, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (waits[i].revents != 0 && streams[i].descriptor >= 0)
                read_more(&streams[i]);
    }
}

/* A file that holds `input`, without a name. */
static int input_file(const char *input) {
    FILE *file = tmpfile();
    cr_assert(file != NULL, "no temporary file");
    if (input != NULL)
        fputs(input, file);
    rewind(file);
    const int descriptor = dup(fileno(file));
    fclose(file);
    cr_assert(descriptor >= 0);
    lseek(descriptor, 0, SEEK_SET);
    return descriptor;
}

command_result command_run(const char *const *argv, const char *const *environment,
                           const char *input) {
    int out[2], err[2], status = 0;
    pid_t child = 0;
    const int in = input_file(input);
    cr_assert(pipe(out) == 0 && pipe(err) == 0, "no pipe");
    for (int i = 0; i < 2; i++) {
        fcntl(out[i], F_SETFD, FD_CLOEXEC);
        fcntl(err[i], F_SETFD, FD_CLOEXEC);
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    char **variables = changed_environment(environment);
    const int error = posix_spawnp(&child, argv[0], &actions, NULL, (char *const *)argv, variables);
    posix_spawn_file_actions_destroy(&actions);
    free(variables);
    close(in);
    close(out[1]);
    close(err[1]);
    cr_assert(error == 0, "%s cannot be run: %s", argv[0], strerror(error));
    stream streams[2] = {{.descriptor = out[0]}, {.descriptor = err[0]}};
    drain(streams);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    command_result result = {
        .code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
        .out = streams[0].data != NULL ? streams[0].data : calloc(1, 1),
        .err = streams[1].data != NULL ? streams[1].data : calloc(1, 1),
        .out_size = streams[0].size,
        .err_size = streams[1].size,
    };
    cr_assert(result.out != NULL && result.err != NULL);
    return result;
}

void command_free(command_result *result) {
    free(result->out);
    free(result->err);
    *result = (command_result){0};
}

void expect_failure(const command_result *result, int code, const char *text) {
    cr_expect(result->code == code, "exit code %d, expected %d; stderr: %s", result->code, code,
              result->err);
    cr_expect(result->out_size == 0, "stdout: %s", result->out);
    if (text == NULL)
        return;
    const char *newline = strchr(result->err, '\n');
    cr_expect(newline != NULL && newline[1] == '\0', "stderr is not one line: %s", result->err);
    cr_expect(strncmp(result->err, "ocelli", 6) == 0, "stderr: %s", result->err);
    cr_expect(strstr(result->err, text) != NULL, "stderr lacks \"%s\": %s", text, result->err);
}
