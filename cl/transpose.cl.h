/* A square of VW x VW floats transposed in registers. */

/* Two vectors, lane by lane, of their low and of their high halves, written so that compilers see
 * which lanes they are: some drivers' shuffle2() looks its mask up. SHUFFLES: log2(VW). */
#if VW == 16
#define MIX_LOW(a, b)                                                                              \
    (float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6,  \
              a.s7, b.s7)
#define MIX_HIGH(a, b)                                                                             \
    (float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se,  \
              a.sf, b.sf)
#define SHUFFLES 4
#elif VW == 8
#define MIX_LOW(a, b) (float8)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3)
#define MIX_HIGH(a, b) (float8)(a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#define SHUFFLES 3
#else
#define MIX_LOW(a, b) (float4)(a.s0, b.s0, a.s1, b.s1)
#define MIX_HIGH(a, b) (float4)(a.s2, b.s2, a.s3, b.s3)
#define SHUFFLES 2
#endif

/* A perfect shuffle of all rows rotates the bits of (row, lane) by one place, so log2(VW) of them
 * exchange row and lane. */
static inline void transpose_square(floatv rows[VW]) {
    UNROLL for (int round = 0; round < SHUFFLES; round++) {
        floatv mixed[VW];
        UNROLL for (int i = 0; i < VW / 2; i++) {
            mixed[2 * i] = MIX_LOW(rows[i], rows[i + VW / 2]);
            mixed[2 * i + 1] = MIX_HIGH(rows[i], rows[i + VW / 2]);
        }
        UNROLL for (int i = 0; i < VW; i++)
            rows[i] = mixed[i];
    }
}
