/* Every truncation and every flipped bit of a small checkpoint: an error, or the right numbers. */
#include <ocelli/checkpoint.h>

#include "support/checkpoint.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;
static char prefix[600], index_path[700], data_path[700];
static array_set set;
static unsigned char *index_bytes, *data_bytes;
static size_t index_size, data_size;

static void setup(void) {
    folder = scratch_create();
    snprintf(prefix, sizeof prefix, "%s/model-3", folder);
    snprintf(index_path, sizeof index_path, "%s.index", prefix);
    snprintf(data_path, sizeof data_path, "%s.data-00000-of-00001", prefix);
    set = small_arrays(3);
    oce_bundle_writer *writer;
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    for (size_t i = 0; i < set.count; i++)
        cr_assert_eq(oce_bundle_writer_add(writer, &set.arrays[i]), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK);
    oce_bundle_writer_destroy(writer);
    index_bytes = file_load(index_path, &index_size);
    data_bytes = file_load(data_path, &data_size);
}

static void teardown(void) {
    array_set_free(&set);
    free(index_bytes);
    free(data_bytes);
    scratch_remove(folder);
}

TestSuite(bundle_damage, .init = setup, .fini = teardown);

/* Whether the bundle was refused; if not, it must be whole. */
static bool is_refused(const char *what, size_t where) {
    oce_bundle_reader *reader;
    if (oce_bundle_reader_open(prefix, &reader) != OCE_OK)
        return true;
    bool refused = oce_bundle_reader_count(reader) != set.count;
    cr_expect_not(refused, "%s %zu: another number of tensors", what, where);
    for (size_t i = 0; i < set.count && !refused; i++) {
        const oce_array *array = &set.arrays[i];
        float values[8];
        size_t bytes;
        cr_assert_eq(oce_array_bytes(array, &bytes), OCE_OK);
        refused = oce_bundle_reader_read(reader, array->name, array->rank, array->shape, values) !=
                  OCE_OK;
        cr_expect(refused || memcmp(values, array->data, bytes) == 0, "%s %zu: wrong numbers", what,
                  where);
    }
    oce_bundle_reader_close(reader);
    return refused;
}

Test(bundle_damage, undamaged) {
    cr_expect_not(is_refused("undamaged", 0));
}

Test(bundle_damage, index_cut_at_every_byte) {
    for (size_t size = 0; size < index_size; size++) {
        file_store(index_path, index_bytes, size);
        cr_expect(is_refused("cut to", size), "%zu bytes were enough", size);
    }
}

Test(bundle_damage, data_cut_at_every_byte) {
    for (size_t size = 0; size < data_size; size++) {
        file_store(data_path, data_bytes, size);
        cr_expect(is_refused("cut to", size), "%zu bytes were enough", size);
    }
}

Test(bundle_damage, every_bit_of_the_index_flipped) {
    size_t accepted = 0;
    for (size_t bit = 0; bit < index_size * 8; bit++) {
        index_bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        file_store(index_path, index_bytes, index_size);
        accepted += !is_refused("bit", bit);
        index_bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    /* Nothing depends on the zeros that pad the footer. */
    cr_expect_leq(accepted, 40 * 8, "%zu flips were not seen", accepted);
}

Test(bundle_damage, every_bit_of_the_data_flipped) {
    for (size_t bit = 0; bit < data_size * 8; bit++) {
        data_bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        file_store(data_path, data_bytes, data_size);
        cr_expect(is_refused("bit", bit), "bit %zu was not seen", bit);
        data_bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
}

Test(bundle_damage, bytes_behind_the_data_do_no_harm) {
    unsigned char *more = malloc(data_size + 7);
    cr_assert(more);
    memcpy(more, data_bytes, data_size);
    memset(more + data_size, 0xEE, 7);
    file_store(data_path, more, data_size + 7);
    cr_expect_not(is_refused("longer", 7));
    free(more);
}
