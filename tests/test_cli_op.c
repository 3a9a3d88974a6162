/* ocelli op: every operation on arrays from files, against the reference; wrong use. */
#include "ref/ref.h"
#include "support/command.h"
#include "support/compare.h"
#include "support/device.h"
#include "support/scratch.h"

#include <ocelli/array.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const compare_limit limit = {.of_largest = 1e-5};

/* A folder with arrays. */
typedef struct place {
    char *folder;
} place;

static void write_typed(const place *p, const char *name, oce_dtype dtype, int rank,
                        const int64_t *shape, const void *values) {
    const oce_array array = {.name = "a", dtype, rank, shape, values};
    TEST_OK(oce_arrays_write(scratch_path(p->folder, name), OCE_ARRAY_NPY, &array, 1));
}

static void write_array(const place *p, const char *name, int rank, const int64_t *shape,
                        const float *values) {
    write_typed(p, name, OCE_DTYPE_FLOAT32, rank, shape, values);
}

static int64_t count_of(int rank, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

/* Random numbers, written too; free() them. */
static float *draw(const place *p, const char *name, int rank, const int64_t *shape,
                   uint64_t seed) {
    float *values = test_random((size_t)count_of(rank, shape), seed);
    write_array(p, name, rank, shape, values);
    return values;
}

/* Runs `ocelli op` with its arguments as words apart by blanks; @name is a file of the folder. */
static command_result run_with(const place *p, const char *const *environment, const char *words) {
    enum { MOST_WORDS = 24, TEXT_BYTES = 512 };
    char text[TEXT_BYTES], paths[MOST_WORDS][TEXT_BYTES];
    const char *argv[MOST_WORDS + 1] = {command_ocelli_path(), "op"};
    int count = 2;
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok(text, " "); word != NULL && count < MOST_WORDS;
         word = strtok(NULL, " "), count++) {
        argv[count] = word;
        if (word[0] != '@')
            continue;
        snprintf(paths[count], TEXT_BYTES, "%s/%s", p->folder, word + 1);
        argv[count] = paths[count];
    }
    argv[count] = NULL;
    return command_run(argv, environment, NULL);
}

static command_result run(const place *p, const char *words) {
    return run_with(p, NULL, words);
}

/* Runs, and compares @y.npy with `expected` of that shape. */
static void expect_result(const place *p, const char *words, int rank, const int64_t *shape,
                          const float *expected) {
    command_result result = run(p, words);
    cr_assert_eq(result.code, 0, "%s: %s", words, result.err);
    oce_array_list *list = NULL;
    TEST_OK(oce_arrays_read(scratch_path(p->folder, "y.npy"), OCE_ARRAY_NPY, &list));
    const oce_array *y = oce_array_list_items(list);
    cr_assert_eq(y->rank, rank, "%s", words);
    cr_assert(memcmp(y->shape, shape, (size_t)rank * sizeof *shape) == 0, "%s", words);
    expect_floats(y->data, expected, (size_t)count_of(rank, shape), NULL, limit, "%s", words);
    oce_array_list_destroy(list);
    command_free(&result);
}

static place open_place(void) {
    return (place){.folder = scratch_create()};
}

