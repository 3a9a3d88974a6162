/* src/base: status and messages, checked sizes, random numbers. */
#include <criterion/criterion.h>

#include "base/random.h"
#include "base/size.h"
#include "base/status.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* --- Status and messages ---------------------------------------------------------------------- */

Test(status, every_code_has_its_own_text) {
    static const oce_status codes[] = {
#define CODE(name, value, text) name,
        OCE_STATUSES(CODE)
#undef CODE
    };
    const int count = (int)(sizeof codes / sizeof codes[0]);
    for (int i = 0; i < count; i++) {
        cr_assert_neq(oce_status_text(codes[i])[0], '\0', "status %d has no text", (int)codes[i]);
        for (int j = 0; j < i; j++)
            cr_assert_str_neq(oce_status_text(codes[i]), oce_status_text(codes[j]));
    }
    cr_assert_eq(OCE_OK, 0);
    cr_assert_str_eq(oce_status_text(OCE_OK), "success");
    cr_assert_str_eq(oce_status_text(OCE_ERROR_SHAPE), "shapes do not fit each other");
    cr_assert_str_eq(oce_status_text((oce_status)-1000), "unknown status");
}

Test(status, message_is_empty_before_any_failure) {
    cr_assert_str_eq(oce_last_error(), "");
}

Test(status, fail_records_the_message_and_returns_the_code) {
    cr_assert_eq(oce_fail(OCE_ERROR_IO, "file %s: byte %d", "x.gz", 17), OCE_ERROR_IO);
    cr_assert_str_eq(oce_last_error(), "file x.gz: byte 17");
}

Test(status, a_message_is_one_line) {
    oce_fail(OCE_ERROR_BUILD, "first\nsecond\r\n\tthird");
    cr_assert_str_eq(oce_last_error(), "first second   third");
}

