#define _XOPEN_SOURCE 700
/* What lies next to checkpoints in a model folder: sidecar files and the lock. */
#include <ocelli/checkpoint.h>

#include "support/checkpoint.h"
#include "support/fault.h"
#include "support/scratch.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;

static void setup(void) {
    folder = scratch_create();
    fault_skip_fsync();
}

static void teardown(void) {
    scratch_remove(folder);
}

TestSuite(sidecar, .init = setup, .fini = teardown);
TestSuite(folder_lock, .init = setup, .fini = teardown);

static oce_sidecar *create_sidecar(const char *step) {
    oce_sidecar *sidecar;
    cr_assert_eq(oce_sidecar_create(&sidecar), OCE_OK);
    cr_assert_eq(oce_sidecar_set(sidecar, "step", step), OCE_OK);
    return sidecar;
}

/* Saves small_arrays(1) as checkpoint m-1 and returns its prefix. */
static const char *save_with(const oce_sidecar *sidecar) {
    const oce_saver_options options = {.max_to_keep = 5};
    array_set set = small_arrays(1);
    oce_saver *saver;
    cr_assert_eq(oce_saver_create(&options, &saver), OCE_OK, "%s", oce_last_error());
    cr_assert_eq(
        oce_saver_save(saver, scratch_path(folder, "m"), 1, set.arrays, set.count, sidecar), OCE_OK,
        "%s", oce_last_error());
    oce_saver_destroy(saver);
    array_set_free(&set);
    return scratch_path(folder, "m-1");
}

Test(sidecar, keys_and_values_come_back_in_order) {
    oce_sidecar *sidecar = create_sidecar("100"), *read;
    const char *odd = "\"quoted\"\n\xc3\xad\t\\ and more: \"x\"";
    cr_assert_eq(oce_sidecar_set(sidecar, "odd.key-2", odd), OCE_OK);
    cr_assert_eq(oce_sidecar_set(sidecar, "empty", ""), OCE_OK);
    cr_assert_eq(oce_sidecar_set(sidecar, "step", "101"), OCE_OK);
    const char *prefix = save_with(sidecar);
    cr_assert_eq(oce_sidecar_read(prefix, &read), OCE_OK, "%s", oce_last_error());
    cr_assert_eq(oce_sidecar_count(read), 3);
    cr_expect_str_eq(oce_sidecar_key(read, 0), "step");
    cr_expect_str_eq(oce_sidecar_key(read, 1), "odd.key-2");
    cr_expect_str_eq(oce_sidecar_key(read, 2), "empty");
    cr_expect_null(oce_sidecar_key(read, 3));
    cr_expect_str_eq(oce_sidecar_get(read, "step"), "101");
    cr_expect_str_eq(oce_sidecar_get(read, "odd.key-2"), odd);
    cr_expect_str_eq(oce_sidecar_get(read, "empty"), "");
    cr_expect_null(oce_sidecar_get(read, "none"));
    oce_sidecar_destroy(read);
    oce_sidecar_destroy(sidecar);
    oce_sidecar_destroy(NULL);
}

Test(sidecar, bad_keys_are_refused) {
    oce_sidecar *sidecar = create_sidecar("1");
    char longest[257];
    memset(longest, 'k', 256);
    longest[256] = 0;
    const char *const bad[] = {"", "a b", "a:", "\xc3\xad", "ocelli_x", longest};
    for (size_t i = 0; i < 6; i++)
        cr_expect_eq(oce_sidecar_set(sidecar, bad[i], "v"), OCE_ERROR_INVALID_ARGUMENT, "'%s'",
                     bad[i]);
    cr_expect_eq(oce_sidecar_set(sidecar, longest + 1, "v"), OCE_OK);
    const char *prefix = save_with(sidecar);
    oce_sidecar_destroy(sidecar);
    cr_expect_eq(oce_sidecar_read(prefix, &sidecar), OCE_OK, "%s", oce_last_error());
    cr_expect_eq(oce_sidecar_count(sidecar), 2);
    oce_sidecar_destroy(sidecar);
}

Test(sidecar, it_belongs_to_one_checkpoint) {
    oce_sidecar *sidecar = create_sidecar("1"), *read;
    char prefix[800];
    snprintf(prefix, sizeof prefix, "%s", save_with(sidecar));
    cr_expect_eq(oce_sidecar_write(sidecar, scratch_path(folder, "none")), OCE_ERROR_NOT_FOUND);
    cr_expect_eq(oce_sidecar_write(sidecar, prefix), OCE_OK);
    cr_expect_eq(oce_sidecar_read(prefix, &read), OCE_OK);
    oce_sidecar_destroy(read);
    oce_bundle_writer *writer; /* a bundle of other contents takes the name */
    cr_assert_eq(oce_bundle_writer_create(prefix, &writer), OCE_OK);
    cr_assert_eq(oce_bundle_writer_finish(writer), OCE_OK);
    oce_bundle_writer_destroy(writer);
    cr_expect_eq(oce_sidecar_read(prefix, &read), OCE_ERROR_CHECKSUM);
    cr_expect_null(read);
    cr_expect(strstr(oce_last_error(), "belongs to another checkpoint"), "%s", oce_last_error());
    remove(scratch_path(folder, "m-1.ocelli"));
    cr_expect_eq(oce_sidecar_read(prefix, &read), OCE_ERROR_NOT_FOUND);
    oce_sidecar_destroy(sidecar);
}

