/**
 * The training loop, learning-rate schedules, and the evaluation of a model on a data set.
 */
#ifndef OCELLI_TRAIN_H
#define OCELLI_TRAIN_H

#include <ocelli/checkpoint.h>
#include <ocelli/data.h>
#include <ocelli/model.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Learning rate ------------------------------------------------------------------------- */

typedef enum oce_schedule_kind {
    OCE_SCHEDULE_CONSTANT = 0,
    OCE_SCHEDULE_STEP,  /**< times `factor` after every `period` steps */
    OCE_SCHEDULE_COSINE /**< half a cosine from `base` at step 0 to `base * factor` at `period` */
} oce_schedule_kind;

typedef struct oce_schedule {
    oce_schedule_kind kind;
    float base;     /**< learning rate at step 0 */
    int64_t period; /**< steps; at least 1 unless constant */
    float factor; /**< STEP: multiplier a period; COSINE: share of `base` that is left at the end */
    int64_t warm_up; /**< over this many first steps the rate rises from base/warm_up; 0: none */
} oce_schedule;

/** The learning rate of step `step` (0-based). A pure function: resuming needs no state. */
OCE_API float oce_schedule_rate(const oce_schedule *schedule, uint64_t step);

/* ---- Recipes ------------------------------------------------------------------------------- */

/** How the tutorial trains a network. */
typedef struct oce_recipe {
    const oce_network *network;
    uint64_t steps;
    int64_t batch;
    oce_optimizer_kind optimizer;
    float learning_rate;
    oce_shuffle shuffle;
    float input_scale;      /**< of pixel bytes */
    int estimate_batches;   /**< random test batches of its accuracy estimate; 0: it makes none */
    int64_t estimate_batch; /**< images of each */
} oce_recipe;

/** The recipe of "mnist" or "cifar10". Errors: OCE_ERROR_NOT_FOUND for another name. */
OCE_API oce_status oce_recipe_get(const char *name, oce_recipe *recipe);

/** Model options for training as the recipe says. */
OCE_API oce_model_options oce_recipe_model_options(const oce_recipe *recipe, uint64_t seed);

/* ---- Training ------------------------------------------------------------------------------ */

typedef enum oce_train_event_kind {
    OCE_TRAIN_STEP,       /**< a step was enqueued; loss and accuracy are those of the last log */
    OCE_TRAIN_LOG,        /**< loss and accuracy on the coming batch, before its update */
    OCE_TRAIN_VALIDATION, /**< loss and accuracy on the validation set, before the step's update */
    OCE_TRAIN_TEST,       /**< the same on the test set */
    OCE_TRAIN_SAVE        /**< a checkpoint was saved, before the step's update */
} oce_train_event_kind;

typedef struct oce_train_event {
    oce_train_event_kind kind;
    uint64_t step;  /**< 0-based number of the step */
    uint64_t steps; /**< how many the run has */
    double loss, accuracy;
    double seconds;           /**< since the run started */
    double images_per_second; /**< trained on, since the last log */
    float learning_rate;      /**< of this step */
    const char *checkpoint;   /**< SAVE: its prefix */
    const char *warning;      /**< SAVE: what went wrong in removing old ones; NULL: nothing */
} oce_train_event;

/** Called on the training thread; false stops the run after the current step. */
typedef bool (*oce_train_callback)(void *context, const oce_train_event *event);

/** Checkpoints of a run, kept as tf.train.Saver keeps them (oce_saver). */
typedef struct oce_save_options {
    const char *folder; /**< created if missing; one process at a time may train into it */
    const char *name;   /**< checkpoints are `<folder>/<name>-<step>` */
    int64_t every;      /**< steps, from step 0 on; at least 1. A run that is stopped saves too */
    bool at_end;        /**< also after the last step */
    oce_saver_options saver;
} oce_save_options;

