/*
 * Everything that draws random numbers: dropout, truncated normal, augmentation. Numbers come from
 * Philox4x32-10 (src/base/random.h): functions of a counter and the seed, so that nothing is stored
 * and every device and thread count draws the same.
 */

/* What a stream is for; the values of oce_random_stream. */
#define STREAM_WEIGHTS 1u
#define STREAM_DROPOUT 3u
#define STREAM_AUGMENT 4u

/* Philox blocks (dropout), elements (truncated normal) or pixels (augmentation) of an item: many on a
 * CPU; on a GPU one block, one element, 4 elements. */
#ifndef CHUNK
#define CHUNK 1
#endif

/* Replaces the counter c0..c3 by its four random words. For scalars and vectors. */
#define DEFINE_PHILOX(name, type)                                                                  \
    void name(type *c0, type *c1, type *c2, type *c3, uint k0, uint k1) {                          \
        for (int round = 0; round < 10; round++) {                                                 \
            const type high0 = mul_hi((type)(0xD2511F53u), *c0), low0 = *c0 * 0xD2511F53u;         \
            const type high1 = mul_hi((type)(0xCD9E8D57u), *c2), low1 = *c2 * 0xCD9E8D57u;         \
            *c0 = high1 ^ *c1 ^ k0;                                                                \
            *c1 = low1;                                                                            \
            *c2 = high0 ^ *c3 ^ k1;                                                                \
            *c3 = low0;                                                                            \
            k0 += 0x9E3779B9u;                                                                     \
            k1 += 0xBB67AE85u;                                                                     \
        }                                                                                          \
    }
DEFINE_PHILOX(philox, uint)
DEFINE_PHILOX(philox_vector, uintv)

/* The upper 24 bits as a number in [0, 1) */
#define UNIFORM(word) ((float)((word) >> 8) * 0x1p-24f)

/* ---- Dropout --------------------------------------------------------------------------------- */

/* y[i] = kept ? x[i] / keep : 0 for the elements i = 4 * block + word - shift of one Philox block,
 * as far as they are inside. */
void drop_block(__global const float *x, __global float *y, const ulong count, const ulong block,
                const ulong shift, const ulong first_block, const uint2 seed, const uint step,
                const uint layer, const float keep) {
    uint w[4];
    w[0] = (uint)(first_block + block);
    w[1] = step;
    w[2] = layer;
    w[3] = STREAM_DROPOUT;
    philox(&w[0], &w[1], &w[2], &w[3], seed.x, seed.y);
    const ulong start = 4 * block - shift; /* wraps round to far outside before the first */
#if !OCE_CPU
    if (start < count && count - start >= 4) { /* VEC is 4 on a GPU */
        const float4 u = convert_float4((uint4)(w[0], w[1], w[2], w[3]) >> 8) * 0x1p-24f;
        STOREV(select((float4)(0), LOADV(x + start) / keep, u < (float4)(keep)), y + start);
        return;
    }
#endif
    for (uint k = 0; k < 4; k++)
        if (start + k < count)
            y[start + k] = UNIFORM(w[k]) < keep ? x[start + k] / keep : 0.0f;
}

/* The same for VW whole blocks from `block` on. */
void drop_blocks(__global const float *x, __global float *y, const ulong block, const ulong shift,
                 const ulong first_block, const uint2 seed, const uint step, const uint layer,
                 const float keep) {
    uint lanes[VW], words[4][VW], in_order[4 * VW];
    for (uint l = 0; l < VW; l++)
        lanes[l] = (uint)(first_block + block) + l;
    uintv w0 = vloadv(0, lanes), w1 = (uintv)(step), w2 = (uintv)(layer);
    uintv w3 = (uintv)(STREAM_DROPOUT);
    philox_vector(&w0, &w1, &w2, &w3, seed.x, seed.y);
    vstorev(w0, 0, words[0]);
    vstorev(w1, 0, words[1]);
    vstorev(w2, 0, words[2]);
    vstorev(w3, 0, words[3]);
    UNROLL
    for (uint i = 0; i < 4 * VW; i++)
        in_order[i] = words[i % 4][i / 4];
    x += 4 * block - shift;
    y += 4 * block - shift;
    for (uint v = 0; v < 4; v++) {
        const floatv u = convert_floatv(vloadv(v, in_order) >> 8) * 0x1p-24f;
        vstorev(select((floatv)(0), vloadv(v, x) / keep, u < (floatv)(keep)), v, y);
    }
}

