/* ocelli devices: every platform and device, which one would be picked, and what is wrong with the
 * others. */
#include "cli/options.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <ocelli/device.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct devices_options {
    const char *device;
    bool json, verbose;
} devices_options;

static const cli_option options[] = {
    CLI_DEVICE_OPTION(devices_options, device),
    CLI_JSON_OPTION(devices_options, json),
    {"verbose", NULL, CLI_FLAG(devices_options, verbose),
     .help = "print more about each device: what decides which kernels run (--json always "
             "has it all)"},
    {0},
};

/* What a selector picks. */
typedef struct choice {
    const char *selector;
    const oce_device_info *info; /* NULL: none */
    const char *reason;          /* why it was preferred */
    char error[2048];            /* why there is none */
} choice;

static choice choose(const oce_device_list *list, const char *selector) {
    choice result = {.selector = selector};
    int index = -1;
    if (oce_device_list_select(list, selector, &index, &result.reason) == OCE_OK)
        result.info = oce_device_list_get(list, index);
    else
        snprintf(result.error, sizeof result.error, "%s", oce_last_error());
    return result;
}

static void print_platforms(const oce_device_list *list) {
    cli_table *table = cli_table_create("<P<platform<vendor<version>devices");
    for (int i = 0; i < oce_device_list_platforms(list); i++) {
        const oce_platform_info *info = oce_device_list_platform(list, i);
        const char *details = strstr(info->version, "  "); /* PoCL's build options */
        const size_t length =
            details != NULL ? (size_t)(details - info->version) : strlen(info->version);
        cli_table_cell(table, "%d", i);
        cli_table_cell(table, "%s", info->name);
        cli_table_cell(table, "%s", info->vendor);
        cli_table_cell(table, "%.*s", (int)length, info->version);
        cli_table_cell(table, "%d", info->devices);
    }
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
    for (int i = 0; i < oce_device_list_platforms(list); i++)
        if (oce_device_list_platform(list, i)->problem != NULL)
            printf("! platform %d: %s\n", i, oce_device_list_platform(list, i)->problem);
}

static void print_devices(const oce_device_list *list, const oce_device_info *picked) {
    char text[32];
    cli_table *table = cli_table_create("< <selector<type<name<driver>units>memory>"
                                        "largest allocation>local memory<kind");
    for (int i = 0; i < oce_device_list_count(list); i++) {
        const oce_device_info *info = oce_device_list_get(list, i);
        cli_table_cell(table, "%s", info == picked ? "*" : info->problem != NULL ? "!" : "");
        cli_table_cell(table, "%s", info->selector);
        cli_table_cell(table, "%s", oce_device_type_name(info->type));
        cli_table_cell(table, "%s", info->name);
        cli_table_cell(table, "%s", info->driver_version);
        cli_table_cell(table, "%u", info->compute_units);
        cli_table_cell(table, "%s", cli_format_bytes(info->memory_bytes, text, sizeof text));
        cli_table_cell(table, "%s", cli_format_bytes(info->largest_allocation, text, sizeof text));
        cli_table_cell(table, "%s", cli_format_bytes(info->local_memory_bytes, text, sizeof text));
        cli_table_cell(table, "%s", info->local_memory_is_real ? "dedicated" : "plain memory");
    }
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
}

static void print_detail(cli_table *table, const char *name, const char *value) {
    cli_table_cell(table, "%s", name);
    cli_table_cell(table, "%s", value);
}

