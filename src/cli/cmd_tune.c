/* ocelli tune: measures which algorithms and configurations are the fastest, and remembers them. */
#include "cli/bench.h"
#include "cli/json.h"
#include "cli/open_device.h"
#include "cli/progress.h"
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
    const oce_network *network; /* being visited */
    json_t *rows;               /* NULL: print lines */
    json_t *imported, *exported;
    int kept, tuned, pooled, wrong;
    char first_wrong[256];
} tune_session;

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
     .help =
         "images at a time, for the networks' shapes, as training and as inference have them: an "
         "entry counts for this number only"},
    {"winograd", NULL, CLI_CHOICE(tune_values, bench.model.winograd), .choices = switches,
     .initial = "on",
     .help = "off: of convolutions without it, as training with --winograd off plans them; they "
             "have entries of their own"},
    {"seconds", "S", CLI_REAL(tune_values, seconds), .initial = "0.1", .low = 0, .high = 60,
     .above_low = true,
     .help = "time for each candidate; the best and the library's own choice get ten times as "
             "much"},
    {"dry-run", NULL, CLI_FLAG(tune_values, dry_run), .help = "write nothing into the tuning file"},
    {"export", "FILE", CLI_STRING(tune_values, export_to),
     .help = "write what is known of the device to a file to share; without a subject, only that. "
             "Knowing nothing of it is an error"},
    {"import", "FILE", CLI_STRING(tune_values, import_from),
     .help = "add what such a file knows, of all devices; without a subject, only that. Entries "
             "that this version does not understand are left out"},
    CLI_QUIET_OPTION(tune_values, bench.quiet),
    CLI_JSON_OPTION(tune_values, bench.json),
    {0},
};

/* ---- Reporting ------------------------------------------------------------------------------ */

static void print_verdict(const oce_tune_result *r) {
    char rule[32], best[32];
    if (r->is_pooled)
        printf("%s computes it together with its max pool, by the library's rule", r->rule);
    else if (r->best[0] == '\0' && r->rule_is_wrong)
        printf("the library's choice %s is wrong, and nothing else works", r->rule);
    else if (r->best[0] == '\0')
        printf("%s stays, nothing else works", r->rule);
    else if (r->rule_is_wrong)
        printf("%s, for the library's choice %s is wrong", r->best, r->rule);
    else if (r->is_kept)
        printf("%s, %s, instead of %s, %s", r->best,
               bench_time_text(r->best_seconds, best, sizeof best), r->rule,
               bench_time_text(r->rule_seconds, rule, sizeof rule));
    else
        printf("%s stays, %s", r->rule, bench_time_text(r->rule_seconds, rule, sizeof rule));
}

static void print_result(const char *what, const char *pass, const oce_tune_result *r) {
    printf("%s%s%s: ", what, pass[0] != '\0' ? " " : "", pass);
    print_verdict(r);
    if (r->is_pooled)
        printf(" (not tuned");
    else
        printf(" (%d tried", r->candidates);
    if (r->dropped > 0)
        printf(", %d wrong: %s", r->dropped, r->fault);
    if (r->best[0] == '\0' && r->passed_over[0] != '\0')
        printf("; passed over: %s", r->passed_over);
    puts(")");
    fflush(stdout);
}

static void add_row(tune_session *s, const char *what, const char *pass, const oce_tune_result *r) {
    json_array_append_new(
        s->rows,
        json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:b, s:i, s:i, s:s, s:b, s:b, s:s}", "shape",
                  what, "pass", pass, "rule", r->rule, "best", r->best, "rule_seconds",
                  r->rule_seconds, "best_seconds", r->best_seconds, "kept", r->is_kept, "tried",
                  r->candidates, "wrong", r->dropped, "fault", r->fault, "rule_is_wrong",
                  r->rule_is_wrong, "pooled", r->is_pooled, "passed_over", r->passed_over));
}

