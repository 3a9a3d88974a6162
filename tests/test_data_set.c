/* src/data/dataset.c: data sets from the caller's arrays, slices, accessors. */
#include <criterion/criterion.h>

#include <ocelli/data.h>

#include <stdlib.h>
#include <string.h>

enum { COUNT = 6, IMAGE = 2 * 3 * 4 };

static uint8_t images[COUNT * IMAGE];
static uint8_t labels[COUNT] = {0, 1, 2, 2, 1, 0};
static const char *const names[] = {"red", "green", "blue"};

static oce_dataset *create(void) {
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 7);
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_create(images, labels, COUNT, 2, 3, 4, 3, names, &dataset), OCE_OK,
                 "%s", oce_last_error());
    return dataset;
}

Test(dataset, create_copies_everything) {
    oce_dataset *dataset = create();
    uint8_t before[sizeof images];
    memcpy(before, images, sizeof images);
    memset(images, 0, sizeof images);
    cr_assert_eq(memcmp(oce_dataset_images(dataset), before, sizeof before), 0);
    cr_assert_eq(memcmp(oce_dataset_labels(dataset), labels, COUNT), 0);
    cr_assert_eq(oce_dataset_count(dataset), COUNT);
    cr_assert_eq(oce_dataset_height(dataset), 2);
    cr_assert_eq(oce_dataset_width(dataset), 3);
    cr_assert_eq(oce_dataset_channels(dataset), 4);
    cr_assert_eq(oce_dataset_classes(dataset), 3);
    cr_assert_str_eq(oce_dataset_class_name(dataset, 0), "red");
    cr_assert_str_eq(oce_dataset_class_name(dataset, 2), "blue");
    cr_assert_null(oce_dataset_class_name(dataset, 3));
    cr_assert_null(oce_dataset_class_name(dataset, -1));
    cr_assert_str_eq(oce_dataset_description(dataset), "6 images 2x3x4 from memory");
    cr_assert_not(oce_dataset_is_synthetic(dataset));
    oce_dataset_destroy(dataset);
}

Test(dataset, classes_without_names_are_numbered) {
    oce_dataset *dataset;
    cr_assert_eq(oce_dataset_create(images, labels, COUNT, 2, 3, 4, 256, NULL, &dataset), OCE_OK);
    cr_assert_str_eq(oce_dataset_class_name(dataset, 0), "0");
    cr_assert_str_eq(oce_dataset_class_name(dataset, 255), "255");
    oce_dataset_destroy(dataset);
}

static void expect_refused(oce_status expected, const uint8_t *pixels, const uint8_t *classes_of,
                           int64_t count, int64_t height, int64_t width, int64_t channels,
                           int64_t classes, const char *const *class_names) {
    oce_dataset *dataset = (oce_dataset *)&count;
    cr_assert_eq(oce_dataset_create(pixels, classes_of, count, height, width, channels, classes,
                                    class_names, &dataset),
                 expected, "%s", oce_last_error());
    cr_assert_null(dataset);
    cr_assert_neq(oce_last_error()[0], '\0');
}

Test(dataset, create_refuses_bad_arguments) {
    const oce_status invalid = OCE_ERROR_INVALID_ARGUMENT;
    const char *const holes[] = {"red", NULL, "blue"};
    expect_refused(invalid, NULL, labels, COUNT, 2, 3, 4, 3, names);
    expect_refused(invalid, images, NULL, COUNT, 2, 3, 4, 3, names);
    expect_refused(invalid, images, labels, 0, 2, 3, 4, 3, names);
    expect_refused(invalid, images, labels, -1, 2, 3, 4, 3, names);
    expect_refused(invalid, images, labels, (int64_t)INT32_MAX + 1, 2, 3, 4, 3, names);
    expect_refused(invalid, images, labels, COUNT, 0, 3, 4, 3, names);
    expect_refused(invalid, images, labels, COUNT, 2, -3, 4, 3, names);
    expect_refused(invalid, images, labels, COUNT, 2, 3, 0, 3, names);
    expect_refused(invalid, images, labels, COUNT, 2, 3, 4, 0, names);
    expect_refused(invalid, images, labels, COUNT, 2, 3, 4, 257, NULL);
    expect_refused(invalid, images, labels, COUNT, 2, 3, 4, 3, holes);
    expect_refused(OCE_ERROR_OVERFLOW, images, labels, COUNT, INT64_MAX, 3, 4, 3, names);
    expect_refused(OCE_ERROR_OVERFLOW, images, labels, COUNT, INT64_MAX, 2, 1, 3, names);
    cr_assert_eq(oce_dataset_create(images, labels, COUNT, 2, 3, 4, 3, names, NULL), invalid);
}

