/* Convolution: checks, the choice of a family for each pass, and the public calls. */
#include "ops/conv2d_dot.h"

#include "base/size.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

enum { PASSES = 3, MOST_CANDIDATES = 6, REASON_BYTES = 160 };

/* One pass of a plan; method is NULL if the pass was not asked for. */
typedef struct planned_pass {
    const oce_conv2d_method *method;
    void *state;
    size_t workspace_in_place, workspace_copied; /* bytes, by whether X is read in place */
    size_t prepared;                             /* bytes of a prepared filter */
} planned_pass;

struct oce_conv2d_plan {
    oce_device *device;
    oce_conv2d_shape shape;
    planned_pass passes[PASSES];
    oce_conv2d_layout layout; /* only if Y is empty: dX is then cleared */
};

const char *oce_conv2d_family_name(oce_conv2d_family family) {
    switch (family) {
    case OCE_CONV2D_AUTO:
        return "auto";
    case OCE_CONV2D_NAIVE:
        return "naive";
    case OCE_CONV2D_DIRECT:
        return "direct";
    case OCE_CONV2D_WINOGRAD:
        return "winograd";
    case OCE_CONV2D_IM2COL:
        return "im2col";
    case OCE_CONV2D_IMPLICIT_GEMM:
        return "implicit_gemm";
    case OCE_CONV2D_FAMILIES:
        break;
    }
    return "unknown";
}

static int pass_index(oce_pass pass) {
    return pass == OCE_PASS_FORWARD ? 0 : pass == OCE_PASS_INPUT_GRAD ? 1 : 2;
}

static const char *pass_name(oce_pass pass) {
    static const char *const names[PASSES] = {"forward pass", "input gradient", "filter gradient"};
    return names[pass_index(pass)];
}

/* ---- Checking a description ---------------------------------------------------------------- */

#define SHAPE_FORMAT "%lld x %lld x %lld x %lld"
#define SHAPE_ARGS(d) (long long)(d)[0], (long long)(d)[1], (long long)(d)[2], (long long)(d)[3]

/* Kernels count the elements of one image, and of a filter, in an int; those of a tensor must be
 * countable in bytes. dim[1] and dim[2] with padding. */
static oce_status check_elements(const char *what, const int64_t dim[4], bool is_filter) {
    size_t bytes = 0, image = 0;
    const bool fits = oce_size_product(dim, 4, &bytes) &&
                      oce_size_mul(bytes, sizeof(float), &bytes) && bytes <= (size_t)INT64_MAX;
    const bool fits_int = fits &&
                          oce_size_product(is_filter ? dim : dim + 1, is_filter ? 4 : 3, &image) &&
                          image <= (size_t)INT32_MAX && dim[0] <= INT32_MAX;
    OCE_REQUIRE(fits_int, OCE_ERROR_OVERFLOW,
                "conv2d: %s of " SHAPE_FORMAT " is too large: a filter, an image with its padding "
                "and a batch must have less than 2^31 elements each",
                what, SHAPE_ARGS(dim));
    return OCE_OK;
}

static int64_t at_least_0(int64_t value) {
    return value > 0 ? value : 0;
}

/* How far windows read beyond the last row or column of the input. */
static int64_t reach_after(const oce_window_geometry *g, int axis) {
    const int64_t last = (g->output[axis] - 1) * g->stride[axis] - g->before[axis] +
                         (g->size[axis] - 1) * g->dilation[axis];
    return at_least_0(last - (g->input[axis] - 1));
}

