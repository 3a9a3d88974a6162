/* Kernels, each a program of its own or with those that are used with it: so only what is used is
 * built. One build per set of options, readable errors. */
#include "device/cache.h"
#include "device/internal.h"
#include "device/kernel_source.h"

#include "base/clock.h"
#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 64 };

/* Goes before the other options where common.cl.h declares what the kernels use of the language. */
static const char own_headers[] = "-D_OPENCL_H_ -DOCE_DECLARES_BUILTINS=1 ";

static bool has_own_headers(const oce_device *device) {
    return !device->needs_headers && strstr(oce_device_platform_version(device), "PoCL") != NULL;
}

void oce_define(oce_defines *defines, const char *name, int64_t value) {
    const size_t room = sizeof defines->text - defines->length;
    const int written =
        snprintf(defines->text + defines->length, room, " -D%s=%lld", name, (long long)value);
    if (written < 0 || (size_t)written >= room)
        defines->is_full = true;
    else
        defines->length += (size_t)written;
}

/* The first line of the log that speaks of an error, or its first line. */
static void first_error_line(const char *log, char *line, size_t bytes) {
    const char *at = strstr(log, "error");
    const char *start = at != NULL ? at : log + strspn(log, " \n\t");
    while (at != NULL && start > log && start[-1] != '\n')
        start--;
    snprintf(line, bytes, "%.*s", (int)strcspn(start, "\n"), start);
}

static oce_status build_failed(const oce_kernel *kernel, cl_program program, cl_int code) {
    const oce_device_entry *entry = kernel->device->entry;
    size_t bytes = 0;
    char line[400] = "no log";
    clGetProgramBuildInfo(program, entry->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes);
    char *log = calloc(bytes + 1, 1);
    if (log != NULL && bytes > 1 &&
        clGetProgramBuildInfo(program, entry->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL) ==
            CL_SUCCESS)
        first_error_line(log, line, sizeof line);
    free(log);
    return oce_fail(OCE_ERROR_BUILD, "building %s of %s with \"%s\" on \"%s\": %s (%d): %s",
                    kernel->name, kernel->file, kernel->options, entry->info.name,
                    oce_opencl_error(code), (int)code, line);
}

/* Builds `program`, which is released if that fails. */
static oce_status build(const oce_kernel *kernel, cl_program program, cl_program *result) {
    const oce_device *device = kernel->device;
    const cl_int code =
        oce_fault_names_have(&device->fault.build, kernel->file)
            ? CL_BUILD_PROGRAM_FAILURE
            : clBuildProgram(program, 1, &device->entry->id, kernel->options, NULL, NULL);
    if (code != CL_SUCCESS) {
        const oce_status status = build_failed(kernel, program, code);
        clReleaseProgram(program);
        return status;
    }
    *result = program;
    return OCE_OK;
}

static oce_status build_binary(const oce_kernel *kernel, const oce_bytes *binary,
                               cl_program *result) {
    const oce_device *device = kernel->device;
    cl_int code = CL_SUCCESS, binary_code = CL_SUCCESS;
    const unsigned char *data = binary->data;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->entry->id,
                                                   &binary->size, &data, &binary_code, &code);
    if (code == CL_SUCCESS && binary_code != CL_SUCCESS) {
        clReleaseProgram(program);
        code = binary_code;
    }
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "creating program %s from a cached binary", kernel->file);
    return build(kernel, program, result);
}

/* Errors: as oce_cache_store(). What the driver does not give away is not stored. */
static oce_status store_binary(cl_program program, const oce_bytes *key) {
    size_t size = 0; /* the program has one device */
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) !=
            CL_SUCCESS ||
        size == 0)
        return OCE_OK;
    unsigned char *binary = malloc(size);
    oce_status status = OCE_OK;
    if (binary != NULL &&
        clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        status = oce_cache_store(key, binary, size);
    free(binary);
    return status;
}

static oce_status build_from_source(const oce_kernel *kernel, const oce_kernel_source *source,
                                    cl_program *result) {
    const oce_device *device = kernel->device;
    const char *parts[OCE_KERNEL_SOURCE_PARTS];
    memcpy(parts, source->parts, sizeof parts);
    cl_int code = CL_SUCCESS;
    cl_program program =
        clCreateProgramWithSource(device->context, OCE_KERNEL_SOURCE_PARTS, parts, NULL, &code);
    return code == CL_SUCCESS ? build(kernel, program, result)
                              : oce_opencl_fail(code, "creating program %s", kernel->file);
}

/* The same; with the driver's own headers if it cannot do without, which goes for all other
 * programs then. */
static oce_status build_with_headers(oce_kernel *kernel, const oce_kernel_source *source) {
    oce_device *device = kernel->device;
    const oce_status status = build_from_source(kernel, source, &kernel->program);
    if (status != OCE_ERROR_BUILD || !has_own_headers(device))
        return status;
    kernel->options += strlen(own_headers);
    device->needs_headers = build_from_source(kernel, source, &kernel->program) == OCE_OK;
    return device->needs_headers ? OCE_OK : OCE_ERROR_BUILD;
}

