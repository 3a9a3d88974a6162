/* Text of `name: "value"` lines: the part of protobuf's text format that the state file needs, and
 * that sidecars use too. */
#ifndef OCE_IO_TEXT_H
#define OCE_IO_TEXT_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends `name: "value"` and a newline; the value with C escapes, bytes outside printable ASCII in
 * octal, as Python's protobuf writes them. */
void oce_text_field(oce_bytes *text, const char *name, const char *value);

/* Reads such a text from the front. */
typedef struct oce_scanner {
    const char *at, *end;
    int line;
    char problem[96]; /* what stopped it, if a call returned false */
} oce_scanner;

void oce_scanner_init(oce_scanner *scanner, const void *text, size_t size);
/* Sets the problem, with the line; returns false. */
bool oce_scanner_fail(oce_scanner *scanner, const char *problem);
/* Skips blanks, newlines, comments and the separators ';' and ','; whether that reaches the end. */
bool oce_scanner_at_end(oce_scanner *scanner);
/* Takes a name of letters, digits, '_', '-', '.' and the colon after it. */
bool oce_scanner_name(oce_scanner *scanner, const char **name, size_t *length);
/* Takes a value: quoted strings next to each other make one. */
bool oce_scanner_string(oce_scanner *scanner, oce_bytes *value);
/* Takes a number, whose value nothing here needs. */
bool oce_scanner_number(oce_scanner *scanner);
/* Takes this character if it comes next after blanks. */
bool oce_scanner_take(oce_scanner *scanner, char character);

#endif
