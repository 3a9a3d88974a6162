/* The gradients of convolution and pooling, by the reference, against numerical derivatives. */
#include "ref/ref.h"
#include "support/gradient.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

static const compare_limit exactly = {0, 0, 0};

/* --- Convolution --- */

typedef struct conv2d {
    oce_conv2d_desc desc;
    oce_window_geometry g;
    float *x, *filter, *bias, *dy;
    size_t x_count, f_count, k_count, y_count;
} conv2d;

static void conv2d_forward(const void *op, float *y) {
    const conv2d *t = op;
    cr_assert_eq(oce_ref_conv2d_forward(&t->desc, t->x, t->filter, t->bias, y), OCE_OK, "%s",
                 oce_last_error());
}

static conv2d conv2d_start(oce_random *random, const oce_conv2d_desc *d,
                           const oce_window_geometry *g) {
    conv2d t = {.desc = *d,
                .g = *g,
                .x_count = test_product(d->batch, d->height, d->width, d->channels),
                .f_count = test_product(g->size[0], g->size[1], d->channels, d->filters),
                .k_count = (size_t)d->filters,
                .y_count = test_product(d->batch, g->output[0], g->output[1], d->filters)};
    t.x = test_eighths(random, t.x_count);
    t.filter = test_eighths(random, t.f_count);
    t.bias = test_eighths(random, t.k_count);
    t.dy = test_eighths(random, t.y_count);
    /* Sums are multiples of 1/64: this keeps the ReLU's argument 1/128 from its kink. */
    for (size_t k = 0; k < t.k_count; k++)
        t.bias[k] += 1.0F / 128.0F;
    return t;
}

static void conv2d_end(conv2d *t) {
    free(t->x);
    free(t->filter);
    free(t->bias);
    free(t->dy);
}

static void check_conv2d(oce_random *random, const oce_conv2d_desc *desc,
                         const oce_window_geometry *g) {
    conv2d t = conv2d_start(random, desc, g);
    const bool relu = desc->activation == OCE_ACTIVATION_RELU;
    const float step = relu ? 1.0F / 512.0F : 0.5F; /* does not reach the kink */
    const gradient_loss l = {conv2d_forward, &t, t.dy, t.y_count};
    float *y = test_floats(t.y_count), *dz = test_floats(t.y_count);
    float *dx = test_floats(t.x_count), *df = test_floats(t.f_count), *db = test_floats(t.k_count);
    char name[200];
    snprintf(name, sizeof name,
             "conv2d %lldx%lldx%lldx%lld, window %lldx%lldx%lld, stride %lld,%lld, dilation "
             "%lld,%lld, padding %lld,%lld;%lld,%lld%s",
             (long long)desc->batch, (long long)desc->height, (long long)desc->width,
             (long long)desc->channels, (long long)g->size[0], (long long)g->size[1],
             (long long)desc->filters, (long long)g->stride[0], (long long)g->stride[1],
             (long long)g->dilation[0], (long long)g->dilation[1], (long long)g->before[0],
             (long long)g->after[0], (long long)g->before[1], (long long)g->after[1],
             relu ? ", relu" : "");
    conv2d_forward(&t, y);
    if (relu)
        oce_ref_relu_grad(t.y_count, t.dy, y, dz);
    else
        for (size_t i = 0; i < t.y_count; i++)
            dz[i] = t.dy[i];
    cr_assert_eq(oce_ref_conv2d_input_grad(desc, dz, t.filter, dx), OCE_OK);
    cr_assert_eq(oce_ref_conv2d_filter_grad(desc, t.x, dz, df), OCE_OK);
    oce_ref_bias_grad(desc->batch * g->output[0] * g->output[1], desc->filters, dz, db);
    check_gradient(&l, t.x, t.x_count, step, dx, exactly, name, "input gradient");
    check_gradient(&l, t.filter, t.f_count, step, df, exactly, name, "filter gradient");
    check_gradient(&l, t.bias, t.k_count, step, db, exactly, name, "bias gradient");
    free(db);
    free(df);
    free(dx);
    free(dz);
    free(y);
    conv2d_end(&t);
}

