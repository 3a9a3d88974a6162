/* The buffers of a planned network: activations, what the backward pass keeps, workspace. */
#include "nn/graph.h"

#include "base/size.h"
#include "base/status.h"
#include "device/device.h"

#include <ocelli/elementwise.h>
#include <ocelli/softmax.h>

#include <string.h>

/* Adds a buffer for a float tensor [images, h, w, c] with a halo. */
static oce_status add_tensor(oce_memory *memory, const char *prefix, const char *what,
                             int64_t images, const int64_t shape[3], const oce_halo *halo,
                             int *index) {
    const int64_t dim[4] = {images, shape[0], shape[1], shape[2]};
    size_t elements = 0;
    OCE_TRY(oce_tensor_elements(dim, halo, &elements));
    return oce_memory_add(memory, prefix, what, elements * sizeof(float), index);
}

static oce_halo wanted_halo(const oce_graph *graph, int consumer) {
    const oce_halo none = {0, 0, 0, 0};
    const oce_node *node = consumer < graph->node_count ? &graph->nodes[consumer] : NULL;
    if (node == NULL || node->conv == NULL)
        return none;
    const oce_halo halo = oce_conv2d_plan_halo(node->conv);
    const bool is_none = memcmp(&halo, &none, sizeof halo) == 0;
    return is_none && node->conv_grad != NULL ? oce_conv2d_plan_halo(node->conv_grad) : halo;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Images of a node's output that are there at a time. */
static int64_t output_images(const oce_graph *graph, const oce_node *node) {
    return node->strip > 0 ? node->strip : graph->batch;
}

size_t oce_node_block(const oce_graph *graph, const oce_node *node) {
    const oce_slot *bias = &graph->slots[node->bias];
    return bias->offset + (size_t)bias->variable.count - graph->slots[node->weights].offset;
}

static size_t node_workspace(const oce_graph *graph, const oce_node *node, const oce_halo *halo) {
    size_t bytes = 0;
    if (node->conv != NULL)
        bytes = oce_conv2d_plan_workspace(node->conv, halo);
    if (node->conv_grad != NULL)
        bytes = max_size(bytes, oce_conv2d_plan_workspace(node->conv_grad, halo));
    const oce_gemm_plan *gemms[] = {node->gemm_forward, node->gemm_input_grad,
                                    node->gemm_filter_grad};
    for (int i = 0; i < OCE_COUNT(gemms); i++)
        if (gemms[i] != NULL)
            bytes = max_size(bytes, oce_gemm_plan_workspace(gemms[i]));
    if (graph->training && node->bias >= 0)
        bytes = max_size(bytes, oce_bias_grad_workspace(output_images(graph, node) *
                                                            node->output[0] * node->output[1],
                                                        node->output[2]));
    return bytes;
}

bool oce_node_shares_output(const oce_graph *graph, const oce_node *node) {
    return graph->training && node->strip > 0 && !node->is_pooled;
}

static oce_status plan_output(oce_graph *graph, oce_node *node, oce_memory *memory) {
    const int index = (int)(node - graph->nodes);
    const oce_node *below = index > 0 ? node - 1 : NULL;
    if (node->layer->kind == OCE_LAYER_DROPOUT) { /* in place: keeps its input's layout */
        node->output_buffer = below != NULL ? below->output_buffer : graph->input_buffer;
        node->halo = below != NULL ? below->halo : graph->input_halo;
        return OCE_OK;
    }
    const bool dropout_next =
        index + 1 < graph->node_count && graph->nodes[index + 1].layer->kind == OCE_LAYER_DROPOUT;
    node->halo = dropout_next ? (oce_halo){0, 0, 0, 0} : wanted_halo(graph, index + 1);
    if (node->is_pooled || oce_node_shares_output(graph, node))
        return OCE_OK;
    return add_tensor(memory, node->layer->name, "output", output_images(graph, node), node->output,
                      &node->halo, &node->output_buffer);
}

/* What a node keeps besides its output. */
static oce_status plan_kept(const oce_graph *graph, oce_node *node, oce_memory *memory) {
    const char *name = node->layer->name;
    if (graph->training && node->layer->kind == OCE_LAYER_MAX_POOL)
        return oce_memory_add(memory, name, "winners", oce_pool_plan_winner_bytes(node->pool),
                              &node->winners_buffer);
    const bool is_dense = node->gemm_forward != NULL;
    size_t prepared = is_dense ? oce_gemm_plan_prepared_bytes(node->gemm_forward) : 0;
    if (node->conv != NULL)
        prepared = oce_conv2d_plan_prepared_bytes(node->conv);
    if (graph->training || prepared == 0)
        return OCE_OK;
    return oce_memory_add(memory, name, is_dense ? "prepared weights" : "prepared filter", prepared,
                          &node->prepared_buffer);
}

oce_status oce_graph_plan_memory(oce_graph *graph, oce_memory *memory) {
    const oce_network *network = graph->network;
    const int64_t image[3] = {network->height, network->width, network->channels};
    graph->input_halo = wanted_halo(graph, 0);
    OCE_TRY(add_tensor(memory, "", "input", graph->batch, image, &graph->input_halo,
                       &graph->input_buffer));
    size_t workspace = 0;
    for (int i = 0; i < graph->node_count; i++) {
        oce_node *node = &graph->nodes[i];
        const oce_halo *halo = i > 0 ? &(node - 1)->halo : &graph->input_halo;
        OCE_TRY(plan_output(graph, node, memory));
        OCE_TRY(plan_kept(graph, node, memory));
        workspace = max_size(workspace, node_workspace(graph, node, halo));
    }
    const oce_node *logits = &graph->nodes[graph->node_count - 1];
    workspace = max_size(workspace, oce_softmax_xent_workspace(graph->batch, logits->output[2]));
    OCE_TRY(oce_memory_add(memory, "", "workspace", workspace, &graph->workspace_buffer));
    return graph->training ? oce_graph_plan_gradients(graph, memory) : OCE_OK;
}

oce_status oce_graph_bind(oce_graph *graph, const oce_memory *memory) {
    const oce_network *network = graph->network;
    const int64_t input[4] = {graph->batch, network->height, network->width, network->channels};
    OCE_TRY(oce_tensor_view(oce_memory_buffer(memory, graph->input_buffer), 0, input,
                            &graph->input_halo, &graph->input));
    for (int i = 0; i < graph->node_count; i++) {
        oce_node *node = &graph->nodes[i];
        if (node->is_pooled)
            continue; /* it has no output */
        const int64_t dim[4] = {output_images(graph, node), node->output[0], node->output[1],
                                node->output[2]};
        OCE_TRY(oce_tensor_view(oce_memory_buffer(memory, node->output_buffer), 0, dim, &node->halo,
                                &node->output_tensor));
    }
    return OCE_OK;
}
