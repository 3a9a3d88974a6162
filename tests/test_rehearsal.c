/* Launches kept and made later, last first, for a process that only compiles. */
#define _POSIX_C_SOURCE 200809L
#include "device/device.h"
#include "support/command.h"
#include "support/device.h"
#include "support/scratch.h"

#include <ocelli/elementwise.h>

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { COUNT = 4 };

static oce_device *device;
static char *folder; /* of the cache of programs, and of kernel files */

static void set_up(void) {
    folder = scratch_create();
    setenv("OCELLI_CACHE", scratch_path(folder, "cache"), 1);
    device = test_open_device();
}

static void tear_down(void) {
    oce_device_close(device);
    scratch_remove(folder);
}

TestSuite(rehearsal, .init = set_up, .fini = tear_down);

static void expect_all(const oce_tensor *tensor, float value) {
    float *data = test_download(tensor);
    for (size_t i = 0; i < oce_tensor_count(tensor); i++)
        cr_expect(data[i] == value, "element %zu is %g, not %g", i, data[i], value);
    free(data);
}

/* From now on launches are kept. */
static void rehearse(void) {
    bool is_done = false;
    TEST_OK(oce_device_rehearse(device));
    TEST_OK(oce_device_rehearse_builds(device, 0, 1, &is_done));
    if (is_done) {
        oce_device_end_rehearsal(device);
        cr_skip_test("this driver has nothing to compile at a launch");
    }
}

static void rehearse_launches(int part, int parts) {
    TEST_OK(oce_device_rehearse_launches(device, part, parts));
    oce_device_end_rehearsal(device);
}

/* Tensors of different sizes, so that no two launches have the same range. */
static void make_tensors(oce_tensor tensors[COUNT]) {
    for (int i = 0; i < COUNT; i++)
        tensors[i] = test_tensor(device, 1, 1, 5000 * (i + 1), 16, NULL, NULL);
}

static void fill_all(const oce_tensor tensors[COUNT]) {
    for (int i = 0; i < COUNT; i++)
        TEST_OK(oce_fill(device, &tensors[i], (float)(i + 1)));
    TEST_OK(oce_device_finish(device));
}

static void destroy_all(const oce_tensor tensors[COUNT]) {
    for (int i = 0; i < COUNT; i++)
        oce_buffer_destroy(tensors[i].buffer);
}

Test(rehearsal, launches_wait_for_its_end) {
    oce_tensor tensors[COUNT];
    make_tensors(tensors);
    rehearse();
    fill_all(tensors);
    for (int i = 0; i < COUNT; i++)
        expect_all(&tensors[i], 0);
    rehearse_launches(0, 1);
    for (int i = 0; i < COUNT; i++)
        expect_all(&tensors[i], (float)(i + 1));
    TEST_OK(oce_fill(device, &tensors[0], 9)); /* from now on at once */
    expect_all(&tensors[0], 9);
    destroy_all(tensors);
}

Test(rehearsal, the_last_launch_comes_first) {
    oce_tensor large = test_tensor(device, 1, 1, 20000, 16, NULL, NULL), small = large;
    small.dim[2] = 5000; /* the first quarter of the same memory */
    rehearse();
    TEST_OK(oce_fill(device, &small, 1));
    TEST_OK(oce_fill(device, &large, 2));
    rehearse_launches(0, 1);
    expect_all(&small, 1);
    oce_buffer_destroy(large.buffer);
}

Test(rehearsal, parts_share_the_launches) {
    oce_tensor tensors[COUNT];
    make_tensors(tensors);
    for (int part = 0; part < 3; part++) {
        rehearse();
        fill_all(tensors);
        rehearse_launches(part, 3);
        for (int i = 0; i < COUNT; i++) {
            const bool is_done = (COUNT - 1 - i) % 3 <= part;
            expect_all(&tensors[i], is_done ? (float)(i + 1) : 0);
        }
    }
    destroy_all(tensors);
}

Test(rehearsal, a_kernel_and_range_come_once) {
    oce_tensor first = test_tensor(device, 1, 1, 5000, 16, NULL, NULL);
    oce_tensor second = test_tensor(device, 1, 1, 5000, 16, NULL, NULL);
    rehearse();
    TEST_OK(oce_fill(device, &first, 1));
    TEST_OK(oce_fill(device, &second, 1));
    rehearse_launches(0, 1);
    expect_all(&first, 1);
    expect_all(&second, 0);
    oce_buffer_destroy(first.buffer);
    oce_buffer_destroy(second.buffer);
}

