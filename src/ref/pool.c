#include "ref/ref.h"

#include "base/status.h"
#include "ref/index.h"

/* A checked description: the extents of both arrays and how the window slides. */
typedef struct shapes {
    int64_t x[4]; /* {N, H, W, C} */
    int64_t y[4]; /* {N, OH, OW, C} */
    oce_window_geometry g;
} shapes;

/* The in-range part of one window: input rows h0..h1-1 and columns w0..w1-1. */
typedef struct span {
    int64_t h0, h1, w0, w1;
} span;

enum { MAX_POSITIONS = 255 }; /* a winner is stored in a byte */

static void clip(const oce_window_geometry *g, int axis, int64_t out, int64_t *begin,
                 int64_t *end) {
    const int64_t start = out * g->stride[axis] - g->before[axis];
    *begin = start > 0 ? start : 0;
    *end = start + g->size[axis] < g->input[axis] ? start + g->size[axis] : g->input[axis];
}

static span window_at(const oce_window_geometry *g, int64_t i, int64_t j) {
    span p;
    clip(g, 0, i, &p.h0, &p.h1);
    clip(g, 1, j, &p.w0, &p.w1);
    return p;
}

/* Only the first and the last window of an axis can miss the input. */
static oce_status check_windows(const oce_window_geometry *g, int axis) {
    const int64_t ends[2] = {0, g->output[axis] - 1};
    for (int e = 0; e < 2; e++) {
        int64_t begin, end;
        clip(g, axis, ends[e], &begin, &end);
        OCE_REQUIRE(begin < end, OCE_ERROR_SHAPE,
                    "pool: the window of output %s %lld lies wholly in the padding",
                    axis == 0 ? "row" : "column", (long long)ends[e]);
    }
    return OCE_OK;
}

static oce_status resolve(const oce_pool_desc *d, shapes *t) {
    OCE_REQUIRE(d->kind == OCE_POOL_MAX || d->kind == OCE_POOL_AVERAGE, OCE_ERROR_INVALID_ARGUMENT,
                "pool: unknown kind %d", (int)d->kind);
    OCE_REQUIRE(d->batch >= 0 && d->channels >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "pool: batch %lld or channels %lld is negative", (long long)d->batch,
                (long long)d->channels);
    oce_window_geometry g;
    OCE_TRY(oce_window_resolve(&d->window, d->height, d->width, &g));
    OCE_REQUIRE(g.dilation[0] == 1 && g.dilation[1] == 1, OCE_ERROR_INVALID_ARGUMENT,
                "pool: dilation %lld x %lld is not 1", (long long)g.dilation[0],
                (long long)g.dilation[1]);
    OCE_REQUIRE(d->kind == OCE_POOL_AVERAGE || g.size[0] <= MAX_POSITIONS / g.size[1],
                OCE_ERROR_INVALID_ARGUMENT,
                "max pool: window %lld x %lld has more than %d positions", (long long)g.size[0],
                (long long)g.size[1], MAX_POSITIONS);
    if (g.output[0] > 0 && g.output[1] > 0) {
        OCE_TRY(check_windows(&g, 0));
        OCE_TRY(check_windows(&g, 1));
    }
    *t = (shapes){.x = {d->batch, d->height, d->width, d->channels},
                  .y = {d->batch, g.output[0], g.output[1], d->channels},
                  .g = g};
    return OCE_OK;
}

/* The element of X that wins window `p` of image n, channel c. */
static size_t winner(const shapes *t, const float *x, const span *p, int64_t n, int64_t c) {
    size_t best = oce_ref_at(t->x, n, p->h0, p->w0, c);
    for (int64_t h = p->h0; h < p->h1; h++)
        for (int64_t w = p->w0; w < p->w1; w++) {
            const size_t candidate = oce_ref_at(t->x, n, h, w, c);
            if (x[best] < x[candidate]) /* false for equals and for NaN: the earlier one stays */
                best = candidate;
        }
    return best;
}

