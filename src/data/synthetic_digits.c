/*
 * Synthetic digits: a glyph's strokes as smooth curves, bent by a random displacement field
 * (elastic), mapped by a random affine map, inked with a pen of varying width, then noise.
 */
#include "data/synthetic.h"

#include <math.h>

enum {
    SIZE = OCE_DIGIT_SIZE,
    SPAN_STEPS = 5,  /* straight pieces between two points of a stroke */
    FIELD_CELLS = 3, /* cells of the displacement field along each axis of the box */
    FIELD_NODES = FIELD_CELLS + 1
};

/* Everything that one example draws at random about its geometry and its pen. */
typedef struct style {
    oce_point field[FIELD_NODES][FIELD_NODES]; /* displacement, in boxes */
    float xx, xy, yx, yy;                      /* box -> pixels */
    oce_point centre;                          /* pixels */
    float radius;                              /* half the pen's width, pixels */
    float edge;                                /* width of the ink's soft edge, pixels */
} style;

static void draw_style(oce_random *random, style *drawn) {
    for (int i = 0; i < FIELD_NODES; i++)
        for (int j = 0; j < FIELD_NODES; j++) {
            drawn->field[i][j].x = oce_draw_between(random, -0.12F, 0.12F);
            drawn->field[i][j].y = oce_draw_between(random, -0.10F, 0.10F);
        }
    const float height = oce_draw_between(random, 16.0F, 21.0F);
    const float width = height * oce_draw_between(random, 0.50F, 0.87F);
    const float shear = oce_draw_between(random, -0.35F, 0.25F);
    const oce_point turn = oce_draw_direction(oce_draw_between(random, -0.045F, 0.045F));
    drawn->xx = turn.x * width;
    drawn->xy = turn.x * shear * height - turn.y * height;
    drawn->yx = turn.y * width;
    drawn->yy = turn.y * shear * height + turn.x * height;
    drawn->centre.x = 0.5F * SIZE + oce_draw_between(random, -2.0F, 2.0F);
    drawn->centre.y = 0.5F * SIZE + oce_draw_between(random, -2.0F, 2.0F);
    drawn->radius = oce_draw_between(random, 0.65F, 1.7F);
    drawn->edge = oce_draw_between(random, 1.0F, 1.8F);
}

/* The displacement at a point of the box: nodes blended with smoothstep weights. */
static oce_point displacement(const style *drawn, oce_point at) {
    const float x = oce_draw_clamp(at.x, 0.0F, 0.999F) * FIELD_CELLS;
    const float y = oce_draw_clamp(at.y, 0.0F, 0.999F) * FIELD_CELLS;
    const int j = (int)x, i = (int)y;
    const float fx = x - (float)j, fy = y - (float)i;
    const float wx = fx * fx * (3.0F - 2.0F * fx), wy = fy * fy * (3.0F - 2.0F * fy);
    const oce_point a = drawn->field[i][j], b = drawn->field[i][j + 1];
    const oce_point c = drawn->field[i + 1][j], d = drawn->field[i + 1][j + 1];
    const oce_point top = {a.x + (b.x - a.x) * wx, a.y + (b.y - a.y) * wx};
    const oce_point bottom = {c.x + (d.x - c.x) * wx, c.y + (d.y - c.y) * wx};
    return (oce_point){top.x + (bottom.x - top.x) * wy, top.y + (bottom.y - top.y) * wy};
}

/* From the box to pixels. */
static oce_point place(const style *drawn, oce_point at) {
    const oce_point moved = displacement(drawn, at);
    const float x = at.x + moved.x - 0.5F, y = at.y + moved.y - 0.5F;
    return (oce_point){drawn->centre.x + drawn->xx * x + drawn->xy * y,
                       drawn->centre.y + drawn->yx * x + drawn->yy * y};
}

static oce_point stroke_point(const oce_stroke *stroke, int index) {
    return (oce_point){(float)stroke->point[index][0] * 0.01F,
                       (float)stroke->point[index][1] * 0.01F};
}

static float catmull_rom(float p, float a, float b, float n, float t) {
    const float linear = b - p, square = 2.0F * p - 5.0F * a + 4.0F * b - n;
    const float cube = 3.0F * (a - b) + n - p;
    return a + 0.5F * t * (linear + t * (square + t * cube));
}

/* The curve at parameter t of the span from point `span` to the next one. At an end the end itself
 * stands in for the missing neighbour, unless the curve is closed. */
