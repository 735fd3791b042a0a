/* score.c - answers held against the truth: one line of a table, and whether the bars were met.
 *
 *   score MODE SCENARIO TRACE ANSWERS [TRACE ANSWERS...]    a pair for each seed; `score` alone prints the head
 *
 * An error is the answered offset minus the true one; a violation, a true one outside the interval. The first half hour
 * (60 polls, if that is longer) is left out. Over seeds: root mean squares in squares, 95 % and bounds by their means,
 * the largest error of all. Exit 1: a bar was missed, which `MISSED` names. */
#include "clock/bench/scenarios.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES_MOST = 20000 };
struct row {
    double at, error, half, likely; /* s, ns; error NAN: no answer */
    bool outside;
};
struct sums {
    double square, p95, max, bound, settle;
    double violation_worst;
    unsigned long seeds, queries, violations, silent, unlikely;
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static unsigned read_rows(const char *trace, const char *answers, struct row *rows, double *worst) {
    FILE *t = fopen(trace, "r"), *a = fopen(answers, "r");
    char line[512], said[256];
    unsigned n = 0;
    if (!t || !a) exit(2);
    while (fgets(line, sizeof line, t)) {
        double at, local, reference, asked, offset, low, high, sd;
        if (sscanf(line, "Q %lf %lf %lf", &at, &local, &reference) != 3) continue;
        if (n == QUERIES_MOST || !fgets(said, sizeof said, a)) {
            (void)fprintf(stderr, "score: %s does not answer %s\n", answers, trace);
            exit(2);
        }
        rows[n] = (struct row){ .at = at * 1e-9, .error = NAN };
        if (sscanf(said, "%lf %lf %lf %lf %lf", &asked, &offset, &low, &high, &sd) == 5) {
            double truth = at + reference - local;
            rows[n].error = offset - truth;
            rows[n].half = (high - low) / 2;
            rows[n].likely = 5 * sd;
            rows[n].outside = truth < low || truth > high;
            if (rows[n].outside) *worst = fmax(*worst, fmax(low - truth, truth - high));
        }
        n++;
    }
    (void)fclose(t);
    (void)fclose(a);
    return n;
}

/* The moment from which on the error stays below the limit for ten minutes. */
static double settled(const struct row *rows, unsigned n, double limit) {
    double since = -1;
    for (unsigned i = 0; i < n; i++) {
        if (!(fabs(rows[i].error) <= limit)) since = -1;
        else if (since < 0) since = rows[i].at;
        else if (rows[i].at - since >= 600) return since;
    }
    return rows[n - 1].at;
}

static void add_seed(const struct scenario *s, const char *trace, const char *answers, struct sums *sums) {
    static struct row rows[QUERIES_MOST];
    static double sizes[QUERIES_MOST], halves[QUERIES_MOST];
    unsigned n = read_rows(trace, answers, rows, &sums->violation_worst), used = 0;
    double sum = 0, square = 0, warm = fmax(1800, 60 * s->poll);
    for (unsigned i = 0; i < n; i++) {
        if (rows[i].at < warm) continue;
        sums->queries++;
        if (isnan(rows[i].error)) {
            sums->silent++;
            continue;
        }
        sum += rows[i].error;
        square += rows[i].error * rows[i].error;
        sums->violations += rows[i].outside;
        sums->unlikely += fabs(rows[i].error) > rows[i].likely;
        sizes[used] = fabs(rows[i].error);
        halves[used++] = rows[i].half;
    }
    if (used == 0) exit(2);
    double mean = sum / used;
    qsort(sizes, used, sizeof *sizes, by_value);
    qsort(halves, used, sizeof *halves, by_value);
    sums->seeds++;
    sums->square += square / used - (s->spread ? mean * mean : 0);
    sums->p95 += sizes[(unsigned)(0.95 * used)];
    sums->max = fmax(sums->max, sizes[used - 1]);
    sums->bound += halves[used / 2];
    sums->settle += settled(rows, n, 3 * s->chrony.p95);
}

static double bar(const char *mode, double learned, double of_ntp) {
    if (strcmp(mode, "ntp") != 0) return learned;
    return of_ntp > 0 ? of_ntp : BAR_OF_NTP * learned;
}

static int report(const char *mode, const struct scenario *s, const struct sums *m) {
    const struct figures *c = &s->chrony;
    double n = (double)m->seeds, rms = sqrt(m->square / n), bound = m->bound / n / c->bound;
    double violations = (double)m->violations / (double)m->queries, settle = m->settle / n;
    double most = bar(mode, s->bars.rms, s->rms_of_ntp), tuned = bar(mode, s->bars.tuned_rms, s->tuned_rms_of_ntp);
    char missed[128] = "";
    printf("%-9s %-7s %9.3f %9.3f %9.3f | %9.3f %9.3f %9.3f | %5.3f %5.3f | %5.3f %5.3f", mode, s->name,
           rms / 1e3, m->p95 / n / 1e3, m->max / 1e3, c->rms / 1e3, c->p95 / 1e3, c->max / 1e3, rms / c->rms, most,
           rms / c->tuned_rms, tuned);
    printf(" | %7.4f %6.1f %5.2f %5.0f %6.3f", 100 * violations, m->violation_worst / 1e3, bound, settle,
           100 * (double)m->unlikely / (double)m->queries);
    if (rms > c->rms * most || rms > c->tuned_rms * tuned) (void)strcat(missed, " rms");
    if (c->max > 0 && m->max > c->max * s->bars.max) (void)strcat(missed, " max");
    if (violations > s->bars.violations || m->silent > 0) (void)strcat(missed, " interval");
    if (bound > 1.05) (void)strcat(missed, " bound");
    if (settle > 2 * c->settle + 10) (void)strcat(missed, " settle");
    printf("  %s%s\n", *missed ? "MISSED" : "met", missed);
    return *missed != '\0';
}

int main(int argc, char **argv) {
    const struct scenario *s = NULL;
    struct sums sums = { 0 };
    if (argc == 1) {
        printf("us                |  ours: rms   95 %%       max |    chrony's, as stored      | to it,  bar "
               "| to tuned, bar | outside %% by, width, settled, > 5 sd %%\n");
        return 0;
    }
    for (unsigned i = 0; i < SCENARIOS; i++) {
        if (argc > 2 && strcmp(argv[2], scenarios[i].name) == 0) s = &scenarios[i];
    }
    if (!s || argc < 5 || argc % 2 == 0) {
        (void)fputs("usage: score MODE SCENARIO TRACE ANSWERS [TRACE ANSWERS...]\n", stderr);
        return 2;
    }
    for (int i = 3; i < argc; i += 2) add_seed(s, argv[i], argv[i + 1], &sums);
    return report(argv[1], s, &sums);
}
