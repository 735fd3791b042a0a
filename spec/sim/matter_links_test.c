/* matter_links_test.c - each kind of fault of links and datagrams matters: a bug that only it finds (matter.h). */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "matter.h"

enum { NUMBERS = 8192 };            /* more than one a millisecond */
enum { A, B, C };

static void each_ms(struct member *m, orr_time *next, orr_time every, void (*fn)(struct member *m)) {
    if (now_of(m) < *next) return;
    *next = now_of(m) + every;
    fn(m);
}

/* -- Copies: b is to have every number that a had --------------------------------------------------------------- */
/* a tells b each number once, and where it sees that something may have been lost, all of them by a COPY. By datagram
 * it sees that by pings on a stream beside them, which are answered late or not at all; by stream, by the stream's end.
 * What it takes for granted: that a link which answers pings loses nothing (COPY_GRAMS); that what was said before a
 * reset has arrived (COPY_STREAM). */
enum { SET = 1, PING, PONG, COPY, NEED };
enum { COPY_GRAMS = 1, COPY_STREAM = 2 };
struct copy {
    struct orr_stream *stream;      /* a's */
    bool trouble;
    uint16_t boot;                  /* of the b that it was last connected to */
    uint64_t number;
    orr_time next, copied, pinged[NUMBERS];
    struct inlet in[INLETS];
    uint16_t from_boot;             /* b's: of the a that these are of */
    uint64_t newest;
    bool have[NUMBERS];
};

static void copy_need(struct member *m) {
    struct copy *s = m->memory;
    for (unsigned i = 0; i < INLETS; i++) {
        if (s->in[i].stream) say(m, s->in[i].stream, 1, word_of(m, A, NEED, 0, 0));
    }
}

static void copy_heard(struct member *m, struct inlet *in, const struct word *w) {
    struct copy *s = m->memory;
    bool fits = whole(w) && timely(m, w) && w->number < NUMBERS;
    if (m->place == A) {
        bool late = fits && w->kind == PONG && now_of(m) - s->pinged[w->number] > 800 * ORR_US;
        if (!fits || late || w->kind == NEED) s->trouble = true;
        return;
    }
    if (fits && w->from_boot != s->from_boot) {
        memset(s->have, 0, sizeof s->have);
        s->newest = 0;
        s->from_boot = w->from_boot;
    }
    if (!fits) copy_need(m);
    if (!fits) return;
    if (w->kind == PING && in) say(m, in->stream, 1, word_of(m, A, PONG, w->number, 0));
    if (w->kind == COPY) memset(s->have, true, w->number + 1);
    bool gap = w->kind == SET && w->number > s->newest + 1 && m->rig->careful;
    if (gap) copy_need(m);
    if ((w->kind == SET || w->kind == COPY) && w->number > s->newest) s->newest = w->number;
    if (w->kind == SET) s->have[w->number] = true;
}

static void copy_event(struct member *m, struct orr_req *req) {
    struct copy *s = m->memory;
    struct word w;
    if (caught(req, &w)) copy_heard(m, NULL, &w);
    if (m->place == B && req->op == ORR_OP_ACCEPTED) (void)inlet_of(s->in, req);
    if (m->place == B && req->op == ORR_OP_ACCEPTED && s->newest == 0) copy_need(m);
    read_words(m, s->in, req, copy_heard);
    if (m->place != A) return;
    if (req->op == ORR_OP_CONNECTED && m->rig->m[B].boot != s->boot) s->trouble = true;
    if (req->op == ORR_OP_CONNECTED) s->boot = m->rig->m[B].boot;
    if (req->op != ORR_OP_CLOSED) return;
    s->stream = NULL;
    if (flag(m, COPY_GRAMS) || req->status != -ECONNRESET || m->rig->careful) s->trouble = true;
}

static void copy_tell(struct member *m) {
    struct copy *s = m->memory;
    s->number++;
    m->rig->work++;
    if (flag(m, COPY_STREAM)) {
        say(m, s->stream, 1, word_of(m, B, SET, s->number, 0));
        return;
    }
    throw_word(m, B, SET, s->number, 0);
    s->pinged[s->number] = now_of(m);
    say(m, s->stream, 1, word_of(m, B, PING, s->number, 0));
}

