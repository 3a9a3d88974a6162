#define _POSIX_C_SOURCE 200809L /* setenv */

/* What the convolution refuses, and what it says then. */
#include "support/conv2d.h"
#include "support/device.h"

#include <criterion/criterion.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static oce_device *device;

static void open_device(void) {
    device = test_open_device();
}

static void close_device(void) {
    oce_device_close(device);
}

TestSuite(conv2d_errors, .init = open_device, .fini = close_device);

/* 3x3, stride 1, SAME over [2,5,4,3] to 6 channels. */
static oce_conv2d_desc usual(void) {
    return (oce_conv2d_desc){.batch = 2,
                             .height = 5,
                             .width = 4,
                             .channels = 3,
                             .filters = 6,
                             .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME}};
}

static void expect_error(oce_status got, oce_status expected, const char *words) {
    cr_expect_eq(got, expected, "%s: %s: %s", words, oce_status_text(got), oce_last_error());
    cr_expect(got == OCE_OK || strstr(oce_last_error(), words) != NULL, "\"%s\" lacks \"%s\"",
              oce_last_error(), words);
}

static void expect_refusal(const oce_conv2d_desc *desc, unsigned passes, oce_status expected,
                           const char *words) {
    oce_conv2d_plan *plan = NULL;
    expect_error(oce_conv2d_plan_create(device, desc, passes, &plan), expected, words);
    cr_expect_null(plan);
    oce_conv2d_plan_destroy(plan);
}

Test(conv2d_errors, refuses_bad_descriptions) {
    const oce_status invalid = OCE_ERROR_INVALID_ARGUMENT;
    oce_conv2d_desc d = usual();
    expect_refusal(&d, 0, invalid, "0 is no set of passes");
    expect_refusal(&d, 9, invalid, "9 is no set of passes");
    d = usual(), d.batch = -1;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "batch -1");
    d = usual(), d.height = -5;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "height -5");
    d = usual(), d.channels = 0;
    expect_refusal(&d, OCE_PASS_FORWARD, invalid, "0 channels and 6 filters");
    expect_refusal(&d, OCE_PASS_FORWARD | OCE_PASS_FILTER_GRAD, invalid, "0 channels");
    d = usual(), d.filters = -6;
    expect_refusal(&d, OCE_PASS_FILTER_GRAD, invalid, "-6 filters");
    d = usual(), d.window.size[1] = 0;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "window width 0");
    d = usual(), d.window.stride[0] = -1;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "stride -1");
    d = usual(), d.activation = (oce_activation)7;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "unknown activation 7");
    d = usual(), d.family = OCE_CONV2D_FAMILIES;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "unknown family");
    d = usual(), d.family = OCE_CONV2D_WINOGRAD, d.no_winograd = true;
    expect_refusal(&d, OCE_PASS_ALL, invalid, "winograd and no_winograd exclude each other");
    d = usual(), d.window = (oce_window){.size = {7, 3}, .padding = OCE_PADDING_VALID};
    expect_refusal(&d, OCE_PASS_ALL, OCE_ERROR_SHAPE, "window 7");
}

Test(conv2d_errors, refuses_sizes_that_overflow) {
    oce_conv2d_desc d = usual();
    d.height = d.width = 50000; /* 2.5e9 pixels of 3 channels */
    expect_refusal(&d, OCE_PASS_FORWARD, OCE_ERROR_OVERFLOW, "the input");
    d = usual(), d.channels = d.filters = 20000; /* a filter of 3.6e9 */
    expect_refusal(&d, OCE_PASS_FORWARD, OCE_ERROR_OVERFLOW, "the filter");
    d = usual(), d.filters = INT64_C(1) << 27; /* an image of Y of 20 * 2^27 */
    d.channels = 1, d.window.size[0] = d.window.size[1] = 1;
    expect_refusal(&d, OCE_PASS_FORWARD, OCE_ERROR_OVERFLOW, "the output");
    d = usual(), d.batch = INT64_MAX / 2;
    expect_refusal(&d, OCE_PASS_FORWARD, OCE_ERROR_OVERFLOW, "the input");
    d = usual(), d.window.padding = OCE_PADDING_EXPLICIT;
    d.window.before[0] = d.window.after[0] = (INT64_C(1) << 31) - 1;
    expect_refusal(&d, OCE_PASS_FORWARD, OCE_ERROR_OVERFLOW, "the input");
    d = usual(), d.window.dilation[0] = INT64_C(1) << 40;
    expect_refusal(&d, OCE_PASS_FORWARD, OCE_ERROR_OVERFLOW, "not below 2^31");
}

