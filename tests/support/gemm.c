#define _POSIX_C_SOURCE 200809L /* setenv */

#include "support/gemm.h"

#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"

#include "base/random.h"
#include "device/internal.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

enum { A, B, BIAS, C, TENSORS };

bool gemm_serves(oce_device *device, oce_gemm_family family) {
    const oce_gemm_desc desc = {.m = 0, .n = 1, .k = 1, .family = family}; /* builds nothing */
    oce_gemm_plan *plan = NULL;
    const oce_status status = oce_gemm_plan_create(device, &desc, &plan);
    cr_expect(status == OCE_OK || status == OCE_ERROR_UNSUPPORTED, "%s", oce_last_error());
    oce_gemm_plan_destroy(plan);
    return status == OCE_OK;
}

oce_device *gemm_open_cpu(int width, oce_gemm_family family) {
    if (width != 0)
        setenv("OCELLI_VECTOR_WIDTH", width == 4 ? "4" : "8", 1);
    oce_device *device = test_open_device();
    if (!device->limits.is_cpu && test_is_small()) {
        device->limits.is_cpu = true;
        device->limits.vector_width = width != 0 ? width : 8; /* some take minutes over 16 */
    }
    if (!device->limits.is_cpu || !gemm_serves(device, family)) {
        const char *reason = device->limits.is_cpu ? oce_last_error() : "the device is not a CPU";
        oce_device_close(device);
        cr_skip_test("%s", reason);
    }
    cr_assert(width == 0 || device->limits.vector_width <= width);
    return device;
}

/* The tensors of a product and where they lie: tensor i in buffer[i], all in the same one if they
 * are a block. */
typedef struct operands {
    size_t count[TENSORS], offset[TENSORS], elements[TENSORS]; /* elements: of the whole buffer */
    oce_buffer *buffer[TENSORS];
    float *before[TENSORS]; /* what the buffer held before the run */
    oce_tensor tensor[TENSORS];
    bool is_block;
} operands;

static void place(operands *o, const oce_gemm_desc *d, const gemm_placing *placing) {
    const size_t m = (size_t)d->m, n = (size_t)d->n, k = (size_t)d->k;
    const size_t counts[TENSORS] = {m * k, k * n, n, m * n};
    const size_t before = (size_t)placing->before;
    size_t end = 0;
    for (int i = 0; i < TENSORS; i++) {
        o->count[i] = counts[i];
        o->offset[i] = (placing->is_block ? end : 0) + before;
        end = o->offset[i] + counts[i];
        o->elements[i] = end;
    }
    for (int i = 0; placing->is_block && i < TENSORS; i++)
        o->elements[i] = end + before;
    o->is_block = placing->is_block;
}

/* A NaN that tells its place: one that a kernel read elsewhere and wrote here shows. */
static float nan_at(size_t place) {
    const uint32_t bits = 0x7fc00000U | (uint32_t)(place & 0x3fffff);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Fills buffer i: the data of the tensors that lie in it, NaN elsewhere. */
static void upload(oce_device *device, operands *o, int i, const gemm_data *data) {
    const float *const values[TENSORS] = {data->a, data->b, data->bias, NULL};
    const size_t bytes = o->elements[i] * sizeof(float);
    o->before[i] = test_zeros(o->elements[i]);
    for (size_t at = 0; at < o->elements[i]; at++)
        o->before[i][at] = nan_at(at);
    for (int t = 0; t < TENSORS; t++)
        if ((o->is_block || t == i) && values[t] != NULL)
            memcpy(o->before[i] + o->offset[t], values[t], o->count[t] * sizeof(float));
    TEST_OK(oce_buffer_create(device, bytes, &o->buffer[i]));
    TEST_OK(oce_buffer_write(o->buffer[i], 0, o->before[i], bytes));
}

/* Takes C out of its buffer; everything else must be as before. */
static void download(const operands *o, int i, float *c) {
    float *after = test_zeros(o->elements[i]);
    TEST_OK(oce_buffer_read(o->buffer[i], 0, after, o->elements[i] * sizeof(float)));
    if (o->is_block || i == C) {
        const size_t bytes = o->count[C] * sizeof(float);
        memcpy(c, after + o->offset[C], bytes);
        memcpy(after + o->offset[C], o->before[i] + o->offset[C], bytes);
    }
    cr_expect(memcmp(after, o->before[i], o->elements[i] * sizeof(float)) == 0,
              "gemm wrote outside of C");
    free(after);
}

/* Runs the plan, with B prepared if it wants that: in a buffer that is just large enough and is NaN
 * before. */
static void run_plan(oce_device *device, oce_gemm_plan *plan, const operands *o, bool has_bias) {
    const size_t bytes = oce_gemm_plan_prepared_bytes(plan);
    const oce_tensor *bias = has_bias ? &o->tensor[BIAS] : NULL;
    oce_buffer *workspace = NULL, *prepared = NULL;
    TEST_OK(oce_buffer_create(device, oce_gemm_plan_workspace(plan), &workspace));
    if (bytes == 0) {
        TEST_OK(oce_gemm_run(plan, &o->tensor[A], &o->tensor[B], bias, &o->tensor[C], workspace));
    } else {
        float *nothing = test_zeros(bytes / sizeof(float));
        for (size_t i = 0; i < bytes / sizeof(float); i++)
            nothing[i] = nan_at(i);
        TEST_OK(oce_buffer_create(device, bytes, &prepared));
        TEST_OK(oce_buffer_write(prepared, 0, nothing, bytes));
        TEST_OK(oce_gemm_prepare(plan, &o->tensor[B], prepared));
        TEST_OK(oce_gemm_run_prepared(plan, &o->tensor[A], &o->tensor[B], prepared, bias,
                                      &o->tensor[C], workspace));
        free(nothing);
    }
    oce_buffer_destroy(workspace);
    oce_buffer_destroy(prepared);
}

float *gemm_run(oce_device *device, const oce_gemm_desc *desc, const gemm_data *data,
                const gemm_placing *placing) {
    static const gemm_placing own = {false, 0};
    operands o = {0};
    place(&o, desc, placing != NULL ? placing : &own);
    const int buffers = o.is_block ? 1 : TENSORS;
    for (int i = 0; i < buffers; i++)
        upload(device, &o, i, data);
    const int64_t dims[TENSORS][4] = {
        {desc->transpose_a ? desc->k : desc->m, 1, 1, desc->transpose_a ? desc->m : desc->k},
        {desc->transpose_b ? desc->n : desc->k, 1, 1, desc->transpose_b ? desc->k : desc->n},
        {1, 1, 1, desc->n},
        {desc->m, 1, 1, desc->n},
    };
    for (int i = 0; i < TENSORS; i++)
        TEST_OK(oce_tensor_view(o.buffer[o.is_block ? 0 : i], o.offset[i], dims[i], NULL,
                                &o.tensor[i]));
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, desc, &plan));
    run_plan(device, plan, &o, data->bias != NULL);
    float *c = test_zeros(o.count[C]);
    for (int i = 0; i < buffers; i++) {
        download(&o, i, c);
        oce_buffer_destroy(o.buffer[i]);
        free(o.before[i]);
    }
    oce_gemm_plan_destroy(plan);
    return c;
}

