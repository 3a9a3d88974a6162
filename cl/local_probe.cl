/* A kernel with a known amount of local memory, to see how the driver counts it. */

/* Floats of local memory. */
#ifndef FLOATS
#define FLOATS 256
#endif

KERNEL void local_probe(OUT(y)) {
    __local float values[FLOATS];
    for (int i = 0; i < FLOATS; i++)
        values[i] = AT(y)[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < FLOATS; i++)
        AT(y)[i] = values[FLOATS - 1 - i];
}
