/* Resources of a check, and its end. */
#include "selftest/check.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Resources ----------------------------------------------------------------------------- */

oce_status oce_check_block(oce_check *check, size_t bytes, void **block) {
    *block = check->block_count < OCE_CHECK_BLOCKS ? calloc(1, bytes > 0 ? bytes : 1) : NULL;
    OCE_REQUIRE(*block != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %zu bytes of a check", bytes);
    check->blocks[check->block_count++] = *block;
    return OCE_OK;
}

oce_status oce_check_floats(oce_check *check, size_t count, float low, float high, float **values) {
    void *block = NULL;
    OCE_TRY(oce_check_block(check, count * sizeof **values, &block));
    *values = block;
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, check->inputs++);
    for (size_t i = 0; i < count; i++)
        (*values)[i] = low + (high - low) * oce_random_uniform(&random);
    return OCE_OK;
}

oce_status oce_check_bytes(oce_check *check, size_t count, uint32_t bound, uint8_t **values) {
    void *block = NULL;
    OCE_TRY(oce_check_block(check, count, &block));
    *values = block;
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, check->inputs++);
    for (size_t i = 0; i < count; i++)
        (*values)[i] = (uint8_t)oce_random_below(&random, bound);
    return OCE_OK;
}

oce_status oce_check_buffer(oce_check *check, size_t bytes, const void *data, oce_buffer **buffer) {
    *buffer = NULL;
    OCE_REQUIRE(check->buffer_count < OCE_CHECK_BUFFERS, OCE_ERROR_HOST_MEMORY,
                "a check has more than %d buffers", (int)OCE_CHECK_BUFFERS);
    OCE_TRY(oce_buffer_create(check->device, bytes, buffer));
    check->buffers[check->buffer_count++] = *buffer;
    return data != NULL ? oce_buffer_write(*buffer, 0, data, bytes) : OCE_OK;
}

oce_status oce_check_tensor(oce_check *check, const int64_t dim[4], const float *values,
                            oce_tensor *tensor) {
    size_t count = 0;
    oce_buffer *buffer = NULL;
    *tensor = (oce_tensor){0};
    OCE_TRY(oce_tensor_elements(dim, NULL, &count));
    OCE_TRY(oce_check_buffer(check, count * sizeof *values, NULL, &buffer));
    OCE_TRY(oce_tensor_view(buffer, 0, dim, NULL, tensor));
    if (values != NULL)
        return oce_tensor_write(tensor, values);
    float *unwritten = malloc(count * sizeof *unwritten);
    OCE_REQUIRE(unwritten != NULL || count == 0, OCE_ERROR_HOST_MEMORY,
                "no memory for %zu floats of a check", count);
    for (size_t i = 0; i < count; i++)
        unwritten[i] = NAN;
    const oce_status status = oce_tensor_write(tensor, unwritten);
    free(unwritten);
    return status;
}

void oce_check_end_device(oce_check *check) {
    for (int i = 0; i < check->buffer_count; i++)
        oce_buffer_destroy(check->buffers[i]);
    check->buffer_count = 0;
}

void oce_check_end(oce_check *check) {
    oce_check_end_device(check);
    for (int i = 0; i < check->block_count; i++)
        free(check->blocks[i]);
    check->block_count = 0;
    check->inputs = 0;
}

/* ---- Results ------------------------------------------------------------------------------- */

bool oce_check_wanted(const oce_check *check, const oce_check_subject *subject) {
    if (check->options->only == NULL)
        return true;
    char text[4 * OCE_CHECK_TEXT];
    snprintf(text, sizeof text, "%s, %s, %s", subject->operation, subject->shape, subject->family);
    return strstr(text, check->options->only) != NULL;
}

bool oce_check_any_wanted(const oce_check *check, const oce_check_subject *subject,
                          const char *const operations[], int count) {
    oce_check_subject one = *subject;
    for (int i = 0; i < count; i++) {
        one.operation = operations[i];
        if (oce_check_wanted(check, &one))
            return true;
    }
    return false;
}

void oce_check_start(oce_check *check) {
    check->started = oce_clock_seconds();
}

/* Counts and reports a result whose outcome and numbers are set. */
static void report(oce_check *check, const oce_check_subject *subject,
                   oce_selftest_result *result) {
    result->operation = subject->operation;
    result->shape = subject->shape;
    result->family = subject->family;
    result->bound = subject->bound;
    int64_t *const counters[] = {&check->summary->passed, &check->summary->failed,
                                 &check->summary->skipped};
    int64_t *const causes[] = {NULL, &check->summary->wrong_results,
                               &check->summary->build_failures, &check->summary->call_failures};
    ++*counters[result->outcome];
    if (result->cause != OCE_SELFTEST_NO_FAILURE)
        ++*causes[result->cause];
    if (check->options->report != NULL)
        check->options->report(result, check->options->user);
}

static oce_selftest_cause cause_of(oce_status status) {
    if (status == OCE_OK || status == OCE_ERROR_UNSUPPORTED)
        return OCE_SELFTEST_NO_FAILURE;
    if (status == OCE_ERROR_BUILD)
        return OCE_SELFTEST_BUILD;
    return (int)status == (int)OCE_CHECK_WRONG ? OCE_SELFTEST_WRONG : OCE_SELFTEST_CALL;
}

