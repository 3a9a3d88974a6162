/*
 * What kernels on CPUs compute of a row of logits, for softmax.cl and head.cl: `classes` floats as
 * vectors of VEC, which the host picks so that VEC divides the classes. With m = max z and E = sum
 * of exp(z - m), a NaN or +inf among the logits makes E a NaN, and with it the loss.
 */

/* Logits may be overwritten by the result, so nothing is `restrict`. */
#define SAME_IN(name) __global const float *name##_base, const ulong name##_at

/* The floats of a vector, in private memory. */
#if VEC == 1
#define STORE_LANES(v, lanes) (*(lanes) = (v))
#else
#define STORE_LANES(v, lanes) OCE_JOIN(vstore, VEC)(v, 0, lanes)
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
        largest = fmax(largest, LOADV(z + c));
    STORE_LANES(largest, lanes);
    row.largest = lanes[0];
    for (uint i = 1; i < VEC; i++)
        row.largest = fmax(row.largest, lanes[i]);
    for (uint c = 0; c < classes; c += VEC)
        sum += exp(LOADV(z + c) - row.largest);
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
        STOREV(exp(LOADV(z + c) - sums.largest) * scale, p + c);
}

/* The class of the largest logit, the first of equals; 0 if none is above the lowest float. */
int largest_class(__global const float *z, const uint classes) {
    float largest = -FLT_MAX;
    int best = 0;
    for (uint c = 0; c < classes; c++)
        if (z[c] > largest) {
            largest = z[c];
            best = (int)c;
        }
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
            STOREV(exp(LOADV(z + c) - sums.largest) / sums.sum * upstream, d + c);
        if (has_label)
            d[label] = (exp(shifted) / sums.sum - 1.0f) * upstream;
    }
    return has_label ? log(sums.sum) - shifted : NAN;
}

typedef struct xent_sums { /* oce_xent_sums */
    float loss;
    int correct;
} xent_sums;
