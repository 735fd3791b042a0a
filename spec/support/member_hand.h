/* support/member_hand.h - one membership by hand: packets of its peers are made here, and what it sends is read.
 *
 *     struct mhand *h = mhand_new(3, NULL);  // "a" is under test; "b", "c" and "d" are there, at incarnation 1
 *     mhand_told(h, 'b', ORR_MEMBER_SUSPECT, 'c', 1, 'd');         // b says: c is suspect at incarnation 1, by d
 *     mhand_until(h, h->now + ORR_SECOND);             // time goes by, it ticks when it wants to
 *     mhand_said(h, ORRI_PING, 'c') ...                // the first such that it sent since mhand_forget()
 *
 * Nobody answers but by the test's word. Members have names of one letter. */
#ifndef SPEC_MEMBER_HAND_H
#define SPEC_MEMBER_HAND_H

#include "membership/inner.h"

enum { MHAND_SAID = 4096, MHAND_EVENTS = 256, MHAND_NOBODY = ORR_MEMBER_LEFT + 1 };

struct mhand_said {
    orr_time at;
    char to;
    struct orri_packet packet;
    struct orri_facts facts;
    size_t size;
    unsigned char bytes[ORR_MEMBERSHIP_PACKET_MAX];
};
struct mhand_event {
    enum orr_member_event_kind kind;
    char of, by;                    /* by: 0 is the one under test */
    uint64_t incarnation;
};
struct mhand {
    struct orr_membership *m;
    orr_time now;
    struct mhand_said *said;
    size_t n_said;
    struct mhand_event events[MHAND_EVENTS];
    size_t n_events;
};

/* `peers` others, known by the file and alive. change: of the configuration; NULL: none. */
struct mhand *mhand_new(size_t peers, void (*change)(struct orr_membership_config *cfg));
void mhand_free(struct mhand *h);
void mhand_take(struct mhand *h);                       /* what ready() has */
void mhand_forget(struct mhand *h);                     /* what was said, and events */
void mhand_until(struct mhand *h, orr_time at);

orr_id mhand_id(char name);
struct orri_fact mhand_brief(enum orr_member_state state, char of, uint64_t incarnation, char by);
struct orri_fact mhand_whole(enum orr_member_state state, const char *of, uint64_t incarnation);
int mhand_recv(struct mhand *h, char from, struct orri_packet packet, const struct orri_fact *facts, size_t n);
/* GOSSIP of one brief fact; alive: whole. */
int mhand_told(struct mhand *h, char from, enum orr_member_state state, char of, uint64_t incarnation, char by);
int mhand_ack(struct mhand *h, const struct mhand_said *ping);  /* of whom it went to */
/* Everybody answers everything, until then. */
void mhand_answering(struct mhand *h, orr_time until);

const struct mhand_said *mhand_said(const struct mhand *h, enum orri_kind kind, char to);     /* to 0: anybody; NULL */
size_t mhand_count(const struct mhand *h, enum orri_kind kind, char to);
bool mhand_says(const struct mhand_said *s, enum orr_member_state state, char of, uint64_t incarnation);
bool mhand_event(const struct mhand *h, enum orr_member_event_kind kind, char of);
struct orr_member_info mhand_sees(const struct mhand *h, char of);   /* nothing: state MHAND_NOBODY */
struct orr_membership_status mhand_status(const struct mhand *h);

#endif
