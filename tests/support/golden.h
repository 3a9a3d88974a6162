/* Training runs that TensorFlow made; see the "Golden training runs" of tests/vectors/README.md for
 * starts and bounds. */
#ifndef TEST_GOLDEN_H
#define TEST_GOLDEN_H

#include <ocelli/train.h>

#include <jansson.h>

typedef struct golden {
    json_t *json;
    oce_device *device;
    oce_model *model;
    oce_dataset *data;
    oce_recipe recipe;
    int steps; /* to compare */
    double extra_drift, gradient_tolerance;
} golden;

/* CIFAR-10's first gradients with scaled inputs: where a ReLU's input or two candidates of a
 * maximum are equal but for rounding, the rounding decides, and a gradient changes by a whole term.
 * TensorFlow's own float32 gradients of the first batch, from the start and from starts moved in
 * the last bit, are up to this much of the largest away from its float64 ones. */
#define GOLDEN_SCALED_TIES 2e-3

/* The model of tests/vectors/`file` at its start, with the real data; skips the test if that is not
 * under OCELLI_DATA, or if OCELLI_TEST_GOLDEN_NETWORKS (for slow devices) names other networks. */
golden golden_open(const char *file, bool no_winograd);
golden golden_open_with(const char *file, oce_conv2d_family conv2d, bool no_winograd,
                        oce_gemm_family gemm);

/* Follows the run for g->steps steps, at most OCELLI_TEST_GOLDEN_STEPS (for slow devices): every
 * loss, and the first gradients, within honest rounding. Closes *g. */
void golden_run(golden *g);

#endif
