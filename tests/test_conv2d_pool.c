/* A convolution that pools its output gives, bit for bit, what the two give apart. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "support/compare.h"
#include "support/device.h"

#include "device/internal.h"
#include "nn/model.h"
#include "ops/conv2d_pool.h"

#include <ocelli/train.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pooled_case {
    int64_t batch, height, width, channels, filters;
    int64_t window;
    oce_padding padding;
    oce_activation activation;
    oce_window pool;
    bool has_nan;
    oce_halo halo; /* of the pool's output */
} pooled_case;

#define POOL(kh, kw, sh, sw, pad)                                                                  \
    { .size = {kh, kw}, .stride = {sh, sw}, .padding = OCE_PADDING_##pad }

/* Channels that no vector divides: the kernels for few. */
static const pooled_case few_cases[] = {
    {1, 8, 8, 3, 16, 3, OCE_PADDING_SAME, OCE_ACTIVATION_RELU, POOL(2, 2, 2, 2, SAME), false, {0}},
    {3,
     9,
     11,
     3,
     21,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     false,
     {1, 1, 1, 1}},
    {2, 13, 7, 1, 9, 3, OCE_PADDING_VALID, OCE_ACTIVATION_NONE, POOL(3, 2, 1, 3, SAME), true, {0}},
    {3,
     10,
     17,
     5,
     33,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(2, 3, 4, 1, VALID),
     true,
     {2, 1, 0, 3}},
    {1, 7, 5, 3, 3, 3, OCE_PADDING_SAME, OCE_ACTIVATION_NONE, POOL(5, 4, 2, 2, SAME), true, {0}},
    {2, 6, 6, 7, 18, 3, OCE_PADDING_SAME, OCE_ACTIVATION_RELU, POOL(6, 6, 6, 6, VALID), false, {0}},
    {2,
     12,
     10,
     3,
     16,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     false,
     {0}},
    {1, 1, 2, 3, 5, 5, OCE_PADDING_SAME, OCE_ACTIVATION_NONE, POOL(1, 1, 1, 1, VALID), false, {0}},
};

static const pooled_case large_few_cases[] = {
    {128,
     12,
     12,
     1,
     32,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(2, 2, 2, 2, SAME),
     false,
     {2, 2, 2, 2}},
    {3,
     32,
     32,
     3,
     64,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     false,
     {2, 2, 2, 2}},
    {1,
     32,
     32,
     3,
     64,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     false,
     {0}},
    {1,
     90,
     131,
     3,
     35,
     3,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 3, 3, SAME),
     true,
     {0}},
    {2,
     61,
     40,
     9,
     70,
     3,
     OCE_PADDING_VALID,
     OCE_ACTIVATION_NONE,
     POOL(16, 15, 7, 4, VALID),
     true,
     {0}},
};

/* Channels that every vector divides: the kernels for many. Tiles of several images share a chunk,
 * or an image takes several chunks. */
static const pooled_case many_cases[] = {
    {1, 8, 8, 16, 16, 3, OCE_PADDING_SAME, OCE_ACTIVATION_RELU, POOL(2, 2, 2, 2, SAME), false, {0}},
    {5,
     5,
     9,
     16,
     32,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     true,
     {1, 1, 1, 1}},
    {3,
     12,
     7,
     16,
     48,
     3,
     OCE_PADDING_VALID,
     OCE_ACTIVATION_NONE,
     POOL(3, 2, 1, 3, SAME),
     true,
     {0}},
    {4,
     10,
     13,
     32,
     16,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_NONE,
     POOL(2, 3, 4, 1, VALID),
     false,
     {2, 1, 0, 3}},
    {4,
     16,
     15,
     32,
     64,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     false,
     {0}},
    {2, 7, 6, 16, 16, 3, OCE_PADDING_SAME, OCE_ACTIVATION_RELU, POOL(6, 6, 6, 6, SAME), true, {0}},
};

static const pooled_case large_many_cases[] = {
    {128,
     14,
     14,
     32,
     64,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(2, 2, 2, 2, SAME),
     false,
     {0}},
    {3,
     16,
     16,
     64,
     64,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     true,
     {2, 2, 2, 2}},
    {1,
     38,
     41,
     16,
     32,
     3,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 3, 3, SAME),
     true,
     {0}},
    {11,
     9,
     9,
     48,
     160,
     3,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_NONE,
     POOL(5, 4, 2, 1, VALID),
     true,
     {0}},
};

