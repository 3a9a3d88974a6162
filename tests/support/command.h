/* Running a command and catching what it prints. Failures to run it end the test. */
#ifndef TESTS_SUPPORT_COMMAND_H
#define TESTS_SUPPORT_COMMAND_H

#include <stddef.h>

typedef struct command_result {
    int code;  /* exit code, or 128 + the signal that ended it */
    char *out; /* standard output, NUL-terminated */
    char *err; /* standard error */
    size_t out_size, err_size;
} command_result;

/*
 * Runs argv (ended by NULL; argv[0] is looked up in PATH unless it has a slash). `environment`
 * (ended by NULL, or NULL) changes the environment: "NAME=value" sets, "NAME" removes. `input` is
 * given on standard input (NULL: none).
 */
command_result command_run(const char *const *argv, const char *const *environment,
                           const char *input);
void command_free(command_result *result);

/* The same for the ocelli command of this build; the arguments are written out:
 *   command_ocelli(NULL, "devices", "--json") */
#define command_ocelli(environment, ...)                                                           \
    command_run((const char *const[]){command_ocelli_path(), __VA_ARGS__, NULL}, environment, NULL)

/* $OCELLI_BUILD/ocelli, or build/ocelli. */
const char *command_ocelli_path(void);

/* Fails the test (which goes on) unless the command ended with `code`, printed nothing to stdout if
 * that is not 0, and one line on stderr that contains `text` (NULL: no check of stderr). */
void expect_failure(const command_result *result, int code, const char *text);

#endif