static oce_point curve(const oce_stroke *stroke, int span, float t) {
    const int last = stroke->count - 1;
    const bool closed = stroke->point[0][0] == stroke->point[last][0] &&
                        stroke->point[0][1] == stroke->point[last][1];
    const int before = span > 0 ? span - 1 : closed ? last - 1 : 0;
    const int after = span + 2 <= last ? span + 2 : closed ? 1 : last;
    const oce_point p = stroke_point(stroke, before), a = stroke_point(stroke, span);
    const oce_point b = stroke_point(stroke, span + 1), n = stroke_point(stroke, after);
    return (oce_point){catmull_rom(p.x, a.x, b.x, n.x, t), catmull_rom(p.y, a.y, b.y, n.y, t)};
}

static float distance_to_piece(float x, float y, oce_point a, oce_point b) {
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float square = dx * dx + dy * dy;
    float t = 0.0F;
    if (square > 0.0F)
        t = oce_draw_clamp(((x - a.x) * dx + (y - a.y) * dy) / square, 0.0F, 1.0F);
    const float ex = x - (a.x + t * dx), ey = y - (a.y + t * dy);
    return sqrtf(ex * ex + ey * ey);
}

static int pixel_index(float position) {
    return (int)oce_draw_clamp(position, 0.0F, (float)(SIZE - 1));
}

/* Inks the piece from a to b: the darkest ink wins where pieces overlap. */
static void ink(float *canvas, const style *drawn, float radius, oce_point a, oce_point b) {
    const float reach = radius + drawn->edge;
    const int left = pixel_index(fminf(a.x, b.x) - reach);
    const int right = pixel_index(fmaxf(a.x, b.x) + reach);
    const int top = pixel_index(fminf(a.y, b.y) - reach);
    const int bottom = pixel_index(fmaxf(a.y, b.y) + reach);
    for (int i = top; i <= bottom; i++)
        for (int j = left; j <= right; j++) {
            const float distance = distance_to_piece((float)j + 0.5F, (float)i + 0.5F, a, b);
            const float cover =
                oce_draw_clamp((radius - distance) / drawn->edge + 0.5F, 0.0F, 1.0F);
            if (cover > canvas[i * SIZE + j])
                canvas[i * SIZE + j] = cover;
        }
}

static void ink_stroke(float *canvas, const style *drawn, const oce_stroke *stroke,
                       float start_pressure, float end_pressure) {
    const int pieces = (stroke->count - 1) * SPAN_STEPS;
    oce_point from = place(drawn, stroke_point(stroke, 0));
    for (int k = 1; k <= pieces; k++) {
        const int span = (k - 1) / SPAN_STEPS;
        const float t = (float)(k - span * SPAN_STEPS) / (float)SPAN_STEPS;
        const oce_point to = place(drawn, curve(stroke, span, t));
        const float along = (float)k / (float)pieces;
        const float pressure = start_pressure + (end_pressure - start_pressure) * along;
        ink(canvas, drawn, drawn->radius * pressure, from, to);
        from = to;
    }
}

/* A short stray stroke of the pen. */
static void ink_stray(oce_random *random, float *canvas, const style *drawn) {
    oce_point a, b;
    a.x = oce_draw_between(random, 1.0F, SIZE - 1.0F);
    a.y = oce_draw_between(random, 1.0F, SIZE - 1.0F);
    b.x = a.x + oce_draw_between(random, -4.0F, 4.0F);
    b.y = a.y + oce_draw_between(random, -4.0F, 4.0F);
    ink(canvas, drawn, 0.7F * drawn->radius, a, b);
}

void oce_draw_digit(oce_random *random, int label, uint8_t *pixels) {
    float canvas[SIZE * SIZE] = {0};
    style drawn;
    draw_style(random, &drawn);
    int variants;
    const oce_glyph *glyphs = oce_glyphs(label, &variants);
    const oce_glyph *glyph = &glyphs[oce_random_below(random, (uint32_t)variants)];
    for (int s = 0; s < glyph->count; s++) {
        const float start = oce_draw_between(random, 0.75F, 1.2F);
        const float end = oce_draw_between(random, 0.75F, 1.2F);
        ink_stroke(canvas, &drawn, &glyph->stroke[s], start, end);
    }
    if (oce_random_below(random, 4) == 0)
        ink_stray(random, canvas, &drawn);
    const float brightness = oce_draw_between(random, 170.0F, 255.0F);
    const float noise = oce_draw_between(random, 0.0F, 32.0F);
    for (int i = 0; i < SIZE * SIZE; i += 2) {
        const uint32_t word = oce_random_u32(random);
        pixels[i] = oce_draw_byte(canvas[i] * brightness + noise * oce_draw_grain(word));
        pixels[i + 1] =
            oce_draw_byte(canvas[i + 1] * brightness + noise * oce_draw_grain(word >> 16));
    }
}