/* Each result is saved at once: whatever ends the run later, it stays. */
static oce_status report(tune_session *s, const char *what, const char *pass,
                         const oce_tune_result *r) {
    const oce_status status = s->given->dry_run ? OCE_OK : oce_tune_save(s->device);
    if (status != OCE_OK)
        return status;
    s->tuned += !r->is_pooled;
    s->pooled += r->is_pooled;
    s->kept += r->is_kept;
    if (r->rule_is_wrong && s->wrong++ == 0)
        snprintf(s->first_wrong, sizeof s->first_wrong, "%s of %.120s%s%s", r->rule, what,
                 pass[0] != '\0' ? " " : "", pass);
    if (s->rows != NULL)
        add_row(s, what, pass, r);
    else
        print_result(what, pass, r);
    return OCE_OK;
}

/* What went into a file: as JSON, or as a line. */
static json_t *report_copied(const tune_session *s, const char *verb, const char *path,
                             const oce_tune_copied *c) {
    if (s->rows != NULL)
        return json_pack("{s:s, s:i, s:i, s:i, s:i, s:s}", "file", path, "entries", c->entries,
                         "devices", c->devices, "for_device", c->for_device, "left_out",
                         c->left_out, "fault", c->fault);
    if (!s->given->bench.quiet)
        printf("%d %s of %d %s, %d for this one, %s %s\n", c->entries,
               c->entries == 1 ? "entry" : "entries", c->devices,
               c->devices == 1 ? "device" : "devices", c->for_device, verb, path);
    if (c->left_out > 0)
        cli_progress_line(stderr, "ocelli: warning: %d left out that are not understood: %s",
                          c->left_out, c->fault);
    return NULL;
}

/* ---- Tuning --------------------------------------------------------------------------------- */

static bool is_wanted(const tune_session *s, int pass) {
    return s->given->bench.pass == PASS_ALL || s->given->bench.pass == pass;
}

static oce_tune_options tune_options(const tune_session *s) {
    return (oce_tune_options){.seconds = s->given->seconds};
}

/* pool: of the max pool that alone reads Y; NULL: none. */
static oce_status tune_conv(tune_session *s, const char *name, const oce_conv2d_desc *desc,
                            bool is_first, const oce_window *pool) {
    const oce_tune_options time = tune_options(s);
    for (int pass = PASS_FORWARD; pass <= PASS_FILTER_GRAD; pass++) {
        oce_tune_result result;
        char shape[BENCH_CONV_TEXT], what[BENCH_CONV_TEXT + 64];
        if (!is_wanted(s, pass) || (is_first && pass == PASS_INPUT_GRAD) ||
            (desc->keeps_filter && pass != PASS_FORWARD))
            continue;
        const oce_status status =
            pool != NULL
                ? oce_tune_conv2d_pooled(s->device, desc, pool, pass_of[pass], &time, &result)
                : oce_tune_conv2d(s->device, desc, pass_of[pass], &time, &result);
        if (status != OCE_OK)
            return status;
        bench_conv_text(desc, result.images, shape, sizeof shape);
        snprintf(what, sizeof what, "%.63s%s", name, shape);
        const oce_status reported = report(s, what, passes[pass], &result);
        if (reported != OCE_OK)
            return reported;
    }
    return OCE_OK;
}

static oce_status tune_gemm(tune_session *s, const char *name, const char *pass,
                            const oce_gemm_desc *desc) {
    const oce_tune_options time = tune_options(s);
    char shape[BENCH_GEMM_TEXT], what[BENCH_GEMM_TEXT + 64];
    oce_tune_result result;
    bench_gemm_text(desc, shape, sizeof shape);
    snprintf(what, sizeof what, "%.63s%s", name, shape);
    const oce_status status = oce_tune_gemm(s->device, desc, &time, &result);
    return status == OCE_OK ? report(s, what, pass, &result) : status;
}

static oce_status tune_dense(tune_session *s, const char *name, const bench_layer *at) {
    const oce_dense_desc dense = bench_dense(s->device, at, OCE_GEMM_AUTO);
    for (int pass = PASS_FORWARD; pass <= PASS_FILTER_GRAD; pass++) {
        if (!is_wanted(s, pass))
            continue;
        const oce_gemm_desc desc = oce_dense_product(&dense, pass_of[pass]);
        const oce_status status = tune_gemm(s, name, passes[pass], &desc);
        if (status != OCE_OK)
            return status;
    }
    return OCE_OK;
}

