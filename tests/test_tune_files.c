/* Files of the tuning table: saving, sharing, and what several processes make of one. */
#define _POSIX_C_SOURCE 200809L

#include "support/device.h"
#include "support/scratch.h"

#include "base/file.h"
#include "device/internal.h"

#include <criterion/criterion.h>
#include <ocelli/tune.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

/* Each test has a folder, whose tuning.json is the user's file. */
static void setup(void) {
    folder = scratch_create();
    setenv("OCELLI_TUNING", scratch_path(folder, "tuning.json"), 1);
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(tune_files, .init = setup, .fini = teardown);

static const oce_gemm_desc product = {.m = 30, .n = 40, .k = 50};
static const char product_shape[] = "m=30 n=40 k=50 ta=0 tb=0";

static oce_gemm_family family_of(oce_device *device) {
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &product, &plan));
    const oce_gemm_family family = oce_gemm_plan_family(plan);
    oce_gemm_plan_destroy(plan);
    return family;
}

/* Closes a device and opens it again, with an unread table. */
static oce_device *reopen(oce_device *device) {
    oce_device_close(device);
    return test_open_device();
}

static void expect_damaged(const char *text, const char *part) {
    oce_device *device = test_open_device();
    scratch_write_text(folder, "tuning.json", text);
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE);
    const char *notice = oce_device_take_notice(device);
    cr_assert_not_null(notice);
    cr_expect_not_null(strstr(notice, part), "%s", notice);
    cr_expect_eq(oce_tune_save(device), OCE_ERROR_FORMAT);
    cr_expect_eq(oce_tune_check(NULL), OCE_ERROR_FORMAT);
    cr_expect_not_null(strstr(oce_last_error(), part), "%s", oce_last_error());
    const char *other = scratch_path(folder, "other.json");
    cr_expect_eq(oce_tune_check(other), OCE_ERROR_FORMAT);
    cr_expect_eq(oce_tune_export(device, other, NULL), OCE_ERROR_FORMAT);
    cr_expect_not(file_is_there(other));
    char *left = scratch_read(folder, "tuning.json", NULL);
    cr_expect_str_eq(left, text);
    free(left);
    oce_device_close(device);
}

Test(tune_files, damaged_files_are_told_and_left_alone) {
    expect_damaged("{\"format\": \"ocelli tuning 1\",\n \"devices\": [\n", "tuning.json, line 3");
    expect_damaged("{\"format\": \"ocelli tuning 2\", \"devices\": []}", "\"format\" is not");
    expect_damaged("{\"format\": \"ocelli tuning 1\", \"devices\": 5}", "\"devices\" is not");
    expect_damaged("{\"format\": \"ocelli tuning 1\", \"devices\": [{\"platform\": \"a\"}]}",
                   "device 1, entry 0");
    expect_damaged("{\"format\": \"ocelli tuning 1\", \"devices\": [{\"platform\": \"a\", "
                   "\"device\": \"b\", \"driver\": \"c\", \"kernels\": \"gpu\", \"entries\": "
                   "[{\"operation\": \"gemm\"}]}]}",
                   "device 1, entry 1: operation, shape or family is missing");
}

static const char other_device[] =
    "{\"format\": \"ocelli tuning 1\", \"devices\": [{\"platform\": \"a\", \"device\": \"b\", "
    "\"driver\": \"c\", \"kernels\": \"gpu\", \"entries\": [{\"operation\": \"gemm\", \"shape\": "
    "\"s\", \"family\": \"tiled\", \"configuration\": \"tile=B\", \"speed_up\": 1.5}]}]}";

Test(tune_files, saved_exported_and_imported) {
    oce_device *device = test_open_device();
    oce_tune_copied copied;
    scratch_write_text(folder, "tuning.json", other_device);
    TEST_OK(oce_tuning_set(device, "gemm", product_shape, "naive", "", 1.25));
    TEST_OK(oce_tune_save(device));
    TEST_OK(oce_tune_export(device, scratch_path(folder, "shared.json"), &copied));
    cr_expect_eq(copied.entries, 1);
    cr_expect_eq(copied.devices, 1);
    char *own = scratch_read(folder, "tuning.json", NULL);
    char *shared = scratch_read(folder, "shared.json", NULL);
    cr_expect_not_null(strstr(own, "tile=B"), "the other device's section stays");
    cr_expect_null(strstr(shared, "tile=B"), "only the device's own is shared");
    cr_expect_not_null(strstr(shared, product_shape));
    free(own);
    free(shared);
    /* Into a file that knows another family for the shape, in folders that are not there yet. */
    setenv("OCELLI_TUNING", scratch_path(folder, "new/deep/tuning.json"), 1);
    device = reopen(device);
    cr_expect_neq(family_of(device), OCE_GEMM_NAIVE);
    TEST_OK(oce_tuning_set(device, "gemm", product_shape, "clblast", "", 1));
    TEST_OK(oce_tune_save(device));
    TEST_OK(oce_tune_import(device, scratch_path(folder, "shared.json"), &copied));
    cr_expect_eq(family_of(device), OCE_GEMM_NAIVE, "the table is read anew");
    const oce_tuning_entry *entry = oce_tuning_find(device, "gemm", product_shape);
    cr_assert_not_null(entry);
    cr_expect_float_eq(entry->speed_up, 1.25, 1e-3);
    device = reopen(device);
    cr_expect_eq(family_of(device), OCE_GEMM_NAIVE);
    cr_expect_eq(oce_tune_import(device, scratch_path(folder, "none.json"), NULL),
                 OCE_ERROR_NOT_FOUND);
    setenv("OCELLI_TUNING", "off", 1);
    cr_expect_eq(oce_tune_save(device), OCE_ERROR_NOT_FOUND);
    oce_device_close(device);
}

