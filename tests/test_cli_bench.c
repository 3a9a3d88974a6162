/* ocelli bench: every kind on tiny sizes, its JSON, its errors. No test looks at how long it took.
 */
#include "support/command.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define BENCH(...) command_ocelli(NULL, "bench", __VA_ARGS__, "--repeat", "1")

static json_t *parse(command_result *result) {
    json_error_t error;
    cr_assert(result->code == 0, "exit code %d: %s", result->code, result->err);
    cr_expect_str_eq(result->err, "");
    json_t *root = json_loads(result->out, JSON_REJECT_DUPLICATES, &error);
    cr_assert(root != NULL, "line %d: %s\n%s", error.line, error.text, result->out);
    command_free(result);
    return root;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_expect(json_is_number(value), "\"%s\" is no number", key);
    return json_number_value(value);
}

static const char *text(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_expect(json_is_string(value), "\"%s\" is no string", key);
    return json_is_string(value) ? json_string_value(value) : "";
}

static void expect_timing(const json_t *object, const char *key) {
    static const char *const ordered[] = {"minimum", "first_quartile", "median", "third_quartile",
                                          "maximum"};
    const json_t *timing = json_object_get(object, key);
    double last = 0;
    for (size_t i = 0; i < sizeof ordered / sizeof ordered[0]; i++) {
        const double value = number(timing, ordered[i]);
        cr_expect(value >= last, "%s of %s is below the one before", ordered[i], key);
        last = value;
    }
    cr_expect(number(timing, "runs") >= 1);
}

/* `samples` as --repeat asked for, or, where another timing is measured against it, at least 5. */
static void expect_samples(const json_t *object, const char *key, double samples, bool is_least) {
    const double got = number(json_object_get(object, key), "samples");
    expect_timing(object, key);
    cr_expect(is_least ? got >= samples : got == samples, "%g samples of %s", got, key);
}

static void expect_device(const json_t *root) {
    static const char *const texts[] = {"selector", "name", "platform", "driver"};
    const json_t *device = json_object_get(root, "device");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect(text(device, texts[i])[0] != '\0');
    cr_expect(number(device, "units") >= 1);
}

/* The peak is measured with enough samples, whatever --repeat says, unless it is the subject. */
static void expect_device_and_peak(const json_t *root) {
    const json_t *peak = json_object_get(root, "peak");
    const bool is_subject = strcmp(text(root, "bench"), "peak") == 0;
    expect_device(root);
    cr_expect(number(peak, "gflops") > 0 && number(peak, "copy_gb_per_second") > 0);
    cr_expect(number(peak, "triad_gb_per_second") > 0 && number(peak, "array_bytes") > 0);
    expect_samples(peak, "fma_seconds", is_subject ? 1 : 5, !is_subject);
    expect_samples(peak, "copy_seconds", is_subject ? 1 : 5, !is_subject);
    expect_samples(peak, "triad_seconds", is_subject ? 1 : 5, !is_subject);
}

static void expect_kernels(const json_t *object) {
    const json_t *kernels = json_object_get(object, "kernels"), *kernel = NULL;
    size_t i = 0;
    cr_expect(json_array_size(kernels) > 0);
    json_array_foreach(kernels, i, kernel) {
        cr_expect(text(kernel, "kernel")[0] != '\0' && number(kernel, "launches") >= 1);
        cr_expect(number(kernel, "seconds") >= 0);
        cr_expect(strstr(text(kernel, "build"), "OCE_") == NULL);
    }
}

/* Checks the rows of operations, which must be `count`. Keeps the reference of `root`. */
static void expect_rows(const json_t *root, const char *kind, size_t count) {
    const json_t *rows = json_object_get(root, "rows"), *row = NULL;
    size_t i = 0;
    cr_expect_str_eq(text(root, "bench"), kind);
    expect_device_and_peak(root);
    cr_expect(json_array_size(rows) == count, "%zu rows instead of %zu", json_array_size(rows),
              count);
    json_array_foreach(rows, i, row) {
        cr_expect(text(row, "shape")[0] != '\0');
        text(row, "pass");
        text(row, "family");
        expect_samples(row, "seconds", 1, false);
        expect_kernels(row);
        cr_expect(number(row, "bytes") > 0 && number(row, "gb_per_second") > 0);
        cr_expect(number(row, "device_bytes") > 0);
        cr_expect((number(row, "flops") > 0) == (strcmp(kind, "pool") != 0));
        cr_expect((number(row, "gflops") > 0) == (number(row, "peak_share") > 0));
    }
}

