/* Building programs: sources by name, one build per set of options, readable errors. */
#include "device/cache.h"
#include "device/embedded.h"
#include "device/internal.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char common_file[] = "common.cl.h";
enum { LARGEST_KERNEL_FILE = 1 << 24 };

void oce_define(oce_defines *defines, const char *name, int64_t value) {
    const size_t room = sizeof defines->text - defines->length;
    const int written =
        snprintf(defines->text + defines->length, room, " -D%s=%lld", name, (long long)value);
    if (written < 0 || (size_t)written >= room)
        defines->is_full = true;
    else
        defines->length += (size_t)written;
}

static char *copy_text(const char *text) {
    char *copy = malloc(strlen(text) + 1);
    if (copy != NULL)
        strcpy(copy, text);
    return copy;
}

/* Reads DIR/file as text; the caller frees it. */
static oce_status read_kernel_file(const char *directory, const char *file, char **text) {
    char path[1024];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, file);
    OCE_REQUIRE(length > 0 && (size_t)length < sizeof path, OCE_ERROR_INVALID_ARGUMENT,
                "OCELLI_KERNELS: the path of %s is longer than %zu characters", file,
                sizeof path - 1);
    oce_bytes bytes = {0};
    const oce_status status = oce_file_read(path, LARGEST_KERNEL_FILE, &bytes);
    if (status != OCE_OK) {
        oce_bytes_finish(&bytes);
        return oce_fail_prefix(status, "kernel file (OCELLI_KERNELS)");
    }
    *text = copy_text(oce_bytes_string(&bytes));
    oce_bytes_finish(&bytes);
    OCE_REQUIRE(*text != NULL, OCE_ERROR_HOST_MEMORY, "no memory for kernel file %s", path);
    return OCE_OK;
}

/* The text of a kernel file: of the folder OCELLI_KERNELS if set, else as built in. */
static oce_status kernel_source(const char *file, char **text) {
    const char *directory = getenv("OCELLI_KERNELS");
    if (directory != NULL && directory[0] != '\0')
        return read_kernel_file(directory, file, text);
    for (const oce_embedded_file *embedded = oce_embedded_files; embedded->name != NULL; embedded++)
        if (strcmp(embedded->name, file) == 0) {
            *text = copy_text(embedded->text);
            OCE_REQUIRE(*text != NULL, OCE_ERROR_HOST_MEMORY, "no memory for kernel file %s", file);
            return OCE_OK;
        }
    return oce_fail(OCE_ERROR_NOT_FOUND, "there is no kernel file \"%s\"", file);
}

/* The first line of the log that speaks of an error, or its first line. */
static void first_error_line(const char *log, char *line, size_t bytes) {
    const char *at = strstr(log, "error");
    const char *start = at != NULL ? at : log + strspn(log, " \n\t");
    while (at != NULL && start > log && start[-1] != '\n')
        start--;
    snprintf(line, bytes, "%.*s", (int)strcspn(start, "\n"), start);
}

static oce_status build_failed(const oce_device *device, cl_program program, cl_int code,
                               const char *file, const char *options) {
    size_t bytes = 0;
    char line[400] = "no log";
    clGetProgramBuildInfo(program, device->entry->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes);
    char *log = calloc(bytes + 1, 1);
    if (log != NULL && bytes > 1 &&
        clGetProgramBuildInfo(program, device->entry->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL) ==
            CL_SUCCESS)
        first_error_line(log, line, sizeof line);
    free(log);
    return oce_fail(OCE_ERROR_BUILD, "building %s with \"%s\" on \"%s\": %s (%d): %s", file,
                    options, device->entry->info.name, oce_opencl_error(code), (int)code, line);
}

/* Builds `program`, which is released if that fails. */
static oce_status build(const oce_device *device, cl_program program, const char *file,
                        const char *options, cl_program *result) {
    const cl_int code = oce_fault_names_have(&device->fault.build, file)
                            ? CL_BUILD_PROGRAM_FAILURE
                            : clBuildProgram(program, 1, &device->entry->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        const oce_status status = build_failed(device, program, code, file, options);
        clReleaseProgram(program);
        return status;
    }
    *result = program;
    return OCE_OK;
}

