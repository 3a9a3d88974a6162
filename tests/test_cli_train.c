/* ocelli train and info: results, logs, stopping, resuming, bad input. */
#define _POSIX_C_SOURCE 200809L

#include "support/checkpoint.h"
#include "support/command.h"
#include "support/scratch.h"

#include "base/random.h"

#include <ocelli/checkpoint.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORD = 1 + 3072, RECORDS = 24 };

/* A file of CIFAR-10 records with random pixels. */
static const char *write_records(const char *folder, const char *name, int bad_record) {
    const char *path = scratch_path(folder, name);
    unsigned char *data = malloc((size_t)RECORDS * RECORD);
    oce_random random;
    cr_assert(data != NULL);
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    for (size_t i = 0; i < (size_t)RECORDS * RECORD; i++)
        data[i] = (unsigned char)oce_random_below(&random, i % RECORD == 0 ? 10 : 256);
    if (bad_record >= 0)
        data[(size_t)bad_record * RECORD] = 77;
    file_store(path, data, (size_t)RECORDS * RECORD);
    free(data);
    return path;
}

#define TRAIN(...) command_ocelli(NULL, "train", "cifar10", "--batch", "4", __VA_ARGS__)
#define RECORD_FILES(path) "--train-file", path, "--test-file", path

static json_t *json_line(char **cursor) {
    char *end = strchr(*cursor, '\n');
    cr_assert(end != NULL, "no whole line at \"%s\"", *cursor);
    json_t *line = json_loadb(*cursor, (size_t)(end - *cursor), 0, NULL);
    cr_assert(line != NULL, "not JSON: %s", *cursor);
    *cursor = end + 1;
    return line;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_number(value), "no number \"%s\"", key);
    return json_number_value(value);
}

Test(cli_train, log_has_a_line_for_each_log_and_the_result) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    const char *log = scratch_path(folder, "log");
    command_result r = TRAIN(RECORD_FILES(records), "--steps", "5", "--log-every", "2", "--log",
                             log, "--learning-rate", "1e-4");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.out, "step 0, accuracy ") != NULL && strstr(r.out, "step 4, ") != NULL);
    cr_expect(strstr(r.out, "\ntest accuracy ") != NULL, "%s", r.out);
    cr_expect(strstr(r.out, "airplane") != NULL, "the table of classes");
    char *text = file_load(log, NULL), *cursor = text;
    for (int step = 0; step < 5; step += 2) {
        json_t *line = json_line(&cursor);
        cr_expect_eq(number(line, "step"), step);
        cr_expect(number(line, "loss") > 0 && number(line, "accuracy") >= 0);
        cr_expect(number(line, "seconds") >= 0 && number(line, "images_per_second") >= 0);
        json_decref(line);
    }
    json_t *result = json_line(&cursor);
    cr_expect(number(result, "test_accuracy") >= 0);
    cr_expect_eq(number(result, "test_images"), RECORDS);
    cr_expect_str_eq(cursor, "");
    json_decref(result);
    free(text);
    command_free(&r);
    scratch_remove(folder);
}

Test(cli_train, quiet_prints_the_result_only) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    command_result r = TRAIN(RECORD_FILES(records), "--steps", "1", "--quiet");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strncmp(r.out, "test accuracy ", 14) == 0, "%s", r.out);
    cr_expect_eq(strchr(r.out, '\n'), r.out + strlen(r.out) - 1, "one line: %s", r.out);
    cr_expect_str_eq(r.err, "");
    command_free(&r);
    scratch_remove(folder);
}

Test(cli_train, profile_names_layers_and_passes) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    command_result r = TRAIN(RECORD_FILES(records), "--steps", "1", "--profile");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.out, "conv2 weight gradient") != NULL, "%s", r.out);
    cr_expect(strstr(r.out, "conv1 input gradient") == NULL, "nobody needs that one");
    cr_expect(strstr(r.out, "optimizer") != NULL);
    cr_expect(strstr(r.out, "GFLOPS  of peak") != NULL && strstr(r.out, "GB/s  family") != NULL);
    command_free(&r);
    scratch_remove(folder);
}

/* Launches of a row of the profile. */
static int launches(const command_result *r, const char *row) {
    const char *line = strstr(r->out, row);
    cr_assert(line != NULL, "no %s in\n%s%s", row, r->out, r->err);
    return atoi(line + strlen(row));
}

/* The test at the end is not a part of the training's profile, and has one if nothing is trained.
 */
