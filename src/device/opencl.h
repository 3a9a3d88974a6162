/* OpenCL's header, for src/device only. */
#ifndef OCE_DEVICE_OPENCL_H
#define OCE_DEVICE_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#ifdef __APPLE__
#include <OpenCL/cl.h>
#else
#include <CL/cl.h>
#endif

#include "base/status.h"

#ifndef CL_PLATFORM_NOT_FOUND_KHR
#define CL_PLATFORM_NOT_FOUND_KHR (-1001)
#endif

/* "CL_OUT_OF_RESOURCES" and the like; "unknown error" for others. */
const char *oce_opencl_error(cl_int code);

/* Fails with "WHAT: CL_NAME (code)". Memory codes give OCE_ERROR_DEVICE_MEMORY or _HOST_MEMORY. */
oce_status oce_opencl_fail(cl_int code, const char *format, ...) OCE_PRINTF(2, 3);

#endif
