/* Inside of a data set, for the loaders and the synthetic sets. */
#ifndef OCE_DATA_DATASET_H
#define OCE_DATA_DATASET_H

#include <ocelli/data.h>

#include "base/status.h"

enum { OCE_DIGIT_SIZE = 28, OCE_DIGIT_CLASSES = 10, OCE_CIFAR_SIZE = 32, OCE_CIFAR_CLASSES = 10 };

extern const char *const oce_cifar10_names[OCE_CIFAR_CLASSES];

/* What the examples of a set have in common. */
typedef struct oce_example_shape {
    int64_t height, width, channels;
    int64_t classes;
    const char *const *class_names; /* NULL: the class numbers */
} oce_example_shape;

/*
 * A data set of `count` (>= 1) examples whose pixels and labels are still to be filled in: the only
 * owner writes them through oce_dataset_pixels() and oce_dataset_classes_of() before anyone else
 * sees the set.
 */
oce_status oce_dataset_allocate(const oce_example_shape *shape, int64_t count,
                                oce_dataset **dataset);
/* Changes the number of examples (>= 1) of a set that was never sliced; keeps the first ones. */
oce_status oce_dataset_resize(oce_dataset *dataset, int64_t count);
uint8_t *oce_dataset_pixels(oce_dataset *dataset, int64_t example); /* [height, width, channels] */
uint8_t *oce_dataset_label(oce_dataset *dataset, int64_t example);
void oce_dataset_mark_synthetic(oce_dataset *dataset);
oce_status oce_dataset_describe(oce_dataset *dataset, const char *format, ...) OCE_PRINTF(2, 3);

#endif
