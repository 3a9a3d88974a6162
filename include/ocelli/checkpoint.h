/**
 * TensorFlow checkpoints: V2 bundles (`<prefix>.index`, `<prefix>.data-00000-of-00001`), the
 * `checkpoint` state file of a model folder, and the saver that keeps the newest few.
 *
 * Simple use: oce_checkpoint_latest() finds the newest checkpoint of a folder, oce_bundle_reader_*
 * reads it; oce_saver_save() writes one, updates the state file and removes old ones, so that
 * whatever fails or is killed in between, the state file names complete checkpoints only.
 *
 * Formats and behaviour: tensorflow/core/util/tensor_bundle/, tensorflow/core/lib/io/,
 * tensorflow/python/training/saver.py, tensorflow/python/checkpoint/checkpoint_management.py.
 */
#ifndef OCELLI_CHECKPOINT_H
#define OCELLI_CHECKPOINT_H

#include <ocelli/array.h>
#include <ocelli/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Reading a bundle ------------------------------------------------------------------------ */

/** An open bundle. Its data files are opened when a tensor is read. */
typedef struct oce_bundle_reader oce_bundle_reader;

/** What a bundle says about a tensor. */
typedef struct oce_bundle_entry {
    const char *name;
    oce_dtype dtype;
    int rank;
    const int64_t *shape; /**< `rank` extents */
    uint64_t bytes;       /**< in the data file, or of all slices of a partitioned variable */
    int shard;            /**< number of the data file */
    uint64_t offset;      /**< of the first byte in the data file */
    uint32_t crc32c;      /**< of the bytes, not masked */
    int slices;           /**< more than 0: a partitioned variable of so many parts, whose own
                               entries have shard, offset and crc32c */
} oce_bundle_entry;

/**
 * Opens `<prefix>.index`, reads and checks all of it. Stored and Snappy-compressed tables, any
 * number of shards.
 *
 * Errors: OCE_ERROR_NOT_FOUND, OCE_ERROR_IO, OCE_ERROR_FORMAT (malformed; the message says what and
 * at which byte), OCE_ERROR_CHECKSUM, OCE_ERROR_UNSUPPORTED (big-endian, a newer format),
 * OCE_ERROR_OVERFLOW (an index of over 16 MiB), OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_bundle_reader_open(const char *prefix, oce_bundle_reader **reader);
OCE_API void oce_bundle_reader_close(oce_bundle_reader *reader); /**< NULL is allowed */
/** Number of tensors. */
OCE_API size_t oce_bundle_reader_count(const oce_bundle_reader *reader);
/** Tensor `index` in bytewise order of the names; NULL if there are not so many. */
OCE_API const oce_bundle_entry *oce_bundle_reader_entry(const oce_bundle_reader *reader,
                                                        size_t index);
/** The tensor of that name, or NULL. */
OCE_API const oce_bundle_entry *oce_bundle_reader_find(const oce_bundle_reader *reader,
                                                       const char *name);

/**
 * Checks that the bundle has tensor `name` with this element type and shape, without reading it.
 * Errors: OCE_ERROR_NOT_FOUND (no such tensor; the message names tensors that the file has
 * instead), OCE_ERROR_SHAPE (other shape or element type; the message has both).
 */
OCE_API oce_status oce_bundle_reader_require(const oce_bundle_reader *reader, const char *name,
                                             oce_dtype dtype, int rank, const int64_t *shape);

/**
 * Reads tensor `name` of float32 numbers into data[0..product of the shape), and checks its
 * checksum. On failure the contents of `data` are undefined.
 *
 * Errors: those of oce_bundle_reader_require; OCE_ERROR_NOT_FOUND (no data file), OCE_ERROR_FORMAT
 * (the data file is too short), OCE_ERROR_CHECKSUM, OCE_ERROR_IO.
 */
OCE_API oce_status oce_bundle_reader_read(oce_bundle_reader *reader, const char *name, int rank,
                                          const int64_t *shape, float *data);
/**
 * Reads the bytes of tensor `index`, whatever its element type, and checks its checksum. `capacity`
 * must be at least the entry's bytes. Strings and variants come as the file has them.
 * Errors: as oce_bundle_reader_read; OCE_ERROR_INVALID_ARGUMENT (no such index, capacity).
 */
OCE_API oce_status oce_bundle_reader_read_bytes(oce_bundle_reader *reader, size_t index, void *data,
                                                size_t capacity);

/* ---- Writing a bundle ------------------------------------------------------------------------ */

/** A bundle being made. Nothing is written before oce_bundle_writer_finish(). */
typedef struct oce_bundle_writer oce_bundle_writer;

