/* What a kernel needs and allows. Drivers answer wrongly at times, and would lose kernels that they
 * can run: Mesa 22.3 counts local memory twice, and gives the width of its vectors for the largest
 * group. A kernel whose needs are known, group_probe, tells what their answers are worth; another,
 * loop_probe, how long loops may be. */
#include "device/internal.h"

#include "base/size.h"

enum { PROBED_FLOATS = 256, PROBED_BYTES = PROBED_FLOATS * sizeof(float) };

static cl_int query(const oce_kernel *kernel, cl_kernel_work_group_info what, size_t bytes,
                    void *value) {
    return clGetKernelWorkGroupInfo(kernel->kernel, kernel->device->entry->id, what, bytes, value,
                                    NULL);
}

/* Whether a group of as many items as the device allows runs and computes what it should. */
static bool largest_group_runs(oce_kernel *probe) {
    const size_t items = probe->device->limits.max_work_group;
    const int count = items < PROBED_FLOATS ? (int)items : PROBED_FLOATS;
    const size_t reported = probe->max_work_group;
    float values[PROBED_FLOATS];
    oce_buffer *buffer = NULL;
    if (oce_buffer_create(probe->device, sizeof values, &buffer) != OCE_OK)
        return false;
    const oce_arg args[] = {oce_arg_part(buffer, 0)};
    probe->max_work_group = items;
    bool runs = oce_launch(probe, (oce_range){{items, 1, 1}, {items, 1, 1}}, args,
                           OCE_COUNT(args)) == OCE_OK &&
                oce_buffer_read(buffer, 0, values, sizeof values) == OCE_OK;
    for (int i = 0; runs && i < count; i++)
        runs = values[i] == (float)(count - 1 - i);
    probe->max_work_group = reported;
    oce_buffer_destroy(buffer);
    return runs;
}

/* Fills device->probe, once. */
static void probe_device(oce_device *device) {
    if (device->probe.is_done)
        return;
    device->probe = (oce_probe){.is_done = true, .local_bytes = PROBED_BYTES};
    oce_defines defines = {0};
    oce_define(&defines, "FLOATS", PROBED_FLOATS);
    oce_kernel *kernel = NULL;
    cl_ulong bytes = 0;
    if (oce_kernel_get(device, "group_probe.cl", "group_probe", &defines, &kernel) != OCE_OK)
        return;
    if (query(kernel, CL_KERNEL_LOCAL_MEM_SIZE, sizeof bytes, &bytes) == CL_SUCCESS &&
        bytes > PROBED_BYTES)
        device->probe.local_bytes = bytes;
    /* Kernels for CPUs have groups of one item. */
    device->probe.groups_are_wrong = !device->limits.is_cpu &&
                                     kernel->max_work_group < device->limits.max_work_group &&
                                     largest_group_runs(kernel);
}

static oce_status check_local_bytes(const oce_kernel *kernel, uint64_t bytes) {
    oce_device *device = kernel->device;
    if (bytes <= device->limits.local_bytes)
        return OCE_OK;
    probe_device(device);
    bytes = bytes * PROBED_BYTES / device->probe.local_bytes;
    OCE_REQUIRE(bytes <= device->limits.local_bytes, OCE_ERROR_UNSUPPORTED,
                "kernel %s needs %llu bytes of local memory, \"%s\" has %zu", kernel->name,
                (unsigned long long)bytes, device->entry->info.name, device->limits.local_bytes);
    return OCE_OK;
}

oce_status oce_kernel_query(oce_kernel *kernel) {
    oce_device *device = kernel->device;
    cl_ulong local_bytes = 0;
    kernel->max_work_group = kernel->group_multiple = 1;
    cl_int code = clGetKernelInfo(kernel->kernel, CL_KERNEL_NUM_ARGS, sizeof kernel->arg_count,
                                  &kernel->arg_count, NULL);
    if (code == CL_SUCCESS)
        code = query(kernel, CL_KERNEL_WORK_GROUP_SIZE, sizeof(size_t), &kernel->max_work_group);
    if (code == CL_SUCCESS)
        code = query(kernel, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local_bytes, &local_bytes);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "querying kernel %s of %s", kernel->name, kernel->file);
    OCE_TRY(check_local_bytes(kernel, local_bytes));
    if (kernel->max_work_group < device->limits.max_work_group && !device->limits.is_cpu)
        probe_device(device);
    if (kernel->max_work_group > device->limits.max_work_group || device->probe.groups_are_wrong)
        kernel->max_work_group = device->limits.max_work_group;
    if (query(kernel, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, sizeof(size_t),
              &kernel->group_multiple) != CL_SUCCESS)
        kernel->group_multiple = 1;
    if (query(kernel, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof(cl_ulong), &kernel->private_bytes) !=
        CL_SUCCESS)
        kernel->private_bytes = 0;
    return OCE_OK;
}

/* ---- Loops --------------------------------------------------------------------------------- */

/* The loops' limit where none is known: Mesa's. */
enum { USUAL_LOOP_LIMIT = 65535, PROBED_ROUNDS = 1 << 17 };

/* After how many rounds of loop_probe its generator has this state; -1: not within those asked. */
static int64_t rounds_until(float state) {
    uint32_t at = 1;
    for (int64_t rounds = 0; rounds <= PROBED_ROUNDS; rounds++) {
        if ((float)at == state)
            return rounds;
        at = (at * 1664525u + 1013904223u) & 0xFFFFFFu;
    }
    return -1;
}

/* After how many rounds the driver breaks off a work-item's loops; INT64_MAX: it does not. */
static int64_t loop_limit(oce_device *device) {
    oce_kernel *kernel = NULL;
    oce_buffer *buffer = NULL;
    float state = 0;
    if (oce_buffer_create_small(device, sizeof state, &buffer) != OCE_OK)
        return USUAL_LOOP_LIMIT;
    const oce_arg args[] = {oce_arg_int(PROBED_ROUNDS), oce_arg_part(buffer, 0)};
    const bool runs =
        oce_kernel_get(device, "loop_probe.cl", "loop_probe", NULL, &kernel) == OCE_OK &&
        oce_launch(kernel, oce_range_groups(1, 1, 1), args, OCE_COUNT(args)) == OCE_OK &&
        oce_buffer_read(buffer, 0, &state, sizeof state) == OCE_OK;
    oce_buffer_destroy(buffer);
    const int64_t rounds = runs ? rounds_until(state) : -1;
    return rounds == PROBED_ROUNDS ? INT64_MAX : rounds > 0 ? rounds : USUAL_LOOP_LIMIT;
}

/*
 * Drivers that vectorise across work-items, as llvmpipe does, ask for the narrowest vectors; the
 * others are spared the build of a kernel. Plans estimate their rounds, and what should be unrolled
 * may count: three fifths of the limit leave room for that.
 */
void oce_device_probe_loops(oce_device *device) {
    const uint64_t cap = device->list->caps.loops;
    int64_t limit = cap < INT64_MAX ? (int64_t)cap : INT64_MAX;
    if (device->limits.is_cpu && device->limits.vector_width == 4)
        limit = oce_min_int64(limit, loop_limit(device));
    device->limits.loop_rounds = limit < INT64_MAX ? oce_max_int64(limit / 5 * 3, 1) : INT64_MAX;
}
