/* ocelli selftest: does this device compute what it should? */
#include "cli/json.h"
#include "cli/open_device.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <ocelli/device.h>
#include <ocelli/selftest.h>

typedef struct selftest_values {
    const char *device, *only;
    bool quick, verbose, json;
} selftest_values;

static const cli_option options[] = {
    CLI_DEVICE_OPTION(selftest_values, device),
    {"quick", NULL, CLI_FLAG(selftest_values, quick),
     .help = "batches of at most 4 images, and only the algorithms that would be chosen: seconds "
             "instead of minutes"},
    {"only", "TEXT", CLI_STRING(selftest_values, only),
     .help = "only checks whose \"operation, shape, family\", as printed, holds this text"},
    {"verbose", NULL, CLI_FLAG(selftest_values, verbose), .help = "print every check"},
    CLI_JSON_OPTION(selftest_values, json),
    {0},
};

/* What the reports go to. */
typedef struct output {
    const selftest_values *given;
    json_t *checks, *notices; /* with --json */
} output;

static json_t *json_result(const oce_selftest_result *r) {
    json_t *object = json_object();
    json_object_set_new(object, "operation", cli_json_text(r->operation));
    json_object_set_new(object, "shape", cli_json_text(r->shape));
    json_object_set_new(object, "family", cli_json_text(r->family));
    json_object_set_new(object, "outcome", cli_json_text(oce_selftest_outcome_name(r->outcome)));
    json_object_set_new(object, "cause", cli_json_text(oce_selftest_cause_name(r->cause)));
    json_object_set_new(object, "message", cli_json_text(r->message));
    json_object_set_new(object, "error", cli_json_number(r->error));
    json_object_set_new(object, "bound", cli_json_number(r->bound));
    json_object_set_new(object, "count", json_integer(r->count));
    json_object_set_new(object, "wrong", json_integer(r->wrong));
    json_object_set_new(object, "seconds", cli_json_number(r->seconds));
    return object;
}

static void print_result(const oce_selftest_result *r) {
    printf("%-7s %s", oce_selftest_outcome_name(r->outcome), r->operation);
    if (r->shape[0] != '\0')
        printf(", %s", r->shape);
    if (r->family[0] != '\0')
        printf(", %s", r->family);
    if (r->count > 0)
        printf(": error %.2g of the largest (bound %.2g)", r->error, r->bound);
    if (r->outcome == OCE_SELFTEST_PASSED)
        printf("%s %.3f s", r->count > 0 ? "," : ":", r->seconds);
    else
        printf("%s %s", r->count > 0 ? ";" : ":", r->message);
    putchar('\n');
    fflush(stdout);
}

static void report(const oce_selftest_result *result, void *user) {
    const output *out = user;
    if (out->given->json) {
        json_array_append_new(out->checks, json_result(result));
        return;
    }
    if (out->given->verbose || result->outcome == OCE_SELFTEST_FAILED)
        print_result(result);
}

/* What a reader of a bug report needs to know about the device. */
static void print_device(const oce_device *device) {
    const oce_device_info *info = oce_device_get_info(device);
    const int64_t rounds = oce_device_loop_rounds(device);
    char memory[32], local[32], loops[64] = "";
    if (rounds < INT64_MAX)
        snprintf(loops, sizeof loops, ", loops of at most %lld rounds", (long long)rounds);
    printf("device:   %s (%s, selector %s)\n", info->name, oce_device_type_name(info->type),
           info->selector);
    printf("platform: %s, %s\n", info->platform_name, info->platform_vendor);
    printf("driver:   %s, %s\n", info->driver_version, info->device_version);
    printf("limits:   %u units, %s of memory, groups of %llu items, %s of local memory%s, vectors "
           "of %u floats%s\n",
           info->compute_units, cli_format_bytes(info->memory_bytes, memory, sizeof memory),
           (unsigned long long)info->max_work_group_size,
           cli_format_bytes(info->local_memory_bytes, local, sizeof local),
           info->local_memory_is_real ? "" : " (plain memory)", info->vector_width, loops);
}

/* What the device has to say, of programs that did not build and were passed over, for one: as
 * every verb says it, and in the report. Returns how many notices there were. */
static int report_notices(const output *out, oce_device *device) {
    int count = 0;
    for (const char *notice; (notice = oce_device_take_notice(device)) != NULL; count++) {
        cli_progress_line(stderr, "ocelli: warning: %s", notice);
        if (out->given->json)
            json_array_append_new(out->notices, cli_json_text(notice));
        else
            printf("notice:   %s\n", notice);
    }
    return count;
}

enum { VERDICT_BYTES = 256 };

