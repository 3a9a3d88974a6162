/* Matrix product: checks, and the choice of a family. */
#include "ops/gemm_internal.h"

#include "base/size.h"
#include "base/status.h"
#include "device/tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const oce_gemm_method *const methods[OCE_GEMM_FAMILIES] = {
    [OCE_GEMM_NAIVE] = &oce_gemm_naive,     [OCE_GEMM_PANEL] = &oce_gemm_panel,
    [OCE_GEMM_CLBLAST] = &oce_gemm_clblast, [OCE_GEMM_THIN] = &oce_gemm_thin,
    [OCE_GEMM_TILED] = &oce_gemm_tiled,
};

const char *oce_gemm_family_name(oce_gemm_family family) {
    static const char *const names[OCE_GEMM_FAMILIES] = {
        [OCE_GEMM_AUTO] = "auto", [OCE_GEMM_NAIVE] = "naive",     [OCE_GEMM_PANEL] = "panel",
        [OCE_GEMM_THIN] = "thin", [OCE_GEMM_CLBLAST] = "clblast", [OCE_GEMM_TILED] = "tiled",
        [OCE_GEMM_OWN] = "own",
    };
    return (unsigned)family < OCE_GEMM_FAMILIES ? names[family] : "unknown";
}

/* ---- Plan ---------------------------------------------------------------------------------- */

static oce_status check_matrix(const char *name, int64_t rows, int64_t columns) {
    const int64_t dim[4] = {rows, 1, 1, columns};
    size_t elements = 0;
    if (oce_tensor_elements(dim, NULL, &elements) != OCE_OK)
        return oce_fail(OCE_ERROR_OVERFLOW, "gemm: %s of %lld x %lld is too large", name,
                        (long long)rows, (long long)columns);
    return OCE_OK;
}

static oce_status check_panel(const char *name, int64_t panel, int64_t columns) {
    OCE_REQUIRE(panel >= 0 && (panel == 0 || columns % panel == 0), OCE_ERROR_INVALID_ARGUMENT,
                "gemm: panels of %lld columns do not divide %s of %lld columns", (long long)panel,
                name, (long long)columns);
    return OCE_OK;
}

static oce_status check_desc(const oce_gemm_desc *d) {
    OCE_REQUIRE(d->m >= 0 && d->n >= 0 && d->k >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "gemm: m %lld, n %lld or k %lld is negative", (long long)d->m, (long long)d->n,
                (long long)d->k);
    OCE_REQUIRE(d->activation == OCE_ACTIVATION_NONE || d->activation == OCE_ACTIVATION_RELU,
                OCE_ERROR_INVALID_ARGUMENT, "gemm: unknown activation %d", (int)d->activation);
    OCE_REQUIRE((unsigned)d->family < OCE_GEMM_FAMILIES, OCE_ERROR_INVALID_ARGUMENT,
                "gemm: unknown family %d", (int)d->family);
    OCE_TRY(check_panel("B", d->b_panel, d->transpose_b ? d->k : d->n));
    OCE_TRY(check_panel("C", d->c_panel, d->n));
    OCE_TRY(check_matrix("A", d->m, d->k));
    OCE_TRY(check_matrix("B", d->k, d->n));
    return check_matrix("C", d->m, d->n);
}

/* Whether a family can compute the product; if not, `reason` says why. */
static bool can_serve(const oce_gemm_method *method, const oce_gemm_desc *d,
                      const oce_limits *limits, char *reason, size_t reason_bytes) {
    if (oce_gemm_has_panels(d) && method != &oce_gemm_panel) {
        snprintf(reason, reason_bytes, "%s is stored in panels", d->b_panel > 0 ? "B" : "C");
        return false;
    }
    return method->serves == NULL || method->serves(d, limits, reason, reason_bytes);
}

