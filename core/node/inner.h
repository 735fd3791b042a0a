/* inner.h - the node as its own files see it: the object, its links, its groups, and what the files call of each other.
 *
 *   node.c       life and the turn                         names.c      declaring: config, groups, founding text
 *   peer.c       who dials whom, which connection stays    link.c       one connection: handshake, frames
 *   group.c      a group's turn: the driver                apply.c      commits into the machine
 *   snapshot.c   taking and restoring                      service.c    listeners and clients
 *   agree.c      do the replicas have the same state?
 *   origin.c, forward.c, reads.c, waiters.c                what is under way
 *   visitor.c     who asks, and is no node                 visit.c      his side of it: no part of a node
 *   frame.c, handshake.c, welcome.c, batch.c, filter.c, identity.c     values and formats
 *   note.c       logging                                time.c and what its header names: the cluster's time
 *   members.c    who is there, and alive
 *   host.c, and what rpc.h names                           what the program asks that bears the node
 */
#ifndef ORRI_INNER_H
#define ORRI_INNER_H

#include <errno.h>
#include <orrery/service.h>
#include <orrery/trace.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/rng.h"
#include "node/agree.h"
#include "node/filter.h"
#include "node/frame.h"
#include "node/group.h"
#include "node/identity.h"
#include "node/origin.h"
#include "node/reads.h"
#include "node/rpc.h"
#include "storage/storage.h"

#define ORRI_OWNER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* What the owner of a stream is: it gets the stream's events. */
struct orri_endpoint {
    void (*event)(struct orri_endpoint *end, const struct orr_stream_event *ev);
};
/* A kind of log line that a peer can cause: once in a while, with how many were left out. */
struct orri_note {
    orr_time next;
    uint64_t left_out;
};

/* -- Peers and links ----------------------------------------------------------------------------------------------- */
enum orri_link_state {
    ORRI_LINK_CONNECTING,           /* dialed, no answer yet */
    ORRI_LINK_HELLO,                /* waits for the other side's HELLO */
    ORRI_LINK_PIN,                  /* it said HELLO; what we know of it now is on its way to the disk */
    ORRI_LINK_READY,                /* accepted, our HELLO is sent: its first frame says that it takes us, too */
    ORRI_LINK_UP,
    ORRI_LINK_CLOSING
};
struct orri_members;
struct orri_time;
struct orri_stamps;
struct orri_peer;
struct orri_link {
    struct orri_endpoint end;       /* first */
    struct orr_node *node;
    struct orri_peer *peer;         /* NULL: somebody who didn't say who he is */
    struct orr_stream *stream;
    struct orri_link *next, *before;        /* of all of the node's */
    enum orri_link_state state;
    bool dialed, stranger;          /* stranger: accepted, and not up yet */
    bool same_run;                  /* the other side is the process that it was when it was last up */
    struct orri_assembly in;
    struct orri_alarm alarm;        /* the handshake's end; then: ping, and is it still there? */
    orr_time heard, said;           /* last whole frame (or a good piece of one); last frame out */
    size_t piece;                   /* bytes since `heard` */
    uint64_t pin;                   /* the save of the identity that it waits for */
    struct orri_hello hello;        /* the other side's */
};
struct orri_peer {                  /* another node of the file */
    struct orr_node *node;
    orr_id id;
    char *name, *address;
    bool linked;                    /* the topology has the link */
    struct orri_link *dial, *up;
    uint64_t nonce;                 /* of the run that it was last up with, 0: none */
    orr_time backoff;
    struct orri_alarm redial;
    bool full;                      /* its stream refused a frame: wait for room */
    struct orri_out out;
    struct orri_note note;
};
#define ORRI_VISITOR_NAME "(visitor)"       /* no id of a cluster file is that */
struct orri_visitor {               /* who asks and is no node: visitor.c */
    struct orri_peer peer;          /* whose answers these are; its id is nobody's */
    struct orri_visitor *next, *before;     /* of all of the node's */
    bool paused;                    /* it isn't read: too much is on its way to it */
    orr_time stuck;                 /* since when it has taken none of that */
};
static inline bool orri_is_visitor(const struct orri_peer *p) { return p->id == ORR_NOBODY; }

