/* Limits turned down (OCELLI_CAP): every layer sees the smaller device, and gets along with it. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "device/caps.h"
#include "device/device.h"
#include "device/embedded.h"
#include "device/internal.h"
#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"
#include "support/gemm.h"
#include "support/scratch.h"
#include "support/tiny_network.h"
#include "support/xent.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static oce_device *open_capped(const char *caps) {
    setenv("OCELLI_CAP", caps, 1);
    return test_open_device();
}

/* ---- The list ------------------------------------------------------------------------------ */

Test(caps, reads_its_list) {
    oce_caps caps;
    TEST_OK(oce_caps_parse(NULL, &caps));
    cr_expect(caps.work_group == UINT64_MAX && caps.extensions == UINT64_MAX);
    TEST_OK(oce_caps_parse("", &caps));
    TEST_OK(oce_caps_parse("work-group=16,local=none,allocation=16M,memory=2G,vector=4,units=2,"
                           "loops=65535,fma=no,images=no,extensions=none",
                           &caps));
    cr_expect(caps.work_group == 16 && caps.local == 0 && caps.allocation == 16 << 20);
    cr_expect(caps.memory == UINT64_C(2) << 30 && caps.vector == 4 && caps.units == 2 &&
              caps.loops == 65535);
    cr_expect(caps.fma == 0 && caps.images == 0 && caps.extensions == 0);
    TEST_OK(oce_caps_parse("local=32K", &caps));
    cr_expect(caps.local == 32768 && caps.work_group == UINT64_MAX);
}

Test(caps, names_a_bad_entry) {
    static const char *const bad[] = {"work-group",
                                      "work-group=0",
                                      "work-group=16K",
                                      "local=",
                                      "local=16X",
                                      "local=16KB",
                                      "local=-1",
                                      "allocation= 1",
                                      "vector=none",
                                      "loops=no",
                                      "images=yes",
                                      "images=1",
                                      "speed=3",
                                      "memory=20000000000G",
                                      ",",
                                      "units=99999999999999999999"};
    for (int i = 0; i < OCE_COUNT(bad); i++) {
        oce_caps caps;
        cr_expect_eq(oce_caps_parse(bad[i], &caps), OCE_ERROR_INVALID_ARGUMENT, "%s", bad[i]);
        cr_expect(strstr(oce_last_error(), "OCELLI_CAP: \"") != NULL &&
                      strstr(oce_last_error(), bad[i][0] == ',' ? "\"\"" : bad[i]) != NULL,
                  "%s", oce_last_error());
    }
    oce_device *device = NULL;
    setenv("OCELLI_CAP", "units=2,local=x", 1);
    cr_expect_eq(oce_device_open(NULL, &device), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "\"local=x\": local takes bytes") != NULL, "%s",
              oce_last_error());
}

/* ---- What a capped device is --------------------------------------------------------------- */

Test(caps, lower_what_the_device_says) {
    oce_device *whole = open_capped("");
    const oce_limits before = *oce_device_limits(whole);
    oce_device_close(whole);
    oce_device *device = open_capped("work-group=16,local=1K,allocation=3M,memory=5M,vector=1,"
                                     "units=1,fma=no,images=no,extensions=no");
    const oce_device_info *info = oce_device_get_info(device);
    const oce_limits *limits = oce_device_limits(device);
    cr_expect(info->max_work_group_size <= 16 && limits->max_work_group <= 16);
    for (int i = 0; i < 3; i++)
        cr_expect(limits->max_items[i] <= 16);
    cr_expect(info->local_memory_bytes <= 1024 && limits->local_bytes <= 1024);
    cr_expect(info->largest_allocation == 3 << 20 && limits->max_allocation == 3 << 20);
    cr_expect(info->memory_bytes == 5 << 20 && limits->global_bytes == 5 << 20);
    cr_expect(info->vector_width == 1 && limits->vector_width == 4);
    cr_expect(info->compute_units == 1 && limits->compute_units == 1);
    cr_expect(!info->has_fast_fma && !limits->has_fast_fma && !info->has_images);
    cr_expect_str_eq(info->extensions, "");
    oce_device_close(device);
    device = open_capped("work-group=1000000000,local=1000G,units=1000000");
    cr_expect_eq(oce_device_limits(device)->max_work_group, before.max_work_group);
    cr_expect_eq(oce_device_limits(device)->local_bytes, before.local_bytes);
    cr_expect_eq(oce_device_limits(device)->compute_units, before.compute_units);
    cr_expect_eq(oce_device_limits(device)->loop_rounds, before.loop_rounds);
    oce_device_close(device);
    device = open_capped("loops=10000");
    cr_expect_eq(oce_device_limits(device)->loop_rounds, 6000);
    oce_device_close(device);
}

