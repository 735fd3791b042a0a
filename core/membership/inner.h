/* inner.h - what a membership is made of, and what its files do for each other.
 *
 * A record is one member, or a node that the operator named and nobody heard of yet. Records lie where they are until
 * they are forgotten; a table finds them by id, `names` has those who were heard of in the order of their names,
 * `talk` those with whom packets may be exchanged, shuffled: probes go round it. A record is the only truth about its
 * member: the queue of changes, the buckets of anti-entropy and what is told are all derived from it. What only some
 * need (round trips, suspicions) hangs off it.
 *
 * An input never builds a packet: it notes that one is to be sent (`sending`), and ready() builds it, so that what is
 * told on its back is the newest. Both the notes and what a peer can make us keep are bounded.                      */
#ifndef ORRI_MEMBERSHIP_INNER_H
#define ORRI_MEMBERSHIP_INNER_H

#include <orrery/membership.h>

#include "base/assert.h"
#include "base/blocks.h"
#include "base/codec.h"
#include "base/heap.h"
#include "base/rng.h"
#include "membership/arrivals.h"
#include "membership/keyring.h"
#include "membership/vivaldi.h"

enum {
    ORRI_LEVELS = 64,               /* so many times a change is told, at most */
    ORRI_RETRANSMIT_MULT_MAX = 12,  /* times log10 of ORR_MEMBERS_MAX is below ORRI_LEVELS */
    ORRI_SENDING_MAX = 128,         /* packets to be sent, at once */
    ORRI_RELAYS_MAX = 64,           /* probes for others, at once */
    ORRI_INDIRECT_MAX = 16,
    ORRI_GOSSIP_NODES_MAX = 16,
    ORRI_SUSPICION_MULT_MAX = 16,
    ORRI_JOIN_NODES = 3,            /* whom a joiner asks at once */
    ORRI_BUCKETS = 64,
    ORRI_SYNC_BYTES = 32 << 10,     /* of records, in answer to one packet, but for one bucket that is larger: */
    ORRI_SYNC_PACKETS_MAX = 128
};
#define ORRI_INCARNATION_MAX ((uint64_t)INT64_MAX)
#define ORRI_NO_PULSE (INT64_MAX - 1)                   /* a timer that keeps its place in the heap */
#define ORRI_LONGEST (24 * 3600 * ORR_SECOND)           /* of the intervals */

/* -- Records ------------------------------------------------------------------------------------------------------- */
struct orri_probed {
    orr_time at;
    uint32_t rtt_us;
    uint8_t way, asked, nacks;
};
struct orri_member_detail {                /* of those that this node had to do with */
    orr_time rtt, probed;           /* INT64_MIN: never */
    uint8_t way, n_probes, next_probe;
    bool placed;
    unsigned char coordinate[ORRI_COORDINATE];
    struct orri_probed probes[ORR_MEMBER_PROBES_KEPT];
};
struct orri_suspicion {
    struct orr_timer timer;         /* first: when it will be failed */
    struct orri_member *member;
    orr_time from, shortest, longest;
    unsigned k, n;                  /* confirmations wanted, got; the first who said so is in said_by[0] */
    unsigned told;                  /* whose word is passed on */
    orr_id said_by[ORRI_SUSPICION_MULT_MAX];
};
struct orri_pulse {                 /* of heartbeats */
    struct orr_timer timer;         /* first: when its state may change, for want of any */
    struct orri_member *member;
    struct orri_arrivals arrivals;
    orr_time heard;                 /* the last, whichever way; INT64_MIN: none */
    int64_t stamp;                  /* its sender's, of the last heartbeat; 0: none came */
    orr_time stamped;               /* when that came */
};
struct orri_member {
    orr_id id;
    uint64_t incarnation;
    orr_time since;
    orr_id by;                      /* who said first that it is suspect, or failed */
    char *text;                     /* name, address and zone, a NUL after each; then the tags */
    char *via;                      /* the address that the operator gave, with its NUL; NULL: none */
    struct orri_member_detail *detail;
    union {
        struct orri_suspicion *suspicion;       /* SWIM: of a suspect */
        struct orri_pulse *pulse;               /* else */
    };
    struct orri_member *before, *after;         /* in its level of the queue */
    uint32_t place;                 /* in `talk`, plus 1; 0: not there */
    uint32_t version;
    uint16_t tags_size;
    uint8_t name_size, address_size, zone_size;
    uint8_t state;
    uint8_t told;                   /* so often was its change told */
    bool queued : 1;
    bool heard : 1;                 /* it is a member */
    bool known : 1;                 /* the operator named it */
    bool may_talk : 1;
    bool faded : 1;                 /* a tombstone that is told no more */
};

