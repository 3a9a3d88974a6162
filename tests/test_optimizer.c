/* Optimizers on the device against TensorFlow's numbers and src/ref. */
#include "ref/ref.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/gradient.h"
#include "support/vectors.h"

#include <ocelli/optimizer.h>

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const oce_optimizer_kind kinds[] = {OCE_OPTIMIZER_SGD, OCE_OPTIMIZER_MOMENTUM,
                                           OCE_OPTIMIZER_ADAM, OCE_OPTIMIZER_RMSPROP};
enum { KINDS = 4 };

static oce_tensor vector_of(oce_device *device, size_t count, const float *data) {
    return test_tensor(device, 1, 1, 1, (int64_t)count, NULL, data);
}

/* Parameters on the device and, as the reference has them, on the host. */
typedef struct training {
    oce_device *device;
    oce_optimizer_desc desc;
    size_t count;
    oce_tensor gradients, parameters, slots[2];
    float *ref_parameters, *ref_slots[2];
    oce_optimizer_state state, ref_state;
} training;

static training training_open(oce_device *device, const oce_optimizer_desc *desc, size_t count) {
    training t = {.device = device, .desc = *desc, .count = count};
    t.ref_parameters = test_random(count, 1);
    t.parameters = vector_of(device, count, t.ref_parameters);
    t.gradients = vector_of(device, count, NULL);
    for (int s = 0; s < oce_optimizer_slots(desc->kind); s++) {
        t.ref_slots[s] = test_floats(count);
        for (size_t i = 0; i < count; i++)
            t.ref_slots[s][i] = oce_optimizer_slot_start(desc->kind, s);
        t.slots[s] = vector_of(device, count, t.ref_slots[s]);
    }
    t.state = t.ref_state = oce_optimizer_start(desc);
    return t;
}

static void training_close(training *t) {
    for (int s = 0; s < 2; s++) {
        oce_tensor_release(&t->slots[s]);
        free(t->ref_slots[s]);
    }
    oce_tensor_release(&t->gradients);
    oce_tensor_release(&t->parameters);
    free(t->ref_parameters);
}

static void step(training *t, float rate, const float *gradients) {
    TEST_OK(oce_tensor_write(&t->gradients, gradients));
    TEST_OK(oce_optimizer_step(t->device, &t->desc, rate, &t->state, &t->gradients, &t->parameters,
                               t->slots));
    cr_assert_eq(oce_ref_optimizer_step(&t->desc, rate, &t->ref_state, gradients, t->ref_parameters,
                                        t->ref_slots, t->count),
                 OCE_OK);
}

/* Gradients of very different sizes, some exactly 0. */
static float *gradients_of(size_t count, uint64_t seed) {
    float *g = test_random(count, seed);
    for (size_t i = 0; i < count; i++)
        g[i] = i % 11 == 0 ? 0.0F : ldexpf(g[i], (int)(i % 13) - 8);
    return g;
}

/* Sums, products and differences are correctly rounded everywhere; division and square root may
 * each be a few units off in OpenCL, so what they feed may differ by as much of an update. */
static void compare(const training *t, double steps) {
    const char *name = oce_optimizer_name(t->desc.kind);
    const double update = (double)t->desc.learning_rate * steps;
    float *got = test_download(&t->parameters);
    const compare_limit limit = {.absolute = 1e-6 * update, .relative = 1e-7 * steps};
    expect_floats(got, t->ref_parameters, t->count, NULL, limit, "%s: parameters", name);
    free(got);
    for (int s = 0; s < oce_optimizer_slots(t->desc.kind); s++) {
        const bool divided = t->desc.kind == OCE_OPTIMIZER_RMSPROP && s == 1;
        const compare_limit slot = {.absolute = divided ? 1e-6 * update : 0};
        got = test_download(&t->slots[s]);
        expect_floats(got, t->ref_slots[s], t->count, NULL, slot, "%s: slot %d", name, s);
        free(got);
    }
    expect_bytes(&t->state, &t->ref_state, sizeof t->state, "%s: powers", name);
}

