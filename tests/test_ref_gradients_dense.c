/* The gradients of matrix product, softmax cross entropy and dropout, by the reference, against
 * numerical derivatives. */
#include "ref/ref.h"
#include "support/gradient.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

static const compare_limit exactly = {0, 0, 0};

/* --- Matrix product --- */

typedef struct gemm {
    oce_gemm_desc desc;
    float *a, *b, *bias;
} gemm;

static void gemm_forward(const void *op, float *c) {
    const gemm *t = op;
    cr_assert_eq(oce_ref_gemm(&t->desc, t->a, t->b, t->bias, c), OCE_OK, "%s", oce_last_error());
}

/* dA and dB of C = op(A) op(B), each again a product: with op(A) = A, dA = dC op(B)^T; stored
 * transposed, dA = op(B) dC^T. */
static void gemm_grads(const gemm *t, const float *dc, float *da, float *db) {
    const oce_gemm_desc *d = &t->desc;
    const oce_gemm_desc a_plain = {.m = d->m, .n = d->k, .k = d->n, .transpose_b = !d->transpose_b};
    const oce_gemm_desc a_turned = {
        .m = d->k, .n = d->m, .k = d->n, .transpose_a = d->transpose_b, .transpose_b = true};
    const oce_gemm_desc b_plain = {.m = d->k, .n = d->n, .k = d->m, .transpose_a = !d->transpose_a};
    const oce_gemm_desc b_turned = {
        .m = d->n, .n = d->k, .k = d->m, .transpose_a = true, .transpose_b = d->transpose_a};
    if (d->transpose_a)
        cr_assert_eq(oce_ref_gemm(&a_turned, t->b, dc, NULL, da), OCE_OK);
    else
        cr_assert_eq(oce_ref_gemm(&a_plain, dc, t->b, NULL, da), OCE_OK);
    if (d->transpose_b)
        cr_assert_eq(oce_ref_gemm(&b_turned, dc, t->a, NULL, db), OCE_OK);
    else
        cr_assert_eq(oce_ref_gemm(&b_plain, t->a, dc, NULL, db), OCE_OK);
}

static void check_gemm(oce_random *random, const oce_gemm_desc *d) {
    const size_t m = (size_t)d->m, n = (size_t)d->n, k = (size_t)d->k;
    const bool relu = d->activation == OCE_ACTIVATION_RELU;
    gemm t = {*d, test_eighths(random, m * k), test_eighths(random, k * n),
              test_eighths(random, n)};
    for (size_t i = 0; i < n; i++)
        t.bias[i] += 1.0F / 128.0F;
    float *c = test_floats(m * n), *dc = test_eighths(random, m * n), *dz = test_floats(m * n);
    float *da = test_floats(m * k), *db = test_floats(k * n), *dbias = test_floats(n);
    char name[120];
    snprintf(name, sizeof name, "gemm m %zu n %zu k %zu, a%s b%s%s", m, n, k,
             d->transpose_a ? "^T" : "", d->transpose_b ? "^T" : "", relu ? ", relu" : "");
    const gradient_loss l = {gemm_forward, &t, dc, m * n};
    const float step = relu ? 1.0F / 512.0F : 0.5F;
    gemm_forward(&t, c);
    if (!relu)
        for (size_t i = 0; i < m * n; i++)
            c[i] = 1.0F; /* passes the whole gradient */
    oce_ref_relu_grad(m * n, dc, c, dz);
    gemm_grads(&t, dz, da, db);
    oce_ref_bias_grad(d->m, d->n, dz, dbias);
    check_gradient(&l, t.a, m * k, step, da, exactly, name, "gradient of a");
    check_gradient(&l, t.b, k * n, step, db, exactly, name, "gradient of b");
    check_gradient(&l, t.bias, n, step, dbias, exactly, name, "gradient of the bias");
    free(dbias);
    free(db);
    free(da);
    free(dz);
    free(dc);
    free(c);
    free(t.bias);
    free(t.b);
    free(t.a);
}

Test(ref_gradients_dense, gemm_with_every_transpose) {
    oce_random random;
    oce_random_init(&random, 3, OCE_RANDOM_TEST, 0);
    for (int i = 0; i < 32; i++) {
        const oce_gemm_desc desc = {.m = test_between(&random, 1, 6),
                                    .n = test_between(&random, 1, 6),
                                    .k = test_between(&random, 1, 6),
                                    .transpose_a = (i & 1) != 0,
                                    .transpose_b = (i & 2) != 0,
                                    .activation = (oce_activation)(i >> 2 & 1)};
        check_gemm(&random, &desc);
    }
}

