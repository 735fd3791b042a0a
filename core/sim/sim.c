/* sim.c - the simulation's life: configuration, the one heap, stepping, digest, counts, the harness's own timers.
 *
 * A step is a tick that is due, or else the turn of the node that has been ready longest, or else time goes on to the
 * next tick. Ticks are ordered by (time, order of setting), turns by the order of becoming ready: a total order without
 * any address in it.                                                                                                 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "sim/room.h"

enum {
    NODES_MAX = 32,
    TURNS_AT_ONCE_MAX = 1000000     /* of all nodes in one instant: beyond, some node wakes itself for ever */
};
static const size_t piece_caps[ORRI_PIECE_CLASSES] = { 448, 4096, 32768 };

void orr_sim_config_init(struct orr_sim_config *config) {
    *config = (struct orr_sim_config){
        .size = sizeof *config,
        .seed = 1,
        .nodes_max = NODES_MAX,
        .link = { .delay = 100 * ORR_US, .jitter = 50 * ORR_US },
        .disk = { 80 * ORR_US, 20 * ORR_US, 100 * ORR_US, 50 * ORR_US, 500000000 },
        .sector = 512,
        .disk_bytes = (uint64_t)64 << 30,
        .stream_bytes_max = 4 << 20,
        .wire_bytes_max = 256 << 10,
        .data_bytes_max = 64 << 10,
        .stream_timeout = 10 * ORR_SECOND,
        .wall_start = 1700000000 * ORR_SECOND,
        .log_level = ORR_LOG_INFO,
    };
    orr_sim_faults_init(&config->faults);
}

static bool config_fits(const struct orr_sim_config *c) {
    return c->size == sizeof *c && c->nodes_max >= 1 && c->nodes_max <= 1024 &&
           (c->sector == 512 || c->sector == 4096) && c->stream_bytes_max >= 1024 && c->wire_bytes_max >= 1024 &&
           c->data_bytes_max >= 1 && c->data_bytes_max <= UINT32_MAX && c->stream_timeout > 0;
}

int orr_sim_new(struct orr_sim **out, const struct orr_sim_config *config) {
    if (!config_fits(config)) return ORR_EINVALID;
    const struct orr_alloc *alloc = config->alloc ? config->alloc : &orr_alloc_libc;
    struct orr_sim *sim = alloc->fn(alloc->ud, NULL, 0, sizeof *sim);
    if (!sim) return -ENOMEM;
    memset(sim, 0, sizeof *sim);
    sim->config = *config;
    sim->alloc = *alloc;
    sim->rates = config->faults;
    sim->flip = UINT64_MAX;
    sim->sites = config->nodes_max + 1;
    orri_heap_init(&sim->heap, &sim->alloc);
    orri_pool_init(&sim->ios, &sim->alloc, sizeof(struct orri_io));
    orri_pool_init(&sim->gram_pool, &sim->alloc, sizeof(struct orri_gram));
    orri_pool_init(&sim->call_pool, &sim->alloc, sizeof(struct orri_call));
    for (unsigned i = 0; i < ORRI_PIECE_CLASSES; i++) {
        orri_pool_init(&sim->pieces[i], &sim->alloc, sizeof(struct orri_piece) + piece_caps[i]);
    }
    sim->nodes = orri_sim_get(sim, config->nodes_max * sizeof(struct orri_node *));
    orri_links_init(sim);
    *out = sim;
    return 0;
}

static void rares_free(struct orr_sim *sim) {
    for (struct orri_rare_count *r = sim->rares, *next; r; r = next) {
        next = r->next;
        orri_sim_put_text(sim, r->name);
        orri_sim_put(sim, r, sizeof *r);
    }
}

static void listeners_free(struct orr_sim *sim) {
    for (struct orri_listener *l = sim->listeners, *next; l; l = next) {
        next = l->next;
        orri_sim_put_text(sim, l->address);
        orri_sim_put(sim, l, sizeof *l);
    }
}

static void disks_free(struct orr_sim *sim) {
    while (sim->disks) orri_disk_free(sim->disks);
}

void orr_sim_free(struct orr_sim *sim) {
    if (!sim) return;
    orri_chaos_free(sim);
    sim->config.life = NULL;
    sim->config.judge.life = NULL;
    sim->config.lost = NULL;
    while (sim->clients) orr_sim_client_free(sim->clients);
    for (unsigned i = 0; i < sim->n_nodes; i++) {
        if (sim->nodes[i]->state != ORR_SIM_DOWN)
            orri_node_end(sim->nodes[i], ORRI_STOPPED, false, 0, "end of the run");
    }
    for (unsigned i = 0; i < sim->n_nodes; i++) orri_node_clear(sim->nodes[i]);
    while (sim->conns) orri_conn_free(sim->conns);
    for (unsigned i = 0; i < ORRI_GRAVES; i++) orri_sim_put(sim, sim->graves[i], sizeof(struct orri_conn));
    while (sim->grams) orri_gram_free(sim, sim->grams);
    disks_free(sim);
    listeners_free(sim);
    rares_free(sim);
    orri_heap_clear(&sim->heap);                    /* before what its timers lie in */
    for (unsigned i = 0; i < ORRI_PIECE_CLASSES; i++) orri_pool_clear(&sim->pieces[i]);
    orri_pool_clear(&sim->call_pool);
    orri_pool_clear(&sim->gram_pool);
    orri_pool_clear(&sim->ios);
    orri_sim_put(sim, sim->links, (size_t)sim->sites * sim->sites * sizeof(struct orri_link));
    orri_sim_put(sim, sim->nodes, sim->config.nodes_max * sizeof(struct orri_node *));
    struct orr_alloc alloc = sim->alloc;
    alloc.fn(alloc.ud, sim, sizeof *sim, 0);
}

