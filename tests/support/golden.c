#include "support/golden.h"

#include "support/device.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The start of variable `v`: README.md's formula with seed 1 and amplitude 0.15. */
static float start_value(uint32_t i, uint32_t v) {
    uint32_t h = i * 2654435761U + 0x9E3779B9U * (v + 1) + 0x85EBCA6BU;
    h ^= h >> 16;
    h *= 0x7FEB352DU;
    h ^= h >> 15;
    h *= 0x846CA68BU;
    h ^= h >> 16;
    return ((float)(h >> 8) * 0x1p-24F - 0.5F) * 0.15F;
}

static void set_start(oce_model *model) {
    for (int v = 0; v < oce_model_variable_count(model); v++) {
        oce_variable variable;
        oce_model_variable(model, v, &variable);
        float *values = test_zeros((size_t)variable.count);
        for (int64_t i = 0; i < variable.count; i++)
            values[i] = variable.is_bias ? 0.1F : start_value((uint32_t)i, (uint32_t)v);
        TEST_OK(oce_model_set(model, v, OCE_VARIABLE_VALUE, values, variable.count));
        free(values);
    }
}

static void open_data(golden *g) {
    const char *folder = getenv("OCELLI_DATA");
    char path[1024];
    if (folder == NULL || folder[0] == '\0')
        cr_skip_test("OCELLI_DATA does not name a folder with the data sets");
    if (g->recipe.network == oce_network_mnist()) {
        if (oce_dataset_open_mnist(folder, OCE_SPLIT_TRAIN, &g->data) == OCE_ERROR_NOT_FOUND)
            cr_skip_test("there is no MNIST under OCELLI_DATA");
    } else {
        snprintf(path, sizeof path, "%s/cifar10-lossless/train_first4000.bin.gz", folder);
        if (oce_dataset_open_cifar10_file(path, &g->data) == OCE_ERROR_NOT_FOUND)
            cr_skip_test("the first 4,000 records of CIFAR-10 are not under OCELLI_DATA");
    }
    cr_assert(g->data != NULL, "%s", oce_last_error());
}

golden golden_open_with(const char *file, oce_conv2d_family conv2d, bool no_winograd,
                        oce_gemm_family gemm) {
    const char *networks = getenv("OCELLI_TEST_GOLDEN_NETWORKS");
    golden g = {.gradient_tolerance = 1e-5};
    char path[256];
    json_error_t error;
    snprintf(path, sizeof path, "tests/vectors/%s", file);
    g.json = json_load_file(path, 0, &error);
    cr_assert(g.json != NULL, "%s: %s", path, error.text);
    TEST_OK(oce_recipe_get(json_string_value(json_object_get(g.json, "pipeline")), &g.recipe));
    if (networks != NULL && networks[0] != '\0' && strstr(networks, g.recipe.network->name) == NULL)
        cr_skip_test("OCELLI_TEST_GOLDEN_NETWORKS names %s only", networks);
    open_data(&g);
    g.steps = (int)json_integer_value(json_object_get(g.json, "steps"));
    oce_model_options options = oce_recipe_model_options(&g.recipe, 1);
    options.batch = json_integer_value(json_object_get(g.json, "batch"));
    options.keep_prob = 1;
    options.conv2d_family = conv2d;
    options.no_winograd = no_winograd;
    options.gemm_family = gemm;
    options.keep_gradients = true;
    if (g.recipe.network == oce_network_cifar10())
        options.input_scale = (float)json_number_value(json_object_get(g.json, "input_factor"));
    g.device = test_open_device();
    TEST_OK(oce_model_create(g.device, g.recipe.network, &options, &g.model));
    TEST_OK(oce_model_allocate(g.model));
    set_start(g.model);
    return g;
}

golden golden_open(const char *file, bool no_winograd) {
    return golden_open_with(file, OCE_CONV2D_AUTO, no_winograd, OCE_GEMM_AUTO);
}

static void golden_close(golden *g) {
    oce_model_destroy(g->model);
    oce_device_close(g->device);
    oce_dataset_destroy(g->data);
    json_decref(g->json);
}

