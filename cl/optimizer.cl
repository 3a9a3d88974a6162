/*
 * One update of a block of parameters by TensorFlow's formulas (include/ocelli/optimizer.h), each
 * operation rounded on its own in their order. An item takes CHUNK parameters.
 */
#pragma OPENCL FP_CONTRACT OFF

/* Parameters of an item: several thousand on a CPU, VEC on a GPU. */
#ifndef CHUNK
#define CHUNK VEC
#endif

/* Declares i and end, the item's part of the parameters. */
#define ITEM_PART(count)                                                                           \
    ulong i = get_global_id(0) * CHUNK;                                                            \
    const ulong end = min(i + CHUNK, count)

/* A kernel's work on its part: UPDATE(type, LOAD, STORE) on vectors, then on what is left. */
#define LOAD1(p) (*(p))
#define STORE1(v, p) (*(p) = (v))
#define UPDATE_PART(UPDATE, count)                                                                 \
    ITEM_PART(count);                                                                              \
    VECTORS UPDATE(vecf, LOADV, STOREV)                                                            \
    REST UPDATE(float, LOAD1, STORE1)

#define SGD(type, LOAD, STORE)                                                                     \
    {                                                                                              \
        const type update = rate * LOAD(g + i);                                                    \
        STORE(LOAD(var + i) - update, var + i);                                                    \
    }

/* Reads 8 bytes and writes 4 for 2 operations a parameter: 0.17 flop/byte. */
KERNEL void sgd(IN(gradients), OUT(parameters), const ulong count, const float rate) {
    __global const float *g = AT(gradients);
    __global float *var = AT(parameters);
    UPDATE_PART(SGD, count);
}

#define MOMENTUM(type, LOAD, STORE)                                                                \
    {                                                                                              \
        const type decayed = LOAD(acc + i) * momentum;                                             \
        const type sum = decayed + LOAD(g + i);                                                    \
        const type update = rate * sum;                                                            \
        STORE(sum, acc + i);                                                                       \
        STORE(LOAD(var + i) - update, var + i);                                                    \
    }

/* Reads 12 bytes and writes 8 for 4 operations a parameter: 0.2 flop/byte. */
KERNEL void momentum_sgd(IN(gradients), OUT(parameters), OUT(accumulator), const ulong count,
                         const float rate, const float momentum) {
    __global const float *g = AT(gradients);
    __global float *var = AT(parameters), *acc = AT(accumulator);
    UPDATE_PART(MOMENTUM, count);
}

/* alpha, rate1 = 1 - beta1 and rate2 = 1 - beta2 come from the host. */
#define ADAM(type, LOAD, STORE)                                                                    \
    {                                                                                              \
        const type gradient = LOAD(g + i), square = gradient * gradient;                           \
        const type m0 = LOAD(m + i), m_change = (gradient - m0) * rate1, m1 = m0 + m_change;       \
        const type v0 = LOAD(v + i), v_change = (square - v0) * rate2, v1 = v0 + v_change;         \
        const type update = (m1 * alpha) / (sqrt(v1) + epsilon);                                   \
        STORE(m1, m + i);                                                                          \
        STORE(v1, v + i);                                                                          \
        STORE(LOAD(var + i) - update, var + i);                                                    \
    }

/* Reads 16 bytes and writes 12 for 12 operations a parameter, a root and a division among them:
 * 0.4 flop/byte. */
KERNEL void adam(IN(gradients), OUT(parameters), OUT(first), OUT(second), const ulong count,
                 const float alpha, const float rate1, const float rate2, const float epsilon) {
    __global const float *g = AT(gradients);
    __global float *var = AT(parameters), *m = AT(first), *v = AT(second);
    UPDATE_PART(ADAM, count);
}

#define RMSPROP(type, LOAD, STORE)                                                                 \
    {                                                                                              \
        const type gradient = LOAD(g + i), square = gradient * gradient;                           \
        const type ms0 = LOAD(ms + i), change = (square - ms0) * decay_rate, ms1 = ms0 + change;   \
        const type decayed = LOAD(mom + i) * momentum;                                             \
        const type step = (rate * gradient) / sqrt(ms1 + epsilon);                                 \
        const type update = decayed + step;                                                        \
        STORE(ms1, ms + i);                                                                        \
        STORE(update, mom + i);                                                                    \
        STORE(LOAD(var + i) - update, var + i);                                                    \
    }

/* decay_rate = 1 - decay. Reads 16 bytes and writes 12 for 11 operations a parameter: 0.4
 * flop/byte. */
KERNEL void rmsprop(IN(gradients), OUT(parameters), OUT(mean_square), OUT(moments),
                    const ulong count, const float rate, const float decay_rate,
                    const float momentum, const float epsilon) {
    __global const float *g = AT(gradients);
    __global float *var = AT(parameters), *ms = AT(mean_square), *mom = AT(moments);
    UPDATE_PART(RMSPROP, count);
}

#define RMSPROP_IN_PLACE(type, LOAD, STORE)                                                        \
    {                                                                                              \
        const type gradient = LOAD(mom + i), square = gradient * gradient;                         \
        const type ms0 = LOAD(ms + i), change = (square - ms0) * decay_rate, ms1 = ms0 + change;   \
        const type update = (rate * gradient) / sqrt(ms1 + epsilon);                               \
        STORE(ms1, ms + i);                                                                        \
        STORE(update, mom + i);                                                                    \
        STORE(LOAD(var + i) - update, var + i);                                                    \
    }

/* With momentum 0 nothing of the old moments is used: their memory brings the gradients. Reads 12
 * bytes and writes 12 for 9 operations a parameter: 0.4 flop/byte. */
KERNEL void rmsprop_in_place(OUT(parameters), OUT(mean_square), INOUT(moments), const ulong count,
                             const float rate, const float decay_rate, const float epsilon) {
    __global float *var = AT(parameters), *ms = AT(mean_square), *mom = AT(moments);
    UPDATE_PART(RMSPROP_IN_PLACE, count);
}
