/* A model's answers on a data set. */
#include <ocelli/train.h>

#include "base/status.h"

#include <stdlib.h>

struct oce_evaluation {
    oce_metrics metrics;
    int64_t classes;
    uint8_t *predictions; /* [metrics.images] */
    uint8_t *is_correct;  /* [metrics.images] */
    int64_t *confusion;   /* [classes, classes]: actual, predicted */
};

oce_status oce_evaluation_create(oce_model *model, const oce_dataset *dataset,
                                 oce_evaluation **result) {
    *result = NULL;
    const int64_t count = oce_dataset_count(dataset), classes = oce_model_classes(model);
    const uint8_t *labels = oce_dataset_labels(dataset);
    oce_evaluation *evaluation = calloc(1, sizeof *evaluation);
    oce_status status = OCE_OK;
    if (evaluation != NULL) {
        evaluation->classes = classes;
        evaluation->predictions = malloc((size_t)count);
        evaluation->is_correct = malloc((size_t)count);
        evaluation->confusion = calloc((size_t)(classes * classes), sizeof(int64_t));
    }
    if (evaluation == NULL || evaluation->predictions == NULL || evaluation->is_correct == NULL ||
        evaluation->confusion == NULL)
        status =
            oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for %lld predictions", (long long)count);
    else
        status = oce_model_evaluate(model, oce_dataset_images(dataset), labels, count,
                                    &evaluation->metrics, evaluation->predictions);
    if (status != OCE_OK) {
        oce_evaluation_destroy(evaluation);
        return status;
    }
    for (int64_t i = 0; i < count; i++) {
        evaluation->confusion[labels[i] * classes + evaluation->predictions[i]]++;
        evaluation->is_correct[i] = labels[i] == evaluation->predictions[i];
    }
    *result = evaluation;
    return OCE_OK;
}

void oce_evaluation_destroy(oce_evaluation *evaluation) {
    if (evaluation == NULL)
        return;
    free(evaluation->predictions);
    free(evaluation->is_correct);
    free(evaluation->confusion);
    free(evaluation);
}

oce_metrics oce_evaluation_metrics(const oce_evaluation *evaluation) {
    return evaluation->metrics;
}

int64_t oce_evaluation_confusion(const oce_evaluation *evaluation, int64_t actual,
                                 int64_t predicted) {
    return evaluation->confusion[actual * evaluation->classes + predicted];
}

int64_t oce_evaluation_prediction(const oce_evaluation *evaluation, int64_t index) {
    return evaluation->predictions[index];
}

oce_status oce_evaluation_estimate(const oce_evaluation *evaluation, int batches, int64_t batch,
                                   uint64_t seed, double *accuracy) {
    OCE_REQUIRE(batches >= 1, OCE_ERROR_INVALID_ARGUMENT, "an estimate over %d batches", batches);
    oce_batches *draws = NULL;
    OCE_TRY(oce_batches_create(evaluation->metrics.images, batch, OCE_SHUFFLE_DRAW, seed, &draws));
    int32_t *indices = malloc((size_t)batch * sizeof *indices);
    oce_status status = indices != NULL
                            ? OCE_OK
                            : oce_fail(OCE_ERROR_HOST_MEMORY,
                                       "no memory for a batch of %lld images", (long long)batch);
    int64_t correct = 0;
    for (int b = 0; b < batches && status == OCE_OK; b++) {
        status = oce_batches_next(draws, indices);
        for (int64_t i = 0; i < batch && status == OCE_OK; i++)
            correct += evaluation->is_correct[indices[i]];
    }
    *accuracy = (double)correct / ((double)batches * (double)batch);
    free(indices);
    oce_batches_destroy(draws);
    return status;
}
