/* GEMM by CLBlast, on the device's own queue. */
#include "device/internal.h"

#include <clblast_c.h>

oce_status oce_clblast_gemm(oce_device *device, int64_t m, int64_t n, int64_t k, bool transpose_a,
                            bool transpose_b, const oce_tensor *a, const oce_tensor *b,
                            const oce_tensor *c) {
    if (m == 0 || n == 0)
        return OCE_OK;
    cl_event event = NULL;
    const size_t rows = (size_t)m, columns = (size_t)n, depth = (size_t)k;
    const CLBlastStatusCode code = CLBlastSgemm(
        CLBlastLayoutRowMajor, transpose_a ? CLBlastTransposeYes : CLBlastTransposeNo,
        transpose_b ? CLBlastTransposeYes : CLBlastTransposeNo, rows, columns, depth, 1.0F,
        a->buffer->memory, a->offset, transpose_a ? rows : depth, b->buffer->memory, b->offset,
        transpose_b ? depth : columns, 0.0F, c->buffer->memory, c->offset, columns, &device->queue,
        device->profile.is_on ? &event : NULL);
    OCE_REQUIRE(code == CLBlastSuccess, OCE_ERROR_OPENCL,
                "CLBlast's GEMM of %lld x %lld x %lld on \"%s\" failed with status %d",
                (long long)m, (long long)n, (long long)k, device->entry->info.name, (int)code);
    if (event != NULL)
        return oce_profile_add(device, event,
                               oce_profile_entry_index(&device->profile, "CLBlastSgemm", ""));
    return OCE_OK;
}
