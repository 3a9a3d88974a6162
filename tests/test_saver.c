#define _XOPEN_SOURCE 700
#include <ocelli/checkpoint.h>

#include "support/checkpoint.h"
#include "support/fault.h"
#include "support/scratch.h"
#include "support/vectors_json.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;
static double seconds; /* what the tests' clock shows */

static void setup(void) {
    folder = scratch_create();
    seconds = 1000;
    fault_skip_fsync();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(saver, .init = setup, .fini = teardown);

static double test_clock(void *user) {
    return *(double *)user;
}

static oce_saver *create_saver(int max_to_keep, double keep_every_seconds) {
    const oce_saver_options options = {max_to_keep, keep_every_seconds, test_clock, &seconds};
    oce_saver *saver;
    cr_assert_eq(oce_saver_create(&options, &saver), OCE_OK, "%s", oce_last_error());
    return saver;
}

static oce_sidecar *create_sidecar(const char *step) {
    oce_sidecar *sidecar;
    cr_assert_eq(oce_sidecar_create(&sidecar), OCE_OK);
    cr_assert_eq(oce_sidecar_set(sidecar, "step", step), OCE_OK);
    return sidecar;
}

/* Saves small_arrays(seed), with a sidecar whose step is the seed. */
static oce_status save(oce_saver *saver, const char *path, int64_t step, int seed) {
    array_set set = small_arrays(seed);
    char text[16];
    snprintf(text, sizeof text, "%d", seed);
    oce_sidecar *sidecar = create_sidecar(text);
    const oce_status status = oce_saver_save(saver, path, step, set.arrays, set.count, sidecar);
    oce_sidecar_destroy(sidecar);
    array_set_free(&set);
    return status;
}

static void save_well(oce_saver *saver, const char *name, int64_t step, int seed) {
    cr_assert_eq(save(saver, scratch_path(folder, name), step, seed), OCE_OK, "%s",
                 oce_last_error());
    cr_expect_null(oce_saver_warning(saver), "%s", oce_saver_warning(saver));
}

static bool is_complete(const char *name) {
    char path[800];
    snprintf(path, sizeof path, "%s/%s.index", folder, name);
    const bool index = file_is_there(path);
    snprintf(path, sizeof path, "%s/%s.data-00000-of-00001", folder, name);
    const bool data = file_is_there(path);
    snprintf(path, sizeof path, "%s/%s.ocelli", folder, name);
    cr_expect(index == data && data == file_is_there(path), "halves of %s", name);
    return index;
}

/* ---- tf_saver_behaviour.json ---- */

static void expect_names(const json_t *names, size_t count,
                         const char *(*get)(const void *, size_t), const void *from,
                         const char *what) {
    cr_expect_eq(count, json_array_size(names), "%s: %zu", what, count);
    for (size_t i = 0; i < count && i < json_array_size(names); i++)
        cr_expect_str_eq(strrchr(get(from, i), '/') + 1,
                         json_string_value(json_array_get(names, i)), "%s", what);
}

static const char *saver_path(const void *saver, size_t i) {
    return oce_saver_path(saver, i);
}

static const char *state_path(const void *state, size_t i) {
    return oce_checkpoint_state_path(state, i);
}

static void expect_present(const json_t *names, bool present, const char *test) {
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) cr_expect_eq(is_complete(json_string_value(name)), present,
                                                    "%s: %s", test, json_string_value(name));
}

static void run_step(oce_saver *saver, const json_t *step, const char *test) {
    if (vectors_has(step, "t"))
        seconds = 1000 + vectors_number(step, "t");
    save_well(saver, vectors_text(step, "save"), -1, 1);
    if (vectors_has(step, "last_checkpoints"))
        expect_names(json_object_get(step, "last_checkpoints"), oce_saver_count(saver), saver_path,
                     saver, test);
    oce_checkpoint_state *state;
    cr_assert_eq(oce_checkpoint_state_read(folder, &state), OCE_OK);
    const char *latest = strrchr(oce_checkpoint_state_latest(state), '/') + 1;
    cr_expect_str_eq(latest, vectors_text(step, "save"));
    if (vectors_has(step, "state_all"))
        expect_names(json_object_get(step, "state_all"), oce_checkpoint_state_count(state),
                     state_path, state, test);
    oce_checkpoint_state_destroy(state);
    expect_present(json_object_get(step, "exists"), true, test);
    expect_present(json_object_get(step, "gone"), false, test);
}

