/* time_rig.h - clusters in the simulator whose nodes ask for the time; the laboratory compares whatever any node is
 * told with the truth, at each of the node's turns. */
#ifndef SPEC_TIME_RIG_H
#define SPEC_TIME_RIG_H

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>
#include <orrery/lab.h>
#include <orrery/time.h>

enum { MOST = 17 };

struct place {
    struct world *of;
    char id[24], at[40];
    struct orr_node *node;
    struct orr_node_time last;      /* what it was told at its last turn, */
    int rc;                         /* and with what status */
    unsigned steps;
};
struct world {
    size_t n;
    struct orr_lab *lab;
    struct orr_sim *sim;
    struct place places[MOST];
    struct orr_node_member file[MOST];
    struct orr_lab_node nodes[MOST];
    void (*config)(struct orr_node_config *cfg);
    bool asks;                      /* every node, at every turn */
    bool all;                       /* the log has what is less than a warning, too */
    const char *server;             /* of NTP; NULL: none */
    uint32_t moved;                 /* of what comes from there */
    bool forbidden;                 /* to steer the clock */
    unsigned steered;               /* how often that was tried all the same */
    char log[1 << 16];
    char violation[512];
};
static struct world w;

/* -- A world ------------------------------------------------------------------------------------------------------- */
static bool reads(void *ud) {
    struct place *p = ud;
    if (p->of->asks) p->rc = orr_node_time(p->node, &p->last);
    return false;
}
static void stepped(void *ud) { ((struct place *)ud)->steps++; }
static const struct orr_host_ops ops = { .turn = reads, .stepped = stepped };

/* As a live world tells it, where a server's name comes to mean another address. */
static struct orr_req *(*really_take)(struct orr_world *world);
static struct orr_req *take_moved(struct orr_world *world) {
    struct orr_req *req = really_take(world);
    if (req && !req->done && req->op == ORR_OP_DATAGRAM) ((struct orr_datagram *)(void *)req)->moved = w.moved;
    return req;
}
static int may_not(struct orr_world *world, orr_time step, int32_t *rate) {
    (void)world, (void)step;
    if (*rate != ORR_RATE_KEEP) w.steered++;
    return *rate != ORR_RATE_KEEP ? -EPERM : 0;
}
static void may_move(struct orr_world *world) {
    static struct orr_world_ops wrapped;
    wrapped = *world->ops;
    really_take = wrapped.take;
    wrapped.take = take_moved;
    if (w.forbidden) wrapped.steer = may_not;
    world->ops = &wrapped;
}

static int start(void *ud, struct orr_world *world, const char *name) {
    struct world *all = ud;
    struct place *p = &all->places[atoi(name + 1) - 1];
    struct orr_node_config cfg;
    const char *why;
    orr_node_config_init(&cfg);
    cfg.cluster = "time";
    cfg.id = p->id;
    cfg.nodes = all->file;
    cfg.n_nodes = all->n;
    cfg.segment_bytes = 1 << 20;
    cfg.clock.ntp = &all->server;
    cfg.clock.n_ntp = all->server ? 1 : 0;
    if (all->server) may_move(world);
    if (all->config) all->config(&cfg);
    int rc = orr_node_new(&p->node, world, &cfg, &why);
    if (rc == 0) rc = orr_node_host(p->node, &ops, p);
    return rc < 0 ? rc : orr_node_start(p->node);
}
static void halt(void *ud, const char *name) { ((struct world *)ud)->places[atoi(name + 1) - 1].node = NULL; }

static void logs(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    struct world *all = ud;
    size_t at = strlen(all->log);
    if (level <= (all->all ? ORR_LOG_INFO : ORR_LOG_WARN))
        snprintf(all->log + at, sizeof all->log - at, "%s: %.*s\n", node, (int)size, text);
    if (getenv("VERBOSE")) printf("%9.4f %s %.*s\n", (double)now / 1e9, node, (int)size, text);
}
static void violated(void *ud, orr_time now, const char *property, const char *text) {
    struct world *all = ud;
    snprintf(all->violation, sizeof all->violation, "%s at %.6f s: %s", property, (double)now / 1e9, text);
}

static inline void begin(size_t n, uint64_t seed, const struct orr_sim_faults *faults, orr_time run) {
    struct orr_lab_config cfg;
    orr_lab_config_init(&cfg);
    cfg.sim.seed = seed;
    cfg.sim.log = logs;
    cfg.sim.log_level = ORR_LOG_INFO;
    cfg.sim.ud = &w;
    cfg.violated = violated;
    cfg.clients = 0;
    cfg.faults = faults;
    cfg.run = run;
    w.n = n;
    w.asks = true;
    w.all = false;
    w.log[0] = w.violation[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        struct place *p = &w.places[i];
        *p = (struct place){ .of = &w };
        snprintf(p->id, sizeof p->id, "n%zu", i + 1);
        snprintf(p->at, sizeof p->at, "10.0.0.%zu:7000", i + 1);
        w.file[i] = (struct orr_node_member){ p->id, p->at, true };
        w.nodes[i] = (struct orr_lab_node){ .id = p->id, .at = w.server ? p->at : NULL };
    }
    cfg.nodes = w.nodes;
    cfg.n_nodes = n;
    cfg.ntp = &w.server;
    cfg.n_ntp = w.server ? 1 : 0;
    cfg.boot = (struct orr_sim_boot){ .start = start, .halt = halt, .ud = &w };
    assert_int_equal(orr_lab_new(&w.lab, &cfg), 0);
    w.sim = orr_lab_sim(w.lab);
}
static inline void holds(void) {
    if (w.violation[0]) fail_msg("%s", w.violation);
}
static inline void run(double seconds) {
    orr_sim_run(w.sim, orr_sim_now(w.sim) + (orr_time)(seconds * 1e9));
    holds();
}
static inline uint64_t end(void) {
    struct orr_lab_result r;
    assert_int_equal(orr_lab_judge(w.lab, &r), 0);
    orr_lab_free(w.lab);
    w.lab = NULL;
    w.config = NULL;
    w.server = NULL;
    w.forbidden = false;
    return r.times;
}
static inline bool said(const char *text) { return strstr(w.log, text) != NULL; }
static inline void set_wall(const char *node, double seconds) {
    assert_int_equal(orr_sim_clock(w.sim, node, (orr_time)(seconds * 1e9), 0), 0);
}

#endif
