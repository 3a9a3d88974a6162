/* The thin family: results of one or a few rows or columns, at the pace of memory, for CPUs. */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>

enum {
    FEW = 4,                /* rows, or columns, of gemm_thin_scale */
    FEW_DOTS = 24,          /* for which gemm_thin_dot is faster than the panel family */
    LEAST_DEPTH = 64,       /* of dot products: below it adding the lanes takes most of the time */
    STRETCH_FLOATS = 4096,  /* of all rows of gemm_thin_scale's block: a part of the first cache */
    GROUP_FLOATS = 1 << 16, /* of the matrices: what is worth a group */
    GROUPS = 48,            /* wanted, of those that are worth it */
    GROUPS_A_UNIT = 8,      /* enough for a device of few units */
    SPLITS = 16,            /* of gemm_thin_scale: more make the sum of them too long */
    SUM_FLOATS = 1 << 15,   /* of the partial sums that a group adds up */
    LONGEST_DOT = 1 << 17,  /* steps of K in one sum: bounds its rounding error, and its loops */
    LONGEST_SCALE = 12288,
    DEPTH = 8,   /* THIN_DEPTH: rows of B in a round */
    LIST = 1024, /* THIN_LIST: long enough that few rounds are not full */
};

/* The kernels count in ints, with room for a block more. */
static const int64_t largest_extent = INT64_C(1) << 28;

/* The product as the kernels see it: of few rows, turned over if it has fewer columns than rows. */
typedef struct thin {
    int64_t m, n, k;
    bool is_turned;
    bool is_dot;      /* K lies along the rows of the large matrix */
    bool is_straight; /* and of the small one */
} thin;

static thin thin_of(const oce_gemm_desc *d) {
    const bool is_turned = d->n < d->m;
    const bool is_straight = is_turned ? d->transpose_b : !d->transpose_a;
    const bool is_dot = (is_turned ? !d->transpose_a : d->transpose_b) || (d->m == 1 && d->n == 1);
    return is_turned ? (thin){d->n, d->m, d->k, true, is_dot, is_straight || d->n == 1}
                     : (thin){d->m, d->n, d->k, false, is_dot, is_straight || d->m == 1};
}

static int64_t at_most(int64_t value, int64_t limit) {
    return value < limit ? value : limit;
}

static int64_t at_least(int64_t value, int64_t limit) {
    return value > limit ? value : limit;
}

static bool serves(const oce_gemm_desc *d, const oce_limits *limits, char *reason,
                   size_t reason_bytes) {
    const thin t = thin_of(d);
    const size_t local = STRETCH_FLOATS * sizeof(float);
    if (!limits->is_cpu)
        snprintf(reason, reason_bytes, "the device is not a CPU");
    else if (t.n > largest_extent || t.k > largest_extent)
        snprintf(reason, reason_bytes, "extents above %lld", (long long)largest_extent);
    else if (t.m > 0 && t.is_dot && !t.is_straight)
        snprintf(reason, reason_bytes, "K lies along the rows of the large matrix only");
    else if (!t.is_dot && t.m > FEW)
        snprintf(reason, reason_bytes, "more than %d rows and columns", FEW);
    else if (!t.is_dot && limits->local_bytes < local)
        snprintf(reason, reason_bytes, "%zu bytes of local memory, less than %zu",
                 limits->local_bytes, local);
    else
        return true;
    return false;
}

bool oce_gemm_is_thin(const oce_gemm_desc *d) {
    const thin t = thin_of(d);
    if (!t.is_dot)
        return t.m <= FEW;
    return t.is_straight && t.k >= LEAST_DEPTH * (t.m > FEW ? 4 : 1) && t.m <= FEW_DOTS;
}

/* THIN_STRETCH: columns of a block, at most. */
static int64_t stretch_of(const oce_gemm_blocks *b) {
    return STRETCH_FLOATS / at_least(b->tile_rows, 2);
}

static int64_t round_up(int64_t value, int64_t multiple) {
    return oce_ceil_div(value, multiple) * multiple;
}

/* Groups that the work is worth: each more than the first costs a thread's start. */
static int64_t groups_of(const thin *t) {
    return at_least(at_most((t->m + t->n) * t->k / GROUP_FLOATS, GROUPS), 1);
}

/* Blocks of columns, splits of K, and rows of a launch. Splits are a function of the shape alone;
 * blocks may be smaller, and launches several, where loops must be short. */
