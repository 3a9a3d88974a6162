/* Planning, allocating and describing a model. */
#include "nn/model.h"

#include "base/size.h"
#include "base/status.h"
#include "device/device.h"

#include <ocelli/elementwise.h>

#include <stdlib.h>

static oce_status check_options(const oce_network *network, oce_model_options *options) {
    if (options->micro_batches == 0)
        options->micro_batches = 1;
    OCE_REQUIRE(options->batch >= 1 && options->batch <= (1 << 20), OCE_ERROR_INVALID_ARGUMENT,
                "batch %lld is not in 1..%d", (long long)options->batch, 1 << 20);
    OCE_REQUIRE(options->micro_batches >= 1 && options->batch % options->micro_batches == 0,
                OCE_ERROR_INVALID_ARGUMENT, "%lld micro-batches do not divide a batch of %lld",
                (long long)options->micro_batches, (long long)options->batch);
    OCE_REQUIRE(options->keep_prob >= 0 && options->keep_prob <= 1, OCE_ERROR_INVALID_ARGUMENT,
                "keep_prob %g is not in (0, 1]", (double)options->keep_prob);
    OCE_REQUIRE(options->conv2d_family != OCE_CONV2D_WINOGRAD || !options->no_winograd,
                OCE_ERROR_INVALID_ARGUMENT,
                "conv2d_family winograd and no_winograd exclude each other");
    OCE_REQUIRE(network->height >= 1 && network->width >= 1 && network->channels >= 1,
                OCE_ERROR_INVALID_ARGUMENT, "network \"%s\": input %lld x %lld x %lld is empty",
                network->name, (long long)network->height, (long long)network->width,
                (long long)network->channels);
    return OCE_OK;
}

static oce_status plan_parameters(oce_model *model) {
    const size_t block = model->graph.block * sizeof(float);
    const oce_model_options *options = &model->options;
    oce_memory *memory = &model->memory;
    OCE_TRY(oce_memory_add(memory, "", "parameters", block, &model->parameters_buffer));
    if (!options->training)
        return OCE_OK;
    if (options->micro_batches > 1)
        OCE_TRY(oce_memory_add(memory, "", "micro-batch gradients", block,
                               &model->part_gradients_buffer));
    static const char *const names[] = {"optimizer slot 0", "optimizer slot 1"};
    for (int i = 0; i < OCE_COUNT(names) && i < oce_optimizer_slots(options->optimizer.kind); i++)
        OCE_TRY(oce_memory_add(memory, "", names[i], block, &model->slot_buffer[i]));
    for (int i = 0; i < OCE_COUNT(names) && !options->keep_gradients; i++)
        if (oce_optimizer_takes_slot(&options->optimizer, i))
            model->gradients_buffer = model->slot_buffer[i];
    if (model->gradients_buffer >= 0)
        return OCE_OK;
    return oce_memory_add(memory, "", "parameter gradients", block, &model->gradients_buffer);
}

static oce_status plan_feeding(oce_model *model) {
    const oce_network *network = model->graph.network;
    const size_t batch = (size_t)model->graph.batch;
    const int64_t dim[4] = {model->graph.batch, network->height, network->width, network->channels};
    size_t images = 0;
    OCE_REQUIRE(oce_size_product(dim, 4, &images), OCE_ERROR_OVERFLOW,
                "a batch of %zu images of %lld x %lld x %lld is too large", batch,
                (long long)network->height, (long long)network->width,
                (long long)network->channels);
    oce_memory *memory = &model->memory;
    for (int i = 0; i < OCE_STAGES; i++)
        OCE_TRY(oce_memory_add(memory, "", "image bytes", images, &model->images_buffer[i]));
    OCE_TRY(oce_memory_add(memory, "", "label bytes", OCE_STAGES * batch, &model->labels_buffer));
    OCE_TRY(oce_memory_add(memory, "", "metrics",
                           (oce_model_evaluation_slot(model) + 1) * sizeof(oce_xent_sums),
                           &model->sums_buffer));
    OCE_TRY(oce_memory_add(memory, "", "predictions", batch * sizeof(int32_t),
                           &model->predictions_buffer));
    const size_t counts = (size_t)model->graph.node_count + (size_t)model->graph.slot_count;
    return oce_memory_add(memory, "", "finite check", counts * sizeof(uint32_t),
                          &model->counts_buffer);
}

