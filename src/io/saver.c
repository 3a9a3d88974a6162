#define _DEFAULT_SOURCE
#include <ocelli/checkpoint.h>

#include "base/file.h"
#include "base/path.h"
#include "base/status.h"
#include "io/bundle_writer.h"
#include "io/folder.h"
#include "io/sidecar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATE_NAME "checkpoint"

typedef struct kept {
    char *prefix;
    double time; /* when it was saved */
} kept;

struct oce_saver {
    oce_saver_options options;
    double next_keep_time; /* a checkpoint saved later than this is spared */
    kept *list;            /* oldest first */
    size_t count, capacity;
    char *last, *warning;
};

static double system_clock(void *user) {
    (void)user;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double now(const oce_saver *saver) {
    return saver->options.clock(saver->options.clock_user);
}

oce_saver_options oce_saver_defaults(void) {
    return (oce_saver_options){.max_to_keep = 5, .keep_every_seconds = 10000.0 * 3600.0};
}

oce_status oce_saver_create(const oce_saver_options *options, oce_saver **saver) {
    *saver = NULL;
    OCE_REQUIRE(options->max_to_keep >= 0, OCE_ERROR_INVALID_ARGUMENT, "cannot keep %d checkpoints",
                options->max_to_keep);
    OCE_REQUIRE(options->keep_every_seconds >= 0, OCE_ERROR_INVALID_ARGUMENT,
                "cannot keep a checkpoint every %g seconds", options->keep_every_seconds);
    oce_saver *created = calloc(1, sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "no memory for a saver");
    created->options = *options;
    if (!created->options.clock)
        created->options.clock = system_clock;
    created->next_keep_time =
        options->keep_every_seconds > 0 ? now(created) + options->keep_every_seconds : INFINITY;
    *saver = created;
    return OCE_OK;
}

void oce_saver_destroy(oce_saver *saver) {
    if (!saver)
        return;
    for (size_t i = 0; i < saver->count; i++)
        free(saver->list[i].prefix);
    free(saver->list);
    free(saver->last);
    free(saver->warning);
    free(saver);
}

const char *oce_saver_last(const oce_saver *saver) {
    return saver->last;
}

size_t oce_saver_count(const oce_saver *saver) {
    return saver->count;
}

const char *oce_saver_path(const oce_saver *saver, size_t index) {
    return index < saver->count ? saver->list[index].prefix : NULL;
}

const char *oce_saver_warning(const oce_saver *saver) {
    return saver->warning;
}

/* ---- The list ---- */

/* Room for one more; afterwards append_kept() cannot fail. */
static oce_status make_room(oce_saver *saver) {
    if (saver->count < saver->capacity)
        return OCE_OK;
    const size_t capacity = saver->capacity * 2 + 8;
    kept *list = realloc(saver->list, capacity * sizeof *list);
    OCE_REQUIRE(list, OCE_ERROR_HOST_MEMORY, "no memory for a list of %zu checkpoints", capacity);
    saver->list = list;
    saver->capacity = capacity;
    return OCE_OK;
}

static void append_kept(oce_saver *saver, char *prefix, double time) {
    kept *added = &saver->list[saver->count++];
    added->prefix = prefix;
    added->time = time;
}

static kept remove_kept(oce_saver *saver, size_t index) {
    const kept removed = saver->list[index];
    memmove(saver->list + index, saver->list + index + 1,
            (saver->count - index - 1) * sizeof *saver->list);
    saver->count--;
    return removed;
}

/* Index in the list, or its length. */
static oce_status find_kept(const oce_saver *saver, const char *prefix, size_t *index) {
    bool equal = false;
    for (*index = 0; *index < saver->count; ++*index) {
        OCE_TRY(oce_paths_equal(saver->list[*index].prefix, prefix, &equal));
        if (equal)
            break;
    }
    return OCE_OK;
}

static oce_status recover(oce_saver *saver, const char *prefix) {
    char *index = NULL, *copy = NULL;
    double time = 0;
    OCE_TRY(oce_text_format(&index, "%s.index", prefix));
    oce_status status = oce_file_time(index, &time);
    const bool absent = status == OCE_ERROR_NOT_FOUND;
    free(index);
    if (absent)
        return OCE_OK;
    if (status == OCE_OK)
        status = make_room(saver);
    if (status == OCE_OK)
        status = oce_text_copy(prefix, &copy);
    if (status == OCE_OK)
        append_kept(saver, copy, time);
    return status;
}

oce_status oce_saver_recover(oce_saver *saver, const char *folder) {
    if (saver->options.max_to_keep == 0)
        return OCE_OK;
    oce_checkpoint_state *state;
    OCE_TRY(oce_checkpoint_state_read(folder, &state));
    while (saver->count > 0)
        free(remove_kept(saver, 0).prefix);
    oce_status status = OCE_OK;
    for (size_t i = 0; i < oce_checkpoint_state_count(state) && status == OCE_OK; i++)
        status = recover(saver, oce_checkpoint_state_path(state, i));
    oce_checkpoint_state_destroy(state);
    return status;
}

/* ---- Replacing a checkpoint of the same name ---- */

/* Writes the state file anew with `to` for each `from`; *listed is false if it has none. */
static oce_status rename_in_state(const char *folder, const char *from, const char *to,
                                  bool only_look, bool *listed) {
    oce_checkpoint_state *state;
    *listed = false;
    OCE_TRY(oce_checkpoint_state_read(folder, &state));
    const size_t count = oce_checkpoint_state_count(state);
    const char *latest = oce_checkpoint_state_latest(state);
    const char **paths = malloc((count + 1) * sizeof *paths);
    oce_status status =
        paths ? OCE_OK : oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for %zu paths", count);
    bool equal = false;
    for (size_t i = 0; i < count && status == OCE_OK; i++) {
        paths[i] = oce_checkpoint_state_path(state, i);
        status = oce_paths_equal(paths[i], from, &equal);
        if (equal)
            paths[i] = to;
        *listed = *listed || equal;
    }
    if (status == OCE_OK && latest) {
        status = oce_paths_equal(latest, from, &equal);
        if (equal)
            latest = to;
        *listed = *listed || equal;
    }
    if (status == OCE_OK && *listed && !only_look)
        status = oce_checkpoint_state_write(folder, latest, paths, count);
    free(paths);
    oce_checkpoint_state_destroy(state);
    return status;
}

/* The saver's list follows the state file. */
static oce_status rename_in_list(oce_saver *saver, const char *from, const char *to) {
    size_t index;
    OCE_TRY(find_kept(saver, from, &index));
    if (index == saver->count)
        return OCE_OK;
    char *copy;
    OCE_TRY(oce_text_copy(to, &copy));
    free(saver->list[index].prefix);
    saver->list[index].prefix = copy;
    return OCE_OK;
}

static oce_status try_to_keep(oce_saver *saver, const char *folder, const char *prefix,
                              const char *replaced) {
    bool listed;
    OCE_TRY(oce_checkpoint_link(prefix, replaced));
    OCE_TRY(oce_folder_sync(folder));
    OCE_TRY(rename_in_list(saver, prefix, replaced));
    return rename_in_state(folder, prefix, replaced, false, &listed);
}

/* Undoes try_to_keep(), unless the state file names the kept checkpoint already. Returns `why` and
 * keeps its message. */
static oce_status undo_keeping(oce_saver *saver, const char *folder, const char *prefix,
                               const char *replaced, oce_status why) {
    char message[1024];
    bool listed = true;
    strncpy(message, oce_last_error(), sizeof message - 1);
    message[sizeof message - 1] = 0;
    if (rename_in_state(folder, replaced, prefix, true, &listed) == OCE_OK && !listed &&
        rename_in_list(saver, replaced, prefix) == OCE_OK)
        (void)oce_checkpoint_remove(replaced);
    return oce_fail(why, "%s", message);
}

/* If the state file names `prefix`, keeps that checkpoint under the name `replaced` and has the
 * state file name it so. */
static oce_status keep_replaced(oce_saver *saver, const char *folder, const char *prefix,
                                const char *replaced) {
    bool listed;
    OCE_TRY(rename_in_state(folder, prefix, replaced, true, &listed));
    if (!listed)
        return OCE_OK;
    const oce_status status = try_to_keep(saver, folder, prefix, replaced);
    return status == OCE_OK ? OCE_OK : undo_keeping(saver, folder, prefix, replaced, status);
}

/* ---- Saving ---- */

/* What one call of oce_saver_save() works on. */
typedef struct job {
    oce_saver *saver;
    char *prefix, *folder, *replaced;
    oce_bundle_writer *writer;
} job;

static oce_status start(job *j, const char *save_path, int64_t step) {
    const char *base = oce_path_base(save_path);
    OCE_REQUIRE(*base, OCE_ERROR_INVALID_ARGUMENT, "'%s' names no checkpoint: it ends in a folder",
                save_path);
    OCE_REQUIRE(step >= 0 || strcmp(base, STATE_NAME) != 0, OCE_ERROR_INVALID_ARGUMENT,
                "'%s': a checkpoint cannot have the name of the state file", save_path);
    if (step >= 0)
        OCE_TRY(oce_text_format(&j->prefix, "%s-%lld", save_path, (long long)step));
    else
        OCE_TRY(oce_text_copy(save_path, &j->prefix));
    OCE_TRY(oce_path_folder(save_path, &j->folder));
    OCE_TRY(oce_text_format(&j->replaced, "%s" OCE_REPLACED_SUFFIX, j->prefix));
    OCE_TRY(oce_folder_create(j->folder));
    return oce_bundle_writer_create(j->prefix, &j->writer);
}

/* Everything of the new checkpoint, up to the names of its files. */
static oce_status write_checkpoint(job *j, const oce_array *arrays, size_t count,
                                   const oce_sidecar *sidecar) {
    uint32_t index_crc32c;
    for (size_t i = 0; i < count; i++)
        OCE_TRY(oce_bundle_writer_add(j->writer, &arrays[i]));
    OCE_TRY(oce_bundle_writer_prepare(j->writer, &index_crc32c));
    OCE_TRY(keep_replaced(j->saver, j->folder, j->prefix, j->replaced));
    if (sidecar) {
        OCE_TRY(oce_sidecar_store(sidecar, j->prefix, index_crc32c));
    } else {
        char *old;
        OCE_TRY(oce_text_format(&old, "%s" OCE_SIDECAR_SUFFIX, j->prefix));
        const oce_status status = oce_file_remove(old);
        free(old);
        OCE_TRY(status);
    }
    return oce_bundle_writer_publish(j->writer);
}

static void warn(oce_saver *saver, oce_status status) {
    if (status == OCE_OK)
        return;
    free(saver->warning);
    if (oce_text_copy(oce_last_error(), &saver->warning) != OCE_OK)
        saver->warning = NULL;
}

/* Writes the state file for the list as it will be: without the replaced checkpoint and, if it is
 * too long, the oldest, and with the new one at its end. */
static oce_status write_state(const job *j, size_t first, size_t replaced) {
    const oce_saver *saver = j->saver;
    size_t count = 0;
    const char **paths = malloc((saver->count + 1) * sizeof *paths);
    OCE_REQUIRE(paths, OCE_ERROR_HOST_MEMORY, "no memory for %zu paths", saver->count + 1);
    for (size_t i = first; i < saver->count && saver->options.max_to_keep > 0; i++)
        if (i != replaced)
            paths[count++] = saver->list[i].prefix;
    paths[count++] = j->prefix;
    const oce_status status = oce_checkpoint_state_write(j->folder, j->prefix, paths, count);
    free(paths);
    return status;
}

/* Removes a checkpoint that left the list, unless it is one of those to be spared. */
static void retire(oce_saver *saver, kept old) {
    if (old.time > saver->next_keep_time)
        saver->next_keep_time += saver->options.keep_every_seconds;
    else
        warn(saver, oce_checkpoint_remove(old.prefix));
    free(old.prefix);
}

/* Index in the list of the checkpoint that the new one replaces: that of its name, or what was kept
 * of it, now or by a process that did not finish. */
static oce_status find_replaced(const job *j, size_t *index) {
    OCE_TRY(find_kept(j->saver, j->replaced, index));
    return *index < j->saver->count ? OCE_OK : find_kept(j->saver, j->prefix, index);
}

/* Removes what was kept, which the state file no longer names. */
static oce_status remove_replaced(const job *j) {
    char *index;
    OCE_TRY(oce_text_format(&index, "%s.index", j->replaced));
    const bool present = oce_file_exists(index);
    free(index);
    return present ? oce_checkpoint_remove(j->replaced) : OCE_OK;
}

/* The state file, the list, and what they no longer name. */
static oce_status record(const job *j) {
    oce_saver *saver = j->saver;
    size_t replaced;
    OCE_TRY(find_replaced(j, &replaced));
    const size_t others = saver->count - (replaced < saver->count);
    const bool limited = saver->options.max_to_keep > 0;
    const bool full = limited && others >= (size_t)saver->options.max_to_keep;
    const size_t oldest = replaced == 0 ? 1 : 0; /* of the others */
    char *prefix = NULL, *last = NULL;
    OCE_TRY(make_room(saver));
    oce_status status = oce_text_copy(j->prefix, &prefix);
    if (status == OCE_OK)
        status = oce_text_copy(j->prefix, &last);
    if (status == OCE_OK)
        status = write_state(j, full ? oldest + 1 : 0, replaced);
    if (status != OCE_OK) {
        free(prefix);
        free(last);
        return status;
    }
    free(saver->last);
    saver->last = last;
    if (replaced < saver->count)
        free(remove_kept(saver, replaced).prefix);
    if (limited)
        append_kept(saver, prefix, now(saver));
    else
        free(prefix);
    if (full)
        retire(saver, remove_kept(saver, 0));
    warn(saver, remove_replaced(j));
    return OCE_OK;
}

oce_status oce_saver_save(oce_saver *saver, const char *save_path, int64_t step,
                          const oce_array *arrays, size_t count, const oce_sidecar *sidecar) {
    job j = {.saver = saver};
    free(saver->warning);
    saver->warning = NULL;
    oce_status status = start(&j, save_path, step);
    if (status == OCE_OK)
        status = write_checkpoint(&j, arrays, count, sidecar);
    if (status == OCE_OK)
        status = record(&j);
    oce_bundle_writer_destroy(j.writer);
    free(j.prefix);
    free(j.folder);
    free(j.replaced);
    return status;
}
