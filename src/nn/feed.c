/*
 * Batches to the device, and the metrics of steps back, without waiting for the device: the host
 * works ahead of it by up to OCE_STAGES micro-batches, each with memory of its own and a mark in
 * the queue behind the last reading of it. On CPUs the host writes where the kernels read, in
 * mapped memory; elsewhere to memory of its own, which is copied.
 */
#include "nn/model.h"

#include "base/status.h"

#include <ocelli/elementwise.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    AUGMENT_SHIFT = 4, /* pixels */
    HOST_PIXELS = 4096 /* bytes of a batch that the host converts: for the latency of one image */
};

size_t oce_model_sums_slot(const oce_model *model, uint64_t step, int64_t part) {
    return (size_t)(step % OCE_METRICS_KEPT) * (size_t)model->options.micro_batches + (size_t)part;
}

size_t oce_model_evaluation_slot(const oce_model *model) {
    return (size_t)OCE_METRICS_KEPT * (size_t)model->options.micro_batches;
}

oce_status oce_model_allocate_stages(oce_model *model) {
    const oce_tensor *input = &model->graph.input;
    const bool is_cpu = oce_device_limits(model->device)->is_cpu;
    const size_t bytes = oce_buffer_bytes(oce_model_memory(model, model->images_buffer[0]));
    if (!is_cpu) {
        model->stage_images = calloc(OCE_STAGES, bytes);
        OCE_REQUIRE(model->stage_images != NULL, OCE_ERROR_HOST_MEMORY,
                    "no memory for %d batches of %zu bytes", OCE_STAGES, bytes);
    } else if (oce_tensor_count(input) <= HOST_PIXELS) {
        model->stage_inputs = calloc(OCE_STAGES, oce_buffer_bytes(input->buffer));
        OCE_REQUIRE(model->stage_inputs != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %d batches",
                    OCE_STAGES);
    }
    return OCE_OK;
}

void oce_model_release_stages(oce_model *model) {
    for (int i = 0; i < OCE_STAGES; i++) {
        oce_stage *stage = &model->stages[i];
        if (stage->mapped != NULL)
            oce_buffer_unmap(oce_model_memory(model, model->images_buffer[i]), stage->mapped);
        stage->mapped = NULL;
        oce_mark_clear(&stage->passed);
    }
    if (model->is_allocated)
        oce_device_finish(model->device);
    free(model->stage_images);
    free(model->stage_labels);
    free(model->stage_inputs);
}

/* Converts the images as oce_convert_bytes() does, and copies them with the halo's zeros. */
static oce_status feed_inputs(oce_model *model, const uint8_t *images, int64_t rows) {
    const oce_tensor *input = &model->graph.input;
    const size_t bytes = oce_buffer_bytes(input->buffer);
    float *stage = model->stage_inputs + (size_t)model->stage * (bytes / sizeof *stage);
    const int64_t height = input->dim[1], line = input->dim[2] * input->dim[3];
    for (int64_t n = 0; n < rows; n++)
        for (int64_t h = 0; h < height; h++) {
            float *to = stage + input->offset + n * input->stride[0] + h * input->stride[1];
            const uint8_t *from = images + (n * height + h) * line;
            for (int64_t i = 0; i < line; i++)
                to[i] = (float)from[i] * model->options.input_scale;
        }
    return oce_buffer_write_marked(input->buffer, 0, stage, bytes,
                                   &model->stages[model->stage].passed);
}

/* Writes the bytes to where the device reads them. */
static oce_status write_mapped(oce_stage *stage, oce_buffer *buffer, const uint8_t *images,
                               size_t bytes) {
    if (stage->mapped == NULL) { /* for the first time */
        OCE_TRY(oce_buffer_map_later(buffer, &stage->mapped, &stage->passed));
        OCE_TRY(oce_mark_wait(&stage->passed));
    }
    void *host = stage->mapped;
    memcpy(host, images, bytes);
    stage->mapped = NULL;
    return oce_buffer_unmap(buffer, host);
}

/* Brings the bytes to the device and converts them there. */
static oce_status feed_bytes(oce_model *model, const uint8_t *images, int64_t rows,
                             const oce_augment *augment) {
    oce_stage *stage = &model->stages[model->stage];
    oce_buffer *buffer = oce_model_memory(model, model->images_buffer[model->stage]);
    oce_tensor input = model->graph.input;
    input.dim[0] = rows;
    const size_t bytes = oce_tensor_count(&input);
    const bool is_mapped = model->stage_images == NULL;
    if (is_mapped) {
        OCE_TRY(write_mapped(stage, buffer, images, bytes));
    } else {
        uint8_t *host = model->stage_images + (size_t)model->stage * oce_buffer_bytes(buffer);
        memcpy(host, images, bytes);
        OCE_TRY(oce_buffer_write_marked(buffer, 0, host, bytes, &stage->passed));
    }
    OCE_TRY(
        oce_convert_bytes(model->device, buffer, 0, model->options.input_scale, augment, &input));
    return is_mapped ? oce_buffer_map_later(buffer, &stage->mapped, &stage->passed) : OCE_OK;
}

