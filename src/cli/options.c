/* Reading a command line by a verb's table of options. */
#include "cli/options.h"
#include "cli/progress.h"

#include <ocelli/status.h>

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int cli_usage_error(const cli_verb *verb, const char *format, ...) {
    const char *blank = verb != NULL ? " " : "", *name = verb != NULL ? verb->name : "";
    va_list args;
    va_start(args, format);
    cli_progress_clear();
    fprintf(stderr, "ocelli%s%s: ", blank, name);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see ocelli%s%s --help)\n", blank, name);
    va_end(args);
    return CLI_USAGE;
}

int cli_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    cli_progress_clear();
    fputs("ocelli: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return CLI_FAILURE;
}

int cli_failure(void) {
    return cli_error("%s", oce_last_error());
}

static size_t option_count(const cli_option *options) {
    size_t count = 0;
    while (count < CLI_MAX_OPTIONS && options[count].name != NULL)
        count++;
    return count;
}

static const cli_option *find_option(const cli_verb *verb, const char *name, size_t length) {
    for (size_t i = 0; i < option_count(verb->options); i++)
        if (strncmp(verb->options[i].name, name, length) == 0 &&
            verb->options[i].name[length] == '\0')
            return &verb->options[i];
    return NULL;
}

bool cli_given(const cli_call *call, const char *name) {
    const cli_option *option = find_option(call->verb, name, strlen(name));
    return option != NULL && call->given[option - call->verb->options];
}

const char *cli_kinds_text(const cli_verb *verb, const char *option, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (const cli_serving *s = verb->servings; s != NULL && s->option != NULL; s++)
        for (int i = 0; strcmp(s->option, option) == 0 && verb->kinds[i] != NULL; i++)
            if ((s->kinds & 1U << i) != 0 && used < bytes)
                used += (size_t)snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "",
                                         verb->kinds[i]);
    return text;
}

bool cli_check_kind(const cli_call *call, int kind) {
    const cli_verb *verb = call->verb;
    char kinds[128];
    for (const cli_serving *s = verb->servings; s != NULL && s->option != NULL; s++)
        if ((s->kinds & 1U << kind) == 0 && cli_given(call, s->option)) {
            cli_usage_error(verb, "%s has no --%s, which is for %s", verb->kinds[kind], s->option,
                            cli_kinds_text(verb, s->option, kinds, sizeof kinds));
            return false;
        }
    return true;
}

/* Prints the names "a, b, c". */
static void join_choices(const char *const *choices, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; choices[i] != NULL && used < bytes; i++) {
        const int written =
            snprintf(text + used, bytes - used, "%s%s", i > 0 ? ", " : "", choices[i]);
        used += written > 0 ? (size_t)written : 0;
    }
}

static int find_choice(const char *const *choices, const char *text) {
    for (int i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], text) == 0)
            return i;
    return -1;
}

int cli_choose(const cli_verb *verb, const char *what, const char *const *choices,
               const char *text) {
    const int index = find_choice(choices, text);
    if (index < 0) {
        char names[512];
        join_choices(choices, names, sizeof names);
        cli_usage_error(verb, "%s: \"%s\" is none of %s", what, text, names);
    }
    return index;
}

static bool read_int(const cli_verb *verb, const cli_option *option, const char *source,
                     const char *text, int64_t *value) {
    const bool bounded = option->min != 0 || option->max != 0;
    const long long min = bounded ? option->min : INT64_MIN;
    const long long max = bounded ? option->max : INT64_MAX;
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    /* strtoll would take leading blanks */
    const bool is_number = strchr("+-0123456789", text[0]) != NULL && end != text && *end == '\0';
    if (!is_number) {
        cli_usage_error(verb, "%s: \"%s\" is not a whole number", source, text);
        return false;
    }
    if (errno == ERANGE || number < min || number > max) {
        cli_usage_error(verb, "%s: %s is not between %lld and %lld", source, text, min, max);
        return false;
    }
    *value = number;
    return true;
}

static bool read_real(const cli_verb *verb, const cli_option *option, const char *source,
                      const char *text, double *value) {
    const bool bounded = option->low != 0 || option->high != 0;
    char *end = NULL;
    const double number = strtod(text, &end);
    /* strtod would take blanks, hexadecimal numbers, "nan" and "infinity" */
    if (text[strspn(text, "+-.0123456789eE")] != '\0' || end == text || *end != '\0') {
        cli_usage_error(verb, "%s: \"%s\" is not a number", source, text);
        return false;
    }
    if (!isfinite(number)) {
        cli_usage_error(verb, "%s: %s is too large", source, text);
        return false;
    }
    if (bounded && option->above_low && !(number > option->low && number <= option->high)) {
        cli_usage_error(verb, "%s: %s is not above %g and at most %g", source, text, option->low,
                        option->high);
        return false;
    }
    if (bounded && !(number >= option->low && number <= option->high)) {
        cli_usage_error(verb, "%s: %s is not between %g and %g", source, text, option->low,
                        option->high);
        return false;
    }
    *value = number;
    return true;
}

