/* agree.c - replicas compare the digests of their states: whoever is in the minority stops, and says so.
 *
 * An index names a state, so equal indices must have equal digests. Each replica keeps its digests at every 64th index,
 * and tells the others now and then: the newest of these, or, where nothing was applied for a while, the last one. Who
 * finds that another has a different one opens a dispute: everybody is asked for that index. A replica whose digest has
 * a majority goes on, and names the others in its log. One that a majority contradicts stops its group: it answers
 * `corrupt`, takes no snapshot and hands leadership over, but goes on voting and storing, for its log is as good as
 * ever; its machine no longer sees what is committed. Where all have answered and no digest has a majority, or three
 * disputes in a row could not be settled, nobody can tell who is right, and it stops, too. A snapshot that comes from
 * the leader is a state of others, and ends it; so does a new start, from the last snapshot, which was named only when
 * a majority had agreed with its state or a later one (snapshot.c).
 *
 * A report is a PING with a group and a payload, which a peer that does not know of it takes as a PING:
 *   byte  size  field (little-endian)
 *      0     1  version of this format: 1
 *      1     1  1: what is yours at this index?
 *      2     6  zero
 *      8     8  index
 *     16     8  digest
 * Later versions may be longer.                                                                                      */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "node/inner.h"

enum { VERSION = 1, UNSETTLED_MAX = 3 };
#define BEAT ORR_SECOND
#define DISPUTE (2 * ORR_SECOND)

_Static_assert((int)ORRI_AGREE_VOTERS == (int)ORRI_VOTERS_MAX, "one place for each voter");

/* -- The format ---------------------------------------------------------------------------------------------------- */
void orri_report_write(unsigned char at[ORRI_AGREE_SIZE], const struct orri_report *r) {
    memset(at, 0, ORRI_AGREE_SIZE);
    at[0] = VERSION;
    at[1] = r->asks;
    orri_put_le(at + 8, r->mark.index, 8);
    orri_put_le(at + 16, r->mark.digest, 8);
}

int orri_report_read(struct orr_slice payload, struct orri_report *out) {
    if (payload.size < ORRI_AGREE_SIZE || payload.at[0] != VERSION || payload.at[1] > 1) return ORR_EINVALID;
    out->asks = payload.at[1];
    out->mark = (struct orri_mark){ orri_get_le(payload.at + 8, 8), orri_get_le(payload.at + 16, 8) };
    return out->mark.index ? 0 : ORR_EINVALID;
}

/* -- Telling ------------------------------------------------------------------------------------------------------- */
static void tell(struct orr_group *g, size_t voter, const struct orri_report *r) {
    struct orri_peer *p = orri_names_peer(g->node, g->voters[voter].id);
    unsigned char bytes[ORRI_AGREE_SIZE];
    if (!p) return;
    orri_report_write(bytes, r);
    struct orri_frame frame = { .kind = ORRI_FRAME_PING, .channel = 1, .group = g->number };
    (void)orri_peer_send(p, &frame, orr_borrow(bytes, sizeof bytes), NULL, 0);     /* lost: another one comes */
}

static void tell_all(struct orr_group *g, struct orri_mark mark, bool asks) {
    struct orri_report r = { asks, mark };
    for (size_t i = 0; i < g->n_voters; i++) {
        if (g->voters[i].id != g->node->id) tell(g, i, &r);
    }
}

static struct orri_mark *slot(struct orri_agree *a, orr_index index) {
    return &a->marks[index / ORRI_AGREE_STEP % ORRI_AGREE_MARKS];
}

/* Where the digest costs a walk over the state it is taken now and then only. */
static bool due(const struct orr_group *g, orr_index index) {
    return g->machine_ops->digest_every == 0 || index % g->machine_ops->digest_every == 0;
}

uint64_t orri_agree_traced(const struct orr_group *g, orr_index index) {
    return due(g, index) ? orri_apply_digest(g) : 0;
}

void orri_agree_applied(struct orr_group *g) {
    if (!due(g, g->at.index)) return;
    struct orri_mark now = { g->at.index, orri_apply_digest(g) };
    g->agree.recent[now.index % ORRI_AGREE_RECENT] = now;
    if (now.index % ORRI_AGREE_STEP == 0) *slot(&g->agree, now.index) = now;
}

