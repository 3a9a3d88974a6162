/* Training that is killed, anywhere, and resumed ends with the bits of a run that was left alone.
 */
#define _POSIX_C_SOURCE 200809L

#include "support/device.h"
#include "support/fault.h"
#include "support/scratch.h"
#include "support/tiny_network.h"

#include "base/random.h"

#include <ocelli/model_file.h>
#include <ocelli/train.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXAMPLES = 30, STEPS = 40, SAVE_EVERY = 3 };

/* Exit codes of a child besides 0, the run's end. */
enum { CHILD_FAILED = 1, CHILD_CANNOT_RESUME = 2 };

static oce_status load_newest(oce_model *model, const char *prefix) {
    oce_sidecar *sidecar = NULL;
    oce_model_options options = {0};
    oce_train_options run = {0};
    uint64_t step = 0;
    int64_t examples = 0;
    oce_status status = oce_sidecar_read(prefix, &sidecar);
    if (status == OCE_OK)
        status = oce_run_settings(sidecar, tiny_network(), &options, &run, &step, &examples);
    if (status == OCE_OK)
        status = oce_model_load(model, prefix, OCE_LOAD_ALL, NULL);
    oce_sidecar_destroy(sidecar);
    oce_model_state state = oce_model_get_state(model);
    state.step = step;
    oce_model_set_state(model, &state);
    return status;
}

/* Trains into `folder`, from its newest checkpoint if it has one, to the end. Runs in a child. */
static int train_child(const char *folder, fault_mode mode, long at) {
    char prefix[512];
    oce_device *device = test_open_device();
    oce_model_options options = tiny_options(4, 1);
    options.augment = true;
    options.optimizer = oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 0.01F);
    oce_model *model = tiny_model(device, &options);
    oce_dataset *data = NULL;
    uint8_t *images = tiny_images(EXAMPLES, 1), *labels = tiny_labels(EXAMPLES, 1);
    const oce_save_options save = {.folder = folder,
                                   .name = "model",
                                   .every = SAVE_EVERY,
                                   .at_end = true,
                                   .saver = {.max_to_keep = 2}};
    const oce_train_options run = {
        .steps = STEPS,
        .shuffle = OCE_SHUFFLE_EPOCH,
        .seed = 5,
        .learning_rate = {.kind = OCE_SCHEDULE_COSINE, .base = 0.02F, .period = STEPS},
        .log_every = 10,
        .save = &save};
    TEST_OK(oce_dataset_create(images, labels, EXAMPLES, TINY_HEIGHT, TINY_WIDTH, TINY_CHANNELS,
                               TINY_CLASSES, NULL, &data));
    fault_skip_fsync();
    fault_arm(mode, at, folder);
    const oce_status found = oce_checkpoint_latest(folder, prefix, sizeof prefix);
    if (found == OCE_OK && load_newest(model, prefix) != OCE_OK) {
        fprintf(stderr, "%s: %s\n", prefix, oce_last_error());
        return CHILD_CANNOT_RESUME;
    }
    const oce_status status = oce_train(model, data, &run);
    fault_disarm();
    free(images);
    free(labels);
    oce_dataset_destroy(data);
    oce_model_destroy(model);
    oce_device_close(device);
    return status == OCE_OK ? 0 : CHILD_FAILED;
}

static pid_t start_child(const char *folder, fault_mode mode, long at) {
    fflush(NULL);
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(train_child(folder, mode, at));
    return child;
}

/* The child's exit code, or 128 + the signal that ended it. */
static int wait_for(pid_t child) {
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char *folder_of_whole_run(void) {
    char *folder = scratch_create();
    cr_assert_eq(wait_for(start_child(scratch_path(folder, "model"), FAULT_NONE, 0)), 0);
    return folder;
}

/* Ends the run in `folder` and compares its last checkpoint with that of the whole run. */
static void expect_same_end(const char *folder, const char *whole, const char *when) {
    static const char *const files[] = {
        "model/model-40.index", "model/model-40.data-00000-of-00001", "model/model-40.ocelli"};
    cr_assert_eq(wait_for(start_child(scratch_path(folder, "model"), FAULT_NONE, 0)), 0, "%s",
                 when);
    for (int i = 0; i < 3; i++) {
        size_t size = 0, expected_size = 0;
        void *got = file_load(scratch_path(folder, files[i]), &size);
        void *expected = file_load(scratch_path(whole, files[i]), &expected_size);
        cr_expect(size == expected_size && memcmp(got, expected, size) == 0, "%s: %s differs", when,
                  files[i]);
        free(got);
        free(expected);
    }
    /* killed between the new state file and the removal of the oldest, that one stays */
    cr_expect_leq(scratch_count(scratch_path(folder, "model"), ".index"), 3, "%s: leftovers", when);
    cr_expect_eq(scratch_count(scratch_path(folder, "model"), "tmp"), 0, "%s: leftovers", when);
}

static void sleep_microseconds(long microseconds) {
    const struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

Test(resume, after_kills_at_random_moments) {
    const int kills = test_is_small() ? 5 : 50;
    const double start = seconds_now();
    char *whole = folder_of_whole_run();
    const double length = seconds_now() - start;
    char *folder = scratch_create();
    oce_random random;
    int killed = 0, ended = 0;
    oce_random_init(&random, 2, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < kills; i++) {
        const pid_t child = start_child(scratch_path(folder, "model"), FAULT_NONE, 0);
        sleep_microseconds((long)(1e6 * length * (double)oce_random_uniform(&random)));
        kill(child, SIGKILL);
        const int code = wait_for(child);
        cr_assert(code == 128 + SIGKILL || code == 0, "kill %d: exit code %d", i, code);
        killed += code != 0;
        if (code == 0 || i + 1 == kills) {
            ended++;
            expect_same_end(folder, whole, "random kills");
            scratch_remove(folder);
            folder = scratch_create();
        }
    }
    cr_expect_gt(killed, kills / 4, "%d of %d children lived too short to be killed", killed,
                 kills);
    cr_expect_gt(ended, 0);
    scratch_remove(folder);
    scratch_remove(whole);
}

/* Kills or fails at operations on files spread over the run; the first saves completely. */
static void faults(fault_mode mode, int expected_code) {
    char *whole = folder_of_whole_run();
    int reached = 0;
    for (long at = 1; at <= 400; at = at < 40 ? at + 4 : at + 97) {
        char when[64];
        char *folder = scratch_create();
        snprintf(when, sizeof when, "fault at operation %ld", at);
        const int code = wait_for(start_child(scratch_path(folder, "model"), mode, at));
        cr_assert(code == 0 || code == expected_code, "%s: exit code %d", when, code);
        if (code != 0) {
            reached++;
            expect_same_end(folder, whole, when);
        }
        scratch_remove(folder);
    }
    cr_expect_gt(reached, 8);
    scratch_remove(whole);
}

Test(resume, after_a_kill_in_a_write) {
    faults(FAULT_KILL, 128 + SIGKILL);
}

Test(resume, after_a_write_that_failed) {
    faults(FAULT_FAIL, CHILD_FAILED);
}

Test(resume, after_the_disk_was_full) {
    faults(FAULT_FULL, CHILD_FAILED);
}
