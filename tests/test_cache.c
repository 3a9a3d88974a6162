/* The disk cache of program binaries. */
#define _DEFAULT_SOURCE
#include "device/cache.h"
#include "device/internal.h"
#include "support/device.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static char *folder; /* OCELLI_CACHE is folder/deep/cache */
static const char *cache;

static const oce_device_info gpu = {
    .name = "GPU",
    .vendor = "V",
    .platform_name = "P",
    .platform_vendor = "PV",
    .driver_version = "1",
    .device_version = "OpenCL 1.2",
};

static void set_up(void) {
    static char path[1024];
    folder = scratch_create();
    snprintf(path, sizeof path, "%s/deep/cache", folder);
    cache = path;
    setenv("OCELLI_CACHE", cache, 1);
    unsetenv("OCELLI_CACHE_FORCE");
}

static void tear_down(void) {
    scratch_remove(folder);
}

TestSuite(cache, .init = set_up, .fini = tear_down);

static oce_bytes key_of(const oce_device_info *info, const char *platform_version,
                        const char *options, const char *first, const char *second) {
    oce_bytes key;
    const char *const sources[] = {first, second};
    oce_cache_key(info, platform_version, options, sources, 2, &key);
    cr_assert(key.size > 0);
    return key;
}

static oce_bytes simple_key(void) {
    return key_of(&gpu, "OpenCL 1.2", "-DX=1", "a", "b");
}

/* "" if nothing is stored under the key. */
static const char *loaded(const oce_bytes *key) {
    static char text[64];
    oce_bytes binary;
    text[0] = '\0';
    if (oce_cache_load(key, &binary)) {
        cr_assert(binary.size < sizeof text);
        memcpy(text, binary.data, binary.size);
        text[binary.size] = '\0';
    }
    oce_bytes_finish(&binary);
    return text;
}

static void store(const oce_bytes *key, const char *text) {
    TEST_OK(oce_cache_store(key, text, strlen(text)));
}

Test(cache, keeps_a_binary_and_creates_its_folder) {
    oce_bytes key = simple_key();
    cr_expect_str_eq(loaded(&key), "");
    store(&key, "binary");
    cr_expect_str_eq(loaded(&key), "binary");
    store(&key, "newer");
    cr_expect_str_eq(loaded(&key), "newer");
    cr_expect(scratch_count(cache, NULL) == 1, "no temporary file is left");
    oce_bytes_finish(&key);
}

Test(cache, binary_may_hold_any_bytes) {
    oce_bytes key = simple_key(), binary;
    unsigned char data[256];
    for (int i = 0; i < 256; i++)
        data[i] = (unsigned char)i;
    oce_cache_store(&key, data, sizeof data);
    cr_assert(oce_cache_load(&key, &binary));
    cr_expect(binary.size == sizeof data);
    cr_expect_arr_eq(binary.data, data, sizeof data);
    oce_bytes_finish(&binary);
    oce_bytes_finish(&key);
}

Test(cache, every_part_of_the_key_counts) {
    oce_device_info other[6];
    for (int i = 0; i < 6; i++)
        other[i] = gpu;
    other[0].name = "GPU2";
    other[1].vendor = "V2";
    other[2].platform_name = "P2";
    other[3].platform_vendor = "PV2";
    other[4].driver_version = "2";
    other[5].device_version = "OpenCL 2.0";
    oce_bytes keys[12] = {simple_key()};
    for (int i = 0; i < 6; i++)
        keys[i + 1] = key_of(&other[i], "OpenCL 1.2", "-DX=1", "a", "b");
    keys[7] = key_of(&gpu, "OpenCL 3.0", "-DX=1", "a", "b");
    keys[8] = key_of(&gpu, "OpenCL 1.2", "-DX=2", "a", "b");
    keys[9] = key_of(&gpu, "OpenCL 1.2", "-DX=1", "A", "b");
    keys[10] = key_of(&gpu, "OpenCL 1.2", "-DX=1", "a", "B");
    keys[11] = key_of(&gpu, "OpenCL 1.2", "-DX=1", "ab", "");
    store(&keys[0], "binary");
    for (int i = 0; i < 12; i++) {
        char *path = oce_cache_path(&keys[i]), *first = oce_cache_path(&keys[0]);
        cr_expect_str_eq(loaded(&keys[i]), i == 0 ? "binary" : "", "key %d", i);
        cr_expect((strcmp(path, first) == 0) == (i == 0), "key %d has the same file", i);
        /* a file under the wrong name, as after a collision of hashes, is not taken either */
        if (i > 0) {
            cr_assert(rename(first, path) == 0);
            cr_expect_str_eq(loaded(&keys[i]), "", "key %d takes a foreign file", i);
            cr_assert(rename(path, first) == 0);
        }
        free(path);
        free(first);
    }
    for (int i = 0; i < 12; i++)
        oce_bytes_finish(&keys[i]);
}

