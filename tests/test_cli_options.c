/* Reading command lines by tables of options, and the help made from them. */
#define _DEFAULT_SOURCE
#include "cli/help.c"    // NOLINT(bugprone-suspicious-include): not in the library
#include "cli/options.c" // NOLINT(bugprone-suspicious-include): not in the library

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_progress_clear(void) {
    /* no progress line here */
}

typedef struct values {
    bool flag, other_flag;
    const char *text, *device;
    int64_t count, any;
    double rate, share;
    int order;
} values;

static const char *const orders[] = {"epoch", "draw", "none", NULL};

static const cli_option table[] = {
    {"flag", NULL, CLI_FLAG(values, flag), .help = "a flag"},
    {"other-flag", NULL, CLI_FLAG(values, other_flag), .help = "another flag"},
    {"text", "FILE", CLI_STRING(values, text), .initial = "none.txt", .help = "a text"},
    {"count", "N", CLI_INT(values, count), .initial = "3", .min = 1, .max = 100,
     .environment = "TEST_COUNT", .help = "how many"},
    {"any", "N", CLI_INT(values, any), .help = "any number"},
    {"rate", "R", CLI_REAL(values, rate), .initial = "1e-4", .low = 0, .high = 10,
     .above_low = true, .help = "a rate"},
    {"share", "S", CLI_REAL(values, share), .low = -1, .high = 1, .shown_initial = "by mood",
     .help = "a share"},
    {"order", NULL, CLI_CHOICE(values, order), .choices = orders, .initial = "draw",
     .environment = "TEST_ORDER", .help = "an order"},
    CLI_DEVICE_OPTION(values, device),
    {0},
};

static const cli_verb verb = {
    .name = "verb",
    .operands = "ONE [TWO]",
    .min_operands = 1,
    .max_operands = 2,
    .summary = "does something",
    .description = "Does something.\n\nIn two paragraphs.",
    .options = table,
    .options_bytes = sizeof(values),
};

static values got;
static cli_call call;

static void clean_environment(void) {
    unsetenv("TEST_COUNT");
    unsetenv("TEST_ORDER");
    unsetenv("OCELLI_DEVICE");
    cr_redirect_stderr();
}

TestSuite(cli_options, .init = clean_environment);

static cli_parsed parse_array(const char *const *arguments) {
    static char *argv[16];
    int argc = 0;
    for (; arguments[argc] != NULL; argc++)
        argv[argc] = (char *)arguments[argc];
    return cli_parse(&verb, argc, argv, &got, &call);
}
#define PARSE(...) parse_array((const char *const[]){__VA_ARGS__, NULL})

