/* What all kinds of work to measure share. */
#include "bench/bench.h"

#include "base/random.h"

#include <stdlib.h>

oce_status oce_bench_allocate(oce_device *device, size_t bytes, void **bench) {
    *bench = calloc(1, bytes);
    OCE_REQUIRE(*bench != NULL, OCE_ERROR_HOST_MEMORY, "no memory for a measurement");
    ((oce_bench *)*bench)->device = device;
    ((oce_bench *)*bench)->info.family = "";
    return OCE_OK;
}

oce_status oce_bench_start(oce_bench *created, oce_status status, oce_bench **bench) {
    if (status == OCE_OK)
        status = oce_bench_run(created);
    if (status == OCE_OK)
        status = oce_device_finish(created->device);
    if (status != OCE_OK) {
        oce_bench_destroy(created);
        created = NULL;
    }
    *bench = created;
    return status;
}

void oce_bench_destroy(oce_bench *bench) {
    if (bench == NULL)
        return;
    bench->destroy(bench);
    free(bench);
}

oce_status oce_bench_run(oce_bench *bench) {
    return bench->run(bench);
}

static oce_status run_once(void *context) {
    return oce_bench_run(context);
}

oce_status oce_bench_measure(oce_bench *bench, const oce_bench_options *options,
                             oce_timing *timing) {
    return oce_bench_time(bench->device, run_once, bench, options, timing);
}

oce_bench_info oce_bench_get_info(const oce_bench *bench) {
    return bench->info;
}

oce_status oce_bench_tensor(oce_bench *bench, const int64_t dim[4], const oce_halo *halo,
                            uint32_t seed, oce_tensor *tensor) {
    enum { PERIOD = 65521 }; /* a prime: no row repeats the one above */
    OCE_TRY(oce_tensor_create(bench->device, dim, halo, tensor));
    bench->info.memory += oce_buffer_bytes(tensor->buffer);
    const size_t count = oce_tensor_count(tensor);
    float *values = malloc((count + 1) * sizeof *values);
    OCE_REQUIRE(values != NULL, OCE_ERROR_HOST_MEMORY, "no memory for %zu values", count);
    oce_random random;
    oce_random_init(&random, seed, OCE_RANDOM_SYNTHETIC, 0);
    for (size_t i = 0; i < count; i++)
        values[i] = i < PERIOD ? 2 * oce_random_uniform(&random) - 1 : values[i - PERIOD];
    const oce_status status = count > 0 ? oce_tensor_write(tensor, values) : OCE_OK;
    free(values);
    return status;
}

oce_status oce_bench_buffer(oce_bench *bench, size_t bytes, oce_buffer **buffer) {
    *buffer = NULL;
    if (bytes == 0)
        return OCE_OK;
    bench->info.memory += bytes;
    return oce_buffer_create(bench->device, bytes, buffer);
}
