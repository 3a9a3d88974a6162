#include "cli/report.h"

#include "cli/table.h"

#include <string.h>

void cli_report_classes(FILE *stream, const oce_evaluation *evaluation,
                        const oce_dataset *dataset) {
    const int64_t classes = oce_dataset_classes(dataset);
    cli_table *table = cli_table_create("<class>images>correct>accuracy");
    for (int64_t actual = 0; actual < classes; actual++) {
        int64_t images = 0;
        for (int64_t predicted = 0; predicted < classes; predicted++)
            images += oce_evaluation_confusion(evaluation, actual, predicted);
        const int64_t correct = oce_evaluation_confusion(evaluation, actual, actual);
        cli_table_cell(table, "%s", oce_dataset_class_name(dataset, actual));
        cli_table_cell(table, "%lld", (long long)images);
        cli_table_cell(table, "%lld", (long long)correct);
        if (images > 0)
            cli_table_cell(table, "%.4f", (double)correct / (double)images);
        else
            cli_table_cell(table, "-");
    }
    cli_table_print(table, stream, 0);
    cli_table_destroy(table);
}
