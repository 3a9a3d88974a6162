/* Window geometry by TensorFlow's rules (include/ocelli/window.h). */
#include <criterion/criterion.h>

#include <ocelli/window.h>

#include <string.h>

/* Resolves a window of k x k on n x n and checks both axes. */
static void assert_geometry(oce_padding padding, int64_t n, int64_t k, int64_t s, int64_t d,
                            int64_t output, int64_t before, int64_t after) {
    const oce_window window = {
        .size = {k, k}, .stride = {s, s}, .dilation = {d, d}, .padding = padding};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, n, n, &g), OCE_OK, "%s", oce_last_error());
    for (int axis = 0; axis < 2; axis++)
        cr_assert(g.output[axis] == output && g.before[axis] == before && g.after[axis] == after,
                  "n %d k %d s %d d %d: output %d, padding %d, %d", (int)n, (int)k, (int)s, (int)d,
                  (int)g.output[axis], (int)g.before[axis], (int)g.after[axis]);
}

Test(window, layers_of_the_two_networks) {
    assert_geometry(OCE_PADDING_SAME, 28, 5, 1, 1, 28, 2, 2);
    assert_geometry(OCE_PADDING_SAME, 14, 5, 1, 1, 14, 2, 2);
    assert_geometry(OCE_PADDING_SAME, 28, 2, 2, 1, 14, 0, 0);
    assert_geometry(OCE_PADDING_SAME, 14, 2, 2, 1, 7, 0, 0);
    assert_geometry(OCE_PADDING_SAME, 32, 5, 1, 1, 32, 2, 2);
    assert_geometry(OCE_PADDING_SAME, 16, 5, 1, 1, 16, 2, 2);
    assert_geometry(OCE_PADDING_SAME, 32, 3, 2, 1, 16, 0, 1);
    assert_geometry(OCE_PADDING_SAME, 16, 3, 2, 1, 8, 0, 1);
    assert_geometry(OCE_PADDING_SAME, 8, 3, 1, 1, 8, 1, 1);
}

Test(window, same_padding_depends_on_size_and_stride) {
    assert_geometry(OCE_PADDING_SAME, 9, 3, 2, 1, 5, 1, 1);
    assert_geometry(OCE_PADDING_SAME, 8, 4, 1, 1, 8, 1, 2);
    assert_geometry(OCE_PADDING_SAME, 7, 3, 1, 2, 7, 2, 2);
    assert_geometry(OCE_PADDING_SAME, 8, 3, 2, 3, 4, 2, 3);
    assert_geometry(OCE_PADDING_SAME, 1, 5, 1, 1, 1, 2, 2);
}

Test(window, same_padding_is_none_where_the_stride_passes_the_window) {
    assert_geometry(OCE_PADDING_SAME, 10, 1, 3, 1, 4, 0, 0);
    assert_geometry(OCE_PADDING_SAME, 9, 2, 4, 1, 3, 0, 1);
    assert_geometry(OCE_PADDING_SAME, 8, 2, 4, 1, 2, 0, 0);
}

Test(window, valid_padding) {
    assert_geometry(OCE_PADDING_VALID, 28, 5, 1, 1, 24, 0, 0);
    assert_geometry(OCE_PADDING_VALID, 10, 3, 2, 1, 4, 0, 0);
    assert_geometry(OCE_PADDING_VALID, 10, 3, 1, 3, 4, 0, 0);
    assert_geometry(OCE_PADDING_VALID, 5, 5, 3, 1, 1, 0, 0);
}

Test(window, axes_are_independent) {
    const oce_window window = {
        .size = {3, 2}, .stride = {2, 1}, .dilation = {1, 3}, .padding = OCE_PADDING_SAME};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, 8, 5, &g), OCE_OK);
    const oce_window_geometry expected = {.input = {8, 5},
                                          .output = {4, 5},
                                          .size = {3, 2},
                                          .stride = {2, 1},
                                          .dilation = {1, 3},
                                          .before = {0, 1},
                                          .after = {1, 2}};
    cr_assert_eq(memcmp(&g, &expected, sizeof g), 0);
}

Test(window, zero_stride_and_dilation_mean_one) {
    const oce_window window = {.size = {3, 3}, .padding = OCE_PADDING_VALID};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, 5, 6, &g), OCE_OK);
    cr_assert(g.output[0] == 3 && g.output[1] == 4);
    cr_assert(g.stride[0] == 1 && g.stride[1] == 1 && g.dilation[0] == 1 && g.dilation[1] == 1);
}

