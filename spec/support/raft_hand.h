/* support/raft_hand.h - Raft cores by hand: a few of them, a network that carries messages only when told, disks that
 * write when told (and are read at once; entries of the boot bear no data), and a trace of all that was said, in
 * text. */
#ifndef SPEC_RAFT_HAND_H
#define SPEC_RAFT_HAND_H

#include <orrery/raft.h>

enum { HAND_MAX = 7, HAND_LOG = 64 };

struct hand_boot {                  /* a node's disk: the terms of entries 1, 2, ...; 0 ends */
    orr_term term;
    orr_id vote;
    orr_term log[HAND_LOG];
};
struct hand {
    size_t n;
    struct orr_chunks *chunks;
    struct orr_raft *r[HAND_MAX];   /* node i has id i + 1 and is called n(i + 1) */
    bool held[HAND_MAX];            /* its disk writes nothing now */
    bool cut[HAND_MAX];             /* neither hears nor is heard */
    uint64_t stores[HAND_MAX][64];  /* handed out, not reported */
    size_t n_stores[HAND_MAX];
    struct orr_raft_msg *msgs;      /* on their way, in order */
    size_t n_msgs;
    orr_index applied[HAND_MAX];
    struct orr_answer answers[64];
    size_t n_answers;
    orr_time now;
    char trace[1 << 16];
    size_t trace_size;
};

struct hand *hand_new(size_t n, const struct hand_boot *boots);       /* boots: NULL, or one for each */
struct hand *hand_new_with(size_t n, const struct hand_boot *boots, void (*change)(struct orr_raft_config *cfg));
void hand_free(struct hand *h);
void hand_collect(struct hand *h, size_t i);            /* pulls what node i wants; its messages wait in h->msgs */
void hand_written(struct hand *h, size_t i);            /* reports all its stores */
bool hand_deliver(struct hand *h);                      /* the oldest message; false: none */
void hand_forget(struct hand *h);                       /* all messages on their way are lost */
void hand_pump(struct hand *h);                         /* until nobody has anything to say */
void hand_elect(struct hand *h, size_t i);              /* node i campaigns, and everything is carried */
void hand_propose(struct hand *h, size_t i, const char *data);
void hand_tick_all(struct hand *h, orr_time by);        /* time goes on by so much; each due node ticks */
void hand_note(struct hand *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct orr_order_status hand_status(const struct hand *h, size_t i);
void hand_log(const struct hand *h, size_t i, char *out);            /* "1 1 4": the terms of its log */

/* A message to node i as if from `from`; and the answer of a given type among what it says then (type 0: none came). */
int hand_recv(struct hand *h, size_t i, struct orr_raft_msg m);
struct orr_raft_msg hand_said(struct hand *h, size_t i, enum orr_raft_type type);

#endif
