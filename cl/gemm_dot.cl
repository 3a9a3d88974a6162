/*
 * C = act(op(A) op(B) + bias) with one element a work-group: for products with so few columns that a
 * tile would be mostly empty, such as a classifier's last layer. Per element 8 * k bytes of reads
 * for 2 * k flops, most of them from the caches: 0.25 flops a byte, which small products can afford.
 */

#define LANES 64 /* part of the result: the order of the sum */

#define LANES_KERNEL __kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))

/*
 * op(A)[i][l] is a[i * a_row + l * a_step], op(B)[l][j] is b[l * b_step + j * b_column]; c: [m,n];
 * bias: [n] or NULL. Every lane sums the steps that are LANES apart, then they are summed in a tree.
 * Groups of LANES items: (n, m).
 */
LANES_KERNEL void gemm_dot(IN(a), IN(b), IN(bias), OUT(c), const int n, const int k,
                           const long a_row, const long a_step, const long b_step,
                           const long b_column, const int relu) {
    __local float sums[LANES];
    const int item = get_local_id(0), column = get_group_id(0);
    const long row = get_group_id(1);
    __global const float *left = AT(a) + row * a_row;
    __global const float *right = AT(b) + column * b_column;
    float sum = 0.0f;
    for (int i = item; i < k; i += LANES)
        sum = FMA(left[i * a_step], right[i * b_step], sum);
    sums[item] = sum;
    for (int half_way = LANES / 2; half_way > 0; half_way /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < half_way)
            sums[item] += sums[item + half_way];
    }
    if (item == 0) {
        const float value = bias_base ? sums[0] + AT(bias)[column] : sums[0];
        AT(c)[row * n + column] = relu && value <= 0.0f ? 0.0f : value; /* NaN stays NaN */
    }
}
