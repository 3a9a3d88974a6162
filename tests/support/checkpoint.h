/* Contents for checkpoints: the start values of the golden files, and small arrays. */
#ifndef TESTS_SUPPORT_CHECKPOINT_H
#define TESTS_SUPPORT_CHECKPOINT_H

#include <ocelli/array.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays that own their names, shapes and numbers (float32). */
typedef struct array_set {
    oce_array *arrays;
    size_t count;
} array_set;

void array_set_add(array_set *set, const char *name, int rank, const int64_t *shape,
                   const float *values);
void array_set_free(array_set *set);

/* What tf.train.Saver saves for the untrained network of golden_mnist.json (Adam) or
 * golden_cifar10.json (RMSProp): variables at their start, slots at their initial values. */
array_set golden_start(bool cifar10);

/* Three small arrays, one a scalar, whose numbers depend on `seed`. */
array_set small_arrays(int seed);
/* Whether bundle `prefix` has exactly these arrays. */
bool bundle_equals(const char *prefix, const array_set *set);

#endif
