/* The verbs of the command, one cmd_<verb>.c each. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/options.h"

extern const cli_verb cli_verb_bench;
extern const cli_verb cli_verb_devices;
extern const cli_verb cli_verb_eval;
extern const cli_verb cli_verb_export;
extern const cli_verb cli_verb_import;
extern const cli_verb cli_verb_info;
extern const cli_verb cli_verb_inspect;
extern const cli_verb cli_verb_op;
extern const cli_verb cli_verb_predict;
extern const cli_verb cli_verb_selftest;
extern const cli_verb cli_verb_train;
extern const cli_verb cli_verb_tune;

#endif
