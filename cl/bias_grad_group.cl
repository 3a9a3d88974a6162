/*
 * Bias gradient on GPUs: sums over rows of channels, with the ReLU's gradient on the way if wanted.
 * GROUP items reduce a part of the rows for COLUMNS vectors of channels: neighbouring items take
 * neighbouring vectors of a row, so that memory is read in whole lines, and LANES rows are summed
 * side by side, each lane taking every LANES-th row. The lanes' sums go through a tree in local
 * memory. Parts, lanes and tree depend on the shape alone, also where the launch path makes the group
 * smaller: an item then plays several of the GROUP places, one after the other.
 *
 * An element costs 4 bytes from memory (8 with the ReLU's output, and 4 to memory if the masked
 * gradient is stored) for one addition: 0.06 to 0.25 flop/byte, bound by memory.
 */

/* 1: y is the output of a ReLU, whose gradient comes first. */
#ifndef RELU
#define RELU 0
#endif
/* 1: the gradient that is summed is stored in dx. */
#ifndef STORE_DX
#define STORE_DX 0
#endif

/* 1: all rows follow each other in memory, as one line. */
#ifndef DENSE
#define DENSE 0
#endif

/* Vectors of channels of a group: a power of two. */
#ifndef COLUMNS
#define COLUMNS 16
#endif
#define GROUP 256
#define LANES (GROUP / COLUMNS)

/* Each place of the group that the item plays, and the place's column and lane. */
#define EACH_PLACE for (uint place = get_local_id(0); place < GROUP; place += get_local_size(0))
#define COLUMN (place % COLUMNS)
#define LANE (place / COLUMNS)

/* Adds up the lanes' sums of each column, in place; lane 0 has the result. */
void reduce_lanes(__local vecf *sums) {
    for (uint apart = LANES / 2; apart > 0; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        EACH_PLACE
        if (LANE < apart)
            sums[place] += sums[place + apart * COLUMNS];
    }
    barrier(CLK_LOCAL_MEM_FENCE); /* a compiler may read the result early, in every item */
}

/* The first element of a row: of a line's `width` rows, an image's `inner` lines. */
#if DENSE
#define ROW(name, row) (AT(name) + (ulong)(row) * columns)
#else
#define ROW(name, row)                                                                             \
    (AT(name) + (long)((row) / width / inner) * name##_outer +                                     \
     (long)((row) / width % inner) * name##_inner + (long)((row) % width) * columns)
#endif

/* Group = (part, block of COLUMNS vectors); sums: [parts, columns]. y and dx are absent if they
 * take no part. Groups past the last part have nothing to do. */
KERNEL void bias_grad(LINES(dy), LINES(y), LINES_OUT(dx), OUT(sums), const uint width,
                      const uint inner, const uint rows, const uint part_rows, const uint parts,
                      const uint columns) {
    __local vecf lane_sums[GROUP];
    const uint blocks = (columns / VEC + COLUMNS - 1) / COLUMNS;
    const uint part = get_group_id(0) / blocks, block = get_group_id(0) % blocks;
    const uint first = part * part_rows, count = part < parts ? min(part_rows, rows - first) : 0;
    EACH_PLACE {
        const uint c = (block * COLUMNS + COLUMN) * VEC;
        const uint own_count = c < columns ? count : 0;
        vecf sum = (vecf)(0);
        for (uint r = LANE; r < own_count; r += LANES) {
            vecf g = LOADV(ROW(dy, first + r) + c);
#if RELU
            const vecf v = LOADV(ROW(y, first + r) + c);
            g = select((vecf)(0), g, v > (vecf)(0));
#endif
#if STORE_DX
            STOREV(g, ROW(dx, first + r) + c);
#endif
            sum += g;
        }
        lane_sums[place] = sum;
    }
    reduce_lanes(lane_sums);
    EACH_PLACE {
        const uint c = (block * COLUMNS + COLUMN) * VEC;
        if (LANE == 0 && c < columns && part < parts)
            STOREV(lane_sums[place], AT(sums) + (ulong)part * columns + c);
    }
}

/* Group = block of COLUMNS vectors: db = sum over the parts. */
KERNEL void bias_grad_total(IN(sums), OUT(db), const uint parts, const uint columns) {
    __local vecf lane_sums[GROUP];
    EACH_PLACE {
        const uint c = ((uint)get_group_id(0) * COLUMNS + COLUMN) * VEC;
        const uint own_end = c < columns ? parts : 0;
        vecf sum = (vecf)(0);
        for (uint part = LANE; part < own_end; part += LANES)
            sum += LOADV(AT(sums) + (ulong)part * columns + c);
        lane_sums[place] = sum;
    }
    reduce_lanes(lane_sums);
    EACH_PLACE {
        const uint c = ((uint)get_group_id(0) * COLUMNS + COLUMN) * VEC;
        if (LANE == 0 && c < columns)
            STOREV(lane_sums[place], AT(db) + c);
    }
}
