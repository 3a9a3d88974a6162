/* Feeding, training steps, evaluation, prediction. */
#include "nn/model.h"

#include "base/status.h"
#include "device/device.h"

#include <ocelli/elementwise.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AUGMENT_SHIFT = 4 }; /* pixels */

size_t oce_model_sums_slot(const oce_model *model, uint64_t step, int64_t part) {
    return (size_t)(step % OCE_METRICS_KEPT) * (size_t)model->options.micro_batches + (size_t)part;
}

size_t oce_model_evaluation_slot(const oce_model *model) {
    return (size_t)OCE_METRICS_KEPT * (size_t)model->options.micro_batches;
}

oce_status oce_model_feed(oce_model *model, const uint8_t *images, const uint8_t *labels,
                          int64_t rows, bool augment, int64_t first_image, size_t *labels_first) {
    const oce_network *network = model->graph.network;
    const size_t image = (size_t)(network->height * network->width * network->channels);
    const size_t batch = (size_t)model->graph.batch, stage = (size_t)model->stage;
    const size_t at = stage * batch;
    if (model->stage == 0)
        OCE_TRY(oce_device_finish(model->device)); /* until then the device may read the stages */
    model->stage = (model->stage + 1) % OCE_STAGES;
    memcpy(model->stage_images + at * image, images, (size_t)rows * image);
    oce_buffer *device_images = oce_model_memory(model, model->images_buffer);
    oce_device_label(model->device, "input", 0);
    OCE_TRY(oce_buffer_write_later(device_images, at * image, model->stage_images + at * image,
                                   (size_t)rows * image));
    if (labels != NULL) {
        memcpy(model->stage_labels + at, labels, (size_t)rows);
        OCE_TRY(oce_buffer_write_later(oce_model_memory(model, model->labels_buffer), at,
                                       model->stage_labels + at, (size_t)rows));
    }
    *labels_first = at;
    oce_tensor input = model->graph.input;
    input.dim[0] = rows;
    const oce_augment random = {.seed = model->options.seed,
                                .step = (uint32_t)model->step,
                                .first_image = (uint32_t)first_image,
                                .max_shift = AUGMENT_SHIFT,
                                .flip = true};
    return oce_convert_bytes(model->device, device_images, at * image, model->options.input_scale,
                             augment ? &random : NULL, &input);
}

static oce_status check_labels(const oce_model *model, const uint8_t *labels, int64_t count) {
    const int64_t classes = oce_model_classes(model);
    for (int64_t i = 0; i < count; i++)
        OCE_REQUIRE(labels[i] < classes, OCE_ERROR_INVALID_ARGUMENT,
                    "label %d of image %lld is not below the %lld classes of network \"%s\"",
                    labels[i], (long long)i, (long long)classes, model->graph.network->name);
    return OCE_OK;
}

/* The first `rows` rows of the logits. */
static oce_tensor logits_of(const oce_model *model, int64_t rows) {
    oce_tensor logits = model->graph.nodes[model->graph.node_count - 1].output_tensor;
    logits.dim[0] = rows;
    return logits;
}

/* Forward and backward over one micro-batch; its gradients go to `gradients`. */
static oce_status run_part(oce_model *model, const uint8_t *images, const uint8_t *labels,
                           int64_t part, oce_buffer *gradients) {
    oce_graph *graph = &model->graph;
    const int64_t rows = graph->batch, first = part * rows;
    const size_t image =
        (size_t)(graph->network->height * graph->network->width * graph->network->channels);
    oce_buffer *parameters = oce_model_memory(model, model->parameters_buffer);
    const oce_dropout_state dropout = {.is_on = true,
                                       .keep_prob = model->options.keep_prob,
                                       .seed = model->options.seed,
                                       .step = (uint32_t)model->step,
                                       .first_image = first};
    size_t labels_first = 0;
    oce_tensor dlogits;
    OCE_TRY(oce_model_feed(model, images + (size_t)first * image, labels + first, rows,
                           model->options.augment, first, &labels_first));
    OCE_TRY(oce_graph_forward(graph, &model->memory, parameters, &dropout));
    OCE_TRY(oce_graph_logits_grad(graph, &model->memory, &dlogits));
    const oce_tensor logits = logits_of(model, rows);
    oce_device_label(model->device, "loss", 0);
    OCE_TRY(oce_softmax_xent_classes(
        model->device, &logits, oce_model_memory(model, model->labels_buffer), labels_first,
        1.0F / (float)model->options.batch, oce_model_memory(model, model->sums_buffer),
        oce_model_sums_slot(model, model->step, part), &dlogits, NULL,
        oce_model_memory(model, graph->workspace_buffer)));
    return oce_graph_backward(graph, &model->memory, parameters, gradients, &dropout);
}

