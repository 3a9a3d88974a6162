/* Variables on the host: names, shapes, values in and out; the check for NaN and infinity. */
#include "nn/model.h"

#include "base/panel.h"
#include "base/status.h"
#include "device/device.h"

#include <ocelli/elementwise.h>

#include <stdlib.h>
#include <string.h>

int oce_model_variable_count(const oce_model *model) {
    return model->graph.slot_count;
}

void oce_model_variable(const oce_model *model, int index, oce_variable *variable) {
    *variable = model->graph.slots[index].variable;
}

static bool is_slot(const oce_model *model, int buffer) {
    return buffer == model->slot_buffer[0] || buffer == model->slot_buffer[1];
}

static oce_status variable_part(const oce_model *model, int index, oce_variable_part part,
                                int64_t count, oce_tensor *tensor) {
    OCE_TRY(oce_model_require_allocated(model));
    OCE_REQUIRE(index >= 0 && index < model->graph.slot_count, OCE_ERROR_INVALID_ARGUMENT,
                "variable %d of %d", index, model->graph.slot_count);
    int buffer = -1;
    switch (part) {
    case OCE_VARIABLE_VALUE:
        buffer = model->parameters_buffer;
        break;
    case OCE_VARIABLE_GRADIENT:
        OCE_REQUIRE(!model->options.training || !is_slot(model, model->gradients_buffer),
                    OCE_ERROR_INVALID_ARGUMENT,
                    "the update by %s takes the memory of the gradients, %zu bytes: "
                    "oce_model_options.keep_gradients was not set",
                    oce_optimizer_name(model->options.optimizer.kind),
                    model->graph.block * sizeof(float));
        buffer = model->gradients_buffer;
        break;
    case OCE_VARIABLE_SLOT_0:
    case OCE_VARIABLE_SLOT_1:
        buffer = model->slot_buffer[part == OCE_VARIABLE_SLOT_0 ? 0 : 1];
        break;
    }
    const oce_variable *variable = &model->graph.slots[index].variable;
    OCE_REQUIRE(buffer >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "variable %d of layer \"%s\" has no part %d in this model", index, variable->layer,
                (int)part);
    OCE_REQUIRE(count == variable->count, OCE_ERROR_SHAPE,
                "variable %d of layer \"%s\" has %lld elements, not %lld", index, variable->layer,
                (long long)variable->count, (long long)count);
    return oce_graph_variable(&model->graph, index, oce_model_memory(model, buffer), tensor);
}

/* ---- Values in and out --------------------------------------------------------------------- */

/* Rows `first` to first + count - 1 of a variable that is stored in panels: from `values`, which
 * has those rows, to the device or back. */
