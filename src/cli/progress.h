/*
 * A live progress line on a terminal:
 *
 *   step 1200/3000  40 %  loss 0.1234  accuracy 0.970  9876 images/s  1:23 left
 *
 * It is drawn on stderr, about ten times a second at most, cut to the terminal's width, and only if
 * stderr is a terminal. Whatever else is printed in the meantime goes through cli_progress_line(),
 * cli_error() or cli_usage_error(), which clear the line first; it comes back with the next update.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/options.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_progress {
    const char *what; /* "step", "image" ... */
    bool is_live;
    int64_t total;       /* 0: unknown */
    int64_t first, last; /* step of the first and the last update; first is -1 before it */
    double first_time;   /* seconds, of the first update */
    double last_time;    /* of the last one */
    double drawn_time;   /* of the last one that was drawn */
    double pace;         /* seconds a step, smoothed; 0: not known yet */
} cli_progress;

/* What a line shows beside the step; NaN, or 0 images a second, leaves a part out. */
typedef struct cli_progress_values {
    int64_t step;
    double loss, accuracy;
    double images_per_second;
} cli_progress_values;

/* Nothing is ever drawn if `quiet`, or if stderr is not a terminal. */
void cli_progress_start(cli_progress *progress, const char *what, int64_t total, bool quiet);
/* Cheap enough to be called after every step. */
void cli_progress_update(cli_progress *progress, const cli_progress_values *values);
/* Takes the line away for good. */
void cli_progress_finish(cli_progress *progress);

/* Prints a formatted line and a newline to `stream`, clearing the live line first. */
void cli_progress_line(FILE *stream, const char *format, ...) CLI_PRINTF(2, 3);
/* Clears the live line if there is one. */
void cli_progress_clear(void);

/* The text of the line in at most `width` columns; seconds_left < 0: not known. */
void cli_progress_format(const cli_progress *progress, const cli_progress_values *values,
                         double seconds_left, int width, char *text, size_t bytes);

#endif
