/* The self test: its groups of checks, one after the other. */
#include "selftest/check.h"

#include "base/clock.h"
#include "base/status.h"

const char *oce_selftest_outcome_name(oce_selftest_outcome outcome) {
    switch (outcome) {
    case OCE_SELFTEST_PASSED:
        return "passed";
    case OCE_SELFTEST_FAILED:
        return "failed";
    case OCE_SELFTEST_SKIPPED:
        return "skipped";
    }
    return "unknown";
}

const char *oce_selftest_cause_name(oce_selftest_cause cause) {
    switch (cause) {
    case OCE_SELFTEST_NO_FAILURE:
        return "";
    case OCE_SELFTEST_WRONG:
        return "wrong result";
    case OCE_SELFTEST_BUILD:
        return "build";
    case OCE_SELFTEST_CALL:
        return "call";
    }
    return "unknown";
}

oce_status oce_selftest(oce_device *device, const oce_selftest_options *options,
                        oce_selftest_summary *summary) {
    static const oce_check_group groups[] = {
        oce_selftest_memory,     oce_selftest_elements,     oce_selftest_softmax,
        oce_selftest_optimizers, oce_selftest_products,     oce_selftest_heads,
        oce_selftest_pools,      oce_selftest_convolutions, oce_selftest_pooled_convolutions,
        oce_selftest_networks,   oce_selftest_models,
    };
    oce_check check = {.device = device, .options = options, .summary = summary};
    const double started = oce_clock_seconds();
    *summary = (oce_selftest_summary){0};
    oce_status status = OCE_OK;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0] && status == OCE_OK; i++)
        status = groups[i](&check);
    summary->seconds = oce_clock_seconds() - started;
    return status;
}
