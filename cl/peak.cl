/*
 * The limits that operations are measured against: fused multiply-adds from registers, and memory
 * read and written in one stream.
 */

/* Independent chains of multiply-adds in a work-item: more than latency times units, and with the
 * two constants still within 16 vector registers. */
#ifndef CHAINS
#define CHAINS 12
#endif

/* Vectors that a work-item moves. */
#ifndef ITEM_VECTORS
#define ITEM_VECTORS 1
#endif

/* 2 * CHAINS * VEC * rounds operations; x is 0, which the compiler cannot know, so that every sum
 * ends as it began and counts. */
KERNEL void peak_fma(OUT(y), const int rounds, const float x) {
    vecf sum[CHAINS];
    const vecf factor = (vecf)(1.0f + x), term = (vecf)(x);
    UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = (vecf)((float)i + x);
    for (int r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = FMA(sum[i], factor, term);
    }
    vecf total = sum[0];
    UNROLL for (int i = 1; i < CHAINS; i++) total += sum[i];
    STOREV(total, AT(y) + get_global_id(0) * VEC);
}

/* The item's vector number v of all, in elements. */
size_t place(int v) {
#if OCE_CPU
    return (get_global_id(0) * ITEM_VECTORS + (size_t)v) * VEC;
#else
    return ((size_t)v * get_global_size(0) + get_global_id(0)) * VEC;
#endif
}

/* y = x */
KERNEL void peak_copy(IN(x), OUT(y)) {
    for (int v = 0; v < ITEM_VECTORS; v++)
        STOREV(LOADV(AT(x) + place(v)), AT(y) + place(v));
}

/* y = x + factor * z */
KERNEL void peak_triad(IN(x), IN(z), OUT(y), const float factor) {
    for (int v = 0; v < ITEM_VECTORS; v++) {
        const size_t at = place(v);
        STOREV(FMA((vecf)(factor), LOADV(AT(z) + at), LOADV(AT(x) + at)), AT(y) + at);
    }
}
