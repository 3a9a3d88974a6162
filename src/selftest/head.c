/* The end of both networks in an answer to one or a few images: a dense layer, and the last one
 * with softmax or cross entropy in the same launch. */
#include "selftest/check.h"

#include "base/status.h"
#include "device/device.h"
#include "ops/gemm_internal.h"
#include "ops/head.h"
#include "ref/ref.h"

#include <math.h>
#include <stdio.h>

static const double logits_bound = 2e-5, softmax_bound = 5e-5;

enum { MOST_IMAGES = 2 };

typedef enum answer { SOFTMAX, LOGITS, LOSS, CORRECT, CLASSES, ANSWERS } answer;

static const char *const operations[ANSWERS] = {
    [SOFTMAX] = "dense and softmax",     [LOGITS] = "dense and cross entropy, logits",
    [LOSS] = "dense and cross entropy",  [CORRECT] = "dense and correct predictions",
    [CLASSES] = "dense and predictions",
};

typedef struct ending {
    int64_t images, inputs, hidden, classes;
    oce_activation activation; /* of the hidden layer */
    float *x, *hidden_weights, *hidden_bias, *weights, *bias;
    uint8_t labels[MOST_IMAGES];
    float *logits, *probabilities; /* these and the rest: expected */
    oce_xent_sums sums;
    int32_t classes_of[MOST_IMAGES];
} ending;

static oce_status draw(oce_check *check, ending *e) {
    const size_t images = (size_t)e->images, hidden = (size_t)e->hidden,
                 classes = (size_t)e->classes;
    uint8_t *labels = NULL;
    void *middle = NULL, *logits = NULL, *probabilities = NULL;
    OCE_TRY(oce_check_floats(check, images * (size_t)e->inputs, 0, 1, &e->x));
    OCE_TRY(oce_check_floats(check, (size_t)e->inputs * hidden, -0.1F, 0.1F, &e->hidden_weights));
    /* So large that few errors hide below the ReLU's zero. */
    OCE_TRY(oce_check_floats(check, hidden, 2, 4, &e->hidden_bias));
    OCE_TRY(oce_check_floats(check, hidden * classes, -0.03F, 0.03F, &e->weights));
    OCE_TRY(oce_check_floats(check, classes, -0.1F, 0.1F, &e->bias));
    OCE_TRY(oce_check_bytes(check, images, (uint32_t)classes, &labels));
    OCE_TRY(oce_check_block(check, images * hidden * sizeof(float), &middle));
    OCE_TRY(oce_check_block(check, images * classes * sizeof(float), &logits));
    OCE_TRY(oce_check_block(check, images * classes * sizeof(float), &probabilities));
    e->logits = logits;
    e->probabilities = probabilities;
    for (size_t i = 0; i < images; i++)
        e->labels[i] = labels[i];
    const oce_gemm_desc below = {
        .m = e->images, .n = e->hidden, .k = e->inputs, .activation = e->activation};
    const oce_gemm_desc last = {.m = e->images, .n = e->classes, .k = e->hidden};
    OCE_TRY(oce_ref_gemm(&below, e->x, e->hidden_weights, e->hidden_bias, middle));
    OCE_TRY(oce_ref_gemm(&last, middle, e->weights, e->bias, e->logits));
    oce_ref_softmax(e->images, e->classes, e->logits, e->probabilities);
    oce_ref_softmax_xent_classes(e->images, e->classes, e->logits, e->labels, 1, &e->sums, NULL,
                                 e->classes_of);
    return OCE_OK;
}

/* What a head points to, on the device. */
typedef struct device_head {
    oce_tensor hidden, hidden_bias, weights, bias, logits;
    oce_head head;
} device_head;

/* Runs the hidden layer, up to its partial sums if it has some and a head may add them up; as
 * src/nn/graph_answer.c. */
static oce_status run_hidden(oce_check *check, const ending *e, oce_gemm_plan *plan,
                             device_head *d) {
    const int64_t x_dim[4] = {e->images, 1, 1, e->inputs}, w_dim[4] = {e->inputs, 1, 1, e->hidden},
                  y_dim[4] = {e->images, 1, 1, e->hidden};
    const size_t prepared_bytes = oce_gemm_plan_prepared_bytes(plan);
    int parts = oce_gemm_plan_parts(plan);
    if (!oce_head_serves(check->device, e->images, e->hidden, e->classes, parts))
        parts = 1;
    oce_tensor x, w;
    oce_buffer *workspace = NULL, *prepared = NULL;
    OCE_TRY(oce_check_tensor(check, x_dim, e->x, &x));
    OCE_TRY(oce_check_tensor(check, w_dim, e->hidden_weights, &w));
    OCE_TRY(oce_check_tensor(check, y_dim, NULL, &d->hidden));
    OCE_TRY(oce_check_buffer(check, oce_gemm_plan_workspace(plan), NULL, &workspace));
    if (prepared_bytes > 0)
        OCE_TRY(oce_check_buffer(check, prepared_bytes, NULL, &prepared));
    OCE_TRY(oce_gemm_prepare(plan, &w, prepared));
    d->head = (oce_head){.device = check->device,
                         .parts = d->hidden.buffer,
                         .first = d->hidden.offset,
                         .splits = 1,
                         .weights = &d->weights,
                         .bias = &d->bias,
                         .logits = &d->logits};
    if (parts == 1)
        return oce_gemm_run_prepared(plan, &x, &w, prepared, &d->hidden_bias, &d->hidden,
                                     workspace);
    d->head.parts = workspace;
    d->head.first = 0;
    d->head.part_size = oce_tensor_count(&d->hidden);
    d->head.splits = parts;
    d->head.activation = e->activation;
    d->head.parts_bias = &d->hidden_bias;
    return oce_gemm_run_parts(plan, &x, &w, prepared, workspace);
}