/* A plan for all passes of usual(), its tensors, full of 1, and its workspace. */
typedef struct operands {
    oce_conv2d_plan *plan;
    oce_tensor x, y, filter, bias;
    oce_buffer *workspace;
} operands;

static oce_tensor ones(int64_t n, int64_t h, int64_t w, int64_t c) {
    float data[2 * 5 * 4 * 6];
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        data[i] = 1;
    return test_tensor(device, n, h, w, c, NULL, data);
}

static operands make_operands(unsigned passes) {
    oce_conv2d_desc d = usual();
    d.family = OCE_CONV2D_DIRECT;
    operands o = {.x = ones(2, 5, 4, 3),
                  .y = ones(2, 5, 4, 6),
                  .filter = ones(3, 3, 3, 6),
                  .bias = ones(1, 1, 1, 6)};
    TEST_OK(oce_conv2d_plan_create(device, &d, passes, &o.plan));
    TEST_OK(oce_buffer_create(device, oce_conv2d_plan_workspace(o.plan, NULL), &o.workspace));
    return o;
}

static void free_operands(operands *o) {
    oce_buffer_destroy(o->workspace);
    oce_tensor_release(&o->x);
    oce_tensor_release(&o->y);
    oce_tensor_release(&o->filter);
    oce_tensor_release(&o->bias);
    oce_conv2d_plan_destroy(o->plan);
}

/* Nothing may have been enqueued: the tensor is still full of 1. */
static void expect_untouched(const oce_tensor *tensor) {
    float *data = test_download(tensor);
    size_t changed = 0;
    for (size_t i = 0; i < oce_tensor_count(tensor); i++)
        changed += data[i] == 1 ? 0 : 1;
    cr_expect_eq(changed, 0, "%zu elements were changed", changed);
    free(data);
}

Test(conv2d_errors, refuses_tensors_that_do_not_fit) {
    operands o = make_operands(OCE_PASS_ALL);
    oce_tensor wrong = o.x;
    wrong.dim[2] = 3;
    expect_error(oce_conv2d_forward(o.plan, &wrong, &o.filter, NULL, &o.y, o.workspace),
                 OCE_ERROR_SHAPE, "x: the shape is [2, 5, 3, 3], expected [2, 5, 4, 3]");
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, NULL, &o.x, o.workspace),
                 OCE_ERROR_SHAPE, "y: ");
    expect_error(oce_conv2d_input_grad(o.plan, &o.x, &o.filter, &o.x, o.workspace), OCE_ERROR_SHAPE,
                 "dy: ");
    expect_error(oce_conv2d_filter_grad(o.plan, &o.x, &o.y, &o.bias, o.workspace), OCE_ERROR_SHAPE,
                 "dfilter: ");
    wrong = o.bias;
    wrong.dim[3] = 5;
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, &wrong, &o.y, o.workspace),
                 OCE_ERROR_SHAPE, "bias: ");
    expect_error(oce_conv2d_forward(o.plan, &o.x, NULL, NULL, &o.y, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "filter: no tensor");
    wrong = o.filter;
    wrong.stride[0]++;
    expect_error(oce_conv2d_forward(o.plan, &o.x, &wrong, NULL, &o.y, o.workspace), OCE_ERROR_SHAPE,
                 "filter: ");
    wrong = o.x;
    wrong.stride[3] = 2;
    expect_error(oce_conv2d_forward(o.plan, &wrong, &o.filter, NULL, &o.y, o.workspace),
                 OCE_ERROR_SHAPE, "x: the last extent must be contiguous");
    expect_untouched(&o.y);
    expect_untouched(&o.x);
    expect_untouched(&o.bias);
    free_operands(&o);
}

