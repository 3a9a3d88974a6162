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
    const char *const faulty[] = {
        variable, "OCELLI_FAULT=result=gemm_panel,result=gemm_tiled,result=CLBlastSgemm", NULL};
    command_result r = command_ocelli(faulty, "tune", SMALL_GEMM);
    cr_assert_eq(r.code, 1, "the library has a defect");
    cr_expect_not_null(strstr(r.out, "20x30x40: naive, for the library's choice"), "%s", r.out);
    cr_expect_not_null(strstr(r.out, "1 of 1 faster"), "%s", r.out);
    cr_expect_not_null(strstr(r.out, strchr(variable, '/')), "the file is named: %s", r.out);
    cr_expect_not_null(strstr(r.err, "WRONG RESULTS"), "%s", r.err);
    cr_expect_not_null(strstr(r.err, "of 20x30x40: run \"ocelli selftest\""), "%s", r.err);
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
    cr_expect_not_null(strstr(r.out, "1 entry of 1 device, 1 for this one, exported to "), "%s",
                       r.out);
    cr_expect_not_null(strstr(r.out, "/shared.json\n"), "%s", r.out);
    command_free(&r);
    scratch_write_text(folder, "tuning.json", "{\"format\": \"ocelli tuning 1\", \"devices\": []}");
    r = command_ocelli(own_file, "tune", "--import", scratch_path(folder, "shared.json"));
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_not_null(strstr(r.out, "1 entry of 1 device, 1 for this one, imported from "), "%s",
                       r.out);
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

/* The file is named in JSON too, and a product with a prepared B is called so. */
Test(cli_tune, json_names_what_was_saved) {
    command_result r = command_ocelli(own_file, "tune", "gemm", "--shape",
                                      "m=20,n=30,k=40,prepared=1", "--seconds", "0.001", "--json");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = json_loads(r.out, 0, NULL);
    const json_t *row = json_array_get(json_object_get(root, "tuned"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(row, "shape")), "20x30x40 prepared");
    cr_expect_str_eq(json_string_value(json_object_get(root, "file")), strchr(variable, '/'));
    cr_expect(json_is_false(json_object_get(row, "rule_is_wrong")));
    json_decref(root);
    command_free(&r);
}

/* Training's own batch is not one that inference would look for. */
Test(cli_tune, training_batches_are_tuned_for_training_alone) {
    command_result r = command_ocelli(own_file, "tune", "mnist", "--pass", "fwd", "--seconds",
                                      "0.001", "--json", "--dry-run");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_null(strstr(r.out, "prepared"), "%s", r.out);
    command_free(&r);
}

/* In a network a pass that is computed together with its pool says so instead of being tuned, and
 * forward passes come twice: with a filter that changes, as in training, and prepared, as in
 * inference. */
Test(cli_tune, pooled_passes_are_not_tuned) {
    command_result r = command_ocelli(own_file, "tune", "conv", "--pass", "fwd", "--batch", "8",
                                      "--seconds", "0.001", "--json", "--dry-run");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = json_loads(r.out, 0, NULL);
    const json_t *rows = json_object_get(root, "tuned"), *row = json_array_get(rows, 0);
    size_t prepared = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        prepared += strstr(json_string_value(json_object_get(json_array_get(rows, i), "shape")),
                           ", prepared") != NULL;
    cr_expect_eq(json_array_size(rows), 2 * prepared, "%s", r.out);
    cr_expect_eq(prepared, 7);
    const char *rule = json_string_value(json_object_get(row, "rule"));
    cr_assert_not_null(rule);
    cr_expect_eq(json_is_true(json_object_get(row, "pooled")), strcmp(rule, "winograd") == 0, "%s",
                 r.out);
    cr_expect(json_is_null(json_object_get(root, "file")));
    json_decref(root);
    command_free(&r);
}

static void expect_untouched(const char *name, const char *text) {
    char *left = scratch_read(folder, name, NULL);
    cr_expect_str_eq(left, text);
    free(left);
}

/* Nothing is measured if what comes of it could not be kept, and no good file is replaced by an
 * empty one. */
