/* Tuning: trying, checking and comparing candidates. */
#include "bench/tune.h"

#include "base/size.h"
#include "device/device.h"
#include "device/tuning.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double worst_error = 2e-5; /* of the largest value */
static const double least_gain = 1.02;
enum { TURNS = 9 };

/* ---- What the operations use ---------------------------------------------------------------- */

void oce_tune_add(oce_tune_operation *op, const char *family, const char *configuration) {
    if (op->candidate_count == OCE_TUNE_CANDIDATES)
        return;
    oce_tune_candidate *added = &op->candidates[op->candidate_count++];
    snprintf(added->family, sizeof added->family, "%s", family);
    snprintf(added->configuration, sizeof added->configuration, "%s", configuration);
}

void oce_tune_add_tiles(oce_tune_operation *op, const char *family) {
    for (int tile = 'A'; tile <= 'H'; tile++) {
        char configuration[16];
        snprintf(configuration, sizeof configuration, "tile=%c", tile);
        oce_tune_add(op, family, configuration);
    }
}

oce_status oce_tune_allocate(size_t count, float **values) {
    size_t bytes = 0;
    const bool fits = oce_size_mul(count, sizeof(float), &bytes);
    *values = fits ? malloc(bytes + sizeof(float)) : NULL;
    OCE_REQUIRE(*values != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %zu values", count);
    return OCE_OK;
}

oce_status oce_tune_download(const oce_tensor *tensor, float **values) {
    OCE_TRY(oce_tune_allocate(oce_tensor_count(tensor), values));
    return oce_tensor_read(tensor, *values);
}

oce_status oce_tune_sample_create(size_t count, oce_tune_sample *sample) {
    sample->count = count;
    sample->at = calloc(count + 1, sizeof *sample->at);
    OCE_REQUIRE(sample->at != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %zu places", count);
    return oce_tune_allocate(count, &sample->expected);
}

int64_t oce_tune_spread(int64_t i, int64_t count, int64_t extent) {
    return count > 1 ? i * (extent - 1) / (count - 1) : 0;
}

int64_t oce_tune_parts(int64_t extent, double work) {
    const double parts = OCE_TUNE_REFERENCE_WORK / (work > 1 ? work : 1);
    if (parts >= (double)extent)
        return extent;
    return parts > 2 ? (int64_t)parts : extent > 1 ? 2 : 1;
}

/* ---- Trying --------------------------------------------------------------------------------- */

/* What a run of all candidates knows. */
typedef struct trial {
    const oce_tune_operation *op;
    oce_tune_sample sample; /* made from the first candidate's inputs */
    float *accepted;        /* the first result that passed, whole */
    oce_tune_result *result;
} trial;

static double error_of(double got, double expected) {
    return isfinite(got) ? fabs(got - expected) : INFINITY;
}

/* How far a result is off, as a part of the largest value: on the sample, and from what was
 * accepted before. */
static double off_by(const trial *t, const float *values, size_t count) {
    double largest = 1e-30, worst = 0;
    for (size_t i = 0; i < t->sample.count; i++)
        largest = fmax(largest, fabs((double)t->sample.expected[i]));
    for (size_t i = 0; i < t->sample.count; i++)
        worst =
            fmax(worst, error_of((double)values[t->sample.at[i]], (double)t->sample.expected[i]));
    for (size_t i = 0; t->accepted == NULL && i < count; i++)
        worst = fmax(worst, error_of((double)values[i], (double)values[i]));
    for (size_t i = 0; t->accepted != NULL && i < count; i++)
        worst = fmax(worst, error_of((double)values[i], (double)t->accepted[i]) / 2);
    return worst / largest;
}

static void name_candidate(const oce_tune_candidate *candidate, char text[OCE_TUNE_TEXT]) {
    snprintf(text, OCE_TUNE_TEXT, "%s%s%.90s", candidate->family,
             candidate->configuration[0] != '\0' ? " " : "", candidate->configuration);
}

/* Runs a bench anew and compares; *is_right. */
static oce_status check(trial *t, oce_bench *bench, const char *name, bool *is_right) {
    float *values = NULL;
    const size_t count = oce_tensor_count(bench->output);
    *is_right = false;
    if (t->sample.at == NULL)
        OCE_TRY(t->op->reference(t->op, bench, &t->sample));
    const oce_status status = oce_tune_download(bench->output, &values);
    if (status == OCE_OK) {
        const double off = off_by(t, values, count);
        *is_right = off <= worst_error;
        t->result->candidates++;
        if (!*is_right && t->result->dropped++ == 0)
            snprintf(t->result->fault, sizeof t->result->fault,
                     "%s is off by %.2g of the largest value", name, off);
    }
    if (status == OCE_OK && *is_right && t->accepted == NULL)
        t->accepted = values;
    else
        free(values);
    return status;
}

/* Plans as the table would say, or by the rule if candidate is NULL. */
static oce_status create_by(const oce_tune_operation *op, const oce_tune_candidate *candidate,
                            oce_bench **bench) {
    const oce_tuning_entry entry = {
        .operation = (char *)op->name,
        .shape = (char *)op->shape,
        .family = candidate != NULL ? (char *)candidate->family : NULL,
        .configuration = candidate != NULL ? (char *)candidate->configuration : NULL};
    oce_tuning_try(op->device, op->name, op->shape, candidate != NULL ? &entry : NULL);
    const oce_status status = op->create(op, bench);
    oce_tuning_end_trial(op->device);
    return status;
}

/* Notes why a family cannot do it, which the last error tells. */
static void note_passed_over(const char *family, oce_tune_result *result) {
    const char *why = oce_last_error(), *cannot = strstr(why, " cannot compute ");
    const char *reason = cannot != NULL ? strstr(cannot, ": ") : NULL;
    const size_t used = strlen(result->passed_over);
    snprintf(result->passed_over + used, sizeof result->passed_over - used, "%s%s: %.100s",
             used > 0 ? "; " : "", family, reason != NULL ? reason + 2 : why);
}

/* A bench of a candidate; NULL if the device cannot do it, of which *result then says why.
 * candidate NULL: the rule. */
static oce_status create(const oce_tune_operation *op, const oce_tune_candidate *candidate,
                         oce_bench **bench, oce_tune_result *result) {
    *bench = NULL;
    oce_status status = create_by(op, candidate, bench);
    if (candidate == NULL || (status != OCE_OK && !oce_status_spares_others(status)))
        return status;
    if (status == OCE_OK && strcmp((*bench)->info.family, candidate->family) != 0) {
        oce_bench_destroy(*bench); /* of what the rule took instead */
        *bench = NULL;
        status = op->plan_forced(op, candidate->family);
    }
    if (status != OCE_OK && candidate->configuration[0] == '\0')
        note_passed_over(candidate->family, result);
    return OCE_OK;
}

/* Checks and times a candidate; *seconds stays 0 if it is wrong or impossible. */
static oce_status try_candidate(trial *t, const oce_tune_candidate *candidate, double time,
                                double *seconds) {
    oce_bench *bench = NULL;
    char name[OCE_TUNE_TEXT];
    bool is_right = false;
    const oce_bench_options options = {.seconds = time};
    oce_timing timing;
    *seconds = 0;
    oce_status status = create(t->op, candidate, &bench, t->result);
    if (status != OCE_OK || bench == NULL)
        return status;
    if (candidate != NULL)
        name_candidate(candidate, name);
    else
        snprintf(name, sizeof name, "%s", bench->info.family);
    if (candidate == NULL)
        snprintf(t->result->rule, sizeof t->result->rule, "%s", name);
    status = check(t, bench, name, &is_right);
    if (status == OCE_OK && is_right) {
        status = oce_bench_measure(bench, &options, &timing);
        *seconds = timing.median;
    }
    oce_bench_destroy(bench);
    return status;
}

/* ---- Comparing ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Times the rule's choice and the best candidate in turns. */
static oce_status compare(const oce_tune_operation *op, const oce_tune_candidate *best, double time,
                          oce_tune_result *result) {
    oce_bench *bench[2] = {NULL, NULL};
    double seconds[2][TURNS];
    oce_status status = create(op, NULL, &bench[0], result);
    if (status == OCE_OK)
        status = create(op, best, &bench[1], result);
    const oce_bench_options options = {.seconds = time / TURNS};
    for (int i = 0; i < 2 * TURNS && status == OCE_OK && bench[1] != NULL; i++) {
        oce_timing timing;
        status = oce_bench_measure(bench[i % 2], &options, &timing);
        seconds[i % 2][i / 2] = timing.median;
    }
    if (status == OCE_OK && bench[1] != NULL) {
        int wins = 0;
        for (int i = 0; i < TURNS; i++)
            wins += seconds[1][i] < seconds[0][i];
        for (int i = 0; i < 2; i++)
            qsort(seconds[i], TURNS, sizeof(double), by_value);
        result->rule_seconds = seconds[0][TURNS / 2];
        result->best_seconds = seconds[1][TURNS / 2];
        result->is_kept =
            result->rule_seconds >= least_gain * result->best_seconds && wins > TURNS * 2 / 3;
    }
    oce_bench_destroy(bench[0]);
    oce_bench_destroy(bench[1]);
    return status;
}

/* Tries all; *best is the place of the fastest right one, -1: none; *rule_is_right. */
static oce_status try_all(trial *t, double time, int *best, bool *rule_is_right) {
    double least = INFINITY, seconds = 0;
    *best = -1;
    OCE_TRY(try_candidate(t, NULL, time, &seconds));
    *rule_is_right = seconds > 0;
    for (int i = 0; i < t->op->candidate_count; i++) {
        const oce_tune_candidate *candidate = &t->op->candidates[i];
        if (candidate->configuration[0] == '\0' && strcmp(candidate->family, t->result->rule) == 0)
            continue; /* the rule's choice itself */
        OCE_TRY(try_candidate(t, candidate, time, &seconds));
        if (seconds > 0 && seconds < least) {
            least = seconds;
            *best = i;
        }
    }
    return OCE_OK;
}

/* The table's entry for what was found. Where the rule is the best and an entry ships with the
 * library, the rule's family takes its place. */
static oce_status keep(const oce_tune_operation *op, const oce_tune_candidate *best, bool shipped,
                       const oce_tune_result *result) {
    if (result->is_kept) {
        const double gain =
            result->best_seconds > 0 ? result->rule_seconds / result->best_seconds : 0;
        return oce_tuning_set(op->device, op->name, op->shape, best->family, best->configuration,
                              gain);
    }
    if (shipped)
        return oce_tuning_set(op->device, op->name, op->shape, result->rule, "", 1);
    oce_tuning_remove(op->device, op->name, op->shape);
    return OCE_OK;
}

oce_status oce_tune_run(const oce_tune_operation *op, const oce_tune_options *options,
                        oce_tune_result *result) {
    const double time = options != NULL && options->seconds > 0 ? options->seconds : 0.1;
    trial t = {.op = op, .result = result};
    int best = -1;
    bool rule_is_right = false;
    *result = (oce_tune_result){0};
    OCE_REQUIRE(oce_tuning_is_on(), OCE_ERROR_INVALID_ARGUMENT, "tuning %s: OCELLI_TUNING is off",
                op->name);
    const oce_tuning_entry *before = oce_tuning_find(op->device, op->name, op->shape);
    const bool shipped = before != NULL && (before->is_shipped || before->hides_shipped);
    oce_status status = try_all(&t, time, &best, &rule_is_right);
    const oce_tune_candidate *winner = best >= 0 ? &op->candidates[best] : NULL;
    if (status == OCE_OK && winner != NULL) {
        name_candidate(winner, result->best);
        if (rule_is_right)
            status = compare(op, winner, 10 * time, result);
        else
            result->is_kept = true;
    }
    result->rule_is_wrong = status == OCE_OK && !rule_is_right;
    if (status == OCE_OK)
        status = keep(op, winner, shipped, result);
    free(t.sample.at);
    free(t.sample.expected);
    free(t.accepted);
    return status;
}
