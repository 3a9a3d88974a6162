/* Time for measurements. */
#ifndef OCE_BASE_CLOCK_H
#define OCE_BASE_CLOCK_H

/* Seconds of a clock that only moves forward, from an arbitrary start. */
double oce_clock_seconds(void);

#endif
