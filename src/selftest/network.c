/* Whole networks against the reference, with their initial weights: every gradient and the loss of
 * one training step, evaluations, and answers, of single images too. */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <ocelli/dense.h>
#include <ocelli/train.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A number so near 0 that rounding decides whether a ReLU passes it, or of two that are nearly
 * equal which one a pool takes, changes some numbers of a gradient by far more than rounding does:
 * its bound is of the norm. The operations' own checks have close bounds. */
static const double gradient_bound = 0.1, answer_bound = 1e-4;

enum { MOST_LAYERS = 16, QUICK_BATCH = 4, SINGLE_IMAGES = 2 };

/* A network on the host. Layer i makes values[i + 1] of values[i]. */
typedef struct host_network {
    oce_check_layer layers[MOST_LAYERS];
    int count, variable[MOST_LAYERS]; /* of a layer's weights; its bias is the next; -1: none */
    int64_t batch, classes;
    uint8_t *images, *labels;
    float *values[MOST_LAYERS + 1];
    float *weights[MOST_LAYERS], *bias[MOST_LAYERS], *dweights[MOST_LAYERS], *dbias[MOST_LAYERS];
    float *gradients[2],
        *probabilities; /* gradients: of activations, of the one at hand and next */
    oce_xent_sums sums;
} host_network;

static size_t elements(const int64_t shape[3]) {
    return (size_t)(shape[0] * shape[1] * shape[2]);
}

static oce_status floats(oce_check *check, size_t count, float **values) {
    void *block = NULL;
    OCE_TRY(oce_check_block(check, count * sizeof **values, &block));
    *values = block;
    return OCE_OK;
}

/* Shapes, memory, images and labels. */
static oce_status set_up(oce_check *check, const oce_recipe *recipe, int64_t batch,
                         host_network *h) {
    const oce_network *network = recipe->network;
    int64_t shape[3] = {network->height, network->width, network->channels};
    size_t most = 0;
    int variables = 0;
    *h = (host_network){.count = network->layer_count, .batch = batch};
    OCE_REQUIRE(h->count <= MOST_LAYERS, OCE_ERROR_HOST_MEMORY, "a check of %d layers", h->count);
    OCE_TRY(oce_check_bytes(check, (size_t)batch * elements(shape), 256, &h->images));
    OCE_TRY(floats(check, (size_t)batch * elements(shape), &h->values[0]));
    for (int i = 0; i < h->count; i++) {
        oce_check_layer *l = &h->layers[i];
        *l = (oce_check_layer){.layer = &network->layers[i], .batch = batch};
        memcpy(l->input, shape, sizeof shape);
        oce_check_layer_output(l);
        memcpy(shape, l->output, sizeof shape);
        OCE_TRY(floats(check, (size_t)batch * elements(shape), &h->values[i + 1]));
        most = elements(l->input) > most ? elements(l->input) : most;
        const bool has_weights =
            l->layer->kind == OCE_LAYER_CONV2D || l->layer->kind == OCE_LAYER_DENSE;
        h->variable[i] = has_weights ? variables : -1;
        variables += has_weights ? 2 : 0;
    }
    h->classes = shape[2];
    OCE_TRY(oce_check_bytes(check, (size_t)batch, (uint32_t)h->classes, &h->labels));
    OCE_TRY(floats(check, (size_t)(batch * h->classes), &h->probabilities));
    for (int i = 0; i < 2; i++)
        OCE_TRY(floats(check, (size_t)batch * most, &h->gradients[i]));
    oce_ref_convert_bytes((size_t)batch * elements(h->layers[0].input), h->images,
                          recipe->input_scale, h->values[0]);
    return OCE_OK;
}

/* ---- The reference -------------------------------------------------------------------------- */

static oce_pool_desc pool_desc(const oce_check_layer *l) {
    return (oce_pool_desc){.kind = l->layer->kind == OCE_LAYER_MAX_POOL ? OCE_POOL_MAX
                                                                        : OCE_POOL_AVERAGE,
                           .batch = l->batch,
                           .height = l->input[0],
                           .width = l->input[1],
                           .channels = l->input[2],
                           .window = l->layer->window};
}

static oce_dense_desc dense_desc(const oce_check_layer *l) {
    return (oce_dense_desc){.batch = l->batch,
                            .inputs = (int64_t)elements(l->input),
                            .units = l->output[2],
                            .activation = l->layer->activation};
}