/* -- Groups -------------------------------------------------------------------------------------------------------- */
struct orri_pending_state {         /* a store that replaces the state, under way */
    uint64_t id;
    orr_term term;
};
struct orri_commits {                 /* entries handed out as committed, not applied yet */
    struct orr_entry *ring;
    size_t first, n, cap;           /* cap: a power of two */
};
enum orri_taking_state {
    ORRI_TAKING_NOT, ORRI_TAKING_PREFIX, ORRI_TAKING_PIECES, ORRI_TAKING_HELD /* for agree.c */, ORRI_TAKING_FINISH
};
struct orri_taking {                /* a snapshot of our own */
    enum orri_taking_state state;
    struct orr_snapshot snapshot;
    orr_time not_before;            /* after a failure */
    orr_time held_until;            /* HELD: at the latest */
    bool wanted;                    /* the newest one can't be read back: another, however little is new */
};
struct orri_restoring {             /* a snapshot goes into the machine */
    bool on, prefix_done;
    struct orr_snapshot snapshot;
    uint64_t offset;
    struct orr_chunk *prefix;       /* the group's own part, until it is whole */
    size_t n_prefix;
};
enum { ORRI_VOTERS_MAX = 7 };
/* What the storage refused outright: told to the protocol when nothing of its ready is borrowed any more. */
struct orri_refused_work {
    enum orri_storage_kind kind;
    uint64_t id;
    int status;
};
struct orr_group {
    struct orr_node *node;
    char *name;
    uint32_t number;                /* hash of its name: on the wire and on the disk */
    const struct orr_order_ops *order;
    const struct orr_machine_ops *machine_ops;
    void *machine_ud;
    orr_time election, heartbeat;
    bool leases, trusted;           /* takes leases; as the log has it */
    bool dated;                     /* the protocol knows of the cluster's time */
    struct orr_member voters[ORRI_VOTERS_MAX];      /* founding; sorted by id; names: the node's */
    size_t n_voters;
    bool here;                      /* this node has a replica */

    void *x, *machine;
    bool machine_broken;            /* half restored, or corrupt: asks no more, and sees no more entries */
    bool corrupt;                   /* its state is not what a majority has: agree.c */
    struct orri_agree agree;
    struct orri_filter filter;
    struct orri_origin origin;
    struct orri_reads reads;
    struct orri_inbound inbound[ORRI_VOTERS_MAX];   /* as voters */
    struct orr_order_status status; /* as of the last ready() */
    struct orri_commits queue;
    struct orr_at at;               /* of the last entry applied */
    orr_index told_applied;         /* what the protocol was told */
    struct orri_pending_state *states;
    size_t n_states, cap_states;
    orr_term durable_term;
    struct orri_refused_work *refused;
    size_t n_refused, cap_refused;
    bool dropped[ORRI_VOTERS_MAX];  /* a frame to this voter was, for want of room */
    unsigned char config[ORR_CONFIG_MAX];
    size_t config_size;
    struct orri_taking taking;
    struct orri_restoring restoring;
    struct orri_under_way *snapshots;       /* asked for by the host, the last one first */
    bool nudged;                    /* an empty batch is on its way */
    orr_time nudged_at, nudge_wait; /* the last one; how long from it to the next */
    orr_time nudge_wants;           /* what it was to reach */
    bool handing_over;              /* leaving: somebody else is to lead */
    orr_term opened;                /* the last term of ours in which the machine's opening is in the log */
    unsigned events;                /* that the host was not told yet */
    size_t carrier;                 /* no replica here: the voter that is asked first */
    struct orri_alarm alarm;
    struct orri_note note;
};

