/* src/data/batches.c: the order in which examples come. */
#include <criterion/criterion.h>

#include <ocelli/data.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const oce_shuffle modes[] = {OCE_SHUFFLE_EPOCH, OCE_SHUFFLE_DRAW, OCE_SHUFFLE_NONE};

static oce_batches *create(int64_t examples, int64_t batch, oce_shuffle shuffle, uint64_t seed) {
    oce_batches *batches;
    cr_assert_eq(oce_batches_create(examples, batch, shuffle, seed, &batches), OCE_OK, "%s",
                 oce_last_error());
    return batches;
}

static void next(oce_batches *batches, int32_t *indices) {
    cr_assert_eq(oce_batches_next(batches, indices), OCE_OK, "%s", oce_last_error());
}

/* Takes `calls` batches, one after the other; free() the result. */
static int32_t *take(oce_batches *batches, int calls, int batch) {
    int32_t *all = malloc((size_t)calls * (size_t)batch * sizeof *all);
    cr_assert_not_null(all);
    for (int t = 0; t < calls; t++)
        next(batches, all + (ptrdiff_t)t * batch);
    return all;
}

/* Whether all of 0..examples-1 occur in `indices` exactly once. */
static bool is_permutation(const int32_t *indices, int examples) {
    bool *seen = calloc((size_t)examples, sizeof *seen);
    bool fine = true;
    for (int i = 0; i < examples; i++) {
        fine = fine && indices[i] >= 0 && indices[i] < examples && !seen[indices[i]];
        if (fine)
            seen[indices[i]] = true;
    }
    free(seen);
    return fine;
}

static bool has_repeats(const int32_t *indices, int count) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            if (indices[i] == indices[j])
                return true;
    return false;
}

/* --- Epochs -------------------------------------------------------------------------------- */

Test(batches, every_epoch_has_each_example_once) {
    oce_batches *batches = create(103, 10, OCE_SHUFFLE_EPOCH, 7);
    int32_t *all = take(batches, 103, 10);
    for (int epoch = 0; epoch < 10; epoch++)
        cr_assert(is_permutation(all + (ptrdiff_t)epoch * 103, 103), "epoch %d", epoch);
    free(all);
    oce_batches_destroy(batches);
}

Test(batches, epochs_have_different_orders) {
    oce_batches *batches = create(100, 100, OCE_SHUFFLE_EPOCH, 7);
    int32_t *all = take(batches, 3, 100);
    cr_assert_neq(memcmp(all, all + 100, 100 * sizeof *all), 0);
    cr_assert_neq(memcmp(all + 100, all + 200, 100 * sizeof *all), 0);
    int fixed = 0;
    for (int i = 0; i < 100; i++)
        fixed += all[i] == i;
    cr_assert_lt(fixed, 10, "the first epoch is not shuffled");
    free(all);
    oce_batches_destroy(batches);
}

/* The rest of one order is followed by the start of the next, so a batch can repeat an example. */
Test(batches, a_boundary_batch_can_repeat_an_example) {
    int repeats = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        oce_batches *batches = create(7, 5, OCE_SHUFFLE_EPOCH, seed);
        int32_t *all = take(batches, 2, 5);
        cr_assert_not(has_repeats(all, 5));
        cr_assert(is_permutation(all, 7));
        cr_assert_not(has_repeats(all + 7, 3));
        repeats += has_repeats(all + 5, 5);
        free(all);
        oce_batches_destroy(batches);
    }
    cr_assert_gt(repeats, 10);
    cr_assert_lt(repeats, 50);
}

/* 55,000 / 50 is whole: 1,100 batches are one epoch, the next order starts at call 1,101. */
Test(batches, mnist_reshuffles_at_call_1101) {
    oce_batches *batches = create(55000, 50, OCE_SHUFFLE_EPOCH, 1);
    int32_t *all = take(batches, 2200, 50);
    cr_assert(is_permutation(all, 55000));
    cr_assert(is_permutation(all + 55000, 55000));
    cr_assert_neq(memcmp(all, all + 55000, 50 * sizeof *all), 0);
    free(all);
    oce_batches_destroy(batches);
}

Test(batches, an_epoch_order_does_not_depend_on_the_batch_size) {
    oce_batches *small = create(60, 4, OCE_SHUFFLE_EPOCH, 3);
    oce_batches *large = create(60, 60, OCE_SHUFFLE_EPOCH, 3);
    int32_t *a = take(small, 30, 4), *b = take(large, 2, 60);
    cr_assert_eq(memcmp(a, b, 120 * sizeof *a), 0);
    free(a);
    free(b);
    oce_batches_destroy(small);
    oce_batches_destroy(large);
}

