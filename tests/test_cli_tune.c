/* ocelli tune: what it prints, and the files that it writes. */
#include "support/command.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;
static char variable[SCRATCH_PATH_BYTES];
static const char *const own_file[] = {variable, NULL};

static void setup(void) {
    folder = scratch_create();
    snprintf(variable, sizeof variable, "OCELLI_TUNING=%s", scratch_path(folder, "tuning.json"));
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(cli_tune, .init = setup, .fini = teardown);

#define SMALL_GEMM "gemm", "--shape", "m=20,n=30,k=40", "--seconds", "0.001"

static json_t *load(const char *name) {
    char *text = scratch_read(folder, name, NULL);
    json_t *root = json_loads(text, 0, NULL);
    cr_assert_not_null(root, "%s", text);
    free(text);
    return root;
}

/* The entries of the file's only device. */
static const json_t *entries_of(const json_t *root) {
    const json_t *devices = json_object_get(root, "devices");
    cr_assert_eq(json_array_size(devices), 1);
    return json_object_get(json_array_get(devices, 0), "entries");
}

Test(cli_tune, a_wrong_choice_is_replaced_and_remembered) {
    const char *const faulty[] = {variable, "OCELLI_FAULT=result=gemm_panel,result=gemm_tiled",
                                  NULL};
    command_result r = command_ocelli(faulty, "tune", SMALL_GEMM);
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_not_null(strstr(r.out, "20x30x40: naive, for the library's choice"), "%s", r.out);
    cr_expect_not_null(strstr(r.out, "1 of 1 faster"), "%s", r.out);
    command_free(&r);
    json_t *root = load("tuning.json");
    cr_assert_eq(json_array_size(entries_of(root)), 1);
    cr_expect_str_eq(
        json_string_value(json_object_get(json_array_get(entries_of(root), 0), "family")), "naive");
    json_decref(root);
    /* It is obeyed, and can be shared. */
    r = command_ocelli(own_file, "bench", "gemm", "--shape", "m=20,n=30,k=40", "--repeat", "1",
                       "--json");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_not_null(strstr(r.out, "\"naive\""), "%s", r.out);
    command_free(&r);
    r = command_ocelli(own_file, "tune", "--export", scratch_path(folder, "shared.json"));
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_str_eq(r.out, "");
    command_free(&r);
    scratch_write_text(folder, "tuning.json", "{\"format\": \"ocelli tuning 1\", \"devices\": []}");
    r = command_ocelli(own_file, "tune", "--import", scratch_path(folder, "shared.json"));
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    root = load("tuning.json");
    cr_expect_eq(json_array_size(entries_of(root)), 1);
    json_decref(root);
}

Test(cli_tune, json_and_dry_run) {
    command_result r =
        command_ocelli(own_file, "tune", "conv", "--shape", "n=2,h=6,c=3,k=4,r=3", "--pass",
                       "wgrad", "--seconds", "0.001", "--json", "--dry-run");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = json_loads(r.out, 0, NULL);
    const json_t *rows = json_object_get(root, "tuned"), *row = json_array_get(rows, 0);
    cr_assert_eq(json_array_size(rows), 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "pass")), "wgrad");
    cr_expect_gt(json_integer_value(json_object_get(row, "tried")), 1);
    cr_expect_eq(json_integer_value(json_object_get(row, "wrong")), 0);
    cr_expect_not(file_is_there(scratch_path(folder, "tuning.json")));
    json_decref(root);
    command_free(&r);
}

Test(cli_tune, damaged_files) {
    scratch_write_text(folder, "tuning.json", "{\n\"format\":\n");
    command_result r = command_ocelli(own_file, "tune", SMALL_GEMM);
    cr_expect_eq(r.code, 1);
    cr_expect_not_null(strstr(r.err, "tuning.json, line"), "%s", r.err);
    command_free(&r);
    r = command_ocelli(own_file, "tune", "--import", scratch_path(folder, "none.json"));
    expect_failure(&r, 1, NULL);
    cr_expect_not_null(strstr(r.err, "none.json"), "%s", r.err);
    command_free(&r);
}

Test(cli_tune, wrong_usage) {
    command_result r = command_ocelli(own_file, "tune", "mnist", "--shape", "m=1,n=2,k=3");
    expect_failure(&r, 2, "--shape is for conv or gemm");
    command_free(&r);
    r = command_ocelli(own_file, "tune", "pool");
    expect_failure(&r, 2, "pool");
    command_free(&r);
    r = command_ocelli(own_file, "tune", "gemm", "--shape", "m=1,n=2");
    expect_failure(&r, 2, "k is missing");
    command_free(&r);
    r = command_ocelli(own_file, "tune", "gemm", "--shape", "m=1,n=2,k=3", "--pass", "fwd");
    expect_failure(&r, 2, "no --pass");
    command_free(&r);
}
