/*
 * What the families of the convolution share: the checked description, the operands of a run, the
 * interface that a family fills in, and copies into layouts that kernels like.
 */
#ifndef OCE_OPS_CONV2D_INTERNAL_H
#define OCE_OPS_CONV2D_INTERNAL_H

#include <ocelli/conv2d.h>

#include "device/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the tuning table asks of a family; 0: what its rule says. */
typedef struct oce_conv2d_choice {
    char tile;         /* of the GPU families: a letter of tile_config.h */
    int rows, vectors; /* of the direct family's register tile */
    int outputs;       /* Winograd on CPUs: of a tile along an axis, 2 or 4 */
} oce_conv2d_choice;

/* A description whose extents are checked and whose window is resolved. */
typedef struct oce_conv2d_shape {
    int64_t batch, channels, filters;
    oce_window_geometry window;
    oce_activation activation;
    bool keeps_filter;           /* many forward passes with one filter are to come */
    bool keeps_halo;             /* X is never copied: it always has the halo asked for */
    bool no_winograd;            /* the plain sums, which the tuning table has apart */
    oce_gemm_family gemm_family; /* asked for, of im2col's products */
    oce_conv2d_choice asked;
    int64_t x_dim[4];         /* {N, H, W, C} */
    int64_t f_dim[4];         /* {R, S, C, K} */
    int64_t y_dim[4];         /* {N, OH, OW, K} */
    oce_halo reach;           /* rows and columns outside the image that some window reads */
    bool is_pooled;           /* the forward pass gives the maxima of Y's windows, ... */
    oce_window_geometry pool; /* ... these: input is Y's rows and columns */
} oce_conv2d_shape;

/* The tensors of one run, by their place in the formula: x is X or dX, filter F or dF, y Y or dY.
 * bias is NULL unless a forward pass has one. */
typedef struct oce_conv2d_operands {
    const oce_tensor *x, *filter, *bias, *y;
    const oce_buffer *prepared; /* forward: the filter, prepared; NULL: it is not */
    const oce_buffer *winners;  /* pooled: of each output of the pool, a byte; NULL: not wanted */
} oce_conv2d_operands;

/* A family. `state` is what prepare() made for one pass; NULL, or a block that free() gives back.
 */
typedef struct oce_conv2d_method {
    oce_conv2d_family family;
    /* The forward pass and the filter gradient read X in place only if its halo covers `reach`. */
    bool wants_halo;
    /* Whether this family can compute `pass`; if not, `reason` says why. NULL: every shape. */
    bool (*serves)(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass,
                   char *reason, size_t reason_bytes);
    /* Whether AUTO may choose it for a pass that it serves: by shape and limits alone. NULL: yes.
     */
    bool (*suits)(const oce_conv2d_shape *shape, const oce_limits *limits, oce_pass pass);
    oce_status (*prepare)(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                          void **state);
    /* Bytes of workspace of a run, X being read in place or copied first. */
    oce_status (*workspace)(const oce_conv2d_shape *shape, const void *state, bool x_in_place,
                            size_t *bytes);
    oce_status (*run)(const oce_conv2d_shape *shape, const void *state,
                      const oce_conv2d_operands *operands, oce_buffer *workspace);
    /* Bytes of a filter prepared for forward passes, and how it is made. NULL: none is. */
    oce_status (*prepared)(const oce_conv2d_shape *shape, const void *state, size_t *bytes);
    oce_status (*prepare_filter)(const void *state, const oce_tensor *filter, oce_buffer *prepared);
    /* Whether its forward pass can give what shape->pool makes of Y, and as fast as it gives Y.
     * NULL: never. */
    bool (*pools)(oce_device *device, const oce_conv2d_shape *shape);
    /* Gives back what `state` refers to, before free(state). NULL: nothing. */
    void (*release)(void *state);
} oce_conv2d_method;

extern const oce_conv2d_method oce_conv2d_naive, oce_conv2d_direct, oce_conv2d_winograd,
    oce_conv2d_winograd_few, oce_conv2d_winograd_few_grad, oce_conv2d_winograd_gpu,
    oce_conv2d_im2col, oce_conv2d_implicit_gemm;

/* Checks a description for `passes` and resolves it. */
oce_status oce_conv2d_resolve(const oce_conv2d_desc *desc, unsigned passes,
                              oce_conv2d_shape *shape);

/* A plan of a description that is resolved; a pooled one that cannot be has no family. */
oce_status oce_conv2d_plan_resolved(oce_device *device, const oce_conv2d_desc *desc,
                                    const oce_conv2d_shape *shape, unsigned passes,
                                    oce_conv2d_plan **plan);

