/*
 * Enumeration of platforms and devices on drivers that misbehave: this program has its own
 * clGetPlatformIDs and its kin, which come before those of the OpenCL library.
 */
#include "device/opencl.h"
#include "support/device.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct fake_device {
    const char *name, *version;
    cl_device_type type;
    cl_bool available, compiler, little_endian;
    cl_bool is_mute; /* answers no query at all */
} fake_device;

typedef struct fake_platform {
    const char *name, *vendor, *version; /* NULL: the query fails */
    cl_int code;                         /* of clGetDeviceIDs */
    cl_uint device_count;
    const fake_device *devices;
} fake_platform;

static const fake_platform *platforms;
static cl_uint platform_count;
static cl_int platforms_code;

static cl_int give(const void *value, size_t size, size_t room, void *target, size_t *needed) {
    if (needed != NULL)
        *needed = size;
    if (target == NULL)
        return CL_SUCCESS;
    if (room < size)
        return CL_INVALID_VALUE;
    memcpy(target, value, size);
    return CL_SUCCESS;
}

static cl_int give_text(const char *text, size_t room, void *target, size_t *needed) {
    return text != NULL ? give(text, strlen(text) + 1, room, target, needed) : CL_INVALID_VALUE;
}

CL_API_ENTRY cl_int CL_API_CALL clGetPlatformIDs(cl_uint room, cl_platform_id *ids,
                                                 cl_uint *count) {
    if (count != NULL)
        *count = platform_count;
    for (cl_uint i = 0; ids != NULL && i < room && i < platform_count; i++)
        ids[i] = (cl_platform_id)&platforms[i];
    return platforms_code;
}

CL_API_ENTRY cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id id, cl_platform_info what,
                                                  size_t room, void *target, size_t *needed) {
    const fake_platform *platform = (const fake_platform *)id;
    const char *text = what == CL_PLATFORM_NAME     ? platform->name
                       : what == CL_PLATFORM_VENDOR ? platform->vendor
                                                    : platform->version;
    return give_text(text, room, target, needed);
}

CL_API_ENTRY cl_int CL_API_CALL clGetDeviceIDs(cl_platform_id id, cl_device_type type, cl_uint room,
                                               cl_device_id *ids, cl_uint *count) {
    const fake_platform *platform = (const fake_platform *)id;
    (void)type;
    if (count != NULL)
        *count = platform->device_count;
    for (cl_uint i = 0; ids != NULL && i < room && i < platform->device_count; i++)
        ids[i] = (cl_device_id)&platform->devices[i];
    return platform->code;
}

CL_API_ENTRY cl_int CL_API_CALL clGetDeviceInfo(cl_device_id id, cl_device_info what, size_t room,
                                                void *target, size_t *needed) {
    const fake_device *device = (const fake_device *)id;
    const cl_ulong gigabyte = 1 << 30;
    const cl_uint seven = 7;
    if (device->is_mute)
        return CL_INVALID_DEVICE;
    switch (what) {
    case CL_DEVICE_NAME:
        return give_text(device->name, room, target, needed);
    case CL_DEVICE_VERSION:
        return give_text(device->version, room, target, needed);
    case CL_DEVICE_TYPE:
        return give(&device->type, sizeof device->type, room, target, needed);
    case CL_DEVICE_AVAILABLE:
        return give(&device->available, sizeof(cl_bool), room, target, needed);
    case CL_DEVICE_COMPILER_AVAILABLE:
        return give(&device->compiler, sizeof(cl_bool), room, target, needed);
    case CL_DEVICE_ENDIAN_LITTLE:
        return give(&device->little_endian, sizeof(cl_bool), room, target, needed);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        return give(&seven, sizeof seven, room, target, needed);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
        return give(&gigabyte, sizeof gigabyte, room, target, needed);
    default:
        return CL_INVALID_VALUE;
    }
}

#define USABLE .available = CL_TRUE, .compiler = CL_TRUE, .little_endian = CL_TRUE

static const fake_device good[] = {
    {"  Good  GPU \n", "OpenCL 1.2 driver", CL_DEVICE_TYPE_GPU, USABLE, .is_mute = CL_FALSE},
    {"Good CPU", "OpenCL 3.0", CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_DEFAULT, USABLE,
     .is_mute = CL_FALSE},
};

static oce_device_list *list_fakes(const fake_platform *fakes, cl_uint count, cl_int code) {
    oce_device_list *list = NULL;
    platforms = fakes;
    platform_count = count;
    platforms_code = code;
    TEST_OK(oce_device_list_create(&list));
    return list;
}

static void expect_problem(const char *problem, const char *text) {
    cr_expect(problem != NULL && strstr(problem, text) != NULL, "%s", problem);
}

Test(platform, no_driver_gives_an_empty_list) {
    oce_device_list *list = list_fakes(NULL, 0, CL_PLATFORM_NOT_FOUND_KHR);
    cr_expect(oce_device_list_platforms(list) == 0);
    cr_expect(oce_device_list_count(list) == 0);
    cr_expect(oce_device_list_platform(list, 0) == NULL);
    cr_expect(oce_device_list_get(list, 0) == NULL);
    oce_device_list_destroy(list);
    list = list_fakes(NULL, 0, CL_SUCCESS);
    cr_expect(oce_device_list_platforms(list) == 0);
    oce_device_list_destroy(list);
    oce_device_list_destroy(NULL);
}

