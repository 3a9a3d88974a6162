/* Files of the tuning table: reading, checking, writing. */
#include "device/tuning.h"

#include "base/file.h"
#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "ocelli tuning 1";
enum { LARGEST_FILE = 16 << 20 };

bool oce_tuning_is_on(void) {
    const char *own = getenv("OCELLI_TUNING");
    return own == NULL || strcmp(own, "off") != 0;
}

static bool is_set(const char *value) {
    return value != NULL && value[0] != '\0';
}

oce_status oce_tuning_path(char **path) {
    const char *own = getenv("OCELLI_TUNING"), *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    *path = NULL;
    if (is_set(own))
        return oce_tuning_is_on() ? oce_text_copy(own, path) : OCE_OK;
    if (is_set(xdg))
        return oce_path_join(xdg, "ocelli/tuning.json", path);
    return is_set(home) ? oce_path_join(home, ".config/ocelli/tuning.json", path) : OCE_OK;
}

oce_status oce_tuning_place(char **path) {
    OCE_TRY(oce_tuning_path(path));
    OCE_REQUIRE(oce_tuning_is_on(), OCE_ERROR_NOT_FOUND,
                "OCELLI_TUNING is off: there is no tuning file");
    OCE_REQUIRE(*path != NULL, OCE_ERROR_NOT_FOUND,
                "there is no place for a tuning file: neither OCELLI_TUNING, XDG_CONFIG_HOME nor "
                "HOME is set");
    return OCE_OK;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static bool has_texts(const json_t *object, const char *const *names) {
    for (; *names != NULL; names++)
        if (!json_is_string(json_object_get(object, *names)))
            return false;
    return true;
}

/* What is wrong with a file, or NULL; *section and *entry say where, from 1. */
static const char *find_fault(const json_t *root, size_t *section, size_t *entry) {
    static const char *const of_section[] = {"platform", "device", "driver", "kernels", NULL};
    static const char *const of_entry[] = {"operation", "shape", "family", NULL};
    const char *own = json_string_value(json_object_get(root, "format"));
    const json_t *devices = json_object_get(root, "devices");
    *section = *entry = 0;
    if (own == NULL || strcmp(own, format) != 0)
        return "\"format\" is not \"ocelli tuning 1\"";
    if (!json_is_array(devices))
        return "\"devices\" is not a list";
    for (*section = 1; *section <= json_array_size(devices); ++*section) {
        const json_t *each = json_array_get(devices, *section - 1);
        const json_t *entries = json_object_get(each, "entries");
        *entry = 0;
        if (!has_texts(each, of_section))
            return "platform, device, driver or kernels is missing";
        if (!json_is_array(entries))
            return "\"entries\" is not a list";
        for (*entry = 1; *entry <= json_array_size(entries); ++*entry)
            if (!has_texts(json_array_get(entries, *entry - 1), of_entry))
                return "operation, shape or family is missing";
    }
    return NULL;
}

oce_status oce_tuning_parse(const char *name, const char *text, size_t size, json_t **root) {
    json_error_t error;
    size_t section = 0, entry = 0;
    *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    OCE_REQUIRE(*root != NULL, OCE_ERROR_FORMAT, "%s, line %d: %s", name, error.line, error.text);
    const char *fault = find_fault(*root, &section, &entry);
    if (fault == NULL)
        return OCE_OK;
    json_decref(*root);
    *root = NULL;
    return section > 0 ? oce_fail(OCE_ERROR_FORMAT, "%s, device %zu, entry %zu: %s", name, section,
                                  entry, fault)
                       : oce_fail(OCE_ERROR_FORMAT, "%s: %s", name, fault);
}

oce_status oce_tuning_read(const char *path, json_t **root) {
    oce_bytes bytes = {0};
    *root = NULL;
    oce_status status = oce_file_read(path, LARGEST_FILE, &bytes);
    if (status == OCE_OK)
        status = oce_tuning_parse(path, (const char *)bytes.data, bytes.size, root);
    oce_bytes_finish(&bytes);
    return status;
}

/* ---- Writing -------------------------------------------------------------------------------- */

json_t *oce_tuning_empty(void) {
    return json_pack("{s:s, s:[]}", "format", format, "devices");
}

/* Creates the folder of a file and those above it. */
static oce_status create_folder_of(const char *path) {
    char *folder = NULL;
    OCE_TRY(oce_path_folder(path, &folder));
    oce_status status = OCE_OK;
    for (char *slash = folder; status == OCE_OK && slash[0] != '\0';) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        status = oce_folder_create(folder);
        if (slash == NULL)
            break;
        *slash = '/';
    }
    free(folder);
    return status;
}

oce_status oce_tuning_write(const char *path, json_t *root) {
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(4)) : NULL;
    json_decref(root);
    OCE_REQUIRE(text != NULL, OCE_ERROR_HOST_MEMORY, "no memory for the text of %s", path);
    oce_status status = create_folder_of(path);
    if (status == OCE_OK)
        status = oce_file_write(path, text, strlen(text));
    free(text);
    return status;
}

oce_status oce_tuning_check_place(const char *path) {
    oce_writer *writer = NULL;
    OCE_TRY(create_folder_of(path));
    OCE_TRY(oce_writer_create(path, &writer));
    oce_writer_destroy(writer);
    return OCE_OK;
}
