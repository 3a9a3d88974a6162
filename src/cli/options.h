/*
 * Verbs and their options: what a verb is, how its command line is declared, read and explained.
 *
 * How to add a verb "show":
 *
 * 1. Write cmd_show.c: a record of the options' values, the table that fills it, the function that
 *    runs, and the verb. A table entry is {name, argument, type and field, attributes ...}:
 *
 *        typedef struct show_options {
 *            const char *device;
 *            int64_t steps;
 *            double rate;
 *            int order;
 *            bool quiet;
 *        } show_options;
 *
 *        static const char *const orders[] = {"epoch", "draw", NULL};
 *
 *        static const cli_option options[] = {
 *            {"steps", "N", CLI_INT(show_options, steps), .initial = "100", .min = 1, .max =
 * 1000000, .help = "number of steps"},
 *            {"rate", "R", CLI_REAL(show_options, rate), .initial = "1e-4", .low = 0, .high = 10,
 *             .above_low = true, .help = "learning rate"},
 *            {"order", NULL, CLI_CHOICE(show_options, order), .choices = orders, .initial =
 * "epoch", .help = "order of the images"}, CLI_DEVICE_OPTION(show_options, device),
 *            CLI_QUIET_OPTION(show_options, quiet),
 *            {0},
 *        };
 *
 *        static int run(const cli_call *call) {
 *            const show_options *given = call->options;
 *            oce_device *device = NULL;
 *            if (cli_open_device(given->device, given->quiet, &device) != OCE_OK)
 *                return cli_failure();
 *            ...
 *            cli_close_device(device, true, given->quiet);
 *            return CLI_SUCCESS;
 *        }
 *
 *        const cli_verb cli_verb_show = {
 *            .name = "show", .operands = "mnist|cifar10", .min_operands = 1, .max_operands = 1,
 *            .summary = "shows a network", .options = options,
 *            .options_bytes = sizeof(show_options), .run = run,
 *        };
 *
 * 2. Declare it in verbs.h and add it to the table in main.c.
 *
 * The command line: options are --name VALUE or --name=VALUE, flags are --name, in any place
 * between operands; "--" ends the options; "-" is an operand. A value may start with one "-"
 * ("--rate -1"), not with two (then write --name=VALUE). The last of a repeated option counts. A
 * set, non-empty environment variable counts where the option is not given. --help and -h work for
 * every verb.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes. */
enum { CLI_SUCCESS = 0, CLI_FAILURE = 1, CLI_USAGE = 2 };

typedef enum cli_type {
    CLI_TYPE_FLAG,   /* bool, true if given; takes no value */
    CLI_TYPE_STRING, /* const char *, not empty; NULL if neither given nor with an initial value */
    CLI_TYPE_INT,    /* int64_t in min..max (both 0: any) */
    CLI_TYPE_REAL,   /* double, finite, in low..high (both 0: any) */
    CLI_TYPE_CHOICE  /* int, the place in `choices` */
} cli_type;

/* The type and field of an option; a field of another C type does not compile. */
#define CLI_FLAG(record, field) CLI_FIELD(CLI_TYPE_FLAG, record, field, bool)
#define CLI_STRING(record, field) CLI_FIELD(CLI_TYPE_STRING, record, field, const char *)
#define CLI_INT(record, field) CLI_FIELD(CLI_TYPE_INT, record, field, int64_t)
#define CLI_REAL(record, field) CLI_FIELD(CLI_TYPE_REAL, record, field, double)
#define CLI_CHOICE(record, field) CLI_FIELD(CLI_TYPE_CHOICE, record, field, int)
#define CLI_FIELD(kind, record, field, ctype)                                                      \
    .type = (kind),                                                                                \
    .offset = offsetof(record, field) * sizeof(char[_Generic(((record *)0)->field, ctype : 1)])

typedef struct cli_option {
    const char *name;     /* without "--"; NULL ends a table */
    const char *argument; /* the value's name in the help, e.g. "N"; NULL for flags and choices */
    cli_type type;
    size_t offset;       /* of the value in the verb's record */
    const char *initial; /* the default, written as on the command line; NULL: 0, NULL or false */
    const char *shown_initial; /* what the help says of the default instead, e.g. "by network" */
    const char *environment; /* variable that gives the value where the option does not; or NULL */
    int64_t min, max;        /* CLI_TYPE_INT */
    double low, high;        /* CLI_TYPE_REAL */
    bool above_low;          /* CLI_TYPE_REAL: low itself is not allowed */
    const char *const *choices; /* CLI_TYPE_CHOICE: names, ended by NULL */
    const char *help;           /* one sentence or two, without a final full stop */
} cli_option;

