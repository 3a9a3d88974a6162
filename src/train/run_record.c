#include "train/run_record.h"

#include "base/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that decides the bits of a run, besides data, device and library. */
typedef struct run {
    oce_model_options model;
    oce_train_options train;
    int64_t step, examples;
} run;

typedef enum field_type { FIELD_INT64, FIELD_ENUM, FIELD_BOOL, FIELD_FLOAT } field_type;

typedef struct field {
    const char *key;
    field_type type;
    size_t offset;
} field;

#define FIELD(key, type, member)                                                                   \
    { key, type, offsetof(run, member) }

static const field fields[] = {
    FIELD("step", FIELD_INT64, step),
    FIELD("examples", FIELD_INT64, examples),
    FIELD("batch", FIELD_INT64, model.batch),
    FIELD("micro_batches", FIELD_INT64, model.micro_batches),
    FIELD("seed", FIELD_INT64, model.seed),
    FIELD("keep_prob", FIELD_FLOAT, model.keep_prob),
    FIELD("input_scale", FIELD_FLOAT, model.input_scale),
    FIELD("augment", FIELD_BOOL, model.augment),
    FIELD("conv2d_family", FIELD_ENUM, model.conv2d_family),
    FIELD("gemm_family", FIELD_ENUM, model.gemm_family),
    FIELD("no_winograd", FIELD_BOOL, model.no_winograd),
    FIELD("optimizer", FIELD_ENUM, model.optimizer.kind),
    FIELD("optimizer.learning_rate", FIELD_FLOAT, model.optimizer.learning_rate),
    FIELD("optimizer.momentum", FIELD_FLOAT, model.optimizer.momentum),
    FIELD("optimizer.beta1", FIELD_FLOAT, model.optimizer.beta1),
    FIELD("optimizer.beta2", FIELD_FLOAT, model.optimizer.beta2),
    FIELD("optimizer.decay", FIELD_FLOAT, model.optimizer.decay),
    FIELD("optimizer.epsilon", FIELD_FLOAT, model.optimizer.epsilon),
    FIELD("batches.seed", FIELD_INT64, train.seed),
    FIELD("batches.shuffle", FIELD_ENUM, train.shuffle),
    FIELD("schedule", FIELD_ENUM, train.learning_rate.kind),
    FIELD("schedule.base", FIELD_FLOAT, train.learning_rate.base),
    FIELD("schedule.period", FIELD_INT64, train.learning_rate.period),
    FIELD("schedule.factor", FIELD_FLOAT, train.learning_rate.factor),
    FIELD("schedule.warm_up", FIELD_INT64, train.learning_rate.warm_up),
};

enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

/* Enumerations are stored as int; floats in hexadecimal, which keeps every bit. */
static void format_field(const run *r, const field *f, char *text, size_t bytes) {
    const char *place = (const char *)r + f->offset;
    int64_t whole = 0;
    int small = 0;
    bool flag = false;
    float real = 0;
    switch (f->type) {
    case FIELD_INT64:
        memcpy(&whole, place, sizeof whole);
        snprintf(text, bytes, "%" PRId64, whole);
        break;
    case FIELD_ENUM:
        memcpy(&small, place, sizeof small);
        snprintf(text, bytes, "%d", small);
        break;
    case FIELD_BOOL:
        memcpy(&flag, place, sizeof flag);
        snprintf(text, bytes, "%d", flag ? 1 : 0);
        break;
    case FIELD_FLOAT:
        memcpy(&real, place, sizeof real);
        snprintf(text, bytes, "%a", (double)real);
        break;
    }
}

static oce_status parse_field(run *r, const field *f, const char *text) {
    char *place = (char *)r + f->offset, *end = NULL;
    errno = 0;
    if (f->type == FIELD_FLOAT) {
        const float real = strtof(text, &end);
        memcpy(place, &real, sizeof real);
    } else {
        const int64_t whole = strtoll(text, &end, 10);
        const int small = (int)whole;
        const bool flag = whole != 0;
        if (f->type == FIELD_INT64)
            memcpy(place, &whole, sizeof whole);
        else if (f->type == FIELD_ENUM)
            memcpy(place, &small, sizeof small);
        else
            memcpy(place, &flag, sizeof flag);
    }
    OCE_REQUIRE(end != text && *end == '\0' && errno == 0, OCE_ERROR_FORMAT,
                "sidecar: \"%s\" of key \"%s\" is no number", text, f->key);
    return OCE_OK;
}

_Static_assert(sizeof(oce_optimizer_kind) == sizeof(int) && sizeof(oce_shuffle) == sizeof(int),
               "enumerations are stored as int");

oce_status oce_run_record_create(const oce_model *model, const oce_train_options *options,
                                 int64_t examples, oce_sidecar **result) {
    const run r = {.model = *oce_model_get_options(model),
                   .train = *options,
                   .step = (int64_t)oce_model_get_state(model).step,
                   .examples = examples};
    oce_sidecar *sidecar = NULL;
    OCE_TRY(oce_sidecar_create(&sidecar));
    oce_status status = oce_sidecar_set(sidecar, "network", oce_model_network(model)->name);
    for (int i = 0; i < FIELD_COUNT && status == OCE_OK; i++) {
        char text[64];
        format_field(&r, &fields[i], text, sizeof text);
        status = oce_sidecar_set(sidecar, fields[i].key, text);
    }
    if (status != OCE_OK) {
        oce_sidecar_destroy(sidecar);
        return status;
    }
    *result = sidecar;
    return OCE_OK;
}

oce_status oce_run_settings(const oce_sidecar *sidecar, const oce_network *network,
                            oce_model_options *model, oce_train_options *train, uint64_t *step,
                            int64_t *examples) {
    run r = {.model = *model, .train = *train};
    const char *name = oce_sidecar_get(sidecar, "network");
    OCE_REQUIRE(name != NULL && strcmp(name, network->name) == 0, OCE_ERROR_SHAPE,
                "the checkpoint is of network \"%s\", not \"%s\"", name != NULL ? name : "?",
                network->name);
    for (int i = 0; i < FIELD_COUNT; i++) {
        const char *text = oce_sidecar_get(sidecar, fields[i].key);
        OCE_REQUIRE(text != NULL, OCE_ERROR_FORMAT, "sidecar: key \"%s\" is missing",
                    fields[i].key);
        OCE_TRY(parse_field(&r, &fields[i], text));
    }
    *model = r.model;
    *train = r.train;
    *step = (uint64_t)r.step;
    *examples = r.examples;
    return OCE_OK;
}

bool oce_run_settings_equal(const oce_model_options *model_a, const oce_train_options *train_a,
                            const oce_model_options *model_b, const oce_train_options *train_b,
                            const char **first_difference) {
    const run a = {.model = *model_a, .train = *train_a},
              b = {.model = *model_b, .train = *train_b};
    for (int i = 0; i < FIELD_COUNT; i++) {
        char left[64], right[64];
        format_field(&a, &fields[i], left, sizeof left);
        format_field(&b, &fields[i], right, sizeof right);
        if (strcmp(left, right) != 0) {
            *first_difference = fields[i].key;
            return false;
        }
    }
    return true;
}
