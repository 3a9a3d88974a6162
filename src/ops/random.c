/* Operations that draw random numbers: dropout and truncated normal. */
#include <ocelli/elementwise.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

enum { CPU_CHUNK = 1024 }; /* Philox blocks or elements of a work-item */

static const char file[] = "random.cl";

/* Launches `name` with one work-item for each chunk of `count`. is_aligned: vectors lie at
 * multiples of their size. */
static oce_status launch(oce_device *device, const char *name, bool is_aligned, int64_t count,
                         const oce_arg *args, int arg_count) {
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    const int64_t chunk = is_cpu ? CPU_CHUNK : 1;
    oce_defines defines = {0};
    oce_define(&defines, "CHUNK", chunk);
    if (!is_cpu && is_aligned)
        oce_define(&defines, "OCE_ALIGNED", 1);
    oce_kernel *kernel = NULL;
    OCE_TRY(oce_kernel_get(device, file, name, &defines, &kernel));
    return oce_launch(kernel, oce_range_items(oce_ceil_div(count, chunk)), args, arg_count);
}

/* keep_prob 1 keeps all: a copy, bit for bit, denormals included. */
static oce_status copy(const oce_tensor *x, const oce_tensor *y, size_t count) {
    if (x->buffer == y->buffer && x->offset == y->offset)
        return OCE_OK;
    return oce_buffer_copy(x->buffer, x->offset * sizeof(float), y->buffer,
                           y->offset * sizeof(float), count * sizeof(float));
}

oce_status oce_dropout_apply(oce_device *device, const oce_dropout *dropout, const oce_tensor *x,
                             const oce_tensor *y) {
    const float keep = dropout->keep_prob;
    OCE_REQUIRE(keep > 0.0F && keep <= 1.0F, OCE_ERROR_INVALID_ARGUMENT,
                "dropout: keep_prob %g is not in (0, 1]", (double)keep);
    OCE_REQUIRE(x != NULL, OCE_ERROR_INVALID_ARGUMENT, "dropout: x: no tensor was given");
    const size_t count = oce_tensor_count(x);
    OCE_TRY(oce_tensor_expect_dense(x, "dropout: x", count));
    OCE_TRY(oce_tensor_expect(y, "dropout: y", x->dim));
    OCE_TRY(oce_tensor_expect_dense(y, "dropout: y", count));
    if (count == 0)
        return OCE_OK;
    if (keep >= 1.0F)
        return copy(x, y, count);
    const oce_arg args[] = {oce_arg_tensor(x),
                            oce_arg_tensor(y),
                            oce_arg_long((int64_t)count),
                            oce_arg_long((int64_t)dropout->first),
                            OCE_SEED_ARGS(dropout->seed),
                            oce_arg_int(dropout->step),
                            oce_arg_int(dropout->layer),
                            oce_arg_float(keep)};
    const int64_t blocks = ((int64_t)(dropout->first % 4 + count) + 3) / 4;
    /* A Philox block starts `first % 4` elements before a multiple of 4. */
    const size_t shift = (size_t)(dropout->first % 4);
    const bool is_aligned = x->offset % 4 == shift && y->offset % 4 == shift;
    return launch(device, "dropout", is_aligned, blocks, args, OCE_COUNT(args));
}

oce_status oce_truncated_normal(oce_device *device, uint64_t seed, uint32_t layer, float stddev,
                                const oce_tensor *y) {
    OCE_REQUIRE(y != NULL, OCE_ERROR_INVALID_ARGUMENT, "truncated normal: y: no tensor was given");
    const size_t count = oce_tensor_count(y);
    OCE_TRY(oce_tensor_expect_dense(y, "truncated normal: y", count));
    OCE_REQUIRE(count <= (size_t)UINT32_MAX + 1, OCE_ERROR_OVERFLOW,
                "truncated normal: %zu elements are more than 2^32", count);
    const oce_arg args[] = {oce_arg_tensor(y), oce_arg_long((int64_t)count), OCE_SEED_ARGS(seed),
                            oce_arg_int(layer), oce_arg_float(stddev)};
    return launch(device, "truncated_normal", y->offset % 4 == 0, (int64_t)count, args,
                  OCE_COUNT(args));
}