static oce_status forward(host_network *h) {
    for (int i = 0; i < h->count; i++) {
        const oce_check_layer *l = &h->layers[i];
        const float *x = h->values[i];
        float *y = h->values[i + 1];
        const oce_conv2d_desc conv = oce_check_conv_desc(l, l->batch);
        const oce_pool_desc pool = pool_desc(l);
        const oce_dense_desc dense = dense_desc(l);
        const oce_gemm_desc product = oce_dense_product(&dense, OCE_PASS_FORWARD);
        switch (l->layer->kind) {
        case OCE_LAYER_CONV2D:
            OCE_TRY(oce_ref_conv2d_forward(&conv, x, h->weights[i], h->bias[i], y));
            break;
        case OCE_LAYER_MAX_POOL:
        case OCE_LAYER_AVERAGE_POOL:
            OCE_TRY(oce_ref_pool_forward(&pool, x, y, NULL));
            break;
        case OCE_LAYER_DENSE:
            OCE_TRY(oce_ref_gemm(&product, x, h->weights[i], h->bias[i], y));
            break;
        case OCE_LAYER_DROPOUT: /* it keeps all */
            memcpy(y, x, (size_t)l->batch * elements(l->output) * sizeof *y);
            break;
        }
    }
    oce_ref_softmax(h->batch, h->classes, h->values[h->count], h->probabilities);
    oce_ref_softmax_xent_classes(h->batch, h->classes, h->values[h->count], h->labels,
                                 1.0F / (float)h->batch, &h->sums, h->gradients[0], NULL);
    return OCE_OK;
}

/* The gradients of layer `i` from that of its output, which a ReLU masks; dx: of its input, NULL
 * for the first layer's. */
static oce_status backward_layer(host_network *h, int i, float *dy, float *dx) {
    const oce_check_layer *l = &h->layers[i];
    const float *x = h->values[i];
    const size_t count = (size_t)l->batch * elements(l->output);
    const int64_t out = l->output[2];
    if (h->variable[i] < 0) {
        const oce_pool_desc pool = pool_desc(l);
        return oce_ref_pool_grad(&pool, x, dy, dx);
    }
    if (l->layer->activation == OCE_ACTIVATION_RELU)
        oce_ref_relu_grad(count, dy, h->values[i + 1], dy);
    oce_ref_bias_grad((int64_t)count / out, out, dy, h->dbias[i]);
    if (l->layer->kind == OCE_LAYER_CONV2D) {
        const oce_conv2d_desc conv = oce_check_conv_desc(l, l->batch);
        OCE_TRY(oce_ref_conv2d_filter_grad(&conv, x, dy, h->dweights[i]));
        return dx != NULL ? oce_ref_conv2d_input_grad(&conv, dy, h->weights[i], dx) : OCE_OK;
    }
    const oce_dense_desc dense = dense_desc(l);
    const oce_gemm_desc weights = oce_dense_product(&dense, OCE_PASS_FILTER_GRAD);
    const oce_gemm_desc input = oce_dense_product(&dense, OCE_PASS_INPUT_GRAD);
    OCE_TRY(oce_ref_gemm(&weights, x, dy, NULL, h->dweights[i]));
    return oce_ref_gemm(&input, dy, h->weights[i], NULL, dx);
}

static oce_status backward(host_network *h) {
    float *dy = h->gradients[0], *dx = h->gradients[1];
    for (int i = h->count - 1; i >= 0; i--) {
        if (h->layers[i].layer->kind == OCE_LAYER_DROPOUT)
            continue;
        OCE_TRY(backward_layer(h, i, dy, i > 0 ? dx : NULL));
        float *const next = dx;
        dx = dy;
        dy = next;
    }
    return OCE_OK;
}

/* ---- The device ----------------------------------------------------------------------------- */

/* The model's initial weights. */
static oce_status read_weights(oce_check *check, oce_model *model, host_network *h) {
    for (int i = 0; i < h->count; i++) {
        float **const values[] = {&h->weights[i], &h->bias[i]},
                      **const gradients[] = {&h->dweights[i], &h->dbias[i]};
        for (int part = 0; h->variable[i] >= 0 && part < 2; part++) {
            oce_variable v;
            oce_model_variable(model, h->variable[i] + part, &v);
            OCE_TRY(floats(check, (size_t)v.count, values[part]));
            OCE_TRY(floats(check, (size_t)v.count, gradients[part]));
            OCE_TRY(oce_model_get(model, h->variable[i] + part, OCE_VARIABLE_VALUE, *values[part],
                                  v.count));
        }
    }
    return OCE_OK;
}

/* Compares the gradients of a layer's two variables. */
static oce_status compare_gradients(oce_check *check, oce_model *model, const host_network *h,
                                    int layer, oce_check_subject *subject) {
    const float *const expected[] = {h->dweights[layer], h->dbias[layer]};
    for (int part = 0; part < 2; part++) {
        const int index = h->variable[layer] + part;
        oce_variable v;
        float *got = NULL;
        oce_model_variable(model, index, &v);
        int64_t dim[4] = {1, 1, 1, 1};
        for (int i = 0; i < v.rank; i++)
            dim[4 - v.rank + i] = v.shape[i];
        OCE_TRY(floats(check, (size_t)v.count, &got));
        snprintf(subject->family, sizeof subject->family, "%s %s", v.layer,
                 v.is_bias ? "bias" : "weights");
        const oce_status status = oce_model_get(model, index, OCE_VARIABLE_GRADIENT, got, v.count);
        if (status == OCE_OK)
            oce_check_compare_norm(check, subject, got, expected[part], dim);
        else
            oce_check_status(check, subject, status);
    }
    return OCE_OK;
}

