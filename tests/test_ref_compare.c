/* The comparison that other tests lean on must see what is wrong. */
#include "support/compare.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static const compare_limit exactly = {0, 0, 0};

Test(ref_compare, equal_arrays_are_equal) {
    const float values[4] = {1, NAN, -INFINITY, 0}, other[4] = {1, NAN, -INFINITY, -0.0F};
    const compare_report report = compare_floats(values, other, 4, NULL, exactly);
    cr_expect(report.equal, "%s", report.message);
    cr_expect_str_empty(report.message);
    cr_expect(compare_floats(NULL, NULL, 0, NULL, exactly).equal);
}

Test(ref_compare, message_tells_place_and_size_of_the_error) {
    const int64_t shape[4] = {2, 2, 1, 2};
    const float expected[8] = {0, 1, 2, 3, 4, 5, 6, 7}, got[8] = {0, 1, 2, 3, 4, 5, 6.5F, 9};
    const compare_report report = compare_floats(got, expected, 8, shape, exactly);
    cr_expect(!report.equal);
    cr_expect_eq(report.wrong, 2);
    cr_expect_eq(report.first, 6);
    cr_expect_float_eq(report.max_absolute, 2.0, 1e-12);
    cr_expect_float_eq(report.max_relative, 2.0 / 7.0, 1e-12);
    cr_expect(strstr(report.message, "[1,1,0,0]"), "%s", report.message);
    cr_expect(strstr(report.message, "got 6.5, expected 6"), "%s", report.message);
}

Test(ref_compare, limits_add_up) {
    const float expected[2] = {100, -1}, got[2] = {100.5F, -1.5F};
    cr_expect(compare_floats(got, expected, 2, NULL, (compare_limit){.absolute = 0.5}).equal);
    cr_expect(!compare_floats(got, expected, 2, NULL, (compare_limit){.absolute = 0.49}).equal);
    cr_expect(compare_floats(got, expected, 1, NULL, (compare_limit){.relative = 0.006}).equal);
    cr_expect(!compare_floats(got, expected, 2, NULL, (compare_limit){.relative = 0.006}).equal);
    cr_expect(compare_floats(got, expected, 2, NULL, (compare_limit){.of_largest = 0.006}).equal);
    cr_expect(!compare_floats(got, expected, 2, NULL, (compare_limit){.of_largest = 0.004}).equal);
    cr_expect(compare_floats(got, expected, 2, NULL, (compare_limit){0.2, 0.001, 0.003}).equal);
}

Test(ref_compare, nan_and_infinity_fit_themselves_only) {
    const compare_limit wide = {1e30, 1e30, 1e30};
    const float values[4] = {NAN, INFINITY, -INFINITY, 1};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            cr_expect_eq(compare_floats(&values[i], &values[j], 1, NULL, wide).equal, i == j,
                         "%g against %g", (double)values[i], (double)values[j]);
}