/* Plans with one family: OCE_ERROR_UNSUPPORTED if it does not serve the product. */
static oce_status try_method(oce_gemm_plan *plan, const oce_gemm_method *method) {
    const oce_gemm_desc *d = &plan->desc;
    char reason[160] = "";
    OCE_REQUIRE(can_serve(method, d, oce_device_limits(plan->device), reason, sizeof reason),
                OCE_ERROR_UNSUPPORTED, "gemm: %s cannot compute %lld x %lld x %lld: %s",
                oce_gemm_family_name(method->family), (long long)d->m, (long long)d->n,
                (long long)d->k, reason);
    plan->method = method;
    plan->workspace = plan->prepared = 0;
    return d->m > 0 && d->n > 0 ? method->prepare(plan) : OCE_OK;
}

/* CLBlast copies its operands into the order of its tiles first and takes a second library's
 * builds, but its tiles are tuned for many GPUs: by its own database copying pays from a cube root
 * of m*n*k of some hundreds to 2000 on, device by device. */
static bool is_large(const oce_gemm_desc *d) {
    const double side = 2048;
    return (double)d->m * (double)d->n * (double)d->k >= side * side * side;
}

/* The families that AUTO, or OWN, may use, best first: those made for the class of device, then the
 * one that always can. */
static int candidates(const oce_gemm_desc *d, const oce_limits *limits,
                      oce_gemm_family list[OCE_GEMM_FAMILIES]) {
    const bool may_clblast = d->family == OCE_GEMM_AUTO && !limits->is_cpu;
    int count = 0;
    if (oce_gemm_has_panels(d)) {
        list[0] = OCE_GEMM_PANEL;
        return 1;
    }
    if (limits->is_cpu && oce_gemm_is_thin(d))
        list[count++] = OCE_GEMM_THIN;
    if (may_clblast && is_large(d))
        list[count++] = OCE_GEMM_CLBLAST;
    list[count++] = limits->is_cpu ? OCE_GEMM_PANEL : OCE_GEMM_TILED;
    if (may_clblast && !is_large(d))
        list[count++] = OCE_GEMM_CLBLAST;
    list[count++] = OCE_GEMM_NAIVE;
    return count;
}

/* The first of them that can. One whose kernels the driver fails to build is passed over, and the
 * device says so, once for each family. */
static oce_status choose(oce_gemm_plan *plan) {
    oce_gemm_family list[OCE_GEMM_FAMILIES];
    const int count = candidates(&plan->desc, oce_device_limits(plan->device), list);
    oce_status status = OCE_OK;
    for (int i = 0; i < count; i++) {
        status = try_method(plan, methods[list[i]]);
        if (!oce_status_spares_others(status) || i == count - 1)
            break;
        if (status != OCE_ERROR_UNSUPPORTED) {
            char key[64];
            snprintf(key, sizeof key, "gemm %s", oce_gemm_family_name(list[i]));
            oce_device_notice(plan->device, key,
                              "the matrix product goes on without its family \"%s\": %s",
                              oce_gemm_family_name(list[i]), oce_last_error());
        }
    }
    return status;
}

void oce_gemm_shape_text(const oce_gemm_desc *d, char text[OCE_GEMM_TEXT]) {
    char panels[2][32] = {"", ""};
    if (d->b_panel > 0)
        snprintf(panels[0], sizeof panels[0], " b_panel=%lld", (long long)d->b_panel);
    if (d->c_panel > 0)
        snprintf(panels[1], sizeof panels[1], " c_panel=%lld", (long long)d->c_panel);
    snprintf(text, OCE_GEMM_TEXT, "m=%lld n=%lld k=%lld ta=%d tb=%d%s%s%s", (long long)d->m,
             (long long)d->n, (long long)d->k, d->transpose_a, d->transpose_b,
             d->keeps_b ? " prepared=1" : "", panels[0], panels[1]);
}

/* Plans as the tuning table says; false if it has nothing for the product, or nothing that can be
 * done here. */
