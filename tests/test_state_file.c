#define _XOPEN_SOURCE 700
#include <ocelli/checkpoint.h>

#include "io/text.h"
#include "support/scratch.h"
#include "support/vectors_json.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

static void setup(void) {
    folder = scratch_create();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(state_file, .init = setup, .fini = teardown);

/* For tests with relative paths: each runs in a process of its own. */
static void enter(void) {
    cr_assert_eq(chdir(folder), 0);
}

static void store_state(const char *text) {
    file_store(scratch_path(folder, "checkpoint"), text, strlen(text));
}

static oce_checkpoint_state *read_state(const char *in) {
    oce_checkpoint_state *state;
    cr_assert_eq(oce_checkpoint_state_read(in, &state), OCE_OK, "%s", oce_last_error());
    return state;
}

static void expect_state_text(const char *path, const char *expected) {
    char *text = file_load(path, NULL);
    cr_expect_str_eq(text, expected);
    free(text);
}

/* ---- Writing ---- */

Test(state_file, bytes_after_the_tutorial) {
    enter();
    const char *paths[] = {"model/model-2500", "model/model-2600", "model/model-2700",
                           "model/model-2800", "model/model-2900"};
    cr_assert_eq(mkdir("model", 0777), 0);
    cr_assert_eq(oce_checkpoint_state_write("model", paths[4], paths, 5), OCE_OK);
    expect_state_text("model/checkpoint", "model_checkpoint_path: \"model-2900\"\n"
                                          "all_model_checkpoint_paths: \"model-2500\"\n"
                                          "all_model_checkpoint_paths: \"model-2600\"\n"
                                          "all_model_checkpoint_paths: \"model-2700\"\n"
                                          "all_model_checkpoint_paths: \"model-2800\"\n"
                                          "all_model_checkpoint_paths: \"model-2900\"\n");
    cr_expect_eq(scratch_count("model", NULL), 1);
}

Test(state_file, the_latest_is_listed_too) {
    enter();
    const char *paths[] = {"a"};
    cr_assert_eq(oce_checkpoint_state_write("", "b", paths, 1), OCE_OK);
    expect_state_text("checkpoint", "model_checkpoint_path: \"b\"\n"
                                    "all_model_checkpoint_paths: \"a\"\n"
                                    "all_model_checkpoint_paths: \"b\"\n");
}

/* CheckpointStateTest.testAbsPath, testRelPath, testUpdateCheckpointState. */
Test(state_file, relative_and_absolute_paths) {
    vector_file *file = vectors_open("tf_saver_behaviour.json");
    size_t seen = 0;
    enter();
    cr_assert_eq(mkdir("train", 0777), 0);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i);
        if (!vectors_has(vector, "save_dir"))
            continue;
        char save_dir[700], path[700];
        snprintf(save_dir, sizeof save_dir, "%s", vectors_text(vector, "save_dir"));
        const bool absolute = save_dir[0] == '/';
        if (absolute) /* the vector's folder does not exist: use ours */
            snprintf(save_dir, sizeof save_dir, "%s/train", folder);
        if (vectors_has(vector, "stored_in_state")) {
            const char *base = strrchr(vectors_text(vector, "model_checkpoint_path"), '/') + 1;
            snprintf(path, sizeof path, "%.600s/%.60s", save_dir, base);
            cr_assert_eq(oce_checkpoint_state_write(save_dir, path, NULL, 0), OCE_OK);
            const char *stored = absolute ? path : vectors_text(vector, "stored_in_state");
            char expected[2000];
            snprintf(expected, sizeof expected,
                     "model_checkpoint_path: \"%.600s\"\nall_model_checkpoint_paths: \"%.600s\"\n",
                     stored, stored);
            expect_state_text("train/checkpoint", expected);
        } else {
            const json_t *write = json_object_get(vector, "write");
            const char *paths[] = {json_string_value(json_array_get(write, 0)),
                                   json_string_value(json_array_get(write, 1))};
            cr_assert_eq(oce_checkpoint_state_write(save_dir, paths[1], paths, 2), OCE_OK);
            oce_checkpoint_state *state = read_state(save_dir);
            const json_t *all = json_object_get(vector, "read_back_all");
            for (size_t j = 0; j < 2; j++)
                cr_expect_str_eq(oce_checkpoint_state_path(state, j),
                                 json_string_value(json_array_get(all, j)));
            cr_expect_str_eq(oce_checkpoint_state_latest(state),
                             vectors_text(vector, "read_back_latest"));
            oce_checkpoint_state_destroy(state);
        }
        seen++;
    }
    cr_expect_eq(seen, 3);
    vectors_close(file);
}

