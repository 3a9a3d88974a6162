#include "gradient.h"

#include "base/size.h"

#include <criterion/criterion.h>

#include <stdlib.h>

float *test_floats(size_t count) {
    float *values = calloc(count + 1, sizeof *values);
    cr_assert(values, "out of memory");
    return values;
}

float *test_eighths(oce_random *random, size_t count) {
    float *values = test_floats(count);
    for (size_t i = 0; i < count; i++)
        values[i] = ((float)oce_random_below(random, 17) - 8.0F) / 8.0F;
    return values;
}

int64_t test_between(oce_random *random, int64_t low, int64_t high) {
    return low + (int64_t)oce_random_below(random, (uint32_t)(high - low + 1));
}

size_t test_product(int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t extents[4] = {a, b, c, d};
    size_t count = 0;
    cr_assert(oce_size_product(extents, 4, &count));
    return count;
}

static double loss_value(const gradient_loss *l) {
    float *y = test_floats(l->outputs);
    l->forward(l->op, y);
    double sum = 0;
    for (size_t i = 0; i < l->outputs; i++)
        sum += (double)l->dy[i] * (double)y[i];
    free(y);
    return sum;
}

void check_gradient(const gradient_loss *l, float *values, size_t count, float step,
                    const float *gradient, compare_limit limit, const char *name,
                    const char *what) {
    float *numeric = test_floats(count);
    for (size_t i = 0; i < count; i++) {
        const float kept = values[i];
        values[i] = kept + step;
        const double above = loss_value(l);
        values[i] = kept - step;
        const double below = loss_value(l);
        values[i] = kept;
        numeric[i] = (float)((above - below) / (2.0 * (double)step));
    }
    expect_floats(gradient, numeric, count, NULL, limit, "%s, %s", name, what);
    free(numeric);
}
