/* Shapes of operations: a user's own, and those of the two networks. */
#include "cli/bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_EXTENT = 1 << 30, MOST_KEYS = 16, MOST_TEXT = 512, UNSET = -1 };
#define EXTENT 1, MOST_EXTENT
#define SWITCH 0, 1

/* One key of a shape. */
typedef struct shape_key {
    const char *name;
    int64_t *value;
    int64_t least, most;
} shape_key;

/* Digits only: strtoll would take blanks and signs. */
static bool parse_number(const char *text, int64_t least, int64_t most, int64_t *number) {
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    *number = strtoll(text, NULL, 10); /* too large: the largest, and so above `most` */
    return *number >= least && *number <= most;
}

static bool read_number(const cli_call *call, const shape_key *key, const char *text) {
    if (parse_number(text, key->least, key->most, key->value))
        return true;
    cli_usage_error(call->verb, "--shape: %s=%s is not a whole number from %lld to %lld", key->name,
                    text, (long long)key->least, (long long)key->most);
    return false;
}

/* "same", "valid", or zeros on each side. */
static bool read_padding(const cli_call *call, const char *text, oce_window *window) {
    int64_t zeros = 0;
    if (strcmp(text, "same") == 0 || strcmp(text, "valid") == 0) {
        window->padding = text[0] == 's' ? OCE_PADDING_SAME : OCE_PADDING_VALID;
        return true;
    }
    if (!parse_number(text, 0, MOST_EXTENT, &zeros)) {
        cli_usage_error(call->verb,
                        "--shape: padding=%s is not same, valid or a whole number from "
                        "0 to %d",
                        text, (int)MOST_EXTENT);
        return false;
    }
    window->padding = OCE_PADDING_EXPLICIT;
    for (int i = 0; i < 2; i++)
        window->before[i] = window->after[i] = zeros;
    return true;
}

static bool unknown_key(const cli_call *call, const shape_key *keys, const oce_window *window,
                        const char *name) {
    char known[MOST_TEXT] = "";
    for (const shape_key *key = keys; key->name != NULL; key++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                 key == keys ? "" : ", ", key->name);
    cli_usage_error(call->verb, "--shape: unknown key \"%s\" (there are %s%s)", name, known,
                    window != NULL ? ", padding" : "");
    return false;
}

/* Whether a key comes for the first time; `padding` is bit MOST_KEYS of *seen. */
static bool is_new(const cli_call *call, const char *name, int bit, unsigned *seen) {
    if ((*seen & 1U << bit) != 0) {
        cli_usage_error(call->verb, "--shape: %s is given twice", name);
        return false;
    }
    *seen |= 1U << bit;
    return true;
}

static bool read_pair(const cli_call *call, const shape_key *keys, oce_window *window, char *pair,
                      unsigned *seen) {
    char *equals = strchr(pair, '=');
    if (equals == NULL) {
        cli_usage_error(call->verb, "--shape: \"%s\" is not key=value", pair);
        return false;
    }
    *equals = '\0';
    if (window != NULL && strcmp(pair, "padding") == 0)
        return is_new(call, pair, MOST_KEYS, seen) && read_padding(call, equals + 1, window);
    for (const shape_key *key = keys; key->name != NULL; key++)
        if (strcmp(key->name, pair) == 0)
            return is_new(call, pair, (int)(key - keys), seen) &&
                   read_number(call, key, equals + 1);
    return unknown_key(call, keys, window, pair);
}

/* Fills the keys' values from "key=value,..."; what is missing must have a value already. */
static bool read_shape(const cli_call *call, const shape_key *keys, oce_window *window) {
    const bench_values *given = call->options;
    char text[MOST_TEXT];
    unsigned seen = 0;
    if (strlen(given->shape) >= sizeof text) {
        cli_usage_error(call->verb, "--shape: more than %d characters", (int)sizeof text - 1);
        return false;
    }
    strcpy(text, given->shape);
    for (char *pair = text, *next = NULL; pair != NULL; pair = next) {
        next = strchr(pair, ',');
        if (next != NULL)
            *next++ = '\0';
        if (!read_pair(call, keys, window, pair, &seen))
            return false;
    }
    for (const shape_key *key = keys; key->name != NULL; key++)
        if (*key->value == UNSET) {
            cli_usage_error(call->verb, "--shape: %s is missing", key->name);
            return false;
        }
    return true;
}

