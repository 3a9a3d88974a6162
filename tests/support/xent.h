/* Running the device's cross entropy against class numbers on host arrays. */
#ifndef TESTS_SUPPORT_XENT_H
#define TESTS_SUPPORT_XENT_H

#include <ocelli/device.h>
#include <ocelli/softmax.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct xent_run {
    int64_t rows, classes;
    const float *z;        /* logits [rows, classes] */
    const uint8_t *labels; /* [rows] */
    float upstream;
    oce_xent_sums sums;   /* result */
    float *dz;            /* result, free() it */
    int32_t *predictions; /* result, free() it */
} xent_run;

/* Runs it with labels and sums from the middle of their buffers; fails the test if other sums were
 * written. in_place: the gradient overwrites the logits. */
void xent_run_on(oce_device *device, xent_run *run, bool in_place);

/* Runs it and compares sums, gradient and predictions with src/ref; keeps only the sums. */
void xent_check(oce_device *device, xent_run *run, bool in_place);

#endif
