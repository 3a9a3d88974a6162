/* ocelli tune: measures which algorithms and configurations are the fastest, and remembers them. */
#include "cli/bench.h"
#include "cli/json.h"
#include "cli/open_device.h"
#include "cli/verbs.h"

#include <ocelli/tune.h>

#include <inttypes.h>

/* The shapes are those of `ocelli bench`, which reads them from the head of this record. */
typedef struct tune_values {
    bench_values bench;
    const char *export_to, *import_from;
    double seconds;
    bool dry_run;
} tune_values;

typedef struct tune_session {
    const tune_values *given;
    oce_device *device;
    bool convolutions, products;
    json_t *rows; /* NULL: print lines */
    int kept, tuned;
} tune_session;

enum { PASS_ALL, PASS_FORWARD, PASS_INPUT_GRAD, PASS_FILTER_GRAD };
static const char *const passes[] = {"all", "fwd", "dgrad", "wgrad", NULL};
static const oce_pass pass_of[] = {OCE_PASS_ALL, OCE_PASS_FORWARD, OCE_PASS_INPUT_GRAD,
                                   OCE_PASS_FILTER_GRAD};
static const char *const subjects[] = {"mnist", "cifar10", "conv", "gemm", NULL};
enum { MNIST, CIFAR10, CONV, GEMM };
static const char *const switches[] = {"on", "off", NULL};

static const cli_option options[] = {
    CLI_DEVICE_OPTION(tune_values, bench.device),
    {"shape", "KEY=N,...", CLI_STRING(tune_values, bench.shape),
     .help = "conv, gemm: your own shape, written as for ocelli bench"},
    {"pass", NULL, CLI_CHOICE(tune_values, bench.pass), .choices = passes, .initial = "all",
     .help = "forward, the gradient of the input, or that of the filter or weights"},
    {"batch", "N", CLI_INT(tune_values, bench.model.batch), .min = 1, .max = 1 << 20,
     .shown_initial = "that of the network's training",
     .help = "images at a time, for the networks' shapes: an entry counts for this number only"},
    {"winograd", NULL, CLI_CHOICE(tune_values, bench.model.winograd), .choices = switches,
     .initial = "on", .help = "off: do not try it"},
    {"seconds", "S", CLI_REAL(tune_values, seconds), .initial = "0.1", .low = 0, .high = 60,
     .above_low = true,
     .help = "time for each candidate; the best and the library's own choice get ten times as "
             "much"},
    {"dry-run", NULL, CLI_FLAG(tune_values, dry_run), .help = "remember nothing"},
    {"export", "FILE", CLI_STRING(tune_values, export_to),
     .help = "write what is known of the device to a file to share; without a subject, only that"},
    {"import", "FILE", CLI_STRING(tune_values, import_from),
     .help = "add what such a file knows, of all devices; without a subject, only that"},
    CLI_QUIET_OPTION(tune_values, bench.quiet),
    CLI_JSON_OPTION(tune_values, bench.json),
    {0},
};

/* ---- Reporting ------------------------------------------------------------------------------ */

static void print_result(const char *what, const char *pass, const oce_tune_result *r) {
    char rule[32], best[32];
    printf("%s%s%s: ", what, pass[0] != '\0' ? " " : "", pass);
    if (r->best[0] == '\0')
        printf("%s stays, nothing else works", r->rule);
    else if (r->rule_seconds <= 0)
        printf("%s, for the library's choice %s is wrong", r->best, r->rule);
    else if (r->is_kept)
        printf("%s, %s, instead of %s, %s", r->best,
               bench_time_text(r->best_seconds, best, sizeof best), r->rule,
               bench_time_text(r->rule_seconds, rule, sizeof rule));
    else
        printf("%s stays, %s", r->rule, bench_time_text(r->rule_seconds, rule, sizeof rule));
    printf(" (%d tried", r->candidates);
    if (r->dropped > 0)
        printf(", %d wrong: %s", r->dropped, r->fault);
    puts(")");
    fflush(stdout);
}