/* What a user may want to know, and the properties that decide which kernels run. */
static void print_details_of(const oce_device_info *info) {
    char text[96], size[32];
    cli_table *table = cli_table_create("<<");
    print_detail(table, "vendor", info->vendor);
    print_detail(table, "version", info->device_version);
    print_detail(table, "platform vendor", info->platform_vendor);
    snprintf(text, sizeof text, "%u MHz", info->clock_mhz);
    print_detail(table, "clock", info->clock_mhz > 0 ? text : "the driver does not say");
    snprintf(text, sizeof text, "%u floats", info->vector_width);
    print_detail(table, "native vector", text);
    const uint64_t *items = info->max_work_items;
    snprintf(text, sizeof text, "%llu items, up to %llu x %llu x %llu",
             (unsigned long long)info->max_work_group_size, (unsigned long long)items[0],
             (unsigned long long)items[1], (unsigned long long)items[2]);
    print_detail(table, "largest group", text);
    cli_format_bytes(info->local_memory_bytes, size, sizeof size);
    snprintf(text, sizeof text, "%s, %s", size,
             info->local_memory_is_real ? "dedicated" : "in plain memory");
    print_detail(table, "local memory", text);
    cli_format_bytes(info->memory_bytes, size, sizeof size);
    snprintf(text, sizeof text, "%s, %s", size,
             info->unified_memory ? "shared with the host" : "its own");
    print_detail(table, "memory", text);
    print_detail(table, "fused multiply-add", info->has_fast_fma ? "fast" : "not fast: mad()");
    if (info->cpu_kernels)
        snprintf(text, sizeof text, "for CPUs, vectors of %u floats in %u registers",
                 info->kernel_vector_width, info->vector_registers);
    print_detail(table, "kernels", info->cpu_kernels ? text : "for GPUs");
    print_detail(table, "images", info->has_images ? "yes, not used" : "no, not needed");
    print_detail(table, "extensions", info->extensions);
    printf("\n%s %s\n", info->selector, info->name);
    cli_table_print(table, stdout, 2);
    cli_table_destroy(table);
}

static void print_details(const oce_device_list *list) {
    for (int i = 0; i < oce_device_list_count(list); i++)
        print_details_of(oce_device_list_get(list, i));
}

static void print_text(const oce_device_list *list, const choice *picked, bool verbose) {
    if (oce_device_list_platforms(list) == 0)
        return; /* the error says it all */
    print_platforms(list);
    if (oce_device_list_count(list) == 0)
        return;
    putchar('\n');
    print_devices(list, picked->info);
    for (int i = 0; i < oce_device_list_count(list); i++) {
        const oce_device_info *info = oce_device_list_get(list, i);
        if (info->problem != NULL)
            printf("! device %s cannot be used: %s\n", info->selector, info->problem);
    }
    if (verbose)
        print_details(list);
    if (picked->info != NULL)
        printf("\n* \"%s\" picks %s: %s\n", picked->selector, picked->info->selector,
               picked->reason);
}

/* A string that JSON can hold whatever the driver says, or null. */
static json_t *json_text(const char *text) {
    char clean[8192];
    if (text == NULL)
        return json_null();
    snprintf(clean, sizeof clean, "%s", text);
    cli_clean_text(clean);
    return json_string(clean);
}

static json_t *json_size(uint64_t value) {
    return json_integer((json_int_t)(value < INT64_MAX ? value : INT64_MAX));
}

static json_t *json_platforms(const oce_device_list *list) {
    json_t *array = json_array();
    for (int i = 0; i < oce_device_list_platforms(list); i++) {
        const oce_platform_info *info = oce_device_list_platform(list, i);
        json_array_append_new(array, json_pack("{s:i, s:o, s:o, s:o, s:i, s:o}", //
                                               "index", i,                       //
                                               "name", json_text(info->name),    //
                                               "vendor", json_text(info->vendor), "version",
                                               json_text(info->version), //
                                               "devices", info->devices, //
                                               "problem", json_text(info->problem)));
    }
    return array;
}

