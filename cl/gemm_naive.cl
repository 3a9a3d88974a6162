/* C = act(op(A) op(B) + bias), one element of C an item: for any shape and device. Consecutive
 * items are consecutive columns, so that a GPU reads B and writes C in whole lines. */

/*
 * op(A)[i][l] is a[i * a_row + l * a_step], op(B)[l][j] is b[l * b_step + j * b_column]; c: [m,n];
 * bias: [n], read if has_bias. Steps k_begin to k_end of K: all but the first call add to c, bias
 * and ReLU belong to the last. Items: m * n, and more.
 */
KERNEL void gemm_naive(IN(a), IN(b), IN(bias), OUT(c), const long m, const long n,
                       const long k_begin, const long k_end, const long a_row, const long a_step,
                       const long b_step, const long b_column, const int has_bias,
                       const int relu) {
    const long item = get_global_id(0);
    if (item >= m * n)
        return;
    const long row = item / n, column = item % n;
    __global const float *left = AT(a) + row * a_row;
    __global const float *right = AT(b) + column * b_column;
    float sum = 0.0f;
    for (long i = k_begin; i < k_end; i++)
        sum = FMA(left[i * a_step], right[i * b_step], sum);
    if (k_begin > 0)
        sum += AT(c)[item];
    if (has_bias)
        sum += AT(bias)[column];
    if (relu && sum <= 0.0f) /* NaN stays NaN */
        sum = 0.0f;
    AT(c)[item] = sum;
}
