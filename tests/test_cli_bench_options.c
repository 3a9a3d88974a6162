/* ocelli bench: which options serve which kinds, and what is wrong usage. Nothing is measured. */
#include "support/command.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(cli_bench_options, wrong_usage) {
    static const struct {
        const char *kind, *option, *value, *message;
    } cases[] = {
        {"conv", "--shape", "h=8,c=3,k=4", "r is missing"},
        {"conv", "--shape", "h=8,c=3,k=4,r", "\"r\" is not key=value"},
        {"conv", "--shape", "h=8,c=3,k=4,r=x", "r=x is not a whole number"},
        {"conv", "--shape", "h=8,c=3,k=4,r=3,stride=0", "stride=0 is not"},
        {"conv", "--shape", "h=8,c=3,k=4,r=3,n=9999999999",
         "n=9999999999 is not a whole number from 1 to 1073741824"},
        {"conv", "--shape", "h=8,c=3,k=4,r=3,padding=some",
         "padding=some is not same, valid or a whole number from 0 to 1073741824"},
        {"conv", "--shape", "h=8,c=3,k=4,r=3,padding=", "padding= is not same"},
        {"conv", "--shape", "h=8,c=3,k=4,r=3,padding=1,padding=1", "padding is given twice"},
        {"gemm", "--shape", "m=64,m=32,n=1,k=1", "m is given twice"},
        {"gemm", "--shape", "m= 400,n=1,k=1", "m= 400 is not"},
        {"gemm", "--shape", "m=4,n=+8,k=1", "n=+8 is not"},
        {"gemm", "--shape", "m=0,n=8,k=1", "m=0 is not a whole number from 1 to 1073741824"},
        {"gemm", "--shape", "m=99999999999999999999,n=8,k=1", "m=99999999999999999999 is not"},
        {"conv", "--shape", "h=8,c=3,k=4,r=3,m=3", "unknown key \"m\" (there are n, h, w, c, k, r"},
        {"gemm", "--shape", "m=1,n=2", "k is missing"},
        {"gemm", "--shape", "m=1,n=2,k=3,ta=2", "ta=2 is not a whole number from 0 to 1"},
        {"gemm", "--shape", "m=1,n=2,k=3,padding=same", "unknown key \"padding\""},
        {"pool", "--shape", "h=4,c=1", "window is missing"},
        {"pool", "--pass", "wgrad", "pooling has no filter"},
        {"pool", "--kind", "average", "--kind is for a pooling of your own --shape"},
        {"startup", "--repeat", "1001", "1001 is not between 1 and 1000, for startup"},
        {"startup", "--micro-batches", "7", "--micro-batches 7 does not divide the batch of 50"},
        {"train", "--batch", "1", "train needs a network"},
        {"conv", "--conv", "fast", "fast"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        command_result result =
            command_ocelli(NULL, "bench", cases[i].kind, cases[i].option, cases[i].value);
        expect_failure(&result, 2, cases[i].message);
        command_free(&result);
    }
    command_result result = command_ocelli(NULL, "bench", "conv", "--pass", "dgrad", "--shape",
                                           "h=8,c=3,k=4,r=3,prepared=1");
    expect_failure(&result, 2, "prepared=1 is for the forward pass");
    command_free(&result);
    result = command_ocelli(NULL, "bench", "nothing");
    expect_failure(&result, 2, "nothing");
    command_free(&result);
    result = command_ocelli(NULL, "bench", "conv", "mnist");
    expect_failure(&result, 2, "conv takes no network");
    command_free(&result);
}

#define EXPECT_WRONG(text, ...)                                                                    \
    do {                                                                                           \
        command_result wrong_ = command_ocelli(NULL, "bench", __VA_ARGS__);                        \
        expect_failure(&wrong_, 2, text);                                                          \
        command_free(&wrong_);                                                                     \
    } while (0)

