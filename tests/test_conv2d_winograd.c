/* The Winograd family of the convolution: its tiles, edges, blocks and partial sums. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "support/compare.h"
#include "support/conv2d.h"
#include "support/device.h"

#include "device/internal.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

/* What the family is held to: it rounds worse than the direct sum. */
static const double of_largest = 2e-5;

static oce_conv2d_desc describe(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k,
                                int64_t window) {
    return conv2d_same(OCE_CONV2D_WINOGRAD, n, h, w, c, k, window, window);
}

/* GPUs with small groups or little local memory cannot run the family's tiles. */
static void skip_if_nothing_fits(void) {
    oce_device *device = test_open_device();
    const oce_conv2d_desc desc = describe(1, 8, 8, 16, 16, 3);
    oce_conv2d_plan *plan = NULL;
    const oce_status status = oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD, &plan);
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    oce_conv2d_plan_destroy(plan);
    oce_device_close(device);
    if (status == OCE_ERROR_UNSUPPORTED && !is_cpu)
        cr_skip_test("%s", oce_last_error());
}

TestSuite(conv2d_winograd, .init = skip_if_nothing_fits);

/* Of few channels only CPUs compute any number. */
static void skip_on_gpus(void) {
    oce_device *device = test_open_device();
    const bool is_cpu = oce_device_limits(device)->is_cpu;
    oce_device_close(device);
    if (!is_cpu)
        cr_skip_test("GPUs have no kernels for few channels");
}

static void check_passes(oce_device *device, const oce_conv2d_desc *desc,
                         const conv2d_placing *placing, uint64_t seed) {
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        conv2d_check(device, desc, (oce_pass)pass, placing, seed, of_largest);
}

/* Whether the device's loops are long enough for the passes, and it can make a buffer for their
 * workspace. */
static bool can_run(oce_device *device, const oce_conv2d_desc *desc, unsigned passes) {
    oce_conv2d_plan *plan = NULL;
    const oce_status status = conv2d_plan(device, desc, passes, &plan);
    if (status == OCE_ERROR_UNSUPPORTED && oce_device_limits(device)->loop_rounds < INT64_MAX)
        return false;
    TEST_OK(status);
    const size_t bytes = oce_conv2d_plan_workspace(plan, NULL);
    oce_conv2d_plan_destroy(plan);
    return bytes <= oce_device_limits(device)->max_allocation;
}

/* Images of every size up to two tiles and a bit, so that tiles hang over the edge by every amount;
 * all paddings; halos or none. */
static void check_sizes(const char *vector_width, int64_t window) {
    if (vector_width != NULL)
        setenv("OCELLI_VECTOR_WIDTH", vector_width, 1);
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    const conv2d_placing with_halos = {.x_halo = {1, 2, 3, 1}, .y_halo = {2, 1, 1, 2}, .before = 3};
    for (int64_t size = 1; size <= (test_is_small() ? 3 : 10); size++) {
        oce_conv2d_desc d = describe(1 + size % 3, size, 11 - size, vector * (1 + size % 4),
                                     vector * (1 + size % 5), window);
        if (test_is_small())
            d.width = 4, d.channels = d.filters = vector;
        d.window.padding = (oce_padding)(size % 3);
        if (d.window.padding == OCE_PADDING_VALID)
            d.height += window, d.width += window;
        for (int axis = 0; axis < 2; axis++) {
            d.window.before[axis] = (size + axis) % 7; /* also more than the window needs */
            d.window.after[axis] = window - 1;
        }
        check_passes(device, &d, size % 2 == 0 ? &with_halos : NULL, (uint64_t)size);
    }
    oce_device_close(device);
}

Test(conv2d_winograd, computes_3x3_windows) {
    check_sizes(NULL, 3);
}

Test(conv2d_winograd, computes_5x5_windows) {
    check_sizes(NULL, 5);
}

Test(conv2d_winograd, computes_in_vectors_of_8) {
    check_sizes("8", 3);
    check_sizes("8", 5);
}

