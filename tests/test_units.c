/* Results do not depend on how many compute units the device has. PoCL takes their number from the
 * environment; other drivers compute the same bits again. */
#include "support/command.h"
#include "support/device.h"
#include "support/scratch.h"

#include "base/random.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const counts[] = {"1", "2", "3", "8"};
enum { COUNTS = sizeof counts / sizeof counts[0], RECORD = 1 + 3072, RECORDS = 20 };

/* A file of CIFAR-10 records with random pixels. */
static void write_records(const char *folder) {
    static unsigned char data[RECORDS * RECORD];
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_TEST, 0);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)oce_random_below(&random, i % RECORD == 0 ? 10 : 256);
    scratch_write(folder, "records.bin", data, sizeof data);
}

/* Trains a few steps with `units` units and loads the parameters and slots that it ends with. */
static char *train(const char *folder, const char *units, const char *conv, size_t *size) {
    char variable[64], file[64];
    snprintf(variable, sizeof variable, "POCL_MAX_PTHREAD_COUNT=%s", units);
    snprintf(file, sizeof file, "%s/model-3.data-00000-of-00001", units);
    /* Threads beyond the processors cannot be tied to one each. */
    const char *const environment[] = {variable, "POCL_AFFINITY=0", NULL};
    const char *records = scratch_path(folder, "records.bin");
    command_result r =
        command_ocelli(environment, "train", "cifar10", "--train-file", records, "--test-file",
                       records, "--batch", "18", "--steps", "3", "--conv", conv, "--quiet",
                       "--save-final", "--model-dir", scratch_path(folder, units));
    cr_assert_eq(r.code, 0, "%s units: %s", units, r.err);
    command_free(&r);
    return file_load(scratch_path(folder, file), size);
}

static void expect_same_bits(const char *conv) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    char *folder = scratch_create();
    write_records(folder);
    size_t first_size = 0;
    char *first = train(folder, counts[0], conv, &first_size);
    for (int i = 1; i < COUNTS; i++) {
        size_t size = 0;
        char *other = train(folder, counts[i], conv, &size);
        cr_expect(size == first_size && memcmp(first, other, size) == 0,
                  "%s units do not compute what %s unit does", counts[i], counts[0]);
        free(other);
    }
    free(first);
    scratch_remove(folder);
}

Test(units, a_training_has_the_same_bits) {
    expect_same_bits("auto");
}

Test(units, a_training_with_plain_sums_has_the_same_bits) {
    expect_same_bits("direct");
}
