/*
 * Drawing of synthetic examples. Only +, -, *, / and square roots of single precision are used, all
 * of which IEEE 754 rounds in one way, so an example has the same bits on every such machine. The
 * compiler must not fuse multiply and add for that: GCC does not in its ISO C modes, clang must be
 * told.
 */
#ifndef OCE_DATA_SYNTHETIC_H
#define OCE_DATA_SYNTHETIC_H

#include "base/random.h"
#include "data/dataset.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

typedef struct oce_point {
    float x, y;
} oce_point;

/* One line of a handwritten digit: a smooth curve through its points. */
typedef struct oce_stroke {
    int count;            /* points; a closed curve repeats the first one as the last */
    uint8_t point[14][2]; /* x, y in hundredths of the digit's box, y downwards */
} oce_stroke;

/* One way to write a digit. */
typedef struct oce_glyph {
    int count; /* strokes */
    oce_stroke stroke[3];
} oce_glyph;

/* The ways to write `digit` (0..9); *count receives their number. */
const oce_glyph *oce_glyphs(int digit, int *count);

extern const char *const oce_shape_names[OCE_CIFAR_CLASSES];

/* Draws a digit of class `label` into pixels [28, 28]. */
void oce_draw_digit(oce_random *random, int label, uint8_t *pixels);
/* Draws a shape of class `label` into pixels [32, 32, 3]. */
void oce_draw_shape(oce_random *random, int label, uint8_t *pixels);

/* Uniform in [low, high). */
static inline float oce_draw_between(oce_random *random, float low, float high) {
    return low + (high - low) * oce_random_uniform(random);
}

/* Triangular distribution in (-1, 1) from half a random word. */
static inline float oce_draw_grain(uint32_t bits) {
    return (float)((int)(bits & 255U) + (int)(bits >> 8 & 255U) - 255) * (1.0F / 256.0F);
}

static inline float oce_draw_clamp(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

static inline uint8_t oce_draw_byte(float value) {
    return (uint8_t)(oce_draw_clamp(value, 0.0F, 255.0F) + 0.5F);
}

/* Cosine (x) and sine (y) of `turns` in [-1, 1] full turns, to about 1e-6. */
oce_point oce_draw_direction(float turns);

#endif
