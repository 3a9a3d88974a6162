/*
 * Checking a backward operation against a numerical derivative of its forward operation.
 *
 * The loss is L = sum of dy * y, so its derivative is what the backward operation makes of dy. With
 * inputs that are multiples of 1/8 and steps that are powers of two, a forward operation that is
 * (piecewise) linear gives exact floats and an exact central difference: ask for equality then.
 */
#ifndef TESTS_SUPPORT_GRADIENT_H
#define TESTS_SUPPORT_GRADIENT_H

#include "base/random.h"
#include "compare.h"

/* A forward operation: computes y from the arrays that `op` points to. */
typedef void gradient_forward(const void *op, float *y);

typedef struct gradient_loss {
    gradient_forward *forward;
    const void *op;
    const float *dy; /* [outputs] */
    size_t outputs;
} gradient_loss;

/* Compares `gradient` with dL/d(values), where `values` is one of the arrays that the forward
 * operation reads; each element is moved by +step and -step, and put back. */
void check_gradient(const gradient_loss *loss, float *values, size_t count, float step,
                    const float *gradient, compare_limit limit, const char *name, const char *what);

/* Zeroed memory for `count` floats, 0 included; fails the test instead of returning NULL. */
float *test_floats(size_t count);
/* The same, filled with multiples of 1/8 in [-1, 1]. */
float *test_eighths(oce_random *random, size_t count);
/* Elements of an array of four extents. */
size_t test_product(int64_t a, int64_t b, int64_t c, int64_t d);
/* A whole number in low..high. */
int64_t test_between(oce_random *random, int64_t low, int64_t high);

#endif
