/* The training loop: schedules, events, stopping, divergence, evaluation. */
#include "support/device.h"
#include "support/tiny_network.h"

#include <ocelli/train.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 60, BATCH = 4, MAX_EVENTS = 400 };

typedef struct fixture {
    oce_device *device;
    oce_model *model;
    oce_dataset *data;
    oce_train_options options;
    oce_train_event events[MAX_EVENTS];
    int count;
    uint64_t stop_at; /* step after which the callback stops the run; 0: never */
} fixture;

static bool record(void *context, const oce_train_event *event) {
    fixture *f = context;
    cr_assert_lt(f->count, MAX_EVENTS);
    f->events[f->count++] = *event;
    return f->stop_at == 0 || event->step + 1 < f->stop_at;
}

static fixture *open_fixture(const oce_model_options *options) {
    fixture *f = calloc(1, sizeof *f);
    uint8_t *images = tiny_images(EXAMPLES, 1), *labels = tiny_labels(EXAMPLES, 1);
    cr_assert(f != NULL);
    for (int i = 0; i < EXAMPLES * TINY_IMAGE; i++) /* brighter with the label: can be learnt */
        images[i] = (uint8_t)(images[i] / 4 + 45 * labels[i / TINY_IMAGE]);
    f->device = test_open_device();
    f->model = tiny_model(f->device, options);
    TEST_OK(oce_dataset_create(images, labels, EXAMPLES, TINY_HEIGHT, TINY_WIDTH, TINY_CHANNELS,
                               TINY_CLASSES, NULL, &f->data));
    f->options = (oce_train_options){.steps = 10,
                                     .shuffle = OCE_SHUFFLE_EPOCH,
                                     .seed = 3,
                                     .learning_rate = {.base = 0.02F},
                                     .log_every = 4,
                                     .callback = record,
                                     .context = f};
    free(images);
    free(labels);
    return f;
}

static void close_fixture(fixture *f) {
    oce_model_destroy(f->model);
    oce_device_close(f->device);
    oce_dataset_destroy(f->data);
    free(f);
}

static int count_events(const fixture *f, oce_train_event_kind kind) {
    int count = 0;
    for (int i = 0; i < f->count; i++)
        count += f->events[i].kind == kind;
    return count;
}

static float *weights_of(oce_model *model, int64_t *count) {
    oce_variable variable;
    oce_model_variable(model, 0, &variable);
    float *values = test_zeros((size_t)variable.count);
    TEST_OK(oce_model_get(model, 0, OCE_VARIABLE_VALUE, values, variable.count));
    *count = variable.count;
    return values;
}

Test(train, schedules) {
    const oce_schedule constant = {.base = 0.5F};
    const oce_schedule steps = {.kind = OCE_SCHEDULE_STEP, .base = 1, .period = 10, .factor = 0.5F};
    const oce_schedule cosine = {
        .kind = OCE_SCHEDULE_COSINE, .base = 2, .period = 100, .factor = 0.25F};
    const oce_schedule warm = {.base = 1, .warm_up = 4};
    cr_expect_eq(oce_schedule_rate(&constant, 12345), 0.5F);
    cr_expect_eq(oce_schedule_rate(&steps, 9), 1.0F);
    cr_expect_eq(oce_schedule_rate(&steps, 10), 0.5F);
    cr_expect_eq(oce_schedule_rate(&steps, 39), 0.125F);
    cr_expect_eq(oce_schedule_rate(&cosine, 0), 2.0F);
    cr_expect_float_eq(oce_schedule_rate(&cosine, 50), 1.25F, 1e-6F);
    cr_expect_float_eq(oce_schedule_rate(&cosine, 25), 1.25F + 0.75F * sqrtf(0.5F), 1e-6F);
    cr_expect_eq(oce_schedule_rate(&cosine, 100), 0.5F);
    cr_expect_eq(oce_schedule_rate(&cosine, 100000), 0.5F);
    cr_expect_eq(oce_schedule_rate(&warm, 0), 0.25F);
    cr_expect_eq(oce_schedule_rate(&warm, 3), 1.0F);
}

