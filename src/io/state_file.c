/* The `checkpoint` file of a folder: protobuf's text format of TensorFlow's CheckpointState. */
#include <ocelli/checkpoint.h>

#include "base/file.h"
#include "base/path.h"
#include "base/status.h"
#include "io/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_NAME "checkpoint"
#define LATEST "model_checkpoint_path"
#define ALL "all_model_checkpoint_paths"

enum { LIMIT = 1 << 24 };

struct oce_checkpoint_state {
    char *latest, *warning;
    char **paths;
    size_t count, capacity;
};

void oce_checkpoint_state_destroy(oce_checkpoint_state *state) {
    if (!state)
        return;
    for (size_t i = 0; i < state->count; i++)
        free(state->paths[i]);
    free(state->paths);
    free(state->latest);
    free(state->warning);
    free(state);
}

const char *oce_checkpoint_state_latest(const oce_checkpoint_state *state) {
    return state->latest;
}

const char *oce_checkpoint_state_warning(const oce_checkpoint_state *state) {
    return state->warning;
}

size_t oce_checkpoint_state_count(const oce_checkpoint_state *state) {
    return state->count;
}

const char *oce_checkpoint_state_path(const oce_checkpoint_state *state, size_t index) {
    return index < state->count ? state->paths[index] : NULL;
}

static oce_status add_path(oce_checkpoint_state *state, const char *folder, const char *path) {
    if (state->count == state->capacity) {
        const size_t capacity = state->capacity * 2 + 8;
        char **paths = realloc(state->paths, capacity * sizeof *paths);
        OCE_REQUIRE(paths, OCE_ERROR_HOST_MEMORY, "%s: no memory for %zu checkpoints", folder,
                    capacity);
        state->paths = paths;
        state->capacity = capacity;
    }
    OCE_TRY(oce_path_join(folder, path, &state->paths[state->count]));
    state->count++;
    return OCE_OK;
}

static oce_status set_latest(oce_checkpoint_state *state, const char *folder, const char *path) {
    free(state->latest); /* the last one counts */
    state->latest = NULL;
    return *path ? oce_path_join(folder, path, &state->latest) : OCE_OK;
}

/* The fields that the file may have. */
typedef enum field { FIELD_LATEST, FIELD_ALL, FIELD_ALL_TIMES, FIELD_PRESERVED_TIME, FIELDS } field;
static const char *const field_names[FIELDS] = {LATEST, ALL, "all_model_checkpoint_timestamps",
                                                "last_preserved_timestamp"};

static bool take_field(oce_scanner *scanner, field *f) {
    const char *name;
    size_t length;
    if (!oce_scanner_name(scanner, &name, &length))
        return false;
    for (int i = 0; i < FIELDS; i++)
        if (length == strlen(field_names[i]) && memcmp(name, field_names[i], length) == 0) {
            *f = (field)i;
            return true;
        }
    char problem[64];
    snprintf(problem, sizeof problem, "unknown field '%.*s'", (int)(length < 40 ? length : 40),
             name);
    return oce_scanner_fail(scanner, problem);
}

/* *good is false if the text is malformed: then scanner->problem says why. */
static oce_status parse_value(oce_scanner *scanner, oce_checkpoint_state *state, const char *folder,
                              field f, bool *good) {
    if (f == FIELD_ALL_TIMES || f == FIELD_PRESERVED_TIME) { /* nothing here needs them */
        *good = oce_scanner_number(scanner);
        return OCE_OK;
    }
    oce_bytes value = {0};
    *good = oce_scanner_string(scanner, &value);
    oce_status status = oce_bytes_check(&value, folder);
    if (status == OCE_OK && *good)
        status = f == FIELD_LATEST ? set_latest(state, folder, oce_bytes_string(&value))
                                   : add_path(state, folder, oce_bytes_string(&value));
    oce_bytes_finish(&value);
    return status;
}

/* A field and its value, or its values in brackets. */
static oce_status parse_field(oce_scanner *scanner, oce_checkpoint_state *state, const char *folder,
                              bool *good) {
    field f = FIELD_LATEST;
    *good = take_field(scanner, &f);
    if (!*good)
        return OCE_OK;
    const bool repeated = f == FIELD_ALL || f == FIELD_ALL_TIMES;
    if (!repeated || !oce_scanner_take(scanner, '['))
        return parse_value(scanner, state, folder, f, good);
    bool more = !oce_scanner_take(scanner, ']');
    while (more) {
        OCE_TRY(parse_value(scanner, state, folder, f, good));
        if (!*good)
            break;
        more = !oce_scanner_take(scanner, ']');
        if (more && !oce_scanner_take(scanner, ',')) {
            *good = oce_scanner_fail(scanner, "a ',' or a ']' is expected");
            break;
        }
    }
    return OCE_OK;
}

static oce_status parse(oce_scanner *scanner, oce_checkpoint_state *state, const char *folder,
                        bool *good) {
    *good = true;
    while (*good && !oce_scanner_at_end(scanner))
        OCE_TRY(parse_field(scanner, state, folder, good));
    return OCE_OK;
}

/* Takes the file for absent and says why. */
static oce_status disregard(oce_checkpoint_state *state, const char *path, const char *problem) {
    for (size_t i = 0; i < state->count; i++)
        free(state->paths[i]);
    state->count = 0;
    free(state->latest);
    state->latest = NULL;
    return oce_text_format(&state->warning, "%s: %s; taken for no checkpoint", path, problem);
}

