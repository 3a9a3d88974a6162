/* Programs and kernels: defines, sources, build messages, one build per set of options. */
#define _POSIX_C_SOURCE 200809L
#include "device/embedded.h"
#include "device/internal.h"
#include "support/device.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PoCL leaks 16 bytes at a build that fails or finds no kernel. Objects that we fail to release are
 * counted in test_opencl.c, so that nothing of ours hides behind this. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libpocl\n";
}

static oce_device *device;
static char *folder;

/* A device, and a folder of kernels that holds a copy of common.cl.h. */
static void set_up(void) {
    folder = scratch_create();
    char *common = scratch_read("cl", "common.cl.h", NULL);
    scratch_write_text(folder, "common.cl.h", common);
    free(common);
    setenv("OCELLI_KERNELS", folder, 1);
    setenv("OCELLI_CACHE", "off", 1);
    device = test_open_device();
}

static void tear_down(void) {
    oce_device_close(device);
    scratch_remove(folder);
}

TestSuite(program, .init = set_up, .fini = tear_down);

static void expect_error(oce_status status, oce_status expected, const char *const *texts) {
    cr_expect(status == expected, "%s: %s", oce_status_text(status), oce_last_error());
    for (; *texts != NULL; texts++)
        cr_expect(strstr(oce_last_error(), *texts) != NULL, "\"%s\" is not in: %s", *texts,
                  oce_last_error());
}
#define EXPECT_ERROR(call, status, ...)                                                            \
    expect_error(call, status, (const char *const[]){__VA_ARGS__, NULL})

static int kernels_of(const oce_device *of) {
    int count = 0;
    for (const oce_kernel *kernel = of->kernels; kernel != NULL; kernel = kernel->next)
        count++;
    return count;
}

/* What a kernel `give(__global int *)` stores. */
static int run_give(const char *file, const oce_defines *defines) {
    oce_kernel *kernel = NULL;
    oce_buffer *buffer = NULL;
    cl_int value = 0;
    TEST_OK(oce_kernel_get(device, file, "give", defines, &kernel));
    TEST_OK(oce_buffer_create(device, sizeof value, &buffer));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    TEST_OK(oce_launch(kernel, oce_range_groups(1, 1, 1), args, 1));
    TEST_OK(oce_buffer_read(buffer, 0, &value, sizeof value));
    oce_buffer_destroy(buffer);
    return value;
}

static const char give[] = "#ifndef VALUE\n#define VALUE 5\n#endif\n"
                           "KERNEL void give(__global int *out) { out[0] = VALUE; }\n";

Test(program, defines_reach_the_kernel) {
    scratch_write_text(folder, "give.cl", give);
    oce_defines defines = {0};
    oce_define(&defines, "VALUE", -42);
    cr_expect(run_give("give.cl", NULL) == 5);
    cr_expect(run_give("give.cl", &defines) == -42);
}

Test(program, is_built_once_for_each_set_of_defines) {
    scratch_write_text(folder, "give.cl", give);
    oce_kernel *kernels[4];
    oce_defines defines[2] = {{{0}, 0, false}, {{0}, 0, false}};
    oce_define(&defines[0], "VALUE", 1);
    oce_define(&defines[1], "VALUE", 2);
    for (int i = 0; i < 4; i++)
        TEST_OK(oce_kernel_get(device, "give.cl", "give", &defines[i % 2], &kernels[i]));
    cr_expect(kernels[0] == kernels[2] && kernels[1] == kernels[3] && kernels[0] != kernels[1]);
    cr_expect(kernels_of(device) == 2);
}

Test(program, device_is_described_to_the_kernel) {
    scratch_write_text(folder, "give.cl",
                       "KERNEL void give(__global int *out) { out[0] = OCE_CPU * 100 + VW; }\n");
    const oce_limits *limits = oce_device_limits(device);
    cr_expect(run_give("give.cl", NULL) == (limits->is_cpu ? 100 : 0) + limits->vector_width);
}

Test(program, defines_that_do_not_fit_are_an_error) {
    scratch_write_text(folder, "give.cl", give);
    oce_defines defines = {0};
    oce_kernel *kernel = NULL;
    char name[32];
    for (int i = 0; !defines.is_full && i < 1000; i++) {
        snprintf(name, sizeof name, "DEFINE_NUMBER_%d", i);
        oce_define(&defines, name, INT64_MIN);
    }
    cr_assert(defines.is_full);
    cr_expect(defines.length < sizeof defines.text);
    EXPECT_ERROR(oce_kernel_get(device, "give.cl", "give", &defines, &kernel), OCE_ERROR_OVERFLOW,
                 "give.cl", "1024");
}

