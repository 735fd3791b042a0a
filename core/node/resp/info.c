/* info.c - INFO: figures of this node, its group and this machine, in Redis's form, its names where they mean the same.
 * */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node/inner.h"
#include "node/resp/resp.h"

struct text {
    char at[4096];
    size_t size;
};
typedef void (*section_fn)(struct orri_resp_conn *c, struct text *t);

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->size, sizeof t->at - t->size, format, args);
    va_end(args);
    if (n > 0) t->size = t->size + (size_t)n < sizeof t->at ? t->size + (size_t)n : sizeof t->at - 1;
}

static const char *role_of(enum orr_role role) {
    switch (role) {
    case ORR_LEADER: return "leader";
    case ORR_PRECANDIDATE: return "precandidate";
    case ORR_CANDIDATE: return "candidate";
    case ORR_LEARNER: return "learner";
    default: return "follower";
    }
}

static void server(struct orri_resp_conn *c, struct text *t) {
    add(t, "redis_version:7.0.15\r\nredis_mode:standalone\r\norrery_version:%s\r\narch_bits:%zu\r\n"
        "uptime_of_connection:%" PRId64 "\r\n",
        orr_version(), sizeof(void *) * 8, (orr_conn_now(c->conn) - c->since) / ORR_SECOND);
}

static void clients(struct orri_resp_conn *c, struct text *t) {
    struct orr_node_status s;
    size_t held, client_max, clients_max;
    orr_node_status(orr_conn_node(c->conn), &s);
    orr_conn_limits(c->conn, &held, &client_max, &clients_max);
    add(t, "connected_clients:%zu\r\nclients_shed:%" PRIu64 "\r\nclients_bytes:%zu\r\n"
        "clients_bytes_max:%zu\r\nclient_bytes_max:%zu\r\n",
        s.clients, s.clients_shed, held, clients_max, client_max);
}

static void memory(struct orri_resp_conn *c, struct text *t) {
    struct orr_machine_stats s;
    orri_group_machine_stats(c->group, &s);
    add(t, "used_memory_dataset:%" PRIu64 "\r\nmaxmemory:0\r\n", s.bytes);
}

static void stats(struct orri_resp_conn *c, struct text *t) {
    struct orr_node_status s;
    orr_node_status(orr_conn_node(c->conn), &s);
    add(t, "commands_of_connection:%" PRIu64 "\r\nframes_in:%" PRIu64 "\r\nframes_out:%" PRIu64 "\r\n"
        "frames_bad:%" PRIu64 "\r\n",
        c->n_commands, s.frames_in, s.frames_out, s.frames_bad);
    add(t, "peer_bytes_in:%" PRIu64 "\r\npeer_bytes_out:%" PRIu64 "\r\n", s.bytes_in, s.bytes_out);
}

/* To a client every node is a master: it may write anywhere. The group's own roles are orrery_... */
static void replication(struct orri_resp_conn *c, struct text *t) {
    struct orr_order_status s;
    const char *leader = orr_group_leader(c->group);
    add(t, "role:master\r\nconnected_slaves:0\r\norrery_group:%s\r\norrery_leader:%s\r\n", orr_group_name(c->group),
        leader ? leader : "");
    if (!orr_group_status(c->group, &s)) return;
    add(t, "orrery_role:%s\r\norrery_term:%" PRIu64 "\r\norrery_commit:%" PRIu64 "\r\norrery_applied:%" PRIu64 "\r\n",
        role_of(s.role), s.term, s.commit, s.applied);
    add(t, "orrery_first:%" PRIu64 "\r\norrery_last:%" PRIu64 "\r\norrery_stored:%" PRIu64 "\r\n"
        "orrery_snapshot:%" PRIu64 "\r\n",
        s.first, s.last, s.stored, s.snapshot);
    add(t, "orrery_digest:%016" PRIx64 "\r\norrery_corrupt:%d\r\n", orr_group_digest(c->group),
        orr_group_corrupt(c->group));
}

