/* matter_counter.h - a program of one node for trials: it counts on its disk, and tells each number when it is safe.
 *
 * A number is a record of one sector in a file of 64 places that was made ready before; the newest is the count. What
 * was told must be there at the next start, or its disk was damaged. Each flag leaves out one precaution. */
#ifndef ORR_SPEC_SIM_MATTER_COUNTER_H
#define ORR_SPEC_SIM_MATTER_COUNTER_H

#include <errno.h>

#include "matter.h"

enum {
    KEEPS_NOTHING = 1 << 0,         /* on its disk */
    TELLS_SUBMITTED = 1 << 1,       /* ... what is not yet written */
    TELLS_WRITTEN = 1 << 2,         /* ... what is not synced */
    TRUSTS_CACHE = 1 << 3,          /* tells what it reads at its start, and does not sync it first */
    TRUSTS_EMPTY = 1 << 4,          /* takes an empty disk for its first start, and asks nobody */
    TRUSTS_OLD = 1 << 5,            /* takes what is on its disk for the newest, and asks nobody */
    SERVES_RESIGNED = 1 << 6,       /* serves, though it has told that it never will again */
    DOES_AGAIN = 1 << 7,            /* what it did not tell, though it is there */
    PASSES_ERRORS = 1 << 8,         /* of writes: looks for a full disk only */
    PASSES_SYNC = 1 << 9,           /* syncs once more where a sync failed, and does not look again */
    LOSES_PATIENCE = 1 << 10,       /* takes a sync for done after half a second */
    GIVES_UP = 1 << 11,             /* on what takes 5 ms, and does it again */
    PASSES_FULL = 1 << 12,          /* looks for failed writes only, not for a full disk */

    ASKS = TRUSTS_EMPTY | TRUSTS_OLD,        /* at its start others tell it what it told: no damage is an excuse */
    AT_ONCE = PASSES_ERRORS | PASSES_SYNC | LOSES_PATIENCE | PASSES_FULL     /* judged when it tells */
};
enum { RECORD = 512, PLACES = 64 };

struct record {
    uint64_t number, place, sum;
    unsigned char rest[RECORD - 24];
};
struct counter {
    struct probe_req req;
    struct orr_file *file;
    uint64_t n;
    bool fresh, bad;                /* there was no record; some record is not whole */
    orr_time next, began, asked, patience;
    struct record record, back;
    struct record all[PLACES];
};
struct told {
    uint64_t number, tried, in_time;
    bool resigned;
};

static inline struct record record_of(uint64_t number, uint64_t place) {
    struct record r = { .number = number, .place = place };
    memset(r.rest, (int)(number * 7 + place) & 0xff, sizeof r.rest);
    r.sum = mix(number, place);
    return r;
}
static inline bool record_fits(const struct record *r, uint64_t place) {
    struct record whole_one = record_of(r->number, place);
    return memcmp(r, &whole_one, sizeof whole_one) == 0;
}
/* Only disks that are filled up grow with the numbers. */
static inline uint64_t place_of(const struct member *m, uint64_t n) { return flag(m, PASSES_FULL) ? n : n % PLACES; }

static inline void counter_tell(struct member *m) {
    struct counter *s = m->memory;
    struct told *l = m->rig->ledger;
    if (l->resigned) m->rig->wrong = true;
    uint64_t place = place_of(m, s->n);
    struct record there;
    size_t got = 0;
    (void)orr_sim_disk_durable(m->rig->sim, m->p.name, "log", place * RECORD, &there, sizeof there, &got);
    bool safe = got == sizeof there && there.number == s->n && record_fits(&there, place);
    if (flag(m, AT_ONCE) && !safe && !damaged(m)) m->rig->wrong = true;
    l->number = s->n;
    m->rig->work++;
}

/* What the disk says at a start. */
static inline void counter_look(struct member *m) {
    struct counter *s = m->memory;
    take_read(&s->req, s->all, sizeof s->all);
    for (uint64_t i = 0; i < PLACES; i++) {
        static const struct record blank;
        bool is_blank = memcmp(&s->all[i], &blank, sizeof blank) == 0;
        bool fits = record_fits(&s->all[i], i);
        if (fits && s->all[i].number > s->n) s->n = s->all[i].number;
        s->bad |= !fits && !is_blank;
    }
    s->fresh = s->n == 0;
}

static inline void counter_recover(struct member *m) {
    struct counter *s = m->memory;
    struct told *l = m->rig->ledger;
    bool believes = careless(m, TRUSTS_EMPTY) ? s->fresh : careless(m, TRUSTS_OLD) && !s->fresh && !s->bad;
    if (flag(m, AT_ONCE) || (flag(m, ASKS) && !believes)) s->n = l->number;
    if (s->n < l->number && (flag(m, ASKS) || !damaged(m))) m->rig->wrong = true;
    if (s->n > l->number && careless(m, DOES_AGAIN)) m->rig->wrong = true;
    if (s->n < l->number) s->n = l->number;
    l->number = s->n;
}

/* A disk that fails is not used again in this life. */
static inline void counter_fail(struct member *m) {
    struct told *l = m->rig->ledger;
    if (flag(m, SERVES_RESIGNED)) l->resigned = true;
    if (!flag(m, DOES_AGAIN)) m->p.w->ops->stop(m->p.w, 1, "disk");
}
#define COUNTER_FAILS(m)                                                                                               \
    do {                                                                                                               \
        counter_fail(m);                                                                                               \
        AWAIT(m, false);                                                                                               \
    } while (0)

