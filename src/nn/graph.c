/* Planning a network: shapes, operation plans. */
#include "nn/graph.h"

#include "base/size.h"
#include "base/status.h"
#include "device/device.h"
#include "nn/strips.h"
#include "ops/conv2d_pool.h"
#include "ops/pool_images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float default_stddev = 0.05F;

static bool has_variables(const oce_layer *layer) {
    return layer->kind == OCE_LAYER_CONV2D || layer->kind == OCE_LAYER_DENSE;
}

static oce_status add_variable(oce_graph *graph, const oce_layer *layer, bool is_bias, int rank,
                               const int64_t *shape, int *index) {
    oce_slot *slots = realloc(graph->slots, ((size_t)graph->slot_count + 1) * sizeof *slots);
    OCE_REQUIRE(slots != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a variable of layer \"%s\"",
                layer->name);
    graph->slots = slots;
    size_t count = 0, end = 0;
    OCE_REQUIRE(oce_size_product(shape, rank, &count) && count <= INT32_MAX &&
                    oce_size_add(graph->block, count + OCE_VARIABLE_ALIGNMENT, &end) &&
                    end <= INT32_MAX,
                OCE_ERROR_OVERFLOW, "layer \"%s\": %lld x %lld x %lld x %lld is too large",
                layer->name, (long long)shape[0], (long long)(rank > 1 ? shape[1] : 1),
                (long long)(rank > 2 ? shape[2] : 1), (long long)(rank > 3 ? shape[3] : 1));
    oce_slot *slot = &slots[graph->slot_count];
    *slot = (oce_slot){
        .variable = {.layer = layer->name,
                     .is_bias = is_bias,
                     .rank = rank,
                     .shape = {1, 1, 1, 1},
                     .count = (int64_t)count},
        .stddev = layer->weight_stddev > 0 ? layer->weight_stddev : default_stddev,
        .start = layer->bias_start,
        .offset = graph->block,
    };
    memcpy(slot->variable.shape, shape, (size_t)rank * sizeof *shape);
    graph->block = oce_size_round_up(graph->block + count, OCE_VARIABLE_ALIGNMENT);
    *index = graph->slot_count++;
    return OCE_OK;
}

/* Notes whether the family served, after an attempt with it. */
static void note_family(oce_asked_family *asked, oce_status status) {
    asked->serves = asked->serves || status == OCE_OK;
    if (status == OCE_ERROR_UNSUPPORTED && asked->refusal[0] == '\0')
        snprintf(asked->refusal, sizeof asked->refusal, "%s", oce_last_error());
}

/* A family that was asked for and serves nothing at all would be left out without a word. */
static void tell_family(const oce_graph *graph, const oce_asked_family *asked, const char *family,
                        const char *what) {
    char key[64];
    snprintf(key, sizeof key, "asked %s %s", what, family);
    if (!asked->serves && asked->refusal[0] != '\0')
        oce_device_notice(graph->device, key,
                          "network \"%s\": %s computes none of its %s, which are left to auto: %s",
                          graph->network->name, family, what, asked->refusal);
}

/* A family that cannot serve this layer leaves it to the library's choice. */
static oce_status create_conv(oce_graph *graph, oce_conv2d_desc *desc, unsigned passes,
                              oce_conv2d_plan **plan) {
    const oce_status status = oce_conv2d_plan_create(graph->device, desc, passes, plan);
    note_family(&graph->asked_conv2d, status);
    if (status != OCE_ERROR_UNSUPPORTED || desc->family == OCE_CONV2D_AUTO)
        return status;
    desc->family = OCE_CONV2D_AUTO;
    return oce_conv2d_plan_create(graph->device, desc, passes, plan);
}

oce_conv2d_plan *oce_node_gradients(const oce_node *node) {
    return node->is_pooled ? node->conv_grad : node->conv;
}

/* Plans the forward pass with the pool above, if there is one that it can compute too. A failure
 * leaves it to the two apart, which find the same one or none. */
static void plan_pooled(oce_graph *graph, const oce_conv2d_desc *desc, oce_node *node) {
    const int above = (int)(node - graph->nodes) + 1;
    const oce_layer *layers = graph->network->layers;
    if (above == graph->network->layer_count || layers[above].kind != OCE_LAYER_MAX_POOL)
        return;
    oce_conv2d_desc whole = *desc;
    whole.batch = graph->batch;
    node->is_pooled = oce_conv2d_plan_create_pooled(graph->device, &whole, &layers[above].window,
                                                    &node->conv) == OCE_OK &&
                      node->conv != NULL;
    if (node->is_pooled)
        note_family(&graph->asked_conv2d, OCE_OK);
}

