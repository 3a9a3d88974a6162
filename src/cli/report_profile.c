/* The profile by layer and pass, and by kernel. */
#include "cli/json.h"
#include "cli/report.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_BYTES = 64 };

/* Adds an entry to the sum that `is_same` finds among `count` sums, or behind them. */
static int add_entry(oce_profile_entry *sums, int count, const oce_profile_entry *entry,
                     bool (*is_same)(const oce_profile_entry *, const oce_profile_entry *)) {
    int at = 0;
    while (at < count && !is_same(&sums[at], entry))
        at++;
    if (at == count)
        sums[at] = (oce_profile_entry){.label = entry->label, .kernel = "", .build = ""};
    sums[at].launches += entry->launches;
    sums[at].seconds += entry->seconds;
    sums[at].flops += entry->flops;
    return at;
}

static bool has_label(const oce_profile_entry *a, const oce_profile_entry *b) {
    return strcmp(a->label, b->label) == 0;
}

static bool has_kernel(const oce_profile_entry *a, const oce_profile_entry *b) {
    return strcmp(a->kernel, b->kernel) == 0 && strcmp(a->build, b->build) == 0;
}

static int by_seconds(const void *a, const void *b) {
    const double x = ((const oce_profile_entry *)a)->seconds;
    const double y = ((const oce_profile_entry *)b)->seconds;
    return (x < y) - (x > y);
}

oce_status cli_profile_read(oce_device *device, cli_profile *profile) {
    const oce_profile_entry *entries = NULL;
    int count = 0;
    *profile = (cli_profile){0};
    const oce_status status = oce_device_profile_read(device, &entries, &count);
    if (status != OCE_OK)
        return status;
    const size_t most = (size_t)count + 1;
    int labels = 0, kernels = 0;
    double *costliest = calloc(most, sizeof *costliest);
    profile->labels = calloc(most, sizeof *profile->labels);
    profile->kernels = calloc(most, sizeof *profile->kernels);
    if (costliest == NULL || profile->labels == NULL || profile->kernels == NULL)
        count = 0; /* no memory: an empty profile, as cli_table_create() gives an empty table */
    for (int i = 0; i < count; i++) {
        const oce_profile_entry *entry = &entries[i];
        const int label = add_entry(profile->labels, labels, entry, has_label);
        labels += label == labels;
        profile->seconds += entry->seconds;
        if (entry->launches == 0)
            continue; /* the label's flops only */
        if (entry->seconds >= costliest[label]) {
            costliest[label] = entry->seconds;
            profile->labels[label].kernel = entry->kernel;
            profile->labels[label].build = entry->build;
        }
        const int kernel = add_entry(profile->kernels, kernels, entry, has_kernel);
        profile->kernels[kernel].kernel = entry->kernel;
        profile->kernels[kernel].build = entry->build;
        kernels += kernel == kernels;
    }
    profile->label_count = labels;
    profile->kernel_count = kernels;
    if (profile->kernel_count > 0)
        qsort(profile->kernels, (size_t)profile->kernel_count, sizeof *profile->kernels,
              by_seconds);
    free(costliest);
    return OCE_OK;
}

void cli_profile_release(cli_profile *profile) {
    free(profile->labels);
    free(profile->kernels);
    *profile = (cli_profile){0};
}

/* Every program has the options that start with OCE_. */
const char *cli_build_text(const char *build, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = '\0';
    for (const char *at = strstr(build, "-D"); at != NULL; at = strstr(at, " -D")) {
        at += strspn(at, " ") + strlen("-D");
        const size_t length = strcspn(at, " ");
        const bool is_usual = strncmp(at, "OCE_", strlen("OCE_")) == 0 || at[0] == '_';
        if (is_usual || used + length + 2 > bytes)
            continue;
        if (used > 0)
            text[used++] = ' ';
        memcpy(text + used, at, length);
        used += length;
        text[used] = '\0';
    }
    return text;
}

