#include "ref/ref.h"

#include "base/status.h"
#include "ref/index.h"

/* A checked description: the extents of the three arrays and how the window slides. */
typedef struct shapes {
    int64_t x[4]; /* {N, H, W, C} */
    int64_t f[4]; /* {R, S, C, K} */
    int64_t y[4]; /* {N, OH, OW, K} */
    oce_window_geometry g;
} shapes;

static oce_status resolve(const oce_conv2d_desc *d, shapes *t) {
    OCE_REQUIRE(d->batch >= 0 && d->channels >= 0 && d->filters >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "conv2d: batch %lld, channels %lld or filters %lld is negative",
                (long long)d->batch, (long long)d->channels, (long long)d->filters);
    OCE_REQUIRE(d->activation == OCE_ACTIVATION_NONE || d->activation == OCE_ACTIVATION_RELU,
                OCE_ERROR_INVALID_ARGUMENT, "conv2d: unknown activation %d", (int)d->activation);
    oce_window_geometry g;
    OCE_TRY(oce_window_resolve(&d->window, d->height, d->width, &g));
    *t = (shapes){.x = {d->batch, d->height, d->width, d->channels},
                  .f = {g.size[0], g.size[1], d->channels, d->filters},
                  .y = {d->batch, g.output[0], g.output[1], d->filters},
                  .g = g};
    return OCE_OK;
}

/* The input row (axis 0) or column (axis 1) that `tap` of the window reads for output `out`; -1 if
 * that lies in the padding. */
static int64_t source(const oce_window_geometry *g, int axis, int64_t out, int64_t tap) {
    const int64_t in = out * g->stride[axis] - g->before[axis] + tap * g->dilation[axis];
    return in >= 0 && in < g->input[axis] ? in : -1;
}

/* The output row or column whose `tap` reads input `in`; -1 if there is none. */
static int64_t reached(const oce_window_geometry *g, int axis, int64_t in, int64_t tap) {
    const int64_t start = in + g->before[axis] - tap * g->dilation[axis];
    if (start < 0 || start % g->stride[axis] != 0)
        return -1;
    const int64_t out = start / g->stride[axis];
    return out < g->output[axis] ? out : -1;
}

/* Sum over r, s, c of X * F for output [n,i,j,k]. */
static double forward_sum(const shapes *t, const float *x, const float *filter, int64_t n,
                          int64_t i, int64_t j, int64_t k) {
    double sum = 0;
    for (int64_t r = 0; r < t->f[0]; r++)
        for (int64_t s = 0; s < t->f[1]; s++) {
            const int64_t h = source(&t->g, 0, i, r), w = source(&t->g, 1, j, s);
            for (int64_t c = 0; c < t->f[2] && h >= 0 && w >= 0; c++)
                sum += (double)x[oce_ref_at(t->x, n, h, w, c)] *
                       (double)filter[oce_ref_at(t->f, r, s, c, k)];
        }
    return sum;
}

oce_status oce_ref_conv2d_forward(const oce_conv2d_desc *desc, const float *x, const float *filter,
                                  const float *bias, float *y) {
    shapes t;
    OCE_TRY(resolve(desc, &t));
    for (int64_t n = 0; n < t.y[0]; n++)
        for (int64_t i = 0; i < t.y[1]; i++)
            for (int64_t j = 0; j < t.y[2]; j++)
                for (int64_t k = 0; k < t.y[3]; k++) {
                    const double sum =
                        forward_sum(&t, x, filter, n, i, j, k) + (bias ? (double)bias[k] : 0.0);
                    float *out = &y[oce_ref_at(t.y, n, i, j, k)];
                    *out = (float)sum;
                    if (desc->activation == OCE_ACTIVATION_RELU)
                        oce_ref_relu(1, out, out);
                }
    return OCE_OK;
}

/* Sum over all i, j, r, s, k that reach input [n,h,w,c] of dY * F. */
static double input_sum(const shapes *t, const float *dy, const float *filter, int64_t n, int64_t h,
                        int64_t w, int64_t c) {
    double sum = 0;
    for (int64_t r = 0; r < t->f[0]; r++)
        for (int64_t s = 0; s < t->f[1]; s++) {
            const int64_t i = reached(&t->g, 0, h, r), j = reached(&t->g, 1, w, s);
            for (int64_t k = 0; k < t->f[3] && i >= 0 && j >= 0; k++)
                sum += (double)dy[oce_ref_at(t->y, n, i, j, k)] *
                       (double)filter[oce_ref_at(t->f, r, s, c, k)];
        }
    return sum;
}

oce_status oce_ref_conv2d_input_grad(const oce_conv2d_desc *desc, const float *dy,
                                     const float *filter, float *dx) {
    shapes t;
    OCE_TRY(resolve(desc, &t));
    for (int64_t n = 0; n < t.x[0]; n++)
        for (int64_t h = 0; h < t.x[1]; h++)
            for (int64_t w = 0; w < t.x[2]; w++)
                for (int64_t c = 0; c < t.x[3]; c++)
                    dx[oce_ref_at(t.x, n, h, w, c)] = (float)input_sum(&t, dy, filter, n, h, w, c);
    return OCE_OK;
}

/* Sum over n, i, j of dY * X for filter element [r,s,c,k]. */
static double filter_sum(const shapes *t, const float *x, const float *dy, int64_t r, int64_t s,
                         int64_t c, int64_t k) {
    double sum = 0;
    for (int64_t n = 0; n < t->y[0]; n++)
        for (int64_t i = 0; i < t->y[1]; i++)
            for (int64_t j = 0; j < t->y[2]; j++) {
                const int64_t h = source(&t->g, 0, i, r), w = source(&t->g, 1, j, s);
                if (h >= 0 && w >= 0)
                    sum += (double)dy[oce_ref_at(t->y, n, i, j, k)] *
                           (double)x[oce_ref_at(t->x, n, h, w, c)];
            }
    return sum;
}

oce_status oce_ref_conv2d_filter_grad(const oce_conv2d_desc *desc, const float *x, const float *dy,
                                      float *dfilter) {
    shapes t;
    OCE_TRY(resolve(desc, &t));
    for (int64_t r = 0; r < t.f[0]; r++)
        for (int64_t s = 0; s < t.f[1]; s++)
            for (int64_t c = 0; c < t.f[2]; c++)
                for (int64_t k = 0; k < t.f[3]; k++)
                    dfilter[oce_ref_at(t.f, r, s, c, k)] = (float)filter_sum(&t, x, dy, r, s, c, k);
    return OCE_OK;
}
