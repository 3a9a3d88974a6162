/* The options of `ocelli train`, and what they mean for the library. */
#ifndef CLI_TRAIN_OPTIONS_H
#define CLI_TRAIN_OPTIONS_H

#include "cli/data_set.h"

#include <ocelli/train.h>

/* Options that plan a model; `ocelli info` has them too. */
typedef struct cli_model_values {
    int64_t batch, micro_batches; /* 0: by network; automatic */
    int conv, gemm;               /* oce_conv2d_family, oce_gemm_family */
    int winograd;                 /* place in cli_winograd_choices */
} cli_model_values;

/* --winograd: what AUTO may choose for convolutions. */
enum { CLI_WINOGRAD_ON, CLI_WINOGRAD_OFF };
extern const char *const cli_winograd_choices[];

#define CLI_WINOGRAD_OPTION(record, field)                                                         \
    {                                                                                              \
        "winograd", NULL, CLI_CHOICE(record, field),                                               \
            .choices = cli_winograd_choices, .initial = "on",                                      \
            .help = "off: convolutions left to auto compute plain sums, slower but with half of "  \
                    "the rounding error"                                                           \
    }

extern const char *const cli_conv_families[];
extern const char *const cli_gemm_families[];

#define CLI_MODEL_OPTIONS(record, field)                                                           \
    {"batch",                                                                                      \
     "N",                                                                                          \
     CLI_INT(record, field.batch),                                                                 \
     .min = 1,                                                                                     \
     .max = 1 << 20,                                                                               \
     .shown_initial = "50 for mnist, 128 for cifar10",                                             \
     .help = "images of a training step"},                                                         \
        {"micro-batches",                                                                          \
         "N",                                                                                      \
         CLI_INT(record, field.micro_batches),                                                     \
         .min = 1,                                                                                 \
         .max = 1 << 20,                                                                           \
         .shown_initial = "as few as fit the device",                                              \
         .help = "parts that a batch is computed in to save memory; must divide the batch"},       \
        {"conv",                                                                                   \
         NULL,                                                                                     \
         CLI_CHOICE(record, field.conv),                                                           \
         .choices = cli_conv_families,                                                             \
         .initial = "auto",                                                                        \
         .help = "algorithm of all convolutions that it can compute; the rest is left to auto"},   \
        {"gemm",                                                                                   \
         NULL,                                                                                     \
         CLI_CHOICE(record, field.gemm),                                                           \
         .choices = cli_gemm_families,                                                             \
         .initial = "auto",                                                                        \
         .help = "algorithm of all matrix products, in the same way"},                             \
        CLI_WINOGRAD_OPTION(record, field.winograd)

/* Whether a family of convolutions (--conv) and --winograd agree; false after a usage error. */
bool cli_check_winograd(const cli_call *call, int conv, int winograd);

typedef struct cli_train_values {
    const char *device;
    cli_data_options data;
    cli_model_values model;
    int64_t steps, seed, log_every, validate_every, test_every;
    int shuffle, optimizer, schedule; /* oce_shuffle, oce_optimizer_kind, oce_schedule_kind */
    double learning_rate, momentum, beta1, beta2, decay, epsilon;
    int64_t period, warm_up;
    double factor, keep_prob, input_scale;
    bool augment, quiet, profile;
    const char *log;
    const char *model_dir, *start_from;
    int64_t save_every, max_to_keep;
    double keep_every_hours;
    bool resume, save_final;
} cli_train_values;

extern const cli_option cli_train_options[];

/* Checks that the options fit each other and the network; false after a usage error. */
bool cli_train_check(const cli_call *call, const oce_recipe *recipe);

/* Changes *model and *train, the settings of a recipe or of a run to resume, where the command line
 * says so. */
void cli_train_settings(const cli_call *call, oce_model_options *model, oce_train_options *train);

/* Plans a model, with as few micro-batches as fit the device unless the options name a number. */
oce_status cli_plan_model(oce_device *device, const oce_network *network,
                          const oce_model_options *options, oce_model **model);

#endif