static json_t *json_devices(const oce_device_list *list) {
    json_t *array = json_array();
    for (int i = 0; i < oce_device_list_count(list); i++) {
        const oce_device_info *info = oce_device_list_get(list, i);
        json_t *object = json_object();
        json_object_set_new(object, "selector", json_text(info->selector));
        json_object_set_new(object, "platform", json_integer(info->platform));
        json_object_set_new(object, "index", json_integer(info->index));
        json_object_set_new(object, "type", json_text(oce_device_type_name(info->type)));
        json_object_set_new(object, "name", json_text(info->name));
        json_object_set_new(object, "vendor", json_text(info->vendor));
        json_object_set_new(object, "platform_name", json_text(info->platform_name));
        json_object_set_new(object, "platform_vendor", json_text(info->platform_vendor));
        json_object_set_new(object, "driver_version", json_text(info->driver_version));
        json_object_set_new(object, "device_version", json_text(info->device_version));
        json_object_set_new(object, "compute_units", json_integer(info->compute_units));
        json_object_set_new(object, "clock_mhz", json_integer(info->clock_mhz));
        json_object_set_new(object, "vector_width", json_integer(info->vector_width));
        json_object_set_new(object, "memory_bytes", json_size(info->memory_bytes));
        json_object_set_new(object, "largest_allocation", json_size(info->largest_allocation));
        json_object_set_new(object, "local_memory_bytes", json_size(info->local_memory_bytes));
        json_object_set_new(object, "local_memory_is_real",
                            json_boolean(info->local_memory_is_real));
        json_object_set_new(object, "unified_memory", json_boolean(info->unified_memory));
        json_object_set_new(object, "max_work_group_size", json_size(info->max_work_group_size));
        json_object_set_new(object, "max_work_items",
                            json_pack("[I, I, I]", (json_int_t)info->max_work_items[0],
                                      (json_int_t)info->max_work_items[1],
                                      (json_int_t)info->max_work_items[2]));
        json_object_set_new(object, "has_images", json_boolean(info->has_images));
        json_object_set_new(object, "extensions", json_text(info->extensions));
        json_object_set_new(object, "has_fast_fma", json_boolean(info->has_fast_fma));
        json_object_set_new(object, "cpu_kernels", json_boolean(info->cpu_kernels));
        json_object_set_new(object, "kernel_vector_width", json_integer(info->kernel_vector_width));
        json_object_set_new(object, "vector_registers", json_integer(info->vector_registers));
        json_object_set_new(object, "problem", json_text(info->problem));
        json_array_append_new(array, object);
    }
    return array;
}

static int print_json(const oce_device_list *list, const choice *picked) {
    json_t *root = json_object();
    json_t *selection = json_object();
    json_object_set_new(selection, "selector", json_text(picked->selector));
    json_object_set_new(selection, "device",
                        json_text(picked->info != NULL ? picked->info->selector : NULL));
    json_object_set_new(selection, "reason", json_text(picked->reason));
    json_object_set_new(selection, "problem",
                        json_text(picked->info == NULL ? picked->error : NULL));
    json_object_set_new(root, "platforms", json_platforms(list));
    json_object_set_new(root, "devices", json_devices(list));
    json_object_set_new(root, "selection", selection);
    const int code = json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return code == 0 ? CLI_SUCCESS : cli_error("no memory for the JSON text");
}

static int run(const cli_call *call) {
    const devices_options *given = call->options;
    oce_device_list *list = NULL;
    if (oce_device_list_create(&list) != OCE_OK)
        return cli_failure();
    const choice picked = choose(list, given->device != NULL ? given->device : "auto");
    int code = CLI_SUCCESS;
    if (given->json)
        code = print_json(list, &picked);
    else
        print_text(list, &picked, given->verbose);
    oce_device_list_destroy(list);
    if (picked.info == NULL && code == CLI_SUCCESS) {
        fflush(stdout);
        code = cli_error("%s", picked.error);
    }
    return code;
}

const cli_verb cli_verb_devices = {
    .name = "devices",
    .summary = "lists every OpenCL platform and device, and which one would be used",
    .description = "Lists every OpenCL platform and device, which of them the selector picks (*), "
                   "and for each platform or device that cannot be used (!) the reason. The column "
                   "\"selector\" is what --device takes; \"kind\" says whether local memory is "
                   "dedicated hardware or a part of plain memory.\n\n"
                   "The exit code is 1 if nothing usable fits the selector, also when no OpenCL "
                   "driver is installed; the error then says what to install.",
    .options = options,
    .options_bytes = sizeof(devices_options),
    .run = run,
};
