/*
 * All modes are views of one endless stream of examples: batch t is its elements [t*B, (t+1)*B).
 * EPOCH: the stream is the epochs' permutations one after the other, which is what next_batch()
 * yields ("the rest, then the first of a new order"). So a position is a number, and seeking is an
 * assignment.
 */
#include <ocelli/data.h>

#include "base/random.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdlib.h>

static const uint64_t STREAM_LIMIT = (uint64_t)1 << 63; /* far from overflow of t*B + B */

struct oce_batches {
    uint64_t examples;
    uint64_t batch;
    oce_shuffle shuffle;
    uint64_t seed;
    uint64_t taken;
    int32_t *order;     /* [examples]: EPOCH: the epoch's permutation; DRAW: 0, 1, 2 ... */
    uint64_t epoch;     /* EPOCH: whose permutation `order` is, if has_epoch */
    bool has_epoch;     /* EPOCH: false until the first batch */
    int32_t *exchanged; /* [batch], DRAW: with which position i was exchanged */
};

/* The random numbers of epoch or call `number`: the substream has its low half, the counter its
 * high half. */
static oce_random stream_of(const oce_batches *batches, uint64_t number) {
    oce_random random;
    oce_random_init(&random, batches->seed, OCE_RANDOM_SHUFFLE, (uint32_t)number);
    random.counter[1] = (uint32_t)(number >> 32);
    return random;
}

static void exchange(int32_t *order, uint64_t a, uint64_t b) {
    const int32_t kept = order[a];
    order[a] = order[b];
    order[b] = kept;
}

static void fill_in_order(oce_batches *batches) {
    for (uint64_t i = 0; i < batches->examples; i++)
        batches->order[i] = (int32_t)i;
}

/* Makes `order` the permutation of `epoch` (Fisher-Yates, from the identity). */
static void shuffle_epoch(oce_batches *batches, uint64_t epoch) {
    if (batches->has_epoch && batches->epoch == epoch)
        return;
    oce_random random = stream_of(batches, epoch);
    fill_in_order(batches);
    for (uint64_t i = batches->examples - 1; i > 0; i--)
        exchange(batches->order, i, oce_random_below(&random, (uint32_t)(i + 1)));
    batches->epoch = epoch;
    batches->has_epoch = true;
}

static void take_epoch(oce_batches *batches, int32_t *indices) {
    uint64_t position = batches->taken * batches->batch;
    for (uint64_t i = 0; i < batches->batch; i++, position++) {
        shuffle_epoch(batches, position / batches->examples);
        indices[i] = batches->order[position % batches->examples];
    }
}

/* The first `batch` steps of a Fisher-Yates shuffle, undone afterwards: O(batch). */
static void take_draw(oce_batches *batches, int32_t *indices) {
    oce_random random = stream_of(batches, batches->taken);
    for (uint64_t i = 0; i < batches->batch; i++) {
        const uint64_t left = batches->examples - i;
        const uint64_t other = i + oce_random_below(&random, (uint32_t)left);
        exchange(batches->order, i, other);
        batches->exchanged[i] = (int32_t)other;
        indices[i] = batches->order[i];
    }
    for (uint64_t i = batches->batch; i-- > 0;)
        exchange(batches->order, i, (uint64_t)batches->exchanged[i]);
}

static void take_none(const oce_batches *batches, int32_t *indices) {
    const uint64_t position = batches->taken * batches->batch;
    for (uint64_t i = 0; i < batches->batch; i++)
        indices[i] = (int32_t)((position + i) % batches->examples);
}

