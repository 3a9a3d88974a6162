/* Drivers that fail (OCELLI_FAULT), and two devices at a time. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "device/internal.h"
#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"
#include "support/gemm.h"
#include "support/tiny_network.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static oce_device *open_faulty(const char *fault) {
    setenv("OCELLI_FAULT", fault, 1);
    return test_open_device();
}

static void expect_words(const char *text, const char *words) {
    cr_expect(text != NULL && strstr(text, words) != NULL, "\"%s\" lacks \"%s\"",
              text != NULL ? text : "nothing", words);
}

Test(faults, reads_its_list) {
    oce_fault fault;
    TEST_OK(oce_fault_parse(NULL, &fault));
    cr_expect(fault.allocation == 0 && !oce_fault_names_have(&fault.build, ""));
    TEST_OK(oce_fault_parse("allocation=12,build=a.cl,result=f,build=b.cl", &fault));
    cr_expect(fault.allocation == 12 && oce_fault_names_have(&fault.result, "f"));
    cr_expect(oce_fault_names_have(&fault.build, "a.cl") &&
              oce_fault_names_have(&fault.build, "b.cl"));
    cr_expect(!oce_fault_names_have(&fault.build, "f") && !oce_fault_names_have(&fault.build, "a"));
    static const char *const bad[] = {
        "allocation=0", "allocation=x", "allocation=", "build=",
        "speed=1",      "result",       "kill:3",      "build=1,build=2,build=3,build=4,build=5"};
    for (int i = 0; i < OCE_COUNT(bad); i++) {
        cr_expect_eq(oce_fault_parse(bad[i], &fault), OCE_ERROR_INVALID_ARGUMENT, "%s", bad[i]);
        expect_words(oce_last_error(), "OCELLI_FAULT: \"");
    }
    oce_device *device = NULL;
    setenv("OCELLI_FAULT", "speed=1", 1);
    cr_expect_eq(oce_device_open(NULL, &device), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_null(device);
}

/* A name that the library does not have would never fail. */
Test(faults, names_of_no_kernel_or_file_are_refused) {
    static const char *const good[] = {
        "build=conv2d_naive.cl", "build=pool.cl,build=CLBlast", "result=naive_forward",
        "result=CLBlastSgemm,result=CLBlastSgemmStridedBatched,result=max_pool"};
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"build=nosuch.cl", "OCELLI_FAULT: \"build=nosuch.cl\": there is no such file"},
        {"build=pool.cl,build=pool", "\"build=pool\""},
        {"build=common.cl.h", "\"build=common.cl.h\""},
        {"result=nosuchkernel", "OCELLI_FAULT: \"result=nosuchkernel\": there is no such kernel"},
        {"result=naive_forward,result=naive", "\"result=naive\""},
        {"result=CLBlast", "\"result=CLBlast\""},
    };
    oce_device *device = NULL;
    for (int i = 0; i < OCE_COUNT(good); i++)
        oce_device_close(open_faulty(good[i]));
    for (int i = 0; i < OCE_COUNT(bad); i++) {
        setenv("OCELLI_FAULT", bad[i].text, 1);
        cr_expect_eq(oce_device_open(NULL, &device), OCE_ERROR_INVALID_ARGUMENT, "%s", bad[i].text);
        cr_expect_null(device);
        expect_words(oce_last_error(), bad[i].message);
    }
    setenv("OCELLI_KERNELS", "cl", 1); /* a developer's folder may have others */
    oce_device_close(open_faulty("build=nosuch.cl,result=nosuchkernel"));
}

/* ---- Memory that nobody wrote ---------------------------------------------------------------- */

Test(faults, poisoned_memory_holds_no_numbers) {
    float values[65]; /* 64 and the first of the slack */
    oce_device *device = open_faulty("poison");
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, 64 * sizeof *values, &buffer));
    cr_assert_eq(clEnqueueReadBuffer(device->queue, buffer->memory, CL_TRUE, 0, sizeof values,
                                     values, 0, NULL, NULL),
                 CL_SUCCESS);
    for (int i = 0; i < OCE_COUNT(values); i++)
        cr_expect(isnan(values[i]), "element %d: %g", i, (double)values[i]);
    oce_buffer_destroy(buffer);
    oce_device_close(device);
}

