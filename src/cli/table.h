/* Tables of text in aligned columns. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "cli/options.h"

#include <stdint.h>
#include <stdio.h>

/* Columns as text: titles in order, each after '<' (left-aligned) or '>' (right-aligned), e.g.
 * "<layer>parameters>MFLOP". NULL if there is no memory; the other functions then do nothing. */
typedef struct cli_table cli_table;
cli_table *cli_table_create(const char *columns);
void cli_table_destroy(cli_table *table);

/* Sets the next cell, row by row from left to right. Bytes that are not valid UTF-8, and control
 * characters, become '?'. */
void cli_table_cell(cli_table *table, const char *format, ...) CLI_PRINTF(2, 3);
/* Draws a line across before the next row. */
void cli_table_rule(cli_table *table);
/* Prints titles (unless all are empty) and rows, columns two blanks apart, each line behind
 * `indent` blanks. */
void cli_table_print(const cli_table *table, FILE *stream, int indent);

/* `text` with everything that is not printable UTF-8 as '?'. */
void cli_clean_text(char *text);
/* "512 B", "1.25 MiB", "7.8 GiB". Returns `text`. */
const char *cli_format_bytes(uint64_t value, char *text, size_t bytes);

#endif
