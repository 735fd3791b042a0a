/* host_rig.h - nodes with hosts in the simulator, for the tests of orrery/host.h.
 *
 * Each host has these handlers: "echo" answers its arguments; "hold" answers when the test says so; "later" answers
 * after 20 ms; "count" bears an id, which must not have been asked before, and answers it after a while or at once;
 * "note" (a cast) is counted. A test calls by rig_do: a function in a node's turn.                                   */
#ifndef SPEC_HOST_RIG_H
#define SPEC_HOST_RIG_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>

#include "base/codec.h"
#include "base/rng.h"
#include "node/inner.h"
#include "support/counter.h"

enum { RIG_MAX = 5, RIG_TODO = 64, RIG_HELD = 4096, RIG_IDS = 1 << 18 };

struct rig;
struct host {
    struct rig *rig;
    char name[32], at[48];
    orr_id id;
    struct orr_node *node;
    struct orr_group *group;
    struct orr_wait tick;
    struct {
        void (*fn)(struct host *h, void *ud);
        void *ud;
    } todo[RIG_TODO];
    size_t n_todo;
    struct orr_asked *held[RIG_HELD];
    size_t n_held, gone, notes, stops, readies, events;
    orr_time asked_deadline;
    bool no_asked;
    int stop_code;
    char why[512];
    int (*declare)(struct host *h, const char **why);
    bool (*turn)(struct host *h);
};
struct rig {
    struct orr_sim *sim;
    size_t n;
    struct host hosts[RIG_MAX];
    struct orr_node_member file[RIG_MAX];
    void (*config)(struct rig *r, struct orr_node_config *cfg);
    void (*halted)(struct host *h);
    const char *net;                /* how their addresses begin; NULL: "10.0.0." */
    size_t replicas;                /* 0: no group; else on the first so many */
    unsigned char *ran;             /* by id */
    bool verbose;
    struct orr_rng rng;
};

/* -- Asking -------------------------------------------------------------------------------------------------------- */
struct ask {
    struct orr_wait w;              /* first */
    unsigned told;
    int status;
    unsigned char bytes[64];
    size_t size;
    orr_time at;
    struct host *from;
};
static inline void ask_done(struct orr_wait *w) {
    struct ask *a = (struct ask *)(void *)w;
    a->told++;
    a->status = w->status;
    a->size = w->result.size < sizeof a->bytes ? w->result.size : sizeof a->bytes;
    if (a->size) memcpy(a->bytes, w->result.at, a->size);
    if (a->from && a->from->node) a->at = orr_node_now(a->from->node);
}
static inline struct orr_slice text(const char *s) { return orr_borrow(s, strlen(s)); }
static inline int ask(struct ask *a, struct host *h, orr_id to, const char *name, struct orr_slice args, orr_time in) {
    *a = (struct ask){ .w.done = ask_done, .from = h };
    int rc = orr_node_call(h->node, &a->w, to, text(name), args, in == ORR_NEVER ? in : orr_node_now(h->node) + in);
    if (rc < 0) a->status = rc;
    return rc;
}