/* ---- Several processes ---------------------------------------------------------------------- */

/* What another wrote after the table was read stays; of one shape the last to save counts, and an
 * entry that this process took out is gone. */
Test(tune_files, saving_merges) {
    oce_device *one = test_open_device(), *two = test_open_device();
    TEST_OK(oce_tuning_set(one, "gemm", "m=1", "naive", "", 1));
    TEST_OK(oce_tuning_set(one, "gemm", "m=2", "naive", "", 1));
    TEST_OK(oce_tune_save(one));
    cr_assert_not_null(oce_tuning_find(two, "gemm", "m=1"), "two reads the file here");
    TEST_OK(oce_tuning_set(one, "gemm", "m=3", "naive", "", 1));
    TEST_OK(oce_tuning_set(one, "gemm", "m=4", "naive", "", 1));
    TEST_OK(oce_tune_save(one));
    TEST_OK(oce_tuning_set(two, "gemm", "m=4", "clblast", "", 1));
    TEST_OK(oce_tuning_set(two, "gemm", "m=5", "naive", "", 1));
    oce_tuning_remove(two, "gemm", "m=2");
    cr_expect_null(oce_tuning_find(two, "gemm", "m=2"));
    TEST_OK(oce_tune_save(two));
    oce_device_close(two);
    one = reopen(one);
    cr_expect_not_null(oce_tuning_find(one, "gemm", "m=1"));
    cr_expect_null(oce_tuning_find(one, "gemm", "m=2"));
    cr_expect_not_null(oce_tuning_find(one, "gemm", "m=3"), "another wrote it meanwhile");
    cr_expect_not_null(oce_tuning_find(one, "gemm", "m=5"));
    const oce_tuning_entry *entry = oce_tuning_find(one, "gemm", "m=4");
    cr_assert_not_null(entry);
    cr_expect_str_eq(entry->family, "clblast");
    cr_expect_not(file_is_there(scratch_path(folder, "tuning.json.lock")));
    oce_device_close(one);
}

enum { WRITERS = 3, SAVES = 15 };

typedef struct writer {
    pthread_t thread;
    oce_device *device;
    int number;
} writer;

static void *save_many(void *context) {
    const writer *w = context;
    char shape[32];
    for (int i = 0; i < SAVES; i++) {
        snprintf(shape, sizeof shape, "m=%d", w->number * SAVES + i);
        TEST_OK(oce_tuning_set(w->device, "gemm", shape, "naive", "", 1));
        TEST_OK(oce_tune_save(w->device));
    }
    return NULL;
}

Test(tune_files, savers_wait_for_each_other) {
    writer writers[WRITERS];
    int found = 0;
    for (int i = 0; i < WRITERS; i++) /* drivers are not opened by several threads at once */
        writers[i] = (writer){.device = test_open_device(), .number = i};
    for (int i = 0; i < WRITERS; i++)
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, save_many, &writers[i]), 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        oce_device_close(writers[i].device);
    }
    oce_device *device = test_open_device();
    for (int i = 0; i < WRITERS * SAVES; i++) {
        char shape[32];
        snprintf(shape, sizeof shape, "m=%d", i);
        found += oce_tuning_find(device, "gemm", shape) != NULL;
    }
    cr_expect_eq(found, WRITERS * SAVES);
    oce_device_close(device);
}

/* ---- Sharing -------------------------------------------------------------------------------- */

Test(tune_files, nothing_is_exported_where_nothing_is_known) {
    oce_device *device = test_open_device();
    const char *target = scratch_path(folder, "shared.json");
    scratch_write_text(folder, "tuning.json", other_device);
    scratch_write_text(folder, "shared.json", "precious");
    cr_expect_eq(oce_tune_export(device, target, NULL), OCE_ERROR_NOT_FOUND);
    cr_expect_not_null(strstr(oce_last_error(), oce_device_get_info(device)->name));
    cr_expect_not_null(strstr(oce_last_error(), "tuning.json"), "%s", oce_last_error());
    setenv("OCELLI_TUNING", "off", 1);
    cr_expect_eq(oce_tune_export(device, target, NULL), OCE_ERROR_NOT_FOUND);
    cr_expect_not_null(strstr(oce_last_error(), "OCELLI_TUNING is off"), "%s", oce_last_error());
    char *left = scratch_read(folder, "shared.json", NULL);
    cr_expect_str_eq(left, "precious");
    free(left);
    oce_device_close(device);
}

