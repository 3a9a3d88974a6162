/* ocelli bench train, infer: a network's step, and what each layer takes of it. */
#define _DEFAULT_SOURCE
#include "cli/bench.h"
#include "cli/compilers.h"
#include "cli/json.h"
#include "cli/report.h"

#include <math.h>
#include <sys/resource.h>

/* Runs that the times of layers are averaged over. */
enum { PROFILED_RUNS = 5, USUAL_INFERENCE_BATCH = 250 };

typedef struct model_result {
    oce_bench_info info;
    oce_timing timing;
    uint64_t process_bytes;
    double seconds_of_image;
} model_result;

/* The most memory that this process has had. */
static uint64_t process_peak(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

static oce_model_options model_options(const bench_session *s, const oce_recipe *recipe,
                                       bool training) {
    const bench_values *given = s->given;
    oce_model_options planned = oce_recipe_model_options(recipe, 1);
    if (!training)
        planned.batch =
            given->images < USUAL_INFERENCE_BATCH ? given->images : USUAL_INFERENCE_BATCH;
    if (given->model.batch > 0)
        planned.batch = given->model.batch;
    planned.micro_batches = given->model.micro_batches;
    planned.training = training;
    planned.conv2d_family = (oce_conv2d_family)given->model.conv;
    planned.gemm_family = (oce_gemm_family)given->model.gemm;
    planned.no_winograd = given->model.winograd == CLI_WINOGRAD_OFF;
    return planned;
}

bool bench_check_parts(const bench_session *s, const char *network, bool training) {
    oce_recipe recipe;
    if (oce_recipe_get(network, &recipe) != OCE_OK)
        return true; /* the caller will say so */
    const oce_model_options planned = model_options(s, &recipe, training);
    if (planned.micro_batches == 0 || planned.batch % planned.micro_batches == 0)
        return true;
    cli_usage_error(s->call->verb, "--micro-batches %lld does not divide the batch of %lld of %s",
                    (long long)planned.micro_batches, (long long)planned.batch, network);
    return false;
}

static void print_result(const bench_session *s, const char *network, bool training,
                         const model_result *r) {
    const oce_model_options *planned = oce_model_get_options(r->info.model);
    char median[32], low[32], high[32], least[32], memory[32], process[32];
    const double rate = r->info.flops / r->timing.median;
    if (training)
        printf("%s, a training step of %lld image%s in %lld part%s\n", network,
               (long long)planned->batch, planned->batch == 1 ? "" : "s",
               (long long)planned->micro_batches, planned->micro_batches == 1 ? "" : "s");
    else
        printf("%s, the answers for %lld image%s, %lld at once\n", network,
               (long long)r->info.images, r->info.images == 1 ? "" : "s",
               (long long)planned->batch);
    printf("time      %s median of %d, quartiles %s to %s, least %s\n",
           bench_time_text(r->timing.median, median, sizeof median), r->timing.samples,
           bench_time_text(r->timing.quartile[0], low, sizeof low),
           bench_time_text(r->timing.quartile[1], high, sizeof high),
           bench_time_text(r->timing.minimum, least, sizeof least));
    printf("speed     %.0f images/s, %.1f GFLOPS, %.0f %% of the measured peak of %.1f GFLOPS\n",
           1 / r->seconds_of_image, 1e-9 * rate, 100 * rate / s->peak.flops, 1e-9 * s->peak.flops);
    printf("memory    %s in device buffers, %s in the process at its peak\n\n",
           cli_format_bytes(r->info.memory, memory, sizeof memory),
           cli_format_bytes(r->process_bytes, process, sizeof process));
}

static json_t *layers_json(const oce_model *model, const cli_profile *profile) {
    json_t *layers = json_array();
    char build[512];
    for (int i = 0; i < profile->label_count; i++) {
        const oce_profile_entry *sum = &profile->labels[i];
        if (sum->launches == 0)
            continue;
        const cli_pass pass = cli_find_pass(model, profile, sum);
        json_array_append_new(
            layers,
            json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:s}", "label", sum->label,
                      "family", pass.family, "bytes", pass.bytes / PROFILED_RUNS, "gb_per_second",
                      sum->seconds > 0 ? 1e-9 * pass.bytes / sum->seconds : 0.0, "launches",
                      (double)sum->launches / PROFILED_RUNS, "seconds",
                      sum->seconds / PROFILED_RUNS, "share",
                      profile->seconds > 0 ? sum->seconds / profile->seconds : 0.0, "gflops",
                      sum->seconds > 0 ? 1e-9 * sum->flops / sum->seconds : 0.0, "kernel",
                      sum->kernel, "build", cli_build_text(sum->build, build, sizeof build)));
    }
    return layers;
}

