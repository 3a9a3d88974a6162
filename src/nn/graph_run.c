/* The forward and the backward pass over a planned network. */
#include "nn/graph.h"

#include "base/status.h"
#include "device/device.h"
#include "nn/strips.h"
#include "ops/conv2d_pool.h"
#include "ops/gemm_internal.h"

#include <ocelli/elementwise.h>

/* The part of the dropout mask that belongs to this layer and these images. */
static oce_dropout layer_dropout(const oce_graph *graph, int index,
                                 const oce_dropout_state *state) {
    const oce_node *node = &graph->nodes[index];
    return (oce_dropout){
        .keep_prob = state->keep_prob > 0 ? state->keep_prob : node->layer->keep_prob,
        .seed = state->seed,
        .step = state->step,
        .layer = (uint32_t)index,
        .first =
            (uint64_t)(state->first_image * node->output[0] * node->output[1] * node->output[2]),
    };
}

oce_status oce_node_convolve(const oce_node *node, const oce_memory *memory, const oce_tensor *x,
                             const oce_tensor *weights, const oce_tensor *bias,
                             oce_buffer *workspace) {
    oce_buffer *prepared = oce_memory_buffer(memory, node->prepared_buffer);
    if (prepared == NULL)
        return oce_conv2d_forward(node->conv, x, weights, bias, &node->output_tensor, workspace);
    return oce_conv2d_forward_prepared(node->conv, x, weights, prepared, bias, &node->output_tensor,
                                       workspace);
}

/* A convolution and the max pool above it. */
static oce_status forward_pooled(const oce_graph *graph, const oce_node *conv,
                                 const oce_memory *memory, const oce_tensor *x,
                                 const oce_tensor *weights, const oce_tensor *bias) {
    const oce_node *pool = conv + 1;
    return oce_conv2d_forward_pooled(
        conv->conv, x, weights, oce_memory_buffer(memory, conv->prepared_buffer), bias,
        &pool->output_tensor, oce_memory_buffer(memory, pool->winners_buffer),
        oce_memory_buffer(memory, graph->workspace_buffer));
}

/* Without training, filters and dense weights are prepared once for all passes with the same
 * parameters. */
static oce_status prepare_weights(oce_graph *graph, const oce_memory *memory,
                                  oce_buffer *parameters) {
    for (int i = 0; i < graph->node_count; i++) {
        const oce_node *node = &graph->nodes[i];
        oce_tensor weights;
        if (node->prepared_buffer < 0)
            continue;
        OCE_TRY(oce_graph_variable(graph, node->weights, parameters, &weights));
        oce_buffer *prepared = oce_memory_buffer(memory, node->prepared_buffer);
        oce_device_label(graph->device, "prepared weights", 0);
        if (node->conv != NULL)
            OCE_TRY(oce_conv2d_prepare(node->conv, &weights, prepared));
        else
            OCE_TRY(oce_gemm_prepare(node->gemm_forward, &weights, prepared));
    }
    graph->is_prepared = true;
    return OCE_OK;
}

static oce_status forward_node(oce_graph *graph, int index, const oce_memory *memory,
                               oce_buffer *parameters, const oce_dropout_state *dropout) {
    oce_node *node = &graph->nodes[index];
    const oce_tensor *x = index > 0 ? &graph->nodes[index - 1].output_tensor : &graph->input;
    oce_buffer *workspace = oce_memory_buffer(memory, graph->workspace_buffer);
    oce_buffer *prepared = oce_memory_buffer(memory, node->prepared_buffer);
    oce_tensor weights = {0}, bias = {0};
    if (node->weights >= 0) {
        OCE_TRY(oce_graph_variable(graph, node->weights, parameters, &weights));
        OCE_TRY(oce_graph_variable(graph, node->bias, parameters, &bias));
    }
    if (graph->has_head && index == graph->node_count - 1)
        return OCE_OK;
    if (node->strip > 0 && !node->is_pooled)
        return oce_strips_forward(graph, index, memory, x, &weights, &bias);
    oce_device_label(graph->device, node->forward_label,
                     oce_node_forward_flops(node) * (double)graph->batch);
    switch (node->layer->kind) {
    case OCE_LAYER_CONV2D:
        if (node->is_pooled)
            return forward_pooled(graph, node, memory, x, &weights, &bias);
        return oce_node_convolve(node, memory, x, &weights, &bias, workspace);
    case OCE_LAYER_MAX_POOL:
    case OCE_LAYER_AVERAGE_POOL:
        return oce_pool_forward(node->pool, x, &node->output_tensor,
                                oce_memory_buffer(memory, node->winners_buffer));
    case OCE_LAYER_DENSE:
        if (index == graph->head_parts)
            return oce_gemm_run_parts(node->gemm_forward, x, &weights, prepared, workspace);
        return oce_gemm_run_prepared(node->gemm_forward, x, &weights, prepared, &bias,
                                     &node->output_tensor, workspace);
    case OCE_LAYER_DROPOUT:
        break;
    }
    if (!dropout->is_on)
        return OCE_OK;
    const oce_dropout mask = layer_dropout(graph, index, dropout);
    return oce_dropout_apply(graph->device, &mask, x, &node->output_tensor);
}

oce_status oce_graph_forward(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                             const oce_dropout_state *dropout) {
    if (!graph->is_prepared)
        OCE_TRY(prepare_weights(graph, memory, parameters));
    for (int i = 0; i < graph->node_count; i++) {
        OCE_TRY(forward_node(graph, i, memory, parameters, dropout));
        i += graph->nodes[i].strip > 0 ||
             graph->nodes[i].is_pooled; /* the pool above was computed too */
    }
    return OCE_OK;
}