/* Our digest at that index, if we still know it. */
static bool known(struct orr_group *g, orr_index index, uint64_t *digest) {
    struct orri_mark *marked = slot(&g->agree, index), *recent = &g->agree.recent[index % ORRI_AGREE_RECENT];
    bool costly = g->machine_ops->digest_every > 0;
    if (index == g->at.index && costly && recent->index != index)
        *recent = (struct orri_mark){ index, orri_apply_digest(g) };
    if (index == g->at.index && !costly) *digest = orri_apply_digest(g);
    else if (recent->index == index) *digest = recent->digest;
    else if (marked->index == index) *digest = marked->digest;
    else return false;
    return true;
}

/* A beat in which nothing was applied: then what is here now is what the others have, too. */
static void beat(struct orr_group *g) {
    struct orri_agree *a = &g->agree;
    orr_index every = g->machine_ops->digest_every, step = every > ORRI_AGREE_STEP ? every : ORRI_AGREE_STEP;
    orr_index at = g->at.index, newest = at - at % step;
    struct orri_mark mark = { at == a->seen ? at : newest, 0 };
    a->seen = at;
    a->beat = g->node->now + BEAT;
    if (mark.index <= a->told || !known(g, mark.index, &mark.digest)) return;
    a->told = mark.index;
    tell_all(g, mark, false);
}

/* -- Disputes ------------------------------------------------------------------------------------------------------ */
static size_t count(const struct orr_group *g, uint64_t digest) {
    const struct orri_agree *a = &g->agree;
    size_t n = a->open.digest == digest;
    for (size_t i = 0; i < g->n_voters; i++) n += a->votes[i].index == a->open.index && a->votes[i].digest == digest;
    return n;
}

/* "a 0123456789abcdef, b ..., c not heard" */
static void describe(const struct orr_group *g, char *text, size_t size) {
    const struct orri_agree *a = &g->agree;
    size_t at = 0;
    for (size_t i = 0; i < g->n_voters && at < size; i++) {
        bool self = g->voters[i].id == g->node->id;
        const struct orri_mark *m = self ? &a->open : &a->votes[i];
        char digest[24] = "not heard";
        if (m->index == a->open.index) snprintf(digest, sizeof digest, "%016" PRIx64, m->digest);
        int n = snprintf(text + at, size - at, "%s%s %s", i ? ", " : "", g->voters[i].name, digest);
        at += n > 0 ? (size_t)n : 0;
    }
}

static void say(struct orr_group *g, const char *what) {
    char digests[400] = "";
    describe(g, digests, sizeof digests);
    orri_node_log(g->node, ORR_LOG_ERROR, "group %s: CORRUPT: the replicas' states differ at index %" PRIu64 ": %s",
                  g->name, g->agree.open.index, digests);
    orri_node_log(g->node, ORR_LOG_ERROR, "group %s: %s", g->name, what);
}

static void stop(struct orr_group *g, const char *what) {
    say(g, what);
    g->corrupt = g->machine_broken = true;
    g->agree.open.index = 0;
    orri_snapshot_abort(g);
    orri_snapshot_refuse(g, ORR_ECORRUPT);
    orri_origin_abandon(&g->origin, ORR_ECORRUPT);
    orri_reads_abandon(&g->reads, ORR_ECORRUPT);
}

static void settle(struct orr_group *g) {
    struct orri_agree *a = &g->agree;
    size_t need = g->n_voters / 2 + 1, heard = 1, most = 0;
    for (size_t i = 0; i < g->n_voters; i++) {
        if (a->votes[i].index != a->open.index) continue;
        size_t n = count(g, a->votes[i].digest);
        heard++;
        if (a->votes[i].digest != a->open.digest && n > most) most = n;
    }
    if (count(g, a->open.digest) >= need) {
        say(g, "This one is as the majority has it, and goes on");
        a->settled = a->open.index;
        a->open.index = 0;
        a->unsettled = 0;
    } else if (most >= need) {
        stop(g, "The majority has another than this one, which stops: its requests are answered `corrupt`. Start this "
                "node again: its state is built anew from its last snapshot and its log");
    } else if (heard == g->n_voters) {
        stop(g, "No majority has the same, so nobody knows which is right: the group stops, its requests are answered "
                "`corrupt`");
    } else if (g->node->now >= a->open_until) {
        if (++a->unsettled >= UNSETTLED_MAX)
            stop(g, "Too few answer to tell which is right: the group stops here, its requests are answered `corrupt`");
        a->open.index = 0;
    }
}

