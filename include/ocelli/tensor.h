/**
 * Buffers and tensors.
 *
 * A tensor is a view of float32 numbers in a device buffer: four extents, NHWC for activations,
 * HWIO (rows, columns, input channels, output channels) for filters. A matrix [rows, columns] is
 * {rows, 1, 1, columns}, a vector [n] is {1, 1, 1, n}. The last extent is contiguous.
 *
 * An activation may carry a halo: rows and columns of zeros around H and W that belong to its
 * buffer, so that a convolution can read past the border without tests. Operations write the
 * interior only; oce_tensor_create() clears the halo once.
 */
#ifndef OCELLI_TENSOR_H
#define OCELLI_TENSOR_H

#include <ocelli/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct oce_device oce_device;

/** Memory on a device. Opaque. */
typedef struct oce_buffer oce_buffer;

/**
 * Allocates `bytes` bytes on `device`; 0 is legal. The contents are undefined.
 *
 * Errors: OCE_ERROR_OVERFLOW, OCE_ERROR_DEVICE_MEMORY (more than the device's largest allocation,
 * or the driver had no more: the message has both numbers), OCE_ERROR_HOST_MEMORY.
 */
OCE_API oce_status oce_buffer_create(oce_device *device, size_t bytes, oce_buffer **buffer);
/** Frees a buffer; NULL is allowed. */
OCE_API void oce_buffer_destroy(oce_buffer *buffer);
OCE_API size_t oce_buffer_bytes(const oce_buffer *buffer);
/** Sets `bytes` bytes from byte `offset` on to zero, in queue order. */
OCE_API oce_status oce_buffer_clear(oce_buffer *buffer, size_t offset, size_t bytes);
/** Copies from the host; `data` may be reused on return. OCE_ERROR_SHAPE if it is out of range. */
OCE_API oce_status oce_buffer_write(oce_buffer *buffer, size_t offset, const void *data,
                                    size_t bytes);
/** Copies to the host, after everything enqueued before. OCE_ERROR_SHAPE if it is out of range. */
OCE_API oce_status oce_buffer_read(const oce_buffer *buffer, size_t offset, void *data,
                                   size_t bytes);
/** Copies between buffers of the same device, in queue order. */
OCE_API oce_status oce_buffer_copy(const oce_buffer *source, size_t source_offset,
                                   oce_buffer *target, size_t target_offset, size_t bytes);

/** Rows and columns of zeros around H and W. */
typedef struct oce_halo {
    int64_t top, bottom, left, right;
} oce_halo;

/** A view of float32 numbers in a buffer. A plain value: copy it freely, it does not own the
 * buffer. */
typedef struct oce_tensor {
    oce_buffer *buffer;
    size_t offset;     /**< elements from the buffer's start to element [0,0,0,0] */
    int64_t dim[4];    /**< extents */
    int64_t stride[4]; /**< elements between neighbours; stride[3] is 1 */
    oce_halo halo;     /**< zeros kept around each image; all 0 without a halo */
} oce_tensor;

/** Elements that a tensor of extents `dim` with `halo` takes (NULL: none). OCE_ERROR_OVERFLOW. */
OCE_API oce_status oce_tensor_elements(const int64_t dim[4], const oce_halo *halo,
                                       size_t *elements);

/** A view of `buffer` from element `offset` on, of extents `dim`, with `halo` (NULL: none).
 * Errors: OCE_ERROR_SHAPE if it does not fit into the buffer, OCE_ERROR_OVERFLOW. */
OCE_API oce_status oce_tensor_view(oce_buffer *buffer, size_t offset, const int64_t dim[4],
                                   const oce_halo *halo, oce_tensor *tensor);

/** Allocates a zero-filled buffer for a tensor and views it; give it back with oce_tensor_release.
 * Errors: as oce_buffer_create. */
OCE_API oce_status oce_tensor_create(oce_device *device, const int64_t dim[4], const oce_halo *halo,
                                     oce_tensor *tensor);
/** Destroys the tensor's buffer and clears the view; an empty or cleared tensor is allowed. */
OCE_API void oce_tensor_release(oce_tensor *tensor);

/** Number of elements, halo not counted. */
OCE_API size_t oce_tensor_count(const oce_tensor *tensor);

/** Copies oce_tensor_count() floats, dense and row-major, from the host into the interior. */
OCE_API oce_status oce_tensor_write(const oce_tensor *tensor, const float *data);
/** Copies the interior to the host, dense and row-major, after everything enqueued before. */
OCE_API oce_status oce_tensor_read(const oce_tensor *tensor, float *data);

#ifdef __cplusplus
}
#endif

#endif
