/* A kernel with as many values in registers as a tile of a matrix product (tile.cl.h): how many lanes
 * the driver then runs together says how many registers a lane has. Never launched. */

#define VALUES 16

KERNEL void lanes(INOUT(x), const int rounds) {
    __global float *own = AT(x) + get_global_id(0) * 4 * VALUES;
    float4 v[VALUES];
    UNROLL for (int i = 0; i < VALUES; i++) v[i] = vload4(i, own);
    for (int round = 0; round < rounds; round++)
        UNROLL for (int i = 0; i < VALUES; i++) v[i] =
            FMA(v[(i + 1) % VALUES], v[(i + 7) % VALUES], v[i]);
    UNROLL for (int i = 0; i < VALUES; i++) vstore4(v[i], i, own);
}