static bool use_tuned(oce_gemm_plan *plan) {
    char shape[OCE_GEMM_TEXT];
    oce_gemm_shape_text(&plan->desc, shape);
    const oce_tuning_entry *entry = oce_tuning_find(plan->device, "gemm", shape);
    const oce_gemm_method *method = NULL;
    for (int i = 0; entry != NULL && i < OCE_GEMM_FAMILIES; i++)
        if (methods[i] != NULL &&
            strcmp(entry->family, oce_gemm_family_name((oce_gemm_family)i)) == 0)
            method = methods[i];
    if (method == NULL || (plan->desc.family == OCE_GEMM_OWN && method->family == OCE_GEMM_CLBLAST))
        return false;
    plan->configuration = entry->configuration;
    const oce_status status = try_method(plan, method);
    plan->configuration = "";
    return status == OCE_OK;
}

oce_status oce_gemm_plan_create(oce_device *device, const oce_gemm_desc *desc,
                                oce_gemm_plan **result) {
    *result = NULL;
    OCE_TRY(check_desc(desc));
    oce_gemm_plan *plan = calloc(1, sizeof *plan);
    OCE_REQUIRE(plan != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a gemm plan");
    plan->device = device;
    plan->desc = *desc;
    plan->configuration = "";
    const bool is_open = desc->family == OCE_GEMM_AUTO || desc->family == OCE_GEMM_OWN;
    oce_status status = OCE_OK;
    if (!is_open)
        status = try_method(plan, methods[desc->family]);
    else if (!use_tuned(plan))
        status = choose(plan);
    if (status != OCE_OK) {
        oce_gemm_plan_destroy(plan);
        return status;
    }
    *result = plan;
    return OCE_OK;
}

void oce_gemm_plan_destroy(oce_gemm_plan *plan) {
    free(plan);
}

oce_gemm_family oce_gemm_plan_family(const oce_gemm_plan *plan) {
    return plan->method->family;
}

size_t oce_gemm_plan_workspace(const oce_gemm_plan *plan) {
    return plan->workspace;
}

size_t oce_gemm_plan_prepared_bytes(const oce_gemm_plan *plan) {
    return plan->prepared;
}

/* ---- Run ----------------------------------------------------------------------------------- */

static oce_status check_tensor(const oce_gemm_plan *plan, const oce_tensor *tensor,
                               const char *name, int64_t rows, int64_t columns) {
    /* check_desc() has proved that the product fits. */
    OCE_TRY(oce_tensor_expect_dense(tensor, name, (size_t)rows * (size_t)columns));
    OCE_REQUIRE(oce_buffer_device(tensor->buffer) == plan->device, OCE_ERROR_INVALID_ARGUMENT,
                "%s: the tensor is on another device than the plan", name);
    return OCE_OK;
}

static oce_status check_overlap(const oce_tensor *c, const oce_tensor *input, const char *name) {
    const size_t c_end = c->offset + oce_tensor_count(c);
    const size_t input_end = input->offset + oce_tensor_count(input);
    OCE_REQUIRE(c->buffer != input->buffer || c->offset >= input_end || input->offset >= c_end,
                OCE_ERROR_INVALID_ARGUMENT,
                "gemm C, elements %zu to %zu, overlaps %s, elements %zu to %zu", c->offset, c_end,
                name, input->offset, input_end);
    return OCE_OK;
}

/* What an operation reads, and its workspace. */
static oce_status check_inputs(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    OCE_TRY(check_tensor(plan, o->a, "gemm A", d->m, d->k));
    OCE_TRY(check_tensor(plan, o->b, "gemm B", d->k, d->n));
    OCE_TRY(oce_buffer_expect(o->workspace, "gemm workspace", plan->workspace));
    OCE_REQUIRE(plan->workspace == 0 || oce_buffer_device(o->workspace) == plan->device,
                OCE_ERROR_INVALID_ARGUMENT, "gemm workspace: it is on another device");
    return OCE_OK;
}

static oce_status check_prepared(const oce_gemm_plan *plan, const oce_buffer *prepared) {
    OCE_TRY(oce_buffer_expect(prepared, "gemm prepared B", plan->prepared));
    OCE_REQUIRE(plan->prepared == 0 || oce_buffer_device(prepared) == plan->device,
                OCE_ERROR_INVALID_ARGUMENT, "gemm prepared B: it is on another device");
    return OCE_OK;
}

static oce_status check_operands(const oce_gemm_plan *plan, const oce_gemm_operands *o) {
    const oce_gemm_desc *d = &plan->desc;
    OCE_TRY(check_inputs(plan, o));
    OCE_TRY(check_prepared(plan, o->prepared));
    OCE_TRY(check_tensor(plan, o->c, "gemm C", d->m, d->n));
    OCE_TRY(check_overlap(o->c, o->a, "A"));
    OCE_TRY(check_overlap(o->c, o->b, "B"));
    OCE_REQUIRE(plan->prepared == 0 || o->c->buffer != o->prepared, OCE_ERROR_INVALID_ARGUMENT,
                "gemm C: it lies in the buffer of the prepared B");
    if (o->bias == NULL)
        return OCE_OK;
    OCE_TRY(check_tensor(plan, o->bias, "gemm bias", 1, d->n));
    return check_overlap(o->c, o->bias, "the bias");
}

int oce_gemm_plan_parts(const oce_gemm_plan *plan) {
    const bool is_empty = plan->desc.m == 0 || plan->desc.n == 0;
    return plan->method == &oce_gemm_thin && !is_empty ? plan->blocks.splits : 1;
}

oce_status oce_gemm_run_parts(const oce_gemm_plan *plan, const oce_tensor *a, const oce_tensor *b,
                              const oce_buffer *prepared, oce_buffer *workspace) {
    const oce_gemm_operands operands = {
        .a = a, .b = b, .workspace = workspace, .prepared = prepared};
    OCE_REQUIRE(oce_gemm_plan_parts(plan) > 1, OCE_ERROR_UNSUPPORTED,
                "gemm: %s makes no partial sums of %lld x %lld x %lld",
                oce_gemm_family_name(plan->method->family), (long long)plan->desc.m,
                (long long)plan->desc.n, (long long)plan->desc.k);
    OCE_TRY(check_inputs(plan, &operands));
    OCE_TRY(check_prepared(plan, prepared));
    return oce_gemm_thin_parts(plan, &operands);
}

oce_status oce_gemm_run(oce_gemm_plan *plan, const oce_tensor *a, const oce_tensor *b,
                        const oce_tensor *bias, const oce_tensor *c, oce_buffer *workspace) {
    OCE_REQUIRE(plan->prepared == 0, OCE_ERROR_INVALID_ARGUMENT,
                "gemm: the plan takes a prepared B, of %zu bytes", plan->prepared);
    return oce_gemm_run_prepared(plan, a, b, NULL, bias, c, workspace);
}

oce_status oce_gemm_prepare(oce_gemm_plan *plan, const oce_tensor *b, oce_buffer *prepared) {
    OCE_TRY(check_tensor(plan, b, "gemm B", plan->desc.k, plan->desc.n));
    OCE_TRY(check_prepared(plan, prepared));
    return plan->prepared > 0 ? plan->method->prepare_b(plan, b, prepared) : OCE_OK;
}

oce_status oce_gemm_run_prepared(oce_gemm_plan *plan, const oce_tensor *a, const oce_tensor *b,
                                 const oce_buffer *prepared, const oce_tensor *bias,
                                 const oce_tensor *c, oce_buffer *workspace) {
    const oce_gemm_operands operands = {a, b, bias, c, workspace, prepared};
    OCE_TRY(check_operands(plan, &operands));
    if (plan->desc.m == 0 || plan->desc.n == 0)
        return OCE_OK;
    return plan->method->run(plan, &operands);
}