Test(conv2d_winograd, computes_in_vectors_of_4) {
    check_sizes("4", 3);
    check_sizes("4", 5);
}

static void expect_unsupported(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                               const char *reason) {
    oce_conv2d_plan *plan = NULL;
    cr_expect_eq(oce_conv2d_plan_create(device, desc, pass, &plan), OCE_ERROR_UNSUPPORTED);
    cr_expect(strstr(oce_last_error(), reason) != NULL, "\"%s\" lacks \"%s\"", oce_last_error(),
              reason);
    cr_expect_null(plan);
    oce_conv2d_plan_destroy(plan);
}

/* One sum of so many channels, or of so many tiles, is a loop that such a driver breaks off. */
Test(conv2d_winograd, refuses_sums_that_are_too_long_for_the_driver, .init = skip_on_gpus) {
    setenv("OCELLI_CAP", "loops=65535", 1);
    oce_device *device = test_open_device();
    const oce_conv2d_desc desc = describe(1, 4, 4, 16, 2048, 3);
    oce_conv2d_plan *plan = NULL;
    TEST_OK(oce_conv2d_plan_create(device, &desc, OCE_PASS_FORWARD | OCE_PASS_FILTER_GRAD, &plan));
    oce_conv2d_plan_destroy(plan);
    expect_unsupported(device, &desc, OCE_PASS_INPUT_GRAD,
                       "2048 channels take 73728 rounds of a loop, and the driver may break loops "
                       "off after 39321");
    const oce_conv2d_desc few = describe(6, 32, 32, 3, 16, 5);
    expect_unsupported(device, &few, OCE_PASS_FILTER_GRAD, "its sums of 192 tiles take ");
    oce_device_close(device);
}

/* Few channels, of any number, to any number of filters. */
static void check_few_channels(const char *vector_width) {
    if (vector_width != NULL)
        setenv("OCELLI_VECTOR_WIDTH", vector_width, 1);
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    const conv2d_placing with_halos = {.x_halo = {1, 2, 3, 1}, .y_halo = {2, 1, 1, 2}, .before = 3};
    for (int64_t size = 1; size <= (test_is_small() ? 3 : 24); size++) {
        oce_conv2d_desc d = describe(1 + size % 3, size, 25 - size, 1 + size * 5 % 12,
                                     1 + size * 7 % 36, 3 + size / 2 % 2 * 2);
        if (test_is_small())
            d.width = 6, d.channels = size, d.filters = 3 * size;
        d.window.padding = (oce_padding)(size % 3);
        if (d.window.padding == OCE_PADDING_VALID)
            d.height += 4, d.width += 4;
        for (int axis = 0; axis < 2; axis++) {
            d.window.before[axis] = (size + axis) % 7; /* also more than the window needs */
            d.window.after[axis] = d.window.size[0] - 1;
        }
        conv2d_check(device, &d, OCE_PASS_FORWARD, size % 2 == 0 ? &with_halos : NULL,
                     (uint64_t)size, of_largest);
        d.filters = vector * (1 + size % 5);
        if (can_run(device, &d, OCE_PASS_FILTER_GRAD))
            conv2d_check(device, &d, OCE_PASS_FILTER_GRAD, size % 2 == 0 ? &with_halos : NULL,
                         (uint64_t)size, of_largest);
    }
    oce_device_close(device);
}

Test(conv2d_winograd, computes_few_channels, .init = skip_on_gpus) {
    check_few_channels(NULL);
}

Test(conv2d_winograd, computes_few_channels_in_vectors_of_8, .init = skip_on_gpus) {
    check_few_channels("8");
}

Test(conv2d_winograd, computes_few_channels_in_vectors_of_4, .init = skip_on_gpus) {
    check_few_channels("4");
}

/* The networks' first layers; more than one part of an image; more tiles in a row than a part has.
 */
