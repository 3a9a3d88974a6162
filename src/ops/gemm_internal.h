/*
 * What the families of the matrix product share: the plan, the operands of a run, and the interface
 * that a family fills in.
 */
#ifndef OCE_OPS_GEMM_INTERNAL_H
#define OCE_OPS_GEMM_INTERNAL_H

#include <ocelli/gemm.h>

#include "device/device.h"
#include "ops/tile_product.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the panel family divides a product; see cl/gemm_panel.cl. The thin family has tile_rows x
 * tile_vectors dot products in a tile, and columns, splits. */
typedef struct oce_gemm_blocks {
    int tile_rows, tile_vectors; /* GEMM_MR, GEMM_NV */
    int k_block;                 /* GEMM_KC */
    int strip_rows;              /* GEMM_MC; 0: A is read in place */
    int64_t rows, columns;       /* of C that a group computes: multiples of the tile's */
    int splits;                  /* of K; a function of the shape only */
} oce_gemm_blocks;

typedef struct oce_gemm_method oce_gemm_method;

struct oce_gemm_plan {
    oce_device *device;
    oce_gemm_desc desc; /* checked */
    const oce_gemm_method *method;
    const char
        *configuration;  /* what the tuning table asks for while prepare() runs; "": nothing */
    size_t workspace;    /* bytes */
    size_t prepared;     /* bytes of a prepared B, 0: the family takes B as it is */
    oce_kernel *product; /* naive, panel, thin, tiled */
    oce_kernel *finish; /* panel, thin: sums the splits; clblast: bias and ReLU; NULL: not needed */
    oce_kernel *pack;   /* panel, thin: prepares B; NULL unless desc.keeps_b */
    oce_gemm_blocks blocks; /* panel */
    oce_tile_product tiles; /* tiled; no product if dot */
    oce_kernel *dot;        /* tiled, few columns */
};

/* The tensors of one run, checked; bias may be NULL. */
typedef struct oce_gemm_operands {
    const oce_tensor *a, *b, *bias, *c;
    oce_buffer *workspace;
    const oce_buffer *prepared; /* of b, if plan->prepared > 0 */
} oce_gemm_operands;

/* A family. It runs with m and n above 0; k may be 0. */
struct oce_gemm_method {
    oce_gemm_family family;
    /* Whether the family can compute the product on such a device; if not, `reason` says why.
     * NULL: always. */
    bool (*serves)(const oce_gemm_desc *desc, const oce_limits *limits, char *reason,
                   size_t reason_bytes);
    /* Builds the plan's kernels and sets its workspace, and `prepared` if it wants B prepared. */
    oce_status (*prepare)(oce_gemm_plan *plan);
    oce_status (*run)(const oce_gemm_plan *plan, const oce_gemm_operands *operands);
    /* Prepares B; NULL: the family never wants that. */
    oce_status (*prepare_b)(const oce_gemm_plan *plan, const oce_tensor *b, oce_buffer *prepared);
};

extern const oce_gemm_method oce_gemm_naive, oce_gemm_panel, oce_gemm_clblast, oce_gemm_thin,
    oce_gemm_tiled;

/* A part of the panel family, in gemm_prepared.c: sets the bytes of the plan's prepared B, whole
 * panels, and gets the kernel for it; and prepares it. */
oce_status oce_gemm_plan_prepared(oce_gemm_plan *plan);
oce_status oce_gemm_prepare_panels(const oce_gemm_plan *plan, const oce_tensor *b,
                                   oce_buffer *prepared);

/* The thin family's run up to its partial sums, of which there are several. */
oce_status oce_gemm_thin_parts(const oce_gemm_plan *plan, const oce_gemm_operands *operands);

/* The partial sums that a run of this plan adds up, each [m,n], if there are several and
 * oce_gemm_run_parts() can leave that to its caller; else 1. */
int oce_gemm_plan_parts(const oce_gemm_plan *plan);

/* As oce_gemm_run_prepared(), but leaves those sums in the workspace, [parts,m,n] from its start
 * on: C is their sum, in their order, and then act(C + bias). Errors: the same. */
oce_status oce_gemm_run_parts(const oce_gemm_plan *plan, const oce_tensor *a, const oce_tensor *b,
                              const oce_buffer *prepared, oce_buffer *workspace);

static inline bool oce_gemm_has_panels(const oce_gemm_desc *desc) {
    return desc->b_panel > 0 || desc->c_panel > 0;
}

/* Whether the thin family is the faster one, where it serves. */
bool oce_gemm_is_thin(const oce_gemm_desc *desc);

/*
 * Divides a product (extents up to 2^28) for the limits' vectors, compute units, local memory and
 * loops. The splits depend on the shape only. False if there is too little local memory for the
 * smallest blocks.
 */
bool oce_gemm_choose_blocks(const oce_gemm_desc *desc, const oce_limits *limits,
                            oce_gemm_blocks *blocks);
/* Whether there is a register tile for the panels that B and C are stored in. */
bool oce_gemm_has_tile(const oce_gemm_desc *desc, const oce_limits *limits);
/* The same as oce_gemm_choose_blocks(), with the register tile and K block that a configuration
 * asks for; false too if they are none of oce_gemm_configurations(). */
bool oce_gemm_configure_blocks(const oce_gemm_desc *desc, const oce_limits *limits,
                               const char *configuration, oce_gemm_blocks *blocks);

/* The panels that B of products, which is not transposed, is computed with soonest if it is stored
 * in such: its columns, 0: the panel family is not the one for them, or no panels divide B. */
int64_t oce_gemm_best_panel(const oce_gemm_desc *desc, const oce_limits *limits);

/* ---- Tuning -------------------------------------------------------------------------------- */

enum { OCE_GEMM_TEXT = 128, OCE_GEMM_CONFIGURATIONS = 32 };

/* The product's name in the tuning table: one with a prepared B, or with panels, is another. */
void oce_gemm_shape_text(const oce_gemm_desc *desc, char text[OCE_GEMM_TEXT]);

/* The configurations of the panel family, besides its rule's, that may be worth a try; returns how
 * many. */
int oce_gemm_configurations(const oce_gemm_desc *desc, const oce_limits *limits,
                            char list[OCE_GEMM_CONFIGURATIONS][OCE_GEMM_TEXT]);

#endif
