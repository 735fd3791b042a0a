/* check.c - how fast histories are judged: [ROUNDS] of each shape, the median; bars at what was promised.
 *
 * Histories are simulated (spec/check/histories.h), read as JSON lines, judged with the system's own order where they
 * bear it, without one where they don't; the spoilt ones are shrunk and told as well. */
#define _GNU_SOURCE
#include <time.h>

#include <orrery/check.h>

#include "../spec/check/histories.h"

struct row {
    const char *name;
    struct shape shape;
    bool spoilt;                    /* a read late in it is of the far past */
    double bar_ms;                  /* 0: none */
};
static const struct row rows[] = {
    { "100,000 of 50 processes, 10 keys, witness",
      { .model = KV, .n = 100000, .processes = 50, .keys = 10, .reads = 0.5, .order = true }, false, 2000 },
    { "100,000 of 50 processes, 10 keys, search",
      { .model = KV, .n = 100000, .processes = 50, .keys = 10, .reads = 0.5 }, false, 0 },
    { "3,400 of 50 processes, 10 keys, strings, search",
      { .model = STRINGS, .n = 3400, .processes = 50, .keys = 10, .reads = 0.5 }, false, 100 },
    { "the same of a single key",
      { .model = STRINGS, .n = 3400, .processes = 50, .keys = 1, .reads = 0.5 }, false, 100 },
    { "the same of 10 keys, 3 % of unknown fate",
      { .model = STRINGS, .n = 3400, .processes = 50, .keys = 10, .reads = 0.5, .unknown = 0.03 }, false, 100 },
    { "the same, with a stale read",
      { .model = STRINGS, .n = 3400, .processes = 50, .keys = 10, .reads = 0.5 }, true, 0 },
    { "3,400 of 50 processes, 10 keys, values, a stale read",
      { .model = KV, .n = 3400, .processes = 50, .keys = 10, .reads = 0.5 }, true, 0 },
    { "3,000 of 20 processes, 4 queues, search",
      { .model = QUEUE, .n = 3000, .processes = 20, .keys = 4 }, false, 0 },
};

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);     /* its own work, whatever else the machine does */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A get in the second half gets what one long before it got, over by the first quarter. */
static bool spoil(struct history *h) {
    for (uint32_t i = h->n / 2; i < h->n; i++) {
        struct op *op = &h->ops[i];
        if (op->verb != GET || op->outcome != OK) continue;
        for (uint32_t k = h->n / 5; k < h->n / 4; k++) {
            const struct op *old = &h->ops[k];
            if (old->verb != GET || old->outcome != OK || old->key != op->key) continue;
            if (h->model == STRINGS ? strlen(old->text) < 12 : old->result == 0) continue;
            op->result = old->result;
            if (old->text) free((char *)op->text), op->text = strdup(old->text);
            rewrite(h, NULL);
            return true;
        }
    }
    return false;
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* The time of one judgement, from the text; -1: it wasn't what it should be. */
static double judge(const struct history *h, bool spoilt) {
    struct orr_history *history;
    struct orr_report report;
    double began = now_ms();
    if (orr_history_new(&history, NULL) < 0) return -1;
    int rc = orr_history_read(history, h->lines, h->size);
    if (rc == 0) rc = orr_history_judge(history, &(struct orr_judge){ .model = model_names[h->model] }, &report);
    bool fine = rc == 0 && report.result == (spoilt ? ORR_VERDICT_VIOLATED : ORR_VERDICT_OK);
    orr_history_free(history);
    return fine ? now_ms() - began : -1;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 5, failed = 0;
    double *times = calloc((size_t)(rounds > 0 ? rounds : 1), sizeof *times);
    if (rounds < 1 || !times) return fprintf(stderr, "check: ROUNDS must be a number above 0\n"), 2;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct history h;
        bool fine = true;
        simulate(&h, &rows[i].shape, 1 + i);
        if (rows[i].spoilt && !spoil(&h)) fine = false;
        for (int round = 0; round < rounds; round++) {
            times[round] = judge(&h, rows[i].spoilt);
            fine = fine && times[round] >= 0;
        }
        qsort(times, (size_t)rounds, sizeof *times, by_size);
        double median = times[rounds / 2];
        bool late = rows[i].bar_ms > 0 && median > rows[i].bar_ms;
        failed += late || !fine;
        printf("%-56s %9.1f ms%s%s\n", rows[i].name, median, fine ? "" : "  WRONG VERDICT", late ? "  TOO LATE" : "");
        history_free(&h);
    }
    free(times);
    return failed ? 1 : 0;
}
