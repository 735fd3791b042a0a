/* replay.c - runs a fuzz target over files and folders of inputs, without a fuzzer: `NAME_fuzz
 * spec/fuzz/corpus/NAME`. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long n_inputs;

static int run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return -1;
    uint8_t *data = NULL;
    size_t size = 0, cap = 0, got = 1;
    while (got) {
        if (size == cap) {
            cap = cap ? 2 * cap : 4096;
            uint8_t *more = realloc(data, cap);
            if (!more) break;
            data = more;
        }
        got = fread(data + size, 1, cap - size, f);
        size += got;
    }
    fclose(f);
    uint8_t *exact = malloc(size ? size : 1);       /* so that a byte past the end is seen */
    if (exact) {
        if (size) memcpy(exact, data, size);
        (void)LLVMFuzzerTestOneInput(exact, size);
        n_inputs++;
    }
    free(exact);
    free(data);
    return exact ? 0 : -1;
}

static int run(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return run_file(path);
    int rc = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char name[4096];
        if (e->d_name[0] == '.') continue;
        if ((size_t)snprintf(name, sizeof name, "%s/%s", path, e->d_name) >= sizeof name || run_file(name) < 0) rc = -1;
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        if (run(argv[i]) == 0) continue;
        fprintf(stderr, "%s: can't be read\n", argv[i]);
        failed = 1;
    }
    printf("%lu inputs\n", n_inputs);
    return failed || n_inputs == 0;
}
