/* How the tutorial trains its two networks. */
#include <ocelli/train.h>

#include "base/status.h"

/* read_data_sets() multiplies by the float32 reciprocal, which is not the same as to divide. */
#define BYTE_TO_UNIT ((float)(1.0 / 255.0))

oce_status oce_recipe_get(const char *name, oce_recipe *recipe) {
    const oce_network *network = oce_network_find(name);
    OCE_REQUIRE(network != NULL, OCE_ERROR_NOT_FOUND, "there is no network \"%s\" (mnist, cifar10)",
                name);
    if (network == oce_network_mnist())
        *recipe = (oce_recipe){.network = network,
                               .steps = 3000,
                               .batch = 50,
                               .optimizer = OCE_OPTIMIZER_ADAM,
                               .learning_rate = 1e-4F,
                               .shuffle = OCE_SHUFFLE_EPOCH,
                               .input_scale = BYTE_TO_UNIT};
    else
        *recipe = (oce_recipe){.network = network,
                               .steps = 10000,
                               .batch = 128,
                               .optimizer = OCE_OPTIMIZER_RMSPROP,
                               .learning_rate = 1e-3F,
                               .shuffle = OCE_SHUFFLE_DRAW,
                               .input_scale = 1.0F,
                               .estimate_batches = 10,
                               .estimate_batch = 1000};
    return OCE_OK;
}

oce_model_options oce_recipe_model_options(const oce_recipe *recipe, uint64_t seed) {
    return (oce_model_options){
        .batch = recipe->batch,
        .training = true,
        .optimizer = oce_optimizer_defaults(recipe->optimizer, recipe->learning_rate),
        .input_scale = recipe->input_scale,
        .seed = seed,
    };
}

oce_train_options oce_recipe_train_options(const oce_recipe *recipe, uint64_t seed) {
    return (oce_train_options){
        .steps = recipe->steps,
        .shuffle = recipe->shuffle,
        .seed = seed,
        .learning_rate = {.kind = OCE_SCHEDULE_CONSTANT, .base = recipe->learning_rate},
        .log_every = 100,
    };
}
