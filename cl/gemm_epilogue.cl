/* What follows a product that knows neither bias nor activation: c = act(product + bias). */

static inline float finish(float value, const int relu) {
    return relu && value <= 0.0f ? 0.0f : value; /* NaN stays NaN */
}

/* c: [m,n], the product; bias: [n], read if has_bias. Items: m * n, and more. */
KERNEL void gemm_epilogue(INOUT(c), IN(bias), const long m, const long n, const int has_bias,
                          const int relu) {
    const long item = get_global_id(0);
    if (item >= m * n)
        return;
    float value = AT(c)[item];
    if (has_bias)
        value += AT(bias)[item % n];
    AT(c)[item] = finish(value, relu);
}

/* The product is the sum of parts[part][elements], in order. c: [elements / n, n]. Items: elements,
 * and more. */
KERNEL void gemm_combine(IN(parts), OUT(c), IN(bias), const int elements, const int n,
                         const int part_count, const int has_bias, const int relu) {
    const int item = get_global_id(0);
    if (item >= elements)
        return;
    float value = 0;
    for (int part = 0; part < part_count; part++)
        value += AT(parts)[(long)part * elements + item];
    if (has_bias)
        value += AT(bias)[item % n];
    AT(c)[item] = finish(value, relu);
}
