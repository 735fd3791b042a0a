/* link.c - the ways between sites: delay, bandwidth, cuts, stalls; and datagrams, which have nothing else.
 *
 * A site is a node, or all clients together (site 0). Each direction between two sites is a link with a random stream
 * of its own. A cut holds what flies (a stream's piece is retransmitted after the cut, a datagram is lost). */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "sim/room.h"

struct orri_link *orri_link_of(const struct orr_sim *sim, unsigned from, unsigned to) {
    return &sim->links[(size_t)from * sim->sites + to];
}

const char *orri_site_name(const struct orr_sim *sim, unsigned site) {
    return site == ORRI_SITE_CLIENTS ? ORR_SIM_CLIENTS : sim->nodes[site - 1]->name;
}

void orri_links_init(struct orr_sim *sim) {
    sim->links = orri_sim_get(sim, (size_t)sim->sites * sim->sites * sizeof *sim->links);
    for (unsigned i = 0; i < sim->sites * sim->sites; i++) {
        unsigned char place[4] = { (unsigned char)(i / sim->sites), (unsigned char)(i / sim->sites >> 8),
                                   (unsigned char)(i % sim->sites), (unsigned char)(i % sim->sites >> 8) };
        sim->links[i].p = sim->config.link;
        orri_rng_init(&sim->links[i].rng, orri_hash64(place, sizeof place, orr_sim_seed(sim, "link")));
    }
}

static bool is_cut(const struct orri_link *link) { return link->cut || link->cuts > 0; }

orr_time orri_link_arrival(struct orr_sim *sim, unsigned from, unsigned to, size_t size) {
    struct orri_link *link = orri_link_of(sim, from, to);
    orr_time start = sim->now;
    uint64_t bandwidth = orri_link_bandwidth(link);
    if (bandwidth > 0) {
        if (link->busy_until > start) start = link->busy_until;
        start += (orr_time)((double)size / (double)bandwidth * (double)ORR_SECOND);
        link->busy_until = start;
    }
    orr_time jitter = link->p.jitter + link->more_jitter;
    if (link->slow > 0) jitter = jitter * 4 + ORR_MS;
    return start + link->p.delay + link->more_delay + orri_expo(&link->rng, jitter) + 1;
}

bool orri_link_passes(const struct orr_sim *sim, unsigned from, unsigned to, orr_time *again) {
    const struct orri_link *link = orri_link_of(sim, from, to);
    *again = link->stalled_until > sim->now ? link->stalled_until : ORR_NEVER;
    if (is_cut(link) || link->stalled_until > sim->now) return false;
    return to == ORRI_SITE_CLIENTS || to > sim->n_nodes || !sim->nodes[to - 1]->silent;
}

/* A fault of the link's own; no draw where it has none. */
bool orri_link_strikes(struct orr_sim *sim, struct orri_link *link, double rate, enum orr_sim_fault kind) {
    if (!(rate > 0) || !orri_rng_chance(&link->rng, rate)) return false;
    orri_sim_count(sim, kind);
    return true;
}

/* One bit of one byte, or of two or three. */
void orri_mutate(struct orr_rng *rng, void *bytes, size_t size) {
    unsigned char *at = bytes;
    for (uint64_t n = 1 + orri_rng_below(rng, 3); size > 0 && n > 0; n--)
        at[orri_rng_below(rng, size)] ^= (unsigned char)(1u << orri_rng_below(rng, 8));
}

orr_time orri_link_again(struct orr_sim *sim, unsigned from, unsigned to) {
    struct orri_link *link = orri_link_of(sim, from, to);
    if (!orri_link_strikes(sim, link, link->p.loss, ORR_SIM_LOSS)) return 0;
    return orri_rng_between(&link->rng, ORR_MS, 200 * ORR_MS);
}

/* -- Datagrams --------------------------------------------------------------------------------------------------- */
void orri_gram_free(struct orr_sim *sim, struct orri_gram *gram) {
    orri_sim_unset(sim, &gram->tick);
    if (gram->prev) {
        gram->prev->next = gram->next;
    } else {
        sim->grams = gram->next;
    }
    if (gram->next) gram->next->prev = gram->prev;
    orri_pool_put(&sim->gram_pool, gram);
}

static void gram_fire(struct orri_tick *tick) {
    struct orri_gram *gram = ORRI_CONTAINER(tick, struct orri_gram, tick);
    if (gram->to->state == ORR_SIM_DOWN) {
        orri_gram_free(gram->to->sim, gram);
        return;
    }
    gram->received = orri_clock_local(&gram->to->clock, gram->to->sim->now);
    orri_node_ready(gram->to, &gram->ready);
}

static struct orri_gram *gram_send(struct orri_node *from, struct orri_node *to, struct orr_slice data, orr_time at) {
    struct orr_sim *sim = from->sim;
    struct orri_gram *gram = orri_pool_get(&sim->gram_pool);
    memset(gram, 0, offsetof(struct orri_gram, bytes));
    gram->tick.fire = gram_fire;
    gram->ready.kind = ORRI_READY_GRAM;
    gram->to = to;
    gram->from = from->id;
    gram->size = data.size;
    if (data.size) memcpy(gram->bytes, data.at, data.size);
    gram->next = sim->grams;
    if (sim->grams) sim->grams->prev = gram;
    sim->grams = gram;
    orri_sim_set(sim, &gram->tick, at);
    return gram;
}