/* Element i is number first + i of the mask: word (first + i) % 4 of block (first + i) / 4. The item
 * takes CHUNK blocks; blocks are counted from the first element's, whose word is `shift`. Reads 4
 * bytes and writes 4 for some 25 integer operations of Philox: bound by memory. */
KERNEL void dropout(__global const float *x_base, const ulong x_at, INOUT(y), const ulong count,
                    const ulong first, const uint seed_low, const uint seed_high, const uint step,
                    const uint layer, const float keep) {
    const ulong shift = first % 4, first_block = first / 4;
    const ulong blocks = (shift + count + 3) / 4;
    const uint2 seed = (uint2)(seed_low, seed_high);
    ulong block = get_global_id(0) * CHUNK;
    const ulong end = min(block + CHUNK, blocks);
    while (block < end) {
        if (CHUNK >= VW && block > 0 && block + VW <= end && block + VW < blocks) {
            drop_blocks(AT(x), AT(y), block, shift, first_block, seed, step, layer, keep);
            block += VW;
        } else {
            drop_block(AT(x), AT(y), count, block, shift, first_block, seed, step, layer, keep);
            block++;
        }
    }
}

/* ---- Truncated normal ------------------------------------------------------------------------ */

#define LIMIT 2.0f

/* Box-Muller: the first of the pair's two normals inside (-LIMIT, LIMIT); LIMIT if none is. */
float normal_of(const uint a, const uint b) {
    const float r = sqrt(-2.0f * log(fmax(UNIFORM(a), 1e-7f)));
    const float turns = 2.0f * UNIFORM(b); /* the angle over pi */
    const float first = r * sinpi(turns), second = r * cospi(turns);
    return fabs(first) < LIMIT ? first : fabs(second) < LIMIT ? second : LIMIT;
}

/* Element i of the stream: the first normal inside the limits. */
float truncated_normal_of(const ulong i, const uint layer, const uint2 seed) {
    float z = LIMIT;
    for (uint attempt = 0; z == LIMIT; attempt++) {
        uint w0 = (uint)i, w1 = attempt, w2 = layer, w3 = STREAM_WEIGHTS;
        philox(&w0, &w1, &w2, &w3, seed.x, seed.y);
        z = normal_of(w0, w1);
        if (z == LIMIT)
            z = normal_of(w2, w3);
    }
    return z;
}

/* Elements i to i + VW - 1. For the 95 % whose very first normal is inside the limits, in vectors. */
floatv truncated_normals_of(const ulong i, const uint layer, const uint2 seed) {
    uint lanes[VW];
    float z[VW];
    for (uint l = 0; l < VW; l++)
        lanes[l] = (uint)i + l;
    uintv w0 = vloadv(0, lanes), w1 = (uintv)(0), w2 = (uintv)(layer);
    uintv w3 = (uintv)(STREAM_WEIGHTS);
    philox_vector(&w0, &w1, &w2, &w3, seed.x, seed.y);
    const floatv u = convert_floatv(w0 >> 8) * 0x1p-24f, v = convert_floatv(w1 >> 8) * 0x1p-24f;
    const floatv first = sqrt(-2.0f * log(fmax(u, 1e-7f))) * sinpi(2.0f * v);
    if (all(isless(fabs(first), LIMIT)))
        return first;
    vstorev(first, 0, z);
    for (uint l = 0; l < VW; l++)
        if (fabs(z[l]) >= LIMIT)
            z[l] = truncated_normal_of(i + l, layer, seed);
    return vloadv(0, z);
}

