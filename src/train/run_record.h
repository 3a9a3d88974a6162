/* The settings of a training run, kept in the sidecar of its checkpoints. */
#ifndef OCE_TRAIN_RUN_RECORD_H
#define OCE_TRAIN_RUN_RECORD_H

#include <ocelli/checkpoint.h>
#include <ocelli/train.h>

/* A sidecar with the step and everything that decides the rest of the run. */
oce_status oce_run_record_create(const oce_model *model, const oce_train_options *options,
                                 int64_t examples, oce_sidecar **sidecar);

#endif
