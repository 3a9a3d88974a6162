#include "cli/json.h"

#include "cli/options.h"
#include "cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 9 }; /* enough for every float32 */

json_t *cli_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cli_json_text(const char *text) {
    char *clean = malloc(strlen(text) + 1);
    if (clean == NULL)
        return NULL;
    strcpy(clean, text);
    cli_clean_text(clean);
    json_t *value = json_string(clean);
    free(clean);
    return value;
}

int cli_json_print(json_t *root) {
    const bool failed =
        root == NULL || json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS)) != 0;
    json_decref(root);
    putchar('\n');
    return failed ? cli_error("writing JSON failed") : CLI_SUCCESS;
}