Test(cache, damaged_files_are_ignored_and_replaced) {
    oce_bytes key = simple_key();
    store(&key, "binary");
    char *path = oce_cache_path(&key);
    const char *name = strrchr(path, '/') + 1;
    size_t size = 0;
    char *whole = scratch_read(cache, name, &size);
    for (size_t i = 0; i < size; i++) { /* every byte wrong */
        whole[i] ^= 0x10;
        scratch_write(cache, name, whole, size);
        cr_expect_str_eq(loaded(&key), "", "byte %zu", i);
        whole[i] ^= 0x10;
    }
    for (size_t i = 0; i < size; i++) { /* cut short everywhere */
        scratch_write(cache, name, whole, i);
        cr_expect_str_eq(loaded(&key), "", "%zu bytes", i);
    }
    char *longer = calloc(size + 1, 1);
    cr_assert(longer != NULL);
    memcpy(longer, whole, size);
    scratch_write(cache, name, longer, size + 1);
    cr_expect_str_eq(loaded(&key), "", "one byte too many");
    store(&key, "again");
    cr_expect_str_eq(loaded(&key), "again");
    free(longer);
    free(whole);
    free(path);
    oce_bytes_finish(&key);
}

Test(cache, unreadable_entry_is_ignored) {
    oce_bytes key = simple_key();
    store(&key, "binary");
    char *path = oce_cache_path(&key);
    cr_assert(unlink(path) == 0 && mkdir(path, 0777) == 0); /* a folder cannot be read */
    cr_expect_str_eq(loaded(&key), "");
    cr_expect_neq(oce_cache_store(&key, "binary", 6), OCE_OK, "nor replaced");
    cr_expect_not_null(strstr(oce_last_error(), path), "%s", oce_last_error());
    cr_expect_str_eq(loaded(&key), "");
    free(path);
    oce_bytes_finish(&key);
}

Test(cache, failing_writes_say_where) {
    oce_bytes key = simple_key();
    scratch_write_text(folder, "deep", "a file where a folder should be");
    cr_expect_neq(oce_cache_store(&key, "binary", 6), OCE_OK);
    cr_expect_not_null(strstr(oce_last_error(), "deep"), "%s", oce_last_error());
    cr_expect_str_eq(loaded(&key), "");
    setenv("OCELLI_CACHE", "/proc/no/such/place", 1);
    cr_expect_neq(oce_cache_store(&key, "binary", 6), OCE_OK);
    cr_expect_not_null(strstr(oce_last_error(), "/proc/no"), "%s", oce_last_error());
    cr_expect_str_eq(loaded(&key), "");
    oce_bytes_finish(&key);
}

static void expect_path(const oce_bytes *key, const char *start) {
    char *path = oce_cache_path(key);
    if (start == NULL)
        cr_expect(path == NULL, "%s", path);
    else
        cr_expect(path != NULL && strncmp(path, start, strlen(start)) == 0, "%s", path);
    free(path);
}

Test(cache, place_follows_the_environment) {
    oce_bytes key = simple_key();
    setenv("HOME", "/home/someone", 1);
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    setenv("OCELLI_CACHE", "/own", 1);
    expect_path(&key, "/own/");
    setenv("OCELLI_CACHE", "off", 1);
    expect_path(&key, NULL);
    setenv("OCELLI_CACHE", "", 1);
    expect_path(&key, "/xdg/ocelli/");
    unsetenv("OCELLI_CACHE");
    unsetenv("XDG_CACHE_HOME");
#ifdef __APPLE__
    expect_path(&key, "/home/someone/Library/Caches/ocelli/");
#else
    expect_path(&key, "/home/someone/.cache/ocelli/");
#endif
    unsetenv("HOME");
    expect_path(&key, NULL);
    cr_expect_eq(oce_cache_store(&key, "binary", 6), OCE_ERROR_NOT_FOUND);
    cr_expect_str_eq(loaded(&key), "");
    oce_bytes_finish(&key);
}

