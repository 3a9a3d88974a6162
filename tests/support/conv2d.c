#include "support/conv2d.h"

#include "base/random.h"
#include "base/size.h"
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/vectors.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AFTER = 3 }; /* elements behind each tensor */

oce_conv2d_desc conv2d_same(oce_conv2d_family family, int64_t n, int64_t h, int64_t w, int64_t c,
                            int64_t k, int64_t r, int64_t s) {
    return (oce_conv2d_desc){.batch = n,
                             .height = h,
                             .width = w,
                             .channels = c,
                             .filters = k,
                             .window = {.size = {r, s}, .padding = OCE_PADDING_SAME},
                             .activation = OCE_ACTIVATION_RELU,
                             .family = family};
}

typedef struct shapes {
    int64_t x[4], f[4], y[4];
} shapes;

static shapes get_shapes(const oce_conv2d_desc *d) {
    oce_window_geometry g;
    TEST_OK(oce_window_resolve(&d->window, d->height, d->width, &g));
    return (shapes){{d->batch, d->height, d->width, d->channels},
                    {g.size[0], g.size[1], d->channels, d->filters},
                    {d->batch, g.output[0], g.output[1], d->filters}};
}

static size_t count_of(const int64_t shape[4]) {
    size_t count = 0;
    cr_assert(oce_size_product(shape, 4, &count));
    return count;
}

void conv2d_result_shape(const oce_conv2d_desc *desc, oce_pass pass, int64_t shape[4]) {
    const shapes s = get_shapes(desc);
    memcpy(shape,
           pass == OCE_PASS_FORWARD      ? s.y
           : pass == OCE_PASS_INPUT_GRAD ? s.x
                                         : s.f,
           sizeof s.x);
}

const char *conv2d_describe(const oce_conv2d_desc *d, oce_pass pass) {
    static char text[256];
    static const char *const paddings[] = {"same", "valid", "explicit"};
    snprintf(text, sizeof text,
             "%s %s n%lld h%lld w%lld c%lld k%lld window %lldx%lld stride %lldx%lld dilation "
             "%lldx%lld padding %s",
             oce_conv2d_family_name(d->family),
             pass == OCE_PASS_FORWARD      ? "forward"
             : pass == OCE_PASS_INPUT_GRAD ? "input gradient"
                                           : "filter gradient",
             (long long)d->batch, (long long)d->height, (long long)d->width, (long long)d->channels,
             (long long)d->filters, (long long)d->window.size[0], (long long)d->window.size[1],
             (long long)d->window.stride[0], (long long)d->window.stride[1],
             (long long)d->window.dilation[0], (long long)d->window.dilation[1],
             paddings[d->window.padding]);
    return text;
}

/* A buffer full of NaN with a tensor in it. `data` goes into its interior and, if `zero_halo`,
 * zeros into its halo. */
static oce_tensor make_tensor(oce_device *device, const int64_t dim[4], const oce_halo *halo,
                              int64_t before, const float *data, bool zero_halo) {
    size_t elements = 0;
    TEST_OK(oce_tensor_elements(dim, halo, &elements));
    const size_t all = (size_t)before + elements + AFTER;
    float *fill = test_zeros(all);
    for (size_t i = 0; i < all; i++)
        fill[i] = zero_halo && i >= (size_t)before && i < (size_t)before + elements ? 0 : NAN;
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, all * sizeof *fill, &buffer));
    TEST_OK(oce_buffer_write(buffer, 0, fill, all * sizeof *fill));
    free(fill);
    oce_tensor tensor;
    TEST_OK(oce_tensor_view(buffer, (size_t)before, dim, halo, &tensor));
    if (data != NULL)
        TEST_OK(oce_tensor_write(&tensor, data));
    return tensor;
}

/* Fails the test if an element of the buffer outside the tensor is no longer NaN. */
static void check_surroundings(const oce_tensor *tensor, const char *what) {
    const size_t bytes = oce_buffer_bytes(tensor->buffer);
    float *all = test_zeros(bytes / sizeof *all);
    float *nan = test_zeros(oce_tensor_count(tensor));
    for (size_t i = 0; i < oce_tensor_count(tensor); i++)
        nan[i] = NAN;
    TEST_OK(oce_tensor_write(tensor, nan));
    TEST_OK(oce_buffer_read(tensor->buffer, 0, all, bytes));
    size_t written = 0;
    for (size_t i = 0; i < bytes / sizeof *all; i++)
        written += isnan(all[i]) ? 0 : 1;
    cr_expect(written == 0, "%s: %zu elements outside the result were written", what, written);
    free(nan);
    free(all);
}

