/* The verbs of the command, one cmd_<verb>.c each. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/options.h"

extern const cli_verb cli_verb_devices;
extern const cli_verb cli_verb_info;
extern const cli_verb cli_verb_train;

#endif
