/*
 * Synthetic colour images: one object, a shape or a texture, on a cluttered background. The classes
 * differ in form only: colours, position, size, rotation, aspect, shading and noise are random.
 */
#include "data/synthetic.h"

#include <math.h>

enum { SIZE = OCE_CIFAR_SIZE, PIXELS = SIZE * SIZE, PLAIN = -1 };

enum { DISC, RING, SQUARE, TRIANGLE, STAR, CROSS, CRESCENT, STRIPES, CHECKS, DOTS };

const char *const oce_shape_names[OCE_CIFAR_CLASSES] = {
    "disc", "ring", "square", "triangle", "star", "cross", "crescent", "stripes", "checks", "dots"};

typedef struct colour {
    float rgb[3]; /* 0..255 */
} colour;

/* Where an object lies and how it is painted. */
typedef struct object {
    int form;             /* outline: DISC..CRESCENT */
    int texture;          /* STRIPES, CHECKS, DOTS or PLAIN */
    oce_point centre;     /* pixels */
    oce_point axis;       /* direction of the object's x axis */
    float across, along;  /* half extents along x and y, pixels */
    float period;         /* of the texture, pixels */
    oce_point phase;      /* of the texture, periods */
    colour paint, second; /* the texture alternates between the two */
    float shade;          /* brightness added at x = 1 and taken away at x = -1 */
    float opacity;        /* 0..1 */
} object;

static colour draw_colour(oce_random *random, float darkest, float brightest) {
    colour drawn;
    for (int c = 0; c < 3; c++)
        drawn.rgb[c] = oce_draw_between(random, darkest, brightest);
    return drawn;
}

/* Objects are brighter than backgrounds and clutter, on the whole. */
static colour draw_ground_colour(oce_random *random) {
    return draw_colour(random, 10.0F, 150.0F);
}

static colour draw_object_colour(oce_random *random) {
    return draw_colour(random, 90.0F, 250.0F);
}

static float squared_distance(colour a, colour b) {
    float sum = 0.0F;
    for (int c = 0; c < 3; c++)
        sum += (a.rgb[c] - b.rgb[c]) * (a.rgb[c] - b.rgb[c]);
    return sum;
}

/* A colour of `draw` that stands out from `other`: of a few draws the first that does, or the last.
 */
static colour draw_contrast(oce_random *random, colour (*draw)(oce_random *), colour other) {
    const float apart = 90.0F;
    colour drawn = draw(random);
    for (int i = 0; i < 8 && squared_distance(drawn, other) < apart * apart; i++)
        drawn = draw(random);
    return drawn;
}

static colour blend(colour from, colour to, float share) {
    for (int c = 0; c < 3; c++)
        from.rgb[c] += (to.rgb[c] - from.rgb[c]) * share;
    return from;
}

/* How far (x, y) lies beyond the farthest (rank 0) or second farthest (rank 1) of `count` lines at
 * distance `apothem` from the origin. */
static float beyond_lines(float x, float y, const oce_point *normals, int count, float apothem,
                          int rank) {
    float first = -2.0F, second = -2.0F;
    for (int k = 0; k < count; k++) {
        const float beyond = x * normals[k].x + y * normals[k].y - apothem;
        if (beyond > first) {
            second = first;
            first = beyond;
        } else if (beyond > second) {
            second = beyond;
        }
    }
    return rank == 0 ? first : second;
}

/* Approximate distance from the outline of a form of radius 1 around the origin; negative inside.
 */
static float outline(int form, float x, float y) {
    static const oce_point three[] = {{0.0F, 1.0F}, {0.8660254F, -0.5F}, {-0.8660254F, -0.5F}};
    static const oce_point five[] = {{0.0F, 1.0F},
                                     {0.9510565F, 0.3090170F},
                                     {0.5877853F, -0.8090170F},
                                     {-0.5877853F, -0.8090170F},
                                     {-0.9510565F, 0.3090170F}};
    const float u = fabsf(x), v = fabsf(y), radius = sqrtf(x * x + y * y);
    switch (form) {
    case RING:
        return fabsf(radius - 0.76F) - 0.24F;
    case SQUARE:
        return fmaxf(u, v) - 0.85F;
    case TRIANGLE:
        return beyond_lines(x, y + 0.15F, three, 3, 0.55F, 0);
    case STAR: /* the pentagram: inside at least four of a pentagon's five lines */
        return beyond_lines(x, y, five, 5, 0.34F, 1);
    case CROSS:
        return fminf(fmaxf(u - 1.0F, v - 0.32F), fmaxf(u - 0.32F, v - 1.0F));
    case CRESCENT: {
        const float dx = x - 0.55F;
        return fmaxf(radius - 1.0F, 0.85F - sqrtf(dx * dx + y * y));
    }
    default:
        return radius - 1.0F;
    }
}

/* Cover of a pixel by a region whose edge is `inside` pixels away. */
static float cover(float inside) {
    return oce_draw_clamp(0.5F + inside, 0.0F, 1.0F);
}

/* Distance, in periods, into the dark half of a wave of period 1. */
static float wave(float position) {
    return fabsf(position - floorf(position) - 0.5F) - 0.25F;
}

/* Share of the second colour at (x, y) in pixels along the object's axes. */
static float texture_share(const object *thing, float x, float y) {
    const float u = x / thing->period + thing->phase.x, v = y / thing->period + thing->phase.y;
    const float a = cover(wave(u) * thing->period), b = cover(wave(v) * thing->period);
    switch (thing->texture) {
    case STRIPES:
        return a;
    case CHECKS:
        return a * b + (1.0F - a) * (1.0F - b);
    case DOTS: {
        const float du = u - floorf(u) - 0.5F, dv = v - floorf(v) - 0.5F;
        return cover((0.32F - sqrtf(du * du + dv * dv)) * thing->period);
    }
    default:
        return 0.0F;
    }
}