Test(caps, hold_for_buffers) {
    oce_device *device = open_capped("allocation=16M,memory=40M");
    oce_buffer *buffers[3] = {NULL};
    const size_t most = (16 << 20) - OCE_BUFFER_SLACK;
    cr_expect_eq(oce_buffer_create(device, most + 1, &buffers[0]), OCE_ERROR_DEVICE_MEMORY);
    cr_expect(strstr(oce_last_error(), "16777216 bytes") != NULL, "%s", oce_last_error());
    for (int round = 0; round < 2; round++) {
        TEST_OK(oce_buffer_create(device, most, &buffers[0]));
        TEST_OK(oce_buffer_create(device, most, &buffers[1]));
        cr_expect_eq(oce_buffer_create(device, most, &buffers[2]), OCE_ERROR_DEVICE_MEMORY);
        cr_expect(strstr(oce_last_error(), "(41943040 bytes)") != NULL, "%s", oce_last_error());
        cr_expect_null(buffers[2]);
        oce_buffer_destroy(buffers[0]); /* makes room for the next round */
        oce_buffer_destroy(buffers[1]);
    }
    oce_device_close(device);
}

/* A kernel in groups of 32, and one with 20 KB of local memory. */
Test(caps, hold_for_kernels) {
    char *folder = scratch_create();
    scratch_write_text(folder, "common.cl.h", "");
    scratch_write_text(folder, "some.cl",
                       "__kernel void groups(__global float *x) {\n"
                       "    x[get_global_id(0)] = (float)get_local_size(0);\n"
                       "}\n"
                       "__kernel void local_memory(__global float *x) {\n"
                       "    __local float cells[5120];\n"
                       "    cells[get_local_id(0)] = x[get_global_id(0)];\n"
                       "    barrier(CLK_LOCAL_MEM_FENCE);\n"
                       "    x[get_global_id(0)] = cells[get_local_size(0) - 1];\n"
                       "}\n");
    setenv("OCELLI_KERNELS", folder, 1);
    setenv("OCELLI_CACHE", "off", 1);
    oce_device *device = open_capped("work-group=16,local=16K");
    oce_kernel *kernel = NULL;
    oce_tensor x = test_tensor(device, 1, 1, 1, 64, NULL, NULL);
    const oce_arg args[] = {oce_arg_buffer(x.buffer)};
    const oce_range wide = {{64, 1, 1}, {32, 1, 1}};
    TEST_OK(oce_kernel_get(device, "some.cl", "groups", NULL, &kernel));
    cr_expect_eq(oce_launch(kernel, wide, args, 1), OCE_ERROR_UNSUPPORTED);
    TEST_OK(oce_launch(kernel, oce_range_items(64), args, 1));
    float *sizes = test_download(&x);
    cr_expect(sizes[0] <= 16, "%g", (double)sizes[0]);
    free(sizes);
    cr_expect_eq(oce_kernel_get(device, "some.cl", "local_memory", NULL, &kernel),
                 OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), "needs 20480 bytes of local memory") != NULL, "%s",
              oce_last_error());
    oce_tensor_release(&x);
    oce_device_close(device);
    scratch_remove(folder);
}

/* Images and extensions are not needed: no kernel knows them. */
Test(caps, kernels_use_no_images_and_no_extensions) {
    static const char *const words[] = {"image1d",          "image2d", "image3d",   "sampler_t",
                                        "OPENCL EXTENSION", "cl_khr_", "cl_intel_", "sub_group",
                                        "double",           "half "};
    for (const oce_embedded_file *f = oce_embedded_files; f->name != NULL; f++) {
        bool in_code = true;
        for (const char *at = f->text; *at != '\0'; at++) {
            in_code = in_code ? strncmp(at, "/*", 2) != 0 : strncmp(at, "*/", 2) == 0;
            for (int i = 0; in_code && i < OCE_COUNT(words); i++)
                cr_expect(strncmp(at, words[i], strlen(words[i])) != 0, "%s: %s", f->name,
                          words[i]);
        }
    }
}

