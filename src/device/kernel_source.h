/* The source texts of kernels. */
#ifndef OCE_DEVICE_KERNEL_SOURCE_H
#define OCE_DEVICE_KERNEL_SOURCE_H

#include <ocelli/status.h>

#include <stdbool.h>

/* Parts of a source, for clCreateProgramWithSource(). #line directives between the files make the
 * compiler's messages name their lines. */
typedef struct oce_kernel_source {
    const char *parts[6];
    char *texts[3]; /* common.cl.h, the included file or NULL, the kernel file */
    char lines[2][128];
} oce_kernel_source;

enum { OCE_KERNEL_SOURCE_PARTS = 6 };

/*
 * The source of the kernels `names`, between blanks, of `file`: common.cl.h, what the file
 * includes, and the file without its other kernels, which some drivers would compile at once and
 * all. The files are those of the folder OCELLI_KERNELS if set, else those built in. Finish *source
 * in any case.
 */
oce_status oce_kernel_source_read(const char *file, const char *names, oce_kernel_source *source);
void oce_kernel_source_finish(oce_kernel_source *source);

/* Whether kernels may have that name, or be of a file of that name: true with OCELLI_KERNELS, whose
 * folder is not searched. */
bool oce_kernel_source_has_file(const char *file);
bool oce_kernel_source_has_kernel(const char *name);

#endif
