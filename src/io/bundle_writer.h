/* Inside of the bundle writer. */
#ifndef OCE_IO_BUNDLE_WRITER_H
#define OCE_IO_BUNDLE_WRITER_H

#include <ocelli/checkpoint.h>

#include "io/table.h"

/* The two halves of oce_bundle_writer_finish(), for the saver, which writes the sidecar between. */

/* Writes both files under temporary names and brings them to the disk; *index_crc32c is the
 * checksum of the whole .index file. */
oce_status oce_bundle_writer_prepare(oce_bundle_writer *writer, uint32_t *index_crc32c);
/* Gives both files their names. If that fails, a bundle of the same prefix is as it was. */
oce_status oce_bundle_writer_publish(oce_bundle_writer *writer);

/* The entries of an .index with one data file: first the header, then the tensors in bytewise order
 * of their names. */
void oce_bundle_add_header(oce_table_builder *table);
void oce_bundle_add_entry(oce_table_builder *table, const oce_bundle_entry *entry);

#endif
