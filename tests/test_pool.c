/* Pooling on the device against test vectors, src/ref and numerical derivatives. */
#include "base/random.h"
#include "base/size.h"
#include "device/internal.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/halo.h"
#include "support/pool.h"
#include "support/vectors.h"

#include <ocelli/pool.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const compare_limit exactly = {0, 0, 0};
static const compare_limit rounding = {.of_largest = 1e-6};

static const char *describe(const oce_pool_desc *d) {
    static char text[200];
    snprintf(text, sizeof text,
             "%s n%lld h%lld w%lld c%lld window %lldx%lld stride %lldx%lld pad %d",
             d->kind == OCE_POOL_MAX ? "max" : "average", (long long)d->batch, (long long)d->height,
             (long long)d->width, (long long)d->channels, (long long)d->window.size[0],
             (long long)d->window.size[1], (long long)d->window.stride[0],
             (long long)d->window.stride[1], (int)d->window.padding);
    return text;
}

/* Forward, winners, gradient and, for the maximum, the gradient through a ReLU against src/ref. */
static void check_against_ref(oce_device *device, const oce_pool_desc *desc, const oce_halo *halo,
                              const float *x, uint64_t seed) {
    const bool is_max = desc->kind == OCE_POOL_MAX;
    const compare_limit limit = is_max ? exactly : rounding;
    pool_run r = pool_run_open(device, desc, halo);
    float *expected_y = test_floats(r.outputs), *expected_dx = test_floats(r.inputs);
    uint8_t *expected = calloc(r.outputs + 1, 1), *winners = calloc(r.outputs + 1, 1);
    float *dy = test_random(r.outputs, seed + 1);

    cr_assert_eq(oce_ref_pool_forward(desc, x, expected_y, is_max ? expected : NULL), OCE_OK);
    float *y = pool_run_forward(&r, x);
    expect_floats(y, expected_y, r.outputs, r.y_shape, limit, "%s: y", describe(desc));
    test_expect_clear_halo(&r.y, describe(desc));
    if (is_max) {
        TEST_OK(oce_buffer_read(r.winners, 0, winners, r.outputs));
        expect_bytes(winners, expected, r.outputs, "%s: winners", describe(desc));
    }

    cr_assert_eq(oce_ref_pool_grad(desc, x, dy, expected_dx), OCE_OK);
    float *dx = pool_run_grad(&r, dy, NULL);
    expect_floats(dx, expected_dx, r.inputs, r.x_shape, rounding, "%s: dx", describe(desc));
    test_expect_clear_halo(&r.dx, describe(desc));

    if (is_max) {
        float *masked = test_floats(r.outputs);
        oce_ref_relu_grad(r.outputs, dy, y, masked);
        cr_assert_eq(oce_ref_pool_grad(desc, x, masked, expected_dx), OCE_OK);
        free(dx);
        dx = pool_run_grad(&r, dy, &r.y);
        expect_floats(dx, expected_dx, r.inputs, r.x_shape, rounding, "%s: dx through a ReLU",
                      describe(desc));
        free(masked);
    }
    free(dx);
    free(y);
    free(dy);
    free(winners);
    free(expected);
    free(expected_dx);
    free(expected_y);
    pool_run_close(&r);
}

/* --- Test vectors --- */

/* The element of X that each winner stands for, as the vector's argmax counts it. */
static void check_argmax(const pool_run *r, const pool_vector *v) {
    const oce_window_geometry *g = oce_pool_plan_geometry(r->plan);
    uint8_t *winners = calloc(r->outputs + 1, 1);
    TEST_OK(oce_buffer_read(r->winners, 0, winners, r->outputs));
    for (size_t at = 0; at < r->outputs; at++) {
        const int64_t c = (int64_t)at % r->y_shape[3], pixel = (int64_t)at / r->y_shape[3];
        const int64_t j = pixel % r->y_shape[2], i = pixel / r->y_shape[2] % r->y_shape[1];
        const int64_t n = pixel / r->y_shape[2] / r->y_shape[1];
        const int64_t h = i * g->stride[0] - g->before[0] + winners[at] / g->size[1];
        const int64_t w = j * g->stride[1] - g->before[1] + winners[at] % g->size[1];
        const int64_t element = ((n * r->x_shape[1] + h) * r->x_shape[2] + w) * r->x_shape[3] + c;
        cr_expect_eq(element, v->argmax[at], "%s: output %zu: won by %lld, not %lld", v->name, at,
                     (long long)element, (long long)v->argmax[at]);
    }
    free(winners);
}

