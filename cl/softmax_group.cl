/*
 * Softmax and cross entropy on GPUs (formulas: softmax.cl). TEAM neighbouring items share a row of
 * `classes` logits, item `lane` taking classes lane, lane + TEAM and so on, and a group of GROUP
 * items takes GROUP / TEAM rows. What items of a row or rows of a group add up goes through trees in
 * local memory, whose shape depends on TEAM alone: the result has the same bits for every size of
 * the group, which the launch path may make smaller. Each item then plays several of the GROUP parts.
 *
 * A row costs 4 bytes a class from memory and, with a result, 4 bytes to it; its second and third
 * reading come from the cache. For 3 operations and an exponential a class that is some 1 flop/byte:
 * bound by memory, at the usual sizes by the launch.
 */

/* Items of a row: a power of two that depends on the number of classes. */
#ifndef TEAM
#define TEAM 1
#endif
#define GROUP 256
#define ROWS (GROUP / TEAM)

/* Logits may be overwritten by the result, so nothing is `restrict`. */
#define SAME_IN(name) __global const float *name##_base, const ulong name##_at

/* Each of the GROUP parts that the item plays. What parts tell each other goes through local memory;
 * the same item plays the same parts in every loop. */
#define EACH_PART for (uint part = get_local_id(0); part < GROUP; part += get_local_size(0))
/* Row of the part, counted from 0, which may be past the end, and its lane in the row. */
#define PART_ROW (get_group_id(0) * ROWS + part / TEAM)
#define LANE (part % TEAM)

/* Reduces over the lanes of each row: COMBINE(to, from) adds part `from` to part `to`, and lane 0 has
 * the result. Every item calls it. */
#define REDUCE_TEAM(COMBINE)                                                                       \
    for (uint apart = TEAM / 2; apart > 0; apart /= 2) {                                           \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        EACH_PART                                                                                  \
        if (LANE < apart)                                                                          \
            COMBINE(part, part + apart);                                                           \
    }                                                                                              \
    if (TEAM > 1)                                                                                  \
    barrier(CLK_LOCAL_MEM_FENCE)

#define TAKE_LARGER(to, from) largest[to] = fmax(largest[to], largest[from])
#define ADD_SUM(to, from) sums[to] += sums[from]

/* m and E of every row of the group, in largest[] and sums[] of its lane 0. */
void reduce_rows(__global const float *logits, const ulong rows, const uint classes,
                 __local float *largest, __local float *sums) {
    EACH_PART {
        float m = -INFINITY;
        if (PART_ROW < rows)
            for (uint c = LANE; c < classes; c += TEAM)
                m = fmax(m, logits[PART_ROW * classes + c]);
        largest[part] = m;
    }
    REDUCE_TEAM(TAKE_LARGER);
    EACH_PART {
        const float m = largest[part - LANE];
        float sum = 0;
        if (PART_ROW < rows)
            for (uint c = LANE; c < classes; c += TEAM)
                sum += exp(logits[PART_ROW * classes + c] - m);
        sums[part] = sum;
    }
    REDUCE_TEAM(ADD_SUM);
}

KERNEL void softmax(SAME_IN(logits), INOUT(probabilities), const ulong rows, const uint classes) {
    __local float largest[GROUP], sums[GROUP];
    __global const float *z = AT(logits);
    __global float *p = AT(probabilities);
    reduce_rows(z, rows, classes, largest, sums);
    EACH_PART {
        const float m = largest[part - LANE], scale = 1.0f / sums[part - LANE];
        if (PART_ROW < rows)
            for (uint c = LANE; c < classes; c += TEAM)
                p[PART_ROW * classes + c] = exp(z[PART_ROW * classes + c] - m) * scale;
    }
}

/* labels: distributions; dlogits may be absent. */
KERNEL void softmax_xent(SAME_IN(logits), SAME_IN(labels), OUT(losses), INOUT(dlogits),
                         const ulong rows, const uint classes, const float upstream) {
    __local float largest[GROUP], sums[GROUP], of_lanes[GROUP];
    __global const float *z = AT(logits), *y = AT(labels);
    reduce_rows(z, rows, classes, largest, sums);
    EACH_PART {
        const float m = largest[part - LANE], sum = sums[part - LANE], log_sum = log(sum);
        float loss = 0;
        if (PART_ROW < rows)
            for (uint c = LANE; c < classes; c += TEAM) {
                const ulong at = PART_ROW * classes + c;
                const float shifted = z[at] - m, label = y[at];
                loss += label * (log_sum - shifted);
                if (dlogits_base != 0)
                    AT(dlogits)[at] = (exp(shifted) / sum - label) * upstream;
            }
        of_lanes[part] = loss;
    }
#define ADD_LOSS(to, from) of_lanes[to] += of_lanes[from]
    REDUCE_TEAM(ADD_LOSS);
    EACH_PART
    if (LANE == 0 && PART_ROW < rows)
        AT(losses)[PART_ROW] = of_lanes[part];
}

/* ---- The largest class ----------------------------------------------------------------------- */

/* The larger value, of equals the lower class. */
#define TAKE_BETTER(to, from)                                                                      \
    if (values[from] > values[to] ||                                                               \
        (values[from] == values[to] && classes_of[from] < classes_of[to])) {                       \
        values[to] = values[from];                                                                 \
        classes_of[to] = classes_of[from];                                                         \
    }