Test(status, a_message_longer_than_its_room_is_cut) {
    char text[10000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    oce_fail(OCE_ERROR_FORMAT, "begin %s", text);
    const size_t length = strlen(oce_last_error());
    cr_assert(length > 1000 && length < sizeof text, "length %zu", length);
    cr_assert_eq(strncmp(oce_last_error(), "begin xxx", 9), 0);
    cr_assert_eq(oce_last_error()[length - 1], 'x');
}

Test(status, a_message_may_quote_the_one_before) {
    oce_fail(OCE_ERROR_IO, "inner");
    oce_fail(OCE_ERROR_FORMAT, "outer (%s)", oce_last_error());
    cr_assert_str_eq(oce_last_error(), "outer (inner)");
}

Test(status, prefix_goes_before_the_message) {
    oce_fail(OCE_ERROR_SHAPE, "4 is not 5");
    cr_assert_eq(oce_fail_prefix(OCE_ERROR_SHAPE, "layer %d", 3), OCE_ERROR_SHAPE);
    cr_assert_str_eq(oce_last_error(), "layer 3: 4 is not 5");
}

static oce_status require_positive(int value) {
    OCE_REQUIRE(value > 0, OCE_ERROR_INVALID_ARGUMENT, "value %d is not positive", value);
    return OCE_OK;
}

static oce_status try_twice(int first, int second, int *calls) {
    ++*calls;
    OCE_TRY(require_positive(first));
    ++*calls;
    OCE_TRY(require_positive(second));
    ++*calls;
    return OCE_OK;
}

Test(status, macros_return_at_the_first_failure) {
    int calls = 0;
    cr_assert_eq(try_twice(1, 2, &calls), OCE_OK);
    cr_assert_eq(calls, 3);
    calls = 0;
    cr_assert_eq(try_twice(1, -2, &calls), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(calls, 2);
    cr_assert_str_eq(oce_last_error(), "value -2 is not positive");
}

static void *fail_in_thread(void *result) {
    *(bool *)result = oce_last_error()[0] == '\0';
    oce_fail(OCE_ERROR_IO, "of the other thread");
    return NULL;
}

Test(status, each_thread_has_its_own_message) {
    oce_fail(OCE_ERROR_IO, "of this thread");
    bool was_empty = false;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, fail_in_thread, &was_empty), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(was_empty);
    cr_assert_str_eq(oce_last_error(), "of this thread");
}

/* --- Checked sizes ---------------------------------------------------------------------------- */

Test(size, products_and_sums_that_fit) {
    size_t result = 0;
    cr_assert(oce_size_mul(6, 7, &result));
    cr_assert_eq(result, 42);
    cr_assert(oce_size_mul(SIZE_MAX, 1, &result));
    cr_assert_eq(result, SIZE_MAX);
    cr_assert(oce_size_mul(SIZE_MAX, 0, &result));
    cr_assert_eq(result, 0);
    cr_assert(oce_size_mul(0, SIZE_MAX, &result));
    cr_assert_eq(result, 0);
    cr_assert(oce_size_add(SIZE_MAX - 1, 1, &result));
    cr_assert_eq(result, SIZE_MAX);
}

Test(size, products_and_sums_that_overflow_leave_the_result_alone) {
    size_t result = 5;
    cr_assert_not(oce_size_mul(SIZE_MAX, 2, &result));
    cr_assert_not(oce_size_mul(SIZE_MAX / 2 + 1, 2, &result));
    cr_assert_not(oce_size_add(SIZE_MAX, 1, &result));
    cr_assert_eq(result, 5);
    cr_assert(oce_size_mul(SIZE_MAX / 2, 2, &result));
    cr_assert_eq(result, SIZE_MAX - 1);
}

Test(size, product_of_extents) {
    size_t result = 0;
    cr_assert(oce_size_product((const int64_t[]){2, 3, 4}, 3, &result));
    cr_assert_eq(result, 24);
    cr_assert(oce_size_product(NULL, 0, &result));
    cr_assert_eq(result, 1, "a scalar has one element");
    cr_assert_not(oce_size_product((const int64_t[]){2, -1}, 2, &result));
    cr_assert_not(oce_size_product((const int64_t[]){0, -1}, 2, &result));
    cr_assert_not(oce_size_product((const int64_t[]){INT64_MAX, 3}, 2, &result));
}

Test(size, product_with_an_empty_extent_is_empty_however_large_the_others) {
    size_t result = 1;
    cr_assert(oce_size_product((const int64_t[]){0, INT64_MAX, 1}, 3, &result));
    cr_assert_eq(result, 0);
    result = 1;
    cr_assert(oce_size_product((const int64_t[]){INT64_MAX, 0, 1}, 3, &result));
    cr_assert_eq(result, 0);
}

Test(size, rounding) {
    cr_assert_eq(oce_size_round_up(0, 16), 0);
    cr_assert_eq(oce_size_round_up(1, 16), 16);
    cr_assert_eq(oce_size_round_up(16, 16), 16);
    cr_assert_eq(oce_size_round_up(17, 6), 18);
    cr_assert_eq(oce_ceil_div(0, 4), 0);
    cr_assert_eq(oce_ceil_div(8, 4), 2);
    cr_assert_eq(oce_ceil_div(9, 4), 3);
}

/* --- Random numbers --------------------------------------------------------------------------- */

static void assert_philox(const uint32_t counter[4], const uint32_t key[2],
                          const uint32_t expected[4]) {
    uint32_t out[4];
    oce_philox4x32(counter, key, out);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(out[i], expected[i], "word %d is %08x, not %08x", i, out[i], expected[i]);
}

/* The known answers that the generator's authors publish with Random123. */
Test(random, philox_known_answers) {
    assert_philox((const uint32_t[]){0, 0, 0, 0}, (const uint32_t[]){0, 0},
                  (const uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    assert_philox((const uint32_t[]){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                  (const uint32_t[]){0xffffffff, 0xffffffff},
                  (const uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    assert_philox((const uint32_t[]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                  (const uint32_t[]){0xa4093822, 0x299f31d0},
                  (const uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

Test(random, words_come_in_counter_order) {
    const uint64_t seed = UINT64_C(0x0123456789abcdef);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_DROPOUT, 7);
    for (uint32_t block = 0; block < 3; block++) {
        uint32_t words[4];
        oce_philox4x32((const uint32_t[]){block, 0, 7, OCE_RANDOM_DROPOUT},
                       (const uint32_t[]){0x89abcdef, 0x01234567}, words);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(oce_random_u32(&random), words[i], "block %u word %d", block, i);
    }
}

Test(random, the_block_number_has_64_bits) {
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    random.counter[0] = UINT32_MAX;
    for (int i = 0; i < 4; i++)
        oce_random_u32(&random);
    uint32_t words[4];
    oce_philox4x32((const uint32_t[]){0, 1, 0, OCE_RANDOM_TEST}, (const uint32_t[]){1, 0}, words);
    cr_assert_eq(oce_random_u32(&random), words[0]);
}

Test(random, seeds_streams_and_substreams_differ) {
    static const struct {
        uint64_t seed;
        oce_random_stream stream;
        uint32_t substream;
    } starts[] = {{1, OCE_RANDOM_TEST, 0},
                  {2, OCE_RANDOM_TEST, 0},
                  {1 + (UINT64_C(1) << 32), OCE_RANDOM_TEST, 0},
                  {1, OCE_RANDOM_SHUFFLE, 0},
                  {1, OCE_RANDOM_TEST, 1}};
    enum { COUNT = sizeof starts / sizeof starts[0] };
    uint32_t first[COUNT];
    for (int i = 0; i < COUNT; i++) {
        oce_random random;
        oce_random_init(&random, starts[i].seed, starts[i].stream, starts[i].substream);
        first[i] = oce_random_u32(&random);
        for (int j = 0; j < i; j++)
            cr_assert_neq(first[i], first[j], "starts %d and %d agree", i, j);
    }
}

enum { DRAWS = 100000 };

/* The bounds below are five standard errors wide or wider; the seed is fixed. */
Test(random, uniform_has_the_moments_of_the_unit_interval) {
    oce_random random;
    oce_random_init(&random, 3, OCE_RANDOM_TEST, 0);
    double sum = 0, squares = 0;
    float smallest = 1, largest = 0;
    for (int i = 0; i < DRAWS; i++) {
        const float u = oce_random_uniform(&random);
        cr_assert(u >= 0 && u < 1);
        cr_assert_eq(u * 0x1p24F, floorf(u * 0x1p24F), "not a multiple of 2^-24");
        sum += u;
        squares += (double)u * u;
        smallest = fminf(smallest, u);
        largest = fmaxf(largest, u);
    }
    const double mean = sum / DRAWS;
    cr_assert_float_eq(mean, 0.5, 0.005);
    cr_assert_float_eq(squares / DRAWS - mean * mean, 1.0 / 12, 0.002);
    cr_assert(smallest < 1e-3F && largest > 1 - 1e-3F);
}

Test(random, below_gives_every_value_equally_often) {
    oce_random random;
    oce_random_init(&random, 4, OCE_RANDOM_TEST, 0);
    int counts[7] = {0};
    for (int i = 0; i < DRAWS; i++)
        counts[oce_random_below(&random, 7)]++;
    double chi_squared = 0;
    for (int i = 0; i < 7; i++)
        chi_squared += pow(counts[i] - DRAWS / 7.0, 2) / (DRAWS / 7.0);
    cr_assert(chi_squared < 30, "chi-squared %g with 6 degrees of freedom", chi_squared);
}

/* For 3 * 2^30 a plain remainder would give the first third of the values half of the time. */
Test(random, below_has_no_bias_for_large_bounds) {
    const uint32_t bound = UINT32_C(3) << 30;
    oce_random random;
    oce_random_init(&random, 5, OCE_RANDOM_TEST, 0);
    int low = 0;
    for (int i = 0; i < DRAWS; i++) {
        const uint32_t value = oce_random_below(&random, bound);
        cr_assert(value < bound);
        low += value < bound / 3;
    }
    cr_assert_float_eq((double)low / DRAWS, 1.0 / 3, 0.008);
}

Test(random, below_one_is_zero) {
    oce_random random;
    oce_random_init(&random, 6, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(oce_random_below(&random, 1), 0);
}

Test(random, normal_has_standard_moments_and_tails) {
    oce_random random;
    oce_random_init(&random, 7, OCE_RANDOM_TEST, 0);
    double sums[5] = {0};
    int within_one = 0, beyond_two = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double x = (double)oce_random_normal(&random);
        cr_assert(isfinite(x));
        for (int power = 1; power <= 4; power++)
            sums[power] += pow(x, power);
        within_one += fabs(x) < 1;
        beyond_two += fabs(x) > 2;
    }
    cr_assert_float_eq(sums[1] / DRAWS, 0, 0.016);
    cr_assert_float_eq(sums[2] / DRAWS, 1, 0.023);
    cr_assert_float_eq(sums[3] / DRAWS, 0, 0.062);
    cr_assert_float_eq(sums[4] / DRAWS, 3, 0.16);
    cr_assert_float_eq((double)within_one / DRAWS, 0.68269, 0.008);
    cr_assert_float_eq((double)beyond_two / DRAWS, 0.04550, 0.004);
}
