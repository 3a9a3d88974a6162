/*
 * What kernels on CPUs compute of a row of logits, for softmax.cl and head.cl: `classes` floats as
 * vectors of VEC, which the host picks so that VEC divides the classes (but see SHORT_LOOPS). With
 * m = max z and E = sum of exp(z - m), a NaN or +inf among the logits makes E a NaN, and with it
 * the loss.
 */

/* Logits may be overwritten by the result, so nothing is `restrict`. */
#define SAME_IN(name) __global const float *name##_base, const ulong name##_at

/* The floats of a vector, in private memory. */
#if VEC == 1
#define STORE_LANES(v, lanes) (*(lanes) = (v))
#else
#define STORE_LANES(v, lanes) OCE_JOIN(vstore, VEC)(v, 0, lanes)
#endif

/* 1: VEC is 16, whether it divides the classes or not: where a driver breaks long loops off. */
#ifndef SHORT_LOOPS
#define SHORT_LOOPS 0
#endif

/* The vector of a row's elements from c on, and its store; lanes behind the row are `other`. */
#if SHORT_LOOPS
vecf load_at(__global const float *row, const uint c, const uint classes, const float other) {
    float lanes[VEC];
    if (c + VEC <= classes)
        return LOADV(row + c);
    for (uint i = 0; i < VEC; i++)
        lanes[i] = c + i < classes ? row[c + i] : other;
    return OCE_JOIN(vload, VEC)(0, lanes);
}

void store_at(const vecf v, __global float *row, const uint c, const uint classes) {
    float lanes[VEC];
    STORE_LANES(v, lanes);
    if (c + VEC <= classes)
        STOREV(v, row + c);
    else
        for (uint i = 0; c + i < classes; i++)
            row[c + i] = lanes[i];
}
#define LOAD_AT(row, c, other) load_at(row, c, classes, other)
#define STORE_AT(v, row, c) store_at(v, row, c, classes)
#else
#define LOAD_AT(row, c, other) LOADV((row) + (c))
#define STORE_AT(v, row, c) STOREV(v, (row) + (c))
#endif

/* Where a row's formulas start: m and E. */
typedef struct row_sums {
    float largest;
    float sum;
} row_sums;

row_sums sum_row(__global const float *z, const uint classes) {
    row_sums row;
    float lanes[VEC];
    vecf largest = (vecf)(-INFINITY), sum = (vecf)(0);
    for (uint c = 0; c < classes; c += VEC)
        largest = fmax(largest, LOAD_AT(z, c, -INFINITY));
    STORE_LANES(largest, lanes);
    row.largest = lanes[0];
    for (uint i = 1; i < VEC; i++)
        row.largest = fmax(row.largest, lanes[i]);
    for (uint c = 0; c < classes; c += VEC)
        sum += exp(LOAD_AT(z, c, -INFINITY) - row.largest);
    STORE_LANES(sum, lanes);
    row.sum = lanes[0];
    for (uint i = 1; i < VEC; i++)
        row.sum += lanes[i];
    return row;
}

/* p = softmax of z; may be z. */
void softmax_row(__global const float *z, __global float *p, const uint classes) {
    const row_sums sums = sum_row(z, classes);
    const float scale = 1.0f / sums.sum;
    for (uint c = 0; c < classes; c += VEC)
        STORE_AT(exp(LOAD_AT(z, c, 0.0f) - sums.largest) * scale, p, c);
}

/* The class of the largest logit, the first of equals; 0 if none is above the lowest float. */
int largest_class(__global const float *z, const uint classes) {
    float largest = -FLT_MAX;
    int best = 0;
#if SHORT_LOOPS
    vecf values = (vecf)(largest);
    veci places = (veci)(0);
    for (uint c = 0; c < classes; c += VEC) {
        const vecf candidates = LOAD_AT(z, c, -FLT_MAX);
        const veci wins = candidates > values;
        values = select(values, candidates, wins);
        places = select(places, (veci)((int)c), wins);
    }
    float lanes[VEC];
    int first[VEC];
    STORE_LANES(values, lanes);
    STORE_LANES(places, first);
    for (int i = 0; i < VEC; i++)
        if (lanes[i] > largest ||
            (lanes[i] == largest && largest > -FLT_MAX && first[i] + i < best)) {
            largest = lanes[i];
            best = first[i] + i;
        }
#else
    for (uint c = 0; c < classes; c++)
        if (z[c] > largest) {
            largest = z[c];
            best = (int)c;
        }
#endif
    return best;
}

/* The loss of a row with a class number as its label; writes the gradient if `d` is given, which
 * may be z. */
float class_row(__global const float *z, __global float *d, const uint classes, const uint label,
                const float upstream) {
    const row_sums sums = sum_row(z, classes);
    const bool has_label = label < classes;
    const float shifted = has_label ? z[label] - sums.largest : 0;
    if (d != 0) {
        for (uint c = 0; c < classes; c += VEC)
            STORE_AT(exp(LOAD_AT(z, c, 0.0f) - sums.largest) / sums.sum * upstream, d, c);
        if (has_label)
            d[label] = (exp(shifted) / sums.sum - 1.0f) * upstream;
    }
    return has_label ? log(sums.sum) - shifted : NAN;
}

typedef struct xent_sums { /* oce_xent_sums */
    float loss;
    int correct;
} xent_sums;
