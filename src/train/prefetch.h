/* Batches that a thread of their own gathers while the device works. */
#ifndef OCE_TRAIN_PREFETCH_H
#define OCE_TRAIN_PREFETCH_H

#include <ocelli/data.h>

typedef struct oce_prefetch oce_prefetch;

/* Starts gathering from batch number `first` on, which are those of oce_batches_create(). `dataset`
 * must live as long. Errors: those of oce_batches_create, OCE_ERROR_HOST_MEMORY. */
oce_status oce_prefetch_create(const oce_dataset *dataset, int64_t batch, oce_shuffle shuffle,
                               uint64_t seed, uint64_t first, oce_prefetch **prefetch);

/* The next batch: images [batch, H, W, C] and labels [batch], which stay until the next call.
 * Errors: those of oce_batches_next. */
oce_status oce_prefetch_next(oce_prefetch *prefetch, const uint8_t **images,
                             const uint8_t **labels);

/* Stops the thread. NULL is ignored. */
void oce_prefetch_destroy(oce_prefetch *prefetch);

#endif