Test(cache, use_depends_on_the_driver) {
    oce_device_info info = gpu;
    cr_expect(oce_cache_use_of(&info, "OpenCL 1.2") == OCE_CACHE_AT_ONCE);
    info.platform_name = "Portable Computing Language";
    cr_expect(oce_cache_use_of(&info, "OpenCL 3.0 PoCL 3.1  Linux") == OCE_CACHE_ON_DEMAND);
    info.platform_vendor = "NVIDIA Corporation";
    cr_expect(oce_cache_use_of(&info, "OpenCL 3.0 CUDA") == OCE_CACHE_UNUSED);
    setenv("OCELLI_CACHE_FORCE", "1", 1);
    cr_expect(oce_cache_use_of(&info, "OpenCL 3.0 CUDA") == OCE_CACHE_AT_ONCE);
    setenv("OCELLI_CACHE_FORCE", "0", 1);
    info.platform_vendor = "Mesa/X.org";
    cr_expect(oce_cache_use_of(&info, "OpenCL 3.0") == OCE_CACHE_UNUSED);
    info.platform_vendor = "Intel";
    info.vendor = "NVIDIA Corporation"; /* the silicon's vendor does not count */
    cr_expect(oce_cache_use_of(&info, "OpenCL 3.0") == OCE_CACHE_AT_ONCE);
    info.platform_name = "Oclgrind";
    cr_expect(oce_cache_use_of(&info, "OpenCL 1.2") == OCE_CACHE_UNUSED);
    info.platform_name = "P";
    setenv("OCELLI_CACHE", "off", 1);
    cr_expect(oce_cache_use_of(&info, "OpenCL 1.2") == OCE_CACHE_UNUSED);
    cr_expect(oce_cache_use_of(&info, "OpenCL 3.0 PoCL 3.1  Linux") == OCE_CACHE_UNUSED);
}

/* A cached file of `size` bytes that is `hours` hours old. */
static void add_file(const char *name, size_t size, int hours) {
    char *data = calloc(size + 1, 1);
    const time_t then = time(NULL) - hours * 3600;
    cr_assert(data != NULL);
    scratch_write(folder, name, data, size);
    cr_assert(utime(scratch_path(folder, name), &(struct utimbuf){then, then}) == 0);
    free(data);
}

static bool is_there(const char *name) {
    return access(scratch_path(folder, name), F_OK) == 0;
}

Test(cache, oldest_files_go_beyond_the_limit) {
    add_file("new.clbin", 100, 1);
    add_file("oldest.clbin", 100, 9);
    add_file("old.clbin", 100, 5);
    add_file("foreign.txt", 10000, 20);
    oce_cache_trim(folder, 300);
    cr_expect(is_there("oldest.clbin"), "300 bytes are allowed");
    oce_cache_trim(folder, 299);
    cr_expect(!is_there("oldest.clbin") && is_there("old.clbin") && is_there("new.clbin"));
    oce_cache_trim(folder, 0);
    cr_expect(!is_there("old.clbin") && !is_there("new.clbin"));
    cr_expect(is_there("foreign.txt"));
    oce_cache_trim("/no/such/folder", 0);
}

Test(cache, leftovers_of_killed_writers_go_after_a_while) {
    add_file("a.clbin.1-0.ocelli-tmp", 10, 2);
    add_file("b.clbin.2-0.ocelli-tmp", 10, 0); /* perhaps being written */
    add_file("c.index.3-0.ocelli-tmp", 10, 2); /* not of the cache */
    oce_cache_trim(folder, 1000);
    cr_expect(!is_there("a.clbin.1-0.ocelli-tmp") && is_there("b.clbin.2-0.ocelli-tmp"));
    cr_expect(is_there("c.index.3-0.ocelli-tmp"));
}