/* Checks the operands of a forward pass, but not the size of `winners`, and runs it. */
oce_status oce_conv2d_forward_operands(oce_conv2d_plan *plan, const oce_conv2d_operands *operands,
                                       oce_buffer *workspace);

/* ---- Tuning (conv2d_tuned.c) ---------------------------------------------------------------- */

enum { OCE_CONV2D_TEXT = 256 };

/* The names of a pass, and of a shape, in the tuning table. */
const char *oce_conv2d_operation(oce_pass pass);
void oce_conv2d_shape_text(const oce_conv2d_shape *shape, oce_pass pass,
                           char text[OCE_CONV2D_TEXT]);

/* The family that the table has for a pass, and its configuration; AUTO: none. */
oce_conv2d_family oce_conv2d_tuned(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   oce_conv2d_choice *asked);

enum { OCE_CONV2D_CONFIGURATIONS = 12, OCE_CONV2D_CONFIGURATION = 32 };

/* The configurations of a family on a CPU, besides its rule's, that are worth a try: how many. */
int oce_conv2d_configurations(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                              oce_conv2d_family family,
                              char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION]);

/* ---- Shared by the families (conv2d_layout.c) ---------------------------------------------- */

/* True if windows may read up to `reach` outside the images of `tensor` without a test, and its
 * pixels lie side by side. */
bool oce_conv2d_in_place(const oce_tensor *tensor, const oce_halo *reach);

/* A part of the workspace being given out. Parts start on multiples of 64 bytes. */
typedef struct oce_conv2d_space {
    size_t used; /* floats */
    bool overflow;
} oce_conv2d_space;

/* Takes `count` floats; returns where they start. */
size_t oce_conv2d_take(oce_conv2d_space *space, size_t count);
/* The same for the product of so many extents. */
size_t oce_conv2d_take_product(oce_conv2d_space *space, const int64_t *extents, int count);
/* The bytes taken, or OCE_ERROR_OVERFLOW. */
oce_status oce_conv2d_space_bytes(const oce_conv2d_space *space, size_t *bytes);

/* The kernels that bring tensors and filters into the layout that the others read; NULL: not asked
 * for. */
typedef struct oce_conv2d_layout {
    oce_kernel *pad, *clear, *pack, *prepare_grad, *sum;
} oce_conv2d_layout;

enum {
    OCE_LAYOUT_PAD = 1,
    OCE_LAYOUT_CLEAR = 2,
    OCE_LAYOUT_PACK = 4,
    OCE_LAYOUT_PREPARE_GRAD = 8,
    OCE_LAYOUT_PACK_GRAD = 16, /* prepare_grad that only packs */
    OCE_LAYOUT_SUM = 32,
    OCE_LAYOUT_SUM_FEW = 64 /* conv2d_sum_few, as `sum` */
};

/* Builds the kernels that `wanted`, a sum of the above, asks for. */
oce_status oce_conv2d_layout_get(oce_device *device, unsigned wanted, oce_conv2d_layout *layout);

/* Floats of a copy of a tensor of extents `dim` with a border of `reach`; SIZE_MAX if they cannot
 * be counted. */
size_t oce_conv2d_padded_count(const int64_t dim[4], const oce_halo *reach);

/* The arguments of a copy with a border of zeros, and its work-items. */
enum { OCE_CONV2D_COPY_ARGS = 14 };
typedef struct oce_conv2d_copy {
    oce_arg args[OCE_CONV2D_COPY_ARGS];
    int64_t items;
} oce_conv2d_copy;

/* Describes the copy of `source` to element `at` of `workspace`; *padded views it. */
oce_status oce_conv2d_copy_of(const oce_tensor *source, const oce_halo *reach,
                              oce_buffer *workspace, size_t at, oce_tensor *padded,
                              oce_conv2d_copy *copy);

/* Copies `source` with a border of zeros to element `at` of `workspace`; *padded views it. */
oce_status oce_conv2d_pad(const oce_conv2d_layout *layout, const oce_tensor *source,
                          const oce_halo *reach, oce_buffer *workspace, size_t at,
                          oce_tensor *padded);

/* Sets the tensor's elements to zero, but not what lies between them. */
oce_status oce_conv2d_clear(const oce_conv2d_layout *layout, const oce_tensor *tensor);

/* Three kernel arguments: elements from image to image, row to row and pixel to pixel. */
#define OCE_STRIDE_ARGS(tensor)                                                                    \
    oce_arg_long((tensor)->stride[0]), oce_arg_long((tensor)->stride[1]),                          \
        oce_arg_long((tensor)->stride[2])

#endif