static void check_vector(oce_device *device, const pool_vector *v) {
    pool_run r = pool_run_open(device, &v->desc, NULL);
    cr_assert_eq(memcmp(r.y_shape, v->y_shape, sizeof r.y_shape), 0, "%s: output shape", v->name);
    float *y = pool_run_forward(&r, v->x.values);
    if (v->y.values)
        expect_floats(y, v->y.values, r.outputs, r.y_shape, vector_limit(v->tolerance), "%s",
                      v->name);
    if (v->argmax)
        check_argmax(&r, v);
    if (v->dx.values) {
        float *dx = pool_run_grad(&r, v->dy.values, NULL);
        expect_floats(dx, v->dx.values, r.inputs, r.x_shape, vector_limit(v->tolerance),
                      "%s, gradient", v->name);
        free(dx);
    }
    free(y);
    pool_run_close(&r);
}

static void check_file(const char *name, size_t count) {
    oce_device *device = test_open_device();
    vector_file *file = vectors_open(name);
    cr_expect_eq(vectors_count(file), count);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const pool_vector v = vectors_pool(file, i);
        check_vector(device, &v);
    }
    vectors_close(file);
    oce_device_close(device);
}

Test(pool, forward_gives_tensorflows_numbers) {
    check_file("tf_pool_forward.json", 32);
}

Test(pool, max_gradient_gives_tensorflows_numbers) {
    check_file("tf_max_pool_grad.json", 10);
}

Test(pool, average_gradient_gives_tensorflows_numbers) {
    check_file("tfjs_avg_pool_and_grad.json", 6);
}

/* --- Sweeps --- */

/* Windows and strides; each is a program of its own, so they are few. */
static const struct {
    int64_t size[2], stride[2];
} windows[] = {{{2, 2}, {2, 2}}, {{3, 3}, {2, 2}}, {{1, 1}, {1, 1}}, {{3, 3}, {1, 1}},
               {{5, 4}, {3, 2}}, {{2, 3}, {4, 1}}, {{1, 5}, {1, 4}}, {{4, 1}, {3, 3}}};

/* Values of few kinds, so that windows have equal maxima; many negative, so that a zero in the
 * padding would win. */
static float *values_with_ties(size_t count, oce_random *random) {
    float *x = test_floats(count);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)oce_random_below(random, 5) - 4.0F;
    return x;
}

/* Every second shape has the same channels, so that each window needs two programs only. */
static oce_pool_desc random_desc(oce_random *random, oce_pool_kind kind, size_t window, int shape) {
    static const int64_t channels[] = {32, 10, 3, 24, 16, 1, 4, 48, 5};
    oce_pool_desc d = {.kind = kind,
                       .batch = test_between(random, 1, 3),
                       .height = test_between(random, 5, 11),
                       .width = test_between(random, 5, 11),
                       .channels = channels[(window + 4 * ((size_t)shape % 2)) % 9]};
    for (int axis = 0; axis < 2; axis++) {
        d.window.size[axis] = windows[window].size[axis];
        d.window.stride[axis] = windows[window].stride[axis];
        d.window.before[axis] = test_between(random, 0, d.window.size[axis] - 1);
        d.window.after[axis] = test_between(random, 0, d.window.size[axis] - 1);
    }
    d.window.padding = (oce_padding)oce_random_below(random, 3);
    return d;
}

static void sweep(oce_pool_kind kind, uint64_t seed) {
    oce_device *device = test_open_device();
    const oce_halo halo = {1, 2, 3, 1};
    const size_t window_count = test_is_small() ? 5 : sizeof windows / sizeof windows[0];
    const int shapes = test_is_small() ? 1 : 6;
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 0);
    for (size_t w = 0; w < window_count; w++)
        for (int i = 0; i < shapes; i++) {
            const oce_pool_desc desc = random_desc(&random, kind, w, i);
            const size_t count = test_product(desc.batch, desc.height, desc.width, desc.channels);
            float *x = values_with_ties(count, &random);
            check_against_ref(device, &desc, (i + (int)w) % 2 == 0 ? &halo : NULL, x, seed);
            free(x);
        }
    oce_device_close(device);
}

Test(pool, max_agrees_with_the_reference) {
    sweep(OCE_POOL_MAX, 11);
}