/* -- Stepping ---------------------------------------------------------------------------------------------------- */
void orri_sim_set(struct orr_sim *sim, struct orri_tick *tick, orr_time at) {
    ORRI_MUST(orri_heap_set(&sim->heap, &tick->timer, at) == 0);
}
void orri_sim_unset(struct orr_sim *sim, struct orri_tick *tick) { orri_heap_unset(&sim->heap, &tick->timer); }

static struct orri_node *next_runnable(struct orr_sim *sim) {
    struct orri_node *node = sim->runnable_first;
    if (!node) return NULL;
    sim->runnable_first = node->runnable_next;
    if (!sim->runnable_first) sim->runnable_last = NULL;
    node->runnable = false;
    return node;
}

static bool step(struct orr_sim *sim, orr_time until) {
    orr_time next = orri_heap_next(&sim->heap);
    if (next > sim->now) {
        struct orri_node *node = next_runnable(sim);
        if (node) {
            ORR_ASSERT(sim->turns_now < TURNS_AT_ONCE_MAX);
            sim->turns_now++;
            sim->steps++;
            orri_node_turn(node);
            return true;
        }
        if (next > until || next == ORR_NEVER) return false;
        sim->now = next;
        sim->turns_now = 0;
    }
    struct orr_timer *timer = orri_heap_due(&sim->heap, sim->now);
    struct orri_tick *tick = ORRI_CONTAINER(timer, struct orri_tick, timer);
    sim->steps++;
    tick->fire(tick);
    return true;
}

bool orr_sim_step(struct orr_sim *sim) { return step(sim, ORR_NEVER); }
bool orr_sim_step_until(struct orr_sim *sim, orr_time until) { return step(sim, until); }

void orr_sim_run(struct orr_sim *sim, orr_time until) {
    sim->stopped = false;
    while (!sim->stopped && step(sim, until)) continue;
    if (!sim->stopped && until != ORR_NEVER && sim->now < until) {
        sim->now = until;
        sim->turns_now = 0;
    }
}

void orr_sim_stop(struct orr_sim *sim) { sim->stopped = true; }
orr_time orr_sim_now(const struct orr_sim *sim) { return sim->now; }
uint64_t orr_sim_events(const struct orr_sim *sim) { return sim->events; }
uint64_t orr_sim_steps(const struct orr_sim *sim) { return sim->steps; }
uint64_t orr_sim_digest(const struct orr_sim *sim) { return sim->digest; }
const uint64_t *orr_sim_counts(const struct orr_sim *sim) { return sim->counts; }
void orr_sim_flip(struct orr_sim *sim, uint64_t nth) { sim->flip = nth; }

bool orr_sim_rare(const struct orr_sim *sim, size_t i, const char **name, uint64_t *offered, uint64_t *taken) {
    const struct orri_rare_count *r = sim->rares;
    for (; r && i > 0; i--) r = r->next;
    if (!r) return false;
    *name = r->name;
    *offered = r->offered;
    *taken = r->taken;
    return true;
}

/* -- Chance, digest, event log ----------------------------------------------------------------------------------- */
uint64_t orr_sim_seed(const struct orr_sim *sim, const char *use) {
    return orri_hash64(use, strlen(use), orri_mix64(sim->config.seed, 1));
}

void orri_sim_rng(const struct orr_sim *sim, struct orr_rng *rng, const char *use, const char *name) {
    uint64_t seed = orri_hash64(use, strlen(use), sim->config.seed);
    orri_rng_init(rng, orri_hash64(name, strlen(name), seed));
}

void orri_sim_carried(struct orr_sim *sim, void *at, size_t size) {
    if (sim->flip - sim->bytes < size) ((unsigned char *)at)[sim->flip - sim->bytes] ^= 1;
    sim->bytes += size;
}

void orri_sim_deliver(struct orr_sim *sim, unsigned node, unsigned kind, int status, const void *at, size_t size) {
    uint64_t what = (uint64_t)kind << 48 | (uint64_t)node << 32 | (uint32_t)status;
    uint64_t bytes = size ? orri_hash64(at, size, (uint64_t)sim->now) : (uint64_t)sim->now;
    sim->digest = orri_mix64(orri_mix64(sim->digest, what), bytes);
}

void orri_sim_count(struct orr_sim *sim, enum orr_sim_fault kind) { sim->counts[kind]++; }

void orri_sim_say(struct orr_sim *sim, const char *node, const char *format, ...) {
    char line[512];
    int size = snprintf(line, sizeof line, "%" PRId64 ".%09" PRId64 " %s ", sim->now / ORR_SECOND,
                        sim->now % ORR_SECOND, node);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + size, sizeof line - (size_t)size, format, args);
    va_end(args);
    size_t whole = (size_t)size + (more > 0 ? (size_t)more : 0);
    sim->config.event(sim->config.ud, line, whole < sizeof line ? whole : sizeof line - 1);
}

/* -- The harness's timers ---------------------------------------------------------------------------------------- */
static void call_fire(struct orri_tick *tick) {
    struct orri_call *call = ORRI_CONTAINER(tick, struct orri_call, tick);
    void (*fn)(void *ud) = call->fn;
    void *ud = call->ud;
    orri_pool_put(&call->sim->call_pool, call);
    fn(ud);
}

int orr_sim_at(struct orr_sim *sim, orr_time at, void (*fn)(void *ud), void *ud) {
    struct orri_call *call = orri_pool_get(&sim->call_pool);
    *call = (struct orri_call){ .tick = { .fire = call_fire }, .sim = sim, .fn = fn, .ud = ud };
    orri_sim_set(sim, &call->tick, at < sim->now ? sim->now : at);
    return 0;
}