Test(ref_gradients, conv2d_of_odd_shapes) {
    static const oce_conv2d_desc cases[] = {
        {1, 5, 5, 1, 1, {.size = {5, 5}}, .activation = OCE_ACTIVATION_NONE},
        {2, 7, 5, 3, 2, {.size = {3, 3}}, .activation = OCE_ACTIVATION_RELU},
        {1, 6, 8, 2, 3, {.size = {3, 3}, .stride = {2, 2}}, .activation = OCE_ACTIVATION_NONE},
        {1, 7, 9, 1, 2, {.size = {2, 4}, .stride = {1, 3}}, .activation = OCE_ACTIVATION_RELU},
        {1, 9, 7, 2, 1, {.size = {3, 2}, .dilation = {2, 3}}, .activation = OCE_ACTIVATION_NONE},
        {1, 8, 8, 1, 1, {.size = {2, 2}, .stride = {3, 3}}, .activation = OCE_ACTIVATION_NONE},
        {3, 1, 1, 4, 5, {.size = {1, 1}}, .activation = OCE_ACTIVATION_RELU},
        {1, 6, 5, 2, 2, {.size = {3, 3}, .stride = {2, 1}, .dilation = {2, 1}}, .family = 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int padding = OCE_PADDING_SAME; padding <= OCE_PADDING_EXPLICIT; padding++) {
            oce_random random;
            oce_random_init(&random, i, OCE_RANDOM_TEST, (uint32_t)padding);
            oce_conv2d_desc desc = cases[i];
            desc.window.padding = (oce_padding)padding;
            for (int axis = 0; axis < 2; axis++) {
                desc.window.before[axis] = 2 - axis;
                desc.window.after[axis] = axis;
            }
            oce_window_geometry g;
            cr_assert_eq(oce_window_resolve(&desc.window, desc.height, desc.width, &g), OCE_OK,
                         "%s", oce_last_error());
            check_conv2d(&random, &desc, &g);
        }
}

static oce_window random_window(oce_random *random, int64_t largest_dilation) {
    oce_window window = {.padding = (oce_padding)test_between(random, 0, 2)};
    for (int axis = 0; axis < 2; axis++) {
        window.size[axis] = test_between(random, 1, 4);
        window.stride[axis] = test_between(random, 1, 3);
        window.dilation[axis] = test_between(random, 1, largest_dilation);
        window.before[axis] = test_between(random, 0, 2);
        window.after[axis] = test_between(random, 0, 2);
    }
    return window;
}

Test(ref_gradients, conv2d_of_random_shapes) {
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    int checked = 0;
    for (int i = 0; i < 100; i++) {
        const oce_conv2d_desc desc = {.batch = test_between(&random, 0, 2),
                                      .height = test_between(&random, 1, 7),
                                      .width = test_between(&random, 1, 7),
                                      .channels = test_between(&random, 1, 3),
                                      .filters = test_between(&random, 1, 3),
                                      .window = random_window(&random, 3),
                                      .activation = (oce_activation)test_between(&random, 0, 1)};
        oce_window_geometry g;
        if (oce_window_resolve(&desc.window, desc.height, desc.width, &g) != OCE_OK)
            continue;
        check_conv2d(&random, &desc, &g);
        checked++;
    }
    cr_expect_geq(checked, 70, "only %d of 100 random windows fit", checked);
}

/* --- Pooling --- */

typedef struct pool {
    oce_pool_desc desc;
    float *x;
} pool;

static void pool_forward(const void *op, float *y) {
    const pool *t = op;
    cr_assert_eq(oce_ref_pool_forward(&t->desc, t->x, y, NULL), OCE_OK, "%s", oce_last_error());
}

/* 0, 1, 2, ... in random order: no two are so near that a step changes their order. */
static float *shuffled(oce_random *random, size_t count) {
    float *values = test_floats(count);
    for (size_t i = 0; i < count; i++) {
        const size_t j = oce_random_below(random, (uint32_t)i + 1);
        values[i] = values[j];
        values[j] = (float)i;
    }
    return values;
}

static bool check_pool(oce_random *random, const oce_pool_desc *desc) {
    oce_window_geometry g;
    if (oce_window_resolve(&desc->window, desc->height, desc->width, &g) != OCE_OK)
        return false;
    const size_t x_count = test_product(desc->batch, desc->height, desc->width, desc->channels);
    const size_t y_count = test_product(desc->batch, g.output[0], g.output[1], desc->channels);
    pool t = {*desc, shuffled(random, x_count)};
    float *dy = test_eighths(random, y_count), *dx = test_floats(x_count);
    const gradient_loss l = {pool_forward, &t, dy, y_count};
    const oce_status status = oce_ref_pool_grad(desc, t.x, dy, dx);
    /* The average is rounded once more than it is exact, at most a few hundred times 2^-24. */
    const compare_limit rounded = {.absolute = 1e-4};
    char name[160];
    snprintf(name, sizeof name, "%s pool %lldx%lldx%lldx%lld, window %lldx%lld, stride %lld,%lld",
             desc->kind == OCE_POOL_MAX ? "max" : "average", (long long)desc->batch,
             (long long)desc->height, (long long)desc->width, (long long)desc->channels,
             (long long)g.size[0], (long long)g.size[1], (long long)g.stride[0],
             (long long)g.stride[1]);
    if (status == OCE_OK)
        check_gradient(&l, t.x, x_count, 0.25F, dx, desc->kind == OCE_POOL_MAX ? exactly : rounded,
                       name, "input gradient");
    free(dx);
    free(dy);
    free(t.x);
    return status == OCE_OK;
}

Test(ref_gradients, pool_of_odd_shapes) {
    static const oce_pool_desc cases[] = {
        {OCE_POOL_MAX, 2, 8, 8, 2, {.size = {2, 2}, .stride = {2, 2}}},
        {OCE_POOL_MAX, 1, 9, 7, 3, {.size = {3, 3}, .stride = {2, 2}}},
        {OCE_POOL_MAX, 1, 8, 6, 1, {.size = {3, 2}, .stride = {1, 3}}},
        {OCE_POOL_MAX, 1, 7, 7, 1, {.size = {2, 2}, .stride = {3, 3}}},
        {OCE_POOL_MAX, 1, 5, 5, 2, {.size = {5, 5}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int kind = OCE_POOL_MAX; kind <= OCE_POOL_AVERAGE; kind++)
            for (int padding = OCE_PADDING_SAME; padding <= OCE_PADDING_EXPLICIT; padding++) {
                oce_random random;
                oce_random_init(&random, i, OCE_RANDOM_TEST, (uint32_t)padding);
                oce_pool_desc desc = cases[i];
                desc.kind = (oce_pool_kind)kind;
                desc.window.padding = (oce_padding)padding;
                desc.window.before[0] = desc.window.after[1] = 1;
                cr_expect(check_pool(&random, &desc), "case %zu: %s", i, oce_last_error());
            }
}

Test(ref_gradients, pool_of_random_shapes) {
    oce_random random;
    oce_random_init(&random, 2, OCE_RANDOM_TEST, 0);
    int checked = 0;
    for (int i = 0; i < 100; i++) {
        const oce_pool_desc desc = {.kind = (oce_pool_kind)test_between(&random, 0, 1),
                                    .batch = test_between(&random, 0, 2),
                                    .height = test_between(&random, 1, 8),
                                    .width = test_between(&random, 1, 8),
                                    .channels = test_between(&random, 1, 3),
                                    .window = random_window(&random, 1)};
        checked += check_pool(&random, &desc);
    }
    cr_expect_geq(checked, 70, "only %d of 100 random windows fit", checked);
}