Test(program, build_message_has_file_line_options_device_and_error) {
    scratch_write_text(folder, "wrong.cl", "#warning nothing\n\n\nKERNEL void f() { oops; }\n");
    oce_kernel *kernel = NULL;
    oce_defines defines = {0};
    oce_define(&defines, "TILE", 4);
    EXPECT_ERROR(oce_kernel_get(device, "wrong.cl", "f", &defines, &kernel), OCE_ERROR_BUILD,
                 "building f of wrong.cl", "-DTILE=4", "oops", oce_device_get_info(device)->name,
                 "CL_BUILD_PROGRAM_FAILURE");
    cr_expect(strchr(oce_last_error(), '\n') == NULL);
    if (strcmp(oce_device_get_info(device)->platform_name, "Oclgrind") !=
        0) /* counts its own way */
        cr_expect(strstr(oce_last_error(), "wrong.cl:4") != NULL, "%s", oce_last_error());
    cr_expect(kernels_of(device) == 0);
}

/* The file that a kernel file includes goes before it, and its lines are its own in messages. */
Test(program, kernel_file_may_include_one_other) {
    scratch_write_text(folder, "shared.cl.h", "#define VALUE 7\n");
    scratch_write_text(folder, "give.cl",
                       "/* kernel */\n#include \"shared.cl.h\"\n"
                       "KERNEL void give(__global int *out) { out[0] = VALUE; }\n");
    cr_expect(run_give("give.cl", NULL) == 7);
    oce_kernel *kernel = NULL;
    scratch_write_text(folder, "absent.cl", "/* kernel */\n#include \"absent.cl.h\"\n");
    EXPECT_ERROR(oce_kernel_get(device, "absent.cl", "f", NULL, &kernel), OCE_ERROR_NOT_FOUND,
                 "absent.cl.h");
    scratch_write_text(folder, "two.cl", "\n#include \"shared.cl.h\"\n#include \"common.cl.h\"\n");
    EXPECT_ERROR(oce_kernel_get(device, "two.cl", "f", NULL, &kernel), OCE_ERROR_INVALID_ARGUMENT,
                 "two.cl", "one file");
}

Test(program, failed_build_can_be_tried_again) {
    scratch_write_text(folder, "give.cl", "KERNEL void give(__global int *out) { oops; }\n");
    oce_kernel *kernel = NULL;
    cr_expect(oce_kernel_get(device, "give.cl", "give", NULL, &kernel) == OCE_ERROR_BUILD);
    scratch_write_text(folder, "give.cl", give);
    cr_expect(run_give("give.cl", NULL) == 5);
}

Test(program, unknown_file_and_kernel) {
    scratch_write_text(folder, "give.cl", give);
    oce_kernel *kernel = NULL;
    EXPECT_ERROR(oce_kernel_get(device, "none.cl", "give", NULL, &kernel), OCE_ERROR_NOT_FOUND,
                 "none.cl", "OCELLI_KERNELS");
    EXPECT_ERROR(oce_kernel_get(device, "give.cl", "take", NULL, &kernel), OCE_ERROR_NOT_FOUND,
                 "give.cl", "no kernel take");
    unsetenv("OCELLI_KERNELS");
    EXPECT_ERROR(oce_kernel_get(device, "none.cl", "give", NULL, &kernel), OCE_ERROR_NOT_FOUND,
                 "no kernel file \"none.cl\"");
}

Test(program, folder_of_kernels_that_is_too_long) {
    char *name = calloc(2000, 1);
    oce_kernel *kernel = NULL;
    memset(name, 'k', 1999);
    setenv("OCELLI_KERNELS", name, 1);
    EXPECT_ERROR(oce_kernel_get(device, "give.cl", "give", NULL, &kernel),
                 OCE_ERROR_INVALID_ARGUMENT, "OCELLI_KERNELS", "longer than");
    free(name);
}

Test(program, built_in_kernels_are_found_without_a_folder) {
    unsetenv("OCELLI_KERNELS");
    oce_kernel *kernel = NULL;
    TEST_OK(oce_kernel_get(device, "lanes.cl", "lanes", NULL, &kernel));
    setenv("OCELLI_KERNELS", "", 1);
    TEST_OK(oce_kernel_get(device, "group_probe.cl", "group_probe", NULL, &kernel));
}

