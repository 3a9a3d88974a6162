/* tools/gpu-configs, which tools/gpu-report compiles offline, against the programs that the library
 * builds for devices of the GPU class. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "device/internal.h"
#include "ops/tile_config.h"
#include "support/device.h"

#include <ocelli/elementwise.h>
#include <ocelli/model.h>
#include <ocelli/optimizer.h>
#include <ocelli/softmax.h>
#include <ocelli/train.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char table_file[] = "tools/gpu-configs";

/* ---- The table ------------------------------------------------------------------------------- */

enum { LINES_MAX = 400, LINE_LENGTH = 512, TILES_MAX = 16 };

typedef struct config {
    char file[64], kernels[256], tags[64], options[LINE_LENGTH];
    int line; /* of the table: all tiles of an @tiles have one */
    bool is_used;
} config;

typedef struct configs {
    config list[LINES_MAX];
    int count;
    char tiles[TILES_MAX][LINE_LENGTH]; /* options of each tile, with a blank before each */
    int tile_count;
} configs;

static void add(configs *all, const config *base, const char *tile) {
    cr_assert_lt(all->count, LINES_MAX);
    config *c = &all->list[all->count++];
    *c = *base;
    strncat(c->options, tile, sizeof c->options - strlen(c->options) - 1);
}

/* The words of a line behind its first `skip`, each with a blank before it, without @tiles. */
static bool options_of(char *line, int skip, char *options, size_t bytes) {
    bool has_tiles = false;
    options[0] = '\0';
    for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        if (skip-- > 0)
            continue;
        if (strcmp(word, "@tiles") == 0)
            has_tiles = true;
        else
            snprintf(options + strlen(options), bytes - strlen(options), " %s", word);
    }
    return has_tiles;
}

static configs *read_table(void) {
    configs *all = calloc(1, sizeof *all);
    FILE *file = fopen(table_file, "r");
    char line[LINE_LENGTH];
    cr_assert(all != NULL && file != NULL, "%s", table_file);
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        config c = {.line = number};
        cr_assert_lt(number, LINES_MAX);
        line[strcspn(line, "#")] = '\0';
        if (sscanf(line, "%63s %255s %63s", c.file, c.kernels, c.tags) < 2)
            continue;
        if (strcmp(c.file, "tile") == 0) {
            cr_assert_lt(all->tile_count, TILES_MAX);
            options_of(line, 4, all->tiles[all->tile_count++], LINE_LENGTH);
            continue;
        }
        if (!options_of(line, 3, c.options, sizeof c.options)) {
            add(all, &c, "");
            continue;
        }
        for (int t = 0; t < all->tile_count; t++)
            add(all, &c, all->tiles[t]);
    }
    fclose(file);
    return all;
}

/* ---- What the library builds ----------------------------------------------------------------- */

/* The options of a program that not every program has. */
static void own_options(const char *key, char *options, size_t bytes) {
    static const char *const common[] = {
        " -DOCE_CPU=", " -DOCE_VECTOR_WIDTH=", " -DOCE_FAST_FMA=", " -DOCE_DECLARES_BUILTINS="};
    options[0] = '\0';
    for (const char *at = strstr(key, " -D"); at != NULL; at = strstr(at + 1, " -D")) {
        bool is_common = false;
        for (int i = 0; i < OCE_COUNT(common); i++)
            is_common = is_common || strncmp(at, common[i], strlen(common[i])) == 0;
        const size_t used = strlen(options);
        if (!is_common)
            snprintf(options + used, bytes - used, " %.*s", (int)strcspn(at + 1, " "), at + 1);
    }
}

static bool has_name(const char *list, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = list; *at != '\0'; at += strcspn(at, ",") + (strchr(at, ',') != NULL))
        if (strcspn(at, ",") == length && strncmp(at, name, length) == 0)
            return true;
    return false;
}

