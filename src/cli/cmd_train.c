/* ocelli train: trains a network, reports as it goes, and tests the result. */
#include "cli/compilers.h"
#include "cli/open_device.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/start.h"
#include "cli/train_options.h"
#include "cli/verbs.h"

#include <ocelli/bench.h>

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>

/* What a shell reports for a command that Ctrl-C ended. */
enum { CLI_INTERRUPTED = 130 };

static const uint64_t default_seed = 1;

static volatile sig_atomic_t stop_asked;

/* The second Ctrl-C ends the command at once. */
static void ask_to_stop(int signal_number) {
    stop_asked = 1;
    signal(signal_number, SIG_DFL);
}

typedef struct session {
    const cli_call *call;
    const cli_train_values *given;
    oce_recipe recipe;
    FILE *log; /* NULL: none */
    bool log_failed;
    cli_progress progress;
} session;

static void write_log(session *s, const char *line) {
    if (s->log == NULL)
        return;
    if (fputs(line, s->log) < 0 || fflush(s->log) != 0)
        s->log_failed = true;
}

static void log_event(session *s, const oce_train_event *event) {
    char line[320];
    static const char *const kinds[] = {
        [OCE_TRAIN_LOG] = "", [OCE_TRAIN_VALIDATION] = "validation_", [OCE_TRAIN_TEST] = "test_"};
    const char *of = kinds[event->kind];
    snprintf(line, sizeof line,
             "{\"step\": %llu, \"%sloss\": %.9g, \"%saccuracy\": %.9g, \"seconds\": %.3f, "
             "\"images_per_second\": %.1f}\n",
             (unsigned long long)event->step, of, event->loss, of, event->accuracy, event->seconds,
             event->images_per_second);
    write_log(s, line);
}

static void print_event(const session *s, const oce_train_event *event) {
    if (s->given->quiet)
        return;
    static const char *const kinds[] = {
        [OCE_TRAIN_LOG] = "", [OCE_TRAIN_VALIDATION] = "validation ", [OCE_TRAIN_TEST] = "test "};
    cli_progress_line(stdout, "step %llu, %saccuracy %.4f, %sloss %.6g",
                      (unsigned long long)event->step, kinds[event->kind], event->accuracy,
                      kinds[event->kind], event->loss);
    fflush(stdout);
}

static bool on_event(void *context, const oce_train_event *event) {
    session *s = context;
    if (event->kind == OCE_TRAIN_SAVE) {
        if (event->warning != NULL)
            cli_progress_line(stderr, "ocelli: warning: %s", event->warning);
    } else if (event->kind != OCE_TRAIN_STEP) {
        print_event(s, event);
        log_event(s, event);
    } else {
        const cli_progress_values values = {.step = (int64_t)event->step + 1,
                                            .loss = event->loss,
                                            .accuracy = event->accuracy,
                                            .images_per_second = event->images_per_second};
        cli_progress_update(&s->progress, &values);
    }
    return !stop_asked && !s->log_failed;
}

static oce_status train(session *s, oce_model *model, const cli_data *data,
                        oce_train_options *options) {
    options->validation = data->validation;
    options->test = data->test;
    options->callback = on_event;
    options->context = s;
    stop_asked = 0;
    void (*const old_interrupt)(int) = signal(SIGINT, ask_to_stop);
    void (*const old_terminate)(int) = signal(SIGTERM, ask_to_stop);
    cli_progress_start(&s->progress, "step", (int64_t)options->steps, s->given->quiet);
    const oce_status status = oce_train(model, data->train, options);
    cli_progress_finish(&s->progress);
    signal(SIGINT, old_interrupt);
    signal(SIGTERM, old_terminate);
    return status;
}