bool bench_conv_shape(const cli_call *call, oce_conv2d_desc *desc) {
    const bench_values *given = call->options;
    int64_t r = UNSET, s = 0, width = 0, stride = 1, dilation = 1, prepared = 0;
    *desc = (oce_conv2d_desc){.batch = 1, .height = UNSET, .channels = UNSET, .filters = UNSET};
    const shape_key keys[] = {{"n", &desc->batch, EXTENT},
                              {"h", &desc->height, EXTENT},
                              {"w", &width, EXTENT},
                              {"c", &desc->channels, EXTENT},
                              {"k", &desc->filters, EXTENT},
                              {"r", &r, EXTENT},
                              {"s", &s, EXTENT},
                              {"stride", &stride, EXTENT},
                              {"dilation", &dilation, EXTENT},
                              {"prepared", &prepared, SWITCH},
                              {NULL, NULL, 0, 0}};
    if (!read_shape(call, keys, &desc->window))
        return false;
    desc->keeps_filter = prepared == 1;
    if (desc->keeps_filter && given->pass > PASS_FORWARD) {
        cli_usage_error(call->verb, "--shape: prepared=1 is for the forward pass");
        return false;
    }
    desc->width = width > 0 ? width : desc->height;
    desc->window.size[0] = r;
    desc->window.size[1] = s > 0 ? s : r;
    for (int i = 0; i < 2; i++) {
        desc->window.stride[i] = stride;
        desc->window.dilation[i] = dilation;
    }
    desc->family = (oce_conv2d_family)given->model.conv;
    desc->gemm_family = (oce_gemm_family)given->model.gemm;
    desc->no_winograd = given->model.winograd == CLI_WINOGRAD_OFF;
    return true;
}

void bench_conv_text(const oce_conv2d_desc *desc, int64_t images, char *text, size_t bytes) {
    char window[96];
    bench_window_text(&desc->window, window, sizeof window);
    snprintf(text, bytes, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 ", %s to %" PRId64 "%s%s",
             images, desc->height, desc->width, desc->channels, window, desc->filters,
             desc->no_winograd ? ", winograd off" : "", desc->keeps_filter ? ", prepared" : "");
}

bool bench_gemm_shape(const cli_call *call, oce_gemm_desc *desc) {
    const bench_values *given = call->options;
    int64_t transpose_a = 0, transpose_b = 0, prepared = 0;
    *desc = (oce_gemm_desc){.m = UNSET, .n = UNSET, .k = UNSET};
    const shape_key keys[] = {{"m", &desc->m, EXTENT},
                              {"n", &desc->n, EXTENT},
                              {"k", &desc->k, EXTENT},
                              {"ta", &transpose_a, SWITCH},
                              {"tb", &transpose_b, SWITCH},
                              {"prepared", &prepared, SWITCH},
                              {"b_panel", &desc->b_panel, EXTENT},
                              {"c_panel", &desc->c_panel, EXTENT},
                              {NULL, NULL, 0, 0}};
    if (!read_shape(call, keys, NULL))
        return false;
    desc->transpose_a = transpose_a == 1;
    desc->transpose_b = transpose_b == 1;
    desc->keeps_b = prepared == 1;
    desc->family = (oce_gemm_family)given->model.gemm;
    return true;
}

void bench_gemm_text(const oce_gemm_desc *desc, char *text, size_t bytes) {
    char panels[2][48] = {"", ""};
    if (desc->b_panel > 0)
        snprintf(panels[0], sizeof panels[0], " B in panels of %" PRId64, desc->b_panel);
    if (desc->c_panel > 0)
        snprintf(panels[1], sizeof panels[1], " C in panels of %" PRId64, desc->c_panel);
    snprintf(text, bytes, "%" PRId64 "x%" PRId64 "x%" PRId64 "%s%s%s%s%s", desc->m, desc->n,
             desc->k, desc->transpose_a ? " A^T" : "", desc->transpose_b ? " B^T" : "",
             desc->keeps_b ? " prepared" : "", panels[0], panels[1]);
}

