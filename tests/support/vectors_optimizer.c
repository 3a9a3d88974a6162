/* The readers of the optimizers' vectors. */
#include "vectors_json.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

static void read_steps(vector_file *file, const json_t *vector, optimizer_vector *v,
                       const char *const slots[2]) {
    const json_t *list =
        json_object_get(vector, vectors_has(vector, "steps") ? "steps" : "steps_by_test_formula");
    v->step_count = json_array_size(list);
    cr_assert(v->step_count > 0, "%s: no steps", v->name);
    optimizer_vector_step *steps = vectors_allocate(file, v->step_count, sizeof *steps);
    v->steps = steps;
    for (size_t i = 0; i < v->step_count; i++) {
        const json_t *step = json_array_get(list, i);
        steps[i].parameters = vectors_required(file, step, "var");
        vectors_check_count(v->name, "var", steps[i].parameters, v->count);
        for (int s = 0; s < 2; s++) {
            steps[i].slots[s] = vectors_required(file, step, slots[s]);
            vectors_check_count(v->name, slots[s], steps[i].slots[s], v->count);
        }
        if (v->desc.kind == OCE_OPTIMIZER_ADAM) {
            steps[i].beta1_power = vectors_number(step, "beta1_power_after");
            steps[i].beta2_power = vectors_number(step, "beta2_power_after");
        }
    }
}

optimizer_vector vectors_optimizer(vector_file *file, size_t index) {
    const json_t *vector = vectors_at(file, index);
    const bool adam = strcmp(vectors_text(vector, "optimizer"), "AdamOptimizer") == 0;
    optimizer_vector v = {.name = vectors_label(file, index, vector),
                          .tolerance = vectors_number(vector, "tolerance")};
    cr_assert(adam || strcmp(vectors_text(vector, "optimizer"), "RMSPropOptimizer") == 0,
              "%s: unknown optimizer", v.name);
    v.desc = (oce_optimizer_desc){
        .kind = adam ? OCE_OPTIMIZER_ADAM : OCE_OPTIMIZER_RMSPROP,
        .learning_rate = (float)vectors_number(vector, "learning_rate"),
        .epsilon = (float)vectors_number(vector, "epsilon"),
    };
    if (adam) {
        v.desc.beta1 = (float)vectors_number(vector, "beta1");
        v.desc.beta2 = (float)vectors_number(vector, "beta2");
        v.start.beta1_power = (float)vectors_number(vector, "initial_beta1_power");
        v.start.beta2_power = (float)vectors_number(vector, "initial_beta2_power");
    } else {
        v.desc.decay = (float)vectors_number(vector, "decay");
        v.desc.momentum = (float)vectors_number(vector, "momentum");
    }
    v.parameters = vectors_required(file, vector, "initial_var");
    v.slots[0] = vectors_required(file, vector, adam ? "initial_m" : "initial_ms");
    v.slots[1] = vectors_required(file, vector, adam ? "initial_v" : "initial_mom");
    v.gradients = vectors_required(file, vector, "grad_every_step");
    v.count = v.parameters.count;
    vectors_check_count(v.name, "the first slot", v.slots[0], v.count);
    vectors_check_count(v.name, "the second slot", v.slots[1], v.count);
    vectors_check_count(v.name, "the gradients", v.gradients, v.count);
    static const char *const names[2][2] = {{"ms", "mom"}, {"m", "v"}};
    read_steps(file, vector, &v, names[adam]);
    return v;
}

/* The file names the optimizers only; these are the settings with which TensorFlow ran. */
static oce_optimizer_desc training_desc(const char *optimizer) {
    static const struct {
        const char *name;
        oce_optimizer_desc desc;
    } known[] = {
        {"sgd", {.kind = OCE_OPTIMIZER_SGD, .learning_rate = 0.01F}},
        {"momentum", {.kind = OCE_OPTIMIZER_MOMENTUM, .learning_rate = 0.01F, .momentum = 0.9F}},
        {"adam",
         {.kind = OCE_OPTIMIZER_ADAM,
          .learning_rate = 1e-4F,
          .beta1 = 0.9F,
          .beta2 = 0.999F,
          .epsilon = 1e-8F}},
        {"rmsprop",
         {.kind = OCE_OPTIMIZER_RMSPROP, .learning_rate = 1e-3F, .decay = 0.9F, .epsilon = 1e-10F}},
    };
    size_t i = 0;
    while (i < sizeof known / sizeof *known && strcmp(known[i].name, optimizer) != 0)
        i++;
    cr_assert(i < sizeof known / sizeof *known, "unknown optimizer %s", optimizer);
    return known[i].desc;
}

static vector_array variable(vector_file *file, const json_t *values, const char *name, int slot,
                             const char *suffix) {
    char key[64];
    snprintf(key, sizeof key, "%s/%s%s", name, suffix, slot == 0 ? "" : "_1");
    return vectors_optional(file, values, key);
}

training_vector vectors_training(vector_file *file, size_t index) {
    static const char *const suffixes[] = {[OCE_OPTIMIZER_SGD] = "none",
                                           [OCE_OPTIMIZER_MOMENTUM] = "Momentum",
                                           [OCE_OPTIMIZER_ADAM] = "Adam",
                                           [OCE_OPTIMIZER_RMSPROP] = "RMSProp"};
    const json_t *vector = vectors_at(file, index), *values = json_object_get(vector, "values");
    training_vector v = {.name = vectors_label(file, index, vector),
                         .desc = training_desc(vectors_text(vector, "optimizer")),
                         .steps = (int64_t)vectors_number(vector, "steps"),
                         .losses = vectors_required(file, vector, "losses"),
                         .w = vectors_required(file, values, "Variable"),
                         .b = vectors_required(file, values, "Variable_1")};
    vectors_check_count(v.name, "losses", v.losses, (size_t)v.steps);
    vectors_check_count(v.name, "Variable", v.w, 6);
    vectors_check_count(v.name, "Variable_1", v.b, 3);
    for (int slot = 0; slot < 2; slot++) {
        v.w_slots[slot] = variable(file, values, "Variable", slot, suffixes[v.desc.kind]);
        v.b_slots[slot] = variable(file, values, "Variable_1", slot, suffixes[v.desc.kind]);
        vectors_check_count(v.name, "a slot of Variable", v.w_slots[slot], 6);
        vectors_check_count(v.name, "a slot of Variable_1", v.b_slots[slot], 3);
    }
    if (v.desc.kind == OCE_OPTIMIZER_ADAM)
        v.state = (oce_optimizer_state){*vectors_required(file, values, "beta1_power").values,
                                        *vectors_required(file, values, "beta2_power").values};
    return v;
}