Test(state_file, an_absolute_folder_stores_paths_as_given) {
    cr_assert_eq(oce_checkpoint_state_write(folder, "./a/m-1", NULL, 0), OCE_OK);
    expect_state_text(scratch_path(folder, "checkpoint"),
                      "model_checkpoint_path: \"./a/m-1\"\n"
                      "all_model_checkpoint_paths: \"./a/m-1\"\n");
}

Test(state_file, special_characters_are_escaped_and_read_back) {
    enter();
    const char *name = "a\"b\\c'd\te\xc3\xad\n?";
    cr_assert_eq(oce_checkpoint_state_write("", name, NULL, 0), OCE_OK);
    expect_state_text("checkpoint",
                      "model_checkpoint_path: \"a\\\"b\\\\c\\'d\\te\\303\\255\\n?\"\n"
                      "all_model_checkpoint_paths: \"a\\\"b\\\\c\\'d\\te\\303\\255\\n?\"\n");
    oce_checkpoint_state *state = read_state("");
    cr_expect_str_eq(oce_checkpoint_state_latest(state), name);
    oce_checkpoint_state_destroy(state);
}

Test(state_file, what_cannot_be_written) {
    char path[700];
    snprintf(path, sizeof path, "%s/checkpoint", folder);
    cr_expect_eq(oce_checkpoint_state_write(folder, path, NULL, 0), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "the name of the state file"), "%s", oce_last_error());
    cr_expect_eq(oce_checkpoint_state_write(folder, "", NULL, 0), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_checkpoint_state_write(scratch_path(folder, "none"), "m", NULL, 0),
                 OCE_ERROR_NOT_FOUND);
    cr_expect_eq(scratch_count(folder, NULL), 0);
}

/* ---- Reading ---- */

/* CheckpointStateTest.testCheckPointCompletesRelativePaths */
Test(state_file, relative_paths_are_joined_to_the_folder) {
    char expected[800];
    store_state("\n   model_checkpoint_path: \"./model.ckpt-687529\"\n"
                "            all_model_checkpoint_paths: \"./model.ckpt-687500\"\n"
                "   all_model_checkpoint_paths: \"./model.ckpt-687529\"\n   ");
    oce_checkpoint_state *state = read_state(folder);
    snprintf(expected, sizeof expected, "%s/./model.ckpt-687529", folder);
    cr_expect_str_eq(oce_checkpoint_state_latest(state), expected);
    cr_expect_eq(oce_checkpoint_state_count(state), 2);
    cr_expect_str_eq(oce_checkpoint_state_path(state, 1), expected);
    snprintf(expected, sizeof expected, "%s/./model.ckpt-687500", folder);
    cr_expect_str_eq(oce_checkpoint_state_path(state, 0), expected);
    cr_expect_null(oce_checkpoint_state_path(state, 2));
    cr_expect_null(oce_checkpoint_state_warning(state));
    oce_checkpoint_state_destroy(state);
    oce_checkpoint_state_destroy(NULL);
}

static void expect_latest(const char *text, const char *latest, size_t count) {
    store_state(text);
    oce_checkpoint_state *state = read_state(folder);
    const char *got = oce_checkpoint_state_latest(state);
    cr_assert(got, "%s: %s", text, oce_checkpoint_state_warning(state));
    cr_expect_str_eq(got, latest);
    cr_expect_eq(oce_checkpoint_state_count(state), count);
    oce_checkpoint_state_destroy(state);
}

