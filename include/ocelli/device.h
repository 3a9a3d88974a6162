/**
 * Platforms and devices: what there is, which one a selector means, and an open device.
 *
 * One thread at a time may use an open device and what was made from it.
 */
#ifndef OCELLI_DEVICE_H
#define OCELLI_DEVICE_H

#include <ocelli/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oce_device_type {
    OCE_DEVICE_CPU,
    OCE_DEVICE_GPU,
    OCE_DEVICE_ACCELERATOR,
    OCE_DEVICE_OTHER
} oce_device_type;

/** "CPU", "GPU", "accelerator", "other". */
OCE_API const char *oce_device_type_name(oce_device_type type);

/** One OpenCL platform, usable or not. */
typedef struct oce_platform_info {
    const char *name;
    const char *vendor;
    const char *version;
    int devices;         /**< how many it offers */
    const char *problem; /**< why it offers none, or NULL */
} oce_platform_info;

/** One OpenCL device, usable or not. Strings live as long as the list, or the open device. */
typedef struct oce_device_info {
    int platform; /**< index P of the selector P:D */
    int index;    /**< index D of the selector P:D */
    oce_device_type type;
    const char *name;
    const char *vendor;
    const char *platform_name;
    const char *platform_vendor;
    const char *driver_version;
    const char *device_version; /**< e.g. "OpenCL 3.0 PoCL ..." */
    const char *selector;       /**< "P:D" */
    const char *problem;        /**< why it cannot be used, or NULL */
    unsigned compute_units;
    unsigned clock_mhz;           /**< 0 if the driver does not say */
    unsigned vector_width;        /**< native float vector width */
    uint64_t memory_bytes;        /**< global memory */
    uint64_t largest_allocation;  /**< bytes */
    uint64_t local_memory_bytes;  /**< per work-group */
    uint64_t max_work_group_size; /**< work-items */
    uint64_t max_work_items[3];   /**< of a work-group along each dimension */
    bool local_memory_is_real;    /**< dedicated hardware, not plain memory */
    bool unified_memory;          /**< shares its memory with the host */
    bool has_fast_fma;            /**< fma() is one instruction */
    bool has_images;              /**< image support, which Ocelli does without */
    const char *extensions;       /**< names, with blanks between them */
    bool cpu_kernels;             /**< gets the kernels for CPUs: one work-item a group, explicit
                                       vectors; else those for GPUs */
    unsigned kernel_vector_width; /**< floats of a vector in them: 4, 8 or 16 */
    unsigned vector_registers;    /**< that a CPU has for such vectors: 16 or 32 */
} oce_device_info;

/** A snapshot of all platforms and devices. Opaque. */
typedef struct oce_device_list oce_device_list;

/**
 * Lists every platform and device. A platform that fails is listed with its problem; no platform at
 * all gives an empty list, not an error. Errors: OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_device_list_create(oce_device_list **list);
OCE_API void oce_device_list_destroy(oce_device_list *list);
OCE_API int oce_device_list_platforms(const oce_device_list *list);
OCE_API const oce_platform_info *oce_device_list_platform(const oce_device_list *list, int index);
OCE_API int oce_device_list_count(const oce_device_list *list);
OCE_API const oce_device_info *oce_device_list_get(const oce_device_list *list, int index);

/**
 * Finds the device that a selector means; *index is its place in the list and, if `reason` is not
 * NULL, *reason (a static string) says why it was preferred.
 *
 * A selector is a comma list in order of preference of: "auto"; "cpu", "gpu" or "accelerator" (the
 * best of that type); "P:D" (platform and device index); or any part of a device's name or vendor
 * or of its platform's name or vendor, whatever the case. NULL means the environment variable
 * OCELLI_DEVICE, or "auto" if that is unset or empty. Among several devices "auto" prefers discrete
 * GPU, integrated GPU, CPU, accelerator, and among equals the larger units x clock x vector width.
 *
 * Errors: OCE_ERROR_NO_PLATFORM (there is none: the message says which packages bring a driver),
 * OCE_ERROR_NO_DEVICE (nothing usable fits), OCE_ERROR_AMBIGUOUS_DEVICE (a name fits two devices);
 * both list the candidates. OCE_ERROR_INVALID_ARGUMENT (an empty entry).
 */
OCE_API oce_status oce_device_list_select(const oce_device_list *list, const char *selector,
                                          int *index, const char **reason);

/** An open device: context, command queue, built kernels. Opaque. */
typedef struct oce_device oce_device;

/** Opens the device that `selector` means (oce_device_list_select).
 * Errors: those of the selection, OCE_ERROR_OPENCL, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_device_open(const char *selector, oce_device **device);
/**
 * The next line about something that went otherwise than expected without being a failure: kernels
 * that the driver could not build, say, so that others are used. Each is given once; NULL: no more.
 * The text lives as long as the device.
 */