Test(window, explicit_padding) {
    const oce_window window = {.size = {3, 3},
                               .stride = {2, 1},
                               .padding = OCE_PADDING_EXPLICIT,
                               .before = {1, 0},
                               .after = {2, 4}};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, 6, 6, &g), OCE_OK);
    cr_assert(g.output[0] == 4 && g.output[1] == 8, "%d, %d", (int)g.output[0], (int)g.output[1]);
    cr_assert(g.before[0] == 1 && g.after[0] == 2 && g.before[1] == 0 && g.after[1] == 4);
}

Test(window, explicit_padding_is_ignored_for_the_other_kinds) {
    const oce_window window = {
        .size = {3, 3}, .padding = OCE_PADDING_VALID, .before = {9, 9}, .after = {9, 9}};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, 6, 6, &g), OCE_OK);
    cr_assert(g.output[0] == 4 && g.before[0] == 0 && g.after[0] == 0);
}

/* A window one larger than the input gives nothing, two larger is an error (at stride 1). */
Test(window, empty_and_negative_outputs) {
    assert_geometry(OCE_PADDING_VALID, 4, 5, 1, 1, 0, 0, 0);
    assert_geometry(OCE_PADDING_SAME, 0, 3, 1, 1, 0, 0, 0);
    assert_geometry(OCE_PADDING_VALID, 3, 5, 3, 1, 0, 0, 0); /* (3-5+3)/3, towards zero */
    const oce_window window = {.size = {3, 5}, .padding = OCE_PADDING_VALID};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, 3, 3, &g), OCE_ERROR_SHAPE);
    cr_assert_not_null(strstr(oce_last_error(), "width"), "%s", oce_last_error());
    cr_assert_not_null(strstr(oce_last_error(), "-1"), "%s", oce_last_error());
}

static void assert_error(oce_window window, int64_t height, int64_t width, oce_status expected) {
    oce_window_geometry g = {.input = {77, 77}};
    const oce_status status = oce_window_resolve(&window, height, width, &g);
    cr_assert_eq(status, expected, "%s instead of %s: %s", oce_status_text(status),
                 oce_status_text(expected), oce_last_error());
    cr_assert_neq(oce_last_error()[0], '\0');
    cr_assert_eq(g.input[0], 77, "a failed call wrote its result");
}

Test(window, wrong_arguments) {
    const oce_status invalid = OCE_ERROR_INVALID_ARGUMENT;
    assert_error((oce_window){.size = {0, 3}}, 5, 5, invalid);
    assert_error((oce_window){.size = {3, -1}}, 5, 5, invalid);
    assert_error((oce_window){.size = {3, 3}, .stride = {-1, 1}}, 5, 5, invalid);
    assert_error((oce_window){.size = {3, 3}, .dilation = {1, -2}}, 5, 5, invalid);
    assert_error((oce_window){.size = {3, 3}}, -1, 5, invalid);
    assert_error((oce_window){.size = {3, 3}}, 5, -1, invalid);
    assert_error((oce_window){.size = {3, 3}, .padding = (oce_padding)3}, 5, 5, invalid);
    assert_error((oce_window){.size = {3, 3}, .padding = OCE_PADDING_EXPLICIT, .before = {-1, 0}},
                 5, 5, invalid);
    assert_error((oce_window){.size = {3, 3}, .padding = OCE_PADDING_EXPLICIT, .after = {0, -1}}, 5,
                 5, invalid);
}

Test(window, sizes_beyond_the_limit_are_refused) {
    const int64_t huge = INT64_C(1) << 31;
    const oce_status overflow = OCE_ERROR_OVERFLOW;
    assert_error((oce_window){.size = {3, 3}}, huge, 5, overflow);
    assert_error((oce_window){.size = {3, 3}}, 5, INT64_MAX, overflow);
    assert_error((oce_window){.size = {huge, 3}}, 5, 5, overflow);
    assert_error((oce_window){.size = {3, 3}, .stride = {1, INT64_MAX}}, 5, 5, overflow);
    assert_error((oce_window){.size = {3, 3}, .dilation = {INT64_MAX, 1}}, 5, 5, overflow);
    assert_error(
        (oce_window){.size = {3, 3}, .padding = OCE_PADDING_EXPLICIT, .after = {INT64_MAX, 0}}, 5,
        5, overflow);
}

Test(window, the_largest_sizes_below_the_limit) {
    const int64_t largest = (INT64_C(1) << 31) - 1;
    const oce_window window = {.size = {largest, largest},
                               .stride = {1, largest},
                               .dilation = {largest, 1},
                               .padding = OCE_PADDING_SAME};
    oce_window_geometry g;
    cr_assert_eq(oce_window_resolve(&window, largest, largest, &g), OCE_OK, "%s", oce_last_error());
    cr_assert(g.output[0] == largest && g.output[1] == 1);
    cr_assert_eq(g.before[0] + g.after[0], (largest - 1) * largest);
}
