/* What `ocelli train` starts from: nothing, a checkpoint to test, to resume, or to begin with. */
#ifndef CLI_START_H
#define CLI_START_H

#include "cli/train_options.h"

typedef enum cli_start_mode {
    CLI_START_NEW,    /* a new run */
    CLI_START_TEST,   /* --model-dir holds a checkpoint: test it and stop */
    CLI_START_RESUME, /* --resume: go on from it */
    CLI_START_FROM,   /* --start-from: a new run with its variables */
    CLI_START_REFUSED /* --start-from, but --model-dir holds a run already */
} cli_start_mode;

typedef struct cli_start {
    cli_start_mode mode;
    char prefix[4096]; /* the checkpoint; "" for a new run */
    uint64_t step;     /* RESUME: to go on from */
    char problem[512]; /* RESUME: what is wrong with its sidecar */
    bool has_settings; /* RESUME: nothing, and the sidecar's settings follow */
    int64_t examples;
    oce_model_options model;
    oce_train_options train;
} cli_start;

/* Looks for the checkpoint. If its run is to be resumed, *model and *train become its settings. */
oce_status cli_start_find(const cli_train_values *given, const oce_network *network,
                          cli_start *start, oce_model_options *model, oce_train_options *train);

/* Says on stderr why a resumed run will not end with the bits of the first one, if it will not. */
void cli_start_compare(const cli_start *start, const oce_dataset *train_set,
                       const oce_model_options *model, const oce_train_options *train);

/* Loads the checkpoint into the model. */
oce_status cli_start_load(const cli_start *start, oce_model *model);

#endif
