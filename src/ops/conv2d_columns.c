#include "ops/conv2d_columns.h"

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

static const char file[] = "conv2d_im2col.cl";

enum { CPU_CHUNK = 8192 /* floats that an item copies, about */ };

/* Builds `name` for rows of `channels`. GPUs load whole vectors only from aligned addresses. */
static oce_status get_pair(oce_device *device, const char *name, int64_t channels,
                           oce_columns_pair *pair) {
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    const int vector = oce_channel_vector(device, channels);
    const bool two = !is_cpu && vector == 4;
    oce_defines defines = {0};
    pair->plain_vector = two ? 1 : vector;
    oce_define(&defines, "VEC", pair->plain_vector);
    OCE_TRY(oce_kernel_get(device, file, name, &defines, &pair->plain));
    pair->aligned = pair->plain;
    pair->aligned_vector = pair->plain_vector;
    if (!two)
        return OCE_OK;
    defines = (oce_defines){0};
    pair->aligned_vector = vector;
    oce_define(&defines, "VEC", vector);
    oce_define(&defines, "OCE_ALIGNED", 1);
    return oce_kernel_get(device, file, name, &defines, &pair->aligned);
}

oce_status oce_columns_kernels_get(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   oce_columns_kernels *kernels) {
    const bool forward = pass == OCE_PASS_FORWARD, input_grad = pass == OCE_PASS_INPUT_GRAD;
    kernels->is_cpu = oce_device_limits(device)->is_cpu;
    OCE_TRY(get_pair(device, input_grad ? "im2col_fold" : "im2col_gather", shape->channels,
                     &kernels->columns));
    OCE_TRY(get_pair(device, forward ? "im2col_spread" : "im2col_gather", shape->filters,
                     &kernels->dense));
    return pass == OCE_PASS_FILTER_GRAD
               ? oce_kernel_get(device, file, "im2col_add", NULL, &kernels->add)
               : OCE_OK;
}

#define WINDOW(g)                                                                                  \
    oce_arg_int((g)->size[0]), oce_arg_int((g)->size[1]), oce_arg_int((g)->stride[0]),             \
        oce_arg_int((g)->stride[1]), oce_arg_int((g)->dilation[0]), oce_arg_int((g)->dilation[1]), \
        oce_arg_int((g)->before[0]), oce_arg_int((g)->before[1])

typedef struct one_kernel {
    oce_kernel *kernel;
    int64_t pieces; /* vectors of a row of channels */
} one_kernel;

static one_kernel kernel_for(const oce_columns_pair *pair, const oce_tensor *tensor) {
    const int64_t channels = tensor->dim[3];
    if (oce_tensor_is_aligned(tensor))
        return (one_kernel){pair->aligned, channels / pair->aligned_vector};
    return (one_kernel){pair->plain, channels / pair->plain_vector};
}

/* Pixels that an item copies: one vector of one on a GPU. */
static int64_t chunk_of(const oce_columns_kernels *kernels, int64_t channels) {
    return kernels->is_cpu ? oce_max_int64(CPU_CHUNK / channels, 1) : 1;
}

oce_status oce_columns_gather(const oce_columns_kernels *kernels, const oce_columns_pair *pair,
                              const oce_tensor *x, const oce_window_geometry *g, oce_buffer *target,
                              size_t at, int64_t first, int64_t count) {
    const one_kernel k = kernel_for(pair, x);
    const int64_t chunk = chunk_of(kernels, x->dim[3]), taps = g->size[0] * g->size[1];
    const oce_range range = kernels->is_cpu ? oce_range_groups(oce_ceil_div(count, chunk), taps, 1)
                                            : oce_range_items(count * taps * k.pieces);
    const oce_arg args[] = {oce_arg_tensor(x),         OCE_STRIDE_ARGS(x),
                            oce_arg_part(target, at),  WINDOW(g),
                            oce_arg_int(g->input[0]),  oce_arg_int(g->input[1]),
                            oce_arg_int(x->dim[3]),    oce_arg_int(g->output[0]),
                            oce_arg_int(g->output[1]), oce_arg_long(first),
                            oce_arg_int(count),        oce_arg_int(chunk)};
    return oce_launch(k.kernel, range, args, OCE_COUNT(args));
}

oce_status oce_columns_spread(const oce_columns_kernels *kernels, const oce_buffer *source,
                              size_t at, const oce_tensor *y, int64_t first, int64_t count) {
    const one_kernel k = kernel_for(&kernels->dense, y);
    const int64_t chunk = chunk_of(kernels, y->dim[3]);
    const oce_range range = kernels->is_cpu ? oce_range_groups(oce_ceil_div(count, chunk), 1, 1)
                                            : oce_range_items(count * k.pieces);
    const oce_arg args[] = {
        oce_arg_part(source, at), oce_arg_tensor(y),      OCE_STRIDE_ARGS(y),
        oce_arg_int(y->dim[1]),   oce_arg_int(y->dim[2]), oce_arg_int(y->dim[3]),
        oce_arg_long(first),      oce_arg_int(count),     oce_arg_int(chunk)};
    return oce_launch(k.kernel, range, args, OCE_COUNT(args));
}

oce_status oce_columns_fold(const oce_columns_kernels *kernels, const oce_buffer *source, size_t at,
                            const oce_window_geometry *g, const oce_tensor *dx,
                            const oce_columns_band *band) {
    const one_kernel k = kernel_for(&kernels->columns, dx);
    const int64_t taps = g->size[0] * g->size[1];
    const int64_t chunk = kernels->is_cpu ? oce_max_int64(CPU_CHUNK / taps, 1) : 1;
    const oce_range range = {{(size_t)(oce_ceil_div(dx->dim[2], chunk) * k.pieces),
                              (size_t)band->rows, (size_t)band->images},
                             {0, 1, 1}};
    const oce_arg args[] = {
        oce_arg_part(source, at),  oce_arg_tensor_at(dx, band->image * dx->stride[0]),
        OCE_STRIDE_ARGS(dx),       WINDOW(g),
        oce_arg_int(dx->dim[2]),   oce_arg_int(dx->dim[3]),
        oce_arg_int(g->output[1]), oce_arg_int(band->row),
        oce_arg_int(band->y_row),  oce_arg_int(band->y_rows),
        oce_arg_int(chunk)};
    return oce_launch(k.kernel, range, args, OCE_COUNT(args));
}

oce_status oce_columns_add(const oce_columns_kernels *kernels, const oce_buffer *source, size_t at,
                           const oce_tensor *sum, int64_t count) {
    const int64_t chunk = kernels->is_cpu ? CPU_CHUNK : 1;
    const oce_arg args[] = {oce_arg_part(source, at), oce_arg_tensor(sum), oce_arg_int(count),
                            oce_arg_int(chunk)};
    return oce_launch(kernels->add, oce_range_items(oce_ceil_div(count, chunk)), args,
                      OCE_COUNT(args));
}