/* A string of a row. */
static const char *row_text(const json_t *root, size_t row, const char *key) {
    return text(json_array_get(json_object_get(root, "rows"), row), key);
}

Test(cli_bench, peak) {
    command_result result = BENCH("peak");
    cr_expect(result.code == 0, "%s", result.err);
    cr_expect(strstr(result.out, "multiply-adds") && strstr(result.out, "triad"), "%s", result.out);
    command_free(&result);
    result = BENCH("peak", "--json");
    json_t *root = parse(&result);
    cr_expect_str_eq(text(root, "bench"), "peak");
    expect_device_and_peak(root);
    json_decref(root);
}

Test(cli_bench, convolution_of_an_own_shape) {
    static const char shape[] = "n=2,h=8,w=7,c=3,k=4,r=3,s=2,stride=2,dilation=1,padding=valid";
    command_result result = BENCH("conv", "--json", "--conv", "naive", "--shape", shape);
    json_t *root = parse(&result);
    static const char *const passes[] = {"fwd", "dgrad", "wgrad"};
    expect_rows(root, "conv", 3);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_str_eq(row_text(root, i, "pass"), passes[i]);
        cr_expect_str_eq(row_text(root, i, "family"), "naive");
        cr_expect_str_eq(row_text(root, i, "shape"), "2x8x7x3, 3x2 stride 2 valid to 4");
        /* 3x3 outputs of 4 filters, each 3x2x3 long, of 2 images */
        cr_expect(number(json_array_get(json_object_get(root, "rows"), i), "flops") == 2592);
    }
    json_decref(root);
    result = BENCH("conv", "--conv", "im2col", "--gemm", "naive", "--shape", shape);
    cr_expect(result.code == 0 && strstr(result.out, "gemm_naive") != NULL, "%s%s", result.out,
              result.err);
    command_free(&result);
    result = BENCH("conv", "--json", "--pass", "wgrad", "--shape", "h=9,c=2,k=3,r=3,padding=4");
    root = parse(&result);
    expect_rows(root, "conv", 1);
    cr_expect_str_eq(row_text(root, 0, "pass"), "wgrad");
    cr_expect_str_eq(row_text(root, 0, "shape"), "1x9x9x2, 3x3 padding 4 to 3");
    json_decref(root);
    result = BENCH("conv", "--json", "--shape", "h=9,c=2,k=3,r=3,prepared=1");
    root = parse(&result);
    expect_rows(root, "conv", 1);
    cr_expect_str_eq(row_text(root, 0, "pass"), "fwd");
    cr_expect_str_eq(row_text(root, 0, "shape"), "1x9x9x2, 3x3 to 3, prepared");
    json_decref(root);
}

Test(cli_bench, product_of_an_own_shape) {
    command_result result =
        BENCH("gemm", "--json", "--gemm", "naive", "--shape", "m=3,n=5,k=7,ta=1,tb=0");
    json_t *root = parse(&result);
    expect_rows(root, "gemm", 1);
    cr_expect_str_eq(row_text(root, 0, "family"), "naive");
    cr_expect_str_eq(row_text(root, 0, "shape"), "3x5x7 A^T");
    json_decref(root);
    result = BENCH("gemm", "--json", "--shape", "m=9,n=5,k=7,prepared=1");
    root = parse(&result);
    cr_expect_str_eq(row_text(root, 0, "shape"), "9x5x7 prepared");
    json_decref(root);
    result = BENCH("gemm", "--shape", "m=9,n=50,k=7,b_panel=25,c_panel=25");
    cr_expect(result.code == 1 && strstr(result.err, "panels of B of 25 columns") != NULL, "%s%s",
              result.out, result.err);
    command_free(&result);
    result = BENCH("gemm", "--shape", "m=9,n=64,k=7,c_panel=48");
    cr_expect(result.code == 1 && strstr(result.err, "do not divide C of 64 columns") != NULL,
              "%s%s", result.out, result.err);
    command_free(&result);
}

