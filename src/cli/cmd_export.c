/* ocelli export: a checkpoint as safetensors or .npz. */
#include "cli/saved_model.h"
#include "cli/verbs.h"

#include <ocelli/array.h>
#include <ocelli/checkpoint.h>

#include <stdlib.h>

typedef struct export_values {
    const char *to;
    bool quiet;
} export_values;

static const cli_option options[] = {
    {"to", "FILE", CLI_STRING(export_values, to),
     .help = "the file to write, which ends in .safetensors or .npz"},
    CLI_QUIET_OPTION(export_values, quiet),
    {0},
};

/* Reads tensor `index` into *array, whose data the caller frees. */
static bool read_array(oce_bundle_reader *reader, size_t index, oce_array *array) {
    const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, index);
    void *data = entry->bytes < SIZE_MAX ? malloc((size_t)entry->bytes + 1) : NULL;
    *array = (oce_array){entry->name, entry->dtype, entry->rank, entry->shape, data};
    if (data == NULL)
        cli_error("no memory for tensor \"%s\" of %llu bytes", entry->name,
                  (unsigned long long)entry->bytes);
    else if (oce_bundle_reader_read_bytes(reader, index, data, (size_t)entry->bytes) != OCE_OK)
        cli_failure();
    else
        return true;
    return false;
}

/* Reads all tensors that have elements of a fixed size; false after an error. */
static bool read_all(oce_bundle_reader *reader, bool quiet, oce_array *arrays, size_t *count) {
    for (size_t i = 0; i < oce_bundle_reader_count(reader); i++) {
        const oce_bundle_entry *entry = oce_bundle_reader_entry(reader, i);
        if (oce_dtype_bytes(entry->dtype) == 0) {
            if (!quiet)
                fprintf(stderr, "left out: %s, of type %s\n", entry->name,
                        oce_dtype_name(entry->dtype));
            continue;
        }
        if (!read_array(reader, i, &arrays[(*count)++]))
            return false;
    }
    return true;
}

static int export(const export_values *given, oce_array_format format, oce_bundle_reader *reader) {
    size_t count = 0;
    oce_array *arrays = calloc(oce_bundle_reader_count(reader) + 1, sizeof *arrays);
    int code = CLI_FAILURE;
    if (arrays == NULL)
        code = cli_error("no memory for a list of tensors");
    else if (read_all(reader, given->quiet, arrays, &count))
        code = oce_arrays_write(given->to, format, arrays, count) == OCE_OK ? CLI_SUCCESS
                                                                            : cli_failure();
    if (code == CLI_SUCCESS && !given->quiet)
        printf("%s: %zu tensors\n", given->to, count);
    for (size_t i = 0; i < count; i++)
        free((void *)arrays[i].data); /* allocated above; const for writing */
    free(arrays);
    return code;
}

static int run(const cli_call *call) {
    const export_values *given = call->options;
    char prefix[CLI_PATH_BYTES];
    oce_array_format format = OCE_ARRAY_NPZ;
    oce_bundle_reader *reader = NULL;
    if (given->to == NULL)
        return cli_usage_error(call->verb, "--to FILE is missing");
    if (oce_array_format_of(given->to, &format) != OCE_OK)
        return cli_usage_error(call->verb, "--to: %s", oce_last_error());
    if (format == OCE_ARRAY_NPY)
        return cli_usage_error(call->verb, "an .npy file holds one tensor: ocelli inspect --dump");
    if (!cli_find_checkpoint(call->operands[0], prefix))
        return CLI_FAILURE;
    if (oce_bundle_reader_open(prefix, &reader) != OCE_OK)
        return cli_failure();
    const int code = export(given, format, reader);
    oce_bundle_reader_close(reader);
    return code;
}

const cli_verb cli_verb_export = {
    .name = "export",
    .operands = "PREFIX|DIR",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "writes a checkpoint as safetensors or NumPy's .npz",
    .description =
        "Writes all tensors of a checkpoint under their names. PREFIX is a checkpoint's name "
        "without .index; of a folder the newest checkpoint is taken. ocelli import is the way "
        "back. Tensors without a fixed size, strings that is, are left out.",
    .options = options,
    .options_bytes = sizeof(export_values),
    .run = run,
};
