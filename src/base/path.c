#define _DEFAULT_SOURCE
#include "base/path.h"

#include "base/bytes.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PATH_MAX /* systems without a limit */
#define PATH_MAX 4096
#endif

bool oce_path_is_absolute(const char *path) {
    return *path == '/';
}

const char *oce_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static oce_status copy_length(const char *text, size_t length, char **copy) {
    *copy = malloc(length + 1);
    OCE_REQUIRE(*copy, OCE_ERROR_HOST_MEMORY, "no memory for a text of %zu bytes", length);
    memcpy(*copy, text, length);
    (*copy)[length] = 0;
    return OCE_OK;
}

oce_status oce_text_copy(const char *text, char **copy) {
    return copy_length(text, strlen(text), copy);
}

oce_status oce_text_format(char **text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    *text = length < 0 ? NULL : malloc((size_t)length + 1);
    OCE_REQUIRE(*text, OCE_ERROR_HOST_MEMORY, "no memory for a text of %d bytes", length);
    va_start(args, format);
    vsnprintf(*text, (size_t)length + 1, format, args);
    va_end(args);
    return OCE_OK;
}

oce_status oce_path_folder(const char *path, char **folder) {
    const char *end = oce_path_base(path);
    while (end > path + 1 && end[-1] == '/')
        end--;
    return copy_length(path, (size_t)(end - path), folder);
}

oce_status oce_path_join(const char *folder, const char *name, char **joined) {
    if (oce_path_is_absolute(name) || *folder == 0)
        return oce_text_copy(name, joined);
    const bool slash = folder[strlen(folder) - 1] == '/';
    return oce_text_format(joined, "%s%s%s", folder, slash ? "" : "/", name);
}

/* Appends the components of `path` to the absolute path in `result` ("" stands for "/"). */
static void append_components(oce_bytes *result, const char *path) {
    while (*path) {
        const size_t length = strcspn(path, "/");
        if (length == 2 && memcmp(path, "..", 2) == 0) {
            while (result->size > 0 && result->data[--result->size] != '/')
                ;
            if (result->data)
                result->data[result->size] = 0;
        } else if (length > 0 && !(length == 1 && *path == '.')) {
            oce_bytes_u8(result, '/');
            oce_bytes_append(result, path, length);
        }
        path += length + (path[length] == '/');
    }
}

/* As oce_path_absolute(), but "" for "/". */
static oce_status absolute(const char *path, oce_bytes *result) {
    *result = (oce_bytes){0};
    if (!oce_path_is_absolute(path)) {
        char current[PATH_MAX];
        if (!getcwd(current, sizeof current))
            return oce_fail_errno(".", "tell the path of the current folder", errno);
        append_components(result, current);
    }
    append_components(result, path);
    return oce_bytes_check(result, path);
}

oce_status oce_path_absolute(const char *path, char **result) {
    oce_bytes bytes;
    oce_status status = absolute(path, &bytes);
    if (status == OCE_OK)
        status = oce_text_copy(bytes.size > 0 ? oce_bytes_string(&bytes) : "/", result);
    oce_bytes_finish(&bytes);
    return status;
}

/* From one absolute path to another, both without a trailing slash. */
static void append_relative(oce_bytes *result, const char *path, const char *start) {
    size_t shared = 0; /* whole components, with the slash before each */
    for (size_t i = 0;; i++) {
        const bool path_ends = path[i] == 0 || path[i] == '/';
        const bool start_ends = start[i] == 0 || start[i] == '/';
        if (path_ends && start_ends)
            shared = i;
        if (path[i] != start[i] || path[i] == 0)
            break;
    }
    for (const char *rest = start + shared; *rest; rest++)
        if (*rest == '/')
            oce_bytes_text(result, result->size > 0 ? "/.." : "..");
    if (path[shared]) {
        if (result->size > 0)
            oce_bytes_u8(result, '/');
        oce_bytes_text(result, path + shared + 1);
    }
    if (result->size == 0)
        oce_bytes_u8(result, '.');
}

oce_status oce_path_relative(const char *path, const char *start, char **relative) {
    oce_bytes from = {0}, to = {0}, result = {0};
    oce_status status = absolute(path, &to);
    if (status == OCE_OK)
        status = absolute(start, &from);
    if (status == OCE_OK) {
        append_relative(&result, oce_bytes_string(&to), oce_bytes_string(&from));
        status = oce_bytes_check(&result, path);
    }
    if (status == OCE_OK)
        status = oce_text_copy(oce_bytes_string(&result), relative);
    oce_bytes_finish(&from);
    oce_bytes_finish(&to);
    oce_bytes_finish(&result);
    return status;
}
