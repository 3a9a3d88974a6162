/* From the last layer to what is asked of the logits. */
#include "nn/graph.h"

#include "base/status.h"
#include "device/device.h"
#include "ops/gemm_internal.h"
#include "ops/head.h"

#include <ocelli/softmax.h>

/* Only where the last layer would be the thin family's, which is the one for few rows; so a family
 * that the user forces is used. */
void oce_graph_plan_head(oce_graph *graph) {
    const oce_node *last = &graph->nodes[graph->node_count - 1];
    const int64_t inputs = last->input[0] * last->input[1] * last->input[2];
    int below = graph->node_count - 2, parts = 1;
    while (below >= 0 && graph->nodes[below].layer->kind == OCE_LAYER_DROPOUT)
        below--;
    if (below >= 0 && graph->nodes[below].gemm_forward != NULL)
        parts = oce_gemm_plan_parts(graph->nodes[below].gemm_forward);
    if (parts > 1 && !oce_head_serves(graph->device, graph->batch, inputs, last->output[2], parts))
        parts = 1; /* the last layer may do without them */
    graph->has_head = !graph->training &&
                      oce_gemm_plan_family(last->gemm_forward) == OCE_GEMM_THIN &&
                      oce_head_serves(graph->device, graph->batch, inputs, last->output[2], parts);
    graph->head_parts = graph->has_head && parts > 1 ? below : -1;
}

/* The tensors that a head points to. */
typedef struct head_tensors {
    oce_tensor weights, bias, parts_bias;
} head_tensors;

/* Describes the last layer, and what it reads of the layers below. */
static oce_status describe(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                           const oce_tensor *logits, head_tensors *tensors, oce_head *head) {
    const oce_node *last = &graph->nodes[graph->node_count - 1];
    const oce_tensor *x = graph->node_count > 1 ? &(last - 1)->output_tensor : &graph->input;
    *head = (oce_head){.device = graph->device,
                       .parts = x->buffer,
                       .first = x->offset,
                       .splits = 1,
                       .weights = &tensors->weights,
                       .bias = &tensors->bias,
                       .logits = logits};
    OCE_TRY(oce_graph_variable(graph, last->weights, parameters, &tensors->weights));
    OCE_TRY(oce_graph_variable(graph, last->bias, parameters, &tensors->bias));
    oce_device_label(graph->device, last->forward_label,
                     oce_node_forward_flops(last) * (double)graph->batch);
    if (graph->head_parts < 0)
        return OCE_OK;
    const oce_node *below = &graph->nodes[graph->head_parts];
    head->parts = oce_memory_buffer(memory, graph->workspace_buffer);
    head->first = 0;
    head->part_size = oce_tensor_count(&below->output_tensor);
    head->splits = oce_gemm_plan_parts(below->gemm_forward);
    head->activation = below->layer->activation;
    head->parts_bias = &tensors->parts_bias;
    return oce_graph_variable(graph, below->bias, parameters, &tensors->parts_bias);
}

oce_status oce_graph_softmax(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                             const oce_tensor *logits) {
    head_tensors tensors;
    oce_head head;
    if (!graph->has_head) {
        oce_device_label(graph->device, "softmax", 0);
        return oce_softmax(graph->device, logits, logits);
    }
    OCE_TRY(describe(graph, memory, parameters, logits, &tensors, &head));
    return oce_head_softmax(&head);
}

oce_status oce_graph_metrics(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                             const oce_tensor *logits, const oce_buffer *labels,
                             size_t labels_first, oce_buffer *sums, size_t slot,
                             oce_buffer *predictions) {
    head_tensors tensors;
    oce_head head;
    if (!graph->has_head) {
        oce_device_label(graph->device, "loss", 0);
        return oce_softmax_xent_classes(graph->device, logits, labels, labels_first, 1.0F, sums,
                                        slot, NULL, predictions,
                                        oce_memory_buffer(memory, graph->workspace_buffer));
    }
    OCE_TRY(describe(graph, memory, parameters, logits, &tensors, &head));
    return oce_head_xent_classes(&head, labels, labels_first, sums, slot, predictions);
}
