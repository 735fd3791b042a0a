/* raft_read.c - linearizable reads without the log: ReadIndex (thesis 6.4), on the leader and, forwarded, on all
 * others.
 *
 * The leader notes its commit index for the reads of a turn, starts one round of confirmation for all of them, and
 * answers when a quorum has replied to an append of that round or a later one: then it was still the leader after
 * they came. It must have committed an entry of its own term first, else its commit index may be behind what
 * earlier leaders committed.
 *
 * Others forward: one message for all that waits, naming a batch; a reply answers that batch and all before it.
 * With a lease (raft_lease.c) the leader answers at once, and no round begins.
 *
 * Batches start at a random number, so that a reply to an earlier life of this node answers nothing. A change of
 * leader forwards anew; what isn't answered in twice the election timeout is refused with ORR_ENOLEADER.
 *
 * `reads` is in order of arrival, and so, among reads of one origin, of rounds and batches. */
#include "internal.h"

static struct orri_raft_read *read_at(const struct orr_raft *r, size_t i) {
    return &r->reads[(r->reads_first + i) % ORRI_RAFT_READS_MAX];
}

static bool is_mine(const struct orr_raft *r, const struct orri_raft_read *read) {
    return read->from == r->cfg.order.self;
}

static void answer(struct orr_raft *r, const struct orri_raft_read *read, int status) {
    if (is_mine(r, read)) {
        r->answers[r->n_answers++] = (struct orr_answer){ read->tag, read->index, read->time, status };
    } else if (status == 0) {
        struct orr_raft_msg m = orri_raft_msg(r, ORR_RAFT_READ_REPLY, read->from);
        m.tag = read->tag;
        m.read_index = read->index;
        m.time = read->time;
        orri_raft_post(r, &m);              /* of several to one peer the last answers all */
    }
}

static void pop(struct orr_raft *r) {
    r->reads_first = (r->reads_first + 1) % ORRI_RAFT_READS_MAX;
    r->n_reads--;
}

static bool push(struct orr_raft *r, uint64_t tag, orr_id from) {
    if (r->n_reads + r->n_answers >= ORRI_RAFT_READS_MAX) return false;
    *read_at(r, r->n_reads++) = (struct orri_raft_read){ .tag = tag, .from = from, .asked = r->now };
    return true;
}

int orr_raft_read_index(struct orr_raft *r, orr_time now, uint64_t tag) {
    if (r->mute || r->leader == ORR_NOBODY) return ORR_ENOLEADER;
    orri_raft_begin(r, now);
    return orri_raft_end(r, push(r, tag, r->cfg.order.self) ? 0 : ORR_EOVERLOADED);
}

/* Another leader, or no more the leader: the own reads start again, those of others are theirs to repeat. */
void orri_raft_reads_new_role(struct orr_raft *r) {
    size_t n = r->n_reads;
    r->n_reads = 0;
    for (size_t i = 0; i < n; i++) {
        struct orri_raft_read read = *read_at(r, i);
        if (!is_mine(r, &read)) continue;
        read.round = 0;
        *read_at(r, r->n_reads++) = read;
    }
}

void orri_raft_reads_fail(struct orr_raft *r) {
    for (; r->n_reads; pop(r)) answer(r, read_at(r, 0), ORR_ENOLEADER);
}

/* -- The leader -------------------------------------------------------------------------------------------------- */
uint64_t orri_raft_round_of(const struct orr_raft *r, const struct orri_raft_peer *p) {
    if (p == r->me) return r->round;
    return p->lost ? 0 : p->round;
}

/* They are answered by what is committed now, once it is sure that nobody else leads yet. */
static void note_reads(struct orr_raft *r) {
    orr_time time = orri_raft_time_stamp(&r->time, r->now);
    const struct orr_entry *next = r->log.last > r->commit ? orri_raft_log_at(&r->log, r->commit + 1) : NULL;
    if (next && next->time < time) time = next->time;    /* the read comes before that entry, so its time does, too */
    for (size_t i = r->n_reads; i-- > 0 && read_at(r, i)->round == 0;) {
        read_at(r, i)->round = r->round;
        read_at(r, i)->index = r->commit;
        read_at(r, i)->time = time;
    }
}