const char *cli_profile_kernels(const cli_profile *profile, char *text, size_t bytes) {
    size_t used = 0;
    char build[512];
    text[0] = '\0';
    for (int i = 0; i < profile->kernel_count && used < bytes; i++) {
        const oce_profile_entry *entry = &profile->kernels[i];
        const int more = i == 0 ? snprintf(text, bytes, "%s %s", entry->kernel,
                                           cli_build_text(entry->build, build, sizeof build))
                                : snprintf(text + used, bytes - used, ", %s", entry->kernel);
        used += more > 0 ? (size_t)more : 0;
    }
    return text;
}

json_t *cli_profile_json(const cli_profile *profile, int runs) {
    json_t *array = json_array();
    char build[512];
    for (int i = 0; i < profile->kernel_count; i++) {
        const oce_profile_entry *entry = &profile->kernels[i];
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:f, s:f}", "kernel", entry->kernel, "build",
                             cli_build_text(entry->build, build, sizeof build), "launches",
                             (double)entry->launches / runs, "seconds", entry->seconds / runs));
    }
    return array;
}

/* An amount a second. */
static void rate_cell(cli_table *table, double amount, double seconds, double unit) {
    if (amount > 0 && seconds > 0)
        cli_table_cell(table, "%.1f", amount / seconds / unit);
    else
        cli_table_cell(table, "-");
}

static void share_cell(cli_table *table, double amount, double seconds, double peak) {
    if (amount > 0 && seconds > 0)
        cli_table_cell(table, "%.0f %%", 100 * amount / seconds / peak);
    else
        cli_table_cell(table, "-");
}

static void add_label(cli_table *table, const oce_model *model, const cli_profile *profile,
                      const oce_profile_entry *sum, int runs, double peak) {
    const cli_pass pass = cli_find_pass(model, profile, sum);
    char build[512];
    const double share = profile->seconds > 0 ? sum->seconds / profile->seconds : 0;
    cli_table_cell(table, "%s", sum->label);
    if (runs > 0) {
        cli_table_cell(table, "%.4g", (double)sum->launches / runs);
        cli_table_cell(table, "%.3f", 1e3 * sum->seconds / runs);
    } else {
        cli_table_cell(table, "%llu", (unsigned long long)sum->launches);
        cli_table_cell(table, "%.3f", sum->seconds);
    }
    cli_table_cell(table, "%.1f %%", 100 * share);
    rate_cell(table, sum->flops, sum->seconds, 1e9);
    if (peak > 0)
        share_cell(table, sum->flops, sum->seconds, peak);
    rate_cell(table, pass.bytes, sum->seconds, 1e9);
    cli_table_cell(table, "%s", pass.family[0] != '\0' ? pass.family : "-");
    cli_table_cell(table, "%s %s", sum->kernel, cli_build_text(sum->build, build, sizeof build));
}

void cli_report_profile(FILE *stream, const oce_model *model, const cli_profile *profile, int runs,
                        double peak) {
    char columns[128];
    snprintf(columns, sizeof columns,
             "<layer and pass>launches>%s>share>GFLOPS%s>GB/s<family<costliest kernel",
             runs > 0 ? "ms" : "seconds", peak > 0 ? ">of peak" : "");
    cli_table *table = cli_table_create(columns);
    for (int i = 0; i < profile->label_count; i++)
        if (profile->labels[i].launches > 0)
            add_label(table, model, profile, &profile->labels[i], runs, peak);
    cli_table_rule(table);
    cli_table_cell(table, "all kernels");
    cli_table_cell(table, "%s", "");
    cli_table_cell(table, "%.3f", runs > 0 ? 1e3 * profile->seconds / runs : profile->seconds);
    cli_table_print(table, stream, 0);
    cli_table_destroy(table);
    fprintf(stream, "\nGB/s: a layer's inputs, weights and outputs, read and written once%s\n",
            peak > 0 ? "; peak: of multiply-adds" : "");
}
