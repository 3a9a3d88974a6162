/* Models as TensorFlow checkpoints. */
#include <ocelli/model_file.h>

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char beta1_power[] = "beta1_power", beta2_power[] = "beta2_power";

/* Suffix of a slot's name, by optimizer and slot. */
static const char *slot_suffix(oce_optimizer_kind kind, oce_variable_part part) {
    const bool first = part == OCE_VARIABLE_SLOT_0;
    switch (kind) {
    case OCE_OPTIMIZER_ADAM:
        return first ? "/Adam" : "/Adam_1";
    case OCE_OPTIMIZER_RMSPROP:
        return first ? "/RMSProp" : "/RMSProp_1";
    case OCE_OPTIMIZER_MOMENTUM:
        return "/Momentum";
    case OCE_OPTIMIZER_SGD:
        break;
    }
    return "";
}

void oce_model_variable_name(const oce_model *model, int index, oce_variable_part part,
                             char name[OCE_VARIABLE_NAME]) {
    const oce_optimizer_kind kind = oce_model_get_options(model)->optimizer.kind;
    const char *suffix = part == OCE_VARIABLE_VALUE ? "" : slot_suffix(kind, part);
    if (index == 0)
        snprintf(name, OCE_VARIABLE_NAME, "Variable%s", suffix);
    else
        snprintf(name, OCE_VARIABLE_NAME, "Variable_%d%s", index, suffix);
}

/* One array of a checkpoint: a part of a variable, or a scalar of the optimizer (index -1). */
typedef struct item {
    char name[OCE_VARIABLE_NAME];
    int index;
    oce_variable_part part;
    oce_variable variable; /* rank 0 and count 1 for scalars */
    float *values;
} item;

typedef struct item_list {
    item *items;
    size_t count;
} item_list;

static void release_items(item_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].values);
    free(list->items);
    *list = (item_list){0};
}

/* Fills in the name and allocates the values of the list's next item, whose other fields are set.
 */
static oce_status append_item(item_list *list, const char *name, const item *described) {
    item *next = &list->items[list->count++];
    *next = *described;
    snprintf(next->name, sizeof next->name, "%s", name);
    next->values = malloc((size_t)next->variable.count * sizeof *next->values);
    OCE_REQUIRE(next->values != NULL, OCE_ERROR_HOST_MEMORY, "no memory for \"%s\" of %lld numbers",
                name, (long long)next->variable.count);
    return OCE_OK;
}