typedef struct oce_train_options {
    uint64_t steps; /**< the run ends when the model has taken this many */
    oce_shuffle shuffle;
    uint64_t seed; /**< of the batches */
    oce_schedule learning_rate;
    int64_t log_every;             /**< steps; at least 1 */
    const oce_dataset *validation; /**< NULL: none */
    int64_t validate_every;        /**< steps; 0: never */
    const oce_dataset *test;       /**< NULL: none */
    int64_t test_every;            /**< steps; 0: never */
    const oce_save_options *save;  /**< NULL: no checkpoints */
    oce_train_callback callback;   /**< NULL: none */
    void *context;                 /**< for the callback */
} oce_train_options;

/** Training options as the recipe says, logging every 100 steps, without callback. */
OCE_API oce_train_options oce_recipe_train_options(const oce_recipe *recipe, uint64_t seed);

/**
 * Trains `model` on `dataset` from the model's present step on. Batch number t is a function of
 * (shuffle, seed, t) alone. Loss and accuracy are taken on the coming batch without dropout, as the
 * tutorial does.
 *
 * Returns OCE_ERROR_INTERRUPTED if the callback stopped it, OCE_ERROR_DIVERGED as soon as a loss is
 * found that is not finite (at the latest at the next log; the message names step and layer),
 * OCE_ERROR_SHAPE if the images do not fit the network, or an error of a step or of saving. No
 * checkpoint is ever made of parameters that are not finite.
 */
OCE_API oce_status oce_train(oce_model *model, const oce_dataset *dataset,
                             const oce_train_options *options);

/* ---- Resuming ------------------------------------------------------------------------------ */

/**
 * A checkpoint that oce_train() saved has a sidecar with all settings that decide the run. This
 * copies them over the fields of *model and *train that they concern (steps, logging, evaluation
 * and saving are not among them), and gives the step to continue from and the number of examples
 * that were trained on. Load the checkpoint with OCE_LOAD_ALL, set the model's step, and
 * oce_train() ends with the bits of a run that never stopped. Errors: OCE_ERROR_FORMAT (a key is
 * missing or malformed), OCE_ERROR_SHAPE (another network).
 */
OCE_API oce_status oce_run_settings(const oce_sidecar *sidecar, const oce_network *network,
                                    oce_model_options *model, oce_train_options *train,
                                    uint64_t *step, int64_t *examples);

/** Whether two runs have the same settings of that kind; else *first_difference names one. */
OCE_API bool oce_run_settings_equal(const oce_model_options *model_a,
                                    const oce_train_options *train_a,
                                    const oce_model_options *model_b,
                                    const oce_train_options *train_b,
                                    const char **first_difference);

/* ---- Evaluation ---------------------------------------------------------------------------- */

/** A model's answers on a data set. Opaque. */
typedef struct oce_evaluation oce_evaluation;

/** Runs `model` on all of `dataset`, without dropout. Errors: as oce_model_evaluate. */
OCE_API oce_status oce_evaluation_create(oce_model *model, const oce_dataset *dataset,
                                         oce_evaluation **evaluation);
OCE_API void oce_evaluation_destroy(oce_evaluation *evaluation);
OCE_API oce_metrics oce_evaluation_metrics(const oce_evaluation *evaluation);
/** Images of class `actual` that were taken for class `predicted`. */
OCE_API int64_t oce_evaluation_confusion(const oce_evaluation *evaluation, int64_t actual,
                                         int64_t predicted);
/** The class predicted for image `index`. */
OCE_API int64_t oce_evaluation_prediction(const oce_evaluation *evaluation, int64_t index);
/** The tutorial's estimate: the mean accuracy over `batches` random batches of `batch` images, each
 * drawn without replacement. Errors: OCE_ERROR_INVALID_ARGUMENT (batch larger than the set). */
OCE_API oce_status oce_evaluation_estimate(const oce_evaluation *evaluation, int batches,
                                           int64_t batch, uint64_t seed, double *accuracy);

#ifdef __cplusplus
}
#endif

#endif