static const char *verdict_of(const selftest_values *given, const oce_selftest_summary *s,
                              int notices, char text[VERDICT_BYTES]) {
    const struct {
        const char *name;
        long long count;
    } causes[] = {{"with wrong results", (long long)s->wrong_results},
                  {"with programs that did not build", (long long)s->build_failures},
                  {"with other calls that failed (memory, say)", (long long)s->call_failures}};
    size_t end = 0;
    if (s->failed == 0 && s->passed == 0)
        return "nothing was checked";
    if (s->failed == 0) {
        snprintf(text, VERDICT_BYTES, "passed%s%s",
                 given->only != NULL ? " (a part only)"
                 : given->quick      ? " (quick form)"
                                     : "",
                 notices > 0 ? ", but see the notices" : "");
        return text;
    }
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].count > 0)
            end += (size_t)snprintf(text + end, VERDICT_BYTES - end, "%s%s: %lld",
                                    end == 0 ? "FAILED: checks " : "; ", causes[i].name,
                                    causes[i].count);
    return text;
}

static void print_verdict(const char *verdict, const oce_selftest_summary *s) {
    printf("checks:   %lld passed, %lld failed, %lld skipped (a family that does not serve the "
           "shape or device), %.1f s\n",
           (long long)s->passed, (long long)s->failed, (long long)s->skipped, s->seconds);
    printf("verdict:  %s%s\n", verdict,
           s->wrong_results > 0 ? ". This device computes wrongly with this driver, or one of the "
                                  "kernels is wrong. Please report the text above"
           : s->failed > 0      ? ". Please report the text above"
                                : "");
}

static int print_json(const oce_device_info *info, const output *out, const char *verdict,
                      const oce_selftest_summary *s) {
    json_t *root = json_object(), *device = json_object(), *summary = json_object();
    json_object_set_new(device, "selector", cli_json_text(info->selector));
    json_object_set_new(device, "name", cli_json_text(info->name));
    json_object_set_new(device, "type", cli_json_text(oce_device_type_name(info->type)));
    json_object_set_new(device, "platform", cli_json_text(info->platform_name));
    json_object_set_new(device, "driver_version", cli_json_text(info->driver_version));
    json_object_set_new(device, "device_version", cli_json_text(info->device_version));
    json_object_set_new(summary, "passed", json_integer(s->passed));
    json_object_set_new(summary, "failed", json_integer(s->failed));
    json_object_set_new(summary, "skipped", json_integer(s->skipped));
    json_object_set_new(summary, "wrong_results", json_integer(s->wrong_results));
    json_object_set_new(summary, "build_failures", json_integer(s->build_failures));
    json_object_set_new(summary, "call_failures", json_integer(s->call_failures));
    json_object_set_new(summary, "verdict", cli_json_text(verdict));
    json_object_set_new(summary, "seconds", cli_json_number(s->seconds));
    json_object_set_new(root, "device", device);
    json_object_set_new(root, "checks", out->checks);
    json_object_set_new(root, "notices", out->notices);
    json_object_set_new(root, "summary", summary);
    return cli_json_print(root);
}

static int test(const selftest_values *given, oce_device *device) {
    const oce_device_info *info = oce_device_get_info(device);
    output out = {.given = given,
                  .checks = given->json ? json_array() : NULL,
                  .notices = given->json ? json_array() : NULL};
    const oce_selftest_options options_of_test = {
        .quick = given->quick, .only = given->only, .report = report, .user = &out};
    oce_selftest_summary summary;
    if (!given->json)
        print_device(device);
    if (oce_selftest(device, &options_of_test, &summary) != OCE_OK) {
        json_decref(out.checks);
        json_decref(out.notices);
        return cli_failure();
    }
    char text[VERDICT_BYTES];
    const int notices = report_notices(&out, device);
    const char *verdict = verdict_of(given, &summary, notices, text);
    int code = CLI_SUCCESS;
    if (given->json)
        code = print_json(info, &out, verdict, &summary);
    else
        print_verdict(verdict, &summary);
    if (summary.passed + summary.failed == 0)
        return cli_error("no check%s%s%s ran", given->only != NULL ? " that holds \"" : "",
                         given->only != NULL ? given->only : "", given->only != NULL ? "\"" : "");
    return summary.failed > 0 ? CLI_FAILURE : code;
}

static int run(const cli_call *call) {
    const selftest_values *given = call->options;
    oce_device *device = NULL;
    if (cli_open_device(given->device, true, &device) != OCE_OK)
        return cli_failure();
    const int code = test(given, device);
    cli_close_device(device, false, true);
    return code;
}

const cli_verb cli_verb_selftest = {
    .name = "selftest",
    .summary = "checks that a device computes what it should",
    .description =
        "Runs every operation of both networks at its real shape, in every algorithm that the "
        "device can run, and both as a whole, and compares the results with plain loops in C that "
        "accumulate in double precision. Allocation, transfers, the order of the queue, events, "
        "and that two equal training runs give the same bits are checked too. Prints what failed, "
        "and a verdict that can be pasted into a bug report: how many checks had wrong results, "
        "programs that did not build, other calls that failed.\n\n"
        "The exit code is 1 if a check failed.",
    .options = options,
    .options_bytes = sizeof(selftest_values),
    .run = run,
};
