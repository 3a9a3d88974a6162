#include "support/xent.h"

#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"

#include <criterion/criterion.h>

#include <stdlib.h>

/* exp and log are within 3 units of the last place, the differences of logits exact to one. */
static const compare_limit close = {.absolute = 1e-6, .relative = 2e-6};

enum { FIRST = 3 /* byte of the labels' buffer where they start */ };

void xent_run_on(oce_device *device, xent_run *run, bool in_place) {
    const size_t rows = (size_t)run->rows;
    oce_xent_sums all[3] = {{1, 1}, {2, 2}, {3, 3}};
    oce_buffer *labels = NULL, *sums = NULL, *predictions = NULL, *workspace = NULL;
    const size_t workspace_bytes = oce_softmax_xent_workspace(run->rows, run->classes);
    if (workspace_bytes > 0)
        TEST_OK(oce_buffer_create(device, workspace_bytes, &workspace));
    TEST_OK(oce_buffer_create(device, FIRST + rows, &labels));
    TEST_OK(oce_buffer_create(device, sizeof all, &sums));
    TEST_OK(oce_buffer_create(device, rows * sizeof(int32_t), &predictions));
    TEST_OK(oce_buffer_write(labels, FIRST, run->labels, rows));
    TEST_OK(oce_buffer_write(sums, 0, all, sizeof all));
    oce_tensor z = test_tensor(device, run->rows, 1, 1, run->classes, NULL, run->z);
    oce_tensor dz = test_tensor(device, run->rows, 1, 1, run->classes, NULL, NULL);
    TEST_OK(oce_softmax_xent_classes(device, &z, labels, FIRST, run->upstream, sums, 1,
                                     in_place ? &z : &dz, predictions, workspace));
    run->dz = test_download(in_place ? &z : &dz);
    run->predictions = calloc(rows + 1, sizeof(int32_t));
    TEST_OK(oce_buffer_read(predictions, 0, run->predictions, rows * sizeof(int32_t)));
    TEST_OK(oce_buffer_read(sums, 0, all, sizeof all));
    run->sums = all[1];
    cr_expect(all[0].loss == 1 && all[0].correct == 1 && all[2].loss == 3 && all[2].correct == 3,
              "other slots were written");
    oce_tensor_release(&dz);
    oce_tensor_release(&z);
    oce_buffer_destroy(workspace);
    oce_buffer_destroy(predictions);
    oce_buffer_destroy(sums);
    oce_buffer_destroy(labels);
}

void xent_check(oce_device *device, xent_run *run, bool in_place) {
    const size_t count = (size_t)(run->rows * run->classes), rows = (size_t)run->rows;
    float *dz = test_floats(count);
    int32_t *predictions = calloc(rows + 1, sizeof(int32_t));
    oce_xent_sums sums;
    oce_ref_softmax_xent_classes(run->rows, run->classes, run->z, run->labels, run->upstream, &sums,
                                 dz, predictions);
    xent_run_on(device, run, in_place);
    const compare_limit loss = {.absolute = 1e-6, .relative = 2e-6};
    expect_floats(&run->sums.loss, &sums.loss, 1, NULL, loss, "loss of %lld rows",
                  (long long)run->rows);
    cr_expect_eq(run->sums.correct, sums.correct, "correct: %d, expected %d", run->sums.correct,
                 sums.correct);
    expect_ints(run->predictions, predictions, rows, "predictions");
    expect_floats(run->dz, dz, count, NULL, close, "gradient");
    free(run->predictions);
    free(run->dz);
    free(predictions);
    free(dz);
}
