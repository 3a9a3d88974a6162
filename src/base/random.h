/*
 * Philox4x32-10: a counter-based random number generator (Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", SC11). The same counter and key give the same four words on
 * the host and in cl/random.cl, so a random decision needs no state: it is a function of
 * (seed, stream, step, element).
 */
#ifndef OCE_BASE_RANDOM_H
#define OCE_BASE_RANDOM_H

#include <stdint.h>

/* What a stream of random numbers is for; part of the counter, so streams never overlap. */
typedef enum oce_random_stream {
    OCE_RANDOM_WEIGHTS = 1,
    OCE_RANDOM_SHUFFLE = 2,
    OCE_RANDOM_DROPOUT = 3,
    OCE_RANDOM_AUGMENT = 4,
    OCE_RANDOM_SYNTHETIC = 5,
    OCE_RANDOM_TEST = 6
} oce_random_stream;

/* out = Philox4x32-10(counter, key). */
void oce_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A sequential view of one stream: words come in counter order. */
typedef struct oce_random {
    uint32_t key[2];
    uint32_t counter[4]; /* {block low, block high, substream, stream} */
    uint32_t words[4];
    int used; /* words already taken of the current block: 0..4 */
} oce_random;

/* Starts stream `stream`, substream `substream` (a layer, an epoch, an image ...) of `seed`. */
void oce_random_init(oce_random *random, uint64_t seed, oce_random_stream stream,
                     uint32_t substream);
uint32_t oce_random_u32(oce_random *random);
/* Uniform in [0, 1): 24 random bits times 2^-24. */
float oce_random_uniform(oce_random *random);
/* Uniform in 0..bound-1 without bias, bound >= 1. */
uint32_t oce_random_below(oce_random *random, uint32_t bound);
/* Standard normal (Box-Muller); takes two words, gives the sine branch. */
float oce_random_normal(oce_random *random);

#endif