static oce_status test(session *s, oce_model *model, const oce_dataset *dataset) {
    oce_evaluation *evaluation = NULL;
    oce_status status = oce_evaluation_create(model, dataset, &evaluation);
    if (status != OCE_OK)
        return status;
    const oce_metrics metrics = oce_evaluation_metrics(evaluation);
    const oce_recipe *recipe = &s->recipe;
    double estimate = NAN;
    if (recipe->estimate_batches > 0 && recipe->estimate_batch <= metrics.images)
        status =
            oce_evaluation_estimate(evaluation, recipe->estimate_batches, recipe->estimate_batch,
                                    (uint64_t)s->given->seed, &estimate);
    if (status == OCE_OK) {
        char line[256], estimated[64] = "";
        if (!isnan(estimate)) {
            printf("estimated test accuracy %.4f (mean of %d random batches of %lld)\n", estimate,
                   recipe->estimate_batches, (long long)recipe->estimate_batch);
            snprintf(estimated, sizeof estimated, ", \"test_accuracy_estimate\": %.9g", estimate);
        }
        if (recipe->estimate_batches > 0 && !s->given->quiet)
            cli_report_classes(stdout, evaluation, dataset);
        printf("test accuracy %.4f, test loss %.6g (%lld images%s)\n", metrics.accuracy,
               metrics.loss, (long long)metrics.images,
               oce_dataset_is_synthetic(dataset) ? " of the synthetic set" : "");
        snprintf(line, sizeof line,
                 "{\"test_accuracy\": %.9g, \"test_loss\": %.9g, \"test_images\": %lld%s}\n",
                 metrics.accuracy, metrics.loss, (long long)metrics.images, estimated);
        write_log(s, line);
    }
    oce_evaluation_destroy(evaluation);
    return status;
}

/* Prints what was recorded, as far as --profile asks for it, and records no more. */
static oce_status report_profile(const session *s, oce_device *device, const oce_model *model,
                                 const char *what) {
    const oce_bench_options usual = {.seconds = 0.2};
    oce_peak peak = {0};
    cli_profile profile;
    if (!s->given->profile)
        return OCE_OK;
    const oce_status status = cli_profile_read(device, &profile);
    if (status == OCE_OK) {
        if (oce_bench_peak(device, &usual, &peak) != OCE_OK) {
            cli_progress_line(stderr, "ocelli: warning: the device's peak is not known: %s",
                              oce_last_error());
            peak.flops = 0;
        }
        printf("profile of %s:\n", what);
        cli_report_profile(stdout, model, &profile, 0, peak.flops);
    }
    cli_profile_release(&profile);
    return status == OCE_OK ? oce_device_profile_stop(device) : status;
}

/* Trains and tests; a restored model is only tested. */
static int run_and_test(session *s, oce_device *device, oce_model *model, const cli_data *data,
                        const cli_start *start, oce_train_options *options) {
    const bool trains = start->mode != CLI_START_TEST;
    const oce_status status = trains ? train(s, model, data, options) : OCE_OK;
    if (s->log_failed)
        return cli_error("writing %s: %s", s->given->log, strerror(errno));
    if (status == OCE_ERROR_INTERRUPTED) {
        fprintf(stderr, "ocelli: %s\n", oce_last_error());
        return CLI_INTERRUPTED;
    }
    if (status != OCE_OK ||
        (trains && report_profile(s, device, model, "the training") != OCE_OK) ||
        test(s, model, data->test) != OCE_OK)
        return cli_failure();
    if (s->log_failed)
        return cli_error("writing %s: %s", s->given->log, strerror(errno));
    if (!trains && report_profile(s, device, model, "the test") != OCE_OK)
        return cli_failure();
    return CLI_SUCCESS;
}

/* Allocates and loads; the log is opened last, so that a run that cannot start empties none. */
static int run_model(session *s, oce_device *device, oce_model *model, const cli_data *data,
                     const cli_start *start, oce_train_options *options) {
    const int64_t parts = oce_model_get_options(model)->micro_batches;
    if (!s->given->quiet && parts > 1)
        fprintf(stderr, "each batch is computed in %lld parts\n", (long long)parts);
    if (oce_model_allocate(model) != OCE_OK || cli_start_load(start, model) != OCE_OK ||
        (s->given->profile && oce_device_profile_start(device) != OCE_OK))
        return cli_failure();
    if (s->given->log != NULL && start->mode != CLI_START_TEST) {
        s->log = fopen(s->given->log, start->mode == CLI_START_RESUME ? "a" : "w");
        if (s->log == NULL)
            return cli_error("cannot write the log %s: %s", s->given->log, strerror(errno));
    }
    int code = run_and_test(s, device, model, data, start, options);
    if (s->log != NULL && fclose(s->log) != 0)
        code = cli_error("writing %s: %s", s->given->log, strerror(errno));
    return code;
}

