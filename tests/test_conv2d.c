/* The convolution's contract: plans, operands, edge cases, errors. What holds for every family. */
#include "device/device.h"
#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static oce_device *device;

static void open_device(void) {
    device = test_open_device();
}

static void close_device(void) {
    oce_device_close(device);
}

TestSuite(conv2d, .init = open_device, .fini = close_device);

/* 3x3, stride 1, SAME over [2,5,4,3] to 6 channels. */
static oce_conv2d_desc usual(oce_conv2d_family family) {
    return (oce_conv2d_desc){.batch = 2,
                             .height = 5,
                             .width = 4,
                             .channels = 3,
                             .filters = 6,
                             .window = {.size = {3, 3}, .padding = OCE_PADDING_SAME},
                             .activation = OCE_ACTIVATION_RELU,
                             .family = family};
}

static oce_conv2d_plan *plan_of(const oce_conv2d_desc *desc, unsigned passes) {
    oce_conv2d_plan *plan = NULL;
    TEST_OK(conv2d_plan(device, desc, passes, &plan));
    return plan;
}

#define FOR_EACH_FAMILY(family)                                                                    \
    for (oce_conv2d_family family = OCE_CONV2D_NAIVE; family < OCE_CONV2D_FAMILIES; family++)      \
        if (family != OCE_CONV2D_WINOGRAD /* which has its own shapes */ &&                        \
            conv2d_serves(device, family))

/* ---- Plans --------------------------------------------------------------------------------- */

Test(conv2d, names_its_families) {
    cr_expect_str_eq(oce_conv2d_family_name(OCE_CONV2D_AUTO), "auto");
    cr_expect_str_eq(oce_conv2d_family_name(OCE_CONV2D_NAIVE), "naive");
    cr_expect_str_eq(oce_conv2d_family_name(OCE_CONV2D_DIRECT), "direct");
    cr_expect_str_eq(oce_conv2d_family_name(OCE_CONV2D_WINOGRAD), "winograd");
    cr_expect_str_eq(oce_conv2d_family_name(OCE_CONV2D_IM2COL), "im2col");
    cr_expect_str_eq(oce_conv2d_family_name(OCE_CONV2D_IMPLICIT_GEMM), "implicit_gemm");
}

Test(conv2d, plans_by_device_class) {
    const oce_conv2d_desc desc = usual(OCE_CONV2D_AUTO);
    oce_conv2d_plan *plan = plan_of(&desc, OCE_PASS_FORWARD | OCE_PASS_FILTER_GRAD);
    const oce_conv2d_family expected = oce_device_limits(device)->is_cpu ? OCE_CONV2D_DIRECT
                                       : conv2d_serves(device, OCE_CONV2D_IMPLICIT_GEMM)
                                           ? OCE_CONV2D_IMPLICIT_GEMM
                                           : OCE_CONV2D_NAIVE;
    cr_expect_eq(oce_conv2d_plan_family(plan, OCE_PASS_FORWARD), expected);
    cr_expect_eq(oce_conv2d_plan_family(plan, OCE_PASS_FILTER_GRAD), expected);
    cr_expect_eq(oce_conv2d_plan_family(plan, OCE_PASS_INPUT_GRAD), OCE_CONV2D_AUTO);
    oce_conv2d_plan_destroy(plan);
    oce_conv2d_plan_destroy(NULL);
}

Test(conv2d, resolves_the_geometry) {
    oce_conv2d_desc desc = usual(OCE_CONV2D_AUTO);
    desc.window.stride[1] = 2;
    oce_conv2d_plan *plan = plan_of(&desc, OCE_PASS_FORWARD);
    const oce_window_geometry *g = oce_conv2d_plan_geometry(plan);
    cr_expect(g->output[0] == 5 && g->output[1] == 2 && g->before[0] == 1 && g->before[1] == 0);
    oce_conv2d_plan_destroy(plan);
}

Test(conv2d, wants_the_halo_that_windows_reach) {
    oce_conv2d_desc desc = usual(OCE_CONV2D_DIRECT);
    desc.window = (oce_window){.size = {5, 2}, .stride = {2, 2}, .padding = OCE_PADDING_SAME};
    oce_conv2d_plan *plan = plan_of(&desc, OCE_PASS_FORWARD);
    oce_halo halo = oce_conv2d_plan_halo(plan); /* 5 rows: 2 + 2; 4 columns: none */
    cr_expect(halo.top == 2 && halo.bottom == 2 && halo.left == 0 && halo.right == 0);
    cr_expect(oce_conv2d_plan_workspace(plan, &halo) < oce_conv2d_plan_workspace(plan, NULL));
    oce_conv2d_plan_destroy(plan);
    desc.window = (oce_window){.size = {2, 2},
                               .stride = {3, 3},
                               .padding = OCE_PADDING_EXPLICIT,
                               .before = {1, 0},
                               .after = {3, 1}};
    plan = plan_of(&desc, OCE_PASS_FILTER_GRAD);
    halo = oce_conv2d_plan_halo(plan); /* windows start at rows -1, 2, 5 and columns 0, 3 */
    cr_expect(halo.top == 1 && halo.bottom == 2 && halo.left == 0 && halo.right == 1);
    oce_conv2d_plan_destroy(plan);
    desc.family = OCE_CONV2D_NAIVE;
    plan = plan_of(&desc, OCE_PASS_FORWARD);
    halo = oce_conv2d_plan_halo(plan);
    cr_expect(halo.top == 0 && halo.bottom == 0 && halo.left == 0 && halo.right == 0);
    oce_conv2d_plan_destroy(plan);
}

