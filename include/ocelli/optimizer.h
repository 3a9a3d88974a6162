/**
 * Optimizers, with TensorFlow 1.x's formulas and defaults, in float32. One launch updates a whole
 * block of parameters.
 *
 *   SGD       var -= lr * g
 *   momentum  acc = acc * momentum + g;  var -= lr * acc
 *   Adam      alpha = lr * sqrt(1 - beta2_power) / (1 - beta1_power)
 *             m += (g - m) * (1 - beta1);  v += (g*g - v) * (1 - beta2)
 *             var -= (m * alpha) / (sqrt(v) + epsilon)
 *   RMSProp   ms += (g*g - ms) * (1 - decay)
 *             mom = mom * momentum + (lr * g) / sqrt(ms + epsilon);  var -= mom
 *
 * beta1_power starts at beta1 and is multiplied by beta1 after each step (so with beta2); a power
 * that leaves the normal float range becomes 0. Slots start at 0, but RMSProp's ms at 1.
 * Source: tensorflow/core/kernels/training_ops.cc.
 */
#ifndef OCELLI_OPTIMIZER_H
#define OCELLI_OPTIMIZER_H

#include <ocelli/tensor.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oce_optimizer_kind {
    OCE_OPTIMIZER_SGD = 0,
    OCE_OPTIMIZER_MOMENTUM,
    OCE_OPTIMIZER_ADAM,
    OCE_OPTIMIZER_RMSPROP
} oce_optimizer_kind;

/** "sgd", "momentum", "adam", "rmsprop". */
OCE_API const char *oce_optimizer_name(oce_optimizer_kind kind);

typedef struct oce_optimizer_desc {
    oce_optimizer_kind kind;
    float learning_rate;
    float momentum; /**< momentum, RMSProp */
    float beta1;    /**< Adam */
    float beta2;    /**< Adam */
    float decay;    /**< RMSProp */
    float epsilon;  /**< Adam, RMSProp */
} oce_optimizer_desc;

/** TensorFlow's defaults: momentum 0.9 for OCE_OPTIMIZER_MOMENTUM and 0 for RMSProp; beta1 0.9,
 * beta2 0.999, epsilon 1e-8 for Adam; decay 0.9, epsilon 1e-10 for RMSProp; learning rate as given.
 */
OCE_API oce_optimizer_desc oce_optimizer_defaults(oce_optimizer_kind kind, float learning_rate);

/** Slots a parameter has: 0 (SGD), 1 (momentum) or 2 (Adam: m, v; RMSProp: ms, momentum). */
OCE_API int oce_optimizer_slots(oce_optimizer_kind kind);
/** Whether oce_optimizer_step() may be given the gradients in the memory of this slot, whose values
 * an update of this description does not read: RMSProp's momentum, if momentum is 0. */
OCE_API bool oce_optimizer_takes_slot(const oce_optimizer_desc *desc, int slot);
/** The value slot `slot` starts with. */
OCE_API float oce_optimizer_slot_start(oce_optimizer_kind kind, int slot);

/** What changes from step to step. */
typedef struct oce_optimizer_state {
    float beta1_power; /**< Adam; starts at beta1 */
    float beta2_power; /**< Adam; starts at beta2 */
} oce_optimizer_state;

OCE_API oce_optimizer_state oce_optimizer_start(const oce_optimizer_desc *desc);

/**
 * One update of `parameters` from `gradients`, then advances *state if it could be enqueued. All
 * tensors dense and of equal count; slots: oce_optimizer_slots() tensors in the order above (none:
 * NULL). `gradients` shares no memory with another, or is a slot of oce_optimizer_takes_slot().
 * learning_rate replaces the description's (schedules). Each operation is rounded to float32 in the
 * order written above, never contracted to a fused multiply-add; division and square root are as
 * exact as the device's. Errors: OCE_ERROR_SHAPE, OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_BUILD,
 * OCE_ERROR_OPENCL; nothing is enqueued or advanced if a check fails.
 */
OCE_API oce_status oce_optimizer_step(oce_device *device, const oce_optimizer_desc *desc,
                                      float learning_rate, oce_optimizer_state *state,
                                      const oce_tensor *gradients, const oce_tensor *parameters,
                                      const oce_tensor *slots);

#ifdef __cplusplus
}
#endif

#endif