/* --- TensorFlow's numbers --- */

static void check_vector(oce_device *device, const optimizer_vector *v) {
    const compare_limit limit = vector_limit(v->tolerance);
    oce_tensor gradients = vector_of(device, v->count, v->gradients.values);
    oce_tensor parameters = vector_of(device, v->count, v->parameters.values);
    oce_tensor slots[2] = {vector_of(device, v->count, v->slots[0].values),
                           vector_of(device, v->count, v->slots[1].values)};
    oce_optimizer_state state = v->start;
    for (size_t i = 0; i < v->step_count; i++) {
        const optimizer_vector_step *expected = &v->steps[i];
        TEST_OK(oce_optimizer_step(device, &v->desc, v->desc.learning_rate, &state, &gradients,
                                   &parameters, slots));
        float *got = test_download(&parameters);
        expect_floats(got, expected->parameters.values, v->count, NULL, limit,
                      "%s, parameters after step %zu", v->name, i + 1);
        free(got);
        for (int s = 0; s < 2; s++) {
            got = test_download(&slots[s]);
            expect_floats(got, expected->slots[s].values, v->count, NULL, limit,
                          "%s, slot %d after step %zu", v->name, s, i + 1);
            free(got);
        }
        const float powers[2] = {(float)expected->beta1_power, (float)expected->beta2_power};
        expect_floats(&state.beta1_power, powers, 1, NULL, limit, "%s, beta1_power", v->name);
        expect_floats(&state.beta2_power, powers + 1, 1, NULL, limit, "%s, beta2_power", v->name);
    }
    oce_tensor_release(&slots[1]);
    oce_tensor_release(&slots[0]);
    oce_tensor_release(&parameters);
    oce_tensor_release(&gradients);
}

static void check_file(const char *name, size_t count) {
    oce_device *device = test_open_device();
    vector_file *file = vectors_open(name);
    cr_expect_eq(vectors_count(file), count);
    for (size_t i = 0; i < vectors_count(file); i++) {
        const optimizer_vector v = vectors_optimizer(file, i);
        check_vector(device, &v);
    }
    vectors_close(file);
    oce_device_close(device);
}

Test(optimizer, adam_gives_tensorflows_numbers) {
    check_file("tf_adam.json", 2);
}

Test(optimizer, rmsprop_gives_tensorflows_numbers) {
    check_file("tf_rmsprop.json", 8);
}

/* --- Against the reference --- */

Test(optimizer, agrees_with_the_reference_over_50_steps) {
    static const size_t counts[] = {1, 3, 17, 4099};
    const size_t sizes = test_is_small() ? 3 : 4;
    oce_device *device = test_open_device();
    for (int k = 0; k < KINDS; k++)
        for (size_t c = 0; c < sizes; c++) {
            oce_optimizer_desc desc = oce_optimizer_defaults(kinds[k], 1e-3F);
            if (kinds[k] == OCE_OPTIMIZER_RMSPROP && c % 2 == 1)
                desc.momentum = 0.9F;
            training t = training_open(device, &desc, counts[c]);
            for (uint64_t s = 0; s < 50; s++) {
                float *g = gradients_of(counts[c], 100 + s);
                step(&t, s < 25 ? 1e-3F : 5e-4F, g);
                free(g);
            }
            compare(&t, 50);
            training_close(&t);
        }
    oce_device_close(device);
}

