/* Checkpoints that options and operands name, and models made of them. */
#ifndef CLI_SAVED_MODEL_H
#define CLI_SAVED_MODEL_H

#include "cli/train_options.h"

#include <ocelli/model.h>
#include <ocelli/train.h>

#include <stdbool.h>
#include <stddef.h>

enum { CLI_PATH_BYTES = 4096 };

typedef struct cli_saved_values {
    const char *device;
    const char *model_dir, *checkpoint;
    double input_scale; /* 0: that of the run, or by network */
    int64_t batch;
    int winograd; /* place in cli_winograd_choices */
    bool quiet;
} cli_saved_values;

#define CLI_SAVED_OPTIONS(record, field)                                                           \
    CLI_DEVICE_OPTION(record, field.device),                                                       \
        {"model-dir", "DIR", CLI_STRING(record, field.model_dir),                                  \
         .help = "folder of a training run; its newest checkpoint is taken"},                      \
        {"checkpoint", "PREFIX", CLI_STRING(record, field.checkpoint),                             \
         .help =                                                                                   \
             "this checkpoint instead (PREFIX.index is there), for instance model/model-2900; "    \
             "also relative to --model-dir"},                                                      \
        {"batch",                                                                                  \
         "N",                                                                                      \
         CLI_INT(record, field.batch),                                                             \
         .initial = "100",                                                                         \
         .min = 1,                                                                                 \
         .max = 1 << 20,                                                                           \
         .help = "images computed at a time"},                                                     \
        {"input-scale",                                                                            \
         "S",                                                                                      \
         CLI_REAL(record, field.input_scale),                                                      \
         .low = 0,                                                                                 \
         .high = 1e6,                                                                              \
         .above_low = true,                                                                        \
         .shown_initial = "as the model was trained",                                              \
         .help = "a pixel byte is multiplied by it"},                                              \
        CLI_WINOGRAD_OPTION(record, field.winograd), CLI_QUIET_OPTION(record, field.quiet)

/* Finds the checkpoint that `path` names: a prefix, its .index file, or a folder, whose newest one
 * it is. False after an error was printed. */
bool cli_find_checkpoint(const char *path, char prefix[CLI_PATH_BYTES]);

/* The same for --model-dir and --checkpoint; one of them must be given. Returns the exit code. */
int cli_find_saved(const cli_call *call, const cli_saved_values *given,
                   char prefix[CLI_PATH_BYTES]);

typedef struct cli_saved_model {
    oce_device *device;
    oce_model *model; /* for forward passes, loaded */
    bool quiet;
} cli_saved_model;

/* Opens the device and loads checkpoint `prefix` of the network, for at most `batch` images at a
 * time; cli_saved_close() it also after a failure. False after an error was printed. */
bool cli_saved_open(const char *network, const cli_saved_values *given, const char *prefix,
                    int64_t batch, cli_saved_model *saved);
void cli_saved_close(cli_saved_model *saved, bool is_done);

#endif
