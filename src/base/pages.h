/* Hints to the system about memory. */
#ifndef OCE_BASE_PAGES_H
#define OCE_BASE_PAGES_H

#include <stddef.h>

/* Asks for large pages for what of `bytes` bytes at `start` fills them. Call before the memory is
 * first written. Nothing depends on the answer; systems that do not know the hint ignore it. */
void oce_ask_for_large_pages(void *start, size_t bytes);

#endif