Test(cli_op, convolution_and_gradients) {
    const place p = open_place();
    const int64_t x_shape[4] = {2, 9, 7, 5}, f_shape[4] = {3, 2, 5, 4}, bias_shape[1] = {4};
    const int64_t y_shape[4] = {2, 5, 4, 4};
    const oce_conv2d_desc desc = {.batch = 2,
                                  .height = 9,
                                  .width = 7,
                                  .channels = 5,
                                  .filters = 4,
                                  .window = {.size = {3, 2},
                                             .stride = {2, 2},
                                             .padding = OCE_PADDING_EXPLICIT,
                                             .before = {1, 0},
                                             .after = {1, 1}},
                                  .activation = OCE_ACTIVATION_RELU};
    float *x = draw(&p, "x.npy", 4, x_shape, 1), *f = draw(&p, "f.npy", 4, f_shape, 2);
    float *bias = draw(&p, "b.npy", 1, bias_shape, 3), *dy = draw(&p, "dy.npy", 4, y_shape, 4);
    float *y = test_zeros(2 * 5 * 4 * 4), *dx = test_zeros(2 * 9 * 7 * 5),
          *df = test_zeros(3 * 2 * 5 * 4);
    TEST_OK(oce_ref_conv2d_forward(&desc, x, f, bias, y));
    TEST_OK(oce_ref_conv2d_input_grad(&desc, dy, f, dx));
    TEST_OK(oce_ref_conv2d_filter_grad(&desc, x, dy, df));
    expect_result(&p,
                  "conv2d --in @x.npy @f.npy @b.npy --out @y.npy --stride 2 --padding 1,1,0,1 "
                  "--relu",
                  4, y_shape, y);
    expect_result(&p,
                  "conv2d --in @x.npy @f.npy @b.npy --out @y.npy --stride 2x2 --padding 1,1,0,1 "
                  "--relu --conv naive",
                  4, y_shape, y);
    expect_result(&p,
                  "conv2d --in @x.npy @f.npy @b.npy --out @y.npy --stride 2 --padding 1,1,0,1 "
                  "--relu --window 3x2 --conv im2col --gemm naive",
                  4, y_shape, y);
    expect_result(&p,
                  "conv2d_input_grad --in @dy.npy @f.npy --out @y.npy --stride 2 --padding 1,1,0,1 "
                  "--input-size 9x7",
                  4, x_shape, dx);
    expect_result(&p,
                  "conv2d_filter_grad --in @x.npy @dy.npy --out @y.npy --stride 2 --padding "
                  "1,1,0,1 --window 3x2",
                  4, f_shape, df);
    float *const all[] = {x, f, bias, dy, y, dx, df};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    scratch_remove(p.folder);
}

static void check_pool(const place *p, oce_pool_kind kind, const char *forward,
                       const char *gradient) {
    const int64_t x_shape[4] = {2, 7, 5, 3}, y_shape[4] = {2, 4, 3, 3};
    const oce_pool_desc desc = {.kind = kind,
                                .batch = 2,
                                .height = 7,
                                .width = 5,
                                .channels = 3,
                                .window = {.size = {3, 2}, .stride = {2, 2}}};
    float *x = draw(p, "x.npy", 4, x_shape, 1), *dy = draw(p, "dy.npy", 4, y_shape, 2);
    float *y = test_zeros(2 * 4 * 3 * 3), *dx = test_zeros(2 * 7 * 5 * 3);
    TEST_OK(oce_ref_pool_forward(&desc, x, y, NULL));
    TEST_OK(oce_ref_pool_grad(&desc, x, dy, dx));
    expect_result(p, forward, 4, y_shape, y);
    expect_result(p, gradient, 4, x_shape, dx);
    free(x);
    free(dy);
    free(y);
    free(dx);
}

Test(cli_op, pools_and_gradients) {
    const place p = open_place();
    check_pool(&p, OCE_POOL_MAX, "max_pool --in @x.npy --out @y.npy --window 3x2 --stride 2",
               "max_pool_grad --in @x.npy @dy.npy --out @y.npy --window 3x2 --stride 2");
    check_pool(&p, OCE_POOL_AVERAGE, "avg_pool --in @x.npy --out @y.npy --window 3x2 --stride 2",
               "avg_pool_grad --in @dy.npy --out @y.npy --window 3x2 --stride 2 --input-size 7x5");
    scratch_remove(p.folder);
}

Test(cli_op, products) {
    const place p = open_place();
    const int64_t a_shape[2] = {5, 7}, b_shape[2] = {9, 5}, bias_shape[1] = {9},
                  c_shape[2] = {7, 9};
    const oce_gemm_desc desc = {.m = 7, .n = 9, .k = 5, .transpose_a = true, .transpose_b = true};
    float *a = draw(&p, "a.npy", 2, a_shape, 1), *b = draw(&p, "b.npy", 2, b_shape, 2);
    float *bias = draw(&p, "bias.npy", 1, bias_shape, 3), *c = test_zeros(7 * 9);
    TEST_OK(oce_ref_gemm(&desc, a, b, bias, c));
    expect_result(&p, "gemm --in @a.npy @b.npy @bias.npy --out @y.npy --transpose-a --transpose-b",
                  2, c_shape, c);
    free(a);
    free(b);
    free(bias);
    free(c);
    scratch_remove(p.folder);
}

