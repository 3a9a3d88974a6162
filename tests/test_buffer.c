/* Device memory: sizes, ranges, contents, pages. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "base/pages.h"
#include "device/device.h"
#include "support/device.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static oce_device *device;

static void open_device(void) {
    device = test_open_device();
}

static void close_device(void) {
    oce_device_close(device);
}

TestSuite(buffer, .init = open_device, .fini = close_device);

static oce_buffer *create(size_t bytes) {
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, bytes, &buffer));
    return buffer;
}

/* A buffer of `bytes` bytes 1, 2, 3 ... */
static oce_buffer *counting(size_t bytes) {
    oce_buffer *buffer = create(bytes);
    unsigned char data[64];
    cr_assert(bytes <= sizeof data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(i + 1);
    TEST_OK(oce_buffer_write(buffer, 0, data, bytes));
    return buffer;
}

static void expect_contents(const oce_buffer *buffer, const unsigned char *expected, size_t bytes) {
    unsigned char data[64];
    cr_assert(oce_buffer_bytes(buffer) == bytes && bytes <= sizeof data);
    TEST_OK(oce_buffer_read(buffer, 0, data, bytes));
    cr_expect_arr_eq(data, expected, bytes);
}

static void expect_error(oce_status status, oce_status expected, const char *text) {
    cr_expect(status == expected, "%s", oce_status_text(status));
    cr_expect(strstr(oce_last_error(), text) != NULL, "%s", oce_last_error());
}

Test(buffer, keeps_what_is_written) {
    oce_buffer *buffer = counting(8);
    expect_contents(buffer, (const unsigned char[]){1, 2, 3, 4, 5, 6, 7, 8}, 8);
    TEST_OK(oce_buffer_write(buffer, 3, (const unsigned char[]){30, 40}, 2));
    expect_contents(buffer, (const unsigned char[]){1, 2, 3, 30, 40, 6, 7, 8}, 8);
    unsigned char part[3] = {0};
    TEST_OK(oce_buffer_read(buffer, 2, part, 3));
    cr_expect_arr_eq(part, ((const unsigned char[]){3, 30, 40}), 3);
    cr_expect(oce_buffer_device(buffer) == device);
    oce_buffer_destroy(buffer);
    oce_buffer_destroy(NULL);
}

Test(buffer, later_write_arrives_in_queue_order) {
    oce_buffer *buffer = counting(4);
    const unsigned char first[] = {9, 9, 9, 9}, second[] = {8, 8};
    TEST_OK(oce_buffer_write_later(buffer, 0, first, 4));
    TEST_OK(oce_buffer_write_later(buffer, 1, second, 2));
    TEST_OK(oce_device_flush(device));
    expect_contents(buffer, (const unsigned char[]){9, 8, 8, 9}, 4);
    oce_buffer_destroy(buffer);
}

/* What was flushed counts too: the host may then use its memory again. */
Test(buffer, finish_waits_for_what_was_flushed) {
    enum { WRITES = 8 };
    const size_t bytes = (size_t)(test_is_small() ? 1 : 16) << 20;
    unsigned char *data = malloc(bytes), *read = malloc(bytes);
    cr_assert(data != NULL && read != NULL);
    memset(data, 1, bytes);
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, bytes, &buffer));
    for (int i = 0; i < WRITES; i++)
        TEST_OK(oce_buffer_write_later(buffer, 0, data, bytes));
    TEST_OK(oce_device_flush(device));
    TEST_OK(oce_device_finish(device));
    memset(data, 2, bytes);
    TEST_OK(oce_buffer_read(buffer, 0, read, bytes));
    memset(data, 1, bytes);
    cr_expect(memcmp(read, data, bytes) == 0);
    free(data);
    free(read);
    oce_buffer_destroy(buffer);
}