/* Chi-square of how often example i stands at position j: (n-1)^2 degrees of freedom. */
Test(batches, epoch_orders_are_uniform) {
    enum { N = 8, RUNS = 4000 };
    int counts[N][N] = {{0}};
    oce_batches *batches = create(N, N, OCE_SHUFFLE_EPOCH, 11);
    for (int run = 0; run < RUNS; run++) {
        int32_t order[N];
        next(batches, order);
        for (int j = 0; j < N; j++)
            counts[order[j]][j]++;
    }
    oce_batches_destroy(batches);
    double chi = 0.0;
    const double expected = (double)RUNS / N;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            chi += (counts[i][j] - expected) * (counts[i][j] - expected) / expected;
    cr_assert_lt(chi, 49 + 5 * sqrt(2.0 * 49), "chi-square %g", chi);
}

/* --- Draws --------------------------------------------------------------------------------- */

Test(batches, a_draw_has_no_repeats) {
    oce_batches *batches = create(150, 128, OCE_SHUFFLE_DRAW, 5);
    int32_t indices[128];
    for (int t = 0; t < 100; t++) {
        next(batches, indices);
        cr_assert_not(has_repeats(indices, 128), "call %d", t);
        for (int i = 0; i < 128; i++)
            cr_assert(indices[i] >= 0 && indices[i] < 150);
    }
    oce_batches_destroy(batches);
}

Test(batches, a_draw_of_all_is_a_permutation) {
    oce_batches *batches = create(40, 40, OCE_SHUFFLE_DRAW, 5);
    int32_t indices[40];
    next(batches, indices);
    cr_assert(is_permutation(indices, 40));
    oce_batches_destroy(batches);
}

/* Draws know no epochs: after n examples some are missing and others came twice. */
Test(batches, draws_are_independent) {
    oce_batches *batches = create(100, 10, OCE_SHUFFLE_DRAW, 5);
    int32_t *all = take(batches, 10, 10);
    cr_assert_not(is_permutation(all, 100));
    free(all);
    oce_batches_destroy(batches);
}

Test(batches, draws_are_uniform) {
    enum { N = 20, BATCH = 5, RUNS = 8000 };
    int first[N] = {0}, any[N] = {0};
    oce_batches *batches = create(N, BATCH, OCE_SHUFFLE_DRAW, 13);
    for (int run = 0; run < RUNS; run++) {
        int32_t indices[BATCH];
        next(batches, indices);
        first[indices[0]]++;
        for (int i = 0; i < BATCH; i++)
            any[indices[i]]++;
    }
    oce_batches_destroy(batches);
    double chi_first = 0.0;
    for (int i = 0; i < N; i++) {
        const double e = (double)RUNS / N, share = (double)BATCH / N;
        chi_first += (first[i] - e) * (first[i] - e) / e;
        const double deviation = (any[i] - RUNS * share) / sqrt(RUNS * share * (1 - share));
        cr_assert_lt(fabs(deviation), 5.0, "example %d was drawn %d times", i, any[i]);
    }
    cr_assert_lt(chi_first, 19 + 5 * sqrt(2.0 * 19), "chi-square %g", chi_first);
}

/* --- File order ---------------------------------------------------------------------------- */

Test(batches, file_order_wraps_round) {
    oce_batches *batches = create(7, 3, OCE_SHUFFLE_NONE, 99);
    int32_t indices[3];
    for (int t = 0; t < 20; t++) {
        next(batches, indices);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(indices[i], (t * 3 + i) % 7);
    }
    oce_batches_destroy(batches);
}

Test(batches, file_order_allows_a_batch_larger_than_the_set) {
    oce_batches *batches = create(3, 8, OCE_SHUFFLE_NONE, 0);
    int32_t indices[8];
    next(batches, indices);
    next(batches, indices);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(indices[i], (8 + i) % 3);
    oce_batches_destroy(batches);
}

/* --- All modes ----------------------------------------------------------------------------- */

Test(batches, seeking_continues_as_if_uninterrupted) {
    enum { N = 53, BATCH = 12, CALLS = 40 };
    for (int m = 0; m < 3; m++) {
        oce_batches *whole = create(N, BATCH, modes[m], 21);
        int32_t *all = take(whole, CALLS, BATCH);
        for (int call = 0; call < CALLS; call++) {
            oce_batches *resumed = create(N, BATCH, modes[m], 21);
            cr_assert_eq(oce_batches_seek(resumed, (uint64_t)call), OCE_OK);
            cr_assert_eq(oce_batches_taken(resumed), (uint64_t)call);
            int32_t *rest = take(resumed, CALLS - call, BATCH);
            cr_assert_eq(memcmp(rest, all + (ptrdiff_t)call * BATCH,
                                (size_t)(CALLS - call) * BATCH * sizeof *rest),
                         0, "mode %d from call %d", m, call);
            free(rest);
            oce_batches_destroy(resumed);
        }
        free(all);
        oce_batches_destroy(whole);
    }
}

Test(batches, seeking_goes_backwards) {
    for (int m = 0; m < 3; m++) {
        oce_batches *batches = create(30, 7, modes[m], 4);
        int32_t *all = take(batches, 20, 7);
        const int calls[] = {19, 0, 4, 3, 12};
        for (int k = 0; k < 5; k++) {
            int32_t indices[7];
            cr_assert_eq(oce_batches_seek(batches, (uint64_t)calls[k]), OCE_OK);
            next(batches, indices);
            cr_assert_eq(memcmp(indices, all + (ptrdiff_t)calls[k] * 7, sizeof indices), 0);
            cr_assert_eq(oce_batches_taken(batches), (uint64_t)calls[k] + 1);
        }
        free(all);
        oce_batches_destroy(batches);
    }
}