static oce_buffer *make_workspace(oce_device *device, const oce_conv2d_plan *plan,
                                  const oce_halo *x_halo) {
    const size_t bytes = oce_conv2d_plan_workspace(plan, x_halo);
    const size_t count = bytes / sizeof(float);
    float *fill = test_zeros(count);
    for (size_t i = 0; i < count; i++)
        fill[i] = NAN;
    oce_buffer *workspace = NULL;
    TEST_OK(oce_buffer_create(device, bytes, &workspace));
    TEST_OK(oce_buffer_write(workspace, 0, fill, bytes));
    free(fill);
    return workspace;
}

oce_conv2d_family conv2d_family(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass) {
    oce_conv2d_plan *plan = NULL;
    TEST_OK(oce_conv2d_plan_create(device, desc, pass, &plan));
    const oce_conv2d_family family = oce_conv2d_plan_family(plan, pass);
    oce_conv2d_plan_destroy(plan);
    return family;
}

oce_status conv2d_plan(oce_device *device, const oce_conv2d_desc *desc, unsigned passes,
                       oce_conv2d_plan **plan) {
    oce_conv2d_desc d = *desc;
    if (test_is_small() && d.gemm_family == OCE_GEMM_AUTO)
        d.gemm_family = OCE_GEMM_NAIVE; /* a simulator takes minutes to build CLBlast's kernels */
    return oce_conv2d_plan_create(device, &d, passes, plan);
}

bool conv2d_serves(oce_device *device, oce_conv2d_family family) {
    const oce_conv2d_desc desc = {.batch = 1,
                                  .height = 3,
                                  .width = 3,
                                  .channels = 16,
                                  .filters = 16,
                                  .window = {.size = {3, 3}},
                                  .family = family};
    oce_conv2d_plan *plan = NULL;
    const oce_status status = conv2d_plan(device, &desc, OCE_PASS_FORWARD, &plan);
    cr_expect(status == OCE_OK || status == OCE_ERROR_UNSUPPORTED, "%s", oce_last_error());
    oce_conv2d_plan_destroy(plan);
    return status == OCE_OK;
}

float *conv2d_run(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                  const conv2d_data *data, const conv2d_placing *placing) {
    const conv2d_placing plain = {{0, 0, 0, 0}, {0, 0, 0, 0}, 0};
    const conv2d_placing *at = placing != NULL ? placing : &plain;
    const shapes s = get_shapes(desc);
    const int64_t bias_dim[4] = {1, 1, 1, desc->filters};
    const bool forward = pass == OCE_PASS_FORWARD, input_grad = pass == OCE_PASS_INPUT_GRAD;
    const bool filter_grad = pass == OCE_PASS_FILTER_GRAD;
    oce_conv2d_plan *plan = NULL;
    TEST_OK(conv2d_plan(device, desc, pass, &plan));
    oce_tensor x =
        make_tensor(device, s.x, &at->x_halo, at->before, input_grad ? NULL : data->x, !input_grad);
    oce_tensor f =
        make_tensor(device, s.f, NULL, at->before, filter_grad ? NULL : data->filter, false);
    oce_tensor y =
        make_tensor(device, s.y, &at->y_halo, at->before, forward ? NULL : data->dy, !forward);
    oce_tensor bias = make_tensor(device, bias_dim, NULL, at->before, data->bias, false);
    oce_buffer *workspace = make_workspace(device, plan, &at->x_halo);
    if (forward)
        TEST_OK(oce_conv2d_forward(plan, &x, &f, data->bias != NULL ? &bias : NULL, &y, workspace));
    else if (input_grad)
        TEST_OK(oce_conv2d_input_grad(plan, &y, &f, &x, workspace));
    else
        TEST_OK(oce_conv2d_filter_grad(plan, &x, &y, &f, workspace));
    const oce_tensor *result = forward ? &y : input_grad ? &x : &f;
    float *got = test_download(result);
    check_surroundings(result, conv2d_describe(desc, pass));
    oce_buffer_destroy(workspace);
    oce_tensor_release(&bias);
    oce_tensor_release(&y);
    oce_tensor_release(&f);
    oce_tensor_release(&x);
    oce_conv2d_plan_destroy(plan);
    return got;
}