oce_status oce_conv2d_resolve(const oce_conv2d_desc *desc, unsigned passes,
                              oce_conv2d_shape *shape) {
    OCE_REQUIRE(desc->batch >= 0, OCE_ERROR_INVALID_ARGUMENT, "conv2d: batch %lld is negative",
                (long long)desc->batch);
    const bool may_be_empty = passes == OCE_PASS_FILTER_GRAD; /* as TensorFlow has it */
    OCE_REQUIRE(desc->channels >= (may_be_empty ? 0 : 1) && desc->filters >= (may_be_empty ? 0 : 1),
                OCE_ERROR_INVALID_ARGUMENT, "conv2d: %lld channels and %lld filters: the filter %s",
                (long long)desc->channels, (long long)desc->filters,
                may_be_empty ? "has a negative extent" : "would be empty");
    OCE_REQUIRE(desc->activation == OCE_ACTIVATION_NONE || desc->activation == OCE_ACTIVATION_RELU,
                OCE_ERROR_INVALID_ARGUMENT, "conv2d: unknown activation %d", (int)desc->activation);
    oce_window_geometry g;
    OCE_TRY(oce_window_resolve(&desc->window, desc->height, desc->width, &g));
    *shape = (oce_conv2d_shape){
        .batch = desc->batch,
        .channels = desc->channels,
        .filters = desc->filters,
        .window = g,
        .activation = desc->activation,
        .keeps_filter = desc->keeps_filter,
        .keeps_halo = desc->keeps_halo,
        .no_winograd = desc->no_winograd,
        .gemm_family = desc->gemm_family,
        .x_dim = {desc->batch, g.input[0], g.input[1], desc->channels},
        .f_dim = {g.size[0], g.size[1], desc->channels, desc->filters},
        .y_dim = {desc->batch, g.output[0], g.output[1], desc->filters},
    };
    const int64_t padded[4] = {desc->batch, g.input[0] + g.before[0] + g.after[0],
                               g.input[1] + g.before[1] + g.after[1],
                               desc->channels > 0 ? desc->channels : 1};
    OCE_TRY(check_elements("the input", padded, false));
    OCE_TRY(check_elements("the filter", shape->f_dim, true));
    OCE_TRY(check_elements("the output", shape->y_dim, false));
    if (g.output[0] > 0 && g.output[1] > 0)
        shape->reach = (oce_halo){.top = g.before[0],
                                  .bottom = reach_after(&g, 0),
                                  .left = g.before[1],
                                  .right = reach_after(&g, 1)};
    return OCE_OK;
}

/* ---- Choosing families --------------------------------------------------------------------- */

/* Those called "winograd" of a class of devices; the first says best what none of them serves. */
typedef struct winograd_list {
    int count;
    const oce_conv2d_method *methods[3];
} winograd_list;

static winograd_list winograd_methods(const oce_limits *limits) {
    const winograd_list of_cpus = {
        3, {&oce_conv2d_winograd, &oce_conv2d_winograd_few, &oce_conv2d_winograd_few_grad}};
    const winograd_list of_gpus = {1, {&oce_conv2d_winograd_gpu}};
    return limits->is_cpu ? of_cpus : of_gpus;
}

/* The families that AUTO may use for a pass, best first. */
static int candidates(const oce_conv2d_plan *plan, bool no_winograd, oce_pass pass,
                      const oce_conv2d_method *list[MOST_CANDIDATES]) {
    const oce_limits *limits = oce_device_limits(plan->device);
    int count = 0;
    if (oce_conv2d_dot_suits(&plan->shape, limits, pass))
        list[count++] = &oce_conv2d_direct; /* few outputs, faster than any other family */
    const winograd_list winograd = winograd_methods(limits);
    for (int i = 0; i < winograd.count && !no_winograd; i++)
        if (winograd.methods[i]->suits(&plan->shape, limits, pass))
            list[count++] = winograd.methods[i];
    const bool suits_im2col = oce_conv2d_im2col.suits(&plan->shape, limits, pass);
    if (limits->is_cpu && suits_im2col)
        list[count++] = &oce_conv2d_im2col;
    list[count++] = limits->is_cpu ? &oce_conv2d_direct : &oce_conv2d_implicit_gemm;
    if (!limits->is_cpu && suits_im2col)
        list[count++] = &oce_conv2d_im2col;
    list[count++] = &oce_conv2d_naive;
    return count;
}

