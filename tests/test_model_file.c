/* Models as TensorFlow checkpoints: names and bytes, loading, and exact resuming in one process. */
#include "support/checkpoint.h"
#include "support/device.h"
#include "support/scratch.h"
#include "support/tiny_network.h"

#include <ocelli/model_file.h>
#include <ocelli/train.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const float *find(const array_set *set, const char *name) {
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->arrays[i].name, name) == 0)
            return set->arrays[i].data;
    cr_assert_fail("no array %s", name);
    return NULL;
}

static void expect_sha256(const char *path, const json_t *golden, const char *key) {
    char text[65];
    size_t size = 0;
    void *data = file_load(path, &size);
    sha256_text(data, size, text);
    cr_expect_str_eq(text, json_string_value(json_object_get(golden, key)), "%s", path);
    free(data);
}

/* The start of a golden run, saved before its first step, is TensorFlow's file in every byte. */
static void expect_golden_start(const char *network, const char *vectors) {
    oce_recipe recipe;
    oce_model *model = NULL;
    oce_saver *saver = NULL;
    char *folder = scratch_create();
    oce_device *device = test_open_device();
    json_t *golden = json_load_file(vectors, 0, NULL);
    array_set start = golden_start(strcmp(network, "cifar10") == 0);
    const oce_saver_options defaults = oce_saver_defaults();
    TEST_OK(oce_recipe_get(network, &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    options.batch = 2;
    TEST_OK(oce_model_create(device, recipe.network, &options, &model));
    TEST_OK(oce_model_allocate(model));
    for (int v = 0; v < oce_model_variable_count(model); v++) {
        char name[OCE_VARIABLE_NAME];
        oce_variable variable;
        oce_model_variable(model, v, &variable);
        oce_model_variable_name(model, v, OCE_VARIABLE_VALUE, name);
        TEST_OK(oce_model_set(model, v, OCE_VARIABLE_VALUE, find(&start, name), variable.count));
    }
    TEST_OK(oce_saver_create(&defaults, &saver));
    TEST_OK(oce_model_save(model, saver, scratch_path(folder, "model"), NULL));
    expect_sha256(scratch_path(folder, "model-0.index"), golden, "model0_index_sha256");
    expect_sha256(scratch_path(folder, "model-0.data-00000-of-00001"), golden,
                  "model0_data_sha256");
    oce_saver_destroy(saver);
    oce_model_destroy(model);
    oce_device_close(device);
    array_set_free(&start);
    json_decref(golden);
    scratch_remove(folder);
}

Test(model_file, mnist_start_is_tensorflows_file) {
    expect_golden_start("mnist", "tests/vectors/golden_mnist.json");
}

Test(model_file, cifar10_start_is_tensorflows_file) {
    expect_golden_start("cifar10", "tests/vectors/golden_cifar10.json");
}

static void train(oce_model *model, int steps) {
    const int64_t batch = oce_model_get_options(model)->batch;
    for (int s = 0; s < steps; s++) {
        const uint64_t seed = 50 + oce_model_get_state(model).step;
        uint8_t *images = tiny_images(batch, seed), *labels = tiny_labels(batch, seed);
        TEST_OK(oce_model_train_step(model, images, labels, 0.01F));
        free(images);
        free(labels);
    }
}

static void expect_same_part(oce_model *a, oce_model *b, oce_variable_part part) {
    for (int v = 0; v < oce_model_variable_count(a); v++) {
        oce_variable variable;
        oce_model_variable(a, v, &variable);
        float *left = test_zeros((size_t)variable.count);
        float *right = test_zeros((size_t)variable.count);
        TEST_OK(oce_model_get(a, v, part, left, variable.count));
        TEST_OK(oce_model_get(b, v, part, right, variable.count));
        cr_expect(memcmp(left, right, (size_t)variable.count * sizeof *left) == 0,
                  "part %d of variable %d", (int)part, v);
        free(left);
        free(right);
    }
}

static oce_model_options options_for(oce_optimizer_kind kind) {
    oce_model_options options = tiny_options(4, 1);
    options.optimizer = oce_optimizer_defaults(kind, 0.01F);
    return options;
}

static void save(oce_model *model, const char *folder, const char *name) {
    const oce_saver_options defaults = oce_saver_defaults();
    oce_saver *saver = NULL;
    TEST_OK(oce_saver_create(&defaults, &saver));
    TEST_OK(oce_model_save(model, saver, scratch_path(folder, name), NULL));
    oce_saver_destroy(saver);
}

Test(model_file, every_optimizer_continues_from_its_checkpoint) {
    oce_device *device = test_open_device();
    char *folder = scratch_create();
    for (int kind = OCE_OPTIMIZER_SGD; kind <= OCE_OPTIMIZER_RMSPROP; kind++) {
        const oce_model_options options = options_for((oce_optimizer_kind)kind);
        oce_model *a = tiny_model(device, &options), *b = tiny_model(device, &options);
        bool has_slots = false;
        char name[32], prefix[64];
        train(a, 3);
        snprintf(name, sizeof name, "kind%d", kind);
        save(a, folder, name);
        snprintf(prefix, sizeof prefix, "kind%d-3", kind);
        TEST_OK(oce_model_load(b, scratch_path(folder, prefix), OCE_LOAD_ALL, &has_slots));
        cr_expect(has_slots);
        oce_model_state state = oce_model_get_state(b);
        state.step = 3;
        oce_model_set_state(b, &state);
        train(a, 2);
        train(b, 2);
        expect_same_part(a, b, OCE_VARIABLE_VALUE);
        if (oce_optimizer_slots((oce_optimizer_kind)kind) > 1)
            expect_same_part(a, b, OCE_VARIABLE_SLOT_1);
        cr_expect_eq(oce_model_get_state(a).optimizer.beta2_power,
                     oce_model_get_state(b).optimizer.beta2_power);
        oce_model_destroy(a);
        oce_model_destroy(b);
    }
    scratch_remove(folder);
    oce_device_close(device);
}

Test(model_file, names_what_is_missing_or_differs) {
    oce_device *device = test_open_device();
    char *folder = scratch_create();
    const oce_model_options sgd = options_for(OCE_OPTIMIZER_SGD);
    const oce_model_options adam = options_for(OCE_OPTIMIZER_ADAM);
    oce_model *plain = tiny_model(device, &sgd), *rich = tiny_model(device, &adam);
    oce_model *untouched = tiny_model(device, &adam), *mnist = NULL;
    bool has_slots = true;
    train(plain, 1);
    save(plain, folder, "plain");
    const char *prefix = scratch_path(folder, "plain-1");
    cr_expect_eq(oce_model_load(rich, prefix, OCE_LOAD_ALL, NULL), OCE_ERROR_NOT_FOUND);
    cr_expect(strstr(oce_last_error(), "Variable/Adam") != NULL, "%s", oce_last_error());
    expect_same_part(rich, untouched, OCE_VARIABLE_VALUE);
    TEST_OK(oce_model_load(rich, prefix, OCE_LOAD_ANY_SLOTS, &has_slots));
    cr_expect_not(has_slots);
    expect_same_part(rich, plain, OCE_VARIABLE_VALUE);
    TEST_OK(oce_model_create(device, oce_network_mnist(), &sgd, &mnist));
    TEST_OK(oce_model_allocate(mnist));
    cr_expect_eq(oce_model_load(mnist, prefix, OCE_LOAD_VARIABLES, NULL), OCE_ERROR_SHAPE);
    cr_expect(strstr(oce_last_error(), "[5, 5, 1, 32]") != NULL, "%s", oce_last_error());
    cr_expect_eq(oce_model_load(rich, scratch_path(folder, "nothing"), OCE_LOAD_ALL, NULL),
                 OCE_ERROR_NOT_FOUND);
    oce_model_destroy(plain);
    oce_model_destroy(rich);
    oce_model_destroy(untouched);
    oce_model_destroy(mnist);
    scratch_remove(folder);
    oce_device_close(device);
}

/* ---- Exact resuming ------------------------------------------------------------------------ */

enum { EXAMPLES = 30 };

typedef struct stopper {
    uint64_t at; /* stop after so many steps; 0: never */
    int saves;
} stopper;

static bool on_event(void *context, const oce_train_event *event) {
    stopper *s = context;
    s->saves += event->kind == OCE_TRAIN_SAVE;
    return event->kind != OCE_TRAIN_STEP || s->at == 0 || event->step + 1 < s->at;
}

static oce_dataset *tiny_dataset(void) {
    oce_dataset *data = NULL;
    uint8_t *images = tiny_images(EXAMPLES, 1), *labels = tiny_labels(EXAMPLES, 1);
    TEST_OK(oce_dataset_create(images, labels, EXAMPLES, TINY_HEIGHT, TINY_WIDTH, TINY_CHANNELS,
                               TINY_CLASSES, NULL, &data));
    free(images);
    free(labels);
    return data;
}

static oce_train_options run_options(stopper *stop, const oce_save_options *save_options) {
    return (oce_train_options){
        .steps = 25,
        .shuffle = OCE_SHUFFLE_EPOCH,
        .seed = 5,
        .learning_rate = {.kind = OCE_SCHEDULE_COSINE, .base = 0.02F, .period = 25, .warm_up = 3},
        .log_every = 10,
        .save = save_options,
        .callback = on_event,
        .context = stop};
}

/* A new process in all but name: what it knows comes from the folder. */
static oce_model *resumed_model(oce_device *device, const char *folder, oce_train_options *run) {
    char prefix[256];
    oce_sidecar *sidecar = NULL;
    oce_model_options options = {.training = true};
    uint64_t step = 0;
    int64_t examples = 0;
    TEST_OK(oce_checkpoint_latest(folder, prefix, sizeof prefix));
    TEST_OK(oce_sidecar_read(prefix, &sidecar));
    TEST_OK(oce_run_settings(sidecar, tiny_network(), &options, run, &step, &examples));
    cr_expect_eq(examples, EXAMPLES);
    oce_model *model = tiny_model(device, &options);
    TEST_OK(oce_model_load(model, prefix, OCE_LOAD_ALL, NULL));
    oce_model_state state = oce_model_get_state(model);
    state.step = step;
    oce_model_set_state(model, &state);
    oce_sidecar_destroy(sidecar);
    return model;
}

Test(model_file, a_resumed_run_ends_with_the_same_bits) {
    oce_device *device = test_open_device();
    oce_dataset *data = tiny_dataset();
    char *folder = scratch_create();
    oce_model_options options = options_for(OCE_OPTIMIZER_ADAM);
    options.augment = true;
    options.micro_batches = 2;
    const oce_save_options save_options = {
        .folder = folder, .name = "model", .every = 4, .saver = {.max_to_keep = 2}};
    stopper never = {0}, stop = {.at = 6};
    oce_model *whole = tiny_model(device, &options), *model = tiny_model(device, &options);
    oce_train_options run = run_options(&never, NULL);
    TEST_OK(oce_train(whole, data, &run));
    run = run_options(&stop, &save_options);
    cr_expect_eq(oce_train(model, data, &run), OCE_ERROR_INTERRUPTED);
    cr_expect_eq(stop.saves, 3, "steps 0 and 4, and where it was stopped");
    for (stop.at = 11; stop.at < 25; stop.at += 5) {
        oce_model_destroy(model);
        run = run_options(&stop, &save_options);
        run.seed = 0; /* the folder knows better */
        run.learning_rate = (oce_schedule){0};
        model = resumed_model(device, folder, &run);
        cr_expect_eq(oce_model_get_state(model).step, stop.at - 5);
        cr_expect_eq(oce_train(model, data, &run), OCE_ERROR_INTERRUPTED);
    }
    stop.at = 0;
    TEST_OK(oce_train(model, data, &run));
    expect_same_part(whole, model, OCE_VARIABLE_VALUE);
    expect_same_part(whole, model, OCE_VARIABLE_SLOT_0);
    expect_same_part(whole, model, OCE_VARIABLE_SLOT_1);
    cr_expect_eq(scratch_count(folder, ".index"), 2, "max_to_keep");
    oce_model_destroy(whole);
    oce_model_destroy(model);
    oce_dataset_destroy(data);
    scratch_remove(folder);
    oce_device_close(device);
}

Test(model_file, a_diverging_run_leaves_the_last_checkpoint_alone) {
    oce_device *device = test_open_device();
    oce_dataset *data = tiny_dataset();
    char *folder = scratch_create();
    char prefix[256];
    bool has_slots = false;
    const oce_model_options options = options_for(OCE_OPTIMIZER_SGD);
    const oce_save_options save_options = {
        .folder = folder, .name = "model", .every = 2, .saver = {.max_to_keep = 1}};
    stopper never = {0};
    oce_model *model = tiny_model(device, &options);
    oce_train_options run = run_options(&never, &save_options);
    run.steps = 3;
    TEST_OK(oce_train(model, data, &run));
    run.steps = 25;
    run.learning_rate = (oce_schedule){.base = 1e30F};
    cr_expect_eq(oce_train(model, data, &run), OCE_ERROR_DIVERGED);
    cr_expect(strstr(oce_last_error(), "layer \"") != NULL, "%s", oce_last_error());
    TEST_OK(oce_checkpoint_latest(folder, prefix, sizeof prefix));
    cr_expect(strstr(prefix, "model-2") != NULL, "%s", prefix);
    TEST_OK(oce_model_load(model, prefix, OCE_LOAD_ALL, &has_slots));
    oce_model_destroy(model);
    oce_dataset_destroy(data);
    scratch_remove(folder);
    oce_device_close(device);
}

Test(model_file, a_state_file_that_cannot_be_read_is_not_trained_over) {
    oce_device *device = test_open_device();
    oce_dataset *data = tiny_dataset();
    char *folder = scratch_create();
    const oce_model_options options = options_for(OCE_OPTIMIZER_SGD);
    const oce_save_options save_options = {.folder = folder, .name = "model", .every = 2};
    stopper never = {0};
    oce_model *model = tiny_model(device, &options);
    const oce_train_options run = run_options(&never, &save_options);
    scratch_write_text(folder, "checkpoint", "model_checkpoint_path: \"model-");
    cr_expect_eq(oce_train(model, data, &run), OCE_ERROR_FORMAT);
    cr_expect_eq(scratch_count(folder, "model"), 0);
    oce_model_destroy(model);
    oce_dataset_destroy(data);
    scratch_remove(folder);
    oce_device_close(device);
}

Test(model_file, one_process_at_a_time_trains_into_a_folder) {
    oce_device *device = test_open_device();
    oce_dataset *data = tiny_dataset();
    char *folder = scratch_create();
    oce_folder_lock *lock = NULL;
    const oce_model_options options = options_for(OCE_OPTIMIZER_SGD);
    const oce_save_options save_options = {.folder = folder, .name = "model", .every = 2};
    stopper never = {0};
    oce_model *model = tiny_model(device, &options);
    const oce_train_options run = run_options(&never, &save_options);
    TEST_OK(oce_folder_lock_acquire(folder, &lock));
    cr_expect_eq(oce_train(model, data, &run), OCE_ERROR_BUSY);
    oce_folder_lock_release(lock);
    TEST_OK(oce_train(model, data, &run));
    oce_model_destroy(model);
    oce_dataset_destroy(data);
    scratch_remove(folder);
    oce_device_close(device);
}