/* Also beyond 2^32 epochs or calls, where 32-bit counters would repeat themselves. */
Test(batches, seeking_far_is_cheap_and_exact) {
    const uint64_t far = (uint64_t)1 << 40;
    for (int m = 0; m < 3; m++) {
        oce_batches *batches = create(64, 64, modes[m], 4);
        int32_t here[64], there[64], again[64];
        next(batches, here);
        cr_assert_eq(oce_batches_seek(batches, far), OCE_OK);
        next(batches, there);
        cr_assert_eq(oce_batches_seek(batches, far), OCE_OK);
        next(batches, again);
        cr_assert_eq(memcmp(there, again, sizeof there), 0);
        cr_assert(is_permutation(there, 64));
        if (modes[m] != OCE_SHUFFLE_NONE)
            cr_assert_neq(memcmp(there, here, sizeof there), 0, "mode %d repeats itself", m);
        oce_batches_destroy(batches);
    }
}

Test(batches, the_seed_decides_the_order) {
    for (int m = 0; m < 2; m++) {
        const uint64_t seeds[] = {1, 1, 2, ((uint64_t)1 << 32) + 1};
        int32_t *all[4];
        for (int k = 0; k < 4; k++) {
            oce_batches *batches = create(1000, 50, modes[m], seeds[k]);
            all[k] = take(batches, 30, 50);
            oce_batches_destroy(batches);
        }
        cr_assert_eq(memcmp(all[0], all[1], 1500 * sizeof(int32_t)), 0);
        cr_assert_neq(memcmp(all[0], all[2], 1500 * sizeof(int32_t)), 0);
        cr_assert_neq(memcmp(all[0], all[3], 1500 * sizeof(int32_t)), 0);
        for (int k = 0; k < 4; k++)
            free(all[k]);
    }
}

/* --- Errors -------------------------------------------------------------------------------- */

static void expect_refused(int64_t examples, int64_t batch, oce_shuffle shuffle) {
    oce_batches *batches = (oce_batches *)&examples;
    cr_assert_eq(oce_batches_create(examples, batch, shuffle, 0, &batches),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_null(batches);
    cr_assert_neq(oce_last_error()[0], '\0');
}

Test(batches, create_refuses_bad_sizes) {
    expect_refused(0, 1, OCE_SHUFFLE_EPOCH);
    expect_refused(-5, 1, OCE_SHUFFLE_NONE);
    expect_refused((int64_t)INT32_MAX + 1, 1, OCE_SHUFFLE_NONE);
    expect_refused(10, 0, OCE_SHUFFLE_EPOCH);
    expect_refused(10, -1, OCE_SHUFFLE_NONE);
    expect_refused(10, (int64_t)INT32_MAX + 1, OCE_SHUFFLE_NONE);
    expect_refused(10, 11, OCE_SHUFFLE_EPOCH);
    expect_refused(10, 11, OCE_SHUFFLE_DRAW);
    expect_refused(10, 1, (oce_shuffle)3);
    cr_assert_eq(oce_batches_create(10, 1, OCE_SHUFFLE_NONE, 0, NULL), OCE_ERROR_INVALID_ARGUMENT);
    oce_batches *batches;
    oce_batches_create(10, 11, OCE_SHUFFLE_DRAW, 0, &batches);
    cr_assert_str_eq(oce_last_error(), "batches: batch of 11 is larger than the data set of 10");
}

Test(batches, calls_refuse_null) {
    oce_batches *batches = create(10, 2, OCE_SHUFFLE_EPOCH, 0);
    int32_t indices[2];
    cr_assert_eq(oce_batches_next(NULL, indices), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_batches_next(batches, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_batches_seek(NULL, 0), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_batches_taken(batches), 0);
    oce_batches_destroy(batches);
    oce_batches_destroy(NULL);
}

Test(batches, the_sequence_ends_before_it_overflows) {
    for (int m = 0; m < 3; m++) {
        oce_batches *batches = create(10, 2, modes[m], 0);
        const uint64_t calls = (uint64_t)1 << 62;
        int32_t indices[2];
        cr_assert_eq(oce_batches_seek(batches, UINT64_MAX), OCE_ERROR_OVERFLOW);
        cr_assert_eq(oce_batches_seek(batches, calls), OCE_ERROR_OVERFLOW);
        cr_assert_eq(oce_batches_taken(batches), 0);
        cr_assert_eq(oce_batches_seek(batches, calls - 1), OCE_OK);
        cr_assert_eq(oce_batches_next(batches, indices), OCE_OK);
        cr_assert_eq(oce_batches_next(batches, indices), OCE_ERROR_OVERFLOW);
        oce_batches_destroy(batches);
    }
}