/* One image for several units, which share its output channels */
static const pooled_case single_cases[] = {
    {1, 9, 13, 16, 32, 3, OCE_PADDING_SAME, OCE_ACTIVATION_RELU, POOL(2, 2, 2, 2, SAME), true, {0}},
    {1,
     14,
     14,
     32,
     96,
     5,
     OCE_PADDING_SAME,
     OCE_ACTIVATION_RELU,
     POOL(3, 3, 2, 2, SAME),
     false,
     {1, 2, 3, 0}},
    {1,
     16,
     11,
     16,
     192,
     3,
     OCE_PADDING_VALID,
     OCE_ACTIVATION_NONE,
     POOL(3, 2, 2, 1, VALID),
     true,
     {0}},
};

/* Steps of a quarter make equal sums, which the first must win. */
static float *inputs(const pooled_case *c, size_t count, uint64_t seed, bool may_be_nan) {
    float *values = test_random(count, seed);
    for (size_t i = 0; i < count; i++)
        values[i] = may_be_nan && c->has_nan && i % 97 == 5 ? NAN : rintf(values[i] * 4) / 4;
    return values;
}

typedef struct results {
    oce_tensor y;
    oce_buffer *winners;
} results;

static results no_results(oce_device *device, const pooled_case *c,
                          const oce_window_geometry *pool) {
    results r = {.y = test_tensor(device, c->batch, pool->output[0], pool->output[1], c->filters,
                                  &c->halo, NULL)};
    const size_t count = oce_tensor_count(&r.y);
    TEST_OK(oce_buffer_create(device, count, &r.winners));
    TEST_OK(oce_buffer_clear(r.winners, 0, count));
    return r;
}

static void expect_same(const pooled_case *c, const results *got, const results *expected,
                        bool with_winners, int index) {
    oce_tensor bare[2] = {got->y, expected->y}; /* with the halo */
    float *values[2];
    unsigned char *winners[2];
    size_t elements = 0;
    TEST_OK(oce_tensor_elements(bare[0].dim, &c->halo, &elements));
    const size_t count = oce_tensor_count(&got->y);
    oce_buffer *const of[2] = {got->winners, expected->winners};
    for (int i = 0; i < 2; i++) {
        values[i] = malloc(elements * sizeof(float));
        winners[i] = malloc(count);
        TEST_OK(oce_buffer_read(bare[i].buffer, 0, values[i], elements * sizeof(float)));
        TEST_OK(oce_buffer_read(of[i], 0, winners[i], count));
    }
    expect_bytes(values[0], values[1], elements * sizeof(float), "case %d: y", index);
    if (with_winners)
        expect_bytes(winners[0], winners[1], count, "case %d: winners", index);
    for (int i = 0; i < 2; i++) {
        free(values[i]);
        free(winners[i]);
    }
}

static void release(results *r) {
    oce_buffer_destroy(r->y.buffer);
    oce_buffer_destroy(r->winners);
}

/* On a GPU nothing pools, and Winograd serves other channels. */
static oce_conv2d_desc describe(oce_device *device, const pooled_case *c) {
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    return (oce_conv2d_desc){.batch = c->batch,
                             .height = c->height,
                             .width = c->width,
                             .channels = c->channels,
                             .filters = c->filters,
                             .window = {.size = {c->window, c->window}, .padding = c->padding},
                             .activation = c->activation,
                             .family = is_cpu ? OCE_CONV2D_WINOGRAD : OCE_CONV2D_AUTO};
}

