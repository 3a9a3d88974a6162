#include "data/synthetic.h"

#include <inttypes.h>
#include <string.h>

enum { MOST_EXAMPLES = 1000000 };

typedef struct synthetic_set {
    const char *name;
    const char *what; /* for the description */
    oce_example_shape shape;
    int64_t full_size[3]; /* by oce_split; 0: no such split */
    void (*draw)(oce_random *random, int label, uint8_t *pixels);
} synthetic_set;

static const synthetic_set sets[] = {
    {"mnist",
     "digits",
     {OCE_DIGIT_SIZE, OCE_DIGIT_SIZE, 1, OCE_DIGIT_CLASSES, NULL},
     {55000, 5000, 10000},
     oce_draw_digit},
    {"cifar10",
     "shapes",
     {OCE_CIFAR_SIZE, OCE_CIFAR_SIZE, 3, OCE_CIFAR_CLASSES, oce_shape_names},
     {50000, 0, 10000},
     oce_draw_shape},
};

static const char *const split_names[] = {"training", "validation", "test"};

oce_point oce_draw_direction(float turns) {
    const float quarters = (turns + 1.0F) * 4.0F; /* 0..8 */
    const int quadrant = (int)(quarters + 0.5F);
    const float angle = (quarters - (float)quadrant) * 1.57079633F; /* -pi/4..pi/4 */
    const float square = angle * angle;
    const float cosine =
        1.0F - square * (0.5F - square * (1.0F / 24.0F - square * (1.0F / 720.0F)));
    const float sine =
        angle * (1.0F - square * (1.0F / 6.0F - square * (1.0F / 120.0F - square / 5040.0F)));
    switch (quadrant & 3) {
    case 0:
        return (oce_point){cosine, sine};
    case 1:
        return (oce_point){-sine, cosine};
    case 2:
        return (oce_point){-cosine, -sine};
    default:
        return (oce_point){sine, -cosine};
    }
}

static const synthetic_set *find_set(const char *name) {
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(sets[i].name, name) == 0)
            return &sets[i];
    return NULL;
}

/* Each example has its own substream: 2 bits for the split, 30 for the index. */
static void draw_all(const synthetic_set *set, oce_split split, uint64_t seed,
                     oce_dataset *dataset) {
    for (int64_t i = 0; i < oce_dataset_count(dataset); i++) {
        oce_random random;
        oce_random_init(&random, seed, OCE_RANDOM_SYNTHETIC, (uint32_t)split << 30 | (uint32_t)i);
        const uint32_t label = oce_random_below(&random, (uint32_t)set->shape.classes);
        *oce_dataset_label(dataset, i) = (uint8_t)label;
        set->draw(&random, (int)label, oce_dataset_pixels(dataset, i));
    }
}

oce_status oce_dataset_synthetic(const char *name, oce_split split, uint64_t seed, int64_t count,
                                 oce_dataset **dataset) {
    OCE_REQUIRE(name && dataset, OCE_ERROR_INVALID_ARGUMENT, "synthetic set: %s",
                name ? "no place for the result" : "the name is NULL");
    *dataset = NULL;
    const synthetic_set *set = find_set(name);
    OCE_REQUIRE(set, OCE_ERROR_INVALID_ARGUMENT,
                "no synthetic set '%s': there are 'mnist' and 'cifar10'", name);
    OCE_REQUIRE(split == OCE_SPLIT_TRAIN || split == OCE_SPLIT_VALIDATION ||
                    split == OCE_SPLIT_TEST,
                OCE_ERROR_INVALID_ARGUMENT, "synthetic set: no split %d", (int)split);
    OCE_REQUIRE(set->full_size[split] > 0, OCE_ERROR_INVALID_ARGUMENT,
                "the synthetic set '%s' has no %s split: hold out a part of the training split",
                name, split_names[split]);
    OCE_REQUIRE(count >= 0 && count <= MOST_EXAMPLES, OCE_ERROR_INVALID_ARGUMENT,
                "synthetic set: %" PRId64 " examples, expected 1 to %d, or 0 for all", count,
                MOST_EXAMPLES);
    oce_dataset *made;
    OCE_TRY(oce_dataset_allocate(&set->shape, count ? count : set->full_size[split], &made));
    oce_dataset_mark_synthetic(made);
    const oce_status status = oce_dataset_describe(
        made,
        "synthetic %s (drawn by the library, not %s) %s: %" PRId64 " images %" PRId64 "x%" PRId64
        "x%" PRId64 ", seed %" PRIu64,
        set->what, set->shape.channels == 1 ? "MNIST" : "CIFAR-10", split_names[split],
        oce_dataset_count(made), set->shape.height, set->shape.width, set->shape.channels, seed);
    if (status != OCE_OK) {
        oce_dataset_destroy(made);
        return status;
    }
    draw_all(set, split, seed, made);
    *dataset = made;
    return OCE_OK;
}