OCE_API const char *oce_device_take_notice(oce_device *device);
/**
 * Compiled programs that the disk cache of programs does not have yet, though they would let the
 * next process start sooner, because the driver takes as long again to give them away (PoCL:
 * seconds for a network; where it is cheap they are stored as they are built).
 */
OCE_API int oce_device_unstored_programs(const oce_device *device);
/**
 * Stores these programs; call it when the work is done. The first in any case, others until
 * `seconds` have passed: each one makes the next start a little shorter, and those that are left
 * can be stored another time. Errors: OCE_ERROR_IO and the like if the cache (OCELLI_CACHE) cannot
 * be written to, found out before the driver is asked for a program; no work depends on it.
 */
OCE_API oce_status oce_device_store_programs(oce_device *device, double seconds);
/**
 * Programs that the driver has yet to compile for this process, as far as the cache of programs
 * knows: of those that a rehearsal has kept, and, where the driver compiles kernels at their first
 * launch (PoCL), of those that were built. 0 on drivers that have a cache of their own.
 */
OCE_API int oce_device_new_programs(const oce_device *device);

/**
 * A rehearsal: what a model, say, needs compiled is found out without compiling, and is compiled
 * last first, by a process that does nothing else, while another one begins with the first. Drivers
 * compile on one processor at a time within a process; what is done meets in a cache on disk.
 *
 *     oce_device_rehearse(device);             // programs are not built, but kept
 *     oce_model_create(device, ...);
 *     oce_device_rehearse_builds(device, ...); // builds them; launches are not made, but kept
 *     if (!is_done) { oce_model_allocate(...); oce_model_train_step(...);
 *                     oce_device_rehearse_launches(device, ...); }
 *     oce_model_destroy(...);
 *     oce_device_end_rehearsal(device);        // also right after the plan
 *
 * New buffers are full of zeros while launches are kept, and all that is computed is meaningless.
 * Errors: OCE_ERROR_OPENCL.
 */
OCE_API oce_status oce_device_rehearse(oce_device *device);
/**
 * Builds part `part` (from 0 on) of `parts` of the kept programs, those that the driver refuses
 * excepted. *is_done: this driver has compiled them now; else, as it compiles at the first launch,
 * the other parts are built too, and from now on launches are kept, one for each kernel and range.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (no such part).
 */
OCE_API oce_status oce_device_rehearse_builds(oce_device *device, int part, int parts,
                                              bool *is_done);
/**
 * Makes part `part` of `parts` of the kept launches and waits for them; no more are kept. Their
 * buffers must still be there. Errors: OCE_ERROR_INVALID_ARGUMENT (no such part), OCE_ERROR_OPENCL.
 */
OCE_API oce_status oce_device_rehearse_launches(oce_device *device, int part, int parts);
/** Ends a rehearsal, in whatever state, and forgets what was kept; plans that were made in it must
 * be gone unless all was built. */
OCE_API void oce_device_end_rehearsal(oce_device *device);
/** Closes the device; what was made from it must be gone. NULL is allowed. */
OCE_API void oce_device_close(oce_device *device);
OCE_API const oce_device_info *oce_device_get_info(const oce_device *device);
/** How many rounds of its loops, all together, the kernels plan for in a work-item, as the driver
 * breaks off longer ones (Mesa's llvmpipe does); INT64_MAX: any number. */
OCE_API int64_t oce_device_loop_rounds(const oce_device *device);
/** Waits until everything enqueued has run. Errors: OCE_ERROR_OPENCL. */
OCE_API oce_status oce_device_finish(oce_device *device);

/** Time spent in one kernel, as built, under one label. */
typedef struct oce_profile_entry {
    const char *label;  /**< the layer and pass that launched it, e.g. "conv1 forward"; may be "" */
    const char *kernel; /**< kernel function */
    const char *build;  /**< its file and the options it was built with; "" if not one of ours */
    uint64_t launches;
    double seconds; /**< on the device, by OpenCL's profiling events */
    double flops;   /**< of the label's operation, over all launches; 0 if not stated */
} oce_profile_entry;

/** Starts to record the time of every launch. Errors: OCE_ERROR_OPENCL. */
OCE_API oce_status oce_device_profile_start(oce_device *device);
/** Waits for the queue and returns what was recorded since the start; entries in the order of their
 * first launch, valid until the next call on the device. Errors: OCE_ERROR_OPENCL. */
OCE_API oce_status oce_device_profile_read(oce_device *device, const oce_profile_entry **entries,
                                           int *count);
/** Stops to record and forgets what was; nothing happens if it was not on. Errors:
 * OCE_ERROR_OPENCL.
 */
OCE_API oce_status oce_device_profile_stop(oce_device *device);

#ifdef __cplusplus
}
#endif

#endif
