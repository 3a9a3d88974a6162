/* The two halves of oce_bundle_writer_finish(), for the saver, which writes the sidecar between. */
#ifndef OCE_IO_BUNDLE_WRITER_H
#define OCE_IO_BUNDLE_WRITER_H

#include <ocelli/checkpoint.h>

/* Writes both files under temporary names and brings them to the disk; *index_crc32c is the
 * checksum of the whole .index file. */
oce_status oce_bundle_writer_prepare(oce_bundle_writer *writer, uint32_t *index_crc32c);
/* Gives both files their names. If that fails, a bundle of the same prefix is as it was. */
oce_status oce_bundle_writer_publish(oce_bundle_writer *writer);

#endif