Test(cli_bench, pooling_of_an_own_shape) {
    command_result result = BENCH("pool", "--json", "--shape", "n=2,h=6,c=4,window=3,stride=2");
    json_t *root = parse(&result);
    expect_rows(root, "pool", 2);
    cr_expect_str_eq(row_text(root, 0, "shape"), "2x6x6x4, max 3x3 stride 2");
    cr_expect_str_eq(row_text(root, 1, "pass"), "dgrad");
    json_decref(root);
    result = BENCH("pool", "--kind", "average", "--pass", "fwd", "--shape", "h=6,c=4,window=2");
    cr_expect(result.code == 0, "%s", result.err);
    cr_expect(strstr(result.out, "1x6x6x4, average 2x2 stride 2  fwd") != NULL, "%s", result.out);
    command_free(&result);
}

Test(cli_bench, operations_of_both_networks) {
    static const struct {
        const char *kind, *row;
        size_t rows;
    } kinds[] = {{"conv", "conv2 1x16x16x64, 5x5 to 64", 7 * 3 - 2},
                 {"gemm", "output 1x10x1024", 4 * 3},
                 {"pool", "pool2 1x14x14x64, max 2x2 stride 2", 4 * 2}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        command_result result = BENCH(kinds[i].kind, "--json", "--batch", "1");
        json_t *root = parse(&result);
        size_t found = 0;
        expect_rows(root, kinds[i].kind, kinds[i].rows);
        for (size_t row = 0; row < kinds[i].rows; row++)
            found += strcmp(row_text(root, row, "shape"), kinds[i].row) == 0;
        cr_expect(found > 0, "no row %s", kinds[i].row);
        json_decref(root);
    }
}

/* Pools may be computed with the layer below, and the loss with the last layer. */
static void expect_layers(const json_t *layers) {
    static const char *const labels[] = {"conv1 forward", "conv2 forward", "fc1 forward"};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        const json_t *layer = NULL;
        size_t j = 0;
        bool found = false;
        json_array_foreach(layers, j, layer) found =
            found || strcmp(text(layer, "label"), labels[i]) == 0;
        cr_expect(found, "no row of \"%s\"", labels[i]);
    }
}

static void expect_model(const json_t *root, const char *network, double batch, double images) {
    const json_t *layers = json_object_get(root, "layers"), *layer = NULL;
    size_t i = 0;
    double share = 0;
    cr_expect_str_eq(text(root, "network"), network);
    expect_device_and_peak(root);
    expect_samples(root, "seconds", 1, false);
    expect_kernels(root);
    cr_expect(number(root, "batch") == batch && number(root, "images") == images);
    cr_expect(number(root, "images_per_second") > 0 && number(root, "gflops") > 0);
    cr_expect(number(root, "device_bytes") > 0 && number(root, "process_bytes") > 0);
    expect_layers(layers);
    json_array_foreach(layers, i, layer) {
        cr_expect(text(layer, "label")[0] != '\0' && text(layer, "kernel")[0] != '\0');
        cr_expect(number(layer, "launches") >= 1 && number(layer, "seconds") >= 0);
        cr_expect((number(layer, "bytes") > 0) == (number(layer, "gb_per_second") > 0));
        text(layer, "family");
        share += number(layer, "share");
    }
    cr_expect(share > 0.999 && share < 1.001, "the shares add up to %g", share);
}

/* The least that a pass of MNIST's network moves, and by which family: 2 images, one at a time. */
Test(cli_bench, family_and_bytes_of_each_pass) {
    static const struct {
        const char *label, *family;
        double images, weights; /* elements: of inputs and outputs, and with each image */
    } passes[] = {{"conv1 forward", "naive", 784 + 25088, 832},
                  {"conv1 weight gradient", "naive", 784 + 25088, 832},
                  {"pool1 forward", "", 25088 + 6272, 0},
                  {"pool1 input gradient", "", 25088 + 6272, 0},
                  {"conv2 input gradient", "naive", 6272 + 12544, 51264},
                  {"fc1 forward", "naive", 3136 + 1024, 3136 * 1024 + 1024},
                  {"loss", "", 0, 0},
                  {"optimizer", "", 0, 0}};
    command_result result = BENCH("train", "mnist", "--json", "--batch", "2", "--micro-batches",
                                  "2", "--conv", "naive", "--gemm", "naive");
    json_t *root = parse(&result);
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        const json_t *layer = NULL;
        size_t j = 0, found = 0;
        json_array_foreach(json_object_get(root, "layers"), j, layer) {
            if (strcmp(text(layer, "label"), passes[i].label) != 0)
                continue;
            const double expected = 4 * 2 * (passes[i].images + passes[i].weights);
            found++;
            cr_expect_str_eq(text(layer, "family"), passes[i].family);
            cr_expect(number(layer, "bytes") == expected, "%s: %.0f bytes instead of %.0f",
                      passes[i].label, number(layer, "bytes"), expected);
        }
        cr_expect(found == 1, "%zu rows of %s", found, passes[i].label);
    }
    json_decref(root);
}

