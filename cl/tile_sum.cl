/* The second pass of split sums: a read of every partial sum and a write of the result, one addition
 * for 4 bytes: as fast as memory. */

/*
 * out = act(bias + the sum over splits of partials[split][count], in order), rows of n elements;
 * bias: [n] or NULL. An item sums VEC elements; VEC divides n. Items: count / VEC, and more.
 */
KERNEL void tile_sum(IN(partials), IN(bias), OUT(out), const long count, const int n,
                     const int splits, const int relu) {
    const long at = get_global_id(0) * (long)VEC;
    if (at >= count)
        return;
    vecf sum = LOADV(AT(partials) + at);
    for (int split = 1; split < splits; split++)
        sum += LOADV(AT(partials) + (split * count + at));
    if (bias_base)
        sum += LOADV(AT(bias) + at % n);
    if (relu)
        sum = select(sum, (vecf)(0), sum <= 0); /* NaN stays NaN */
    STOREV(sum, AT(out) + at);
}