/* Every kernel that the device has must be in the table. */
static void look_up(const oce_device *device, configs *all) {
    for (const oce_kernel *k = device->kernels; k != NULL; k = k->next) {
        char options[LINE_LENGTH];
        bool found = false;
        own_options(k->options, options, sizeof options);
        for (int i = 0; i < all->count && !found; i++) {
            config *c = &all->list[i];
            found = strcmp(c->file, k->file) == 0 && strcmp(c->options, options) == 0 &&
                    has_name(c->kernels, k->name);
            c->is_used = c->is_used || found;
        }
        cr_expect(found, "%s lacks: %s %s -%s", table_file, k->file, k->name, options);
    }
}

/* Plans and steps both networks: at the batches of the recipes, whose shapes choose the tiles, only
 * the plans; with few images also a step and an evaluation. */
static void build_network(const char *name, configs *all) {
    oce_recipe recipe;
    oce_model *model = NULL;
    TEST_OK(oce_recipe_get(name, &recipe));
    oce_model_options options = oce_recipe_model_options(&recipe, 1);
    oce_device *device = test_open_device();
    TEST_OK(oce_model_create(device, recipe.network, &options, &model));
    oce_model_destroy(model);
    look_up(device, all);
    oce_device_close(device);

    enum { IMAGES = 2 };
    options.batch = IMAGES;
    options.micro_batches = 1;
    options.augment = true;
    const size_t image =
        (size_t)(recipe.network->height * recipe.network->width * recipe.network->channels);
    uint8_t *images = calloc(IMAGES, image), labels[IMAGES] = {0, 1}, predictions[IMAGES];
    oce_metrics metrics;
    device = test_open_device();
    TEST_OK(oce_model_create(device, recipe.network, &options, &model));
    TEST_OK(oce_model_allocate(model));
    TEST_OK(oce_model_train_step(model, images, labels, 1e-3F));
    TEST_OK(oce_model_evaluate(model, images, labels, IMAGES, &metrics, predictions));
    look_up(device, all);
    oce_model_destroy(model);
    oce_device_close(device);
    free(images);
}

/* What the networks do not need, or only with other settings. */
static void build_single_operations(configs *all) {
    oce_device *device = test_open_device();
    oce_tensor x = test_tensor(device, 1, 1, 1, 16, NULL, NULL);
    oce_tensor y = test_tensor(device, 1, 1, 1, 16, NULL, NULL);
    oce_tensor slots[2] = {test_tensor(device, 1, 1, 1, 16, NULL, NULL),
                           test_tensor(device, 1, 1, 1, 16, NULL, NULL)};
    for (int kind = OCE_OPTIMIZER_SGD; kind <= OCE_OPTIMIZER_RMSPROP; kind++) {
        const oce_optimizer_desc desc = oce_optimizer_defaults((oce_optimizer_kind)kind, 1e-3F);
        oce_optimizer_state state = oce_optimizer_start(&desc);
        TEST_OK(oce_optimizer_step(device, &desc, 1e-3F, &state, &x, &y, slots));
        if (oce_optimizer_takes_slot(&desc, 1))
            TEST_OK(oce_optimizer_step(device, &desc, 1e-3F, &state, &slots[1], &y, slots));
    }
    oce_buffer *counts = NULL;
    TEST_OK(oce_buffer_create(device, 4, &counts));
    TEST_OK(oce_relu_forward(device, &x, &y));
    TEST_OK(oce_relu_grad(device, &x, &y, &y));
    TEST_OK(oce_add(device, &x, &y));
    TEST_OK(oce_fill(device, &y, 1));
    TEST_OK(oce_count_nonfinite(device, &x, counts, 0));
    static const int64_t classes[] = {10, 100, 1000};
    for (int i = 0; i < OCE_COUNT(classes); i++) {
        oce_tensor z = test_tensor(device, 2, 1, 1, classes[i], NULL, NULL);
        oce_tensor losses = test_tensor(device, 1, 1, 1, 2, NULL, NULL);
        oce_buffer *bytes = NULL;
        TEST_OK(oce_buffer_create(device, 64, &bytes));
        TEST_OK(oce_softmax(device, &z, &z));
        TEST_OK(oce_softmax_xent(device, &z, &z, 1, &losses, NULL));
        TEST_OK(oce_softmax_xent_classes(device, &z, bytes, 0, 1, bytes, 0, NULL, NULL, NULL));
        TEST_OK(oce_argmax(device, &z, bytes));
        oce_buffer_destroy(bytes);
        oce_tensor_release(&losses);
        oce_tensor_release(&z);
    }
    look_up(device, all);
    oce_buffer_destroy(counts);
    oce_tensor_release(&slots[1]);
    oce_tensor_release(&slots[0]);
    oce_tensor_release(&y);
    oce_tensor_release(&x);
    oce_device_close(device);
}