/* Where element `at` of X lies in the window of output [i,j], row-major, padding counted. */
static uint8_t position(const shapes *t, size_t at, int64_t i, int64_t j) {
    const int64_t pixel = (int64_t)at / t->x[3];
    const int64_t h = pixel / t->x[2] % t->x[1], w = pixel % t->x[2];
    const int64_t r = h - i * t->g.stride[0] + t->g.before[0];
    const int64_t s = w - j * t->g.stride[1] + t->g.before[1];
    return (uint8_t)(r * t->g.size[1] + s);
}

static double average(const shapes *t, const float *x, const span *p, int64_t n, int64_t c) {
    double sum = 0;
    for (int64_t h = p->h0; h < p->h1; h++)
        for (int64_t w = p->w0; w < p->w1; w++)
            sum += (double)x[oce_ref_at(t->x, n, h, w, c)];
    return sum / (double)((p->h1 - p->h0) * (p->w1 - p->w0));
}

oce_status oce_ref_pool_forward(const oce_pool_desc *desc, const float *x, float *y,
                                uint8_t *winners) {
    shapes t;
    OCE_TRY(resolve(desc, &t));
    OCE_REQUIRE(desc->kind == OCE_POOL_MAX || !winners, OCE_ERROR_INVALID_ARGUMENT,
                "average pool has no winners");
    for (int64_t n = 0; n < t.y[0]; n++)
        for (int64_t i = 0; i < t.y[1]; i++)
            for (int64_t j = 0; j < t.y[2]; j++)
                for (int64_t c = 0; c < t.y[3]; c++) {
                    const span p = window_at(&t.g, i, j);
                    const size_t out = oce_ref_at(t.y, n, i, j, c);
                    if (desc->kind == OCE_POOL_AVERAGE) {
                        y[out] = (float)average(&t, x, &p, n, c);
                        continue;
                    }
                    const size_t best = winner(&t, x, &p, n, c);
                    y[out] = x[best];
                    if (winners)
                        winners[out] = position(&t, best, i, j);
                }
    return OCE_OK;
}

/* The output row or column in whose window input `in` is at `tap`; -1 if there is none. */
static int64_t reached(const oce_window_geometry *g, int axis, int64_t in, int64_t tap) {
    const int64_t start = in + g->before[axis] - tap;
    if (start < 0 || start % g->stride[axis] != 0)
        return -1;
    const int64_t out = start / g->stride[axis];
    return out < g->output[axis] ? out : -1;
}

/* The sum of what every window that holds input [n,h,w,c] sends to it. */
static double input_sum(const oce_pool_desc *desc, const shapes *t, const float *x, const float *dy,
                        const int64_t at[4]) {
    const size_t self = oce_ref_at(t->x, at[0], at[1], at[2], at[3]);
    double sum = 0;
    for (int64_t r = 0; r < t->g.size[0]; r++)
        for (int64_t s = 0; s < t->g.size[1]; s++) {
            const int64_t i = reached(&t->g, 0, at[1], r), j = reached(&t->g, 1, at[2], s);
            if (i < 0 || j < 0)
                continue;
            const span p = window_at(&t->g, i, j);
            const double upstream = (double)dy[oce_ref_at(t->y, at[0], i, j, at[3])];
            if (desc->kind == OCE_POOL_AVERAGE)
                sum += upstream / (double)((p.h1 - p.h0) * (p.w1 - p.w0));
            else if (winner(t, x, &p, at[0], at[3]) == self)
                sum += upstream;
        }
    return sum;
}

oce_status oce_ref_pool_grad(const oce_pool_desc *desc, const float *x, const float *dy,
                             float *dx) {
    shapes t;
    OCE_TRY(resolve(desc, &t));
    for (int64_t n = 0; n < t.x[0]; n++)
        for (int64_t h = 0; h < t.x[1]; h++)
            for (int64_t w = 0; w < t.x[2]; w++)
                for (int64_t c = 0; c < t.x[3]; c++) {
                    const int64_t at[4] = {n, h, w, c};
                    dx[oce_ref_at(t.x, n, h, w, c)] = (float)input_sum(desc, &t, x, dy, at);
                }
    return OCE_OK;
}
