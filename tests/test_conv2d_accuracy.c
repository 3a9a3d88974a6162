/* How far Winograd's results are from src/ref where AUTO picks it: less than 2e-5 of the largest
 * value, for the layers of both networks and over a sweep of shapes. */
#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"

#include "device/device.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double of_largest = 2e-5;

typedef enum inputs { AFTER_RELU, UNSCALED_BYTES } inputs;

static oce_conv2d_desc describe(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k,
                                int64_t window) {
    oce_conv2d_desc desc = conv2d_same(OCE_CONV2D_AUTO, n, h, w, c, k, window, window);
    desc.activation = OCE_ACTIVATION_NONE;
    return desc;
}

/* X: a normal distribution's positive half, the rest 0, or bytes; dY: around 0, half of it 0. */
static conv2d_data make_data(const oce_conv2d_desc *d, inputs kind, uint64_t seed) {
    const conv2d_data data = conv2d_random(d, seed);
    float *x = (float *)data.x, *dy = (float *)data.dy;
    const int64_t pixels = d->batch * d->height * d->width;
    for (int64_t i = 0; i < pixels * d->channels; i++)
        x[i] = kind == AFTER_RELU ? fmaxf(x[i], 0) : floorf((x[i] + 1) * 127.5F);
    int64_t y[4];
    conv2d_result_shape(d, OCE_PASS_FORWARD, y);
    for (int64_t i = 0; i < y[0] * y[1] * y[2] * y[3]; i++)
        dy[i] = fabsf(dy[i]) < 0.5F ? 0 : dy[i];
    return data;
}

/* What a part of a 4-d array is made of: index `step` * i along each axis for i below `count`. */
typedef struct slice {
    int64_t step[4], count[4];
} slice;

static float *take(const float *from, const int64_t dim[4], const slice *s) {
    float *part = test_zeros((size_t)(s->count[0] * s->count[1] * s->count[2] * s->count[3]));
    float *to = part;
    for (int64_t a = 0; a < s->count[0]; a++)
        for (int64_t b = 0; b < s->count[1]; b++)
            for (int64_t c = 0; c < s->count[2]; c++)
                for (int64_t d = 0; d < s->count[3]; d++)
                    *to++ =
                        from[((a * s->step[0] * dim[1] + b) * dim[2] + c * s->step[2]) * dim[3] +
                             d * s->step[3]];
    return part;
}

/* All of an array, but along two axes only some that are spread evenly. */
static slice spread(const int64_t dim[4], int axis, int64_t some, int other, int64_t others) {
    slice s = {.step = {1, 1, 1, 1}, .count = {dim[0], dim[1], dim[2], dim[3]}};
    const int axes[] = {axis, other};
    const int64_t wanted[] = {some, others};
    for (int i = 0; i < 2; i++)
        if (wanted[i] < dim[axes[i]]) {
            s.step[axes[i]] = dim[axes[i]] / wanted[i];
            s.count[axes[i]] = wanted[i];
        }
    return s;
}

/* The error of a pass as a part of the largest value, on some images and channels: the reference
 * computes no others. */
static double error_of(oce_device *device, const oce_conv2d_desc *d, oce_pass pass, inputs kind) {
    const conv2d_data all = make_data(d, kind, 5);
    const int64_t x[4] = {d->batch, d->height, d->width, d->channels};
    int64_t f[4], y[4], result[4];
    conv2d_result_shape(d, OCE_PASS_FILTER_GRAD, f);
    conv2d_result_shape(d, OCE_PASS_FORWARD, y);
    conv2d_result_shape(d, pass, result);
    const bool is_filter = pass == OCE_PASS_FILTER_GRAD;
    const int64_t images = is_filter ? d->batch : 2;
    const int64_t channels = pass == OCE_PASS_FORWARD ? d->channels : is_filter ? 4 : 8;
    const int64_t filters = pass == OCE_PASS_INPUT_GRAD ? d->filters : is_filter ? 4 : 8;
    const slice x_part = spread(x, 0, images, 3, channels),
                y_part = spread(y, 0, images, 3, filters);
    const slice f_part = spread(f, 2, channels, 3, filters);
    const conv2d_data part = {.x = take(all.x, x, &x_part),
                              .filter = take(all.filter, f, &f_part),
                              .dy = take(all.dy, y, &y_part)};
    oce_conv2d_desc small = *d;
    small.batch = x_part.count[0];
    small.channels = x_part.count[3];
    small.filters = y_part.count[3];
    const conv2d_data no_bias = {.x = all.x, .filter = all.filter, .dy = all.dy};
    float *everything = conv2d_run(device, d, pass, &no_bias, NULL);
    float *expected = conv2d_expected(&small, pass, &part);
    const slice *s = is_filter ? &f_part : pass == OCE_PASS_FORWARD ? &y_part : &x_part;
    float *got = take(everything, result, s);
    const compare_report report = compare_floats(
        got, expected, (size_t)(s->count[0] * s->count[1] * s->count[2] * s->count[3]), NULL,
        (compare_limit){.of_largest = 1});
    cr_expect(report.equal, "%s: %s", conv2d_describe(d, pass), report.message);
    free(got);
    free(expected);
    free(everything);
    conv2d_free_data(&part);
    conv2d_free_data(&all);
    return report.largest > 0 ? report.max_absolute / report.largest : 0;
}

