/* raft_codec.c - messages as bytes: a head, then the data of its entries or snapshot, untouched.
 *
 *     byte 0    type (enum orr_raft_type)
 *     byte 1    version, 1
 *     byte 2    flags: 1 forced, 2 granted, 4 want_reply, 8 success, 16 done, 32 promise, 64 dated
 *     varint    term
 *     then, by type, varints where not said otherwise (times: zigzag):
 *     prevote, vote      last_log_index, last_log_term; a vote: who asks (8 bytes, little-endian)
 *     vote_reply         whose request it answers (8 bytes), time
 *     append             prev_log_index, prev_log_term, leader_commit, round, time; dated: as_of_index, as_of_time;
 *                        number of entries (at most 256);
 *                        for each entry: term - the one before's (first: - prev_log_term), time - the one before's
 *                        (first: - the message's), kind, size of its data; then the data of all, end to end
 *     append_reply       match_index, prev_log_index, round, hint_index, hint_term
 *     snapshot           index, term, time, size, checksum (8 bytes, little-endian), offset, config (length, bytes);
 *                        then the data, up to the frame's end
 *     snapshot_reply     index, term, offset
 *     read               tag
 *     read_reply         tag, read_index, time
 *     prevote_reply, timeout_now: nothing
 *
 * A frame ends where its message does. Decoding is total, copies no data, and gives the one form that encoding
 * makes. */
#include "base/codec.h"
#include "internal.h"

enum { VERSION = 1, FORCED = 1, GRANTED = 2, WANT_REPLY = 4, SUCCESS = 8, DONE = 16,
       PROMISE = 32, DATED = 64 };

static void write_time(struct orr_writer *w, orr_time t) {
    orri_write_varint(w, ((uint64_t)t << 1) ^ (t < 0 ? UINT64_MAX : 0));
}

static orr_time read_time(struct orr_reader *rd) {
    uint64_t v = orri_read_varint(rd);
    return (orr_time)((v >> 1) ^ (0 - (v & 1)));
}

/* Differences wrap, so that they are total. */
static orr_time add_time(orr_time a, orr_time b) { return (orr_time)((uint64_t)a + (uint64_t)b); }
static orr_time sub_time(orr_time a, orr_time b) { return (orr_time)((uint64_t)a - (uint64_t)b); }

/* -- Writing ----------------------------------------------------------------------------------------------------- */
size_t orri_raft_head_size(const struct orr_raft_msg *m) {
    return 3 + 10 * ORR_VARINT_MAX + m->n_entries * 4 * ORR_VARINT_MAX + m->snapshot.config.size;
}

static void write_append(struct orr_writer *w, const struct orr_raft_msg *m) {
    orri_write_varint(w, m->prev_log_index);
    orri_write_varint(w, m->prev_log_term);
    orri_write_varint(w, m->leader_commit);
    orri_write_varint(w, m->round);
    write_time(w, m->time);
    if (m->as_of_time) {
        orri_write_varint(w, m->as_of_index);
        write_time(w, m->as_of_time);
    }
    orri_write_varint(w, m->n_entries);
    orr_term term = m->prev_log_term;
    orr_time time = m->time;
    for (size_t i = 0; i < m->n_entries; i++) {
        const struct orr_entry *e = &m->entries[i];
        orri_write_varint(w, e->term - term);
        write_time(w, sub_time(e->time, time));
        orri_write_varint(w, e->kind);
        orri_write_varint(w, e->data.size);
        term = e->term;
        time = e->time;
    }
}

static void write_append_reply(struct orr_writer *w, const struct orr_raft_msg *m) {
    orri_write_varint(w, m->match_index);
    orri_write_varint(w, m->prev_log_index);
    orri_write_varint(w, m->round);
    orri_write_varint(w, m->hint_index);
    orri_write_varint(w, m->hint_term);
}