/* The one of the families called "winograd" that computes a pass, or says why there is none. */
static const oce_conv2d_method *winograd_method(const oce_conv2d_shape *shape,
                                                const oce_limits *limits, oce_pass pass) {
    char reason[REASON_BYTES];
    const winograd_list winograd = winograd_methods(limits);
    for (int i = 0; i < winograd.count; i++)
        if (winograd.methods[i]->serves(shape, limits, pass, reason, sizeof reason))
            return winograd.methods[i];
    return winograd.methods[0];
}

static const oce_conv2d_method *forced_method(oce_conv2d_family family, const oce_conv2d_plan *plan,
                                              oce_pass pass) {
    static const oce_conv2d_method *const methods[] = {
        &oce_conv2d_naive, &oce_conv2d_direct, &oce_conv2d_im2col, &oce_conv2d_implicit_gemm};
    if (family == OCE_CONV2D_WINOGRAD)
        return winograd_method(&plan->shape, oce_device_limits(plan->device), pass);
    for (int i = 0; i < OCE_COUNT(methods); i++)
        if (methods[i]->family == family)
            return methods[i];
    return NULL;
}

static void release_pass(planned_pass *p) {
    if (p->state != NULL && p->method->release != NULL)
        p->method->release(p->state);
    free(p->state);
    *p = (planned_pass){0};
}

/* Plans a pass with one family: OCE_ERROR_UNSUPPORTED if it does not serve the shape. One that
 * cannot pool what it should is left unplanned. */
static oce_status try_method(oce_device *device, const oce_conv2d_shape *shape,
                             const oce_conv2d_method *method, oce_pass pass, planned_pass *p) {
    char reason[REASON_BYTES] = "";
    OCE_REQUIRE(method->serves == NULL ||
                    method->serves(shape, oce_device_limits(device), pass, reason, sizeof reason),
                OCE_ERROR_UNSUPPORTED, "conv2d: %s cannot compute the %s: %s",
                oce_conv2d_family_name(method->family), pass_name(pass), reason);
    if (shape->is_pooled && (method->pools == NULL || !method->pools(device, shape)))
        return OCE_OK;
    p->method = method;
    oce_status status = method->prepare(device, shape, pass, &p->state);
    if (status == OCE_OK)
        status = method->workspace(shape, p->state, true, &p->workspace_in_place);
    if (status == OCE_OK)
        status = method->workspace(shape, p->state, false, &p->workspace_copied);
    if (status == OCE_OK && pass == OCE_PASS_FORWARD && method->prepared != NULL)
        status = method->prepared(shape, p->state, &p->prepared);
    if (status != OCE_OK)
        release_pass(p);
    return status;
}

/* The first of the families that can. One whose kernels the driver fails to build is passed over,
 * and the device says so, once for each family. */
static oce_status choose(const oce_conv2d_plan *plan, bool no_winograd, oce_pass pass,
                         planned_pass *p) {
    const oce_conv2d_method *list[MOST_CANDIDATES] = {NULL};
    const int count = candidates(plan, no_winograd, pass, list);
    oce_status status = OCE_OK;
    for (int i = 0; i < count; i++) {
        status = try_method(plan->device, &plan->shape, list[i], pass, p);
        if (!oce_status_spares_others(status) || i == count - 1)
            break;
        if (status != OCE_ERROR_UNSUPPORTED) {
            char key[64];
            snprintf(key, sizeof key, "conv2d %s", oce_conv2d_family_name(list[i]->family));
            oce_device_notice(plan->device, key,
                              "convolution goes on without its family \"%s\": %s",
                              oce_conv2d_family_name(list[i]->family), oce_last_error());
        }
    }
    return status;
}

/* Plans a pass as the tuning table says; false if it has nothing for it, or nothing that can be
 * done here: to pool, if the plan does. */
static bool use_tuned(const oce_conv2d_plan *plan, oce_pass pass, planned_pass *p) {
    oce_conv2d_shape shape = plan->shape;
    const oce_conv2d_family family =
        oce_conv2d_tuned(plan->device, &plan->shape, pass, &shape.asked);
    const oce_conv2d_method *method = forced_method(family, plan, pass);
    if (method == NULL || (shape.no_winograd && family == OCE_CONV2D_WINOGRAD))
        return false;
    return try_method(plan->device, &shape, method, pass, p) == OCE_OK && p->method != NULL;
}

