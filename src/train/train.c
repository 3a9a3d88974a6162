/* The training loop. */
#include <ocelli/model_file.h>
#include <ocelli/train.h>

#include "base/clock.h"
#include "base/status.h"
#include "train/prefetch.h"
#include "train/run_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Losses are looked at at least this often, without waiting for those of the last steps; the model
 * keeps OCE_METRICS_KEPT of them. */
enum { CHECK_EVERY = 20, CHECK_LAG = 8 };

typedef struct loop {
    oce_model *model;
    const oce_dataset *dataset;
    const oce_train_options *options;
    oce_prefetch *batches;
    int64_t batch;
    const uint8_t *images, *labels; /* of the present step */
    bool is_random;   /* a step drops out or augments: its loss is not that of the plain batch */
    uint64_t checked; /* losses of all steps before this one are finite */
    double started, last_log;
    uint64_t last_log_step;
    double loss, accuracy; /* of the last log */
    oce_folder_lock *lock; /* NULL without checkpoints, as the saver */
    oce_saver *saver;
    char *save_path;
    uint64_t saved; /* step of the last checkpoint, plus 1; 0: none */
} loop;

static oce_status check_fit(const oce_model *model, const oce_dataset *dataset, const char *what) {
    const oce_network *n = oce_model_network(model);
    OCE_REQUIRE(oce_dataset_height(dataset) == n->height &&
                    oce_dataset_width(dataset) == n->width &&
                    oce_dataset_channels(dataset) == n->channels &&
                    oce_dataset_classes(dataset) <= oce_model_classes(model),
                OCE_ERROR_SHAPE,
                "%s has images of %lld x %lld x %lld in %lld classes, network \"%s\" takes %lld x "
                "%lld x %lld in %lld",
                what, (long long)oce_dataset_height(dataset), (long long)oce_dataset_width(dataset),
                (long long)oce_dataset_channels(dataset), (long long)oce_dataset_classes(dataset),
                n->name, (long long)n->height, (long long)n->width, (long long)n->channels,
                (long long)oce_model_classes(model));
    return OCE_OK;
}

static oce_status check_options(const oce_model *model, const oce_dataset *dataset,
                                const oce_train_options *options) {
    OCE_REQUIRE(options->log_every >= 1, OCE_ERROR_INVALID_ARGUMENT,
                "log_every %lld is not 1 or more", (long long)options->log_every);
    OCE_REQUIRE(options->validate_every <= 0 || options->validation != NULL,
                OCE_ERROR_INVALID_ARGUMENT, "validate_every %lld without a validation set",
                (long long)options->validate_every);
    OCE_REQUIRE(options->test_every <= 0 || options->test != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "test_every %lld without a test set", (long long)options->test_every);
    OCE_REQUIRE(options->learning_rate.kind == OCE_SCHEDULE_CONSTANT ||
                    options->learning_rate.period >= 1,
                OCE_ERROR_INVALID_ARGUMENT, "a learning-rate period of %lld steps",
                (long long)options->learning_rate.period);
    const oce_save_options *save = options->save;
    OCE_REQUIRE(save == NULL || (save->every >= 1 && save->folder != NULL && save->name != NULL),
                OCE_ERROR_INVALID_ARGUMENT,
                "checkpoints need a folder, a name, and a number of steps of 1 or more");
    OCE_TRY(check_fit(model, dataset, "the training set"));
    if (options->validation != NULL)
        OCE_TRY(check_fit(model, options->validation, "the validation set"));
    return options->test != NULL ? check_fit(model, options->test, "the test set") : OCE_OK;
}

static bool drops_out(const oce_model *model) {
    const oce_network *network = oce_model_network(model);
    const float replaced = oce_model_get_options(model)->keep_prob;
    for (int i = 0; i < network->layer_count; i++) {
        const oce_layer *layer = &network->layers[i];
        if (layer->kind == OCE_LAYER_DROPOUT && (replaced > 0 ? replaced : layer->keep_prob) < 1)
            return true;
    }
    return false;
}

/* A resumed run goes on removing old checkpoints, and does not save again what it came from. */
static oce_status recover_saves(loop *l) {
    const char *folder = l->options->save->folder;
    char newest[4096], expected[4096];
    OCE_TRY(oce_saver_recover(l->saver, folder));
    const oce_status status = oce_checkpoint_latest(folder, newest, sizeof newest);
    if (status == OCE_ERROR_NOT_FOUND)
        return OCE_OK;
    snprintf(expected, sizeof expected, "%s-%llu", l->save_path, (unsigned long long)l->checked);
    if (status == OCE_OK && strcmp(newest, expected) == 0)
        l->saved = l->checked + 1;
    return status;
}

/* TensorFlow takes a state file that it cannot read for absent; to train over it would lose a
 * model. */
