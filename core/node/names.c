/* names.c - declaring a node: its config, its groups and listeners, before it starts; and looking names up.
 *
 * The founding configuration is text: one line for the cluster, one for each group, sorted, with its voters sorted. Its
 * hash is the cluster id, so what is not in it (addresses, who else is in the file) may change freely.               */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "node/inner.h"

void orr_node_config_init(struct orr_node_config *cfg) {
    *cfg = (struct orr_node_config){
        .size = sizeof *cfg,
        .message_bytes_max = 1 << 20,
        .op_bytes_max = (8 << 20) + (64 << 10),
        .memory_bytes_max = 256 << 20,
        .connections_max = 10000,
        .call = 2 * ORR_SECOND,
        .election = 250 * ORR_MS,
        .heartbeat = 50 * ORR_MS,
        .segment_bytes = 64 << 20,
        .snapshot_bytes = 256 << 20,
        .client_bytes_max = 256 << 20,
        .clients_bytes_max = 256 << 20,
        .calls_max = 1000,
        .peer_bytes_max = 16 << 20,
        .visitors_max = 100,
        .clock = { .mode = ORR_CLOCK_NTP, .bound_max = 100 * ORR_MS, .drift_max_ppb = 500000,
                   .skew_max = 500 * ORR_MS },
    };
    orr_membership_config_init(&cfg->members.with);
}

