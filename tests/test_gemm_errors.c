/* The matrix product: which family is chosen, and what is refused. */
#include "support/device.h"
#include "support/gemm.h"

#include "device/device.h"

#include <criterion/criterion.h>

#include <string.h>

/* ---- Choice of the family ------------------------------------------------------------------ */

Test(gemm_errors, families_have_names) {
    cr_expect_str_eq(oce_gemm_family_name(OCE_GEMM_AUTO), "auto");
    cr_expect_str_eq(oce_gemm_family_name(OCE_GEMM_NAIVE), "naive");
    cr_expect_str_eq(oce_gemm_family_name(OCE_GEMM_PANEL), "panel");
    cr_expect_str_eq(oce_gemm_family_name(OCE_GEMM_CLBLAST), "clblast");
    cr_expect_str_eq(oce_gemm_family_name((oce_gemm_family)77), "unknown");
}

static oce_gemm_family planned_family(oce_device *device, oce_gemm_desc desc) {
    oce_gemm_plan *plan = NULL;
    TEST_OK(oce_gemm_plan_create(device, &desc, &plan));
    const oce_gemm_family family = oce_gemm_plan_family(plan);
    oce_gemm_plan_destroy(plan);
    return family;
}

Test(gemm_errors, auto_takes_the_family_of_the_device_class) {
    oce_device *device = test_open_device();
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    cr_expect_eq(planned_family(device, (oce_gemm_desc){.m = 5, .n = 6, .k = 7}),
                 is_cpu ? OCE_GEMM_PANEL : OCE_GEMM_TILED);
    cr_expect_eq(
        planned_family(device, (oce_gemm_desc){.m = 5, .n = 6, .k = 7, .family = OCE_GEMM_NAIVE}),
        OCE_GEMM_NAIVE);
    oce_device_close(device);
}

Test(gemm_errors, auto_falls_back_to_naive) {
    oce_device *device = test_open_device();
    if (!oce_device_limits(device)->is_cpu)
        cr_skip_test("the device is not a CPU");
    const int64_t huge = INT64_C(1) << 32;
    cr_expect_eq(planned_family(device, (oce_gemm_desc){.m = huge, .n = 1, .k = 0}),
                 OCE_GEMM_NAIVE);
    oce_device_close(device);
}

/* ---- Errors -------------------------------------------------------------------------------- */

static void expect_plan_fails(oce_device *device, oce_gemm_desc desc, oce_status expected,
                              const char *text) {
    oce_gemm_plan *plan = NULL;
    const oce_status status = oce_gemm_plan_create(device, &desc, &plan);
    cr_expect_eq(status, expected, "%s: %s", text, oce_status_text(status));
    cr_expect_null(plan);
    cr_expect_not_null(strstr(oce_last_error(), text), "\"%s\" lacks \"%s\"", oce_last_error(),
                       text);
}

Test(gemm_errors, bad_descriptions_are_refused) {
    oce_device *device = test_open_device();
    const int64_t huge = INT64_C(1) << 40;
    expect_plan_fails(device, (oce_gemm_desc){.m = -1, .n = 2, .k = 3}, OCE_ERROR_INVALID_ARGUMENT,
                      "m -1, n 2 or k 3 is negative");
    expect_plan_fails(device, (oce_gemm_desc){.m = 1, .n = 2, .k = -3}, OCE_ERROR_INVALID_ARGUMENT,
                      "k -3");
    expect_plan_fails(device, (oce_gemm_desc){.m = 1, .n = 1, .k = 1, .family = 99},
                      OCE_ERROR_INVALID_ARGUMENT, "family 99");
    expect_plan_fails(device, (oce_gemm_desc){.m = 1, .n = 1, .k = 1, .activation = 5},
                      OCE_ERROR_INVALID_ARGUMENT, "activation 5");
    expect_plan_fails(device, (oce_gemm_desc){.m = huge, .n = 1, .k = huge}, OCE_ERROR_OVERFLOW,
                      "A of 1099511627776 x 1099511627776");
    expect_plan_fails(device, (oce_gemm_desc){.m = 1, .n = huge, .k = huge}, OCE_ERROR_OVERFLOW,
                      "B of");
    expect_plan_fails(device, (oce_gemm_desc){.m = huge, .n = huge, .k = 0}, OCE_ERROR_OVERFLOW,
                      "C of");
    oce_device_close(device);
}

Test(gemm_errors, forced_family_that_cannot_serve_is_refused) {
    oce_device *device = test_open_device();
    const int64_t huge = INT64_C(1) << 32;
    const oce_gemm_desc desc = {.m = huge, .n = 1, .k = 1, .family = OCE_GEMM_PANEL};
    expect_plan_fails(device, desc, OCE_ERROR_UNSUPPORTED, "panel cannot compute 4294967296");
    oce_device_close(device);
}