/* ---- Everything on a capped device --------------------------------------------------------- */

/* Each cap once, with others; tools/test-caps runs whole tests under each alone. */
static const char *const some_caps[] = {
    "work-group=1,vector=4,loops=5000", "work-group=64,local=16K,units=1,fma=no",
    "local=none,vector=8",
    "work-group=16,local=none,allocation=16M,vector=1,units=1,fma=no,images=no,extensions=no"};

static void check_convolution(oce_device *device) {
    oce_conv2d_desc desc = {.batch = 2,
                            .height = 7,
                            .width = 6,
                            .channels = 16,
                            .filters = 16,
                            .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME}};
    for (int stride = 1; stride <= 2; stride++)
        for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
            desc.window.stride[0] = stride;
            conv2d_check(device, &desc, (oce_pass)pass, NULL, 3, 2e-5);
        }
    desc.gemm_family = OCE_GEMM_NAIVE; /* building CLBlast's kernels takes seconds */
    for (int family = OCE_CONV2D_NAIVE; family < OCE_CONV2D_FAMILIES; family++) {
        oce_conv2d_plan *plan = NULL;
        desc.family = (oce_conv2d_family)family;
        const oce_status status = conv2d_plan(device, &desc, OCE_PASS_FORWARD, &plan);
        cr_expect(status == OCE_OK || status == OCE_ERROR_UNSUPPORTED, "%s: %s",
                  oce_conv2d_family_name(desc.family), oce_last_error());
        oce_conv2d_plan_destroy(plan);
    }
}

/* A step with every layer; the loss after it. */
static double train(oce_device *device) {
    const oce_model_options options = tiny_options(6, 1);
    oce_model *model = tiny_model(device, &options);
    uint8_t *images = tiny_images(6, 1), *labels = tiny_labels(6, 1);
    oce_metrics metrics;
    TEST_OK(oce_model_train_step(model, images, labels, 0.05F));
    TEST_OK(oce_model_evaluate(model, images, labels, 6, &metrics, NULL));
    free(images);
    free(labels);
    oce_model_destroy(model);
    return metrics.loss;
}

static void check_caps(const char *class) {
    setenv("OCELLI_DEVICE_CLASS", class, 1);
    oce_device *whole = open_capped("");
    const double loss = train(whole);
    oce_device_close(whole);
    for (int i = 0; i < OCE_COUNT(some_caps); i++) {
        oce_device *device = open_capped(some_caps[i]);
        check_convolution(device);
        gemm_check_shape(device, OCE_GEMM_AUTO, 17, 33, 65, 1);
        const double capped = train(device);
        cr_expect(fabs(capped - loss) < 1e-4, "%s: loss %g, %g without", some_caps[i], capped,
                  loss);
        cr_expect_null(oce_device_take_notice(device));
        oce_device_close(device);
    }
}

Test(caps, operations_and_training_work_on_small_cpus) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    check_caps("cpu");
}

Test(caps, operations_and_training_work_on_small_gpus) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    check_caps("gpu");
}

/* A batch is divided until it fits, and where one image is too much the message says so. */
Test(caps, models_are_divided_to_fit_the_largest_allocation) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    oce_device *device = open_capped("allocation=16M");
    oce_model_options options = tiny_options(1024, 1);
    oce_model *model = NULL;
    int64_t parts = 0;
    TEST_OK(oce_model_fit(device, oce_network_cifar10(), &options, &parts));
    cr_expect_gt(parts, 1);
    options.micro_batches = parts;
    TEST_OK(oce_model_create(device, oce_network_cifar10(), &options, &model));
    TEST_OK(oce_model_allocate(model));
    oce_model_destroy(model);
    oce_device_close(device);
    device = open_capped("allocation=1M");
    TEST_OK(oce_model_fit(device, oce_network_cifar10(), &options, &parts));
    cr_expect_eq(parts, options.batch);
    options.micro_batches = parts;
    TEST_OK(oce_model_create(device, oce_network_cifar10(), &options, &model));
    cr_expect_eq(oce_model_allocate(model), OCE_ERROR_DEVICE_MEMORY);
    cr_expect(strstr(oce_last_error(), "the largest allocation of ") != NULL &&
                  strstr(oce_last_error(), "one image at a time") != NULL,
              "%s", oce_last_error());
    oce_model_destroy(model);
    oce_device_close(device);
}