static oce_status block_tensor(const oce_model *model, int buffer, oce_tensor *tensor) {
    const int64_t dim[4] = {1, 1, 1, (int64_t)model->graph.block};
    return oce_tensor_view(oce_model_memory(model, buffer), 0, dim, NULL, tensor);
}

oce_status oce_model_train_step(oce_model *model, const uint8_t *images, const uint8_t *labels,
                                float learning_rate) {
    OCE_TRY(oce_model_require_allocated(model));
    OCE_REQUIRE(model->options.training, OCE_ERROR_INVALID_ARGUMENT,
                "model \"%s\" was planned for forward passes only", model->graph.network->name);
    OCE_TRY(check_labels(model, labels, model->options.batch));
    oce_tensor parameters, gradients, slots[2];
    OCE_TRY(block_tensor(model, model->parameters_buffer, &parameters));
    OCE_TRY(block_tensor(model, model->gradients_buffer, &gradients));
    for (int64_t part = 0; part < model->options.micro_batches; part++) {
        const int target = part == 0 ? model->gradients_buffer : model->part_gradients_buffer;
        OCE_TRY(run_part(model, images, labels, part, oce_model_memory(model, target)));
        if (part == 0)
            continue;
        oce_tensor part_gradients;
        OCE_TRY(block_tensor(model, target, &part_gradients));
        oce_device_label(model->device, "gradient sum", 0);
        OCE_TRY(oce_add(model->device, &part_gradients, &gradients));
    }
    for (int i = 0; i < oce_optimizer_slots(model->options.optimizer.kind); i++)
        OCE_TRY(block_tensor(model, model->slot_buffer[i], &slots[i]));
    oce_device_label(model->device, "optimizer", 0);
    OCE_TRY(oce_optimizer_step(model->device, &model->options.optimizer, learning_rate,
                               &model->optimizer_state, &gradients, &parameters, slots));
    model->step++;
    return oce_device_flush(model->device);
}

oce_status oce_model_step_metrics(oce_model *model, uint64_t step, oce_metrics *metrics) {
    OCE_TRY(oce_model_require_allocated(model));
    OCE_REQUIRE(step < model->step && step >= model->first_kept_step &&
                    model->step - step <= OCE_METRICS_KEPT,
                OCE_ERROR_NOT_FOUND,
                "the metrics of step %llu are not kept (%llu steps were taken, the last %d are)",
                (unsigned long long)step, (unsigned long long)model->step, (int)OCE_METRICS_KEPT);
    const int64_t parts = model->options.micro_batches;
    *metrics = (oce_metrics){.images = model->options.batch};
    for (int64_t part = 0; part < parts; part++) {
        oce_xent_sums sums;
        OCE_TRY(oce_buffer_read(oce_model_memory(model, model->sums_buffer),
                                oce_model_sums_slot(model, step, part) * sizeof sums, &sums,
                                sizeof sums));
        metrics->loss += (double)sums.loss;
        metrics->accuracy += (double)sums.correct;
    }
    metrics->loss /= (double)metrics->images;
    metrics->accuracy /= (double)metrics->images;
    return OCE_OK;
}

oce_status oce_model_find_nonfinite(oce_model *model, uint64_t first, uint64_t end, bool *found,
                                    uint64_t *step) {
    *found = false;
    OCE_TRY(oce_model_require_allocated(model));
    const size_t parts = (size_t)model->options.micro_batches;
    const size_t bytes = OCE_METRICS_KEPT * parts * sizeof(oce_xent_sums);
    oce_xent_sums *sums = malloc(bytes);
    OCE_REQUIRE(sums != NULL, OCE_ERROR_HOST_MEMORY, "no memory for the losses of %d steps",
                (int)OCE_METRICS_KEPT);
    const oce_status status =
        oce_buffer_read(oce_model_memory(model, model->sums_buffer), 0, sums, bytes);
    if (first < model->first_kept_step)
        first = model->first_kept_step;
    if (model->step > OCE_METRICS_KEPT && first < model->step - OCE_METRICS_KEPT)
        first = model->step - OCE_METRICS_KEPT;
    for (uint64_t s = first; s < end && s < model->step && status == OCE_OK && !*found; s++)
        for (size_t part = 0; part < parts; part++)
            if (!isfinite(sums[oce_model_sums_slot(model, s, (int64_t)part)].loss)) {
                *found = true;
                *step = s;
            }
    free(sums);
    return status;
}

