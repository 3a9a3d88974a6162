#include "ops/conv2d_phases.h"

#include "base/size.h"
#include "base/status.h"

/* ---- Phases -------------------------------------------------------------------------------- */

/* A phase along one axis, as get_phase() of conv2d_direct.cl has it. */
typedef struct phase {
    int64_t first, count; /* input positions first, first + stride, ... */
    int64_t taps;         /* a number of its own: window positions p, p + step, ... for phase p */
    int64_t start;        /* in dY, of the window of the first position; may be outside */
    int64_t dilation;     /* of the taps in dY */
} phase;

static int64_t greatest_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

int64_t oce_conv2d_tap_step(const oce_window_geometry *g, int axis) {
    return g->stride[axis] / greatest_divisor(g->stride[axis], g->dilation[axis]);
}

int64_t oce_conv2d_phase_count(const oce_window_geometry *g, int axis) {
    return oce_min_int64(g->size[axis], oce_conv2d_tap_step(g, axis));
}

static int64_t phases_of(const oce_window_geometry *g) {
    return oce_conv2d_phase_count(g, 0) * oce_conv2d_phase_count(g, 1);
}

const char *oce_conv2d_phases_kernel(const oce_window_geometry *g) {
    return phases_of(g) > 1 ? "direct_input_grad" : "direct_forward";
}

static phase get_phase(const oce_window_geometry *g, int axis, int64_t index) {
    const int64_t stride = g->stride[axis], step = oce_conv2d_tap_step(g, axis);
    const int64_t moved = index * g->dilation[axis] - g->before[axis];
    phase p = {.taps = (g->size[axis] - 1 - index) / step + 1,
               .dilation = g->dilation[axis] / (stride / step)};
    p.first = (moved % stride + stride) % stride;
    p.count = p.first < g->input[axis] ? oce_ceil_div(g->input[axis] - p.first, stride) : 0;
    p.start = (p.first - moved) / stride - (p.taps - 1) * p.dilation;
    return p;
}

/* Whether some inputs reach no output through any tap: their gradient is 0. */
static bool misses_inputs(const oce_window_geometry *g, int axis) {
    int64_t reached = 0;
    for (int64_t i = 0; i < oce_conv2d_phase_count(g, axis); i++)
        reached += get_phase(g, axis, i).count;
    return reached < g->input[axis];
}

/* Rows or columns before (side 0) or after (side 1) dY that taps read which are inside for some
 * position; others are left out (oce_conv2d_clips). */
static int64_t reach_of(const oce_window_geometry *g, int axis, int side) {
    int64_t reach = 0;
    for (int64_t i = 0; i < oce_conv2d_phase_count(g, axis); i++) {
        const phase p = get_phase(g, axis, i);
        for (int64_t tap = 0; tap < p.taps && p.count > 0; tap++) {
            const int64_t first = p.start + tap * p.dilation, last = first + p.count - 1;
            if (last >= 0 && first < g->output[axis])
                reach = oce_max_int64(reach, side == 0 ? -first : last - (g->output[axis] - 1));
        }
    }
    return reach;
}

oce_halo oce_conv2d_gradient_reach(const oce_window_geometry *g) {
    return (oce_halo){reach_of(g, 0, 0), reach_of(g, 0, 1), reach_of(g, 1, 0), reach_of(g, 1, 1)};
}

static bool any_clips(const oce_window_geometry *g, int axis) {
    bool any = false;
    for (int64_t i = 0; i < oce_conv2d_phase_count(g, axis) && !any; i++) {
        const phase p = get_phase(g, axis, i);
        const oce_conv2d_axis one = {.size = p.taps,
                                     .output = p.count,
                                     .input = g->output[axis],
                                     .start = p.start,
                                     .step = 1,
                                     .dilation = p.dilation};
        any = oce_conv2d_clips(&one);
    }
    return any;
}

/* The window's taps that read inside of dY for some input position, or more, in between: tap t of
 * output i is at position i * stride - before + t * dilation. */
static void used_taps(const oce_window_geometry *g, int axis, int64_t *first, int64_t *count) {
    const int64_t last_window = (g->output[axis] - 1) * g->stride[axis] - g->before[axis];
    const int64_t dilation = g->dilation[axis];
    *first = last_window < 0 ? oce_ceil_div(-last_window, dilation) : 0;
    const int64_t end = (g->input[axis] - 1 + g->before[axis]) / dilation + 1;
    *count = oce_max_int64(oce_min_int64(end, g->size[axis]) - *first, 0);
}

/* ---- Launches ------------------------------------------------------------------------------ */

static oce_status prepare(const oce_conv2d_layout *layout, const oce_conv2d_gradient *d,
                          oce_tensor *dy) {
    const oce_window_geometry *g = d->window;
    oce_conv2d_copy copy;
    if (d->reach != NULL)
        OCE_TRY(oce_conv2d_copy_of(d->dy, d->reach, d->workspace, d->image, dy, &copy));
    const bool clears = misses_inputs(g, 0) || misses_inputs(g, 1);
    oce_conv2d_grad_pack pack = {.filter = d->filter,
                                 .step = {oce_conv2d_tap_step(g, 0), oce_conv2d_tap_step(g, 1)},
                                 .workspace = d->workspace,
                                 .at = d->panels};
    for (int axis = 0; axis < 2; axis++)
        used_taps(g, axis, &pack.first[axis], &pack.count[axis]);
    return oce_conv2d_prepare_grad(layout, d->tiles, &pack, d->reach != NULL ? &copy : NULL,
                                   clears ? d->dx : NULL);
}