Test(pool, average_agrees_with_the_reference) {
    sweep(OCE_POOL_AVERAGE, 12);
}

Test(pool, max_over_nan_and_infinities_follows_the_rule) {
    const float specials[] = {NAN, INFINITY, -INFINITY, -1, -2, -1};
    const oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                                .batch = 2,
                                .height = 6,
                                .width = 7,
                                .channels = 16,
                                .window = {.size = {3, 3}, .stride = {2, 2}}};
    oce_device *device = test_open_device();
    oce_random random;
    oce_random_init(&random, 13, OCE_RANDOM_TEST, 0);
    float *x = test_floats(2 * 6 * 7 * 16);
    for (size_t i = 0; i < 2 * 6 * 7 * 16; i++)
        x[i] = specials[oce_random_below(&random, 6)];
    check_against_ref(device, &desc, NULL, x, 13);
    free(x);
    oce_device_close(device);
}

Test(pool, windows_of_255_positions_and_beyond) {
    oce_device *device = test_open_device();
    oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                          .batch = 1,
                          .height = 17,
                          .width = 16,
                          .channels = 2,
                          .window = {.size = {17, 15}, .padding = OCE_PADDING_VALID}};
    float *x = test_random(17 * 16 * 2, 14);
    x[(16 * 16 + 14) * 2] = 2; /* position 254 of the first window */
    check_against_ref(device, &desc, NULL, x, 14);
    desc.kind = OCE_POOL_AVERAGE; /* has no limit: all of the image */
    desc.window.size[1] = 16;
    check_against_ref(device, &desc, NULL, x, 14);
    free(x);
    oce_device_close(device);
}

Test(pool, rows_longer_than_a_work_item_takes) {
    const int64_t width = test_is_small() ? 160 : 700;
    const oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                                .batch = 1,
                                .height = 3,
                                .width = width,
                                .channels = 48,
                                .window = {.size = {3, 3}, .stride = {1, 1}}};
    oce_device *device = test_open_device();
    float *x = test_random((size_t)(3 * width * 48), 19);
    check_against_ref(device, &desc, NULL, x, 19);
    free(x);
    oce_device_close(device);
}

/* Where the driver may break long loops off, an item takes a part of the channels. */
Test(pool, channels_of_several_work_items) {
    const oce_pool_desc descs[] = {
        {OCE_POOL_AVERAGE, 2, 24, 21, 40, {.size = {24, 21}, .padding = OCE_PADDING_VALID}},
        {OCE_POOL_AVERAGE, 1, 9, 8, 36, {.size = {9, 19}, .stride = {1, 1}}},
        {OCE_POOL_MAX, 1, 9, 8, 36, {.size = {9, 11}, .stride = {1, 1}}},
        {OCE_POOL_MAX, 1, 9, 8, 144, {.size = {5, 3}, .stride = {1, 1}}},
    };
    oce_device *device = test_open_device();
    device->limits.loop_rounds = 600;
    for (int i = 0; i < OCE_COUNT(descs); i++) {
        const oce_pool_desc *d = &descs[i];
        float *x = test_random((size_t)(d->batch * d->height * d->width * d->channels), 23);
        check_against_ref(device, d, NULL, x, 23);
        free(x);
    }
    device->limits.loop_rounds = 100; /* 24 rows of 21 / 8 + 8 rounds and two more */
    if (device->limits.is_cpu) {
        oce_pool_plan *plan = NULL;
        cr_expect_eq(oce_pool_plan_create(device, &descs[0], &plan), OCE_ERROR_UNSUPPORTED);
        cr_expect_not_null(strstr(oce_last_error(), "24 x 21 takes 290 rounds"), "%s",
                           oce_last_error());
    }
    oce_device_close(device);
}

/* A mean over an image, with more elements than rounds that the loops of some drivers have. */
Test(pool, average_of_a_large_image) {
    const int64_t size = test_is_small() ? 24 : 112;
    const oce_pool_desc desc = {.kind = OCE_POOL_AVERAGE,
                                .batch = 1,
                                .height = size,
                                .width = size,
                                .channels = 48,
                                .window = {.size = {size, size}, .padding = OCE_PADDING_VALID}};
    oce_device *device = test_open_device();
    oce_random random;
    oce_random_init(&random, 24, OCE_RANDOM_TEST, 0);
    pool_run r = pool_run_open(device, &desc, NULL);
    float *x = test_eighths(&random, r.inputs); /* whose sums are exact */
    float *y = pool_run_forward(&r, x), *expected = test_floats(r.outputs);
    cr_assert_eq(oce_ref_pool_forward(&desc, x, expected, NULL), OCE_OK);
    expect_floats(y, expected, r.outputs, r.y_shape, rounding, "%s", describe(&desc));
    free(expected);
    free(y);
    free(x);
    pool_run_close(&r);
    oce_device_close(device);
}