/* -- Services ------------------------------------------------------------------------------------------------------ */
struct orr_conn {
    struct orri_endpoint end;       /* first */
    struct orri_listener *listener;
    struct orr_stream *stream;
    struct orr_conn *next, *before;        /* of all of the listener's */
    struct orr_conn *next_dirty, *before_dirty;
    void *state;                    /* the service's */
    struct orr_chunk *in;           /* what was not consumed, with what came after it */
    size_t in_size, want;
    struct orr_chunk *out;          /* being filled from out_from to out_to */
    size_t out_from, out_to;
    struct orr_slice *parts;        /* full, not sent */
    uint32_t n_parts, cap_parts;
    size_t parts_bytes;
    size_t kept;                    /* by the service, for this client */
    size_t charged;                 /* its share of the listener's clients_bytes */
    bool dirty;                     /* in the node's list of those that this turn has to do with */
    bool soon;                      /* wants its service's turn */
    bool blocked;                   /* the stream took nothing more: no reading until there is room */
    bool paused;                    /* by the service */
    bool at_end;                    /* the client says no more, which the service is told behind what is kept */
    bool closing, flush;            /* no more input; what is written is still sent */
    bool closed;                    /* the world's close was called, the service was told */
    enum orr_shed shed;            /* why it is being closed, where that is to be said */
    struct orri_alarm alarm;
};
struct orri_listener {
    struct orr_node *node;
    char *name, *address;
    const struct orr_service *service;
    void *ud;
    uint32_t number;                /* from 1; 0 is the peers' */
    size_t client_bytes_max, clients_bytes_max;
    size_t clients_bytes;           /* kept input and queued output, as of when each was last looked at */
    struct orr_conn *conns;
    struct orri_listener *next;
};

/* -- The node ------------------------------------------------------------------------------------------------------ */
enum orri_phase {
    ORRI_NODE_NEW, ORRI_NODE_OPENING, ORRI_NODE_NAMING /* the identity on its way to the disk */, ORRI_NODE_LOADING,
    ORRI_NODE_RUNNING, ORRI_NODE_LEAVING, ORRI_NODE_STOPPED
};
enum { ORRI_SERVERS_MAX = 16, ORRI_SERVER_NAME_MAX = 71 };
struct orri_ntp_server {            /* of the file's clock.ntp */
    orr_id id;
    char address[ORRI_SERVER_NAME_MAX + 1];
};
struct orr_node {
    struct orr_world *w;
    const struct orr_alloc *alloc;
    struct orr_node_config cfg;     /* its strings and members: our copies */
    char *cluster, *name;
    orr_id id;
    enum orri_phase phase;
    orr_time now;
    bool again;                     /* something is left for a next turn, at once */
    bool in_turn;
    struct orr_storage *storage;
    struct orri_identity identity;
    uint64_t saves, saved;          /* of the identity: handed to the storage; durable */
    struct orr_heap heap;
    struct orr_rng rng;             /* jitter */
    struct orri_slots slots;
    struct orri_peer *peers, **by_id;       /* in the file's order; and sorted, to be found */
    struct orri_peer *me;                   /* among them */
    size_t n_peers;
    struct orri_link *links;
    size_t n_strangers;
    struct orri_visitor *visitors;
    size_t n_visitors;
    struct orr_group *groups[ORRI_GROUPS_MAX];
    size_t n_groups;
    struct orri_listener *listeners;
    uint32_t n_listeners;
    struct orr_conn *dirty, *dirty_last;
    struct orr_slice *spare_parts;  /* of the connection that was flushed last, for the next one to fill */
    uint32_t cap_spare_parts;
    size_t n_conns;
    uint64_t clients_shed;
    struct orr_slice *parts;        /* of the frame being sent */
    size_t cap_parts;
    bool disk_full, disk_failed;
    struct orri_host host;
    struct orri_ntp_server *servers;
    size_t n_servers;
    struct orri_time *time;         /* NULL: nobody has asked for it */
    struct orri_stamps *stamps;     /* likewise */
    struct orri_members *members;   /* NULL: nobody has asked for them */
    char *zone;
    unsigned char keys[ORR_MEMBERSHIP_KEYS_MAX][ORR_MEMBERSHIP_KEY];    /* of the membership, the primary first */
    size_t n_keys;
    orr_time started;
    struct orri_alarm leaving;
    orr_time leave_until, linger_until;
    bool closing;                   /* leaving, and everything is being closed */
    bool stop_asked;
    int stop_code;                  /* failed: what the world's stop gets at the end of the turn */
    char stop_why[512];             /* or, before that, why it leaves */
    uint64_t frames_in, frames_out, frames_bad, bytes_in, bytes_out;
    struct orri_note note_stranger, note_bad, note_client;
};