Test(dataset, create_refuses_labels_out_of_range) {
    expect_refused(OCE_ERROR_INVALID_ARGUMENT, images, labels, COUNT, 2, 3, 4, 2, NULL);
    cr_assert_str_eq(oce_last_error(), "data set: label 2 of example 2, expected 0 to 1");
}

Test(dataset, slices_share_and_outlive_their_source) {
    oce_dataset *dataset = create(), *slice, *inner;
    cr_assert_eq(oce_dataset_slice(dataset, 1, 4, &slice), OCE_OK);
    cr_assert_eq(oce_dataset_images(slice), oce_dataset_images(dataset) + IMAGE);
    cr_assert_str_eq(oce_dataset_description(slice), "6 images 2x3x4 from memory, examples 1 to 4");
    oce_dataset_destroy(dataset);
    cr_assert_eq(oce_dataset_slice(slice, 2, 2, &inner), OCE_OK);
    oce_dataset_destroy(slice);
    cr_assert_eq(oce_dataset_count(inner), 2);
    cr_assert_eq(oce_dataset_width(inner), 3);
    cr_assert_eq(memcmp(oce_dataset_images(inner), images + 3 * IMAGE, 2 * IMAGE), 0);
    cr_assert_eq(memcmp(oce_dataset_labels(inner), labels + 3, 2), 0);
    cr_assert_str_eq(oce_dataset_class_name(inner, 1), "green");
    oce_dataset_destroy(inner);
}

Test(dataset, a_slice_can_be_all) {
    oce_dataset *dataset = create(), *slice;
    cr_assert_eq(oce_dataset_slice(dataset, 0, COUNT, &slice), OCE_OK);
    cr_assert_eq(oce_dataset_count(slice), COUNT);
    oce_dataset_destroy(slice);
    oce_dataset_destroy(dataset);
}

Test(dataset, slice_refuses_ranges_outside) {
    static const int64_t ranges[][2] = {{0, 0},  {0, COUNT + 1}, {COUNT, 1},     {-1, 2},
                                        {2, -1}, {5, 2},         {1, INT64_MAX}, {INT64_MAX, 1}};
    oce_dataset *dataset = create();
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        oce_dataset *slice = dataset;
        cr_assert_eq(oce_dataset_slice(dataset, ranges[i][0], ranges[i][1], &slice),
                     OCE_ERROR_INVALID_ARGUMENT, "range %zu", i);
        cr_assert_null(slice);
    }
    oce_dataset_slice(dataset, 5, 2, &(oce_dataset *){NULL});
    cr_assert_str_eq(oce_last_error(),
                     "data set slice: 2 examples from 5 on do not lie inside the 6 there are");
    cr_assert_eq(oce_dataset_slice(dataset, 0, 1, NULL), OCE_ERROR_INVALID_ARGUMENT);
    cr_assert_eq(oce_dataset_slice(NULL, 0, 1, &(oce_dataset *){NULL}), OCE_ERROR_INVALID_ARGUMENT);
    oce_dataset_destroy(dataset);
    oce_dataset_destroy(NULL);
}