static oce_status report(tune_session *s, const char *what, const char *pass,
                         const oce_tune_result *r) {
    s->tuned++;
    s->kept += r->is_kept;
    if (s->rows != NULL)
        json_array_append_new(
            s->rows, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:b, s:i, s:i, s:s}", "shape", what,
                               "pass", pass, "rule", r->rule, "best", r->best, "rule_seconds",
                               r->rule_seconds, "best_seconds", r->best_seconds, "kept", r->is_kept,
                               "tried", r->candidates, "wrong", r->dropped, "fault", r->fault));
    else
        print_result(what, pass, r);
    return OCE_OK;
}

/* ---- Tuning --------------------------------------------------------------------------------- */

static bool is_wanted(const tune_session *s, int pass) {
    return s->given->bench.pass == PASS_ALL || s->given->bench.pass == pass;
}

static oce_tune_options tune_options(const tune_session *s) {
    return (oce_tune_options){.seconds = s->given->seconds};
}

static oce_status tune_conv(tune_session *s, const char *name, const oce_conv2d_desc *desc,
                            bool is_first) {
    const oce_tune_options time = tune_options(s);
    char window[96], what[192];
    bench_window_text(&desc->window, window, sizeof window);
    snprintf(what, sizeof what,
             "%.60s%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 ", %s to %" PRId64, name,
             desc->batch, desc->height, desc->width, desc->channels, window, desc->filters);
    for (int pass = PASS_FORWARD; pass <= PASS_FILTER_GRAD; pass++) {
        oce_tune_result result;
        if (!is_wanted(s, pass) || (is_first && pass == PASS_INPUT_GRAD))
            continue;
        const oce_status status = oce_tune_conv2d(s->device, desc, pass_of[pass], &time, &result);
        if (status != OCE_OK)
            return status;
        report(s, what, passes[pass], &result);
    }
    return OCE_OK;
}

static oce_status tune_gemm(tune_session *s, const char *name, const char *pass,
                            const oce_gemm_desc *desc) {
    const oce_tune_options time = tune_options(s);
    char what[192];
    oce_tune_result result;
    snprintf(what, sizeof what, "%.60s%" PRId64 "x%" PRId64 "x%" PRId64 "%s%s", name, desc->m,
             desc->n, desc->k, desc->transpose_a ? " A^T" : "", desc->transpose_b ? " B^T" : "");
    const oce_status status = oce_tune_gemm(s->device, desc, &time, &result);
    return status == OCE_OK ? report(s, what, pass, &result) : status;
}

static oce_status tune_dense(tune_session *s, const char *name, const bench_layer *at) {
    const int64_t inputs = at->height * at->width * at->channels, units = at->layer->units;
    const oce_gemm_desc descs[] = {{.m = at->batch, .n = units, .k = inputs},
                                   {.m = at->batch, .n = inputs, .k = units, .transpose_b = true},
                                   {.m = inputs, .n = units, .k = at->batch, .transpose_a = true}};
    for (int pass = PASS_FORWARD; pass <= PASS_FILTER_GRAD; pass++) {
        if (!is_wanted(s, pass))
            continue;
        const oce_status status = tune_gemm(s, name, passes[pass], &descs[pass - PASS_FORWARD]);
        if (status != OCE_OK)
            return status;
    }
    return OCE_OK;
}

static oce_status visit(void *context, const bench_layer *at) {
    tune_session *s = context;
    char name[64];
    snprintf(name, sizeof name, "%.60s ", at->layer->name);
    if (at->layer->kind == OCE_LAYER_DENSE && s->products)
        return tune_dense(s, name, at);
    if (at->layer->kind != OCE_LAYER_CONV2D || !s->convolutions)
        return OCE_OK;
    const oce_conv2d_desc desc = {.batch = at->batch,
                                  .height = at->height,
                                  .width = at->width,
                                  .channels = at->channels,
                                  .filters = at->layer->units,
                                  .window = at->layer->window,
                                  .activation = at->layer->activation,
                                  .no_winograd =
                                      s->given->bench.model.winograd == CLI_WINOGRAD_OFF};
    return tune_conv(s, name, &desc, at->is_first);
}

