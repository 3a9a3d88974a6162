/*
 * The transforms of Winograd convolution: windows of r x r, stride 1. Tiles of TILE x TILE outputs
 * are computed from ALPHA x ALPHA inputs, ALPHA = TILE + r - 1, with ALPHA^2 multiplications for
 * each pair of channels where the direct sum takes TILE^2 r^2:
 *
 *   forward          Y tile = A^T [(G F G^T) . (B^T X B)] A          . is element by element
 *   filter gradient  dF     = G^T [sum over tiles of (B^T X B) . (A dY A^T)] G
 *
 * Element by element over all tiles and channels is a product of matrices for each of the ALPHA^2
 * positions. The transforms are evaluations of polynomials at the points 0, p and -p for PAIRS
 * values of p, and infinity, in this order; a polynomial's even and odd half serve p and -p
 * together.
 */

/* Inputs of a tile along an axis: 4, 6 or 8. */
#ifndef ALPHA
#define ALPHA 6
#endif

/* Outputs of a tile along an axis. */
#ifndef TILE
#define TILE 4
#endif

#define WINDOW (ALPHA - TILE + 1)
#define POSITIONS (ALPHA * ALPHA)
#define PAIRS ((ALPHA - 2) / 2)

/* On CPUs: floats of local memory that a group takes for its scratch memory; 0: it has a part of a buffer.
 * Local memory of a CPU's thread is the same for all its groups, and so stays in its cache. */
#ifndef SCRATCH_FLOATS
#define SCRATCH_FLOATS 0
#endif
#if SCRATCH_FLOATS
#define SCRATCH __local
#define TAKE_SCRATCH(name, group)                                                                  \
    __local float scratch_memory[SCRATCH_FLOATS] __attribute__((aligned(64)));                     \
    __local float *name = scratch_memory
#else
#define SCRATCH __global
#define TAKE_SCRATCH(name, group) __global float *name = AT(scratch) + (group) * scratch_group
#endif
#define KEEP(value, pointer) (*(SCRATCH floatv_of_floats *)(pointer) = (value))

/*
 * The points p, chosen for small rounding errors. With y = x^2: ALL is the product of all (y - p^2)
 * and OTHERS that of all but one's own, lowest power first, without the leading 1; SCALE is 1 /
 * (the derivative of x * ALL) at 0 and at each p.
 */
#if ALPHA == 4
#define POINTS {1.0f}
#define ALL {-1.0f}
#define OTHERS {{0.0f}}
#define SCALE {-1.0f, 1 / 2.0f}
#elif ALPHA == 6
#define POINTS {0.625f, 1.5f}
#define ALL {0.87890625f, -2.640625f}
#define OTHERS {{-2.25f}, {-0.390625f}}
#define SCALE {1 / 0.87890625f, -1 / 1.45263671875f, 1 / 8.3671875f}
#else
#define POINTS {1.0f, 2.0f, 0.5f}
#define ALL {-1.0f, 5.25f, -5.25f}
#define OTHERS {{1.0f, -4.25f}, {0.25f, -1.25f}, {4.0f, -5.0f}}
#define SCALE {-1.0f, -1 / 4.5f, 1 / 90.0f, 1 / 1.40625f}
#endif

/* out = B^T x. */
static inline void transform_input(const floatv x[ALPHA], floatv out[ALPHA]) {
    const float point[] = POINTS, all[] = ALL, others[PAIRS][PAIRS > 1 ? PAIRS - 1 : 1] = OTHERS;
    floatv zero = x[ALPHA - 2], infinity = x[ALPHA - 1];
    UNROLL for (int i = 0; i < PAIRS; i++) {
        zero = FMA((floatv)(all[i]), x[2 * i], zero);
        infinity = FMA((floatv)(all[i]), x[2 * i + 1], infinity);
    }
    out[0] = zero;
    out[ALPHA - 1] = infinity;
    UNROLL for (int k = 0; k < PAIRS; k++) {
        floatv even = x[ALPHA - 2], odd = x[ALPHA - 3];
        UNROLL for (int i = 0; i < PAIRS - 1; i++) {
            even = FMA((floatv)(others[k][i]), x[2 * i + 2], even);
            odd = FMA((floatv)(others[k][i]), x[2 * i + 1], odd);
        }
        out[2 * k + 1] = FMA((floatv)(point[k]), odd, even);
        out[2 * k + 2] = FMA((floatv)(-point[k]), odd, even);
    }
}

/* Loops have constant bounds and n an own test: some compilers unroll before they know n. */

/* out = the polynomial with the n coefficients x, lowest first, at all points: A x if n is TILE,
 * and G x without its scale if n is WINDOW. */
static inline void evaluate(const floatv *x, const int n, floatv out[ALPHA]) {
    const float point[] = POINTS;
    out[0] = x[0];
    out[ALPHA - 1] = x[n - 1];
    UNROLL for (int k = 0; k < PAIRS; k++) {
        floatv even = x[0], odd = (floatv)(point[k]) * x[1];
        float power = point[k];
        UNROLL for (int i = 2; i < ALPHA; i++) {
            power *= point[k];
            if (i < n && i % 2 == 0)
                even = FMA((floatv)(power), x[i], even);
            if (i < n && i % 2 == 1)
                odd = FMA((floatv)(power), x[i], odd);
        }
        out[2 * k + 1] = even + odd;
        out[2 * k + 2] = even - odd;
    }
}

/* The transpose of evaluate(): n values from ALPHA. A^T x if n is TILE. */
static inline void interpolate(const floatv x[ALPHA], const int n, floatv *out) {
    const float point[] = POINTS;
    floatv sum[PAIRS], difference[PAIRS];
    float power[PAIRS];
    UNROLL for (int k = 0; k < PAIRS; k++) {
        sum[k] = x[2 * k + 1] + x[2 * k + 2];
        difference[k] = x[2 * k + 1] - x[2 * k + 2];
        power[k] = 1;
    }
    UNROLL for (int i = 0; i < ALPHA; i++) {
        floatv value = i == 0 ? x[0] : i == n - 1 ? x[ALPHA - 1] : (floatv)(0);
        UNROLL for (int k = 0; k < PAIRS; k++) {
            value = FMA((floatv)(power[k]), i % 2 == 0 ? sum[k] : difference[k], value);
            power[k] *= point[k];
        }
        if (i < n)
            out[i] = value;
    }
}

/* The scale of G for element i of ALPHA; chosen from constants, since i may differ between items. */
static inline float scale(const int i) {
    const float scales[] = SCALE;
    float chosen = 1; /* of infinity, the last */
    UNROLL for (int k = 0; k <= PAIRS; k++) chosen = (i + 1) / 2 == k ? scales[k] : chosen;
    return chosen;
}
