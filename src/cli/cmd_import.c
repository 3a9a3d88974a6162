/* ocelli import: a checkpoint made of a safetensors or NumPy file. */
#include "cli/saved_model.h"
#include "cli/verbs.h"

#include <ocelli/array.h>
#include <ocelli/checkpoint.h>

#include <errno.h>
#include <string.h>

typedef struct import_values {
    const char *to;
    bool quiet;
} import_values;

static const cli_option options[] = {
    {"to", "PREFIX", CLI_STRING(import_values, to),
     .help = "the checkpoint to write: PREFIX.index and PREFIX.data-00000-of-00001"},
    CLI_QUIET_OPTION(import_values, quiet),
    {0},
};

static oce_status write_bundle(const char *prefix, const oce_array_list *list) {
    oce_bundle_writer *writer = NULL;
    const oce_array *arrays = oce_array_list_items(list);
    oce_status status = oce_bundle_writer_create(prefix, &writer);
    for (size_t i = 0; i < oce_array_list_count(list) && status == OCE_OK; i++)
        status = oce_bundle_writer_add(writer, &arrays[i]);
    if (status == OCE_OK)
        status = oce_bundle_writer_finish(writer);
    oce_bundle_writer_destroy(writer);
    return status;
}

/* Removes a sidecar that belongs to the checkpoint that was replaced. */
static int drop_stale_sidecar(const char *prefix, bool quiet) {
    oce_sidecar *sidecar = NULL;
    char path[CLI_PATH_BYTES + 16];
    const oce_status status = oce_sidecar_read(prefix, &sidecar);
    oce_sidecar_destroy(sidecar);
    if (status == OCE_OK || status == OCE_ERROR_NOT_FOUND)
        return CLI_SUCCESS;
    snprintf(path, sizeof path, "%s.ocelli", prefix);
    if (remove(path) != 0)
        return cli_error("%s belongs to another checkpoint and cannot be removed: %s", path,
                         strerror(errno));
    if (!quiet)
        fprintf(stderr, "removed %s, which belonged to the checkpoint before\n", path);
    return CLI_SUCCESS;
}

static int run(const cli_call *call) {
    const import_values *given = call->options;
    oce_array_format format = OCE_ARRAY_NPZ;
    oce_array_list *list = NULL;
    if (given->to == NULL)
        return cli_usage_error(call->verb, "--to PREFIX is missing");
    if (strlen(given->to) >= CLI_PATH_BYTES)
        return cli_error("the path is too long: %s", given->to);
    if (oce_array_format_of(call->operands[0], &format) != OCE_OK)
        return cli_usage_error(call->verb, "%s", oce_last_error());
    if (oce_arrays_read(call->operands[0], format, &list) != OCE_OK)
        return cli_failure();
    int code = CLI_FAILURE;
    if (oce_array_list_count(list) == 0)
        code = cli_error("%s holds no arrays", call->operands[0]);
    else if (write_bundle(given->to, list) != OCE_OK)
        code = cli_failure();
    else
        code = drop_stale_sidecar(given->to, given->quiet);
    if (code == CLI_SUCCESS && !given->quiet)
        printf("%s: %zu tensors\n", given->to, oce_array_list_count(list));
    oce_array_list_destroy(list);
    return code;
}

const cli_verb cli_verb_import = {
    .name = "import",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "makes a checkpoint of a safetensors or NumPy file",
    .description =
        "Writes the arrays of a .safetensors, .npz or .npy file as a TensorFlow checkpoint, each "
        "under its name; what ocelli export wrote gives the checkpoint's bytes again. The state "
        "file of a model folder stays as it is: name the checkpoint with --checkpoint or "
        "--start-from.",
    .options = options,
    .options_bytes = sizeof(import_values),
    .run = run,
};
