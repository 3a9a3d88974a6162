/* The one launch path: arguments, ranges, groups, and the profile. */
#define _POSIX_C_SOURCE 200809L
#include "device/internal.h"
#include "support/device.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static oce_device *device;
static char *folder;

/* size[0] is the global size, size[1] the group's. `mark` notes how often each item ran. */
static const char source[] =
    "__kernel void mark(__global int *ran, __global int *size, int count) {\n"
    "    const int i = (int)get_global_id(0);\n"
    "    if (i == 0) {\n"
    "        size[0] = (int)get_global_size(0);\n"
    "        size[1] = (int)get_local_size(0);\n"
    "    }\n"
    "    if (i < count)\n"
    "        ran[i]++;\n"
    "}\n"
    "__kernel void plane(__global int *ran) {\n"
    "    ran[(get_global_id(2) * get_global_size(1) + get_global_id(1)) * get_global_size(0) +\n"
    "        get_global_id(0)]++;\n"
    "}\n"
    "__kernel void arguments(IN(x), OUT(y), int i, long l, float f, __global float *missing) {\n"
    "    AT(y)[0] = AT(x)[0];\n"
    "    AT(y)[1] = (float)i;\n"
    "    AT(y)[2] = (float)(l >> 32);\n"
    "    AT(y)[3] = f;\n"
    "    AT(y)[4] = missing == 0 ? 1.0f : 0.0f;\n"
    "}\n";

static void set_up(void) {
    folder = scratch_create();
    char *common = scratch_read("cl", "common.cl.h", NULL);
    scratch_write_text(folder, "common.cl.h", common);
    scratch_write_text(folder, "test.cl", source);
    free(common);
    setenv("OCELLI_KERNELS", folder, 1);
    setenv("OCELLI_CACHE", "off", 1);
    device = test_open_device();
}

static void tear_down(void) {
    oce_device_close(device);
    scratch_remove(folder);
}

TestSuite(launch, .init = set_up, .fini = tear_down);

static oce_kernel *kernel_named(const char *name) {
    oce_kernel *kernel = NULL;
    TEST_OK(oce_kernel_get(device, "test.cl", name, NULL, &kernel));
    return kernel;
}

static void expect_error(oce_status status, oce_status expected, const char *text) {
    cr_expect(status == expected, "%s", oce_status_text(status));
    cr_expect(strstr(oce_last_error(), text) != NULL, "\"%s\" is not in: %s", text,
              oce_last_error());
}

/* Launches `mark` over `range` for `count` items and checks that each ran once; the sizes that it
 * saw go to size[2]. */
static void mark(oce_range range, int count, int size[2]) {
    enum { ROOM = 4096 };
    static int ran[ROOM];
    oce_buffer *marks = NULL, *sizes = NULL;
    TEST_OK(oce_buffer_create(device, sizeof ran, &marks));
    TEST_OK(oce_buffer_create(device, 2 * sizeof *size, &sizes));
    TEST_OK(oce_buffer_clear(marks, 0, sizeof ran));
    TEST_OK(oce_buffer_clear(sizes, 0, 2 * sizeof *size));
    const oce_arg args[] = {oce_arg_buffer(marks), oce_arg_buffer(sizes), oce_arg_int(count)};
    TEST_OK(oce_launch(kernel_named("mark"), range, args, OCE_COUNT(args)));
    TEST_OK(oce_buffer_read(marks, 0, ran, sizeof ran));
    TEST_OK(oce_buffer_read(sizes, 0, size, 2 * sizeof *size));
    for (int i = 0; i < ROOM; i++)
        cr_assert(ran[i] == (i < count), "item %d of %d ran %d times", i, count, ran[i]);
    oce_buffer_destroy(marks);
    oce_buffer_destroy(sizes);
}

Test(launch, items_run_once_each_whatever_their_number) {
    const int counts[] = {1, 2, 3, 255, 256, 257, 1000, 4096};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int size[2];
        mark(oce_range_items(counts[i]), counts[i], size);
        cr_expect(size[0] >= counts[i] && size[0] % size[1] == 0);
        cr_expect(size[0] - counts[i] < size[1], "at most one group is not full");
        if (oce_device_limits(device)->is_cpu)
            cr_expect(size[1] == 1, "CPUs take groups of one item");
    }
}

Test(launch, open_group_fits_device_and_kernel) {
    int size[2];
    device->limits.is_cpu = false; /* GPUs get larger groups */
    int largest = 256;
    while ((size_t)largest > kernel_named("mark")->max_work_group)
        largest /= 2;
    if (largest < 64)
        cr_skip_test("the device has no groups of 64 items");
    mark(oce_range_items(1000), 1000, size);
    cr_expect(size[1] == largest && size[0] == 1024);
    mark(oce_range_items(30), 30, size);
    cr_expect(size[1] == 32 && size[0] == 32);
    mark(oce_range_items(1), 1, size);
    cr_expect(size[1] == 1 && size[0] == 1);
    oce_kernel *kernel = kernel_named("mark");
    kernel->max_work_group = 63;
    mark(oce_range_items(1000), 1000, size);
    cr_expect(size[1] == 32 && size[0] == 1024);
    device->limits.max_items[0] = 16;
    mark(oce_range_items(1000), 1000, size);
    cr_expect(size[1] == 16 && size[0] == 1008);
}

