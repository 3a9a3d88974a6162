/*
 * The disk cache of program binaries, for drivers that have none of their own.
 *
 * It lives in $OCELLI_CACHE, else $XDG_CACHE_HOME/ocelli, else ~/.cache/ocelli (macOS:
 * ~/Library/Caches/ocelli); OCELLI_CACHE=off switches it off, OCELLI_CACHE_FORCE=1 uses it for
 * every driver. A file holds one binary with the whole key it was built from, so that a stale,
 * foreign, damaged or half-written file is never taken for another; its name is a hash of the key:
 *
 *   "OCELLIB1", key size (8 bytes, little-endian), key, binary size (8), binary, CRC-32C of all (4)
 *
 * The cache is an optimisation: nothing here fails, and what goes wrong costs a build.
 */
#ifndef OCE_DEVICE_CACHE_H
#define OCE_DEVICE_CACHE_H

#include <ocelli/device.h>

#include "base/bytes.h"

/* What a store leaves at most in the folder, in bytes; the oldest files go first. */
#define OCE_CACHE_LIMIT (UINT64_C(256) << 20)

typedef enum oce_cache_use {
    OCE_CACHE_UNUSED,
    OCE_CACHE_AT_ONCE,  /* a program is stored as soon as it is built */
    OCE_CACHE_ON_DEMAND /* oce_device_store_programs() stores it */
} oce_cache_use;

/*
 * How programs of this device are cached. PoCL keeps compiled kernels by itself, but reads every
 * source again to find them; to give a binary away it compiles the kernel once more, which nobody
 * should wait for before the work is done. NVIDIA and Mesa have caches of their own (and rusticl
 * ends the process on a binary that it does not know), Oclgrind's reports need the source.
 */
oce_cache_use oce_cache_use_of(const oce_device_info *info, const char *platform_version);

/* Everything that decides what the binary is; the caller finishes *key, which is empty if memory
 * failed. */
void oce_cache_key(const oce_device_info *info, const char *platform_version, const char *options,
                   const char *const *sources, int count, oce_bytes *key);

/* The binary stored under `key`; false if there is none. The caller finishes *binary either way.
 * One of no bytes says that the driver has compiled the program, and keeps it by itself. */
bool oce_cache_load(const oce_bytes *key, oce_bytes *binary);
/* Whether a file is there for `key`; it may turn out to be another's, or damaged. */
bool oce_cache_has(const oce_bytes *key);
/* Stores a binary under `key`, replacing what was there. Errors: the cache cannot be written to;
 * OCE_ERROR_OVERFLOW: the binary is larger than any that is kept. */
oce_status oce_cache_store(const oce_bytes *key, const void *binary, size_t size);

/* The file for `key`, to be freed; NULL if the cache is off or there is no place for it. */
char *oce_cache_path(const oce_bytes *key);
/* Removes the oldest cached files of a folder until at most `limit` bytes are left, and what killed
 * writers left behind. */
void oce_cache_trim(const char *folder, uint64_t limit);

#endif
