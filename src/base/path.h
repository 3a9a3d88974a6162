/* Path names as text, by the rules of Python's os.path, which TensorFlow's files follow. */
#ifndef OCE_BASE_PATH_H
#define OCE_BASE_PATH_H

#include "base/status.h"

#include <stdbool.h>

bool oce_path_is_absolute(const char *path);
/* The part after the last '/'. */
const char *oce_path_base(const char *path);
/* New strings, freed with free(): */
/* The part before the last '/' without trailing slashes ("/" stays); "" if there is none. */
oce_status oce_path_folder(const char *path, char **folder);
/* `name` if it is absolute or `folder` empty, else "folder/name". */
oce_status oce_path_join(const char *folder, const char *name, char **joined);
/* The absolute path without ".", "..", or doubled slashes, by the text alone. */
oce_status oce_path_absolute(const char *path, char **absolute);
/* How to reach `path` from the folder `start`, by the text alone. */
oce_status oce_path_relative(const char *path, const char *start, char **relative);
/* A copy of `text`. */
oce_status oce_text_copy(const char *text, char **copy);
/* The formatted text. */
oce_status oce_text_format(char **text, const char *format, ...) OCE_PRINTF(2, 3);

#endif
