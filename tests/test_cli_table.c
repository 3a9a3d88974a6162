/* Tables of text. */
#include "cli/table.c" // NOLINT(bugprone-suspicious-include): not in the library

#include <criterion/criterion.h>

static const char *printed(const cli_table *table, int indent) {
    static char text[8192];
    FILE *stream = tmpfile();
    cr_assert(stream != NULL);
    cli_table_print(table, stream, indent);
    rewind(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    return text;
}

static void add(cli_table *table, const char *cell) {
    cli_table_cell(table, "%s", cell);
}

Test(cli_table, columns_are_aligned) {
    cli_table *table = cli_table_create("<name>count<note");
    add(table, "a");
    cli_table_cell(table, "%d", 12345);
    add(table, "x");
    add(table, "longer name");
    cli_table_cell(table, "%d", 1);
    add(table, "");
    cr_expect_str_eq(printed(table, 0), "name         count  note\n"
                                        "a            12345  x\n"
                                        "longer name      1\n");
    cr_expect_str_eq(printed(table, 2), "  name         count  note\n"
                                        "  a            12345  x\n"
                                        "  longer name      1\n");
    cli_table_destroy(table);
}

Test(cli_table, rules_and_short_last_rows) {
    cli_table *table = cli_table_create("<a>b");
    add(table, "one");
    add(table, "22");
    cli_table_rule(table);
    add(table, "sum");
    cr_expect_str_eq(printed(table, 1), " a     b\n one  22\n -------\n sum\n");
    cli_table_destroy(table);
}

Test(cli_table, empty_titles_take_no_line) {
    cli_table *table = cli_table_create("<<");
    add(table, "key");
    add(table, "value");
    cr_expect_str_eq(printed(table, 0), "key  value\n");
    cli_table_destroy(table);
}

Test(cli_table, without_rows_or_columns) {
    cli_table *table = cli_table_create("<a>b");
    cr_expect_str_eq(printed(table, 0), "a  b\n");
    cli_table_destroy(table);
    table = cli_table_create("");
    cr_expect_str_eq(printed(table, 0), "");
    cli_table_destroy(table);
    cr_expect_str_eq(printed(NULL, 0), "");
    cli_table_cell(NULL, "x");
    cli_table_rule(NULL);
    cli_table_destroy(NULL);
}

Test(cli_table, many_rows) {
    cli_table *table = cli_table_create(">n");
    for (int i = 0; i < 500; i++)
        cli_table_cell(table, "%d", i);
    const char *text = printed(table, 0);
    cr_expect(strncmp(text, "  n\n  0\n  1\n", 12) == 0);
    cr_expect(strstr(text, "\n499\n") != NULL);
    cli_table_destroy(table);
}

Test(cli_table, utf8_counts_by_code_point) {
    cli_table *table = cli_table_create("<a>b");
    add(table, "\xC3\xA9t\xC3\xA9"); /* three letters in five bytes */
    add(table, "1");
    add(table, "abcd");
    add(table, "2");
    cr_expect_str_eq(printed(table, 0), "a     b\n\xC3\xA9t\xC3\xA9   1\nabcd  2\n");
    cli_table_destroy(table);
}

static void expect_clean(const char *text, const char *expected) {
    char clean[64];
    snprintf(clean, sizeof clean, "%s", text);
    cli_clean_text(clean);
    cr_expect_str_eq(clean, expected);
}

Test(cli_table, what_is_not_printable_utf8_becomes_question_marks) {
    expect_clean("plain ~ text", "plain ~ text");
    expect_clean("a\033[31mb\tc\nd\177", "a?[31mb?c?d?");
    expect_clean("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80",
                 "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80");
    expect_clean("\xC3", "?"); /* cut short */
    expect_clean("\xE2\x82", "??");
    expect_clean("\xF0\x9F\x98", "???");
    expect_clean("\x80\xBF", "??"); /* continuation alone */
    expect_clean("\xC0\xAF", "??"); /* overlong */
    expect_clean("\xE0\x80\xAF", "???");
    expect_clean("\xF0\x80\x80\xAF", "????");
    expect_clean("\xED\xA0\x80", "???");      /* surrogate */
    expect_clean("\xF4\x90\x80\x80", "????"); /* beyond U+10FFFF */
    expect_clean("\xF5\xFF", "??");
    expect_clean("\xC2\x9B", "??"); /* a control character, CSI */
}

Test(cli_table, cells_are_cleaned) {
    cli_table *table = cli_table_create("<");
    add(table, "a\nb");
    cr_expect_str_eq(printed(table, 0), "a?b\n");
    cli_table_destroy(table);
}

static void expect_bytes(uint64_t value, const char *expected) {
    char text[32];
    cr_expect_str_eq(cli_format_bytes(value, text, sizeof text), expected);
}

Test(cli_table, bytes) {
    expect_bytes(0, "0 B");
    expect_bytes(1023, "1023 B");
    expect_bytes(1024, "1.00 KiB");
    expect_bytes(48 * 1024, "48.0 KiB");
    expect_bytes(128 << 20, "128 MiB");
    expect_bytes(UINT64_C(8321499136), "7.75 GiB");
    expect_bytes(UINT64_MAX, "16.0 EiB");
}