/* The families that AUTO does not take where others serve. */
static void build_families_on_request(configs *all) {
    static const oce_conv2d_family families[] = {OCE_CONV2D_IM2COL, OCE_CONV2D_NAIVE};
    static const struct {
        int64_t size, channels;
        oce_padding padding;
    } shapes[] = {{8, 16, OCE_PADDING_SAME}, {8, 3, OCE_PADDING_SAME}, {2, 3, OCE_PADDING_VALID}};
    oce_device *device = test_open_device();
    for (int f = 0; f < OCE_COUNT(families); f++)
        for (int s = 0; s < OCE_COUNT(shapes); s++) {
            const oce_conv2d_desc desc = {.batch = 2,
                                          .height = shapes[s].size,
                                          .width = shapes[s].size,
                                          .channels = shapes[s].channels,
                                          .filters = shapes[s].channels,
                                          .window = {.size = {3, 3}, .padding = shapes[s].padding},
                                          .family = families[f],
                                          .gemm_family = f == 0 ? OCE_GEMM_NAIVE : OCE_GEMM_AUTO};
            oce_conv2d_plan *plan = NULL;
            TEST_OK(oce_conv2d_plan_create(device, &desc, OCE_PASS_ALL, &plan));
            oce_conv2d_plan_destroy(plan);
        }
    look_up(device, all);
    oce_device_close(device);
}

Test(gpu_configs, table_has_what_the_library_builds, .timeout = 600) {
    if (test_is_small())
        cr_skip_test("a simulator takes too long over whole networks");
    setenv("OCELLI_DEVICE_CLASS", "gpu", 1);
    unsetenv("OCELLI_VECTOR_WIDTH");
    configs *all = read_table();
    build_network("mnist", all);
    build_network("cifar10", all);
    build_single_operations(all);
    build_families_on_request(all);
    bool used[LINES_MAX] = {false}; /* by line of the table */
    for (int i = 0; i < all->count; i++)
        used[all->list[i].line] |= all->list[i].is_used;
    for (int i = 0; i < all->count; i++) {
        const config *c = &all->list[i];
        cr_expect(used[c->line] || has_name(c->tags, "elsewhere"),
                  "%s has what nobody builds: %s %s%s", table_file, c->file, c->kernels,
                  c->options);
    }
    free(all);
}

Test(gpu_configs, table_has_the_tiles_of_the_library) {
    configs *all = read_table();
    int count = 0;
    const oce_tile *tiles = oce_tile_table(&count);
    for (int i = 0; i < count; i++) {
        oce_defines defines = {0};
        oce_tile_define(&defines, &tiles[i]);
        bool found = false;
        for (int t = 0; t < all->tile_count; t++)
            found = found || strcmp(all->tiles[t], defines.text) == 0;
        cr_expect(found, "%s lacks: tile %c%s", table_file, tiles[i].name, defines.text);
    }
    cr_expect_geq(all->tile_count, count);
    free(all);
}
