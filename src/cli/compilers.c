#define _XOPEN_SOURCE 700
#include "cli/compilers.h"
#include "cli/options.h"
#include "cli/train_options.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* With fewer new programs than this another process would come too late. */
enum { FEW_PROGRAMS = 4, USUAL_COMPILERS = 4, MOST_COMPILERS = 16 };

/* In the environment of the other processes: "0/1" is the first part of one. */
static const char part_variable[] = "OCELLI_COMPILER_PART";

extern char **environ;

static char **command;
static pid_t others[MOST_COMPILERS]; /* at most one model a command */
static int other_count;

void cli_compilers_init(char **argv) {
    command = argv;
}

/* Takes a step, or gives answers, with images and labels of zeros. */
static oce_status run_once(oce_model *model) {
    const oce_network *network = oce_model_network(model);
    const oce_model_options *options = oce_model_get_options(model);
    const size_t image = (size_t)(network->height * network->width * network->channels);
    const size_t batch = (size_t)options->batch, classes = (size_t)oce_model_classes(model);
    uint8_t *images = calloc(batch, image), *labels = calloc(batch, 1);
    float *probabilities = calloc(batch * classes, sizeof *probabilities);
    oce_metrics metrics;
    oce_status status = OCE_ERROR_HOST_MEMORY;
    if (images != NULL && labels != NULL && probabilities != NULL)
        status = oce_model_allocate(model);
    if (status == OCE_OK && options->training)
        status = oce_model_train_step(model, images, labels, 0);
    if (status == OCE_OK && !options->training)
        status = oce_model_predict(model, images, options->batch, probabilities);
    if (status == OCE_OK)
        status = oce_model_evaluate(model, images, labels, options->batch, &metrics, NULL);
    free(images);
    free(labels);
    free(probabilities);
    return status;
}

static oce_status compile_part(oce_device *device, oce_model *model, const char *text) {
    char *end = NULL;
    bool is_done = false;
    const int part = (int)strtol(text, &end, 10);
    const int parts = *end == '/' ? (int)strtol(end + 1, NULL, 10) : 0;
    oce_status status = oce_device_rehearse_builds(device, part, parts, &is_done);
    if (status != OCE_OK || is_done)
        return status;
    status = run_once(model);
    return status == OCE_OK ? oce_device_rehearse_launches(device, part, parts) : status;
}

/* Starts this command line with `variables` as environment and nothing on its standard streams. */
static bool start_compiler(char **variables, pid_t *process) {
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    const bool is_started =
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO) == 0 &&
        posix_spawnp(process, cli_own_program(), &actions, NULL, command, variables) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return is_started;
}

static void start_compilers(int parts) {
    char part[64];
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    char **variables = calloc(count + 2, sizeof *variables);
    if (variables == NULL)
        return;
    memcpy(variables, environ, count * sizeof *variables);
    variables[count] = part;
    for (int i = 0; i < parts; i++) {
        snprintf(part, sizeof part, "%s=%d/%d", part_variable, i, parts);
        other_count += start_compiler(variables, &others[other_count]);
    }
    free(variables);
}

/* False after an error message. */
static bool wanted_compilers(const oce_device *device, int *count) {
    const char *text = getenv("OCELLI_COMPILERS");
    const int units = (int)oce_device_get_info(device)->compute_units;
    *count = units < USUAL_COMPILERS ? units : USUAL_COMPILERS;
    if (text == NULL || text[0] == '\0')
        return true;
    char *end = NULL;
    const long given = strtol(text, &end, 10);
    if (*end != '\0' || given < 1 || given > MOST_COMPILERS) {
        cli_error("OCELLI_COMPILERS is \"%s\", not a number from 1 to %d", text, MOST_COMPILERS);
        return false;
    }
    *count = (int)given;
    return true;
}

bool cli_compilers_start(oce_device *device, const oce_network *network,
                         const oce_model_options *options) {
    const char *part = getenv(part_variable);
    oce_model *model = NULL;
    int count = 0;
    if (!wanted_compilers(device, &count))
        return false;
    if (part == NULL && count == 1)
        return true;
    /* What is wrong with the plan will be said when it is made in earnest. */
    const bool is_planned = oce_device_rehearse(device) == OCE_OK &&
                            cli_plan_model(device, network, options, &model) == OCE_OK;
    if (part != NULL)
        exit(is_planned && compile_part(device, model, part) == OCE_OK ? CLI_SUCCESS : CLI_FAILURE);
    if (is_planned && oce_device_new_programs(device) >= FEW_PROGRAMS)
        start_compilers(count - 1);
    oce_model_destroy(model);
    oce_device_end_rehearsal(device);
    return true;
}

void cli_compilers_stop(void) {
    for (int i = 0; i < other_count; i++)
        kill(others[i], SIGKILL);
    while (other_count > 0)
        waitpid(others[--other_count], NULL, 0);
}
