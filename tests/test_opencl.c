/*
 * What is asked of OpenCL: every object that is made is released, also where any one call fails.
 * This program's own clCreateBuffer and its kin count the objects, fail on demand, and pass the
 * call on to the OpenCL library.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "device/internal.h"
#include "support/device.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static int calls;       /* that may fail */
static int failing = 0; /* the number of the one that fails; 0: none */
static int contexts, queues, buffers, programs, kernels, events;
static const cl_int failure = CL_OUT_OF_RESOURCES;

static bool fails_now(void) {
    return ++calls == failing;
}

typedef void (*any_function)(void);

/* The library's own function. */
static any_function next(const char *name) {
    any_function function = NULL;
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL)
        abort();
    memcpy(&function, &symbol, sizeof function); /* ISO C has no cast from void * */
    return function;
}
#define NEXT(name, ...) ((__typeof__(&name))next(#name))(__VA_ARGS__)

/* A call that returns its code. */
#define PASS_CODE(name, parameters, ...)                                                           \
    CL_API_ENTRY cl_int CL_API_CALL name parameters {                                              \
        return fails_now() ? failure : NEXT(name, __VA_ARGS__);                                    \
    }
/* A call that makes an object. */
#define PASS_CREATE(type, name, counter, parameters, ...)                                          \
    CL_API_ENTRY type CL_API_CALL name parameters {                                                \
        if (fails_now()) {                                                                         \
            *code = failure;                                                                       \
            return NULL;                                                                           \
        }                                                                                          \
        type object = NEXT(name, __VA_ARGS__);                                                     \
        counter += object != NULL;                                                                 \
        return object;                                                                             \
    }
#define PASS_RELEASE(name, type, counter)                                                          \
    CL_API_ENTRY cl_int CL_API_CALL name(type object) {                                            \
        counter--;                                                                                 \
        return NEXT(name, object);                                                                 \
    }

PASS_CREATE(cl_context, clCreateContext, contexts,
            (const cl_context_properties *properties, cl_uint count, const cl_device_id *ids,
             void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
             cl_int *code),
            properties, count, ids, notify, user, code)
PASS_CREATE(cl_command_queue, clCreateCommandQueue, queues,
            (cl_context context, cl_device_id id, cl_command_queue_properties properties,
             cl_int *code),
            context, id, properties, code)
PASS_CREATE(cl_mem, clCreateBuffer, buffers,
            (cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code),
            context, flags, size, host, code)
PASS_CREATE(cl_program, clCreateProgramWithSource, programs,
            (cl_context context, cl_uint count, const char **texts, const size_t *lengths,
             cl_int *code),
            context, count, texts, lengths, code)
PASS_CREATE(cl_program, clCreateProgramWithBinary, programs,
            (cl_context context, cl_uint count, const cl_device_id *ids, const size_t *lengths,
             const unsigned char **binaries, cl_int *binary_code, cl_int *code),
            context, count, ids, lengths, binaries, binary_code, code)
PASS_CREATE(cl_kernel, clCreateKernel, kernels,
            (cl_program program, const char *name, cl_int *code), program, name, code)
PASS_RELEASE(clReleaseContext, cl_context, contexts)
PASS_RELEASE(clReleaseCommandQueue, cl_command_queue, queues)
PASS_RELEASE(clReleaseMemObject, cl_mem, buffers)
PASS_RELEASE(clReleaseProgram, cl_program, programs)
PASS_RELEASE(clReleaseKernel, cl_kernel, kernels)
PASS_RELEASE(clReleaseEvent, cl_event, events)
PASS_CODE(clGetPlatformIDs, (cl_uint room, cl_platform_id *ids, cl_uint *count), room, ids, count)
PASS_CODE(clGetDeviceIDs,
          (cl_platform_id platform, cl_device_type type, cl_uint room, cl_device_id *ids,
           cl_uint *count),
          platform, type, room, ids, count)
PASS_CODE(clGetDeviceInfo,
          (cl_device_id id, cl_device_info what, size_t room, void *target, size_t *needed), id,
          what, room, target, needed)
PASS_CODE(clBuildProgram,
          (cl_program program, cl_uint count, const cl_device_id *ids, const char *options,
           void(CL_CALLBACK *notify)(cl_program, void *), void *user),
          program, count, ids, options, notify, user)
