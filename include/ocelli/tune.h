/**
 * Tuning: measuring which of the library's algorithms and configurations is the fastest for an
 * operation at a shape on a device, and remembering it.
 *
 * A plan that may choose (OCE_GEMM_AUTO, OCE_CONV2D_AUTO) takes what the device's table has for its
 * shape, else the library's rule. The table is read from the files that ship with the library and
 * from the user's own, $OCELLI_TUNING, else $XDG_CONFIG_HOME/ocelli/tuning.json, else
 * ~/.config/ocelli/tuning.json; OCELLI_TUNING=off leaves it empty. Entries count for the device,
 * driver version and kernel class that they were measured with. They change the order of sums, but
 * nothing else does: with the same device, driver and tuning file the results have the same bits.
 * Convolutions with no_winograd have entries of their own.
 */
#ifndef OCELLI_TUNE_H
#define OCELLI_TUNE_H

#include <ocelli/conv2d.h>
#include <ocelli/device.h>
#include <ocelli/gemm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How long to measure. */
typedef struct oce_tune_options {
    double seconds; /**< for each candidate; 0 means 0.1. The two best get ten times as long */
} oce_tune_options;

enum { OCE_TUNE_TEXT = 128 };

/** What came of tuning one operation. Names are "family" or "family configuration". */
typedef struct oce_tune_result {
    char rule[OCE_TUNE_TEXT]; /**< what the library's rule takes */
    char best[OCE_TUNE_TEXT]; /**< the fastest candidate with correct results; "" if none */
    double rule_seconds;      /**< of the last comparison, run in turns: medians; 0 if the rule's
                                   result is wrong or there was nothing to compare */
    double best_seconds;      /**< the same */
    bool is_kept;             /**< best is faster by 2 percent or more, and now in the table */
    int candidates;           /**< tried, the rule's choice included */
    int dropped;              /**< of them, for results off against the reference */
    char fault[2 * OCE_TUNE_TEXT]; /**< which was dropped first, and how far it was off; "" */
    bool rule_is_wrong;            /**< the rule's own choice is among the dropped: a defect */
    bool is_pooled; /**< nothing was measured: the rule computes the pass with its max pool */
    int64_t images; /**< of a convolution, at a time: the entry counts for this batch */
    char passed_over[4 * OCE_TUNE_TEXT]; /**< "family: why; ..." of those that cannot do it here */
} oce_tune_result;

/**
 * Tunes one pass of a convolution, or a matrix product, with desc->family AUTO. Every candidate's
 * result is compared with loops in double precision, on a sample, and with the other candidates',
 * wholly; one that is off by more than 2e-5 of the largest value is dropped. A candidate that the
 * driver cannot build or run is passed over. options NULL: the defaults. The table changes only
 * after a success.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (family not AUTO, or OCELLI_TUNING is off), those of the
 * plan's creation, OCE_ERROR_DEVICE_MEMORY, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_tune_conv2d(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                                   const oce_tune_options *options, oce_tune_result *result);
OCE_API oce_status oce_tune_gemm(oce_device *device, const oce_gemm_desc *desc,
                                 const oce_tune_options *options, oce_tune_result *result);

/**
 * Tunes one pass of a convolution whose Y only a max pool by `window` reads, as a network plans it.
 * On CPUs that may be a part of the batch at a time: result->images. Where the library's rule
 * computes the forward pass together with the pool nothing is measured, for families that cannot
 * would have to be compared with their own pool: result->is_pooled is true, result->rule says which
 * family it is, and the table stays as it is. Else, and errors: as oce_tune_conv2d.
 */
OCE_API oce_status oce_tune_conv2d_pooled(oce_device *device, const oce_conv2d_desc *desc,
                                          const oce_window *window, oce_pass pass,
                                          const oce_tune_options *options, oce_tune_result *result);

/* ---- Files ------------------------------------------------------------------------------------
 */

/** The user's file, as far as `bytes` bytes hold its path. Errors: OCE_ERROR_NOT_FOUND
 * (OCELLI_TUNING is off, or no variable says where it is). */
OCE_API oce_status oce_tune_path(char *path, size_t bytes);

/** Whether the user's file can be read, if it is there, and it (path NULL) or a file to export to
 * could be written; creates the folder. To be asked before measuring. Errors: as oce_tune_path,
 * OCE_ERROR_FORMAT (the user's file is damaged), OCE_ERROR_INVALID_ARGUMENT (`path` is the user's
 * file, or no regular file), OCE_ERROR_IO. */
OCE_API oce_status oce_tune_check(const char *path);

/** Brings what was tuned since the last save into the user's file, which is locked (PATH.lock),
 * read again and written whole or not at all: what other processes wrote meanwhile, and sections of
 * other devices, stay. Errors: as oce_tune_check, OCE_ERROR_BUSY (locked for 10 s). */
OCE_API oce_status oce_tune_save(oce_device *device);

/** What went from one file into another. */
typedef struct oce_tune_copied {
    int entries;                   /**< how many, ... */
    int devices;                   /**< ... of how many devices, drivers and kernel classes */
    int for_device;                /**< of the entries, those that count for the open device */
    int left_out;                  /**< import: entries that are not understood, ... */
    char fault[4 * OCE_TUNE_TEXT]; /**< ... the first of them, and why not; "" */
} oce_tune_copied;

/** Writes the device's own entries, those of the user's file and what was tuned since, to a file to
 * share, without those that ship with the library. copied may be NULL. Nothing is written after an
 * error: OCE_ERROR_NOT_FOUND (there are none, or OCELLI_TUNING is off), and as oce_tune_check. */
OCE_API oce_status oce_tune_export(oce_device *device, const char *path, oce_tune_copied *copied);

/** Adds a file's entries, of all devices, to the user's file; where both have one the new one
 * counts. Entries of unknown operations or families, or with a speed-up that is none, are left out.
 * copied may be NULL. Errors: as oce_tune_save, and of the file at `path`; OCE_ERROR_FORMAT also if
 * none of its entries is understood, OCE_ERROR_NOT_FOUND if it has none. */
OCE_API oce_status oce_tune_import(oce_device *device, const char *path, oce_tune_copied *copied);

#ifdef __cplusplus
}
#endif

#endif