static oce_status create_gemm(oce_graph *graph, oce_gemm_desc desc, oce_gemm_plan **plan) {
    const oce_status status = oce_gemm_plan_create(graph->device, &desc, plan);
    note_family(&graph->asked_gemm, status);
    if (status != OCE_ERROR_UNSUPPORTED || desc.family == OCE_GEMM_AUTO)
        return status;
    desc.family = OCE_GEMM_AUTO;
    return oce_gemm_plan_create(graph->device, &desc, plan);
}

static oce_status plan_conv(oce_graph *graph, oce_node *node, const oce_model_options *options) {
    const oce_layer *layer = node->layer;
    oce_window_geometry window;
    OCE_TRY(oce_window_resolve(&layer->window, node->input[0], node->input[1], &window));
    node->output[0] = window.output[0];
    node->output[1] = window.output[1];
    node->output[2] = layer->units;
    node->strip = oce_strip_images(graph, (int)(node - graph->nodes), node->output);
    oce_conv2d_desc desc = {.batch = node->strip > 0 ? node->strip : graph->batch,
                            .height = node->input[0],
                            .width = node->input[1],
                            .channels = node->input[2],
                            .filters = layer->units,
                            .window = layer->window,
                            .activation = layer->activation,
                            .family = options->conv2d_family,
                            .gemm_family = options->gemm_family,
                            .no_winograd = options->no_winograd,
                            .keeps_filter = !graph->training,
                            .keeps_halo = true}; /* graph_memory.c gives X what the plan asks for */
    plan_pooled(graph, &desc, node);
    unsigned passes = node->is_pooled ? 0 : OCE_PASS_FORWARD;
    if (graph->training)
        passes |= OCE_PASS_FILTER_GRAD;
    if (node->needs_input_grad)
        passes |= OCE_PASS_INPUT_GRAD;
    if (passes != 0)
        OCE_TRY(
            create_conv(graph, &desc, passes, node->is_pooled ? &node->conv_grad : &node->conv));
    const int64_t weights[4] = {window.size[0], window.size[1], node->input[2], layer->units};
    OCE_TRY(add_variable(graph, layer, false, 4, weights, &node->weights));
    return add_variable(graph, layer, true, 1, &layer->units, &node->bias);
}

static oce_status plan_pool(oce_graph *graph, oce_node *node) {
    const oce_pool_desc desc = {.kind = node->layer->kind == OCE_LAYER_MAX_POOL ? OCE_POOL_MAX
                                                                                : OCE_POOL_AVERAGE,
                                .batch = graph->batch,
                                .height = node->input[0],
                                .width = node->input[1],
                                .channels = node->input[2],
                                .window = node->layer->window};
    const bool is_computed = node > graph->nodes && node[-1].is_pooled;
    OCE_TRY(is_computed ? oce_pool_plan_create_gradient(graph->device, &desc, &node->pool)
                        : oce_pool_plan_create(graph->device, &desc, &node->pool));
    const oce_window_geometry *geometry = oce_pool_plan_geometry(node->pool);
    node->output[0] = geometry->output[0];
    node->output[1] = geometry->output[1];
    node->output[2] = node->input[2];
    return OCE_OK;
}

/* The products of a dense layer that its node needs. */
static oce_status create_products(oce_graph *graph, const oce_dense_desc *desc, oce_node *node) {
    oce_gemm_desc forward = oce_dense_product(desc, OCE_PASS_FORWARD);
    forward.keeps_b = !graph->training;
    OCE_TRY(create_gemm(graph, forward, &node->gemm_forward));
    if (node->needs_input_grad)
        OCE_TRY(create_gemm(graph, oce_dense_product(desc, OCE_PASS_INPUT_GRAD),
                            &node->gemm_input_grad));
    if (graph->training)
        OCE_TRY(create_gemm(graph, oce_dense_product(desc, OCE_PASS_FILTER_GRAD),
                            &node->gemm_filter_grad));
    return OCE_OK;
}