/* The source of a program, and the key that its binary has in the cache, empty if it has none. The
 * caller finishes both in any case. */
static oce_status read_source(const oce_kernel *kernel, oce_kernel_source *source, oce_bytes *key,
                              oce_cache_use *use) {
    const oce_device *device = kernel->device;
    const oce_device_info *info = &device->entry->info;
    const char *platform_version = oce_device_platform_version(device);
    *use = oce_cache_use_of(info, platform_version);
    *key = (oce_bytes){0};
    OCE_TRY(oce_kernel_source_read(kernel->file, kernel->names, source));
    if (*use != OCE_CACHE_UNUSED)
        oce_cache_key(info, platform_version, kernel->options, source->parts,
                      OCE_KERNEL_SOURCE_PARTS, key);
    return OCE_OK;
}

/* Builds kernel->program: from the cache if the binary is there and the driver takes it, else from
 * the source. */
static oce_status build_program(oce_kernel *kernel) {
    oce_kernel_source source;
    oce_cache_use use = OCE_CACHE_UNUSED;
    oce_bytes key = {0}, binary = {0};
    oce_status status = read_source(kernel, &source, &key, &use);
    const bool is_known = status == OCE_OK && oce_cache_load(&key, &binary);
    const bool is_cached =
        is_known && binary.size > 0 && build_binary(kernel, &binary, &kernel->program) == OCE_OK;
    if (status == OCE_OK && !is_cached)
        status = build_with_headers(kernel, &source);
    if (status == OCE_OK && !is_cached && use == OCE_CACHE_AT_ONCE)
        (void)store_binary(kernel->program, &key); /* the next process compiles it again */
    if (status == OCE_OK && !is_cached && use == OCE_CACHE_ON_DEMAND) {
        kernel->unstored = key;
        kernel->is_new = !is_known;
        key = (oce_bytes){0};
    }
    oce_kernel_source_finish(&source);
    oce_bytes_finish(&binary);
    oce_bytes_finish(&key);
    return status;
}

/* Creates kernel->kernel of kernel->program. */
static oce_status create_kernel(oce_kernel *kernel) {
    cl_int code = CL_SUCCESS;
    kernel->kernel = clCreateKernel(kernel->program, kernel->name, &code);
    if (code == CL_INVALID_KERNEL_NAME)
        return oce_fail(OCE_ERROR_NOT_FOUND, "kernel file %s has no kernel %s", kernel->file,
                        kernel->name);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "creating kernel %s of %s", kernel->name, kernel->file);
    return oce_kernel_query(kernel);
}

static void release_kernel(oce_kernel *kernel) {
    if (kernel == NULL)
        return;
    if (kernel->kernel != NULL)
        clReleaseKernel(kernel->kernel);
    if (kernel->program != NULL)
        clReleaseProgram(kernel->program);
    oce_bytes_finish(&kernel->unstored);
    free(kernel->file);
    free(kernel->name);
    free(kernel->names);
    free(kernel->build);
    free(kernel);
}

static oce_status name_kernel(oce_kernel *kernel, const char *file, const char *name,
                              const char *options) {
    OCE_TRY(oce_text_copy(file, &kernel->file));
    OCE_TRY(oce_text_copy(name, &kernel->name));
    OCE_TRY(oce_text_format(&kernel->build, "%s %s", file, options));
    kernel->options = kernel->build + strlen(file) + 1;
    return OCE_OK;
}

oce_status oce_kernel_build(oce_kernel *kernel) {
    if (kernel->first == NULL) {
        OCE_TRY(build_program(kernel));
    } else {
        clRetainProgram(kernel->first->program);
        kernel->program = kernel->first->program;
    }
    return create_kernel(kernel);
}

/* Builds a new kernel, or in a rehearsal lets it allow what the device does. */
static oce_status start_kernel(oce_kernel *kernel) {
    if (!kernel->device->rehearsal.holds_builds)
        return oce_kernel_build(kernel);
    kernel->max_work_group = kernel->device->limits.max_work_group;
    kernel->group_multiple = 1;
    return OCE_OK;
}

static oce_kernel *find_kernel(const oce_device *device, const char *file, const char *name,
                               const char *options) {
    oce_kernel *kernel = device->kernels;
    while (kernel != NULL && (strcmp(kernel->name, name) != 0 || strcmp(kernel->file, file) != 0 ||
                              strcmp(kernel->options, options) != 0))
        kernel = kernel->next;
    return kernel;
}

/* Adds kernel `name` of the program of `first`, or of a new one, which has the kernels `names`, if
 * that is NULL. */
static oce_status add_kernel(oce_device *device, const char *file, const char *name,
                             const char *options, const char *names, oce_kernel *first,
                             oce_kernel **result) {
    oce_kernel *kernel = calloc(1, sizeof *kernel);
    OCE_REQUIRE(kernel != NULL, OCE_ERROR_HOST_MEMORY, "no memory for kernel %s", name);
    kernel->device = device;
    kernel->first = first;
    oce_status status = name_kernel(kernel, file, name, options);
    if (status == OCE_OK && first == NULL)
        status = oce_text_copy(names, &kernel->names);
    if (status == OCE_OK)
        status = start_kernel(kernel);
    if (status != OCE_OK) {
        release_kernel(kernel);
        return status;
    }
    kernel->next = device->kernels;
    device->kernels = kernel;
    *result = kernel;
    return OCE_OK;
}

