/* ocelli predict: what a saved model takes pictures for. */
#define _POSIX_C_SOURCE 200809L
#include "cli/json.h"
#include "cli/saved_model.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <ocelli/image.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 3 }; /* classes of each picture */

typedef struct predict_values {
    cli_saved_values saved;
    bool json;
} predict_values;

static const cli_option options[] = {
    CLI_SAVED_OPTIONS(predict_values, saved),
    CLI_JSON_OPTION(predict_values, json),
    {0},
};

/* Pictures that wait to be computed together. */
typedef struct predictor {
    oce_model *model;
    const oce_network *network;
    oce_image_fit fit;
    int64_t classes;
    size_t image_bytes;      /* of one input */
    int64_t capacity, count; /* pictures */
    uint8_t *inputs;         /* [capacity, H, W, C] */
    float *probabilities;    /* [capacity, classes] */
    char **names;            /* [capacity], owned */
    json_t **results;        /* [capacity], borrowed from `all` */
    json_t *all;             /* NULL: text */
    bool failed;             /* a picture could not be read */
} predictor;

static bool predictor_start(predictor *p, oce_model *model, int64_t capacity, bool json) {
    const oce_network *network = oce_model_network(model);
    *p = (predictor){.model = model, .network = network, .capacity = capacity};
    p->fit = network == oce_network_mnist() ? OCE_IMAGE_DIGIT : OCE_IMAGE_CROP;
    p->classes = oce_model_classes(model);
    p->image_bytes = (size_t)(network->height * network->width * network->channels);
    p->inputs = malloc((size_t)capacity * p->image_bytes);
    p->probabilities = malloc((size_t)(capacity * p->classes) * sizeof *p->probabilities);
    p->names = calloc((size_t)capacity, sizeof *p->names);
    p->results = calloc((size_t)capacity, sizeof(json_t *));
    p->all = json ? json_array() : NULL;
    return p->inputs != NULL && p->probabilities != NULL && p->names != NULL &&
           p->results != NULL && (p->all != NULL) == json;
}

static void predictor_finish(predictor *p) {
    for (int64_t i = 0; i < p->count; i++)
        free(p->names[i]);
    free(p->inputs);
    free(p->probabilities);
    free(p->names);
    free(p->results);
    json_decref(p->all);
}

/* The classes with the largest probabilities, largest first. */
static void find_largest(const predictor *p, const float *probabilities, int64_t largest[SHOWN]) {
    for (int rank = 0; rank < SHOWN; rank++) {
        int64_t best = -1;
        for (int64_t class = 0; class < p->classes; class ++) {
            bool is_taken = false;
            for (int before = 0; before < rank; before++)
                is_taken = is_taken || largest[before] == class;
            if (!is_taken && (best < 0 || probabilities[class] > probabilities[best]))
                best = class;
        }
        largest[rank] = best;
    }
}

static void report(const predictor *p, int64_t index) {
    const float *probabilities = p->probabilities + index * p->classes;
    int64_t largest[SHOWN];
    json_t *top = json_array();
    find_largest(p, probabilities, largest);
    if (p->all == NULL)
        printf("%s:", p->names[index]);
    for (int rank = 0; rank < SHOWN; rank++) {
        const char *name = oce_class_name(p->network->name, largest[rank]);
        const double probability = (double)probabilities[largest[rank]];
        if (p->all == NULL)
            printf("%s %s %.2f %%", rank > 0 ? "," : "", name, 100 * probability);
        else
            json_array_append_new(top, json_pack("{s:I, s:s, s:o}", "class",
                                                 (json_int_t)largest[rank], "name", name,
                                                 "probability", cli_json_number(probability)));
    }
    if (p->all == NULL)
        putchar('\n');
    else
        json_object_set(p->results[index], "top", top);
    json_decref(top);
}

/* Computes and reports the waiting pictures. */
static oce_status flush(predictor *p) {
    const oce_status status =
        p->count > 0 ? oce_model_predict(p->model, p->inputs, p->count, p->probabilities) : OCE_OK;
    for (int64_t i = 0; i < p->count; i++) {
        if (status == OCE_OK)
            report(p, i);
        free(p->names[i]);
    }
    p->count = 0;
    fflush(stdout);
    return status;
}

