/*
 * Bias gradient: sums over rows of channels, with the ReLU's gradient on the way if wanted. Sums go
 * in two steps: PARTS partial sums of consecutive rows each, then their sum; the rows of a part are
 * added in order, so that the result's bits depend on the shape only.
 */

/* 1: y is the output of a ReLU, whose gradient comes first. */
#ifndef RELU
#define RELU 0
#endif
/* 1: the gradient that is summed is stored in dx. */
#ifndef STORE
#define STORE 0
#endif

/* Channel vectors that an item sums side by side: as many as a CPU's registers hold. */
#ifndef SIDE
#define SIDE 1
#endif

/* Rows that follow each other in memory, at the item's first channel. */
typedef struct run {
    __global const float *dy, *y;
    __global float *dx;
    ulong rows;
    uint columns; /* elements from row to row */
} run;

/* sums[v] += what passes of vector v, for each row of the run and v < vectors <= SIDE. */
void sum_run(run r, vecf *sums, const int vectors) {
    for (ulong row = 0; row < r.rows; row++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            vecf g = LOADV(r.dy + v * VEC);
#if RELU
            g = select((vecf)(0), g, LOADV(r.y + v * VEC) > (vecf)(0));
#endif
#if STORE
            STOREV(g, r.dx + v * VEC);
#endif
            sums[v] += g;
        }
        r.dy += r.columns;
#if RELU
        r.y += r.columns;
#endif
#if STORE
        r.dx += r.columns;
#endif
    }
}

/* What the loops over lines need; `width` rows are contiguous, `inner` lines make an image. */
typedef struct rows_of {
    __global const float *dy, *y;
    __global float *dx;
    long dy_outer, dy_inner, y_outer, y_inner, dx_outer, dx_inner;
    ulong width, inner;
    uint columns;
} rows_of;

/* target[v] = sum over rows begin..end-1, from channel c on. */
void sum_rows(const rows_of all, const ulong begin, const ulong end, const uint c,
              __global float *target, const int vectors) {
    vecf sums[SIDE];
    UNROLL
    for (int v = 0; v < vectors; v++)
        sums[v] = (vecf)(0);
    for (ulong row = begin; row < end;) {
        const long line = (long)(row / all.width), column = (long)(row % all.width);
        const long outer = line / (long)all.inner, inner = line % (long)all.inner;
        const long at = column * all.columns + c;
        run r;
        r.dy = all.dy + outer * all.dy_outer + inner * all.dy_inner + at;
#if RELU
        r.y = all.y + outer * all.y_outer + inner * all.y_inner + at;
#endif
#if STORE
        r.dx = all.dx + outer * all.dx_outer + inner * all.dx_inner + at;
#endif
        r.rows = min(all.width - (ulong)column, end - row);
        r.columns = all.columns;
        sum_run(r, sums, vectors);
        row += r.rows;
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
        STOREV(sums[v], target + v * VEC);
}

/* Item = (part, block of SIDE vectors of channels); sums: [parts, columns]. */
KERNEL void bias_grad(LINES(dy), LINES(y), LINES_OUT(dx), OUT(sums), const ulong width,
                      const ulong inner, const ulong rows, const ulong part_rows, const uint parts,
                      const uint columns) {
    const uint blocks = (columns + SIDE * VEC - 1) / (SIDE * VEC);
    const uint part = (uint)(get_global_id(0) / blocks);
    const uint c = (uint)(get_global_id(0) % blocks) * (SIDE * VEC);
    if (part >= parts)
        return;
    rows_of all;
    all.dy = AT(dy);
    all.y = AT(y);
    all.dx = AT(dx);
    all.dy_outer = dy_outer;
    all.dy_inner = dy_inner;
    all.y_outer = y_outer;
    all.y_inner = y_inner;
    all.dx_outer = dx_outer;
    all.dx_inner = dx_inner;
    all.width = width;
    all.inner = inner;
    all.columns = columns;
    const ulong begin = part * part_rows, end = min(begin + part_rows, rows);
    __global float *target = AT(sums) + (ulong)part * columns + c;
    if (c + SIDE * VEC <= columns)
        sum_rows(all, begin, end, c, target, SIDE);
    else
        for (uint v = 0; c + v < columns; v += VEC)
            sum_rows(all, begin, end, c + v, target + v, 1);
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