static oce_status refuse_unreadable_state(const char *folder) {
    oce_checkpoint_state *state = NULL;
    OCE_TRY(oce_checkpoint_state_read(folder, &state));
    const char *warning = oce_checkpoint_state_warning(state);
    const oce_status status = warning == NULL ? OCE_OK : oce_fail(OCE_ERROR_FORMAT, "%s", warning);
    oce_checkpoint_state_destroy(state);
    return status;
}

static oce_status start_saving(loop *l) {
    const oce_save_options *save = l->options->save;
    const size_t bytes = strlen(save->folder) + strlen(save->name) + 2;
    OCE_TRY(oce_folder_lock_acquire(save->folder, &l->lock));
    OCE_TRY(refuse_unreadable_state(save->folder));
    OCE_TRY(oce_saver_create(&save->saver, &l->saver));
    l->save_path = malloc(bytes);
    OCE_REQUIRE(l->save_path != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a path of %zu bytes",
                bytes);
    snprintf(l->save_path, bytes, "%s/%s", save->folder, save->name);
    return l->checked > 0 ? recover_saves(l) : OCE_OK;
}

static oce_status start(loop *l) {
    const oce_train_options *options = l->options;
    l->batch = oce_model_get_options(l->model)->batch;
    l->is_random = drops_out(l->model) || oce_model_get_options(l->model)->augment;
    const uint64_t step = oce_model_get_state(l->model).step;
    l->checked = l->last_log_step = step;
    OCE_TRY(oce_prefetch_create(l->dataset, l->batch, options->shuffle, options->seed, step,
                                &l->batches));
    if (options->save != NULL)
        OCE_TRY(start_saving(l));
    l->started = l->last_log = oce_clock_seconds();
    return OCE_OK;
}

static void finish(loop *l) {
    oce_saver_destroy(l->saver);
    oce_folder_lock_release(l->lock);
    oce_prefetch_destroy(l->batches);
    free(l->save_path);
}

/* Fails if a loss between l->checked and `end` is not finite. */
static oce_status check_losses(loop *l, uint64_t end) {
    bool found = false;
    uint64_t step = 0;
    OCE_TRY(oce_model_find_nonfinite(l->model, l->checked, end, &found, &step));
    l->checked = end;
    if (!found)
        return OCE_OK;
    oce_status status = oce_model_check_finite(l->model);
    if (status == OCE_OK)
        status = oce_fail(OCE_ERROR_DIVERGED, "all parameters are finite again");
    return status == OCE_ERROR_DIVERGED
               ? oce_fail_prefix(status, "the loss of step %llu is not finite",
                                 (unsigned long long)step)
               : status;
}

static bool emit(loop *l, oce_train_event_kind kind, uint64_t step, double loss, double accuracy) {
    if (l->options->callback == NULL)
        return true;
    const double now = oce_clock_seconds();
    const double elapsed = now - l->last_log;
    const double images = (double)(step - l->last_log_step) * (double)l->batch;
    const oce_train_event event = {
        .kind = kind,
        .step = step,
        .steps = l->options->steps,
        .loss = loss,
        .accuracy = accuracy,
        .seconds = now - l->started,
        .images_per_second = elapsed > 0 ? images / elapsed : 0,
        .learning_rate = oce_schedule_rate(&l->options->learning_rate, step),
        .checkpoint = kind == OCE_TRAIN_SAVE ? oce_saver_last(l->saver) : NULL,
        .warning = kind == OCE_TRAIN_SAVE ? oce_saver_warning(l->saver) : NULL,
    };
    return l->options->callback(l->options->context, &event);
}

/* Takes the metrics of the batch in l->images, which is that of step `step`; without dropout they
 * come with the step itself. */
static oce_status log_step(loop *l, uint64_t step, bool *go_on) {
    oce_metrics metrics;
    OCE_TRY(check_losses(l, step)); /* names the first bad step, not this one */
    if (l->is_random)
        OCE_TRY(oce_model_evaluate(l->model, l->images, l->labels, l->batch, &metrics, NULL));
    else
        OCE_TRY(oce_model_step_metrics(l->model, step, &metrics));
    if (!isfinite(metrics.loss)) {
        const oce_status status = oce_model_check_finite(l->model);
        return status == OCE_OK ? oce_fail(OCE_ERROR_DIVERGED, "the loss of step %llu is %g",
                                           (unsigned long long)step, metrics.loss)
                                : oce_fail_prefix(status, "the loss of step %llu is %g",
                                                  (unsigned long long)step, metrics.loss);
    }
    l->loss = metrics.loss;
    l->accuracy = metrics.accuracy;
    *go_on = emit(l, OCE_TRAIN_LOG, step, metrics.loss, metrics.accuracy) && *go_on;
    l->last_log = oce_clock_seconds();
    l->last_log_step = step;
    return OCE_OK;
}

