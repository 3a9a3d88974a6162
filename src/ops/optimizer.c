/* Optimizers: one launch updates a block of parameters. */
#include <ocelli/optimizer.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

#include <float.h>
#include <math.h>

enum { CPU_CHUNK = 4096, MAX_SLOTS = 2, MAX_ARGS = 9 };

static const struct optimizer_kind {
    const char *name, *kernel;
    int slots;
    float start[MAX_SLOTS];
} kinds[] = {
    [OCE_OPTIMIZER_SGD] = {"sgd", "sgd", 0, {0, 0}},
    [OCE_OPTIMIZER_MOMENTUM] = {"momentum", "momentum_sgd", 1, {0, 0}},
    [OCE_OPTIMIZER_ADAM] = {"adam", "adam", 2, {0, 0}},
    [OCE_OPTIMIZER_RMSPROP] = {"rmsprop", "rmsprop", 2, {1, 0}},
};

static bool is_kind(oce_optimizer_kind kind) {
    return (int)kind >= 0 && (int)kind < OCE_COUNT(kinds);
}

const char *oce_optimizer_name(oce_optimizer_kind kind) {
    return is_kind(kind) ? kinds[kind].name : "unknown";
}

oce_optimizer_desc oce_optimizer_defaults(oce_optimizer_kind kind, float learning_rate) {
    oce_optimizer_desc desc = {.kind = kind, .learning_rate = learning_rate};
    switch (kind) {
    case OCE_OPTIMIZER_SGD:
        break;
    case OCE_OPTIMIZER_MOMENTUM:
        desc.momentum = 0.9F;
        break;
    case OCE_OPTIMIZER_ADAM:
        desc.beta1 = 0.9F;
        desc.beta2 = 0.999F;
        desc.epsilon = 1e-8F;
        break;
    case OCE_OPTIMIZER_RMSPROP:
        desc.decay = 0.9F;
        desc.epsilon = 1e-10F;
        break;
    }
    return desc;
}

int oce_optimizer_slots(oce_optimizer_kind kind) {
    return is_kind(kind) ? kinds[kind].slots : 0;
}

float oce_optimizer_slot_start(oce_optimizer_kind kind, int slot) {
    return is_kind(kind) && slot >= 0 && slot < MAX_SLOTS ? kinds[kind].start[slot] : 0.0F;
}

oce_optimizer_state oce_optimizer_start(const oce_optimizer_desc *desc) {
    return (oce_optimizer_state){.beta1_power = desc->beta1, .beta2_power = desc->beta2};
}

/* The next power of beta. TensorFlow runs with denormals flushed to zero. */
static float next_power(float power, float beta) {
    const float next = power * beta;
    return fabsf(next) < FLT_MIN ? 0.0F : next;
}

bool oce_optimizer_takes_slot(const oce_optimizer_desc *desc, int slot) {
    return desc->kind == OCE_OPTIMIZER_RMSPROP && slot == 1 && desc->momentum == 0;
}

/* Whether the gradients came in the memory of RMSProp's moments. */
static bool is_in_place(const oce_optimizer_desc *desc, const oce_tensor *gradients,
                        const oce_tensor *slots) {
    return oce_optimizer_takes_slot(desc, 1) && gradients->buffer == slots[1].buffer &&
           gradients->offset == slots[1].offset;
}

/* The scalars that the kernel takes after the count; returns how many. */
static int scalars(const oce_optimizer_desc *d, float rate, const oce_optimizer_state *state,
                   bool in_place, oce_arg *args) {
    int count = 0;
    switch (d->kind) {
    case OCE_OPTIMIZER_SGD:
        args[count++] = oce_arg_float(rate);
        break;
    case OCE_OPTIMIZER_MOMENTUM:
        args[count++] = oce_arg_float(rate);
        args[count++] = oce_arg_float(d->momentum);
        break;
    case OCE_OPTIMIZER_ADAM: {
        const float root = sqrtf(1.0F - state->beta2_power);
        args[count++] = oce_arg_float(rate * root / (1.0F - state->beta1_power));
        args[count++] = oce_arg_float(1.0F - d->beta1);
        args[count++] = oce_arg_float(1.0F - d->beta2);
        args[count++] = oce_arg_float(d->epsilon);
        break;
    }
    case OCE_OPTIMIZER_RMSPROP:
        args[count++] = oce_arg_float(rate);
        args[count++] = oce_arg_float(1.0F - d->decay);
        if (!in_place)
            args[count++] = oce_arg_float(d->momentum);
        args[count++] = oce_arg_float(d->epsilon);
        break;
    }
    return count;
}