float *conv2d_expected(const oce_conv2d_desc *desc, oce_pass pass, const conv2d_data *data) {
    int64_t shape[4];
    conv2d_result_shape(desc, pass, shape);
    float *expected = test_zeros(count_of(shape));
    if (pass == OCE_PASS_FORWARD)
        TEST_OK(oce_ref_conv2d_forward(desc, data->x, data->filter, data->bias, expected));
    else if (pass == OCE_PASS_INPUT_GRAD)
        TEST_OK(oce_ref_conv2d_input_grad(desc, data->dy, data->filter, expected));
    else
        TEST_OK(oce_ref_conv2d_filter_grad(desc, data->x, data->dy, expected));
    return expected;
}

conv2d_data conv2d_random(const oce_conv2d_desc *desc, uint64_t seed) {
    const shapes s = get_shapes(desc);
    return (conv2d_data){.x = test_random(count_of(s.x), seed * 4),
                         .filter = test_random(count_of(s.f), seed * 4 + 1),
                         .bias = test_random((size_t)desc->filters, seed * 4 + 2),
                         .dy = test_random(count_of(s.y), seed * 4 + 3)};
}

void conv2d_free_data(const conv2d_data *data) {
    free((void *)data->x);
    free((void *)data->filter);
    free((void *)data->bias);
    free((void *)data->dy);
}

void conv2d_check(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                  const conv2d_placing *placing, uint64_t seed, double of_largest) {
    conv2d_data data = conv2d_random(desc, seed);
    if (seed % 4 == 0) {
        free((void *)data.bias);
        data.bias = NULL;
    }
    int64_t shape[4];
    conv2d_result_shape(desc, pass, shape);
    float *expected = conv2d_expected(desc, pass, &data);
    float *got = conv2d_run(device, desc, pass, &data, placing);
    expect_floats(got, expected, count_of(shape), shape, (compare_limit){.of_largest = of_largest},
                  "%s, seed %llu", conv2d_describe(desc, pass), (unsigned long long)seed);
    free(got);
    free(expected);
    conv2d_free_data(&data);
}

/* ---- Random descriptions ------------------------------------------------------------------- */

static int64_t pick(oce_random *random, int64_t low, int64_t high) {
    return low + (int64_t)oce_random_below(random, (uint32_t)(high - low + 1));
}

static int64_t pick_channels(oce_random *random) {
    static const int channels[] = {1,  2,  3,  4,  5,  7,  8,  12, 15, 16, 17, 20,
                                   31, 32, 33, 40, 48, 63, 64, 65, 70, 96, 130};
    const uint32_t count = sizeof channels / sizeof channels[0];
    return channels[oce_random_below(random, test_is_small() ? count / 2 : count)];
}

static oce_conv2d_desc random_desc(oce_random *random) {
    const int64_t size = test_is_small() ? 5 : 14;
    oce_conv2d_desc d = {.batch = pick(random, 1, 3),
                         .height = pick(random, 1, size),
                         .width = pick(random, 1, size),
                         .channels = pick_channels(random),
                         .filters = pick_channels(random),
                         .activation = oce_random_below(random, 2) ? OCE_ACTIVATION_RELU
                                                                   : OCE_ACTIVATION_NONE};
    oce_window *w = &d.window;
    for (int axis = 0; axis < 2; axis++) {
        w->size[axis] = pick(random, 1, test_is_small() ? 4 : 7);
        w->stride[axis] = pick(random, 1, 3);
        w->dilation[axis] = oce_random_below(random, 2) ? 1 : pick(random, 1, 3);
        w->before[axis] = pick(random, 0, 4);
        w->after[axis] = pick(random, 0, 4);
    }
    if (oce_random_below(random, 2)) /* the usual case deserves more than its share */
        w->stride[0] = w->stride[1] = w->dilation[0] = w->dilation[1] = 1;
    w->padding = (oce_padding)oce_random_below(random, 3);
    return d;
}