static void check(oce_device *device, const oce_conv2d_desc *d, double *worst) {
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        for (int kind = AFTER_RELU; kind <= UNSCALED_BYTES; kind++) {
            const double error = error_of(device, d, (oce_pass)pass, (inputs)kind);
            *worst = fmax(*worst, error);
            cr_expect(error < of_largest, "%s, %s: %.3g of the largest value",
                      conv2d_describe(d, (oce_pass)pass),
                      kind == AFTER_RELU ? "inputs after a ReLU" : "bytes", error);
        }
}

static void check_all(const oce_conv2d_desc *descs, int count) {
    oce_device *device = test_open_device();
    double worst = 0;
    for (int i = 0; i < count; i++)
        check(device, &descs[i], &worst);
    fprintf(stderr, "largest error: %.3g of the largest value\n", worst);
    oce_device_close(device);
}

/* Where AUTO picks another family its errors are smaller. */
Test(conv2d_accuracy, of_the_layers_of_both_networks) {
    const oce_conv2d_desc layers[] = {
        describe(50, 28, 28, 1, 32, 5),  describe(128, 32, 32, 3, 64, 5),
        describe(50, 14, 14, 32, 64, 5), describe(128, 16, 16, 64, 64, 5),
        describe(128, 8, 8, 64, 128, 3), describe(128, 8, 8, 128, 128, 3)};
    check_all(layers, test_is_small() ? 0 : OCE_COUNT(layers));
}

/* Few and many tiles, images that are no multiple of a tile, few and many channels. */
Test(conv2d_accuracy, over_a_sweep_of_shapes) {
    const oce_conv2d_desc sweep[] = {
        describe(1, 14, 14, 16, 16, 3),   describe(1, 14, 14, 16, 16, 5),
        describe(1, 56, 56, 64, 64, 3),   describe(1, 112, 112, 16, 32, 3),
        describe(1, 56, 56, 32, 32, 5),   describe(1, 112, 112, 16, 16, 5),
        describe(256, 2, 2, 16, 16, 3),   describe(256, 2, 2, 16, 16, 5),
        describe(256, 6, 6, 16, 32, 3),   describe(256, 6, 6, 16, 32, 5),
        describe(4, 7, 7, 512, 512, 3),   describe(4, 7, 7, 512, 64, 5),
        describe(2, 13, 9, 4096, 16, 3),  describe(4, 6, 6, 512, 32, 5),
        describe(8, 14, 14, 256, 256, 3), describe(8, 14, 14, 192, 96, 5),
        describe(32, 28, 28, 48, 80, 3),  describe(32, 28, 28, 48, 32, 5),
        describe(1, 224, 224, 16, 16, 3), describe(1, 224, 224, 16, 16, 5),
        describe(512, 8, 8, 32, 32, 3),   describe(512, 8, 8, 32, 32, 5),
        describe(1, 96, 96, 1, 8, 3),     describe(3, 30, 30, 12, 20, 5),
        describe(2, 50, 47, 31, 33, 3),   describe(2, 50, 47, 32, 33, 5),
        describe(1000, 4, 4, 32, 16, 3),  describe(1000, 4, 4, 32, 16, 5)};
    check_all(sweep, test_is_small() ? 0 : OCE_COUNT(sweep));
}

/* The channels from which AUTO takes it on GPUs, whatever this device says of itself; of the filter
 * gradient as many tiles a sum as it allows, 512. */
Test(conv2d_accuracy, of_many_channels) {
    oce_conv2d_desc many[] = {describe(8, 16, 16, 512, 128, 5), describe(32, 16, 16, 256, 256, 5),
                              describe(8, 28, 28, 256, 256, 3)};
    for (int i = 0; i < OCE_COUNT(many); i++)
        many[i].family = OCE_CONV2D_WINOGRAD;
    oce_device *device = test_open_device();
    oce_conv2d_plan *plan = NULL;
    const oce_status status = oce_conv2d_plan_create(device, &many[0], OCE_PASS_FORWARD, &plan);
    oce_conv2d_plan_destroy(plan);
    oce_device_close(device);
    if (status == OCE_ERROR_UNSUPPORTED)
        cr_skip_test("%s", oce_last_error());
    check_all(many, test_is_small() ? 0 : OCE_COUNT(many));
}
