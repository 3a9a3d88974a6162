/* Matrix products in tiles: kernels, partial sums, launches. */
#include "ops/tile_product.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>

static const char product_file[] = "gemm_tiled.cl", sum_file[] = "tile_sum.cl";

/* Rows, columns and steps are ints with room for a tile more; element() of cl/tile.cl.h counts the
 * floats of 128 rows in 30 bits. */
enum { LARGEST_EXTENT = 1 << 30, LARGEST_PITCH = 1 << 23, PART_STEPS = 16 };

bool oce_tile_product_serves(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
                             const oce_limits *limits, char *reason, size_t reason_bytes) {
    const int64_t a_pitch = transpose_a ? m : k, b_pitch = transpose_b ? k : n;
    if (!oce_tile_serves(limits, reason, reason_bytes))
        return false;
    if (m > LARGEST_EXTENT || n > LARGEST_EXTENT || k > LARGEST_EXTENT) {
        snprintf(reason, reason_bytes, "extents above %d", LARGEST_EXTENT);
        return false;
    }
    if (a_pitch > LARGEST_PITCH || b_pitch > LARGEST_PITCH) {
        snprintf(reason, reason_bytes, "rows of more than %d elements", LARGEST_PITCH);
        return false;
    }
    return true;
}

/* ---- Partial sums -------------------------------------------------------------------------- */

static oce_status sum_kernel(oce_device *device, int64_t n, bool is_aligned, oce_kernel **kernel) {
    oce_defines defines = {0};
    oce_define(&defines, "VEC", n % 4 == 0 ? 4 : 1);
    if (is_aligned && n % 4 == 0)
        oce_define(&defines, "OCE_ALIGNED", 1);
    return oce_kernel_get(device, sum_file, "tile_sum", &defines, kernel);
}

oce_status oce_tile_sum_prepare(oce_device *device, int64_t n) {
    oce_kernel *kernel = NULL;
    return sum_kernel(device, n, true, &kernel);
}

oce_status oce_tile_sum(oce_device *device, oce_tile_operand partials, oce_tile_operand bias,
                        oce_tile_operand out, int64_t count, int64_t n, int64_t splits, bool relu) {
    const bool is_aligned = (partials.offset | bias.offset | out.offset) % 4 == 0;
    oce_kernel *kernel = NULL;
    OCE_TRY(sum_kernel(device, n, is_aligned, &kernel));
    const oce_arg args[] = {
        oce_arg_part(partials.buffer, partials.offset),
        oce_arg_part(bias.buffer, bias.offset),
        oce_arg_part(out.buffer, out.offset),
        oce_arg_long(count),
        oce_arg_int(n),
        oce_arg_int(splits),
        oce_arg_int(relu),
    };
    return oce_launch(kernel, oce_range_items(n % 4 == 0 ? count / 4 : count), args,
                      OCE_COUNT(args));
}

/* ---- Products ------------------------------------------------------------------------------ */

static oce_tile_shape shape_of(const oce_tile_product *p) {
    return (oce_tile_shape){p->m, p->n, p->batch * p->splits, p->asked};
}

static oce_defines define(const oce_tile_product *p, bool a, bool b, bool c) {
    oce_defines defines = {0};
    oce_define(&defines, "A_ALONG_M", p->transpose_a);
    oce_define(&defines, "B_ALONG_N", !p->transpose_b);
    oce_define(&defines, "A_VECTOR", a);
    oce_define(&defines, "B_VECTOR", b);
    oce_define(&defines, "C_VECTOR", c);
    return defines;
}

oce_status oce_tile_product_prepare(oce_tile_product *p) {
    p->splits = oce_tile_splits(p->m, p->n, p->k, p->batch);
    p->part = p->k;
    if (p->splits > 1) {
        p->part = oce_ceil_div(oce_ceil_div(p->k, p->splits), PART_STEPS) * PART_STEPS;
        p->splits = oce_ceil_div(p->k, p->part);
        OCE_TRY(oce_tile_sum_prepare(p->device, p->n));
    }
    p->vector_a = (p->transpose_a ? p->m : p->k) % 4 == 0;
    p->vector_b = (p->transpose_b ? p->k : p->n) % 4 == 0;
    p->vector_c = p->n % 4 == 0;
    const oce_defines defines = define(p, p->vector_a, p->vector_b, p->vector_c);
    const oce_tile_shape shape = shape_of(p);
    return oce_tile_kernel_get(p->device, product_file, "gemm_tiled", &defines, &shape, &p->tile,
                               &p->aligned);
}

size_t oce_tile_product_partials(const oce_tile_product *p) {
    const int64_t extents[] = {p->splits, p->batch, p->m, p->n};
    size_t count = 0;
    if (p->splits == 1)
        return 0;
    return oce_size_product(extents, 4, &count) ? count : SIZE_MAX;
}

/* The kernel for operands that lie like these: the plan's, or one that does not ask of them what
 * they do not keep. */
static oce_status kernel_for(const oce_tile_product *p, const oce_tile_operands *o,
                             oce_kernel **kernel) {
    const bool a = o->a.offset % 4 == 0, b = o->b.offset % 4 == 0;
    const bool c = p->splits > 1 || (o->c.offset | o->bias.offset) % 4 == 0;
    *kernel = p->aligned;
    if ((a || !p->vector_a) && (b || !p->vector_b) && (c || !p->vector_c))
        return OCE_OK;
    const oce_defines defines = define(p, a && p->vector_a, b && p->vector_b, c && p->vector_c);
    return oce_tile_kernel_build(p->device, product_file, "gemm_tiled", &defines, &p->tile, kernel);
}

oce_status oce_tile_product_run(const oce_tile_product *p, const oce_tile_operands *o) {
    const oce_tile_operand none = {NULL, 0};
    const bool is_split = p->splits > 1;
    const oce_tile_operand to = is_split ? o->partials : o->c, bias = is_split ? none : o->bias;
    const int64_t count = p->batch * p->m * p->n;
    oce_kernel *kernel = NULL;
    OCE_TRY(kernel_for(p, o, &kernel));
    const oce_arg args[] = {
        oce_arg_part(o->a.buffer, o->a.offset),
        oce_arg_part(o->b.buffer, o->b.offset),
        oce_arg_part(bias.buffer, bias.offset),
        oce_arg_part(to.buffer, to.offset),
        oce_arg_int(p->m),
        oce_arg_int(p->n),
        oce_arg_int(p->k),
        oce_arg_int(p->part),
        oce_arg_int(p->splits),
        oce_arg_long(p->m * p->k),
        oce_arg_long(p->k * p->n),
        oce_arg_long(p->m * p->n),
        oce_arg_long(count),
        oce_arg_int(!is_split && o->relu),
    };
    const oce_tile_shape shape = shape_of(p);
    OCE_TRY(oce_launch(kernel, oce_tile_range(&p->tile, &shape), args, OCE_COUNT(args)));
    if (!is_split)
        return OCE_OK;
    return oce_tile_sum(p->device, o->partials, o->bias, o->c, count, p->n, p->splits, o->relu);
}
