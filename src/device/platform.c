/* Enumeration that survives broken drivers: what fails is listed with its problem. */
#include "device/platform.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *oce_device_type_name(oce_device_type type) {
    switch (type) {
    case OCE_DEVICE_CPU:
        return "CPU";
    case OCE_DEVICE_GPU:
        return "GPU";
    case OCE_DEVICE_ACCELERATOR:
        return "accelerator";
    case OCE_DEVICE_OTHER:
        break;
    }
    return "other";
}

/* Grows an array of `count` elements by one zeroed element; false if there is no memory. */
static bool grow(void **array, size_t count, size_t size) {
    void *bigger = realloc(*array, (count + 1) * size);
    if (bigger == NULL)
        return false;
    memset((char *)bigger + count * size, 0, size);
    *array = bigger;
    return true;
}

/* Hands a heap string to the list, which frees it; NULL stays NULL. */
static const char *keep(oce_device_list *list, char *text) {
    if (text == NULL || !grow((void **)&list->strings, list->string_count, sizeof(char *))) {
        free(text);
        return NULL;
    }
    list->strings[list->string_count++] = text;
    return text;
}

static const char *keep_format(oce_device_list *list, const char *format, ...) OCE_PRINTF(2, 3);

static const char *keep_format(oce_device_list *list, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *copy = malloc(strlen(text) + 1);
    if (copy != NULL)
        strcpy(copy, text);
    return keep(list, copy);
}

/* Drivers pad names with blanks, before and after. */
static void trim(char *text) {
    size_t start = strspn(text, " \t\n");
    memmove(text, text + start, strlen(text + start) + 1);
    size_t end = strlen(text);
    while (end > 0 && strchr(" \t\n", text[end - 1]) != NULL)
        end--;
    text[end] = '\0';
}

static const char *platform_string(oce_device_list *list, cl_platform_id id,
                                   cl_platform_info what) {
    size_t bytes = 0;
    char *text = NULL;
    if (clGetPlatformInfo(id, what, 0, NULL, &bytes) == CL_SUCCESS)
        text = calloc(bytes + 1, 1);
    if (text != NULL && clGetPlatformInfo(id, what, bytes, text, NULL) == CL_SUCCESS)
        trim(text);
    const char *kept = keep(list, text);
    return kept != NULL ? kept : "";
}

static const char *device_string(oce_device_list *list, cl_device_id id, cl_device_info what) {
    size_t bytes = 0;
    char *text = NULL;
    if (clGetDeviceInfo(id, what, 0, NULL, &bytes) == CL_SUCCESS)
        text = calloc(bytes + 1, 1);
    if (text != NULL && clGetDeviceInfo(id, what, bytes, text, NULL) == CL_SUCCESS)
        trim(text);
    const char *kept = keep(list, text);
    return kept != NULL ? kept : "";
}

/* A number that the driver keeps to itself counts as 0. */
#define DEVICE_NUMBER(type, id, what, fallback) device_number_##type(id, what, fallback)
#define DEFINE_DEVICE_NUMBER(type)                                                                 \
    static type device_number_##type(cl_device_id id, cl_device_info what, type fallback) {        \
        type value = fallback;                                                                     \
        if (clGetDeviceInfo(id, what, sizeof value, &value, NULL) != CL_SUCCESS)                   \
            value = fallback;                                                                      \
        return value;                                                                              \
    }
DEFINE_DEVICE_NUMBER(cl_uint)
DEFINE_DEVICE_NUMBER(cl_ulong)
DEFINE_DEVICE_NUMBER(cl_bool)
DEFINE_DEVICE_NUMBER(size_t)
DEFINE_DEVICE_NUMBER(cl_device_type)
DEFINE_DEVICE_NUMBER(cl_device_local_mem_type)
DEFINE_DEVICE_NUMBER(cl_device_fp_config)

