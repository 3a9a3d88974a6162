/* ocelli eval: what a saved model makes of the test set. */
#include "cli/data_set.h"
#include "cli/json.h"
#include "cli/saved_model.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <math.h>

typedef struct eval_values {
    cli_saved_values saved;
    cli_data_options data;
    bool json;
} eval_values;

static const cli_option options[] = {
    CLI_SAVED_OPTIONS(eval_values, saved),
    CLI_DATA_OPTION(eval_values, data),
    {"test-file", "FILE", CLI_STRING(eval_values, data.test_file),
     .help = "cifar10: test on this one file of records, gzipped or not"},
    CLI_JSON_OPTION(eval_values, json),
    {0},
};

/* One class of a confusion matrix. */
typedef struct class_result {
    const char *name;
    int64_t images, predicted, correct;
    double precision, recall; /* NaN: nothing was predicted; no images */
} class_result;

static class_result result_of(const oce_evaluation *evaluation, const oce_dataset *dataset,
                              int64_t class) {
    class_result result = {.name = oce_dataset_class_name(dataset, class)};
    for (int64_t other = 0; other < oce_dataset_classes(dataset); other++) {
        result.images += oce_evaluation_confusion(evaluation, class, other);
        result.predicted += oce_evaluation_confusion(evaluation, other, class);
    }
    result.correct = oce_evaluation_confusion(evaluation, class, class);
    result.precision =
        result.predicted > 0 ? (double)result.correct / (double)result.predicted : NAN;
    result.recall = result.images > 0 ? (double)result.correct / (double)result.images : NAN;
    return result;
}

static void print_confusion(const oce_evaluation *evaluation, const oce_dataset *dataset) {
    const int64_t classes = oce_dataset_classes(dataset);
    char titles[1024];
    int used = snprintf(titles, sizeof titles, "<true class");
    for (int64_t class = 0; class < classes && used < (int)sizeof titles; class ++)
        used += snprintf(titles + used, sizeof titles - (size_t)used, ">%s",
                         oce_dataset_class_name(dataset, class));
    cli_table *table = cli_table_create(titles);
    for (int64_t actual = 0; actual < classes; actual++) {
        cli_table_cell(table, "%s", oce_dataset_class_name(dataset, actual));
        for (int64_t predicted = 0; predicted < classes; predicted++)
            cli_table_cell(table, "%lld",
                           (long long)oce_evaluation_confusion(evaluation, actual, predicted));
    }
    puts("Images of each class (rows) by the class predicted (columns):");
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
}

static void share_cell(cli_table *table, double share) {
    if (isnan(share))
        cli_table_cell(table, "-");
    else
        cli_table_cell(table, "%.4f", share);
}

static void print_classes(const oce_evaluation *evaluation, const oce_dataset *dataset) {
    cli_table *table = cli_table_create("<class>images>predicted>correct>precision>recall");
    for (int64_t class = 0; class < oce_dataset_classes(dataset); class ++) {
        const class_result result = result_of(evaluation, dataset, class);
        cli_table_cell(table, "%s", result.name);
        cli_table_cell(table, "%lld", (long long)result.images);
        cli_table_cell(table, "%lld", (long long)result.predicted);
        cli_table_cell(table, "%lld", (long long)result.correct);
        share_cell(table, result.precision);
        share_cell(table, result.recall);
    }
    putchar('\n');
    cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
}

