/*
 * Turns text files into a C file that defines oce_embedded_files (src/device/embedded.h):
 *   embed OUTPUT.c FILE...
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Writes the text of `path` as one string literal a line. Returns 0, or -1 with errno set. */
static int embed_file(FILE *out, const char *path) {
    FILE *in = fopen(path, "rb");
    if (!in)
        return -1;
    const char *slash = strrchr(path, '/');
    fprintf(out, "    {\"%s\",\n     \"", slash ? slash + 1 : path);
    for (int c = getc(in), next; c != EOF; c = next) {
        next = getc(in);
        if (c == '\n')
            fputs(next == EOF ? "\\n" : "\\n\"\n     \"", out);
        else if (c == '"' || c == '\\' || c == '?' || c < ' ' || c > '~')
            fprintf(out, "\\%03o", (unsigned)c); /* three digits: the next character cannot join */
        else
            putc(c, out);
    }
    fputs("\"},\n", out);
    const int failed = ferror(in);
    return fclose(in) != 0 || failed ? -1 : 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("usage: embed OUTPUT.c FILE...\n", stderr);
        return 2;
    }
    FILE *out = fopen(argv[1], "wb");
    if (!out) {
        fprintf(stderr, "embed: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    fputs("#include \"device/embedded.h\"\n\n#include <stddef.h>\n\n"
          "const oce_embedded_file oce_embedded_files[] = {\n",
          out);
    for (int i = 2; i < argc; i++) {
        if (embed_file(out, argv[i]) != 0) {
            fprintf(stderr, "embed: %s: %s\n", argv[i], strerror(errno));
            fclose(out);
            remove(argv[1]);
            return 1;
        }
    }
    fputs("    {NULL, NULL},\n};\n", out);
    const int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        fprintf(stderr, "embed: %s: writing failed\n", argv[1]);
        remove(argv[1]);
        return 1;
    }
    return 0;
}
