/* raft_glance.c - what a message is, by its first bytes, for those who look on (format in raft_codec.c).
 *
 * Not decoding: what it doesn't read may be wrong, and no core takes anything from here. */
#include <orrery/trace.h>

#include "base/codec.h"
#include "internal.h"

enum { GRANTED = 2, SUCCESS = 8, DATED = 64 };

static const char *const kinds[] = {
    [ORR_RAFT_PREVOTE] = "prevote",   [ORR_RAFT_PREVOTE_REPLY] = "prevote_reply",
    [ORR_RAFT_VOTE] = "vote",         [ORR_RAFT_VOTE_REPLY] = "vote_reply",
    [ORR_RAFT_APPEND] = "append",     [ORR_RAFT_APPEND_REPLY] = "append_reply",
    [ORR_RAFT_SNAPSHOT] = "snapshot", [ORR_RAFT_SNAPSHOT_REPLY] = "snapshot_reply",
    [ORR_RAFT_READ] = "read_index",   [ORR_RAFT_READ_REPLY] = "read_index_reply",
    [ORR_RAFT_TIMEOUT_NOW] = "timeout_now",
};

static void glance_append(struct orr_reader *rd, bool dated, struct orr_glance *out) {
    out->index = orri_read_varint(rd);
    /* prev_log_term, leader_commit, round, time; as_of_index, as_of_time */
    for (int i = 0; i < (dated ? 6 : 4); i++) (void)orri_read_varint(rd);
    out->count = orri_read_varint(rd);
    out->index += out->count;
    if (out->count == 0) out->kind = "heartbeat";
}

int orri_raft_glance(struct orr_slice head, void *to) {
    struct orr_glance *out = to;
    struct orr_reader rd = orri_reader(head.at, head.size);
    unsigned type = orri_read_u8(&rd);
    (void)orri_read_u8(&rd);        /* version */
    unsigned flags = orri_read_u8(&rd);
    if (type < ORR_RAFT_PREVOTE || type > ORR_RAFT_TIMEOUT_NOW) return ORR_EINVALID;
    out->kind = kinds[type];
    out->term = orri_read_varint(&rd);
    switch (type) {
    case ORR_RAFT_PREVOTE_REPLY:
    case ORR_RAFT_VOTE_REPLY: out->refused = !(flags & GRANTED); break;
    case ORR_RAFT_APPEND: glance_append(&rd, flags & DATED, out); break;
    case ORR_RAFT_APPEND_REPLY:
        out->refused = !(flags & SUCCESS);
        out->index = orri_read_varint(&rd);
        break;
    case ORR_RAFT_SNAPSHOT:
    case ORR_RAFT_SNAPSHOT_REPLY: out->index = orri_read_varint(&rd); break;
    default: break;
    }
    return rd.failed ? ORR_EINVALID : 0;
}
