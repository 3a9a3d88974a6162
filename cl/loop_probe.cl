/* Shows whether a driver lets the loops of a work-item end: Mesa's llvmpipe breaks them off after
 * 65,535 rounds in total, and tells nobody. */

/* y[0]: a linear congruential generator modulo 2^24 after `rounds` rounds from 1. No two of its
 * 2^24 states are the same, so that the host sees how many rounds there were. */
KERNEL void loop_probe(int rounds, OUT(y)) {
    uint state = 1;
    for (int i = 0; i < rounds; i++)
        state = (state * 1664525u + 1013904223u) & 0xFFFFFFu;
    AT(y)[0] = (float)state;
}