Test(saver, behaviour_vectors) {
    vector_file *file = vectors_open("tf_saver_behaviour.json");
    size_t ran = 0;
    for (size_t i = 0; i < vectors_count(file); i++) {
        const json_t *vector = vectors_at(file, i), *steps = json_object_get(vector, "steps");
        const json_t *first = json_array_get(steps, 0);
        if (!first || !vectors_has(first, "save"))
            continue;
        const char *test = vectors_text(vector, "test");
        const json_t *max = json_object_get(vector, "max_to_keep");
        seconds = 1000;
        oce_saver *saver = create_saver(
            json_is_integer(max)  ? (int)json_integer_value(max)
            : json_is_string(max) ? 0
                                  : 5,
            json_number_value(json_object_get(vector, "keep_checkpoint_every_seconds")));
        if (vectors_has(vector, "precondition")) {
            oce_saver *other = create_saver(2, 0);
            save_well(other, "s1", -1, 1);
            save_well(other, "s2", -1, 1);
            oce_saver_destroy(other);
        }
        size_t j;
        json_t *step;
        json_array_foreach(steps, j, step) run_step(saver, step, test);
        oce_saver_destroy(saver);
        for (int n = 1; n <= 4; n++) {
            char name[16];
            snprintf(name, sizeof name, "s%d", n);
            cr_assert_eq(oce_checkpoint_remove(scratch_path(folder, name)), OCE_OK);
        }
        ran++;
    }
    cr_expect_eq(ran, 5);
    vectors_close(file);
}

