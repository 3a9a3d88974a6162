/* Edge rules of the reference operations: ties, NaN, overflow, flushed powers, refused shapes. */
#include "ref/ref.h"
#include "support/compare.h"

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>

static const compare_limit exactly = {0, 0, 0};

/* --- Convolution and matrix product --- */

Test(ref_rules, conv2d_without_channels_is_the_bias) {
    const oce_conv2d_desc desc = {
        .batch = 1, .height = 2, .width = 1, .filters = 2, .window = {.size = {1, 1}}};
    const float bias[2] = {0.5F, -3.0F}, expected[4] = {0.5F, -3.0F, 0.5F, -3.0F};
    float y[4];
    cr_assert_eq(oce_ref_conv2d_forward(&desc, NULL, NULL, bias, y), OCE_OK);
    expect_floats(y, expected, 4, NULL, exactly, "y");
}

Test(ref_rules, conv2d_accumulates_in_double) {
    const oce_conv2d_desc desc = {.batch = 1,
                                  .height = 1,
                                  .width = 3,
                                  .channels = 1,
                                  .filters = 1,
                                  .window = {.size = {1, 3}, .padding = OCE_PADDING_VALID}};
    const float x[3] = {1e8F, 1.0F, -1e8F}, filter[3] = {1, 1, 1}, expected = 1.0F;
    float y;
    cr_assert_eq(oce_ref_conv2d_forward(&desc, x, filter, NULL, &y), OCE_OK);
    expect_floats(&y, &expected, 1, NULL, exactly, "y");
}

Test(ref_rules, conv2d_refuses_what_cannot_be) {
    const oce_conv2d_desc good = {.batch = 1,
                                  .height = 3,
                                  .width = 3,
                                  .channels = 1,
                                  .filters = 1,
                                  .window = {.size = {3, 3}}};
    oce_conv2d_desc bad[5] = {good, good, good, good, good};
    bad[0].batch = -1;
    bad[1].filters = -1;
    bad[2].activation = (oce_activation)7;
    bad[3].window.stride[0] = -1;
    bad[4].window = (oce_window){.size = {5, 5}, .padding = OCE_PADDING_VALID};
    for (int i = 0; i < 5; i++) {
        const oce_status expected = i == 4 ? OCE_ERROR_SHAPE : OCE_ERROR_INVALID_ARGUMENT;
        cr_expect_eq(oce_ref_conv2d_forward(&bad[i], NULL, NULL, NULL, NULL), expected, "%d", i);
        cr_expect_eq(oce_ref_conv2d_input_grad(&bad[i], NULL, NULL, NULL), expected, "%d", i);
        cr_expect_eq(oce_ref_conv2d_filter_grad(&bad[i], NULL, NULL, NULL), expected, "%d", i);
    }
}

Test(ref_rules, gemm_over_nothing_is_the_activated_bias) {
    const oce_gemm_desc desc = {.m = 2, .n = 2, .activation = OCE_ACTIVATION_RELU};
    const float bias[2] = {2.0F, -1.0F}, expected[4] = {2, 0, 2, 0};
    float c[4];
    cr_assert_eq(oce_ref_gemm(&desc, NULL, NULL, bias, c), OCE_OK);
    expect_floats(c, expected, 4, NULL, exactly, "c");
    const oce_gemm_desc negative = {.m = 1, .n = 1, .k = -1};
    cr_expect_eq(oce_ref_gemm(&negative, NULL, NULL, NULL, c), OCE_ERROR_INVALID_ARGUMENT);
}

/* --- Pooling --- */

/* One window over all of x [1,1,width,1]: the maximum, its winner and the gradient of 1. */
static void one_window(const float *x, int64_t width, float *y, uint8_t *winner, float *dx) {
    const oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                                .batch = 1,
                                .height = 1,
                                .width = width,
                                .channels = 1,
                                .window = {.size = {1, width}, .padding = OCE_PADDING_VALID}};
    const float dy = 1.0F;
    cr_assert_eq(oce_ref_pool_forward(&desc, x, y, winner), OCE_OK);
    cr_assert_eq(oce_ref_pool_grad(&desc, x, &dy, dx), OCE_OK);
}