static int run_device(session *s, const cli_data *data, const cli_start *start,
                      const oce_model_options *model_options, oce_train_options *train_options) {
    oce_device *device = NULL;
    oce_model *model = NULL;
    int code = CLI_FAILURE;
    if (cli_open_device(s->given->device, s->given->quiet, &device) != OCE_OK)
        return cli_failure();
    if (cli_compilers_start(device, s->recipe.network, model_options))
        code = cli_plan_model(device, s->recipe.network, model_options, &model) == OCE_OK
                   ? run_model(s, device, model, data, start, train_options)
                   : cli_failure();
    oce_model_destroy(model);
    cli_close_device(device, code == CLI_SUCCESS, s->given->quiet);
    return code;
}

static int run_data(session *s, const cli_start *start, const oce_model_options *model_options,
                    oce_train_options *train_options) {
    const char *network = s->recipe.network->name;
    cli_data data;
    int code = CLI_FAILURE;
    unsigned wanted = CLI_DATA_TEST;
    if (start->mode != CLI_START_TEST)
        wanted |= CLI_DATA_TRAIN;
    if (start->mode != CLI_START_TEST && train_options->validate_every > 0)
        wanted |= CLI_DATA_VALIDATION;
    if (cli_data_open(network, &s->given->data, wanted, &data) != OCE_OK) {
        cli_failure();
    } else {
        const oce_dataset *main = data.train != NULL ? data.train : data.test;
        if (!s->given->quiet)
            fprintf(stderr, "data: %s\n", oce_dataset_description(main));
        cli_start_compare(start, data.train, model_options, train_options);
        code = run_device(s, &data, start, model_options, train_options);
    }
    cli_data_close(&data);
    return code;
}

static int run_session(session *s) {
    oce_model_options model_options = oce_recipe_model_options(&s->recipe, default_seed);
    oce_train_options train_options = oce_recipe_train_options(&s->recipe, default_seed);
    cli_start start;
    if (cli_start_find(s->given, s->recipe.network, &start, &model_options, &train_options) !=
        OCE_OK)
        return cli_failure();
    if (start.mode == CLI_START_REFUSED)
        return cli_error("%s holds a run already: --start-from needs another --model-dir",
                         s->given->model_dir);
    cli_train_settings(s->call, &model_options, &train_options);
    model_options.training = start.mode != CLI_START_TEST;
    if (model_options.micro_batches > 0 && model_options.batch % model_options.micro_batches != 0)
        return cli_usage_error(
            s->call->verb, "--micro-batches %lld does not divide the batch of %lld",
            (long long)model_options.micro_batches, (long long)model_options.batch);
    const oce_save_options save = {
        .folder = s->given->model_dir,
        .name = "model",
        .every = s->given->save_every,
        .at_end = s->given->save_final,
        .saver = {.max_to_keep = (int)s->given->max_to_keep,
                  .keep_every_seconds = 3600 * s->given->keep_every_hours}};
    if (s->given->model_dir != NULL)
        train_options.save = &save;
    return run_data(s, &start, &model_options, &train_options);
}

static int run(const cli_call *call) {
    session s = {.call = call, .given = call->options};
    static const char *const networks[] = {"mnist", "cifar10", NULL};
    if (cli_choose(call->verb, "network", networks, call->operands[0]) < 0)
        return CLI_USAGE;
    if (oce_recipe_get(call->operands[0], &s.recipe) != OCE_OK)
        return cli_failure();
    return cli_train_check(call, &s.recipe) ? run_session(&s) : CLI_USAGE;
}

const cli_verb cli_verb_train = {
    .name = "train",
    .operands = "mnist|cifar10",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "trains a classifier and tests it",
    .description =
        "Trains the network as the TensorFlow tutorial does, unless options say otherwise, prints "
        "loss and accuracy as it goes, and at the end the accuracy on all test images.\n\n"
        "With --model-dir it saves TensorFlow checkpoints. A run that was interrupted, whatever "
        "the "
        "way, and resumed with --resume ends with the same bits as one that never stopped.\n\n"
        "Ctrl-C ends it after the current step with exit code 130; a second one at once.",
    .options = cli_train_options,
    .options_bytes = sizeof(cli_train_values),
    .run = run,
};
