#include "support/variables.h"

#include "support/device.h"

#include <criterion/criterion.h>
#include <stdlib.h>

float *variable_values(oce_model *model, int index, oce_variable_part part) {
    oce_variable variable;
    oce_model_variable(model, index, &variable);
    float *values = test_zeros((size_t)variable.count);
    TEST_OK(oce_model_get(model, index, part, values, variable.count));
    return values;
}

void expect_same_variables(oce_model *a, oce_model *b, oce_variable_part part,
                           compare_limit limit) {
    for (int v = 0; v < oce_model_variable_count(a); v++) {
        oce_variable variable;
        oce_model_variable(a, v, &variable);
        float *left = variable_values(a, v, part), *right = variable_values(b, v, part);
        expect_floats(left, right, (size_t)variable.count, variable.shape, limit,
                      "part %d of variable %d (%s)", (int)part, v, variable.layer);
        free(left);
        free(right);
    }
}