/* Stores the value; `source` is what the message blames: "--steps" or a variable's name. */
static bool store(const cli_verb *verb, const cli_option *option, const char *source,
                  const char *text, void *record) {
    void *field = (char *)record + option->offset;
    if (option->type != CLI_TYPE_FLAG && text[0] == '\0') {
        cli_usage_error(verb, "%s: the value is empty", source);
        return false;
    }
    switch (option->type) {
    case CLI_TYPE_FLAG:
        *(bool *)field = true;
        return true;
    case CLI_TYPE_STRING:
        *(const char **)field = text;
        return true;
    case CLI_TYPE_INT:
        return read_int(verb, option, source, text, field);
    case CLI_TYPE_REAL:
        return read_real(verb, option, source, text, field);
    case CLI_TYPE_CHOICE: {
        const int index = cli_choose(verb, source, option->choices, text);
        if (index >= 0)
            *(int *)field = index;
        return index >= 0;
    }
    }
    return false;
}

static void unknown_option(const cli_verb *verb, const char *text) {
    const int length = (int)strcspn(text, "=");
    char name[64];
    snprintf(name, sizeof name, "%.*s", length, text + strspn(text, "-"));
    name[strcspn(name, "=")] = '\0';
    const char *near = cli_nearest(name, &verb->options[0].name, option_count(verb->options),
                                   sizeof verb->options[0]);
    if (near != NULL)
        cli_usage_error(verb, "unknown option %.*s; did you mean --%s?", length, text, near);
    else
        cli_usage_error(verb, "unknown option %.*s", length, text);
}

/* Reads the option at argv[*at], moving *at past its value. */
static bool read_option(const cli_verb *verb, int argc, char **argv, int *at, void *record,
                        cli_call *call) {
    const char *text = argv[*at];
    const char *name = text + 2;
    const size_t length = strcspn(name, "=");
    const cli_option *option = strncmp(text, "--", 2) == 0 ? find_option(verb, name, length) : NULL;
    if (option == NULL) {
        unknown_option(verb, text);
        return false;
    }
    char source[80];
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    snprintf(source, sizeof source, "--%s", option->name);
    if (option->type == CLI_TYPE_FLAG) {
        if (value != NULL) {
            cli_usage_error(verb, "%s takes no value, \"%s\" was given", source, value);
            return false;
        }
    } else if (value == NULL) {
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0) {
            cli_usage_error(verb, "%s needs a value", source);
            return false;
        }
        value = argv[++*at];
    }
    call->given[option - verb->options] = true;
    return store(verb, option, source, value, record);
}

/* Fills in what the command line left open. */
static bool apply_defaults(const cli_verb *verb, void *record, cli_call *call) {
    for (size_t i = 0; i < option_count(verb->options); i++) {
        const cli_option *option = &verb->options[i];
        const char *value = option->environment != NULL ? getenv(option->environment) : NULL;
        if (call->given[i])
            continue;
        if (value != NULL && value[0] != '\0') {
            call->given[i] = true;
            if (!store(verb, option, option->environment, value, record))
                return false;
        } else if (option->initial != NULL) {
            if (!store(verb, option, option->name, option->initial, record))
                return false;
        }
    }
    return true;
}

cli_parsed cli_parse(const cli_verb *verb, int argc, char **argv, void *options, cli_call *call) {
    *call = (cli_call){.verb = verb, .options = options, .operands = argv};
    memset(options, 0, verb->options_bytes);
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const bool is_option = !only_operands && argv[i][0] == '-' && argv[i][1] != '\0';
        if (!is_option) {
            argv[call->operand_count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return CLI_PARSED_HELP;
        } else if (!read_option(verb, argc, argv, &i, options, call)) {
            return CLI_PARSED_WRONG;
        }
    }
    if (call->operand_count > verb->max_operands) {
        cli_usage_error(verb, "unexpected argument \"%s\"", call->operands[verb->max_operands]);
        return CLI_PARSED_WRONG;
    }
    if (call->operand_count < verb->min_operands) {
        cli_usage_error(verb, "missing argument: %s", verb->operands);
        return CLI_PARSED_WRONG;
    }
    return apply_defaults(verb, options, call) ? CLI_PARSED_RUN : CLI_PARSED_WRONG;
}