/* Checks the tensors; *is_aligned: each starts at a multiple of 4 elements. */
static oce_status check(const oce_optimizer_desc *desc, const oce_optimizer_state *state,
                        const oce_tensor *gradients, const oce_tensor *parameters,
                        const oce_tensor *slots, bool *is_aligned) {
    OCE_REQUIRE(is_kind(desc->kind), OCE_ERROR_INVALID_ARGUMENT, "optimizer: unknown kind %d",
                (int)desc->kind);
    const struct optimizer_kind *kind = &kinds[desc->kind];
    OCE_REQUIRE(parameters != NULL && state != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "%s: no parameters or no state were given", kind->name);
    OCE_REQUIRE(kind->slots == 0 || slots != NULL, OCE_ERROR_INVALID_ARGUMENT,
                "%s: %d slots are needed, none were given", kind->name, kind->slots);
    const size_t count = oce_tensor_count(parameters);
    OCE_TRY(oce_tensor_expect_dense(parameters, "optimizer: parameters", count));
    OCE_TRY(oce_tensor_expect_dense(gradients, "optimizer: gradients", count));
    *is_aligned = parameters->offset % 4 == 0 && gradients->offset % 4 == 0;
    for (int i = 0; i < kind->slots; i++) {
        OCE_TRY(oce_tensor_expect_dense(&slots[i], "optimizer: slot", count));
        *is_aligned = *is_aligned && slots[i].offset % 4 == 0;
    }
    return OCE_OK;
}

oce_status oce_optimizer_step(oce_device *device, const oce_optimizer_desc *desc,
                              float learning_rate, oce_optimizer_state *state,
                              const oce_tensor *gradients, const oce_tensor *parameters,
                              const oce_tensor *slots) {
    bool is_aligned = false;
    OCE_TRY(check(desc, state, gradients, parameters, slots, &is_aligned));
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    const int64_t chunk = is_cpu ? CPU_CHUNK : 4;
    oce_defines defines = {0};
    oce_define(&defines, "CHUNK", chunk);
    if (!is_cpu && is_aligned)
        oce_define(&defines, "OCE_ALIGNED", 1);
    const bool in_place = is_in_place(desc, gradients, slots);
    const char *name = in_place ? "rmsprop_in_place" : kinds[desc->kind].kernel;
    oce_kernel *kernel = NULL;
    OCE_TRY(oce_kernel_get(device, "optimizer.cl", name, &defines, &kernel));
    oce_arg args[MAX_ARGS];
    int count = 0;
    if (!in_place)
        args[count++] = oce_arg_tensor(gradients);
    args[count++] = oce_arg_tensor(parameters);
    for (int i = 0; i < kinds[desc->kind].slots; i++)
        args[count++] = oce_arg_tensor(&slots[i]);
    const int64_t elements = (int64_t)oce_tensor_count(parameters);
    args[count++] = oce_arg_long(elements);
    count += scalars(desc, learning_rate, state, in_place, args + count);
    OCE_TRY(oce_launch(kernel, oce_range_items(oce_ceil_div(elements, chunk)), args, count));
    if (desc->kind == OCE_OPTIMIZER_ADAM) {
        state->beta1_power = next_power(state->beta1_power, desc->beta1);
        state->beta2_power = next_power(state->beta2_power, desc->beta2);
    }
    return OCE_OK;
}
