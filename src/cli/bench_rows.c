/* Rows of measured operations, as a table or as JSON. */
#include "cli/bench.h"
#include "cli/json.h"
#include "cli/report.h"

#include <math.h>
#include <string.h>

const char *bench_time_text(double seconds, char *text, size_t bytes) {
    static const struct {
        double factor;
        const char *name;
    } units[] = {{1, "s"}, {1e3, "ms"}, {1e6, "us"}};
    int unit = 0;
    while (unit < 2 && seconds * units[unit].factor < 1)
        unit++;
    const double value = seconds * units[unit].factor;
    const int digits = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
    snprintf(text, bytes, "%.*f %s", digits, value, units[unit].name);
    return text;
}

json_t *bench_timing_json(const oce_timing *timing) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:i, s:I}", "median", timing->median, "minimum",
                     timing->minimum, "maximum", timing->maximum, "first_quartile",
                     timing->quartile[0], "third_quartile", timing->quartile[1], "samples",
                     timing->samples, "runs", (json_int_t)timing->runs);
}

static oce_status profile_once(const bench_session *s, oce_bench *bench, cli_profile *profile) {
    oce_status status = oce_device_profile_start(s->device);
    if (status == OCE_OK)
        status = oce_bench_run(bench);
    if (status == OCE_OK)
        status = cli_profile_read(s->device, profile);
    return status;
}

static void cell_rate(cli_table *table, double amount, double seconds, double unit) {
    if (amount > 0)
        cli_table_cell(table, "%.1f", amount / seconds / unit);
    else
        cli_table_cell(table, "-");
}

static void add_cells(const bench_session *s, const char *what, const char *pass,
                      const oce_timing *timing, const oce_bench_info *info,
                      const cli_profile *profile) {
    char median[32], low[32], high[32], least[32], kernels[512];
    const double quartiles[2] = {timing->quartile[0], timing->quartile[1]};
    cli_table_cell(s->table, "%s", what);
    cli_table_cell(s->table, "%s", pass);
    cli_table_cell(s->table, "%s", bench_time_text(timing->median, median, sizeof median));
    cli_table_cell(s->table, "%s to %s", bench_time_text(quartiles[0], low, sizeof low),
                   bench_time_text(quartiles[1], high, sizeof high));
    cli_table_cell(s->table, "%s", bench_time_text(timing->minimum, least, sizeof least));
    cell_rate(s->table, info->flops, timing->median, 1e9);
    if (info->flops > 0)
        cli_table_cell(s->table, "%.0f %%", 100 * info->flops / timing->median / s->peak.flops);
    else
        cli_table_cell(s->table, "-");
    cell_rate(s->table, info->bytes, timing->median, 1e9);
    cli_table_cell(s->table, "%s", info->family[0] != '\0' ? info->family : "-");
    cli_table_cell(s->table, "%s", cli_profile_kernels(profile, kernels, sizeof kernels));
}

static json_t *row_json(const bench_session *s, const char *what, const char *pass,
                        const oce_timing *timing, const oce_bench_info *info,
                        const cli_profile *profile) {
    const double rate = info->flops / timing->median;
    json_t *row = json_pack(
        "{s:o, s:s, s:o, s:f, s:f, s:f, s:f, s:f, s:s, s:I, s:o}", "shape", cli_json_text(what),
        "pass", pass, "seconds", bench_timing_json(timing), "flops", info->flops, "gflops",
        1e-9 * rate, "peak_share", rate / s->peak.flops, "bytes", info->bytes, "gb_per_second",
        1e-9 * info->bytes / timing->median, "family", info->family, "device_bytes",
        (json_int_t)info->memory, "kernels", cli_profile_json(profile, 1));
    return row;
}

static oce_status add_row(bench_session *s, const char *what, const char *pass, oce_bench *bench) {
    const oce_bench_options options = bench_options(s->given);
    const oce_bench_info info = oce_bench_get_info(bench);
    oce_timing timing;
    cli_profile profile = {0};
    oce_status status = oce_bench_measure(bench, &options, &timing);
    if (status == OCE_OK)
        status = profile_once(s, bench, &profile);
    if (status == OCE_OK && s->table != NULL)
        add_cells(s, what, pass, &timing, &info, &profile);
    else if (status == OCE_OK)
        json_array_append_new(s->rows, row_json(s, what, pass, &timing, &info, &profile));
    cli_profile_release(&profile);
    const oce_status stopped = oce_device_profile_stop(s->device);
    return status == OCE_OK ? stopped : status;
}

oce_status bench_add(bench_session *s, const char *what, const char *pass, oce_bench *bench) {
    const oce_status status = add_row(s, what, pass, bench);
    oce_bench_destroy(bench);
    return status;
}

void bench_print_rows(const bench_session *s) {
    cli_table_print(s->table, stdout, 0);
    printf("\npeak: %.1f GFLOPS of multiply-adds; GB/s: inputs read and outputs written once\n",
           1e-9 * s->peak.flops);
}