/* Nothing is read before it was written, or what is read so does not count. */
Test(faults, training_does_not_depend_on_what_memory_held) {
    float *results[2] = {NULL, NULL};
    oce_variable variable = {0};
    for (int i = 0; i < 2; i++) {
        const oce_model_options options = tiny_options(4, 2);
        oce_device *device = open_faulty(i == 0 ? "" : "poison");
        oce_model *model = tiny_model(device, &options);
        uint8_t *images = tiny_images(4, 1), *labels = tiny_labels(4, 1);
        for (int step = 0; step < 3; step++)
            TEST_OK(oce_model_train_step(model, images, labels, 0.05F));
        oce_model_variable(model, 0, &variable);
        results[i] = test_zeros((size_t)variable.count);
        TEST_OK(oce_model_get(model, 0, OCE_VARIABLE_VALUE, results[i], variable.count));
        free(images);
        free(labels);
        oce_model_destroy(model);
        oce_device_close(device);
    }
    expect_bytes(results[1], results[0], (size_t)variable.count * sizeof *results[0],
                 "weights after three steps");
    free(results[0]);
    free(results[1]);
}

/* ---- No memory left ------------------------------------------------------------------------ */

/* Whichever buffer it is: a message that names it, nothing kept, and the device goes on. */
Test(faults, models_survive_a_device_without_memory) {
    const oce_model_options options = tiny_options(4, 2);
    int failures = 0;
    for (int n = 1; n < 100; n++) {
        char text[32];
        snprintf(text, sizeof text, "allocation=%d", n);
        oce_device *device = open_faulty(text);
        oce_model *model = NULL;
        TEST_OK(oce_model_create(device, tiny_network(), &options, &model));
        cr_assert_eq(device->allocations, 0, "planning allocates");
        const oce_status status = oce_model_allocate(model);
        if (status != OCE_OK) {
            failures++;
            cr_expect_eq(status, OCE_ERROR_DEVICE_MEMORY);
            expect_words(oce_last_error(), "buffer \"");
            expect_words(oce_last_error(), "CL_MEM_OBJECT_ALLOCATION_FAILURE");
            expect_words(oce_last_error(), "a smaller batch, or more micro-batches than 2");
            cr_expect_eq(device->allocated, 0, "%llu bytes are left",
                         (unsigned long long)device->allocated);
            TEST_OK(oce_model_allocate(model)); /* now there is memory again */
        }
        cr_expect_eq(device->allocations,
                     (uint64_t)(oce_model_buffer_count(model) + (status == OCE_OK ? 0 : n)));
        oce_model_destroy(model);
        cr_expect_eq(device->allocated, 0);
        oce_device_close(device);
        if (status == OCE_OK)
            break;
    }
    cr_expect_gt(failures, 10);
}

/* ---- Kernels that do not build ------------------------------------------------------------- */

static void check_conv(oce_device *device, oce_conv2d_family left_out, const char *file) {
    const oce_conv2d_desc desc = {.batch = 2,
                                  .height = 6,
                                  .width = 7,
                                  .channels = 11,
                                  .filters = 9,
                                  .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
                                  .gemm_family = OCE_GEMM_NAIVE};
    oce_conv2d_plan *plan = NULL;
    TEST_OK(oce_conv2d_plan_create(device, &desc, OCE_PASS_ALL, &plan));
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        cr_expect_neq(oce_conv2d_plan_family(plan, (oce_pass)pass), left_out);
    oce_conv2d_plan_destroy(plan);
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        conv2d_check(device, &desc, (oce_pass)pass, NULL, 1, 1e-5);
    const char *notice = oce_device_take_notice(device);
    expect_words(notice, "convolution goes on without its family");
    expect_words(notice, file);
    expect_words(notice, "CL_BUILD_PROGRAM_FAILURE");
    cr_expect_null(oce_device_take_notice(device), "said once");
    oce_conv2d_desc forced = desc;
    forced.family = left_out;
    cr_expect_eq(oce_conv2d_plan_create(device, &forced, OCE_PASS_FORWARD, &plan), OCE_ERROR_BUILD);
    expect_words(oce_last_error(), file);
    cr_expect_null(oce_device_take_notice(device), "a failure is no notice");
}

static oce_conv2d_family automatic_family(void) {
    oce_device *device = open_faulty("");
    const oce_conv2d_desc desc = {.batch = 2,
                                  .height = 6,
                                  .width = 7,
                                  .channels = 11,
                                  .filters = 9,
                                  .window = {.size = {3, 3}}};
    const oce_conv2d_family family = conv2d_family(device, &desc, OCE_PASS_FORWARD);
    oce_device_close(device);
    return family;
}

Test(faults, convolution_goes_on_without_a_family_that_does_not_build) {
    const oce_conv2d_family family = automatic_family();
    if (family == OCE_CONV2D_NAIVE)
        cr_skip_test("the device has no other family");
    char file[64], text[160];
    snprintf(file, sizeof file, "conv2d_%s.cl", oce_conv2d_family_name(family));
    snprintf(text, sizeof text, "build=%s%s", file,
             family == OCE_CONV2D_IMPLICIT_GEMM ? ",build=conv2d_implicit_gemm_filter.cl" : "");
    oce_device *device = open_faulty(text);
    check_conv(device, family, file);
    oce_device_close(device);
}

