/* A pass of a convolution as both Winograd families see it. */
#include "ops/winograd_pass.h"

#include "base/size.h"

#include <stdio.h>

static int64_t tile_count(const int64_t output[2], int64_t tile) {
    return oce_ceil_div(output[0], tile) * oce_ceil_div(output[1], tile);
}

oce_winograd_pass oce_winograd_pass_of(const oce_conv2d_shape *shape, oce_pass pass) {
    const oce_window_geometry *g = &shape->window;
    const bool is_back = pass == OCE_PASS_INPUT_GRAD;
    oce_winograd_pass w = {
        .pass = pass,
        .channels = is_back ? shape->filters : shape->channels,
        .filters = is_back ? shape->channels : shape->filters,
    };
    for (int axis = 0; axis < 2; axis++) {
        w.input[axis] = is_back ? g->output[axis] : g->input[axis];
        w.output[axis] = is_back ? g->input[axis] : g->output[axis];
        w.before[axis] = is_back ? g->size[axis] - 1 - g->before[axis] : g->before[axis];
    }
    /* Multiplications of an image: tiles * alpha^2 */
    const int64_t r = g->size[0];
    const int64_t large = tile_count(w.output, 4) * (r + 3) * (r + 3);
    const int64_t small = tile_count(w.output, 2) * (r + 1) * (r + 1);
    w.tile = shape->asked.outputs != 0 ? shape->asked.outputs : small < large ? 2 : 4;
    w.alpha = w.tile + r - 1;
    w.grid[0] = oce_ceil_div(w.output[0], w.tile);
    w.grid[1] = oce_ceil_div(w.output[1], w.tile);
    w.tiles = shape->batch * w.grid[0] * w.grid[1];
    return w;
}

bool oce_winograd_outputs(const oce_conv2d_shape *shape, bool has_small, char *reason,
                          size_t reason_bytes) {
    const int outputs = shape->asked.outputs;
    if (outputs == 0 || outputs == 4 || (outputs == 2 && has_small))
        return true;
    snprintf(reason, reason_bytes, "it has no tiles of %d x %d outputs", outputs, outputs);
    return false;
}

bool oce_winograd_window(const oce_window_geometry *g, char *reason, size_t reason_bytes) {
    if (g->size[0] != g->size[1] || (g->size[0] != 3 && g->size[0] != 5))
        snprintf(reason, reason_bytes, "the window is %lld x %lld, not 3 x 3 or 5 x 5",
                 (long long)g->size[0], (long long)g->size[1]);
    else if (g->stride[0] != 1 || g->stride[1] != 1 || g->dilation[0] != 1 || g->dilation[1] != 1)
        snprintf(reason, reason_bytes, "strides %lld, %lld and dilations %lld, %lld are not all 1",
                 (long long)g->stride[0], (long long)g->stride[1], (long long)g->dilation[0],
                 (long long)g->dilation[1]);
    else
        return true;
    return false;
}

int64_t oce_winograd_most_channels(const oce_window_geometry *g) {
    return g->size[0] == 3 ? 4096 : 512;
}

int64_t oce_winograd_local(const oce_limits *limits, int64_t wanted) {
    const size_t most = limits->local_bytes / sizeof(float) / 16 * 13;
    return most < (size_t)wanted ? (int64_t)(most / 16 * 16) : wanted;
}