static oce_device_type type_of(cl_device_type type) {
    if (type & CL_DEVICE_TYPE_GPU)
        return OCE_DEVICE_GPU;
    if (type & CL_DEVICE_TYPE_CPU)
        return OCE_DEVICE_CPU;
    if (type & CL_DEVICE_TYPE_ACCELERATOR)
        return OCE_DEVICE_ACCELERATOR;
    return OCE_DEVICE_OTHER;
}

static const char *problem_of(oce_device_list *list, cl_device_id id, const char *version) {
    int major = 0, minor = 0;
    if (!DEVICE_NUMBER(cl_bool, id, CL_DEVICE_AVAILABLE, CL_FALSE))
        return "the driver says that the device is not available";
    if (!DEVICE_NUMBER(cl_bool, id, CL_DEVICE_COMPILER_AVAILABLE, CL_FALSE))
        return "the driver has no compiler for OpenCL C";
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2)
        return keep_format(list, "its version \"%s\" is not an OpenCL version", version);
    if (major * 10 + minor < 12)
        return keep_format(list, "it offers OpenCL %d.%d, at least 1.2 is needed", major, minor);
    if (!DEVICE_NUMBER(cl_bool, id, CL_DEVICE_ENDIAN_LITTLE, CL_FALSE))
        return "it is big-endian";
    return NULL;
}

/* OCELLI_DEVICE_CLASS and OCELLI_VECTOR_WIDTH, with which tests run the kernels for other devices
 * on any driver. */
static oce_status read_forced(oce_device_list *list) {
    const char *class = getenv("OCELLI_DEVICE_CLASS"), *width = getenv("OCELLI_VECTOR_WIDTH");
    if (class != NULL && class[0] != '\0') {
        OCE_REQUIRE(strcmp(class, "cpu") == 0 || strcmp(class, "gpu") == 0,
                    OCE_ERROR_INVALID_ARGUMENT, "OCELLI_DEVICE_CLASS is \"%s\", not cpu or gpu",
                    class);
        list->forced_class = class[0];
    }
    if (width != NULL && width[0] != '\0') {
        OCE_REQUIRE(strcmp(width, "4") == 0 || strcmp(width, "8") == 0 || strcmp(width, "16") == 0,
                    OCE_ERROR_INVALID_ARGUMENT, "OCELLI_VECTOR_WIDTH is \"%s\", not 4, 8 or 16",
                    width);
        list->forced_width = (unsigned)strtoul(width, NULL, 10);
    }
    return OCE_OK;
}

/* Which kernels the device gets: those for CPUs, or those for GPUs. */
static bool wants_cpu_kernels(const oce_device_list *list, const oce_device_info *info) {
    return list->forced_class != 0 ? list->forced_class == 'c' : info->type == OCE_DEVICE_CPU;
}

/* CPUs: the native vector width, at least 4 and at most 16, which can be forced lower only. */
static unsigned kernel_vector_width(const oce_device_list *list, const oce_device_info *info) {
    unsigned width = 4;
    if (!info->cpu_kernels)
        return width;
    while (width < 16 && width * 2 <= info->vector_width)
        width *= 2;
    return list->forced_width > 0 && list->forced_width < width ? list->forced_width : width;
}

/* OpenCL does not tell how many vector registers a CPU has: 32 with AVX-512, for narrower vectors
 * too, and on the machines named here; 16 elsewhere. */
static unsigned vector_registers(const oce_device_info *info) {
#if defined __aarch64__ || defined _M_ARM64 || defined __powerpc64__ || defined __riscv ||         \
    defined __loongarch__ || defined __s390x__
    (void)info;
    return 32;
#else
    return info->vector_width >= 16 ? 32 : 16;
#endif
}

/* The most items of a group along each dimension, of which the driver may have more than three. */
static void get_work_items(cl_device_id id, oce_device_info *info) {
    size_t items[16] = {0};
    const cl_uint dimensions = DEVICE_NUMBER(cl_uint, id, CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, 0);
    const bool is_known = dimensions >= 3 && dimensions <= 16 &&
                          clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES,
                                          dimensions * sizeof(size_t), items, NULL) == CL_SUCCESS;
    for (int i = 0; i < 3; i++) {
        const uint64_t most = is_known && items[i] > 0 ? items[i] : 1;
        info->max_work_items[i] =
            most < info->max_work_group_size ? most : info->max_work_group_size;
    }
}