/* What is said of somebody. */
struct orri_fact {
    enum orr_member_state state;
    bool whole;                     /* with all that a record has; else id, incarnation and by alone */
    orr_id id, by;
    uint64_t incarnation;
    uint32_t version;
    orr_time age;                   /* whole: of its state */
    struct orr_slice name, address, zone, tags;         /* whole; borrowed */
};

enum { ORRI_FACTS_MAX = ORR_MEMBERSHIP_PACKET_MAX / 25 };         /* of a packet: bytes of the shortest */
struct orri_facts {
    size_t n;
    struct orri_fact at[ORRI_FACTS_MAX];
};

/* -- Packets ------------------------------------------------------------------------------------------------------- */
enum orri_kind {
    ORRI_PING = 1, ORRI_ACK, ORRI_PING_REQ, ORRI_RELAYED, ORRI_NACK, ORRI_GOSSIP, ORRI_SYNC, ORRI_RECORDS,
    ORRI_HEARTBEAT
};
enum { ORRI_LAST = 1, ORRI_MORE = 2, ORRI_ANSWER = 4 };             /* flags of RECORDS */
struct orri_packet {
    enum orri_kind kind;
    orr_id from, to;
    uint32_t sequence;
    orr_id target;                  /* PING_REQ */
    orr_time within;                /* PING_REQ: so long the asker waits */
    unsigned char coordinate[ORRI_COORDINATE];          /* PING, ACK, HEARTBEAT */
    uint32_t buckets[ORRI_BUCKETS]; /* SYNC: halves of the buckets' hashes, */
    uint8_t upper;                  /* 1: their upper ones. Chance tells, so that no two stay mistaken for each other */
    uint8_t flags;
    uint64_t wanted;                /* RECORDS: of these buckets the receiver's are asked for */
    int64_t sent, echo;             /* HEARTBEAT: its stamp; the last one of the receiver that came, 0: none, */
    orr_time held;                  /* so long ago */
};
/* A packet to be built. RECORDS and HEARTBEATS are several. */
struct orri_sending {
    enum orri_kind kind;
    orr_id to, target;
    uint32_t sequence;
    orr_time within;
    uint64_t buckets, wanted;
    uint32_t at, left;              /* where in names, or talk; how many of it are left */
    uint8_t packets, flags;
};

struct orri_relay {                 /* a probe for somebody */
    orr_id asker, target;
    uint32_t asked, sequence;       /* the asker's, ours */
    orr_time nack, until;           /* nack ORR_NEVER: was sent */
};
struct orri_probe {
    orr_id id;                      /* ORR_NOBODY: none is on its way */
    uint32_t sequence;
    uint8_t way;
    bool logged;
    orr_time sent, ask, end;        /* ask: when others are asked; ORR_NEVER: they were */
    unsigned n_asked, nacks;
    orr_id asked[ORRI_INDIRECT_MAX];
    bool nacked[ORRI_INDIRECT_MAX];
};
struct orri_member_event {
    orr_id id, by;
    uint64_t incarnation;
    enum orr_member_event_kind kind;
};
struct orri_level {
    struct orri_member *first, *last;
};

struct orr_membership {
    struct orr_membership_config cfg;           /* self's texts are in its record */
    struct orr_alloc alloc;
    struct orri_blocks blocks;
    struct orr_rng rng;
    orr_time now;

    struct orri_member *self;
    struct orri_member **table;     /* by id: open addressing */
    size_t table_cap, n_records;
    struct orri_member **names;
    size_t n_names, names_cap;
    struct orri_member **talk;
    size_t n_talk, talk_cap, next_probe;
    size_t n_in[ORR_MEMBER_LEFT + 1];           /* members by state */
    uint64_t buckets[ORRI_BUCKETS];

