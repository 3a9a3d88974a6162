#include <ocelli/train.h>

#include <math.h>

static const double pi = 3.14159265358979323846;

float oce_schedule_rate(const oce_schedule *schedule, uint64_t step) {
    double rate = (double)schedule->base;
    const double periods = schedule->period > 0 ? (double)step / (double)schedule->period : 0.0;
    if (schedule->kind == OCE_SCHEDULE_STEP) {
        rate *= pow((double)schedule->factor, floor(periods));
    } else if (schedule->kind == OCE_SCHEDULE_COSINE) {
        const double along = periods < 1 ? periods : 1;
        const double end = rate * (double)schedule->factor;
        rate = end + (rate - end) * 0.5 * (1 + cos(pi * along));
    }
    if (schedule->warm_up > 0 && step < (uint64_t)schedule->warm_up)
        rate *= (double)(step + 1) / (double)schedule->warm_up;
    return (float)rate;
}
