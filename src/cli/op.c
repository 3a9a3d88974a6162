/* Arrays of `ocelli op` on the device. */
#include "cli/op.h"

#include "cli/options.h"

#include <string.h>

/* The tensor's extents: the array's, behind ones. A vector [n] is {1,1,1,n}, a matrix {rows,1,1,n}.
 */
static void tensor_extents(int rank, const int64_t *shape, int64_t dim[4]) {
    for (int i = 0; i < 4; i++)
        dim[i] = 1;
    if (rank == 2) {
        dim[0] = shape[0];
        dim[3] = shape[1];
        return;
    }
    for (int i = 0; i < rank; i++)
        dim[4 - rank + i] = shape[i];
}

static oce_status make(oce_device *device, int rank, const int64_t *shape, op_operand *operand) {
    int64_t dim[4];
    operand->rank = rank;
    if (rank > 0)
        memcpy(operand->shape, shape, (size_t)rank * sizeof *shape);
    tensor_extents(rank, shape, dim);
    return oce_tensor_create(device, dim, NULL, &operand->tensor);
}

int op_upload(oce_device *device, const char *name, const oce_array *array, op_operand *operand) {
    char shape[96];
    if (array->dtype != OCE_DTYPE_FLOAT32)
        return cli_error("%s holds %s; operations take float32", name,
                         oce_dtype_name(array->dtype));
    if (array->rank > OP_MAX_RANK)
        return cli_error("%s has the shape %s: at most %d extents can be used", name,
                         oce_shape_text(array->rank, array->shape, shape, sizeof shape),
                         (int)OP_MAX_RANK);
    if (make(device, array->rank, array->shape, operand) != OCE_OK)
        return cli_failure();
    if (oce_tensor_count(&operand->tensor) > 0 &&
        oce_tensor_write(&operand->tensor, array->data) != OCE_OK)
        return cli_failure();
    return CLI_SUCCESS;
}

void op_release(op_run *run) {
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        oce_tensor_release(&run->inputs[i].tensor);
    oce_tensor_release(&run->output.tensor);
    oce_buffer_destroy(run->workspace);
    oce_buffer_destroy(run->winners);
    oce_conv2d_plan_destroy(run->conv);
    oce_gemm_plan_destroy(run->gemm);
    oce_pool_plan_destroy(run->pool);
    *run = (op_run){0};
}

oce_status op_make_output(op_run *run, int rank, const int64_t *shape) {
    return make(run->device, rank, shape, &run->output);
}