    struct orri_level levels[ORRI_LEVELS];
    uint64_t used_levels;           /* bits */
    size_t n_queued;

    struct orr_heap timers;         /* suspicions, or pulses */
    orr_time probe_at, gossip_at, sync_at, join_at, forget_at, gone_at;     /* probe_at: of heartbeats, too */
    orr_time join_pause, sync_pause;
    orr_id asked_last, ask_again;   /* of the absent; of those that had more to tell */
    bool joining;                   /* since the start, until somebody told all that he knows */
    bool learning;                  /* something in this exchange was news */
    bool quiet;                     /* what is merged now is known to those that may be told */
    bool leaving, gone;

    struct orri_probe probe;
    struct orri_relay relays[ORRI_RELAYS_MAX];
    size_t n_relays;
    uint32_t sequence;
    unsigned awareness;

    struct orri_vivaldi vivaldi;
    struct orri_keyring keyring;

    struct orri_sending sending[ORRI_SENDING_MAX];
    size_t first_sending, n_sending;
    struct orri_member_event *events;
    size_t first_event, n_events, events_cap;
    struct orr_membership_ready ready;
    char given[ORR_MEMBER_ADDRESS_MAX + 1];     /* the address in it */
    struct orr_membership_status counted;
    unsigned char out[ORR_MEMBERSHIP_PACKET_MAX];
};

static inline bool orri_member_swim(const struct orr_membership *m) { return m->cfg.detector == ORR_DETECTOR_SWIM; }
static inline const char *orri_name(const struct orri_member *r) { return r->text; }
static inline const char *orri_told_address(const struct orri_member *r) { return r->text + r->name_size + 1; }
static inline const char *orri_zone(const struct orri_member *r) { return orri_told_address(r) + r->address_size + 1; }
static inline const unsigned char *orri_tags(const struct orri_member *r) {
    return (const unsigned char *)orri_zone(r) + r->zone_size + 1;
}
static inline const char *orri_address(const struct orri_member *r) { return r->via ? r->via : orri_told_address(r); }
/* Is it here, as far as this node knows? */
static inline bool orri_member_lives(const struct orri_member *r) {
    return r->heard && (r->state == ORR_MEMBER_ALIVE || r->state == ORR_MEMBER_SUSPECT);
}
static inline size_t orri_member_living(const struct orr_membership *m) {
    return m->n_in[ORR_MEMBER_ALIVE] + m->n_in[ORR_MEMBER_SUSPECT];
}

/* -- records.c: who is where --------------------------------------------------------------------------------------- */
struct orri_member *orri_member_find(const struct orr_membership *m, orr_id id);
/* They will be looked for soon: among thousands of records each is far away. */
void orri_member_fetch(const struct orr_membership *m, const struct orri_facts *facts);
/* A record of that name, which isn't there yet. NULL: no memory, or ORR_MEMBERS_MAX. */
struct orri_member *orri_record_new(struct orr_membership *m, struct orr_slice name, bool may_talk);
void orri_record_free(struct orr_membership *m, struct orri_member *r);        /* forgotten altogether */
/* Texts and version as in the fact (an empty address: as before). -ENOMEM: nothing changed. */
int orri_record_tell(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f);
bool orri_record_differs(const struct orri_member *r, const struct orri_fact *f);
int orri_record_via(struct orr_membership *m, struct orri_member *r, const char *address);
int orri_record_may_talk(struct orr_membership *m, struct orri_member *r, bool may_talk);
/* It becomes a member: into the order of names. -ENOMEM. */
int orri_record_heard(struct orr_membership *m, struct orri_member *r);
/* To a state of an incarnation, since then; keeps counts and buckets. */
void orri_record_state(struct orr_membership *m, struct orri_member *r, enum orr_member_state state,
                       uint64_t incarnation, orr_time since);
