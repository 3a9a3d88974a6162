/* The live progress line, on a pseudo-terminal. */
#define _GNU_SOURCE
#include "cli/progress.c" // NOLINT(bugprone-suspicious-include): not in the library

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

static const cli_progress of_3000 = {.what = "step", .total = 3000};
static const cli_progress_values half = {
    .step = 1500, .loss = 0.12345, .accuracy = 0.97, .images_per_second = 9876.4};

static const char *format(const cli_progress *progress, const cli_progress_values *values,
                          double left, int width) {
    static char text[512];
    cli_progress_format(progress, values, left, width, text, sizeof text);
    return text;
}

Test(cli_progress, line_has_all_parts) {
    cr_expect_str_eq(format(&of_3000, &half, 83, 200),
                     "step 1500/3000  50 %  loss 0.1235  accuracy 0.970  9876 images/s  1:23 left");
}

Test(cli_progress, unknown_parts_are_left_out) {
    const cli_progress open_end = {.what = "image"};
    const cli_progress_values bare = {.step = 7, .loss = NAN, .accuracy = NAN};
    cr_expect_str_eq(format(&open_end, &bare, -1, 200), "image 7");
    cr_expect_str_eq(format(&of_3000, &bare, -1, 200), "step 7/3000  0 %");
}

Test(cli_progress, time_left) {
    const cli_progress_values bare = {.step = 2999, .loss = NAN, .accuracy = NAN};
    cr_expect_str_eq(format(&of_3000, &bare, 0, 200), "step 2999/3000  99 %  0:00 left");
    cr_expect_str_eq(format(&of_3000, &bare, 59.2, 200), "step 2999/3000  99 %  1:00 left");
    cr_expect_str_eq(format(&of_3000, &bare, 3723, 200), "step 2999/3000  99 %  1:02:03 left");
    cr_expect_str_eq(format(&of_3000, &bare, 1e9, 200), "step 2999/3000  99 %");
}

Test(cli_progress, parts_that_do_not_fit_are_left_out) {
    for (int width = 1; width < 100; width++) {
        const char *text = format(&of_3000, &half, 83, width);
        cr_expect(strlen(text) <= (size_t)width, "%d: %s", width, text);
        cr_expect(width < 14 || strncmp(text, "step 1500/3000", 14) == 0, "%d: %s", width, text);
    }
    cr_expect_str_eq(format(&of_3000, &half, 83, 40), "step 1500/3000  50 %  loss 0.1235");
    char small[16];
    cli_progress_format(&of_3000, &half, 83, 200, small, sizeof small);
    cr_expect_str_eq(small, "step 1500/3000");
}

Test(cli_progress, extreme_values_stay_within_the_line) {
    const cli_progress huge = {.what = "step", .total = INT64_MAX};
    const cli_progress_values values = {
        .step = INT64_MAX, .loss = 1e300, .accuracy = -INFINITY, .images_per_second = INFINITY};
    cr_expect(strlen(format(&huge, &values, INFINITY, 500)) < 500);
    cr_expect(strstr(format(&huge, &values, NAN, 500), "left") == NULL);
}

/* ---- On a terminal ------------------------------------------------------------------------- */

/* Makes stderr a new terminal of `columns` and returns its other end. */
static int open_terminal(unsigned short columns) {
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        cr_skip_test("no pseudo-terminal to be had");
    const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0 && dup2(terminal, STDERR_FILENO) >= 0);
    close(terminal);
    cr_assert(ioctl(STDERR_FILENO, TIOCSWINSZ, &size) == 0);
    fcntl(master, F_SETFL, O_NONBLOCK);
    setenv("TERM", "xterm", 1);
    return master;
}

/* What has been written since the last call. A terminal may pass it on in pieces, and late. */
static const char *written(int master) {
    static char text[16384];
    size_t used = 0;
    struct pollfd ready = {.fd = master, .events = POLLIN};
    while (used < sizeof text - 1 && poll(&ready, 1, 20) > 0) {
        const ssize_t size = read(master, text + used, sizeof text - 1 - used);
        if (size <= 0)
            break;
        used += (size_t)size;
    }
    text[used] = '\0';
    return text;
}

