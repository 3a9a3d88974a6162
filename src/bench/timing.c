/* Wall-clock time of work on a device. */
#include <ocelli/bench.h>

#include "base/clock.h"
#include "base/status.h"

#include <math.h>
#include <stdlib.h>

/* A sample takes at least this long, so that neither the clock nor the wait at its end counts. */
static const double sample_seconds = 2e-3;
static const double usual_seconds = 0.5;
enum { LEAST_SAMPLES = 5, MOST_SAMPLES = 10000, MOST_RUNS = 10000 };

oce_status oce_bench_seconds(oce_device *device, oce_bench_work work, void *context, int64_t runs,
                             double *seconds) {
    OCE_REQUIRE(runs >= 1, OCE_ERROR_INVALID_ARGUMENT, "timing %lld runs", (long long)runs);
    OCE_TRY(oce_device_finish(device));
    const double start = oce_clock_seconds();
    for (int64_t i = 0; i < runs; i++)
        OCE_TRY(work(context));
    OCE_TRY(oce_device_finish(device));
    *seconds = oce_clock_seconds() - start;
    return OCE_OK;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share `q` of the sorted values lies below, between two of them by their
 * distance. */
static double quantile(const double *sorted, int count, double q) {
    const double place = q * (count - 1);
    const int below = (int)floor(place);
    const int above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

static oce_status take_samples(oce_device *device, oce_bench_work work, void *context,
                               const oce_bench_options *options, oce_timing *timing,
                               double *samples) {
    const double wanted = options->seconds > 0 ? options->seconds : usual_seconds;
    double seconds = 0, total = 0;
    OCE_TRY(oce_bench_seconds(device, work, context, 1, &seconds));
    OCE_TRY(oce_bench_seconds(device, work, context, 1, &seconds));
    const double runs = ceil(sample_seconds / fmax(seconds, 1e-9));
    timing->runs = (int64_t)fmin(runs, MOST_RUNS);
    for (int count = 0; count < MOST_SAMPLES; count++) {
        if (options->samples > 0 ? count == options->samples
                                 : count >= LEAST_SAMPLES && total >= wanted)
            break;
        OCE_TRY(oce_bench_seconds(device, work, context, timing->runs, &seconds));
        samples[count] = seconds / (double)timing->runs;
        total += seconds;
        timing->samples = count + 1;
    }
    return OCE_OK;
}

oce_status oce_bench_time(oce_device *device, oce_bench_work work, void *context,
                          const oce_bench_options *options, oce_timing *timing) {
    static const oce_bench_options usual = {0};
    *timing = (oce_timing){0};
    double *samples = malloc(MOST_SAMPLES * sizeof *samples);
    OCE_REQUIRE(samples != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %d times",
                (int)MOST_SAMPLES);
    const oce_status status =
        take_samples(device, work, context, options != NULL ? options : &usual, timing, samples);
    if (status == OCE_OK) {
        const int count = timing->samples;
        qsort(samples, (size_t)count, sizeof *samples, compare_doubles);
        timing->minimum = samples[0];
        timing->maximum = samples[count - 1];
        timing->median = quantile(samples, count, 0.5);
        timing->quartile[0] = quantile(samples, count, 0.25);
        timing->quartile[1] = quantile(samples, count, 0.75);
    }
    free(samples);
    return status;
}
