/* The layers of both networks, with the shapes that they have there. */
#include "selftest/check.h"

#include "base/status.h"

#include <ocelli/train.h>

#include <string.h>

enum { QUICK_BATCH = 4 };

oce_conv2d_desc oce_check_conv_desc(const oce_check_layer *l, int64_t batch) {
    return (oce_conv2d_desc){.batch = batch,
                             .height = l->input[0],
                             .width = l->input[1],
                             .channels = l->input[2],
                             .filters = l->output[2],
                             .window = l->layer->window,
                             .activation = l->layer->activation};
}

oce_status oce_check_networks(oce_check *check,
                              oce_status (*one)(oce_check *check, const char *network)) {
    static const char *const names[] = {"mnist", "cifar10"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const oce_status status = one(check, names[i]);
        oce_check_end(check);
        OCE_TRY(status);
    }
    return OCE_OK;
}

void oce_check_layer_output(oce_check_layer *l) {
    oce_window_geometry g;
    switch (l->layer->kind) {
    case OCE_LAYER_CONV2D:
    case OCE_LAYER_MAX_POOL:
    case OCE_LAYER_AVERAGE_POOL:
        if (oce_window_resolve(&l->layer->window, l->input[0], l->input[1], &g) != OCE_OK)
            return;
        l->output[0] = g.output[0];
        l->output[1] = g.output[1];
        l->output[2] = l->layer->kind == OCE_LAYER_CONV2D ? l->layer->units : l->input[2];
        break;
    case OCE_LAYER_DENSE:
        l->output[0] = l->output[1] = 1;
        l->output[2] = l->layer->units;
        break;
    case OCE_LAYER_DROPOUT:
        memcpy(l->output, l->input, sizeof l->output);
        break;
    }
}

/* The window of the max pool right above convolution `index`. */
static const oce_window *pool_above(const oce_network *network, int index) {
    const oce_layer *layer = &network->layers[index];
    const bool is_below_pool = layer->kind == OCE_LAYER_CONV2D &&
                               index + 1 < network->layer_count &&
                               layer[1].kind == OCE_LAYER_MAX_POOL;
    return is_below_pool ? &layer[1].window : NULL;
}

/* Whether two layers compute the same, whatever their names. */
static bool same(const oce_check_layer *a, const oce_check_layer *b) {
    return a->layer->kind == b->layer->kind && a->batch == b->batch &&
           (a->pool == NULL) == (b->pool == NULL) &&
           memcmp(a->input, b->input, sizeof a->input) == 0 &&
           memcmp(a->output, b->output, sizeof a->output) == 0 &&
           memcmp(a->layer->window.size, b->layer->window.size, sizeof a->layer->window.size) == 0;
}

int oce_check_layers(bool quick, oce_check_layer layers[OCE_CHECK_LAYERS]) {
    static const char *const names[] = {"mnist", "cifar10"};
    int count = 0;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        oce_recipe recipe;
        if (oce_recipe_get(names[n], &recipe) != OCE_OK)
            continue;
        const oce_network *network = recipe.network;
        int64_t input[3] = {network->height, network->width, network->channels};
        for (int i = 0; i < network->layer_count && count < OCE_CHECK_LAYERS; i++) {
            oce_check_layer *l = &layers[count];
            *l = (oce_check_layer){.layer = &network->layers[i],
                                   .pool = pool_above(network, i),
                                   .own_batch = recipe.batch,
                                   .batch = quick && recipe.batch > QUICK_BATCH ? QUICK_BATCH
                                                                                : recipe.batch};
            memcpy(l->input, input, sizeof input);
            oce_check_layer_output(l);
            memcpy(input, l->output, sizeof input);
            bool is_new = true;
            for (int j = 0; j < count; j++)
                is_new = is_new && !same(&layers[j], l);
            count += is_new;
        }
    }
    return count;
}