Test(cache, processes_do_not_disturb_each_other) {
    enum { WRITERS = 4, TIMES = 25 };
    oce_bytes key = simple_key();
    pid_t writers[WRITERS];
    store(&key, "0000");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        cr_assert(writers[i] >= 0);
        if (writers[i] == 0) {
            char text[8];
            snprintf(text, sizeof text, "%d%d%d%d", i, i, i, i);
            for (int j = 0; j < TIMES; j++)
                store(&key, text);
            _exit(0);
        }
    }
    for (int j = 0; j < 500; j++) {
        const char *text = loaded(&key);
        cr_assert(strlen(text) == 4 && text[0] == text[1] && text[0] == text[3], "\"%s\"", text);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        cr_assert(waitpid(writers[i], &status, 0) == writers[i] && status == 0);
    }
    cr_expect(scratch_count(cache, NULL) == 1, "no temporary file is left");
    oce_bytes_finish(&key);
}

/* ---- With a real driver, PoCL too ---------------------------------------------------------- */

/* Builds the kernel file "give.cl" on a new device and returns what its kernel stores. */
static int run_give(void) {
    oce_device *device = test_open_device();
    oce_kernel *kernel = NULL;
    oce_buffer *buffer = NULL;
    cl_int value = 0;
    TEST_OK(oce_kernel_get(device, "give.cl", "give", NULL, &kernel));
    TEST_OK(oce_buffer_create(device, sizeof value, &buffer));
    const oce_arg args[] = {oce_arg_buffer(buffer)};
    TEST_OK(oce_launch(kernel, oce_range_groups(1, 1, 1), args, 1));
    TEST_OK(oce_buffer_read(buffer, 0, &value, sizeof value));
    oce_buffer_destroy(buffer);
    TEST_OK(oce_device_store_programs(device, 0));
    cr_expect(oce_device_unstored_programs(device) == 0);
    oce_device_close(device);
    return value;
}

static void write_kernels(const char *value) {
    char text[128];
    snprintf(text, sizeof text, "__kernel void give(__global int *out) { out[0] = %s; }\n", value);
    scratch_write_text(folder, "common.cl.h", "");
    scratch_write_text(folder, "give.cl", text);
    setenv("OCELLI_KERNELS", folder, 1);
    setenv("OCELLI_CACHE_FORCE", "1", 1);
}

/* The name of the only cached file. */
static char *cached_name(void) {
    char *name = NULL;
    DIR *stream = opendir(cache);
    cr_assert(stream != NULL);
    for (const struct dirent *entry; name == NULL && (entry = readdir(stream)) != NULL;)
        if (strstr(entry->d_name, ".clbin") != NULL)
            name = strdup(entry->d_name);
    closedir(stream);
    cr_assert(name != NULL, "nothing is cached");
    return name;
}

Test(cache, program_comes_from_the_cache) {
    write_kernels("41");
    cr_expect(run_give() == 41);
    cr_assert(scratch_count(cache, NULL) == 1);
    cr_expect(run_give() == 41);
    cr_expect(scratch_count(cache, NULL) == 1);
    write_kernels("42"); /* another source, another entry */
    cr_expect(run_give() == 42);
    cr_expect(scratch_count(cache, NULL) == 2);
}

Test(cache, program_of_the_cache_is_what_runs) {
    /* the binary of one program is stored under the key of another: the second then runs the first,
     * which shows that nothing was built */
    write_kernels("1");
    cr_expect(run_give() == 1);
    char *first = cached_name();
    size_t first_size = 0, size = 0;
    char *first_file = scratch_read(cache, first, &first_size);
    cr_assert(remove(scratch_path(cache, first)) == 0);
    write_kernels("2");
    cr_expect(run_give() == 2);
    char *second = cached_name();
    char *file = scratch_read(cache, second, &size);
    oce_bytes key = {0};
    uint64_t key_size = 0, first_key_size = 0;
    memcpy(&key_size, file + 8, 8);
    memcpy(&first_key_size, first_file + 8, 8);
    oce_bytes_append(&key, file + 16, (size_t)key_size);
    const size_t start = 16 + (size_t)first_key_size + 8;
    oce_cache_store(&key, first_file + start, first_size - start - 4);
    cr_expect(run_give() == 1, "the cached binary was not used");
    oce_bytes_finish(&key);
    free(first);
    free(first_file);
    free(second);
    free(file);
}

