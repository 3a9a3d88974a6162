/* Softmax, cross entropy, class predictions. */
#include <ocelli/softmax.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

enum { CPU_VALUES = 4096 /* logits of a work-item */ };
enum { GROUP = 256 /* PARTS in the kernel */ };
/* Logits of a launch with class numbers, which is one work-item on a CPU: llvmpipe ends an item's
 * loops, without a word, after 65535 rounds. */
enum { CPU_SLICE = 8192 };

/* Checked logits. */
typedef struct matrix {
    int64_t rows, classes;
    int64_t item_rows; /* rows of a work-item */
    int64_t dim[4];
} matrix;

static oce_status check_logits(const oce_device *device, const char *name, const oce_tensor *logits,
                               matrix *m) {
    OCE_REQUIRE(logits != NULL, OCE_ERROR_INVALID_ARGUMENT, "%s: no logits were given", name);
    const int64_t *dim = logits->dim;
    *m = (matrix){.rows = dim[0], .classes = dim[3], .dim = {dim[0], 1, 1, dim[3]}};
    OCE_TRY(oce_tensor_expect(logits, name, m->dim));
    OCE_TRY(oce_tensor_expect_dense(logits, name, oce_tensor_count(logits)));
    OCE_REQUIRE(m->classes >= 1 && m->classes <= INT32_MAX, OCE_ERROR_INVALID_ARGUMENT,
                "%s: %lld classes; there must be 1 to %d", name, (long long)m->classes, INT32_MAX);
    m->item_rows = 1;
    if (oce_device_limits(device)->is_cpu)
        m->item_rows = oce_ceil_div(CPU_VALUES, m->classes);
    return OCE_OK;
}

/* Fails unless the tensor, which may be absent, has the shape of the logits and is dense. */
static oce_status check_like(const matrix *m, const char *name, const oce_tensor *tensor) {
    if (tensor == NULL)
        return OCE_OK;
    OCE_TRY(oce_tensor_expect(tensor, name, m->dim));
    return oce_tensor_expect_dense(tensor, name, oce_tensor_count(tensor));
}

static oce_status check_predictions(const matrix *m, const oce_buffer *predictions) {
    size_t bytes = 0;
    OCE_REQUIRE(oce_size_mul((size_t)m->rows, sizeof(int32_t), &bytes), OCE_ERROR_OVERFLOW,
                "predictions of %lld rows cannot be represented", (long long)m->rows);
    return oce_buffer_expect(predictions, "predictions", bytes);
}

static oce_status get_kernel(oce_device *device, const char *name, const matrix *m,
                             oce_kernel **kernel) {
    /* On a GPU neighbouring items read neighbouring rows: vectors would gain little. */
    const int vector =
        oce_device_limits(device)->is_cpu ? oce_channel_vector(device, m->classes) : 1;
    oce_defines defines = {0};
    oce_define(&defines, "VEC", vector);
    return oce_kernel_get(device, "softmax.cl", name, &defines, kernel);
}

static oce_range row_range(const matrix *m) {
    return oce_range_items(oce_ceil_div(m->rows, m->item_rows));
}

oce_status oce_softmax(oce_device *device, const oce_tensor *logits,
                       const oce_tensor *probabilities) {
    matrix m;
    oce_kernel *kernel = NULL;
    OCE_TRY(check_logits(device, "softmax: logits", logits, &m));
    OCE_TRY(oce_tensor_expect(probabilities, "softmax: probabilities", m.dim));
    OCE_TRY(check_like(&m, "softmax: probabilities", probabilities));
    OCE_TRY(get_kernel(device, "softmax", &m, &kernel));
    const oce_arg args[] = {oce_arg_tensor(logits), oce_arg_tensor(probabilities),
                            oce_arg_long(m.rows), oce_arg_int(m.classes),
                            oce_arg_long(m.item_rows)};
    return oce_launch(kernel, row_range(&m), args, OCE_COUNT(args));
}

oce_status oce_softmax_xent(oce_device *device, const oce_tensor *logits, const oce_tensor *labels,
                            float upstream, const oce_tensor *losses, const oce_tensor *dlogits) {
    matrix m;
    oce_kernel *kernel = NULL;
    OCE_TRY(check_logits(device, "cross entropy: logits", logits, &m));
    OCE_TRY(oce_tensor_expect(labels, "cross entropy: labels", m.dim));
    OCE_TRY(check_like(&m, "cross entropy: labels", labels));
    OCE_TRY(check_like(&m, "cross entropy: dlogits", dlogits));
    OCE_TRY(oce_tensor_expect_dense(losses, "cross entropy: losses", (size_t)m.rows));
    OCE_TRY(get_kernel(device, "softmax_xent", &m, &kernel));
    const oce_arg args[] = {oce_arg_tensor(logits),    oce_arg_tensor(labels),
                            oce_arg_tensor(losses),    oce_arg_tensor(dlogits),
                            oce_arg_long(m.rows),      oce_arg_int(m.classes),
                            oce_arg_long(m.item_rows), oce_arg_float(upstream)};
    return oce_launch(kernel, row_range(&m), args, OCE_COUNT(args));
}

oce_status oce_softmax_xent_classes(oce_device *device, const oce_tensor *logits,
                                    const oce_buffer *labels, size_t first, float upstream,
                                    oce_buffer *sums, size_t slot, const oce_tensor *dlogits,
                                    oce_buffer *predictions) {
    matrix m;
    oce_kernel *kernel = NULL;
    OCE_TRY(check_logits(device, "cross entropy: logits", logits, &m));
    OCE_TRY(oce_bytes_expect(labels, "cross entropy: labels", first, (size_t)m.rows));
    OCE_TRY(oce_slot_expect(sums, "cross entropy: sums", slot, sizeof(oce_xent_sums)));
    OCE_TRY(check_like(&m, "cross entropy: dlogits", dlogits));
    if (predictions != NULL)
        OCE_TRY(check_predictions(&m, predictions));
    OCE_TRY(get_kernel(device, "softmax_xent_classes", &m, &kernel));
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    int64_t slice = m.rows;
    if (is_cpu)
        slice = CPU_SLICE / m.classes > 0 ? CPU_SLICE / m.classes : 1;
    int64_t row = 0;
    do { /* once also for no rows, whose sums are 0 */
        const int64_t end = m.rows - row < slice ? m.rows : row + slice;
        const oce_arg args[] = {
            oce_arg_tensor(logits),  oce_arg_part(labels, first), oce_arg_part(sums, slot),
            oce_arg_tensor(dlogits), oce_arg_buffer(predictions), oce_arg_long(row),
            oce_arg_long(end),       oce_arg_int(m.classes),      oce_arg_float(upstream)};
        OCE_TRY(oce_launch(kernel, oce_range_items(is_cpu ? 1 : GROUP), args, OCE_COUNT(args)));
        row = end;
    } while (row < m.rows);
    return OCE_OK;
}

oce_status oce_argmax(oce_device *device, const oce_tensor *logits, oce_buffer *predictions) {
    matrix m;
    oce_kernel *kernel = NULL;
    OCE_TRY(check_logits(device, "argmax: logits", logits, &m));
    OCE_TRY(check_predictions(&m, predictions));
    OCE_TRY(get_kernel(device, "argmax", &m, &kernel));
    const oce_arg args[] = {oce_arg_tensor(logits), oce_arg_buffer(predictions),
                            oce_arg_long(m.rows), oce_arg_int(m.classes),
                            oce_arg_long(m.item_rows)};
    return oce_launch(kernel, row_range(&m), args, OCE_COUNT(args));
}
