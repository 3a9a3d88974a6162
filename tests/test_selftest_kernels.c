/* The self test checks every kernel that the networks launch by default: where one of them gives a
 * wrong element, a check of the quick form fails. For both classes of kernels. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "device/device.h"
#include "selftest/check.h"
#include "support/device.h"

#include <ocelli/model.h>
#include <ocelli/train.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KERNELS = 64, NAME_BYTES = 64, ONLY_BYTES = 4 * OCE_CHECK_TEXT };

/* Kernels, and of each a check of the self test that launches it ("": none was found). */
typedef struct kernels {
    char name[MOST_KERNELS][NAME_BYTES], only[MOST_KERNELS][ONLY_BYTES];
    int count;
} kernels;

/* A fault in the result of these cannot show, for the reason given. */
static const struct {
    const char *kernel, *reason;
} exempt[] = {
    {"gemm_thin_nonfinite",
     "marks rows of B that are not finite: one mark more costs time, not a result"},
};

static int find(const kernels *k, const char *name) {
    for (int i = 0; i < k->count; i++)
        if (strcmp(k->name[i], name) == 0)
            return i;
    return -1;
}

/* Adds what the device has launched since the profile's start, and stops it. */
static void collect(oce_device *device, kernels *k) {
    const oce_profile_entry *entries = NULL;
    int count = 0;
    TEST_OK(oce_device_profile_read(device, &entries, &count));
    for (int i = 0; i < count; i++) {
        if (entries[i].kernel[0] == '\0' || find(k, entries[i].kernel) >= 0)
            continue;
        cr_assert_lt(k->count, MOST_KERNELS);
        snprintf(k->name[k->count], NAME_BYTES, "%s", entries[i].kernel);
        k->only[k->count++][0] = '\0';
    }
    TEST_OK(oce_device_profile_stop(device));
    oce_device_label(device, "", 0); /* the model's labels end with it */
}

/* A training step and an evaluation, or answers, with a batch of `batch` images (0: the recipe's).
 */
static void run_network(oce_device *device, const char *name, int64_t batch, kernels *k) {
    oce_recipe recipe;
    oce_metrics metrics;
    oce_model *model = NULL;
    TEST_OK(oce_recipe_get(name, &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.training = batch == 0;
    options.batch = batch == 0 ? options.batch : batch;
    const oce_network *n = recipe.network;
    const size_t images = (size_t)options.batch;
    uint8_t *pixels = calloc(images, (size_t)(n->height * n->width * n->channels));
    uint8_t *labels = calloc(images, 1), *classes = calloc(images, 1);
    TEST_OK(oce_model_create(device, n, &options, &model));
    TEST_OK(oce_model_allocate(model));
    float *probabilities = test_zeros(images * (size_t)oce_model_classes(model));
    TEST_OK(oce_device_profile_start(device));
    if (options.training)
        TEST_OK(oce_model_train_step(model, pixels, labels, recipe.learning_rate));
    else
        TEST_OK(oce_model_predict(model, pixels, options.batch, probabilities));
    TEST_OK(oce_model_evaluate(model, pixels, labels, options.batch, &metrics, classes));
    collect(device, k);
    oce_model_destroy(model);
    free(probabilities);
    free(classes);
    free(labels);
    free(pixels);
}

/* ---- Which check launches which kernel ------------------------------------------------------ */

typedef struct search {
    oce_device *device;
    kernels *wanted;
} search;

/* After each check: of the kernels that it was the first to launch. */
static void note_check(const oce_selftest_result *result, void *user) {
    const search *s = user;
    kernels launched = {.count = 0};
    cr_expect_eq(result->outcome, OCE_SELFTEST_PASSED, "%s, %s, %s: %s", result->operation,
                 result->shape, result->family, result->message);
    collect(s->device, &launched);
    for (int i = 0; i < launched.count; i++) {
        const int at = find(s->wanted, launched.name[i]);
        if (at >= 0 && s->wanted->only[at][0] == '\0')
            snprintf(s->wanted->only[at], ONLY_BYTES, "%s, %s", result->operation, result->shape);
    }
    TEST_OK(oce_device_profile_start(s->device));
}

/* Not the groups of memory and models: the one profiles itself, the other compares runs with
 * themselves. */
static const oce_check_group groups[] = {
    oce_selftest_elements,     oce_selftest_softmax,
    oce_selftest_optimizers,   oce_selftest_products,
    oce_selftest_heads,        oce_selftest_pools,
    oce_selftest_convolutions, oce_selftest_pooled_convolutions,
};

static void find_checks(oce_device *device, kernels *k) {
    search s = {.device = device, .wanted = k};
    const oce_selftest_options options = {.quick = true, .report = note_check, .user = &s};
    oce_selftest_summary summary = {0};
    oce_check check = {.device = device, .options = &options, .summary = &summary};
    TEST_OK(oce_device_profile_start(device));
    for (int i = 0; i < OCE_COUNT(groups); i++)
        TEST_OK(groups[i](&check));
    TEST_OK(oce_device_profile_stop(device));
}

/* ---- Faults --------------------------------------------------------------------------------- */

static bool is_exempt(const char *name) {
    for (int i = 0; i < OCE_COUNT(exempt); i++)
        if (strcmp(exempt[i].kernel, name) == 0) {
            cr_log_info("%s: %s", name, exempt[i].reason);
            return true;
        }
    return false;
}

/* A kernel that no check was seen to launch is looked for in all of them. */
static void expect_found(const char *name, const char *only) {
    char fault[NAME_BYTES + 16];
    snprintf(fault, sizeof fault, "result=%s", name);
    setenv("OCELLI_FAULT", fault, 1);
    oce_device *device = test_open_device();
    unsetenv("OCELLI_FAULT");
    const oce_selftest_options options = {.quick = true, .only = only[0] != '\0' ? only : NULL};
    oce_selftest_summary summary;
    TEST_OK(oce_selftest(device, &options, &summary));
    cr_expect_gt(summary.failed, 0, "no check finds a wrong element of kernel %s (%s%s)", name,
                 only[0] != '\0' ? "only " : "all checks", only);
    oce_device_close(device);
}

static void expect_all_found(const char *device_class) {
    static const char *const names[] = {"mnist", "cifar10"};
    static kernels k;
    if (test_is_small())
        cr_skip_test("the networks' shapes are too large for a simulator");
    setenv("OCELLI_DEVICE_CLASS", device_class, 1);
    oce_device *device = test_open_device();
    for (int i = 0; i < OCE_COUNT(names); i++) {
        run_network(device, names[i], 0, &k);
        run_network(device, names[i], 1, &k);
        run_network(device, names[i], 50, &k);
    }
    cr_expect_gt(k.count, 10);
    find_checks(device, &k);
    oce_device_close(device);
    for (int i = 0; i < k.count; i++)
        if (!is_exempt(k.name[i]))
            expect_found(k.name[i], k.only[i]);
}

Test(selftest_kernels, of_cpus_are_all_checked, .timeout = 600) {
    expect_all_found("cpu");
}

Test(selftest_kernels, of_gpus_are_all_checked, .timeout = 600) {
    expect_all_found("gpu");
}