/* The class of each row's largest logit, the first of equals, in classes_of[] of its lane 0; 0 if
 * none is above the lowest float. */
void best_of_rows(__global const float *logits, const ulong rows, const uint classes,
                  __local float *values, __local int *classes_of) {
    EACH_PART {
        float value = -FLT_MAX;
        int best = 0;
        if (PART_ROW < rows)
            for (uint c = LANE; c < classes; c += TEAM) {
                const float candidate = logits[PART_ROW * classes + c];
                if (candidate > value) {
                    value = candidate;
                    best = (int)c;
                }
            }
        values[part] = value;
        classes_of[part] = best;
    }
    REDUCE_TEAM(TAKE_BETTER);
}

KERNEL void argmax(SAME_IN(logits), __global int *predictions, const ulong rows,
                   const uint classes) {
    __local float values[GROUP];
    __local int classes_of[GROUP];
    best_of_rows(AT(logits), rows, classes, values, classes_of);
    EACH_PART
    if (LANE == 0 && PART_ROW < rows)
        predictions[PART_ROW] = classes_of[part];
}

/* ---- Cross entropy of class numbers ---------------------------------------------------------- */

typedef struct xent_sums { /* oce_xent_sums */
    float loss;
    int correct;
} xent_sums;

/* Adds up the first `count` (a power of two) elements in place; the result is element 0. */
void reduce_sums(__local float *losses, __local int *corrects, const uint count) {
    for (uint apart = count / 2; apart > 0; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint i = get_local_id(0); i < apart; i += get_local_size(0)) {
            losses[i] += losses[i + apart];
            corrects[i] += corrects[i + apart];
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* Writes this lane's elements of a row's gradient if `d` is given, which may be z. True if the row's
 * loss is this lane's to tell, because no other touches the label's logit. */
bool class_row(__global const float *z, __global float *d, const uint classes, const uint lane,
               const uint label, const float m, const float sum, const float upstream,
               float *loss) {
    const bool has_label = label < classes;
    const bool tells = has_label ? label % TEAM == lane : lane == 0;
    if (tells)
        *loss = has_label ? log(sum) - (z[label] - m) : NAN;
    if (d != 0)
        for (uint c = lane; c < classes; c += TEAM) {
            const float p = exp(z[c] - m) / sum;
            d[c] = (c == label ? p - 1.0f : p) * upstream;
        }
    return tells;
}

/* Group g writes the sums of its rows to element g of `sums`: the result itself if one group has all
 * rows, else of the workspace, for xent_total. predictions and dlogits may be absent. */
KERNEL void softmax_xent_classes(SAME_IN(logits), IN_BYTES(labels), __global xent_sums *result_base,
                                 const ulong result_at, INOUT(dlogits), __global int *predictions,
                                 const ulong rows, const uint classes, const uint groups,
                                 const float upstream) {
    __local float largest[GROUP], sums[GROUP], losses[ROWS];
    __local int classes_of[GROUP], corrects[ROWS];
    __global const float *z = AT(logits);
    best_of_rows(z, rows, classes, largest, classes_of);
    EACH_PART
    if (LANE == 0) {
        const bool is_row = PART_ROW < rows;
        if (is_row && predictions != 0)
            predictions[PART_ROW] = classes_of[part];
        corrects[part / TEAM] = is_row && classes_of[part] == (int)AT(labels)[PART_ROW];
        losses[part / TEAM] = 0;
    }
    reduce_rows(z, rows, classes, largest, sums); /* before z may be overwritten */
    if (TEAM > 1)
        barrier(CLK_LOCAL_MEM_FENCE); /* lane 0 has set the loss that another lane tells */
    EACH_PART
    if (PART_ROW < rows) {
        const ulong at = PART_ROW * classes;
        float loss;
        if (class_row(z + at, dlogits_base != 0 ? AT(dlogits) + at : 0, classes, LANE,
                      AT(labels)[PART_ROW], largest[part - LANE], sums[part - LANE], upstream,
                      &loss))
            losses[part / TEAM] = loss;
    }
    reduce_sums(losses, corrects, ROWS);
    if (get_local_id(0) == 0 && get_group_id(0) < groups) {
        __global xent_sums *result = result_base + result_at + get_group_id(0);
        result->loss = losses[0];
        result->correct = corrects[0];
    }
}

/* all_sums[slot] = the sum of the workspace's `count` elements; the first group does it. */
KERNEL void xent_total(__global const xent_sums *workspace, const uint count,
                       __global xent_sums *all_sums, const ulong slot) {
    __local float losses[GROUP];
    __local int corrects[GROUP];
    EACH_PART {
        float loss = 0;
        int correct = 0;
        for (uint i = part; i < count; i += GROUP) {
            loss += workspace[i].loss;
            correct += workspace[i].correct;
        }
        losses[part] = loss;
        corrects[part] = correct;
    }
    reduce_sums(losses, corrects, GROUP);
    if (get_local_id(0) == 0 && get_group_id(0) == 0) {
        all_sums[slot].loss = losses[0];
        all_sums[slot].correct = corrects[0];
    }
}
