/* c = act(c + bias): what follows a product that knows neither. */

/* c: [m,n]; bias: [n], read if has_bias. Items: m * n, and more. */
KERNEL void gemm_epilogue(INOUT(c), IN(bias), const long m, const long n, const int has_bias,
                          const int relu) {
    const long item = get_global_id(0);
    if (item >= m * n)
        return;
    float value = AT(c)[item];
    if (has_bias)
        value += AT(bias)[item % n];
    if (relu && value <= 0.0f) /* NaN stays NaN */
        value = 0.0f;
    AT(c)[item] = value;
}