Test(cli_bench_options, options_that_exclude_each_other) {
    EXPECT_WRONG("in --shape it is n", "conv", "--shape", "h=8,c=3,k=4,r=3", "--batch", "2");
    EXPECT_WRONG("in --shape it is n", "pool", "--shape", "h=8,c=3,window=2", "--batch", "2");
    EXPECT_WRONG("in --shape it is m", "gemm", "--shape", "m=8,n=3,k=4", "--batch", "2");
    EXPECT_WRONG("--pass", "gemm", "--shape", "m=8,n=3,k=4", "--pass", "fwd");
    EXPECT_WRONG("--first-step measures nothing", "train", "mnist", "--first-step", "--json");
    EXPECT_WRONG("--first-step measures nothing", "train", "mnist", "--first-step", "--repeat",
                 "2");
    EXPECT_WRONG("does not divide the batch of 50", "train", "mnist", "--micro-batches", "7");
    EXPECT_WRONG("does not divide the batch of 3 ", "infer", "mnist", "--images", "3",
                 "--micro-batches", "2");
    static const char both[] = "--conv winograd and --winograd off exclude each other";
    EXPECT_WRONG(both, "train", "mnist", "--conv", "winograd", "--winograd", "off");
    EXPECT_WRONG(both, "startup", "--conv", "winograd", "--winograd", "off");
    EXPECT_WRONG(both, "conv", "--conv", "winograd", "--winograd", "off");
}

/* What --help prints, with one blank wherever there are blanks or an end of line. */
static char *help_on_one_line(void) {
    command_result help = command_ocelli(NULL, "bench", "--help");
    char *line = calloc(1, help.out_size + 1), *end = line;
    cr_assert(line != NULL);
    for (const char *at = help.out; *at != '\0'; at++) {
        const bool is_blank = *at == ' ' || *at == '\n';
        if (!is_blank || (end > line && end[-1] != ' '))
            *end++ = is_blank ? ' ' : *at;
    }
    command_free(&help);
    return line;
}

/* Every option with every kind: it is served, as the help says, or refused by name. */
Test(cli_bench_options, options_that_a_kind_does_not_have) {
    static const char *const kinds[] = {"peak", "train", "infer",  "conv",
                                        "gemm", "pool",  "startup"};
    static const struct {
        const char *option, *value, *served;
    } options[] = {
        {"shape", "m=1", "conv, gemm, pool"},
        {"pass", "fwd", "conv, gemm, pool"},
        {"kind", "max", "pool"},
        {"batch", "2", "train, infer, conv, gemm, pool, startup"},
        {"micro-batches", "1", "train, infer, startup"},
        {"conv", "naive", "train, infer, conv, startup"},
        {"gemm", "naive", "train, infer, conv, gemm, startup"},
        {"winograd", "on", "train, infer, conv, startup"},
        {"images", "3", "infer"},
        {"first-step", NULL, "train"},
    };
    char *help = help_on_one_line();
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        char option[32], message[160];
        snprintf(option, sizeof option, "--%s", options[i].option);
        snprintf(message, sizeof message, "(for %s", options[i].served);
        const char *text_of = strstr(help, option), *note = NULL;
        cr_assert(text_of != NULL, "the help has no %s", option);
        note = strchr(strchr(text_of, ' '), '(');
        while (note != NULL && strncmp(note, "(for ", 5) != 0)
            note = strchr(note + 1, '(');
        cr_expect(note != NULL && strncmp(note, message, strlen(message)) == 0 &&
                      strchr(";)", note[strlen(message)]) != NULL,
                  "%s: the help says \"%.60s\"", option, note != NULL ? note : "");
        for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
            if (strstr(options[i].served, kinds[kind]) != NULL)
                continue;
            const bool needs_network = kind == 1 || kind == 2;
            const char *words[8] = {command_ocelli_path(), "bench", kinds[kind]};
            int count = 3;
            if (needs_network)
                words[count++] = "mnist";
            words[count++] = option;
            words[count] = options[i].value;
            snprintf(message, sizeof message, "%s has no %s, which is for %s (see", kinds[kind],
                     option, options[i].served);
            command_result result = command_run(words, NULL, NULL);
            expect_failure(&result, 2, message);
            command_free(&result);
        }
    }
    free(help);
}
