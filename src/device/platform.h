/* Platforms and devices with their OpenCL handles, for src/device only. */
#ifndef OCE_DEVICE_PLATFORM_H
#define OCE_DEVICE_PLATFORM_H

#include <ocelli/device.h>

#include "device/caps.h"
#include "device/opencl.h"

typedef struct oce_device_entry {
    oce_device_info info;
    cl_platform_id platform;
    cl_device_id id;
} oce_device_entry;

struct oce_device_list {
    oce_platform_info *platforms;
    int platform_count;
    oce_device_entry *devices;
    int device_count;
    char **strings; /* every string of the list */
    size_t string_count;
    oce_caps caps;
    /* What tests ask for: 'c' or 'g' for the kernels for CPUs or GPUs, and at most this many floats
     * a vector; 0: what the device has. */
    char forced_class;
    unsigned forced_width;
};

#endif
