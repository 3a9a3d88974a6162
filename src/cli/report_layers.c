/* What of a network a label of the profile is: its algorithm and its traffic. */
#include "cli/report.h"

#include <string.h>

enum { LABEL_BYTES = 128 };

static const char *const passes[] = {"forward", "input gradient", "weight gradient"};
enum { FORWARD, INPUT_GRAD, WEIGHT_GRAD, PASSES };

static bool is_label(const char *label, const char *layer, const char *pass) {
    char expected[LABEL_BYTES];
    snprintf(expected, sizeof expected, "%s %s", layer, pass);
    return strcmp(label, expected) == 0;
}

static const oce_profile_entry *find_sum(const cli_profile *profile, const char *layer,
                                         const char *pass) {
    for (int i = 0; i < profile->label_count; i++)
        if (is_label(profile->labels[i].label, layer, pass))
            return &profile->labels[i];
    return NULL;
}

static double elements(const int64_t extent[3]) {
    return (double)extent[0] * (double)extent[1] * (double)extent[2];
}

/* Images that went through a pass, by the flops of the layers that state them. */
static double images_of(const oce_model *model, const cli_profile *profile, int pass) {
    for (int i = 0; i < oce_model_layer_count(model); i++) {
        oce_layer_info info;
        oce_model_layer(model, i, &info);
        const oce_profile_entry *sum = find_sum(profile, info.layer->name, passes[pass]);
        if (sum != NULL && sum->flops > 0 && info.forward_flops > 0)
            return sum->flops / info.forward_flops;
    }
    return 0;
}

/* Elements of an image's input, and of what a pass has for its output: a convolution that computes
 * the max pool above it too writes only that one's. */
static void find_elements(const oce_model *model, const cli_profile *profile, int layer, int pass,
                          double *input, double *output) {
    const oce_network *network = oce_model_network(model);
    const int64_t image[3] = {network->height, network->width, network->channels};
    oce_layer_info info;
    *input = elements(image);
    if (layer > 0) {
        oce_model_layer(model, layer - 1, &info);
        *input = elements(info.output);
    }
    oce_model_layer(model, layer, &info);
    *output = elements(info.output);
    if (pass != FORWARD || info.layer->kind != OCE_LAYER_CONV2D ||
        layer + 1 == oce_model_layer_count(model))
        return;
    oce_model_layer(model, layer + 1, &info);
    if (info.layer->kind == OCE_LAYER_MAX_POOL &&
        find_sum(profile, info.layer->name, passes[FORWARD]) == NULL)
        *output = elements(info.output);
}

static double bytes_of(const oce_model *model, const cli_profile *profile, int layer, int pass,
                       const oce_profile_entry *sum) {
    const oce_model_options *options = oce_model_get_options(model);
    oce_layer_info info;
    double input = 0, output = 0;
    oce_model_layer(model, layer, &info);
    if (info.layer->kind == OCE_LAYER_DROPOUT)
        return 0; /* in place, and only in training steps */
    find_elements(model, profile, layer, pass, &input, &output);
    const double images = sum->flops > 0 && info.forward_flops > 0
                              ? sum->flops / info.forward_flops
                              : images_of(model, profile, pass == FORWARD ? FORWARD : WEIGHT_GRAD);
    const double at_once = (double)options->batch / (double)options->micro_batches;
    return sizeof(float) * (images * (input + output) + images / at_once * (double)info.parameters);
}

cli_pass cli_find_pass(const oce_model *model, const cli_profile *profile,
                       const oce_profile_entry *sum) {
    for (int layer = 0; layer < oce_model_layer_count(model); layer++) {
        oce_layer_info info;
        oce_model_layer(model, layer, &info);
        const char *const families[PASSES] = {info.forward, info.input_grad, info.filter_grad};
        for (int pass = 0; pass < PASSES; pass++)
            if (is_label(sum->label, info.layer->name, passes[pass]))
                return (cli_pass){.family = families[pass],
                                  .bytes = bytes_of(model, profile, layer, pass, sum)};
    }
    return (cli_pass){.family = ""};
}
