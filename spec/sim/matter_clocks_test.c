/* matter_clocks_test.c - each kind of fault of clocks, memory, turns and clients matters: a bug that only it finds
 * (matter.h). */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "matter.h"

enum { A, B };

/* -- Clocks ------------------------------------------------------------------------------------------------------- */
static orr_time wall_of(const struct member *m) {
    struct orr_wall wall;
    m->p.w->ops->wall(m->p.w, &wall);
    return wall.realtime;
}

/* Measures how long 20 ms are. */
struct watch {
    orr_time began, wall;
};
static void watch_turn(struct member *m) {
    struct watch *s = m->memory;
    orr_time passed = now_of(m) - s->began, measured = wall_of(m) - s->wall;
    if (passed < 20 * ORR_MS) return;
    bool odd = measured < 0 || measured > passed + ORR_SECOND;
    if (s->began && odd && !m->rig->careful) m->rig->wrong = true;
    s->began = now_of(m);
    s->wall = wall_of(m);
    m->rig->work++;
}
static const struct program by_the_wall = { .bug = "durations can be read off the wall clock", .nodes = 1,
    .memory = sizeof(struct watch), .turn = watch_turn };

/* Stamps what it does each millisecond; no two stamps are alike. */
static void stamp_turn(struct member *m) {
    struct watch *s = m->memory;
    if (now_of(m) < s->began + ORR_MS) return;
    orr_time stamp = wall_of(m);
    if (m->rig->careful && stamp <= s->wall) stamp = s->wall + 1;
    if (s->wall && stamp == s->wall) m->rig->wrong = true;
    s->began = now_of(m);
    s->wall = stamp;
    m->rig->work++;
}
static const struct program stamps = { .bug = "the wall clock goes on", .nodes = 1, .memory = sizeof(struct watch),
    .turn = stamp_turn };

/* b holds a lease of a's for 100 ms, and uses it up but for what two clocks may differ: 50 ppm, says the data sheet. */
enum { LEASE = 100 * 1000000 };
struct holder {
    orr_time until;
};
struct granted {
    orr_time until;                 /* by a's clock, in that life of a */
    uint16_t boot;
};
static void lease_turn(struct member *m) {
    struct holder *s = m->memory;
    struct granted *l = m->rig->ledger;
    struct orr_world *a = orr_sim_world(m->rig->sim, "a");
    if (m->place != B) return;
    orr_time allowance = m->rig->careful ? LEASE / 1000 : LEASE / 20000;
    orr_time now = now_of(m), last = s->until - allowance - ORR_US;
    bool uses = s->until && now >= last && now < s->until - allowance;
    if (uses && a && l->boot == m->rig->m[A].boot && a->ops->now(a) >= l->until) m->rig->wrong = true;
    m->rig->work += uses;
    if (now >= last && a) {
        s->until = now + LEASE;
        *l = (struct granted){ a->ops->now(a) + LEASE, m->rig->m[A].boot };
    }
    last = s->until - allowance - ORR_US;
    m->p.w->ops->alarm(m->p.w, last > now ? last : now + ORR_MS, 0);
}
static const struct program uses_it_up = { .bug = "two clocks differ by 50 ppm at most", .nodes = 2, .own_alarm = true,
    .memory = sizeof(struct holder), .ledger = sizeof(struct granted), .start = lease_turn, .turn = lease_turn };

/* -- Memory, turns ------------------------------------------------------------------------------------------------ */
/* Takes notes, and says how many. The careful one says that it can't take one. */
struct notes {
    uint64_t taken, kept;
};
static void note_turn(struct member *m) {
    struct notes *s = m->memory;
    const struct orr_alloc *alloc = &m->p.w->alloc;
    void *note = alloc->fn(alloc->ud, NULL, 0, 32);
    s->kept += note != NULL;
    s->taken += note != NULL || !m->rig->careful;
    if (s->taken != s->kept) m->rig->wrong = true;
    if (note) (void)alloc->fn(alloc->ud, note, 32, 0);
    m->rig->work++;
}
static const struct program takes_notes = { .bug = "there is memory", .nodes = 1, .memory = sizeof(struct notes),
    .turn = note_turn };