Test(conv2d_errors, refuses_a_workspace_that_is_too_small) {
    operands o = make_operands(OCE_PASS_ALL);
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, NULL, &o.y, NULL),
                 OCE_ERROR_INVALID_ARGUMENT, "workspace: ");
    oce_buffer_destroy(o.workspace);
    TEST_OK(oce_buffer_create(device, 64, &o.workspace));
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, NULL, &o.y, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "workspace: ");
    expect_error(oce_conv2d_input_grad(o.plan, &o.y, &o.filter, &o.x, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "workspace: ");
    expect_error(oce_conv2d_filter_grad(o.plan, &o.x, &o.y, &o.filter, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "workspace: ");
    expect_untouched(&o.y);
    expect_untouched(&o.x);
    expect_untouched(&o.filter);
    free_operands(&o);
}

Test(conv2d_errors, refuses_an_input_without_the_halo_that_was_promised) {
    operands o = make_operands(OCE_PASS_ALL);
    oce_conv2d_plan_destroy(o.plan);
    oce_conv2d_desc d = usual();
    d.family = OCE_CONV2D_DIRECT;
    d.keeps_halo = true;
    TEST_OK(oce_conv2d_plan_create(device, &d, OCE_PASS_ALL, &o.plan));
    const char *words = "1 rows above, 1 below, 1 columns to the left, 1 to the right";
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, NULL, &o.y, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, words);
    expect_error(oce_conv2d_filter_grad(o.plan, &o.x, &o.y, &o.filter, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, words);
    expect_untouched(&o.y);
    expect_untouched(&o.filter);
    const oce_halo halo = oce_conv2d_plan_halo(o.plan);
    oce_tensor x = test_tensor(device, 2, 5, 4, 3, &halo, NULL);
    expect_error(oce_conv2d_forward(o.plan, &x, &o.filter, NULL, &o.y, o.workspace), OCE_OK, "");
    expect_error(oce_conv2d_filter_grad(o.plan, &x, &o.y, &o.filter, o.workspace), OCE_OK, "");
    expect_error(oce_conv2d_input_grad(o.plan, &o.y, &o.filter, &x, o.workspace), OCE_OK, "");
    oce_tensor_release(&x);
    free_operands(&o);
}

/* The forward pass of few pixels has no other use for the layout kernels. */
Test(conv2d_errors, builds_no_copy_of_an_input_that_has_its_halo) {
    setenv("OCELLI_FAULT", "build=conv2d_layout.cl", 1);
    oce_device *faulty = test_open_device();
    unsetenv("OCELLI_FAULT");
    oce_conv2d_desc d = usual();
    d.family = OCE_CONV2D_DIRECT;
    oce_conv2d_plan *plan = NULL;
    cr_expect_neq(oce_conv2d_plan_create(faulty, &d, OCE_PASS_FORWARD, &plan), OCE_OK);
    d.keeps_halo = true;
    TEST_OK(oce_conv2d_plan_create(faulty, &d, OCE_PASS_FORWARD, &plan));
    oce_conv2d_plan_destroy(plan);
    oce_device_close(faulty);
}

Test(conv2d_errors, refuses_a_pass_that_was_not_planned) {
    operands o = make_operands(OCE_PASS_FORWARD);
    expect_error(oce_conv2d_input_grad(o.plan, &o.y, &o.filter, &o.x, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "the plan has no input gradient");
    expect_error(oce_conv2d_filter_grad(o.plan, &o.x, &o.y, &o.filter, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "the plan has no filter gradient");
    free_operands(&o);
}

Test(conv2d_errors, refuses_tensors_of_another_device) {
    operands o = make_operands(OCE_PASS_FORWARD);
    oce_device *other = test_open_device();
    oce_tensor y = test_tensor(other, 2, 5, 4, 6, NULL, NULL);
    oce_tensor bias = test_tensor(other, 1, 1, 1, 6, NULL, NULL);
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, NULL, &y, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "y is not on the plan's device");
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, &bias, &o.y, o.workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "bias is not on the plan's device");
    oce_buffer *workspace = NULL;
    TEST_OK(oce_buffer_create(other, oce_buffer_bytes(o.workspace), &workspace));
    expect_error(oce_conv2d_forward(o.plan, &o.x, &o.filter, NULL, &o.y, workspace),
                 OCE_ERROR_INVALID_ARGUMENT, "workspace is not on the plan's device");
    oce_buffer_destroy(workspace);
    oce_tensor_release(&y);
    oce_tensor_release(&bias);
    oce_device_close(other);
    free_operands(&o);
}