/* The filter with its taps in reverse order, input and output channels exchanged. */
static oce_conv2d_dot_filter dot_filter(const oce_tensor *filter) {
    const int64_t *f = filter->dim, tap = f[2] * f[3];
    return (oce_conv2d_dot_filter){filter, (f[0] * f[1] - 1) * tap, -f[1] * tap, -tap, 1, f[3]};
}

/* The only phase, as a convolution of stride 1. */
static oce_status run_one(const oce_conv2d_gradient *d, const oce_tensor *dy) {
    const oce_window_geometry *g = d->window;
    const phase p[2] = {get_phase(g, 0, 0), get_phase(g, 1, 0)};
    const oce_conv2d_product product = {
        .x = oce_conv2d_view_of(dy, p[0].start, p[1].start, 1, 1),
        .y = oce_conv2d_view_of(d->dx, p[0].first, p[1].first, g->stride[0], g->stride[1]),
        .tap_down = dy->stride[1] * p[0].dilation,
        .tap = dy->stride[2] * p[1].dilation,
        .size = {p[0].taps, p[1].taps},
        .channels = d->filter->dim[3],
        .dilation_right = p[1].dilation,
        .images = dy->dim[0],
        .output = {p[0].count, p[1].count},
        .input = {g->output[0], g->output[1]},
        .start = {p[0].start, p[1].start},
        .step = {1, 1},
        .dilation = {p[0].dilation, p[1].dilation},
        .filter = d->workspace,
        .filter_offset = (int64_t)d->panels,
        .is_packed = true,
    };
    const oce_conv2d_dot_filter filter = dot_filter(d->filter);
    return d->dot != NULL ? oce_conv2d_dot_run(d->dot, &product, &filter, d->workspace, d->panels)
                          : oce_conv2d_product_run(d->tiles, &product);
}

#define AXIS(g, axis)                                                                              \
    oce_arg_int((g)->input[axis]), oce_arg_int((g)->output[axis]), oce_arg_int((g)->stride[axis]), \
        oce_arg_int((g)->before[axis]), oce_arg_int((g)->size[axis]),                              \
        oce_arg_int(oce_conv2d_tap_step(g, axis)), oce_arg_int(get_phase(g, axis, 0).dilation)

static oce_status run_all(const oce_conv2d_gradient *d, const oce_tensor *dy) {
    const oce_window_geometry *g = d->window;
    const oce_conv2d_tiles *tiles = d->tiles;
    const int64_t phases = phases_of(g), filters = d->filter->dim[3];
    /* The first phase of an axis has the most taps. */
    const int64_t taps[2] = {get_phase(g, 0, 0).taps, get_phase(g, 1, 0).taps};
    const int64_t pixels = dy->dim[0] * oce_ceil_div(g->input[0], g->stride[0]) *
                           oce_ceil_div(g->input[1], g->stride[1]);
    const oce_conv2d_work work = {.pixels = pixels,
                                  .products = phases,
                                  .steps = oce_ceil_div(g->size[0] * g->size[1], phases) * filters,
                                  .most_steps = taps[0] * taps[1] * filters};
    const bool clips = any_clips(g, 0) || any_clips(g, 1);
    for (int i = 0; i < tiles->count; i++) {
        const oce_conv2d_part *part = &tiles->parts[i];
        const int64_t group = oce_conv2d_group_pixels(&work, tiles, part);
        const oce_arg args[] = {
            oce_arg_tensor(dy),
            OCE_STRIDE_ARGS(dy),
            oce_arg_part(d->workspace, d->panels),
            oce_arg_int(tiles->padded),
            oce_arg_int(part->first),
            oce_arg_tensor(d->dx),
            OCE_STRIDE_ARGS(d->dx),
            oce_arg_int(dy->dim[0]),
            oce_arg_int(group),
            oce_arg_int(oce_conv2d_phase_count(g, 1)),
            oce_arg_int(filters),
            oce_arg_int(oce_conv2d_pass_rows(taps[1] * filters, part, tiles->vector)),
            oce_arg_int(part->lanes),
            oce_arg_int(clips),
            AXIS(g, 0),
            AXIS(g, 1)};
        OCE_TRY(oce_launch(part->kernel,
                           oce_range_groups(part->blocks, oce_ceil_div(pixels, group), phases),
                           args, OCE_COUNT(args)));
    }
    return OCE_OK;
}

oce_status oce_conv2d_gradient_run(const oce_conv2d_layout *layout, const oce_conv2d_gradient *d) {
    oce_tensor dy = *d->dy;
    if (d->dot == NULL)
        OCE_TRY(prepare(layout, d, &dy));
    else if (d->reach != NULL)
        OCE_TRY(oce_conv2d_pad(layout, d->dy, d->reach, d->workspace, d->image, &dy));
    return phases_of(d->window) > 1 ? run_all(d, &dy) : run_one(d, &dy);
}
