/* ocelli bench startup: from the start of a process to the end of its first training step. */
#define _XOPEN_SOURCE 700
#include "cli/bench.h"
#include "cli/compilers.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { USUAL_RUNS = 5, MOST_PATH = 4096 };

/* Where drivers, and Ocelli, look for the folder of their caches of kernels. */
static const char *const caches[] = {"OCELLI_CACHE",          "POCL_CACHE_DIR", "CUDA_CACHE_PATH",
                                     "MESA_SHADER_CACHE_DIR", "NEO_CACHE_DIR",  "cl_cache_dir"};

/* ---- Signals: the folder of the caches is removed before one ends the command -----------------
 */

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING_SIGNALS = sizeof ending_signals / sizeof ending_signals[0] };

static volatile sig_atomic_t received; /* a signal; 0: none */

static void note_signal(int number) {
    received = number;
}

/* Notes them from now on; what was ignored stays so. */
static void hold_signals(struct sigaction usual[ENDING_SIGNALS]) {
    struct sigaction noting = {.sa_handler = note_signal};
    sigemptyset(&noting.sa_mask);
    for (int i = 0; i < ENDING_SIGNALS; i++) {
        sigaction(ending_signals[i], NULL, &usual[i]);
        if (usual[i].sa_handler != SIG_IGN)
            sigaction(ending_signals[i], &noting, NULL);
    }
}

/* Lets them have their usual effect again, also the one that came. */
static void release_signals(const struct sigaction usual[ENDING_SIGNALS]) {
    for (int i = 0; i < ENDING_SIGNALS; i++)
        sigaction(ending_signals[i], &usual[i], NULL);
    if (received != 0)
        raise(received);
}

/* ---- A process ----------------------------------------------------------------------------- */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* In the child: does not return. */
static void become_trainer(const bench_session *s, const char *network, const char *folder,
                           int output, FILE *errors) {
    const bench_values *given = s->given;
    const char *argv[24] = {"ocelli", "bench", "train", network, "--first-step", "--quiet"};
    char batch[32], parts[32];
    int count = 6;
    if (given->device != NULL) {
        argv[count++] = "--device";
        argv[count++] = given->device;
    }
    if (given->model.batch > 0) {
        snprintf(batch, sizeof batch, "%lld", (long long)given->model.batch);
        argv[count++] = "--batch";
        argv[count++] = batch;
    }
    if (given->model.micro_batches > 0) {
        snprintf(parts, sizeof parts, "%lld", (long long)given->model.micro_batches);
        argv[count++] = "--micro-batches";
        argv[count++] = parts;
    }
    argv[count++] = "--conv";
    argv[count++] = cli_conv_families[given->model.conv];
    argv[count++] = "--gemm";
    argv[count++] = cli_gemm_families[given->model.gemm];
    argv[count++] = "--winograd";
    argv[count++] = cli_winograd_choices[given->model.winograd];
    argv[count] = NULL;
    for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++)
        setenv(caches[i], folder, 1);
    if (errors != NULL)
        dup2(fileno(errors), STDERR_FILENO);
    if (dup2(output, STDOUT_FILENO) >= 0)
        execvp(cli_own_program(), (char *const *)(void *)argv);
    _exit(127);
}

/* Waits for the first byte, or the end, of what the child prints; false if it printed nothing, or a
 * signal came. */
static bool wait_for_output(int input) {
    enum { MILLISECONDS = 100 }; /* between looks at the signals */
    struct pollfd output = {.fd = input, .events = POLLIN};
    char byte;
    int ready = 0;
    while (received == 0 && (ready = poll(&output, 1, MILLISECONDS)) <= 0) {
    }
    return ready > 0 && read(input, &byte, 1) == 1;
}

/* Ends a child and the processes that compile for it, and waits until they are gone. */
static void end_group(pid_t child) {
    const struct timespec pause = {.tv_nsec = 1000000};
    kill(-child, SIGTERM);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 1000 && kill(-child, 0) == 0; i++)
        nanosleep(&pause, NULL);
}

/* Prints what a process had to say. */
static void show_errors(FILE *errors) {
    rewind(errors);
    for (int byte; (byte = fgetc(errors)) != EOF;)
        fputc(byte, stderr);
}

/* Whether the process has trained; else it said why itself, or an error message was printed. */
static bool has_trained(const char *network, int state, bool printed) {
    if (WIFEXITED(state) && WEXITSTATUS(state) == CLI_SUCCESS && printed)
        return true;
    if (!WIFEXITED(state))
        cli_error("the process that trains %s was ended by signal %d", network, WTERMSIG(state));
    else if (WEXITSTATUS(state) != CLI_FAILURE)
        cli_error("the process that trains %s failed", network);
    return false;
}