/* The window of the max pool behind a layer, or NULL. */
static const oce_window *pool_behind(const tune_session *s, const oce_layer *layer) {
    const oce_layer *next = layer + 1, *end = s->network->layers + s->network->layer_count;
    return next != end && next->kind == OCE_LAYER_MAX_POOL ? &next->window : NULL;
}

static oce_status visit(void *context, const bench_layer *at) {
    tune_session *s = context;
    char name[64];
    snprintf(name, sizeof name, "%.60s ", at->layer->name);
    if (at->layer->kind == OCE_LAYER_DENSE && s->products)
        return tune_dense(s, name, at);
    if (at->layer->kind != OCE_LAYER_CONV2D || !s->convolutions)
        return OCE_OK;
    oce_conv2d_desc desc = bench_conv(at, &s->given->bench);
    const oce_status status = tune_conv(s, name, &desc, at->is_first, pool_behind(s, at->layer));
    if (status != OCE_OK || s->given->bench.model.batch == 0) /* the batch is training's own */
        return status;
    desc.keeps_filter = true; /* as inference has it */
    return tune_conv(s, name, &desc, at->is_first, pool_behind(s, at->layer));
}

static oce_status tune_network(tune_session *s, const char *name) {
    s->network = oce_network_find(name);
    return bench_visit_layers(name, s->given->bench.model.batch, visit, s);
}

/* Tunes a subject, -1: both networks. */
static oce_status tune(tune_session *s, const cli_call *call, int subject) {
    oce_conv2d_desc conv;
    oce_gemm_desc gemm;
    oce_status status = OCE_OK;
    s->convolutions = subject != GEMM;
    s->products = subject != CONV;
    if (s->given->bench.shape != NULL && subject == CONV)
        return bench_conv_shape(call, &conv) ? tune_conv(s, "", &conv, false, NULL) : OCE_OK;
    if (s->given->bench.shape != NULL && subject == GEMM)
        return bench_gemm_shape(call, &gemm) ? tune_gemm(s, "", "", &gemm) : OCE_OK;
    if (subject != CIFAR10)
        status = tune_network(s, "mnist");
    if (subject != MNIST && status == OCE_OK)
        status = tune_network(s, "cifar10");
    return status;
}

/* ---- The verb ------------------------------------------------------------------------------- */

/* Measuring takes minutes: what would fail behind it fails before. */
static oce_status check_files(const tune_session *s, bool only_files) {
    const tune_values *given = s->given;
    oce_status status = OCE_OK;
    if (given->import_from != NULL || (!only_files && !given->dry_run))
        status = oce_tune_check(NULL);
    if (status == OCE_OK && given->export_to != NULL)
        status = oce_tune_check(given->export_to);
    return status;
}

static oce_status work(tune_session *s, const cli_call *call, int subject) {
    const tune_values *given = s->given;
    const bool only_files = subject < 0 && (given->import_from != NULL || given->export_to != NULL);
    oce_tune_copied copied;
    oce_status status = check_files(s, only_files);
    if (status == OCE_OK && given->import_from != NULL) {
        status = oce_tune_import(s->device, given->import_from, &copied);
        if (status == OCE_OK)
            s->imported = report_copied(s, "imported from", given->import_from, &copied);
    }
    if (status == OCE_OK && !only_files)
        status = tune(s, call, subject);
    if (status == OCE_OK && given->export_to != NULL) {
        status = oce_tune_export(s->device, given->export_to, &copied);
        if (status == OCE_OK)
            s->exported = report_copied(s, "exported to", given->export_to, &copied);
    }
    return status;
}

/* What does not go together whatever the shape is; false after a usage error. */
static bool check_options(const cli_call *call, int subject) {
    const tune_values *given = call->options;
    const bool has_shape = given->bench.shape != NULL;
    if (given->dry_run && given->import_from != NULL)
        cli_usage_error(call->verb, "--import writes into the tuning file, --dry-run forbids it");
    else if (subject == GEMM && cli_given(call, "winograd"))
        cli_usage_error(call->verb, "--winograd is for convolutions, not for gemm%s",
                        has_shape ? " --shape" : "");
    else if (has_shape && cli_given(call, "batch"))
        cli_usage_error(call->verb, "--batch is for the networks' shapes: --shape has its own, %s",
                        subject == GEMM ? "m" : "n");
    else if (subject == GEMM && has_shape && given->bench.pass != PASS_ALL)
        cli_usage_error(call->verb, "a product has no --pass; ta=1 and tb=1 transpose");
    else
        return true;
    return false;
}