static void start_round(struct orr_raft *r) {
    orri_raft_begin_round(r);
    note_reads(r);
    for (size_t i = 0; i < r->n_peers; i++)
        if (&r->peers[i] != r->me) r->peers[i].poke = true;
}

static void lead_reads(struct orr_raft *r) {
    if (r->commit < r->term_start || r->n_reads == 0) return;
    bool again = orr_rare(&r->cfg.order.rare, "raft.needless_round"), leased = orri_raft_leased(r);
    if (leased) note_reads(r);
    if (read_at(r, r->n_reads - 1)->round == 0 || again) start_round(r);
    uint64_t confirmed = leased ? UINT64_MAX : orri_raft_reached(r, orri_raft_round_of);
    for (; r->n_reads && read_at(r, 0)->round <= confirmed; pop(r)) answer(r, read_at(r, 0), 0);
}

void orri_raft_on_read(struct orr_raft *r, const struct orr_raft_msg *m) {
    if (r->role != ORR_LEADER) return;      /* it will learn of the new leader, or ask again */
    for (size_t i = r->n_reads; i-- > 0 && read_at(r, i)->round == 0;) {
        if (read_at(r, i)->from != m->from) continue;
        read_at(r, i)->tag = m->tag;
        return;
    }
    push(r, m->tag, m->from);
}

/* -- The others -------------------------------------------------------------------------------------------------- */
static void forward(struct orr_raft *r) {
    if (r->leader == ORR_NOBODY || r->n_reads == 0 || read_at(r, r->n_reads - 1)->round != 0) return;
    r->read_batch++;
    for (size_t i = r->n_reads; i-- > 0 && read_at(r, i)->round == 0;) read_at(r, i)->round = r->read_batch;
    struct orr_raft_msg m = orri_raft_msg(r, ORR_RAFT_READ, r->leader);
    m.tag = r->read_batch;
    orri_raft_post(r, &m);
    r->read_retry_at = r->now + r->cfg.order.election / 2;
}

void orri_raft_on_read_reply(struct orr_raft *r, const struct orr_raft_msg *m) {
    if (r->role == ORR_LEADER || m->from != r->leader || m->tag > r->read_batch) return;
    while (r->n_reads && read_at(r, 0)->round != 0 && read_at(r, 0)->round <= m->tag) {
        struct orri_raft_read *read = read_at(r, 0);
        read->index = m->read_index;
        read->time = m->time;
        answer(r, read, 0);
        pop(r);
    }
}

void orri_raft_reads_flush(struct orr_raft *r) {
    if (r->role == ORR_LEADER) lead_reads(r);
    else forward(r);
}

/* -- Time -------------------------------------------------------------------------------------------------------- */
static orr_time expiry(const struct orr_raft *r) { return read_at(r, 0)->asked + 2 * r->cfg.order.election; }

void orri_raft_reads_tick(struct orr_raft *r) {
    if (r->role == ORR_LEADER) return;      /* without a quorum it steps down soon enough, and then this applies */
    for (; r->n_reads && r->now >= expiry(r); pop(r)) answer(r, read_at(r, 0), ORR_ENOLEADER);
    if (r->n_reads && read_at(r, 0)->round != 0 && r->now >= r->read_retry_at)
        for (size_t i = 0; i < r->n_reads; i++) read_at(r, i)->round = 0;
}

orr_time orri_raft_reads_deadline(const struct orr_raft *r) {
    if (r->n_reads == 0 || r->role == ORR_LEADER) return ORR_NEVER;
    bool retries = r->leader != ORR_NOBODY && read_at(r, 0)->round != 0;
    return retries && r->read_retry_at < expiry(r) ? r->read_retry_at : expiry(r);
}