static oce_status evaluate(loop *l, uint64_t step, oce_train_event_kind kind,
                           const oce_dataset *set, bool *go_on) {
    const double before = oce_clock_seconds();
    oce_metrics metrics;
    OCE_TRY(oce_model_evaluate(l->model, oce_dataset_images(set), oce_dataset_labels(set),
                               oce_dataset_count(set), &metrics, NULL));
    *go_on = emit(l, kind, step, metrics.loss, metrics.accuracy) && *go_on;
    l->last_log += oce_clock_seconds() - before; /* not counted as training time */
    return OCE_OK;
}

/* Saves the model as it is before step `step`, if all of it, and what it makes of a batch, is
 * finite: parameters that are merely huge must not replace a good checkpoint either. */
static oce_status save(loop *l, uint64_t step, bool *go_on) {
    const double before = oce_clock_seconds();
    oce_sidecar *sidecar = NULL;
    oce_metrics metrics;
    OCE_TRY(check_losses(l, step));
    if (l->images == NULL) /* a run without steps */
        OCE_TRY(oce_prefetch_next(l->batches, &l->images, &l->labels));
    OCE_TRY(oce_model_evaluate(l->model, l->images, l->labels, l->batch, &metrics, NULL));
    oce_status status = oce_model_check_finite(l->model);
    if (status != OCE_OK)
        return status == OCE_ERROR_DIVERGED
                   ? oce_fail_prefix(status, "after step %lld", (long long)step - 1)
                   : status;
    OCE_TRY(oce_run_record_create(l->model, l->options, oce_dataset_count(l->dataset), &sidecar));
    status = oce_model_save(l->model, l->saver, l->save_path, sidecar);
    oce_sidecar_destroy(sidecar);
    OCE_TRY(status);
    l->saved = step + 1;
    *go_on = emit(l, OCE_TRAIN_SAVE, step, l->loss, l->accuracy) && *go_on;
    l->last_log += oce_clock_seconds() - before; /* not counted as training time */
    return OCE_OK;
}

static bool is_due(uint64_t step, int64_t every) {
    return every > 0 && step % (uint64_t)every == 0;
}

static oce_status train_step(loop *l, uint64_t step, bool *go_on) {
    const oce_train_options *options = l->options;
    const bool logs = is_due(step, options->log_every);
    OCE_TRY(oce_prefetch_next(l->batches, &l->images, &l->labels));
    if (is_due(step, options->validate_every))
        OCE_TRY(evaluate(l, step, OCE_TRAIN_VALIDATION, options->validation, go_on));
    if (is_due(step, options->test_every))
        OCE_TRY(evaluate(l, step, OCE_TRAIN_TEST, options->test, go_on));
    if (logs && l->is_random)
        OCE_TRY(log_step(l, step, go_on));
    if (l->saver != NULL && is_due(step, options->save->every) && l->saved != step + 1)
        OCE_TRY(save(l, step, go_on));
    OCE_TRY(oce_model_train_step(l->model, l->images, l->labels,
                                 oce_schedule_rate(&options->learning_rate, step)));
    if (logs && !l->is_random)
        OCE_TRY(log_step(l, step, go_on));
    if (logs || step + 1 == options->steps)
        OCE_TRY(check_losses(l, step + 1));
    else if (step + 1 - l->checked >= CHECK_EVERY + CHECK_LAG)
        OCE_TRY(check_losses(l, step + 1 - CHECK_LAG));
    *go_on = emit(l, OCE_TRAIN_STEP, step, l->loss, l->accuracy) && *go_on;
    return OCE_OK;
}

/* Saves what the last steps made, when the run stops or, if wanted, when it ends. */
static oce_status save_last(loop *l, bool stopped) {
    const uint64_t step = oce_model_get_state(l->model).step;
    bool go_on = true;
    if (l->saver == NULL || l->saved == step + 1 || !(stopped || l->options->save->at_end))
        return OCE_OK;
    return save(l, step, &go_on);
}

static oce_status run_steps(loop *l) {
    bool go_on = true;
    uint64_t step = oce_model_get_state(l->model).step;
    for (; step < l->options->steps && go_on; step++)
        OCE_TRY(train_step(l, step, &go_on));
    const bool stopped = step < l->options->steps;
    OCE_TRY(save_last(l, stopped));
    return stopped ? oce_fail(OCE_ERROR_INTERRUPTED, "stopped after %llu of %llu steps",
                              (unsigned long long)step, (unsigned long long)l->options->steps)
                   : OCE_OK;
}

oce_status oce_train(oce_model *model, const oce_dataset *dataset,
                     const oce_train_options *options) {
    OCE_TRY(check_options(model, dataset, options));
    loop l = {.model = model, .dataset = dataset, .options = options};
    oce_status status = start(&l);
    if (status == OCE_OK)
        status = run_steps(&l);
    finish(&l);
    return status;
}