Test(buffer, clear_touches_its_range_only) {
    oce_buffer *buffer = counting(6);
    TEST_OK(oce_buffer_clear(buffer, 1, 3));
    expect_contents(buffer, (const unsigned char[]){1, 0, 0, 0, 5, 6}, 6);
    TEST_OK(oce_buffer_clear(buffer, 6, 0));
    TEST_OK(oce_buffer_clear(buffer, 0, 6));
    expect_contents(buffer, (const unsigned char[]){0, 0, 0, 0, 0, 0}, 6);
    oce_buffer_destroy(buffer);
}

Test(buffer, copy_between_buffers) {
    oce_buffer *source = counting(6), *target = counting(4);
    TEST_OK(oce_buffer_copy(source, 4, target, 1, 2));
    expect_contents(target, (const unsigned char[]){1, 5, 6, 4}, 4);
    expect_contents(source, (const unsigned char[]){1, 2, 3, 4, 5, 6}, 6);
    TEST_OK(oce_buffer_copy(source, 0, source, 3, 3));
    expect_contents(source, (const unsigned char[]){1, 2, 3, 1, 2, 3}, 6);
    TEST_OK(oce_buffer_copy(source, 6, target, 4, 0));
    oce_buffer_destroy(source);
    oce_buffer_destroy(target);
}

Test(buffer, ranges_outside_are_errors) {
    oce_buffer *buffer = counting(6), *other = counting(8);
    unsigned char data[8] = {0};
    static const struct {
        size_t offset, bytes;
    } wrong[] = {
        {0, 7}, {6, 1}, {7, 0}, {5, 2}, {SIZE_MAX, 1}, {1, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const size_t offset = wrong[i].offset, bytes = wrong[i].bytes;
        expect_error(oce_buffer_read(buffer, offset, data, bytes), OCE_ERROR_SHAPE,
                     "the buffer has 6");
        expect_error(oce_buffer_write(buffer, offset, data, bytes), OCE_ERROR_SHAPE, "writing");
        expect_error(oce_buffer_write_later(buffer, offset, data, bytes), OCE_ERROR_SHAPE,
                     "writing");
        expect_error(oce_buffer_clear(buffer, offset, bytes), OCE_ERROR_SHAPE, "clearing");
        expect_error(oce_buffer_copy(buffer, offset, other, 0, bytes), OCE_ERROR_SHAPE,
                     "copying from");
        expect_error(oce_buffer_copy(other, 0, buffer, 6, 1), OCE_ERROR_SHAPE, "copying to");
    }
    expect_contents(buffer, (const unsigned char[]){1, 2, 3, 4, 5, 6}, 6);
    oce_buffer_destroy(buffer);
    oce_buffer_destroy(other);
}

Test(buffer, overlapping_copy_is_an_error) {
    oce_buffer *buffer = counting(6);
    expect_error(oce_buffer_copy(buffer, 0, buffer, 2, 3), OCE_ERROR_OPENCL, "CL_MEM_COPY_OVERLAP");
    oce_buffer_destroy(buffer);
}

Test(buffer, empty_is_legal) {
    oce_buffer *buffer = create(0);
    unsigned char data = 7;
    cr_expect(oce_buffer_bytes(buffer) == 0);
    TEST_OK(oce_buffer_write(buffer, 0, &data, 0));
    TEST_OK(oce_buffer_read(buffer, 0, &data, 0));
    TEST_OK(oce_buffer_clear(buffer, 0, 0));
    cr_expect(data == 7);
    oce_buffer_destroy(buffer);
}

Test(buffer, too_large_names_both_sizes) {
    const size_t limit = oce_device_limits(device)->max_allocation;
    char number[32];
    oce_buffer *buffer = (oce_buffer *)8;
    snprintf(number, sizeof number, "%zu bytes", limit);
    expect_error(oce_buffer_create(device, limit, &buffer), OCE_ERROR_DEVICE_MEMORY, number);
    cr_expect(buffer == NULL);
    expect_error(oce_buffer_create(device, SIZE_MAX / 2, &buffer), OCE_ERROR_DEVICE_MEMORY, number);
    expect_error(oce_buffer_create(device, SIZE_MAX, &buffer), OCE_ERROR_OVERFLOW,
                 "18446744073709551615");
}

Test(buffer, two_devices_do_not_share) {
    oce_device *second = test_open_device();
    oce_buffer *here = create(4), *there = NULL;
    TEST_OK(oce_buffer_create(second, 4, &there));
    expect_error(oce_buffer_copy(here, 0, there, 0, 4), OCE_ERROR_INVALID_ARGUMENT, "two devices");
    oce_buffer_destroy(there);
    oce_buffer_destroy(here);
    oce_device_close(second);
}

Test(buffer, expectations_name_the_buffer) {
    oce_buffer *buffer = create(16);
    TEST_OK(oce_buffer_expect(NULL, "workspace", 0));
    TEST_OK(oce_buffer_expect(buffer, "workspace", 16));
    expect_error(oce_buffer_expect(NULL, "workspace", 1), OCE_ERROR_INVALID_ARGUMENT,
                 "workspace: 1 bytes");
    expect_error(oce_buffer_expect(buffer, "workspace", 17), OCE_ERROR_INVALID_ARGUMENT,
                 "workspace: 17 bytes are needed, the buffer has 16");
    oce_buffer_destroy(buffer);
}

/* Kilobytes of this process for which large pages were asked for; -1: the system does not say. */
static long with_large_pages(void) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    if (maps == NULL)
        return -1;
    char line[512];
    long size = 0, sum = 0;
    bool has_flags = false;
    while (fgets(line, sizeof line, maps) != NULL) {
        (void)sscanf(line, "Size: %ld kB", &size);
        if (strncmp(line, "VmFlags:", 8) == 0) {
            has_flags = true;
            sum += strstr(line, " hg") != NULL ? size : 0;
        }
    }
    fclose(maps);
    return has_flags ? sum : -1;
}