/* Everything that a checkpoint of the model has, without or with slots and scalars. */
static oce_status list_items(const oce_model *model, bool slots, item_list *list) {
    const oce_optimizer_kind kind = oce_model_get_options(model)->optimizer.kind;
    const int variables = oce_model_variable_count(model);
    static const oce_variable_part order[] = {OCE_VARIABLE_VALUE, OCE_VARIABLE_SLOT_0,
                                              OCE_VARIABLE_SLOT_1};
    const int most = (int)(sizeof order / sizeof order[0]);
    const int wanted = 1 + (slots ? oce_optimizer_slots(kind) : 0);
    const int parts = wanted < most ? wanted : most;
    *list = (item_list){0};
    list->items = calloc((size_t)variables * (size_t)parts + 2, sizeof *list->items);
    OCE_REQUIRE(list->items != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a list of variables");
    for (int v = 0; v < variables; v++)
        for (int p = 0; p < parts; p++) {
            char name[OCE_VARIABLE_NAME];
            item next = {.index = v, .part = order[p]};
            oce_model_variable(model, v, &next.variable);
            oce_model_variable_name(model, v, order[p], name);
            OCE_TRY(append_item(list, name, &next));
        }
    if (!slots || kind != OCE_OPTIMIZER_ADAM)
        return OCE_OK;
    const item scalar = {.index = -1, .variable = {.count = 1}};
    OCE_TRY(append_item(list, beta1_power, &scalar));
    return append_item(list, beta2_power, &scalar);
}

static oce_status fetch_items(oce_model *model, item_list *list) {
    const oce_optimizer_state state = oce_model_get_state(model).optimizer;
    for (size_t i = 0; i < list->count; i++) {
        item *each = &list->items[i];
        if (each->index >= 0)
            OCE_TRY(
                oce_model_get(model, each->index, each->part, each->values, each->variable.count));
        else
            each->values[0] =
                strcmp(each->name, beta1_power) == 0 ? state.beta1_power : state.beta2_power;
    }
    return OCE_OK;
}

oce_status oce_model_save(oce_model *model, oce_saver *saver, const char *save_path,
                          const oce_sidecar *sidecar) {
    item_list list;
    oce_array *arrays = NULL;
    oce_status status = list_items(model, oce_model_get_options(model)->training, &list);
    if (status == OCE_OK)
        status = fetch_items(model, &list);
    if (status == OCE_OK) {
        arrays = calloc(list.count, sizeof *arrays);
        if (arrays == NULL)
            status = oce_fail(OCE_ERROR_HOST_MEMORY, "no memory for %zu arrays", list.count);
    }
    for (size_t i = 0; i < list.count && status == OCE_OK; i++)
        arrays[i] = (oce_array){.name = list.items[i].name,
                                .dtype = OCE_DTYPE_FLOAT32,
                                .rank = list.items[i].variable.rank,
                                .shape = list.items[i].variable.shape,
                                .data = list.items[i].values};
    if (status == OCE_OK)
        status = oce_saver_save(saver, save_path, (int64_t)oce_model_get_state(model).step, arrays,
                                list.count, sidecar);
    free(arrays);
    release_items(&list);
    return status;
}

static oce_status read_items(oce_bundle_reader *reader, item_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const item *each = &list->items[i];
        OCE_TRY(oce_bundle_reader_read(reader, each->name, each->variable.rank,
                                       each->variable.shape, each->values));
    }
    return OCE_OK;
}

static bool has_all(const oce_bundle_reader *reader, const item_list *list) {
    for (size_t i = 0; i < list->count; i++)
        if (oce_bundle_reader_find(reader, list->items[i].name) == NULL)
            return false;
    return true;
}

static oce_status store_items(oce_model *model, const item_list *list) {
    oce_model_state state = oce_model_get_state(model);
    for (size_t i = 0; i < list->count; i++) {
        const item *each = &list->items[i];
        if (each->index >= 0)
            OCE_TRY(
                oce_model_set(model, each->index, each->part, each->values, each->variable.count));
        else if (strcmp(each->name, beta1_power) == 0)
            state.optimizer.beta1_power = each->values[0];
        else
            state.optimizer.beta2_power = each->values[0];
    }
    oce_model_set_state(model, &state);
    return OCE_OK;
}

static oce_status load(oce_model *model, oce_bundle_reader *reader, oce_load_parts parts,
                       bool *has_slots) {
    item_list list;
    *has_slots = parts != OCE_LOAD_VARIABLES && oce_model_get_options(model)->training;
    oce_status status = list_items(model, *has_slots, &list);
    if (status == OCE_OK && *has_slots && parts == OCE_LOAD_ANY_SLOTS && !has_all(reader, &list)) {
        *has_slots = false;
        release_items(&list);
        status = list_items(model, false, &list);
    }
    if (status == OCE_OK)
        status = read_items(reader, &list);
    if (status == OCE_OK)
        status = store_items(model, &list);
    release_items(&list);
    return status;
}

oce_status oce_model_load(oce_model *model, const char *prefix, oce_load_parts parts,
                          bool *has_slots) {
    oce_bundle_reader *reader = NULL;
    bool loaded_slots = false;
    OCE_TRY(oce_bundle_reader_open(prefix, &reader));
    const oce_status status = load(model, reader, parts, &loaded_slots);
    oce_bundle_reader_close(reader);
    if (has_slots != NULL)
        *has_slots = status == OCE_OK && loaded_slots;
    return status;
}
