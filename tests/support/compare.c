#include "compare.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static double largest_of(const float *values, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            largest = fmax(largest, fabs((double)values[i]));
    return largest;
}

static bool close_enough(double got, double expected, double allowed) {
    if (isnan(expected) || isnan(got))
        return isnan(expected) && isnan(got);
    if (isinf(expected) || isinf(got))
        return expected == got;
    return fabs(got - expected) <= allowed;
}

static void describe(compare_report *report, float got, float expected, double allowed,
                     size_t count, const int64_t *shape) {
    char index[96] = "";
    if (shape) {
        const int64_t flat = (int64_t)report->first;
        const int64_t c = flat % shape[3], w = flat / shape[3] % shape[2];
        const int64_t h = flat / shape[3] / shape[2] % shape[1];
        const int64_t n = flat / shape[3] / shape[2] / shape[1];
        snprintf(index, sizeof index, " [%lld,%lld,%lld,%lld]", (long long)n, (long long)h,
                 (long long)w, (long long)c);
    }
    snprintf(report->message, sizeof report->message,
             "%zu of %zu wrong; first %zu%s: got %.9g, expected %.9g, off by %.3g where %.3g is "
             "allowed; largest error %.3g absolute, %.3g relative, largest value %.3g",
             report->wrong, count, report->first, index, (double)got, (double)expected,
             fabs((double)got - (double)expected), allowed, report->max_absolute,
             report->max_relative, report->largest);
}

compare_report compare_floats(const float *got, const float *expected, size_t count,
                              const int64_t *shape, compare_limit limit) {
    compare_report report = {.equal = true, .largest = largest_of(expected, count)};
    const double base = limit.absolute + limit.of_largest * report.largest;
    for (size_t i = 0; i < count; i++) {
        const double g = (double)got[i], e = (double)expected[i];
        if (isfinite(g) && isfinite(e)) {
            report.max_absolute = fmax(report.max_absolute, fabs(g - e));
            if (e != 0)
                report.max_relative = fmax(report.max_relative, fabs(g - e) / fabs(e));
        }
        if (close_enough(g, e, base + limit.relative * fabs(e)))
            continue;
        if (report.wrong++ == 0)
            report.first = i;
    }
    report.equal = report.wrong == 0;
    if (!report.equal) {
        const float e = expected[report.first];
        describe(&report, got[report.first], e, base + limit.relative * fabs((double)e), count,
                 shape);
    }
    return report;
}

enum { NAME_BYTES = 256 };

#define FORMAT_NAME(name, what)                                                                    \
    do {                                                                                           \
        va_list arguments;                                                                         \
        va_start(arguments, what);                                                                 \
        vsnprintf(name, NAME_BYTES, what, arguments);                                              \
        va_end(arguments);                                                                         \
    } while (0)

void expect_floats(const float *got, const float *expected, size_t count, const int64_t *shape,
                   compare_limit limit, const char *what, ...) {
    char name[NAME_BYTES];
    FORMAT_NAME(name, what);
    const compare_report report = compare_floats(got, expected, count, shape, limit);
    cr_expect(report.equal, "%s: %s", name, report.message);
}

void expect_ints(const int32_t *got, const int32_t *expected, size_t count, const char *what, ...) {
    char name[NAME_BYTES];
    FORMAT_NAME(name, what);
    size_t first = 0;
    while (first < count && got[first] == expected[first])
        first++;
    if (first < count)
        cr_expect(false, "%s: element %zu of %zu: got %ld, expected %ld", name, first, count,
                  (long)got[first], (long)expected[first]);
}

void expect_bytes(const void *got, const void *expected, size_t count, const char *what, ...) {
    char name[NAME_BYTES];
    FORMAT_NAME(name, what);
    const unsigned char *g = got, *e = expected;
    size_t first = 0;
    while (first < count && g[first] == e[first])
        first++;
    if (first < count)
        cr_expect(false, "%s: byte %zu of %zu: got %u, expected %u", name, first, count,
                  (unsigned)g[first], (unsigned)e[first]);
}
