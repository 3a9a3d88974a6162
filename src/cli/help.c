/* Help texts from the tables of options, and the nearest name to a mistyped one. */
#include "cli/options.h"

#include <string.h>

enum { COLUMNS = 80, TEXT_COLUMN = 24, MAX_NAME = 32, SANE_INT = 1000000000, SANE_REAL = 1000000 };

void cli_print_wrapped(FILE *stream, const char *text, int column, int indent) {
    bool at_start = true;
    while (*text != '\0') {
        if (*text == '\n') {
            fputc('\n', stream);
            column = 0;
            at_start = true;
            text++;
            continue;
        }
        const int length = (int)strcspn(text, " \n");
        if (length > 0) {
            if (!at_start && column + 1 + length > COLUMNS) {
                fputc('\n', stream);
                column = 0;
                at_start = true;
            }
            const int gap = at_start ? (column < indent ? indent - column : 0) : 1;
            fprintf(stream, "%*s%.*s", gap, "", length, text);
            column += gap + length;
            at_start = false;
        }
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', stream);
}

static const char *default_of(const cli_option *option) {
    return option->shown_initial != NULL ? option->shown_initial : option->initial;
}

/* "1 to 100", "above 0, at most 1", "at least 1"; "" without bounds. Limits that only keep numbers
 * sane are not worth a word. */
static void describe_range(const cli_option *option, char *text, size_t bytes) {
    const bool has_ints = option->min != 0 || option->max != 0;
    const bool has_reals = option->low != 0 || option->high != 0;
    text[0] = '\0';
    if (option->type == CLI_TYPE_INT && has_ints) {
        if (option->max >= SANE_INT && option->min == 0)
            return;
        if (option->max >= SANE_INT)
            snprintf(text, bytes, "at least %lld", (long long)option->min);
        else
            snprintf(text, bytes, "%lld to %lld", (long long)option->min, (long long)option->max);
    } else if (option->type == CLI_TYPE_REAL && has_reals) {
        const char *word = option->above_low ? "above" : "at least";
        if (option->high >= SANE_REAL)
            snprintf(text, bytes, "%s %g", word, option->low);
        else if (option->above_low)
            snprintf(text, bytes, "above %g, at most %g", option->low, option->high);
        else
            snprintf(text, bytes, "%g to %g", option->low, option->high);
    }
}

static void print_option(FILE *stream, const cli_verb *verb, const cli_option *option) {
    int column = fprintf(stream, "  --%s", option->name);
    if (option->type == CLI_TYPE_CHOICE)
        for (int i = 0; option->choices[i] != NULL; i++)
            column += fprintf(stream, "%c%s", i == 0 ? ' ' : '|', option->choices[i]);
    else if (option->type != CLI_TYPE_FLAG)
        column += fprintf(stream, " %s", option->argument != NULL ? option->argument : "VALUE");
    if (column > TEXT_COLUMN - 2) {
        fputc('\n', stream);
        column = 0;
    }
    char range[96], kinds[128], notes[512] = "", text[1280];
    describe_range(option, range, sizeof range);
    cli_kinds_text(verb, option->name, kinds, sizeof kinds);
    const char *parts[][2] = {{"for ", kinds[0] != '\0' ? kinds : NULL},
                              {"", range[0] != '\0' ? range : NULL},
                              {"default: ", default_of(option)},
                              {"environment: ", option->environment}};
    size_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && used < sizeof notes; i++)
        if (parts[i][1] != NULL)
            used += (size_t)snprintf(notes + used, sizeof notes - used, "%s%s%s",
                                     used > 0 ? "; " : "", parts[i][0], parts[i][1]);
    snprintf(text, sizeof text, "%s%s%s%s", option->help, used > 0 ? " (" : "", notes,
             used > 0 ? ")" : "");
    cli_print_wrapped(stream, text, column, TEXT_COLUMN);
}

void cli_print_help(FILE *stream, const cli_verb *verb) {
    fprintf(stream, "Usage: ocelli %s%s%s [OPTION]...\n\n", verb->name,
            verb->operands != NULL ? " " : "", verb->operands != NULL ? verb->operands : "");
    cli_print_wrapped(stream, verb->description != NULL ? verb->description : verb->summary, 0, 0);
    fputs("\nOptions:\n", stream);
    for (const cli_option *option = verb->options; option->name != NULL; option++)
        print_option(stream, verb, option);
    fprintf(stream, "  %-*s%s\n", TEXT_COLUMN - 2, "--help", "show this text");
}

static int smallest(int a, int b, int c) {
    const int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance, a swap of neighbours counting as one edit. Only names shorter than
 * MAX_NAME are compared. */
static int edit_distance(const char *a, const char *b) {
    const int n = (int)strlen(a), m = (int)strlen(b);
    int distance[MAX_NAME + 1][MAX_NAME + 1];
    if (n > MAX_NAME || m > MAX_NAME)
        return MAX_NAME;
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                distance[i][j] = i + j;
                continue;
            }
            distance[i][j] = smallest(distance[i - 1][j] + 1, distance[i][j - 1] + 1,
                                      distance[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                distance[i - 2][j - 2] + 1 < distance[i][j])
                distance[i][j] = distance[i - 2][j - 2] + 1;
        }
    return distance[n][m];
}

const char *cli_nearest(const char *text, const char *const *first, size_t count, size_t stride) {
    const char *nearest = NULL;
    const size_t length = strlen(text);
    int best = 2 + (int)(length / 4); /* this far off is another word */
    for (size_t i = 0; i < count; i++) {
        const char *name = *(const char *const *)((const char *)first + i * stride);
        int distance = edit_distance(text, name);
        if (length >= 2 && strncmp(name, text, length) == 0)
            distance = 1; /* the beginning of a name */
        if (distance < best && distance < (int)strlen(name)) {
            best = distance;
            nearest = name;
        }
    }
    return nearest;
}
