/* Bias gradient, alone or together with the ReLU's. */
#include <ocelli/elementwise.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

/* Partial sums a column, and rows that make one worth while. */
enum { MAX_PARTS = 512, MIN_ROWS = 128 };
/* Columns that an item sums side by side on a CPU, at most: a cache line or more, and what the
 * registers hold. */
enum { CPU_SIDE = 64, CPU_REGISTERS = 8 };
/* Items of a group of bias_grad_group.cl, and vectors of columns that it takes at most. */
enum { GROUP = 256, GROUP_COLUMNS = 16 };

static int64_t rows_of_part(int64_t rows) {
    const int64_t even = oce_ceil_div(rows, MAX_PARTS);
    return even > MIN_ROWS ? even : MIN_ROWS;
}

static int64_t parts_of(int64_t rows) {
    return oce_ceil_div(rows, rows_of_part(rows));
}

size_t oce_bias_grad_workspace(int64_t rows, int64_t columns) {
    if (rows <= MIN_ROWS || columns <= 0)
        return 0;
    return (size_t)parts_of(rows) * (size_t)columns * sizeof(float);
}

/* Without groups an item's loops go round for each row of a part, and twice for each line. */
static oce_status check_loops(const oce_device *device, int64_t rows, int64_t width) {
    const int64_t part = rows_of_part(rows), most = oce_device_limits(device)->loop_rounds;
    OCE_REQUIRE(width == 0 || part + 2 * (part / width) < most - 3, OCE_ERROR_UNSUPPORTED,
                "bias gradient: of %lld rows an item takes %lld, and the driver may break loops "
                "off after %lld rounds",
                (long long)rows, (long long)part, (long long)most);
    return OCE_OK;
}

/* A checked call. */
typedef struct problem {
    oce_lines lines;
    int y_at, dx_at; /* their places among the lines' operands; 0 if absent */
    int64_t rows, columns, parts;
    int vector;     /* VEC */
    bool in_groups; /* a work-group reduces a part: bias_grad_group.cl */
    int side;       /* without: SIDE, vectors that an item sums side by side */
    int side_group; /* with: COLUMNS, vectors that a group takes */
} problem;

static oce_status check(oce_device *device, const oce_tensor *dy, const oce_tensor *y,
                        const oce_tensor *dx, const oce_tensor *db, const oce_buffer *workspace,
                        problem *p) {
    oce_operand operands[OCE_LINES_MAX] = {{"bias gradient: dy", dy}};
    int count = 1;
    *p = (problem){0};
    if (y != NULL) {
        p->y_at = count;
        operands[count++] = (oce_operand){"bias gradient: y", y};
    }
    if (dx != NULL) {
        p->dx_at = count;
        operands[count++] = (oce_operand){"bias gradient: dx", dx};
    }
    OCE_TRY(oce_lines_of(operands, count, &p->lines));
    p->columns = dy->dim[3];
    OCE_TRY(oce_tensor_expect_dense(db, "bias gradient: db", (size_t)p->columns));
    OCE_REQUIRE(p->columns <= INT32_MAX, OCE_ERROR_OVERFLOW,
                "bias gradient: %lld columns are too many", (long long)p->columns);
    p->rows = dy->dim[0] * dy->dim[1] * dy->dim[2];
    p->parts = parts_of(p->rows);
    OCE_TRY(oce_buffer_expect(workspace, "bias gradient: workspace",
                              oce_bias_grad_workspace(p->rows, p->columns)));
    p->vector = oce_channel_vector(device, p->columns);
    p->side = 1;
    if (oce_device_limits(device)->is_cpu)
        while (p->side < CPU_REGISTERS && p->side * p->vector < CPU_SIDE &&
               p->columns % (2 * p->side * p->vector) == 0)
            p->side *= 2;
    p->in_groups = oce_reduces_in_groups(device) && p->rows <= UINT32_MAX;
    if (!p->in_groups)
        OCE_TRY(check_loops(device, p->rows, p->columns > 0 ? p->lines.length / p->columns : 0));
    p->side_group = 1;
    while (p->side_group < GROUP_COLUMNS && p->side_group * p->vector < p->columns)
        p->side_group *= 2;
    return OCE_OK;
}