static oce_status read_state(const char *folder, const char *path, oce_checkpoint_state *state) {
    oce_bytes text;
    oce_status status = oce_file_read(path, LIMIT, &text);
    if (status == OCE_ERROR_NOT_FOUND)
        return OCE_OK;
    OCE_TRY(status);
    oce_scanner scanner;
    bool good;
    oce_scanner_init(&scanner, text.data, text.size);
    status = parse(&scanner, state, folder, &good);
    if (status == OCE_OK && !good)
        status = disregard(state, path, scanner.problem);
    else if (status == OCE_OK && !state->latest)
        status = oce_fail(OCE_ERROR_FORMAT, "%s: has no %s", path, LATEST);
    oce_bytes_finish(&text);
    return status;
}

oce_status oce_checkpoint_state_read(const char *folder, oce_checkpoint_state **state) {
    *state = NULL;
    oce_checkpoint_state *created = calloc(1, sizeof *created);
    OCE_REQUIRE(created, OCE_ERROR_HOST_MEMORY, "%s: no memory to read its state", folder);
    char *path = NULL;
    oce_status status = oce_path_join(folder, STATE_NAME, &path);
    if (status == OCE_OK)
        status = read_state(folder, path, created);
    if (status == OCE_OK)
        *state = created;
    else
        oce_checkpoint_state_destroy(created);
    free(path);
    return status;
}

/* Appends a field with a path, relative to `folder` unless one of both is absolute. */
static oce_status append_path(oce_bytes *text, const char *name, const char *folder,
                              const char *path) {
    if (oce_path_is_absolute(folder) || oce_path_is_absolute(path)) {
        oce_text_field(text, name, path);
        return OCE_OK;
    }
    char *relative;
    OCE_TRY(oce_path_relative(path, folder, &relative));
    oce_text_field(text, name, relative);
    free(relative);
    return OCE_OK;
}

static oce_status compose(oce_bytes *text, const char *folder, const char *latest,
                          const char *const *paths, size_t count) {
    OCE_TRY(append_path(text, LATEST, folder, latest));
    for (size_t i = 0; i < count; i++)
        OCE_TRY(append_path(text, ALL, folder, paths[i]));
    if (count == 0 || strcmp(paths[count - 1], latest) != 0)
        OCE_TRY(append_path(text, ALL, folder, latest));
    return oce_bytes_check(text, folder);
}

/* A checkpoint called like the state file would be mixed up with it. */
static oce_status check_latest(const char *state_path, const char *latest) {
    OCE_REQUIRE(*latest, OCE_ERROR_INVALID_ARGUMENT, "%s: no checkpoint is given", state_path);
    char *a = NULL, *b = NULL;
    oce_status status = oce_path_absolute(state_path, &a);
    if (status == OCE_OK)
        status = oce_path_absolute(latest, &b);
    if (status == OCE_OK && strcmp(a, b) == 0)
        status = oce_fail(OCE_ERROR_INVALID_ARGUMENT,
                          "%s: a checkpoint cannot have the name of the state file", latest);
    free(a);
    free(b);
    return status;
}

oce_status oce_checkpoint_state_write(const char *folder, const char *latest,
                                      const char *const *paths, size_t count) {
    oce_bytes text = {0};
    char *path;
    OCE_TRY(oce_path_join(folder, STATE_NAME, &path));
    oce_status status = check_latest(path, latest);
    if (status == OCE_OK)
        status = compose(&text, folder, latest, paths, count);
    if (status == OCE_OK)
        status = oce_file_write(path, text.data, text.size);
    oce_bytes_finish(&text);
    free(path);
    return status;
}

/* Whether `<prefix>.index` is there; a file `prefix` itself is one of the V1 format. */
static oce_status check_present(const char *folder, const char *prefix) {
    char *index;
    OCE_TRY(oce_text_format(&index, "%s.index", prefix));
    const bool present = oce_file_exists(index);
    free(index);
    if (present)
        return OCE_OK;
    OCE_REQUIRE(!oce_file_exists(prefix), OCE_ERROR_UNSUPPORTED,
                "%s: a checkpoint of TensorFlow's old V1 format", prefix);
    return oce_fail(OCE_ERROR_NOT_FOUND, "%s/" STATE_NAME " names %s, but there is no %s.index",
                    *folder ? folder : ".", prefix, prefix);
}

static oce_status take_latest(const char *folder, const oce_checkpoint_state *state, char *prefix,
                              size_t capacity) {
    OCE_REQUIRE(!state->warning, OCE_ERROR_NOT_FOUND, "%s", state->warning);
    OCE_REQUIRE(state->latest, OCE_ERROR_NOT_FOUND, "%s/" STATE_NAME ": there is no such file",
                *folder ? folder : ".");
    OCE_TRY(check_present(folder, state->latest));
    const size_t length = strlen(state->latest);
    OCE_REQUIRE(length < capacity, OCE_ERROR_OVERFLOW,
                "the checkpoint's path has %zu bytes, room is for %zu", length, capacity);
    memcpy(prefix, state->latest, length + 1);
    return OCE_OK;
}

oce_status oce_checkpoint_latest(const char *folder, char *prefix, size_t capacity) {
    oce_checkpoint_state *state;
    OCE_TRY(oce_checkpoint_state_read(folder, &state));
    const oce_status status = take_latest(folder, state, prefix, capacity);
    oce_checkpoint_state_destroy(state);
    return status;
}
