/* The command itself: verbs, help, version, exit codes. */
#include "support/command.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void expect_help(const command_result *result, const char *text) {
    cr_expect(result->code == 0, "exit code %d: %s", result->code, result->err);
    cr_expect(strncmp(result->out, "Usage: ocelli ", 14) == 0, "%s", result->out);
    cr_expect(strstr(result->out, text) != NULL, "%s", result->out);
    cr_expect_str_eq(result->err, "");
}

Test(cli_main, help_lists_every_verb) {
    command_result result = command_ocelli(NULL, "--help");
    expect_help(&result, "\n  devices ");
    expect_help(&result, "\n  train ");
    command_result other = command_ocelli(NULL, "help"), third = command_ocelli(NULL, "-h");
    cr_expect_str_eq(result.out, other.out);
    cr_expect_str_eq(result.out, third.out);
    command_free(&result);
    command_free(&other);
    command_free(&third);
}

/* Every verb that the help lists has help of its own, by both ways to ask. */
Test(cli_main, every_verb_has_help) {
    command_result list = command_ocelli(NULL, "--help");
    int verbs = 0;
    const char *at = strstr(list.out, "Verbs:\n");
    cr_assert(at != NULL);
    for (at = strchr(at, '\n') + 1; strncmp(at, "  ", 2) == 0; at = strchr(at, '\n') + 1) {
        char verb[32], usage[64];
        if (at[2] == ' ' || sscanf(at, " %31[a-z-]", verb) != 1)
            continue; /* the second line of a summary */
        command_result help = command_ocelli(NULL, verb, "--help");
        command_result other = command_ocelli(NULL, "help", verb);
        snprintf(usage, sizeof usage, "Usage: ocelli %s", verb);
        expect_help(&help, usage);
        expect_help(&help, "\n  --help ");
        cr_expect_str_eq(help.out, other.out);
        command_free(&help);
        command_free(&other);
        verbs++;
    }
    cr_expect(verbs >= 2, "%d verbs", verbs);
    command_free(&list);
}

Test(cli_main, version) {
    command_result result = command_ocelli(NULL, "--version");
    int major = -1, minor = -1;
    cr_expect(result.code == 0);
    cr_expect(sscanf(result.out, "ocelli %d.%d", &major, &minor) == 2, "%s", result.out);
    command_free(&result);
}

Test(cli_main, wrong_usage_is_code_2_and_one_line) {
    static const struct {
        const char *arguments[3], *text;
    } cases[] = {
        {{NULL}, "no verb was given"},
        {{"devics"}, "unknown verb \"devics\"; did you mean \"devices\"?"},
        {{"xyzzy"}, "unknown verb \"xyzzy\" (see ocelli --help)"},
        {{""}, "unknown verb \"\""},
        {{"--nonsense"}, "unknown option \"--nonsense\""},
        {{"help", "xyzzy"}, "unknown verb \"xyzzy\""},
        {{"devices", "--jsno"}, "ocelli devices: unknown option --jsno; did you mean --json?"},
        {{"devices", "extra"}, "ocelli devices: unexpected argument \"extra\""},
        {{"devices", "--device"}, "ocelli devices: --device needs a value"},
        {{"devices", "--device="}, "ocelli devices: --device: the value is empty"},
        {{"devices", "--json=yes"}, "ocelli devices: --json takes no value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const *a = cases[i].arguments;
        command_result result = command_ocelli(NULL, a[0], a[1], a[2]);
        expect_failure(&result, 2, cases[i].text);
        command_free(&result);
    }
}

Test(cli_main, output_that_cannot_be_written_is_an_error) {
    const char *const argv[] = {"sh", "-c", "exec \"$0\" --help >/dev/full", command_ocelli_path(),
                                NULL};
    const char *const probe[] = {"sh", "-c", "test -c /dev/full", NULL};
    command_result has_full = command_run(probe, NULL, NULL);
    const int is_there = has_full.code == 0;
    command_free(&has_full);
    if (!is_there)
        cr_skip_test("there is no /dev/full here");
    command_result result = command_run(argv, NULL, NULL);
    expect_failure(&result, 1, "writing to standard output");
    command_free(&result);
}
