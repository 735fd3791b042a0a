/* raft_config.c - who is a member: the entries of kind CONFIG, and the founding one.
 *
 *     byte 0      version, 1
 *     varint      number of members, 1..64; for each, sorted by id:
 *       8 bytes   id, little-endian
 *       1 byte    seats: 1 voter, 2 voter of the outgoing half of a joint configuration, 4 learner
 *       blob      name: varint length (1..255), bytes
 *
 * The founding configuration. On an empty disk every founder writes the same entry: index 1, term 1, log time 0,
 * and goes into term 1 without a vote. It counts as committed at once, on all. This is safe: nobody can lead term
 * 1, since who stands does so in a later term; all founders' entries are equal byte for byte (nodes whose files
 * differ have another cluster id, which the handshake refuses); so every log that there will ever be in the
 * cluster begins with it, as if it had been replicated to all before the first election. */
#include "base/codec.h"
#include "internal.h"

static int add(struct orri_raft_members *out, const struct orr_member *list, size_t n, unsigned seat) {
    for (size_t i = 0; i < n; i++) {
        if (out->n == ORRI_RAFT_MEMBERS_MAX || list[i].id == ORR_NOBODY) return ORR_EINVALID;
        size_t at = out->n;
        while (at > 0 && out->at[at - 1].id > list[i].id) at--;
        if (at > 0 && out->at[at - 1].id == list[i].id) return ORR_EINVALID;
        memmove(&out->at[at + 1], &out->at[at], (out->n - at) * sizeof out->at[0]);
        out->at[at].id = list[i].id;
        out->at[at].seats = seat;
        out->n++;
    }
    return 0;
}

int orri_raft_config_members(const struct orr_raft_config *cfg, struct orri_raft_members *out) {
    out->n = 0;
    int rc = add(out, cfg->order.voters, cfg->order.n_voters, ORR_RAFT_VOTER);
    return rc ? rc : add(out, cfg->learners, cfg->n_learners, ORR_RAFT_LEARNER);
}

static const char *name_of(const struct orr_raft_config *cfg, orr_id id) {
    for (size_t i = 0; i < cfg->order.n_voters; i++)
        if (cfg->order.voters[i].id == id) return cfg->order.voters[i].name;
    for (size_t i = 0; i < cfg->n_learners; i++)
        if (cfg->learners[i].id == id) return cfg->learners[i].name;
    return NULL;
}

int orr_raft_config_encode(const struct orr_raft_config *cfg, unsigned char *out, size_t *size) {
    struct orri_raft_members members;
    int rc = orri_raft_config_members(cfg, &members);
    if (rc) return rc;
    struct orr_writer w = orri_writer(out, ORR_CONFIG_MAX);
    orri_write_u8(&w, 1);
    orri_write_varint(&w, members.n);
    for (size_t i = 0; i < members.n; i++) {
        const char *name = name_of(cfg, members.at[i].id);
        if (!name || !*name || strlen(name) > ORRI_RAFT_NAME_MAX) return ORR_EINVALID;
        orri_write_u64(&w, members.at[i].id);
        orri_write_u8(&w, (uint8_t)members.at[i].seats);
        orri_write_blob(&w, name, strlen(name));
    }
    *size = (size_t)(w.at - out);
    return w.failed ? ORR_EINVALID : 0;
}

int orri_raft_config_decode(struct orr_slice config, struct orri_raft_members *out) {
    struct orr_reader rd = orri_reader(config.at, config.size);
    bool ok = orri_read_u8(&rd) == 1;
    uint64_t n = orri_read_varint(&rd);
    if (!ok || rd.failed || n == 0 || n > ORRI_RAFT_MEMBERS_MAX) return ORR_ECORRUPT;
    for (out->n = 0; out->n < n; out->n++) {
        orr_id id = orri_read_u64(&rd);
        unsigned seats = orri_read_u8(&rd);
        struct orr_slice name = orri_read_blob(&rd, ORRI_RAFT_NAME_MAX);
        if (rd.failed || name.size == 0 || id == ORR_NOBODY || seats == 0 || seats > 7) return ORR_ECORRUPT;
        if (out->n > 0 && id <= out->at[out->n - 1].id) return ORR_ECORRUPT;
        out->at[out->n].id = id;
        out->at[out->n].seats = seats;
    }
    return orri_left(&rd) == 0 ? 0 : ORR_ECORRUPT;
}
