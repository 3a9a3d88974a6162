/* Operations on each element, and the search for numbers that are not finite. */
#include <ocelli/elementwise.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

static const char file[] = "elementwise.cl";

oce_status oce_relu_forward(oce_device *device, const oce_tensor *x, const oce_tensor *y) {
    const oce_operand operands[] = {{"relu: x", x}, {"relu: y", y}};
    oce_lines lines;
    OCE_TRY(oce_lines_of(operands, OCE_COUNT(operands), &lines));
    const oce_arg args[] = {OCE_LINES_ARGS(x, &lines, 0), OCE_LINES_ARGS(y, &lines, 1),
                            oce_arg_long(lines.length)};
    return oce_lines_launch(device, file, "relu", &lines, args, OCE_COUNT(args));
}

oce_status oce_relu_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *y,
                         const oce_tensor *dx) {
    const oce_operand operands[] = {
        {"relu gradient: dy", dy}, {"relu gradient: y", y}, {"relu gradient: dx", dx}};
    oce_lines lines;
    OCE_TRY(oce_lines_of(operands, OCE_COUNT(operands), &lines));
    const oce_arg args[] = {OCE_LINES_ARGS(dy, &lines, 0), OCE_LINES_ARGS(y, &lines, 1),
                            OCE_LINES_ARGS(dx, &lines, 2), oce_arg_long(lines.length)};
    return oce_lines_launch(device, file, "relu_grad", &lines, args, OCE_COUNT(args));
}

/* The lines of operands that must be dense. */
static oce_status dense_lines(const oce_operand *operands, int count, oce_lines *lines) {
    OCE_TRY(oce_lines_of(operands, count, lines));
    for (int i = 0; i < count; i++)
        OCE_TRY(oce_tensor_expect_dense(operands[i].tensor, operands[i].name,
                                        oce_tensor_count(operands[i].tensor)));
    return OCE_OK;
}

oce_status oce_add(oce_device *device, const oce_tensor *x, const oce_tensor *y) {
    const oce_operand operands[] = {{"add: x", x}, {"add: y", y}};
    oce_lines lines;
    OCE_TRY(dense_lines(operands, OCE_COUNT(operands), &lines));
    const oce_arg args[] = {OCE_LINES_ARGS(x, &lines, 0), OCE_LINES_ARGS(y, &lines, 1),
                            oce_arg_long(lines.length)};
    return oce_lines_launch(device, file, "add", &lines, args, OCE_COUNT(args));
}

oce_status oce_fill(oce_device *device, const oce_tensor *y, float value) {
    const oce_operand operands[] = {{"fill: y", y}};
    oce_lines lines;
    OCE_TRY(dense_lines(operands, OCE_COUNT(operands), &lines));
    const oce_arg args[] = {OCE_LINES_ARGS(y, &lines, 0), oce_arg_long(lines.length),
                            oce_arg_float(value)};
    return oce_lines_launch(device, file, "fill", &lines, args, OCE_COUNT(args));
}

oce_status oce_count_nonfinite(oce_device *device, const oce_tensor *x, oce_buffer *counts,
                               size_t slot) {
    const oce_operand operands[] = {{"count of non-finite numbers: x", x}};
    oce_lines lines;
    OCE_TRY(oce_lines_of(operands, OCE_COUNT(operands), &lines));
    OCE_TRY(oce_slot_expect(counts, "count of non-finite numbers: counts", slot, sizeof(uint32_t)));
    const oce_arg args[] = {OCE_LINES_ARGS(x, &lines, 0), oce_arg_long(lines.length),
                            oce_arg_part(counts, slot)};
    OCE_TRY(oce_buffer_clear(counts, slot * sizeof(uint32_t), sizeof(uint32_t)));
    return oce_lines_launch(device, file, "count_nonfinite", &lines, args, OCE_COUNT(args));
}