/* Whether the words of the command line go together; false after a usage error. */
static bool check_call(const cli_call *call, int subject) {
    const tune_values *given = call->options;
    oce_conv2d_desc conv;
    oce_gemm_desc gemm;
    if (!check_options(call, subject))
        return false;
    if (given->bench.shape == NULL)
        return true;
    if (subject == CONV)
        return bench_conv_shape(call, &conv);
    if (subject == GEMM)
        return bench_gemm_shape(call, &gemm);
    cli_usage_error(call->verb, "--shape is for conv or gemm");
    return false;
}

/* Where the results are, if they are anywhere. */
static const char *saved_in(const tune_session *s, char *path, size_t bytes) {
    const bool is_saved = s->tuned > 0 && !s->given->dry_run;
    return is_saved && oce_tune_path(path, bytes) == OCE_OK ? path : NULL;
}

static void print_summary(const tune_session *s) {
    char path[4096];
    const char *saved = saved_in(s, path, sizeof path);
    printf("%d of %d faster than by the library's rules", s->kept, s->tuned);
    if (s->pooled > 0)
        printf(", %d more not tuned", s->pooled);
    if (saved != NULL)
        printf(s->kept > 0 ? ", remembered in %s\n" : "; nothing new for %s\n", saved);
    else
        puts("; nothing was remembered");
}

static int print_json(tune_session *s) {
    char path[4096];
    return cli_json_print(json_pack("{s:O, s:s?, s:i, s:i, s:i, s:O?, s:O?}", "tuned", s->rows,
                                    "file", saved_in(s, path, sizeof path), "kept", s->kept,
                                    "not_tuned", s->pooled, "rule_is_wrong", s->wrong, "imported",
                                    s->imported, "exported", s->exported));
}

/* Prints what is to be said at the end; returns the exit code. */
static int finish(tune_session *s, oce_status status) {
    const bool has_results = s->tuned + s->pooled > 0;
    int code = status == OCE_OK ? CLI_SUCCESS : cli_failure();
    char path[4096];
    cli_print_notices(s->device);
    if (s->rows != NULL && (status == OCE_OK || has_results)) {
        const int printed = print_json(s);
        code = code == CLI_SUCCESS ? printed : code;
    } else if (has_results && !s->given->bench.quiet && status == OCE_OK) {
        print_summary(s);
    }
    if (status != OCE_OK && s->kept > 0 && saved_in(s, path, sizeof path) != NULL)
        fprintf(stderr, "ocelli: the %d found faster before are remembered in %s\n", s->kept, path);
    if (s->wrong > 0)
        code = cli_error("WRONG RESULTS: the library's own choice is off for %d of %d on this "
                         "device, first %s: run \"ocelli selftest\" and report it",
                         s->wrong, s->tuned, s->first_wrong);
    return code;
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
    const int code = finish(&s, work(&s, call, subject));
    json_decref(s.rows);
    json_decref(s.imported);
    json_decref(s.exported);
    cli_close_device(s.device, false, true);
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
        "is faster than the library's own choice when the two run in turns. A forward pass that "
        "the library's rule computes together with the max pool behind it is not tuned, and never "
        "given up for an entry; on CPUs its gradients may be computed, and are then tuned, for a "
        "part of the batch at a time.\n\n"
        "If the library's own choice is off, a message says so and the exit code is 1, though what "
        "was right instead is remembered.\n\n"
        "What is kept goes, result by result, to $OCELLI_TUNING, else "
        "$XDG_CONFIG_HOME/ocelli/tuning.json, else "
        "~/.config/ocelli/tuning.json, and counts for this device and driver version from then on. "
        "OCELLI_TUNING=off leaves it out of account.",
    .options = options,
    .options_bytes = sizeof(tune_values),
    .run = run,
};