static void copy_turn(struct member *m) {
    struct copy *s = m->memory;
    if (m->place != A) return;
    if (!s->stream) s->stream = call(m, B);
    each_ms(m, &s->next, 4 * ORR_MS, copy_tell);
    if (!s->trouble || now_of(m) < s->copied + 20 * ORR_MS) return;
    say(m, s->stream, 1, word_of(m, B, COPY, s->number, 0));
    s->copied = now_of(m);
    s->trouble = false;
}

static void copy_judge(struct rig *r) {
    const struct copy *a = r->m[A].memory, *b = r->m[B].memory;
    for (uint64_t n = 1; n + 100 < a->number; n++) r->wrong |= !b->have[n];
}

static const struct program copy_grams = {
    .bug = "a link that answers pings loses nothing", .nodes = 2, .memory = sizeof(struct copy), .event = copy_event,
    .turn = copy_turn, .judge = copy_judge, .flags = COPY_GRAMS, .heals = true };
static const struct program copy_stream = {
    .bug = "what was said before a reset has arrived", .nodes = 2, .memory = sizeof(struct copy), .event = copy_event,
    .turn = copy_turn, .judge = copy_judge, .flags = COPY_STREAM, .heals = true };

/* -- Datagrams ---------------------------------------------------------------------------------------------------- */
/* Counts what it gets, and drops what it has counted: but it marks that some time later only. */
struct count {
    uint64_t number;
    orr_time next, seen[NUMBERS];
};
static void count_tell(struct member *m) { throw_word(m, B, SET, ++((struct count *)m->memory)->number, 0); }
static void count_turn(struct member *m) {
    if (m->place == A) each_ms(m, &((struct count *)m->memory)->next, ORR_MS, count_tell);
}
static void count_event(struct member *m, struct orr_req *req) {
    struct count *s = m->memory;
    struct word w;
    if (m->place != B || !caught(req, &w) || !whole(&w) || !timely(m, &w)) return;
    orr_time at = ((const struct orr_datagram *)(const void *)req)->received;
    orr_time first = s->seen[w.number % NUMBERS];
    if (first && (m->rig->careful || at - first > 900 * ORR_US)) return;
    if (first) m->rig->wrong = true;
    s->seen[w.number % NUMBERS] = at;
    m->rig->work++;
}
static const struct program count_twice = { .bug = "nothing comes twice at once", .nodes = 2,
    .memory = sizeof(struct count), .event = count_event, .turn = count_turn };

/* The last one to come is the newest. (What it has had it drops, and what is far too late; and when one came that was
 * not whole, it looks at the numbers for as long as that may come again.) */
struct latest {
    uint64_t number, value;
    orr_time next, doubt;
    uint16_t from_boot;
    bool seen[NUMBERS];
};
static void latest_tell(struct member *m) { throw_word(m, B, SET, ++((struct latest *)m->memory)->number, 0); }
static void latest_turn(struct member *m) {
    if (m->place == A) each_ms(m, &((struct latest *)m->memory)->next, 15 * ORR_MS, latest_tell);
}
static void latest_event(struct member *m, struct orr_req *req) {
    struct latest *s = m->memory;
    struct word w;
    if (m->place != B || !caught(req, &w)) return;
    if (!whole(&w)) s->doubt = now_of(m) + 1100 * ORR_MS;
    if (!whole(&w) || !timely(m, &w)) return;
    if (w.from_boot != s->from_boot) *s = (struct latest){ .doubt = s->doubt, .from_boot = w.from_boot };
    if (s->seen[w.number % NUMBERS]) return;
    s->seen[w.number % NUMBERS] = true;
    bool numbers = m->rig->careful || now_of(m) < s->doubt;
    if (w.number + 2 < s->value || (numbers && w.number < s->value)) return;
    if (w.number < s->value) m->rig->wrong = true;
    s->value = w.number;
    m->rig->work++;
}
static const struct program last_wins = { .bug = "who comes last was sent last", .nodes = 2,
    .memory = sizeof(struct latest), .event = latest_event, .turn = latest_turn };