Test(cli_op, softmax_family) {
    const place p = open_place();
    const int64_t shape[2] = {7, 5}, losses_shape[1] = {7};
    float *z = draw(&p, "z.npy", 2, shape, 1), *labels = draw(&p, "l.npy", 2, shape, 2);
    float *y = test_zeros(35), *losses = test_zeros(7), *dz = test_zeros(35);
    oce_ref_softmax(7, 5, z, y);
    oce_ref_softmax_xent(7, 5, z, labels, 1, losses, dz);
    expect_result(&p, "softmax --in @z.npy --out @y.npy", 2, shape, y);
    expect_result(&p, "softmax_xent --in @z.npy @l.npy --out @y.npy", 1, losses_shape, losses);
    expect_result(&p, "softmax_xent_grad --in @z.npy @l.npy --out @y.npy", 2, shape, dz);
    float *const all[] = {z, labels, y, losses, dz};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    scratch_remove(p.folder);
}

Test(cli_op, elements) {
    const place p = open_place();
    const int64_t shape[3] = {3, 5, 7}, columns[1] = {7};
    const oce_dropout mask = {.keep_prob = 0.5F, .seed = 7, .step = 3, .layer = 2};
    float *a = draw(&p, "a.npy", 3, shape, 1), *b = draw(&p, "b.npy", 3, shape, 2);
    float *y = test_zeros(105);
    oce_ref_relu(105, a, y);
    expect_result(&p, "relu --in @a.npy --out @y.npy", 3, shape, y);
    oce_ref_relu_grad(105, a, b, y);
    expect_result(&p, "relu_grad --in @a.npy @b.npy --out @y.npy", 3, shape, y);
    for (int i = 0; i < 105; i++)
        y[i] = a[i] + b[i];
    expect_result(&p, "add --in @a.npy @b.npy --out @y.npy", 3, shape, y);
    TEST_OK(oce_ref_dropout(&mask, 105, a, y));
    expect_result(&p,
                  "dropout --in @a.npy --out @y.npy --keep-prob 0.5 --seed 7 --step 3 --layer 2", 3,
                  shape, y);
    oce_ref_bias_grad(15, 7, a, y);
    expect_result(&p, "bias_grad --in @a.npy --out @y.npy", 1, columns, y);
    free(a);
    free(b);
    free(y);
    scratch_remove(p.folder);
}

Test(cli_op, says_what_it_did) {
    const place p = open_place();
    const int64_t shape[2] = {2, 3};
    free(draw(&p, "a.npy", 2, shape, 1));
    command_result result =
        run(&p, "gemm --in @a.npy @a.npy --transpose-b --gemm naive --out @y.npy");
    cr_expect_eq(result.code, 0, "%s", result.err);
    cr_expect(strstr(result.out, "gemm, naive: ") == result.out, "%s", result.out);
    cr_expect(strstr(result.out, "y.npy [2, 2]\n") != NULL, "%s", result.out);
    command_free(&result);
    scratch_remove(p.folder);
}

/* Other types become the nearest float32; a tie goes to the even one. */
Test(cli_op, takes_every_type_of_real_numbers) {
    const double doubles[4] = {0.1, 1 + 0x1p-24, 1 + 0x3p-24, 1e-60};
    const uint16_t halves[4] = {0x3C01, 0x0001, 0x7BFF, 0x3555}; /* 0x3555 / 2^12 / 4 */
    const int64_t longs[4] = {(1LL << 60) + (1LL << 36) + 1, (1 << 24) + 1, (1 << 24) + 3, 7};
    const uint64_t unsigned_longs[4] = {UINT64_MAX, (1ULL << 60) + (1ULL << 36) + 1, 0, 9};
    const int32_t ints[4] = {INT32_MAX, 16777219, -5, 3};
    const int8_t bytes[4] = {127, -128, 0, 1};
    const uint8_t bools[4] = {1, 0, 0, 1};
    const struct {
        oce_dtype dtype;
        const void *values;
        float expected[4];
    } cases[] = {
        {OCE_DTYPE_FLOAT64, doubles, {0.1F, 1, 1 + 0x1p-22F, 0}},
        {OCE_DTYPE_FLOAT16, halves, {1 + 0x1p-10F, 0x1p-24F, 65504, 0x555p-12F}},
        {OCE_DTYPE_INT64, longs, {0x1p60F + 0x1p37F, 16777216, 16777220, 7}},
        {OCE_DTYPE_UINT64, unsigned_longs, {0x1p64F, 0x1p60F + 0x1p37F, 0, 9}},
        {OCE_DTYPE_INT32, ints, {0x1p31F, 16777220, 0, 3}},
        {OCE_DTYPE_INT8, bytes, {127, 0, 0, 1}},
        {OCE_DTYPE_BOOL, bools, {1, 0, 0, 1}},
    };
    const place p = open_place();
    const int64_t shape[1] = {4};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_typed(&p, "x.npy", cases[i].dtype, 1, shape, cases[i].values);
        command_result result = run(&p, "relu --in @x.npy --out @y.npy");
        cr_assert_eq(result.code, 0, "%s", result.err);
        command_free(&result);
        oce_array_list *list = NULL;
        TEST_OK(oce_arrays_read(scratch_path(p.folder, "y.npy"), OCE_ARRAY_NPY, &list));
        const float *y = oce_array_list_items(list)->data;
        for (int at = 0; at < 4; at++)
            cr_expect(y[at] == cases[i].expected[at], "%s, element %d: %.9g, not %.9g",
                      oce_dtype_name(cases[i].dtype), at, (double)y[at],
                      (double)cases[i].expected[at]);
        oce_array_list_destroy(list);
    }
    scratch_remove(p.folder);
}

