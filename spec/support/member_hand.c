/* support/member_hand.c - see the header. */
#include "support/member_hand.h"

#include <stdlib.h>
#include <string.h>

static char name_of(orr_id id) {
    for (char c = 'a'; c <= 'z'; c++) {
        if (mhand_id(c) == id) return c;
    }
    return id == ORR_NOBODY ? 0 : '?';
}

orr_id mhand_id(char name) { return name ? orr_id_of((char[2]){ name, 0 }) : ORR_NOBODY; }

/* -- Life ---------------------------------------------------------------------------------------------------------- */
struct mhand *mhand_new(size_t peers, void (*change)(struct orr_membership_config *cfg)) {
    struct mhand *h = calloc(1, sizeof *h);
    struct orr_membership_config cfg;
    orr_membership_config_init(&cfg);
    cfg.self.name = "a";
    cfg.self.incarnation = 1;
    cfg.seed = 3;
    if (change) change(&cfg);
    h->said = calloc(MHAND_SAID, sizeof *h->said);
    h->now = 100 * ORR_SECOND;
    int rc = orr_membership_new(&h->m, &cfg, h->now, NULL);
    ORR_ASSERT(rc == 0);
    for (size_t i = 0; i < peers; i++) {
        char name[2] = { (char)('b' + i), 0 };
        rc = orr_membership_know(h->m, h->now, name, "address", true);
        ORR_ASSERT(rc == 0);
        rc = mhand_told(h, name[0], ORR_MEMBER_ALIVE, name[0], 1, 0);
        ORR_ASSERT(rc == 0);
    }
    mhand_take(h);
    mhand_forget(h);
    return h;
}

void mhand_free(struct mhand *h) {
    orr_membership_free(h->m);
    free(h->said);
    free(h);
}

/* -- What it says -------------------------------------------------------------------------------------------------- */
static void note_packet(struct mhand *h, const struct orr_membership_ready *r) {
    ORR_ASSERT(h->n_said < MHAND_SAID && r->packet.bytes.size <= ORR_MEMBERSHIP_PACKET_MAX);
    struct mhand_said *s = &h->said[h->n_said++];
    s->at = h->now;
    s->to = name_of(r->packet.to);
    s->size = r->packet.bytes.size;
    memcpy(s->bytes, r->packet.bytes.at, s->size);
    struct orr_slice bytes = orr_borrow(s->bytes, s->size);
    bool whole = orri_packet_whole(&bytes);
    int rc = orri_packet_read(bytes, &s->packet, &s->facts);
    ORR_ASSERT(whole && rc == 0);
}

void mhand_take(struct mhand *h) {
    for (const struct orr_membership_ready *r; (r = orr_membership_ready(h->m));) {
        if (r->kind == ORR_MEMBERSHIP_PACKET) {
            note_packet(h, r);
            continue;
        }
        ORR_ASSERT(h->n_events < MHAND_EVENTS);
        h->events[h->n_events++] = (struct mhand_event){ r->event.kind, name_of(r->event.id), name_of(r->event.by),
                                                         r->event.incarnation };
    }
}

void mhand_forget(struct mhand *h) { h->n_said = h->n_events = 0; }

void mhand_until(struct mhand *h, orr_time at) {
    for (orr_time next; (next = orr_membership_deadline(h->m)) <= at;) {
        if (next > h->now) h->now = next;
        orr_membership_tick(h->m, h->now);
        mhand_take(h);
    }
    h->now = at;
}

/* -- What it is told ----------------------------------------------------------------------------------------------- */
struct orri_fact mhand_brief(enum orr_member_state state, char of, uint64_t incarnation, char by) {
    return (struct orri_fact){ .state = state, .id = mhand_id(of), .by = mhand_id(by), .incarnation = incarnation };
}