static double number_at(const json_t *array, size_t index) {
    return json_number_value(json_array_get(array, index));
}

/* Three times TensorFlow's largest float32 drift up to step t+2, plus 2e-6 of the loss. */
static double loss_bound(const golden *g, int step) {
    const json_t *f32 = json_object_get(g->json, "losses_float32");
    const json_t *f64 = json_object_get(g->json, "losses_float64");
    double drift = 0;
    for (size_t t = 0; t <= (size_t)step + 2 && t < json_array_size(f64); t++)
        drift = fmax(drift, fabs(number_at(f32, t) - number_at(f64, t)));
    return 3 * drift + (2e-6 + g->extra_drift) * number_at(f64, (size_t)step);
}

static void check_gradients(const golden *g) {
    const json_t *all = json_object_get(g->json, "first_gradients_float64");
    cr_assert_eq((int)json_array_size(all), oce_model_variable_count(g->model));
    for (int v = 0; v < oce_model_variable_count(g->model); v++) {
        const json_t *expected = json_array_get(all, (size_t)v);
        const double l2 = json_number_value(json_object_get(expected, "l2"));
        const double largest = json_number_value(json_object_get(expected, "max_abs"));
        const json_t *head = json_object_get(expected, "head");
        oce_variable variable;
        oce_model_variable(g->model, v, &variable);
        float *values = test_zeros((size_t)variable.count);
        TEST_OK(oce_model_get(g->model, v, OCE_VARIABLE_GRADIENT, values, variable.count));
        double squares = 0, max_abs = 0;
        for (int64_t i = 0; i < variable.count; i++) {
            squares += (double)values[i] * (double)values[i];
            max_abs = fmax(max_abs, fabs((double)values[i]));
        }
        const double tolerance = g->gradient_tolerance;
        cr_expect(fabs(sqrt(squares) - l2) <= tolerance * l2,
                  "gradient %d (%s): L2 norm %.10g, expected %.10g", v, variable.layer,
                  sqrt(squares), l2);
        cr_expect(fabs(max_abs - largest) <= tolerance * largest,
                  "gradient %d (%s): largest magnitude %.10g, expected %.10g", v, variable.layer,
                  max_abs, largest);
        for (size_t i = 0; i < json_array_size(head); i++)
            cr_expect(fabs((double)values[i] - number_at(head, i)) <= tolerance * largest,
                      "gradient %d (%s), element %zu: %.10g, expected %.10g", v, variable.layer, i,
                      (double)values[i], number_at(head, i));
        free(values);
    }
}

void golden_run(golden *g) {
    const json_t *losses = json_object_get(g->json, "losses_float64");
    const int64_t batch = oce_model_get_options(g->model)->batch;
    const size_t image = (size_t)(g->recipe.network->height * g->recipe.network->width *
                                  g->recipe.network->channels);
    const char *most = getenv("OCELLI_TEST_GOLDEN_STEPS");
    if (most != NULL && atoi(most) >= 1 && atoi(most) < g->steps)
        g->steps = atoi(most);
    cr_assert(g->steps * batch <= oce_dataset_count(g->data));
    double worst = 0;
    for (int t = 0; t < g->steps; t++) {
        oce_metrics metrics;
        const size_t first = (size_t)(t * batch);
        TEST_OK(oce_model_train_step(g->model, oce_dataset_images(g->data) + first * image,
                                     oce_dataset_labels(g->data) + first, g->recipe.learning_rate));
        TEST_OK(oce_model_step_metrics(g->model, (uint64_t)t, &metrics));
        if (t == 0)
            check_gradients(g);
        const double off = fabs(metrics.loss - number_at(losses, (size_t)t));
        const double bound = loss_bound(g, t);
        worst = fmax(worst, off / bound);
        cr_expect(off <= bound, "step %d: loss %.10g, expected %.10g, off by %.3g, bound %.3g", t,
                  metrics.loss, number_at(losses, (size_t)t), off, bound);
    }
    fprintf(stderr, "largest share of the bound: %.2f\n", worst);
    golden_close(g);
}
