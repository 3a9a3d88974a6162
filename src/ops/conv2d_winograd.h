/* What the Winograd family for CPUs, its pooled forward pass and its filter gradient share. */
#ifndef OCE_OPS_CONV2D_WINOGRAD_H
#define OCE_OPS_CONV2D_WINOGRAD_H

#include "ops/conv2d_tiles.h"
#include "ops/winograd_pass.h"

/* A pass, planned. */
typedef struct oce_winograd_state {
    oce_winograd_pass w;
    oce_conv2d_layout layout;
    oce_conv2d_tiles blocks; /* one part: blocks of output channels of equal width */
    oce_kernel *filter, *sum;
    int64_t chunk; /* tiles that a group takes through all steps at a time */
    int64_t groups;
    bool streams;          /* Y is so large that its stores should pass by the caches */
    int64_t local_floats;  /* of a group's scratch memory; 0: each has a part of a buffer */
    int64_t output_parts;  /* of the output channels, each for groups of its own */
    int64_t run, kept;     /* pooled: images of a group; whose outputs its scratch memory holds */
    int64_t splits, parts; /* filter gradient: of the tiles, of the input channels */
    int64_t row_pairs;     /* filter gradient: pairs of rows of positions that a group takes */
} oce_winograd_state;

/* Scratch memory of a group: the transforms of a chunk's inputs, and of its outputs; and outputs
 * that are kept for a pool. */
int64_t oce_winograd_scratch(const oce_winograd_state *state, int64_t chunk);

/* Parts of the output channels, at most: more transform the inputs too often. */
enum { OCE_WINOGRAD_MOST_PARTS = 4 };

/* As oce_conv2d_blocks_of(), whole blocks in each of `parts` parts of the output channels. */
oce_conv2d_tiles oce_winograd_blocks_in_parts(oce_device *device, int64_t filters, int64_t parts);

/* What share of all output channels' time one of the state's parts of them takes: each transforms
 * all inputs. */
double oce_winograd_part_share(const oce_winograd_state *state);

/* Output channels of a block. */
int64_t oce_winograd_block_width(const oce_winograd_state *state);

/* Local memory that a group may take, in floats; the same for all plans of a device, as it is
 * compiled in. */
int64_t oce_winograd_local_floats(const oce_limits *limits);

/*
 * How often the loops of a group go round, for drivers that break them off. Of a transform of
 * `tiles` tiles of `channels` channels; of the products of `rows` rows with a block's columns,
 * `depth` long, for `positions` positions.
 */
int64_t oce_winograd_transform_rounds(const oce_winograd_state *s, int64_t tiles, int64_t channels);
int64_t oce_winograd_product_rounds(const oce_winograd_state *s, int64_t positions, int64_t rows,
                                    int64_t depth);

/* Whether the transformed filter is too large to stay in any cache. */
bool oce_winograd_has_large_filter(const oce_winograd_state *state);

/* What all kernels of a plan are built with; and its kernels: `names`, between blanks, of which the
 * first is *first, and `tiled`, one of them, for the state's blocks. */
oce_defines oce_winograd_defines(const oce_winograd_state *state);
oce_status oce_winograd_get_kernels(oce_device *device, oce_defines *defines, const char *names,
                                    const char *tiled, oce_kernel **first,
                                    oce_winograd_state *state);

/* Forward pass and max pool in one launch: whether it can and pays; its kernels; a run with the
 * transformed filter, and scratch memory unless that is local. */
bool oce_winograd_plan_pooled(oce_device *device, const oce_conv2d_shape *shape,
                              oce_winograd_state *state);
oce_status oce_winograd_get_pooled(oce_device *device, const oce_conv2d_shape *shape,
                                   oce_winograd_state *state);
oce_status oce_winograd_run_pooled(const oce_conv2d_shape *shape, const oce_winograd_state *state,
                                   const oce_conv2d_operands *o, const oce_arg *filter,
                                   const oce_arg *scratch);

/* The filter gradient: its kernels, and how tiles, channels and positions are divided among groups;
 * a run with memory for the partial sums, and scratch memory unless that is local. */
oce_status oce_winograd_plan_grad(oce_device *device, oce_winograd_state *state);
oce_status oce_winograd_run_grad(const oce_winograd_state *state, const oce_conv2d_operands *o,
                                 const oce_arg *partials, const oce_arg *scratch);

#endif
