/* Softmax, cross entropy, class predictions. */
#include <ocelli/softmax.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/lines.h"

enum { CPU_VALUES = 4096 /* logits of a work-item */ };
/* Logits of a launch of softmax.cl with class numbers, which is one work-item: llvmpipe ends an
 * item's loops, without a word, after 65535 rounds. */
enum { CPU_SLICE = 8192 };
/* With SHORT_LOOPS: VEC, and passes over a row, at most. */
enum { WIDE_VECTOR = 16, PASSES = 4 };
enum { GROUP = 256 /* items of a group of softmax_group.cl */ };

/* Checked logits. */
typedef struct matrix {
    int64_t rows, classes;
    int64_t item_rows; /* rows of a work-item of softmax.cl */
    int64_t team;      /* items of a row in softmax_group.cl; depends on the classes alone */
    int64_t groups;    /* groups that the rows need there */
    int64_t dim[4];
} matrix;

static int64_t team_of(int64_t classes) {
    return classes <= 32 ? 1 : classes <= 512 ? 16 : 64;
}

static int64_t groups_of(int64_t rows, int64_t classes) {
    return oce_ceil_div(rows, GROUP / team_of(classes));
}

size_t oce_softmax_xent_workspace(int64_t rows, int64_t classes) {
    if (rows <= 0 || classes <= 0 || groups_of(rows, classes) == 1)
        return 0;
    return (size_t)groups_of(rows, classes) * sizeof(oce_xent_sums);
}

static oce_status check_logits(const oce_device *device, const char *name, const oce_tensor *logits,
                               matrix *m) {
    OCE_REQUIRE(logits != NULL, OCE_ERROR_INVALID_ARGUMENT, "%s: no logits were given", name);
    const int64_t *dim = logits->dim;
    *m = (matrix){.rows = dim[0], .classes = dim[3], .dim = {dim[0], 1, 1, dim[3]}};
    OCE_TRY(oce_tensor_expect(logits, name, m->dim));
    OCE_TRY(oce_tensor_expect_dense(logits, name, oce_tensor_count(logits)));
    OCE_REQUIRE(m->classes >= 1 && m->classes <= INT32_MAX, OCE_ERROR_INVALID_ARGUMENT,
                "%s: %lld classes; there must be 1 to %d", name, (long long)m->classes, INT32_MAX);
    m->item_rows = oce_device_limits(device)->is_cpu ? oce_ceil_div(CPU_VALUES, m->classes) : 1;
    m->team = team_of(m->classes);
    m->groups = groups_of(m->rows, m->classes);
    OCE_REQUIRE(!oce_reduces_in_groups(device) || m->groups <= INT32_MAX, OCE_ERROR_OVERFLOW,
                "%s: %lld rows are too many", name, (long long)m->rows);
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
    oce_defines defines = {0};
    if (oce_reduces_in_groups(device)) {
        oce_define(&defines, "TEAM", m->team);
        return oce_kernel_get(device, "softmax_group.cl", name, &defines, kernel);
    }
    const int64_t most = oce_device_limits(device)->loop_rounds;
    const int vector = oce_channel_vector(device, m->classes);
    /* three passes in vectors and one, for the largest, by numbers */
    const bool is_long = 3 * (m->classes / vector) + m->classes > most;
    const int64_t rounds = PASSES * oce_ceil_div(m->classes, WIDE_VECTOR);
    OCE_REQUIRE(!is_long || rounds <= most, OCE_ERROR_UNSUPPORTED,
                "%s: %lld classes take %lld rounds of a loop, and the driver may break loops off "
                "after %lld",
                name, (long long)m->classes, (long long)rounds, (long long)most);
    oce_define(&defines, "VEC", is_long ? WIDE_VECTOR : vector);
    if (is_long)
        oce_define(&defines, "SHORT_LOOPS", 1);
    return oce_kernel_get(device, "softmax.cl", name, &defines, kernel);
}

/* Launches a kernel over all rows, whose last argument in softmax.cl is the rows of an item. */
static oce_status launch_rows(oce_device *device, oce_kernel *kernel, const matrix *m,
                              const oce_arg *args, int count) {
    if (oce_reduces_in_groups(device))
        return oce_launch(kernel, oce_range_items(m->groups * GROUP), args, count - 1);
    return oce_launch(kernel, oce_range_items(oce_ceil_div(m->rows, m->item_rows)), args, count);
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
    return launch_rows(device, kernel, &m, args, OCE_COUNT(args));
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
    const oce_arg args[] = {oce_arg_tensor(logits),  oce_arg_tensor(labels),
                            oce_arg_tensor(losses),  oce_arg_tensor(dlogits),
                            oce_arg_long(m.rows),    oce_arg_int(m.classes),
                            oce_arg_float(upstream), oce_arg_long(m.item_rows)};
    return launch_rows(device, kernel, &m, args, OCE_COUNT(args));
}