oce_status oce_model_feed(oce_model *model, const uint8_t *images, const uint8_t *labels,
                          int64_t rows, bool augment, int64_t first_image, size_t *labels_first) {
    model->stage = (model->stage + 1) % OCE_STAGES;
    const size_t at = (size_t)model->stage * (size_t)model->graph.batch;
    oce_stage *stage = &model->stages[model->stage];
    OCE_TRY(oce_mark_wait(&stage->passed));
    oce_device_label(model->device, "input", 0);
    if (labels != NULL) {
        memcpy(model->stage_labels + at, labels, (size_t)rows);
        OCE_TRY(oce_buffer_write_later(oce_model_memory(model, model->labels_buffer), at,
                                       model->stage_labels + at, (size_t)rows));
    }
    stage->step = model->step;
    *labels_first = at;
    const oce_augment random = {.seed = model->options.seed,
                                .step = (uint32_t)model->step,
                                .first_image = (uint32_t)first_image,
                                .max_shift = AUGMENT_SHIFT,
                                .flip = true};
    if (model->stage_inputs != NULL && !augment)
        return feed_inputs(model, images, rows);
    return feed_bytes(model, images, rows, augment ? &random : NULL);
}

oce_status oce_model_fetch_sums(oce_model *model, int64_t part) {
    const size_t slot = oce_model_sums_slot(model, model->step, part);
    return oce_buffer_read_later(oce_model_memory(model, model->sums_buffer),
                                 slot * sizeof *model->kept_sums, &model->kept_sums[slot],
                                 sizeof *model->kept_sums);
}

/* Waits until step `step` is done: until the device has passed a batch of a later step, as the
 * queue is in order, or, if none was fed yet, for all of the queue. */
static oce_status wait_for_step(oce_model *model, uint64_t step) {
    oce_stage *later = NULL;
    for (int i = 0; i < OCE_STAGES; i++) {
        oce_stage *stage = &model->stages[i];
        if (stage->step > step && (later == NULL || stage->step < later->step))
            later = stage;
    }
    return later != NULL ? oce_mark_wait(&later->passed) : oce_device_finish(model->device);
}

oce_status oce_model_step_metrics(oce_model *model, uint64_t step, oce_metrics *metrics) {
    OCE_TRY(oce_model_require_allocated(model));
    OCE_REQUIRE(step < model->step && step >= model->first_kept_step &&
                    model->step - step <= OCE_METRICS_KEPT,
                OCE_ERROR_NOT_FOUND,
                "the metrics of step %llu are not kept (%llu steps were taken, the last %d are)",
                (unsigned long long)step, (unsigned long long)model->step, (int)OCE_METRICS_KEPT);
    OCE_TRY(wait_for_step(model, step));
    *metrics = (oce_metrics){.images = model->options.batch};
    for (int64_t part = 0; part < model->options.micro_batches; part++) {
        const oce_xent_sums *sums = &model->kept_sums[oce_model_sums_slot(model, step, part)];
        metrics->loss += (double)sums->loss;
        metrics->accuracy += (double)sums->correct;
    }
    metrics->loss /= (double)metrics->images;
    metrics->accuracy /= (double)metrics->images;
    return OCE_OK;
}

oce_status oce_model_find_nonfinite(oce_model *model, uint64_t first, uint64_t end, bool *found,
                                    uint64_t *step) {
    *found = false;
    OCE_TRY(oce_model_require_allocated(model));
    if (end > model->step)
        end = model->step;
    if (first < model->first_kept_step)
        first = model->first_kept_step;
    if (model->step > OCE_METRICS_KEPT && first < model->step - OCE_METRICS_KEPT)
        first = model->step - OCE_METRICS_KEPT;
    if (first >= end)
        return OCE_OK;
    OCE_TRY(wait_for_step(model, end - 1));
    for (uint64_t s = first; s < end && !*found; s++)
        for (int64_t part = 0; part < model->options.micro_batches; part++)
            if (!isfinite(model->kept_sums[oce_model_sums_slot(model, s, part)].loss)) {
                *found = true;
                *step = s;
            }
    return OCE_OK;
}