Test(ref_rules, max_pool_keeps_a_first_nan_and_ignores_a_later_one) {
    static const struct {
        float x[3], y;
        uint8_t winner;
    } cases[] = {
        {{NAN, 5, 6}, NAN, 0}, {{1, NAN, 0}, 1, 0},
        {{1, NAN, 2}, 2, 2},   {{-INFINITY, NAN, -INFINITY}, -INFINITY, 0},
        {{0, 0, 0}, 0, 0},     {{-1, 3, 3}, 3, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float y, dx[3], expected[3] = {0, 0, 0};
        uint8_t winner;
        expected[cases[i].winner] = 1.0F;
        one_window(cases[i].x, 3, &y, &winner, dx);
        cr_expect_eq(winner, cases[i].winner, "case %zu: winner %u", i, (unsigned)winner);
        expect_floats(&y, &cases[i].y, 1, NULL, exactly, "case %zu, maximum", i);
        expect_floats(dx, expected, 3, NULL, exactly, "case %zu, gradient", i);
    }
}

Test(ref_rules, max_pool_counts_padding_in_the_winners_position) {
    const oce_pool_desc desc = {
        .kind = OCE_POOL_MAX,
        .batch = 1,
        .height = 2,
        .width = 2,
        .channels = 1,
        .window = {
            .size = {2, 3}, .stride = {2, 2}, .padding = OCE_PADDING_EXPLICIT, .before = {1, 1}}};
    const float x[4] = {1, 4, 2, 3};
    float y;
    uint8_t winner;
    cr_assert_eq(oce_ref_pool_forward(&desc, x, &y, &winner), OCE_OK);
    cr_expect_eq(winner, 1 * 3 + 2, "winner %u", (unsigned)winner);
    cr_expect_eq(y, 4.0F);
}

/* The gradient of ReLU before pooling is that of the ReLU mask of y after it. */
Test(ref_rules, relu_gradient_may_be_taken_after_max_pooling) {
    const oce_pool_desc desc = {.kind = OCE_POOL_MAX,
                                .batch = 1,
                                .height = 3,
                                .width = 4,
                                .channels = 1,
                                .window = {.size = {2, 2}, .stride = {1, 2}}};
    const float x[12] = {0, 0, 2, 1, 0, 0, 0, 3, 0, 5, 0, 0}; /* a ReLU's output */
    const float dy[6] = {1, 2, 3, 4, 5, 6};
    float y[6], masked[6], fused[12], apart[12];
    cr_assert_eq(oce_ref_pool_forward(&desc, x, y, NULL), OCE_OK);
    oce_ref_relu_grad(6, dy, y, masked);
    cr_assert_eq(oce_ref_pool_grad(&desc, x, masked, fused), OCE_OK);
    cr_assert_eq(oce_ref_pool_grad(&desc, x, dy, apart), OCE_OK);
    oce_ref_relu_grad(12, apart, x, apart);
    expect_floats(fused, apart, 12, NULL, exactly, "dx");
}

Test(ref_rules, pool_refuses_what_cannot_be) {
    const oce_pool_desc good = {.kind = OCE_POOL_MAX,
                                .batch = 1,
                                .height = 16,
                                .width = 16,
                                .channels = 1,
                                .window = {.size = {2, 2}}};
    oce_pool_desc bad[5] = {good, good, good, good, good};
    bad[0].window.dilation[1] = 2;
    bad[1].window.size[0] = bad[1].window.size[1] = 16;
    bad[2].kind = (oce_pool_kind)2;
    bad[3].channels = -1;
    bad[4].window.padding = OCE_PADDING_EXPLICIT;
    bad[4].window.after[0] = 2;
    float x[256] = {0}, y[400];
    for (int i = 0; i < 5; i++) {
        const oce_status expected = i == 4 ? OCE_ERROR_SHAPE : OCE_ERROR_INVALID_ARGUMENT;
        cr_expect_eq(oce_ref_pool_forward(&bad[i], x, y, NULL), expected, "case %d", i);
        cr_expect_eq(oce_ref_pool_grad(&bad[i], x, y, x), expected, "case %d", i);
    }
    oce_pool_desc average = bad[1];
    average.kind = OCE_POOL_AVERAGE;
    average.window.padding = OCE_PADDING_VALID;
    uint8_t winner;
    cr_expect_eq(oce_ref_pool_forward(&average, x, y, NULL), OCE_OK, "%s", oce_last_error());
    cr_expect_eq(oce_ref_pool_forward(&average, x, y, &winner), OCE_ERROR_INVALID_ARGUMENT);
}

/* --- Elementwise --- */

Test(ref_rules, relu_at_zero_and_nan) {
    const float x[5] = {-0.0F, NAN, -INFINITY, INFINITY, FLT_MIN};
    const float expected[5] = {0.0F, NAN, 0.0F, INFINITY, FLT_MIN};
    const float dy[5] = {NAN, INFINITY, 1, 2, 3}, expected_dx[5] = {0, 0, 0, 2, 3};
    float y[5], dx[5];
    oce_ref_relu(5, x, y);
    expect_floats(y, expected, 5, NULL, exactly, "y");
    cr_expect(!signbit(y[0]), "max(-0, 0) is -0");
    oce_ref_relu_grad(5, dy, y, dx);
    expect_floats(dx, expected_dx, 5, NULL, exactly, "dx");
}

Test(ref_rules, bias_grad_sums_rows) {
    const float dy[6] = {1e8F, 1, 1, 2, -1e8F, 4}, expected[2] = {1, 7}, zeros[2] = {0, 0};
    float db[2];
    oce_ref_bias_grad(3, 2, dy, db);
    expect_floats(db, expected, 2, NULL, exactly, "db");
    oce_ref_bias_grad(0, 2, NULL, db);
    expect_floats(db, zeros, 2, NULL, exactly, "db of no rows");
}

/* TensorFlow's MNIST reader multiplies by the float32 reciprocal of 255; dividing would differ by
 * one unit in the last place for 126 of the 256 values. */
Test(ref_rules, bytes_are_multiplied_not_divided) {
    uint8_t bytes[256];
    float y[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    oce_ref_convert_bytes(256, bytes, 1.0F / 255.0F, y);
    int different = 0;
    for (int i = 0; i < 256; i++)
        different += y[i] != (float)i / 255.0F;
    cr_expect_eq(different, 126, "%d differ", different);
    cr_expect_eq(y[255], 1.0F);
}

/* --- Softmax --- */

Test(ref_rules, argmax_takes_the_first_of_equals_and_never_nan) {
    const float logits[6][3] = {{1, 3, 3},     {2, 2, 2},   {NAN, NAN, NAN},
                                {NAN, -5, -7}, {0, NAN, 1}, {-INFINITY, -INFINITY, -INFINITY}};
    const int32_t expected[6] = {1, 0, 0, 1, 2, 0};
    int32_t got[6];
    oce_ref_argmax(6, 3, &logits[0][0], got);
    expect_ints(got, expected, 6, "predictions");
}

/* log(softmax) would have lost this loss long before: exp(-200) is no float. */
Test(ref_rules, xent_survives_underflowing_probabilities) {
    const float logits[3] = {100, -100, 0}, labels[3] = {0, 1, 0}, expected = 200.0F;
    float loss, dlogits[3];
    const float expected_gradient[3] = {1, -1, 0};
    oce_ref_softmax_xent(1, 3, logits, labels, 1.0F, &loss, dlogits);
    expect_floats(&loss, &expected, 1, NULL, (compare_limit){.relative = 1e-7}, "loss");
    expect_floats(dlogits, expected_gradient, 3, NULL, (compare_limit){.absolute = 1e-30},
                  "gradient");
}

Test(ref_rules, xent_by_class_is_xent_by_one_hot) {
    const float logits[8] = {1, 2, 3, 4, 0.5F, -1, 2, 2}, one_hot[8] = {0, 1, 0, 0, 0, 0, 1, 0};
    const uint8_t labels[2] = {1, 2};
    float losses[2], by_one_hot[8], by_class[8];
    int32_t predictions[2];
    const int32_t expected[2] = {3, 2};
    oce_xent_sums sums;
    oce_ref_softmax_xent(2, 4, logits, one_hot, 0.5F, losses, by_one_hot);
    oce_ref_softmax_xent_classes(2, 4, logits, labels, 0.5F, &sums, by_class, predictions);
    expect_floats(by_class, by_one_hot, 8, NULL, exactly, "gradient");
    expect_ints(predictions, expected, 2, "predictions");
    cr_expect_eq(sums.correct, 1, "%d correct", (int)sums.correct);
    const float sum = losses[0] + losses[1];
    expect_floats(&sums.loss, &sum, 1, NULL, (compare_limit){.relative = 1e-6}, "loss");
}

Test(ref_rules, xent_of_a_label_out_of_range_is_nan) {
    const float logits[6] = {1, 0, 1, 0, 1, 0};
    const uint8_t labels[3] = {0, 2, 1};
    float dlogits[6], probabilities[6];
    oce_xent_sums sums;
    oce_ref_softmax_xent_classes(3, 2, logits, labels, 1.0F, &sums, dlogits, NULL);
    oce_ref_softmax(3, 2, logits, probabilities);
    cr_expect(isnan(sums.loss), "loss %g", (double)sums.loss);
    cr_expect_eq(sums.correct, 1, "%d correct", (int)sums.correct);
    expect_floats(&dlogits[2], &probabilities[2], 2, NULL, exactly, "gradient of that row");
}

/* --- Optimizers --- */

static oce_optimizer_state adam_after(int steps) {
    const oce_optimizer_desc desc = {
        .kind = OCE_OPTIMIZER_ADAM, .beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-8F};
    oce_optimizer_state state = {desc.beta1, desc.beta2};
    float *const slots[2] = {NULL, NULL};
    for (int i = 0; i < steps; i++)
        cr_assert_eq(oce_ref_optimizer_step(&desc, 1e-4F, &state, NULL, NULL, slots, 0), OCE_OK);
    return state;
}

/* The value that a checkpoint of TensorFlow 1.10 holds after 40,000 steps. */
Test(ref_rules, adam_powers_are_float32_products) {
    const oce_optimizer_state state = adam_after(40000);
    cr_expect_eq(state.beta2_power, 4.162172251068291e-18F, "%.17g", (double)state.beta2_power);
    cr_expect_eq(state.beta1_power, 0.0F, "%.17g", (double)state.beta1_power);
}

Test(ref_rules, adam_powers_flush_to_zero_below_the_normal_range) {
    cr_expect_geq(adam_after(827).beta1_power, FLT_MIN); /* 828 factors */
    cr_expect_eq(adam_after(828).beta1_power, 0.0F);     /* 829 factors */
}

/* sqrt(v) + epsilon for Adam, sqrt(ms + epsilon) for RMSProp, seen at a gradient of 0. */
Test(ref_rules, epsilon_has_its_place) {
    oce_optimizer_state state = {0.5F, 0.75F};
    float parameter = 0, first = 1, second = 0, gradient = 0;
    float *const slots[2] = {&first, &second};
    const oce_optimizer_desc adam = {
        .kind = OCE_OPTIMIZER_ADAM, .beta1 = 0.5F, .beta2 = 0.75F, .epsilon = 0.25F};
    /* alpha = sqrt(1/4) / (1/2) = 1, m = 1/2: the step is (1/2) / (1/4). */
    cr_assert_eq(oce_ref_optimizer_step(&adam, 1.0F, &state, &gradient, &parameter, slots, 1),
                 OCE_OK);
    cr_expect_eq(parameter, -2.0F, "Adam: %g", (double)parameter);
    parameter = first = second = 0;
    gradient = 1.0F;
    const oce_optimizer_desc rmsprop = {
        .kind = OCE_OPTIMIZER_RMSPROP, .decay = 0.25F, .epsilon = 0.25F};
    /* ms = 3/4: the step is 2 / sqrt(3/4 + 1/4). */
    cr_assert_eq(oce_ref_optimizer_step(&rmsprop, 2.0F, &state, &gradient, &parameter, slots, 1),
                 OCE_OK);
    cr_expect_eq(parameter, -2.0F, "RMSProp: %g", (double)parameter);
}

/* From 0 the whole update is visible: dividing first would round some of them otherwise. */
Test(ref_rules, adam_multiplies_before_it_divides) {
    enum { COUNT = 64 };
    const oce_optimizer_desc adam = {
        .kind = OCE_OPTIMIZER_ADAM, .beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-8F};
    oce_optimizer_state state = {adam.beta1, adam.beta2};
    const float alpha = 0.001F * sqrtf(1.0F - adam.beta2) / (1.0F - adam.beta1);
    float gradients[COUNT], parameters[COUNT] = {0}, m[COUNT] = {0}, v[COUNT] = {0};
    float expected[COUNT];
    float *const slots[2] = {m, v};
    for (int i = 0; i < COUNT; i++)
        gradients[i] = sinf((float)i + 1.0F);
    cr_assert_eq(oce_ref_optimizer_step(&adam, 0.001F, &state, gradients, parameters, slots, COUNT),
                 OCE_OK);
    for (int i = 0; i < COUNT; i++)
        expected[i] = -(m[i] * alpha) / (sqrtf(v[i]) + 1e-8F);
    expect_floats(parameters, expected, COUNT, NULL, exactly, "parameters");
}

Test(ref_rules, optimizer_of_unknown_kind_is_refused) {
    const oce_optimizer_desc desc = {.kind = (oce_optimizer_kind)4};
    oce_optimizer_state state = {0, 0};
    cr_expect_eq(oce_ref_optimizer_step(&desc, 1.0F, &state, NULL, NULL, NULL, 0),
                 OCE_ERROR_INVALID_ARGUMENT);
}