void oce_check_status(oce_check *check, const oce_check_subject *subject, oce_status status) {
    oce_selftest_result result = {
        .outcome = status == OCE_OK                  ? OCE_SELFTEST_PASSED
                   : status == OCE_ERROR_UNSUPPORTED ? OCE_SELFTEST_SKIPPED
                                                     : OCE_SELFTEST_FAILED,
        .cause = cause_of(status),
        .message = status == OCE_OK ? "" : oce_last_error(),
        .seconds = oce_clock_seconds() - check->started,
    };
    report(check, subject, &result);
}

/* Whether one number is what it should be; NaN fits NaN, an infinity itself. */
static bool fits(double got, double expected, double limit) {
    if (isnan(expected) || isnan(got))
        return isnan(expected) && isnan(got);
    return got == expected || fabs(got - expected) <= limit;
}

void oce_check_compare(oce_check *check, const oce_check_subject *subject, const float *got,
                       const float *expected, const int64_t dim[4]) {
    const int64_t count = dim[0] * dim[1] * dim[2] * dim[3];
    oce_selftest_result result = {.count = count, .seconds = oce_clock_seconds() - check->started};
    double largest = 0, furthest = 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(expected[i]))
            largest = fmax(largest, fabs((double)expected[i]));
    int64_t first = -1;
    for (int64_t i = 0; i < count; i++) {
        furthest = fmax(furthest, fabs((double)got[i] - (double)expected[i])); /* passes NaN over */
        if (fits((double)got[i], (double)expected[i], subject->bound * largest))
            continue;
        result.wrong++;
        first = first < 0 ? i : first;
    }
    result.error = largest > 0 ? furthest / largest : furthest;
    char message[256] = "";
    if (first >= 0) {
        result.outcome = OCE_SELFTEST_FAILED;
        result.cause = OCE_SELFTEST_WRONG;
        const int64_t row = first / dim[3], line = row / dim[2];
        snprintf(message, sizeof message,
                 "%lld of %lld wrong, the first at [%lld,%lld,%lld,%lld]: %.9g instead of %.9g",
                 (long long)result.wrong, (long long)count, (long long)(line / dim[1]),
                 (long long)(line % dim[1]), (long long)(row % dim[2]), (long long)(first % dim[3]),
                 (double)got[first], (double)expected[first]);
    }
    result.message = message;
    report(check, subject, &result);
}

void oce_check_compare_norm(oce_check *check, const oce_check_subject *subject, const float *got,
                            const float *expected, const int64_t dim[4]) {
    const int64_t count = dim[0] * dim[1] * dim[2] * dim[3];
    oce_selftest_result result = {.count = count, .seconds = oce_clock_seconds() - check->started};
    double squares = 0, differences = 0, furthest = -1;
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)got[i] - (double)expected[i]);
        squares += (double)expected[i] * (double)expected[i];
        differences += difference * difference;
        if (!(difference <= furthest) && !isnan(furthest)) {
            furthest = difference;
            at = i;
        }
    }
    char message[256] = "";
    result.error = squares > 0 ? sqrt(differences / squares) : sqrt(differences);
    if (!(result.error <= subject->bound)) {
        const int64_t row = at / dim[3], line = row / dim[2];
        result.outcome = OCE_SELFTEST_FAILED;
        result.cause = OCE_SELFTEST_WRONG;
        result.wrong = count;
        snprintf(message, sizeof message,
                 "the norm of the differences, furthest off at [%lld,%lld,%lld,%lld]: %.9g instead "
                 "of %.9g",
                 (long long)(line / dim[1]), (long long)(line % dim[1]), (long long)(row % dim[2]),
                 (long long)(at % dim[3]), (double)got[at], (double)expected[at]);
    }
    result.message = message;
    report(check, subject, &result);
}

void oce_check_compare_ints(oce_check *check, const oce_check_subject *subject, const int32_t *got,
                            const int32_t *expected, int64_t count) {
    oce_selftest_result result = {.count = count, .seconds = oce_clock_seconds() - check->started};
    int64_t first = -1;
    for (int64_t i = 0; i < count; i++) {
        if (got[i] == expected[i])
            continue;
        result.wrong++;
        first = first < 0 ? i : first;
    }
    char message[128] = "";
    if (first >= 0) {
        result.outcome = OCE_SELFTEST_FAILED;
        result.cause = OCE_SELFTEST_WRONG;
        snprintf(message, sizeof message,
                 "%lld of %lld wrong, the first is number %lld: %d instead of %d",
                 (long long)result.wrong, (long long)count, (long long)first, (int)got[first],
                 (int)expected[first]);
    }
    result.message = message;
    report(check, subject, &result);
}

void oce_check_tensor_is(oce_check *check, const oce_check_subject *subject, oce_status status,
                         const oce_tensor *tensor, const float *expected) {
    const size_t count = status == OCE_OK ? oce_tensor_count(tensor) : 0;
    float *got = malloc((count > 0 ? count : 1) * sizeof *got);
    if (status == OCE_OK)
        status = got != NULL ? oce_tensor_read(tensor, got)
                             : oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for %zu floats", count);
    if (status == OCE_OK)
        oce_check_compare(check, subject, got, expected, tensor->dim);
    else
        oce_check_status(check, subject, status);
    free(got);
}
