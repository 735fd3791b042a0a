/* kv_cluster.h - a kv cluster of one to five nodes, made by the C API, for specs of the laboratory. */
#ifndef SPEC_LAB_KV_CLUSTER_H
#define SPEC_LAB_KV_CLUSTER_H

#include <orrery/lab.h>
#include <orrery/node.h>
#include <string.h>

static const struct orr_node_member kv_members[] = {
    { "a", "127.0.0.1:7401", true }, { "b", "127.0.0.1:7402", true }, { "c", "127.0.0.1:7403", true },
    { "d", "127.0.0.1:7404", true }, { "e", "127.0.0.1:7405", true },
};
static const struct orr_lab_node kv_places[] = {
    { .id = "a", .resp = "127.0.0.1:7501" }, { .id = "b", .resp = "127.0.0.1:7502" },
    { .id = "c", .resp = "127.0.0.1:7503" }, { .id = "d", .resp = "127.0.0.1:7504" },
    { .id = "e", .resp = "127.0.0.1:7505" },
};

struct kv_cluster {
    size_t n;
    uint64_t segment_bytes, snapshot_bytes;
    struct orr_node *nodes[5];      /* those that run, by their place */
    struct orr_group *groups[5];
};
/* So that segments are recycled and snapshots taken. */
#define KV_CLUSTER(size) { .n = (size), .segment_bytes = 1 << 20, .snapshot_bytes = 64 << 10 }

static inline size_t kv_place(const char *name) { return (size_t)(name[0] - 'a'); }

static inline int kv_start(void *ud, struct orr_world *w, const char *name) {
    struct kv_cluster *c = ud;
    struct orr_node_config cfg;
    struct orr_group_spec group = { .order = &orr_raft_order, .machine = &orr_kv_machine };
    const char *why = "";
    size_t i = kv_place(name);
    orr_node_config_init(&cfg);
    cfg.cluster = "kv";
    cfg.id = name;
    cfg.nodes = kv_members;
    cfg.n_nodes = c->n;
    cfg.segment_bytes = c->segment_bytes;
    cfg.snapshot_bytes = c->snapshot_bytes;
    int rc = orr_node_new(&c->nodes[i], w, &cfg, &why);
    if (rc == 0) rc = orr_node_replicate(c->nodes[i], "kv", &group, &c->groups[i]);
    if (rc == 0) rc = orr_node_listen(c->nodes[i], "resp", kv_places[i].resp, &orr_resp_service, c->groups[i]);
    return rc < 0 ? rc : orr_node_start(c->nodes[i]);
}

#endif