typedef enum result { GRADIENT, LOSS, EVALUATION, ANSWER, RESULTS } result;

static const char *const operations[RESULTS] = {"training step, gradient", "training step, loss",
                                                "evaluation, loss", "answers"};

static void compare_loss(oce_check *check, oce_check_subject *subject, const host_network *h,
                         result which, oce_status status, double loss) {
    static const int64_t one[4] = {1, 1, 1, 1};
    const float got = (float)loss, expected = h->sums.loss / (float)h->batch;
    subject->operation = operations[which];
    subject->bound = answer_bound;
    subject->family[0] = '\0';
    if (status == OCE_OK)
        oce_check_compare(check, subject, &got, &expected, one);
    else
        oce_check_status(check, subject, status);
}

static oce_status check_step(oce_check *check, oce_model *model, const oce_recipe *recipe,
                             host_network *h, oce_check_subject *subject) {
    oce_metrics metrics = {.loss = NAN};
    oce_check_start(check);
    oce_status status = oce_model_train_step(model, h->images, h->labels, recipe->learning_rate);
    if (status == OCE_OK)
        status = oce_model_step_metrics(model, 0, &metrics);
    compare_loss(check, subject, h, LOSS, status, metrics.loss);
    subject->operation = operations[GRADIENT];
    subject->bound = gradient_bound;
    for (int i = 0; i < h->count && status == OCE_OK; i++)
        if (h->variable[i] >= 0)
            OCE_TRY(compare_gradients(check, model, h, i, subject));
    return OCE_OK;
}

/* Answers and an evaluation of the first images, `batch` at a time; the same seed has made the same
 * weights. */
static oce_status check_answers(oce_check *check, const oce_recipe *recipe,
                                const oce_model_options *training, const host_network *h,
                                int64_t batch, oce_check_subject *subject) {
    const bool is_single = batch < h->batch;
    const int64_t images = is_single ? SINGLE_IMAGES : h->batch,
                  dim[4] = {images, 1, 1, h->classes};
    oce_model_options options = *training;
    options.training = options.keep_gradients = false;
    options.batch = batch;
    float *probabilities = NULL;
    oce_model *model = NULL;
    oce_metrics metrics = {.loss = NAN};
    OCE_TRY(floats(check, (size_t)(images * h->classes), &probabilities));
    oce_check_start(check);
    oce_status status = oce_model_create(check->device, recipe->network, &options, &model);
    if (status == OCE_OK)
        status = oce_model_allocate(model);
    if (status == OCE_OK)
        status = oce_model_predict(model, h->images, images, probabilities);
    subject->operation = operations[ANSWER];
    subject->bound = answer_bound;
    snprintf(subject->family, sizeof subject->family, "%lld at a time", (long long)batch);
    if (status == OCE_OK)
        oce_check_compare(check, subject, probabilities, h->probabilities, dim);
    else
        oce_check_status(check, subject, status);
    if (status == OCE_OK && !is_single) {
        status = oce_model_evaluate(model, h->images, h->labels, images, &metrics, NULL);
        compare_loss(check, subject, h, EVALUATION, status, metrics.loss);
    }
    oce_model_destroy(model);
    return OCE_OK;
}

static oce_status check_with(oce_check *check, const oce_recipe *recipe,
                             const oce_model_options *options, oce_model *model,
                             oce_check_subject *subject) {
    host_network h;
    OCE_TRY(set_up(check, recipe, options->batch, &h));
    OCE_TRY(read_weights(check, model, &h));
    OCE_TRY(forward(&h));
    OCE_TRY(backward(&h));
    OCE_TRY(check_step(check, model, recipe, &h, subject));
    OCE_TRY(check_answers(check, recipe, options, &h, options->batch, subject));
    return check_answers(check, recipe, options, &h, 1, subject);
}

static oce_status check_network(oce_check *check, const char *name) {
    oce_recipe recipe;
    OCE_TRY(oce_recipe_get(name, &recipe));
    recipe.input_scale = 1.0F / 255.0F; /* for a loss that is not dominated by a few logits */
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.keep_prob = 1;
    options.keep_gradients = true;
    if (check->options->quick)
        options.batch = QUICK_BATCH;
    oce_check_subject subject = {.operation = operations[LOSS]};
    snprintf(subject.shape, sizeof subject.shape, "%s, %lld images", name,
             (long long)options.batch);
    if (!oce_check_any_wanted(check, &subject, operations, RESULTS))
        return OCE_OK;
    oce_model *model = NULL;
    oce_check_start(check);
    oce_status status = oce_model_create(check->device, recipe.network, &options, &model);
    if (status == OCE_OK)
        status = oce_model_allocate(model);
    if (status == OCE_OK)
        status = check_with(check, &recipe, &options, model, &subject);
    if (status != OCE_OK && status != OCE_ERROR_HOST_MEMORY) {
        oce_check_status(check, &subject, status);
        status = OCE_OK;
    }
    oce_model_destroy(model);
    return status;
}

oce_status oce_selftest_networks(oce_check *check) {
    return oce_check_networks(check, check_network);
}
