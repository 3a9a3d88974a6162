/**
 * A model: a network planned for a device and a batch size, its parameters, and its training step.
 *
 * oce_model_create() plans: every shape, algorithm and byte is known, and can be asked for, before
 * anything is allocated. oce_model_allocate() then allocates and initialises. After that a training
 * step allocates, builds and checks nothing that could fail late, and does not wait for the device.
 *
 * The same device, driver, seed and calls give the same bits.
 */
#ifndef OCELLI_MODEL_H
#define OCELLI_MODEL_H

#include <ocelli/data.h>
#include <ocelli/device.h>
#include <ocelli/gemm.h>
#include <ocelli/network.h>
#include <ocelli/optimizer.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct oce_model_options {
    int64_t batch;         /**< images of a training step, or of a forward pass; at least 1 */
    int64_t micro_batches; /**< parts that a step's batch is computed in, one after the other, to
                              save memory; must divide the batch; 0 means 1. Gradients are added in
                              order: the same number of parts gives the same bits */
    bool training;         /**< false: forward passes only, no gradients, slots, optimizer */
    oce_optimizer_desc optimizer;
    float keep_prob;   /**< replaces that of all dropout layers in training steps; 0: keep theirs */
    float input_scale; /**< a pixel byte becomes float(byte) * input_scale */
    bool augment;      /**< training steps flip and shift the images at random (oce_augment) */
    uint64_t seed;     /**< of initial weights, dropout and augmentation */
    oce_conv2d_family conv2d_family; /**< AUTO, or one for all layers that it can serve; the
                                          others are left to AUTO. So: */
    oce_gemm_family gemm_family;
    bool keep_gradients; /**< OCE_VARIABLE_GRADIENT can be had also where the optimizer's update
                              would take their memory (oce_optimizer_takes_slot); costs a block of
                              all parameters there */
    bool no_winograd; /**< convolutions whose family is left to AUTO compute the plain sums, which
                           takes longer but rounds less (oce_conv2d_desc); excludes the family
                           WINOGRAD */
} oce_model_options;

typedef struct oce_model oce_model;

/**
 * Plans `network` on `device`; builds its kernels; allocates no device memory.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (an option or layer, named), OCE_ERROR_SHAPE,
 * OCE_ERROR_OVERFLOW, OCE_ERROR_UNSUPPORTED, OCE_ERROR_BUILD.
 */
OCE_API oce_status oce_model_create(oce_device *device, const oce_network *network,
                                    const oce_model_options *options, oce_model **model);
OCE_API void oce_model_destroy(oce_model *model);

/**
 * Allocates all buffers and sets parameters and optimizer slots to their initial values.
 * Errors: OCE_ERROR_DEVICE_MEMORY: which buffer does not fit and what the device has; a smaller
 * batch or more micro-batches (oce_model_fit) would do.
 */
OCE_API oce_status oce_model_allocate(oce_model *model);

OCE_API const oce_network *oce_model_network(const oce_model *model);
OCE_API const oce_model_options *oce_model_get_options(const oce_model *model);
/** Outputs of the last layer. */
OCE_API int64_t oce_model_classes(const oce_model *model);

/* ---- What was planned ---------------------------------------------------------------------- */

typedef struct oce_layer_info {
    const oce_layer *layer;
    int64_t output[3];      /**< height, width, channels; dense: 1, 1, units */
    int64_t parameters;     /**< weights and biases */
    double forward_flops;   /**< of one image, multiply-adds x 2 */
    double training_flops;  /**< of one image: forward and the gradients that training needs */
    const char *forward;    /**< algorithm of each pass; "" if the layer has no such pass */
    const char *input_grad; /**< "" for the first layer too */
    const char *filter_grad;
    oce_halo halo; /**< zeros kept around the layer's output */
} oce_layer_info;

OCE_API int oce_model_layer_count(const oce_model *model);
OCE_API void oce_model_layer(const oce_model *model, int index, oce_layer_info *info);

typedef struct oce_buffer_info {
    const char *name;
    size_t bytes;
} oce_buffer_info;

OCE_API int oce_model_buffer_count(const oce_model *model);
OCE_API void oce_model_buffer(const oce_model *model, int index, oce_buffer_info *info);
/** Bytes of all buffers. */
OCE_API size_t oce_model_bytes(const oce_model *model);

/** Whether the plan fits the device. Errors: OCE_ERROR_DEVICE_MEMORY, as oce_model_allocate. */
OCE_API oce_status oce_model_check_memory(const oce_model *model);

/** The smallest number of micro-batches, a divisor of `options->batch`, whose plan fits the device;
 * the whole batch (parts of one image) if none does. Errors: those of oce_model_create. */