static oce_status plan_pass(oce_conv2d_plan *plan, const oce_conv2d_desc *desc, oce_pass pass) {
    planned_pass *p = &plan->passes[pass_index(pass)];
    if (plan->shape.y_dim[1] == 0 || plan->shape.y_dim[2] == 0)
        OCE_TRY(oce_conv2d_layout_get(plan->device, OCE_LAYOUT_CLEAR, &plan->layout));
    if (desc->family == OCE_CONV2D_AUTO)
        return use_tuned(plan, pass, p) ? OCE_OK : choose(plan, desc->no_winograd, pass, p);
    const oce_conv2d_method *method = forced_method(desc->family, plan, pass);
    OCE_REQUIRE(method != NULL, OCE_ERROR_INVALID_ARGUMENT, "conv2d: unknown family %d",
                (int)desc->family);
    OCE_REQUIRE(desc->family != OCE_CONV2D_WINOGRAD || !desc->no_winograd,
                OCE_ERROR_INVALID_ARGUMENT,
                "conv2d: the family winograd and no_winograd exclude each other");
    return try_method(plan->device, &plan->shape, method, pass, p);
}

oce_status oce_conv2d_plan_resolved(oce_device *device, const oce_conv2d_desc *desc,
                                    const oce_conv2d_shape *shape, unsigned passes,
                                    oce_conv2d_plan **result) {
    *result = NULL;
    oce_conv2d_plan *plan = calloc(1, sizeof *plan);
    OCE_REQUIRE(plan != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a convolution plan");
    plan->device = device;
    plan->shape = *shape;
    oce_status status = OCE_OK;
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD && status == OCE_OK;
         pass *= 2)
        if (passes & pass)
            status = plan_pass(plan, desc, (oce_pass)pass);
    if (status != OCE_OK) {
        oce_conv2d_plan_destroy(plan);
        return status;
    }
    *result = plan;
    return OCE_OK;
}

oce_status oce_conv2d_plan_create(oce_device *device, const oce_conv2d_desc *desc, unsigned passes,
                                  oce_conv2d_plan **result) {
    *result = NULL;
    OCE_REQUIRE(passes != 0 && (passes & ~(unsigned)OCE_PASS_ALL) == 0, OCE_ERROR_INVALID_ARGUMENT,
                "conv2d: %u is no set of passes", passes);
    oce_conv2d_shape shape;
    OCE_TRY(oce_conv2d_resolve(desc, passes, &shape));
    return oce_conv2d_plan_resolved(device, desc, &shape, passes, result);
}

void oce_conv2d_plan_destroy(oce_conv2d_plan *plan) {
    if (plan == NULL)
        return;
    for (int i = 0; i < PASSES; i++)
        release_pass(&plan->passes[i]);
    free(plan);
}

/* ---- Queries ------------------------------------------------------------------------------- */

const oce_window_geometry *oce_conv2d_plan_geometry(const oce_conv2d_plan *plan) {
    return &plan->shape.window;
}

oce_conv2d_family oce_conv2d_plan_family(const oce_conv2d_plan *plan, oce_pass pass) {
    const oce_conv2d_method *method = plan->passes[pass_index(pass)].method;
    return method != NULL ? method->family : OCE_CONV2D_AUTO;
}

oce_halo oce_conv2d_plan_halo(const oce_conv2d_plan *plan) {
    const oce_conv2d_method *forward = plan->passes[pass_index(OCE_PASS_FORWARD)].method;
    const oce_conv2d_method *filter = plan->passes[pass_index(OCE_PASS_FILTER_GRAD)].method;
    if ((forward != NULL && forward->wants_halo) || (filter != NULL && filter->wants_halo))
        return plan->shape.reach;
    return (oce_halo){0, 0, 0, 0};
}

static bool covers(const oce_halo *halo, const oce_halo *reach) {
    return halo->top >= reach->top && halo->bottom >= reach->bottom && halo->left >= reach->left &&
           halo->right >= reach->right;
}