Test(platform, properties_are_read_and_names_trimmed) {
    const fake_platform fakes[] = {{" Fake ", "Vendor", "OpenCL 3.0 x", CL_SUCCESS, 2, good}};
    oce_device_list *list = list_fakes(fakes, 1, CL_SUCCESS);
    const oce_platform_info *platform = oce_device_list_platform(list, 0);
    cr_assert(oce_device_list_count(list) == 2);
    cr_expect_str_eq(platform->name, "Fake");
    cr_expect_str_eq(platform->version, "OpenCL 3.0 x");
    cr_expect(platform->devices == 2 && platform->problem == NULL);
    const oce_device_info *gpu = oce_device_list_get(list, 0), *cpu = oce_device_list_get(list, 1);
    cr_expect_str_eq(gpu->name, "Good  GPU");
    cr_expect_str_eq(gpu->selector, "0:0");
    cr_expect_str_eq(gpu->platform_name, "Fake");
    cr_expect_str_eq(gpu->platform_vendor, "Vendor");
    cr_expect_str_eq(gpu->driver_version, ""); /* the driver keeps it to itself */
    cr_expect(gpu->type == OCE_DEVICE_GPU && gpu->problem == NULL);
    cr_expect(gpu->compute_units == 7 && gpu->memory_bytes == 1 << 30);
    cr_expect(gpu->clock_mhz == 0 && gpu->vector_width == 1 && !gpu->local_memory_is_real);
    cr_expect_str_eq(cpu->selector, "0:1");
    cr_expect(cpu->type == OCE_DEVICE_CPU);
    cr_expect(oce_device_list_get(list, 2) == NULL && oce_device_list_get(list, -1) == NULL);
    oce_device_list_destroy(list);
}

Test(platform, broken_platforms_are_listed_beside_working_ones) {
    const fake_platform fakes[] = {
        {NULL, NULL, NULL, CL_INVALID_PLATFORM, 0, NULL},
        {"empty", "v", "OpenCL 1.2", CL_DEVICE_NOT_FOUND, 0, NULL},
        {"rusticl", "Mesa/X.org", "OpenCL 3.0", CL_SUCCESS, 0, NULL},
        {"memory", "v", "OpenCL 1.2", CL_OUT_OF_HOST_MEMORY, 3, NULL},
        {"works", "v", "OpenCL 1.2", CL_SUCCESS, 2, good},
    };
    oce_device_list *list = list_fakes(fakes, 5, CL_SUCCESS);
    cr_assert(oce_device_list_platforms(list) == 5 && oce_device_list_count(list) == 2);
    cr_expect_str_eq(oce_device_list_platform(list, 0)->name, "");
    expect_problem(oce_device_list_platform(list, 0)->problem, "CL_INVALID_PLATFORM (-32)");
    expect_problem(oce_device_list_platform(list, 1)->problem, "no device");
    expect_problem(oce_device_list_platform(list, 2)->problem, "RUSTICL_ENABLE");
    expect_problem(oce_device_list_platform(list, 3)->problem, "CL_OUT_OF_HOST_MEMORY");
    cr_expect(oce_device_list_platform(list, 4)->problem == NULL);
    int index = -1;
    TEST_OK(oce_device_list_select(list, "auto", &index, NULL));
    cr_expect_str_eq(oce_device_list_get(list, index)->selector, "4:0");
    oce_device_list_destroy(list);
}

Test(platform, unusable_devices_are_listed_with_the_reason) {
    const fake_device devices[] = {
        {"old", "OpenCL 1.1 x", CL_DEVICE_TYPE_GPU, USABLE, .is_mute = CL_FALSE},
        {"odd", "Vulkan 1.3", CL_DEVICE_TYPE_GPU, USABLE, .is_mute = CL_FALSE},
        {"off", "OpenCL 1.2", CL_DEVICE_TYPE_GPU, CL_FALSE, CL_TRUE, CL_TRUE, CL_FALSE},
        {"uncompiled", "OpenCL 1.2", CL_DEVICE_TYPE_GPU, CL_TRUE, CL_FALSE, CL_TRUE, CL_FALSE},
        {"big-endian", "OpenCL 1.2", CL_DEVICE_TYPE_GPU, CL_TRUE, CL_TRUE, CL_FALSE, CL_FALSE},
        {.name = "mute", .is_mute = CL_TRUE},
        {"future", "OpenCL 10.0", CL_DEVICE_TYPE_ACCELERATOR, USABLE, .is_mute = CL_FALSE},
    };
    static const char *const problems[] = {"OpenCL 1.1", "Vulkan",        "not available",
                                           "compiler",   "it is big-end", "not available"};
    const fake_platform fakes[] = {{"p", "v", "OpenCL 1.2", CL_SUCCESS, 7, devices}};
    oce_device_list *list = list_fakes(fakes, 1, CL_SUCCESS);
    cr_assert(oce_device_list_count(list) == 7);
    for (int i = 0; i < 6; i++)
        expect_problem(oce_device_list_get(list, i)->problem, problems[i]);
    cr_expect_str_eq(oce_device_list_get(list, 5)->name, "");
    const oce_device_info *future = oce_device_list_get(list, 6);
    cr_expect(future->problem == NULL && future->type == OCE_DEVICE_ACCELERATOR);
    int index = -1;
    cr_expect(oce_device_list_select(list, "gpu", &index, NULL) == OCE_ERROR_NO_DEVICE);
    TEST_OK(oce_device_list_select(list, "auto", &index, NULL));
    cr_expect(index == 6);
    oce_device_list_destroy(list);
}

Test(platform, names_of_types) {
    cr_expect_str_eq(oce_device_type_name(OCE_DEVICE_CPU), "CPU");
    cr_expect_str_eq(oce_device_type_name(OCE_DEVICE_GPU), "GPU");
    cr_expect_str_eq(oce_device_type_name(OCE_DEVICE_ACCELERATOR), "accelerator");
    cr_expect_str_eq(oce_device_type_name(OCE_DEVICE_OTHER), "other");
}