static void write_snapshot(struct orr_writer *w, const struct orr_raft_msg *m) {
    orri_write_varint(w, m->snapshot.index);
    orri_write_varint(w, m->snapshot.term);
    if (m->type == ORR_RAFT_SNAPSHOT) {
        write_time(w, m->snapshot.time);
        orri_write_varint(w, m->snapshot.size);
        orri_write_u64(w, m->snapshot.checksum);
    }
    orri_write_varint(w, m->offset);
    if (m->type == ORR_RAFT_SNAPSHOT) orri_write_blob(w, m->snapshot.config.at, m->snapshot.config.size);
}

static void write_rest(struct orr_writer *w, const struct orr_raft_msg *m) {
    switch (m->type) {
    case ORR_RAFT_PREVOTE:
    case ORR_RAFT_VOTE:
        orri_write_varint(w, m->last_log_index);
        orri_write_varint(w, m->last_log_term);
        if (m->type == ORR_RAFT_VOTE) orri_write_u64(w, m->from);
        break;
    case ORR_RAFT_VOTE_REPLY:
        orri_write_u64(w, m->to);
        write_time(w, m->time);
        break;
    case ORR_RAFT_APPEND: write_append(w, m); break;
    case ORR_RAFT_APPEND_REPLY: write_append_reply(w, m); break;
    case ORR_RAFT_SNAPSHOT:
    case ORR_RAFT_SNAPSHOT_REPLY: write_snapshot(w, m); break;
    case ORR_RAFT_READ: orri_write_varint(w, m->tag); break;
    case ORR_RAFT_READ_REPLY:
        orri_write_varint(w, m->tag);
        orri_write_varint(w, m->read_index);
        write_time(w, m->time);
        break;
    case ORR_RAFT_PREVOTE_REPLY:
    case ORR_RAFT_TIMEOUT_NOW: break;
    }
}

size_t orri_raft_encode(const struct orr_raft_msg *m, unsigned char *out, size_t cap) {
    struct orr_writer w = orri_writer(out, cap);
    unsigned flags = (m->forced ? FORCED : 0u) | (m->granted ? GRANTED : 0u) | (m->want_reply ? WANT_REPLY : 0u) |
                     (m->success ? SUCCESS : 0u) | (m->done ? DONE : 0u) | (m->promise ? PROMISE : 0u) |
                     (m->as_of_time ? DATED : 0u);
    orri_write_u8(&w, (uint8_t)m->type);
    orri_write_u8(&w, VERSION);
    orri_write_u8(&w, (uint8_t)flags);
    orri_write_varint(&w, m->term);
    write_rest(&w, m);
    ORR_ASSERT(!w.failed);                  /* head_size says enough */
    return (size_t)(w.at - out);
}

/* -- Reading ----------------------------------------------------------------------------------------------------- */
static struct orr_slice part(struct orr_slice frame, const struct orr_reader *rd, size_t size) {
    return orr_part_of(frame, (size_t)(rd->at - frame.at), size);
}

static void read_entry(struct orr_reader *rd, struct orr_entry *e) {
    e->term += orri_read_varint(rd);
    e->time = add_time(e->time, read_time(rd));
    uint64_t kind = orri_read_varint(rd);
    uint64_t size = orri_read_varint(rd);
    if (kind > UINT32_MAX || size > orri_left(rd)) rd->failed = true;
    e->kind = (uint32_t)kind;
    e->data.size = (size_t)size;
}

static void read_append(struct orr_reader *rd, struct orr_slice frame, struct orr_raft_msg *m, bool dated,
                        struct orr_entry *entries) {
    m->prev_log_index = orri_read_varint(rd);
    m->prev_log_term = orri_read_varint(rd);
    m->leader_commit = orri_read_varint(rd);
    m->round = orri_read_varint(rd);
    m->time = read_time(rd);
    if (dated) {
        m->as_of_index = orri_read_varint(rd);
        m->as_of_time = read_time(rd);
        if (m->as_of_time == 0) rd->failed = true;
    }
    uint64_t n = orri_read_varint(rd);
    if (n > ORR_RAFT_ENTRIES_MAX) rd->failed = true;
    if (!entries) {
        orri_read_bytes(rd, orri_left(rd));
        return;
    }
    struct orr_entry e = { .index = m->prev_log_index, .term = m->prev_log_term, .time = m->time };
    for (size_t i = 0; i < n && !rd->failed; i++) {
        e.index++;
        read_entry(rd, &e);
        entries[i] = e;
    }
    for (size_t i = 0; i < n && !rd->failed; i++) {
        size_t size = entries[i].data.size;
        entries[i].data = part(frame, rd, size);
        orri_read_bytes(rd, size);
    }
    m->entries = entries;
    m->n_entries = (size_t)n;
}