/* --gemm decides about the products of im2col: CLBlast that cannot be had is no other family. */
Test(cli_op, gemm_family_of_im2col) {
    static const char *const environment[] = {"OCELLI_FAULT=build=CLBlast", NULL};
    const place p = open_place();
    const int64_t x[4] = {1, 4, 4, 5}, f[4] = {3, 3, 5, 2};
    free(draw(&p, "x.npy", 4, x, 1));
    free(draw(&p, "f.npy", 4, f, 1));
    command_result result = run_with(&p, environment,
                                     "conv2d --in @x.npy @f.npy --out @y.npy --quiet --conv im2col "
                                     "--gemm clblast");
    expect_failure(&result, 1, "CLBlast");
    cr_expect(!file_is_there(scratch_path(p.folder, "y.npy")));
    command_free(&result);
    scratch_remove(p.folder);
}

/* Every option serves the operations listed here, and no other one takes it. */
Test(cli_op, options_of_each_operation) {
    static const struct {
        const char *option, *operations;
    } cases[] = {
#define CONVOLUTIONS " conv2d conv2d_input_grad conv2d_filter_grad "
#define POOLS " max_pool max_pool_grad avg_pool avg_pool_grad "
        {"--window 2", CONVOLUTIONS POOLS},
        {"--stride 2", CONVOLUTIONS POOLS},
        {"--padding valid", CONVOLUTIONS POOLS},
        {"--dilation 2", CONVOLUTIONS},
        {"--conv naive", CONVOLUTIONS},
        {"--winograd off", CONVOLUTIONS},
        {"--gemm naive", CONVOLUTIONS " gemm "},
        {"--input-size 9x9", " conv2d_input_grad avg_pool_grad "},
        {"--relu", " conv2d gemm "},
        {"--transpose-a", " gemm "},
        {"--transpose-b", " gemm "},
        {"--keep-prob 0.1", " dropout "},
        {"--seed 0", " dropout "},
        {"--step 3", " dropout "},
        {"--layer 3", " dropout "},
    };
    static const char *const operations[] = {
        "conv2d",
        "conv2d_input_grad",
        "conv2d_filter_grad",
        "max_pool",
        "max_pool_grad",
        "avg_pool",
        "avg_pool_grad",
        "gemm",
        "softmax",
        "softmax_xent",
        "softmax_xent_grad",
        "bias_grad",
        "relu",
        "relu_grad",
        "dropout",
        "add",
    };
    const place p = open_place();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t j = 0; j < sizeof operations / sizeof operations[0]; j++) {
            char words[128], between[64], message[128];
            snprintf(words, sizeof words, "%s --in x.npy %s", operations[j], cases[i].option);
            snprintf(between, sizeof between, " %s ", operations[j]);
            if (strstr(cases[i].operations, between) != NULL)
                snprintf(message, sizeof message, "--out FILE is missing"); /* found later */
            else
                snprintf(message, sizeof message, "%s has no %.*s, which is for ", operations[j],
                         (int)strcspn(cases[i].option, " "), cases[i].option);
            command_result result = run(&p, words);
            expect_failure(&result, 2, message);
            command_free(&result);
        }
    scratch_remove(p.folder);
}