/** Errors: OCE_ERROR_HOST_MEMORY, OCE_ERROR_UNSUPPORTED (a big-endian machine). */
OCE_API oce_status oce_bundle_writer_create(const char *prefix, oce_bundle_writer **writer);
/** Frees a writer; NULL is allowed. A bundle that is not finished leaves nothing behind. */
OCE_API void oce_bundle_writer_destroy(oce_bundle_writer *writer);
/**
 * Adds a tensor, in any order. Name and shape are copied; the data must stay as they are until
 * oce_bundle_writer_finish().
 * Errors: OCE_ERROR_INVALID_ARGUMENT (no name, no data, rank, a negative extent, an element type
 * without a fixed size), OCE_ERROR_OVERFLOW, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_bundle_writer_add(oce_bundle_writer *writer, const oce_array *array);
/**
 * Writes both files, byte for byte as tf.train.Saver does, brings them to the disk and then gives
 * them their names, data first. A bundle of the same prefix is replaced; if that fails, it is as it
 * was before.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (a name was added twice, or the writer is finished),
 * OCE_ERROR_IO, OCE_ERROR_NOT_FOUND (no such folder), OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_bundle_writer_finish(oce_bundle_writer *writer);

/* ---- Sidecar --------------------------------------------------------------------------------- */

/**
 * Keys and values that TensorFlow's files have no place for (seed, step, position in the shuffled
 * data ...), kept in `<prefix>.ocelli` beside a checkpoint: a small text with a checksum, which
 * also says which `.index` it belongs to.
 */
typedef struct oce_sidecar oce_sidecar;

OCE_API oce_status oce_sidecar_create(oce_sidecar **sidecar);
OCE_API void oce_sidecar_destroy(oce_sidecar *sidecar); /**< NULL is allowed */
/** Sets a key, replacing its value. A key consists of up to 255 letters, digits, '_', '-' and '.'
 * and does not start with "ocelli_"; a value is any text; there are at most 4,000 keys. Errors:
 * OCE_ERROR_INVALID_ARGUMENT, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_sidecar_set(oce_sidecar *sidecar, const char *key, const char *value);
/** The value of a key, or NULL. Valid until the sidecar changes. */
OCE_API const char *oce_sidecar_get(const oce_sidecar *sidecar, const char *key);
OCE_API size_t oce_sidecar_count(const oce_sidecar *sidecar);
/** Key `index`, in the order they were set; NULL if there are not so many. */
OCE_API const char *oce_sidecar_key(const oce_sidecar *sidecar, size_t index);
/** Writes `<prefix>.ocelli` for the bundle that is there. Errors: OCE_ERROR_NOT_FOUND (no bundle),
 * OCE_ERROR_IO, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_sidecar_write(const oce_sidecar *sidecar, const char *prefix);
/** Reads `<prefix>.ocelli`. Errors: OCE_ERROR_NOT_FOUND (there is none), OCE_ERROR_FORMAT,
 * OCE_ERROR_CHECKSUM (damaged, or it belongs to another bundle than `<prefix>.index`),
 * OCE_ERROR_IO, OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_sidecar_read(const char *prefix, oce_sidecar **sidecar);

/* ---- The state file -------------------------------------------------------------------------- */

/** The contents of a folder's `checkpoint` file. */
typedef struct oce_checkpoint_state oce_checkpoint_state;

/**
 * Reads `<folder>/checkpoint`. As in TensorFlow a file that is missing or does not parse means that
 * there is no checkpoint: the call succeeds, and oce_checkpoint_state_latest() is NULL. Relative
 * paths are joined to `folder`, not normalised.
 * Errors: OCE_ERROR_FORMAT (it parses but has no model_checkpoint_path), OCE_ERROR_IO,
 * OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_checkpoint_state_read(const char *folder, oce_checkpoint_state **state);
OCE_API void oce_checkpoint_state_destroy(oce_checkpoint_state *state); /**< NULL is allowed */
/** The prefix of the newest checkpoint, or NULL. */
OCE_API const char *oce_checkpoint_state_latest(const oce_checkpoint_state *state);
/** Why a file that is there was taken for absent, or NULL. */
OCE_API const char *oce_checkpoint_state_warning(const oce_checkpoint_state *state);
/** Number of checkpoints listed. */
OCE_API size_t oce_checkpoint_state_count(const oce_checkpoint_state *state);
/** Prefix `index`, oldest first; NULL if there are not so many. */
OCE_API const char *oce_checkpoint_state_path(const oce_checkpoint_state *state, size_t index);
/**
 * Replaces `<folder>/checkpoint`, with the bytes that TensorFlow would write: `latest`, and
 * `count` prefixes, oldest first (`latest` is appended if it is not the last of them). If `folder`
 * is relative, relative prefixes are stored relative to it; else they are stored as given.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (`latest` empty, or the state file itself), OCE_ERROR_IO,
 * OCE_ERROR_NOT_FOUND, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_checkpoint_state_write(const char *folder, const char *latest,
                                              const char *const *paths, size_t count);
/**
 * Writes the prefix of the folder's newest checkpoint into prefix[0..capacity), a string.
 * Errors: OCE_ERROR_NOT_FOUND (no state file, an unreadable one, or no `<prefix>.index`: the
 * message says which), OCE_ERROR_UNSUPPORTED (a checkpoint of the old V1 format),
 * OCE_ERROR_OVERFLOW (capacity), and those of oce_checkpoint_state_read.
 */