/* Two writes of one turn: when the first is done, the second is, too. */
struct twins {
    struct probe_req req[2];
    struct orr_file *file;
    orr_time next;
};
static void twins_turn(struct member *m) {
    struct twins *s = m->memory;
    PROGRAM_BEGIN(m)
    do {
        s->req[0] = to_open("log", ORR_F_CREATE);
        RUN(m, &s->req[0]);
    } while (status_of(&s->req[0]) != 0);
    s->file = s->req[0].u.open.file;
    for (;;) {
        s->next = now_of(m) + ORR_MS;
        AWAIT(m, now_of(m) >= s->next);
        for (unsigned i = 0; i < 2; i++) {
            s->req[i] = to_write(s->file, i * 8, "eight by", 8);
            submit(m, &s->req[i]);
        }
        AWAIT(m, s->req[0].done);
        m->rig->work++;
        if (s->req[1].done) continue;
        AWAIT(m, s->req[1].done);
        if (!m->rig->careful) m->rig->wrong = true;
    }
    PROGRAM_END
}
static const struct program same_turn = { .bug = "what was begun together is told in one turn", .nodes = 1,
    .memory = sizeof(struct twins), .turn = twins_turn };

/* Copies by pieces, which are tiny now and then: the careless one copies whole pieces only. */
static void pieces_turn(struct member *m) {
    static const char from[24] = "twenty-four bytes of it";
    char to[24] = "";
    size_t piece = ORR_RARE(m->p.w, "tiny piece") ? 5 : 8;
    for (size_t at = 0; at < sizeof to; at += piece) {
        size_t size = sizeof to - at < piece ? sizeof to - at : piece;
        if (size == piece || m->rig->careful) memcpy(to + at, from + at, size);
    }
    if (memcmp(from, to, sizeof to) != 0) m->rig->wrong = true;
    m->rig->work++;
}
static const struct program whole_pieces = { .bug = "what never happens need not work", .nodes = 1,
    .turn = pieces_turn };

/* -- Streams ------------------------------------------------------------------------------------------------------ */
/* Takes the frames that a DATA has, and throws away what is left of it. */
struct frames {
    struct orr_stream *stream;
    uint64_t number;
    orr_time next;
    struct inlet in[INLETS];
};
static void frames_heard(struct member *m, struct inlet *in, const struct word *w) {
    (void)in;
    m->rig->work += whole(w);
}
static void frames_event(struct member *m, struct orr_req *req) {
    struct frames *s = m->memory;
    if (req->op == ORR_OP_DATA && inlet_of(s->in, req)->have > 0 && !m->rig->careful) m->rig->wrong = true;
    read_words(m, s->in, req, frames_heard);
    if (m->place == A && req->op == ORR_OP_CLOSED) s->stream = NULL;
}
static void frames_turn(struct member *m) {
    struct frames *s = m->memory;
    if (m->place != A || now_of(m) < s->next) return;
    s->next = now_of(m) + ORR_MS;
    if (!s->stream) s->stream = call(m, B);
    say(m, s->stream, 1, word_of(m, B, 0, ++s->number, 0));
}
static const struct program whole_frames = { .bug = "a frame comes in one piece", .nodes = 2,
    .memory = sizeof(struct frames), .event = frames_event, .turn = frames_turn };

