#define _POSIX_C_SOURCE 200809L
#include "train/prefetch.h"

#include "base/status.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Batches in memory: one that is being used, and others ahead of it. */
enum { PLACES = 3 };

struct oce_prefetch {
    const oce_dataset *dataset;
    size_t batch, image; /* images, bytes of each */
    oce_batches *batches;
    int32_t *indices; /* [batch] */
    uint8_t *images;  /* [PLACES, batch, image] */
    uint8_t *labels;  /* [PLACES, batch] */
    pthread_t thread;
    bool has_lock, has_thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    uint64_t made, taken; /* batches since the start; the last one taken is still in use */
    bool stops;
    oce_status status;
    char message[256]; /* of a failure: oce_last_error() is each thread's own */
};

static oce_status gather(oce_prefetch *p, size_t place) {
    OCE_TRY(oce_batches_next(p->batches, p->indices));
    const uint8_t *images = oce_dataset_images(p->dataset);
    const uint8_t *labels = oce_dataset_labels(p->dataset);
    uint8_t *to = p->images + place * p->batch * p->image;
    for (size_t i = 0; i < p->batch; i++) {
        const size_t example = (size_t)p->indices[i];
        memcpy(to + i * p->image, images + example * p->image, p->image);
        p->labels[place * p->batch + i] = labels[example];
    }
    return OCE_OK;
}

/* Waits for a place that is free; false if there is no more to do. */
static bool wait_for_place(oce_prefetch *p, size_t *place) {
    pthread_mutex_lock(&p->lock);
    while (!p->stops && p->made - p->taken >= PLACES - 1)
        pthread_cond_wait(&p->changed, &p->lock);
    *place = (size_t)(p->made % PLACES);
    const bool goes_on = !p->stops;
    pthread_mutex_unlock(&p->lock);
    return goes_on;
}

static void *gather_all(void *context) {
    oce_prefetch *p = context;
    oce_status status = OCE_OK;
    size_t place = 0;
    while (status == OCE_OK && wait_for_place(p, &place)) {
        status = gather(p, place);
        pthread_mutex_lock(&p->lock);
        if (status == OCE_OK)
            p->made++;
        else
            snprintf(p->message, sizeof p->message, "%s", oce_last_error());
        p->status = status;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

/* Signals are for the threads that the caller knows of. */
static bool start_thread(oce_prefetch *p) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    p->has_thread = pthread_create(&p->thread, NULL, gather_all, p) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p->has_thread;
}

static bool make_lock(oce_prefetch *p) {
    if (pthread_mutex_init(&p->lock, NULL) != 0)
        return false;
    p->has_lock = pthread_cond_init(&p->changed, NULL) == 0;
    if (!p->has_lock)
        pthread_mutex_destroy(&p->lock);
    return p->has_lock;
}

static oce_status start(oce_prefetch *p, oce_shuffle shuffle, uint64_t seed, uint64_t first) {
    OCE_TRY(oce_batches_create(oce_dataset_count(p->dataset), (int64_t)p->batch, shuffle, seed,
                               &p->batches));
    OCE_TRY(oce_batches_seek(p->batches, first));
    p->indices = calloc(p->batch, sizeof *p->indices);
    p->images = calloc(PLACES * p->batch, p->image);
    p->labels = calloc(PLACES, p->batch);
    OCE_REQUIRE(p->indices != NULL && p->images != NULL && p->labels != NULL, OCE_ERROR_HOST_MEMORY,
                "no memory for %d batches of %zu images of %zu bytes", PLACES, p->batch, p->image);
    OCE_REQUIRE(make_lock(p) && start_thread(p), OCE_ERROR_HOST_MEMORY,
                "no thread to gather batches could be started");
    return OCE_OK;
}

oce_status oce_prefetch_create(const oce_dataset *dataset, int64_t batch, oce_shuffle shuffle,
                               uint64_t seed, uint64_t first, oce_prefetch **prefetch) {
    *prefetch = NULL;
    oce_prefetch *made = calloc(1, sizeof *made);
    OCE_REQUIRE(made != NULL, OCE_ERROR_HOST_MEMORY, "no memory for gathering batches");
    made->dataset = dataset;
    made->batch = (size_t)batch;
    made->image = (size_t)(oce_dataset_height(dataset) * oce_dataset_width(dataset) *
                           oce_dataset_channels(dataset));
    const oce_status status = start(made, shuffle, seed, first);
    if (status != OCE_OK) {
        oce_prefetch_destroy(made);
        return status;
    }
    *prefetch = made;
    return OCE_OK;
}

oce_status oce_prefetch_next(oce_prefetch *p, const uint8_t **images, const uint8_t **labels) {
    pthread_mutex_lock(&p->lock);
    while (p->made == p->taken && p->status == OCE_OK)
        pthread_cond_wait(&p->changed, &p->lock);
    const bool is_there = p->made > p->taken;
    const size_t place = (size_t)(p->taken % PLACES);
    p->taken += is_there;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (!is_there)
        return oce_fail(p->status, "%s", p->message);
    *images = p->images + place * p->batch * p->image;
    *labels = p->labels + place * p->batch;
    return OCE_OK;
}

void oce_prefetch_destroy(oce_prefetch *p) {
    if (p == NULL)
        return;
    if (p->has_thread) {
        pthread_mutex_lock(&p->lock);
        p->stops = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
    }
    if (p->has_lock) {
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
    }
    oce_batches_destroy(p->batches);
    free(p->indices);
    free(p->images);
    free(p->labels);
    free(p);
}
