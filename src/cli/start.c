#include "cli/start.h"

#include <ocelli/model_file.h>

#include <stdlib.h>
#include <string.h>

/* The step at the end of a prefix such as "model/model-2900"; 0 if there is none. */
static uint64_t step_of(const char *prefix) {
    const char *dash = strrchr(prefix, '-');
    return dash != NULL ? strtoull(dash + 1, NULL, 10) : 0;
}

static oce_status find_settings(cli_start *start, const oce_network *network,
                                oce_model_options *model, oce_train_options *train) {
    oce_sidecar *sidecar = NULL;
    oce_status status = oce_sidecar_read(start->prefix, &sidecar);
    if (status == OCE_ERROR_NOT_FOUND || status == OCE_ERROR_CHECKSUM) {
        snprintf(start->problem, sizeof start->problem, "%s", oce_last_error());
        start->step = step_of(start->prefix);
        return OCE_OK;
    }
    if (status == OCE_OK)
        status = oce_run_settings(sidecar, network, model, train, &start->step, &start->examples);
    oce_sidecar_destroy(sidecar);
    start->has_settings = status == OCE_OK;
    start->model = *model;
    start->train = *train;
    return status;
}

oce_status cli_start_find(const cli_train_values *given, const oce_network *network,
                          cli_start *start, oce_model_options *model, oce_train_options *train) {
    *start = (cli_start){.mode = CLI_START_NEW};
    if (given->start_from != NULL) {
        start->mode = CLI_START_FROM;
        snprintf(start->prefix, sizeof start->prefix, "%s", given->start_from);
    }
    if (given->model_dir == NULL)
        return OCE_OK;
    char newest[sizeof start->prefix];
    const oce_status status = oce_checkpoint_latest(given->model_dir, newest, sizeof newest);
    if (status == OCE_ERROR_NOT_FOUND) {
        if (given->resume)
            fprintf(stderr, "nothing to resume (%s): a new run\n", oce_last_error());
        return OCE_OK;
    }
    if (status != OCE_OK)
        return status;
    if (start->mode == CLI_START_FROM) {
        start->mode = CLI_START_REFUSED;
        return OCE_OK;
    }
    snprintf(start->prefix, sizeof start->prefix, "%s", newest);
    start->mode = given->resume ? CLI_START_RESUME : CLI_START_TEST;
    return given->resume ? find_settings(start, network, model, train) : OCE_OK;
}

void cli_start_compare(const cli_start *start, const oce_dataset *train_set,
                       const oce_model_options *model, const oce_train_options *train) {
    const char *difference = NULL;
    if (start->mode != CLI_START_RESUME)
        return;
    if (!start->has_settings)
        fprintf(
            stderr,
            "warning: %s has no sidecar to rely on (%s): step %llu is taken from its name, and the "
            "run is resumed inexactly\n",
            start->prefix, start->problem, (unsigned long long)start->step);
    else if (!oce_run_settings_equal(&start->model, &start->train, model, train, &difference))
        fprintf(stderr,
                "warning: \"%s\" is not what %s was trained with: the run is resumed inexactly\n",
                difference, start->prefix);
    else if (oce_dataset_count(train_set) != start->examples)
        fprintf(stderr,
                "warning: %lld training images, %s was trained on %lld: the run is resumed "
                "inexactly\n",
                (long long)oce_dataset_count(train_set), start->prefix, (long long)start->examples);
}

oce_status cli_start_load(const cli_start *start, oce_model *model) {
    static const oce_load_parts parts[] = {[CLI_START_TEST] = OCE_LOAD_VARIABLES,
                                           [CLI_START_RESUME] = OCE_LOAD_ALL,
                                           [CLI_START_FROM] = OCE_LOAD_ANY_SLOTS};
    if (start->mode == CLI_START_NEW)
        return OCE_OK;
    const oce_status status = oce_model_load(model, start->prefix, parts[start->mode], NULL);
    if (status != OCE_OK)
        return status;
    oce_model_state state = oce_model_get_state(model);
    if (start->mode == CLI_START_RESUME)
        state.step = start->step;
    oce_model_set_state(model, &state);
    fprintf(stderr, "restored %s\n", start->prefix);
    return OCE_OK;
}