/* --- Softmax cross entropy, dropout --- */

enum { ROWS = 5, CLASSES = 7 };
static const float upstream = 0.25F;
/* Losses are floats of about 3, and the step 1/64: rounding gives 1e-5, the step's square less. */
static const compare_limit differenced = {.absolute = 3e-5};

typedef struct xent {
    float *logits, *labels;
    uint8_t classes[ROWS];
} xent;

static void xent_forward(const void *op, float *losses) {
    const xent *t = op;
    oce_ref_softmax_xent(ROWS, CLASSES, t->logits, t->labels, upstream, losses, NULL);
}

static void xent_classes_forward(const void *op, float *loss_sum) {
    const xent *t = op;
    oce_xent_sums sums;
    oce_ref_softmax_xent_classes(ROWS, CLASSES, t->logits, t->classes, upstream, &sums, NULL, NULL);
    *loss_sum = sums.loss;
}

/* Labels sum to 1 in each row: only then is softmax - labels the derivative of the loss. */
static xent xent_start(void) {
    oce_random random;
    oce_random_init(&random, 4, OCE_RANDOM_TEST, 0);
    xent t = {test_eighths(&random, ROWS * CLASSES), test_eighths(&random, ROWS * CLASSES), {0}};
    for (size_t r = 0; r < ROWS; r++) {
        float sum = 0;
        for (size_t i = r * CLASSES; i < (r + 1) * CLASSES; i++) {
            t.logits[i] *= 3.0F;
            t.labels[i] *= t.labels[i];
            sum += t.labels[i];
        }
        for (size_t i = r * CLASSES; i < (r + 1) * CLASSES; i++)
            t.labels[i] /= sum;
        t.classes[r] = (uint8_t)(r * 3 % CLASSES);
    }
    return t;
}

static void xent_end(xent *t) {
    free(t->logits);
    free(t->labels);
}

Test(ref_gradients_dense, softmax_xent) {
    xent t = xent_start();
    float losses[ROWS], dlogits[ROWS * CLASSES];
    static const float ones[ROWS] = {upstream, upstream, upstream, upstream, upstream};
    const gradient_loss l = {xent_forward, &t, ones, ROWS};
    oce_ref_softmax_xent(ROWS, CLASSES, t.logits, t.labels, upstream, losses, dlogits);
    check_gradient(&l, t.logits, ROWS * CLASSES, 1.0F / 64.0F, dlogits, differenced, "softmax_xent",
                   "gradient of the logits");
    xent_end(&t);
}

Test(ref_gradients_dense, softmax_xent_classes) {
    xent t = xent_start();
    oce_xent_sums sums;
    float dlogits[ROWS * CLASSES];
    const gradient_loss l = {xent_classes_forward, &t, &upstream, 1};
    oce_ref_softmax_xent_classes(ROWS, CLASSES, t.logits, t.classes, upstream, &sums, dlogits,
                                 NULL);
    check_gradient(&l, t.logits, ROWS * CLASSES, 1.0F / 64.0F, dlogits, differenced,
                   "softmax_xent_classes", "gradient of the logits");
    xent_end(&t);
}

typedef struct dropout {
    oce_dropout settings;
    float *x;
    size_t count;
} dropout;

static void dropout_forward(const void *op, float *y) {
    const dropout *t = op;
    cr_assert_eq(oce_ref_dropout(&t->settings, t->count, t->x, y), OCE_OK);
}

Test(ref_gradients_dense, dropout_is_the_same_call_on_dy) {
    oce_random random;
    oce_random_init(&random, 5, OCE_RANDOM_TEST, 0);
    enum { COUNT = 61 };
    dropout t = {{.keep_prob = 0.5F, .seed = 7, .step = 3, .layer = 1, .first = 5},
                 test_eighths(&random, COUNT),
                 COUNT};
    float *dy = test_eighths(&random, COUNT), *dx = test_floats(COUNT);
    const gradient_loss l = {dropout_forward, &t, dy, COUNT};
    cr_assert_eq(oce_ref_dropout(&t.settings, COUNT, dy, dx), OCE_OK);
    check_gradient(&l, t.x, COUNT, 0.5F, dx, exactly, "dropout", "input gradient");
    free(dx);
    free(dy);
    free(t.x);
}
