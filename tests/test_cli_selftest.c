/* ocelli selftest: a device that works passes; kernels that compute wrongly, do not write, or do
 * not build are found. The faults are in copies of the kernels, read through OCELLI_KERNELS. */
#include "support/command.h"
#include "support/device.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy of cl/ in which `file` has `replacement` instead of the first `text`. */
static char *faulty_kernels(const char *file, const char *text, const char *replacement) {
    char *folder = scratch_create();
    DIR *kernels = opendir("cl");
    cr_assert(kernels != NULL, "there is no folder cl here");
    for (struct dirent *entry; (entry = readdir(kernels)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char path[512];
        size_t size = 0;
        snprintf(path, sizeof path, "cl/%s", entry->d_name);
        char *source = file_load(path, &size);
        char *place = strcmp(entry->d_name, file) == 0 ? strstr(source, text) : NULL;
        if (place == NULL) {
            scratch_write(folder, entry->d_name, source, size);
        } else {
            char *changed = malloc(size + strlen(replacement) + 1);
            cr_assert(changed != NULL);
            const size_t before = (size_t)(place - source);
            memcpy(changed, source, before);
            strcpy(changed + before, replacement);
            strcat(changed, place + strlen(text));
            scratch_write_text(folder, entry->d_name, changed);
            free(changed);
        }
        cr_assert(place != NULL || strcmp(entry->d_name, file) != 0, "%s has no \"%s\"", file,
                  text);
        free(source);
    }
    closedir(kernels);
    return folder;
}

/* Runs the quick form with the kernels of `folder` on the checks that hold `only`. */
static command_result run_with(const char *folder, const char *only) {
    char kernels[SCRATCH_PATH_BYTES + 32];
    snprintf(kernels, sizeof kernels, "OCELLI_KERNELS=%s", folder);
    const char *const environment[] = {kernels, NULL};
    return command_ocelli(environment, "selftest", "--quick", "--only", only);
}

static void skip_on_simulator(void) {
    if (test_is_small())
        cr_skip_test("the networks' shapes are too large for a simulator");
}

Test(cli_selftest, passes_on_a_device_that_works, .timeout = 300) {
    skip_on_simulator();
    command_result result = command_ocelli(NULL, "selftest", "--quick");
    cr_expect_eq(result.code, 0, "%s%s", result.out, result.err);
    cr_expect_str_eq(result.err, "");
    static const char *const parts[] = {"device:", "driver:", "limits:", " 0 failed",
                                        "verdict:  passed (quick form)\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_expect(strstr(result.out, parts[i]) != NULL, "no \"%s\" in:\n%s", parts[i], result.out);
    command_free(&result);
}

/* A driver that breaks loops off has limits that a bug report must name. */
Test(cli_selftest, tells_how_long_loops_may_be) {
    static const char *const capped[] = {"OCELLI_CAP=loops=1000", NULL};
    command_result result = command_ocelli(capped, "selftest", "--quick", "--only", "relu");
    cr_expect_eq(result.code, 0, "%s%s", result.out, result.err);
    cr_expect(strstr(result.out, ", loops of at most 600 rounds\n") != NULL, "%s", result.out);
    command_free(&result);
}

Test(cli_selftest, json_names_every_operation, .timeout = 300) {
    skip_on_simulator();
    command_result result =
        command_ocelli(NULL, "selftest", "--quick", "--json", "--only", "x1024");
    cr_assert_eq(result.code, 0, "%s%s", result.out, result.err);
    json_error_t error;
    json_t *root = json_loads(result.out, JSON_REJECT_DUPLICATES, &error);
    cr_assert(root != NULL, "line %d: %s\n%s", error.line, error.text, result.out);
    const json_t *checks = json_object_get(root, "checks");
    const json_t *summary = json_object_get(root, "summary");
    cr_expect_gt(json_array_size(checks), 0);
    cr_expect_eq((size_t)json_integer_value(json_object_get(summary, "passed")),
                 json_array_size(checks));
    bool has_dense = false;
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        cr_expect_str_eq(json_string_value(json_object_get(check, "outcome")), "passed");
        const char *operation = json_string_value(json_object_get(check, "operation"));
        has_dense = has_dense || strcmp(operation, "dense weight gradient") == 0;
    }
    cr_expect(has_dense);
    json_decref(root);
    command_free(&result);
}

static void expect_found(const char *file, const char *text, const char *replacement,
                         const char *only, const char *message) {
    skip_on_simulator();
    char *folder = faulty_kernels(file, text, replacement);
    command_result result = run_with(folder, only);
    cr_expect_eq(result.code, 1, "%s%s", result.out, result.err);
    cr_expect(strstr(result.out, "verdict:  FAILED") != NULL, "%s", result.out);
    cr_expect(strstr(result.out, message) != NULL, "no \"%s\" in:\n%s", message, result.out);
    command_free(&result);
    scratch_remove(folder);
}

