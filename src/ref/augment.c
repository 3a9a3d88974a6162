#include "ref/ref.h"

#include "base/random.h"
#include "base/status.h"
#include "ref/index.h"

#include <stdbool.h>

enum { LARGEST_SHIFT = 32767 };

/* How an image is changed. */
typedef struct motion {
    bool mirror;
    int64_t down, right;
} motion;

static int64_t shift_of(uint32_t word, int32_t most) {
    const uint64_t choices = 2 * (uint64_t)most + 1;
    return (int64_t)((word * choices) >> 32) - most;
}

static motion motion_of(const oce_augment *augment, int64_t image) {
    const uint32_t counter[4] = {augment->first_image + (uint32_t)image, augment->step, 0,
                                 OCE_RANDOM_AUGMENT};
    const uint32_t key[2] = {(uint32_t)augment->seed, (uint32_t)(augment->seed >> 32)};
    uint32_t words[4];
    oce_philox4x32(counter, key, words);
    return (motion){.mirror = augment->flip && words[0] % 2 == 1,
                    .down = shift_of(words[1], augment->max_shift),
                    .right = shift_of(words[2], augment->max_shift)};
}

oce_status oce_ref_convert_augmented(const oce_augment *augment, const int64_t dim[4],
                                     const uint8_t *bytes, float scale, float *y) {
    OCE_REQUIRE(augment->max_shift >= 0 && augment->max_shift <= LARGEST_SHIFT,
                OCE_ERROR_INVALID_ARGUMENT, "augmentation: a shift of %d is not in 0..%d",
                (int)augment->max_shift, LARGEST_SHIFT);
    for (int64_t n = 0; n < dim[0]; n++) {
        const motion m = motion_of(augment, n);
        for (int64_t h = 0; h < dim[1]; h++)
            for (int64_t w = 0; w < dim[2]; w++) {
                const int64_t from_h = h - m.down, moved = w - m.right;
                const int64_t from_w = m.mirror ? dim[2] - 1 - moved : moved;
                const bool inside = from_h >= 0 && from_h < dim[1] && moved >= 0 && moved < dim[2];
                for (int64_t c = 0; c < dim[3]; c++)
                    y[oce_ref_at(dim, n, h, w, c)] =
                        inside ? (float)bytes[oce_ref_at(dim, n, from_h, from_w, c)] * scale : 0.0F;
            }
    }
    return OCE_OK;
}