oce_status oce_model_create(oce_device *device, const oce_network *network,
                            const oce_model_options *options, oce_model **result) {
    *result = NULL;
    oce_model *model = calloc(1, sizeof *model);
    OCE_REQUIRE(model != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a model");
    model->device = device;
    model->options = *options;
    model->gradients_buffer = model->part_gradients_buffer = -1;
    model->slot_buffer[0] = model->slot_buffer[1] = -1;
    oce_status status = check_options(network, &model->options);
    if (status == OCE_OK)
        status = oce_graph_plan(&model->graph, device, network, &model->options, &model->memory);
    if (status == OCE_OK)
        status = plan_parameters(model);
    if (status == OCE_OK)
        status = plan_feeding(model);
    if (status != OCE_OK) {
        oce_model_destroy(model);
        return status;
    }
    model->optimizer_state = oce_optimizer_start(&model->options.optimizer);
    *result = model;
    return OCE_OK;
}

void oce_model_destroy(oce_model *model) {
    if (model == NULL)
        return;
    oce_model_release_stages(model);
    oce_graph_release(&model->graph);
    oce_memory_release(&model->memory);
    free(model->kept_sums);
    free(model);
}

static oce_status fill_block(oce_model *model, int buffer, float value) {
    const int64_t dim[4] = {1, 1, 1, (int64_t)model->graph.block};
    oce_tensor block;
    OCE_TRY(oce_tensor_view(oce_model_memory(model, buffer), 0, dim, NULL, &block));
    return oce_fill(model->device, &block, value);
}

/* Truncated normals, drawn row by row: weights that are stored in panels by way of the memory of
 * their gradient, which is 0 afterwards. */
static oce_status initialise_weights(oce_model *model, int index, const oce_tensor *weights) {
    const oce_graph *graph = &model->graph;
    const oce_slot *slot = &graph->slots[index];
    oce_tensor drawn = *weights;
    if (slot->panel > 0)
        OCE_TRY(oce_graph_variable(graph, index, oce_model_memory(model, model->gradients_buffer),
                                   &drawn));
    OCE_TRY(oce_truncated_normal(model->device, model->options.seed, (uint32_t)index, slot->stddev,
                                 &drawn));
    if (slot->panel == 0)
        return OCE_OK;
    OCE_TRY(oce_variable_to_panels(slot, &drawn, weights));
    return oce_fill(model->device, &drawn, 0);
}

static oce_status initialise(oce_model *model) {
    const oce_graph *graph = &model->graph;
    for (int i = 0; i < graph->slot_count; i++) {
        const oce_slot *slot = &graph->slots[i];
        oce_tensor tensor;
        OCE_TRY(oce_graph_variable(graph, i, oce_model_memory(model, model->parameters_buffer),
                                   &tensor));
        OCE_TRY(slot->variable.is_bias ? oce_fill(model->device, &tensor, slot->start)
                                       : initialise_weights(model, i, &tensor));
    }
    const oce_optimizer_kind kind = model->options.optimizer.kind;
    for (int i = 0; model->options.training && i < oce_optimizer_slots(kind); i++)
        OCE_TRY(fill_block(model, model->slot_buffer[i], oce_optimizer_slot_start(kind, i)));
    return oce_device_finish(model->device);
}

static oce_status allocate(oce_model *model) {
    OCE_TRY(oce_memory_allocate(&model->memory, model->device));
    OCE_TRY(oce_graph_bind(&model->graph, &model->memory));
    model->stage_labels = malloc(oce_buffer_bytes(oce_model_memory(model, model->labels_buffer)));
    model->kept_sums = calloc(oce_model_evaluation_slot(model), sizeof *model->kept_sums);
    OCE_REQUIRE(model->stage_labels != NULL && model->kept_sums != NULL, OCE_ERROR_HOST_MEMORY,
                "no memory for the labels of %d batches", OCE_STAGES);
    OCE_TRY(oce_model_allocate_stages(model));
    return initialise(model);
}

oce_status oce_model_allocate(oce_model *model) {
    OCE_REQUIRE(!model->is_allocated, OCE_ERROR_INVALID_ARGUMENT,
                "model \"%s\" is allocated already", model->graph.network->name);
    const oce_status status = allocate(model);
    if (status == OCE_ERROR_DEVICE_MEMORY && model->graph.batch == 1)
        return oce_fail_suffix(status, "with one image at a time there is nothing left to divide");
    if (status == OCE_ERROR_DEVICE_MEMORY)
        return oce_fail_suffix(status, "a smaller batch, or more micro-batches than %lld, would do",
                               (long long)model->options.micro_batches);
    model->is_allocated = status == OCE_OK;
    return status;
}

oce_status oce_model_check_memory(const oce_model *model) {
    return oce_memory_check(&model->memory, model->device);
}

oce_status oce_model_fit(oce_device *device, const oce_network *network,
                         const oce_model_options *options, int64_t *micro_batches) {
    oce_model_options candidate = *options;
    oce_status status = OCE_ERROR_DEVICE_MEMORY;
    for (int64_t parts = 1; parts <= options->batch && status != OCE_OK; parts++) {
        if (options->batch % parts != 0)
            continue;
        oce_model *model = NULL;
        candidate.micro_batches = *micro_batches = parts;
        OCE_TRY(oce_model_create(device, network, &candidate, &model));
        status = oce_model_check_memory(model);
        oce_model_destroy(model);
    }
    return OCE_OK;
}

oce_status oce_model_require_allocated(const oce_model *model) {
    OCE_REQUIRE(model->is_allocated, OCE_ERROR_INVALID_ARGUMENT,
                "model \"%s\" is planned, but not allocated", model->graph.network->name);
    return OCE_OK;
}

const oce_network *oce_model_network(const oce_model *model) {
    return model->graph.network;
}

const oce_model_options *oce_model_get_options(const oce_model *model) {
    return &model->options;
}

int64_t oce_model_classes(const oce_model *model) {
    return model->graph.nodes[model->graph.node_count - 1].output[2];
}

int oce_model_layer_count(const oce_model *model) {
    return model->graph.node_count;
}

void oce_model_layer(const oce_model *model, int index, oce_layer_info *info) {
    const oce_node *node = &model->graph.nodes[index];
    *info = (oce_layer_info){
        .layer = node->layer,
        .output = {node->output[0], node->output[1], node->output[2]},
        .forward_flops = oce_node_forward_flops(node),
        .training_flops = oce_node_training_flops(node),
        .forward = "",
        .input_grad = "",
        .filter_grad = "",
        .halo = node->halo,
    };
    if (node->weights >= 0)
        info->parameters = model->graph.slots[node->weights].variable.count +
                           model->graph.slots[node->bias].variable.count;
    const bool training = model->options.training;
    if (node->conv != NULL) {
        info->forward =
            oce_conv2d_family_name(oce_conv2d_plan_family(node->conv, OCE_PASS_FORWARD));
        if (node->needs_input_grad)
            info->input_grad = oce_conv2d_family_name(
                oce_conv2d_plan_family(oce_node_gradients(node), OCE_PASS_INPUT_GRAD));
        if (training)
            info->filter_grad = oce_conv2d_family_name(
                oce_conv2d_plan_family(oce_node_gradients(node), OCE_PASS_FILTER_GRAD));
    }
    if (node->gemm_forward != NULL)
        info->forward = oce_gemm_family_name(oce_gemm_plan_family(node->gemm_forward));
    if (node->gemm_input_grad != NULL)
        info->input_grad = oce_gemm_family_name(oce_gemm_plan_family(node->gemm_input_grad));
    if (node->gemm_filter_grad != NULL)
        info->filter_grad = oce_gemm_family_name(oce_gemm_plan_family(node->gemm_filter_grad));
}

int oce_model_buffer_count(const oce_model *model) {
    return model->memory.count;
}

void oce_model_buffer(const oce_model *model, int index, oce_buffer_info *info) {
    const oce_memory_slot *slot = &model->memory.slots[index];
    *info = (oce_buffer_info){.name = slot->name, .bytes = slot->bytes};
}

size_t oce_model_bytes(const oce_model *model) {
    return model->memory.total;
}
