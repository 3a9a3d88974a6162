#define _POSIX_C_SOURCE 200809L
#include "cli/saved_model.h"

#include "cli/compilers.h"
#include "cli/open_device.h"

#include <ocelli/checkpoint.h>
#include <ocelli/model_file.h>

#include <string.h>
#include <sys/stat.h>

static const char index_ending[] = ".index";

/* Writes "<folder>/<name>" ("<name>" without a folder) into `path`; false after an error. */
static bool join(const char *folder, const char *name, char path[CLI_PATH_BYTES]) {
    const bool alone = folder == NULL || name[0] == '/';
    const int length =
        snprintf(path, CLI_PATH_BYTES, "%s%s%s", alone ? "" : folder, alone ? "" : "/", name);
    /* what is appended to a prefix must fit too */
    if (length >= 0 && length < CLI_PATH_BYTES - 64)
        return true;
    cli_error("the path is too long: %s", name);
    return false;
}

static bool has_index(const char *prefix) {
    char path[CLI_PATH_BYTES + sizeof index_ending];
    struct stat facts;
    snprintf(path, sizeof path, "%s%s", prefix, index_ending);
    return stat(path, &facts) == 0 && !S_ISDIR(facts.st_mode);
}

/* Takes ".index" off the end where what is left is a checkpoint. */
static void drop_ending(char *prefix) {
    const size_t length = strlen(prefix), tail = strlen(index_ending);
    if (length <= tail || strcmp(prefix + length - tail, index_ending) != 0 || has_index(prefix))
        return;
    prefix[length - tail] = '\0';
    if (!has_index(prefix))
        prefix[length - tail] = '.';
}

bool cli_find_checkpoint(const char *path, char prefix[CLI_PATH_BYTES]) {
    struct stat facts;
    if (!join(NULL, path, prefix))
        return false;
    drop_ending(prefix);
    if (has_index(prefix) || stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode))
        return true;
    if (oce_checkpoint_latest(path, prefix, CLI_PATH_BYTES) == OCE_OK)
        return true;
    cli_failure();
    return false;
}

int cli_find_saved(const cli_call *call, const cli_saved_values *given,
                   char prefix[CLI_PATH_BYTES]) {
    char alone[CLI_PATH_BYTES];
    if (given->model_dir == NULL && given->checkpoint == NULL)
        return cli_usage_error(call->verb, "--model-dir or --checkpoint must be given");
    if (given->checkpoint == NULL)
        return oce_checkpoint_latest(given->model_dir, prefix, CLI_PATH_BYTES) == OCE_OK
                   ? CLI_SUCCESS
                   : cli_failure();
    if (!join(NULL, given->checkpoint, alone) || !join(given->model_dir, given->checkpoint, prefix))
        return CLI_FAILURE;
    drop_ending(alone);
    drop_ending(prefix);
    if (has_index(alone) || !has_index(prefix))
        strcpy(prefix, alone);
    return CLI_SUCCESS;
}

/* What the run that saved the checkpoint multiplied pixels by, if its sidecar says so. False after
 * an error. */
static bool find_scale(const oce_network *network, const char *prefix, oce_model_options *options) {
    oce_recipe recipe;
    oce_sidecar *sidecar = NULL;
    uint64_t step = 0;
    int64_t examples = 0;
    oce_status status = oce_sidecar_read(prefix, &sidecar);
    if (status == OCE_ERROR_NOT_FOUND)
        return true;
    if (status == OCE_ERROR_CHECKSUM || status == OCE_ERROR_FORMAT) {
        fprintf(stderr, "ocelli: warning: %s: the network's own input scale is taken\n",
                oce_last_error());
        return true;
    }
    if (status == OCE_OK)
        status = oce_recipe_get(network->name, &recipe);
    if (status == OCE_OK) {
        oce_model_options run = *options;
        oce_train_options train = oce_recipe_train_options(&recipe, 0);
        status = oce_run_settings(sidecar, network, &run, &train, &step, &examples);
        options->input_scale = run.input_scale;
    }
    oce_sidecar_destroy(sidecar);
    if (status != OCE_OK)
        cli_error("%s: %s", prefix, oce_last_error());
    return status == OCE_OK;
}

bool cli_saved_open(const char *network, const cli_saved_values *given, const char *prefix,
                    int64_t batch, cli_saved_model *saved) {
    oce_recipe recipe;
    *saved = (cli_saved_model){.quiet = given->quiet};
    if (oce_recipe_get(network, &recipe) != OCE_OK) {
        cli_failure();
        return false;
    }
    oce_model_options options = oce_recipe_model_options(&recipe, 0);
    options.training = false;
    options.batch = batch;
    options.micro_batches = 0; /* fitted */
    options.no_winograd = given->winograd == CLI_WINOGRAD_OFF;
    if (!find_scale(recipe.network, prefix, &options))
        return false;
    if (given->input_scale > 0)
        options.input_scale = (float)given->input_scale;
    if (cli_open_device(given->device, given->quiet, &saved->device) != OCE_OK) {
        cli_failure();
        return false;
    }
    if (!cli_compilers_start(saved->device, recipe.network, &options))
        return false;
    if (cli_plan_model(saved->device, recipe.network, &options, &saved->model) != OCE_OK ||
        oce_model_allocate(saved->model) != OCE_OK ||
        oce_model_load(saved->model, prefix, OCE_LOAD_VARIABLES, NULL) != OCE_OK) {
        cli_failure();
        return false;
    }
    if (!given->quiet)
        fprintf(stderr, "restored %s\n", prefix);
    return true;
}

void cli_saved_close(cli_saved_model *saved, bool is_done) {
    oce_model_destroy(saved->model);
    cli_close_device(saved->device, is_done, saved->quiet);
    *saved = (cli_saved_model){0};
}