static oce_status build_binary(const oce_device *device, const oce_bytes *binary, const char *file,
                               const char *options, cl_program *result) {
    cl_int code = CL_SUCCESS, binary_code = CL_SUCCESS;
    const unsigned char *data = binary->data;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->entry->id,
                                                   &binary->size, &data, &binary_code, &code);
    if (code == CL_SUCCESS && binary_code != CL_SUCCESS) {
        clReleaseProgram(program);
        code = binary_code;
    }
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "creating program %s from a cached binary", file);
    return build(device, program, file, options, result);
}

static void store_binary(cl_program program, const oce_bytes *key) {
    size_t size = 0; /* the program has one device */
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) !=
            CL_SUCCESS ||
        size == 0)
        return;
    unsigned char *binary = malloc(size);
    if (binary != NULL &&
        clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        oce_cache_store(key, binary, size);
    free(binary);
}

/* Builds from the cache if the binary is there and the driver takes it, else from the sources. */
static oce_status build_sources(const oce_device *device, const char *const *sources, int count,
                                const char *file, const char *options, cl_program *result) {
    const oce_device_info *info = &device->entry->info;
    const char *platform_version = device->list->platforms[info->platform].version;
    oce_bytes key = {0}, binary = {0};
    if (oce_cache_is_wanted(info, platform_version))
        oce_cache_key(info, platform_version, options, sources, count, &key);
    const bool is_cached = oce_cache_load(&key, &binary) &&
                           build_binary(device, &binary, file, options, result) == OCE_OK;
    oce_status status = OCE_OK;
    if (!is_cached) {
        cl_int code = CL_SUCCESS;
        cl_program program = clCreateProgramWithSource(device->context, (cl_uint)count,
                                                       (const char **)sources, NULL, &code);
        status = code == CL_SUCCESS ? build(device, program, file, options, result)
                                    : oce_opencl_fail(code, "creating program %s", file);
        if (status == OCE_OK && key.size > 0) /* asking for a binary costs PoCL a second build */
            store_binary(*result, &key);
    }
    oce_bytes_finish(&binary);
    oce_bytes_finish(&key);
    return status;
}

/* The name in a kernel file's #include "NAME" line, which is turned into a comment; empty if it has
 * none. Drivers could not find the file: its text goes before the kernel file's. */
static oce_status take_include(char *text, const char *file, char name[64]) {
    static const char directive[] = "\n#include \"";
    name[0] = '\0';
    char *line = strstr(text, directive);
    if (line == NULL)
        return OCE_OK;
    const char *start = line + strlen(directive);
    const size_t length = strcspn(start, "\"\n");
    OCE_REQUIRE(length < 64 && start[length] == '"' && strstr(start, directive) == NULL,
                OCE_ERROR_INVALID_ARGUMENT,
                "kernel file %s: it may include one file, of a name below 64 characters", file);
    memcpy(name, start, length);
    name[length] = '\0';
    line[1] = line[2] = '/';
    return OCE_OK;
}

static oce_status build_program(const oce_device *device, const char *file, const char *options,
                                cl_program *result) {
    char *common = NULL, *text = NULL, *shared = NULL, shared_file[64] = "";
    oce_status status = kernel_source(common_file, &common);
    if (status == OCE_OK)
        status = kernel_source(file, &text);
    if (status == OCE_OK)
        status = take_include(text, file, shared_file);
    if (status == OCE_OK && shared_file[0] != '\0')
        status = kernel_source(shared_file, &shared);
    if (status == OCE_OK) {
        /* the compiler's messages then have the lines of the files */
        char line[128], shared_line[128];
        snprintf(shared_line, sizeof shared_line, "\n#line 1 \"%s\"\n", shared_file);
        snprintf(line, sizeof line, "\n#line 1 \"%.100s\"\n", file);
        const char *const sources[] = {
            "#line 1 \"common.cl.h\"\n",  common, shared != NULL ? shared_line : "",
            shared != NULL ? shared : "", line,   text};
        status = build_sources(device, sources, OCE_COUNT(sources), file, options, result);
    }
    free(common);
    free(text);
    free(shared);
    return status;
}

