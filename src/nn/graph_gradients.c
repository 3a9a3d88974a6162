/*
 * The memory of the backward pass. The gradient of a layer's input goes where an output lies that
 * is not needed any longer: the layer's own, once its activation has masked the gradient that came
 * from above, or that of a layer above. Where none is large enough there are buffers more.
 */
#include "nn/graph.h"

#include "base/size.h"
#include "base/status.h"

#include <string.h>

/* Buffers that hold something else, at most, while a gradient is computed. */
enum { MOST_TAKEN = OCE_GRAD_BUFFERS - 1 };

static oce_status float_bytes(int64_t images, const int64_t shape[3], size_t *bytes) {
    const int64_t dim[4] = {images, shape[0], shape[1], shape[2]};
    OCE_TRY(oce_tensor_elements(dim, NULL, bytes));
    *bytes *= sizeof(float);
    return OCE_OK;
}

static bool is_one_of(int buffer, const int taken[MOST_TAKEN]) {
    for (int i = 0; i < MOST_TAKEN; i++)
        if (buffer == taken[i])
            return true;
    return false;
}

/* Whether node `other` has a buffer of its own for its output that can be overwritten: the zeros
 * of a halo are written once, and the logits are read after the step. */
static bool may_overwrite(const oce_graph *graph, int other) {
    static const oce_halo none = {0, 0, 0, 0};
    const oce_node *node = &graph->nodes[other];
    return other < graph->node_count - 1 && node->output_buffer >= 0 &&
           node->layer->kind != OCE_LAYER_DROPOUT && !oce_node_shares_output(graph, node) &&
           memcmp(&node->halo, &none, sizeof none) == 0;
}

/* Whether node `other`'s output is still needed when node `index` stores the gradient of its input.
 * Its own is not, if it has masked the gradient that came from above; a pool masks later. It may
 * have done that for the convolution below, which does not need its output then, as without a ReLU.
 */
static bool is_needed(const oce_graph *graph, int other, int index) {
    const oce_node *node = &graph->nodes[index], *below = &graph->nodes[other];
    if (node->pool == NULL || other > index)
        return other < index;
    return other != index - 1 || below->conv == NULL ||
           (below->layer->activation == OCE_ACTIVATION_RELU && !node->fuses_relu_grad);
}

/* The smallest output that `bytes` fit in, and that may be overwritten when node `index` stores a
 * gradient; -1: none. */
static int free_output(const oce_graph *graph, const oce_memory *memory, int index, size_t bytes,
                       const int taken[MOST_TAKEN]) {
    int best = -1;
    for (int other = 0; other < graph->node_count; other++) {
        const int output = graph->nodes[other].output_buffer;
        if (may_overwrite(graph, other) && !is_needed(graph, other, index) &&
            !is_one_of(output, taken) && memory->slots[output].bytes >= bytes &&
            (best < 0 || memory->slots[output].bytes < memory->slots[best].bytes))
            best = output;
    }
    return best;
}

/* Of the buffers for nothing but gradients, one that is not taken and has to grow least for so many
 * bytes; the next one is added if there is none. */
static oce_status grow_buffer(oce_graph *graph, oce_memory *memory, size_t bytes,
                              const int taken[MOST_TAKEN], int *buffer) {
    static const char *const names[OCE_GRAD_BUFFERS] = {
        "activation gradients A", "activation gradients B", "activation gradients C"};
    *buffer = -1;
    for (int i = 0; i < OCE_GRAD_BUFFERS; i++) {
        const int other = graph->grad_buffer[i];
        if (other < 0 && *buffer < 0) {
            OCE_TRY(oce_memory_add(memory, "", names[i], bytes, &graph->grad_buffer[i]));
            *buffer = graph->grad_buffer[i];
        } else if (other >= 0 && !is_one_of(other, taken) &&
                   (*buffer < 0 || memory->slots[other].bytes > memory->slots[*buffer].bytes)) {
            *buffer = other;
        }
    }
    return oce_memory_grow(memory, *buffer, bytes); /* there is one more than can be taken */
}