/* A server that answers after 5 ms; who has said all is gone. The careful one sets `half`. */
struct server {
    struct orr_stream *asks[INLETS];
    orr_time due[INLETS];
};
struct visitor {
    struct rig *rig;
    struct orr_sim_client *client;
    bool busy;
    orr_time asked;
    uint64_t questions, answers;
};
static void server_event(struct member *m, struct orr_req *req) {
    struct server *s = m->memory;
    struct orr_stream *stream = ((const struct orr_stream_event *)(const void *)req)->stream;
    if (req->op == ORR_OP_ACCEPTED) stream->half = m->rig->careful;
    if (req->op != ORR_OP_DATA && req->op != ORR_OP_CLOSED) return;
    unsigned free_one = INLETS;
    for (unsigned i = INLETS; i-- > 0;) {
        if (!s->asks[i]) free_one = i;
        if (s->asks[i] != stream) continue;
        if (req->op == ORR_OP_CLOSED) s->asks[i] = NULL;
        return;                     /* the rest of a question */
    }
    if (req->op == ORR_OP_CLOSED || free_one == INLETS) return;
    s->asks[free_one] = stream;
    s->due[free_one] = now_of(m) + 5 * ORR_MS;
}
static void server_turn(struct member *m) {
    struct server *s = m->memory;
    struct orr_slice answer = orr_borrow("yes", 3);
    for (unsigned i = 0; i < INLETS; i++) {
        if (!s->asks[i] || now_of(m) < s->due[i]) continue;
        (void)m->p.w->ops->send(m->p.w, s->asks[i], 0, &answer, 1);
        m->p.w->ops->close(m->p.w, s->asks[i], true);
        s->asks[i] = NULL;
    }
}
static void visitor_connected(void *ud) { (void)ud; }
static void visitor_data(void *ud, const void *bytes, size_t size) {
    struct visitor *v = ud;
    (void)bytes;
    v->answers += size > 0;
    v->rig->work++;
}
static void visitor_closed(void *ud, int status) {
    (void)status;
    ((struct visitor *)ud)->busy = false;
}
/* Asks, and says that this is all; after 200 ms it hangs up and asks anew. */
static void visitor_tick(void *ud) {
    struct visitor *v = ud;
    orr_time now = orr_sim_now(v->rig->sim);
    if (v->busy && now - v->asked > 200 * ORR_MS) orr_sim_client_close(v->client);
    if (!v->busy && orr_sim_client_connect(v->client, "a:1") == 0) {
        v->busy = true;
        v->asked = now;
        v->questions++;
        (void)orr_sim_client_send(v->client, "well?", 5);
        if (v->rig->rates.rate[ORR_SIM_HALF_CLOSE] > 0) (void)orr_sim_client_end(v->client);
    }
    (void)orr_sim_at(v->rig->sim, now + 10 * ORR_MS, visitor_tick, v);
}
static void visitor_begin(struct rig *r) {
    static const struct orr_sim_client_ops ops = { visitor_connected, visitor_data, visitor_closed };
    struct visitor *v = r->ledger;
    v->rig = r;
    assert_int_equal(orr_sim_client_new(r->sim, &v->client, "v", &ops, v), 0);
    assert_int_equal(orr_sim_at(r->sim, ORR_MS, visitor_tick, v), 0);
}
static void visitor_judge(struct rig *r) {
    const struct visitor *v = r->ledger;
    r->wrong = v->questions >= 10 && v->answers == 0;
}
static const struct program deaf = { .bug = "who has said all wants no answer", .nodes = 1,
    .memory = sizeof(struct server), .ledger = sizeof(struct visitor), .begin = visitor_begin, .event = server_event,
    .turn = server_turn, .judge = visitor_judge };

/* -- Trials ------------------------------------------------------------------------------------------------------- */
static const struct trial trials[] = {
    TRIAL(ORR_SIM_CLOCK_STEP, by_the_wall),
    TRIAL(ORR_SIM_CLOCK_FREEZE, stamps),
    /* A rate that walks and one that is set often: what finds the one finds the other. */
    TRIAL(ORR_SIM_CLOCK_DRIFT, uses_it_up, .siblings = BIT(ORR_SIM_CLOCK_WANDER)),
    TRIAL(ORR_SIM_CLOCK_WANDER, uses_it_up, .siblings = BIT(ORR_SIM_CLOCK_DRIFT)),
    TRIAL(ORR_SIM_ALLOC, takes_notes),
    TRIAL(ORR_SIM_TURN_CUT, same_turn),
    TRIAL(ORR_SIM_SHORT_READ, whole_frames),
    TRIAL(ORR_SIM_RARE, whole_pieces),
    TRIAL(ORR_SIM_HALF_CLOSE, deaf),
};
_Static_assert(ORR_SIM_PARTITION + 1 == ORR_SIM_CRASH && ORR_SIM_PAUSE + 1 == ORR_SIM_WRITE_ERROR &&
               ORR_SIM_NAME_BOTH + 1 == ORR_SIM_CLOCK_STEP && ORR_SIM_HALF_CLOSE + 1 == ORR_SIM_KINDS,
               "each kind is tried in one of matter_*_test.c");

int main(void) {
    return matter_trials(trials, sizeof trials / sizeof *trials, ORR_SIM_CLOCK_STEP, ORR_SIM_HALF_CLOSE);
}
