/* probe.h - a node for the simulator's specs: it does what the spec tells it to, in its turns, and keeps what it is
 * told.
 *
 * A spec is straight-line code: probe_do() runs a function inside the node's next turn; probe_wait() lets the
 * simulation go on until a request of the probe is done. The probe wakes itself each millisecond to see whether there
 * is something to do. */
#ifndef ORR_SPEC_SIM_PROBE_H
#define ORR_SPEC_SIM_PROBE_H

#include <orrery/sim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
    struct orr_sim *sim;
    const char *name, *address;
    struct orr_world *w;            /* NULL: down */
    unsigned starts, halts, turns;
    int start_status;               /* what start() shall return */
    bool no_dir;                    /* start() does not lock its directory */
    bool idle;                      /* no alarm of its own */
    void (*todo)(struct probe *p, void *arg);
    void *arg;
    void (*on_start)(struct probe *p);
    void (*on_event)(struct probe *p, struct orr_req *req);      /* what has no done function */
    void (*on_turn)(struct probe *p);
    void *ud;                       /* the spec's */
};

static inline void probe_wake(void *ud) {
    struct probe *p = ud;
    p->turns++;
    for (struct orr_req *req; (req = p->w->ops->take(p->w));) {
        if (req->done) {
            req->done(req);
        } else if (p->on_event) {
            p->on_event(p, req);
        }
    }
    void (*todo)(struct probe *, void *) = p->todo;
    p->todo = NULL;
    if (todo) todo(p, p->arg);
    if (p->on_turn) p->on_turn(p);
    if (!p->idle) p->w->ops->alarm(p->w, p->w->ops->now(p->w) + ORR_MS, 0);
}

static inline int probe_start(void *ud, struct orr_world *w, const char *name) {
    struct probe *p = ud;
    if (strcmp(p->name, name) != 0) return ORR_EINVALID;
    p->starts++;
    if (p->start_status != 0) return p->start_status;
    p->w = w;
    w->wake = probe_wake;
    w->ud = p;
    if (!p->no_dir) {
        int rc = w->ops->open_dir(w);
        if (rc != 0) return rc;
    }
    if (p->address) {
        int rc = w->ops->listen(w, p->address, 7, 1000);
        if (rc != 0) return rc;
    }
    if (!p->idle) w->ops->alarm(w, w->ops->now(w) + ORR_MS, 0);
    if (p->on_start) p->on_start(p);
    return 0;
}

static inline void probe_halt(void *ud, const char *name) {
    struct probe *p = ud;
    if (strcmp(p->name, name) != 0) abort();
    p->halts++;
    p->w = NULL;
}

static inline int probe_add(struct orr_sim *sim, struct probe *p, const char *name, const char *address) {
    p->sim = sim;
    p->name = name;
    p->address = address;
    int rc = orr_sim_add(sim, name, &(struct orr_sim_boot){ .start = probe_start, .halt = probe_halt, .ud = p });
    return rc ? rc : orr_sim_start(sim, name);
}

/* fn(p, arg) in the probe's next turn; returns when it has run, or the probe is down. */
static inline void probe_do(struct probe *p, void (*fn)(struct probe *p, void *arg), void *arg) {
    p->todo = fn;
    p->arg = arg;
    while (p->w && p->todo && orr_sim_step(p->sim)) continue;
}

/* -- Requests, one by one ---------------------------------------------------------------------------------------- */
/* Any request, with what is needed to submit it. */
struct probe_req {
    enum orr_op op;
    bool done;
    int refused;                    /* what the submit function returned */
    union {
        struct orr_req req;
        struct orr_open open;
        struct orr_write write;
        struct orr_read read;
        struct orr_file_op file;
        struct orr_name_op name;
        struct orr_job job;
    } u;
    struct orr_slice part;
};

static inline void probe_req_done(struct orr_req *req) { ((struct probe_req *)req->owner)->done = true; }

static inline void probe_submit(struct probe *p, void *arg) {
    struct probe_req *r = arg;
    const struct orr_world_ops *ops = p->w->ops;
    r->done = false;
    r->u.req.done = probe_req_done;
    r->u.req.owner = r;
    switch (r->op) {
    case ORR_OP_OPEN: r->refused = ops->open(p->w, &r->u.open); break;
    case ORR_OP_WRITE:
        r->u.write.parts = &r->part;
        r->u.write.n_parts = 1;
        r->refused = ops->write(p->w, &r->u.write);
        break;
    case ORR_OP_READ: r->refused = ops->read(p->w, &r->u.read); break;
    case ORR_OP_SYNC: case ORR_OP_CLOSE: case ORR_OP_TRUNCATE: case ORR_OP_PREPARE:
        r->refused = ops->file_op(p->w, &r->u.file, r->op);
        break;
    case ORR_OP_JOB: r->refused = ops->job(p->w, &r->u.job); break;
    default: r->refused = ops->name_op(p->w, &r->u.name, r->op); break;
    }
}

static inline void probe_wait(struct probe *p, const struct probe_req *r) {
    while (p->w && !r->done && r->refused == 0 && orr_sim_step(p->sim)) continue;
}

/* Submits and waits; the status, or what the submission returned; ORR_ECLOSED where the node went down meanwhile. */
static inline int probe_run(struct probe *p, struct probe_req *r) {
    probe_do(p, probe_submit, r);
    probe_wait(p, r);
    if (r->refused != 0) return r->refused;
    return r->done ? r->u.req.status : ORR_ECLOSED;
}

static inline struct orr_file *probe_open(struct probe *p, const char *path, unsigned flags, int *status) {
    struct probe_req r = { .op = ORR_OP_OPEN, .u.open = { .path = path, .flags = flags } };
    *status = probe_run(p, &r);
    return *status == 0 ? r.u.open.file : NULL;
}
static inline int probe_write(struct probe *p, struct orr_file *f, uint64_t at, const void *bytes, size_t size,
                              unsigned flags) {
    struct probe_req r = { .op = ORR_OP_WRITE,
                           .u.write = { .file = f, .at = at, .flags = flags },
                           .part = orr_borrow(bytes, size) };
    return probe_run(p, &r);
}
static inline int probe_file_op(struct probe *p, struct orr_file *f, enum orr_op op, uint64_t at) {
    struct probe_req r = { .op = op, .u.file = { .file = f, .at = at } };
    return probe_run(p, &r);
}
static inline int probe_name_op(struct probe *p, enum orr_op op, const char *path, const char *to) {
    struct probe_req r = { .op = op, .u.name = { .path = path, .to = to } };
    return probe_run(p, &r);
}
/* Reads into out; the number of bytes, or the error. */
static inline long probe_read(struct probe *p, struct orr_file *f, uint64_t at, void *out, size_t size) {
    struct probe_req r = { .op = ORR_OP_READ, .u.read = { .file = f, .at = at, .size = size } };
    int rc = probe_run(p, &r);
    if (rc != 0) return rc;
    size_t got = r.u.read.got.size;
    if (got) memcpy(out, r.u.read.got.at, got);
    orr_drop(r.u.read.got);
    return (long)got;
}

static inline struct orr_sim *probe_sim(uint64_t seed) {
    struct orr_sim_config cfg;
    struct orr_sim *sim = NULL;
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    return orr_sim_new(&sim, &cfg) == 0 ? sim : NULL;
}


#endif
