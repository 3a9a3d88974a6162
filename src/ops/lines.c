#include "ops/lines.h"

#include "base/size.h"
#include "base/status.h"

enum { CPU_CHUNK = 4096 };
enum { GROUP_LOCAL_BYTES = 8192 };

static oce_status check(const oce_operand *operand, const int64_t dim[4]) {
    const oce_tensor *t = operand->tensor;
    OCE_TRY(oce_tensor_expect(t, operand->name, dim));
    OCE_REQUIRE(t->dim[2] <= 1 || t->stride[2] == t->dim[3], OCE_ERROR_SHAPE,
                "%s: pixels of %lld channels are %lld elements apart, which leaves gaps",
                operand->name, (long long)t->dim[3], (long long)t->stride[2]);
    return OCE_OK;
}

oce_status oce_lines_of(const oce_operand *operands, int count, oce_lines *lines) {
    static const int64_t none[4] = {0, 0, 0, 0};
    const oce_tensor *first = operands[0].tensor;
    bool all_dense = true;
    for (int i = 0; i < count; i++) {
        OCE_TRY(check(&operands[i], first != NULL ? first->dim : none));
        all_dense = all_dense && oce_tensor_is_dense(operands[i].tensor);
    }
    const int64_t *dim = first->dim;
    const int64_t elements = (int64_t)oce_tensor_count(first);
    *lines = all_dense ? (oce_lines){.outer = 1, .inner = 1, .length = elements}
                       : (oce_lines){.outer = dim[0], .inner = dim[1], .length = dim[2] * dim[3]};
    lines->is_aligned = true;
    for (int i = 0; i < count; i++) {
        const oce_tensor *t = operands[i].tensor;
        if (!all_dense) {
            lines->stride[i].outer = t->stride[0];
            lines->stride[i].inner = t->stride[1];
        }
        lines->is_aligned = lines->is_aligned && t->offset % 4 == 0 &&
                            lines->stride[i].outer % 4 == 0 && lines->stride[i].inner % 4 == 0;
    }
    return OCE_OK;
}

int64_t oce_lines_chunk(const oce_device *device) {
    return oce_device_limits(device)->is_cpu ? CPU_CHUNK : 4;
}

oce_status oce_lines_launch(oce_device *device, const char *file, const char *name,
                            const oce_lines *lines, const oce_arg *args, int count) {
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    const int64_t chunk = oce_lines_chunk(device);
    oce_defines defines = {0};
    oce_define(&defines, "CHUNK", chunk);
    if (!is_cpu && lines->is_aligned)
        oce_define(&defines, "OCE_ALIGNED", 1);
    if (!is_cpu && lines->has_aligned_bytes)
        oce_define(&defines, "BYTES_ALIGNED", 1);
    oce_kernel *kernel = NULL;
    OCE_TRY(oce_kernel_get(device, file, name, &defines, &kernel));
    oce_range range =
        oce_range_groups(oce_ceil_div(lines->length, chunk), lines->inner, lines->outer);
    if (!is_cpu)
        range.local[0] = 0;
    return oce_launch(kernel, range, args, count);
}

bool oce_reduces_in_groups(const oce_device *device) {
    const oce_limits *limits = oce_device_limits(device);
    return !limits->is_cpu && limits->local_bytes >= GROUP_LOCAL_BYTES;
}

int oce_channel_vector(const oce_device *device, int64_t channels) {
    int width = oce_device_limits(device)->vector_width;
    while (width > 1 && channels % width != 0)
        width /= 2;
    return width;
}

bool oce_tensor_is_aligned(const oce_tensor *tensor) {
    return tensor->offset % 4 == 0 && tensor->stride[0] % 4 == 0 && tensor->stride[1] % 4 == 0 &&
           tensor->stride[2] % 4 == 0;
}

oce_status oce_bytes_expect(const oce_buffer *buffer, const char *name, size_t first,
                            size_t count) {
    size_t bytes = 0;
    OCE_REQUIRE(oce_size_add(first, count, &bytes), OCE_ERROR_OVERFLOW,
                "%s: %zu bytes from byte %zu on cannot be represented", name, count, first);
    return oce_buffer_expect(buffer, name, bytes);
}

oce_status oce_slot_expect(const oce_buffer *buffer, const char *name, size_t slot, size_t bytes) {
    size_t first = 0;
    OCE_REQUIRE(oce_size_mul(slot, bytes, &first), OCE_ERROR_OVERFLOW,
                "%s: slot %zu of %zu bytes each cannot be represented", name, slot, bytes);
    return oce_bytes_expect(buffer, name, first, bytes);
}
