#include "device/kernel_source.h"
#include "device/embedded.h"

#include "base/file.h"
#include "base/path.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_KERNEL_FILE = 1 << 24, COMMON = 0, INCLUDED = 1, KERNELS = 2 };

static const char common_file[] = "common.cl.h";

/* Reads DIR/file as text; the caller frees it. */
static oce_status read_file(const char *directory, const char *file, char **text) {
    char path[1024];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, file);
    OCE_REQUIRE(length > 0 && (size_t)length < sizeof path, OCE_ERROR_INVALID_ARGUMENT,
                "OCELLI_KERNELS: the path of %s is longer than %zu characters", file,
                sizeof path - 1);
    oce_bytes bytes = {0};
    oce_status status = oce_file_read(path, LARGEST_KERNEL_FILE, &bytes);
    status = status == OCE_OK ? oce_text_copy(oce_bytes_string(&bytes), text)
                              : oce_fail_prefix(status, "kernel file (OCELLI_KERNELS)");
    oce_bytes_finish(&bytes);
    return status;
}

/* The folder OCELLI_KERNELS, or NULL. */
static const char *kernel_folder(void) {
    const char *directory = getenv("OCELLI_KERNELS");
    return directory != NULL && directory[0] != '\0' ? directory : NULL;
}

/* The text of a kernel file: of the folder OCELLI_KERNELS if set, else as built in. */
static oce_status read_text(const char *file, char **text) {
    const char *directory = kernel_folder();
    if (directory != NULL)
        return read_file(directory, file, text);
    for (const oce_embedded_file *embedded = oce_embedded_files; embedded->name != NULL; embedded++)
        if (strcmp(embedded->name, file) == 0)
            return oce_text_copy(embedded->text, text);
    return oce_fail(OCE_ERROR_NOT_FOUND, "there is no kernel file \"%s\"", file);
}

/* The name in a kernel file's #include "NAME" line, which is turned into a comment; empty if it has
 * none. Drivers could not find the file: its text goes before the kernel file's. */
static oce_status take_include(char *text, const char *file, char name[64]) {
    static const char directive[] = "\n#include \"";
    name[0] = '\0';
    char *line = strstr(text, directive);
    if (line == NULL)
        return OCE_OK;
    const char *start = line + strlen(directive);
    const size_t length = strcspn(start, "\"\n");
    OCE_REQUIRE(length < 64 && start[length] == '"' && strstr(start, directive) == NULL,
                OCE_ERROR_INVALID_ARGUMENT,
                "kernel file %s: it may include one file, of a name below 64 characters", file);
    memcpy(name, start, length);
    name[length] = '\0';
    line[1] = line[2] = '/';
    return OCE_OK;
}

/* True if a kernel starts at this line, as in "KERNEL void name("; *name is where its name is. */
static bool starts_kernel(const char *line, const char **name) {
    static const char word[] = "KERNEL void ";
    const size_t letters = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    const size_t tail = strlen("KERNEL");
    if (letters < tail || strncmp(line + letters - tail, word, strlen(word)) != 0)
        return false;
    *name = line + letters - tail + strlen(word);
    return true;
}

/* True if the name at `name`, up to a "(", is one of those in `names`, between blanks. */
static bool is_named(const char *name, const char *names) {
    const size_t length = strcspn(name, "(");
    for (const char *at = names; *at != '\0'; at += strspn(at, " ")) {
        const size_t other = strcspn(at, " ");
        if (other == length && strncmp(at, name, length) == 0)
            return true;
        at += other;
    }
    return false;
}

/* Blanks the kernels other than `kept`, names between blanks; lines stay. A kernel ends with the
 * first line that is "}", or with its own. False if there are others only, of which some drivers
 * make no program. */
static bool blank_others(char *text, const char *kept) {
    bool is_other = false, has_others = false, has_kept = false;
    for (char *line = text; *line != '\0';) {
        const char *name;
        const size_t columns = strcspn(line, "\n");
        const bool starts = starts_kernel(line, &name);
        if (starts) {
            is_other = !is_named(name, kept);
            has_others = has_others || is_other;
            has_kept = has_kept || !is_other;
        }
        const bool ends = columns > 0 && line[columns - 1] == '}' && (starts || columns == 1);
        if (is_other)
            memset(line, ' ', columns);
        if (ends)
            is_other = false;
        line += columns + (line[columns] == '\n');
    }
    return has_kept || !has_others;
}

oce_status oce_kernel_source_read(const char *file, const char *names, oce_kernel_source *source) {
    *source = (oce_kernel_source){{NULL}, {NULL}, {{0}}};
    char included[64], **texts = source->texts;
    OCE_TRY(read_text(common_file, &texts[COMMON]));
    OCE_TRY(read_text(file, &texts[KERNELS]));
    OCE_TRY(take_include(texts[KERNELS], file, included));
    if (included[0] != '\0')
        OCE_TRY(read_text(included, &texts[INCLUDED]));
    OCE_REQUIRE(blank_others(texts[KERNELS], names), OCE_ERROR_NOT_FOUND,
                "kernel file %s has no kernel %s", file, names);
    if (included[0] != '\0')
        snprintf(source->lines[0], sizeof source->lines[0], "\n#line 1 \"%s\"\n", included);
    snprintf(source->lines[1], sizeof source->lines[1], "\n#line 1 \"%.100s\"\n", file);
    const char *const parts[OCE_KERNEL_SOURCE_PARTS] = {"#line 1 \"common.cl.h\"\n",
                                                        texts[COMMON],
                                                        source->lines[0],
                                                        included[0] != '\0' ? texts[INCLUDED] : "",
                                                        source->lines[1],
                                                        texts[KERNELS]};
    memcpy(source->parts, parts, sizeof parts);
    return OCE_OK;
}

void oce_kernel_source_finish(oce_kernel_source *source) {
    for (size_t i = 0; i < sizeof source->texts / sizeof source->texts[0]; i++)
        free(source->texts[i]);
}

bool oce_kernel_source_has_file(const char *file) {
    const size_t length = strlen(file), ending = strlen(".cl");
    bool is_there = kernel_folder() != NULL;
    if (length <= ending || strcmp(file + length - ending, ".cl") != 0)
        return is_there; /* ".cl.h" has no kernels */
    for (const oce_embedded_file *embedded = oce_embedded_files; embedded->name != NULL; embedded++)
        is_there = is_there || strcmp(embedded->name, file) == 0;
    return is_there;
}

static bool has_kernel(const char *text, const char *name) {
    for (const char *line = text; *line != '\0'; line += *line == '\n') {
        const char *other;
        if (starts_kernel(line, &other) && is_named(other, name))
            return true;
        line += strcspn(line, "\n");
    }
    return false;
}

bool oce_kernel_source_has_kernel(const char *name) {
    bool is_there = kernel_folder() != NULL;
    for (const oce_embedded_file *embedded = oce_embedded_files; embedded->name != NULL; embedded++)
        is_there = is_there || has_kernel(embedded->text, name);
    return is_there;
}
