#include "support/array_files.h"

#include <criterion/criterion.h>

#include <string.h>

void expect_last_error(const char *part) {
    cr_expect(strstr(oce_last_error(), part), "'%s' in: %s", part, oce_last_error());
}

void arrays_store(const char *path, const oce_array *arrays, size_t count) {
    oce_array_format format;
    cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
    cr_assert_eq(oce_arrays_write(path, format, arrays, count), OCE_OK, "%s", oce_last_error());
}

oce_array_list *arrays_load(const char *path) {
    oce_array_format format;
    oce_array_list *list;
    cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
    cr_assert_eq(oce_arrays_read(path, format, &list), OCE_OK, "%s", oce_last_error());
    return list;
}

oce_status arrays_try_to_load(const char *path) {
    oce_array_format format;
    oce_array_list *list = NULL;
    cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
    const oce_status status = oce_arrays_read(path, format, &list);
    cr_expect_eq(list != NULL, status == OCE_OK);
    oce_array_list_destroy(list);
    return status;
}

void expect_same_array(const oce_array *got, const oce_array *expected) {
    size_t bytes;
    cr_assert(got, "no '%s'", expected->name);
    cr_assert_eq(oce_array_bytes(expected, &bytes), OCE_OK);
    cr_expect_str_eq(got->name, expected->name);
    cr_expect_eq(got->dtype, expected->dtype);
    cr_assert_eq(got->rank, expected->rank);
    if (got->rank > 0)
        cr_expect_arr_eq(got->shape, expected->shape, (size_t)got->rank * sizeof *got->shape);
    cr_expect(bytes == 0 || memcmp(got->data, expected->data, bytes) == 0, "'%s'", got->name);
}