char *orri_node_copy(const struct orr_node *n, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = orri_node_resize(n, NULL, 0, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

void orri_node_drop_text(const struct orr_node *n, char *text) {
    if (text) orri_node_resize(n, text, strlen(text) + 1, 0);
}

static bool name_fits(const char *name) {
    size_t size = name ? strlen(name) : 0;
    return size > 0 && size <= ORRI_NAME_MAX;
}

static const char *wrong_field(const struct orr_node_config *cfg) {
    if (!name_fits(cfg->cluster)) return "cluster";
    if (!name_fits(cfg->id)) return "id";
    if (!cfg->nodes || cfg->n_nodes == 0) return "nodes";
    bool found = false;
    for (size_t i = 0; i < cfg->n_nodes; i++) {
        if (!name_fits(cfg->nodes[i].id) || !cfg->nodes[i].address) return "nodes";
        found = found || strcmp(cfg->nodes[i].id, cfg->id) == 0;
    }
    if (!found) return "id: no such node";
    if (cfg->message_bytes_max < 1024 || cfg->message_bytes_max > (1u << 30)) return "message_bytes_max";
    if (cfg->op_bytes_max < 64 || cfg->op_bytes_max > (1u << 30)) return "op_bytes_max";
    if (cfg->memory_bytes_max < cfg->op_bytes_max + (1 << 16)) return "memory_bytes_max";
    if (cfg->call <= 0) return "call";
    if (cfg->calls_max == 0) return "calls_max";
    if (cfg->peer_bytes_max < cfg->message_bytes_max + 1024) return "peer_bytes_max";
    if (cfg->clock.mode != ORR_CLOCK_NTP && cfg->clock.mode != ORR_CLOCK_PACEMAKER) return "clock.mode";
    if (cfg->clock.n_ntp > ORRI_SERVERS_MAX) return "clock.ntp";
    for (size_t i = 0; i < cfg->clock.n_ntp; i++)
        if (!cfg->clock.ntp[i] || strlen(cfg->clock.ntp[i]) > ORRI_SERVER_NAME_MAX) return "clock.ntp";
    if (cfg->clock.bound_max <= 0) return "clock.bound_max";
    if (cfg->clock.discipline && cfg->clock.n_ntp == 0) return "clock.discipline without clock.ntp";
    if (cfg->clock.skew_max < 0) return "clock.skew_max";
    if (cfg->clock.drift_max_ppb == 0 || cfg->clock.drift_max_ppb > 1000000) return "clock.drift_max_ppb";
    struct orr_membership_config members = cfg->members.with;
    members.self.name = cfg->id;
    const char *wrong = orr_membership_wrong(&members);
    if (wrong) return wrong;
    if (cfg->members.n_keys > ORR_MEMBERSHIP_KEYS_MAX) return "members.keys";
    if (cfg->members.zone && strlen(cfg->members.zone) > ORR_MEMBER_ZONE_MAX) return "members.zone";
    if (cfg->heartbeat <= 0 || cfg->election <= cfg->heartbeat) return "election";
    return NULL;
}

static int by_id(const void *a, const void *b) {
    const struct orri_peer *const *x = a, *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* ORR_EINVALID: two of one name. */
static int index_peers(struct orr_node *n) {
    n->by_id = orri_node_resize(n, NULL, 0, n->cfg.n_nodes * sizeof *n->by_id);
    if (!n->by_id) return -ENOMEM;
    for (size_t i = 0; i < n->n_peers; i++) {
        n->by_id[i] = &n->peers[i];
        if (n->peers[i].id == n->id) n->me = &n->peers[i];
    }
    qsort(n->by_id, n->n_peers, sizeof *n->by_id, by_id);
    for (size_t i = 1; i < n->n_peers; i++) {
        if (n->by_id[i]->id == n->by_id[i - 1]->id) return ORR_EINVALID;
    }
    return 0;
}

static int add_peers(struct orr_node *n, const struct orr_node_config *cfg) {
    n->peers = orri_node_resize(n, NULL, 0, cfg->n_nodes * sizeof *n->peers);
    if (!n->peers) return -ENOMEM;
    memset(n->peers, 0, cfg->n_nodes * sizeof *n->peers);
    for (size_t i = 0; i < cfg->n_nodes; i++) {
        struct orri_peer *p = &n->peers[i];         /* this node is among them: a look-up by position stays one */
        n->n_peers++;
        p->node = n;
        p->id = orr_id_of(cfg->nodes[i].id);
        p->name = orri_node_copy(n, cfg->nodes[i].id);
        p->address = orri_node_copy(n, cfg->nodes[i].address);
        p->linked = cfg->nodes[i].link && p->id != n->id;
        if (!p->name || !p->address) return -ENOMEM;
    }
    return index_peers(n);
}

/* A server has an id, too: to the world it is a peer. */
static int add_servers(struct orr_node *n, const struct orr_node_config *cfg) {
    if (cfg->clock.n_ntp == 0) return 0;
    n->servers = orri_node_resize(n, NULL, 0, cfg->clock.n_ntp * sizeof *n->servers);
    if (!n->servers) return -ENOMEM;
    for (size_t i = 0; i < cfg->clock.n_ntp; i++) {
        struct orri_ntp_server *s = &n->servers[n->n_servers++];
        (void)snprintf(s->address, sizeof s->address, "%s", cfg->clock.ntp[i]);
        s->id = orr_id_of(s->address);              /* no node's: theirs have no colon */
    }
    return 0;
}

static int keep_members(struct orr_node *n, const struct orr_node_membership *members) {
    n->zone = orri_node_copy(n, members->zone ? members->zone : "");
    for (size_t i = 0; i < members->n_keys; i++) memcpy(n->keys[n->n_keys++], members->keys[i], sizeof n->keys[0]);
    n->cfg.members.zone = n->zone;
    n->cfg.members.keys = NULL;
    n->cfg.members.n_keys = 0;
    return n->zone ? 0 : -ENOMEM;
}

int orr_node_new(struct orr_node **out, struct orr_world *w, const struct orr_node_config *cfg, const char **why) {
    const char *wrong = wrong_field(cfg);
    if (why) *why = wrong;
    if (wrong) return ORR_EINVALID;
    struct orr_node *n = w->alloc.fn(w->alloc.ud, NULL, 0, sizeof *n);
    if (!n) return -ENOMEM;
    *n = (struct orr_node){ .w = w, .alloc = &w->alloc, .cfg = *cfg, .id = orr_id_of(cfg->id) };
    orri_node_init(n);
    n->cluster = orri_node_copy(n, cfg->cluster);
    n->name = orri_node_copy(n, cfg->id);
    int rc = n->cluster && n->name ? orri_slots_ensure(&n->slots) : -ENOMEM;
    if (rc == 0) rc = keep_members(n, &cfg->members);
    if (rc == 0) rc = add_peers(n, cfg);
    n->cfg.clock.ntp = NULL;
    n->cfg.clock.n_ntp = 0;
    if (rc == 0) rc = add_servers(n, cfg);
    if (rc < 0) {
        if (rc == ORR_EINVALID && why) *why = "nodes: two of one name";
        orr_node_free(n);
        return rc;
    }
    n->cfg.cluster = n->cluster;
    n->cfg.id = n->name;
    n->cfg.nodes = NULL;
    *out = n;
    return 0;
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */
static struct orri_peer *find(const struct orr_node *n, orr_id id) {
    size_t from = 0, to = n->n_peers;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (n->by_id[middle]->id == id) return n->by_id[middle];
        if (n->by_id[middle]->id < id) from = middle + 1;
        else to = middle;
    }
    return NULL;
}

struct orri_peer *orri_names_peer(struct orr_node *n, orr_id id) { return find(n, id); }

const char *orri_names_name(const struct orr_node *n, orr_id id) {
    const struct orri_peer *p = find(n, id);
    return p ? p->name : "?";
}

struct orr_group *orr_node_group(struct orr_node *n, const char *name) {
    for (size_t i = 0; i < n->n_groups; i++) {
        if (strcmp(n->groups[i]->name, name) == 0) return n->groups[i];
    }
    return NULL;
}

struct orr_group *orr_node_group_at(struct orr_node *n, size_t i, const char **name) {
    if (i >= n->n_groups) return NULL;
    *name = n->groups[i]->name;
    return n->groups[i];
}

/* -- Groups -------------------------------------------------------------------------------------------------------- */
static int add_voter(struct orr_group *g, const char *name) {
    struct orr_node *n = g->node;
    struct orri_peer *p = orri_names_peer(n, orr_id_of(name));
    if (!p) return ORR_EINVALID;
    if (g->n_voters == ORRI_VOTERS_MAX) return ORR_EOVERLOADED;
    size_t i = g->n_voters;
    for (; i > 0 && g->voters[i - 1].id >= p->id; i--) {
        if (g->voters[i - 1].id == p->id) return ORR_EINVALID;
        g->voters[i] = g->voters[i - 1];
    }
    g->voters[i] = (struct orr_member){ p->id, p->name };
    g->n_voters++;
    if (p->id == n->id) g->here = true;
    return 0;
}

static int add_voters(struct orr_group *g, const struct orr_group_spec *spec) {
    struct orr_node *n = g->node;
    size_t count = spec->on ? spec->n_on : n->n_peers < ORRI_VOTERS_MAX ? n->n_peers : ORRI_VOTERS_MAX;
    if (count == 0) return ORR_EINVALID;
    for (size_t i = 0; i < count; i++) {
        int rc = add_voter(g, spec->on ? spec->on[i] : n->peers[i].name);
        if (rc < 0) return rc;
    }
    return 0;
}

uint32_t orr_group_number(const char *name) {
    uint32_t h = (uint32_t)orri_hash64(name, strlen(name), 0);
    return h ? h : 1;
}

size_t orr_group_voters(const struct orr_group *g, const char **names, size_t max) {
    for (size_t i = 0; i < g->n_voters && i < max; i++) names[i] = g->voters[i].name;
    return g->n_voters;
}

void orr_group_trace(const struct orr_group *g, enum orr_trace_kind kind, const void *event, size_t size) {
    orri_trace(g, kind, event, size);
}

int orr_node_replicate(struct orr_node *n, const char *name, const struct orr_group_spec *spec,
                       struct orr_group **out) {
    if (!orri_node_open(n) || !name_fits(name) || !spec->order || !spec->machine) return ORR_EINVALID;
    if (n->n_groups == ORRI_GROUPS_MAX) return ORR_EOVERLOADED;
    for (size_t i = 0; i < n->n_groups; i++) {
        if (n->groups[i]->number == orr_group_number(name)) return ORR_ECONFLICT;
    }
    struct orr_group *g = orri_node_resize(n, NULL, 0, sizeof *g);
    if (!g) return -ENOMEM;
    *g = (struct orr_group){ .node = n, .number = orr_group_number(name), .order = spec->order,
                             .machine_ops = spec->machine, .machine_ud = spec->machine_ud,
                             .election = spec->election ? spec->election : n->cfg.election,
                             .heartbeat = spec->heartbeat ? spec->heartbeat : n->cfg.heartbeat,
                             .leases = spec->leases };
    orri_filter_init(&g->filter, n->alloc);
    g->name = orri_node_copy(n, name);
    int rc = g->name ? add_voters(g, spec) : -ENOMEM;
    if (rc < 0) {
        orri_group_delete(g);
        return rc;
    }
    n->groups[n->n_groups++] = g;
    *out = g;
    return 0;
}

struct orr_node *orri_group_node(const struct orr_group *g) { return g->node; }
const struct orr_machine_ops *orri_group_machine(const struct orr_group *g) { return g->machine_ops; }

/* -- The founding text --------------------------------------------------------------------------------------------- */
struct text {
    char *at;
    size_t size, cap;
    bool failed;
};

static void put(const struct orr_node *n, struct text *t, const char *s) {
    size_t size = strlen(s);
    if (t->size + size > t->cap) {
        size_t cap = 2 * (t->cap + size);
        char *at = orri_node_resize(n, t->at, t->cap, cap);
        t->failed = t->failed || !at;
        if (!at) return;
        t->at = at;
        t->cap = cap;
    }
    memcpy(t->at + t->size, s, size);
    t->size += size;
}

static void put_group(const struct orr_node *n, struct text *t, const struct orr_group *g) {
    const char *line[] = { "group ", g->name, " order ", g->order->name, " machine ", g->machine_ops->name, " voters" };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) put(n, t, line[i]);
    for (size_t i = 0; i < g->n_voters; i++) {
        put(n, t, " ");
        put(n, t, g->voters[i].name);
    }
    put(n, t, "\n");
}

int orri_names_founding(const struct orr_node *n, char **out, size_t *size) {
    struct text t = { 0 };
    put(n, &t, "cluster ");
    put(n, &t, n->cluster);
    put(n, &t, "\n");
    const char *last = "";
    for (size_t done = 0; done < n->n_groups; done++) {         /* by name: the next one after `last` */
        const struct orr_group *next = NULL;
        for (size_t i = 0; i < n->n_groups; i++) {
            const struct orr_group *g = n->groups[i];
            if (strcmp(g->name, last) > 0 && (!next || strcmp(g->name, next->name) < 0)) next = g;
        }
        put_group(n, &t, next);
        last = next->name;
    }
    char *exact = t.failed ? NULL : orri_node_resize(n, t.at, t.cap, t.size);
    if (!exact) {
        orri_node_resize(n, t.at, t.cap, 0);
        return -ENOMEM;
    }
    *out = exact;
    *size = t.size;
    return 0;
}