Test(state_file, forms_of_the_text_format) {
    expect_latest("model_checkpoint_path:\"/a\"", "/a", 0);
    expect_latest("model_checkpoint_path:'/a\"b'", "/a\"b", 0);
    expect_latest("model_checkpoint_path : \"/a\" 'b'\n\"c\"", "/abc", 0);
    expect_latest("all_model_checkpoint_paths: '/x' # newest last\nmodel_checkpoint_path: '/a'",
                  "/a", 1);
    expect_latest("model_checkpoint_path: '/a'; all_model_checkpoint_paths: ['/x', \"/y\" , '/z']",
                  "/a", 3);
    expect_latest("model_checkpoint_path: '/a', all_model_checkpoint_paths: []", "/a", 0);
    expect_latest("model_checkpoint_path: '/a'\nall_model_checkpoint_timestamps: 1566915841.5\n"
                  "all_model_checkpoint_timestamps: [1, -2e+3]\nlast_preserved_timestamp: inf\n",
                  "/a", 0);
    expect_latest("model_checkpoint_path: '/a'\nmodel_checkpoint_path: '/b'", "/b", 0);
    expect_latest("model_checkpoint_path: '/\\141\\x62\\X43\\u00ed\\U0001F600\\?\\a'",
                  "/abC\xc3\xad\xf0\x9f\x98\x80?\a", 0);
    expect_latest("model_checkpoint_path: \"/\xc3\xad\"", "/\xc3\xad", 0);
}

static void expect_disregarded(const char *text, size_t size, const char *why) {
    file_store(scratch_path(folder, "checkpoint"), text, size);
    oce_checkpoint_state *state = read_state(folder);
    cr_expect_null(oce_checkpoint_state_latest(state), "%s", text);
    cr_expect_eq(oce_checkpoint_state_count(state), 0);
    const char *warning = oce_checkpoint_state_warning(state);
    cr_assert(warning, "%s", text);
    cr_expect(strstr(warning, why) && strstr(warning, "checkpoint: line"), "'%s' in: %s", why,
              warning);
    oce_checkpoint_state_destroy(state);
}

#define GOOD "model_checkpoint_path: '/a'\n"

Test(state_file, what_does_not_parse_is_taken_for_absent) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        {GOOD "new_field: 1\n", "line 2: unknown field 'new_field'"},
        {GOOD "model_checkpoint_path '/a'", "a ':' is expected"},
        {GOOD "model_checkpoint_path: /a", "a string in quotes"},
        {GOOD "model_checkpoint_path: '/a", "the text ends in a string"},
        {GOOD "model_checkpoint_path: '/a\n'", "over the end of its line"},
        {GOOD "model_checkpoint_path: '/a\\", "the text ends in a string"},
        {GOOD "model_checkpoint_path: '/a\\q'", "unknown escape"},
        {GOOD "model_checkpoint_path: '/a\\xg'", "unknown escape"},
        {GOOD "model_checkpoint_path: '/a\\UFFFFFFFF'", "unknown escape"},
        {GOOD "model_checkpoint_path: '/a\\400'", "octal escape above 377"},
        {GOOD "model_checkpoint_path: '/a\\000'", "holds a NUL"},
        {GOOD "all_model_checkpoint_paths: ['/a' '/b'", "line 2: a ',' or a ']' is expected"},
        {GOOD "all_model_checkpoint_paths: ['/a', ]", "a string in quotes"},
        {GOOD "last_preserved_timestamp: soon", "a number is expected"},
        {GOOD "last_preserved_timestamp: '1'", "a number is expected"},
        {GOOD "last_preserved_timestamp:", "a number is expected"},
        {GOOD "{}", "a field's name is expected"},
        {GOOD "\xff\xfe", "a field's name is expected"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_disregarded(cases[i].text, strlen(cases[i].text), cases[i].why);
    expect_disregarded("model_checkpoint_path: '/a\0b'", 28, "holds a NUL");
}

Test(state_file, a_missing_file_or_folder_means_no_checkpoint) {
    oce_checkpoint_state *state = read_state(folder);
    cr_expect_null(oce_checkpoint_state_latest(state));
    cr_expect_null(oce_checkpoint_state_warning(state));
    oce_checkpoint_state_destroy(state);
    state = read_state(scratch_path(folder, "none"));
    cr_expect_null(oce_checkpoint_state_latest(state));
    oce_checkpoint_state_destroy(state);
}