Test(rehearsal, new_buffers_are_zero) {
    oce_buffer *buffer = NULL;
    unsigned char bytes[1000];
    rehearse();
    TEST_OK(oce_buffer_create(device, sizeof bytes, &buffer));
    rehearse_launches(0, 1);
    TEST_OK(oce_buffer_read(buffer, 0, bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++)
        cr_expect(bytes[i] == 0, "byte %zu is %d", i, bytes[i]);
    oce_buffer_destroy(buffer);
}

Test(rehearsal, wrong_parts_are_refused) {
    static const int wrong[][2] = {{0, 0}, {-1, 2}, {2, 2}};
    bool is_done = false;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect(oce_device_rehearse_builds(device, wrong[i][0], wrong[i][1], &is_done) ==
                      OCE_ERROR_INVALID_ARGUMENT,
                  "builds %d of %d", wrong[i][0], wrong[i][1]);
        cr_expect(oce_device_rehearse_launches(device, wrong[i][0], wrong[i][1]) ==
                      OCE_ERROR_INVALID_ARGUMENT,
                  "launches %d of %d", wrong[i][0], wrong[i][1]);
    }
}

/* ---- Builds, with kernel files of the test's own ------------------------------------------- */

static void set_up_kernels(void) {
    folder = scratch_create();
    scratch_write_text(folder, "common.cl.h", "");
    scratch_write_text(folder, "one.cl",
                       "__kernel void one(__global int *out) { out[0] = X; }\n"
                       "__kernel void two(__global int *out) { out[0] = -X; }\n");
    setenv("OCELLI_KERNELS", folder, 1);
    setenv("OCELLI_CACHE", scratch_path(folder, "cache"), 1);
    setenv("OCELLI_CACHE_FORCE", "1", 1);
    device = test_open_device();
}

TestSuite(rehearsed_builds, .init = set_up_kernels, .fini = tear_down);

static oce_kernel *get(const char *names, int x) {
    oce_kernel *kernel = NULL;
    oce_defines defines = {0};
    oce_define(&defines, "X", x);
    TEST_OK(oce_kernel_get(device, "one.cl", names, &defines, &kernel));
    return kernel;
}

static void expect_value(oce_kernel *kernel, int value) {
    oce_buffer *buffer = NULL;
    int read = 0;
    TEST_OK(oce_buffer_create(device, sizeof read, &buffer));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    TEST_OK(oce_launch(kernel, oce_range_groups(1, 1, 1), args, 1));
    TEST_OK(oce_buffer_read(buffer, 0, &read, sizeof read));
    cr_expect(read == value, "%d, not %d", read, value);
    oce_buffer_destroy(buffer);
}

Test(rehearsed_builds, what_is_kept_is_forgotten_at_the_end) {
    TEST_OK(oce_device_rehearse(device));
    (void)get("one two", 5);
    (void)get("two", 5);
    (void)get("one", 6);
    cr_expect(oce_device_new_programs(device) == 2, "%d", oce_device_new_programs(device));
    cr_expect(!file_is_there(scratch_path(folder, "cache")), "something was built");
    oce_device_end_rehearsal(device);
    cr_expect(oce_device_new_programs(device) == 0);
    expect_value(get("two", 5), -5); /* as if nothing had been */
}

/* All parts together build everything, the last program first, and each only its own where the
 * driver compiles at once. */
Test(rehearsed_builds, parts_share_the_programs) {
    bool is_done = false;
    for (int part = 0; part < 2; part++) {
        TEST_OK(oce_device_rehearse(device));
        for (int x = 1; x <= 3; x++)
            (void)get("one two", x);
        cr_expect(oce_device_new_programs(device) == (part == 0 ? 3 : 1));
        TEST_OK(oce_device_rehearse_builds(device, part, 2, &is_done));
        if (!is_done)
            cr_skip_test("where kernels are compiled late, each process needs all programs");
        cr_expect(scratch_count(scratch_path(folder, "cache"), NULL) == (part == 0 ? 2 : 3));
        oce_device_close(device); /* the other part is another process's */
        device = test_open_device();
    }
    expect_value(get("one two", 2), 2);
}

Test(rehearsed_builds, kernels_of_one_program_are_there) {
    bool is_done = false;
    TEST_OK(oce_device_rehearse(device));
    oce_kernel *one = get("one two", 7), *two = get("two", 7);
    TEST_OK(oce_device_rehearse_builds(device, 0, 1, &is_done));
    if (is_done)
        cr_skip_test("this driver has nothing to compile at a launch");
    TEST_OK(oce_device_rehearse_launches(device, 0, 1));
    expect_value(one, 7);
    expect_value(two, -7);
    oce_device_end_rehearsal(device);
    expect_value(one, 7);
}

