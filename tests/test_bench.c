/* Timing, the device's limits, and the work that can be measured. No test looks at how long it
 * took. */
#include "support/device.h"

#include "base/status.h"

#include <ocelli/bench.h>
#include <ocelli/train.h>

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static oce_device *device;

static void open_device(void) {
    device = test_open_device();
}

static void close_device(void) {
    oce_device_close(device);
}

TestSuite(bench, .init = open_device, .fini = close_device);

static void expect_failed(oce_status status, oce_status expected, const char *text) {
    cr_expect(status == expected, "status %d instead of %d", (int)status, (int)expected);
    cr_expect(strstr(oce_last_error(), text) != NULL, "\"%s\" lacks \"%s\"", oce_last_error(),
              text);
}

/* Counts its calls; the one with number `fails_at` fails. */
typedef struct counter {
    int calls, fails_at;
} counter;

static oce_status count_call(void *context) {
    counter *c = context;
    return ++c->calls == c->fails_at ? oce_fail(OCE_ERROR_IO, "call %d", c->calls) : OCE_OK;
}

Test(bench, seconds_of_a_number_of_runs) {
    counter c = {0};
    double seconds = -1;
    TEST_OK(oce_bench_seconds(device, count_call, &c, 7, &seconds));
    cr_expect(c.calls == 7 && seconds >= 0 && seconds < 60);
    expect_failed(oce_bench_seconds(device, count_call, &c, 0, &seconds),
                  OCE_ERROR_INVALID_ARGUMENT, "0 runs");
    cr_expect(c.calls == 7);
    c = (counter){.fails_at = 3};
    expect_failed(oce_bench_seconds(device, count_call, &c, 7, &seconds), OCE_ERROR_IO, "call 3");
    cr_expect(c.calls == 3, "it went on after a failure");
}

static void expect_ordered(const oce_timing *t) {
    cr_expect(t->minimum >= 0 && t->minimum <= t->quartile[0]);
    cr_expect(t->quartile[0] <= t->median && t->median <= t->quartile[1]);
    cr_expect(t->quartile[1] <= t->maximum && t->maximum < 60);
}

Test(bench, timing_takes_the_samples_asked_for) {
    counter c = {0};
    oce_timing timing;
    const oce_bench_options three = {.samples = 3, .seconds = 100};
    TEST_OK(oce_bench_time(device, count_call, &c, &three, &timing));
    cr_expect(timing.samples == 3 && timing.runs >= 1);
    cr_expect(c.calls == 2 + 3 * timing.runs, "%d calls, %lld runs a sample", c.calls,
              (long long)timing.runs);
    expect_ordered(&timing);
    const oce_bench_options short_time = {.seconds = 1e-9};
    TEST_OK(oce_bench_time(device, count_call, &c, &short_time, &timing));
    cr_expect(timing.samples == 5, "at least 5, not %d", timing.samples);
    expect_ordered(&timing);
    c = (counter){.fails_at = 20};
    expect_failed(oce_bench_time(device, count_call, &c, NULL, &timing), OCE_ERROR_IO, "call 20");
}

Test(bench, peak_is_measured) {
    oce_peak peak;
    const oce_bench_options one = {.samples = 1};
    TEST_OK(oce_bench_peak(device, &one, &peak));
    cr_expect(isfinite(peak.flops) && peak.flops > 1e6);
    cr_expect(isfinite(peak.copy) && peak.copy > 1e6);
    cr_expect(isfinite(peak.triad) && peak.triad > 1e6);
    cr_expect(peak.array_bytes > 0);
    cr_expect(peak.fma_timing.samples == 1 && peak.triad_timing.samples == 1);
}

/* Runs and measures the work once more. */
static void expect_runs(oce_bench *bench) {
    oce_timing timing;
    const oce_bench_options one = {.samples = 1};
    TEST_OK(oce_bench_run(bench));
    TEST_OK(oce_bench_measure(bench, &one, &timing));
    cr_expect(timing.samples == 1 && timing.median > 0);
    expect_ordered(&timing);
}

Test(bench, convolution_of_each_pass) {
    static const oce_pass passes[] = {OCE_PASS_FORWARD, OCE_PASS_INPUT_GRAD, OCE_PASS_FILTER_GRAD};
    const oce_conv2d_desc desc = {.batch = 2,
                                  .height = 7,
                                  .width = 6,
                                  .channels = 3,
                                  .filters = 5,
                                  .window = {.size = {3, 2}, .padding = OCE_PADDING_VALID},
                                  .family = OCE_CONV2D_NAIVE};
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        oce_bench *bench = NULL;
        TEST_OK(oce_bench_conv2d(device, &desc, passes[i], &bench));
        const oce_bench_info info = oce_bench_get_info(bench);
        cr_expect_str_eq(info.family, "naive");
        cr_expect(info.flops == 2.0 * 2 * 5 * 5 * 3 * 2 * 3 * 5, "%g", info.flops);
        cr_expect(info.bytes == 4.0 * (2 * 7 * 6 * 3 + 3 * 2 * 3 * 5 + 2 * 5 * 5 * 5), "%g",
                  info.bytes);
        cr_expect(info.images == 0 && info.model == NULL);
        cr_expect((double)info.memory >= info.bytes);
        expect_runs(bench);
        oce_bench_destroy(bench);
    }
}

