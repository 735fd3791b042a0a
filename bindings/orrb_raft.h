/* orrb_raft.h - what the files of core.raft share.
 *
 *   orrb_raft.c          the object: its life, its inputs, what ready() hands out, its status
 *   orrb_raft_message.c  messages and entries as tables, both ways
 *   orrb_raft_disk.c     what the object has handed out to be stored, kept in memory for itself                      */
#ifndef ORRB_RAFT_H
#define ORRB_RAFT_H

#include <orrery/raft.h>

#include "orrb.h"

enum { ORRB_RAFT_MEMBERS_MAX = 64, ORRB_RAFT_FETCHES_MAX = ORRB_RAFT_MEMBERS_MAX + 1 };

struct orrb_raft_names {
    size_t n;
    struct orr_member at[ORRB_RAFT_MEMBERS_MAX];    /* in the order of `voters`; names borrowed from Lua strings */
};

/* -- orrb_raft_message.c ----------------------------------------------------------------------------------------- */
/* nil for ORR_NOBODY. */
void orrb_raft_push_name(lua_State *L, const struct orrb_raft_names *names, orr_id id);
void orrb_raft_push_names(lua_State *L, const struct orrb_raft_names *names);      /* an array of them */
void orrb_raft_push_entry(lua_State *L, const struct orr_entry *e);
void orrb_raft_push_message(lua_State *L, const struct orrb_raft_names *names, const struct orr_raft_msg *m);
const char *orrb_raft_type(enum orr_raft_type type);

/* What a message made by hand may leave out, where only the receiver knows what was meant. */
#define ORRB_RAFT_ABSENT UINT64_MAX
/* The message at `arg`, or raises what is wrong with its form; `what` begins the complaint. No metamethods. Leaves on
 * the stack whatever the message borrows. */
void orrb_raft_read_message(lua_State *L, int arg, const struct orrb_raft_names *names, const char *what,
                            struct orr_raft_msg *m);
/* The i-th entry of the array at `list`, a stack index; its index, unless it says so, is `index`. Leaves its data on
 * the stack, one value. */
void orrb_raft_read_entry(lua_State *L, int list, size_t i, orr_index index, const char *what, struct orr_entry *e);

/* -- orrb_raft_disk.c -------------------------------------------------------------------------------------------- */
struct orrb_raft_disk {
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    orr_index first;                /* entries first .. first + n - 1 */
    struct orr_entry *entries;      /* their data is held */
    size_t n, cap;
    struct orr_snapshot snapshot;   /* index and term only; index 0: none; its data, held: */
    struct orr_slice data;
    struct orr_snapshot incoming;   /* one that comes in */
    struct orr_slice incoming_data; /* as much as has come */
};
void orrb_raft_disk_init(struct orrb_raft_disk *d, struct orr_alloc alloc, struct orr_chunks *chunks);
void orrb_raft_disk_clear(struct orrb_raft_disk *d);
/* Copied where it has no chunk. All: 0 or -ENOMEM, and then nothing has changed. */
int orrb_raft_disk_keep(struct orrb_raft_disk *d, struct orr_slice s, struct orr_slice *out);
int orrb_raft_disk_append(struct orrb_raft_disk *d, const struct orr_entry *e);    /* in the place of e->index on */
int orrb_raft_disk_take(struct orrb_raft_disk *d, const struct orr_part *part);
void orrb_raft_disk_install(struct orrb_raft_disk *d);      /* what came in; the log begins anew after it */
int orrb_raft_disk_serve(const struct orrb_raft_disk *d, struct orr_raft *r, orr_time now, const struct orr_fetch *f);

#endif
