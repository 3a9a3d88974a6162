/*
 * Drivers that fail, for tests: the environment variable OCELLI_FAULT, read when a device is
 * opened, is a comma list of
 *
 *   allocation=N   the device has no memory for the N-th buffer (from 1) that is made on it
 *   build=FILE     the driver cannot build the kernel file FILE, e.g. conv2d_direct.cl, or CLBlast
 *   result=KERNEL  the first element of what a launch of KERNEL writes is wrong; CLBlast's
 *                  are called CLBlastSgemm and CLBlastSgemmStridedBatched
 *   poison         memory that was not written yet holds no numbers (NaN)
 *
 * There may be up to four files and four kernels, and all of them must be there.
 */
#ifndef OCE_DEVICE_FAULT_H
#define OCE_DEVICE_FAULT_H

#include "device/device.h"

enum { OCE_FAULT_NAMES = 4, OCE_FAULT_NAME_BYTES = 64 };

/* Names, of which "" are none. */
typedef struct oce_fault_names {
    char at[OCE_FAULT_NAMES][OCE_FAULT_NAME_BYTES];
} oce_fault_names;

typedef struct oce_fault {
    uint64_t allocation; /* 0: none */
    oce_fault_names build, result;
    bool poison;
} oce_fault;

/* Reads such a list; NULL or "": no fault. Errors: OCE_ERROR_INVALID_ARGUMENT, naming the entry. */
oce_status oce_fault_parse(const char *text, oce_fault *fault);

/* Whether the library has those files and kernels. Errors: OCE_ERROR_INVALID_ARGUMENT, naming the
 * first one that it does not have, and would never make fail. */
oce_status oce_fault_check(const oce_fault *fault);

bool oce_fault_names_have(const oce_fault_names *names, const char *name);

/* Makes element `element` of a buffer wrong, once what was enqueued has run. */
oce_status oce_fault_spoil(const oce_buffer *buffer, uint64_t element, bool is_bytes);

/* The same for the first element of the first output of a launch. */
oce_status oce_fault_spoil_launch(const oce_kernel *kernel, const oce_arg *args, int count);

#endif