/* What arrives is what was sent. */
static void value_tell(struct member *m) {
    struct count *s = m->memory;
    s->number++;
    throw_word(m, B, SET, s->number, mix(s->number, 1));
}
static void value_turn(struct member *m) {
    if (m->place == A) each_ms(m, &((struct count *)m->memory)->next, ORR_MS, value_tell);
}
static void value_event(struct member *m, struct orr_req *req) {
    struct word w;
    if (!caught(req, &w) || (m->rig->careful && !whole(&w)) || !timely(m, &w)) return;
    if (w.value != mix(w.number, 1)) m->rig->wrong = true;
    m->rig->work++;
}
static const struct program no_checksum = { .bug = "what arrives is what was sent", .nodes = 2,
    .memory = sizeof(struct count), .event = value_event, .turn = value_turn };

/* -- Streams ------------------------------------------------------------------------------------------------------ */
/* a has two streams to b; b listens to both, and looks about: is it awake, and is the link in order? */
struct lines {
    struct orr_stream *stream[2];
    bool open[2];
    uint64_t number, first;         /* first: since both are open */
    orr_time next, turn, beat, doubt, said[2];
    bool slept;
    struct inlet in[INLETS];
    uint64_t beats, heard[2], half, done;
    uint16_t from_boot;
};
static void lines_event(struct member *m, struct orr_req *req,
                        void (*fn)(struct member *m, struct inlet *in, const struct word *w)) {
    struct lines *s = m->memory;
    if (now_of(m) != s->turn) s->slept = now_of(m) - s->turn > 1500 * ORR_US;
    s->turn = now_of(m);
    if (s->turn - s->beat > 5 * ORR_MS || req->op == ORR_OP_ACCEPTED || req->op == ORR_OP_CLOSED)
        s->doubt = s->turn + 400 * ORR_MS;
    struct word w;
    bool beats = caught(req, &w) && whole(&w) && ((uint64_t)w.from_boot << 32 | w.number) > s->beats;
    if (beats) s->beats = (uint64_t)w.from_boot << 32 | w.number;
    if (beats) s->beat = s->turn;
    read_words(m, s->in, req, fn);
    if (req->op == ORR_OP_CLOSED) s->heard[0] = s->heard[1] = 0;
    if (m->place != A || (req->op != ORR_OP_CLOSED && req->op != ORR_OP_CONNECTED)) return;
    for (unsigned i = 0; i < 2; i++) {
        if (s->stream[i] != ((const struct orr_stream_event *)(const void *)req)->stream) continue;
        s->open[i] = req->op == ORR_OP_CONNECTED;
        if (!s->open[i]) s->stream[i] = NULL;
    }
}
static void lines_turn(struct member *m, orr_time every, void (*fn)(struct member *m)) {
    struct lines *s = m->memory;
    s->turn = now_of(m);
    if (m->place != A) return;
    for (unsigned i = 0; i < 2; i++) {
        if (!s->stream[i]) s->stream[i] = call(m, B);
    }
    each_ms(m, &s->next, every, fn);
}

/* What is said on one stream is heard before what is said on the other, 20 ms later - as long as the link is in order,
 * which it sees by datagrams that come each other millisecond. */
static void order_tell(struct member *m) {
    struct lines *s = m->memory;
    throw_word(m, B, SET, s->number + 1, 0);
    if (!s->open[0] || !s->open[1]) s->first = s->number + 1;
    if (s->number++ % 10 != 0 || s->number < s->first) return;
    say(m, s->stream[0], 1, word_of(m, B, 0, s->number, 0));
    if (s->number >= s->first + 10) say(m, s->stream[1], 1, word_of(m, B, 1, s->number - 10, 0));
}
static void order_heard(struct member *m, struct inlet *in, const struct word *w) {
    struct lines *s = m->memory;
    (void)in;
    if (!whole(w)) s->doubt = now_of(m) + 400 * ORR_MS;
    if (!whole(w) || !timely(m, w) || w->kind > 1) return;
    if (w->number > s->heard[w->kind]) s->heard[w->kind] = w->number;
    bool relies = w->kind == 1 && now_of(m) > s->doubt && s->heard[0] > 0 && !m->rig->careful;
    if (relies && s->heard[0] < w->number) m->rig->wrong = true;
    m->rig->work++;
}
static void order_event(struct member *m, struct orr_req *req) { lines_event(m, req, order_heard); }
static void order_turn(struct member *m) { lines_turn(m, 2 * ORR_MS, order_tell); }
static const struct program two_in_order = { .bug = "two streams of a whole link keep their order", .nodes = 2,
    .memory = sizeof(struct lines), .event = order_event, .turn = order_turn };

