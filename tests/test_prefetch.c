/* Batches that are gathered on a thread of their own. */
#include "support/device.h"
#include "train/prefetch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 50, IMAGE = 12, BATCH = 8, FIRST = 5, TAKEN = 40, SEED = 3 };

static oce_dataset *numbered_images(void) {
    uint8_t images[EXAMPLES * IMAGE], labels[EXAMPLES];
    oce_dataset *dataset = NULL;
    for (int i = 0; i < EXAMPLES; i++) {
        labels[i] = (uint8_t)(i % 7);
        for (int j = 0; j < IMAGE; j++)
            images[i * IMAGE + j] = (uint8_t)(i * 5 + j);
    }
    TEST_OK(oce_dataset_create(images, labels, EXAMPLES, 2, 2, 3, 7, NULL, &dataset));
    return dataset;
}

static void expect_batch(const oce_dataset *dataset, const int32_t *indices, const uint8_t *images,
                         const uint8_t *labels, int number) {
    for (int i = 0; i < BATCH; i++) {
        const uint8_t *image = oce_dataset_images(dataset) + indices[i] * IMAGE;
        cr_expect_eq(memcmp(images + i * IMAGE, image, IMAGE), 0, "image %d of batch %d", i,
                     number);
        cr_expect_eq(labels[i], oce_dataset_labels(dataset)[indices[i]]);
    }
}

Test(prefetch, gives_the_batches_in_their_order) {
    static const oce_shuffle orders[] = {OCE_SHUFFLE_EPOCH, OCE_SHUFFLE_DRAW, OCE_SHUFFLE_NONE};
    oce_dataset *dataset = numbered_images();
    for (int o = 0; o < 3; o++) {
        oce_batches *batches = NULL;
        oce_prefetch *prefetch = NULL;
        TEST_OK(oce_batches_create(EXAMPLES, BATCH, orders[o], SEED, &batches));
        TEST_OK(oce_batches_seek(batches, FIRST));
        TEST_OK(oce_prefetch_create(dataset, BATCH, orders[o], SEED, FIRST, &prefetch));
        for (int b = 0; b < TAKEN; b++) {
            int32_t indices[BATCH];
            const uint8_t *images = NULL, *labels = NULL;
            TEST_OK(oce_batches_next(batches, indices));
            TEST_OK(oce_prefetch_next(prefetch, &images, &labels));
            expect_batch(dataset, indices, images, labels, b);
        }
        oce_prefetch_destroy(prefetch);
        oce_batches_destroy(batches);
    }
    oce_dataset_destroy(dataset);
}

Test(prefetch, can_be_stopped_at_any_time) {
    oce_dataset *dataset = numbered_images();
    for (int taken = 0; taken < 200; taken++) {
        oce_prefetch *prefetch = NULL;
        const uint8_t *images = NULL, *labels = NULL;
        TEST_OK(oce_prefetch_create(dataset, BATCH, OCE_SHUFFLE_DRAW, SEED, 0, &prefetch));
        for (int b = 0; b < taken % 5; b++)
            TEST_OK(oce_prefetch_next(prefetch, &images, &labels));
        oce_prefetch_destroy(prefetch);
    }
    oce_prefetch_destroy(NULL);
    oce_dataset_destroy(dataset);
}

Test(prefetch, refuses_what_batches_refuse) {
    oce_dataset *dataset = numbered_images();
    oce_prefetch *prefetch = NULL;
    cr_expect_eq(oce_prefetch_create(dataset, EXAMPLES + 1, OCE_SHUFFLE_EPOCH, SEED, 0, &prefetch),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_null(prefetch);
    cr_expect_eq(
        oce_prefetch_create(dataset, BATCH, OCE_SHUFFLE_EPOCH, SEED, UINT64_MAX, &prefetch),
        OCE_ERROR_OVERFLOW);
    cr_expect_null(prefetch);
    oce_dataset_destroy(dataset);
}

/* The sequence ends; the failure comes with the batch that is not there. */
Test(prefetch, tells_when_the_batches_end) {
    oce_dataset *dataset = numbered_images();
    oce_prefetch *prefetch = NULL;
    const uint8_t *images = NULL, *labels = NULL;
    const uint64_t calls = ((uint64_t)1 << 63) / BATCH;
    TEST_OK(oce_prefetch_create(dataset, BATCH, OCE_SHUFFLE_NONE, SEED, calls - 1, &prefetch));
    TEST_OK(oce_prefetch_next(prefetch, &images, &labels));
    cr_expect_eq(oce_prefetch_next(prefetch, &images, &labels), OCE_ERROR_OVERFLOW);
    cr_expect_not_null(strstr(oce_last_error(), "the sequence ends"));
    oce_prefetch_destroy(prefetch);
    oce_dataset_destroy(dataset);
}