static void divide_dot(const thin *t, const oce_limits *limits, oce_gemm_blocks *b) {
    const int64_t goal = groups_of(t), least = at_least(oce_ceil_div(t->k, LONGEST_DOT), 1);
    b->splits = (int)at_least(at_most(goal / oce_ceil_div(t->n, 8), t->k / 1024), least);
    const int64_t blocks = goal > 1 ? oce_ceil_div(2 * goal, b->splits) : 1;
    b->columns = round_up(oce_ceil_div(t->n, blocks), b->tile_vectors);
    const int64_t depth = oce_ceil_div(t->k, b->splits) / limits->vector_width + 64;
    const int64_t rounds = oce_ceil_div(t->m, b->tile_rows) * depth;
    while (b->columns > b->tile_vectors &&
           b->columns / b->tile_vectors * rounds > limits->loop_rounds)
        b->columns = round_up(b->columns / 2, b->tile_vectors);
    while (b->rows > b->tile_rows &&
           oce_ceil_div(b->rows, b->tile_rows) * depth * (b->columns / b->tile_vectors) >
               limits->loop_rounds)
        b->rows = round_up(b->rows / 2, b->tile_rows);
}

/* Whole rows are read fastest: K is split, and columns are divided only where a row is longer than
 * the stretch, or to feed more units. */
static void divide_scale(const thin *t, const oce_limits *limits, oce_gemm_blocks *b) {
    const int64_t goal = groups_of(t), least = at_least(oce_ceil_div(t->k, LONGEST_SCALE), 1);
    const int64_t near_goal = at_most(goal, (int64_t)limits->compute_units * GROUPS_A_UNIT);
    int64_t blocks = oce_ceil_div(t->n, stretch_of(b));
    b->splits =
        (int)at_least(at_most(oce_ceil_div(at_most(goal, SPLITS), blocks), t->k / 64), least);
    blocks = at_least(at_most(oce_ceil_div(near_goal, b->splits), t->n / 64), blocks);
    b->columns = round_up(oce_ceil_div(t->n, blocks), 16);
    const int64_t depth = oce_ceil_div(t->k, b->splits) / DEPTH + DEPTH;
    while (b->columns > 16 && b->columns / 4 * depth > limits->loop_rounds)
        b->columns = round_up(b->columns / 2, 16);
}

/* ---- Rows that only zeros scale ------------------------------------------------------------ */

static int64_t rows_of_a_group(const oce_gemm_desc *d) {
    return at_least(GROUP_FLOATS / d->n, 1);
}

/* Whether gemm_thin_scale should leave rows out, which takes knowing those of B that are not
 * finite. That is found once for many products, of a matrix that is worth a group. */
static bool skips_rows(const oce_gemm_desc *d, const thin *t, const oce_limits *limits,
                       int splits) {
    const size_t local = STRETCH_FLOATS * sizeof(float) + (LIST + DEPTH) * sizeof(int32_t);
    const int64_t vectors = oce_ceil_div(d->n, limits->vector_width);
    return d->keeps_b && !t->is_dot && !t->is_turned && d->n * d->k >= GROUP_FLOATS &&
           limits->local_bytes >= local && oce_ceil_div(d->k, splits) <= limits->loop_rounds &&
           rows_of_a_group(d) * (vectors + 2) <= limits->loop_rounds;
}

static oce_status find_nonfinite(const oce_gemm_plan *plan, const oce_tensor *b,
                                 oce_buffer *prepared) {
    const oce_gemm_desc *d = &plan->desc;
    const int64_t rows = rows_of_a_group(d);
    const oce_arg args[] = {
        oce_arg_tensor(b), oce_arg_part(prepared, 0), oce_arg_int(d->n),
        oce_arg_int(d->k), oce_arg_int(rows),
    };
    return oce_launch(plan->pack, oce_range_groups(oce_ceil_div(d->k, rows), 1, 1), args,
                      OCE_COUNT(args));
}

/* ---- Plan ---------------------------------------------------------------------------------- */

