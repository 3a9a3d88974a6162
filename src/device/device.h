/*
 * What the layers above need of an open device, without OpenCL's own types: limits that decide
 * choices, kernels by name, the one launch path, labels for the profile.
 */
#ifndef OCE_DEVICE_DEVICE_H
#define OCE_DEVICE_DEVICE_H

#include <ocelli/device.h>
#include <ocelli/tensor.h>

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every buffer has this many bytes beyond its size, so that the last vector load of a row may run
 * past the end; what it reads there is never used. */
enum { OCE_BUFFER_SLACK = 256 };

/* Properties that choose algorithms; queried, never looked up by name. */
typedef struct oce_limits {
    bool is_cpu;          /* kernels with one work-item a group and explicit vectors are right */
    int vector_width;     /* floats of the widest native vector: 4, 8 or 16; CPUs only, else 4 */
    int vector_registers; /* that a CPU has for such vectors: 16 or 32 */
    int compute_units;
    size_t max_work_group; /* work-items of a group */
    size_t max_items[3];   /* work-items of a group along each dimension */
    size_t local_bytes;    /* local memory of a group */
    bool local_is_real;    /* dedicated local memory */
    size_t max_allocation; /* bytes of the largest buffer */
    uint64_t global_bytes; /* device memory */
    bool has_fast_fma;     /* FP_FAST_FMAF: fma() is one instruction */
    bool unified_memory;   /* shares its memory with the host */
    int64_t loop_rounds; /* that a work-item's loops may be planned for, all together: some drivers
                            break loops off; INT64_MAX: any */
    char tile;           /* OCELLI_TILE: the only tile of the GPU families to be used; 0: any */
} oce_limits;

const oce_limits *oce_device_limits(const oce_device *device);

/* ---- Kernels ------------------------------------------------------------------------------- */

/* -D options of a program. Start with {0}; add with oce_define(). */
typedef struct oce_defines {
    char text[1024];
    size_t length;
    bool is_full; /* text was too small: oce_kernel_get() fails */
} oce_defines;

/* Adds " -Dname=value". */
void oce_define(oce_defines *defines, const char *name, int64_t value);

typedef struct oce_kernel oce_kernel;

/*
 * The first of the kernels `names` of the file `file` (a name in cl/, "common.cl.h" goes before it)
 * built with `defines` (NULL: none). Programs and kernels belong to the device, are built once per
 * set of defines and live until the device is closed.
 *
 * `names` is one name; or it goes on, between blanks, with those that the caller gets next with the
 * same defines: they come in the same program, whose headers the driver reads once (65 ms on PoCL).
 * Only for kernels that are used together, as many drivers compile a program whole.
 *
 * Besides its defines each program sees OCE_CPU (0 or 1), OCE_VECTOR_WIDTH and, where fma() is
 * fast, OCE_FAST_FMA. Errors: OCE_ERROR_BUILD with file, options, device and the log's first error;
 * OCE_ERROR_NOT_FOUND (no such file or kernel).
 */
oce_status oce_kernel_get(oce_device *device, const char *file, const char *names,
                          const oce_defines *defines, oce_kernel **kernel);

/* What the driver says of a built kernel: the largest group that it can run in, and the private
 * memory of an item, which for a kernel without arrays is what its registers did not hold. */
size_t oce_kernel_max_group(const oce_kernel *kernel);
uint64_t oce_kernel_private_bytes(const oce_kernel *kernel);

/* How many lanes run together, of which a group is best a multiple, in a kernel that has some 64
 * values in registers. Builds a small kernel the first time. */
oce_status oce_device_group_multiple(oce_device *device, size_t *multiple);

/* ---- Launches ------------------------------------------------------------------------------ */

typedef enum oce_arg_kind {
    OCE_ARG_TENSOR, /* two kernel arguments: pointer, offset in elements (ulong) */
    OCE_ARG_BUFFER, /* pointer; NULL is passed on as a null pointer */
    OCE_ARG_INT,    /* int or uint; oce_launch() fails if the value does not fit */
    OCE_ARG_LONG,   /* long or ulong */
    OCE_ARG_FLOAT   /* float */
} oce_arg_kind;

