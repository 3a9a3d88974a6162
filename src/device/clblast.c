/* Matrix products by CLBlast, on the device's own queue. */
#include "device/internal.h"

#include <clblast_c.h>

#include <math.h>
#include <stdio.h>

enum { TRIAL_FLOATS = 16 };

/* What CLBlast calls its status, where OpenCL has no such code. */
static const char *clblast_error(CLBlastStatusCode code) {
    switch ((int)code) {
#define CASE(name)                                                                                 \
    case CLBlast##name:                                                                            \
        return #name
        CASE(NotImplemented);
        CASE(InvalidMatrixA);
        CASE(InvalidMatrixB);
        CASE(InvalidMatrixC);
        CASE(InvalidDimension);
        CASE(InvalidLeadDimA);
        CASE(InvalidLeadDimB);
        CASE(InvalidLeadDimC);
        CASE(InsufficientMemoryA);
        CASE(InsufficientMemoryB);
        CASE(InsufficientMemoryC);
        CASE(InsufficientMemoryTemp);
        CASE(InvalidBatchCount);
        CASE(InvalidLocalMemUsage);
        CASE(NoHalfPrecision);
        CASE(NoDoublePrecision);
        CASE(DatabaseError);
        CASE(UnknownError);
        CASE(UnexpectedError);
#undef CASE
    default:
        return oce_opencl_error((cl_int)code);
    }
}

static oce_status status_of(CLBlastStatusCode code) {
    if (code == CLBlastTempBufferAllocFailure)
        return OCE_ERROR_DEVICE_MEMORY;
    return code == CLBlastOpenCLBuildProgramFailure ? OCE_ERROR_BUILD : OCE_ERROR_OPENCL;
}

static CLBlastStatusCode call(oce_device *device, const oce_clblast_product *p, cl_event *event) {
    const CLBlastLayout layout = CLBlastLayoutRowMajor;
    const CLBlastTranspose a = p->transpose_a ? CLBlastTransposeYes : CLBlastTransposeNo;
    const CLBlastTranspose b = p->transpose_b ? CLBlastTransposeYes : CLBlastTransposeNo;
    const size_t m = (size_t)p->m, n = (size_t)p->n, k = (size_t)p->k;
    if (p->count == 1)
        return CLBlastSgemm(layout, a, b, m, n, k, 1.0F, p->a.buffer->memory, p->a.offset,
                            (size_t)p->a.row, p->b.buffer->memory, p->b.offset, (size_t)p->b.row,
                            0.0F, p->c.buffer->memory, p->c.offset, (size_t)p->c.row,
                            &device->queue, event);
    return CLBlastSgemmStridedBatched(layout, a, b, m, n, k, 1.0F, p->a.buffer->memory, p->a.offset,
                                      (size_t)p->a.row, (size_t)p->a.matrix, p->b.buffer->memory,
                                      p->b.offset, (size_t)p->b.row, (size_t)p->b.matrix, 0.0F,
                                      p->c.buffer->memory, p->c.offset, (size_t)p->c.row,
                                      (size_t)p->c.matrix, (size_t)p->count, &device->queue, event);
}

/* One call of CLBlast. */
static oce_status enqueue(oce_device *device, const oce_clblast_product *p) {
    if (p->m == 0 || p->n == 0 || p->count == 0) /* CLBlast refuses extents of 0 */
        return OCE_OK;
    OCE_REQUIRE(p->k > 0, OCE_ERROR_INVALID_ARGUMENT, "CLBlast computes no empty sums");
    const char *name = p->count == 1 ? "CLBlastSgemm" : "CLBlastSgemmStridedBatched";
    cl_event event = NULL;
    const CLBlastStatusCode code = call(device, p, device->profile.is_on ? &event : NULL);
    if (code != CLBlastSuccess)
        return oce_fail(status_of(code), "%s of %lld x %lld x %lld, %lld times, on \"%s\": %s (%d)",
                        name, (long long)p->m, (long long)p->n, (long long)p->k,
                        (long long)p->count, device->entry->info.name, clblast_error(code),
                        (int)code);
    if (event != NULL)
        OCE_TRY(
            oce_profile_add(device, event, oce_profile_entry_index(&device->profile, name, "")));
    return oce_fault_names_have(&device->fault.result, name)
               ? oce_fault_spoil(p->c.buffer, p->c.offset, false)
               : OCE_OK;
}

/* CLBlast 1.5's strided-batched routine reads from a buffer's start, whatever the offset, where
 * it needs no padded copy: seen with the tiles that it has for Intel's CPU runtime. */
static bool is_from_start(const oce_clblast_product *p) {
    return p->a.offset == 0 && p->b.offset == 0 && p->c.offset == 0;
}

oce_status oce_clblast_gemm(oce_device *device, const oce_clblast_product *batch) {
    if (batch->count == 1 || is_from_start(batch))
        return enqueue(device, batch);
    for (int64_t i = 0; i < batch->count; i++) { /* a call each */
        oce_clblast_product p = *batch;
        p.count = 1;
        p.a.offset += (uint64_t)(i * p.a.matrix);
        p.b.offset += (uint64_t)(i * p.b.matrix);
        p.c.offset += (uint64_t)(i * p.c.matrix);
        OCE_TRY(enqueue(device, &p));
    }
    return OCE_OK;
}

/* 2 times 3, once or twice: builds all kernels of the routine. */
static oce_status try_routine(oce_device *device, int count, oce_buffer *buffer) {
    float values[TRIAL_FLOATS] = {2, 2, [4] = 3, 3, [8] = NAN, NAN};
    const oce_clblast_product product = {.m = 1,
                                         .n = 1,
                                         .k = 1,
                                         .count = count,
                                         .a = {buffer, 0, 1, 1},
                                         .b = {buffer, 4, 1, 1},
                                         .c = {buffer, 8, 1, 1}};
    OCE_TRY(oce_buffer_write(buffer, 0, values, sizeof values));
    OCE_TRY(enqueue(device, &product));
    OCE_TRY(oce_buffer_read(buffer, 0, values, sizeof values));
    for (int i = 0; i < count; i++)
        OCE_REQUIRE(values[8 + i] == 6, OCE_ERROR_OPENCL, "CLBlast says that 2 * 3 is %g on \"%s\"",
                    (double)values[8 + i], device->entry->info.name);
    return OCE_OK;
}

static oce_status trial(oce_device *device, int count) {
    OCE_REQUIRE(!oce_fault_names_have(&device->fault.build, "CLBlast"), OCE_ERROR_BUILD,
                "building CLBlast's kernels on \"%s\": CL_BUILD_PROGRAM_FAILURE (-11)",
                device->entry->info.name);
    oce_buffer *buffer = NULL;
    OCE_TRY(oce_buffer_create_small(device, TRIAL_FLOATS * sizeof(float), &buffer));
    const oce_status status = try_routine(device, count, buffer);
    oce_buffer_destroy(buffer);
    return status;
}

oce_status oce_clblast_prepare(oce_device *device, bool batched) {
    oce_clblast_trial *tried = &device->clblast[batched];
    if (device->rehearsal.holds_builds)
        return OCE_OK; /* its kernels are in no cache that processes share */
    if (!tried->is_done) {
        tried->status = trial(device, batched ? 2 : 1);
        snprintf(tried->message, sizeof tried->message, "%s",
                 tried->status != OCE_OK ? oce_last_error() : "");
        tried->is_done = true;
    }
    return tried->status == OCE_OK ? OCE_OK : oce_fail(tried->status, "%s", tried->message);
}