int orri_world_datagram(struct orr_world *w, orr_id to, struct orr_slice data) {
    struct orri_node *node = orri_node_of(w);
    struct orr_sim *sim = node->sim;
    ORR_ASSERT(node->in_turn);
    if (data.size > ORRI_DATAGRAM_MAX) return ORR_EINVALID;
    const char *address = orri_map_get(&node->peers, &to, sizeof to);
    if (!address) return -ENOENT;
    struct orri_listener *l = orri_listener_find(sim, address);
    orr_time again;
    if (!l || !l->open || !orri_link_passes(sim, node->site, l->node->site, &again)) return 0;
    struct orri_link *link = orri_link_of(sim, node->site, l->node->site);
    if (orri_strike(node, ORR_SIM_LOSS) || orri_link_strikes(sim, link, link->p.loss, ORR_SIM_LOSS)) return 0;
    orr_time at = orri_link_arrival(sim, node->site, l->node->site, data.size);
    if (orri_strike(node, ORR_SIM_REORDER) || orri_link_strikes(sim, link, link->p.reorder, ORR_SIM_REORDER))
        at += orri_rng_between(&node->ends_rng, 0, 20 * ORR_MS);
    struct orri_gram *gram = gram_send(node, l->node, data, at);
    if (orri_strike(node, ORR_SIM_MUTATE) || orri_link_strikes(sim, link, link->p.mutate, ORR_SIM_MUTATE))
        orri_mutate(&node->ends_rng, gram->bytes, gram->size);
    if (orri_strike(node, ORR_SIM_REPLAY) || orri_link_strikes(sim, link, link->p.replay, ORR_SIM_REPLAY))
        gram_send(node, l->node, data, at + orri_rng_between(&node->ends_rng, ORR_MS, ORR_SECOND));
    if (orri_strike(node, ORR_SIM_DUPLICATE) || orri_link_strikes(sim, link, link->p.duplicate, ORR_SIM_DUPLICATE)) {
        gram_send(node, l->node, data, orri_link_arrival(sim, node->site, l->node->site, data.size));
    }
    return 0;
}

struct orr_req *orri_gram_take(struct orri_gram *gram) {
    struct orri_node *node = gram->to;
    struct orr_sim *sim = node->sim;
    struct orr_datagram *out = &node->datagram;
    node->lent = true;
    node->memory.never_fails = true;
    struct orr_chunk *chunk = node->world.chunks->get(node->world.chunks, gram->size ? gram->size : 1);
    node->memory.never_fails = false;
    ORR_ASSERT(chunk != NULL);
    memcpy(chunk->at, gram->bytes, gram->size);
    orri_sim_carried(sim, chunk->at, gram->size);
    *out = (struct orr_datagram){
        .req = { .op = ORR_OP_DATAGRAM, .begun = node->now, .ended = node->now, .result = gram->size },
        .from = gram->from,
        .data = { chunk, chunk->at, gram->size },
        .received = gram->received,
        .kernel_stamp = true
    };
    orri_sim_deliver(sim, node->index, ORR_OP_DATAGRAM, 0, chunk->at, gram->size);
    ORRI_SAY(sim, node->name, "DATAGRAM %zu", gram->size);
    orri_gram_free(sim, gram);
    return &out->req;
}

/* -- Public ------------------------------------------------------------------------------------------------------ */
enum { ANY = -1, UNKNOWN = -2 };

static int site_of(const struct orr_sim *sim, const char *name) {
    if (!name) return ANY;
    if (strcmp(name, ORR_SIM_CLIENTS) == 0) return ORRI_SITE_CLIENTS;
    const struct orri_node *node = orri_node_find(sim, name);
    return node ? (int)node->site : UNKNOWN;
}

/* One order to every link from `from` to `to`. */
struct order {
    const struct orr_sim_link *link;
    int cut;                        /* 1, 0; -1: as it is */
    orr_time stalled_until;         /* 0: as it is */
    const uint64_t *slow;
};

static void say_cut(struct orr_sim *sim, unsigned from, unsigned to, bool was) {
    bool is = is_cut(orri_link_of(sim, from, to));
    if (is == was) return;
    const struct orr_sim_config *c = &sim->config;
    ORRI_SAY(sim, orri_site_name(sim, from), "%s %s", is ? "CUT" : "UNCUT", orri_site_name(sim, to));
    if (c->cut) c->cut(c->ud, sim->now, orri_site_name(sim, from), orri_site_name(sim, to), is);
    if (!is) orri_wire_rearm(sim, from, to);
}