static oce_status copy_rows(const oce_slot *slot, const oce_tensor *tensor, int64_t first,
                            int64_t count, float *values, bool to_device) {
    const size_t rows = (size_t)slot->variable.shape[0], columns = (size_t)slot->variable.shape[1];
    const size_t width = (size_t)slot->panel, bytes = (size_t)count * width * sizeof(float);
    float *piece = malloc(bytes);
    OCE_REQUIRE(piece != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %zu bytes of a panel", bytes);
    oce_status status = OCE_OK;
    for (size_t column = 0; column < columns && status == OCE_OK; column += width) {
        const size_t at =
            tensor->offset + oce_panel_place((size_t)first, column, rows, columns, width);
        if (!to_device)
            status = oce_buffer_read(tensor->buffer, at * sizeof *piece, piece, bytes);
        for (size_t row = 0; row < (size_t)count && status == OCE_OK; row++) {
            float *in_rows = values + row * columns + column, *in_panel = piece + row * width;
            memcpy(to_device ? in_panel : in_rows, to_device ? in_rows : in_panel,
                   width * sizeof *piece);
        }
        if (to_device && status == OCE_OK)
            status = oce_buffer_write(tensor->buffer, at * sizeof *piece, piece, bytes);
    }
    free(piece);
    return status;
}

/* All of a variable, which the host has in rows; only read if `to_device`. */
static oce_status copy_values(const oce_slot *slot, const oce_tensor *tensor, float *values,
                              bool to_device) {
    if (slot->panel > 0)
        return copy_rows(slot, tensor, 0, slot->variable.shape[0], values, to_device);
    return to_device ? oce_tensor_write(tensor, values) : oce_tensor_read(tensor, values);
}

oce_status oce_variable_to_panels(const oce_slot *slot, const oce_tensor *source,
                                  const oce_tensor *target) {
    enum { ROWS = 256 }; /* at a time: a large layer's weights would double what a process takes */
    const int64_t rows = slot->variable.shape[0], columns = slot->variable.shape[1];
    float *values = malloc((size_t)(ROWS * columns) * sizeof *values);
    OCE_REQUIRE(values != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %d rows of %lld weights",
                ROWS, (long long)columns);
    oce_status status = OCE_OK;
    for (int64_t first = 0; first < rows && status == OCE_OK; first += ROWS) {
        const int64_t count = rows - first < ROWS ? rows - first : ROWS;
        const size_t at = (source->offset + (size_t)(first * columns)) * sizeof *values;
        status =
            oce_buffer_read(source->buffer, at, values, (size_t)(count * columns) * sizeof *values);
        if (status == OCE_OK)
            status = copy_rows(slot, target, first, count, values, true);
    }
    free(values);
    return status;
}

oce_status oce_model_get(oce_model *model, int index, oce_variable_part part, float *values,
                         int64_t count) {
    oce_tensor tensor;
    OCE_TRY(variable_part(model, index, part, count, &tensor));
    return copy_values(&model->graph.slots[index], &tensor, values, false);
}

oce_status oce_model_set(oce_model *model, int index, oce_variable_part part, const float *values,
                         int64_t count) {
    oce_tensor tensor;
    OCE_TRY(variable_part(model, index, part, count, &tensor));
    model->graph.is_prepared = false;
    return copy_values(&model->graph.slots[index], &tensor, (float *)values, true);
}

/* ---- State, and the finite check ------------------------------------------------------------ */

oce_model_state oce_model_get_state(const oce_model *model) {
    return (oce_model_state){.step = model->step, .optimizer = model->optimizer_state};
}

void oce_model_set_state(oce_model *model, const oce_model_state *state) {
    model->step = model->first_kept_step = state->step;
    model->optimizer_state = state->optimizer;
    for (int i = 0; i < OCE_STAGES; i++)
        model->stages[i].step = 0; /* their steps were of another count */
}

oce_status oce_model_check_finite(oce_model *model) {
    OCE_TRY(oce_model_require_allocated(model));
    const oce_graph *graph = &model->graph;
    oce_buffer *counts = oce_model_memory(model, model->counts_buffer);
    const int total = graph->node_count + graph->slot_count;
    oce_device_label(model->device, "finite check", 0);
    for (int i = 0; i < graph->node_count; i++) {
        const oce_node *node = &graph->nodes[i];
        /* Outputs that are not kept: those of a layer above, the logits at last, tell. */
        const bool is_kept = node->strip == 0 && !node->is_pooled && !node->is_overwritten;
        if (is_kept && i != graph->head_parts)
            OCE_TRY(oce_count_nonfinite(model->device, &node->output_tensor, counts, (size_t)i));
    }
    for (int i = 0; i < graph->slot_count; i++) {
        oce_tensor tensor;
        OCE_TRY(oce_graph_variable(graph, i, oce_model_memory(model, model->parameters_buffer),
                                   &tensor));
        OCE_TRY(
            oce_count_nonfinite(model->device, &tensor, counts, (size_t)(graph->node_count + i)));
    }
    uint32_t *bad = calloc((size_t)total, sizeof *bad);
    OCE_REQUIRE(bad != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %d counts", total);
    oce_status status = oce_buffer_read(counts, 0, bad, (size_t)total * sizeof *bad);
    for (int i = 0; i < graph->node_count && status == OCE_OK; i++) {
        const oce_node *node = &graph->nodes[i];
        for (int v = node->weights; v >= 0 && v <= node->bias && status == OCE_OK; v++)
            if (bad[graph->node_count + v] > 0)
                status = oce_fail(OCE_ERROR_DIVERGED, "layer \"%s\": %u of %lld %s are not finite",
                                  node->layer->name, bad[graph->node_count + v],
                                  (long long)graph->slots[v].variable.count,
                                  v == node->bias ? "biases" : "weights");
        if (status == OCE_OK && bad[i] > 0)
            status = oce_fail(OCE_ERROR_DIVERGED, "layer \"%s\": %u of %zu outputs are not finite",
                              node->layer->name, bad[i], oce_tensor_count(&node->output_tensor));
    }
    free(bad);
    return status;
}
