/* Tables that several verbs print. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <ocelli/device.h>
#include <ocelli/train.h>

#include <stdio.h>

/* Images, correct answers and accuracy of each class. */
void cli_report_classes(FILE *stream, const oce_evaluation *evaluation, const oce_dataset *dataset);

/* Time, share and GFLOPS of each layer and pass since oce_device_profile_start(). */
oce_status cli_report_profile(FILE *stream, oce_device *device);

#endif
