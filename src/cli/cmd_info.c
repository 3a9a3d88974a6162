/* ocelli info: what a network would cost on a device, before anything is allocated. */
#include "cli/open_device.h"
#include "cli/table.h"
#include "cli/train_options.h"
#include "cli/verbs.h"

#include <jansson.h>
#include <string.h>

typedef struct info_values {
    const char *device;
    cli_model_values model;
    bool json, inference;
} info_values;

static const cli_option options[] = {
    CLI_DEVICE_OPTION(info_values, device),
    CLI_MODEL_OPTIONS(info_values, model),
    {"inference", NULL, CLI_FLAG(info_values, inference),
     .help = "plan forward passes only, without gradients and optimizer"},
    CLI_JSON_OPTION(info_values, json),
    {0},
};

static const char *or_dash(const char *text) {
    return text[0] != '\0' ? text : "-";
}

static void window_text(const oce_layer *layer, char *text, size_t bytes) {
    const oce_window *w = &layer->window;
    static const char *const paddings[] = {"same", "valid", "explicit"};
    text[0] = '\0';
    if (w->size[0] == 0)
        return;
    int used = snprintf(text, bytes, "%lldx%lld", (long long)w->size[0], (long long)w->size[1]);
    if (w->stride[0] > 1 || w->stride[1] > 1)
        used += snprintf(text + used, bytes - (size_t)used, " /%lldx%lld", (long long)w->stride[0],
                         (long long)w->stride[1]);
    if (w->dilation[0] > 1 || w->dilation[1] > 1)
        used += snprintf(text + used, bytes - (size_t)used, " *%lldx%lld",
                         (long long)w->dilation[0], (long long)w->dilation[1]);
    snprintf(text + used, bytes - (size_t)used, " %s", paddings[w->padding]);
}

static void print_layers(const oce_model *model) {
    cli_table *table = cli_table_create("<layer<kind<window>output>parameters>MFLOP forward>MFLOP "
                                        "training<forward<input gradient<weight gradient>halo");
    int64_t parameters = 0;
    double forward = 0, training = 0;
    for (int i = 0; i < oce_model_layer_count(model); i++) {
        oce_layer_info info;
        char window[96];
        oce_model_layer(model, i, &info);
        window_text(info.layer, window, sizeof window);
        parameters += info.parameters;
        forward += info.forward_flops;
        training += info.training_flops;
        cli_table_cell(table, "%s", info.layer->name);
        cli_table_cell(table, "%s", oce_layer_kind_name(info.layer->kind));
        cli_table_cell(table, "%s", window);
        cli_table_cell(table, "%lldx%lldx%lld", (long long)info.output[0],
                       (long long)info.output[1], (long long)info.output[2]);
        cli_table_cell(table, "%lld", (long long)info.parameters);
        cli_table_cell(table, "%.3f", 1e-6 * info.forward_flops);
        cli_table_cell(table, "%.3f", 1e-6 * info.training_flops);
        cli_table_cell(table, "%s", or_dash(info.forward));
        cli_table_cell(table, "%s", or_dash(info.input_grad));
        cli_table_cell(table, "%s", or_dash(info.filter_grad));
        cli_table_cell(table, "%lld,%lld,%lld,%lld", (long long)info.halo.top,
                       (long long)info.halo.bottom, (long long)info.halo.left,
                       (long long)info.halo.right);
    }
    cli_table_rule(table);
    cli_table_cell(table, "one image");
    for (int i = 0; i < 3; i++)
        cli_table_cell(table, "%s", "");
    cli_table_cell(table, "%lld", (long long)parameters);
    cli_table_cell(table, "%.3f", 1e-6 * forward);
    cli_table_cell(table, "%.3f", 1e-6 * training);
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
}

static void print_buffers(const oce_model *model) {
    char text[32];
    cli_table *table = cli_table_create("<buffer>bytes>");
    for (int i = 0; i < oce_model_buffer_count(model); i++) {
        oce_buffer_info info;
        oce_model_buffer(model, i, &info);
        cli_table_cell(table, "%s", info.name);
        cli_table_cell(table, "%zu", info.bytes);
        cli_table_cell(table, "%s", cli_format_bytes(info.bytes, text, sizeof text));
    }
    cli_table_rule(table);
    cli_table_cell(table, "all");
    cli_table_cell(table, "%zu", oce_model_bytes(model));
    cli_table_cell(table, "%s", cli_format_bytes(oce_model_bytes(model), text, sizeof text));
    putchar('\n');
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
}