/* -- The host ------------------------------------------------------------------------------------------------------ */
struct later {                      /* the world's memory, which a crash takes with it */
    struct orr_wait w;              /* first */
    struct orr_asked *a;
    unsigned char id[8];
    struct host *h;
};
static inline struct later *later_resize(struct host *h, struct later *l, size_t old_size, size_t new_size) {
    struct orr_world *w = orr_node_world(h->node);
    return w->alloc.fn(w->alloc.ud, l, old_size, new_size);
}
static inline void rig_forget(struct host *h, const struct orr_asked *a) {
    size_t kept = 0;
    for (size_t i = 0; i < h->n_held; i++) {
        if (h->held[i] != a) h->held[kept++] = h->held[i];
    }
    h->n_held = kept;
}
static inline void later_done(struct orr_wait *w) {
    struct later *l = (struct later *)(void *)w;
    orr_node_answer(l->a, w->status, orr_borrow(l->id, 8));
    later_resize(l->h, l, sizeof *l, 0);
}
static inline int rig_later(struct host *h, struct orr_asked *a, orr_time in) {
    struct later *l = later_resize(h, NULL, 0, sizeof *l);
    if (!l) return ORR_EOVERLOADED;
    *l = (struct later){ .w.done = later_done, .a = a, .h = h };
    memcpy(l->id, a->args.at, a->args.size < 8 ? a->args.size : 8);
    int rc = orr_node_timer(h->node, &l->w, orr_node_now(h->node) + in);
    if (rc < 0) later_resize(h, l, sizeof *l, 0);
    else a->owner = l;
    return rc;
}
static inline bool named(const struct orr_asked *a, const char *name) {
    return a->name.size == strlen(name) && memcmp(a->name.at, name, a->name.size) == 0;
}
static inline int rig_asked(void *ud, struct orr_asked *a) {
    struct host *h = ud;
    struct rig *r = h->rig;
    h->asked_deadline = a->deadline;
    a->owner = NULL;
    if (named(a, "echo")) {
        orr_node_answer(a, 0, a->args);
    } else if (named(a, "hold")) {
        if (h->n_held == RIG_HELD) return ORR_EOVERLOADED;
        h->held[h->n_held++] = a;
    } else if (named(a, "later")) {
        return rig_later(h, a, 20 * ORR_MS);
    } else if (named(a, "note")) {
        assert_true(a->cast);
        h->notes++;
        orr_node_answer(a, 0, orr_borrow(NULL, 0));
    } else if (named(a, "count")) {
        uint64_t id = orri_get_le(a->args.at, 8);
        assert_true(a->args.size == 8 && id < RIG_IDS && r->ran[id] == 0);      /* no handler runs twice for one call */
        r->ran[id]++;
        if (id % 3 == 0) return rig_later(h, a, (orr_time)(id % 40) * ORR_MS);
        orr_node_answer(a, 0, a->args);
    } else {
        return ORR_EINVALID;
    }
    return 0;
}
static inline void rig_gone(void *ud, struct orr_asked *a) {
    struct host *h = ud;
    struct later *l = a->owner;
    h->gone++;
    rig_forget(h, a);
    if (l) orr_wait_cancel(&l->w);
    if (l) later_resize(h, l, sizeof *l, 0);
    orr_node_answer(a, ORR_ECANCELED, orr_borrow(NULL, 0));
}
static inline void rig_tick(struct orr_wait *w) {
    struct host *h = w->owner;
    size_t n = h->n_todo;
    h->n_todo = 0;
    for (size_t i = 0; i < n; i++) h->todo[i].fn(h, h->todo[i].ud);
    if (h->node && w->status == 0) (void)orr_node_timer(h->node, w, orr_node_now(h->node) + ORR_MS);
}
static inline int rig_declare(void *ud, const char **why) {
    struct host *h = ud;
    struct rig *r = h->rig;
    const char *on[RIG_MAX];
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &counter_machine, .on = on };
    spec.n_on = r->replicas;
    if (h->declare) return h->declare(h, why);
    for (size_t i = 0; i < r->replicas; i++) on[i] = r->hosts[i].name;
    return r->replicas ? orr_node_replicate(h->node, "count", &spec, &h->group) : 0;
}
static inline void rig_ready(void *ud) {
    struct host *h = ud;
    h->readies++;
    h->tick = (struct orr_wait){ .done = rig_tick, .owner = h };
    assert_int_equal(orr_node_timer(h->node, &h->tick, orr_node_now(h->node) + ORR_MS), 0);
}
static inline void rig_event(void *ud, struct orr_group *g, unsigned events) {
    struct host *h = ud;
    assert_ptr_equal(g, h->group);
    h->events |= events;
}
static inline bool rig_turn(void *ud) {
    struct host *h = ud;
    return h->turn ? h->turn(h) : false;
}
static inline void rig_stopped(void *ud) { ((struct host *)ud)->stops++; }
static const struct orr_host_ops rig_ops = { .declare = rig_declare, .ready = rig_ready, .asked = rig_asked,
                                             .gone = rig_gone, .event = rig_event, .turn = rig_turn,
                                             .stop = rig_stopped };