/* What was tuned counts also before it is saved. */
Test(tune_files, exports_what_is_not_saved) {
    oce_device *device = test_open_device();
    oce_tune_copied copied;
    TEST_OK(oce_tuning_set(device, "gemm", product_shape, "naive", "", 1));
    TEST_OK(oce_tune_export(device, scratch_path(folder, "shared.json"), &copied));
    cr_expect_eq(copied.entries, 1);
    cr_expect_not(file_is_there(scratch_path(folder, "tuning.json")));
    oce_device_close(device);
}

Test(tune_files, places_are_checked) {
    TEST_OK(oce_tune_check(NULL));
    cr_expect_not(file_is_there(scratch_path(folder, "tuning.json")));
    TEST_OK(oce_tune_check(scratch_path(folder, "new/shared.json")));
    cr_expect_not(file_is_there(scratch_path(folder, "new/shared.json")));
    cr_expect_eq(oce_tune_check(scratch_path(folder, "new/../tuning.json")),
                 OCE_ERROR_INVALID_ARGUMENT, "it is the user's own");
    scratch_write_text(folder, "file", "");
    cr_expect_eq(oce_tune_check(scratch_path(folder, "file/shared.json")), OCE_ERROR_IO);
    setenv("OCELLI_TUNING", scratch_path(folder, "file/tuning.json"), 1);
    cr_expect_eq(oce_tune_check(NULL), OCE_ERROR_IO);
}

#define SECTION(name, entries)                                                                     \
    "{\"platform\": \"a\", \"device\": \"" name "\", \"driver\": \"c\", \"kernels\": \"gpu\", "    \
    "\"entries\": [" entries "]}"
#define ENTRY(operation, shape, family, speed_up)                                                  \
    "{\"operation\": \"" operation "\", \"shape\": \"" shape "\", \"family\": \"" family           \
    "\", \"speed_up\": " speed_up "}"
#define FILE_OF(sections) "{\"format\": \"ocelli tuning 1\", \"devices\": [" sections "]}"
#define BAD_ENTRIES                                                                                \
    ENTRY("gemm", "m=1", "quantum", "2")                                                           \
    ", " ENTRY("gemm", "m=2", "naive", "-5") ", " ENTRY("gemm", "m=3", "own", "2") ", " ENTRY(     \
        "matmul", "m=4", "naive", "2") ", " ENTRY("conv2d forward", "m=5", "naive", "2")

Test(tune_files, imports_what_is_understood) {
    oce_device *device = test_open_device();
    const char *path = scratch_path(folder, "given.json");
    oce_tune_copied copied;
    scratch_write_text(folder, "given.json", FILE_OF(SECTION("b", BAD_ENTRIES)));
    cr_expect_eq(oce_tune_import(device, path, &copied), OCE_ERROR_FORMAT);
    const char *message = oce_last_error();
    cr_expect_not_null(strstr(message, "none of its 5 entries"), "%s", message);
    cr_expect_not_null(strstr(message, "m=1: the family \"quantum\" is unknown"), "%s", message);
    cr_expect_not_null(strstr(message, "m=2: a speed_up of -5"), "%s", message);
    cr_expect_not_null(strstr(message, "m=3: the family \"own\""), "%s", message);
    cr_expect_not(file_is_there(scratch_path(folder, "tuning.json")));
    scratch_write_text(
        folder, "given.json",
        FILE_OF(SECTION("b", BAD_ENTRIES ", " ENTRY("gemm", "m=6", "naive", "0")) ", " SECTION(
            "d", ENTRY("conv2d forward", "n=7", "winograd", "1.5"))));
    TEST_OK(oce_tune_import(device, path, &copied));
    cr_expect_eq(copied.entries, 2);
    cr_expect_eq(copied.devices, 2);
    cr_expect_eq(copied.for_device, 0);
    cr_expect_eq(copied.left_out, 5);
    char *own = scratch_read(folder, "tuning.json", NULL);
    cr_expect_not_null(strstr(own, "m=6"));
    cr_expect_not_null(strstr(own, "n=7"));
    cr_expect_null(strstr(own, "quantum"));
    cr_expect_null(strstr(own, "m=2"));
    free(own);
    scratch_write_text(folder, "given.json", FILE_OF(""));
    cr_expect_eq(oce_tune_import(device, path, &copied), OCE_ERROR_NOT_FOUND);
    cr_expect_not_null(strstr(oce_last_error(), "given.json: has no entries"));
    oce_device_close(device);
}