Test(launch, given_group_is_kept) {
    int size[2];
    if (oce_device_limits(device)->max_items[0] < 8)
        cr_skip_test("the device has no groups of 8 items");
    mark((oce_range){{24, 1, 1}, {8, 1, 1}}, 24, size);
    cr_expect(size[0] == 24 && size[1] == 8);
}

Test(launch, group_that_does_not_fit_is_an_error) {
    oce_kernel *kernel = kernel_named("plane");
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, 4096, &buffer));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    expect_error(oce_launch(kernel, (oce_range){{10, 1, 1}, {4, 1, 1}}, args, 1),
                 OCE_ERROR_INVALID_ARGUMENT, "plane: 10 items along dimension 0");
    expect_error(oce_launch(kernel, (oce_range){{4, 4, 1}, {4, 0, 1}}, args, 1),
                 OCE_ERROR_INVALID_ARGUMENT, "dimension 1");
    expect_error(oce_launch(kernel, (oce_range){{1, 1, 1 << 28}, {1, 1, 1 << 28}}, args, 1),
                 OCE_ERROR_UNSUPPORTED, "dimension 2");
    kernel->max_work_group = 8;
    expect_error(oce_launch(kernel, (oce_range){{4, 4, 1}, {4, 4, 1}}, args, 1),
                 OCE_ERROR_UNSUPPORTED, "a group of 16 items");
    oce_buffer_destroy(buffer);
}

Test(launch, three_dimensions) {
    enum { COUNT = 2 * 3 * 4 };
    int ran[COUNT];
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, sizeof ran, &buffer));
    TEST_OK(oce_buffer_clear(buffer, 0, sizeof ran));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    TEST_OK(oce_launch(kernel_named("plane"), oce_range_groups(2, 3, 4), args, 1));
    TEST_OK(oce_buffer_read(buffer, 0, ran, sizeof ran));
    for (int i = 0; i < COUNT; i++)
        cr_expect(ran[i] == 1);
    oce_buffer_destroy(buffer);
}

Test(launch, arguments_of_every_kind_arrive) {
    const float numbers[] = {1, 2, 3, 4};
    oce_tensor x = test_tensor(device, 1, 1, 1, 4, NULL, numbers);
    oce_tensor y = test_tensor(device, 1, 1, 1, 8, NULL, NULL);
    const oce_arg args[] = {oce_arg_tensor_at(&x, 2), oce_arg_part(y.buffer, 3),
                            oce_arg_int(-7),          oce_arg_long(INT64_C(5) << 32),
                            oce_arg_float(0.25F),     oce_arg_buffer(NULL)};
    TEST_OK(oce_launch(kernel_named("arguments"), oce_range_groups(1, 1, 1), args, 6));
    float *got = test_download(&y);
    const float expected[] = {0, 0, 0, 3, -7, 5, 0.25F, 1};
    for (int i = 0; i < 8; i++)
        cr_expect(got[i] == expected[i], "%d: %g", i, (double)got[i]);
    free(got);
    oce_tensor_release(&x);
    oce_tensor_release(&y);
}

Test(launch, ints_that_do_not_fit_are_an_error) {
    oce_buffer *buffer = NULL;
    oce_kernel *kernel = kernel_named("mark");
    const int64_t wrong[] = {INT64_C(1) << 32, INT64_C(-2147483649), INT64_MAX};
    TEST_OK(oce_buffer_create(device, 64, &buffer));
    for (int i = 0; i < 3; i++) {
        const oce_arg args[] = {oce_arg_buffer(buffer), oce_arg_buffer(buffer),
                                oce_arg_int(wrong[i])};
        expect_error(oce_launch(kernel, oce_range_items(1), args, 3), OCE_ERROR_OVERFLOW,
                     "kernel mark: argument 2");
    }
    const oce_arg args[] = {oce_arg_buffer(buffer), oce_arg_buffer(buffer),
                            oce_arg_int(UINT32_MAX)};
    TEST_OK(oce_launch(kernel, oce_range_items(1), args, 3)); /* a uint */
    TEST_OK(oce_device_finish(device));
    oce_buffer_destroy(buffer);
}

Test(launch, wrong_number_of_arguments_is_an_error) {
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, 64, &buffer));
    const oce_arg args[] = {oce_arg_buffer(buffer), oce_arg_int(1)};
    oce_kernel *kernel = kernel_named("plane");
    expect_error(oce_launch(kernel, oce_range_groups(1, 1, 1), args, 2), OCE_ERROR_INVALID_ARGUMENT,
                 "plane takes 1 arguments, 2 were given");
    expect_error(oce_launch(kernel, oce_range_groups(1, 1, 1), args, 0), OCE_ERROR_INVALID_ARGUMENT,
                 "plane takes 1 arguments, 0 were given");
    oce_buffer_destroy(buffer);
}