float *gemm_expected(const oce_gemm_desc *desc, const gemm_data *data) {
    float *c = test_zeros((size_t)(desc->m * desc->n));
    TEST_OK(oce_ref_gemm(desc, data->a, data->b, data->bias, c));
    return c;
}

gemm_data gemm_random(const oce_gemm_desc *d, bool has_bias, uint64_t seed) {
    return (gemm_data){test_random((size_t)(d->m * d->k), 3 * seed),
                       test_random((size_t)(d->k * d->n), 3 * seed + 1),
                       has_bias ? test_random((size_t)d->n, 3 * seed + 2) : NULL};
}

void gemm_free_data(const gemm_data *data) {
    free((float *)data->a);
    free((float *)data->b);
    free((float *)data->bias);
}

void gemm_check(oce_device *device, const oce_gemm_desc *desc, bool has_bias,
                const gemm_placing *placing, uint64_t seed) {
    const gemm_data data = gemm_random(desc, has_bias, seed);
    float *got = gemm_run(device, desc, &data, placing);
    float *expected = gemm_expected(desc, &data);
    const int64_t shape[4] = {1, 1, desc->m, desc->n};
    expect_floats(got, expected, (size_t)(desc->m * desc->n), shape,
                  (compare_limit){.absolute = 1e-7, .of_largest = 1e-5},
                  "%s m %lld n %lld k %lld%s%s%s%s", oce_gemm_family_name(desc->family),
                  (long long)desc->m, (long long)desc->n, (long long)desc->k,
                  desc->transpose_a ? " a^T" : "", desc->transpose_b ? " b^T" : "",
                  has_bias ? " bias" : "", desc->activation == OCE_ACTIVATION_RELU ? " relu" : "");
    free(got);
    free(expected);
    gemm_free_data(&data);
}

void gemm_check_shape(oce_device *device, oce_gemm_family family, int64_t m, int64_t n, int64_t k,
                      uint64_t seed) {
    for (unsigned form = 0; form < 4; form++) {
        const unsigned finish = (form + (unsigned)seed) % 4;
        const oce_gemm_desc desc = {
            .m = m,
            .n = n,
            .k = k,
            .transpose_a = form & 1,
            .transpose_b = form & 2,
            .activation = finish & 1 ? OCE_ACTIVATION_RELU : OCE_ACTIVATION_NONE,
            .family = family,
        };
        const gemm_placing placing = {(seed / 2) % 2 == 1, (int64_t)(seed % 7)};
        gemm_check(device, &desc, finish & 2, &placing, seed + form);
    }
}

void gemm_sweep(oce_device *device, int shapes, int64_t limit, uint64_t seed,
                gemm_shape_check *check) {
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < shapes; i++) {
        int64_t extents[3];
        for (int axis = 0; axis < 3; axis++) {
            extents[axis] = test_between(&random, 1, limit);
            if (i % 3 == 2 && limit > 18)
                extents[axis] = extents[axis] / 16 * 16 + test_between(&random, 1, 2);
        }
        check(device, extents[0], extents[1], extents[2], (uint64_t)i + seed);
    }
}
