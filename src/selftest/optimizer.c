/* Three steps of each optimizer on a block of parameters. */
#include "selftest/check.h"

#include "base/status.h"
#include "ref/ref.h"

#include <stdio.h>

static const double bound = 1e-6;
static const float learning_rate = 1e-2F;

enum { PARAMETERS = 100003, STEPS = 3, MOST_SLOTS = 2 };

static const int64_t dim[4] = {1, 1, 1, PARAMETERS};

typedef struct training {
    oce_optimizer_desc desc;
    float *gradients, *start, *parameters, *slots[MOST_SLOTS];
} training;

/* *t after STEPS steps on the host. */
static oce_status draw(oce_check *check, oce_optimizer_kind kind, training *t) {
    *t = (training){.desc = oce_optimizer_defaults(kind, learning_rate)};
    OCE_TRY(oce_check_floats(check, PARAMETERS, -1, 1, &t->gradients));
    OCE_TRY(oce_check_floats(check, PARAMETERS, -1, 1, &t->start));
    OCE_TRY(oce_check_floats(check, PARAMETERS, 0, 0, &t->parameters));
    for (int i = 0; i < PARAMETERS; i++)
        t->parameters[i] = t->start[i];
    for (int s = 0; s < oce_optimizer_slots(kind); s++) {
        const float first = oce_optimizer_slot_start(kind, s);
        OCE_TRY(oce_check_floats(check, PARAMETERS, first, first, &t->slots[s]));
    }
    oce_optimizer_state state = oce_optimizer_start(&t->desc);
    for (int step = 0; step < STEPS; step++)
        OCE_TRY(oce_ref_optimizer_step(&t->desc, learning_rate, &state, t->gradients, t->parameters,
                                       t->slots, PARAMETERS));
    return OCE_OK;
}

/* With in_place, the gradients come in the memory of the slot that allows it. */
static oce_status run(oce_check *check, const training *t, bool in_place, oce_tensor *parameters) {
    oce_tensor gradients, slots[MOST_SLOTS];
    const oce_optimizer_kind kind = t->desc.kind;
    OCE_TRY(oce_check_tensor(check, dim, t->gradients, &gradients));
    OCE_TRY(oce_check_tensor(check, dim, t->start, parameters));
    for (int s = 0; s < oce_optimizer_slots(kind); s++) {
        OCE_TRY(oce_check_tensor(check, dim, NULL, &slots[s]));
        OCE_TRY(oce_fill(check->device, &slots[s], oce_optimizer_slot_start(kind, s)));
    }
    for (int s = 0; in_place && s < oce_optimizer_slots(kind); s++)
        if (oce_optimizer_takes_slot(&t->desc, s))
            gradients = slots[s];
    oce_optimizer_state state = oce_optimizer_start(&t->desc);
    for (int step = 0; step < STEPS; step++) {
        if (in_place)
            OCE_TRY(oce_tensor_write(&gradients, t->gradients));
        OCE_TRY(oce_optimizer_step(check->device, &t->desc, learning_rate, &state, &gradients,
                                   parameters, slots));
    }
    return OCE_OK;
}

static oce_status check_kind(oce_check *check, oce_optimizer_kind kind, bool in_place) {
    oce_check_subject subject = {.operation = "optimizer", .bound = bound};
    snprintf(subject.shape, sizeof subject.shape, "%d steps of %d parameters", STEPS, PARAMETERS);
    snprintf(subject.family, sizeof subject.family, "%s%s", oce_optimizer_name(kind),
             in_place ? " in place" : "");
    if (!oce_check_wanted(check, &subject))
        return OCE_OK;
    training t;
    const oce_status status = draw(check, kind, &t);
    if (status == OCE_OK) {
        oce_tensor parameters;
        oce_check_start(check);
        const oce_status done = run(check, &t, in_place, &parameters);
        oce_check_tensor_is(check, &subject, done, &parameters, t.parameters);
    }
    oce_check_end(check);
    return status;
}

oce_status oce_selftest_optimizers(oce_check *check) {
    for (int kind = OCE_OPTIMIZER_SGD; kind <= OCE_OPTIMIZER_RMSPROP; kind++)
        OCE_TRY(check_kind(check, (oce_optimizer_kind)kind, false));
    return check_kind(check, OCE_OPTIMIZER_RMSPROP, true);
}