static void orrery(struct orri_resp_conn *c, struct text *t) {
    struct orr_node_status s;
    orr_node_status(orr_conn_node(c->conn), &s);
    add(t, "recovered:%d\r\nready:%d\r\nmay_vote:%d\r\ndisk_full:%d\r\npeers_up:%zu\r\n"
        "incarnation:%" PRIu32 "\r\ncluster:%016" PRIx64 "\r\n",
        s.recovered, s.ready, !s.disenfranchised, s.disk_full, s.peers_up, s.incarnation, s.cluster);
}

/* How long the loop's turns took: how many began at each power of two, in us; and what the world did for this node. */
static void loop(struct orri_resp_conn *c, struct text *t) {
    enum { OVER_8MS = 23 };         /* 2^23 ns */
    struct orr_world *w = orr_conn_node(c->conn)->w;
    struct orr_world_stats s;
    uint64_t over = 0;
    const char *comma = "";
    if (!w || !w->ops->stats || !w->ops->stats(w, &s)) return;
    add(t, "loop_turns:%" PRIu64 "\r\nloop_turns_by_us:", s.turns);
    for (size_t i = 0; i < sizeof s.turn_log2_ns / sizeof *s.turn_log2_ns; i++) {
        if (i > OVER_8MS) over += s.turn_log2_ns[i];
        if (s.turn_log2_ns[i] == 0) continue;
        add(t, "%s%" PRIu64 "=%" PRIu64, comma, (UINT64_C(1) << i) / 1000, s.turn_log2_ns[i]);
        comma = ",";
    }
    add(t, "\r\nloop_turns_over_8ms:%" PRIu64 "\r\nloop_turns_over_16ms:%" PRIu64 "\r\n",
        over + s.turn_log2_ns[OVER_8MS], over);
    add(t, "streams:%" PRIu64 "\r\nqueued_bytes:%" PRIu64 "\r\naccepted:%" PRIu64 "\r\nrefused:%" PRIu64 "\r\n",
        s.streams, s.queued_bytes, s.accepted, s.refused);
    add(t, "file_writes:%" PRIu64 "\r\nfile_syncs:%" PRIu64 "\r\nfile_syncs_in_loop:%" PRIu64 "\r\n"
        "file_sync_us:%" PRId64 "\r\n",
        s.writes, s.syncs, s.syncs_now, s.sync_time / ORR_US);
}

static void keyspace(struct orri_resp_conn *c, struct text *t) {
    struct orr_machine_stats s;
    orri_group_machine_stats(c->group, &s);
    if (s.keys > 0) add(t, "db0:keys=%" PRIu64 "\r\n", s.keys);
}

static const struct {
    const char *name, *title;
    section_fn fn;
    bool of_group;
} sections[] = {
    { "server", "Server", server, false },
    { "clients", "Clients", clients, false },
    { "memory", "Memory", memory, true },
    { "stats", "Stats", stats, false },
    { "replication", "Replication", replication, true },
    { "orrery", "Orrery", orrery, false },
    { "loop", "Loop", loop, false },
    { "keyspace", "Keyspace", keyspace, true },
};

static bool wanted(const struct orri_resp_conn *c, const char *name) {
    bool all = orri_resp_n(c) == 1;
    for (size_t i = 1; i < orri_resp_n(c); i++) {
        struct orr_slice word = orri_resp_at(c, i);
        if (orri_resp_is(word, name) || orri_resp_is(word, "all") || orri_resp_is(word, "everything") ||
            orri_resp_is(word, "default")) {
            all = true;
        }
    }
    return all;
}

void orri_resp_info(struct orri_resp_conn *c, const struct orri_resp_command *cmd) {
    struct text t = { .size = 0 };
    (void)cmd;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!wanted(c, sections[i].name) || (sections[i].of_group && !c->group)) continue;
        add(&t, "%s# %s\r\n", t.size ? "\r\n" : "", sections[i].title);
        sections[i].fn(c, &t);
    }
    orri_resp_begin(c, 0);
    orri_resp_verbatim(c, t.at, t.size);
    orri_resp_end(c, 0);
}