static void read_append_reply(struct orr_reader *rd, struct orr_raft_msg *m) {
    m->match_index = orri_read_varint(rd);
    m->prev_log_index = orri_read_varint(rd);
    m->round = orri_read_varint(rd);
    m->hint_index = orri_read_varint(rd);
    m->hint_term = orri_read_varint(rd);
}

static void read_snapshot(struct orr_reader *rd, struct orr_slice frame, struct orr_raft_msg *m) {
    m->snapshot.index = orri_read_varint(rd);
    m->snapshot.term = orri_read_varint(rd);
    if (m->type == ORR_RAFT_SNAPSHOT) {
        m->snapshot.time = read_time(rd);
        m->snapshot.size = orri_read_varint(rd);
        m->snapshot.checksum = orri_read_u64(rd);
    }
    m->offset = orri_read_varint(rd);
    if (m->type != ORR_RAFT_SNAPSHOT) return;
    struct orr_slice config = orri_read_blob(rd, ORR_CONFIG_MAX);
    m->snapshot.config = config.size ? orr_part_of(frame, (size_t)(config.at - frame.at), config.size) : config;
    m->data = part(frame, rd, orri_left(rd));
    orri_read_bytes(rd, m->data.size);
}

static bool read_rest(struct orr_reader *rd, struct orr_slice frame, struct orr_raft_msg *m, bool dated,
                      struct orr_entry *entries) {
    switch (m->type) {
    case ORR_RAFT_PREVOTE:
    case ORR_RAFT_VOTE:
        m->last_log_index = orri_read_varint(rd);
        m->last_log_term = orri_read_varint(rd);
        if (m->type == ORR_RAFT_VOTE) m->from = orri_read_u64(rd);
        return true;
    case ORR_RAFT_VOTE_REPLY:
        m->to = orri_read_u64(rd);
        m->time = read_time(rd);
        return true;
    case ORR_RAFT_APPEND: read_append(rd, frame, m, dated, entries); return true;
    case ORR_RAFT_APPEND_REPLY: read_append_reply(rd, m); return true;
    case ORR_RAFT_SNAPSHOT:
    case ORR_RAFT_SNAPSHOT_REPLY: read_snapshot(rd, frame, m); return true;
    case ORR_RAFT_READ: m->tag = orri_read_varint(rd); return true;
    case ORR_RAFT_READ_REPLY:
        m->tag = orri_read_varint(rd);
        m->read_index = orri_read_varint(rd);
        m->time = read_time(rd);
        return true;
    case ORR_RAFT_PREVOTE_REPLY:
    case ORR_RAFT_TIMEOUT_NOW: return true;
    }
    return false;
}

int orri_raft_decode(struct orr_slice frame, struct orr_raft_msg *m, struct orr_entry *entries) {
    struct orr_reader rd = orri_reader(frame.at, frame.size);
    *m = (struct orr_raft_msg){ .type = (enum orr_raft_type)orri_read_u8(&rd) };
    unsigned version = orri_read_u8(&rd), flags = orri_read_u8(&rd);
    m->forced = flags & FORCED;
    m->granted = flags & GRANTED;
    m->want_reply = flags & WANT_REPLY;
    m->success = flags & SUCCESS;
    m->done = flags & DONE;
    m->promise = flags & PROMISE;
    m->term = orri_read_varint(&rd);
    bool dated = flags & DATED;
    if (version != VERSION || flags >= 2 * DATED || (dated && m->type != ORR_RAFT_APPEND)) return ORR_EINVALID;
    if (!read_rest(&rd, frame, m, dated, entries)) return ORR_EINVALID;
    return rd.failed || orri_left(&rd) != 0 ? ORR_EINVALID : 0;
}
