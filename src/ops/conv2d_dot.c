#include "ops/conv2d_phases.h"

#include "base/size.h"
#include "base/status.h"

static const char file[] = "conv2d_dot.cl";

enum {
    MOST_OUTPUTS = 8,
    LEAST_SUMS = 8, /* of a tile: what hides the latency of the multiplier */
    TILE_COST = 5,  /* of adding an output's lanes and storing it, in multiply-adds of a vector */
    GROUPS = 256    /* wanted: a few for each of 64 compute units */
};

/* Multiply-adds of vectors of a group: enough to hide what starting it costs, not so many that
 * units run idle. */
static const int64_t least_work = 20000, most_work = 500000;

/* Numbers of the sum that lie side by side, and how many such runs a row of the window has. */
typedef struct runs {
    int64_t count, length, steps; /* vectors of a run */
} runs;

static runs runs_of(int64_t columns, int64_t dilation, int64_t channels, int vector) {
    const bool is_one = columns == 1 || dilation == 1;
    runs r = {is_one ? 1 : columns, is_one ? columns * channels : channels, 0};
    r.steps = oce_ceil_div(r.length, vector);
    return r;
}

bool oce_conv2d_dot_suits(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass) {
    const oce_window_geometry *g = &shape->window;
    const bool is_forward = pass == OCE_PASS_FORWARD;
    const int64_t outputs = is_forward ? shape->filters : shape->channels;
    const int64_t channels = is_forward ? shape->channels : shape->filters;
    if (!limits->is_cpu || pass == OCE_PASS_FILTER_GRAD || outputs > MOST_OUTPUTS || outputs == 0)
        return false;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t reach = (g->size[axis] - 1) * g->dilation[axis], before = g->before[axis];
        /* The gradient's border is one for taps that are inside dY for some input. */
        if (!is_forward &&
            (g->stride[axis] > 1 || before >= g->output[axis] || reach - before >= g->input[axis]))
            return false;
    }
    const oce_halo border = is_forward ? shape->reach : oce_conv2d_gradient_reach(g);
    const int64_t *dim = is_forward ? shape->y_dim : shape->x_dim;
    if (border.top + border.bottom > dim[1] || border.left + border.right > dim[2])
        return false; /* many taps are outside the image, for which there is no test */
    const runs r = runs_of(g->size[1], g->dilation[1], channels, limits->vector_width);
    const int64_t dot = g->size[0] * r.count * r.steps * outputs + TILE_COST * outputs;
    const int64_t direct =
        g->size[0] * g->size[1] * channels * oce_ceil_div(outputs, limits->vector_width);
    return dot * 4 < direct * 3;
}

oce_status oce_conv2d_dot_get(oce_device *device, int64_t outputs, oce_conv2d_dot *dot) {
    const oce_limits *limits = oce_device_limits(device);
    const int vector = limits->vector_width;
    *dot = (oce_conv2d_dot){
        .vector = vector, .outputs = (int)outputs, .loop_rounds = limits->loop_rounds};
    dot->pixels = (vector > LEAST_SUMS ? vector : LEAST_SUMS) / dot->outputs;
    oce_defines defines = {0};
    oce_define(&defines, "DOT_OUTPUTS", outputs);
    oce_define(&defines, "DOT_PIXELS", dot->pixels);
    OCE_TRY(oce_kernel_get(device, file, "conv2d_dot conv2d_dot_pack", &defines, &dot->product));
    return oce_kernel_get(device, file, "conv2d_dot_pack", &defines, &dot->pack);
}

void oce_conv2d_dot_extents(const oce_conv2d_dot *dot, const oce_conv2d_shape *shape,
                            int64_t channels, int64_t extents[OCE_CONV2D_DOT_EXTENTS]) {
    const oce_window_geometry *g = &shape->window;
    const runs r = runs_of(g->size[1], g->dilation[1], channels, dot->vector);
    extents[0] = g->size[0];
    extents[1] = r.count * r.steps;
    extents[2] = dot->outputs;
    extents[3] = dot->vector;
}

static int64_t group_pixels(const oce_conv2d_dot *dot, int64_t pixels, int64_t steps) {
    const int64_t work = steps * dot->outputs + TILE_COST * dot->outputs;
    const int64_t most_tiles = dot->loop_rounds / (steps * 2);
    int64_t group = oce_min_int64(pixels / GROUPS, most_work / work);
    group = oce_max_int64(group, least_work / work);
    group = oce_max_int64(oce_ceil_div(group, dot->pixels), 1);
    return oce_min_int64(group, oce_max_int64(most_tiles, 1)) * dot->pixels;
}

oce_status oce_conv2d_dot_run(const oce_conv2d_dot *dot, const oce_conv2d_product *p,
                              const oce_conv2d_dot_filter *f, oce_buffer *workspace, size_t at) {
    const runs r = runs_of(p->size[1], p->dilation_right, p->channels, dot->vector);
    const int64_t pixels = p->images * p->output[0] * p->output[1];
    const int64_t group = group_pixels(dot, pixels, p->size[0] * r.count * r.steps);
    const oce_arg pack[] = {
        oce_arg_tensor(f->filter),   oce_arg_long(f->first),   oce_arg_long(f->row),
        oce_arg_long(f->column),     oce_arg_long(f->channel), oce_arg_long(f->output),
        oce_arg_part(workspace, at), oce_arg_int(p->size[0]),  oce_arg_int(r.count),
        oce_arg_int(r.length),       oce_arg_int(p->channels)};
    OCE_TRY(oce_launch(dot->pack, oce_range_groups(p->size[0] * r.count * r.steps, 1, 1), pack,
                       OCE_COUNT(pack)));
    const oce_arg args[] = {oce_arg_part(p->x.buffer, (uint64_t)p->x.offset),
                            oce_arg_long(p->x.image),
                            oce_arg_long(p->x.down),
                            oce_arg_long(p->x.right),
                            oce_arg_long(p->tap_down),
                            oce_arg_long(p->tap),
                            oce_arg_part(workspace, at),
                            oce_arg_tensor(p->bias),
                            oce_arg_part(p->y.buffer, (uint64_t)p->y.offset),
                            oce_arg_long(p->y.image),
                            oce_arg_long(p->y.down),
                            oce_arg_long(p->y.right),
                            oce_arg_int(p->output[0]),
                            oce_arg_int(p->output[1]),
                            oce_arg_long(pixels),
                            oce_arg_int(group),
                            oce_arg_int(p->size[0]),
                            oce_arg_int(r.count),
                            oce_arg_int(r.length),
                            oce_arg_int(p->relu)};
    return oce_launch(dot->product, oce_range_groups(oce_ceil_div(pixels, group), 1, 1), args,
                      OCE_COUNT(args));
}