oce_status oce_program_get(oce_device *device, const char *file, const char *options,
                           const oce_program **result) {
    const size_t key_bytes = strlen(file) + 1 + strlen(options) + 1;
    char *key = malloc(key_bytes);
    oce_program *program = calloc(1, sizeof *program);
    oce_status status = OCE_OK;
    if (key == NULL || program == NULL) {
        status = oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for program %s", file);
    } else {
        snprintf(key, key_bytes, "%s %s", file, options);
        for (const oce_program *p = device->programs; p != NULL; p = p->next)
            if (strcmp(p->key, key) == 0) {
                *result = p;
                free(key);
                free(program);
                return OCE_OK;
            }
        status = build_program(device, file, options, &program->program);
    }
    if (status != OCE_OK) {
        free(key);
        free(program);
        return status;
    }
    program->key = key;
    program->next = device->programs;
    device->programs = program;
    *result = program;
    return OCE_OK;
}

static oce_status create_kernel(oce_device *device, const oce_program *program, const char *name,
                                oce_kernel *kernel) {
    cl_int code = CL_SUCCESS;
    kernel->device = device;
    kernel->program = program;
    kernel->name = copy_text(name);
    OCE_REQUIRE(kernel->name != NULL, OCE_ERROR_HOST_MEMORY, "no memory for kernel %s", name);
    kernel->kernel = clCreateKernel(program->program, name, &code);
    if (code == CL_INVALID_KERNEL_NAME)
        return oce_fail(OCE_ERROR_NOT_FOUND, "program \"%s\" has no kernel %s", program->key, name);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "creating kernel %s of \"%s\"", name, program->key);
    return oce_kernel_query(kernel);
}

static void release_kernel(oce_kernel *kernel) {
    if (kernel->kernel != NULL)
        clReleaseKernel(kernel->kernel);
    free(kernel->name);
    free(kernel);
}

oce_status oce_kernel_get(oce_device *device, const char *file, const char *name,
                          const oce_defines *defines, oce_kernel **result) {
    OCE_REQUIRE(defines == NULL || !defines->is_full, OCE_ERROR_OVERFLOW,
                "the options of %s do not fit into %zu bytes", file, sizeof defines->text);
    char options[sizeof defines->text + 256];
    snprintf(options, sizeof options,
             "-w -cl-std=CL1.2 -cl-denorms-are-zero -DOCE_CPU=%d -DOCE_VECTOR_WIDTH=%d%s%s%s",
             device->limits.is_cpu ? 1 : 0, device->limits.vector_width,
             device->limits.has_fast_fma ? " -DOCE_FAST_FMA=1" : "",
             device->fault.result.at[0][0] != '\0' ? " -cl-kernel-arg-info" : "",
             defines != NULL ? defines->text : "");
    const oce_program *program = NULL;
    OCE_TRY(oce_program_get(device, file, options, &program));
    for (oce_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next)
        if (kernel->program == program && strcmp(kernel->name, name) == 0) {
            *result = kernel;
            return OCE_OK;
        }
    oce_kernel *kernel = calloc(1, sizeof *kernel);
    OCE_REQUIRE(kernel != NULL, OCE_ERROR_HOST_MEMORY, "no memory for kernel %s", name);
    const oce_status status = create_kernel(device, program, name, kernel);
    if (status != OCE_OK) {
        release_kernel(kernel);
        return status;
    }
    kernel->next = device->kernels;
    device->kernels = kernel;
    *result = kernel;
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
    *multiple = 1;
    OCE_TRY(oce_kernel_get(device, "lanes.cl", "lanes", NULL, &kernel));
    *multiple = kernel->group_multiple;
    return OCE_OK;
}

void oce_programs_release(oce_device *device) {
    while (device->kernels != NULL) {
        oce_kernel *next = device->kernels->next;
        release_kernel(device->kernels);
        device->kernels = next;
    }
    while (device->programs != NULL) {
        oce_program *next = device->programs->next;
        clReleaseProgram(device->programs->program);
        free(device->programs->key);
        free(device->programs);
        device->programs = next;
    }
}
