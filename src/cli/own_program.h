/* The path of this program, to run it once more in another process. */
#ifndef CLI_OWN_PROGRAM_H
#define CLI_OWN_PROGRAM_H

/* Finds it. `name` is the argv[0] of main, which calls this before anything can change the folder;
 * it may be NULL. */
void cli_own_program_init(const char *name);

/* The path, for exec. Where neither the system nor argv[0] says it, a name that exec looks up in
 * PATH. */
const char *cli_own_program(void);

#endif
