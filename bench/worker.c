/*
 * Measures the library for peers.py, as peer_*.py measure the others: reads one request a line from
 * standard input, JSON, and answers each with a line.
 *
 *   {"do": "setup", "work": "train", "network": "cifar10", "batch": 128}
 *   {"do": "setup", "work": "infer", "network": "mnist", "images": 1000, "batch": 100}
 *   {"do": "setup", "work": "gemm", "m": 1, "n": 2, "k": 3, "ta": false, "tb": false}
 *   {"do": "setup", "work": "conv", "pass": "fwd", "n": 1, "h": 8, "w": 8, "c": 3, "k": 4, "r": 5,
 *    "s": 5, "stride": 1, "dilation": 1, "padding": "same"}
 *       -> {"ok": true, "family": "..."}, after one run
 *   {"do": "time", "runs": 10}  -> {"seconds": ...} of all runs together
 *   {"do": "store"}             -> {"ok": true}; compiled kernels are now in the disk cache
 *   {"do": "about"}             -> {"device": ..., "driver": ..., "units": ...}
 *
 * A request that fails is answered with {"error": "..."}. Arguments: device, convolution family and
 * GEMM family, each optional.
 */
#include <ocelli/bench.h>
#include <ocelli/train.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct worker {
    oce_device *device;
    oce_conv2d_family conv;
    oce_gemm_family gemm;
    oce_bench *bench; /* what the last setup made, or NULL */
} worker;

static int64_t integer(const json_t *request, const char *key) {
    return json_integer_value(json_object_get(request, key));
}

static const char *text(const json_t *request, const char *key) {
    const char *value = json_string_value(json_object_get(request, key));
    return value != NULL ? value : "";
}

static json_t *failure(void) {
    return json_pack("{s:s}", "error", oce_last_error());
}

static oce_status set_up_model(worker *w, const json_t *request, bool training) {
    oce_recipe recipe;
    const oce_status status = oce_recipe_get(text(request, "network"), &recipe);
    if (status != OCE_OK)
        return status;
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.training = training;
    options.batch = integer(request, "batch");
    options.conv2d_family = w->conv;
    options.gemm_family = w->gemm;
    return oce_bench_model(w->device, recipe.network, &options, integer(request, "images"),
                           &w->bench);
}

static oce_status set_up_gemm(worker *w, const json_t *request) {
    const oce_gemm_desc desc = {.m = integer(request, "m"),
                                .n = integer(request, "n"),
                                .k = integer(request, "k"),
                                .transpose_a = json_is_true(json_object_get(request, "ta")),
                                .transpose_b = json_is_true(json_object_get(request, "tb")),
                                .family = w->gemm};
    return oce_bench_gemm(w->device, &desc, &w->bench);
}

static oce_status set_up_conv(worker *w, const json_t *request) {
    const int64_t stride = integer(request, "stride"), dilation = integer(request, "dilation");
    const bool same = strcmp(text(request, "padding"), "same") == 0;
    const char *pass = text(request, "pass");
    const oce_conv2d_desc desc = {
        .batch = integer(request, "n"),
        .height = integer(request, "h"),
        .width = integer(request, "w"),
        .channels = integer(request, "c"),
        .filters = integer(request, "k"),
        .window = {.size = {integer(request, "r"), integer(request, "s")},
                   .stride = {stride, stride},
                   .dilation = {dilation, dilation},
                   .padding = same ? OCE_PADDING_SAME : OCE_PADDING_VALID},
        .family = w->conv};
    return oce_bench_conv2d(w->device, &desc,
                            strcmp(pass, "fwd") == 0     ? OCE_PASS_FORWARD
                            : strcmp(pass, "dgrad") == 0 ? OCE_PASS_INPUT_GRAD
                                                         : OCE_PASS_FILTER_GRAD,
                            &w->bench);
}

static json_t *set_up(worker *w, const json_t *request) {
    const char *work = text(request, "work");
    oce_status status = OCE_OK;
    oce_bench_destroy(w->bench);
    w->bench = NULL;
    if (strcmp(work, "train") == 0 || strcmp(work, "infer") == 0)
        status = set_up_model(w, request, work[0] == 't');
    else if (strcmp(work, "gemm") == 0)
        status = set_up_gemm(w, request);
    else if (strcmp(work, "conv") == 0)
        status = set_up_conv(w, request);
    else
        return json_pack("{s:s}", "error", "unknown work");
    if (status != OCE_OK)
        return failure();
    return json_pack("{s:b, s:s}", "ok", 1, "family", oce_bench_get_info(w->bench).family);
}

static oce_status run_once(void *context) {
    return oce_bench_run(context);
}

static json_t *measure(const worker *w, const json_t *request) {
    double seconds = 0;
    if (w->bench == NULL)
        return json_pack("{s:s}", "error", "nothing was set up");
    if (oce_bench_seconds(w->device, run_once, w->bench, integer(request, "runs"), &seconds) !=
        OCE_OK)
        return failure();
    return json_pack("{s:f}", "seconds", seconds);
}

static json_t *answer(worker *w, const char *line) {
    json_t *request = json_loads(line, 0, NULL), *reply = NULL;
    const char *what = text(request, "do");
    if (strcmp(what, "setup") == 0) {
        reply = set_up(w, request);
    } else if (strcmp(what, "time") == 0) {
        reply = measure(w, request);
    } else if (strcmp(what, "store") == 0) {
        oce_device_store_programs(w->device, INFINITY);
        reply = json_pack("{s:b}", "ok", 1);
    } else if (strcmp(what, "about") == 0) {
        const oce_device_info *info = oce_device_get_info(w->device);
        reply =
            json_pack("{s:s, s:s, s:s, s:I}", "device", info->name, "platform", info->platform_name,
                      "driver", info->driver_version, "units", (json_int_t)info->compute_units);
    } else {
        reply = json_pack("{s:s}", "error", "not a request");
    }
    json_decref(request);
    return reply;
}

static int find_family(const char *name, const char *(*name_of)(int), int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(name, name_of(i)) == 0)
            return i;
    fprintf(stderr, "worker: no family \"%s\"\n", name);
    exit(2);
}

static const char *conv_name(int family) {
    return oce_conv2d_family_name((oce_conv2d_family)family);
}

static const char *gemm_name(int family) {
    return oce_gemm_family_name((oce_gemm_family)family);
}

int main(int argc, char **argv) {
    static char line[4096];
    worker w = {0};
    if (argc > 2)
        w.conv = (oce_conv2d_family)find_family(argv[2], conv_name, OCE_CONV2D_FAMILIES);
    if (argc > 3)
        w.gemm = (oce_gemm_family)find_family(argv[3], gemm_name, OCE_GEMM_FAMILIES);
    if (oce_device_open(argc > 1 && argv[1][0] != '\0' ? argv[1] : NULL, &w.device) != OCE_OK) {
        fprintf(stderr, "worker: %s\n", oce_last_error());
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        json_t *reply = answer(&w, line);
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(reply);
    }
    oce_bench_destroy(w.bench);
    oce_device_close(w.device);
    return 0;
}
