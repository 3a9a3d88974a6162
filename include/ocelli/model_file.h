/**
 * Models as TensorFlow checkpoints.
 *
 * Variables have the names that an unnamed tf.Variable gets, in order of creation: "Variable",
 * "Variable_1", ... Optimizer slots follow as "<variable>/Adam" (m), "/Adam_1" (v), "/RMSProp"
 * (ms),
 * "/RMSProp_1" (momentum), "/Momentum"; Adam's scalars are "beta1_power" and "beta2_power".
 */
#ifndef OCELLI_MODEL_FILE_H
#define OCELLI_MODEL_FILE_H

#include <ocelli/checkpoint.h>
#include <ocelli/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest name, with its end. */
enum { OCE_VARIABLE_NAME = 64 };

/** Writes the checkpoint's name of a part of variable `index` (not the gradient) into `name`. */
OCE_API void oce_model_variable_name(const oce_model *model, int index, oce_variable_part part,
                                     char name[OCE_VARIABLE_NAME]);

/**
 * Saves all variables, slots and scalars as checkpoint `<save_path>-<the model's step>` (see
 * oce_saver_save). sidecar: NULL for none. Errors: those of oce_model_get and oce_saver_save.
 */
OCE_API oce_status oce_model_save(oce_model *model, oce_saver *saver, const char *save_path,
                                  const oce_sidecar *sidecar);

/** What a checkpoint must hold. */
typedef enum oce_load_parts {
    OCE_LOAD_VARIABLES, /**< the variables; slots are not read */
    OCE_LOAD_ANY_SLOTS, /**< the variables, and the slots if it has all of them */
    OCE_LOAD_ALL        /**< variables, slots and scalars of the model's optimizer */
} oce_load_parts;

/**
 * Loads checkpoint `prefix`. Everything is read and checked before the model changes.
 * has_slots (may be NULL): whether slots were loaded. The model's step stays.
 * Errors: those of oce_bundle_reader_open and oce_bundle_reader_read: the message names the key
 * that is missing or differs, and what the file has instead.
 */
OCE_API oce_status oce_model_load(oce_model *model, const char *prefix, oce_load_parts parts,
                                  bool *has_slots);

#ifdef __cplusplus
}
#endif

#endif