OCE_API oce_status oce_checkpoint_latest(const char *folder, char *prefix, size_t capacity);

/** Removes the files of a checkpoint: `.meta`, `.index`, all `.data-?????-of-?????`, and the
 * sidecar last. Files that are not there are no error. Errors: OCE_ERROR_IO, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_checkpoint_remove(const char *prefix);

/* ---- A model folder -------------------------------------------------------------------------- */

/** The right to write to a model folder, which one process at a time can have. */
typedef struct oce_folder_lock oce_folder_lock;

/**
 * Takes the lock of `folder`, which is created if missing (one level), and removes what an
 * interrupted process left there: temporary files, halves of checkpoints. The lock ends with the
 * process at the latest.
 * Errors: OCE_ERROR_BUSY (the message has the holder's process id), OCE_ERROR_IO,
 * OCE_ERROR_NOT_FOUND, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_folder_lock_acquire(const char *folder, oce_folder_lock **lock);
OCE_API void oce_folder_lock_release(oce_folder_lock *lock); /**< NULL is allowed */

/* ---- The saver ------------------------------------------------------------------------------- */

/** How tf.train.Saver keeps checkpoints. */
typedef struct oce_saver_options {
    int max_to_keep;             /**< 0: remove none, and list only the newest */
    double keep_every_seconds;   /**< one that was saved this long after the last so kept is never
                                      removed; 0: none is spared */
    double (*clock)(void *user); /**< seconds since 1970; NULL: the system's clock */
    void *clock_user;
} oce_saver_options;

/** 5 checkpoints, 10,000 hours, the system's clock: TensorFlow's defaults. */
OCE_API oce_saver_options oce_saver_defaults(void);

typedef struct oce_saver oce_saver;

/** Errors: OCE_ERROR_INVALID_ARGUMENT (a negative option), OCE_ERROR_HOST_MEMORY. */
OCE_API oce_status oce_saver_create(const oce_saver_options *options, oce_saver **saver);
OCE_API void oce_saver_destroy(oce_saver *saver); /**< NULL is allowed */

/**
 * Takes over the checkpoints that `folder`'s state file lists and that are there, so that a resumed
 * run goes on removing old ones. Without this call a saver knows only what it saved itself.
 * Errors: those of oce_checkpoint_state_read.
 */
OCE_API oce_status oce_saver_recover(oce_saver *saver, const char *folder);

/**
 * Saves `count` arrays as checkpoint `save_path` (step < 0) or `save_path-<step>`, then the sidecar
 * (NULL: none, and an old one is removed), then the state file in save_path's folder, which is
 * created if missing (one level); then removes at most one old checkpoint.
 *
 * At every instant the state file names complete checkpoints only, also if a checkpoint of the same
 * name is replaced (it is kept as `<prefix>.replaced` meanwhile). If the call fails, the
 * checkpoints that the state file named before are intact, and no temporary file is left. Failing
 * to remove an old checkpoint is no failure: see oce_saver_warning().
 *
 * Errors: those of oce_bundle_writer_*; OCE_ERROR_INVALID_ARGUMENT (save_path names no file, or
 * the state file).
 */
OCE_API oce_status oce_saver_save(oce_saver *saver, const char *save_path, int64_t step,
                                  const oce_array *arrays, size_t count,
                                  const oce_sidecar *sidecar);
/** The prefix that was saved last, or NULL. */
OCE_API const char *oce_saver_last(const oce_saver *saver);
/** Number of checkpoints that the saver keeps (0 if max_to_keep is 0). */
OCE_API size_t oce_saver_count(const oce_saver *saver);
/** Prefix `index` of those, oldest first; NULL if there are not so many. */
OCE_API const char *oce_saver_path(const oce_saver *saver, size_t index);
/** What went wrong in removing old checkpoints during the last save, or NULL. */
OCE_API const char *oce_saver_warning(const oce_saver *saver);

#ifdef __cplusplus
}
#endif

#endif