Test(cli_selftest, finds_a_kernel_that_computes_wrongly, .timeout = 120) {
    expect_found("elementwise.cl", "x <= (type)(0)", "x <= (type)(-0.5f)", "relu, ",
                 "wrong, the first at [0,0,0,");
}

Test(cli_selftest, finds_a_kernel_that_does_not_build, .timeout = 120) {
    expect_found("pool.cl", "KERNEL void max_pool(", "KERNEL void max_pool(no_such_type type, ",
                 "max pool, ", "no_such_type");
}

Test(cli_selftest, finds_one_wrong_element_of_a_driver, .timeout = 120) {
    skip_on_simulator();
    static const char *const environment[] = {"OCELLI_FAULT=result=max_pool", NULL};
    command_result result =
        command_ocelli(environment, "selftest", "--quick", "--only", "28x28x32");
    cr_expect_eq(result.code, 1, "%s%s", result.out, result.err);
    cr_expect(strstr(result.out, "\nfailed  max pool, 4x28x28x32") != NULL, "%s", result.out);
    cr_expect(strstr(result.out, "1 of 25088 wrong, the first at [0,0,0,0]") != NULL, "%s",
              result.out);
    command_free(&result);
}

/* The weights of a dense layer as inference prepares them, where the kernels want that. */
Test(cli_selftest, finds_a_wrong_element_of_prepared_weights, .timeout = 120) {
    skip_on_simulator();
    static const char *const only[] = {"selftest", "--only", "50x3136 by 3136x1024, auto"};
    command_result right = command_ocelli(NULL, only[0], only[1], only[2]);
    cr_expect_eq(right.code, 0, "%s%s", right.out, right.err);
    static const char *const environment[] = {"OCELLI_FAULT=result=gemm_prepare", NULL};
    command_result wrong = command_ocelli(environment, only[0], only[1], only[2]);
    if (strstr(right.out, ", prepared") != NULL) {
        cr_expect_eq(wrong.code, 1);
        cr_expect(strstr(wrong.out,
                         "\nfailed  dense, 50x3136 by 3136x1024, auto: panel, prepared") != NULL,
                  "%s", wrong.out);
    }
    command_free(&right);
    command_free(&wrong);
}

/* As training has them. */
Test(cli_selftest, finds_a_wrong_element_of_weights_in_panels, .timeout = 120) {
    skip_on_simulator();
    static const char *const environment[] = {"OCELLI_DEVICE_CLASS=cpu",
                                              "OCELLI_FAULT=result=gemm_panel", NULL};
    command_result wrong = command_ocelli(environment, "selftest", "--quick", "--only", "panels");
    cr_expect_eq(wrong.code, 1);
    static const char *const failed[3] = {"\nfailed  dense, ", "\nfailed  dense input gradient, ",
                                          "\nfailed  dense weight gradient, "};
    for (int i = 0; i < 3; i++)
        cr_expect(strstr(wrong.out, failed[i]) != NULL, "%s: %s", failed[i], wrong.out);
    cr_expect(strstr(wrong.out, ", auto: panel, weights in panels: ") != NULL, "%s", wrong.out);
    command_free(&wrong);
}

/* Whole networks are compared too, and the first wrong layer is named. */
Test(cli_selftest, finds_a_wrong_training_step_and_wrong_answers, .timeout = 240) {
    static const char *const step[] = {"OCELLI_DEVICE_CLASS=cpu",
                                       "OCELLI_FAULT=result=bias_grad_total", NULL};
    static const char *const answer[] = {"OCELLI_DEVICE_CLASS=cpu",
                                         "OCELLI_FAULT=result=head_softmax", NULL};
    skip_on_simulator();
    command_result result =
        command_ocelli(step, "selftest", "--quick", "--only", "training step, loss, mnist");
    cr_expect_eq(result.code, 1, "%s%s", result.out, result.err);
    cr_expect(strstr(result.out, "\nfailed  training step, gradient, mnist, 4 images, conv1 bias: "
                                 "error ") != NULL,
              "%s", result.out);
    cr_expect(strstr(result.out, "furthest off at [0,0,0,0]: ") != NULL, "%s", result.out);
    command_free(&result);
    result = command_ocelli(answer, "selftest", "--quick", "--only", "answers, mnist");
    cr_expect_eq(result.code, 1, "%s%s", result.out, result.err);
    cr_expect(strstr(result.out, "\nfailed  answers, mnist, 4 images, 1 at a time: ") != NULL, "%s",
              result.out);
    cr_expect(strstr(result.out, "\nfailed  training step") == NULL, "%s", result.out);
    command_free(&result);
}