/* *total if there is more than a part. */
static oce_status get_kernels(oce_device *device, const problem *p, bool relu, bool store,
                              bool is_aligned, oce_kernel **partial, oce_kernel **total) {
    oce_defines defines = {0};
    oce_define(&defines, "VEC", p->vector);
    if (!oce_device_limits(device)->is_cpu && p->vector == 4 && is_aligned)
        oce_define(&defines, "OCE_ALIGNED", 1);
    oce_define(&defines, "RELU", relu);
    oce_define(&defines, "STORE_DX", store);
    if (p->in_groups) {
        oce_define(&defines, "COLUMNS", p->side_group);
        oce_define(&defines, "DENSE", p->lines.outer <= 1 && p->lines.inner <= 1);
    } else {
        oce_define(&defines, "SIDE", p->side);
    }
    const char *file = p->in_groups ? "bias_grad_group.cl" : "bias_grad.cl";
    if (p->parts == 1)
        return oce_kernel_get(device, file, "bias_grad", &defines, partial);
    OCE_TRY(oce_kernel_get(device, file, "bias_grad bias_grad_total", &defines, partial));
    return oce_kernel_get(device, file, "bias_grad_total", &defines, total);
}

/* An argument that the kernel with groups takes in 32 bits. */
static oce_arg size_arg(const problem *p, int64_t value) {
    return p->in_groups ? oce_arg_int(value) : oce_arg_long(value);
}

oce_status oce_relu_bias_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *y,
                              const oce_tensor *dx, const oce_tensor *db, oce_buffer *workspace) {
    problem p;
    OCE_TRY(check(device, dy, y, dx, db, workspace, &p));
    if (p.rows == 0 || p.columns == 0)
        return oce_fill(device, db, 0);
    /* Storing dy over itself would change nothing. */
    const bool store =
        dx != NULL && (y != NULL || dx->buffer != dy->buffer || dx->offset != dy->offset);
    const bool is_aligned = p.lines.is_aligned && db->offset % 4 == 0;
    oce_kernel *partial = NULL, *total = NULL;
    OCE_TRY(get_kernels(device, &p, y != NULL, store, is_aligned, &partial, &total));
    const oce_arg sums = p.parts > 1 ? oce_arg_part(workspace, 0) : oce_arg_tensor(db);
    const oce_arg args[] = {OCE_LINES_ARGS(dy, &p.lines, 0),
                            OCE_LINES_ARGS(y, &p.lines, p.y_at),
                            OCE_LINES_ARGS(store ? dx : NULL, &p.lines, p.dx_at),
                            sums,
                            size_arg(&p, p.lines.length / p.columns),
                            size_arg(&p, p.lines.inner),
                            size_arg(&p, p.rows),
                            size_arg(&p, rows_of_part(p.rows)),
                            oce_arg_int(p.parts),
                            oce_arg_int(p.columns)};
    const int64_t vectors = p.columns / p.vector;
    const int64_t blocks = oce_ceil_div(vectors, p.side_group);
    const int64_t items = p.parts * (p.in_groups ? blocks * GROUP : vectors / p.side);
    OCE_TRY(oce_launch(partial, oce_range_items(items), args, OCE_COUNT(args)));
    if (p.parts == 1)
        return OCE_OK;
    const oce_arg total_args[] = {oce_arg_part(workspace, 0), oce_arg_tensor(db),
                                  oce_arg_int(p.parts), oce_arg_int(p.columns)};
    return oce_launch(total, oce_range_items(p.in_groups ? blocks * GROUP : vectors), total_args,
                      OCE_COUNT(total_args));
}

oce_status oce_bias_grad(oce_device *device, const oce_tensor *dy, const oce_tensor *db,
                         oce_buffer *workspace) {
    return oce_relu_bias_grad(device, dy, NULL, NULL, db, workspace);
}