static void skip_without_large_pages(void) {
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file == NULL || with_large_pages() < 0)
        cr_skip_test("the system has no large pages, or does not say which");
    fclose(file);
}

Test(pages, asks_for_large_ones_inside_of_what_it_is_given) {
    skip_without_large_pages();
    enum { PAGE = 4096, BYTES = 64 * 16 * PAGE };
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(memory != MAP_FAILED);
    const long before = with_large_pages();
    oce_ask_for_large_pages(memory, 0);
    oce_ask_for_large_pages(memory + 1, 100);
    cr_expect(with_large_pages() == before, "less than a page has pages");
    oce_ask_for_large_pages(memory + 1, BYTES - 2);
    const long asked = with_large_pages() - before, page = (BYTES / 1024 - asked) / 2;
    /* All but the first page and the last, whatever their size (up to 64 KB) */
    cr_expect(asked < BYTES / 1024 && page >= 4 && page <= 64, "%ld of %d KB", asked, BYTES / 1024);
    munmap(memory, BYTES);
}

/* What PoCL does: it maps a buffer to where it is. */
Test(buffer, is_in_large_pages_on_a_cpu) {
    skip_without_large_pages();
    const oce_device_info *info = oce_device_get_info(device);
    if (info->type != OCE_DEVICE_CPU || strstr(info->platform_name, "Portable") == NULL)
        cr_skip_test("only PoCL is known to show where its buffers are");
    const long before = with_large_pages();
    oce_buffer *small = create(1 << 20), *large = create(16 << 20);
    const long asked = with_large_pages() - before;
    cr_expect(asked > 15 << 10 && asked <= (16 << 10) + 64, "%ld KB of 16 MB", asked);
    unsigned char data[3] = {1, 2, 3}, got[3] = {0};
    TEST_OK(oce_buffer_write(large, (16 << 20) - 3, data, 3));
    TEST_OK(oce_buffer_read(large, (16 << 20) - 3, got, 3));
    cr_expect(memcmp(data, got, 3) == 0);
    oce_buffer_destroy(small);
    oce_buffer_destroy(large);
}
