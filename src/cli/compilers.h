/*
 * A first start on a driver that compiles each kernel at its first launch (PoCL: seconds for a
 * network, on one processor at a time): other processes of the same command line compile a part of
 * the kernels meanwhile, the last ones first. They find what to compile by running the command up
 * to the model with nothing on their standard streams, and rehearsing it (oce_device_rehearse).
 *
 * OCELLI_COMPILERS=N: how many processes compile, this one included; by default as many as the
 * device has units, at most four. 1: no others.
 */
#ifndef CLI_COMPILERS_H
#define CLI_COMPILERS_H

#include <ocelli/model.h>

#include <stdbool.h>

/* Keeps the command line, for the other processes. argv must stay. */
void cli_compilers_init(char **argv);

/* To be called for a model that is planned but not allocated. Starts other processes if there is
 * much to compile; a failure to do so costs time only. In one of these it rehearses the model and
 * ends the process. False, after an error message, if OCELLI_COMPILERS is wrong. */
bool cli_compilers_start(oce_device *device, oce_model *model);

/* Ends those that are still at work. */
void cli_compilers_stop(void);

/* The path of this program, for exec; where the system does not say, a name to be looked up. */
const char *cli_own_program(void);

#endif
