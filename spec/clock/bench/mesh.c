/* mesh.c - eight nodes that measure each other, held against chrony as a star: the offsets between all pairs.
 *
 *   mesh MODE FIRST SEEDS
 *
 * Each node has four links, 1 and 3 away in the ring, over the ways of scenario dc; a clock for each. The star that
 * chrony was measured in has 7, asked once a second: here the 16 are asked so seldom that the packets are as many.
 * chrony's figures are those of the same models (pairs of leaves, and of the hub, which is truth): at its default, and
 * tuned. Exit 1: a bar was missed. */
#include "clock/bench/ways.h"

#include <orrery/clock.h>
#include <orrery/mesh.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 8, LINKS = 16, SECONDS = 3 * 3600, ASKED_EACH = 10, SETTLED = 600, ERRORS_MOST = 2000000 };
#define STAR_LINKS 7.0
#define INSIDE 1e-3                 /* s from request to reply */
static const double chrony_rms = 2200, chrony_tuned_rms = 380, bar = 0.15, bar_tuned = 0.60;    /* ns */

struct node {
    double phase[SECONDS + 64], rate[SECONDS + 64];
};
struct link {
    unsigned a, b;
    uint64_t seed;
    struct orr_rng way[2];
    struct orr_clock *clock;        /* a's, of b */
    double next;
};
static struct node nodes[NODES];
static double errors[ERRORS_MOST];
static size_t n_errors;

static void oscillate(struct node *n, double wander, struct orr_rng *rng) {
    double rate = 20e-6 * (orri_rng_unit(rng) - 0.5), phase = 2e-3 * (orri_rng_unit(rng) - 0.5);
    for (size_t i = 0; i < SECONDS + 64; i++) {
        n->rate[i] = rate;
        n->phase[i] = phase;
        phase += rate;
        rate += wander / 60 * way_normal(rng);
    }
}
static double ahead(unsigned node, double t) {
    size_t i = (size_t)t;
    return nodes[node].phase[i] + nodes[node].rate[i] * (t - (double)i);
}
static orr_time local_at(unsigned node, double t) { return llround((t + ahead(node, t)) * 1e9); }

static void ask(struct link *l, const struct scenario *s) {
    double t = l->next, there = t + way_delay(&s->out, &l->way[0], l->seed * 2, t), leaves = there + INSIDE;
    double here = leaves + way_delay(&s->back, &l->way[1], l->seed * 2 + 1, leaves);
    struct orr_clock_exchange x = { .t1 = local_at(l->a, t), .t2 = local_at(l->b, there), .t3 = local_at(l->b, leaves),
                                    .t4 = local_at(l->a, here), .stratum = 1 };
    (void)orr_clock_sample(l->clock, x.t4, 0, &x);
    l->next += LINKS / STAR_LINKS;
}

static void judge(const struct link *links, double t) {
    struct orr_mesh mesh = { .nodes = NODES, .now = llround(t * 1e9), .age_max = ORR_SECOND };
    struct orr_mesh_edge edges[LINKS];
    struct orr_mesh_link of_link[LINKS];
    struct orr_mesh_node of_node[NODES];
    for (unsigned i = 0; i < LINKS; i++) {
        struct orr_clock_peer p;
        (void)orr_clock_peer_info(links[i].clock, local_at(links[i].a, t), 0, &p);
        edges[i] = (struct orr_mesh_edge){ links[i].a, links[i].b, p.offset, p.sd > 0 ? p.sd : 1, mesh.now };
    }
    if (orr_mesh_solve(&mesh, edges, LINKS, of_link, of_node) != 0) exit(2);
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned j = i + 1; j < NODES; j++) {
            double said = (double)(of_node[j].offset - of_node[i].offset);
            if (n_errors == ERRORS_MOST) exit(2);
            errors[n_errors++] = fabs(said - 1e9 * (ahead(j, t) - ahead(i, t)));
        }
    }
}

static void run(enum orr_clock_mode mode, const struct scenario *s, uint64_t seed) {
    struct link links[LINKS];
    struct orr_clock_config config;
    unsigned n = 0;
    orr_clock_config_init(&config);
    config.mode = mode;
    config.peers_max = 1;
    for (unsigned i = 0; i < NODES; i++) {
        struct orr_rng rng;
        orri_rng_init(&rng, seed * 4096 + i);
        oscillate(&nodes[i], s->wander, &rng);
        for (unsigned step = 1; step <= 3; step += 2) {
            struct link *l = &links[n];
            *l = (struct link){ .a = i, .b = (i + step) % NODES, .seed = seed * 4096 + 64 + n };
            l->next = 0.1 + LINKS / STAR_LINKS * n++ / LINKS;
            orri_rng_init(&l->way[0], l->seed * 2 + 1024);
            orri_rng_init(&l->way[1], l->seed * 2 + 1025);
            if (orr_clock_new(&l->clock, &config) != 0) exit(2);
            (void)orr_clock_peer_add(l->clock, -ORR_SECOND, 0, 0);
        }
    }
    for (double t = ASKED_EACH; t < SECONDS; t += ASKED_EACH) {
        for (unsigned i = 0; i < LINKS; i++) {
            while (links[i].next < t - 2 * INSIDE) ask(&links[i], s);
        }
        if (t >= SETTLED) judge(links, t);
    }
    for (unsigned i = 0; i < LINKS; i++) orr_clock_free(links[i].clock);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const struct scenario *dc = NULL;
    double square = 0;
    if (argc != 4) {
        (void)fputs("usage: mesh MODE FIRST SEEDS\n", stderr);
        return 2;
    }
    for (unsigned i = 0; i < SCENARIOS; i++) dc = strcmp(scenarios[i].name, "dc") == 0 ? &scenarios[i] : dc;
    enum orr_clock_mode mode = strcmp(argv[1], "ntp") == 0 ? ORR_CLOCK_NTP : ORR_CLOCK_PACEMAKER;
    uint64_t first = (uint64_t)strtoull(argv[2], NULL, 10), seeds = (uint64_t)strtoull(argv[3], NULL, 10);
    for (uint64_t seed = first; seed < first + seeds; seed++) run(mode, dc, seed);
    for (size_t i = 0; i < n_errors; i++) square += errors[i] * errors[i];
    qsort(errors, n_errors, sizeof *errors, by_value);
    double rms = sqrt(square / (double)n_errors);
    bool met = rms <= bar * chrony_rms && rms <= bar_tuned * chrony_tuned_rms;
    printf("%-9s mesh    %9.3f %9.3f %9.3f | pairs, to chrony's star         | %5.3f %5.3f | %5.3f %5.3f |  %s\n",
           argv[1], rms / 1e3, errors[(size_t)(0.95 * (double)n_errors)] / 1e3, errors[n_errors - 1] / 1e3,
           rms / chrony_rms, bar, rms / chrony_tuned_rms, bar_tuned, met ? "met" : "MISSED rms");
    return !met;
}