/* Tunes a subject, -1: both networks. */
static oce_status tune(tune_session *s, const cli_call *call, int subject) {
    oce_conv2d_desc conv;
    oce_gemm_desc gemm;
    oce_status status = OCE_OK;
    s->convolutions = subject != GEMM;
    s->products = subject != CONV;
    if (s->given->bench.shape != NULL && subject == CONV)
        return bench_conv_shape(call, &conv) ? tune_conv(s, "", &conv, false) : OCE_OK;
    if (s->given->bench.shape != NULL && subject == GEMM)
        return bench_gemm_shape(call, &gemm) ? tune_gemm(s, "", "", &gemm) : OCE_OK;
    if (subject != CIFAR10)
        status = bench_visit_layers("mnist", s->given->bench.model.batch, visit, s);
    if (subject != MNIST && status == OCE_OK)
        status = bench_visit_layers("cifar10", s->given->bench.model.batch, visit, s);
    return status;
}

/* ---- The verb ------------------------------------------------------------------------------- */

static oce_status work(tune_session *s, const cli_call *call, int subject) {
    const tune_values *given = s->given;
    oce_status status = OCE_OK;
    if (given->import_from != NULL)
        status = oce_tune_import(s->device, given->import_from);
    const bool only_files = subject < 0 && (given->import_from != NULL || given->export_to != NULL);
    if (status == OCE_OK && !only_files)
        status = tune(s, call, subject);
    if (status == OCE_OK && !only_files && !given->dry_run && s->tuned > 0)
        status = oce_tune_save(s->device);
    if (status == OCE_OK && given->export_to != NULL)
        status = oce_tune_export(s->device, given->export_to);
    return status;
}

/* Whether the words of the command line go together; false after a usage error. */
static bool check_call(const cli_call *call, int subject) {
    const tune_values *given = call->options;
    oce_conv2d_desc conv;
    oce_gemm_desc gemm;
    if (given->bench.shape == NULL)
        return true;
    if (subject == GEMM && given->bench.pass != PASS_ALL) {
        cli_usage_error(call->verb, "a product has no --pass; ta=1 and tb=1 transpose");
        return false;
    }
    if (subject == CONV)
        return bench_conv_shape(call, &conv);
    if (subject == GEMM)
        return bench_gemm_shape(call, &gemm);
    cli_usage_error(call->verb, "--shape is for conv or gemm");
    return false;
}

static int run(const cli_call *call) {
    const tune_values *given = call->options;
    tune_session s = {.given = given};
    int subject = -1;
    if (call->operand_count > 0) {
        subject = cli_choose(call->verb, "subject", subjects, call->operands[0]);
        if (subject < 0)
            return CLI_USAGE;
    }
    if (!check_call(call, subject))
        return CLI_USAGE;
    if (cli_open_device(given->bench.device, given->bench.quiet || given->bench.json, &s.device) !=
        OCE_OK)
        return cli_failure();
    if (given->bench.json)
        s.rows = json_array();
    int code = work(&s, call, subject) == OCE_OK ? CLI_SUCCESS : cli_failure();
    if (code == CLI_SUCCESS && given->bench.json)
        code = cli_json_print(json_pack("{s:O}", "tuned", s.rows));
    else if (code == CLI_SUCCESS && s.tuned > 0 && !given->bench.quiet)
        printf("%d of %d faster than by the library's rules%s\n", s.kept, s.tuned,
               given->dry_run ? "; nothing was remembered" : "");
    json_decref(s.rows);
    oce_device_close(s.device);
    return code;
}

const cli_verb cli_verb_tune = {
    .name = "tune",
    .operands = "[mnist|cifar10|conv|gemm]",
    .min_operands = 0,
    .max_operands = 1,
    .summary = "finds the fastest algorithms for a device and remembers them",
    .description =
        "Measures the algorithms and their configurations at the shapes of a network's training, "
        "of all its convolutions (conv) or products (gemm), or at your own; without a subject at "
        "those of both networks. Results that are off are dropped, and the best is kept only if it "
        "is faster than the library's own choice when the two run in turns.\n\n"
        "What is kept goes to $OCELLI_TUNING, else $XDG_CONFIG_HOME/ocelli/tuning.json, else "
        "~/.config/ocelli/tuning.json, and counts for this device and driver version from then on. "
        "OCELLI_TUNING=off leaves it out of account.",
    .options = options,
    .options_bytes = sizeof(tune_values),
    .run = run,
};
