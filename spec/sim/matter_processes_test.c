/* matter_processes_test.c - each kind of crash, restart and pause matters: a bug that only it finds (matter.h). */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "matter_counter.h"

enum { A, B, C };

static const struct program keeps_nothing = COUNTER(KEEPS_NOTHING, .bug = "who is up stays up");
static const struct program tells_submitted = COUNTER(TELLS_SUBMITTED, .bug = "what was submitted is written");
static const struct program tells_written = COUNTER(TELLS_WRITTEN, .bug = "what was written is synced");
static const struct program does_again = COUNTER(DOES_AGAIN, .bug = "what was not reported was not done");
static const struct program trusts_cache = COUNTER(TRUSTS_CACHE, .bug = "what can be read is on the disk");
static const struct program trusts_empty = COUNTER(TRUSTS_EMPTY, .bug = "an empty disk is a new one", .twice = true);
static const struct program trusts_old = COUNTER(TRUSTS_OLD, .bug = "a disk in order is the newest", .twice = true);
static const struct program resigned = COUNTER(SERVES_RESIGNED, .bug = "who has stopped is not started again");

/* -- A message to two --------------------------------------------------------------------------------------------- */
/* a tells b and c each number; c must not have one that b lacks when a has died. The careful a tells c when b has
 * confirmed. */
enum { BOOTS = 1024 };
struct teller {
    struct orr_stream *to[MATTER_NODES];
    uint64_t number, confirmed[MATTER_NODES], said[MATTER_NODES];
    orr_time again;
    struct inlet in[INLETS];
};
struct heard {
    uint64_t by[MATTER_NODES][BOOTS];        /* the highest of each life of a */
};
static void teller_heard(struct member *m, struct inlet *in, const struct word *w) {
    struct teller *s = m->memory;
    struct heard *l = m->rig->ledger;
    if (!whole(w) || !timely(m, w)) return;
    if (m->place == A) {
        s->confirmed[w->from] = w->number;
        return;
    }
    uint64_t *by = &l->by[m->place][w->from_boot % BOOTS];
    if (w->number > *by) *by = w->number;
    say(m, in->stream, 1, word_of(m, A, 0, w->number, 0));
    m->rig->work++;
}
static void teller_event(struct member *m, struct orr_req *req) {
    struct teller *s = m->memory;
    read_words(m, s->in, req, teller_heard);
    for (unsigned i = B; req->op == ORR_OP_CLOSED && i <= C; i++) {
        if (s->to[i] == ((const struct orr_stream_event *)(const void *)req)->stream) s->to[i] = NULL;
    }
}
static void teller_turn(struct member *m) {
    struct teller *s = m->memory;
    if (m->place != A) return;
    bool again = now_of(m) >= s->again;
    if (again) s->again = now_of(m) + 20 * ORR_MS;
    if (s->confirmed[B] == s->number && s->confirmed[C] == s->number) s->number++;
    for (unsigned i = B; i <= C; i++) {
        if (!s->to[i]) s->to[i] = call(m, i);
        bool wait = i == C && m->rig->careful && s->confirmed[B] < s->number;
        if (wait || s->confirmed[i] == s->number || (s->said[i] == s->number && !again)) continue;
        s->said[i] = s->number;
        say(m, s->to[i], 1, word_of(m, i, 0, s->number, 0));
    }
}
static void teller_judge(struct rig *r) {
    const struct heard *l = r->ledger;
    for (unsigned boot = 1; boot < BOOTS; boot++) {
        if (boot != r->m[A].boot % BOOTS && l->by[C][boot] > l->by[B][boot]) r->wrong = true;
    }
}
static const struct program tells_both = { .bug = "what goes out in one turn goes out to all", .nodes = 3,
    .memory = sizeof(struct teller), .ledger = sizeof(struct heard), .event = teller_event, .turn = teller_turn,
    .judge = teller_judge, .heals = true };