static void dispute(struct orr_group *g, struct orri_mark ours, struct orri_mark said, size_t voter) {
    struct orri_agree *a = &g->agree;
    if (a->open.index || ours.index <= a->settled) return;
    a->open = ours;
    a->open_until = g->node->now + DISPUTE;
    memset(a->votes, 0, sizeof a->votes);
    for (size_t i = 0; i < g->n_voters; i++) {
        if (a->said[i].index == ours.index) a->votes[i] = a->said[i];
    }
    a->votes[voter] = said;
    tell_all(g, ours, true);
}

/* What a voter said, once we are as far as it was. */
static void compare(struct orr_group *g, size_t voter) {
    struct orri_mark said = g->agree.said[voter], ours = said;
    if (said.index == 0 || said.index > g->at.index) return;
    g->agree.said[voter].index = 0;
    if (!known(g, said.index, &ours.digest)) return;
    if (ours.digest == said.digest) g->agree.same[voter] = said.index;
    else dispute(g, ours, said, voter);
}

static void answer(struct orr_group *g, size_t voter) {
    struct orri_report r = { .mark.index = g->agree.asked[voter] };
    if (r.mark.index == 0 || r.mark.index > g->at.index) return;
    if (known(g, r.mark.index, &r.mark.digest)) tell(g, voter, &r);
    g->agree.asked[voter] = 0;
}

void orri_agree_report(struct orr_group *g, size_t voter, struct orr_slice payload) {
    struct orri_agree *a = &g->agree;
    struct orri_report r;
    if (orri_report_read(payload, &r) < 0 || g->machine_broken) return;
    a->said[voter] = r.mark;
    if (r.mark.index == a->open.index) a->votes[voter] = r.mark;
    if (r.asks) a->asked[voter] = r.mark.index;
}

bool orri_agree_holds(const struct orr_group *g, orr_index index) {
    size_t n = 1;
    for (size_t i = 0; i < g->n_voters; i++) n += g->agree.same[i] >= index;
    return n >= g->n_voters / 2 + 1;
}

/* -- The turn ------------------------------------------------------------------------------------------------------ */
static void lead_no_more(struct orr_group *g) {
    if (g->status.role != ORR_LEADER || g->node->now < g->agree.beat) return;
    g->agree.beat = g->node->now + BEAT;
    (void)g->order->hand_over(g->x, g->node->now, ORR_NOBODY);
}

void orri_agree_turn(struct orr_group *g) {
    if (g->corrupt) lead_no_more(g);
    if (g->restoring.on || g->machine_broken) return;
    for (size_t i = 0; i < g->n_voters; i++) {
        compare(g, i);
        answer(g, i);
    }
    if (g->agree.open.index) settle(g);
    if (g->machine_broken || g->at.index == g->agree.told) return;
    if (g->node->now >= g->agree.beat || ORR_RARE(g->node->w, "agree.early_beat")) beat(g);
}

orr_time orri_agree_deadline(const struct orr_group *g) {
    const struct orri_agree *a = &g->agree;
    if (g->corrupt) return g->status.role == ORR_LEADER ? a->beat : ORR_NEVER;
    if (g->restoring.on || g->machine_broken || g->n_voters < 2) return ORR_NEVER;
    orr_time at = g->at.index != a->told ? a->beat : ORR_NEVER;
    return a->open.index && a->open_until < at ? a->open_until : at;
}

void orri_agree_restored(struct orr_group *g) {
    g->agree = (struct orri_agree){ .beat = g->node->now + BEAT };
    if (g->corrupt) orri_node_log(g->node, ORR_LOG_WARN, "group %s: its state is whole again: the leader's", g->name);
    if (g->corrupt) g->corrupt = g->machine_broken = false;
}
