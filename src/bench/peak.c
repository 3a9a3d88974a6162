/* The device's limits: multiply-adds and memory (cl/peak.cl). */
#include "bench/bench.h"

#include "base/size.h"
#include "device/device.h"

/* CHAINS: as in cl/peak.cl. Vectors an item moves: enough on a CPU to be worth a group. Items of a
 * unit: a few groups on a CPU, so that none idles at the end, more where the driver may break long
 * loops off, and all that a GPU's unit can hold. */
enum {
    CHAINS = 12,
    CPU_VECTORS = 512,
    CPU_ITEMS = 4,
    SHORT_ITEMS = 64,
    GPU_ITEMS = 2048,
    FIRST_ROUNDS = 1000
};
static const double fma_seconds = 20e-3; /* one launch */
static const size_t array_bytes = (size_t)128 << 20;

typedef struct fma_work {
    oce_kernel *kernel;
    oce_tensor y;
    int64_t items, rounds;
} fma_work;

typedef struct memory_work {
    oce_kernel *copy, *triad;
    oce_tensor x, y, z;
    int64_t items;
} memory_work;

static oce_status run_fma(void *context) {
    const fma_work *w = context;
    const oce_arg args[] = {oce_arg_tensor(&w->y), oce_arg_int(w->rounds), oce_arg_float(0)};
    return oce_launch(w->kernel, oce_range_items(w->items), args, OCE_COUNT(args));
}

static oce_status run_copy(void *context) {
    const memory_work *w = context;
    const oce_arg args[] = {oce_arg_tensor(&w->x), oce_arg_tensor(&w->y)};
    return oce_launch(w->copy, oce_range_items(w->items), args, OCE_COUNT(args));
}

static oce_status run_triad(void *context) {
    const memory_work *w = context;
    const oce_arg args[] = {oce_arg_tensor(&w->x), oce_arg_tensor(&w->z), oce_arg_tensor(&w->y),
                            oce_arg_float(0.5F)};
    return oce_launch(w->triad, oce_range_items(w->items), args, OCE_COUNT(args));
}

static int64_t vector_of(const oce_limits *limits) {
    return limits->is_cpu ? limits->vector_width : 4;
}

static oce_status measure_fma(oce_device *device, const oce_bench_options *options, fma_work *w,
                              oce_peak *peak) {
    const oce_limits *limits = oce_device_limits(device);
    const int64_t vector = limits->is_cpu ? limits->vector_width : 1;
    oce_defines defines = {0};
    oce_define(&defines, "VEC", vector);
    oce_define(&defines, "CHAINS", CHAINS);
    OCE_TRY(oce_kernel_get(device, "peak.cl", "peak_fma", &defines, &w->kernel));
    const int64_t most = oce_min_int64(limits->loop_rounds, INT32_MAX / 2);
    const int64_t cpu_items = limits->loop_rounds < INT64_MAX ? SHORT_ITEMS : CPU_ITEMS;
    w->items = limits->compute_units * (limits->is_cpu ? cpu_items : GPU_ITEMS);
    const int64_t dim[4] = {1, 1, 1, w->items * vector};
    OCE_TRY(oce_tensor_create(device, dim, NULL, &w->y));
    /* as many rounds as take the time wanted; the first launch may build the kernel */
    double seconds = 0;
    w->rounds = oce_min_int64(FIRST_ROUNDS, most);
    OCE_TRY(oce_bench_seconds(device, run_fma, w, 1, &seconds));
    for (;; w->rounds *= 2) {
        OCE_TRY(oce_bench_seconds(device, run_fma, w, 1, &seconds));
        if (seconds >= fma_seconds || w->rounds > most / 2)
            break;
    }
    OCE_TRY(oce_bench_time(device, run_fma, w, options, &peak->fma_timing));
    peak->flops = 2.0 * CHAINS * (double)(vector * w->items * w->rounds) / peak->fma_timing.minimum;
    return OCE_OK;
}

static oce_status measure_memory(oce_device *device, const oce_bench_options *options,
                                 memory_work *w, oce_peak *peak) {
    const oce_limits *limits = oce_device_limits(device);
    const int64_t vector = vector_of(limits), vectors = limits->is_cpu ? CPU_VECTORS : 1;
    const size_t item_bytes = (size_t)(vector * vectors) * sizeof(float);
    size_t bytes = array_bytes;
    while (bytes > limits->max_allocation || bytes > limits->global_bytes / 8)
        bytes /= 2;
    OCE_REQUIRE(bytes >= item_bytes, OCE_ERROR_DEVICE_MEMORY,
                "the device's memory of %llu bytes is too small to be measured",
                (unsigned long long)limits->global_bytes);
    w->items = (int64_t)(bytes / item_bytes);
    peak->array_bytes = (size_t)w->items * item_bytes;
    oce_defines defines = {0};
    oce_define(&defines, "VEC", vector);
    oce_define(&defines, "ITEM_VECTORS", vectors);
    OCE_TRY(oce_kernel_get(device, "peak.cl", "peak_copy", &defines, &w->copy));
    OCE_TRY(oce_kernel_get(device, "peak.cl", "peak_triad", &defines, &w->triad));
    const int64_t dim[4] = {1, 1, 1, w->items * vectors * vector};
    OCE_TRY(oce_tensor_create(device, dim, NULL, &w->x));
    OCE_TRY(oce_tensor_create(device, dim, NULL, &w->y));
    OCE_TRY(oce_tensor_create(device, dim, NULL, &w->z));
    OCE_TRY(oce_bench_time(device, run_copy, w, options, &peak->copy_timing));
    OCE_TRY(oce_bench_time(device, run_triad, w, options, &peak->triad_timing));
    peak->copy = 2.0 * (double)peak->array_bytes / peak->copy_timing.minimum;
    peak->triad = 3.0 * (double)peak->array_bytes / peak->triad_timing.minimum;
    return OCE_OK;
}

oce_status oce_bench_peak(oce_device *device, const oce_bench_options *options, oce_peak *peak) {
    fma_work fma = {0};
    memory_work memory = {0};
    *peak = (oce_peak){0};
    oce_status status = measure_fma(device, options, &fma, peak);
    if (status == OCE_OK)
        status = measure_memory(device, options, &memory, peak);
    oce_tensor_release(&fma.y);
    oce_tensor_release(&memory.x);
    oce_tensor_release(&memory.y);
    oce_tensor_release(&memory.z);
    return status;
}