Test(launch, buffer_of_another_device_is_an_error) {
    oce_device *other = test_open_device();
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(other, 64, &buffer));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    expect_error(oce_launch(kernel_named("plane"), oce_range_groups(1, 1, 1), args, 1),
                 OCE_ERROR_INVALID_ARGUMENT, "another device");
    oce_buffer_destroy(buffer);
    oce_device_close(other);
}

Test(launch, empty_range_enqueues_nothing) {
    int data = 5;
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, sizeof data, &buffer));
    TEST_OK(oce_buffer_write(buffer, 0, &data, sizeof data));
    TEST_OK(oce_device_profile_start(device));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    oce_kernel *kernel = kernel_named("plane");
    TEST_OK(oce_launch(kernel, oce_range_groups(0, 1, 1), args, 1));
    TEST_OK(oce_launch(kernel, oce_range_groups(1, 0, 1), args, 1));
    TEST_OK(oce_launch(kernel, oce_range_groups(1, 1, 0), args, 1));
    TEST_OK(oce_launch(kernel, oce_range_items(0), args, 1));
    TEST_OK(oce_buffer_read(buffer, 0, &data, sizeof data));
    cr_expect(data == 5);
    const oce_profile_entry *entries = NULL;
    int count = -1;
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    cr_expect(count == 0);
    oce_buffer_destroy(buffer);
}

/* Launches `plane` `times` times under a label. */
static void launch_labelled(const oce_buffer *buffer, const char *label, double flops, int times) {
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    oce_device_label(device, label, flops);
    for (int i = 0; i < times; i++)
        TEST_OK(oce_launch(kernel_named("plane"), oce_range_groups(1, 1, 1), args, 1));
}

static const oce_profile_entry *find_entry(const oce_profile_entry *entries, int count,
                                           const char *label, const char *kernel) {
    for (int i = 0; i < count; i++)
        if (strcmp(entries[i].label, label) == 0 && strcmp(entries[i].kernel, kernel) == 0)
            return &entries[i];
    return NULL;
}

Test(launch, profile_sums_by_label_and_kernel) {
    oce_buffer *buffer = NULL;
    const oce_profile_entry *entries = NULL;
    int count = 0, size[2];
    TEST_OK(oce_buffer_create(device, 64, &buffer));
    TEST_OK(oce_buffer_clear(buffer, 0, 64));
    launch_labelled(buffer, "before", 5, 1); /* not recorded yet */
    TEST_OK(oce_device_profile_start(device));
    TEST_OK(oce_device_profile_start(device));
    launch_labelled(buffer, "first", 100, 2);
    launch_labelled(buffer, "second", 7, 3);
    launch_labelled(buffer, "first", 100, 4);
    mark(oce_range_items(1), 1, size);
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    const oce_profile_entry *first = find_entry(entries, count, "first", "plane");
    const oce_profile_entry *second = find_entry(entries, count, "second", "plane");
    const oce_profile_entry *other = find_entry(entries, count, "first", "mark");
    cr_assert(first != NULL && second != NULL && other != NULL);
    cr_expect(first->launches == 6 && second->launches == 3 && other->launches == 1);
    cr_expect(first->seconds > 0 && first->seconds < 10);
    cr_expect(find_entry(entries, count, "before", "plane") == NULL);
    double flops[2] = {0, 0};
    for (int i = 0; i < count; i++)
        flops[strcmp(entries[i].label, "second") == 0] += entries[i].flops;
    cr_expect(flops[0] == 200 && flops[1] == 7);
    oce_buffer_destroy(buffer);
}

Test(launch, profile_takes_more_launches_than_it_keeps_events) {
    oce_buffer *buffer = NULL;
    const oce_profile_entry *entries = NULL;
    int count = 0;
    TEST_OK(oce_buffer_create(device, 64, &buffer));
    TEST_OK(oce_device_profile_start(device));
    launch_labelled(buffer, "many", 0, 2 * OCE_PROFILE_PENDING + 3);
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    cr_assert(count == 1);
    cr_expect(entries[0].launches == 2 * OCE_PROFILE_PENDING + 3);
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    cr_expect(entries[0].launches == 2 * OCE_PROFILE_PENDING + 3, "read twice, counted once");
    oce_buffer_destroy(buffer);
}

Test(launch, profile_stops_and_starts_anew) {
    oce_buffer *buffer = NULL;
    const oce_profile_entry *entries = NULL;
    int count = 0;
    TEST_OK(oce_buffer_create(device, 64, &buffer));
    TEST_OK(oce_device_profile_stop(device)); /* it was not on */
    TEST_OK(oce_device_profile_start(device));
    launch_labelled(buffer, "first", 1, 3);
    TEST_OK(oce_device_profile_stop(device));
    launch_labelled(buffer, "between", 1, 1);
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    cr_expect(count == 0);
    TEST_OK(oce_device_profile_start(device));
    launch_labelled(buffer, "second", 0, 2);
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    cr_assert(count == 1);
    cr_expect(entries[0].launches == 2);
    cr_expect(strstr(entries[0].build, ".cl ") != NULL, "built as \"%s\"", entries[0].build);
    oce_buffer_destroy(buffer);
}