/* Divides by the time between the last words of the two streams, which speak by turns. */
static void turns_tell(struct member *m) {
    struct lines *s = m->memory;
    s->number++;
    say(m, s->stream[s->number % 2], 1, word_of(m, B, (uint16_t)(s->number % 2), s->number, 0));
}
static void turns_heard(struct member *m, struct inlet *in, const struct word *w) {
    struct lines *s = m->memory;
    (void)in;
    if (!whole(w) || !timely(m, w) || w->kind > 1) return;
    s->said[w->kind] = now_of(m);
    bool divides = s->said[!w->kind] && !s->slept && !m->rig->careful;
    if (divides && s->said[0] == s->said[1]) m->rig->wrong = true;
    m->rig->work++;
}
static void turns_event(struct member *m, struct orr_req *req) { lines_event(m, req, turns_heard); }
static void turns_turn(struct member *m) { lines_turn(m, 2 * ORR_MS, turns_tell); }
static const struct program by_turns = { .bug = "two streams never speak at the same instant", .nodes = 2,
    .memory = sizeof(struct lines), .event = turns_event, .turn = turns_turn };

/* Adds up what a stream says, which says nothing twice. */
static void sum_heard(struct member *m, struct inlet *in, const struct word *w) {
    if (!whole(w) || !timely(m, w)) return;
    bool again = w->number <= in->last;
    if (again && m->rig->careful) return;
    if (again) m->rig->wrong = true;
    in->last = w->number;
    m->rig->work++;
}
static void sum_event(struct member *m, struct orr_req *req) { lines_event(m, req, sum_heard); }
static const struct program adds_up = { .bug = "a stream says nothing twice", .nodes = 2,
    .memory = sizeof(struct lines), .event = sum_event, .turn = turns_turn };

/* Takes something out and puts it in again by two frames that go out together: in between nobody looks. */
static void halves_tell(struct member *m) {
    struct lines *s = m->memory;
    s->number++;
    say(m, s->stream[0], 10, word_of(m, B, 1, s->number, 0));
    say(m, s->stream[0], 10, word_of(m, B, 2, s->number, 0));
}
static void halves_heard(struct member *m, struct inlet *in, const struct word *w) {
    struct lines *s = m->memory;
    (void)in;
    if (!whole(w) || !timely(m, w)) s->half = 0;
    if (!whole(w) || !timely(m, w) || (w->from_boot == s->from_boot && w->number <= s->done)) return;
    if (w->kind == 1) {
        s->half = w->number;
        s->said[0] = now_of(m);
        return;
    }
    bool seen = s->half == w->number && s->said[0] != now_of(m) && !m->rig->careful;
    if (seen) m->rig->wrong = true;
    s->half = 0;
    s->done = w->number;
    s->from_boot = w->from_boot;
    m->rig->work++;
}
static void halves_event(struct member *m, struct orr_req *req) { lines_event(m, req, halves_heard); }
static void halves_turn(struct member *m) { lines_turn(m, 20 * ORR_MS, halves_tell); }
static const struct program two_halves = { .bug = "what goes out together arrives together", .nodes = 2,
    .memory = sizeof(struct lines), .event = halves_event, .turn = halves_turn };

/* -- Round trips ------------------------------------------------------------------------------------------------- */
/* Whoever has not answered within 20 ms will not: it asks anew, and takes no answer to the old question. */
struct asker {
    uint64_t number;
    orr_time asked, patience;
    bool answered;
};
struct answers {
    uint64_t asked, in_time;
};
static void ask_turn(struct member *m) {
    struct asker *s = m->memory;
    struct answers *l = m->rig->ledger;
    if (s->patience == 0) s->patience = 20 * ORR_MS;
    if (m->place != A || now_of(m) < s->asked + s->patience) return;
    if (m->rig->careful && s->number > 0 && !s->answered && s->patience < ORR_SECOND) s->patience *= 2;
    s->answered = false;
    s->asked = now_of(m);
    l->asked++;
    throw_word(m, B, PING, ++s->number, 0);
}
static void ask_event(struct member *m, struct orr_req *req) {
    struct asker *s = m->memory;
    struct answers *l = m->rig->ledger;
    struct word w;
    if (!caught(req, &w) || !whole(&w) || !timely(m, &w)) return;
    if (m->place == B) throw_word(m, A, PONG, w.number, 0);
    if (m->place != A || w.number != s->number || s->answered) return;
    s->answered = true;
    l->in_time++;
    m->rig->work++;
}
static void ask_judge(struct rig *r) {
    const struct answers *l = r->ledger;
    r->wrong = l->asked >= 100 && l->in_time == 0;
}
static const struct program impatient = { .bug = "an answer takes 20 ms at most", .nodes = 2,
    .memory = sizeof(struct asker), .ledger = sizeof(struct answers), .event = ask_event, .turn = ask_turn,
    .judge = ask_judge };

