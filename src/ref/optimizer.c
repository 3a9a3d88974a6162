#include "ref/ref.h"

#include "base/status.h"

#include <float.h>
#include <math.h>

/* Every operation below is a statement or a cast of its own, so that no compiler contracts a
 * product and a sum into one fused operation, which rounds once where TensorFlow rounds twice. */

static void sgd(float lr, const float *g, float *var, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float update = lr * g[i];
        var[i] -= update;
    }
}

static void momentum(const oce_optimizer_desc *d, float lr, const float *g, float *var, float *acc,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float decayed = acc[i] * d->momentum;
        acc[i] = decayed + g[i];
        const float update = lr * acc[i];
        var[i] -= update;
    }
}

/* current + (target - current) * rate */
static float approach(float current, float target, float rate) {
    const float change = (target - current) * rate;
    return current + change;
}

static void adam(const oce_optimizer_desc *d, float lr, const oce_optimizer_state *state,
                 const float *g, float *var, float *m, float *v, size_t count) {
    const float alpha = lr * sqrtf(1.0F - state->beta2_power) / (1.0F - state->beta1_power);
    for (size_t i = 0; i < count; i++) {
        const float square = g[i] * g[i];
        m[i] = approach(m[i], g[i], 1.0F - d->beta1);
        v[i] = approach(v[i], square, 1.0F - d->beta2);
        const float update = (m[i] * alpha) / (sqrtf(v[i]) + d->epsilon);
        var[i] -= update;
    }
}

static void rmsprop(const oce_optimizer_desc *d, float lr, const float *g, float *var, float *ms,
                    float *mom, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float square = g[i] * g[i];
        ms[i] = approach(ms[i], square, 1.0F - d->decay);
        const float decayed = mom[i] * d->momentum;
        const float step = (lr * g[i]) / sqrtf(ms[i] + d->epsilon);
        mom[i] = decayed + step;
        var[i] -= mom[i];
    }
}

/* The next power of beta. TensorFlow runs with denormals flushed to zero. */
static float next_power(float power, float beta) {
    const float next = power * beta;
    return fabsf(next) < FLT_MIN ? 0.0F : next;
}

oce_status oce_ref_optimizer_step(const oce_optimizer_desc *desc, float learning_rate,
                                  oce_optimizer_state *state, const float *gradients,
                                  float *parameters, float *const *slots, size_t count) {
    switch (desc->kind) {
    case OCE_OPTIMIZER_SGD:
        sgd(learning_rate, gradients, parameters, count);
        return OCE_OK;
    case OCE_OPTIMIZER_MOMENTUM:
        momentum(desc, learning_rate, gradients, parameters, slots[0], count);
        return OCE_OK;
    case OCE_OPTIMIZER_ADAM:
        adam(desc, learning_rate, state, gradients, parameters, slots[0], slots[1], count);
        state->beta1_power = next_power(state->beta1_power, desc->beta1);
        state->beta2_power = next_power(state->beta2_power, desc->beta2);
        return OCE_OK;
    case OCE_OPTIMIZER_RMSPROP:
        rmsprop(desc, learning_rate, gradients, parameters, slots[0], slots[1], count);
        return OCE_OK;
    }
    return oce_fail(OCE_ERROR_INVALID_ARGUMENT, "optimizer: unknown kind %d", (int)desc->kind);
}