bool bench_pool_shape(const cli_call *call, oce_pool_desc *desc) {
    const bench_values *given = call->options;
    int64_t width = 0, window = UNSET, stride = 0;
    *desc = (oce_pool_desc){.batch = 1, .height = UNSET, .channels = UNSET};
    const shape_key keys[] = {{"n", &desc->batch, EXTENT}, {"h", &desc->height, EXTENT},
                              {"w", &width, EXTENT},       {"c", &desc->channels, EXTENT},
                              {"window", &window, EXTENT}, {"stride", &stride, EXTENT},
                              {NULL, NULL, 0, 0}};
    if (!read_shape(call, keys, &desc->window))
        return false;
    desc->width = width > 0 ? width : desc->height;
    for (int i = 0; i < 2; i++) {
        desc->window.size[i] = window;
        desc->window.stride[i] = stride > 0 ? stride : window;
    }
    desc->kind = (oce_pool_kind)given->pool;
    return true;
}

/* Moves on from a layer's input to its output. */
static oce_status pass_layer(bench_layer *at) {
    const oce_layer *layer = at->layer;
    oce_window_geometry geometry;
    oce_status status = OCE_OK;
    switch (layer->kind) {
    case OCE_LAYER_CONV2D:
    case OCE_LAYER_MAX_POOL:
    case OCE_LAYER_AVERAGE_POOL:
        status = oce_window_resolve(&layer->window, at->height, at->width, &geometry);
        if (status != OCE_OK)
            return status;
        at->height = geometry.output[0];
        at->width = geometry.output[1];
        if (layer->kind == OCE_LAYER_CONV2D)
            at->channels = layer->units;
        break;
    case OCE_LAYER_DENSE:
        at->height = at->width = 1;
        at->channels = layer->units;
        break;
    case OCE_LAYER_DROPOUT:
        break;
    }
    return status;
}

oce_status bench_visit_layers(const char *name, int64_t batch,
                              oce_status (*visit)(void *context, const bench_layer *layer),
                              void *context) {
    oce_recipe recipe;
    oce_status status = oce_recipe_get(name, &recipe);
    if (status != OCE_OK)
        return status;
    const oce_network *network = recipe.network;
    bench_layer at = {.batch = batch > 0 ? batch : recipe.batch,
                      .height = network->height,
                      .width = network->width,
                      .channels = network->channels};
    for (int i = 0; i < network->layer_count && status == OCE_OK; i++) {
        at.layer = &network->layers[i];
        at.is_first = i == 0;
        status = visit(context, &at);
        if (status == OCE_OK)
            status = pass_layer(&at);
    }
    return status;
}

oce_conv2d_desc bench_conv(const bench_layer *at, const bench_values *given) {
    return (oce_conv2d_desc){.batch = at->batch,
                             .height = at->height,
                             .width = at->width,
                             .channels = at->channels,
                             .filters = at->layer->units,
                             .window = at->layer->window,
                             .activation = at->layer->activation,
                             .family = (oce_conv2d_family)given->model.conv,
                             .gemm_family = (oce_gemm_family)given->model.gemm,
                             .no_winograd = given->model.winograd == CLI_WINOGRAD_OFF};
}

oce_dense_desc bench_dense(oce_device *device, const bench_layer *at, oce_gemm_family family) {
    oce_dense_desc desc = {.batch = at->batch,
                           .inputs = at->height * at->width * at->channels,
                           .units = at->layer->units,
                           .family = family};
    desc.panel = oce_dense_panel(device, &desc);
    return desc;
}

void bench_window_text(const oce_window *window, char *text, size_t bytes) {
    int used = snprintf(text, bytes, "%" PRId64 "x%" PRId64, window->size[0], window->size[1]);
    if (window->stride[0] > 1 && used >= 0 && (size_t)used < bytes)
        used += snprintf(text + used, bytes - (size_t)used, " stride %" PRId64, window->stride[0]);
    if (window->dilation[0] > 1 && used >= 0 && (size_t)used < bytes)
        used +=
            snprintf(text + used, bytes - (size_t)used, " dilation %" PRId64, window->dilation[0]);
    if (used < 0 || (size_t)used >= bytes)
        return;
    if (window->padding == OCE_PADDING_EXPLICIT)
        snprintf(text + used, bytes - (size_t)used, " padding %" PRId64, window->before[0]);
    else
        snprintf(text + used, bytes - (size_t)used, "%s",
                 window->padding == OCE_PADDING_SAME ? "" : " valid");
}