/* -- Who hears whom ----------------------------------------------------------------------------------------------- */
struct hearing {
    orr_time next, turn, woke;
    orr_time heard[MATTER_NODES];   /* when it heard each last; at first, and after a sleep, when it woke */
    orr_time steady[MATTER_NODES];  /* since when each has come without a gap */
    orr_time complains[MATTER_NODES];       /* since when each says that it does not hear the third; 0: it does */
    orr_time quiet;                 /* serves from then on */
    uint64_t number, last[MATTER_NODES];     /* of what it said, and of what it heard */
    bool had[MATTER_NODES];
};
static bool hears(const struct member *m, unsigned i, orr_time within) {
    const struct hearing *s = m->memory;
    return now_of(m) - s->heard[i] <= within;
}
static bool is_up(const struct rig *r, unsigned i) { return orr_sim_state(r->sim, matter_names[i]) == ORR_SIM_UP; }

static void hearing_start(struct member *m) {
    struct hearing *s = m->memory;
    s->turn = now_of(m);
    s->woke = s->turn;
    s->quiet = s->turn + 300 * ORR_MS;
    for (unsigned i = 0; i < MATTER_NODES; i++) {
        s->heard[i] = s->steady[i] = s->turn;
        s->had[i] = false;
    }
}
/* After a sleep it knows nothing of the others, nor does what came meanwhile say how they are. */
static void hearing_wake(struct member *m) {
    struct hearing *s = m->memory;
    bool slept = now_of(m) - s->turn > 20 * ORR_MS;
    s->turn = now_of(m);
    if (slept) hearing_start(m);
}
static bool hearing_event(struct member *m, const struct orr_req *req, struct word *w) {
    struct hearing *s = m->memory;
    hearing_wake(m);
    if (!caught(req, w) || ((const struct orr_datagram *)(const void *)req)->received < s->woke) return false;
    if (!whole(w) || !timely(m, w) || w->number <= s->last[w->from]) return false;
    s->last[w->from] = w->number;
    if (now_of(m) - s->heard[w->from] > 20 * ORR_MS) s->steady[w->from] = now_of(m);
    s->heard[w->from] = now_of(m);
    s->had[w->from] = true;
    return true;
}
/* Tells the others whom it hears. */
static void hearing_beat(struct member *m) {
    uint64_t heard = 0, number = (uint64_t)m->boot << 32 | ++((struct hearing *)m->memory)->number;
    for (unsigned i = 0; i < m->rig->program->nodes; i++) heard |= (uint64_t)hears(m, i, 20 * ORR_MS) << i;
    for (unsigned i = 0; i < m->rig->program->nodes; i++) {
        if (i != m->place) throw_word(m, i, PING, number, heard);
    }
}

/* Of two that complain of each other at once one is lying: a third expels it, though it hears both. */
static void cut_event(struct member *m, struct orr_req *req) {
    struct hearing *s = m->memory;
    struct word w;
    if (!hearing_event(m, req, &w)) return;
    unsigned other = A + B + C - m->place - w.from;
    orr_time now = now_of(m);
    if (w.value >> other & 1) s->complains[w.from] = 0;
    else if (!s->complains[w.from]) s->complains[w.from] = now;
    m->rig->work++;
    bool sure = now - s->steady[w.from] > 100 * ORR_MS && now - s->steady[other] > 100 * ORR_MS;
    if (!sure || !hears(m, other, 10 * ORR_MS) || !s->complains[w.from] || !s->complains[other]) return;
    orr_time apart = s->complains[w.from] - s->complains[other];
    if (apart < 5 * ORR_MS && apart > -5 * ORR_MS && !m->rig->careful) m->rig->wrong = true;
}
static void cut_turn(struct member *m) {
    hearing_wake(m);
    each_ms(m, &((struct hearing *)m->memory)->next, 2 * ORR_MS, hearing_beat);
}
static const struct program expels = { .bug = "whom all of us hear, hear each other", .nodes = 3,
    .memory = sizeof(struct hearing), .start = hearing_start, .event = cut_event, .turn = cut_turn };