/* An option that serves only some kinds of what the verb does: a bit for each place in
 * cli_verb.kinds. */
typedef struct cli_serving {
    const char *option; /* NULL ends a table */
    unsigned kinds;
} cli_serving;

/* At most this many options a verb. */
enum { CLI_MAX_OPTIONS = 64 };

typedef struct cli_call cli_call;

typedef struct cli_verb {
    const char *name;
    const char *operands; /* for the usage line, e.g. "mnist|cifar10"; NULL: none */
    int min_operands, max_operands;
    const char *summary;     /* one line in the list of verbs */
    const char *description; /* more for its own help, paragraphs apart by "\n\n"; or NULL */
    const cli_option *options;
    size_t options_bytes;        /* of the record that `options` fills */
    const char *const *kinds;    /* names of kinds, ended by NULL; or NULL */
    const cli_serving *servings; /* options that do not serve all of them; NULL without kinds */
    int (*run)(const cli_call *call); /* returns the exit code */
} cli_verb;

/* One use of a verb. */
struct cli_call {
    const cli_verb *verb;
    const void *options; /* the verb's record */
    char **operands;
    int operand_count;
    bool given[CLI_MAX_OPTIONS]; /* by place in the table: by option or environment */
};

/* True if the option came from the command line or the environment, not from its initial value. */
bool cli_given(const cli_call *call, const char *name);

/* What is to be done after reading a command line. */
typedef enum cli_parsed {
    CLI_PARSED_RUN,  /* run the verb */
    CLI_PARSED_HELP, /* the help was asked for */
    CLI_PARSED_WRONG /* a usage error was printed */
} cli_parsed;

/* Reads the arguments behind the verb's name into the record at `options` (of verb->options_bytes,
 * overwritten) and *call. Reorders argv: call->operands points into it. */
cli_parsed cli_parse(const cli_verb *verb, int argc, char **argv, void *options, cli_call *call);

/* Whether all options given serve the kind at this place of call->verb->kinds; false after a usage
 * error that names the first one that does not. */
bool cli_check_kind(const cli_call *call, int kind);
/* The names of the kinds that an option serves, "conv, gemm"; "" if it serves all. Returns `text`.
 */
const char *cli_kinds_text(const cli_verb *verb, const char *option, char *text, size_t bytes);

/* The place of `text` in `choices` (ended by NULL), or -1 after a usage error that starts with
 * `what`, e.g. "network". */
int cli_choose(const cli_verb *verb, const char *what, const char *const *choices,
               const char *text);

#if defined(__GNUC__)
#define CLI_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define CLI_PRINTF(format_index, first)
#endif

/* Prints "ocelli VERB: ... (see ocelli VERB --help)" to stderr; returns CLI_USAGE. verb may be
 * NULL. */
int cli_usage_error(const cli_verb *verb, const char *format, ...) CLI_PRINTF(2, 3);
/* Prints "ocelli: " and the text, or the library's last error, to stderr; returns CLI_FAILURE. Both
 * clear a live progress line first. */
int cli_error(const char *format, ...) CLI_PRINTF(1, 2);
int cli_failure(void);

/* The verb's help, generated from its tables. */
void cli_print_help(FILE *stream, const cli_verb *verb);
/* `text` in lines of at most 80 columns, each behind `indent` blanks; the first line continues one
 * that is `column` long. */
void cli_print_wrapped(FILE *stream, const char *text, int column, int indent);
/* The name nearest to `text` of `count` names, `stride` bytes apart from `first` on; NULL if none
 * is near. */
const char *cli_nearest(const char *text, const char *const *first, size_t count, size_t stride);

/* ---- Options that many verbs have ---------------------------------------------------------- */

#define CLI_DEVICE_OPTION(record, field)                                                           \
    {                                                                                              \
        "device", "SELECTOR", CLI_STRING(record, field),                                           \
            .environment = "OCELLI_DEVICE", .shown_initial = "auto",                               \
            .help =                                                                                \
                "the OpenCL device: auto, cpu, gpu, accelerator, P:D (indices), or any part of a " \
                "device's, platform's or vendor's name; a comma list is an order of preference"    \
    }
#define CLI_QUIET_OPTION(record, field)                                                            \
    { "quiet", NULL, CLI_FLAG(record, field), .help = "print results and errors only" }
#define CLI_JSON_OPTION(record, field)                                                             \
    { "json", NULL, CLI_FLAG(record, field), .help = "print JSON instead of text" }

#endif
