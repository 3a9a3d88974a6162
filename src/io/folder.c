#include "io/folder.h"

#include "base/file.h"
#include "base/path.h"
#include "base/status.h"
#include "io/sidecar.h"

#include <stdlib.h>
#include <string.h>

#define LOCK_NAME ".ocelli.lock"

/* ".data-00000-of-00001": digits where the pattern has zeros. */
static bool is_data_suffix(const char *text) {
    static const char pattern[] = ".data-00000-of-00000";
    for (size_t i = 0; i < sizeof pattern; i++) /* the NUL too */
        if (pattern[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
            return false;
    return true;
}

/* Applies `act` to each data file of a checkpoint: its path and what follows the prefix. */
typedef struct data_files {
    const char *prefix, *base;
    oce_status (*act)(const char *path, const char *suffix, const char *target);
    const char *target;
} data_files;

static oce_status visit_data(void *user, const char *name) {
    const data_files *files = user;
    const size_t length = strlen(files->base);
    if (strncmp(name, files->base, length) != 0 || !is_data_suffix(name + length))
        return OCE_OK;
    char *path;
    OCE_TRY(oce_text_format(&path, "%s%s", files->prefix, name + length));
    const oce_status status = files->act(path, name + length, files->target);
    free(path);
    return status;
}

static oce_status for_data_files(const char *prefix, const char *target,
                                 oce_status (*act)(const char *path, const char *suffix,
                                                   const char *target)) {
    data_files files = {prefix, oce_path_base(prefix), act, target};
    char *folder;
    OCE_TRY(oce_path_folder(prefix, &folder));
    const oce_status status = oce_folder_visit(folder, visit_data, &files);
    free(folder);
    return status;
}

static oce_status remove_suffixed(const char *prefix, const char *suffix) {
    char *path;
    OCE_TRY(oce_text_format(&path, "%s%s", prefix, suffix));
    const oce_status status = oce_file_remove(path);
    free(path);
    return status;
}

static oce_status remove_data(const char *path, const char *suffix, const char *target) {
    (void)suffix;
    (void)target;
    return oce_file_remove(path);
}

/* Without its .index it is no checkpoint any more; the sidecar, which goes last, marks the rest as
 * ours if the process ends in between. */
oce_status oce_checkpoint_remove(const char *prefix) {
    OCE_TRY(remove_suffixed(prefix, ".meta"));
    OCE_TRY(remove_suffixed(prefix, ".index"));
    OCE_TRY(for_data_files(prefix, NULL, remove_data));
    return remove_suffixed(prefix, OCE_SIDECAR_SUFFIX);
}

static oce_status link_to(const char *path, const char *suffix, const char *target) {
    char *to;
    OCE_TRY(oce_text_format(&to, "%s%s", target, suffix));
    const oce_status status = oce_file_link(path, to);
    free(to);
    return status;
}

static oce_status link_suffixed(const char *from, const char *to, const char *suffix) {
    char *path;
    OCE_TRY(oce_text_format(&path, "%s%s", from, suffix));
    const oce_status status = oce_file_exists(path) ? link_to(path, suffix, to) : OCE_OK;
    free(path);
    return status;
}

oce_status oce_checkpoint_link(const char *from, const char *to) {
    OCE_TRY(link_suffixed(from, to, OCE_SIDECAR_SUFFIX));
    OCE_TRY(for_data_files(from, to, link_to));
    return link_suffixed(from, to, ".index");
}

oce_status oce_paths_equal(const char *a, const char *b, bool *equal) {
    char *absolute_a = NULL, *absolute_b = NULL;
    oce_status status = oce_path_absolute(a, &absolute_a);
    if (status == OCE_OK)
        status = oce_path_absolute(b, &absolute_b);
    *equal = status == OCE_OK && strcmp(absolute_a, absolute_b) == 0;
    free(absolute_a);
    free(absolute_b);
    return status;
}

/* ---- What an interrupted process leaves ---- */

static bool ends_in(const char *name, const char *ending) {
    const size_t length = strlen(name), tail = strlen(ending);
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

/* `<folder>/<name without ending>` */
static oce_status prefix_of(const char *folder, const char *name, const char *ending,
                            char **prefix) {
    OCE_TRY(oce_path_join(folder, name, prefix));
    (*prefix)[strlen(*prefix) - strlen(ending)] = 0;
    return OCE_OK;
}

static oce_status is_listed(const oce_checkpoint_state *state, const char *prefix, bool *listed) {
    OCE_TRY(oce_paths_equal(oce_checkpoint_state_latest(state), prefix, listed));
    for (size_t i = 0; i < oce_checkpoint_state_count(state) && !*listed; i++)
        OCE_TRY(oce_paths_equal(oce_checkpoint_state_path(state, i), prefix, listed));
    return OCE_OK;
}

/* A sidecar is written before and removed after the rest of its checkpoint. */
static oce_status clean_half(const char *folder, const char *name) {
    char *prefix = NULL, *index = NULL;
    oce_status status = prefix_of(folder, name, OCE_SIDECAR_SUFFIX, &prefix);
    if (status == OCE_OK)
        status = oce_text_format(&index, "%s.index", prefix);
    if (status == OCE_OK && !oce_file_exists(index))
        status = oce_checkpoint_remove(prefix);
    free(index);
    free(prefix);
    return status;
}

/* A checkpoint that was kept while it was replaced, if the state file does not need it. */
static oce_status clean_replaced(const char *folder, const char *name) {
    oce_checkpoint_state *state = NULL;
    char *prefix = NULL;
    bool listed = true;
    oce_status status = oce_checkpoint_state_read(folder, &state);
    if (status == OCE_ERROR_FORMAT || (status == OCE_OK && !oce_checkpoint_state_latest(state))) {
        oce_checkpoint_state_destroy(state); /* better keep it */
        return OCE_OK;
    }
    if (status == OCE_OK)
        status = prefix_of(folder, name, ".index", &prefix);
    if (status == OCE_OK)
        status = is_listed(state, prefix, &listed);
    if (status == OCE_OK && !listed)
        status = oce_checkpoint_remove(prefix);
    free(prefix);
    oce_checkpoint_state_destroy(state);
    return status;
}

static oce_status clean_temporary(const char *folder, const char *name) {
    char *path;
    OCE_TRY(oce_path_join(folder, name, &path));
    const oce_status status = oce_file_remove(path);
    free(path);
    return status;
}

static oce_status clean(void *user, const char *name) {
    const char *folder = user;
    if (ends_in(name, OCE_TEMPORARY_SUFFIX))
        return clean_temporary(folder, name);
    if (ends_in(name, OCE_SIDECAR_SUFFIX))
        return clean_half(folder, name);
    if (ends_in(name, OCE_REPLACED_SUFFIX ".index"))
        return clean_replaced(folder, name);
    return OCE_OK;
}

struct oce_folder_lock {
    oce_lock *lock;
};

oce_status oce_folder_lock_acquire(const char *folder, oce_folder_lock **lock) {
    *lock = NULL;
    OCE_TRY(oce_folder_create(folder));
    oce_folder_lock *created = calloc(1, sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "%s: no memory for a lock", folder);
    char *path = NULL;
    oce_status status = oce_path_join(folder, LOCK_NAME, &path);
    if (status == OCE_OK)
        status = oce_lock_acquire(path, &created->lock);
    if (status == OCE_OK)
        status = oce_folder_visit(folder, clean, (void *)folder);
    if (status == OCE_OK)
        *lock = created;
    else
        oce_folder_lock_release(created);
    free(path);
    return status;
}

void oce_folder_lock_release(oce_folder_lock *lock) {
    if (!lock)
        return;
    oce_lock_release(lock->lock);
    free(lock);
}
