/* Sections of tuning files: what goes from the table, or from another file, into the user's. */
#include "device/tuning.h"

#include "base/file.h"
#include "base/path.h"
#include "device/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KERNELS_BYTES = 32 };
static const double lock_seconds = 10; /* others hold it for some milliseconds */

/* ---- Sections ------------------------------------------------------------------------------- */

/* The kernels that the device gets: their class and, on CPUs, their vectors. */
static void kernels_text(const oce_device *device, char text[KERNELS_BYTES]) {
    if (device->limits.is_cpu)
        snprintf(text, KERNELS_BYTES, "cpu %d", device->limits.vector_width);
    else
        snprintf(text, KERNELS_BYTES, "gpu");
}

static json_t *new_section(const oce_device *device) {
    const oce_device_info *info = &device->entry->info;
    char kernels[KERNELS_BYTES];
    kernels_text(device, kernels);
    return json_pack("{s:s, s:s, s:s, s:s, s:[]}", "platform", info->platform_name, "device",
                     info->name, "driver", info->driver_version, "kernels", kernels, "entries");
}

static bool is_same_device(const json_t *a, const json_t *b) {
    static const char *const names[] = {"platform", "device", "driver", "kernels"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
            return false;
    return true;
}

bool oce_tuning_is_for(const json_t *section, const oce_device *device) {
    json_t *own = new_section(device);
    const bool is_for = own != NULL && is_same_device(section, own);
    json_decref(own);
    return is_for;
}

/* The section of a file for the device of another; NULL if there is none. */
static json_t *find_section(const json_t *root, const json_t *like) {
    size_t i = 0;
    json_t *section = NULL;
    json_array_foreach(json_object_get(root, "devices"), i,
                       section) if (is_same_device(section, like)) return section;
    return NULL;
}

/* The same, added without entries if there is none; NULL if memory failed. */
static json_t *section_for(json_t *root, const json_t *like) {
    json_t *section = find_section(root, like);
    if (section != NULL)
        return section;
    section = json_copy((json_t *)like);
    if (section == NULL || json_object_set_new(section, "entries", json_array()) != 0 ||
        json_array_append_new(json_object_get(root, "devices"), section) != 0)
        return NULL;
    return section;
}

static bool is_same_entry(const json_t *a, const json_t *b) {
    return json_equal(json_object_get(a, "operation"), json_object_get(b, "operation")) &&
           json_equal(json_object_get(a, "shape"), json_object_get(b, "shape"));
}

static void take_out(json_t *section, const json_t *entry) {
    json_t *entries = json_object_get(section, "entries");
    for (size_t i = json_array_size(entries); i-- > 0;)
        if (is_same_entry(json_array_get(entries, i), entry))
            json_array_remove(entries, i);
}

/* Adds an entry, or replaces the one of its operation and shape. */
static oce_status put(json_t *section, json_t *entry) {
    take_out(section, entry);
    OCE_REQUIRE(json_array_append(json_object_get(section, "entries"), entry) == 0,
                OCE_ERROR_HOST_MEMORY, "no memory for an entry of a tuning file");
    return OCE_OK;
}

/* ---- The user's file ------------------------------------------------------------------------ */

typedef struct own_file {
    char *path;
    json_t *root;
    oce_lock *lock;
} own_file;

static void close_own(own_file *own) {
    json_decref(own->root);
    oce_lock_release(own->lock);
    free(own->path);
    *own = (own_file){0};
}

static oce_status lock_own(own_file *own) {
    char *path = NULL;
    OCE_TRY(oce_tuning_check_place(own->path));
    OCE_TRY(oce_text_format(&path, "%s.lock", own->path));
    const oce_status status = oce_lock_wait(path, lock_seconds, &own->lock);
    free(path);
    return status;
}

/* Reads it, if it is not there an empty one, and where it is to be written locks it before; *own
 * must be closed also after a failure. A damaged one is a failure, so that nothing in it is lost.
 */
static oce_status open_own(bool for_writing, own_file *own) {
    *own = (own_file){0};
    OCE_TRY(oce_tuning_place(&own->path));
    if (for_writing)
        OCE_TRY(lock_own(own));
    const oce_status status = oce_tuning_read(own->path, &own->root);
    if (status != OCE_ERROR_NOT_FOUND)
        return status;
    own->root = oce_tuning_empty();
    OCE_REQUIRE(own->root != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a tuning file");
    return OCE_OK;
}

static oce_status write_own(own_file *own) {
    json_t *root = own->root;
    own->root = NULL;
    return oce_tuning_write(own->path, root);
}

/* What this process changed in the table goes into the file's section. */
static oce_status apply_changes(const oce_device *device, json_t *section) {
    for (const oce_tuning_entry *e = device->tuning.entries; e != NULL; e = e->next) {
        if (!e->is_changed)
            continue;
        json_t *entry = json_pack("{s:s, s:s, s:s, s:s, s:f}", "operation", e->operation, "shape",
                                  e->shape, "family", e->family, "configuration", e->configuration,
                                  "speed_up", e->speed_up);
        OCE_REQUIRE(entry != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a tuning file");
        oce_status status = OCE_OK;
        if (e->is_removed)
            take_out(section, entry);
        else
            status = put(section, entry);
        json_decref(entry);
        OCE_TRY(status);
    }
    return OCE_OK;
}

/* The device's section as it is with these changes; of root, which gets one if it has none. */
static oce_status changed_section(const oce_device *device, json_t *root, json_t **section) {
    json_t *like = new_section(device);
    *section = like != NULL ? section_for(root, like) : NULL;
    json_decref(like);
    OCE_REQUIRE(*section != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a tuning file");
    return apply_changes(device, *section);
}

static bool has_changes(const oce_device *device) {
    for (const oce_tuning_entry *e = device->tuning.entries; e != NULL; e = e->next)
        if (e->is_changed)
            return true;
    return false;
}

/* A file to export to is not the user's own, which has other devices' entries too. */
static oce_status check_other(const char *path, const own_file *own) {
    char *absolute[2] = {NULL, NULL};
    oce_status status = oce_path_absolute(own->path, &absolute[0]);
    if (status == OCE_OK)
        status = oce_path_absolute(path, &absolute[1]);
    if (status == OCE_OK && strcmp(absolute[0], absolute[1]) == 0)
        status = oce_fail(OCE_ERROR_INVALID_ARGUMENT,
                          "%s: is the tuning file itself, and no place to export to", path);
    free(absolute[0]);
    free(absolute[1]);
    return status;
}

oce_status oce_tune_check(const char *path) {
    own_file own;
    oce_status status = open_own(false, &own);
    if (status == OCE_OK && path != NULL)
        status = check_other(path, &own);
    if (status == OCE_OK)
        status = oce_tuning_check_place(path != NULL ? path : own.path);
    close_own(&own);
    return status;
}

oce_status oce_tune_path(char *path, size_t bytes) {
    char *own = NULL;
    const oce_status status = oce_tuning_place(&own);
    if (status == OCE_OK)
        snprintf(path, bytes, "%s", own);
    free(own);
    return status;
}

oce_status oce_tune_save(oce_device *device) {
    own_file own;
    json_t *section = NULL;
    const bool is_changed = has_changes(device);
    oce_status status = open_own(is_changed, &own);
    if (status == OCE_OK && is_changed)
        status = changed_section(device, own.root, &section);
    if (status == OCE_OK && is_changed)
        status = write_own(&own);
    for (oce_tuning_entry *e = device->tuning.entries; status == OCE_OK && e != NULL; e = e->next)
        e->is_changed = false;
    close_own(&own);
    return status;
}

/* ---- To and from other files ---------------------------------------------------------------- */

oce_status oce_tune_export(oce_device *device, const char *path, oce_tune_copied *copied) {
    const oce_device_info *info = oce_device_get_info(device);
    oce_tune_copied count = {0};
    own_file own;
    json_t *section = NULL, *given = NULL;
    OCE_TRY(oce_tune_check(path));
    oce_status status = open_own(false, &own);
    if (status == OCE_OK)
        status = changed_section(device, own.root, &section);
    count.entries = count.for_device = (int)json_array_size(json_object_get(section, "entries"));
    count.devices = 1;
    if (status == OCE_OK && count.entries == 0)
        status = oce_fail(OCE_ERROR_NOT_FOUND,
                          "nothing to export: %s has no entry for %s (%s, driver %s, kernels %s)",
                          own.path, info->name, info->platform_name, info->driver_version,
                          json_string_value(json_object_get(section, "kernels")));
    if (status == OCE_OK) {
        given = oce_tuning_empty();
        json_array_append(json_object_get(given, "devices"), section);
        status = oce_tuning_write(path, given);
    }
    close_own(&own);
    if (status == OCE_OK && copied != NULL)
        *copied = count;
    return status;
}

/* Counts an entry that nobody understands and, of the first few, says why. */
static void leave_out(const json_t *entry, const char *why, oce_tune_copied *copied) {
    const size_t used = strlen(copied->fault);
    if (++copied->left_out <= 3)
        snprintf(copied->fault + used, sizeof copied->fault - used, "%s%.40s %.80s: %s",
                 used > 0 ? "; " : "", json_string_value(json_object_get(entry, "operation")),
                 json_string_value(json_object_get(entry, "shape")), why);
    else if (copied->left_out == 4)
        snprintf(copied->fault + used, sizeof copied->fault - used, "; ...");
}

static oce_status merge_section(json_t *root, const oce_device *device, const json_t *given,
                                oce_tuning_understands *understands, oce_tune_copied *copied) {
    size_t i = 0;
    json_t *each = NULL, *section = NULL;
    json_array_foreach(json_object_get(given, "entries"), i, each) {
        char why[OCE_TUNING_WHY] = "";
        if (!understands(each, why)) {
            leave_out(each, why, copied);
            continue;
        }
        copied->devices += section == NULL;
        section = section_for(root, given);
        OCE_REQUIRE(section != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a tuning file");
        OCE_TRY(put(section, each));
        copied->entries++;
        copied->for_device += oce_tuning_is_for(given, device);
    }
    return OCE_OK;
}

static oce_status merge(json_t *root, const oce_device *device, const char *path,
                        const json_t *given, oce_tuning_understands *understands,
                        oce_tune_copied *copied) {
    size_t i = 0;
    const json_t *section = NULL;
    json_array_foreach(json_object_get(given, "devices"), i, section)
        OCE_TRY(merge_section(root, device, section, understands, copied));
    OCE_REQUIRE(copied->entries > 0 || copied->left_out > 0, OCE_ERROR_NOT_FOUND,
                "%s: has no entries", path);
    OCE_REQUIRE(copied->entries > 0, OCE_ERROR_FORMAT,
                "%s: none of its %d entries can be understood: %s", path, copied->left_out,
                copied->fault);
    return OCE_OK;
}

oce_status oce_tuning_import(oce_device *device, const char *path,
                             oce_tuning_understands *understands, oce_tune_copied *copied) {
    own_file own = {0};
    json_t *given = NULL;
    *copied = (oce_tune_copied){0};
    oce_status status = oce_tuning_read(path, &given);
    if (status == OCE_OK)
        status = open_own(true, &own);
    if (status == OCE_OK)
        status = merge(own.root, device, path, given, understands, copied);
    if (status == OCE_OK)
        status = write_own(&own);
    if (status == OCE_OK)
        oce_tuning_release(&device->tuning); /* to be read anew */
    close_own(&own);
    json_decref(given);
    return status;
}
