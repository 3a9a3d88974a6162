/* Arrays of `ocelli op` on the device. */
#include "cli/op.h"

#include "cli/options.h"
#include "cli/statistics.h"

#include <math.h>
#include <stdlib.h>
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

/* An element as the nearest float. A double would round integers of 64 bits before. */
static float nearest_float(const oce_array *array, size_t index) {
    int64_t integer;
    uint64_t natural;
    if (array->dtype == OCE_DTYPE_INT64) {
        memcpy(&integer, (const char *)array->data + index * sizeof integer, sizeof integer);
        return (float)integer;
    }
    if (array->dtype == OCE_DTYPE_UINT64) {
        memcpy(&natural, (const char *)array->data + index * sizeof natural, sizeof natural);
        return (float)natural;
    }
    return (float)cli_element(array->dtype, array->data, index);
}

/* Writes an array of another type than float32. */
static int write_converted(const char *path, const oce_array *array, const oce_tensor *tensor) {
    const size_t count = oce_tensor_count(tensor);
    float *values = malloc(count * sizeof *values);
    if (values == NULL)
        return cli_error("%s: no memory for %zu floats", path, count);
    int code = CLI_SUCCESS;
    for (size_t i = 0; i < count && code == CLI_SUCCESS; i++) {
        values[i] = nearest_float(array, i);
        const double given = cli_element(array->dtype, array->data, i);
        if (isinf(values[i]) && isfinite(given))
            code = cli_error("%s: element %zu of its %s is %g, which float32 cannot hold", path, i,
                             oce_dtype_name(array->dtype), given);
    }
    if (code == CLI_SUCCESS && oce_tensor_write(tensor, values) != OCE_OK)
        code = cli_failure();
    free(values);
    return code;
}

int op_upload(oce_device *device, const char *path, const oce_array *array, op_operand *operand) {
    char shape[96];
    if (!cli_is_real(array->dtype))
        return cli_error("%s holds %s; operations take real numbers", path,
                         oce_dtype_name(array->dtype));
    if (array->rank > OP_MAX_RANK)
        return cli_error("%s has the shape %s: at most %d extents can be used", path,
                         oce_shape_text(array->rank, array->shape, shape, sizeof shape),
                         (int)OP_MAX_RANK);
    if (make(device, array->rank, array->shape, operand) != OCE_OK)
        return cli_failure();
    operand->path = path;
    if (oce_tensor_count(&operand->tensor) == 0)
        return CLI_SUCCESS;
    if (array->dtype != OCE_DTYPE_FLOAT32)
        return write_converted(path, array, &operand->tensor);
    return oce_tensor_write(&operand->tensor, array->data) == OCE_OK ? CLI_SUCCESS : cli_failure();
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