Test(sidecar, every_cut_and_every_flipped_bit_is_seen) {
    oce_sidecar *sidecar = create_sidecar("12345"), *read;
    char prefix[800];
    size_t size;
    snprintf(prefix, sizeof prefix, "%s", save_with(sidecar));
    oce_sidecar_destroy(sidecar);
    const char *path = scratch_path(folder, "m-1.ocelli");
    unsigned char *bytes = file_load(path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        file_store(path, bytes, cut);
        cr_expect_neq(oce_sidecar_read(prefix, &read), OCE_OK, "cut to %zu", cut);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        file_store(path, bytes, size);
        cr_expect_neq(oce_sidecar_read(prefix, &read), OCE_OK, "bit %zu", bit);
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    file_store(path, bytes, size);
    cr_expect_eq(oce_sidecar_read(prefix, &read), OCE_OK);
    oce_sidecar_destroy(read);
    free(bytes);
}

/* ---- The lock of a model folder ---- */

Test(folder_lock, is_exclusive_and_creates_the_folder) {
    oce_folder_lock *lock, *other;
    const char *model = scratch_path(folder, "model");
    cr_assert_eq(oce_folder_lock_acquire(model, &lock), OCE_OK);
    cr_expect(file_is_there(model));
    cr_expect_eq(oce_folder_lock_acquire(model, &other), OCE_ERROR_BUSY);
    cr_expect_null(other);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    cr_expect(strstr(oce_last_error(), pid), "%s", oce_last_error());
    oce_folder_lock_release(lock);
    cr_expect_eq(scratch_count(model, NULL), 0);
    cr_expect_eq(oce_folder_lock_acquire(scratch_path(folder, "a/b"), &lock), OCE_ERROR_NOT_FOUND);
    oce_folder_lock_release(NULL);
}

Test(folder_lock, removes_what_an_interrupted_process_left) {
    static const char *const rubbish[] = {
        "m-5.index.123-0.ocelli-tmp", "m-5.data-00000-of-00001.123-0.ocelli-tmp",
        /* a checkpoint without its index */
        "m-6.data-00000-of-00001", "m-6.ocelli",
        /* a copy that the state file does not name */
        "m-1.replaced.index", "m-1.replaced.data-00000-of-00001", "m-1.replaced.ocelli"};
    /* an .index or data file of which nothing says that they are ours, and others' files */
    static const char *const keep[] = {"m-7.data-00000-of-00001", "m-8.index", "notes.txt"};
    oce_sidecar *sidecar = create_sidecar("1");
    char prefix[800], latest[800];
    snprintf(prefix, sizeof prefix, "%s", save_with(sidecar));
    oce_sidecar_destroy(sidecar);
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++)
        file_store(scratch_path(folder, rubbish[i]), "x", 1);
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        file_store(scratch_path(folder, keep[i]), "x", 1);
    oce_folder_lock *lock;
    cr_assert_eq(oce_folder_lock_acquire(folder, &lock), OCE_OK, "%s", oce_last_error());
    oce_folder_lock_release(lock);
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++)
        cr_expect_not(file_is_there(scratch_path(folder, rubbish[i])), "%s", rubbish[i]);
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        cr_expect(file_is_there(scratch_path(folder, keep[i])), "%s", keep[i]);
    cr_expect_eq(oce_checkpoint_latest(folder, latest, sizeof latest), OCE_OK);
    cr_expect_str_eq(latest, prefix);
    array_set set = small_arrays(1);
    cr_expect(bundle_equals(prefix, &set), "%s: not whole", prefix);
    array_set_free(&set);
    cr_expect_eq(oce_sidecar_read(prefix, &sidecar), OCE_OK, "%s", oce_last_error());
    oce_sidecar_destroy(sidecar);
}

Test(folder_lock, keeps_a_replaced_checkpoint_that_may_be_needed) {
    oce_folder_lock *lock;
    const char *state = scratch_path(folder, "checkpoint");
    file_store(scratch_path(folder, "m-1.replaced.index"), "x", 1);
    static const char *const states[] = {"model_checkpoint_path: 'm-1.replaced'", "nonsense", ""};
    for (int i = 0; i < 3; i++) {
        file_store(state, states[i], strlen(states[i]));
        cr_assert_eq(oce_folder_lock_acquire(folder, &lock), OCE_OK, "%s", oce_last_error());
        oce_folder_lock_release(lock);
        cr_expect(file_is_there(scratch_path(folder, "m-1.replaced.index")), "%s", states[i]);
    }
}
