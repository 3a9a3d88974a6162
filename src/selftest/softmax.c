/* Softmax, cross entropy with and without its gradient, and predictions, of a batch of either
 * network. */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <math.h>
#include <stdio.h>

static const double bound = 1e-5;

enum { CLASSES = 10 };

typedef enum result { SOFTMAX, GRADIENT, LOSS, CORRECT, PREDICTIONS, ARGMAX, RESULTS } result;

static const char *const operations[RESULTS] = {
    [SOFTMAX] = "softmax",
    [GRADIENT] = "softmax cross entropy gradient",
    [LOSS] = "softmax cross entropy",
    [CORRECT] = "correct predictions",
    [PREDICTIONS] = "predictions",
    [ARGMAX] = "argmax",
};

typedef struct batch {
    int64_t rows, dim[4];
    float *logits, *probabilities, *dlogits; /* expected but for the logits */
    uint8_t *labels;
    int32_t *classes;
    oce_xent_sums sums;
} batch;

static oce_status draw(oce_check *check, int64_t rows, batch *b) {
    *b = (batch){.rows = rows, .dim = {rows, 1, 1, CLASSES}};
    const size_t count = (size_t)rows * CLASSES;
    void *probabilities = NULL, *dlogits = NULL, *classes = NULL;
    OCE_TRY(oce_check_floats(check, count, -8, 8, &b->logits));
    OCE_TRY(oce_check_bytes(check, (size_t)rows, CLASSES, &b->labels));
    OCE_TRY(oce_check_block(check, count * sizeof(float), &probabilities));
    OCE_TRY(oce_check_block(check, count * sizeof(float), &dlogits));
    OCE_TRY(oce_check_block(check, (size_t)rows * sizeof(int32_t), &classes));
    b->probabilities = probabilities;
    b->dlogits = dlogits;
    b->classes = classes;
    oce_ref_softmax(rows, CLASSES, b->logits, b->probabilities);
    oce_ref_softmax_xent_classes(rows, CLASSES, b->logits, b->labels, 1.0F / (float)rows, &b->sums,
                                 b->dlogits, b->classes);
    return OCE_OK;
}

static void check_softmax(oce_check *check, const batch *b, oce_check_subject *subject) {
    oce_check_start(check);
    oce_tensor logits, y = {0};
    oce_status status = oce_check_tensor(check, b->dim, b->logits, &logits);
    if (status == OCE_OK)
        status = oce_check_tensor(check, b->dim, NULL, &y);
    if (status == OCE_OK)
        status = oce_softmax(check->device, &logits, &y);
    subject->operation = operations[SOFTMAX];
    oce_check_tensor_is(check, subject, status, &y, b->probabilities);
    oce_check_end_device(check);
}

static oce_status check_argmax(oce_check *check, const batch *b, oce_check_subject *subject) {
    const size_t bytes = (size_t)b->rows * sizeof(int32_t);
    void *classes = NULL;
    OCE_TRY(oce_check_block(check, bytes, &classes));
    oce_check_start(check);
    oce_tensor logits;
    oce_buffer *predictions = NULL;
    oce_status status = oce_check_tensor(check, b->dim, b->logits, &logits);
    if (status == OCE_OK)
        status = oce_check_buffer(check, bytes, NULL, &predictions);
    if (status == OCE_OK)
        status = oce_argmax(check->device, &logits, predictions);
    if (status == OCE_OK)
        status = oce_buffer_read(predictions, 0, classes, bytes);
    subject->operation = operations[ARGMAX];
    if (status == OCE_OK)
        oce_check_compare_ints(check, subject, classes, b->classes, b->rows);
    else
        oce_check_status(check, subject, status);
    oce_check_end_device(check);
    return OCE_OK;
}

/* Sums and predictions of one call, as an evaluation makes it, or, with dlogits, a training step.
 */
static oce_status run_loss(oce_check *check, const batch *b, oce_tensor *dlogits,
                           oce_xent_sums *sums, int32_t *classes) {
    const size_t bytes = (size_t)b->rows * sizeof *classes;
    oce_tensor logits;
    oce_buffer *labels = NULL, *sums_buffer = NULL, *predictions = NULL, *workspace = NULL;
    const size_t workspace_bytes = oce_softmax_xent_workspace(b->rows, CLASSES);
    OCE_TRY(oce_check_tensor(check, b->dim, b->logits, &logits));
    if (dlogits != NULL)
        OCE_TRY(oce_check_tensor(check, b->dim, NULL, dlogits));
    OCE_TRY(oce_check_buffer(check, (size_t)b->rows, b->labels, &labels));
    OCE_TRY(oce_check_buffer(check, sizeof *sums, NULL, &sums_buffer));
    OCE_TRY(oce_check_buffer(check, bytes, NULL, &predictions));
    if (workspace_bytes > 0)
        OCE_TRY(oce_check_buffer(check, workspace_bytes, NULL, &workspace));
    OCE_TRY(oce_softmax_xent_classes(check->device, &logits, labels, 0, 1.0F / (float)b->rows,
                                     sums_buffer, 0, dlogits, predictions, workspace));
    OCE_TRY(oce_buffer_read(predictions, 0, classes, bytes));
    return oce_buffer_read(sums_buffer, 0, sums, sizeof *sums);
}

static oce_status check_loss(oce_check *check, const batch *b, bool trains,
                             oce_check_subject *subject) {
    static const int64_t one[4] = {1, 1, 1, 1};
    void *block = NULL;
    OCE_TRY(oce_check_block(check, (size_t)b->rows * sizeof(int32_t), &block));
    int32_t *classes = block;
    oce_tensor dlogits = {0};
    oce_xent_sums sums = {NAN, -1};
    oce_check_start(check);
    const oce_status status = run_loss(check, b, trains ? &dlogits : NULL, &sums, classes);
    snprintf(subject->family, sizeof subject->family, "%s", trains ? "training" : "evaluation");
    subject->operation = operations[trains ? GRADIENT : LOSS];
    if (trains)
        oce_check_tensor_is(check, subject, status, &dlogits, b->dlogits);
    else if (status != OCE_OK)
        oce_check_status(check, subject, status);
    oce_check_end_device(check);
    if (status != OCE_OK)
        return OCE_OK;
    subject->operation = operations[LOSS];
    oce_check_compare(check, subject, &sums.loss, &b->sums.loss, one);
    subject->operation = operations[CORRECT];
    oce_check_compare_ints(check, subject, &sums.correct, &b->sums.correct, 1);
    subject->operation = operations[PREDICTIONS];
    oce_check_compare_ints(check, subject, classes, b->classes, b->rows);
    return OCE_OK;
}

oce_status oce_selftest_softmax(oce_check *check) {
    const int64_t sizes[] = {1, 50, 128, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        oce_check_subject subject = {.bound = bound};
        snprintf(subject.shape, sizeof subject.shape, "%lldx%d", (long long)sizes[i], CLASSES);
        batch b;
        if (!oce_check_any_wanted(check, &subject, operations, RESULTS))
            continue;
        oce_status status = draw(check, sizes[i], &b);
        if (status == OCE_OK) {
            check_softmax(check, &b, &subject);
            status = check_argmax(check, &b, &subject);
        }
        if (status == OCE_OK)
            status = check_loss(check, &b, true, &subject);
        if (status == OCE_OK)
            status = check_loss(check, &b, false, &subject);
        oce_check_end(check);
        OCE_TRY(status);
    }
    return OCE_OK;
}
