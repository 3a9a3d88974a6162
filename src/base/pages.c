#define _DEFAULT_SOURCE
#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void oce_ask_for_large_pages(void *start, size_t bytes) {
#ifdef MADV_HUGEPAGE /* Linux; the BSDs need no hint */
    const long page = sysconf(_SC_PAGESIZE);
    if (page <= 0)
        return;
    const size_t before = ((size_t)page - (uintptr_t)start % (size_t)page) % (size_t)page;
    if (bytes < before + (size_t)page)
        return;
    const size_t whole = (bytes - before) / (size_t)page * (size_t)page;
    (void)madvise((char *)start + before, whole, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
}