/* RMSProp's moments, without momentum, may bring the gradients; nobody else's slots may. */
Test(optimizer, takes_gradients_in_the_memory_of_unread_moments) {
    static const size_t counts[] = {1, 19, 4099};
    oce_device *device = test_open_device();
    for (int c = 0; c < 3; c++) {
        const oce_optimizer_desc desc = oce_optimizer_defaults(OCE_OPTIMIZER_RMSPROP, 1e-3F);
        training t = training_open(device, &desc, counts[c]);
        oce_tensor_release(&t.gradients);
        t.gradients = t.slots[1];
        for (uint64_t s = 0; s < 5; s++) {
            float *g = gradients_of(counts[c], 100 + s);
            step(&t, 1e-3F, g);
            free(g);
        }
        compare(&t, 5);
        t.gradients = (oce_tensor){0};
        training_close(&t);
    }
    for (int k = 0; k < KINDS; k++)
        for (int slot = 0; slot < 2; slot++) {
            oce_optimizer_desc desc = oce_optimizer_defaults(kinds[k], 1e-3F);
            desc.momentum = 0;
            cr_expect_eq(oce_optimizer_takes_slot(&desc, slot),
                         kinds[k] == OCE_OPTIMIZER_RMSPROP && slot == 1);
            desc.momentum = 0.5F;
            cr_expect_not(oce_optimizer_takes_slot(&desc, slot));
        }
    oce_device_close(device);
}

Test(optimizer, one_step_agrees_with_the_reference) {
    const size_t count = 12289;
    oce_device *device = test_open_device();
    for (int k = 0; k < KINDS; k++) {
        const oce_optimizer_desc desc = oce_optimizer_defaults(kinds[k], 0.01F);
        training t = training_open(device, &desc, count);
        float *g = gradients_of(count, 5);
        step(&t, 0.01F, g);
        compare(&t, 1);
        free(g);
        training_close(&t);
    }
    oce_device_close(device);
}

/* A product and a sum in one rounding would give -2^-46 here, two roundings give 0. */
Test(optimizer, never_contracts_to_a_fused_multiply_add) {
    const oce_optimizer_desc desc = oce_optimizer_defaults(OCE_OPTIMIZER_SGD, 0);
    const float rate = 1 + FLT_EPSILON, gradient[5] = {rate, rate, rate, rate, rate};
    float start[5], expected[5] = {0};
    const float product = rate * rate;
    for (int i = 0; i < 5; i++)
        start[i] = product;
    oce_device *device = test_open_device();
    oce_tensor g = vector_of(device, 5, gradient), parameters = vector_of(device, 5, start);
    oce_optimizer_state state = {0, 0};
    TEST_OK(oce_optimizer_step(device, &desc, rate, &state, &g, &parameters, NULL));
    float *got = test_download(&parameters);
    expect_floats(got, expected, 5, NULL, (compare_limit){0}, "parameters");
    free(got);
    oce_tensor_release(&parameters);
    oce_tensor_release(&g);
    oce_device_close(device);
}

Test(optimizer, repeats_bit_for_bit) {
    const size_t count = 5003;
    oce_device *device = test_open_device();
    for (int k = 0; k < KINDS; k++) {
        float *results[2];
        for (int repeat = 0; repeat < 2; repeat++) {
            const oce_optimizer_desc desc = oce_optimizer_defaults(kinds[k], 1e-3F);
            training t = training_open(device, &desc, count);
            for (uint64_t s = 0; s < 5; s++) {
                float *g = gradients_of(count, s);
                step(&t, 1e-3F, g);
                free(g);
            }
            results[repeat] = test_download(&t.parameters);
            training_close(&t);
        }
        expect_bytes(results[1], results[0], count * sizeof(float), "%s",
                     oce_optimizer_name(kinds[k]));
        free(results[1]);
        free(results[0]);
    }
    oce_device_close(device);
}