/* One process: *seconds until it had made its first step; false after an error message or a signal.
 * What it prints on stderr goes to `errors` (NULL: to our own) and is shown if it fails. */
static bool start_once(const bench_session *s, const char *network, const char *folder,
                       FILE *errors, double *seconds) {
    int ends[2], state = 0;
    if (pipe(ends) != 0) {
        cli_error("making a pipe: %s", strerror(errno));
        return false;
    }
    fflush(stdout);
    const double start = now();
    const pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        close(ends[0]);
        become_trainer(s, network, folder, ends[1], errors);
    }
    setpgid(child, child); /* here too: whoever is first */
    close(ends[1]);
    const bool printed = child > 0 && wait_for_output(ends[0]);
    *seconds = now() - start;
    close(ends[0]);
    if (child < 0) {
        cli_error("starting a process: %s", strerror(errno));
        return false;
    }
    if (received != 0) {
        end_group(child);
        return false;
    }
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    const bool is_good = has_trained(network, state, printed);
    if (!is_good && errors != NULL)
        show_errors(errors);
    return is_good;
}

/* One process with empty caches, `runs` with filled ones. The same warnings from each would be too
 * many: those of the first process are enough. */
static bool start_all(const bench_session *s, const char *network, const char *folder, double *cold,
                      int runs, double *warm) {
    const bool is_first = json_array_size(s->rows) == 0;
    FILE *errors = tmpfile(); /* NULL: they are all shown */
    bool is_good = start_once(s, network, folder, is_first ? NULL : errors, cold);
    for (int i = 0; i < runs && is_good; i++)
        is_good = start_once(s, network, folder, errors, &warm[i]);
    if (errors != NULL)
        fclose(errors);
    return is_good;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool measure(const bench_session *s, const char *network, const char *folder,
                    cli_table *table) {
    double cold = 0, warm[BENCH_MOST_STARTS];
    char text[3][32];
    const int runs = s->given->repeat > 0 ? (int)s->given->repeat : USUAL_RUNS;
    if (!start_all(s, network, folder, &cold, runs, warm))
        return false;
    qsort(warm, (size_t)runs, sizeof warm[0], compare_doubles);
    const double median = (warm[runs / 2] + warm[(runs - 1) / 2]) / 2;
    json_array_append_new(s->rows,
                          json_pack("{s:s, s:f, s:f, s:f, s:f, s:i}", "network", network,
                                    "cold_seconds", cold, "warm_seconds", median, "warm_minimum",
                                    warm[0], "warm_maximum", warm[runs - 1], "runs", runs));
    cli_table_cell(table, "%s", network);
    cli_table_cell(table, "%s", bench_time_text(cold, text[0], sizeof text[0]));
    cli_table_cell(table, "%s", bench_time_text(median, text[0], sizeof text[0]));
    cli_table_cell(table, "%s to %s", bench_time_text(warm[0], text[1], sizeof text[1]),
                   bench_time_text(warm[runs - 1], text[2], sizeof text[2]));
    cli_table_cell(table, "%d", runs);
    return true;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

/* Each network with a folder of its own for the caches, empty at first. */
static bool measure_in_folder(const bench_session *s, const char *network, cli_table *table) {
    char folder[MOST_PATH];
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ocelli-bench-XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    struct sigaction usual[ENDING_SIGNALS];
    hold_signals(usual);
    if (mkdtemp(folder) == NULL) {
        cli_error("making the folder %s: %s", folder, strerror(errno));
        release_signals(usual);
        return false;
    }
    bool is_good = measure(s, network, folder, table);
    if (nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        cli_error("removing the folder %s: %s", folder, strerror(errno));
        is_good = false;
    }
    release_signals(usual);
    return is_good;
}

int bench_run_startup(bench_session *s, const char *network) {
    const bool mnist = network == NULL || strcmp(network, "mnist") == 0;
    const bool cifar10 = network == NULL || strcmp(network, "cifar10") == 0;
    if ((mnist && !bench_check_parts(s, "mnist", true)) ||
        (cifar10 && !bench_check_parts(s, "cifar10", true)))
        return CLI_USAGE;
    cli_table *table =
        s->given->json
            ? NULL
            : cli_table_create("<network>empty caches>filled caches, median>range>processes");
    bool is_good = !mnist || measure_in_folder(s, "mnist", table);
    if (is_good && cifar10)
        is_good = measure_in_folder(s, "cifar10", table);
    /* after the processes, so that none finds the driver awake */
    if (is_good && bench_open(s) != OCE_OK)
        is_good = cli_failure() == CLI_SUCCESS;
    if (is_good && table != NULL)
        cli_table_print(table, stdout, 0);
    cli_table_destroy(table);
    return is_good ? CLI_SUCCESS : CLI_FAILURE;
}
