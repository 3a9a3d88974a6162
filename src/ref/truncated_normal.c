#include "ref/ref.h"

#include "base/random.h"

#include <math.h>
#include <stdbool.h>

static const double two_pi = 6.283185307179586476925;
static const double limit = 2.0;

static double uniform(uint32_t word) {
    return (double)(word >> 8) * 0x1p-24;
}

/* The two normals of a pair of words; true if one of them lies inside the limit, which *z gets. */
static bool take_pair(uint32_t a, uint32_t b, double *z) {
    const double u = fmax(uniform(a), (double)1e-7F); /* keeps the logarithm finite */
    const double v = two_pi * uniform(b);
    const double r = sqrt(-2.0 * log(u));
    const double normals[2] = {r * sin(v), r * cos(v)};
    for (int i = 0; i < 2; i++)
        if (fabs(normals[i]) < limit) {
            *z = normals[i];
            return true;
        }
    return false;
}

static double truncated(uint64_t seed, uint32_t layer, uint32_t element) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    double z = 0;
    bool found = false;
    for (uint32_t attempt = 0; !found; attempt++) {
        const uint32_t counter[4] = {element, attempt, layer, OCE_RANDOM_WEIGHTS};
        uint32_t words[4];
        oce_philox4x32(counter, key, words);
        found = take_pair(words[0], words[1], &z) || take_pair(words[2], words[3], &z);
    }
    return z;
}

void oce_ref_truncated_normal(uint64_t seed, uint32_t layer, float stddev, size_t count, float *y) {
    for (size_t i = 0; i < count; i++)
        y[i] = (float)(truncated(seed, layer, (uint32_t)i) * (double)stddev);
}