static void destroy_products(oce_node *node) {
    oce_gemm_plan **const plans[] = {&node->gemm_forward, &node->gemm_input_grad,
                                     &node->gemm_filter_grad};
    for (int i = 0; i < OCE_COUNT(plans); i++) {
        oce_gemm_plan_destroy(*plans[i]);
        *plans[i] = NULL;
    }
}

static oce_status plan_dense(oce_graph *graph, oce_node *node, const oce_model_options *options) {
    const oce_layer *layer = node->layer;
    size_t inputs = 0;
    OCE_REQUIRE(oce_size_product(node->input, 3, &inputs) && inputs <= INT32_MAX,
                OCE_ERROR_OVERFLOW, "%lld x %lld x %lld inputs are too many",
                (long long)node->input[0], (long long)node->input[1], (long long)node->input[2]);
    OCE_REQUIRE(layer->units >= 1, OCE_ERROR_INVALID_ARGUMENT, "%lld units, at least 1 is needed",
                (long long)layer->units);
    const int64_t in = (int64_t)inputs, out = layer->units;
    node->output[0] = node->output[1] = 1;
    node->output[2] = out;
    const int64_t weights[2] = {in, out};
    OCE_TRY(add_variable(graph, layer, false, 2, weights, &node->weights));
    OCE_TRY(add_variable(graph, layer, true, 1, &out, &node->bias));
    oce_dense_desc desc = {.batch = graph->batch,
                           .inputs = in,
                           .units = out,
                           .activation = layer->activation,
                           .family = options->gemm_family};
    if (graph->training)
        desc.panel = oce_dense_panel(graph->device, &desc);
    oce_status status = create_products(graph, &desc, node);
    if (desc.panel > 0 && oce_status_spares_others(status)) {
        desc.panel = 0;
        destroy_products(node);
        status = create_products(graph, &desc, node);
    }
    graph->slots[node->weights].panel = desc.panel;
    return status;
}

static oce_status check_layer(const oce_network *network, int index) {
    const oce_layer *layer = &network->layers[index];
    OCE_REQUIRE(layer->name != NULL && layer->name[0] != '\0', OCE_ERROR_INVALID_ARGUMENT,
                "network \"%s\": layer %d has no name", network->name, index);
    for (int i = 0; i < index; i++)
        OCE_REQUIRE(strcmp(network->layers[i].name, layer->name) != 0, OCE_ERROR_INVALID_ARGUMENT,
                    "network \"%s\": layers %d and %d are both called \"%s\"", network->name, i,
                    index, layer->name);
    OCE_REQUIRE(has_variables(layer) || (layer->units == 0 && layer->activation == 0),
                OCE_ERROR_INVALID_ARGUMENT, "layer \"%s\": a %s layer has no units or activation",
                layer->name, oce_layer_kind_name(layer->kind));
    OCE_REQUIRE(layer->kind != OCE_LAYER_DROPOUT || (layer->keep_prob > 0 && layer->keep_prob <= 1),
                OCE_ERROR_INVALID_ARGUMENT, "layer \"%s\": keep_prob %g is not in (0, 1]",
                layer->name, (double)layer->keep_prob);
    return OCE_OK;
}

static oce_status plan_node(oce_graph *graph, int index, const oce_model_options *options) {
    const oce_network *network = graph->network;
    OCE_TRY(check_layer(network, index));
    oce_node *node = &graph->nodes[index];
    const oce_node *below = index > 0 ? node - 1 : NULL;
    node->layer = &network->layers[index];
    node->weights = node->bias = -1;
    node->output_buffer = node->winners_buffer = node->prepared_buffer = -1;
    node->input_grad_buffer = node->strip_grad_buffer = -1;
    const int64_t image[3] = {network->height, network->width, network->channels};
    memcpy(node->input, below != NULL ? below->output : image, sizeof node->input);
    node->needs_input_grad = graph->training && graph->slot_count > 0;
    node->fuses_relu_grad = node->layer->kind == OCE_LAYER_MAX_POOL && below != NULL &&
                            below->layer->kind == OCE_LAYER_CONV2D &&
                            below->layer->activation == OCE_ACTIVATION_RELU;
    snprintf(node->forward_label, OCE_LABEL_BYTES, "%s forward", node->layer->name);
    snprintf(node->grad_label, OCE_LABEL_BYTES, "%s input gradient", node->layer->name);
    snprintf(node->filter_label, OCE_LABEL_BYTES, "%s weight gradient", node->layer->name);
    oce_status status = OCE_OK;
    switch (node->layer->kind) {
    case OCE_LAYER_CONV2D:
        status = plan_conv(graph, node, options);
        break;
    case OCE_LAYER_MAX_POOL:
    case OCE_LAYER_AVERAGE_POOL:
        status = plan_pool(graph, node);
        break;
    case OCE_LAYER_DENSE:
        status = plan_dense(graph, node, options);
        break;
    case OCE_LAYER_DROPOUT:
        memcpy(node->output, node->input, sizeof node->output);
        break;
    default:
        status = oce_fail(OCE_ERROR_INVALID_ARGUMENT, "unknown kind %d", (int)node->layer->kind);
    }
    if (status == OCE_OK && (node->output[0] < 1 || node->output[1] < 1))
        status = oce_fail(OCE_ERROR_SHAPE, "its output is empty: %lld x %lld",
                          (long long)node->output[0], (long long)node->output[1]);
    return status == OCE_OK ? OCE_OK
                            : oce_fail_prefix(status, "network \"%s\", layer \"%s\"", network->name,
                                              node->layer->name);
}