/* Is it to be written once more? */
static inline bool counter_again(struct member *m) {
    const struct counter *s = m->memory;
    int status = status_of(&s->req);
    if (status == ORR_EFULL) return !careless(m, PASSES_FULL);
    return status != 0 && !careless(m, PASSES_ERRORS);
}

static inline bool counter_too_late(struct member *m) {
    struct counter *s = m->memory;
    struct told *l = m->rig->ledger;
    if (!flag(m, GIVES_UP)) return false;
    bool late = now_of(m) - s->began > s->patience;
    if (late && m->rig->careful) s->patience *= 2;
    l->tried++;
    l->in_time += !late;
    return late;
}

static inline void counter_turn(struct member *m) {
    struct counter *s = m->memory;
    struct told *l = m->rig->ledger;
    PROGRAM_BEGIN(m)
    s->patience = 5 * ORR_MS;
    if (careless(m, KEEPS_NOTHING)) counter_recover(m);
    while (careless(m, KEEPS_NOTHING)) {
        s->n++;
        counter_tell(m);
        s->next = now_of(m) + ORR_MS;
        AWAIT(m, now_of(m) >= s->next);
    }
    do {
        s->req = to_open("log", ORR_F_CREATE);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    s->file = s->req.u.open.file;
    if (s->req.u.open.size >= sizeof s->all) goto made;
    s->req = to_name(ORR_OP_SYNC_DIR, NULL, NULL);
    RUN(m, &s->req);
    if (status_of(&s->req) != 0) COUNTER_FAILS(m);
    if (flag(m, PASSES_FULL)) goto made;
    do {
        s->req = to_do(s->file, ORR_OP_PREPARE, sizeof s->all);
        RUN(m, &s->req);
    } while (status_of(&s->req) == ORR_EFULL);
    s->req = to_do(s->file, ORR_OP_SYNC, 0);
    RUN(m, &s->req);
    if (status_of(&s->req) != 0) COUNTER_FAILS(m);
made:
    do {
        s->req = to_read(s->file, 0, sizeof s->all);
        RUN(m, &s->req);
    } while (status_of(&s->req) != 0);
    counter_look(m);
    if (!careless(m, TRUSTS_CACHE | TELLS_SUBMITTED | TELLS_WRITTEN)) {
        s->req = to_do(s->file, ORR_OP_SYNC, 0);
        RUN(m, &s->req);
        if (status_of(&s->req) != 0) COUNTER_FAILS(m);
    }
    counter_recover(m);
    s->next = now_of(m) + (flag(m, TRUSTS_CACHE) ? 300 : 1) * ORR_MS;        /* it reads only, at first */
    AWAIT(m, !(l->resigned && m->rig->careful));
    for (;;) {
        AWAIT(m, now_of(m) >= s->next);
        s->next = now_of(m) + ORR_MS;
        s->n++;
        s->record = record_of(s->n, place_of(m, s->n));
    again:
        s->began = now_of(m);
        do {
            s->req = to_write(s->file, s->record.place * RECORD, &s->record, sizeof s->record);
            submit(m, &s->req);
            if (careless(m, TELLS_SUBMITTED)) counter_tell(m);
            AWAIT(m, s->req.done);
            if (status_of(&s->req) == ORR_EPOISONED) COUNTER_FAILS(m);
        } while (counter_again(m));
        if (careless(m, TELLS_WRITTEN)) counter_tell(m);
        if (careless(m, TELLS_SUBMITTED | TELLS_WRITTEN)) continue;
        s->asked = now_of(m);
        s->req = to_do(s->file, ORR_OP_SYNC, 0);
        submit(m, &s->req);
        AWAIT(m, s->req.done || (careless(m, LOSES_PATIENCE) && now_of(m) - s->asked > 500 * ORR_MS));
        if (!s->req.done) counter_tell(m);
        AWAIT(m, s->req.done);
        if (status_of(&s->req) != 0 && careless(m, PASSES_SYNC)) {
            s->req = to_do(s->file, ORR_OP_SYNC, 0);
            RUN(m, &s->req);
        } else if (status_of(&s->req) != 0) {
            COUNTER_FAILS(m);
        }
        if (counter_too_late(m)) goto again;
        if (flag(m, ASKS)) {                /* what is damaged at once is written once more */
            s->req = to_read(s->file, s->record.place * RECORD, sizeof s->record);
            RUN(m, &s->req);
            take_read(&s->req, &s->back, sizeof s->back);
            if (memcmp(&s->back, &s->record, sizeof s->back) != 0) goto again;
        }
        counter_tell(m);
    }
    PROGRAM_END
}

static inline void counter_judge(struct rig *r) {
    const struct told *l = r->ledger;
    r->wrong = l->tried >= 20 && l->in_time == 0;
}

#define COUNTER(carelessness, ...)                                                                                     \
    { .memory = sizeof(struct counter), .ledger = sizeof(struct told), .turn = counter_turn, .nodes = 1,               \
      .flags = (carelessness), __VA_ARGS__ }

#endif
