/* How the elementwise kernels see tensors: as lines of contiguous elements, so that tensors with
 * and without a halo go through the same kernel. */
#ifndef OCE_OPS_LINES_H
#define OCE_OPS_LINES_H

#include "device/device.h"

enum { OCE_LINES_MAX = 3 };

/* Tensors of equal extents as [outer, inner, length]: an image, its rows, a row's W*C elements. If
 * all are dense there is one line of all elements. */
typedef struct oce_lines {
    int64_t outer, inner, length;
    struct {
        int64_t outer, inner; /* elements between neighbours */
    } stride[OCE_LINES_MAX];
    bool is_aligned; /* every line of every tensor starts at a multiple of 4 elements */
    /* False unless the caller knows better: every line of the kernel's bytes starts at a multiple
     * of 4. */
    bool has_aligned_bytes;
} oce_lines;

typedef struct oce_operand {
    const char *name; /* for messages */
    const oce_tensor *tensor;
} oce_operand;

/* Fails unless all operands are there, have the extents of the first and whole rows. */
oce_status oce_lines_of(const oce_operand *operands, int count, oce_lines *lines);

/* The kernel arguments of a tensor that is operand `k` of `lines`: LINES(name) in the kernel. */
#define OCE_LINES_ARGS(tensor, lines, k)                                                           \
    oce_arg_tensor(tensor), oce_arg_long((lines)->stride[k].outer),                                \
        oce_arg_long((lines)->stride[k].inner)

/* Elements of a line that one work-item handles: much on a CPU, one vector on a GPU. */
int64_t oce_lines_chunk(const oce_device *device);

/* Launches kernel `name` of `file`, one work-item a chunk of each line. */
oce_status oce_lines_launch(oce_device *device, const char *file, const char *name,
                            const oce_lines *lines, const oce_arg *args, int count);

/* True if reductions in work-groups of up to 256 items and 8 KB of local memory are right. */
bool oce_reduces_in_groups(const oce_device *device);

/* The widest vector (16, 8, 4, 2 or 1 floats, no wider than the device's) that divides `channels`.
 */
int oce_channel_vector(const oce_device *device, int64_t channels);

/* True if every row of channels starts at a multiple of 4 elements. */
bool oce_tensor_is_aligned(const oce_tensor *tensor);

/* The low and the high half of a seed as kernel arguments. */
#define OCE_SEED_ARGS(seed)                                                                        \
    oce_arg_int((int64_t)((seed)&UINT32_MAX)), oce_arg_int((int64_t)((seed) >> 32))

/* Fails unless `buffer` has element `slot` of an array of elements of `bytes` bytes. */
oce_status oce_slot_expect(const oce_buffer *buffer, const char *name, size_t slot, size_t bytes);

/* Fails unless `buffer` has `count` bytes from byte `first` on. */
oce_status oce_bytes_expect(const oce_buffer *buffer, const char *name, size_t first, size_t count);

#endif