oce_status oce_graph_plan(oce_graph *graph, oce_device *device, const oce_network *network,
                          const oce_model_options *options, oce_memory *memory) {
    *graph = (oce_graph){.device = device,
                         .network = network,
                         .batch = options->batch / options->micro_batches,
                         .training = options->training,
                         .grad_buffer = {-1, -1, -1},
                         .strip_gradients_buffer = -1};
    OCE_REQUIRE(network->layer_count >= 1 && network->layers != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "network \"%s\" has no layers", network->name);
    const oce_layer *last = &network->layers[network->layer_count - 1];
    OCE_REQUIRE(last->kind == OCE_LAYER_DENSE && last->units <= 256, OCE_ERROR_INVALID_ARGUMENT,
                "network \"%s\": the last layer, \"%s\", must be dense with at most 256 units: the "
                "logits",
                network->name, last->name);
    graph->nodes = calloc((size_t)network->layer_count, sizeof *graph->nodes);
    OCE_REQUIRE(graph->nodes != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %d layers",
                network->layer_count);
    for (int i = 0; i < network->layer_count; i++) {
        graph->node_count = i + 1;
        OCE_TRY(plan_node(graph, i, options));
    }
    tell_family(graph, &graph->asked_conv2d, oce_conv2d_family_name(options->conv2d_family),
                "convolutions");
    tell_family(graph, &graph->asked_gemm, oce_gemm_family_name(options->gemm_family),
                "matrix products");
    oce_graph_plan_head(graph);
    return oce_graph_plan_memory(graph, memory);
}

void oce_graph_release(oce_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        oce_node *node = &graph->nodes[i];
        oce_conv2d_plan_destroy(node->conv);
        oce_conv2d_plan_destroy(node->conv_grad);
        oce_pool_plan_destroy(node->pool);
        destroy_products(node);
    }
    free(graph->nodes);
    free(graph->slots);
    *graph = (oce_graph){0};
}

oce_status oce_graph_variable(const oce_graph *graph, int index, oce_buffer *block,
                              oce_tensor *tensor) {
    const oce_slot *slot = &graph->slots[index];
    const oce_variable *v = &slot->variable;
    int64_t dim[4] = {1, 1, 1, v->shape[0]}; /* a bias */
    if (v->rank == 2) {
        dim[0] = v->shape[0];
        dim[3] = v->shape[1];
    } else if (v->rank == 4) {
        memcpy(dim, v->shape, sizeof dim);
    }
    return oce_tensor_view(block, slot->offset, dim, NULL, tensor);
}

double oce_node_forward_flops(const oce_node *node) {
    const double outputs =
        (double)node->output[0] * (double)node->output[1] * (double)node->output[2];
    if (node->conv != NULL) {
        const oce_window_geometry *g = oce_conv2d_plan_geometry(node->conv);
        return 2 * outputs * (double)g->size[0] * (double)g->size[1] * (double)node->input[2];
    }
    if (node->gemm_forward != NULL)
        return 2 * outputs * (double)node->input[0] * (double)node->input[1] *
               (double)node->input[2];
    return 0;
}

double oce_node_training_flops(const oce_node *node) {
    return oce_node_forward_flops(node) * (node->needs_input_grad ? 3 : 2);
}
