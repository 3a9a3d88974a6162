/*
 * What was measured to be the fastest on a device: for an operation and a shape a family and its
 * configuration, as text that only the operation understands.
 *
 * An open device has one table. It is read, when it is first asked for something, from the files
 * that ship with the library (tuning/) and then from the user's own, which counts first:
 * $OCELLI_TUNING, else $XDG_CONFIG_HOME/ocelli/tuning.json, else ~/.config/ocelli/tuning.json.
 * OCELLI_TUNING=off leaves the table empty. A file has a section for each device:
 *
 *   {"format": "ocelli tuning 1",
 *    "devices": [
 *      {"platform": ..., "device": ..., "driver": ..., "kernels": "cpu 16",
 *       "entries": [
 *         {"operation": "gemm", "shape": "m=50 n=1024 k=3136 ta=0 tb=0",
 *          "family": "panel", "configuration": "tile=6x4 k_block=128", "speed_up": 1.08}]}]}
 *
 * Sections of other devices, drivers or kernel classes play no part; operations and families that
 * nobody knows are passed over by those who ask. A file that cannot be read is not used, and the
 * device has a notice that names the line.
 */
#ifndef OCE_DEVICE_TUNING_H
#define OCE_DEVICE_TUNING_H

#include <ocelli/device.h>
#include <ocelli/tune.h>

#include <jansson.h>
#include <stdbool.h>

typedef struct oce_tuning_entry {
    char *operation, *shape, *family, *configuration; /* configuration "": the family's own rule */
    double speed_up;    /* over the library's rule, as measured; 0: the rule's result is wrong */
    bool is_shipped;    /* with the library */
    bool hides_shipped; /* stands before such a one */
    bool is_changed;    /* by this process, and not saved yet */
    bool is_removed;    /* nobody finds it; only the file is yet to be told */
    struct oce_tuning_entry *next;
} oce_tuning_entry;

/* Part of a device; all 0 at first. */
typedef struct oce_tuning {
    bool is_loaded;
    oce_tuning_entry *entries;
    const oce_tuning_entry *trial;             /* found instead of the entry, NULL: none, ... */
    const char *trial_operation, *trial_shape; /* ... of these; NULL: no trial */
} oce_tuning;

/* The entry, or NULL; valid until the next change. */
const oce_tuning_entry *oce_tuning_find(oce_device *device, const char *operation,
                                        const char *shape);

/* Adds an entry, or replaces the one of its operation and shape. Errors: OCE_ERROR_HOST_MEMORY. */
oce_status oce_tuning_set(oce_device *device, const char *operation, const char *shape,
                          const char *family, const char *configuration, double speed_up);
void oce_tuning_remove(oce_device *device, const char *operation, const char *shape);
void oce_tuning_release(oce_tuning *tuning);

/* Until the end of the trial `entry`, or none if NULL, is found for an operation and a shape; the
 * table stays as it is. The texts and the entry must last as long. */
void oce_tuning_try(oce_device *device, const char *operation, const char *shape,
                    const oce_tuning_entry *entry);
void oce_tuning_end_trial(oce_device *device);

/* The value of "name=" in a configuration as a number; `missing` if it is not there. */
long oce_tuning_value(const char *configuration, const char *name, long missing);
/* The same as one character; '\0' if it is not there. */
char oce_tuning_letter(const char *configuration, const char *name);

/* ---- Files (tuning_file.c) ------------------------------------------------------------------ */

/* The user's file, to be freed; *path is NULL if there is no place for one. */
oce_status oce_tuning_path(char **path);
/* The same, but no place is OCE_ERROR_NOT_FOUND: the message says why. */
oce_status oce_tuning_place(char **path);
/* True unless OCELLI_TUNING is "off". */
bool oce_tuning_is_on(void);

/* Reads and checks a file, or a shipped one's text. Errors: OCE_ERROR_NOT_FOUND, OCE_ERROR_IO,
 * OCE_ERROR_FORMAT with line and reason. */
oce_status oce_tuning_read(const char *path, json_t **root);
oce_status oce_tuning_parse(const char *name, const char *text, size_t size, json_t **root);

/* A file without sections; NULL if memory failed. */
json_t *oce_tuning_empty(void);

/* Writes a file whole or not at all, and releases the value (NULL: OCE_ERROR_HOST_MEMORY). */
oce_status oce_tuning_write(const char *path, json_t *root);
/* Whether that could be done: creates the file's folder, and writes nothing. */
oce_status oce_tuning_check_place(const char *path);

/* ---- Sections (tuning_merge.c) -------------------------------------------------------------- */

/* Whether a section of a file is for the device. */
bool oce_tuning_is_for(const json_t *section, const oce_device *device);

/* Adds to the user's file what another knows, as far as understands(entry, why) says so, where
 * `why` is room for the reason why not. The rest as oce_tune_import(), which is this. */
enum { OCE_TUNING_WHY = 160 };
typedef bool oce_tuning_understands(const json_t *entry, char why[OCE_TUNING_WHY]);
oce_status oce_tuning_import(oce_device *device, const char *path,
                             oce_tuning_understands *understands, oce_tune_copied *copied);

#endif