/* --- Derivatives, repeats --- */

static void forward_of_run(const void *op, float *y) {
    const pool_run *r = op;
    TEST_OK(oce_pool_forward(r->plan, &r->x, &r->y, r->winners));
    TEST_OK(oce_tensor_read(&r->y, y));
}

/* check_gradient() moves values on the host: this copy of them goes to the device first. */
typedef struct moved_run {
    const pool_run *run;
    const float *x;
} moved_run;

static void forward_of_moved(const void *op, float *y) {
    const moved_run *moved = op;
    TEST_OK(oce_tensor_write(&moved->run->x, moved->x));
    forward_of_run(moved->run, y);
}

static void check_derivative(oce_pool_kind kind) {
    oce_device *device = test_open_device();
    const oce_pool_desc desc = {.kind = kind,
                                .batch = 1,
                                .height = 5,
                                .width = 4,
                                .channels = 3,
                                .window = {.size = {3, 3}, .stride = {2, 2}}};
    pool_run r = pool_run_open(device, &desc, NULL);
    oce_random random;
    oce_random_init(&random, 15, OCE_RANDOM_TEST, 0);
    float *x = test_floats(r.inputs), *dy = test_eighths(&random, r.outputs);
    for (size_t i = 0; i < r.inputs; i++) /* no two are nearer than two steps */
        x[i] = (float)((i * 37) % r.inputs) / 4.0F;
    float *y = pool_run_forward(&r, x), *dx = pool_run_grad(&r, dy, NULL);
    const moved_run moved = {&r, x};
    const gradient_loss loss = {forward_of_moved, &moved, dy, r.outputs};
    const compare_limit limit = kind == OCE_POOL_MAX ? exactly : (compare_limit){.absolute = 1e-4};
    check_gradient(&loss, x, r.inputs, 0.0625F, dx, limit, describe(&desc), "dx");
    free(dx);
    free(y);
    free(dy);
    free(x);
    pool_run_close(&r);
    oce_device_close(device);
}

Test(pool, max_gradient_is_the_derivative) {
    check_derivative(OCE_POOL_MAX);
}

Test(pool, average_gradient_is_the_derivative) {
    check_derivative(OCE_POOL_AVERAGE);
}

Test(pool, repeats_bit_for_bit) {
    oce_device *device = test_open_device();
    const oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                                .batch = 2,
                                .height = 9,
                                .width = 9,
                                .channels = 16,
                                .window = {.size = {3, 3}, .stride = {2, 2}}};
    pool_run r = pool_run_open(device, &desc, NULL);
    float *x = test_random(r.inputs, 16), *dy = test_random(r.outputs, 17);
    float *y = pool_run_forward(&r, x), *dx = pool_run_grad(&r, dy, NULL);
    for (int repeat = 0; repeat < 3; repeat++) {
        float *y2 = pool_run_forward(&r, x), *dx2 = pool_run_grad(&r, dy, NULL);
        expect_bytes(y2, y, r.outputs * sizeof *y, "y");
        expect_bytes(dx2, dx, r.inputs * sizeof *dx, "dx");
        free(dx2);
        free(y2);
    }
    free(dx);
    free(y);
    free(dy);
    free(x);
    pool_run_close(&r);
    oce_device_close(device);
}

/* --- Empty, refused --- */

Test(pool, empty_batches_and_outputs_are_legal) {
    oce_device *device = test_open_device();
    oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                          .batch = 0,
                          .height = 4,
                          .width = 4,
                          .channels = 3,
                          .window = {.size = {2, 2}, .stride = {2, 2}}};
    const float nothing = 0;
    check_against_ref(device, &desc, NULL, &nothing, 18);
    desc.batch = 1;
    desc.channels = 0;
    check_against_ref(device, &desc, NULL, &nothing, 18);
    float *x = test_random(2 * 3 * 5 * 4, 18); /* no window fits: y is empty, dx is 0 */
    const oce_pool_desc empty = {.kind = OCE_POOL_AVERAGE,
                                 .batch = 2,
                                 .height = 3,
                                 .width = 5,
                                 .channels = 4,
                                 .window = {.size = {4, 2}, .padding = OCE_PADDING_VALID}};
    check_against_ref(device, &empty, NULL, x, 18);
    free(x);
    oce_device_close(device);
}