Test(cli_op, wrong_use_is_named) {
    static const struct {
        const char *words, *message;
        int code;
    } cases[] = {
        {"conv --in @x.npy --out @y.npy", "did you mean \"conv2d\"", 2},
        {"conv2d --in @x.npy --out @y.npy", "conv2d takes x [N,H,W,C], filter", 2},
        {"relu --in @x.npy", "--out FILE is missing", 2},
        {"relu --in @x.npy --out y.txt", "does not end in .npy", 2},
        {"max_pool --in @x.npy --window 3xx --out @y.npy", "--window \"3xx\"", 2},
        {"max_pool --in @x.npy --window 3 --padding 1,2 --out @y.npy", "--padding \"1,2\"", 2},
        {"conv2d --in @x.npy @g.npy --conv winograd --winograd off --out @y.npy",
         "--conv winograd and --winograd off exclude each other", 2},
        {"conv2d --in @x.npy @g.npy --conv winograd --gemm naive --out @y.npy",
         "conv2d has a product for --gemm naive with --conv im2col only", 2},
        {"conv2d_input_grad --in @x.npy @g.npy --gemm clblast --out @y.npy",
         "has a product for --gemm clblast with --conv im2col only", 2},
        {"max_pool --in @x.npy --out @y.npy", "--window HxW is missing, which max_pool needs", 2},
        {"max_pool_grad --in @x.npy @x.npy --out @y.npy", "--window HxW is missing", 2},
        {"avg_pool --in @x.npy --out @y.npy", "--window HxW is missing", 2},
        {"avg_pool_grad --in @x.npy --out @y.npy", "--window HxW is missing", 2},
        {"conv2d_filter_grad --in @x.npy @x.npy --out @y.npy", "--window HxW is missing", 2},
        {"avg_pool_grad --in @x.npy --window 2 --stride 2 --out @y.npy",
         "--input-size HxW is missing, which avg_pool_grad needs with this stride or padding", 2},
        {"conv2d_input_grad --in @x.npy @g.npy --padding valid --out @y.npy",
         "--input-size HxW is missing, which conv2d_input_grad needs", 2},
        {"conv2d --in @x.npy @g.npy --window 7x6 --out @y.npy", "--window is 7x6, but the filter (",
         1},
        {"conv2d --in @x.npy @g.npy --window 7x6 --out @y.npy", "g.npy) is 3x3", 1},
        {"conv2d_input_grad --in @h.npy @g.npy --window 3x2 --out @y.npy",
         "--window is 3x2, but the filter (", 1},
        {"conv2d --in @x.npy @g.npy @one.npy --out @y.npy",
         "one.npy) must be [2], but has the shape [1]", 1},
        {"conv2d --in @x.npy @g.npy @row.npy --out @y.npy",
         "row.npy) must be [2], but has the shape [1, 2]", 1},
        {"conv2d --in @x.npy @g.npy @column.npy --out @y.npy",
         "column.npy) must be [2], but has the shape [2, 1]", 1},
        {"gemm --in @a.npy @a.npy @row.npy --transpose-b --out @y.npy",
         "row.npy) must be [2], but has the shape [1, 2]", 1},
        {"gemm --in @a.npy @a.npy @three.npy --transpose-b --out @y.npy",
         "three.npy) must be [2], but has the shape [3]", 1},
        {"conv2d --in @x.npy @f.npy --out @y.npy", "x has 5 channels, the filter is for 4", 1},
        {"gemm --in @a.npy @a.npy --out @y.npy", "a has 3 columns", 1},
        {"gemm --in @x.npy @a.npy --out @y.npy",
         "x.npy) must be [M,K], but has the shape [1, 4, 4, 5]", 1},
        {"add --in @a.npy @x.npy --out @y.npy", "they must be equal", 1},
        {"conv2d --in @x.npy @g.npy --stride 2 --conv winograd --out @y.npy",
         "winograd cannot compute", 1},
        {"relu --in @complex.npy --out @y.npy", "holds complex64; operations take real numbers", 1},
        {"relu --in @wide.npy --out @y.npy",
         "wide.npy: element 1 of its float64 is -1e+39, which float32 cannot hold", 1},
        {"relu --in @absent.npy --out @y.npy", "absent.npy: cannot open", 1},
        {"relu --in @x.npy --out @absent/y.npy", "y.npy: cannot create", 1},
    };
    const place p = open_place();
    const int64_t x[4] = {1, 4, 4, 5}, f[4] = {3, 3, 4, 2}, g[4] = {3, 3, 5, 2}, a[2] = {2, 3},
                  h[4] = {1, 4, 4, 2}, one[1] = {1}, two[1] = {2}, three[1] = {3}, row[2] = {1, 2},
                  column[2] = {2, 1};
    const float number[2] = {1, 0};
    const double numbers[2] = {1, -1e39};
    free(draw(&p, "x.npy", 4, x, 1));
    free(draw(&p, "f.npy", 4, f, 1));
    free(draw(&p, "g.npy", 4, g, 1));
    free(draw(&p, "a.npy", 2, a, 1));
    free(draw(&p, "h.npy", 4, h, 1));
    free(draw(&p, "one.npy", 1, one, 1));
    free(draw(&p, "three.npy", 1, three, 1));
    free(draw(&p, "row.npy", 2, row, 1));
    free(draw(&p, "column.npy", 2, column, 1));
    write_typed(&p, "complex.npy", OCE_DTYPE_COMPLEX64, 1, one, number);
    write_typed(&p, "wide.npy", OCE_DTYPE_FLOAT64, 1, two, numbers);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[256];
        snprintf(words, sizeof words, "%s%s", cases[i].words, cases[i].code == 1 ? " --quiet" : "");
        command_result result = run(&p, words);
        expect_failure(&result, cases[i].code, cases[i].message);
        cr_expect(!file_is_there(scratch_path(p.folder, "y.npy")), "%s", words);
        command_free(&result);
    }
    scratch_remove(p.folder);
}

