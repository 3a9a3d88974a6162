/* ocelli inspect: what is in a checkpoint. */
#define _POSIX_C_SOURCE 200809L
#include "cli/json.h"
#include "cli/saved_model.h"
#include "cli/statistics.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <ocelli/checkpoint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct inspect_values {
    const char *dump, *out;
    bool json;
} inspect_values;

static const cli_option options[] = {
    {"dump", "NAME", CLI_STRING(inspect_values, dump),
     .help = "write this tensor to an .npy file instead of showing anything"},
    {"out", "FILE", CLI_STRING(inspect_values, out), .shown_initial = "NAME.npy, '/' as '_'",
     .help = "of --dump: the file to write"},
    CLI_JSON_OPTION(inspect_values, json),
    {0},
};

/* A tensor, read. */
typedef struct tensor {
    const oce_bundle_entry *entry;
    void *data;   /* owned; NULL if it could not be read */
    char *error;  /* owned; why it could not be read, or NULL */
    size_t count; /* elements */
} tensor;

static void read_tensor(oce_bundle_reader *reader, size_t index, tensor *t) {
    const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, index);
    const char *error = "no memory for it";
    *t = (tensor){.entry = entry};
    t->data = entry->bytes < SIZE_MAX ? malloc((size_t)entry->bytes + 1) : NULL;
    if (t->data != NULL) {
        if (oce_bundle_reader_read_bytes(reader, index, t->data, (size_t)entry->bytes) == OCE_OK) {
            const size_t size = oce_dtype_bytes(entry->dtype);
            t->count = size > 0 ? (size_t)entry->bytes / size : 0;
            return;
        }
        error = oce_last_error();
    }
    free(t->data);
    t->data = NULL;
    t->error = strdup(error);
}

static void free_tensor(tensor *t) {
    free(t->data);
    free(t->error);
}

/* ---- Dumping a tensor ------------------------------------------------------------------------ */

static int fail_unknown(const oce_bundle_reader *reader, const char *prefix, const char *name) {
    const size_t count = oce_bundle_reader_count(reader);
    const char **names = calloc(count + 1, sizeof(char *));
    const char *nearest = NULL;
    for (size_t i = 0; i < count && names != NULL; i++)
        names[i] = oce_bundle_reader_entry(reader, i)->name;
    if (names != NULL)
        nearest = cli_nearest(name, names, count, sizeof(char *));
    free(names);
    return cli_error("%s: no tensor \"%s\" among its %zu%s%s%s", prefix, name, count,
                     nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "\"?" : "");
}

/* "NAME.npy" with '_' for '/', so that it is a file of the present folder. */
static char *file_of(const char *name) {
    static const char ending[] = ".npy";
    char *path = malloc(strlen(name) + sizeof ending);
    if (path == NULL)
        return NULL;
    strcpy(path, name);
    strcat(path, ending);
    for (char *c = path; *c != '\0'; c++)
        *c = *c == '/' ? '_' : *c;
    return path;
}

static int write_tensor(const tensor *t, const char *path) {
    const oce_array array = {.name = t->entry->name,
                             .dtype = t->entry->dtype,
                             .rank = t->entry->rank,
                             .shape = t->entry->shape,
                             .data = t->data};
    char shape[128];
    if (oce_arrays_write(path, OCE_ARRAY_NPY, &array, 1) != OCE_OK)
        return cli_failure();
    printf("%s: %s, %s %s\n", path, t->entry->name, oce_dtype_name(t->entry->dtype),
           oce_shape_text(t->entry->rank, t->entry->shape, shape, sizeof shape));
    return CLI_SUCCESS;
}