Test(conv2d_winograd, computes_few_channels_of_small_and_large_images, .init = skip_on_gpus) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    oce_conv2d_desc descs[] = {describe(3, 28, 28, 1, 32, 5),  describe(2, 32, 32, 3, 64, 5),
                               describe(1, 131, 90, 4, 20, 3), describe(1, 9, 2500, 12, 7, 5),
                               describe(1, 7, 600, 32, 16, 5), describe(5, 133, 90, 7, 48, 3)};
    for (int i = 0; i < OCE_COUNT(descs); i++) {
        conv2d_check(device, &descs[i], OCE_PASS_FORWARD, NULL, (uint64_t)i, of_largest);
        descs[i].filters = (descs[i].filters + vector - 1) / vector * vector;
        if (can_run(device, &descs[i], OCE_PASS_FILTER_GRAD))
            conv2d_check(device, &descs[i], OCE_PASS_FILTER_GRAD, NULL, (uint64_t)i, of_largest);
    }
    oce_device_close(device);
}

/* More than one chunk, partial sum and block of channels. */
Test(conv2d_winograd, splits_many_tiles_and_channels) {
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    const oce_conv2d_desc many =
        test_is_small() ? describe(3, 3, 35, vector, vector, 3) : describe(9, 27, 29, 32, 16, 3);
    const oce_conv2d_desc wide = test_is_small() ? describe(1, 4, 4, 3 * vector, 5 * vector, 5)
                                                 : describe(2, 6, 7, 192, 144, 5);
    /* 4 vectors of output channels: the register tile has 6 rows then, which do not divide 32 */
    const oce_conv2d_desc uneven = test_is_small() ? describe(3, 3, 35, vector, 2 * vector, 3)
                                                   : describe(3, 25, 27, 32, 64, 3);
    const unsigned all = OCE_PASS_FORWARD | OCE_PASS_INPUT_GRAD | OCE_PASS_FILTER_GRAD;
    if (!can_run(device, &many, all) || !can_run(device, &wide, all) ||
        !can_run(device, &uneven, all))
        cr_skip_test("loops too short, or the largest allocation smaller than a workspace");
    check_passes(device, &many, NULL, 1);
    check_passes(device, &wide, NULL, 2);
    check_passes(device, &uneven, NULL, 3);
    oce_device_close(device);
}

/* Results of 2 MB or more for each unit pass by the caches, if their addresses and strides are
 * multiples of a vector. */
Test(conv2d_winograd, stores_large_results, .init = skip_on_gpus) {
    if (test_is_small())
        cr_skip_test("too much for a simulator");
    const conv2d_placing placings[] = {
        {.before = 0},
        {.before = 3},
        {.x_halo = {1, 2, 3, 1}, .y_halo = {2, 1, 1, 2}, .before = 16}};
    setenv("OCELLI_CAP", "units=1", 1);
    oce_device *device = test_open_device();
    const oce_conv2d_desc large = describe(12, 35, 37, 64, 80, 3);
    for (int i = 0; i < OCE_COUNT(placings); i++) {
        conv2d_check(device, &large, OCE_PASS_FORWARD, &placings[i], 1, of_largest);
        conv2d_check(device, &large, OCE_PASS_INPUT_GRAD, &placings[i], 1, of_largest);
    }
    oce_device_close(device);
}

Test(conv2d_winograd, agrees_with_the_test_vectors_that_it_serves) {
    oce_device *device = test_open_device();
    conv2d_check_vectors(device, OCE_CONV2D_WINOGRAD);
    oce_device_close(device);
}