static oce_status upload(oce_check *check, const ending *e, device_head *d) {
    const int64_t hidden_dim[4] = {1, 1, 1, e->hidden}, w_dim[4] = {e->hidden, 1, 1, e->classes},
                  classes_dim[4] = {1, 1, 1, e->classes}, y_dim[4] = {e->images, 1, 1, e->classes};
    OCE_TRY(oce_check_tensor(check, hidden_dim, e->hidden_bias, &d->hidden_bias));
    OCE_TRY(oce_check_tensor(check, w_dim, e->weights, &d->weights));
    OCE_TRY(oce_check_tensor(check, classes_dim, e->bias, &d->bias));
    OCE_TRY(oce_check_tensor(check, y_dim, NULL, &d->logits));
    const oce_gemm_desc desc = {.m = e->images,
                                .n = e->hidden,
                                .k = e->inputs,
                                .activation = e->activation,
                                .keeps_b = true};
    oce_gemm_plan *plan = NULL;
    OCE_TRY(oce_gemm_plan_create(check->device, &desc, &plan));
    const oce_status status = run_hidden(check, e, plan, d);
    oce_gemm_plan_destroy(plan);
    return status;
}

static void check_softmax(oce_check *check, const ending *e, oce_check_subject *subject) {
    device_head d;
    oce_check_start(check);
    oce_status status = upload(check, e, &d);
    if (status == OCE_OK)
        status = oce_head_softmax(&d.head);
    subject->operation = operations[SOFTMAX];
    subject->bound = softmax_bound;
    oce_check_tensor_is(check, subject, status, &d.logits, e->probabilities);
    oce_check_end_device(check);
}

static oce_status run_classes(oce_check *check, const ending *e, device_head *d,
                              oce_xent_sums *sums, int32_t *classes) {
    oce_buffer *labels = NULL, *sums_buffer = NULL, *predictions = NULL;
    const size_t bytes = (size_t)e->images * sizeof *classes;
    OCE_TRY(upload(check, e, d));
    OCE_TRY(oce_check_buffer(check, (size_t)e->images, e->labels, &labels));
    OCE_TRY(oce_check_buffer(check, sizeof *sums, NULL, &sums_buffer));
    OCE_TRY(oce_check_buffer(check, bytes, NULL, &predictions));
    OCE_TRY(oce_head_xent_classes(&d->head, labels, 0, sums_buffer, 0, predictions));
    OCE_TRY(oce_buffer_read(predictions, 0, classes, bytes));
    return oce_buffer_read(sums_buffer, 0, sums, sizeof *sums);
}

static void check_classes(oce_check *check, const ending *e, oce_check_subject *subject) {
    static const int64_t one[4] = {1, 1, 1, 1};
    device_head d;
    oce_xent_sums sums = {NAN, -1};
    int32_t classes[MOST_IMAGES];
    oce_check_start(check);
    const oce_status status = run_classes(check, e, &d, &sums, classes);
    subject->operation = operations[LOGITS];
    subject->bound = logits_bound;
    oce_check_tensor_is(check, subject, status, &d.logits, e->logits);
    if (status == OCE_OK) {
        subject->operation = operations[LOSS];
        subject->bound = softmax_bound;
        oce_check_compare(check, subject, &sums.loss, &e->sums.loss, one);
        subject->operation = operations[CORRECT];
        oce_check_compare_ints(check, subject, &sums.correct, &e->sums.correct, 1);
        subject->operation = operations[CLASSES];
        oce_check_compare_ints(check, subject, classes, e->classes_of, e->images);
    }
    oce_check_end_device(check);
}

/* The network's last layer, and the dense one below it. */
static oce_status check_ending(oce_check *check, const oce_check_layer *below,
                               const oce_check_layer *last, int64_t images) {
    ending e = {.images = images,
                .inputs = below->input[0] * below->input[1] * below->input[2],
                .hidden = below->output[2],
                .classes = last->output[2],
                .activation = below->layer->activation};
    oce_check_subject subject = {.family = "one launch"};
    snprintf(subject.shape, sizeof subject.shape, "%lldx%lld by %lldx%lld by %lldx%lld",
             (long long)images, (long long)e.inputs, (long long)e.inputs, (long long)e.hidden,
             (long long)e.hidden, (long long)e.classes);
    const bool is_chosen = oce_head_serves(check->device, images, e.hidden, e.classes, 1);
    if (!oce_check_any_wanted(check, &subject, operations, ANSWERS) ||
        (check->options->quick && !is_chosen))
        return OCE_OK;
    OCE_TRY(draw(check, &e));
    check_softmax(check, &e, &subject);
    check_classes(check, &e, &subject);
    return OCE_OK;
}

oce_status oce_selftest_heads(oce_check *check) {
    oce_check_layer layers[OCE_CHECK_LAYERS];
    const int count = oce_check_layers(check->options->quick, layers);
    const oce_check_layer *below = NULL;
    for (int i = 0; i < count; i++) {
        const oce_check_layer *l = &layers[i];
        if (l->layer->kind != OCE_LAYER_DENSE)
            continue;
        for (int64_t images = 1; below != NULL && images <= MOST_IMAGES; images++) {
            const oce_status status = check_ending(check, below, l, images);
            oce_check_end(check);
            OCE_TRY(status);
        }
        below = below == NULL ? l : NULL; /* both networks end in two dense layers */
    }
    return OCE_OK;
}