void orri_record_fade(struct orr_membership *m, struct orri_member *r);
/* As if it had never been heard of; of those that the operator named. */
void orri_record_unhear(struct orr_membership *m, struct orri_member *r);
void orri_forget_tick(struct orr_membership *m);
void orri_forget_later(struct orr_membership *m, const struct orri_member *r);     /* of a tombstone: when it is due */
struct orri_member_detail *orri_member_detail(struct orr_membership *m, struct orri_member *r);   /* NULL: no memory */
void orri_member_shuffle(struct orr_membership *m);
/* One of `talk` by chance that `fits`, and is none of the n in `but`; NULL: there is none. */
typedef bool (*orri_member_fits)(const struct orr_membership *m, const struct orri_member *r);
struct orri_member *orri_member_pick(struct orr_membership *m, orri_member_fits fits, const orr_id *but, size_t n);
void orri_member_records_clear(struct orr_membership *m);

/* -- codec.c: bytes ------------------------------------------------------------------------------------------------ */
/* Does it have a head? Only then may it be asked for these. */
bool orri_packet_head(struct orr_slice bytes);
uint64_t orri_packet_cluster(struct orr_slice bytes);
bool orri_packet_sealed(struct orr_slice bytes);
orr_id orri_packet_from(struct orr_slice bytes);
orr_id orri_packet_to(struct orr_slice bytes);
/* 0, and then all of it is sound, the facts too; ORR_EINVALID. Without its code. */
int orri_packet_read(struct orr_slice bytes, struct orri_packet *out, struct orri_facts *facts);
/* One without a code ends with a checksum. sum: puts it behind `size` bytes, the size that it is then. whole: is it
 * true? Then *bytes is without it. */
enum { ORRI_SUM = 8 };
size_t orri_packet_sum(unsigned char *bytes, size_t size);
bool orri_packet_whole(struct orr_slice *bytes);
void orri_packet_write(struct orr_writer *w, const struct orri_packet *p, uint64_t cluster, bool sealed);
bool orri_fact_read(struct orr_reader *r, struct orri_fact *f);     /* false: no fact */
void orri_fact_write(struct orr_writer *w, const struct orri_fact *f);
size_t orri_fact_size(const struct orri_fact *f);

/* -- merge.c: what is said of a member ----------------------------------------------------------------------------- */
/* record: they are from RECORDS. True: something of it was news. */
bool orri_member_merge_all(struct orr_membership *m, const struct orri_facts *facts, bool record);
void orri_member_merge(struct orr_membership *m, const struct orri_fact *f, bool record);
void orri_member_fail(struct orr_membership *m, struct orri_member *r);    /* a suspect whose time is over */
/* This node's incarnation above what was said, and told. */
void orri_member_refute(struct orr_membership *m, uint64_t said);
/* Somebody is here who was not: what slept wakes up. */
void orri_member_appears(struct orr_membership *m);
/* Room for so many events more; false: no memory. */
bool orri_member_event_room(struct orr_membership *m, size_t n);
void orri_member_event(struct orr_membership *m, enum orr_member_event_kind kind, const struct orri_member *r,
                       orr_id by);

/* -- suspicion.c --------------------------------------------------------------------------------------------------- */
orr_time orri_suspicion_of(const struct orr_membership_config *c, size_t n);   /* the shortest, among n */
orr_time orri_suspicion_least(const struct orr_membership *m);
struct orri_suspicion *orri_suspicion_new(struct orr_membership *m, struct orri_member *r, orr_id by);  /* NULL */
bool orri_suspicion_confirm(struct orr_membership *m, struct orri_suspicion *s, orr_id by); /* true: that was news */
void orri_suspicion_end(struct orr_membership *m, struct orri_member *r);      /* where there is one */
void orri_suspicion_tick(struct orr_membership *m);

/* -- gossip.c: the queue of changes -------------------------------------------------------------------------------- */
unsigned orri_tell_limit_of(const struct orr_membership_config *c, size_t n);  /* n: who live */
unsigned orri_member_tell_limit(const struct orr_membership *m);
void orri_member_tell(struct orr_membership *m, struct orri_member *r);    /* as it is now; from the start */
void orri_member_tell_no_more(struct orr_membership *m, struct orri_member *r);
void orri_member_told(struct orr_membership *m, struct orri_member *r);    /* once more; queued or not */
/* As many as fit, those least told first; each counts as told. */
void orri_member_tell_on_the_back(struct orr_membership *m, struct orr_writer *w, const struct orri_member *but);
/* whole: with all of it, whatever its state; else only if it is alive. */
void orri_fact_of(const struct orr_membership *m, const struct orri_member *r, bool whole, struct orri_fact *f);
void orri_gossip_tick(struct orr_membership *m);