/* Others of a file are not compiled along: what is wrong in them does not matter, what is between
 * them stays, and lines keep their numbers. */
Test(program, holds_one_kernel_of_its_file) {
    scratch_write_text(folder, "three.cl",
                       "#define GROUP_KERNEL KERNEL\n"
                       "KERNEL void give_not(__global int *out) {\n    oops;\n}\n"
                       "GROUP_KERNEL void line() { oops; }\n"
                       "int seven(void) {\n    return __LINE__;\n}\n"
                       "KERNEL void give(__global int *out) {\n    out[0] = seven();\n}\n"
                       "GROUP_KERNEL void last(\n    __global int *out) {\n    oops;\n}\n");
    cr_expect(run_give("three.cl", NULL) == 7);
}

/* Kernels named together come in one program, without the file's others; each is found later. */
Test(program, holds_kernels_that_are_named_together) {
    scratch_write_text(folder, "more.cl",
                       "KERNEL void give(__global int *out) {\n    out[0] = 5;\n}\n"
                       "KERNEL void give_not(__global int *out) {\n    oops;\n}\n"
                       "KERNEL void give_more(__global int *out) {\n    out[0] = 6;\n}\n");
    oce_kernel *more = NULL, *again = NULL;
    TEST_OK(oce_kernel_get(device, "more.cl", "give_more give", NULL, &more));
    cr_expect(kernels_of(device) == 2);
    TEST_OK(oce_kernel_get(device, "more.cl", "give", NULL, &again));
    cr_expect(again != more && again->program == more->program);
    cr_expect(strcmp(more->name, "give_more") == 0 && strcmp(again->name, "give") == 0);
    TEST_OK(oce_kernel_get(device, "more.cl", "give_more give", NULL, &again));
    cr_expect(again == more && kernels_of(device) == 2);
    cr_expect(run_give("more.cl", NULL) == 5);
    oce_defines defines = {0};
    oce_define(&defines, "NEW", 1);
    EXPECT_ERROR(oce_kernel_get(device, "more.cl", "give none", &defines, &again),
                 OCE_ERROR_NOT_FOUND, "more.cl", "no kernel none");
}

/* The names of all kernels of a file, between blanks. */
static void names_of(const char *text, char *names, size_t bytes) {
    static const char start[] = "KERNEL void ";
    names[0] = '\0';
    for (const char *at = text; (at = strstr(at, start)) != NULL;) {
        at += strlen(start);
        snprintf(names + strlen(names), bytes - strlen(names), "%.*s ", (int)strcspn(at, "("), at);
    }
}

/* A function that a kernel uses and common.cl.h does not declare would cost each start the reading
 * of the driver's headers. */
Test(program, common_header_declares_what_the_kernels_use) {
    unsetenv("OCELLI_KERNELS");
    for (const oce_embedded_file *file = oce_embedded_files; file->name != NULL; file++) {
        char names[1024];
        oce_kernel *kernel = NULL;
        names_of(file->text, names, sizeof names);
        /* Vectors of a CPU's width do not fit kernels that are for GPUs only. */
        const bool is_foreign = strstr(file->name, "_gpu.cl") != NULL && device->limits.is_cpu;
        if (strcmp(file->name, "common.cl.h") == 0 || names[0] == '\0' || is_foreign)
            continue;
        const oce_status status = oce_kernel_get(device, file->name, names, NULL, &kernel);
        /* Some kernels are there only with a define. */
        cr_expect(status == OCE_OK || status == OCE_ERROR_NOT_FOUND, "%s", oce_last_error());
        cr_expect(!device->needs_headers, "%s", file->name);
        device->needs_headers = false;
    }
}

/* What common.cl.h does not declare is found in the driver's headers, then and from there on. */
Test(program, may_use_what_only_the_driver_declares) {
    scratch_write_text(folder, "root.cl",
                       "KERNEL void give(__global int *out) { out[0] = (int)cbrt(27.1f); }\n");
    scratch_write_text(folder, "give.cl", give);
    cr_expect(run_give("root.cl", NULL) == 3);
    cr_expect(run_give("root.cl", NULL) == 3);
    cr_expect(kernels_of(device) == 1);
    cr_expect(run_give("give.cl", NULL) == 5);
}