/* CheckpointStateTest.testCheckPointStateFailsWhenIncomplete */
Test(state_file, a_file_without_the_latest_is_an_error) {
    oce_checkpoint_state *state;
    static const char *const texts[] = {"", "# nothing\n", "all_model_checkpoint_paths: '/a'",
                                        "model_checkpoint_path: ''"};
    for (size_t i = 0; i < 4; i++) {
        store_state(texts[i]);
        cr_expect_eq(oce_checkpoint_state_read(folder, &state), OCE_ERROR_FORMAT);
        cr_expect_null(state);
        cr_expect(strstr(oce_last_error(), "has no model_checkpoint_path"), "%s", oce_last_error());
    }
}

Test(state_file, every_cut_of_a_state_file_is_survived) {
    static const char text[] = "model_checkpoint_path: \"model-2900\"\n"
                               "all_model_checkpoint_paths: \"model-\\355\\x41\\u1234\"\n";
    for (size_t size = 0; size < sizeof text; size++) {
        oce_checkpoint_state *state;
        file_store(scratch_path(folder, "checkpoint"), text, size);
        if (oce_checkpoint_state_read(folder, &state) == OCE_OK)
            oce_checkpoint_state_destroy(state);
    }
}

/* ---- The latest checkpoint ---- */

static void expect_no_latest(oce_status status, const char *message) {
    char prefix[800];
    cr_expect_eq(oce_checkpoint_latest(folder, prefix, sizeof prefix), status);
    cr_expect(strstr(oce_last_error(), message), "'%s' in: %s", message, oce_last_error());
}

Test(state_file, latest_needs_its_index) {
    char prefix[800], expected[800];
    expect_no_latest(OCE_ERROR_NOT_FOUND, "checkpoint: there is no such file");
    store_state("model_checkpoint_path: 'm-1'");
    expect_no_latest(OCE_ERROR_NOT_FOUND, "there is no");
    file_store(scratch_path(folder, "m-1"), "", 0);
    expect_no_latest(OCE_ERROR_UNSUPPORTED, "V1 format");
    file_store(scratch_path(folder, "m-1.index"), "", 0);
    snprintf(expected, sizeof expected, "%s/m-1", folder);
    cr_assert_eq(oce_checkpoint_latest(folder, prefix, sizeof prefix), OCE_OK);
    cr_expect_str_eq(prefix, expected);
    cr_expect_eq(oce_checkpoint_latest(folder, prefix, strlen(expected)), OCE_ERROR_OVERFLOW);
    cr_expect_eq(oce_checkpoint_latest(folder, prefix, strlen(expected) + 1), OCE_OK);
    store_state("model_checkpoint_path m-1");
    expect_no_latest(OCE_ERROR_NOT_FOUND, "taken for no checkpoint");
    store_state("");
    expect_no_latest(OCE_ERROR_FORMAT, "has no model_checkpoint_path");
}

Test(state_file, names_with_wildcards_are_plain_names) {
    char prefix[800];
    store_state("model_checkpoint_path: 'm[1]*?'");
    file_store(scratch_path(folder, "m[1]*?.index"), "", 0);
    cr_expect_eq(oce_checkpoint_latest(folder, prefix, sizeof prefix), OCE_OK, "%s",
                 oce_last_error());
}

/* ---- The text itself ---- */

Test(state_file, every_byte_survives_escaping) {
    oce_bytes text = {0}, value = {0};
    char all[256];
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = 0;
    oce_text_field(&text, "k", all);
    oce_scanner scanner;
    oce_scanner_init(&scanner, text.data, text.size);
    const char *name;
    size_t length;
    cr_assert(oce_scanner_name(&scanner, &name, &length));
    cr_expect(length == 1 && *name == 'k');
    cr_assert(oce_scanner_string(&scanner, &value), "%s", scanner.problem);
    cr_expect_str_eq(oce_bytes_string(&value), all);
    cr_expect(oce_scanner_at_end(&scanner));
    for (size_t i = 0; i + 1 < text.size; i++)
        cr_expect(text.data[i] >= ' ' && text.data[i] <= '~');
    oce_bytes_finish(&text);
    oce_bytes_finish(&value);
}