static const json_t *find_in(const json_t *list, const char *key, const char *value) {
    const json_t *each = NULL;
    size_t i = 0;
    json_array_foreach(list, i, each) {
        if (strcmp(text(each, key), value) == 0)
            return each;
    }
    return NULL;
}

/* The families are those that `ocelli info` tells of the same plan. */
Test(cli_bench, families_as_planned) {
    static const char *const passes[][2] = {{"forward", "forward"},
                                            {"input gradient", "input_grad"},
                                            {"weight gradient", "filter_grad"}};
    command_result result = BENCH("train", "mnist", "--json", "--batch", "8");
    json_t *root = parse(&result);
    result = command_ocelli(NULL, "info", "mnist", "--json", "--batch", "8");
    json_t *info = parse(&result);
    const json_t *layer = NULL;
    size_t i = 0, found = 0;
    json_array_foreach(json_object_get(info, "layers"), i, layer) {
        for (size_t j = 0; j < 3; j++) {
            char label[64];
            snprintf(label, sizeof label, "%s %s", text(layer, "name"), passes[j][0]);
            const json_t *row = find_in(json_object_get(root, "layers"), "label", label);
            if (row != NULL)
                cr_expect_str_eq(text(row, "family"), text(layer, passes[j][1]), "%s", label);
            found += row != NULL;
        }
    }
    cr_expect(found >= 11, "%zu rows of layers", found);
    json_decref(root);
    json_decref(info);
}

/* What is computed with the pool above writes no output of its own. */
Test(cli_bench, bytes_with_the_pool_above) {
    command_result result = BENCH("infer", "mnist", "--json", "--images", "1");
    json_t *root = parse(&result);
    const json_t *layer = NULL;
    bool pools = true;
    size_t i = 0;
    json_array_foreach(json_object_get(root, "layers"), i, layer) {
        if (strcmp(text(layer, "label"), "pool1 forward") == 0)
            pools = false;
    }
    json_array_foreach(json_object_get(root, "layers"), i, layer) {
        if (strcmp(text(layer, "label"), "conv1 forward") == 0)
            cr_expect(number(layer, "bytes") == 4 * (784 + (pools ? 6272 : 25088) + 832), "%.0f",
                      number(layer, "bytes"));
    }
    json_decref(root);
}