static int dump(const inspect_values *given, const char *prefix, oce_bundle_reader *reader) {
    size_t index = 0;
    const size_t count = oce_bundle_reader_count(reader);
    while (index < count && strcmp(oce_bundle_reader_entry(reader, index)->name, given->dump) != 0)
        index++;
    if (index == count)
        return fail_unknown(reader, prefix, given->dump);
    char *named = file_of(given->dump);
    const char *path = given->out != NULL ? given->out : named;
    tensor t;
    read_tensor(reader, index, &t);
    int code = CLI_FAILURE;
    if (path == NULL)
        code = cli_error("no memory for a file's name");
    else if (t.data == NULL)
        code = cli_error("%s", t.error != NULL ? t.error : "no memory");
    else
        code = write_tensor(&t, path);
    free_tensor(&t);
    free(named);
    return code;
}

/* ---- Showing all ----------------------------------------------------------------------------- */

static void number_cell(cli_table *table, const cli_statistics *s, double value) {
    if (s->is_known && isfinite(value))
        cli_table_cell(table, "%.6g", value);
    else
        cli_table_cell(table, "-");
}

static void add_row(cli_table *table, const tensor *t) {
    const cli_statistics s = cli_statistics_of(t->entry->dtype, t->data, t->count);
    char shape[128];
    cli_table_cell(table, "%s", t->entry->name);
    cli_table_cell(table, "%s", oce_dtype_name(t->entry->dtype));
    cli_table_cell(table, "%s",
                   oce_shape_text(t->entry->rank, t->entry->shape, shape, sizeof shape));
    cli_table_cell(table, "%llu", (unsigned long long)t->entry->bytes);
    const bool has_any = t->data != NULL && s.is_known;
    const double values[] = {s.min, s.max, s.mean, s.std};
    for (int i = 0; i < 4; i++)
        number_cell(table, &s, has_any ? values[i] : NAN);
    if (has_any)
        cli_table_cell(table, "%zu", s.non_finite);
    else
        cli_table_cell(table, "-");
    cli_table_cell(table, t->data != NULL ? "ok" : "FAILED");
}

static json_t *json_of(const tensor *t) {
    const oce_bundle_entry *entry = t->entry;
    const cli_statistics s = cli_statistics_of(entry->dtype, t->data, t->count);
    const bool has_any = t->data != NULL && s.is_known;
    json_t *shape = json_array();
    for (int i = 0; i < entry->rank; i++)
        json_array_append_new(shape, json_integer(entry->shape[i]));
    json_t *object = json_pack(
        "{s:o, s:s, s:o, s:I, s:b, s:o, s:o, s:o, s:o, s:o}", "name", cli_json_text(entry->name),
        "dtype", oce_dtype_name(entry->dtype), "shape", shape, "bytes", (json_int_t)entry->bytes,
        "checksum_ok", (int)(t->data != NULL), "min", cli_json_number(has_any ? s.min : NAN), "max",
        cli_json_number(has_any ? s.max : NAN), "mean", cli_json_number(has_any ? s.mean : NAN),
        "std", cli_json_number(has_any ? s.std : NAN), "non_finite",
        has_any ? json_integer((json_int_t)s.non_finite) : json_null());
    if (entry->slices > 0)
        json_object_set_new(object, "slices", json_integer(entry->slices));
    else
        json_object_update_new(object, json_pack("{s:i, s:I, s:I}", "shard", entry->shard, "offset",
                                                 (json_int_t)entry->offset, "crc32c",
                                                 (json_int_t)entry->crc32c));
    if (t->error != NULL)
        json_object_set_new(object, "error", cli_json_text(t->error));
    return object;
}

/* The sidecar's keys, or NULL without a usable one, which is no failure. */
static oce_sidecar *open_sidecar(const char *prefix) {
    oce_sidecar *sidecar = NULL;
    const oce_status status = oce_sidecar_read(prefix, &sidecar);
    if (status != OCE_OK && status != OCE_ERROR_NOT_FOUND)
        fprintf(stderr, "ocelli: warning: %s\n", oce_last_error());
    return status == OCE_OK ? sidecar : NULL;
}

