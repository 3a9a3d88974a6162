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
 */
#ifndef OCELLI_TUNE_H
#define OCELLI_TUNE_H

#include <ocelli/conv2d.h>
#include <ocelli/device.h>
#include <ocelli/gemm.h>

#include <stdbool.h>

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
} oce_tune_result;

/**
 * Tunes one pass of a convolution, or a matrix product, with desc->family AUTO. Every candidate's
 * result is compared with loops in double precision, on a sample, and with the other candidates',
 * wholly; one that is off by more than 2e-5 of the largest value is dropped. A candidate that the
 * driver cannot build or run is passed over. options NULL: the defaults.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (family not AUTO, or OCELLI_TUNING is off), those of the
 * plan's creation, OCE_ERROR_DEVICE_MEMORY, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_tune_conv2d(oce_device *device, const oce_conv2d_desc *desc, oce_pass pass,
                                   const oce_tune_options *options, oce_tune_result *result);
OCE_API oce_status oce_tune_gemm(oce_device *device, const oce_gemm_desc *desc,
                                 const oce_tune_options *options, oce_tune_result *result);

/** Writes the device's table into the user's file, whole or not at all; sections of other devices
 * stay. Errors: OCE_ERROR_NOT_FOUND (no place for the file), OCE_ERROR_FORMAT (the file that is
 * there is damaged; it is left alone), OCE_ERROR_IO. */
OCE_API oce_status oce_tune_save(oce_device *device);

/** Writes the device's own entries to a file to share, without those that ship with the library.
 * Errors: OCE_ERROR_IO, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_tune_export(oce_device *device, const char *path);

/** Adds a file's entries, of all devices, to the user's file; where both have one the new one
 * counts. Errors: as oce_tune_save, and of the file at `path`. */
OCE_API oce_status oce_tune_import(oce_device *device, const char *path);

#ifdef __cplusplus
}
#endif

#endif
