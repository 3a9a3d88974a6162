#include "base/arena.h"

#include "base/size.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 16384 };

struct oce_arena_block {
    struct oce_arena_block *next;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void *oce_arena_take(oce_arena *arena, size_t size) {
    if (size > SIZE_MAX - BLOCK_BYTES)
        return NULL;
    size = oce_size_round_up(size > 0 ? size : 1, alignof(max_align_t));
    if (size > arena->left) {
        const size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct oce_arena_block *block = malloc(sizeof *block + room);
        if (!block)
            return NULL;
        *block = (struct oce_arena_block){.next = arena->blocks, .size = room};
        arena->blocks = block;
        arena->left = room;
    }
    unsigned char *taken = arena->blocks->bytes + (arena->blocks->size - arena->left);
    arena->left -= size;
    return taken;
}

void oce_arena_finish(oce_arena *arena) {
    for (struct oce_arena_block *block = arena->blocks; block;) {
        struct oce_arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (oce_arena){0};
}
