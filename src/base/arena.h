/* Memory for many small things that are freed together. */
#ifndef OCE_BASE_ARENA_H
#define OCE_BASE_ARENA_H

#include <stddef.h>

typedef struct oce_arena {
    struct oce_arena_block *blocks;
    size_t left; /* free bytes at the end of the newest block */
} oce_arena;

/* Uninitialised memory for any type, or NULL. */
void *oce_arena_take(oce_arena *arena, size_t size);
void oce_arena_finish(oce_arena *arena);

#endif