Test(cli_bench, training_step) {
    command_result result = BENCH("train", "cifar10", "--json", "--batch", "2");
    json_t *root = parse(&result);
    expect_model(root, "cifar10", 2, 2);
    json_decref(root);
    result = BENCH("train", "mnist", "--batch", "2", "--conv", "naive", "--gemm", "naive");
    static const char *const texts[] = {"a training step of 2 images",
                                        "images/s",
                                        "in the process at its peak",
                                        "conv1 forward",
                                        "GFLOPS  of peak",
                                        "GB/s  family",
                                        "naive   naive_forward",
                                        "output weight gradient",
                                        "optimizer",
                                        "all kernels"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect(strstr(result.out, texts[i]) != NULL, "no %s in\n%s", texts[i], result.out);
    command_free(&result);
}

Test(cli_bench, inference) {
    command_result result = BENCH("infer", "mnist", "--images", "1");
    cr_expect(strstr(result.out, "mnist, the answers for 1 image, 1 at once\n"), "%s", result.out);
    command_free(&result);
    result = BENCH("infer", "mnist", "--json", "--images", "3", "--batch", "2");
    cr_expect(strstr(result.out, "_OPENCL_H_") == NULL && strstr(result.out, "OCE_") == NULL,
              "options that say nothing of the kernel");
    json_t *root = parse(&result);
    expect_model(root, "mnist", 2, 3);
    json_decref(root);
}

Test(cli_bench, first_step_is_all_that_is_done) {
    command_result result =
        command_ocelli(NULL, "bench", "train", "mnist", "--batch", "1", "--first-step", "--quiet");
    cr_expect(result.code == 0, "%s", result.err);
    cr_expect_str_eq(result.out, "first step done\n");
    command_free(&result);
}

static int entries_in(const char *folder) {
    int count = 0;
    DIR *listing = opendir(folder);
    cr_assert(listing != NULL);
    while (readdir(listing) != NULL)
        count++;
    closedir(listing);
    return count - 2; /* . and .. */
}

Test(cli_bench, startup_leaves_no_caches) {
    char *folder = scratch_create(), temporary[1024];
    snprintf(temporary, sizeof temporary, "TMPDIR=%s", folder);
    /* PoCL leaks some bytes where it compiles, as it must with empty caches; a sanitizer would fail
     * the process for it */
    const char *const environment[] = {temporary, "ASAN_OPTIONS=detect_leaks=0", NULL};
    command_result result =
        command_ocelli(environment, "bench", "startup", "mnist", "--batch", "2", "--micro-batches",
                       "2", "--conv", "naive", "--json", "--repeat", "2");
    json_t *root = parse(&result);
    expect_device(root);
    const json_t *rows = json_object_get(root, "rows"), *row = json_array_get(rows, 0);
    cr_expect(json_array_size(rows) == 1);
    cr_expect_str_eq(text(row, "network"), "mnist");
    cr_expect(number(row, "cold_seconds") > 0 && number(row, "runs") == 2);
    cr_expect(number(row, "warm_minimum") <= number(row, "warm_seconds"));
    cr_expect(number(row, "warm_seconds") <= number(row, "warm_maximum"));
    cr_expect(entries_in(folder) == 0, "%d entries stayed", entries_in(folder));
    json_decref(root);
    result = command_ocelli(environment, "bench", "startup", "mnist", "--device", "no such device");
    expect_failure(&result, 1, "no such device"); /* one line */
    cr_expect(entries_in(folder) == 0, "%d entries stayed", entries_in(folder));
    command_free(&result);
    /* Nor when it is ended before its first process has compiled its kernels. */
    const char *const ended[] = {"timeout", "-s",      "TERM",  "0.5", command_ocelli_path(),
                                 "bench",   "startup", "mnist", NULL};
    result = command_run(ended, environment, NULL);
    cr_expect(result.code == 124, "%d: %s%s", result.code, result.out, result.err);
    cr_expect_str_eq(result.err, "");
    cr_expect(entries_in(folder) == 0, "%d entries stayed", entries_in(folder));
    command_free(&result);
    scratch_remove(folder);
}

Test(cli_bench, what_the_library_refuses) {
    command_result result = BENCH("conv", "--quiet", "--shape", "h=2,c=1,k=1,r=5,padding=valid");
    expect_failure(&result, 1, "window");
    command_free(&result);
    result = BENCH("conv", "--quiet", "--shape", "h=16,c=3,k=5,r=17,padding=valid");
    expect_failure(&result, 1,
                   "the convolution is empty: 1 x 16 x 16 x 3, windows of 17 x 17: the output is "
                   "1 x 0 x 0 x 5");
    command_free(&result);
    result = BENCH("pool", "--quiet", "--shape", "h=8,c=8,window=9,padding=valid");
    expect_failure(&result, 1,
                   "the pooling is empty: 1 x 8 x 8 x 8, windows of 9 x 9: the output is "
                   "1 x 0 x 0 x 8");
    command_free(&result);
    result = BENCH("conv", "--quiet", "--conv", "winograd", "--shape", "h=8,c=3,k=4,r=7");
    expect_failure(&result, 1, "winograd");
    command_free(&result);
    result = command_ocelli(NULL, "bench", "peak", "--device", "no such device");
    expect_failure(&result, 1, "no such device");
    command_free(&result);
}