/* -- An answer that does not come --------------------------------------------------------------------------------- */
/* a asks b, which answers after 20 ms; where the stream is closed it asks once more. The careful a waits 100 ms. */
struct client {
    struct orr_stream *stream;
    uint64_t number;
    orr_time asked;
    struct inlet in[INLETS];
    struct orr_stream *waits;       /* b's: who waits for the answer, which is due */
    uint64_t question;
    orr_time due;
};
static void client_heard(struct member *m, struct inlet *in, const struct word *w) {
    struct client *s = m->memory;
    if (!whole(w) || !timely(m, w)) {
        m->p.w->ops->close(m->p.w, in->stream, false);
    } else if (m->place == B && w->number >= in->last) {
        s->waits = in->stream;
        s->question = in->last = w->number;
        s->due = now_of(m) + 20 * ORR_MS;
    } else if (m->place == A && w->number == s->number) {
        s->asked = 0;
        m->rig->work++;
    }
}
static void client_event(struct member *m, struct orr_req *req) {
    struct client *s = m->memory;
    read_words(m, s->in, req, client_heard);
    if (req->op != ORR_OP_CLOSED) return;
    struct orr_stream *gone = ((const struct orr_stream_event *)(const void *)req)->stream;
    if (s->waits == gone) s->waits = NULL;
    if (s->stream == gone) s->stream = NULL;
}
static void client_turn(struct member *m) {
    struct client *s = m->memory;
    if (m->place == B && s->waits && now_of(m) >= s->due) {
        say(m, s->waits, 1, word_of(m, A, 0, s->question, 0));
        s->waits = NULL;
    }
    if (m->place != A) return;
    bool waits = s->stream && s->asked;
    if (waits && m->rig->careful && now_of(m) - s->asked > 100 * ORR_MS) m->p.w->ops->close(m->p.w, s->stream, false);
    if (waits) return;
    if (!s->asked) s->number++;
    if (!s->stream) s->stream = call(m, B);
    s->asked = now_of(m);
    say(m, s->stream, 1, word_of(m, B, 0, s->number, 0));
}
static void client_judge(struct rig *r) {
    const struct client *s = r->m[A].memory;
    r->wrong = s->asked && orr_sim_world(r->sim, "a")->ops->now(orr_sim_world(r->sim, "a")) - s->asked > 800 * ORR_MS;
}
static const struct program waits_on = { .bug = "who dies says goodbye", .nodes = 2, .memory = sizeof(struct client),
    .event = client_event, .turn = client_turn, .judge = client_judge, .heals = true };

/* -- A lease ------------------------------------------------------------------------------------------------------ */
/* Looks whether its lease has a while to go, and acts in its next turn, a millisecond later. */
struct lease {
    orr_time until, next;
    bool goes;
};
static void lease_turn(struct member *m) {
    struct lease *s = m->memory;
    orr_time *until = m->rig->ledger, now = now_of(m);
    if (s->goes && !(m->rig->careful && now >= s->until)) {
        if (orr_sim_now(m->rig->sim) > *until) m->rig->wrong = true;
        m->rig->work++;
    }
    if (now >= s->next) {           /* the others grant it for 50 ms; it takes 40 */
        s->next = now + 10 * ORR_MS;
        s->until = now + 40 * ORR_MS;
        *until = orr_sim_now(m->rig->sim) + 50 * ORR_MS;
    }
    s->goes = now + 2 * ORR_MS < s->until;
}
static const struct program looked_before = { .bug = "nothing takes long between two turns", .nodes = 1,
    .memory = sizeof(struct lease), .ledger = sizeof(orr_time), .turn = lease_turn };

/* -- Trials ------------------------------------------------------------------------------------------------------- */
/* Siblings: a crash at any event may leave what each crash at an effect leaves: with a write under way it may be
 * unwritten, written or lost, as after crash_submitted; what crash_written leaves, crash_submitted may have written
 * before; what crash_synced leaves, a crash before the sync may have brought to the disk by itself. And a node is
 * started again only where it stops by itself: here, because a sync failed. */
static const struct trial trials[] = {
    TRIAL(ORR_SIM_CRASH, keeps_nothing),
    TRIAL(ORR_SIM_CRASH_SEND, tells_both, .siblings = BIT(ORR_SIM_CRASH)),
    TRIAL(ORR_SIM_CRASH_SUBMITTED, tells_submitted, .siblings = BIT(ORR_SIM_CRASH), .kills = true),
    TRIAL(ORR_SIM_CRASH_WRITTEN, tells_written, .siblings = BIT(ORR_SIM_CRASH) | BIT(ORR_SIM_CRASH_SUBMITTED)),
    TRIAL(ORR_SIM_CRASH_SYNCED, does_again,
          .siblings = BIT(ORR_SIM_CRASH) | BIT(ORR_SIM_CRASH_SUBMITTED) | BIT(ORR_SIM_CRASH_WRITTEN)),
    TRIAL(ORR_SIM_CRASH_PROCESS, trusts_cache, .rate = 0.5, .with = BIT(ORR_SIM_CRASH)),
    TRIAL(ORR_SIM_CRASH_SILENT, waits_on, .with = BIT(ORR_SIM_CRASH)),
    TRIAL(ORR_SIM_RESTART_EMPTY, trusts_empty, .with = BIT(ORR_SIM_CRASH)),
    TRIAL(ORR_SIM_RESTART_OLD, trusts_old, .with = BIT(ORR_SIM_CRASH)),
    TRIAL(ORR_SIM_START, resigned, .with = BIT(ORR_SIM_SYNC_ERROR), .siblings = BIT(ORR_SIM_SYNC_ERROR)),
    TRIAL(ORR_SIM_PAUSE, looked_before),
};

int main(void) {
    return matter_trials(trials, sizeof trials / sizeof *trials, ORR_SIM_CRASH, ORR_SIM_PAUSE);
}
