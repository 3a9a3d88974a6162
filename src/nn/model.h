/* The insides of a model, for src/nn only. */
#ifndef OCE_NN_MODEL_H
#define OCE_NN_MODEL_H

#include "nn/graph.h"
#include "nn/memory.h"

#include "device/device.h"

#include <ocelli/model.h>
#include <ocelli/softmax.h>

/* Micro-batches that may be brought to the device ahead of its work. */
enum { OCE_STAGES = 4 };

/* Host memory of a micro-batch. */
typedef struct oce_stage {
    oce_mark passed; /* not reached: the device may still read the memory */
    void *mapped;    /* the images buffer, to be written once the mark is reached; or NULL */
    uint64_t step;   /* whose batch it holds, or held last */
} oce_stage;

struct oce_model {
    oce_device *device;
    oce_model_options options; /* defaults filled in */
    oce_memory memory;
    oce_graph graph;
    bool is_allocated;
    int parameters_buffer, part_gradients_buffer, slot_buffer[2];
    int gradients_buffer;          /* may be a slot's (oce_optimizer_takes_slot) */
    int images_buffer[OCE_STAGES]; /* a micro-batch of bytes each */
    int labels_buffer;             /* OCE_STAGES micro-batches of bytes */
    int sums_buffer;               /* oce_xent_sums: steps, then one evaluation pass */
    int predictions_buffer;        /* int32 [micro-batch] */
    int counts_buffer;             /* uint32: non-finite values a tensor */
    uint8_t *stage_images;         /* host side of the images buffers; NULL: they are mapped */
    uint8_t *stage_labels;         /* and of the labels buffer */
    float *stage_inputs; /* [OCE_STAGES] input buffers, of so few images that the host converts them
                            as fast as a command is enqueued; else NULL */
    oce_stage stages[OCE_STAGES];
    int stage;                /* the last used */
    oce_xent_sums *kept_sums; /* host side of the sums buffer, as far as steps have been done */
    uint64_t step;
    uint64_t first_kept_step; /* the oldest step whose sums are of this run */
    oce_optimizer_state optimizer_state;
};

/* Allocates the host's side of the images: stage_inputs, where the host converts them, or
 * stage_images, unless the buffers are mapped, as on CPUs. */
oce_status oce_model_allocate_stages(oce_model *model);
/* Waits until none is read any more. */
void oce_model_release_stages(oce_model *model);

/* Copies `rows` images and labels (NULL: none) to a stage and converts the images to graph.input;
 * augment may be NULL. *stage_first is where the labels lie in the labels buffer. */
oce_status oce_model_feed(oce_model *model, const uint8_t *images, const uint8_t *labels,
                          int64_t rows, bool augment, int64_t first_image, size_t *labels_first);

/* Copies a variable that is stored in panels from `source`, where it lies in rows, to `target`. */
oce_status oce_variable_to_panels(const oce_slot *slot, const oce_tensor *source,
                                  const oce_tensor *target);

/* Enqueues the way back of the sums of micro-batch `part` of the present step. */
oce_status oce_model_fetch_sums(oce_model *model, int64_t part);

/* Index of the sums of micro-batch `part` of step `step`. */
size_t oce_model_sums_slot(const oce_model *model, uint64_t step, int64_t part);
/* Index of the sums of an evaluation pass. */
size_t oce_model_evaluation_slot(const oce_model *model);

oce_status oce_model_require_allocated(const oce_model *model);

static inline oce_buffer *oce_model_memory(const oce_model *model, int index) {
    return oce_memory_buffer(&model->memory, index);
}

#endif