/* ---- The verdict ---------------------------------------------------------------------------- */

static void expect_verdict(const char *fault, const char *only, int code, const char *verdict) {
    char text[64];
    snprintf(text, sizeof text, "OCELLI_FAULT=%s", fault);
    const char *const environment[] = {text, NULL};
    skip_on_simulator();
    command_result result = command_ocelli(environment, "selftest", "--quick", "--only", only);
    cr_expect_eq(result.code, code, "%s: %s%s", fault, result.out, result.err);
    cr_expect(strstr(result.out, verdict) != NULL, "%s: no \"%s\" in:\n%s", fault, verdict,
              result.out);
    command_free(&result);
}

Test(cli_selftest, verdict_tells_wrong_results_builds_and_calls_apart, .timeout = 120) {
    expect_verdict("allocation=3", "order of the queue", 1,
                   "verdict:  FAILED: checks with other calls that failed (memory, say): 1. Please "
                   "report the text above\n");
    expect_verdict("build=softmax.cl,build=softmax_group.cl", "argmax, 50x10", 1,
                   "verdict:  FAILED: checks with programs that did not build: 4. Please report");
    expect_verdict("result=argmax", "argmax, 50x10", 1,
                   "verdict:  FAILED: checks with wrong results: 1. This device computes wrongly");
    expect_verdict("build=random.cl,result=relu", "transfers", 0,
                   "verdict:  passed (a part only)\n");
    expect_verdict("build=random.cl,result=relu", "100003, ", 1,
                   "verdict:  FAILED: checks with wrong results: 1; with programs that did not "
                   "build: 2. This device computes wrongly");
}

/* Convolution falls back to another family where one does not build. */
Test(cli_selftest, verdict_has_notices_of_what_was_passed_over, .timeout = 120) {
    static const char *const environment[] = {
        "OCELLI_DEVICE_CLASS=cpu",
        "OCELLI_FAULT=build=conv2d_winograd.cl,build=conv2d_winograd_few.cl", NULL};
    skip_on_simulator();
    command_result text =
        command_ocelli(environment, "selftest", "--quick", "--only", "4x14x14x32, 5x5");
    cr_expect_eq(text.code, 0, "%s%s", text.out, text.err);
    cr_expect(strstr(text.out, "\nnotice:   ") != NULL, "%s", text.out);
    cr_expect(strstr(text.out, "verdict:  passed (a part only), but see the notices\n") != NULL,
              "%s", text.out);
    cr_expect(strstr(text.err, "ocelli: warning: ") != NULL, "%s", text.err);
    command_free(&text);
    command_result json =
        command_ocelli(environment, "selftest", "--quick", "--only", "4x14x14x32, 5x5", "--json");
    json_t *root = json_loads(json.out, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(root != NULL, "%s", json.out);
    cr_expect_gt(json_array_size(json_object_get(root, "notices")), 0, "%s", json.out);
    json_decref(root);
    command_free(&json);
}

Test(cli_selftest, json_has_causes, .timeout = 120) {
    static const char *const environment[] = {"OCELLI_FAULT=allocation=3", NULL};
    command_result result = command_ocelli(environment, "selftest", "--quick", "--json", "--only",
                                           "order of the queue");
    json_t *root = json_loads(result.out, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(root != NULL, "%s", result.out);
    const json_t *check = json_array_get(json_object_get(root, "checks"), 0);
    const json_t *summary = json_object_get(root, "summary");
    cr_expect_str_eq(json_string_value(json_object_get(check, "cause")), "call");
    cr_expect_eq(json_integer_value(json_object_get(summary, "call_failures")), 1);
    cr_expect_eq(json_integer_value(json_object_get(summary, "wrong_results")), 0);
    cr_expect_eq(json_integer_value(json_object_get(summary, "build_failures")), 0);
    cr_expect_str_eq(json_string_value(json_object_get(summary, "verdict")),
                     "FAILED: checks with other calls that failed (memory, say): 1");
    json_decref(root);
    command_free(&result);
}

Test(cli_selftest, says_when_nothing_was_checked) {
    command_result result = command_ocelli(NULL, "selftest", "--quick", "--only", "no such thing");
    cr_expect_eq(result.code, 1);
    cr_expect(strstr(result.err, "no check that holds \"no such thing\" ran") != NULL, "%s",
              result.err);
    command_free(&result);
}
