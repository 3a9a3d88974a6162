#include "cli/train_options.h"

#include "cli/open_device.h"

#include <string.h>

const char *const cli_conv_families[] = {"auto",   "naive",         "direct", "winograd",
                                         "im2col", "implicit_gemm", NULL};
const char *const cli_winograd_choices[] = {"on", "off", NULL};
const char *const cli_gemm_families[] = {"auto", "naive", "panel", "clblast",
                                         "thin", "tiled", "own",   NULL};

static const char *const shuffles[] = {"epoch", "draw", "none", NULL};
static const char *const optimizers[] = {"sgd", "momentum", "adam", "rmsprop", NULL};
static const char *const schedules[] = {"constant", "step", "cosine", NULL};

#define VALUES cli_train_values
#define MAX_STEPS INT64_C(1000000000)

const cli_option cli_train_options[] = {
    CLI_DEVICE_OPTION(VALUES, device),
    CLI_DATA_OPTION(VALUES, data),
    {"train-file", "FILE", CLI_STRING(VALUES, data.train_file),
     .help = "cifar10: train on this one file of records, gzipped or not"},
    {"test-file", "FILE", CLI_STRING(VALUES, data.test_file),
     .help = "cifar10: test on this one file of records, gzipped or not"},
    {"hold-out", "N", CLI_INT(VALUES, data.hold_out), .initial = "5000", .min = 1, .max = MAX_STEPS,
     .help = "cifar10 with --validate-every: images at the end of the training set that validate "
             "and are not trained on"},
    {"steps", "N", CLI_INT(VALUES, steps), .min = 0, .max = MAX_STEPS,
     .shown_initial = "3000 for mnist, 10000 for cifar10", .help = "training steps"},
    CLI_MODEL_OPTIONS(VALUES, model),
    {"optimizer", NULL, CLI_CHOICE(VALUES, optimizer), .choices = optimizers,
     .shown_initial = "adam for mnist, rmsprop for cifar10", .help = "how parameters are updated"},
    {"learning-rate", "R", CLI_REAL(VALUES, learning_rate), .low = 0, .high = 1e6,
     .shown_initial = "1e-4 for mnist, 1e-3 for cifar10", .help = "at step 0 of the schedule"},
    {"schedule", NULL, CLI_CHOICE(VALUES, schedule), .choices = schedules, .initial = "constant",
     .help = "of the learning rate: step multiplies it by --factor after every --period steps, "
             "cosine falls to --factor of it over --period steps"},
    {"period", "N", CLI_INT(VALUES, period), .min = 1, .max = MAX_STEPS, .shown_initial = "--steps",
     .help = "steps of the schedule"},
    {"factor", "F", CLI_REAL(VALUES, factor), .low = 0, .high = 1,
     .shown_initial = "0.1 for step, 0 for cosine", .help = "of the schedule"},
    {"warm-up", "N", CLI_INT(VALUES, warm_up), .min = 0, .max = MAX_STEPS,
     .help = "first steps over which the learning rate rises"},
    {"momentum", "M", CLI_REAL(VALUES, momentum), .low = 0, .high = 1,
     .shown_initial = "0.9 for momentum, 0 for rmsprop", .help = "of momentum and rmsprop"},
    {"beta1", "B", CLI_REAL(VALUES, beta1), .initial = "0.9", .low = 0, .high = 1,
     .help = "of adam"},
    {"beta2", "B", CLI_REAL(VALUES, beta2), .initial = "0.999", .low = 0, .high = 1,
     .help = "of adam"},
    {"decay", "D", CLI_REAL(VALUES, decay), .initial = "0.9", .low = 0, .high = 1,
     .help = "of rmsprop"},
    {"epsilon", "E", CLI_REAL(VALUES, epsilon), .low = 0, .high = 1,
     .shown_initial = "1e-8 for adam, 1e-10 for rmsprop", .help = "of adam and rmsprop"},
    {"keep-prob", "P", CLI_REAL(VALUES, keep_prob), .low = 0, .high = 1, .above_low = true,
     .shown_initial = "0.8 for cifar10", .help = "share that dropout keeps in training"},
    {"input-scale", "S", CLI_REAL(VALUES, input_scale), .low = 0, .high = 1e6, .above_low = true,
     .shown_initial = "1/255 for mnist, 1 for cifar10", .help = "a pixel byte is multiplied by it"},
    {"augment", NULL, CLI_FLAG(VALUES, augment),
     .help = "flip training images left to right and shift them by up to 4 pixels, at random"},
    {"shuffle", NULL, CLI_CHOICE(VALUES, shuffle), .choices = shuffles,
     .shown_initial = "epoch for mnist, draw for cifar10",
     .help = "order of the images: epoch takes each once before any comes again, draw draws every "
             "batch afresh, none keeps the file's order"},
    {"seed", "N", CLI_INT(VALUES, seed), .initial = "1", .min = 0, .max = INT64_MAX,
     .help = "of everything random; the same seed on the same device gives the same bits"},
    {"log-every", "N", CLI_INT(VALUES, log_every), .initial = "100", .min = 1, .max = MAX_STEPS,
     .help = "print loss and accuracy on the coming batch at every N-th step"},
    {"log", "FILE", CLI_STRING(VALUES, log),
     .help = "write every log and the result to FILE too, as lines of JSON"},
    {"validate-every", "N", CLI_INT(VALUES, validate_every), .min = 0, .max = MAX_STEPS,
     .help = "accuracy on the validation set at every N-th step; 0: never"},
    {"test-every", "N", CLI_INT(VALUES, test_every), .min = 0, .max = MAX_STEPS,
     .help = "accuracy on the test set at every N-th step; 0: only at the end"},
    {"model-dir", "DIR", CLI_STRING(VALUES, model_dir),
     .help = "save checkpoints there; if it holds one already, restore it, test it and stop"},
    {"save-every", "N", CLI_INT(VALUES, save_every), .initial = "100", .min = 1, .max = MAX_STEPS,
     .help = "save at every N-th step, before its update"},
    {"save-final", NULL, CLI_FLAG(VALUES, save_final), .help = "save after the last step too"},
    {"max-to-keep", "N", CLI_INT(VALUES, max_to_keep), .initial = "5", .min = 0, .max = 1000000,
     .help = "keep the newest N checkpoints; 0: all"},
    {"keep-every-hours", "H", CLI_REAL(VALUES, keep_every_hours), .initial = "10000", .low = 0,
     .high = 1e9, .above_low = true, .help = "keep one checkpoint every H hours for good"},
    {"resume", NULL, CLI_FLAG(VALUES, resume),
     .help = "go on from the newest checkpoint of --model-dir with its settings"},
    {"start-from", "PREFIX", CLI_STRING(VALUES, start_from),
     .help = "start a new run with the variables, and the optimizer's slots if there, of this "
             "checkpoint"},
    {"profile", NULL, CLI_FLAG(VALUES, profile),
     .help =
         "print time, GFLOPS, share of the measured peak, GB/s and algorithm of every layer and "
         "pass: of the training, evaluations on the way included, without the test at its end; "
         "of the test, if a model is restored for it alone"},
    CLI_QUIET_OPTION(VALUES, quiet),
    {0},
};