struct orri_fact mhand_whole(enum orr_member_state state, const char *of, uint64_t incarnation) {
    return (struct orri_fact){ .state = state, .whole = true, .id = orr_id_of(of), .incarnation = incarnation,
                               .name = orr_borrow(of, strlen(of)), .address = orr_borrow("address", 7) };
}

int mhand_recv(struct mhand *h, char from, struct orri_packet packet, const struct orri_fact *facts, size_t n) {
    unsigned char bytes[ORR_MEMBERSHIP_PACKET_MAX];
    struct orr_writer w = orri_writer(bytes, sizeof bytes - ORRI_SUM);
    packet.from = mhand_id(from);
    packet.to = mhand_id('a');
    orri_packet_write(&w, &packet, 0, false);
    for (size_t i = 0; i < n; i++) orri_fact_write(&w, &facts[i]);
    ORR_ASSERT(!w.failed);
    size_t size = orri_packet_sum(bytes, (size_t)(w.at - bytes));
    int rc = orr_membership_recv(h->m, h->now, packet.from, orr_borrow(bytes, size));
    mhand_take(h);
    return rc;
}

int mhand_told(struct mhand *h, char from, enum orr_member_state state, char of, uint64_t incarnation, char by) {
    char name[2] = { of, 0 };
    struct orri_fact f = state == ORR_MEMBER_ALIVE ? mhand_whole(state, name, incarnation)
                                                   : mhand_brief(state, of, incarnation, by);
    return mhand_recv(h, from, (struct orri_packet){ .kind = ORRI_GOSSIP }, &f, 1);
}

int mhand_ack(struct mhand *h, const struct mhand_said *ping) {
    struct orri_packet ack = { .kind = ORRI_ACK, .sequence = ping->packet.sequence };
    return mhand_recv(h, ping->to, ack, NULL, 0);
}

void mhand_answering(struct mhand *h, orr_time until) {
    for (orr_time next; (next = orr_membership_deadline(h->m)) <= until;) {
        size_t from = h->n_said;
        mhand_until(h, next);
        for (size_t i = from; i < h->n_said; i++) {
            if (h->said[i].packet.kind == ORRI_PING) mhand_ack(h, &h->said[i]);
        }
    }
    h->now = until;
}

/* -- What it said -------------------------------------------------------------------------------------------------- */
static bool fits(const struct mhand_said *s, enum orri_kind kind, char to) {
    return s->packet.kind == kind && (to == 0 || s->to == to);
}

const struct mhand_said *mhand_said(const struct mhand *h, enum orri_kind kind, char to) {
    for (size_t i = 0; i < h->n_said; i++) {
        if (fits(&h->said[i], kind, to)) return &h->said[i];
    }
    return NULL;
}

size_t mhand_count(const struct mhand *h, enum orri_kind kind, char to) {
    size_t n = 0;
    for (size_t i = 0; i < h->n_said; i++) n += fits(&h->said[i], kind, to);
    return n;
}

bool mhand_says(const struct mhand_said *s, enum orr_member_state state, char of, uint64_t incarnation) {
    for (size_t i = 0; i < s->facts.n; i++) {
        const struct orri_fact *f = &s->facts.at[i];
        if (f->state == state && f->id == mhand_id(of) && f->incarnation == incarnation) return true;
    }
    return false;
}

bool mhand_event(const struct mhand *h, enum orr_member_event_kind kind, char of) {
    for (size_t i = 0; i < h->n_events; i++) {
        if (h->events[i].kind == kind && h->events[i].of == of) return true;
    }
    return false;
}

struct orr_member_info mhand_sees(const struct mhand *h, char of) {
    struct orr_member_info member;
    if (!orr_membership_find(h->m, mhand_id(of), &member))
        member = (struct orr_member_info){ .state = (enum orr_member_state)MHAND_NOBODY };
    return member;
}

struct orr_membership_status mhand_status(const struct mhand *h) {
    struct orr_membership_status status;
    orr_membership_status(h->m, &status);
    return status;
}