/* The buffer for a gradient of so many bytes that node `index` stores. */
static oce_status place(oce_graph *graph, oce_memory *memory, int index, size_t bytes,
                        const int taken[MOST_TAKEN], int *buffer) {
    *buffer = free_output(graph, memory, index, bytes, taken);
    return *buffer >= 0 ? OCE_OK : grow_buffer(graph, memory, bytes, taken, buffer);
}

/* Through a max pool, node `index`, and the strips of the convolution below it. */
static oce_status place_strips(oce_graph *graph, oce_memory *memory, int index, int dy) {
    oce_node *conv = &graph->nodes[index - 1];
    int taken[MOST_TAKEN] = {dy, -1};
    size_t bytes = 0;
    if (conv->needs_input_grad) {
        OCE_TRY(float_bytes(graph->batch, conv->input, &bytes));
        OCE_TRY(place(graph, memory, index, bytes, taken, &conv->input_grad_buffer));
        taken[1] = conv->input_grad_buffer;
    }
    OCE_TRY(float_bytes(conv->strip, conv->output, &bytes));
    return place(graph, memory, index, bytes, taken, &conv->strip_grad_buffer);
}

/* As oce_graph_backward() goes. */
static oce_status place_gradients(oce_graph *graph, oce_memory *memory) {
    static const int none[MOST_TAKEN] = {-1, -1};
    int dy = -1;
    size_t bytes = 0;
    OCE_TRY(float_bytes(graph->batch, graph->nodes[graph->node_count - 1].output, &bytes));
    OCE_TRY(grow_buffer(graph, memory, bytes, none, &dy));
    for (int i = graph->node_count - 1; i >= 0; i--) {
        oce_node *node = &graph->nodes[i];
        if (i > 0 && graph->nodes[i - 1].strip > 0) {
            OCE_TRY(place_strips(graph, memory, i, dy));
            dy = graph->nodes[--i].input_grad_buffer;
            continue;
        }
        if (!node->needs_input_grad)
            break;
        if (node->layer->kind == OCE_LAYER_DROPOUT)
            continue; /* in place */
        const int taken[MOST_TAKEN] = {dy, -1};
        OCE_TRY(float_bytes(graph->batch, node->input, &bytes));
        OCE_TRY(place(graph, memory, i, bytes, taken, &node->input_grad_buffer));
        dy = node->input_grad_buffer;
    }
    return OCE_OK;
}

/* A strip's output, in the forward pass, takes one of the buffers for gradients too. */
static oce_status place_shared_outputs(oce_graph *graph, oce_memory *memory) {
    static const int none[MOST_TAKEN] = {-1, -1};
    for (int i = 0; i < graph->node_count; i++) {
        oce_node *node = &graph->nodes[i];
        size_t bytes = 0;
        if (!oce_node_shares_output(graph, node))
            continue;
        OCE_TRY(float_bytes(node->strip, node->output, &bytes));
        OCE_TRY(grow_buffer(graph, memory, bytes, none, &node->output_buffer));
    }
    return OCE_OK;
}

static void mark_overwritten(oce_graph *graph) {
    for (int i = 0; i < graph->node_count; i++)
        for (int j = 0; j < graph->node_count; j++) {
            const oce_node *by = &graph->nodes[j];
            const int output = graph->nodes[i].output_buffer;
            if (output >= 0 && (output == by->input_grad_buffer || output == by->strip_grad_buffer))
                graph->nodes[i].is_overwritten = true;
        }
}

oce_status oce_graph_plan_gradients(oce_graph *graph, oce_memory *memory) {
    size_t strip_block = 0;
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].strip > 0 && oce_node_block(graph, &graph->nodes[i]) > strip_block)
            strip_block = oce_node_block(graph, &graph->nodes[i]);
    if (strip_block > 0)
        OCE_TRY(oce_memory_add(memory, "", "strip parameter gradients", strip_block * sizeof(float),
                               &graph->strip_gradients_buffer));
    OCE_TRY(place_gradients(graph, memory));
    OCE_TRY(place_shared_outputs(graph, memory));
    mark_overwritten(graph);
    return OCE_OK;
}
