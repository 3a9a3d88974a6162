/* Importing tuned entries: which of them this version understands. */
#include "device/tuning.h"
#include "ops/conv2d_internal.h"
#include "ops/gemm_internal.h"

#include <stdio.h>
#include <string.h>

static const double most_speed_up = 1e6;

static bool is_conv2d(const char *operation) {
    for (unsigned pass = OCE_PASS_FORWARD; pass <= OCE_PASS_FILTER_GRAD; pass *= 2)
        if (strcmp(operation, oce_conv2d_operation((oce_pass)pass)) == 0)
            return true;
    return false;
}

/* The names of families that compute something, which AUTO and GEMM's OWN do not. */
static bool knows_family(bool is_gemm, const char *family) {
    const int count = is_gemm ? OCE_GEMM_FAMILIES : OCE_CONV2D_FAMILIES;
    for (int i = 0; i < count; i++) {
        const bool is_choice =
            is_gemm ? i == OCE_GEMM_AUTO || i == OCE_GEMM_OWN : i == OCE_CONV2D_AUTO;
        if (!is_choice &&
            strcmp(family, is_gemm ? oce_gemm_family_name((oce_gemm_family)i)
                                   : oce_conv2d_family_name((oce_conv2d_family)i)) == 0)
            return true;
    }
    return false;
}

static bool understands(const json_t *entry, char why[OCE_TUNING_WHY]) {
    const char *operation = json_string_value(json_object_get(entry, "operation"));
    const char *family = json_string_value(json_object_get(entry, "family"));
    const char *shape = json_string_value(json_object_get(entry, "shape"));
    const json_t *speed_up = json_object_get(entry, "speed_up");
    const bool is_gemm = strcmp(operation, "gemm") == 0;
    const double speed = speed_up != NULL ? json_number_value(speed_up) : 1;
    if (!is_gemm && !is_conv2d(operation))
        snprintf(why, OCE_TUNING_WHY, "the operation is unknown");
    else if (strncmp(shape, is_gemm ? "m=" : "n=", 2) != 0)
        snprintf(why, OCE_TUNING_WHY, "that is no shape of it");
    else if (!knows_family(is_gemm, family))
        snprintf(why, OCE_TUNING_WHY, "the family \"%.40s\" is unknown", family);
    else if (speed_up != NULL && !json_is_number(speed_up))
        snprintf(why, OCE_TUNING_WHY, "\"speed_up\" is not a number");
    else if (speed < 0 || speed > most_speed_up)
        snprintf(why, OCE_TUNING_WHY, "a speed_up of %g cannot be", speed);
    else
        return true;
    return false;
}

oce_status oce_tune_import(oce_device *device, const char *path, oce_tune_copied *copied) {
    oce_tune_copied ignored;
    return oce_tuning_import(device, path, understands, copied != NULL ? copied : &ignored);
}