/* One step event a step; logs at 0, 4, 8; both sets evaluated before their step. */
Test(train, events) {
    const oce_model_options options = tiny_options(BATCH, 1);
    fixture *f = open_fixture(&options);
    f->options.validation = f->options.test = f->data;
    f->options.validate_every = 3;
    f->options.test_every = 5;
    TEST_OK(oce_train(f->model, f->data, &f->options));
    cr_expect_eq(count_events(f, OCE_TRAIN_STEP), 10);
    cr_expect_eq(count_events(f, OCE_TRAIN_LOG), 3);
    cr_expect_eq(count_events(f, OCE_TRAIN_VALIDATION), 4);
    cr_expect_eq(count_events(f, OCE_TRAIN_TEST), 2);
    for (int i = 0; i < f->count; i++) {
        cr_expect_eq(f->events[i].steps, 10);
        cr_expect(isfinite(f->events[i].loss) && f->events[i].loss > 0);
        cr_expect(f->events[i].accuracy >= 0 && f->events[i].accuracy <= 1);
    }
    cr_expect_eq(oce_model_get_state(f->model).step, 10);
    close_fixture(f);
}

/* With dropout the log's loss is that of the batch without it. */
Test(train, logs_are_taken_without_dropout) {
    const oce_model_options options = tiny_options(BATCH, 1);
    fixture *f = open_fixture(&options);
    f->options.steps = 1;
    f->options.shuffle = OCE_SHUFFLE_NONE;
    oce_metrics metrics;
    TEST_OK(oce_model_evaluate(f->model, oce_dataset_images(f->data), oce_dataset_labels(f->data),
                               BATCH, &metrics, NULL));
    TEST_OK(oce_train(f->model, f->data, &f->options));
    cr_expect_eq(f->events[0].kind, OCE_TRAIN_LOG);
    cr_expect_eq(f->events[0].loss, metrics.loss);
    cr_expect_eq(f->events[0].accuracy, metrics.accuracy);
    TEST_OK(oce_model_step_metrics(f->model, 0, &metrics));
    cr_expect_neq(f->events[0].loss, metrics.loss);
    close_fixture(f);
}

/* Stopped after any step and continued, a run ends with the bits of one that never stopped. */
Test(train, stops_and_goes_on) {
    oce_model_options options = tiny_options(BATCH, 1);
    options.augment = true;
    int64_t count = 0;
    fixture *whole = open_fixture(&options);
    whole->options.steps = 40;
    TEST_OK(oce_train(whole->model, whole->data, &whole->options));
    float *expected = weights_of(whole->model, &count);
    fixture *parts = open_fixture(&options);
    parts->options.steps = 40;
    for (parts->stop_at = 7; parts->stop_at < 40; parts->stop_at += 7) {
        cr_expect_eq(oce_train(parts->model, parts->data, &parts->options), OCE_ERROR_INTERRUPTED);
        cr_expect_eq(oce_model_get_state(parts->model).step, parts->stop_at);
    }
    parts->stop_at = 0;
    TEST_OK(oce_train(parts->model, parts->data, &parts->options));
    float *got = weights_of(parts->model, &count);
    cr_expect(memcmp(got, expected, (size_t)count * sizeof *got) == 0);
    free(expected);
    free(got);
    close_fixture(whole);
    close_fixture(parts);
}

Test(train, learns) {
    oce_model_options options = tiny_options(BATCH, 1);
    options.keep_prob = 1;
    fixture *f = open_fixture(&options);
    f->options.steps = test_is_small() ? 60 : 600;
    f->options.learning_rate.base = 0.01F;
    f->options.log_every = 1000;
    f->options.callback = NULL;
    oce_metrics before, after;
    TEST_OK(oce_model_evaluate(f->model, oce_dataset_images(f->data), oce_dataset_labels(f->data),
                               EXAMPLES, &before, NULL));
    TEST_OK(oce_train(f->model, f->data, &f->options));
    TEST_OK(oce_model_evaluate(f->model, oce_dataset_images(f->data), oce_dataset_labels(f->data),
                               EXAMPLES, &after, NULL));
    cr_expect_lt(after.loss, (test_is_small() ? 0.99 : 0.7) * before.loss, "from %g to %g",
                 before.loss, after.loss);
    close_fixture(f);
}