/* A checked call of oce_softmax_xent_classes(). */
typedef struct class_call {
    matrix m;
    const oce_tensor *logits, *dlogits;
    oce_arg labels, predictions;
    oce_buffer *sums, *workspace;
    size_t slot;
    float upstream;
} class_call;

/* One work-item adds up all rows, in slices; a later slice adds to what the earlier gave. */
static oce_status run_in_one_item(oce_device *device, const class_call *c) {
    oce_kernel *kernel = NULL;
    OCE_TRY(get_kernel(device, "softmax_xent_classes", &c->m, &kernel));
    int64_t slice = CPU_SLICE / c->m.classes;
    /* With so few classes it is the loops' ends that count. */
    slice = oce_min_int64(slice, oce_device_limits(device)->loop_rounds / 16);
    slice = oce_max_int64(slice, 1);
    int64_t row = 0;
    do { /* once also for no rows, whose sums are 0 */
        const int64_t end = c->m.rows - row < slice ? c->m.rows : row + slice;
        const oce_arg args[] = {oce_arg_tensor(c->logits),
                                c->labels,
                                oce_arg_part(c->sums, c->slot),
                                oce_arg_tensor(c->dlogits),
                                c->predictions,
                                oce_arg_long(row),
                                oce_arg_long(end),
                                oce_arg_int(c->m.classes),
                                oce_arg_float(c->upstream)};
        OCE_TRY(oce_launch(kernel, oce_range_items(1), args, OCE_COUNT(args)));
        row = end;
    } while (row < c->m.rows);
    return OCE_OK;
}

/* Each group adds up its rows; if there are several, one more adds up theirs. */
static oce_status run_in_groups(oce_device *device, const class_call *c) {
    const bool is_one = c->m.groups <= 1;
    const int64_t groups = is_one ? 1 : c->m.groups; /* one also for no rows */
    oce_kernel *kernel = NULL, *total = NULL;
    OCE_TRY(get_kernel(device, "softmax_xent_classes", &c->m, &kernel));
    OCE_TRY(get_kernel(device, "xent_total", &c->m, &total));
    const oce_arg args[] = {oce_arg_tensor(c->logits),
                            c->labels,
                            is_one ? oce_arg_part(c->sums, c->slot) : oce_arg_part(c->workspace, 0),
                            oce_arg_tensor(c->dlogits),
                            c->predictions,
                            oce_arg_long(c->m.rows),
                            oce_arg_int(c->m.classes),
                            oce_arg_int(groups),
                            oce_arg_float(c->upstream)};
    OCE_TRY(oce_launch(kernel, oce_range_items(groups * GROUP), args, OCE_COUNT(args)));
    if (is_one)
        return OCE_OK;
    const oce_arg total_args[] = {oce_arg_buffer(c->workspace), oce_arg_int(groups),
                                  oce_arg_part(c->sums, c->slot)};
    return oce_launch(total, oce_range_items(GROUP), total_args, OCE_COUNT(total_args));
}

oce_status oce_softmax_xent_classes(oce_device *device, const oce_tensor *logits,
                                    const oce_buffer *labels, size_t first, float upstream,
                                    oce_buffer *sums, size_t slot, const oce_tensor *dlogits,
                                    oce_buffer *predictions, oce_buffer *workspace) {
    class_call c = {.logits = logits,
                    .dlogits = dlogits,
                    .labels = oce_arg_part(labels, first),
                    .predictions = oce_arg_buffer(predictions),
                    .sums = sums,
                    .workspace = workspace,
                    .slot = slot,
                    .upstream = upstream};
    OCE_TRY(check_logits(device, "cross entropy: logits", logits, &c.m));
    OCE_TRY(oce_bytes_expect(labels, "cross entropy: labels", first, (size_t)c.m.rows));
    OCE_TRY(oce_slot_expect(sums, "cross entropy: sums", slot, sizeof(oce_xent_sums)));
    OCE_TRY(check_like(&c.m, "cross entropy: dlogits", dlogits));
    OCE_TRY(oce_buffer_expect(workspace, "cross entropy: workspace",
                              oce_softmax_xent_workspace(c.m.rows, c.m.classes)));
    if (predictions != NULL)
        OCE_TRY(check_predictions(&c.m, predictions));
    return oce_reduces_in_groups(device) ? run_in_groups(device, &c) : run_in_one_item(device, &c);
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
    return launch_rows(device, kernel, &m, args, OCE_COUNT(args));
}