void orri_link_cut(struct orr_sim *sim, const struct orri_node *from, const struct orri_node *to, bool on) {
    struct orri_link *link = orri_link_of(sim, from->site, to->site);
    bool was = is_cut(link);
    if (on) link->cuts++;
    else if (link->cuts > 0) link->cuts--;
    say_cut(sim, from->site, to->site, was);
}

static void obey(struct orr_sim *sim, unsigned from, unsigned to, const struct order *order) {
    struct orri_link *link = orri_link_of(sim, from, to);
    if (order->link) link->p = *order->link;
    bool sooner = order->stalled_until > 0 && order->stalled_until < link->stalled_until;
    if (order->stalled_until) link->stalled_until = order->stalled_until;
    if (sooner) orri_wire_rearm(sim, from, to);     /* what waits for the end of the longer stall */
    if (order->slow) link->slow = *order->slow;
    bool was = is_cut(link);
    if (order->cut >= 0) link->cut = order->cut == 1;
    say_cut(sim, from, to, was);
}

static int command(struct orr_sim *sim, const char *from, const char *to, const struct order *order) {
    int a = site_of(sim, from);
    int b = site_of(sim, to);
    if (a == UNKNOWN || b == UNKNOWN) return -ENOENT;
    for (int i = 0; i <= (int)sim->n_nodes; i++) {
        for (int k = 0; k <= (int)sim->n_nodes; k++) {
            if (i != k && (a == ANY || a == i) && (b == ANY || b == k)) obey(sim, (unsigned)i, (unsigned)k, order);
        }
    }
    return 0;
}

int orr_sim_link(struct orr_sim *sim, const char *from, const char *to, const struct orr_sim_link *link) {
    bool rates = link->loss >= 0 && link->loss <= 1 && link->duplicate >= 0 && link->duplicate <= 1 &&
                 link->reorder >= 0 && link->reorder <= 1 && link->mutate >= 0 && link->mutate <= 1 &&
                 link->replay >= 0 && link->replay <= 1;
    if (link->delay < 0 || link->jitter < 0 || !rates) return ORR_EINVALID;
    return command(sim, from, to, &(struct order){ .link = link, .cut = -1 });
}

int orr_sim_link_now(const struct orr_sim *sim, const char *from, const char *to, struct orr_sim_link *out, bool *cut) {
    int a = site_of(sim, from);
    int b = site_of(sim, to);
    if (a < 0 || b < 0) return -ENOENT;
    const struct orri_link *link = orri_link_of(sim, (unsigned)a, (unsigned)b);
    *out = link->p;
    if (cut) *cut = is_cut(link);
    return 0;
}
int orr_sim_cut(struct orr_sim *sim, const char *from, const char *to) {
    return command(sim, from, to, &(struct order){ .cut = 1 });
}
int orr_sim_uncut(struct orr_sim *sim, const char *from, const char *to) {
    return command(sim, from, to, &(struct order){ .cut = 0 });
}
int orr_sim_slow(struct orr_sim *sim, const char *from, const char *to, uint64_t bandwidth) {
    return command(sim, from, to, &(struct order){ .cut = -1, .slow = &bandwidth });
}
int orr_sim_stall(struct orr_sim *sim, const char *from, const char *to, orr_time until) {
    return command(sim, from, to, &(struct order){ .cut = -1, .stalled_until = until });
}

void orr_sim_partition(struct orr_sim *sim, uint64_t side) {
    for (unsigned i = 0; i < sim->n_nodes; i++) {
        for (unsigned k = 0; k < sim->n_nodes; k++) {
            bool apart = (side >> i & 1) != (side >> k & 1);
            if (apart) obey(sim, i + 1, k + 1, &(struct order){ .cut = 1 });
        }
    }
}

/* Both wires lose what flies on them but a prefix; then each end learns of it. */
int orr_sim_reset(struct orr_sim *sim, const char *a, const char *b) {
    int x = site_of(sim, a);
    int y = site_of(sim, b);
    if (x < 0 || y < 0) return -ENOENT;
    for (struct orri_conn *conn = sim->conns; conn; conn = conn->next) {
        int from = (int)conn->end[0].site;
        int to = (int)conn->end[1].site;
        if (!((from == x && to == y) || (from == y && to == x))) continue;
        for (unsigned i = 0; i < 2; i++) {
            if (conn->end[i].finished || conn->end[i].over) continue;
            orri_pieces_clear(sim, &conn->end[i].queue[0]);
            orri_pieces_clear(sim, &conn->end[i].queue[1]);
            orri_wire_break(&conn->end[i], -ECONNRESET);
        }
    }
    return 0;
}

void orr_sim_heal_links(struct orr_sim *sim) {
    uint64_t none = 0;
    struct order order = { .link = &sim->config.link, .cut = 0, .stalled_until = sim->now > 0 ? sim->now : 1,
                           .slow = &none };
    for (unsigned i = 0; i < sim->sites * sim->sites; i++) {
        struct orri_link *link = &sim->links[i];
        link->more_delay = link->more_jitter = 0;
        if (link->cuts > 0) link->cut = true;       /* the order mends it, and tells */
        link->cuts = 0;
    }
    (void)command(sim, NULL, NULL, &order);
}
