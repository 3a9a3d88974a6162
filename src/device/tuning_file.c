/* Files of the tuning table: reading, checking, merging, writing. */
#include "device/tuning.h"

#include "base/file.h"
#include "base/path.h"
#include "device/internal.h"

#include <ocelli/tune.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "ocelli tuning 1";
enum { LARGEST_FILE = 16 << 20, KERNELS_BYTES = 32 };

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

/* ---- Sections ------------------------------------------------------------------------------- */

/* The kernels that the device gets: their class and, on CPUs, their vectors. */
static void kernels_text(const oce_device *device, char text[KERNELS_BYTES]) {
    if (device->limits.is_cpu)
        snprintf(text, KERNELS_BYTES, "cpu %d", device->limits.vector_width);
    else
        snprintf(text, KERNELS_BYTES, "gpu");
}

static bool equals(const json_t *section, const char *name, const char *text) {
    const char *own = json_string_value(json_object_get(section, name));
    return own != NULL && strcmp(own, text) == 0;
}

bool oce_tuning_is_for(const json_t *section, const oce_device *device) {
    const oce_device_info *info = &device->entry->info;
    char kernels[KERNELS_BYTES];
    kernels_text(device, kernels);
    return equals(section, "platform", info->platform_name) &&
           equals(section, "device", info->name) &&
           equals(section, "driver", info->driver_version) && equals(section, "kernels", kernels);
}

/* The device's section from its table, without what shipped; NULL if memory failed. */
static json_t *section_of(const oce_device *device) {
    const oce_device_info *info = &device->entry->info;
    char kernels[KERNELS_BYTES];
    kernels_text(device, kernels);
    json_t *entries = json_array();
    for (const oce_tuning_entry *e = device->tuning.entries; e != NULL; e = e->next)
        if (!e->is_shipped)
            json_array_append_new(entries,
                                  json_pack("{s:s, s:s, s:s, s:s, s:f}", "operation", e->operation,
                                            "shape", e->shape, "family", e->family, "configuration",
                                            e->configuration, "speed_up", e->speed_up));
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "platform", info->platform_name, "device",
                     info->name, "driver", info->driver_version, "kernels", kernels, "entries",
                     entries);
}

static json_t *empty_file(void) {
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

/* Writes a file whole or not at all, and releases the value. */
static oce_status write_file(const char *path, json_t *root) {
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(4)) : NULL;
    json_decref(root);
    OCE_REQUIRE(text != NULL, OCE_ERROR_HOST_MEMORY, "no memory for the text of %s", path);
    oce_status status = create_folder_of(path);
    if (status == OCE_OK)
        status = oce_file_write(path, text, strlen(text));
    free(text);
    return status;
}

/* The user's file, or an empty one; a damaged one is a failure, so that nothing in it is lost. */
static oce_status own_file(char **path, json_t **root) {
    *root = NULL;
    OCE_TRY(oce_tuning_path(path));
    OCE_REQUIRE(*path != NULL, OCE_ERROR_NOT_FOUND,
                "there is no place for a tuning file: OCELLI_TUNING is off, or neither it, "
                "XDG_CONFIG_HOME nor HOME is set");
    const oce_status status = oce_tuning_read(*path, root);
    if (status != OCE_ERROR_NOT_FOUND)
        return status;
    *root = empty_file();
    OCE_REQUIRE(*root != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a tuning file");
    return OCE_OK;
}

oce_status oce_tune_save(oce_device *device) {
    char *path = NULL;
    json_t *root = NULL;
    oce_tuning_find(device, "", ""); /* what the file has is in the table from here on */
    oce_status status = own_file(&path, &root);
    if (status == OCE_OK) {
        json_t *devices = json_object_get(root, "devices");
        for (size_t i = json_array_size(devices); i-- > 0;)
            if (oce_tuning_is_for(json_array_get(devices, i), device))
                json_array_remove(devices, i);
        json_array_append_new(devices, section_of(device));
        status = write_file(path, root);
    } else {
        json_decref(root);
    }
    free(path);
    return status;
}

oce_status oce_tune_export(oce_device *device, const char *path) {
    oce_tuning_find(device, "", "");
    json_t *root = empty_file();
    json_array_append_new(json_object_get(root, "devices"), section_of(device));
    return write_file(path, root);
}

/* ---- Importing ------------------------------------------------------------------------------ */

static bool is_same_device(const json_t *a, const json_t *b) {
    static const char *const names[] = {"platform", "device", "driver", "kernels"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
            return false;
    return true;
}

static bool is_same_entry(const json_t *a, const json_t *b) {
    return json_equal(json_object_get(a, "operation"), json_object_get(b, "operation")) &&
           json_equal(json_object_get(a, "shape"), json_object_get(b, "shape"));
}

/* Adds the entries of a section to another of the same device; new ones replace old ones. */
static void merge_entries(json_t *into, const json_t *from) {
    json_t *entries = json_object_get(into, "entries"), *each = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(from, "entries"), i, each) {
        for (size_t j = json_array_size(entries); j-- > 0;)
            if (is_same_entry(json_array_get(entries, j), each))
                json_array_remove(entries, j);
        json_array_append(entries, each);
    }
}

static void merge(json_t *into, const json_t *from) {
    json_t *devices = json_object_get(into, "devices"), *section = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(from, "devices"), i, section) {
        json_t *own = NULL;
        for (size_t j = 0; j < json_array_size(devices) && own == NULL; j++)
            if (is_same_device(json_array_get(devices, j), section))
                own = json_array_get(devices, j);
        if (own != NULL)
            merge_entries(own, section);
        else
            json_array_append(devices, section);
    }
}

oce_status oce_tune_import(oce_device *device, const char *path) {
    char *own_path = NULL;
    json_t *root = NULL, *given = NULL;
    oce_status status = oce_tuning_read(path, &given);
    if (status == OCE_OK)
        status = own_file(&own_path, &root);
    if (status == OCE_OK) {
        merge(root, given);
        status = write_file(own_path, root);
        root = NULL;
        oce_tuning_release(&device->tuning); /* to be read anew */
    }
    json_decref(root);
    json_decref(given);
    free(own_path);
    return status;
}
