/* Training steps, evaluation, prediction. */
#include "nn/model.h"

#include "base/status.h"
#include "device/device.h"

#include <ocelli/elementwise.h>

#include <stdlib.h>

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
    OCE_TRY(oce_model_fetch_sums(model, part));
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

/* A forward pass without dropout over `rows` images, at most graph.batch. */
static oce_status forward_rows(oce_model *model, const uint8_t *images, const uint8_t *labels,
                               int64_t rows, size_t *labels_first) {
    const oce_dropout_state off = {.is_on = false};
    OCE_TRY(oce_model_feed(model, images, labels, rows, false, 0, labels_first));
    return oce_graph_forward(&model->graph, &model->memory,
                             oce_model_memory(model, model->parameters_buffer), &off);
}

/* What an evaluation brings back: nothing of it is there before the queue is empty. */
typedef struct answers {
    oce_xent_sums *sums; /* [passes] */
    int32_t *classes;    /* [count]; NULL: not wanted */
} answers;

static oce_status evaluate_rows(oce_model *model, const uint8_t *images, const uint8_t *labels,
                                int64_t rows, oce_xent_sums *sums, int32_t *predictions) {
    size_t labels_first = 0;
    OCE_TRY(forward_rows(model, images, labels, rows, &labels_first));
    const oce_tensor logits = logits_of(model, rows);
    oce_buffer *sums_buffer = oce_model_memory(model, model->sums_buffer);
    oce_buffer *classes = oce_model_memory(model, model->predictions_buffer);
    const size_t slot = oce_model_evaluation_slot(model);
    OCE_TRY(oce_graph_metrics(&model->graph, &model->memory,
                              oce_model_memory(model, model->parameters_buffer), &logits,
                              oce_model_memory(model, model->labels_buffer), labels_first,
                              sums_buffer, slot, predictions != NULL ? classes : NULL));
    OCE_TRY(oce_buffer_read_later(sums_buffer, slot * sizeof *sums, sums, sizeof *sums));
    if (predictions == NULL)
        return oce_device_flush(model->device);
    OCE_TRY(oce_buffer_read_later(classes, 0, predictions, (size_t)rows * sizeof *predictions));
    return oce_device_flush(model->device);
}

/* Enqueues all passes, and waits for them also after a failure, as they write to `a`. */
static oce_status evaluate_all(oce_model *model, const uint8_t *images, const uint8_t *labels,
                               int64_t count, const answers *a) {
    const int64_t batch = model->graph.batch;
    const size_t image = oce_tensor_count(&model->graph.input) / (size_t)batch;
    oce_status status = OCE_OK;
    for (int64_t first = 0; first < count && status == OCE_OK; first += batch) {
        const int64_t rows = count - first < batch ? count - first : batch;
        status =
            evaluate_rows(model, images + (size_t)first * image, labels + first, rows,
                          &a->sums[first / batch], a->classes != NULL ? a->classes + first : NULL);
    }
    const oce_status finished = oce_device_finish(model->device);
    return status != OCE_OK ? status : finished;
}

static void add_up(const answers *a, int64_t passes, int64_t count, oce_metrics *metrics,
                   uint8_t *predictions) {
    *metrics = (oce_metrics){.images = count};
    for (int64_t i = 0; i < passes; i++) {
        metrics->loss += (double)a->sums[i].loss;
        metrics->accuracy += (double)a->sums[i].correct;
    }
    metrics->loss /= (double)count;
    metrics->accuracy /= (double)count;
    for (int64_t i = 0; predictions != NULL && i < count; i++)
        predictions[i] = (uint8_t)a->classes[i];
}

oce_status oce_model_evaluate(oce_model *model, const uint8_t *images, const uint8_t *labels,
                              int64_t count, oce_metrics *metrics, uint8_t *predictions) {
    OCE_TRY(oce_model_require_allocated(model));
    OCE_REQUIRE(count >= 1, OCE_ERROR_INVALID_ARGUMENT, "evaluating %lld images", (long long)count);
    OCE_TRY(check_labels(model, labels, count));
    const int64_t passes = (count + model->graph.batch - 1) / model->graph.batch;
    answers a = {.sums = calloc((size_t)passes, sizeof *a.sums)};
    if (predictions != NULL)
        a.classes = calloc((size_t)count, sizeof *a.classes);
    oce_status status = OCE_OK;
    if (a.sums == NULL || (predictions != NULL && a.classes == NULL))
        status =
            oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for %lld predictions", (long long)count);
    else
        status = evaluate_all(model, images, labels, count, &a);
    if (status == OCE_OK)
        add_up(&a, passes, count, metrics, predictions);
    free(a.sums);
    free(a.classes);
    return status;
}

static oce_status predict_rows(oce_model *model, const uint8_t *images, int64_t rows,
                               float *probabilities) {
    size_t unused = 0;
    OCE_TRY(forward_rows(model, images, NULL, rows, &unused));
    const oce_tensor logits = logits_of(model, rows);
    OCE_TRY(oce_graph_softmax(&model->graph, &model->memory,
                              oce_model_memory(model, model->parameters_buffer), &logits));
    OCE_TRY(oce_buffer_read_later(logits.buffer, logits.offset * sizeof *probabilities,
                                  probabilities,
                                  oce_tensor_count(&logits) * sizeof *probabilities));
    return oce_device_flush(model->device);
}

oce_status oce_model_predict(oce_model *model, const uint8_t *images, int64_t count,
                             float *probabilities) {
    OCE_TRY(oce_model_require_allocated(model));
    const int64_t batch = model->graph.batch, classes = oce_model_classes(model);
    const size_t image = oce_tensor_count(&model->graph.input) / (size_t)batch;
    oce_status status = OCE_OK;
    for (int64_t first = 0; first < count && status == OCE_OK; first += batch) {
        const int64_t rows = count - first < batch ? count - first : batch;
        status = predict_rows(model, images + (size_t)first * image, rows,
                              probabilities + first * classes);
    }
    const oce_status finished = oce_device_finish(model->device); /* also after a failure */
    return status != OCE_OK ? status : finished;
}