/* -- probe.c, relay.c ---------------------------------------------------------------------------------------------- */
void orri_probe_tick(struct orr_membership *m);
orr_time orri_probe_deadline(const struct orr_membership *m);
bool orri_probe_ack(struct orr_membership *m, const struct orri_packet *p);    /* false: nobody waits for it */
bool orri_probe_relayed(struct orr_membership *m, const struct orri_packet *p);
bool orri_probe_nack(struct orr_membership *m, const struct orri_packet *p);
void orri_probe_stream(struct orr_membership *m, struct orri_member *r);
void orri_member_aware(struct orr_membership *m, int delta);
void orri_member_measured(struct orr_membership *m, struct orri_member *r, orr_time rtt,
                          const unsigned char *coordinate);
void orri_member_placed(struct orr_membership *m, struct orri_member *r, const unsigned char *coordinate);
void orri_relay_ask(struct orr_membership *m, const struct orri_packet *p);
bool orri_relay_ack(struct orr_membership *m, const struct orri_packet *p);
void orri_relay_tick(struct orr_membership *m);
orr_time orri_relay_deadline(const struct orr_membership *m);

/* -- sync.c, join.c ------------------------------------------------------------------------------------------------ */
bool orri_member_in_sync(const struct orr_membership *m, const struct orri_member *r);      /* is it in a bucket? */
uint64_t orri_sync_hash(const struct orr_membership *m, const struct orri_member *r);
unsigned orri_sync_bucket(orr_id id);
void orri_sync_recv(struct orr_membership *m, const struct orri_packet *p);
void orri_sync_records(struct orr_membership *m, const struct orri_packet *p, bool news);
bool orri_sync_write(struct orr_membership *m, struct orri_sending *s, struct orr_writer *w);  /* true: the last */
void orri_sync_head(struct orr_membership *m, struct orri_packet *p);
void orri_sync_tick(struct orr_membership *m);
void orri_sync_soon(struct orr_membership *m);                      /* where it slept */
orr_time orri_join_seldom(const struct orr_membership_config *c);   /* between two of the absent that are asked */
void orri_join_tick(struct orr_membership *m);
void orri_join_soon(struct orr_membership *m);                      /* somebody is absent who was not */

/* -- pulse.c: heartbeats ------------------------------------------------------------------------------------------- */
/* These do nothing under SWIM. begin: it is said to live; it is waited for from now on. No memory: with the next
 * heartbeat. */
void orri_pulse_begin(struct orr_membership *m, struct orri_member *r);
void orri_pulse_tick(struct orr_membership *m);
void orri_pulse_recv(struct orr_membership *m, struct orri_member *r, const struct orri_packet *p);
void orri_pulse_heard(struct orr_membership *m, struct orri_member *r);        /* by a stream */
void orri_pulse_write(const struct orr_membership *m, const struct orri_member *to, struct orri_packet *p);
void orri_pulse_end(struct orr_membership *m, struct orri_member *r);

/* -- send.c: what is to be sent ------------------------------------------------------------------------------------ */
void orri_member_send(struct orr_membership *m, struct orri_sending s);
/* Builds the next packet into m->ready; false: nothing is left. */
bool orri_member_send_next(struct orr_membership *m);


/* -- membership.c -------------------------------------------------------------------------------------------------- */
void *orri_member_get(struct orr_membership *m, size_t size);              /* a small block, zeroed; NULL */
void orri_member_give_back(struct orr_membership *m, void *at, size_t size);
/* Room for one more in an array of pointers. */
int orri_member_room(struct orr_membership *m, struct orri_member ***array, size_t n, size_t *cap);
orr_time orri_member_jitter(struct orr_membership *m, orr_time t);         /* from 3/4 to 5/4 of it */

void orri_membership_check(const struct orr_membership *m);         /* every invariant, by assertion */

#endif