Test(cli_train, profile_is_of_the_training) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    const char *few = scratch_path(folder, "few.bin"), *model = scratch_path(folder, "model");
    char *bytes = file_load(records, NULL);
    file_store(few, bytes, (size_t)RECORDS / 3 * RECORD);
    free(bytes);
    int forward[2], tested[2];
    for (int i = 0; i < 2; i++) {
        command_result r = TRAIN("--quiet", "--train-file", records, "--test-file",
                                 i == 0 ? few : records, "--profile", "--steps", "1");
        cr_assert_eq(r.code, 0, "%s", r.err);
        const char *profile = strstr(r.out, "profile of the training:\n");
        cr_expect(profile != NULL && profile < strstr(r.out, "test accuracy"), "%s", r.out);
        cr_expect_eq(launches(&r, "\noptimizer "), 1, "%s", r.out);
        forward[i] = launches(&r, "\nconv1 forward ");
        command_free(&r);
    }
    cr_expect_eq(forward[0], forward[1], "%d launches, then %d", forward[0], forward[1]);
    command_result r = TRAIN("--quiet", RECORD_FILES(records), "--model-dir", model, "--save-final",
                             "--steps", "1");
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    for (int i = 0; i < 2; i++) {
        r = TRAIN("--quiet", "--test-file", i == 0 ? few : records, "--profile", "--model-dir",
                  model);
        cr_assert_eq(r.code, 0, "%s", r.err);
        cr_expect(strstr(r.out, "profile of the test:\n") != NULL, "%s", r.out);
        cr_expect(strstr(r.out, "\noptimizer ") == NULL, "%s", r.out);
        tested[i] = launches(&r, "\nconv1 forward ");
        command_free(&r);
    }
    cr_expect_gt(tested[1], tested[0]);
    scratch_remove(folder);
}

Test(cli_train, same_seed_gives_the_same_file) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    static const char *const names[] = {"a", "b"};
    size_t size[2] = {0, 0};
    void *data[2];
    for (int i = 0; i < 2; i++) {
        command_result r = TRAIN(RECORD_FILES(records), "--steps", "4", "--seed", "9", "--augment",
                                 "--save-final", "--model-dir", scratch_path(folder, names[i]));
        cr_assert_eq(r.code, 0, "%s", r.err);
        char file[64];
        snprintf(file, sizeof file, "%s/model-4.data-00000-of-00001", names[i]);
        data[i] = file_load(scratch_path(folder, file), &size[i]);
        command_free(&r);
    }
    cr_expect(size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0);
    free(data[0]);
    free(data[1]);
    scratch_remove(folder);
}

Test(cli_train, restores_and_tests_a_model_that_is_there) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    const char *model = scratch_path(folder, "model");
    command_result trained =
        TRAIN(RECORD_FILES(records), "--steps", "2", "--model-dir", model, "--save-final");
    cr_assert_eq(trained.code, 0, "%s", trained.err);
    command_result again = TRAIN(RECORD_FILES(records), "--steps", "2", "--model-dir", model);
    cr_assert_eq(again.code, 0, "%s", again.err);
    cr_expect(strstr(again.err, "restored ") != NULL, "%s", again.err);
    cr_expect(strstr(again.out, "step ") == NULL, "it must not train: %s", again.out);
    cr_expect_str_eq(strstr(again.out, "test accuracy"), strstr(trained.out, "test accuracy"));
    command_result from = TRAIN(RECORD_FILES(records), "--model-dir", model, "--start-from",
                                scratch_path(folder, "model/model-2"));
    expect_failure(&from, 1, "holds a run already");
    command_free(&from);
    from = TRAIN(RECORD_FILES(records), "--steps", "0", "--start-from",
                 scratch_path(folder, "model/model-2"));
    cr_expect_eq(from.code, 0, "%s", from.err);
    cr_expect_str_eq(strstr(from.out, "test accuracy"), strstr(trained.out, "test accuracy"));
    command_free(&trained);
    command_free(&again);
    command_free(&from);
    scratch_remove(folder);
}

/* Resumed with other settings, or without its sidecar, a run says that it is not exact. */
Test(cli_train, says_when_resuming_is_not_exact) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    const char *model = scratch_path(folder, "model");
    command_result r = TRAIN(RECORD_FILES(records), "--steps", "2", "--save-final", "--model-dir",
                             model, "--seed", "4");
    cr_assert_eq(r.code, 0, "%s", r.err);
    command_free(&r);
    r = TRAIN(RECORD_FILES(records), "--steps", "3", "--resume", "--model-dir", model);
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.err, "inexact") == NULL, "%s", r.err);
    command_free(&r);
    r = TRAIN(RECORD_FILES(records), "--steps", "3", "--resume", "--model-dir", model, "--seed",
              "5");
    cr_expect(strstr(r.err, "\"seed\"") != NULL && strstr(r.err, "inexact") != NULL, "%s", r.err);
    command_free(&r);
    char *sidecar = scratch_read(folder, "model/model-2.ocelli", NULL);
    strstr(sidecar, "seed: \"4")[7] = '5'; /* its checksum does not fit any more */
    scratch_write_text(folder, "model/model-2.ocelli", sidecar);
    free(sidecar);
    r = TRAIN(RECORD_FILES(records), "--steps", "3", "--resume", "--model-dir", model);
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.err, "no sidecar to rely on") != NULL, "%s", r.err);
    command_free(&r);
    cr_assert_eq(remove(scratch_path(folder, "model/model-2.ocelli")), 0);
    r = TRAIN(RECORD_FILES(records), "--steps", "3", "--resume", "--model-dir", model);
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.err, "no sidecar") != NULL && strstr(r.err, "inexact") != NULL, "%s", r.err);
    command_free(&r);
    scratch_remove(folder);
}