static void result_json(const bench_session *s, const char *network, const model_result *r,
                        const cli_profile *profile) {
    const oce_model_options *planned = oce_model_get_options(r->info.model);
    const double rate = r->info.flops / r->timing.median;
    json_object_update_new(
        s->root,
        json_pack("{s:s, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:f, s:I, s:I, s:o, s:o}", "network",
                  network, "batch", (json_int_t)planned->batch, "micro_batches",
                  (json_int_t)planned->micro_batches, "images", (json_int_t)r->info.images,
                  "seconds", bench_timing_json(&r->timing), "images_per_second",
                  1 / r->seconds_of_image, "flops", r->info.flops, "gflops", 1e-9 * rate,
                  "peak_share", rate / s->peak.flops, "device_bytes", (json_int_t)r->info.memory,
                  "process_bytes", (json_int_t)r->process_bytes, "layers",
                  layers_json(r->info.model, profile), "kernels",
                  cli_profile_json(profile, PROFILED_RUNS)));
}

/* In a pass of its own: recording changes what it records. */
static oce_status profile_layers(const bench_session *s, oce_bench *bench) {
    oce_status status = oce_device_profile_start(s->device);
    for (int i = 0; i < PROFILED_RUNS && status == OCE_OK; i++)
        status = oce_bench_run(bench);
    return status;
}

static oce_status report(bench_session *s, const char *network, bool training,
                         const model_result *r) {
    cli_profile profile;
    const oce_status status = cli_profile_read(s->device, &profile);
    if (status == OCE_OK && s->given->json)
        result_json(s, network, r, &profile);
    if (status == OCE_OK && !s->given->json) {
        print_result(s, network, training, r);
        cli_report_profile(stdout, r->info.model, &profile, PROFILED_RUNS, s->peak.flops);
    }
    cli_profile_release(&profile);
    return status;
}

static oce_status measure(bench_session *s, const char *network, bool training, oce_bench *bench) {
    const oce_bench_options options = bench_options(s->given);
    model_result r = {.info = oce_bench_get_info(bench)};
    oce_status status = oce_bench_measure(bench, &options, &r.timing);
    r.seconds_of_image = r.timing.median / (double)r.info.images;
    r.process_bytes = process_peak(); /* before the arrays of the peak are there */
    if (status == OCE_OK)
        status = bench_measure_peak(s);
    if (status == OCE_OK)
        status = profile_layers(s, bench);
    return status == OCE_OK ? report(s, network, training, &r) : status;
}

int bench_run_model(bench_session *s, const char *network, bool training) {
    oce_recipe recipe;
    oce_bench *bench = NULL;
    if (!bench_check_parts(s, network, training))
        return CLI_USAGE;
    if (oce_recipe_get(network, &recipe) != OCE_OK || bench_open(s) != OCE_OK)
        return cli_failure();
    oce_model_options planned = model_options(s, &recipe, training);
    if (!cli_compilers_start(s->device, recipe.network, &planned))
        return CLI_FAILURE;
    if (planned.micro_batches == 0 &&
        oce_model_fit(s->device, recipe.network, &planned, &planned.micro_batches) != OCE_OK)
        return cli_failure();
    oce_status status =
        oce_bench_model(s->device, recipe.network, &planned, s->given->images, &bench);
    if (status == OCE_OK && s->given->first_step)
        puts("first step done");
    else if (status == OCE_OK)
        status = measure(s, network, training, bench);
    fflush(stdout);
    if (status == OCE_OK && s->given->first_step) /* `startup` is about full caches */
        oce_device_store_programs(s->device, INFINITY);
    oce_bench_destroy(bench);
    return status == OCE_OK ? CLI_SUCCESS : cli_failure();
}