static int print_json(const char *network, const char *prefix, const oce_evaluation *evaluation,
                      const oce_dataset *dataset) {
    const oce_metrics metrics = oce_evaluation_metrics(evaluation);
    const int64_t count = oce_dataset_classes(dataset);
    json_t *confusion = json_array(), *classes = json_array();
    for (int64_t actual = 0; actual < count; actual++) {
        const class_result result = result_of(evaluation, dataset, actual);
        json_t *row = json_array();
        for (int64_t predicted = 0; predicted < count; predicted++)
            json_array_append_new(
                row, json_integer(oce_evaluation_confusion(evaluation, actual, predicted)));
        json_array_append_new(confusion, row);
        json_array_append_new(
            classes, json_pack("{s:o, s:I, s:I, s:I, s:o, s:o}", "name", cli_json_text(result.name),
                               "images", (json_int_t)result.images, "predicted",
                               (json_int_t)result.predicted, "correct", (json_int_t)result.correct,
                               "precision", cli_json_number(result.precision), "recall",
                               cli_json_number(result.recall)));
    }
    return cli_json_print(
        json_pack("{s:s, s:o, s:o, s:b, s:I, s:o, s:o, s:o, s:o}", "network", network, "checkpoint",
                  cli_json_text(prefix), "data", cli_json_text(oce_dataset_description(dataset)),
                  "synthetic", (int)oce_dataset_is_synthetic(dataset), "images",
                  (json_int_t)metrics.images, "accuracy", cli_json_number(metrics.accuracy), "loss",
                  cli_json_number(metrics.loss), "confusion", confusion, "classes", classes));
}

static int report(const eval_values *given, const char *network, const char *prefix,
                  const oce_evaluation *evaluation, const oce_dataset *dataset) {
    if (given->json)
        return print_json(network, prefix, evaluation, dataset);
    const oce_metrics metrics = oce_evaluation_metrics(evaluation);
    if (!given->saved.quiet) {
        print_confusion(evaluation, dataset);
        print_classes(evaluation, dataset);
        putchar('\n');
    }
    printf("test accuracy %.4f, test loss %.6g (%lld images%s)\n", metrics.accuracy, metrics.loss,
           (long long)metrics.images,
           oce_dataset_is_synthetic(dataset) ? " of the synthetic set" : "");
    return CLI_SUCCESS;
}

static int evaluate(const eval_values *given, const char *network, const char *prefix,
                    const oce_dataset *dataset) {
    cli_saved_model saved;
    oce_evaluation *evaluation = NULL;
    const int64_t count = oce_dataset_count(dataset);
    int code = CLI_FAILURE;
    if (!given->saved.quiet)
        fprintf(stderr, "data: %s\n", oce_dataset_description(dataset));
    if (cli_saved_open(network, &given->saved, prefix,
                       given->saved.batch < count ? given->saved.batch : count, &saved)) {
        if (oce_evaluation_create(saved.model, dataset, &evaluation) == OCE_OK)
            code = report(given, network, prefix, evaluation, dataset);
        else
            code = cli_failure();
    }
    oce_evaluation_destroy(evaluation);
    cli_saved_close(&saved, code == CLI_SUCCESS);
    return code;
}

static int run(const cli_call *call) {
    eval_values given = *(const eval_values *)call->options;
    static const char *const networks[] = {"mnist", "cifar10", NULL};
    char prefix[CLI_PATH_BYTES];
    cli_data data;
    const int network = cli_choose(call->verb, "network", networks, call->operands[0]);
    if (network < 0)
        return CLI_USAGE;
    if (given.data.test_file != NULL && network == 0)
        return cli_usage_error(call->verb, "--test-file is for cifar10 only");
    given.saved.quiet = given.saved.quiet || given.json;
    int code = cli_find_saved(call, &given.saved, prefix);
    if (code != CLI_SUCCESS)
        return code;
    code = cli_data_open(networks[network], &given.data, CLI_DATA_TEST, &data) == OCE_OK
               ? evaluate(&given, networks[network], prefix, data.test)
               : cli_failure();
    cli_data_close(&data);
    return code;
}

const cli_verb cli_verb_eval = {
    .name = "eval",
    .operands = "mnist|cifar10",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "tests a saved model: accuracy, loss, confusion matrix, precision and recall",
    .description =
        "Restores a checkpoint that ocelli train or TensorFlow saved and runs it on all test "
        "images. Precision is the share of the images taken for a class that are of it, recall the "
        "share of a class's images that are found.",
    .options = options,
    .options_bytes = sizeof(eval_values),
    .run = run,
};