typedef struct oce_arg {
    oce_arg_kind kind;
    union {
        struct {
            const oce_buffer *buffer;
            uint64_t offset;
        } tensor;
        int64_t l; /* OCE_ARG_INT too */
        float f;
    } value;
} oce_arg;

/* A tensor, or an absent one (NULL): a null pointer and 0. */
static inline oce_arg oce_arg_tensor(const oce_tensor *tensor) {
    return (oce_arg){.kind = OCE_ARG_TENSOR,
                     .value.tensor = {tensor ? tensor->buffer : NULL, tensor ? tensor->offset : 0}};
}
/* The tensor's memory moved by `elements` (may be negative: into the halo). */
static inline oce_arg oce_arg_tensor_at(const oce_tensor *tensor, int64_t elements) {
    return (oce_arg){
        .kind = OCE_ARG_TENSOR,
        .value.tensor = {tensor->buffer, (uint64_t)((int64_t)tensor->offset + elements)}};
}
/* A part of a buffer, from element `offset` (of the kernel's pointer type) on. */
static inline oce_arg oce_arg_part(const oce_buffer *buffer, uint64_t offset) {
    return (oce_arg){.kind = OCE_ARG_TENSOR, .value.tensor = {buffer, offset}};
}
static inline oce_arg oce_arg_buffer(const oce_buffer *buffer) {
    return (oce_arg){.kind = OCE_ARG_BUFFER, .value.tensor = {buffer, 0}};
}
static inline oce_arg oce_arg_int(int64_t value) {
    return (oce_arg){.kind = OCE_ARG_INT, .value.l = value};
}
static inline oce_arg oce_arg_long(int64_t value) {
    return (oce_arg){.kind = OCE_ARG_LONG, .value.l = value};
}
static inline oce_arg oce_arg_float(float value) {
    return (oce_arg){.kind = OCE_ARG_FLOAT, .value.f = value};
}

/*
 * How many work-items, and how they are grouped. local[0] = 0 lets the launch path choose the group
 * size along dimension 0 (1 along the others); it then rounds global[0] up to a multiple of it, so
 * the kernel must test its index. A given local size must divide the global one.
 */
typedef struct oce_range {
    size_t global[3];
    size_t local[3];
} oce_range;

/* a x b x c groups of one work-item each. */
static inline oce_range oce_range_groups(int64_t a, int64_t b, int64_t c) {
    return (oce_range){{(size_t)a, (size_t)b, (size_t)c}, {1, 1, 1}};
}
/* a work-items, in groups that the launch path chooses. */
static inline oce_range oce_range_items(int64_t a) {
    return (oce_range){{(size_t)a, 1, 1}, {0, 1, 1}};
}

#define OCE_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/*
 * The one place that enqueues kernels: checks the number of arguments, sets them, fits the group to
 * the kernel, records a profile event when asked. An empty range enqueues nothing.
 * Errors: OCE_ERROR_OPENCL or _INVALID_ARGUMENT with kernel, range and device.
 */
oce_status oce_launch(oce_kernel *kernel, oce_range range, const oce_arg *args, int count);

/* Names what the following launches belong to, e.g. "conv1 forward", and the flops of that
 * operation (added to the label's sum by this call). `label` must outlive the device's profile. */
void oce_device_label(oce_device *device, const char *label, double flops);

/* Whether a failure to prepare one family of kernels leaves it to others: the driver cannot build
 * or start them, or they need more than the device has. */
static inline bool oce_status_spares_others(oce_status status) {
    return status == OCE_ERROR_UNSUPPORTED || status == OCE_ERROR_BUILD ||
           status == OCE_ERROR_OPENCL;
}

/* Adds a line for oce_device_take_notice(), unless there was one with the same key already. */
void oce_device_notice(oce_device *device, const char *key, const char *format, ...)
    OCE_PRINTF(3, 4);

