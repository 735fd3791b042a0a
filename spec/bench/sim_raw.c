/* sim_raw.c - how fast the bare simulator is: events a second with nodes that do next to nothing.
 *
 *     sim_raw [NODES] [EVENTS]
 *
 * Each node sends a ball to each other node; who gets a ball sends it back. One node in a hundred turns also writes
 * and syncs 64 bytes. No faults but the delays of the links. Prints events, virtual and CPU time, events a second. */
#define _POSIX_C_SOURCE 200809L
#include <orrery/sim.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { NODES_MAX = 16, BALL = 64, WRITE_EVERY = 100, BLOCK = 64 };

struct player {
    struct orr_world *w;
    unsigned index, n_nodes;
    unsigned turns;
    struct orr_open open;
    struct orr_write write;
    struct orr_slice part;
    struct orr_file *file;
    bool writing;
    uint64_t end;
};
static unsigned char ball[BALL];

static void address_of(unsigned i, char *out, size_t size) { snprintf(out, size, "10.0.0.%u:1", i + 1); }
static void name_of(unsigned i, char *out, size_t size) { snprintf(out, size, "n%u", i + 1); }

static void opened(struct orr_req *req) {
    struct player *p = req->owner;
    p->file = p->open.file;
}
static void written(struct orr_req *req) { ((struct player *)req->owner)->writing = false; }

static void write_some(struct player *p) {
    if (!p->file || p->writing || ++p->turns % WRITE_EVERY != 0) return;
    p->part = orr_borrow(ball, BLOCK);
    p->write = (struct orr_write){ .req = { .done = written, .owner = p }, .file = p->file, .at = p->end % (1 << 20),
                                   .parts = &p->part, .n_parts = 1, .flags = ORR_W_SYNC };
    p->end += BLOCK;
    p->writing = p->w->ops->write(p->w, &p->write) == 0;
}

static void throw_ball(struct player *p, struct orr_stream *s) {
    struct orr_slice part = orr_borrow(ball, BALL);
    if (p->w->ops->send(p->w, s, 0, &part, 1) != 0) abort();
}

static void wake(void *ud) {
    struct player *p = ud;
    for (struct orr_req *req; (req = p->w->ops->take(p->w));) {
        if (req->done) {
            req->done(req);
        } else if (req->op == ORR_OP_CONNECTED || req->op == ORR_OP_DATA) {
            throw_ball(p, ((struct orr_stream_event *)(void *)req)->stream);
        }
    }
    write_some(p);
}

static int start(void *ud, struct orr_world *w, const char *name) {
    struct player *p = ud;
    char address[32];
    (void)name;
    p->w = w;
    w->wake = wake;
    w->ud = p;
    address_of(p->index, address, sizeof address);
    if (w->ops->open_dir(w) != 0 || w->ops->listen(w, address, 0, 100) != 0) return -1;
    p->open = (struct orr_open){ .req = { .done = opened, .owner = p }, .path = "file", .flags = ORR_F_CREATE };
    if (w->ops->open(w, &p->open) != 0) return -1;
    for (unsigned i = p->index + 1; i < p->n_nodes; i++) {
        char peer[32];
        struct orr_stream *s;
        name_of(i, peer, sizeof peer);
        address_of(i, address, sizeof address);
        if (w->ops->peer(w, orr_id_of(peer), address) != 0) return -1;
        if (w->ops->connect(w, orr_id_of(peer), &s) != 0) return -1;
    }
    return 0;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);      /* the machine may do other things */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 3;
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 3000000;
    static struct player players[NODES_MAX];
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    if (n < 2 || n > NODES_MAX) return 2;
    orr_sim_config_init(&cfg);
    if (orr_sim_new(&sim, &cfg) != 0) return 1;
    for (unsigned i = n; i-- > 0;) {
        char name[32];
        name_of(i, name, sizeof name);
        players[i] = (struct player){ .index = i, .n_nodes = n };
        if (orr_sim_add(sim, name, &(struct orr_sim_boot){ .start = start, .ud = &players[i] }) != 0) return 1;
        if (orr_sim_start(sim, name) != 0) return 1;
    }
    double begun = seconds();
    while (orr_sim_events(sim) < events && orr_sim_step(sim)) continue;
    double took = seconds() - begun;
    printf("sim_raw: %u nodes, %" PRIu64 " events in %.2f s virtual, %.2f s of CPU: %.0f events/s, digest %016" PRIx64
           "\n",
           n, orr_sim_events(sim), (double)orr_sim_now(sim) / 1e9, took, (double)orr_sim_events(sim) / took,
           orr_sim_digest(sim));
    orr_sim_free(sim);
    return 0;
}
