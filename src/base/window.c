#include <ocelli/window.h>

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Every extent stays below this, so that the sums and products below cannot overflow. */
static const int64_t extent_limit = INT64_C(1) << 31;

static int64_t or_one(int64_t value) {
    return value == 0 ? 1 : value;
}

static oce_status resolve_axis(const oce_window *window, int axis, int64_t n,
                               oce_window_geometry *g) {
    const char *name = axis == 0 ? "height" : "width";
    const int64_t k = window->size[axis];
    const int64_t s = or_one(window->stride[axis]), d = or_one(window->dilation[axis]);
    const bool is_explicit = window->padding == OCE_PADDING_EXPLICIT;
    int64_t before = is_explicit ? window->before[axis] : 0;
    int64_t after = is_explicit ? window->after[axis] : 0;
    OCE_REQUIRE(n >= 0, OCE_ERROR_INVALID_ARGUMENT, "input %s %lld is negative", name,
                (long long)n);
    OCE_REQUIRE(k >= 1, OCE_ERROR_INVALID_ARGUMENT, "window %s %lld is less than 1", name,
                (long long)k);
    OCE_REQUIRE(s >= 1, OCE_ERROR_INVALID_ARGUMENT, "stride %lld along the %s is less than 1",
                (long long)s, name);
    OCE_REQUIRE(d >= 1, OCE_ERROR_INVALID_ARGUMENT, "dilation %lld along the %s is less than 1",
                (long long)d, name);
    OCE_REQUIRE(before >= 0 && after >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "padding %lld, %lld along the %s is negative", (long long)before, (long long)after,
                name);
    OCE_REQUIRE(n < extent_limit && k < extent_limit && s < extent_limit && d < extent_limit &&
                    before < extent_limit && after < extent_limit,
                OCE_ERROR_OVERFLOW,
                "%s: input %lld, window %lld, stride %lld, dilation %lld, padding %lld, %lld: one "
                "is not below 2^31",
                name, (long long)n, (long long)k, (long long)s, (long long)d, (long long)before,
                (long long)after);
    const int64_t span = (k - 1) * d + 1; /* below 2^62 */
    int64_t output;
    if (window->padding == OCE_PADDING_SAME) {
        output = (n + s - 1) / s;
        const int64_t needed = (output - 1) * s + span - n;
        const int64_t total = needed > 0 && output > 0 ? needed : 0;
        before = total / 2;
        after = total - before;
    } else {
        output = (n + before + after - span + s) / s;
    }
    OCE_REQUIRE(output >= 0, OCE_ERROR_SHAPE,
                "%s: window %lld with dilation %lld spans %lld, more than the input's %lld plus "
                "padding %lld, %lld: the output size would be %lld",
                name, (long long)k, (long long)d, (long long)span, (long long)n, (long long)before,
                (long long)after, (long long)output);
    g->input[axis] = n;
    g->output[axis] = output;
    g->size[axis] = k;
    g->stride[axis] = s;
    g->dilation[axis] = d;
    g->before[axis] = before;
    g->after[axis] = after;
    return OCE_OK;
}

oce_status oce_window_resolve(const oce_window *window, int64_t height, int64_t width,
                              oce_window_geometry *geometry) {
    OCE_REQUIRE(window->padding == OCE_PADDING_SAME || window->padding == OCE_PADDING_VALID ||
                    window->padding == OCE_PADDING_EXPLICIT,
                OCE_ERROR_INVALID_ARGUMENT, "unknown padding %d", (int)window->padding);
    oce_window_geometry g = {{0}, {0}, {0}, {0}, {0}, {0}, {0}};
    OCE_TRY(resolve_axis(window, 0, height, &g));
    OCE_TRY(resolve_axis(window, 1, width, &g));
    *geometry = g;
    return OCE_OK;
}
