/* ntp.c - NTP servers of a simulated cluster: they know the true time, virtual time itself, and are asked over the same
 * links as everybody.
 *
 * Each is a node of the simulation, by the name of its address: so its links are cut and slow, and it crashes and comes
 * back, as theirs. It says that it may be wrong by DISPERSION. A liar says so too, and is wrong. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orrery/ntp.h>

#include "lab_internal.h"

enum { ADDRESS_MAX = 80, PRECISION = -20, STRATUM = 1 };
#define DISPERSION (10 * ORR_US)

struct server {
    struct orr_lab *lab;
    char address[ADDRESS_MAX];
    orr_time lie;
    struct orr_world *w;            /* NULL: down */
    struct orr_ntp_server *ntp;
};
struct lab_ntp {
    size_t n;
    struct server servers[ORR_LAB_NTP_MAX];
};

/* Its own clock, which may drift, is not asked: a request that has waited came now. */
static void answer(struct server *s, const struct orr_datagram *d) {
    orr_time now = s->lab->cfg.sim.wall_start + orr_sim_now(s->lab->sim) + s->lie;
    struct orr_ntp_arrival a = { .at = d->data.at, .size = d->data.size, .local = d->received, .wall = now };
    memcpy(a.from.ip, &d->from, sizeof d->from);
    const struct orr_ntp_server_clock clock = { .synchronised = true, .stratum = STRATUM, .precision = PRECISION,
                                                .reference = now, .half_width = DISPERSION };
    unsigned char out[ORR_NTP_SIZE];
    if (orr_ntp_server_recv(s->ntp, &a, &clock, now, out) == ORR_NTP_TAKEN)
        (void)s->w->ops->datagram(s->w, d->from, orr_borrow(out, sizeof out));
}

static void turn(void *ud) {
    struct server *s = ud;
    for (struct orr_req *req; (req = s->w->ops->take(s->w));) {
        struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
        if (req->op == ORR_OP_DATAGRAM) answer(s, (const struct orr_datagram *)(const void *)req);
        else if (req->op == ORR_OP_ACCEPTED) s->w->ops->close(s->w, ev->stream, false);
    }
}

static struct server *server_of(const struct orr_lab *lab, const char *name) {
    for (size_t i = 0; lab->ntp && i < lab->ntp->n; i++) {
        if (strcmp(lab->ntp->servers[i].address, name) == 0) return &lab->ntp->servers[i];
    }
    return NULL;
}

/* It knows those who ask: the cluster's nodes, by where they are. */
static int boot(void *ud, struct orr_world *w, const char *name) {
    struct orr_lab *lab = ud;
    struct server *s = server_of(lab, name);
    struct orr_ntp_server_config cfg;
    orr_ntp_server_config_init(&cfg);
    cfg.addresses_max = LAB_NODES_MAX;
    cfg.interval = 0;
    cfg.seed = w->ops->seed(w, "ntp");
    cfg.alloc = &w->alloc;
    int rc = orr_ntp_server_new(&s->ntp, &cfg);
    for (size_t i = 0; i < lab->cfg.n_nodes && rc == 0; i++) {
        const struct orr_lab_node *n = &lab->nodes[i];
        if (n->at) rc = w->ops->peer(w, orr_id_of(n->id), n->at);
    }
    s->w = w;
    w->wake = turn;
    w->ud = s;
    return rc < 0 ? rc : w->ops->listen(w, s->address, 0, 1);
}

static void halt(void *ud, const char *name) {
    struct server *s = server_of(ud, name);
    s->w = NULL;
    s->ntp = NULL;                                  /* its memory was the world's */
}

int lab_ntp_new(struct orr_lab *lab) {
    const struct orr_lab_config *cfg = &lab->cfg;
    if (cfg->n_ntp == 0) return 0;
    if (cfg->n_ntp > ORR_LAB_NTP_MAX) return ORR_EINVALID;
    lab->ntp = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *lab->ntp);
    if (!lab->ntp) return -ENOMEM;
    *lab->ntp = (struct lab_ntp){ .n = cfg->n_ntp };
    for (size_t i = 0; i < cfg->n_ntp; i++) {
        struct server *s = &lab->ntp->servers[i];
        s->lab = lab;
        snprintf(s->address, sizeof s->address, "%s", cfg->ntp[i]);
        int rc = orr_sim_add(lab->sim, s->address, &(struct orr_sim_boot){ .start = boot, .halt = halt, .ud = lab });
        if (rc == 0) rc = orr_sim_start(lab->sim, s->address);
        /* UDP's checksum: what is said in NTP has no other, and a flipped bit would be believed. */
        if (rc == 0) rc = orr_sim_rate(lab->sim, s->address, ORR_SIM_MUTATE, 0);
        if (rc < 0) return rc;
    }
    return 0;
}

void lab_ntp_free(struct orr_lab *lab) {
    if (lab->ntp) lab->alloc.fn(lab->alloc.ud, lab->ntp, sizeof *lab->ntp, 0);
    lab->ntp = NULL;
}

int orr_lab_lie(struct orr_lab *lab, const char *name, orr_time by) {
    struct server *s = server_of(lab, name);
    if (!s) return -ENOENT;
    s->lie = by;
    lab_times_lie(lab);
    return 0;
}

size_t lab_ntp_liars(const struct orr_lab *lab) {
    size_t n = 0;
    for (size_t i = 0; lab->ntp && i < lab->ntp->n; i++) n += lab->ntp->servers[i].lie != 0;
    return n;
}