Test(pool, refuses_descriptions_that_cannot_be) {
    const oce_pool_desc good = {.kind = OCE_POOL_MAX,
                                .batch = 1,
                                .height = 6,
                                .width = 6,
                                .channels = 2,
                                .window = {.size = {2, 2}, .stride = {2, 2}}};
    struct {
        oce_pool_desc desc;
        oce_status expected;
    } bad[] = {{good, OCE_ERROR_INVALID_ARGUMENT},
               {good, OCE_ERROR_INVALID_ARGUMENT},
               {good, OCE_ERROR_INVALID_ARGUMENT},
               {good, OCE_ERROR_INVALID_ARGUMENT},
               {good, OCE_ERROR_INVALID_ARGUMENT},
               {good, OCE_ERROR_SHAPE},
               {good, OCE_ERROR_SHAPE},
               {good, OCE_ERROR_OVERFLOW},
               {good, OCE_ERROR_OVERFLOW}};
    bad[0].desc.batch = -1;
    bad[1].desc.channels = -1;
    bad[2].desc.kind = (oce_pool_kind)5;
    bad[3].desc.window.dilation[1] = 2;
    bad[4].desc.window.size[0] = bad[4].desc.window.size[1] = 16; /* 256 positions */
    bad[5].desc.window =
        (oce_window){.size = {2, 2}, .padding = OCE_PADDING_EXPLICIT, .before = {2, 0}};
    bad[6].desc.window =
        (oce_window){.size = {2, 2}, .padding = OCE_PADDING_EXPLICIT, .after = {0, 2}};
    bad[7].desc.batch = bad[7].desc.height = INT64_C(1) << 40;
    bad[8].desc.height = bad[8].desc.width = 1 << 14; /* 2^29 elements in an image */
    oce_device *device = test_open_device();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        oce_pool_plan *plan = NULL;
        cr_expect_eq(oce_pool_plan_create(device, &bad[i].desc, &plan), bad[i].expected, "%zu: %s",
                     i, oce_last_error());
        cr_expect_null(plan);
        oce_pool_plan_destroy(plan);
    }
    oce_device_close(device);
}

Test(pool, refuses_tensors_that_do_not_fit) {
    oce_device *device = test_open_device();
    oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                          .batch = 1,
                          .height = 6,
                          .width = 6,
                          .channels = 2,
                          .window = {.size = {2, 2}, .stride = {2, 2}}};
    pool_run r = pool_run_open(device, &desc, NULL);
    oce_buffer *small = NULL;
    TEST_OK(oce_buffer_create(device, r.outputs - 1, &small));
    cr_expect_eq(oce_pool_forward(r.plan, &r.y, &r.y, r.winners), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_pool_forward(r.plan, &r.x, &r.x, r.winners), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_pool_forward(r.plan, &r.x, NULL, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_pool_forward(r.plan, &r.x, &r.y, small), OCE_ERROR_INVALID_ARGUMENT);
    TEST_OK(oce_pool_forward(r.plan, &r.x, &r.y, NULL));
    cr_expect_eq(oce_pool_grad(r.plan, &r.dy, NULL, NULL, &r.dx), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_pool_grad(r.plan, &r.dy, small, NULL, &r.dx), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_pool_grad(r.plan, &r.dy, r.winners, &r.x, &r.dx), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_pool_grad(r.plan, &r.dx, r.winners, NULL, &r.dx), OCE_ERROR_SHAPE);
    pool_run_close(&r);
    desc.kind = OCE_POOL_AVERAGE;
    r = pool_run_open(device, &desc, NULL);
    cr_expect_eq(oce_pool_forward(r.plan, &r.x, &r.y, small), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_pool_grad(r.plan, &r.dy, small, NULL, &r.dx), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_pool_grad(r.plan, &r.dy, NULL, &r.y, &r.dx), OCE_ERROR_INVALID_ARGUMENT);
    pool_run_close(&r);
    oce_buffer_destroy(small);
    oce_device_close(device);
}