static oce_status add_device(oce_device_list *list, int platform, cl_platform_id platform_id,
                             int index, cl_device_id id) {
    OCE_REQUIRE(grow((void **)&list->devices, (size_t)list->device_count, sizeof *list->devices),
                OCE_ERROR_HOST_MEMORY, "no memory for a list of %d devices",
                list->device_count + 1);
    oce_device_entry *entry = &list->devices[list->device_count++];
    const oce_platform_info *of = &list->platforms[platform];
    oce_device_info *info = &entry->info;
    entry->platform = platform_id;
    entry->id = id;
    info->platform = platform;
    info->index = index;
    info->type = type_of(DEVICE_NUMBER(cl_device_type, id, CL_DEVICE_TYPE, 0));
    info->name = device_string(list, id, CL_DEVICE_NAME);
    info->vendor = device_string(list, id, CL_DEVICE_VENDOR);
    info->platform_name = of->name;
    info->platform_vendor = of->vendor;
    info->driver_version = device_string(list, id, CL_DRIVER_VERSION);
    info->device_version = device_string(list, id, CL_DEVICE_VERSION);
    info->compute_units = DEVICE_NUMBER(cl_uint, id, CL_DEVICE_MAX_COMPUTE_UNITS, 0);
    info->clock_mhz = DEVICE_NUMBER(cl_uint, id, CL_DEVICE_MAX_CLOCK_FREQUENCY, 0);
    info->vector_width = DEVICE_NUMBER(cl_uint, id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 1);
    info->memory_bytes = DEVICE_NUMBER(cl_ulong, id, CL_DEVICE_GLOBAL_MEM_SIZE, 0);
    info->largest_allocation = DEVICE_NUMBER(cl_ulong, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 0);
    info->local_memory_bytes = DEVICE_NUMBER(cl_ulong, id, CL_DEVICE_LOCAL_MEM_SIZE, 0);
    info->max_work_group_size = DEVICE_NUMBER(size_t, id, CL_DEVICE_MAX_WORK_GROUP_SIZE, 1);
    get_work_items(id, info);
    info->local_memory_is_real = DEVICE_NUMBER(cl_device_local_mem_type, id,
                                               CL_DEVICE_LOCAL_MEM_TYPE, CL_GLOBAL) == CL_LOCAL;
    info->unified_memory = DEVICE_NUMBER(cl_bool, id, CL_DEVICE_HOST_UNIFIED_MEMORY, CL_FALSE);
    info->has_fast_fma =
        (DEVICE_NUMBER(cl_device_fp_config, id, CL_DEVICE_SINGLE_FP_CONFIG, 0) & CL_FP_FMA) != 0;
    info->has_images = DEVICE_NUMBER(cl_bool, id, CL_DEVICE_IMAGE_SUPPORT, CL_FALSE);
    info->extensions = device_string(list, id, CL_DEVICE_EXTENSIONS);
    oce_caps_apply(&list->caps, info);
    info->cpu_kernels = wants_cpu_kernels(list, info);
    info->kernel_vector_width = kernel_vector_width(list, info);
    info->vector_registers = vector_registers(info);
    info->selector = keep_format(list, "%d:%d", platform, index);
    info->problem = problem_of(list, id, info->device_version);
    OCE_REQUIRE(info->selector != NULL, OCE_ERROR_HOST_MEMORY, "no memory for device names");
    return OCE_OK;
}

/* Mesa's rusticl offers nothing until it is told to. */
static const char *empty_platform_problem(const oce_platform_info *info) {
    if (strstr(info->name, "rusticl") != NULL)
        return "no device; rusticl offers one only if the environment variable RUSTICL_ENABLE "
               "names "
               "its driver (radeonsi, iris, llvmpipe ...)";
    return "no device";
}