Test(cli_tune, files_are_checked_first) {
    const char *shared = scratch_path(folder, "shared.json");
    const char *const off[] = {"OCELLI_TUNING=off", NULL};
    char within[SCRATCH_PATH_BYTES + 32];
    scratch_write_text(folder, "shared.json", "precious");
    command_result r = command_ocelli(off, "tune", "--export", shared);
    expect_failure(&r, 1, NULL);
    cr_expect_not_null(strstr(r.err, "OCELLI_TUNING is off"), "%s", r.err);
    command_free(&r);
    r = command_ocelli(own_file, "tune", "--export", shared, "--quiet");
    expect_failure(&r, 1, "nothing to export");
    cr_expect_not_null(strstr(r.err, strchr(variable, '/')), "%s", r.err);
    command_free(&r);
    const char *in_file = scratch_path(folder, "shared.json/t.json");
    r = command_ocelli(own_file, "tune", SMALL_GEMM, "--export", in_file, "--quiet");
    expect_failure(&r, 1, "shared.json");
    command_free(&r);
    snprintf(within, sizeof within, "OCELLI_TUNING=%s", in_file);
    const char *const unwritable[] = {within, NULL};
    r = command_ocelli(unwritable, "tune", SMALL_GEMM, "--quiet");
    expect_failure(&r, 1, "shared.json");
    command_free(&r);
    scratch_write_text(folder, "tuning.json", "{\n\"format\":\n");
    r = command_ocelli(own_file, "tune", SMALL_GEMM, "--quiet");
    expect_failure(&r, 1, "tuning.json, line");
    command_free(&r);
    r = command_ocelli(own_file, "tune", SMALL_GEMM, "--quiet", "--dry-run", "--export", shared);
    expect_failure(&r, 1, "tuning.json, line");
    command_free(&r);
    r = command_ocelli(own_file, "tune", SMALL_GEMM, "--quiet", "--dry-run");
    cr_expect_eq(r.code, 0);
    cr_expect_not_null(strstr(r.err, "warning: the tuning file is not used"), "%s", r.err);
    command_free(&r);
    r = command_ocelli(own_file, "tune", "--import", scratch_path(folder, "none.json"), "--quiet");
    expect_failure(&r, 1, "tuning.json, line");
    command_free(&r);
    remove(scratch_path(folder, "tuning.json"));
    r = command_ocelli(own_file, "tune", "--import", scratch_path(folder, "none.json"), "--quiet");
    expect_failure(&r, 1, "none.json");
    command_free(&r);
    expect_untouched("shared.json", "precious");
}

Test(cli_tune, imports_that_are_understood_in_part) {
    scratch_write_text(folder, "given.json",
                       "{\"format\": \"ocelli tuning 1\", \"devices\": [{\"platform\": \"a\", "
                       "\"device\": \"b\", \"driver\": \"c\", \"kernels\": \"gpu\", \"entries\": ["
                       "{\"operation\": \"gemm\", \"shape\": \"m=1\", \"family\": \"quantum\"}, "
                       "{\"operation\": \"gemm\", \"shape\": \"m=2\", \"family\": \"tiled\"}]}]}");
    command_result r =
        command_ocelli(own_file, "tune", "--import", scratch_path(folder, "given.json"));
    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect_not_null(strstr(r.out, "1 entry of 1 device, 0 for this one, imported"), "%s", r.out);
    cr_expect_not_null(strstr(r.err, "1 left out"), "%s", r.err);
    cr_expect_not_null(strstr(r.err, "quantum"), "%s", r.err);
    command_free(&r);
}

/* Whatever ends it: what was found before is in the file. */
Test(cli_tune, results_survive_its_death) {
    static const char script[] =
        "OCELLI_FAULT=result=gemm_panel,result=gemm_tiled \"$0\" tune gemm "
        "--pass dgrad --batch 2 --seconds 0.01 --quiet >\"$1/rows\" & "
        "while [ ! -s \"$1/tuning.json\" ] && kill -0 $!; do sleep 0.02; "
        "done; kill -KILL $!; wait $!; exit 0";
    const char *const argv[] = {"sh", "-c", script, command_ocelli_path(), folder, NULL};
    command_result r = command_run(argv, own_file, NULL);
    cr_expect_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    json_t *root = load("tuning.json");
    cr_expect_geq(json_array_size(entries_of(root)), 1);
    json_decref(root);
    char *rows = scratch_read(folder, "rows", NULL);
    cr_expect_null(strstr(rows, "fc2"), "it was not at its end yet: %s", rows);
    free(rows);
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
    r = command_ocelli(own_file, "tune", "gemm", "--shape", "m=1,n=2,k=3", "--batch", "7");
    expect_failure(&r, 2, "--batch is for the networks' shapes: --shape");
    command_free(&r);
    r = command_ocelli(own_file, "tune", "gemm", "--shape", "m=1,n=2,k=3", "--winograd", "off");
    expect_failure(&r, 2, "--winograd is for convolutions, not for gemm --shape");
    command_free(&r);
    r = command_ocelli(own_file, "tune", "--dry-run", "--import", "FILE");
    expect_failure(&r, 2, "--import writes into the tuning file, --dry-run forbids it");
    command_free(&r);
}