/* LatestCheckpointWithRelativePaths.testNameCollision */
Test(saver, the_state_files_name_is_refused_without_a_step) {
    oce_saver *saver = create_saver(5, 0);
    cr_expect_eq(save(saver, scratch_path(folder, "checkpoint"), -1, 1),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect(strstr(oce_last_error(), "the name of the state file"));
    cr_expect_eq(save(saver, scratch_path(folder, ""), 1, 1), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(scratch_count(folder, NULL), 0);
    save_well(saver, "checkpoint", 1, 1);
    cr_expect(is_complete("checkpoint-1"));
    oce_saver_destroy(saver);
}

Test(saver, the_tutorials_thirty_saves) {
    oce_saver_options options = oce_saver_defaults();
    cr_expect_eq(options.max_to_keep, 5);
    cr_expect_eq(options.keep_every_seconds, 36e6);
    oce_saver *saver;
    cr_assert_eq(oce_saver_create(&options, &saver), OCE_OK);
    cr_assert_eq(chdir(folder), 0);
    for (int step = 0; step < 3000; step += 100)
        cr_assert_eq(save(saver, "model/model", step, step), OCE_OK, "%s", oce_last_error());
    cr_expect_str_eq(oce_saver_last(saver), "model/model-2900");
    cr_expect_eq(oce_saver_count(saver), 5);
    cr_expect_str_eq(oce_saver_path(saver, 0), "model/model-2500");
    cr_expect_null(oce_saver_path(saver, 5));
    cr_expect_eq(scratch_count("model", NULL), 16, "5 checkpoints of 3 files, the state file");
    char *text = file_load("model/checkpoint", NULL);
    cr_expect_str_eq(text, "model_checkpoint_path: \"model-2900\"\n"
                           "all_model_checkpoint_paths: \"model-2500\"\n"
                           "all_model_checkpoint_paths: \"model-2600\"\n"
                           "all_model_checkpoint_paths: \"model-2700\"\n"
                           "all_model_checkpoint_paths: \"model-2800\"\n"
                           "all_model_checkpoint_paths: \"model-2900\"\n");
    free(text);
    char prefix[64];
    cr_assert_eq(oce_checkpoint_latest("model", prefix, sizeof prefix), OCE_OK);
    array_set set = small_arrays(2900);
    cr_expect(bundle_equals(prefix, &set));
    array_set_free(&set);
    oce_saver_destroy(saver);
}

Test(saver, all_files_of_an_old_checkpoint_go) {
    oce_saver *saver = create_saver(1, 0);
    save_well(saver, "m", 1, 1);
    /* what TensorFlow may have put beside it, and what only looks like it */
    static const char *const theirs[] = {"m-1.meta", "m-1.data-00001-of-00002"};
    static const char *const others[] = {"m-1.data-00001-of-00002.x", "m-1.data", "m-10.index",
                                         "m-1.txt"};
    for (int i = 0; i < 2; i++)
        file_store(scratch_path(folder, theirs[i]), "", 0);
    for (int i = 0; i < 4; i++)
        file_store(scratch_path(folder, others[i]), "", 0);
    save_well(saver, "m", 2, 1);
    for (int i = 0; i < 2; i++)
        cr_expect_not(file_is_there(scratch_path(folder, theirs[i])), "%s", theirs[i]);
    for (int i = 0; i < 4; i++)
        cr_expect(file_is_there(scratch_path(folder, others[i])), "%s", others[i]);
    cr_expect_not(is_complete("m-1"));
    cr_expect(is_complete("m-2"));
    oce_saver_destroy(saver);
}

Test(saver, a_resumed_saver_goes_on_with_the_list) {
    oce_saver *saver = create_saver(3, 0);
    for (int step = 1; step <= 3; step++)
        save_well(saver, "m", step, step);
    oce_saver_destroy(saver);
    cr_assert_eq(oce_checkpoint_remove(scratch_path(folder, "m-2")), OCE_OK);
    saver = create_saver(3, 0);
    cr_assert_eq(oce_saver_recover(saver, folder), OCE_OK);
    cr_expect_eq(oce_saver_count(saver), 2, "m-2 is not there any more");
    save_well(saver, "m", 4, 4);
    cr_expect(is_complete("m-1"));
    save_well(saver, "m", 5, 5);
    cr_expect_not(is_complete("m-1"));
    cr_expect(is_complete("m-3"));
    cr_assert_eq(oce_saver_recover(saver, scratch_path(folder, "none")), OCE_OK);
    cr_expect_eq(oce_saver_count(saver), 0);
    oce_saver_destroy(saver);
}

Test(saver, a_failing_removal_is_a_warning) {
    oce_saver *saver = create_saver(1, 0);
    save_well(saver, "m", 1, 1);
    /* a folder cannot be removed as a file is */
    cr_assert_eq(mkdir(scratch_path(folder, "m-1.meta"), 0777), 0);
    cr_expect_eq(save(saver, scratch_path(folder, "m"), 2, 2), OCE_OK);
    cr_assert(oce_saver_warning(saver));
    cr_expect(strstr(oce_saver_warning(saver), "m-1.meta: cannot remove"), "%s",
              oce_saver_warning(saver));
    save_well(saver, "m", 3, 3);
    cr_expect_not(is_complete("m-2"));
    oce_saver_destroy(saver);
}

Test(saver, bad_options) {
    oce_saver *saver;
    cr_expect_eq(oce_saver_create(&(oce_saver_options){.max_to_keep = -1}, &saver),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_null(saver);
    cr_expect_eq(oce_saver_create(&(oce_saver_options){.keep_every_seconds = -1}, &saver),
                 OCE_ERROR_INVALID_ARGUMENT);
    oce_saver_destroy(NULL);
}

Test(saver, without_a_sidecar_an_old_one_goes) {
    oce_saver *saver = create_saver(5, 0);
    array_set set = small_arrays(2);
    save_well(saver, "m", 1, 1);
    cr_assert_eq(oce_saver_save(saver, scratch_path(folder, "m"), 1, set.arrays, set.count, NULL),
                 OCE_OK);
    cr_expect_eq(scratch_count(folder, ".ocelli"), 0);
    cr_expect_eq(scratch_count(folder, ".replaced"), 0);
    cr_expect(bundle_equals(scratch_path(folder, "m-1"), &set));
    array_set_free(&set);
    oce_saver_destroy(saver);
}

/* ---- Faults ---- */

/* Seed of the checkpoint that the folder's state file names, which must be whole, with its sidecar.
 * -1: there is none. */
static int latest_seed(void) {
    char prefix[800];
    const oce_status status = oce_checkpoint_latest(folder, prefix, sizeof prefix);
    if (status == OCE_ERROR_NOT_FOUND && !file_is_there(scratch_path(folder, "checkpoint")))
        return -1;
    cr_assert_eq(status, OCE_OK, "%s", oce_last_error());
    oce_sidecar *sidecar;
    cr_assert_eq(oce_sidecar_read(prefix, &sidecar), OCE_OK, "%s", oce_last_error());
    const int seed = atoi(oce_sidecar_get(sidecar, "step"));
    oce_sidecar_destroy(sidecar);
    array_set set = small_arrays(seed);
    cr_assert(bundle_equals(prefix, &set), "%s: not whole", prefix);
    array_set_free(&set);
    /* whatever else is listed must be there as well, but for one whose removal was under way */
    oce_checkpoint_state *state;
    cr_assert_eq(oce_checkpoint_state_read(folder, &state), OCE_OK);
    for (size_t i = 0; i < oce_checkpoint_state_count(state); i++) {
        oce_bundle_reader *reader;
        const char *path = oce_checkpoint_state_path(state, i);
        cr_expect_eq(oce_bundle_reader_open(path, &reader), OCE_OK, "%s", oce_last_error());
        oce_bundle_reader_close(reader);
    }
    oce_checkpoint_state_destroy(state);
    return seed;
}

/* What a scenario does: steps saved well before, then the step that meets the fault. */
typedef struct scenario {
    int before[3]; /* 0: none */
    int64_t step;  /* saved under the fault, as seed 9 */
    int max_to_keep;
} scenario;

static const scenario scenarios[] = {
    {{0, 0, 0}, 1, 2}, /* the first checkpoint, in a new folder */
    {{1, 2, 0}, 3, 2}, /* the usual case: one more, one removed */
    {{1, 2, 0}, 2, 2}, /* the newest is replaced */
    {{1, 2, 0}, 1, 2}, /* the oldest is replaced */
    {{1, 0, 0}, 1, 0}, /* the only one is replaced, none is ever removed */
};

/* Starts a scenario in an empty folder. */
static oce_saver *begin(const scenario *s) {
    oce_saver *saver = create_saver(s->max_to_keep, 0);
    for (int i = 0; i < 3 && s->before[i] > 0; i++)
        save_well(saver, "m", s->before[i], s->before[i]);
    return saver;
}

static int last_before(const scenario *s) {
    return s->before[1] > 0 ? s->before[1] : s->before[0] > 0 ? s->before[0] : -1;
}

static void renew_folder(void) {
    scratch_remove(folder);
    folder = scratch_create();
}

static long count_operations(const scenario *s) {
    oce_saver *saver = begin(s);
    fault_arm(FAULT_NONE, 0, folder);
    cr_assert_eq(save(saver, scratch_path(folder, "m"), s->step, 9), OCE_OK);
    const long operations = fault_disarm();
    oce_saver_destroy(saver);
    renew_folder();
    return operations;
}

/* After a fault a resumed run must be able to go on. */
static void expect_can_go_on(const scenario *s) {
    oce_folder_lock *lock;
    cr_assert_eq(oce_folder_lock_acquire(folder, &lock), OCE_OK, "%s", oce_last_error());
    cr_expect_eq(scratch_count(folder, ".ocelli-tmp"), 0, "temporary files are left");
    const int seed = latest_seed();
    oce_saver *saver = create_saver(s->max_to_keep, 0);
    cr_assert_eq(oce_saver_recover(saver, folder), OCE_OK);
    save_well(saver, "m", s->step, 9);
    cr_expect_eq(latest_seed(), 9);
    save_well(saver, "m", 20, 20);
    cr_expect_eq(latest_seed(), 20);
    cr_expect_eq(scratch_count(folder, ".replaced"), 0, "a replaced checkpoint is left (%d)", seed);
    oce_saver_destroy(saver);
    oce_folder_lock_release(lock);
}

static void fail_at_each(fault_mode mode) {
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        const long operations = count_operations(s);
        cr_assert_gt(operations, 10);
        for (long at = 1; at <= operations; at++) {
            oce_saver *saver = begin(s);
            fault_arm(mode, at, folder);
            const oce_status status = save(saver, scratch_path(folder, "m"), s->step, 9);
            fault_disarm();
            char message[512];
            snprintf(message, sizeof message, "%.500s", oce_last_error());
            const int seed = latest_seed();
            if (status == OCE_OK) {
                cr_expect_eq(seed, 9, "scenario %zu, operation %ld", i, at);
            } else {
                cr_expect(seed == last_before(s) || seed == 9, "scenario %zu, operation %ld: %d", i,
                          at, seed);
                cr_expect(strstr(message, folder) &&
                              strstr(message, mode == FAULT_FULL ? "No space" : "Input/output"),
                          "scenario %zu, operation %ld: %s", i, at, message);
                cr_expect_eq(scratch_count(folder, ".ocelli-tmp"), 0, "scenario %zu, operation %ld",
                             i, at);
            }
            /* the same saver goes on */
            save_well(saver, "m", 10, 10);
            cr_expect_eq(latest_seed(), 10);
            oce_saver_destroy(saver);
            renew_folder();
        }
    }
}

Test(saver, every_operation_may_fail) {
    fail_at_each(FAULT_FAIL);
}

Test(saver, the_disk_may_be_full) {
    fail_at_each(FAULT_FULL);
}

Test(saver, a_kill_at_every_operation_leaves_a_whole_checkpoint) {
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        const long operations = count_operations(s);
        for (long at = 1; at <= operations; at++) {
            oce_saver_destroy(begin(s));
            const pid_t child = fork();
            if (child == 0) {
                oce_folder_lock *lock;
                oce_saver *saver = create_saver(s->max_to_keep, 0);
                if (oce_folder_lock_acquire(folder, &lock) != OCE_OK ||
                    oce_saver_recover(saver, folder) != OCE_OK)
                    _exit(2);
                fault_arm(FAULT_KILL, at, folder);
                _exit(save(saver, scratch_path(folder, "m"), s->step, 9) == OCE_OK ? 0 : 1);
            }
            int status;
            cr_assert_eq(waitpid(child, &status, 0), child);
            cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                      "scenario %zu, operation %ld: status %d", i, at, status);
            const int seed = latest_seed();
            cr_expect(seed == last_before(s) || seed == 9, "scenario %zu, operation %ld: %d", i, at,
                      seed);
            expect_can_go_on(s);
            renew_folder();
        }
    }
}
