#include "base/random.h"

#include <math.h>

enum { ROUNDS = 10 };

void oce_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t product0 = (uint64_t)0xD2511F53U * c0;
        const uint64_t product1 = (uint64_t)0xCD9E8D57U * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void oce_random_init(oce_random *random, uint64_t seed, oce_random_stream stream,
                     uint32_t substream) {
    *random = (oce_random){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                           .counter = {0, 0, substream, (uint32_t)stream},
                           .used = 4};
}

uint32_t oce_random_u32(oce_random *random) {
    if (random->used == 4) {
        oce_philox4x32(random->counter, random->key, random->words);
        random->used = 0;
        if (++random->counter[0] == 0)
            random->counter[1]++;
    }
    return random->words[random->used++];
}

float oce_random_uniform(oce_random *random) {
    return (float)(oce_random_u32(random) >> 8) * 0x1p-24F;
}

uint32_t oce_random_below(oce_random *random, uint32_t bound) {
    /* Rejects the first 2^32 mod bound values, so that every remainder is equally likely. */
    const uint32_t rejected = (0U - bound) % bound;
    uint32_t word = oce_random_u32(random);
    while (word < rejected)
        word = oce_random_u32(random);
    return word % bound;
}

float oce_random_normal(oce_random *random) {
    const double u1 = ((double)oce_random_u32(random) + 1.0) * 0x1p-32; /* (0, 1] */
    const double u2 = (double)oce_random_u32(random) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u1)) * sin(2.0 * 3.14159265358979323846 * u2));
}