/* A forward pass without dropout over `rows` images, at most graph.batch. */
static oce_status forward_rows(oce_model *model, const uint8_t *images, const uint8_t *labels,
                               int64_t rows, size_t *labels_first) {
    const oce_dropout_state off = {.is_on = false};
    OCE_TRY(oce_model_feed(model, images, labels, rows, false, 0, labels_first));
    return oce_graph_forward(&model->graph, &model->memory,
                             oce_model_memory(model, model->parameters_buffer), &off);
}

static oce_status evaluate_rows(oce_model *model, const uint8_t *images, const uint8_t *labels,
                                int64_t rows, oce_metrics *metrics, int32_t *predictions) {
    size_t labels_first = 0;
    OCE_TRY(forward_rows(model, images, labels, rows, &labels_first));
    const oce_tensor logits = logits_of(model, rows);
    oce_buffer *sums_buffer = oce_model_memory(model, model->sums_buffer);
    oce_buffer *classes = oce_model_memory(model, model->predictions_buffer);
    const size_t slot = oce_model_evaluation_slot(model);
    oce_device_label(model->device, "loss", 0);
    OCE_TRY(oce_softmax_xent_classes(
        model->device, &logits, oce_model_memory(model, model->labels_buffer), labels_first, 1.0F,
        sums_buffer, slot, NULL, predictions != NULL ? classes : NULL,
        oce_model_memory(model, model->graph.workspace_buffer)));
    oce_xent_sums sums;
    OCE_TRY(oce_buffer_read(sums_buffer, slot * sizeof sums, &sums, sizeof sums));
    if (predictions != NULL)
        OCE_TRY(oce_buffer_read(classes, 0, predictions, (size_t)rows * sizeof *predictions));
    metrics->loss += (double)sums.loss;
    metrics->accuracy += (double)sums.correct;
    return OCE_OK;
}

oce_status oce_model_evaluate(oce_model *model, const uint8_t *images, const uint8_t *labels,
                              int64_t count, oce_metrics *metrics, uint8_t *predictions) {
    OCE_TRY(oce_model_require_allocated(model));
    OCE_REQUIRE(count >= 1, OCE_ERROR_INVALID_ARGUMENT, "evaluating %lld images", (long long)count);
    OCE_TRY(check_labels(model, labels, count));
    const int64_t batch = model->graph.batch;
    const size_t image = oce_tensor_count(&model->graph.input) / (size_t)batch;
    int32_t *classes = NULL;
    if (predictions != NULL) {
        classes = malloc((size_t)batch * sizeof *classes);
        OCE_REQUIRE(classes != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %lld predictions",
                    (long long)batch);
    }
    *metrics = (oce_metrics){.images = count};
    oce_status status = OCE_OK;
    for (int64_t first = 0; first < count && status == OCE_OK; first += batch) {
        const int64_t rows = count - first < batch ? count - first : batch;
        status = evaluate_rows(model, images + (size_t)first * image, labels + first, rows, metrics,
                               classes);
        for (int64_t i = 0; status == OCE_OK && predictions != NULL && i < rows; i++)
            predictions[first + i] = (uint8_t)classes[i];
    }
    free(classes);
    metrics->loss /= (double)count;
    metrics->accuracy /= (double)count;
    return status;
}

oce_status oce_model_predict(oce_model *model, const uint8_t *images, int64_t count,
                             float *probabilities) {
    OCE_TRY(oce_model_require_allocated(model));
    const int64_t batch = model->graph.batch, classes = oce_model_classes(model);
    const size_t image = oce_tensor_count(&model->graph.input) / (size_t)batch;
    for (int64_t first = 0; first < count; first += batch) {
        const int64_t rows = count - first < batch ? count - first : batch;
        size_t unused = 0;
        OCE_TRY(forward_rows(model, images + (size_t)first * image, NULL, rows, &unused));
        const oce_tensor logits = logits_of(model, rows);
        oce_device_label(model->device, "softmax", 0);
        OCE_TRY(oce_softmax(model->device, &logits, &logits));
        OCE_TRY(oce_tensor_read(&logits, probabilities + first * classes));
    }
    return OCE_OK;
}