/* Copies the first of some names between blanks; returns where the next begins. */
static const char *take_name(const char *names, char name[LONGEST_NAME]) {
    const size_t length = strcspn(names, " ");
    snprintf(name, LONGEST_NAME, "%.*s", (int)length, names);
    return names + length + strspn(names + length, " ");
}

oce_status oce_kernel_get(oce_device *device, const char *file, const char *names,
                          const oce_defines *defines, oce_kernel **result) {
    OCE_REQUIRE(defines == NULL || !defines->is_full, OCE_ERROR_OVERFLOW,
                "the options of %s do not fit into %zu bytes", file, sizeof defines->text);
    char options[sizeof defines->text + 256], name[LONGEST_NAME];
    snprintf(options, sizeof options,
             "%s-w -cl-std=CL1.2 -cl-denorms-are-zero -DOCE_CPU=%d -DOCE_VECTOR_WIDTH=%d%s%s%s",
             has_own_headers(device) ? own_headers : "", device->limits.is_cpu ? 1 : 0,
             device->limits.vector_width, device->limits.has_fast_fma ? " -DOCE_FAST_FMA=1" : "",
             device->fault.result.at[0][0] != '\0' ? " -cl-kernel-arg-info" : "",
             defines != NULL ? defines->text : "");
    const char *rest = take_name(names, name);
    *result = find_kernel(device, file, name, options);
    if (*result != NULL)
        return OCE_OK;
    OCE_TRY(add_kernel(device, file, name, options, names, NULL, result));
    while (*rest != '\0') {
        oce_kernel *other = NULL;
        rest = take_name(rest, name);
        if (find_kernel(device, file, name, options) == NULL)
            OCE_TRY(add_kernel(device, file, name, options, names, *result, &other));
    }
    return OCE_OK;
}

size_t oce_kernel_max_group(const oce_kernel *kernel) {
    return kernel->max_work_group;
}

uint64_t oce_kernel_private_bytes(const oce_kernel *kernel) {
    return kernel->private_bytes;
}

oce_status oce_device_group_multiple(oce_device *device, size_t *multiple) {
    oce_kernel *kernel = NULL;
    const bool held = device->rehearsal.holds_builds;
    *multiple = 1;
    device->rehearsal.holds_builds = false; /* the answer decides what is built next */
    const oce_status status = oce_kernel_get(device, "lanes.cl", "lanes", NULL, &kernel);
    device->rehearsal.holds_builds = held;
    if (status == OCE_OK)
        *multiple = kernel->group_multiple;
    return status;
}

int oce_device_unstored_programs(const oce_device *device) {
    int count = 0;
    for (const oce_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next)
        count += kernel->unstored.size > 0;
    return count;
}

/* Whether the driver would have to compile a program that is not built. */
static bool is_unknown(const oce_kernel *kernel) {
    oce_kernel_source source;
    oce_cache_use use = OCE_CACHE_UNUSED;
    oce_bytes key = {0};
    const oce_status status = read_source(kernel, &source, &key, &use);
    const bool is_unknown = status == OCE_OK && use != OCE_CACHE_UNUSED && !oce_cache_has(&key);
    oce_kernel_source_finish(&source);
    oce_bytes_finish(&key);
    return is_unknown;
}

int oce_device_new_programs(const oce_device *device) {
    int count = 0;
    for (const oce_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next)
        count +=
            kernel->program != NULL ? kernel->is_new : kernel->first == NULL && is_unknown(kernel);
    return count;
}

oce_status oce_device_store_programs(oce_device *device, double seconds) {
    const double start = oce_clock_seconds();
    bool is_first = true;
    for (oce_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next) {
        if (kernel->unstored.size == 0)
            continue;
        /* A note that the driver has it; and whether the cache can be written to at all, before the
         * driver takes long to give the program away */
        if (is_first || kernel->is_new)
            OCE_TRY(oce_cache_store(&kernel->unstored, "", 0));
        kernel->is_new = false;
        if (!is_first && oce_clock_seconds() - start >= seconds)
            continue;
        is_first = false;
        const oce_status status = store_binary(kernel->program, &kernel->unstored);
        if (status != OCE_OK && status != OCE_ERROR_OVERFLOW)
            return status;
        oce_bytes_finish(&kernel->unstored);
    }
    return OCE_OK;
}

void oce_kernels_release_unbuilt(oce_device *device) {
    for (oce_kernel **at = &device->kernels; *at != NULL;) {
        oce_kernel *kernel = *at;
        if (kernel->program != NULL) {
            at = &kernel->next;
            continue;
        }
        *at = kernel->next;
        release_kernel(kernel);
    }
}

void oce_kernels_release(oce_device *device) {
    while (device->kernels != NULL) {
        oce_kernel *next = device->kernels->next;
        release_kernel(device->kernels);
        device->kernels = next;
    }
}
