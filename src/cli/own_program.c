#define _XOPEN_SOURCE 700 /* realpath */
#include "cli/own_program.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program = "ocelli";

/* `self` is the system's link to the program, if it has one. The result is kept for good. */
static const char *find_program(const char *self, const char *name) {
    if (access(self, X_OK) == 0)
        return self;
    if (name == NULL || name[0] == '\0')
        return "ocelli";
    if (strchr(name, '/') == NULL)
        return name; /* was found in PATH */
    const char *path = realpath(name, NULL);
    return path != NULL ? path : name;
}

void cli_own_program_init(const char *name) {
    program = find_program("/proc/self/exe", name);
}

const char *cli_own_program(void) {
    return program;
}