Test(conv2d_winograd, computes_nothing_of_nothing) {
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    const oce_conv2d_desc no_batch = describe(0, 6, 5, vector, vector, 3);
    check_passes(device, &no_batch, NULL, 1);
    oce_conv2d_desc no_output = describe(1, 4, 5, vector, vector, 5);
    no_output.window.padding = OCE_PADDING_VALID;
    check_passes(device, &no_output, NULL, 1);
    oce_conv2d_desc no_input = describe(1, 0, 3, vector, vector, 3);
    no_input.window.padding = OCE_PADDING_EXPLICIT;
    no_input.window.before[0] = no_input.window.after[0] = 2;
    check_passes(device, &no_input, NULL, 1);
    const oce_conv2d_desc no_batch_of_few = describe(0, 6, 5, 3, vector, 3);
    const oce_conv2d_desc few_to_nothing = describe(2, 6, 5, 3, 0, 3);
    if (oce_device_limits(device)->is_cpu) {
        conv2d_check(device, &no_batch_of_few, OCE_PASS_FILTER_GRAD, NULL, 1, of_largest);
        conv2d_check(device, &few_to_nothing, OCE_PASS_FILTER_GRAD, NULL, 1, of_largest);
    }
    oce_device_close(device);
}

Test(conv2d_winograd, repeats_bit_by_bit) {
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    const oce_conv2d_desc d = test_is_small() ? describe(1, 5, 6, vector, vector, 3)
                                              : describe(30, 15, 14, 3 * vector, 2 * vector, 5);
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
    oce_device_close(device);
}

/* What a pass gives with scratch memory in local memory or in a buffer, and with few units or many:
 * only the time changes. The last variant has short loops, which a pass that needs long ones is
 * refused with. */
static void expect_same_bits(const oce_conv2d_desc *d, oce_pass pass, bool needs_long_loops) {
    static const struct variant {
        const char *cap;
        int units; /* 0: the device's */
    } variants[] = {{"", 0},  {"local=none", 1}, {"local=64K", 0},   {"", 1},
                    {"", 16}, {"", 64},          {"local=none", 64}, {"loops=20000", 0}};
    const conv2d_data data = conv2d_random(d, 8);
    int64_t s[4];
    conv2d_result_shape(d, pass, s);
    float *first = NULL;
    for (int i = 0; i < OCE_COUNT(variants); i++) {
        setenv("OCELLI_CAP", variants[i].cap, 1);
        oce_device *device = test_open_device();
        if (variants[i].units > 0)
            device->limits.compute_units = variants[i].units;
        if (i == OCE_COUNT(variants) - 1 && needs_long_loops) {
            expect_unsupported(device, d, pass, "the driver may break loops off after 12000");
            oce_device_close(device);
            break;
        }
        float *result = conv2d_run(device, d, pass, &data, NULL);
        oce_device_close(device);
        if (i == 0) {
            first = result;
            continue;
        }
        expect_bytes(result, first, (size_t)(s[0] * s[1] * s[2] * s[3]) * sizeof *result,
                     "%s, \"%s\", %d units", conv2d_describe(d, pass), variants[i].cap,
                     variants[i].units);
        free(result);
    }
    free(first);
    conv2d_free_data(&data);
}

Test(conv2d_winograd, gives_the_same_bits_with_less_local_memory_and_other_units,
     .init = skip_on_gpus) {
    const oce_conv2d_desc d =
        test_is_small() ? describe(1, 5, 6, 16, 16, 3) : describe(30, 15, 14, 96, 64, 5);
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        expect_same_bits(&d, (oce_pass)pass, false);
    const oce_conv2d_desc few =
        test_is_small() ? describe(1, 5, 6, 2, 5, 3) : describe(5, 37, 46, 3, 20, 5);
    expect_same_bits(&few, OCE_PASS_FORWARD, false);
    const oce_conv2d_desc few_to_whole_vectors =
        test_is_small() ? describe(1, 5, 6, 2, 16, 3) : describe(5, 37, 46, 3, 48, 5);
    expect_same_bits(&few_to_whole_vectors, OCE_PASS_FILTER_GRAD, !test_is_small());
}

