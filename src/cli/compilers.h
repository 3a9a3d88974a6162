/*
 * A first start, when much is to be compiled: seconds for a network on PoCL or Intel's runtime, on
 * one processor at a time. Other processes of the same command line compile a part of it meanwhile,
 * the last things first. They find out what that is by running the command up to the model's plan,
 * with nothing on their standard streams, in a rehearsal (oce_device_rehearse).
 *
 * OCELLI_COMPILERS=N: how many processes compile, this one included; by default as many as the
 * device has units, at most four. 1: no others.
 */
#ifndef CLI_COMPILERS_H
#define CLI_COMPILERS_H

#include "cli/own_program.h"

#include <ocelli/model.h>

#include <stdbool.h>

/* Keeps the command line, for the other processes. argv must stay. */
void cli_compilers_init(char **argv);

/* To be called before a model is planned. Starts other processes if there is much to compile; a
 * failure to do so costs time only. In one of these it compiles and ends the process. False, after
 * an error message, if OCELLI_COMPILERS is wrong. */
bool cli_compilers_start(oce_device *device, const oce_network *network,
                         const oce_model_options *options);

/* Ends those that are still at work. */
void cli_compilers_stop(void);
#endif