PASS_CODE(clGetProgramBuildInfo,
          (cl_program program, cl_device_id id, cl_program_build_info what, size_t room,
           void *target, size_t *needed),
          program, id, what, room, target, needed)
PASS_CODE(clGetProgramInfo,
          (cl_program program, cl_program_info what, size_t room, void *target, size_t *needed),
          program, what, room, target, needed)
PASS_CODE(clGetKernelInfo,
          (cl_kernel kernel, cl_kernel_info what, size_t room, void *target, size_t *needed),
          kernel, what, room, target, needed)
PASS_CODE(clGetKernelWorkGroupInfo,
          (cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what, size_t room,
           void *target, size_t *needed),
          kernel, id, what, room, target, needed)
PASS_CODE(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t size, const void *value), kernel,
          index, size, value)
PASS_CODE(clEnqueueFillBuffer,
          (cl_command_queue queue, cl_mem buffer, const void *pattern, size_t pattern_size,
           size_t offset, size_t size, cl_uint count, const cl_event *waits, cl_event *event),
          queue, buffer, pattern, pattern_size, offset, size, count, waits, event)
PASS_CODE(clEnqueueReadBuffer,
          (cl_command_queue queue, cl_mem buffer, cl_bool wait, size_t offset, size_t size,
           void *target, cl_uint count, const cl_event *waits, cl_event *event),
          queue, buffer, wait, offset, size, target, count, waits, event)
PASS_CODE(clEnqueueWriteBuffer,
          (cl_command_queue queue, cl_mem buffer, cl_bool wait, size_t offset, size_t size,
           const void *data, cl_uint count, const cl_event *waits, cl_event *event),
          queue, buffer, wait, offset, size, data, count, waits, event)
PASS_CODE(clEnqueueCopyBuffer,
          (cl_command_queue queue, cl_mem source, cl_mem target, size_t source_offset,
           size_t target_offset, size_t size, cl_uint count, const cl_event *waits,
           cl_event *event),
          queue, source, target, source_offset, target_offset, size, count, waits, event)
PASS_CODE(clGetEventProfilingInfo,
          (cl_event event, cl_profiling_info what, size_t room, void *target, size_t *needed),
          event, what, room, target, needed)
PASS_CODE(clFlush, (cl_command_queue queue), queue)
PASS_CODE(clFinish, (cl_command_queue queue), queue)

CL_API_ENTRY cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                                       cl_uint dimensions, const size_t *offset,
                                                       const size_t *global, const size_t *local,
                                                       cl_uint count, const cl_event *waits,
                                                       cl_event *event) {
    if (fails_now())
        return failure;
    const cl_int code = NEXT(clEnqueueNDRangeKernel, queue, kernel, dimensions, offset, global,
                             local, count, waits, event);
    events += code == CL_SUCCESS && event != NULL;
    return code;
}

static void expect_nothing_left(void) {
    cr_expect(contexts == 0, "call %d: %d contexts", failing, contexts);
    cr_expect(queues == 0, "call %d: %d queues", failing, queues);
    cr_expect(buffers == 0, "call %d: %d buffers", failing, buffers);
    cr_expect(programs == 0, "call %d: %d programs", failing, programs);
    cr_expect(kernels == 0, "call %d: %d kernels", failing, kernels);
    cr_expect(events == 0, "call %d: %d events", failing, events);
}

static char *folder;

static void set_up(void) {
    folder = scratch_create();
    scratch_write_text(folder, "common.cl.h", "");
    scratch_write_text(folder, "add.cl",
                       "__kernel void add(__global float *x, ulong at, float y) { x[at] += y; }\n");
    setenv("OCELLI_KERNELS", folder, 1);
    setenv("OCELLI_CACHE", scratch_path(folder, "cache"), 1);
    setenv("OCELLI_CACHE_FORCE", "1", 1);
}

static void tear_down(void) {
    scratch_remove(folder);
}

TestSuite(opencl, .init = set_up, .fini = tear_down);