static bool wrong(const cli_call *call, const char *text) {
    cli_usage_error(call->verb, "%s", text);
    return false;
}

bool cli_check_winograd(const cli_call *call, int conv, int winograd) {
    if (conv != OCE_CONV2D_WINOGRAD || winograd != CLI_WINOGRAD_OFF)
        return true;
    return wrong(call, "--conv winograd and --winograd off exclude each other");
}

bool cli_train_check(const cli_call *call, const oce_recipe *recipe) {
    const cli_train_values *given = call->options;
    const bool has_files = given->data.train_file != NULL || given->data.test_file != NULL;
    static const char *const of_saving[] = {"save-every", "save-final", "max-to-keep",
                                            "keep-every-hours", "resume"};
    if (!cli_check_winograd(call, given->model.conv, given->model.winograd))
        return false;
    if (has_files && recipe->network != oce_network_cifar10())
        return wrong(call, "--train-file and --test-file are for cifar10 only");
    for (size_t i = 0; i < sizeof of_saving / sizeof of_saving[0]; i++)
        if (given->model_dir == NULL && cli_given(call, of_saving[i])) {
            cli_usage_error(call->verb, "--%s needs --model-dir", of_saving[i]);
            return false;
        }
    if (given->resume && given->start_from != NULL)
        return wrong(call, "--resume and --start-from exclude each other");
    return true;
}

