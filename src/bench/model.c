/* A model's training step or its answers, to be measured. */
#include "bench/bench.h"

#include "base/random.h"
#include "base/size.h"

#include <stdlib.h>

typedef struct model_bench {
    oce_bench bench;
    oce_model *model;
    int64_t images;
    bool is_training;
    float learning_rate;
    uint8_t *pixels, *labels; /* of `images` images */
    float *probabilities;     /* of `images` images; unused in training */
} model_bench;

static oce_status run(oce_bench *bench) {
    model_bench *m = (model_bench *)bench;
    return m->is_training ? oce_model_train_step(m->model, m->pixels, m->labels, m->learning_rate)
                          : oce_model_predict(m->model, m->pixels, m->images, m->probabilities);
}

static void destroy(oce_bench *bench) {
    model_bench *m = (model_bench *)bench;
    oce_model_destroy(m->model);
    free(m->pixels);
    free(m->labels);
    free(m->probabilities);
}

static oce_status make_images(model_bench *m, const oce_network *network) {
    const int64_t classes = oce_model_classes(m->model);
    const int64_t dim[4] = {m->images, network->height, network->width, network->channels};
    const int64_t answers[2] = {m->images, classes};
    size_t pixels = 0, probabilities = 0;
    OCE_REQUIRE(oce_size_product(dim, 4, &pixels) && oce_size_product(answers, 2, &probabilities) &&
                    oce_size_mul(probabilities, sizeof *m->probabilities, &probabilities),
                OCE_ERROR_OVERFLOW, "%lld images are too many", (long long)m->images);
    m->pixels = malloc(pixels);
    m->labels = malloc((size_t)m->images);
    m->probabilities = malloc(probabilities);
    OCE_REQUIRE(m->pixels != NULL && m->labels != NULL && m->probabilities != NULL,
                OCE_ERROR_HOST_MEMORY, "no memory for %lld images", (long long)m->images);
    oce_random random;
    oce_random_init(&random, 1, OCE_RANDOM_SYNTHETIC, 0);
    for (size_t i = 0; i < pixels; i++)
        m->pixels[i] = (uint8_t)(oce_random_u32(&random) & 255);
    for (int64_t i = 0; i < m->images; i++)
        m->labels[i] = (uint8_t)oce_random_below(&random, (uint32_t)classes);
    return OCE_OK;
}

static oce_status create(model_bench *m, const oce_network *network,
                         const oce_model_options *options) {
    OCE_REQUIRE(m->images >= 1, OCE_ERROR_INVALID_ARGUMENT, "measuring a model on %lld images",
                (long long)m->images);
    OCE_TRY(oce_model_create(m->bench.device, network, options, &m->model));
    OCE_TRY(oce_model_allocate(m->model));
    oce_bench_info *info = &m->bench.info;
    info->model = m->model;
    info->images = m->images;
    info->memory = oce_model_bytes(m->model);
    for (int i = 0; i < oce_model_layer_count(m->model); i++) {
        oce_layer_info layer;
        oce_model_layer(m->model, i, &layer);
        info->flops +=
            (double)m->images * (options->training ? layer.training_flops : layer.forward_flops);
    }
    return make_images(m, network);
}

oce_status oce_bench_model(oce_device *device, const oce_network *network,
                           const oce_model_options *options, int64_t images, oce_bench **bench) {
    void *record = NULL;
    *bench = NULL;
    OCE_TRY(oce_bench_allocate(device, sizeof(model_bench), &record));
    model_bench *m = record;
    m->bench.run = run;
    m->bench.destroy = destroy;
    m->images = options->training ? options->batch : images;
    m->is_training = options->training;
    m->learning_rate = options->optimizer.learning_rate;
    return oce_bench_start(&m->bench, create(m, network, options), bench);
}