/* With few tiles, units share the output channels instead of the tiles. */
Test(conv2d_winograd, gives_the_same_bits_of_few_tiles_however_they_are_shared,
     .init = skip_on_gpus) {
    const int64_t channels = test_is_small() ? 32 : 128;
    const oce_conv2d_desc each[] = {describe(1, 8, 8, channels / 2, channels, 3),
                                    describe(2, 4, 3, channels, 48, 3),
                                    describe(1, 7, 6, channels, channels / 2, 5)};
    for (int i = 0; i < OCE_COUNT(each); i++) {
        expect_same_bits(&each[i], OCE_PASS_FORWARD, false);
        expect_same_bits(&each[i], OCE_PASS_INPUT_GRAD, false);
    }
}

/* Groups of the filter gradient share the positions of a tile, of each size that there is. */
Test(conv2d_winograd, gives_the_same_filter_gradient_however_its_positions_are_shared,
     .init = skip_on_gpus) {
    const int64_t batch = test_is_small() ? 1 : 40, channels = test_is_small() ? 16 : 64;
    const oce_conv2d_desc each[] = {
        describe(batch, 2, 2, channels, 32, 3), describe(batch, 8, 7, channels, 32, 3),
        describe(batch, 2, 2, channels, 32, 5), describe(batch, 8, 7, channels, 32, 5)};
    for (int i = 0; i < OCE_COUNT(each); i++)
        expect_same_bits(&each[i], OCE_PASS_FILTER_GRAD, false);
}

static void expect_auto(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                        bool is_winograd) {
    oce_conv2d_desc d = *desc;
    d.family = OCE_CONV2D_AUTO;
    const oce_conv2d_family family = conv2d_family(device, &d, pass);
    cr_expect_eq(family == OCE_CONV2D_WINOGRAD, is_winograd, "%s: %s", conv2d_describe(&d, pass),
                 oce_conv2d_family_name(family));
}

/* On CPUs, where it pays and does not round too much, and was not switched off. */
Test(conv2d_winograd, is_chosen_by_rule) {
    oce_device *device = test_open_device();
    const oce_limits *limits = oce_device_limits(device);
    const int64_t vector = limits->vector_width;
    const bool by_rule = limits->is_cpu && limits->loop_rounds == INT64_MAX;
    oce_conv2d_desc usual = describe(2, 12, 12, vector, 2 * vector, 5);
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        expect_auto(device, &usual, (oce_pass)pass, by_rule);
    usual.no_winograd = true;
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        expect_auto(device, &usual, (oce_pass)pass, false);
    const oce_conv2d_desc tiny = describe(1, 4, 4, vector, vector, 3);
    expect_auto(device, &tiny, OCE_PASS_FORWARD, false);
    /* The sums of 5 x 5 windows over more than 512 channels round too much. */
    const oce_conv2d_desc deep = describe(2, 12, 12, 528, vector, 5);
    expect_auto(device, &deep, OCE_PASS_FORWARD, false);
    expect_auto(device, &deep, OCE_PASS_INPUT_GRAD, by_rule);
    expect_auto(device, &deep, OCE_PASS_FILTER_GRAD, by_rule);
    const oce_conv2d_desc wide = describe(2, 12, 12, vector, 528, 5);
    expect_auto(device, &wide, OCE_PASS_FORWARD, by_rule);
    expect_auto(device, &wide, OCE_PASS_INPUT_GRAD, false);
    const oce_conv2d_desc few = describe(1, 32, 32, 3, 10, 5);
    expect_auto(device, &few, OCE_PASS_FORWARD, by_rule);
    expect_auto(device, &few, OCE_PASS_INPUT_GRAD, false);
    expect_auto(device, &few, OCE_PASS_FILTER_GRAD, false);
    const oce_conv2d_desc small = describe(100, 7, 8, 3, 10, 3);
    expect_auto(device, &small, OCE_PASS_FORWARD, false);
    /* Of few channels, with tiles that hang over the image little, and enough of them */
    const struct {
        oce_conv2d_desc desc;
        bool pays;
    } gradients[] = {{describe(4, 32, 32, 3, vector, 5), true},
                     {describe(4, 32, 32, 1, 2 * vector, 5), false},
                     {describe(3, 32, 32, 3, vector, 5), false},
                     {describe(100, 5, 5, 3, vector, 5), false},
                     {describe(4, 32, 32, 5, 2 * vector, 3), true},
                     {describe(4, 32, 32, 5, vector, 3), false},
                     {describe(4, 32, 32, 3, 2 * vector, 3), false}};
    for (int i = 0; i < OCE_COUNT(gradients); i++)
        expect_auto(device, &gradients[i].desc, OCE_PASS_FILTER_GRAD, by_rule && gradients[i].pays);
    /* A filter that is transformed once is worth it for few outputs, more for a large one. */
    const struct {
        oce_conv2d_desc desc;
        bool pays;
    } kept[] = {{describe(1, 12, 12, 3, 10, 3), true},
                {describe(1, 8, 8, 2 * vector, 2 * vector, 3), true},
                {describe(2, 4, 4, vector, 2 * vector, 5), true},
                {describe(1, 5, 6, 2 * vector, 2 * vector, 3), false},
                {describe(1, 8, 8, 192, 192, 3), true},
                {describe(1, 6, 6, 128, 128, 3), false},
                {describe(1, 8, 8, 512, 512, 3), false}};
    for (int i = 0; i < OCE_COUNT(kept); i++) {
        oce_conv2d_desc d = kept[i].desc;
        expect_auto(device, &d, OCE_PASS_FORWARD, false);
        d.keeps_filter = true;
        expect_auto(device, &d, OCE_PASS_FORWARD, by_rule && kept[i].pays);
    }
    oce_device_close(device);
}