/* Replaces the optimizer's values that were given; another optimizer starts from its defaults. */
static void change_optimizer(const cli_call *call, oce_optimizer_desc *desc) {
    const cli_train_values *given = call->options;
    if (cli_given(call, "optimizer"))
        *desc = oce_optimizer_defaults((oce_optimizer_kind)given->optimizer, desc->learning_rate);
    if (cli_given(call, "learning-rate"))
        desc->learning_rate = (float)given->learning_rate;
    if (cli_given(call, "beta1"))
        desc->beta1 = (float)given->beta1;
    if (cli_given(call, "beta2"))
        desc->beta2 = (float)given->beta2;
    if (cli_given(call, "decay"))
        desc->decay = (float)given->decay;
    if (cli_given(call, "momentum"))
        desc->momentum = (float)given->momentum;
    if (cli_given(call, "epsilon"))
        desc->epsilon = (float)given->epsilon;
}

static void change_schedule(const cli_call *call, uint64_t steps, oce_schedule *schedule) {
    const cli_train_values *given = call->options;
    if (cli_given(call, "learning-rate"))
        schedule->base = (float)given->learning_rate;
    if (cli_given(call, "schedule")) {
        schedule->kind = (oce_schedule_kind)given->schedule;
        schedule->period = steps > 0 ? (int64_t)steps : 1;
        schedule->factor = given->schedule == OCE_SCHEDULE_STEP ? 0.1F : 0.0F;
    }
    if (cli_given(call, "period"))
        schedule->period = given->period;
    if (cli_given(call, "factor"))
        schedule->factor = (float)given->factor;
    if (cli_given(call, "warm-up"))
        schedule->warm_up = given->warm_up;
}

static void change_model(const cli_call *call, oce_model_options *model) {
    const cli_train_values *given = call->options;
    if (given->model.batch > 0)
        model->batch = given->model.batch;
    if (given->model.micro_batches > 0)
        model->micro_batches = given->model.micro_batches;
    if (cli_given(call, "conv"))
        model->conv2d_family = (oce_conv2d_family)given->model.conv;
    if (cli_given(call, "gemm"))
        model->gemm_family = (oce_gemm_family)given->model.gemm;
    if (cli_given(call, "winograd"))
        model->no_winograd = given->model.winograd == CLI_WINOGRAD_OFF;
    if (cli_given(call, "keep-prob"))
        model->keep_prob = (float)given->keep_prob;
    if (cli_given(call, "input-scale"))
        model->input_scale = (float)given->input_scale;
    if (cli_given(call, "augment"))
        model->augment = given->augment;
    change_optimizer(call, &model->optimizer);
}

void cli_train_settings(const cli_call *call, oce_model_options *model, oce_train_options *train) {
    const cli_train_values *given = call->options;
    if (cli_given(call, "seed"))
        model->seed = train->seed = (uint64_t)given->seed;
    if (cli_given(call, "steps"))
        train->steps = (uint64_t)given->steps;
    if (cli_given(call, "shuffle"))
        train->shuffle = (oce_shuffle)given->shuffle;
    train->log_every = given->log_every;
    train->validate_every = given->validate_every;
    train->test_every = given->test_every;
    change_schedule(call, train->steps, &train->learning_rate);
    change_model(call, model);
}

oce_status cli_plan_model(oce_device *device, const oce_network *network,
                          const oce_model_options *options, oce_model **model) {
    oce_model_options fitted = *options;
    if (fitted.micro_batches == 0) {
        const oce_status status = oce_model_fit(device, network, options, &fitted.micro_batches);
        if (status != OCE_OK)
            return status;
    }
    const oce_status status = oce_model_create(device, network, &fitted, model);
    cli_print_notices(device);
    return status;
}
