/*
 * The CLBlast family: the library's product, then bias and ReLU where they are asked for.
 *
 * CLBlast gives each tile of C to one group, which leaves most of a GPU idle where C is small and
 * the sum long, as in filter gradients. Such a sum is cut into parts, which are the products of one
 * strided-batched call, and a kernel adds them in order.
 */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>

enum {
    SMALLEST_GROUP = 64, /* what CLBlast's kernels need on a device that it does not know */
    SMALLEST_LOCAL = 16384,
    TILE = 64,           /* rows and columns of a tile of C, about */
    ENOUGH_TILES = 64,   /* groups that occupy a GPU */
    SHORTEST_PART = 512, /* steps of K in a part */
    PART_ALIGNMENT = 32, /* of a part's first step */
};

static bool serves(const oce_gemm_desc *desc, const oce_limits *limits, char *reason,
                   size_t reason_bytes) {
    (void)desc;
    if (limits->max_work_group >= SMALLEST_GROUP && limits->local_bytes >= SMALLEST_LOCAL)
        return true;
    snprintf(reason, reason_bytes,
             "CLBlast needs groups of %d items and %d bytes of local memory, the device has %zu "
             "and %zu",
             SMALLEST_GROUP, SMALLEST_LOCAL, limits->max_work_group, limits->local_bytes);
    return false;
}

/* A function of the shape only, so that every device adds in the same order. */
static int64_t part_count(const oce_gemm_desc *d) {
    const int64_t tiles = oce_ceil_div(d->m, TILE) * oce_ceil_div(d->n, TILE);
    const int64_t wanted = tiles > 0 ? ENOUGH_TILES / tiles : 1;
    const int64_t most = d->k / SHORTEST_PART;
    const int64_t count = wanted < most ? wanted : most;
    return count > 1 ? count : 1;
}

static oce_status prepare(oce_gemm_plan *plan) {
    const oce_gemm_desc *d = &plan->desc;
    const int64_t parts = part_count(d);
    if (d->k > 0)
        OCE_TRY(oce_clblast_prepare(plan->device, false));
    if (parts == 1)
        return oce_kernel_get(plan->device, "gemm_epilogue.cl", "gemm_epilogue", NULL,
                              &plan->finish);
    OCE_TRY(oce_clblast_prepare(plan->device, true));
    plan->workspace = (size_t)(parts * d->m * d->n) * sizeof(float); /* at most 1 MB */
    return oce_kernel_get(plan->device, "gemm_epilogue.cl", "gemm_combine", NULL, &plan->finish);
}

/* `count` products of `depth` steps of K each, from step `first` on, into C[0], C[1], ... */
static oce_clblast_product product_of(const oce_gemm_desc *d, const oce_gemm_operands *o,
                                      int64_t first, int64_t depth, int64_t count) {
    const int64_t a_step = d->transpose_a ? d->m : 1, b_step = d->transpose_b ? 1 : d->n;
    return (oce_clblast_product){
        .m = d->m,
        .n = d->n,
        .k = depth,
        .count = count,
        .transpose_a = d->transpose_a,
        .transpose_b = d->transpose_b,
        .a = {o->a->buffer, o->a->offset + (uint64_t)(first * a_step), d->transpose_a ? d->m : d->k,
              depth * a_step},
        .b = {o->b->buffer, o->b->offset + (uint64_t)(first * b_step), d->transpose_b ? d->k : d->n,
              depth * b_step},
    };
}

static oce_status run_whole(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const bool relu = d->activation == OCE_ACTIVATION_RELU;
    oce_clblast_product product = product_of(d, o, 0, d->k, 1);
    product.c = (oce_clblast_operand){o->c->buffer, o->c->offset, d->n, 0};
    if (d->k > 0)
        OCE_TRY(oce_clblast_gemm(plan->device, &product));
    else
        OCE_TRY(oce_buffer_clear(o->c->buffer, o->c->offset * sizeof(float),
                                 oce_tensor_count(o->c) * sizeof(float)));
    if (o->bias == NULL && !relu)
        return OCE_OK;
    const oce_arg args[] = {
        oce_arg_tensor(o->c), oce_arg_tensor(o->bias),      oce_arg_long(d->m),
        oce_arg_long(d->n),   oce_arg_int(o->bias != NULL), oce_arg_int(relu),
    };
    return oce_launch(plan->finish, oce_range_items(d->m * d->n), args, OCE_COUNT(args));
}

/* The last part takes what the others, of equal length, leave. */
static oce_status run_parts(const oce_gemm_plan *plan, const oce_gemm_operands *o, int64_t parts) {
    const oce_gemm_desc *d = &plan->desc;
    const int64_t depth = d->k / parts / PART_ALIGNMENT * PART_ALIGNMENT;
    const bool is_even = depth * parts == d->k;
    const int64_t equal = is_even ? parts : parts - 1, elements = d->m * d->n;
    oce_clblast_product product = product_of(d, o, 0, depth, equal);
    product.c = (oce_clblast_operand){o->workspace, 0, d->n, elements};
    OCE_TRY(oce_clblast_gemm(plan->device, &product));
    if (!is_even) {
        product = product_of(d, o, equal * depth, d->k - equal * depth, 1);
        product.c = (oce_clblast_operand){o->workspace, (uint64_t)(equal * elements), d->n, 0};
        OCE_TRY(oce_clblast_gemm(plan->device, &product));
    }
    const oce_arg args[] = {oce_arg_part(o->workspace, 0),
                            oce_arg_tensor(o->c),
                            oce_arg_tensor(o->bias),
                            oce_arg_int(elements),
                            oce_arg_int(d->n),
                            oce_arg_int(parts),
                            oce_arg_int(o->bias != NULL),
                            oce_arg_int(d->activation == OCE_ACTIVATION_RELU)};
    return oce_launch(plan->finish, oce_range_items(elements), args, OCE_COUNT(args));
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const int64_t parts = part_count(&plan->desc);
    return parts > 1 ? run_parts(plan, o, parts) : run_whole(plan, o);
}

const oce_gemm_method oce_gemm_clblast = {OCE_GEMM_CLBLAST, serves, prepare, run, NULL};
