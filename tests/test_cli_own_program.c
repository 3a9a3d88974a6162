/* Which program another process runs. */
#include "cli/own_program.c" // NOLINT(bugprone-suspicious-include): not in the library
#include "support/command.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <sys/stat.h>

static const char no_link[] = "/no/such/exe";

Test(cli_own_program, is_what_the_system_says) {
    cr_expect_str_eq(find_program("/bin/sh", "./ocelli"), "/bin/sh");
    cli_own_program_init(NULL);
    if (access("/proc/self/exe", X_OK) == 0)
        cr_expect_str_eq(cli_own_program(), "/proc/self/exe");
}

/* Without /proc: the path that it was called by, from any folder later. */
Test(cli_own_program, is_what_it_was_called_by) {
    char *folder = scratch_create();
    scratch_write_text(folder, "ocelli", "#!/bin/sh\necho \"this one\"\n");
    cr_assert_eq(chmod(scratch_path(folder, "ocelli"), 0700), 0);
    cr_assert_eq(chdir(folder), 0);
    static const char *path; /* is kept for good */
    path = find_program(no_link, "./ocelli");
    cr_assert_eq(chdir("/"), 0);
    command_result result = command_run((const char *const[]){path, NULL}, NULL, NULL);
    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_expect_str_eq(result.out, "this one\n");
    command_free(&result);
    scratch_remove(folder);
}

Test(cli_own_program, is_looked_up_otherwise) {
    cr_expect_str_eq(find_program(no_link, "ocelli-2"), "ocelli-2");
    cr_expect_str_eq(find_program(no_link, ""), "ocelli");
    cr_expect_str_eq(find_program(no_link, NULL), "ocelli");
    cr_expect_str_eq(find_program(no_link, "/gone/ocelli"), "/gone/ocelli");
}