static oce_status prepare(oce_gemm_plan *plan) {
    static const char file[] = "gemm_thin.cl";
    const thin t = thin_of(&plan->desc);
    const oce_limits *limits = oce_device_limits(plan->device);
    oce_gemm_blocks *b = &plan->blocks;
    *b = (oce_gemm_blocks){.rows = t.m,
                           .tile_rows = t.m <= 2 ? (int)t.m : 4,
                           .tile_vectors = t.m > 1    ? 4
                                           : t.n == 1 ? 1
                                                      : 8};
    oce_defines defines = {0};
    oce_define(&defines, "THIN_ROWS", b->tile_rows);
    if (t.is_dot) {
        divide_dot(&t, limits, b);
        oce_define(&defines, "THIN_COLUMNS", b->tile_vectors);
        oce_define(&defines, "THIN_VECTORS", 8 / at_most(b->tile_rows * b->tile_vectors, 8));
    } else {
        divide_scale(&t, limits, b);
        oce_define(&defines, "THIN_STRETCH", stretch_of(b));
    }
    if (skips_rows(&plan->desc, &t, limits, b->splits)) {
        oce_define(&defines, "THIN_LIST", LIST);
        plan->prepared = (size_t)t.k * sizeof(float);
        OCE_TRY(oce_kernel_get(plan->device, file, "gemm_thin_nonfinite", NULL, &plan->pack));
    }
    const int64_t extents[] = {b->splits, t.m, t.n, (int64_t)sizeof(float)};
    OCE_REQUIRE(b->splits == 1 || oce_size_product(extents, 4, &plan->workspace),
                OCE_ERROR_OVERFLOW, "gemm: %d partial sums of %lld x %lld are too large", b->splits,
                (long long)t.m, (long long)t.n);
    OCE_TRY(oce_kernel_get(plan->device, file, t.is_dot ? "gemm_thin_dot" : "gemm_thin_scale",
                           &defines, &plan->product));
    if (b->splits > 1)
        return oce_kernel_get(plan->device, file, "gemm_thin_reduce", &defines, &plan->finish);
    return OCE_OK;
}

/* ---- Run ----------------------------------------------------------------------------------- */

/* A single column is reduced as a row whose elements share a bias. */
static oce_status reduce(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    const bool is_column = d->n == 1;
    const int64_t rows = is_column ? 1 : d->m, row = is_column ? d->m : d->n;
    const int64_t columns = round_up(SUM_FLOATS / (plan->blocks.splits + 2) + 1, 16);
    const oce_arg args[] = {
        oce_arg_part(o->workspace, 0),
        oce_arg_tensor(o->bias),
        oce_arg_tensor(o->c),
        oce_arg_int(rows),
        oce_arg_int(row),
        oce_arg_int(plan->blocks.splits),
        oce_arg_int(columns),
        oce_arg_int(!is_column),
        oce_arg_int(o->bias != NULL),
        oce_arg_int(d->activation == OCE_ACTIVATION_RELU),
    };
    return oce_launch(plan->finish, oce_range_groups(oce_ceil_div(row, columns), rows, 1), args,
                      OCE_COUNT(args));
}

/* Launches the product for rows first to first + b->rows - 1. */
static oce_status run_rows(const oce_gemm_plan *plan, const oce_gemm_operands *o, const thin *t,
                           int64_t first) {
    const oce_gemm_blocks *b = &plan->blocks;
    const oce_tensor *few = t->is_turned ? o->b : o->a;
    const int64_t c_row = t->is_turned ? 1 : t->n, a_row = t->is_straight ? t->k : 1;
    const int64_t rows = at_most(b->rows, t->m - first), bias_row = t->is_turned;
    const oce_arg args[] = {
        oce_arg_tensor_at(few, first * a_row),
        oce_arg_tensor(t->is_turned ? o->a : o->b),
        o->bias != NULL ? oce_arg_tensor_at(o->bias, first * bias_row) : oce_arg_tensor(NULL),
        b->splits > 1 ? oce_arg_part(o->workspace, (uint64_t)(first * c_row))
                      : oce_arg_tensor_at(o->c, first * c_row),
        oce_arg_int(rows),
        oce_arg_int(t->n),
        oce_arg_int(t->k),
        oce_arg_long(c_row),
        oce_arg_long(t->is_turned ? t->m : 1),
        oce_arg_long(t->m * t->n),
        oce_arg_int(b->columns),
        oce_arg_int(bias_row),
        oce_arg_int(!t->is_turned),
        oce_arg_int(o->bias != NULL),
        oce_arg_int(plan->desc.activation == OCE_ACTIVATION_RELU),
        oce_arg_long(a_row),
        oce_arg_long(t->is_straight ? 1 : t->m),
        plan->prepared > 0 ? oce_arg_part(o->prepared, 0) : oce_arg_tensor(NULL),
    };
    const int scale_only = 3;
    return oce_launch(plan->product, oce_range_groups(oce_ceil_div(t->n, b->columns), b->splits, 1),
                      args, OCE_COUNT(args) - (t->is_dot ? scale_only : 0));
}

/* Also the whole run of a product that is not split, to C. */
oce_status oce_gemm_thin_parts(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const thin t = thin_of(&plan->desc);
    for (int64_t row = 0; row < t.m; row += plan->blocks.rows)
        OCE_TRY(run_rows(plan, o, &t, row));
    return OCE_OK;
}

static oce_status run(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    OCE_TRY(oce_gemm_thin_parts(plan, o));
    return plan->blocks.splits > 1 ? reduce(plan, o) : OCE_OK;
}

const oce_gemm_method oce_gemm_thin = {OCE_GEMM_THIN, serves, prepare, run, find_nonfinite};