/* Multiplications of the direct sum. */
static double work(const oce_conv2d_desc *d) {
    oce_window_geometry g;
    if (oce_window_resolve(&d->window, d->height, d->width, &g) != OCE_OK)
        return 1e30; /* e.g. a window larger than its input */
    return (double)(d->batch * g.output[0] * g.output[1] * g.size[0] * g.size[1]) *
           (double)(d->channels * d->filters);
}

static oce_halo random_halo(oce_random *random, const oce_halo *reach) {
    oce_halo halo = {0, 0, 0, 0};
    const uint32_t kind = oce_random_below(random, 3);
    if (kind == 1)
        halo = (oce_halo){pick(random, 0, 2), pick(random, 0, 2), pick(random, 0, 2),
                          pick(random, 0, 2)};
    if (kind == 2)
        halo = (oce_halo){reach->top, reach->bottom + pick(random, 0, 1), reach->left,
                          reach->right + pick(random, 0, 1)};
    return halo;
}

int conv2d_sweep(oce_device *device, oce_conv2d_family family, int count, uint64_t seed,
                 double of_largest) {
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 1);
    int checked = 0;
    for (int i = 0; i < count; i++) {
        oce_conv2d_desc desc;
        do
            desc = random_desc(&random);
        while (work(&desc) > (test_is_small() ? 3e4 : 3e6));
        desc.family = family;
        const oce_pass pass = (oce_pass)(1U << oce_random_below(&random, 3));
        oce_conv2d_plan *plan = NULL;
        const oce_status status = conv2d_plan(device, &desc, pass, &plan);
        if (status == OCE_ERROR_UNSUPPORTED)
            continue;
        cr_assert_eq(status, OCE_OK, "%s: %s", conv2d_describe(&desc, pass), oce_last_error());
        const oce_halo reach = oce_conv2d_plan_halo(plan), some = {2, 3, 1, 2};
        oce_conv2d_plan_destroy(plan);
        const conv2d_placing placing = {.x_halo = random_halo(&random, &reach),
                                        .y_halo = random_halo(&random, &some),
                                        .before = pick(&random, 0, 5)};
        conv2d_check(device, &desc, pass, &placing, seed * 1000 + (uint64_t)i, of_largest);
        checked++;
    }
    return checked;
}

/* ---- Vectors ------------------------------------------------------------------------------- */

static oce_pass vector_pass(const conv2d_vector *v) {
    return v->y.values != NULL    ? OCE_PASS_FORWARD
           : v->dx.values != NULL ? OCE_PASS_INPUT_GRAD
                                  : OCE_PASS_FILTER_GRAD;
}

static void check_vector(oce_device *device, conv2d_vector v, oce_conv2d_family family) {
    const oce_pass pass = vector_pass(&v);
    v.desc.family = family;
    oce_conv2d_plan *plan = NULL;
    const oce_status status = conv2d_plan(device, &v.desc, pass, &plan);
    cr_expect(status == OCE_OK || status == OCE_ERROR_UNSUPPORTED, "%s: %s", v.name,
              oce_last_error());
    oce_conv2d_plan_destroy(plan);
    if (status != OCE_OK)
        return;
    const vector_array expected = pass == OCE_PASS_FORWARD      ? v.y
                                  : pass == OCE_PASS_INPUT_GRAD ? v.dx
                                                                : v.dfilter;
    const conv2d_data data = {v.x.values, v.filter.values, v.bias.values, v.dy.values};
    int64_t shape[4];
    conv2d_result_shape(&v.desc, pass, shape);
    cr_expect_eq(count_of(shape), expected.count, "%s: %zu elements", v.name, expected.count);
    float *got = conv2d_run(device, &v.desc, pass, &data, NULL);
    expect_floats(got, expected.values, expected.count, shape, vector_limit(v.tolerance), "%s, %s",
                  v.name, oce_conv2d_family_name(family));
    free(got);
}

void conv2d_check_vectors(oce_device *device, oce_conv2d_family family) {
    static const char *const files[] = {"tf_conv2d_forward.json", "tf_conv2d_backprop_input.json",
                                        "tf_conv2d_backprop_filter.json",
                                        "tflite_conv2d_bias_relu.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        vector_file *file = vectors_open(files[i]);
        for (size_t j = 0; j < vectors_count(file); j++)
            check_vector(device, vectors_conv2d(file, j), family);
        vectors_close(file);
    }
}