static void expect_gemm_without(oce_device *device, oce_gemm_family family, const char *file) {
    const oce_gemm_desc desc = {.m = 19, .n = 33, .k = 40};
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    cr_expect_neq(oce_gemm_plan_family(plan), family);
    oce_gemm_plan_destroy(plan);
    gemm_check_shape(device, OCE_GEMM_AUTO, desc.m, desc.n, desc.k, 1);
    const char *notice = oce_device_take_notice(device);
    expect_words(notice, "the matrix product goes on without its family");
    expect_words(notice, file);
    cr_expect_null(oce_device_take_notice(device), "said once");
    oce_gemm_desc forced = desc;
    forced.family = family;
    cr_expect_eq(oce_gemm_plan_create(device, &forced, &plan), OCE_ERROR_BUILD);
    expect_words(oce_last_error(), file);
}

Test(faults, gemm_goes_on_without_a_family_that_does_not_build) {
    oce_device *device = open_faulty("");
    const oce_gemm_desc desc = {.m = 19, .n = 33, .k = 40};
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    const oce_gemm_family family = oce_gemm_plan_family(plan);
    oce_gemm_plan_destroy(plan);
    oce_device_close(device);
    if (family == OCE_GEMM_NAIVE)
        cr_skip_test("the device has no other family");
    char file[64], text[80];
    snprintf(file, sizeof file, "%s%s%s", family == OCE_GEMM_CLBLAST ? "" : "gemm_",
             family == OCE_GEMM_CLBLAST ? "CLBlast" : oce_gemm_family_name(family),
             family == OCE_GEMM_CLBLAST ? "" : ".cl");
    snprintf(text, sizeof text, "build=%s", file);
    device = open_faulty(text);
    expect_gemm_without(device, family, file);
    oce_device_close(device);
}

Test(faults, clblast_that_does_not_build_is_found_when_planning) {
    oce_device *device = open_faulty("build=CLBlast");
    if (!gemm_serves(device, OCE_GEMM_CLBLAST)) {
        oce_device_close(device);
        cr_skip_test("the device is too small for CLBlast");
    }
    const oce_gemm_desc desc = {.m = 19, .n = 33, .k = 40, .family = OCE_GEMM_CLBLAST};
    oce_gemm_plan *plan = NULL;
    for (int i = 0; i < 2; i++) { /* the second time it is remembered */
        cr_expect_eq(oce_gemm_plan_create(device, &desc, &plan), OCE_ERROR_BUILD);
        expect_words(oce_last_error(), "building CLBlast's kernels on");
    }
    oce_device_close(device);
}

/* If even the family that always works does not build, that is the failure. */
Test(faults, nothing_builds) {
    oce_device *device = open_faulty("build=conv2d_naive.cl");
    const oce_conv2d_desc desc = {.batch = 1,
                                  .height = 3,
                                  .width = 3,
                                  .channels = 1,
                                  .filters = 1,
                                  .window = {.size = {1, 1}},
                                  .family = OCE_CONV2D_NAIVE};
    oce_conv2d_plan *plan = NULL;
    cr_expect_eq(oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan), OCE_ERROR_BUILD);
    cr_expect_null(plan);
    oce_device_close(device);
}

/* ---- Wrong results ------------------------------------------------------------------------- */

/* The fault makes exactly the first element of Y wrong, in every run. */
Test(faults, a_wrong_result_is_wrong) {
    const oce_conv2d_desc desc = {.batch = 2,
                                  .height = 4,
                                  .width = 5,
                                  .channels = 3,
                                  .filters = 4,
                                  .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
                                  .family = OCE_CONV2D_NAIVE};
    const conv2d_data data = conv2d_random(&desc, 1);
    const conv2d_placing placing = {.y_halo = {1, 1, 1, 1}, .before = 3};
    const size_t count = 2 * 4 * 5 * 4;
    float *expected = conv2d_expected(&desc, OCE_PASS_FORWARD, &data);
    oce_device *device = open_faulty("result=naive_forward");
    for (int i = 0; i < 2; i++) {
        float *y = conv2d_run(device, &desc, OCE_PASS_FORWARD, &data, &placing);
        cr_expect(fabsf(y[0] - expected[0]) > 0.9F, "%g, %g", (double)y[0], (double)expected[0]);
        y[0] = expected[0];
        expect_floats(y, expected, count, NULL, (compare_limit){.of_largest = 1e-5}, "the rest");
        free(y);
    }
    float *dx = conv2d_run(device, &desc, OCE_PASS_INPUT_GRAD, &data, NULL); /* another kernel */
    float *right = conv2d_expected(&desc, OCE_PASS_INPUT_GRAD, &data);
    expect_floats(dx, right, 2 * 4 * 5 * 3, NULL, (compare_limit){.of_largest = 1e-5}, "dx");
    free(dx);
    free(right);
    free(expected);
    conv2d_free_data(&data);
    oce_device_close(device);
}