static oce_status add_platform(oce_device_list *list, int index, cl_platform_id id) {
    OCE_REQUIRE(
        grow((void **)&list->platforms, (size_t)list->platform_count, sizeof *list->platforms),
        OCE_ERROR_HOST_MEMORY, "no memory for a list of %d platforms", list->platform_count + 1);
    oce_platform_info *info = &list->platforms[list->platform_count++];
    info->name = platform_string(list, id, CL_PLATFORM_NAME);
    info->vendor = platform_string(list, id, CL_PLATFORM_VENDOR);
    info->version = platform_string(list, id, CL_PLATFORM_VERSION);
    cl_uint count = 0;
    cl_int code = clGetDeviceIDs(id, CL_DEVICE_TYPE_ALL, 0, NULL, &count);
    if (code == CL_DEVICE_NOT_FOUND || (code == CL_SUCCESS && count == 0)) {
        info->problem = empty_platform_problem(info);
        return OCE_OK;
    }
    cl_device_id *ids = code == CL_SUCCESS ? calloc(count, sizeof *ids) : NULL;
    if (ids != NULL)
        code = clGetDeviceIDs(id, CL_DEVICE_TYPE_ALL, count, ids, NULL);
    if (code != CL_SUCCESS) {
        info->problem = keep_format(list, "listing its devices failed: %s (%d)",
                                    oce_opencl_error(code), (int)code);
        free(ids);
        return OCE_OK;
    }
    OCE_REQUIRE(ids != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %u device ids", count);
    info->devices = (int)count;
    oce_status status = OCE_OK;
    for (cl_uint i = 0; i < count && status == OCE_OK; i++)
        status = add_device(list, index, id, (int)i, ids[i]);
    free(ids);
    return status;
}

static oce_status enumerate(oce_device_list *list) {
    cl_uint count = 0;
    cl_int code = clGetPlatformIDs(0, NULL, &count);
    if (code != CL_SUCCESS || count == 0)
        return OCE_OK; /* CL_PLATFORM_NOT_FOUND_KHR, or a loader without any driver */
    cl_platform_id *ids = calloc(count, sizeof *ids);
    OCE_REQUIRE(ids != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %u platform ids", count);
    code = clGetPlatformIDs(count, ids, NULL);
    oce_status status = OCE_OK;
    for (cl_uint i = 0; code == CL_SUCCESS && i < count && status == OCE_OK; i++)
        status = add_platform(list, (int)i, ids[i]);
    free(ids);
    return status;
}

oce_status oce_device_list_create(oce_device_list **result) {
    *result = NULL;
    oce_device_list *list = calloc(1, sizeof *list);
    OCE_REQUIRE(list != NULL, OCE_ERROR_HOST_MEMORY, "no memory for the device list");
    oce_status status = oce_caps_parse(getenv("OCELLI_CAP"), &list->caps);
    if (status == OCE_OK)
        status = read_forced(list);
    if (status == OCE_OK)
        status = enumerate(list);
    if (status != OCE_OK) {
        oce_device_list_destroy(list);
        return status;
    }
    *result = list;
    return OCE_OK;
}

void oce_device_list_destroy(oce_device_list *list) {
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->string_count; i++)
        free(list->strings[i]);
    free(list->strings);
    free(list->devices);
    free(list->platforms);
    free(list);
}

int oce_device_list_platforms(const oce_device_list *list) {
    return list->platform_count;
}

const oce_platform_info *oce_device_list_platform(const oce_device_list *list, int index) {
    return index >= 0 && index < list->platform_count ? &list->platforms[index] : NULL;
}

int oce_device_list_count(const oce_device_list *list) {
    return list->device_count;
}

const oce_device_info *oce_device_list_get(const oce_device_list *list, int index) {
    return index >= 0 && index < list->device_count ? &list->devices[index].info : NULL;
}
