/*
 * Bias gradient on CPUs, and where there is no local memory for bias_grad_group.cl: sums over rows
 * of channels, with the ReLU's gradient on the way if wanted. Sums go in two steps: PARTS partial
 * sums of consecutive rows each, then their sum; the rows of a part are added in order, so that the
 * result's bits depend on the shape only.
 */

/* 1: y is the output of a ReLU, whose gradient comes first. */
#ifndef RELU
#define RELU 0
#endif
/* 1: the gradient that is summed is stored in dx. */
#ifndef STORE_DX
#define STORE_DX 0
#endif

/* Channel vectors that an item sums side by side. SIDE * VEC divides the channels. */
#ifndef SIDE
#define SIDE 1
#endif

/* Adds `rows` rows, which follow each other in memory, to sums[0..SIDE-1]. */
void sum_rows(__global const float *dy, __global const float *y, __global float *dx,
              const ulong rows, const uint columns, vecf *sums) {
    for (ulong row = 0; row < rows; row++) {
        const ulong at = row * columns;
        UNROLL
        for (int v = 0; v < SIDE; v++) {
            vecf g = LOADV(dy + at + v * VEC);
#if RELU
            g = select((vecf)(0), g, LOADV(y + at + v * VEC) > (vecf)(0));
#endif
#if STORE_DX
            STOREV(g, dx + at + v * VEC);
#endif
            sums[v] += g;
        }
    }
}

/* Item = (part, block of SIDE vectors of channels); sums: [parts, columns]. A line has `width` rows
 * of channels, an image `inner` lines; y and dx are absent if they take no part. */
KERNEL void bias_grad(LINES(dy), LINES(y), LINES_OUT(dx), OUT(sums), const ulong width,
                      const ulong inner, const ulong rows, const ulong part_rows, const uint parts,
                      const uint columns) {
    const uint blocks = columns / (SIDE * VEC);
    const uint part = (uint)(get_global_id(0) / blocks);
    const uint c = (uint)(get_global_id(0) % blocks) * (SIDE * VEC);
    if (part >= parts)
        return;
    vecf totals[SIDE];
    UNROLL
    for (int v = 0; v < SIDE; v++)
        totals[v] = (vecf)(0);
    const ulong end = min((part + 1) * part_rows, rows);
    ulong row = part * part_rows;
    while (row < end) {
        const long line = (long)(row / width), first = (long)(row % width);
        const long n = line / (long)inner, i = line % (long)inner, at = first * columns + c;
        const ulong run = min(width - (ulong)first, end - row);
        sum_rows(AT(dy) + n * dy_outer + i * dy_inner + at, AT(y) + n * y_outer + i * y_inner + at,
                 AT(dx) + n * dx_outer + i * dx_inner + at, run, columns, totals);
        row += run;
    }
    UNROLL
    for (int v = 0; v < SIDE; v++)
        STOREV(totals[v], AT(sums) + (ulong)part * columns + c + v * VEC);
}

/* Item = one vector of channels: db = sum over the parts, in order. */
KERNEL void bias_grad_total(IN(sums), OUT(db), const uint parts, const uint columns) {
    const uint c = (uint)get_global_id(0) * VEC;
    if (c >= columns)
        return;
    vecf total = (vecf)(0);
    for (uint part = 0; part < parts; part++)
        total += LOADV(AT(sums) + (ulong)part * columns + c);
    STOREV(total, AT(db) + c);
}
