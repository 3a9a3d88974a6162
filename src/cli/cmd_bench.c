/* ocelli bench: how fast the device is, and how much of that operations and networks use. */
#include "cli/bench.h"
#include "cli/json.h"
#include "cli/open_device.h"
#include "cli/verbs.h"

#include <string.h>

static const char *const passes[] = {"all", "fwd", "dgrad", "wgrad", NULL};
static const char *const pools[] = {"max", "average", NULL};
static const char *const kinds[] = {"peak", "train", "infer",   "conv",
                                    "gemm", "pool",  "startup", NULL};
enum kind { PEAK, TRAIN, INFER, CONV, GEMM, POOL, STARTUP };
static const char *const networks[] = {"mnist", "cifar10", NULL};

static const cli_option options[] = {
    CLI_DEVICE_OPTION(bench_values, device),
    {"shape", "KEY=N,...", CLI_STRING(bench_values, shape),
     .help =
         "an operation's own shape. conv: n, h, w, c (channels), k (filters), r, s (window), "
         "stride, dilation, padding=same|valid|N, prepared=1 (the filter, once, as for inference; "
         "fwd only); gemm: m, n, k, ta=1, tb=1 (transposed), prepared=1 (B), b_panel, c_panel "
         "(columns of the panels that B "
         "and C are stored in, as in training); pool: n, h, w, c, window, stride, padding. By "
         "default n is 1, w is h, s is r, strides and dilation are 1 (pool: the window), padding "
         "is same"},
    {"pass", NULL, CLI_CHOICE(bench_values, pass), .choices = passes, .initial = "all",
     .help = "forward, the gradient of the input, or that of the filter or weights"},
    {"kind", NULL, CLI_CHOICE(bench_values, pool), .choices = pools, .initial = "max",
     .help = "of a pooling of your own --shape"},
    CLI_MODEL_OPTIONS(bench_values, model),
    {"images", "N", CLI_INT(bench_values, images), .initial = "1000", .min = 1, .max = 1 << 20,
     .help = "how many are answered, --batch at once, by default at most 250"},
    {"repeat", "N", CLI_INT(bench_values, repeat), .min = 1, .max = 10000,
     .shown_initial = "as often as fits into half a second, at least 5",
     .help = "samples to take of every time; of the peak that others are compared with always as "
             "many as usual. startup: processes with filled caches, at most 1000, 5 by default"},
    {"first-step", NULL, CLI_FLAG(bench_values, first_step),
     .help = "stop after the first step, without measuring; startup does that"},
    CLI_QUIET_OPTION(bench_values, quiet),
    CLI_JSON_OPTION(bench_values, json),
    {0},
};

#define ON(kind) (1U << (kind))
#define OPERATIONS (ON(CONV) | ON(GEMM) | ON(POOL))
#define MODELS (ON(TRAIN) | ON(INFER) | ON(STARTUP))

/* What is not here serves all kinds. */
static const cli_serving servings[] = {
    {"shape", OPERATIONS},
    {"pass", OPERATIONS},
    {"kind", ON(POOL)},
    {"conv", MODELS | ON(CONV)},
    {"winograd", MODELS | ON(CONV)},
    {"gemm", MODELS | ON(GEMM) | ON(CONV)},
    {"batch", MODELS | OPERATIONS},
    {"micro-batches", MODELS},
    {"images", ON(INFER)},
    {"first-step", ON(TRAIN)},
    {0},
};

oce_bench_options bench_options(const bench_values *given) {
    return (oce_bench_options){.samples = (int)given->repeat};
}

oce_status bench_open(bench_session *s) {
    const oce_status status =
        cli_open_device(s->given->device, s->given->quiet || s->given->json, &s->device);
    if (status != OCE_OK)
        return status;
    const oce_device_info *info = oce_device_get_info(s->device);
    json_object_set_new(s->root, "device",
                        json_pack("{s:s, s:o, s:o, s:o, s:I}", "selector", info->selector, "name",
                                  cli_json_text(info->name), "platform",
                                  cli_json_text(info->platform_name), "driver",
                                  cli_json_text(info->driver_version), "units",
                                  (json_int_t)info->compute_units));
    return OCE_OK;
}

oce_status bench_measure_peak(bench_session *s) {
    /* all shares are of it: it must not hang on one sample */
    const oce_bench_options options_of_peak = {
        .samples = s->is_peak_asked ? (int)s->given->repeat : 0, .seconds = 0.2};
    if (s->peak.flops > 0)
        return OCE_OK;
    const oce_status status = oce_bench_peak(s->device, &options_of_peak, &s->peak);
    if (status == OCE_OK)
        json_object_set_new(
            s->root, "peak",
            json_pack("{s:f, s:f, s:f, s:I, s:o, s:o, s:o}", "gflops", 1e-9 * s->peak.flops,
                      "copy_gb_per_second", 1e-9 * s->peak.copy, "triad_gb_per_second",
                      1e-9 * s->peak.triad, "array_bytes", (json_int_t)s->peak.array_bytes,
                      "fma_seconds", bench_timing_json(&s->peak.fma_timing), "copy_seconds",
                      bench_timing_json(&s->peak.copy_timing), "triad_seconds",
                      bench_timing_json(&s->peak.triad_timing)));
    return status;
}

static void add_limit(cli_table *table, const char *what, double rate, double work,
                      const char *unit, const oce_timing *timing) {
    char median[32];
    cli_table_cell(table, "%s", what);
    cli_table_cell(table, "%.1f %s", 1e-9 * rate, unit);
    cli_table_cell(table, "%.1f", 1e-9 * work / timing->median);
    cli_table_cell(table, "%s", bench_time_text(timing->median, median, sizeof median));
    cli_table_cell(table, "%d", timing->samples);
}

