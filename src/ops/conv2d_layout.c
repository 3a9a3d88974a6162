/* Copies of tensors with a border of zeros, and the workspace they lie in. */
#include "ops/conv2d_internal.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum {
    WORKSPACE_ALIGNMENT = 16, /* floats */
    COPY_FLOATS = 8192,       /* of an item, about */
    CLEARED_FLOATS = 1 << 15 /* of a row, in one launch: llvmpipe's loops end after 65,535 rounds */
};

static const char file[] = "conv2d_layout.cl";

size_t oce_conv2d_take(oce_conv2d_space *space, size_t count) {
    const size_t at = space->used;
    size_t rounded = 0;
    if (!oce_size_add(count, WORKSPACE_ALIGNMENT - 1, &rounded) ||
        !oce_size_add(at, rounded - rounded % WORKSPACE_ALIGNMENT, &space->used))
        space->overflow = true;
    return at;
}

size_t oce_conv2d_take_product(oce_conv2d_space *space, const int64_t *extents, int count) {
    size_t floats = 0;
    if (!oce_size_product(extents, count, &floats))
        space->overflow = true;
    return oce_conv2d_take(space, floats);
}

oce_status oce_conv2d_space_bytes(const oce_conv2d_space *space, size_t *bytes) {
    OCE_REQUIRE(!space->overflow && oce_size_mul(space->used, sizeof(float), bytes),
                OCE_ERROR_OVERFLOW, "conv2d: the size of the workspace cannot be represented");
    return OCE_OK;
}

oce_status oce_conv2d_layout_get(oce_device *device, unsigned wanted, oce_conv2d_layout *layout) {
    const struct {
        unsigned flag;
        const char *name;
        oce_kernel **kernel;
    } kernels[] = {{OCE_LAYOUT_PAD, "conv2d_pad", &layout->pad},
                   {OCE_LAYOUT_CLEAR, "conv2d_clear", &layout->clear},
                   {OCE_LAYOUT_PACK, "conv2d_pack", &layout->pack},
                   {OCE_LAYOUT_PREPARE_GRAD, "conv2d_prepare_grad", &layout->prepare_grad},
                   {OCE_LAYOUT_SUM, "conv2d_sum", &layout->sum},
                   {OCE_LAYOUT_SUM_FEW, "conv2d_sum_few", &layout->sum}};
    *layout = (oce_conv2d_layout){NULL, NULL, NULL, NULL, NULL};
    char names[128] = ""; /* in one program */
    for (int i = 0; i < OCE_COUNT(kernels); i++)
        if (wanted & kernels[i].flag)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", kernels[i].name);
    const char *rest = names;
    for (int i = 0; i < OCE_COUNT(kernels); i++)
        if (wanted & kernels[i].flag) {
            OCE_TRY(oce_kernel_get(device, file, rest, NULL, kernels[i].kernel));
            rest = strchr(rest, ' ') + 1;
        }
    oce_defines defines = {0};
    oce_define(&defines, "PACKS_ONLY", 1);
    if (wanted & OCE_LAYOUT_PACK_GRAD)
        OCE_TRY(
            oce_kernel_get(device, file, "conv2d_prepare_grad", &defines, &layout->prepare_grad));
    return OCE_OK;
}

static int64_t padded_rows(const int64_t dim[4], const oce_halo *reach) {
    return dim[1] + reach->top + reach->bottom;
}

static int64_t padded_columns(const int64_t dim[4], const oce_halo *reach) {
    return dim[2] + reach->left + reach->right;
}

size_t oce_conv2d_padded_count(const int64_t dim[4], const oce_halo *reach) {
    const int64_t padded[4] = {dim[0], padded_rows(dim, reach), padded_columns(dim, reach), dim[3]};
    size_t count = 0;
    return oce_size_product(padded, 4, &count) ? count : SIZE_MAX;
}

oce_status oce_conv2d_copy_of(const oce_tensor *source, const oce_halo *reach,
                              oce_buffer *workspace, size_t at, oce_tensor *padded,
                              oce_conv2d_copy *copy) {
    const int64_t *dim = source->dim;
    OCE_TRY(oce_tensor_view(workspace, at, dim, reach, padded));
    const int64_t rows = padded_rows(dim, reach), columns = padded_columns(dim, reach);
    const int64_t row = columns * dim[3], count = dim[0] * rows;
    const int64_t rows_per_item = row > 0 && row < COPY_FLOATS ? COPY_FLOATS / row : 1;
    const oce_arg args[OCE_CONV2D_COPY_ARGS] = {oce_arg_tensor(source),
                                                oce_arg_long(source->stride[0]),
                                                oce_arg_long(source->stride[1]),
                                                oce_arg_long(source->stride[2]),
                                                oce_arg_part(workspace, at),
                                                oce_arg_int(dim[1]),
                                                oce_arg_int(dim[2]),
                                                oce_arg_int(dim[3]),
                                                oce_arg_int(reach->top),
                                                oce_arg_int(reach->left),
                                                oce_arg_int(rows),
                                                oce_arg_int(columns),
                                                oce_arg_long(count),
                                                oce_arg_int(rows_per_item)};
    memcpy(copy->args, args, sizeof args);
    copy->items = oce_ceil_div(count, rows_per_item);
    return OCE_OK;
}

oce_status oce_conv2d_pad(const oce_conv2d_layout *layout, const oce_tensor *source,
                          const oce_halo *reach, oce_buffer *workspace, size_t at,
                          oce_tensor *padded) {
    oce_conv2d_copy copy;
    OCE_TRY(oce_conv2d_copy_of(source, reach, workspace, at, padded, &copy));
    return oce_launch(layout->pad, oce_range_items(copy.items), copy.args, OCE_CONV2D_COPY_ARGS);
}

oce_status oce_conv2d_clear(const oce_conv2d_layout *layout, const oce_tensor *tensor) {
    const int64_t count = tensor->dim[0] * tensor->dim[1], columns = tensor->dim[2];
    const int64_t most = oce_max_int64(CLEARED_FLOATS / oce_max_int64(tensor->dim[3], 1), 1);
    for (int64_t column = 0; column < columns; column += most) {
        const oce_arg args[] = {
            oce_arg_tensor_at(tensor, column * tensor->stride[2]),
            oce_arg_long(tensor->stride[0]),
            oce_arg_long(tensor->stride[1]),
            oce_arg_long(tensor->stride[2]),
            oce_arg_int(tensor->dim[1]),
            oce_arg_int(oce_min_int64(most, columns - column)),
            oce_arg_int(tensor->dim[3]),
            oce_arg_long(count),
        };
        OCE_TRY(oce_launch(layout->clear, oce_range_items(count), args, OCE_COUNT(args)));
    }
    return OCE_OK;
}
