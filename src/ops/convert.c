/* Bytes of a data set to the network's input, with augmentation on the way if wanted. */
#include <ocelli/elementwise.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

enum { CPU_PIXELS = 1024, MAX_SHIFT = 32767 };

static oce_status augment(oce_device *device, const oce_augment *a, const oce_arg *source,
                          float scale, const oce_tensor *y) {
    OCE_REQUIRE(a->max_shift >= 0 && a->max_shift <= MAX_SHIFT, OCE_ERROR_INVALID_ARGUMENT,
                "augmentation: a shift of up to %d pixels; it must be 0 to %d", (int)a->max_shift,
                MAX_SHIFT);
    const int64_t height = y->dim[1], width = y->dim[2], channels = y->dim[3];
    const int64_t limit = INT32_MAX / 2;
    OCE_REQUIRE(height <= limit && width <= limit && channels <= limit && width * channels <= limit,
                OCE_ERROR_OVERFLOW, "augmentation: images of %lld x %lld x %lld are too large",
                (long long)height, (long long)width, (long long)channels);
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    const int64_t chunk = is_cpu ? CPU_PIXELS : 1;
    oce_defines defines = {0};
    oce_define(&defines, "CHUNK", chunk);
    oce_kernel *kernel = NULL;
    OCE_TRY(oce_kernel_get(device, "random.cl", "convert_augmented", &defines, &kernel));
    const oce_arg args[] = {*source,
                            oce_arg_tensor(y),
                            oce_arg_long(y->stride[0]),
                            oce_arg_long(y->stride[1]),
                            oce_arg_int(height),
                            oce_arg_int(width),
                            oce_arg_int(channels),
                            oce_arg_float(scale),
                            OCE_SEED_ARGS(a->seed),
                            oce_arg_int(a->step),
                            oce_arg_int(a->first_image),
                            oce_arg_int(a->max_shift),
                            oce_arg_int(a->flip)};
    oce_range range = oce_range_groups(oce_ceil_div(width, chunk), height, y->dim[0]);
    if (!is_cpu)
        range.local[0] = 0;
    return oce_launch(kernel, range, args, OCE_COUNT(args));
}

oce_status oce_convert_bytes(oce_device *device, const oce_buffer *bytes, size_t first, float scale,
                             const oce_augment *description, const oce_tensor *y) {
    const oce_operand operands[] = {{"image conversion: y", y}};
    oce_lines lines;
    OCE_TRY(oce_lines_of(operands, OCE_COUNT(operands), &lines));
    OCE_TRY(oce_bytes_expect(bytes, "image conversion: bytes", first, oce_tensor_count(y)));
    const oce_arg source = oce_arg_part(bytes, first);
    if (description != NULL)
        return augment(device, description, &source, scale, y);
    const oce_arg args[] = {source, OCE_LINES_ARGS(y, &lines, 0), oce_arg_long(lines.length),
                            oce_arg_float(scale)};
    return oce_lines_launch(device, "elementwise.cl", "convert_bytes", &lines, args,
                            OCE_COUNT(args));
}
