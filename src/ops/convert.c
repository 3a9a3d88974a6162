/* Bytes of a data set to the network's input, with augmentation on the way if wanted. */
#include <ocelli/elementwise.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

enum { CPU_PIXELS = 1024, MAX_SHIFT = 32767 };

/* True if every row of the images starts at a multiple of 4 elements. */
static bool has_aligned_rows(const oce_tensor *y) {
    return y->offset % 4 == 0 && y->stride[0] % 4 == 0 && y->stride[1] % 4 == 0;
}

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
    const oce_limits *limits = oce_device_limits(device);
    const bool is_cpu = limits->is_cpu;
    OCE_REQUIRE(!is_cpu || channels + 2 <= limits->loop_rounds, OCE_ERROR_UNSUPPORTED,
                "augmentation: a pixel has %lld channels, and the driver may break loops off after "
                "%lld rounds",
                (long long)channels, (long long)limits->loop_rounds);
    const int64_t pixels = oce_min_int64(CPU_PIXELS, limits->loop_rounds / (channels + 2));
    oce_defines defines = {0};
    oce_define(&defines, "CHUNK", is_cpu ? pixels : 1);
    if (!is_cpu && has_aligned_rows(y))
        oce_define(&defines, "OCE_ALIGNED", 1);
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
    const int64_t items = is_cpu ? oce_ceil_div(width, pixels) : oce_ceil_div(width * channels, 4);
    oce_range range = oce_range_groups(items, height, y->dim[0]);
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
    const bool is_one_line = lines.outer <= 1 && lines.inner <= 1;
    lines.has_aligned_bytes = first % 4 == 0 && (is_one_line || lines.length % 4 == 0);
    const oce_arg args[] = {source, OCE_LINES_ARGS(y, &lines, 0), oce_arg_long(lines.length),
                            oce_arg_float(scale)};
    return oce_lines_launch(device, "elementwise.cl", "convert_bytes", &lines, args,
                            OCE_COUNT(args));
}