Test(cache, binary_that_the_driver_refuses_is_replaced) {
    oce_device *device = test_open_device();
    const bool is_mesa = strstr(oce_device_get_info(device)->platform_vendor, "Mesa") != NULL;
    oce_device_close(device);
    if (is_mesa)
        cr_skip_test("Mesa's rusticl ends the process instead of refusing a binary");
    write_kernels("43");
    cr_expect(run_give() == 43);
    char *name = cached_name();
    size_t size = 0, new_size = 0;
    char *file = scratch_read(cache, name, &size);
    oce_bytes key = {0};
    uint64_t key_size = 0;
    memcpy(&key_size, file + 8, 8);
    oce_bytes_append(&key, file + 16, (size_t)key_size);
    store(&key, "this is no program");
    cr_expect(run_give() == 43);
    char *new_file = scratch_read(cache, name, &new_size);
    cr_expect(new_size > (size_t)key_size + 200 || new_size == size, "%zu bytes", new_size);
    oce_bytes_finish(&key);
    free(name);
    free(file);
    free(new_file);
}

Test(cache, switched_off_nothing_is_stored) {
    write_kernels("44");
    setenv("OCELLI_CACHE", "off", 1);
    cr_expect(run_give() == 44);
    cr_expect(access(cache, F_OK) != 0);
}

/* Where giving a program away is slow, it is stored when the caller says so, and not before. */
Test(cache, slow_drivers_store_on_demand) {
    write_kernels("45");
    unsetenv("OCELLI_CACHE_FORCE");
    oce_device *device = test_open_device();
    oce_kernel *kernel = NULL;
    if (strstr(oce_device_get_info(device)->platform_name, "Portable Computing Language") == NULL)
        cr_skip_test("only PoCL is known for it");
    TEST_OK(oce_kernel_get(device, "give.cl", "give", NULL, &kernel));
    cr_expect(oce_device_unstored_programs(device) == 1);
    cr_expect(access(cache, F_OK) != 0);
    oce_defines defines = {0};
    for (int i = 0; i < 3; i++) {
        oce_define(&defines, "ANOTHER", i);
        TEST_OK(oce_kernel_get(device, "give.cl", "give", &defines, &kernel));
    }
    cr_expect(oce_device_new_programs(device) == 4);
    setenv("OCELLI_CACHE", "/proc/no/such/place", 1);
    cr_expect_neq(oce_device_store_programs(device, INFINITY), OCE_OK);
    cr_expect(oce_device_unstored_programs(device) == 4, "none could be kept");
    setenv("OCELLI_CACHE", cache, 1);
    TEST_OK(oce_device_store_programs(device,
                                      0)); /* one, and of the others, as the time is over, a note */
    cr_expect(oce_device_unstored_programs(device) == 3 && scratch_count(cache, NULL) == 4);
    cr_expect(oce_device_new_programs(device) == 0);
    oce_device_close(device);
    device = test_open_device();
    for (int i = 0; i < 4; i++) {
        defines = i == 0 ? (oce_defines){0} : defines;
        TEST_OK(oce_kernel_get(device, "give.cl", "give", &defines, &kernel));
        oce_define(&defines, "ANOTHER", i);
    }
    cr_expect(oce_device_unstored_programs(device) == 3, "their binaries are not there yet");
    cr_expect(oce_device_new_programs(device) == 0, "the driver has them all");
    oce_define(&defines, "YET_ANOTHER", 1);
    TEST_OK(oce_kernel_get(device, "give.cl", "give", &defines, &kernel));
    cr_expect(oce_device_new_programs(device) == 1);
    TEST_OK(oce_device_store_programs(device, INFINITY));
    cr_expect(oce_device_unstored_programs(device) == 0 && scratch_count(cache, NULL) == 5);
    oce_device_close(device);
    device = test_open_device();
    TEST_OK(oce_kernel_get(device, "give.cl", "give", NULL, &kernel));
    cr_expect(oce_device_unstored_programs(device) == 0, "it came from the cache");
    oce_device_close(device);
}
