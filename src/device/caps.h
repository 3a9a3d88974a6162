/*
 * Limits turned down, for tests: how the library behaves on a smaller device than there is. The
 * environment variable OCELLI_CAP is a comma list of
 *
 *   work-group=N   items of a work-group, along each dimension too
 *   local=BYTES    local memory of a group; none: there is none
 *   allocation=BYTES  the largest buffer
 *   memory=BYTES   device memory, of all buffers together
 *   vector=N       native and preferred vector width, in floats
 *   units=N        compute units
 *   loops=N        rounds of a work-item's loops, all together: the driver would break them off
 *   fma=no         fma() is not fast
 *   images=no      no image support
 *   extensions=no  no extensions
 *
 * BYTES may end in K, M or G (of 1024). A cap lowers what the driver says and never raises it. The
 * capped values are what oce_device_info and oce_limits have, so every layer sees the smaller
 * device; and buffers, kernels and launches beyond a cap fail as they would on one. Loops go on
 * beyond theirs, which only plans see. CLBlast
 * asks the driver itself: it is not used below its least needs (src/ops/gemm_clblast.c), and knows
 * no caps above them.
 */
#ifndef OCE_DEVICE_CAPS_H
#define OCE_DEVICE_CAPS_H

#include <ocelli/device.h>

/* UINT64_MAX: not capped. */
typedef struct oce_caps {
    uint64_t work_group, local, allocation, memory, vector, units, loops;
    uint64_t fma, images, extensions; /* 0: none */
} oce_caps;

/* Reads a list such as OCELLI_CAP's; NULL or "": no cap.
 * Errors: OCE_ERROR_INVALID_ARGUMENT, naming the entry. */
oce_status oce_caps_parse(const char *text, oce_caps *caps);

void oce_caps_apply(const oce_caps *caps, oce_device_info *info);

#endif
