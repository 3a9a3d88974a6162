/* Marks in the queue, and copies to the host that they wait for. */
#include "device/device.h"
#include "support/device.h"

#include <criterion/criterion.h>
#include <string.h>

enum { COUNT = 1000 };

Test(mark, what_was_read_before_it_is_there) {
    oce_device *device = test_open_device();
    oce_buffer *buffer = NULL;
    TEST_OK(oce_buffer_create(device, COUNT, &buffer));
    unsigned char written[COUNT], read[COUNT] = {0};
    for (int i = 0; i < COUNT; i++)
        written[i] = (unsigned char)(i * 7 + 1);
    oce_mark mark = {0};
    TEST_OK(oce_mark_wait(&mark)); /* not set: nothing to wait for */
    TEST_OK(oce_buffer_write_later(buffer, 0, written, COUNT));
    TEST_OK(oce_buffer_read_later(buffer, 100, read, COUNT - 100));
    TEST_OK(oce_buffer_write_marked(buffer, 0, written, 1, &mark));
    TEST_OK(oce_mark_wait(&mark));
    cr_expect_eq(memcmp(read, written + 100, COUNT - 100), 0);
    TEST_OK(oce_mark_wait(&mark)); /* reached before */
    oce_buffer_destroy(buffer);
    oce_device_close(device);
}

Test(mark, can_be_moved_and_given_up) {
    oce_device *device = test_open_device();
    oce_buffer *buffer = NULL;
    oce_mark mark = {0};
    const unsigned char bytes[2] = {1, 2};
    TEST_OK(oce_buffer_create(device, 2, &buffer));
    TEST_OK(oce_buffer_write_marked(buffer, 0, bytes, 1, &mark));
    cr_expect_not_null(mark.event);
    TEST_OK(oce_buffer_write_marked(buffer, 0, bytes, 2, &mark));
    oce_mark_clear(&mark);
    cr_expect_null(mark.event);
    oce_mark_clear(&mark);
    cr_expect_eq(oce_buffer_write_marked(buffer, 1, bytes, 2, &mark), OCE_ERROR_SHAPE);
    cr_expect_null(mark.event);
    TEST_OK(oce_device_finish(device));
    oce_buffer_destroy(buffer);
    oce_device_close(device);
}

Test(mark, later_reads_are_checked) {
    oce_device *device = test_open_device();
    oce_buffer *buffer = NULL;
    unsigned char byte;
    TEST_OK(oce_buffer_create(device, 16, &buffer));
    cr_expect_eq(oce_buffer_read_later(buffer, 16, &byte, 1), OCE_ERROR_SHAPE);
    cr_expect_not_null(strstr(oce_last_error(), "reading 1 bytes at offset 16"));
    oce_buffer_destroy(buffer);
    oce_device_close(device);
}