static oce_point pixel_centre(int index) {
    const int row = index / SIZE, column = index % SIZE;
    return (oce_point){(float)column + 0.5F, (float)row + 0.5F};
}

static void paint(colour *canvas, const object *thing) {
    const float smaller = fminf(thing->across, thing->along);
    for (int i = 0; i < PIXELS; i++) {
        const oce_point at = pixel_centre(i);
        const float dx = at.x - thing->centre.x, dy = at.y - thing->centre.y;
        const float x = dx * thing->axis.x + dy * thing->axis.y;
        const float y = dy * thing->axis.x - dx * thing->axis.y;
        const float u = x / thing->across, v = y / thing->along;
        const float share = thing->opacity * cover(-outline(thing->form, u, v) * smaller);
        if (share <= 0.0F)
            continue;
        colour here = blend(thing->paint, thing->second, texture_share(thing, x, y));
        for (int c = 0; c < 3; c++)
            here.rgb[c] += thing->shade * u;
        canvas[i] = blend(canvas[i], here, share);
    }
}

/* A gradient between two colours, in a random direction; returns the colour in the middle. */
static colour paint_background(oce_random *random, colour *canvas) {
    const colour from = draw_ground_colour(random);
    const colour far = draw_ground_colour(random);
    const colour to = blend(from, far, oce_draw_between(random, 0.0F, 0.6F));
    const oce_point slope = oce_draw_direction(oce_random_uniform(random));
    for (int i = 0; i < PIXELS; i++) {
        const oce_point at = pixel_centre(i);
        const float x = at.x / (float)SIZE - 0.5F, y = at.y / (float)SIZE - 0.5F;
        const float share = oce_draw_clamp(0.5F + x * slope.x + y * slope.y, 0.0F, 1.0F);
        canvas[i] = blend(from, to, share);
    }
    return blend(from, to, 0.5F);
}

/* Small plain pieces and thin bars, anywhere. */
static void paint_clutter(oce_random *random, colour *canvas, uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        const bool bar = oce_random_below(random, 2) == 0;
        const uint32_t form = oce_random_below(random, 3);
        object thing = {.form = bar || form == 0 ? SQUARE
                                : form == 1      ? DISC
                                                 : TRIANGLE,
                        .texture = PLAIN,
                        .period = 1.0F};
        thing.centre.x = oce_draw_between(random, 0.0F, (float)SIZE);
        thing.centre.y = oce_draw_between(random, 0.0F, (float)SIZE);
        thing.axis = oce_draw_direction(oce_random_uniform(random));
        thing.across =
            bar ? oce_draw_between(random, 4.0F, 14.0F) : oce_draw_between(random, 1.5F, 3.5F);
        thing.along =
            bar ? oce_draw_between(random, 0.6F, 1.2F) : oce_draw_between(random, 1.5F, 3.5F);
        thing.paint = draw_ground_colour(random);
        thing.opacity = oce_draw_between(random, 0.4F, 0.9F);
        paint(canvas, &thing);
    }
}

static void paint_object(oce_random *random, colour *canvas, int label, colour background) {
    static const int patches[] = {DISC, SQUARE, TRIANGLE, CROSS};
    const bool textured = label >= STRIPES;
    object thing = {.form = textured ? patches[oce_random_below(random, 4)] : label,
                    .texture = textured ? label : PLAIN};
    thing.across = oce_draw_between(random, textured ? 7.5F : 6.0F, 13.0F);
    thing.along = thing.across * oce_draw_between(random, 0.75F, 1.0F);
    const float room = 0.5F * (float)SIZE - 0.8F * thing.across;
    thing.centre.x = 0.5F * (float)SIZE + room * oce_draw_between(random, -1.0F, 1.0F);
    thing.centre.y = 0.5F * (float)SIZE + room * oce_draw_between(random, -1.0F, 1.0F);
    thing.axis = oce_draw_direction(oce_draw_between(random, -0.1F, 0.1F));
    thing.period = oce_draw_between(random, 4.0F, 6.5F);
    thing.phase.x = oce_random_uniform(random);
    thing.phase.y = oce_random_uniform(random);
    thing.paint = draw_contrast(random, draw_object_colour, background);
    thing.second = draw_contrast(random, draw_ground_colour, thing.paint);
    thing.shade = oce_draw_between(random, 0.0F, 35.0F);
    thing.opacity = oce_draw_between(random, 0.35F, 1.0F);
    paint(canvas, &thing);
}

void oce_draw_shape(oce_random *random, int label, uint8_t *pixels) {
    colour canvas[PIXELS];
    const colour background = paint_background(random, canvas);
    paint_clutter(random, canvas, 1 + oce_random_below(random, 4));
    paint_object(random, canvas, label, background);
    paint_clutter(random, canvas, oce_random_below(random, 2));
    const float noise = oce_draw_between(random, 8.0F, 60.0F);
    for (int i = 0; i < PIXELS; i++) {
        const uint32_t word = oce_random_u32(random), more = oce_random_u32(random);
        const uint32_t bits[3] = {word, word >> 16, more};
        for (int c = 0; c < 3; c++)
            pixels[3 * i + c] = oce_draw_byte(canvas[i].rgb[c] + noise * oce_draw_grain(bits[c]));
    }
}