Test(rehearsed_builds, what_the_driver_refuses_is_left_out) {
    bool is_done = false;
    scratch_write_text(folder, "wrong.cl", "__kernel void wrong(__global int *out) { no }\n");
    TEST_OK(oce_device_rehearse(device));
    oce_kernel *wrong = NULL, *right = get("one", 8);
    TEST_OK(oce_kernel_get(device, "wrong.cl", "wrong", NULL, &wrong));
    TEST_OK(oce_device_rehearse_builds(device, 0, 1, &is_done));
    oce_device_end_rehearsal(device);
    cr_expect(oce_kernel_get(device, "wrong.cl", "wrong", NULL, &wrong) == OCE_ERROR_BUILD);
    expect_value(right, 8);
}

/* ---- Processes that compile for a command -------------------------------------------------- */

enum { RECORD = 1 + 3072, RECORDS = 4 };

/* Trains a step on a few images, with empty caches; writes the checkpoint's digest. */
static void train(const char *place, const char *compilers, char digest[65]) {
    static unsigned char records[RECORDS * RECORD];
    char cache[SCRATCH_PATH_BYTES + 32], pocl[SCRATCH_PATH_BYTES + 32], count[64];
    size_t size = 0;
    for (int i = 0; i < RECORDS * RECORD; i++)
        records[i] = (unsigned char)(i % RECORD == 0 ? i / RECORD : i * 7 % 256);
    scratch_write(place, "records.bin", records, sizeof records);
    const char *file = scratch_path(place, "records.bin");
    snprintf(cache, sizeof cache, "OCELLI_CACHE=%s/cache", place);
    snprintf(pocl, sizeof pocl, "POCL_CACHE_DIR=%s/cache", place);
    snprintf(count, sizeof count, "OCELLI_COMPILERS=%s", compilers);
    /* PoCL leaks some bytes where it compiles; a sanitizer would fail the process for it */
    const char *const environment[] = {cache, pocl, count, "ASAN_OPTIONS=detect_leaks=0", NULL};
    command_result result =
        command_ocelli(environment, "train", "cifar10", "--train-file", file, "--test-file", file,
                       "--steps", "1", "--batch", "2", "--conv", "naive", "--gemm", "naive",
                       "--save-final", "--model-dir", scratch_path(place, "run"));
    cr_assert(result.code == 0, "%s", result.err);
    command_free(&result);
    char *data = scratch_read(place, "run/model-1.data-00000-of-00001", &size);
    sha256_text(data, size, digest);
    free(data);
}

Test(rehearsal, processes_that_compile_change_no_result) {
    char digests[2][65];
    if (test_is_small())
        cr_skip_test("a simulator compiles nothing");
    for (int i = 0; i < 2; i++) {
        char *place = scratch_create();
        int ends[2]; /* whoever still runs has the one that is written to */
        cr_assert(pipe(ends) == 0);
        train(place, i == 0 ? "1" : "3", digests[i]);
        close(ends[1]);
        struct pollfd poller = {.fd = ends[0], .events = POLLIN};
        cr_expect(poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP) != 0,
                  "another process is still there");
        close(ends[0]);
        scratch_remove(place);
    }
    cr_expect_str_eq(digests[0], digests[1]);
}

Test(rehearsal, a_process_that_compiles_prints_nothing) {
    static const char *const environment[] = {"OCELLI_COMPILER_PART=0/1",
                                              "ASAN_OPTIONS=detect_leaks=0", NULL};
    command_result result = command_ocelli(environment, "bench", "infer", "mnist", "--images", "1",
                                           "--conv", "naive", "--gemm", "naive", "--quiet");
    cr_expect(result.code == 0, "%s", result.err);
    cr_expect(result.out_size == 0 && result.err_size == 0, "%s%s", result.out, result.err);
    command_free(&result);
}

Test(rehearsal, the_number_of_processes_is_checked) {
    static const char *const wrong[] = {"OCELLI_COMPILERS=two", "OCELLI_COMPILERS=0",
                                        "OCELLI_COMPILERS=17", "OCELLI_COMPILERS=2x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const environment[] = {wrong[i], NULL};
        command_result result = command_ocelli(environment, "bench", "train", "mnist", "--quiet");
        expect_failure(&result, 1, "not a number from 1 to 16");
        command_free(&result);
    }
}