bool oce_conv2d_in_place(const oce_tensor *tensor, const oce_halo *reach) {
    return covers(&tensor->halo, reach) && tensor->stride[2] == tensor->dim[3];
}

size_t oce_conv2d_plan_workspace(const oce_conv2d_plan *plan, const oce_halo *x_halo) {
    const oce_halo none = {0, 0, 0, 0};
    const bool in_place = covers(x_halo != NULL ? x_halo : &none, &plan->shape.reach);
    size_t largest = 0;
    for (int i = 0; i < PASSES; i++) {
        const planned_pass *p = &plan->passes[i];
        const size_t bytes = in_place ? p->workspace_in_place : p->workspace_copied;
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

size_t oce_conv2d_plan_prepared_bytes(const oce_conv2d_plan *plan) {
    return plan->passes[pass_index(OCE_PASS_FORWARD)].prepared;
}

double oce_conv2d_plan_flops(const oce_conv2d_plan *plan, oce_pass pass) {
    double flops = plan->passes[pass_index(pass)].method != NULL ? 2 : 0;
    for (int i = 0; i < 4; i++)
        flops *= (double)plan->shape.f_dim[i];
    for (int i = 0; i < 3; i++)
        flops *= (double)plan->shape.y_dim[i];
    return flops;
}

/* ---- Running ------------------------------------------------------------------------------- */

static oce_status check_device(const oce_conv2d_plan *plan, const oce_buffer *buffer,
                               const char *name) {
    OCE_REQUIRE(buffer == NULL || oce_buffer_device(buffer) == plan->device,
                OCE_ERROR_INVALID_ARGUMENT, "%s is not on the plan's device", name);
    return OCE_OK;
}

static oce_status check_tensor(const oce_conv2d_plan *plan, const oce_tensor *tensor,
                               const char *name, const int64_t dim[4]) {
    OCE_TRY(oce_tensor_expect(tensor, name, dim));
    return check_device(plan, tensor->buffer, name);
}

/* Everything that can be wrong with a run; names are those of x, filter and y. */
static oce_status check_run(const oce_conv2d_plan *plan, oce_pass pass,
                            const oce_conv2d_operands *o, const char *const names[3],
                            oce_buffer *workspace) {
    const planned_pass *p = &plan->passes[pass_index(pass)];
    OCE_REQUIRE(p->method != NULL, OCE_ERROR_INVALID_ARGUMENT, "conv2d: the plan has no %s",
                pass_name(pass));
    OCE_TRY(check_tensor(plan, o->x, names[0], plan->shape.x_dim));
    OCE_TRY(check_tensor(plan, o->filter, names[1], plan->shape.f_dim));
    OCE_TRY(oce_tensor_expect_dense(o->filter, names[1], oce_tensor_count(o->filter)));
    const oce_conv2d_shape *shape = &plan->shape;
    const int64_t pooled[4] = {shape->batch, shape->pool.output[0], shape->pool.output[1],
                               shape->filters};
    OCE_TRY(check_tensor(plan, o->y, names[2], shape->is_pooled ? pooled : shape->y_dim));
    if (o->bias != NULL) {
        OCE_TRY(oce_tensor_expect_dense(o->bias, "bias", (size_t)plan->shape.filters));
        OCE_TRY(check_device(plan, o->bias->buffer, "bias"));
    }
    const bool in_place = oce_conv2d_in_place(o->x, &plan->shape.reach);
    OCE_TRY(oce_buffer_expect(workspace, "workspace",
                              in_place ? p->workspace_in_place : p->workspace_copied));
    return check_device(plan, workspace, "workspace");
}

static oce_status run(const oce_conv2d_plan *plan, oce_pass pass,
                      const oce_conv2d_operands *operands, oce_buffer *workspace) {
    const planned_pass *p = &plan->passes[pass_index(pass)];
    return p->method->run(&plan->shape, p->state, operands, workspace);
}

static oce_status check_prepared(const oce_conv2d_plan *plan, const oce_buffer *prepared) {
    OCE_TRY(oce_buffer_expect(prepared, "prepared filter", oce_conv2d_plan_prepared_bytes(plan)));
    return check_device(plan, prepared, "prepared filter");
}

oce_status oce_conv2d_prepare(oce_conv2d_plan *plan, const oce_tensor *filter,
                              oce_buffer *prepared) {
    const planned_pass *p = &plan->passes[pass_index(OCE_PASS_FORWARD)];
    OCE_TRY(check_tensor(plan, filter, "filter", plan->shape.f_dim));
    OCE_TRY(oce_tensor_expect_dense(filter, "filter", oce_tensor_count(filter)));
    OCE_TRY(check_prepared(plan, prepared));
    return p->prepared > 0 ? p->method->prepare_filter(p->state, filter, prepared) : OCE_OK;
}

oce_status oce_conv2d_forward_operands(oce_conv2d_plan *plan, const oce_conv2d_operands *operands,
                                       oce_buffer *workspace) {
    const char *const names[3] = {"x", "filter", "y"};
    if (operands->prepared != NULL)
        OCE_TRY(check_prepared(plan, operands->prepared));
    OCE_TRY(check_device(plan, operands->winners, "winners"));
    OCE_TRY(check_run(plan, OCE_PASS_FORWARD, operands, names, workspace));
    return oce_tensor_count(operands->y) > 0 ? run(plan, OCE_PASS_FORWARD, operands, workspace)
                                             : OCE_OK;
}

oce_status oce_conv2d_forward(oce_conv2d_plan *plan, const oce_tensor *x, const oce_tensor *filter,
                              const oce_tensor *bias, const oce_tensor *y, oce_buffer *workspace) {
    const oce_conv2d_operands operands = {x, filter, bias, y, NULL, NULL};
    return oce_conv2d_forward_operands(plan, &operands, workspace);
}

oce_status oce_conv2d_forward_prepared(oce_conv2d_plan *plan, const oce_tensor *x,
                                       const oce_tensor *filter, const oce_buffer *prepared,
                                       const oce_tensor *bias, const oce_tensor *y,
                                       oce_buffer *workspace) {
    const bool is_used = oce_conv2d_plan_prepared_bytes(plan) > 0;
    const oce_conv2d_operands operands = {x, filter, bias, y, is_used ? prepared : NULL, NULL};
    OCE_TRY(check_prepared(plan, prepared));
    return oce_conv2d_forward_operands(plan, &operands, workspace);
}

oce_status oce_conv2d_input_grad(oce_conv2d_plan *plan, const oce_tensor *dy,
                                 const oce_tensor *filter, const oce_tensor *dx,
                                 oce_buffer *workspace) {
    const oce_conv2d_operands operands = {dx, filter, NULL, dy, NULL, NULL};
    const char *const names[3] = {"dx", "filter", "dy"};
    OCE_TRY(check_run(plan, OCE_PASS_INPUT_GRAD, &operands, names, workspace));
    if (oce_tensor_count(dx) == 0)
        return OCE_OK;
    if (oce_tensor_count(dy) == 0)
        return oce_conv2d_clear(&plan->layout, dx);
    return run(plan, OCE_PASS_INPUT_GRAD, &operands, workspace);
}

oce_status oce_conv2d_filter_grad(oce_conv2d_plan *plan, const oce_tensor *x, const oce_tensor *dy,
                                  const oce_tensor *dfilter, oce_buffer *workspace) {
    const oce_conv2d_operands operands = {x, dfilter, NULL, dy, NULL, NULL};
    const char *const names[3] = {"x", "dfilter", "dy"};
    OCE_TRY(check_run(plan, OCE_PASS_FILTER_GRAD, &operands, names, workspace));
    const size_t count = oce_tensor_count(dfilter);
    if (count == 0)
        return OCE_OK;
    if (oce_tensor_count(dy) == 0)
        return oce_buffer_clear(dfilter->buffer, dfilter->offset * sizeof(float),
                                count * sizeof(float));
    return run(plan, OCE_PASS_FILTER_GRAD, &operands, workspace);
}
