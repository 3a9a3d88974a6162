#include "cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 32, MAX_CELL = 512, GAP = 2 };

struct cli_table {
    int columns;
    bool right[MAX_COLUMNS];
    char *titles; /* the text given, with a NUL behind each title */
    const char *title[MAX_COLUMNS];
    char **cells; /* row-major */
    size_t cell_count, cell_capacity;
    bool rule_before_next;
    bool *rules; /* by cell: a line goes before the row that starts with it */
};

cli_table *cli_table_create(const char *columns) {
    cli_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->titles = malloc(strlen(columns) + 1);
    if (table->titles == NULL) {
        free(table);
        return NULL;
    }
    strcpy(table->titles, columns);
    for (char *at = table->titles; *at != '\0' && table->columns < MAX_COLUMNS;) {
        const int column = table->columns++;
        table->right[column] = *at == '>';
        *at++ = '\0';
        table->title[column] = at;
        at += strcspn(at, "<>");
    }
    return table;
}

void cli_table_destroy(cli_table *table) {
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table->rules);
    free(table->titles);
    free(table);
}

/* Length of the valid UTF-8 sequence at `text`, or 0. */
static size_t sequence_length(const unsigned char *text) {
    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7F ? 1 : 0;
    const size_t length = text[0] >= 0xC2 && text[0] < 0xE0   ? 2
                          : text[0] >= 0xE0 && text[0] < 0xF0 ? 3
                          : text[0] >= 0xF0 && text[0] < 0xF5 ? 4
                                                              : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    /* overlong forms, surrogates, beyond U+10FFFF, C1 controls */
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] >= 0xA0) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] >= 0x90) ||
        (text[0] == 0xC2 && text[1] < 0xA0))
        return 0;
    return length;
}

void cli_clean_text(char *text) {
    while (*text != '\0') {
        const size_t length = sequence_length((const unsigned char *)text);
        if (length == 0)
            *text = '?';
        text += length > 0 ? length : 1;
    }
}

const char *cli_format_bytes(uint64_t value, char *text, size_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double scaled = (double)value;
    int unit = 0;
    while (scaled >= 1024 && unit < 6) {
        scaled /= 1024;
        unit++;
    }
    const int digits = unit == 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
    snprintf(text, bytes, "%.*f %s", digits, scaled, units[unit]);
    return text;
}

/* Columns that a text takes: its code points. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static bool make_room(cli_table *table) {
    if (table->cell_count < table->cell_capacity)
        return true;
    const size_t capacity = 2 * table->cell_capacity + 64;
    char **cells = realloc(table->cells, capacity * sizeof *cells);
    if (cells == NULL)
        return false;
    table->cells = cells;
    bool *rules = realloc(table->rules, capacity * sizeof *rules);
    if (rules == NULL)
        return false;
    table->rules = rules;
    table->cell_capacity = capacity;
    return true;
}

void cli_table_cell(cli_table *table, const char *format, ...) {
    char text[MAX_CELL];
    if (table == NULL || !make_room(table))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_clean_text(text);
    char *cell = malloc(strlen(text) + 1);
    if (cell == NULL)
        return;
    strcpy(cell, text);
    table->rules[table->cell_count] = table->rule_before_next;
    table->rule_before_next = false;
    table->cells[table->cell_count++] = cell;
}

void cli_table_rule(cli_table *table) {
    if (table != NULL)
        table->rule_before_next = true;
}

static void print_row(const cli_table *table, FILE *stream, int indent, const char *const *cells,
                      size_t count, const int *widths) {
    int pending = indent; /* blanks are held back so that no line ends in them */
    for (int column = 0; column < table->columns; column++) {
        const char *cell = (size_t)column < count ? cells[column] : "";
        const int pad = widths[column] - width_of(cell);
        if (table->right[column])
            pending += pad;
        if (cell[0] != '\0') {
            fprintf(stream, "%*s%s", pending, "", cell);
            pending = 0;
        }
        pending += GAP + (table->right[column] ? 0 : pad);
    }
    fputc('\n', stream);
}

void cli_table_print(const cli_table *table, FILE *stream, int indent) {
    int widths[MAX_COLUMNS] = {0};
    if (table == NULL || table->columns == 0)
        return;
    const size_t columns = (size_t)table->columns;
    int total = -GAP;
    bool has_titles = false;
    for (size_t i = 0; i < columns; i++) {
        widths[i] = width_of(table->title[i]);
        has_titles = has_titles || widths[i] > 0;
    }
    for (size_t i = 0; i < table->cell_count; i++)
        if (width_of(table->cells[i]) > widths[i % columns])
            widths[i % columns] = width_of(table->cells[i]);
    for (size_t i = 0; i < columns; i++)
        total += widths[i] + GAP;
    if (has_titles)
        print_row(table, stream, indent, table->title, columns, widths);
    for (size_t i = 0; i < table->cell_count; i += columns) {
        const size_t left = table->cell_count - i;
        if (table->rules[i]) {
            fprintf(stream, "%*s", indent, "");
            for (int j = 0; j < total; j++)
                fputc('-', stream);
            fputc('\n', stream);
        }
        print_row(table, stream, indent, (const char *const *)table->cells + i,
                  left < columns ? left : columns, widths);
    }
}
