/* What a device has to say, here of a damaged tuning file, is said once by every verb that opens
 * one, also if the verb fails. */
#include "support/command.h"
#include "support/scratch.h"

#include <ocelli/array.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static char *folder;
static char damaged[SCRATCH_PATH_BYTES];
static const char *const environment[] = {damaged, "ASAN_OPTIONS=detect_leaks=0", NULL};

static void setup(void) {
    folder = scratch_create();
    scratch_write_text(folder, "tuning.json", "{\"format\": 1, ");
    snprintf(damaged, sizeof damaged, "OCELLI_TUNING=%s", scratch_path(folder, "tuning.json"));
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(cli_notices, .init = setup, .fini = teardown);

/* Checks the exit code, and that stderr has the notice once; frees the result. */
static void expect_notice(command_result result, int code, const char *what) {
    static const char notice[] = "ocelli: warning: the tuning file is not used: ";
    int count = 0;
    for (const char *at = result.err; (at = strstr(at, notice)) != NULL; at++)
        count++;
    cr_expect_eq(count, 1, "%s: %d times in\n%s", what, count, result.err);
    cr_expect_eq(result.code, code, "%s: exit code %d: %s", what, result.code, result.err);
    cr_expect(strstr(result.out, "warning") == NULL, "%s: %s", what, result.out);
    command_free(&result);
}

#define EXPECT_NOTICE(code, ...)                                                                   \
    expect_notice(command_ocelli(environment, __VA_ARGS__), code, #__VA_ARGS__)

#define SHAPE "--shape", "h=6,c=2,k=3,r=3", "--pass", "fwd"

Test(cli_notices, of_operations) {
    EXPECT_NOTICE(0, "bench", "conv", SHAPE, "--repeat", "1");
    EXPECT_NOTICE(0, "bench", "conv", SHAPE, "--repeat", "1", "--json");
    EXPECT_NOTICE(0, "bench", "gemm", "--shape", "m=2,n=3,k=4", "--repeat", "1", "--quiet");
    EXPECT_NOTICE(0, "tune", "conv", SHAPE, "--seconds", "0.001", "--dry-run");
    EXPECT_NOTICE(0, "selftest", "--quick", "--only", "conv2d, 4x28x28x1");
}

Test(cli_notices, of_what_fails) {
    EXPECT_NOTICE(1, "bench", "conv", "--shape", "h=6,c=2,k=3,r=7,padding=valid");
}

/* Nothing claims that kernels are kept. */
Test(cli_notices, of_a_cache_that_cannot_be_written_to) {
    static const char *const nowhere[] = {"OCELLI_TUNING=off", "OCELLI_CACHE=/proc/no/such/place",
                                          "ASAN_OPTIONS=detect_leaks=0", NULL};
    command_result result = command_ocelli(nowhere, "bench", "conv", SHAPE, "--repeat", "1");
    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_expect_null(strstr(result.err, "are kept"), "%s", result.err);
    if (strstr(result.err, "Portable Computing Language") != NULL)
        cr_expect_not_null(strstr(result.err, "kernels cannot be kept, and the next start will be "
                                              "as slow: /proc/no"),
                           "%s", result.err);
    command_free(&result);
}

Test(cli_notices, of_a_folder_in_place_of_the_file) {
    snprintf(damaged, sizeof damaged, "OCELLI_TUNING=%s", folder);
    EXPECT_NOTICE(0, "bench", "conv", SHAPE, "--repeat", "1", "--quiet");
}

Test(cli_notices, of_arrays) {
    const int64_t shape[4] = {1, 4, 4, 1};
    const float values[16] = {1};
    const oce_array x = {"x", OCE_DTYPE_FLOAT32, 4, shape, values};
    cr_assert_eq(oce_arrays_write(scratch_path(folder, "x.npy"), OCE_ARRAY_NPY, &x, 1), OCE_OK);
    const int64_t window[4] = {4, 4, 1, 1};
    const oce_array f = {"f", OCE_DTYPE_FLOAT32, 4, window, values};
    cr_assert_eq(oce_arrays_write(scratch_path(folder, "f.npy"), OCE_ARRAY_NPY, &f, 1), OCE_OK);
    EXPECT_NOTICE(0, "op", "conv2d", "--in", scratch_path(folder, "x.npy"),
                  scratch_path(folder, "f.npy"), "--out", scratch_path(folder, "y.npy"));
}

/* CIFAR-10 records with one pixel value each, and a picture. */
static void write_pictures(void) {
    enum { RECORD = 1 + 3072, RECORDS = 8 };
    static unsigned char records[RECORDS * RECORD];
    static const char head[] = "P6 32 32 255\n";
    char picture[sizeof head - 1 + RECORD - 1];
    for (int i = 0; i < RECORDS; i++)
        memset(records + (size_t)i * RECORD, i, RECORD);
    scratch_write(folder, "records.bin", records, sizeof records);
    memset(picture, 100, sizeof picture);
    memcpy(picture, head, sizeof head - 1);
    scratch_write(folder, "picture.ppm", picture, sizeof picture);
}

Test(cli_notices, of_models) {
    write_pictures();
    const char *records = scratch_path(folder, "records.bin"),
               *model = scratch_path(folder, "model");
    EXPECT_NOTICE(0, "info", "mnist", "--json");
    EXPECT_NOTICE(0, "train", "cifar10", "--train-file", records, "--test-file", records, "--steps",
                  "1", "--batch", "2", "--quiet", "--model-dir", model, "--save-final");
    EXPECT_NOTICE(0, "eval", "cifar10", "--test-file", records, "--quiet", "--model-dir", model);
    EXPECT_NOTICE(0, "predict", "cifar10", scratch_path(folder, "picture.ppm"), "--model-dir",
                  model);
    EXPECT_NOTICE(0, "bench", "infer", "mnist", "--images", "1", "--repeat", "1");
}

/* Not once for each of the processes that it starts. */
Test(cli_notices, of_processes) {
    EXPECT_NOTICE(0, "bench", "startup", "mnist", "--batch", "1", "--conv", "naive", "--repeat",
                  "2");
}