Test(train, divergence_names_step_and_layer) {
    oce_model_options options = tiny_options(BATCH, 1);
    options.keep_prob = 1;
    fixture *f = open_fixture(&options);
    f->options.steps = 100;
    f->options.learning_rate.base = 1e30F;
    cr_expect_eq(oce_train(f->model, f->data, &f->options), OCE_ERROR_DIVERGED);
    cr_expect(strstr(oce_last_error(), "the loss of step ") != NULL, "%s", oce_last_error());
    cr_expect(strstr(oce_last_error(), "layer \"dilated\"") != NULL, "%s", oce_last_error());
    close_fixture(f);
}

Test(train, refuses_what_does_not_fit) {
    const oce_model_options options = tiny_options(BATCH, 1);
    fixture *f = open_fixture(&options);
    oce_dataset *digits = NULL;
    TEST_OK(oce_dataset_synthetic("mnist", OCE_SPLIT_TEST, 1, 8, &digits));
    cr_expect_eq(oce_train(f->model, digits, &f->options), OCE_ERROR_SHAPE);
    cr_expect(strstr(oce_last_error(), "28 x 28 x 1") != NULL, "%s", oce_last_error());
    f->options.log_every = 0;
    cr_expect_eq(oce_train(f->model, f->data, &f->options), OCE_ERROR_INVALID_ARGUMENT);
    f->options.log_every = 1;
    f->options.test_every = 2;
    cr_expect_eq(oce_train(f->model, f->data, &f->options), OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_model_get_state(f->model).step, 0);
    oce_dataset_destroy(digits);
    close_fixture(f);
}

Test(train, evaluation_counts_every_image_once) {
    const oce_model_options options = tiny_options(BATCH, 1);
    fixture *f = open_fixture(&options);
    oce_evaluation *evaluation = NULL;
    TEST_OK(oce_evaluation_create(f->model, f->data, &evaluation));
    int64_t total = 0, correct = 0;
    for (int64_t actual = 0; actual < TINY_CLASSES; actual++)
        for (int64_t predicted = 0; predicted < TINY_CLASSES; predicted++) {
            const int64_t n = oce_evaluation_confusion(evaluation, actual, predicted);
            total += n;
            correct += actual == predicted ? n : 0;
        }
    int64_t agreeing = 0;
    for (int64_t i = 0; i < EXAMPLES; i++)
        agreeing += oce_evaluation_prediction(evaluation, i) == oce_dataset_labels(f->data)[i];
    cr_expect_eq(total, EXAMPLES);
    cr_expect_eq(agreeing, correct);
    cr_expect_float_eq(oce_evaluation_metrics(evaluation).accuracy, (double)correct / EXAMPLES,
                       1e-12);
    double estimate = 0;
    TEST_OK(oce_evaluation_estimate(evaluation, 3, EXAMPLES, 1, &estimate));
    cr_expect_float_eq(estimate, (double)correct / EXAMPLES, 1e-12, "draws of the whole set");
    cr_expect_eq(oce_evaluation_estimate(evaluation, 1, EXAMPLES + 1, 1, &estimate),
                 OCE_ERROR_INVALID_ARGUMENT);
    oce_evaluation_destroy(evaluation);
    close_fixture(f);
}

Test(train, recipes) {
    oce_recipe recipe;
    TEST_OK(oce_recipe_get("mnist", &recipe));
    cr_expect_eq(recipe.network, oce_network_mnist());
    cr_expect_eq(recipe.input_scale, 1.0F / 255.0F);
    TEST_OK(oce_recipe_get("cifar10", &recipe));
    cr_expect_eq(recipe.steps, 10000);
    cr_expect_eq(oce_recipe_get("imagenet", &recipe), OCE_ERROR_NOT_FOUND);
}