static int occurrences(const char *text, const char *part) {
    int count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

static void step_to(cli_progress *progress, int64_t step) {
    const cli_progress_values values = {.step = step, .loss = 0.5, .accuracy = 1};
    cli_progress_update(progress, &values);
}

static void wait_seconds(double seconds) {
    const struct timespec time = {0, (long)(seconds * 1e9)};
    nanosleep(&time, NULL);
}

Test(cli_progress, line_is_drawn_over_and_taken_away) {
    const int master = open_terminal(80);
    cli_progress progress;
    cli_progress_start(&progress, "step", 10, false);
    cr_expect_str_eq(written(master), "");
    step_to(&progress, 1);
    cr_expect_str_eq(written(master), "\rstep 1/10  10 %  loss 0.5000  accuracy 1.000\033[K");
    step_to(&progress, 10);
    cr_expect(strncmp(written(master), "\rstep 10/10  100 %", 18) == 0);
    cli_progress_finish(&progress);
    cr_expect_str_eq(written(master), "\r\033[K");
    cli_progress_finish(&progress);
    step_to(&progress, 10);
    cli_progress_clear();
    cr_expect_str_eq(written(master), "");
}

Test(cli_progress, is_drawn_about_ten_times_a_second) {
    const int master = open_terminal(80);
    cli_progress progress;
    cli_progress_start(&progress, "step", 1000000, false);
    for (int i = 1; i <= 20000; i++)
        step_to(&progress, i);
    const int first = occurrences(written(master), "\r");
    cr_expect(first >= 1 && first <= 10, "%d", first);
    wait_seconds(0.12);
    step_to(&progress, 20001);
    cr_expect(occurrences(written(master), "\r") == 1);
    step_to(&progress, 1000000); /* the last one always */
    cr_expect(occurrences(written(master), "1000000/1000000") == 1);
}

Test(cli_progress, time_left_follows_the_pace) {
    cli_progress progress = {.total = 1000, .first = -1};
    cr_expect(estimate_left(&progress, 100, 50.0) < 0, "one update says nothing about the pace");
    const double left = estimate_left(&progress, 200, 50.2); /* 2 ms a step */
    cr_expect(fabs(left - 1.6) < 1e-9, "%g", left);
    const double same = estimate_left(&progress, 300, 50.4);
    cr_expect(fabs(same - 1.4) < 1e-9, "%g", same);
    /* twice as slow for a long time: the new pace counts */
    const double slower = estimate_left(&progress, 310, 90.4);
    cr_expect(slower > 0.9 * 690 * 4 && slower < 690 * 4.01, "%g", slower);
    cr_expect(estimate_left(&progress, 1000, 91) == 0);
    progress.total = 0;
    cr_expect(estimate_left(&progress, 1001, 92) < 0, "without an end there is no time left");
}

Test(cli_progress, stays_within_a_narrow_terminal) {
    const int master = open_terminal(20);
    cli_progress progress;
    cli_progress_start(&progress, "step", 10, false);
    step_to(&progress, 1);
    cr_expect_str_eq(written(master), "\rstep 1/10  10 %\033[K");
}

Test(cli_progress, lines_clear_it_first) {
    const int master = open_terminal(80);
    cli_progress progress;
    cli_progress_start(&progress, "step", 10, false);
    step_to(&progress, 1);
    written(master);
    cli_progress_line(stderr, "accuracy %.1f", 0.5);
    cr_expect_str_eq(written(master), "\r\033[Kaccuracy 0.5\r\n");
    cli_progress_line(stderr, "again");
    cr_expect_str_eq(written(master), "again\r\n");
    wait_seconds(0.11);
    step_to(&progress, 2);
    cr_expect(strncmp(written(master), "\rstep 2/10", 10) == 0, "it comes back");
}

Test(cli_progress, nothing_is_drawn_where_it_is_not_wanted) {
    cli_progress progress;
    int master = open_terminal(80);
    cli_progress_start(&progress, "step", 10, true); /* quiet */
    step_to(&progress, 10);
    cr_expect_str_eq(written(master), "");
    setenv("TERM", "dumb", 1);
    cli_progress_start(&progress, "step", 10, false);
    step_to(&progress, 10);
    cr_expect_str_eq(written(master), "");
    int ends[2];
    cr_assert(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    setenv("TERM", "xterm", 1);
    cli_progress_start(&progress, "step", 10, false); /* a pipe */
    step_to(&progress, 10);
    cli_progress_line(stderr, "line");
    cli_progress_finish(&progress);
    cr_expect_str_eq(written(ends[0]), "line\n");
}