Test(gemm_errors, nothing_is_freed_twice) {
    oce_gemm_plan_destroy(NULL);
}

/* A product of 5 x 6 x 7 and tensors for it, to be spoilt one by one. */
typedef struct fixture {
    oce_device *device;
    oce_gemm_plan *plan;
    oce_tensor a, b, bias, c;
} fixture;

static fixture make_fixture(void) {
    fixture f = {.device = test_open_device()};
    const oce_gemm_desc desc = {.m = 5, .n = 6, .k = 7};
    TEST_OK(oce_gemm_plan_create(f.device, &desc, &f.plan));
    f.a = test_tensor(f.device, 5, 1, 1, 7, NULL, NULL);
    f.b = test_tensor(f.device, 7, 1, 1, 6, NULL, NULL);
    f.bias = test_tensor(f.device, 1, 1, 1, 6, NULL, NULL);
    f.c = test_tensor(f.device, 5, 1, 1, 6, NULL, NULL);
    return f;
}

static void release_fixture(fixture *f) {
    oce_tensor_release(&f->a);
    oce_tensor_release(&f->b);
    oce_tensor_release(&f->bias);
    oce_tensor_release(&f->c);
    oce_gemm_plan_destroy(f->plan);
    oce_device_close(f->device);
}

static void expect_run_fails(fixture *f, const oce_tensor *a, const oce_tensor *b,
                             const oce_tensor *bias, const oce_tensor *c, oce_status expected,
                             const char *text) {
    const oce_status status = oce_gemm_run(f->plan, a, b, bias, c, NULL);
    cr_expect_eq(status, expected, "%s: %s", text, oce_status_text(status));
    cr_expect_not_null(strstr(oce_last_error(), text), "\"%s\" lacks \"%s\"", oce_last_error(),
                       text);
}

Test(gemm_errors, tensors_that_do_not_fit_are_refused) {
    fixture f = make_fixture();
    TEST_OK(oce_gemm_run(f.plan, &f.a, &f.b, &f.bias, &f.c, NULL));
    expect_run_fails(&f, &f.b, &f.b, &f.bias, &f.c, OCE_ERROR_SHAPE, "gemm A");
    expect_run_fails(&f, &f.a, &f.a, &f.bias, &f.c, OCE_ERROR_SHAPE, "gemm B");
    expect_run_fails(&f, &f.a, &f.b, &f.c, &f.c, OCE_ERROR_SHAPE, "gemm bias");
    expect_run_fails(&f, &f.a, &f.b, &f.bias, &f.bias, OCE_ERROR_SHAPE, "gemm C");
    expect_run_fails(&f, NULL, &f.b, &f.bias, &f.c, OCE_ERROR_INVALID_ARGUMENT, "gemm A");
    expect_run_fails(&f, &f.a, &f.b, &f.bias, NULL, OCE_ERROR_INVALID_ARGUMENT, "gemm C");
    release_fixture(&f);
}

Test(gemm_errors, halo_is_refused) {
    fixture f = make_fixture();
    const oce_halo halo = {1, 1, 1, 1};
    oce_tensor image = test_tensor(f.device, 5, 1, 1, 7, &halo, NULL);
    expect_run_fails(&f, &image, &f.b, &f.bias, &f.c, OCE_ERROR_SHAPE, "dense");
    oce_tensor_release(&image);
    release_fixture(&f);
}

Test(gemm_errors, result_over_an_input_is_refused) {
    fixture f = make_fixture();
    const int64_t b_dim[4] = {7, 1, 1, 6};
    oce_tensor block = test_tensor(f.device, 100, 1, 1, 1, NULL, NULL), b, beside;
    TEST_OK(oce_tensor_view(block.buffer, 0, b_dim, NULL, &b));
    const int64_t c_dim[4] = {5, 1, 1, 6};
    oce_tensor c;
    TEST_OK(oce_tensor_view(block.buffer, 41, c_dim, NULL, &c));
    TEST_OK(oce_tensor_view(block.buffer, 42, c_dim, NULL, &beside));
    expect_run_fails(&f, &f.a, &b, NULL, &c, OCE_ERROR_INVALID_ARGUMENT, "overlaps B");
    TEST_OK(oce_gemm_run(f.plan, &f.a, &b, NULL, &beside, NULL));
    oce_tensor_release(&block);
    release_fixture(&f);
}

Test(gemm_errors, other_device_is_refused) {
    fixture f = make_fixture();
    oce_device *other = test_open_device();
    oce_tensor stranger = test_tensor(other, 5, 1, 1, 7, NULL, NULL);
    expect_run_fails(&f, &stranger, &f.b, NULL, &f.c, OCE_ERROR_INVALID_ARGUMENT, "another device");
    oce_tensor_release(&stranger);
    oce_device_close(other);
    release_fixture(&f);
}