static int print_json(const oce_model *model) {
    const oce_model_options *planned = oce_model_get_options(model);
    json_t *layers = json_array(), *buffers = json_array();
    for (int i = 0; i < oce_model_layer_count(model); i++) {
        oce_layer_info info;
        oce_model_layer(model, i, &info);
        json_array_append_new(
            layers,
            json_pack("{s:s, s:s, s:[I,I,I], s:I, s:f, s:f, s:s, s:s, s:s, s:[I,I,I,I]}", "name",
                      info.layer->name, "kind", oce_layer_kind_name(info.layer->kind), "output",
                      (json_int_t)info.output[0], (json_int_t)info.output[1],
                      (json_int_t)info.output[2], "parameters", (json_int_t)info.parameters,
                      "forward_flops", info.forward_flops, "training_flops", info.training_flops,
                      "forward", info.forward, "input_grad", info.input_grad, "filter_grad",
                      info.filter_grad, "halo", (json_int_t)info.halo.top,
                      (json_int_t)info.halo.bottom, (json_int_t)info.halo.left,
                      (json_int_t)info.halo.right));
    }
    for (int i = 0; i < oce_model_buffer_count(model); i++) {
        oce_buffer_info info;
        oce_model_buffer(model, i, &info);
        json_array_append_new(
            buffers, json_pack("{s:s, s:I}", "name", info.name, "bytes", (json_int_t)info.bytes));
    }
    json_t *root = json_pack("{s:s, s:I, s:I, s:o, s:o, s:I}", "network",
                             oce_model_network(model)->name, "batch", (json_int_t)planned->batch,
                             "micro_batches", (json_int_t)planned->micro_batches, "layers", layers,
                             "buffers", buffers, "bytes", (json_int_t)oce_model_bytes(model));
    const int failed = root == NULL || json_dumpf(root, stdout, JSON_INDENT(2)) != 0;
    json_decref(root);
    putchar('\n');
    return failed ? cli_error("writing JSON failed") : CLI_SUCCESS;
}

static int show(const info_values *given, oce_device *device, const oce_recipe *recipe) {
    oce_model_options planned = oce_recipe_model_options(recipe, 1);
    oce_model *model = NULL;
    if (given->model.batch > 0)
        planned.batch = given->model.batch;
    planned.micro_batches = given->model.micro_batches;
    planned.training = !given->inference;
    planned.conv2d_family = (oce_conv2d_family)given->model.conv;
    planned.no_winograd = given->model.winograd == CLI_WINOGRAD_OFF;
    planned.gemm_family = (oce_gemm_family)given->model.gemm;
    int code = CLI_SUCCESS;
    if (cli_plan_model(device, recipe->network, &planned, &model) != OCE_OK) {
        code = cli_failure();
    } else if (given->json) {
        code = print_json(model);
    } else {
        const oce_model_options *fitted = oce_model_get_options(model);
        printf("%s, batch %lld in %lld part%s\n\n", recipe->network->name, (long long)fitted->batch,
               (long long)fitted->micro_batches, fitted->micro_batches == 1 ? "" : "s");
        print_layers(model);
        print_buffers(model);
    }
    if (code == CLI_SUCCESS && oce_model_check_memory(model) != OCE_OK)
        code = cli_failure();
    oce_model_destroy(model);
    return code;
}

static int run(const cli_call *call) {
    const info_values *given = call->options;
    static const char *const networks[] = {"mnist", "cifar10", NULL};
    oce_recipe recipe;
    oce_device *device = NULL;
    if (cli_choose(call->verb, "network", networks, call->operands[0]) < 0)
        return CLI_USAGE;
    if (!cli_check_winograd(call, given->model.conv, given->model.winograd))
        return CLI_USAGE;
    if (oce_recipe_get(call->operands[0], &recipe) != OCE_OK ||
        cli_open_device(given->device, given->json, &device) != OCE_OK)
        return cli_failure();
    const int code = show(given, device, &recipe);
    cli_close_device(device, false, true);
    return code;
}

const cli_verb cli_verb_info = {
    .name = "info",
    .operands = "mnist|cifar10",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "shows layers, algorithms and memory of a network on a device",
    .description = "Prints what training would use, layer by layer and buffer by buffer, before "
                   "anything is allocated. Exit code 1 if it does not fit the device.",
    .options = options,
    .options_bytes = sizeof(info_values),
    .run = run,
};
