#include "ref/ref.h"

#include "base/random.h"
#include "base/status.h"

#include <stdbool.h>

void oce_ref_relu(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] <= 0.0F ? 0.0F : x[i]; /* a comparison that lets NaN through */
}

void oce_ref_relu_grad(size_t count, const float *dy, const float *y, float *dx) {
    for (size_t i = 0; i < count; i++)
        dx[i] = y[i] > 0.0F ? dy[i] : 0.0F;
}

void oce_ref_bias_grad(int64_t rows, int64_t columns, const float *dy, float *db) {
    for (int64_t column = 0; column < columns; column++) {
        double sum = 0;
        for (int64_t row = 0; row < rows; row++)
            sum += (double)dy[row * columns + column];
        db[column] = (float)sum;
    }
}

static bool kept(const oce_dropout *dropout, uint64_t element) {
    const uint32_t counter[4] = {(uint32_t)(element / 4), dropout->step, dropout->layer,
                                 OCE_RANDOM_DROPOUT};
    const uint32_t key[2] = {(uint32_t)dropout->seed, (uint32_t)(dropout->seed >> 32)};
    uint32_t words[4];
    oce_philox4x32(counter, key, words);
    return (float)(words[element % 4] >> 8) * 0x1p-24F < dropout->keep_prob;
}

oce_status oce_ref_dropout(const oce_dropout *dropout, size_t count, const float *x, float *y) {
    OCE_REQUIRE(dropout->keep_prob > 0.0F && dropout->keep_prob <= 1.0F, OCE_ERROR_INVALID_ARGUMENT,
                "dropout: keep_prob %g is not in (0, 1]", (double)dropout->keep_prob);
    for (size_t i = 0; i < count; i++)
        y[i] = kept(dropout, dropout->first + i) ? x[i] / dropout->keep_prob : 0.0F;
    return OCE_OK;
}

void oce_ref_convert_bytes(size_t count, const uint8_t *bytes, float scale, float *y) {
    for (size_t i = 0; i < count; i++)
        y[i] = (float)bytes[i] * scale;
}
