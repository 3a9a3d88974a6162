#ifndef OCE_IO_SIDECAR_H
#define OCE_IO_SIDECAR_H

#include <ocelli/checkpoint.h>

/* What a sidecar's name ends in. */
#define OCE_SIDECAR_SUFFIX ".ocelli"

/* Writes `<prefix>.ocelli` for an .index file with that checksum. */
oce_status oce_sidecar_store(const oce_sidecar *sidecar, const char *prefix, uint32_t index_crc32c);

#endif