/* Checkpoints of TensorFlow hold a beta1_power of exactly 0 from its 829th factor on. */
Test(optimizer, powers_become_zero_where_they_leave_the_normal_range) {
    const oce_optimizer_desc desc = oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 1e-3F);
    oce_device *device = test_open_device();
    training t = training_open(device, &desc, 1);
    const float gradient = 1;
    float power2 = desc.beta2;
    cr_expect_eq(t.state.beta1_power, desc.beta1);
    for (int factors = 2; factors <= 840; factors++) {
        step(&t, 1e-3F, &gradient);
        power2 *= desc.beta2;
        if (factors < 829)
            cr_assert(t.state.beta1_power >= FLT_MIN, "%d factors: %g", factors,
                      (double)t.state.beta1_power);
        else
            cr_assert(t.state.beta1_power == 0, "%d factors: %g", factors,
                      (double)t.state.beta1_power);
        cr_assert_eq(t.state.beta2_power, power2);
    }
    training_close(&t);
    oce_device_close(device);
}

/* --- Descriptions, refused --- */

Test(optimizer, defaults_are_tensorflows) {
    const oce_optimizer_desc adam = oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 1e-4F);
    const oce_optimizer_desc rmsprop = oce_optimizer_defaults(OCE_OPTIMIZER_RMSPROP, 1e-3F);
    const oce_optimizer_desc momentum = oce_optimizer_defaults(OCE_OPTIMIZER_MOMENTUM, 0.1F);
    cr_expect(adam.learning_rate == 1e-4F && adam.beta1 == 0.9F && adam.beta2 == 0.999F &&
              adam.epsilon == 1e-8F);
    cr_expect(rmsprop.learning_rate == 1e-3F && rmsprop.decay == 0.9F && rmsprop.momentum == 0 &&
              rmsprop.epsilon == 1e-10F);
    cr_expect(momentum.learning_rate == 0.1F && momentum.momentum == 0.9F);
    static const char *const names[KINDS] = {"sgd", "momentum", "adam", "rmsprop"};
    static const int slots[KINDS] = {0, 1, 2, 2};
    for (int k = 0; k < KINDS; k++) {
        cr_expect_str_eq(oce_optimizer_name(kinds[k]), names[k]);
        cr_expect_eq(oce_optimizer_slots(kinds[k]), slots[k]);
        for (int s = 0; s < slots[k]; s++)
            cr_expect_eq(oce_optimizer_slot_start(kinds[k], s), k == 3 && s == 0 ? 1 : 0);
    }
    cr_expect_str_eq(oce_optimizer_name((oce_optimizer_kind)9), "unknown");
}

Test(optimizer, refuses_what_does_not_fit_and_does_not_advance) {
    oce_device *device = test_open_device();
    const oce_optimizer_desc adam = oce_optimizer_defaults(OCE_OPTIMIZER_ADAM, 1e-3F);
    oce_optimizer_desc unknown = adam;
    unknown.kind = (oce_optimizer_kind)9;
    oce_tensor five = vector_of(device, 5, NULL), six = vector_of(device, 6, NULL);
    const oce_tensor slots[2] = {five, five}, wrong[2] = {five, six};
    const oce_optimizer_state start = oce_optimizer_start(&adam);
    oce_optimizer_state state = start;
    cr_expect_eq(oce_optimizer_step(device, &unknown, 1, &state, &five, &five, slots),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_optimizer_step(device, &adam, 1, &state, &six, &five, slots), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_optimizer_step(device, &adam, 1, &state, &five, &six, slots), OCE_ERROR_SHAPE);
    cr_expect_eq(oce_optimizer_step(device, &adam, 1, &state, &five, &five, wrong),
                 OCE_ERROR_SHAPE);
    cr_expect_eq(oce_optimizer_step(device, &adam, 1, &state, &five, &five, NULL),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_optimizer_step(device, &adam, 1, &state, NULL, &five, slots),
                 OCE_ERROR_INVALID_ARGUMENT);
    cr_expect_eq(oce_optimizer_step(device, &adam, 1, &state, &five, NULL, slots),
                 OCE_ERROR_INVALID_ARGUMENT);
    expect_bytes(&state, &start, sizeof state, "the state");
    oce_tensor_release(&six);
    oce_tensor_release(&five);
    oce_device_close(device);
}
