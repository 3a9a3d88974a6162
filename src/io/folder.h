/* The files of a checkpoint, and what belongs to none. */
#ifndef OCE_IO_FOLDER_H
#define OCE_IO_FOLDER_H

#include <ocelli/checkpoint.h>

/* What a checkpoint's name gets appended while one of the same name replaces it. */
#define OCE_REPLACED_SUFFIX ".replaced"

/* Gives all files of checkpoint `from` second names, as checkpoint `to`; .index comes last. */
oce_status oce_checkpoint_link(const char *from, const char *to);
/* Whether two paths are the same by their text. */
oce_status oce_paths_equal(const char *a, const char *b, bool *equal);

#endif