Test(bench, product_of_every_transpose) {
    for (int i = 0; i < 4; i++) {
        oce_bench *bench = NULL;
        const oce_gemm_desc desc = {
            .m = 5, .n = 7, .k = 9, .transpose_a = (i & 1) != 0, .transpose_b = (i & 2) != 0};
        TEST_OK(oce_bench_gemm(device, &desc, &bench));
        const oce_bench_info info = oce_bench_get_info(bench);
        cr_expect(info.flops == 2.0 * 5 * 7 * 9 && info.bytes == 4.0 * (5 * 9 + 9 * 7 + 5 * 7));
        cr_expect(info.family[0] != '\0' && strcmp(info.family, "auto") != 0);
        expect_runs(bench);
        oce_bench_destroy(bench);
    }
}

Test(bench, pooling_and_its_gradient) {
    static const oce_pass passes[] = {OCE_PASS_FORWARD, OCE_PASS_INPUT_GRAD};
    for (int i = 0; i < 4; i++) {
        oce_bench *bench = NULL;
        const oce_pool_desc desc = {.kind = i < 2 ? OCE_POOL_MAX : OCE_POOL_AVERAGE,
                                    .batch = 2,
                                    .height = 6,
                                    .width = 4,
                                    .channels = 3,
                                    .window = {.size = {2, 2}, .stride = {2, 2}}};
        TEST_OK(oce_bench_pool(device, &desc, passes[i % 2], &bench));
        const double winners = i < 2 ? 2 * 3 * 2 * 3 : 0;
        cr_expect(oce_bench_get_info(bench).bytes == 4.0 * 2 * 3 * (6 * 4 + 3 * 2) + winners);
        expect_runs(bench);
        oce_bench_destroy(bench);
    }
}

Test(bench, model_trains_and_answers) {
    oce_recipe recipe;
    TEST_OK(oce_recipe_get("mnist", &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.batch = 2;
    for (int training = 0; training < 2; training++) {
        oce_bench *bench = NULL;
        options.training = training == 1;
        TEST_OK(oce_bench_model(device, recipe.network, &options, 3, &bench));
        const oce_bench_info info = oce_bench_get_info(bench);
        const int images = training == 1 ? 2 : 3; /* a step takes a batch */
        cr_expect(info.images == images && info.model != NULL);
        cr_expect(info.memory == oce_model_bytes(info.model));
        cr_expect(fabs(info.flops / images - (training ? 82.0e6 : 27.8e6)) < 0.1e6, "%g",
                  info.flops);
        expect_runs(bench);
        oce_bench_destroy(bench);
    }
}

Test(bench, what_cannot_be_measured) {
    oce_bench *bench = NULL;
    const oce_conv2d_desc conv = {.batch = 1,
                                  .height = 2,
                                  .width = 2,
                                  .channels = 1,
                                  .filters = 1,
                                  .window = {.size = {5, 5}, .padding = OCE_PADDING_VALID}};
    const oce_pool_desc pool = {
        .batch = 1, .height = 2, .width = 2, .channels = 1, .window = {.size = {2, 2}}};
    oce_pool_desc wide = pool;
    wide.window = (oce_window){.size = {3, 3}, .padding = OCE_PADDING_VALID};
    expect_failed(oce_bench_pool(device, &wide, OCE_PASS_FORWARD, &bench),
                  OCE_ERROR_INVALID_ARGUMENT, "the output is 1 x 0 x 0 x 1");
    const oce_gemm_desc nothing = {.m = 3, .n = 0, .k = 2};
    expect_failed(oce_bench_gemm(device, &nothing, &bench), OCE_ERROR_INVALID_ARGUMENT,
                  "m 3, n 0, k 2 is empty");
    const oce_gemm_desc product = {.m = -1, .n = 1, .k = 1};
    expect_failed(oce_bench_conv2d(device, &conv, OCE_PASS_FORWARD, &bench), OCE_ERROR_SHAPE,
                  "window");
    const oce_conv2d_desc too_small = {.batch = 1,
                                       .height = 4,
                                       .width = 9,
                                       .channels = 1,
                                       .filters = 2,
                                       .window = {.size = {5, 5}, .padding = OCE_PADDING_VALID}};
    expect_failed(oce_bench_conv2d(device, &too_small, OCE_PASS_FORWARD, &bench),
                  OCE_ERROR_INVALID_ARGUMENT, "the output is 1 x 0 x 5 x 2");
    oce_conv2d_desc no_images = too_small;
    no_images.batch = 0;
    no_images.height = 9;
    expect_failed(oce_bench_conv2d(device, &no_images, OCE_PASS_FILTER_GRAD, &bench),
                  OCE_ERROR_INVALID_ARGUMENT, "the convolution is empty: 0 x 9 x 9 x 1");
    expect_failed(oce_bench_conv2d(device, &conv, OCE_PASS_ALL, &bench), OCE_ERROR_INVALID_ARGUMENT,
                  "pass 7");
    expect_failed(oce_bench_pool(device, &pool, OCE_PASS_FILTER_GRAD, &bench),
                  OCE_ERROR_INVALID_ARGUMENT, "pass 4");
    expect_failed(oce_bench_gemm(device, &product, &bench), OCE_ERROR_INVALID_ARGUMENT, "-1");
    oce_recipe recipe;
    TEST_OK(oce_recipe_get("mnist", &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.training = false;
    expect_failed(oce_bench_model(device, recipe.network, &options, 0, &bench),
                  OCE_ERROR_INVALID_ARGUMENT, "0 images");
    cr_expect(bench == NULL);
    oce_bench_destroy(NULL);
}
