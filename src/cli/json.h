/* JSON that verbs print. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

/* null where `value` is not finite, which JSON has no number for. */
json_t *cli_json_number(double value);
/* `text` with everything that is not printable UTF-8 as '?'. */
json_t *cli_json_text(const char *text);
/* Prints the value (NULL: there was no memory for it) and releases it; returns the exit code. */
int cli_json_print(json_t *root);

#endif