/* -- Nodes --------------------------------------------------------------------------------------------------------- */
static inline void rig_halt(void *ud, const char *name) {
    struct host *h = ud;
    (void)name;
    if (h->rig->halted) h->rig->halted(h);
    orr_node_free(h->node);
    h->node = NULL;
    h->group = NULL;
    h->n_held = 0;
    h->n_todo = 0;
}
static inline int rig_boot(void *ud, struct orr_world *w, const char *name) {
    struct host *h = ud;
    struct orr_node_config cfg;
    const char *why;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = h->name;
    cfg.nodes = h->rig->file;
    cfg.n_nodes = h->rig->n;
    cfg.memory_bytes_max = 32 << 20;
    cfg.segment_bytes = 1 << 20;
    if (h->rig->config) h->rig->config(h->rig, &cfg);
    int rc = orr_node_new(&h->node, w, &cfg, &why);
    if (rc < 0) return rc;
    rc = orr_node_host(h->node, &rig_ops, h);
    if (rc == 0) rc = orr_node_start(h->node);
    if (rc < 0) rig_halt(h, name);
    return rc;
}
static inline void rig_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *t, size_t size) {
    (void)level;
    if (((struct rig *)ud)->verbose) printf("%9.4f %s %.*s\n", (double)now / 1e9, node, (int)size, t);
}
static inline void rig_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code,
                            const char *why) {
    struct rig *r = ud;
    if (r->verbose) printf("%9.4f %s state %d code %d %s\n", (double)now / 1e9, node, (int)state, code, why ? why : "");
    for (size_t i = 0; i < r->n; i++) {
        if (strcmp(r->hosts[i].name, node) != 0 || state != ORR_SIM_DOWN) continue;
        r->hosts[i].stop_code = code;
        (void)snprintf(r->hosts[i].why, sizeof r->hosts[i].why, "%s", why ? why : "");
    }
}
static inline void rig_new(struct rig *r, size_t n, uint64_t seed) {
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.log = rig_log;
    cfg.life = rig_life;
    cfg.ud = r;
    r->n = n;
    r->verbose = getenv("VERBOSE") != NULL;
    r->ran = calloc(RIG_IDS, 1);
    orri_rng_init(&r->rng, seed);
    assert_int_equal(orr_sim_new(&r->sim, &cfg), 0);
    for (size_t i = 0; i < n; i++) {
        struct host *h = &r->hosts[i];
        h->rig = r;
        (void)snprintf(h->name, sizeof h->name, "n%zu", i + 1);
        (void)snprintf(h->at, sizeof h->at, "%s%zu:7000", r->net ? r->net : "10.0.0.", i + 1);
        h->id = orr_id_of(h->name);
        r->file[i] = (struct orr_node_member){ h->name, h->at, true };
        struct orr_sim_boot boot = { .start = rig_boot, .halt = rig_halt, .ud = h };
        assert_int_equal(orr_sim_add(r->sim, h->name, &boot), 0);
    }
    for (size_t i = 0; i < n; i++) assert_int_equal(orr_sim_start(r->sim, r->hosts[i].name), 0);
}
static inline void rig_free(struct rig *r) {
    orr_sim_free(r->sim);
    free(r->ran);
    r->ran = NULL;
}
static inline void rig_run(struct rig *r, orr_time for_ns) { orr_sim_run(r->sim, orr_sim_now(r->sim) + for_ns); }
/* fn in that node's turn, within 2 ms */
static inline void rig_later_do(struct host *h, void (*fn)(struct host *, void *), void *ud) {
    assert_true(h->n_todo < RIG_TODO);
    h->todo[h->n_todo].fn = fn;
    h->todo[h->n_todo++].ud = ud;
}
static inline void rig_do(struct host *h, void (*fn)(struct host *, void *), void *ud) {
    rig_later_do(h, fn, ud);
    rig_run(h->rig, 2 * ORR_MS);
}

#endif
