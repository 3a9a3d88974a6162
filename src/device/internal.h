/* The insides of an open device and its buffers, for src/device only. */
#ifndef OCE_DEVICE_INTERNAL_H
#define OCE_DEVICE_INTERNAL_H

#include "device/device.h"
#include "device/fault.h"
#include "device/opencl.h"
#include "device/platform.h"
#include "device/tuning.h"

#include "base/bytes.h"

struct oce_kernel {
    oce_device *device;
    char *file, *name;
    char *build; /* file name, blank, options */
    const char *options;
    char *names;              /* the kernels of its program, between blanks; NULL: see `first` */
    struct oce_kernel *first; /* the one that it shares the program of, or NULL */
    cl_program program;       /* NULL in a rehearsal: not built yet */
    cl_kernel kernel;
    oce_bytes unstored; /* the key under which oce_device_store_programs() stores the program; empty
                           in all but one of its kernels */
    bool is_new; /* with `unstored`: as far as the cache knows, the driver never compiled it */
    cl_uint arg_count;
    size_t max_work_group;  /* CL_KERNEL_WORK_GROUP_SIZE */
    size_t group_multiple;  /* CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE; 1 if unknown */
    cl_ulong private_bytes; /* CL_KERNEL_PRIVATE_MEM_SIZE; 0 if unknown */
    struct oce_kernel *next;
};

/* One launch whose event has not been read yet. */
typedef struct oce_profile_event {
    cl_event event;
    int entry;
} oce_profile_event;

enum { OCE_PROFILE_PENDING = 2048 };

typedef struct oce_profile {
    bool is_on;
    const char *label; /* of the launches to come */
    oce_profile_entry *entries;
    int entry_count;
    oce_profile_event pending[OCE_PROFILE_PENDING];
    int pending_count;
} oce_profile;

typedef struct oce_notice {
    char key[64];
    char text[1024];
    bool is_taken;
    struct oce_notice *next;
} oce_notice;

/* What oce_clblast_prepare() found. */
typedef struct oce_clblast_trial {
    bool is_done;
    oce_status status;
    char message[512];
} oce_clblast_trial;

/* A launch that is not made yet. */
typedef struct oce_held_launch {
    oce_kernel *kernel;
    oce_range range;
    oce_arg *args;
    int count;
} oce_held_launch;

typedef struct oce_rehearsal {
    bool holds_builds, holds_launches;
    oce_held_launch *launches; /* no two of the same kernel and range */
    int count;
} oce_rehearsal;

/* What the driver's answers about kernels are worth; filled in where one matters. */
typedef struct oce_probe {
    bool is_done;
    bool groups_are_wrong; /* larger groups run than the driver says */
    uint64_t local_bytes;  /* what it makes of 1 KiB of local memory; more if it is wrong */
} oce_probe;

struct oce_device {
    oce_device_list *list; /* owns the strings of *entry */
    const oce_device_entry *entry;
    oce_limits limits;
    cl_context context;
    cl_command_queue queue; /* in order; profiling only after oce_device_profile_start */
    oce_kernel *kernels;
    oce_probe probe;
    bool needs_headers; /* common.cl.h cannot stand in for the driver's headers */
    oce_profile profile;
    oce_rehearsal rehearsal;
    oce_notice *notices;          /* in order */
    oce_clblast_trial clblast[2]; /* of one product, of several */
    oce_fault fault;
    oce_tuning tuning;
    uint64_t allocations; /* buffers made so far */
    uint64_t allocated;   /* bytes of those that are left */
};

struct oce_buffer {
    oce_device *device;
    cl_mem memory;
    size_t bytes; /* without the slack */
};

/* Fills device->limits.loop_rounds. */
void oce_device_probe_loops(oce_device *device);

/* A few bytes for this layer's own use, which faults do not count. */
oce_status oce_buffer_create_small(oce_device *device, size_t bytes, oce_buffer **result);

/* Of the device's platform: "OpenCL 3.0 PoCL 3.1 ...". */
const char *oce_device_platform_version(const oce_device *device);

void oce_kernels_release(oce_device *device);
/* Builds the program of a kernel that is not built yet, or takes that of `first`, which is. */
oce_status oce_kernel_build(oce_kernel *kernel);
/* Releases the kernels that are not built. */
void oce_kernels_release_unbuilt(oce_device *device);

/* Fills in what a new kernel takes and allows. Errors: OCE_ERROR_OPENCL, OCE_ERROR_UNSUPPORTED
 * (more local memory than there is). */
oce_status oce_kernel_query(oce_kernel *kernel);

void oce_notices_release(oce_device *device);

/* Keeps a launch, unless there is one of this kernel and range already. */
oce_status oce_rehearsal_hold(oce_rehearsal *rehearsal, oce_kernel *kernel, const oce_range *range,
                              const oce_arg *args, int count);
void oce_rehearsal_release(oce_rehearsal *rehearsal);

/* The entry for a kernel, built as `build` says, under the current label; -1 if there is no memory.
 * Both strings must stay. */
int oce_profile_entry_index(oce_profile *profile, const char *kernel, const char *build);
/* Takes over `event`, which belongs to entry `entry`; reads the pending ones if there are many. */
oce_status oce_profile_add(oce_device *device, cl_event event, int entry);
/* Forgets all entries and events. */
void oce_profile_release(oce_profile *profile);

#endif
