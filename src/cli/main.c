/* The ocelli command: finds the verb, reads its options, runs it. */
#include "cli/compilers.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifndef OCELLI_VERSION
#define OCELLI_VERSION "unknown"
#endif

static const cli_verb *const verbs[] = {
    &cli_verb_train,    &cli_verb_eval,   &cli_verb_predict, &cli_verb_inspect,
    &cli_verb_export,   &cli_verb_import, &cli_verb_info,    &cli_verb_devices,
    &cli_verb_selftest, &cli_verb_op,     &cli_verb_bench,   &cli_verb_tune,
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static void print_help(void) {
    puts("Usage: ocelli VERB [OPTION]...\n\n"
         "Trains and runs convolutional networks on any OpenCL device.\n\n"
         "Verbs:");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const int column = printf("  %-12s", verbs[i]->name);
        cli_print_wrapped(stdout, verbs[i]->summary, column, 14);
    }
    puts("\nOptions:\n"
         "  --help      show this text; ocelli VERB --help explains a verb\n"
         "  --version   show the version\n\n"
         "Exit codes: 0 success, 1 failure, 2 wrong usage.");
}

static const cli_verb *find_verb(const char *name) {
    const char *names[VERB_COUNT];
    for (size_t i = 0; i < VERB_COUNT; i++) {
        names[i] = verbs[i]->name;
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    }
    const char *near = cli_nearest(name, names, VERB_COUNT, sizeof names[0]);
    const char *kind = name[0] == '-' ? "option" : "verb";
    if (near != NULL)
        cli_usage_error(NULL, "unknown %s \"%s\"; did you mean \"%s\"?", kind, name, near);
    else
        cli_usage_error(NULL, "unknown %s \"%s\"", kind, name);
    return NULL;
}

static int run_help(int argc, char **argv) {
    if (argc == 0) {
        print_help();
        return CLI_SUCCESS;
    }
    const cli_verb *verb = find_verb(argv[0]);
    if (verb == NULL)
        return CLI_USAGE;
    cli_print_help(stdout, verb);
    return CLI_SUCCESS;
}

static int run_verb(const cli_verb *verb, int argc, char **argv) {
    cli_call call;
    int code = CLI_USAGE;
    void *options = calloc(1, verb->options_bytes);
    if (options == NULL)
        return cli_error("no memory for the options of %s", verb->name);
    switch (cli_parse(verb, argc, argv, options, &call)) {
    case CLI_PARSED_RUN:
        code = verb->run(&call);
        break;
    case CLI_PARSED_HELP:
        cli_print_help(stdout, verb);
        code = CLI_SUCCESS;
        break;
    case CLI_PARSED_WRONG:
        break;
    }
    free(options);
    return code;
}

static int run(int argc, char **argv) {
    const char *name = argc > 0 ? argv[0] : "";
    if (argc == 0)
        return cli_usage_error(NULL, "no verb was given");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return run_help(0, NULL);
    if (strcmp(name, "help") == 0)
        return run_help(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0) {
        puts("ocelli " OCELLI_VERSION);
        return CLI_SUCCESS;
    }
    const cli_verb *verb = find_verb(name);
    return verb != NULL ? run_verb(verb, argc - 1, argv + 1) : CLI_USAGE;
}

int main(int argc, char **argv) {
    cli_own_program_init(argc > 0 ? argv[0] : NULL);
    cli_compilers_init(argv);
    const int code = run(argc > 0 ? argc - 1 : 0, argv + 1);
    /* a full disk behind stdout must not go unnoticed */
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error("writing to standard output: %s", strerror(errno));
    return code;
}
