/* A kernel that needs next to nothing, with a known amount of local memory: what a driver says of it,
 * and whether a group of it runs, shows whether to believe what the driver says of other kernels. */

/* Floats of local memory. */
#ifndef FLOATS
#define FLOATS 256
#endif

/* y[0..n-1] = n - 1 .. 0, where n is the smaller of FLOATS and the items of the only group. */
KERNEL void group_probe(OUT(y)) {
    __local float values[FLOATS];
    const uint i = (uint)get_local_id(0), n = min((uint)get_local_size(0), (uint)FLOATS);
    if (i < n)
        values[i] = (float)i;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (i < n)
        AT(y)[i] = values[n - 1 - i];
}