/* Vectors of 4 too; but products of fewer than 8 channels do not pay for the transforms of 3 x 3
 * windows; nor does any where the driver breaks loops off. */
Test(conv2d_winograd, is_chosen_by_rule_for_vectors_of_4, .init = skip_on_gpus) {
    const oce_conv2d_desc usual = describe(4, 12, 12, 8, 16, 3),
                          few = describe(4, 12, 12, 4, 16, 3);
    const oce_conv2d_desc large = describe(4, 12, 12, 4, 16, 5);
    setenv("OCELLI_VECTOR_WIDTH", "4", 1);
    oce_device *device = test_open_device();
    const bool by_rule = oce_device_limits(device)->loop_rounds == INT64_MAX;
    expect_auto(device, &usual, OCE_PASS_FILTER_GRAD, by_rule);
    expect_auto(device, &large, OCE_PASS_FILTER_GRAD, by_rule);
    expect_auto(device, &few, OCE_PASS_FILTER_GRAD, false);
    oce_device_close(device);
    setenv("OCELLI_CAP", "loops=65535", 1);
    device = test_open_device();
    expect_auto(device, &usual, OCE_PASS_FILTER_GRAD, false);
    oce_device_close(device);
}

Test(conv2d_winograd, says_what_it_does_not_serve) {
    oce_device *device = test_open_device();
    const int64_t vector = oce_device_limits(device)->vector_width;
    oce_conv2d_desc descs[] = {
        describe(1, 8, 8, vector, vector, 4), describe(1, 8, 8, vector, vector, 3),
        describe(1, 8, 8, vector, vector, 3), describe(1, 8, 8, vector, vector, 3),
        describe(1, 8, 8, 33, vector, 3),     describe(1, 8, 8, 48, vector + 1, 3)};
    descs[1].window.size[1] = 5;
    descs[2].window.stride[1] = 2;
    descs[3].window.dilation[0] = 2;
    const char *const reasons[] = {"window is 4 x 4", "window is 3 x 5", "strides 1, 2",
                                   "dilations 2, 1",  "33 channels",     "filters are not both"};
    for (int i = 0; i < OCE_COUNT(descs); i++)
        expect_unsupported(device, &descs[i], OCE_PASS_FORWARD, reasons[i]);
    oce_device_close(device);
}