static inline void *orri_node_resize(const struct orr_node *n, void *p, size_t old_size, size_t new_size) {
    return n->alloc->fn(n->alloc->ud, p, old_size, new_size);
}
char *orri_node_copy(const struct orr_node *n, const char *text);           /* NULL: no memory */
void orri_node_drop_text(const struct orr_node *n, char *text);
/* node.c */
void orri_node_alarm(struct orr_node *n, struct orri_alarm *a, orr_time at);
void orri_node_save(struct orr_node *n);                    /* the identity; n->saves is the number of this save */
void orri_node_fail(struct orr_node *n, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void orri_node_disenfranchise(struct orr_node *n, const char *why);
static inline bool orri_node_dead(const struct orr_node *n) { return n->phase == ORRI_NODE_STOPPED; }
size_t orri_node_payload_max(const struct orr_node *n);     /* of a frame from a peer */
static inline orr_time orri_node_ping(const struct orr_node *n) { return n->cfg.election; }
void orri_node_init(struct orr_node *n);
void orri_node_name(struct orr_node *n);                    /* everything is declared */
static inline bool orri_node_open(const struct orr_node *n) {           /* to declarations */
    return n->phase == ORRI_NODE_NEW || n->host.declaring;
}
/* names.c */
int orri_names_founding(const struct orr_node *n, char **text, size_t *size);       /* owned */
struct orri_peer *orri_names_peer(struct orr_node *n, orr_id id);
const char *orri_names_name(const struct orr_node *n, orr_id id);           /* "?" for an unknown one */
/* note.c */
void orri_node_log(struct orr_node *n, enum orr_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void orri_node_log_rarely(struct orr_node *n, struct orri_note *note, enum orr_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* peer.c */
void orri_peers_start(struct orr_node *n);
void orri_peers_stop(struct orr_node *n);
void orri_peers_free(struct orr_node *n);
void orri_peers_saved(struct orr_node *n);                  /* the identity is durable up to n->saved */
void orri_peer_up(struct orri_link *l);
/* a connection that we dialed is in its handshake, and it is the one that stays */
bool orri_peer_prefers_own(const struct orri_peer *p);
bool orri_peers_tell_bundle(struct orr_node *n);            /* false: it is what they know */
void orri_peer_runs(struct orri_peer *p);                   /* which scripts: it has said so */
void orri_peer_heard(struct orri_peer *p);                  /* it takes us: redial soon, should it go */
void orri_peer_gone(struct orri_link *l);                   /* the link's stream is gone, or given up */
void orri_peer_room(struct orri_peer *p);
/* One frame to a peer, its payload a head and a body. ORR_EUNAVAILABLE: not up; ORR_EOVERLOADED. */
int orri_peer_send(struct orri_peer *p, const struct orri_frame *frame, struct orr_slice head,
                   const struct orr_slice *body, size_t n_body);
/* link.c */
/* dialed: whom, or NULL for a stream that was accepted. NULL: no memory. */
struct orri_link *orri_link_new(struct orr_node *n, struct orr_stream *s, struct orri_peer *dialed);
int orri_link_send(struct orri_link *l, const struct orri_frame *frame, struct orr_slice head,
                   const struct orr_slice *body, size_t n_body);
void orri_link_pinned(struct orri_link *l);
void orri_link_known(struct orri_link *l);                  /* it is no stranger any more */
void orri_link_bad(struct orri_link *l, const char *what);  /* closes it, and says why in the log */
void orri_link_close(struct orri_link *l, bool flush);
void orri_link_refuse(struct orri_link *l, enum orri_refusal reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void orri_link_free(struct orri_link *l);
/* visitor.c */
void orri_visitor_come(struct orri_link *l, struct orr_slice payload);      /* a stranger said VISIT */
void orri_visitor_frame(struct orri_link *l, const struct orri_frame *f);
void orri_visitor_gone(struct orri_link *l);                /* the link's stream is gone, or given up */
void orri_visitor_alarm(struct orri_link *l);
void orri_visitor_flushed(struct orri_peer *p, bool any);   /* any: some of what waits for it was sent */
size_t orri_visitor_payload_max(const struct orr_node *n);  /* of a frame from one */
size_t orri_visitor_bytes_max(const struct orr_node *n);    /* that wait to be sent to one */
void orri_visitors_free(struct orr_node *n);
/* group.c */
int orri_group_new_machine(struct orr_group *g);            /* in g->machine */
int orri_group_start(struct orr_group *g);                  /* the disk is open: loads what is there */
void orri_group_begin(struct orr_group *g, const struct orr_snapshot *loaded); /* NULL: none. Creates the protocol */
void orri_group_turn(struct orr_group *g);
void orri_group_frame(struct orr_group *g, struct orri_link *l, const struct orri_frame *f);
void orri_group_peer_up(struct orr_group *g, struct orri_link *l);
void orri_group_peer_lost(struct orr_group *g, struct orri_peer *p);
void orri_group_peer_room(struct orr_group *g, struct orri_peer *p);
void orri_group_done(struct orr_group *g, const struct orri_storage_done *d);
void orri_group_full(struct orr_group *g, bool full);
void orri_group_disenfranchise(struct orr_group *g);
void orri_group_abandon(struct orr_group *g, int status);
bool orri_group_ready(const struct orr_group *g);
void orri_group_delete(struct orr_group *g);
/* agree.c */
void orri_agree_applied(struct orr_group *g);               /* an entry was */
uint64_t orri_agree_traced(const struct orr_group *g, orr_index index);     /* the digest, 0: not taken at this index */
void orri_agree_report(struct orr_group *g, size_t voter, struct orr_slice payload);
void orri_agree_turn(struct orr_group *g);
orr_time orri_agree_deadline(const struct orr_group *g);
void orri_agree_restored(struct orr_group *g);              /* a snapshot was: nothing of before counts */
bool orri_agree_holds(const struct orr_group *g, orr_index index);  /* a majority has had our state there, or later */
/* apply.c */
int orri_commits_push(struct orr_group *g, const struct orr_entry *e);
void orri_commits_clear(struct orr_group *g);
bool orri_apply_some(struct orr_group *g);                  /* false: nothing was applied */
uint64_t orri_apply_digest(const struct orr_group *g);
void orri_apply_reads(struct orr_group *g);
/* lease.c */
void orri_lease_clock(struct orr_group *g);             /* the turn's inputs are in */
void orri_lease_trace(struct orr_group *g);             /* it ends */
orr_time orri_lease_age(const struct orr_group *g);     /* so old its copy is at most; ORR_NEVER: not known */
static inline void orri_trace(const struct orr_group *g, enum orr_trace_kind kind, const void *event, size_t size) {
    struct orr_world *w = g->node->w;
    if (w->ops->trace) w->ops->trace(w, g->number, kind, event, size);
}
static inline bool orri_traced(const struct orr_group *g) { return g->node->w->ops->trace != NULL; }
/* snapshot.c */
void orri_snapshot_step(struct orr_group *g);
void orri_snapshot_taken(struct orr_group *g, const struct orri_storage_done *d);
void orri_snapshot_abort(struct orr_group *g);
void orri_snapshot_refuse(struct orr_group *g, int status);     /* those that were asked for */
void orri_snapshot_forget(struct orri_under_way *u);
void orri_snapshot_restore(struct orr_group *g, const struct orr_snapshot *s);
void orri_snapshot_fetched(struct orr_group *g, const struct orri_storage_done *d);
void orri_snapshot_unread(struct orr_group *g, const struct orri_storage_done *d);      /* a piece for a peer was not */
#define ORRI_FETCH_OURS (UINT64_C(1) << 63)
/* service.c */
int orri_services_listen(struct orr_node *n);
void orri_services_accepted(struct orr_node *n, struct orr_stream *s, uint32_t listener);
bool orri_services_turn(struct orr_node *n);                /* false: no service had anything to do */
void orri_services_flush(struct orr_node *n);
void orri_services_stop(struct orr_node *n);
bool orri_services_flushed(const struct orr_node *n);       /* nothing that is for a client waits here any more */
void orri_services_free(struct orr_node *n);

#endif