/* What was printed to the redirected stderr since the last call; a pipe. */
static const char *printed(void) {
    static char text[4096];
    fflush(stderr);
    FILE *stream = cr_get_redirected_stderr();
    const int descriptor = fileno(stream);
    fcntl(descriptor, F_SETFL, O_NONBLOCK);
    const ssize_t size = read(descriptor, text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void expect_wrong_array(const char *message, const char *const *arguments) {
    cr_expect(parse_array(arguments) == CLI_PARSED_WRONG, "accepted: %s", arguments[0]);
    const char *text = printed();
    char expected[256];
    snprintf(expected, sizeof expected, "ocelli verb: %s (see ocelli verb --help)\n", message);
    cr_expect(strcmp(text, expected) == 0, "printed: %sexpected: %s", text, expected);
}
#define EXPECT_WRONG(message, ...)                                                                 \
    expect_wrong_array(message, (const char *const[]){__VA_ARGS__, NULL})

Test(cli_options, initial_values) {
    cr_assert(PARSE("x") == CLI_PARSED_RUN);
    cr_expect(!got.flag && got.count == 3 && got.any == 0 && got.rate == 1e-4 && got.share == 0);
    cr_expect_str_eq(got.text, "none.txt");
    cr_expect(got.device == NULL && got.order == 1);
    cr_expect(call.operand_count == 1 && call.options == &got && call.verb == &verb);
    for (const cli_option *option = table; option->name != NULL; option++)
        cr_expect(!cli_given(&call, option->name), "%s", option->name);
}

Test(cli_options, both_ways_to_give_a_value) {
    cr_assert(PARSE("x", "--count", "7", "--rate=0.5", "--text=a=b", "--order", "none", "--flag",
                    "--device", "gpu,cpu") == CLI_PARSED_RUN);
    cr_expect(got.count == 7 && got.rate == 0.5 && got.order == 2 && got.flag && !got.other_flag);
    cr_expect_str_eq(got.text, "a=b");
    cr_expect_str_eq(got.device, "gpu,cpu");
    cr_expect(cli_given(&call, "count") && cli_given(&call, "flag"));
    cr_expect(!cli_given(&call, "any") && !cli_given(&call, "nonsense"));
}

Test(cli_options, operands_and_options_mix) {
    cr_assert(PARSE("--flag", "one", "--count", "2", "two") == CLI_PARSED_RUN);
    cr_assert(call.operand_count == 2 && got.count == 2);
    cr_expect_str_eq(call.operands[0], "one");
    cr_expect_str_eq(call.operands[1], "two");
    cr_assert(PARSE("-", "--", "--flag") == CLI_PARSED_RUN);
    cr_assert(call.operand_count == 2 && !got.flag);
    cr_expect_str_eq(call.operands[0], "-");
    cr_expect_str_eq(call.operands[1], "--flag");
    cr_assert(PARSE("--", "--", "--help") == CLI_PARSED_RUN);
    cr_expect_str_eq(call.operands[0], "--");
}

Test(cli_options, last_of_a_repeated_option_counts) {
    cr_assert(PARSE("x", "--count", "7", "--count=8", "--flag", "--flag") == CLI_PARSED_RUN);
    cr_expect(got.count == 8 && got.flag);
}

Test(cli_options, values_may_be_negative_or_one_dash) {
    cr_assert(PARSE("x", "--any", "-5", "--share", "-0.5", "--text", "-") == CLI_PARSED_RUN);
    cr_expect(got.any == -5 && got.share == -0.5);
    cr_expect_str_eq(got.text, "-");
    cr_assert(PARSE("x", "--text=--flag") == CLI_PARSED_RUN);
    cr_expect_str_eq(got.text, "--flag");
}

Test(cli_options, limits_are_included) {
    cr_assert(PARSE("x", "--count", "1", "--share", "1", "--rate", "10") == CLI_PARSED_RUN);
    cr_expect(got.count == 1 && got.share == 1 && got.rate == 10);
    cr_assert(PARSE("x", "--count", "100", "--share", "-1") == CLI_PARSED_RUN);
    cr_assert(PARSE("x", "--any", "9223372036854775807") == CLI_PARSED_RUN);
    cr_expect(got.any == INT64_MAX);
    cr_assert(PARSE("x", "--any", "-9223372036854775808") == CLI_PARSED_RUN);
    cr_expect(got.any == INT64_MIN);
}

Test(cli_options, wrong_whole_numbers) {
    EXPECT_WRONG("--count: 0 is not between 1 and 100", "x", "--count", "0");
    EXPECT_WRONG("--count: 101 is not between 1 and 100", "x", "--count=101");
    EXPECT_WRONG("--count: -3 is not between 1 and 100", "x", "--count", "-3");
    EXPECT_WRONG("--count: 99999999999999999999 is not between 1 and 100", "x", "--count",
                 "99999999999999999999");
    EXPECT_WRONG("--any: 9223372036854775808 is not between -9223372036854775808 and "
                 "9223372036854775807",
                 "x", "--any", "9223372036854775808");
    const char *const wrong[] = {"5x", "x", "5.0", "1e3", "0x10", " 5",
                                 "5 ", "+", "-",   "nan", "+-5"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char message[64];
        snprintf(message, sizeof message, "--count: \"%s\" is not a whole number", wrong[i]);
        EXPECT_WRONG(message, "x", "--count", wrong[i]);
    }
}

Test(cli_options, wrong_numbers) {
    EXPECT_WRONG("--rate: 0 is not above 0 and at most 10", "x", "--rate", "0");
    EXPECT_WRONG("--rate: -1 is not above 0 and at most 10", "x", "--rate", "-1");
    EXPECT_WRONG("--rate: 10.001 is not above 0 and at most 10", "x", "--rate", "10.001");
    EXPECT_WRONG("--share: 1.5 is not between -1 and 1", "x", "--share", "1.5");
    EXPECT_WRONG("--rate: 1e999 is too large", "x", "--rate", "1e999");
    EXPECT_WRONG("--rate: 1e-999 is not above 0 and at most 10", "x", "--rate", "1e-999");
    const char *const wrong[] = {"nan", "inf", "-infinity", "0x1p3", "1.2.3", "1e",
                                 "1,5", " 1",  "1 ",        "e5",    "1f",    "--1"};
    for (size_t i = 0; i + 1 < sizeof wrong / sizeof wrong[0]; i++) {
        char message[64];
        snprintf(message, sizeof message, "--rate: \"%s\" is not a number", wrong[i]);
        EXPECT_WRONG(message, "x", "--rate", wrong[i]);
    }
}

Test(cli_options, wrong_choices_name_the_choices) {
    EXPECT_WRONG("--order: \"Draw\" is none of epoch, draw, none", "x", "--order", "Draw");
    EXPECT_WRONG("--order: \"d\" is none of epoch, draw, none", "x", "--order", "d");
    cr_expect(cli_choose(&verb, "network", orders, "none") == 2);
    cr_expect(cli_choose(&verb, "network", orders, "all") == -1);
    cr_expect(strstr(printed(), "network: \"all\" is none of") != NULL);
}

Test(cli_options, missing_empty_and_surplus_values) {
    EXPECT_WRONG("--count needs a value", "x", "--count");
    EXPECT_WRONG("--text needs a value", "x", "--text", "--flag");
    EXPECT_WRONG("--text needs a value", "x", "--text", "--");
    EXPECT_WRONG("--text: the value is empty", "x", "--text", "");
    EXPECT_WRONG("--count: the value is empty", "x", "--count=");
    EXPECT_WRONG("--flag takes no value, \"1\" was given", "x", "--flag=1");
    EXPECT_WRONG("--flag takes no value, \"\" was given", "x", "--flag=");
}

Test(cli_options, unknown_options_suggest_the_nearest) {
    EXPECT_WRONG("unknown option --cuont; did you mean --count?", "x", "--cuont", "5");
    EXPECT_WRONG("unknown option --coun; did you mean --count?", "x", "--coun=5");
    EXPECT_WRONG("unknown option --other; did you mean --other-flag?", "x", "--other");
    EXPECT_WRONG("unknown option -count; did you mean --count?", "x", "-count", "5");
    EXPECT_WRONG("unknown option --nothing-like-it", "x", "--nothing-like-it");
    EXPECT_WRONG("unknown option -x", "x", "-x");
    EXPECT_WRONG("unknown option --COUNT", "x", "--COUNT");
    EXPECT_WRONG("unknown option --", "x", "--=");
    char longest[400];
    memset(longest, '-', sizeof longest);
    memset(longest + 2, 'y', sizeof longest - 3);
    longest[sizeof longest - 1] = '\0';
    cr_expect(PARSE("x", longest) == CLI_PARSED_WRONG);
    cr_expect(strstr(printed(), "unknown option --yyy") != NULL);
}

Test(cli_options, number_of_operands) {
    EXPECT_WRONG("missing argument: ONE [TWO]", "--flag");
    EXPECT_WRONG("unexpected argument \"c\"", "a", "b", "c", "d");
    cr_expect(PARSE("a", "b") == CLI_PARSED_RUN);
}

Test(cli_options, help_wins_over_what_comes_after) {
    cr_expect(PARSE("--help") == CLI_PARSED_HELP);
    cr_expect(PARSE("-h", "--nonsense") == CLI_PARSED_HELP);
    cr_expect(PARSE("a", "b", "c", "--help") == CLI_PARSED_HELP);
    cr_expect(PARSE("--nonsense", "--help") == CLI_PARSED_WRONG);
}

Test(cli_options, environment_stands_between_option_and_initial_value) {
    setenv("TEST_COUNT", "50", 1);
    setenv("TEST_ORDER", "", 1); /* empty is not set */
    cr_assert(PARSE("x") == CLI_PARSED_RUN);
    cr_expect(got.count == 50 && cli_given(&call, "count"));
    cr_expect(got.order == 1 && !cli_given(&call, "order"));
    cr_assert(PARSE("x", "--count", "60") == CLI_PARSED_RUN);
    cr_expect(got.count == 60);
    setenv("TEST_COUNT", "500", 1);
    EXPECT_WRONG("TEST_COUNT: 500 is not between 1 and 100", "x");
    cr_expect(PARSE("x", "--count", "60") == CLI_PARSED_RUN, "a wrong variable that is not used");
    setenv("TEST_COUNT", "many", 1);
    EXPECT_WRONG("TEST_COUNT: \"many\" is not a whole number", "x");
    cr_expect(PARSE("--help") == CLI_PARSED_HELP);
}

Test(cli_options, nearest_name) {
    const char *const names[] = {"train", "eval", "devices", "info"};
    const size_t size = sizeof names[0];
    cr_expect_str_eq(cli_nearest("trian", names, 4, size), "train");
    cr_expect_str_eq(cli_nearest("device", names, 4, size), "devices");
    cr_expect_str_eq(cli_nearest("evla", names, 4, size), "eval");
    cr_expect_str_eq(cli_nearest("dev", names, 4, size), "devices");
    cr_expect_str_eq(cli_nearest("inf", names, 4, size), "info");
    cr_expect(cli_nearest("predict", names, 4, size) == NULL);
    cr_expect(cli_nearest("", names, 4, size) == NULL);
    cr_expect(cli_nearest("x", names, 4, size) == NULL);
}

/* ---- Help ---------------------------------------------------------------------------------- */

static char *captured(void (*print)(FILE *)) {
    static char text[8192];
    FILE *stream = tmpfile();
    cr_assert(stream != NULL);
    print(stream);
    rewind(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    return text;
}

static void print_verb(FILE *stream) {
    cli_print_help(stream, &verb);
}

Test(cli_options, help_comes_from_the_tables) {
    const char *text = captured(print_verb);
    static const char *const lines[] = {
        "Usage: ocelli verb ONE [TWO] [OPTION]...\n\nDoes something.\n\nIn two paragraphs.\n\n",
        "\n  --flag                a flag\n",
        "\n  --text FILE           a text (default: none.txt)\n",
        "\n  --count N             how many (1 to 100; default: 3; environment: TEST_COUNT)\n",
        "\n  --any N               any number\n",
        "\n  --rate R              a rate (above 0, at most 10; default: 1e-4)\n",
        "\n  --share S             a share (-1 to 1; default: by mood)\n",
        "|none\n                        an order (default: draw; environment: ",
        "\n  --help                show this text\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect(strstr(text, lines[i]) != NULL, "\"%s\" is not in\n%s", lines[i], text);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        cr_expect(strcspn(line, "\n") <= 80, "too long: %.*s", (int)strcspn(line, "\n"), line);
}

static void print_sample(FILE *stream) {
    fputs("ab", stream);
    cli_print_wrapped(stream,
                      "one two three four five six seven eight nine ten eleven twelve thirteen "
                      "fourteen\nfifteen  sixteen",
                      2, 4);
}

Test(cli_options, wrapping) {
    cr_expect_str_eq(captured(print_sample),
                     "ab  one two three four five six seven eight nine ten eleven twelve thirteen\n"
                     "    fourteen\n    fifteen sixteen\n");
}