static void expect_pooled(oce_device *device, const pooled_case *c, int index) {
    const oce_conv2d_desc desc = describe(device, c);
    oce_conv2d_plan *pooled = NULL, *plan = NULL;
    TEST_OK(oce_conv2d_plan_create_pooled(device, &desc, &c->pool, &pooled));
    const oce_limits *limits = oce_device_limits(device);
    if (!limits->is_cpu) {
        cr_expect_null(pooled, "a GPU does not pool");
        return;
    }
    const bool has_other_tiles = limits->vector_width == 8 && limits->vector_registers == 32;
    if (pooled == NULL && (limits->loop_rounds < INT64_MAX || has_other_tiles))
        return; /* too many rounds of a loop, or register tiles that the cases are not made for */
    cr_assert_not_null(pooled, "case %d: not pooled", index);
    TEST_OK(oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan));
    const oce_window_geometry *between = oce_conv2d_plan_geometry(plan);
    const oce_pool_desc pool_desc = {.batch = c->batch,
                                     .height = between->output[0],
                                     .width = between->output[1],
                                     .channels = c->filters,
                                     .window = c->pool};
    oce_pool_plan *pool = NULL;
    TEST_OK(oce_pool_plan_create(device, &pool_desc, &pool));
    const size_t taps = (size_t)(c->window * c->window * c->channels * c->filters);
    const size_t count = (size_t)(c->batch * c->height * c->width * c->channels);
    float *x_values = inputs(c, count, 1, true), *f_values = inputs(c, taps, 2, false);
    float *b_values = inputs(c, (size_t)c->filters, 3, false);
    oce_tensor x = test_tensor(device, c->batch, c->height, c->width, c->channels, NULL, x_values);
    oce_tensor f =
        test_tensor(device, c->window, c->window, c->channels, c->filters, NULL, f_values);
    oce_tensor b = test_tensor(device, 1, 1, 1, c->filters, NULL, b_values);
    oce_tensor y = test_tensor(device, c->batch, between->output[0], between->output[1], c->filters,
                               NULL, NULL);
    oce_buffer *workspaces[2] = {NULL, NULL}, *prepared = NULL;
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_workspace(plan, NULL), &workspaces[0]));
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_workspace(pooled, NULL), &workspaces[1]));
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_prepared_bytes(pooled), &prepared));
    TEST_OK(oce_conv2d_prepare(pooled, &f, prepared));
    /* With winners and a bias, as in training; without either, and a prepared filter */
    for (int way = 0; way < 2; way++) {
        const oce_window_geometry *geometry = oce_pool_plan_geometry(pool);
        results apart = no_results(device, c, geometry), together = no_results(device, c, geometry);
        const oce_tensor *bias = way == 0 ? &b : NULL;
        TEST_OK(oce_conv2d_forward(plan, &x, &f, bias, &y, workspaces[0]));
        TEST_OK(oce_pool_forward(pool, &y, &apart.y, way == 0 ? apart.winners : NULL));
        TEST_OK(oce_conv2d_forward_pooled(pooled, &x, &f, way == 0 ? NULL : prepared, bias,
                                          &together.y, way == 0 ? together.winners : NULL,
                                          workspaces[1]));
        expect_same(c, &together, &apart, way == 0, index);
        release(&apart);
        release(&together);
    }
    oce_buffer *const buffers[] = {x.buffer,      f.buffer,      b.buffer, y.buffer,
                                   workspaces[0], workspaces[1], prepared};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        oce_buffer_destroy(buffers[i]);
    free(x_values);
    free(f_values);
    free(b_values);
    oce_pool_plan_destroy(pool);
    oce_conv2d_plan_destroy(plan);
    oce_conv2d_plan_destroy(pooled);
}

#define EXPECT_POOLED(device, cases)                                                               \
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++)                                \
    expect_pooled(device, &cases[i], i)

Test(conv2d_pool, of_few_channels_is_the_two_apart) {
    oce_device *device = test_open_device();
    EXPECT_POOLED(device, few_cases);
    oce_device_close(device);
}

Test(conv2d_pool, of_large_images_and_batches_is_the_two_apart) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    oce_device *device = test_open_device();
    EXPECT_POOLED(device, large_few_cases);
    oce_device_close(device);
}

static oce_device *open_with_units(int units) {
    const char *caps = getenv("OCELLI_CAP");
    char more[256];
    snprintf(more, sizeof more, "%s%sunits=%d", caps != NULL ? caps : "",
             caps != NULL && caps[0] != '\0' ? "," : "", units);
    setenv("OCELLI_CAP", more, 1);
    return test_open_device();
}

/* With one unit nothing is gained by sharing an image between units instead. */
Test(conv2d_pool, of_many_channels_is_the_two_apart) {
    oce_device *device = open_with_units(1);
    EXPECT_POOLED(device, many_cases);
    oce_device_close(device);
}

Test(conv2d_pool, of_many_channels_and_images_is_the_two_apart) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    oce_device *device = open_with_units(1);
    EXPECT_POOLED(device, large_many_cases);
    oce_device_close(device);
}