/* b serves as long as it hears a; a, when it has not heard b for longer than that, serves in its place. The careful b
 * must have heard that a hears it. */
static void one_way_event(struct member *m, struct orr_req *req) {
    struct hearing *s = m->memory;
    orr_time before = s->heard[A];
    struct word w;
    if (!hearing_event(m, req, &w)) return;
    m->rig->work++;
    if (m->place == B && m->rig->careful && !(w.value & BIT(B))) s->heard[A] = before;
}
static void one_way_turn(struct member *m) {
    struct hearing *s = m->memory;
    const struct hearing *b = m->rig->m[B].memory;
    orr_time now = now_of(m);
    hearing_wake(m);
    if (m->place == B && now - s->heard[A] > 100 * ORR_MS) s->quiet = now + 300 * ORR_MS;
    if (m->place == A && now - s->heard[B] > 150 * ORR_MS) {
        bool serves = is_up(m->rig, B) && b->turn >= b->quiet;
        if (serves) m->rig->wrong = true;
        s->heard[B] = now;
    }
    each_ms(m, &s->next, 4 * ORR_MS, hearing_beat);
}
static const struct program takes_over = { .bug = "whom I do not hear does not hear me", .nodes = 2,
    .memory = sizeof(struct hearing), .start = hearing_start, .event = one_way_event, .turn = one_way_turn };

/* When both others fall silent at the same moment they have died: who is left goes on alone. */
static void alone_event(struct member *m, struct orr_req *req) {
    struct word w;
    if (hearing_event(m, req, &w)) m->rig->work++;
}
static void alone_turn(struct member *m) {
    struct hearing *s = m->memory;
    unsigned x = (m->place + 1) % 3, y = (m->place + 2) % 3;
    hearing_wake(m);
    each_ms(m, &s->next, 2 * ORR_MS, hearing_beat);
    orr_time apart = s->heard[x] - s->heard[y], silent = now_of(m) - s->heard[x];
    bool both = s->had[x] && s->had[y] && apart < 2300 * ORR_US && apart > -2300 * ORR_US;
    if (!both || silent < 50 * ORR_MS || m->rig->careful) return;
    if (is_up(m->rig, x) && is_up(m->rig, y)) m->rig->wrong = true;
    s->had[x] = s->had[y] = false;
}
static const struct program goes_on_alone = { .bug = "who fall silent together have died", .nodes = 3,
    .memory = sizeof(struct hearing), .start = hearing_start, .event = alone_event, .turn = alone_turn };

/* -- Trials ------------------------------------------------------------------------------------------------------ */
/* Siblings: on a slow or a far link jitter alone lets datagrams overtake; a reset hands over at once what a cut held of
 * several streams, as the end of a stall does; a link that stalls is, to its end, one that is cut in that direction. */
static const struct trial trials[] = {
    TRIAL(ORR_SIM_LOSS, copy_grams),
    TRIAL(ORR_SIM_DUPLICATE, count_twice),
    TRIAL(ORR_SIM_REORDER, last_wins, .rate = 0.3, .siblings = BIT(ORR_SIM_SLOW) | BIT(ORR_SIM_FAR)),
    TRIAL(ORR_SIM_DELAY, two_in_order),
    TRIAL(ORR_SIM_MUTATE, no_checksum),
    TRIAL(ORR_SIM_REPLAY, adds_up),
    TRIAL(ORR_SIM_RESET, copy_stream, .rate = 10),
    TRIAL(ORR_SIM_STALL, by_turns, .siblings = BIT(ORR_SIM_RESET)),
    TRIAL(ORR_SIM_SLOW, two_halves),
    TRIAL(ORR_SIM_FAR, impatient),
    TRIAL(ORR_SIM_CUT, expels),
    TRIAL(ORR_SIM_CUT_ONE_WAY, takes_over, .siblings = BIT(ORR_SIM_STALL)),
    TRIAL(ORR_SIM_PARTITION, goes_on_alone),
};

int main(void) {
    return matter_trials(trials, sizeof trials / sizeof *trials, ORR_SIM_LOSS, ORR_SIM_PARTITION);
}
