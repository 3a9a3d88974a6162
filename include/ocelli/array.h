/**
 * Named arrays in host memory, and files of them: safetensors, NumPy's .npz and .npy.
 *
 * An array is dense and row-major, in the machine's byte order (files are little-endian; the
 * library reads and writes files on little-endian machines only).
 */
#ifndef OCELLI_ARRAY_H
#define OCELLI_ARRAY_H

#include <ocelli/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Element types: OCE_DTYPES(X) expands X(NAME, number, text, bytes) for each. The numbers are
 * TensorFlow's; bytes is 0 where elements have no fixed size. */
#define OCE_DTYPES(X)                                                                              \
    X(FLOAT32, 1, "float32", 4)                                                                    \
    X(FLOAT64, 2, "float64", 8)                                                                    \
    X(INT32, 3, "int32", 4)                                                                        \
    X(UINT8, 4, "uint8", 1)                                                                        \
    X(INT16, 5, "int16", 2)                                                                        \
    X(INT8, 6, "int8", 1)                                                                          \
    X(STRING, 7, "string", 0)                                                                      \
    X(COMPLEX64, 8, "complex64", 8)                                                                \
    X(INT64, 9, "int64", 8)                                                                        \
    X(BOOL, 10, "bool", 1)                                                                         \
    X(QINT8, 11, "qint8", 1)                                                                       \
    X(QUINT8, 12, "quint8", 1)                                                                     \
    X(QINT32, 13, "qint32", 4)                                                                     \
    X(BFLOAT16, 14, "bfloat16", 2)                                                                 \
    X(QINT16, 15, "qint16", 2)                                                                     \
    X(QUINT16, 16, "quint16", 2)                                                                   \
    X(UINT16, 17, "uint16", 2)                                                                     \
    X(COMPLEX128, 18, "complex128", 16)                                                            \
    X(FLOAT16, 19, "float16", 2)                                                                   \
    X(RESOURCE, 20, "resource", 0)                                                                 \
    X(VARIANT, 21, "variant", 0)                                                                   \
    X(UINT32, 22, "uint32", 4)                                                                     \
    X(UINT64, 23, "uint64", 8)

/** A file may hold a number that is not listed here. */
typedef enum oce_dtype {
#define OCE_DTYPE_ENUM(name, number, text, bytes) OCE_DTYPE_##name = (number),
    OCE_DTYPES(OCE_DTYPE_ENUM)
#undef OCE_DTYPE_ENUM
} oce_dtype;

/** "float32", ...; "unknown" for a number that is not listed; never NULL. */
OCE_API const char *oce_dtype_name(oce_dtype dtype);
/** Bytes of one element; 0 if elements have no fixed size, or the number is not listed. */
OCE_API size_t oce_dtype_bytes(oce_dtype dtype);

/** The most extents that an array here may have. */
#define OCE_ARRAY_MAX_RANK 254

/** An array that belongs to the caller. */
typedef struct oce_array {
    const char *name; /**< not empty */
    oce_dtype dtype;
    int rank;             /**< number of extents; 0 is a scalar, one element */
    const int64_t *shape; /**< `rank` extents, each at least 0; may be NULL if rank is 0 */
    const void *data;     /**< dense, row-major; may be NULL if there are no elements */
} oce_array;

/**
 * Bytes of an array's data: the product of its extents times the element size.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (rank, a negative extent, an element type without a fixed
 * size), OCE_ERROR_OVERFLOW.
 */
OCE_API oce_status oce_array_bytes(const oce_array *array, size_t *bytes);
/** Writes "[5, 5, 1, 32]" ("[]" for a scalar), cut to fit, into text[0..capacity); returns text. */
OCE_API const char *oce_shape_text(int rank, const int64_t *shape, char *text, size_t capacity);

/** Arrays that the library has read. */
typedef struct oce_array_list oce_array_list;

OCE_API void oce_array_list_destroy(oce_array_list *list); /**< NULL is allowed */
OCE_API size_t oce_array_list_count(const oce_array_list *list);
/** The arrays, in the order of the file; they live as long as the list. */
OCE_API const oce_array *oce_array_list_items(const oce_array_list *list);
/** The array of that name, or NULL. */
OCE_API const oce_array *oce_array_list_find(const oce_array_list *list, const char *name);

/** File formats for arrays. */
typedef enum oce_array_format {
    OCE_ARRAY_SAFETENSORS = 0, /**< Hugging Face's safetensors */
    OCE_ARRAY_NPZ,             /**< numpy.savez: a zip archive of .npy files */
    OCE_ARRAY_NPY              /**< numpy.save: one array, without its name */
} oce_array_format;

/** The format that a file name's ending stands for: .safetensors, .npz, .npy.
 * Errors: OCE_ERROR_INVALID_ARGUMENT (another ending; the message lists these three). */
OCE_API oce_status oce_array_format_of(const char *path, oce_array_format *format);

/**
 * Writes `count` arrays to `path`, in the order of their names; the file is replaced as a whole or
 * not at all. Equal arrays give equal bytes.
 *
 * Errors: OCE_ERROR_INVALID_ARGUMENT (a name is empty or twice there; NPY: count is not 1; a bad
 * array), OCE_ERROR_UNSUPPORTED (an element type that the format lacks, an .npz of 4 GiB or more
 * or of over 65,534 arrays), OCE_ERROR_IO, OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_arrays_write(const char *path, oce_array_format format,
                                    const oce_array *arrays, size_t count);

/**
 * Reads all arrays of a file. An .npy's array is named after the file (without folder and ending).
 * Arrays in column-major order are turned into row-major ones.
 *
 * Errors: OCE_ERROR_NOT_FOUND, OCE_ERROR_IO, OCE_ERROR_FORMAT (not such a file, or a damaged one:
 * the message says where), OCE_ERROR_CHECKSUM (npz), OCE_ERROR_UNSUPPORTED (big-endian, strings,
 * objects, encrypted archives, zip64), OCE_ERROR_HOST_MEMORY. Memory is bounded by the file's size
 * (by what its compressed parts can expand to for a compressed .npz).
 */
OCE_API oce_status oce_arrays_read(const char *path, oce_array_format format,
                                   oce_array_list **list);

#ifdef __cplusplus
}
#endif

#endif