/* PoCL gives programs away slowly: that is done at the end, once, and said. */
Test(cli_op, keeps_compiled_kernels) {
    oce_device *device = test_open_device();
    const bool is_pocl =
        strstr(oce_device_get_info(device)->platform_name, "Portable Computing Language") != NULL;
    oce_device_close(device);
    if (!is_pocl)
        cr_skip_test("other drivers' programs are kept at once, or by themselves");
    const place p = open_place();
    char cache[1024];
    const int64_t x[2] = {1, 3};
    free(draw(&p, "x.npy", 2, x, 1));
    snprintf(cache, sizeof cache, "OCELLI_CACHE=%s", scratch_path(p.folder, "cache"));
    const char *const environment[] = {cache, NULL};
    int first = 0; /* files: the operation's, and perhaps of what an open device is asked */
    for (int round = 0; round < 3; round++) {
        char in[1024], out[1024];
        snprintf(in, sizeof in, "%s", scratch_path(p.folder, "x.npy"));
        snprintf(out, sizeof out, "%s", scratch_path(p.folder, "y.npy"));
        const char *operation = round < 2 ? "relu" : "softmax";
        command_result result =
            command_ocelli(environment, "op", operation, "--in", in, "--out", out,
                           round < 2 ? "--device" : "--quiet", round < 2 ? "auto" : NULL);
        cr_expect_eq(result.code, 0, "%s", result.err);
        cr_expect_eq(strstr(result.err, "Compiled kernels are kept for") != NULL, round == 0, "%s",
                     result.err);
        const int files = (int)scratch_count(scratch_path(p.folder, "cache"), NULL);
        first = round == 0 ? files : first;
        cr_expect(first > 0 && files == first + (round == 2), "%d, then %d", first, files);
        command_free(&result);
    }
    scratch_remove(p.folder);
}

Test(cli_op, help_names_every_operation) {
    static const char *const names[] = {
        "conv2d (",      "conv2d_input_grad", "conv2d_filter_grad", "max_pool (",
        "max_pool_grad", "avg_pool (",        "avg_pool_grad",      "gemm (",
        "softmax (",     "softmax_xent (",    "softmax_xent_grad",  "bias_grad",
        "relu (",        "relu_grad",         "dropout (",          "add (x",
    };
    command_result result = command_ocelli(NULL, "op", "--help");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_expect(strstr(result.out, names[i]) != NULL, "no \"%s\" in:\n%s", names[i], result.out);
    cr_expect(strstr(result.out,
                     "of the window; N or HxW (for conv2d, conv2d_input_grad,\n"
                     "                        conv2d_filter_grad; default: 1)\n") != NULL,
              "%s", result.out);
    cr_expect(strstr(result.out, "ReLU of the result (for conv2d, gemm)") != NULL, "%s",
              result.out);
    command_free(&result);
}