static oce_status check(int64_t examples, int64_t batch, oce_shuffle shuffle) {
    OCE_REQUIRE(shuffle == OCE_SHUFFLE_EPOCH || shuffle == OCE_SHUFFLE_DRAW ||
                    shuffle == OCE_SHUFFLE_NONE,
                OCE_ERROR_INVALID_ARGUMENT, "batches: no shuffle mode %d", (int)shuffle);
    OCE_REQUIRE(examples >= 1 && examples <= INT32_MAX, OCE_ERROR_INVALID_ARGUMENT,
                "batches: %" PRId64 " examples, expected 1 to %d", examples, INT32_MAX);
    OCE_REQUIRE(batch >= 1 && batch <= INT32_MAX, OCE_ERROR_INVALID_ARGUMENT,
                "batches: batch of %" PRId64 ", expected 1 to %d", batch, INT32_MAX);
    OCE_REQUIRE(batch <= examples || shuffle == OCE_SHUFFLE_NONE, OCE_ERROR_INVALID_ARGUMENT,
                "batches: batch of %" PRId64 " is larger than the data set of %" PRId64, batch,
                examples);
    return OCE_OK;
}

static bool allocate_order(oce_batches *batches) {
    if (batches->shuffle == OCE_SHUFFLE_NONE)
        return true;
    batches->order = calloc((size_t)batches->examples, sizeof *batches->order);
    if (!batches->order)
        return false;
    if (batches->shuffle == OCE_SHUFFLE_EPOCH)
        return true;
    fill_in_order(batches);
    batches->exchanged = calloc((size_t)batches->batch, sizeof *batches->exchanged);
    return batches->exchanged != NULL;
}

oce_status oce_batches_create(int64_t examples, int64_t batch, oce_shuffle shuffle, uint64_t seed,
                              oce_batches **batches) {
    OCE_REQUIRE(batches, OCE_ERROR_INVALID_ARGUMENT, "batches: no place for the result");
    *batches = NULL;
    OCE_TRY(check(examples, batch, shuffle));
    oce_batches *made = calloc(1, sizeof *made);
    if (made) {
        *made = (oce_batches){.examples = (uint64_t)examples,
                              .batch = (uint64_t)batch,
                              .shuffle = shuffle,
                              .seed = seed};
        if (!allocate_order(made)) {
            oce_batches_destroy(made);
            made = NULL;
        }
    }
    OCE_REQUIRE(made, OCE_ERROR_HOST_MEMORY,
                "batches: no memory for the order of %" PRId64 " examples", examples);
    *batches = made;
    return OCE_OK;
}

/* Whether the stream has a batch number `call`: it ends before its positions would overflow. */
static oce_status check_call(const oce_batches *batches, uint64_t call) {
    const uint64_t calls = STREAM_LIMIT / batches->batch;
    OCE_REQUIRE(call < calls, OCE_ERROR_OVERFLOW,
                "batches: no batch number %" PRIu64 ": the sequence ends after %" PRIu64
                " batches of %" PRIu64,
                call, calls, batches->batch);
    return OCE_OK;
}

oce_status oce_batches_next(oce_batches *batches, int32_t *indices) {
    OCE_REQUIRE(batches && indices, OCE_ERROR_INVALID_ARGUMENT, "batches: %s is NULL",
                batches ? "indices" : "batches");
    OCE_TRY(check_call(batches, batches->taken));
    switch (batches->shuffle) {
    case OCE_SHUFFLE_EPOCH:
        take_epoch(batches, indices);
        break;
    case OCE_SHUFFLE_DRAW:
        take_draw(batches, indices);
        break;
    case OCE_SHUFFLE_NONE:
        take_none(batches, indices);
        break;
    }
    batches->taken++;
    return OCE_OK;
}

oce_status oce_batches_seek(oce_batches *batches, uint64_t call) {
    OCE_REQUIRE(batches, OCE_ERROR_INVALID_ARGUMENT, "batches: batches is NULL");
    OCE_TRY(check_call(batches, call));
    batches->taken = call;
    return OCE_OK;
}

uint64_t oce_batches_taken(const oce_batches *batches) {
    return batches->taken;
}

void oce_batches_destroy(oce_batches *batches) {
    if (!batches)
        return;
    free(batches->exchanged);
    free(batches->order);
    free(batches);
}