int bench_run_peak(bench_session *s) {
    const oce_peak *peak = &s->peak;
    char array[32];
    s->is_peak_asked = true;
    if (bench_open(s) != OCE_OK || bench_measure_peak(s) != OCE_OK)
        return cli_failure();
    if (s->given->json)
        return CLI_SUCCESS;
    cli_table *table = cli_table_create("<limit>best>median rate>median time>samples");
    add_limit(table, "multiply-adds on registers", peak->flops,
              peak->flops * peak->fma_timing.minimum, "GFLOPS", &peak->fma_timing);
    add_limit(table, "copy, y = x", peak->copy, peak->copy * peak->copy_timing.minimum, "GB/s",
              &peak->copy_timing);
    add_limit(table, "triad, y = x + a z", peak->triad, peak->triad * peak->triad_timing.minimum,
              "GB/s", &peak->triad_timing);
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
    printf("\nGB/s: bytes read and written, of arrays of %s\n",
           cli_format_bytes(peak->array_bytes, array, sizeof array));
    return CLI_SUCCESS;
}

/* Which network a kind was given; false after a usage error. */
static bool find_network(const cli_call *call, enum kind kind, const char **network) {
    const bool needs_one = kind == TRAIN || kind == INFER;
    *network = call->operand_count > 1 ? call->operands[1] : NULL;
    if (*network != NULL && !needs_one && kind != STARTUP) {
        cli_usage_error(call->verb, "%s takes no network", kinds[kind]);
        return false;
    }
    if (*network == NULL && needs_one) {
        cli_usage_error(call->verb, "%s needs a network: mnist or cifar10", kinds[kind]);
        return false;
    }
    return *network == NULL || cli_choose(call->verb, "network", networks, *network) >= 0;
}

/* Whether the options that serve a kind go together; false after a usage error. */
static bool check_options(const bench_session *s, enum kind kind) {
    const cli_call *call = s->call;
    const cli_verb *verb = call->verb;
    const bench_values *given = s->given;
    if (!cli_check_kind(call, (int)kind) ||
        !cli_check_winograd(call, given->model.conv, given->model.winograd))
        return false;
    if (given->shape != NULL && cli_given(call, "batch"))
        cli_usage_error(verb, "--batch is for the networks' shapes: in --shape it is %s",
                        kind == GEMM ? "m" : "n");
    else if (given->shape == NULL && cli_given(call, "kind"))
        cli_usage_error(verb, "--kind is for a pooling of your own --shape");
    else if (given->first_step && given->json)
        cli_usage_error(verb, "--first-step measures nothing: --json has nothing to print");
    else if (given->first_step && cli_given(call, "repeat"))
        cli_usage_error(verb, "--first-step measures nothing: there is no --repeat");
    else if (kind == STARTUP && given->repeat > BENCH_MOST_STARTS)
        cli_usage_error(verb, "--repeat: %lld is not between 1 and %d, for startup",
                        (long long)given->repeat, (int)BENCH_MOST_STARTS);
    else
        return true;
    return false;
}

static int run_kind(bench_session *s, enum kind kind, const char *network) {
    switch (kind) {
    case PEAK:
        return bench_run_peak(s);
    case TRAIN:
    case INFER:
        return bench_run_model(s, network, kind == TRAIN);
    case CONV:
        return bench_run_conv(s);
    case GEMM:
        return bench_run_gemm(s);
    case POOL:
        return bench_run_pool(s);
    case STARTUP:
        break;
    }
    return bench_run_startup(s, network);
}

static int run(const cli_call *call) {
    const char *network = NULL;
    bench_session s = {.call = call, .given = call->options};
    const int kind = cli_choose(call->verb, "kind", kinds, call->operands[0]);
    if (kind < 0 || !find_network(call, (enum kind)kind, &network) ||
        !check_options(&s, (enum kind)kind))
        return CLI_USAGE;
    s.root = json_pack("{s:s}", "bench", kinds[kind]);
    s.rows = json_array();
    if (!s.given->json)
        s.table = cli_table_create("<shape<pass>median>quartiles>least>GFLOPS>of peak>GB/s<family<"
                                   "kernels");
    int code = run_kind(&s, (enum kind)kind, network);
    cli_table_destroy(s.table);
    cli_close_device(s.device, code == CLI_SUCCESS, s.given->quiet);
    if (json_array_size(s.rows) > 0)
        json_object_set(s.root, "rows", s.rows);
    json_decref(s.rows);
    if (s.given->json && code == CLI_SUCCESS)
        return cli_json_print(s.root);
    json_decref(s.root);
    return code;
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .operands = "peak|train|infer|conv|gemm|pool|startup [mnist|cifar10]",
    .min_operands = 1,
    .max_operands = 2,
    .summary = "measures a device, operations and networks",
    .description =
        "peak: what the device can do, by kernels that do nothing else. conv, gemm, pool: one "
        "operation, at the shapes of both networks or at your own. train, infer: a training step, "
        "or the answers for a number of images, and what each layer takes of it. startup: from the "
        "start of a process to the end of its first training step, with empty and with filled "
        "caches.\n\n"
        "Inputs are made up. A time is the median over samples that take at least half a second "
        "together, after a warm-up; a sample of something short is the mean over several runs. "
        "GFLOPS count a convolution's direct sum, whatever the algorithm, so that a good one can "
        "pass the device's peak.",
    .options = options,
    .options_bytes = sizeof(bench_values),
    .kinds = kinds,
    .servings = servings,
    .run = run,
};