Test(conv2d, counts_flops_as_the_direct_sum) {
    const oce_conv2d_desc desc = usual(OCE_CONV2D_AUTO);
    oce_conv2d_plan *plan = plan_of(&desc, OCE_PASS_FORWARD);
    cr_expect_eq(oce_conv2d_plan_flops(plan, OCE_PASS_FORWARD), 2.0 * 2 * 5 * 4 * 6 * 3 * 3 * 3);
    cr_expect_eq(oce_conv2d_plan_flops(plan, OCE_PASS_INPUT_GRAD), 0);
    oce_conv2d_plan_destroy(plan);
}

/* ---- Results ------------------------------------------------------------------------------- */

Test(conv2d, is_the_derivative_of_its_forward_pass) {
    /* Multiples of 1/8 and a step of 1/2 make every number below exact in float32. */
    FOR_EACH_FAMILY(family) {
        oce_conv2d_desc d = usual(family);
        d.activation = OCE_ACTIVATION_NONE;
        d.batch = 1;
        d.window.stride[0] = 2;
        conv2d_data data = conv2d_random(&d, 7);
        int64_t x_shape[4], f_shape[4], y_shape[4];
        conv2d_result_shape(&d, OCE_PASS_INPUT_GRAD, x_shape);
        conv2d_result_shape(&d, OCE_PASS_FILTER_GRAD, f_shape);
        conv2d_result_shape(&d, OCE_PASS_FORWARD, y_shape);
        float *arrays[] = {(float *)data.x, (float *)data.filter, (float *)data.dy};
        const int64_t *shapes[] = {x_shape, f_shape, y_shape};
        size_t counts[3];
        for (int a = 0; a < 3; a++) {
            const int64_t *s = shapes[a];
            counts[a] = (size_t)(s[0] * s[1] * s[2] * s[3]);
            for (size_t i = 0; i < counts[a]; i++)
                arrays[a][i] = roundf(arrays[a][i] * 8) / 8;
        }
        float *gradients[] = {conv2d_run(device, &d, OCE_PASS_INPUT_GRAD, &data, NULL),
                              conv2d_run(device, &d, OCE_PASS_FILTER_GRAD, &data, NULL)};
        for (int a = 0; a < 2; a++)
            for (size_t i = 0; i < counts[a]; i += test_is_small() ? 23 : 3) {
                const float value = arrays[a][i];
                double loss = 0; /* sum of dy * y at value + 1/2 less that at value - 1/2 */
                for (int sign = -1; sign <= 1; sign += 2) {
                    arrays[a][i] = value + 0.5F * (float)sign;
                    float *y = conv2d_run(device, &d, OCE_PASS_FORWARD, &data, NULL);
                    for (size_t j = 0; j < counts[2]; j++)
                        loss += sign * (double)y[j] * (double)data.dy[j];
                    free(y);
                }
                arrays[a][i] = value;
                /* The exact loss is a multiple of 1/512; the bias, added twice, is not. */
                cr_expect(fabs(loss - (double)gradients[a][i]) < 1e-4, "%s: element %zu: %g, %g",
                          conv2d_describe(&d, a == 0 ? OCE_PASS_INPUT_GRAD : OCE_PASS_FILTER_GRAD),
                          i, (double)gradients[a][i], loss);
            }
        free(gradients[0]);
        free(gradients[1]);
        conv2d_free_data(&data);
    }
}

Test(conv2d, repeats_bit_by_bit) {
    FOR_EACH_FAMILY(family) {
        oce_conv2d_desc d = usual(family);
        if (!test_is_small())
            d.batch = 40, d.height = d.width = 16, d.filters = 19;
        const conv2d_data data = conv2d_random(&d, 8);
        for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
            int64_t s[4];
            conv2d_result_shape(&d, (oce_pass)pass, s);
            float *first = conv2d_run(device, &d, (oce_pass)pass, &data, NULL);
            float *again = conv2d_run(device, &d, (oce_pass)pass, &data, NULL);
            expect_bytes(again, first, (size_t)(s[0] * s[1] * s[2] * s[3]) * sizeof *first, "%s",
                         conv2d_describe(&d, (oce_pass)pass));
            free(first);
            free(again);
        }
        conv2d_free_data(&data);
    }
}

