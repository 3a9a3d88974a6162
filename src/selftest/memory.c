/* Allocation, transfers, the order of the queue, events. */
#include "selftest/check.h"

#include "base/status.h"
#include "device/device.h"
#include "ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRANSFER = 1 << 20, ROUNDS = 64 };

/* Bytes written at odd places, copied and cleared on the device, and read back. */
static oce_status move_bytes(oce_check *check, const uint8_t *source, uint8_t *target) {
    oce_buffer *first = NULL, *second = NULL;
    OCE_TRY(oce_check_buffer(check, TRANSFER, NULL, &first));
    OCE_TRY(oce_check_buffer(check, TRANSFER, NULL, &second));
    const size_t cuts[] = {0, 1, 4, 67, 4096, 70001, TRANSFER};
    for (int i = 0; i + 1 < OCE_COUNT(cuts); i++)
        OCE_TRY(oce_buffer_write(first, cuts[i], source + cuts[i], cuts[i + 1] - cuts[i]));
    OCE_TRY(oce_buffer_copy(first, 0, second, 0, TRANSFER / 2));
    OCE_TRY(oce_buffer_copy(first, TRANSFER / 2, second, TRANSFER / 2, TRANSFER / 2));
    OCE_TRY(oce_buffer_clear(second, 128, 4096));
    for (int i = 0; i + 1 < OCE_COUNT(cuts); i++)
        OCE_TRY(oce_buffer_read(second, cuts[i], target + cuts[i], cuts[i + 1] - cuts[i]));
    return OCE_OK;
}

static oce_status check_transfers(oce_check *check) {
    oce_check_subject subject = {.operation = "transfers", .shape = "1 MiB in odd parts"};
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    uint8_t *source = NULL, *target = NULL;
    OCE_TRY(oce_check_bytes(check, TRANSFER, 256, &source));
    OCE_TRY(oce_check_bytes(check, TRANSFER, 256, &target));
    oce_check_start(check);
    oce_status status = move_bytes(check, source, target);
    memset(source + 128, 0, 4096);
    for (size_t i = 0; status == OCE_OK && i < TRANSFER; i++)
        if (source[i] != target[i])
            status = oce_fail((oce_status)OCE_CHECK_WRONG, "byte %zu came back as %d instead of %d",
                              i, target[i], source[i]);
    oce_check_status(check, &subject, status);
    return OCE_OK;
}

/* Writes, kernels and copies that each need the one before, without waiting between them. */
static oce_status check_order(oce_check *check) {
    oce_check_subject subject = {.operation = "order of the queue", .shape = "64 rounds"};
    const int64_t dim[4] = {1, 1, 1, 5003};
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    float *values = NULL, *expected = NULL;
    OCE_TRY(oce_check_floats(check, (size_t)dim[3], 1, 1, &values));
    OCE_TRY(oce_check_floats(check, (size_t)dim[3], ROUNDS, ROUNDS, &expected));
    oce_check_start(check);
    oce_tensor sum, one, other;
    oce_status status = oce_check_tensor(check, dim, NULL, &sum);
    if (status == OCE_OK)
        status = oce_check_tensor(check, dim, NULL, &one);
    if (status == OCE_OK)
        status = oce_check_tensor(check, dim, NULL, &other);
    const size_t bytes = (size_t)dim[3] * sizeof(float);
    if (status == OCE_OK)
        status = oce_buffer_clear(sum.buffer, 0, bytes);
    for (int round = 0; round < ROUNDS && status == OCE_OK; round++) {
        status = oce_fill(check->device, &one, -1);
        if (status == OCE_OK)
            status = oce_buffer_write_later(one.buffer, 0, values, bytes);
        if (status == OCE_OK)
            status = oce_buffer_copy(one.buffer, 0, other.buffer, 0, bytes);
        if (status == OCE_OK)
            status = oce_add(check->device, &other, &sum);
    }
    oce_check_tensor_is(check, &subject, status, &sum, expected);
    oce_device_finish(check->device); /* nothing may be read from `values` any more */
    return OCE_OK;
}

/* The largest allocation of a model is some 40 MB; drivers promise a quarter of the memory. */
static oce_status check_allocation(oce_check *check) {
    const size_t most = (size_t)256 << 20,
                 largest = oce_device_limits(check->device)->max_allocation;
    const size_t bytes = (largest < most ? largest : most) / 4096 * 4096 - OCE_BUFFER_SLACK;
    oce_check_subject subject = {.operation = "allocation"};
    snprintf(subject.shape, sizeof subject.shape, "%zu bytes", bytes);
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    const uint32_t mark = 0x5ca1ab1eU;
    uint32_t got = 0;
    oce_buffer *buffer = NULL;
    oce_check_start(check);
    oce_status status = oce_check_buffer(check, bytes, NULL, &buffer);
    if (status == OCE_OK)
        status = oce_buffer_write(buffer, bytes - sizeof mark, &mark, sizeof mark);
    if (status == OCE_OK)
        status = oce_buffer_read(buffer, bytes - sizeof got, &got, sizeof got);
    if (status == OCE_OK && got != mark)
        status = oce_fail((oce_status)OCE_CHECK_WRONG,
                          "the last bytes came back as %08lx instead of %08lx", (unsigned long)got,
                          (unsigned long)mark);
    oce_check_status(check, &subject, status);
    return OCE_OK;
}

/* Profiling: as many launches as were made, and times that can be. */
static oce_status check_events(oce_check *check) {
    oce_check_subject subject = {.operation = "events", .shape = "64 launches"};
    const int64_t dim[4] = {1, 1, 1, 5003};
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    oce_check_start(check);
    oce_tensor y;
    const oce_profile_entry *entries = NULL;
    int count = 0;
    oce_status status = oce_check_tensor(check, dim, NULL, &y);
    if (status == OCE_OK)
        status = oce_device_profile_start(check->device);
    oce_device_label(check->device, "selftest", 0);
    for (int round = 0; round < ROUNDS && status == OCE_OK; round++)
        status = oce_fill(check->device, &y, 0);
    if (status == OCE_OK)
        status = oce_device_profile_read(check->device, &entries, &count);
    uint64_t launches = 0;
    double seconds = 0;
    for (int i = 0; i < count; i++) {
        launches += entries[i].launches;
        seconds += entries[i].seconds;
    }
    /* Later launches carry labels that live no longer than their models. */
    const oce_status stopped = oce_device_profile_stop(check->device);
    status = status == OCE_OK ? stopped : status;
    if (status == OCE_OK && (launches != ROUNDS || !(seconds >= 0 && seconds < 60)))
        status = oce_fail((oce_status)OCE_CHECK_WRONG,
                          "%llu launches in %g seconds instead of %d in some",
                          (unsigned long long)launches, seconds, (int)ROUNDS);
    oce_check_status(check, &subject, status);
    return OCE_OK;
}

oce_status oce_selftest_memory(oce_check *check) {
    static const oce_check_group checks[] = {check_allocation, check_transfers, check_order,
                                             check_events};
    for (int i = 0; i < OCE_COUNT(checks); i++) {
        const oce_status status = checks[i](check);
        oce_check_end(check);
        OCE_TRY(status);
    }
    return OCE_OK;
}