/* Runs training in a child process, sends it `signal_number` once it has printed its first step. */
static int run_and_signal(const char *records, const char *model, int signal_number) {
    int pipe_ends[2];
    cr_assert_eq(pipe(pipe_ends), 0);
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDOUT_FILENO);
        close(pipe_ends[0]);
        execl(command_ocelli_path(), "ocelli", "train", "cifar10", "--batch", "4", "--train-file",
              records, "--test-file", records, "--steps", "100000", "--learning-rate", "1e-5",
              "--model-dir", model, (char *)NULL);
        _exit(127);
    }
    close(pipe_ends[1]);
    char text[512] = "";
    size_t used = 0;
    ssize_t got = 0;
    while (strstr(text, "step 0") == NULL && used < sizeof text - 1 &&
           (got = read(pipe_ends[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    cr_assert_eq(kill(child, signal_number), 0);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    close(pipe_ends[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Test(cli_train, interrupt_ends_after_the_step_and_saves) {
    char *folder = scratch_create();
    char prefix[512];
    const char *records = write_records(folder, "records.bin", -1);
    const char *model = scratch_path(folder, "model");
    cr_expect_eq(run_and_signal(records, model, SIGINT), 130);
    cr_assert_eq(oce_checkpoint_latest(model, prefix, sizeof prefix), OCE_OK, "%s",
                 oce_last_error());
    cr_expect_neq(strtol(strrchr(prefix, '-') + 1, NULL, 10), 0, "%s", prefix);
    scratch_remove(folder);
}

Test(cli_train, divergence_is_an_error_that_names_step_and_layer) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    command_result r = TRAIN(RECORD_FILES(records), "--steps", "50", "--learning-rate", "1e5",
                             "--quiet", "--optimizer", "sgd");
    expect_failure(&r, 1, "layer \"");
    cr_expect(strstr(r.err, "step ") != NULL, "%s", r.err);
    command_free(&r);
    scratch_remove(folder);
}

Test(cli_train, bad_input) {
    char *folder = scratch_create();
    const char *records = write_records(folder, "records.bin", -1);
    const char *bad = write_records(folder, "bad.bin", 3);
    command_result r = TRAIN("--quiet", RECORD_FILES(bad));
    expect_failure(&r, 1, "bad.bin");
    command_free(&r);
    scratch_write_text(folder, "old log", "kept");
    r = TRAIN("--quiet", "--data", scratch_path(folder, "absent"), "--log",
              scratch_path(folder, "old log"));
    expect_failure(&r, 1, "absent");
    command_free(&r);
    char *old = scratch_read(folder, "old log", NULL);
    cr_expect_str_eq(old, "kept", "a run that cannot start must not empty a log");
    free(old);
    r = TRAIN("--quiet", RECORD_FILES(records), "--log", scratch_path(folder, "absent/log"));
    expect_failure(&r, 1, "absent/log");
    command_free(&r);
    r = TRAIN("--quiet", RECORD_FILES(records), "--device", "no such device");
    expect_failure(&r, 1, "no such device");
    command_free(&r);
    r = TRAIN("--quiet", RECORD_FILES(records), "--steps", "1", "--model-dir",
              scratch_path(folder, "absent/model"));
    expect_failure(&r, 1, "absent");
    command_free(&r);
    r = TRAIN("--quiet", RECORD_FILES(records), "--start-from", scratch_path(folder, "nothing"));
    expect_failure(&r, 1, "nothing.index");
    command_free(&r);
    scratch_remove(folder);
}

Test(cli_train, wrong_usage) {
    static const char *const calls[][6] = {
        {"imagenet"},
        {"mnist", "--steps", "-1"},
        {"mnist", "--steps", "99999999999999999999"},
        {"mnist", "--batch", "0"},
        {"mnist", "--learning-rate", "nan"},
        {"mnist", "--keep-prob", "0"},
        {"mnist", "--keep-prob", "1.5"},
        {"mnist", "--log-every", "0"},
        {"mnist", "--shuffle", "sometimes"},
        {"mnist", "--micro-batches", "3"},
        {"mnist", "--train-file", "x"},
        {"mnist", "--resume"},
        {"mnist", "--save-every", "5"},
        {"mnist", "--model-dir", "x", "--resume", "--start-from", "y"},
        {"mnist", "--no-such-flag"},
        {"mnist", "--conv", "winograd", "--winograd", "off"},
        {"mnist", "cifar10"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        const char *argv[9] = {command_ocelli_path(), "train"};
        for (int j = 0; j < 6; j++)
            argv[2 + j] = calls[i][j];
        command_result r = command_run(argv, NULL, NULL);
        cr_expect_eq(r.code, 2, "%s %s: code %d: %s", calls[i][0],
                     calls[i][1] != NULL ? calls[i][1] : "", r.code, r.err);
        cr_expect(strstr(r.err, "ocelli train: ") != NULL, "%s", r.err);
        command_free(&r);
    }
}

Test(cli_train, info_prints_layers_and_bytes) {
    command_result r = command_ocelli(NULL, "info", "mnist", "--json", "--batch", "10");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = json_loads(r.out, 0, NULL);
    cr_assert(root != NULL, "%s", r.out);
    double bytes = 0, parameters = 0;
    size_t i;
    json_t *each;
    json_array_foreach(json_object_get(root, "buffers"), i, each) bytes += number(each, "bytes");
    json_array_foreach(json_object_get(root, "layers"), i, each) parameters +=
        number(each, "parameters");
    cr_expect_eq(bytes, number(root, "bytes"));
    cr_expect_eq(parameters, 3274634);
    json_decref(root);
    command_free(&r);
    r = command_ocelli(NULL, "info", "cifar10", "--batch", "128");
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.out, "3626314") != NULL, "%s", r.out);
    cr_expect(strstr(r.out, "conv1 winners") != NULL || strstr(r.out, "pool1 winners") != NULL);
    command_free(&r);
}

Test(cli_train, winograd_cannot_be_asked_for_and_switched_off) {
    static const char *const verbs[] = {"train", "info"};
    for (int i = 0; i < 2; i++) {
        command_result r =
            command_ocelli(NULL, verbs[i], "mnist", "--conv", "winograd", "--winograd", "off");
        expect_failure(&r, 2, "--conv winograd and --winograd off exclude each other");
        command_free(&r);
    }
}

/* By the names of the families that are planned; not all devices are given Winograd at all. */
Test(cli_train, winograd_can_be_switched_off) {
    static const char *const choices[] = {"on", "off"};
    int layers[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        command_result r =
            command_ocelli(NULL, "info", "cifar10", "--json", "--winograd", choices[i]);
        cr_assert_eq(r.code, 0, "%s", r.err);
        for (const char *at = r.out; (at = strstr(at, "\"winograd\"")) != NULL; at++)
            layers[i]++;
        command_free(&r);
    }
    if (layers[0] == 0)
        cr_skip_test("the device computes no layer by Winograd");
    cr_expect_eq(layers[1], 0, "Winograd is still in %d passes", layers[1]);
}

/* The golden MNIST run, through the command: TensorFlow's start as a checkpoint, file order. */
Test(cli_train, golden_run_from_a_checkpoint) {
    const char *data = getenv("OCELLI_DATA");
    if (data == NULL || data[0] == '\0')
        cr_skip_test("OCELLI_DATA does not name a folder with the data sets");
    char *folder = scratch_create();
    const char *prefix = scratch_path(folder, "start"), *log = scratch_path(folder, "log");
    oce_bundle_writer *writer = NULL;
    array_set start = golden_start(false);
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (size_t i = 0; i < start.count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &start.arrays[i]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK, "%s", oce_last_error());
    oce_bundle_writer_destroy(writer);
    command_result r =
        command_ocelli(NULL, "train", "mnist", "--start-from", prefix, "--shuffle", "none",
                       "--steps", "12", "--log-every", "1", "--log", log, "--quiet");
    if (r.code != 0 && strstr(r.err, "not found") != NULL)
        cr_skip_test("there is no MNIST under OCELLI_DATA");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *golden = json_load_file("tests/vectors/golden_mnist.json", 0, NULL);
    const json_t *losses = json_object_get(golden, "losses_float64");
    char *text = file_load(log, NULL), *cursor = text;
    for (size_t step = 0; step < 12; step++) {
        json_t *line = json_line(&cursor);
        const double expected = json_number_value(json_array_get(losses, step));
        cr_expect_float_eq(number(line, "loss"), expected, 3e-4 * expected, "step %zu", step);
        json_decref(line);
    }
    json_decref(golden);
    free(text);
    array_set_free(&start);
    command_free(&r);
    scratch_remove(folder);
}
