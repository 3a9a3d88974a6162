/* Whole training steps: the same seed must give the same bits, and a step must lower the loss. */
#include "selftest/check.h"

#include "base/status.h"

#include <ocelli/train.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 4, QUICK_BATCH = 4, CLASSES = 10 };

typedef struct trained {
    float *parameters; /* all variables, one after the other */
    float losses[STEPS];
} trained;

static size_t parameter_count(const oce_model *model) {
    size_t count = 0;
    for (int i = 0; i < oce_model_variable_count(model); i++) {
        oce_variable variable;
        oce_model_variable(model, i, &variable);
        count += (size_t)variable.count;
    }
    return count;
}

static oce_status train(oce_check *check, oce_model *model, const uint8_t *images,
                        const uint8_t *labels, float rate, trained *result) {
    void *block = NULL;
    OCE_TRY(oce_check_block(check, parameter_count(model) * sizeof(float), &block));
    result->parameters = block;
    OCE_TRY(oce_model_allocate(model));
    for (int step = 0; step < STEPS; step++)
        OCE_TRY(oce_model_train_step(model, images, labels, rate));
    for (int step = 0; step < STEPS; step++) {
        oce_metrics metrics;
        OCE_TRY(oce_model_step_metrics(model, (uint64_t)step, &metrics));
        result->losses[step] = (float)metrics.loss;
    }
    float *to = result->parameters;
    for (int i = 0; i < oce_model_variable_count(model); i++) {
        oce_variable variable;
        oce_model_variable(model, i, &variable);
        OCE_TRY(oce_model_get(model, i, OCE_VARIABLE_VALUE, to, variable.count));
        to += variable.count;
    }
    return OCE_OK;
}

static oce_status train_twice(oce_check *check, const oce_recipe *recipe,
                              const oce_model_options *options, trained results[2],
                              size_t *parameters) {
    const oce_network *network = recipe->network;
    const size_t image = (size_t)(network->height * network->width * network->channels);
    uint8_t *images = NULL, *labels = NULL;
    OCE_TRY(oce_check_bytes(check, (size_t)options->batch * image, 256, &images));
    OCE_TRY(oce_check_bytes(check, (size_t)options->batch, CLASSES, &labels));
    for (int i = 0; i < 2; i++) {
        oce_model *model = NULL;
        OCE_TRY(oce_model_create(check->device, network, options, &model));
        *parameters = parameter_count(model);
        const oce_status status =
            train(check, model, images, labels, options->optimizer.learning_rate, &results[i]);
        oce_model_destroy(model);
        OCE_TRY(status);
    }
    return OCE_OK;
}

static oce_status check_network(oce_check *check, const char *name) {
    oce_recipe recipe;
    OCE_TRY(oce_recipe_get(name, &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.input_scale = 1.0F / 255.0F;
    options.optimizer = oce_optimizer_defaults(OCE_OPTIMIZER_SGD, 1e-3F);
    options.keep_prob = 1;
    if (check->options->quick)
        options.batch = QUICK_BATCH;
    oce_check_subject bits = {.operation = "same seed, same bits"},
                      loss = {.operation = "training"};
    snprintf(bits.shape, sizeof bits.shape, "%s, %d steps of %lld images", name, STEPS,
             (long long)options.batch);
    memcpy(loss.shape, bits.shape, sizeof loss.shape);
    if (!oce_check_wanted(check, &bits) && !oce_check_wanted(check, &loss))
        return OCE_OK;
    trained results[2] = {{0}};
    size_t parameters = 0;
    oce_check_start(check);
    oce_status status = train_twice(check, &recipe, &options, results, &parameters);
    if (status == OCE_OK) {
        const int64_t dim[4] = {1, 1, 1, (int64_t)parameters};
        oce_check_compare(check, &bits, results[1].parameters, results[0].parameters, dim);
        const float first = results[0].losses[0], last = results[0].losses[STEPS - 1];
        if (!(isfinite(last) && last < first))
            status = oce_fail((oce_status)OCE_CHECK_WRONG,
                              "%d steps on one batch took the loss from %g to %g", STEPS,
                              (double)first, (double)last);
    }
    oce_check_status(check, &loss, status);
    return OCE_OK;
}

oce_status oce_selftest_models(oce_check *check) {
    return oce_check_networks(check, check_network);
}
