#include "checkpoint.h"

#include <ocelli/checkpoint.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t elements_of(int rank, const int64_t *shape) {
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= (size_t)shape[i];
    return count;
}

void array_set_add(array_set *set, const char *name, int rank, const int64_t *shape,
                   const float *values) {
    const size_t count = elements_of(rank, shape);
    char *own_name = malloc(strlen(name) + 1);
    int64_t *own_shape = malloc(((size_t)rank + 1) * sizeof *own_shape);
    float *own_values = malloc((count + 1) * sizeof *own_values);
    set->arrays = realloc(set->arrays, (set->count + 1) * sizeof *set->arrays);
    cr_assert(own_name && own_shape && own_values && set->arrays);
    strcpy(own_name, name);
    if (rank > 0)
        memcpy(own_shape, shape, (size_t)rank * sizeof *shape);
    memcpy(own_values, values, count * sizeof *values);
    set->arrays[set->count++] =
        (oce_array){own_name, OCE_DTYPE_FLOAT32, rank, own_shape, own_values};
}

void array_set_free(array_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        free((void *)set->arrays[i].name);
        free((void *)set->arrays[i].shape);
        free((void *)set->arrays[i].data);
    }
    free(set->arrays);
    *set = (array_set){NULL, 0};
}

/* Element i of variable v: tests/vectors/README.md. */
static float start_value(uint32_t i, uint32_t v) {
    const uint32_t seed = 1;
    const float amplitude = 0.15F;
    uint32_t h = i * 2654435761U + 0x9E3779B9U * (v + 1) + 0x85EBCA6BU * seed;
    h ^= h >> 16;
    h *= 0x7FEB352DU;
    h ^= h >> 15;
    h *= 0x846CA68BU;
    h ^= h >> 16;
    return ((float)(h >> 8) * 0x1p-24F - 0.5F) * amplitude;
}

typedef struct variable {
    int rank;
    int64_t shape[4];
} variable;

static const variable mnist[] = {{4, {5, 5, 1, 32}}, {1, {32}},   {4, {5, 5, 32, 64}}, {1, {64}},
                                 {2, {3136, 1024}},  {1, {1024}}, {2, {1024, 10}},     {1, {10}}};
static const variable cifar[] = {
    {4, {5, 5, 3, 64}},    {1, {64}},  {4, {5, 5, 64, 64}},   {1, {64}},
    {4, {3, 3, 64, 128}},  {1, {128}}, {4, {3, 3, 128, 128}}, {1, {128}},
    {4, {3, 3, 128, 128}}, {1, {128}}, {2, {8192, 384}},      {1, {384}},
    {2, {384, 10}},        {1, {10}}};

static void fill(float *values, size_t count, float value) {
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

static void add_variable(array_set *set, const variable *var, int index, const char *optimizer,
                         float slot_start, float *values) {
    const size_t count = elements_of(var->rank, var->shape);
    char name[32] = "Variable", slot[64];
    if (index > 0)
        snprintf(name, sizeof name, "Variable_%d", index);
    fill(values, count, 0);
    snprintf(slot, sizeof slot, "%s/%s_1", name, optimizer);
    array_set_add(set, slot, var->rank, var->shape, values);
    fill(values, count, slot_start);
    snprintf(slot, sizeof slot, "%s/%s", name, optimizer);
    array_set_add(set, slot, var->rank, var->shape, values);
    fill(values, count, 0.1F); /* biases */
    for (size_t i = 0; i < count && var->rank > 1; i++)
        values[i] = start_value((uint32_t)i, (uint32_t)index);
    array_set_add(set, name, var->rank, var->shape, values);
}

array_set golden_start(bool cifar10) {
    array_set set = {NULL, 0};
    const variable *variables = cifar10 ? cifar : mnist;
    const int count =
        cifar10 ? (int)(sizeof cifar / sizeof *cifar) : (int)(sizeof mnist / sizeof *mnist);
    float *values = malloc((size_t)3136 * 1024 * sizeof *values);
    cr_assert(values);
    for (int i = 0; i < count; i++)
        add_variable(&set, &variables[i], i, cifar10 ? "RMSProp" : "Adam", cifar10 ? 1.0F : 0.0F,
                     values);
    const float powers[] = {0.9F, 0.999F};
    if (!cifar10) {
        array_set_add(&set, "beta2_power", 0, NULL, &powers[1]);
        array_set_add(&set, "beta1_power", 0, NULL, &powers[0]);
    }
    free(values);
    return set;
}

array_set small_arrays(int seed) {
    array_set set = {NULL, 0};
    const int64_t matrix[] = {2, 3}, vector[] = {4};
    float values[6];
    for (int i = 0; i < 6; i++)
        values[i] = (float)(seed * 10 + i) + 0.25F;
    array_set_add(&set, "weights", 2, matrix, values);
    array_set_add(&set, "bias", 1, vector, values + 1);
    array_set_add(&set, "power", 0, NULL, values + 2);
    return set;
}

bool bundle_equals(const char *prefix, const array_set *set) {
    oce_bundle_reader *reader;
    if (oce_bundle_reader_open(prefix, &reader) != OCE_OK)
        return false;
    bool equal = oce_bundle_reader_count(reader) == set->count;
    for (size_t i = 0; i < set->count && equal; i++) {
        const oce_array *array = &set->arrays[i];
        const size_t count = elements_of(array->rank, array->shape);
        float *values = malloc((count + 1) * sizeof *values);
        cr_assert(values);
        equal = oce_bundle_reader_read(reader, array->name, array->rank, array->shape, values) ==
                    OCE_OK &&
                memcmp(values, array->data, count * sizeof *values) == 0;
        free(values);
    }
    oce_bundle_reader_close(reader);
    return equal;
}
