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

/* The sums of all entries with the label of entry `first`, if none before has that label. */
static bool sum_label(const oce_profile_entry *entries, int count, int first,
                      oce_profile_entry *sum) {
    *sum = (oce_profile_entry){.label = entries[first].label};
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i].label, sum->label) != 0)
            continue;
        if (i < first)
            return false;
        sum->launches += entries[i].launches;
        sum->seconds += entries[i].seconds;
        sum->flops += entries[i].flops;
    }
    return true;
}

oce_status cli_report_profile(FILE *stream, oce_device *device) {
    const oce_profile_entry *entries = NULL;
    int count = 0;
    const oce_status status = oce_device_profile_read(device, &entries, &count);
    if (status != OCE_OK)
        return status;
    double total = 0;
    for (int i = 0; i < count; i++)
        total += entries[i].seconds;
    cli_table *table = cli_table_create("<layer and pass>launches>seconds>share>GFLOPS");
    for (int i = 0; i < count; i++) {
        oce_profile_entry sum;
        if (!sum_label(entries, count, i, &sum) || sum.launches == 0)
            continue;
        cli_table_cell(table, "%s", sum.label);
        cli_table_cell(table, "%llu", (unsigned long long)sum.launches);
        cli_table_cell(table, "%.3f", sum.seconds);
        cli_table_cell(table, "%.1f %%", total > 0 ? 100 * sum.seconds / total : 0.0);
        if (sum.flops > 0 && sum.seconds > 0)
            cli_table_cell(table, "%.1f", 1e-9 * sum.flops / sum.seconds);
        else
            cli_table_cell(table, "-");
    }
    cli_table_rule(table);
    cli_table_cell(table, "all kernels");
    cli_table_cell(table, "%s", "");
    cli_table_cell(table, "%.3f", total);
    cli_table_print(table, stream, 0);
    cli_table_destroy(table);
    return OCE_OK;
}
