#include "ref/ref.h"

#include <float.h>
#include <math.h>

/* What every formula of a row starts from: m = max z and E = sum of exp(z - m). */
typedef struct row_sums {
    double largest;
    double sum;
} row_sums;

static row_sums row_start(int64_t classes, const float *z) {
    row_sums row = {-INFINITY, 0};
    for (int64_t c = 0; c < classes; c++)
        row.largest = fmax(row.largest, (double)z[c]);
    for (int64_t c = 0; c < classes; c++)
        row.sum += exp((double)z[c] - row.largest);
    return row;
}

static double probability(const row_sums *row, float z) {
    return exp((double)z - row->largest) / row->sum;
}

/* -log of the probability, which is finite where the probability itself underflows. */
static double surprise(const row_sums *row, float z) {
    return log(row->sum) - ((double)z - row->largest);
}

void oce_ref_softmax(int64_t rows, int64_t classes, const float *logits, float *probabilities) {
    for (int64_t r = 0; r < rows; r++) {
        const float *z = logits + r * classes;
        const row_sums row = row_start(classes, z);
        for (int64_t c = 0; c < classes; c++)
            probabilities[r * classes + c] = (float)probability(&row, z[c]);
    }
}

void oce_ref_softmax_xent(int64_t rows, int64_t classes, const float *logits, const float *labels,
                          float upstream, float *losses, float *dlogits) {
    for (int64_t r = 0; r < rows; r++) {
        const float *z = logits + r * classes, *label = labels + r * classes;
        const row_sums row = row_start(classes, z);
        double loss = 0;
        for (int64_t c = 0; c < classes; c++) {
            loss += (double)label[c] * surprise(&row, z[c]);
            if (dlogits)
                dlogits[r * classes + c] =
                    (float)((probability(&row, z[c]) - (double)label[c]) * (double)upstream);
        }
        losses[r] = (float)loss;
    }
}

void oce_ref_softmax_xent_classes(int64_t rows, int64_t classes, const float *logits,
                                  const uint8_t *labels, float upstream, oce_xent_sums *sums,
                                  float *dlogits, int32_t *predictions) {
    double loss = 0;
    int32_t correct = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *z = logits + r * classes;
        const int64_t label = labels[r];
        const row_sums row = row_start(classes, z);
        loss += label < classes ? surprise(&row, z[label]) : (double)NAN;
        for (int64_t c = 0; c < classes && dlogits; c++) {
            const double one_hot = c == label ? 1.0 : 0.0;
            dlogits[r * classes + c] =
                (float)((probability(&row, z[c]) - one_hot) * (double)upstream);
        }
        int32_t prediction;
        oce_ref_argmax(1, classes, z, &prediction);
        correct += prediction == label;
        if (predictions)
            predictions[r] = prediction;
    }
    *sums = (oce_xent_sums){.loss = (float)loss, .correct = correct};
}

void oce_ref_argmax(int64_t rows, int64_t classes, const float *logits, int32_t *predictions) {
    for (int64_t r = 0; r < rows; r++) {
        float largest = -FLT_MAX;
        predictions[r] = 0;
        for (int64_t c = 0; c < classes; c++)
            if (logits[r * classes + c] > largest) {
                largest = logits[r * classes + c];
                predictions[r] = (int32_t)c;
            }
    }
}
