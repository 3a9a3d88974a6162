#include "io/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The C locale's classes, whatever locale the program has set. */
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int digit_value(char c, int base) {
    int value = base;
    if (is_digit(c))
        value = c - '0';
    else if (c >= 'a' && c <= 'f')
        value = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
        value = c - 'A' + 10;
    return value < base ? value : -1;
}

void oce_text_field(oce_bytes *text, const char *name, const char *value) {
    static const char plain[] = "\n\r\t\"'\\", escaped[] = "nrt\"'\\";
    oce_bytes_printf(text, "%s: \"", name);
    for (; *value; value++) {
        const char *special = strchr(plain, *value);
        if (special)
            oce_bytes_printf(text, "\\%c", escaped[special - plain]);
        else if (*value >= ' ' && *value <= '~')
            oce_bytes_append(text, value, 1);
        else
            oce_bytes_printf(text, "\\%03o", (unsigned)(unsigned char)*value);
    }
    oce_bytes_text(text, "\"\n");
}

void oce_scanner_init(oce_scanner *scanner, const void *text, size_t size) {
    const char *start = size > 0 ? text : "";
    *scanner = (oce_scanner){.at = start, .end = start + size, .line = 1};
}

bool oce_scanner_fail(oce_scanner *scanner, const char *problem) {
    snprintf(scanner->problem, sizeof scanner->problem, "line %d: %s", scanner->line, problem);
    return false;
}

static void skip_blanks(oce_scanner *scanner) {
    while (scanner->at < scanner->end) {
        const char c = *scanner->at;
        if (c == '#') {
            const char *newline = memchr(scanner->at, '\n', (size_t)(scanner->end - scanner->at));
            scanner->at = newline ? newline : scanner->end;
            continue;
        }
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' && c != '\v')
            return;
        scanner->line += c == '\n';
        scanner->at++;
    }
}

bool oce_scanner_take(oce_scanner *scanner, char character) {
    skip_blanks(scanner);
    if (scanner->at == scanner->end || *scanner->at != character)
        return false;
    scanner->at++;
    return true;
}

bool oce_scanner_at_end(oce_scanner *scanner) {
    while (oce_scanner_take(scanner, ';') || oce_scanner_take(scanner, ','))
        ;
    return scanner->at == scanner->end;
}

bool oce_scanner_name(oce_scanner *scanner, const char **name, size_t *length) {
    skip_blanks(scanner);
    *name = scanner->at;
    while (scanner->at < scanner->end &&
           (is_letter(*scanner->at) || is_digit(*scanner->at) || *scanner->at == '_' ||
            *scanner->at == '-' || *scanner->at == '.'))
        scanner->at++;
    *length = (size_t)(scanner->at - *name);
    if (*length == 0)
        return oce_scanner_fail(scanner, "a field's name is expected");
    return oce_scanner_take(scanner, ':') || oce_scanner_fail(scanner, "a ':' is expected");
}

/* Takes up to `most` digits, at least one. */
static bool take_digits(oce_scanner *scanner, int base, int most, uint32_t *value) {
    int taken = 0;
    *value = 0;
    while (taken < most && scanner->at < scanner->end && digit_value(*scanner->at, base) >= 0) {
        *value = *value * (uint32_t)base + (uint32_t)digit_value(*scanner->at, base);
        scanner->at++;
        taken++;
    }
    return taken > 0;
}

static bool append_utf8(oce_bytes *value, uint32_t point) {
    if (point > 0x10FFFF)
        return false;
    if (point < 0x80) {
        oce_bytes_u8(value, point);
    } else if (point < 0x800) {
        oce_bytes_u8(value, 0xC0 | point >> 6);
        oce_bytes_u8(value, 0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        oce_bytes_u8(value, 0xE0 | point >> 12);
        oce_bytes_u8(value, 0x80 | (point >> 6 & 0x3F));
        oce_bytes_u8(value, 0x80 | (point & 0x3F));
    } else {
        oce_bytes_u8(value, 0xF0 | point >> 18);
        oce_bytes_u8(value, 0x80 | (point >> 12 & 0x3F));
        oce_bytes_u8(value, 0x80 | (point >> 6 & 0x3F));
        oce_bytes_u8(value, 0x80 | (point & 0x3F));
    }
    return true;
}

/* What follows a backslash. */
static bool take_escape(oce_scanner *scanner, oce_bytes *value) {
    static const char letters[] = "abfnrtv\\'\"?", meanings[] = "\a\b\f\n\r\t\v\\'\"?";
    if (scanner->at == scanner->end)
        return oce_scanner_fail(scanner, "the text ends in a string");
    uint32_t number;
    if (digit_value(*scanner->at, 8) >= 0) {
        take_digits(scanner, 8, 3, &number);
        oce_bytes_u8(value, number & 0xFF);
        return number <= 0xFF || oce_scanner_fail(scanner, "an octal escape above 377");
    }
    const char c = *scanner->at++;
    const char *letter = c != 0 ? strchr(letters, c) : NULL;
    if (letter) {
        oce_bytes_append(value, meanings + (letter - letters), 1);
        return true;
    }
    if ((c == 'x' || c == 'X') && take_digits(scanner, 16, 2, &number)) {
        oce_bytes_u8(value, number);
        return true;
    }
    if ((c == 'u' || c == 'U') && take_digits(scanner, 16, c == 'u' ? 4 : 8, &number) &&
        append_utf8(value, number))
        return true;
    return oce_scanner_fail(scanner, "an unknown escape");
}

static bool take_quoted(oce_scanner *scanner, char quote, oce_bytes *value) {
    while (scanner->at < scanner->end) {
        const char c = *scanner->at++;
        if (c == quote)
            return true;
        if (c == '\n')
            return oce_scanner_fail(scanner, "a string runs over the end of its line");
        if (c == 0)
            return oce_scanner_fail(scanner, "a string holds a NUL");
        if (c != '\\')
            oce_bytes_append(value, &c, 1);
        else if (!take_escape(scanner, value))
            return false;
    }
    return oce_scanner_fail(scanner, "the text ends in a string");
}

bool oce_scanner_string(oce_scanner *scanner, oce_bytes *value) {
    bool any = false;
    value->size = 0;
    oce_bytes_append(value, "", 0); /* so that an empty string has an address */
    for (;;) {
        const bool single = oce_scanner_take(scanner, '\'');
        if (!single && !oce_scanner_take(scanner, '"'))
            break;
        if (!take_quoted(scanner, single ? '\'' : '"', value))
            return false;
        any = true;
    }
    if (!any)
        return oce_scanner_fail(scanner, "a string in quotes is expected");
    if (value->size > 0 && memchr(value->data, 0, value->size))
        return oce_scanner_fail(scanner, "a string holds a NUL");
    return true;
}

bool oce_scanner_number(oce_scanner *scanner) {
    skip_blanks(scanner);
    const char *start = scanner->at;
    bool digits = false;
    while (scanner->at < scanner->end &&
           (is_letter(*scanner->at) || is_digit(*scanner->at) || *scanner->at == '.' ||
            *scanner->at == '-' || *scanner->at == '+')) {
        digits = digits || is_digit(*scanner->at);
        scanner->at++;
    }
    const size_t length = (size_t)(scanner->at - start);
    const size_t sign = length > 0 && (*start == '-' || *start == '+');
    const bool named = length - sign >= 3 &&
                       (memcmp(start + sign, "inf", 3) == 0 || memcmp(start + sign, "nan", 3) == 0);
    return (digits && !is_letter(start[sign])) || named ||
           oce_scanner_fail(scanner, "a number is expected");
}
