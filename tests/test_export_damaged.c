/* Files of arrays that are damaged, hostile or unusual. */
#include <ocelli/array.h>

#include "base/bytes.h"
#include "support/array_files.h"
#include "support/checkpoint.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <zlib.h>

#include <stdlib.h>
#include <string.h>

static char *folder;

static void setup(void) {
    folder = scratch_create();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(export_damaged, .init = setup, .fini = teardown);

/* Every cut and every flipped bit: no crash, and no other numbers where the format has checksums.
 */
static void damage(const char *name, bool has_checksums) {
    array_set set = small_arrays(1);
    const char *path = scratch_path(folder, name);
    size_t size;
    arrays_store(path, set.arrays, strstr(name, ".npy") ? 1 : set.count);
    unsigned char *bytes = file_load(path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        file_store(path, bytes, cut);
        cr_expect_neq(arrays_try_to_load(path), OCE_OK, "%s cut to %zu of %zu", name, cut, size);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        file_store(path, bytes, size);
        oce_array_format format;
        oce_array_list *list = NULL;
        cr_assert_eq(oce_array_format_of(path, &format), OCE_OK);
        if (oce_arrays_read(path, format, &list) == OCE_OK && has_checksums)
            for (size_t j = 0; j < set.count; j++) {
                const oce_array *got = oce_array_list_find(list, set.arrays[j].name);
                if (got) /* the directory's names have no checksum */
                    expect_same_array(got, &set.arrays[j]);
            }
        oce_array_list_destroy(list);
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    free(bytes);
    array_set_free(&set);
}

Test(export_damaged, damaged_safetensors) {
    damage("a.safetensors", false);
}

Test(export_damaged, damaged_npz) {
    damage("a.npz", true);
}

Test(export_damaged, damaged_npy) {
    damage("a.npy", false);
}

static void expect_safetensors(const char *header, size_t data, oce_status status,
                               const char *message) {
    oce_bytes bytes = {0};
    const char *path = scratch_path(folder, "x.safetensors");
    oce_bytes_u64(&bytes, strlen(header));
    oce_bytes_text(&bytes, header);
    while (data-- > 0)
        oce_bytes_u8(&bytes, 0);
    file_store(path, bytes.data, bytes.size);
    cr_expect_eq(arrays_try_to_load(path), status, "%s: %s", header, oce_last_error());
    if (status != OCE_OK)
        expect_last_error(message);
    oce_bytes_finish(&bytes);
}

#define A(dtype, shape, offsets)                                                                   \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

Test(export_damaged, hostile_safetensors) {
    expect_safetensors(A("F32", "[1]", "[0,4]"), 4, OCE_OK, "");
    expect_safetensors("{\"__metadata__\":{\"format\":\"pt\"}}", 0, OCE_OK, "");
    expect_safetensors(A("F32", "[1]", "[0,4]"), 5, OCE_ERROR_FORMAT, "5 bytes of data");
    expect_safetensors(A("F32", "[1]", "[1,5]"), 5, OCE_ERROR_FORMAT, "starts at byte 1");
    expect_safetensors(A("F32", "[2]", "[0,4]"), 4, OCE_ERROR_FORMAT, "said to have 4 bytes");
    expect_safetensors(A("F32", "[-1]", "[0,4]"), 4, OCE_ERROR_FORMAT, "not a size");
    expect_safetensors(A("F32", "[1.0]", "[0,4]"), 4, OCE_ERROR_FORMAT, "not a size");
    expect_safetensors(A("F32", "[4294967296,4294967296]", "[0,4]"), 4, OCE_ERROR_FORMAT,
                       "said to have");
    expect_safetensors(A("F32", "[1]", "[4,0]"), 4, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors(A("F32", "[1]", "[0,4,8]"), 4, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors(A("F32", "1", "[0,4]"), 4, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors(A("F8_E4M3", "[4]", "[0,4]"), 4, OCE_ERROR_UNSUPPORTED, "F8_E4M3");
    expect_safetensors("{\"a\":1}", 0, OCE_ERROR_FORMAT, "malformed description");
    expect_safetensors("{\"a\":{},\"a\":{}}", 0, OCE_ERROR_FORMAT, "header: duplicate");
    expect_safetensors("[]", 0, OCE_ERROR_FORMAT, "not a JSON object");
    expect_safetensors("{", 0, OCE_ERROR_FORMAT, "header:");
    expect_safetensors("", 0, OCE_ERROR_FORMAT, "header:");
    const char *path = scratch_path(folder, "x.safetensors");
    file_store(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    cr_expect_eq(arrays_try_to_load(path), OCE_ERROR_FORMAT);
    expect_last_error("a header of 18446744073709551615 bytes in a file of 10");
    cr_expect_eq(arrays_try_to_load(scratch_path(folder, "none.npz")), OCE_ERROR_NOT_FOUND);
}

static void expect_npy(const char *header, int version, size_t data, oce_status status,
                       const char *message) {
    oce_bytes bytes = {0};
    const char *path = scratch_path(folder, "x.npy");
    oce_bytes_append(&bytes, "\x93NUMPY", 6);
    oce_bytes_u8(&bytes, (unsigned)version);
    oce_bytes_u8(&bytes, 0);
    oce_bytes_u16(&bytes, (unsigned)strlen(header));
    if (version > 1)
        oce_bytes_u16(&bytes, 0);
    oce_bytes_text(&bytes, header);
    for (size_t i = 0; i < data; i++)
        oce_bytes_u8(&bytes, (unsigned)i);
    file_store(path, bytes.data, bytes.size);
    cr_expect_eq(arrays_try_to_load(path), status, "%s: %s", header, oce_last_error());
    if (status != OCE_OK)
        expect_last_error(message);
    oce_bytes_finish(&bytes);
}

#define H(descr, order, shape)                                                                     \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

Test(export_damaged, hostile_npy) {
    expect_npy(H("'<f4'", "False", "(2,)"), 1, 8, OCE_OK, "");
    expect_npy(H("'<f4'", "False", "(2,)"), 2, 8, OCE_OK, "");
    expect_npy(H("\"|u1\"", "False", "(2L, 3L)"), 3, 6, OCE_OK, "");
    expect_npy("{\"shape\":(),\"fortran_order\":False,\"descr\":\"=i2\"}", 1, 2, OCE_OK, "");
    expect_npy(H("'<f4'", "False", "(2,)"), 4, 8, OCE_ERROR_UNSUPPORTED,
               ".npy version 4 is not supported, 1 to 3 are");
    expect_npy(H("'<f4'", "False", "(2,)"), 1, 7, OCE_ERROR_FORMAT,
               "has 7 bytes of elements, but its shape [2] of float32 takes 8");
    expect_npy(H("'<f4'", "False", "(2,)"), 1, 9, OCE_ERROR_FORMAT, "9 bytes of elements");
    expect_npy(H("'>f4'", "False", "(2,)"), 1, 8, OCE_ERROR_UNSUPPORTED,
               "big-endian elements ('>f4') are not supported, little-endian ones ('<f4') are");
    expect_npy(H("'|O'", "False", "(1,)"), 1, 8, OCE_ERROR_UNSUPPORTED,
               "elements of NumPy's type '|O' are not supported");
    expect_npy(H("[('a', '<f4')]", "False", "(1,)"), 1, 4, OCE_ERROR_UNSUPPORTED, "records");
    expect_npy(H("'<f4'", "Maybe", "(2,)"), 1, 8, OCE_ERROR_FORMAT, "malformed .npy header");
    expect_npy(H("'<f4'", "False", "(-2,)"), 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy(H("'<f4'", "False", "(99999999999999999999,)"), 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy(H("'<f4'", "False", "(2 3)"), 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy(H("'<f4'", "False", "(4294967296,4294967296)"), 1, 8, OCE_ERROR_FORMAT,
               "its shape [4294967296, 4294967296] of float32 takes more");
    expect_npy("{'descr': '<f4', 'fortran_order': False}", 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy("{'descr': '<f4', 'other': False}", 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy("{'descr", 1, 8, OCE_ERROR_FORMAT, "malformed");
    expect_npy("", 1, 8, OCE_ERROR_FORMAT, "malformed");
    file_store(scratch_path(folder, "x.npy"), "\x93NUMPY\1\0\x76\0{'descr", 17);
    cr_expect_eq(arrays_try_to_load(scratch_path(folder, "x.npy")), OCE_ERROR_FORMAT);
    expect_last_error("a header of 118 bytes, of which only 7 are there");
    char *long_one = calloc(12 + 65537, 1);
    static const char start[11] = "\x93NUMPY\2\0\0\0\1"; /* a length of 65536, then of 65537 */
    memcpy(long_one, start, sizeof start);
    for (int more = 0; more < 2; more++) {
        long_one[8] = (char)more;
        file_store(scratch_path(folder, "x.npy"), long_one, 12 + 65537);
        cr_expect_eq(arrays_try_to_load(scratch_path(folder, "x.npy")), OCE_ERROR_FORMAT);
        expect_last_error(more ? "65537 bytes, more than the 65536" : "malformed");
    }
    free(long_one);
}

Test(export_damaged, column_major_arrays_are_turned) {
    expect_npy(H("'|u1'", "True", "(2, 3)"), 1, 6, OCE_OK, "");
    oce_array_list *list = arrays_load(scratch_path(folder, "x.npy"));
    static const unsigned char rows[] = {0, 2, 4, 1, 3, 5};
    cr_expect_arr_eq(oce_array_list_items(list)->data, rows, 6);
    oce_array_list_destroy(list);
}

/* A deflated member, whose size may be a lie. */
static void store_deflated(const char *path, size_t claimed, bool right_crc) {
    unsigned char packed[512];
    char npy[128 + 400] = "\x93NUMPY\1\0\x76\0{'descr': '|u1', 'fortran_order': False, "
                          "'shape': (400,), }";
    const size_t header = 10 + strlen(npy + 10);
    memset(npy + header, ' ', 127 - header);
    npy[127] = '\n';
    z_stream stream = {.next_in = (unsigned char *)npy,
                       .avail_in = sizeof npy,
                       .next_out = packed,
                       .avail_out = sizeof packed};
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    const unsigned size = (unsigned)stream.total_out;
    deflateEnd(&stream);
    const uint32_t crc = (uint32_t)crc32(0, (unsigned char *)npy, sizeof npy) + !right_crc;
    oce_bytes zip = {0};
    for (int central = 0; central < 2; central++) {
        const size_t directory = zip.size;
        oce_bytes_u32(&zip, central ? 0x02014b50 : 0x04034b50);
        if (central)
            oce_bytes_u16(&zip, 20);
        oce_bytes_u16(&zip, 20);
        oce_bytes_u16(&zip, 0);
        oce_bytes_u16(&zip, 8);
        oce_bytes_u32(&zip, 0);
        oce_bytes_u32(&zip, crc);
        oce_bytes_u32(&zip, size);
        oce_bytes_u32(&zip, (uint32_t)claimed);
        oce_bytes_u16(&zip, 5);
        oce_bytes_u16(&zip, central ? 0 : 3); /* extra bytes in the local header only */
        for (int i = 0; i < (central ? 14 : 0); i++)
            oce_bytes_u8(&zip, 0);
        oce_bytes_text(&zip, central ? "q.npy" : "q.npyxxx");
        if (!central) {
            oce_bytes_append(&zip, packed, size);
            continue;
        }
        const size_t end = zip.size;
        oce_bytes_u32(&zip, 0x06054b50);
        oce_bytes_u64(&zip, 0);
        oce_bytes_u32(&zip, (uint32_t)(end - directory));
        oce_bytes_u32(&zip, (uint32_t)directory);
        oce_bytes_u16(&zip, 7);
        oce_bytes_text(&zip, "comment");
    }
    file_store(path, zip.data, zip.size);
    oce_bytes_finish(&zip);
}

Test(export_damaged, deflated_npz) {
    const char *path = scratch_path(folder, "x.npz");
    store_deflated(path, 528, true);
    oce_array_list *list = arrays_load(path);
    cr_expect_str_eq(oce_array_list_items(list)->name, "q");
    cr_expect_eq(oce_array_list_items(list)->shape[0], 400);
    oce_array_list_destroy(list);
    store_deflated(path, 528, false);
    cr_expect_eq(arrays_try_to_load(path), OCE_ERROR_CHECKSUM);
    store_deflated(path, 527, true);
    cr_expect_eq(arrays_try_to_load(path), OCE_ERROR_FORMAT);
    store_deflated(path, 4000000000U, true);
    cr_expect_eq(arrays_try_to_load(path), OCE_ERROR_FORMAT);
    expect_last_error("cannot hold 4000000000");
    file_store(path, "PK\5\6", 4);
    cr_expect_eq(arrays_try_to_load(path), OCE_ERROR_FORMAT);
    expect_last_error("not a zip archive");
}
