#define _DEFAULT_SOURCE
#include "cli/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double draw_interval = 0.1; /* seconds */
static const double pace_memory = 10;    /* seconds over which the pace is smoothed */
enum { DEFAULT_WIDTH = 80 };

/* Whether the cursor stands behind a live line. One process has one terminal. */
static bool line_is_shown;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int terminal_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return DEFAULT_WIDTH;
}

void cli_progress_clear(void) {
    if (!line_is_shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    line_is_shown = false;
}

void cli_progress_line(FILE *stream, const char *format, ...) {
    va_list args;
    va_start(args, format);
    cli_progress_clear();
    vfprintf(stream, format, args);
    fputc('\n', stream);
    fflush(stream); /* a log that is followed, or a pipe, gets each line when it is due */
    va_end(args);
}

void cli_progress_start(cli_progress *progress, const char *what, int64_t total, bool quiet) {
    const char *terminal = getenv("TERM");
    const bool is_dumb = terminal != NULL && strcmp(terminal, "dumb") == 0;
    *progress = (cli_progress){
        .what = what,
        .is_live = !quiet && !is_dumb && isatty(STDERR_FILENO) == 1,
        .total = total,
        .first = -1,
    };
}

/* Adds a part to the line if it fits the width. */
static void add_part(char *text, size_t bytes, int width, const char *format, ...) CLI_PRINTF(4, 5);

static void add_part(char *text, size_t bytes, int width, const char *format, ...) {
    char part[96];
    va_list args;
    va_start(args, format);
    vsnprintf(part, sizeof part, format, args);
    va_end(args);
    const size_t used = strlen(text), gap = used > 0 ? 2 : 0;
    const size_t length = used + gap + strlen(part);
    if (length >= bytes || length > (size_t)width)
        return;
    memcpy(text + used, "  ", gap);
    strcpy(text + used + gap, part);
}

void cli_progress_format(const cli_progress *progress, const cli_progress_values *values,
                         double seconds_left, int width, char *text, size_t bytes) {
    const long long step = values->step, total = progress->total;
    text[0] = '\0';
    if (total > 0) {
        add_part(text, bytes, width, "%s %lld/%lld", progress->what, step, total);
        add_part(text, bytes, width, "%d %%", (int)(100.0 * (double)step / (double)total));
    } else {
        add_part(text, bytes, width, "%s %lld", progress->what, step);
    }
    if (!isnan(values->loss))
        add_part(text, bytes, width, "loss %.4f", values->loss);
    if (!isnan(values->accuracy))
        add_part(text, bytes, width, "accuracy %.3f", values->accuracy);
    if (values->images_per_second > 0)
        add_part(text, bytes, width, "%.0f images/s", values->images_per_second);
    if (seconds_left >= 0 && seconds_left < 1e6) {
        const int seconds = (int)ceil(seconds_left);
        if (seconds >= 3600)
            add_part(text, bytes, width, "%d:%02d:%02d left", seconds / 3600, seconds / 60 % 60,
                     seconds % 60);
        else
            add_part(text, bytes, width, "%d:%02d left", seconds / 60, seconds % 60);
    }
}

/* Seconds until the last step, or -1. The first update is the start: what came before it, such as
 * building kernels, says nothing about the pace. */
static double estimate_left(cli_progress *progress, int64_t step, double time) {
    if (progress->first < 0) {
        progress->first = progress->last = step;
        progress->first_time = progress->last_time = time;
        return -1;
    }
    if (step > progress->last && time > progress->last_time) {
        const double passed = time - progress->last_time;
        const double pace = passed / (double)(step - progress->last);
        const double weight =
            fmax(1 - exp(-passed / pace_memory), passed / (time - progress->first_time));
        progress->pace += weight * (pace - progress->pace);
        progress->last = step;
        progress->last_time = time;
    }
    if (progress->total <= 0 || progress->pace <= 0)
        return -1;
    return progress->pace * (double)(progress->total - step);
}

void cli_progress_update(cli_progress *progress, const cli_progress_values *values) {
    if (!progress->is_live)
        return;
    const double time = now();
    const double left = estimate_left(progress, values->step, time);
    const bool is_last = values->step == progress->total;
    if (!is_last && time - progress->drawn_time < draw_interval)
        return;
    progress->drawn_time = time;
    char text[512];
    /* the last column stays free: some terminals wrap when it is written */
    cli_progress_format(progress, values, left, terminal_width() - 1, text, sizeof text);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    line_is_shown = true;
}

void cli_progress_finish(cli_progress *progress) {
    if (progress->is_live)
        cli_progress_clear();
    progress->is_live = false;
}