/* Bound by the arithmetic of Philox and its logarithms, sines and roots; runs once, at the start. */
KERNEL void truncated_normal(OUT(y), const ulong count, const uint seed_low, const uint seed_high,
                             const uint layer, const float stddev) {
    const uint2 seed = (uint2)(seed_low, seed_high);
    ulong i = get_global_id(0) * CHUNK;
    const ulong end = min(i + CHUNK, count);
    for (; CHUNK >= VW && i + VW <= end; i += VW)
        vstorev(truncated_normals_of(i, layer, seed) * stddev, 0, AT(y) + i);
    float rest[VW]; /* in vectors too, whose logarithm may differ from a scalar's in its last bit */
    if (CHUNK >= VW && i < end)
        vstorev(truncated_normals_of(i, layer, seed), 0, rest);
    for (uint l = 0; i < end; i++, l++)
        AT(y)[i] = (CHUNK >= VW ? rest[l] : truncated_normal_of(i, layer, seed)) * stddev;
}

/* ---- Augmentation ---------------------------------------------------------------------------- */

/* -most..most from a random word */
int shift_of(const uint word, const int most) {
    return (int)mul_hi(word, (uint)(2 * most + 1)) - most;
}

/* The element of an image's row that comes from `from_row` of its bytes and lies at `column`, before
 * mirroring and moving. */
float augmented(__global const uchar *row, const int has_row, const int column, const int width,
                const int c, const int channels, const int right, const int mirror,
                const float scale) {
    const int shifted = column - right;
    const int from = mirror ? width - 1 - shifted : shifted;
    if (!has_row || shifted < 0 || shifted >= width)
        return 0.0f;
    return (float)row[from * channels + c] * scale;
}

/* y = bytes * scale, with each image flipped and moved. Item = (CHUNK pixels, row, image), on a GPU
 * (4 elements, row, image); bytes: [images, height, width, channels], dense. Reads at most 1 byte and
 * writes 4 for a multiplication. */
KERNEL void convert_augmented(__global const uchar *restrict bytes_base, const ulong bytes_at,
                              LINES_OUT(y), const int height, const int width, const int channels,
                              const float scale, const uint seed_low, const uint seed_high,
                              const uint step, const uint first_image, const int max_shift,
                              const int flip) {
    const int row = (int)get_global_id(1);
    const long image = (long)get_global_id(2);
    uint w0 = first_image + (uint)image, w1 = step, w2 = 0, w3 = STREAM_AUGMENT;
    philox(&w0, &w1, &w2, &w3, seed_low, seed_high);
    const int mirror = flip && (w0 & 1) != 0;
    const int from_row = row - shift_of(w1, max_shift), right = shift_of(w2, max_shift);
    const int has_row = from_row >= 0 && from_row < height;
    __global const uchar *source =
        AT(bytes) + (image * height + (long)from_row) * ((long)width * channels);
    __global float *target = AT(y) + image * y_outer + row * y_inner;
#if OCE_CPU
    int column = (int)get_global_id(0) * CHUNK;
    const int end = min(column + CHUNK, width);
    for (; column < end; column++)
        for (int c = 0; c < channels; c++)
            target[column * channels + c] =
                augmented(source, has_row, column, width, c, channels, right, mirror, scale);
#else
    const int first = (int)get_global_id(0) * 4, length = width * channels;
    int column = (int)((uint)first / (uint)channels), c = (int)((uint)first % (uint)channels);
    float values[4];
    UNROLL
    for (int k = 0; k < 4; k++) {
        values[k] = first + k < length ? augmented(source, has_row, column, width, c, channels,
                                                   right, mirror, scale)
                                       : 0.0f;
        const int is_last = c == channels - 1;
        column += is_last;
        c = is_last ? 0 : c + 1;
    }
    if (first + 4 <= length)
        STOREV((float4)(values[0], values[1], values[2], values[3]), target + first);
    else
        UNROLL for (int k = 0; k < 4; k++)
            if (first + k < length)
                target[first + k] = values[k];
#endif
}