/* Writes 1, adds 2 twice, copies, reads. */
static oce_status compute(oce_device *device, oce_kernel *kernel, const oce_tensor *x,
                          const oce_tensor *y, float *result) {
    const float one = 1;
    const oce_arg args[] = {oce_arg_tensor(x), oce_arg_float(2)};
    OCE_TRY(oce_tensor_write(x, &one));
    OCE_TRY(oce_device_profile_start(device));
    for (int i = 0; i < 2; i++)
        OCE_TRY(oce_launch(kernel, oce_range_groups(1, 1, 1), args, 2));
    OCE_TRY(oce_buffer_copy(x->buffer, 0, y->buffer, 0, sizeof one));
    OCE_TRY(oce_device_flush(device));
    OCE_TRY(oce_device_finish(device));
    return oce_tensor_read(y, result);
}

/* A small use of everything; OCE_OK with *result = 5, or the failure. */
static oce_status use_device(float *result) {
    const int64_t dim[4] = {1, 1, 1, 1};
    oce_device *device = NULL;
    oce_kernel *kernel = NULL;
    oce_tensor x = {0}, y = {0};
    const oce_profile_entry *entries = NULL;
    int count = 0;
    oce_status status = oce_device_open(NULL, &device);
    if (status == OCE_OK)
        status = oce_kernel_get(device, "add.cl", "add", NULL, &kernel);
    if (status == OCE_OK)
        status = oce_tensor_create(device, dim, NULL, &x);
    if (status == OCE_OK)
        status = oce_tensor_create(device, dim, NULL, &y);
    if (status == OCE_OK)
        status = compute(device, kernel, &x, &y, result);
    if (status == OCE_OK)
        status = oce_device_profile_read(device, &entries, &count);
    oce_tensor_release(&x);
    oce_tensor_release(&y);
    if (status == OCE_OK)
        oce_device_store_programs(device, 0);
    oce_device_close(device);
    return status;
}

Test(opencl, every_object_is_released) {
    float result = 0;
    TEST_OK(use_device(&result));
    cr_expect(result == 5);
    expect_nothing_left();
    TEST_OK(use_device(&result)); /* now with the cached binary */
    cr_expect(result == 5);
    expect_nothing_left();
}

Test(opencl, every_object_is_released_whichever_call_fails) {
    float result = 0;
    TEST_OK(use_device(&result)); /* fills the cache, where the driver gives its binaries */
    calls = 0;
    TEST_OK(use_device(&result));
    const int total = calls;
    int failed = 0;
    cr_assert(total > 30, "%d calls", total);
    for (failing = 1; failing <= total; failing++) {
        calls = 0;
        result = 0;
        const oce_status status = use_device(&result);
        failed += status != OCE_OK;
        /* where the library can do without the call, it has to work */
        cr_expect(status != OCE_OK || result == 5, "call %d: result %g", failing, (double)result);
        cr_expect(status == OCE_OK || oce_last_error()[0] != '\0');
        expect_nothing_left();
    }
    cr_expect(failed > 15, "only %d failures were noticed", failed);
}

Test(opencl, failed_build_leaves_nothing) {
    oce_device *device = test_open_device();
    oce_kernel *kernel = NULL;
    scratch_write_text(folder, "wrong.cl", "__kernel void f() { oops; }\n");
    for (int i = 0; i < 3; i++)
        cr_expect(oce_kernel_get(device, "wrong.cl", "f", NULL, &kernel) == OCE_ERROR_BUILD);
    cr_expect(oce_kernel_get(device, "add.cl", "g", NULL, &kernel) == OCE_ERROR_NOT_FOUND);
    cr_expect(kernels == 0 && programs == 0); /* that of add.cl, which did build, neither */
    oce_device_close(device);
    expect_nothing_left();
}

Test(opencl, messages_have_the_name_of_the_code) {
    cr_expect(oce_opencl_fail(CL_INVALID_KERNEL_ARGS, "launching %s", "f") == OCE_ERROR_OPENCL);
    cr_expect_str_eq(oce_last_error(), "launching f: CL_INVALID_KERNEL_ARGS (-52)");
    cr_expect(oce_opencl_fail(CL_MEM_OBJECT_ALLOCATION_FAILURE, "x") == OCE_ERROR_DEVICE_MEMORY);
    cr_expect(oce_opencl_fail(CL_OUT_OF_HOST_MEMORY, "x") == OCE_ERROR_HOST_MEMORY);
    cr_expect(oce_opencl_fail(-9999, "x") == OCE_ERROR_OPENCL);
    cr_expect_str_eq(oce_last_error(), "x: unknown error (-9999)");
}
