/* The variables of models on the host, one and those of two. */
#ifndef TESTS_SUPPORT_VARIABLES_H
#define TESTS_SUPPORT_VARIABLES_H

#include "support/compare.h"

#include <ocelli/model.h>

/* A part of a variable; free() it. */
float *variable_values(oce_model *model, int index, oce_variable_part part);

/* Compares a part of all variables of two models of one network. */
void expect_same_variables(oce_model *a, oce_model *b, oce_variable_part part, compare_limit limit);

#endif
