/* The table of an open device: what was measured to be the fastest. */
#include "device/tuning.h"

#include "base/path.h"
#include "device/embedded.h"
#include "device/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void release_entry(oce_tuning_entry *entry) {
    if (entry == NULL)
        return;
    free(entry->operation);
    free(entry->shape);
    free(entry->family);
    free(entry->configuration);
    free(entry);
}

void oce_tuning_release(oce_tuning *tuning) {
    while (tuning->entries != NULL) {
        oce_tuning_entry *next = tuning->entries->next;
        release_entry(tuning->entries);
        tuning->entries = next;
    }
    tuning->is_loaded = false;
}

/* Where the entry hangs, or the end of the list. */
static oce_tuning_entry **place_of(oce_tuning *tuning, const char *operation, const char *shape) {
    oce_tuning_entry **at = &tuning->entries;
    while (*at != NULL &&
           (strcmp((*at)->operation, operation) != 0 || strcmp((*at)->shape, shape) != 0))
        at = &(*at)->next;
    return at;
}

static void take_out(oce_tuning_entry **at) {
    oce_tuning_entry *entry = *at;
    if (entry == NULL)
        return;
    *at = entry->next;
    release_entry(entry);
}

static oce_status put(oce_tuning *tuning, const oce_tuning_entry *values) {
    oce_tuning_entry *entry = calloc(1, sizeof *entry);
    OCE_REQUIRE(entry != NULL, OCE_ERROR_HOST_MEMORY, "no memory for an entry of the tuning table");
    oce_status status = oce_text_copy(values->operation, &entry->operation);
    if (status == OCE_OK)
        status = oce_text_copy(values->shape, &entry->shape);
    if (status == OCE_OK)
        status = oce_text_copy(values->family, &entry->family);
    if (status == OCE_OK)
        status = oce_text_copy(values->configuration, &entry->configuration);
    if (status != OCE_OK) {
        release_entry(entry);
        return status;
    }
    entry->speed_up = values->speed_up;
    entry->is_shipped = values->is_shipped;
    entry->is_changed = values->is_changed;
    oce_tuning_entry **at = place_of(tuning, values->operation, values->shape);
    entry->hides_shipped = *at != NULL && ((*at)->is_shipped || (*at)->hides_shipped);
    take_out(at);
    entry->next = *at;
    *at = entry;
    return OCE_OK;
}

/* The device's entries of a file that was read; fields were checked. */
static oce_status add_file(oce_device *device, const json_t *root, bool is_shipped) {
    size_t i = 0, j = 0;
    json_t *section = NULL, *each = NULL;
    json_array_foreach(json_object_get(root, "devices"), i, section) {
        if (!oce_tuning_is_for(section, device))
            continue;
        json_array_foreach(json_object_get(section, "entries"), j, each) {
            const char *configuration = json_string_value(json_object_get(each, "configuration"));
            const oce_tuning_entry values = {
                .operation = (char *)json_string_value(json_object_get(each, "operation")),
                .shape = (char *)json_string_value(json_object_get(each, "shape")),
                .family = (char *)json_string_value(json_object_get(each, "family")),
                .configuration = (char *)(configuration != NULL ? configuration : ""),
                .speed_up = json_number_value(json_object_get(each, "speed_up")),
                .is_shipped = is_shipped,
            };
            OCE_TRY(put(&device->tuning, &values));
        }
    }
    return OCE_OK;
}

static void add_shipped(oce_device *device) {
    for (const oce_embedded_file *file = oce_embedded_files; file->name != NULL; file++) {
        const char *dot = strrchr(file->name, '.');
        json_t *root = NULL;
        if (dot == NULL || strcmp(dot, ".json") != 0)
            continue;
        if (oce_tuning_parse(file->name, file->text, strlen(file->text), &root) == OCE_OK)
            add_file(device, root, true);
        else
            oce_device_notice(device, file->name, "a shipped tuning file is not used: %s",
                              oce_last_error());
        json_decref(root);
    }
}

static void add_own(oce_device *device) {
    char *path = NULL;
    json_t *root = NULL;
    if (oce_tuning_path(&path) == OCE_OK && path != NULL) {
        const oce_status status = oce_tuning_read(path, &root);
        if (status == OCE_OK)
            add_file(device, root, false);
        else if (status != OCE_ERROR_NOT_FOUND)
            oce_device_notice(device, "tuning", "the tuning file is not used: %s",
                              oce_last_error());
    }
    json_decref(root);
    free(path);
}

/* A device without tuning works: nothing here fails. */
static void load(oce_device *device) {
    if (device->tuning.is_loaded)
        return;
    device->tuning.is_loaded = true;
    if (!oce_tuning_is_on())
        return;
    add_shipped(device);
    add_own(device);
}

static bool is_on_trial(const oce_tuning *tuning, const char *operation, const char *shape) {
    return tuning->trial_operation != NULL && strcmp(tuning->trial_operation, operation) == 0 &&
           strcmp(tuning->trial_shape, shape) == 0;
}

const oce_tuning_entry *oce_tuning_find(oce_device *device, const char *operation,
                                        const char *shape) {
    load(device);
    if (is_on_trial(&device->tuning, operation, shape))
        return device->tuning.trial;
    const oce_tuning_entry *entry = *place_of(&device->tuning, operation, shape);
    return entry != NULL && !entry->is_removed ? entry : NULL;
}

oce_status oce_tuning_set(oce_device *device, const char *operation, const char *shape,
                          const char *family, const char *configuration, double speed_up) {
    load(device);
    const oce_tuning_entry values = {.operation = (char *)operation,
                                     .shape = (char *)shape,
                                     .family = (char *)family,
                                     .configuration = (char *)configuration,
                                     .speed_up = speed_up,
                                     .is_changed = true};
    return put(&device->tuning, &values);
}

void oce_tuning_remove(oce_device *device, const char *operation, const char *shape) {
    load(device);
    oce_tuning_entry *entry = *place_of(&device->tuning, operation, shape);
    if (entry == NULL || entry->is_removed)
        return;
    entry->hides_shipped = entry->hides_shipped || entry->is_shipped;
    entry->is_shipped = false;
    entry->is_changed = entry->is_removed = true;
}

void oce_tuning_try(oce_device *device, const char *operation, const char *shape,
                    const oce_tuning_entry *entry) {
    device->tuning.trial_operation = operation;
    device->tuning.trial_shape = shape;
    device->tuning.trial = entry;
}

void oce_tuning_end_trial(oce_device *device) {
    device->tuning.trial_operation = NULL;
}

/* What follows "name=" in a configuration; NULL if it is not there. */
static const char *value_of(const char *configuration, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = configuration; at != NULL && *at != '\0';) {
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    return NULL;
}

long oce_tuning_value(const char *configuration, const char *name, long missing) {
    const char *value = value_of(configuration, name);
    return value != NULL ? strtol(value, NULL, 10) : missing;
}

char oce_tuning_letter(const char *configuration, const char *name) {
    const char *value = value_of(configuration, name);
    return value != NULL ? value[0] : '\0';
}