/* ---- Buffers ------------------------------------------------------------------------------- */

oce_device *oce_buffer_device(const oce_buffer *buffer);

/* Enqueues a copy from the host without waiting; `data` must stay until the queue has passed it. */
oce_status oce_buffer_write_later(oce_buffer *buffer, size_t offset, const void *data,
                                  size_t bytes);

/* Enqueues a copy to the host without waiting; `data` is there once a mark set later is reached. */
oce_status oce_buffer_read_later(const oce_buffer *buffer, size_t offset, void *data, size_t bytes);

/* A place in the queue, behind a copy or a mapping. Start with {0}; give it back with
 * oce_mark_clear(). */
typedef struct oce_mark {
    void *event; /* NULL: not set, or reached */
} oce_mark;

/* As oce_buffer_write_later(), of at least a byte; moves the mark behind the copy, and so behind
 * all that was enqueued before. */
oce_status oce_buffer_write_marked(oce_buffer *buffer, size_t offset, const void *data,
                                   size_t bytes, oce_mark *mark);
/* Enqueues that the host gets to write all of the buffer: at *host, once the mark, moved behind all
 * that was enqueued before, is reached. What the buffer held is lost. Where the device is the host,
 * that is where kernels will read. */
oce_status oce_buffer_map_later(oce_buffer *buffer, void **host, oce_mark *mark);
/* Enqueues that the device gets it back. */
oce_status oce_buffer_unmap(oce_buffer *buffer, void *host);
/* Waits until the device has reached the mark, if it is set. Errors: OCE_ERROR_OPENCL. */
oce_status oce_mark_wait(oce_mark *mark);
void oce_mark_clear(oce_mark *mark);

/* Hands what was enqueued to the device without waiting. */
oce_status oce_device_flush(oce_device *device);

/* ---- GEMM by CLBlast ----------------------------------------------------------------------- */

/* Matrices in a buffer, row-major. */
typedef struct oce_clblast_operand {
    const oce_buffer *buffer;
    uint64_t offset; /* elements before the first matrix */
    int64_t row;     /* elements from row to row, as stored */
    int64_t matrix;  /* elements from matrix to matrix; unused for one */
} oce_clblast_operand;

/* C[i] = op(A[i]) op(B[i]), `count` times. op(A) is m x k, op(B) k x n. */
typedef struct oce_clblast_product {
    int64_t m, n, k, count; /* k above 0 */
    bool transpose_a, transpose_b;
    oce_clblast_operand a, b, c;
} oce_clblast_product;

/* Builds CLBlast's kernels for products, or for several in a call, and tries them: CLBlast builds
 * at the first use, which may not come as a surprise in a run. Done once a device; a failure stays.
 * Errors: OCE_ERROR_BUILD, OCE_ERROR_OPENCL, OCE_ERROR_DEVICE_MEMORY. */
oce_status oce_clblast_prepare(oce_device *device, bool batched);

/* Enqueues the products. What C holds is not read. Errors: OCE_ERROR_OPENCL and the above. */
oce_status oce_clblast_gemm(oce_device *device, const oce_clblast_product *product);

/* ---- Checks shared by the operations -------------------------------------------------------- */

/* Fails unless `tensor` (called `name` in the message) has extents `dim` and contiguous channels.
 */
oce_status oce_tensor_expect(const oce_tensor *tensor, const char *name, const int64_t dim[4]);

/* True if the elements are contiguous in memory: no halo, no gaps. */
bool oce_tensor_is_dense(const oce_tensor *tensor);

/* Fails unless `tensor` is dense and has `count` elements. */
oce_status oce_tensor_expect_dense(const oce_tensor *tensor, const char *name, size_t count);

/* Fails unless `buffer` has at least `bytes` bytes; NULL is enough for 0. */
oce_status oce_buffer_expect(const oce_buffer *buffer, const char *name, size_t bytes);

#endif