static json_t *json_of_sidecar(const oce_sidecar *sidecar) {
    if (sidecar == NULL)
        return json_null();
    json_t *object = json_object();
    for (size_t i = 0; i < oce_sidecar_count(sidecar); i++) {
        const char *key = oce_sidecar_key(sidecar, i);
        json_object_set_new(object, key, cli_json_text(oce_sidecar_get(sidecar, key)));
    }
    return object;
}

static void print_sidecar(const oce_sidecar *sidecar) {
    if (sidecar == NULL) {
        puts("no sidecar");
        return;
    }
    cli_table *table = cli_table_create("<sidecar<");
    for (size_t i = 0; i < oce_sidecar_count(sidecar); i++) {
        const char *key = oce_sidecar_key(sidecar, i);
        cli_table_cell(table, "%s", key);
        cli_table_cell(table, "%s", oce_sidecar_get(sidecar, key));
    }
    putchar('\n');
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
}

/* Reads one tensor after the other, so that only one is in memory. */
static int show(bool json, const char *prefix, oce_bundle_reader *reader,
                const oce_sidecar *sidecar) {
    cli_table *table =
        json ? NULL
             : cli_table_create("<tensor<dtype<shape>bytes>min>max>mean>std>not finite<checksum");
    json_t *list = json ? json_array() : NULL;
    const size_t count = oce_bundle_reader_count(reader);
    uint64_t bytes = 0;
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        tensor t;
        read_tensor(reader, i, &t);
        bytes += t.entry->bytes;
        failed += t.data == NULL;
        if (json)
            json_array_append_new(list, json_of(&t));
        else
            add_row(table, &t);
        if (t.data == NULL)
            cli_error("%s", t.error != NULL ? t.error : "no memory");
        free_tensor(&t);
    }
    int code = CLI_SUCCESS;
    if (json) {
        code = cli_json_print(json_pack("{s:o, s:I, s:o, s:o}", "checkpoint", cli_json_text(prefix),
                                        "bytes", (json_int_t)bytes, "tensors", list, "sidecar",
                                        json_of_sidecar(sidecar)));
    } else {
        char text[32];
        cli_table_print(table, stdout, 0);
        printf("\n%s: %zu tensors, %s; ", prefix, count,
               cli_format_bytes(bytes, text, sizeof text));
        if (failed > 0)
            printf("%zu damaged\n", failed);
        else
            puts("every checksum is right");
        print_sidecar(sidecar);
    }
    cli_table_destroy(table);
    return failed > 0 ? CLI_FAILURE : code;
}

static int run(const cli_call *call) {
    const inspect_values *given = call->options;
    char prefix[CLI_PATH_BYTES];
    oce_bundle_reader *reader = NULL;
    if (given->out != NULL && given->dump == NULL)
        return cli_usage_error(call->verb, "--out needs --dump");
    if (given->dump != NULL && given->json)
        return cli_usage_error(call->verb, "--dump and --json exclude each other");
    if (!cli_find_checkpoint(call->operands[0], prefix))
        return CLI_FAILURE;
    if (oce_bundle_reader_open(prefix, &reader) != OCE_OK)
        return cli_failure();
    int code = CLI_FAILURE;
    if (given->dump != NULL) {
        code = dump(given, prefix, reader);
    } else {
        oce_sidecar *sidecar = open_sidecar(prefix);
        code = show(given->json, prefix, reader, sidecar);
        oce_sidecar_destroy(sidecar);
    }
    oce_bundle_reader_close(reader);
    return code;
}

const cli_verb cli_verb_inspect = {
    .name = "inspect",
    .operands = "PREFIX|DIR",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "shows what is in a checkpoint, and checks it",
    .description =
        "Lists the tensors of a TensorFlow checkpoint, whoever wrote it, with the statistics of "
        "their numbers, and checks every byte against its checksum. PREFIX is a checkpoint's name "
        "without .index; of a folder the newest checkpoint is taken. Exit code 1 if a tensor is "
        "damaged.",
    .options = options,
    .options_bytes = sizeof(inspect_values),
    .run = run,
};