/* A gradient [batch, shape] in a buffer of the memory plan. */
static oce_status grad_tensor(const oce_graph *graph, const oce_memory *memory, int buffer,
                              const int64_t shape[3], oce_tensor *tensor) {
    const int64_t dim[4] = {graph->batch, shape[0], shape[1], shape[2]};
    return oce_tensor_view(oce_memory_buffer(memory, buffer), 0, dim, NULL, tensor);
}

oce_status oce_graph_logits_grad(const oce_graph *graph, const oce_memory *memory,
                                 oce_tensor *tensor) {
    return grad_tensor(graph, memory, graph->grad_buffer[0],
                       graph->nodes[graph->node_count - 1].output, tensor);
}

/* Gradients of a convolution's or dense layer's variables, and of its input if that is needed. */
static oce_status backward_weighted(oce_graph *graph, int index, const oce_memory *memory,
                                    oce_buffer *parameters, oce_buffer *gradients,
                                    bool relu_is_done, const oce_tensor *dy, const oce_tensor *dx) {
    oce_node *node = &graph->nodes[index];
    oce_device *device = graph->device;
    const oce_tensor *x = index > 0 ? &graph->nodes[index - 1].output_tensor : &graph->input;
    oce_buffer *workspace = oce_memory_buffer(memory, graph->workspace_buffer);
    const double flops = oce_node_forward_flops(node) * (double)graph->batch;
    const bool masks = node->layer->activation == OCE_ACTIVATION_RELU && !relu_is_done;
    oce_tensor weights, dweights, dbias;
    OCE_TRY(oce_graph_variable(graph, node->weights, parameters, &weights));
    OCE_TRY(oce_graph_variable(graph, node->weights, gradients, &dweights));
    OCE_TRY(oce_graph_variable(graph, node->bias, gradients, &dbias));
    oce_device_label(device, node->filter_label, flops);
    if (masks)
        OCE_TRY(oce_relu_bias_grad(device, dy, &node->output_tensor, dy, &dbias, workspace));
    else
        OCE_TRY(oce_bias_grad(device, dy, &dbias, workspace));
    if (node->conv != NULL)
        OCE_TRY(oce_conv2d_filter_grad(oce_node_gradients(node), x, dy, &dweights, workspace));
    else
        OCE_TRY(oce_gemm_run(node->gemm_filter_grad, x, dy, NULL, &dweights, workspace));
    if (!node->needs_input_grad)
        return OCE_OK;
    oce_device_label(device, node->grad_label, flops);
    if (node->conv != NULL)
        return oce_conv2d_input_grad(oce_node_gradients(node), dy, &weights, dx, workspace);
    return oce_gemm_run(node->gemm_input_grad, dy, &weights, NULL, dx, workspace);
}

/* Through a max pool and the convolution below it, which is node `index`. */
static oce_status backward_strips(oce_graph *graph, int index, const oce_memory *memory,
                                  oce_buffer *parameters, oce_buffer *gradients,
                                  const oce_tensor *dy, const oce_tensor *dx) {
    const oce_node *node = &graph->nodes[index];
    oce_tensor weights;
    OCE_TRY(oce_graph_variable(graph, node->weights, parameters, &weights));
    const oce_strips_grad strips = {
        .memory = memory,
        .x = index > 0 ? &graph->nodes[index - 1].output_tensor : &graph->input,
        .weights = &weights,
        .dy = dy,
        .dx = dx,
        .gradients = gradients,
    };
    return oce_strips_backward(graph, index, &strips);
}

oce_status oce_graph_backward(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                              oce_buffer *gradients, const oce_dropout_state *dropout) {
    bool relu_is_done = false;
    oce_tensor dy; /* the gradient of a node's output */
    OCE_TRY(oce_graph_logits_grad(graph, memory, &dy));
    for (int i = graph->node_count - 1; i >= 0; i--) {
        const bool is_strips = i > 0 && graph->nodes[i - 1].strip > 0;
        if (is_strips)
            i--; /* the pool's, and that of the convolution below */
        oce_node *node = &graph->nodes[i];
        oce_tensor dx = {0};
        if (!node->needs_input_grad && node->weights < 0)
            return OCE_OK; /* nothing from here on has variables */
        if (node->input_grad_buffer >= 0)
            OCE_TRY(grad_tensor(graph, memory, node->input_grad_buffer, node->input, &dx));
        if (is_strips)
            OCE_TRY(backward_strips(graph, i, memory, parameters, gradients, &dy, &dx));
        else if (node->weights >= 0)
            OCE_TRY(
                backward_weighted(graph, i, memory, parameters, gradients, relu_is_done, &dy, &dx));
        if (!node->needs_input_grad)
            return OCE_OK; /* nothing below has variables */
        relu_is_done = node->fuses_relu_grad;
        if (node->layer->kind == OCE_LAYER_DROPOUT) {
            oce_device_label(graph->device, node->grad_label, 0);
            const oce_dropout mask = layer_dropout(graph, i, dropout);
            if (dropout->is_on)
                OCE_TRY(oce_dropout_apply(graph->device, &mask, &dy, &dy));
            continue; /* in place */
        }
        if (node->pool != NULL) {
            oce_device_label(graph->device, node->grad_label, 0);
            OCE_TRY(oce_pool_grad(node->pool, &dy, oce_memory_buffer(memory, node->winners_buffer),
                                  node->fuses_relu_grad ? &node->output_tensor : NULL, &dx));
        }
        dy = dx;
    }
    return OCE_OK;
}