/* ---- Two devices --------------------------------------------------------------------------- */

/* A model in training, and what it had learned after each step when it was alone. */
typedef struct learner {
    oce_device *device;
    oce_model *model;
} learner;

static learner start(const char *selector) {
    const oce_model_options options = tiny_options(4, 1);
    learner l = {0};
    TEST_OK(oce_device_open(selector, &l.device));
    l.model = tiny_model(l.device, &options);
    return l;
}

static void step(const learner *l, uint64_t seed) {
    uint8_t *images = tiny_images(4, seed), *labels = tiny_labels(4, seed);
    TEST_OK(oce_model_train_step(l->model, images, labels, 0.05F));
    free(images);
    free(labels);
}

/* The first variable; free() it. */
static float *weights_of(const learner *l, int64_t *count) {
    oce_variable variable;
    oce_model_variable(l->model, 0, &variable);
    *count = variable.count;
    float *values = test_zeros((size_t)*count);
    TEST_OK(oce_model_get(l->model, 0, OCE_VARIABLE_VALUE, values, *count));
    return values;
}

static void stop(learner *l) {
    oce_model_destroy(l->model);
    oce_device_close(l->device);
}

/* Steps in turns on two devices give the bits of steps on each alone. */
static void train_beside(const char *first, const char *second) {
    enum { STEPS = 3 };
    const char *const selectors[] = {first, second};
    float *alone[2];
    int64_t count = 0;
    for (int i = 0; i < 2; i++) {
        learner l = start(selectors[i]);
        for (uint64_t s = 0; s < STEPS; s++)
            step(&l, s);
        alone[i] = weights_of(&l, &count);
        stop(&l);
    }
    learner both[2] = {start(first), start(second)};
    for (uint64_t s = 0; s < STEPS; s++)
        for (int i = 0; i < 2; i++)
            step(&both[i], s);
    for (int i = 0; i < 2; i++) {
        float *beside = weights_of(&both[i], &count);
        expect_bytes(beside, alone[i], (size_t)count * sizeof(float), "%s beside %s", selectors[i],
                     selectors[1 - i]);
        free(beside);
        free(alone[i]);
    }
    stop(&both[0]);
    stop(&both[1]);
}

Test(faults, one_device_opened_twice) {
    oce_device *device = test_open_device();
    char selector[32];
    snprintf(selector, sizeof selector, "%s", oce_device_get_info(device)->selector);
    oce_device_close(device);
    train_beside(selector, selector);
}

/* E.g. PoCL beside rusticl. What belongs to one is refused by the other. */
Test(faults, devices_of_different_platforms_side_by_side) {
    oce_device_list *list = NULL;
    setenv("RUSTICL_ENABLE", "llvmpipe", 0); /* without it Mesa's rusticl has no devices */
    TEST_OK(oce_device_list_create(&list));
    const oce_device_info *usable[2] = {NULL};
    for (int i = 0; i < oce_device_list_count(list) && usable[1] == NULL; i++) {
        const oce_device_info *info = oce_device_list_get(list, i);
        if (info->problem == NULL && (usable[0] == NULL || info->platform != usable[0]->platform))
            usable[usable[0] != NULL] = info;
    }
    if (usable[1] == NULL) {
        oce_device_list_destroy(list);
        cr_skip_test("only one platform has a usable device");
    }
    train_beside(usable[0]->selector, usable[1]->selector);
    oce_device *devices[2];
    oce_tensor x[2];
    for (int i = 0; i < 2; i++) {
        TEST_OK(oce_device_open(usable[i]->selector, &devices[i]));
        x[i] = test_tensor(devices[i], 1, 1, 1, 4, NULL, NULL);
    }
    cr_expect_eq(oce_buffer_copy(x[0].buffer, 0, x[1].buffer, 0, 16), OCE_ERROR_INVALID_ARGUMENT);
    for (int i = 0; i < 2; i++) {
        oce_tensor_release(&x[i]);
        oce_device_close(devices[i]);
    }
    oce_device_list_destroy(list);
}