/* Reads a picture and puts it with those that wait; one that cannot be read is reported at once. */
static oce_status add(predictor *p, const char *path) {
    const oce_network *network = p->network;
    const oce_status status =
        oce_image_load(path, p->fit, network->height, network->width, network->channels,
                       p->inputs + (size_t)p->count * p->image_bytes);
    json_t *result = p->all != NULL ? json_pack("{s:o}", "image", cli_json_text(path)) : NULL;
    if (p->all != NULL)
        json_array_append_new(p->all, result);
    char *name = status == OCE_OK ? strdup(path) : NULL;
    if (name == NULL) {
        const char *reason = status == OCE_OK ? "no memory for its name" : oce_last_error();
        if (p->all != NULL)
            json_object_set_new(result, "error", cli_json_text(reason));
        cli_error("%s", reason);
        p->failed = true;
        return OCE_OK;
    }
    cli_clean_text(name);
    p->names[p->count] = name;
    p->results[p->count++] = result;
    return p->count == p->capacity ? flush(p) : OCE_OK;
}

/* Pictures whose names come on standard input, one a line. */
static oce_status add_lines(predictor *p) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length = 0;
    oce_status status = OCE_OK;
    while (status == OCE_OK && (length = getline(&line, &room, stdin)) >= 0) {
        if (length > 0 && line[length - 1] == '\n')
            line[length - 1] = '\0';
        if (line[0] != '\0')
            status = add(p, line);
    }
    if (ferror(stdin)) {
        cli_error("reading names from standard input: %s", strerror(errno));
        p->failed = true;
    }
    free(line);
    return status;
}

static int predict(const cli_call *call, const char *prefix, predictor *p) {
    oce_status status = OCE_OK;
    for (int i = 1; i < call->operand_count && status == OCE_OK; i++)
        status = strcmp(call->operands[i], "-") == 0 ? add_lines(p) : add(p, call->operands[i]);
    if (status == OCE_OK)
        status = flush(p);
    if (status != OCE_OK)
        return cli_failure();
    int code = CLI_SUCCESS;
    if (p->all != NULL) {
        code = cli_json_print(json_pack("{s:s, s:o, s:O}", "network", p->network->name,
                                        "checkpoint", cli_json_text(prefix), "images", p->all));
    }
    return p->failed ? CLI_FAILURE : code;
}

/* Pictures to plan for: as many as are named, if that is known. */
static int64_t batch_of(const cli_call *call, int64_t most) {
    for (int i = 1; i < call->operand_count; i++)
        if (strcmp(call->operands[i], "-") == 0)
            return most;
    return call->operand_count - 1 < most ? call->operand_count - 1 : most;
}

static int run(const cli_call *call) {
    predict_values given = *(const predict_values *)call->options;
    static const char *const networks[] = {"mnist", "cifar10", NULL};
    char prefix[CLI_PATH_BYTES];
    cli_saved_model saved;
    predictor p = {0};
    const int network = cli_choose(call->verb, "network", networks, call->operands[0]);
    if (network < 0)
        return CLI_USAGE;
    given.saved.quiet = given.saved.quiet || given.json;
    int code = cli_find_saved(call, &given.saved, prefix);
    if (code != CLI_SUCCESS)
        return code;
    const int64_t batch = batch_of(call, given.saved.batch);
    if (!cli_saved_open(networks[network], &given.saved, prefix, batch, &saved))
        code = CLI_FAILURE;
    else if (!predictor_start(&p, saved.model, batch, given.json))
        code = cli_error("no memory for %lld pictures", (long long)batch);
    else
        code = predict(call, prefix, &p);
    predictor_finish(&p);
    cli_saved_close(&saved, code == CLI_SUCCESS);
    return code;
}

const cli_verb cli_verb_predict = {
    .name = "predict",
    .operands = "mnist|cifar10 IMAGE...",
    .min_operands = 2,
    .max_operands = INT_MAX,
    .summary = "classifies pictures with a saved model",
    .description =
        "Prints the three most probable classes of each picture: PNG, JPEG, BMP or PNM, of any "
        "size. The image \"-\" stands for names on standard input, one a line.\n\n"
        "For mnist a picture shows one digit, dark on light or light on dark; it is scaled and "
        "centred as MNIST's were, unless it has 28 x 28 pixels and is light on dark already. For "
        "cifar10 the centre is cropped to a square and scaled.\n\n"
        "A picture that cannot be read does not stop the others, but the exit code is 1.",
    .options = options,
    .options_bytes = sizeof(predict_values),
    .run = run,
};