Test(conv2d, gives_the_same_bits_in_place_and_from_a_copy) {
    oce_conv2d_desc d = usual(OCE_CONV2D_DIRECT);
    const conv2d_data data = conv2d_random(&d, 9);
    const conv2d_placing in_place = {.x_halo = {1, 1, 1, 1}, .y_halo = {2, 2, 2, 2}, .before = 3};
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
        int64_t s[4];
        conv2d_result_shape(&d, (oce_pass)pass, s);
        float *copied = conv2d_run(device, &d, (oce_pass)pass, &data, NULL);
        float *direct = conv2d_run(device, &d, (oce_pass)pass, &data, &in_place);
        expect_bytes(direct, copied, (size_t)(s[0] * s[1] * s[2] * s[3]) * sizeof *copied, "%s",
                     conv2d_describe(&d, (oce_pass)pass));
        free(copied);
        free(direct);
    }
    conv2d_free_data(&data);
}

Test(conv2d, keeps_nan_through_its_relu) {
    FOR_EACH_FAMILY(family) {
        oce_conv2d_desc d = {.batch = 1,
                             .height = 1,
                             .width = 4,
                             .channels = 1,
                             .filters = 1,
                             .window = {.size = {1, 1}},
                             .activation = OCE_ACTIVATION_RELU,
                             .family = family};
        const float x[] = {NAN, -1, 0, 2}, filter[] = {1}, bias[] = {0.5F};
        const conv2d_data data = {.x = x, .filter = filter, .bias = bias};
        float *y = conv2d_run(device, &d, OCE_PASS_FORWARD, &data, NULL);
        const float expected[] = {NAN, 0, 0.5F, 2.5F};
        expect_floats(y, expected, 4, NULL, (compare_limit){0, 0, 0}, "%s",
                      conv2d_describe(&d, OCE_PASS_FORWARD));
        free(y);
    }
}

/* X, Y, dX and dY as every other pixel's first channels of a larger tensor. */
Test(conv2d, works_on_tensors_with_gaps_between_pixels) {
    FOR_EACH_FAMILY(family) {
        const oce_conv2d_desc d = usual(family);
        const conv2d_data data = conv2d_random(&d, 9);
        oce_conv2d_plan *plan = plan_of(&d, OCE_PASS_ALL);
        oce_tensor x = test_tensor(device, 2, 5, 4, 7, NULL, NULL);
        oce_tensor y = test_tensor(device, 2, 5, 4, 8, NULL, NULL);
        oce_tensor f = test_tensor(device, 3, 3, 3, 6, NULL, data.filter);
        oce_tensor b = test_tensor(device, 1, 1, 1, 6, NULL, data.bias);
        x.dim[3] = 3;
        y.dim[3] = 6;
        oce_buffer *workspace = NULL;
        TEST_OK(oce_buffer_create(device, oce_conv2d_plan_workspace(plan, NULL), &workspace));
        for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2) {
            TEST_OK(oce_tensor_write(&x, data.x));
            TEST_OK(oce_tensor_write(&y, data.dy));
            if (pass == OCE_PASS_FORWARD)
                TEST_OK(oce_conv2d_forward(plan, &x, &f, &b, &y, workspace));
            else if (pass == OCE_PASS_INPUT_GRAD)
                TEST_OK(oce_conv2d_input_grad(plan, &y, &f, &x, workspace));
            else
                TEST_OK(oce_conv2d_filter_grad(plan, &x, &y, &f, workspace));
            const oce_tensor *result = pass == OCE_PASS_FORWARD      ? &y
                                       : pass == OCE_PASS_INPUT_GRAD ? &x
                                                                     : &f;
            float *got = test_download(result);
            float *expected = conv2d_expected(&d, (oce_pass)pass, &data);
            expect_floats(got, expected, oce_tensor_count(result), result->dim,
                          (compare_limit){.of_largest = 1e-5}, "%s",
                          conv2d_describe(&d, (oce_pass)pass));
            free(got);
            free(expected);
        }
        oce_buffer_destroy(workspace);
        oce_tensor_release(&x);
        oce_tensor_release(&y);
        oce_tensor_release(&f);
        oce_tensor_release(&b);
        oce_conv2d_plan_destroy(plan);
        conv2d_free_data(&data);
    }
}

/* ---- Nothing to compute -------------------------------------------------------------------- */

static void check_all_passes(const oce_conv2d_desc *desc) {
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        conv2d_check(device, desc, (oce_pass)pass, NULL, 1, 1e-5);
}

Test(conv2d, accepts_an_empty_batch) {
    FOR_EACH_FAMILY(family) {
        oce_conv2d_desc d = usual(family);
        d.batch = 0; /* dF is 0 */
        check_all_passes(&d);
    }
}

Test(conv2d, accepts_an_empty_output) {
    FOR_EACH_FAMILY(family) {
        oce_conv2d_desc d = usual(family);
        d.window = (oce_window){.size = {6, 3}, .padding = OCE_PADDING_VALID};
        check_all_passes(&d); /* 5 rows under a window of 6: dX and dF are 0 */
    }
}

Test(conv2d, accepts_an_empty_input) {
    FOR_EACH_FAMILY(family) {
        oce_conv2d_desc d = usual(family);
        d.height = 0;
        d.window.padding = OCE_PADDING_EXPLICIT;
        d.window.before[0] = d.window.after[0] = 2;
        check_all_passes(&d); /* Y is the bias */
    }
}