Test(conv2d_pool, of_one_image_is_the_two_apart) {
    for (int units = 2; units <= 4; units++) {
        oce_device *device = open_with_units(units);
        EXPECT_POOLED(device, single_cases);
        oce_device_close(device);
    }
}

/* A family without a pool, rows that no scratch memory can hold, no window of a max pool. */
Test(conv2d_pool, is_left_to_the_two_where_it_cannot_be) {
    oce_device *device = test_open_device();
    const oce_window pool = POOL(2, 2, 2, 2, SAME), dilated = {.size = {2, 2}, .dilation = {2, 2}};
    oce_conv2d_desc desc = describe(device, &few_cases[0]);
    oce_conv2d_plan *plan = NULL;
    desc.family = OCE_CONV2D_NAIVE;
    TEST_OK(oce_conv2d_plan_create_pooled(device, &desc, &pool, &plan));
    cr_expect_null(plan);
    desc.family = OCE_CONV2D_AUTO;
    desc.width = 1 << 20;
    TEST_OK(oce_conv2d_plan_create_pooled(device, &desc, &pool, &plan));
    cr_expect_null(plan);
    desc = describe(device, &few_cases[0]);
    desc.family = OCE_CONV2D_AUTO;
    TEST_OK(oce_conv2d_plan_create_pooled(device, &desc, &dilated, &plan));
    cr_expect_null(plan);
    oce_device_close(device);
}

Test(conv2d_pool, refuses_wrong_tensors) {
    oce_device *device = test_open_device();
    const pooled_case *c = &few_cases[0];
    oce_conv2d_desc desc = describe(device, c);
    oce_conv2d_plan *plan = NULL;
    TEST_OK(oce_conv2d_plan_create_pooled(device, &desc, &c->pool, &plan));
    if (plan == NULL)
        cr_skip_test("this device does not pool");
    oce_tensor x = test_tensor(device, 1, 8, 8, 3, NULL, NULL);
    oce_tensor f = test_tensor(device, 3, 3, 3, 16, NULL, NULL);
    oce_tensor y = test_tensor(device, 1, 4, 4, 16, NULL, NULL);
    oce_tensor unpooled = test_tensor(device, 1, 8, 8, 16, NULL, NULL);
    oce_buffer *workspace = NULL, *few = NULL;
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_workspace(plan, NULL), &workspace));
    TEST_OK(oce_buffer_create(device, 255, &few));
    cr_expect_eq(oce_conv2d_forward_pooled(plan, &x, &f, NULL, NULL, &unpooled, NULL, workspace),
                 OCE_ERROR_SHAPE);
    cr_expect_eq(oce_conv2d_forward_pooled(plan, &x, &f, NULL, NULL, &y, few, workspace),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_conv2d_forward_pooled(plan, &x, &f, few, NULL, &y, NULL, workspace),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_conv2d_forward_pooled(plan, &x, &f, NULL, NULL, &y, NULL, NULL),
                 OCE_ERROR_INVALID_ARGUMENT);
    TEST_OK(oce_conv2d_forward_pooled(plan, &x, &f, NULL, NULL, &y, NULL, workspace));
    oce_buffer *const buffers[] = {x.buffer, f.buffer, y.buffer, unpooled.buffer, workspace, few};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        oce_buffer_destroy(buffers[i]);
    oce_conv2d_plan_destroy(plan);
    oce_device_close(device);
}

/* A model both of whose convolutions pool builds no kernel that pools apart; others do. */
Test(conv2d_pool, spares_a_model_the_kernel_apart) {
    for (int is_apart = 0; is_apart < 2; is_apart++) {
        oce_device *device = open_with_units(1);
        oce_recipe recipe;
        oce_model *model = NULL;
        TEST_OK(oce_recipe_get("mnist", &recipe));
        oce_model_options options = oce_recipe_model_options(&recipe, 1);
        if (is_apart)
            options.conv2d_family = OCE_CONV2D_NAIVE;
        TEST_OK(oce_model_create(device, recipe.network, &options, &model));
        bool is_there = false;
        int pooled = 0;
        for (int i = 0; i < model->graph.node_count; i++)
            pooled += model->graph.nodes[i].is_pooled;
        for (const oce_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next)
            is_there = is_there || strcmp(kernel->name, "max_pool") == 0;
        cr_expect(is_there == (pooled < 2), "%d pool", pooled);
        cr_expect(!is_apart || pooled == 0);
        oce_model_destroy(model);
        oce_device_close(device);
    }
}