OCE_API oce_status oce_model_fit(oce_device *device, const oce_network *network,
                                 const oce_model_options *options, int64_t *micro_batches);

/* ---- Variables ----------------------------------------------------------------------------- */

/** A trainable variable; in order of creation: weights then bias of each layer. */
typedef struct oce_variable {
    const char *layer; /**< name of its layer */
    bool is_bias;
    int rank;
    int64_t shape[4]; /**< conv2d weights HWIO, dense weights [in, out], biases [n] */
    int64_t count;    /**< elements */
} oce_variable;

/** What of a variable is meant. */
typedef enum oce_variable_part {
    OCE_VARIABLE_VALUE = 0,
    OCE_VARIABLE_GRADIENT, /**< of the last training step's mean loss; see keep_gradients */
    OCE_VARIABLE_SLOT_0,   /**< optimizer: Adam m, RMSProp ms, momentum's accumulator */
    OCE_VARIABLE_SLOT_1    /**< optimizer: Adam v, RMSProp momentum */
} oce_variable_part;

OCE_API int oce_model_variable_count(const oce_model *model);
OCE_API void oce_model_variable(const oce_model *model, int index, oce_variable *variable);
/** Copies `count` floats (all of the variable) from or to the device. Errors: OCE_ERROR_SHAPE
 * (other count), OCE_ERROR_INVALID_ARGUMENT (no such variable or part), OCE_ERROR_OPENCL. */
OCE_API oce_status oce_model_get(oce_model *model, int index, oce_variable_part part, float *values,
                                 int64_t count);
OCE_API oce_status oce_model_set(oce_model *model, int index, oce_variable_part part,
                                 const float *values, int64_t count);

/** The optimizer's scalars and the number of steps taken; set them to continue a run. */
typedef struct oce_model_state {
    uint64_t step;
    oce_optimizer_state optimizer;
} oce_model_state;

OCE_API oce_model_state oce_model_get_state(const oce_model *model);
OCE_API void oce_model_set_state(oce_model *model, const oce_model_state *state);

/* ---- Running ------------------------------------------------------------------------------- */

/**
 * One optimizer step on a batch: images [batch,H,W,C] bytes, labels [batch] class numbers. Copies
 * both, enqueues the work and returns; the step's number is oce_model_get_state().step before the
 * call. Errors: OCE_ERROR_INVALID_ARGUMENT (not allocated, not a training model, a label that is no
 * class), OCE_ERROR_OPENCL.
 */
OCE_API oce_status oce_model_train_step(oce_model *model, const uint8_t *images,
                                        const uint8_t *labels, float learning_rate);

/** Loss and accuracy over a number of images. */
typedef struct oce_metrics {
    double loss;     /**< mean cross entropy */
    double accuracy; /**< share of images whose largest logit is the label's */
    int64_t images;
} oce_metrics;

/** How many steps back oce_model_step_metrics() can look. */
enum { OCE_METRICS_KEPT = 256 };

/** Waits for step `step` (one of the last OCE_METRICS_KEPT) and reads the loss and accuracy of its
 * batch before its update, with dropout as trained. Errors: OCE_ERROR_NOT_FOUND, OCE_ERROR_OPENCL.
 */
OCE_API oce_status oce_model_step_metrics(oce_model *model, uint64_t step, oce_metrics *metrics);

/** Waits, and looks for the first step in first..end-1 (of the last OCE_METRICS_KEPT; older ones
 * are passed over) whose loss is NaN or infinite. Errors: OCE_ERROR_OPENCL. */
OCE_API oce_status oce_model_find_nonfinite(oce_model *model, uint64_t first, uint64_t end,
                                            bool *found, uint64_t *step);

/** Loss and accuracy on any number of images, without dropout or update; waits. predictions: one
 * class an image, or NULL. Errors: as oce_model_train_step. */
OCE_API oce_status oce_model_evaluate(oce_model *model, const uint8_t *images,
                                      const uint8_t *labels, int64_t count, oce_metrics *metrics,
                                      uint8_t *predictions);

/** Softmax probabilities [count, classes] of images [count,H,W,C], without dropout; waits. */
OCE_API oce_status oce_model_predict(oce_model *model, const uint8_t *images, int64_t count,
                                     float *probabilities);

/**
 * Names the first layer whose parameters or, on the last batch fed, outputs are not all finite,
 * with how many. Returns OCE_ERROR_DIVERGED with that as message; OCE_OK if all are finite.
 */
OCE_API oce_status oce_model_check_finite(oce_model *model);

#ifdef __cplusplus
}
#endif

#endif
