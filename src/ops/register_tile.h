/* Register tiles of CPUs: what a tile of rows x vectors sums costs. */
#ifndef OCE_OPS_REGISTER_TILE_H
#define OCE_OPS_REGISTER_TILE_H

/* Twice the cycles of a step of the sums, on a core with two multiply-adds and two loads a cycle
 * and a latency of four cycles; a little for the loop. A step loads `vectors` vectors, and for each
 * row a number. */
static inline int oce_register_tile_cost(int rows, int vectors) {
    const int arithmetic = rows * vectors, loads = rows + vectors, latency = 8;
    int cost = arithmetic > loads ? arithmetic : loads;
    if (cost < latency)
        cost = latency;
    return cost + 2;
}

#endif
